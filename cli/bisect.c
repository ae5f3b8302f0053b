/* bisect.c: one launch beside the interpreter.
 *
 * The interpreter computes the body of the group's Def in f64 from what the launch has read, with constants as kernels
 * have them. How far rounding may be from that is measured, not guessed: it is computed again with
 * every input and constant moved by one rounding of the coarsest float type inside, which gives the
 * conditioning of each result; times the roundings on the way, the square root of the longest fold among
 * them. */
#include "bisect.h"

#include <float.h>
#include <math.h>

/* ---- arguments ---- */

static uint32_t result_count(const Node *group)
{
    return group->type->is_tuple ? group->type->nelem : 1;
}

static void add_row(Arena *arena, const PlanRow *row, uint32_t nin, uint32_t nout,
                    LaunchTensors *out)
{
    for (uint32_t k = 0; k < nin; k++)
        VEC_PUSH(arena, &out->in, row->tensor[k]);
    for (uint32_t k = 0; k < nout; k++)
        VEC_PUSH(arena, &out->out, row->tensor[nin + k]);
}

/* Scalars of all sets are BUF arguments, the tensors of each set a row. */
static bool table_tensors(Arena *arena, const LaunchOf *l, LaunchTensors *out)
{
    uint32_t count = (uint32_t)node_int(l->group, "count"), nscalar = l->step->narg - 1;
    const PlanArg *table = &l->plan->args[l->step->arg0 + nscalar];
    uint32_t per_set = (l->group->nin - nscalar) / count, nout = result_count(l->group) / count;
    if (table->kind != PG_TABLE || table->nrow != count || per_set + nout > PLAN_ROW_BUFS ||
        l->set >= count)
        return false;
    add_row(arena, &l->plan->rows[table->row0 + l->set], per_set, nout, out);
    for (uint32_t i = 0; i < nscalar; i++)
        VEC_PUSH(arena, &out->in, l->plan->args[l->step->arg0 + i].tensor);
    out->nset = count;
    return true;
}

bool bisect_tensors(Arena *arena, const LaunchOf *l, LaunchTensors *out)
{
    *out = (LaunchTensors){.nset = 1};
    const PlanArg *args = &l->plan->args[l->step->arg0];
    const Node *group = l->group;
    if (op_info(group->op)->cls != OC_GROUP)
        return false;
    if (node_int(group, "count") > 1)
        return l->step->narg > 0 && table_tensors(arena, l, out);
    if (l->step->narg == 2 && args[1].kind == PG_TABLE) { /* one result of any number of tensors */
        VEC_PUSH(arena, &out->out, args[0].tensor);
        for (uint32_t i = 0; i < args[1].nrow; i++)
            VEC_PUSH(arena, &out->in, l->plan->rows[args[1].row0 + i].tensor[0]);
        return out->in.n == group->nin;
    }
    if (l->step->narg != group->nin + result_count(group))
        return false;
    for (uint32_t i = 0; i < l->step->narg; i++) {
        if (args[i].kind != PG_BUF)
            return false;
        TensorIds *list = i < group->nin ? &out->in : &out->out;
        VEC_PUSH(arena, list, args[i].tensor);
    }
    return true;
}

/* ---- work and roundings ---- */

static double elements(const Ir *ir, const Type *t)
{
    double n = 1;
    for (uint32_t i = 0; !t->is_tuple && i < t->rank; i++)
        n *= (double)dim_hi(ir, t->dims[i]);
    return n;
}

double bisect_work(const Graph *body)
{
    double sum = graph_flops(body);
    for (uint32_t i = 0; i < body->nodes.n; i++) {
        const Node *n = body->nodes.at[i];
        OpClass cls = op_info(n->op)->cls;
        sum += elements(body->ir, n->type);
        if (cls == OC_CALL || cls == OC_LOOP)
            sum += bisect_work(node_def(n)->body);
    }
    return sum;
}

typedef struct Roundings {
    double unit;  /* of the coarsest float type */
    double steps; /* one after the other, in units */
} Roundings;

static void add_roundings(const Graph *body, Roundings *r)
{
    for (uint32_t i = 0; i < body->nodes.n; i++) {
        const Node *n = body->nodes.at[i];
        OpClass cls = op_info(n->op)->cls;
        double folded =
            n->nin ? elements(body->ir, n->in[0]->type) / fmax(elements(body->ir, n->type), 1) : 1;
        if (cls == OC_CONTRACT || cls == OC_REDUCE || cls == OC_SCAN || cls == OC_SCATTER)
            r->steps += 4 * sqrt(fmax(elements(body->ir, n->in[0]->type), folded));
        else
            r->steps += 4; /* approximated functions are right to 2 units */
        if (!n->type->is_tuple && dtype_is_float(n->type->dtype))
            r->unit = fmax(r->unit, dtype_info(n->type->dtype)->unit);
        if (cls == OC_CALL || cls == OC_LOOP)
            add_roundings(node_def(n)->body, r);
    }
}

/* ---- comparing ---- */

/* Constants as their types have them, then moved by so much. */
static const Node *round_const(Rewrite *rw, const Node *n, const Node *const *in)
{
    double value, unit = *(const double *)rw->user;
    UNUSED(in);
    if (n->nin || !node_is_const(n, &value) || !dtype_is_float(n->type->dtype))
        return NULL;
    double stored = 0;
    dtype_store(n->type->dtype, &stored, 0, value);
    return graph_const(rw->out, n->type->dtype,
                       dtype_load(n->type->dtype, &stored, 0) * (1 + unit));
}

static Value **run(Arena *arena, const Comparison *c, Value *const *in, double unit)
{
    const Graph *body = graph_rewrite(c->body, arena, round_const, &unit);
    Value **out = NEW_ARRAY(arena, Value *, body->results.n + 1);
    InterpBinding run = c->run;
    run.inputs = in;
    interp_run(body, arena, &run, out, NULL);
    return out;
}

Value **bisect_want(Arena *arena, const Comparison *c)
{
    return run(arena, c, c->in, 0);
}

static Value **moved_inputs(Arena *arena, const Comparison *c, double unit)
{
    const Graph *body = c->body;
    Value **in = NEW_ARRAY(arena, Value *, body->inputs.n + 1);
    uint64_t state = 1;
    for (uint32_t k = 0; k < body->inputs.n; k++) {
        in[k] = COPY_ARRAY(arena, Value, c->in[k], 1);
        if (!dtype_is_float(c->in[k]->type->dtype))
            continue;
        in[k]->at = NEW_ARRAY(arena, double, c->in[k]->count + 1);
        for (int64_t i = 0; i < c->in[k]->count; i++) {
            state = hash_mix(state, 1);
            in[k]->at[i] = c->in[k]->at[i] * (1 + (state & 1 ? unit : -unit));
        }
    }
    return in;
}

static bool same_special(double a, double b)
{
    return (isnan(a) && isnan(b)) || a == b;
}

static bool compare(const Value *got, const Value *want, const Value *moved, const Roundings *r,
                    Difference *out)
{
    bool floats = dtype_is_float(want->type->dtype);
    double spread = 0, size = 0;
    for (int64_t i = 0; floats && i < want->count; i++) {
        double d = fabs(moved->at[i] - want->at[i]);
        spread = isfinite(d) ? fmax(spread, d) : spread;
        size = isfinite(want->at[i]) ? fmax(size, fabs(want->at[i])) : size;
    }
    out->bound = floats ? r->steps * (spread + r->unit * size) + DBL_MIN : 0;
    for (int64_t i = 0; i < want->count; i++) {
        double a = got->at[i], b = want->at[i];
        bool loose = !floats && moved->at[i] != b; /* a tie: either is right */
        if (same_special(a, b) || loose || fabs(a - b) <= out->bound)
            continue;
        out->element = i;
        out->got = a;
        out->want = b;
        return false;
    }
    return true;
}

bool bisect_agrees(Arena *arena, const Comparison *c, Value *const *want, Difference *out)
{
    const Graph *body = c->body;
    Roundings r = {.unit = dtype_info(DT_F32)->unit, .steps = 8};
    add_roundings(body, &r);
    Value **moved = run(arena, c, moved_inputs(arena, c, r.unit), r.unit);
    for (uint32_t i = 0; i < body->results.n; i++) {
        out->result = i;
        if (!compare(c->got[i], want[i], moved[i], &r, out))
            return false;
    }
    return true;
}
