/* fuse_inline.c: which values are kept, and which are computed again by each group that needs them.
 *
 * 1. Chains. The elementwise nodes that directly follow a contraction, one reader each, are its
 *    first epilogue: the bytes they save are certain. The end of the chain is kept. So in
 *    dot -> add bias -> {gelu, backward} the pre-activation is kept, not the bare product. Later
 *    contractions choose first: in a sum of products each adds to the sum so far, and two tensors are
 *    there at a time; were the first one to add them all, they would all have to wait for it.
 * 2. Backwards over the graph, when all readers of an elementwise value are decided: inline it into
 *    every group that reads it (all or nothing) if each group can hold it and computing it again is
 *    not slower than storing it; else keep it as a map group of its own. Merging comes later.
 * 3. Groups with too many inputs keep one more value until they fit. */
#include "fuse_groups.h"
#include "pick.h"
#include "products.h"

#include <math.h>

enum { CHEAP_OPERAND = 4, SOFT_NODES = 384, MAX_CHAIN = 256, TILE_ROWS = 64 };

/* ---- cones ---- */

static void cone_of(Fuse *fx, const Node *n)
{
    Cone *c = &fx->cone[n->id];
    OpClass cls = fuse_class(n);
    if (cls == OC_LEAF) {
        c->reads_leaf = !op_info(n->op)->folded;
        return;
    }
    if (cls != OC_VIEW && cls != OC_ELEM && cls != OC_GATHER) {
        c->computed = c->direct = true;
        return;
    }
    c->cost = cls == OC_VIEW ? 0 : fuse_op_cost(n);
    for (uint32_t k = 0; k < n->nin; k++) {
        const Cone *in = &fx->cone[n->in[k]->id];
        c->cost = fmin(c->cost + in->cost, 1e6);
        c->computed = c->computed || in->computed;
        c->direct = c->direct || (in->direct && cls == OC_ELEM);
        c->reads_leaf = c->reads_leaf || in->reads_leaf;
    }
}

void fuse_cones(Fuse *fx)
{
    for (uint32_t i = 0; i < fx->n; i++)
        cone_of(fx, fuse_node(fx, i));
}

/* ---- chains ---- */

/* The only node that reads each value, FUSE_NONE when there is none or more. */
static uint32_t *single_readers(Fuse *fx)
{
    uint32_t *reader = NEW_ARRAY(fx->arena, uint32_t, fx->n);
    bool *several = NEW_ARRAY(fx->arena, bool, fx->n);
    for (uint32_t i = 0; i < fx->n; i++)
        reader[i] = FUSE_NONE;
    for (uint32_t i = 0; i < fx->n; i++) {
        const Node *n = fuse_node(fx, i);
        for (uint32_t k = 0; k < n->nin && fx->live[i]; k++) {
            uint32_t in = n->in[k]->id;
            several[in] = several[in] || (reader[in] != FUSE_NONE && reader[in] != i);
            reader[in] = i;
        }
    }
    for (uint32_t i = 0; i < fx->n; i++) {
        if (several[i] || fx->sink[i])
            reader[i] = FUSE_NONE;
    }
    return reader;
}

/* Whether elementwise nodes of one reader each follow the node. */
static bool chain_goes_on(const Fuse *fx, uint32_t node, const uint32_t *reader)
{
    uint32_t next = reader[node];
    return next != FUSE_NONE && fx->chain[next] == FUSE_NONE &&
           fuse_class(fuse_node(fx, next)) == OC_ELEM &&
           type_same_dims(fuse_node(fx, next)->type, fuse_node(fx, node)->type);
}

static void grow_chain(Fuse *fx, const Node *dot, const uint32_t *reader)
{
    uint32_t group = fx->owner[dot->id], at = dot->id;
    for (int length = 0; length < MAX_CHAIN && !fx->cx->plain; length++) {
        uint32_t next = reader[at];
        if (next == FUSE_NONE || fx->chain[next] != FUSE_NONE)
            break;
        const Node *n = fuse_node(fx, next);
        if (fuse_class(n) != OC_ELEM || !type_same_dims(n->type, dot->type) ||
            (n->inst && !dot->inst))
            break;
        if (node_widens(n) && !chain_goes_on(fx, next, reader))
            break; /* what is kept is narrow: readers widen it */
        fx->chain[next] = group;
        fuse_note(fx, group, "merged %s as epilogue: only reader", fuse_label(fx, next));
        at = next;
    }
    if (at != dot->id) {
        ids_add(fx->arena, &fx->groups.at[group]->kept, at);
        fx->owner[at] = group;
    }
}

void fuse_chains(Fuse *fx)
{
    const uint32_t *reader = single_readers(fx);
    Ids dots = {0};
    for (uint32_t i = 0; i < fx->n; i++) {
        if (fx->live[i] && fuse_class(fuse_node(fx, i)) == OC_CONTRACT) {
            VEC_PUSH(fx->arena, &dots, i);
            fuse_group_new(fx, i, KC_GEMM);
        }
    }
    for (uint32_t i = dots.n; i-- > 0;)
        grow_chain(fx, fuse_node(fx, dots.at[i]), reader);
}

/* ---- uses ---- */

static void add_use(Fuse *fx, const Node *n, Use use)
{
    if (fuse_class(n) == OC_LEAF)
        return;
    Uses *uses = &fx->uses[n->id];
    for (uint32_t i = 0; i < uses->n; i++) {
        Use *u = &uses->at[i];
        if (u->group == use.group && u->role == use.role && u->viewed == use.viewed) {
            u->evals = fmax(u->evals, use.evals);
            u->memory = u->memory || use.memory;
            return;
        }
    }
    VEC_PUSH(fx->arena, uses, use);
}

static Use use_of(uint32_t group, Role role, bool viewed, double evals)
{
    return (Use){.group = group, .role = role, .viewed = viewed, .evals = evals};
}

static void use_operands(Fuse *fx, const Node *n, Use use)
{
    bool moved = fuse_class(n) == OC_VIEW || fuse_class(n) == OC_GATHER;
    for (uint32_t k = 0; k < n->nin; k++) {
        Use u = use;
        u.viewed = u.viewed || moved;
        if (u.role == ROLE_VALUE)
            u.evals = fuse_count(fx, n->in[k]->type);
        add_use(fx, n->in[k], u);
    }
}

static bool has_few_queries(const Fuse *fx, const Node *n)
{
    Attention a;
    return fuse_class(n) == OC_CALL && attention_find(node_def(n)->body, &a) &&
           pick_few_queries(fx->cx, &a);
}

/* Whether matrix units multiply this operand of n. Of few rows each element is read once or twice: those compute
 * it. */
static bool is_multiplied(const Fuse *fx, const Node *n, const Node *operand)
{
    if (fx->cx->target->matrix <= 0 || !dtype_is_half(products_operand(operand)))
        return false;
    if (fuse_class(n) != OC_CONTRACT)
        return fuse_count(fx, operand->type) >= TILE_ROWS * TILE_ROWS && !has_few_queries(fx, n);
    PickExtents e = pick_extents(fx->cx->ir, n);
    return e.m >= TILE_ROWS && e.n >= TILE_ROWS;
}

static void use_operand(Fuse *fx, const Node *n, uint32_t k)
{
    const Node *in = n->in[k];
    add_use(fx, in,
            (Use){fx->owner[n->id], ROLE_OPERAND, true, fuse_count(fx, in->type),
                  is_multiplied(fx, n, in)});
}

/* Somebody multiplies n as it lies in memory, and it is no mere copy. */
static bool must_lie(const Fuse *fx, const Node *n)
{
    bool read = false;
    for (uint32_t i = 0; i < fx->uses[n->id].n; i++)
        read = read || fx->uses[n->id].at[i].memory;
    return read && dtype_is_half(n->type->dtype) && !fuse_is_trivial(fx, n) && !fx->cx->plain;
}

/* Every group that reads n computes it: what n reads is read by them. */
static void pass_on(Fuse *fx, const Node *n)
{
    for (uint32_t i = 0; i < fx->uses[n->id].n; i++)
        use_operands(fx, n, fx->uses[n->id].at[i]);
}

static uint32_t keep_map(Fuse *fx, const Node *n, const Verdict *why)
{
    uint32_t group = fuse_group_new(fx, n->id, KC_MAP);
    if (why->why && (!fx->sink[n->id] || fuse_class(n) == OC_VIEW))
        fuse_note(fx, group, "stored %s: %s %s", fuse_label(fx, n->id), fuse_code_name(why->code),
                  why->why);
    use_operands(fx, n, use_of(group, ROLE_TREE, false, fuse_count(fx, n->type)));
    return group;
}

/* ---- the decision ---- */

static bool fits_operand(const Fuse *fx, const Node *n)
{
    const Cone *c = &fx->cone[n->id];
    return fuse_is_trivial(fx, n) || node_widens(n) || (c->cost <= CHEAP_OPERAND && !c->direct);
}

static bool fits_epilogue(const Fuse *fx, const Node *n, const Use *u)
{
    if (fuse_is_trivial(fx, n))
        return true;
    const Node *end = fuse_node(fx, VEC_LAST(&fx->groups.at[u->group]->kept));
    return !u->viewed && fuse_class(n) == OC_ELEM && type_same_dims(n->type, end->type);
}

static Verdict role_verdict(const Fuse *fx, const Node *n, const Use *u)
{
    switch (u->role) {
    case ROLE_TREE:
        return (Verdict){FUSE_OK, NULL};
    case ROLE_OPERAND:
        if (fits_operand(fx, n))
            return (Verdict){FUSE_OK, NULL};
        return fx->cone[n->id].direct
                   ? (Verdict){FUSE_CLASS, "operand of a contraction, epilogue of what computes it"}
                   : (Verdict){FUSE_COST, "operand of a contraction, which would repeat it"};
    case ROLE_EPILOGUE:
        if (fits_epilogue(fx, n, u))
            return (Verdict){FUSE_OK, NULL};
        return (Verdict){FUSE_EPI, "a contraction's epilogue reads it at another index"};
    case ROLE_VALUE:
        return (Verdict){FUSE_CLASS, "its reader needs the tensor itself"};
    }
    BUG("no such role: %d", (int)u->role);
}

/* Computed once per row, or once at all, but read for every element. */
static bool is_spread(const Fuse *fx, const Node *n, const Use *u)
{
    const Cone *c = &fx->cone[n->id];
    if (fuse_is_trivial(fx, n) || u->evals <= 1.5 * fuse_count(fx, n->type))
        return false;
    return c->computed || (n->type->rank == 0 && c->cost > 1) || c->cost > 2 * CHEAP_OPERAND;
}

/* A fold reads several computed tensors through n: who computes them may hold n and hand over one. */
static bool joins_results(const Fuse *fx, const Node *n, const Uses *uses)
{
    if (uses->n != 1 || uses->at[0].viewed || fuse_class(n) != OC_ELEM ||
        fx->groups.at[uses->at[0].group]->cls != KC_REDUCE)
        return false;
    const Node *first = NULL;
    for (uint32_t k = 0; k < n->nin; k++) {
        if (!fx->cone[n->in[k]->id].direct)
            continue;
        if (first && first != n->in[k])
            return true;
        first = n->in[k];
    }
    return false;
}

static Verdict decide(const Fuse *fx, const Node *n, const uint32_t *size)
{
    const Uses *uses = &fx->uses[n->id];
    if (fx->sink[n->id])
        return (Verdict){FUSE_CLASS, "a result"};
    if (fx->cx->plain)
        return (Verdict){FUSE_COST, "fusion is left out"};
    for (uint32_t i = 0; i < uses->n; i++) {
        Verdict v = role_verdict(fx, n, &uses->at[i]);
        if (v.code != FUSE_OK)
            return v;
    }
    for (uint32_t i = 0; i < uses->n; i++) {
        if (size[uses->at[i].group] >= SOFT_NODES)
            return (Verdict){FUSE_RES, "its reader is full"};
        if (is_spread(fx, n, &uses->at[i]))
            return (Verdict){FUSE_COST, "computed once, read many times"};
    }
    if (must_lie(fx, n) && !node_widens(n))
        return (Verdict){FUSE_COST, "matrix units read it from memory"};
    if (joins_results(fx, n, uses))
        return (Verdict){FUSE_COST, "it joins results that its reader would have to read"};
    if (uses->n > 1 && !fuse_is_trivial(fx, n) && !fuse_inline_pays(fx, n, uses))
        return (Verdict){FUSE_COST, "storing is cheaper than computing it for each reader"};
    return (Verdict){FUSE_OK, NULL};
}

static void place_elementwise(Fuse *fx, const Node *n, uint32_t *size)
{
    if (fx->chain[n->id] != FUSE_NONE) {
        use_operands(fx, n,
                     use_of(fx->chain[n->id], ROLE_EPILOGUE, false, fuse_count(fx, n->type)));
        return;
    }
    Verdict v = decide(fx, n, size);
    if (v.code != FUSE_OK) {
        keep_map(fx, n, &v);
        return;
    }
    for (uint32_t i = 0; i < fx->uses[n->id].n; i++)
        size[fx->uses[n->id].at[i].group]++;
    pass_on(fx, n);
}

static void place_table(Fuse *fx, const Node *n, uint32_t group)
{
    for (uint32_t k = 0; k < n->nin; k++) {
        if (fuse_class(n->in[k]) == OC_VIEW)
            fx->solid[n->in[k]->id] = true;
    }
    use_operands(fx, n, use_of(group, ROLE_VALUE, false, 0));
}

static void place_scatter(Fuse *fx, const Node *n)
{
    uint32_t group = fuse_group_new(fx, n->id, KC_SCATTER);
    for (uint32_t k = 0; k < n->nin; k++)
        add_use(
            fx, n->in[k],
            use_of(group, k == 0 ? ROLE_TREE : ROLE_VALUE, true, fuse_count(fx, n->in[k]->type)));
}

/* A composite that a class claims: operands are read by index, like those of a contraction. */
static void place_call(Fuse *fx, const Node *n)
{
    if (fx->owner[n->id] == FUSE_NONE) { /* of one result; of several, the members come first */
        KernelClass cls;
        if (!claim_find(fx->cx, node_def(n), &cls))
            BUG("fuse: '%s' was not expanded", node_def(n)->name);
        fuse_group_new(fx, n->id, cls);
    }
    for (uint32_t k = 0; k < n->nin; k++)
        use_operand(fx, n, k);
}

/* A result of a call that has several: all are kept by one group. */
static void place_member(Fuse *fx, const Node *n)
{
    const Node *call = n->in[0];
    KernelClass cls = FUSE_LOOP;
    if (fuse_class(call) != OC_LOOP &&
        (fuse_class(call) != OC_CALL || !claim_find(fx->cx, node_def(call), &cls)))
        BUG("fuse: %%%u is a member of no call", n->id);
    if (fx->owner[call->id] == FUSE_NONE) {
        fx->owner[call->id] = fuse_group_new(fx, n->id, cls);
        return;
    }
    fx->owner[n->id] = fx->owner[call->id];
    ids_add(fx->arena, &fx->groups.at[fx->owner[n->id]]->kept, n->id);
}

/* A loop reads tensors: of what goes round, slice by slice, or again and again. */
static void place_loop(Fuse *fx, const Node *n)
{
    if (fx->owner[n->id] == FUSE_NONE)
        fuse_group_new(fx, n->id, FUSE_LOOP);
    place_table(fx, n, fx->owner[n->id]);
}

/* Each element of the operand is read once. */
static void place_lines(Fuse *fx, const Node *n, KernelClass cls)
{
    uint32_t group = fuse_group_new(fx, n->id, cls);
    add_use(fx, n->in[0], use_of(group, ROLE_TREE, true, fuse_count(fx, n->type)));
}

/* The rows are read once; the tensor that gets them is a buffer. */
static void place_update(Fuse *fx, const Node *n)
{
    uint32_t group = fuse_group_new(fx, n->id, KC_UPDATE);
    if (fuse_class(n->in[0]) == OC_VIEW)
        fx->solid[n->in[0]->id] = true;
    add_use(fx, n->in[0], use_of(group, ROLE_VALUE, false, 0));
    add_use(fx, n->in[1], use_of(group, ROLE_TREE, true, fuse_count(fx, n->in[1]->type)));
    add_use(fx, n->in[2], use_of(group, ROLE_VALUE, true, 1));
}

static void place_view(Fuse *fx, const Node *n)
{
    if (n->nin > 1 && must_lie(fx, n)) /* put together of several */
        fx->solid[n->id] = true;
    if (fx->sink[n->id] || fx->solid[n->id]) {
        Verdict why = {FUSE_CLASS, fx->sink[n->id] ? "a result, copied" : "copied for its reader"};
        keep_map(fx, n, &why);
    }
    if (!fx->solid[n->id])
        pass_on(fx, n);
}

static void place(Fuse *fx, const Node *n, uint32_t *size)
{
    switch (fuse_class(n)) {
    case OC_LEAF:
        if (fx->sink[n->id])
            keep_map(fx, n, &(Verdict){FUSE_CLASS, "a result, copied"});
        return;
    case OC_VIEW:
        place_view(fx, n);
        return;
    case OC_ELEM:
    case OC_GATHER:
        place_elementwise(fx, n, size);
        return;
    case OC_REDUCE:
        use_operands(fx, n,
                     use_of(fuse_group_new(fx, n->id, KC_REDUCE), ROLE_TREE, false,
                            fuse_count(fx, n->in[0]->type)));
        return;
    case OC_CONTRACT:
        for (uint32_t k = 0; k < n->nin; k++)
            use_operand(fx, n, k);
        return;
    case OC_SCATTER:
        place_scatter(fx, n);
        return;
    case OC_MULTI:
        place_table(fx, n, fuse_group_new(fx, n->id, KC_MULTI_SUMSQ));
        return;
    case OC_CALL:
        place_call(fx, n);
        return;
    case OC_TUPLE:
        place_member(fx, n);
        return;
    case OC_SCAN:
        place_lines(fx, n, KC_PREFIX);
        return;
    case OC_SORT:
        place_lines(fx, n, KC_SORT);
        return;
    case OC_LOOP:
        place_loop(fx, n);
        return;
    case OC_UPDATE:
        place_update(fx, n);
        return;
    case OC_GROUP:
        BUG("fuse: %%%u is a %s", n->id, op_info(n->op)->name);
    }
}

/* ---- too many inputs ---- */

/* The inlined member whose own cone reads the most values, at most half of what a group may read. */
static uint32_t best_cut(Fuse *fx, const Body *body)
{
    uint32_t best = FUSE_NONE, most = 1;
    for (uint32_t i = 0; i < body->members.n; i++) {
        uint32_t id = body->members.at[i];
        OpClass cls = fuse_class(fuse_node(fx, id));
        if ((cls != OC_ELEM && cls != OC_GATHER) || fx->owner[id] != FUSE_NONE ||
            fx->chain[id] != FUSE_NONE)
            continue;
        uint32_t reads = fuse_cone_reads(fx, body, id);
        if (reads > most && reads <= FUSE_INPUTS / 2) {
            most = reads;
            best = id;
        }
    }
    return best;
}

static void repair(Fuse *fx)
{
    for (uint32_t i = 0; i < fx->groups.n; i++) {
        for (;;) {
            Body body;
            fuse_walk_kept(fx, i, &body);
            bool table = body.nclass[OC_MULTI] > 0;
            uint32_t cut = body.reads.n > FUSE_INPUTS && !table ? best_cut(fx, &body) : FUSE_NONE;
            if (cut == FUSE_NONE)
                break;
            fuse_note(fx, fuse_group_new(fx, cut, KC_MAP), "stored %s: RES more than 24 inputs",
                      fuse_label(fx, cut));
        }
    }
}

void fuse_inline(Fuse *fx)
{
    uint32_t *size = NEW_ARRAY(fx->arena, uint32_t, 2 * (size_t)fx->n + 1); /* by group */
    for (uint32_t i = fx->n; i-- > 0;) {
        const Node *n = fuse_node(fx, i);
        if (fx->live[i])
            place(fx, n, size);
    }
    repair(fx);
}
