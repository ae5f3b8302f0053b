/* rowrun.c: evaluates rowops.def over blocks of rows.
 *
 * The code is interpreted once per block, not once per row: a value on the stack is an array of
 * f64 of (rows of the block) x (elements of a row), so that each operation is one plain loop that
 * the compiler vectorises and the cost of dispatch is spread over a cache-sized block. Everything
 * is computed in f64 and rounded once, when the field is stored. */
#include "rowcode.h"

enum { POOL_CHUNK = 1 << 16 };

/* Texts of one block that are not in the file as they are. Chunks stay and are used again. */
typedef struct PoolChunk {
    struct PoolChunk *next;
    size_t n, cap;
    char at[];
} PoolChunk;

struct RowWork {
    RowValue *stack;
    PoolChunk *pool; /* malloc'ed; the first has room */
};

/* One run over a block; v[0] is the first operand and becomes the result. */
typedef struct Run {
    const RowProg *prog;
    RowWork *work;
    RowBlock block;
    Err *err;
} Run;

typedef bool RunFn(Run *run, const RowInsn *insn, RowValue *v);

/* ---- texts ---- */

static void pool_reset(RowWork *work)
{
    for (PoolChunk *c = work->pool; c; c = c->next)
        c->n = 0;
}

/* NULL after ERR_DEVICE. */
static char *pool_take(Run *run, size_t n)
{
    PoolChunk *c = run->work->pool;
    while (c && c->cap - c->n < n)
        c = c->next;
    if (!c) {
        size_t cap = n > POOL_CHUNK ? n : POOL_CHUNK;
        c = n < SIZE_MAX / 2 ? malloc(sizeof *c + cap) : NULL;
        if (!c) {
            err_set(run->err, ERR_DEVICE, "not enough memory for a text of %zu bytes", n);
            return NULL;
        }
        *c = (PoolChunk){.next = run->work->pool, .cap = cap};
        run->work->pool = c;
    }
    c->n += n;
    return c->at + c->n - n;
}

static bool run_text(Run *run, const RowInsn *insn, RowValue *v)
{
    const Source *s = run->prog->source;
    v->uniform = false;
    for (int64_t r = 0; r < run->block.n; r++) {
        const Cell *cell = &run->block.cells[r * s->data->ncolumn + insn->a];
        v->text[r] = (RowText){cell->at, cell->n};
        if (cell->plain)
            continue;
        char *copy = pool_take(run, cell->n);
        if (!copy)
            return false;
        v->text[r] = (RowText){copy, s->kind->text(cell, copy)};
    }
    return true;
}

static bool run_string(Run *run, const RowInsn *insn, RowValue *v)
{
    const char *text = plan_text(run->prog->source->plan, insn->a);
    for (int64_t r = 0; r < run->block.n; r++)
        v->text[r] = (RowText){text, strlen(text)};
    v->uniform = false;
    return true;
}

static bool run_same(Run *run, const RowInsn *insn, RowValue *v)
{
    UNUSED(insn);
    const RowText *a = v[0].text, *b = v[1].text;
    for (int64_t r = 0; r < run->block.n; r++)
        v->at[r] = a[r].n == b[r].n && memcmp(a[r].at, b[r].at, a[r].n) == 0;
    v->count = 1;
    v->uniform = false;
    return true;
}

static bool run_concat(Run *run, const RowInsn *insn, RowValue *v)
{
    UNUSED(insn);
    for (int64_t r = 0; r < run->block.n; r++) {
        RowText a = v[0].text[r], b = v[1].text[r];
        char *both = pool_take(run, a.n + b.n);
        if (!both)
            return false;
        memcpy(both, a.at, a.n);
        memcpy(both + a.n, b.at, b.n);
        v->text[r] = (RowText){both, a.n + b.n};
    }
    return true;
}

static bool run_pick(Run *run, const RowInsn *insn, RowValue *v)
{
    UNUSED(insn);
    for (int64_t r = 0; r < run->block.n; r++)
        v[0].text[r] = v[0].at[v[0].uniform ? 0 : r] != 0 ? v[1].text[r] : v[2].text[r];
    v[0].uniform = false;
    return true;
}

/* ---- numbers ---- */

static bool run_column(Run *run, const RowInsn *insn, RowValue *v)
{
    const Source *s = run->prog->source;
    const SourceColumn *column = &s->columns[insn->a];
    const RowBlock *block = &run->block;
    v->count = insn->count;
    v->uniform = false;
    for (int64_t r = 0; r < block->n; r++) {
        double *out = v->at + r * insn->count;
        if (column->dense) {
            column->load(out, column->dense + (size_t)block->rows[r] * column->stride, insn->count);
        } else if (!s->kind->numbers(column, &block->cells[r * s->data->ncolumn + insn->a], out,
                                     run->err)) {
            err_context(run->err, "column `%s`", column->name);
            return source_at_row(s, block->rows[r], run->err);
        }
    }
    return true;
}

static bool run_number(Run *run, const RowInsn *insn, RowValue *v)
{
    UNUSED(run);
    v->at[0] = insn->num;
    v->count = 1;
    v->uniform = true;
    return true;
}

/* In place: a row's elements move towards the front, rows in rising order. */
static bool run_index(Run *run, const RowInsn *insn, RowValue *v)
{
    for (int64_t r = 0; r < run->block.n; r++)
        memmove(v->at + r * insn->count, v->at + r * insn->from + insn->a * insn->count,
                sizeof(double) * (size_t)insn->count);
    v->count = insn->count;
    return true;
}

static bool run_unary(Run *run, const RowInsn *insn, RowValue *v)
{
    row_units[insn->op](v->at, v->uniform ? 1 : run->block.n * v->count);
    return true;
}

/* The result stands in the free value behind the operands, which then trades places with the first: in
 * a loop the output never overlaps the inputs. */
static void take_result(RowValue *v, uint32_t operands)
{
    RowValue first = v[0];
    v[0] = v[operands];
    v[operands] = first;
}

/* A row of more elements with one of fewer, which repeats. */
static void run_mixed(const RowPair *fns, int64_t rows, RowValue *v)
{
    const RowValue *a = &v[0], *b = &v[1];
    RowValue *out = &v[2];
    bool wide = a->count > b->count;
    int64_t low = wide ? b->count : a->count;
    RowPairFn *fn = low > 1 ? fns->vv : wide ? fns->vs : fns->sv;
    int64_t step = low > 1 ? low : out->count;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < out->count; i += step)
            fn(out->at + r * out->count + i, a->at + r * a->count + (wide ? i : 0),
               b->at + r * b->count + (wide ? 0 : i), step);
}

static bool run_pair(Run *run, const RowInsn *insn, RowValue *v)
{
    const RowPair *fns = &row_pairs[insn->op];
    const RowValue *a = &v[0], *b = &v[1];
    RowValue *out = &v[2];
    out->uniform = a->uniform && b->uniform;
    out->count = a->count > b->count ? a->count : b->count;
    if (out->uniform)
        fns->vv(out->at, a->at, b->at, 1);
    else if (b->uniform)
        fns->vs(out->at, a->at, b->at, run->block.n * a->count);
    else if (a->uniform)
        fns->sv(out->at, a->at, b->at, run->block.n * b->count);
    else if (a->count == b->count)
        fns->vv(out->at, a->at, b->at, run->block.n * a->count);
    else
        run_mixed(fns, run->block.n, v);
    take_result(v, 2);
    return true;
}

/* Element i of a row of `count` of the result. */
static double repeated(const RowValue *v, int64_t r, int64_t i)
{
    return v->at[v->uniform ? 0 : r * v->count + i % v->count];
}

static bool run_select(Run *run, const RowInsn *insn, RowValue *v)
{
    RowValue *out = &v[3];
    out->count = insn->count;
    out->uniform = false;
    for (int64_t r = 0; r < run->block.n; r++)
        for (int64_t i = 0; i < out->count; i++)
            out->at[r * out->count + i] =
                repeated(&v[0], r, i) != 0 ? repeated(&v[1], r, i) : repeated(&v[2], r, i);
    take_result(v, 3);
    return true;
}

static bool run_join(Run *run, const RowInsn *insn, RowValue *v)
{
    RowValue *out = &v[2];
    out->count = insn->count;
    out->uniform = false;
    for (int64_t r = 0; r < run->block.n; r++)
        for (int64_t i = 0; i < out->count; i++)
            out->at[r * out->count + i] =
                i < insn->from ? repeated(&v[0], r, i) : repeated(&v[1], r, i - insn->from);
    take_result(v, 2);
    return true;
}

static RunFn *const runs[RO_COUNT] = {
#define ROWOP(id, name, pops, doc)
#define ROWUNARY(id, name, expr, doc) [RO_##id] = run_unary,
#define ROWPAIR(id, name, expr, doc)  [RO_##id] = run_pair,
#include "rowops.def"
#undef ROWOP
    [RO_COLUMN] = run_column, [RO_NUMBER] = run_number, [RO_INDEX] = run_index,
    [RO_JOIN] = run_join,     [RO_SELECT] = run_select, [RO_TEXT] = run_text,
    [RO_STRING] = run_string, [RO_SAME] = run_same,     [RO_CONCAT] = run_concat,
    [RO_PICK] = run_pick,
};

/* ---- a whole field ---- */

RowWork *rowwork_new(Arena *arena, const RowProg *prog)
{
    RowWork *work = NEW(arena, RowWork);
    if (prog->copies || prog->table)
        return work;
    uint32_t depth = 1, most = 0;
    for (uint32_t i = 0; i < prog->ncode; i++) {
        depth += 1u - row_pops[prog->code[i].op];
        most = depth > most ? depth : most;
    }
    most += 2; /* the free value of take_result, and the operand it stands behind */
    work->stack = NEW_ARRAY(arena, RowValue, most);
    for (uint32_t i = 0; i < most; i++) {
        work->stack[i].at = NEW_ARRAY(arena, double, prog->block * prog->widest + 1);
        if (prog->texts)
            work->stack[i].text = NEW_ARRAY(arena, RowText, prog->block);
    }
    return work;
}

void rowwork_free(RowWork *work)
{
    while (work && work->pool) {
        PoolChunk *next = work->pool->next;
        free(work->pool);
        work->pool = next;
    }
}

static void copy_rows(const RowProg *prog, const RowBlock *block, uint8_t *out)
{
    const SourceColumn *column = &prog->source->columns[prog->code[0].a];
    size_t bytes = rowprog_bytes(prog);
    for (int64_t r = 0; r < block->n; r++)
        memcpy(out + (size_t)r * bytes, column->dense + (size_t)block->rows[r] * column->stride,
               bytes);
}

static void look_up_rows(const RowProg *prog, const RowBlock *block, float *restrict out)
{
    const SourceColumn *column = &prog->source->columns[prog->code[0].a];
    const float *table = prog->table;
    for (int64_t r = 0; r < block->n; r++, out += prog->count) {
        const uint8_t *row = column->dense + (size_t)block->rows[r] * column->stride;
        for (int64_t i = 0; i < prog->count; i++)
            out[i] = table[row[i]];
    }
}

static const RowValue *run_block(Run *run)
{
    uint32_t top = 0;
    pool_reset(run->work);
    for (uint32_t i = 0; i < run->prog->ncode; i++) {
        const RowInsn *insn = &run->prog->code[i];
        top -= row_pops[insn->op];
        if (!runs[insn->op](run, insn, &run->work->stack[top]))
            return NULL;
        top++;
    }
    return &run->work->stack[0];
}

/* A number that is the same for all rows, as rows. */
static void spread(const RowValue *value, int64_t n)
{
    for (int64_t i = 1; value->uniform && i < n; i++)
        value->at[i] = value->at[0];
}

static bool store(const Run *run, const RowValue *value, void *out)
{
    const RowProg *prog = run->prog;
    DType dtype = (DType)prog->field->dtype;
    int64_t want = run->block.n * prog->count;
    spread(value, want);
    int64_t done = row_store(dtype, out, value->at, want);
    if (done == want)
        return true;
    err_set(run->err, ERR_DATA, "the value %g does not fit type %s", value->at[done],
            dtype_info(dtype)->name);
    return source_at_row(prog->source, run->block.rows[done / prog->count], run->err);
}

/* The rows of a block from `first` on, as many as are computed at a time. */
static Run run_from(const RowProg *prog, RowWork *work, const RowBlock *block, int64_t first,
                    Err *err)
{
    int64_t n = block->n - first < prog->block ? block->n - first : prog->block;
    const Cell *cells = block->cells ? block->cells + first * prog->source->data->ncolumn : NULL;
    return (Run){prog, work, {block->rows + first, n, cells}, err};
}

bool rowprog_run(const RowProg *prog, RowWork *work, const RowBlock *block, void *out, Err *err)
{
    uint8_t *to = out;
    if (prog->copies || prog->table) {
        if (prog->copies)
            copy_rows(prog, block, to);
        else
            look_up_rows(prog, block, out);
        return true;
    }
    size_t bytes = rowprog_bytes(prog);
    for (int64_t r = 0; r < block->n; r += prog->block) {
        Run run = run_from(prog, work, block, r, err);
        const RowValue *value = run_block(&run);
        if (!value || !store(&run, value, to + (size_t)r * bytes))
            return err_context(err, "field `%s`", prog->name);
    }
    return true;
}

bool rowprog_texts(const RowProg *prog, RowWork *work, const RowBlock *block,
                   const RowTextTaker *to, Err *err)
{
    for (int64_t r = 0; r < block->n; r += prog->block) {
        Run run = run_from(prog, work, block, r, err);
        const RowValue *value = run_block(&run);
        if (!value)
            return err_context(err, "field `%s`", prog->name);
        for (int64_t i = 0; i < run.block.n; i++)
            if (!to->take(to->user, r + i, value->text[i], err)) {
                err_context(err, "field `%s`", prog->name);
                return source_at_row(prog->source, block->rows[r + i], err);
            }
    }
    return true;
}
