/* execute.c: runs an entry for `mdl call` and `mdl grad`.
 *
 * The reference takes its parameters from a plan that has states only, so both ways start from the
 * same numbers; it needs neither kernels nor a C compiler. Weights that are F64 in the file keep
 * their precision there. */
#include "execute.h"

#define SEED_BITS ((INT64_C(1) << 53) - 1) /* what the slot holds, and f64 */

Want want_of(const char *name, const Type *type)
{
    Want w = {.name = name, .dtype = type->dtype, .rank = type->rank};
    for (uint32_t k = 0; k < type->rank; k++)
        if (!dim_is_const(type->dims[k], &w.dim[k]))
            BUG("%s has extents that are not constant", name);
    return w;
}

static int64_t count_of(const Type *type)
{
    int64_t n = 1;
    const Want w = want_of("a value", type);
    for (uint32_t k = 0; k < w.rank; k++)
        n *= w.dim[k];
    return n;
}

static double *load_typed(Arena *arena, DType dtype, const void *data, int64_t n)
{
    double *out = NEW_ARRAY(arena, double, n + 1);
    for (int64_t i = 0; i < n; i++)
        out[i] = dtype_load(dtype, data, (size_t)i);
    return out;
}

static double *load_all(Arena *arena, const Type *type, const void *data)
{
    return load_typed(arena, type->dtype, data, count_of(type));
}

static bool set_parameters(const Cli *cli, Runtime *rt, uint64_t seed, Err *err)
{
    const char *weights = cli->value[OPT_weights];
    return weights ? rt_init_from(rt, seed, weights, err) : rt_init(rt, seed, err);
}

/* ---- compiled ---- */

static int64_t passes_of(const Execution *x)
{
    return x->passes > 1 ? x->passes : 1;
}

static bool bind_arguments(Cli *cli, const Plan *plan, const Execution *x, const void **inputs,
                           Err *err)
{
    const PlanEntry *entry = &plan->entries[x->entry];
    for (uint32_t i = 0; i < entry->ninput; i++) {
        const PlanBinding *b = &plan->bindings[entry->input0 + i];
        const PlanTensor *t = &plan->tensors[b->tensor];
        Want w = {.name = plan_text(plan, b->name), .dtype = (DType)t->dtype, .rank = t->rank};
        for (uint32_t k = 0; k < t->rank; k++)
            w.dim[k] = plan_dim_hi(plan, t->dim[k]) * (k ? 1 : passes_of(x));
        const StTensor *have = tensor_find(cli, x->args, &w, err);
        inputs[i] = have ? tensor_convert(cli->arena, have, w.dtype, err) : NULL;
        if (!inputs[i])
            return false;
    }
    return true;
}

/* Of a state, as f64; NULL: *err. */
static double *load_state(Cli *cli, const Type *type, Runtime *rt, uint32_t state, Err *err)
{
    RtLoan at;
    if (!rt_lend_state(rt, state, RT_READ, &at, err))
        return NULL;
    double *out = load_all(cli->arena, type, at.data);
    return rt_return(rt, &at, err) ? out : NULL;
}

static bool take_values(Cli *cli, const Program *p, Runtime *rt, Execution *x, Err *err)
{
    const Graph *g = p->entries.at[x->entry];
    for (uint32_t i = 0; i < g->results.n; i++) {
        const Type *type = g->results.at[i].node->type;
        RtLoan at;
        if (!rt_lend_result(rt, x->entry, i, &at, err))
            return false;
        size_t bytes = (size_t)count_of(type) * dtype_info(type->dtype)->bytes;
        x->results[i] = load_all(cli->arena, type, at.data);
        x->typed[i] = bytes ? arena_memdup(cli->arena, at.data, bytes) : "";
        if (!rt_return(rt, &at, err))
            return false;
    }
    for (uint32_t i = 0; i < p->states.n; i++) {
        x->states[i] = load_state(cli, p->states.at[i]->type, rt, i, err);
        if (!x->states[i])
            return false;
    }
    return true;
}

/* The arguments of all passes, as the entry that they were bound for has them. */
typedef struct Passes {
    Runtime *rt;
    const Execution *x;
    const void *const *all;
    RtCall call;
} Passes;

/* One pass of an entry, whose inputs have names of the entry that the arguments were bound for. */
static bool run_pass(Cli *cli, const Passes *p, uint32_t entry, int64_t pass, Err *err)
{
    const Plan *plan = rt_plan(p->rt);
    const PlanEntry *e = &plan->entries[entry], *bound = &plan->entries[p->x->entry];
    const void **inputs = NEW_ARRAY(cli->arena, const void *, e->ninput + (size_t)1);
    RtCall call = p->call;
    for (uint32_t i = 0; i < e->ninput; i++) {
        const PlanBinding *b = &plan->bindings[e->input0 + i];
        for (uint32_t k = 0; k < bound->ninput; k++) {
            const PlanBinding *have = &plan->bindings[bound->input0 + k];
            const PlanTensor *t = &plan->tensors[have->tensor];
            if (b->name != have->name)
                continue;
            size_t bytes = dtype_info((DType)t->dtype)->bytes;
            for (uint32_t d = 0; d < t->rank; d++)
                bytes *= (size_t)plan_dim_hi(plan, t->dim[d]);
            inputs[i] = (const char *)p->all[k] + (size_t)pass * bytes;
            call.row0 = t->rank ? pass * plan_dim_hi(plan, t->dim[0]) : 0;
        }
        if (!inputs[i])
            BUG("input %s of one entry is none of another", plan_text(plan, b->name));
    }
    call.inputs = inputs;
    call.first = pass == 0;
    return rt_run(p->rt, entry, &call, err);
}

static bool run_passes(Cli *cli, const Passes *p, Err *err)
{
    const Execution *x = p->x;
    for (int w = x->weighs ? 0 : 1; w < 2; w++)
        for (int64_t pass = 0; pass < passes_of(x); pass++)
            if (!run_pass(cli, p, w ? x->entry : x->weigh, pass, err))
                return false;
    return true;
}

static bool run_compiled(Cli *cli, const Program *p, Runtime *rt, Execution *x, Err *err)
{
    const Plan *plan = rt_plan(rt);
    const PlanEntry *entry = &plan->entries[x->entry];
    const void **inputs = NEW_ARRAY(cli->arena, const void *, entry->ninput + (size_t)1);
    int64_t *syms = NEW_ARRAY(cli->arena, int64_t, plan->nsyms + (size_t)1);
    for (uint32_t i = 0; i < plan->nsyms; i++)
        syms[i] = plan->syms[i].hi;
    RtCall call = {.syms = syms, .step = 1, .seed = cli->seed < 0 ? 0 : cli->seed & SEED_BITS};
    Passes passes = {.rt = rt, .x = x, .all = inputs, .call = call};
    return bind_arguments(cli, plan, x, inputs, err) && run_passes(cli, &passes, err) &&
           take_values(cli, p, rt, x, err);
}

/* ---- interpreted ---- */

/* The numbers of the file where a runtime would hold them rounded. False: ERR_DATA, or it has none. */
static void keep_precision(Cli *cli, const StFile *file, const State *s, Value *v)
{
    const StTensor *t = s->key ? st_find(file, s->key) : NULL;
    DKind kind;
    if (t && dtype_is_float(s->type->dtype) && st_kind(t, &kind) && kind == DK_FLOAT &&
        st_count(t) == (size_t)v->count)
        memcpy(v->at, tensor_values(cli->arena, t, NULL), (size_t)v->count * sizeof(double));
}

static bool state_values(Cli *cli, const Program *p, Runtime *rt, Value **states, Err *err)
{
    StFile *file = NULL;
    bool exact = cli_has(cli, OPT_weights) && !cli_has(cli, OPT_bits);
    if (exact && !(file = st_open_weights(cli->value[OPT_weights], err)))
        return false;
    bool ok = true;
    for (uint32_t i = 0; ok && i < p->states.n; i++) {
        const State *s = p->states.at[i];
        states[i] = value_new(cli->arena, s->type, NULL);
        const double *values = load_state(cli, s->type, rt, i, err);
        ok = values != NULL;
        if (ok)
            memcpy(states[i]->at, values, (size_t)states[i]->count * sizeof(double));
        if (ok && file)
            keep_precision(cli, file, s, states[i]);
    }
    st_close(file);
    return ok;
}

typedef struct Slots {
    const Cli *cli;
    int64_t pass, row0;
} Slots;

static double slot_value(void *user, const char *name)
{
    const Slots *s = user;
    if (strcmp(name, "seed") == 0)
        return s->cli->seed < 0 ? 0 : (double)(s->cli->seed & SEED_BITS);
    if (strcmp(name, "row0") == 0)
        return (double)s->row0;
    return strcmp(name, "step") == 0 || (strcmp(name, "first") == 0 && s->pass == 0) ? 1 : 0;
}

/* The part of pass p. Whole numbers have to fit the argument's type; floats keep the precision of the file in f64. */
static bool argument_value(Cli *cli, const StTensor *t, int64_t pass, Value *out, Err *err)
{
    DType dtype = out->type->dtype;
    bool as_typed = cli_has(cli, OPT_bits) || !dtype_is_float(dtype);
    const void *typed = as_typed ? tensor_convert(cli->arena, t, dtype, err) : NULL;
    if (as_typed && !typed)
        return false;
    const double *values = tensor_values(cli->arena, t, err);
    if (values && as_typed && dtype_is_float(dtype))
        values = load_typed(cli->arena, dtype, typed, (int64_t)st_count(t));
    if (values)
        memcpy(out->at, values + pass * out->count, (size_t)out->count * sizeof(double));
    return values != NULL;
}

/* One pass of a graph on states, which are what it writes from then on. */
typedef struct GraphPass {
    const Graph *g;
    Execution *x;
    Value **states;
    int64_t number;
} GraphPass;

static bool argument_values(Cli *cli, const GraphPass *p, Value **inputs, Err *err)
{
    const Graph *g = p->g;
    const Execution *x = p->x;
    for (uint32_t i = 0; i < g->inputs.n; i++) {
        const Node *n = g->inputs.at[i];
        Want w = want_of(node_sym(n, "name"), n->type);
        w.dim[0] *= w.rank ? passes_of(x) : 1;
        const StTensor *t = tensor_find(cli, x->args, &w, err);
        inputs[i] = value_new(cli->arena, n->type, NULL);
        if (!t || !argument_value(cli, t, p->number, inputs[i], err))
            return x->args_name ? err_context(err, "%s", x->args_name) : false;
    }
    return true;
}

static bool interpret_pass(Cli *cli, const GraphPass *p, Err *err)
{
    const Graph *g = p->g;
    Execution *x = p->x;
    Value **inputs = NEW_ARRAY(cli->arena, Value *, g->inputs.n + (size_t)1);
    Value **results = NEW_ARRAY(cli->arena, Value *, g->results.n + (size_t)1);
    Value **writes = NEW_ARRAY(cli->arena, Value *, g->writes.n + (size_t)1);
    if (!argument_values(cli, p, inputs, err))
        return false;
    Slots slots = {cli, p->number, 0};
    if (g->inputs.n && inputs[0]->rank)
        slots.row0 = p->number * inputs[0]->dim[0];
    InterpBinding b = {.sym_values = NEW_ARRAY(cli->arena, int64_t, dim_sym_count(g->ir) + 1),
                       .inputs = inputs,
                       .states = p->states,
                       .bits = cli_has(cli, OPT_bits),
                       .slot = slot_value,
                       .user = &slots};
    interp_run(g, cli->arena, &b, results, writes);
    for (uint32_t i = 0; i < g->results.n && x->results; i++)
        x->results[i] = results[i]->at;
    for (uint32_t i = 0; i < g->writes.n; i++) {
        p->states[g->writes.at[i].state] = writes[i];
        x->states[g->writes.at[i].state] = writes[i]->at;
    }
    return true;
}

static bool interpret(Cli *cli, Compile *c, Runtime *rt, Execution *x, Err *err)
{
    const Program *p = compile_program(c);
    Value **states = NEW_ARRAY(cli->arena, Value *, p->states.n + (size_t)1);
    double **kept = x->results;
    if (!state_values(cli, p, rt, states, err))
        return false;
    for (int w = x->weighs ? 0 : 1; w < 2; w++) {
        const Graph *g = compile_graph(c, w ? x->entry : x->weigh, x->after, err);
        x->results = w ? kept : NULL; /* of the entry alone */
        GraphPass pass = {.g = g, .x = x, .states = states};
        for (; g && pass.number < passes_of(x); pass.number++)
            if (!interpret_pass(cli, &pass, err))
                return false;
        if (!g)
            return false;
    }
    return true;
}

/* ---- either ---- */

bool execute(Cli *cli, Compile *c, Execution *x, uint64_t seed, Err *err)
{
    const Program *p = compile_program(c);
    bool reference = cli_has(cli, OPT_reference) || cli_has(cli, OPT_bits);
    Bytes bytes;
    size_t nresult = p->entries.at[x->entry]->results.n;
    x->results = NEW_ARRAY(cli->arena, double *, nresult + 1);
    x->typed = NEW_ARRAY(cli->arena, const void *, nresult + 1);
    x->states = NEW_ARRAY(cli->arena, double *, p->states.n + (size_t)1);
    if (!(reference ? compile_states(c, &bytes, err) : compile_plan(c, &bytes, err)))
        return false;
    if (compile_program(c) != p) {
        err_set(err, ERR_DEVICE, "kernels need so much workspace that the batch is cut once more");
        return err_help(err, "say how many rows a pass takes: --set train.micro=N");
    }
    Plan *plan = plan_from_bytes(bytes.data, bytes.n, err);
    Runtime *rt = plan ? open_runtime(cli, plan, err) : NULL;
    bool ok = rt && set_parameters(cli, rt, seed, err);
    if (ok)
        ok = reference ? interpret(cli, c, rt, x, err) : run_compiled(cli, p, rt, x, err);
    rt_close(rt);
    plan_free(plan);
    return ok;
}
