/* lrschedule.c: `schedule = cosine(warmup: 5%, final: 10%)` as segments of the learning-rate factor. */
#include "blocks.h"

static bool length_of(Elab *e, const Val *v, PlanSegment *s)
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
                "a warm-up is a share up to 100%%, or a number of steps or epochs, got %s",
                val_text(e, v));
    }
    return false;
}

static bool curve_of(const char *name, PlanCurve *out)
{
    static const struct {
        const char *name;
        PlanCurve curve;
    } curves[] = {{"constant", PC_HOLD}, {"linear", PC_LINEAR}, {"cosine", PC_COSINE}};
    for (size_t i = 0; i < COUNT(curves); i++) {
        if (strcmp(name, curves[i].name) == 0) {
            *out = curves[i].curve;
            return true;
        }
    }
    return false;
}

bool schedule_segments(Elab *e, PlanBuilder *b, Env *env, const Ast *expr, PlanRun *run)
{
    PlanCurve curve = PC_HOLD;
    double final = 0;
    const Val *v = expr ? eval(e, env, expr) : NULL;
    run->segment0 = b->segments.n;
    if (v && (v->kind != V_RECORD || !curve_of(record_name(v), &curve))) {
        bool later = v->kind == V_CLOSURE ||
                     (v->kind == V_RECORD && (strcmp(record_name(v), "wsd") == 0 ||
                                              strcmp(record_name(v), "piecewise") == 0));
        if (later) {
            diag_at(e->diags, DIAG_E0199, expr->span,
                    "schedules are constant, linear or cosine, "
                    "so far");
        } else if (!val_is_poison(v)) {
            diag_at(e->diags, DIAG_E0802, expr->span,
                    "expected a schedule: constant, linear or cosine, got %s", val_text(e, v));
        }
        return false;
    }
    const Val *warmup = v ? record_arg(e, v, 0, "warmup") : NULL;
    const Val *to = v ? record_arg(e, v, 1, "final") : NULL;
    if (warmup) {
        PlanSegment s = {.curve = PC_LINEAR, .f0 = 0, .f1 = 1};
        if (!length_of(e, warmup, &s)) {
            return false;
        }
        VEC_PUSH(b->arena, &b->segments, s);
    }
    if (to && (!val_as_double(to, &final) || !(final >= 0 && final < 1e12))) {
        diag_at(e->diags, DIAG_E0802, to->span, "`final` is a factor, got %s", val_text(e, to));
        return false;
    }
    PlanSegment rest = {
        .curve = curve, .unit = PU_REST, .f0 = 1, .f1 = curve == PC_HOLD ? 1 : final};
    VEC_PUSH(b->arena, &b->segments, rest);
    run->nsegment = b->segments.n - run->segment0;
    return true;
}
