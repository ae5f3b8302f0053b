/* fuse_merge.c: vertical and horizontal merging of groups, by gain.
 *
 * Sweeps: all pairs of groups that hand over a value, or that read the same large value, are sorted
 * by T(a) + T(b) - T(a and b) and tried in that order; what is legal and acyclic is merged. Sweeps
 * repeat until one merges nothing: a merge can make another legal (the mean joins the sum, then what
 * reads both joins). What is legal early can spoil what becomes legal later, so there are rounds:
 * folds with folds; what hands over a value; what reads the same, products with a common operand among
 * them; last, folds of columns that also store their operand, or join folds of rows. Ties: lower ids. */
#include "fuse_groups.h"

#include <math.h>
#include <stdlib.h>

enum { NEIGHBOURS = 4, MAX_REFUSALS = 6 };

typedef enum Round { ROUND_FOLDS, ROUND_FLOW, ROUND_SIBLINGS, ROUND_COLUMNS, ROUND_EXPLAIN } Round;

typedef struct Pair {
    uint32_t a, b; /* a before b in the order */
    bool flow;     /* b reads what a keeps */
    bool scalars;
    double gain;
} Pair;

typedef VEC(Pair) Pairs;

static double seconds_of(Fuse *fx, uint32_t group)
{
    Body body;
    fuse_walk(fx, group, FUSE_NONE, &body);
    return fuse_seconds(fx, &body);
}

static double gain_of(Fuse *fx, const Body *both)
{
    return seconds_of(fx, both->a) + seconds_of(fx, both->b) - fuse_seconds(fx, both);
}

/* ---- candidates ---- */

static void add_pair(Fuse *fx, Pairs *pairs, Pair p)
{
    if (fx->groups.at[p.a]->pos > fx->groups.at[p.b]->pos) {
        uint32_t t = p.a;
        p.a = p.b;
        p.b = t;
    }
    Body both;
    fuse_walk(fx, p.a, p.b, &both);
    p.gain = gain_of(fx, &both);
    VEC_PUSH(fx->arena, pairs, p);
}

static void flow_pairs(Fuse *fx, uint32_t group, Pairs *pairs)
{
    const FGroup *g = fx->groups.at[group];
    Ids from = {0};
    for (uint32_t i = 0; i < g->reads.n; i++) {
        if (fx->owner[g->reads.at[i]] != FUSE_NONE &&
            fuse_class(fuse_node(fx, g->reads.at[i])) != OC_LEAF)
            ids_add(fx->arena, &from, fuse_find(fx, fx->owner[g->reads.at[i]]));
    }
    for (uint32_t i = 0; i < from.n; i++)
        add_pair(fx, pairs, (Pair){.a = from.at[i], .b = group, .flow = true});
}

static int by_pos(const Fuse *fx, uint32_t a, uint32_t b)
{
    uint32_t x = fx->groups.at[a]->pos, y = fx->groups.at[b]->pos;
    return x < y ? -1 : x > y;
}

static void neighbours(Fuse *fx, Ids *list, bool scalars, Pairs *pairs)
{
    for (uint32_t i = 1; i < list->n; i++) { /* insertion sort by pos: lists are short */
        uint32_t id = list->at[i], k = i;
        for (; k > 0 && by_pos(fx, list->at[k - 1], id) > 0; k--)
            list->at[k] = list->at[k - 1];
        list->at[k] = id;
    }
    for (uint32_t i = 0; i < list->n; i++) {
        for (uint32_t k = i + 1; k < list->n && k <= i + NEIGHBOURS; k++)
            add_pair(fx, pairs, (Pair){.a = list->at[i], .b = list->at[k], .scalars = scalars});
    }
}

/* Groups of one class that read the same value. */
static void sibling_pairs(Fuse *fx, uint32_t value, KernelClass cls, Pairs *pairs)
{
    const Ids *readers = &fx->readers[value];
    Ids list = {0};
    for (uint32_t i = 0; i < readers->n; i++) {
        uint32_t group = fuse_find(fx, readers->at[i]);
        KernelClass has = fx->groups.at[group]->cls;
        if (has == cls || (cls == KC_REDUCE && has == KC_ROW_COL))
            ids_add(fx->arena, &list, group);
    }
    neighbours(fx, &list, false, pairs);
}

static void scalar_pairs(Fuse *fx, Pairs *pairs)
{
    Ids list = {0};
    for (uint32_t i = 0; i < fx->order.n; i++) {
        const FGroup *g = fx->groups.at[fx->order.at[i]];
        if (g->cls == KC_MAP && fuse_node(fx, g->kept.at[0])->type->rank == 0)
            VEC_PUSH(fx->arena, &list, g->id);
    }
    neighbours(fx, &list, true, pairs);
}

static int compare_pairs(const void *x, const void *y)
{
    const Pair *a = x, *b = y;
    if (a->gain != b->gain)
        return a->gain > b->gain ? -1 : 1;
    if (a->a != b->a)
        return a->a < b->a ? -1 : 1;
    if (a->b != b->b)
        return a->b < b->b ? -1 : 1;
    return (int)b->flow - (int)a->flow;
}

/* ---- trying ---- */

/* Siblings must share at least half of the smaller one's bytes, or be scalars; products an operand. */
static bool shares_enough(Fuse *fx, const Pair *p)
{
    if (p->flow || p->scalars)
        return true;
    const FGroup *a = fx->groups.at[p->a], *b = fx->groups.at[p->b];
    if (a->cls == KC_GEMM && b->cls == KC_GEMM)
        return fuse_share_operand(fx, p->a, p->b);
    double shared = 0, bytes[2] = {0, 0};
    for (uint32_t i = 0; i < a->reads.n; i++) {
        double size = fuse_bytes(fx, fuse_node(fx, a->reads.at[i])->type);
        bytes[0] += size;
        for (uint32_t k = 0; k < b->reads.n; k++) {
            if (b->reads.at[k] == a->reads.at[i])
                shared += size;
        }
    }
    for (uint32_t k = 0; k < b->reads.n; k++)
        bytes[1] += fuse_bytes(fx, fuse_node(fx, b->reads.at[k])->type);
    return shared >= 0.5 * fmin(bytes[0], bytes[1]);
}

static Verdict judge(Fuse *fx, Pair *p, Body *both, KernelClass *cls)
{
    if (!shares_enough(fx, p))
        return (Verdict){FUSE_COST, "they share too little"};
    fuse_walk(fx, p->a, p->b, both);
    if (fuse_mixes_halves(fx, both))
        return (Verdict){FUSE_COST, "one is computed again later, on purpose"};
    Verdict v = fuse_fits(fx, both, cls);
    if (v.code != FUSE_OK)
        return v;
    if (fuse_connected(fx, p->a, p->b, false))
        return (Verdict){FUSE_CYCLE, "a path leads through another group"};
    p->gain = gain_of(fx, both);
    if (p->gain <= 0)
        return (Verdict){FUSE_COST, "slower together"};
    return (Verdict){FUSE_OK, NULL};
}

static void refuse(Fuse *fx, const Pair *p, Verdict v)
{
    if (!p->flow || fx->groups.at[p->a]->notes.n >= MAX_REFUSALS)
        return;
    fuse_note(fx, p->a, "refused %s: %s %s", fuse_label(fx, fuse_anchor(fx, fx->groups.at[p->b])),
              fuse_code_name(v.code), v.why);
}

static void accept(Fuse *fx, const Pair *p, const Body *both, KernelClass cls)
{
    uint32_t a = fuse_anchor(fx, fx->groups.at[p->a]), b = fuse_anchor(fx, fx->groups.at[p->b]);
    bool folds = cls == KC_GEMM && fx->groups.at[p->a]->cls == KC_REDUCE;
    bool rows = cls == KC_GEMM && fx->groups.at[p->b]->cls == KC_UPDATE;
    uint32_t merged = fuse_merge(fx, both, cls);
    uint32_t anchor = fuse_anchor(fx, fx->groups.at[merged]);
    const char *how = rows    ? "straight to its place"
                      : folds ? "as prologue: each task folds its rows"
                      : both->nclass[OC_CONTRACT] > 1
                          ? p->flow ? "before one epilogue" : "in one launch: an operand is shared"
                      : cls == KC_GEMM ? "as epilogue"
                      : p->flow        ? "with what reads it"
                                       : "with a reader of the same input";
    fuse_note(fx, merged, "merged %s %s", fuse_label(fx, anchor == a ? b : a), how);
}

static Pairs candidates(Fuse *fx, Round round)
{
    Pairs pairs = {0};
    for (uint32_t i = 0; i < fx->order.n; i++)
        flow_pairs(fx, fx->order.at[i], &pairs);
    for (uint32_t v = 0; v < fx->n && round != ROUND_FLOW && round != ROUND_EXPLAIN; v++) {
        if (fx->readers[v].n < 2)
            continue;
        if (round != ROUND_FOLDS)
            sibling_pairs(fx, v, KC_MAP, &pairs);
        if (round == ROUND_SIBLINGS)
            sibling_pairs(fx, v, KC_GEMM, &pairs);
        sibling_pairs(fx, v, KC_REDUCE, &pairs);
    }
    if (round >= ROUND_SIBLINGS && round != ROUND_EXPLAIN)
        scalar_pairs(fx, &pairs);
    if (pairs.n > 0)
        qsort(pairs.at, pairs.n, sizeof *pairs.at, compare_pairs);
    return pairs;
}

static bool belongs(Fuse *fx, Round round, const Pair *p)
{
    return p->a != p->b && (round != ROUND_FOLDS || (fx->groups.at[p->a]->cls == KC_REDUCE &&
                                                     fx->groups.at[p->b]->cls == KC_REDUCE));
}

/* False when nothing was merged. */
static bool sweep(Fuse *fx, Round round)
{
    Pairs pairs = candidates(fx, round);
    bool merged = false;
    for (uint32_t i = 0; i < pairs.n; i++) {
        Pair *p = &pairs.at[i];
        p->a = fuse_find(fx, p->a);
        p->b = fuse_find(fx, p->b);
        if (!belongs(fx, round, p))
            continue;
        Body both;
        KernelClass cls;
        Verdict v = judge(fx, p, &both, &cls);
        if (v.code != FUSE_OK && round == ROUND_EXPLAIN)
            refuse(fx, p, v);
        if (v.code != FUSE_OK || round == ROUND_EXPLAIN ||
            (round != ROUND_COLUMNS && (cls == KC_ROW_COL || fuse_is_wide_column(fx, &both))))
            continue;
        accept(fx, p, &both, cls);
        merged = true;
    }
    return merged;
}

void fuse_merge_all(Fuse *fx)
{
    for (Round round = ROUND_FOLDS; round < ROUND_EXPLAIN; round++) {
        while (sweep(fx, round))
            ;
    }
    sweep(fx, ROUND_EXPLAIN);
}
