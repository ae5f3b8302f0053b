/* planverify.h: how the parts of plan_verify report; private to runtime/plan. */
#ifndef MDL_PLANVERIFY_H
#define MDL_PLANVERIFY_H

#include "plan.h"

/* The element that is being checked. */
typedef struct Row {
    const Plan *plan;
    Err *err;
    const char *section;
    uint32_t i;
} Row;

/* Inclusive bounds of a dim over all extents that its symbols may take. */
typedef struct Bounds {
    int64_t lo, hi;
} Bounds;

/* ERR_DATA "plan: SECTION[i]: ..."; false. */
bool row_bad(const Row *r, const char *fmt, ...) PRINTF_LIKE(2, 3);
bool row_text(const Row *r, const char *field, PStr s); /* inside the text section */
bool row_name(const Row *r, const char *field, PStr s); /* and not empty */
bool row_index(const Row *r, const char *field, uint32_t value, uint32_t n);
bool row_range(const Row *r, const char *field, uint32_t first, uint32_t count, uint32_t n);
/* Of a dim that was checked already. False: outside of +-2^62. */
bool dim_bounds(const Plan *plan, uint32_t dim, Bounds *out);
/* Elements of a tensor at the upper end of its dims; false when that exceeds 2^48. */
bool tensor_most(const Plan *plan, const PlanTensor *t, uint64_t *out);

/* How a weight is kept: codes and scales of one another's shapes. */
bool verify_store(const Row *r, const PlanState *s);

/* Whether the entry binds the tensor, if it is an input at all. */
bool plan_binds(const Plan *plan, const PlanEntry *e, uint32_t tensor);

/* BUF argument number n of a step, or NULL. */
const PlanArg *step_buffer(const Plan *plan, const PlanStep *s, uint32_t n);
bool verify_gemms(const Plan *plan, Err *err);
/* Whether the matrices of the products of a kernel lie in the tensors of a step. */
bool verify_multiplied(const Row *r, const PlanStep *s);
bool verify_maps(const Plan *plan, Err *err);
/* Whether the maps of a kernel lie in the tensors of a step. */
bool verify_mapped(const Row *r, const PlanStep *s);
bool verify_loops(const Plan *plan, Err *err); /* loops, carries, moves */
/* The loops of an entry; *next: the number of the next loop of the plan. */
bool verify_nesting(const Row *r, const PlanEntry *e, uint32_t *next);
bool verify_data(const Plan *plan, Err *err);   /* columns, codes, fields, datas */
bool verify_tokens(const Plan *plan, Err *err); /* tokenizers, streams */
bool verify_generates(const Plan *plan, Err *err);
bool verify_training(const Plan *plan, Err *err); /* segments, metrics, evals, actions, runs */

#endif
