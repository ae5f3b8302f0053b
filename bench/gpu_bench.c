/* gpu_bench.c: kernels that the compiler makes, measured one by one through compiler and runtime on a GPU.
 *
 *     gpu_bench DEVICE [--arch ARCH] [--seconds S] [--warm ARCH] CASE..
 *
 * DEVICE is cuda, or simt to try the program. Cases: gpu_cases.h; `copy:BYTES` copies memory of the device.
 * Inputs are random numbers, and lie on the device before anything is measured; what a call has computed is
 * NaN before and looked at once. Then calls run behind one another, as one recording, some 30 ms long, and
 * several of these are timed by the device's clock: one line of JSON for each case, seconds of one call, least and median.
 * A case that fails, hangs or dies is a line with its error. After S seconds no case is begun.
 * --warm: kernels are compiled for ARCH and kept in the cache, and nothing is run; also those of `plan:FILE`.
 * --predict h100: a line with the seconds that the cost model says, and nothing is run. */
#include "cuda_api.h"
#include "devices.h"
#include "gpu_cases.h"
#include "gpu_child.h"
#include "gpubuild.h"
#include "predict.h"
#include "program.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 9, MOST_CALLS = 200, RANDOM = 1000003 };

static const double round_seconds = 0.03, most_seconds = 2, most_for_case = 45;

typedef struct Bench {
    RtHere here;
    const char *arch;    /* that kernels are made for; NULL: as the GPU is */
    const char *warm;    /* or NULL */
    const char *predict; /* or NULL: of which GPU */
    double until;        /* of now() */
    char **names;        /* of all cases */
    char *path;          /* of the text of a case */
    Arena *arena;        /* of a case */
    GpuCase c;
    double seconds[ROUNDS];
    size_t rounds;
    uint32_t calls; /* of a round */
    double began;
    double build; /* seconds from text to a runtime */
} Bench;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- numbers ---- */

/* What random numbers look like. */
typedef struct Draw {
    double around, scale;
    bool positive;
    uint64_t seed; /* others give other numbers */
} Draw;

/* The sum of four uniform ones, of deviation 1. */
static double draw_normal(uint64_t *state)
{
    double sum = 0;
    for (int i = 0; i < 4; i++) {
        *state = *state * 6364136223846793005U + 1442695040888963407U;
        sum += (double)(*state >> 40) * 0x1p-24 - 0.5;
    }
    return sum * 1.7320508;
}

/* So many random elements, again and again: their number is a prime, so rows differ. */
static void fill_random(char *to, size_t n, DType dtype, Draw draw)
{
    const size_t each = dtype_info(dtype)->bytes, drawn = n < RANDOM ? n : RANDOM;
    uint64_t state = (draw.seed + 1) * 0x9e3779b97f4a7c15U;
    for (size_t i = 0; i < drawn; i++) {
        double x = draw.around + draw.scale * draw_normal(&state);
        dtype_store(dtype, to, i, draw.positive ? fabs(x) : x);
    }
    for (size_t have = drawn; have < n; have *= 2)
        memcpy(to + have * each, to, (have < n - have ? have : n - have) * each);
}

static void fill_bits(unsigned char *to, size_t bytes)
{
    uint64_t state = 1;
    for (size_t i = 0; i < bytes; i++) {
        state = state * 6364136223846793005U + 1442695040888963407U;
        to[i] = (unsigned char)(state >> 56);
    }
}

/* NULL: no memory. */
static void *make_input(const GpuCase *c, uint32_t i)
{
    const CompileInput *in = &c->inputs[i];
    size_t n = 1, last = (size_t)in->dim[in->rank - 1];
    for (uint32_t k = 0; k < in->rank; k++)
        n *= (size_t)in->dim[k];
    int32_t *data = aligned_alloc(64, (n * dtype_info(in->dtype)->bytes + 63) / 64 * 64);
    if (!data)
        return NULL;
    switch (c->fill[i]) {
    case FILL_NORMAL:
        fill_random((char *)data, n, in->dtype, (Draw){.scale = 1, .seed = i});
        break;
    case FILL_EIGHT:
        fill_random((char *)data, n, in->dtype, (Draw){.around = 8, .scale = 1, .seed = i});
        break;
    case FILL_BITS:
        fill_bits((unsigned char *)data, n * dtype_info(in->dtype)->bytes);
        break;
    case FILL_CLASSES:
        for (size_t k = 0; k < n; k++)
            data[k] = (int32_t)(k * 48271 % 2147483647 % (size_t)c->limit);
        break;
    case FILL_POSITIONS:
        for (size_t k = 0; k < n; k++)
            data[k] = (int32_t)(k % last);
        break;
    }
    return data;
}

/* Parameters, gradients, and what an optimizer keeps, which may be a mean of squares. */
static bool fill_states(Runtime *rt, Err *err)
{
    const Plan *p = rt_plan(rt);
    bool ok = true;
    for (uint32_t i = 0; ok && i < p->nstates; i++) {
        DType dtype = (DType)p->tensors[p->states[i].tensor].dtype;
        const bool codes = p->states[i].kind == PS_CODES;
        if (dtype_info(dtype)->kind != DK_FLOAT && !codes)
            continue;
        RtLoan loan;
        Draw draw = {.scale = 0.02, .positive = p->states[i].kind == PS_OPT, .seed = i};
        ok = rt_lend_state(rt, i, RT_WRITE, &loan, err);
        if (ok && codes)
            fill_bits(loan.data, loan.bytes);
        else if (ok)
            fill_random(loan.data, loan.bytes / dtype_info(dtype)->bytes, dtype, draw);
        ok = ok && rt_return(rt, &loan, err);
    }
    return ok;
}

/* ---- what a call has computed ---- */

static bool poison(Runtime *rt, Err *err)
{
    RtLoan loan;
    if (!rt_lend_arena(rt, PA_TEMP, RT_WRITE, &loan, err))
        return false;
    memset(loan.data, 0xff, loan.bytes); /* NaN of any type */
    return rt_return(rt, &loan, err);
}

static bool is_finite(DType dtype, const void *data, size_t i)
{
    const uint16_t *half = data;
    const uint32_t *word = data;
    if (dtype == DT_BF16)
        return (half[i] & 0x7f80) != 0x7f80;
    if (dtype == DT_F16)
        return (half[i] & 0x7c00) != 0x7c00;
    return dtype != DT_F32 || (word[i] & 0x7f800000) != 0x7f800000;
}

/* Numbers, and not only zeros. */
static bool check_numbers(const Plan *p, uint32_t tensor, const RtLoan *loan, Err *err)
{
    DType dtype = (DType)p->tensors[tensor].dtype;
    const char *name = plan_text(p, p->tensors[tensor].name);
    const size_t each = dtype_info(dtype)->bytes;
    size_t some = 0, bad = 0, n = loan->bytes / each;
    for (size_t i = 0; i < n; i++)
        bad += !is_finite(dtype, loan->data, i);
    for (size_t i = 0; i < loan->bytes; i++)
        some += ((const char *)loan->data)[i] != 0;
    if (bad)
        return err_set(err, ERR_DATA, "%s: %zu of %zu elements are no numbers", name, bad, n);
    return some > 0 || err_set(err, ERR_DATA, "%s: %zu elements are all 0", name, n);
}

/* Of a case on these inputs. */
typedef struct Given {
    const GpuCase *c;
    const void *const *inputs;
} Given;

static bool check_results(Runtime *rt, uint32_t entry, Given given, Err *err)
{
    const Plan *p = rt_plan(rt);
    const PlanEntry *e = &p->entries[entry];
    bool ok = true;
    for (uint32_t i = 0; ok && i < e->nresult; i++) {
        RtLoan loan;
        ok = rt_lend_result(rt, entry, i, &loan, err);
        if (!ok)
            break;
        ok = check_numbers(p, p->bindings[e->result0 + i].tensor, &loan, err) &&
             (!given.c->check ||
              given.c->check(given.c, given.inputs, (CaseResult){loan.data, i}, err));
        ok = rt_return(rt, &loan, err) && ok;
    }
    return ok;
}

/* Gradients and parameters. */
static bool check_states(Runtime *rt, Err *err)
{
    const Plan *p = rt_plan(rt);
    bool ok = true;
    for (uint32_t i = 0; ok && i < p->nstates; i++) {
        RtLoan loan;
        if (p->states[i].kind != PS_GRAD && p->states[i].kind != PS_PARAM)
            continue;
        ok = rt_lend_state(rt, i, RT_READ, &loan, err);
        if (!ok)
            break;
        ok = check_numbers(p, p->states[i].tensor, &loan, err);
        ok = rt_return(rt, &loan, err) && ok;
    }
    return ok;
}

/* ---- measuring ---- */

static uint32_t calls_for(double seconds, double each)
{
    double n = each > 0 ? seconds / each : MOST_CALLS;
    return n < 1 ? 1 : n > MOST_CALLS ? MOST_CALLS : (uint32_t)n;
}

static bool measure_entry(Bench *b, Runtime *rt, uint32_t entry, Err *err)
{
    double each, from = now();
    if (!rt_repeat(rt, entry, 1, &each, err))
        return false;
    b->calls = calls_for(round_seconds, each);
    b->rounds = 0;
    while (b->rounds < ROUNDS && (!b->rounds || now() - from < most_seconds)) {
        double *seconds = &b->seconds[b->rounds++];
        if (!rt_repeat(rt, entry, b->calls, seconds, err))
            return false;
        *seconds /= b->calls;
    }
    return true;
}

static uint32_t entry_of(const Plan *p, const GpuCase *c)
{
    for (uint32_t i = 0; c->entry && i < p->nentries; i++)
        if (strcmp(plan_text(p, p->entries[i].name), c->entry) == 0)
            return i;
    return 0; /* of a function: the only one */
}

/* One token, behind those that are kept. */
static int64_t *extents_of(const Bench *b, const Plan *p)
{
    int64_t *at = NEW_ARRAY(b->arena, int64_t, p->nsyms + (size_t)1);
    for (uint32_t i = 0; i < p->nsyms; i++) {
        const char *name = plan_text(p, p->syms[i].name);
        at[i] = strcmp(name, "S") == 0 ? b->c.past + 1 : strcmp(name, "T") == 0 ? 1 : p->syms[i].hi;
    }
    return at;
}

static bool run_case(Bench *b, Runtime *rt, const void *const *inputs, Err *err)
{
    const GpuCase *c = &b->c;
    const uint32_t entry = entry_of(rt_plan(rt), c);
    const bool trains = !c->function && strcmp(c->entry, "decode") != 0;
    RtCall call = {.inputs = inputs,
                   .syms = extents_of(b, rt_plan(rt)),
                   .first = true,
                   .step = 1,
                   .lr = 1e-4,
                   .past = c->past};
    bool ok = (c->function || fill_states(rt, err)) && poison(rt, err);
    return ok && rt_run(rt, entry, &call, err) &&
           check_results(rt, entry, (Given){c, inputs}, err) &&
           (!trains || check_states(rt, err)) && measure_entry(b, rt, entry, err);
}

static bool measure(Runtime *rt, void *user, Err *err)
{
    Bench *b = user;
    void *inputs[CASE_INPUTS] = {0};
    bool ok = true;
    b->build = now() - b->began;
    for (uint32_t i = 0; i < b->c.ninput; i++) {
        inputs[i] = make_input(&b->c, i);
        ok = ok && inputs[i];
    }
    ok = ok ? run_case(b, rt, (const void *const *)inputs, err)
            : err_set(err, ERR_DEVICE, "no memory for the inputs of %s", b->c.name);
    for (size_t i = 0; i < COUNT(inputs); i++)
        free(inputs[i]);
    return ok;
}

static bool choose(Compile *compile, void *user, Err *err)
{
    const GpuCase *c = &((const Bench *)user)->c;
    CompileCall call = {.function = c->function, .inputs = c->inputs, .ninput = c->ninput};
    if (c->function)
        return compile_call(compile, &call, err);
    return strcmp(c->entry, "decode") == 0 ? compile_generate(compile, 0, err)
                                           : compile_stage(compile, NULL, err);
}

/* ---- kernels for the cache ---- */

static bool build(const Plan *p, void *user, Err *err)
{
    const Bench *b = user;
    GpuText *texts = NEW_ARRAY(b->arena, GpuText, p->nkernels + (size_t)1);
    for (uint32_t k = 0; k < p->nkernels; k++)
        texts[k] = (GpuText){plan_text(p, p->kernels[k].name),
                             plan_text(p, plan_variant(p, k, 0)->source)};
    CudaApi api;
    Err ignored = {0};
    const bool driver = cuda_open(b->arena, &api, &ignored);
    GpuBuildOptions opt = {.arch = b->warm, .newest = driver ? api.version / 1000 : 0};
    GpuBuild out;
    return gpubuild_run(b->arena, (GpuTexts){texts, p->nkernels}, &opt, &out, err);
}

/* ---- predictions ---- */

static bool predict(const Plan *p, void *user, Err *err)
{
    const Bench *b = user;
    Target gpu;
    if (!target_machine(&gpu, b->predict, err))
        return false;
    const PredictEntry e = predict_entry(b->arena, p, entry_of(p, &b->c), &gpu);
    printf("{\"schema\":\"mdl.gpu.1\",\"who\":\"mdl predicts %s\",\"case\":\"%s\",\"isa\":\"%s\","
           "\"predicted\":%.6g}\n",
           b->predict, b->c.name, gpu.isa, e.seconds);
    return true;
}

/* ---- copies ---- */

static bool copy_times(Bench *b, const DeviceVtable *v, Device *d, char *at, Err *err)
{
    const size_t half = (size_t)b->c.bytes / 2;
    for (b->rounds = 0; b->rounds < ROUNDS; b->rounds++) {
        double *seconds = &b->seconds[b->rounds], from = now();
        if (!v->sync(d, err) || (v->clock_from && !v->clock_from(d, err)))
            return false;
        for (uint32_t i = 0; i < b->calls; i++)
            v->copy(d, at + half, at, half);
        if (!(v->clock_passed ? v->clock_passed(d, seconds, err) : v->sync(d, err)))
            return false;
        if (!v->clock_passed)
            *seconds = now() - from;
        *seconds /= b->calls;
    }
    return true;
}

/* What one copy reads and writes is one half of memory each. */
static bool measure_copy(Bench *b, Err *err)
{
    const DeviceVtable *v = b->here.device == RT_CUDA ? &device_cuda : &device_simt;
    const size_t bytes = (size_t)b->c.bytes;
    Device *d = v->open(&(DeviceOptions){.quiet = true}, err);
    char *at = d ? v->alloc(d, bytes, err) : NULL, *from = at ? malloc(bytes / 2) : NULL;
    b->calls = 10;
    if (from)
        fill_random(from, bytes / 8, DT_F32, (Draw){.scale = 1});
    bool ok = from && v->upload(d, at, from, bytes / 2, err) && copy_times(b, v, d, at, err);
    if (d)
        v->free(d, at, bytes);
    v->close(d);
    free(from);
    return ok;
}

/* ---- cases ---- */

static const char *isa_of(const Bench *b)
{
    return b->arch ? b->arch : b->here.isa;
}

static void print(const Bench *b)
{
    const GpuCase *c = &b->c;
    printf("{\"schema\":\"mdl.gpu.1\",\"who\":\"mdl\",\"case\":\"%s\",\"isa\":\"%s\","
           "\"least\":%.6g,\"median\":%.6g,\"flops\":%.6g,\"bytes\":%.6g,\"calls\":%u,"
           "\"rounds\":%zu,\"build\":%.2f}\n",
           c->name, isa_of(b), b->seconds[0], b->seconds[b->rounds / 2], c->flops, c->bytes,
           b->calls, b->rounds, b->build);
}

static void print_error(const char *name, const Err *err)
{
    printf("{\"schema\":\"mdl.gpu.1\",\"who\":\"mdl\",\"case\":\"%s\",\"error\":\"", name);
    for (const char *at = err->text; *at; at++)
        putchar(*at == '"' || *at == '\\' || (unsigned char)*at < ' ' ? '\'' : *at);
    printf("\"}\n");
}

static bool write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    bool ok = f && fputs(text, f) >= 0;
    return f && fclose(f) == 0 && ok;
}

static bool is_copy(const char *name, GpuCase *c)
{
    char *end;
    if (strncmp(name, "copy:", 5) != 0)
        return false;
    const long long half = strtoll(name + 5, &end, 10) & -64;
    *c = (GpuCase){.name = name, .bytes = 2 * (double)half};
    return *end == 0 && half > 0;
}

static bool build_plan(Bench *b, const char *path, Err *err)
{
    Plan *plan = plan_load(path, err);
    bool ok = plan && build(plan, b, err);
    plan_free(plan);
    return ok;
}

static bool time_case(Bench *b, const char *name, Err *err)
{
    Target gpu = {.isa = b->warm ? b->warm : isa_of(b)};
    if (b->predict && !target_machine(&gpu, b->predict, err))
        return false;
    const CompileTarget target = {PLAN_CUDA, gpu.isa};
    BenchProgram program = {
        .path = b->path, .choose = choose, .user = b, .target = &target, .device = b->here.device};
    b->began = now();
    b->build = 0;
    if (now() > b->until)
        return err_set(err, ERR_INTERRUPTED, "no time was left");
    if (b->warm && strncmp(name, "plan:", 5) == 0)
        return build_plan(b, name + 5, err);
    if (is_copy(name, &b->c))
        return b->warm || b->predict || measure_copy(b, err);
    if (!case_read(b->arena, name, &b->c, err))
        return false;
    if (!write_text(b->path, b->c.text))
        return err_set(err, ERR_FILE, "cannot write %s", b->path);
    if (b->warm)
        program.plan = build;
    else if (b->predict)
        program.plan = predict;
    else
        program.measure = measure;
    return bench_program(&program, err);
}

/* Of argv; the process of a case that a device fails is not used any more. */
static ChildResult do_case(void *user, int i)
{
    Bench *b = user;
    const char *name = b->names[i];
    Err err = {0};
    b->arena = arena_new();
    bool ok =
        (b->warm || b->predict || b->here.isa || rt_device_here(b->here.device, &b->here, &err)) &&
        time_case(b, name, &err);
    if (!ok)
        print_error(name, &err);
    else if (!b->warm && !b->predict) {
        bench_sort(b->seconds, b->rounds);
        print(b);
    }
    arena_free(b->arena);
    return ok ? CHILD_DONE : err.kind == ERR_DEVICE ? CHILD_SPOILT : CHILD_FAILED;
}

static void lose_case(void *user, int i, const char *why)
{
    Err err = {0};
    err_set(&err, ERR_DEVICE, "%s", why);
    print_error(((const Bench *)user)->names[i], &err);
}

/* ---- command line ---- */

/* Cases begin at the argument that it gives; 0: usage. */
static int read_options(int argc, char **argv, Bench *b)
{
    int at = 2;
    b->until = INFINITY;
    if (argc < 3 || !rt_device_find(argv[1], &b->here.device) ||
        (b->here.device != RT_CUDA && b->here.device != RT_SIMT))
        return 0;
    for (; at + 1 < argc && argv[at][0] == '-'; at += 2) {
        if (strcmp(argv[at], "--seconds") == 0)
            b->until = now() + strtod(argv[at + 1], NULL);
        else if (strcmp(argv[at], "--arch") == 0)
            b->arch = argv[at + 1];
        else if (strcmp(argv[at], "--warm") == 0)
            b->warm = argv[at + 1];
        else if (strcmp(argv[at], "--predict") == 0)
            b->predict = argv[at + 1];
        else
            return 0;
    }
    return at;
}

int main(int argc, char **argv)
{
    char folder[] = "/tmp/gpu-bench-XXXXXX", path[64];
    Bench b = {.path = path};
    const int first = read_options(argc, argv, &b);
    if (!first || !mkdtemp(folder)) {
        fprintf(stderr, "usage: gpu_bench cuda|simt [--arch ARCH] [--seconds S] [--warm ARCH]"
                        " [--predict GPU] CASE..\n");
        return 2;
    }
    b.names = argv + first;
    snprintf(path, sizeof path, "%s/case.mdl", folder);
    const ChildWork work = {
        .run = do_case, .lost = lose_case, .user = &b, .n = argc - first, .seconds = most_for_case};
    const int failed = child_run(&work);
    unlink(path);
    rmdir(folder);
    return failed ? 1 : 0;
}
