/* xent_tile.c: the products of a linear cross-entropy: scores = w x, then with the scores' cotangents
 * those of w and of x. All three are register tiles of some lines, whose elements are broadcast, and nr
 * columns in vectors; sums run over the whole depth where they lie in registers. */
#include "xent_tile.h"

enum { CLASS_BLOCK = 256, CACHE_LINE = 64 };

/* ---- a register tile ---- */

typedef struct Tile {
    int64_t m, nv;
    const KExpr **c; /* [m][nv] */
    uint32_t
        left; /* buffer of the elements; or NO_BUF: node at (row[i], depth) or (depth, row[i]) */
    const KExpr **at; /* of line i, in `left` */
    const Node *node;
    const Ix **line;
    bool depth_first;
    uint32_t right;
} Tile;

#define NO_BUF UINT32_MAX

static Tile tile_of(Lower *lo, const XentLower *x, int64_t m)
{
    Tile t = {.m = m, .nv = x->nv, .left = NO_BUF};
    t.c = NEW_ARRAY(lo->arena, const KExpr *, m * x->nv);
    t.at = NEW_ARRAY(lo->arena, const KExpr *, m);
    t.line = NEW_ARRAY(lo->arena, const Ix *, m);
    return t;
}

static const KExpr *tile_place(Lower *lo, const KExpr *base, int64_t i)
{
    return ke_add(lo, base, ke_int(lo->k, i * lo->k->width));
}

/* Sums start at 0. */
static void tile_begin(Lower *lo, Tile *t)
{
    for (int64_t i = 0; i < t->m * t->nv; i++) {
        const char *name =
            arena_printf(lo->arena, "c%lld_%lld", (long long)(i / t->nv), (long long)(i % t->nv));
        t->c[i] = ks_var(lo->k, lo->scope->block, name, ke_num(lo->k, KT_VF, 0));
    }
}

/* One step of depth: `depth` is its index, `at` the place of its line in `right`. */
static void tile_step(Lower *lo, const Tile *t, const Ix *depth, const KExpr *at)
{
    Kernel *k = lo->k;
    const KExpr *b[IR_MAX_RANK];
    ASSERT(t->nv <= IR_MAX_RANK);
    for (int64_t j = 0; j < t->nv; j++)
        b[j] = ks_let(k, lo->scope->block, "b", ke_vload(k, t->right, tile_place(lo, at, j), NULL));
    for (int64_t i = 0; i < t->m; i++) {
        const Ix *ix[2] = {t->line[i], depth};
        if (t->depth_first) {
            ix[0] = depth;
            ix[1] = t->line[i];
        }
        const KExpr *x =
            t->left == NO_BUF ? lower_value(lo, t->node, ix) : ke_load(k, t->left, t->at[i]);
        const KExpr *a = ks_let(k, lo->scope->block, "a", lower_spread(lo, x));
        for (int64_t j = 0; j < t->nv; j++) {
            const KExpr *arg[] = {a, b[j], t->c[i * t->nv + j]};
            ks_set(k, lo->scope->block, arg[2],
                   ke_text(k, KT_VF, "mdl_fma_vf(%0, %1, %2)", arg, 3));
        }
    }
}

static void tile_load(Lower *lo, const Tile *t, uint32_t buf, const KExpr *base)
{
    for (int64_t i = 0; i < t->m * t->nv; i++)
        ks_set(lo->k, lo->scope->block, t->c[i],
               ke_vload(lo->k, buf, tile_place(lo, base, i), NULL));
}

static void tile_store(Lower *lo, const Tile *t, uint32_t buf, const KExpr *base)
{
    for (int64_t i = 0; i < t->m * t->nv; i++)
        ks_store(lo->k, lo->scope->block, buf, tile_place(lo, base, i), t->c[i]);
}

/* ---- memory that is asked for ahead: hardware prefetchers stop at the end of a page ---- */

static void ask_input(Lower *lo, const Node *input, const Ix *linear, void *user)
{
    UNUSED(user);
    lower_prefetch(lo, lo->in[input->id], lower_index(lo, linear));
}

/* The line of the weights in which (first, second) lies. */
static void ask_for_weight(Lower *lo, const XentLower *c, const Ix *const ix[2])
{
    lower_each_load(lo, c->x.w, ix, ask_input, NULL);
}

/* ---- scores ---- */

/* The sums as scores: rounded, where the body rounds them. */
static void round_scores(Lower *lo, const XentLower *c, Tile *t)
{
    const Node *score = c->x.score;
    for (int64_t i = 0; i < t->m * t->nv && score != c->x.dot; i++) {
        const Ix *ix[IR_MAX_RANK];
        scope_plain(
            lo); /* what is named in it is forgotten, for the next element has the same place */
        for (uint32_t d = 0; d < score->type->rank; d++)
            ix[d] = scope_var(lo, ke_int(lo->k, 0), score->type->dims[d]);
        lo->seed_scope = lo->scope;
        lo->seed[c->x.dot->id] = t->c[i];
        t->c[i] = lower_value(lo, score, ix);
        lo->seed[c->x.dot->id] = NULL;
        lo->seed_scope = NULL;
        scope_end(lo);
    }
}

/* The tile at class `v` of panel p goes into the maxima and sums of its rows. */
typedef struct Fold {
    const KExpr *v, *skip, *count; /* lines below `skip` belong to the tile before */
    const KExpr *p;
} Fold;

static void fold_tile(Lower *lo, const XentLower *c, const Fold *f)
{
    Kernel *k = lo->k;
    const KExpr *nr = ke_int(k, c->nr),
                *part = ke_mul(lo, lower_task(lo), ke_int(k, XENT_PARTS * c->chunk));
    const KExpr *class_at = ke_add(lo, ke_mul(lo, f->p, ke_int(k, c->padded)), f->v);
    for (int64_t j = 0; j < c->nv; j++) {
        const KExpr *lane = ke_int(k, j * k->width);
        const KExpr *row = ke_add(lo, ke_mul(lo, f->p, nr), lane);
        const KExpr *keep = c->gradient
                                ? ke_addr(k, c->scores, ke_add(lo, ke_mul(lo, class_at, nr), lane))
                                : ke_text(k, KT_PTR, "0", NULL, 0);
        const KExpr *arg[] = {ke_addr(k, c->sums, ke_add(lo, ke_mul(lo, f->skip, nr), lane)),
                              keep,
                              f->count,
                              nr,
                              ke_addr(k, c->parts, ke_add(lo, part, row)),
                              ke_int(k, c->chunk),
                              ke_addr(k, c->target, row),
                              f->v};
        ks_call(k, lo->scope->block,
                ke_text(k, KT_PTR, "mdl_xent_fold(%0, %1, %2, %3, %4, %5, %6, %7)", arg, 8));
    }
}

/* Opens the loop over the classes of a task in steps of mr: sets v0 and v1. */
static const KExpr *class_loop(Lower *lo, const XentLower *c, const KExpr *v0, const KExpr *v1)
{
    scope_loop(lo, &(LoopSpec){.stem = "v",
                               .lo = v0,
                               .hi = v1,
                               .extent = dim_const(lo->ir, c->padded),
                               .step = c->mr});
    return lo->var[lo->nvar - 1].at;
}

static void task_range(Lower *lo, int64_t step, int64_t end, const KExpr *range[2])
{
    Kernel *k = lo->k;
    range[0] = ks_let(k, lo->scope->block, "from", ke_mul(lo, lower_task(lo), ke_int(k, step)));
    const KExpr *to = ke_min(lo, ke_add(lo, range[0], ke_int(k, step)), ke_int(k, end));
    range[1] = ks_let(k, lo->scope->block, "to", to);
}

/* Lines first .. first + m of the weights, along the depth or across it. */
static void weight_lines(Lower *lo, const XentLower *c, Tile *t, const KExpr *first)
{
    t->node = c->x.w;
    const Dim *extent = c->x.w->type->dims[t->depth_first];
    for (int64_t i = 0; i < t->m; i++)
        t->line[i] = scope_var(lo, ke_add(lo, first, ke_int(lo->k, i)), extent);
}

static void scores_of_panel(Lower *lo, XentLower *c, Fold *f, const KExpr *first)
{
    Kernel *k = lo->k;
    Tile t = tile_of(lo, c, c->mr);
    t.right = c->xt;
    f->p = xent_panels(lo, c);
    tile_begin(lo, &t);
    weight_lines(lo, c, &t, first);
    const Dim *extent = dim_const(lo->ir, c->x.depth);
    const Ix *depth = scope_loop(
        lo, &(LoopSpec){
                .stem = "d", .lo = ke_int(k, 0), .hi = ke_int(k, c->x.depth), .extent = extent});
    const KExpr *line = ke_mul(lo, f->p, ke_int(k, c->x.depth));
    line = ke_mul(lo, ke_add(lo, line, lo->var[lo->nvar - 1].at), ke_int(k, c->nr));
    for (int64_t j = 0; j < c->nv; j++) /* of the next panel */
        lower_prefetch(lo, t.right,
                       tile_place(lo, ke_add(lo, line, ke_int(k, c->x.depth * c->nr)), j));
    tile_step(lo, &t, depth, line);
    scope_end(lo);
    round_scores(lo, c, &t);
    tile_store(lo, &t, c->sums, ke_int(k, 0));
    fold_tile(lo, c, f);
    scope_end(lo);
}

void xent_scores_phase(Lower *lo, XentLower *c)
{
    Kernel *k = lo->k;
    const KExpr *range[2];
    xent_phase(lo, c, "scores", ceil_div(c->x.classes, c->tile));
    scope_if(lo, ke_test(k, ">", c->n, ke_int(k, 0)));
    const KExpr *part = ke_mul(lo, lower_task(lo), ke_int(k, XENT_PARTS * c->chunk));
    const KExpr *arg[] = {ke_addr(k, c->parts, part), ke_int(k, c->chunk)};
    ks_call(k, lo->scope->block, ke_text(k, KT_PTR, "mdl_xent_begin(%0, %1)", arg, 2));
    task_range(lo, c->tile, c->x.classes, range);
    Fold f = {.v = class_loop(lo, c, range[0], range[1])};
    const KExpr *last = ke_int(k, c->x.classes - c->mr);
    const KExpr *first = ks_let(k, lo->scope->block, "first", ke_min(lo, f.v, last));
    f.skip = ks_let(k, lo->scope->block, "skip", ke_sub(lo, f.v, first));
    f.count = ke_min(lo, ke_int(k, c->mr), ke_sub(lo, range[1], f.v));
    f.count = ks_let(k, lo->scope->block, "count", f.count);
    scores_of_panel(lo, c, &f, first);
    scope_end(lo);
    scope_end(lo);
}

/* ---- gradient of the weights ---- */

static void turn_scores(Lower *lo, XentLower *c, const KExpr *const range[2])
{
    Kernel *k = lo->k;
    const KExpr *nr = ke_int(k, c->nr), *p = xent_panels(lo, c);
    const KExpr *class_at = ke_add(lo, ke_mul(lo, p, ke_int(k, c->padded)), range[0]);
    for (int64_t j = 0; j < c->nv; j++) {
        const KExpr *lane = ke_int(k, j * k->width);
        const KExpr *row = ke_add(lo, ke_mul(lo, p, nr), lane);
        const KExpr *arg[] = {ke_addr(k, c->scores, ke_add(lo, ke_mul(lo, class_at, nr), lane)),
                              ke_sub(lo, range[1], range[0]),
                              nr,
                              ke_addr(k, c->stats, row),
                              ke_int(k, c->chunk),
                              ke_addr(k, c->target, row),
                              range[0]};
        ks_call(k, lo->scope->block,
                ke_text(k, KT_PTR, "mdl_xent_grad(%0, %1, %2, %3, %4, %5, %6)", arg, 7));
    }
    scope_end(lo);
}

typedef struct Weights {
    XentLower *c;
    const KExpr *from;       /* first class of the task */
    const KExpr *v, *column; /* first class and feature of the tile */
    const KExpr *line;       /* of the tile */
    bool again;              /* rounds before have left their sums */
} Weights;

static void store_weights(Lower *lo, const Ix *feature, void *user)
{
    const Weights *s = user;
    Kernel *k = lo->k;
    UNUSED(feature);
    const LowerVar d = lo->var[lo->nvar - 1];
    uint32_t out = lo->out[xent_result(lo, s->c->x.dw)];
    const KExpr *at =
        ke_add(lo, ke_mul(lo, s->line, ke_int(k, s->c->nr)), ke_sub(lo, d.at, s->column));
    const KExpr *sum = ke_vload(k, s->c->sums, at, NULL);
    const KExpr *row = ke_mul(lo, ke_add(lo, s->v, s->line), ke_int(k, s->c->x.depth));
    const KExpr *place = ke_add(lo, row, d.at);
    if (s->again)
        sum = ke_apply(lo, KT_VF, "(%0 + %1)", ke_vload(k, out, place, d.lanes), sum);
    ks_store(k, lo->scope->block, out, place, sum)->lanes = d.lanes;
}

static void store_tile(Lower *lo, Weights *s, const KExpr *end)
{
    Kernel *k = lo->k;
    XentLower *c = s->c;
    for (int again = 0; again < 2; again++) {
        s->again = again;
        scope_if(lo, ke_test(k, again ? ">" : "==", kernel_round(k), ke_int(k, 0)));
        const KExpr *lines = ke_min(lo, ke_int(k, c->mr), ke_sub(lo, end, s->v));
        s->line = xent_loop(lo, "i", ke_int(k, 0), lines);
        const KExpr *to =
            ke_min(lo, ke_add(lo, s->column, ke_int(k, c->nr)), ke_int(k, c->x.depth));
        LanesSpec spec = {.stem = "d",
                          .lo = s->column,
                          .hi = to,
                          .extent = dim_const(lo->ir, c->x.depth),
                          .whole = c->x.depth % k->width == 0};
        lower_lanes(lo, &spec, store_weights, s);
        scope_end(lo);
        scope_end(lo);
    }
}

/* The tile's lines of the result lie far apart: they are asked for before its products. */
static void ask_for_weights(Lower *lo, const Weights *s)
{
    Kernel *k = lo->k;
    const XentLower *c = s->c;
    uint32_t out = lo->out[xent_result(lo, c->x.dw)];
    const KExpr *line = xent_loop(lo, "i", ke_int(k, 0), ke_int(k, c->mr));
    const KExpr *row = ke_mul(lo, ke_add(lo, s->v, line), ke_int(k, c->x.depth));
    for (int64_t j = 0; j < c->nv; j++) {
        const KExpr *at = ke_addr(k, out, tile_place(lo, ke_add(lo, row, s->column), j));
        ks_call(k, lo->scope->block, ke_text(k, KT_PTR, "mdl_prefetch_to_write(%0)", &at, 1));
    }
    scope_end(lo);
}

/* Of the next column of features: all tiles of the task together ask for it. */
static void ask_for_column(Lower *lo, const XentLower *c, const Weights *s, const KExpr *row)
{
    Kernel *k = lo->k;
    int64_t share = ceil_div(c->nr, TASK_PANELS);
    const KExpr *from = ke_index(k, KI_DIV, ke_sub(lo, s->v, s->from), ke_int(k, c->mr));
    from = ke_add(lo, ke_mul(lo, from, ke_int(k, c->chunk)), row);
    const KExpr *at = ke_mul(lo, ke_add(lo, s->column, ke_int(k, c->nr)), ke_int(k, c->chunk));
    lower_prefetch(lo, c->xf, ke_add(lo, at, ke_mul(lo, from, ke_int(k, share))));
}

/* The tile's sums over all rows of the round. */
static void weights_tile(Lower *lo, XentLower *c, const Weights *s, const KExpr *column)
{
    Kernel *k = lo->k;
    Tile t = tile_of(lo, c, c->mr);
    t.left = c->scores;
    t.right = c->xf;
    tile_begin(lo, &t);
    const KExpr *nr = ke_int(k, c->nr), *p = xent_panels(lo, c);
    const KExpr *r = xent_loop(lo, "r", ke_int(k, 0), xent_panel_rows(lo, c, p));
    const KExpr *first = ke_add(lo, ke_mul(lo, p, ke_int(k, c->padded)), s->v);
    for (int64_t i = 0; i < t.m; i++)
        t.at[i] = ke_add(lo, ke_mul(lo, ke_add(lo, first, ke_int(k, i)), nr), r);
    const KExpr *row = ke_add(lo, ke_mul(lo, p, nr), r);
    const KExpr *line = ke_add(lo, ke_mul(lo, column, ke_int(k, c->chunk)), row);
    ask_for_column(lo, c, s, row);
    tile_step(lo, &t, NULL, ke_mul(lo, line, nr));
    scope_end(lo);
    scope_end(lo);
    tile_store(lo, &t, c->sums, ke_int(k, 0));
}

void xent_weights_phase(Lower *lo, XentLower *c)
{
    Kernel *k = lo->k;
    const KExpr *range[2];
    xent_phase(lo, c, "weights", ceil_div(c->x.classes, c->tile));
    const KExpr *some = ke_test(k, ">", c->n, ke_int(k, 0));
    scope_if(lo, ke_test(k, "||", some, ke_test(k, "==", kernel_round(k), ke_int(k, 0))));
    task_range(lo, c->tile, c->x.classes, range);
    turn_scores(lo, c, range);
    if (xent_result(lo, c->x.dw) != NO_RESULT) {
        const KExpr *column = xent_loop(lo, "column", ke_int(k, 0), ke_int(k, c->columns));
        Weights s = {.c = c, .from = range[0], .column = ke_mul(lo, column, ke_int(k, c->nr))};
        s.v = class_loop(lo, c, range[0], range[1]);
        scope_plain(lo);
        ask_for_weights(lo, &s);
        weights_tile(lo, c, &s, column);
        store_tile(lo, &s, range[1]);
        scope_end(lo);
        scope_end(lo);
        scope_end(lo);
    }
    scope_end(lo);
}

/* ---- gradient of the rows ---- */

/* First sum of the tile of panel p at feature `at` of the task that begins at `from`. */
static const KExpr *sums_at(Lower *lo, const XentLower *c, const KExpr *p, const KExpr *tile)
{
    Kernel *k = lo->k;
    const KExpr *at = ke_add(lo, ke_mul(lo, p, ke_int(k, c->wide / c->md)), tile);
    return ke_mul(lo, at, ke_int(k, c->md * c->nr));
}

/* The first tiles of a block ask for its scores in the next panel, one line in each step; the others
 * find them in the cache. */
static void ask_for_scores(Lower *lo, const XentLower *c, const KExpr *line, const KExpr *step)
{
    Kernel *k = lo->k;
    int64_t lines = CLASS_BLOCK * c->nr * 4 / CACHE_LINE;
    const KExpr *at = ke_mul(lo, ke_min(lo, step, ke_int(k, lines - 1)), ke_int(k, CACHE_LINE / 4));
    lower_prefetch(lo, c->scores, ke_add(lo, line, at));
}

/* Adds a block of classes to the sums of one tile. */
static void inputs_tile(Lower *lo, XentLower *c, const KExpr *const block[2],
                        const KExpr *const where[3])
{
    Kernel *k = lo->k;
    Tile t = tile_of(lo, c, c->md);
    const KExpr *p = where[0], *first = where[1];
    const KExpr *sums = ks_let(k, lo->scope->block, "at", sums_at(lo, c, p, where[2]));
    t.right = c->scores;
    t.depth_first = true;
    tile_begin(lo, &t);
    scope_if(lo, ke_test(k, ">", block[0], ke_int(k, 0)));
    tile_load(lo, &t, c->sums, sums);
    scope_end(lo);
    weight_lines(lo, c, &t, first);
    const Dim *classes = dim_const(lo->ir, c->x.classes);
    const Ix *v =
        scope_loop(lo, &(LoopSpec){.stem = "v", .lo = block[0], .hi = block[1], .extent = classes});
    const KExpr *at = lo->var[lo->nvar - 1].at, *line = ke_mul(lo, p, ke_int(k, c->padded));
    const KExpr *step = ke_mul(lo, where[2], ke_int(k, CLASS_BLOCK));
    const KExpr *next = ke_add(lo, ke_add(lo, line, block[0]), ke_int(k, c->padded));
    ask_for_scores(lo, c, ke_mul(lo, next, ke_int(k, c->nr)),
                   ke_add(lo, step, ke_sub(lo, at, block[0])));
    const KExpr *below = ke_add(lo, at, ke_int(k, CLASS_BLOCK)); /* in the next block */
    ask_for_weight(lo, c, (const Ix *[]){scope_var(lo, below, classes), t.line[0]});
    tile_step(lo, &t, v, ke_mul(lo, ke_add(lo, line, at), ke_int(k, c->nr)));
    scope_end(lo);
    tile_store(lo, &t, c->sums, sums);
}

/* The sums of panel p go to the rows of the result. */
static void store_inputs(Lower *lo, XentLower *c, const KExpr *const range[2])
{
    Kernel *k = lo->k;
    uint32_t out = lo->out[xent_result(lo, c->x.dx)];
    const KExpr *p = xent_panels(lo, c), *nr = ke_int(k, c->nr), *md = ke_int(k, c->md);
    const KExpr *r = xent_loop(lo, "r", ke_int(k, 0), xent_panel_rows(lo, c, p));
    const KExpr *row = xent_live_row(lo, c, ke_add(lo, ke_mul(lo, p, nr), r));
    const KExpr *d = xent_loop(lo, "d", range[0], range[1]);
    const KExpr *tile = ke_index(k, KI_DIV, ke_sub(lo, d, range[0]), md);
    const KExpr *first = ke_add(lo, range[0], ke_mul(lo, tile, md));
    first = ke_min(lo, first, ke_int(k, c->x.depth - c->md));
    const KExpr *line = ke_mul(lo, ke_sub(lo, d, first), nr);
    const KExpr *at = ke_add(lo, ke_add(lo, sums_at(lo, c, p, tile), line), r);
    const KExpr *place = ke_add(lo, ke_mul(lo, row, ke_int(k, c->x.depth)), d);
    ks_store(k, lo->scope->block, out, place, ke_load(k, c->sums, at));
    scope_end(lo);
    scope_end(lo);
    scope_end(lo);
}

void xent_inputs_phase(Lower *lo, XentLower *c)
{
    Kernel *k = lo->k;
    const KExpr *range[2];
    if (xent_result(lo, c->x.dx) == NO_RESULT)
        return;
    xent_phase(lo, c, "inputs", ceil_div(c->x.depth, c->wide));
    scope_if(lo, ke_test(k, ">", c->n, ke_int(k, 0)));
    task_range(lo, c->wide, c->x.depth, range);
    const Dim *classes = dim_const(lo->ir, c->x.classes);
    scope_loop(lo, &(LoopSpec){.stem = "block",
                               .lo = ke_int(k, 0),
                               .hi = ke_int(k, c->x.classes),
                               .extent = classes,
                               .step = CLASS_BLOCK});
    const KExpr *block[2] = {lo->var[lo->nvar - 1].at};
    block[1] = ke_min(lo, ke_add(lo, block[0], ke_int(k, CLASS_BLOCK)), ke_int(k, c->x.classes));
    block[1] = ks_let(k, lo->scope->block, "end", block[1]);
    const KExpr *where[3] = {xent_panels(lo, c)};
    const KExpr *tiles = ke_add(lo, ke_sub(lo, range[1], range[0]), ke_int(k, c->md - 1));
    where[2] = xent_loop(lo, "tile", ke_int(k, 0), ke_index(k, KI_DIV, tiles, ke_int(k, c->md)));
    const KExpr *first = ke_add(lo, range[0], ke_mul(lo, where[2], ke_int(k, c->md)));
    first = ke_min(lo, first, ke_int(k, c->x.depth - c->md));
    where[1] = ks_let(k, lo->scope->block, "first", first);
    inputs_tile(lo, c, block, where);
    scope_end(lo);
    scope_end(lo);
    scope_end(lo);
    store_inputs(lo, c, range);
    scope_end(lo);
}
