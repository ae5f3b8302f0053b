/* kern_gemm.c: matrix products with elementwise operands and epilogue, after GotoBLAS: panels of
 * both operands, a register tile of mr x nr held in vectors, depth in blocks of kc. Several dots of one
 * result space may share a task and its epilogue, and sets of them a launch (gemm_set.c).
 *
 * The grid of tasks is fixed by the plan: mt x nt tiles of the result per batch member, each over
 * the whole depth, so no sum depends on the number of threads. An operand that several tasks read is
 * packed once, by a first phase; a large left one by every task. Partial sums live
 * in the task's scratch, never in the result, which may share memory with an operand of the
 * epilogue; the epilogue runs on a tile right after its last block, while it is in cache.
 *
 * Config mr nr kc mc nc, for the choice by `pick`: avx512 14 32 1024 112 2048, avx2 6 16 256 72 2048,
 * generic 4 8 256 64 1024. Any mr works, and any nr after rounding up to W; kc is rounded up to W, mc
 * and nc are upper ends of mt and nt. */
#include "gemm.h"

#include <string.h>

enum {
    ENOUGH_TASKS = 32,
    TASK_FLOPS = 1 << 20,
    SMALL_TASK_FLOPS = 1 << 18,
    OWN_PACK_BYTES = 1 << 19,
    SHARED_LEFT_BYTES = 1 << 24 /* more is packed by each task: memory counts */
};

/* ---- shape ---- */

static void describe_side(Lower *lo, GemmSide *s, const Node *n, const int64_t *batch,
                          const int64_t *depth)
{
    s->node = n;
    s->batch = batch;
    s->depth = depth;
    s->nfree = 0;
    s->rows = dim_const(lo->ir, 1);
    for (uint32_t i = 0; i < n->type->rank; i++) {
        bool used = false;
        for (uint32_t k = 0; k < s->nbatch; k++)
            used = used || batch[k] == i;
        for (uint32_t k = 0; k < s->ndepth; k++)
            used = used || depth[k] == i;
        if (used)
            continue;
        s->free[s->nfree++] = i;
        s->rows = dim_mul(lo->ir, s->rows, n->type->dims[i]);
    }
}

/* A vector on the right would leave lanes idle; see also gemm_wants_swap. */
static void choose_sides(Lower *lo, Gemm *g, const GemmSet *set)
{
    bool vector = dim_equals(g->right.rows, 1) && !dim_equals(g->left.rows, 1);
    if (vector || (set->n == 1 && gemm_wants_swap(lo, g, set->results))) {
        GemmSide t = g->left;
        g->left = g->right;
        g->right = t;
        g->swapped = true;
    }
    g->left.together = g->right.together = 1;
    g->left.name = "a_panels";
    g->right.name = "b_panels";
}

static double flops_of(Lower *lo, const Gemm *g)
{
    return 2.0 * (double)dim_hi(lo->ir, g->nbatch) * (double)dim_hi(lo->ir, g->depth) *
           (double)dim_hi(lo->ir, g->left.rows) * (double)dim_hi(lo->ir, g->right.rows);
}

static double set_flops(Lower *lo, const GemmSet *set)
{
    double flops = 0;
    for (uint32_t d = 0; d < set->n; d++)
        flops += flops_of(lo, set->dot[d]);
    return flops;
}

static void describe(Lower *lo, Gemm *g)
{
    node_dot_axes(g->dot, &g->axes);
    const DotAxes *x = &g->axes;
    g->left.nbatch = g->right.nbatch = x->nbatch;
    g->left.ndepth = g->right.ndepth = x->ncontract;
    describe_side(lo, &g->left, g->dot->in[0], x->a_batch, x->a_contract);
    describe_side(lo, &g->right, g->dot->in[1], x->b_batch, x->b_contract);
    g->nbatch = g->depth = dim_const(lo->ir, 1);
    const Type *t = g->left.node->type;
    for (uint32_t i = 0; i < x->nbatch; i++)
        g->nbatch = dim_mul(lo->ir, g->nbatch, t->dims[g->left.batch[i]]);
    for (uint32_t i = 0; i < x->ncontract; i++)
        g->depth = dim_mul(lo->ir, g->depth, t->dims[g->left.depth[i]]);
}

void gemm_describe(Lower *lo, const GemmKernel *kn)
{
    for (uint32_t s = 0; s < kn->nset; s++) {
        for (uint32_t d = 0; d < kn->set[s].n; d++)
            describe(lo, kn->set[s].dot[d]);
    }
}

/* Blocks of depth, of equal length; the result is that of the longest. */
static int64_t choose_blocks(Lower *lo, const GemmSet *set)
{
    int64_t longest = 0;
    for (uint32_t d = 0; d < set->n; d++) {
        Gemm *g = set->dot[d];
        int64_t depth = dim_hi(lo->ir, g->depth);
        depth = depth > 0 ? depth : 1;
        g->blocks = ceil_div(depth, round_up(lower_config_of(lo, set->number, "kc"), lo->k->width));
        g->kc = round_up(ceil_div(depth, g->blocks), lo->k->width);
        g->blocks = ceil_div(depth, g->kc);
        longest = g->kc > longest ? g->kc : longest;
    }
    return longest;
}

static double left_bytes(Lower *lo, const Gemm *g)
{
    return 4.0 * (double)dim_hi(lo->ir, g->nbatch) * (double)dim_hi(lo->ir, g->depth) *
           (double)dim_hi(lo->ir, g->left.rows);
}

/* What the first dot has, for the others too. */
static void share_tiles(Lower *lo, const GemmSet *set, int64_t m, int64_t n)
{
    const Gemm *first = set->dot[0];
    for (uint32_t d = 0; d < set->n; d++) {
        Gemm *g = set->dot[d];
        g->mt = first->mt;
        g->nt = first->nt;
        g->tiles_m = first->tiles_m;
        g->tiles_n = first->tiles_n;
        g->grain = first->grain;
        g->left.panel = first->left.panel;
        g->right.panel = first->right.panel;
        g->left.max_panels = ceil_div(m, g->left.panel);
        g->right.max_panels = ceil_div(n, g->right.panel);
        g->right.shared = g->tiles_m > 1;
        g->left.shared = g->tiles_n > 1 && left_bytes(lo, g) <= SHARED_LEFT_BYTES;
    }
}

/* Tile sizes from the config, cut down while there are few tasks and each is long enough. Dots of a set
 * share what the sums of one may take. */
static void choose_tiles(Lower *lo, const GemmSet *set)
{
    Gemm *g = set->dot[0];
    int64_t w = lo->k->width, m = dim_hi(lo->ir, g->left.rows), n = dim_hi(lo->ir, g->right.rows);
    int64_t batch = dim_hi(lo->ir, g->nbatch), kc = choose_blocks(lo, set);
    m = m > 0 ? m : 1;
    n = n > 0 ? n : 1;
    int64_t mr = smaller(lower_config_of(lo, set->number, "mr"), m);
    int64_t nr = smaller(round_up(lower_config_of(lo, set->number, "nr"), w), round_up(n, w));
    g->left.panel = mr;
    g->right.panel = nr;
    g->mt = round_up(smaller(lower_config_of(lo, set->number, "mc"), m), mr);
    int64_t most = ceil_div(lower_config_of(lo, set->number, "nc"), set->n);
    g->nt = round_up(smaller(most, n), nr);
    if (set->n > 1) /* equally many columns in each tile */
        g->nt = round_up(ceil_div(n, ceil_div(n, most)), nr);
    double flops = set_flops(lo, set);
    for (;;) {
        g->tiles_m = ceil_div(m, g->mt);
        g->tiles_n = ceil_div(n, g->nt);
        int64_t tasks = g->tiles_m * g->tiles_n * batch;
        bool few = tasks < ENOUGH_TASKS && flops / (double)tasks > 2.0 * TASK_FLOPS;
        /* a task that packs its own right side must keep it in cache */
        bool wide = g->tiles_m == 1 && g->nt * kc * 4 * set->n > OWN_PACK_BYTES;
        if ((few || wide) && g->nt >= 2 * nr && (wide || g->nt > 4 * nr || g->mt < 2 * mr))
            g->nt = round_up(g->nt / 2, nr);
        else if (few && g->mt >= 2 * mr)
            g->mt = round_up(g->mt / 2, mr);
        else
            break;
    }
    g->grain = 1;
    if (g->tiles_m * g->tiles_n == 1 && batch > ENOUGH_TASKS) {
        int64_t wanted = (int64_t)(SMALL_TASK_FLOPS * (double)batch / (flops > 1 ? flops : 1));
        g->grain = smaller(wanted > 1 ? wanted : 1, batch / ENOUGH_TASKS);
    }
    share_tiles(lo, set, m, n);
}

/* How operands are read. Rows of a register tile are the same for all dots, so either all left operands
 * are read directly or none is. */
static void choose_reading(Lower *lo, const GemmSet *set)
{
    bool direct = true;
    for (uint32_t d = 0; d < set->n; d++) {
        gemm_choose_direct(lo, set->dot[d]);
        direct = direct && set->dot[d]->left.direct;
    }
    for (uint32_t d = 0; d < set->n; d++) {
        Gemm *g = set->dot[d];
        g->left.direct = direct;
        g->left.shared = g->left.shared && !direct;
        if (!direct && !g->right.direct)
            g->inner = 1;
        gemm_choose_lanes(lo, g, &g->left);
        gemm_choose_lanes(lo, g, &g->right);
        g->left.together = gemm_pack_together(lo, g, &g->left, g->mt);
        g->right.together = gemm_pack_together(lo, g, &g->right, g->nt);
    }
}

/* ---- panels ---- */

static const KExpr *block_length(Lower *lo, const Gemm *g, const KExpr *k0)
{
    const KExpr *left = ke_sub(lo, ke_extent(lo->k, g->depth), k0);
    int64_t n;
    if (g->blocks == 1 || (dim_is_const(g->depth, &n) && n % g->kc == 0))
        return g->blocks == 1 ? left : ke_int(lo->k, g->kc);
    return ke_min(lo, ke_int(lo->k, g->kc), left);
}

/* Opens the loop over blocks of depth: its number, or 0 without a loop when there is one block. */
static const KExpr *open_blocks(Lower *lo, const Gemm *g)
{
    Kernel *k = lo->k;
    if (g->blocks == 1) {
        scope_plain(lo);
        return ke_int(k, 0);
    }
    const KExpr *up = ke_add(lo, ke_extent(k, g->depth), ke_int(k, g->kc - 1));
    const KExpr *n = ke_index(k, KI_DIV, up, ke_int(k, g->kc));
    scope_loop(lo, &(LoopSpec){.stem = "block",
                               .lo = ke_int(k, 0),
                               .hi = ke_index(k, KI_MAX, n, ke_int(k, 1)),
                               .extent = dim_const(lo->ir, g->blocks)});
    return lo->var[lo->nvar - 1].at;
}

const KExpr *gemm_open_range(Lower *lo, GemmRanges *t, const Dim *count)
{
    Kernel *k = lo->k;
    const KExpr *task = t->task ? t->task : lower_task(lo);
    if (t->alone) {
        scope_plain(lo);
        return task;
    }
    const KExpr *from = ke_extent(k, t->before);
    t->before = dim_add(lo->ir, t->before, count);
    const KExpr *below = ke_test(k, "<", task, ke_extent(k, t->before));
    int64_t first;
    if (ke_is_int(from, &first) && first == 0)
        scope_if(lo, below);
    else
        scope_if(lo, ke_test(k, "&&", ke_test(k, ">=", task, from), below));
    return ks_let(k, lo->scope->block, "part", ke_sub(lo, task, from));
}

/* Panels are packed one after the other, each for all blocks; or some side by side, for one block. */
static int64_t pack_parts(const Gemm *g, const GemmSide *s)
{
    return s->together > 1 ? ceil_div(s->max_panels, s->together) * g->blocks : s->max_panels;
}

static const Dim *pack_tasks(Lower *lo, const Gemm *g, const GemmSide *s)
{
    return dim_mul(lo->ir, g->nbatch, dim_const(lo->ir, pack_parts(g, s)));
}

/* Opens a scope for rows that exist: panels past the end do when the extent is below hi. */
static void open_rows(Lower *lo, const GemmSide *s, const KExpr *row)
{
    int64_t rows;
    if (dim_is_const(s->rows, &rows))
        scope_plain(lo);
    else
        scope_if(lo, ke_test(lo->k, "<", row, ke_extent(lo->k, s->rows)));
}

/* A panel, for all blocks. */
static void pack_one(Lower *lo, Gemm *g, GemmSide *s, const KExpr *panel)
{
    Kernel *k = lo->k;
    panel = ks_let(k, lo->scope->block, "panel", panel);
    PanelSpec p = {.side = s, .row = ke_mul(lo, panel, ke_int(k, s->panel))};
    open_rows(lo, s, p.row);
    const KExpr *block = open_blocks(lo, g);
    p.k0 = ke_mul(lo, block, ke_int(k, g->kc));
    p.klen = block_length(lo, g, p.k0);
    p.base = ks_let(k, lo->scope->block, "base", gemm_panel_base(lo, g, s, block, panel));
    gemm_pack_panel(lo, g, &p);
    scope_end(lo);
    scope_end(lo);
}

/* Some panels side by side, for one block. */
static void pack_some(Lower *lo, Gemm *g, GemmSide *s, const KExpr *part)
{
    Kernel *k = lo->k;
    const KExpr *groups = ke_int(k, ceil_div(s->max_panels, s->together)), *block = ke_int(k, 0);
    if (g->blocks > 1) {
        block = ks_let(k, lo->scope->block, "block", ke_index(k, KI_DIV, part, groups));
        part = ke_index(k, KI_MOD, part, groups);
    }
    const KExpr *first = ke_mul(lo, part, ke_int(k, s->together));
    first = ks_let(k, lo->scope->block, "first", first);
    PanelSpec p = {.side = s, .row = ke_mul(lo, first, ke_int(k, s->panel))};
    p.k0 = ke_mul(lo, block, ke_int(k, g->kc));
    p.klen = block_length(lo, g, p.k0);
    p.base = ks_let(k, lo->scope->block, "base", gemm_panel_base(lo, g, s, block, first));
    gemm_pack_panels(lo, g, &p, ke_extent(k, s->rows));
}

/* A task of the first phase. */
static void pack_shared(Lower *lo, Gemm *g, GemmSide *s, GemmRanges *tasks)
{
    Kernel *k = lo->k;
    const KExpr *task = gemm_open_range(lo, tasks, pack_tasks(lo, g, s));
    const KExpr *n = ke_int(k, pack_parts(g, s));
    bool one = dim_equals(g->nbatch, 1);
    const KExpr *batch = one ? ke_int(k, 0) : ke_index(k, KI_DIV, task, n);
    const KExpr *part = one ? task : ke_index(k, KI_MOD, task, n);
    g->batch = scope_var(lo, batch, g->nbatch);
    if (s->together > 1)
        pack_some(lo, g, s, part);
    else
        pack_one(lo, g, s, part);
    scope_end(lo);
}

static GemmSide *side_of(Gemm *g, int i)
{
    return i == 0 ? &g->right : &g->left;
}

static bool packs_first(Gemm *g, int side)
{
    const GemmSide *s = side_of(g, side);
    return s->shared && !s->borrowed;
}

/* Phase one: sides that many tasks read. */
static void pack_phase(Lower *lo, GemmKernel *kn)
{
    const Dim *all = dim_const(lo->ir, 0);
    uint32_t n = 0;
    for (uint32_t s = 0; s < kn->nset; s++) {
        for (uint32_t d = 0; d < 2 * kn->set[s].n; d++) {
            Gemm *g = kn->set[s].dot[d / 2];
            if (!packs_first(g, d % 2))
                continue;
            all = dim_add(lo->ir, all, pack_tasks(lo, g, side_of(g, d % 2)));
            n++;
        }
    }
    if (n == 0)
        return;
    const char *doc = "packs what many tasks read: [batch][block][panel]";
    scope_begin(lo, kernel_phase(lo->k, "pack", all, doc));
    GemmRanges tasks = {.before = dim_const(lo->ir, 0), .alone = n == 1};
    for (uint32_t s = 0; s < kn->nset; s++)
        for (uint32_t d = 0; d < 2 * kn->set[s].n; d++) {
            Gemm *g = kn->set[s].dot[d / 2];
            if (packs_first(g, d % 2))
                pack_shared(lo, g, side_of(g, d % 2), &tasks);
        }
}

/* ---- one task ---- */

/* Packs the panels of [from, to) of a side. */
static void pack_side(Lower *lo, const GemmTask *t, GemmSide *s, const KExpr *from, const KExpr *to)
{
    Kernel *k = lo->k;
    int64_t all = s->together * s->panel;
    const KExpr *up = ke_add(lo, ke_sub(lo, to, from), ke_int(k, all - 1));
    scope_loop(lo, &(LoopSpec){.stem = "q",
                               .lo = ke_int(k, 0),
                               .hi = ke_index(k, KI_DIV, up, ke_int(k, all)),
                               .extent = dim_const(lo->ir, ceil_div(s->max_panels, s->together))});
    const KExpr *group = lo->var[lo->nvar - 1].at;
    PanelSpec p = {.side = s, .k0 = t->k0, .klen = t->klen};
    p.row = ke_add(lo, from, ke_mul(lo, group, ke_int(k, all)));
    p.base = ke_mul(lo, group, ke_int(k, s->together * gemm_panel_size(t->g, s)));
    p.base = ke_add(lo, p.base, ke_int(k, s->at));
    gemm_pack_panels(lo, t->g, &p, to);
    scope_end(lo);
}

/* The task's tile of the dots that read one left operand, over its whole depth. */
static void one_walk(Lower *lo, GemmTask *t)
{
    Kernel *k = lo->k;
    Gemm *g = t->g = t->set->dot[t->from];
    t->block = open_blocks(lo, g);
    t->block_index = ix_int(lo->ir, 0);
    if (g->blocks > 1)
        t->block_index = ix_var(lo->ir, lo->nvar - 1, dim_const(lo->ir, g->blocks));
    t->k0 = ke_mul(lo, t->block, ke_int(k, g->kc));
    t->klen = ks_let(k, lo->scope->block, "klen", block_length(lo, g, t->k0));
    for (uint32_t d = t->from; d < t->to; d++) {
        t->g = t->set->dot[d];
        if (!t->g->right.shared && !t->g->right.direct)
            pack_side(lo, t, &t->g->right, t->n0, t->n1);
    }
    t->g = g;
    if (!g->left.direct && !g->left.shared)
        pack_side(lo, t, &g->left, t->m0, t->m1);
    gemm_panel_loops(lo, t);
    scope_end(lo);
}

/* Tile `of` of a batch member. */
static void one_tile(Lower *lo, GemmTask *t, const KExpr *of)
{
    Kernel *k = lo->k;
    const Gemm *g = t->set->dot[0];
    KBlock *block = lo->scope->block;
    const KExpr *zero = ke_int(k, 0), *across = ke_int(k, g->tiles_n);
    const KExpr *im = g->tiles_n == 1 ? of : ke_index(k, KI_DIV, of, across);
    const KExpr *jn = g->tiles_n == 1 ? zero : ke_index(k, KI_MOD, of, across);
    im = g->tiles_m == 1 ? zero : im;
    const KExpr *mt = ke_int(k, g->mt), *nt = ke_int(k, g->nt);
    t->m0 = ks_let(k, block, "m0", ke_mul(lo, im, mt));
    t->n0 = ks_let(k, block, "n0", ke_mul(lo, jn, nt));
    t->m1 = ke_min(lo, ke_add(lo, t->m0, mt), ke_extent(k, g->left.rows));
    t->m1 = ks_let(k, block, "m1", t->m1);
    t->n1 = ke_min(lo, ke_add(lo, t->n0, nt), ke_extent(k, g->right.rows));
    t->n1 = ks_let(k, block, "n1", t->n1);
    for (t->from = 0; t->from < t->set->n; t->from = t->to) {
        t->to = gemm_walk_end(t->set, t->from);
        one_walk(lo, t);
    }
}

void gemm_set_batch(const GemmSet *set, const Ix *batch)
{
    for (uint32_t d = 0; d < set->n; d++)
        set->dot[d]->batch = batch;
}

/* Several batch members, whose product is one tile, per task. */
static void batch_tasks(Lower *lo, GemmTask *t, const KExpr *task)
{
    Kernel *k = lo->k;
    const Gemm *g = t->set->dot[0];
    const KExpr *grain = ke_int(k, g->grain), *from = ke_mul(lo, task, grain);
    const Ix *batch = scope_loop(
        lo, &(LoopSpec){.stem = "batch",
                        .lo = from,
                        .hi = ke_min(lo, ke_add(lo, from, grain), ke_extent(k, g->nbatch)),
                        .extent = g->nbatch});
    gemm_set_batch(t->set, batch);
    one_tile(lo, t, ke_int(k, 0));
    scope_end(lo);
}

static void tile_tasks(Lower *lo, GemmTask *t, const KExpr *task)
{
    Kernel *k = lo->k;
    const Gemm *g = t->set->dot[0];
    int64_t tiles = g->tiles_m * g->tiles_n;
    const KExpr *of = task, *batch = ke_int(k, 0);
    if (!dim_equals(g->nbatch, 1)) {
        batch = ks_let(k, lo->scope->block, "batch", ke_index(k, KI_DIV, task, ke_int(k, tiles)));
        of = ke_index(k, KI_MOD, task, ke_int(k, tiles));
    }
    gemm_set_batch(t->set, scope_var(lo, batch, g->nbatch));
    one_tile(lo, t, of);
}

static const Dim *set_tasks(Lower *lo, const GemmSet *set)
{
    const Gemm *g = set->dot[0];
    if (lo->scalar)
        return dim_mul(lo->ir, g->nbatch, g->left.rows);
    if (g->grain > 1)
        return dim_const(lo->ir, ceil_div(dim_hi(lo->ir, g->nbatch), g->grain));
    return dim_mul(lo->ir, g->nbatch, dim_const(lo->ir, g->tiles_m * g->tiles_n));
}

/* ---- without vectors: f64 ---- */

typedef struct Plain {
    const GemmSet *set;
    const Ix *row;
} Plain;

static const KExpr *plain_sum(Lower *lo, const Gemm *g, const Ix *row, const Ix *column)
{
    Kernel *k = lo->k;
    KType t = ktype_of(g->dot->type->dtype);
    const KExpr *sum = ks_var(k, lo->scope->block, "sum", ke_num(k, t, 0));
    const Ix *depth = scope_loop(
        lo, &(LoopSpec){
                .stem = "k", .lo = ke_int(k, 0), .hi = ke_extent(k, g->depth), .extent = g->depth});
    const KExpr *x = gemm_element(lo, g, &g->left, (const Ix *[]){row, depth});
    const KExpr *y = gemm_element(lo, g, &g->right, (const Ix *[]){column, depth});
    const KExpr *arg[] = {sum, x, y};
    ks_set(k, lo->scope->block, sum, ke_text(k, t, "(%0 + %1 * %2)", arg, 3));
    scope_end(lo);
    return sum;
}

static void plain_element(Lower *lo, const Ix *column, void *user)
{
    const Plain *p = user;
    const KExpr *sum[PRODUCTS_TOGETHER];
    for (uint32_t d = 0; d < p->set->n; d++)
        sum[d] = plain_sum(lo, p->set->dot[d], p->row, column);
    const Ix *ix[IR_MAX_RANK];
    gemm_result_index(lo, p->set->dot[0], p->row, column, ix);
    gemm_store_results(lo, p->set, sum, ix);
}

/* One row per task. */
static void plain_tasks(Lower *lo, const GemmSet *set, const KExpr *task)
{
    Kernel *k = lo->k;
    const Gemm *g = set->dot[0];
    const KExpr *m = ke_extent(k, g->left.rows);
    gemm_set_batch(set, scope_var(lo, ke_index(k, KI_DIV, task, m), g->nbatch));
    Plain p = {.set = set};
    p.row = scope_var(lo, ke_index(k, KI_MOD, task, m), g->left.rows);
    LanesSpec spec = {.stem = "j",
                      .lo = ke_int(k, 0),
                      .hi = ke_extent(k, g->right.rows),
                      .extent = g->right.rows};
    lower_lanes(lo, &spec, plain_element, &p);
}

/* ---- the kernel ---- */

static const char *phase_doc(const Lower *lo, const GemmKernel *kn)
{
    if (kn->nset > 1)
        return "tasks of one product after those of another";
    if (lo->scalar)
        return "one row per task";
    return kn->set[0].dot[0]->grain > 1 ? "some products per task"
                                        : "one tile of the result per task";
}

/* All tasks of the second, or only, phase. */
void gemm_multiply(Lower *lo, const GemmKernel *kn)
{
    const Dim *all = dim_const(lo->ir, 0);
    for (uint32_t s = 0; s < kn->nset; s++)
        all = dim_add(lo->ir, all, set_tasks(lo, &kn->set[s]));
    scope_begin(lo, kernel_phase(lo->k, "", all, phase_doc(lo, kn)));
    prologue_in_task(lo);
    GemmRanges tasks = {.before = dim_const(lo->ir, 0), .alone = kn->nset == 1};
    for (uint32_t s = 0; s < kn->nset; s++) {
        const GemmSet *set = &kn->set[s];
        const KExpr *task = gemm_open_range(lo, &tasks, set_tasks(lo, set));
        GemmTask t = {.set = set, .sums = kn->sums};
        if (lo->scalar)
            plain_tasks(lo, set, task);
        else if (set->dot[0]->grain > 1)
            batch_tasks(lo, &t, task);
        else
            tile_tasks(lo, &t, task);
        scope_end(lo);
    }
}

void lower_gemm(Lower *lo)
{
    GemmKernel kn = {0};
    bool early = false; /* left operands are read by the phase that packs */
    prologue_begin(lo);
    gemm_find_sets(lo, &kn);
    gemm_describe(lo, &kn);
    for (uint32_t s = 0; s < kn.nset; s++) {
        const GemmSet *set = &kn.set[s];
        for (uint32_t d = 0; d < set->n; d++)
            choose_sides(lo, set->dot[d], set);
        if (lo->scalar)
            continue;
        if (gemm_skinny(lo, set))
            continue;
        choose_tiles(lo, set);
        choose_reading(lo, set);
        for (uint32_t d = 0; d < set->n; d++)
            early = early || set->dot[d]->left.shared;
    }
    if (!lo->scalar) {
        if (early)
            prologue_phase(lo);
        gemm_make_buffers(lo, &kn);
        pack_phase(lo, &kn);
    }
    gemm_multiply(lo, &kn);
}
