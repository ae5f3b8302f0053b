/* rowprog.c: evaluates rowops.def over blocks of rows.
 *
 * The code is interpreted once per block, not once per row: a value on the stack is an array of
 * f64 of (rows of the block) x (elements of a row), so that each operation is one plain loop that
 * the compiler vectorises and the cost of dispatch is spread over a cache-sized block. Everything
 * is computed in f64 and rounded once, when the field is stored. Two kinds of fields take shortcuts
 * to the same bits: one that is just a column of its own type is copied, and an f32 field that maps
 * each element of one 8-bit column by itself (pixels / 255) is read from a table of 256 results. */
#include "rowprog.h"
#include "rowloops.h"

enum { BLOCK_ELEMS = 4096 };

/* A value: `count` elements a row; `uniform`: one number for all rows. */
typedef struct Value {
    double *at;
    int64_t count;
    bool uniform;
} Value;

typedef struct Shape {
    uint32_t rank;
    int64_t dim[PLAN_MAX_RANK];
} Shape;

/* One instruction with its operation looked up and its shapes known. */
typedef struct Insn {
    uint32_t op, a;
    double num;
    int64_t count; /* elements a row of the result */
    int64_t from;  /* INDEX: elements a row of the operand */
} Insn;

struct RowProg {
    const RowSource *source;
    const PlanField *field;
    const char *name;
    Insn *code;
    uint32_t ncode;
    int64_t count; /* elements of one row of the field */
    int64_t block; /* rows evaluated at once */
    Value *stack;
    bool copies;  /* the field is column code[0].a as it is */
    float *table; /* results by the byte of column code[0].a; NULL: no shortcut */
};

/* ---- shapes, when the data are opened ---- */

static bool fail_field(const RowProg *prog, Err *err)
{
    return err_context(err, "field `%s`", prog->name);
}

static void put_shape(StrBuf *sb, const Shape *s)
{
    sb_putc(sb, '[');
    for (uint32_t i = 0; i < s->rank; i++)
        sb_printf(sb, "%s%lld", i ? ", " : "", (long long)s->dim[i]);
    sb_putc(sb, ']');
}

/* Saturates: the extents of a plan file may be anything. */
static int64_t shape_count(const Shape *s)
{
    int64_t count = 1;
    for (uint32_t i = 0; i < s->rank; i++)
        if (__builtin_mul_overflow(count, s->dim[i], &count))
            return INT64_MAX;
    return count;
}

static bool shape_equal(const Shape *a, const Shape *b)
{
    return a->rank == b->rank && memcmp(a->dim, b->dim, sizeof *a->dim * a->rank) == 0;
}

static bool fail_shapes(const char *what, const Shape *a, const Shape *b, Err *err)
{
    Arena *arena = arena_new();
    StrBuf sb = sb_new(arena);
    put_shape(&sb, a);
    sb_puts(&sb, " and ");
    put_shape(&sb, b);
    err_set(err, ERR_DATA, "%s %s", what, sb_text(&sb));
    arena_free(arena);
    return false;
}

typedef bool CheckFn(const RowProg *prog, const Insn *insn, Shape *operands, Err *err);

static bool check_column(const RowProg *prog, const Insn *insn, Shape *operands, Err *err)
{
    if (insn->a >= prog->source->data->ncolumn)
        return err_set(err, ERR_DATA, "no column %u in the data", insn->a);
    const HostArray *column = &prog->source->columns[insn->a];
    ASSERT(column->rank >= 1);
    operands[0] = (Shape){.rank = column->rank - 1};
    memcpy(operands[0].dim, column->dim + 1, sizeof *column->dim * operands[0].rank);
    return true;
}

static bool check_number(const RowProg *prog, const Insn *insn, Shape *operands, Err *err)
{
    UNUSED(prog), UNUSED(insn), UNUSED(err);
    operands[0] = (Shape){0};
    return true;
}

static bool check_index(const RowProg *prog, const Insn *insn, Shape *operands, Err *err)
{
    UNUSED(prog);
    Shape *s = &operands[0];
    if (s->rank == 0)
        return err_set(err, ERR_DATA, "element %u of a single number", insn->a);
    if (insn->a >= s->dim[0])
        return err_set(err, ERR_DATA, "element %u of an axis of %lld", insn->a,
                       (long long)s->dim[0]);
    s->rank--;
    memmove(s->dim, s->dim + 1, sizeof *s->dim * s->rank);
    return true;
}

static bool check_pair(const RowProg *prog, const Insn *insn, Shape *operands, Err *err)
{
    UNUSED(prog), UNUSED(insn);
    if (operands[0].rank == 0)
        operands[0] = operands[1];
    else if (operands[1].rank != 0 && !shape_equal(&operands[0], &operands[1]))
        return fail_shapes("operands of different shapes", &operands[0], &operands[1], err);
    return true;
}

static bool check_same(const RowProg *prog, const Insn *insn, Shape *operands, Err *err)
{
    UNUSED(prog), UNUSED(insn), UNUSED(operands), UNUSED(err);
    return true;
}

/* ---- the operations, when rows are made; v[0] is the first operand and becomes the result ---- */

typedef struct RowBlock {
    const int64_t *rows;
    int64_t n;
} RowBlock;

typedef void RunFn(const RowProg *prog, const Insn *insn, const RowBlock *block, Value *v);

static void run_column(const RowProg *prog, const Insn *insn, const RowBlock *block, Value *v)
{
    const HostArray *column = &prog->source->columns[insn->a];
    RowLoadFn *load = row_loaders[column->dtype];
    size_t bytes = (size_t)insn->count * dtype_info(column->dtype)->bytes;
    v->count = insn->count;
    v->uniform = false;
    for (int64_t r = 0; r < block->n; r++)
        load(v->at + r * insn->count,
             (const uint8_t *)column->data + (size_t)block->rows[r] * bytes, insn->count);
}

static void run_number(const RowProg *prog, const Insn *insn, const RowBlock *block, Value *v)
{
    UNUSED(prog), UNUSED(block);
    v->at[0] = insn->num;
    v->count = 1;
    v->uniform = true;
}

/* In place: a row's elements move towards the front, rows in rising order. */
static void run_index(const RowProg *prog, const Insn *insn, const RowBlock *block, Value *v)
{
    UNUSED(prog);
    for (int64_t r = 0; r < block->n; r++)
        memmove(v->at + r * insn->count, v->at + r * insn->from + insn->a * insn->count,
                sizeof(double) * (size_t)insn->count);
    v->count = insn->count;
}

static void run_neg(const RowProg *prog, const Insn *insn, const RowBlock *block, Value *v)
{
    UNUSED(prog), UNUSED(insn);
    int64_t n = v->uniform ? 1 : block->n * v->count;
    for (int64_t i = 0; i < n; i++)
        v->at[i] = -v->at[i];
}

/* The result goes to the free value behind the operands, which then trades places with the first:
 * in a loop the output never overlaps the inputs. */
static void run_pair(const RowPair *fns, const RowBlock *block, Value *v)
{
    const Value *a = &v[0], *b = &v[1];
    Value *out = &v[2];
    out->uniform = a->uniform && b->uniform;
    out->count = a->count > b->count ? a->count : b->count;
    if (out->uniform)
        fns->vv(out->at, a->at, b->at, 1);
    else if (b->uniform)
        fns->vs(out->at, a->at, b->at, block->n * a->count);
    else if (a->uniform)
        fns->sv(out->at, a->at, b->at, block->n * b->count);
    else if (a->count == b->count)
        fns->vv(out->at, a->at, b->at, block->n * a->count);
    else /* a number per row with an array per row */
        for (int64_t r = 0; r < block->n; r++)
            (a->count > b->count ? fns->vs : fns->sv)(
                out->at + r * out->count, a->at + r * a->count, b->at + r * b->count, out->count);
    Value first = v[0];
    v[0] = v[2];
    v[2] = first;
}

#define RUN_PAIR(id, name)                                                                         \
    static void run_##name(const RowProg *prog, const Insn *insn, const RowBlock *block, Value *v) \
    {                                                                                              \
        UNUSED(prog), UNUSED(insn);                                                                \
        run_pair(&row_pairs[ROW_##id], block, v);                                                  \
    }
RUN_PAIR(ADD, add)
RUN_PAIR(SUB, sub)
RUN_PAIR(MUL, mul)
RUN_PAIR(DIV, div)

/* ---- the table: one row per operation ---- */

static const char *const op_names[RO_COUNT] = {
#define ROWOP(id, name, pops, doc) [RO_##id] = name,
#include "rowops.def"
#undef ROWOP
};

static const uint8_t op_pops[RO_COUNT] = {
#define ROWOP(id, name, pops, doc) [RO_##id] = pops,
#include "rowops.def"
#undef ROWOP
};

static const struct {
    CheckFn *check;
    RunFn *run;
} ops[] = {
    [RO_COLUMN] = {check_column, run_column}, [RO_NUMBER] = {check_number, run_number},
    [RO_INDEX] = {check_index, run_index},    [RO_ADD] = {check_pair, run_add},
    [RO_SUB] = {check_pair, run_sub},         [RO_MUL] = {check_pair, run_mul},
    [RO_DIV] = {check_pair, run_div},         [RO_NEG] = {check_same, run_neg},
};
_Static_assert(COUNT(ops) == RO_COUNT, "every row of rowops.def has its functions");

/* ---- making a program ---- */

typedef struct ShapeStack {
    Shape at[PLAN_ROW_STACK];
    uint32_t n;
} ShapeStack;

static bool check_insn(const RowProg *prog, Insn *insn, ShapeStack *stack, Err *err)
{
    if (insn->op >= RO_COUNT)
        return err_set(err, ERR_DATA, "unknown row operation %u", insn->op);
    uint32_t pops = op_pops[insn->op];
    if (stack->n < pops || stack->n - pops >= PLAN_ROW_STACK)
        return err_set(err, ERR_DATA, "`%s` with %u values on the stack", op_names[insn->op],
                       stack->n);
    stack->n -= pops;
    Shape *operands = &stack->at[stack->n];
    insn->from = pops ? shape_count(operands) : 0;
    if (!ops[insn->op].check(prog, insn, operands, err))
        return false;
    insn->count = shape_count(operands);
    stack->n++;
    return true;
}

static bool check_result(RowProg *prog, const ShapeStack *stack, Err *err)
{
    Shape want = {.rank = prog->field->rank};
    for (uint32_t i = 0; i < want.rank; i++)
        want.dim[i] = prog->field->dim[i];
    prog->count = shape_count(&want);
    if (stack->n != 1)
        return err_set(err, ERR_DATA, "the code leaves %u values", stack->n);
    if (shape_count(&stack->at[0]) != prog->count)
        return fail_shapes("declared and found are rows of shapes", &want, &stack->at[0], err);
    return true;
}

static bool check_code(RowProg *prog, int64_t *widest, Err *err)
{
    ShapeStack stack = {.n = 0};
    for (uint32_t i = 0; i < prog->ncode; i++) {
        if (!check_insn(prog, &prog->code[i], &stack, err))
            return false;
        if (prog->code[i].count > *widest)
            *widest = prog->code[i].count;
    }
    return check_result(prog, &stack, err);
}

static void make_stack(Arena *arena, RowProg *prog, int64_t widest)
{
    prog->block = widest < BLOCK_ELEMS ? BLOCK_ELEMS / (widest ? widest : 1) : 1;
    uint32_t depth = 1, most = 0;
    for (uint32_t i = 0; i < prog->ncode; i++) {
        depth += 1u - op_pops[prog->code[i].op];
        most = depth > most ? depth : most;
    }
    most += 2; /* the free value of run_pair, and the operand it stands behind */
    prog->stack = NEW_ARRAY(arena, Value, most);
    for (uint32_t i = 0; i < most; i++)
        prog->stack[i].at = NEW_ARRAY(arena, double, prog->block *widest + 1);
}

static bool is_bytewise(const RowProg *prog)
{
    if (prog->field->dtype != DT_F32 || prog->code[0].op != RO_COLUMN)
        return false;
    for (uint32_t i = 1; i < prog->ncode; i++)
        if (prog->code[i].op == RO_COLUMN || prog->code[i].op == RO_INDEX)
            return false;
    return dtype_info(prog->source->columns[prog->code[0].a].dtype)->bytes == 1;
}

/* Runs the program over a column of all 256 bytes, one a row. */
static void make_table(Arena *arena, RowProg *prog)
{
    uint8_t bytes[256];
    int64_t rows[256];
    for (int i = 0; i < 256; i++) {
        bytes[i] = (uint8_t)i;
        rows[i] = i;
    }
    HostArray *columns = NEW_ARRAY(arena, HostArray, prog->code[0].a + (size_t)1);
    columns[prog->code[0].a] = (HostArray){.dtype = prog->source->columns[prog->code[0].a].dtype,
                                           .rank = 1,
                                           .dim = {256},
                                           .data = bytes,
                                           .bytes = sizeof bytes};
    RowSource source = {prog->source->plan, prog->source->data, columns};
    PlanField field = *prog->field;
    field.rank = 0;
    RowProg one = *prog;
    one.source = &source;
    one.field = &field;
    one.code = COPY_ARRAY(arena, Insn, prog->code, prog->ncode);
    int64_t widest = 1;
    bool fits = check_code(&one, &widest, NULL);
    ASSERT(fits); /* elementwise code that fits arrays fits numbers */
    make_stack(arena, &one, widest);
    float *table = NEW_ARRAY(arena, float, 256);
    fits = rowprog_run(&one, rows, 256, table, NULL);
    ASSERT(fits);
    prog->table = table;
}

RowProg *rowprog_new(Arena *arena, const RowSource *source, const PlanField *field, Err *err)
{
    RowProg *prog = NEW(arena, RowProg);
    *prog = (RowProg){.source = source,
                      .field = field,
                      .name = plan_text(source->plan, field->name),
                      .code = NEW_ARRAY(arena, Insn, field->ncode),
                      .ncode = field->ncode};
    for (uint32_t i = 0; i < field->ncode; i++) {
        const PlanCode *code = &source->plan->codes[field->code0 + i];
        prog->code[i] = (Insn){.op = code->op, .a = code->a, .num = code->num};
    }
    int64_t widest = 1;
    if (!check_code(prog, &widest, err)) {
        fail_field(prog, err);
        return NULL;
    }
    prog->copies = field->ncode == 1 && prog->code[0].op == RO_COLUMN &&
                   source->columns[prog->code[0].a].dtype == (DType)field->dtype;
    if (!prog->copies && is_bytewise(prog))
        make_table(arena, prog);
    else if (!prog->copies)
        make_stack(arena, prog, widest);
    return prog;
}

size_t rowprog_bytes(const RowProg *prog)
{
    return (size_t)prog->count * dtype_info((DType)prog->field->dtype)->bytes;
}

/* ---- running it ---- */

static void copy_rows(const RowProg *prog, const int64_t *rows, int64_t n, uint8_t *out)
{
    const uint8_t *from = prog->source->columns[prog->code[0].a].data;
    size_t bytes = rowprog_bytes(prog);
    for (int64_t r = 0; r < n; r++)
        memcpy(out + (size_t)r * bytes, from + (size_t)rows[r] * bytes, bytes);
}

static void look_up_rows(const RowProg *prog, const int64_t *rows, int64_t n, float *restrict out)
{
    const uint8_t *from = prog->source->columns[prog->code[0].a].data;
    const float *table = prog->table;
    for (int64_t r = 0; r < n; r++, out += prog->count) {
        const uint8_t *row = from + rows[r] * prog->count;
        for (int64_t i = 0; i < prog->count; i++)
            out[i] = table[row[i]];
    }
}

static const Value *run_block(const RowProg *prog, const RowBlock *block)
{
    uint32_t top = 0;
    for (uint32_t i = 0; i < prog->ncode; i++) {
        const Insn *insn = &prog->code[i];
        top -= op_pops[insn->op];
        ops[insn->op].run(prog, insn, block, &prog->stack[top]);
        top++;
    }
    return &prog->stack[0];
}

/* A number that is the same for all rows, as rows. */
static void spread(const Value *value, int64_t n)
{
    for (int64_t i = 1; value->uniform && i < n; i++)
        value->at[i] = value->at[0];
}

bool rowprog_run(RowProg *prog, const int64_t *rows, int64_t n, void *out, Err *err)
{
    uint8_t *to = out;
    if (prog->copies) {
        copy_rows(prog, rows, n, to);
        return true;
    }
    if (prog->table) {
        look_up_rows(prog, rows, n, out);
        return true;
    }
    size_t bytes = rowprog_bytes(prog);
    for (int64_t r = 0; r < n; r += prog->block) {
        RowBlock block = {rows + r, n - r < prog->block ? n - r : prog->block};
        const Value *value = run_block(prog, &block);
        spread(value, block.n * prog->count);
        DType dtype = (DType)prog->field->dtype;
        int64_t want = block.n * prog->count;
        int64_t done = row_store(dtype, to + (size_t)r * bytes, value->at, want);
        if (done < want)
            return err_set(err, ERR_DATA, "field `%s`, row %lld: the value %g does not fit type %s",
                           prog->name, (long long)block.rows[done / prog->count], value->at[done],
                           dtype_info(dtype)->name);
    }
    return true;
}
