/* merge.c: a product that is read in parts becomes a product of each part, which fusion can merge with
 * what reads them.
 *
 * before:  %3 = dot x w     [T, H * 2 * d]           %4 = reshape %3  [T, H, 2, d]
 *          %5, %6 = slices of %4, the halves         %7 = sub (mul %5 c) (mul %6 s) ...
 * after:   %5 = dot x w5    %6 = dot x w6            w5, w6: slices of w, which are views
 *
 * A rotation reads two halves of each head at one index, but the whole product at two: no epilogue of it
 * could. The halves have one result space, and so one epilogue. Elements keep their sums, and nothing is
 * computed twice. It is done where it helps: all parts of one shape together are the product, their
 * readers are elementwise, and some value needs several of them; or a part is the rows of an update, which a
 * product can write straight to their place (queries, keys and values of one weight). Between the product and the
 * slices may be elementwise operations that nobody else reads (a bias, a cast); of those behind a reshape, all
 * other operands are constants.
 *
 * after prune, so that parts nobody reads are gone; before remat and fuse. */
#include "internal.h"
#include "products.h"

#include <string.h>

enum { MOST_CHAIN = 8, LEAST_LANES = 16 };

typedef VEC(const Node *) Nodes;

/* A part of a product: the slice, and the reshapes behind it. */
typedef struct Part {
    const Node *slice, *end;
} Part;

typedef struct Split {
    const Node *dot;
    const Node *chain[MOST_CHAIN]; /* elementwise, from the dot on */
    const Node *from[MOST_CHAIN];  /* of each, the operand that leads to the dot */
    uint32_t nchain;
    const Node *joint; /* what the slices are of: the end of the chain, perhaps reshaped */
    Part part[PRODUCTS_TOGETHER];
    uint32_t nparts;
    uint32_t before; /* axes of the result before those of the right operand */
    uint32_t run;    /* the first of these axes in the right operand, where they are neighbours */
    uint32_t nrun;
} Split;

typedef struct Merge {
    const Graph *in;
    Arena *arena;
    uint32_t *seen;      /* by node id: parts it depends on, a bit each */
    Nodes *readers;      /* by node id */
    bool *sink;          /* by node id: a result or a write */
    const Split **split; /* by node id: of the end of a part */
} Merge;

/* ---- finding ---- */

static const Node *only_reader(const Merge *m, const Node *n)
{
    return m->readers[n->id].n == 1 && !m->sink[n->id] ? m->readers[n->id].at[0] : NULL;
}

/* The free axes of the right operand are neighbours, in order. */
static bool find_run(Split *s)
{
    DotAxes x;
    node_dot_axes(s->dot, &x);
    const Type *b = s->dot->in[1]->type;
    bool used[IR_MAX_RANK] = {false};
    for (uint32_t i = 0; i < x.nbatch; i++)
        used[x.b_batch[i]] = true;
    for (uint32_t i = 0; i < x.ncontract; i++)
        used[x.b_contract[i]] = true;
    for (uint32_t i = 0; i < b->rank; i++) {
        if (used[i])
            continue;
        if (s->nrun > 0 && s->run + s->nrun != i)
            return false;
        s->run = s->nrun ? s->run : i;
        s->nrun++;
    }
    s->before = s->dot->type->rank - s->nrun;
    return s->nrun > 0;
}

/* A reshape of the right operand's axes alone. */
static bool is_inner_reshape(const Split *s, const Node *n)
{
    if (!n || !node_is_reshape(n) || n->type->rank <= s->before)
        return false;
    for (uint32_t i = 0; i < s->before; i++)
        if (n->type->dims[i] != n->in[0]->type->dims[i])
            return false;
    return true;
}

static const Node *skip_reshapes(const Merge *m, const Split *s, const Node *n)
{
    while (is_inner_reshape(s, only_reader(m, n)))
        n = only_reader(m, n);
    return n;
}

/* Operands but the one that is given are constants. */
static bool others_are_constants(const Node *n, const Node *of)
{
    double value;
    for (uint32_t i = 0; i < n->nin; i++)
        if (n->in[i] != of && !node_is_const(n->in[i], &value))
            return false;
    return true;
}

/* The elementwise operations and reshapes that follow the dot, each the only reader of what is before it. Returns
 * the last. */
static const Node *find_chain(const Merge *m, Split *s)
{
    const Node *at = s->dot, *next;
    bool reshaped = false;
    while ((next = only_reader(m, at)) != NULL) {
        if (is_inner_reshape(s, next)) {
            reshaped = true;
        } else if (op_info(next->op)->cls == OC_ELEM && s->nchain < MOST_CHAIN &&
                   type_same_dims(next->type, at->type) &&
                   (!reshaped || others_are_constants(next, at))) {
            s->from[s->nchain] = at;
            s->chain[s->nchain++] = next;
        } else {
            break;
        }
        at = next;
    }
    return at;
}

static bool reads_elementwise(const Merge *m, const Node *end)
{
    bool ok = m->readers[end->id].n > 0 && !m->sink[end->id];
    for (uint32_t i = 0; i < m->readers[end->id].n; i++)
        ok = ok && op_info(m->readers[end->id].at[i]->op)->cls == OC_ELEM;
    return ok;
}

/* Slices of one axis of the joint, of equal extent, which together are all of it. */
static bool find_parts(const Merge *m, Split *s)
{
    const Nodes *slices = &m->readers[s->joint->id];
    int64_t whole, extent, start, covered = 0;
    RowRange first, rows;
    if (slices->n < 2 || slices->n > PRODUCTS_TOGETHER || m->sink[s->joint->id] ||
        !node_is_rows(slices->at[0], &first) || first.axis < s->before ||
        !dim_is_const(s->joint->type->dims[first.axis], &whole) ||
        !dim_is_const(first.extent, &extent) || extent < 1 || extent * slices->n != whole)
        return false;
    for (uint32_t i = 0; i < slices->n; i++) {
        Part *p = &s->part[s->nparts++];
        p->slice = slices->at[i];
        if (!node_is_rows(p->slice, &rows) || rows.axis != first.axis ||
            rows.extent != first.extent || !dim_is_const(rows.start, &start) || start % extent != 0)
            return false;
        covered |= INT64_C(1) << start / extent;
        p->end = skip_reshapes(m, s, p->slice);
    }
    return covered == (INT64_C(1) << slices->n) - 1;
}

/* Is a part all rows of an update? */
static bool part_is_rows(const Merge *m, const Split *s)
{
    bool found = false;
    for (uint32_t i = 0; i < s->nparts; i++) {
        const Node *reader = only_reader(m, s->part[i].end);
        found = found || (reader && op_info(reader->op)->cls == OC_UPDATE &&
                          reader->in[1] == s->part[i].end);
    }
    return found;
}

/* Does an elementwise value depend on two parts, with no view between? */
static bool parts_meet(const Merge *m, const Split *s)
{
    uint32_t *seen = m->seen;
    for (uint32_t i = 0; i < s->nparts; i++)
        if (!reads_elementwise(m, s->part[i].end) ||
            !type_same_dims(s->part[i].end->type, s->part[0].end->type))
            return false;
    memset(seen, 0, m->in->nodes.n * sizeof *seen);
    for (uint32_t i = 0; i < s->nparts; i++)
        seen[s->part[i].end->id] = UINT32_C(1) << i;
    for (uint32_t i = s->part[0].end->id; i < m->in->nodes.n; i++) {
        const Node *n = m->in->nodes.at[i];
        if (op_info(n->op)->cls != OC_ELEM)
            continue;
        for (uint32_t k = 0; k < n->nin; k++)
            seen[i] |= seen[n->in[k]->id];
        if (seen[i] & (seen[i] - 1))
            return true;
    }
    return false;
}

/* Panels of a part are packed in vectors along the depth, or along these axes when they are innermost.
 * The widest view of the right operand needs a rank. */
static bool packs_well(const Split *s)
{
    const Type *t = s->part[0].end->type, *w = s->dot->in[1]->type;
    int64_t lanes;
    bool innermost = s->run + s->nrun == w->rank;
    if (s->joint->type->rank - s->before + w->rank - s->nrun > IR_MAX_RANK)
        return false;
    return !innermost || (dim_is_const(t->dims[t->rank - 1], &lanes) && lanes >= LEAST_LANES);
}

static bool find_split(Merge *m, const Node *dot)
{
    Split found = {.dot = dot};
    if (!find_run(&found))
        return false;
    found.joint = find_chain(m, &found);
    if (!find_parts(m, &found) || !packs_well(&found) ||
        (!part_is_rows(m, &found) && !parts_meet(m, &found)))
        return false;
    Split *s = NEW(m->arena, Split);
    *s = found;
    for (uint32_t i = 0; i < s->nparts; i++)
        m->split[s->part[i].end->id] = s;
    return true;
}

/* ---- building ---- */

/* The views from the dot to the end of a part, first one first. */
static Nodes views_of(const Merge *m, const Split *s, const Node *end)
{
    uint32_t c = s->nchain;
    Nodes views = {0};
    for (const Node *at = end; at != s->dot;) {
        if (c > 0 && at == s->chain[c - 1]) {
            at = s->from[--c];
            continue;
        }
        VEC_PUSH(m->arena, &views, at);
        at = at->in[0];
    }
    for (uint32_t i = 0; i < views.n / 2; i++) {
        const Node *t = views.at[i];
        views.at[i] = views.at[views.n - 1 - i];
        views.at[views.n - 1 - i] = t;
    }
    return views;
}

/* The same view of the right operand, whose axes from `run` on are those of the view behind `before`. */
static const Node *view_right(Graph *g, const Split *s, const Node *w, const Node *view)
{
    RowRange rows;
    if (node_is_rows(view, &rows))
        return graph_slice(g, w, s->run + rows.axis - s->before, rows.start, rows.extent);
    const Dim *dims[IR_MAX_RANK];
    uint32_t rank = 0, old = view->in[0]->type->rank - s->before;
    for (uint32_t i = 0; i < s->run; i++)
        dims[rank++] = w->type->dims[i];
    for (uint32_t i = s->before; i < view->type->rank; i++)
        dims[rank++] = view->type->dims[i];
    for (uint32_t i = s->run + old; i < w->type->rank; i++)
        dims[rank++] = w->type->dims[i];
    return graph_reshape(g, w, rank, dims);
}

static const Node *build_dot(Rewrite *rw, const Split *s, const Nodes *views)
{
    const Node *w = rw->map[s->dot->in[1]->id];
    DotAxes x;
    node_dot_axes(s->dot, &x);
    for (uint32_t i = 0; i < views->n; i++)
        w = view_right(rw->out, s, w, views->at[i]);
    int64_t shift = (int64_t)w->type->rank - (int64_t)s->dot->in[1]->type->rank;
    for (uint32_t i = 0; i < x.nbatch; i++)
        x.b_batch[i] += x.b_batch[i] > s->run ? shift : 0;
    for (uint32_t i = 0; i < x.ncontract; i++)
        x.b_contract[i] += x.b_contract[i] > s->run ? shift : 0;
    rw->out->path = s->dot->path;
    rw->out->span = s->dot->span;
    return graph_dot(rw->out, rw->map[s->dot->in[0]->id], w, &x);
}

/* An operand of the chain that is not part of it, at the elements of the part. */
static const Node *build_side(Rewrite *rw, const Node *side, const Nodes *views)
{
    double value;
    const Node *x = rw->map[side->id];
    ASSERT(views->n > 0);
    if (node_is_const(side, &value)) {
        const Type *t = VEC_LAST(views)->type;
        return graph_fill(rw->out, type_tensor(rw->out->ir, side->type->dtype, t->rank, t->dims),
                          value);
    }
    for (uint32_t i = 0; i < views->n; i++)
        x = graph_copy_node(rw->out, views->at[i], &x);
    return x;
}

static const Node *build_part(Rewrite *rw, const Node *n, const Node *const *in)
{
    UNUSED(in);
    const Merge *m = rw->user;
    const Split *s = m->split[n->id];
    if (!s)
        return NULL;
    Nodes views = views_of(m, s, n);
    const Node *now = build_dot(rw, s, &views);
    for (uint32_t c = 0; c < s->nchain; c++) {
        const Node *op = s->chain[c], *arg[3];
        ASSERT(op->nin <= COUNT(arg));
        for (uint32_t k = 0; k < op->nin; k++)
            arg[k] = op->in[k] == s->from[c] ? now : build_side(rw, op->in[k], &views);
        now = graph_copy_node(rw->out, op, arg);
    }
    return now;
}

Graph *pass_merge(PassCx *cx, const Graph *in)
{
    Merge m = {.in = in, .arena = cx->arena};
    bool any = false;
    m.seen = NEW_ARRAY(cx->arena, uint32_t, in->nodes.n + 1);
    m.readers = NEW_ARRAY(cx->arena, Nodes, in->nodes.n + 1);
    m.sink = NEW_ARRAY(cx->arena, bool, in->nodes.n + 1);
    m.split = NEW_ARRAY(cx->arena, const Split *, in->nodes.n + 1);
    for (uint32_t i = 0; i < in->nodes.n; i++) {
        const Node *n = in->nodes.at[i];
        for (uint32_t k = 0; k < n->nin; k++)
            VEC_PUSH(cx->arena, &m.readers[n->in[k]->id], n);
    }
    for (uint32_t i = 0; i < in->results.n; i++)
        m.sink[in->results.at[i].node->id] = true;
    for (uint32_t i = 0; i < in->writes.n; i++)
        m.sink[in->writes.at[i].node->id] = true;
    for (uint32_t i = 0; i < in->nodes.n; i++)
        if (op_info(in->nodes.at[i]->op)->cls == OC_CONTRACT)
            any = find_split(&m, in->nodes.at[i]) || any;
    if (!any)
        return graph_rewrite(in, cx->arena, NULL, NULL);
    const Graph *out = graph_rewrite(in, cx->arena, build_part, &m);
    return graph_rewrite(out, cx->arena, NULL,
                         NULL); /* without the products that nothing reads now */
}
