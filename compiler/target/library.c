/* library.c: a group's body as a product that a library knows. Operands are followed through views and exact casts to the
 * inputs; what they read there must be lines of memory. */
#include "library.h"

#include <string.h>

/* An operand: the input that it reads, and by how many elements its place moves with each of its axes. */
typedef struct Operand {
    const Node *input;
    int64_t stride[IR_MAX_RANK], extent[IR_MAX_RANK];
} Operand;

static bool follow(Ir *ir, const Node *n, Operand *out)
{
    const Type *t = n->type;
    const Ix *ix[IR_MAX_RANK], *in[IR_MAX_RANK];
    for (uint32_t i = 0; i < t->rank; i++) {
        ix[i] = ix_var(ir, i, t->dims[i]);
        if (!dim_is_const(t->dims[i], &out->extent[i]))
            return false;
    }
    while (n->op != OP_INPUT) {
        bool view = op_info(n->op)->cls == OC_VIEW && op_info(n->op)->at && n->nin == 1;
        if ((!view && !node_widens(n)) || !op_at(ir, n, 0, ix, in))
            return false;
        n = n->in[0];
        memcpy(ix, in, sizeof in);
    }
    out->input = n;
    const Ix *place = ix_flatten(ir, n->type->dims, ix, n->type->rank);
    const Dim *c;
    if (place->kind == IX_SUM && !dim_equals(place->base, 0))
        return false; /* a part, which begins elsewhere */
    for (uint32_t i = 0; i < t->rank; i++)
        if (!ix_coefficient(ir, place, i, &c) || !dim_is_const(c, &out->stride[i]))
            return false;
    return true;
}

/* Several axes as one. */
typedef struct Side {
    int64_t extent, stride;
} Side;

static bool join_axes(const Operand *o, const int64_t *axis, uint32_t n, Side *out)
{
    *out = (Side){1, 1};
    bool any = false;
    for (uint32_t i = n; i-- > 0;) {
        if (o->extent[axis[i]] == 1)
            continue;
        if (any && o->stride[axis[i]] != out->stride * out->extent)
            return false;
        out->stride = any ? out->stride : o->stride[axis[i]];
        out->extent *= o->extent[axis[i]];
        any = true;
    }
    return any;
}

static bool is_among(int64_t axis, const int64_t *axes, uint32_t n)
{
    bool is = false;
    for (uint32_t k = 0; k < n; k++)
        is = is || axes[k] == axis;
    return is;
}

/* Of an operand those that are of no member and not summed over. */
static uint32_t free_axes(const DotAxes *x, uint32_t rank, bool left, int64_t *out)
{
    const int64_t *batch = left ? x->a_batch : x->b_batch;
    const int64_t *contract = left ? x->a_contract : x->b_contract;
    uint32_t found = 0;
    for (uint32_t i = 0; i < rank; i++)
        if (!is_among(i, batch, x->nbatch) && !is_among(i, contract, x->ncontract))
            out[found++] = i;
    return found;
}

/* Members of a batch at equal distances; what has one is none. */
static bool find_batch(const Operand *a, const Operand *b, const DotAxes *x, LibraryGemm *out)
{
    Side left, right;
    int64_t count = 1;
    for (uint32_t i = 0; i < x->nbatch; i++)
        count *= a->extent[x->a_batch[i]];
    out->batch = 1;
    if (count == 1)
        return true;
    if (!join_axes(a, x->a_batch, x->nbatch, &left) || !join_axes(b, x->b_batch, x->nbatch, &right))
        return false;
    out->batch = count;
    out->apart_left = left.stride;
    out->apart_right = right.stride;
    return count <= INT32_MAX && left.stride <= INT32_MAX && right.stride <= INT32_MAX &&
           out->m * out->n <= INT32_MAX;
}

/* Lines of `inner` elements, or turned. */
static bool as_lines(Side outer, Side inner, bool *turn, int64_t *ld)
{
    *turn = inner.stride != 1;
    *ld = *turn ? inner.stride : outer.stride;
    return (*turn ? outer.stride : inner.stride) == 1 &&
           *ld >= (*turn ? outer.extent : inner.extent) && outer.extent <= INT32_MAX &&
           inner.extent <= INT32_MAX && *ld <= INT32_MAX;
}

static uint32_t number_of(const Graph *body, const Node *input)
{
    for (uint32_t i = 0; i < body->inputs.n; i++)
        if (body->inputs.at[i] == input)
            return i;
    return UINT32_MAX;
}

/* The result is the product, that as the operands' type, or the sum with an input. */
static bool find_result(const Graph *body, const Node *dot, LibraryGemm *out)
{
    if (body->results.n != 1)
        return false;
    const Node *r = body->results.at[0].node;
    out->add = UINT32_MAX;
    out->result = r->type->dtype;
    if (r == dot)
        return out->result == DT_F32;
    if (node_is_cast(r))
        return r->in[0] == dot && out->result == out->operand;
    if (r->op != OP_ADD || (r->in[0] != dot && r->in[1] != dot))
        return false;
    const Node *add = r->in[r->in[0] == dot];
    out->add = number_of(body, add);
    return out->add != UINT32_MAX && out->result == DT_F32 && add->type == r->type;
}

static bool describe(Ir *ir, const Graph *body, const Node *dot, LibraryGemm *out)
{
    DotAxes x;
    Operand a, b;
    Side m, n, ka, kb;
    int64_t rows[IR_MAX_RANK], columns[IR_MAX_RANK];
    node_dot_axes(dot, &x);
    if (!follow(ir, dot->in[0], &a) || !follow(ir, dot->in[1], &b))
        return false;
    uint32_t nrow = free_axes(&x, dot->in[0]->type->rank, true, rows);
    uint32_t ncolumn = free_axes(&x, dot->in[1]->type->rank, false, columns);
    if (!join_axes(&a, rows, nrow, &m) || !join_axes(&b, columns, ncolumn, &n) ||
        !join_axes(&a, x.a_contract, x.ncontract, &ka) ||
        !join_axes(&b, x.b_contract, x.ncontract, &kb))
        return false;
    out->m = m.extent;
    out->n = n.extent;
    out->k = ka.extent;
    out->operand = a.input->type->dtype;
    out->left = number_of(body, a.input);
    out->right = number_of(body, b.input);
    bool known = dtype_is_half(out->operand) || out->operand == DT_F32;
    return known && b.input->type->dtype == out->operand && out->left != UINT32_MAX &&
           out->right != UINT32_MAX && find_batch(&a, &b, &x, out) &&
           as_lines(m, ka, &out->turn_left, &out->ld_left) &&
           as_lines(kb, n, &out->turn_right, &out->ld_right);
}

bool library_gemm(Ir *ir, const Graph *body, LibraryGemm *out)
{
    const Node *dot = NULL;
    *out = (LibraryGemm){0};
    for (uint32_t i = 0; i < body->nodes.n; i++) {
        const Node *n = body->nodes.at[i];
        if (op_info(n->op)->cls == OC_CONTRACT && dot)
            return false;
        dot = op_info(n->op)->cls == OC_CONTRACT ? n : dot;
    }
    return dot && describe(ir, body, dot, out) && find_result(body, dot, out);
}

/* ---- in a configuration ---- */

KernelConfig library_split(const int64_t *ints, uint32_t n)
{
    KernelConfig c = {.ints = ints};
    while (c.n < n && ints[c.n] != LIBRARY_MARK)
        c.n++;
    if (c.n + 1 + LIBRARY_INTS == n)
        c.library = ints + c.n + 1;
    return c;
}

const int64_t *library_join(Arena *arena, const int64_t *ints, uint32_t n, const LibraryChoice *c,
                            uint32_t *all)
{
    *all = n + 1 + LIBRARY_INTS;
    int64_t *out = NEW_ARRAY(arena, int64_t, *all), *at = out + n;
    memcpy(out, ints, n * sizeof *ints);
    *at++ = LIBRARY_MARK;
    *at++ = (int64_t)c->version;
    *at++ = (int64_t)c->workspace;
    for (uint32_t i = 0; i < LIBRARY_WORDS; i++) {
        *at++ = (int64_t)(c->algorithm[i] & UINT32_MAX);
        *at++ = (int64_t)(c->algorithm[i] >> 32);
    }
    return out;
}

LibraryChoice library_choice(const int64_t *library)
{
    LibraryChoice c = {.version = (uint64_t)library[0], .workspace = (uint64_t)library[1]};
    for (uint32_t i = 0; i < LIBRARY_WORDS; i++)
        c.algorithm[i] = (uint64_t)library[2 + 2 * i] | (uint64_t)library[3 + 2 * i] << 32;
    return c;
}
