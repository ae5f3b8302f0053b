/* actions.c: what a run does between updates: evaluations and samples first, then checkpoints, so that a kill
 * during an evaluation repeats it instead of losing it. */
#include "checkpoint.h"
#include "clock.h"
#include "eval.h"
#include "trainer.h"
#include <math.h>

enum { RETRY_SECONDS = 60 };

bool actions_due(const Trainer *t, double length, PlanUnit unit)
{
    if (length <= 0)
        return false;
    if (unit == PU_MINUTES) /* of this process: a run that goes on counts anew */
        return floor(t->point.seconds / 60 / length) > floor(t->before / 60 / length);
    double unit_steps = unit == PU_EPOCHS ? t->steps_per_epoch : 1;
    double every = length * unit_steps, slack = 1e-9;
    double step = (double)t->pos.step;
    return floor(step / every + slack) > floor((step - 1) / every + slack);
}

/* ---- evaluations ---- */

static void say_eval(Trainer *t, const RunEval *e)
{
    Arena *arena = arena_new();
    StrBuf sb = sb_new(arena);
    sb_printf(&sb, "eval %s", e->name);
    for (uint32_t m = 0; m < e->nmetric; m++)
        sb_printf(&sb, "  %s %.4g", e->metrics[m].name, e->metrics[m].value);
    progress_say(&t->progress, "%s  (step %lld, %lld rows)", sb_text(&sb), (long long)e->step,
                 (long long)e->rows);
    arena_free(arena);
}

/* The save action that keeps the best, or NULL. */
static const PlanAction *best_action(const Trainer *t)
{
    for (uint32_t i = 0; i < t->run->naction; i++) {
        const PlanAction *a = &t->plan->actions[t->run->action0 + i];
        if (a->kind == PX_SAVE && a->eval != PLAN_NONE)
            return a;
    }
    return NULL;
}

/* Of equal ones the first is the best. What is not finite is none. */
static void compare(Trainer *t, uint32_t eval, const EvalMetric *metrics)
{
    const PlanAction *a = best_action(t);
    if (!a || a->eval != eval)
        return;
    double value = metrics[a->metric - t->plan->evals[eval].metric0].value;
    bool better = a->greater ? value > t->best.value : value < t->best.value;
    if (isfinite(value) && (t->best.step < 0 || better))
        t->found = (Best){t->pos.step, value};
}

bool actions_begin(Trainer *t, Err *err)
{
    t->best = t->found = (Best){.step = -1};
    return !best_action(t) || best_read(t->opt->run_dir, t->pos.step, &t->best, err);
}

static bool eval_and_log(Trainer *t, uint32_t eval, EvalMetric *metrics, Err *err)
{
    const PlanEval *pe = &t->plan->evals[eval];
    double began = clock_now();
    EvalOutcome out = {.metrics = metrics};
    if (!eval_over(t->rt, eval, t->eval_data[eval], &out, err))
        return false;
    RunEval e = {.step = t->pos.step,
                 .rows = out.rows,
                 .name = plan_text(t->plan, pe->name),
                 .metrics = metrics,
                 .nmetric = pe->nmetric,
                 .seconds = clock_now() - began};
    say_eval(t, &e);
    runlog_eval(&t->log, &e);
    board_eval(&t->board, &e);
    compare(t, eval, metrics);
    return true;
}

static bool run_eval(Trainer *t, uint32_t eval, Err *err)
{
    const PlanEval *pe = &t->plan->evals[eval];
    if (!t->eval_data[eval])
        t->eval_data[eval] = data_open(t->plan, pe->data, err);
    if (!t->eval_data[eval])
        return false;
    Arena *arena = arena_new();
    bool ok = eval_and_log(t, eval, NEW_ARRAY(arena, EvalMetric, pe->nmetric), err);
    arena_free(arena);
    return ok;
}

static bool run_evals(Trainer *t, Err *err)
{
    for (uint32_t e = 0; e < t->plan->nevals; e++)
        t->eval_done[e] = false;
    bool at_end = t->pos.step == t->last;
    for (uint32_t i = 0; i < t->run->naction; i++) {
        const PlanAction *a = &t->plan->actions[t->run->action0 + i];
        if (a->kind != PX_EVAL || t->eval_done[a->eval])
            continue;
        if (!at_end && !actions_due(t, a->length, (PlanUnit)a->unit))
            continue;
        t->eval_done[a->eval] = true;
        if (!run_eval(t, a->eval, err))
            return false;
    }
    return true;
}

/* ---- samples ---- */

static bool take_text(void *user, const char *text, size_t n, Err *err)
{
    UNUSED(err);
    sb_putn(user, text, n);
    return true;
}

static bool write_sample(Trainer *t, const PlanAction *a, Err *err)
{
    Arena *arena = arena_new();
    StrBuf sb = sb_new(arena);
    const char *prompt = plan_text(t->plan, a->prompt);
    GenerateOptions opt = {
        .prompt = prompt, .nprompt = strlen(prompt), .seed = -1, .write = take_text, .user = &sb};
    GenerateResult result;
    bool ok = rt_generate(t->rt, a->generate, &opt, &result, err);
    const char *name = plan_text(t->plan, t->plan->generates[a->generate].name);
    RunSample s = {t->pos.step, name, prompt, sb_text(&sb), sb.n};
    if (ok) {
        progress_say(&t->progress, "sample %s  (step %lld, %lld tokens)\n%s%s", name,
                     (long long)s.step, (long long)result.tokens, prompt, s.text);
        runlog_sample(&t->log, &s);
    }
    arena_free(arena);
    return ok;
}

static bool write_samples(Trainer *t, Err *err)
{
    for (uint32_t i = 0; i < t->run->naction; i++) {
        const PlanAction *a = &t->plan->actions[t->run->action0 + i];
        bool due = t->pos.step == t->last || actions_due(t, a->length, (PlanUnit)a->unit);
        if (a->kind == PX_SAMPLE && due && !write_sample(t, a, err))
            return false;
    }
    return true;
}

/* ---- checkpoints ---- */

/* The first save action of the plan says it. */
uint32_t actions_keep(const Trainer *t)
{
    for (uint32_t i = 0; i < t->run->naction; i++) {
        const PlanAction *a = &t->plan->actions[t->run->action0 + i];
        if (a->kind == PX_SAVE)
            return a->keep;
    }
    return t->run->keep;
}

/* The checkpoint of this step is the best: that is said first. */
static bool save(Trainer *t, Err *err)
{
    bool best = t->found.step == t->pos.step;
    CkptKeep keep = {actions_keep(t), {t->best.step, best ? t->pos.step : -1}};
    if (best && !best_write(t->opt->run_dir, &t->found, &t->best, err))
        return false;
    if (!ckpt_save_keep(t->rt, t->opt->run_dir, &t->pos, &keep, err))
        return false;
    t->best = best ? t->found : t->best;
    return true;
}

bool actions_save(Trainer *t, Err *err)
{
    if (t->saved == t->pos.step)
        return true;
    if (!save(t, err))
        return false;
    t->saved = t->pos.step;
    t->retry_at = 0;
    runlog_event(&t->log, "save", t->pos.step);
    return true;
}

/* A full disk in the middle of a run costs a checkpoint and not the run: somebody may free space. */
static void save_or_warn(Trainer *t)
{
    Err why = {0};
    if (actions_save(t, &why))
        return;
    t->retry_at = clock_now() + RETRY_SECONDS;
    progress_warn(&t->progress, "%s; the run goes on, and tries again in %d s", why.text,
                  (int)RETRY_SECONDS);
    runlog_event(&t->log, "save_failed", t->pos.step);
}

static bool is_save_due(const Trainer *t)
{
    bool any = false;
    if (t->found.step == t->pos.step)
        return true;
    for (uint32_t i = 0; i < t->run->naction; i++) {
        const PlanAction *a = &t->plan->actions[t->run->action0 + i];
        if (a->kind != PX_SAVE)
            continue;
        any = true;
        if (actions_due(t, a->length, (PlanUnit)a->unit))
            return true;
    }
    return !any && actions_due(t, 1, PU_EPOCHS);
}

bool actions_run(Trainer *t, Err *err)
{
    if (!run_evals(t, err) || !write_samples(t, err))
        return false;
    if (t->pos.step == t->last)
        return actions_save(t, err);
    if (is_save_due(t) || (t->retry_at > 0 && clock_now() >= t->retry_at))
        save_or_warn(t);
    return true;
}
