/* interrupt.h: signals while a run is training: SIGINT and SIGTERM end it, SIGUSR1 saves; SIGBUS says that a
 * mapped file became shorter, and ends the process with the exit code of bad data. */
#ifndef MDL_INTERRUPT_H
#define MDL_INTERRUPT_H

#include <signal.h>
#include <stdbool.h>

typedef struct Interrupt {
    struct sigaction old_int, old_term, old_usr1, old_bus;
} Interrupt;

/* Between these two the first SIGINT or SIGTERM only sets a flag; a second one acts as if unwatched. */
void interrupt_watch(Interrupt *before);
void interrupt_unwatch(const Interrupt *before);
bool interrupt_wanted(void);
/* Whether SIGUSR1 came since the last call. */
bool interrupt_save_wanted(void);

#endif
