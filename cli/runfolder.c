/* runfolder.c: names, plans and run.json of a run's folder. */
#include "runfolder.h"
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>

enum { INFO_LIMIT = 1 << 20 };

RunFolder run_folder(Cli *cli, const char *name, const char *stage, uint64_t hash)
{
    const char *dir = cli->value[OPT_run];
    if (!dir)
        dir = arena_printf(cli->arena, "runs/%s-%08x", name, (unsigned)(hash >> 32));
    return run_folder_at(cli, dir, stage);
}

RunFolder run_folder_at(Cli *cli, const char *dir, const char *stage)
{
    return (RunFolder){dir, arena_printf(cli->arena, "%s/plans/%s.plan", dir, stage), dir};
}

RunFolder run_folder_of_stage(Cli *cli, const char *dir, const char *stage)
{
    RunFolder f = run_folder_at(cli, dir, stage);
    f.work = arena_printf(cli->arena, "%s/stages/%s", dir, stage);
    return f;
}

/* ---- the plans of a folder ---- */

static bool is_plan_name(const char *name)
{
    size_t n = strlen(name);
    return n > 5 && strcmp(name + n - 5, ".plan") == 0;
}

static Words list_plans(Arena *arena, const char *plans)
{
    Words found = {0};
    DIR *dir = opendir(plans);
    struct dirent *e;
    while (dir && (e = readdir(dir)))
        if (is_plan_name(e->d_name)) {
            const char *name = path_join(arena, plans, e->d_name);
            VEC_PUSH(arena, &found, name);
        }
    if (dir)
        closedir(dir);
    return found;
}

bool run_plans_remove(Cli *cli, const char *dir, Err *err)
{
    Words found = list_plans(cli->arena, path_join(cli->arena, dir, "plans"));
    for (uint32_t i = 0; i < found.n; i++)
        if (remove(found.at[i]) != 0)
            return err_set(err, ERR_FILE, "cannot remove %s: %s", found.at[i], strerror(errno));
    return true;
}

bool run_folder_open(Cli *cli, const char *dir, bool all, RunFolder *out, Err *err)
{
    const char *plans = path_join(cli->arena, dir, "plans"), *stage = cli->value[OPT_stage];
    RunInfo info;
    bool found;
    if (!run_info_read(cli, dir, &info, &found, err))
        return false;
    bool several = info.stages.n > 1;
    if (stage) {
        *out = several ? run_folder_of_stage(cli, dir, stage) : run_folder_at(cli, dir, stage);
        return file_exists(out->plan) || err_set(err, ERR_FILE, "no file %s", out->plan);
    }
    *out = (RunFolder){.dir = dir, .work = dir};
    Words at = list_plans(cli->arena, plans);
    if (!at.n) {
        err_set(err, ERR_FILE, "%s is no run: there is no plan in %s", dir, plans);
        return err_help(err, "give the .mdl file, a plan, or the folder of a run");
    }
    if (several && all)
        return true;
    if (several || at.n > 1) {
        err_set(err, ERR_USAGE, "%s has %u plans", dir, at.n);
        return err_help(err, "choose one with --stage");
    }
    out->plan = at.at[0];
    return true;
}

Plan *run_plan_load(const RunFolder *folder, Err *err)
{
    Plan *plan = plan_load(folder->plan, err);
    if (plan || err->kind != ERR_DATA)
        return plan;
    err->help[0] = '\0'; /* nobody compiled this plan by hand */
    err_help(err, "remove it, and train from the .mdl file: that compiles it again");
    return NULL;
}

bool run_plan_write(Cli *cli, const RunFolder *folder, Bytes plan, Err *err)
{
    return file_mkdirs(path_dir(cli->arena, folder->plan), err) &&
           file_write_atomic(folder->plan, plan.data, plan.n, err);
}

/* ---- run.json ---- */

static bool damaged(const char *path, const char *why, Err *err)
{
    err_set(err, ERR_DATA, "%s: %s", path, why);
    return err_help(err, "remove the folder to start the run again");
}

static bool read_hash(const char *text, uint64_t *out)
{
    char *end;
    if (!text || strlen(text) != 16 || strspn(text, "0123456789abcdef") != 16)
        return false;
    *out = strtoull(text, &end, 16);
    return *end == '\0';
}

static bool read_stage(Cli *cli, const json_t *json, RunStage *out)
{
    const char *name = json_string_value(json_object_get(json, "stage"));
    const char *hash = json_string_value(json_object_get(json, "plan"));
    const json_t *after = json_object_get(json, "after");
    *out = (RunStage){0};
    if (!name || !*name || strchr(name, '/') || !json_is_array(after) ||
        (hash && !read_hash(hash, &out->plan)))
        return false;
    out->name = arena_strdup(cli->arena, name);
    for (size_t i = 0; i < json_array_size(after); i++) {
        const char *text = json_string_value(json_array_get(after, i));
        if (!text)
            return false;
        text = arena_strdup(cli->arena, text);
        VEC_PUSH(cli->arena, &out->after, text);
    }
    return true;
}

static bool read_stages(Cli *cli, const json_t *root, RunInfo *out)
{
    const json_t *stages = json_object_get(root, "stages");
    for (size_t i = 0; i < json_array_size(stages); i++) {
        RunStage s;
        if (!read_stage(cli, json_array_get(stages, i), &s))
            return false;
        VEC_PUSH(cli->arena, &out->stages, s);
    }
    return true;
}

static bool read_fields(Cli *cli, const json_t *root, RunInfo *out)
{
    const char *source = json_string_value(json_object_get(root, "source"));
    const char *version = json_string_value(json_object_get(root, "version"));
    const json_t *sets = json_object_get(root, "set");
    if (!source || !version || !json_is_array(sets) ||
        !read_hash(json_string_value(json_object_get(root, "hash")), &out->hash))
        return false;
    out->source = arena_strdup(cli->arena, source);
    out->version = arena_strdup(cli->arena, version);
    for (size_t i = 0; i < json_array_size(sets); i++) {
        const char *text = json_string_value(json_array_get(sets, i));
        if (!text)
            return false;
        text = arena_strdup(cli->arena, text);
        VEC_PUSH(cli->arena, &out->sets, text);
    }
    return read_stages(cli, root, out);
}

bool run_info_read(Cli *cli, const char *dir, RunInfo *out, bool *found, Err *err)
{
    const char *path = path_join(cli->arena, dir, "run.json");
    Bytes text;
    *out = (RunInfo){0};
    *found = file_exists(path);
    if (!*found)
        return true;
    if (!file_read(cli->arena, path, INFO_LIMIT, &text, err))
        return false;
    json_error_t why;
    json_t *root = json_loadb(text.data, text.n, JSON_REJECT_DUPLICATES, &why);
    bool ok = root ? read_fields(cli, root, out) : false;
    json_decref(root);
    if (ok)
        return true;
    return damaged(
        path, root ? "source, version, hash, set or stages is missing or wrong" : why.text, err);
}

static json_t *stages_json(Arena *arena, const RunInfo *info)
{
    json_t *stages = json_array();
    for (uint32_t i = 0; i < info->stages.n; i++) {
        const RunStage *s = &info->stages.at[i];
        json_t *after = json_array();
        for (uint32_t k = 0; k < s->after.n; k++)
            json_array_append_new(after, json_string(s->after.at[k]));
        json_t *stage = json_pack("{s:s, s:o}", "stage", s->name, "after", after);
        if (s->plan)
            json_object_set_new(stage, "plan",
                                json_string(arena_printf(arena, "%016" PRIx64, s->plan)));
        json_array_append_new(stages, stage);
    }
    return stages;
}

bool run_info_write(const char *dir, const RunInfo *info, Err *err)
{
    Arena *arena = arena_new();
    json_t *sets = json_array();
    for (uint32_t i = 0; i < info->sets.n; i++)
        json_array_append_new(sets, json_string(info->sets.at[i]));
    json_t *root = json_pack("{s:s, s:o, s:s, s:s, s:o}", "source", info->source, "set", sets,
                             "hash", arena_printf(arena, "%016" PRIx64, info->hash), "version",
                             info->version, "stages", stages_json(arena, info));
    char *text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
    const char *path = path_join(arena, dir, "run.json");
    bool ok = text ? file_mkdirs(dir, err) && file_write_atomic(path, text, strlen(text), err)
                   : err_set(err, ERR_DATA, "%s: a path or an override is not UTF-8", path);
    free(text);
    json_decref(root);
    arena_free(arena);
    return ok;
}
