/* pool.c: runs the tasks of a kernel phase on all cores; a launch costs a fraction of a microsecond.
 *
 * Tasks are claimed one by one from a ticket: generation (high half) and tasks left (low half) in
 * one atomic word. Claiming is compare-and-swap, so a worker that wakes late can neither take a
 * task of a launch it did not see nor delay one: the caller waits for tasks, not for workers. The
 * fields of the launch are read between loading the ticket and swapping it; the swap only succeeds
 * while that launch is unfinished, and the caller rewrites them only after it is finished.
 *
 * Idle workers spin for about a millisecond (longer than any gap inside an entry), then wait on a
 * futex. They are pinned, each to its own CPU other than the caller's, because a woken thread is
 * otherwise often put on the CPU of the thread that woke it; the caller is left as it is, since it
 * belongs to the application. Where the system has moved it to a worker's CPU, that worker takes the one
 * it came from: else the two would take turns, and the launch some milliseconds. Which thread runs a task
 * never shows in the results. */
#include "pool.h"
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { LINE = 64, PAGE = 4096, MAX_THREADS = 1024, SPINS_PER_LOOK = 64, SPINS_PER_YIELD = 1024 };
static const int64_t SPIN_NS = 1000000;
static const int64_t MAX_CLAIM = INT64_C(1) << 30; /* tasks of one ticket */
static const uint64_t STOP = UINT64_MAX;           /* a ticket no launch has */

typedef struct Worker {
    Pool *pool;
    void *scratch;
    pthread_t thread;
    int cpu; /* to pin to, or -1 */
} Worker;

struct Pool {
    _Alignas(LINE) _Atomic uint64_t ticket;
    _Alignas(LINE) _Atomic int64_t unfinished; /* tasks of this launch that have not ended */
    _Alignas(LINE) _Atomic uint32_t wakes;     /* the futex word */
    _Atomic int32_t sleepers;
    /* the launch */
    _Alignas(LINE) _Atomic(MdlKernelFn) fn;
    _Atomic(const MdlArgs *) args;
    _Atomic int64_t end; /* task = end - tasks left */
    /* of the caller */
    uint32_t generation;
    int cpu;     /* where it was last seen */
    int threads; /* started, the caller included */
    bool spin;
    Worker *workers;
    void *scratch_base;
    size_t scratch_bytes, scratch_each; /* asked for; per worker in scratch_base */
};

static void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    atomic_signal_fence(memory_order_seq_cst);
#endif
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static uint32_t tasks_left(uint64_t ticket)
{
    return (uint32_t)ticket;
}

/* ---- CPUs ---- */

static bool pin(const Worker *w, int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    return pthread_setaffinity_np(w->thread, sizeof set, &set) == 0;
}

/* Moves the worker whose CPU is now the caller's. */
static void make_room(Pool *pool, int cpu)
{
    for (int i = 1; i < pool->threads && pool->cpu >= 0; i++) {
        Worker *w = &pool->workers[i];
        if (w->cpu == cpu && pin(w, pool->cpu))
            w->cpu = pool->cpu;
    }
    pool->cpu = cpu;
}

/* The caller may be moved at any time, also between two tasks. */
static void keep_apart(Pool *pool)
{
    int cpu = sched_getcpu();
    if (cpu >= 0 && cpu != pool->cpu)
        make_room(pool, cpu);
}

/* ---- running tasks ---- */

/* Claims and runs tasks until none is left. */
static void work(Pool *pool, const Worker *self)
{
    int64_t ran = 0;
    uint64_t ticket = atomic_load_explicit(&pool->ticket, memory_order_acquire);
    while (tasks_left(ticket) && ticket != STOP) {
        MdlKernelFn fn = atomic_load_explicit(&pool->fn, memory_order_relaxed);
        const MdlArgs *args = atomic_load_explicit(&pool->args, memory_order_relaxed);
        int64_t end = atomic_load_explicit(&pool->end, memory_order_relaxed);
        if (!atomic_compare_exchange_weak_explicit(&pool->ticket, &ticket, ticket - 1,
                                                   memory_order_acq_rel, memory_order_acquire))
            continue;
        fn(args, end - tasks_left(ticket), self->scratch);
        ran++;
        if (self == pool->workers)
            keep_apart(pool);
        ticket = atomic_load_explicit(&pool->ticket, memory_order_acquire);
    }
    if (ran)
        atomic_fetch_sub_explicit(&pool->unfinished, ran, memory_order_release);
}

/* Counting the sleeper before looking at the ticket, and publishing the ticket before looking at
 * the sleepers (both sequentially consistent), one of the two sides always sees the other. */
static void sleep_until_work(Pool *pool)
{
    atomic_fetch_add(&pool->sleepers, 1);
    uint32_t wakes = atomic_load(&pool->wakes);
    if (!tasks_left(atomic_load(&pool->ticket)))
        syscall(SYS_futex, &pool->wakes, FUTEX_WAIT_PRIVATE, wakes, NULL, NULL, 0);
    atomic_fetch_sub(&pool->sleepers, 1);
}

static void publish(Pool *pool, uint64_t ticket)
{
    atomic_store(&pool->ticket, ticket);
    if (atomic_load(&pool->sleepers) == 0)
        return;
    atomic_fetch_add(&pool->wakes, 1);
    syscall(SYS_futex, &pool->wakes, FUTEX_WAKE_PRIVATE, pool->threads, NULL, NULL, 0);
}

/* Returns when the ticket has tasks or says STOP. */
static uint64_t wait_for_work(Pool *pool)
{
    int64_t since = 0;
    for (unsigned k = 1;; k++) {
        uint64_t ticket = atomic_load_explicit(&pool->ticket, memory_order_acquire);
        if (tasks_left(ticket))
            return ticket;
        relax();
        if (pool->spin && k % SPINS_PER_LOOK)
            continue;
        int64_t now = now_ns();
        since = since ? since : now;
        if (pool->spin && now - since < SPIN_NS)
            continue;
        sleep_until_work(pool);
        since = 0;
    }
}

static void *worker_main(void *self)
{
    Worker *w = self;
    while (wait_for_work(w->pool) != STOP)
        work(w->pool, w);
    return NULL;
}

/* One launch of at most MAX_CLAIM tasks, the last of which is end - 1. */
static void run_on_all(Pool *pool, int64_t tasks, int64_t end)
{
    atomic_store_explicit(&pool->end, end, memory_order_relaxed);
    atomic_store_explicit(&pool->unfinished, tasks, memory_order_relaxed);
    pool->generation = (pool->generation + 1) & 0x7fffffffu; /* never STOP's */
    publish(pool, (uint64_t)pool->generation << 32 | (uint64_t)tasks);
    work(pool, &pool->workers[0]);
    for (unsigned k = 1; atomic_load_explicit(&pool->unfinished, memory_order_acquire); k++) {
        relax();
        if (k % SPINS_PER_YIELD)
            continue;
        keep_apart(pool);
        sched_yield();
    }
}

void pool_run(Pool *pool, MdlKernelFn fn, const MdlArgs *args, int64_t tasks)
{
    if (pool->threads == 1 || tasks == 1) {
        for (int64_t task = 0; task < tasks; task++)
            fn(args, task, pool->workers[0].scratch);
        return;
    }
    keep_apart(pool);
    atomic_store_explicit(&pool->fn, fn, memory_order_relaxed);
    atomic_store_explicit(&pool->args, args, memory_order_relaxed);
    for (int64_t done = 0; done < tasks; done += MAX_CLAIM) {
        int64_t n = tasks - done < MAX_CLAIM ? tasks - done : MAX_CLAIM;
        run_on_all(pool, n, done + n);
    }
}

/* ---- life ---- */

int pool_cpus(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) != 0)
        return 1;
    int n = CPU_COUNT(&set);
    return n < 1 ? 1 : n;
}

/* Gives workers 1.. their own CPUs, if there is one for every thread. */
static void choose_cpus(Pool *pool, int threads)
{
    cpu_set_t set;
    for (int i = 0; i < threads; i++)
        pool->workers[i].cpu = -1;
    pool->spin = pool_cpus() >= threads;
    if (!pool->spin || sched_getaffinity(0, sizeof(set), &set) != 0)
        return;
    int mine = pool->cpu = sched_getcpu(), cpu = 0;
    for (int i = 1; i < threads; i++, cpu++) {
        while (cpu < CPU_SETSIZE && (!CPU_ISSET(cpu, &set) || cpu == mine))
            cpu++;
        if (cpu == CPU_SETSIZE)
            return;
        pool->workers[i].cpu = cpu;
    }
}

/* Signals are for the application's own threads. */
static bool start_workers(Pool *pool, int threads, Err *err)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int failed = 0;
    while (pool->threads < threads && !failed) {
        Worker *w = &pool->workers[pool->threads];
        failed = pthread_create(&w->thread, NULL, worker_main, w);
        if (!failed && w->cpu >= 0)
            pin(w, w->cpu);
        pool->threads += !failed;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return !failed || err_set(err, ERR_DEVICE, "cannot start thread %d of %d: %s",
                              pool->threads + 1, threads, strerror(failed));
}

Pool *pool_new(int threads, Err *err)
{
    if (threads < 1 || threads > MAX_THREADS) {
        err_set(err, ERR_USAGE, "the number of threads is %d, expected 1 to %d", threads,
                MAX_THREADS);
        return NULL;
    }
    Pool *pool = aligned_alloc(LINE, sizeof(*pool));
    Worker *workers = calloc((size_t)threads, sizeof(*workers));
    if (!pool || !workers) {
        free(pool);
        free(workers);
        err_set(err, ERR_DEVICE, "no memory for %d threads", threads);
        return NULL;
    }
    memset(pool, 0, sizeof(*pool));
    pool->workers = workers;
    pool->threads = 1;
    for (int i = 0; i < threads; i++)
        workers[i].pool = pool;
    choose_cpus(pool, threads);
    if (start_workers(pool, threads, err))
        return pool;
    pool_free(pool);
    return NULL;
}

static void free_scratch(Pool *pool)
{
    if (pool->scratch_base)
        munmap(pool->scratch_base, pool->scratch_each * (size_t)pool->threads);
}

void pool_free(Pool *pool)
{
    if (!pool)
        return;
    if (pool->threads > 1)
        publish(pool, STOP);
    for (int i = 1; i < pool->threads; i++)
        pthread_join(pool->workers[i].thread, NULL);
    free_scratch(pool);
    free(pool->workers);
    free(pool);
}

int pool_threads(const Pool *pool)
{
    return pool->threads;
}

/* The launch that follows publishes the new addresses to the workers: they read them only after
 * they have claimed a task of it. */
bool pool_reserve(Pool *pool, size_t bytes, Err *err)
{
    if (bytes <= pool->scratch_bytes)
        return true;
    size_t n = (size_t)pool->threads, each = bytes / PAGE * PAGE + 2 * PAGE; /* a page apart */
    void *base = MAP_FAILED;
    if (bytes < SIZE_MAX / n - 2 * PAGE)
        base = mmap(NULL, each * n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED)
        return err_set(err, ERR_DEVICE, "no memory for %zu bytes of scratch in each of %zu threads",
                       bytes, n);
    free_scratch(pool);
    pool->scratch_each = each;
    pool->scratch_base = base;
    pool->scratch_bytes = bytes;
    for (size_t i = 0; i < n; i++)
        pool->workers[i].scratch = (char *)base + each * i;
    return true;
}
