/* bench.c: how long an update takes, and each kernel in it.
 *
 * One batch is used again and again with a learning rate of 0, so that every repetition does the
 * same work on the same numbers. Of a kernel the least time counts, since other programs can only
 * make it longer; of the whole update the least, the median, and the least processor time. A few updates before
 * warm up, or one where that takes all the time there is. */
#include "clock.h"
#include "feed.h"
#include "runtime.h"
#include <time.h>

enum { WARM_UP = 3, MAX_UPDATES = 10000, TIMED_UPDATES = 5 };

typedef struct Bench {
    Runtime *rt;
    const Plan *plan;
    const PlanRun *run;
    Feed feed, weigh;     /* of `micro`, of `weigh` */
    RtKernelTime *before; /* an update: times so far */
    double seconds[MAX_UPDATES];
    bool untimed; /* an update whose kernels were not timed */
} Bench;

/* All passes of a step, over the same rows. */
static bool passes(Bench *b, uint32_t entry, int64_t step, Err *err)
{
    const Feed *feed = entry == b->run->weigh ? &b->weigh : &b->feed;
    RtCall call = {.inputs = feed->inputs, .syms = feed->syms, .step = step};
    bool ok = true;
    for (int64_t p = 0; ok && p < b->run->batch / b->run->rows; p++) {
        call.first = p == 0;
        ok = rt_run(b->rt, entry, &call, err);
    }
    return ok;
}

static bool update(Bench *b, int64_t step, Err *err)
{
    RtCall call = {.syms = b->feed.syms, .step = step, .first = true};
    return (b->run->weigh == PLAN_NONE || passes(b, b->run->weigh, step, err)) &&
           passes(b, b->run->micro, step, err) && rt_run(b->rt, b->run->update, &call, err);
}

static void take_kernels(Bench *b, bool first, RtKernelTime *least)
{
    const RtKernelTime *now = rt_kernel_times(b->rt);
    for (uint32_t k = 0; k < b->plan->nkernels; k++) {
        double seconds = now[k].seconds - b->before[k].seconds;
        if (first || seconds < least[k].seconds)
            least[k].seconds = seconds;
        least[k].launches = now[k].launches - b->before[k].launches;
        least[k].timed = now[k].timed - b->before[k].timed;
        b->untimed = b->untimed || least[k].timed < least[k].launches;
        b->before[k] = now[k];
    }
}

/* Of all threads of the process. */
static double cpu_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void nothing(void *user, uint32_t entry, uint32_t launch)
{
    UNUSED(user);
    UNUSED(entry);
    UNUSED(launch);
}

/* Where kernels are not timed as a rule: in updates of their own. */
static bool time_kernels(Bench *b, double seconds, RtKernelTime *least, Err *err)
{
    const double began = clock_now();
    bool ok = true;
    rt_watch(b->rt, nothing, NULL);
    for (int64_t i = 0; ok && i < TIMED_UPDATES && (!i || clock_now() - began < seconds); i++) {
        ok = update(b, i + 1, err);
        if (ok)
            take_kernels(b, i == 0, least);
    }
    rt_watch(b->rt, NULL, NULL);
    return ok;
}

static bool repeat(Bench *b, double seconds, BenchResult *out, Err *err)
{
    double began = clock_now();
    int64_t warm = 0;
    for (int64_t step = 1;; step++) {
        double start = clock_now(), cpu = cpu_now();
        if (!update(b, step, err))
            return false;
        double end = clock_now();
        cpu = cpu_now() - cpu;
        const bool warms = !warm || (warm < WARM_UP && end - began < seconds);
        warm += warms;
        const int64_t i = step - 1 - warm;
        take_kernels(b, i <= 0, out->kernels);
        if (warms)
            continue;
        b->seconds[i] = end - start;
        out->cpu = i == 0 || cpu < out->cpu ? cpu : out->cpu;
        out->updates = i + 1;
        if (out->updates == MAX_UPDATES || (end - began > seconds && out->updates % 2))
            break;
    }
    qsort(b->seconds, (size_t)out->updates, sizeof(b->seconds[0]), compare);
    out->least = b->seconds[0];
    out->median = b->seconds[out->updates / 2];
    return !b->untimed || time_kernels(b, seconds, out->kernels, err);
}

/* The first batch, which must stay as it is: the loader has no other. */
static bool with_batch(Bench *b, Dataset *ds, double seconds, BenchResult *out, Err *err)
{
    LoaderSpec spec = {.plan = b->plan,
                       .ds = ds,
                       .data = b->run->data,
                       .batch = b->run->rows,
                       .end = b->run->rows,
                       .seed = b->run->seed};
    Loader *loader = loader_new(&spec, err);
    LoaderBatch batch;
    bool ok = loader && loader_next(loader, &batch, err) && feed_set(&b->feed, &batch, err) &&
              (b->run->weigh == PLAN_NONE || feed_set(&b->weigh, &batch, err)) &&
              rt_init(b->rt, b->run->seed, err) && repeat(b, seconds, out, err);
    loader_free(loader);
    return ok;
}

bool rt_bench(Runtime *rt, double seconds, Arena *arena, BenchResult *out, Err *err)
{
    const Plan *plan = rt_plan(rt);
    *out = (BenchResult){.kernels = NEW_ARRAY(arena, RtKernelTime, plan->nkernels)};
    if (plan->nruns == 0)
        return err_set(err, ERR_USAGE, "the program has no `train` block");
    Bench *b = NEW(arena, Bench);
    *b = (Bench){.rt = rt,
                 .plan = plan,
                 .run = &plan->runs[0],
                 .before = NEW_ARRAY(arena, RtKernelTime, plan->nkernels)};
    if (plan->entries[b->run->update].ninput != 0)
        return err_set(err, ERR_DATA, "plan: `update` takes inputs");
    b->feed = (Feed){.plan = plan, .entry = &plan->entries[b->run->micro]};
    if (!feed_init(&b->feed, arena, b->run->data, err))
        return false;
    if (b->run->weigh != PLAN_NONE) {
        b->weigh = (Feed){.plan = plan, .entry = &plan->entries[b->run->weigh]};
        if (!feed_init(&b->weigh, arena, b->run->data, err))
            return false;
    }
    Dataset *ds = data_open(plan, b->run->data, err);
    bool ok = ds && with_batch(b, ds, seconds, out, err);
    data_close(ds);
    return ok;
}
