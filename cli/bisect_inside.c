/* bisect_inside.c: takes a wrong kernel apart.
 *
 * The body of its group is compiled again, on the inputs that the launch had: first with a kernel for each
 * operation, which shows an operation that is wrong by itself, whatever feeds it; then, fused as ever, up
 * to the first operation, up to the second .., which shows from where on they are put together wrongly.
 * Both are entries of plans like any other, run in lockstep with the interpreter. */
#include "bisect_inside.h"
#include "codegen.h"
#include "passes.h"

enum { MOST_PARTS = 64 };

typedef VEC(const Node *) Parts;

typedef struct Inside {
    const InsideSpec *spec;
    const Graph *body;
    Arena *arena;
    Target target;
    Parts parts; /* what each entry computes; NULL: all of the body */
} Inside;

static bool is_operation(const Node *n)
{
    OpClass cls = op_info(n->op)->cls;
    return cls != OC_LEAF && cls != OC_VIEW && cls != OC_TUPLE && !n->type->is_tuple;
}

/* The body, or what one of its nodes needs. */
static Graph *entry_of(const Inside *x, uint32_t k)
{
    const Node *part = x->parts.at[k];
    Graph *g = NEW(x->arena, Graph);
    *g = *x->body;
    g->name = sym_printf(g->ir->syms, "part%u", k);
    if (part) {
        memset(&g->results, 0, sizeof g->results);
        graph_result(g, sym(g->ir->syms, "part"), part);
    }
    return g;
}

static Bytes make_plan(const Inside *x, uint64_t skip, const MemPlan ***plans)
{
    Ir *ir = x->body->ir;
    Program *p = program_new(ir, sym(ir->syms, "inside"));
    const PassOptions opt = {.skip = skip, .limit = -1};
    *plans = NEW_ARRAY(x->arena, const MemPlan *, x->parts.n + 1);
    for (uint32_t k = 0; k < x->parts.n; k++)
        VEC_PUSH(x->arena, &p->entries, entry_of(x, k));
    PassCx *cx = passes_begin(ir, x->arena, p, &x->target);
    for (uint32_t k = 0; k < x->parts.n; k++) {
        const Graph *g = passes_run(cx, p->entries.at[k], &opt);
        if (!g)
            BUG("bisect: a part of a kernel cannot be compiled");
        (*plans)[k] = memplan_build(cx, g);
    }
    PlanBuilder *b = planb_new(x->arena);
    MkPlan mk = {.program = p,
                 .plans = *plans,
                 .nentry = x->parts.n,
                 .targets = &x->target,
                 .ntarget = 1,
                 .source_path = "inside"};
    codegen_plan(b, &mk);
    return planb_finish(b);
}

static const void **typed_inputs(const Inside *x)
{
    const Graph *g = x->body;
    const void **inputs = NEW_ARRAY(x->arena, const void *, g->inputs.n + 1);
    for (uint32_t k = 0; k < g->inputs.n; k++) {
        const Value *v = x->spec->fault->in[k];
        DType dt = g->inputs.at[k]->type->dtype;
        char *data = arena_alloc(x->arena, (size_t)v->count * dtype_info(dt)->bytes + 1);
        for (int64_t i = 0; i < v->count; i++)
            dtype_store(dt, data, (size_t)i, v->at[i]);
        inputs[k] = data;
    }
    return inputs;
}

/* *node: of the first part that differs: what it computes, or where `alone` the operation of the launch. */
static bool run_parts(const Inside *x, Runtime *rt, const MemPlan *const *plans, const Node **node,
                      Err *err)
{
    const Plan *p = rt_plan(rt);
    int64_t *syms = NEW_ARRAY(x->arena, int64_t, p->nsyms + (size_t)1);
    for (uint32_t i = 0; i < p->nsyms; i++)
        syms[i] = p->syms[i].hi;
    RtCall call = *x->spec->call;
    call.inputs = typed_inputs(x);
    call.syms = syms;
    for (uint32_t k = 0; k < x->parts.n && !*node; k++) {
        LockstepSpec spec = {rt, plans[k], &call, x->spec->sym_values};
        const Fault *fault;
        const char *name = arena_printf(x->arena, "part%u", k);
        Lockstep *l = lockstep_run(&spec, name, &fault, err);
        if (!l)
            return false;
        if (fault)
            *node = x->parts.at[k] ? x->parts.at[k] : fault->group;
        lockstep_free(l);
    }
    return true;
}

static bool try_parts(const Inside *x, uint64_t skip, const Node **node, Err *err)
{
    const MemPlan **plans;
    *node = NULL;
    Bytes bytes = make_plan(x, skip, &plans);
    Plan *plan = plan_from_bytes(bytes.data, bytes.n, err);
    Runtime *rt = plan ? open_runtime(x->spec->cli, plan, err) : NULL;
    bool ok = rt && run_parts(x, rt, plans, node, err);
    rt_close(rt);
    plan_free(plan);
    return ok;
}

static bool find_target(Inside *x, Err *err)
{
    const Plan *p = rt_plan(x->spec->rt);
    const PlanTarget *t = &p->targets[rt_target(x->spec->rt)];
    const char *isa = plan_text(p, t->isa);
    return t->kind == PLAN_CUDA ? target_cuda(&x->target, isa, err)
                                : target_host(&x->target, isa, err);
}

/* All operations, or some of very many. */
static void list_parts(Inside *x)
{
    uint32_t n = 0, seen = 0;
    for (uint32_t i = 0; i < x->body->nodes.n; i++)
        n += is_operation(x->body->nodes.at[i]);
    uint32_t every = n / MOST_PARTS + 1;
    x->parts.n = 0;
    for (uint32_t i = 0; i < x->body->nodes.n; i++) {
        const Node *node = x->body->nodes.at[i];
        if (is_operation(node) && (++seen % every == 0 || seen == n))
            VEC_PUSH(x->arena, &x->parts, node);
    }
}

/* The only operation of a group that was not fused. */
static const Node *operation_of(const Node *group)
{
    const Graph *body = node_def(group)->body;
    for (uint32_t i = 0; i < body->nodes.n; i++)
        if (is_operation(body->nodes.at[i]))
            return body->nodes.at[i];
    return group;
}

bool bisect_inside(const InsideSpec *spec, InsideVerdict *verdict, const Node **node, Err *err)
{
    const uint64_t all = ~UINT64_C(0), fuse = UINT64_C(1) << PASS_fuse;
    Arena *arena = spec->arena;
    Inside x = {.spec = spec, .body = node_def(spec->fault->group)->body, .arena = arena};
    const Node *found = NULL;
    *verdict = INSIDE_NOWHERE;
    VEC_PUSH(arena, &x.parts, NULL);
    bool ok = find_target(&x, err) && try_parts(&x, all, &found, err);
    if (ok && found) {
        *verdict = INSIDE_ALONE;
        *node = operation_of(found);
    } else if (ok) {
        list_parts(&x);
        ok = try_parts(&x, all & ~fuse, node, err);
        *verdict = *node ? INSIDE_FUSED : INSIDE_NOWHERE;
    }
    return ok;
}
