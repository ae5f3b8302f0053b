/* LIBS: mdl_plan mdl_base */
/* fuzz_plan.c: plan files that may say anything. The input is given to the loader three times: as
 * it is; as a file whose length and checksum are right, so that the contents are looked at; and as
 * the rows of a plan that the builder lays out. What loads must print. */
#include "fuzz.h"

#include "planfile.h"

static void load_and_print(const void *data, size_t n)
{
    Err err = {0};
    Plan *plan = plan_from_bytes(data, n, &err);
    ASSERT(plan || (err.kind == ERR_DATA && err.text[0]));
    if (!plan)
        return;
    Arena *arena = arena_new();
    StrBuf sb = sb_new(arena);
    plan_print(plan, PP_SUMMARY | PP_GROUPS | PP_SOURCE | PP_MEMORY | PP_STEPS, &sb);
    plan_find_entry(plan, "micro");
    plan_find_eval(plan, "test");
    arena_free(arena);
    plan_free(plan);
}

static void load_sealed(const uint8_t *data, size_t n)
{
    PlanHeader head;
    if (n < sizeof head)
        return;
    Arena *arena = arena_new();
    char *file = arena_memdup(arena, data, n);
    memcpy(&head, file, sizeof head);
    memcpy(head.magic, PLAN_MAGIC, sizeof head.magic);
    head.version = PLAN_VERSION;
    head.min_reader = PLAN_MIN_READER;
    head.file_bytes = n;
    memcpy(file, &head, sizeof head);
    head.checksum = hash_bytes(file + PLAN_CHECKED_FROM, n - PLAN_CHECKED_FROM);
    memcpy(file, &head, sizeof head);
    load_and_print(file, n);
    arena_free(arena);
}

/* Takes one row from the input, zero-filled at its end. */
static void take(void *row, size_t size, const uint8_t **data, size_t *n)
{
    size_t have = *n < size ? *n : size;
    memset(row, 0, size);
    if (have)
        memcpy(row, *data, have);
    *data += have;
    *n -= have;
}

static void load_built(const uint8_t *data, size_t n)
{
    Arena *arena = arena_new();
    PlanBuilder *b = planb_new(arena);
#define SECTION(name, T)                       \
    {                                          \
        uint8_t count = 0;                     \
        take(&count, 1, &data, &n);            \
        for (; count % 4; count--) {           \
            T row;                             \
            take(&row, sizeof row, &data, &n); \
            VEC_PUSH(arena, &b->name, row);    \
        }                                      \
    }
#include "plan.def"
#undef SECTION
    if (b->meta.n == 1) {
        Bytes file = planb_finish(b);
        load_and_print(file.data, file.n);
    }
    arena_free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    load_and_print(data, n);
    load_sealed(data, n);
    load_built(data, n);
    return 0;
}
