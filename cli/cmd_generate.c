/* cmd_generate.c: `mdl generate`: a generate block with the newest checkpoint of a run, or given weights. */
#include "checkpoint.h"
#include "program.h"
#include "runfolder.h"

typedef struct GenerateUse {
    const char *path; /* the .mdl file */
    const char *dir;  /* of the run, when it was given itself */
    const char *weights;
    Plan *plan;
} GenerateUse;

/* Where the checkpoints of the stage lie. */
static bool find_run(Cli *cli, Compile *c, const GenerateUse *u, const char **work, Err *err)
{
    const char *stage;
    if (!choose_stage(cli, c, &stage, err))
        return false;
    if (!stage && !u->dir && !cli_has(cli, OPT_run)) {
        err_set(err, ERR_PROGRAM, "%s has no `train` block, so there is no checkpoint", u->path);
        return err_help(err, "name the parameters with --weights");
    }
    const char *name = stage ? stage : "eval";
    RunFolder f = u->dir ? run_folder_at(cli, u->dir, name)
                         : run_folder(cli, path_stem(cli->arena, u->path), name, compile_hash(c));
    *work = (compile_stage_count(c) > 1 ? run_folder_of_stage(cli, f.dir, name) : f).work;
    return true;
}

static bool find_weights(Cli *cli, Compile *c, GenerateUse *u, Err *err)
{
    const char *work = NULL;
    CkptPosition pos;
    u->weights = cli->value[OPT_weights];
    if (u->weights)
        return true;
    if (!find_run(cli, c, u, &work, err))
        return false;
    if (ckpt_newest(cli->arena, work)) {
        const char *newest = ckpt_find(cli->arena, work, &pos, err);
        u->weights = newest ? path_join(cli->arena, newest, manifest_names[0]) : NULL;
        return newest != NULL;
    }
    err_set(err, ERR_FILE, "no checkpoint in %s", work);
    return err_help(err,
                    "mdl train %s first, with the same --set options; or name another folder with "
                    "--run, or parameters with --weights",
                    u->path);
}

static bool make_plan(Cli *cli, Compile *c, void *user, Err *err)
{
    GenerateUse *u = user;
    uint32_t block = 0;
    Bytes bytes;
    BlockChoice choice = {.wanted = cli->words.n ? cli->words.at[0] : NULL};
    if (!choose_block(cli, c, choice, &block, err) || !find_weights(cli, c, u, err) ||
        !compile_generate(c, block, err) || !compile_plan(c, &bytes, err))
        return false;
    /* the plan keeps pointing into the bytes, which must outlive the session */
    const char *copy = arena_memdup(cli->arena, bytes.data, bytes.n);
    u->plan = plan_from_bytes(copy, bytes.n, err);
    return u->plan != NULL;
}

/* The folder of a run stands for the program that it was started with. */
static bool program_of_run(Cli *cli, GenerateUse *u, Err *err)
{
    RunInfo info;
    bool found;
    u->dir = u->path;
    if (cli->sets.n)
        return usage_error(err, "--set has no effect on a run: give the .mdl file");
    if (!run_info_read(cli, u->dir, &info, &found, err))
        return false;
    if (!found) {
        err_set(err, ERR_FILE, "%s is no run: it has no run.json", u->dir);
        return err_help(err, "give the .mdl file, or the folder of a run");
    }
    u->path = info.source;
    cli->value[OPT_run] = u->dir;
    cli->sets = info.sets;
    return true;
}

static bool put_text(void *user, const char *text, size_t n, Err *err)
{
    UNUSED(user);
    return (fwrite(text, 1, n, stdout) == n && fflush(stdout) == 0) ||
           err_set(err, ERR_FILE, "cannot write to standard output");
}

static bool write_text(Cli *cli, const GenerateUse *u, Err *err)
{
    const char *prompt = cli->value[OPT_prompt] ? cli->value[OPT_prompt] : "";
    GenerateOptions opt = {.prompt = prompt,
                           .nprompt = strlen(prompt),
                           .max_tokens = cli->max_tokens,
                           .seed = cli->seed,
                           .write = put_text};
    GenerateResult result;
    Runtime *rt = open_runtime(cli, u->plan, err);
    bool ok = rt && rt_init_from(rt, 0, u->weights, err) &&
              put_text(NULL, prompt, opt.nprompt, err) && rt_generate(rt, 0, &opt, &result, err) &&
              put_text(NULL, "\n", 1, err);
    rt_close(rt);
    return ok;
}

bool cmd_generate(Cli *cli, Err *err)
{
    GenerateUse u = {.path = cli_file(cli, err)};
    if (!u.path)
        return false;
    bool ok = (!file_is_dir(u.path) || program_of_run(cli, &u, err)) &&
              with_source(cli, &(ProgramUse){u.path, make_plan, &u}, err) &&
              write_text(cli, &u, err);
    plan_free(u.plan);
    return ok;
}
