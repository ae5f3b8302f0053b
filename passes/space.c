/* space.c: see space.h. Shared by fusion (is this merge legal?) and by the memory plan (may this
 * result overwrite that state?). */
#include "space.h"

uint32_t fold_axes(const Node *n, int64_t axes[IR_MAX_RANK])
{
    ASSERT(n->nattr == 1 && (n->attr[0].kind == AK_INTS || n->attr[0].kind == AK_INT));
    if (n->attr[0].kind == AK_INT) {
        axes[0] = n->attr[0].i;
        return 1;
    }
    for (uint32_t i = 0; i < n->attr[0].n; i++)
        axes[i] = n->attr[0].ints[i];
    return n->attr[0].n;
}

void space_make(Ir *ir, Space *s, const Node *fold, const Type *root)
{
    bool folded[IR_MAX_RANK] = {false};
    int64_t axes[IR_MAX_RANK];
    const Type *t = fold ? fold->in[0]->type : root;
    uint32_t naxes = fold ? fold_axes(fold, axes) : 0;
    for (uint32_t i = 0; i < naxes; i++)
        folded[axes[i]] = true;
    *s = (Space){.fold = fold ? t : NULL, .nfull = t->rank};
    for (uint32_t i = 0; i < t->rank; i++) {
        s->full[i] = ix_var(ir, i, t->dims[i]);
        if (folded[i]) {
            s->column_dims[s->ncolumn] = t->dims[i];
            s->column[s->ncolumn++] = s->full[i];
            continue;
        }
        s->row_dims[s->nrow] = t->dims[i];
        s->row[s->nrow++] = s->full[i];
    }
}

static bool has_dims(const Type *t, uint32_t rank, const Dim *const *dims)
{
    if (t->rank != rank)
        return false;
    for (uint32_t i = 0; i < rank; i++) {
        if (t->dims[i] != dims[i])
            return false;
    }
    return true;
}

const Ix *const *space_identity(const Space *s, const Type *t)
{
    if (has_dims(t, s->nrow, s->row_dims))
        return s->row;
    if (s->fold && type_same_dims(t, s->fold))
        return s->full;
    return NULL;
}

const Ix *const *space_column(const Space *s, const Type *t)
{
    return s->fold && has_dims(t, s->ncolumn, s->column_dims) ? s->column : NULL;
}

bool space_folds_rows(const Space *s, const Node *fold)
{
    int64_t axes[IR_MAX_RANK];
    if (fold_axes(fold, axes) != s->ncolumn)
        return false;
    for (uint32_t i = 0; i < s->ncolumn; i++)
        if (s->full[axes[i]] != s->column[i])
            return false;
    return true;
}
