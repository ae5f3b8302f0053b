/* program.c: the states and entries of one stage. */
#include "ir.h"

Program *program_new(Ir *ir, Sym name)
{
    Program *p = NEW(ir->arena, Program);
    p->ir = ir;
    p->name = name;
    return p;
}

State *program_state(Program *p, const State *proto)
{
    State *s = NEW(p->ir->arena, State);
    *s = *proto;
    s->id = p->states.n;
    if (s->kind != SK_GRAD && s->kind != SK_OPT && s->kind != SK_MASTER && s->kind != SK_SCALE)
        s->of = s->id;
    VEC_PUSH(p->ir->arena, &p->states, s);
    if (s->kind == SK_GRAD) {
        p->grads = p->grads ? p->grads : map_new(p->ir->arena);
        if (!map_get(p->grads, s->of))
            map_put(p->grads, s->of, s);
    }
    return s;
}

Graph *program_entry(const Program *p, const char *name)
{
    for (uint32_t i = 0; i < p->entries.n; i++) {
        if (strcmp(p->entries.at[i]->name, name) == 0)
            return p->entries.at[i];
    }
    return NULL;
}

const State *program_grad(const Program *p, uint32_t param)
{
    return p->grads ? map_get(p->grads, param) : NULL;
}
