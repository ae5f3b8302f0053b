/* internal.h: what the passes of this folder share and nobody else needs. */
#ifndef MDL_PASSES_INTERNAL_H
#define MDL_PASSES_INTERNAL_H

#include "front_rule.h"
#include "passes.h"

/* ---- autodiff.c ---- */

/* The gradient texts of ops.def, parsed once per session. */
typedef struct RuleCache {
    const Rule *rule[OP_COUNT][3];
} RuleCache;

RuleCache *rules_new(Ir *ir, Arena *arena);
/* Whether the op's row in ops.def has a cotangent for operand k, if that is a float. */
bool autodiff_gives(OpKind op, uint32_t k);
/* Result "d<input>" of a vjp body, or its result count. */
uint32_t autodiff_find_cotangent(const Graph *vjp, Sym input);

/* ---- inline.c ---- */

typedef bool (*InlineWant)(PassCx *cx, const Def *def);
/* A new graph in which every call of a wanted Def is its body, also calls inside those bodies. */
Graph *inline_calls(PassCx *cx, const Graph *in, InlineWant want);
/* The note of what a composite gave that a clause `remat` keeps: by its name. */
const char *inline_note(Arena *arena, Sym name);
/* Every composite. */
bool inline_all(PassCx *cx, const Def *def);

/* ---- vjp_loop.c ---- */

/* A scan of g and the cotangents of its results (NULL: none). */
typedef struct LoopVjp {
    Graph *g;
    const Node *n;
    const Node *const *dresult;
    const bool *need; /* by operand */
} LoopVjp;
/* dx[k]: the cotangent of operand k, or NULL. `want`: composites to be replaced by their bodies before.
 * False after a diagnostic. */
bool vjp_loop(PassCx *cx, const LoopVjp *v, InlineWant want, const Node **dx);

/* ---- loop.c ---- */

typedef const Graph *(*LoopBodyFn)(PassCx *cx, const Graph *body, void *user);
typedef struct LoopBody {
    PassCx *cx;
    LoopBodyFn fn;
    void *user;
} LoopBody;
/* The loop n on the operands `in`, its body replaced by what fn makes of it, which has the same inputs and
 * results; NULL where fn gives NULL. */
const Node *loop_rewrite(const LoopBody *b, Graph *g, const Node *n, const Node *const *in);
/* The same for all loops of a graph. */
Graph *loop_rewrite_all(PassCx *cx, const Graph *in, LoopBodyFn fn, void *user);
bool loop_any(const Graph *g);
/* Fuses the bodies of all loops. What nobody reads of a loop is dropped, the members of its value stand right
 * behind it, its operands and results have memory. NULL after a diagnostic. */
Graph *loop_fuse(PassCx *cx, const Graph *in);

/* ---- fuse.c ---- */

/* pass_fuse; numbered: groups say which nodes of `in` they compute, for `mdl why`. */
Graph *fuse_graph(PassCx *cx, const Graph *in, bool numbered);

/* ---- fold.c ---- */

/* The constant that n is because its operands are, as a fill of n's type; NULL when it is none or
 * when a kernel might compute other bits. */
const Node *fold_node(Graph *g, const Node *n);
/* simplify_fold.c: fold(f(permute(x), expand(y))) -> permute(fold(f(x, expand(y)))) where the same elements
 * are folded in the same order; else NULL. */
const Node *simplify_permuted_fold(Graph *g, const Node *n);
/* How many nodes, results and writes read each node. */
const uint32_t *simplify_readers(const Graph *g, Arena *arena);
/* Whether fold n alone reads the elementwise work that it folds, down to views and leaves. */
bool simplify_reads_alone(const uint32_t *readers, const Node *n);

/* The value as a constant of this element type holds it. */
double fold_round(DType dtype, double value);

#endif
