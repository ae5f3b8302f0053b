/* gemm_bench.c: a matrix product through compiler and runtime, against OpenBLAS, where
 * libopenblas.so.0 is installed.
 *
 *     gemm_bench THREADS [SIZE | MxNxK][:nn | :nt | :tn]..
 *
 * nt: the right matrix is stored as [N, K]; tn: the left one as [K, M].
 * Both run in turns, several times, so that a busy machine slows both alike. Before each turn the threads
 * of the other, which wait for work awhile, fall asleep; a first call that is not timed warms the caches.
 * One line of JSON per size: seconds, least and median, of each. */
#include "program.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 21, MAX_SIZE = 1 << 14, PAUSE_NS = 50000000 };

typedef void (*SgemmFn)(int, int, int, int, int, int, float, const float *, int, const float *, int,
                        float, float *, int);

typedef struct Shape {
    int m, n, k;
    bool ta, tb; /* stored the other way round */
} Shape;

typedef struct Blas {
    SgemmFn sgemm; /* NULL: not installed */
    const char *version;
    int threads; /* of both sides */
} Blas;

typedef struct Times {
    double own[ROUNDS], blas[ROUNDS];
    double difference; /* largest between the two results */
} Times;

/* One thread: its processor time, which others on the machine disturb less. */
static double now(int threads)
{
    struct timespec t;
    clock_gettime(threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- OpenBLAS ---- */

static void load_symbol(void *library, const char *name, void *function)
{
    void *symbol = dlsym(library, name);
    memcpy(function, &symbol, sizeof(symbol));
}

static Blas open_blas(int threads)
{
    Blas blas = {.threads = threads};
    void (*set_threads)(int) = NULL;
    char *(*config)(void) = NULL;
    void *library = dlopen("libopenblas.so.0", RTLD_NOW);
    if (!library)
        return blas;
    load_symbol(library, "openblas_set_num_threads", &set_threads);
    load_symbol(library, "openblas_get_config", &config);
    load_symbol(library, "cblas_sgemm", &blas.sgemm);
    blas.version = config ? config() : "OpenBLAS";
    if (set_threads)
        set_threads(threads);
    return blas;
}

static void run_blas(const Blas *blas, const Shape *s, float *const *data)
{
    enum { ROW_MAJOR = 101, AS_IT_IS = 111, TRANSPOSED = 112 };
    blas->sgemm(ROW_MAJOR, s->ta ? TRANSPOSED : AS_IT_IS, s->tb ? TRANSPOSED : AS_IT_IS, s->m, s->n,
                s->k, 1, data[0], s->ta ? s->m : s->k, data[1], s->tb ? s->k : s->n, 0, data[2],
                s->n);
}

/* ---- our own ---- */

/* One size and what was measured of it. */
typedef struct Run {
    Shape shape;
    Times times;
    const Blas *blas;
} Run;

static bool choose(Compile *c, void *user, Err *err)
{
    const Shape *s = &((const Run *)user)->shape;
    CompileInput in[] = {
        {.name = "a",
         .dtype = DT_F32,
         .rank = 2,
         .dim = {s->ta ? s->k : s->m, s->ta ? s->m : s->k}},
        {.name = "b",
         .dtype = DT_F32,
         .rank = 2,
         .dim = {s->tb ? s->n : s->k, s->tb ? s->k : s->n}},
    };
    CompileCall call = {.function = s->ta   ? "tn"
                                    : s->tb ? "nt"
                                            : "nn",
                        .inputs = in,
                        .ninput = COUNT(in)};
    return compile_call(c, &call, err);
}

/* One turn of one side. */
static bool turn(Runtime *rt, const Run *run, float *const *data, double *seconds, Err *err)
{
    const Blas *blas = run->blas;
    RtCall call = {.inputs = (const void *const *)data, .first = true};
    nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
    bool ok = true;
    double start = 0;
    for (int i = 0; ok && i < 2; i++) {
        start = now(blas->threads);
        if (rt)
            ok = rt_run(rt, 0, &call, err);
        else if (blas->sgemm)
            run_blas(blas, &run->shape, data);
    }
    *seconds = now(blas->threads) - start;
    return ok;
}

/* In rounds: OpenBLAS once, ours once. */
static bool measure(Runtime *rt, void *user, Err *err)
{
    Run *run = user;
    const Blas *blas = run->blas;
    const Shape *s = &run->shape;
    Times *t = &run->times;
    float *data[3];
    size_t count[] = {(size_t)s->m * s->k, (size_t)s->k * s->n, (size_t)s->m * s->n};
    for (int i = 0; i < 3; i++) {
        data[i] = aligned_alloc(64, (count[i] * sizeof(float) + 63) / 64 * 64);
        for (size_t k = 0; k < count[i]; k++)
            data[i][k] = (float)(k % 13) * 0.1f - 0.6f;
    }
    bool ok = true;
    for (int r = 0; ok && r < ROUNDS; r++)
        ok = turn(NULL, run, data, &t->blas[r], err) && turn(rt, run, data, &t->own[r], err);
    RtLoan result = {0};
    ok = ok && rt_lend_result(rt, 0, 0, &result, err);
    const float *own = ok ? result.data : NULL;
    for (size_t k = 0; own && blas->sgemm && k < count[2]; k++) {
        double d = (double)own[k] - (double)data[2][k];
        t->difference = d > t->difference ? d : -d > t->difference ? -d : t->difference;
    }
    ok = ok && rt_return(rt, &result, err);
    for (int i = 0; i < 3; i++)
        free(data[i]);
    return ok;
}

/* ---- command line ---- */

static void print(const Blas *blas, const Shape *s, Times *t)
{
    bench_sort(t->own, ROUNDS);
    bench_sort(t->blas, ROUNDS);
    double gflop = 2e-9 * s->m * s->n * s->k;
    printf("{\"schema\":\"mdl.gemm.1\",\"m\":%d,\"n\":%d,\"k\":%d,\"layout\":\"%s\",\"threads\":%d,"
           "\"rounds\":%d,\"least\":%.6g,\"median\":%.6g,\"gflops\":%.5g",
           s->m, s->n, s->k,
           s->ta   ? "tn"
           : s->tb ? "nt"
                   : "nn",
           blas->threads, (int)ROUNDS, t->own[0], t->own[ROUNDS / 2], gflop / t->own[0]);
    if (blas->sgemm)
        printf(",\"blas\":\"%s\",\"blas_least\":%.6g,\"blas_median\":%.6g,\"difference\":%.2g",
               blas->version, t->blas[0], t->blas[ROUNDS / 2], t->difference);
    printf("}\n");
}

static bool read_shape(const char *text, Shape *s)
{
    int size[3] = {0}, n = 0;
    for (const char *at = text; n < 3; at++) {
        char *end;
        long v = strtol(at, &end, 10);
        if (v < 1 || v > MAX_SIZE || (*end && *end != ':' && (*end != 'x' || n == 2)))
            return false;
        size[n++] = (int)v;
        at = end;
        if (*end != 'x')
            break;
    }
    if (n == 1)
        size[1] = size[2] = size[0];
    const char *layout = strchr(text, ':');
    *s = (Shape){.m = size[0], .n = size[1], .k = size[2]};
    s->ta = layout && strcmp(layout, ":tn") == 0;
    s->tb = layout && strcmp(layout, ":nt") == 0;
    return n != 2 && (!layout || s->ta || s->tb || strcmp(layout, ":nn") == 0);
}

static bool write_program(char *path)
{
    static const char text[] = "fn nn(a: [M, K], b: [K, N]) -> [M, N] = a @ b\n"
                               "fn nt(a: [M, K], b: [N, K]) -> [M, N] {\n"
                               "  c[m, n] += a[m, k] * b[n, k]\n  c\n}\n"
                               "fn tn(a: [K, M], b: [K, N]) -> [M, N] {\n"
                               "  c[m, n] += a[k, m] * b[k, n]\n  c\n}\n";
    int fd = mkstemps(path, 4);
    if (fd < 0)
        return false;
    bool ok = write(fd, text, sizeof(text) - 1) == (ssize_t)sizeof(text) - 1;
    return close(fd) == 0 && ok;
}

int main(int argc, char **argv)
{
    int threads = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 0;
    char path[] = "/tmp/gemm-XXXXXX.mdl";
    if (threads < 1 || !write_program(path)) {
        fprintf(stderr, "usage: gemm_bench THREADS [SIZE | MxNxK][:nn | :nt | :tn]..\n");
        return 2;
    }
    Blas blas = open_blas(threads);
    Err err = {0};
    bool ok = true;
    for (int i = 2; ok && i < argc; i++) {
        Run run = {.blas = &blas};
        BenchProgram b = {
            .path = path, .threads = threads, .choose = choose, .measure = measure, .user = &run};
        ok = read_shape(argv[i], &run.shape) ? bench_program(&b, &err)
                                             : err_set(&err, ERR_USAGE, "no size: %s", argv[i]);
        if (ok)
            print(&blas, &run.shape, &run.times);
    }
    unlink(path);
    if (!ok)
        fprintf(stderr, "gemm_bench: %s\n", err.text);
    return ok ? 0 : (int)err.kind;
}
