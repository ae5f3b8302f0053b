/* cmd_tune.c: `mdl tune`: measures configurations of the kernels of a program on this machine, and keeps the fastest as
 * tuning records (compiler/target/records.h). */
#include "cuda_api.h"
#include "memplan.h"
#include "records.h"
#include "targets.h"
#include "tune_kernel.h"

#include <errno.h>

typedef struct Tune {
    Cli *cli;
    const char *path;   /* of the records */
    const char *device; /* its name; "": not known */
    Target target;
    Map *seen; /* problems */
    VEC(TuneProblem) problems;
    uint32_t kept;
} Tune;

/* ---- problems ---- */

/* Of the groups of an entry, and of its loops, those that more than one configuration suits. */
static void collect(Tune *t, const Program *program, const MemPlan *m)
{
    for (uint32_t i = 0; i < m->order.n; i++) {
        const Node *group = m->order.at[i];
        if (m->body[group->id]) {
            collect(t, program, m->body[group->id]);
            continue;
        }
        TuneProblem p = {group, pick_problem(node_def(group), node_sym(group, "class"))};
        if (map_get(t->seen, p.problem | 1))
            continue;
        map_put(t->seen, p.problem | 1, (void *)group);
        Arena *arena = arena_new();
        if (tune_count(arena, &(TuneSpec){t->cli, program, &t->target, &p}) > 1)
            VEC_PUSH(t->cli->arena, &t->problems, p);
        arena_free(arena);
    }
}

/* ---- one problem ---- */

static void put_config(const PickConfig *c)
{
    const KernelConfig k = library_split(c->ints, c->n);
    for (uint32_t i = 0; i < k.n; i++)
        printf("%s%lld", i ? "," : "", (long long)k.ints[i]);
    if (k.library)
        fputs(" or cuBLASLt", stdout);
}

static void put_result(const TuneProblem *p, const TuneResult *r)
{
    const TuneTrial *best = &r->trial[r->best];
    uint32_t wrong = 0;
    for (uint32_t k = 0; k < r->n; k++)
        wrong += r->trial[k].seconds <= 0;
    printf("%12.1f  %12.1f  %5.2f  %016llx  ", r->trial[0].seconds * 1e6, best->seconds * 1e6,
           r->trial[0].seconds / best->seconds, (unsigned long long)p->problem);
    put_config(&best->config);
    printf("  %s", node_def(p->group)->name);
    if (wrong)
        printf("  (%u of %u had other results)", wrong, r->n);
    putchar('\n');
    fflush(stdout);
}

static bool keep(Tune *t, const TuneProblem *p, const TuneResult *r, Err *err)
{
    const TuneTrial *best = &r->trial[r->best];
    const KernelConfig config = library_split(best->config.ints, best->config.n);
    TuningRecord record = {.problem = p->problem,
                           .cls = node_sym(p->group, "class"),
                           .isa = t->target.isa,
                           .device = t->device,
                           .config = config.ints,
                           .n = config.n,
                           .by_library = config.library != NULL,
                           .seconds = best->seconds,
                           .usual = r->trial[0].seconds};
    if (config.library)
        record.library = library_choice(config.library);
    t->kept++;
    return record_append(t->path, &record, err);
}

static bool tune_one(Tune *t, const Program *program, uint32_t i, Err *err)
{
    const TuneProblem *p = &t->problems.at[i];
    Arena *arena = arena_new();
    TuneResult r;
    report_progress(t->cli, arena_printf(arena, "measuring %u of %u: %s", i + 1, t->problems.n,
                                         node_def(p->group)->name));
    bool ok = tune_measure(arena, &(TuneSpec){t->cli, program, &t->target, p}, &r, err);
    report_progress(t->cli, "");
    if (ok) {
        put_result(p, &r);
        ok = keep(t, p, &r, err);
    }
    arena_free(arena);
    return ok;
}

/* ---- the program ---- */

static bool tune_program(Tune *t, Compile *c, Err *err)
{
    const Program *p = compile_program(c);
    Bytes ignored;
    if (!compile_kernels(c, &ignored, err))
        return false;
    t->problems.n = 0;
    for (uint32_t i = 0; i < p->entries.n; i++)
        collect(t, p, compile_memplan(c, i));
    for (uint32_t i = 0; i < t->problems.n; i++)
        if (!tune_one(t, p, i, err))
            return false;
    return true;
}

/* Of a GPU; the records of a CPU are of this machine. */
static const char *device_name(Cli *cli)
{
    Err ignored = {0};
    CudaApi api;
    CudaDevice gpu;
    int ordinal;
    bool known = cuda_ordinal(&ordinal, &ignored) && cuda_open(cli->arena, &api, &ignored) &&
                 cuda_device(&api, ordinal, &gpu, &ignored);
    return known ? arena_strdup(cli->arena, gpu.name) : "";
}

static bool find_target(Tune *t, Err *err)
{
    t->device = t->cli->targets->all.at[0].kind == PLAN_CUDA ? device_name(t->cli) : "";
    const CompileTarget *to = &t->cli->targets->all.at[0];
    const char *isa = to->isa ? to->isa : t->cli->value[OPT_isa];
    return to->kind == PLAN_CUDA ? target_cuda(&t->target, isa, err)
                                 : target_host(&t->target, isa, err);
}

static bool tune(Cli *cli, Compile *c, void *user, Err *err)
{
    Tune *t = user;
    const char *stage = NULL;
    if (!find_target(t, err) || (cli_has(cli, OPT_stage) && !choose_stage(cli, c, &stage, err)))
        return false;
    report_progress(cli, "");
    puts("    usual us       best us  ratio  problem           configuration, kernel");
    for (uint32_t i = 0; i < compile_stage_count(c); i++) {
        const char *name = arena_strdup(cli->arena, compile_stage_name(c, i));
        if (stage && strcmp(stage, name) != 0)
            continue;
        if (!compile_stage(c, name, err) || !tune_program(t, c, err))
            return false;
    }
    for (uint32_t i = 0; i < compile_generate_count(c) && !stage; i++)
        if (!compile_generate(c, i, err) || !tune_program(t, c, err))
            return false;
    printf("%u records in %s\n", t->kept, t->path);
    return true;
}

static bool records_path(Tune *t, Err *err)
{
    const char *set = getenv("MDL_RECORDS"), *cache = path_cache(t->cli->arena);
    t->path = cli_has(t->cli, OPT_out) ? t->cli->value[OPT_out] : set && *set ? set : NULL;
    if (t->path)
        return true;
    t->path = path_join(t->cli->arena, cache, "tuning.jsonl");
    return file_mkdirs(cache, err);
}

/* Before anything is measured. */
static bool can_write(const Tune *t, Err *err)
{
    FILE *f = fopen(t->path, "a");
    return (f && fclose(f) == 0) ||
           err_set(err, ERR_FILE, "cannot write %s: %s", t->path, strerror(errno));
}

bool cmd_tune(Cli *cli, Err *err)
{
    const char *path = cli_file(cli, err);
    if (cli->targets->device == RT_SIMT) {
        usage_error(err, "the times of the GPU made of software say nothing of a GPU");
        return err_help(err, "mdl tune .. --device cuda, on the machine that has it");
    }
    Tune t = {.cli = cli, .seen = map_new(cli->arena)};
    return path && records_path(&t, err) && can_write(&t, err) &&
           with_source(cli, &(ProgramUse){path, tune, &t}, err);
}
