/* ranges.c: parts of equal length, run by a pool of their own: starting one costs less than a millisecond,
 * and what is small enough to notice it is done at once. */
#include "ranges.h"
#include "pool.h"

static const size_t PART = 1 << 16, SMALL = 1 << 20;

typedef struct Ranges {
    MdlArgs args; /* the first member: what tasks of a pool get */
    size_t n;
    RangeFn fn;
    void *user;
} Ranges;

static void run_part(const MdlArgs *args, int64_t task, void *scratch)
{
    const Ranges *r = (const Ranges *)args;
    const size_t from = (size_t)task * PART, to = from + PART < r->n ? from + PART : r->n;
    UNUSED(scratch);
    r->fn(r->user, from, to);
}

void ranges_run(int threads, size_t n, RangeFn fn, void *user)
{
    const Ranges r = {.n = n, .fn = fn, .user = user};
    const int cpus = pool_cpus(), most = threads < cpus ? threads : cpus;
    Err ignored = {0};
    Pool *pool = n >= SMALL && most > 1 ? pool_new(most, &ignored) : NULL;
    if (pool)
        pool_run(pool, run_part, &r.args, (int64_t)((n + PART - 1) / PART));
    else
        fn(user, 0, n);
    pool_free(pool);
}
