/* value.c: what expressions evaluate to: constructors, tests, and how values read in messages. */
#include "datum.h"

/* MAX_ENTRIES: of lists of tensors, which are walked often; x = (x, x) doubles them. */
enum { MAX_LIST_DEPTH = 100, MAX_ENTRIES = 100000, TEXT_ENOUGH = 200 };

Val *val_new(Elab *e, VKind kind, Span span)
{
    Val *v = NEW(e->arena, Val);
    v->kind = kind;
    v->span = span;
    return v;
}

const Val *val_none(Elab *e, Span span)
{
    return val_new(e, V_NONE, span);
}

const Val *val_at(Elab *e, const Val *v, Span span)
{
    Val *copy = COPY_ARRAY(e->arena, Val, v, 1);
    copy->span = span;
    return copy;
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

const Val *val_list(Elab *e, VKind kind, const Val *const *at, uint32_t n, Span span)
{
    Val *v = val_new(e, kind, span);
    v->list.n = n;
    v->list.at = COPY_ARRAY(e->arena, const Val *, at, n);
    v->list.depth = 1;
    v->list.plain = true;
    uint64_t total = n;
    for (uint32_t i = 0; i < n; i++) {
        if (val_is_poison(at[i])) {
            return at[i]; /* one mistake, one error */
        }
        bool list = at[i]->kind == V_TUPLE || at[i]->kind == V_LIST;
        if (list && at[i]->list.depth >= v->list.depth) {
            v->list.depth = at[i]->list.depth + 1;
        }
        total += list ? at[i]->list.total : 0;
        v->list.plain = v->list.plain && val_is_plain(at[i]);
    }
    if (v->list.depth > MAX_LIST_DEPTH) {
        diag_at(e->diags, DIAG_E0109, span, "lists are nested more than %d deep", MAX_LIST_DEPTH);
        return poison(e, span);
    }
    v->list.total = total < UINT32_MAX ? (uint32_t)total : UINT32_MAX;
    if (total > MAX_ENTRIES && !v->list.plain) {
        diag_at(e->diags, DIAG_E0109, span,
                "a list of tensors has more than %d entries, with those of its lists", MAX_ENTRIES);
        return poison(e, span);
    }
    return elab_spend(e, n / 4, span) ? v : poison(e, span);
}

const Val *poison(Elab *e, Span span)
{
    ASSERT(diags_errors(e->diags) > 0 || e->left_open);
    return val_new(e, V_POISON, span);
}

const char *name_quoted(Elab *e, Sym name)
{
    const char *const part[] = {"`", name, "`"};
    return arena_join(e->arena, part, COUNT(part));
}

bool val_is_poison(const Val *v)
{
    return v->kind == V_POISON;
}

bool val_is_plain(const Val *v)
{
    static const bool plain[] = {
        [V_NONE] = true,  [V_INT] = true,     [V_REAL] = true,     [V_BOOL] = true,
        [V_STR] = true,   [V_PERCENT] = true, [V_QUANTITY] = true, [V_BUILTIN] = true,
        [V_DTYPE] = true, [V_MODULE] = true,  [V_BLOCK] = true,    [V_MODE] = true,
        [V_FILE] = true,  [V_TENSOR] = false, [V_POISON] = true,
    };
    if (v->kind == V_TUPLE || v->kind == V_LIST || v->kind == V_RANGE) {
        return v->list.plain;
    }
    if (v->kind == V_CLOSURE || v->kind == V_RECORD) {
        return v->code.env->kind == ENV_FILE || v->code.env->kind == ENV_STD;
    }
    return v->kind < COUNT(plain) && plain[v->kind];
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

/* 0.1 rather than 1 / 10, but 1 / 3. */
static bool has_decimal(const Val *v)
{
    int64_t den = v->den;
    while (den % 2 == 0) {
        den /= 2;
    }
    while (den % 5 == 0) {
        den /= 5;
    }
    return den == 1;
}

static const char *number_text(Elab *e, const Val *v)
{
    StrBuf sb = sb_new(e->arena);
    if (v->kind == V_INT) {
        dim_print(e->ir, v->dim, &sb);
    } else if (v->den && !has_decimal(v)) {
        sb_printf(&sb, "%lld / %lld", (long long)v->num, (long long)v->den);
    } else {
        sb_double(&sb, v->den ? (double)v->num / (double)v->den : v->f);
    }
    return sb_text(&sb);
}

static const char *list_text(Elab *e, const Val *v)
{
    StrBuf sb = sb_new(e->arena);
    sb_putc(&sb, v->kind == V_TUPLE ? '(' : '[');
    for (uint32_t i = 0; i < v->list.n; i++) {
        if (sb.n > TEXT_ENOUGH) {
            sb_puts(&sb, ", ..");
            break;
        }
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
    return arena_printf(e->arena, "the %s `%s`", a->kind == A_OP ? "op" : "function", a->name);
}

/* Texts of kinds that have nothing to say but what they are. */
static const char *kind_text(VKind kind)
{
    static const char *const text[] = {
        [V_POISON] = "an erroneous value",
        [V_NONE] = "none",
        [V_LOSS] = "a loss",
        [V_MASK] = "a mask",
        [V_ARRAY] = "a module array",
        [V_STATE] = "a state",
        [V_MEMORY] = "a state",
        [V_METHOD] = "a method",
        [V_RANGE] = "a range",
        [V_BATCH] = "a batch",
        [V_MODE] = "a mode",
        [V_SEGMENT] = "a segment of a template",
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
    if (v->kind == V_PERCENT) {
        return arena_printf(e->arena, "%g%%", v->f * 100);
    }
    if (v->kind == V_QUANTITY) {
        return arena_printf(e->arena, "%g %s", v->f, v->unit);
    }
    if (v->kind == V_BOOL) {
        return v->b ? "true" : "false";
    }
    if (v->kind == V_STR) {
        size_t n = strlen(v->str);
        return arena_printf(e->arena, "the string \"%.*s%s\"", TEXT_ENOUGH, v->str,
                            n > TEXT_ENOUGH ? ".." : "");
    }
    if (v->kind == V_BUILTIN) {
        return arena_printf(e->arena, "the function `%s`", v->builtin->name);
    }
    if (v->kind == V_DTYPE) {
        return arena_printf(e->arena, "the element type `%s`", dtype_info(v->dtype)->name);
    }
    if (v->kind == V_FILE) {
        return arena_printf(e->arena, "the file `%s`", v->file->name);
    }
    if (v->kind == V_CLOSURE || v->kind == V_MODULE || v->kind == V_RECORD || v->kind == V_BLOCK) {
        return named_text(e, v);
    }
    if (v->kind == V_DATUM) {
        return datum_text(e, &v->datum->type);
    }
    if (v->kind == V_INSTANCE) {
        return arena_printf(e->arena, "the instance `%s`", inst_text(e, v->inst));
    }
    return kind_text(v->kind);
}
