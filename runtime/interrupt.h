/* interrupt.h: signals while a run is training: SIGINT and SIGTERM end it, SIGUSR1 saves. */
#ifndef MDL_INTERRUPT_H
#define MDL_INTERRUPT_H

#include <signal.h>
#include <stdbool.h>

typedef struct Interrupt {
    struct sigaction old_int, old_term, old_usr1;
} Interrupt;

/* Between these two the first SIGINT or SIGTERM only sets a flag; a second one acts as if unwatched. */
void interrupt_watch(Interrupt *before);
void interrupt_unwatch(const Interrupt *before);
bool interrupt_wanted(void);
/* Whether SIGUSR1 came since the last call. */
bool interrupt_save_wanted(void);

#endif
