// Package step names the changes that podrun makes to the world, so that a test
// can kill it at each of them. A function that changes something outside of its
// process (a file, a link, a mount, a rule, a cgroup, a process) begins with
//
//	defer step.Change("write record")()
//
// and so has two numbered steps: before the change and after it. In an ordinary
// build both are empty, and the compiler leaves nothing of them but the deferred
// call of an empty function. Built with the tag steps, a process writes down the
// steps that it passes and ends at a named one by SIGKILL, as if at that moment
// the kernel or somebody else had killed it: see kill.go.
//
// Pause and the first process of a shared PID namespace, which are in C, have marks
// of the same kind: sandbox/step.h.
//
// What a change must leave in order, whenever it ends, is left to whoever makes it.
package step
