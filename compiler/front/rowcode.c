/* rowcode.c: an expression over a row, `row => row.images / 255`, as postfix code for the loader. What the loader cannot compute is refused when a plan is made (not_yet). */
#include "data.h"

enum { MAX_ROW_CODE = 4096 };

typedef struct RowCx {
    Elab *e;
    PlanBuilder *b;
    const DataSpec *s;
    uint32_t column0;        /* of the data's columns in b */
    uint32_t code0;          /* of the field's code */
    uint32_t depth, longest; /* values held at once, now and at most */
} RowCx;

static void push(RowCx *cx, uint32_t op, uint32_t a, double num)
{
    static const uint32_t pops[] = {
#define ROWOP(id, name, npop, doc) npop,
#include "rowops.def"
#undef ROWOP
    };
    cx->depth = cx->depth - pops[op] + 1;
    cx->longest = cx->depth > cx->longest ? cx->depth : cx->longest;
    PlanCode c = {op, a, num};
    VEC_PUSH(cx->b->arena, &cx->b->codes, c);
}

static bool row_op(const char *name, uint32_t *op)
{
    static const char *const names[] = {
#define ROWOP(id, name, npop, doc) name,
#include "rowops.def"
#undef ROWOP
    };
    for (uint32_t i = 0; i < COUNT(names); i++) {
        if (strcmp(names[i], name) == 0) {
            *op = i;
            return true;
        }
    }
    return false;
}

/* What the loader lacks stands for one value while nothing is run. */
static bool later(RowCx *cx, const Datum *d, const char *what)
{
    bool ok = not_yet(cx->e, d->span, what);
    push(cx, RO_NUMBER, 0, 0);
    return ok;
}

/* The number of a column among the data's; one that is asked for first is added. */
static bool column(RowCx *cx, const Datum *d, bool text)
{
    const PlanBuilder *b = cx->b;
    uint32_t n = b->columns.n, op = text ? RO_TEXT : RO_COLUMN;
    if (d->type.kind == DA_IMAGE || d->type.kind == DA_AUDIO) {
        return later(cx, d, arena_printf(cx->e->arena, "the column `%s`", d->text));
    }
    for (uint32_t i = cx->column0; i < n; i++) {
        const PlanColumn *c = &b->columns.at[i];
        if (c->text == text && strcmp(b->text.at + c->name, d->text) == 0) {
            push(cx, op, i - cx->column0, 0);
            return true;
        }
    }
    if (source_column(cx->e, cx->b, cx->s, &(SourceCell){d->text, text})) {
        push(cx, op, n - cx->column0, 0);
        return true;
    }
    return later(cx, d, arena_printf(cx->e->arena, "the column `%s`", d->text));
}

static bool emit(RowCx *cx, const Datum *d, bool text);

static bool emit_all(RowCx *cx, const Datum *d, bool text)
{
    for (uint32_t i = 0; i < d->narg; i++) {
        if (!emit(cx, d->arg[i], text)) {
            return false;
        }
    }
    return true;
}

/* Cells of a file are compared as texts unless the other side is a number. */
static bool compares_texts(const Datum *d)
{
    DatumKind a = d->arg[0]->type.kind, b = d->arg[1]->type.kind;
    return a == DA_STR || b == DA_STR || (a == DA_ANY && b == DA_ANY);
}

static bool emit_equal(RowCx *cx, const Datum *d)
{
    bool unequal = strcmp(d->op, "ne") == 0, texts = compares_texts(d);
    if (!emit_all(cx, d, texts)) {
        return false;
    }
    push(cx, texts ? RO_SAME : unequal ? RO_NE : RO_EQ, 0, 0);
    if (texts && unequal) {
        push(cx, RO_NOT, 0, 0);
    }
    return true;
}

/* (row.a, row.b, 3): one array. */
static bool emit_list(RowCx *cx, const Datum *d)
{
    for (uint32_t i = 0; i < d->narg; i++) {
        if (!emit(cx, d->arg[i], false)) {
            return false;
        }
        if (i) {
            push(cx, RO_JOIN, 0, 0);
        }
    }
    return d->narg > 0 || later(cx, d, "an empty list");
}

/* select(c, a, b) of texts. */
static bool emit_pick(RowCx *cx, const Datum *d)
{
    if (!emit(cx, d->arg[0], false) || !emit(cx, d->arg[1], true) || !emit(cx, d->arg[2], true)) {
        return false;
    }
    push(cx, RO_PICK, 0, 0);
    return true;
}

static bool emit_text(RowCx *cx, const Datum *d)
{
    bool string = strcmp(d->op, "string") == 0;
    if (strcmp(d->op, "select") == 0) {
        return emit_pick(cx, d);
    }
    if (!string && strcmp(d->op, "add") != 0) {
        return later(cx, d, arena_printf(cx->e->arena, "`%s` of texts", d->op));
    }
    if (!emit_all(cx, d, true)) {
        return false;
    }
    push(cx, string ? RO_STRING : RO_CONCAT, string ? planb_text(cx->b, d->text) : 0, 0);
    return true;
}

static bool emit_numbers(RowCx *cx, const Datum *d)
{
    uint32_t op;
    if (d->type.kind == DA_STR || !row_op(d->op, &op)) {
        return later(cx, d, arena_printf(cx->e->arena, "`%s` in a data field", d->op));
    }
    if (!emit_all(cx, d, false)) {
        return false;
    }
    push(cx, op, op == RO_INDEX ? (uint32_t)d->num : 0, op == RO_NUMBER ? d->num : 0);
    return true;
}

/* `text`: the value is wanted as a text. */
static bool emit(RowCx *cx, const Datum *d, bool text)
{
    if (cx->b->codes.n - cx->code0 > MAX_ROW_CODE) {
        return true; /* row_code reports it */
    }
    if (strcmp(d->op, "column") == 0) {
        return column(cx, d, text);
    }
    if (text) {
        return emit_text(cx, d);
    }
    if (strcmp(d->op, "as") == 0) {
        return emit(cx, d->arg[0], false); /* the field's type decides the cast and the shape */
    }
    if (strcmp(d->op, "tuple") == 0) {
        return emit_list(cx, d);
    }
    if (strcmp(d->op, "eq") == 0 || strcmp(d->op, "ne") == 0) {
        return emit_equal(cx, d);
    }
    return emit_numbers(cx, d);
}

static bool code_of(Elab *e, RowCx cx, const Datum *value, bool text)
{
    if (!emit(&cx, value, text)) {
        return false;
    }
    if (cx.b->codes.n - cx.code0 > MAX_ROW_CODE || cx.longest > PLAN_ROW_STACK) {
        diag_at(e->diags, DIAG_E0109, value->span,
                "what is computed of a row is too large an expression");
        return false;
    }
    return true;
}

bool row_code(Elab *e, PlanBuilder *b, const DataSpec *s, const PlanData *data, const Datum *value)
{
    return code_of(e, (RowCx){e, b, s, data->column0, b->codes.n, 0, 0}, value, false);
}

bool row_text_code(Elab *e, PlanBuilder *b, const DataSpec *s, const PlanData *data,
                   const Datum *value)
{
    return code_of(e, (RowCx){e, b, s, data->column0, b->codes.n, 0, 0}, value, true);
}
