/* region.c: which memory kernels may touch: the buffers of the caller, ordered by address, and the shared
 * memory of a block. */
#include "engine.h"

/* The first region that ends behind p. */
static uint32_t first_behind(const Regions *r, const char *p)
{
    uint32_t lo = 0, hi = r->n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (r->at[mid].lo + r->at[mid].bytes <= p)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

Region *region_find(Regions *r, const void *p)
{
    uint32_t i = first_behind(r, p);
    return i < r->n && r->at[i].lo <= (const char *)p ? &r->at[i] : NULL;
}

static size_t distance(const Region *r, const char *p)
{
    return p < r->lo ? (size_t)(r->lo - p) : (size_t)(p - r->lo) - r->bytes;
}

const Region *region_near(const Regions *r, const void *p)
{
    uint32_t i = first_behind(r, p);
    if (i == r->n)
        return i ? &r->at[i - 1] : NULL;
    if (i && distance(&r->at[i - 1], p) < distance(&r->at[i], p))
        i--;
    return &r->at[i];
}

bool simt_add_buffer(Simt *s, void *at, size_t bytes, const char *name, Err *err)
{
    Regions *r = &s->regions;
    if (!bytes)
        return true;
    if (r->n == r->cap) {
        uint32_t cap = r->cap ? 2 * r->cap : 16;
        Region *more = realloc(r->at, cap * sizeof(*more));
        if (!more)
            return err_set(err, ERR_DEVICE, "no memory for the emulator");
        r->at = more;
        r->cap = cap;
    }
    uint32_t i = first_behind(r, at);
    memmove(r->at + i + 1, r->at + i, (r->n - i) * sizeof(*r->at));
    r->at[i] = (Region){.lo = at, .bytes = bytes};
    snprintf(r->at[i].name, sizeof(r->at[i].name), "%s", name);
    r->n++;
    return true;
}

void simt_remove_buffer(Simt *s, const void *at)
{
    Regions *r = &s->regions;
    uint32_t i = first_behind(r, at);
    if (i == r->n || r->at[i].lo != at)
        return;
    shadow_unmap(r->at[i].words, r->at[i].bytes);
    r->n--;
    memmove(r->at + i, r->at + i + 1, (r->n - i) * sizeof(*r->at));
}
