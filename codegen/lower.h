/* lower.h: from a group's body to loops: what the files of lowering share; private to codegen.
 *
 * Lowering pulls: lower_value(node, index) is the value of one element (or of W neighbours) of any
 * body node, as an expression at the current place of the loop nest. Elementwise operations ask
 * their operands at the same index, views at a mapped one, formals load. A value is named once, in
 * the outermost scope whose variables it needs, so everything that does not depend on an inner loop
 * moves out of it.
 *
 * Index expressions are Ix over numbered variables; each variable belongs to a scope and stands for
 * an I64 expression. At most one variable of an index is a vector variable: lane l of a value is
 * the element at (variable + l). */
#ifndef MDL_LOWER_H
#define MDL_LOWER_H

#include "codegen.h"

/* ---- scalar.c: the GEN columns of ops.def ---- */

typedef struct Lower Lower;
/* One element of n at ix, at the current scope; NULL: lanes must be computed one by one. */
typedef const KExpr *(*ValueFn)(Lower *lo, const Node *n, const Ix *const *ix);

typedef struct GenInfo {
    const char *real, *integer; /* template for float, for other operands */
    const char *fast;           /* of f32 on a GPU, within 2^-21 (mdl_fast.h); NULL: real */
    ValueFn value;
    const char *better;  /* folds to an index: whether %0 replaces %1 */
    const char *widened; /* integers of a byte or less: a vector of them as floats, on a GPU */
} GenInfo;

const GenInfo *gen_info(OpKind op);
/* The template for values of dt; BUG when there is none. */
const char *gen_template(const Node *n, DType dt);

/* ---- scopes ---- */

typedef struct Scope Scope;
struct Scope {
    Scope *parent;
    uint32_t depth;
    KBlock *block; /* where its statements go */
    KStmt *stmt;   /* the FOR or IF it is the body of, not yet in the parent's block; or NULL */
    Map *memo;     /* hash of (node, index) -> Named */
};

typedef struct LowerVar {
    const KExpr *at; /* I64 */
    const Dim *extent;
    Scope *scope;
    bool vector;        /* lane l is at + l */
    bool unaligned;     /* vector: at is not always a multiple of W */
    const KExpr *lanes; /* vector: how many lanes are in range; NULL: all */
} LowerVar;

enum { LOWER_MAX_VARS = 60 };
#define NO_VAR UINT32_MAX

struct Lower {
    Kernel *k;
    Ir *ir;
    Arena *arena;
    const Node *group;
    const Graph *body;
    const Target *target;
    KernelClass cls;
    KernelConfig config;
    uint32_t *in, *out; /* buffers of the body's inputs (by node id) and results (by number) */
    bool scalar;        /* no vectors in this kernel: a type has none */
    Scope *scope;
    Scope *guard; /* values found under it may not move out (an index may be out of range) */
    LowerVar var[LOWER_MAX_VARS];
    uint32_t nvar;
    /* Values the class has computed itself: folds, the dot. By node id. */
    const KExpr **seed;
    bool *seeded; /* the node reads such a value, or is one */
    bool *
        stored; /* of a GPU: a float of 16 bits that its store alone reads, which rounds; by node id */
    bool *rounded;     /* of a GPU: only roundings to 16 bits see it, by node id; see rounded.c */
    Scope *seed_scope; /* where they are valid */
    /* The threads of a GPU that share a task share its vector loops; see team.c. */
    int64_t team;      /* 0: one thread alone, as on the CPU */
    const KExpr *rank; /* of this thread in its team */
    bool team_again;   /* the team folds again and again in the current loop */
    const KExpr
        *mask; /* VI: the lanes that exist; loads touch no other. NULL: all that `lanes` says */
    /* Rows kept by a fold between its passes; see kern_reduce.c. */
    const KExpr *(*kept)(Lower *lo, const Node *n, const Ix *const *ix);
    void *user;
    /* What a load finds in shared memory, or NULL; see gpu_row_col.c. NULL: nothing lies there. */
    const KExpr *(*staged)(Lower *lo, uint32_t buf, const Ix *linear);
    const void *staging;
};

/* ---- lower.c ---- */

/* The value of a node: scalar or vector. The node's type is f32-like, i32-like, bool, f64 or i64
 * (ktype_of); VI stands for ints and for bools (masks). */
const KExpr *lower_value(Lower *lo, const Node *n, const Ix *const *ix);
/* The same as a vector when `vector`; a scalar is spread. */
const KExpr *lower_spread(Lower *lo, const KExpr *e);

/* A value narrower than its register type is rounded to it after every operation. */
const KExpr *lower_fit(Lower *lo, DType dt, const KExpr *e);

/* Opens the first scope of a phase. */
void scope_begin(Lower *lo, KPhase *phase);
/* A loop: its variable is returned as an index; lanes and vector as in LowerVar. */
typedef struct LoopSpec {
    const char *stem;
    const KExpr *lo, *hi;
    const Dim *extent; /* 0 <= variable < extent */
    int64_t step;      /* 0 means 1 */
    bool vector;
    const KExpr *lanes;
    bool unroll, rolled; /* as of KS_FOR */
} LoopSpec;
const Ix *scope_loop(Lower *lo, const LoopSpec *spec);
void scope_if(Lower *lo, const KExpr *cond);
/* A scope without a statement: names die with it, statements go to the parent's block. */
void scope_plain(Lower *lo);
/* Closes the innermost scope and puts its statement into the parent. */
void scope_end(Lower *lo);
/* A variable that stands for `at` in the current scope. */
const Ix *scope_var(Lower *lo, const KExpr *at, const Dim *extent);
const Ix *scope_vector_var(Lower *lo, const KExpr *at, const Dim *extent, const KExpr *lanes);

/* Asks for the line of memory in which element `at` of a buffer lies. */
void lower_prefetch(Lower *lo, uint32_t buf, const KExpr *at);

/* Runs body over [lo, hi) in steps of W with a vector variable, then once more for the lanes left;
 * in a scalar kernel, one by one. lo is a multiple of W. whole: hi - lo is known to be one. */
typedef struct LanesSpec {
    const char *stem;
    const KExpr *lo, *hi;
    const Dim *extent;
    bool whole;
} LanesSpec;
typedef void (*LanesFn)(Lower *lo, const Ix *v, void *user);
void lower_lanes(Lower *lo, const LanesSpec *spec, LanesFn body, void *user);

enum { WARP = 32 }; /* threads of a warp, on every GPU */
/* team.c: after scope_begin, tasks are shared by this many threads: a warp or all of a block. */
void team_begin(Lower *lo, KPhase *phase, int64_t team);
/* Opens a scope in which only the first thread of a team is, if there are several. */
void team_first(Lower *lo);
/* All threads of a team wait for each other, and see what they wrote. */
void team_wait(Lower *lo);

/* Stores result number r at ix: value first, then `lower_store` in a second round, so that a result
 * may lie where an input lay. */
void lower_store(Lower *lo, uint32_t r, const Ix *const *ix, const KExpr *value);
/* Values of the results in `which` (bit per result) at ix, then their stores. */
void lower_results(Lower *lo, uint64_t which, const Ix *const *ix);

/* rounded.c: fills `rounded`: the nodes of the body whose values reach a cast to 16 bits, or fewer, before anything
 * else sees them; and `stored`. */
void lower_mark_rounded(Lower *lo);

/* ---- lanes.c: index expressions in loops ---- */

const KExpr *lower_index(Lower *lo, const Ix *e);                            /* lane 0 */
uint32_t index_vector_var(const Lower *lo, const Ix *const *ix, uint32_t n); /* or NO_VAR */
/* Distance of e between neighbouring lanes of var v; false: not affine. */
bool index_stride(Lower *lo, const Ix *e, uint32_t v, const Dim **stride);
/* e is a remainder that is 0 in lane 0 of its vector variable, and begins anew within the lanes. */
bool index_in_phase(Lower *lo, const Ix *e);
/* How often each element is read, if e counts up by one each so many lanes, from lane 0 on; else 0. */
int64_t index_repeats(Lower *lo, const Ix *e);
/* e is a multiple of W in lane 0 of v and counts up by one: asked where that pays, on a GPU. */
bool index_aligned(Lower *lo, const Ix *e, uint32_t v);
/* Element (or lanes) of a buffer at a linear index; NULL: lanes one by one. */
const KExpr *lower_load(Lower *lo, uint32_t buf, const Ix *linear);
/* gather.c: e of every lane as ints, VI; NULL: it may not fit. */
const KExpr *lower_index_lanes(Lower *lo, const Ix *e, uint32_t v);
/* The lanes of v that may be read, VI; NULL: all W. */
const KExpr *lower_lane_mask(Lower *lo, uint32_t v);
/* The vector x in its first lanes and other past them, where nothing was read; lanes NULL: x. */
const KExpr *lower_first_lanes(Lower *lo, const KExpr *lanes, const KExpr *x, const KExpr *other);
/* The element of each lane of v; NULL: lanes one by one. */
const KExpr *lower_gather(Lower *lo, uint32_t buf, const Ix *linear, uint32_t v);
/* Opens a loop over the lanes of vector variable v: *lane is its number, the result is ix at that
 * lane. */
const Ix **scope_lane(Lower *lo, uint32_t v, const Ix *const *ix, uint32_t n, const KExpr **lane);
/* Every lane of n by a scalar loop. */
const KExpr *lower_by_lane(Lower *lo, const Node *n, const Ix *const *ix);
/* Every place of an input that the value of `root` at ix reads, but for those of folds and products. */
typedef void (*LoadFn)(Lower *lo, const Node *input, const Ix *linear, void *user);
void lower_each_load(Lower *lo, const Node *root, const Ix *const *ix, LoadFn fn, void *user);
/* What reading `root` at ix costs per vector: strided and scattered reads, for choosing loops. */
double lower_probe(Lower *lo, const Node *root, const Ix *const *ix);

/* ---- value.c: functions named in the GEN column ---- */

const KExpr *value_input(Lower *lo, const Node *n, const Ix *const *ix);
const KExpr *value_slot(Lower *lo, const Node *n, const Ix *const *ix);
const KExpr *value_const(Lower *lo, const Node *n, const Ix *const *ix);
const KExpr *value_iota(Lower *lo, const Node *n, const Ix *const *ix);
const KExpr *value_rng(Lower *lo, const Node *n, const Ix *const *ix);
const KExpr *value_randint(Lower *lo, const Node *n, const Ix *const *ix);
const KExpr *value_view(Lower *lo, const Node *n, const Ix *const *ix);
const KExpr *value_pad(Lower *lo, const Node *n, const Ix *const *ix);
const KExpr *value_concat(Lower *lo, const Node *n, const Ix *const *ix);
const KExpr *value_cast(Lower *lo, const Node *n, const Ix *const *ix);
/* The kind of a slot by name: lr is real, the others are integers. */
bool slot_is_real(Sym name);

/* ---- kernel classes ---- */

typedef void (*LowerFn)(Lower *lo);
void lower_map(Lower *lo);
void lower_reduce(Lower *lo);
void lower_row_col(Lower *lo);
void lower_gemm(Lower *lo);
void lower_attention(Lower *lo);
void lower_attention_bwd(Lower *lo);
void lower_scatter(Lower *lo);
void lower_prefix(Lower *lo);
void lower_sort(Lower *lo);
void lower_update(Lower *lo);
void lower_xent(Lower *lo);
void gpu_gemm(Lower *lo);
void gpu_scatter(Lower *lo);
void gpu_prefix(Lower *lo);
void gpu_attention(Lower *lo);
void gpu_attention_bwd(Lower *lo);
void gpu_xent(Lower *lo);
void lower_multi_map(Lower *lo);
void lower_multi_sumsq(Lower *lo);

/* kern_update.c: where the rows of an update begin along its axis: clamped, so that all of them lie inside. */
const Ix *update_first_row(Lower *lo, const Node *update);

/* kern_multi.c: how many of the body's inputs are per set; the rest are shared scalars. */
uint32_t multi_per_set(const Node *group);

/* work.c: fills the kernel's work. */
void lower_count_work(Lower *lo);

/* ---- small helpers (lower.c) ---- */

int64_t lower_config(const Lower *lo, const char *name); /* member of the config tuple */
bool lower_has_config(const Lower *lo,
                      const char *name); /* whether the class has it on this target */
/* The same of one part of the kernel; there may be a tuple for each part, or one for all. */
int64_t lower_config_of(const Lower *lo, uint32_t part, const char *name);
const Dim *dims_product(Ir *ir, const Dim *const *dims, uint32_t n);
int64_t ceil_div(int64_t a, int64_t b);
int64_t round_up(int64_t n, int64_t to); /* to a multiple */
int64_t smaller(int64_t a, int64_t b);
int64_t larger(int64_t a, int64_t b);
int64_t dim_fixed(const Dim *d); /* of a dim that is known when compiled */
const KExpr *ke_add(Lower *lo, const KExpr *a, const KExpr *b);
const KExpr *ke_sub(Lower *lo, const KExpr *a, const KExpr *b);
const KExpr *ke_mul(Lower *lo, const KExpr *a, const KExpr *b);
const KExpr *ke_min(Lower *lo, const KExpr *a, const KExpr *b);
const KExpr *ke_apply(Lower *lo, KType t, const char *text, const KExpr *a, const KExpr *b);
/* The phase's task number. */
const KExpr *lower_task(Lower *lo);
/* May every value of this type be a vector? */
bool dtype_has_vector(DType dt);

#endif
