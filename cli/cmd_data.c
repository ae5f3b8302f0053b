/* cmd_data.c: `mdl data show|stats`: what a data block of a program, a plan or a run gives. */
#include "dataset.h"
#include "datastats.h"
#include "program.h"
#include "runfolder.h"

enum { EVAL_BATCH = 256, SAMPLES = 3, MOST_SAMPLES = 1 << 20 };

typedef struct DataUse {
    const char *path;
    Plan *plan;
} DataUse;

static bool plan_of_source(Cli *cli, Compile *c, void *user, Err *err)
{
    DataUse *u = user;
    const char *stage;
    Bytes bytes;
    if (!choose_stage(cli, c, &stage, err) || !compile_stage(c, stage, err) ||
        !compile_plan(c, &bytes, err))
        return false;
    u->plan = plan_from_bytes(arena_memdup(cli->arena, bytes.data, bytes.n), bytes.n, err);
    return u->plan != NULL;
}

static bool plan_of_file(Cli *cli, DataUse *u, Err *err)
{
    RunFolder folder;
    if (!file_is_dir(u->path))
        u->plan = plan_load(u->path, err);
    else if (run_folder_open(cli, u->path, false, &folder, err))
        u->plan = run_plan_load(&folder, err);
    return u->plan != NULL;
}

/* The block of that name, else what is trained on, else the first. */
static bool find_data(const Cli *cli, const Plan *plan, uint32_t *out, Err *err)
{
    *out = plan->nruns ? plan->runs[0].data : 0;
    if (!plan->ndatas)
        return err_set(err, ERR_PROGRAM, "the program uses no data");
    if (!cli->words.n)
        return true;
    Sym *names = NEW_ARRAY(cli->arena, Sym, plan->ndatas);
    for (uint32_t i = plan->ndatas; i-- > 0;) { /* of several uses the first */
        names[i] = plan_text(plan, plan->datas[i].name);
        *out = strcmp(names[i], cli->words.at[0]) == 0 ? i : *out;
    }
    if (strcmp(names[*out], cli->words.at[0]) == 0)
        return true;
    Sym near = sym_nearest(cli->words.at[0], names, plan->ndatas);
    usage_error(err, "no train or eval block uses data `%s`", cli->words.at[0]);
    return err_help(err, near ? "did you mean `%s`?" : "there is `%s`", near ? near : names[0]);
}

static bool look(Cli *cli, const Plan *plan, bool show, Err *err)
{
    DataView v = {.cli = cli, .plan = plan, .batch = EVAL_BATCH};
    if (!find_data(cli, plan, &v.data, err))
        return false;
    uint64_t seed = 0;
    if (plan->nruns && plan->runs[0].data == v.data) {
        seed = plan->runs[0].seed;
        v.seed = &seed;
        v.batch = plan->runs[0].batch;
    }
    int64_t n = SAMPLES;
    if (!cli_int(cli, OPT_samples, (IntRange){1, MOST_SAMPLES}, &n, err))
        return false;
    v.ds = data_open(plan, v.data, err);
    if (!v.ds)
        return false;
    StrBuf remarks = sb_new(cli->arena);
    data_remarks(v.ds, &remarks);
    v.remarks = sb_text(&remarks);
    bool ok = show ? datasamples_print(&v, n, err) : datastats_print(&v, err);
    data_close(v.ds);
    return ok;
}

bool cmd_data(Cli *cli, Err *err)
{
    const char *what = cli->words.n ? cli->words.at[0] : "";
    bool show = strcmp(what, "show") == 0;
    if (!show && strcmp(what, "stats") != 0) {
        usage_error(err, "`mdl data` is `mdl data show` or `mdl data stats`");
        return err_help(err, "usage: mdl data %s", cli->command->words);
    }
    cli->words.at++;
    cli->words.n--;
    cli->words.cap--;
    DataUse u = {.path = cli_file(cli, err)};
    if (!u.path)
        return false;
    bool ok = path_is_source(u.path)
                  ? with_program(cli, &(ProgramUse){u.path, plan_of_source, &u}, err)
                  : plan_of_file(cli, &u, err);
    ok = ok && look(cli, u.plan, show, err);
    plan_free(u.plan);
    return ok;
}
