/* initialiser.c: first values of parameters and buffers: a closed set of distributions, a number, or a
 * function of the element's indices (language.md 2.10). The runtime draws them on the host. */
#include "elab.h"
#include <math.h>

static bool from_record(Elab *e, const Val *record, Init *out)
{
    static const struct {
        const char *name;
        InitKind kind;
        const char *argument; /* NULL: takes none */
        bool needed, scale;   /* scale: not negative */
        double missing;
    } kinds[] = {
        {"zeros", INIT_ZEROS, NULL, false, false, 0},
        {"ones", INIT_ONES, NULL, false, false, 0},
        {"constant", INIT_CONSTANT, "c", true, false, 0},
        {"normal", INIT_NORMAL, "std", true, true, 0},
        {"truncated", INIT_TRUNCATED, "std", true, true, 0},
        {"uniform", INIT_UNIFORM, "a", true, true, 0},
        {"kaiming_uniform", INIT_KAIMING_UNIFORM, "a", false, true, 2.23606797749979},
        {"xavier_uniform", INIT_XAVIER_UNIFORM, NULL, false, false, 0},
        {"orthogonal", INIT_ORTHOGONAL, NULL, false, false, 0},
        {"eye", INIT_EYE, NULL, false, false, 0},
        {"row_mean", INIT_ROW_MEAN, NULL, false, false, 0},
    };
    for (size_t i = 0; record->kind == V_RECORD && i < COUNT(kinds); i++) {
        if (strcmp(record_name(record), kinds[i].name) != 0) {
            continue;
        }
        const char *name = kinds[i].argument;
        const Val *v = name ? record_arg(e, record, 0, name) : NULL;
        *out = (Init){.kind = kinds[i].kind, .a = kinds[i].missing};
        if (v && val_is_poison(v)) {
            return false;
        }
        if (v ? !val_as_double(v, &out->a) : kinds[i].needed) {
            diag_at(e->diags, v ? DIAG_E0205 : DIAG_E0303, v ? v->span : record->span,
                    "`%s(%s)` takes one number, got %s", kinds[i].name, name,
                    v ? val_text(e, v) : "none");
            return false;
        }
        if (v && (!isfinite(out->a) || (kinds[i].scale && out->a < 0))) {
            diag_at(e->diags, DIAG_E0504, v->span, "`%s` needs a finite number%s, got %s",
                    kinds[i].name, kinds[i].scale ? " >= 0" : "", val_text(e, v));
            return false;
        }
        return true;
    }
    if (!val_is_poison(record)) {
        diag_at(e->diags, DIAG_E0205, record->span, "expected an initialiser, got %s",
                val_text(e, record));
    }
    return false;
}

/* `eye` and `orthogonal` are of matrices, `row_mean` has rows. */
static bool rank_fits(Elab *e, const Val *v, uint32_t rank, const Init *init)
{
    bool matrix = init->kind == INIT_EYE, rows = init->kind == INIT_ROW_MEAN;
    bool fits = matrix ? rank == 2 : init->kind == INIT_ORTHOGONAL ? rank >= 2 : !rows || rank >= 1;
    if (!fits) {
        diag_at(e->diags, DIAG_E0406, v->span, "`%s` is for %s, got rank %u", record_name(v),
                matrix ? "matrices"
                : rows ? "rows"
                       : "rank 2 or more",
                rank);
    }
    return fits;
}

/* (e, n) => log(n + 1): called once, at the first element, to check it. */
static bool from_lambda(Elab *e, const Val *v, uint32_t rank, Init *out)
{
    Args args = {.call = v->span};
    for (uint32_t i = 0; i < rank; i++) {
        args_push(e, &args, NULL, val_int(e, 0, v->span));
    }
    const Val *first = call_value(e, v->code.env, v, &args);
    if (!val_as_double(first, &out->a)) {
        if (!val_is_poison(first)) {
            diag_at(e->diags, DIAG_E0205, v->span,
                    "an initialiser gives a number for the indices of an element, got %s",
                    val_text(e, first));
        }
        return false;
    }
    *out = (Init){.kind = INIT_FUNCTION, .function = v};
    return true;
}

bool initialiser_read(Elab *e, const Val *v, uint32_t rank, Init *out)
{
    if (v->kind == V_CLOSURE) {
        return from_lambda(e, v, rank, out);
    }
    return from_record(e, v, out) && rank_fits(e, v, rank, out);
}
