/* kern_update.c: other rows somewhere along one axis of a tensor, such as those that a cache of keys grows by.
 *
 * The result is [outer][axis][inner]. Where it lies in the tensor's own place (inplace.c says so by `whole`
 * = 0) only the rows are written; else a phase before copies the tensor. Rows come from whatever
 * elementwise source lies before. */
#include "lower.h"

typedef struct Update {
    const Node *n, *x, *rows;
    uint32_t axis;
    const Dim *outer, *inner; /* of the walk: all dims up to the axis, and those behind it */
    const Type *walked;       /* the type of x or of rows */
    bool moves;               /* the walk is over rows, which lie elsewhere in the result */
    const Ix *member;         /* of outer */
} Update;

static Update describe(Lower *lo)
{
    Update u = {0};
    for (uint32_t i = 0; i < lo->body->nodes.n; i++)
        if (op_info(lo->body->nodes.at[i]->op)->cls == OC_UPDATE)
            u.n = lo->body->nodes.at[i];
    ASSERT(u.n && lo->body->results.n == 1 && lo->body->results.at[0].node == u.n);
    u.x = u.n->in[0];
    u.rows = u.n->in[1];
    u.axis = (uint32_t)node_int(u.n, "axis");
    return u;
}

static void set_walk(Lower *lo, Update *u, const Node *over)
{
    u->walked = over->type;
    u->moves = over == u->rows;
    u->outer = dims_product(lo->ir, over->type->dims, u->axis + 1);
    u->inner = dims_product(lo->ir, over->type->dims + u->axis + 1, over->type->rank - u->axis - 1);
}

const Ix *update_first_row(Lower *lo, const Node *update)
{
    int64_t axis = node_int(update, "axis");
    const Dim *room = dim_sub(lo->ir, update->type->dims[axis], update->in[1]->type->dims[axis]);
    return ix_load(lo->ir, update->in[2], NULL, 0, dim_add(lo->ir, room, dim_const(lo->ir, 1)));
}

static void put_cells(Lower *lo, const Ix *cell, void *user)
{
    const Update *u = user;
    const Type *t = u->walked;
    const Ix *ix[IR_MAX_RANK];
    ix_unflatten(lo->ir, u->member, t->dims, u->axis + 1, ix);
    ix_unflatten(lo->ir, cell, t->dims + u->axis + 1, t->rank - u->axis - 1, ix + u->axis + 1);
    const KExpr *x = lower_value(lo, u->moves ? u->rows : u->x, ix);
    if (lo->var[lo->nvar - 1].vector)
        x = lower_spread(lo, x);
    if (u->moves)
        ix[u->axis] = ix_add(lo->ir, ix[u->axis], update_first_row(lo, u->n));
    lower_store(lo, 0, ix, x);
}

static int64_t at_least_1(int64_t n)
{
    return n > 0 ? n : 1;
}

/* Task: several outer members. */
static void walk(Lower *lo, Update *u, const char *suffix, const char *doc)
{
    Kernel *k = lo->k;
    int64_t cells = at_least_1(dim_hi(lo->ir, u->inner)), fixed;
    int64_t members = at_least_1(lower_config(lo, "grain") / cells);
    const Dim *tasks =
        members == 1 ? u->outer : dim_const(lo->ir, ceil_div(dim_hi(lo->ir, u->outer), members));
    scope_begin(lo, kernel_phase(k, suffix, tasks, doc));
    const KExpr *from = ke_mul(lo, lower_task(lo), ke_int(k, members));
    const KExpr *to = ke_min(lo, ke_add(lo, from, ke_int(k, members)), ke_extent(k, u->outer));
    u->member = scope_loop(lo, &(LoopSpec){.stem = "o", .lo = from, .hi = to, .extent = u->outer});
    LanesSpec spec = {
        .stem = "c", .lo = ke_int(k, 0), .hi = ke_extent(k, u->inner), .extent = u->inner};
    spec.whole = dim_is_const(u->inner, &fixed) && fixed % k->width == 0;
    lower_lanes(lo, &spec, put_cells, u);
    scope_end(lo);
}

void lower_update(Lower *lo)
{
    Update u = describe(lo);
    if (lower_config(lo, "whole")) {
        set_walk(lo, &u, u.x);
        walk(lo, &u, "copy", "the tensor as it was");
    }
    set_walk(lo, &u, u.rows);
    walk(lo, &u, "", "the new rows");
}
