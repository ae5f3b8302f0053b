/* context.c: what every pass of one session shares; apart from run.c so that a program may use single
 * passes without linking the pipeline. */
#include "internal.h"

PassCx *passes_begin(Ir *ir, Arena *arena, const Program *program, const Target *target)
{
    PassCx *cx = NEW(arena, PassCx);
    cx->ir = ir;
    cx->arena = arena;
    cx->program = program;
    cx->target = target;
    cx->rules = rules_new(ir, arena);
    return cx;
}
