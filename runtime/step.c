/* step.c: one update of a run: `weigh` where the plan has it, `micro` once a pass, then `update`.
 *
 * The passes of a step are slices of its batch, so how many there are changes what fits into memory and not
 * what is learned. Where the loss or a gradient is not finite, `update` changes nothing: the plan says
 * whether the run stops with evidence or leaves the step out. Running statistics are the only
 * states that `micro` itself changes; they are put back. */
#include "evidence.h"
#include "philox.h"
#include "trainer.h"
#include <math.h>

enum { MAX_SKIPS = 3 }; /* in a row: then the run is lost, whatever its policy */

/* ---- running statistics ---- */

static bool each_buffer(Trainer *t, bool save, Err *err)
{
    char *kept = t->buffers;
    for (uint32_t s = 0; s < t->plan->nstates; s++) {
        RtLoan at;
        if (t->plan->states[s].kind != PS_BUFFER)
            continue;
        if (!rt_lend_state(t->rt, s, save ? RT_READ : RT_WRITE, &at, err))
            return false;
        memcpy(save ? kept : at.data, save ? at.data : kept, at.bytes);
        kept += at.bytes;
        if (!rt_return(t->rt, &at, err))
            return false;
    }
    return true;
}

static size_t buffer_bytes(const Trainer *t)
{
    size_t all = 0;
    for (uint32_t s = 0; s < t->plan->nstates; s++)
        all += t->plan->states[s].kind == PS_BUFFER ? rt_state_bytes(t->rt, s) : 0;
    return all;
}

/* ---- passes ---- */

bool step_init(Trainer *t, Err *err)
{
    const PlanRun *run = t->run;
    t->slice = NEW_ARRAY(t->arena, void *, t->plan->datas[run->data].nfield + (size_t)1);
    t->buffers = arena_alloc(t->arena, buffer_bytes(t));
    t->taps = NEW_ARRAY(t->arena, EvalMetric, t->plan->ntaps + (size_t)1);
    t->tap_sum = NEW_ARRAY(t->arena, double, t->plan->ntaps + (size_t)1);
    for (uint32_t i = 0; i < t->plan->ntaps; i++)
        t->taps[i].name = plan_text(t->plan, t->plan->taps[i].name);
    if (run->factor != PLAN_NONE && !(t->factor = factor_new(t->arena, t->plan, err)))
        return false;
    t->feed = (Feed){.plan = t->plan, .entry = &t->plan->entries[run->micro]};
    if (!feed_init(&t->feed, t->arena, run->data, err))
        return false;
    if (run->weigh == PLAN_NONE)
        return true;
    t->weigh_feed = (Feed){.plan = t->plan, .entry = &t->plan->entries[run->weigh]};
    return feed_init(&t->weigh_feed, t->arena, run->data, err);
}

static size_t row_bytes(const PlanField *f)
{
    size_t bytes = dtype_info((DType)f->dtype)->bytes;
    for (uint32_t k = 0; k < f->rank; k++)
        bytes *= f->dim[k];
    return bytes;
}

int64_t step_passes(const Trainer *t, const LoaderBatch *batch)
{
    return (batch->n + t->run->rows - 1) / t->run->rows;
}

/* The rows of pass p. Of texts that share rows there are as many as they need, and the last pass may
 * have fewer. */
static LoaderBatch slice(Trainer *t, const LoaderBatch *batch, int64_t p)
{
    int64_t left = batch->n - p * t->run->rows;
    const PlanData *data = &t->plan->datas[t->run->data];
    for (uint32_t f = 0; f < data->nfield; f++) {
        size_t bytes = row_bytes(&t->plan->fields[data->field0 + f]);
        t->slice[f] = (char *)batch->fields[f] + (size_t)(p * t->run->rows) * bytes;
    }
    return (LoaderBatch){.fields = t->slice, .n = left < t->run->rows ? left : t->run->rows};
}

bool step_pass(Trainer *t, const StepPass *x, Err *err)
{
    bool weigh = x->entry == t->run->weigh;
    Feed *feed = weigh ? &t->weigh_feed : &t->feed;
    LoaderBatch rows = slice(t, x->batch, x->pass);
    if (!feed_set(feed, &rows, err))
        return false;
    RtCall call = x->call;
    call.inputs = feed->inputs;
    call.syms = feed->syms;
    call.first = x->pass == 0;
    call.row0 = x->pass * t->run->rows;
    return rt_run(t->rt, x->entry, &call, err);
}

static bool run_passes(Trainer *t, const LoaderBatch *batch, uint32_t entry, Err *err)
{
    StepPass x = {.entry = entry, .batch = batch, .call = t->call};
    for (x.pass = 0; x.pass < step_passes(t, batch); x.pass++)
        if (!step_pass(t, &x, err))
            return false;
    return true;
}

/* ---- what is not finite ---- */

static bool stop(Trainer *t, const LoaderBatch *batch, const StepFault *fault, Err *err)
{
    runlog_event(&t->log, "diverged", t->pos.step + 1);
    progress_end(&t->progress);
    Err ignored = {0};
    const char *found = evidence_write(t, batch, fault, &ignored);
    err_set(err, ERR_DIVERGED, "step %lld: the %s is %g%s", (long long)t->pos.step + 1, fault->what,
            fault->value, found ? found : "");
    if (!found)
        progress_warn(&t->progress, "no evidence was written: %s", ignored.text);
    if (t->saved < 0)
        return err_help(err, "try a smaller `lr`, a longer warm-up or `clip`");
    return err_help(err,
                    "try a smaller `lr`, a longer warm-up or `clip`; the checkpoint of step %lld "
                    "is from before",
                    (long long)t->saved);
}

/* The step leaves no trace. False when the run ends. */
static bool leave_out(Trainer *t, const LoaderBatch *batch, const StepFault *fault, Err *err)
{
    if (!each_buffer(t, false, err))
        return false;
    t->skipped = true;
    if (t->run->on_nan == PN_STOP || ++t->skips == MAX_SKIPS)
        return stop(t, batch, fault, err);
    progress_warn(&t->progress, "step %lld is left out: the %s is %g", (long long)t->pos.step + 1,
                  fault->what, fault->value);
    runlog_event(&t->log, "skipped", t->pos.step + 1);
    return true;
}

/* ---- the step ---- */

static bool set_call(Trainer *t, Err *err)
{
    int64_t step = t->pos.step + 1;
    double factor = schedule_factor(t->plan, t->run, step, t->total, t->steps_per_epoch);
    if (t->factor && !factor_at(t->factor, step, t->total, &factor, err))
        return false;
    t->call = (RtCall){.step = step,
                       .lr = t->run->lr * factor,
                       .seed = (int64_t)rng_seed(t->run->seed, plan_text(t->plan, t->run->stage)),
                       .progress = t->total > 1 ? (double)t->pos.step / (double)(t->total - 1) : 0,
                       .first = true};
    t->point.lr = t->call.lr;
    t->skipped = false;
    return true;
}

static bool run_update(Trainer *t, const LoaderBatch *batch, Err *err)
{
    const PlanRun *run = t->run;
    RtCall call = t->call;
    call.syms = t->feed.syms;
    if (!rt_run(t->rt, run->update, &call, err))
        return false;
    StepFault fault = {"norm of the gradient", 0};
    double finite = 1;
    if ((run->gnorm != PLAN_NONE && !rt_state_number(t->rt, run->gnorm, &t->point.gnorm, err)) ||
        (run->finite != PLAN_NONE && !rt_state_number(t->rt, run->finite, &finite, err)))
        return false;
    bool made = finite > 0 && (run->gnorm == PLAN_NONE || isfinite(t->point.gnorm));
    fault.value = t->point.gnorm;
    if (!made)
        return leave_out(t, batch, &fault, err);
    t->skips = 0;
    return true;
}

static bool read_taps(Trainer *t, Err *err)
{
    for (uint32_t i = 0; i < t->plan->ntaps; i++) {
        const PlanTap *tap = &t->plan->taps[i];
        double sum, weight;
        if (!rt_state_number(t->rt, tap->sum, &sum, err) ||
            !rt_state_number(t->rt, tap->weight, &weight, err))
            return false;
        t->taps[i].value = sum / weight;
    }
    return true;
}

bool step_run(Trainer *t, const LoaderBatch *batch, Err *err)
{
    const PlanRun *run = t->run;
    if (!set_call(t, err) || !each_buffer(t, true, err))
        return false;
    if ((run->weigh != PLAN_NONE && !run_passes(t, batch, run->weigh, err)) ||
        !run_passes(t, batch, run->micro, err))
        return false;
    double weight, sum;
    if (!rt_state_number(t->rt, run->loss_weight, &weight, err) ||
        !rt_state_number(t->rt, run->loss_sum, &sum, err) || !read_taps(t, err))
        return false;
    t->point.loss = weight == 0 && sum == 0 ? 0 : sum / weight;
    t->point.gnorm = (double)NAN;
    const StepFault fault = {"loss", t->point.loss};
    return isfinite(t->point.loss) ? run_update(t, batch, err) : leave_out(t, batch, &fault, err);
}
