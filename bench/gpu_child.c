/* gpu_child.c: the child says in shared memory what it is at; the parent watches that and the clock. */
#include "gpu_child.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const double most_to_end = 5; /* seconds, of a process that was killed */

typedef struct Shared {
    _Atomic int at;     /* the piece that runs, or would be next */
    _Atomic int failed; /* so far */
} Shared;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void run_pieces(const ChildWork *work, Shared *shared)
{
    bool spoilt = false;
    while (shared->at < work->n && !spoilt) {
        ChildResult result = work->run(work->user, shared->at);
        shared->failed += result != CHILD_DONE;
        shared->at++;
        spoilt = result == CHILD_SPOILT;
        fflush(stdout);
    }
    _exit(0); /* a driver may wait at the end for what hangs */
}

/* Until the child ends. False: it was ended, since one piece took too long. */
static bool watch(pid_t child, const ChildWork *work, const Shared *shared, int *status)
{
    int seen = shared->at;
    double since = now();
    while (waitpid(child, status, WNOHANG) == 0) {
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
        if (shared->at != seen) {
            seen = shared->at;
            since = now();
        }
        if (now() - since < work->seconds)
            continue;
        kill(child, SIGKILL);
        since = now(); /* one that the driver does not let go is left to itself */
        while (waitpid(child, status, WNOHANG) == 0 && now() - since < most_to_end)
            nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
        return false;
    }
    return true;
}

static void lose(const ChildWork *work, Shared *shared, const char *why)
{
    work->lost(work->user, shared->at, why);
    shared->failed++;
    shared->at++;
}

int child_run(const ChildWork *work)
{
    Shared *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return work->n;
    while (shared->at < work->n) {
        int status = 0;
        fflush(stdout);
        pid_t child = fork();
        if (child == 0)
            run_pieces(work, shared);
        if (child < 0)
            lose(work, shared, "no process for it");
        else if (!watch(child, work, shared, &status))
            lose(work, shared, "it takes too long");
        else if (WIFSIGNALED(status))
            lose(work, shared, strsignal(WTERMSIG(status)));
        else if (WEXITSTATUS(status) != 0)
            lose(work, shared, "its process ended early");
    }
    int failed = shared->failed;
    munmap(shared, sizeof *shared);
    return failed;
}
