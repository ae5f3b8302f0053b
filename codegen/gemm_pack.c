/* gemm_pack.c: operands into panels. A panel holds `panel` rows of an operand as [depth][panel], so
 * that the register tile reads both operands in order. Values are pulled through whatever views and
 * elementwise operations lie before the product, so a prologue costs no pass of its own.
 *
 * Two ways to walk: lanes along the rows (the operand is stored depth-major), or lanes along the
 * depth and a transpose in registers (row-major). Rows past the end are packed as zeros. */
#include "gemm.h"

#include <string.h>

enum { LONG_DEPTH = 4, COST_MUCH = 8 }; /* times the rows; in vector loads */

void gemm_side_index(Lower *lo, const Gemm *g, const GemmSide *s, const Ix *const *rd,
                     const Ix **ix)
{
    const Dim *dims[IR_MAX_RANK];
    const Ix *part[IR_MAX_RANK];
    const Type *t = s->node->type;
    const struct {
        const int64_t *axis;
        uint32_t n;
        const Ix *linear;
    } groups[] = {
        {s->batch, s->nbatch, g->batch}, {s->free, s->nfree, rd[0]}, {s->depth, s->ndepth, rd[1]}};
    for (size_t q = 0; q < COUNT(groups); q++) {
        for (uint32_t i = 0; i < groups[q].n; i++)
            dims[i] = t->dims[groups[q].axis[i]];
        ix_unflatten(lo->ir, groups[q].linear, dims, groups[q].n, part);
        for (uint32_t i = 0; i < groups[q].n; i++)
            ix[groups[q].axis[i]] = part[i];
    }
}

const KExpr *gemm_element(Lower *lo, const Gemm *g, const GemmSide *s, const Ix *const *rd)
{
    const Ix *ix[IR_MAX_RANK];
    if (s == &g->right && g->factor.found)
        return gemm_without_factor(lo, g, rd);
    gemm_side_index(lo, g, s, rd, ix);
    return lower_value(lo, s->node, ix);
}

bool gemm_side_unaligned(const Lower *lo, const GemmSide *s)
{
    int64_t rows, w = lo->k->width;
    return s->panel % w != 0 || (s->direct && !(dim_is_const(s->rows, &rows) && rows % w == 0));
}

double gemm_probe_side(Lower *lo, Gemm *g, GemmSide *s, bool along_depth)
{
    KPhase dry = {0};
    const KExpr *zero = ke_int(lo->k, 0);
    const Ix *rd[2], *ix[IR_MAX_RANK];
    scope_begin(lo, &dry);
    g->batch = scope_var(lo, zero, g->nbatch);
    for (int i = 0; i < 2; i++) {
        const Dim *extent = i == 0 ? s->rows : g->depth;
        bool lanes = (i == 1) == along_depth;
        rd[i] = lanes ? scope_vector_var(lo, zero, extent, NULL) : scope_var(lo, zero, extent);
        lo->var[lo->nvar - 1].unaligned = lanes && i == 0 && gemm_side_unaligned(lo, s);
    }
    gemm_side_index(lo, g, s, rd, ix);
    return lower_probe(lo, s->node, ix);
}

void gemm_choose_lanes(Lower *lo, Gemm *g, GemmSide *s)
{
    double rows = gemm_probe_side(lo, g, s, false), depth = gemm_probe_side(lo, g, s, true);
    s->depth_lanes = depth + 1 < rows;
}

/* Vectors of the right side cost much more to read than those of the left one would (patches of an
 * image, for the gradient of their weights), and the depth is so long that this outweighs storing
 * the result across its rows. */
bool gemm_wants_swap(Lower *lo, Gemm *g, uint64_t results)
{
    const Graph *body = lo->body;
    int64_t depth = dim_hi(lo->ir, g->depth), rows = dim_hi(lo->ir, g->left.rows);
    if (lo->scalar || depth < LONG_DEPTH * rows)
        return false;
    for (uint32_t r = 0; r < body->results.n; r++)
        if (results >> r & 1 && body->results.at[r].node != g->dot)
            return false;
    double cost[2];
    for (int i = 0; i < 2; i++) {
        GemmSide *s = i ? &g->right : &g->left;
        double by_rows = gemm_probe_side(lo, g, s, false),
               by_depth = gemm_probe_side(lo, g, s, true) + 1;
        cost[i] = by_rows < by_depth ? by_rows : by_depth;
    }
    return cost[0] + COST_MUCH < cost[1];
}

typedef struct Pack {
    Gemm *g;
    const PanelSpec *p;
    const Ix *row;       /* along rows: of lane 0; along depth: of the row */
    const KExpr *offset; /* first row of this strip within the panel */
    uint32_t tile;
} Pack;

static const KExpr *panel_at(Lower *lo, const PanelSpec *p, const KExpr *k, const KExpr *row)
{
    const KExpr *line = ke_mul(lo, ke_sub(lo, k, p->k0), ke_int(lo->k, p->side->panel));
    return ke_add(lo, ke_add(lo, p->base, line), row);
}

static const KExpr *side_value(Lower *lo, const Pack *c, const Ix *row, const Ix *depth)
{
    return lower_spread(lo, gemm_element(lo, c->g, c->p->side, (const Ix *[]){row, depth}));
}

/* A panel is packed in strips of W rows. Stores are whole vectors even where the panel is narrower or
 * no multiple of W: what a strip writes too much belongs to the first strip of the next line, so
 * strips are packed from the last to the first. */
static int64_t strips_of(const Lower *lo, const GemmSide *s)
{
    return ceil_div(s->panel, lo->k->width);
}

/* ---- lanes along the rows ---- */

static const Ix *strip_loop(Lower *lo, const Pack *c)
{
    const PanelSpec *p = c->p;
    return scope_loop(
        lo, &(LoopSpec){
                .stem = "k", .lo = p->k0, .hi = ke_add(lo, p->k0, p->klen), .extent = c->g->depth});
}

static void strip_store(Lower *lo, const Pack *c, const KExpr *kv, const KExpr *x)
{
    ks_store(lo->k, lo->scope->block, c->p->side->pack, panel_at(lo, c->p, kv, c->offset), x);
}

static void pack_strip(Lower *lo, Pack *c, const KExpr *lanes)
{
    const PanelSpec *p = c->p;
    const KExpr *at = ke_add(lo, p->row, c->offset);
    c->row = scope_vector_var(lo, at, p->side->rows, lanes);
    lo->var[lo->nvar - 1].unaligned = p->side->panel % lo->k->width != 0;
    const Ix *k = strip_loop(lo, c);
    const KExpr *kv = lo->var[lo->nvar - 1].at;
    strip_store(lo, c, kv, side_value(lo, c, c->row, k));
    scope_end(lo);
}

static void zero_strip(Lower *lo, Pack *c)
{
    strip_loop(lo, c);
    strip_store(lo, c, lo->var[lo->nvar - 1].at, ke_num(lo->k, KT_VF, 0));
    scope_end(lo);
}

static void pack_by_rows(Lower *lo, Pack *c)
{
    const PanelSpec *p = c->p;
    Kernel *k = lo->k;
    int64_t w = k->width, rows;
    bool fixed = dim_is_const(p->side->rows, &rows);
    for (int64_t i = strips_of(lo, p->side); i-- > 0;) {
        c->offset = ke_int(k, i * w);
        /* lanes past the panel are read, but belong to no row */
        const KExpr *left = ke_sub(lo, ke_extent(k, p->side->rows), ke_add(lo, p->row, c->offset));
        if (fixed && rows % p->side->panel == 0 && p->side->panel % w == 0) {
            scope_plain(lo);
            pack_strip(lo, c, NULL);
            scope_end(lo);
            continue;
        }
        left = ks_let(k, lo->scope->block, "left", left);
        scope_if(lo, ke_test(k, ">=", left, ke_int(k, w)));
        pack_strip(lo, c, NULL);
        scope_end(lo);
        const KExpr *some = ke_test(k, "<", left, ke_int(k, w));
        scope_if(lo, ke_test(k, "&&", some, ke_test(k, ">", left, ke_int(k, 0))));
        pack_strip(lo, c, left);
        scope_end(lo);
        if (i == 0) /* a panel has at least one row */
            continue;
        scope_if(lo, ke_test(k, "<=", left, ke_int(k, 0)));
        zero_strip(lo, c);
        scope_end(lo);
    }
}

/* ---- lanes along the depth ---- */

/* Rows [offset, offset + W) of the panel, W steps of depth, through a tile in registers. */
static void tile_strip(Lower *lo, Pack *c, const Ix *depth, const LowerVar *kv)
{
    const PanelSpec *p = c->p;
    Kernel *k = lo->k;
    int64_t width = k->width, offset;
    ke_is_int(c->offset, &offset);
    int64_t strip = p->side->panel - offset < width ? p->side->panel - offset : width;
    const KExpr *w = ke_int(k, width), *first = ke_add(lo, p->row, c->offset);
    const KExpr *end = ke_sub(lo, ke_extent(k, p->side->rows), first);
    const KExpr *rows = ke_index(k, KI_MIN, ke_int(k, strip), end);
    if (offset > 0)
        rows = ke_index(k, KI_MAX, rows, ke_int(k, 0));
    rows = ks_let(k, lo->scope->block, "rows", rows);
    scope_loop(
        lo, &(LoopSpec){
                .stem = "r", .lo = ke_int(k, 0), .hi = rows, .extent = dim_const(lo->ir, strip)});
    const KExpr *r = lo->var[lo->nvar - 1].at;
    const Ix *row = scope_var(lo, ke_add(lo, first, r), p->side->rows);
    const KExpr *x = side_value(lo, c, row, depth);
    ks_store(k, lo->scope->block, c->tile, ke_mul(lo, r, w), x);
    scope_end(lo);
    scope_loop(lo,
               &(LoopSpec){.stem = "r", .lo = rows, .hi = w, .extent = dim_const(lo->ir, width)});
    r = lo->var[lo->nvar - 1].at;
    ks_store(k, lo->scope->block, c->tile, ke_mul(lo, r, w), ke_num(k, KT_VF, 0));
    scope_end(lo);
    const KExpr *arg[] = {ke_addr(k, c->tile, ke_int(k, 0)),
                          ke_addr(k, p->side->pack, panel_at(lo, p, kv->at, c->offset)),
                          ke_int(k, p->side->panel), kv->lanes ? kv->lanes : w};
    ks_call(k, lo->scope->block, ke_text(k, KT_PTR, "mdl_transpose_f32(%0, %1, %2, %3)", arg, 4));
}

static void tile_lines(Lower *lo, const Ix *depth, void *user)
{
    Pack *c = user;
    const LowerVar kv = lo->var[lo->nvar - 1];
    int64_t w = lo->k->width;
    c->tile = ks_local(lo->k, lo->scope->block, "tile", KT_F32, w * w);
    for (int64_t i = strips_of(lo, c->p->side); i-- > 0;) {
        c->offset = ke_int(lo->k, i * w);
        tile_strip(lo, c, depth, &kv);
    }
}

static void pack_by_depth(Lower *lo, Pack *c)
{
    const PanelSpec *p = c->p;
    int64_t n;
    bool whole = dim_is_const(c->g->depth, &n) && n % lo->k->width == 0;
    LanesSpec spec = {.stem = "k",
                      .lo = p->k0,
                      .hi = ke_add(lo, p->k0, p->klen),
                      .extent = c->g->depth,
                      .whole = whole};
    lower_lanes(lo, &spec, tile_lines, c);
}

void gemm_pack_panel(Lower *lo, Gemm *g, const PanelSpec *p)
{
    Pack c = {.g = g, .p = p};
    if (g->dots)
        gemm_pack_lines(lo, g, p);
    else if (p->side->depth_lanes)
        pack_by_depth(lo, &c);
    else
        pack_by_rows(lo, &c);
}

/* ---- panels side by side ---- */

enum { RUN_FLOATS = 256, FEW_TASKS = 16 };

int64_t gemm_pack_together(Lower *lo, Gemm *g, GemmSide *s, int64_t tile)
{
    if (g->dots || s->depth_lanes || s->nfree != 1 || gemm_probe_side(lo, g, s, false) > 0)
        return 1;
    double parts = (double)g->blocks * (double)dim_hi(lo->ir, g->nbatch);
    int64_t n = RUN_FLOATS / s->panel;
    if (!s->shared)
        n = smaller(n, tile / s->panel);
    while (s->shared && n > 1 && (double)ceil_div(s->max_panels, n) * parts < FEW_TASKS)
        n /= 2;
    return n > 1 ? n : 1;
}

static PanelSpec panel_of(Lower *lo, const Gemm *g, const PanelSpec *p, const KExpr *number)
{
    PanelSpec one = *p;
    one.row = ke_add(lo, p->row, ke_mul(lo, number, ke_int(lo->k, p->side->panel)));
    const KExpr *at = ke_mul(lo, number, ke_int(lo->k, gemm_panel_size(g, p->side)));
    one.base = ke_add(lo, p->base, at);
    return one;
}

/* Opens the loop over the panels of p; the result is the number of the panel. */
static const KExpr *panel_loop(Lower *lo, const PanelSpec *p)
{
    scope_loop(lo, &(LoopSpec){.stem = "p",
                               .lo = ke_int(lo->k, 0),
                               .hi = ke_int(lo->k, p->side->together),
                               .extent = dim_const(lo->ir, p->side->together)});
    return lo->var[lo->nvar - 1].at;
}

/* All lanes exist. */
static void pack_together(Lower *lo, Gemm *g, const PanelSpec *p)
{
    Kernel *k = lo->k;
    GemmSide *s = p->side;
    Pack c = {.g = g, .p = p};
    const Ix *depth = strip_loop(lo, &c);
    const KExpr *kv = lo->var[lo->nvar - 1].at;
    const PanelSpec one = panel_of(lo, g, p, panel_loop(lo, p));
    c.p = &one;
    for (int64_t i = strips_of(lo, s); i-- > 0;) {
        c.offset = ke_int(k, i * k->width);
        const Ix *row = scope_vector_var(lo, ke_add(lo, one.row, c.offset), s->rows, NULL);
        lo->var[lo->nvar - 1].unaligned = s->panel % k->width != 0;
        strip_store(lo, &c, kv, side_value(lo, &c, row, depth));
    }
    scope_end(lo);
    scope_end(lo);
}

void gemm_pack_panels(Lower *lo, Gemm *g, const PanelSpec *p, const KExpr *end)
{
    Kernel *k = lo->k;
    GemmSide *s = p->side;
    if (s->together == 1) {
        gemm_pack_panel(lo, g, p);
        return;
    }
    int64_t last, rows, all = s->together * s->panel;
    int64_t lanes = all - s->panel + round_up(s->panel, k->width);
    const KExpr *whole = ke_test(k, "<=", ke_add(lo, p->row, ke_int(k, all)), end);
    if (lanes > all)
        whole =
            ke_test(k, "&&", whole,
                    ke_test(k, "<=", ke_add(lo, p->row, ke_int(k, lanes)), ke_extent(k, s->rows)));
    bool always = lanes == all && dim_is_const(s->rows, &rows) && rows % all == 0 &&
                  ke_is_int(end, &last) && last == rows;
    if (always)
        scope_plain(lo);
    else
        scope_if(lo, whole);
    pack_together(lo, g, p);
    scope_end(lo);
    if (always)
        return;
    scope_if(lo, ke_apply(lo, KT_BOOL, "!(%0)", whole, NULL));
    const PanelSpec one = panel_of(lo, g, p, panel_loop(lo, p));
    scope_if(lo, ke_test(k, "<", one.row, end));
    gemm_pack_panel(lo, g, &one);
    scope_end(lo);
    scope_end(lo);
    scope_end(lo);
}
