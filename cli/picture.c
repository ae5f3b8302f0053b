/* picture.c: the boxes and arrows of a graph.
 *
 * At the level of modules all nodes with one path make a box. A module whose own operations lie before
 * and behind its children (a residual connection) would make circles, so a box is a path and a layer: the
 * largest number of arrows on a way to it. A node stays in the layer of its inputs where they are of its
 * own path, and goes one further where not; so every arrow leads to a higher layer. */
#include "picture.h"

enum { LONGEST_STEP = 40 };

typedef struct Draw {
    Picture *pic;
    const Graph *g;
    const Program *p;
    uint32_t *box_of; /* 1 + box of each node, 0: none */
    Map *by_key;      /* path and layer, or node -> 1 + box */
    Map *arrows;
    Map *reads; /* box and state: counted already */
} Draw;

static bool is_leaf(const Node *n)
{
    return op_info(n->op)->cls == OC_LEAF;
}

static bool is_input(const Draw *d, const Node *n)
{
    for (uint32_t i = 0; i < d->g->inputs.n; i++)
        if (d->g->inputs.at[i] == n)
            return true;
    return false;
}

/* The state a leaf reads; NULL for the other leaves. */
static const State *state_of(const Draw *d, const Node *n)
{
    const char *name;
    AttrKind kind = AK_NONE;
    if (!is_leaf(n) || !n->nattr || op_attr_schema(n->op, 0, &name, &kind) == 0 || kind != AK_INT ||
        strncmp(name, "id:", 3) != 0)
        return NULL;
    uint64_t id = (uint64_t)n->attr[0].i;
    return id < d->p->states.n ? d->p->states.at[id] : NULL;
}

static uint32_t add_box(Draw *d, const Box *box)
{
    VEC_PUSH(d->pic->arena, &d->pic->boxes, *box);
    return d->pic->boxes.n;
}

static uint32_t input_box(Draw *d, const Node *n)
{
    Box box = {.name = n->attr[0].s, .detail = type_text(d->g->ir, n->type), .kind = BOX_INPUT};
    return add_box(d, &box);
}

/* The box at the level of modules. */
static uint32_t module_box(Draw *d, const Node *n, uint32_t layer)
{
    const char *path = n->path && *n->path ? n->path : "";
    uint64_t key = hash_mix(hash_text(path), layer) | 1;
    void *known = map_get(d->by_key, key);
    if (known)
        return (uint32_t)(uintptr_t)known;
    Box box = {.name = *path ? path : "(top)", .detail = "", .views = "", .layer = layer};
    uint32_t i = add_box(d, &box);
    map_put(d->by_key, key, (void *)(uintptr_t)i);
    return i;
}

static bool same_path(const Node *a, const Node *b)
{
    return strcmp(a->path ? a->path : "", b->path ? b->path : "") == 0;
}

/* The layer of a node whose inputs have their boxes. */
static uint32_t layer_of(const Draw *d, const Node *n, bool modules)
{
    uint32_t layer = 0;
    for (uint32_t k = 0; k < n->nin; k++) {
        uint32_t box = d->box_of[n->in[k]->id];
        if (!box)
            continue;
        bool stays = modules && !is_leaf(n->in[k]) && same_path(n, n->in[k]);
        uint32_t l = d->pic->boxes.at[box - 1].layer + !stays;
        layer = l > layer ? l : layer;
    }
    return layer;
}

static void add_arrow(Draw *d, uint32_t from, uint32_t to, const Node *value)
{
    const char *label = type_text(d->g->ir, value->type);
    uint64_t key = hash_mix(hash_mix(hash_text(label), from), to) | 1;
    if (from == to || map_get(d->arrows, key))
        return;
    Arrow arrow = {from - 1, to - 1, label};
    VEC_PUSH(d->pic->arena, &d->pic->arrows, arrow);
    map_put(d->arrows, key, d);
}

/* Counts a parameter once for each box that reads it. */
static void count_state(Draw *d, uint32_t box, const State *s)
{
    uint64_t key = hash_mix(hash_mix(7, box), s->id) | 1;
    int64_t n;
    if (s->kind != SK_PARAM || map_get(d->reads, key) ||
        !dim_is_const(type_count(d->p->ir, s->type), &n))
        return;
    map_put(d->reads, key, d);
    d->pic->boxes.at[box - 1].parameters += n;
}

/* Counts the parameters a node reads, directly or through what has no box. */
static void count_states(Draw *d, const Node *reader)
{
    uint32_t box = d->box_of[reader->id];
    VEC(const Node *) todo = {0};
    VEC_PUSH(d->pic->arena, &todo, reader);
    while (todo.n) {
        const Node *n = todo.at[--todo.n];
        for (uint32_t k = 0; k < n->nin; k++) {
            const Node *in = n->in[k];
            uint64_t key = hash_mix(hash_mix(3, box), in->id) | 1;
            const State *s = state_of(d, in);
            if (s)
                count_state(d, box, s);
            if (d->box_of[in->id] || !in->nin || map_get(d->reads, key))
                continue;
            map_put(d->reads, key, d);
            VEC_PUSH(d->pic->arena, &todo, in);
        }
    }
}

/* Adds a name to a list of them, unless it is there. */
static void add_name(Arena *arena, const char **list, const char *name)
{
    size_t size = strlen(name);
    const char *known = strstr(*list, name);
    while (known && ((known != *list && known[-1] != ' ') || !strchr(",", known[size])))
        known = strstr(known + 1, name);
    if (!known && strlen(*list) <= LONGEST_STEP)
        *list = arena_printf(arena, "%s%s%s", *list, **list ? ", " : "",
                             strlen(*list) + size > LONGEST_STEP ? ".." : name);
}

/* What a box without parameters does: the names of its operations; of views only when it has no others. */
static void name_step(Draw *d, const Node *n)
{
    OpClass cls = op_info(n->op)->cls;
    Box *b = &d->pic->boxes.at[d->box_of[n->id] - 1];
    if (cls == OC_TUPLE || is_leaf(n))
        return;
    add_name(d->pic->arena, cls == OC_VIEW ? &b->views : &b->detail,
             cls == OC_CALL ? node_def(n)->name : op_info(n->op)->name);
}

static void name_views(Picture *pic)
{
    for (uint32_t i = 0; i < pic->boxes.n; i++) {
        Box *b = &pic->boxes.at[i];
        b->detail = !*b->detail && b->views ? b->views : b->detail;
    }
}

static void connect(Draw *d, const Node *n)
{
    uint32_t to = d->box_of[n->id];
    name_step(d, n);
    for (uint32_t k = 0; k < n->nin; k++)
        if (d->box_of[n->in[k]->id])
            add_arrow(d, d->box_of[n->in[k]->id], to, n->in[k]);
    count_states(d, n);
}

/* What is computed from weights and numbers alone belongs to those who use it. */
static bool is_drawn(const Draw *d, const Node *n)
{
    for (uint32_t k = 0; k < n->nin; k++)
        if (d->box_of[n->in[k]->id])
            return true;
    return false;
}

static void add_results(Draw *d)
{
    for (uint32_t i = 0; i < d->g->results.n; i++) {
        const GraphResult *r = &d->g->results.at[i];
        uint32_t from = d->box_of[r->node->id];
        if (!from)
            continue;
        Box box = {.name = r->name,
                   .detail = "result",
                   .layer = d->pic->boxes.at[from - 1].layer + 1,
                   .kind = BOX_RESULT};
        add_arrow(d, from, add_box(d, &box), r->node);
    }
}

/* Boxes are counted from above; a branch that nothing hurries, such as the embedding of tokens beside a
 * tower of pictures, goes down to where it is needed. Layers from the highest down, so that a whole
 * branch follows its end. */
static void lower_boxes(Picture *pic)
{
    uint32_t n = pic->boxes.n, most = 0;
    for (uint32_t i = 0; i < n; i++)
        most = pic->boxes.at[i].layer > most ? pic->boxes.at[i].layer : most;
    for (uint32_t layer = most + 1; layer-- > 0;) {
        uint32_t *next = NEW_ARRAY(pic->arena, uint32_t, n + (size_t)1);
        for (uint32_t i = 0; i < pic->arrows.n; i++) {
            const Arrow *a = &pic->arrows.at[i];
            uint32_t to = pic->boxes.at[a->to].layer;
            if (!next[a->from] || to < next[a->from])
                next[a->from] = to;
        }
        for (uint32_t i = 0; i < n; i++)
            if (pic->boxes.at[i].layer == layer && next[i] > layer + 1)
                pic->boxes.at[i].layer = next[i] - 1;
    }
}

static Draw draw_new(Arena *arena, const Graph *g, const Program *p)
{
    Picture *pic = NEW(arena, Picture);
    pic->arena = arena;
    pic->title = g->name;
    return (Draw){pic,
                  g,
                  p,
                  NEW_ARRAY(arena, uint32_t, g->nodes.n + (size_t)1),
                  map_new(arena),
                  map_new(arena),
                  map_new(arena)};
}

Picture *picture_modules(Arena *arena, const Graph *g, const Program *p)
{
    Draw d = draw_new(arena, g, p);
    for (uint32_t i = 0; i < g->nodes.n; i++) {
        const Node *n = g->nodes.at[i];
        if (is_input(&d, n))
            d.box_of[n->id] = input_box(&d, n);
        if (is_leaf(n) || !is_drawn(&d, n))
            continue;
        d.box_of[n->id] = module_box(&d, n, layer_of(&d, n, true));
        connect(&d, n);
    }
    add_results(&d);
    name_views(d.pic);
    picture_fold(d.pic);
    lower_boxes(d.pic);
    return d.pic;
}

/* The name of the op, and of the Def it calls. */
static const char *op_label(Arena *arena, const Node *n)
{
    for (uint32_t i = 0; i < n->nattr; i++)
        if (n->attr[i].kind == AK_DEF)
            return arena_printf(arena, "@%s", n->attr[i].def->name);
    return op_info(n->op)->name;
}

Picture *picture_ops(Arena *arena, const Graph *g, const Program *p)
{
    Draw d = draw_new(arena, g, p);
    for (uint32_t i = 0; i < g->nodes.n; i++) {
        const Node *n = g->nodes.at[i];
        const State *s = state_of(&d, n);
        if (is_input(&d, n)) {
            d.box_of[n->id] = input_box(&d, n);
            continue;
        }
        Box box = {.name = s ? s->path : op_label(arena, n), .layer = layer_of(&d, n, false)};
        box.detail = s || !n->path ? type_text(g->ir, n->type) : n->path;
        d.box_of[n->id] = add_box(&d, &box);
        if (s)
            count_state(&d, d.box_of[n->id], s);
        for (uint32_t k = 0; k < n->nin; k++)
            add_arrow(&d, d.box_of[n->in[k]->id], d.box_of[n->id], n->in[k]);
    }
    add_results(&d);
    lower_boxes(d.pic);
    return d.pic;
}
