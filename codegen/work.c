/* work.c: operations and bytes of a kernel, for tables of times and predictions. Every operand is read once, as far as
 * it is read, and every result written once; an operation counts one per element, whatever it costs, and one of a
 * product two. */
#include "attention.h"
#include "products.h"

#include "lower.h"

static double count(const Lower *lo, const Type *t)
{
    return (double)dim_hi(lo->ir, type_count(lo->ir, t));
}

static double bytes(const Lower *lo, const Type *t)
{
    if (!t->is_tuple)
        return count(lo, t) * dtype_info(t->dtype)->bytes;
    double sum = 0;
    for (uint32_t i = 0; i < t->nelem; i++)
        sum += bytes(lo, t->elems[i]);
    return sum;
}

/* Sizes of all sets of a table over the size of the one that the body is of. */
static double sets(const Lower *lo)
{
    const Node *group = lo->group;
    int64_t n = node_int(group, "count");
    double one = group->nin > 0 && n > 1 ? count(lo, group->in[0]->type) : 0, all = 0;
    uint32_t per_set = one > 0 ? multi_per_set(group) : 0;
    for (int64_t s = 0; s < n && one > 0; s++)
        all += count(lo, group->in[(uint32_t)s * per_set]->type);
    return one > 0 ? all / one : 1;
}

/* Elements of an input of the body that it reads: rows by number, or a slice, are not all of it. */
static double touched(const Lower *lo, const Node *in)
{
    double all = count(lo, in->type), sum = 0;
    for (uint32_t i = 0; i < lo->body->results.n; i++)
        if (lo->body->results.at[i].node == in)
            return all;
    for (uint32_t i = 0; i < lo->body->nodes.n; i++) {
        const Node *n = lo->body->nodes.at[i];
        OpClass c = op_info(n->op)->cls;
        for (uint32_t k = 0; k < n->nin; k++) {
            bool part = k == 0 && (c == OC_GATHER || c == OC_VIEW);
            if (n->in[k] == in && !(k == 0 && c == OC_UPDATE))
                sum += part ? count(lo, n->type) : all;
        }
    }
    return sum < all ? sum : all;
}

/* Of an update in place: the rows, where they go, and the rows again. */
static double update_bytes(const Lower *lo, const Node *update)
{
    return 2 * bytes(lo, update->in[1]->type) + bytes(lo, update->in[2]->type);
}

/* Of an update among the results of a product: the rows alone. */
static double written(const Lower *lo)
{
    double sum = 0;
    for (uint32_t i = 0; i < lo->body->results.n; i++) {
        const Node *r = lo->body->results.at[i].node;
        sum += bytes(lo, op_info(r->op)->cls == OC_UPDATE ? r->in[1]->type : r->type);
    }
    return sum;
}

/* What a block that orders lines by bytes of their keys moves besides: to count, to place, and places (mdl_block_sort.h). */
static double sort_bytes(const Lower *lo)
{
    const Node *sort = lo->body->results.at[0].node;
    if (lo->cls != KC_SORT || !lo->k->threads)
        return 0;
    double key = dtype_has_vector(sort->in[0]->type->dtype) ? 4 : 8;
    return count(lo, sort->type) * (2 * key + key * (3 * key + 2 * 4));
}

static double all_bytes(const Lower *lo)
{
    const Graph *body = lo->body;
    const Node *last = body->results.at[0].node;
    if (lo->cls == KC_UPDATE && op_info(last->op)->cls == OC_UPDATE && !lower_config(lo, "whole"))
        return update_bytes(lo, last);
    bool each = lo->group->nin == body->inputs.n; /* else a table: sets of operands */
    double sum = each && lo->cls == KC_GEMM ? written(lo) : bytes(lo, lo->group->type);
    sum += sort_bytes(lo);
    for (uint32_t i = 0; i < lo->group->nin; i++) {
        const Type *t = lo->group->in[i]->type;
        sum += each ? touched(lo, body->inputs.at[i]) * dtype_info(t->dtype)->bytes : bytes(lo, t);
    }
    return sum;
}

/* The part of an attention's scores that its mask leaves: half, where keys end at the query. Where that
 * depends on data they begin somewhere before it, which is not known, and taken for the first. */
static double seen(const Lower *lo)
{
    Attention a = {0};
    AttentionBwd b = {0};
    bool found = (lo->cls == KC_ATTENTION && attention_find(lo->body, &a)) ||
                 (lo->cls == KC_ATTENTION_BWD && attention_find_bwd(lo->body, &b));
    if (lo->cls == KC_ATTENTION_BWD)
        a = b.a;
    double n = found ? (double)dim_hi(lo->ir, a.t) : 1;
    return found && attention_ends_at_query(lo->ir, &a) ? (n + 1) / (2 * n) : 1;
}

/* Of 16-bit operands; weights of an attention are rounded to the type of what they are multiplied with. */
static bool narrow(const Lower *lo, const Node *dot)
{
    DType a = products_operand(dot->in[0]), b = products_operand(dot->in[1]);
    bool left = dtype_is_half(a), right = dtype_is_half(b);
    return lo->cls == KC_ATTENTION || lo->cls == KC_ATTENTION_BWD ? left || right : left && a == b;
}

/* Of one set of operands and all of the scores. */
static void count_flops(Lower *lo)
{
    Kernel *k = lo->k;
    for (uint32_t i = 0; i < lo->body->nodes.n; i++) {
        const Node *n = lo->body->nodes.at[i];
        OpClass c = op_info(n->op)->cls;
        if (c == OC_ELEM || c == OC_SCAN)
            k->flops += count(lo, n->type);
        else if (c == OC_REDUCE || c == OC_SCATTER)
            k->flops += count(lo, n->in[0]->type);
        else if (c == OC_MULTI) /* a multiplication and an addition */
            for (uint32_t i_in = 0; i_in < n->nin; i_in++)
                k->flops += 2 * count(lo, n->in[i_in]->type);
        if (c != OC_CONTRACT)
            continue;
        k->products += node_flops(lo->ir, n);
        k->matrix += narrow(lo, n) ? node_flops(lo->ir, n) : 0;
    }
    k->flops += k->products;
}

void lower_count_work(Lower *lo)
{
    Kernel *k = lo->k;
    k->bytes = all_bytes(lo);
    count_flops(lo);
    double times = sets(lo) * seen(lo);
    k->flops *= times;
    k->products *= times;
    k->matrix *= times;
}
