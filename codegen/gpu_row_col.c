/* gpu_row_col.c: folds of rows and of columns of one space on a GPU, in one walk over its rows, and the sums of all
 * blocks in order.
 *
 * A team (a warp, or a block where rows are long) has a row at a time, and each thread of it always the same columns:
 * their sums stay in registers. Operands that are read row by row, as a norm's derivative reads most of what it needs,
 * are copied some rows ahead into a ring in shared memory (cp.async). So what is on its way does not depend on registers,
 * and these keep what one pass over the row leaves for the next, as far as they reach (reduce_keep.c). Every warp copies
 * what it reads itself: filling and emptying the ring takes no barrier of the block, only the folds of rows that several
 * warps share do, one for each level of folds.
 *
 * Warps that walk rows of their own add up their sums in shared memory, and a block leaves one line of sums. A second
 * phase adds up the lines: a block has a few columns, its threads every so many lines each. All orders follow from
 * extents and from the rows of a block alone. */
#include "gpu_copy.h"
#include "reduce.h"

enum {
    BLOCK = 128,      /* threads, of warps that walk rows of their own */
    RUN = 16,         /* bytes that are copied together, .. */
    WORD = 4,         /* .. or these */
    MOST_STREAMS = 8, /* operands in the ring */
    MOST_STAGES = 4,
    REGISTERS = 65536,    /* of a multiprocessor, */
    MOST_REGISTERS = 255, /* of a thread, .. */
    WORK = 28, /* .. and those of it that a pass works with: no sums, nothing that stays, .. */
    STREAM_WORK = 10,   /* .. with so many for each operand in the ring */
    MOST_SUMS = 128,    /* floats of a thread that live as long as the kernel */
    RESIDENT = 512,     /* threads of a multiprocessor, for whose rings there is to be room, .. */
    MOST_BLOCKS = 3,    /* .. in so many blocks */
    RESERVED = 1024,    /* bytes of shared memory that the hardware takes for a block */
    FOLDS = 1024,       /* .. and that are left for the folds of rows */
    STRIP = 16,         /* columns of a block of the second phase, .. */
    STRIP_THREADS = 256 /* .. and its threads */
};

/* An operand in the ring: a row of it, or one number of each row. */
typedef struct Stream {
    uint32_t buf, shared;
    const Ix *linear; /* of Rows.p and Rows.r */
    int64_t run;      /* bytes of a copy */
    bool row;
} Stream;

typedef struct Rows {
    Fold *f;
    int64_t columns, pitch, each; /* of a row; as it is laid down; that a team has at once */
    int64_t walkers, threads, grain, resident; /* blocks of a multiprocessor that are wanted */
    const KExpr *warp, *lane, *walker;
    const Ix *p, *r; /* stand for any row and column */
    uint32_t var;    /* of the row in work, or NO_VAR */
    Stream stream[MOST_STREAMS];
    uint32_t nstream;
    int64_t stages;
    const KExpr *slot; /* in the ring, of the row in work */
    uint64_t shared;   /* where the phase's own memory begins */
} Rows;

static void call(Lower *lo, const char *text)
{
    copy_call(lo, text, NULL, 0);
}

/* ---- what is copied ---- */

/* Bytes that can be copied together where a row lies in order, and begins at a multiple of them; 0: it does not. */
static int64_t run_of(Lower *lo, const Rows *w, const Ix *linear, int64_t bytes)
{
    const Dim *stride;
    if (linear->kind != IX_SUM || !index_stride(lo, linear, w->r->var, &stride) ||
        !dim_equals(stride, 1))
        return 0;
    int64_t run = RUN / bytes;
    bool whole = !lo->config.loose && w->columns % run == 0 && dim_is_multiple(linear->base, run);
    for (uint32_t i = 0; i < linear->nterm; i++) {
        const IxTerm *t = &linear->term[i];
        bool column = t->atom->kind == IX_VAR && t->atom->var == w->r->var;
        if (!column && ix_uses(t->atom, w->r->var))
            return 0;
        whole = whole && (column || dim_is_multiple(t->coef, run));
    }
    return whole ? RUN : bytes == WORD ? WORD : 0;
}

static void add_stream(Lower *lo, const Node *input, const Ix *linear, void *user)
{
    Rows *w = user;
    Stream s = {.buf = lo->in[input->id], .linear = linear};
    int64_t bytes = dtype_info(input->type->dtype)->bytes;
    for (uint32_t i = 0; i < w->nstream; i++)
        if (w->stream[i].buf == s.buf && w->stream[i].linear->id == linear->id)
            return;
    if (w->nstream == MOST_STREAMS || !ix_uses(linear, w->p->var) || bytes > WORD)
        return;
    s.row = ix_uses(linear, w->r->var);
    s.run = s.row ? run_of(lo, w, linear, bytes) : bytes == WORD ? WORD : 0;
    if (s.run)
        w->stream[w->nstream++] = s;
}

static void find_streams(Lower *lo, Rows *w)
{
    const Fold *f = w->f;
    const Ix *ix[IR_MAX_RANK], *p[IR_MAX_RANK], *r[IR_MAX_RANK];
    ix_unflatten(lo->ir, w->p, f->pdims, f->np, p);
    ix_unflatten(lo->ir, w->r, f->rdims, f->nr, r);
    for (uint32_t i = 0; i < f->np; i++)
        ix[f->paxis[i]] = p[i];
    for (uint32_t i = 0; i < f->nr; i++)
        ix[f->raxis[i]] = r[i];
    for (uint32_t i = 0; i < lo->body->nodes.n; i++)
        if (op_info(lo->body->nodes.at[i]->op)->cls == OC_REDUCE && (f->level[i] || f->column[i]))
            lower_each_load(lo, lo->body->nodes.at[i]->in[0], ix, add_stream, w);
    for (uint32_t i = 0; i < lo->body->results.n; i++)
        if (f->full_results >> i & 1)
            lower_each_load(lo, lo->body->results.at[i].node, ix, add_stream, w);
}

static int64_t stream_elements(const Rows *w, const Stream *s)
{
    return s->row ? w->walkers * w->pitch : w->threads / WARP;
}

/* Rings of all operands, or of as many as there is room for. */
static void make_rings(Lower *lo, Rows *w)
{
    int64_t room = (int64_t)lo->target->l1 - FOLDS, all = 0;
    uint32_t n = 0;
    for (uint32_t i = 0; i < w->nstream; i++) {
        Stream *s = &w->stream[i];
        int64_t bytes = stream_elements(w, s) * dtype_info(lo->k->bufs.at[s->buf].dtype)->bytes;
        if (2 * (all + bytes + 64) > room)
            continue;
        all += bytes + 64;
        w->stream[n++] = *s;
    }
    w->nstream = n;
    int64_t share = ((int64_t)lo->target->l1 + RESERVED) / w->resident - RESERVED - FOLDS;
    w->stages = n == 0 ? 1 : smaller(larger(share / larger(all, 1), 2), MOST_STAGES);
    for (uint32_t i = 0; i < n; i++) {
        Stream *s = &w->stream[i];
        s->shared = kernel_shared(lo->k, s->row ? "ring" : "numbers", lo->k->bufs.at[s->buf].dtype,
                                  w->stages * stream_elements(w, s));
    }
}

/* ---- copies ---- */

/* The index with that row and column; NULL: as it is. */
static const Ix *index_at(Lower *lo, const Rows *w, const Ix *e, const Ix *p, const Ix *r)
{
    const Ix *vars[LOWER_MAX_VARS];
    for (uint32_t i = 0; i < lo->nvar; i++)
        vars[i] = ix_var(lo->ir, i, lo->var[i].extent);
    vars[w->p->var] = p;
    vars[w->r->var] = r;
    return ix_substitute(lo->ir, e, vars, lo->nvar);
}

static const KExpr *slot_of(Lower *lo, const Rows *w, const Stream *s, const KExpr *stage)
{
    int64_t warps = w->threads / WARP;
    const KExpr *at = ke_mul(lo, stage, ke_int(lo->k, s->row ? w->walkers : warps));
    at = ke_add(lo, at, s->row ? w->walker : w->warp);
    return s->row ? ke_mul(lo, at, ke_int(lo->k, w->pitch)) : at;
}

static void copy_run(Lower *lo, const Stream *s, const KExpr *to, const Ix *from)
{
    const KExpr *arg[] = {ke_addr(lo->k, s->shared, to),
                          ke_addr(lo->k, s->buf, lower_index(lo, from))};
    copy_call(lo, s->run == RUN ? "mdl_cp_async16(%0, %1, 16)" : "mdl_cp_async4(%0, %1, 4)", arg,
              2);
}

/* What this warp reads of the row. */
static void copy_pieces(Lower *lo, const Rows *w, const Stream *s, const Ix *p, const KExpr *slot)
{
    Kernel *k = lo->k;
    int64_t run = s->run / dtype_info(k->bufs.at[s->buf].dtype)->bytes;
    int64_t piece = WARP * (int64_t)k->width, runs = piece / run;
    const KExpr *id = share_open(
        lo, &(ShareSpec){.thread = w->lane, .threads = WARP, .count = w->f->nchunk * runs});
    const KExpr *n = ke_int(k, runs);
    const KExpr *at = ke_mul(lo, ke_index(k, KI_DIV, id, n), ke_int(k, w->each));
    if (lo->team > WARP)
        at = ke_add(lo, at, ke_mul(lo, w->warp, ke_int(k, piece)));
    at = ke_add(lo, at, ke_mul(lo, ke_index(k, KI_MOD, id, n), ke_int(k, run)));
    at = copy_let(lo, "at", at);
    if (w->columns % w->each)
        scope_if(lo, ke_test(k, "<", at, ke_int(k, w->columns)));
    else
        scope_plain(lo);
    const Ix *r = scope_var(lo, at, w->f->r.inner);
    copy_run(lo, s, ke_add(lo, slot, at), index_at(lo, w, s->linear, p, r));
    scope_end(lo);
    share_close(lo);
}

static void copy_row(Lower *lo, const Rows *w, const KExpr *row, const KExpr *stage)
{
    Kernel *k = lo->k;
    scope_if(lo, ke_test(k, "<", row, w->f->to));
    const Ix *p = scope_var(lo, row, w->f->p.inner);
    for (uint32_t i = 0; i < w->nstream; i++) {
        const Stream *s = &w->stream[i];
        const KExpr *slot = copy_let(lo, "slot", slot_of(lo, w, s, stage));
        if (s->row) {
            copy_pieces(lo, w, s, p, slot);
            continue;
        }
        scope_if(lo, ke_test(k, "==", w->lane, ke_int(k, i)));
        copy_run(lo, s, slot, index_at(lo, w, s->linear, p, w->r));
        scope_end(lo);
    }
    scope_end(lo);
    call(lo, "mdl_cp_commit()");
}

/* ---- what is read instead ---- */

/* What a load of the body finds in the ring; NULL: it is not there. */
static const KExpr *load_staged(Lower *lo, uint32_t buf, const Ix *linear)
{
    const Rows *w = lo->staging;
    Kernel *k = lo->k;
    uint32_t v = index_vector_var(lo, &linear, 1);
    if (w->var == NO_VAR || !ix_uses(linear, w->var))
        return NULL;
    const Ix *vars[LOWER_MAX_VARS];
    for (uint32_t i = 0; i < lo->nvar; i++)
        vars[i] = ix_var(lo->ir, i, lo->var[i].extent);
    vars[w->var] = w->p;
    if (v != NO_VAR)
        vars[v] = w->r;
    const Ix *any = ix_substitute(lo->ir, linear, vars, lo->nvar);
    for (uint32_t i = 0; i < w->nstream; i++) {
        const Stream *s = &w->stream[i];
        if (s->buf != buf || s->linear->id != any->id)
            continue;
        const KExpr *at = slot_of(lo, w, s, w->slot);
        if (!s->row)
            return ke_load(k, s->shared, at);
        return ke_aligned(k, ke_vload(k, s->shared, ke_add(lo, at, lo->var[v].at), NULL));
    }
    return NULL;
}

/* ---- rows ---- */

bool fold_whole_piece(const Fold *f, uint32_t c)
{
    return f->rows->columns >= (c + 1) * f->rows->each;
}

/* The columns of a thread in piece c of its team; they are its own until the scope ends. */
const Ix *fold_open_piece(Lower *lo, const Fold *f, uint32_t c)
{
    Kernel *k = lo->k;
    const Rows *w = f->rows;
    const KExpr *at = ke_add(lo, f->own, ke_int(k, c * w->each)), *lanes = NULL;
    if (fold_whole_piece(f, c)) {
        scope_plain(lo);
    } else {
        scope_if(lo, ke_test(k, "<", at, ke_int(k, w->columns)));
        if (w->columns % k->width)
            lanes = ke_min(lo, ke_sub(lo, ke_int(k, w->columns), at), ke_int(k, k->width));
    }
    if (lanes)
        lanes = copy_let(lo, "lanes", lanes);
    return scope_vector_var(lo, at, f->r.inner, lanes);
}

static void begin_sums(Lower *lo, Fold *f)
{
    f->chunk_sum = NEW_ARRAY(lo->arena, Acc, f->nchunk * f->nsum + (size_t)1);
    for (uint32_t c = 0; c < f->nchunk; c++)
        for (uint32_t i = 0; i < f->nsum; i++)
            f->chunk_sum[c * f->nsum + i] = acc_begin(lo, f->sum[i], true);
}

/* Vectors of the sums of the columns into lines of buffers by sum. */
static void store_sums(Lower *lo, const Rows *w, const uint32_t *buf, const KExpr *line)
{
    const Fold *f = w->f;
    for (uint32_t c = 0; c < f->nchunk; c++) {
        const Ix *r = fold_open_piece(lo, f, c);
        for (uint32_t i = 0; i < f->nsum; i++)
            ks_store(lo->k, lo->scope->block, buf[i], ke_add(lo, line, lower_index(lo, r)),
                     f->chunk_sum[c * f->nsum + i].value)
                ->aligned = true;
        scope_end(lo);
    }
}

typedef struct Joined {
    const Rows *w;
    const uint32_t *lines, *to; /* buffers by sum */
} Joined;

static void join_lines(Lower *lo, const Ix *r, void *user)
{
    const Joined *j = user;
    const Rows *w = j->w;
    Kernel *k = lo->k;
    const KExpr *at = lower_index(lo, r);
    for (uint32_t i = 0; i < w->f->nsum; i++) {
        Acc a = {.n = w->f->sum[i]};
        a.value = ks_var(k, lo->scope->block, op_info(a.n->op)->name,
                         ke_aligned(k, ke_vload(k, j->lines[i], at, NULL)));
        for (int64_t l = 1; l < w->walkers; l++)
            acc_add(lo, &a,
                    ke_aligned(k, ke_vload(k, j->lines[i], ke_add(lo, at, ke_int(k, l * w->pitch)),
                                           NULL)));
        ks_store(k, lo->scope->block, j->to[i], ke_add(lo, w->f->sums, at), a.value)->aligned =
            true;
    }
}

/* Where the sums of the warps lie, in the place of the rings. */
static uint32_t *lines_on_rings(Lower *lo, const Rows *w, KPhase *phase)
{
    Kernel *k = lo->k;
    uint32_t *lines = NEW_ARRAY(lo->arena, uint32_t, w->f->nsum + (size_t)1);
    uint64_t at = w->shared;
    for (uint32_t i = 0; i < w->f->nsum; i++) {
        KBuf b = {.kind = KB_SHARED, .name = kernel_name(k, "lines"), .align = 64, .offset = at};
        b.dtype = k->bufs.at[w->f->partial[w->f->sum[i]->id]].dtype;
        b.count = dim_const(lo->ir, w->walkers * w->pitch);
        lines[i] = kernel_buf(k, &b);
        at += (uint64_t)round_up(w->walkers * w->pitch * WORD, 64);
    }
    phase->shared = at > phase->shared ? (uint32_t)at : phase->shared;
    return lines;
}

static void leave_sums(Lower *lo, const Rows *w, KPhase *phase)
{
    Kernel *k = lo->k;
    const Fold *f = w->f;
    uint32_t *to = NEW_ARRAY(lo->arena, uint32_t, f->nsum + (size_t)1);
    for (uint32_t i = 0; i < f->nsum; i++)
        to[i] = f->partial[f->sum[i]->id];
    if (w->walkers == 1) {
        store_sums(lo, w, to, f->sums);
        return;
    }
    Joined j = {w, lines_on_rings(lo, w, phase), to};
    if (w->nstream)
        call(lo, "mdl_syncthreads()");
    const KExpr *line = ke_mul(lo, w->walker, ke_int(k, w->pitch));
    store_sums(lo, w, j.lines, copy_let(lo, "line", line));
    call(lo, "mdl_syncthreads()");
    lo->team = w->threads;
    lo->rank = copy_let(lo, "thread", ke_text(k, KT_I64, "mdl_thread()", NULL, 0));
    lower_lanes(lo,
                &(LanesSpec){.stem = "r",
                             .lo = ke_int(k, 0),
                             .hi = ke_int(k, round_up(w->columns, k->width)),
                             .extent = dim_const(lo->ir, w->pitch)},
                join_lines, &j);
}

/* The copies of the rows that come next, and the one in work: there. */
static void turn_ring(Lower *lo, Rows *w, const KExpr *row, const KExpr *turn)
{
    Kernel *k = lo->k;
    const KExpr *stages = ke_int(k, w->stages), *ahead = ke_int(k, w->stages - 1);
    call(lo, "mdl_syncwarp()");
    const KExpr *next = ke_add(lo, row, ke_int(k, (w->stages - 1) * w->walkers));
    next = copy_let(lo, "next", next);
    const KExpr *stage = ke_index(k, KI_MOD, ke_add(lo, turn, ahead), stages);
    copy_row(lo, w, next, copy_let(lo, "fill", stage));
    call(lo, arena_printf(lo->arena, "mdl_cp_wait(%lld)", (long long)(w->stages - 1)));
    call(lo, "mdl_syncwarp()");
    w->slot = copy_let(lo, "stage", ke_index(k, KI_MOD, turn, stages));
}

static void first_copies(Lower *lo, const Rows *w, const KExpr *first)
{
    Kernel *k = lo->k;
    scope_loop(lo, &(LoopSpec){.stem = "s",
                               .lo = ke_int(k, 0),
                               .hi = ke_int(k, w->stages - 1),
                               .extent = dim_const(lo->ir, w->stages),
                               .rolled = true});
    const KExpr *stage = lo->var[lo->nvar - 1].at;
    const KExpr *row = ke_add(lo, first, ke_mul(lo, stage, ke_int(k, w->walkers)));
    copy_row(lo, w, copy_let(lo, "row", row), stage);
    scope_end(lo);
}

static void fold_row(Lower *lo, Fold *f)
{
    fold_whole_range(lo, f);
    fold_passes(lo, f);
    if (f->full_results || f->nsum)
        fold_full_results(lo, f);
    if (f->point_results) {
        team_first(lo);
        fold_point_results(lo, f);
        scope_end(lo);
    }
}

static void walk_rows(Lower *lo, Rows *w)
{
    Kernel *k = lo->k;
    Fold *f = w->f;
    const KExpr *rows = ke_int(k, w->grain);
    const KExpr *from = copy_let(lo, "begin", ke_mul(lo, lower_task(lo), rows));
    const KExpr *to = ke_min(lo, ke_add(lo, from, rows), ke_extent(k, f->p.inner));
    f->to = copy_let(lo, "end", to);
    const KExpr *first = w->walkers > 1 ? copy_let(lo, "first", ke_add(lo, from, w->walker)) : from;
    if (w->nstream)
        first_copies(lo, w, first);
    const KExpr *end = f->to;
    const Ix *p = scope_loop(
        lo,
        &(LoopSpec){.stem = "p", .lo = first, .hi = end, .extent = f->p.inner, .step = w->walkers});
    const KExpr *row = lo->var[p->var].at, *n = ke_int(k, w->walkers);
    const KExpr *turn = copy_let(lo, "turn", ke_index(k, KI_DIV, ke_sub(lo, row, first), n));
    if (w->nstream)
        turn_ring(lo, w, row, turn);
    f->turn = turn;
    w->var = p->var;
    fold_set_row(lo, f, p);
    fold_begin_stays(lo, f);
    fold_row(lo, f);
    w->var = NO_VAR;
    scope_end(lo);
    fold_select(lo, f, NULL);
}

/* As many values stay as the registers of a thread hold beside its sums. */
static void choose_stays(Lower *lo, const Rows *w)
{
    Fold *f = w->f;
    int64_t have = smaller(REGISTERS / (w->threads * w->resident), MOST_REGISTERS);
    have -= WORK + w->nstream * STREAM_WORK;
    const int64_t each = f->nchunk * (int64_t)lo->k->width;
    fold_choose_stays(lo, f, have < f->nsum * each ? -1 : have / each - f->nsum);
}

static void rows_phase(Lower *lo, Rows *w)
{
    Kernel *k = lo->k;
    Fold *f = w->f;
    int64_t blocks = ceil_div(larger(dim_hi(lo->ir, f->p.inner), 1), w->grain);
    KPhase *phase =
        kernel_phase(k, "rows", dim_const(lo->ir, blocks), "folds a block of rows, copied ahead");
    phase->threads = (uint32_t)w->threads;
    phase->blocks = (uint32_t)w->resident;
    scope_begin(lo, phase);
    team_begin(lo, phase, w->threads == lower_config(lo, "team") ? w->threads : WARP);
    phase->team = phase->threads;
    w->warp = copy_let(lo, "warp", ke_text(k, KT_I64, "mdl_warp()", NULL, 0));
    w->lane = lo->team > WARP ? copy_let(lo, "lane", ke_text(k, KT_I64, "mdl_lane()", NULL, 0))
                              : lo->rank;
    w->walker = w->walkers > 1 ? w->warp : ke_int(k, 0);
    f->own = copy_let(lo, "own", ke_mul(lo, lo->rank, ke_int(k, k->width)));
    f->sums = copy_let(lo, "sums", ke_mul(lo, lower_task(lo), ke_int(k, w->pitch)));
    w->p = scope_var(lo, ke_int(k, 0), f->p.inner);
    w->r = scope_vector_var(lo, ke_int(k, 0), f->r.inner, NULL);
    w->shared = phase->shared;
    find_streams(lo, w);
    make_rings(lo, w);
    begin_sums(lo, f);
    choose_stays(lo, w);
    lo->staged = load_staged;
    lo->staging = w;
    walk_rows(lo, w);
    lo->staged = NULL;
    lo->kept = NULL;
    leave_sums(lo, w, phase);
    ASSERT(phase->shared <= lo->target->l1);
}

/* ---- the sums of all blocks ---- */

typedef struct Strip {
    const Rows *w;
    int64_t lines;
    const KExpr *group;
    Acc *acc; /* by sum */
} Strip;

static int64_t strip_groups(const Lower *lo)
{
    return STRIP_THREADS / (STRIP / (int64_t)lo->k->width);
}

/* Every so many lines; a warp's lanes have eight of them, which shuffles join. */
static void add_lines(Lower *lo, const Strip *s, const KExpr *column)
{
    Kernel *k = lo->k;
    const Fold *f = s->w->f;
    scope_if(lo, ke_test(k, "<", column, ke_int(k, s->w->columns)));
    scope_loop(lo, &(LoopSpec){.stem = "line",
                               .lo = s->group,
                               .hi = ke_int(k, s->lines),
                               .extent = dim_const(lo->ir, s->lines),
                               .step = strip_groups(lo),
                               .unroll = s->lines <= 8 * strip_groups(lo)});
    const KExpr *line = lo->var[lo->nvar - 1].at;
    const KExpr *at = ke_add(lo, ke_mul(lo, line, ke_int(k, s->w->pitch)), column);
    for (uint32_t i = 0; i < f->nsum; i++)
        acc_add(lo, &s->acc[i], ke_aligned(k, ke_vload(k, f->partial[f->sum[i]->id], at, NULL)));
    scope_end(lo);
    scope_end(lo);
    for (int64_t h = STRIP / (int64_t)k->width; h < WARP; h *= 2)
        for (uint32_t i = 0; i < f->nsum; i++)
            acc_exchange(lo, &s->acc[i], h);
}

static void strip_results(Lower *lo, const Strip *s, const KExpr *column, const uint32_t *parts)
{
    Kernel *k = lo->k;
    const Fold *f = s->w->f;
    const KExpr *lanes = NULL;
    if (s->w->columns % k->width)
        lanes =
            copy_let(lo, "lanes",
                     ke_min(lo, ke_sub(lo, ke_int(k, s->w->columns), column), ke_int(k, k->width)));
    const KExpr *at = ke_mul(lo, lo->rank, ke_int(k, k->width));
    for (uint32_t i = 0; i < f->nsum; i++) {
        Acc a = {.n = f->sum[i]};
        a.value = ks_var(k, lo->scope->block, op_info(a.n->op)->name,
                         ke_aligned(k, ke_vload(k, parts[i], at, NULL)));
        for (int64_t w = 1; w < STRIP_THREADS / WARP; w++)
            acc_add(
                lo, &a,
                ke_aligned(k, ke_vload(k, parts[i], ke_add(lo, at, ke_int(k, w * STRIP)), NULL)));
        lo->seed[a.n->id] = acc_result(lo, &a);
    }
    const Ix *r = scope_vector_var(lo, column, f->r.inner, lanes);
    fold_store_columns(lo, f, r);
}

static void columns_phase(Lower *lo, const Rows *w)
{
    Kernel *k = lo->k;
    const Fold *f = w->f;
    const int64_t vectors = STRIP / (int64_t)k->width;
    KPhase *phase = kernel_phase(k, "", dim_const(lo->ir, ceil_div(w->columns, STRIP)),
                                 "adds up the sums of columns of all blocks");
    phase->threads = STRIP_THREADS;
    scope_begin(lo, phase);
    team_begin(lo, phase, STRIP_THREADS);
    KBlock *block = lo->scope->block;
    Strip s = {.w = w, .lines = ceil_div(larger(dim_hi(lo->ir, f->p.inner), 1), w->grain)};
    s.acc = NEW_ARRAY(lo->arena, Acc, f->nsum + (size_t)1);
    uint32_t *parts = NEW_ARRAY(lo->arena, uint32_t, f->nsum + (size_t)1);
    const KExpr *n = ke_int(k, vectors), *in = ke_index(k, KI_MOD, lo->rank, n);
    const KExpr *column = ke_mul(lo, lower_task(lo), ke_int(k, STRIP));
    column = copy_let(lo, "column", ke_add(lo, column, ke_mul(lo, in, ke_int(k, k->width))));
    s.group = copy_let(lo, "group", ke_index(k, KI_DIV, lo->rank, n));
    for (uint32_t i = 0; i < f->nsum; i++) {
        s.acc[i] = acc_begin(lo, f->sum[i], true);
        DType dt = k->bufs.at[f->partial[f->sum[i]->id]].dtype;
        parts[i] = kernel_shared(k, "parts", dt, STRIP_THREADS / WARP * STRIP);
    }
    add_lines(lo, &s, column);
    const KExpr *lane = ks_let(k, block, "lane", ke_text(k, KT_I64, "mdl_lane()", NULL, 0));
    scope_if(lo, ke_test(k, "<", lane, n));
    const KExpr *at = ke_mul(lo, ke_text(k, KT_I64, "mdl_warp()", NULL, 0), ke_int(k, STRIP));
    at = ke_add(lo, at, ke_mul(lo, lane, ke_int(k, k->width)));
    for (uint32_t i = 0; i < f->nsum; i++)
        ks_store(k, lo->scope->block, parts[i], at, s.acc[i].value)->aligned = true;
    scope_end(lo);
    team_wait(lo);
    scope_if(lo, ke_test(k, "&&", ke_test(k, "<", lo->rank, n),
                         ke_test(k, "<", column, ke_int(k, w->columns))));
    strip_results(lo, &s, column, parts);
    scope_end(lo);
}

/* ---- the kernel ---- */

static void make_partials(Lower *lo, const Rows *w)
{
    Fold *f = w->f;
    int64_t blocks = ceil_div(larger(dim_hi(lo->ir, f->p.inner), 1), w->grain);
    f->partial = NEW_ARRAY(lo->arena, uint32_t, lo->body->nodes.n + (size_t)1);
    for (uint32_t i = 0; i < f->nsum; i++)
        f->partial[f->sum[i]->id] =
            fold_partials(lo, f->sum[i], dim_const(lo->ir, blocks * w->pitch));
}

bool gpu_row_col(Lower *lo, Fold *f)
{
    int64_t team = lo->k->threads ? lower_config(lo, "team") : 0, columns, width = lo->k->width;
    if (team < WARP || lo->scalar || f->r.split > 0 || f->unroll > 1 || f->nlevel > 60 ||
        !dim_is_const(f->r.inner, &columns) || columns == 0)
        return false;
    Rows *w = NEW(lo->arena, Rows);
    *w = (Rows){.f = f, .columns = columns, .each = team * width, .var = NO_VAR};
    int64_t pieces = ceil_div(columns, w->each);
    if (pieces > FOLD_MAX_CHUNKS || f->nsum * pieces * width > MOST_SUMS)
        return false;
    w->threads = team > WARP ? team : BLOCK;
    w->walkers = w->threads / team;
    w->resident = smaller(larger(RESIDENT / w->threads, 1), MOST_BLOCKS);
    w->pitch = round_up(columns, RUN);
    w->grain = larger(lower_config(lo, "grain"), 1);
    f->nchunk = (uint32_t)pieces;
    f->rows = w;
    make_partials(lo, w);
    rows_phase(lo, w);
    columns_phase(lo, w);
    f->nchunk = 0;
    return true;
}
