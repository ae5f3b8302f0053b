/* products.c: the dots of a gemm body as sets, by what results read. A node carries the dots it is
 * computed from as bits; results join the dots they reach. */
#include "products.h"

#include <string.h>

static uint32_t left_free(const Node *dot, const DotAxes *x)
{
    return dot->in[0]->type->rank - x->nbatch - x->ncontract;
}

bool products_match(const Node *a, const Node *b)
{
    DotAxes x, y;
    node_dot_axes(a, &x);
    node_dot_axes(b, &y);
    return a->type->dtype == b->type->dtype && type_same_dims(a->type, b->type) &&
           a->in[0]->type->dtype == b->in[0]->type->dtype && x.nbatch == y.nbatch &&
           left_free(a, &x) == left_free(b, &y);
}

/* The dots below each node; false when a dot is computed from another, or there are too many. */
static bool find_reach(const Graph *body, Products *p)
{
    for (uint32_t i = 0; i < body->nodes.n; i++) {
        const Node *n = body->nodes.at[i];
        for (uint32_t k = 0; k < n->nin; k++)
            p->reach[i] |= p->reach[n->in[k]->id];
        if (op_info(n->op)->cls != OC_CONTRACT)
            continue;
        if (p->reach[i] || p->n == PRODUCTS_MOST)
            return false;
        p->reach[i] = UINT32_C(1) << p->n;
        p->dot[p->n++] = n;
    }
    return p->n > 0;
}

/* Dots of `mask` become one set: the smallest of their numbers. */
static void join(Products *p, uint32_t mask)
{
    uint32_t least = UINT32_MAX;
    for (uint32_t d = 0; d < p->n; d++)
        if (mask >> d & 1 && p->set[d] < least)
            least = p->set[d];
    for (uint32_t d = 0; d < p->n; d++) {
        uint32_t old = p->set[d];
        for (uint32_t e = 0; mask >> d & 1 && e < p->n; e++)
            p->set[e] = p->set[e] == old ? least : p->set[e];
    }
}

/* Numbers without gaps; false when dots of one set do not match. */
static bool number_sets(Products *p)
{
    uint32_t number[PRODUCTS_MOST] = {0}, size[PRODUCTS_MOST] = {0};
    for (uint32_t d = 0; d < p->n; d++) {
        uint32_t first = p->set[d]; /* the number of the set is that of its first dot */
        if (first == d)
            number[d] = p->nset++;
        if (!products_match(p->dot[d], p->dot[first]) || ++size[first] > PRODUCTS_TOGETHER)
            return false;
    }
    for (uint32_t d = 0; d < p->n; d++)
        p->set[d] = number[p->set[d]];
    return true;
}

/* The set of a result; what reads no dot goes with the first whose space it has. */
static bool place_result(const Graph *body, Products *p, uint32_t r)
{
    const Node *n = body->results.at[r].node;
    for (uint32_t d = 0; d < p->n; d++) {
        bool reads = p->reach[n->id] >> d & 1;
        if (reads || (!p->reach[n->id] && type_same_dims(n->type, p->dot[d]->type))) {
            p->result_set[r] = p->set[d];
            return true;
        }
    }
    return false;
}

bool products_find(const Graph *body, Arena *arena, Products *out)
{
    *out = (Products){0};
    out->reach = NEW_ARRAY(arena, uint32_t, body->nodes.n + 1);
    out->result_set = NEW_ARRAY(arena, uint32_t, body->results.n + 1);
    if (!find_reach(body, out))
        return false;
    for (uint32_t d = 0; d < out->n; d++)
        out->set[d] = d;
    for (uint32_t r = 0; r < body->results.n; r++)
        join(out, out->reach[body->results.at[r].node->id]);
    if (!number_sets(out))
        return false;
    for (uint32_t r = 0; r < body->results.n; r++)
        if (!place_result(body, out, r))
            return false;
    return true;
}

ProductsFew products_few(const Target *t, DType operand)
{
    enum { WIDE_SUMS = 24, NARROW_SUMS = 12, TENSOR_ROWS = 4, GPU_COLUMNS = 4, CPU_COLUMNS = 256 };
    bool half = dtype_is_half(operand);
    if (t->kind == TK_CUDA) /* with more rows of 16 bits, tensor cores do better */
        return (ProductsFew){half ? TENSOR_ROWS : PRODUCTS_FEW_GPU, GPU_COLUMNS};
    int64_t sums = t->registers >= 32 ? WIDE_SUMS : NARROW_SUMS;
    return (ProductsFew){sums < PRODUCTS_FEW_CPU ? sums : PRODUCTS_FEW_CPU, CPU_COLUMNS};
}

DType products_operand(const Node *operand)
{
    const Node *n = operand;
    while ((op_info(n->op)->cls == OC_VIEW && n->nin == 1) || op_info(n->op)->cls == OC_GATHER)
        n = n->in[0];
    return node_widens(n) ? n->in[0]->type->dtype : operand->type->dtype;
}

bool products_read(const Node *operand)
{
    const Node *n = operand;
    for (;;) {
        OpClass cls = op_info(n->op)->cls;
        bool moves = (cls == OC_VIEW || cls == OC_GATHER) && op_info(n->op)->at && n->nin > 0;
        if (!moves && !node_widens(n))
            return cls == OC_LEAF;
        n = n->in[0];
    }
}

/* ---- values that are moved ---- */

typedef struct Pieces {
    ProductsPiece *piece;
    uint32_t n;
} Pieces;

static bool add_pieces(Pieces *p, const Node *n, ProductsPiece way)
{
    if (op_info(n->op)->cls != OC_VIEW) {
        way.value = n;
        if (p->n < PRODUCTS_PIECES)
            p->piece[p->n++] = way;
        return p->piece[p->n - 1].value == n;
    }
    bool whole = n->op == OP_RESHAPE || n->op == OP_PERMUTE || n->op == OP_CONCAT;
    if (!whole || way.nview == PRODUCTS_VIEWS)
        return false;
    way.view[way.nview++] = n;
    for (uint32_t k = 0; k < n->nin; k++) {
        way.operand[way.nview - 1] = k;
        if (!add_pieces(p, n->in[k], way))
            return false;
    }
    return true;
}

bool products_moved(const Node *result)
{
    OpClass cls = op_info(result->op)->cls;
    return cls == OC_UPDATE || (cls == OC_VIEW && result->nin > 1);
}

uint32_t products_pieces(const Node *result, ProductsPiece *piece)
{
    Pieces p = {.piece = piece};
    const Node *moved = op_info(result->op)->cls == OC_UPDATE ? result->in[1] : result;
    return add_pieces(&p, moved, (ProductsPiece){0}) ? p.n : 0;
}

uint32_t products_parts(const Node *result, ProductsPiece *piece)
{
    if (products_moved(result))
        return products_pieces(result, piece);
    *piece = (ProductsPiece){.value = result};
    return 1;
}

/* From an index of operand k of a view to one of the view. */
static void move_up(Ir *ir, const Node *view, uint32_t k, const Ix **ix)
{
    const Ix *out[IR_MAX_RANK];
    const Type *t = view->type, *from = view->in[k]->type;
    if (view->op == OP_RESHAPE) {
        ix_unflatten(ir, ix_flatten(ir, from->dims, ix, from->rank), t->dims, t->rank, out);
    } else if (view->op == OP_PERMUTE) {
        const Attr *perm = node_ints(view, "perm");
        for (uint32_t i = 0; i < perm->n; i++)
            out[i] = ix[perm->ints[i]];
    } else {
        uint32_t axis = (uint32_t)node_int(view, "axis");
        const Dim *before = dim_const(ir, 0);
        for (uint32_t i = 0; i < k; i++)
            before = dim_add(ir, before, view->in[i]->type->dims[axis]);
        memcpy(out, ix, t->rank * sizeof *out);
        out[axis] = ix_add(ir, ix[axis], ix_const(ir, before));
    }
    memcpy(ix, out, t->rank * sizeof *out);
}

void products_place(Ir *ir, const ProductsPiece *piece, const Ix *const *ix, const Ix **rows)
{
    memcpy(rows, ix, piece->value->type->rank * sizeof *rows);
    for (uint32_t i = piece->nview; i-- > 0;)
        move_up(ir, piece->view[i], piece->operand[i], rows);
}

/* ---- sums of products ---- */

static uint32_t count_uses(const Graph *body, const Node *n)
{
    uint32_t uses = 0;
    for (uint32_t i = 0; i < body->nodes.n; i++)
        for (uint32_t k = 0; k < body->nodes.at[i]->nin; k++)
            uses += body->nodes.at[i]->in[k] == n;
    for (uint32_t r = 0; r < body->results.n; r++)
        uses += body->results.at[r].node == n;
    return uses;
}

/* The sum of two terms that nothing else reads, or NULL. */
static const Node *find_sum(Graph *probe, const Graph *body, const Node *a, const Node *b)
{
    if (count_uses(body, a) != 1 || count_uses(body, b) != 1)
        return NULL;
    const Node *sum = graph_binary(probe, OP_ADD, a, b);
    return sum ? sum : graph_binary(probe, OP_ADD, b, a);
}

const Node *products_total(const Graph *body, const Products *p, uint32_t set)
{
    Graph probe = graph_probe(body);
    const Node *term[PRODUCTS_MOST];
    uint32_t n = 0;
    for (uint32_t d = 0; d < p->n; d++)
        if (p->set[d] == set)
            term[n++] = p->dot[d];
    if (n < 2)
        return NULL;
    for (uint32_t i = 0; i < n && n > 1; i++)
        for (uint32_t k = i + 1; k < n; k++) {
            const Node *sum = find_sum(&probe, body, term[i], term[k]);
            if (!sum)
                continue;
            term[i] = sum; /* and from the start: it may be a term of an earlier one */
            term[k] = term[--n];
            i = UINT32_MAX;
            break;
        }
    return n == 1 ? term[0] : NULL;
}
