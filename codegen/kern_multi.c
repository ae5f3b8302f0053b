/* kern_multi.c: many tensors in one launch, through a table: a row per tensor set with addresses, the
 * number of elements and the first task. A task finds its row by its number and works on `grain`
 * elements of it. Tensors are walked as flat arrays, so sets may have any shapes. */
#include "reduce.h"

enum { TEAM = 256 };

/* Larger than any tensor: the flat index must not simplify by the extents of one set. */
static const Dim *flat_extent(Ir *ir)
{
    return dim_const(ir, INT64_C(1) << 40);
}

static uint32_t table_buf(Lower *lo, const char *name, DType dt, uint32_t pointer)
{
    if (pointer >= PLAN_ROW_BUFS)
        BUG("codegen: more than %d tensors in a set", (int)PLAN_ROW_BUFS);
    KBuf b = {.kind = KB_TABLE, .name = kernel_name(lo->k, name), .dtype = dt, .arg = pointer};
    b.align = 64;
    b.count = flat_extent(lo->ir);
    return kernel_buf(lo->k, &b);
}

uint32_t multi_per_set(const Node *group)
{
    uint32_t count = (uint32_t)node_int(group, "count"), nform = node_def(group)->body->inputs.n;
    if (count > 1)
        return (group->nin - nform) / (count - 1);
    uint32_t shared = 0; /* one set: scalars at the end are shared */
    while (shared < nform && group->in[nform - 1 - shared]->type->rank == 0)
        shared++;
    return shared < nform ? nform - shared : nform;
}

/* How many elements of a row a task works on. */
static int64_t set_grain(Lower *lo)
{
    int64_t grain = lo->config.ints[0];
    lo->k->grain = round_up(grain > 0 ? grain : 1, lo->target->vector);
    return lo->k->grain;
}

static int64_t elements(Lower *lo, const Type *t)
{
    return dim_hi(lo->ir, type_count(lo->ir, t));
}

/* On a GPU the threads of a block share a task. */
static void share_stretch(Lower *lo, KPhase *phase)
{
    if (!lo->k->threads)
        return;
    phase->threads = TEAM;
    team_begin(lo, phase, TEAM);
}

/* Adds up what they have: the variable `sum` of each. */
static void join_sums(Lower *lo, const KExpr *sum)
{
    acc_team(lo, &(Acc){.value = sum, .text = "(%0 + %1)"});
}

/* The stretch of the row that this task works on. */
static void open_row(Lower *lo, KPhase *phase, int64_t grain, LanesSpec *spec)
{
    Kernel *k = lo->k;
    scope_begin(lo, phase);
    share_stretch(lo, phase);
    const KExpr *first = ke_text(k, KT_I64, "row->task0", NULL, 0);
    const KExpr *n = ke_text(k, KT_I64, "row->n", NULL, 0), *g = ke_int(k, grain);
    const KExpr *from =
        ks_let(k, &phase->body, "from", ke_mul(lo, ke_sub(lo, lower_task(lo), first), g));
    const KExpr *to = ks_let(k, &phase->body, "to", ke_min(lo, ke_add(lo, from, g), n));
    *spec = (LanesSpec){.stem = "i", .lo = from, .hi = to, .extent = flat_extent(lo->ir)};
}

/* ---- multi_map ---- */

static void map_flat(Lower *lo, const Ix *v, void *user)
{
    UNUSED(user);
    const Ix *ix[IR_MAX_RANK];
    for (uint32_t i = 0; i < IR_MAX_RANK; i++)
        ix[i] = ix_int(lo->ir, 0);
    uint32_t rank = lo->body->results.at[0].node->type->rank;
    if (rank > 0)
        ix[rank - 1] = v;
    lower_results(lo, (UINT64_C(2) << (lo->body->results.n - 1)) - 1, ix);
}

void lower_multi_map(Lower *lo)
{
    Kernel *k = lo->k;
    const Node *group = lo->group;
    uint32_t count = (uint32_t)node_int(group, "count"), nform = lo->body->inputs.n;
    uint32_t per_set = multi_per_set(group), nresult = lo->body->results.n;
    k->table = true;
    for (uint32_t i = 0; i < nform; i++) {
        const Node *n = lo->body->inputs.at[i];
        if (i < per_set) {
            lo->in[n->id] = table_buf(lo, node_sym(n, "name"), n->type->dtype, i);
            continue;
        }
        KBuf b = {.kind = KB_IN, .dtype = n->type->dtype, .arg = k->narg++, .align = 64};
        b.name = kernel_name(k, node_sym(n, "name"));
        b.count = dim_const(lo->ir, 1);
        lo->in[n->id] = kernel_buf(k, &b);
    }
    for (uint32_t i = 0; i < nresult; i++) {
        const GraphResult *r = &lo->body->results.at[i];
        lo->out[i] = table_buf(lo, r->name ? r->name : "out", r->node->type->dtype, per_set + i);
    }
    int64_t grain = set_grain(lo), tasks = 0;
    for (uint32_t s = 0; s < count; s++)
        tasks += ceil_div(elements(lo, group->in[s * per_set]->type), grain);
    KPhase *phase =
        kernel_phase(k, "", dim_const(lo->ir, tasks), "elementwise over a table of tensors");
    LanesSpec spec;
    open_row(lo, phase, grain, &spec);
    lower_lanes(lo, &spec, map_flat, NULL);
}

/* ---- multi_sumsq ---- */

typedef struct Squares {
    uint32_t buf;
    const KExpr *sum;
} Squares;

static void add_squares(Lower *lo, const Ix *v, void *user)
{
    const Squares *s = user;
    Kernel *k = lo->k;
    KBlock *block = lo->scope->block;
    const KExpr *x = ks_let(k, block, "x", lower_load(lo, s->buf, v));
    const KExpr *arg[] = {x, x, s->sum};
    bool vector = ktype_is_vector(x->type);
    ks_set(k, block, s->sum,
           ke_text(k, x->type, vector ? "mdl_fma_vf(%0, %1, %2)" : "(%2 + %0 * %1)", arg, 3));
}

/* Lanes fold in a fixed order. */
static const KExpr *fold_lanes(Lower *lo, const KExpr *sum)
{
    Kernel *k = lo->k;
    if (!ktype_is_vector(sum->type))
        return sum;
    for (int64_t h = k->width / 2; h > 0; h /= 2) {
        const char *text = arena_printf(lo->arena, "(%%0 + mdl_swap_vf(%%0, %lld))", (long long)h);
        ks_set(k, lo->scope->block, sum, ke_apply(lo, KT_VF, text, sum, NULL));
    }
    return ke_apply(lo, KT_F32, "mdl_lane0_vf(%0)", sum, NULL);
}

static const Node *sumsq_node(const Lower *lo)
{
    for (uint32_t i = 0; i < lo->body->nodes.n; i++)
        if (op_info(lo->body->nodes.at[i]->op)->cls == OC_MULTI)
            return lo->body->nodes.at[i];
    BUG("codegen: a multi_sumsq group without a sum of squares");
}

static void join_phase(Lower *lo, const Node *n, uint32_t partial, int64_t tasks)
{
    Kernel *k = lo->k;
    KPhase *phase = kernel_phase(k, "", dim_const(lo->ir, 1), "joins the partial sums in order");
    scope_begin(lo, phase);
    lo->scalar = true;
    share_stretch(lo, phase);
    const KExpr *sum = ks_var(k, &phase->body, "sum", ke_num(k, KT_F64, 0));
    scope_loop(lo, &(LoopSpec){.stem = "i",
                               .lo = lo->team ? lo->rank : ke_int(k, 0),
                               .hi = ke_int(k, tasks),
                               .extent = dim_const(lo->ir, tasks),
                               .step = lo->team});
    const KExpr *x = ke_load(k, partial, lo->var[lo->nvar - 1].at);
    ks_set(k, lo->scope->block, sum, ke_apply(lo, KT_F64, "(%0 + (double)%1)", sum, x));
    scope_end(lo);
    join_sums(lo, sum);
    team_first(lo);
    KType t = ktype_of(n->type->dtype);
    lo->seed_scope = lo->scope;
    lo->seed[n->id] = t == KT_F64 ? sum : ke_apply(lo, t, "(float)%0", sum, NULL);
    lower_results(lo, (UINT64_C(2) << (lo->body->results.n - 1)) - 1, NULL);
    scope_end(lo);
}

void lower_multi_sumsq(Lower *lo)
{
    Kernel *k = lo->k;
    const Node *n = sumsq_node(lo);
    DType dt = n->in[0]->type->dtype;
    k->table = true;
    for (uint32_t i = 0; i < lo->body->results.n; i++) {
        const GraphResult *r = &lo->body->results.at[i];
        KBuf b = {.kind = KB_OUT, .dtype = r->node->type->dtype, .arg = k->narg++, .align = 64};
        b.name = kernel_name(k, r->name ? r->name : "out");
        b.count = dim_const(lo->ir, 1);
        lo->out[i] = kernel_buf(k, &b);
    }
    int64_t grain = set_grain(lo), tasks = 0;
    for (uint32_t i = 0; i < lo->group->nin; i++) {
        ASSERT(lo->group->in[i]->type->dtype == dt);
        tasks += ceil_div(elements(lo, lo->group->in[i]->type), grain);
    }
    DType sums = dt == DT_F64 ? DT_F64 : DT_F32;
    uint32_t partial =
        kernel_workspace(k, "partial", sums, dim_const(lo->ir, tasks > 0 ? tasks : 1));
    KPhase *phase = kernel_phase(k, "parts", dim_const(lo->ir, tasks), "squares of one stretch");
    LanesSpec spec;
    open_row(lo, phase, grain, &spec);
    Squares s = {.buf = table_buf(lo, "x", dt, 0)};
    KType t = ktype_of(dt);
    s.sum = ks_var(k, &phase->body, "sum", ke_num(k, lo->scalar ? t : ktype_vector(t), 0));
    lower_lanes(lo, &spec, add_squares, &s);
    const KExpr *sum = fold_lanes(lo, s.sum);
    if (lo->team)
        sum = ks_var(k, &phase->body, "all", sum);
    join_sums(lo, sum);
    team_first(lo);
    ks_store(k, lo->scope->block, partial, lower_task(lo), sum);
    scope_end(lo);
    join_phase(lo, n, partial, tasks);
}
