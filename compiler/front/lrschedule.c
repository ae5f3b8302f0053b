/* lrschedule.c: `schedule = cosine(warmup: 5%, final: 10%)` as segments of the learning-rate factor. */
#include "data.h"

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

/* A number of the run, by its name. */
static const Val *run_number(Elab *e, const char *name, Span span)
{
    Datum *d = NEW(e->arena, Datum);
    *d = (Datum){.op = "column",
                 .type = {.kind = DA_ARRAY, .shaped = true},
                 .text = sym(e->ir->syms, name),
                 .span = span};
    return datum_val(e, d);
}

static const Val *lambda_value(Elab *e, const Val *fn, const Val *const arg[2], Span span)
{
    Args args = {.call = span};
    Graph *g = e->g;
    e->g = NULL;
    args_push(e, &args, NULL, arg[0]);
    args_push(e, &args, NULL, arg[1]);
    const Val *v = call_closure(e, fn, &args);
    e->g = g;
    return val_at(e, v, span);
}

/* (step, total) => factor, as code that the run evaluates: as it does fields of data. */
static bool lambda(Elab *e, PlanBuilder *b, const Val *fn, Span span, PlanRun *run)
{
    static const char *const names[] = {"step", "total"};
    const Val *const of_run[] = {run_number(e, names[0], span), run_number(e, names[1], span)};
    const Val *v = lambda_value(e, fn, of_run, span);
    double factor;
    bool number = val_as_double(v, &factor) && factor >= 0 && factor < 1e12;
    if (val_is_poison(v)) {
        return false;
    }
    const Datum *d = number || is_datum(v) ? datum_of(e, v) : NULL;
    if (!d || (is_datum(v) && (d->type.kind != DA_ARRAY || d->type.rank))) {
        diag_at(e->diags, DIAG_E0802, v->span, "a schedule gives a factor, got %s", val_text(e, v));
        return false;
    }
    PlanData two = {.column0 = b->columns.n, .ncolumn = 2};
    for (size_t i = 0; i < COUNT(names); i++) {
        VEC_PUSH(b->arena, &b->columns, ((PlanColumn){.name = planb_text(b, names[i])}));
    }
    PlanField f = {
        .name = planb_text(b, "schedule"), .kind = PF_CODE, .dtype = DT_F64, .code0 = b->codes.n};
    bool ok = d && row_code(e, b, NULL, &two, d);
    b->columns.n = two.column0; /* of no file: the run has their values */
    if (!ok) {
        return false;
    }
    f.ncode = b->codes.n - f.code0;
    run->factor = b->fields.n;
    VEC_PUSH(b->arena, &b->fields, f);
    return true;
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
    run->factor = PLAN_NONE;
    if (expr && v->kind == V_CLOSURE) {
        ok = lambda(e, b, v, expr->span, run);
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
