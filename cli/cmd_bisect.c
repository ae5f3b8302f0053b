/* cmd_bisect.c: `mdl bisect`: which kernel is the first to compute something else than it should.
 *
 * A stage's `micro` and `update` run as they are planned. After every launch its results are compared
 * with what the interpreter makes of the same inputs, so an error is found where it arises, and does
 * not grow on the way. A launch may write over what it reads: inputs are copied before. */
#include "bisect.h"
#include "execute.h"

/* The interpreter takes about a second for so much. */
#define WORK_LIMIT 2e8

typedef struct Bisect {
    Cli *cli;
    Compile *c;
    Runtime *rt;
    const RtCall *call;
    const int64_t *sym_values; /* by DimSym */
    uint32_t entry;
    const MemPlan *m;
    Arena *arena; /* of the launch that comes next */
    LaunchTensors tensors;
    bool known; /* ... and whether it can be compared */
    Value **in; /* what it reads */
    uint32_t compared, large, foreign;
    bool found;
    uint32_t launch; /* where it was found */
    Difference difference;
    const char *dir; /* for the repro */
    Err err;
} Bisect;

/* ---- values ---- */

static const void *address(const Bisect *b, uint32_t tensor, size_t *n)
{
    const Plan *p = rt_plan(b->rt);
    const PlanEntry *e = &p->entries[b->entry];
    for (uint32_t i = 0; i < e->ninput && b->call->inputs; i++)
        if (p->bindings[e->input0 + i].tensor == tensor) {
            *n = 0;
            return b->call->inputs[i];
        }
    return rt_tensor(b->rt, b->entry, tensor, n);
}

static Value *value_of(const Bisect *b, uint32_t tensor, const Type *type)
{
    size_t n;
    const void *data = address(b, tensor, &n);
    Value *v = value_new(b->arena, type, b->sym_values);
    for (int64_t i = 0; i < v->count; i++)
        v->at[i] = dtype_load(type->dtype, data, (size_t)i);
    return v;
}

static const Type *result_type(const Node *group, uint32_t i)
{
    return group->type->is_tuple ? group->type->elems[i] : group->type;
}

/* Copies what launch number s reads. */
static void look_before(Bisect *b, uint32_t s)
{
    const Plan *p = rt_plan(b->rt);
    const PlanEntry *e = &p->entries[b->entry];
    arena_reset(b->arena);
    b->known = false;
    ASSERT(b->m);
    if (s >= e->nstep || s >= b->m->order.n)
        return;
    ASSERT(b->m->order.at);
    const Node *group = b->m->order.at[s];
    if (!bisect_tensors(b->arena, p, &p->steps[e->step0 + s], group, &b->tensors)) {
        b->foreign++;
        return;
    }
    if (bisect_work(group) > WORK_LIMIT) {
        b->large++;
        return;
    }
    const Graph *body = node_def(group)->body;
    ASSERT(b->tensors.in.n == body->inputs.n);
    b->in = NEW_ARRAY(b->arena, Value *, body->inputs.n + 1);
    for (uint32_t k = 0; k < body->inputs.n; k++)
        b->in[k] = value_of(b, b->tensors.in.at[k], body->inputs.at[k]->type);
    b->known = true;
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

/* ---- the repro ---- */

static void push(Arena *arena, Tensors *out, const char *name, const Value *v)
{
    Want w = {.name = name, .dtype = DT_F64, .rank = v->rank};
    memcpy(w.dim, v->dim, v->rank * sizeof *v->dim);
    tensor_push(arena, out, &w, v->at);
}

static const char *kernel_source(const Bisect *b, uint32_t s)
{
    const Plan *p = rt_plan(b->rt);
    const PlanStep *step = &p->steps[p->entries[b->entry].step0 + s];
    return plan_text(p, p->kernels[step->kernel].source);
}

static const char *kernel_name(const Bisect *b, uint32_t s)
{
    const Plan *p = rt_plan(b->rt);
    const PlanStep *step = &p->steps[p->entries[b->entry].step0 + s];
    return plan_text(p, p->kernels[step->kernel].name);
}

static bool write_text(const char *path, const char *text, Err *err)
{
    return file_write_atomic(path, text, strlen(text), err);
}

/* kernel.c, group.txt, tensors.safetensors: what ran, what it should compute, on what. */
static bool write_repro(Bisect *b, uint32_t s, Value *const *got, Value *const *want)
{
    Arena *arena = b->arena;
    const Node *group = b->m->order.at[s];
    const Graph *body = node_def(group)->body;
    Tensors all = {0};
    for (uint32_t k = 0; k < body->inputs.n; k++)
        push(arena, &all, arena_printf(arena, "in.%u", k), b->in[k]);
    for (uint32_t k = 0; k < body->results.n; k++) {
        push(arena, &all, arena_printf(arena, "got.%u", k), got[k]);
        push(arena, &all, arena_printf(arena, "want.%u", k), want[k]);
    }
    StrBuf group_text = sb_new(arena), notes = sb_new(arena);
    def_print(node_def(group), &group_text);
    sb_printf(&notes,
              "%s, launch %u of %s\nresult %u, element %lld: %.17g instead of %.17g, bound %g\n\n"
              "kernel.c             the C text; runtime/prelude/c/mdl.h is what it includes\n"
              "group.txt            what it should compute\n"
              "tensors.safetensors  in.N: what it read; got.N, want.N: results, in f64\n",
              kernel_name(b, s), s, b->m->graph->name, b->difference.result,
              (long long)b->difference.element, b->difference.got, b->difference.want,
              b->difference.bound);
    return file_mkdirs(b->dir, &b->err) &&
           write_text(path_join(arena, b->dir, "kernel.c"), kernel_source(b, s), &b->err) &&
           write_text(path_join(arena, b->dir, "group.txt"), sb_text(&group_text), &b->err) &&
           write_text(path_join(arena, b->dir, "README.txt"), sb_text(&notes), &b->err) &&
           st_write(path_join(arena, b->dir, "tensors.safetensors"), all.all.at, all.all.n, NULL,
                    &b->err);
}

/* ---- running ---- */

static void after_launch(void *user, uint32_t entry, uint32_t s)
{
    Bisect *b = user;
    UNUSED(entry);
    if (b->found)
        return;
    const Node *group = b->known ? b->m->order.at[s] : NULL;
    if (group) {
        const Graph *body = node_def(group)->body;
        Value **got = NEW_ARRAY(b->arena, Value *, body->results.n + 1);
        for (uint32_t k = 0; k < body->results.n; k++)
            got[k] = value_of(b, b->tensors.out.at[k], result_type(group, k));
        Comparison c = {group, b->in, got, {.sym_values = b->sym_values}};
        c.run.slot = slot_value;
        c.run.user = (void *)(uintptr_t)b->call; /* only read */
        Value **want = bisect_want(b->arena, &c);
        b->compared++;
        b->found = !bisect_agrees(b->arena, &c, want, &b->difference);
        b->launch = s;
        if (b->found) {
            write_repro(b, s, got, want);
            return;
        }
    }
    look_before(b, s + 1);
}

static bool run_entry(Bisect *b, const char *name, RtCall *call, Err *err)
{
    const Program *p = compile_program(b->c);
    b->entry = plan_find_entry(rt_plan(b->rt), name);
    for (uint32_t i = 0; i < p->entries.n; i++)
        if (strcmp(p->entries.at[i]->name, name) == 0)
            b->m = compile_memplan(b->c, i);
    if (b->entry == PLAN_NONE)
        return true;
    b->call = call;
    b->compared = b->large = b->foreign = 0;
    report_progress(b->cli, name);
    look_before(b, 0);
    rt_watch(b->rt, after_launch, b);
    bool ok = rt_run(b->rt, b->entry, call, err);
    rt_watch(b->rt, NULL, NULL);
    report_progress(b->cli, "");
    if (!ok)
        return false;
    printf("%s: %u kernels compared", name, b->compared);
    if (b->large)
        printf(", %u too large to be interpreted", b->large);
    if (b->foreign)
        printf(", %u of other kinds", b->foreign);
    putchar('\n');
    return true;
}

/* ---- the batch ---- */

/* Numbers where no batch is given: floats in -1 .. 1, 0 and 1 for whole numbers. */
static void *made_up(Cli *cli, const Want *w)
{
    int64_t n = 1;
    uint64_t state = hash_text(w->name);
    for (uint32_t k = 0; k < w->rank; k++)
        n *= w->dim[k];
    char *data = arena_alloc(cli->arena, (size_t)n * dtype_info(w->dtype)->bytes + 1);
    for (int64_t i = 0; i < n; i++) {
        state = hash_mix(state, 1);
        double x = (double)(state >> 11) / (double)(UINT64_C(1) << 52) - 1;
        dtype_store(w->dtype, data, (size_t)i, dtype_is_float(w->dtype) ? x : (double)(state & 1));
    }
    return data;
}

static bool bind_batch(Cli *cli, const Plan *plan, const StFile *batch, const void **inputs,
                       Err *err)
{
    const PlanEntry *e = &plan->entries[plan_find_entry(plan, "micro")];
    for (uint32_t i = 0; i < e->ninput; i++) {
        const PlanBinding *bind = &plan->bindings[e->input0 + i];
        const PlanTensor *t = &plan->tensors[bind->tensor];
        Want w = {.name = plan_text(plan, bind->name), .dtype = (DType)t->dtype, .rank = t->rank};
        for (uint32_t k = 0; k < t->rank; k++)
            w.dim[k] = plan_dim_hi(plan, t->dim[k]);
        const StTensor *have = batch ? tensor_find(cli, batch, &w, err) : NULL;
        if (batch && !have)
            return false;
        inputs[i] = have ? tensor_convert(cli->arena, have, w.dtype, err) : made_up(cli, &w);
        if (!inputs[i])
            return false;
    }
    return true;
}

static bool run_both(Cli *cli, Bisect *b, const StFile *batch, Err *err)
{
    const Plan *plan = rt_plan(b->rt);
    const Ir *ir = compile_program(b->c)->ir;
    int64_t *sym_values = NEW_ARRAY(cli->arena, int64_t, dim_sym_count(ir) + 1);
    int64_t *syms = NEW_ARRAY(cli->arena, int64_t, plan->nsyms + (size_t)1);
    for (uint32_t i = 0; i < dim_sym_count(ir); i++)
        sym_values[i] = dim_sym_at(ir, i)->hi;
    for (uint32_t i = 0; i < plan->nsyms; i++)
        syms[i] = plan->syms[i].hi;
    b->sym_values = sym_values;
    const void **inputs =
        NEW_ARRAY(cli->arena, const void *, plan->bindings ? plan->nbindings + (size_t)1 : 1);
    RtCall call = {.inputs = inputs, .syms = syms, .step = 1, .lr = 1e-3, .first = true};
    const char *weights = cli->value[OPT_weights];
    if (!(weights ? rt_init_from(b->rt, 0, weights, err) : rt_init(b->rt, 0, err)) ||
        !bind_batch(cli, plan, batch, inputs, err) || !run_entry(b, "micro", &call, err))
        return false;
    call.inputs = NULL;
    return b->found || run_entry(b, "update", &call, err);
}

typedef struct BisectUse {
    const char *stage;
    const StFile *batch;
} BisectUse;

static bool bisect(Cli *cli, Compile *c, void *user, Err *err)
{
    const BisectUse *u = user;
    Bytes bytes;
    if (!compile_stage_count(c))
        return err_set(err, ERR_PROGRAM, "the program has no `train` block");
    if (!u->stage && compile_stage_count(c) > 1)
        return usage_error(err, "the file has several train blocks: name one after it");
    if (!compile_stage(c, u->stage, err) || !compile_plan(c, &bytes, err))
        return false;
    Plan *plan = plan_from_bytes(bytes.data, bytes.n, err);
    Bisect b = {.cli = cli, .c = c, .arena = arena_new(), .rt = NULL};
    b.dir = cli->value[OPT_out] ? cli->value[OPT_out] : "bisect";
    b.rt = plan ? open_runtime(cli, plan, err) : NULL;
    bool ok = b.rt && run_both(cli, &b, u->batch, err);
    if (ok && b.found) {
        printf(
            "%s, launch %u of %s: result %u, element %lld is %.9g instead of %.9g (bound %.2g)\n",
            kernel_name(&b, b.launch), b.launch, b.m->graph->name, b.difference.result,
            (long long)b.difference.element, b.difference.got, b.difference.want,
            b.difference.bound);
        ok = err_set(err, ERR_REQUIRE, "a kernel differs from the interpreter");
        if (b.err.kind == ERR_NONE)
            err_help(err, "%s has the kernel, what it should compute and what it read", b.dir);
        else
            err_help(err, "%s", b.err.text);
    }
    rt_close(b.rt);
    plan_free(plan);
    arena_free(b.arena);
    return ok;
}

bool cmd_bisect(Cli *cli, Err *err)
{
    const char *path = cli_file(cli, err), *batch = cli->value[OPT_batch];
    if (!path)
        return false;
    StFile *file = batch ? st_open(batch, err) : NULL;
    if (batch && !file)
        return false;
    BisectUse u = {cli->words.n ? cli->words.at[0] : NULL, file};
    bool ok = with_source(cli, &(ProgramUse){path, bisect, &u}, err);
    st_close(file);
    return ok;
}
