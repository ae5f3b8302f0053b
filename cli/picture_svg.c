/* picture_svg.c: a layered drawing, after Sugiyama: arrows that cross layers get a point in each of them, the
 * order within a layer follows the mean place of the predecessors, and then of the successors, a few times.
 * Layers go downwards. */
#include "picture.h"

enum { SWEEPS = 4, MAX_POINTS = 20000, GAP = 28, HEIGHT = 46, STEP = 96, CHAR = 7 };
#define NONE UINT32_MAX

typedef struct Spot { /* a box, or a point of an arrow */
    uint32_t box;     /* NONE: a point */
    uint32_t layer, order;
    double width, x; /* x of the middle */
    double key;
} Spot;

typedef struct Link {
    uint32_t from,
        to; /* spots in layers that follow each other, or far apart when there are too many */
    uint32_t arrow;
    bool last; /* it ends at a box */
} Link;

typedef struct Layout {
    const Picture *pic;
    VEC(Spot) spots;
    VEC(Link) links;
    uint32_t **rows; /* spots of each layer, in order */
    uint32_t *counts;
    uint32_t layers;
    double width;
} Layout;

/* Characters of the text. */
static uint32_t characters(const char *text)
{
    uint32_t n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

static const char *second_line(const Picture *pic, const Box *b)
{
    if (!b->parameters)
        return b->detail;
    return arena_printf(pic->arena, "%s%s%lld parameters", b->detail, *b->detail ? ", " : "",
                        (long long)b->parameters);
}

static uint32_t add_spot(Layout *l, uint32_t box, uint32_t layer)
{
    Spot s = {.box = box, .layer = layer, .width = 8};
    if (box != NONE) {
        const Box *b = &l->pic->boxes.at[box];
        uint32_t name = characters(b->name), more = characters(second_line(l->pic, b));
        s.width = CHAR * (double)(name > more ? name : more) + 20;
    }
    if (layer >= l->layers)
        l->layers = layer + 1;
    VEC_PUSH(l->pic->arena, &l->spots, s);
    return l->spots.n - 1;
}

static void add_link(Layout *l, Link link)
{
    VEC_PUSH(l->pic->arena, &l->links, link);
}

static void add_links(Layout *l)
{
    const Picture *pic = l->pic;
    uint64_t points = 0;
    for (uint32_t i = 0; i < pic->arrows.n; i++) {
        const Arrow *a = &pic->arrows.at[i];
        points += pic->boxes.at[a->to].layer - pic->boxes.at[a->from].layer - 1;
    }
    for (uint32_t i = 0; i < pic->arrows.n; i++) {
        const Arrow *a = &pic->arrows.at[i];
        uint32_t at = a->from, to = pic->boxes.at[a->to].layer;
        for (uint32_t k = pic->boxes.at[at].layer + 1; k < to && points <= MAX_POINTS; k++) {
            uint32_t point = add_spot(l, NONE, k);
            add_link(l, (Link){at, point, i, false});
            at = point;
        }
        add_link(l, (Link){at, a->to, i, true});
    }
}

static void make_rows(Layout *l)
{
    Arena *arena = l->pic->arena;
    l->rows = NEW_ARRAY(arena, uint32_t *, l->layers);
    l->counts = NEW_ARRAY(arena, uint32_t, l->layers);
    for (uint32_t i = 0; i < l->spots.n; i++)
        l->spots.at[i].order = l->counts[l->spots.at[i].layer]++;
    for (uint32_t i = 0; i < l->layers; i++)
        l->rows[i] = NEW_ARRAY(arena, uint32_t, l->counts[i]);
    for (uint32_t i = 0; i < l->spots.n; i++)
        l->rows[l->spots.at[i].layer][l->spots.at[i].order] = i;
}

typedef struct Sorted {
    double key;
    uint32_t order, spot;
} Sorted;

static int compare(const void *a, const void *b)
{
    const Sorted *x = a, *y = b;
    if (x->key < y->key || x->key > y->key)
        return x->key < y->key ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

/* Sorts a row by key; equal ones keep their order. */
static void sort_row(Layout *l, uint32_t row)
{
    uint32_t n = l->counts[row], *at = l->rows[row];
    Sorted *sorted = NEW_ARRAY(l->pic->arena, Sorted, n + (size_t)1);
    for (uint32_t i = 0; i < n; i++)
        sorted[i] = (Sorted){l->spots.at[at[i]].key, i, at[i]};
    qsort(sorted, n, sizeof *sorted, compare);
    for (uint32_t i = 0; i < n; i++) {
        at[i] = sorted[i].spot;
        l->spots.at[at[i]].order = i;
    }
}

/* The key of every spot: the mean order of those above it, or below it. */
static void mean_orders(Layout *l, bool above)
{
    double *sum = NEW_ARRAY(l->pic->arena, double, l->spots.n + (size_t)1);
    uint32_t *n = NEW_ARRAY(l->pic->arena, uint32_t, l->spots.n + (size_t)1);
    for (uint32_t i = 0; i < l->links.n; i++) {
        uint32_t of = above ? l->links.at[i].to : l->links.at[i].from;
        uint32_t other = above ? l->links.at[i].from : l->links.at[i].to;
        sum[of] += l->spots.at[other].order;
        n[of]++;
    }
    for (uint32_t i = 0; i < l->spots.n; i++)
        l->spots.at[i].key = n[i] ? sum[i] / n[i] : l->spots.at[i].order;
}

static void place(Layout *l)
{
    for (uint32_t r = 0; r < l->layers; r++) {
        double x = GAP;
        for (uint32_t i = 0; i < l->counts[r]; i++) {
            Spot *s = &l->spots.at[l->rows[r][i]];
            s->x = x + s->width / 2;
            x += s->width + GAP;
        }
        l->width = x > l->width ? x : l->width;
    }
    for (uint32_t r = 0; r < l->layers; r++) { /* to the middle */
        const Spot *last = l->counts[r] ? &l->spots.at[l->rows[r][l->counts[r] - 1]] : NULL;
        double shift = last ? (l->width - (last->x + last->width / 2 + GAP)) / 2 : 0;
        for (uint32_t i = 0; i < l->counts[r]; i++)
            l->spots.at[l->rows[r][i]].x += shift;
    }
}

static void arrange(Layout *l)
{
    for (uint32_t i = 0; i < l->pic->boxes.n; i++)
        add_spot(l, i, l->pic->boxes.at[i].layer);
    add_links(l);
    make_rows(l);
    for (int sweep = 0; sweep < SWEEPS; sweep++) {
        mean_orders(l, sweep % 2 == 0);
        for (uint32_t r = 0; r < l->layers; r++)
            sort_row(l, r);
    }
    place(l);
}

/* ---- text ---- */

static void put_xml(StrBuf *sb, const char *text)
{
    for (; *text; text++) {
        if (*text == '<' || *text == '&')
            sb_puts(sb, *text == '<' ? "&lt;" : "&amp;");
        else
            sb_putc(sb, (unsigned char)*text < ' ' ? ' ' : *text);
    }
}

static void put_label(StrBuf *sb, const char *style, const double at[2], const char *text)
{
    sb_printf(sb, "<text class=\"%s\" x=\"%.1f\" y=\"%.1f\">", style, at[0], at[1]);
    put_xml(sb, text);
    sb_puts(sb, "</text>\n");
}

static void put_box(const Layout *l, const Spot *s, StrBuf *sb)
{
    const Box *b = &l->pic->boxes.at[s->box];
    const char *more = second_line(l->pic, b);
    double y = GAP + STEP * (double)s->layer;
    sb_printf(sb, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%d\" rx=\"4\"/>\n",
              s->x - s->width / 2, y, s->width, HEIGHT);
    put_label(sb, "name", (const double[]){s->x, y + (*more ? 19 : 28)}, b->name);
    if (*more)
        put_label(sb, "more", (const double[]){s->x, y + 36}, more);
}

static void put_link(const Layout *l, const Link *k, StrBuf *sb)
{
    const Spot *a = &l->spots.at[k->from], *b = &l->spots.at[k->to];
    double y = GAP + STEP * (double)a->layer + (a->box != NONE ? HEIGHT : HEIGHT / 2.0);
    double z = GAP + STEP * (double)b->layer + (b->box != NONE ? 0 : HEIGHT / 2.0);
    double half = (y + z) / 2;
    sb_printf(sb, "<path d=\"M%.1f %.1fC%.1f %.1f %.1f %.1f %.1f %.1f\"%s/>\n", a->x, y, a->x, half,
              b->x, half, b->x, z, k->last ? " marker-end=\"url(#tip)\"" : "");
    if (k->last)
        put_label(sb, "type", (const double[]){(a->x + b->x) / 2, half},
                  l->pic->arrows.at[k->arrow].label);
}

void picture_svg(const Picture *pic, StrBuf *sb)
{
    Layout l = {.pic = pic};
    arrange(&l);
    double height = 2 * GAP + STEP * (double)(l.layers ? l.layers - 1 : 0) + HEIGHT;
    sb_printf(
        sb,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\">\n"
        "<style>rect{fill:#f4f7fb;stroke:#4a6785}path{fill:none;stroke:#8aa0b6}"
        "text{font-family:monospace;text-anchor:middle;font-size:11px}"
        ".type{fill:#7a5c2e;font-size:9px}.more{fill:#556}</style>\n"
        "<defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"7\" "
        "markerHeight=\"7\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" "
        "style=\"fill:#8aa0b6\"/></marker></defs>\n",
        l.width > 2 * GAP ? l.width : 2 * GAP, height);
    for (uint32_t i = 0; i < l.links.n; i++)
        put_link(&l, &l.links.at[i], sb);
    for (uint32_t i = 0; i < l.spots.n; i++)
        if (l.spots.at[i].box != NONE)
            put_box(&l, &l.spots.at[i], sb);
    sb_puts(sb, "</svg>\n");
}
