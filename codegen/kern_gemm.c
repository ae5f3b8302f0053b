/* kern_gemm.c: one matrix product with elementwise operands and epilogue, after GotoBLAS: panels of
 * both operands, a register tile of mr x nr held in vectors, depth in blocks of kc.
 *
 * The grid of tasks is fixed by the plan: mt x nt tiles of the result per batch member, each over
 * the whole depth, so no sum depends on the number of threads. The right operand is packed once, by
 * a first phase, when several tasks read it; the left one is packed by every task. Partial sums live
 * in the task's scratch, never in the result, which may share memory with an operand of the
 * epilogue; the epilogue runs on a tile right after its last block, while it is in cache.
 *
 * Config mr nr kc mc nc, for the choice by `pick`: avx512 14 32 256 112 2048, avx2 6 16 256 72 2048,
 * generic 4 8 256 64 1024. Any mr works, and any nr after rounding up to W; kc is rounded up to W, mc
 * and nc are upper ends of mt and nt. */
#include "gemm.h"

#include <string.h>

enum {
    ENOUGH_TASKS = 16,
    TASK_FLOPS = 1 << 20,
    SMALL_TASK_FLOPS = 1 << 18,
    OWN_PACK_BYTES = 1 << 19
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
static void choose_sides(Lower *lo, Gemm *g)
{
    bool vector = dim_equals(g->right.rows, 1) && !dim_equals(g->left.rows, 1);
    if (vector || gemm_wants_swap(lo, g)) {
        GemmSide t = g->left;
        g->left = g->right;
        g->right = t;
        g->swapped = true;
    }
    g->left.name = "a_panels";
    g->right.name = "b_panels";
}

static void describe(Lower *lo, Gemm *g)
{
    for (uint32_t i = 0; i < lo->body->nodes.n; i++)
        if (op_info(lo->body->nodes.at[i]->op)->cls == OC_CONTRACT)
            g->dot = lo->body->nodes.at[i];
    ASSERT(g->dot);
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
    choose_sides(lo, g);
}

static double flops_of(Lower *lo, const Gemm *g)
{
    return 2.0 * (double)dim_hi(lo->ir, g->nbatch) * (double)dim_hi(lo->ir, g->depth) *
           (double)dim_hi(lo->ir, g->left.rows) * (double)dim_hi(lo->ir, g->right.rows);
}

/* Tile sizes from the config, cut down while there are few tasks and each is long enough. */
static void choose_tiles(Lower *lo, Gemm *g)
{
    int64_t w = lo->k->width, m = dim_hi(lo->ir, g->left.rows), n = dim_hi(lo->ir, g->right.rows);
    int64_t depth = dim_hi(lo->ir, g->depth), batch = dim_hi(lo->ir, g->nbatch);
    m = m > 0 ? m : 1;
    n = n > 0 ? n : 1;
    int64_t mr = smaller(lower_config(lo, "mr"), m);
    int64_t nr = smaller(round_up(lower_config(lo, "nr"), w), round_up(n, w));
    g->left.panel = mr;
    g->right.panel = nr;
    g->kc = round_up(smaller(lower_config(lo, "kc"), depth > 0 ? depth : 1), w);
    g->blocks = ceil_div(depth > 0 ? depth : 1, g->kc);
    g->mt = round_up(smaller(lower_config(lo, "mc"), m), mr);
    g->nt = round_up(smaller(lower_config(lo, "nc"), n), nr);
    double flops = flops_of(lo, g);
    for (;;) {
        g->tiles_m = ceil_div(m, g->mt);
        g->tiles_n = ceil_div(n, g->nt);
        int64_t tasks = g->tiles_m * g->tiles_n * batch;
        bool few = tasks < ENOUGH_TASKS && flops / (double)tasks > 2.0 * TASK_FLOPS;
        /* a task that packs its own right side must keep it in cache */
        bool wide = g->tiles_m == 1 && g->nt * g->kc * 4 > OWN_PACK_BYTES;
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
    g->left.max_panels = ceil_div(m, mr);
    g->right.max_panels = ceil_div(n, nr);
    g->right.shared = g->tiles_m > 1;
}

/* ---- panels ---- */

static int64_t panel_size(const Gemm *g, const GemmSide *s)
{
    return g->kc * s->panel;
}

/* Floats past the last panel that a whole-vector store may touch. */
static int64_t slack(const Lower *lo)
{
    return lo->k->width;
}

static void make_buffers(Lower *lo, Gemm *g)
{
    Kernel *k = lo->k;
    GemmSide *b = &g->right, *a = &g->left;
    if (b->shared) {
        int64_t one = g->blocks * b->max_panels * panel_size(g, b);
        const Dim *count = dim_add(lo->ir, dim_mul(lo->ir, g->nbatch, dim_const(lo->ir, one)),
                                   dim_const(lo->ir, slack(lo)));
        b->pack = kernel_workspace(k, b->name, DT_F32, count);
    } else if (!b->direct) {
        int64_t count = ceil_div(g->nt, b->panel) * panel_size(g, b) + slack(lo);
        b->pack = kernel_scratch(k, b->name, DT_F32, count);
    }
    if (a->direct)
        return;
    int64_t count = ceil_div(g->mt, a->panel) * panel_size(g, a) + slack(lo);
    a->pack = kernel_scratch(k, a->name, DT_F32, count);
}

const KExpr *gemm_panel_base(Lower *lo, const Gemm *g, const GemmSide *s, const KExpr *block,
                             const KExpr *panel)
{
    Kernel *k = lo->k;
    const KExpr *at = panel;
    if (s->shared) {
        const KExpr *blocks = ke_mul(lo, lower_index(lo, g->batch), ke_int(k, g->blocks));
        at = ke_add(lo, ke_mul(lo, ke_add(lo, blocks, block), ke_int(k, s->max_panels)), panel);
    }
    return ke_mul(lo, at, ke_int(k, panel_size(g, s)));
}

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

/* Phase one: a task packs one panel of the right side, for all blocks. */
static void pack_phase(Lower *lo, Gemm *g)
{
    Kernel *k = lo->k;
    GemmSide *b = &g->right;
    const Dim *tasks = dim_mul(lo->ir, g->nbatch, dim_const(lo->ir, b->max_panels));
    KPhase *phase =
        kernel_phase(k, "pack", tasks, "packs the right operand: [batch][block][panel]");
    scope_begin(lo, phase);
    const KExpr *task = lower_task(lo), *n = ke_int(k, b->max_panels);
    bool one = dim_equals(g->nbatch, 1);
    const KExpr *batch = one ? ke_int(k, 0) : ke_index(k, KI_DIV, task, n);
    const KExpr *panel =
        ks_let(k, &phase->body, "panel", one ? task : ke_index(k, KI_MOD, task, n));
    g->batch = scope_var(lo, batch, g->nbatch);
    const KExpr *row = ke_mul(lo, panel, ke_int(k, b->panel));
    int64_t rows;
    if (!dim_is_const(b->rows, &rows)) /* panels past the end exist when the extent is below hi */
        scope_if(lo, ke_test(k, "<", row, ke_extent(k, b->rows)));
    else
        scope_plain(lo);
    const KExpr *block = open_blocks(lo, g);
    const KExpr *k0 = ke_mul(lo, block, ke_int(k, g->kc));
    PanelSpec p = {.side = b, .row = row, .k0 = k0, .klen = block_length(lo, g, k0)};
    p.base = ks_let(k, lo->scope->block, "base", gemm_panel_base(lo, g, b, block, panel));
    gemm_pack_panel(lo, g, &p);
    scope_end(lo);
    scope_end(lo);
}

/* ---- one task ---- */

/* Packs the panels of [from, to) of a side, one after the other. */
static void pack_side(Lower *lo, const GemmTask *t, GemmSide *s, const KExpr *from, const KExpr *to)
{
    Kernel *k = lo->k;
    const KExpr *size = ke_int(k, s->panel);
    const KExpr *up = ke_add(lo, ke_sub(lo, to, from), ke_int(k, s->panel - 1));
    scope_loop(lo, &(LoopSpec){.stem = "p",
                               .lo = ke_int(k, 0),
                               .hi = ke_index(k, KI_DIV, up, size),
                               .extent = dim_const(lo->ir, s->max_panels)});
    const KExpr *panel = lo->var[lo->nvar - 1].at;
    PanelSpec p = {.side = s, .k0 = t->k0, .klen = t->klen};
    p.row = ke_add(lo, from, ke_mul(lo, panel, size));
    p.base = ke_mul(lo, panel, ke_int(k, panel_size(t->g, s)));
    gemm_pack_panel(lo, t->g, &p);
    scope_end(lo);
}

/* Tile `of` of a batch member, over its whole depth. */
static void one_tile(Lower *lo, GemmTask *t, const KExpr *of)
{
    Kernel *k = lo->k;
    Gemm *g = t->g;
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
    t->block = open_blocks(lo, g);
    t->block_index = ix_int(lo->ir, 0);
    if (g->blocks > 1)
        t->block_index = ix_var(lo->ir, lo->nvar - 1, dim_const(lo->ir, g->blocks));
    t->k0 = ke_mul(lo, t->block, ke_int(k, g->kc));
    t->klen = ks_let(k, lo->scope->block, "klen", block_length(lo, g, t->k0));
    if (!g->right.shared && !g->right.direct)
        pack_side(lo, t, &g->right, t->n0, t->n1);
    if (!g->left.direct)
        pack_side(lo, t, &g->left, t->m0, t->m1);
    gemm_panel_loops(lo, t);
    scope_end(lo);
}

/* Several batch members, whose product is one tile, per task. */
static void batch_phase(Lower *lo, GemmTask *t)
{
    Kernel *k = lo->k;
    Gemm *g = t->g;
    int64_t tasks = ceil_div(dim_hi(lo->ir, g->nbatch), g->grain);
    KPhase *phase = kernel_phase(k, "", dim_const(lo->ir, tasks), "some products per task");
    scope_begin(lo, phase);
    const KExpr *grain = ke_int(k, g->grain), *from = ke_mul(lo, lower_task(lo), grain);
    g->batch = scope_loop(
        lo, &(LoopSpec){.stem = "batch",
                        .lo = from,
                        .hi = ke_min(lo, ke_add(lo, from, grain), ke_extent(k, g->nbatch)),
                        .extent = g->nbatch});
    one_tile(lo, t, ke_int(k, 0));
    scope_end(lo);
}

static void tile_phase(Lower *lo, GemmTask *t)
{
    Kernel *k = lo->k;
    Gemm *g = t->g;
    int64_t tiles = g->tiles_m * g->tiles_n;
    KPhase *phase = kernel_phase(k, "", dim_mul(lo->ir, g->nbatch, dim_const(lo->ir, tiles)),
                                 "one tile of the result per task");
    scope_begin(lo, phase);
    const KExpr *task = lower_task(lo), *of = task, *batch = ke_int(k, 0);
    if (!dim_equals(g->nbatch, 1)) {
        batch = ks_let(k, &phase->body, "batch", ke_index(k, KI_DIV, task, ke_int(k, tiles)));
        of = ke_index(k, KI_MOD, task, ke_int(k, tiles));
    }
    g->batch = scope_var(lo, batch, g->nbatch);
    one_tile(lo, t, of);
}

/* All tasks of the second, or only, phase. */
static void multiply(Lower *lo, Gemm *g)
{
    int64_t mr = g->left.panel, nr = g->right.panel, tiles = 1;
    if (g->blocks > 1) /* of a whole task, from block to block */
        tiles = ceil_div(g->mt, mr) * ceil_div(g->nt, nr);
    GemmTask t = {.g = g, .sums = kernel_scratch(lo->k, "sums", DT_F32, tiles * mr * nr)};
    if (g->grain > 1)
        batch_phase(lo, &t);
    else
        tile_phase(lo, &t);
}

/* ---- without vectors: f64 ---- */

typedef struct Plain {
    Gemm *g;
    const Ix *row;
} Plain;

static void plain_element(Lower *lo, const Ix *column, void *user)
{
    const Plain *p = user;
    const Gemm *g = p->g;
    Kernel *k = lo->k;
    KBlock *block = lo->scope->block;
    KType t = ktype_of(g->dot->type->dtype);
    const KExpr *sum = ks_var(k, block, "sum", ke_num(k, t, 0));
    const Ix *depth = scope_loop(
        lo, &(LoopSpec){
                .stem = "k", .lo = ke_int(k, 0), .hi = ke_extent(k, g->depth), .extent = g->depth});
    const KExpr *x = gemm_element(lo, g, &g->left, (const Ix *[]){p->row, depth});
    const KExpr *y = gemm_element(lo, g, &g->right, (const Ix *[]){column, depth});
    const KExpr *arg[] = {sum, x, y};
    ks_set(k, lo->scope->block, sum, ke_text(k, t, "(%0 + %1 * %2)", arg, 3));
    scope_end(lo);
    const Ix *ix[IR_MAX_RANK];
    gemm_result_index(lo, g, p->row, column, ix);
    gemm_store_results(lo, g, sum, ix);
}

static void plain_phase(Lower *lo, Gemm *g)
{
    Kernel *k = lo->k;
    KPhase *phase =
        kernel_phase(k, "", dim_mul(lo->ir, g->nbatch, g->left.rows), "one row per task");
    scope_begin(lo, phase);
    const KExpr *m = ke_extent(k, g->left.rows), *task = lower_task(lo);
    g->batch = scope_var(lo, ke_index(k, KI_DIV, task, m), g->nbatch);
    Plain p = {.g = g};
    p.row = scope_var(lo, ke_index(k, KI_MOD, task, m), g->left.rows);
    LanesSpec spec = {.stem = "j",
                      .lo = ke_int(k, 0),
                      .hi = ke_extent(k, g->right.rows),
                      .extent = g->right.rows};
    lower_lanes(lo, &spec, plain_element, &p);
}

void lower_gemm(Lower *lo)
{
    Gemm g = {0};
    describe(lo, &g);
    lo->k->flops += flops_of(lo, &g);
    if (lo->scalar) {
        plain_phase(lo, &g);
        return;
    }
    choose_tiles(lo, &g);
    gemm_choose_direct(lo, &g);
    make_buffers(lo, &g);
    gemm_choose_lanes(lo, &g, &g.left);
    gemm_choose_lanes(lo, &g, &g.right);
    if (g.right.shared)
        pack_phase(lo, &g);
    multiply(lo, &g);
}
