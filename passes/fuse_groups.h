/* fuse_groups.h: what the files of the fusion pass share.
 *
 * A *kept* value is computed by exactly one group and stored when something outside reads it: every
 * contraction, fold and scatter, and those elementwise values for which storing is cheaper than
 * computing them again. All other elementwise nodes are *inlined*: each group that needs one computes
 * it. So a group is its kept values; its members and what it reads follow by walking backwards from
 * them until a leaf or a value kept by another group. Views are looked through. */
#ifndef MDL_FUSE_GROUPS_H
#define MDL_FUSE_GROUPS_H

#include "passes.h"
#include "space.h"

enum {
    FUSE_INPUTS = 24,
    FUSE_RESULTS = 8,
    FUSE_NODES = 512,
    FUSE_ROW = 12,         /* pointers per set of a multi_map: PLAN_ROW_BUFS */
    FUSE_TINY_ROWS = 64,   /* fewer rows than this ... */
    FUSE_LONG_FOLD = 16384 /* ... of more than this are folded in two phases */
};
#define FUSE_NONE UINT32_MAX
#define FUSE_LOOP KC_COUNT /* the "class" of a loop, which is a group of its own, and no kernel */

/* Why two groups stay apart, or a value is stored: the codes of compiler.md 4.9. */
typedef enum FuseCode {
    FUSE_OK,
    FUSE_MAP,   /* read at another index than the one it is computed for */
    FUSE_RED,   /* folds over different spaces */
    FUSE_CLASS, /* no kernel class holds both */
    FUSE_EPI,   /* not an epilogue of the contraction */
    FUSE_RES,   /* too many inputs, results or nodes */
    FUSE_CYCLE, /* a path leads out and back in */
    FUSE_COST   /* legal, but slower */
} FuseCode;

typedef struct Verdict {
    FuseCode code;
    const char *why;
} Verdict;

typedef VEC(uint32_t) Ids;
typedef VEC(Ids) SetList;
typedef VEC(const char *) Notes;

typedef struct FGroup {
    uint32_t id;
    uint32_t parent; /* union-find over merged groups; itself while alive */
    uint32_t pos;    /* place in a topological order of the alive groups */
    Ids kept;        /* ascending node ids; a view or leaf stands for a copy of it */
    Ids reads;       /* leaves, and values kept by other groups */
    KernelClass cls;
    SetList sets; /* multi_map: the stored values of each set */
    Notes notes;
} FGroup;

/* How the body of a group reads a value it might compute itself. */
typedef enum Role {
    ROLE_TREE,     /* any tree of elementwise nodes and views */
    ROLE_OPERAND,  /* of a contraction: evaluated while packing */
    ROLE_EPILOGUE, /* of a contraction's result */
    ROLE_VALUE     /* needs the tensor itself */
} Role;

typedef struct Use {
    uint32_t group;
    Role role;
    bool viewed;  /* through a view: at another index */
    double evals; /* how often the value is evaluated if inlined */
    bool
        memory; /* matrix units multiply 16-bit numbers as they lie in memory: computing them there is slow */
} Use;
typedef VEC(Use) Uses;

/* About the elementwise tree above the nearest contractions, folds and leaves. */
typedef struct Cone {
    double cost;     /* instructions per element, shared parts counted again */
    bool computed;   /* reaches a contraction, fold, scatter ... */
    bool direct;     /* ... without a view between */
    bool reads_leaf; /* reaches an input or a state */
} Cone;

typedef struct Fuse {
    PassCx *cx;
    const Graph *g;
    Arena *arena;    /* of the pass; notes go to cx->arena */
    Arena *scratch;  /* of one legality check */
    uint32_t n;      /* nodes of g */
    bool *forward;   /* by node: a result needs it; NULL where nothing is computed again */
    bool numbered;   /* nodes have the ids of the pass's input */
    bool *live;      /* by node: some result or write needs it */
    bool *sink;      /* by node: a result or a write */
    bool *solid;     /* by node: a view that readers take as a stored tensor */
    uint32_t *owner; /* by node: the group that keeps it, FUSE_NONE: leaf, inlined or dead */
    uint32_t *chain; /* by node: the contraction's group whose first epilogue it is, or FUSE_NONE */
    Cone *cone;
    Uses *uses;
    Ids *readers; /* by node: groups that read the kept value (resolve with fuse_find) */
    VEC(FGroup *) groups;
    VEC(uint32_t) order;   /* alive groups by pos */
    uint32_t *mark, stamp; /* by node: of walks */
    uint32_t *seen, look;  /* by group: of searches */
    Ids stack;             /* of searches */
} Fuse;

/* ---- fuse_groups.c: structure ---- */

static inline const Node *fuse_node(const Fuse *fx, uint32_t id)
{
    return fx->g->nodes.at[id];
}
static inline OpClass fuse_class(const Node *n)
{
    return op_info(n->op)->cls;
}
uint32_t fuse_group_new(Fuse *fx, uint32_t kept, KernelClass cls);
uint32_t fuse_find(const Fuse *fx, uint32_t group);
void fuse_note(Fuse *fx, uint32_t group, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* "gelu (layers.0.fc1)": the group's anchor for people. */
uint32_t fuse_anchor(const Fuse *fx, const FGroup *g);
const char *fuse_label(const Fuse *fx, uint32_t node);
const char *fuse_code_name(FuseCode code);
void ids_add(Arena *arena, Ids *ids, uint32_t id); /* keeps ascending order, no duplicates */
bool ids_has(const Ids *ids, uint32_t id);         /* of an ascending list */

/* A walk over one group, or over two as if they were merged. */
typedef struct Body {
    uint32_t a, b; /* groups; b may be FUSE_NONE */
    Ids kept;      /* of both, ascending */
    Ids stored;    /* of kept: those with readers outside, or sinks */
    Ids members;   /* computing nodes, operands first */
    Ids reads;     /* in order of the first visit */
    uint32_t nclass[OC_GROUP + 1];
} Body;
void fuse_walk(Fuse *fx, uint32_t a, uint32_t b, Body *out);
/* One group, walked from all its kept values: before readers are known. */
void fuse_walk_kept(Fuse *fx, uint32_t group, Body *out);
/* Fills members and reads from stored: one set of a table. */
void fuse_walk_members(Fuse *fx, Body *body);
/* How many values the tree of one member reads. */
uint32_t fuse_cone_reads(Fuse *fx, const Body *body, uint32_t member);
/* True when a body of these groups takes node as an argument. */
bool fuse_is_read(const Fuse *fx, const Body *body, uint32_t node);

/* Fills order and pos (by the largest kept value), reads and readers. */
void fuse_link(Fuse *fx);
/* After merging: the order in which the program computes the values, as far as groups allow it. What is
 * computed again is then computed right before it is read. */
void fuse_sort(Fuse *fx);
/* CYCLE: is there a path from a to b (either way) through a third group, or with `direct` at all? */
bool fuse_connected(Fuse *fx, uint32_t a, uint32_t b, bool direct);
/* Joins b into a or a into b; returns the group that lives on. */
uint32_t fuse_merge(Fuse *fx, const Body *body, KernelClass cls);

/* Clones (pass remat) among the members; and beside them kept values of the forward half, which would
 * have them computed too early. */
bool fuse_is_again(const Fuse *fx, const Body *body);
bool fuse_mixes_halves(const Fuse *fx, const Body *body);

/* ---- fuse_map.c: index maps ---- */

/* Every kept value and fold of a body that depends on one is used only at the element it belongs to:
 * at p for values over the rows, at (p, r) for values over the folded space. */
Verdict fuse_check_maps(Fuse *fx, const Body *body);

/* Of folds whose results are not stored: every one that another depends on is read by it at its own row. */
Verdict fuse_check_folds(Fuse *fx, const Body *body);

/* ---- fuse_fit.c: legality by class ---- */

/* Two folds over the same axes of equal dims. */
bool fuse_same_fold(const Node *a, const Node *b);

/* The first member that folds, of rows if there is one: those fold the innermost axis. NULL: none does. */
const Node *fuse_first_fold(const Fuse *fx, const Body *body);
Verdict fuse_fits(Fuse *fx, const Body *body, KernelClass *cls);
/* A fold over other than the innermost axes that also stores values of its whole operand: columns
 * are walked in parallel, so it has fewer tasks than a map. */
bool fuse_is_wide_column(const Fuse *fx, const Body *body);
/* Few rows and so long a fold that it takes two phases (pick: split > 1). */
bool fuse_is_long_fold(const Fuse *fx, const Node *fold);
/* A scalar made of constants and slots that costs next to nothing. */
bool fuse_is_trivial(const Fuse *fx, const Node *n);

/* ---- fuse_gemm.c ---- */

Verdict fuse_fit_gemm(Fuse *fx, const Body *body);
/* Whether dots of two groups have a value as operand that this entry computes or is given. A parameter
 * says nothing: it may be read at both ends of a program. */
bool fuse_share_operand(Fuse *fx, uint32_t a, uint32_t b);

/* ---- fuse_prologue.c: folds below the left operands of products ---- */

Verdict fuse_fit_prologue(Fuse *fx, const Body *body);
/* Instructions that all tasks but one spend on what is below their left operands. */
double fuse_prologue_again(Fuse *fx, const Body *body);

/* ---- fuse_cost.c: seconds ---- */

double fuse_count(const Fuse *fx, const Type *t); /* elements, at the upper end of DYN dims */
double fuse_bytes(const Fuse *fx, const Type *t);
double fuse_op_cost(const Node *n); /* instructions per element */
double fuse_seconds(Fuse *fx, const Body *body);
/* Of an elementwise value: is computing it at each use at most as slow as storing it? */
bool fuse_inline_pays(const Fuse *fx, const Node *n, const Uses *uses);

/* ---- the steps of pass_fuse ---- */

void fuse_cones(Fuse *fx);     /* fuse_inline.c */
void fuse_chains(Fuse *fx);    /* fuse_inline.c: greedy epilogues */
void fuse_inline(Fuse *fx);    /* fuse_inline.c: which values are kept */
void fuse_merge_all(Fuse *fx); /* fuse_merge.c */
void fuse_multi(Fuse *fx);     /* fuse_multi.c: multi_map */
/* The text that groups of one table have in common, NULL when body is not linear; what it reads. */
const char *fuse_table_key(Fuse *fx, const Body *body, Ids *tensors, Ids *scalars);
Graph *fuse_outline(Fuse *fx); /* fuse_outline.c */
/* The stored values of a body as the results of a graph, whose inputs are the formals. */
const Graph *fuse_body(Fuse *fx, const Body *body, Sym name, const Ids *formals);
/* Kernel name from the anchor's path and what the body does: "fc1_gemm_add_erf". */
Sym fuse_name(Fuse *fx, const FGroup *g, const Body *body); /* fuse_name.c */

#endif
