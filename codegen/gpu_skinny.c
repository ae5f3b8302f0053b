/* gpu_skinny.c: products of a few rows on a GPU, such as those that decode a token: every element of the right
 * operand is used once, so what counts is that memory is read in order, once, and by all multiprocessors.
 *
 * Where the depth of the right operand lies side by side, a block computes some columns of the result for all rows:
 * its threads go round the depth, W elements each, and so read whole lines of several columns at once. Where its
 * columns lie side by side, a block has a few vectors of them, and its threads share the steps of depth. Either
 * way operands are evaluated where they lie, whatever is computed of them (16-bit or quantised weights), sums
 * of threads are joined in one order through shared memory, and the epilogue is that of every product. */
#include "gpu_copy.h"
#include "gpu_tile.h"

#include <string.h>

enum {
    MAX_SUMS = 64, /* of a thread */
    MAX_COLUMNS = 4,
    VECTORS = 4, /* of columns of a block, where those lie side by side */
    TURNS = 4,   /* of a thread over the depth, at least */
    MOST_THREADS = 256,
    LEAST_DEPTH = 128,
    LEAST_ELEMENTS = 1 << 14
};

typedef struct Skinny {
    const GemmSet *set;
    bool dots; /* the depth lies side by side */
    int64_t rows, columns, threads;
    uint32_t sums; /* shared */
    const KExpr *thread, *n0;
    const KExpr **c; /* of a thread: [dot][row][column], or [dot][row] */
} Skinny;

/* ---- what is skinny ---- */

bool skinny_in_order(Lower *lo, const GemmSet *set, bool dots)
{
    for (uint32_t d = 0; d < set->n; d++)
        if (gemm_probe_side(lo, set->dot[d], &set->dot[d]->right, dots) != 0)
            return false;
    return true;
}

bool skinny_is_large(Lower *lo, const Gemm *g)
{
    int64_t n = dim_hi(lo->ir, g->right.rows), depth = dim_hi(lo->ir, g->depth);
    return depth >= LEAST_DEPTH && n >= LEAST_ELEMENTS / depth;
}

/* Threads of a block that find some turns each over so many items. */
static int64_t threads_for(int64_t items)
{
    int64_t threads = WARP;
    while (threads < MOST_THREADS && threads * 2 * TURNS <= items)
        threads *= 2;
    return threads;
}

static bool shape_set(Lower *lo, Skinny *s, const GemmSet *set)
{
    int64_t depth = 1, w = lo->k->width;
    *s = (Skinny){.set = set};
    for (uint32_t d = 0; d < set->n; d++) {
        Gemm *g = set->dot[d];
        tile_choose_left(g);
        if (!skinny_is_large(lo, g))
            return false;
        depth = larger(depth, dim_hi(lo->ir, g->depth));
    }
    s->rows = dim_hi(lo->ir, set->dot[0]->left.rows);
    int64_t most = products_few(lo->target, tile_operand(set)).rows;
    if (s->rows < 1 || s->rows > most || (int64_t)set->n * s->rows * w > MAX_SUMS)
        return false;
    s->dots = skinny_in_order(lo, set, true);
    if (!s->dots && !skinny_in_order(lo, set, false))
        return false;
    s->columns = VECTORS * w;
    s->threads = MOST_THREADS;
    if (s->dots) {
        s->columns = smaller(MAX_SUMS / ((int64_t)set->n * s->rows * w), MAX_COLUMNS);
        for (uint32_t d = 0; d < set->n; d++)
            gemm_find_factor(lo, set->dot[d]);
        s->threads = threads_for(ceil_div(depth, w));
    }
    return true;
}

/* At most two bytes of memory for each element: of 16 bits, or several in a word. */
static bool right_is_narrow(Ir *ir, const Node *right)
{
    const Node *n = right;
    while ((op_info(n->op)->cls == OC_VIEW || op_info(n->op)->cls == OC_ELEM) && n->nin >= 1)
        n = n->in[0];
    double bytes = (double)dim_hi(ir, type_count(ir, n->type)) * dtype_info(n->type->dtype)->bytes;
    return dtype_info(n->type->dtype)->bytes <= 2 ||
           bytes <= 2 * (double)dim_hi(ir, type_count(ir, right->type));
}

/* Vectors of 8 where all right operands are of narrow elements. */
static int64_t width_for(const Lower *lo, const GemmKernel *kn)
{
    for (uint32_t s = 0; s < kn->nset; s++)
        for (uint32_t d = 0; d < kn->set[s].n; d++)
            if (!right_is_narrow(lo->ir, kn->set[s].dot[d]->dot->in[1]))
                return 4;
    return 8;
}

static const Dim *tasks_of(Lower *lo, const Skinny *s)
{
    const Gemm *g = s->set->dot[0];
    int64_t n = larger(ceil_div(dim_hi(lo->ir, g->right.rows), s->columns), 1);
    return dim_mul(lo->ir, g->nbatch, dim_const(lo->ir, n));
}

/* ---- sums of a thread ---- */

static const Ix *row_index(Lower *lo, const Gemm *g, int64_t i)
{
    Kernel *k = lo->k;
    int64_t fixed;
    const KExpr *at = ke_int(k, i);
    if (!dim_is_const(g->left.rows, &fixed)) /* one that exists: its sum is left out */
        at = ke_min(lo, at, ke_sub(lo, ke_extent(k, g->left.rows), ke_int(k, 1)));
    return scope_var(lo, at, g->left.rows);
}

static void add_product(Lower *lo, const KExpr *c, const KExpr *a, const KExpr *b)
{
    const KExpr *arg[] = {lower_spread(lo, a), b, c};
    ks_set(lo->k, lo->scope->block, c, ke_text(lo->k, KT_VF, "mdl_fma_vf(%0, %1, %2)", arg, 3));
}

/* The lanes' products, added up, times a factor that they share; one of the whole depth comes last. So a sum is
 * one register, and more threads have some. */
static void add_scaled(Lower *lo, const Gemm *g, const KExpr *c, const KExpr *const *ab,
                       const Ix *const *rd)
{
    Kernel *k = lo->k;
    const KExpr *dot = ke_apply(lo, KT_F32, "mdl_lane_dot_vf(%0, %1)", ab[0], ab[1]);
    const KExpr *sum = ke_apply(lo, KT_F32, "(%0 + %1)", c, dot);
    if (g->factor.unit) {
        const KExpr *arg[] = {dot, gemm_factor(lo, g, rd), c};
        sum = ke_text(k, KT_F32, "mdl_fma_f32(%0, %1, %2)", arg, 3);
    }
    ks_set(k, lo->scope->block, c, sum);
}

typedef struct Walk {
    Skinny *s;
    uint32_t d;
    const Ix *row[PRODUCTS_FEW_GPU], *column[MAX_COLUMNS];
} Walk;

/* W steps of depth of every row and column. */
static void depth_step(Lower *lo, const Ix *depth, void *user)
{
    const Walk *w = user;
    const Skinny *s = w->s;
    const Gemm *g = s->set->dot[w->d];
    const KExpr *b[MAX_COLUMNS];
    for (int64_t j = 0; j < s->columns; j++)
        b[j] = gemm_depth_lanes(lo, g, &g->right, (const Ix *[]){w->column[j], depth});
    for (int64_t i = 0; i < s->rows; i++) {
        const KExpr *a = gemm_depth_lanes(lo, g, &g->left, (const Ix *[]){w->row[i], depth});
        for (int64_t j = 0; j < s->columns; j++) {
            const KExpr *c = s->c[((int64_t)w->d * s->rows + i) * s->columns + j];
            if (g->factor.found)
                add_scaled(lo, g, c, (const KExpr *[]){a, b[j]},
                           (const Ix *[]){w->column[j], depth});
            else
                add_product(lo, c, a, b[j]);
        }
    }
}

static void walk_depth(Lower *lo, Walk *w)
{
    Kernel *k = lo->k;
    const Gemm *g = w->s->set->dot[w->d];
    const KExpr *last = ke_sub(lo, ke_extent(k, g->right.rows), ke_int(k, 1));
    int64_t n;
    for (int64_t j = 0; j < w->s->columns; j++) {
        const KExpr *at = ke_min(lo, ke_add(lo, w->s->n0, ke_int(k, j)), last);
        w->column[j] = scope_var(lo, ks_let(k, lo->scope->block, "column", at), g->right.rows);
    }
    LanesSpec spec = {.stem = "k",
                      .lo = ke_int(k, 0),
                      .hi = ke_extent(k, g->depth),
                      .extent = g->depth,
                      .whole = dim_is_const(g->depth, &n) && n % k->width == 0};
    lower_lanes(lo, &spec, depth_step, w);
}

/* Of the columns from `column` on, those that exist; NULL: all W. */
static const KExpr *lanes_left(Lower *lo, const Gemm *g, const KExpr *column)
{
    Kernel *k = lo->k;
    const KExpr *w = ke_int(k, k->width);
    int64_t fixed;
    if (dim_is_const(g->right.rows, &fixed) && fixed % k->width == 0)
        return NULL;
    const KExpr *left = ke_sub(lo, ke_extent(k, g->right.rows), column);
    return ks_let(k, lo->scope->block, "lanes", ke_min(lo, w, left));
}

/* Every step of depth that is this thread's, of a vector of columns. */
static void walk_columns(Lower *lo, const Walk *w)
{
    Kernel *k = lo->k;
    const Skinny *s = w->s;
    const Gemm *g = s->set->dot[w->d];
    const KExpr *each = ke_int(k, VECTORS);
    const KExpr *lane0 = ke_mul(lo, ke_index(k, KI_MOD, s->thread, each), ke_int(k, k->width));
    const KExpr *at = ks_let(k, lo->scope->block, "column", ke_add(lo, s->n0, lane0));
    scope_if(lo, ke_test(k, "<", at, ke_extent(k, g->right.rows)));
    const Ix *column = scope_vector_var(lo, at, g->right.rows, lanes_left(lo, g, at));
    const Ix *depth = scope_loop(lo, &(LoopSpec){.stem = "k",
                                                 .lo = ke_index(k, KI_DIV, s->thread, each),
                                                 .hi = ke_extent(k, g->depth),
                                                 .extent = g->depth,
                                                 .step = s->threads / VECTORS});
    const KExpr *b = gemm_element(lo, g, &g->right, (const Ix *[]){column, depth});
    b = ks_let(k, lo->scope->block, "b", lower_spread(lo, b));
    for (int64_t i = 0; i < s->rows; i++) {
        const KExpr *a = gemm_element(lo, g, &g->left, (const Ix *[]){w->row[i], depth});
        add_product(lo, s->c[(int64_t)w->d * s->rows + i], a, b);
    }
    scope_end(lo);
    scope_end(lo);
}

static int64_t sums_of(const Skinny *s)
{
    return (int64_t)s->set->n * s->rows * (s->dots ? s->columns : 1);
}

static void add_products(Lower *lo, Skinny *s)
{
    Kernel *k = lo->k;
    s->c = NEW_ARRAY(lo->arena, const KExpr *, sums_of(s));
    for (int64_t i = 0; i < sums_of(s); i++) {
        const Gemm *g = s->set->dot[i * s->set->n / sums_of(s)];
        s->c[i] = ks_var(k, lo->scope->block, "c", ke_num(k, g->factor.found ? KT_F32 : KT_VF, 0));
    }
    for (uint32_t d = 0; d < s->set->n; d++) {
        Walk w = {.s = s, .d = d};
        scope_plain(lo);
        for (int64_t i = 0; i < s->rows; i++)
            w.row[i] = row_index(lo, s->set->dot[d], i);
        if (s->dots)
            walk_depth(lo, &w);
        else
            walk_columns(lo, &w);
        scope_end(lo);
    }
}

/* ---- sums of the block ---- */

/* Of dots: the sum of a warp's lanes is its first thread's, [warp][sum]. */
static void leave_dots(Lower *lo, const Skinny *s)
{
    Kernel *k = lo->k;
    KBlock *block = lo->scope->block;
    int64_t n = sums_of(s);
    const KExpr **sum = NEW_ARRAY(lo->arena, const KExpr *, n);
    for (int64_t i = 0; i < n; i++)
        sum[i] = ks_let(k, block, "sum",
                        ke_apply(lo, KT_F32,
                                 s->c[i]->type == KT_F32 ? "mdl_warp_sum_f32(%0)"
                                                         : "mdl_warp_sum_f32(mdl_lane_sum_vf(%0))",
                                 s->c[i], NULL));
    scope_if(lo, ke_test(k, "==", ke_text(k, KT_I64, "mdl_lane()", NULL, 0), ke_int(k, 0)));
    const KExpr *to = ke_mul(lo, ke_text(k, KT_I64, "mdl_warp()", NULL, 0), ke_int(k, n));
    for (int64_t i = 0; i < n; i++)
        ks_store(k, lo->scope->block, s->sums, ke_add(lo, to, ke_int(k, i)), sum[i]);
    scope_end(lo);
}

/* Of vectors of columns: [slice of depth][dot][row][column]. */
static void leave_columns(Lower *lo, const Skinny *s)
{
    Kernel *k = lo->k;
    const KExpr *each = ke_int(k, VECTORS), *w = ke_int(k, k->width);
    const KExpr *slice = ke_index(k, KI_DIV, s->thread, each);
    const KExpr *lane0 = ke_mul(lo, ke_index(k, KI_MOD, s->thread, each), w);
    const KExpr *to = ke_mul(lo, slice, ke_int(k, sums_of(s) * s->columns));
    to = ks_let(k, lo->scope->block, "to", ke_add(lo, to, lane0));
    for (int64_t i = 0; i < sums_of(s); i++)
        ks_store(k, lo->scope->block, s->sums, ke_add(lo, to, ke_int(k, i * s->columns)), s->c[i])
            ->aligned = true;
}

/* Sum number `at`, a scalar or a vector, of all warps or slices, in order. */
static const KExpr *whole_sum(Lower *lo, const Skinny *s, const KExpr *at)
{
    Kernel *k = lo->k;
    int64_t parts = s->dots ? s->threads / WARP : s->threads / VECTORS;
    int64_t apart = s->dots ? sums_of(s) : sums_of(s) * s->columns;
    KType t = s->dots ? KT_F32 : KT_VF;
    const KExpr *sum = ks_var(k, lo->scope->block, "sum", ke_num(k, t, 0));
    scope_loop(lo, &(LoopSpec){.stem = "part",
                               .lo = ke_int(k, 0),
                               .hi = ke_int(k, parts),
                               .extent = dim_const(lo->ir, parts)});
    const KExpr *from = ke_add(lo, at, ke_mul(lo, lo->var[lo->nvar - 1].at, ke_int(k, apart)));
    const KExpr *part =
        s->dots ? ke_load(k, s->sums, from) : ke_aligned(k, ke_vload(k, s->sums, from, NULL));
    ks_set(k, lo->scope->block, sum, ke_apply(lo, t, "(%0 + %1)", sum, part));
    scope_end(lo);
    return sum;
}

/* A thread has one result (of dots), or a vector of them. */
static void epilogue(Lower *lo, const Skinny *s)
{
    Kernel *k = lo->k;
    const Gemm *g = s->set->dot[0];
    int64_t per = s->dots ? s->columns : VECTORS, each = s->dots ? 1 : (int64_t)k->width;
    const KExpr *id = share_open(
        lo, &(ShareSpec){.thread = s->thread, .threads = s->threads, .count = s->rows * per});
    const KExpr *row = ks_let(k, lo->scope->block, "row", ke_index(k, KI_DIV, id, ke_int(k, per)));
    const KExpr *c = ke_mul(lo, ke_index(k, KI_MOD, id, ke_int(k, per)), ke_int(k, each));
    c = ks_let(k, lo->scope->block, "c", c);
    const KExpr *column = ks_let(k, lo->scope->block, "column", ke_add(lo, s->n0, c));
    const KExpr *rows = ke_test(k, "<", row, ke_extent(k, g->left.rows));
    scope_if(lo, ke_test(k, "&&", rows, ke_test(k, "<", column, ke_extent(k, g->right.rows))));
    const Ix *ix[IR_MAX_RANK], *row_ix = scope_var(lo, row, g->left.rows), *column_ix;
    if (s->dots)
        column_ix = scope_var(lo, column, g->right.rows);
    else
        column_ix = scope_vector_var(lo, column, g->right.rows, lanes_left(lo, g, column));
    gemm_result_index(lo, g, row_ix, column_ix, ix);
    const KExpr *dot[PRODUCTS_TOGETHER];
    const KExpr *at = ke_add(lo, ke_mul(lo, row, ke_int(k, s->columns)), c);
    for (uint32_t d = 0; d < s->set->n; d++) {
        const Gemm *gd = s->set->dot[d];
        dot[d] = whole_sum(lo, s, ke_add(lo, at, ke_int(k, d * s->rows * s->columns)));
        if (gd->factor.found && !gd->factor.unit)
            dot[d] = ke_apply(lo, KT_F32, "(%0 * %1)", dot[d],
                              gemm_factor(lo, gd, (const Ix *[]){column_ix, ix_int(lo->ir, 0)}));
    }
    gemm_store_results(lo, s->set, dot, ix);
    scope_end(lo);
    share_close(lo);
}

/* ---- the kernel ---- */

static void one_block(Lower *lo, Skinny *s, const KExpr *task)
{
    Kernel *k = lo->k;
    const Gemm *g = s->set->dot[0];
    int64_t n = larger(ceil_div(dim_hi(lo->ir, g->right.rows), s->columns), 1);
    bool one = dim_equals(g->nbatch, 1);
    const KExpr *count = ke_int(k, n),
                *batch = one ? ke_int(k, 0) : ke_index(k, KI_DIV, task, count);
    batch = ks_let(k, lo->scope->block, "batch", batch);
    gemm_set_batch(s->set, scope_var(lo, batch, g->nbatch));
    const KExpr *of = one ? task : ke_index(k, KI_MOD, task, count);
    s->n0 = ks_let(k, lo->scope->block, "n0", ke_mul(lo, of, ke_int(k, s->columns)));
    const KExpr *some = ke_test(k, "<", s->n0, ke_extent(k, g->right.rows));
    scope_if(lo, ke_test(k, "&&", some, ke_test(k, ">", ke_extent(k, g->left.rows), ke_int(k, 0))));
    add_products(lo, s);
    if (s->dots)
        leave_dots(lo, s);
    else
        leave_columns(lo, s);
    copy_call(lo, "mdl_syncthreads()", NULL, 0);
    epilogue(lo, s);
    scope_end(lo);
}

/* ---- before the launch before has ended ---- */

/* What a block reads first: dot by dot, of all its columns side by side. */
static void ask_set(Lower *lo, const Skinny *s, const KExpr *task)
{
    Kernel *k = lo->k;
    const Gemm *g = s->set->dot[0];
    const KExpr *count = ke_int(k, larger(ceil_div(dim_hi(lo->ir, g->right.rows), s->columns), 1));
    bool one = dim_equals(g->nbatch, 1);
    const KExpr *batch = one ? ke_int(k, 0) : ke_index(k, KI_DIV, task, count);
    gemm_set_batch(s->set, scope_var(lo, batch, g->nbatch));
    const KExpr *of = one ? task : ke_index(k, KI_MOD, task, count);
    const KExpr *n0 = copy_let(lo, "from", ke_mul(lo, of, ke_int(k, s->columns)));
    int64_t left = s->threads * AHEAD / s->columns;
    for (uint32_t d = 0; d < s->set->n; d++)
        left -= ahead_ask(
            lo,
            &(AheadLines){.g = s->set->dot[d], .first = n0, .count = s->columns, .bytes = left});
}

static KBlock ask_sets(Lower *lo, const Skinny *sets, uint32_t n, const Dim *all)
{
    KPhase early = {0};
    GemmRanges ranges = {.before = dim_const(lo->ir, 0), .alone = n == 1};
    if (!ahead_may(lo, all))
        return early.body;
    scope_begin(lo, &early);
    for (uint32_t i = 0; i < n; i++) {
        const KExpr *task = gemm_open_range(lo, &ranges, tasks_of(lo, &sets[i]));
        if (sets[i].dots)
            ask_set(lo, &sets[i], task);
        scope_end(lo);
    }
    return ahead_of(&early.body);
}

/* All sets have blocks of as many threads, those of the longest depth. */
static void run_sets(Lower *lo, Skinny *sets, uint32_t n)
{
    Kernel *k = lo->k;
    const Dim *all = dim_const(lo->ir, 0);
    int64_t threads = WARP, floats = 0;
    for (uint32_t i = 0; i < n; i++) {
        all = dim_add(lo->ir, all, tasks_of(lo, &sets[i]));
        threads = larger(threads, sets[i].threads);
    }
    for (uint32_t i = 0; i < n; i++) {
        sets[i].threads = threads;
        int64_t parts = sets[i].dots ? threads / WARP : threads / VECTORS * sets[i].columns;
        floats = larger(floats, parts * sums_of(&sets[i]));
    }
    KPhase *phase = kernel_phase(k, "", all, "some columns of the result per block");
    phase->threads = (uint32_t)threads;
    uint32_t sums = kernel_shared(k, "sums", DT_F32, floats);
    phase->ahead = ask_sets(lo, sets, n, all);
    scope_begin(lo, phase);
    team_begin(lo, phase, threads);
    prologue_in_task(lo);
    const KExpr *rank = lo->rank;
    GemmRanges ranges = {.before = dim_const(lo->ir, 0), .alone = n == 1};
    for (uint32_t i = 0; i < n; i++) {
        sets[i].sums = sums;
        sets[i].thread = rank;
        one_block(lo, &sets[i], gemm_open_range(lo, &ranges, tasks_of(lo, &sets[i])));
        scope_end(lo);
    }
}

bool gpu_skinny(Lower *lo, const GemmKernel *kn)
{
    uint32_t width = lo->k->width;
    Skinny *sets = NEW_ARRAY(lo->arena, Skinny, kn->nset);
    bool all = true;
    lo->k->width = (uint32_t)width_for(lo, kn);
    for (uint32_t s = 0; s < kn->nset && all; s++)
        all = shape_set(lo, &sets[s], &kn->set[s]);
    if (all)
        run_sets(lo, sets, kn->nset);
    else
        lo->k->width = width;
    return all;
}
