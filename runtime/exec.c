/* exec.c: one plan on one device: memory once, arguments once, then a flat loop of launches.
 *
 * rt_open turns every step of every entry into addresses. What changes from call to call is small
 * and listed beforehand: addresses of inputs (patches), the argument block, and, when an extent
 * changed, the numbers of tasks. So rt_run allocates nothing and looks nothing up. */
#include "device.h"
#include "progress.h"
#include "runtime.h"
#include <time.h>

typedef struct Launch {
    PlanStepKind kind;
    uint32_t kernel; /* LOOP, END: the loop */
    uint32_t other;  /* LOOP: its END; END: its LOOP */
    const int64_t *tasks;
    MdlArgs args;
} Launch;

/* *slot = address of a moving tensor + offset, once a round of its loop. */
typedef struct Move {
    void **slot;
    uint32_t tensor;
    uint64_t offset;
} Move;

typedef struct Loop {
    VEC(Move) moves;
    int64_t at, length; /* round, rounds */
} Loop;

/* *slot = address of input + offset, once a call. */
typedef struct Patch {
    void **slot;
    uint32_t input; /* of the entry */
    uint64_t offset;
} Patch;

typedef struct Entry {
    Launch *launches;
    void **bufs;  /* BUF arguments of all launches */
    MdlRow *rows; /* table rows of all launches */
    Patch *patches;
    void **inputs; /* where the device reads them in this call */
    uint32_t nlaunch, npatch;
} Entry;

struct Runtime {
    const Plan *plan;
    uint32_t target; /* of the plan's, that its kernels run for */
    const DeviceVtable *v;
    Device *device;
    Module *module;
    Arena *arena;
    char *state, *temp, *workspace;
    Loop *loops;
    uint32_t *input_of; /* by tensor: its number among the inputs of its entry */
    char **staging;     /* by tensor: device memory for inputs that cannot be read in place */
    Entry *entries;
    int64_t *syms;      /* extents of the last call */
    bool have_syms;     /* a call was made */
    int64_t *block;     /* argument block */
    uint32_t *slot_sym; /* by slot: the symbol it holds */
    int64_t *tasks;     /* by phase, for `syms` */
    RtKernelTime *times;
    RtWatchFn watch, before; /* or NULL */
    void *watch_user, *before_user;
};

static const uint64_t INPUT_ALIGN = 64; /* what kernels may assume of an input */

/* ---- opening ---- */

static void *fixed_address(const Runtime *rt, uint32_t tensor)
{
    const PlanTensor *t = &rt->plan->tensors[tensor];
    return (t->arena == PA_STATE ? rt->state : rt->temp) + t->offset;
}

static uint32_t find_input(const Plan *p, const PlanEntry *e, uint32_t tensor)
{
    for (uint32_t i = 0; i < e->ninput; i++)
        if (p->bindings[e->input0 + i].tensor == tensor)
            return i;
    BUG("entry %s reads tensor %u, which it does not bind", plan_text(p, e->name), tensor);
}

/* Fills *slot now, or notes that each call has to. */
static void set_address(Runtime *rt, uint32_t entry, uint32_t tensor, uint64_t offset, void **slot)
{
    const Plan *p = rt->plan;
    Entry *e = &rt->entries[entry];
    if (p->tensors[tensor].arena == PA_MOVING) {
        Loop *l = &rt->loops[p->moves[p->tensors[tensor].offset].loop];
        VEC_PUSH(rt->arena, &l->moves, ((Move){slot, tensor, offset}));
        return;
    }
    if (p->tensors[tensor].arena != PA_INPUT) {
        *slot = (char *)fixed_address(rt, tensor) + offset;
        return;
    }
    uint32_t input = find_input(p, &p->entries[entry], tensor);
    e->patches[e->npatch++] = (Patch){slot, input, offset};
}

/* What the arrays of an entry must hold. */
typedef struct Sizes {
    size_t bufs, rows, patches;
} Sizes;

static bool is_input(const Plan *p, uint32_t tensor)
{
    return tensor != PLAN_NONE && p->tensors[tensor].arena == PA_INPUT;
}

static Sizes count_arguments(const Plan *p, const PlanEntry *e)
{
    Sizes n = {0};
    for (uint32_t s = 0; s < e->nstep; s++) {
        const PlanStep *step = &p->steps[e->step0 + s];
        for (uint32_t i = 0; i < step->narg; i++) {
            const PlanArg *a = &p->args[step->arg0 + i];
            if (a->kind == PG_BUF) {
                n.bufs++;
                n.patches += is_input(p, a->tensor);
                continue;
            }
            n.rows += a->nrow;
            for (uint32_t k = 0; k < a->nrow * PLAN_ROW_BUFS; k++)
                n.patches +=
                    is_input(p, p->rows[a->row0 + k / PLAN_ROW_BUFS].tensor[k % PLAN_ROW_BUFS]);
        }
    }
    return n;
}

/* A row's tasks follow those of the row before it: kernels find the row of a task by bisection. */
static void set_table(Runtime *rt, uint32_t entry, const PlanArg *a, int64_t grain, MdlRow *rows)
{
    const Plan *p = rt->plan;
    int64_t task = 0;
    for (uint32_t i = 0; i < a->nrow; i++) {
        const PlanRow *from = &p->rows[a->row0 + i];
        rows[i].n = from->n;
        rows[i].task0 = task;
        task += (from->n + grain - 1) / grain;
        for (uint32_t k = 0; k < PLAN_ROW_BUFS; k++)
            if (from->tensor[k] != PLAN_NONE)
                set_address(rt, entry, from->tensor[k], 0, &rows[i].p[k]);
    }
}

/* Fills one launch from its step; its arguments go to *buf and *row, which move on. */
static void set_launch(Runtime *rt, uint32_t entry, uint32_t s, void ***buf, MdlRow **row)
{
    const Plan *p = rt->plan;
    const PlanStep *step = &p->steps[p->entries[entry].step0 + s];
    Launch *l = &rt->entries[entry].launches[s];
    l->kind = (PlanStepKind)step->kind;
    l->kernel = step->kernel;
    if (l->kind != PT_LAUNCH)
        return;
    const PlanVariant *v = plan_variant(p, step->kernel, rt->target);
    l->tasks = rt->tasks + v->phase0;
    l->args = (MdlArgs){.buf = *buf, .block = rt->block, .workspace = rt->workspace};
    for (uint32_t i = 0; i < step->narg; i++) {
        const PlanArg *a = &p->args[step->arg0 + i];
        if (a->kind == PG_BUF) {
            set_address(rt, entry, a->tensor, a->offset, (*buf)++);
            continue;
        }
        set_table(rt, entry, a, v->grain, *row);
        l->args.row = *row;
        l->args.nrow = a->nrow;
        *row += a->nrow;
    }
}

/* Both ends of a loop know each other. */
static void link_loops(Runtime *rt, uint32_t entry)
{
    Entry *e = &rt->entries[entry];
    const PlanEntry *from = &rt->plan->entries[entry];
    uint32_t *begin = NEW_ARRAY(rt->arena, uint32_t, rt->plan->nloops + (size_t)1);
    for (uint32_t s = 0; s < e->nlaunch; s++) {
        Launch *l = &e->launches[s];
        if (l->kind == PT_LOOP)
            begin[l->kernel] = s;
        if (l->kind != PT_END)
            continue;
        l->other = begin[l->kernel];
        e->launches[l->other].other = s;
    }
    for (uint32_t i = 0; i < from->ninput; i++)
        rt->input_of[rt->plan->bindings[from->input0 + i].tensor] = i;
}

static void resolve_entry(Runtime *rt, uint32_t entry)
{
    const PlanEntry *from = &rt->plan->entries[entry];
    Entry *e = &rt->entries[entry];
    Sizes n = count_arguments(rt->plan, from);
    e->nlaunch = from->nstep;
    e->launches = NEW_ARRAY(rt->arena, Launch, from->nstep + (size_t)1);
    e->bufs = NEW_ARRAY(rt->arena, void *, n.bufs + 1);
    e->rows = NEW_ARRAY(rt->arena, MdlRow, n.rows + 1);
    e->patches = NEW_ARRAY(rt->arena, Patch, n.patches + 1);
    e->inputs = NEW_ARRAY(rt->arena, void *, from->ninput + (size_t)1);
    void **buf = e->bufs;
    MdlRow *row = e->rows;
    for (uint32_t s = 0; s < from->nstep; s++)
        set_launch(rt, entry, s, &buf, &row);
    link_loops(rt, entry);
    ASSERT(e->npatch == n.patches && buf == e->bufs + n.bufs && row == e->rows + n.rows);
}

static bool allocate(Runtime *rt, Err *err)
{
    const PlanMeta *m = rt->plan->meta;
    rt->state = rt->v->alloc(rt->device, m->state_bytes, err);
    if (!rt->state)
        return err_context(err, "parameters and optimizer");
    rt->temp = rt->v->alloc(rt->device, m->temp_bytes, err);
    if (!rt->temp)
        return err_context(err, "activations");
    rt->workspace = rt->v->alloc(rt->device, rt->plan->targets[rt->target].workspace_bytes, err);
    if (!rt->workspace)
        return err_context(err, "workspace");
    for (uint32_t i = 0; i < rt->plan->ntensors; i++) {
        const PlanTensor *t = &rt->plan->tensors[i];
        if (t->arena != PA_INPUT)
            continue;
        rt->staging[i] = rt->v->alloc(rt->device, t->bytes, err);
        if (!rt->staging[i])
            return err_context(err, "input %s", plan_text(rt->plan, t->name));
    }
    return true;
}

static bool open_device(Runtime *rt, const RtOptions *opt, Err *err)
{
    DeviceOptions device = {.threads = opt->threads,
                            .cache_dir = opt->cache_dir,
                            .quiet = opt->quiet,
                            .progress = opt->quiet ? NULL : progress_compiling};
    rt->device = rt->v->open(&device, err);
    if (!rt->device)
        return false;
    rt->module = rt->v->load(rt->device, rt->plan, rt->target, err);
    return rt->module && allocate(rt, err);
}

Runtime *rt_open(const Plan *plan, const RtOptions *opt, Err *err)
{
    static const RtOptions usual = {0};
    Arena *arena = arena_new();
    Runtime *rt = NEW(arena, Runtime);
    rt->arena = arena;
    rt->plan = plan;
    rt->v = &device_cpu;
    rt->staging = NEW_ARRAY(arena, char *, plan->ntensors + (size_t)1);
    rt->entries = NEW_ARRAY(arena, Entry, plan->nentries + (size_t)1);
    rt->loops = NEW_ARRAY(arena, Loop, plan->nloops + (size_t)1);
    rt->input_of = NEW_ARRAY(arena, uint32_t, plan->ntensors + (size_t)1);
    rt->syms = NEW_ARRAY(arena, int64_t, plan->nsyms + (size_t)1);
    rt->block = NEW_ARRAY(arena, int64_t, plan->nslots + (size_t)1);
    rt->slot_sym = NEW_ARRAY(arena, uint32_t, plan->nslots + (size_t)1);
    rt->tasks = NEW_ARRAY(arena, int64_t, plan->nphases + (size_t)1);
    rt->times = NEW_ARRAY(arena, RtKernelTime, plan->nkernels + (size_t)1);
    for (uint32_t i = 0; i < plan->nslots; i++)
        rt->slot_sym[i] = PLAN_NONE;
    for (uint32_t i = 0; i < plan->nsyms; i++)
        rt->slot_sym[plan->syms[i].slot] = i;
    if (!open_device(rt, opt ? opt : &usual, err)) {
        rt_close(rt);
        return NULL;
    }
    for (uint32_t i = 0; i < plan->nentries; i++)
        resolve_entry(rt, i);
    return rt;
}

void rt_close(Runtime *rt)
{
    if (!rt)
        return;
    if (rt->device) {
        const PlanMeta *m = rt->plan->meta;
        rt->v->free(rt->device, rt->state, m->state_bytes);
        rt->v->free(rt->device, rt->temp, m->temp_bytes);
        rt->v->free(rt->device, rt->workspace, rt->plan->targets[rt->target].workspace_bytes);
        for (uint32_t i = 0; i < rt->plan->ntensors; i++)
            rt->v->free(rt->device, rt->staging[i], rt->plan->tensors[i].bytes);
        if (rt->module)
            rt->v->unload(rt->device, rt->module);
        rt->v->close(rt->device);
    }
    arena_free(rt->arena);
}

/* ---- one call ---- */

static bool check_extent(const Plan *p, const PlanSym *s, int64_t value, Err *err)
{
    if (value < s->lo || value > s->hi)
        return err_set(err, ERR_DATA, "%s is %lld; the plan was made for %lld..%lld",
                       plan_text(p, s->name), (long long)value, (long long)s->lo, (long long)s->hi);
    if (value % s->divisor)
        return err_set(err, ERR_DATA, "%s is %lld; the plan was made for multiples of %lld",
                       plan_text(p, s->name), (long long)value, (long long)s->divisor);
    return true;
}

static bool count_tasks(Runtime *rt, const PlanVariant *v, Err *err)
{
    const Plan *p = rt->plan;
    for (uint32_t i = v->phase0; i < v->phase0 + v->nphase; i++) {
        int64_t tasks = plan_dim(p, p->phases[i].tasks, rt->syms);
        if (tasks < 0)
            return err_set(err, ERR_DATA, "%s would run %lld tasks for these extents",
                           plan_text(p, p->phases[i].symbol), (long long)tasks);
        rt->tasks[i] = plan_blocks(&p->phases[i], tasks);
    }
    return true;
}

/* Checks the extents and, when one changed, computes the numbers of tasks. */
static bool bind_extents(Runtime *rt, const RtCall *call, Err *err)
{
    const Plan *p = rt->plan;
    bool changed = !rt->have_syms;
    for (uint32_t i = 0; i < p->nsyms; i++) {
        if (!check_extent(p, &p->syms[i], call->syms[i], err))
            return false;
        changed = changed || rt->syms[i] != call->syms[i];
        rt->syms[i] = call->syms[i];
    }
    if (!changed)
        return true;
    rt->have_syms = false;
    for (uint32_t k = 0; k < p->nkernels; k++)
        if (!count_tasks(rt, plan_variant(p, k, rt->target), err))
            return false;
    rt->have_syms = true;
    return true;
}

static size_t tensor_bytes(const Runtime *rt, const PlanTensor *t)
{
    int64_t n = 1;
    for (uint32_t k = 0; k < t->rank; k++)
        n *= plan_dim(rt->plan, t->dim[k], rt->syms);
    return n > 0 ? (size_t)n * dtype_info((DType)t->dtype)->bytes : 0;
}

/* Inputs are read in place when they are aligned as kernels expect; else they are copied. */
static bool bind_inputs(Runtime *rt, uint32_t entry, const RtCall *call, Err *err)
{
    const Plan *p = rt->plan;
    const PlanEntry *from = &p->entries[entry];
    Entry *e = &rt->entries[entry];
    for (uint32_t i = 0; i < from->ninput; i++) {
        const PlanBinding *b = &p->bindings[from->input0 + i];
        const void *data = call->inputs[i];
        size_t bytes = tensor_bytes(rt, &p->tensors[b->tensor]);
        if (!data && bytes)
            return err_set(err, ERR_DATA, "input %s of %s is missing", plan_text(p, b->name),
                           plan_text(p, from->name));
        e->inputs[i] = (void *)(uintptr_t)data; /* kernels only read it */
        if (data && (uintptr_t)data % INPUT_ALIGN == 0)
            continue;
        e->inputs[i] = rt->staging[b->tensor];
        if (!rt->v->upload(rt->device, e->inputs[i], data, bytes, err))
            return false;
    }
    for (uint32_t i = 0; i < e->npatch; i++)
        *e->patches[i].slot = (char *)e->inputs[e->patches[i].input] + e->patches[i].offset;
    return true;
}

static int64_t slot_value(const Runtime *rt, uint32_t slot, const RtCall *call)
{
    int64_t bits = 0;
    switch ((PlanSlotKind)rt->plan->slots[slot].kind) {
    case PB_SYM:
        return rt->slot_sym[slot] == PLAN_NONE ? 0 : rt->syms[rt->slot_sym[slot]];
    case PB_STEP:
        return call->step;
    case PB_LR:
        memcpy(&bits, &call->lr, sizeof(bits));
        return bits;
    case PB_FIRST:
        return call->first;
    case PB_SEED:
        return call->seed;
    case PB_PROGRESS:
        memcpy(&bits, &call->progress, sizeof(bits));
        return bits;
    case PB_LEN:
        return call->past;
    case PB_ROW0:
        return call->row0;
    }
    return 0;
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* ---- loops ---- */

static char *address(const Runtime *rt, const Entry *e, uint32_t tensor);

static char *moving_address(const Runtime *rt, const Entry *e, const PlanTensor *t)
{
    const PlanMove *m = &rt->plan->moves[t->offset];
    const Loop *l = &rt->loops[m->loop];
    if (m->kind == PM_SLICE) {
        bool back = rt->plan->loops[m->loop].reverse != 0;
        int64_t at = back ? l->length - 1 - l->at : l->at;
        return address(rt, e, m->of) + (size_t)at * tensor_bytes(rt, t);
    }
    const PlanCarry *c = &rt->plan->carries[m->of];
    int64_t round = m->kind == PM_NEW ? l->at : l->at - 1; /* that writes it */
    if (round < 0)
        return address(rt, e, c->init);
    return address(rt, e, (l->length - 1 - round) % 2 ? c->other : c->last);
}

/* Verified plans move by loops around each other only, so this ends. */
static char *address(const Runtime *rt, const Entry *e, uint32_t tensor)
{
    const PlanTensor *t = &rt->plan->tensors[tensor];
    switch ((PlanArena)t->arena) {
    case PA_STATE:
    case PA_TEMP:
        return fixed_address(rt, tensor);
    case PA_INPUT:
        return e->inputs[rt->input_of[tensor]];
    case PA_MOVING:
        return moving_address(rt, e, t);
    }
    BUG("tensor %u lies in arena %u", tensor, t->arena);
}

static void begin_round(Runtime *rt, const Entry *e, const Loop *l)
{
    for (uint32_t i = 0; i < l->moves.n; i++) {
        const Move *m = &l->moves.at[i];
        *m->slot = address(rt, e, m->tensor) + m->offset;
    }
}

/* Each returns the step that follows. */
static uint32_t begin_loop(Runtime *rt, const Entry *e, uint32_t step)
{
    const PlanLoop *from = &rt->plan->loops[e->launches[step].kernel];
    Loop *l = &rt->loops[e->launches[step].kernel];
    l->at = 0;
    l->length = plan_dim(rt->plan, from->length, rt->syms);
    if (l->length > 0) {
        begin_round(rt, e, l);
        return step + 1;
    }
    for (uint32_t k = 0; k < from->ncarry; k++) {
        const PlanCarry *c = &rt->plan->carries[from->carry0 + k];
        rt->v->copy(rt->device, address(rt, e, c->last), address(rt, e, c->init),
                    tensor_bytes(rt, &rt->plan->tensors[c->init]));
    }
    return e->launches[step].other + 1;
}

static uint32_t end_round(Runtime *rt, const Entry *e, uint32_t step)
{
    Loop *l = &rt->loops[e->launches[step].kernel];
    if (++l->at == l->length)
        return step + 1;
    begin_round(rt, e, l);
    return e->launches[step].other + 1;
}

static void run_launch(Runtime *rt, const Entry *e, uint32_t step, int64_t *before)
{
    const Launch *l = &e->launches[step];
    rt->v->launch(rt->device, rt->module, l->kernel, &l->args, l->tasks);
    int64_t after = now_ns();
    rt->times[l->kernel].seconds += (double)(after - *before) * 1e-9;
    rt->times[l->kernel].launches++;
    *before = after;
}

bool rt_run(Runtime *rt, uint32_t entry, const RtCall *call, Err *err)
{
    ASSERT(entry < rt->plan->nentries);
    if (!bind_extents(rt, call, err) || !bind_inputs(rt, entry, call, err))
        return false;
    for (uint32_t i = 0; i < rt->plan->nslots; i++)
        rt->block[i] = slot_value(rt, i, call);
    const Entry *e = &rt->entries[entry];
    int64_t before = now_ns();
    for (uint32_t i = 0; i < e->nlaunch;) {
        switch (e->launches[i].kind) {
        case PT_LAUNCH:
            if (rt->before)
                rt->before(rt->before_user, entry, i);
            run_launch(rt, e, i, &before);
            if (rt->watch)
                rt->watch(rt->watch_user, entry, i);
            i++;
            break;
        case PT_LOOP:
            i = begin_loop(rt, e, i);
            break;
        case PT_END:
            i = end_round(rt, e, i);
            break;
        }
    }
    rt->v->sync(rt->device);
    return true;
}

/* ---- looking ---- */

const Plan *rt_plan(const Runtime *rt)
{
    return rt->plan;
}

int rt_threads(const Runtime *rt)
{
    return rt->v->threads(rt->device);
}

uint32_t rt_target(const Runtime *rt)
{
    return rt->target;
}

/* The shape of a state is constant, so its size needs no extents. */
void *rt_state(Runtime *rt, uint32_t state, size_t *bytes)
{
    ASSERT(state < rt->plan->nstates);
    uint32_t tensor = rt->plan->states[state].tensor;
    const PlanTensor *t = &rt->plan->tensors[tensor];
    size_t n = dtype_info((DType)t->dtype)->bytes;
    for (uint32_t k = 0; k < t->rank; k++)
        n *= (size_t)plan_dim_hi(rt->plan, t->dim[k]);
    if (bytes)
        *bytes = n;
    return fixed_address(rt, tensor);
}

const void *rt_result(Runtime *rt, uint32_t entry, uint32_t i)
{
    const Plan *p = rt->plan;
    ASSERT(entry < p->nentries && i < p->entries[entry].nresult);
    uint32_t tensor = p->bindings[p->entries[entry].result0 + i].tensor;
    if (p->tensors[tensor].arena != PA_INPUT)
        return fixed_address(rt, tensor);
    return rt->entries[entry].inputs[find_input(p, &p->entries[entry], tensor)];
}

void rt_watch(Runtime *rt, RtWatchFn fn, void *user)
{
    rt->watch = fn;
    rt->watch_user = user;
}

void rt_watch_before(Runtime *rt, RtWatchFn fn, void *user)
{
    rt->before = fn;
    rt->before_user = user;
}

const void *rt_tensor(Runtime *rt, uint32_t entry, uint32_t tensor, size_t *elements)
{
    const Plan *p = rt->plan;
    const PlanTensor *t = &p->tensors[tensor];
    ASSERT(entry < p->nentries && tensor < p->ntensors);
    *elements = tensor_bytes(rt, t) / dtype_info((DType)t->dtype)->bytes;
    return address(rt, &rt->entries[entry], tensor);
}

void *rt_arena(Runtime *rt, PlanArena arena, size_t *bytes)
{
    ASSERT(arena != PA_INPUT);
    bool states = arena == PA_STATE;
    *bytes = (size_t)(states ? rt->plan->meta->state_bytes : rt->plan->meta->temp_bytes);
    return states ? rt->state : rt->temp;
}

const RtKernelTime *rt_kernel_times(const Runtime *rt)
{
    return rt->times;
}
