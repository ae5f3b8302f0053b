/* fuse_map.c: index maps between the members of a group.
 *
 * Every path from a stored value to a value that the group also keeps is composed of the `at` maps
 * of its nodes. The kept value is computed once per element, so the composed map must be the
 * identity: at index p of the rows for values over P, at (p, r) for values over the folded space.
 * Example: in a softmax, max[p] is read by x[p, r] - expand(max)[p, r]; expand maps (p, r) to (p),
 * so the row that needs the maximum is the row that computed it. Index expressions are interned:
 * the identity is pointer equality. */
#include "fuse_groups.h"

#include <string.h>

enum { MAX_VISITS = 8192 };

typedef struct Spaces {
    const Type *fold; /* the folded operand, or NULL */
    uint32_t nrow, nfull;
    const Dim *row_dims[IR_MAX_RANK];
    const Ix *row[IR_MAX_RANK];  /* variables of P */
    const Ix *full[IR_MAX_RANK]; /* variables of P x R in the operand's axis order */
} Spaces;

typedef struct Maps {
    Fuse *fx;
    const Body *body;
    Spaces space;
    uint8_t *depends; /* by node: 1 holds a kept value or fold below it, 2 not */
    Map *done;        /* hash of (node, index) */
    uint32_t visits;
    Verdict verdict;
} Maps;

uint32_t fuse_fold_axes(const Node *n, int64_t axes[IR_MAX_RANK])
{
    ASSERT(n->nattr == 1 && (n->attr[0].kind == AK_INTS || n->attr[0].kind == AK_INT));
    if (n->attr[0].kind == AK_INT) {
        axes[0] = n->attr[0].i;
        return 1;
    }
    for (uint32_t i = 0; i < n->attr[0].n; i++)
        axes[i] = n->attr[0].ints[i];
    return n->attr[0].n;
}

/* Variables 0.. for the rows, then the folded axes; without a fold the rows are `root`'s elements. */
static void make_spaces(Ir *ir, Spaces *s, const Node *fold, const Type *root)
{
    bool folded[IR_MAX_RANK] = {false};
    int64_t axes[IR_MAX_RANK];
    const Type *t = fold ? fold->in[0]->type : root;
    uint32_t naxes = fold ? fuse_fold_axes(fold, axes) : 0, var = 0;
    for (uint32_t i = 0; i < naxes; i++)
        folded[axes[i]] = true;
    s->fold = fold ? t : NULL;
    s->nfull = t->rank;
    for (uint32_t i = 0; i < t->rank; i++) {
        s->full[i] = ix_var(ir, var++, t->dims[i]);
        if (folded[i])
            continue;
        s->row_dims[s->nrow] = t->dims[i];
        s->row[s->nrow++] = s->full[i];
    }
}

/* The identity index of a type that lies over P or over P x R; NULL when it lies over neither. */
static const Ix *const *identity(const Spaces *s, const Type *t)
{
    if (fuse_same_dims(t, s->nrow, s->row_dims))
        return s->row;
    if (s->fold && type_same_dims(t, s->fold))
        return s->full;
    return NULL;
}

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
        if (fuse_class(n) == OC_REDUCE)
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
        const Ix *const *want = identity(&m->space, n->type);
        if (!want || memcmp(want, ix, n->type->rank * sizeof *ix) != 0) {
            refuse(m, FUSE_MAP, "a value is read at another index than its own");
            return;
        }
    }
    if (first_visit(m, n->id, ix, n->type->rank))
        visit_operands(m, n, ix);
}

static const Node *first_fold(const Fuse *fx, const Body *body)
{
    for (uint32_t i = 0; i < body->members.n; i++) {
        const Node *n = fuse_node(fx, body->members.at[i]);
        if (fuse_class(n) == OC_REDUCE)
            return n;
    }
    return NULL;
}

Verdict fuse_check_maps(Fuse *fx, const Body *body)
{
    Maps m = {.fx = fx, .body = body, .verdict = {FUSE_OK, NULL}};
    ASSERT(body->stored.n > 0);
    m.depends = NEW_ARRAY(fx->scratch, uint8_t, fx->n);
    m.done = map_new(fx->scratch);
    const Type *root = fuse_node(fx, body->stored.at[0])->type;
    make_spaces(fx->cx->ir, &m.space, first_fold(fx, body), root);
    for (uint32_t i = 0; i < body->stored.n; i++) {
        const Node *n = fuse_node(fx, body->stored.at[i]);
        const Ix *const *at = identity(&m.space, n->type);
        if (!at)
            return (Verdict){FUSE_MAP, "its results have another shape"};
        visit(&m, n, at);
    }
    return m.verdict;
}
