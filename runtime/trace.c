/* trace.c: launches as events of the Trace Event Format, one row for steps and one for kernels; and the times
 * of kernels over a whole run. A launch is as long as the executor's own clock says. */
#include "trace.h"
#include "clock.h"

enum { MAX_EVENTS = 1 << 20 };

typedef struct Event {
    const char *name, *cls, *entry;
    double from, seconds;
    bool kernel;
} Event;

struct Trace {
    Arena *arena;
    Runtime *rt;
    const Plan *plan;
    double began, step_began;
    double *before; /* by kernel: its seconds so far */
    VEC(Event) events;
};

Trace *trace_new(Runtime *rt)
{
    Arena *arena = arena_new();
    Trace *t = NEW(arena, Trace);
    t->arena = arena;
    t->rt = rt;
    t->plan = rt_plan(rt);
    t->began = clock_now();
    t->before = NEW_ARRAY(arena, double, t->plan->nkernels + (size_t)1);
    return t;
}

void trace_free(Trace *t)
{
    if (t)
        arena_free(t->arena);
}

static void push(Trace *t, Event e)
{
    if (t->events.n < MAX_EVENTS)
        VEC_PUSH(t->arena, &t->events, e);
}

static void after_launch(void *user, uint32_t entry, uint32_t launch)
{
    Trace *t = user;
    const PlanEntry *e = &t->plan->entries[entry];
    uint32_t k = t->plan->steps[e->step0 + launch].kernel;
    double now = clock_now(), seconds = rt_kernel_times(t->rt)[k].seconds - t->before[k];
    t->before[k] += seconds;
    push(t, (Event){.name = plan_text(t->plan, t->plan->kernels[k].name),
                    .cls = plan_text(t->plan, t->plan->kernels[k].cls),
                    .entry = plan_text(t->plan, e->name),
                    .from = now - seconds,
                    .seconds = seconds,
                    .kernel = true});
}

void trace_begin(Trace *t)
{
    for (uint32_t k = 0; k < t->plan->nkernels; k++)
        t->before[k] = rt_kernel_times(t->rt)[k].seconds;
    t->step_began = clock_now();
    rt_watch(t->rt, after_launch, t);
}

void trace_end(Trace *t, int64_t step)
{
    rt_watch(t->rt, NULL, NULL);
    trace_span(t, arena_printf(t->arena, "step %lld", (long long)step), t->step_began, clock_now());
}

void trace_span(Trace *t, const char *name, double from, double to)
{
    push(t, (Event){.name = arena_strdup(t->arena, name), .from = from, .seconds = to - from});
}

static void put_event(StrBuf *sb, const Trace *t, const Event *e)
{
    sb_puts(sb, "{\"name\":");
    sb_json(sb, e->name, strlen(e->name));
    sb_printf(sb, ",\"ph\":\"X\",\"pid\":1,\"tid\":%d,\"ts\":%.3f,\"dur\":%.3f", e->kernel ? 2 : 1,
              (e->from - t->began) * 1e6, e->seconds * 1e6);
    if (e->kernel) {
        sb_puts(sb, ",\"cat\":");
        sb_json(sb, e->cls, strlen(e->cls));
        sb_puts(sb, ",\"args\":{\"entry\":");
        sb_json(sb, e->entry, strlen(e->entry));
        sb_putc(sb, '}');
    }
    sb_putc(sb, '}');
}

bool trace_write(const Trace *t, const char *path, Err *err)
{
    Arena *arena = arena_new();
    StrBuf sb = sb_new(arena);
    sb_puts(&sb, "{\"traceEvents\":[\n"
                 "{\"name\":\"thread_name\",\"ph\":\"M\",\"pid\":1,\"tid\":1,"
                 "\"args\":{\"name\":\"steps\"}},\n"
                 "{\"name\":\"thread_name\",\"ph\":\"M\",\"pid\":1,\"tid\":2,"
                 "\"args\":{\"name\":\"kernels\"}}");
    for (uint32_t i = 0; i < t->events.n; i++) {
        sb_puts(&sb, ",\n");
        put_event(&sb, t, &t->events.at[i]);
    }
    sb_puts(&sb, "\n]}\n");
    bool ok = file_write_atomic(path, sb.text, sb.n, err);
    arena_free(arena);
    return ok;
}

/* ---- kernels ---- */

typedef struct Total {
    const PlanKernel *kernel;
    RtKernelTime time;
} Total;

static int by_time(const void *a, const void *b)
{
    const Total *x = a, *y = b;
    return (x->time.seconds < y->time.seconds) - (x->time.seconds > y->time.seconds);
}

bool trace_write_kernels(Runtime *rt, const char *path, Err *err)
{
    Arena *arena = arena_new();
    const Plan *p = rt_plan(rt);
    const RtKernelTime *times = rt_kernel_times(rt);
    Total *all = NEW_ARRAY(arena, Total, p->nkernels + (size_t)1);
    for (uint32_t k = 0; k < p->nkernels; k++) {
        all[k] = (Total){&p->kernels[k], times[k]};
        if (times[k].timed)
            all[k].time.seconds *= (double)times[k].launches / (double)times[k].timed;
    }
    qsort(all, p->nkernels, sizeof *all, by_time);
    StrBuf sb = sb_new(arena);
    sb_puts(&sb, "[");
    for (uint32_t k = 0; k < p->nkernels && all[k].time.timed; k++) {
        const char *name = plan_text(p, all[k].kernel->name);
        const char *cls = plan_text(p, all[k].kernel->cls);
        sb_puts(&sb, k ? ",\n{\"kernel\":" : "\n{\"kernel\":");
        sb_json(&sb, name, strlen(name));
        sb_puts(&sb, ",\"class\":");
        sb_json(&sb, cls, strlen(cls));
        sb_printf(&sb, ",\"launches\":%llu,\"seconds\":%.6f}",
                  (unsigned long long)all[k].time.launches, all[k].time.seconds);
    }
    sb_puts(&sb, "\n]\n");
    bool ok = file_write_atomic(path, sb.text, sb.n, err);
    arena_free(arena);
    return ok;
}
