/* glyphs.c: the faces. A shape is a text of pen commands on a 100 x 100 grid, y down:
 *   M x y            move           L x y            line
 *   Q cx cy x y      quadratic      A cx cy rx ry a b  arc of an ellipse from a to b degrees
 * Curves are flattened; every control point may wobble, so no two drawings are alike. */
#include "glyphs.h"
#include <math.h>
#include <stdlib.h>

enum { MAX_FACES = 4, CURVE_STEPS = 10, ARC_STEPS = 24 };

static const char *const faces[10][MAX_FACES] = {
    {"A 50 50 28 41 0 360", "A 50 50 21 42 0 360", "A 50 50 30 36 -60 300",
     "M 50 8 Q 22 10 24 50 Q 24 92 50 92 Q 76 92 76 50 Q 76 8 44 12"},
    {"M 50 8 L 50 92", "M 32 28 L 53 8 L 53 92", "M 34 26 L 52 8 L 52 92 M 32 92 L 72 92",
     "M 56 8 L 44 92"},
    {"M 25 30 Q 28 8 50 8 Q 76 8 75 32 Q 74 50 25 92 L 78 92",
     "M 26 22 Q 50 -4 74 24 Q 80 46 24 90 L 78 90",
     "M 28 26 Q 34 6 56 10 Q 82 20 64 50 Q 48 72 30 84 Q 20 94 30 84 Q 44 78 56 88 Q 66 94 80 84",
     0},
    {"M 26 18 Q 50 0 70 20 Q 80 46 46 47 Q 84 50 74 76 Q 56 102 24 82",
     "M 26 10 L 74 10 L 46 42 Q 84 46 74 74 Q 58 100 24 84",
     "M 24 22 Q 38 4 62 12 Q 80 30 56 44 L 42 46 Q 82 46 78 72 Q 70 98 24 88", 0},
    {"M 28 8 L 24 56 L 78 56 M 62 30 L 62 94", "M 62 94 L 62 8 L 20 64 L 82 64",
     "M 34 8 Q 22 40 26 54 Q 50 60 74 50 M 68 14 Q 64 60 60 94", 0},
    {"M 74 10 L 32 10 L 28 46 Q 76 36 76 66 Q 74 96 24 86",
     "M 72 8 L 34 10 L 32 42 Q 50 34 66 44 Q 84 62 64 86 Q 46 98 26 84",
     "M 34 10 L 30 46 Q 56 32 72 52 Q 82 84 52 92 Q 34 94 24 82 M 34 10 L 76 12", 0},
    {"M 68 10 Q 26 28 26 68 Q 28 94 52 92 Q 76 90 74 66 Q 70 48 50 48 Q 32 50 27 66",
     "A 50 70 22 22 0 360 M 60 8 Q 28 40 28 70",
     "M 54 6 Q 30 50 30 70 Q 34 96 58 90 Q 78 78 66 60 Q 48 48 32 68", 0},
    {"M 24 12 L 76 12 L 42 92", "M 24 12 L 76 12 L 42 92 M 34 52 L 68 52",
     "M 24 24 L 24 12 L 76 12 Q 50 50 46 92", "M 22 16 Q 50 8 78 12 Q 56 48 44 92"},
    {"A 50 29 20 20 0 360 A 50 70 25 22 0 360",
     "M 68 20 Q 50 0 32 20 Q 28 40 50 48 Q 80 62 68 84 Q 50 100 32 84 Q 22 62 50 48 Q 72 38 68 20",
     "M 70 18 Q 44 -2 30 22 Q 30 42 56 52 Q 82 70 62 90 Q 34 100 28 78 Q 34 56 56 44 Q 74 34 70 18",
     0},
    {"A 48 32 22 22 0 360 M 70 32 L 66 92",
     "M 70 30 Q 66 8 46 10 Q 24 14 26 36 Q 30 54 50 52 Q 70 48 70 30 Q 72 70 36 94",
     "M 72 14 Q 44 0 30 24 Q 26 50 52 46 Q 68 40 71 16 L 66 92", 0},
};

int glyph_faces(int digit)
{
    int n = 0;
    while (n < MAX_FACES && faces[digit][n]) {
        n++;
    }
    return n;
}

static void point(Strokes *s, double x, double y, int pen)
{
    if (s->n < MAX_POINTS) {
        s->x[s->n] = x / 100;
        s->y[s->n] = y / 100;
        s->pen[s->n++] = pen;
    }
}

static void quadratic(Strokes *s, const double v[4])
{
    double x0 = s->x[s->n - 1] * 100, y0 = s->y[s->n - 1] * 100;
    for (int i = 1; i <= CURVE_STEPS; i++) {
        double t = (double)i / CURVE_STEPS, u = 1 - t;
        point(s, u * u * x0 + 2 * u * t * v[0] + t * t * v[2],
              u * u * y0 + 2 * u * t * v[1] + t * t * v[3], 1);
    }
}

static void arc(Strokes *s, const double v[6])
{
    const double degree = 3.14159265358979323846 / 180;
    for (int i = 0; i <= ARC_STEPS; i++) {
        double a = (v[4] + (v[5] - v[4]) * i / ARC_STEPS) * degree;
        point(s, v[0] + v[2] * cos(a), v[1] + v[3] * sin(a), i > 0);
    }
}

static int arguments(char command)
{
    return command == 'Q' ? 4 : command == 'A' ? 6 : 2;
}

void glyph_outline(int digit, int face, const Wobble *w, Strokes *out)
{
    const char *p = faces[digit][face];
    out->n = 0;
    while (*p) {
        char command = *p++;
        double v[6] = {0};
        for (int i = 0; i < arguments(command); i++) {
            char *end;
            v[i] = strtod(p, &end);
            p = end;
            if (i < 4) { /* angles of arcs stay */
                v[i] += 100 * w->amount * w->random(w->user);
            }
        }
        while (*p == ' ') {
            p++;
        }
        if (command == 'Q') {
            quadratic(out, v);
        } else if (command == 'A') {
            arc(out, v);
        } else {
            point(out, v[0], v[1], command == 'L');
        }
    }
}
