/* fuzz_program.h: many programs, one after the other, on top of one standard library: what it takes to
 * load that is most of the time of a small program. An arena_restore takes back all that a program
 * did to it: names, types, dims, reports. */
#ifndef MDL_FUZZ_PROGRAM_H
#define MDL_FUZZ_PROGRAM_H

#include "fuzz_file.h"

#include "front.h"

typedef struct FuzzStd {
    Arena *arena, *copies; /* arena: of ir and front */
    Ir *ir;
    Front *front;
    const ArenaCopy *loaded;
} FuzzStd;

static inline FuzzStd fuzz_std_new(void)
{
    FuzzStd s = {.arena = arena_new(), .copies = arena_new()};
    s.ir = ir_new(s.arena, syms_new(s.arena), diags_new(s.arena));
    s.front = front_new(s.ir);
    ASSERT(s.front);
    s.loaded = arena_copy(s.arena, s.copies);
    return s;
}

/* The program is gone, with all that came of it. */
static inline void fuzz_std_restore(const FuzzStd *s)
{
    arena_restore(s->arena, s->loaded);
}

static inline void fuzz_std_free(const FuzzStd *s)
{
    arena_free(s->arena);
    arena_free(s->copies);
}

/* False when it is refused, with a report. */
static inline bool fuzz_load(const FuzzStd *s, const char *path)
{
    Err err = {0};
    bool good = front_load(s->front, &(FrontOptions){.path = path}, &err);
    ASSERT(good || err.kind == ERR_FILE || diags_errors(s->ir->diags) > 0);
    return good;
}

/* As a plan is made of it. */
static inline void fuzz_stages(const FuzzStd *s)
{
    Arena *scratch = arena_new();
    for (uint32_t i = 0; i < front_stage_count(s->front); i++) {
        const Program *p = front_stage(s->front, front_stage_path(s->front, i), planb_new(scratch));
        ASSERT(p || diags_errors(s->ir->diags) > 0);
        for (uint32_t k = 0; p && k < p->entries.n; k++)
            graph_verify(p->entries.at[k], p);
    }
    arena_free(scratch);
}

#endif
