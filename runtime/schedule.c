/* schedule.c: the learning-rate schedule, a table of segments laid end to end over a run.
 *
 * Update s (1-based) lies in the segment that covers the steps up to s; a segment of w steps reaches
 * its end value at its w-th step, so that a warm-up from 0 to 1 gives s / w and never 0. */
#include "runtime.h"
#include <math.h>

/* A share such as 7% of 100 steps is 7.000000000000001 in binary: not 8 steps. */
static double whole_steps(double steps)
{
    return ceil(steps * (1 - 1e-12));
}

/* In steps; REST counts 0 here. */
static double in_steps(const PlanSegment *s, double total, double steps_per_epoch)
{
    switch ((PlanUnit)s->unit) {
    case PU_STEPS:
        return whole_steps(s->length);
    case PU_EPOCHS:
        return whole_steps(s->length * steps_per_epoch);
    case PU_SHARE:
        return whole_steps(s->length * total);
    case PU_REST:
    case PU_MINUTES:
        break;
    }
    return 0;
}

/* What a segment that begins behind `start` steps has for itself. */
static double fixed_length(const PlanSegment *s, double start, double total, double steps_per_epoch)
{
    double steps = in_steps(s, total, steps_per_epoch);
    return !s->absolute ? steps : steps > start ? steps - start : 0;
}

static double curve_at(const PlanSegment *s, double t)
{
    switch ((PlanCurve)s->curve) {
    case PC_HOLD:
        break;
    case PC_LINEAR:
        return s->f0 + (s->f1 - s->f0) * t;
    case PC_COSINE:
        return s->f1 + (s->f0 - s->f1) * 0.5 * (1 + cos(acos(-1.0) * t));
    case PC_SQRT:
        return s->f1 + (s->f0 - s->f1) * (1 - sqrt(t));
    }
    return s->f0;
}

double schedule_factor(const Plan *plan, const PlanRun *run, int64_t step, int64_t total,
                       double steps_per_epoch)
{
    const PlanSegment *segments = &plan->segments[run->segment0];
    double rest = (double)total, start = 0, factor = 1;
    for (uint32_t i = 0; i < run->nsegment; i++)
        rest -= fixed_length(&segments[i], (double)total - rest, (double)total, steps_per_epoch);
    rest = rest > 0 ? rest : 0;
    for (uint32_t i = 0; i < run->nsegment; i++) {
        const PlanSegment *s = &segments[i];
        double length =
            s->unit == PU_REST ? rest : fixed_length(s, start, (double)total, steps_per_epoch);
        if (s->unit == PU_REST)
            rest = 0; /* the first one takes it all */
        if ((double)step <= start + length)
            return curve_at(s, ((double)step - start) / length);
        start += length;
        factor = curve_at(s, 1);
    }
    return factor;
}
