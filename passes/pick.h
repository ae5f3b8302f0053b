/* pick.h: the configuration of one group, for passes that make groups after pick. */
#ifndef MDL_PICK_H
#define MDL_PICK_H

#include "attention.h"
#include "passes.h"

/* Members of configurations that other passes change, by place. */
enum { PICK_UPDATE_WHOLE = 1 };

/* n integers in cx->arena, as the class's row in classes.def names them. */
const int64_t *pick_config(PassCx *cx, const Def *def, const char *class_name, uint32_t *n);
/* The configuration of a group, which has one for the target of cx, for another target. What passes behind
 * pick have decided holds for all targets. */
KernelConfig pick_for(PassCx *cx, const Node *group, const Target *target);

typedef struct PickConfig {
    const int64_t *ints;
    uint32_t n;
} PickConfig;

enum { PICK_MOST = 16 };

/* ---- pick_record.c: what was measured ---- */

/* What tuning records are kept under: of a group's Def and class, whatever the target. */
uint64_t pick_problem(const Def *def, const char *class_name);
/* All configurations that are worth a measurement, that of the cost model first; how many there are, at most
 * PICK_MOST. Each of them compiles. */
uint32_t pick_candidates(PassCx *cx, const Def *def, const char *class_name, PickConfig *out);
/* What a record of cx->records says for this target, if it is one of these; else false, and *why, when there is a
 * record, says what is wrong with it. *why of a record that is taken: what was measured. In cx->arena. */
bool pick_record(PassCx *cx, const Def *def, const char *class_name, PickConfig *out,
                 const char **why);

/* ---- shared by pick.c, pick_gpu.c and pick_record.c ---- */

/* By the cost model alone. */
void pick_class(PassCx *cx, KernelClass cls, const Graph *body, PickConfig *out);
/* Of products: with each tile that pick chooses from, in its order. */
uint32_t pick_gemm_candidates(PassCx *cx, const Graph *body, PickConfig *out);
uint32_t pick_gpu_gemm_candidates(PassCx *cx, const Graph *body, PickConfig *out);
/* By turns, if it can, and without. */
uint32_t pick_gpu_attention_bwd_candidates(PassCx *cx, const Graph *body, PickConfig *out);

/* A product, or one of several that have a kernel together: rows, columns and depth of one member of its
 * batch, at the upper end of DYN dims. */
typedef struct PickExtents {
    int64_t m, n, k;
} PickExtents;
PickExtents pick_extents(Ir *ir, const Node *dot);

int64_t pick_clamp(int64_t v, int64_t lo, int64_t hi);
int64_t pick_count(Ir *ir, const Type *t); /* elements, at the upper end */
const Node *pick_first_of(const Graph *body, OpClass cls);

/* pick_gpu.c: the configuration of a class on a GPU. */
void pick_gpu(PassCx *cx, KernelClass cls, const Graph *body, PickConfig *out);
/* Whether a GPU multiplies these queries where they lie, not in tiles. */
bool pick_few_queries(const PassCx *cx, const Attention *a);

#endif
