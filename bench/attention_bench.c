/* attention_bench.c: attention through compiler and runtime, against the multiply-adds that one thread
 * of this machine can do.
 *
 *     attention_bench [LENGTHxWIDTH:full|causal[:HEADS[:bwd]]]..
 *
 * The loop of multiply-adds and the attention run in turns, several times, on one thread; both are timed
 * by the CPU time of the process. One line of JSON per shape: seconds, least and median, and what share
 * of the least time of the loop that is. Work counts 4 T T d per head, 10 T T d for the
 * gradients, and half of it where it is causal. */
#include "compile.h"
#include "runtime.h"

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 15, PEAK_STEPS = 2000000, MAX_LENGTH = 1 << 15, INPUTS = 7 };

typedef double (*PeakFn)(long steps);

typedef struct Shape {
    int length, width, heads;
    bool causal, bwd;
} Shape;

typedef struct Times {
    double own[ROUNDS],
        peak[ROUNDS]; /* seconds of the attention; seconds per operation of the loop */
} Times;

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- the peak: independent multiply-adds in registers, compiled for this machine ---- */

static const char peak_text[] =
    "#if defined(__AVX512F__)\n"
    "#define W 16\n"
    "#define FMA(a, b, c) __builtin_ia32_vfmaddps512_mask(a, b, c, (unsigned short)-1, 4)\n"
    "#elif defined(__FMA__)\n"
    "#define W 8\n"
    "#define FMA(a, b, c) __builtin_ia32_vfmaddps256(a, b, c)\n"
    "#else\n"
    "#define W 4\n"
    "#define FMA(a, b, c) ((a) * (b) + (c))\n"
    "#endif\n"
    "#define N 12\n"
    "typedef float V __attribute__((vector_size(4 * W)));\n"
    "double peak(long steps) {\n"
    "    V c[N], a = (V){0} + 0.999f, b = (V){0} + 0.001f;\n"
    "    for (int i = 0; i < N; i++) c[i] = (V){0} + (float)i;\n"
    "    for (long s = 0; s < steps; s++) {\n"
    "        _Pragma(\"GCC unroll 12\") for (int i = 0; i < N; i++) c[i] = FMA(c[i], a, b);\n"
    "    }\n"
    "    float sum = 0;\n"
    "    for (int i = 0; i < N; i++) sum += c[i][0];\n"
    "    return sum == 0.5f ? 0 : 2.0 * W * N;\n"
    "}\n";

static bool write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    bool ok = f && fputs(text, f) >= 0;
    return f && fclose(f) == 0 && ok;
}

/* NULL after a message. */
static PeakFn open_peak(const char *folder)
{
    char source[128], library[128], command[512];
    const char *cc = getenv("MDL_CC");
    snprintf(source, sizeof source, "%s/peak.c", folder);
    snprintf(library, sizeof library, "%s/peak.so", folder);
    snprintf(command, sizeof command, "%s -O2 -march=native -shared -fPIC %s -o %s", cc ? cc : "cc",
             source, library);
    PeakFn fn = NULL;
    if (write_file(source, peak_text) && system(command) == 0) {
        void *handle = dlopen(library, RTLD_NOW);
        void *symbol = handle ? dlsym(handle, "peak") : NULL;
        memcpy(&fn, &symbol, sizeof fn);
    }
    unlink(source);
    unlink(library);
    if (!fn)
        fprintf(stderr, "attention_bench: the loop of multiply-adds does not compile\n");
    return fn;
}

/* ---- our own ---- */

static bool compile_attention(Compile *c, const Shape *s, Bytes *plan, Err *err)
{
    static const char *const names[] = {"q", "k", "v", "dy", "lse", "share", "pos"};
    const int64_t dim[][4] = {
        {1, s->length, s->heads, s->width}, {1, s->heads, s->length}, {1, s->length}};
    CompileInput in[INPUTS];
    uint32_t n = 0;
    for (int i = 0; i < INPUTS; i++) {
        int kind = i == 6 ? 2 : i > 3;
        if ((i > 2 && i < 6 && !s->bwd) || (i == 6 && !s->causal))
            continue;
        in[n] = (CompileInput){.name = names[i], .dtype = kind == 2 ? DT_I32 : DT_F32};
        in[n].rank = (uint32_t)(4 - kind);
        memcpy(in[n++].dim, dim[kind], sizeof dim[kind]);
    }
    static const char *const functions[][2] = {{"forward", "backward"},
                                               {"forward_causal", "backward_causal"}};
    CompileCall call = {.function = functions[s->causal][s->bwd], .inputs = in, .ninput = n};
    return compile_load(c, err) && compile_call(c, &call, err) && compile_plan(c, plan, err);
}

static bool measure(Runtime *rt, PeakFn peak, const Shape *s, Times *t, Err *err)
{
    void *data[INPUTS];
    size_t n = (size_t)s->length * s->width * s->heads;
    for (int i = 0; i < INPUTS; i++)
        data[i] = aligned_alloc(64, (n * sizeof(float) + 63) / 64 * 64);
    for (int i = 0; i < INPUTS - 1; i++)
        for (size_t k = 0; k < n; k++)
            ((float *)data[i])[k] = (float)((k + i) * 7919 % 1013) / 500 - 1 + (i == 4 ? 8 : 0);
    for (int k = 0; k < s->length; k++)
        ((int32_t *)data[INPUTS - 1])[k] = k;
    const void *used[INPUTS];
    uint32_t given = 0;
    for (int i = 0; i < INPUTS; i++)
        if (i < 3 || (i < 6 ? s->bwd : s->causal))
            used[given++] = data[i];
    RtCall call = {.inputs = used, .first = true};
    bool ok = rt_run(rt, 0, &call, err); /* warm */
    for (int r = 0; ok && r < ROUNDS; r++) {
        double start = cpu_seconds(), flops = peak(PEAK_STEPS) * PEAK_STEPS;
        double middle = cpu_seconds();
        ok = rt_run(rt, 0, &call, err);
        t->peak[r] = (middle - start) / flops;
        t->own[r] = cpu_seconds() - middle;
    }
    for (int i = 0; i < INPUTS; i++)
        free(data[i]);
    return ok;
}

static bool bench(const char *path, PeakFn peak, const Shape *s, Times *t, Err *err)
{
    CompileOptions options = {.path = path};
    Compile *c = compile_new(&options);
    Bytes bytes;
    bool ok = compile_attention(c, s, &bytes, err);
    Plan *plan = ok ? plan_from_bytes(bytes.data, bytes.n, err) : NULL;
    RtOptions device = {.threads = 1, .quiet = true};
    Runtime *rt = plan ? rt_open(plan, &device, err) : NULL;
    ok = rt && measure(rt, peak, s, t, err);
    rt_close(rt);
    plan_free(plan);
    compile_free(c);
    return ok;
}

/* ---- command line ---- */

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print(const Shape *s, Times *t)
{
    qsort(t->own, ROUNDS, sizeof(double), compare);
    qsort(t->peak, ROUNDS, sizeof(double), compare);
    double work = (s->bwd ? 10.0 : 4.0) * s->length * s->length * s->width * s->heads;
    work *= s->causal ? 0.5 : 1;
    printf(
        "{\"schema\":\"mdl.attention.1\",\"length\":%d,\"width\":%d,\"heads\":%d,\"mask\":\"%s\","
        "\"backward\":%s,\"threads\":1,\"rounds\":%d,\"least\":%.6g,\"median\":%.6g,\"flops\":%.4g,"
        "\"peak_flops\":%.4g,\"share\":%.3f}\n",
        s->length, s->width, s->heads, s->causal ? "causal" : "full", s->bwd ? "true" : "false",
        (int)ROUNDS, t->own[0], t->own[ROUNDS / 2], work / t->own[0], 1 / t->peak[0],
        work * t->peak[0] / t->own[0]);
}

static bool read_shape(const char *text, Shape *s)
{
    char mask[8] = "", rest[8] = "";
    *s = (Shape){.heads = 1};
    int n =
        sscanf(text, "%5dx%4d:%7[a-z]:%3d:%7[a-z]", &s->length, &s->width, mask, &s->heads, rest);
    s->bwd = strcmp(rest, "bwd") == 0;
    s->causal = strcmp(mask, "causal") == 0;
    return n >= 3 && s->length > 0 && s->length <= MAX_LENGTH && s->width > 0 && s->heads > 0 &&
           (s->bwd || n < 5) && (s->causal || strcmp(mask, "full") == 0);
}

#define QKV "q: [B, T, H, d], k: [B, T, H, d], v: [B, T, H, d]"
#define BWD QKV ", dy: [B, T, H, d], lse: [B, H, T], share: [B, H, T]"
static const char program[] =
    "fn forward(" QKV ") = attention(q, k, v)\n"
    "fn forward_causal(" QKV ", pos: i32[B, T]) = attention(q, k, v, mask: causal(pos))\n"
    "fn backward(" BWD ") = attention_bwd(q, k, v, lse, share, dy)\n"
    "fn backward_causal(" BWD ", pos: i32[B, T]) =\n"
    "  attention_bwd(q, k, v, lse, share, dy, mask: causal(pos))\n";

int main(int argc, char **argv)
{
    char folder[] = "/tmp/attention-XXXXXX", path[64];
    if (argc < 2 || !mkdtemp(folder)) {
        fprintf(stderr, "usage: attention_bench [LENGTHxWIDTH:full|causal[:HEADS[:bwd]]]..\n");
        return 2;
    }
    snprintf(path, sizeof path, "%s/attention.mdl", folder);
    PeakFn peak = open_peak(folder);
    Err err = {0};
    bool ok = peak && write_file(path, program);
    for (int i = 1; ok && i < argc; i++) {
        Shape s;
        Times t = {0};
        ok = read_shape(argv[i], &s) ? bench(path, peak, &s, &t, &err)
                                     : err_set(&err, ERR_USAGE, "no shape: %s", argv[i]);
        if (ok)
            print(&s, &t);
    }
    unlink(path);
    rmdir(folder);
    if (!ok)
        fprintf(stderr, "attention_bench: %s\n", err.text);
    return ok ? 0 : (int)err.kind;
}
