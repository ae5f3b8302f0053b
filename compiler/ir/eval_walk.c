/* eval_walk.c: walking several tensors of the interpreter in step, each through its own strides.
 *
 * A Walk is an odometer over a box; stride 0 repeats an axis, a base offset shifts a window. That is
 * all that views, folds and contractions need. */
#include "eval.h"

#include <string.h>

void value_strides(const Value *v, int64_t *stride)
{
    int64_t step = 1;
    for (uint32_t i = v->rank; i-- > 0;) {
        stride[i] = step;
        step *= v->dim[i];
    }
}

void walk_begin(Walk *w, uint32_t rank, const int64_t *extent)
{
    memset(w, 0, sizeof *w);
    w->rank = rank;
    w->ntensor = WALK_MAX;
    w->left = 1;
    for (uint32_t i = 0; i < rank; i++) {
        w->extent[i] = extent[i];
        w->left *= extent[i];
    }
}

bool walk_next(Walk *w)
{
    if (--w->left <= 0)
        return false;
    for (uint32_t axis = w->rank; axis-- > 0;) {
        bool carry = ++w->at[axis] == w->extent[axis];
        for (uint32_t t = 0; t < w->ntensor; t++)
            w->offset[t] += w->stride[t][axis] * (carry ? 1 - w->extent[axis] : 1);
        if (!carry)
            return true;
        w->at[axis] = 0;
    }
    return true;
}
