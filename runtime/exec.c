/* exec.c: one plan on one device: memory once, arguments once, then a flat loop of launches.
 *
 * rt_open turns every step of every entry into addresses. What changes from call to call is small
 * and listed beforehand: addresses of inputs (patches), the argument block, and, when an extent
 * changed, the numbers of tasks. So rt_run allocates nothing and looks nothing up. */
#include "exec.h"
#include "progress.h"
#include <time.h>

static const uint64_t INPUT_ALIGN = 64; /* what kernels may assume of an input */

/* ---- opening ---- */

void *exec_fixed(const Runtime *rt, uint32_t tensor)
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

static bool is_row_slot(const Entry *e, void *const *slot)
{
    uintptr_t at = (uintptr_t)slot, from = (uintptr_t)e->rows;
    return at >= from && at < from + e->nrow * sizeof *e->rows;
}

/* Fills *slot now, or notes that each call has to. */
static void set_address(Runtime *rt, uint32_t entry, uint32_t tensor, uint64_t offset, void **slot)
{
    const Plan *p = rt->plan;
    Entry *e = &rt->entries[entry];
    bool in_row = is_row_slot(e, slot);
    if (p->tensors[tensor].arena == PA_MOVING) {
        Loop *l = &rt->loops[p->moves[p->tensors[tensor].offset].loop];
        l->rows_change = l->rows_change || in_row;
        VEC_PUSH(rt->arena, &l->moves, ((Move){slot, tensor, offset}));
        return;
    }
    if (p->tensors[tensor].arena != PA_INPUT) {
        *slot = (char *)exec_fixed(rt, tensor) + offset;
        return;
    }
    uint32_t input = find_input(p, &p->entries[entry], tensor);
    e->patches[e->npatch++] = (Patch){slot, input, offset};
    e->rows_change = e->rows_change || in_row;
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
    l->args = (MdlArgs){.buf = *buf, .block = rt->device_block, .workspace = rt->workspace};
    for (uint32_t i = 0; i < step->narg; i++) {
        const PlanArg *a = &p->args[step->arg0 + i];
        if (a->kind == PG_BUF) {
            set_address(rt, entry, a->tensor, a->offset, (*buf)++);
            continue;
        }
        set_table(rt, entry, a, v->grain, *row);
        l->args.row = rt->entries[entry].device_rows + (*row - rt->entries[entry].rows);
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

/* Where the device reads the tables, which it gets when all addresses in them are known. */
static bool place_rows(Runtime *rt, Entry *e, Err *err)
{
    e->device_rows = e->rows;
    if (!rt->v->separate || !e->nrow)
        return true;
    e->device_rows = rt->v->alloc(rt->device, e->nrow * sizeof *e->rows, err);
    return e->device_rows || err_context(err, "tables");
}

static void forget_launches(Runtime *rt);
static bool is_fixed(const Runtime *rt, const Entry *e);

static bool upload_rows(Runtime *rt, const Entry *e, Err *err)
{
    return e->device_rows == e->rows || !e->nrow ||
           rt->v->upload(rt->device, e->device_rows, e->rows, e->nrow * sizeof *e->rows, err);
}

static bool resolve_entry(Runtime *rt, uint32_t entry, Err *err)
{
    const PlanEntry *from = &rt->plan->entries[entry];
    Entry *e = &rt->entries[entry];
    Sizes n = count_arguments(rt->plan, from);
    e->nlaunch = from->nstep;
    e->launches = NEW_ARRAY(rt->arena, Launch, from->nstep + (size_t)1);
    e->bufs = NEW_ARRAY(rt->arena, void *, n.bufs + 1);
    e->rows = NEW_ARRAY(rt->arena, MdlRow, n.rows + 1);
    e->nrow = n.rows;
    if (!place_rows(rt, e, err))
        return false;
    e->patches = NEW_ARRAY(rt->arena, Patch, n.patches + 1);
    e->inputs = NEW_ARRAY(rt->arena, void *, from->ninput + (size_t)1);
    void **buf = e->bufs;
    MdlRow *row = e->rows;
    for (uint32_t s = 0; s < from->nstep; s++)
        set_launch(rt, entry, s, &buf, &row);
    link_loops(rt, entry);
    e->fixed = is_fixed(rt, e);
    ASSERT(e->npatch == n.patches && buf == e->bufs + n.bufs && row == e->rows + n.rows);
    return upload_rows(rt, e, err);
}

static size_t block_bytes(const Runtime *rt)
{
    return (rt->plan->nslots + (size_t)1) * sizeof *rt->block;
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
    rt->device_block = rt->block;
    if (rt->v->separate)
        rt->device_block = rt->v->alloc(rt->device, block_bytes(rt), err);
    if (!rt->device_block)
        return err_context(err, "argument block");
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

/* only: on this device; NULL: as the options say. */
static bool open_device(Runtime *rt, const DeviceVtable *only, const RtOptions *opt, Err *err)
{
    DeviceOptions device = {.threads = opt->threads,
                            .cache_dir = opt->cache_dir,
                            .quiet = opt->quiet,
                            .progress = opt->quiet ? NULL : progress_compiling};
    DeviceChoice c;
    if (!(only ? device_try(rt->plan, only, &device, &c, err)
               : device_choose(rt->plan, opt->device, &device, &c, err)))
        return false;
    rt->v = c.v;
    rt->device = c.device;
    rt->target = c.target;
    rt->module = rt->v->load(rt->device, rt->plan, rt->target, err);
    return rt->module && allocate(rt, err);
}

Runtime *rt_open_on(const Plan *plan, const DeviceVtable *v, const RtOptions *opt, Err *err)
{
    static const RtOptions usual = {0};
    Arena *arena = arena_new();
    Runtime *rt = NEW(arena, Runtime);
    rt->arena = arena;
    rt->plan = plan;
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
    bool ok = open_device(rt, v, opt ? opt : &usual, err);
    for (uint32_t i = 0; ok && i < plan->nentries; i++)
        ok = resolve_entry(rt, i, err);
    if (ok)
        return rt;
    rt_close(rt);
    return NULL;
}

Runtime *rt_open(const Plan *plan, const RtOptions *opt, Err *err)
{
    return rt_open_on(plan, NULL, opt, err);
}

static void free_device_memory(Runtime *rt)
{
    const PlanMeta *m = rt->plan->meta;
    rt->v->free(rt->device, rt->state, m->state_bytes);
    rt->v->free(rt->device, rt->temp, m->temp_bytes);
    rt->v->free(rt->device, rt->workspace, rt->plan->targets[rt->target].workspace_bytes);
    for (uint32_t i = 0; i < rt->plan->ntensors; i++)
        rt->v->free(rt->device, rt->staging[i], rt->plan->tensors[i].bytes);
    if (!rt->v->separate)
        return;
    rt->v->free(rt->device, rt->device_block, block_bytes(rt));
    for (uint32_t i = 0; i < rt->plan->nentries; i++) {
        const Entry *e = &rt->entries[i];
        if (e->device_rows != e->rows)
            rt->v->free(rt->device, e->device_rows, e->nrow * sizeof *e->rows);
    }
}

void rt_close(Runtime *rt)
{
    if (!rt)
        return;
    if (rt->device) {
        free_device_memory(rt);
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
        rt->tasks[i] = tasks;
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
    forget_launches(rt);
    for (uint32_t k = 0; k < p->nkernels; k++)
        if (!count_tasks(rt, plan_variant(p, k, rt->target), err))
            return false;
    rt->have_syms = true;
    return true;
}

size_t exec_tensor_bytes(const Runtime *rt, const PlanTensor *t)
{
    int64_t n = 1;
    for (uint32_t k = 0; k < t->rank; k++)
        n *= plan_dim(rt->plan, t->dim[k], rt->syms);
    return n > 0 ? (size_t)n * dtype_info((DType)t->dtype)->bytes : 0;
}

/* Inputs are read in place where the device sees them and they are aligned as kernels expect; else they
 * are copied. */
static bool bind_inputs(Runtime *rt, uint32_t entry, const RtCall *call, Err *err)
{
    const Plan *p = rt->plan;
    const PlanEntry *from = &p->entries[entry];
    Entry *e = &rt->entries[entry];
    for (uint32_t i = 0; i < from->ninput; i++) {
        const PlanBinding *b = &p->bindings[from->input0 + i];
        const void *data = call->inputs[i];
        size_t bytes = exec_tensor_bytes(rt, &p->tensors[b->tensor]);
        if (!data && bytes)
            return err_set(err, ERR_DATA, "input %s of %s is missing", plan_text(p, b->name),
                           plan_text(p, from->name));
        e->inputs[i] = (void *)(uintptr_t)data; /* kernels only read it */
        if (!rt->v->separate && data && (uintptr_t)data % INPUT_ALIGN == 0)
            continue;
        e->inputs[i] = rt->staging[b->tensor];
        if (!rt->v->upload(rt->device, e->inputs[i], data, bytes, err))
            return false;
    }
    for (uint32_t i = 0; i < e->npatch; i++)
        *e->patches[i].slot = (char *)e->inputs[e->patches[i].input] + e->patches[i].offset;
    return !e->rows_change || upload_rows(rt, e, err);
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

static char *moving_address(const Runtime *rt, const Entry *e, const PlanTensor *t)
{
    const PlanMove *m = &rt->plan->moves[t->offset];
    const Loop *l = &rt->loops[m->loop];
    if (m->kind == PM_SLICE) {
        bool back = rt->plan->loops[m->loop].reverse != 0;
        int64_t at = back ? l->length - 1 - l->at : l->at;
        return exec_address(rt, e, m->of) + (size_t)at * exec_tensor_bytes(rt, t);
    }
    const PlanCarry *c = &rt->plan->carries[m->of];
    int64_t round = m->kind == PM_NEW ? l->at : l->at - 1; /* that writes it */
    if (round < 0)
        return exec_address(rt, e, c->init);
    return exec_address(rt, e, (l->length - 1 - round) % 2 ? c->other : c->last);
}

/* Verified plans move by loops around each other only, so this ends. */
char *exec_address(const Runtime *rt, const Entry *e, uint32_t tensor)
{
    const PlanTensor *t = &rt->plan->tensors[tensor];
    switch ((PlanArena)t->arena) {
    case PA_STATE:
    case PA_TEMP:
        return exec_fixed(rt, tensor);
    case PA_INPUT:
        return e->inputs[rt->input_of[tensor]];
    case PA_MOVING:
        return moving_address(rt, e, t);
    }
    BUG("tensor %u lies in arena %u", tensor, t->arena);
}

static bool begin_round(Runtime *rt, const Entry *e, const Loop *l, Err *err)
{
    for (uint32_t i = 0; i < l->moves.n; i++) {
        const Move *m = &l->moves.at[i];
        *m->slot = exec_address(rt, e, m->tensor) + m->offset;
    }
    return !l->rows_change || upload_rows(rt, e, err);
}

/* Each moves *at to the step that follows. */
static bool begin_loop(Runtime *rt, const Entry *e, uint32_t *at, Err *err)
{
    uint32_t step = *at;
    const PlanLoop *from = &rt->plan->loops[e->launches[step].kernel];
    Loop *l = &rt->loops[e->launches[step].kernel];
    l->at = 0;
    l->length = plan_dim(rt->plan, from->length, rt->syms);
    *at = l->length > 0 ? step + 1 : e->launches[step].other + 1;
    if (l->length > 0)
        return begin_round(rt, e, l, err);
    for (uint32_t k = 0; k < from->ncarry; k++) {
        const PlanCarry *c = &rt->plan->carries[from->carry0 + k];
        rt->v->copy(rt->device, exec_address(rt, e, c->last), exec_address(rt, e, c->init),
                    exec_tensor_bytes(rt, &rt->plan->tensors[c->init]));
    }
    return true;
}

static bool end_round(Runtime *rt, const Entry *e, uint32_t *at, Err *err)
{
    uint32_t step = *at;
    Loop *l = &rt->loops[e->launches[step].kernel];
    l->at++;
    *at = l->at == l->length ? step + 1 : e->launches[step].other + 1;
    return l->at == l->length || begin_round(rt, e, l, err);
}

/* What has failed is told at the end of the call. */
static void wait_for_queue(Runtime *rt)
{
    if (rt->v->queued) {
        Err ignored = {0}; /* as large as a message: made only where it is needed */
        rt->v->sync(rt->device, &ignored);
    }
}

/* Of the launch before, by the device's clock or, from *before on, by the host's. */
static double seconds_of_launch(Runtime *rt, int64_t *before)
{
    double seconds = 0;
    if (rt->v->clock_passed) {
        Err ignored = {0};
        rt->v->clock_passed(rt->device, &seconds, &ignored);
        return seconds;
    }
    wait_for_queue(rt);
    int64_t after = now_ns();
    seconds = (double)(after - *before) * 1e-9;
    *before = after;
    return seconds;
}

static void run_timed(Runtime *rt, const Launch *l, const LaunchSize *size, int64_t *before)
{
    if (rt->v->clock_from) {
        Err ignored = {0};
        rt->v->clock_from(rt->device, &ignored);
    }
    rt->v->launch(rt->device, rt->module, l->kernel, &l->args, size);
    rt->times[l->kernel].seconds += seconds_of_launch(rt, before);
    rt->times[l->kernel].timed++;
}

static void run_launch(Runtime *rt, const Entry *e, uint32_t step, int64_t *before)
{
    const Launch *l = &e->launches[step];
    const LaunchSize size = {l->tasks, rt->syms};
    rt->times[l->kernel].launches++;
    if (rt->timing)
        run_timed(rt, l, &size, before);
    else
        rt->v->launch(rt->device, rt->module, l->kernel, &l->args, &size);
}

static bool bind_block(Runtime *rt, const RtCall *call, Err *err)
{
    for (uint32_t i = 0; i < rt->plan->nslots; i++)
        rt->block[i] = slot_value(rt, i, call);
    return !rt->v->separate ||
           rt->v->upload(rt->device, rt->device_block, rt->block, block_bytes(rt), err);
}

static bool run_launches(Runtime *rt, uint32_t entry, Err *err)
{
    const Entry *e = &rt->entries[entry];
    if (rt->timing)
        wait_for_queue(rt);
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
            if (!begin_loop(rt, e, &i, err))
                return false;
            break;
        case PT_END:
            if (!end_round(rt, e, &i, err))
                return false;
            break;
        }
    }
    return true;
}

/* ---- launches that are kept ---- */

/* Tables that change from round to round are uploaded between launches. */
static bool is_fixed(const Runtime *rt, const Entry *e)
{
    for (uint32_t i = 0; i < e->nlaunch; i++)
        if (e->launches[i].kind == PT_LOOP && rt->loops[e->launches[i].kernel].rows_change)
            return false;
    return rt->v->record != NULL;
}

static void forget_launches(Runtime *rt)
{
    for (uint32_t i = 0; i < rt->plan->nentries; i++) {
        rt->entries[i].ran = false;
        rt->entries[i].kept = 0;
    }
    if (rt->v->forget)
        rt->v->forget(rt->device);
}

/* As run_launches, to be done again by replay(). */
static bool record_launches(Runtime *rt, uint32_t entry, Err *err)
{
    Entry *e = &rt->entries[entry];
    const uint32_t n = rt->plan->nkernels;
    const char *name = plan_text(rt->plan, rt->plan->entries[entry].name);
    if (!rt->v->record(rt->device, entry, name))
        return run_launches(rt, entry, err);
    if (!e->launched)
        e->launched = NEW_ARRAY(rt->arena, uint32_t, n + (size_t)1);
    for (uint32_t k = 0; k < n; k++)
        e->launched[k] = (uint32_t)rt->times[k].launches;
    bool ok = run_launches(rt, entry, err);
    rt->v->recorded(rt->device);
    for (uint32_t k = 0; k < n; k++)
        e->launched[k] = (uint32_t)rt->times[k].launches - e->launched[k];
    return ok;
}

/* Early, but when what the device does for the first time is done. */
enum { TIMED_CALL = 2 };

/* The first call with its extents runs as it is; the second is recorded, and from then on it is one. */
static bool run_entry(Runtime *rt, uint32_t entry, Err *err)
{
    Entry *e = &rt->entries[entry];
    bool looked_at = rt->watch || rt->before || e->calls++ == TIMED_CALL;
    rt->timing = looked_at || !rt->v->queued;
    if (!e->fixed || looked_at)
        return run_launches(rt, entry, err);
    if (e->ran && rt->v->replay(rt->device, entry)) {
        for (uint32_t k = 0; k < rt->plan->nkernels; k++)
            rt->times[k].launches += e->launched[k];
        return true;
    }
    bool ok = e->ran ? record_launches(rt, entry, err) : run_launches(rt, entry, err);
    e->ran = true;
    return ok;
}

bool rt_run(Runtime *rt, uint32_t entry, const RtCall *call, Err *err)
{
    ASSERT(entry < rt->plan->nentries);
    if (!bind_extents(rt, call, err) || !bind_inputs(rt, entry, call, err) ||
        !bind_block(rt, call, err))
        return false;
    return run_entry(rt, entry, err) && rt->v->sync(rt->device, err);
}

/* ---- measuring ---- */

static bool run_times(Runtime *rt, uint32_t entry, uint32_t times, Err *err)
{
    bool ok = true;
    rt->timing = false;
    for (uint32_t i = 0; ok && i < times; i++)
        ok = run_launches(rt, entry, err);
    return ok;
}

/* What rt_repeat does is kept under numbers of its own. */
static bool keep_times(Runtime *rt, uint32_t entry, uint32_t times, Err *err)
{
    Entry *e = &rt->entries[entry];
    const uint32_t number = rt->plan->nentries + entry;
    if (!e->fixed || e->kept == times)
        return true;
    if (e->kept)
        forget_launches(rt);
    if (!rt->v->record(rt->device, number, plan_text(rt->plan, rt->plan->entries[entry].name)))
        return true;
    bool ok = run_times(rt, entry, times, err);
    rt->v->recorded(rt->device);
    e->kept = ok ? times : 0;
    return ok;
}

static bool clock_from(Runtime *rt, int64_t *from, Err *err)
{
    if (rt->v->clock_from)
        return rt->v->clock_from(rt->device, err);
    *from = now_ns();
    return true;
}

static bool clock_passed(Runtime *rt, int64_t from, double *seconds, Err *err)
{
    if (rt->v->clock_passed)
        return rt->v->clock_passed(rt->device, seconds, err);
    if (!rt->v->sync(rt->device, err))
        return false;
    *seconds = (double)(now_ns() - from) * 1e-9;
    return true;
}

bool rt_repeat(Runtime *rt, uint32_t entry, uint32_t times, double *seconds, Err *err)
{
    ASSERT(entry < rt->plan->nentries && rt->have_syms);
    int64_t from = 0;
    if (!keep_times(rt, entry, times, err) || !rt->v->sync(rt->device, err) ||
        !clock_from(rt, &from, err))
        return false;
    const Entry *e = &rt->entries[entry];
    bool ok = (e->kept == times && rt->v->replay(rt->device, rt->plan->nentries + entry)) ||
              run_times(rt, entry, times, err);
    return ok && clock_passed(rt, from, seconds, err);
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

const RtKernelTime *rt_kernel_times(const Runtime *rt)
{
    return rt->times;
}
