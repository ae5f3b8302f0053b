/* fuse_gemm.c: which groups the class gemm can hold: dots with elementwise operands, or folds of few rows in them
 * (fuse_prologue.c), and results that are elementwise over the space of the dots they read. Dots that a result reads
 * together are a set, with one epilogue (compiler/target/products.h); sets need nothing of one another. */
#include "fuse_groups.h"
#include "products.h"

#include <string.h>

typedef struct GemmFit {
    Fuse *fx;
    const Body *body;
    const Node *dot[PRODUCTS_MOST];
    uint32_t n;
    uint32_t set[PRODUCTS_MOST]; /* of each dot: the dots it belongs with, a bit each */
    bool folds;        /* operands read folds: what is kept is computed for each element */
    const Type *space; /* of the result at hand */
    bool *seen;        /* by node */
    uint8_t *side;     /* by node: 1 may be read through views, 2 not */
    uint32_t *reach;   /* by node: the dots an epilogue reads below it */
} GemmFit;

static Verdict refuse(FuseCode code, const char *why)
{
    return (Verdict){code, why};
}

static const Verdict fine = {FUSE_OK, NULL};

/* Operands are evaluated while packing, some more than once: nothing there is stored, no other dot
 * computed. */
static Verdict fit_operand(const GemmFit *e, const Node *n)
{
    if (e->seen[n->id] || fuse_is_read(e->fx, e->body, n->id))
        return fine;
    e->seen[n->id] = true;
    if (fuse_class(n) == OC_CONTRACT)
        return refuse(FUSE_CLASS, "one product is an operand of the other");
    if (ids_has(e->folds ? &e->body->stored : &e->body->kept, n->id))
        return refuse(FUSE_CLASS, "a gemm does not store its operands");
    for (uint32_t k = 0; k < n->nin; k++) {
        Verdict v = fit_operand(e, n->in[k]);
        if (v.code != FUSE_OK)
            return v;
    }
    return fine;
}

static Verdict fit_operands(const GemmFit *e)
{
    for (uint32_t d = 0; d < e->n; d++) {
        for (uint32_t k = 0; k < e->dot[d]->nin; k++) {
            Verdict v = fit_operand(e, e->dot[d]->in[k]);
            if (v.code != FUSE_OK)
                return v;
        }
    }
    return fine;
}

/* What the epilogue reads through views must not be computed here, but for trivial scalars. */
static bool is_side_input(GemmFit *e, const Node *n)
{
    if (fuse_is_read(e->fx, e->body, n->id) || fuse_class(n) == OC_LEAF)
        return true;
    if (fuse_class(n) != OC_VIEW)
        return fuse_is_trivial(e->fx, n);
    if (e->side[n->id])
        return e->side[n->id] == 1;
    bool ok = true;
    for (uint32_t k = 0; k < n->nin; k++)
        ok = ok && is_side_input(e, n->in[k]);
    e->side[n->id] = ok ? 1 : 2;
    return ok;
}

static uint32_t dot_bit(const GemmFit *e, const Node *n)
{
    uint32_t bit = 0;
    for (uint32_t d = 0; d < e->n; d++)
        bit |= e->dot[d] == n ? UINT32_C(1) << d : 0;
    return bit;
}

static Verdict fit_epilogue(GemmFit *e, const Node *n, uint32_t *reach)
{
    OpClass cls = fuse_class(n);
    if (fuse_is_read(e->fx, e->body, n->id) || cls == OC_LEAF)
        return fine;
    if (cls == OC_VIEW)
        return is_side_input(e, n) ? fine : refuse(FUSE_EPI, "the result is read at another index");
    if ((cls != OC_ELEM && cls != OC_CONTRACT) || !type_same_dims(n->type, e->space))
        return refuse(FUSE_EPI, "an epilogue is elementwise over the result");
    if (!e->seen[n->id]) {
        e->seen[n->id] = true;
        e->reach[n->id] = dot_bit(e, n);
        for (uint32_t k = 0; k < n->nin && cls == OC_ELEM; k++) {
            Verdict v = fit_epilogue(e, n->in[k], &e->reach[n->id]);
            if (v.code != FUSE_OK)
                return v;
        }
    }
    *reach |= e->reach[n->id];
    return fine;
}

/* ---- rows of a state ---- */

/* Rows that are written into a state which nothing else reads: they can go straight to their place, and the memory
 * plan has no other choice. */
static bool is_only_reader(const Fuse *fx, const Node *update)
{
    uint32_t state, homes = 0, readers = 0;
    const Node *x = update->in[0];
    bool own = node_is_state(x, &state) && !fx->sink[x->id];
    for (uint32_t i = 0; i < fx->g->results.n; i++)
        own = own && fx->g->results.at[i].node != update;
    for (uint32_t i = 0; i < fx->g->writes.n && own; i++) {
        const GraphWrite *w = &fx->g->writes.at[i];
        own = w->node != update || w->state == state;
        homes += w->node == update;
    }
    for (uint32_t i = 0; i < fx->n && own; i++)
        for (uint32_t k = 0; k < fuse_node(fx, i)->nin && fx->live[i]; k++)
            readers += fuse_node(fx, i)->in[k] == x;
    return own && homes == 1 && readers == 1;
}

static bool has_space(const GemmFit *e, const Type *t)
{
    bool found = false;
    for (uint32_t d = 0; d < e->n; d++)
        found = found || type_same_dims(e->dot[d]->type, t);
    return found;
}

/* Whether all of a result, or of the rows of an update, are epilogues' values, each stored where it belongs. */
static Verdict fit_pieces(GemmFit *e, const Node *result, uint32_t *reach)
{
    const Verdict mixed = refuse(FUSE_EPI, "its parts are no values of products, moved as a whole");
    ProductsPiece piece[PRODUCTS_PIECES];
    uint32_t n = products_pieces(result, piece);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t own = 0;
        e->space = piece[i].value->type;
        for (uint32_t k = 0; k < piece[i].nview; k++)
            if (fuse_is_read(e->fx, e->body, piece[i].view[k]->id))
                return mixed;
        if (!has_space(e, e->space))
            return mixed;
        Verdict v = fit_epilogue(e, piece[i].value, &own);
        if (v.code != FUSE_OK)
            return v;
        if (!own)
            n = 0;
        *reach |= own;
    }
    return n ? fine : mixed;
}

static Verdict fit_rows(GemmFit *e, const Node *update, uint32_t *reach)
{
    const Node *at = update->in[2];
    if (!is_only_reader(e->fx, update))
        return refuse(FUSE_EPI, "the tensor that gets the rows is more than a state of its own");
    if (fuse_class(at) != OC_LEAF && !fuse_is_read(e->fx, e->body, at->id))
        return refuse(FUSE_EPI, "the place of the rows is computed");
    return fit_pieces(e, update, reach);
}

static Verdict fit_result(GemmFit *e, const Node *n, uint32_t *reach)
{
    OpClass cls = fuse_class(n);
    if (cls == OC_UPDATE)
        return fit_rows(e, n, reach);
    if (products_moved(n))
        return fit_pieces(e, n, reach);
    if ((cls != OC_ELEM && cls != OC_CONTRACT) || !has_space(e, n->type))
        return refuse(FUSE_EPI, "an epilogue is elementwise over the result");
    e->space = n->type;
    return fit_epilogue(e, n, reach);
}

/* ---- several dots ---- */

static void join(GemmFit *e, uint32_t mask)
{
    for (uint32_t d = 0; d < e->n; d++)
        mask |= mask >> d & 1 ? e->set[d] : 0;
    for (uint32_t d = 0; d < e->n; d++)
        e->set[d] = mask >> d & 1 ? mask : e->set[d];
}

static uint32_t count_bits(uint32_t mask)
{
    uint32_t n = 0;
    for (; mask; mask &= mask - 1)
        n++;
    return n;
}

/* Doubles have kernels without vectors, which floats need not suffer. */
static bool is_plain(DType dt)
{
    return dtype_info(dt)->bytes == 8;
}

static Verdict fit_sets(const GemmFit *e)
{
    for (uint32_t d = 0; d < e->n; d++) {
        uint32_t first = 0;
        while (!(e->set[d] >> first & 1))
            first++;
        if (!products_match(e->dot[d], e->dot[first]))
            return refuse(FUSE_EPI, "the axes of the products differ");
        if (count_bits(e->set[d]) > PRODUCTS_TOGETHER)
            return refuse(FUSE_RES, "more than 4 products before one epilogue");
        if (is_plain(e->dot[d]->type->dtype) != is_plain(e->dot[0]->type->dtype))
            return refuse(FUSE_CLASS, "float64 has other kernels");
    }
    for (uint32_t i = 0; e->n > 1 && i < e->body->stored.n; i++) {
        const Node *n = fuse_node(e->fx, e->body->stored.at[i]);
        if (is_plain(n->type->dtype) != is_plain(e->dot[0]->type->dtype))
            return refuse(FUSE_CLASS, "results of 8 bytes have other kernels");
    }
    return fine;
}

Verdict fuse_fit_gemm(Fuse *fx, const Body *body)
{
    GemmFit e = {.fx = fx, .body = body, .folds = body->nclass[OC_REDUCE] > 0};
    Verdict rows = e.folds ? fuse_fit_prologue(fx, body) : fine;
    if (rows.code != FUSE_OK)
        return rows;
    for (uint32_t i = 0; i < body->members.n; i++) {
        const Node *n = fuse_node(fx, body->members.at[i]);
        if (fuse_class(n) != OC_CONTRACT)
            continue;
        ASSERT(e.n < PRODUCTS_MOST);
        e.set[e.n] = UINT32_C(1) << e.n;
        e.dot[e.n++] = n;
    }
    e.seen = NEW_ARRAY(fx->scratch, bool, fx->n);
    e.side = NEW_ARRAY(fx->scratch, uint8_t, fx->n);
    e.reach = NEW_ARRAY(fx->scratch, uint32_t, fx->n);
    Verdict operands = fit_operands(&e);
    if (operands.code != FUSE_OK)
        return operands;
    memset(e.seen, 0, fx->n * sizeof *e.seen);
    for (uint32_t i = 0; i < body->stored.n; i++) {
        const Node *n = fuse_node(fx, body->stored.at[i]);
        uint32_t reach = 0;
        Verdict v = fit_result(&e, n, &reach);
        if (v.code != FUSE_OK)
            return v;
        join(&e, reach);
    }
    return fit_sets(&e);
}

/* ---- one launch ---- */

/* What the operands of a group's dots read. */
static void operand_reads(Fuse *fx, const Body *body, const Node *n, Ids *reads)
{
    if (fx->mark[n->id] == fx->stamp)
        return;
    fx->mark[n->id] = fx->stamp;
    uint32_t state;
    if (fuse_is_read(fx, body, n->id)) {
        if (n->type->rank >= 2 && !node_is_state(n, &state))
            ids_add(fx->arena, reads, n->id);
        return;
    }
    for (uint32_t k = 0; k < n->nin; k++)
        operand_reads(fx, body, n->in[k], reads);
}

static Ids group_operands(Fuse *fx, uint32_t group)
{
    Body body;
    Ids reads = {0};
    fuse_walk(fx, group, FUSE_NONE, &body);
    fx->stamp++;
    for (uint32_t i = 0; i < body.members.n; i++) {
        const Node *n = fuse_node(fx, body.members.at[i]);
        for (uint32_t k = 0; k < n->nin && fuse_class(n) == OC_CONTRACT; k++)
            operand_reads(fx, &body, n->in[k], &reads);
    }
    return reads;
}

bool fuse_share_operand(Fuse *fx, uint32_t a, uint32_t b)
{
    Ids x = group_operands(fx, a), y = group_operands(fx, b);
    bool found = false;
    for (uint32_t i = 0; i < x.n; i++)
        found = found || ids_has(&y, x.at[i]);
    return found;
}
