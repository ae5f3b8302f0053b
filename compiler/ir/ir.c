/* ir.c: the session: what dims, types, defs and index expressions are interned in. */
#include "tables.h"

Ir *ir_new(Arena *arena, Syms *syms, Diags *diags)
{
    Ir *ir = NEW(arena, Ir);
    ir->arena = arena;
    ir->syms = syms;
    ir->diags = diags;
    struct IrTables *t = NEW(arena, struct IrTables);
    t->dims = map_new(arena);
    t->types = map_new(arena);
    t->defs = map_new(arena);
    t->ixs = map_new(arena);
    ir->tables = t;
    t->zero = dim_const(ir, 0);
    t->one = dim_const(ir, 1);
    return ir;
}
