/* passes.h: graph -> graph, one file per step; file name = pass name = flag name = test folder.
 *
 * A pass is a pure function: it reads one graph and returns a new one in cx->arena (or the same
 * graph unchanged). The pipeline is passes.def, top to bottom, per entry. After every pass debug
 * builds run graph_verify. */
#ifndef MDL_PASSES_H
#define MDL_PASSES_H

#include "ir.h"
#include "memplan.h"
#include "records.h"
#include "std_op.h"
#include "target.h"

typedef struct PassCx {
    Ir *ir;
    Arena *arena;
    const Program *program; /* read-only */
    const Target *target;   /* NULL is fine before expand */
    const Target *others;   /* that kernels are made for as well; set by who has them */
    uint32_t nother;
    struct RuleCache *rules; /* parsed gradient texts; made by passes_begin */
    const Records *records;  /* what was measured, for pick; NULL: nothing */
    Map *claims; /* Def -> the class that claims it + 1 (COUNT: none); made by claim.c */
    /* Where Defs of std come from: front_std_op, set by who has the front. NULL: passes make no
     * composites. */
    const Def *(*std_op)(struct Front *front, const StdOp *op);
    struct Front *front;
    bool plain;   /* the pass that runs is left out: it does only what must be done (run.c) */
    double remat; /* bytes that are worth a second of computing again; 0: nothing is (compile.c) */
} PassCx;

typedef Graph *(*PassFn)(PassCx *cx, const Graph *in);

typedef enum PassId {
#define PASS(name, ...) PASS_##name,
#include "passes.def"
#undef PASS
    PASS_COUNT
} PassId;

/* May --skip leave it out? PLAIN: it runs all the same, and does only what must be done. */
typedef enum PassNeed { REQUIRED, OPTIONAL, PLAIN } PassNeed;
typedef enum PassBits { EXACT, BOUND } PassBits; /* same bits with and without it */

typedef struct PassInfo {
    const char *name;
    const char *doc;
    PassNeed need;
    PassBits bits;
    PassFn run;
} PassInfo;

const PassInfo *pass_info(PassId id);
bool pass_find(const char *name, PassId *out);

typedef struct PassOptions {
    uint64_t skip; /* bit per PassId; a REQUIRED pass in it is ignored, a PLAIN one is plain */
    int limit;     /* run only the first `limit` passes; -1: all */
    /* Called after every pass that ran (for --print-after and tests); may be NULL. */
    void (*after)(void *user, PassId id, const Graph *g);
    void *user;
} PassOptions;

PassCx *passes_begin(Ir *ir, Arena *arena, const Program *program, const Target *target);
/* Runs the pipeline over one entry. NULL when a diagnostic was reported (no derivative ...). */
Graph *passes_run(PassCx *cx, const Graph *entry, const PassOptions *opt);

#define PASS(name, ...) Graph *pass_##name(PassCx *cx, const Graph *in);
#include "passes.def"
#undef PASS

/* ---- autodiff.c ---- */

/* Appends to g what the gradient of sum(dy * y) needs and sets dx[k] to the cotangent of wrt[k]
 * (NULL where y does not depend on it differentiably). All are nodes of g; wrt are float tensors.
 * Every call on the way must have a vjp. False after a diagnostic. */
typedef struct AutodiffIn {
    const Node *y, *dy;
    const Node *const *wrt;
    uint32_t nwrt;
} AutodiffIn;
bool autodiff_append(PassCx *cx, Graph *g, const AutodiffIn *in, const Node **dx);
/* False for operations through which nothing flows back: floor, comparisons, stop ... */
bool autodiff_flows(OpKind op);

/* ---- autodiff_proof.c ---- */

/* True when pass_autodiff would certainly find a gradient for every trained parameter of p in the
 * loss of this entry. False means that only the pass itself knows, and says why not. */
bool autodiff_proves(const Program *p, const Graph *entry);

/* ---- remat.c ---- */

/* Values of PassCx.remat that make a difference for g (after tidy), falling; how many there are. */
uint32_t remat_lambdas(PassCx *cx, const Graph *g, double *out, uint32_t max);

/* ---- what autodiff.c hands to vjp.c ---- */

/* dx[k] = cotangent of input k, or NULL. need[k] says which are wanted. */
typedef struct VjpIn {
    Graph *g;
    const Node *n; /* the forward node, in g */
    const Node *dy;
    const bool *need;
} VjpIn;
typedef void (*VjpFn)(const VjpIn *in, const Node **dx);

/* ---- claim.c ---- */

/* Whether a kernel class of the target runs calls of this composite whole (the column CLAIMS of
 * classes.def): such calls stay closed through expand, and fuse makes a group of each. */
bool claim_find(PassCx *cx, const Def *def, KernelClass *cls);
/* class_claims on all targets: a class that one of them lacks claims nothing. */
bool claim_by_all(const PassCx *cx, Sym composite, const Graph *body, KernelClass *cls);

/* ---- fuse.c ---- */

/* The groups of a fused graph with class, members and reasons: `mdl dump --groups`. */
void fuse_print(const Graph *g, StrBuf *sb);

/* ---- order.c, memplan.c: results of the last two passes ---- */

MemPlan *memplan_build(PassCx *cx, const Graph *fused);
/* The report of `mdl dump --memory`. */
void memplan_print(const MemPlan *m, StrBuf *sb);

#endif
