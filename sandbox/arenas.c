// The C library gives each thread that allocates an arena of its own, and starting
// a thread allocates: a page of memory and two of page tables for each of the dozen
// that a Go program has. Nothing of podrun's C is in a hurry; one arena does for all.

#include <malloc.h>

__attribute__((constructor)) static void one_arena(void)
{
#ifdef M_ARENA_MAX
	mallopt(M_ARENA_MAX, 1);
#endif
}
