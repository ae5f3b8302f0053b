/* gemm_bench.c: the generated matrix product against OpenBLAS, where libopenblas.so.0 is installed.
 *
 *     gemm_bench [ISA]
 *
 * Lowers C = A B^T and C = A B for several sizes, compiles the emitted text with the system compiler,
 * and runs it with one and two threads, tasks handed out by a counter. Prints GFLOP/s, best of the
 * rounds, and the share of OpenBLAS on the same number of threads. */
#include "codegen.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct BenchArgs { /* the kernel ABI, as runtime/device.h has it */
    void *const *buf;
    const void *row;
    int64_t nrow;
    const int64_t *block;
    void *workspace;
} BenchArgs;
typedef void (*BenchFn)(const BenchArgs *a, int64_t task, void *scratch);
typedef void (*SgemmFn)(int, int, int, int, int, int, float, const float *, int, const float *, int,
                        float, float *, int);

typedef struct Bench {
    Arena *arena;
    Ir *ir;
    Target target;
    void *blas;
} Bench;

typedef struct Job {
    BenchFn phase[4];
    int64_t tasks[4];
    uint32_t nphase;
    BenchArgs args;
    char *scratch[2];
    atomic_llong next[4];
    pthread_barrier_t *barrier;
} Job;

typedef struct Worker {
    Job *job;
    int id, rounds;
} Worker;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void *aligned(size_t bytes)
{
    void *p = aligned_alloc(64, (bytes + 63) / 64 * 64 + 64);
    memset(p, 0, (bytes + 63) / 64 * 64);
    return p;
}

static void work(Job *j, int id, bool alone)
{
    for (uint32_t p = 0; p < j->nphase; p++) {
        for (int64_t t = j->next[p]++; t < j->tasks[p]; t = j->next[p]++)
            j->phase[p](&j->args, t, j->scratch[id]);
        if (!alone)
            pthread_barrier_wait(j->barrier);
    }
}

static void *run_worker(void *user)
{
    Worker *w = user;
    for (int r = 0; r < w->rounds; r++) {
        pthread_barrier_wait(w->job->barrier);
        work(w->job, w->id, false);
    }
    return NULL;
}

/* Best time of several rounds. */
static double time_job(Job *j, int threads, int rounds)
{
    pthread_barrier_t barrier;
    pthread_t other;
    Worker w = {j, 1, rounds};
    j->barrier = &barrier;
    pthread_barrier_init(&barrier, NULL, 2);
    if (threads == 2)
        pthread_create(&other, NULL, run_worker, &w);
    double best = 1e9;
    for (int r = 0; r < rounds; r++) {
        for (uint32_t p = 0; p < j->nphase; p++)
            j->next[p] = 0;
        double start = now();
        if (threads == 2)
            pthread_barrier_wait(&barrier);
        work(j, 0, threads == 1);
        double t = now() - start;
        best = t < best ? t : best;
    }
    if (threads == 2)
        pthread_join(other, NULL);
    pthread_barrier_destroy(&barrier);
    return best;
}

static Kernel *make_kernel(Bench *b, int m, int n, int k, bool transposed)
{
    Ir *ir = b->ir;
    const Dim *a[] = {dim_const(ir, m), dim_const(ir, k)};
    const Dim *w[] = {dim_const(ir, transposed ? n : k), dim_const(ir, transposed ? k : n)};
    Graph *g = graph_new(ir, b->arena, sym(ir->syms, "body"));
    DotAxes x = {.ncontract = 1, .a_contract = {1}, .b_contract = {transposed}};
    const Node *y =
        graph_dot(g, graph_input(g, sym(ir->syms, "a"), type_tensor(ir, DT_F32, 2, a)),
                  graph_input(g, sym(ir->syms, "b"), type_tensor(ir, DT_F32, 2, w)), &x);
    graph_result(g, sym(ir->syms, "c"), y);
    Def proto = {.kind = DEF_GROUP, .name = sym(ir->syms, "gemm"), .body = g, .nvisible = 1};
    Graph *entry = graph_new(ir, b->arena, sym(ir->syms, "entry"));
    const Node *in[] = {graph_input(entry, sym(ir->syms, "a"), g->inputs.at[0]->type),
                        graph_input(entry, sym(ir->syms, "b"), g->inputs.at[1]->type)};
    bool wide = b->target.vector == 16;
    int64_t config[] = {wide                    ? 14
                        : b->target.vector == 8 ? 6
                                                : 4,
                        2 * b->target.vector, 256, wide ? 112 : 72, 2048};
    Attr attr[4] = {0};
    attr[op_attr_index(OP_GROUP, "def")] = (Attr){.kind = AK_DEF, .def = def_intern(ir, &proto)};
    attr[op_attr_index(OP_GROUP, "class")] = (Attr){.kind = AK_SYM, .s = sym(ir->syms, "gemm")};
    attr[op_attr_index(OP_GROUP, "config")] = (Attr){.kind = AK_INTS, .n = 5, .ints = config};
    attr[op_attr_index(OP_GROUP, "count")] = (Attr){.kind = AK_INT, .i = 1};
    const Node *group =
        graph_op(entry, &(NodeSpec){.op = OP_GROUP, .nin = 2, .in = in, .attr = attr});
    return codegen_lower(ir, b->arena, group, &b->target);
}

static bool compile(Bench *b, const Kernel *k, Job *j)
{
    char c_path[] = "/tmp/mdl-bench-XXXXXX.c";
    int fd = mkstemps(c_path, 2);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
    if (!f)
        return false;
    EmitCx cx = {.target = &b->target};
    fputs(codegen_emit(k, &cx, b->arena), f);
    fclose(f);
    const char *so = arena_printf(b->arena, "%s.so", c_path);
    const char *march = b->target.vector == 16  ? "-march=x86-64-v4"
                        : b->target.vector == 8 ? "-march=x86-64-v3"
                                                : "";
    const char *cmd = arena_printf(b->arena,
                                   "cc -std=gnu11 -O2 -w -fno-math-errno -ffp-contract=off %s "
                                   "-shared -fPIC -I%s/runtime/prelude/c %s -o %s",
                                   march, MDL_SOURCE_DIR, c_path, so);
    void *dl = system(cmd) == 0 ? dlopen(so, RTLD_NOW) : NULL;
    remove(c_path);
    remove(so);
    for (uint32_t i = 0; dl && i < k->phases.n; i++) {
        void *symbol = dlsym(dl, k->phases.at[i].name);
        memcpy(&j->phase[i], &symbol, sizeof symbol);
        j->tasks[i] = dim_eval(k->phases.at[i].tasks, NULL);
    }
    j->nphase = k->phases.n;
    return dl != NULL;
}

static double time_blas(const Bench *b, const float *x, const float *y, float *z, const int *d,
                        int threads)
{
    SgemmFn sgemm;
    void (*set_threads)(int);
    void *symbol = dlsym(b->blas, "cblas_sgemm"), *set = dlsym(b->blas, "openblas_set_num_threads");
    memcpy(&sgemm, &symbol, sizeof symbol);
    memcpy(&set_threads, &set, sizeof set);
    set_threads(threads);
    double best = 1e9;
    for (int r = 0; r < d[4]; r++) {
        double start = now();
        sgemm(101, 111, d[3] ? 112 : 111, d[0], d[1], d[2], 1, x, d[2], y, d[3] ? d[2] : d[1], 0, z,
              d[1]);
        double t = now() - start;
        best = t < best ? t : best;
    }
    return best;
}

static void bench(Bench *b, int m, int n, int k, bool transposed)
{
    Job j = {.nphase = 0};
    Kernel *kernel = make_kernel(b, m, n, k, transposed);
    if (!compile(b, kernel, &j))
        return;
    float *buf[3] = {aligned((size_t)m * k * 4), aligned((size_t)k * n * 4),
                     aligned((size_t)m * n * 4)};
    for (int i = 0; i < m * k; i++)
        buf[0][i] = (float)(i % 13) * 0.1f;
    for (int i = 0; i < n * k; i++)
        buf[1][i] = (float)(i % 7) * 0.1f;
    void *args[3] = {buf[0], buf[1], buf[2]};
    j.args.buf = args;
    j.args.workspace = aligned(kernel->workspace);
    for (int i = 0; i < 2; i++)
        j.scratch[i] = aligned(kernel->scratch);
    double flops = 2.0 * m * n * k;
    int rounds = flops > 1e9 ? 12 : 60;
    printf("%5d x %5d x %5d %s:", m, n, k, transposed ? "NT" : "NN");
    for (int threads = 1; threads <= 2; threads++) {
        double own = time_job(&j, threads, rounds);
        printf("  %d thread%s %6.1f GFLOP/s", threads, threads > 1 ? "s" : "", flops / own * 1e-9);
        int d[] = {m, n, k, transposed, rounds};
        float *z = aligned((size_t)m * n * 4);
        double blas = b->blas ? time_blas(b, buf[0], buf[1], z, d, threads) : 0;
        if (b->blas)
            printf(" (OpenBLAS %6.1f, %3.0f %%)", flops / blas * 1e-9, 100 * blas / own);
        free(z);
    }
    printf("\n");
    for (int i = 0; i < 3; i++)
        free(buf[i]);
    free(j.args.workspace);
    free(j.scratch[0]);
    free(j.scratch[1]);
}

int main(int argc, char **argv)
{
    Bench b = {.arena = arena_new()};
    Err err = {0};
    b.ir = ir_new(b.arena, syms_new(b.arena), diags_new(b.arena));
    if (!target_host(&b.target, argc > 1 ? argv[1] : NULL, &err)) {
        fprintf(stderr, "gemm_bench: %s\n", err.text);
        return 1;
    }
    b.blas = dlopen("libopenblas.so.0", RTLD_NOW);
    static const int sizes[][3] = {{512, 512, 512}, {1024, 1024, 1024}, {128, 128, 784},
                                   {784, 128, 128}, {2048, 64, 64},     {64, 256, 2048},
                                   {128, 10, 128},  {64, 4096, 1024}};
    for (size_t i = 0; i < COUNT(sizes); i++)
        for (int t = 0; t < 2; t++)
            bench(&b, sizes[i][0], sizes[i][1], sizes[i][2], t);
    arena_free(b.arena);
    return 0;
}
