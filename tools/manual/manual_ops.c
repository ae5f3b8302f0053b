/* manual_ops.c: the operations of the graph, from the columns of ops.def. */
#include "ir.h"
#include "manual.h"

typedef struct Row {
    const char *ir; /* the text of the IR column: names of functions are known only there */
    const char *grad[3], *vjp;
    bool stops; /* NOGRAD */
    const char *gen;
} Row;

#define IR(...)   .ir = #__VA_ARGS__
#define AD(...)   __VA_ARGS__
#define GEN(...)  .gen = #__VA_ARGS__
#define TEST(...) .stops = false
#define GRAD(...) .grad = {__VA_ARGS__}
#define VJP(fn)   .vjp = #fn
#define NOGRAD    .vjp = NULL
static const Row rows[] = {
#define OP(id, name, doc, ir, ad, gen, test) [OP_##id] = {ir, ad, gen},
#include "ops.def"
#undef OP
};

static const struct {
    OpClass cls;
    const char *title, *text;
} classes[] = {
    {OC_LEAF, "Leaves", "What a graph begins with."},
    {OC_VIEW, "Views", "Other places for the same elements; nothing is computed."},
    {OC_ELEM, "Elementwise", "All operands have one shape; `a`, `b`, `c` are elements of them."},
    {OC_GATHER, "Indirect reads", "An operand of integers says what is read of the other."},
    {OC_SCATTER, "Indirect writes", "An operand of integers says where the other is added."},
    {OC_REDUCE, "Folds", "Axes are removed."},
    {OC_SCAN, "Along one axis", "Every line of the axis, element by element."},
    {OC_SORT, "Order", "Every line of an axis as a whole."},
    {OC_UPDATE, "Rows put in", "An operand with other rows somewhere along an axis."},
    {OC_CONTRACT, "Contractions", "Products summed over paired axes."},
    {OC_MULTI, "Of many tensors", "Operands of any shapes."},
    {OC_CALL, "Composites", "An `op` of the language, kept whole."},
    {OC_TUPLE, "Structure", "Several values as one."},
    {OC_GROUP, "Groups", "What the passes make for kernels."},
};

/* What the type rules of infer.h say. */
static const struct {
    const char *rule, *text;
} rules[] = {
    {"infer_number", "numbers of one type → the same"},
    {"infer_float", "f32 or f64 → the same"},
    {"infer_test", "f32 or f64 → bool"},
    {"infer_logic", "bool → bool"},
    {"infer_integer", "integers of one type → the same"},
    {"infer_compare", "two of one type → bool"},
    {"infer_same", "any → the same"},
    {"infer_cast", "any → the given type"},
    {"infer_select", "bool and two of one type → that type"},
    {"infer_sumsq", "floats → f32[]"},
    {"infer_call", "as the Def says → its results"},
    {"infer_group", "as the Def says → its results"},
    {"infer_tuple", "any → their tuple"},
    {"infer_get", "a tuple → its member"},
    {"infer_reshape", "any → as many elements under the given dims"},
    {"infer_permute", "any → its axes in the given order"},
    {"infer_expand", "any → the given dims"},
    {"infer_slice", "any → the axis with the given extent"},
    {"infer_window", "any → two axes for one: windows, size"},
    {"infer_pad", "any → the axis longer by lo + hi"},
    {"infer_concat", "two or more, equal but for the axis → its extents added"},
    {"infer_reduce", "numbers → without the axes"},
    {"infer_argreduce", "numbers → i32 without the axis"},
    {"infer_scan", "numbers → the same"},
    {"infer_argsort", "numbers → i32 of the same dims"},
    {"infer_gather", "any, integers → dims of the indices in place of the axis"},
    {"infer_scatter_add", "numbers, integers → the axis with the given extent"},
    {"infer_dot",
     "floats of one type → batch, free axes of a, free axes of b; f32 of 16-bit floats"},
};

/* The word behind `key` in the text of a column; "" when it is not there. */
static const char *word_behind(StrBuf *room, const char *text, const char *key)
{
    const char *at = strstr(text, key);
    if (at)
        for (at += strlen(key); *at && *at != ',' && *at != ' ' && *at != ')'; at++)
            sb_putc(room, *at);
    return sb_text(room);
}

static void put_rule(Arena *arena, StrBuf *sb, OpKind op)
{
    StrBuf room = sb_new(arena);
    const char *name = word_behind(&room, rows[op].ir, ".infer = ");
    for (size_t i = 0; i < COUNT(rules); i++)
        if (strcmp(rules[i].rule, name) == 0) {
            sb_puts(sb, rules[i].text);
            return;
        }
    sb_puts(sb, *name ? name : "as given");
}

static void put_gradient(StrBuf *sb, OpKind op)
{
    const Row *r = &rows[op];
    bool any = false;
    for (size_t k = 0; k < COUNT(r->grad); k++)
        if (r->grad[k]) {
            sb_printf(sb, "%s`dx%zu = ", any ? "<br>" : "", k);
            manual_cell(sb, r->grad[k]);
            sb_putc(sb, '`');
            any = true;
        }
    if (r->vjp)
        sb_printf(sb, "`%s`", r->vjp);
    else if (!any)
        sb_puts(sb, op_info(op)->cls == OC_CALL    ? "its `vjp`, or its body's"
                    : op_info(op)->cls == OC_TUPLE ? "member by member"
                                                   : "–");
}

static void put_row(Arena *arena, StrBuf *sb, OpKind op)
{
    const OpInfo *info = op_info(op);
    sb_printf(sb, "| `%s` | ", info->name);
    manual_cell(sb, info->doc);
    sb_puts(sb, " | ");
    if (info->arity < 0)
        sb_puts(sb, "any");
    else
        sb_printf(sb, "%d", info->arity);
    sb_puts(sb, " | ");
    if (info->attrs)
        sb_printf(sb, "`%s`", info->attrs);
    sb_puts(sb, " | ");
    put_rule(arena, sb, op);
    sb_puts(sb, " | ");
    put_gradient(sb, op);
    sb_printf(sb, " | %s |\n", strcmp(rows[op].gen, "NOGEN") == 0 ? "" : "✓");
}

void manual_ops(StrBuf *sb)
{
    Arena *arena = arena_new();
    sb_puts(sb, "# Operations\n\n"
                "<!-- made by tools/manual from compiler/ir/ops.def -->\n\n"
                "What a graph is made of; `mdl graph --level op` and `mdl dump --graph` show them. "
                "The language\n"
                "reaches them through its operators and the functions of [std.md](std.md). In "
                "gradients, `x0 x1 x2`\n"
                "are the operands, `y` is the result and `dy` its cotangent; a name such as "
                "`vjp_dot` is a function\n"
                "in `passes/`; – means that nothing flows back. The last column: elements of it "
                "can be computed\n"
                "inside any fused kernel; the others have kernels of their own, are expanded, or "
                "run in the\n"
                "reference interpreter only.\n");
    for (size_t c = 0; c < COUNT(classes); c++) {
        sb_printf(
            sb,
            "\n## %s\n\n%s\n\n| op | meaning | operands | attributes | types | gradient | fuses |\n"
            "|---|---|---|---|---|---|---|\n",
            classes[c].title, classes[c].text);
        for (OpKind op = 0; op < OP_COUNT; op++)
            if (op_info(op)->cls == classes[c].cls)
                put_row(arena, sb, op);
    }
    arena_free(arena);
}
