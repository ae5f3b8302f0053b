/* initvalues.c: the values of initialisers that are functions of an element's indices. They are called when
 * somebody needs values, at compile time like every number, and only for the indices that they read:
 * `(e, n) => log(n + 1)` has as many values as the second axis has elements. */
#include "elab.h"
#include <math.h>

/* Values of one evaluator, whose memory then goes; and how much work all functions of a program may ask
 * for, in allowances of a program. */
enum { VALUES_AT_ONCE = 4096, ALLOWANCES = 8 };

static bool reads(const Ast *a, Sym name)
{
    bool found = a && a->kind == A_ID && a->name == name;
    for (uint32_t i = 0; a && !found && i < a->nkid; i++) {
        found = reads(a->kid[i], name);
    }
    return found;
}

/* Bit k: the function looks at its argument k, for all one can see. */
static uint32_t axes_read(const Val *fn, uint32_t rank)
{
    uint32_t all = (1u << rank) - 1, axes = 0;
    const Ast *a = fn->code.ast, *params = a->kid[0];
    if (a->kind != A_LAMBDA) {
        return all;
    }
    while (params->kind == A_PAREN) {
        params = params->kid[0];
    }
    for (uint32_t k = 0; k < rank; k++) {
        const Ast *p = params->kind == A_TUPLE ? params->kid[k] : params;
        axes |= reads(a->kid[1], p->name) ? 1u << k : 0;
    }
    return axes;
}

typedef struct Values {
    Front *front;
    const Program *program;
    const State *state;
    const Val *fn;
    int64_t dim[IR_MAX_RANK];
    uint32_t axes;
    double *out;
} Values;

static const Val *call_at(Elab *e, const Values *v, int64_t i)
{
    int64_t at[IR_MAX_RANK] = {0};
    for (uint32_t k = v->state->type->rank; k-- > 0;) {
        if (v->axes >> k & 1) {
            at[k] = i % v->dim[k];
            i /= v->dim[k];
        }
    }
    Args args = {.call = v->fn->span};
    for (uint32_t k = 0; k < v->state->type->rank; k++) {
        args_push(e, &args, NULL, val_int(e, at[k], v->fn->span));
    }
    return call_value(e, v->fn->code.env, v->fn, &args);
}

static bool take(const Values *v, Arena *arena, int64_t from, int64_t to)
{
    Elab *e = elab_new(v->front, (Program *)v->program, arena);
    for (int64_t i = from; i < to; i++) {
        const Val *x = call_at(e, v, i);
        if (val_is_poison(x)) {
            return false;
        }
        if (!val_as_double(x, &v->out[i]) || !isfinite(v->out[i])) {
            diag_at(e->diags, DIAG_E0205, v->fn->span,
                    "an initialiser gives a finite number for each element, got %s",
                    val_text(e, x));
            return false;
        }
    }
    return true;
}

static bool fill(Front *f, const Program *p, State *s)
{
    Values v = {.front = f, .program = p, .state = s, .fn = s->init.function};
    v.axes = axes_read(v.fn, s->type->rank);
    int64_t n = 1;
    for (uint32_t k = 0; k < s->type->rank; k++) {
        bool known = dim_is_const(s->type->dims[k], &v.dim[k]);
        ASSERT(known);
        n *= v.axes >> k & 1 ? v.dim[k] : 1;
    }
    if ((uint64_t)n > f->allowance - (f->work < f->allowance ? f->work : f->allowance)) {
        diag_at(f->ir->diags, DIAG_E0109, v.fn->span,
                "this function would be called for %lld elements of `%s`: too many", (long long)n,
                s->path);
        return false;
    }
    v.out = NEW_ARRAY(f->arena, double, n + 1);
    bool ok = true;
    for (int64_t i = 0; ok && i < n; i += VALUES_AT_ONCE) {
        Arena *arena = arena_new();
        ok = take(&v, arena, i, i + VALUES_AT_ONCE < n ? i + VALUES_AT_ONCE : n);
        arena_free(arena);
    }
    s->init.values = v.out;
    s->init.axes = v.axes;
    return ok;
}

bool front_first_values(Front *f, const Program *p)
{
    uint64_t work = f->work, allowance = f->allowance;
    uint32_t errors = diags_reported(f->ir->diags);
    f->work = 0;
    f->allowance = ALLOWANCES * allowance;
    for (uint32_t i = 0; i < p->states.n; i++) {
        State *s = p->states.at[i];
        if (s->init.kind == INIT_FUNCTION && !s->init.values && !fill(f, p, s)) {
            break;
        }
    }
    f->work = work;
    f->allowance = allowance;
    return diags_reported(f->ir->diags) == errors;
}
