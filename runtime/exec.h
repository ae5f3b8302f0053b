/* exec.h: what a running plan consists of; private to exec.c and loan.c. */
#ifndef MDL_EXEC_H
#define MDL_EXEC_H

#include "devices.h"

typedef struct Launch {
    PlanStepKind kind;
    uint32_t kernel; /* LOOP, END: the loop */
    uint32_t other;  /* LOOP: its END; END: its LOOP */
    const int64_t *tasks;
    MdlArgs args;
} Launch;

/* *slot = address of a moving tensor + offset, once a round of its loop. */
typedef struct Move {
    void **slot;
    uint32_t tensor;
    uint64_t offset;
} Move;

typedef struct Loop {
    VEC(Move) moves;
    bool rows_change;   /* a table has an address that moves */
    int64_t at, length; /* round, rounds */
} Loop;

/* *slot = address of input + offset, once a call. */
typedef struct Patch {
    void **slot;
    uint32_t input; /* of the entry */
    uint64_t offset;
} Patch;

typedef struct Entry {
    Launch *launches;
    void **bufs;         /* BUF arguments of all launches */
    MdlRow *rows;        /* table rows of all launches, as the host writes them */
    MdlRow *device_rows; /* as the device reads them: the same, where it sees the host's memory */
    size_t nrow;
    bool rows_change; /* a row has an address of an input */
    Patch *patches;
    void **inputs; /* where the device reads them in this call */
    uint32_t nlaunch, npatch;
    bool fixed; /* its launches are the same from call to call, but for the extents */
    bool ran;   /* with the extents of the last call */
    uint64_t calls;
    uint32_t kept;      /* by rt_repeat: so many calls in a row; 0: none */
    uint32_t *launched; /* by kernel: how often one call does; NULL while nobody counted */
} Entry;

struct Runtime {
    const Plan *plan;
    uint32_t target; /* of the plan's, that its kernels run for */
    const DeviceVtable *v;
    Device *device;
    Module *module;
    Arena *arena;
    char *state, *temp, *workspace;
    Loop *loops;
    uint32_t *input_of; /* by tensor: its number among the inputs of its entry */
    char **staging;     /* by tensor: device memory for inputs that cannot be read in place */
    Entry *entries;
    int64_t *syms;      /* extents of the last call */
    bool have_syms;     /* a call was made */
    int64_t *block;     /* argument block, as the host writes it */
    void *device_block; /* as the device reads it: the same, where it sees the host's memory */
    uint32_t *slot_sym; /* by slot: the symbol it holds */
    int64_t *tasks;     /* by phase, for `syms` */
    RtKernelTime *times;
    bool timing;             /* of the call that runs */
    RtWatchFn watch, before; /* or NULL */
    void *watch_user, *before_user;
};

/* The address of a state or temporary, and of any tensor in the entry that runs or ran last. */
void *exec_fixed(const Runtime *rt, uint32_t tensor);
char *exec_address(const Runtime *rt, const Entry *e, uint32_t tensor);
/* For the extents of the last call. */
size_t exec_tensor_bytes(const Runtime *rt, const PlanTensor *t);

#endif
