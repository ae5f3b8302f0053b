/* pictures.c: how many pictures there can be at once. Their number is a size of the batch, and grids and memory
 * follow from its upper end; `place` says how many tokens a picture takes, so that the tokens bound it
 * (language.md 2.12: as many rows as there are slots). */
#include "data.h"

bool places_pictures(void *elab, const Node *n)
{
    Elab *e = elab;
    static const char name[] = "place";
    if (op_info(n->op)->cls != OC_CALL || n->nin != 3 ||
        node_def(n)->name != sym(e->ir->syms, name)) {
        return false;
    }
    const Type *types[] = {n->in[0]->type, n->in[1]->type, n->in[2]->type};
    const StdOp op = {.name = name, .in = types, .nin = COUNT(types)};
    return node_def(n) == front_std_op(e->front, &op);
}

int64_t picture_rows(Elab *e, const Graph *g, const Dim *pictures)
{
    int64_t most = 0;
    for (uint32_t i = 0; i < g->nodes.n; i++) {
        const Node *n = g->nodes.at[i];
        if (!places_pictures(e, n)) {
            continue;
        }
        const Type *seen = n->in[1]->type;
        const Dim *rows = dim_const(e->ir, 1), *each;
        for (uint32_t k = 0; k + 1 < seen->rank; k++) {
            rows = dim_mul(e->ir, rows, seen->dims[k]);
        }
        int64_t count;
        if (dim_div(e->ir, rows, pictures, &each) && dim_is_const(each, &count) && count > most) {
            most = count;
        }
    }
    return most;
}

int64_t pictures_most(Elab *e, const Dim *tokens, int64_t rows)
{
    int64_t most = rows > 0 ? dim_hi(e->ir, tokens) / rows : BATCH_SIZE_MAX;
    return most < 1 ? 1 : most < BATCH_SIZE_MAX ? most : BATCH_SIZE_MAX;
}

bool data_has_pictures(const DataSpec *s)
{
    return s->npart ? data_has_pictures(s->part[0]) : s->info->conversations && s->image;
}

bool data_find_pictures(Elab *e, DataUse *use, const PictureUse *x)
{
    uint32_t errors = diags_reported(e->diags);
    struct Shapes *shapes = e->front->shapes;
    if (!data_has_pictures(use->spec)) {
        return true;
    }
    use->picture_rows = PICTURES_OPEN;
    e->front->shapes = NULL; /* shown are those of the pass that counts */
    pass_begin(e, graph_new(e->ir, e->arena, sym(e->ir->syms, "pictures")), x->mode);
    const Val *batch = data_batch_value(e, use, x->rows, x->span);
    bool ok = true;
    for (uint32_t i = 0; i < x->n && ok; i++) {
        ok = !val_is_poison(batch_call(e, x->env, x->fn[i], batch));
    }
    e->front->shapes = shapes;
    use->picture_rows = 0;
    for (uint32_t i = 0; i < e->g->inputs.n; i++) {
        const Node *in = e->g->inputs.at[i];
        if (strcmp(node_sym(in, "name"), "images") == 0) {
            use->picture_rows = picture_rows(e, e->g, in->type->dims[0]);
        }
    }
    return ok && diags_reported(e->diags) == errors;
}
