/* interrupt.c: signals as flags, while a run is training.
 *
 * A signal handler can reach nothing but a variable at file scope, so there is one here. The handler of
 * SIGINT and SIGTERM puts the default action back: a second signal ends the process at once.
 *
 * Data lie in mapped files. Where one is cut off under a run, the next read of what is gone is SIGBUS;
 * nothing can be read on, but what happened can be said, and the last checkpoint is whole. */
#include "interrupt.h"
#include "base.h"
#include <string.h>
#include <unistd.h>

static volatile struct {
    sig_atomic_t stop, save;
} interrupted;

static void on_stop(int number)
{
    (void)number;
    interrupted.stop = 1;
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
}

static void on_save(int number)
{
    (void)number;
    interrupted.save = 1;
}

/* Only what may be called here. Any other bus error is a mistake of ours, and dies as such. */
static void on_bus(int number, siginfo_t *info, void *context)
{
    static const char text[] =
        "\nerror: a file of the data became shorter while the run was reading it\n"
        "help: put it back; the same command goes on from the last checkpoint\n";
    (void)context;
    if (info->si_code != BUS_ADRERR) {
        signal(number, SIG_DFL);
        return;
    }
    ssize_t written = write(STDERR_FILENO, text, sizeof text - 1);
    (void)written;
    _exit(ERR_DATA);
}

/* A signal that is ignored, as under nohup, stays ignored. */
static void watch(int number, void (*handler)(int), struct sigaction *old)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    sigemptyset(&action.sa_mask);
    action.sa_flags = SA_RESTART;
    sigaction(number, NULL, old);
    if (old->sa_handler != SIG_IGN)
        sigaction(number, &action, NULL);
}

void interrupt_watch(Interrupt *before)
{
    interrupted.stop = interrupted.save = 0;
    watch(SIGINT, on_stop, &before->old_int);
    watch(SIGTERM, on_stop, &before->old_term);
    watch(SIGUSR1, on_save, &before->old_usr1);
    struct sigaction bus;
    memset(&bus, 0, sizeof bus);
    bus.sa_sigaction = on_bus;
    bus.sa_flags = SA_SIGINFO;
    sigemptyset(&bus.sa_mask);
    sigaction(SIGBUS, &bus, &before->old_bus);
}

void interrupt_unwatch(const Interrupt *before)
{
    sigaction(SIGINT, &before->old_int, NULL);
    sigaction(SIGTERM, &before->old_term, NULL);
    sigaction(SIGUSR1, &before->old_usr1, NULL);
    sigaction(SIGBUS, &before->old_bus, NULL);
}

bool interrupt_wanted(void)
{
    return interrupted.stop != 0;
}

bool interrupt_save_wanted(void)
{
    bool wanted = interrupted.save != 0;
    interrupted.save = 0;
    return wanted;
}
