/* attention_tile.c: the parts of which the kernels of attention are made. attention_tile.h. */
#include "attention_tile.h"

#include <string.h>

/* ---- operands into panels ---- */

static const KExpr *operand(Lower *lo, const LinesSpec *s, const Ix *line, const Ix *column)
{
    const Ix *ix[IR_MAX_RANK];
    memcpy(ix, s->of, s->nof * sizeof *ix);
    ix[s->nof] = s->columns_first ? column : line;
    ix[s->nof + 1] = s->columns_first ? line : column;
    return lower_spread(lo, lower_value(lo, s->node, ix));
}

static bool is_whole(const Lower *lo, const Dim *d)
{
    int64_t n;
    return dim_is_const(d, &n) && n % lo->k->width == 0;
}

typedef struct Copy {
    const LinesSpec *s;
    const Ix *line;
    const KExpr *at; /* of the line in buf */
    uint32_t tile;
    const KExpr *count; /* lines of the strip */
} Copy;

static void copy_columns(Lower *lo, const Ix *column, void *user)
{
    const Copy *c = user;
    const KExpr *j = lo->var[lo->nvar - 1].at;
    const KExpr *x = operand(lo, c->s, c->line, column);
    ks_store(lo->k, lo->scope->block, c->s->buf, ke_add(lo, c->at, j), x);
}

static void columns_loop(Lower *lo, const LinesSpec *s, LanesFn body, Copy *c)
{
    LanesSpec spec = {.stem = "j",
                      .lo = ke_int(lo->k, 0),
                      .hi = ke_extent(lo->k, s->columns),
                      .extent = s->columns,
                      .whole = is_whole(lo, s->columns)};
    lower_lanes(lo, &spec, body, c);
}

void tile_copy_lines(Lower *lo, const LinesSpec *s)
{
    Copy c = {.s = s};
    scope_loop(
        lo, &(LoopSpec){.stem = "r", .lo = ke_int(lo->k, 0), .hi = s->count, .extent = s->lines});
    const KExpr *r = lo->var[lo->nvar - 1].at;
    c.line = scope_var(lo, ke_add(lo, s->first, r), s->lines);
    c.at = ke_add(lo, s->base, ke_mul(lo, r, ke_int(lo->k, s->pitch)));
    columns_loop(lo, s, copy_columns, &c);
    scope_end(lo);
}

static void across_columns(Lower *lo, const Ix *column, void *user)
{
    Copy *c = user;
    Kernel *k = lo->k;
    const LowerVar j = lo->var[lo->nvar - 1];
    const KExpr *w = ke_int(k, k->width);
    c->tile = ks_local(k, lo->scope->block, "tile", KT_F32, (int64_t)k->width * k->width);
    scope_loop(lo, &(LoopSpec){.stem = "r",
                               .lo = ke_int(k, 0),
                               .hi = c->count,
                               .extent = dim_const(lo->ir, k->width)});
    const KExpr *r = lo->var[lo->nvar - 1].at;
    const Ix *line = scope_var(lo, ke_add(lo, c->s->first, r), c->s->lines);
    const KExpr *x = operand(lo, c->s, line, column);
    ks_store(k, lo->scope->block, c->tile, ke_mul(lo, r, w), x);
    scope_end(lo);
    scope_loop(
        lo,
        &(LoopSpec){.stem = "r", .lo = c->count, .hi = w, .extent = dim_const(lo->ir, k->width)});
    r = lo->var[lo->nvar - 1].at;
    ks_store(k, lo->scope->block, c->tile, ke_mul(lo, r, w), ke_num(k, KT_VF, 0));
    scope_end(lo);
    const KExpr *to = ke_add(lo, c->at, ke_mul(lo, j.at, ke_int(k, c->s->pitch)));
    const KExpr *arg[] = {ke_addr(k, c->tile, ke_int(k, 0)), ke_addr(k, c->s->buf, to),
                          ke_int(k, c->s->pitch), j.lanes ? j.lanes : w};
    ks_call(k, lo->scope->block, ke_text(k, KT_PTR, "mdl_transpose_f32(%0, %1, %2, %3)", arg, 4));
}

void tile_copy_across(Lower *lo, const LinesSpec *s, int64_t width)
{
    Kernel *k = lo->k;
    const KExpr *w = ke_int(k, k->width), *zero = ke_int(k, 0);
    scope_loop(lo, &(LoopSpec){.stem = "strip",
                               .lo = zero,
                               .hi = ke_int(k, width),
                               .extent = dim_const(lo->ir, width),
                               .step = k->width});
    const KExpr *strip = lo->var[lo->nvar - 1].at;
    LinesSpec one = *s;
    one.first = ke_add(lo, s->first, strip);
    const KExpr *left = ke_index(k, KI_MAX, ke_sub(lo, s->count, strip), zero);
    Copy c = {.s = &one, .at = ke_add(lo, s->base, strip)};
    c.count = ks_let(k, lo->scope->block, "lines", ke_min(lo, left, w));
    columns_loop(lo, &one, across_columns, &c);
    scope_end(lo);
}

void tile_zero(Lower *lo, uint32_t buf, const KExpr *base, const KExpr *count)
{
    Kernel *k = lo->k;
    KStmt *s = ks_for(k, lo->scope->block, kernel_name(k, "i"), ke_int(k, 0), count);
    s->step = ke_int(k, k->width);
    const KExpr *at = ke_add(lo, base, ke_var(k, KT_I64, s->name));
    ks_store(k, &s->body, buf, at, ke_num(k, KT_VF, 0));
}

/* ---- register tiles ---- */

static const KExpr *tile_element(Lower *lo, const TileSpec *t, int64_t i, int64_t j)
{
    return ke_add(lo, t->cbase, ke_int(lo->k, i * t->crow + j * lo->k->width));
}

static const KExpr **begin(Lower *lo, const TileSpec *t)
{
    Kernel *k = lo->k;
    KBlock *block = lo->scope->block;
    const KExpr **c = NEW_ARRAY(lo->arena, const KExpr *, t->rows * t->nv);
    for (int64_t i = 0; i < t->rows; i++) {
        for (int64_t j = 0; j < t->nv; j++) {
            const char *name = arena_printf(lo->arena, "c%lld_%lld", (long long)i, (long long)j);
            const KExpr *x = ke_num(k, KT_VF, 0);
            if (t->add)
                x = ke_vload(k, t->c, tile_element(lo, t, i, j), NULL);
            if (t->add && t->by)
                x = ke_apply(lo, KT_VF, "(%0 * %1)", x, t->by[i]);
            c[i * t->nv + j] = ks_var(k, block, name, x);
        }
    }
    return c;
}

void tile_multiply(Lower *lo, const TileSpec *t)
{
    Kernel *k = lo->k;
    scope_plain(lo);
    const KExpr **c = begin(lo, t);
    const KExpr **b = NEW_ARRAY(lo->arena, const KExpr *, t->nv);
    KStmt *s = ks_for(k, lo->scope->block, kernel_name(k, "k"), t->from, t->to);
    const KExpr *step = ke_var(k, KT_I64, s->name);
    const KExpr *line = ke_add(lo, t->bbase, ke_mul(lo, step, ke_int(k, t->bdepth)));
    for (int64_t j = 0; j < t->nv; j++)
        b[j] = ks_let(k, &s->body, "b",
                      ke_vload(k, t->b, ke_add(lo, line, ke_int(k, j * k->width)), NULL));
    for (int64_t i = 0; i < t->rows; i++) {
        const KExpr *at = ke_add(lo, t->abase, ke_mul(lo, step, ke_int(k, t->adepth)));
        at = ke_add(lo, at, ke_int(k, i * t->arow));
        const KExpr *x = ks_let(k, &s->body, "a", lower_spread(lo, ke_load(k, t->a, at)));
        for (int64_t j = 0; j < t->nv; j++) {
            const KExpr *arg[] = {x, b[j], c[i * t->nv + j]};
            ks_set(k, &s->body, arg[2], ke_text(k, KT_VF, "mdl_fma_vf(%0, %1, %2)", arg, 3));
        }
    }
    for (int64_t i = 0; i < t->rows; i++)
        for (int64_t j = 0; j < t->nv; j++)
            ks_store(k, lo->scope->block, t->c, tile_element(lo, t, i, j), c[i * t->nv + j]);
    scope_end(lo);
}

static void multiply_at(Lower *lo, const TileSpec *t, const KExpr *column, int64_t nv)
{
    TileSpec part = *t;
    part.nv = nv;
    part.bbase = ke_add(lo, t->bbase, column);
    part.cbase = ke_add(lo, t->cbase, column);
    tile_multiply(lo, &part);
}

void tile_multiply_wide(Lower *lo, const TileSpec *t, int64_t columns)
{
    Kernel *k = lo->k;
    int64_t step = t->nv * k->width, whole = columns / step * step;
    if (whole > 0) {
        scope_loop(lo, &(LoopSpec){.stem = "j",
                                   .lo = ke_int(k, 0),
                                   .hi = ke_int(k, whole),
                                   .extent = dim_const(lo->ir, columns),
                                   .step = step});
        multiply_at(lo, t, lo->var[lo->nvar - 1].at, t->nv);
        scope_end(lo);
    }
    if (whole < columns)
        multiply_at(lo, t, ke_int(k, whole), (columns - whole) / k->width);
}

const KExpr *tile_fold_lanes(Lower *lo, const char *name, const KExpr *v, const char *text)
{
    Kernel *k = lo->k;
    KBlock *block = lo->scope->block;
    for (int64_t h = k->width / 2; h > 0; h /= 2) {
        const char *swap = arena_printf(lo->arena, "mdl_swap_vf(%%0, %lld)", (long long)h);
        const KExpr *other = ks_let(k, block, "other", ke_apply(lo, KT_VF, swap, v, NULL));
        v = ks_let(k, block, name, ke_apply(lo, KT_VF, text, v, other));
    }
    return ks_let(k, block, name, ke_apply(lo, KT_F32, "mdl_lane0_vf(%0)", v, NULL));
}

/* ---- keys of a block of queries ---- */

static const KExpr *bound_value(Lower *lo, const NodeBound *b)
{
    Kernel *k = lo->k;
    const KExpr *sum = ke_int(k, b->add);
    for (uint32_t i = 0; i < b->nterm; i++) {
        const KExpr *x = lower_value(lo, b->term[i].node, b->term[i].ix);
        ASSERT(!ktype_is_vector(x->type));
        x = ke_apply(lo, KT_I64, "(int64_t)%0", x, NULL);
        sum = b->term[i].sign > 0 ? ke_add(lo, sum, x) : ke_sub(lo, sum, x);
    }
    return sum;
}

static void narrow(Lower *lo, const KExpr *var, KIndexOp op, const KExpr *x)
{
    ks_set(lo->k, lo->scope->block, var, ke_index(lo->k, op, var, x));
}

static bool sees_all(const Attention *a)
{
    double all;
    return !a->mask || (node_is_const(a->mask, &all) && all != 0);
}

RowSpan tile_row_bounds(Lower *lo, const BlockSpec *s, const Ix *t)
{
    Kernel *k = lo->k;
    NodeBounds bounds;
    const KExpr *end = ke_extent(k, s->att->s), *low = ke_int(k, 0), *high = end;
    if (sees_all(s->att))
        return (RowSpan){low, high, false};
    const Ix *ix[] = {s->b, s->h, t, scope_var(lo, ke_int(k, 0), s->att->s)};
    node_bounds(lo->ir, s->att->mask, ix, lo->nvar - 1, &bounds);
    for (uint32_t i = 0; i < bounds.n; i++) {
        const NodeBound *b = &bounds.bound[i];
        const KExpr *x = bound_value(lo, b);
        if (b->upper)
            high = ke_min(lo, high, ke_add(lo, x, ke_int(k, 1)));
        else
            low = ke_index(k, KI_MAX, low, x);
    }
    RowSpan row = {.rest = bounds.rest};
    row.low = ks_let(k, lo->scope->block, "low", ke_min(lo, low, end));
    row.high = ks_let(k, lo->scope->block, "high", ke_index(k, KI_MAX, high, ke_int(k, 0)));
    return row;
}

/* A loop over the queries of a block, or over this thread's share of them. */
static const Ix *open_rows(Lower *lo, const BlockSpec *s, const KExpr *first, int64_t step)
{
    scope_loop(lo, &(LoopSpec){.stem = "i",
                               .lo = first,
                               .hi = s->rows,
                               .extent = dim_const(lo->ir, s->most),
                               .step = step,
                               .rolled = s->lane && s->most <= 2 * WARP});
    const Ix *t = scope_var(lo, ke_add(lo, s->t0, lo->var[lo->nvar - 1].at), s->att->t);
    scope_plain(lo);
    return t;
}

static void close_rows(Lower *lo)
{
    scope_end(lo);
    scope_end(lo);
}

/* The lanes of a warp have what all of them have found: numbers of keys. */
static void join_warp(Lower *lo, const Span4 *s, const Dim *keys)
{
    static const char *const texts[2][2] = {
        {"mdl_warp_least(%0)", "mdl_warp_most(%0)"},
        {"(int64_t)mdl_warp_min_i32((int32_t)%0)", "-(int64_t)mdl_warp_min_i32(-(int32_t)%0)"}};
    const KExpr *const of[] = {s->lo_min, s->hi_min, s->lo_max, s->hi_max};
    bool narrow = dim_hi(lo->ir, keys) <= INT32_MAX;
    for (size_t i = 0; i < COUNT(of); i++) {
        const char *text = texts[narrow][i / 2];
        ks_set(lo->k, lo->scope->block, of[i], ke_apply(lo, KT_I64, text, of[i], NULL));
    }
}

void tile_bounds(Lower *lo, const BlockSpec *s, Span4 *out)
{
    Kernel *k = lo->k;
    KBlock *block = lo->scope->block;
    const KExpr *zero = ke_int(k, 0), *end = ke_extent(k, s->att->s);
    if (sees_all(s->att)) {
        *out = (Span4){zero, zero, end, end, false};
        return;
    }
    *out = (Span4){.lo_min = ks_var(k, block, "lo_min", end),
                   .lo_max = ks_var(k, block, "lo_max", zero),
                   .hi_min = ks_var(k, block, "hi_min", end),
                   .hi_max = ks_var(k, block, "hi_max", zero)};
    const Ix *t = open_rows(lo, s, s->lane ? s->lane : zero, s->lane ? WARP : 1);
    RowSpan row = tile_row_bounds(lo, s, t);
    out->rest = row.rest;
    narrow(lo, out->lo_min, KI_MIN, row.low);
    narrow(lo, out->lo_max, KI_MAX, row.low);
    narrow(lo, out->hi_min, KI_MIN, row.high);
    narrow(lo, out->hi_max, KI_MAX, row.high);
    close_rows(lo);
    if (s->lane)
        join_warp(lo, out, s->att->s);
}

bool tile_queries(Lower *lo, const QueriesSpec *s, const KExpr **first, const KExpr **end)
{
    Kernel *k = lo->k;
    KBlock *block = lo->scope->block;
    const KExpr *zero = ke_int(k, 0), *all = ke_extent(k, s->block.att->t);
    if (sees_all(s->block.att)) {
        *first = zero;
        *end = all;
        return false;
    }
    *first = ks_var(k, block, "first", all);
    *end = ks_var(k, block, "end", zero);
    const Ix *t = open_rows(lo, &s->block, s->thread, s->threads);
    RowSpan row = tile_row_bounds(lo, &s->block, t);
    const KExpr *before = ke_test(k, "<", row.low, s->u1);
    scope_if(lo, ke_test(k, "&&", before, ke_test(k, ">", row.high, s->u0)));
    const KExpr *at = lower_index(lo, t);
    narrow(lo, *first, KI_MIN, at);
    narrow(lo, *end, KI_MAX, ke_add(lo, at, ke_int(k, 1)));
    scope_end(lo);
    close_rows(lo);
    return true;
}

/* ---- results of a gradient ---- */

typedef struct Stored {
    uint32_t result;
    ProductsPiece piece;
    const KExpr *value;
} Stored;

/* The parts of these results, in order; with so many columns where they are given. */
static uint32_t parts_of(const Lower *lo, uint64_t results, const Dim *columns, Stored **out)
{
    ProductsPiece piece[PRODUCTS_PIECES];
    uint32_t n = 0;
    *out = NEW_ARRAY(lo->arena, Stored, lo->body->results.n * (size_t)PRODUCTS_PIECES);
    for (uint32_t r = 0; results >> r; r++) {
        uint32_t count = results >> r & 1 ? products_parts(lo->body->results.at[r].node, piece) : 0;
        for (uint32_t i = 0; i < count; i++)
            if (!columns || piece[i].value->type->dims[3] == columns)
                (*out)[n++] = (Stored){.result = r, .piece = piece[i]};
    }
    return n;
}

void tile_each_columns(Lower *lo, uint64_t results, ColumnsFn fn, void *user)
{
    Stored *part;
    uint32_t n = parts_of(lo, results, NULL, &part);
    for (uint32_t i = 0; i < n; i++) {
        const Dim *columns = part[i].piece.value->type->dims[3];
        uint32_t before = 0;
        while (part[before].piece.value->type->dims[3] != columns)
            before++;
        if (before == i)
            fn(lo, columns, user);
    }
}

void tile_store_columns(Lower *lo, uint64_t results, const Dim *columns, const Ix *const *ix)
{
    Stored *part;
    uint32_t n = parts_of(lo, results, columns, &part);
    for (uint32_t i = 0; i < n; i++)
        part[i].value = lower_value(lo, part[i].piece.value, ix);
    for (uint32_t i = 0; i < n; i++) {
        const Ix *place[IR_MAX_RANK];
        products_place(lo->ir, &part[i].piece, ix, place);
        lower_store(lo, part[i].result, place, part[i].value);
    }
}
