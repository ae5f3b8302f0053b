/* value.c: what expressions evaluate to: constructors, tests, and how values read in messages. */
#include "elab.h"

const Val VAL_NONE = {.kind = V_NONE};
const Val VAL_POISON = {.kind = V_POISON};

Val *val_new(Elab *e, VKind kind, Span span)
{
    Val *v = NEW(e->arena, Val);
    v->kind = kind;
    v->span = span;
    return v;
}

const Val *val_dim(Elab *e, const Dim *d, Span span)
{
    Val *v = val_new(e, V_INT, span);
    v->dim = d;
    return v;
}

const Val *val_int(Elab *e, int64_t i, Span span)
{
    return val_dim(e, dim_const(e->ir, i), span);
}

const Val *val_real(Elab *e, double f, Span span)
{
    Val *v = val_new(e, V_REAL, span);
    v->f = f;
    return v;
}

const Val *val_bool(Elab *e, bool b, Span span)
{
    Val *v = val_new(e, V_BOOL, span);
    v->b = b;
    return v;
}

const Val *val_str(Elab *e, Sym s, Span span)
{
    Val *v = val_new(e, V_STR, span);
    v->str = s;
    return v;
}

const Val *val_node(Elab *e, const Node *n, Span span)
{
    if (!n) {
        return poison(e, span);
    }
    Val *v = val_new(e, V_TENSOR, span);
    v->node = n;
    return v;
}

const Val *val_list(Elab *e, VKind kind, const Val *const *at, uint32_t n)
{
    Val *v = val_new(e, kind, n ? at[0]->span : (Span){0});
    v->list.n = n;
    v->list.at = n ? COPY_ARRAY(e->arena, const Val *, at, n) : NULL;
    return v;
}

const Val *poison(Elab *e, Span span)
{
    ASSERT(diags_errors(e->diags) > 0);
    return val_new(e, V_POISON, span);
}

bool val_is_poison(const Val *v)
{
    return v->kind == V_POISON;
}

bool val_is_number(const Val *v)
{
    return v->kind == V_INT || v->kind == V_REAL || v->kind == V_PERCENT;
}

bool val_as_int(const Val *v, int64_t *out)
{
    return v->kind == V_INT && dim_is_const(v->dim, out);
}

bool val_as_double(const Val *v, double *out)
{
    int64_t i;
    if (val_as_int(v, &i)) {
        *out = (double)i;
        return true;
    }
    if (v->kind != V_REAL && v->kind != V_PERCENT) {
        return false;
    }
    *out = v->den ? (double)v->num / (double)v->den : v->f;
    return true;
}

static const char *number_text(Elab *e, const Val *v)
{
    StrBuf sb = sb_new(e->arena);
    if (v->kind == V_INT) {
        dim_print(e->ir, v->dim, &sb);
    } else if (v->den) {
        sb_printf(&sb, "%lld / %lld", (long long)v->num, (long long)v->den);
    } else {
        sb_double(&sb, v->f);
    }
    return sb_text(&sb);
}

static const char *list_text(Elab *e, const Val *v)
{
    StrBuf sb = sb_new(e->arena);
    sb_putc(&sb, v->kind == V_TUPLE ? '(' : '[');
    for (uint32_t i = 0; i < v->list.n; i++) {
        sb_printf(&sb, "%s%s", i ? ", " : "", val_text(e, v->list.at[i]));
    }
    sb_putc(&sb, v->kind == V_TUPLE ? ')' : ']');
    return sb_text(&sb);
}

static const char *named_text(Elab *e, const Val *v)
{
    const Ast *a = v->code.ast;
    if (v->kind == V_MODULE) {
        return arena_printf(e->arena, "the module `%s`", a->name);
    }
    if (v->kind == V_RECORD) {
        return arena_printf(e->arena, "`%s`", record_name(v));
    }
    if (v->kind == V_BLOCK) {
        return arena_printf(e->arena, "the %s `%s`", a->text, a->name);
    }
    if (a->kind == A_LAMBDA) {
        return "a function";
    }
    return arena_printf(e->arena, "the function `%s`", a->name);
}

/* Texts of kinds that have nothing to say but what they are. */
static const char *kind_text(VKind kind)
{
    static const char *const text[] = {
        [V_POISON] = "an erroneous value",
        [V_NONE] = "none",
        [V_LOSS] = "a loss",
        [V_BUILTIN] = "a function",
        [V_DTYPE] = "an element type",
        [V_ARRAY] = "a module array",
        [V_STATE] = "a state",
        [V_METHOD] = "a method",
        [V_RANGE] = "a range",
        [V_BATCH] = "a batch",
        [V_MODE] = "a mode",
        [V_PERCENT] = "a percentage",
        [V_QUANTITY] = "a quantity",
    };
    return kind < COUNT(text) && text[kind] ? text[kind] : "a value";
}

const char *val_text(Elab *e, const Val *v)
{
    if (v->kind == V_INT || v->kind == V_REAL) {
        return number_text(e, v);
    }
    if (v->kind == V_TUPLE || v->kind == V_LIST) {
        return list_text(e, v);
    }
    if (is_tensor(v)) {
        return arena_printf(e->arena, "`%s`", type_text(e->ir, tensor_type(v)));
    }
    if (v->kind == V_BOOL) {
        return v->b ? "true" : "false";
    }
    if (v->kind == V_STR) {
        return arena_printf(e->arena, "the string \"%s\"", v->str);
    }
    if (v->kind == V_CLOSURE || v->kind == V_MODULE || v->kind == V_RECORD || v->kind == V_BLOCK) {
        return named_text(e, v);
    }
    if (v->kind == V_INSTANCE) {
        return arena_printf(e->arena, "the instance `%s`", inst_text(e, v->inst));
    }
    return kind_text(v->kind);
}
