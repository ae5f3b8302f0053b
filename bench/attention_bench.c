/* attention_bench.c: attention through compiler and runtime, against the multiply-adds that one thread
 * of this machine can do.
 *
 *     attention_bench [LENGTHxWIDTH:full|causal[:HEADS[:bwd]]]..
 *
 * The loop of multiply-adds and the attention run in turns, several times, on one thread; both are timed
 * by the CPU time of the process. One line of JSON per shape: seconds, least and median, and what share
 * of the least time of the loop that is. Work counts 4 T T d per head, 10 T T d for the
 * gradients, and half of it where it is causal. */
#include "peak.h"
#include "program.h"

#include <math.h>

enum { ROUNDS = 15, PEAK_STEPS = 2000000, MAX_LENGTH = 1 << 15, INPUTS = 7 };

typedef struct Shape {
    int length, width, heads;
    bool causal, bwd;
} Shape;

typedef struct Times {
    double own[ROUNDS],
        peak[ROUNDS]; /* seconds of the attention; seconds per operation of the loop */
} Times;

/* ---- our own ---- */

/* One shape and what was measured of it. */
typedef struct Run {
    Shape shape;
    Times times;
    PeakFn peak;
} Run;

static bool choose(Compile *c, void *user, Err *err)
{
    const Shape *s = &((const Run *)user)->shape;
    static const char *const names[] = {"q", "k", "v", "dy", "lse", "y", "pos"};
    const int64_t dim[][4] = {
        {1, s->length, s->heads, s->width}, {1, s->heads, s->length}, {1, s->length}};
    CompileInput in[INPUTS];
    uint32_t n = 0;
    for (int i = 0; i < INPUTS; i++) {
        int kind = i == 6 ? 2 : i == 4;
        if ((i > 2 && i < 6 && !s->bwd) || (i == 6 && !s->causal))
            continue;
        in[n] = (CompileInput){.name = names[i], .dtype = kind == 2 ? DT_I32 : DT_F32};
        in[n].rank = (uint32_t)(4 - kind);
        memcpy(in[n++].dim, dim[kind], sizeof dim[kind]);
    }
    static const char *const functions[][2] = {{"forward", "backward"},
                                               {"forward_causal", "backward_causal"}};
    CompileCall call = {.function = functions[s->causal][s->bwd], .inputs = in, .ninput = n};
    return compile_call(c, &call, err);
}

static bool measure(Runtime *rt, void *user, Err *err)
{
    Run *run = user;
    const Shape *s = &run->shape;
    Times *t = &run->times;
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
        double start = cpu_seconds(), flops = run->peak(PEAK_STEPS) * PEAK_STEPS;
        double middle = cpu_seconds();
        ok = rt_run(rt, 0, &call, err);
        t->peak[r] = (middle - start) / flops;
        t->own[r] = cpu_seconds() - middle;
    }
    for (int i = 0; i < INPUTS; i++)
        free(data[i]);
    return ok;
}

/* ---- command line ---- */

static void print(const Shape *s, Times *t)
{
    bench_sort(t->own, ROUNDS);
    bench_sort(t->peak, ROUNDS);
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
    int n = /* NOLINTNEXTLINE(cert-err34-c): widths keep the numbers in range */
        sscanf(text, "%5dx%4d:%7[a-z]:%3d:%7[a-z]", &s->length, &s->width, mask, &s->heads, rest);
    s->bwd = strcmp(rest, "bwd") == 0;
    s->causal = strcmp(mask, "causal") == 0;
    return n >= 3 && s->length > 0 && s->length <= MAX_LENGTH && s->width > 0 && s->heads > 0 &&
           (s->bwd || n < 5) && (s->causal || strcmp(mask, "full") == 0);
}

#define QKV "q: [B, T, H, d], k: [B, T, H, d], v: [B, T, H, d]"
#define BWD QKV ", dy: [B, T, H, d], lse: [B, H, T], y: [B, T, H, d]"
static const char program[] =
    "fn forward(" QKV ") = attention(q, k, v)\n"
    "fn forward_causal(" QKV ", pos: i32[B, T]) = attention(q, k, v, mask: causal(pos))\n"
    "fn backward(" BWD ") = attention_bwd(q, k, v, lse, y, dy)\n"
    "fn backward_causal(" BWD ", pos: i32[B, T]) =\n"
    "  attention_bwd(q, k, v, lse, y, dy, mask: causal(pos))\n";

int main(int argc, char **argv)
{
    char folder[] = "/tmp/attention-XXXXXX", path[64];
    if (argc < 2 || !mkdtemp(folder)) {
        fprintf(stderr, "usage: attention_bench [LENGTHxWIDTH:full|causal[:HEADS[:bwd]]]..\n");
        return 2;
    }
    snprintf(path, sizeof path, "%s/attention.mdl", folder);
    Run run = {.peak = open_peak(folder)};
    BenchProgram b = {
        .path = path, .threads = 1, .choose = choose, .measure = measure, .user = &run};
    Err err = {0};
    bool ok = run.peak && write_file(path, program);
    for (int i = 1; ok && i < argc; i++) {
        ok = read_shape(argv[i], &run.shape) ? bench_program(&b, &err)
                                             : err_set(&err, ERR_USAGE, "no shape: %s", argv[i]);
        if (ok)
            print(&run.shape, &run.times);
    }
    unlink(path);
    rmdir(folder);
    if (!ok)
        fprintf(stderr, "attention_bench: %s\n", err.text);
    return ok ? 0 : (int)err.kind;
}
