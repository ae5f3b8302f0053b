/* build.c: graph_op with the attributes filled in, one builder per kind of node. */
#include "ir.h"

static Attr attr_int(int64_t i)
{
    return (Attr){.kind = AK_INT, .i = i};
}

static Attr attr_sym(Sym s)
{
    return (Attr){.kind = AK_SYM, .s = s};
}

static Attr attr_dim(const Dim *d)
{
    return (Attr){.kind = AK_DIM, .dim = d};
}

static Attr attr_ints(const int64_t *ints, uint32_t n)
{
    return (Attr){.kind = AK_INTS, .n = n, .ints = ints};
}

static Attr attr_dims(const Dim *const *dims, uint32_t n)
{
    return (Attr){.kind = AK_DIMS, .n = n, .dims = dims};
}

/* ---- leaves ---- */

static const Node *leaf(Graph *g, OpKind op, const Type *type, const Attr *attr)
{
    return graph_op(g, &(NodeSpec){.op = op, .type = type, .attr = attr});
}

const Node *graph_input(Graph *g, Sym name, const Type *type)
{
    Attr attr = attr_sym(name);
    return leaf(g, OP_INPUT, type, &attr);
}

const Node *graph_state(Graph *g, uint32_t state, const Type *type, Sym name)
{
    Attr attr[] = {attr_int(state), attr_sym(name)};
    return leaf(g, OP_STATE, type, attr);
}

const Node *graph_slot(Graph *g, const char *name, DType dtype)
{
    Attr attr = attr_sym(sym(g->ir->syms, name));
    return leaf(g, OP_SLOT, type_scalar(g->ir, dtype), &attr);
}

const Node *graph_const(Graph *g, DType dtype, double value)
{
    Attr attr = {.kind = AK_NUM, .f = value};
    return leaf(g, OP_CONST, type_scalar(g->ir, dtype), &attr);
}

const Node *graph_fill(Graph *g, const Type *type, double value)
{
    const Node *c = graph_const(g, type->dtype, value);
    return type->rank == 0 ? c : graph_expand(g, c, type->rank, type->dims, NULL);
}

const Node *graph_iota(Graph *g, uint32_t rank, const Dim *const *dims, uint32_t axis)
{
    Attr attr = attr_int(axis);
    return leaf(g, OP_IOTA, type_tensor(g->ir, DT_I32, rank, dims), &attr);
}

const Node *graph_rng(Graph *g, int64_t site, int64_t word, uint32_t rank, const Dim *const *dims)
{
    Attr attr[] = {attr_int(site), attr_int(word)};
    return leaf(g, OP_RNG, type_tensor(g->ir, DT_F32, rank, dims), attr);
}

const Node *graph_randint(Graph *g, int64_t site, const Dim *n, uint32_t rank,
                          const Dim *const *dims)
{
    Attr attr[] = {attr_int(site), attr_dim(n)};
    return leaf(g, OP_RANDINT, type_tensor(g->ir, DT_I32, rank, dims), attr);
}

/* ---- elementwise ---- */

static const Node *with_attrs(Graph *g, OpKind op, const Node *x, const Attr *attr)
{
    return graph_op(g, &(NodeSpec){.op = op, .nin = 1, .in = &x, .attr = attr});
}

const Node *graph_unary(Graph *g, OpKind op, const Node *x)
{
    return with_attrs(g, op, x, NULL);
}

const Node *graph_binary(Graph *g, OpKind op, const Node *a, const Node *b)
{
    const Node *in[] = {a, b};
    return graph_op(g, &(NodeSpec){.op = op, .nin = 2, .in = in});
}

const Node *graph_select(Graph *g, const Node *c, const Node *a, const Node *b)
{
    const Node *in[] = {c, a, b};
    return graph_op(g, &(NodeSpec){.op = OP_SELECT, .nin = 3, .in = in});
}

const Node *graph_cast(Graph *g, DType dtype, const Node *x)
{
    if (x && !x->type->is_tuple && x->type->dtype == dtype)
        return x;
    Attr attr = {.kind = AK_DTYPE, .i = dtype};
    return with_attrs(g, OP_CAST, x, &attr);
}

/* ---- views ---- */

const Node *graph_reshape(Graph *g, const Node *x, uint32_t rank, const Dim *const *dims)
{
    Attr attr = attr_dims(dims, rank);
    return with_attrs(g, OP_RESHAPE, x, &attr);
}

const Node *graph_permute(Graph *g, const Node *x, const int64_t *perm)
{
    Attr attr = attr_ints(perm, x ? x->type->rank : 0);
    return with_attrs(g, OP_PERMUTE, x, &attr);
}

const Node *graph_expand(Graph *g, const Node *x, uint32_t rank, const Dim *const *dims,
                         const int64_t *axes)
{
    Attr attr[] = {attr_dims(dims, rank), attr_ints(axes, x ? x->type->rank : 0)};
    return with_attrs(g, OP_EXPAND, x, attr);
}

const Node *graph_slice(Graph *g, const Node *x, uint32_t axis, const Dim *start, const Dim *extent)
{
    Attr attr[] = {attr_int(axis), attr_dim(start), attr_dim(extent)};
    return with_attrs(g, OP_SLICE, x, attr);
}

const Node *graph_pad(Graph *g, const Node *x, uint32_t axis, const Dim *lo, const Dim *hi)
{
    Attr attr[] = {attr_int(axis), attr_dim(lo), attr_dim(hi)};
    return with_attrs(g, OP_PAD, x, attr);
}

const Node *graph_concat(Graph *g, const Node *const *in, uint32_t n, uint32_t axis)
{
    Attr attr = attr_int(axis);
    return graph_op(g, &(NodeSpec){.op = OP_CONCAT, .nin = n, .in = in, .attr = &attr});
}

/* The pieces that x is made of along an axis. */
static uint32_t pieces_of(const Node *x, uint32_t axis, const Node *const **in)
{
    bool joined = x->op == OP_CONCAT && node_int(x, "axis") == axis;
    *in = joined ? x->in : NULL;
    return joined ? x->nin : 1;
}

const Node *graph_pads_beside(Graph *g, const Node *a, const Node *b)
{
    if (a->op != OP_PAD || b->op != OP_PAD || node_int(a, "axis") != node_int(b, "axis"))
        return NULL;
    uint32_t axis = (uint32_t)node_int(a, "axis"), n = 0;
    const Dim *end = dim_add(g->ir, node_dim(a, "lo"), a->in[0]->type->dims[axis]);
    if (end != node_dim(b, "lo")) {
        end = dim_add(g->ir, node_dim(b, "lo"), b->in[0]->type->dims[axis]);
        return end == node_dim(a, "lo") ? graph_pads_beside(g, b, a) : NULL;
    }
    const Node *const *piece[2];
    uint32_t na = pieces_of(a->in[0], axis, &piece[0]), nb = pieces_of(b->in[0], axis, &piece[1]);
    const Node **in = NEW_ARRAY(g->arena, const Node *, na + nb);
    for (uint32_t i = 0; i < na; i++)
        in[n++] = piece[0] ? piece[0][i] : a->in[0];
    for (uint32_t i = 0; i < nb; i++)
        in[n++] = piece[1] ? piece[1][i] : b->in[0];
    const Node *all = graph_concat(g, in, n, axis);
    const Dim *lo = node_dim(a, "lo"), *hi = node_dim(b, "hi");
    bool whole = dim_equals(lo, 0) && dim_equals(hi, 0);
    return all && !whole ? graph_pad(g, all, axis, lo, hi) : all;
}

const Node *graph_gather(Graph *g, const Node *x, const Node *idx, uint32_t axis, uint32_t batch)
{
    const Node *in[] = {x, idx};
    Attr attr[] = {attr_int(axis), attr_int(batch)};
    return graph_op(g, &(NodeSpec){.op = OP_GATHER, .nin = 2, .in = in, .attr = attr});
}

const Node *graph_update(Graph *g, const Node *x, const Node *rows, const Node *at, uint32_t axis)
{
    const Node *in[] = {x, rows, at};
    Attr attr = attr_int(axis);
    return graph_op(g, &(NodeSpec){.op = OP_UPDATE, .nin = 3, .in = in, .attr = &attr});
}

/* ---- folds and contractions ---- */

const Node *graph_reduce(Graph *g, OpKind op, const Node *x, const int64_t *axes, uint32_t n)
{
    const char *name;
    AttrKind kind = AK_NONE;
    op_attr_schema(op, 0, &name, &kind);
    ASSERT(kind == AK_INTS || (kind == AK_INT && n == 1));
    Attr attr = kind == AK_INTS ? attr_ints(axes, n) : attr_int(axes[0]);
    return with_attrs(g, op, x, &attr);
}

const Node *graph_dot(Graph *g, const Node *a, const Node *b, const DotAxes *axes)
{
    const Node *in[] = {a, b};
    Attr attr[] = {
        attr_ints(axes->a_batch, axes->nbatch),       attr_ints(axes->b_batch, axes->nbatch),
        attr_ints(axes->a_contract, axes->ncontract), attr_ints(axes->b_contract, axes->ncontract),
        {.kind = AK_FLAG, .i = axes->tf32},
    };
    return graph_op(g, &(NodeSpec){.op = OP_DOT, .nin = 2, .in = in, .attr = attr});
}

static uint32_t read_axes(const Node *n, const char *name, int64_t *out)
{
    const Attr *a = node_ints(n, name);
    ASSERT(a->n <= IR_MAX_RANK);
    for (uint32_t i = 0; i < a->n; i++)
        out[i] = a->ints[i];
    return a->n;
}

void node_dot_axes(const Node *n, DotAxes *out)
{
    *out = (DotAxes){0};
    out->nbatch = read_axes(n, "a_batch", out->a_batch);
    read_axes(n, "b_batch", out->b_batch);
    out->ncontract = read_axes(n, "a_contract", out->a_contract);
    read_axes(n, "b_contract", out->b_contract);
    out->tf32 = node_int(n, "tf32") != 0;
}

/* ---- structure ---- */

const Node *graph_call(Graph *g, const Def *def, const Node *const *in, uint32_t nin)
{
    Attr attr = {.kind = AK_DEF, .def = def};
    return graph_op(g, &(NodeSpec){.op = OP_CALL, .nin = nin, .in = in, .attr = &attr});
}

const Node *graph_loop(Graph *g, const ScanSpec *s, const Node *const *in, uint32_t nin)
{
    Attr attr[] = {{.kind = AK_DEF, .def = s->def},
                   attr_int(s->carry),
                   attr_int(s->xs),
                   attr_int(s->reverse),
                   attr_dim(s->length)};
    return graph_op(g, &(NodeSpec){.op = OP_SCAN, .nin = nin, .in = in, .attr = attr});
}

const Node *graph_get(Graph *g, const Node *tuple, uint32_t i)
{
    if (tuple && !tuple->type->is_tuple && i == 0)
        return tuple;
    Attr attr = attr_int(i);
    return with_attrs(g, OP_GET, tuple, &attr);
}

const Node *graph_tuple(Graph *g, const Node *const *in, uint32_t n)
{
    return graph_op(g, &(NodeSpec){.op = OP_TUPLE, .nin = n, .in = in});
}
