/* rowcode.c: the lambda of a data field, `row => row.images / 255`, as postfix code for the loader. */
#include "blocks.h"

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

static bool is_row(const RowCx *cx, const Ast *a)
{
    return a->kind == A_ID && a->name == cx->row;
}

static bool column(RowCx *cx, const Ast *a)
{
    Elab *e = cx->e;
    Sym *names = NEW_ARRAY(e->arena, Sym, cx->ncolumn + 1);
    StrBuf sb = sb_new(e->arena);
    for (uint32_t i = 0; i < cx->ncolumn; i++) {
        PStr s = cx->b->columns.at[cx->column0 + i].name;
        names[i] = sym(e->ir->syms, cx->b->text.at + s);
        if (names[i] == a->name) {
            push(cx, RO_COLUMN, i, 0);
            return true;
        }
        sb_printf(&sb, "%s%s", i ? ", " : "", names[i]);
    }
    Diag *d = diag_at(e->diags, DIAG_E0702, a->name_span, "a row has no field `%s`; it has %s",
                      a->name, sb_text(&sb));
    Sym near = sym_nearest(a->name, names, cx->ncolumn);
    if (near) {
        diag_fix(d, a->name_span, near, "a similar field exists");
    }
    return false;
}

static bool uses_row(const RowCx *cx, const Ast *a)
{
    bool uses = is_row(cx, a);
    for (uint32_t i = 0; i < a->nkid && !uses; i++) {
        uses = a->kid[i] && uses_row(cx, a->kid[i]);
    }
    return uses;
}

static bool constant(RowCx *cx, const Ast *a)
{
    const Val *v = eval(cx->e, cx->env, a);
    double f;
    if (val_as_double(v, &f)) {
        push(cx, RO_NUMBER, 0, f);
        return true;
    }
    if (!val_is_poison(v)) {
        diag_at(cx->e->diags, DIAG_E0802, a->span, "a field computes with numbers, got %s",
                val_text(cx->e, v));
    }
    return false;
}

static bool binary(RowCx *cx, const Ast *a)
{
    static const struct {
        const char *text;
        uint32_t op;
    } ops[] = {{"+", RO_ADD}, {"-", RO_SUB}, {"*", RO_MUL}, {"/", RO_DIV}};
    for (size_t i = 0; i < COUNT(ops); i++) {
        if (strcmp(a->text, ops[i].text) == 0) {
            if (!row_code(cx, a->kid[0]) || !row_code(cx, a->kid[1])) {
                return false;
            }
            push(cx, ops[i].op, 0, 0);
            return true;
        }
    }
    diag_at(cx->e->diags, DIAG_E0199, a->span, "`%s` is not supported in data fields yet", a->text);
    return false;
}

static bool element(RowCx *cx, const Ast *a)
{
    int64_t i;
    if (a->nkid != 2 || a->kid[1]->kind == A_SLICE || a->kid[1]->kind == A_PACK) {
        diag_at(cx->e->diags, DIAG_E0199, a->span, "a field takes one constant index, so far");
        return false;
    }
    if (!row_code(cx, a->kid[0]) || !eval_const_int(cx->e, cx->env, a->kid[1], &i)) {
        return false;
    }
    if (i < 0 || i > UINT32_MAX) {
        diag_at(cx->e->diags, DIAG_E0416, a->kid[1]->span, "index %lld: elements count from 0",
                (long long)i);
        return false;
    }
    push(cx, RO_INDEX, (uint32_t)i, 0);
    return true;
}

bool row_code(RowCx *cx, const Ast *a)
{
    if (a->kind == A_PAREN || a->kind == A_AS) {
        return row_code(cx, a->kid[0]); /* the field's type decides the cast and the shape */
    }
    if (a->kind == A_MEMBER && is_row(cx, a->kid[0])) {
        return column(cx, a);
    }
    if (!uses_row(cx, a)) {
        return constant(cx, a);
    }
    if (a->kind == A_BIN) {
        return binary(cx, a);
    }
    if (a->kind == A_INDEX) {
        return element(cx, a);
    }
    if (a->kind == A_NEG) {
        if (!row_code(cx, a->kid[0])) {
            return false;
        }
        push(cx, RO_NEG, 0, 0);
        return true;
    }
    diag_at(cx->e->diags, DIAG_E0199, a->span, "this is not supported in data fields yet");
    return false;
}
