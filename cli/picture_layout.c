/* picture_layout.c: a layered drawing, after Sugiyama. Arrows that cross layers get a point in each of
 * them; the order within a layer follows the mean place of the predecessors, and then of the successors,
 * a few times. Then every spot wants to be at the mean of its neighbours: for a row in a given order with
 * given distances the nearest such places are an isotonic regression, which pooling of adjacent violators
 * finds. Layers go downwards. */
#include "picture_layout.h"

enum { SWEEPS = 6, PULLS = 16, MAX_POINTS = 20000, CHAR = 7 };

/* Characters of the text. */
static uint32_t characters(const char *text)
{
    uint32_t n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

/* Inside an array its name is known: `llm.layers.*.mlp` is `mlp`. */
const char *picture_title(const Picture *pic, const Box *b)
{
    if (!b->repeat)
        return b->name;
    size_t n = strlen(pic->repeats.at[b->repeat - 1].name) + 2;
    return strlen(b->name) > n ? b->name + n + 1 : "block";
}

/* 1,234,567 */
static const char *grouped(Arena *arena, int64_t v)
{
    const char *digits = arena_printf(arena, "%lld", (long long)v);
    StrBuf sb = sb_new(arena);
    for (size_t i = 0, n = strlen(digits); i < n; i++) {
        if (i && (n - i) % 3 == 0)
            sb_putc(&sb, ',');
        sb_putc(&sb, digits[i]);
    }
    return sb_text(&sb);
}

const char *picture_detail(const Picture *pic, const Box *b)
{
    if (!b->parameters)
        return b->detail;
    return arena_printf(pic->arena, "%s parameters", grouped(pic->arena, b->parameters));
}

static uint32_t add_spot(Layout *l, uint32_t box, uint32_t layer)
{
    Spot s = {.box = box, .layer = layer, .width = 8};
    if (box != PIC_NONE) {
        const Box *b = &l->pic->boxes.at[box];
        uint32_t name = characters(picture_title(l->pic, b)),
                 more = characters(picture_detail(l->pic, b));
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
            uint32_t point = add_spot(l, PIC_NONE, k);
            add_link(l, (Link){at, point, i, at == a->from, false});
            at = point;
        }
        add_link(l, (Link){at, a->to, i, at == a->from, true});
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

/* ---- places ---- */

/* A run of spots that push against each other; they move together. */
typedef struct Pool {
    double sum, weight;
    uint32_t n;
} Pool;

/* Moves a row to the places nearest to `key` that keep the order and the gaps. */
static void settle_row(Layout *l, uint32_t row)
{
    uint32_t n = l->counts[row], npool = 0;
    Pool *pools = NEW_ARRAY(l->pic->arena, Pool, n + (size_t)1);
    double offset = 0; /* of spot i from spot 0 when they stand as close as they may */
    double *offsets = NEW_ARRAY(l->pic->arena, double, n + (size_t)1);
    for (uint32_t i = 0; i < n; i++) {
        const Spot *s = &l->spots.at[l->rows[row][i]];
        const Spot *before = i ? &l->spots.at[l->rows[row][i - 1]] : s;
        offset += i ? (before->width + s->width) / 2 + PIC_GAP : 0;
        offsets[i] = offset;
        double weight = s->box == PIC_NONE ? 4 : 1;
        pools[npool++] = (Pool){(s->key - offset) * weight, weight, 1};
        while (npool > 1 && pools[npool - 2].sum * pools[npool - 1].weight >
                                pools[npool - 1].sum * pools[npool - 2].weight) {
            npool--;
            pools[npool - 1].sum += pools[npool].sum;
            pools[npool - 1].weight += pools[npool].weight;
            pools[npool - 1].n += pools[npool].n;
        }
    }
    for (uint32_t p = 0, i = 0; p < npool; p++)
        for (uint32_t k = 0; k < pools[p].n; k++, i++)
            l->spots.at[l->rows[row][i]].x = pools[p].sum / pools[p].weight + offsets[i];
}

/* The key of every spot: the mean x of those it is linked with above (0), below (1) or both (2). */
static void mean_places(Layout *l, int side)
{
    double *sum = NEW_ARRAY(l->pic->arena, double, l->spots.n + (size_t)1);
    uint32_t *n = NEW_ARRAY(l->pic->arena, uint32_t, l->spots.n + (size_t)1);
    for (uint32_t i = 0; i < l->links.n; i++) {
        const Link *k = &l->links.at[i];
        if (side != 1) {
            sum[k->to] += l->spots.at[k->from].x;
            n[k->to]++;
        }
        if (side != 0) {
            sum[k->from] += l->spots.at[k->to].x;
            n[k->from]++;
        }
    }
    for (uint32_t i = 0; i < l->spots.n; i++)
        l->spots.at[i].key = n[i] ? sum[i] / n[i] : l->spots.at[i].x;
}

/* Row by row, so that each sees where the last one went. */
static void pull(Layout *l, int side)
{
    for (uint32_t r = 0; r < l->layers; r++) {
        mean_places(l, side);
        settle_row(l, side == 1 ? l->layers - 1 - r : r);
    }
}

static void place(Layout *l)
{
    for (uint32_t i = 0; i < l->spots.n; i++)
        l->spots.at[i].key = 0;
    for (uint32_t r = 0; r < l->layers; r++)
        settle_row(l, r);
    uint64_t work = (uint64_t)l->layers * (l->spots.n + l->links.n);
    for (int i = 0; i < PULLS && work < 4000000; i++)
        pull(l, i == PULLS - 1 ? 2 : i % 2);
    double lo = 0, hi = 0;
    for (uint32_t i = 0; i < l->spots.n; i++) {
        const Spot *s = &l->spots.at[i];
        lo = i == 0 || s->x - s->width / 2 < lo ? s->x - s->width / 2 : lo;
        hi = i == 0 || s->x + s->width / 2 > hi ? s->x + s->width / 2 : hi;
    }
    for (uint32_t i = 0; i < l->spots.n; i++)
        l->spots.at[i].x += 2 * PIC_GAP - lo;
    l->width = hi - lo + 4 * PIC_GAP;
}

void picture_layout(const Picture *pic, Layout *l)
{
    *l = (Layout){.pic = pic};
    for (uint32_t i = 0; i < pic->boxes.n; i++)
        add_spot(l, i, pic->boxes.at[i].layer);
    add_links(l);
    make_rows(l);
    for (int sweep = 0; sweep < SWEEPS; sweep++) {
        mean_orders(l, sweep % 2 == 0);
        for (uint32_t r = 0; r < l->layers; r++)
            sort_row(l, r);
    }
    place(l);
}
