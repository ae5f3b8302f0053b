/* planverify_loop.c: loops of a plan: what moves in them has a shape that fits, and their steps nest.
 *
 * Loops are numbered as their first steps follow each other, so a loop inside another has the higher number,
 * and a tensor that moves by one may only move, besides, by those around it. */
#include "planverify.h"

enum { MAX_NESTED = 16 };

static bool same_dims(const PlanTensor *a, const PlanTensor *b, uint32_t rank, uint32_t skip)
{
    for (uint32_t k = 0; k < rank; k++)
        if (a->dim[k] != b->dim[k + skip])
            return false;
    return a->dtype == b->dtype;
}

static bool same_shape(const PlanTensor *a, const PlanTensor *b)
{
    return a->rank == b->rank && same_dims(a, b, a->rank, 0);
}

/* Fixed in all rounds of this loop. */
static bool is_outside(const Plan *p, uint32_t tensor, uint32_t loop)
{
    const PlanTensor *t = &p->tensors[tensor];
    return t->arena != PA_MOVING || p->moves[t->offset].loop < loop;
}

static bool verify_carry(const Row *r, const PlanCarry *c, uint32_t loop)
{
    const Plan *p = r->plan;
    const uint32_t all[] = {c->init, c->last, c->other};
    for (size_t i = 0; i < COUNT(all); i++) {
        if (!row_index(r, "a carry's tensor", all[i], p->ntensors))
            return false;
        if (!is_outside(p, all[i], loop))
            return row_bad(r, "a carry lies inside its loop");
        if (!same_shape(&p->tensors[all[i]], &p->tensors[c->init]))
            return row_bad(r, "the buffers of a carry have several shapes");
        if (i > 0 && p->tensors[all[i]].arena == PA_INPUT)
            return row_bad(r, "a carry is written to an input");
    }
    return true;
}

static bool verify_move(const Row *r, const PlanTensor *t)
{
    const Plan *p = r->plan;
    const PlanMove *m = &p->moves[t->offset];
    if (!row_index(r, "how it moves", m->kind, PM_NEW + 1) ||
        !row_index(r, "loop", m->loop, p->nloops))
        return false;
    const PlanLoop *l = &p->loops[m->loop];
    if (m->kind != PM_SLICE)
        return (m->of >= l->carry0 && m->of - l->carry0 < l->ncarry &&
                same_shape(t, &p->tensors[p->carries[m->of].init])) ||
               row_bad(r, "it is not like the carry that it stands for");
    if (!row_index(r, "whole", m->of, p->ntensors))
        return false;
    const PlanTensor *whole = &p->tensors[m->of];
    if (!is_outside(p, m->of, m->loop))
        return row_bad(r, "a slice of what moves in the same loop");
    return (whole->rank == t->rank + 1 && same_dims(t, whole, t->rank, 1) &&
            whole->dim[0] == l->length) ||
           row_bad(r, "it is no slice of tensor %u", m->of);
}

bool verify_loops(const Plan *p, Err *err)
{
    for (uint32_t i = 0; i < p->nmoves; i++)
        if (!row_index(&(Row){p, err, "moves", i}, "loop", p->moves[i].loop, p->nloops))
            return false;
    for (uint32_t i = 0; i < p->nloops; i++) {
        const PlanLoop *l = &p->loops[i];
        const Row r = {p, err, "loops", i};
        if (!row_index(&r, "length", l->length, p->ndims) ||
            !row_index(&r, "reverse", l->reverse, 2) ||
            !row_range(&r, "carries", l->carry0, l->ncarry, p->ncarries))
            return false;
        for (uint32_t k = 0; k < l->ncarry; k++)
            if (!verify_carry(&r, &p->carries[l->carry0 + k], i))
                return false;
    }
    for (uint32_t i = 0; i < p->ntensors; i++)
        if (p->tensors[i].arena == PA_MOVING &&
            !verify_move(&(Row){p, err, "tensors", i}, &p->tensors[i]))
            return false;
    return true;
}

/* ---- steps ---- */

typedef struct Nest {
    const Row *r;
    const PlanEntry *e;
    uint32_t open[MAX_NESTED], depth;
} Nest;

static bool is_open(const Nest *n, uint32_t loop)
{
    for (uint32_t i = 0; i < n->depth; i++)
        if (n->open[i] == loop)
            return true;
    return false;
}

/* Whether a step at this place can find the tensor. */
static bool verify_place(const Nest *n, uint32_t tensor)
{
    const Plan *p = n->r->plan;
    while (p->tensors[tensor].arena == PA_MOVING) {
        const PlanMove *m = &p->moves[p->tensors[tensor].offset];
        if (!is_open(n, m->loop))
            return row_bad(n->r, "a step uses what moves in a loop that it is not in");
        if (m->kind != PM_SLICE)
            return true; /* its buffers were looked at when the loop began */
        tensor = m->of;
    }
    return plan_binds(p, n->e, tensor) || row_bad(n->r, "a loop reads an input that is not bound");
}

static bool verify_begin(Nest *n, uint32_t loop, uint32_t *next)
{
    const Plan *p = n->r->plan;
    if (loop != *next)
        return row_bad(n->r, "loop %u begins where loop %u should", loop, *next);
    if (n->depth == MAX_NESTED)
        return row_bad(n->r, "more than %d loops in each other", (int)MAX_NESTED);
    for (uint32_t k = 0; k < p->loops[loop].ncarry; k++) {
        const PlanCarry *c = &p->carries[p->loops[loop].carry0 + k];
        if (!verify_place(n, c->init) || !verify_place(n, c->last) || !verify_place(n, c->other))
            return false;
    }
    n->open[n->depth++] = loop;
    ++*next;
    return true;
}

static bool verify_operands(const Nest *n, const PlanStep *s)
{
    const Plan *p = n->r->plan;
    for (uint32_t i = 0; i < s->narg; i++) {
        const PlanArg *a = &p->args[s->arg0 + i];
        if (a->kind == PG_BUF && !verify_place(n, a->tensor))
            return false;
        for (uint32_t k = 0; a->kind == PG_TABLE && k < a->nrow * PLAN_ROW_BUFS; k++) {
            uint32_t t = p->rows[a->row0 + k / PLAN_ROW_BUFS].tensor[k % PLAN_ROW_BUFS];
            if (t != PLAN_NONE && !verify_place(n, t))
                return false;
        }
    }
    return true;
}

bool verify_nesting(const Row *r, const PlanEntry *e, uint32_t *next)
{
    const Plan *p = r->plan;
    Nest n = {.r = r, .e = e};
    for (uint32_t i = 0; i < e->nstep; i++) {
        const PlanStep *s = &p->steps[e->step0 + i];
        switch ((PlanStepKind)s->kind) {
        case PT_LAUNCH:
            if (!verify_operands(&n, s))
                return false;
            break;
        case PT_LOOP:
            if (!verify_begin(&n, s->kernel, next))
                return false;
            break;
        case PT_END:
            if (n.depth == 0 || n.open[n.depth - 1] != s->kernel)
                return row_bad(r, "loop %u ends where it is not the innermost", s->kernel);
            n.depth--;
            break;
        }
    }
    return n.depth == 0 || row_bad(r, "loop %u does not end", n.open[n.depth - 1]);
}
