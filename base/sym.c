/* sym.c: interned names, so that a name is compared, hashed and stored as one pointer.
 *
 * The table is open-addressed with linear probing, at most half full, and lives in the arena of
 * its names. Suggestions use the optimal string alignment distance (Levenshtein plus swaps of
 * neighbours), because `bais` for `bias` is the typing mistake people make. */
#include "base.h"
#include <stdarg.h>

typedef struct Slot {
    uint64_t hash;
    Sym name; /* NULL: empty */
} Slot;

struct Syms {
    Arena *arena;
    Slot *slots;
    size_t n, cap; /* cap is a power of two */
};

Syms *syms_new(Arena *arena)
{
    Syms *syms = NEW(arena, Syms);
    syms->arena = arena;
    syms->cap = 256;
    syms->slots = NEW_ARRAY(arena, Slot, syms->cap);
    return syms;
}

static void grow(Syms *syms)
{
    size_t cap = syms->cap * 2;
    Slot *slots = NEW_ARRAY(syms->arena, Slot, cap);
    for (size_t i = 0; i < syms->cap; i++) {
        if (!syms->slots[i].name)
            continue;
        size_t at = syms->slots[i].hash & (cap - 1);
        while (slots[at].name)
            at = (at + 1) & (cap - 1);
        slots[at] = syms->slots[i];
    }
    syms->slots = slots;
    syms->cap = cap;
}

Sym sym_n(Syms *syms, const char *text, size_t n)
{
    n = strnlen(text, n);
    uint64_t hash = hash_bytes(text, n);
    size_t at = hash & (syms->cap - 1);
    for (; syms->slots[at].name; at = (at + 1) & (syms->cap - 1)) {
        Slot *slot = &syms->slots[at];
        if (slot->hash == hash && strncmp(slot->name, text, n) == 0 && slot->name[n] == '\0')
            return slot->name;
    }
    Sym name = arena_strndup(syms->arena, text, n);
    syms->slots[at] = (Slot){hash, name};
    syms->n++;
    if (syms->n * 2 > syms->cap)
        grow(syms);
    return name;
}

Sym sym(Syms *syms, const char *text)
{
    return sym_n(syms, text, strlen(text));
}

Sym sym_printf(Syms *syms, const char *fmt, ...)
{
    char small[256];
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(small, sizeof small, fmt, args);
    va_end(args);
    ASSERT(n >= 0);
    const char *text = small;
    if ((size_t)n >= sizeof small) {
        char *big = arena_alloc(syms->arena, (size_t)n + 1);
        vsnprintf(big, (size_t)n + 1, fmt, again);
        text = big;
    }
    va_end(again);
    return sym_n(syms, text, (size_t)n);
}

enum { NAME_MAX_COMPARED = 80 };

static uint32_t min3(uint32_t a, uint32_t b, uint32_t c)
{
    uint32_t ab = a < b ? a : b;
    return ab < c ? ab : c;
}

/* Edits from a to b; rows i-2, i-1 and i of the usual table. Both at most NAME_MAX_COMPARED. */
static uint32_t edit_distance(const char *a, size_t na, const char *b, size_t nb)
{
    uint32_t rows[3][NAME_MAX_COMPARED + 1];
    uint32_t *before = rows[0], *above = rows[1], *here = rows[2];
    for (size_t j = 0; j <= nb; j++)
        above[j] = (uint32_t)j;
    for (size_t i = 1; i <= na; i++) {
        here[0] = (uint32_t)i;
        for (size_t j = 1; j <= nb; j++) {
            uint32_t change = above[j - 1] + (a[i - 1] != b[j - 1]);
            here[j] = min3(above[j] + 1, here[j - 1] + 1, change);
            bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped && before[j - 2] + 1 < here[j])
                here[j] = before[j - 2] + 1;
        }
        uint32_t *oldest = before;
        before = above;
        above = here;
        here = oldest;
    }
    return above[nb];
}

Sym sym_nearest(Sym name, const Sym *candidates, size_t n)
{
    size_t len = strlen(name);
    if (len > NAME_MAX_COMPARED)
        return NULL;
    uint32_t limit = len < 2 ? 0 : len < 6 ? 1 : (uint32_t)(len / 3);
    Sym best = NULL;
    for (size_t i = 0; i < n; i++) {
        size_t clen = strlen(candidates[i]);
        if (clen > len + limit || clen + limit < len || clen > NAME_MAX_COMPARED)
            continue;
        uint32_t d = edit_distance(name, len, candidates[i], clen);
        if (d <= limit && (!best || d < limit)) {
            best = candidates[i];
            limit = d;
            if (d == 0)
                break;
        }
    }
    return best;
}
