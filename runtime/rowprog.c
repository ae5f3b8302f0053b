/* rowprog.c: checks the code of a field (rowops.def) against the columns that the data turned out to
 * have. Two kinds of fields take shortcuts to the same bits: one that is just a column of its own type is
 * copied, and an f32 field that maps each element of one 8-bit column by itself (pixels / 255) is read
 * from a table of 256 results. */
#include "rowcode.h"

const uint8_t row_pops[RO_COUNT] = {
#define ROWOP(id, name, pops, doc) [RO_##id] = pops,
#include "rowops.def"
#undef ROWOP
};

static const char *const op_names[RO_COUNT] = {
#define ROWOP(id, name, pops, doc) [RO_##id] = name,
#include "rowops.def"
#undef ROWOP
};

/* ---- shapes ---- */

static void put_shape(StrBuf *sb, const RowShape *s)
{
    sb_putc(sb, '[');
    for (uint32_t i = 0; i < s->rank; i++)
        sb_printf(sb, "%s%lld", i ? ", " : "", (long long)s->dim[i]);
    sb_putc(sb, ']');
}

/* Saturates: the extents of a plan file may be anything. */
static int64_t shape_count(const RowShape *s)
{
    int64_t count = 1;
    for (uint32_t i = 0; i < s->rank; i++)
        if (__builtin_mul_overflow(count, s->dim[i], &count))
            return INT64_MAX;
    return count;
}

static bool fail_shapes(const char *what, const RowShape *a, const RowShape *b, Err *err)
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

/* operands[0] becomes the shape of the result. */
typedef bool CheckFn(const RowProg *prog, const RowInsn *insn, RowShape *operands, Err *err);

static bool check_column(const RowProg *prog, const RowInsn *insn, RowShape *operands, Err *err)
{
    if (insn->a >= prog->source->data->ncolumn)
        return err_set(err, ERR_DATA, "no column %u in the data", insn->a);
    const SourceColumn *column = &prog->source->columns[insn->a];
    operands[0] = (RowShape){.text = insn->op == RO_TEXT, .rank = column->rank};
    memcpy(operands[0].dim, column->dim, sizeof *column->dim * column->rank);
    return operands[0].text == column->text ||
           err_set(err, ERR_DATA, "`%s` with column %u of another kind", op_names[insn->op],
                   insn->a);
}

static bool check_number(const RowProg *prog, const RowInsn *insn, RowShape *operands, Err *err)
{
    UNUSED(prog), UNUSED(err);
    operands[0] = (RowShape){.text = insn->op == RO_STRING};
    return true;
}

static bool check_index(const RowProg *prog, const RowInsn *insn, RowShape *operands, Err *err)
{
    UNUSED(prog);
    RowShape *s = &operands[0];
    if (s->rank == 0)
        return err_set(err, ERR_DATA, "element %u of a single number", insn->a);
    if (insn->a >= s->dim[0])
        return err_set(err, ERR_DATA, "element %u of an axis of %lld", insn->a,
                       (long long)s->dim[0]);
    s->rank--;
    memmove(s->dim, s->dim + 1, sizeof *s->dim * s->rank);
    return true;
}

static bool check_same(const RowProg *prog, const RowInsn *insn, RowShape *operands, Err *err)
{
    UNUSED(prog), UNUSED(insn), UNUSED(operands), UNUSED(err);
    return true;
}

/* The shorter shape is a suffix of the longer one, which the result has. */
static bool check_pair(const RowProg *prog, const RowInsn *insn, RowShape *operands, Err *err)
{
    UNUSED(prog), UNUSED(insn);
    const RowShape a = operands[0], b = operands[1], *low = a.rank < b.rank ? &a : &b;
    const RowShape *wide = low == &a ? &b : &a;
    if (memcmp(low->dim, wide->dim + (wide->rank - low->rank), sizeof *low->dim * low->rank) != 0)
        return fail_shapes("operands of different shapes", &a, &b, err);
    operands[0] = *wide;
    return true;
}

static bool check_select(const RowProg *prog, const RowInsn *insn, RowShape *operands, Err *err)
{
    RowShape values[2] = {operands[1], operands[2]};
    if (!check_pair(prog, insn, values, err))
        return false;
    operands[1] = values[0];
    return check_pair(prog, insn, operands, err);
}

static bool check_join(const RowProg *prog, const RowInsn *insn, RowShape *operands, Err *err)
{
    UNUSED(prog), UNUSED(insn);
    if (operands[0].rank > 1 || operands[1].rank > 1)
        return fail_shapes("numbers are listed, not arrays of", &operands[0], &operands[1], err);
    int64_t n = shape_count(&operands[0]), more = shape_count(&operands[1]);
    operands[0] = (RowShape){.rank = 1};
    return !__builtin_add_overflow(n, more, &operands[0].dim[0]) ||
           err_set(err, ERR_DATA, "a list of too many numbers");
}

static bool check_texts(const RowProg *prog, const RowInsn *insn, RowShape *operands, Err *err)
{
    UNUSED(prog), UNUSED(err);
    operands[0] = (RowShape){.text = insn->op == RO_CONCAT};
    return true;
}

static bool check_pick(const RowProg *prog, const RowInsn *insn, RowShape *operands, Err *err)
{
    UNUSED(prog), UNUSED(insn);
    if (shape_count(&operands[0]) != 1)
        return err_set(err, ERR_DATA, "a text is chosen by one condition, not by an array");
    operands[0] = (RowShape){.text = true};
    return true;
}

/* Bit k of `texts`: operand k is a text. */
static const struct {
    CheckFn *check;
    uint32_t texts;
} ops[RO_COUNT] = {
#define ROWOP(id, name, pops, doc)
#define ROWUNARY(id, name, expr, doc) [RO_##id] = {check_same, 0},
#define ROWPAIR(id, name, expr, doc)  [RO_##id] = {check_pair, 0},
#include "rowops.def"
#undef ROWOP
    [RO_COLUMN] = {check_column, 0}, [RO_NUMBER] = {check_number, 0},
    [RO_INDEX] = {check_index, 0},   [RO_JOIN] = {check_join, 0},
    [RO_SELECT] = {check_select, 0}, [RO_TEXT] = {check_column, 0},
    [RO_STRING] = {check_number, 0}, [RO_SAME] = {check_texts, 3},
    [RO_CONCAT] = {check_texts, 3},  [RO_PICK] = {check_pick, 6},
};

/* ---- making a program ---- */

typedef struct ShapeStack {
    RowShape at[PLAN_ROW_STACK];
    uint32_t n;
} ShapeStack;

static bool check_insn(const RowProg *prog, RowInsn *insn, ShapeStack *stack, Err *err)
{
    if (insn->op >= RO_COUNT)
        return err_set(err, ERR_DATA, "unknown row operation %u", insn->op);
    ASSERT(ops[insn->op].check); /* every row of rowops.def has one */
    uint32_t pops = row_pops[insn->op];
    if (stack->n < pops || stack->n - pops >= PLAN_ROW_STACK)
        return err_set(err, ERR_DATA, "`%s` with %u values on the stack", op_names[insn->op],
                       stack->n);
    stack->n -= pops;
    RowShape *operands = &stack->at[stack->n];
    for (uint32_t i = 0; i < pops; i++)
        if (operands[i].text != (ops[insn->op].texts >> i & 1))
            return err_set(err, ERR_DATA, "`%s` of %s", op_names[insn->op],
                           operands[i].text ? "a text" : "numbers");
    insn->from = pops ? shape_count(operands) : 0;
    if (!ops[insn->op].check(prog, insn, operands, err))
        return false;
    insn->count = shape_count(operands);
    stack->n++;
    return true;
}

static bool check_result(RowProg *prog, const ShapeStack *stack, Err *err)
{
    RowShape want = {.text = !prog->field, .rank = prog->field ? prog->field->rank : 0};
    for (uint32_t i = 0; i < want.rank; i++)
        want.dim[i] = prog->field->dim[i];
    prog->count = shape_count(&want);
    if (stack->n != 1)
        return err_set(err, ERR_DATA, "the code leaves %u values", stack->n);
    if (stack->at[0].text != want.text)
        return err_set(err, ERR_DATA, "the code leaves %s", want.text ? "numbers" : "a text");
    if (shape_count(&stack->at[0]) != prog->count)
        return fail_shapes("declared and found are rows of shapes", &want, &stack->at[0], err);
    return true;
}

static bool check_code(RowProg *prog, Err *err)
{
    ShapeStack stack = {.n = 0};
    prog->widest = 1;
    for (uint32_t i = 0; i < prog->ncode; i++) {
        RowInsn *insn = &prog->code[i];
        if (!check_insn(prog, insn, &stack, err))
            return false;
        prog->widest = insn->count > prog->widest ? insn->count : prog->widest;
        prog->texts = prog->texts || stack.at[stack.n - 1].text;
    }
    prog->block = prog->widest < ROW_BLOCK_ELEMS ? ROW_BLOCK_ELEMS / prog->widest : 1;
    return check_result(prog, &stack, err);
}

/* ---- shortcuts ---- */

static const SourceColumn *first_dense(const RowProg *prog)
{
    const SourceColumn *column = &prog->source->columns[prog->code[0].a];
    return prog->code[0].op == RO_COLUMN && column->dense ? column : NULL;
}

static bool is_bytewise(const RowProg *prog)
{
    const SourceColumn *column = first_dense(prog);
    if (prog->field->dtype != DT_F32 || !column || dtype_info(column->dtype)->bytes != 1)
        return false;
    static const bool apart[RO_COUNT] = {
#define ROWOP(id, name, pops, doc)
#define ROWUNARY(id, name, expr, doc) [RO_##id] = true,
#define ROWPAIR(id, name, expr, doc)  [RO_##id] = true,
#include "rowops.def"
#undef ROWOP
        [RO_NUMBER] = true};
    for (uint32_t i = 1; i < prog->ncode; i++)
        if (!apart[prog->code[i].op])
            return false;
    return true;
}

/* Runs the program over a column of all 256 bytes, one a row. */
static const float *make_table(Arena *arena, const RowProg *prog)
{
    uint8_t *bytes = NEW_ARRAY(arena, uint8_t, 256);
    int64_t rows[256];
    for (int i = 0; i < 256; i++) {
        bytes[i] = (uint8_t)i;
        rows[i] = i;
    }
    const SourceColumn *column = first_dense(prog);
    SourceColumn *columns = NEW_ARRAY(arena, SourceColumn, prog->code[0].a + (size_t)1);
    columns[prog->code[0].a] = (SourceColumn){.name = column->name,
                                              .count = 1,
                                              .dense = bytes,
                                              .stride = 1,
                                              .dtype = column->dtype,
                                              .load = column->load};
    Source source = *prog->source;
    source.columns = columns;
    PlanField field = *prog->field;
    field.rank = 0;
    RowProg one = *prog;
    one.source = &source;
    one.field = &field;
    one.code = COPY_ARRAY(arena, RowInsn, prog->code, prog->ncode);
    bool fits = check_code(&one, NULL);
    ASSERT(fits); /* elementwise code that fits arrays fits numbers */
    float *table = NEW_ARRAY(arena, float, 256);
    fits = rowprog_run(&one, rowwork_new(arena, &one), &(RowBlock){rows, 256, NULL}, table, NULL);
    ASSERT(fits);
    return table;
}

static RowProg *make(Arena *arena, const RowProg *proto, uint32_t code0, Err *err)
{
    RowProg *prog = COPY_ARRAY(arena, RowProg, proto, 1);
    prog->code = NEW_ARRAY(arena, RowInsn, prog->ncode);
    for (uint32_t i = 0; i < prog->ncode; i++) {
        const PlanCode *code = &prog->source->plan->codes[code0 + i];
        prog->code[i] = (RowInsn){.op = code->op, .a = code->a, .num = code->num};
    }
    if (check_code(prog, err))
        return prog;
    err_context(err, "field `%s`", prog->name);
    return NULL;
}

RowProg *rowprog_text_new(Arena *arena, const Source *source, const PlanText *text, Err *err)
{
    RowProg proto = {
        .source = source, .name = plan_text(source->plan, text->name), .ncode = text->ncode};
    return make(arena, &proto, text->code0, err);
}

RowProg *rowprog_new(Arena *arena, const Source *source, const PlanField *field, Err *err)
{
    RowProg proto = {.source = source,
                     .field = field,
                     .name = plan_text(source->plan, field->name),
                     .ncode = field->ncode};
    RowProg *prog = make(arena, &proto, field->code0, err);
    if (!prog)
        return NULL;
    const SourceColumn *column = first_dense(prog);
    prog->copies = prog->ncode == 1 && column && column->dtype == (DType)field->dtype &&
                   column->load == row_loaders[column->dtype];
    if (!prog->copies && is_bytewise(prog))
        prog->table = make_table(arena, prog);
    return prog;
}

size_t rowprog_bytes(const RowProg *prog)
{
    return (size_t)prog->count * dtype_info((DType)prog->field->dtype)->bytes;
}
