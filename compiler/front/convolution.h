/* convolution.h: the graphs of convolutions; private to front. */
#ifndef MDL_FRONT_CONVOLUTION_H
#define MDL_FRONT_CONVOLUTION_H

#include "ir.h"

enum { MAX_SPATIAL = 2 };

/* What a convolution or pool says of its n spatial axes. */
typedef struct Conv {
    uint32_t n;
    int64_t size[MAX_SPATIAL], stride[MAX_SPATIAL], padding[MAX_SPATIAL], dilation[MAX_SPATIAL];
    int64_t groups;
    bool tf32; /* DotAxes */
} Conv;

Windows conv_window(const Conv *c, uint32_t i, uint32_t axis);
/* x[b, c, s..] with zeros around the spatial axes, and its windows [b, c, o, k, ..]; NULL after a
 * diagnostic. */
const Node *conv_pad(Graph *g, const Node *x, const Conv *c);
const Node *conv_windows(Graph *g, const Node *x, const Conv *c);
/* y[b, o, s..] of x[b, c, s..] and w[o, c / groups, k..], both f32 or f64; the channels fit and can be
 * cut into groups. NULL after a diagnostic. */
const Node *conv_node(Graph *g, Arena *arena, const Conv *c, const Node *x, const Node *w);

#endif
