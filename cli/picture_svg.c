/* picture_svg.c: a picture as SVG: layers downwards, arrays as frames. */
#include "picture_layout.h"

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

static double top_of(uint32_t layer)
{
    return 3 * PIC_GAP + PIC_STEP * (double)layer;
}

static void put_box(const Layout *l, const Spot *s, StrBuf *sb)
{
    static const char *const styles[] = {
        [BOX_STEP] = "step", [BOX_INPUT] = "input", [BOX_RESULT] = "result"};
    const Box *b = &l->pic->boxes.at[s->box];
    const char *more = picture_detail(l->pic, b);
    const char *style = b->parameters ? "weights" : styles[b->kind];
    double y = top_of(s->layer);
    sb_printf(sb, "<g class=\"%s\"><title>", style);
    put_xml(sb, b->name);
    sb_printf(sb, "</title><rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%d\" rx=\"%d\"/>\n",
              s->x - s->width / 2, y, s->width, PIC_HEIGHT,
              b->kind == BOX_STEP ? 6 : PIC_HEIGHT / 2);
    put_label(sb, "name", (const double[]){s->x, y + (*more ? 20 : 28)}, picture_title(l->pic, b));
    if (*more)
        put_label(sb, "more", (const double[]){s->x, y + 36}, more);
    sb_puts(sb, "</g>\n");
}

static void put_link(const Layout *l, const Link *k, StrBuf *sb)
{
    const Spot *a = &l->spots.at[k->from], *b = &l->spots.at[k->to];
    double y = top_of(a->layer) + (a->box != PIC_NONE ? PIC_HEIGHT : PIC_HEIGHT / 2.0);
    double z = top_of(b->layer) + (b->box != PIC_NONE ? 0 : PIC_HEIGHT / 2.0), half = (y + z) / 2;
    sb_printf(sb, "<path d=\"M%.1f %.1fC%.1f %.1f %.1f %.1f %.1f %.1f\"%s/>\n", a->x, y, a->x, half,
              b->x, half, b->x, z, k->last ? " marker-end=\"url(#tip)\"" : "");
}

/* What flows, beside the beginning of an arrow; once for all arrows that leave a box with it. */
static void put_type(const Layout *l, const Link *k, Map *said, StrBuf *sb)
{
    const Arrow *arrow = &l->pic->arrows.at[k->arrow];
    const Spot *a = &l->spots.at[k->from];
    uint64_t key = hash_mix(hash_text(arrow->label), arrow->from) | 1;
    if (!k->first || l->pic->boxes.at[arrow->from].kind == BOX_INPUT || map_get(said, key))
        return;
    map_put(said, key, (void *)k);
    double y = top_of(a->layer) + PIC_HEIGHT + 15;
    put_label(sb, "type", (const double[]){a->x + 5, y}, arrow->label);
}

static bool is_inside(const Picture *pic, const Box *b, uint32_t repeat)
{
    uint32_t r = b->repeat;
    while (r && r != repeat)
        r = pic->repeats.at[r - 1].up;
    return r != 0;
}

/* How many arrays lie inside: each needs some room. */
static int depth_below(const Picture *pic, uint32_t repeat)
{
    int most = 0;
    for (uint32_t r = 1; r <= pic->repeats.n; r++) {
        int depth = 0;
        for (uint32_t up = r; up && up != repeat; up = pic->repeats.at[up - 1].up)
            depth += pic->repeats.at[up - 1].up ? 1 : -1000;
        most = depth > most ? depth : most;
    }
    return most;
}

static void put_frame(const Layout *l, uint32_t repeat, StrBuf *sb)
{
    const Picture *pic = l->pic;
    double x = 0, right = 0, y = 0, bottom = 0, room = 14 + 10 * depth_below(pic, repeat);
    bool any = false;
    for (uint32_t i = 0; i < pic->boxes.n; i++) {
        const Spot *s = &l->spots.at[i];
        double left = s->x - s->width / 2, top = top_of(s->layer);
        if (!is_inside(pic, &pic->boxes.at[i], repeat))
            continue;
        x = !any || left < x ? left : x;
        y = !any || top < y ? top : y;
        right = !any || left + s->width > right ? left + s->width : right;
        bottom = !any || top > bottom ? top : bottom;
        any = true;
    }
    const Repeat *r = &pic->repeats.at[repeat - 1];
    sb_printf(
        sb,
        "<rect class=\"frame\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" rx=\"10\"/>\n",
        x - room, y - room, right - x + 2 * room, bottom + PIC_HEIGHT - y + 2 * room);
    put_label(sb, "times", (const double[]){x - room + 8, y - room - 5},
              arena_printf(pic->arena, "%s × %u", r->name, r->times));
}

static const char style[] =
    "svg{background:#fff}text{font-family:ui-sans-serif,system-ui,'DejaVu Sans',sans-serif;"
    "text-anchor:middle;font-size:12px;fill:#1c2733}"
    ".title{font-size:16px;font-weight:600}.more{fill:#5b6b7b;font-size:11px}"
    ".type{fill:#6b5a2c;font-size:10px;font-family:ui-monospace,'DejaVu Sans Mono',monospace;"
    "text-anchor:start;stroke:#fff;stroke-width:3px;stroke-opacity:.8;paint-order:stroke}"
    ".times{text-anchor:start;font-weight:600;fill:#3d6b57}"
    "rect{stroke-width:1.2px}.frame{fill:#eef6f1;stroke:#9cc3b0;stroke-dasharray:5 4}"
    ".step rect{fill:#fff;stroke:#8494a5}.weights rect{fill:#e6eefb;stroke:#5478b5}"
    ".input rect{fill:#fdf3dc;stroke:#c99a3b}.result rect{fill:#f9e3e3;stroke:#c26464}"
    "path{fill:none;stroke:#8797a8;stroke-width:1.3px}";

void picture_svg(const Picture *pic, StrBuf *sb)
{
    Layout l;
    picture_layout(pic, &l);
    double height = top_of(l.layers ? l.layers - 1 : 0) + PIC_HEIGHT + 2 * PIC_GAP;
    sb_printf(
        sb,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" "
        "viewBox=\"0 0 %.0f %.0f\">\n<style>%s</style>\n"
        "<defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"7\" "
        "markerHeight=\"7\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" "
        "style=\"fill:#8797a8;stroke:none\"/></marker></defs>\n",
        l.width, height, l.width, height, style);
    put_label(sb, "title", (const double[]){l.width / 2, 30}, pic->title);
    for (uint32_t r = 1; r <= pic->repeats.n; r++)
        if (!pic->repeats.at[r - 1].up) /* outer ones first */
            put_frame(&l, r, sb);
    for (uint32_t r = 1; r <= pic->repeats.n; r++)
        if (pic->repeats.at[r - 1].up)
            put_frame(&l, r, sb);
    for (uint32_t i = 0; i < l.links.n; i++)
        put_link(&l, &l.links.at[i], sb);
    for (uint32_t i = 0; i < pic->boxes.n; i++)
        put_box(&l, &l.spots.at[i], sb);
    Map *said = map_new(pic->arena);
    for (uint32_t i = 0; i < l.links.n; i++)
        put_type(&l, &l.links.at[i], said, sb);
    sb_puts(sb, "</svg>\n");
}
