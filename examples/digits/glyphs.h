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
/* `random(user)` in -1..1 moves every control point by up to `amount`. */
typedef struct Wobble {
    double amount;
    double (*random)(void *user);
    void *user;
} Wobble;
/* The outline of one face. */
void glyph_outline(int digit, int face, const Wobble *w, Strokes *out);

#endif
