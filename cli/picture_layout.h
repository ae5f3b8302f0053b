/* picture_layout.h: private to the pictures: where the boxes of a picture stand. */
#ifndef MDL_PICTURE_LAYOUT_H
#define MDL_PICTURE_LAYOUT_H

#include "picture.h"

enum { PIC_GAP = 28, PIC_HEIGHT = 46, PIC_STEP = 92 };
#define PIC_NONE UINT32_MAX

typedef struct Spot { /* a box, or a point of an arrow */
    uint32_t box;     /* PIC_NONE: a point */
    uint32_t layer, order;
    double width, x; /* x of the middle */
    double key;
} Spot;

typedef struct Link {
    uint32_t from,
        to; /* spots in layers that follow each other, or far apart when there are too many */
    uint32_t arrow;
    bool first, last; /* it begins, it ends at a box */
} Link;

typedef struct Layout {
    const Picture *pic;
    VEC(Spot) spots; /* of the boxes first, by number */
    VEC(Link) links;
    uint32_t **rows; /* spots of each layer, in order */
    uint32_t *counts;
    uint32_t layers;
    double width;
} Layout;

void picture_layout(const Picture *pic, Layout *out);
/* The lines of a box. */
const char *picture_title(const Picture *pic, const Box *b);
const char *picture_detail(const Picture *pic, const Box *b);

#endif
