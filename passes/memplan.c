/* memplan.c: where every value of a fused entry lives.
 *
 * A value is live from the group that makes it to the last that reads it; results live to the end. A
 * result takes over the memory of an operand that nobody reads later, where elements are written by those
 * who read them: a gradient to which one is added stays where it is.
 * Offsets: values by size, largest first; each goes into the smallest gap between those placed
 * values that are live at the same time (best fit), else behind them. Offsets and sizes are 64-byte
 * aligned; extents of DYN dims count at their upper end. */
#include "schedule.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGN = 64 };

typedef struct Plan {
    PassCx *cx;
    const Graph *g;
    Arena *arena; /* scratch */
    MemPlan *m;
    Flow *flow;
    uint32_t *order;     /* group numbers */
    uint32_t *from, *to; /* by slot: first and last step at which it is live */
    uint32_t *home;      /* by slot: the first of those that lie in one place after one another */
    const Node **value;  /* by slot: the leaf, group or get */
    bool body;           /* of a loop: its results live elsewhere */
} Plan;

static MemPlan *build(PassCx *cx, const Graph *fused, bool body);

static uint64_t type_bytes(const Ir *ir, const Type *t)
{
    uint64_t bytes = dtype_info(t->dtype)->bytes;
    for (uint32_t i = 0; i < t->rank; i++)
        bytes *= (uint64_t)dim_hi(ir, t->dims[i]);
    return bytes;
}

static uint64_t aligned(uint64_t bytes)
{
    return (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

/* ---- slots ---- */

static uint32_t result_count(const Node *n)
{
    return n->type->is_tuple ? n->type->nelem : 1;
}

static bool is_loop(const Node *n)
{
    return op_info(n->op)->cls == OC_LOOP;
}

/* A loop has more than its results: second buffers, and the arena of its body. */
static uint32_t slot_count(const Node *n)
{
    return result_count(n) + (is_loop(n) ? (uint32_t)node_int(n, "carry") + 1 : 0);
}

static void number_slots(Plan *p)
{
    MemPlan *m = p->m;
    m->first_slot = NEW_ARRAY(p->cx->arena, uint32_t, p->g->nodes.n + 1);
    for (uint32_t i = 0; i < p->g->nodes.n; i++) {
        const Node *n = p->g->nodes.at[i], *group;
        uint32_t result;
        bool get = op_info(n->op)->cls == OC_TUPLE;
        if (get && value_of_group(n, &group, &result)) {
            m->first_slot[i] = m->first_slot[group->id] + result;
            continue;
        }
        m->first_slot[i] = m->nslot;
        m->nslot += slot_count(n);
    }
    m->slots = NEW_ARRAY(p->cx->arena, Slot, m->nslot + 1);
    p->value = NEW_ARRAY(p->arena, const Node *, m->nslot + 1);
}

static void fill_loop(Plan *p, const Node *n)
{
    MemPlan *m = p->m, *body = build(p->cx, node_def(n)->body, true);
    Slot *s = &m->slots[m->first_slot[n->id] + result_count(n)];
    m->body[n->id] = body;
    for (uint32_t k = 0; k < (uint32_t)node_int(n, "carry"); k++, s++)
        *s = (Slot){.place = PLACE_TEMP, .bytes = type_bytes(p->cx->ir, n->in[k]->type)};
    *s = (Slot){.place = PLACE_TEMP, .bytes = body->arena_bytes};
}

static void fill_results(Plan *p)
{
    MemPlan *m = p->m;
    for (uint32_t i = p->g->results.n; i-- > 0;) { /* a value with two names: the first */
        Slot *s = &m->slots[m->first_slot[p->g->results.at[i].node->id]];
        if (s->place != PLACE_TEMP && s->place != PLACE_RESULT) {
            ASSERT(!p->body);
            continue;
        }
        s->place = p->body ? PLACE_OUT : PLACE_RESULT;
        s->index = i;
    }
}

static void fill_slots(Plan *p)
{
    MemPlan *m = p->m;
    for (uint32_t i = 0; i < p->g->nodes.n; i++) {
        const Node *n = p->g->nodes.at[i];
        bool group = node_is_step(n);
        for (uint32_t r = 0; r < result_count(n); r++) {
            const Type *t = n->type->is_tuple ? n->type->elems[r] : n->type;
            Slot *s = &m->slots[m->first_slot[i] + r];
            s->bytes = type_bytes(p->cx->ir, t);
            s->place = group ? PLACE_TEMP : s->place;
        }
        if (is_loop(n))
            fill_loop(p, n);
        if (!n->type->is_tuple)
            p->value[m->first_slot[i]] = n;
        uint32_t state;
        if (node_is_state(n, &state)) {
            m->slots[m->first_slot[i]].place = PLACE_STATE;
            m->slots[m->first_slot[i]].index = state;
        }
    }
    for (uint32_t i = 0; i < p->g->inputs.n; i++) {
        Slot *s = &m->slots[m->first_slot[p->g->inputs.at[i]->id]];
        s->place = PLACE_INPUT;
        s->index = i;
    }
    for (uint32_t i = 0; i < p->g->writes.n; i++) {
        Slot *s = &m->slots[m->first_slot[p->g->writes.at[i].node->id]];
        s->place = PLACE_STATE;
        s->index = p->g->writes.at[i].state;
    }
    fill_results(p);
}

static bool in_arena(const Slot *s)
{
    return s->place == PLACE_TEMP || s->place == PLACE_RESULT;
}

/* ---- order and lifetimes ---- */

static void make_order(Plan *p)
{
    MemPlan *m = p->m;
    uint64_t *bytes = NEW_ARRAY(p->arena, uint64_t, m->nslot + 1);
    bool *kept = NEW_ARRAY(p->arena, bool, m->nslot + 1);
    for (uint32_t i = 0; i < m->nslot; i++) {
        bytes[i] = in_arena(&m->slots[i]) ? aligned(m->slots[i].bytes) : 0;
        kept[i] = m->slots[i].place == PLACE_RESULT;
    }
    p->order = NEW_ARRAY(p->arena, uint32_t, p->flow->n + 1);
    order_groups(&(OrderIn){.flow = p->flow,
                            .first = m->first_slot,
                            .bytes = bytes,
                            .kept = kept,
                            .nvalue = m->nslot},
                 p->order);
    for (uint32_t i = 0; i < p->flow->n; i++)
        VEC_PUSH(p->cx->arena, &m->order, p->flow->group[p->order[i]]);
}

static void find_lifetimes(Plan *p)
{
    MemPlan *m = p->m;
    p->from = NEW_ARRAY(p->arena, uint32_t, m->nslot + 1);
    p->to = NEW_ARRAY(p->arena, uint32_t, m->nslot + 1);
    for (uint32_t step = 0; step < m->order.n; step++) {
        const Node *group = m->order.at[step];
        for (uint32_t r = 0; r < slot_count(group); r++) {
            p->from[m->first_slot[group->id] + r] = step;
            p->to[m->first_slot[group->id] + r] = step;
        }
        for (uint32_t k = 0; k < group->nin; k++)
            p->to[m->first_slot[group->in[k]->id]] = step;
    }
    for (uint32_t i = 0; i < m->nslot; i++) {
        if (m->slots[i].place == PLACE_RESULT)
            p->to[i] = m->order.n;
    }
}

/* ---- taking over ---- */

/* Does operand k end at this step, with nothing else in the call that reads it? */
static bool ends(const Plan *p, const Node *group, uint32_t k, uint32_t step)
{
    const MemPlan *m = p->m;
    uint32_t slot = m->first_slot[group->in[k]->id];
    if (m->slots[slot].place != PLACE_TEMP || p->to[slot] != step)
        return false;
    for (uint32_t j = 0; j < group->nin; j++) {
        if (j != k && m->first_slot[group->in[j]->id] == slot)
            return false;
    }
    return true;
}

static void take_over(Plan *p, const Node *group, uint32_t r, uint32_t step)
{
    MemPlan *m = p->m;
    uint32_t mine = m->first_slot[group->id] + r;
    if (!in_arena(&m->slots[mine]) || m->slots[mine].bytes == 0)
        return;
    for (uint32_t k = 0; k < group->nin; k++) {
        uint32_t slot = m->first_slot[group->in[k]->id];
        if (!ends(p, group, k, step) || m->slots[slot].bytes != m->slots[mine].bytes ||
            !inplace_may_share(p->cx, p->arena, group, k, r))
            continue;
        p->home[mine] = p->home[slot];
        p->to[slot] = step - 1; /* from here on the result is what lies there */
        return;
    }
}

static void find_homes(Plan *p)
{
    MemPlan *m = p->m;
    p->home = NEW_ARRAY(p->arena, uint32_t, m->nslot + 1);
    for (uint32_t i = 0; i < m->nslot; i++)
        p->home[i] = i;
    for (uint32_t step = 0; step < m->order.n; step++) {
        const Node *group = m->order.at[step];
        for (uint32_t r = 0; r < result_count(group); r++)
            take_over(p, group, r, step);
    }
}

/* ---- offsets ---- */

typedef struct Item {
    uint64_t size, offset;
    uint32_t from, to, slot;
} Item;
typedef VEC(Item) Items;

static int by_size(const void *x, const void *y)
{
    const Item *a = x, *b = y;
    if (a->size != b->size)
        return a->size > b->size ? -1 : 1;
    if (a->from != b->from)
        return a->from < b->from ? -1 : 1;
    return a->slot < b->slot ? -1 : a->slot > b->slot;
}

/* The smallest gap that holds the item among placed ones (ascending offsets) live at its time. */
static uint64_t best_fit(const Items *placed, const Item *it)
{
    uint64_t end = 0, best = UINT64_MAX, least = UINT64_MAX;
    for (uint32_t i = 0; i < placed->n; i++) {
        const Item *o = &placed->at[i];
        if (o->to < it->from || o->from > it->to)
            continue;
        if (o->offset >= end + it->size && o->offset - end < least) {
            least = o->offset - end;
            best = end;
        }
        end = o->offset + o->size > end ? o->offset + o->size : end;
    }
    return best == UINT64_MAX ? end : best;
}

static void insert_placed(Arena *arena, Items *placed, Item it)
{
    VEC_PUSH(arena, placed, it);
    uint32_t i = placed->n - 1;
    for (; i > 0 && placed->at[i - 1].offset > it.offset; i--)
        placed->at[i] = placed->at[i - 1];
    placed->at[i] = it;
}

/* One for each place, for as long as any of its values lives. */
static void list_items(Plan *p, Items *items)
{
    MemPlan *m = p->m;
    uint32_t *last = NEW_ARRAY(p->arena, uint32_t, m->nslot + 1);
    for (uint32_t i = 0; i < m->nslot; i++)
        last[p->home[i]] = p->to[i] > last[p->home[i]] ? p->to[i] : last[p->home[i]];
    for (uint32_t i = 0; i < m->nslot; i++) {
        if (in_arena(&m->slots[i]) && m->slots[i].bytes > 0 && p->home[i] == i)
            VEC_PUSH(p->arena, items,
                     ((Item){.size = aligned(m->slots[i].bytes),
                             .from = p->from[i],
                             .to = last[i],
                             .slot = i}));
    }
}

static void place_slots(Plan *p)
{
    MemPlan *m = p->m;
    Items items = {0}, placed = {0};
    list_items(p, &items);
    if (items.n > 0)
        qsort(items.at, items.n, sizeof *items.at, by_size);
    for (uint32_t i = 0; i < items.n; i++) {
        Item it = items.at[i];
        it.offset = best_fit(&placed, &it);
        m->slots[it.slot].offset = it.offset;
        if (it.offset + it.size > m->arena_bytes)
            m->arena_bytes = it.offset + it.size;
        insert_placed(p->arena, &placed, it);
    }
    for (uint32_t i = 0; i < m->nslot; i++)
        if (p->home[i] != i)
            m->slots[i].offset = m->slots[p->home[i]].offset;
}

/* ---- the peak ---- */

static uint32_t peak_step(const Plan *p)
{
    MemPlan *m = p->m;
    uint32_t best = 0;
    uint64_t *live = NEW_ARRAY(p->arena, uint64_t, m->order.n + 2);
    for (uint32_t i = 0; i < m->nslot; i++) {
        if (!in_arena(&m->slots[i]))
            continue;
        live[p->from[i]] += aligned(m->slots[i].bytes);
        live[p->to[i] + 1] -= aligned(m->slots[i].bytes); /* wraps and is undone by the sum */
    }
    for (uint32_t step = 1; step < m->order.n; step++)
        live[step] += live[step - 1];
    for (uint32_t step = 1; step < m->order.n; step++)
        best = live[step] > live[best] ? step : best;
    m->live_bytes = m->order.n > 0 ? live[best] : 0;
    return best;
}

static void find_largest(const Plan *p, uint32_t step)
{
    MemPlan *m = p->m;
    for (uint32_t i = 0; i < m->nslot; i++) {
        if (!in_arena(&m->slots[i]) || p->from[i] > step || p->to[i] < step || !p->value[i])
            continue;
        uint32_t at = m->ntop < COUNT(m->top) ? m->ntop++ : COUNT(m->top);
        while (at > 0 && m->top[at - 1].bytes < m->slots[i].bytes) {
            if (at < COUNT(m->top))
                m->top[at] = m->top[at - 1];
            at--;
        }
        if (at < COUNT(m->top)) {
            m->top[at].node = p->value[i];
            m->top[at].bytes = m->slots[i].bytes;
        }
    }
}

static MemPlan *build(PassCx *cx, const Graph *fused, bool body)
{
    Arena *scratch = arena_new();
    Plan p = {.cx = cx, .arena = scratch, .m = NEW(cx->arena, MemPlan), .body = body};
    p.g = p.m->graph = inplace_writes(cx, scratch, fused);
    p.m->body = NEW_ARRAY(cx->arena, const MemPlan *, p.g->nodes.n + 1);
    p.flow = flow_new(scratch, p.g);
    for (uint32_t i = 0; i < p.g->writes.n; i++) {
        if (!flow_overwrite(p.flow, &p.g->writes.at[i]))
            BUG("state %u is overwritten before it is read", p.g->writes.at[i].state);
    }
    number_slots(&p);
    fill_slots(&p);
    make_order(&p);
    find_lifetimes(&p);
    find_homes(&p);
    place_slots(&p);
    find_largest(&p, peak_step(&p));
    arena_free(scratch);
    return p.m;
}

MemPlan *memplan_build(PassCx *cx, const Graph *fused)
{
    return build(cx, fused, false);
}

/* ---- the report ---- */

static uint32_t count_kernels(const MemPlan *m)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < m->order.n; i++) {
        const MemPlan *body = m->body[m->order.at[i]->id];
        n += body ? count_kernels(body) : 1;
    }
    return n;
}

static void print_bytes(StrBuf *sb, uint64_t bytes)
{
    size_t start = sb->n;
    sb_puts(sb, "  ");
    sb_bytes(sb, bytes);
    sb_pad(sb, 14, start);
}

void memplan_print(const MemPlan *m, StrBuf *sb)
{
    uint64_t states = 0, inputs = 0;
    for (uint32_t i = 0; i < m->graph->nodes.n; i++) {
        const Node *n = m->graph->nodes.at[i];
        const Slot *s = &m->slots[m->first_slot[i]];
        if (op_info(n->op)->cls != OC_LEAF)
            continue;
        states += s->place == PLACE_STATE ? s->bytes : 0;
        inputs += s->place == PLACE_INPUT ? s->bytes : 0;
    }
    sb_printf(sb, "%s: %u kernels\n", m->graph->name ? m->graph->name : "graph", count_kernels(m));
    print_bytes(sb, m->arena_bytes);
    sb_puts(sb, "arena (most live at once: ");
    sb_bytes(sb, m->live_bytes);
    sb_puts(sb, ")\n");
    print_bytes(sb, states);
    sb_puts(sb, "states read\n");
    print_bytes(sb, inputs);
    sb_puts(sb, "inputs\n");
    if (m->ntop > 0)
        sb_puts(sb, "the largest at the peak:\n");
    for (uint32_t i = 0; i < m->ntop; i++) {
        const Node *n = m->top[i].node, *group;
        uint32_t result;
        print_bytes(sb, m->top[i].bytes);
        sb_printf(sb, "%%%u ", n->id);
        type_print(m->graph->ir, n->type, sb);
        if (value_of_group(n, &group, &result))
            sb_printf(sb, " of %s", node_def(group)->name);
        if (n->path)
            sb_printf(sb, "  [%s]", n->path);
        if (n->span.file) {
            uint32_t line, column;
            diags_place(m->graph->ir->diags, n->span, &line, &column);
            sb_printf(sb, "  %s:%u", diags_path(m->graph->ir->diags, n->span.file), line);
        }
        sb_putc(sb, '\n');
    }
}
