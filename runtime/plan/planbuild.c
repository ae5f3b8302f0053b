/* planbuild.c: puts the arrays of a PlanBuilder into the bytes of a plan file.
 *
 * The same arrays always give the same bytes: strings are interned in order of arrival and every
 * gap is zero. The structs of plan.h have no padding of their own (their fields are ordered so). */
#include "planfile.h"

/* Interned text: same hash, chained in order of arrival. */
typedef struct Interned {
    PStr at;
    struct Interned *next;
} Interned;

PlanBuilder *planb_new(Arena *arena)
{
    PlanBuilder *b = NEW(arena, PlanBuilder);
    b->arena = arena;
    b->interned = map_new(arena);
    VEC_PUSH(arena, &b->text, '\0'); /* offset 0 is "" */
    return b;
}

static PStr append_text(PlanBuilder *b, const char *text, size_t n)
{
    if (n >= UINT32_MAX - b->text.n)
        BUG("the text of the plan exceeds 4 GiB");
    PStr at = b->text.n;
    VEC_RESERVE(b->arena, &b->text, at + (uint32_t)n + 1);
    memcpy(b->text.at + at, text, n + 1);
    b->text.n = at + (uint32_t)n + 1;
    return at;
}

PStr planb_text(PlanBuilder *b, const char *text)
{
    if (!text || !text[0])
        return 0;
    uint64_t key = hash_text(text);
    Interned *first = map_get(b->interned, key);
    for (const Interned *i = first; i; i = i->next)
        if (strcmp(b->text.at + i->at, text) == 0)
            return i->at;
    Interned *mine = NEW(b->arena, Interned);
    mine->at = append_text(b, text, strlen(text));
    mine->next = first;
    map_put(b->interned, key, mine);
    return mine->at;
}

uint32_t planb_target(PlanBuilder *b, PlanTargetKind kind, const char *isa)
{
    PlanTarget t = {.kind = kind, .isa = planb_text(b, isa)};
    VEC_PUSH(b->arena, &b->targets, t);
    return b->targets.n - 1;
}

static uint64_t align_up(uint64_t n)
{
    return (n + PLAN_ALIGN - 1) / PLAN_ALIGN * PLAN_ALIGN;
}

/* One array on its way into the file. */
typedef struct Part {
    const char *name;
    const void *data;
    uint32_t count, element;
} Part;

static Bytes lay_out(Arena *arena, const Part *parts, uint32_t n)
{
    uint64_t size = align_up(sizeof(PlanHeader) + n * sizeof(PlanSection));
    PlanSection *dir = NEW_ARRAY(arena, PlanSection, n);
    for (uint32_t i = 0; i < n; i++) {
        ASSERT(strlen(parts[i].name) < sizeof(dir[i].name));
        memcpy(dir[i].name, parts[i].name, strlen(parts[i].name));
        dir[i].offset = size;
        dir[i].count = parts[i].count;
        dir[i].element = parts[i].element;
        size = align_up(size + (uint64_t)parts[i].count * parts[i].element);
    }
    char *file = arena_alloc(arena, size + 1);
    PlanHeader head = {
        .version = PLAN_VERSION, .min_reader = PLAN_MIN_READER, .file_bytes = size, .nsection = n};
    memcpy(head.magic, PLAN_MAGIC, sizeof(head.magic));
    memcpy(file, &head, sizeof(head));
    memcpy(file + sizeof(head), dir, n * sizeof(PlanSection));
    for (uint32_t i = 0; i < n; i++)
        if (parts[i].count)
            memcpy(file + dir[i].offset, parts[i].data, (size_t)parts[i].count * parts[i].element);
    head.checksum = hash_bytes(file + PLAN_CHECKED_FROM, size - PLAN_CHECKED_FROM);
    memcpy(file, &head, sizeof(head));
    return (Bytes){file, size};
}

Bytes planb_finish(PlanBuilder *b)
{
    ASSERT(b->meta.n == 1);
    const Part parts[] = {
#define SECTION(name, T) {#name, b->name.at, b->name.n, (uint32_t)sizeof(T)},
#include "plan.def"
#undef SECTION
    };
    return lay_out(b->arena, parts, COUNT(parts));
}

bool planb_write(PlanBuilder *b, const char *path, Err *err)
{
    Bytes file = planb_finish(b);
    return file_write_atomic(path, file.data, file.n, err);
}
