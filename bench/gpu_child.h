/* gpu_child.h: pieces of work, one after the other, in a process that may be lost: a kernel that hangs or
 * writes where it must not takes what it runs in with it, and nothing else. */
#ifndef MDL_BENCH_GPU_CHILD_H
#define MDL_BENCH_GPU_CHILD_H

typedef enum ChildResult {
    CHILD_DONE,
    CHILD_FAILED,
    CHILD_SPOILT /* failed, and the process should not go on */
} ChildResult;

typedef struct ChildWork {
    ChildResult (*run)(void *user, int i);            /* in the child */
    void (*lost)(void *user, int i, const char *why); /* in the parent */
    void *user;
    int n;
    double seconds; /* for one piece */
} ChildWork;

/* Every piece once. Gives how many failed or were lost. */
int child_run(const ChildWork *work);

#endif
