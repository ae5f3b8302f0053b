/* gpu_ring.c: products on a GPU whose operands can be copied in boxes (TMA) and that warpgroups multiply (sm_90a).
 *
 * A block stays on its multiprocessor and computes one tile after the other. One thread has boxes of both
 * operands brought to a ring of stages (mdl_ring.h) and is stages ahead, also of the tile that is being
 * finished. The other warpgroups multiply what is there, then lay their sums down a part at a time, each warp in
 * shared memory of its own, and store the results: so nobody waits for the block. Registers go from those who
 * copy to those who multiply.
 *
 * Tiles at work at the same time lie in a square of the result as far as may be (ring_place), so that
 * what they read is in L2. Two blocks side by side, a cluster, have tiles one above the other: each brings half of
 * the right operand to both. Beyond its ends an operand reads as zeros. */
#include "gpu_ring.h"
#include "gpu_copy.h"

enum {
    GROUP = 128, /* threads of a warpgroup */
    LINE = 64,   /* elements of a line of 128 bytes */
    LINE_BYTES = 128,
    MOST_STAGES = 6,
    COPY_REGISTERS = 40,      /* of 65,536 for 128 threads that copy .. */
    MULTIPLY_REGISTERS = 232, /* .. and 256 that multiply */
    FEW_SUMS = 64,            /* of a thread: two blocks have room */
    LIGHT_WORK = 12,          /* of an epilogue, in operations */
    ROWS_TOGETHER = 16        /* of tiles: as many as the columns of those at work */
};

/* ---- clusters ---- */

enum { CLUSTER = 2, ROWS_ENOUGH = 8 };

/* Whether tiles have neighbours below them, but for few, and the right operand is cut in two. */
static bool has_clusters(Lower *lo, const TileSet *t)
{
    int64_t down = tile_count(lo, t->dot[0].g->left.rows, t->bm);
    bool halves = t->threads == CLUSTER * GROUP && (down % CLUSTER == 0 || down >= ROWS_ENOUGH);
    for (uint32_t d = 0; d < t->n; d++)
        halves = halves && (t->dot[d].b.along || t->bn % (CLUSTER * LINE) == 0);
    return halves;
}

static int64_t choose_cluster(Lower *lo, const RingKernel *r)
{
    bool all = true;
    for (uint32_t s = 0; s < r->n; s++)
        all = all && has_clusters(lo, &r->sets[s]);
    return all ? CLUSTER : 1;
}

/* Rows of tiles of a set, as many for each block of a cluster. */
static int64_t tiles_down(Lower *lo, const RingKernel *r, const TileSet *t)
{
    return round_up(tile_count(lo, t->dot[0].g->left.rows, t->bm), r->cluster);
}

static const Dim *ring_tasks(Lower *lo, const RingKernel *r, const TileSet *t)
{
    const Gemm *g = t->dot[0].g;
    int64_t tiles = tiles_down(lo, r, t) * tile_count(lo, g->right.rows, t->bn);
    return dim_mul(lo->ir, g->nbatch, dim_const(lo->ir, tiles));
}

/* ---- operands as tensors ---- */

static const Dim *coefficient(Lower *lo, const Ix *e, uint32_t var)
{
    for (uint32_t i = 0; e->kind == IX_SUM && i < e->nterm; i++)
        if (e->term[i].atom->kind == IX_VAR && e->term[i].atom->var == var)
            return e->term[i].coef;
    return dim_const(lo->ir, e->kind == IX_VAR && e->var == var);
}

/* e is a sum of variables, each times an extent. */
static bool is_affine(const Ix *e)
{
    if (e->kind == IX_VAR)
        return true;
    for (uint32_t i = 0; e->kind == IX_SUM && i < e->nterm; i++)
        if (e->term[i].atom->kind != IX_VAR)
            return false;
    return e->kind == IX_SUM;
}

/* The piece of a row, or its place in that: the rows that a piece has, or 0 for anything else. */
static int64_t piece_rows(const Ix *e, IxKind kind, uint32_t row)
{
    int64_t n;
    bool found = e->kind == kind && e->of->kind == IX_VAR && e->of->var == row &&
                 dim_is_const(e->extent, &n);
    return found ? n : 0;
}

/* Rows in pieces that lie apart, as the first halves of all heads do: *e becomes the index without them. */
static void take_pieces(Lower *lo, const Ix **e, const uint32_t *var, RingLaid *out)
{
    Ir *ir = lo->ir;
    const Ix *rest = *e, *row = ix_var(ir, var[RING_ROW], lo->var[var[RING_ROW]].extent);
    int64_t in = 0, of = 0;
    out->piece = 0;
    for (uint32_t i = 0; (*e)->kind == IX_SUM && i < (*e)->nterm; i++) {
        const IxTerm *t = &(*e)->term[i];
        int64_t mod = piece_rows(t->atom, IX_MOD, var[RING_ROW]);
        int64_t div = piece_rows(t->atom, IX_DIV, var[RING_ROW]);
        if (!mod && !div)
            continue;
        in = mod ? mod : in;
        of = div ? div : of;
        out->apart = div ? t->coef : out->apart;
        rest = ix_add(ir, rest, ix_mul(ir, t->atom, dim_sub(ir, dim_const(ir, 0), t->coef)));
        rest = mod ? ix_add(ir, rest, ix_mul(ir, row, t->coef)) : rest;
    }
    if (!in || in != of || in % LINE)
        return;
    out->piece = in;
    *e = rest;
}

bool ring_laid(Lower *lo, const Ix *at, const uint32_t *var, RingLaid *out)
{
    take_pieces(lo, &at, var, out);
    if (!is_affine(at))
        return false;
    out->first = at->kind == IX_SUM ? at->base : dim_const(lo->ir, 0);
    out->batch = coefficient(lo, at, var[RING_BATCH]);
    out->row = coefficient(lo, at, var[RING_ROW]);
    out->along = coefficient(lo, at, var[RING_ALONG]);
    return true;
}

static bool find_laid(Lower *lo, Gemm *g, const GemmSide *s, RingLaid *out)
{
    KPhase dry = {0};
    const KExpr *zero = ke_int(lo->k, 0);
    const Ix *rd[2], *ix[IR_MAX_RANK];
    uint32_t var[RING_VARS];
    scope_begin(lo, &dry);
    g->batch = scope_var(lo, zero, g->nbatch);
    var[RING_BATCH] = lo->nvar - 1;
    rd[0] = scope_var(lo, zero, s->rows);
    var[RING_ROW] = lo->nvar - 1;
    rd[1] = scope_var(lo, zero, g->depth);
    var[RING_ALONG] = lo->nvar - 1;
    gemm_side_index(lo, g, s, rd, ix);
    out->input = copy_source(lo->ir, s->node, ix);
    if (!out->input)
        return false;
    const Type *t = out->input->type;
    return ring_laid(lo, ix_flatten(lo->ir, t->dims, ix, t->rank), var, out);
}

bool ring_distance(Lower *lo, const Dim *d)
{
    return dim_lo(lo->ir, d) > 0;
}

/* Pieces take the place of batch members; there are no others. */
static bool map_pieces(const GemmSide *s, RingLaid *at, Part *p)
{
    int64_t rows;
    if (p->stacked || !dim_is_const(s->rows, &rows) || rows % at->piece)
        return false;
    p->piece = at->piece;
    p->stacked = true;
    at->batch = at->apart;
    return true;
}

/* Boxes of 64 elements along the runs and 64 lines of a tile, or all lines, which do not lie in pieces; shared: half of
 * them. */
static bool map_part(Lower *lo, Gemm *g, Part *p, int64_t shared)
{
    const GemmSide *s = p->side;
    const Dim *one = dim_const(lo->ir, 1);
    RingLaid at;
    if (!p->async || p->rows % LINE || !find_laid(lo, g, s, &at))
        return false;
    const Dim *run = p->along ? at.along : at.row, *line = p->along ? at.row : at.along;
    p->stacked = !dim_equals(at.batch, 0);
    if (at.piece && !map_pieces(s, &at, p))
        return false;
    if (run != one || !ring_distance(lo, line) || (p->stacked && !ring_distance(lo, at.batch)))
        return false;
    const Dim *rows = s->rows, *members = g->nbatch;
    bool whole = p->along && !p->piece;
    if (p->piece) {
        rows = dim_const(lo->ir, p->piece);
        members = dim_const(lo->ir, dim_lo(lo->ir, s->rows) / p->piece);
    }
    KMap m = {.buf = lo->in[at.input->id],
              .rank = p->stacked ? 3 : 2,
              .first = at.first,
              .dim = {p->along ? g->depth : rows, p->along ? rows : g->depth, members},
              .stride = {line, at.batch},
              .box = {LINE, (uint32_t)(whole ? p->rows / shared : LINE), 1},
              .swizzle = LINE_BYTES};
    p->map = kernel_map(lo->k, &m);
    return true;
}

static bool map_parts(Lower *lo, const RingKernel *r)
{
    for (uint32_t s = 0; s < r->n; s++)
        for (uint32_t d = 0; d < r->sets[s].n; d++) {
            TileDot *dot = &r->sets[s].dot[d];
            bool ok = r->sets[s].groups && r->sets[s].bk == LINE;
            ok = ok && (dot->a.lent || map_part(lo, dot->g, &dot->a, 1));
            if (!ok || !map_part(lo, dot->g, &dot->b, r->cluster))
                return false;
        }
    return true;
}

/* ---- shape ---- */

static int64_t align_kib(int64_t n)
{
    return round_up(n, 1024);
}

/* As many stages as shared memory has room for. */
static bool shape_ring(Lower *lo, RingKernel *r)
{
    int64_t sums = 0, together = 1;
    r->readers = r->sets[0].threads;
    r->tasks = dim_const(lo->ir, 0);
    for (uint32_t s = 0; s < r->n; s++) {
        const TileSet *t = &r->sets[s];
        r->stage_bytes = larger(r->stage_bytes, align_kib(t->stage_bytes));
        together = larger(together, t->nsum);
        sums = larger(sums, t->sums * t->nsum);
        r->tasks = dim_add(lo->ir, r->tasks, ring_tasks(lo, r, t));
    }
    r->groups = together > 1 ? 4 : 8;
    r->own_floats = together * 16 * r->groups * 8;
    r->blocks = r->readers == GROUP && sums <= FEW_SUMS ? 2 : 1;
    int64_t rest = r->readers / WARP * r->own_floats * 4 + 2 * MOST_STAGES * 8;
    int64_t room = (int64_t)lo->target->l1 / r->blocks - 1024 * (r->blocks - 1) - rest;
    ASSERT(r->stage_bytes > 0);
    r->stages = smaller(room / r->stage_bytes, MOST_STAGES);
    return r->stages >= 2;
}

static void make_shared(Lower *lo, RingKernel *r)
{
    Kernel *k = lo->k;
    r->tiles = kernel_shared(k, "tiles", DT_U8, r->stages * r->stage_bytes);
    r->rows = kernel_shared(k, "rows", DT_F32, r->readers / WARP * r->own_floats);
    r->bars = kernel_shared(k, "bars", DT_I64, 2 * r->stages);
    for (uint32_t s = 0; s < r->n; s++) {
        r->sets[s].tiles = r->tiles;
        ASSERT(r->sets[s].threads == r->readers);
    }
    if (r->beside)
        beside_make_shared(lo, r);
}

/* ---- tiles in their order ---- */

static const KExpr *helper(Lower *lo, const char *text)
{
    return ke_text(lo->k, KT_I64, text, NULL, 0);
}

/* Places tile number `task` of a set: its member of the batch, and within that in squares, up to ROWS_TOGETHER
 * tiles high, column by column. */
static void ring_place(Lower *lo, const RingKernel *r, TileSet *t, const KExpr *task)
{
    Kernel *k = lo->k;
    const Gemm *g = t->dot[0].g;
    int64_t across = tile_count(lo, g->right.rows, t->bn), down = tiles_down(lo, r, t);
    int64_t high = smaller(down, ROWS_TOGETHER);
    const KExpr *tiles = ke_int(k, across * down), *square = ke_int(k, high * across);
    const KExpr *batch = ke_index(k, KI_DIV, task, tiles), *of = ke_index(k, KI_MOD, task, tiles);
    if (dim_equals(g->nbatch, 1)) {
        batch = ke_int(k, 0);
        of = task;
    }
    of = copy_let(lo, "of", of);
    gemm_set_batch(t->set, scope_var(lo, copy_let(lo, "batch", batch), g->nbatch));
    const KExpr *top =
        copy_let(lo, "top", ke_mul(lo, ke_index(k, KI_DIV, of, square), ke_int(k, high)));
    const KExpr *in = copy_let(lo, "in", ke_index(k, KI_MOD, of, square));
    const KExpr *rows = ke_int(k, high);
    if (down % high)
        rows = copy_let(lo, "rows", ke_min(lo, rows, ke_sub(lo, ke_int(k, down), top)));
    const KExpr *up = ke_add(lo, top, ke_index(k, KI_MOD, in, rows));
    const KExpr *right = ke_index(k, KI_DIV, in, rows);
    t->m0 = copy_let(lo, "m0", ke_mul(lo, up, ke_int(k, t->bm)));
    t->n0 = copy_let(lo, "n0", ke_mul(lo, right, ke_int(k, t->bn)));
    for (uint32_t d = 0; d < t->n; d++) {
        t->dot[d].a.first = t->m0;
        t->dot[d].b.first = t->n0;
    }
}

static const KExpr *rows_end(Lower *lo, const TileSet *t)
{
    return t->rows_end ? t->rows_end : ke_extent(lo->k, t->dot[0].g->left.rows);
}

/* All tiles exist, and all of their neighbours. */
static bool tiles_exist(Lower *lo, const RingKernel *r, const TileSet *t)
{
    const Gemm *g = t->dot[0].g;
    int64_t n;
    return !t->rows_end && dim_is_const(g->left.rows, &n) && dim_is_const(g->right.rows, &n) &&
           tile_count(lo, g->left.rows, t->bm) == tiles_down(lo, r, t);
}

/* .. and none is cut by the ends of the result. */
static bool tiles_are_whole(Lower *lo, const RingKernel *r, const TileSet *t)
{
    const Gemm *g = t->dot[0].g;
    return tiles_exist(lo, r, t) && dim_lo(lo->ir, g->left.rows) % t->bm == 0 &&
           dim_lo(lo->ir, g->right.rows) % t->bn == 0;
}

/* Opens a scope for a tile that exists, or whose neighbour above does: both bring what the other reads. */
static void open_tile(Lower *lo, const RingKernel *r, const TileSet *t)
{
    Kernel *k = lo->k;
    const Gemm *g = t->dot[0].g;
    const KExpr *first = t->m0;
    if (r->cluster > 1)
        first = ke_sub(lo, t->m0, ke_mul(lo, helper(lo, "mdl_cluster_rank()"), ke_int(k, t->bm)));
    const KExpr *rows = ke_test(k, "<", first, rows_end(lo, t));
    const KExpr *columns = ke_test(k, "<", t->n0, ke_extent(k, g->right.rows));
    if (tiles_exist(lo, r, t))
        scope_plain(lo);
    else
        scope_if(lo, ke_test(k, "&&", rows, columns));
}

typedef void (*TileFn)(Lower *lo, const RingKernel *r, TileSet *t);

/* Walks over the tiles of this block; copying and multiplying threads alike. */
static void each_tile(Lower *lo, const RingKernel *r, TileFn fn)
{
    Kernel *k = lo->k;
    const KExpr *block = copy_let(lo, "block", helper(lo, "mdl_block()"));
    const KExpr *blocks = copy_let(lo, "blocks", helper(lo, "mdl_blocks()"));
    const KExpr *left = ke_sub(lo, ke_extent(k, r->tasks), block);
    const KExpr *up = ke_add(lo, left, ke_sub(lo, blocks, ke_int(k, 1)));
    const Ix *turn = scope_loop(lo, &(LoopSpec){.stem = "turn",
                                                .lo = ke_int(k, 0),
                                                .hi = ke_index(k, KI_DIV, up, blocks),
                                                .extent = r->tasks,
                                                .rolled = true});
    const KExpr *at = ke_add(lo, block, ke_mul(lo, lower_index(lo, turn), blocks));
    GemmRanges ranges = {.before = dim_const(lo->ir, 0), .alone = r->n == 1};
    ranges.task = copy_let(lo, "tile", at);
    for (uint32_t s = 0; s < r->n; s++) {
        TileSet *t = &r->sets[s];
        ring_place(lo, r, t, gemm_open_range(lo, &ranges, ring_tasks(lo, r, t)));
        open_tile(lo, r, t);
        fn(lo, r, t);
        scope_end(lo);
        scope_end(lo);
    }
    scope_end(lo);
}

void ring_call(Lower *lo, const RingKernel *r, const char *call)
{
    copy_call(lo, arena_printf(lo->arena, "%s(&%s)", call, r->ring), NULL, 0);
}

const KExpr *ring_stage(Lower *lo, const RingKernel *r, int64_t bytes)
{
    const KExpr *stage = helper(lo, arena_printf(lo->arena, "%s.stage", r->ring));
    return copy_let(lo, "base", ke_mul(lo, stage, ke_int(lo->k, r->stage_bytes / bytes)));
}

void ring_fill(Lower *lo, const RingKernel *r, int64_t bytes)
{
    copy_call(lo, arena_printf(lo->arena, "mdl_ring_fill(&%s, %lld)", r->ring, (long long)bytes),
              NULL, 0);
}

/* ---- copying ---- */

/* What is brought of an operand at a step: to the stage at `base`. */
typedef struct Bring {
    const Part *p;
    const KExpr *base, *k0, *batch;
    bool shared; /* by the blocks of a cluster */
} Bring;

/* Of the tile's rows those from `from` on: one box. */
static void bring_box(Lower *lo, const RingKernel *r, const Bring *b, int64_t from)
{
    Kernel *k = lo->k;
    const Part *p = b->p;
    const KExpr *to = ke_add(lo, b->base, ke_int(k, p->at + from * LINE_BYTES));
    const KExpr *row = ke_add(lo, p->first, ke_int(k, from)), *member = b->batch;
    if (p->piece) {
        member = ke_index(k, KI_DIV, row, ke_int(k, p->piece));
        row = ke_index(k, KI_MOD, row, ke_int(k, p->piece));
    }
    const KExpr *arg[] = {ke_addr(k, r->tiles, to), p->along ? b->k0 : row, p->along ? row : b->k0,
                          member};
    const char *text = arena_printf(
        lo->arena, "mdl_tma_%s_%s(%%0, MDL_MAPS + %u, %s.full + %s.stage, (int)%%1, (int)%%2%s%s)",
        b->shared ? "share" : "load", p->stacked ? "3d" : "2d", p->map, r->ring, r->ring,
        p->stacked ? ", (int)%3" : "", b->shared ? ", 3" : "");
    copy_call(lo, text, arg, 4);
}

/* A part in boxes; a shared one in halves, of which each block of a cluster brings one to both. */
static void bring_part(Lower *lo, const RingKernel *r, const Bring *b)
{
    int64_t halves = b->shared ? CLUSTER : 1, rows = b->p->rows / halves;
    for (int64_t h = 0; h < halves && !b->p->lent; h++) {
        const char *mine =
            arena_printf(lo->arena, "(MDL_CLUSTER(%d) == 1 || mdl_cluster_rank() == %lld)", CLUSTER,
                         (long long)h);
        if (b->shared)
            scope_if(lo, ke_text(lo->k, KT_BOOL, mine, NULL, 0));
        else
            scope_plain(lo);
        for (int64_t i = 0; i < rows; i += b->p->along && !b->p->piece ? rows : LINE)
            bring_box(lo, r, b, h * rows + i);
        scope_end(lo);
    }
}

static const KExpr *open_steps(Lower *lo, const TileSet *t, TileWalk w, const KExpr **step)
{
    Kernel *k = lo->k;
    const KExpr *steps = copy_let(lo, "steps", tile_steps(lo, t, w));
    scope_loop(lo, &(LoopSpec){.stem = "step",
                               .lo = ke_int(k, 0),
                               .hi = steps,
                               .extent = dim_const(lo->ir, tile_most_steps(lo, t, w)),
                               .rolled = true});
    *step = lo->var[lo->nvar - 1].at;
    return steps;
}

/* Bytes of a stage in a walk. */
static int64_t walk_bytes(const TileSet *t, TileWalk w)
{
    int64_t lines = 0;
    for (uint32_t d = w.from; d < w.to; d++)
        lines += (t->dot[d].a.lent ? 0 : t->bm) + t->bn;
    return lines * LINE_BYTES;
}

static void bring_walk(Lower *lo, const RingKernel *r, const TileSet *t, TileWalk w)
{
    const KExpr *step;
    open_steps(lo, t, w, &step);
    const KExpr *k0 = copy_let(lo, "k0", ke_mul(lo, step, ke_int(lo->k, t->bk)));
    ring_fill(lo, r, walk_bytes(t, w));
    Bring b = {.base = ring_stage(lo, r, 1), .k0 = k0};
    for (uint32_t d = w.from; d < w.to; d++) {
        b.batch = lower_index(lo, t->dot[d].g->batch);
        b.p = &t->dot[d].a;
        b.shared = false;
        bring_part(lo, r, &b);
        b.p = &t->dot[d].b;
        b.shared = r->cluster > 1;
        bring_part(lo, r, &b);
    }
    ring_call(lo, r, "mdl_ring_next");
    scope_end(lo);
}

static void bring_tile(Lower *lo, const RingKernel *r, TileSet *t)
{
    for (uint32_t i = 0; i < tile_walks(t); i++)
        bring_walk(lo, r, t, tile_walk(t, i));
    if (r->beside)
        beside_bring(lo, r, t);
}

/* ---- results ---- */

/* A part of the sums, of 16 rows and some columns of a warp. */
typedef struct SumsPart {
    const KExpr *own;    /* the warp's first float */
    const KExpr *row;    /* its first row in the tile */
    const KExpr *column; /* .. and column */
    const KExpr *sum;    /* its first sum */
} SumsPart;

static void lay_part_down(Lower *lo, const RingKernel *r, const TileSet *t, const SumsPart *p)
{
    Kernel *k = lo->k;
    copy_call(lo, "mdl_syncwarp()", NULL, 0);
    const char *text =
        arena_printf(lo->arena, "mdl_groups_store(%%0, %%1, %lld)", (long long)r->groups);
    for (uint32_t d = 0; d < t->nsum; d++) {
        const KExpr *to = ke_add(lo, p->own, ke_int(k, d * 16 * r->groups * 8));
        const KExpr *arg[] = {
            ke_addr(k, r->rows, to),
            ke_addr(k, t->dot[d].acc, ke_add(lo, p->sum, ke_int(k, t->dot[d].acc0)))};
        copy_call(lo, text, arg, 2);
    }
    copy_call(lo, "mdl_syncwarp()", NULL, 0);
}

/* Opens the loop in which the lanes of the warp share what it has laid down, 8 columns each. Where little is done with
 * them, and nothing is tested, turns are written out: one's loads are under way while others are stored. */
static void open_part(Lower *lo, const RingKernel *r, const TileSet *t, const SumsPart *p,
                      TileSpot *spot)
{
    Kernel *k = lo->k;
    const Gemm *g = t->dot[0].g;
    int64_t columns;
    bool whole = tiles_are_whole(lo, r, t);
    const ShareSpec share = {.thread = copy_let(lo, "lane", helper(lo, "mdl_lane()")),
                             .threads = WARP,
                             .count = 16 * r->groups,
                             .rolled = !whole || t->set->work > LIGHT_WORK};
    const KExpr *id = share_open(lo, &share), *per = ke_int(k, r->groups), *w = ke_int(k, k->width);
    spot->r = copy_let(lo, "r", ke_index(k, KI_DIV, id, per));
    spot->c = copy_let(lo, "g", ke_index(k, KI_MOD, id, per));
    const KExpr *row = ke_add(lo, t->m0, ke_add(lo, p->row, spot->r));
    spot->row = copy_let(lo, "row", row);
    const KExpr *column = ke_add(lo, p->column, ke_mul(lo, spot->c, w));
    spot->column = copy_let(lo, "column", ke_add(lo, t->n0, column));
    const KExpr *n = ke_extent(k, g->right.rows);
    const KExpr *inside = ke_test(k, "<", spot->row, rows_end(lo, t));
    if (whole)
        scope_plain(lo);
    else
        scope_if(lo, ke_test(k, "&&", inside, ke_test(k, "<", spot->column, n)));
    spot->lanes = NULL;
    if (!dim_is_const(g->right.rows, &columns) || columns % k->width != 0)
        spot->lanes = copy_let(lo, "lanes", ke_min(lo, w, ke_sub(lo, n, spot->column)));
}

static void store_part(Lower *lo, const RingKernel *r, const TileSet *t, const SumsPart *p)
{
    Kernel *k = lo->k;
    TileSpot spot;
    open_part(lo, r, t, p, &spot);
    const KExpr *place[] = {spot.r, spot.c, ke_int(k, r->groups)}, *dot[PRODUCTS_TOGETHER];
    const KExpr *in = ke_text(k, KT_I64, "mdl_group_place((int)%0, (int)%1, %2)", place, 3);
    const KExpr *at = copy_let(lo, "at", ke_add(lo, p->own, in));
    for (uint32_t d = 0; d < t->nsum; d++) {
        const KExpr *from = ke_add(lo, at, ke_int(k, d * 16 * r->groups * 8));
        dot[d] = copy_let(lo, "dot", ke_aligned(k, ke_vload(k, r->rows, from, NULL)));
    }
    r->store(lo, t, &spot, dot, r->user);
    scope_end(lo);
    share_close(lo);
}

/* Part after part, so that few floats a warp are enough, and the ring needs not be empty. */
static void store_tile(Lower *lo, const RingKernel *r, const TileSet *t)
{
    Kernel *k = lo->k;
    int64_t blocks = t->bm / (r->readers / GROUP) / 64, width = r->groups * 8;
    int64_t parts = t->bn / width;
    const KExpr *warp = copy_let(lo, "warp", helper(lo, "mdl_warp()")), *four = ke_int(k, 4);
    SumsPart p = {.own = copy_let(lo, "own", ke_mul(lo, warp, ke_int(k, r->own_floats)))};
    const KExpr *group = ke_mul(lo, ke_index(k, KI_DIV, warp, four), ke_int(k, blocks * 64));
    const KExpr *quarter = ke_mul(lo, ke_index(k, KI_MOD, warp, four), ke_int(k, 16));
    const KExpr *first = copy_let(lo, "first", ke_add(lo, group, quarter));
    scope_loop(lo, &(LoopSpec){.stem = "part",
                               .lo = ke_int(k, 0),
                               .hi = ke_int(k, blocks * parts),
                               .extent = dim_const(lo->ir, blocks * parts),
                               .unroll = true});
    const KExpr *part = lo->var[lo->nvar - 1].at, *n = ke_int(k, parts);
    p.row = ke_add(lo, first, ke_mul(lo, ke_index(k, KI_DIV, part, n), ke_int(k, 64)));
    p.column = ke_mul(lo, ke_index(k, KI_MOD, part, n), ke_int(k, width));
    p.sum = ke_mul(lo, part, ke_int(k, width / 2));
    lay_part_down(lo, r, t, &p);
    if (r->beside)
        beside_open(lo, r, t, p.row);
    store_part(lo, r, t, &p);
    if (r->beside)
        beside_close(lo, r, t);
    scope_end(lo);
}

/* ---- multiplying ---- */

static void multiply_walk(Lower *lo, const RingKernel *r, const TileSet *t, TileWalk w)
{
    const KExpr *step, *zero = ke_int(lo->k, 0);
    int64_t known;
    const KExpr *steps = open_steps(lo, t, w, &step);
    ring_call(lo, r, "mdl_ring_read");
    tile_multiply_stage(lo, t, w, ring_stage(lo, r, 1));
    /* those of the step before are done, these go on */
    copy_call(lo, arena_printf(lo->arena, "mdl_wgmma_wait(%u)", tile_products(t, w)), NULL, 0);
    scope_if(lo, ke_test(lo->k, ">", step, zero));
    ring_call(lo, r, "mdl_ring_give");
    scope_end(lo);
    ring_call(lo, r, "mdl_ring_next");
    scope_end(lo);
    copy_call(lo, "mdl_wgmma_wait(0)", NULL, 0);
    if (ke_is_int(steps, &known) && known > 0)
        scope_plain(lo);
    else
        scope_if(lo, ke_test(lo->k, ">", steps, zero));
    ring_call(lo, r, "mdl_ring_give");
    scope_end(lo);
}

static void multiply_tile(Lower *lo, const RingKernel *r, TileSet *t)
{
    tile_begin_sums(lo, t);
    for (uint32_t i = 0; i < tile_walks(t); i++)
        multiply_walk(lo, r, t, tile_walk(t, i));
    if (r->fold)
        r->fold(lo, t, r->user);
    if (r->store)
        store_tile(lo, r, t);
}

/* ---- the kernel ---- */

/* All threads of those who share a ring have come here. */
static void meet(Lower *lo, const RingKernel *r)
{
    copy_call(lo, "mdl_syncthreads()", NULL, 0);
    if (r->cluster > 1)
        copy_call(lo, "mdl_cluster_sync()", NULL, 0);
}

static void begin_ring(Lower *lo, RingKernel *r)
{
    Kernel *k = lo->k;
    const KExpr *bars[] = {ke_addr(k, r->bars, ke_int(k, 0))};
    const char *blocks = r->cluster > 1 ? arena_printf(lo->arena, "MDL_CLUSTER(%d)", CLUSTER) : "1";
    scope_if(lo, ke_test(k, "==", helper(lo, "mdl_thread()"), ke_int(k, 0)));
    copy_call(lo,
              arena_printf(lo->arena, "mdl_ring_begin((uint64_t *)%%0, %lld, %lld * %s)",
                           (long long)r->stages, (long long)(r->readers / WARP), blocks),
              bars, 1);
    scope_end(lo);
    meet(lo, r);
    r->ring = kernel_name(k, "ring");
    copy_call(lo,
              arena_printf(lo->arena, "MdlRing %s = mdl_ring((uint64_t *)%%0, %lld, %s)", r->ring,
                           (long long)r->stages, blocks),
              bars, 1);
}

/* Registers that a warpgroup gives back or takes, where there is something to share. */
static void set_registers(Lower *lo, const RingKernel *r, const char *how, int n)
{
    if (r->readers == 2 * GROUP)
        copy_call(lo, arena_printf(lo->arena, "mdl_setmaxnreg_%s(%d)", how, n), NULL, 0);
}

static void copying_threads(Lower *lo, const RingKernel *r)
{
    Kernel *k = lo->k;
    const KExpr *first = ke_int(k, r->readers), *thread = helper(lo, "mdl_thread()");
    scope_if(lo, ke_test(k, ">=", thread, first));
    set_registers(lo, r, "dec", COPY_REGISTERS);
    scope_if(lo, ke_test(k, "==", thread, first));
    each_tile(lo, r, bring_tile);
    scope_end(lo);
    scope_end(lo);
}

static void multiplying_threads(Lower *lo, const RingKernel *r)
{
    Kernel *k = lo->k;
    scope_if(lo, ke_test(k, "<", helper(lo, "mdl_thread()"), ke_int(k, r->readers)));
    set_registers(lo, r, "inc", MULTIPLY_REGISTERS);
    each_tile(lo, r, multiply_tile);
    scope_end(lo);
}

bool ring_fit(Lower *lo, RingKernel *r)
{
    uint32_t maps = lo->k->maps.n;
    r->cluster = choose_cluster(lo, r);
    r->fits = map_parts(lo, r) && shape_ring(lo, r);
    r->beside = r->fits && r->results ? beside_find(lo, r) : NULL;
    if (!r->fits || lo->k->maps.n > RING_MAPS) {
        lo->k->maps.n = maps;
        r->fits = false;
    }
    return r->fits;
}

void ring_run(Lower *lo, RingKernel *r, KPhase *phase)
{
    phase->threads = phase->team = (uint32_t)r->readers + GROUP;
    phase->blocks = r->blocks > 1 ? (uint32_t)r->blocks : 0;
    phase->stays = (uint32_t)r->cluster;
    make_shared(lo, r);
    begin_ring(lo, r);
    copying_threads(lo, r);
    multiplying_threads(lo, r);
    if (r->cluster > 1) /* nobody leaves whose memory others write to */
        meet(lo, r);
}

static void store_results(Lower *lo, const TileSet *t, const TileSpot *spot,
                          const KExpr *const *dot, void *user)
{
    const RingKernel *r = user;
    const Gemm *g = t->dot[0].g;
    const Ix *ix[IR_MAX_RANK], *row = scope_var(lo, spot->row, g->left.rows);
    gemm_result_index(lo, g, row, scope_vector_var(lo, spot->column, g->right.rows, spot->lanes),
                      ix);
    if (r->beside)
        beside_begin(lo, r, t, spot);
    gemm_store_results(lo, t->set, dot, ix);
    lo->staged = NULL;
}

bool gpu_ring(Lower *lo, TileSet *sets, uint32_t n)
{
    RingKernel r = {.sets = sets, .n = n, .store = store_results, .user = &r, .results = true};
    if (!ring_fit(lo, &r))
        return false;
    KPhase *phase = kernel_phase(lo->k, "", r.tasks, "tiles of the result, one after the other");
    scope_begin(lo, phase);
    ring_run(lo, &r, phase);
    return true;
}
