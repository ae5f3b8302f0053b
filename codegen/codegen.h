/* codegen.h: fused groups -> Kernels -> C text -> the plan. */
#ifndef MDL_CODEGEN_H
#define MDL_CODEGEN_H

#include "ir.h"
#include "kernel.h"
#include "library.h"
#include "memplan.h"
#include "plan.h"
#include "target.h"

/* One group as a kernel (lower.c): a pure function of Def, class, config, count and target. Argument
 * numbers: the group's inputs in order (slots, consts are not arguments), then its results. */
Kernel *codegen_lower(Ir *ir, Arena *arena, const Node *group, KernelConfig config,
                      const Target *target);
/* What `pick` wrote on the group, for the first target. */
KernelConfig codegen_config(const Node *group);

/* The product of a group as cuBLASLt may compute it; false: it is something else (library.h). */
bool codegen_gemm(Ir *ir, const Node *group, const LibraryChoice *c, PlanGemm *out);

/* The kernel as C text that starts with #include "mdl.h" (emit.c, dialect_c.c). slots: names of the
 * argument block in order (DimSym names and "lr", "step" ...), to print extents and slots. */
typedef struct EmitCx {
    const Target *target;
    const Sym *slots;
    uint32_t nslot;
    const uint32_t *slot_of_sym; /* slot by DimSym id; NULL: by name */
    const Diags *diags;          /* #line into the .mdl; may be NULL */
} EmitCx;
const char *codegen_emit(const Kernel *k, const EmitCx *cx, Arena *arena);

/* Assembles everything but data and run (mkplan.c): symbols, slots, states, tensors, kernels
 * (deduplicated by Def, class, config), steps, entries. plans[i] belongs to program->entries.at[i].
 * Fills b; the state with program id i is plan state i; entry i is plan entry i; tensor numbers are
 * private. */
typedef struct MkPlan {
    const Program *program;
    const MemPlan *const *plans;
    uint32_t nentry;
    const Target *targets; /* groups carry configurations for the first one */
    uint32_t ntarget;
    /* Of a group for a target behind the first; may be NULL where there is none. */
    KernelConfig (*config_of)(void *user, const Node *group, const Target *target);
    void *user;
    const char *source_path;
    uint64_t source_hash;
} MkPlan;
void codegen_plan(PlanBuilder *b, const MkPlan *mk);

#endif
