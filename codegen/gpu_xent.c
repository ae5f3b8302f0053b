/* gpu_xent.c: cross-entropy of a product, and its derivative, on a GPU, without a tensor of all scores.
 *
 * Rows go in rounds of `chunk`; those whose mask is false are left out before, so they cost nothing. Blocks compute
 * tiles of a round's scores (gpu_tile.c) and fold each row of a tile at once to maximum, sum of exponentials,
 * sum, and the target's score: four floats, which warps join in the order of the classes. For the derivative
 * the scores of the round, and of no other, are kept in the workspace, rounded where the body rounds them;
 * they become their cotangents in place, of which come the gradient of w and that of x, as products of tiles.
 * So each score is computed once. Sums over rounds are kept in f32: in the result, or in the workspace where that
 * has 16 bits.
 *
 * The products are those of a small graph of our own: rows of x at the indices of the rows that are read, and
 * scores that lie in memory, are operands there like any others. All orders follow from extents.
 *
 * Phases: rows, dead, round, pack (for warpgroups), scores, join; and turn, weights, inputs. Rounds run one after the other. */
#include "gpu_xent.h"

#include <math.h>
#include <string.h>

enum {
    MOST_THREADS = 1024,
    LEAST_THREADS = 128,
    THREADS = 256,
    SCORES_LINE = 64,
    PADDED_ROWS = 64
};

/* ---- helpers ---- */

uint32_t gpu_xent_result(const Lower *lo, const Node *n)
{
    for (uint32_t r = 0; n && r < lo->body->results.n; r++)
        if (xent_is_result(lo->body, r, n))
            return r;
    return NO_VAR;
}

uint32_t gpu_xent_weights_result(const Lower *lo, const GpuXent *c)
{
    return gpu_xent_result(lo, c->x.after ? c->x.after : c->x.dw);
}

static const KExpr *narrow_int(Lower *lo, const KExpr *e)
{
    return ke_apply(lo, KT_I32, "(int32_t)%0", e, NULL);
}

const KExpr *gpu_xent_wide(Lower *lo, uint32_t buf, const KExpr *at)
{
    return ke_apply(lo, KT_I64, "(int64_t)%0", ke_load(lo->k, buf, at), NULL);
}

static const KExpr *first_round(Lower *lo)
{
    return ke_test(lo->k, "==", kernel_round(lo->k), ke_int(lo->k, 0));
}

KPhase *gpu_xent_phase(Lower *lo, GpuXent *c, const char *suffix, const Dim *tasks)
{
    Kernel *k = lo->k;
    KPhase *phase = kernel_phase(k, suffix, tasks, "one part of a round of rows");
    scope_begin(lo, phase);
    const KExpr *all = gpu_xent_wide(lo, c->live, ke_extent(k, c->rows));
    const KExpr *chunk = ke_int(k, c->chunk);
    c->base = ks_let(k, &phase->body, "base", ke_mul(lo, kernel_round(k), chunk));
    const KExpr *left = ke_index(k, KI_MAX, ke_sub(lo, all, c->base), ke_int(k, 0));
    c->n = ks_let(k, &phase->body, "n", ke_min(lo, left, chunk));
    return phase;
}

const KExpr *gpu_xent_row_value(Lower *lo, const Node *n, const KExpr *row)
{
    const Ix *ix[IR_MAX_RANK];
    const Type *t = n->type;
    ix_unflatten(lo->ir, scope_var(lo, row, type_count(lo->ir, t)), t->dims, t->rank, ix);
    return lower_value(lo, n, ix);
}

LanesSpec gpu_xent_line(Lower *lo, const Dim *columns, const KExpr **line)
{
    Kernel *k = lo->k;
    const KExpr *w = ke_int(k, k->width), *task = lower_task(lo);
    int64_t all = dim_fixed(columns), vectors = ceil_div(all, k->width);
    *line = ks_let(k, lo->scope->block, "line", ke_index(k, KI_DIV, task, ke_int(k, vectors)));
    const KExpr *from = ke_mul(lo, ke_index(k, KI_MOD, task, ke_int(k, vectors)), w);
    from = ks_let(k, lo->scope->block, "from", from);
    const KExpr *to = ke_min(lo, ke_add(lo, from, w), ke_int(k, all));
    to = ks_let(k, lo->scope->block, "to", to);
    return (LanesSpec){
        .stem = "v", .lo = from, .hi = to, .extent = columns, .whole = all % k->width == 0};
}

static void store_result(Lower *lo, const Node *n, const KExpr *row, const KExpr *value)
{
    uint32_t r = gpu_xent_result(lo, n);
    if (r != NO_VAR)
        ks_store(lo->k, lo->scope->block, lo->out[r], row, value);
}

/* ---- rows ---- */

/* A row that is not read: scores of zeros. */
static void store_dead(Lower *lo, const GpuXent *c, const KExpr *row)
{
    const KExpr *zero = ke_num(lo->k, KT_F32, 0);
    store_result(lo, c->x.log_sum, row, ke_num(lo->k, KT_F32, log((double)c->x.classes)));
    store_result(lo, c->x.hit, row, zero);
    store_result(lo, c->x.mean, row, zero);
    store_result(lo, c->x.max, row, zero);
}

/* Opens a walk of a warp over its rows [0] .. [1]; of this lane: the row, and whether it is read. */
static const KExpr *open_rows(Lower *lo, const GpuXent *c, const KExpr *const range[2],
                              const KExpr **row)
{
    Kernel *k = lo->k;
    scope_loop(
        lo, &(LoopSpec){
                .stem = "piece", .lo = range[0], .hi = range[1], .extent = c->rows, .step = WARP});
    const KExpr *lane = ke_text(k, KT_I64, "mdl_lane()", NULL, 0);
    *row = ks_let(k, lo->scope->block, "row", ke_add(lo, lo->var[lo->nvar - 1].at, lane));
    const KExpr *alive = ks_var(k, lo->scope->block, "alive", ke_num(k, KT_I32, 0));
    scope_if(lo, ke_test(k, "<", *row, range[1]));
    const KExpr *mask = gpu_xent_row_value(lo, c->mask, *row);
    ks_set(k, lo->scope->block, alive, ke_apply(lo, KT_I32, "(%0 != 0)", mask, NULL));
    scope_end(lo);
    return alive;
}

static const KExpr *how_many(Lower *lo, const char *text, const KExpr *alive)
{
    return ke_apply(lo, KT_I64, text, alive, NULL);
}

/* Lists the rows of a warp, of which `at` is the place of the first. */
static void list_rows(Lower *lo, const GpuXent *c, const KExpr *const range[2], const KExpr *at)
{
    Kernel *k = lo->k;
    const KExpr *row, *alive = open_rows(lo, c, range, &row);
    const KExpr *before = how_many(lo, "(int64_t)mdl_bits_before(mdl_ballot(%0))", alive);
    before = ks_let(k, lo->scope->block, "before", before);
    scope_if(lo, ke_apply(lo, KT_BOOL, "(%0 != 0)", alive, NULL));
    ks_store(k, lo->scope->block, c->live, ke_add(lo, at, before), narrow_int(lo, row));
    scope_end(lo);
    const KExpr *in = ke_test(k, "<", row, range[1]);
    scope_if(lo, ke_test(k, "&&", in, ke_apply(lo, KT_BOOL, "(%0 == 0)", alive, NULL)));
    store_dead(lo, c, row);
    scope_end(lo);
    ks_set(k, lo->scope->block, at,
           ke_add(lo, at, how_many(lo, "(int64_t)mdl_bits(mdl_ballot(%0))", alive)));
    scope_end(lo);
}

/* Sum of the counts of warps below `end`. */
static void add_counts(Lower *lo, uint32_t counts, const KExpr *sum, const KExpr *end)
{
    Kernel *k = lo->k;
    scope_loop(
        lo,
        &(LoopSpec){.stem = "w", .lo = ke_int(k, 0), .hi = end, .extent = dim_const(lo->ir, WARP)});
    const KExpr *count = gpu_xent_wide(lo, counts, lo->var[lo->nvar - 1].at);
    ks_set(k, lo->scope->block, sum, ke_add(lo, sum, count));
    scope_end(lo);
}

/* Once, by one block: every warp counts in a part of the rows, and then lists them behind those before. */
static void rows_phase(Lower *lo, GpuXent *c)
{
    Kernel *k = lo->k;
    KPhase *phase = kernel_phase(k, "rows", dim_const(lo->ir, 1), "lists the rows that are read");
    bool many = dim_hi(lo->ir, c->rows) > LEAST_THREADS;
    phase->threads = phase->team = many ? MOST_THREADS : LEAST_THREADS;
    int64_t warps = phase->threads / WARP;
    uint32_t counts = kernel_shared(k, "counts", DT_I32, warps);
    scope_begin(lo, phase);
    scope_if(lo, first_round(lo));
    KBlock *block = lo->scope->block;
    const KExpr *warp = ks_let(k, block, "warp", ke_text(k, KT_I64, "mdl_warp()", NULL, 0));
    const KExpr *each = ke_add(lo, ke_extent(k, c->rows), ke_int(k, warps * WARP - 1));
    each = ke_mul(lo, ke_index(k, KI_DIV, each, ke_int(k, warps * WARP)), ke_int(k, WARP));
    each = ks_let(k, block, "each", each);
    const KExpr *range[2] = {ks_let(k, block, "from", ke_mul(lo, warp, each))};
    range[1] = ke_min(lo, ke_add(lo, range[0], each), ke_extent(k, c->rows));
    range[1] = ks_let(k, block, "to", range[1]);
    const KExpr *count = ks_var(k, block, "count", ke_int(k, 0));
    const KExpr *row, *alive = open_rows(lo, c, range, &row);
    ks_set(k, lo->scope->block, count,
           ke_add(lo, count, how_many(lo, "(int64_t)mdl_bits(mdl_ballot(%0))", alive)));
    scope_end(lo);
    scope_if(lo, ke_test(k, "==", ke_text(k, KT_I64, "mdl_lane()", NULL, 0), ke_int(k, 0)));
    ks_store(k, lo->scope->block, counts, warp, narrow_int(lo, count));
    scope_end(lo);
    ks_call(k, block, ke_text(k, KT_PTR, "mdl_syncthreads()", NULL, 0));
    const KExpr *at = ks_var(k, block, "at", ke_int(k, 0));
    add_counts(lo, counts, at, warp);
    list_rows(lo, c, range, at);
    scope_if(lo, ke_test(k, "==", ke_text(k, KT_I64, "mdl_thread()", NULL, 0), ke_int(k, 0)));
    const KExpr *all = ks_var(k, lo->scope->block, "all", ke_int(k, 0));
    add_counts(lo, counts, all, ke_int(k, warps));
    ks_store(k, lo->scope->block, c->live, ke_extent(k, c->rows), narrow_int(lo, all));
    scope_end(lo);
    scope_end(lo);
}

typedef struct Line {
    GpuXent *c;
    const KExpr *row;
    uint32_t result;
    const KExpr *value;
} Line;

static void store_zeros(Lower *lo, const Ix *feature, void *user)
{
    const Line *l = user;
    const Type *t = lo->body->results.at[l->result].node->type;
    const Ix *ix[IR_MAX_RANK];
    ix_unflatten(lo->ir, scope_var(lo, l->row, l->c->rows), t->dims, t->rank - 1, ix);
    ix[t->rank - 1] = feature;
    lower_store(lo, l->result, ix, ke_num(lo->k, KT_VF, 0));
}

/* Once: the gradient of rows that are not read. */
static void dead_phase(Lower *lo, GpuXent *c)
{
    Kernel *k = lo->k;
    Line l = {.c = c, .result = gpu_xent_result(lo, c->x.dx)};
    if (l.result == NO_VAR)
        return;
    int64_t vectors = ceil_div(c->x.depth, k->width);
    const Dim *tasks = dim_mul(lo->ir, c->rows, dim_const(lo->ir, vectors));
    KPhase *phase = kernel_phase(k, "dead", tasks, "zeros for the rows that are not read");
    phase->threads = THREADS;
    scope_begin(lo, phase);
    LanesSpec spec = gpu_xent_line(lo, c->features, &l.row);
    scope_if(lo, first_round(lo));
    const KExpr *mask = gpu_xent_row_value(lo, c->mask, l.row);
    scope_if(lo, ke_apply(lo, KT_BOOL, "(%0 == 0)", mask, NULL));
    lower_lanes(lo, &spec, store_zeros, &l);
    scope_end(lo);
    scope_end(lo);
}

/* The rows of this round, and their targets. */
static void round_phase(Lower *lo, GpuXent *c)
{
    Kernel *k = lo->k;
    gpu_xent_phase(lo, c, "round", dim_const(lo->ir, c->chunk));
    const KExpr *i = lower_task(lo);
    scope_if(lo, ke_test(k, "<", i, c->n));
    const KExpr *row = gpu_xent_wide(lo, c->live, ke_add(lo, c->base, i));
    row = ks_let(k, lo->scope->block, "row", row);
    ks_store(k, lo->scope->block, lo->in[c->list->id], i, narrow_int(lo, row));
    ks_store(k, lo->scope->block, c->target, i, gpu_xent_row_value(lo, c->targets, row));
    scope_end(lo);
}

/* ---- rows side by side ---- */

const KExpr *gpu_xent_padded(Lower *lo, const GpuXent *c)
{
    const KExpr *step = ke_int(lo->k, PADDED_ROWS);
    const KExpr *up = ke_add(lo, c->n, ke_int(lo->k, PADDED_ROWS - 1));
    return ke_mul(lo, ke_index(lo->k, KI_DIV, up, step), step);
}

static void pack_lanes(Lower *lo, const Ix *feature, void *user)
{
    const Line *l = user;
    Kernel *k = lo->k;
    const LowerVar v = lo->var[lo->nvar - 1];
    const KExpr *x = ks_var(k, lo->scope->block, "x", ke_num(k, KT_VF, 0));
    scope_if(lo, ke_test(k, "<", l->row, l->c->n));
    const Ix *ix[] = {scope_var(lo, l->row, dim_const(lo->ir, l->c->chunk)), feature};
    ks_set(k, lo->scope->block, x, lower_spread(lo, lower_value(lo, l->c->picked, ix)));
    scope_end(lo);
    const KExpr *line = ke_mul(lo, l->row, ke_int(k, l->c->x.depth));
    ks_store(k, lo->scope->block, lo->in[l->c->lines->id], ke_add(lo, line, v.at), x)->lanes =
        v.lanes;
}

static void pack_phase(Lower *lo, GpuXent *c)
{
    Line l = {.c = c};
    int64_t vectors = ceil_div(c->x.depth, lo->k->width);
    KPhase *phase = gpu_xent_phase(lo, c, "pack", dim_const(lo->ir, c->chunk * vectors));
    phase->threads = THREADS;
    LanesSpec spec = gpu_xent_line(lo, c->features, &l.row);
    scope_if(lo, ke_test(lo->k, "<", l.row, gpu_xent_padded(lo, c)));
    lower_lanes(lo, &spec, pack_lanes, &l);
    scope_end(lo);
}

/* ---- join ---- */

/* Statistics of a row: its maximum and the log of the sum, computed or given, and the cotangents. */
static void store_stats(Lower *lo, const GpuXent *c, const KExpr *row, uint32_t stat)
{
    Kernel *k = lo->k;
    const KExpr *to = ke_mul(lo, lower_task(lo), ke_int(k, XENT_STATS));
    for (int64_t i = 0; c->gradient && i < 2; i++) {
        const KExpr *x = c->x.log_sum ? ke_load(k, stat, ke_int(k, i))
                                      : gpu_xent_row_value(lo, c->given[i], row);
        ks_store(k, lo->scope->block, c->stats, ke_add(lo, to, ke_int(k, i)), x);
    }
    for (int64_t i = 0; c->gradient && i < 3; i++) {
        const KExpr *d = gpu_xent_row_value(lo, c->cotangent[i], row);
        const KExpr *n = ke_num(k, KT_F32, (double)c->x.classes);
        ks_store(k, lo->scope->block, c->stats, ke_add(lo, to, ke_int(k, 4 + i)),
                 i == 2 ? ke_apply(lo, KT_F32, "(%0 / %1)", d, n) : d);
    }
}

static void join_phase(Lower *lo, GpuXent *c)
{
    Kernel *k = lo->k;
    KPhase *phase = gpu_xent_phase(lo, c, "join", dim_const(lo->ir, c->chunk));
    team_begin(lo, phase, WARP);
    const KExpr *i = lower_task(lo);
    scope_if(lo, ke_test(k, "<", i, c->n));
    uint32_t stat = 0;
    if (c->x.log_sum) {
        stat = ks_local(k, lo->scope->block, "stat", KT_F32, 4);
        const KExpr *arg[] = {ke_addr(k, c->parts, ke_mul(lo, i, ke_int(k, c->tiles * 4))),
                              ke_int(k, c->tiles), ke_num(k, KT_F32, (double)c->x.classes),
                              ke_addr(k, stat, ke_int(k, 0))};
        ks_call(k, lo->scope->block, ke_text(k, KT_PTR, "mdl_scores_join(%0, %1, %2, %3)", arg, 4));
    }
    team_first(lo);
    const KExpr *row = gpu_xent_wide(lo, lo->in[c->list->id], i);
    row = ks_let(k, lo->scope->block, "row", row);
    const Node *const out[] = {c->x.max, c->x.log_sum, c->x.hit, c->x.mean};
    for (int64_t j = 0; c->x.log_sum && j < (int64_t)COUNT(out); j++)
        store_result(lo, out[j], row, ke_load(k, stat, ke_int(k, j)));
    store_stats(lo, c, row, stat);
    scope_end(lo);
    scope_end(lo);
}

/* ---- the graph of the products ---- */

static const Node *copy_of(GpuXent *c, const Node *n)
{
    if (!n || c->copy[n->id])
        return n ? c->copy[n->id] : NULL;
    const Node *copy;
    if (gen_info(n->op)->value == value_input) {
        copy = graph_input(c->g, node_sym(n, "name"), n->type);
    } else {
        const Node **in = NEW_ARRAY(c->g->arena, const Node *, n->nin + 1);
        for (uint32_t i = 0; i < n->nin; i++)
            in[i] = copy_of(c, n->in[i]);
        copy = graph_copy_node(c->g, n, in);
    }
    ASSERT(copy);
    c->copy[n->id] = copy;
    return copy;
}

static const Node *new_input(Lower *lo, GpuXent *c, const char *name, const Type *t)
{
    return graph_input(c->g, sym(lo->ir->syms, name), t);
}

/* The products, of which `a_axis` and `b_axis` are the depth. */
static void add_product(Lower *lo, GpuXent *c, const Node *a, const Node *b, const int64_t axis[2])
{
    DotAxes axes = {.ncontract = 1,
                    .tf32 = node_int(c->x.dot, "tf32") != 0,
                    .a_contract = {axis[0]},
                    .b_contract = {axis[1]}};
    GemmSet *set = &c->products.set[c->products.nset];
    Gemm *g = NEW(lo->arena, Gemm);
    g->dot = graph_dot(c->g, a, b, &axes);
    ASSERT(g->dot);
    set->dot[0] = g;
    set->n = 1;
    set->number = c->products.nset++;
    set->as_it_is = true;
}

static void make_graph(Lower *lo, GpuXent *c)
{
    c->g = graph_new(lo->ir, lo->arena, sym(lo->ir->syms, "products"));
    c->copy = NEW_ARRAY(lo->arena, const Node *, lo->body->nodes.n + 1);
    const Dim *chunk = dim_const(lo->ir, c->chunk);
    const Dim *scores[] = {chunk, dim_const(lo->ir, c->line)};
    const Dim *lines[] = {c->rows, c->features};
    c->list = new_input(lo, c, "rows", type_tensor(lo->ir, DT_I32, 1, &chunk));
    c->z = new_input(lo, c, "scores", type_tensor(lo->ir, c->half, 2, scores));
    const Node *x = copy_of(c, c->x.x), *w = copy_of(c, c->x.w);
    if (x->type->rank != 2)
        x = graph_reshape(c->g, x, 2, lines);
    x = c->picked = graph_gather(c->g, x, c->list, 0, 0);
    if (c->packed) {
        const Dim *kept[] = {chunk, c->features};
        c->lines = new_input(lo, c, "lines",
                             type_tensor(lo->ir, products_operand(c->x.dot->in[0]), 2, kept));
        x = graph_cast(c->g, DT_F32, c->lines);
    }
    const Node *z =
        graph_slice(c->g, c->z, 1, dim_const(lo->ir, 0), dim_const(lo->ir, c->x.classes));
    z = graph_cast(c->g, DT_F32, z);
    static const int64_t last[] = {1, 1}, first[] = {0, 0}, mixed[] = {1, 0};
    add_product(lo, c, x, w, last);
    if (c->gradient) {
        add_product(lo, c, z, x, first);
        add_product(lo, c, z, w, mixed);
    }
    c->mask = copy_of(c, c->x.mask);
    c->targets = copy_of(c, c->x.targets);
    if (!c->gradient)
        return;
    const Node *const d[] = {c->x.dlog_sum, c->x.dhit, c->x.dmean};
    for (size_t i = 0; i < COUNT(d); i++)
        c->cotangent[i] = copy_of(c, d[i]);
    if (c->x.after) {
        c->dw = c->copy[c->x.dw->id] = new_input(lo, c, "dw", c->x.dw->type);
        c->after = copy_of(c, c->x.after);
    }
    if (c->x.log_sum)
        return;
    c->given[0] = copy_of(c, c->x.given_max);
    c->given[1] = copy_of(c, c->x.given_log_sum);
}

/* Values are those of the new graph from now on; its inputs that the body has lie where they lay. */
static void move_to_graph(Lower *lo, const GpuXent *c)
{
    uint32_t n = c->g->nodes.n + 1;
    uint32_t *in = NEW_ARRAY(lo->arena, uint32_t, n);
    for (uint32_t i = 0; i < lo->body->inputs.n; i++) {
        const Node *formal = lo->body->inputs.at[i], *copy = c->copy[formal->id];
        if (copy)
            in[copy->id] = lo->in[formal->id];
    }
    lo->in = in;
    lo->seed = NEW_ARRAY(lo->arena, const KExpr *, n);
    lo->seeded = NEW_ARRAY(lo->arena, bool, n);
}

/* ---- the kernel ---- */

static uint32_t workspace(Lower *lo, const char *name, DType t, int64_t count)
{
    return kernel_workspace(lo->k, name, t, dim_const(lo->ir, count));
}

static void make_buffers(Lower *lo, GpuXent *c)
{
    const Dim *rows = dim_add(lo->ir, c->rows, dim_const(lo->ir, 1));
    c->live = kernel_workspace(lo->k, "live", DT_I32, rows);
    lo->in[c->list->id] = workspace(lo, "rows", DT_I32, c->chunk);
    c->target = workspace(lo, "target", DT_I32, c->chunk);
    if (c->packed)
        lo->in[c->lines->id] = workspace(lo, "lines", c->lines->type->dtype, c->chunk * c->x.depth);
    if (c->x.log_sum)
        c->parts = workspace(lo, "parts", DT_F32, c->chunk * c->tiles * 4);
    if (!c->gradient)
        return;
    c->stats = workspace(lo, "stats", DT_F32, c->chunk * XENT_STATS);
    lo->in[c->z->id] = workspace(lo, "scores", c->half, c->chunk * c->line);
    uint32_t dw = gpu_xent_weights_result(lo, c);
    c->keeps_sums = dw != NO_VAR && lo->k->again > 0 && lo->body->results.at[dw].node != c->x.dw;
    if (c->keeps_sums)
        c->sums = workspace(lo, "sums", DT_F32, c->x.classes * c->x.depth);
}

static void choose_sizes(Lower *lo, GpuXent *c)
{
    int64_t bm = lower_config(lo, "bm"), bn = lower_config(lo, "bn");
    int64_t bk = lower_config(lo, "bk"), rows = larger(dim_hi(lo->ir, c->rows), 1);
    /* whole tiles of rows, and whole steps of depth */
    c->chunk = round_up(smaller(lower_config(lo, "rows"), rows), larger(bm, bk));
    c->tiles = ceil_div(c->x.classes, bn);
    c->line = round_up(c->x.classes, SCORES_LINE);
    lo->k->again = (uint32_t)(ceil_div(rows, c->chunk) - 1);
}

static void describe(Lower *lo, GpuXent *c)
{
    if (!xent_match(lo->body, &c->x))
        BUG("codegen: %s is no linear cross-entropy", lo->k->name);
    c->gradient = c->x.dx || c->x.dw;
    c->half = c->x.score == c->x.dot ? DT_F32 : c->x.score->in[0]->type->dtype;
    c->rows = c->x.rows;
    c->features = dim_const(lo->ir, c->x.depth);
    choose_sizes(lo, c);
    DType dt = products_operand(c->x.dot->in[0]);
    c->packed = lower_config(lo, "groups") != 0 && products_operand(c->x.dot->in[1]) == dt &&
                dtype_is_half(dt);
    make_graph(lo, c);
    move_to_graph(lo, c);
    gemm_describe(lo, &c->products);
    for (uint32_t s = 0; s < c->products.nset; s++)
        if (tile_operand(&c->products.set[s]) != DT_F32)
            lo->k->width = 8;
    make_buffers(lo, c);
    for (uint32_t s = 0; s < c->products.nset; s++)
        tile_shape(lo, &c->tile[s], &c->products.set[s]);
    for (uint32_t s = 0; s < c->products.nset; s++) {
        c->ring[s] = (RingKernel){.sets = &c->tile[s], .n = 1, .user = c};
        ring_fit(lo, &c->ring[s]);
    }
}

void gpu_xent(Lower *lo)
{
    GpuXent c = {0};
    describe(lo, &c);
    rows_phase(lo, &c);
    dead_phase(lo, &c);
    round_phase(lo, &c);
    if (c.packed)
        pack_phase(lo, &c);
    gpu_xent_scores(lo, &c);
    join_phase(lo, &c);
    if (!c.gradient)
        return;
    gpu_xent_turn(lo, &c);
    gpu_xent_weights(lo, &c);
    gpu_xent_inputs(lo, &c);
}
