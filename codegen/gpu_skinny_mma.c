/* gpu_skinny_mma.c: products of up to 16 rows of 16-bit operands on a GPU, such as those that decode a token of some
 * sequences: as in gpu_skinny.c what counts is that the right operand is read in order, once, by all
 * multiprocessors, but with more rows than a few only tensor cores keep up with memory.
 *
 * The columns of the result take the place of an instruction's 16 rows (mdl_skinny.h), so the right operand goes from
 * where it lies to the registers of the lanes that multiply it, some vectors of 16 bytes a lane on their way. A
 * block has some columns, its warps take pieces of the depth in turn, and their sums are joined in their order
 * through shared memory. Where columns are too few for all multiprocessors, the depth is split among blocks; their
 * sums go to memory, and a second phase joins them in order. Splits follow from extents alone. */
#include "gpu_copy.h"
#include "gpu_tile.h"

enum {
    WARPS = 8,
    THREADS = 32 * WARPS,
    VECTOR = 8,  /* elements: 16 bytes */
    PIECE = 32,  /* steps of depth of a warp at once */
    ACROSS = 64, /* columns of a block whose columns lie side by side */
    MAX_ROWS = 16,
    MAX_SUMS = 64,    /* of a thread */
    MAX_READS = 16,   /* vectors of a thread on their way */
    SMALL = 48,       /* registers with which .. */
    SMALL_BLOCKS = 4, /* .. so many blocks have room on a multiprocessor */
    FULL = 256,       /* blocks that keep a GPU busy */
    LEAST_SPLIT = WARPS * PIECE
};

typedef struct Wide {
    const GemmSet *set;
    const char *operand;     /* name of its type */
    bool along;              /* the depth lies side by side */
    int64_t rows, tiles;     /* at the upper end; of 8 rows */
    int64_t columns, pieces; /* of a block; of a warp at once */
    int64_t splits, part;    /* of the depth; steps of one */
    uint32_t sums, partial; /* [warp][dot][row][column], shared; [batch][split][dot][row][column] */
    int64_t across;         /* blocks along the columns */
    const KExpr *thread, *n0, *split, *batch;
} Wide;

/* ---- what is wide enough ---- */

static bool shape_set(Lower *lo, Wide *w, const GemmSet *set)
{
    DType operand = tile_operand(set);
    *w = (Wide){.set = set, .operand = dtype_info(operand)->name};
    for (uint32_t d = 0; d < set->n; d++)
        if (!skinny_is_large(lo, set->dot[d]))
            return false;
    const Gemm *g = set->dot[0];
    w->rows = dim_hi(lo->ir, g->left.rows);
    if (operand == DT_F32 || w->rows < 1 || w->rows > MAX_ROWS)
        return false;
    w->tiles = ceil_div(w->rows, 8);
    w->along = skinny_in_order(lo, set, true);
    if (!w->along && !skinny_in_order(lo, set, false))
        return false;
    int64_t n = dim_hi(lo->ir, g->right.rows);
    w->columns = w->along ? (n >= FULL * 16 ? 32 : 16) : ACROSS;
    w->pieces = w->along ? 2 : 1;
    w->across = larger(ceil_div(n, w->columns), 1);
    return (int64_t)set->n * w->columns / 16 * w->tiles * 4 <= MAX_SUMS;
}

/* The depth of all sets is cut into as many parts as make enough blocks. */
static void split_depth(Lower *lo, Wide *sets, uint32_t n)
{
    double blocks = 0;
    for (uint32_t i = 0; i < n; i++)
        blocks += (double)sets[i].across * (double)dim_hi(lo->ir, sets[i].set->dot[0]->nbatch);
    for (uint32_t i = 0; i < n; i++) {
        Wide *w = &sets[i];
        int64_t depth = 1, step = LEAST_SPLIT * w->pieces;
        for (uint32_t d = 0; d < w->set->n; d++)
            depth = larger(depth, dim_hi(lo->ir, w->set->dot[d]->depth));
        int64_t wanted = blocks < FULL ? (int64_t)(FULL / (blocks < 1 ? 1 : blocks)) : 1;
        int64_t steps = ceil_div(depth, step);
        w->part = ceil_div(steps, smaller(wanted, steps)) * step;
        w->splits = ceil_div(depth, w->part);
    }
}

static const Dim *tasks_of(Lower *lo, const Wide *w, int64_t splits)
{
    return dim_mul(lo->ir, w->set->dot[0]->nbatch, dim_const(lo->ir, w->across * splits));
}

/* ---- operands ---- */

/* A piece of depth of a dot, as a lane sees it: its first step there, past which there are none from `end` on. */
typedef struct Piece {
    const Wide *w;
    uint32_t d;
    const KExpr *k, *end;
    bool whole; /* all steps exist */
} Piece;

/* Both conditions; NULL: one that always holds. */
static const KExpr *both(Lower *lo, const KExpr *a, const KExpr *b)
{
    return a && b ? ke_test(lo->k, "&&", a, b) : a ? a : b;
}

static void open_if(Lower *lo, const KExpr *condition)
{
    if (condition)
        scope_if(lo, condition);
    else
        scope_plain(lo);
}

/* Whether a dim is a known multiple of n. */
static bool is_multiple(const Dim *d, int64_t n)
{
    int64_t v;
    return dim_is_const(d, &v) && v % n == 0;
}

static const KExpr *below(Lower *lo, const KExpr *at, const Dim *end)
{
    return ke_test(lo->k, "<", at, ke_extent(lo->k, end));
}

/* Of the eight elements from `at` on those that exist; NULL: all do. */
static const KExpr *lanes_left(Lower *lo, const KExpr *at, const Dim *end)
{
    const KExpr *left = ke_sub(lo, ke_extent(lo->k, end), at);
    if (is_multiple(end, VECTOR))
        return NULL;
    return copy_let(lo, "lanes", ke_min(lo, ke_int(lo->k, VECTOR), left));
}

static const KExpr *step_exists(Lower *lo, const Piece *p, const KExpr *step)
{
    return p->whole ? NULL : ke_test(lo->k, "<", step, p->end);
}

/* Eight steps of a line of a side; those past the end are 0. */
static const KExpr *read_steps(Lower *lo, const Piece *p, const GemmSide *side, const Ix *line)
{
    Kernel *k = lo->k;
    const Gemm *g = p->w->set->dot[p->d];
    const KExpr *x = ks_var(k, lo->scope->block, side->name, ke_num(k, KT_VF, 0));
    open_if(lo, step_exists(lo, p, p->k));
    const Ix *depth = scope_vector_var(lo, p->k, g->depth, lanes_left(lo, p->k, g->depth));
    ks_set(k, lo->scope->block, x, gemm_depth_lanes(lo, g, side, (const Ix *[]){line, depth}));
    scope_end(lo);
    return x;
}

/* Eight columns of the right side at a step. */
static const KExpr *read_columns(Lower *lo, const Piece *p, const KExpr *step, const KExpr *column)
{
    Kernel *k = lo->k;
    const Gemm *g = p->w->set->dot[p->d];
    const Dim *n = g->right.rows;
    const KExpr *x = ks_var(k, lo->scope->block, g->right.name, ke_num(k, KT_VF, 0));
    const KExpr *exists = is_multiple(n, ACROSS) ? NULL : below(lo, column, n);
    open_if(lo, both(lo, step_exists(lo, p, step), exists));
    const Ix *columns = scope_vector_var(lo, column, n, lanes_left(lo, column, n));
    const Ix *depth = scope_var(lo, step, g->depth);
    const KExpr *b = gemm_element(lo, g, &g->right, (const Ix *[]){columns, depth});
    ks_set(k, lo->scope->block, x, lower_spread(lo, b));
    scope_end(lo);
    return x;
}

/* One that exists: what is made of it is left out. */
static const Ix *line_index(Lower *lo, const KExpr *at, const Dim *lines)
{
    const KExpr *last = ke_sub(lo, ke_extent(lo->k, lines), ke_int(lo->k, 1));
    return scope_var(lo, copy_let(lo, "line", ke_min(lo, at, last)), lines);
}

/* ---- products ---- */

static const KExpr *place(Lower *lo, const char *stem, const char *text)
{
    return copy_let(lo, stem, ke_text(lo->k, KT_I64, text, NULL, 0));
}

static const char *helper(Lower *lo, const Wide *w, const char *what, const char *operands)
{
    return arena_printf(lo->arena, "mdl_skinny_%s_%s(%s)", what, w->operand, operands);
}

/* What a piece reads, before anything is made of it. */
typedef struct Reads {
    Piece piece;
    const KExpr *x[MAX_ROWS / 8], *b[MAX_READS];
} Reads;

static void read_piece(Lower *lo, Reads *r, const Ix *const *row, const Ix *const *column,
                       const KExpr *first)
{
    const Piece *p = &r->piece;
    const Wide *w = p->w;
    Gemm *g = w->set->dot[p->d];
    for (int64_t m = 0; m < w->columns / 8 && w->along; m++)
        r->b[m] = read_steps(lo, p, &g->right, column[m]);
    for (int64_t i = 0; i < VECTOR && !w->along; i++)
        r->b[i] =
            read_columns(lo, p, copy_let(lo, "step", ke_add(lo, p->k, ke_int(lo->k, i))), first);
    for (int64_t t = 0; t < w->tiles; t++)
        r->x[t] = read_steps(lo, p, &g->left, row[t]);
}

/* Whether a side's numbers of 16 bits lie in memory: their bits go to the products as they are. */
static bool is_taken(const GemmSide *side)
{
    const Node *n = node_widens(side->node) ? side->node->in[0] : side->node;
    return gen_info(n->op)->value == value_input && dtype_is_half(n->type->dtype);
}

static void multiply_piece(Lower *lo, const Reads *r, uint32_t acc, uint32_t words)
{
    Kernel *k = lo->k;
    const Wide *w = r->piece.w;
    const Gemm *g = w->set->dot[r->piece.d];
    const KExpr *left = ke_int(k, is_taken(&g->left)), *right = ke_int(k, is_taken(&g->right));
    int64_t each = w->tiles * 4, acc0 = r->piece.d * (w->columns / 16) * each;
    const KExpr *zero = ke_int(k, 0), *tiles = ke_int(k, w->tiles);
    for (int64_t t = 0; t < w->tiles; t++) {
        const KExpr *arg[] = {ke_addr(k, words, ke_int(k, t * 4)), r->x[t], left};
        copy_call(lo, helper(lo, w, "words", "%0, %1, %2"), arg, 3);
    }
    for (int64_t m = 0; m < w->columns / 16 && w->along; m++) {
        const KExpr *arg[] = {ke_addr(k, acc, ke_int(k, acc0 + m * each)),
                              r->b[2 * m],
                              r->b[2 * m + 1],
                              ke_addr(k, words, zero),
                              tiles,
                              right};
        copy_call(lo, helper(lo, w, "along", "%0, %1, %2, %3, %4, %5"), arg, 6);
    }
    if (w->along)
        return;
    uint32_t steps = ks_local(k, lo->scope->block, "steps", KT_F32, VECTOR * VECTOR);
    for (int64_t i = 0; i < VECTOR; i++)
        ks_store(k, lo->scope->block, steps, ke_int(k, i * VECTOR), r->b[i]);
    const KExpr *arg[] = {ke_addr(k, acc, ke_int(k, acc0)), ke_addr(k, steps, zero),
                          ke_addr(k, words, zero), tiles, right};
    copy_call(lo, helper(lo, w, "across", "%0, %1, %2, %3, %4"), arg, 5);
}

static void multiply_dot(Lower *lo, const Wide *w, uint32_t d, uint32_t acc)
{
    Kernel *k = lo->k;
    const Gemm *g = w->set->dot[d];
    const Ix *row[MAX_ROWS / 8], *column[MAX_READS] = {NULL};
    const KExpr *group = place(lo, "group", "mdl_lane() / 4"),
                *warp = place(lo, "warp", "mdl_warp()");
    const KExpr *in = place(lo, "in", "mdl_lane() % 4 * 8");
    for (int64_t t = 0; t < w->tiles; t++)
        row[t] = line_index(lo, ke_add(lo, group, ke_int(k, t * 8)), g->left.rows);
    for (int64_t m = 0; m < w->columns / 8 && w->along; m++)
        column[m] =
            line_index(lo, ke_add(lo, ke_add(lo, w->n0, group), ke_int(k, m * 8)), g->right.rows);
    const KExpr *first = ke_add(lo, w->n0, ke_mul(lo, group, ke_int(k, VECTOR)));
    first = copy_let(lo, "first", first);
    const KExpr *from = ke_mul(lo, w->split, ke_int(k, w->part));
    const KExpr *end = ke_min(lo, ke_add(lo, from, ke_int(k, w->part)), ke_extent(k, g->depth));
    end = copy_let(lo, "end", end);
    uint32_t words = ks_local(k, lo->scope->block, "x", KT_I32, w->tiles * 4);
    scope_loop(lo, &(LoopSpec){.stem = "k0",
                               .lo = from,
                               .hi = end,
                               .extent = g->depth,
                               .step = LEAST_SPLIT * w->pieces,
                               .rolled = true});
    const KExpr *k0 = ke_add(lo, lo->var[lo->nvar - 1].at, ke_mul(lo, warp, ke_int(k, PIECE)));
    k0 = copy_let(lo, "k", ke_add(lo, k0, in));
    Reads reads[2];
    for (int64_t i = 0; i < w->pieces; i++) {
        const KExpr *at = copy_let(lo, "k", ke_add(lo, k0, ke_int(k, i * LEAST_SPLIT)));
        reads[i].piece = (Piece){w, d, at, end, is_multiple(g->depth, LEAST_SPLIT * w->pieces)};
        read_piece(lo, &reads[i], row, column, first);
    }
    for (int64_t i = 0; i < w->pieces; i++)
        multiply_piece(lo, &reads[i], acc, words);
    scope_end(lo);
}

/* ---- sums ---- */

static int64_t dot_floats(const Wide *w)
{
    return w->tiles * 8 * w->columns;
}

/* The sums of every warp, of each dot. */
static void leave_sums(Lower *lo, const Wide *w, uint32_t acc)
{
    Kernel *k = lo->k;
    const KExpr *warp = place(lo, "warp", "mdl_warp()");
    for (uint32_t d = 0; d < w->set->n; d++) {
        const KExpr *at = ke_mul(lo, warp, ke_int(k, w->set->n * dot_floats(w)));
        at = ke_add(lo, at, ke_int(k, d * dot_floats(w)));
        const KExpr *arg[] = {ke_addr(k, w->sums, at),
                              ke_addr(k, acc, ke_int(k, d * (w->columns / 16) * w->tiles * 4)),
                              ke_int(k, w->columns), ke_int(k, w->tiles), ke_int(k, w->along)};
        copy_call(lo, "mdl_skinny_lay(%0, %1, %2, %3, %4)", arg, 5);
    }
}

/* W sums of so many parts, in order. */
static const KExpr *join(Lower *lo, uint32_t buf, const KExpr *at, int64_t parts, int64_t apart)
{
    Kernel *k = lo->k;
    const KExpr *sum = ks_var(k, lo->scope->block, "sum", ke_num(k, KT_VF, 0));
    scope_loop(lo, &(LoopSpec){.stem = "part",
                               .lo = ke_int(k, 0),
                               .hi = ke_int(k, parts),
                               .extent = dim_const(lo->ir, parts)});
    at = ke_add(lo, at, ke_mul(lo, lo->var[lo->nvar - 1].at, ke_int(k, apart)));
    const KExpr *part = ke_aligned(k, ke_vload(k, buf, at, NULL));
    ks_set(k, lo->scope->block, sum, ke_apply(lo, KT_VF, "(%0 + %1)", sum, part));
    scope_end(lo);
    return sum;
}

/* Where the sums of a dot lie in memory: of a row, from a column of the block on. */
static const KExpr *partial_at(Lower *lo, const Wide *w, uint32_t d, const KExpr *row,
                               const KExpr *c)
{
    Kernel *k = lo->k;
    const KExpr *at = ke_mul(lo, w->batch, ke_int(k, w->splits));
    at = ke_add(lo, at, w->split);
    at = ke_add(lo, ke_mul(lo, at, ke_int(k, w->set->n)), ke_int(k, d));
    at = ke_add(lo, ke_mul(lo, at, ke_int(k, w->rows)), row);
    at = ke_mul(lo, at, ke_int(k, w->across * w->columns));
    return ke_add(lo, at, ke_add(lo, w->n0, c));
}

/* Opens the loop in which threads share the block's results, W each. */
static void open_results(Lower *lo, const Wide *w, const KExpr **row, const KExpr **c)
{
    Kernel *k = lo->k;
    const Gemm *g = w->set->dot[0];
    int64_t per = w->columns / VECTOR;
    const ShareSpec share = {.thread = w->thread, .threads = THREADS, .count = w->rows * per};
    share_open_rows(lo, &share, per, row, c);
    *c = copy_let(lo, "c", ke_mul(lo, *c, ke_int(k, VECTOR)));
    const Dim *rows = g->left.rows, *n = g->right.rows;
    const KExpr *row_exists = is_multiple(rows, 1) ? NULL : below(lo, *row, rows);
    const KExpr *exists = below(lo, ke_add(lo, w->n0, *c), n);
    open_if(lo, both(lo, row_exists, is_multiple(n, w->columns) ? NULL : exists));
}

static void close_results(Lower *lo)
{
    scope_end(lo);
    share_close(lo);
}

static void epilogue(Lower *lo, const Wide *w, const KExpr *row, const KExpr *c,
                     const KExpr *const *dot)
{
    const Gemm *g = w->set->dot[0];
    const KExpr *column = copy_let(lo, "column", ke_add(lo, w->n0, c));
    const KExpr *lanes = lanes_left(lo, column, g->right.rows);
    const Ix *ix[IR_MAX_RANK], *row_ix = scope_var(lo, row, g->left.rows);
    const Ix *column_ix = scope_vector_var(lo, column, g->right.rows, lanes);
    gemm_result_index(lo, g, row_ix, column_ix, ix);
    gemm_store_results(lo, w->set, dot, ix);
}

/* The sums of all warps: the results, or what the second phase joins. */
static void finish_block(Lower *lo, const Wide *w)
{
    Kernel *k = lo->k;
    const KExpr *row, *c, *dot[PRODUCTS_TOGETHER];
    open_results(lo, w, &row, &c);
    const KExpr *at = ke_add(lo, ke_mul(lo, row, ke_int(k, w->columns)), c);
    for (uint32_t d = 0; d < w->set->n; d++)
        dot[d] = join(lo, w->sums, ke_add(lo, at, ke_int(k, d * dot_floats(w))), WARPS,
                      w->set->n * dot_floats(w));
    if (w->splits == 1)
        epilogue(lo, w, row, c, dot);
    for (uint32_t d = 0; d < w->set->n && w->splits > 1; d++)
        ks_store(k, lo->scope->block, w->partial, partial_at(lo, w, d, row, c), dot[d])->aligned =
            true;
    close_results(lo);
}

static void join_splits(Lower *lo, const Wide *w)
{
    const KExpr *row, *c, *dot[PRODUCTS_TOGETHER];
    open_results(lo, w, &row, &c);
    for (uint32_t d = 0; d < w->set->n; d++)
        dot[d] = join(lo, w->partial, partial_at(lo, w, d, row, c), w->splits,
                      w->set->n * w->rows * w->across * w->columns);
    epilogue(lo, w, row, c, dot);
    close_results(lo);
}

/* ---- the kernel ---- */

/* Batch member and columns of a block, of which there are `splits` each; opens a scope of those with something to do. */
static void open_block(Lower *lo, Wide *w, const KExpr *task, int64_t splits)
{
    Kernel *k = lo->k;
    const Gemm *g = w->set->dot[0];
    const KExpr *across = ke_int(k, w->across), *cut = ke_int(k, splits);
    w->split = copy_let(lo, "split", ke_index(k, KI_MOD, task, cut));
    const KExpr *of = copy_let(lo, "of", ke_index(k, KI_DIV, task, cut));
    w->batch = ke_int(k, 0);
    if (!dim_equals(g->nbatch, 1))
        w->batch = copy_let(lo, "batch", ke_index(k, KI_DIV, of, across));
    gemm_set_batch(w->set, scope_var(lo, w->batch, g->nbatch));
    const KExpr *block = dim_equals(g->nbatch, 1) ? of : ke_index(k, KI_MOD, of, across);
    w->n0 = copy_let(lo, "n0", ke_mul(lo, block, ke_int(k, w->columns)));
    const KExpr *rows = below(lo, ke_int(k, 0), g->left.rows),
                *some = below(lo, w->n0, g->right.rows);
    open_if(lo, both(lo, is_multiple(g->right.rows, 1) ? NULL : some,
                     is_multiple(g->left.rows, 1) ? NULL : rows));
}

static void one_block(Lower *lo, Wide *w)
{
    Kernel *k = lo->k;
    int64_t n = (int64_t)w->set->n * (w->columns / 16) * w->tiles * 4;
    uint32_t acc = ks_local(k, lo->scope->block, "acc", KT_F32, n);
    KStmt *each = ks_for(k, lo->scope->block, kernel_name(k, "i"), ke_int(k, 0), ke_int(k, n));
    each->unroll = true;
    ks_store(k, &each->body, acc, ke_var(k, KT_I64, each->name), ke_num(k, KT_F32, 0));
    for (uint32_t d = 0; d < w->set->n; d++) {
        scope_plain(lo);
        multiply_dot(lo, w, d, acc);
        scope_end(lo);
    }
    leave_sums(lo, w, acc);
    copy_call(lo, "mdl_syncthreads()", NULL, 0);
    finish_block(lo, w);
}

/* ---- before the launch before has ended ---- */

/* What a block reads first: of its columns the steps of its split, dot by dot. */
static void ask_set(Lower *lo, const Wide *w, const KExpr *task)
{
    Kernel *k = lo->k;
    bool one = dim_equals(w->set->dot[0]->nbatch, 1);
    const KExpr *across = ke_int(k, w->across), *cut = ke_int(k, w->splits);
    const KExpr *of = copy_let(lo, "of", ke_index(k, KI_DIV, task, cut));
    const KExpr *batch = one ? ke_int(k, 0) : ke_index(k, KI_DIV, of, across);
    gemm_set_batch(w->set, scope_var(lo, batch, w->set->dot[0]->nbatch));
    const KExpr *first =
        ke_mul(lo, one ? of : ke_index(k, KI_MOD, of, across), ke_int(k, w->columns));
    AheadLines l = {.first = copy_let(lo, "from", first), .count = w->columns};
    if (w->splits > 1)
        l.from =
            copy_let(lo, "step", ke_mul(lo, ke_index(k, KI_MOD, task, cut), ke_int(k, w->part)));
    int64_t left = THREADS * AHEAD / w->columns, each = dtype_info(tile_operand(w->set))->bytes;
    for (uint32_t d = 0; d < w->set->n; d++) {
        /* the last split is the shortest, and none reads past the end */
        l.g = w->set->dot[d];
        l.bytes = smaller(left, (dim_hi(lo->ir, l.g->depth) - (w->splits - 1) * w->part) * each);
        left -= ahead_ask(lo, &l);
    }
}

static KBlock ask_sets(Lower *lo, const Wide *sets, uint32_t n, const Dim *all)
{
    KPhase early = {0};
    GemmRanges ranges = {.before = dim_const(lo->ir, 0), .alone = n == 1};
    if (!ahead_may(lo, all))
        return early.body;
    scope_begin(lo, &early);
    for (uint32_t i = 0; i < n; i++) {
        const KExpr *task = gemm_open_range(lo, &ranges, tasks_of(lo, &sets[i], sets[i].splits));
        if (sets[i].along)
            ask_set(lo, &sets[i], task);
        scope_end(lo);
    }
    return ahead_of(&early.body);
}

/* ---- phases ---- */

/* Whether four blocks of a set fit a multiprocessor, with 64 registers a thread: its sums, and what it reads at once,
 * take no more than these and are not computed. */
static bool is_small(const Wide *w)
{
    bool taken = true;
    for (uint32_t d = 0; d < w->set->n; d++)
        taken = taken && is_taken(&w->set->dot[d]->left) && is_taken(&w->set->dot[d]->right);
    int64_t sums = (int64_t)w->set->n * w->columns / 16 * w->tiles * 4;
    int64_t reads = w->pieces * (w->tiles + w->columns / 8) * VECTOR / 2;
    return taken && w->along && sums + reads <= SMALL;
}

static void run_phase(Lower *lo, Wide *sets, uint32_t n, bool second)
{
    Kernel *k = lo->k;
    const Dim *all = dim_const(lo->ir, 0);
    bool splits = second, small = !second;
    int64_t floats = 0;
    for (uint32_t i = 0; i < n; i++) {
        small = small && is_small(&sets[i]);
        splits = splits || sets[i].splits > 1;
        if (!second || sets[i].splits > 1)
            all = dim_add(lo->ir, all, tasks_of(lo, &sets[i], second ? 1 : sets[i].splits));
        floats = larger(floats, WARPS * (int64_t)sets[i].set->n * dot_floats(&sets[i]));
    }
    KPhase *phase = kernel_phase(k, splits && !second ? "split" : "", all,
                                 second ? "joins the sums of some columns per block"
                                        : "some columns of the result per block");
    phase->threads = phase->team = THREADS;
    phase->blocks = small ? SMALL_BLOCKS : 0;
    uint32_t sums = second ? 0 : kernel_shared(k, "sums", DT_F32, floats);
    phase->ahead = second ? (KBlock){0} : ask_sets(lo, sets, n, all);
    scope_begin(lo, phase);
    const KExpr *thread = place(lo, "thread", "mdl_thread()");
    GemmRanges ranges = {.before = dim_const(lo->ir, 0), .alone = n == 1};
    for (uint32_t i = 0; i < n; i++) {
        Wide *w = &sets[i];
        if (second && w->splits == 1)
            continue;
        int64_t cut = second ? 1 : w->splits;
        w->sums = sums;
        w->thread = thread;
        open_block(lo, w, gemm_open_range(lo, &ranges, tasks_of(lo, w, cut)), cut);
        if (second)
            join_splits(lo, w);
        else
            one_block(lo, w);
        scope_end(lo);
        scope_end(lo);
    }
}

static void run_sets(Lower *lo, Wide *sets, uint32_t n)
{
    bool splits = false;
    split_depth(lo, sets, n);
    for (uint32_t i = 0; i < n; i++) {
        Wide *w = &sets[i];
        if (w->splits == 1)
            continue;
        int64_t each = w->splits * w->set->n * w->rows * w->across * w->columns;
        const Dim *count = dim_mul(lo->ir, w->set->dot[0]->nbatch, dim_const(lo->ir, each));
        w->partial = kernel_workspace(lo->k, "partial", DT_F32, count);
        splits = true;
    }
    run_phase(lo, sets, n, false);
    if (splits)
        run_phase(lo, sets, n, true);
}

bool gpu_skinny_mma(Lower *lo, const GemmKernel *kn)
{
    uint32_t width = lo->k->width;
    Wide *sets = NEW_ARRAY(lo->arena, Wide, kn->nset);
    bool all = true;
    lo->k->width = VECTOR;
    for (uint32_t s = 0; s < kn->nset && all; s++)
        all = shape_set(lo, &sets[s], &kn->set[s]);
    if (!all) {
        lo->k->width = width;
        return false;
    }
    prologue_phase(lo);
    run_sets(lo, sets, kn->nset);
    return true;
}
