/* LIBS: mdl_runtime mdl_plan mdl_base */
/* test_pool.c: every task runs once, whatever the number of threads, and launches follow each other
 * in order. */
#define _GNU_SOURCE /* where a thread runs */
#include "pool.h"
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <time.h>

#include <cmocka.h>

enum { MAX_TASKS = 5000 };

typedef struct Counts {
    _Atomic uint32_t runs[MAX_TASKS];
    _Atomic int64_t sum;
} Counts;

static void count(const MdlArgs *args, int64_t task, void *scratch)
{
    Counts *c = args->buf[0];
    UNUSED(scratch);
    atomic_fetch_add_explicit(&c->runs[task], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&c->sum, task, memory_order_relaxed);
}

static void pause_ms(long ms)
{
    struct timespec t = {0, ms * 1000000};
    nanosleep(&t, NULL);
}

static void each_task_runs_once(void **state)
{
    UNUSED(state);
    static const int64_t sizes[] = {0, 1, 2, 3, 7, 16, 100, 1023, MAX_TASKS};
    Counts *c = calloc(1, sizeof(*c));
    assert_non_null(c);
    void *bufs[] = {c};
    const MdlArgs args = {.buf = bufs};
    for (int threads = 1; threads <= 5; threads++) {
        Err err = {0};
        Pool *pool = pool_new(threads, &err);
        assert_non_null(pool);
        assert_int_equal(pool_threads(pool), threads);
        for (size_t s = 0; s < COUNT(sizes); s++) {
            memset(c, 0, sizeof(*c));
            for (int repeat = 0; repeat < 3; repeat++)
                pool_run(pool, count, &args, sizes[s]);
            for (int64_t i = 0; i < MAX_TASKS; i++)
                assert_int_equal(c->runs[i], i < sizes[s] ? 3 : 0);
        }
        pool_free(pool);
    }
    free(c);
}

/* Without atomics: what one launch writes, the next one reads on any thread. */
static void shift(const MdlArgs *args, int64_t task, void *scratch)
{
    const int64_t *from = args->buf[0];
    int64_t *to = args->buf[1];
    UNUSED(scratch);
    to[task] = from[(task + 1) % 64] + 1;
}

static void launches_follow_each_other(void **state)
{
    UNUSED(state);
    Err err = {0};
    for (int threads = 1; threads <= 4; threads++) {
        Pool *pool = pool_new(threads, &err);
        int64_t a[64], b[64];
        void *ab[] = {a, b}, *ba[] = {b, a};
        const MdlArgs there = {.buf = ab}, back = {.buf = ba};
        for (int i = 0; i < 64; i++)
            a[i] = i;
        int rounds = threads <= pool_cpus() ? 20000 : 300;
        for (int i = 0; i < rounds; i++) {
            pool_run(pool, shift, &there, 64);
            pool_run(pool, shift, &back, 64);
        }
        for (int i = 0; i < 64; i++)
            assert_int_equal(a[i], (i + 2 * rounds) % 64 + 2 * rounds);
        pool_free(pool);
    }
}

static void sleeping_workers_wake(void **state)
{
    UNUSED(state);
    Err err = {0};
    Counts *c = calloc(1, sizeof(*c));
    assert_non_null(c);
    void *bufs[] = {c};
    const MdlArgs args = {.buf = bufs};
    Pool *pool = pool_new(3, &err);
    for (int i = 0; i < 20; i++) {
        pool_run(pool, count, &args, 1000);
        pause_ms(i % 4);
    }
    for (int64_t i = 0; i < 1000; i++)
        assert_int_equal(c->runs[i], 20);
    pool_free(pool);
    free(c);
}

/* Two tasks that wait for each other: they end only when two threads really run. */
static void meet(const MdlArgs *args, int64_t task, void *scratch)
{
    _Atomic int *here = args->buf[0];
    UNUSED(task);
    UNUSED(scratch);
    atomic_fetch_add(here, 1);
    for (int i = 0; i < 20000 && atomic_load(here) < 2; i++)
        pause_ms(1);
}

static void tasks_run_at_the_same_time(void **state)
{
    UNUSED(state);
    Err err = {0};
    Pool *pool = pool_new(2, &err);
    for (int i = 0; i < 5; i++) {
        _Atomic int here = 0;
        void *bufs[] = {&here};
        pause_ms(3);
        pool_run(pool, meet, &(MdlArgs){.buf = bufs}, 2);
        assert_int_equal(atomic_load(&here), 2);
    }
    pool_free(pool);
}

typedef struct Meeting {
    _Atomic int here;
    int cpu[2]; /* of each task */
} Meeting;

static void meet_and_tell(const MdlArgs *args, int64_t task, void *scratch)
{
    Meeting *m = args->buf[0];
    m->cpu[task] = sched_getcpu();
    void *here[] = {&m->here};
    meet(&(MdlArgs){.buf = here}, task, scratch);
}

/* The system may move the caller anywhere, as this test does: a worker must not share its CPU. */
static void workers_make_room_for_the_caller(void **state)
{
    UNUSED(state);
    cpu_set_t all;
    if (pool_cpus() < 2 || sched_getaffinity(0, sizeof all, &all) != 0)
        skip();
    Err err = {0};
    Pool *pool = pool_new(2, &err);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &all))
            continue;
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
        for (int i = 0; i < 4; i++) {
            Meeting m = {0};
            void *bufs[] = {&m};
            pause_ms(i); /* the worker spins or sleeps */
            pool_run(pool, meet_and_tell, &(MdlArgs){.buf = bufs}, 2);
            assert_int_not_equal(m.cpu[0], m.cpu[1]);
        }
    }
    sched_setaffinity(0, sizeof all, &all);
    pool_free(pool);
}

/* Writes its whole scratch with its own number and finds nobody else's. */
static void own(const MdlArgs *args, int64_t task, void *scratch)
{
    _Atomic int *wrong = args->buf[0];
    size_t n = (size_t)args->nrow;
    unsigned char *s = scratch;
    if ((uintptr_t)scratch % 64)
        atomic_fetch_add(wrong, 1);
    if (n)
        memset(s, (int)(task & 0xff), n);
    for (size_t i = 0; i < n; i++)
        if (s[i] != (unsigned char)task)
            atomic_fetch_add(wrong, 1);
}

static void scratch_is_aligned_and_private(void **state)
{
    UNUSED(state);
    Err err = {0};
    for (int threads = 1; threads <= 4; threads++) {
        Pool *pool = pool_new(threads, &err);
        static const size_t sizes[] = {0, 1, 63, 64, 65, 5000, 100, 20001};
        for (size_t i = 0; i < COUNT(sizes); i++) {
            _Atomic int wrong = 0;
            void *bufs[] = {&wrong};
            assert_true(pool_reserve(pool, sizes[i], &err));
            pool_run(pool, own, &(MdlArgs){.buf = bufs, .nrow = (int64_t)sizes[i]}, 200);
            assert_int_equal(atomic_load(&wrong), 0);
        }
        pool_free(pool);
    }
}

static void silly_numbers_of_threads_are_refused(void **state)
{
    UNUSED(state);
    static const int silly[] = {0, -1, 100000};
    for (size_t i = 0; i < COUNT(silly); i++) {
        Err err = {0};
        assert_null(pool_new(silly[i], &err));
        assert_int_equal(err.kind, ERR_USAGE);
    }
    Err err = {0};
    Pool *pool = pool_new(1, &err);
    assert_false(pool_reserve(pool, SIZE_MAX / 2, &err));
    assert_int_equal(err.kind, ERR_DEVICE);
    pool_free(pool);
    pool_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_task_runs_once),
        cmocka_unit_test(launches_follow_each_other),
        cmocka_unit_test(sleeping_workers_wake),
        cmocka_unit_test(tasks_run_at_the_same_time),
        cmocka_unit_test(workers_make_room_for_the_caller),
        cmocka_unit_test(scratch_is_aligned_and_private),
        cmocka_unit_test(silly_numbers_of_threads_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
