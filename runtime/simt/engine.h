/* engine.h: what the files of the emulator share; private to it. */
#ifndef MDL_ENGINE_STATE_H
#define MDL_ENGINE_STATE_H

#include "check.h"
#include "fibre.h"
#include "mdl_engine.h"
#include "simt.h"
#include "tensormap.h"

enum {
    WARP = 32,
    MAX_THREADS = 1024,
    MAX_WARPS = MAX_THREADS / WARP,
    MAX_SHARED = 227 << 10,
    MAX_CLUSTER = 8,
    SHARED_APART = 512 << 10, /* memory of one block to that of the next of its cluster */
    MAX_BARRIERS = 16,
    MAX_MBARS = 128,
    MAX_GROUPS = MAX_THREADS / 128,
    STACK_BYTES = 1 << 17
};

enum { ALL_SHARED = MAX_CLUSTER * SHARED_APART };

/* ---- reports ---- */

/* What can be found; reports.c has a word for each. */
typedef enum Fault {
    FAULT_RACE,
    FAULT_BOUNDS,
    FAULT_DEADLOCK,
    FAULT_DIVERGENT,
    FAULT_EXIT,
    FAULT_ALIGN,
    FAULT_BARRIER,
    FAULT_MBARRIER,
    FAULT_IN_FLIGHT,
    FAULT_ASYNC,
    FAULT_LAUNCH,
    FAULT_GRID,
    FAULT_COUNT
} Fault;

/* A place in a kernel: a line of its text, or (checked accesses) the address behind an instruction. */
typedef struct Where {
    int line;
    const void *from; /* not NULL: in its place */
} Where;

typedef struct Report {
    Fault fault;
    Where where, other; /* other: of the access before, or nowhere */
    char text[480];
} Report;

typedef struct Pair {
    Fault fault;
    Where where, other;
} Pair;

/* ---- region.c: memory ---- */

typedef struct Region {
    char *lo;
    size_t bytes;
    char name[48];
    Word *words; /* of checked kernels, mapped when needed */
} Region;

typedef struct Regions {
    Region *at; /* ordered, none over another */
    uint32_t n, cap;
} Regions;

Region *region_find(Regions *r, const void *p); /* NULL: none has it */
const Region *region_near(const Regions *r, const void *p);

/* ---- access.c: what threads do to memory ---- */

typedef enum AccessKind { ACCESS_READ, ACCESS_WRITE, ACCESS_ATOMIC } AccessKind;

typedef struct Access {
    const void *at;
    size_t bytes, align; /* align 0: any */
    AccessKind kind;
    bool shared;      /* it must be memory of the block */
    const char *call; /* what does it, for reports; NULL: a plain access */
    Where where;
} Access;

/* ---- threads of the cluster that runs; most have one block ---- */

typedef enum ThreadState {
    THREAD_NEW,
    THREAD_READY,
    THREAD_AT_BARRIER,
    THREAD_AT_CLUSTER, /* waits for all threads of its cluster */
    THREAD_AT_WARP,    /* waits for the other lanes */
    THREAD_AT_MBARRIER,
    THREAD_AT_WGMMA, /* waits for its warpgroup */
    THREAD_AT_TURN,
    THREAD_DONE
} ThreadState;

typedef struct Mbar {
    uint64_t *at;
    int wanted, pending; /* arrivals */
    int64_t bytes;       /* that are still to come in this phase */
    uint32_t phase;      /* completed */
    int owner, line;     /* who initialised it, where */
    bool fenced;
    View *coming,
        *done; /* of checked kernels: what the arrivals of this phase, and of the last, had seen */
} Mbar;

typedef struct Thread {
    ThreadState state;
    bool waited;      /* for the launch before this one */
    int line;         /* of the call in which it waits */
    const char *call; /* its name */
    int barrier;      /* AT_BARRIER: which */
    const Mbar *mbar; /* AT_MBARRIER: which */
    Fibre *fibre;     /* from its first step on */
} Thread;

/* A cp.async that is not done. */
typedef struct Copy {
    MdlCopy what;
    uint32_t group;
    int line;
} Copy;

typedef struct Copies { /* of a thread */
    Copy *at;
    uint32_t n, cap, groups; /* groups: committed */
} Copies;

/* Of TMA, that is not done. A run of floats lies in shared memory at box.smem too; `read`: that memory may be used
 * again. */
typedef struct Transfer {
    MdlBox box;
    MdlBulk bulk; /* to: NULL: a box */
    bool read;
    TensorMap map;
    Mbar *mbar; /* of a load */
    uint32_t group;
    int line;
    Unit unit; /* of checked kernels */
} Transfer;

typedef struct Transfers {
    Transfer *at;
    uint32_t n, cap, groups;
} Transfers;

typedef struct Warpgroup Warpgroup; /* wgmma.c */

typedef struct Warp {
    int live, arrived;
    int line;         /* of the collective that some lanes are in */
    const char *call; /* its name */
    const void *arg[WARP];
} Warp;

typedef struct Barrier {
    int arrived, wanted, line;
} Barrier;

struct Simt {
    MdlEngine face; /* first: kernels know its address */
    FibreStacks stacks;
    Fibre main, fibre[MAX_THREADS];
    uint32_t nfibre; /* made so far */
    Fibre *idle;     /* made, and running no thread */
    Fibre *here;     /* which runs */
    Regions regions; /* of global memory */
    /* the launch */
    const SimtLaunch *launch;
    MdlGpuArgs args;
    uint32_t argument; /* in which the last access was */
    uint64_t random;   /* state; 0: in order */
    bool stopped;      /* by a fault: nothing runs any more */
    /* the cluster */
    int cluster, block_threads; /* blocks; threads of each */
    int32_t first_block;
    unsigned char *memory; /* of its first block; those of the others behind */
    int nthread, live, nready, first_ready;
    int block_live[MAX_CLUSTER];
    uint16_t ready[MAX_THREADS]; /* a ring */
    Thread thread[MAX_THREADS];
    Copies copies[MAX_THREADS];
    Mbar mbar[MAX_MBARS];
    uint32_t nmbar;
    Transfers loads, stores[MAX_THREADS]; /* stores: of each thread */
    Warpgroup *group[MAX_GROUPS];         /* NULL until needed */
    int registers[MAX_GROUPS];            /* that a thread of each has asked for; 0: not yet */
    Warp warp[MAX_WARPS];
    Barrier barrier[MAX_CLUSTER][MAX_BARRIERS], meeting;
    Checker check; /* of checked kernels */
    /* what was found */
    Report report[SIMT_MAX_REPORTS];
    uint32_t nreport, nfound;
};

/* ---- report.c ---- */

#define AT(n)   ((Where){.line = (n)})
#define NOWHERE ((Where){.line = 0})
/* Notes a fault of the thread that runs, once for each place. */
void report(Simt *s, Fault fault, Where where, const char *fmt, ...) PRINTF_LIKE(4, 5);
void report_pair(Simt *s, Pair pair, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Names the places by lines, after a launch. */
void report_finish(Simt *s);

/* ---- place.c ---- */

uint32_t place_pack(const Simt *s, Where where);
Where place_unpack(const Simt *s, uint32_t from);
void place_begin_launch(Simt *s);
/* Lines of instructions, from what the compiler noted in the object; 0 where there is none. */
void place_find_lines(const Simt *s, Where *const *where, uint32_t n);

/* ---- access.c ---- */

/* Stops the launch where the access is out of bounds or misaligned; checks it for races, in checked kernels. */
void access_check(Simt *s, const Access *a);
void access_bounds(Simt *s, const Access *a);            /* the first half of it */
bool access_is_argument(const Simt *s, const Access *a); /* which a kernel has by value */
bool access_is_shared(const Simt *s, const void *at);    /* of any block of the cluster */
/* Of what is shared: where it lies in its block. */
size_t access_offset(const Simt *s, const void *at);
/* The same place of another block of the cluster; stops the launch where there is none that runs. */
void *access_in_block(Simt *s, void *at, int rank, int line);
void access_install(MdlEngine *e);

/* ---- turn.c ---- */

/* A word was changed by an atomic operation: who waits for it looks again. */
void turn_changed(Simt *s);
void turn_install(MdlEngine *e);

/* ---- view.c: only for checked kernels, as all up to meeting.c ---- */

View *view_hold(View *c);
void view_drop(Simt *s, View *c); /* NULL is fine */
void view_meet(Simt *s, const uint16_t *thread, uint32_t n);
View *view_now(Simt *s, int thread);
void view_release(Simt *s, int thread, View **to);
void view_join(Simt *s, View **to, const View *from);
/* Leaves in `view` only what each of n threads has seen too. */
void view_narrow(Simt *s, View *view, int first, int n);
void view_acquire(Simt *s, int thread, View *from);
void view_forget_join(Simt *s);
Unit view_begin_unit(Simt *s, int thread);
void view_end_unit(Simt *s, Unit *u);
uint32_t view_latest(const Simt *s); /* of all actors */
void view_begin_block(Simt *s);
void view_free(Simt *s);

/* ---- shadow.c ---- */

Word *shadow_map(size_t bytes);
void shadow_unmap(Word *w, size_t bytes);
/* The thread that runs does this. */
void shadow_access(Simt *s, const Access *a);
/* Something begins that is done later: by a unit, or (NULL) by the thread, when it waits for it. */
void shadow_begin(Simt *s, const Access *a, const Unit *u);
void shadow_end(Simt *s, const Access *a, const Unit *u);

/* ---- meeting.c ---- */

void blocks_begin_launch(Simt *s);
void blocks_begin(Simt *s, int32_t block);
int32_t blocks_at(const Simt *s, uint32_t time); /* the block that ran then */
void blocks_fence(Simt *s);
void blocks_atomic(Simt *s, const void *at);
/* The half of it that only looks. */
void blocks_look(Simt *s, const void *at);
bool blocks_have_met(const Simt *s, uint16_t actor, const Mark *mark);

/* ---- block.c ---- */

static inline Simt *simt_of(MdlEngine *e)
{
    return (Simt *)e;
}

static inline Thread *thread_now(Simt *s)
{
    return &s->thread[s->face.thread];
}

uint64_t random_next(Simt *s);
/* The cluster from that block on. False: a fault stopped the launch. */
bool block_run(Simt *s, int32_t first);
void block_barrier(MdlEngine *e, int id, int threads, int line);
void block_cluster_sync(MdlEngine *e, int line);
/* The thread that runs waits until it is woken; others run. */
void thread_wait(Simt *s, ThreadState state, const char *call, int line);
void thread_wake(Simt *s, int thread);
void thread_yield(Simt *s); /* in random order, others may run first */
/* Goes on with a thread that can run, or with block_run. */
void threads_go_on(Simt *s);
/* Ends the launch from within a thread: what would come makes no sense. */
NO_RETURN void launch_stop(Simt *s);

/* ---- warp.c ---- */

/* What all lanes do together; run by the last of them, w->arg[lane] is what each brought. */
typedef struct WarpCall {
    const char *name;
    void (*run)(Simt *s, const Warp *w);
} WarpCall;

void warp_install(MdlEngine *e);
void warp_meet(Simt *s, const WarpCall *call, const void *arg, int line);
/* A thread ended: its warp must not wait for it. */
void warp_leave(Simt *s, int thread);

/* ---- matrix.c ---- */

float half_value(uint16_t h);
float bits_value(uint32_t bits);
float narrow_value(MdlMmaType type, uint16_t x); /* bf16 or f16 */
void matrix_install(MdlEngine *e);

/* ---- copy.c ---- */

void copy_install(MdlEngine *e);
void copy_begin_block(Simt *s);
void copy_leave(Simt *s, int thread); /* a thread ends */
void copy_free(Simt *s);

/* ---- mbar.c ---- */

Mbar *mbar_get(Simt *s, uint64_t *at, int line); /* stops the launch where there is none */
/* A transfer that counts on it has ended; view: what who waits has seen then, or NULL. */
void mbar_transfer_done(Simt *s, Mbar *b, int64_t bytes, const View *view);
void mbar_install(MdlEngine *e);
void mbar_begin_block(Simt *s);

/* ---- tma.c ---- */

void tma_install(MdlEngine *e);
bool tma_step(Simt *s); /* one load happens; false: there is none */
void tma_begin_block(Simt *s);
void tma_end_block(Simt *s);
void tma_leave(Simt *s, int thread);
/* The running thread tells others that it has written: a fault while it has not waited for what it stores. */
void tma_told(Simt *s, int line);
void tma_free(Simt *s);

/* ---- wgmma.c ---- */

void wgmma_install(MdlEngine *e);

/* ---- grid.c ---- */

/* The thread that runs touches memory: stops the launch where it must have waited before. */
void grid_access(Simt *s, const Access *a);
void grid_leave(Simt *s); /* a thread ends */
void grid_install(MdlEngine *e);

/* ---- registers.c ---- */

void registers_begin_block(Simt *s);
void registers_install(MdlEngine *e);
void wgmma_begin_block(Simt *s);
void wgmma_leave(Simt *s, int thread);
void wgmma_free(Simt *s);

#endif
