/* datum_accept.c: data-time values, and records of text fields, as arguments and results of functions. */
#include "datum.h"
#include "unify.h"

/* Words such as `image`; a string is known at compile time too. */
static const Val *accept_kind(const Accept *x, const Ast *type, const Val *v, DatumKind kind)
{
    const Val *r = datum_as_kind(x->e, v, kind);
    return r ? r : unify_wrong_kind(x, type, v, datum_kind_text(kind));
}

const Val *datum_accept_word(const Accept *x, const Ast *type, const Val *v)
{
    const Ast *name = type->kid[0];
    DatumKind kind;
    bool word = name && name->kind == A_ID && datum_kind_find(name->name, &kind);
    if (word && kind == DA_TEXT && v->kind == V_BATCH && v->batch->text) {
        return v;
    }
    if (word && (kind != DA_STR || is_datum(v))) {
        return accept_kind(x, type, v, kind);
    }
    return NULL;
}

/* `r: text[B, T]`: the shape of its tokens. */
static const Val *accept_text(const Accept *x, const Ast *type, const Val *v)
{
    if (v->kind != V_BATCH || !v->batch->text) {
        return unify_wrong_kind(x, type, v, "a text field of the batch");
    }
    return unify_shape(x, type, v, v->batch->at[0].type) ? v : poison(x->e, v->span);
}

/* A dimension of the signature that is a number here, or NULL. */
static const Dim *known_dim(const Accept *x, const Ast *a)
{
    if (a->kind == A_PACK || (a->kind == A_ID && !env_find(x->e, x->frame, a->name, a->span))) {
        return NULL;
    }
    return eval_dim(x->e, x->frame, a);
}

/* Shapes that are not known as a whole are what the signature says; the loader looks again. */
static const Val *accept_partly(const Accept *x, const Ast *type, const Val *v)
{
    const DatumType *t = &v->datum->type;
    DatumType out = {.kind = DA_ARRAY, .shaped = true, .tiles = t->tiles, .rank = type->nkid - 1};
    bool fits = !t->shaped || t->rank == out.rank;
    for (uint32_t i = 0; fits && i < out.rank; i++) {
        const Dim *have = t->shaped ? t->dim[i] : NULL;
        if (type->kid[i + 1]->kind == A_PACK) {
            return v;
        }
        out.dim[i] = known_dim(x, type->kid[i + 1]);
        fits = !out.dim[i] || !have || out.dim[i] == have;
        out.dim[i] = out.dim[i] ? out.dim[i] : have;
    }
    return fits ? datum_new(x->e, "as", &out, (DatumArgs){&v, 1}, v->span)
                : unify_wrong_kind(x, type, v, unify_expected(x, type));
}

const Val *datum_accept_tensor(const Accept *x, const Ast *type, const Val *v)
{
    const Ast *name = type->kid[0];
    if (name && name->kind == A_ID && strcmp(name->name, "text") == 0) {
        return accept_text(x, type, v);
    }
    if (!is_datum(v)) {
        return NULL;
    }
    const Val *array = v->datum->type.kind == DA_BOOL ? v : datum_as_kind(x->e, v, DA_ARRAY);
    if (!array) {
        return unify_wrong_kind(x, type, v, unify_expected(x, type));
    }
    const DatumType *t = &array->datum->type;
    if (!datum_dims_known(t)) {
        return accept_partly(x, type, array);
    }
    const Type *tensor = type_tensor(x->e->ir, DT_F32, t->rank, t->dim);
    return unify_shape(x, type, array, tensor) ? array : poison(x->e, v->span);
}

/* An op whose tensors are all `[..]` is elementwise. */
static bool has_shapes(const Ast *op)
{
    const Ast *formals = op->kid[0];
    for (uint32_t i = 0; i < formals->nkid; i++) {
        const Ast *t = formals->kid[i]->kid[0];
        for (uint32_t k = 1; t && t->kind == A_T_TENSOR && k < t->nkid; k++) {
            if (t->kid[k]->kind != A_PACK) {
                return true;
            }
        }
    }
    return false;
}

bool datum_callable(Elab *e, const Val *fn, const Args *args)
{
    bool op = fn->kind == V_CLOSURE && fn->code.ast->kind == A_OP && has_shapes(fn->code.ast);
    bool module = fn->kind == V_INSTANCE || fn->kind == V_ARRAY || fn->kind == V_METHOD;
    for (uint32_t i = 0; (op || module) && i < args->n; i++) {
        if (is_datum(args->at[i])) {
            diag_at(e->diags, DIAG_E0205, args->call, "%s needs tensors, got %s", val_text(e, fn),
                    val_text(e, args->at[i]));
            return false;
        }
    }
    return true;
}
