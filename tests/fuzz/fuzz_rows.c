/* LIBS: mdl_runtime mdl_plan mdl_base */
/* fuzz_rows.c: arbitrary bytes as a file of rows, JSON lines and CSV: every cell of an accepted row is
 * readable as a text or as numbers. */
#define _GNU_SOURCE
#include "fuzz_file.h"

#include "source.h"

enum { NUMBERS, TEXT, COLUMNS, MOST_ROWS = 64, MOST_NUMBERS = 4096 };

static Plan *make_plan(Arena *arena, const char *path, PlanSourceKind kind)
{
    PlanBuilder *b = planb_new(arena);
    planb_target(b, PLAN_CPU, "generic");
    VEC_PUSH(arena, &b->meta, ((PlanMeta){.name = planb_text(b, "fuzz")}));
    for (uint32_t i = 0; i < COLUMNS; i++)
        VEC_PUSH(arena, &b->columns,
                 ((PlanColumn){.name = planb_text(b, i == TEXT ? "t" : "n"),
                               .file = planb_text(b, path),
                               .text = i == TEXT}));
    VEC_PUSH(arena, &b->codes, ((PlanCode){.op = RO_COLUMN}));
    VEC_PUSH(arena, &b->fields,
             ((PlanField){.name = planb_text(b, "n"), .dtype = DT_F64, .ncode = 1}));
    VEC_PUSH(arena, &b->datas,
             ((PlanData){.name = planb_text(b, "d"),
                         .source = kind,
                         .ncolumn = COLUMNS,
                         .nfield = 1,
                         .limit = -1}));
    Bytes bytes = planb_finish(b);
    Err err = {0};
    Plan *plan = plan_from_bytes(bytes.data, bytes.n, &err);
    ASSERT(plan);
    return plan;
}

static uint64_t read_cells(Arena *arena, const Source *s, const Cell *cells)
{
    static const double none[1];
    const SourceColumn *c = &s->columns[NUMBERS];
    Err err = {0};
    size_t n = cells[TEXT].n;
    char *text = arena_alloc(arena, n + 1);
    if (cells[TEXT].plain)
        memcpy(text, cells[TEXT].at, n);
    else
        n = s->kind->text(&cells[TEXT], text);
    ASSERT(n <= cells[TEXT].n);
    double *numbers = NEW_ARRAY(arena, double, c->count <= MOST_NUMBERS ? c->count : 1);
    bool good = c->count <= MOST_NUMBERS && s->kind->numbers(c, &cells[NUMBERS], numbers, &err);
    ASSERT(good || c->count > MOST_NUMBERS || err.kind == ERR_DATA);
    return hash_bytes(text, n) + hash_bytes(good ? numbers : none, sizeof(double) * (size_t)good);
}

static void read_file(const char *path, PlanSourceKind kind)
{
    Arena *arena = arena_new();
    Plan *plan = make_plan(arena, path, kind);
    Err err = {0};
    Source *s = source_open(arena, plan, &plan->datas[0], &err);
    ASSERT(s || (err.text[0] && err.kind != ERR_NONE));
    uint64_t hash = 0;
    for (int64_t row = 0; s && row < s->rows && row < MOST_ROWS; row++) {
        Cell cells[COLUMNS];
        Err bad = {0};
        if (s->kind->cells(s, row, cells, &bad))
            hash += read_cells(arena, s, cells);
        else
            source_at_row(s, row, &bad);
    }
    UNUSED(hash);
    source_close(s);
    plan_free(plan);
    arena_free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    FuzzFile file = fuzz_file_open(data, n);
    read_file(file.path, PD_JSONL);
    read_file(file.path, PD_PAIRS);
    fuzz_file_close(&file);
    return 0;
}
