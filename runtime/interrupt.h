/* interrupt.h: SIGINT and SIGTERM as a flag, while a run is training. */
#ifndef MDL_INTERRUPT_H
#define MDL_INTERRUPT_H

#include <signal.h>
#include <stdbool.h>

typedef struct Interrupt {
    struct sigaction old_int, old_term;
} Interrupt;

/* From here on the first signal only sets the flag; a second one ends the process. */
void interrupt_watch(Interrupt *before);
void interrupt_unwatch(const Interrupt *before);
bool interrupt_wanted(void);

#endif
