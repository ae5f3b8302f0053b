/* stageweights.c: checkpoints by the name of their stage: the newest, the best by the metric of `best`, or that of
 * a step. They are verified as a run that goes on does it. */
#include "stageweights.h"
#include "best.h"
#include "checkpoint.h"

typedef struct Wanted {
    const char *stage; /* as written: a stage, or an end of its path */
    const char *which; /* "best", a step, or NULL: the newest */
} Wanted;

/* False where --weights is a path. */
static bool read_wanted(Cli *cli, Wanted *w)
{
    const char *text = cli->value[OPT_weights], *prefix = "stage:";
    size_t n = strlen(prefix);
    if (!text || strncmp(text, prefix, n) != 0)
        return false;
    const char *at = strchr(text + n, '@');
    w->stage = at ? arena_strndup(cli->arena, text + n, (size_t)(at - text) - n)
                  : arena_strdup(cli->arena, text + n);
    w->which = at ? at + 1 : NULL;
    return true;
}

static bool read_step(const char *text, int64_t *step)
{
    char *end;
    *step = strtoll(text, &end, 10);
    return *text >= '0' && *text <= '9' && !*end;
}

static bool verified(Cli *cli, const char *work, int64_t step, const char **dir, Err *err)
{
    Manifest m;
    *dir = arena_printf(cli->arena, "%s/checkpoints/step-%lld", work, (long long)step);
    if (!file_is_dir(*dir))
        return err_set(err, ERR_FILE, "there is no checkpoint of step %lld in %s", (long long)step,
                       work);
    return manifest_read(&m, *dir, err) && manifest_verify(&m, *dir, err);
}

static bool find_checkpoint(Cli *cli, const char *work, const char *which, const char **dir,
                            Err *err)
{
    CkptPosition pos;
    Best best;
    int64_t step;
    if (!which) {
        *dir = ckpt_find(cli->arena, work, &pos, err);
        return *dir != NULL;
    }
    if (read_step(which, &step))
        return verified(cli, work, step, dir, err);
    if (strcmp(which, "best") != 0)
        return usage_error(err, "--weights: `@%s` is neither `@best` nor a step", which);
    if (!best_read(work, INT64_MAX, &best, err))
        return false;
    if (best.step >= 0)
        return verified(cli, work, best.step, dir, err);
    err_set(err, ERR_FILE, "the run in %s has no best checkpoint", work);
    return err_help(err, "`checkpoint { best = test.accuracy }` keeps one");
}

static bool take(Cli *cli, const char *work, const char *which, Err *err)
{
    const char *dir = NULL;
    if (!find_checkpoint(cli, work, which, &dir, err))
        return false;
    cli->value[OPT_weights] = path_join(cli->arena, dir, manifest_names[0]);
    return true;
}

/* The stage that is meant; NULL after an error. */
static const char *find_stage(Cli *cli, const Words *stages, const char *wanted, Err *err)
{
    const char *found = NULL;
    uint32_t matches = 0;
    for (uint32_t i = 0; i < stages->n; i++) {
        const char *name = stages->at[i];
        if (strcmp(name, wanted) == 0)
            return name;
        if (stage_is(name, wanted)) {
            found = name;
            matches++;
        }
    }
    if (matches == 1)
        return found;
    Sym *names = NEW_ARRAY(cli->arena, Sym, stages->n + (size_t)1);
    StrBuf all = sb_new(cli->arena);
    for (uint32_t i = 0; i < stages->n; i++) {
        names[i] = stages->at[i];
        sb_printf(&all, "%s%s", i ? ", " : "", names[i]);
    }
    Sym near = sym_nearest(wanted, names, stages->n);
    usage_error(err, matches ? "--weights: several stages end in `%s`" : "--weights: no stage `%s`",
                wanted);
    if (stages->n)
        err_help(err, near ? "did you mean `%s`?" : "there is %s", near ? near : sb_text(&all));
    return NULL;
}

bool stage_weights_of_program(Cli *cli, const Compile *c, const char *path, Err *err)
{
    Wanted w;
    Words stages = {0};
    if (!read_wanted(cli, &w))
        return true;
    for (uint32_t i = 0; i < compile_stage_count(c); i++) {
        const char *name = arena_strdup(cli->arena, compile_stage_name(c, i));
        VEC_PUSH(cli->arena, &stages, name);
    }
    const char *stage = find_stage(cli, &stages, w.stage, err);
    if (!stage)
        return false;
    RunFolder f = run_folder(cli, path_stem(cli->arena, path), stage, compile_hash(c));
    f = stages.n > 1 ? run_folder_of_stage(cli, f.dir, stage) : f;
    if (!file_is_dir(f.work)) {
        err_set(err, ERR_FILE, "the stage %s has not been trained: there is no %s", stage, f.work);
        return err_help(err,
                        "mdl train %s first, with the same --set options; or name another "
                        "folder with --run",
                        path);
    }
    return take(cli, f.work, w.which, err);
}

bool stage_weights_of_run(Cli *cli, const char *dir, Err *err)
{
    Wanted w;
    RunInfo info;
    Words stages = {0};
    bool found;
    if (!read_wanted(cli, &w))
        return true;
    if (!run_info_read(cli, dir, &info, &found, err))
        return false;
    for (uint32_t i = 0; found && i < info.stages.n; i++)
        VEC_PUSH(cli->arena, &stages, info.stages.at[i].name);
    if (stages.n <= 1) /* a run of one stage does not say its name, but its plan does */
        return take(cli, dir, w.which, err);
    const char *stage = find_stage(cli, &stages, w.stage, err);
    return stage && take(cli, run_folder_of_stage(cli, dir, stage).work, w.which, err);
}
