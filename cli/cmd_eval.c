/* cmd_eval.c: `mdl eval`: eval blocks on the newest checkpoint of a run, or on given weights. */
#include "program.h"
#include "results.h"
#include "runfolder.h"
#include "stageweights.h"
#include "targets.h"

typedef struct EvalUse {
    const char *path; /* as given */
    RunFolder folder;
    Plan *plan;
} EvalUse;

/* ---- the plan ---- */

static bool no_run(const EvalUse *u, Err *err)
{
    err_set(err, ERR_FILE, "%s has not been trained: there is no %s", u->path, u->folder.plan);
    return err_help(err,
                    "mdl train %s first, with the same --set options; or name another folder "
                    "with --run, or parameters with --weights",
                    u->path);
}

static bool compile_here(Cli *cli, Compile *c, const char *stage, EvalUse *u, Err *err)
{
    Bytes bytes;
    if (!compile_stage(c, stage, err) || !compile_plan(c, &bytes, err))
        return false;
    /* the plan keeps pointing into the bytes, which must outlive the session */
    const char *copy = arena_memdup(cli->arena, bytes.data, bytes.n);
    u->plan = plan_from_bytes(copy, bytes.n, err);
    return u->plan != NULL;
}

static bool plan_of_source(Cli *cli, Compile *c, void *user, Err *err)
{
    EvalUse *u = user;
    const char *stage;
    if (!choose_stage(cli, c, &stage, err))
        return false;
    u->folder =
        run_folder(cli, path_stem(cli->arena, u->path), stage ? stage : "eval", compile_hash(c));
    if (compile_stage_count(c) > 1)
        u->folder = run_folder_of_stage(cli, u->folder.dir, stage);
    if (cli_has(cli, OPT_weights))
        return compile_here(cli, c, stage, u, err);
    if (!stage && !file_exists(u->folder.plan)) {
        err_set(err, ERR_PROGRAM, "%s has no `train` block, so there is no checkpoint", u->path);
        return err_help(err, "name the parameters with --weights");
    }
    if (!file_exists(u->folder.plan))
        return no_run(u, err);
    u->plan = run_plan_load(&u->folder, err);
    if (!u->plan || u->plan->meta->source_hash == compile_hash(c))
        return u->plan && targets_are_those(cli, u->plan, err);
    plan_free(u->plan);
    u->plan = NULL;
    err_set(err, ERR_PROGRAM, "the run in %s is of another program than %s", u->folder.dir,
            u->path);
    return err_help(err, "give the folder instead of the file: mdl eval %s", u->folder.dir);
}

static bool plan_of_file(Cli *cli, EvalUse *u, Err *err)
{
    if (!options_of_plan(cli, u->path, err))
        return false;
    if (file_is_dir(u->path)) {
        if (!run_folder_open(cli, u->path, false, &u->folder, err))
            return false;
        u->plan = run_plan_load(&u->folder, err);
        return u->plan != NULL;
    }
    u->plan = plan_load(u->path, err);
    if (u->plan)
        u->folder = run_folder(cli, plan_text(u->plan, u->plan->meta->name), "",
                               u->plan->meta->source_hash);
    return u->plan != NULL;
}

/* ---- the evals ---- */

static bool find_eval(const Cli *cli, const Plan *plan, uint32_t *eval, Err *err)
{
    *eval = PLAN_NONE;
    if (!plan->nevals)
        return err_set(err, ERR_PROGRAM, "the program has no `eval` block");
    if (!cli->words.n)
        return true;
    *eval = plan_find_eval(plan, cli->words.at[0]);
    if (*eval != PLAN_NONE)
        return true;
    Sym *names = NEW_ARRAY(cli->arena, Sym, plan->nevals);
    for (uint32_t i = 0; i < plan->nevals; i++)
        names[i] = plan_text(plan, plan->evals[i].name);
    Sym near = sym_nearest(cli->words.at[0], names, plan->nevals);
    usage_error(err, "no eval block `%s`", cli->words.at[0]);
    return err_help(err, near ? "did you mean `%s`?" : "there is `%s`", near ? near : names[0]);
}

static bool load_parameters(const Cli *cli, Runtime *rt, const EvalUse *u, Err *err)
{
    CkptPosition pos;
    bool found;
    if (cli_has(cli, OPT_weights))
        return rt_init_from(rt, 0, cli->value[OPT_weights], err);
    if (!ckpt_load(rt, u->folder.work, &pos, &found, err))
        return false;
    if (found)
        return true;
    err_set(err, ERR_FILE, "no checkpoint in %s", u->folder.work);
    return err_help(err, "mdl train %s first", u->path);
}

static bool evaluate(Cli *cli, const EvalUse *u, Err *err)
{
    uint32_t eval;
    if (!find_eval(cli, u->plan, &eval, err))
        return false;
    Runtime *rt = open_runtime(cli, u->plan, err);
    bool ok = rt && load_parameters(cli, rt, u, err);
    for (uint32_t i = 0; ok && i < u->plan->nevals; i++)
        if (eval == PLAN_NONE || eval == i)
            ok = print_eval(cli, rt, i, eval == PLAN_NONE, err);
    rt_close(rt);
    return ok;
}

bool cmd_eval(Cli *cli, Err *err)
{
    EvalUse u = {.path = cli_file(cli, err)};
    if (!u.path)
        return false;
    bool ok = path_is_source(u.path)
                  ? with_program(cli, &(ProgramUse){u.path, plan_of_source, &u}, err)
                  : plan_of_file(cli, &u, err);
    ok = ok &&
         (path_is_source(u.path) || !file_is_dir(u.path) || stage_weights_of_run(cli, u.path, err));
    ok = ok && evaluate(cli, &u, err);
    plan_free(u.plan);
    return ok;
}
