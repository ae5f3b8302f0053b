/* curriculum.c: walks the stages of a run folder. A stage begins when those it is behind have ended, with their
 * weights; what several of them changed is taken from the one that did (front/joins.c has checked that there is
 * just one). All that is known of the order lies in run.json, so the source is not needed. */
#include "curriculum.h"
#include "front.h"
#include "results.h"
#include <math.h>

typedef struct Walk {
    Cli *cli;
    const RunFolder *folder;
    RunInfo info;
    Plan **plans; /* by stage; NULL where none was compiled */
    bool *done;   /* by stage */
} Walk;

/* ---- run.json ---- */

bool curriculum_stages(Cli *cli, Compile *c, const char *dir, RunInfo *info, Err *err)
{
    uint32_t n = compile_stage_count(c);
    bool joins = false;
    for (uint32_t i = 0; i < n; i++) {
        FrontStage about;
        RunStage s = {.name = arena_strdup(cli->arena, compile_stage_name(c, i))};
        if (!compile_stage_about(c, i, &about, err))
            return false;
        for (uint32_t k = 0; k < about.nafter; k++) {
            const char *name = compile_stage_name(c, about.after[k]);
            VEC_PUSH(cli->arena, &s.after, arena_strdup(cli->arena, name));
        }
        joins = joins || about.nafter > 1;
        RunFolder folder = run_folder_at(cli, dir, s.name);
        Plan *plan = file_exists(folder.plan) ? run_plan_load(&folder, err) : NULL;
        if (!plan && file_exists(folder.plan))
            return false;
        s.plan = plan ? plan_hash(plan) : 0;
        plan_free(plan);
        VEC_PUSH(cli->arena, &info->stages, s);
    }
    return !joins || compile_check(c, err); /* which looks at what is joined */
}

/* ---- the order ---- */

static uint32_t stage_number(const RunInfo *info, const char *name)
{
    for (uint32_t i = 0; i < info->stages.n; i++)
        if (strcmp(info->stages.at[i].name, name) == 0)
            return i;
    return UINT32_MAX;
}

static bool is_ready(const Walk *w, uint32_t i)
{
    const Words *after = &w->info.stages.at[i].after;
    bool ready = !w->done[i];
    for (uint32_t k = 0; ready && k < after->n; k++) {
        uint32_t before = stage_number(&w->info, after->at[k]);
        ready = before != UINT32_MAX && w->done[before];
    }
    return ready;
}

/* Marks stage i and all that it is behind; what is marked already ends the walk. */
static void mark_behind(const RunInfo *info, uint32_t i, bool *mark)
{
    if (i == UINT32_MAX || mark[i])
        return;
    mark[i] = true;
    for (uint32_t k = 0; k < info->stages.at[i].after.n; k++)
        mark_behind(info, stage_number(info, info->stages.at[i].after.at[k]), mark);
}

/* ---- weights ---- */

/* "layers.0.bn" of "layers.0.bn.running_mean". */
static uint64_t module_of(const Cli *cli, const char *key)
{
    const char *dot = strrchr(key, '.');
    return hash_text(arena_strndup(cli->arena, key, dot ? (size_t)(dot - key) : 0));
}

/* Keys that the plan trains, and those of the running statistics beside them. */
static void add_trained(const Walk *w, const Plan *p, Map *keys)
{
    Map *modules = map_new(w->cli->arena);
    for (uint32_t i = 0; i < p->nstates; i++) {
        const char *key = plan_text(p, p->states[i].key);
        if (p->states[i].kind != PS_PARAM || !p->states[i].trained || !*key)
            continue;
        map_put(keys, hash_text(key), keys);
        map_put(modules, module_of(w->cli, key), keys);
    }
    for (uint32_t i = 0; i < p->nstates; i++) {
        const char *key = plan_text(p, p->states[i].key);
        if (p->states[i].kind == PS_BUFFER && map_get(modules, module_of(w->cli, key)))
            map_put(keys, hash_text(key), keys);
    }
}

/* All of the first; of each further one what it, or a stage that only it is behind, has trained. */
static RtSource *sources_of(const Walk *w, uint32_t stage)
{
    Cli *cli = w->cli;
    const RunStage *s = &w->info.stages.at[stage];
    RtSource *out = NEW_ARRAY(cli->arena, RtSource, s->after.n + (size_t)1);
    bool *seen = NEW_ARRAY(cli->arena, bool, w->info.stages.n);
    for (uint32_t k = 0; k < s->after.n; k++) {
        bool *behind = NEW_ARRAY(cli->arena, bool, w->info.stages.n);
        mark_behind(&w->info, stage_number(&w->info, s->after.at[k]), behind);
        Map *keys = map_new(cli->arena);
        for (uint32_t i = 0; i < w->info.stages.n; i++)
            if (behind[i] && !seen[i] && w->plans[i])
                add_trained(w, w->plans[i], keys);
        for (uint32_t i = 0; i < w->info.stages.n; i++)
            seen[i] = seen[i] || behind[i];
        out[k] =
            (RtSource){.run_dir = run_folder_of_stage(cli, w->folder->dir, s->after.at[k]).work,
                       .keys = k ? keys : NULL};
    }
    return out;
}

/* ---- one stage ---- */

/* What an eval needs is looked for before hours of training, not after. */
static bool find_data(const Plan *plan, Err *err)
{
    for (uint32_t i = 0; i < plan->nevals; i++) {
        Dataset *ds = data_open(plan, plan->evals[i].data, err);
        data_close(ds);
        if (!ds)
            return false;
    }
    return true;
}

typedef struct Leg { /* a stage to train */
    const Plan *plan;
    const char *work;
    const RtSource *sources;
    uint32_t nsource;
    bool last;
    bool complete; /* out */
} Leg;

/* The results of a stage that ended before are not computed again, but for the last. */
static bool report(Cli *cli, Runtime *rt, const TrainResult *r, const Leg *leg, Err *err)
{
    if (r->interrupted) {
        err_set(err, ERR_INTERRUPTED, "interrupted: step %lld is saved in %s", (long long)r->steps,
                leg->work);
        return err_help(err, "the same command goes on from there");
    }
    if (!cli->quiet)
        fprintf(stderr, "%s: %lld steps\n", leg->work, (long long)r->steps);
    for (uint32_t i = 0; i < rt_plan(rt)->nevals && (leg->last || !isnan(r->loss)); i++)
        if (!print_eval(cli, rt, i, true, err))
            return false;
    return true;
}

/* --trace 3..5, or 3. */
static bool read_trace(const Cli *cli, TrainOptions *opt, Err *err)
{
    const char *text = cli->value[OPT_trace];
    char *end;
    if (!text)
        return true;
    opt->trace_from = opt->trace_to = strtoll(text, &end, 10);
    if (strncmp(end, "..", 2) == 0)
        opt->trace_to = strtoll(end + 2, &end, 10);
    if (*end || opt->trace_from < 1 || opt->trace_to < opt->trace_from)
        return usage_error(err, "--trace takes steps, as 3..5, got %s", text);
    return true;
}

static bool train_leg(Cli *cli, Leg *leg, Err *err)
{
    Runtime *rt = open_runtime(cli, leg->plan, err);
    TrainOptions opt = {.run_dir = leg->work,
                        .max_steps = cli->max_steps,
                        .quiet = cli->quiet,
                        .sources = leg->sources,
                        .nsource = leg->nsource,
                        .new_data = cli_has(cli, OPT_fork)};
    TrainResult result;
    bool ok = rt && read_trace(cli, &opt, err) && rt_train(rt, &opt, &result, err) &&
              report(cli, rt, &result, leg, err);
    leg->complete = ok && result.complete;
    rt_close(rt);
    return ok;
}

static bool train_alone(Cli *cli, const RunFolder *folder, Err *err)
{
    Plan *plan = run_plan_load(folder, err);
    Leg leg = {.plan = plan, .work = folder->work, .last = true};
    bool ok = plan && find_data(plan, err) && train_leg(cli, &leg, err);
    plan_free(plan);
    return ok;
}

/* ---- all of them ---- */

static bool damaged(const Walk *w, const char *what, Err *err)
{
    err_set(err, ERR_DATA, "%s/run.json: %s", w->folder->dir, what);
    return err_help(err, "remove the folder to start the run again");
}

/* Every plan that is there is what run.json says, and its data can be had. */
static bool load_plans(Walk *w, Err *err)
{
    for (uint32_t i = 0; i < w->info.stages.n; i++) {
        const RunStage *s = &w->info.stages.at[i];
        RunFolder folder = run_folder_of_stage(w->cli, w->folder->dir, s->name);
        for (uint32_t k = 0; k < s->after.n; k++)
            if (stage_number(&w->info, s->after.at[k]) == UINT32_MAX)
                return damaged(w, "a stage is after one that is not there", err);
        if (!file_exists(folder.plan))
            continue;
        w->plans[i] = run_plan_load(&folder, err);
        if (!w->plans[i])
            return false;
        if (plan_hash(w->plans[i]) != s->plan || !w->plans[i]->nruns)
            return damaged(w, "a plan is not the one that it names", err);
        if (!find_data(w->plans[i], err))
            return false;
    }
    return true;
}

static bool train_stage(Walk *w, uint32_t i, bool last, bool *complete, Err *err)
{
    const RunStage *s = &w->info.stages.at[i];
    Leg leg = {.plan = w->plans[i],
               .work = run_folder_of_stage(w->cli, w->folder->dir, s->name).work,
               .sources = sources_of(w, i),
               .nsource = s->after.n,
               .last = last};
    if (!leg.plan)
        return err_set(err, ERR_FILE, "there is no plan of the stage %s in %s", s->name,
                       w->folder->dir);
    if (!w->cli->quiet)
        fprintf(stderr, "stage %s\n", s->name);
    if (!train_leg(w->cli, &leg, err))
        return err_context(err, "stage %s", s->name);
    *complete = w->done[i] = leg.complete;
    return true;
}

/* A stage that stopped early, by --max-steps, ends the walk: the next would begin with weights that
 * are not final. */
static bool walk(Walk *w, Err *err)
{
    uint32_t n = w->info.stages.n;
    bool complete = true;
    for (uint32_t made = 0; made < n && complete; made++) {
        uint32_t i = 0;
        while (i < n && !is_ready(w, i))
            i++;
        if (i == n)
            return damaged(w, "the stages wait for each other", err);
        if (!train_stage(w, i, made + 1 == n, &complete, err))
            return false;
    }
    return true;
}

static bool train_walk(Walk *w, Err *err)
{
    bool found, complete;
    if (!run_info_read(w->cli, w->folder->dir, &w->info, &found, err))
        return false;
    w->plans = NEW_ARRAY(w->cli->arena, Plan *, w->info.stages.n + (size_t)1);
    w->done = NEW_ARRAY(w->cli->arena, bool, w->info.stages.n + (size_t)1);
    bool ok = load_plans(w, err);
    for (uint32_t i = 0; ok && w->folder->plan && i < w->info.stages.n; i++) {
        const char *plan =
            run_folder_of_stage(w->cli, w->folder->dir, w->info.stages.at[i].name).plan;
        if (strcmp(plan, w->folder->plan) == 0)
            ok = train_stage(w, i, true, &complete, err);
    }
    ok = ok && (w->folder->plan || walk(w, err));
    for (uint32_t i = 0; i < w->info.stages.n; i++)
        plan_free(w->plans[i]);
    return ok;
}

bool curriculum_train(Cli *cli, const RunFolder *folder, Err *err)
{
    Walk w = {.cli = cli, .folder = folder};
    bool several = !folder->plan || strcmp(folder->work, folder->dir) != 0;
    return several ? train_walk(&w, err) : train_alone(cli, folder, err);
}
