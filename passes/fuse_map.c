/* fuse_map.c: index maps between the members of a group.
 *
 * Every path from a stored value to a value that the group also keeps is composed of the `at` maps
 * of its nodes. The kept value is computed once per element, so the composed map must be the
 * identity: at index p of the rows for values over P, at (p, r) for values over the folded space.
 * Example: in a softmax, max[p] is read by x[p, r] - expand(max)[p, r]; expand maps (p, r) to (p),
 * so the row that needs the maximum is the row that computed it. Values computed from folds of columns, in
 * a group that folds rows as well, are a matter of their own: at r of the columns, when all rows are done.
 * Index expressions are interned: the identity is pointer equality. */
#include "fuse_groups.h"

#include <string.h>

enum { MAX_VISITS = 8192 };

typedef struct Maps {
    Fuse *fx;
    const Body *body;
    Space space;
    uint8_t *depends; /* by node: 1 holds a kept value or fold below it, 2 not */
    uint8_t *column;  /* by node: 1 is or holds a fold of columns, 2 not */
    Map *done;        /* hash of (node, index) */
    uint32_t visits;
    Verdict verdict;
} Maps;

static bool is_kept(const Maps *m, uint32_t id)
{
    return ids_has(&m->body->kept, id) || fuse_class(fuse_node(m->fx, id)) == OC_REDUCE;
}

static bool depends(Maps *m, uint32_t id)
{
    if (m->depends[id])
        return m->depends[id] == 1;
    const Node *n = fuse_node(m->fx, id);
    OpClass cls = fuse_class(n);
    bool found = false;
    if (!fuse_is_read(m->fx, m->body, id) && cls != OC_LEAF) {
        found = cls != OC_VIEW && is_kept(m, id);
        for (uint32_t k = 0; k < n->nin; k++)
            found = depends(m, n->in[k]->id) || found;
    }
    m->depends[id] = found ? 1 : 2;
    return found;
}

static bool is_column(Maps *m, const Node *n)
{
    if (m->column[n->id])
        return m->column[n->id] == 1;
    OpClass cls = fuse_class(n);
    bool found = false;
    if (!fuse_is_read(m->fx, m->body, n->id) && cls != OC_LEAF) {
        found = cls == OC_REDUCE && !space_folds_rows(&m->space, n);
        for (uint32_t k = 0; k < n->nin; k++)
            found = is_column(m, n->in[k]) || found;
    }
    m->column[n->id] = found ? 1 : 2;
    return found;
}

/* The index of the element that a kept value belongs to. */
static const Ix *const *own_index(Maps *m, const Node *n)
{
    return is_column(m, n) ? space_column(&m->space, n->type) : space_identity(&m->space, n->type);
}

static void refuse(Maps *m, FuseCode code, const char *why)
{
    if (m->verdict.code == FUSE_OK)
        m->verdict = (Verdict){code, why};
}

static bool first_visit(Maps *m, uint32_t id, const Ix *const *ix, uint32_t rank)
{
    uint64_t h = hash_mix(0, id);
    for (uint32_t i = 0; i < rank; i++)
        h = hash_mix(h, MAP_KEY(ix[i]));
    if (map_get(m->done, h))
        return false;
    map_put(m->done, h, m);
    if (++m->visits > MAX_VISITS)
        refuse(m, FUSE_RES, "too many index maps");
    return true;
}

static void visit(Maps *m, const Node *n, const Ix *const *ix);

static void visit_operands(Maps *m, const Node *n, const Ix *const *ix)
{
    for (uint32_t k = 0; k < n->nin; k++) {
        const Ix *in[IR_MAX_RANK];
        if (!depends(m, n->in[k]->id))
            continue;
        if (fuse_class(n) == OC_REDUCE && is_column(m, n->in[k]))
            refuse(m, FUSE_RED, "it is folded again");
        else if (fuse_class(n) == OC_REDUCE)
            visit(m, n->in[k], m->space.full);
        else if (op_at(m->fx->cx->ir, n, k, ix, in))
            visit(m, n->in[k], in);
        else
            refuse(m, FUSE_MAP, "it is padded or joined on the way");
    }
}

static void visit(Maps *m, const Node *n, const Ix *const *ix)
{
    if (m->verdict.code != FUSE_OK || !depends(m, n->id))
        return;
    if (is_kept(m, n->id) && fuse_class(n) != OC_VIEW) {
        const Ix *const *want = own_index(m, n);
        if (!want || memcmp(want, ix, n->type->rank * sizeof *ix) != 0) {
            refuse(m, FUSE_MAP, "a value is read at another index than its own");
            return;
        }
    }
    if (first_visit(m, n->id, ix, n->type->rank))
        visit_operands(m, n, ix);
}

static Maps begin_maps(Fuse *fx, const Body *body)
{
    Maps m = {.fx = fx, .body = body, .verdict = {FUSE_OK, NULL}};
    m.depends = NEW_ARRAY(fx->scratch, uint8_t, fx->n);
    m.column = NEW_ARRAY(fx->scratch, uint8_t, fx->n);
    m.done = map_new(fx->scratch);
    return m;
}

Verdict fuse_check_folds(Fuse *fx, const Body *body)
{
    const Body folds = {.a = body->a, .b = body->b}; /* nothing is kept but folds */
    Maps m = begin_maps(fx, &folds);
    space_make(fx->cx->ir, &m.space, fuse_first_fold(fx, body), NULL);
    for (uint32_t i = 0; i < body->members.n; i++) {
        const Node *n = fuse_node(fx, body->members.at[i]);
        if (fuse_class(n) == OC_REDUCE)
            visit(&m, n, space_identity(&m.space, n->type));
    }
    return m.verdict;
}

Verdict fuse_check_maps(Fuse *fx, const Body *body)
{
    ASSERT(body->stored.n > 0);
    Maps m = begin_maps(fx, body);
    const Type *root = fuse_node(fx, body->stored.at[0])->type;
    space_make(fx->cx->ir, &m.space, fuse_first_fold(fx, body), root);
    for (uint32_t i = 0; i < body->stored.n; i++) {
        const Node *n = fuse_node(fx, body->stored.at[i]);
        const Ix *const *at = own_index(&m, n);
        if (!at)
            return (Verdict){FUSE_MAP, "its results have another shape"};
        visit(&m, n, at);
    }
    return m.verdict;
}
