/* trial.c: numbers for a group that runs alone. */
#include "trial.h"

enum { SMALL = 100, FEW_FALSE = 8 };

typedef struct Fill {
    DType dtype;
    IntegerUse use;
    int64_t below, span; /* INDEX, PLACE */
    uint64_t seed;
} Fill;

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Below 2^(bits - 1) of the type, and exact as a double. */
static int64_t type_end(DType dt)
{
    const uint32_t bits = dtype_info(dt)->bytes * 8 - (dt != DT_U8);
    return (int64_t)1 << least(bits, 53);
}

static Fill fill_of(const Graph *body, const Node *leaf, uint64_t seed)
{
    Fill f = {.dtype = leaf->type->dtype, .seed = seed, .below = 1, .span = 1};
    if (!dtype_is_int(f.dtype))
        return f;
    Arena *arena = arena_new();
    const Integers is = graph_integers(body, leaf, arena);
    f.use = is.use;
    if (is.below) {
        const int64_t below = least(dim_hi(body->ir, is.below), type_end(f.dtype));
        f.below = below > 0 ? below : 1;
        f.span = dim_hi(body->ir, is.span);
        f.span = f.span > 0 ? f.span : 1;
    }
    arena_free(arena);
    return f;
}

static double any_integer(const Fill *f, uint64_t h)
{
    if (f->use == INTEGER_WORD || dtype_info(f->dtype)->bytes == 1) {
        const int64_t end = type_end(f->dtype), first = f->dtype == DT_U8 ? 0 : -end;
        return (double)(first + (int64_t)(h % (uint64_t)(end - first)));
    }
    return (double)(h % SMALL);
}

/* Element i. */
static double number(const Fill *f, size_t i)
{
    const uint64_t h = hash_mix(f->seed, i);
    if (dtype_is_float(f->dtype))
        return (double)(h >> 11) * 0x1p-52 - 1;
    if (!dtype_is_int(f->dtype))
        return h % FEW_FALSE != 0;
    switch (f->use) {
    case INTEGER_ANY:
    case INTEGER_WORD:
        return any_integer(f, h);
    case INTEGER_SAME:
        return 0;
    case INTEGER_INDEX:
        return (double)(h % (uint64_t)f->below);
    case INTEGER_PLACE:
        break;
    }
    const int64_t at = (int64_t)(i % (size_t)f->span), before = f->below - f->span;
    return (double)(before >= 0 ? before + at : at % f->below);
}

void trial_fill(const Graph *body, uint32_t input, uint64_t seed, void *data, size_t n)
{
    const Fill f = fill_of(body, body->inputs.at[input], seed);
    for (size_t i = 0; i < n; i++)
        dtype_store(f.dtype, data, i, number(&f, i));
}

int64_t trial_past(const Graph *body)
{
    int64_t past = 0;
    for (uint32_t i = 0; i < body->nodes.n; i++) {
        const Node *n = body->nodes.at[i];
        if (!node_is_slot(n, "len"))
            continue;
        const Fill f = fill_of(body, n, 0);
        past = f.below > f.span ? f.below - f.span : 0;
    }
    return past;
}
