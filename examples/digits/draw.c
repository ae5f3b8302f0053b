/* draw.c: a face of a digit, moved by a random affine map, drawn with a random pen, with clutter (stray
 * strokes) and noise. Distances to the strokes give soft edges without supersampling. */
#include "draw.h"
#include "glyphs.h"
#include <math.h>

/* SplitMix64 (Steele, Lea, Flood 2014). */
typedef struct Random {
    uint64_t state;
} Random;

static uint64_t next(Random *r)
{
    uint64_t z = r->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static double uniform(Random *r, double lo, double hi)
{
    return lo + (hi - lo) * (double)(next(r) >> 11) * 0x1p-53;
}

static double wobble(void *r)
{
    return uniform(r, -1, 1);
}

/* Sum of four uniforms: near enough to normal for sensor noise. */
static double noise(Random *r)
{
    return wobble(r) + wobble(r) + wobble(r) + wobble(r);
}

/* Distance from (x, y) to the segment a - b, all in pixels. */
static double segment_distance(double x, double y, const double a[2], const double b[2])
{
    double dx = b[0] - a[0], dy = b[1] - a[1], px = x - a[0], py = y - a[1];
    double length = dx * dx + dy * dy;
    double t = length > 0 ? (px * dx + py * dy) / length : 0;
    t = t < 0 ? 0 : t > 1 ? 1 : t;
    px -= t * dx;
    py -= t * dy;
    return sqrt(px * px + py * py);
}

/* Adds a stroke's ink: 1 inside the pen's radius, falling to 0 over one pixel. */
static void ink(double *canvas, const double a[2], const double b[2], double radius, double level)
{
    int x0 = (int)floor(fmin(a[0], b[0]) - radius - 1),
        x1 = (int)ceil(fmax(a[0], b[0]) + radius + 1);
    int y0 = (int)floor(fmin(a[1], b[1]) - radius - 1),
        y1 = (int)ceil(fmax(a[1], b[1]) + radius + 1);
    for (int y = y0 < 0 ? 0 : y0; y <= y1 && y < SIDE; y++) {
        for (int x = x0 < 0 ? 0 : x0; x <= x1 && x < SIDE; x++) {
            double d = segment_distance(x, y, a, b) - radius + 0.5;
            double v = level * (d <= 0 ? 1 : d >= 1 ? 0 : 1 - d);
            if (v > canvas[y * SIDE + x]) {
                canvas[y * SIDE + x] = v;
            }
        }
    }
}

/* Rotation, shear, size and position of the whole shape: unit square -> pixels. */
static void place(const double m[6], double x, double y, double out[2])
{
    x -= 0.5;
    y -= 0.5;
    out[0] = m[0] * x + m[1] * y + m[2];
    out[1] = m[3] * x + m[4] * y + m[5];
}

static void random_affine(Random *r, double m[6])
{
    double angle = uniform(r, -0.2, 0.2), shear = uniform(r, -0.22, 0.22);
    double sx = uniform(r, 15, 22), sy = uniform(r, 18, 23);
    double c = cos(angle), s = sin(angle);
    m[0] = sx * c;
    m[1] = sy * (shear * c - s);
    m[3] = sx * s;
    m[4] = sy * (shear * s + c);
    m[2] = SIDE / 2.0 - 0.5 + uniform(r, -2, 2);
    m[5] = SIDE / 2.0 - 0.5 + uniform(r, -2, 2);
}

static void clutter(Random *r, double *canvas)
{
    int n = (int)uniform(r, 0, 3.99);
    for (int i = 0; i < n; i++) {
        double a[2] = {uniform(r, 0, SIDE), uniform(r, 0, SIDE)};
        double angle = uniform(r, 0, 6.283185307), length = uniform(r, 1, 7);
        double b[2] = {a[0] + length * cos(angle), a[1] + length * sin(angle)};
        ink(canvas, a, b, uniform(r, 0.5, 1.1), uniform(r, 0.2, 0.6));
    }
}

int draw_digit(uint64_t seed, uint64_t index, uint8_t pixels[PIXELS])
{
    Random r = {seed * 0x632be59bd9b4e019u + index * 0x9e3779b97f4a7c15u};
    double canvas[PIXELS] = {0}, m[6];
    Strokes s;
    int digit = (int)(next(&r) % 10), face = (int)(next(&r) % (uint64_t)glyph_faces(digit));
    glyph_outline(digit, face, &(Wobble){0.045, wobble, &r}, &s);
    random_affine(&r, m);
    double radius = uniform(&r, 0.8, 2.0), level = uniform(&r, 0.65, 1.0);
    clutter(&r, canvas);
    for (int i = 1; i < s.n; i++) {
        double a[2], b[2];
        if (s.pen[i]) {
            place(m, s.x[i - 1], s.y[i - 1], a);
            place(m, s.x[i], s.y[i], b);
            ink(canvas, a, b, radius, level);
        }
    }
    double sigma = uniform(&r, 0.02, 0.09), floor_level = uniform(&r, 0, 0.12);
    for (int i = 0; i < PIXELS; i++) {
        double v = floor_level + canvas[i] * (1 - floor_level) + sigma * noise(&r);
        pixels[i] = (uint8_t)(v <= 0 ? 0 : v >= 1 ? 255 : v * 255 + 0.5);
    }
    return digit;
}
