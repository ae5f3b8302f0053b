/* glyphs.h: digit shapes as pen strokes, several faces a digit. */
#ifndef MDL_DIGITS_GLYPHS_H
#define MDL_DIGITS_GLYPHS_H

#include <stdint.h>

enum { MAX_POINTS = 320 };

/* A polyline set in the unit square, y down; pen[i] false: no segment from point i - 1 to i. */
typedef struct Strokes {
    double x[MAX_POINTS], y[MAX_POINTS];
    int pen[MAX_POINTS];
    int n;
} Strokes;

int glyph_faces(int digit); /* number of faces of a digit */
/* The outline of one face; `wobble(user)` in -1..1 moves every control point by up to `amount`. */
typedef double (*Wobble)(void *user);
void glyph_outline(int digit, int face, double amount, Wobble wobble, void *user, Strokes *out);

#endif
