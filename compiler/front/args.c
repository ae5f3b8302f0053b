/* args.c: arguments of built-in functions and constructors.
 *
 * What a function takes stands in its row of the tables, as people write it: "x, n, axis:, ..:".
 * `x` may be given by place or by name, `axis:` by name alone; `..` any number by place, `..:` any names. */
#include "builtin.h"

/* ---- what is taken ---- */

typedef struct Formal {
    const char *name; /* not terminated */
    size_t n;
    bool named; /* by name alone */
} Formal;

/* The formal at *at, which moves on; false at the end. */
static bool next_formal(const char **at, Formal *out)
{
    *at += strspn(*at, ", ");
    size_t n = strcspn(*at, ",");
    *out = (Formal){*at, n, n && (*at)[n - 1] == ':'};
    *at += n;
    out->n -= out->named;
    return n > 0;
}

const char *builtin_formals(const Builtin *b)
{
    static const char *const of_elements[] = {"", "x", "a, b", "c, a, b"};
    return b->formals ? b->formals : of_elements[op_info(b->op)->arity];
}

static bool is_rest(const Formal *f)
{
    return f->n == 2 && strncmp(f->name, "..", 2) == 0;
}

/* The place that a name has; UINT32_MAX: it has none. False: it is no name of b. */
static bool place_of(const Builtin *b, Sym name, uint32_t *place)
{
    uint32_t i = 0;
    Formal f;
    *place = UINT32_MAX;
    for (const char *at = builtin_formals(b); next_formal(&at, &f); i++) {
        if (strncmp(f.name, name, f.n) == 0 && !name[f.n]) {
            *place = f.named ? UINT32_MAX : i;
            return true;
        }
        if (is_rest(&f) && f.named) {
            return true;
        }
    }
    return false;
}

uint32_t builtin_places(const Builtin *b)
{
    uint32_t n = 0;
    Formal f;
    for (const char *at = builtin_formals(b); next_formal(&at, &f); n += !f.named) {
        if (is_rest(&f) && !f.named) {
            return UINT32_MAX;
        }
    }
    return n;
}

static void note_formals(Diag *d, const Builtin *b)
{
    diag_note(d, "it is `%s(%s)`", b->name, builtin_formals(b));
}

bool builtin_check_name(Elab *e, const Builtin *b, Sym name, Span span)
{
    uint32_t place;
    if (place_of(b, name, &place)) {
        return true;
    }
    note_formals(diag_at(e->diags, DIAG_E0302, span, "`%s` has no argument `%s`", b->name, name),
                 b);
    return false;
}

/* ---- what is given ---- */

/* Which argument has that name; args->n: none. */
static uint32_t named_at(const Args *args, const Formal *f)
{
    uint32_t i = 0;
    while (i < args->n &&
           !(args->name[i] && strncmp(args->name[i], f->name, f->n) == 0 && !args->name[i][f->n])) {
        i++;
    }
    return i;
}

static bool check_names(Elab *e, const Builtin *b, const Args *args)
{
    uint32_t positional = args_positional(args), place;
    for (uint32_t i = 0; i < args->n; i++) {
        if (args->name[i] && !builtin_check_name(e, b, args->name[i], args->name_span[i])) {
            return false;
        }
        bool twice = args->name[i] && place_of(b, args->name[i], &place) && place < positional;
        for (uint32_t k = 0; k < i && args->name[i]; k++) {
            twice = twice || args->name[k] == args->name[i];
        }
        if (twice) {
            diag_at(e->diags, DIAG_E0303, args->name_span[i], "`%s` gets `%s` twice", b->name,
                    args->name[i]);
            return false;
        }
    }
    return true;
}

bool args_place(Elab *e, const Builtin *b, Args *args)
{
    if (!check_names(e, b, args)) {
        return false;
    }
    if (args_positional(args) == args->n || builtin_at_data(b)) {
        return true; /* of data time the plan keeps the names */
    }
    Args out = {.call = args->call};
    for (uint32_t i = 0; i < args->n; i++) {
        if (!args->name[i]) {
            args_push(e, &out, NULL, args->at[i]);
        }
    }
    bool *taken = NEW_ARRAY(e->arena, bool, args->n + 1);
    uint32_t place = 0, k;
    Formal f;
    for (const char *at = builtin_formals(b); next_formal(&at, &f) && !f.named; place++) {
        if (place == out.n && (k = named_at(args, &f)) < args->n) {
            args_push(e, &out, NULL, args->at[k]);
            taken[k] = true;
        }
    }
    for (uint32_t i = 0; i < args->n; i++) {
        if (args->name[i] && !taken[i]) {
            args_push(e, &out, args->name[i], args->at[i]);
            out.name_span[out.n - 1] = args->name_span[i];
        }
    }
    *args = out;
    return true;
}

const Val *args_get(const Args *args, uint32_t i, const char *name)
{
    uint32_t position = 0;
    for (uint32_t k = 0; k < args->n; k++) {
        if (args->name[k] ? name && strcmp(args->name[k], name) == 0 : position == i) {
            return args->at[k];
        }
        position += !args->name[k];
    }
    return NULL;
}

uint32_t args_positional(const Args *args)
{
    uint32_t n = 0;
    for (uint32_t k = 0; k < args->n; k++) {
        n += !args->name[k];
    }
    return n;
}

bool args_count(Elab *e, const Builtin *b, const Args *args, uint32_t n)
{
    if (args_positional(args) != n) {
        note_formals(diag_at(e->diags, DIAG_E0303, args->call, "`%s` takes %u argument%s, got %u",
                             b->name, n, n == 1 ? "" : "s", args_positional(args)),
                     b);
        return false;
    }
    return true;
}

const Node *args_tensor(Elab *e, const Args *args, uint32_t i)
{
    const Val *v = args_get(args, i, NULL);
    return val_is_poison(v) ? NULL : tensor_of(e, v);
}

const Node *args_wide(Elab *e, const Args *args, uint32_t i, DType *dt)
{
    const Val *v = args_get(args, i, NULL);
    const Node *n = val_is_poison(v) ? NULL : tensor_of(e, v);
    *dt = n ? n->type->dtype : DT_F32;
    return n && is_tensor(v) ? narrow_wide(e, v) : n;
}

bool axis_read(Elab *e, const Val *v, uint32_t rank, int64_t *axis)
{
    if (val_is_poison(v)) {
        return false;
    }
    if (!val_as_int(v, axis)) {
        diag_at(e->diags, DIAG_E0503, v->span, "an axis is a compile-time integer, got %s",
                val_text(e, v));
        return false;
    }
    *axis += *axis < 0 ? rank : 0;
    if (*axis < 0 || *axis >= rank) {
        diag_at(e->diags, DIAG_E0416, v->span, "axis %s of a tensor of rank %u", val_text(e, v),
                rank);
        return false;
    }
    return true;
}

bool args_axis(Elab *e, const Args *args, uint32_t rank, int64_t missing, int64_t *axis)
{
    const Val *v = args_get(args, UINT32_MAX, "axis");
    if (!v && missing == AXIS_NEEDED) {
        diag_at(e->diags, DIAG_E0303, args->call, "`axis: k` is missing");
        return false;
    }
    return v ? axis_read(e, v, rank, axis)
             : axis_read(e, val_int(e, missing, args->call), rank, axis);
}
