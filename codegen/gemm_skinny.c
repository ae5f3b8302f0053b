/* gemm_skinny.c: products with so few rows that one register tile has them all: decoding a token,
 * small batches. Every element of the right operand is used once, so packing it would cost more than
 * the product, and what counts is how fast memory is read.
 *
 * Where its rows lie side by side (lanes along the columns of the result), the task streams few lines of
 * depth at a time, as many as the processor's prefetching can follow, over all its columns; partial
 * sums stay in the first caches. Where its depth lies side by side (lanes along the depth), each element
 * of the result is a dot product: several columns at once, whose lanes are added at the end of a block.
 * Either way a value before the product is computed once per element, whatever it is. */
#include "gemm.h"

enum {
    LEAST_BYTES = 1 << 16, /* of the right operand: beyond the first cache */
    WIDE_TASK = 1024,      /* columns */
    NARROW_TASK = 256,
    ENOUGH_TASKS = 8,
    FEW_ROWS = 4,
    SOME_ROWS = 8,
    BLOCK = 256,
    LONG_BLOCK = 1024,
    MAX_DOTS = 8
};

/* Sums that fit beside one line of each operand. */
static int64_t registers_for_sums(const Lower *lo)
{
    return lo->target->registers >= 32 ? 24 : 12;
}

/* Vectors of columns of a tile, and lines of depth that are streamed together. */
static void choose_stream(Lower *lo, Gemm *g, int64_t m)
{
    int64_t vectors = smaller(smaller(2 * m, 4), registers_for_sums(lo) / m);
    g->right.panel = larger(vectors, 1) * lo->k->width;
    g->stream = m <= FEW_ROWS    ? FEW_ROWS * 2
                : m <= SOME_ROWS ? SOME_ROWS * 2
                                 : PRODUCTS_FEW_CPU * 2;
    g->kc = BLOCK;
}

/* Columns whose dots are made together: a power of two that divides a vector. */
static void choose_dots(Lower *lo, Gemm *g, int64_t m)
{
    g->dots = 1;
    while (2 * g->dots * m <= registers_for_sums(lo) &&
           2 * g->dots <= smaller(MAX_DOTS, lo->k->width))
        g->dots *= 2;
    g->right.panel = lo->k->width;
    g->kc = m <= FEW_ROWS ? LONG_BLOCK : LONG_BLOCK / 2;
}

static void choose_tasks(Lower *lo, Gemm *g, int64_t m, int64_t n)
{
    int64_t batch = dim_hi(lo->ir, g->nbatch), nr = g->right.panel;
    int64_t wide = WIDE_TASK;
    while (wide > NARROW_TASK && ceil_div(n, wide) * batch < ENOUGH_TASKS)
        wide /= 2;
    g->mt = g->left.panel = m;
    g->nt = round_up(smaller(wide, n), nr);
    g->tiles_m = g->left.max_panels = 1;
    g->tiles_n = ceil_div(n, g->nt);
    g->right.max_panels = ceil_div(n, nr);
    g->grain = g->inner = 1;
}

static bool is_large(Lower *lo, const Gemm *g)
{
    int64_t n = dim_hi(lo->ir, g->right.rows), depth = dim_hi(lo->ir, g->depth);
    return n >= 1 && depth >= lo->k->width && n * 4 >= LEAST_BYTES / depth &&
           dim_lo(lo->ir, g->depth) >= 1;
}

/* Reads the right side in order: `dots` along its depth, else along its rows. */
static bool reads_in_order(Lower *lo, Gemm *g, int64_t m, bool dots)
{
    g->stream = g->dots = 0;
    if (dots)
        choose_dots(lo, g, m);
    else
        choose_stream(lo, g, m);
    /* columns of a tile must exist */
    return dim_lo(lo->ir, g->right.rows) >= g->right.panel &&
           gemm_probe_side(lo, g, &g->right, dots) == 0;
}

static bool all_in_order(Lower *lo, const GemmSet *set, int64_t m, bool dots)
{
    bool all = true;
    for (uint32_t d = 0; d < set->n; d++) {
        set->dot[d]->right.direct = true;
        all = all && reads_in_order(lo, set->dot[d], m, dots);
    }
    return all;
}

static void choose_depth(Lower *lo, Gemm *g)
{
    int64_t depth = dim_hi(lo->ir, g->depth);
    g->kc = smaller(g->kc, round_up(depth, lo->k->width));
    g->blocks = ceil_div(depth, g->kc);
}

/* Sums of a stretch of depth are kept beside those of the columns. */
static void choose_factor(Lower *lo, Gemm *g, int64_t m)
{
    if (g->dots)
        gemm_find_factor(lo, g);
    while (g->factor.unit && g->dots > 1 && 2 * g->dots * m > registers_for_sums(lo))
        g->dots /= 2;
}

bool gemm_skinny(Lower *lo, const GemmSet *set)
{
    int64_t m = dim_hi(lo->ir, set->dot[0]->left.rows), n = dim_hi(lo->ir, set->dot[0]->right.rows);
    bool fits = m >= 1 && m <= products_few(lo->target, DT_F32).rows;
    for (uint32_t d = 0; d < set->n; d++)
        fits = fits && is_large(lo, set->dot[d]);
    fits = fits && (all_in_order(lo, set, m, false) || all_in_order(lo, set, m, true));
    for (uint32_t d = 0; d < set->n; d++) {
        Gemm *g = set->dot[d];
        g->right.direct = fits;
        if (!fits) {
            g->stream = g->dots = 0;
            continue;
        }
        choose_factor(lo, g, m);
        choose_depth(lo, g);
        choose_tasks(lo, g, m, n);
        gemm_choose_lanes(lo, g, &g->left);
    }
    return fits;
}

/* ---- dot products ---- */

const KExpr *gemm_depth_lanes(Lower *lo, const Gemm *g, const GemmSide *s, const Ix *const *rd)
{
    uint32_t depth = index_vector_var(lo, &rd[1], 1);
    const KExpr *lanes = lo->var[depth].lanes, *x = lower_spread(lo, gemm_element(lo, g, s, rd));
    return lower_first_lanes(lo, lanes, x, ke_num(lo->k, KT_VF, 0));
}

static LanesSpec depth_lanes(Lower *lo, const Gemm *g, const KExpr *k0, const KExpr *klen)
{
    int64_t n;
    return (LanesSpec){.stem = "k",
                       .lo = k0,
                       .hi = ke_add(lo, k0, klen),
                       .extent = g->depth,
                       .whole = dim_is_const(g->depth, &n) && n % lo->k->width == 0};
}

/* Place in the packed left side, [depth / W][row][W], each step one piece of memory. */
static const KExpr *line_at(Lower *lo, const GemmSide *left, const KExpr *step, const KExpr *row)
{
    return ke_add(lo, ke_mul(lo, step, ke_int(lo->k, left->panel)),
                  ke_mul(lo, row, ke_int(lo->k, lo->k->width)));
}

typedef struct Lines {
    Gemm *g;
    const PanelSpec *p;
} Lines;

/* Rows past the end, of a run-time extent, are left as they are: nobody reads their products. */
static void pack_lines(Lower *lo, const Ix *depth, void *user)
{
    const Lines *l = user;
    Kernel *k = lo->k;
    GemmSide *left = &l->g->left;
    const KExpr *step = ke_sub(lo, lo->var[lo->nvar - 1].at, l->p->k0);
    const KExpr *end = ke_sub(lo, ke_extent(k, left->rows), l->p->row);
    scope_loop(lo, &(LoopSpec){.stem = "r",
                               .lo = ke_int(k, 0),
                               .hi = ke_min(lo, ke_int(k, left->panel), end),
                               .extent = dim_const(lo->ir, left->panel)});
    const KExpr *r = lo->var[lo->nvar - 1].at;
    const Ix *row = scope_var(lo, ke_add(lo, l->p->row, r), left->rows);
    const KExpr *x = gemm_depth_lanes(lo, l->g, left, (const Ix *[]){row, depth});
    const KExpr *at = ke_add(lo, l->p->base, line_at(lo, left, step, r));
    ks_store(k, lo->scope->block, left->pack, at, x);
    scope_end(lo);
}

void gemm_pack_lines(Lower *lo, Gemm *g, const PanelSpec *p)
{
    Lines l = {.g = g, .p = p};
    LanesSpec spec = depth_lanes(lo, g, p->k0, p->klen);
    lower_lanes(lo, &spec, pack_lines, &l);
}

typedef struct Dots {
    const GemmTask *t;
    const Ix **column;
    const KExpr **c; /* [row][column] */
} Dots;

static void dot_step(Lower *lo, const Ix *depth, void *user)
{
    const Dots *d = user;
    const GemmTask *t = d->t;
    const Gemm *g = t->g;
    Kernel *k = lo->k;
    const KExpr *b[MAX_DOTS], *step = ke_sub(lo, lower_index(lo, depth), t->k0);
    for (int64_t j = 0; j < g->dots; j++)
        b[j] = gemm_depth_lanes(lo, g, &g->right, (const Ix *[]){d->column[j], depth});
    for (int64_t i = 0; i < g->left.panel; i++) {
        const KExpr *at = ke_add(lo, t->abase, line_at(lo, &g->left, step, ke_int(k, i)));
        const KExpr *a = ks_let(k, lo->scope->block, "a", ke_vload(k, g->left.pack, at, NULL));
        for (int64_t j = 0; j < g->dots; j++) {
            const KExpr *arg[] = {a, b[j], d->c[i * g->dots + j]};
            ks_set(k, lo->scope->block, arg[2],
                   ke_text(k, KT_VF, "mdl_fma_vf(%0, %1, %2)", arg, 3));
        }
    }
}

/* The sum of all lanes, by halves. */
static const KExpr *sum_of_lanes(Lower *lo, const KExpr *x)
{
    Kernel *k = lo->k;
    for (int64_t h = k->width / 2; h > 0; h /= 2) {
        const char *text = arena_printf(lo->arena, "(%%0 + mdl_swap_vf(%%0, %lld))", (long long)h);
        x = ks_let(k, lo->scope->block, "sum", ke_apply(lo, KT_VF, text, x, NULL));
    }
    return ke_apply(lo, KT_F32, "mdl_lane0_vf(%0)", x, NULL);
}

/* The same over one block of depth, whose columns have factors that change: each stretch has sums of its own. */
static void dots_by_unit(Lower *lo, const Dots *d)
{
    const GemmTask *t = d->t;
    const Gemm *g = t->g;
    Kernel *k = lo->k;
    const KExpr *unit = ke_int(k, g->factor.unit), *end = ke_add(lo, t->k0, t->klen);
    const Dim *length = dim_const(lo->ir, g->factor.unit);
    int64_t n = g->left.panel * g->dots;
    const Ix *u = scope_loop(
        lo, &(LoopSpec){.stem = "unit",
                        .lo = ke_index(k, KI_DIV, t->k0, unit),
                        .hi = ke_index(k, KI_DIV, end, unit),
                        .extent = dim_const(lo->ir, dim_fixed(g->depth) / g->factor.unit)});
    const Ix *first = ix_mul(lo->ir, u, length);
    Dots own = {.t = t, .column = d->column, .c = NEW_ARRAY(lo->arena, const KExpr *, n)};
    for (int64_t i = 0; i < n; i++)
        own.c[i] = ks_var(k, lo->scope->block, "part", ke_num(k, KT_VF, 0));
    const Ix *in = scope_loop(lo, &(LoopSpec){.stem = "k",
                                              .lo = ke_int(k, 0),
                                              .hi = unit,
                                              .extent = length,
                                              .step = k->width,
                                              .vector = true,
                                              .unroll = true});
    dot_step(lo, ix_add(lo->ir, first, in), &own);
    scope_end(lo);
    for (int64_t i = 0; i < n; i++) {
        const KExpr *factor = gemm_factor(lo, g, (const Ix *[]){d->column[i % g->dots], first});
        const KExpr *arg[] = {own.c[i], lower_spread(lo, factor), d->c[i]};
        ks_set(k, lo->scope->block, arg[2], ke_text(k, KT_VF, "mdl_fma_vf(%0, %1, %2)", arg, 3));
    }
    scope_end(lo);
}

/* Some columns of the tile, over one block of depth. */
static void some_dots(Lower *lo, const GemmTask *t, const KExpr *first)
{
    Kernel *k = lo->k;
    const Gemm *g = t->g;
    int64_t mr = g->left.panel;
    KBlock *block = lo->scope->block;
    Dots d = {.t = t,
              .column = NEW_ARRAY(lo->arena, const Ix *, g->dots),
              .c = NEW_ARRAY(lo->arena, const KExpr *, mr * g->dots)};
    for (int64_t j = 0; j < g->dots; j++) {
        const KExpr *at = ke_add(lo, ke_add(lo, t->col0, first), ke_int(k, j));
        d.column[j] = scope_var(lo, at, g->right.rows);
    }
    for (int64_t i = 0; i < mr * g->dots; i++)
        d.c[i] = ks_var(k, block, "c", ke_num(k, KT_VF, 0));
    LanesSpec spec = depth_lanes(lo, g, t->k0, t->klen);
    if (g->factor.unit)
        dots_by_unit(lo, &d);
    else
        lower_lanes(lo, &spec, dot_step, &d);
    for (int64_t i = 0; i < mr * g->dots; i++) {
        int64_t row = i / g->dots, j = i % g->dots;
        const KExpr *at = ke_add(lo, t->tile, ke_int(k, row * g->right.panel + j));
        at = ke_add(lo, at, first);
        const KExpr *sum = sum_of_lanes(lo, d.c[i]);
        if (g->factor.found && !g->factor.unit)
            sum = ke_apply(lo, KT_F32, "(%0 * %1)", sum,
                           gemm_factor(lo, g, (const Ix *[]){d.column[j], ix_int(lo->ir, 0)}));
        if (g->blocks > 1) {
            const KExpr *arg[] = {ke_test(k, ">", t->block, ke_int(k, 0)), ke_load(k, t->sums, at),
                                  sum};
            sum = ke_text(k, KT_F32, "(%0 ? %1 + %2 : %2)", arg, 3);
        }
        ks_store(k, block, t->sums, at, sum);
    }
}

void gemm_tile_of_dots(Lower *lo, GemmTask *t)
{
    const Gemm *g = t->g;
    const KExpr *zero = ke_int(lo->k, 0);
    scope_loop(lo, &(LoopSpec){.stem = "q",
                               .lo = zero,
                               .hi = ke_int(lo->k, g->right.panel),
                               .extent = dim_const(lo->ir, g->right.panel),
                               .step = g->dots});
    some_dots(lo, t, lo->var[lo->nvar - 1].at);
    scope_end(lo);
}
