/* launch_bench.c: what the executor adds to a kernel.
 *
 *     launch_bench THREADS
 *
 * A plan of many small kernels that cannot be merged, prefix sums of prefix sums, twice: of one short row,
 * where all time counts as the executor's, though the kernel's own few nanoseconds are in it; and, for
 * several threads, what sharing adds: a launch of as many empty tasks. One line of JSON: microseconds per
 * kernel, the least of some rounds. */
#include "pool.h"
#include "program.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 400, KERNELS = 64 };

typedef struct Run {
    int64_t rows, length;
    double seconds[ROUNDS]; /* of calls; then in order */
} Run;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static bool choose(Compile *c, void *user, Err *err)
{
    const Run *r = user;
    CompileInput in = {.name = "x", .dtype = DT_F32, .rank = 2, .dim = {r->rows, r->length}};
    CompileCall call = {.function = "chain", .inputs = &in, .ninput = 1};
    return compile_call(c, &call, err);
}

static bool measure(Runtime *rt, void *user, Err *err)
{
    Run *run = user;
    size_t bytes = (size_t)(run->rows * run->length) * sizeof(float);
    float *x = aligned_alloc(64, (bytes + 63) / 64 * 64);
    memset(x, 0, bytes);
    const void *inputs[] = {x};
    RtCall call = {.inputs = inputs, .first = true};
    bool ok = rt_run(rt, 0, &call, err);
    for (int r = 0; ok && r < ROUNDS; r++) {
        double start = now();
        ok = rt_run(rt, 0, &call, err);
        run->seconds[r] = now() - start;
    }
    bench_sort(run->seconds, ROUNDS);
    free(x);
    return ok;
}

static bool time_chain(const char *path, int threads, Run *run, Err *err)
{
    BenchProgram b = {
        .path = path, .threads = threads, .choose = choose, .measure = measure, .user = run};
    return bench_program(&b, err);
}

static bool write_chain(const char *path)
{
    FILE *f = fopen(path, "w");
    if (!f)
        return false;
    fprintf(f, "fn chain(x: [B, N]) -> [B, N] {\n");
    for (int i = 0; i < KERNELS; i++)
        fprintf(f, "  x = cumsum(x, axis: 1)\n");
    fprintf(f, "  x\n}\n");
    return fclose(f) == 0;
}

static void nothing(const MdlArgs *args, int64_t task, void *scratch)
{
    UNUSED(args);
    UNUSED(task);
    UNUSED(scratch);
}

/* Seconds of KERNELS launches; negative after an error. */
static double time_sharing(int threads, Err *err)
{
    Pool *pool = pool_new(threads, err);
    double least = pool ? 1e9 : -1;
    for (int r = 0; pool && r < ROUNDS; r++) {
        double start = now();
        for (int i = 0; i < KERNELS; i++)
            pool_run(pool, nothing, NULL, threads);
        double took = now() - start;
        least = took < least ? took : least;
    }
    pool_free(pool);
    return least;
}

int main(int argc, char **argv)
{
    int threads = argc == 2 ? (int)strtol(argv[1], NULL, 10) : 0;
    char folder[] = "/tmp/launch-XXXXXX", path[64];
    if (threads < 1 || !mkdtemp(folder)) {
        fprintf(stderr, "usage: launch_bench THREADS\n");
        return 2;
    }
    snprintf(path, sizeof path, "%s/chain.mdl", folder);
    Err err = {0};
    Run one = {.rows = 1, .length = 4};
    bool ok = write_chain(path) && time_chain(path, threads, &one, &err);
    double shared = ok && threads > 1 ? time_sharing(threads, &err) : 0;
    ok = ok && shared >= 0;
    double seconds = one.seconds[0] + shared;
    unlink(path);
    rmdir(folder);
    if (!ok)
        fprintf(stderr, "launch_bench: %s\n", err.text);
    else
        printf("{\"schema\":\"mdl.launch.1\",\"threads\":%d,\"kernels\":%d,\"us\":%.3f}\n", threads,
               (int)KERNELS, seconds / KERNELS * 1e6);
    return ok ? 0 : (int)err.kind;
}
