/* chart.c: a curve over the steps of a run. Of many points as many are drawn as the picture is wide: of each
 * column the least and the largest, so that no spike is lost. A loss that falls by decades gets a
 * logarithmic axis. */
#include "chart.h"
#include <math.h>

enum { WIDTH = 640, HEIGHT = 220, LEFT = 64, BOTTOM = 24, TOP = 26, RIGHT = 12, TICKS = 4 };

typedef struct Scale {
    double x0, x1, y0, y1;
    bool log;
} Scale;

void chart_text(StrBuf *sb, const char *text)
{
    for (const char *c = text; *c; c++)
        if (*c == '<')
            sb_puts(sb, "&lt;");
        else if (*c == '>')
            sb_puts(sb, "&gt;");
        else if (*c == '&')
            sb_puts(sb, "&amp;");
        else
            sb_putc(sb, *c);
}

static bool find_scale(const Chart *c, Scale *s)
{
    bool any = false;
    double least = INFINITY;
    for (uint32_t i = 0; i < c->points.n; i++) {
        const ChartPoint *p = &c->points.at[i];
        if (!isfinite(p->y) || !isfinite(p->x))
            continue;
        *s = any ? (Scale){fmin(s->x0, p->x), fmax(s->x1, p->x), fmin(s->y0, p->y),
                           fmax(s->y1, p->y), false}
                 : (Scale){p->x, p->x, p->y, p->y, false};
        least = fmin(least, p->y);
        any = true;
    }
    s->log = any && least > 0 && s->y1 > 50 * least;
    if (any && s->x1 <= s->x0)
        s->x1 = s->x0 + 1;
    if (any && s->y1 <= s->y0) {
        double margin = s->y0 != 0 ? fabs(s->y0) * 0.1 : 1;
        s->y0 -= margin;
        s->y1 += margin;
    }
    return any;
}

static double at_x(const Scale *s, double x)
{
    return LEFT + (x - s->x0) / (s->x1 - s->x0) * (WIDTH - LEFT - RIGHT);
}

static double at_y(const Scale *s, double y)
{
    double t = s->log ? log(y / s->y0) / log(s->y1 / s->y0) : (y - s->y0) / (s->y1 - s->y0);
    return HEIGHT - BOTTOM - t * (HEIGHT - TOP - BOTTOM);
}

static void put_axes(StrBuf *sb, const Scale *s)
{
    for (int i = 0; i <= TICKS; i++) {
        double t = (double)i / TICKS;
        double y = s->log ? s->y0 * pow(s->y1 / s->y0, t) : s->y0 + t * (s->y1 - s->y0);
        double x = s->x0 + t * (s->x1 - s->x0);
        sb_printf(sb,
                  "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>"
                  "<text class=\"y\" x=\"%d\" y=\"%.1f\">%.4g</text>"
                  "<text class=\"x\" x=\"%.1f\" y=\"%d\">%.6g</text>\n",
                  LEFT, WIDTH - RIGHT, at_y(s, y), at_y(s, y), LEFT - 6, at_y(s, y) + 4, y,
                  at_x(s, x), HEIGHT - 6, x);
    }
}

static void put_point(StrBuf *sb, const Scale *s, const ChartPoint *p)
{
    sb_printf(sb, "%.1f,%.1f ", at_x(s, p->x), at_y(s, p->y));
}

static void put_curve(StrBuf *sb, const Chart *c, const Scale *s)
{
    sb_puts(sb, "<polyline points=\"");
    for (uint32_t i = 0; i < c->points.n;) {
        const ChartPoint *least = NULL, *most = NULL;
        double column = 0;
        uint32_t k = i;
        for (; k < c->points.n; k++) {
            const ChartPoint *p = &c->points.at[k];
            if (!isfinite(p->y) || !isfinite(p->x))
                continue;
            double at = floor(at_x(s, p->x));
            if (least && at > column)
                break;
            column = least ? column : at;
            least = !least || p->y < least->y ? p : least;
            most = !most || p->y > most->y ? p : most;
        }
        i = k;
        if (!least)
            break;
        put_point(sb, s, least < most ? least : most);
        if (least != most)
            put_point(sb, s, least < most ? most : least);
    }
    sb_puts(sb, "\"/>\n");
    for (uint32_t i = 0; c->dots && i < c->points.n; i++)
        if (isfinite(c->points.at[i].y))
            sb_printf(sb, "<circle r=\"3\" cx=\"%.1f\" cy=\"%.1f\"><title>%.6g</title></circle>\n",
                      at_x(s, c->points.at[i].x), at_y(s, c->points.at[i].y), c->points.at[i].y);
}

void chart_put(StrBuf *sb, const Chart *c)
{
    Scale s = {0};
    if (!find_scale(c, &s))
        return;
    sb_printf(sb,
              "<svg viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\">\n<text class=\"t\" x=\"%d\" "
              "y=\"16\">",
              WIDTH, HEIGHT, WIDTH, HEIGHT, LEFT);
    chart_text(sb, c->title);
    sb_puts(sb, s.log ? " (logarithmic)</text>\n" : "</text>\n");
    put_axes(sb, &s);
    put_curve(sb, c, &s);
    sb_puts(sb, "</svg>\n");
}
