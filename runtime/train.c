/* train.c: the training loop.
 *
 * An update is: the next batch -> `micro` (loss and gradients) -> `update` (optimizer). Batches run
 * across epoch borders and are always full: sample p of the run is position p % rows of epoch
 * p / rows. All that a run is lies in a checkpoint: step, position, seed, parameters, buffers and
 * optimizer states; so a run that was stopped anywhere continues with the same bits. */
#include "checkpoint.h"
#include "clock.h"
#include "dataset.h"
#include "fingerprint.h"
#include "inherit.h"
#include "interrupt.h"
#include "runlock.h"
#include "trainer.h"
#include <math.h>
#include <sys/resource.h>

/* ---- before the first update ---- */

/* Those of the batch: what is left over of rows is none. 0: its rows are no tokens. */
static int64_t tokens_of(const Trainer *t, const LoaderBatch *batch)
{
    int64_t sum = 0;
    const PlanData *data = &t->plan->datas[t->run->data];
    for (uint32_t f = 0; f < data->nfield; f++) {
        const PlanField *field = &t->plan->fields[data->field0 + f];
        const uint8_t *valid = batch->fields[f];
        int64_t n = field->kind == PF_VALID ? batch->n * (int64_t)field->dim[0] : 0;
        for (int64_t i = 0; i < n; i++)
            sum += valid[i];
    }
    return sum;
}

static bool set_length(Trainer *t, Err *err)
{
    const PlanRun *run = t->run;
    if (run->batch < 1)
        return err_set(err, ERR_DATA, "plan: a batch of %lld samples", (long long)run->batch);
    t->rows = data_rows(t->ds);
    t->steps_per_epoch = (double)t->rows / (double)run->batch;
    double steps = run->epochs * t->steps_per_epoch, learned = data_learned(t->ds);
    if (run->steps > 0)
        steps = (double)run->steps;
    else if (run->tokens > 0 && !(learned > 0))
        return err_set(err, ERR_DATA, "a duration in tokens, and the data teaches none");
    else if (run->tokens > 0)
        steps = (double)run->tokens / learned / (double)run->batch;
    if (!(steps > 0 && steps < 1e15) || steps * (double)run->batch > 9e18)
        return err_set(err, ERR_DATA, "plan: a run of %g updates", steps);
    t->total = (int64_t)ceil(steps * (1 - 1e-12));
    t->last = t->total;
    if (t->opt->max_steps > 0 && t->opt->max_steps < t->last)
        t->last = t->opt->max_steps;
    return true;
}

/* Continues from the newest checkpoint, or starts with fresh parameters. */
static bool set_states(Trainer *t, Err *err)
{
    bool found = false;
    if (!ckpt_clean(t->opt->run_dir, err) ||
        !ckpt_load(t->rt, t->opt->run_dir, &t->pos, &found, err))
        return false;
    t->saved = found ? t->pos.step : -1;
    if (found)
        return true;
    t->pos = (CkptPosition){.seed = t->run->seed};
    if (!rt_init(t->rt, t->run->seed, err))
        return false;
    for (uint32_t i = 0; i < t->opt->nsource; i++)
        if (!inherit(t->rt, &t->opt->sources[i], &t->pos, err))
            return false;
    return true;
}

static bool start_loader(Trainer *t, Err *err)
{
    int64_t left = t->last > t->pos.step ? t->last - t->pos.step : 0;
    LoaderSpec spec = {.plan = t->plan,
                       .ds = t->ds,
                       .data = t->run->data,
                       .batch = t->run->batch,
                       .begin = t->pos.sample,
                       .end = t->pos.sample + left * t->run->batch,
                       .seed = t->pos.seed};
    t->loader = loader_new(&spec, err);
    return t->loader != NULL;
}

/* Where the program wants it. */
static bool open_logs(Trainer *t, Err *err)
{
    const char *dir = t->opt->run_dir;
    bool jsonl = t->run->log_to & PLAN_LOG_JSONL, board = t->run->log_to & PLAN_LOG_TENSORBOARD;
    t->progress.silent = !(t->run->log_to & PLAN_LOG_CONSOLE);
    t->trace = t->opt->trace_to > 0 ? trace_new(t->rt) : NULL;
    return (!jsonl || runlog_open(&t->log, dir, t->pos.step, err)) &&
           (!board || board_open(&t->board, dir, t->pos.step, err));
}

/* A run that goes on must find the data that it began with. */
static bool know_data(Trainer *t, Err *err)
{
    const char *dir = t->opt->run_dir;
    bool goes_on = t->saved >= 0 && !t->opt->new_data;
    return goes_on ? fingerprint_check(t->ds, dir, err) : fingerprint_write(t->ds, dir, err);
}

static void say_remarks(Trainer *t)
{
    StrBuf sb = sb_new(t->arena);
    data_remarks(t->ds, &sb);
    for (const char *at = sb_text(&sb); *at; at += strcspn(at, "\n") + 1)
        progress_say(&t->progress, "%.*s", (int)strcspn(at, "\n"), at);
}

static bool prepare(Trainer *t, Err *err)
{
    if (!file_mkdirs(t->opt->run_dir, err))
        return false;
    t->lock = runlock_take(t->opt->run_dir, err);
    if (t->lock < 0)
        return false;
    t->ds = data_open(t->plan, t->run->data, err);
    if (!t->ds || !set_length(t, err) || !step_init(t, err))
        return false;
    if (t->plan->entries[t->run->update].ninput != 0)
        return err_set(err, ERR_DATA, "plan: `update` takes inputs");
    if (!set_states(t, err) || !actions_begin(t, err))
        return false;
    t->point = (RunPoint){.step = t->pos.step, .loss = (double)NAN, .gnorm = (double)NAN};
    if (t->pos.step >= t->last)
        return true;
    if (!know_data(t, err) ||
        !ckpt_preflight(t->rt, t->opt->run_dir, actions_keep(t) + (t->best.step >= 0), err))
        return false;
    progress_begin(&t->progress, plan_text(t->plan, t->run->stage), t->pos.step, t->last,
                   t->opt->quiet);
    if (t->saved >= 0)
        progress_say(&t->progress, "resumed at step %lld", (long long)t->pos.step);
    say_remarks(t);
    return open_logs(t, err) && start_loader(t, err);
}

/* ---- one update ---- */

static void count(Trainer *t)
{
    double now = clock_now();
    t->pos.step++;
    t->pos.sample += t->run->batch;
    t->window.loss += t->skipped ? 0 : t->point.loss;
    t->window.n += !t->skipped;
    for (uint32_t i = 0; i < t->plan->ntaps; i++)
        t->tap_sum[i] += t->skipped ? 0 : t->taps[i].value;
    t->point.taps = t->taps;
    t->point.ntap = t->plan->ntaps;
    t->window.steps++;
    t->point.step = t->pos.step;
    t->point.epoch = (double)t->pos.sample / (double)t->rows;
    t->before = t->point.seconds;
    t->point.seconds = now - t->began_at;
    double elapsed = now - t->window.began_at;
    t->point.wait = t->window.waited / (elapsed > 1e-9 ? elapsed : 1e-9);
    t->point.samples_per_s =
        (double)(t->window.steps * t->run->batch) / (elapsed > 1e-9 ? elapsed : 1e-9);
    t->point.tokens_per_s = (double)t->window.tokens / (elapsed > 1e-9 ? elapsed : 1e-9);
}

/* In MB. */
static double peak_memory(void)
{
    struct rusage use = {0};
    getrusage(RUSAGE_SELF, &use);
    return (double)use.ru_maxrss / 1024;
}

/* The point with the mean loss, and means of what is tapped, of its window. */
static void log_point(Trainer *t)
{
    progress_live(&t->progress, &t->point);
    if (t->pos.step != t->last && !actions_due(t, t->run->log_length, (PlanUnit)t->run->log_unit))
        return;
    RunPoint mean = t->point;
    mean.loss = t->window.loss / (double)t->window.n;
    for (uint32_t i = 0; i < t->plan->ntaps; i++) {
        t->taps[i].value = t->tap_sum[i] / (double)t->window.n;
        t->tap_sum[i] = 0;
    }
    t->window = (Window){.began_at = clock_now()};
    t->point.loss = mean.loss;
    progress_log(&t->progress, &mean);
    mean.memory = t->point.memory = peak_memory();
    runlog_step(&t->log, &mean);
    board_step(&t->board, &mean);
}

/* The step that comes next is one that the trace shows. */
static bool is_traced(const Trainer *t)
{
    int64_t step = t->pos.step + 1;
    return t->trace && step >= t->opt->trace_from && step <= t->opt->trace_to;
}

static bool next_batch(Trainer *t, LoaderBatch *batch, Err *err)
{
    double before = clock_now();
    if (!loader_next(t->loader, batch, err))
        return false;
    double now = clock_now();
    t->window.waited += now - before;
    if (is_traced(t))
        trace_span(t->trace, "wait for data", before, now);
    return true;
}

static bool traced_step(Trainer *t, const LoaderBatch *batch, Err *err)
{
    bool traced = is_traced(t);
    if (traced)
        trace_begin(t->trace);
    bool ok = step_run(t, batch, err);
    if (traced)
        trace_end(t->trace, t->pos.step + 1);
    if (!ok || !traced || t->pos.step + 1 != t->opt->trace_to)
        return ok;
    return trace_write(t->trace, path_join(t->arena, t->opt->run_dir, "trace.json"), err);
}

static bool update(Trainer *t, Err *err)
{
    LoaderBatch batch;
    if (!next_batch(t, &batch, err))
        return false;
    t->window.tokens += tokens_of(t, &batch);
    if (!traced_step(t, &batch, err))
        return false;
    count(t);
    double before = clock_now();
    log_point(t);
    if (!actions_run(t, err))
        return false;
    t->window.began_at += t->window.steps ? clock_now() - before : 0; /* evals are no training */
    return true;
}

/* ---- the run ---- */

static bool loop(Trainer *t, TrainResult *out, Err *err)
{
    t->began_at = t->window.began_at = clock_now();
    while (t->pos.step < t->last) {
        if (!update(t, err))
            return false;
        out->loss = t->point.loss;
        if (interrupt_save_wanted() && !actions_save(t, err))
            return false;
        if (!interrupt_wanted() || t->pos.step == t->last)
            continue;
        out->interrupted = true;
        progress_end(&t->progress);
        if (!actions_save(t, err))
            return false;
        progress_say(&t->progress, "interrupted: saved at step %lld", (long long)t->pos.step);
        runlog_event(&t->log, "interrupt", t->pos.step);
        return true;
    }
    runlog_event(&t->log, "end", t->pos.step);
    return true;
}

static bool prepare_and_loop(Trainer *t, TrainResult *out, Err *err)
{
    double began = clock_now();
    bool ok = prepare(t, err);
    if (ok && t->pos.step < t->last) {
        Interrupt before;
        interrupt_watch(&before);
        ok = loop(t, out, err);
        interrupt_unwatch(&before);
    }
    out->steps = t->pos.step;
    out->complete = ok && t->pos.step >= t->total;
    out->seconds = clock_now() - began;
    return ok;
}

bool rt_train(Runtime *rt, const TrainOptions *opt, TrainResult *out, Err *err)
{
    const Plan *plan = rt_plan(rt);
    *out = (TrainResult){.loss = (double)NAN};
    if (plan->nruns == 0)
        return err_set(err, ERR_USAGE, "the program has no `train` block");
    Arena *arena = arena_new();
    Trainer t = {.rt = rt,
                 .plan = plan,
                 .run = &plan->runs[0],
                 .opt = opt,
                 .arena = arena,
                 .eval_data = NEW_ARRAY(arena, Dataset *, plan->nevals),
                 .eval_done = NEW_ARRAY(arena, bool, plan->nevals),
                 .log = {.fd = -1},
                 .board = {.fd = -1},
                 .lock = -1};
    bool ok = prepare_and_loop(&t, out, err);
    progress_end(&t.progress);
    if (ok && t.loader &&
        !trace_write_kernels(rt, path_join(arena, opt->run_dir, "kernels.json"), NULL))
        progress_warn(&t.progress, "the times of kernels could not be written");
    trace_free(t.trace);
    factor_free(t.factor);
    board_close(&t.board);
    loader_free(t.loader);
    for (uint32_t e = 0; e < plan->nevals; e++)
        data_close(t.eval_data[e]);
    data_close(t.ds);
    runlog_close(&t.log);
    runlock_release(t.lock);
    arena_free(arena);
    return ok;
}
