/* budget.h: what a program takes in memory, and what to say when that is too much. Private to compiler/. */
#ifndef MDL_BUDGET_H
#define MDL_BUDGET_H

#include "memplan.h"
#include "plan.h"

/* Bytes that the runtime takes for a plan. States and temporaries are one arena each; entries share
 * the second one, so it is as large as the largest needs it. */
typedef struct Need {
    uint64_t states, temp, inputs, workspace;
    const MemPlan *most; /* of the entry with the largest arena */
} Need;

/* workspace is known when kernels are there; 0 before. */
Need need_of(const Program *p, const MemPlan *const *plans, uint32_t n);
uint64_t need_total(const Need *need);

typedef struct Excess {
    Need need;
    uint64_t budget;
    bool given;        /* by --memory-limit; else it is the machine's */
    const char *stage; /* its path, or what a call is of */
    int64_t rows;      /* of the batch in one pass, 0: not known */
    bool again;        /* values have been computed again already, where there was room at all */
} Excess;

/* E0812: how much, of what, where, and what would help. */
void budget_report(Ir *ir, const Program *p, const Excess *x);
/* E0813: the same, where one pass is too much and several would change what is learned. */
void budget_report_meet(Ir *ir, const Program *p, const Excess *x);
/* "1.50 MiB" */
const char *size_text(Arena *arena, uint64_t bytes);

#endif
