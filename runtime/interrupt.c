/* interrupt.c: SIGINT and SIGTERM as a flag, while a run is training.
 *
 * A signal handler can reach nothing but a variable at file scope, so there is one here. The
 * handler puts the default action back: a second signal ends the process at once. */
#include "interrupt.h"
#include <string.h>

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
}

/* A signal that is ignored, as under nohup, stays ignored. */
static void watch(int number, struct sigaction *old)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    sigemptyset(&action.sa_mask);
    action.sa_flags = SA_RESTART;
    sigaction(number, NULL, old);
    if (old->sa_handler != SIG_IGN)
        sigaction(number, &action, NULL);
}

void interrupt_watch(Interrupt *before)
{
    interrupted = 0;
    watch(SIGINT, &before->old_int);
    watch(SIGTERM, &before->old_term);
}

void interrupt_unwatch(const Interrupt *before)
{
    sigaction(SIGINT, &before->old_int, NULL);
    sigaction(SIGTERM, &before->old_term, NULL);
}

bool interrupt_wanted(void)
{
    return interrupted != 0;
}
