/* xent_bench.c: the loss of a language model and its gradients, from rows to scores and back, against the
 * multiply-adds that one thread of this machine can do.
 *
 *     xent_bench [ROWSxDEPTHxCLASSES]..
 *
 * The loop of multiply-adds and the entry `micro` of a model that is one matrix, and a scale before it, run in turns, several
 * times, on one thread; both are timed by the CPU time of the process. One line of JSON per shape:
 * seconds, least and median, and what share of the least time of the loop that is. Work counts three
 * products, 6 ROWS DEPTH CLASSES; what else the entry does is in the time, not in the work. */
#include "peak.h"
#include "program.h"

enum { ROUNDS = 3, PEAK_STEPS = 2000000 };

typedef struct Shape {
    int rows, depth, classes;
} Shape;

typedef struct Times {
    double own[ROUNDS], peak[ROUNDS]; /* seconds of the entry; seconds per operation of the loop */
    uint64_t memory;                  /* bytes of temporaries and workspace */
} Times;

static bool write_program(const char *path, const Shape *s)
{
    char text[1024];
    snprintf(text, sizeof text,
             "module Net() {\n"
             "  head: Linear(%d, %d, bias: none)\n"
             "  param scale: [%d] ~ ones\n"
             "  fn forward(x: [B, %d]) -> [B, %d] = head(x * scale)\n"
             "}\n"
             "model net = Net()\n"
             "data points {\n"
             "  source = npz(\"none.npz\", x: \"x\", y: \"y\")\n"
             "  x: f32[%d] = row => row.x\n"
             "  y: i32 = row => row.y\n"
             "}\n"
             "train net {\n"
             "  data = points\n"
             "  loss = b => cross_entropy(net(b.x), b.y)\n"
             "  lr = 1e-3\n  batch = %d\n  steps = 1\n"
             "}\n",
             s->depth, s->classes, s->depth, s->depth, s->classes, s->depth, s->rows);
    return write_file(path, text);
}

static uint32_t entry_named(const Plan *p, const char *name)
{
    for (uint32_t i = 0; i < p->nentries; i++)
        if (strcmp(plan_text(p, p->entries[i].name), name) == 0)
            return i;
    abort();
}

/* One shape and what was measured of it. */
typedef struct Run {
    Shape shape;
    Times times;
    PeakFn peak;
} Run;

static bool choose(Compile *c, void *user, Err *err)
{
    UNUSED(user);
    return compile_stage(c, NULL, err);
}

static bool measure(Runtime *rt, void *user, Err *err)
{
    Run *run = user;
    const Shape *s = &run->shape;
    Times *t = &run->times;
    size_t n = (size_t)s->rows * (size_t)s->depth;
    float *x = aligned_alloc(64, (n * sizeof *x + 63) / 64 * 64);
    int32_t *y = aligned_alloc(64, ((size_t)s->rows * sizeof *y + 63) / 64 * 64);
    for (size_t k = 0; k < n; k++)
        x[k] = (float)(k * 7919 % 1013) / 500 - 1;
    for (int k = 0; k < s->rows; k++)
        y[k] = k * 131 % s->classes;
    const Plan *p = rt_plan(rt);
    uint32_t entry = entry_named(p, "micro");
    const void *data[] = {x, y};
    RtCall call = {.inputs = data, .first = true};
    t->memory = p->meta->temp_bytes + p->targets[0].workspace_bytes;
    bool ok = rt_run(rt, entry, &call, err); /* warm */
    for (int r = 0; ok && r < ROUNDS; r++) {
        double start = cpu_seconds(), flops = run->peak(PEAK_STEPS) * PEAK_STEPS;
        double middle = cpu_seconds();
        ok = rt_run(rt, entry, &call, err);
        t->peak[r] = (middle - start) / flops;
        t->own[r] = cpu_seconds() - middle;
    }
    free(x);
    free(y);
    return ok;
}

static void print(const Shape *s, Times *t)
{
    bench_sort(t->own, ROUNDS);
    bench_sort(t->peak, ROUNDS);
    double work = 6.0 * s->rows * s->depth * s->classes;
    printf("{\"schema\":\"mdl.xent.1\",\"rows\":%d,\"depth\":%d,\"classes\":%d,\"threads\":1,"
           "\"rounds\":%d,\"least\":%.6g,\"median\":%.6g,\"flops\":%.4g,\"peak_flops\":%.4g,"
           "\"share\":%.3f,\"memory\":%llu}\n",
           s->rows, s->depth, s->classes, (int)ROUNDS, t->own[0], t->own[ROUNDS / 2],
           work / t->own[0], 1 / t->peak[0], work * t->peak[0] / t->own[0],
           (unsigned long long)t->memory);
}

int main(int argc, char **argv)
{
    char folder[] = "/tmp/xent-XXXXXX", path[64];
    if (argc < 2 || !mkdtemp(folder)) {
        fprintf(stderr, "usage: xent_bench [ROWSxDEPTHxCLASSES]..\n");
        return 2;
    }
    snprintf(path, sizeof path, "%s/xent.mdl", folder);
    Run run = {.peak = open_peak(folder)};
    BenchProgram b = {
        .path = path, .threads = 1, .choose = choose, .measure = measure, .user = &run};
    Err err = {0};
    bool ok = run.peak != NULL;
    for (int i = 1; ok && i < argc; i++) {
        Shape *s = &run.shape;
        /* NOLINTNEXTLINE(cert-err34-c): widths keep the numbers in range */
        ok = sscanf(argv[i], "%6dx%5dx%6d", &s->rows, &s->depth, &s->classes) == 3 && s->rows > 0 &&
             s->depth > 0 && s->classes > 0 && write_program(path, s);
        ok = ok ? bench_program(&b, &err) : err_set(&err, ERR_USAGE, "no shape: %s", argv[i]);
        if (ok)
            print(s, &run.times);
    }
    unlink(path);
    rmdir(folder);
    if (!ok)
        fprintf(stderr, "xent_bench: %s\n", err.text);
    return ok ? 0 : (int)err.kind;
}
