/* datum.c: operators on data-time values: each makes a node of the tree, with the shape that follows
 * where shapes are known. What a file holds is not known before a run: it is taken for what it is used
 * as, and the loader looks again. */
#include "datum.h"

bool is_datum(const Val *v)
{
    return v->kind == V_DATUM;
}

const Val *datum_val(Elab *e, const Datum *d)
{
    Val *v = val_new(e, V_DATUM, d->span);
    v->datum = d;
    return v;
}

const Val *datum_row(Elab *e, const Columns *columns, Span span)
{
    DatumType t = {.kind = DA_ROW, .columns = columns};
    return datum_new(e, "row", &t, (DatumArgs){0}, span);
}

static Datum *leaf(Elab *e, const char *op, DatumKind kind, Span span)
{
    Datum *d = NEW(e->arena, Datum);
    d->op = op;
    d->type = (DatumType){.kind = kind, .shaped = kind == DA_ARRAY};
    d->span = span;
    return d;
}

static const Datum *datum_list(Elab *e, const Val *v)
{
    Datum *d = leaf(e, "tuple", DA_ARRAY, v->span);
    const Datum **arg = NEW_ARRAY(e->arena, const Datum *, v->list.n + 1);
    d->type.rank = 1;
    d->type.dim[0] = dim_const(e->ir, v->list.n);
    for (uint32_t i = 0; i < v->list.n; i++) {
        arg[i] = datum_of(e, v->list.at[i]);
        if (!arg[i]) {
            return NULL;
        }
    }
    d->narg = v->list.n;
    d->arg = arg;
    return d;
}

const Datum *datum_of(Elab *e, const Val *v)
{
    double f;
    if (v->kind == V_DATUM) {
        return v->datum;
    }
    if (val_as_double(v, &f) || v->kind == V_BOOL) {
        Datum *d = leaf(e, "number", v->kind == V_BOOL ? DA_BOOL : DA_ARRAY, v->span);
        d->num = v->kind == V_BOOL ? v->b : f;
        return d;
    }
    if (v->kind == V_STR) {
        Datum *d = leaf(e, "string", DA_STR, v->span);
        d->text = v->str;
        return d;
    }
    if (v->kind == V_TUPLE || v->kind == V_LIST) {
        return datum_list(e, v);
    }
    if (!val_is_poison(v)) {
        diag_at(e->diags, DIAG_E0205, v->span, "%s means nothing when a batch is made",
                val_text(e, v));
    }
    return NULL;
}

const Val *datum_new(Elab *e, const char *op, const DatumType *type, DatumArgs args, Span span)
{
    const Datum **arg = NEW_ARRAY(e->arena, const Datum *, args.n + 1);
    for (uint32_t i = 0; i < args.n; i++) {
        arg[i] = datum_of(e, args.at[i]);
        if (!arg[i]) {
            return poison(e, span);
        }
    }
    Datum *d = leaf(e, op, type->kind, span);
    d->type = *type;
    d->narg = args.n;
    d->arg = arg;
    return datum_val(e, d);
}

/* ---- kinds ---- */

bool datum_kind_find(Sym word, DatumKind *out)
{
    static const struct {
        const char *word;
        DatumKind kind;
    } words[] = {
        {"image", DA_IMAGE}, {"str", DA_STR},     {"row", DA_ROW},
        {"text", DA_TEXT},   {"audio", DA_AUDIO},
    };
    for (size_t i = 0; i < COUNT(words); i++) {
        if (strcmp(word, words[i].word) == 0) {
            *out = words[i].kind;
            return true;
        }
    }
    return false;
}

/* row.a + row.b: numbers, or texts where a text is wanted. */
static bool adds_cells(const Datum *d)
{
    bool adds = strcmp(d->op, "add") == 0;
    for (uint32_t i = 0; adds && i < d->narg; i++) {
        adds = d->arg[i]->type.kind == DA_ANY || adds_cells(d->arg[i]);
    }
    return adds;
}

const Val *datum_as_kind(Elab *e, const Val *v, DatumKind kind)
{
    if (v->kind == V_STR && (kind == DA_STR || kind == DA_TEXT)) {
        return v;
    }
    if (!is_datum(v)) {
        return NULL;
    }
    DatumKind have = v->datum->type.kind;
    bool text = kind == DA_TEXT && have == DA_STR;
    if (have == kind || text) {
        return v;
    }
    bool wants_text = kind == DA_STR || kind == DA_TEXT;
    if (have != DA_ANY && !(wants_text && adds_cells(v->datum))) {
        return NULL;
    }
    Datum *d = COPY_ARRAY(e->arena, Datum, v->datum, 1);
    d->type = (DatumType){.kind = kind == DA_TEXT ? DA_STR : kind};
    return datum_val(e, d);
}

bool datum_list_of_numbers(Elab *e, const Val *v)
{
    for (uint32_t i = 0; i < v->list.n; i++) {
        const Val *x = v->list.at[i];
        const Val *a = is_datum(x) ? datum_as_kind(e, x, DA_ARRAY) : NULL;
        bool one = a && (!a->datum->type.shaped || a->datum->type.rank == 0);
        bool condition = is_datum(x) && x->datum->type.kind == DA_BOOL;
        if (!one && !condition && !val_is_number(x)) {
            return false;
        }
    }
    return v->list.n > 0;
}

bool datum_is_text(const Ast *type)
{
    const Ast *name = type->kind == A_T_NAME || type->kind == A_T_TENSOR ? type->kid[0] : NULL;
    return name && name->kind == A_ID && strcmp(name->name, "text") == 0;
}

const Val *datum_made(Elab *e, const Ast *type)
{
    const Ast *name = type->kind == A_T_NAME ? type->kid[0] : NULL;
    DatumType t = {0};
    bool word = name && name->kind == A_ID && datum_kind_find(name->name, &t.kind);
    if (!word || t.kind == DA_TEXT) {
        return NULL;
    }
    Columns *any = NEW(e->arena, Columns);
    any->open = true;
    t.columns = any;
    return datum_new(e, "made", &t, (DatumArgs){0}, type->span);
}

bool datum_dims_known(const DatumType *t)
{
    for (uint32_t i = 0; i < t->rank; i++) {
        if (!t->dim[i]) {
            return false;
        }
    }
    return t->shaped;
}

/* ---- operators ---- */

static bool is_list(const Val *v)
{
    return v->kind == V_TUPLE || v->kind == V_LIST;
}

/* The type of a value in a data-time expression. A list is of numbers. */
static DatumType type_of(Elab *e, const Val *v)
{
    if (is_list(v)) {
        return (DatumType){DA_ARRAY, true, false, 1, {dim_const(e->ir, v->list.n)}, NULL};
    }
    DatumKind kind = v->kind == V_STR ? DA_STR : v->kind == V_BOOL ? DA_BOOL : DA_ARRAY;
    return is_datum(v) ? v->datum->type : (DatumType){.kind = kind, .shaped = true};
}

static bool is_number(DatumKind kind)
{
    return kind == DA_ANY || kind == DA_ARRAY || kind == DA_BOOL;
}

/* The shape of two operands: the shorter one is a suffix of the longer. False when it is not. */
static bool broadcast(const DatumType *a, const DatumType *b, DatumType *out)
{
    const DatumType *wide = a->rank >= b->rank ? a : b, *low = a->rank >= b->rank ? b : a;
    *out = (DatumType){.kind = DA_ARRAY};
    if (!a->shaped || !b->shaped) {
        return true;
    }
    out->shaped = true;
    out->rank = wide->rank;
    uint32_t lead = wide->rank - low->rank;
    for (uint32_t i = 0; i < wide->rank; i++) {
        const Dim *x = wide->dim[i], *y = i < lead ? NULL : low->dim[i - lead];
        out->dim[i] = x ? x : y;
        if (x && y && x != y) {
            return false;
        }
    }
    return true;
}

static const Val *wrong_operands(Elab *e, const char *op, const Val *const *arg, uint32_t n,
                                 Span span)
{
    StrBuf sb = sb_new(e->arena);
    for (uint32_t i = 0; i < n; i++) {
        sb_printf(&sb, "%s%s", i ? " and " : "", val_text(e, arg[i]));
    }
    diag_at(e->diags, DIAG_E0205, span, "`%s` of %s means nothing", op, sb_text(&sb));
    return poison(e, span);
}

typedef enum Rule { RULE_NUMBERS, RULE_EQUAL, RULE_ORDER, RULE_LOGIC, RULE_SELECT } Rule;

static Rule rule_of(const char *op)
{
    static const struct {
        const char *op;
        Rule rule;
    } rules[] = {
        {"eq", RULE_EQUAL},  {"ne", RULE_EQUAL}, {"lt", RULE_ORDER},  {"le", RULE_ORDER},
        {"and", RULE_LOGIC}, {"or", RULE_LOGIC}, {"not", RULE_LOGIC}, {"select", RULE_SELECT},
    };
    for (size_t i = 0; i < COUNT(rules); i++) {
        if (strcmp(op, rules[i].op) == 0) {
            return rules[i].rule;
        }
    }
    return RULE_NUMBERS;
}

/* Two operands of one kind, or one of them a cell. */
static bool same_kind(DatumKind a, DatumKind b)
{
    return a == b || a == DA_ANY || b == DA_ANY || (is_number(a) && is_number(b));
}

/* The type of the result, or false when the operands do not fit the operator. */
static bool result_type(const char *op, const DatumType *t, uint32_t n, DatumType *out)
{
    Rule rule = rule_of(op);
    DatumKind a = t[0].kind, b = t[n - 1].kind;
    *out = (DatumType){.kind = DA_BOOL};
    if (rule == RULE_EQUAL) {
        return same_kind(a, b) && a <= DA_STR && b <= DA_STR;
    }
    if (rule == RULE_LOGIC) {
        return (a == DA_BOOL || a == DA_ANY) && (b == DA_BOOL || b == DA_ANY);
    }
    if (rule == RULE_ORDER) {
        return is_number(a) && is_number(b);
    }
    if (rule == RULE_SELECT) {
        bool numbers = is_number(t[1].kind) && is_number(t[2].kind);
        *out = (DatumType){.kind = t[1].kind == DA_ANY ? t[2].kind : t[1].kind};
        return (a == DA_BOOL || a == DA_ANY) && same_kind(t[1].kind, t[2].kind) &&
               (!numbers || broadcast(&t[1], &t[2], out));
    }
    if (strcmp(op, "add") == 0 && (a == DA_STR || b == DA_STR)) {
        out->kind = DA_STR;
        return same_kind(a, b);
    }
    for (uint32_t i = 0; i < n; i++) {
        if (!is_number(t[i].kind)) {
            return false;
        }
    }
    return broadcast(&t[0], &t[n - 1], out);
}

const Val *datum_apply(Elab *e, const char *op, const Val *const *arg, uint32_t n, Span span)
{
    DatumType t[3], out;
    ASSERT(n >= 1 && n <= COUNT(t));
    for (uint32_t i = 0; i < n; i++) {
        if (val_is_poison(arg[i])) {
            return poison(e, span);
        }
        bool known = is_datum(arg[i]) || val_is_number(arg[i]) || arg[i]->kind == V_STR;
        if (!known && arg[i]->kind != V_BOOL &&
            !(is_list(arg[i]) && datum_list_of_numbers(e, arg[i]))) {
            return wrong_operands(e, op, arg, n, span);
        }
        t[i] = type_of(e, arg[i]);
    }
    if (!result_type(op, t, n, &out)) {
        bool shapes =
            rule_of(op) == RULE_NUMBERS && is_number(t[0].kind) && is_number(t[n - 1].kind);
        if (!shapes) {
            return wrong_operands(e, op, arg, n, span);
        }
        diag_at(e->diags, DIAG_E0413, span,
                "cannot broadcast %s with %s: the shorter shape must be a suffix",
                datum_text(e, &t[0]), datum_text(e, &t[1]));
        return poison(e, span);
    }
    return datum_new(e, op, &out, (DatumArgs){arg, n}, span);
}

/* ---- members, elements, casts ---- */

static DatumKind kind_of_entry(Sym name)
{
    static const struct {
        const char *name;
        DatumKind kind;
    } entries[] = {{"jpg", DA_IMAGE}, {"jpeg", DA_IMAGE}, {"png", DA_IMAGE}, {"txt", DA_STR},
                   {"npy", DA_ARRAY}, {"cls", DA_ARRAY},  {"wav", DA_AUDIO}, {"flac", DA_AUDIO}};
    for (size_t i = 0; i < COUNT(entries); i++) {
        if (strcmp(name, entries[i].name) == 0) {
            return entries[i].kind;
        }
    }
    return DA_ANY;
}

static const Val *column_value(Elab *e, const Column *c, const Ast *a)
{
    Datum *d = leaf(e, "column", DA_ANY, a->span);
    d->type = c->type;
    d->text = c->name;
    return datum_val(e, d);
}

const Val *datum_member(Elab *e, const Val *v, const Ast *a)
{
    const Columns *columns = v->datum->type.columns;
    if (v->datum->type.kind != DA_ROW) {
        diag_at(e->diags, DIAG_E0201, a->name_span, "%s has no member `%s`", val_text(e, v),
                a->name);
        return poison(e, a->span);
    }
    Sym *names = NEW_ARRAY(e->arena, Sym, columns->n + 1);
    StrBuf sb = sb_new(e->arena);
    for (uint32_t i = 0; i < columns->n; i++) {
        names[i] = columns->at[i].name;
        if (names[i] == a->name) {
            return column_value(e, &columns->at[i], a);
        }
        sb_printf(&sb, "%s%s", i ? ", " : "", names[i]);
    }
    if (columns->open) {
        DatumKind kind = columns->arrays ? DA_ARRAY
                         : columns->tar  ? kind_of_entry(a->name)
                                         : DA_ANY;
        Column c = {a->name, {.kind = kind}};
        return column_value(e, &c, a);
    }
    Diag *d = diag_at(e->diags, DIAG_E0702, a->name_span, "a row has no field `%s`; it has %s",
                      a->name, columns->n ? sb_text(&sb) : "none");
    Sym near = sym_nearest(a->name, names, columns->n);
    if (near) {
        diag_fix(d, a->name_span, near, "a similar field exists");
    }
    return poison(e, a->span);
}

/* One element of the first axis, which is removed. */
static const Val *element(Elab *e, const Val *v, int64_t i, const Ast *at)
{
    const DatumType *t = &v->datum->type;
    DatumType out = {.kind = t->kind, .shaped = t->shaped};
    int64_t n = INT64_MAX;
    if (t->shaped && (t->rank == 0 || (t->dim[0] && dim_is_const(t->dim[0], &n) && i >= n))) {
        diag_at(e->diags, t->rank ? DIAG_E0416 : DIAG_E0406, at->span,
                t->rank ? "index %lld is out of range 0..%lld"
                        : "an index into a single number: %lld",
                (long long)i, (long long)n);
        return poison(e, at->span);
    }
    for (uint32_t k = 1; k < t->rank; k++) {
        out.dim[out.rank++] = t->dim[k];
    }
    const Val *r = datum_new(e, "index", &out, (DatumArgs){&v, 1}, at->span);
    Datum *d = COPY_ARRAY(e->arena, Datum, r->datum, 1);
    d->num = (double)i;
    return datum_val(e, d);
}

const Val *datum_index(Elab *e, Env *env, const Ast *a, const Val *v)
{
    DatumKind kind = v->datum->type.kind;
    if (kind != DA_ARRAY && kind != DA_ANY) {
        diag_at(e->diags, DIAG_E0205, a->kid[0]->span, "%s cannot be indexed", val_text(e, v));
        return poison(e, a->span);
    }
    for (uint32_t k = 1; k < a->nkid; k++) {
        int64_t i;
        if (a->kid[k]->kind == A_SLICE || a->kid[k]->kind == A_PACK) {
            diag_at(e->diags, DIAG_E0503, a->kid[k]->span,
                    "a value of a row takes constant indices, one for each axis from the first");
            return poison(e, a->span);
        }
        if (!eval_const_int(e, env, a->kid[k], &i)) {
            return poison(e, a->span);
        }
        if (i < 0 || i > UINT32_MAX) {
            diag_at(e->diags, DIAG_E0416, a->kid[k]->span, "index %lld: elements count from 0",
                    (long long)i);
            return poison(e, a->span);
        }
        v = element(e, v, i, a);
        if (val_is_poison(v)) {
            return v;
        }
    }
    return v;
}

const Val *datum_as(Elab *e, const Val *v, const Dim *const *dims, uint32_t rank, Span span)
{
    const DatumType *t = &v->datum->type;
    if (!is_number(t->kind)) {
        diag_at(e->diags, DIAG_E0205, span, "`as` is for numbers, got %s", val_text(e, v));
        return poison(e, span);
    }
    DatumType out = *t;
    out.kind = DA_ARRAY;
    if (!dims) {
        return datum_new(e, "as", &out, (DatumArgs){&v, 1}, span);
    }
    const Dim *have = dim_const(e->ir, 1), *want = have;
    out = (DatumType){.kind = DA_ARRAY, .shaped = true, .rank = rank};
    for (uint32_t i = 0; i < rank; i++) {
        out.dim[i] = dims[i];
        want = dim_mul(e->ir, want, dims[i]);
    }
    for (uint32_t i = 0; datum_dims_known(t) && i < t->rank; i++) {
        have = dim_mul(e->ir, have, t->dim[i]);
    }
    if (datum_dims_known(t) && have != want) {
        diag_at(e->diags, DIAG_E0414, span, "cannot reshape %s to %s", datum_text(e, t),
                datum_text(e, &out));
        return poison(e, span);
    }
    return datum_new(e, "as", &out, (DatumArgs){&v, 1}, span);
}
