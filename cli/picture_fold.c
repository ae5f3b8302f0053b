/* picture_fold.c: a picture of 32 equal layers is a picture of one, said to be there 32 times.
 *
 * The boxes of an array are those named ARRAY.INDEX.REST, or ARRAY.INDEX. When the boxes of every index
 * have the same REST, text and parameters in the same order, those of index 0 stand for all: arrows of the
 * others are theirs. An arrow from one instance to a later one would go upwards and is left out. When what
 * remains has a circle, such as through a step between two instances, the array stays as it is. */
#include "picture.h"

typedef struct Name {
    const char *array; /* NULL: not in an array */
    uint32_t index;
    const char *rest;
} Name;

/* Takes a name apart at its first component that is a number. */
static Name read_name(Arena *arena, const Box *b)
{
    for (const char *at = strchr(b->name, '.'); at; at = strchr(at + 1, '.')) {
        size_t digits = strspn(at + 1, "0123456789");
        const char *end = at + 1 + digits;
        if (digits && digits < 8 && (*end == '.' || !*end))
            return (Name){arena_strndup(arena, b->name, (size_t)(at - b->name)),
                          (uint32_t)strtoul(at + 1, NULL, 10), end};
    }
    return (Name){NULL, 0, ""};
}

typedef struct Fold {
    Picture *pic;
    const Name *name;   /* by box */
    const char *array;  /* the one that is looked at */
    uint32_t *stand_in; /* by box: the box that is drawn for it */
    uint32_t times;
} Fold;

static bool in_array(const Fold *f, uint32_t box)
{
    const char *array = f->name[box].array;
    return array && strcmp(array, f->array) == 0;
}

static bool same_text(const Box *a, const Name *an, const Box *b, const Name *bn)
{
    return strcmp(an->rest, bn->rest) == 0 && strcmp(a->detail, b->detail) == 0 &&
           a->parameters == b->parameters;
}

/* The number of boxes of index 0, and whether every index has as many and the same. Boxes come in the
 * order of evaluation, so those of one index mostly lie together; they are found by counting. */
static bool instances_agree(Fold *f)
{
    Picture *pic = f->pic;
    uint32_t n = 0, most = 0;
    for (uint32_t i = 0; i < pic->boxes.n; i++) {
        n += in_array(f, i) && f->name[i].index == 0;
        most = in_array(f, i) && f->name[i].index >= most ? f->name[i].index + 1 : most;
    }
    if (n == 0 || most < 2 || most > pic->boxes.n)
        return false;
    uint32_t *first = NEW_ARRAY(pic->arena, uint32_t, n), *seen, k = 0, total = 0;
    seen = NEW_ARRAY(pic->arena, uint32_t, most);
    for (uint32_t i = 0; i < pic->boxes.n; i++)
        if (in_array(f, i) && f->name[i].index == 0)
            first[k++] = i;
    for (uint32_t i = 0; i < pic->boxes.n; i++) {
        if (!in_array(f, i))
            continue;
        uint32_t at = seen[f->name[i].index]++;
        if (at >= n || !same_text(&pic->boxes.at[first[at]], &f->name[first[at]], &pic->boxes.at[i],
                                  &f->name[i]))
            return false;
        f->stand_in[i] = first[at];
        total++;
    }
    f->times = most;
    return total == n * most;
}

/* Whether the arrow is drawn, between which boxes: not when it goes from one instance to another. */
static bool drawn_arrow(const Fold *f, const Arrow *a, uint32_t *from, uint32_t *to)
{
    *from = f->stand_in[a->from];
    *to = f->stand_in[a->to];
    bool across = in_array(f, a->from) && in_array(f, a->to) &&
                  f->name[a->from].index != f->name[a->to].index;
    return !across && *from != *to;
}

/* The layer of every drawn box, by the longest way to it; false when there is a circle. */
static bool count_layers(const Fold *f, uint32_t *layer)
{
    const Picture *pic = f->pic;
    uint32_t n = pic->boxes.n, from, to;
    bool changed = true;
    for (uint32_t round = 0; changed; round++) {
        if (round > n)
            return false;
        changed = false;
        for (uint32_t i = 0; i < pic->arrows.n; i++)
            if (drawn_arrow(f, &pic->arrows.at[i], &from, &to) && layer[to] <= layer[from]) {
                layer[to] = layer[from] + 1;
                changed = true;
                if (layer[to] > n)
                    return false;
            }
    }
    return true;
}

/* Keeps what is drawn, under new numbers. */
static void rebuild(Fold *f, const uint32_t *layer)
{
    Picture *pic = f->pic;
    uint32_t *number = NEW_ARRAY(pic->arena, uint32_t, pic->boxes.n + 1), from, to;
    Picture out = {.arena = pic->arena, .title = pic->title, .repeats = pic->repeats};
    Repeat repeat = {f->array, f->times, 0};
    for (uint32_t i = 0; i < pic->boxes.n; i++)
        repeat.up = in_array(f, i) ? pic->boxes.at[i].repeat : repeat.up;
    VEC_PUSH(out.arena, &out.repeats, repeat);
    for (uint32_t i = 0; i < pic->boxes.n; i++) {
        if (f->stand_in[i] != i)
            continue;
        Box box = pic->boxes.at[i];
        box.layer = layer[i];
        if (in_array(f, i)) {
            box.repeat = out.repeats.n;
            box.name = arena_printf(out.arena, "%s.*%s", f->array, f->name[i].rest);
        }
        number[i] = out.boxes.n;
        VEC_PUSH(out.arena, &out.boxes, box);
    }
    Map *known = map_new(out.arena);
    for (uint32_t i = 0; i < pic->arrows.n; i++) {
        const Arrow *a = &pic->arrows.at[i];
        if (!drawn_arrow(f, a, &from, &to))
            continue;
        uint64_t key = hash_mix(hash_mix(hash_text(a->label), from), to) | 1;
        Arrow arrow = {number[from], number[to], a->label};
        if (!map_get(known, key))
            VEC_PUSH(out.arena, &out.arrows, arrow);
        map_put(known, key, pic);
    }
    *pic = out;
}

/* Folds the first array that can be; false when there is none. `done`: arrays that were tried. */
static bool fold_one(Picture *pic, Map *done)
{
    Name *names = NEW_ARRAY(pic->arena, Name, pic->boxes.n + 1);
    for (uint32_t i = 0; i < pic->boxes.n; i++)
        names[i] = read_name(pic->arena, &pic->boxes.at[i]);
    for (uint32_t i = 0; i < pic->boxes.n; i++) {
        uint64_t key = names[i].array ? hash_text(names[i].array) | 1 : 0;
        if (!key || map_get(done, key))
            continue;
        map_put(done, key, pic);
        Fold f = {.pic = pic, .name = names, .array = names[i].array};
        f.stand_in = NEW_ARRAY(pic->arena, uint32_t, pic->boxes.n + 1);
        for (uint32_t k = 0; k < pic->boxes.n; k++)
            f.stand_in[k] = k;
        uint32_t *layer = NEW_ARRAY(pic->arena, uint32_t, pic->boxes.n + 1);
        if (instances_agree(&f) && count_layers(&f, layer)) {
            rebuild(&f, layer);
            return true;
        }
    }
    return false;
}

void picture_fold(Picture *pic)
{
    Map *done = map_new(pic->arena);
    while (fold_one(pic, done)) {
    }
}
