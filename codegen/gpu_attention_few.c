/* gpu_attention_few.c: attention of few queries on a GPU, such as those that decode a token: keys and values are read
 * once and hardly used, so what counts is that memory is read in order, by all multiprocessors, with enough of it on
 * the way (split keys: Dao et al. 2023, Flash-Decoding).
 *
 * A block has some keys of one head, a split of them, and rows: queries of all heads that share it. Its streams, a
 * few lanes of a warp each (mdl_attend_few.h), take keys in turn, some at once, and read them and their values where they
 * lie, whatever is computed of them on the way. What the streams have seen of a row is joined in their order; of
 * several splits it goes to memory, and a second phase joins those, again by streams. Splits are as long as the
 * config says, so all orders follow from extents and masks alone. A split that no row sees is left out by both.
 *
 * Config: rows (of a block), cols (keys that a stream looks at at once), split (keys of a block). */
#include "gpu_attention.h"

#include "products.h"

#include <math.h>

enum { THREADS = 128, CHUNK = 16, MAX_ROWS = 8, MAX_KEYS = 4, MAX_VECTORS = 8 };

static const double LOG2E = 1.4426950408889634;

/* The queries of a block. */
typedef struct FewRow {
    const Ix *t, *h, *g;
    RowSpan span;
} FewRow;

typedef struct Few {
    Attention a;
    bool scaled; /* scores are products times `unit` */
    double unit;
    int64_t rows, keys, split;             /* the config */
    int64_t most_t, lines, chunks, splits; /* lines: rows of all blocks; splits at the upper end */
    int64_t lanes, streams;                /* of a stream; of a block */
    int64_t nd, ne;                        /* vectors of a lane: of queries and keys, of values */
    int64_t pitch;                         /* columns of a row of outputs, as it is stored */
    uint32_t q, s, top, sum, out;          /* of a lane */
    uint32_t seen, parts;                  /* of the streams of a block, shared */
    uint32_t split_seen, split_parts;      /* of splits, in memory */
    const Ix *b, *n;
    FewRow row[MAX_ROWS];
    const KExpr *thread, *stream, *lane, *number; /* number: of the head of keys in all samples */
    const KExpr *split_number, *chunk;
    const KExpr *from, *to; /* keys of the block that some row sees */
} Few;

/* ---- shape ---- */

static bool is_half(const Node *n)
{
    return dtype_is_half(products_operand(n));
}

static void describe(Lower *lo, Few *f)
{
    bool found = attention_find(lo->body, &f->a);
    ASSERT(found && !lo->scalar);
    const Attention *a = &f->a;
    Kernel *k = lo->k;
    k->width = is_half(a->dot->in[1]) && is_half(a->out->in[1]) ? CHUNK / 2 : CHUNK / 4;
    f->scaled = attention_scaled(lo->body, a, &f->unit);
    f->unit = f->scaled ? f->unit : 1;
    f->rows = lower_config(lo, "rows");
    f->keys = lower_config(lo, "cols");
    f->split = lower_config(lo, "split");
    f->most_t = larger(dim_hi(lo->ir, a->t), 1);
    f->lines = f->most_t * dim_fixed(a->g);
    f->chunks = ceil_div(f->lines, f->rows);
    f->splits = larger(ceil_div(dim_hi(lo->ir, a->s), f->split), 1);
    int64_t d = ceil_div(dim_fixed(a->d), k->width), e = ceil_div(dim_fixed(a->e), k->width);
    f->lanes = 1;
    while (f->lanes < larger(d, e) && f->lanes < WARP)
        f->lanes *= 2;
    f->nd = ceil_div(d, f->lanes);
    f->ne = ceil_div(e, f->lanes);
    f->streams = THREADS / f->lanes;
    f->pitch = e * k->width;
    ASSERT(f->rows <= MAX_ROWS && f->keys <= MAX_KEYS && f->nd + f->ne <= MAX_VECTORS);
}

/* *of becomes *of / n; the rest. */
static const KExpr *take_off(Lower *lo, const char *stem, const KExpr **of, int64_t n)
{
    const KExpr *count = ke_int(lo->k, n);
    const KExpr *rest = copy_let(lo, stem, ke_index(lo->k, KI_MOD, *of, count));
    *of = copy_let(lo, "of", ke_index(lo->k, KI_DIV, *of, count));
    return rest;
}

/* a * n + b */
static const KExpr *nested(Lower *lo, const KExpr *a, int64_t n, const KExpr *b)
{
    return ke_add(lo, ke_mul(lo, a, ke_int(lo->k, n)), b);
}

static bool is_fixed(const Dim *d)
{
    int64_t n;
    return dim_is_const(d, &n);
}

/* The place of a line among heads and queries; one past the end is the last. */
static FewRow find_row(Lower *lo, const Few *f, const KExpr *line)
{
    Kernel *k = lo->k;
    const Attention *a = &f->a;
    int64_t group = dim_fixed(a->g);
    const KExpr *most = ke_int(k, f->most_t), *g = ke_index(k, KI_DIV, line, most);
    const KExpr *t = ke_index(k, KI_MOD, line, most);
    if (f->chunks * f->rows > f->lines)
        g = ke_min(lo, g, ke_int(k, group - 1));
    if (!is_fixed(a->t))
        t = ke_min(lo, t, ke_sub(lo, ke_extent(k, a->t), ke_int(k, 1)));
    g = copy_let(lo, "g", g);
    FewRow row = {.g = scope_var(lo, g, a->g), .t = scope_var(lo, copy_let(lo, "t", t), a->t)};
    const KExpr *h = copy_let(lo, "h", nested(lo, lower_index(lo, f->n), group, g));
    row.h = scope_var(lo, h, dim_mul(lo->ir, a->kv, a->g));
    const BlockSpec s = {.att = a, .b = f->b, .h = row.h};
    row.span = tile_row_bounds(lo, &s, row.t);
    return row;
}

/* A phase of blocks, whose shared memory holds what streams have seen of so many rows. */
static KPhase *begin_phase(Lower *lo, Few *f, bool last, const Dim *tasks, int64_t rows)
{
    Kernel *k = lo->k;
    KPhase *phase = kernel_phase(k, last ? "" : "split", tasks,
                                 last ? "queries of a head per block"
                                      : "a split of the keys of a head per block");
    phase->threads = phase->team = THREADS;
    f->parts = kernel_shared(k, "parts", DT_F32, f->streams * rows * f->pitch);
    f->seen = kernel_shared(k, "seen", DT_F32, f->streams * rows * 2);
    ASSERT(phase->shared <= lo->target->l1);
    scope_begin(lo, phase);
    f->thread = copy_let(lo, "thread", ke_text(k, KT_I64, "mdl_thread()", NULL, 0));
    const KExpr *lanes = ke_int(k, f->lanes);
    f->stream = copy_let(lo, "stream", ke_index(k, KI_DIV, f->thread, lanes));
    f->lane = copy_let(lo, "lane", ke_index(k, KI_MOD, f->thread, lanes));
    return phase;
}

static void find_head(Lower *lo, Few *f, const KExpr *of)
{
    const Attention *a = &f->a;
    const KExpr *n = take_off(lo, "n", &of, dim_fixed(a->kv));
    f->n = scope_var(lo, n, a->kv);
    f->b = scope_var(lo, of, a->b);
}

/* ---- vectors of columns ---- */

/* Opens a scope of the lanes that have a vector number v; its first column. */
static const KExpr *open_vector(Lower *lo, const Few *f, int64_t v, const Dim *columns)
{
    Kernel *k = lo->k;
    int64_t w = k->width, n = dim_fixed(columns);
    const KExpr *column = nested(lo, f->lane, w, ke_int(k, v * f->lanes * w));
    if ((v + 1) * f->lanes * w <= round_up(n, w))
        scope_plain(lo);
    else
        scope_if(lo, ke_test(k, "<", column, ke_int(k, n)));
    return copy_let(lo, "column", column);
}

static const Ix *column_index(Lower *lo, const KExpr *column, const Dim *columns)
{
    Kernel *k = lo->k;
    int64_t w = k->width, n = dim_fixed(columns);
    const KExpr *lanes = NULL;
    if (n % w)
        lanes = copy_let(lo, "lanes", ke_min(lo, ke_int(k, w), ke_sub(lo, ke_int(k, n), column)));
    return scope_vector_var(lo, column, columns, lanes);
}

/* An operand of the products, and the index of a row of it: its columns are at `hole`. */
typedef struct FewSide {
    const Node *node;
    const Ix *ix[IR_MAX_RANK];
    uint32_t hole;
    const Dim *columns;
} FewSide;

/* Vector v of this lane; 0 past the last column. */
static const KExpr *read_vector(Lower *lo, const Few *f, FewSide s, const char *stem, int64_t v)
{
    Kernel *k = lo->k;
    const KExpr *x = ks_var(k, lo->scope->block, stem, ke_num(k, KT_VF, 0));
    const KExpr *column = open_vector(lo, f, v, s.columns);
    s.ix[s.hole] = column_index(lo, column, s.columns);
    const KExpr *lanes = lo->var[lo->nvar - 1].lanes;
    const KExpr *value = lower_spread(lo, lower_value(lo, s.node, s.ix));
    value = lower_first_lanes(lo, lanes, value, ke_num(k, KT_VF, 0));
    ks_set(k, lo->scope->block, x, value);
    scope_end(lo);
    return x;
}

/* ---- a step: some keys of each stream ---- */

static void begin_sums(Lower *lo, Few *f)
{
    Kernel *k = lo->k;
    KBlock *block = lo->scope->block;
    int64_t w = k->width;
    f->q = ks_local(k, block, "q", KT_F32, f->rows * f->nd * w);
    f->s = ks_local(k, block, "s", KT_F32, f->rows * f->keys);
    f->top = ks_local(k, block, "top", KT_F32, f->rows);
    f->sum = ks_local(k, block, "sum", KT_F32, f->rows);
    f->out = ks_local(k, block, "o", KT_F32, f->rows * f->ne * w);
    for (int64_t r = 0; r < f->rows; r++) {
        FewSide q = {f->a.dot->in[0], {f->b, f->n, f->row[r].g, f->row[r].t}, 4, f->a.d};
        for (int64_t v = 0; v < f->nd; v++)
            ks_store(k, block, f->q, ke_int(k, (r * f->nd + v) * w),
                     read_vector(lo, f, q, "query", v));
    }
    attend_fill(lo, f->top, f->rows, -HUGE_VAL);
    attend_fill(lo, f->sum, f->rows, 0);
    attend_fill(lo, f->out, f->rows * f->ne * w, 0);
}

static void multiply_key(Lower *lo, const Few *f, int64_t i, const KExpr *const *key)
{
    Kernel *k = lo->k;
    for (int64_t v = 0; v < f->nd; v++) {
        const KExpr *arg[] = {ke_addr(k, f->s, ke_int(k, i * f->rows)),
                              ke_addr(k, f->q, ke_int(k, v * k->width)),
                              key[v],
                              ke_int(k, f->rows),
                              ke_int(k, f->nd * k->width),
                              ke_int(k, v > 0)};
        copy_call(lo, "mdl_few_product(%0, %1, %2, %3, %4, %5)", arg, 6);
    }
}

static void add_values(Lower *lo, const Few *f, int64_t i, const KExpr *const *value)
{
    Kernel *k = lo->k;
    for (int64_t v = 0; v < f->ne; v++) {
        const KExpr *arg[] = {ke_addr(k, f->out, ke_int(k, v * k->width)),
                              ke_addr(k, f->s, ke_int(k, i * f->rows)), value[v],
                              ke_int(k, f->rows), ke_int(k, f->ne * k->width)};
        copy_call(lo, "mdl_few_values(%0, %1, %2, %3, %4)", arg, 5);
    }
}

/* The score in place of the product at `at`, of a key, which may not be there, and a row. */
static void score(Lower *lo, const Few *f, int64_t at, const KExpr *key, const Ix *u)
{
    const FewRow *row = &f->row[at % f->rows];
    Kernel *k = lo->k;
    const Attention *a = &f->a;
    uint32_t given = f->scaled ? a->score->id : a->dot->id;
    const KExpr *place = ke_int(k, at), *inside = ke_test(k, "<", key, f->to);
    scope_plain(lo);
    if (row->span.high != f->to)
        inside = ke_test(k, "&&", inside, ke_test(k, "<", key, row->span.high));
    if (a->mask)
        inside = ke_test(k, "&&", inside, ke_test(k, "<=", row->span.low, key));
    lo->seed[given] = copy_let(lo, "product", ke_load(k, f->s, place));
    lo->seed_scope = lo->scope;
    const Ix *ix[] = {f->b, row->h, row->t, u};
    const KExpr *z = lower_value(lo, row->span.rest ? a->z : a->score, ix);
    lo->seed[given] = NULL;
    lo->seed_scope = NULL;
    const KExpr *arg[] = {inside, z, ke_num(k, KT_F32, -HUGE_VAL)};
    ks_store(k, lo->scope->block, f->s, place,
             ke_text(k, KT_F32, "mdl_select_f32(%0, %1, %2)", arg, 3));
    scope_end(lo);
}

static const KExpr *exponent(Lower *lo, const Few *f)
{
    return ke_num(lo->k, KT_F32, f->unit * LOG2E);
}

static void softmax(Lower *lo, const Few *f)
{
    Kernel *k = lo->k;
    const KExpr *zero = ke_int(k, 0);
    const KExpr *arg[] = {ke_addr(k, f->s, zero),   ke_addr(k, f->top, zero),
                          ke_addr(k, f->sum, zero), ke_addr(k, f->out, zero),
                          exponent(lo, f),          ke_int(k, f->keys),
                          ke_int(k, f->rows),       ke_int(k, f->ne * k->width)};
    copy_call(lo, "mdl_few_softmax(%0, %1, %2, %3, %4, %5, %6, %7)", arg, 8);
}

/* All is read before it is used. */
static void step(Lower *lo, const Few *f, const KExpr *first)
{
    Kernel *k = lo->k;
    const Attention *a = &f->a;
    const KExpr *at[MAX_KEYS], *key[MAX_KEYS][MAX_VECTORS], *value[MAX_KEYS][MAX_VECTORS];
    const Ix *u[MAX_KEYS];
    first = copy_let(lo, "first", ke_add(lo, first, f->stream));
    for (int64_t i = 0; i < f->keys; i++) {
        at[i] = copy_let(lo, "key", ke_add(lo, first, ke_int(k, i * f->streams)));
        const KExpr *last = ke_sub(lo, f->to, ke_int(k, 1));
        u[i] = scope_var(lo, copy_let(lo, "u", ke_min(lo, at[i], last)), a->s);
        FewSide keys = {a->dot->in[1], {f->b, f->n, u[i]}, 3, a->d};
        for (int64_t v = 0; v < f->nd; v++)
            key[i][v] = read_vector(lo, f, keys, "k", v);
        FewSide values = {a->out->in[1], {f->b, f->n, NULL, u[i]}, 2, a->e};
        for (int64_t v = 0; v < f->ne; v++)
            value[i][v] = read_vector(lo, f, values, "v", v);
    }
    for (int64_t i = 0; i < f->keys; i++)
        multiply_key(lo, f, i, key[i]);
    const KExpr *sums[] = {ke_addr(k, f->s, ke_int(k, 0)), ke_int(k, f->keys * f->rows),
                           ke_int(k, f->lanes)};
    copy_call(lo, "mdl_few_sums(%0, %1, %2)", sums, 3);
    for (int64_t i = 0; i < f->keys; i++)
        for (int64_t r = 0; r < f->rows; r++)
            score(lo, f, i * f->rows + r, at[i], u[i]);
    softmax(lo, f);
    for (int64_t i = 0; i < f->keys; i++)
        add_values(lo, f, i, value[i]);
}

/* ---- what was seen ---- */

/* The first lane of a stream leaves what it has seen of a row. */
static void leave_seen(Lower *lo, const Few *f, const KExpr *row, const KExpr *top,
                       const KExpr *sum)
{
    Kernel *k = lo->k;
    scope_if(lo, ke_test(k, "==", f->lane, ke_int(k, 0)));
    const KExpr *at = ke_mul(lo, row, ke_int(k, 2));
    ks_store(k, lo->scope->block, f->seen, at, top);
    ks_store(k, lo->scope->block, f->seen, ke_add(lo, at, ke_int(k, 1)), sum);
    scope_end(lo);
}

/* {top, sum} and W outputs, joined of n that are so far apart. */
typedef struct FewJoin {
    uint32_t seen, parts;
    const KExpr *entry, *column; /* of the first */
    const KExpr *n;
    int64_t apart; /* entries */
} FewJoin;

static const KExpr *join(Lower *lo, const Few *f, const FewJoin *j, const KExpr **top,
                         const KExpr **sum)
{
    Kernel *k = lo->k;
    uint32_t all = ks_local(k, lo->scope->block, "all", KT_F32, 2);
    const KExpr *part = nested(lo, j->entry, f->pitch, j->column);
    const KExpr *arg[] = {ke_addr(k, j->seen, ke_mul(lo, j->entry, ke_int(k, 2))),
                          ke_int(k, j->apart * 2),
                          ke_addr(k, j->parts, part),
                          ke_int(k, j->apart * f->pitch),
                          j->n,
                          exponent(lo, f),
                          ke_addr(k, all, ke_int(k, 0))};
    const KExpr *x = ke_text(k, KT_VF, "mdl_few_join(%0, %1, %2, %3, %4, %5, %6)", arg, 7);
    x = copy_let(lo, "joined", x);
    *top = copy_let(lo, "top", ke_load(k, all, ke_int(k, 0)));
    *sum = copy_let(lo, "sum", ke_load(k, all, ke_int(k, 1)));
    return x;
}

/* ---- results ---- */

static void store_lse(Lower *lo, const Few *f, const FewRow *row, const KExpr *top,
                      const KExpr *sum)
{
    Kernel *k = lo->k;
    const Attention *a = &f->a;
    const Ix *ix[] = {f->b, row->h, row->t};
    top = ke_apply(lo, KT_F32, "(%0 * %1)", top, ke_num(k, KT_F32, f->unit));
    lo->seed[a->top->id] = copy_let(lo, "top", top);
    lo->seed[a->sum->id] = sum;
    lo->seed_scope = lo->scope;
    lower_store(lo, a->lse_at, ix, lower_value(lo, a->lse, ix));
    lo->seed[a->top->id] = lo->seed[a->sum->id] = NULL;
    lo->seed_scope = NULL;
}

/* What all have seen of a row that exists, and W of its outputs: the results. */
static void store_row(Lower *lo, const Few *f, const FewRow *row, const FewJoin *j)
{
    Kernel *k = lo->k;
    const Attention *a = &f->a;
    const KExpr *top, *sum, *x = join(lo, f, j, &top, &sum);
    x = ke_apply(lo, KT_VF, "(%0 * mdl_set1_vf(1 / mdl_larger_fast(%1, 1.0f)))", x, sum);
    const Ix *ix[] = {f->b, row->t, row->h, column_index(lo, j->column, a->e)};
    lo->seed[a->out->id] = copy_let(lo, "o", x);
    lo->seed_scope = lo->scope;
    lower_store(lo, a->y_at, ix, lower_value(lo, a->y, ix));
    lo->seed[a->out->id] = NULL;
    lo->seed_scope = NULL;
    if (!a->lse)
        return;
    scope_if(lo, ke_test(k, "==", j->column, ke_int(k, 0)));
    store_lse(lo, f, row, top, sum);
    scope_end(lo);
}

/* The block's part of a row, for the second phase. */
static void store_part(Lower *lo, const Few *f, const KExpr *entry, const FewJoin *j)
{
    Kernel *k = lo->k;
    const KExpr *top, *sum, *x = join(lo, f, j, &top, &sum);
    ks_store(k, lo->scope->block, f->split_parts, nested(lo, entry, f->pitch, j->column), x)
        ->aligned = true;
    scope_if(lo, ke_test(k, "==", j->column, ke_int(k, 0)));
    const KExpr *at = ke_mul(lo, entry, ke_int(k, 2));
    ks_store(k, lo->scope->block, f->split_seen, at, top);
    ks_store(k, lo->scope->block, f->split_seen, ke_add(lo, at, ke_int(k, 1)), sum);
    scope_end(lo);
}

/* ---- a split of the keys ---- */

static void leave_streams(Lower *lo, const Few *f)
{
    Kernel *k = lo->k;
    for (int64_t r = 0; r < f->rows; r++) {
        const KExpr *row = copy_let(lo, "row", nested(lo, f->stream, f->rows, ke_int(k, r)));
        for (int64_t v = 0; v < f->ne; v++) {
            const KExpr *from = ke_int(k, (r * f->ne + v) * k->width);
            const KExpr *column = open_vector(lo, f, v, f->a.e);
            ks_store(k, lo->scope->block, f->parts, nested(lo, row, f->pitch, column),
                     ke_vload(k, f->out, from, NULL))
                ->aligned = true;
            scope_end(lo);
        }
        leave_seen(lo, f, row, ke_load(k, f->top, ke_int(k, r)), ke_load(k, f->sum, ke_int(k, r)));
    }
}

static void join_streams(Lower *lo, Few *f)
{
    Kernel *k = lo->k;
    int64_t per = f->pitch / k->width;
    const ShareSpec share = {f->thread, THREADS, f->rows * per, true};
    const KExpr *row, *column;
    share_open_rows(lo, &share, per, &row, &column);
    column = copy_let(lo, "j", ke_mul(lo, column, ke_int(k, k->width)));
    const KExpr *line = copy_let(lo, "line", nested(lo, f->chunk, f->rows, row));
    const KExpr *most = ke_int(k, f->most_t), *exists = ke_num(k, KT_BOOL, 1);
    if (f->chunks * f->rows > f->lines)
        exists = ke_test(k, "<", line, ke_int(k, f->lines));
    if (!is_fixed(f->a.t)) {
        const KExpr *t = ke_index(k, KI_MOD, line, most);
        exists = ke_test(k, "&&", exists, ke_test(k, "<", t, ke_extent(k, f->a.t)));
    }
    scope_if(lo, exists);
    const FewJoin j = {f->seen, f->parts, row, column, ke_int(k, f->streams), f->rows};
    if (f->splits > 1) {
        const KExpr *entry = nested(lo, f->number, f->lines, line);
        entry = copy_let(lo, "entry", nested(lo, entry, f->splits, f->split_number));
        store_part(lo, f, entry, &j);
    } else {
        FewRow of = find_row(lo, f, line);
        store_row(lo, f, &of, &j);
    }
    scope_end(lo);
    share_close(lo);
}

/* The keys of the block that some row sees. */
static void find_keys(Lower *lo, Few *f)
{
    Kernel *k = lo->k;
    const KExpr *low = f->row[0].span.low, *high = f->row[0].span.high;
    for (int64_t r = 1; r < f->rows && f->a.mask; r++) {
        low = ke_min(lo, low, f->row[r].span.low);
        high = ke_index(k, KI_MAX, high, f->row[r].span.high);
    }
    const KExpr *first = ke_mul(lo, f->split_number, ke_int(k, f->split));
    f->from = copy_let(lo, "from", ke_index(k, KI_MAX, low, first));
    f->to = copy_let(lo, "to", ke_min(lo, high, ke_add(lo, first, ke_int(k, f->split))));
}

static void split_block(Lower *lo, Few *f)
{
    Kernel *k = lo->k;
    for (int64_t r = 0; r < f->rows; r++)
        f->row[r] =
            find_row(lo, f, copy_let(lo, "line", nested(lo, f->chunk, f->rows, ke_int(k, r))));
    find_keys(lo, f);
    if (f->splits > 1)
        scope_if(lo, ke_test(k, "<", f->from, f->to));
    else
        scope_plain(lo);
    begin_sums(lo, f);
    scope_loop(lo, &(LoopSpec){.stem = "u0",
                               .lo = f->from,
                               .hi = f->to,
                               .extent = f->a.s,
                               .step = f->streams * f->keys,
                               .rolled = true});
    step(lo, f, lo->var[lo->nvar - 1].at);
    scope_end(lo);
    leave_streams(lo, f);
    copy_call(lo, "mdl_syncthreads()", NULL, 0);
    join_streams(lo, f);
    scope_end(lo);
}

static void open_some_queries(Lower *lo, const Few *f)
{
    Kernel *k = lo->k;
    if (is_fixed(f->a.t))
        scope_plain(lo);
    else
        scope_if(lo, ke_test(k, "<", ke_int(k, 0), ke_extent(k, f->a.t)));
}

static void split_phase(Lower *lo, Few *f)
{
    int64_t kv = dim_fixed(f->a.kv);
    const Dim *tasks = dim_mul(lo->ir, f->a.b, dim_const(lo->ir, kv * f->chunks * f->splits));
    begin_phase(lo, f, f->splits == 1, tasks, f->rows);
    const KExpr *of = lower_task(lo);
    f->split_number = take_off(lo, "split", &of, f->splits);
    f->chunk = take_off(lo, "chunk", &of, f->chunks);
    f->number = of;
    find_head(lo, f, of);
    open_some_queries(lo, f);
    split_block(lo, f);
    scope_end(lo);
}

/* ---- splits joined ---- */

/* A stream has every so manieth split that the row sees. */
static void join_splits(Lower *lo, Few *f, const FewRow *row, const KExpr *entry)
{
    Kernel *k = lo->k;
    const KExpr *split = ke_int(k, f->split), *streams = ke_int(k, f->streams);
    const KExpr *low = row->span.low, *high = row->span.high;
    const KExpr *first = copy_let(lo, "first", ke_index(k, KI_DIV, low, split));
    const KExpr *end = ke_index(k, KI_DIV, ke_add(lo, high, ke_int(k, f->split - 1)), split);
    const KExpr *arg[] = {ke_test(k, "<", low, high), ke_sub(lo, end, first)};
    const KExpr *n = copy_let(lo, "n", ke_text(k, KT_I64, "(%0 ? %1 : 0)", arg, 2));
    const KExpr *mine = ke_add(lo, ke_sub(lo, n, f->stream), ke_int(k, f->streams - 1));
    mine = copy_let(lo, "mine", ke_index(k, KI_DIV, mine, streams));
    entry = copy_let(lo, "entry", ke_add(lo, ke_add(lo, entry, first), f->stream));
    for (int64_t v = 0; v < f->ne; v++) {
        const KExpr *column = open_vector(lo, f, v, f->a.e), *top, *sum;
        const FewJoin j = {f->split_seen, f->split_parts, entry, column, mine, f->streams};
        const KExpr *x = join(lo, f, &j, &top, &sum);
        ks_store(k, lo->scope->block, f->parts, nested(lo, f->stream, f->pitch, column), x)
            ->aligned = true;
        if (v == 0)
            leave_seen(lo, f, f->stream, top, sum);
        scope_end(lo);
    }
}

static void join_phase(Lower *lo, Few *f)
{
    Kernel *k = lo->k;
    const Attention *a = &f->a;
    int64_t per = f->pitch / k->width;
    const Dim *tasks = dim_mul(lo->ir, a->b, dim_const(lo->ir, dim_fixed(a->kv) * f->lines));
    begin_phase(lo, f, true, tasks, 1);
    const KExpr *of = lower_task(lo), *task = of;
    const KExpr *line = take_off(lo, "line", &of, f->lines);
    find_head(lo, f, of);
    const KExpr *t = ke_index(k, KI_MOD, line, ke_int(k, f->most_t));
    scope_if(lo, is_fixed(a->t) ? ke_num(k, KT_BOOL, 1) : ke_test(k, "<", t, ke_extent(k, a->t)));
    FewRow row = find_row(lo, f, line);
    join_splits(lo, f, &row, ke_mul(lo, task, ke_int(k, f->splits)));
    copy_call(lo, "mdl_syncthreads()", NULL, 0);
    const ShareSpec share = {f->thread, THREADS, per, true};
    const KExpr *column = ke_mul(lo, share_open(lo, &share), ke_int(k, k->width));
    column = copy_let(lo, "j", column);
    const FewJoin j = {f->seen, f->parts, ke_int(k, 0), column, ke_int(k, f->streams), 1};
    store_row(lo, f, &row, &j);
    share_close(lo);
    scope_end(lo);
}

void gpu_attention_few(Lower *lo)
{
    Few f = {0};
    describe(lo, &f);
    if (f.splits > 1) {
        const Dim *n =
            dim_mul(lo->ir, f.a.b, dim_const(lo->ir, dim_fixed(f.a.kv) * f.lines * f.splits));
        f.split_seen =
            kernel_workspace(lo->k, "split_seen", DT_F32, dim_mul(lo->ir, n, dim_const(lo->ir, 2)));
        f.split_parts = kernel_workspace(lo->k, "split_parts", DT_F32,
                                         dim_mul(lo->ir, n, dim_const(lo->ir, f.pitch)));
    }
    split_phase(lo, &f);
    if (f.splits > 1)
        join_phase(lo, &f);
}
