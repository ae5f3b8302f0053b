/* def.c: graphs as attributes, interned by a canonical hash.
 *
 * The hash of a node is made bottom-up of its operation, type, attributes and its inputs' hashes
 * (a Merkle DAG); an input is its position. Ids, instances, paths and spans are left out; operands
 * of commutative operations enter in the order of their hashes, because graph_op stores them in the
 * order of their ids. Two such hashes of different seeds tell bodies apart. */
#include "tables.h"

static uint64_t node_hash(const Graph *g, const Node *n, const uint64_t *hash, uint64_t seed)
{
    uint64_t h =
        hash_mix(hash_mix(seed, hash_text(op_info(n->op)->name)), type_hash(g->ir, n->type));
    if (op_info(n->op)->commutes) {
        uint64_t a = hash[n->in[0]->id], b = hash[n->in[1]->id];
        return hash_mix(hash_mix(h, a < b ? a : b), a < b ? b : a);
    }
    for (uint32_t k = 0; k < n->nin; k++)
        h = hash_mix(h, hash[n->in[k]->id]);
    for (uint32_t i = 0; i < n->nattr; i++)
        h = attr_is_unset(&n->attr[i]) ? h : hash_mix(h, attr_hash(g->ir, &n->attr[i]));
    return h;
}

static uint64_t hash_seeded(const Graph *g, uint64_t seed)
{
    Arena *arena = arena_new();
    uint64_t *hash = NEW_ARRAY(arena, uint64_t, g->nodes.n);
    for (uint32_t i = 0; i < g->inputs.n; i++) {
        const Node *n = g->inputs.at[i];
        hash[n->id] = hash_mix(hash_mix(seed, i), type_hash(g->ir, n->type));
    }
    for (uint32_t i = 0; i < g->nodes.n; i++) {
        if (g->nodes.at[i]->op != OP_INPUT)
            hash[i] = node_hash(g, g->nodes.at[i], hash, seed);
    }
    uint64_t h = hash_mix(seed, g->inputs.n);
    for (uint32_t i = 0; i < g->inputs.n; i++)
        h = hash_mix(h, type_hash(g->ir, g->inputs.at[i]->type));
    for (uint32_t i = 0; i < g->results.n; i++)
        h = hash_mix(h, hash[g->results.at[i].node->id]);
    h = hash_mix(h, g->results.n);
    for (uint32_t i = 0; i < g->writes.n; i++)
        h = hash_mix(hash_mix(h, g->writes.at[i].state), hash[g->writes.at[i].node->id]);
    arena_free(arena);
    return h;
}

uint64_t graph_hash(const Graph *g)
{
    return hash_seeded(g, 1);
}

/* ---- interning ---- */

typedef struct DefEntry {
    Def def; /* first: entries are handed out as defs */
    uint64_t check;
} DefEntry;

static bool same_def(const void *item, const void *key)
{
    const DefEntry *a = item, *b = key;
    return a->check == b->check && a->def.kind == b->def.kind && a->def.vjp == b->def.vjp &&
           a->def.nvisible == b->def.nvisible;
}

/* Composites are known by name, and their vjp's cotangents by the names of inputs and results;
 * the names of groups and of their values mean nothing. */
static uint64_t hash_def(const Def *d, uint64_t seed)
{
    uint64_t h = hash_mix(hash_seeded(d->body, seed), d->kind);
    h = hash_mix(hash_mix(h, d->nvisible), d->vjp ? d->vjp->hash : 0);
    if (d->kind == DEF_GROUP)
        return h;
    h = hash_mix(h, hash_text(d->name));
    for (uint32_t i = 0; i < d->body->inputs.n; i++) {
        Sym name = node_sym(d->body->inputs.at[i], "name");
        h = hash_mix(h, name ? hash_text(name) : 0);
    }
    for (uint32_t i = 0; i < d->body->results.n; i++)
        h = hash_mix(h, hash_text(d->body->results.at[i].name));
    return h;
}

const Def *def_intern(Ir *ir, const Def *proto)
{
    ASSERT(proto->body && proto->nvisible <= proto->body->results.n);
    DefEntry key = {.def = *proto};
    key.def.name = proto->name ? proto->name : sym(ir->syms, "");
    key.def.hash = hash_def(&key.def, 1);
    key.check = hash_def(&key.def, 2);
    const DefEntry *found = intern_find(ir->tables->defs, key.def.hash, &key, same_def);
    if (found)
        return &found->def;
    DefEntry *entry = NEW(ir->arena, DefEntry);
    *entry = key;
    entry->def.body = graph_rewrite(proto->body, ir->arena, NULL, NULL);
    intern_add(ir->arena, ir->tables->defs, key.def.hash, entry);
    return &entry->def;
}
