/* picture.h: boxes and arrows: from a graph, to text, DOT, JSON and SVG. */
#ifndef MDL_PICTURE_H
#define MDL_PICTURE_H

#include "ir.h"

typedef struct Box {
    const char *name;   /* path of the module, or the operation */
    const char *detail; /* second line, or "" */
    const char *views;  /* what it would be if there is nothing else to say; may be NULL */
    int64_t parameters; /* read here */
    uint32_t layer;     /* every arrow goes to a higher one */
    uint32_t repeat;    /* 1 + the Repeat it is in; 0: none */
    enum { BOX_STEP, BOX_INPUT, BOX_RESULT } kind;
} Box;

/* Equal instances of a module array, drawn as one: its boxes stand for all of them. */
typedef struct Repeat {
    const char *name; /* "layers" */
    uint32_t times;
    uint32_t up; /* 1 + the Repeat around it; 0: none */
} Repeat;

typedef struct Arrow {
    uint32_t from, to; /* boxes */
    const char *label; /* the type of what flows */
} Arrow;

typedef struct Picture {
    Arena *arena;
    const char *title;
    VEC(Box) boxes;
    VEC(Repeat) repeats;
    VEC(Arrow) arrows; /* by `to`, each once */
} Picture;

/* picture.c: a box for each module that does something, or for each operation. */
Picture *picture_modules(Arena *arena, const Graph *g, const Program *p);
Picture *picture_ops(Arena *arena, const Graph *g, const Program *p);

/* picture_fold.c: instances of module arrays that do the same become one; layers are counted again. */
void picture_fold(Picture *pic);

/* picture_print.c */
uint64_t picture_times(const Picture *pic, const Box *b); /* how often the box is there */
void picture_text(const Picture *pic, StrBuf *sb);
void picture_dot(const Picture *pic, StrBuf *sb);
void picture_json(const Picture *pic, StrBuf *sb);

/* picture_svg.c */
void picture_svg(const Picture *pic, StrBuf *sb);

#endif
