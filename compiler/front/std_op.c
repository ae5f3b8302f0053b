/* std_op.c: an op of std as passes ask for it: the Def that a call with operands of these types would
 * have led to. So a composite that only a pass makes is written in .mdl like all others. */
#include "elab.h"

const Def *front_std_op(Front *f, const StdOp *op)
{
    Elab *e = elab_new(f, program_new(f->ir, sym(f->ir->syms, op->name)), f->arena);
    Span nowhere = {0};
    uint32_t errors = diags_reported(e->diags), member;
    e->precision.tf32 = op->tf32;
    pass_begin(e, graph_new(e->ir, e->arena, sym(f->ir->syms, op->name)), MODE_TRAIN);
    Args *args = NEW(e->arena, Args);
    for (uint32_t i = 0; i < op->nin; i++) {
        Sym name = sym_printf(f->ir->syms, "%u", i);
        args_push(e, args, NULL, val_node(e, graph_input(e->g, name, op->in[i]), nowhere));
    }
    if (op->flag) {
        args_push(e, args, sym(f->ir->syms, op->flag), val_bool(e, true, nowhere));
    }
    const Val *fn = env_find(e, f->std->env, sym(f->ir->syms, op->name), nowhere);
    const Val *v = call_value(e, f->std->env, fn, args);
    if (val_is_poison(v) || diags_reported(e->diags) != errors) {
        return NULL;
    }
    const Node *n = v->kind == V_TUPLE ? v->list.at[0]->node : v->node;
    return node_def(node_is_get(n, &member) ? n->in[0] : n);
}
