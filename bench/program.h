/* program.h: what benches of one compiled program share: from its text to a runtime, and sorted times. */
#ifndef MDL_BENCH_PROGRAM_H
#define MDL_BENCH_PROGRAM_H

#include "compile.h"
#include "runtime.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct BenchProgram {
    const char *path;
    int threads;
    bool (*choose)(Compile *c, void *user, Err *err); /* compile_call or compile_stage */
    bool (*measure)(Runtime *rt, void *user, Err *err);
    void *user;
    const CompileTarget *target; /* NULL: the CPU */
    RtDevice device;
    bool (*plan)(const Plan *plan, void *user, Err *err); /* NULL, or instead of measure */
} BenchProgram;

static bool bench_program(const BenchProgram *b, Err *err)
{
    CompileOptions options = {.path = b->path,
                              .targets = b->target,
                              .ntarget = b->target ? 1 : 0,
                              .prelude_hash = rt_prelude_hash};
    Compile *c = compile_new(&options);
    Arena *arena = arena_new();
    Bytes bytes;
    bool ok = compile_load(c, err) && b->choose(c, b->user, err) && compile_plan(c, &bytes, err);
    Plan *plan = ok ? plan_from_bytes(bytes.data, bytes.n, err) : NULL;
    RtOptions device = {.device = b->device, .threads = b->threads, .quiet = true};
    Runtime *rt = plan && !b->plan ? rt_open(plan, &device, err) : NULL;
    ok = rt ? b->measure(rt, b->user, err) : plan && b->plan && b->plan(plan, b->user, err);
    if (!ok && err->kind == ERR_PROGRAM)
        fputs(diags_render(compile_diags(c), arena, DIAG_HUMAN, false), stderr);
    rt_close(rt);
    plan_free(plan);
    compile_free(c);
    arena_free(arena);
    return ok;
}

static int bench_compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Of n rounds: then the first is the least and the middle one the median. */
static void bench_sort(double *seconds, size_t n)
{
    qsort(seconds, n, sizeof *seconds, bench_compare);
}

#endif
