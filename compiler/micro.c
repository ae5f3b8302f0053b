/* micro.c: the largest divisor of the batch, or number of packed rows, whose plan fits, by bisection: fewer rows need less. That is not
 * quite a law (a tile may fit better), so a larger one might fit, too; the one that is taken does fit. */
#include "micro.h"

typedef struct Choices {
    VEC(int64_t) at; /* ascending, below the batch */
} Choices;

static int ascending(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static Choices divisors_of(Arena *arena, int64_t batch)
{
    Choices d = {0};
    for (int64_t i = 1; i <= batch / i; i++) {
        if (batch % i)
            continue;
        if (i < batch)
            VEC_PUSH(arena, &d.at, i);
        if (i > 1 && i != batch / i)
            VEC_PUSH(arena, &d.at, batch / i);
    }
    if (d.at.n > 0)
        qsort(d.at.at, d.at.n, sizeof *d.at.at, ascending);
    return d;
}

/* The last pass of packed rows may have fewer, so any number will do; two in each octave are enough. */
static Choices rows_of(Arena *arena, int64_t batch)
{
    Choices c = {0};
    for (int64_t i = 1; i < batch; i *= 2) {
        VEC_PUSH(arena, &c.at, i);
        if (i > 1 && i + i / 2 < batch)
            VEC_PUSH(arena, &c.at, i + i / 2);
    }
    return c;
}

bool micro_search(const MicroSearch *x, MicroChoice *out, Err *err)
{
    Arena *arena = arena_new();
    Choices d = x->packed ? rows_of(arena, x->batch) : divisors_of(arena, x->batch);
    uint32_t lo = 0, hi = d.at.n; /* the answer lies in lo .. hi; lo is the least there is */
    int64_t tried = 0;
    bool ok = true;
    ASSERT(d.at.at); /* 1 will always do */
    out->rows = d.at.at[0];
    while (ok && hi - lo > 1) {
        uint32_t mid = lo + (hi - lo) / 2;
        uint64_t need;
        tried = d.at.at[mid];
        ok = x->try_rows(x->user, tried, &need, err);
        if (!ok || need > x->budget) {
            hi = mid;
            continue;
        }
        lo = mid;
        out->rows = tried;
        out->need = need;
    }
    ok = ok && (tried == out->rows || x->try_rows(x->user, out->rows, &out->need, err));
    arena_free(arena);
    return ok;
}
