/* gpu_ring_beside.c: what results of products read at their own place: gradients that are added to, residuals, saved
 * activations.
 *
 * Warps that store would wait for memory at each line, and nobody multiplies meanwhile. So these go through the ring as
 * well: behind a tile's last step, a stage for each part of the sums that is laid down at once, with a box of each
 * tensor. They are on their way while products are computed, and leave room to the next tile one by one. */
#include "gpu_copy.h"
#include "gpu_ring.h"

enum { MOST_BESIDE = 4, RUN = 16 /* bytes that maps are in multiples of */ };

typedef struct Beside {
    uint32_t buf, map;
    RingLaid laid;
    bool stacked;
    int64_t bytes, at;  /* of an element; the first one's place in a stage */
    uint32_t shared;    /* the ring, as elements of its type */
    const KExpr *first; /* of the part at hand, in it */
} Beside;

struct RingBeside {
    Beside of[MOST_BESIDE];
    uint32_t n;
    int64_t bytes; /* of a stage that are used */
    int64_t width; /* columns of a part */
    const KExpr *row;
    const TileSpot *spot;
    uint32_t var[RING_VARS]; /* of the spot */
};

/* ---- what there is ---- */

typedef struct Search {
    const RingKernel *r;
    const TileSet *t;
    RingBeside *found;
} Search;

/* Whether a map can describe it: columns in order, lines that begin at multiples of 16 bytes, and all of it within the
 * tensor, which part of a concatenation is not. */
static bool can_map(Lower *lo, const Gemm *g, const Beside *b)
{
    Ir *ir = lo->ir;
    const RingLaid *at = &b->laid;
    int64_t run = RUN / b->bytes;
    const Dim *one = dim_const(ir, 1);
    if (at->along != one || !ring_distance(lo, at->row) || dim_lo(ir, at->first) < 0 ||
        (b->stacked && !ring_distance(lo, at->batch)) || !dim_is_multiple(at->first, run) ||
        !dim_is_multiple(at->row, run) || !dim_is_multiple(at->batch, run))
        return false;
    const Dim *last = dim_add(ir, at->first, dim_sub(ir, g->right.rows, one));
    last = dim_add(ir, last, dim_mul(ir, dim_sub(ir, g->left.rows, one), at->row));
    last = dim_add(ir, last, dim_mul(ir, dim_sub(ir, g->nbatch, one), at->batch));
    const Dim *count = one;
    for (uint32_t i = 0; i < at->input->type->rank; i++)
        count = dim_mul(ir, count, at->input->type->dims[i]);
    return dim_lo(ir, dim_sub(ir, at->row, g->right.rows)) >= 0 &&
           dim_lo(ir, dim_sub(ir, count, last)) > 0;
}

static bool same_place(const RingLaid *a, const RingLaid *b)
{
    return a->first == b->first && a->row == b->row && a->along == b->along && a->batch == b->batch;
}

static void add_beside(Lower *lo, const Node *input, const Ix *linear, void *user)
{
    Search *s = user;
    RingBeside *f = s->found;
    const Gemm *g = s->t->dot[0].g;
    DType dt = input->type->dtype;
    Beside b = {.buf = lo->in[input->id], .laid.input = input, .bytes = dtype_info(dt)->bytes};
    int64_t part = s->t->bm * f->width * b.bytes;
    if (f->n == MOST_BESIDE || f->bytes + part > s->r->stage_bytes || lo->k->maps.n == RING_MAPS ||
        !dtype_is_float(dt) || !dtype_has_vector(dt) || lo->config.loose ||
        !ring_laid(lo, linear, f->var, &b.laid) || b.laid.piece)
        return;
    for (uint32_t i = 0; i < f->n; i++)
        if (f->of[i].buf == b.buf && same_place(&f->of[i].laid, &b.laid))
            return;
    b.stacked = !dim_equals(b.laid.batch, 0);
    if (!can_map(lo, g, &b))
        return;
    b.at = f->bytes;
    b.map = kernel_map(lo->k, &(KMap){.buf = b.buf,
                                      .rank = b.stacked ? 3 : 2,
                                      .first = b.laid.first,
                                      .dim = {g->right.rows, g->left.rows, g->nbatch},
                                      .stride = {b.laid.row, b.laid.batch},
                                      .box = {(uint32_t)f->width, (uint32_t)s->t->bm, 1}});
    f->bytes += part;
    f->of[f->n++] = b;
}

static void find_of_set(Lower *lo, const RingKernel *r, const TileSet *t, RingBeside *f)
{
    Search s = {.r = r, .t = t, .found = f};
    const Gemm *g = t->dot[0].g;
    const KExpr *zero = ke_int(lo->k, 0);
    const Ix *ix[IR_MAX_RANK];
    KPhase dry = {0};
    scope_begin(lo, &dry);
    f->width = r->groups * 8;
    gemm_set_batch(t->set, scope_var(lo, zero, g->nbatch));
    f->var[RING_BATCH] = lo->nvar - 1;
    const Ix *row = scope_var(lo, zero, g->left.rows);
    f->var[RING_ROW] = lo->nvar - 1;
    gemm_result_index(lo, g, row, scope_vector_var(lo, zero, g->right.rows, NULL), ix);
    f->var[RING_ALONG] = lo->nvar - 1;
    for (uint32_t i = 0; i < lo->body->results.n; i++) {
        const Node *n = lo->body->results.at[i].node;
        if (t->set->results >> i & 1 && !products_moved(n))
            lower_each_load(lo, n, ix, add_beside, &s);
    }
}

RingBeside *beside_find(Lower *lo, RingKernel *r)
{
    RingBeside *all = NEW_ARRAY(lo->arena, RingBeside, r->n);
    uint32_t n = 0;
    for (uint32_t s = 0; s < r->n; s++) {
        /* a part is of neighbouring rows if a warpgroup has one block of them */
        if (r->sets[s].bm / (r->readers / 128) == 64)
            find_of_set(lo, r, &r->sets[s], &all[s]);
        n += all[s].n;
    }
    return n ? all : NULL;
}

void beside_make_shared(Lower *lo, RingKernel *r)
{
    Kernel *k = lo->k;
    for (uint32_t s = 0; s < r->n; s++)
        for (uint32_t i = 0; i < r->beside[s].n; i++) {
            Beside *b = &r->beside[s].of[i];
            KBuf ring = k->bufs.at[r->tiles];
            ring.name = kernel_name(k, "beside");
            ring.dtype = k->bufs.at[b->buf].dtype;
            ring.count = dim_const(lo->ir, r->stages * r->stage_bytes / b->bytes);
            b->shared = kernel_buf(k, &ring);
        }
}

/* ---- the thread that copies ---- */

static void bring_box(Lower *lo, const RingKernel *r, const TileSet *t, const Beside *b,
                      const KExpr *const *base_column)
{
    Kernel *k = lo->k;
    const KExpr *to = ke_addr(k, r->tiles, ke_add(lo, base_column[0], ke_int(k, b->at)));
    const KExpr *arg[] = {to, base_column[1], t->m0, lower_index(lo, t->dot[0].g->batch)};
    const char *text = arena_printf(
        lo->arena, "mdl_tma_load_%s(%%0, MDL_MAPS + %u, %s.full + %s.stage, (int)%%1, (int)%%2%s)",
        b->stacked ? "3d" : "2d", b->map, r->ring, r->ring, b->stacked ? ", (int)%3" : "");
    copy_call(lo, text, arg, 4);
}

void beside_bring(Lower *lo, const RingKernel *r, const TileSet *t)
{
    Kernel *k = lo->k;
    const RingBeside *f = &r->beside[t - r->sets];
    if (!f->n)
        return;
    scope_loop(lo, &(LoopSpec){.stem = "part",
                               .lo = ke_int(k, 0),
                               .hi = ke_int(k, t->bn / f->width),
                               .extent = dim_const(lo->ir, t->bn / f->width),
                               .rolled = true});
    const KExpr *part = lo->var[lo->nvar - 1].at;
    ring_fill(lo, r, f->bytes);
    const KExpr *base = ring_stage(lo, r, 1);
    const KExpr *column = ke_add(lo, t->n0, ke_mul(lo, part, ke_int(k, f->width)));
    for (uint32_t i = 0; i < f->n; i++)
        bring_box(lo, r, t, &f->of[i], (const KExpr *[]){base, column});
    ring_call(lo, r, "mdl_ring_next");
    scope_end(lo);
}

/* ---- warps that store ---- */

void beside_open(Lower *lo, const RingKernel *r, const TileSet *t, const KExpr *row)
{
    RingBeside *f = &r->beside[t - r->sets];
    if (!f->n)
        return;
    f->row = row;
    ring_call(lo, r, "mdl_ring_read");
    for (uint32_t i = 0; i < f->n; i++) {
        Beside *b = &f->of[i];
        b->first = ke_add(lo, ring_stage(lo, r, b->bytes), ke_int(lo->k, b->at / b->bytes));
    }
}

void beside_close(Lower *lo, const RingKernel *r, const TileSet *t)
{
    if (!r->beside[t - r->sets].n)
        return;
    ring_call(lo, r, "mdl_ring_next");
    ring_call(lo, r, "mdl_ring_give");
}

/* What a load of the body finds in the stage at hand; NULL: it is not there. */
static const KExpr *load_beside(Lower *lo, uint32_t buf, const Ix *linear)
{
    const RingBeside *f = lo->staging;
    Kernel *k = lo->k;
    RingLaid at;
    for (uint32_t i = 0; i < f->n; i++) {
        const Beside *b = &f->of[i];
        if (b->buf != buf || !ring_laid(lo, linear, f->var, &at) || at.piece ||
            !same_place(&at, &b->laid))
            continue;
        const KExpr *row = ke_mul(lo, ke_add(lo, f->row, f->spot->r), ke_int(k, f->width));
        const KExpr *column = ke_mul(lo, f->spot->c, ke_int(k, k->width));
        const KExpr *place = ke_add(lo, ke_add(lo, b->first, row), column);
        return ke_aligned(k, ke_vload(k, b->shared, place, NULL));
    }
    return NULL;
}

void beside_begin(Lower *lo, const RingKernel *r, const TileSet *t, const TileSpot *spot)
{
    RingBeside *f = &r->beside[t - r->sets];
    const Ix *batch = t->dot[0].g->batch;
    if (!f->n)
        return;
    f->spot = spot;
    f->var[RING_BATCH] = batch->kind == IX_VAR ? batch->var : NO_VAR;
    f->var[RING_ROW] = lo->nvar - 2;
    f->var[RING_ALONG] = lo->nvar - 1;
    lo->staging = f;
    lo->staged = load_beside;
}
