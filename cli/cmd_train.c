/* cmd_train.c: `mdl train`: compile into a run folder, or find the plan there, and train. */
#include "curriculum.h"
#include "targets.h"

typedef struct TrainUse {
    const char *path; /* as given */
    RunFolder folder;
} TrainUse;

/* ---- the plan of a .mdl file ---- */

static void put_sets(StrBuf *sb, const Words *sets)
{
    for (uint32_t i = 0; i < sets->n; i++)
        sb_printf(sb, "%s%s", i ? ", " : "", sets->at[i]);
    if (!sets->n)
        sb_puts(sb, "none");
}

/* E0810: a run does not silently become another one. */
static bool other_program(Cli *cli, Compile *c, const char *dir, const RunInfo *was, Err *err)
{
    Diag *d = diag_at(compile_diags(c), DIAG_E0810, (Span){0},
                      "the run in %s was started with another program", dir);
    StrBuf then = sb_new(cli->arena), now = sb_new(cli->arena);
    put_sets(&then, &was->sets);
    put_sets(&now, &cli->sets);
    if (was->version && strcmp(sb_text(&then), sb_text(&now)) != 0)
        diag_note(d, "its overrides were %s; now they are %s", sb_text(&then), sb_text(&now));
    else if (was->source)
        diag_note(d, "the text of %s, or of a file that it imports, has changed", was->source);
    diag_help(d, "train in another folder (--run), or go on here with the new program (--fork)");
    return err_set(err, ERR_PROGRAM, "the run in %s was started with another program", dir);
}

/* Whether the folder has the plan of this very program. */
static bool find_stored(Cli *cli, Compile *c, const RunFolder *folder, bool *stored, Err *err)
{
    RunInfo was;
    bool found, fork = cli_has(cli, OPT_fork);
    *stored = false;
    if (!run_info_read(cli, folder->dir, &was, &found, err))
        return false;
    if (found && was.hash != compile_hash(c) && !fork)
        return other_program(cli, c, folder->dir, &was, err);
    if (!file_exists(folder->plan))
        return true;
    Plan *plan = run_plan_load(folder, err);
    if (!plan)
        return false;
    *stored = plan->meta->source_hash == compile_hash(c);
    bool ok = !*stored || targets_are_those(cli, plan, err);
    if (!*stored && !fork)
        ok = other_program(cli, c, folder->dir, &was, err);
    plan_free(plan);
    return ok;
}

static bool store_plan(Cli *cli, Compile *c, const char *stage, const RunFolder *folder, Err *err)
{
    bool stored;
    Bytes plan;
    if (!find_stored(cli, c, folder, &stored, err))
        return false;
    if (stored)
        return true;
    if (!compile_stage(c, stage, err) || !compile_plan(c, &plan, err))
        return false;
    report_micro(cli, c);
    return run_plan_write(cli, folder, plan, err);
}

/* A stage of several, or all of them: every plan is there before anything trains. */
static bool store_stages(Cli *cli, Compile *c, TrainUse *u, const char *wanted, Err *err)
{
    for (uint32_t i = 0; i < compile_stage_count(c); i++) {
        const char *stage = arena_strdup(cli->arena, compile_stage_name(c, i));
        RunFolder folder = run_folder_of_stage(cli, u->folder.dir, stage);
        if (wanted && strcmp(wanted, stage) != 0)
            continue;
        if (wanted)
            u->folder = folder;
        if (!store_plan(cli, c, stage, &folder, err))
            return false;
    }
    return true;
}

static bool prepare_source(Cli *cli, Compile *c, void *user, Err *err)
{
    TrainUse *u = user;
    const char *stage = NULL;
    bool several = compile_stage_count(c) > 1;
    if ((!several || cli_has(cli, OPT_stage)) && !choose_stage(cli, c, &stage, err))
        return false;
    if (!several && !stage) {
        err_set(err, ERR_PROGRAM, "%s has no `train` block", u->path);
        return err_help(err, "add one: train MODEL { data = .. loss = .. optimizer = .. }");
    }
    u->folder = run_folder(cli, path_stem(cli->arena, u->path), stage, compile_hash(c));
    RunInfo info = {
        .hash = compile_hash(c), .source = u->path, .version = MDL_VERSION, .sets = cli->sets};
    if (several) {
        u->folder.plan = NULL;
        return store_stages(cli, c, u, stage, err) &&
               curriculum_stages(cli, c, u->folder.dir, &info, err) &&
               run_info_write(u->folder.dir, &info, err);
    }
    return store_plan(cli, c, stage, &u->folder, err) && run_info_write(u->folder.dir, &info, err);
}

/* ---- a plan that is there ---- */

/* Gives a plan file a run folder with a copy of it. */
static bool adopt_plan(Cli *cli, const char *path, const Plan *plan, RunFolder *folder, Err *err)
{
    const char *stage = plan->nruns ? plan_text(plan, plan->runs[0].model) : "eval";
    *folder = run_folder(cli, plan_text(plan, plan->meta->name), stage, plan->meta->source_hash);
    Bytes bytes;
    RunInfo info = {.hash = plan->meta->source_hash,
                    .source = plan_text(plan, plan->meta->source_path),
                    .version = plan_text(plan, plan->meta->compiler)};
    if (!file_exists(folder->plan))
        return file_read(cli->arena, path, SIZE_MAX / 2, &bytes, err) &&
               run_plan_write(cli, folder, bytes, err) && run_info_write(folder->dir, &info, err);
    Plan *stored = run_plan_load(folder, err);
    if (!stored)
        return false;
    bool same = plan_hash(stored) == plan_hash(plan);
    plan_free(stored);
    if (same)
        return true;
    err_set(err, ERR_PROGRAM, "the run in %s was started with another plan", folder->dir);
    return err_help(err, "train in another folder (--run)");
}

static bool prepare_plan(Cli *cli, const char *path, RunFolder *folder, Err *err)
{
    if (!options_of_plan(cli, path, err))
        return false;
    if (file_is_dir(path))
        return run_folder_open(cli, path, true, folder, err);
    Plan *plan = plan_load(path, err);
    if (!plan)
        return false;
    bool ok = adopt_plan(cli, path, plan, folder, err);
    plan_free(plan);
    return ok;
}

bool cmd_train(Cli *cli, Err *err)
{
    const char *path = cli_file(cli, err);
    if (!path)
        return false;
    TrainUse use = {.path = path};
    bool ok = path_is_source(path)
                  ? with_program(cli, &(ProgramUse){path, prepare_source, &use}, err)
                  : prepare_plan(cli, path, &use.folder, err);
    return ok && curriculum_train(cli, &use.folder, err);
}
