/* lockstep.c: runs an entry and compares after every launch.
 *
 * Results are compared with what the interpreter makes of the launch's own inputs, so an error is found
 * where it arises, and does not grow on the way. A launch may write over what it reads: inputs are copied
 * before. What is too large for the interpreter is compared in blocks. A launch in a loop is compared in
 * its first round, its second, its fourth ..: errors that need a round of their own are there by then, and a
 * long loop does not take forever. Of a table of tensors all are compared: its group has the extents of the
 * first, and works element by element, so that of a larger one the last elements are taken, and a smaller
 * one is taken again and again. */
#include "lockstep.h"
#include <math.h>

/* The interpreter takes about a second for so much. */
#define WORK_LIMIT 2e8
/* Elements of inputs, which are copied as f64. */
#define COPY_LIMIT 5e7

struct Lockstep {
    LockstepSpec spec;
    Arena *arena;   /* of all */
    Arena *scratch; /* of the launch at hand */
    uint32_t entry;
    const Node **group;     /* by step: what it launches; NULL: begin or end of a loop */
    uint32_t *runs;         /* by step */
    uint32_t nset;          /* of the launch at hand; 0: it is not compared */
    LaunchTensors *tensors; /* by set */
    Value ***in;            /* by set: what it reads */
    LockstepCounts counts;
    Fault fault;
    bool found;
};

/* ---- steps ---- */

static uint32_t list_steps(const MemPlan *m, const Node **group)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < m->order.n; i++) {
        const Node *node = m->order.at[i];
        if (op_info(node->op)->cls == OC_LOOP)
            n += 2 + list_steps(m->body[node->id], group ? group + n + 1 : NULL);
        else if (group)
            group[n++] = node;
        else
            n++;
    }
    return n;
}

/* ---- values ---- */

/* What the caller gave, or NULL. */
static const void *given(const Lockstep *l, uint32_t tensor)
{
    const Plan *p = rt_plan(l->spec.rt);
    const PlanEntry *e = &p->entries[l->entry];
    const void *data = NULL;
    for (uint32_t i = 0; i < e->ninput && l->spec.call->inputs; i++)
        if (p->bindings[e->input0 + i].tensor == tensor)
            data = l->spec.call->inputs[i];
    return data;
}

/* NaNs where the device does not say it any more: it has failed, which the run reports. */
static Value *value_of(const Lockstep *l, uint32_t tensor, const Type *type)
{
    Value *v = value_new(l->scratch, type, l->spec.sym_values);
    RtLoan loan = {.data = (void *)(uintptr_t)given(l, tensor)};
    Err ignored = {0};
    bool lent = !loan.data;
    if (lent && !rt_lend_tensor(l->spec.rt, l->entry, tensor, &loan, &ignored)) {
        for (int64_t i = 0; i < v->count; i++)
            v->at[i] = (double)NAN;
        return v;
    }
    int64_t n = (int64_t)(loan.bytes / dtype_info(type->dtype)->bytes);
    int64_t from = n > v->count ? n - v->count : 0;
    for (int64_t i = 0; i < v->count; i++)
        v->at[i] =
            dtype_load(type->dtype, loan.data, (size_t)(n && n < v->count ? i % n : from + i));
    if (lent)
        rt_return(l->spec.rt, &loan, &ignored);
    return v;
}

static double slot_value(void *user, const char *name)
{
    const RtCall *call = user;
    const struct {
        const char *name;
        double value;
    } slots[] = {{"step", (double)call->step}, {"lr", call->lr},
                 {"first", call->first},       {"seed", (double)call->seed},
                 {"len", (double)call->past},  {"progress", call->progress}};
    for (size_t i = 0; i < COUNT(slots); i++)
        if (strcmp(slots[i].name, name) == 0)
            return slots[i].value;
    return 0;
}

static double elements_of(const Graph *g)
{
    double n = 0;
    for (uint32_t k = 0; k < g->inputs.n; k++)
        n += (double)dim_hi(g->ir, type_count(g->ir, g->inputs.at[k]->type));
    for (uint32_t k = 0; k < g->results.n; k++)
        n += (double)dim_hi(g->ir, type_count(g->ir, g->results.at[k].node->type));
    return n;
}

/* ---- before and after a launch ---- */

static bool look_at_set(Lockstep *l, const LaunchOf *launch, double *copied)
{
    const Graph *body = node_def(launch->group)->body;
    LaunchTensors *t = &l->tensors[launch->set];
    *copied += elements_of(body);
    if (!bisect_tensors(l->scratch, launch, t) || *copied > COPY_LIMIT)
        return false;
    ASSERT(t->in.n == body->inputs.n);
    Value **in = NEW_ARRAY(l->scratch, Value *, body->inputs.n + 1);
    for (uint32_t k = 0; k < body->inputs.n; k++)
        in[k] = value_of(l, t->in.at[k], body->inputs.at[k]->type);
    l->in[launch->set] = in;
    return true;
}

static void before_launch(void *user, uint32_t entry, uint32_t s)
{
    Lockstep *l = user;
    const Plan *p = rt_plan(l->spec.rt);
    uint32_t times = ++l->runs[s];
    l->nset = 0;
    if (l->found || (times & (times - 1)) != 0)
        return;
    arena_reset(l->scratch);
    LaunchOf launch = {p, &p->steps[p->entries[entry].step0 + s], l->group[s], 0};
    LaunchTensors first;
    double copied = 0;
    if (!launch.group || !bisect_tensors(l->scratch, &launch, &first)) {
        l->counts.foreign++;
        return;
    }
    l->tensors = NEW_ARRAY(l->scratch, LaunchTensors, first.nset);
    l->in = NEW_ARRAY(l->scratch, Value **, first.nset);
    for (; launch.set < first.nset && look_at_set(l, &launch, &copied); launch.set++)
        l->nset++;
    l->counts.large += l->nset == 0;
}

static Comparison comparison(const Lockstep *l, const Graph *body, Value *const *got)
{
    Comparison c = {.body = body, .in = l->fault.in, .got = got};
    c.run.sym_values = l->spec.sym_values;
    c.run.slot = slot_value;
    c.run.user = (void *)(uintptr_t)l->spec.call; /* only read */
    return c;
}

/* False: it is too much even so. */
static bool compare_block(Lockstep *l, const Block *b)
{
    const Graph *body = bisect_block_body(l->scratch, node_def(l->fault.group)->body, b);
    if (bisect_work(body) > WORK_LIMIT)
        return false;
    const Value *whole = l->fault.got[b->result];
    Value *got = bisect_block_value(l->scratch, whole, b);
    Comparison c = comparison(l, body, &got);
    Value **want = bisect_want(l->scratch, &c);
    Difference d;
    if (bisect_agrees(l->scratch, &c, want, &d))
        return true;
    d.element = bisect_block_element(whole, b, d.element);
    d.result = b->result;
    l->found = true;
    l->fault.difference = d;
    l->fault.in_block = true;
    return true;
}

/* False: nothing of it could be. */
static bool compare_blocks(Lockstep *l)
{
    const Graph *body = node_def(l->fault.group)->body;
    bool any = false;
    for (uint32_t r = 0; r < body->results.n; r++)
        for (uint32_t i = 0; i < BLOCKS && !l->found; i++) {
            Block b = bisect_block(body->results.at[r].node->type, r, i);
            any = compare_block(l, &b) || any;
        }
    return any;
}

static void compare_whole(Lockstep *l)
{
    Comparison c = comparison(l, node_def(l->fault.group)->body, l->fault.got);
    l->fault.want = bisect_want(l->scratch, &c);
    l->found = !bisect_agrees(l->scratch, &c, l->fault.want, &l->fault.difference);
}

/* What the set should be and is; nothing is wrong yet. */
static void take_results(Lockstep *l, uint32_t launch, uint32_t set)
{
    const Graph *body = node_def(l->group[launch])->body;
    Value **got = NEW_ARRAY(l->scratch, Value *, body->results.n + 1);
    for (uint32_t k = 0; k < body->results.n; k++)
        got[k] = value_of(l, l->tensors[set].out.at[k], body->results.at[k].node->type);
    l->fault = (Fault){launch, l->group[launch], set, l->in[set], got, NULL, false, {0}};
}

static void after_launch(void *user, uint32_t entry, uint32_t s)
{
    Lockstep *l = user;
    bool whole = false, blocks = false;
    UNUSED(entry);
    for (uint32_t set = 0; set < l->nset && !l->found; set++) {
        take_results(l, s, set);
        if (bisect_work(node_def(l->group[s])->body) <= WORK_LIMIT) {
            compare_whole(l);
            whole = true;
        } else {
            blocks = compare_blocks(l) || blocks;
        }
    }
    l->counts.compared += whole;
    l->counts.in_blocks += blocks;
    l->counts.large += l->nset && !whole && !blocks;
    l->nset = 0;
}

/* ---- running ---- */

Lockstep *lockstep_run(const LockstepSpec *spec, const char *entry, const Fault **fault, Err *err)
{
    Arena *arena = arena_new();
    Lockstep *l = NEW(arena, Lockstep);
    *l = (Lockstep){.spec = *spec, .arena = arena, .scratch = arena_new()};
    const Plan *p = rt_plan(spec->rt);
    l->entry = plan_find_entry(p, entry);
    ASSERT(l->entry != PLAN_NONE);
    uint32_t n = list_steps(spec->m, NULL);
    ASSERT(n == p->entries[l->entry].nstep);
    l->group = NEW_ARRAY(arena, const Node *, n + 1);
    l->runs = NEW_ARRAY(arena, uint32_t, n + 1);
    list_steps(spec->m, l->group);
    rt_watch_before(spec->rt, before_launch, l);
    rt_watch(spec->rt, after_launch, l);
    bool ok = rt_run(spec->rt, l->entry, spec->call, err);
    rt_watch(spec->rt, NULL, NULL);
    rt_watch_before(spec->rt, NULL, NULL);
    *fault = l->found ? &l->fault : NULL;
    if (ok)
        return l;
    lockstep_free(l);
    return NULL;
}

LockstepCounts lockstep_counts(const Lockstep *l)
{
    return l->counts;
}

void lockstep_free(Lockstep *l)
{
    if (!l)
        return;
    arena_free(l->scratch);
    arena_free(l->arena);
}
