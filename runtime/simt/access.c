/* access.c: what threads do to memory: bounds and alignment of all that the emulator does for them, and,
 * in checked kernels, of every access. */
#include "engine.h"

enum { PREFETCH_UNIT = 16 };

bool access_is_shared(const Simt *s, const void *at)
{
    uintptr_t offset = (uintptr_t)at - (uintptr_t)s->memory;
    return offset < (uintptr_t)s->cluster * SHARED_APART && offset % SHARED_APART < MAX_SHARED;
}

size_t access_offset(const Simt *s, const void *at)
{
    return ((uintptr_t)at - (uintptr_t)s->memory) % SHARED_APART;
}

void *access_in_block(Simt *s, void *at, int rank, int line)
{
    if (rank < 0 || rank >= s->cluster)
        report(s, FAULT_LAUNCH, AT(line), "block %d of a cluster of %d", rank, s->cluster);
    else if (!s->block_live[rank])
        report(s, FAULT_EXIT, AT(line), "shared memory of block %d, which has ended",
               s->first_block + rank);
    else
        return s->memory + (size_t)rank * SHARED_APART + access_offset(s, at);
    launch_stop(s);
}

static const char *kind_word(AccessKind kind)
{
    switch (kind) {
    case ACCESS_READ:
        return "read";
    case ACCESS_WRITE:
        return "write";
    case ACCESS_ATOMIC:
        break;
    }
    return "atomic operation";
}

NO_RETURN static void out_of_bounds(Simt *s, const Access *a, const char *name, long long offset,
                                    size_t size)
{
    report(s, FAULT_BOUNDS, a->where, "%s of %zu bytes at %s %+lld, which has %zu bytes%s%s",
           kind_word(a->kind), a->bytes, name, offset, size, a->call ? ", by " : "",
           a->call ? a->call : "");
    launch_stop(s);
}

static bool lies_in(const Access *a, const SimtArgument *arg)
{
    uintptr_t offset = (uintptr_t)a->at - (uintptr_t)arg->at;
    return offset < arg->bytes && a->bytes <= arg->bytes - offset;
}

static size_t distance(const Access *a, const SimtArgument *arg)
{
    uintptr_t at = (uintptr_t)a->at, lo = (uintptr_t)arg->at;
    return at < lo ? lo - at : at - lo < arg->bytes ? 0 : at - lo - arg->bytes;
}

/* Which arguments the kernel has in that region; it must not leave them. */
static void check_arguments(Simt *s, const Access *a, const Region *r)
{
    const SimtLaunch *l = s->launch;
    const SimtArgument *near = NULL;
    if (s->argument < l->narguments && lies_in(a, &l->arguments[s->argument]))
        return;
    for (uint32_t i = 0; i < l->narguments; i++) {
        const SimtArgument *arg = &l->arguments[i];
        if (lies_in(a, arg)) {
            s->argument = i;
            return;
        }
        if ((uintptr_t)arg->at - (uintptr_t)r->lo < r->bytes &&
            (!near || distance(a, arg) < distance(a, near)))
            near = arg;
    }
    if (near)
        out_of_bounds(s, a, near->name, (long long)((const char *)a->at - (const char *)near->at),
                      near->bytes);
}

static void check_global(Simt *s, const Access *a)
{
    const Region *r = region_find(&s->regions, a->at);
    if (r && (const char *)a->at + a->bytes <= r->lo + r->bytes) {
        if (s->launch->check)
            check_arguments(s, a, r);
        return;
    }
    r = r ? r : region_near(&s->regions, a->at);
    if (r)
        out_of_bounds(s, a, r->name, (long long)((const char *)a->at - r->lo), r->bytes);
    report(s, FAULT_BOUNDS, a->where, "%s of %zu bytes, and there is no memory", kind_word(a->kind),
           a->bytes);
    launch_stop(s);
}

/* The arguments themselves, which a kernel has by value. */
bool access_is_argument(const Simt *s, const Access *a)
{
    const SimtArgument by_value[] = {
        {&s->args, sizeof(s->args), NULL},
        {s->args.map, s->launch->nmaps * sizeof(MdlTensorMap), NULL},
    };
    return a->kind == ACCESS_READ && (lies_in(a, &by_value[0]) || lies_in(a, &by_value[1]));
}

void access_bounds(Simt *s, const Access *a)
{
    if (a->align && (uintptr_t)a->at % a->align) {
        report(s, FAULT_ALIGN, a->where, "%s needs addresses that are multiples of %zu",
               a->call ? a->call : "an access", a->align);
        launch_stop(s);
    }
    if (a->shared || access_is_shared(s, a->at)) {
        ptrdiff_t offset = access_is_shared(s, a->at)
                               ? (ptrdiff_t)access_offset(s, a->at)
                               : (const unsigned char *)a->at - s->face.shared;
        if (offset < 0 || (size_t)offset + a->bytes > s->launch->shared)
            out_of_bounds(s, a, "shared memory", (long long)offset, s->launch->shared);
    } else if (s->regions.n && !access_is_argument(s, a)) {
        check_global(s, a);
    }
}

void access_check(Simt *s, const Access *a)
{
    access_bounds(s, a);
    if (s->launch->check)
        shadow_access(s, a);
}

/* An access that a checked kernel makes itself. */
static void plain_access(MdlEngine *e, const void *p, int64_t bytes, int write, const void *from)
{
    const Access a = {.at = p,
                      .bytes = (size_t)bytes,
                      .kind = write ? ACCESS_WRITE : ACCESS_READ,
                      .where = {.from = from}};
    grid_access(simt_of(e), &a);
    access_check(simt_of(e), &a);
}

/* Blocks and threads run one at a time, so this is atomic. */
static int32_t atomic_add(MdlEngine *e, int32_t *p, int32_t v, int line)
{
    const Access a = {.at = p,
                      .bytes = sizeof(*p),
                      .align = sizeof(*p),
                      .kind = ACCESS_ATOMIC,
                      .call = "mdl_atomic_add_i32",
                      .where = AT(line)};
    grid_access(simt_of(e), &a);
    access_check(simt_of(e), &a);
    if (simt_of(e)->launch->check)
        blocks_atomic(simt_of(e), p);
    int32_t old = *p;
    *p = (int32_t)((uint32_t)old + (uint32_t)v);
    turn_changed(simt_of(e));
    return old;
}

static void misaligned(MdlEngine *e, const void *p, int64_t bytes, const void *from)
{
    Simt *s = simt_of(e);
    UNUSED(p);
    report(s, FAULT_ALIGN, (Where){.from = from},
           "a vector needs addresses that are multiples of %lld", (long long)bytes);
    launch_stop(s);
}

/* Nothing is read, so it may be asked for before the launch before has ended; but the address has to exist. */
static void prefetch(MdlEngine *e, const void *p, int bytes, int line)
{
    Simt *s = simt_of(e);
    const Access a = {.at = p,
                      .bytes = (size_t)bytes,
                      .align = PREFETCH_UNIT,
                      .call = "mdl_prefetch_run",
                      .where = AT(line)};
    if (bytes <= 0 || bytes % PREFETCH_UNIT) {
        report(s, FAULT_ALIGN, AT(line), "mdl_prefetch_run of %d bytes: no multiple of %d", bytes,
               PREFETCH_UNIT);
        launch_stop(s);
    }
    access_bounds(s, &a);
}

void access_install(MdlEngine *e)
{
    e->prefetch = prefetch;
    e->atomic_add = atomic_add;
    e->access = plain_access;
    e->misaligned = misaligned;
}
