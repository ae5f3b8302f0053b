/* LIBS: mdl_front mdl_front_rule mdl_ir mdl_plan mdl_base */
/* fuzz_front.c: programs that may say anything, from text to checked graphs. What is refused must be
 * refused with a diagnostic, and what every stage accepts must hold the invariants of graphs. */
#define _GNU_SOURCE
#include "fuzz_file.h"

#include "front.h"

static void check_stage(Arena *arena, Ir *ir, Front *f, const char *name)
{
    PlanBuilder *b = planb_new(arena);
    const Program *p = front_stage(f, name, b);
    ASSERT(p || diags_errors(ir->diags) > 0);
    for (uint32_t i = 0; p && i < p->entries.n; i++)
        graph_verify(p->entries.at[i], p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    FuzzFile file = fuzz_file_open(data, n);
    Arena *arena = arena_new();
    Ir *ir = ir_new(arena, syms_new(arena), diags_new(arena));
    Err err = {0};
    Front *f = front_open(ir, &(FrontOptions){.path = file.path}, &err);
    ASSERT(f || err.kind == ERR_FILE || diags_errors(ir->diags) > 0);
    if (f) {
        bool good = front_check(f);
        ASSERT(good == (diags_errors(ir->diags) == 0));
        for (uint32_t i = 0; i < front_stage_count(f); i++)
            check_stage(arena, ir, f, front_stage_path(f, i));
    }
    ASSERT(diags_render(ir->diags, arena, DIAG_HUMAN, false));
    arena_free(arena);
    fuzz_file_close(&file);
    return 0;
}
