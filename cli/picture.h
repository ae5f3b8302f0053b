/* picture.h: boxes and arrows: from a graph, to text, DOT, JSON and SVG. */
#ifndef MDL_PICTURE_H
#define MDL_PICTURE_H

#include "ir.h"

typedef struct Box {
    const char *name;   /* path of the module, or the operation */
    const char *detail; /* second line, or "" */
    int64_t parameters; /* read here */
    uint32_t layer;     /* every arrow goes to a higher one */
} Box;

typedef struct Arrow {
    uint32_t from, to; /* boxes */
    const char *label; /* the type of what flows */
} Arrow;

typedef struct Picture {
    Arena *arena;
    const char *title;
    VEC(Box) boxes;
    VEC(Arrow) arrows; /* by `to`, each once */
} Picture;

/* picture.c: a box for each module that does something, or for each operation. */
Picture *picture_modules(Arena *arena, const Graph *g, const Program *p);
Picture *picture_ops(Arena *arena, const Graph *g, const Program *p);

/* picture_print.c */
void picture_text(const Picture *pic, StrBuf *sb);
void picture_dot(const Picture *pic, StrBuf *sb);
void picture_json(const Picture *pic, StrBuf *sb);

/* picture_svg.c */
void picture_svg(const Picture *pic, StrBuf *sb);

#endif
