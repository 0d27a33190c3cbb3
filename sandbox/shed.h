// What a process has of its caller, and leaves behind.

#ifndef SHED_H
#define SHED_H

void shed(void);

#endif
