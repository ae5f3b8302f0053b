/* cmd_bench.c: `mdl bench`: how long an update takes, kernel by kernel. */
#include "program.h"
#include "results.h"
#include "runfolder.h"
#include "targets.h"

typedef struct BenchUse {
    Plan *plan;
} BenchUse;

static bool plan_of_source(Cli *cli, Compile *c, void *user, Err *err)
{
    BenchUse *u = user;
    const char *stage;
    Bytes bytes;
    if (!choose_stage(cli, c, &stage, err) || !compile_stage(c, stage, err) ||
        !compile_plan(c, &bytes, err))
        return false;
    /* the session, and these bytes with it, ends before the plan is used */
    Bytes copy = {arena_memdup(cli->arena, bytes.data, bytes.n), bytes.n};
    u->plan = plan_from_bytes(copy.data, copy.n, err);
    return u->plan != NULL;
}

static Plan *open_plan(Cli *cli, const char *path, Err *err)
{
    BenchUse use = {0};
    if (path_is_source(path)) {
        with_program(cli, &(ProgramUse){path, plan_of_source, &use}, err);
        return use.plan;
    }
    RunFolder folder = {.plan = path};
    if (!options_of_plan(cli, path, err))
        return NULL;
    if (file_is_dir(path) && !run_folder_open(cli, path, false, &folder, err))
        return NULL;
    return plan_load(folder.plan, err);
}

/* ---- the table ---- */

typedef struct Row {
    const PlanKernel *kernel;
    double seconds;
    uint64_t launches;
} Row;

static int by_time(const void *a, const void *b)
{
    const Row *x = a, *y = b;
    return (x->seconds < y->seconds) - (x->seconds > y->seconds);
}

/* The kernels that ran, longest first. */
static Row *rows_of(Cli *cli, const Plan *plan, const BenchResult *r, uint32_t *n)
{
    Row *rows = NEW_ARRAY(cli->arena, Row, plan->nkernels);
    for (uint32_t k = 0; k < plan->nkernels; k++)
        if (r->kernels[k].launches)
            rows[(*n)++] = (Row){&plan->kernels[k], r->kernels[k].seconds, r->kernels[k].launches};
    qsort(rows, *n, sizeof(*rows), by_time);
    return rows;
}

/* The instruction set that it ran on. */
static const char *isa_of(const Plan *plan, const Runtime *rt)
{
    return plan_text(plan, plan->targets[rt_target(rt)].isa);
}

static void put_head(const Plan *plan, const Runtime *rt, const BenchResult *r)
{
    int threads = rt_threads(rt);
    const PlanRun *run = &plan->runs[0];
    printf("%s  batch %lld, %d thread%s, %s: least %.3f ms, median %.3f ms of %lld updates, "
           "%.0f samples/s\n",
           plan_text(plan, run->model), (long long)run->batch, threads, threads == 1 ? "" : "s",
           isa_of(plan, rt), r->least * 1e3, r->median * 1e3, (long long)r->updates,
           (double)run->batch / r->median);
}

static void put_table(Cli *cli, const Plan *plan, const BenchResult *r)
{
    uint32_t n = 0;
    const Row *rows = rows_of(cli, plan, r, &n);
    double sum = 0;
    uint64_t launches = 0;
    for (uint32_t i = 0; i < n; i++) {
        sum += rows[i].seconds;
        launches += rows[i].launches;
    }
    printf(" share  launches   us each   GFLOP/s     GB/s  class   kernel\n");
    for (uint32_t i = 0; i < n; i++) {
        const Row *k = &rows[i];
        double times = (double)k->launches, per_ns = times * 1e-9 / k->seconds;
        printf("%5.1f%%  %8llu  %8.1f  %8.1f %8.1f  %-7s %s\n", 100 * k->seconds / sum,
               (unsigned long long)k->launches, k->seconds / times * 1e6,
               (double)k->kernel->flops * per_ns, (double)k->kernel->bytes * per_ns,
               plan_text(plan, k->kernel->cls), plan_text(plan, k->kernel->name));
    }
    /* A GPU is waited for behind each kernel to time it; an update as a whole may take less. */
    double rest = r->least - sum;
    printf("%5.1f%%  %8llu  kernels %.3f ms%s %.3f ms\n", 100.0, (unsigned long long)launches,
           sum * 1e3, rest < 0 ? " one by one, together less by" : "; between them",
           (rest < 0 ? -rest : rest) * 1e3);
}

/* Of one update. */
static double flops_of(const Plan *plan, const BenchResult *r)
{
    double flops = 0;
    for (uint32_t k = 0; k < plan->nkernels; k++)
        flops += (double)plan->kernels[k].flops * (double)r->kernels[k].launches;
    return flops;
}

/* Of one update, longest first. */
static json_t *json_kernels(Cli *cli, const Plan *plan, const BenchResult *r)
{
    uint32_t n = 0;
    const Row *rows = rows_of(cli, plan, r, &n);
    json_t *all = json_array();
    for (uint32_t i = 0; i < n; i++) {
        const PlanKernel *k = rows[i].kernel;
        const double times = (double)rows[i].launches;
        json_array_append_new(
            all, json_pack("{s:s, s:s, s:I, s:f, s:f, s:f}", "name", plan_text(plan, k->name),
                           "class", plan_text(plan, k->cls), "launches",
                           (json_int_t)rows[i].launches, "seconds", rows[i].seconds, "flops",
                           (double)k->flops * times, "bytes", (double)k->bytes * times));
    }
    return all;
}

static bool put_json(Cli *cli, const Plan *plan, const Runtime *rt, const BenchResult *r)
{
    const PlanRun *run = &plan->runs[0];
    json_t *root =
        json_pack("{s:s, s:s, s:s, s:s, s:I, s:i, s:I, s:f, s:f, s:f, s:f, s:o}", "schema",
                  "mdl.bench.1", "model", plan_text(plan, run->model), "mdl", MDL_VERSION, "isa",
                  isa_of(plan, rt), "batch", (json_int_t)run->batch, "threads", rt_threads(rt),
                  "updates", (json_int_t)r->updates, "least", r->least, "median", r->median, "cpu",
                  r->cpu, "flops", flops_of(plan, r), "kernels", json_kernels(cli, plan, r));
    return print_json(root, 6);
}

static bool measure(Cli *cli, const Plan *plan, Runtime *rt, Err *err)
{
    int64_t seconds = 3;
    BenchResult r;
    if (!cli_int(cli, OPT_seconds, (IntRange){1, 3600}, &seconds, err) ||
        !rt_bench(rt, (double)seconds, cli->arena, &r, err))
        return false;
    if (cli_has(cli, OPT_json))
        return put_json(cli, plan, rt, &r) ||
               err_set(err, ERR_DATA, "the result cannot be written as JSON");
    put_head(plan, rt, &r);
    put_table(cli, plan, &r);
    return true;
}

bool cmd_bench(Cli *cli, Err *err)
{
    const char *path = cli_file(cli, err);
    Plan *plan = path ? open_plan(cli, path, err) : NULL;
    Runtime *rt = plan ? open_runtime(cli, plan, err) : NULL;
    bool ok = rt && measure(cli, plan, rt, err);
    rt_close(rt);
    plan_free(plan);
    return ok;
}
