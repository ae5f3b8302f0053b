/* cmd_compile.c: `mdl compile`: the plans of a program in a folder that `mdl train` takes without the
 * source. Needs neither weights nor data nor a C compiler. */
#include "curriculum.h"
#include "program.h"

typedef struct CompileUse {
    const char *path, *dir;
    Words written;
} CompileUse;

/* A folder in which somebody has trained keeps its plans; one with plans alone gets new ones. */
static bool clear_folder(Cli *cli, Compile *c, const char *dir, Err *err)
{
    RunInfo was;
    bool found;
    if (!run_info_read(cli, dir, &was, &found, err))
        return false;
    if (!found || was.hash == compile_hash(c))
        return true;
    if (file_exists(path_join(cli->arena, dir, "checkpoints")) ||
        file_exists(path_join(cli->arena, dir, "stages"))) {
        err_set(err, ERR_PROGRAM, "%s holds a run of another program", dir);
        return err_help(err, "compile into another folder");
    }
    return run_plans_remove(cli, dir, err);
}

static bool compile_one(Cli *cli, Compile *c, const char *stage, CompileUse *u, Err *err)
{
    const char *name = stage ? stage : "eval";
    RunFolder folder = run_folder_at(cli, u->dir, name);
    Bytes plan;
    if (!compile_stage(c, stage, err) || !compile_plan(c, &plan, err))
        return false;
    report_micro(cli, c);
    if (!run_plan_write(cli, &folder, plan, err))
        return false;
    VEC_PUSH(cli->arena, &u->written, folder.plan);
    return true;
}

/* DIR/plans/NAME.plan; of a block that cannot be run, its kernels. */
static bool compile_block(Cli *cli, Compile *c, CompileUse *u, Err *err)
{
    RunFolder folder = run_folder_at(cli, u->dir, cli->value[OPT_block]);
    Bytes plan;
    if (!begin_program(cli, c, err) || !compile_look(c, &plan, err) ||
        !run_plan_write(cli, &folder, plan, err))
        return false;
    VEC_PUSH(cli->arena, &u->written, folder.plan);
    return true;
}

static bool compile_all(Cli *cli, Compile *c, void *user, Err *err)
{
    CompileUse *u = user;
    const char *wanted = NULL;
    if (cli_has(cli, OPT_block))
        return compile_block(cli, c, u, err);
    if ((cli_has(cli, OPT_stage) && !choose_stage(cli, c, &wanted, err)) ||
        !clear_folder(cli, c, u->dir, err))
        return false;
    uint32_t n = compile_stage_count(c);
    for (uint32_t i = 0; i < n; i++) {
        const char *stage = arena_strdup(cli->arena, compile_stage_name(c, i));
        if ((!wanted || strcmp(wanted, stage) == 0) && !compile_one(cli, c, stage, u, err))
            return false;
    }
    if (!n && !compile_one(cli, c, NULL, u, err))
        return false;
    RunInfo info = {
        .hash = compile_hash(c), .source = u->path, .version = MDL_VERSION, .sets = cli->sets};
    return curriculum_stages(cli, c, u->dir, &info, err) && run_info_write(u->dir, &info, err);
}

bool cmd_compile(Cli *cli, Err *err)
{
    const char *path = cli_file(cli, err);
    if (!path)
        return false;
    CompileUse use = {.path = path, .dir = cli_need(cli, OPT_out, err)};
    if (!use.dir || !with_source(cli, &(ProgramUse){path, compile_all, &use}, err))
        return false;
    for (uint32_t i = 0; i < use.written.n; i++)
        puts(use.written.at[i]);
    return true;
}
