/* LIBS: mdl_target mdl_ir mdl_base */
/* fuzz_records.c: arbitrary bytes as a file of tuning records. */
#include "fuzz.h"

#include "records.h"

/* What was accepted is the same when it is written and read again. */
static void use(Arena *arena, const Records *r)
{
    Err err = {0};
    for (uint32_t i = 0; i < r->at.n; i++) {
        const TuningRecord *record = &r->at.at[i];
        const char *line = record_text(arena, record);
        const Records *again = records_parse(arena, "again", line, strlen(line), &err);
        ASSERT(again && again->at.n == 1);
        ASSERT(again->at.at[0].problem == record->problem && again->at.at[0].n == record->n);
        ASSERT(memcmp(again->at.at[0].config, record->config, record->n * sizeof(int64_t)) == 0);
        ASSERT(strcmp(again->at.at[0].device, record->device) == 0);
        const TuningRecord *newest = records_find(r, record->problem, record->isa);
        ASSERT(newest && newest->line >= record->line);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    Arena *arena = arena_new();
    Err err = {0};
    const Records *r = records_parse(arena, "records", data, n, &err);
    if (r)
        use(arena, r);
    else
        ASSERT(err.kind == ERR_DATA && err.text[0]);
    arena_free(arena);
    return 0;
}
