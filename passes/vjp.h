/* vjp.h: the gradients that a line of text in ops.def cannot say; the column AD(VJP(fn)). */
#ifndef MDL_PASSES_VJP_H
#define MDL_PASSES_VJP_H

#include "passes.h"

/* Every function sets dx[k] for the operands whose need[k] is true; dy has the type of n. */

/* vjp_shape.c */
void vjp_reshape(const VjpIn *v, const Node **dx);
void vjp_permute(const VjpIn *v, const Node **dx);
void vjp_expand(const VjpIn *v, const Node **dx);
void vjp_slice(const VjpIn *v, const Node **dx);
void vjp_window(const VjpIn *v, const Node **dx);
void vjp_pad(const VjpIn *v, const Node **dx);
void vjp_concat(const VjpIn *v, const Node **dx);
/* vjp.c */
const Node *vjp_wide(Graph *g, const Node *n); /* f32 where n has fewer bits: to add with */
void vjp_cast(const VjpIn *v, const Node **dx);
void vjp_gather(const VjpIn *v, const Node **dx);
void vjp_scatter_add(const VjpIn *v, const Node **dx);
void vjp_sum(const VjpIn *v, const Node **dx);
void vjp_prod(const VjpIn *v, const Node **dx);
void vjp_amax(const VjpIn *v, const Node **dx); /* amin too */
void vjp_dot(const VjpIn *v, const Node **dx);
void vjp_sumsq(const VjpIn *v, const Node **dx);
/* vjp_scan.c */
void vjp_cumsum(const VjpIn *v, const Node **dx);
void vjp_cumprod(const VjpIn *v, const Node **dx);

#endif
