/* LIBS: mdl_compile mdl_runtime mdl_plan mdl_base */
/* fuzz_run.c: arbitrary bytes as the files that a run's folder has for its program: run.json, data.json, and
 * manifest.json of a checkpoint. Each is refused as damaged, or says something that can be used. And as
 * run.jsonl, of which a resumed run keeps the lines of its past. */
#define _GNU_SOURCE
#include "../../cli/runfolder.h"
#include "checkpoint.h"
#include "fingerprint.h"
#include "fuzz_file.h"
#include "runlog.h"

#include <sys/stat.h>

/* A folder in memory, or where temporary files go, for this input. */
static const char *make_folder(Arena *arena)
{
    const char *temp = getenv("TMPDIR");
    const char *base = file_is_dir("/dev/shm") ? "/dev/shm" : temp ? temp : "/tmp";
    char *dir = arena_strdup(arena, arena_printf(arena, "%s/mdl-fuzz-XXXXXX", base));
    ASSERT(mkdtemp(dir));
    return dir;
}

static void link_as(Arena *arena, const char *dir, const char *name, const FuzzFile *file)
{
    ASSERT(symlink(file->path, path_join(arena, dir, name)) == 0);
}

static void check_err(bool ok, const Err *err)
{
    ASSERT(ok || (err->text[0] && err->kind == ERR_DATA));
}

static void read_run(Arena *arena, const char *dir)
{
    Cli cli = {.arena = arena};
    RunInfo info;
    bool found;
    Err err = {0};
    bool ok = run_info_read(&cli, dir, &info, &found, &err);
    ASSERT(found);
    check_err(ok, &err);
    for (uint32_t i = 0; ok && i < info.stages.n; i++)
        ASSERT(*info.stages.at[i].name && !strchr(info.stages.at[i].name, '/'));
}

static void read_manifest(const char *dir)
{
    Manifest m;
    Err err = {0};
    bool ok = manifest_read(&m, dir, &err);
    check_err(ok, &err);
    ASSERT(!ok || (m.pos.step >= 0 && m.pos.sample >= 0));
}

static void read_log(Arena *arena, const char *dir, const uint8_t *data, size_t n)
{
    RunLog log = {.fd = -1};
    Err err = {0};
    Bytes all;
    FILE *out = fopen(path_join(arena, dir, "run.jsonl"), "wb");
    ASSERT(out && fwrite(data, 1, n, out) == n && fclose(out) == 0);
    ASSERT(runlog_open(&log, dir, 3, &err));
    runlog_close(&log);
    static const char line[] = "{\"event\":\"resume\",\"step\":3}\n";
    size_t most = n + sizeof line - 1;
    ASSERT(file_read(arena, path_join(arena, dir, "run.jsonl"), most, &all, &err));
    ASSERT(all.n >= sizeof line - 1);
    ASSERT(memcmp(all.data + all.n - (sizeof line - 1), line, sizeof line - 1) == 0);
}

/* Of a run on a file of two numbers. */
static void read_fingerprint(Arena *arena, const char *dir)
{
    static const char rows[] = "{\"x\": 1}\n{\"x\": 2}\n";
    FuzzFile file = fuzz_file_open(rows, sizeof rows - 1);
    PlanBuilder *b = planb_new(arena);
    planb_target(b, PLAN_CPU, "generic");
    VEC_PUSH(arena, &b->meta, ((PlanMeta){.name = planb_text(b, "fuzz")}));
    VEC_PUSH(arena, &b->columns,
             ((PlanColumn){planb_text(b, "x"), planb_text(b, file.path), 0, 0}));
    VEC_PUSH(arena, &b->codes, ((PlanCode){.op = RO_COLUMN}));
    VEC_PUSH(arena, &b->fields,
             ((PlanField){.name = planb_text(b, "x"), .dtype = DT_F32, .ncode = 1}));
    PlanData d = {planb_text(b, "d"), .source = PD_JSONL, .ncolumn = 1, .nfield = 1, .limit = -1};
    VEC_PUSH(arena, &b->datas, d);
    Bytes bytes = planb_finish(b);
    Err err = {0};
    Plan *plan = plan_from_bytes(bytes.data, bytes.n, &err);
    Dataset *ds = plan ? data_open(plan, 0, &err) : NULL;
    ASSERT(ds);
    check_err(fingerprint_check(ds, dir, &err), &err);
    data_close(ds);
    plan_free(plan);
    fuzz_file_close(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    Arena *arena = arena_new();
    FuzzFile file = fuzz_file_open(data, n);
    const char *dir = make_folder(arena);
    link_as(arena, dir, "run.json", &file);
    link_as(arena, dir, "data.json", &file);
    link_as(arena, dir, "manifest.json", &file);
    read_run(arena, dir);
    read_manifest(dir);
    read_fingerprint(arena, dir);
    read_log(arena, dir, data, n);
    file_remove_tree(dir, NULL);
    fuzz_file_close(&file);
    arena_free(arena);
    return 0;
}
