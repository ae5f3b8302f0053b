/* kern_map.c: elementwise groups: one index space P, cut into tasks of `grain` elements.
 *
 * P = outer x inner: the inner dims are walked as one flat vector loop, the outer ones as one loop
 * around it. The split with the cheapest reads is taken: all dims flat when every operand is read
 * in order, fewer when rows are broadcast or transposed. */
#include "lower.h"

enum { NARROW_WIDTH = 8, MANY_THREADS = 1 << 18 /* as many as a GPU has at once */ };

typedef struct MapLoops {
    const Type *type;
    uint32_t split; /* dims [0, split) are outer */
    const Dim *nouter, *ninner;
    const Ix *outer;
} MapLoops;

static void map_index(Lower *lo, const MapLoops *m, const Ix *inner, const Ix **ix)
{
    ix_unflatten(lo->ir, m->outer, m->type->dims, m->split, ix);
    ix_unflatten(lo->ir, inner, m->type->dims + m->split, m->type->rank - m->split, ix + m->split);
}

static double cost_of_split(Lower *lo, MapLoops *m)
{
    KPhase dry = {0};
    const Ix *ix[IR_MAX_RANK];
    scope_begin(lo, &dry);
    m->outer = scope_var(lo, ke_int(lo->k, 0), m->nouter);
    const Ix *inner = scope_vector_var(lo, ke_int(lo->k, 0), m->ninner, NULL);
    map_index(lo, m, inner, ix);
    double cost = 0;
    for (uint32_t r = 0; r < lo->body->results.n; r++)
        cost += lower_probe(lo, lo->body->results.at[r].node, ix);
    if (m->split > 0 && dim_hi(lo->ir, m->ninner) < lo->k->width)
        cost += 2; /* most lanes idle */
    return cost;
}

static void set_split(Lower *lo, MapLoops *m, uint32_t split)
{
    m->split = split;
    m->nouter = dims_product(lo->ir, m->type->dims, split);
    m->ninner = dims_product(lo->ir, m->type->dims + split, m->type->rank - split);
}

static MapLoops choose_loops(Lower *lo)
{
    MapLoops m = {.type = lo->body->results.at[0].node->type}, best = m;
    double least = -1;
    for (uint32_t split = 0; split < m.type->rank || split == 0; split++) {
        set_split(lo, &m, split);
        double cost = cost_of_split(lo, &m);
        if (least < 0 || cost < least) {
            least = cost;
            best = m;
        }
    }
    return best;
}

static void map_body(Lower *lo, const Ix *inner, void *user)
{
    const MapLoops *m = user;
    const Ix *ix[IR_MAX_RANK];
    map_index(lo, m, inner, ix);
    uint64_t all = (UINT64_C(2) << (lo->body->results.n - 1)) - 1;
    lower_results(lo, all, ix);
}

static bool is_whole(Lower *lo, const MapLoops *m)
{
    int64_t n;
    return dim_is_const(m->ninner, &n) && n % lo->k->width == 0;
}

/* Walks inner [from, to) of the current row. */
static void map_inner(Lower *lo, MapLoops *m, const KExpr *from, const KExpr *to)
{
    LanesSpec spec = {
        .stem = "i", .lo = from, .hi = to, .extent = m->ninner, .whole = is_whole(lo, m)};
    lower_lanes(lo, &spec, map_body, m);
}

/* The one vector of a thread of a GPU, which exists: no loop. */
static void map_vector(Lower *lo, MapLoops *m, const KExpr *from)
{
    scope_plain(lo);
    map_body(lo, scope_vector_var(lo, from, m->ninner, NULL), m);
    scope_end(lo);
}

/* Task = one stretch of `grain` elements of a row; there are `chunks` of them in a row. */
static void map_chunks(Lower *lo, MapLoops *m, int64_t grain)
{
    Kernel *k = lo->k;
    int64_t chunks = ceil_div(dim_hi(lo->ir, m->ninner), grain);
    chunks = chunks > 0 ? chunks : 1;
    KPhase *phase =
        kernel_phase(k, "", dim_mul(lo->ir, m->nouter, dim_const(lo->ir, chunks)), "elementwise");
    scope_begin(lo, phase);
    const KExpr *task = lower_task(lo), *kc = ke_int(k, chunks);
    bool one_row = dim_equals(m->nouter, 1);
    const KExpr *row = one_row ? ke_int(k, 0) : ke_index(k, KI_DIV, task, kc);
    const KExpr *chunk = one_row ? task : ke_index(k, KI_MOD, task, kc);
    const KExpr *from = ke_mul(lo, chunk, ke_int(k, grain));
    if (chunks > 1)
        from = ks_let(k, &phase->body, "from", from);
    if (!one_row)
        row = ks_let(k, &phase->body, "row_index", row);
    m->outer = scope_var(lo, row, m->nouter);
    if (k->threads && !lo->scalar && grain == k->width && is_whole(lo, m)) {
        map_vector(lo, m, chunks > 1 ? from : ke_int(k, 0));
        return;
    }
    const KExpr *to = ke_extent(k, m->ninner);
    if (chunks > 1)
        to = ks_let(k, &phase->body, "to", ke_min(lo, ke_add(lo, from, ke_int(k, grain)), to));
    map_inner(lo, m, chunks > 1 ? from : ke_int(k, 0), to);
}

/* Task = several whole rows. */
static void map_rows(Lower *lo, MapLoops *m, int64_t rows)
{
    Kernel *k = lo->k;
    int64_t tasks = ceil_div(dim_hi(lo->ir, m->nouter), rows);
    const Dim *ntask = rows == 1 ? m->nouter : dim_const(lo->ir, tasks);
    KPhase *phase = kernel_phase(k, "", ntask, "elementwise, by rows");
    scope_begin(lo, phase);
    const KExpr *from = ke_mul(lo, lower_task(lo), ke_int(k, rows));
    const KExpr *to = ke_min(lo, ke_add(lo, from, ke_int(k, rows)), ke_extent(k, m->nouter));
    m->outer = scope_loop(lo, &(LoopSpec){.stem = "o", .lo = from, .hi = to, .extent = m->nouter});
    map_inner(lo, m, ke_int(k, 0), ke_extent(k, m->ninner));
    scope_end(lo);
}

/* Whether all that is read and written for each element has 16 bits, and there are many: then a thread of a GPU has
 * as many of them as 16 bytes. */
static bool is_narrow(Lower *lo, const Type *type)
{
    const Graph *body = lo->body;
    int64_t all;
    const Dim *count = type_count(lo->ir, type);
    bool narrow = lo->k->threads && dim_is_const(count, &all) && all % NARROW_WIDTH == 0 &&
                  all >= (int64_t)MANY_THREADS * NARROW_WIDTH;
    for (uint32_t i = 0; i < body->inputs.n && narrow; i++) {
        const Type *t = body->inputs.at[i]->type;
        narrow = dtype_info(t->dtype)->bytes == 2 || dim_hi(lo->ir, type_count(lo->ir, t)) < all;
    }
    for (uint32_t i = 0; i < body->results.n && narrow; i++)
        narrow = dtype_info(body->results.at[i].node->type->dtype)->bytes == 2;
    return narrow;
}

void lower_map(Lower *lo)
{
    const Type *type = lo->body->results.at[0].node->type;
    ASSERT(lo->body->results.n > 0 && lo->body->results.n <= 64);
    lo->scalar = lo->scalar || dim_hi(lo->ir, type_count(lo->ir, type)) == 1;
    if (is_narrow(lo, type))
        lo->k->width = NARROW_WIDTH;
    MapLoops m = choose_loops(lo);
    int64_t w = lo->k->width, grain = lower_config(lo, "grain");
    grain = ceil_div(grain > 0 ? grain : 1, w) * w;
    int64_t inner = dim_hi(lo->ir, m.ninner);
    if (m.split == 0 || inner >= grain)
        map_chunks(lo, &m, grain);
    else
        map_rows(lo, &m, grain / (inner > 0 ? inner : 1));
}
