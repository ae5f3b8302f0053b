/* lrschedule.c: `schedule = cosine(warmup: 5%, final: 10%)` as segments of the learning-rate factor. */
#include "blocks.h"

static bool length_of(Elab *e, const Val *v, const char *what, PlanSegment *s)
{
    double f;
    if (v->kind == V_PERCENT && v->f >= 0 && v->f <= 1) {
        s->unit = PU_SHARE;
        s->length = v->f;
        return true;
    }
    if (v->kind == V_QUANTITY && v->f < 1e12) {
        bool steps = strncmp(v->unit, "step", 4) == 0, epochs = strncmp(v->unit, "epoch", 5) == 0;
        if (steps || epochs) {
            s->unit = steps ? PU_STEPS : PU_EPOCHS;
            s->length = v->f;
            return true;
        }
    }
    if (val_as_double(v, &f) && f == 0) {
        s->unit = PU_STEPS;
        return true;
    }
    if (!val_is_poison(v)) {
        diag_at(e->diags, DIAG_E0802, v->span,
                "%s is a share up to 100%%, or a number of steps or epochs, got %s", what,
                val_text(e, v));
    }
    return false;
}

typedef struct Schedule {
    Elab *e;
    PlanBuilder *b;
    const Val *record;
} Schedule;

static void push(const Schedule *x, const PlanSegment *s)
{
    VEC_PUSH(x->b->arena, &x->b->segments, *s);
}

static bool factor_of(Elab *e, const Val *v, double *out)
{
    if (val_as_double(v, out) && *out >= 0 && *out < 1e12) {
        return true;
    }
    if (!val_is_poison(v)) {
        diag_at(e->diags, DIAG_E0802, v->span, "`final` is a factor, got %s", val_text(e, v));
    }
    return false;
}

/* From 0 to 1, when there is an argument `warmup`. */
static bool warm_up(const Schedule *x)
{
    const Val *v = record_arg(x->e, x->record, 0, "warmup");
    PlanSegment s = {.curve = PC_LINEAR, .f0 = 0, .f1 = 1};
    if (v && !length_of(x->e, v, "a warm-up", &s)) {
        return false;
    }
    if (v) {
        push(x, &s);
    }
    return true;
}

/* constant, linear, cosine: a warm-up, and one curve over the rest. */
static bool one_curve(const Schedule *x, PlanCurve curve)
{
    PlanSegment rest = {.curve = curve, .unit = PU_REST, .f0 = 1, .f1 = curve == PC_HOLD};
    const Val *to = curve == PC_HOLD ? NULL : record_arg(x->e, x->record, 1, "final");
    if (!warm_up(x) || (to && !factor_of(x->e, to, &rest.f1))) {
        return false;
    }
    push(x, &rest);
    return true;
}

/* Warm-up, stable, decay: the last part falls as 1 - sqrt(t). */
static bool stable_decay(const Schedule *x)
{
    const Val *decay = record_arg(x->e, x->record, 1, "decay");
    const Val *to = record_arg(x->e, x->record, 2, "final");
    PlanSegment stable = {.curve = PC_HOLD, .unit = PU_REST, .f0 = 1, .f1 = 1};
    PlanSegment end = {.curve = PC_SQRT, .unit = PU_SHARE, .length = 0.1, .f0 = 1};
    if (!warm_up(x) || (decay && !length_of(x->e, decay, "a decay", &end)) ||
        (to && !factor_of(x->e, to, &end.f1))) {
        return false;
    }
    push(x, &stable);
    push(x, &end);
    return true;
}

/* A pair of piecewise: where it begins, and the factor from there on. */
static bool read_pair(Elab *e, const Val *v, PlanSegment *at)
{
    *at = (PlanSegment){.curve = PC_HOLD};
    if (v->kind != V_TUPLE || v->list.n != 2) {
        if (!val_is_poison(v)) {
            diag_at(e->diags, DIAG_E0802, v->span,
                    "piecewise takes pairs of a place and a factor, as (50%%, 0.1), got %s",
                    val_text(e, v));
        }
        return false;
    }
    return length_of(e, v->list.at[0], "a place", at) && factor_of(e, v->list.at[1], &at->f0);
}

/* Steps: each factor holds until the next place, the last to the end. */
static bool steps(const Schedule *x)
{
    Elab *e = x->e;
    const Ast *a = x->record->code.ast;
    PlanSegment last = {.curve = PC_HOLD, .f0 = 1}, at;
    for (uint32_t i = 1; a->kind == A_CALL && i < a->nkid; i++) {
        const Val *v = eval(e, x->record->code.env, a->kid[i]);
        if (!read_pair(e, v, &at)) {
            return false;
        }
        if (at.unit == last.unit && at.length < last.length) {
            diag_at(e->diags, DIAG_E0802, v->span, "the places of a schedule ascend");
            return false;
        }
        PlanSegment hold = {.curve = PC_HOLD,
                            .unit = at.unit,
                            .length = at.length,
                            .f0 = last.f0,
                            .f1 = last.f0,
                            .absolute = 1};
        if (hold.length > 0) {
            push(x, &hold);
        }
        last = at;
    }
    push(x, &(PlanSegment){.curve = PC_HOLD, .unit = PU_REST, .f0 = last.f0, .f1 = last.f0});
    return true;
}

/* (step, total) => factor: the run time evaluates nothing. */
static bool lambda(Elab *e, const Val *fn, Span span)
{
    Args args = {.call = span};
    double factor;
    Graph *g = e->g;
    e->g = NULL;
    args_push(e, &args, NULL, val_int(e, 1, span));
    args_push(e, &args, NULL, val_int(e, 100, span));
    const Val *v = call_closure(e, fn, &args);
    e->g = g;
    not_yet(e, span, "a schedule of your own");
    return val_at(e, v, span) && factor_of(e, v, &factor);
}

bool schedule_segments(Elab *e, PlanBuilder *b, Env *env, const Ast *expr, PlanRun *run)
{
    static const Ast constant = {.kind = A_ID, .name = "constant"};
    Val none = {.kind = V_RECORD, .code = {.ast = &constant, .env = env}};
    const Val *v = expr ? eval(e, env, expr) : &none;
    const char *name = v->kind == V_RECORD ? record_name(v) : "";
    Schedule x = {e, b, v};
    bool ok = false;
    run->segment0 = b->segments.n;
    if (expr && v->kind == V_CLOSURE) {
        ok = lambda(e, v, expr->span);
    } else if (strcmp(name, "constant") == 0) {
        ok = one_curve(&x, PC_HOLD);
    } else if (strcmp(name, "linear") == 0) {
        ok = one_curve(&x, PC_LINEAR);
    } else if (strcmp(name, "cosine") == 0) {
        ok = one_curve(&x, PC_COSINE);
    } else if (strcmp(name, "wsd") == 0) {
        ok = stable_decay(&x);
    } else if (strcmp(name, "piecewise") == 0) {
        ok = steps(&x);
    } else if (expr && !val_is_poison(v)) {
        diag_at(e->diags, DIAG_E0802, expr->span,
                "expected a schedule: constant, linear, cosine, wsd or piecewise, got %s",
                val_text(e, v));
    }
    run->nsegment = b->segments.n - run->segment0;
    return ok;
}
