/* fuse_multi.c: many equal elementwise groups of different shapes become one multi_map.
 *
 * An optimizer updates every parameter by the same formula; one launch over a table of tensors
 * replaces one launch per parameter. A group qualifies when it is linear: it reads and writes tensors
 * of one shape element by element, and scalars. Its key is its text with tensors numbered, shapes
 * left out and scalars by identity; groups with equal keys and no path between them are joined. */
#include "fuse_groups.h"

#include <string.h>

typedef struct Shape {
    Fuse *fx;
    const Body *body;
    const Type *space;
    Map *number;            /* node id -> its number, from 1 */
    uint32_t next;          /* nodes numbered so far */
    Ids *tensors, *scalars; /* read, in the order of the key */
    uint64_t *order;        /* by node: shape hash, for operands that may be swapped */
    StrBuf key;
    bool linear;
} Shape;

static uint64_t attr_bits(const Attr *a)
{
    switch (a->kind) {
    case AK_INT:
    case AK_DTYPE:
    case AK_FLAG:
        return (uint64_t)a->i;
    case AK_NUM:
        return hash_bytes(&a->f, sizeof a->f);
    case AK_SYM:
        return hash_text(a->s);
    case AK_INTS:
        return hash_bytes(a->ints, a->n * sizeof *a->ints);
    case AK_NONE:
    case AK_DIM:
    case AK_DIMS:
    case AK_DEF:
        return 0;
    }
    return 0;
}

static bool is_tensor(const Shape *s, const Node *n)
{
    return n->type->rank > 0 && type_same_dims(n->type, s->space);
}

/* A repeated scalar. */
static bool is_spread(const Node *n)
{
    return fuse_class(n) == OC_VIEW && n->nin == 1 && n->in[0]->type->rank == 0;
}

static uint64_t node_order(Shape *s, const Node *n)
{
    if (is_spread(n))
        return node_order(s, n->in[0]);
    if (s->order[n->id])
        return s->order[n->id];
    uint64_t h = hash_mix(hash_text(op_info(n->op)->name), n->type->dtype);
    if (fuse_is_read(s->fx, s->body, n->id)) {
        h = n->type->rank == 0 ? hash_mix(2, n->id) : hash_mix(1, n->type->dtype);
    } else {
        for (uint32_t i = 0; i < n->nattr; i++)
            h = hash_mix(h, attr_bits(&n->attr[i]));
        uint64_t a = n->nin > 0 ? node_order(s, n->in[0]) : 0;
        uint64_t b = n->nin > 1 ? node_order(s, n->in[1]) : 0;
        bool swap = op_info(n->op)->commutes && a > b;
        h = hash_mix(hash_mix(h, swap ? b : a), swap ? a : b);
        if (n->nin > 2)
            h = hash_mix(h, node_order(s, n->in[2]));
    }
    s->order[n->id] = h ? h : 1;
    return s->order[n->id];
}

static void write_node(Shape *s, const Node *n);

static void write_operands(Shape *s, const Node *n)
{
    bool swap = n->nin == 2 && op_info(n->op)->commutes &&
                node_order(s, n->in[0]) > node_order(s, n->in[1]);
    for (uint32_t k = 0; k < n->nin; k++)
        write_node(s, n->in[swap ? 1 - k : k]);
}

static void write_read(Shape *s, const Node *n)
{
    if (n->type->rank > 0) {
        VEC_PUSH(s->fx->arena, s->tensors, n->id);
        sb_printf(&s->key, "T:%s ", dtype_info(n->type->dtype)->name);
        return;
    }
    VEC_PUSH(s->fx->arena, s->scalars, n->id);
    sb_printf(&s->key, "S%u ", n->id);
}

/* Element by element over the set's shape, or a scalar. */
static bool is_linear(const Shape *s, const Node *n, bool read)
{
    if (n->type->rank == 0)
        return true;
    return is_tensor(s, n) && (read || fuse_class(n) == OC_ELEM);
}

static void write_node(Shape *s, const Node *n)
{
    if (is_spread(n)) {
        write_node(s, n->in[0]);
        return;
    }
    bool read = fuse_is_read(s->fx, s->body, n->id);
    s->linear = s->linear && is_linear(s, n, read);
    if (!s->linear)
        return;
    uintptr_t known = (uintptr_t)map_get(s->number, n->id);
    if (known) {
        sb_printf(&s->key, "%u ", (uint32_t)known);
        return;
    }
    map_put(s->number, n->id, (void *)(uintptr_t)(++s->next));
    if (read) {
        write_read(s, n);
        return;
    }
    sb_printf(&s->key, "%s:%s", op_info(n->op)->name, dtype_info(n->type->dtype)->name);
    for (uint32_t i = 0; i < n->nattr; i++)
        sb_printf(&s->key, ",%llx", (unsigned long long)attr_bits(&n->attr[i]));
    sb_puts(&s->key, "( ");
    write_operands(s, n);
    sb_puts(&s->key, ") ");
}

/* The table holds lengths, so they must be known. */
static bool is_fixed(const Type *t)
{
    int64_t extent;
    for (uint32_t i = 0; i < t->rank; i++) {
        if (!dim_is_const(t->dims[i], &extent))
            return false;
    }
    return t->rank > 0;
}

const char *fuse_table_key(Fuse *fx, const Body *body, Ids *tensors, Ids *scalars)
{
    const Type *space = fuse_node(fx, body->stored.at[0])->type;
    Shape s = {.fx = fx, .body = body, .space = space, .linear = is_fixed(space)};
    s.tensors = tensors;
    s.scalars = scalars;
    s.number = map_new(fx->arena);
    s.order = NEW_ARRAY(fx->scratch, uint64_t, fx->n);
    s.key = sb_new(fx->arena);
    for (uint32_t i = 0; i < body->stored.n && s.linear; i++) {
        sb_puts(&s.key, "= ");
        write_node(&s, fuse_node(fx, body->stored.at[i]));
    }
    arena_reset(fx->scratch);
    bool usable = s.linear && tensors->n > 0 && tensors->n + body->stored.n <= FUSE_ROW;
    return usable ? sb_text(&s.key) : NULL;
}

/* ---- joining ---- */

static void join(Fuse *fx, uint32_t table, uint32_t group)
{
    Body both, one;
    fuse_walk(fx, group, FUSE_NONE, &one);
    fuse_walk(fx, table, group, &both);
    SetList sets = fx->groups.at[table]->sets;
    Notes notes = fx->groups.at[table]->notes;
    VEC_PUSH(fx->arena, &sets, one.stored);
    FGroup *merged = fx->groups.at[fuse_merge(fx, &both, KC_MULTI_MAP)];
    merged->sets = sets;
    merged->notes = notes; /* the other sets say the same */
}

/* Joins what fits from group i on; keys of joined groups are cleared. */
static void collect(Fuse *fx, const uint32_t *alive, uint32_t n, uint32_t i, const char **keys)
{
    uint32_t table = alive[i];
    Body first;
    fuse_walk(fx, table, FUSE_NONE, &first);
    FGroup *g = fx->groups.at[table];
    VEC_PUSH(fx->arena, &g->sets, first.stored);
    for (uint32_t k = i + 1; k < n; k++) {
        if (!keys[k] || strcmp(keys[k], keys[i]) != 0)
            continue;
        table = fuse_find(fx, table);
        if (fuse_connected(fx, table, alive[k], true)) {
            fuse_note(fx, alive[k], "refused table of %s: CYCLE one needs the other",
                      fuse_label(fx, fuse_anchor(fx, fx->groups.at[table])));
            continue;
        }
        join(fx, table, alive[k]);
        keys[k] = NULL;
    }
    g = fx->groups.at[fuse_find(fx, table)];
    if (g->sets.n == 1)
        g->sets.n = 0;
    else
        fuse_note(fx, g->id, "merged %u equal groups into one table", g->sets.n);
}

void fuse_multi(Fuse *fx)
{
    Ids alive = {0};
    for (uint32_t i = 0; i < fx->order.n; i++) {
        if (fx->groups.at[fx->order.at[i]]->cls == KC_MAP)
            VEC_PUSH(fx->arena, &alive, fx->order.at[i]);
    }
    const char **keys = NEW_ARRAY(fx->arena, const char *, alive.n + 1);
    for (uint32_t i = 0; i < alive.n; i++) {
        Body body;
        Ids tensors = {0}, scalars = {0};
        fuse_walk(fx, alive.at[i], FUSE_NONE, &body);
        if (!fuse_is_again(fx, &body))
            keys[i] = fuse_table_key(fx, &body, &tensors, &scalars);
    }
    for (uint32_t i = 0; i < alive.n; i++) {
        if (keys[i])
            collect(fx, alive.at, alive.n, i, keys);
    }
}
