// Marks of the changes to the world that pause and the first process of a shared
// PID namespace make: what package step is for the parts in Go, with the same
// files. In an ordinary build they are empty.

#ifndef STEP_H
#define STEP_H

#ifdef PODRUN_STEPS

// step_begin reads where the steps are written down; role is the first part of
// their names.
void step_begin(const char *role);
// step_stay is called where the root of this process may become another.
void step_stay(void);
const char *step_before(const char *change);
void step_after(const char **change);

// CHANGE is here before the change, and after it at the end of the block that it
// stands in.
#define CHANGE(name) \
	__attribute__((cleanup(step_after))) const char *change_ = step_before(name)

#else

#define step_begin(role) ((void)0)
#define step_stay() ((void)0)
#define CHANGE(name) ((void)0)

#endif

#endif
