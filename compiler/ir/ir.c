/* ir.c: the session: what dims, types, defs and index expressions are interned in. */
#include "tables.h"

static const OpSchema *read_schemas(Arena *arena)
{
    OpSchema *schemas = NEW_ARRAY(arena, OpSchema, OP_COUNT);
    for (OpKind op = 0; op < OP_COUNT; op++) {
        const char *name;
        OpSchema *s = &schemas[op];
        s->n = op_attr_schema(op, IR_MAX_ATTR, &name, &s->kind[0]);
        for (uint32_t i = 0; i < s->n; i++)
            op_attr_schema(op, i, &name, &s->kind[i]);
    }
    return schemas;
}

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
    t->schemas = read_schemas(arena);
    ir->tables = t;
    t->zero = dim_const(ir, 0);
    t->one = dim_const(ir, 1);
    return ir;
}
