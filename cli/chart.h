/* chart.h: curves as SVG. */
#ifndef MDL_CHART_H
#define MDL_CHART_H

#include "base.h"

typedef struct ChartPoint {
    double x, y;
} ChartPoint;

typedef struct Chart {
    const char *title; /* plain text */
    VEC(ChartPoint) points;
    bool dots; /* points are few: marks, and lines between them */
} Chart;

/* An <svg> element with axes; nothing where there are no finite points. */
void chart_put(StrBuf *sb, const Chart *c);
/* Text with <, > and & spelt out. */
void chart_text(StrBuf *sb, const char *text);

#endif
