/* ir.h: what a program is. Types with symbolic dims, the operation table, immutable graphs.
 *
 *   Ir       one session: arena, names, interned dims, types and defs
 *   Dim      polynomial with integer coefficients over DimSyms, interned: equal <=> same pointer
 *   Type     dtype + dims, or a tuple of types; interned
 *   Node     one operation; immutable; made only by graph_op(), which checks types and hash-conses
 *   Graph    one entry or one Def body: nodes in topological order, inputs, results, state writes
 *   Def      a named graph used as an attribute: composite op or fused group
 *   State    a tensor that outlives an entry: parameter, gradient, optimizer state, running sum
 *   Program  dim symbols, states and entries of one stage
 *
 * A graph is a pure function of its inputs, the argument block (slots) and the old values of its
 * states. All writes take effect together when the entry ends. */
#ifndef MDL_IR_H
#define MDL_IR_H

#include "base.h"
#include "diag.h"
#include "dtype.h"

enum { IR_MAX_RANK = 8, IR_MAX_ATTR = 5 };

/* ---- session (ir.c) ---- */

typedef struct Ir {
    Arena *arena; /* owned by the caller of ir_new */
    Syms *syms;
    Diags *diags;
    struct IrTables *tables; /* interned dims, types, defs, index expressions; private to ir */
} Ir;

Ir *ir_new(Arena *arena, Syms *syms, Diags *diags);

/* ---- dims (dim.c) ---- */

/* A run-time dimension. STATIC: lo == hi, never reaches a graph as a symbol. DYN: bound per call,
 * memory is planned for hi, kernels read the extent from the argument block. */
typedef struct DimSym {
    Sym name;
    int64_t lo, hi, divisor;
    uint32_t id; /* dense within the Ir; the bit position of monomials and of argument blocks */
} DimSym;

enum { DIM_MAX_DEGREE = 8, DIM_MAX_TERMS = 64 };

typedef struct DimTerm {
    int64_t coef;
    uint32_t nsym;
    uint32_t sym[DIM_MAX_DEGREE]; /* DimSym ids, ascending, with repetition for powers */
} DimTerm;

typedef struct Dim {
    uint32_t id;
    uint32_t nterm; /* 0 terms: the constant 0. Terms in a canonical order, constant term last */
    const DimTerm *term;
} Dim;

/* The upper end of a symbol without a bound. `mdl check` makes such symbols to look at functions that
 * nothing calls with known sizes; they never reach a plan. */
enum { DIM_FREE = INT32_MAX };

/* Declares a symbol with range lo..hi (0 <= lo <= hi); names need not be distinct. */
const DimSym *dim_declare(Ir *ir, Sym name, int64_t lo, int64_t hi);
const DimSym *dim_sym_at(const Ir *ir, uint32_t id);
/* From now on the symbol is at most hi, which lies in its range; what follows from its range is narrower, and stays
 * true. */
void dim_sym_narrow(Ir *ir, uint32_t id, int64_t hi);
uint32_t dim_sym_count(const Ir *ir);

/* Sums and products whose coefficients leave 63 bits, or which pass DIM_MAX_DEGREE or
 * DIM_MAX_TERMS, report E0109 (once) and give the constant 1. */
const Dim *dim_const(Ir *ir, int64_t value);
const Dim *dim_of(Ir *ir, const DimSym *s);
const Dim *dim_add(Ir *ir, const Dim *a, const Dim *b);
const Dim *dim_sub(Ir *ir, const Dim *a, const Dim *b);
const Dim *dim_mul(Ir *ir, const Dim *a, const Dim *b);
/* a / b where b divides a exactly as polynomials; false otherwise (or b == 0). */
bool dim_div(Ir *ir, const Dim *a, const Dim *b, const Dim **quotient);
bool dim_is_const(const Dim *d, int64_t *value);
bool dim_equals(const Dim *d, int64_t value);
bool dim_is_multiple(const Dim *d, int64_t n); /* for whatever its symbols are */
/* Value for given symbol values (indexed by DimSym id); bounds of the value over the ranges: hi is
 * never too small, lo never too large, and both are exact where no symbol occurs squared. All three
 * saturate at the ends of int64_t. */
int64_t dim_eval(const Dim *d, const int64_t *values);
int64_t dim_hi(const Ir *ir, const Dim *d);
int64_t dim_lo(const Ir *ir, const Dim *d);
/* True when a symbol without bound occurs. */
bool dim_is_free(const Ir *ir, const Dim *d);
/* d >= least for all sizes; where d is free, for some. */
bool dim_at_least(const Ir *ir, const Dim *d, int64_t least);
void dim_print(const Ir *ir, const Dim *d, StrBuf *sb);

/* ---- types (type.c) ---- */

typedef struct Type {
    uint32_t id;
    bool is_tuple;
    DType dtype;            /* tensors */
    uint32_t rank;          /* tensors */
    const Dim *const *dims; /* tensors: rank entries */
    uint32_t nelem;         /* tuples */
    const struct Type *const *elems;
} Type;

const Type *type_tensor(Ir *ir, DType dtype, uint32_t rank, const Dim *const *dims);
const Type *type_scalar(Ir *ir, DType dtype);
const Type *type_tuple(Ir *ir, uint32_t n, const Type *const *elems);
const Type *type_with_dtype(Ir *ir, const Type *t, DType dtype); /* same dims */
const Dim *type_count(Ir *ir, const Type *t);                    /* number of elements */
bool type_same_dims(const Type *a, const Type *b);
void type_print(const Ir *ir, const Type *t, StrBuf *sb); /* f32[B, 784], (f32[], i32[4]) */
const char *type_text(const Ir *ir, const Type *t);       /* the same, in the session arena */

/* ---- operations (op.c, from ops.def) ---- */

typedef enum OpKind {
#define OP(id, ...) OP_##id,
#include "ops.def"
#undef OP
    OP_COUNT
} OpKind;

/* How an operation takes part in fusion (compiler.md 4.9): its iteration space and index maps. */
typedef enum OpClass {
    OC_LEAF,     /* no inputs: input, state, slot, const, iota */
    OC_VIEW,     /* output element = one input element at a mapped index (or a fill value) */
    OC_ELEM,     /* all operands at the output's own index */
    OC_GATHER,   /* reads one operand at an index computed from another */
    OC_REDUCE,   /* folds axes of its operand */
    OC_SCAN,     /* every line of one axis, element by element: prefix sums and products */
    OC_SORT,     /* every line of one axis as a whole: its order */
    OC_UPDATE,   /* an operand with other rows somewhere along one axis */
    OC_CONTRACT, /* dot, conv */
    OC_SCATTER,  /* writes at computed places */
    OC_MULTI,    /* any number of tensors of any shapes at once (global norm) */
    OC_LOOP,     /* scan: a Def, round by round */
    OC_CALL,     /* a composite op: a Def */
    OC_TUPLE,    /* tuple and get */
    OC_GROUP     /* a fused group: a Def with a kernel class */
} OpClass;

typedef enum AttrKind {
    AK_NONE,
    AK_INT,
    AK_NUM,
    AK_SYM,
    AK_INTS,
    AK_DIM,
    AK_DIMS,
    AK_DEF,
    AK_DTYPE,
    AK_FLAG /* 0 or 1; 0 is neither printed nor hashed */
} AttrKind;

typedef struct Def Def;

typedef struct Attr {
    AttrKind kind;
    uint32_t n; /* INTS, DIMS */
    union {
        int64_t i;              /* INT, DTYPE, FLAG */
        double f;               /* NUM */
        Sym s;                  /* SYM */
        const int64_t *ints;    /* INTS */
        const Dim *dim;         /* DIM */
        const Dim *const *dims; /* DIMS */
        const Def *def;         /* DEF */
    };
} Attr;

/* Equal to the bit; interned parts (dims, Defs, symbols) of one session. */
bool attr_same(const Attr *a, const Attr *b);

typedef struct Node Node;
typedef struct Graph Graph;
typedef struct Ix Ix;

/* A dense f64 tensor of the reference interpreter (bool as 0/1, integers exact below 2^53). */
typedef struct Value {
    const Type *type;
    uint32_t rank;
    int64_t dim[IR_MAX_RANK]; /* actual extents */
    int64_t count;
    double *at;                /* row-major */
    bool bits;                 /* bits mode: elements are rounded to the type's */
    const int64_t *sym_values; /* by DimSym id: what the extents and dim attributes mean; or NULL */
} Value;

/* Result type from inputs and attributes, or NULL after a diagnostic at `span`. */
typedef const Type *(*InferFn)(Ir *ir, const Node *proto, Span span);
typedef double (*EvalFn)(double a, double b, double c);
/* Fills out->at (allocated, zeroed) from the inputs. */
typedef void (*EvalTensorFn)(const Node *n, const Value *const *in, Value *out);
/* Index of operand k that output index `out` (rank of n) reads: fills in[rank of operand]. */
typedef void (*AtFn)(Ir *ir, const Node *n, uint32_t k, const Ix *const *out, const Ix **in);

typedef struct OpInfo {
    const char *name; /* in graph text */
    const char *doc;
    OpClass cls;
    int arity;         /* -1: any number */
    bool pure_float;   /* operands must be f32 or f64 */
    bool commutes;     /* operands may be swapped */
    const char *attrs; /* "axes:ints, value:num": schema, in the order of Node.attr */
    InferFn infer;     /* NULL for leaves: the type is given */
    EvalFn eval;       /* OC_ELEM */
    bool exact;        /* OC_ELEM: every kernel computes eval, rounded once: may be folded */
    bool smooth;       /* OC_ELEM: errors of operands are passed on in proportion, without jumps */
    EvalTensorFn eval_tensor; /* everything else that computes */
    AtFn at;                  /* index map; NULL: not by index (reduce, contract, call ...) */
    double neutral;           /* OC_REDUCE, OC_SCAN: joined with x it gives x */
    bool pieces;              /* OC_SCAN: floats may be folded in pieces, which are then joined */
    double cost;              /* OC_ELEM: f32 instructions per element; 0 means 1 */
    bool stops;               /* a constant to who differentiates, whatever it is of */
    bool folded;              /* OC_LEAF: fusion clones it into bodies instead of passing it */
} OpInfo;

const OpInfo *op_info(OpKind op);
bool op_find(const char *name, OpKind *out);
/* Position of an attribute in Node.attr by schema name; BUG when the op has none of that name. */
uint32_t op_attr_index(OpKind op, const char *name);
/* Attribute i of the schema; *name points into it and ends at the ':'. Returns the count; leaves
 * *name and *kind alone when i is not below it. */
uint32_t op_attr_schema(OpKind op, uint32_t i, const char **name, AttrKind *kind);
/* Index of operand k that element `out` of n reads: the row's map, or the identity for OC_ELEM.
 * False when operand k is not read by index (reduce, contract, pad, concat, call ...). */
bool op_at(Ir *ir, const Node *n, uint32_t k, const Ix *const *out, const Ix **in);

/* ---- nodes and graphs (graph.c, build.c) ---- */

struct Node {
    OpKind op;
    uint32_t id;   /* dense within its graph, ascending in topological order */
    uint32_t inst; /* 0; remat clones count up so that hash-consing keeps them apart */
    const Type *type;
    uint32_t nin;
    const Node *const *in;
    uint32_t nattr;
    const Attr *attr;
    /* not part of the identity: the first node built wins */
    Sym path;         /* module path for people: "layers.0.attn.q_proj", or NULL */
    Span span;        /* where in the .mdl */
    const char *note; /* groups: fusion decisions and refusals, one per line; else NULL */
};

typedef struct GraphResult {
    Sym name;
    const Node *node;
} GraphResult;

typedef struct GraphWrite {
    uint32_t state; /* index into Program.states */
    const Node *node;
} GraphWrite;

struct Graph {
    Ir *ir;
    Arena *arena;
    Sym name;
    VEC(const Node *) nodes;
    VEC(const Node *) inputs; /* OP_INPUT nodes in declaration order (formals of a Def) */
    VEC(GraphResult) results;
    VEC(GraphWrite) writes; /* at most one per state */
    Map *consed;
    Map *written; /* state -> index into writes + 1; made by graph_write */
    bool probing; /* see graph_probe */
    /* stamped on nodes made from here on */
    Sym path;
    Span span;
};

Graph *graph_new(Ir *ir, Arena *arena, Sym name);
/* g to be asked: its builders return the node that g has, NULL where there is none, and add nothing. So
 * what a graph must look like is written as the code that would build it. */
Graph graph_probe(const Graph *g);

/* What a node is made of; unset fields are zero. `type` is given for leaves only (input, state,
 * slot, const, iota); for all others the op's infer rule makes it. */
typedef struct NodeSpec {
    OpKind op;
    uint32_t inst;
    const Type *type;
    uint32_t nin;
    const Node *const *in;
    const Attr *attr; /* nattr = schema length of the op */
    const char *note;
} NodeSpec;

/* The only constructor. Checks arity, attributes and types (diagnostic and NULL when the user's
 * program is wrong), hash-conses, appends. Inputs must belong to g. Copies all arrays. */
const Node *graph_op(Graph *g, const NodeSpec *spec);
/* What people and later passes are told of a node of g: no part of its identity. */
void graph_note(Graph *g, const Node *n, const char *note);
const Node *graph_input(Graph *g, Sym name, const Type *type); /* appended to g->inputs */
void graph_result(Graph *g, Sym name, const Node *n);
void graph_write(Graph *g, uint32_t state, const Node *n);       /* replaces an earlier write */
const Node *graph_result_find(const Graph *g, const char *name); /* NULL when absent */

/* Attribute values by schema name; BUG when absent or of another kind. */
int64_t node_int(const Node *n, const char *name);
double node_num(const Node *n, const char *name);
Sym node_sym(const Node *n, const char *name);
const Attr *node_ints(const Node *n, const char *name); /* ->n, ->ints */
/* The condition, the same along all but the first `naxis` axes, without which n is 0; NULL: there is none. */
const Node *node_zero_unless(const Node *n, uint32_t naxis);
const Dim *node_dim(const Node *n, const char *name);
const Def *node_def(const Node *n);
/* const, or expand/reshape of one, or a cast of one that neither rounds nor clamps it */
bool node_is_const(const Node *n, double *value);
bool node_is_state(const Node *n, uint32_t *state); /* the old value of a state */
bool node_is_get(const Node *n, uint32_t *member);  /* a member of a tuple */
bool node_is_slot(const Node *n, const char *name); /* a scalar of the argument block */
bool node_is_cast(const Node *n);
bool node_widens(const Node *n);     /* a cast of a 16-bit float to f32, which keeps every value */
bool node_multiplies(const Node *n); /* two floats, element by element */
bool node_is_reshape(const Node *n);
bool node_is_expand(const Node *n);
const Attr *node_permutation(const Node *n); /* of a permute, else NULL */
bool node_folds_last(const Node *fold);      /* its axes include the operand's innermost */
const Node *node_plus_zero(const Node *n);   /* x where n is x + 0 or x + -0, else NULL */

/* What the integers of a leaf are to what reads them (integers.c); of several, the last of these. */
typedef enum IntegerUse {
    INTEGER_ANY,   /* nothing is known: numbers to compute with */
    INTEGER_WORD,  /* bits that are taken apart */
    INTEGER_SAME,  /* compared with others like it: numbers of segments */
    INTEGER_INDEX, /* choose rows of an axis, or one of its places */
    INTEGER_PLACE  /* lie along an axis: before or behind its places, or where rows are written */
} IntegerUse;

typedef struct Integers {
    IntegerUse use;
    const Dim
        *below; /* INDEX, PLACE: the extent of the axis, of several the shortest that is indexed */
    const Dim *
        span; /* PLACE: how many places there are behind one another: along the leaf's last axis, or, of a scalar,
                       * from it on */
} Integers;
Integers graph_integers(const Graph *g, const Node *leaf, Arena *arena);

/* Builders: each is graph_op with the attributes filled in. NULL in, NULL out. */
const Node *graph_state(Graph *g, uint32_t state, const Type *type, Sym name);
const Node *graph_slot(Graph *g, const char *name,
                       DType dtype); /* the names are in runtime/plan/plan.h */
const Node *graph_const(Graph *g, DType dtype, double value);     /* scalar */
const Node *graph_fill(Graph *g, const Type *type, double value); /* const, expanded */
const Node *graph_iota(Graph *g, uint32_t rank, const Dim *const *dims, uint32_t axis); /* i32 */
/* Random: each element uniform in [0, 1) by one of four independent words, or an integer in 0..n. */
const Node *graph_rng(Graph *g, int64_t site, int64_t word, uint32_t rank, const Dim *const *dims);
const Node *graph_randint(Graph *g, int64_t site, const Dim *n, uint32_t rank,
                          const Dim *const *dims);
const Node *graph_unary(Graph *g, OpKind op, const Node *x);
const Node *graph_binary(Graph *g, OpKind op, const Node *a, const Node *b); /* equal shapes */
const Node *graph_select(Graph *g, const Node *c, const Node *a, const Node *b);
const Node *graph_cast(Graph *g, DType dtype, const Node *x); /* x itself when it has the dtype */
const Node *graph_reshape(Graph *g, const Node *x, uint32_t rank, const Dim *const *dims);
const Node *graph_permute(Graph *g, const Node *x,
                          const int64_t *perm); /* out axis i = in axis perm[i] */
/* Input axis i becomes output axis axes[i] (strictly ascending); the other axes repeat it. */
const Node *graph_expand(Graph *g, const Node *x, uint32_t rank, const Dim *const *dims,
                         const int64_t *axes);
const Node *graph_slice(Graph *g, const Node *x, uint32_t axis, const Dim *start,
                        const Dim *extent);
/* Axis `axis` becomes [windows, size]: element (o, k) is o * stride + k * dilation. */
typedef struct Windows {
    uint32_t axis;
    int64_t size, stride, dilation;
} Windows;
const Node *graph_window(Graph *g, const Node *x, const Windows *w);
/* Its adjoint: windows [.., o, k, ..] added where they lie in an axis of `extent` (build_window.c). */
const Node *graph_unwindow(Graph *g, const Node *x, const Windows *w, const Dim *extent);
const Node *graph_pad(Graph *g, const Node *x, uint32_t axis, const Dim *lo, const Dim *hi);
const Node *graph_concat(Graph *g, const Node *const *in, uint32_t n, uint32_t axis);
/* Where a and b are paddings of pieces that lie side by side: both pieces, padded by what is left. It is
 * their sum, but for the sign of zeros. NULL where they are not. */
const Node *graph_pads_beside(Graph *g, const Node *a, const Node *b);
/* out[b.., i.., r..] = x[b.., idx[b.., i..], r..]: the first `batch` axes are shared; axis >= batch
 * is replaced by the remaining axes of idx. axes of x between batch and axis come before i... */
const Node *graph_gather(Graph *g, const Node *x, const Node *idx, uint32_t axis, uint32_t batch);
/* x with `rows` from index `at` (an integer scalar) of an axis on. */
const Node *graph_update(Graph *g, const Node *x, const Node *rows, const Node *at, uint32_t axis);
const Node *graph_reduce(Graph *g, OpKind op, const Node *x, const int64_t *axes,
                         uint32_t n); /* removed */
/* Contracts a's axes ac with b's bc, pairs batch axes ab with bb; result = batch, free a, free b. tf32: a device may round
 * operands of f32 to 10 bits of fraction where it then multiplies faster (PTX ISA, .tf32). */
typedef struct DotAxes {
    uint32_t nbatch, ncontract;
    int64_t a_batch[IR_MAX_RANK], b_batch[IR_MAX_RANK];
    int64_t a_contract[IR_MAX_RANK], b_contract[IR_MAX_RANK];
    bool tf32;
} DotAxes;
const Node *graph_dot(Graph *g, const Node *a, const Node *b, const DotAxes *axes);
void node_dot_axes(const Node *n, DotAxes *out);
const Node *graph_call(Graph *g, const Def *def, const Node *const *in, uint32_t nin);
/* Operands: the first carries, the sequences, the constants. */
typedef struct ScanSpec {
    const Def *def;
    uint32_t carry, xs;
    bool reverse;
    const Dim *length;
} ScanSpec;
const Node *graph_loop(Graph *g, const ScanSpec *s, const Node *const *in, uint32_t nin);
const Node *graph_get(Graph *g, const Node *tuple,
                      uint32_t i); /* n itself if it is no tuple and i == 0 */
const Node *graph_tuple(Graph *g, const Node *const *in, uint32_t n);

/* Multiplications and additions of all contractions, also those in called defs, with symbols at the
 * upper ends of their ranges (work.c). */
double graph_flops(const Graph *g);
double node_flops(const Ir *ir, const Node *dot); /* of one contraction */

/* ---- rows (rows.c) ---- */

/* What the indices of an axis of n's result are in operand k. */
typedef enum RowAxis {
    ROW_AXIS, /* those of its axis *from: each index of the result comes of the same index there */
    ROW_ALL,  /* the operand has no such axis: all of it is read for every index */
    ROW_MIXED /* neither */
} RowAxis;
RowAxis node_row_axis(const Node *n, uint32_t axis, uint32_t k, uint32_t *from);

/* Indices start .. start + extent of an axis. */
typedef struct RowRange {
    uint32_t axis;
    const Dim *start, *extent;
} RowRange;
bool node_is_rows(const Node *n, RowRange *rows); /* a slice */
/* n on operands that have these rows only, where they have the axis. */
const Node *graph_fewer_rows(Graph *g, const Node *n, const Node *const *in, const RowRange *rows);

/* Terms of a loss: sums over the rows of the batch, their weights and factors (NULL: none); scalars. */
typedef struct RowSums {
    const Dim *rows; /* axis 0 of every input .. */
    const Dim
        *pictures; /* .. but of those of the rows' pictures, in their order; NULL: there are none */
    bool (*places)(void *user,
                   const Node *call); /* call puts what is seen in pictures into their rows */
    void *user;
    uint32_t n;
    const Node *const *sum, *const *weight, *const *factor;
} RowSums;
/* Where in g rows meet, so that passes of fewer rows would not add up to the same terms, or a state is
 * written; NULL: nowhere (meet.c). */
const Node *graph_rows_meet(const Graph *g, const RowSums *x);

/* ---- defs (def.c) ---- */

typedef enum DefKind { DEF_COMPOSITE, DEF_GROUP, DEF_SCAN } DefKind;

/* A graph as an attribute. Interned by canonical hash: equal bodies are one pointer, which dedupes
 * kernels. A call's result is the only result's type, or the tuple of all results.
 * COMPOSITE: results [0, nvisible) are what the op returns, the rest are forward bindings that its
 * vjp reads (lse, rstd). vjp: inputs = the op's inputs, then all its results, then one cotangent per
 * visible result ("d<name>"); results = one cotangent per float input, named "d<input>", in input
 * order (a float input without one has result name absent).
 *
 * SCAN: inputs = the carries, a slice of each sequence, the constants; results = the next carries, what the
 * round makes (visible), then the carries as the round got them (hidden: its gradient reads them).
 *
 * GROUP with count == 1: operands are the body's inputs, in order, results as for a call. count > 1
 * (one body for many tensor sets): the body has p inputs per set, then s shared scalars; operands =
 * set 0's p, set 1's p, ..., then the s shared ones, so nin = count * p + s and with nbody = p + s
 * p = (nin - nbody) / (count - 1). Results: all of set 0, then all of set 1, ...; count * nresults
 * of them. In the body every tensor has the set's shape: the extents of the set's first operand. */
struct Def {
    DefKind kind;
    Sym name; /* "layer_norm"; groups: kernel name */
    const Graph *body;
    uint32_t nvisible;
    const Def *vjp; /* NULL: expanded before autodiff */
    uint64_t hash;  /* canonical: independent of ids, paths, spans */
};

/* Copies the body (without dead nodes, inputs first) into the session arena. */
const Def *def_intern(Ir *ir, const Def *proto);
uint64_t graph_hash(const Graph *g); /* canonical */

/* ---- walking and rewriting (walk.c) ---- */

/* nuse[id] = number of readers of each node (node inputs, results, writes). */
uint32_t *graph_use_counts(const Graph *g, Arena *arena);

/* Copies a graph node by node; the core of every pass. */
typedef struct Rewrite Rewrite;
/* A replacement built in rw->out from the already rewritten inputs, or NULL: copy n as it is. */
typedef const Node *(*RewriteFn)(Rewrite *rw, const Node *n, const Node *const *in);
struct Rewrite {
    const Graph *src;
    Graph *out;
    const Node **map; /* src id -> node in out, NULL while not rewritten (or dead) */
    void *user;
};
/* New graph with the same name, inputs, results and writes; only nodes reachable from results and
 * writes are copied (all inputs are kept). fn may be NULL (plain copy without dead code). */
Graph *graph_rewrite(const Graph *src, Arena *arena, RewriteFn fn, void *user);
/* Copies n into g with other inputs. */
const Node *graph_copy_node(Graph *g, const Node *n, const Node *const *in);
/* Builds def's body in g on actual operands; out[i] = its results (all of them). */
void graph_inline(Graph *g, const Graph *body, const Node *const *in, const Node **out);

/* ---- index expressions (index.c) ---- */

/* Integer expression over loop variables, interned and simplified with ranges:
 * sum of Dim coefficients times atoms; an atom is a variable, e / d, e % d (d a positive Dim,
 * division floors), or an element loaded from an integer tensor (gather). (i*T + t) / T == i and
 * (x/n)*n + x%n == x when the ranges show it. Equal pointers are equal values; equal values are
 * mostly, not always, one pointer. */
typedef enum IxKind { IX_SUM, IX_VAR, IX_DIV, IX_MOD, IX_LOAD } IxKind;

typedef struct IxTerm {
    const Dim *coef;
    const Ix *atom; /* VAR, DIV, MOD or LOAD */
} IxTerm;

struct Ix {
    uint32_t id;
    IxKind kind;
    const Dim *base; /* SUM: constant part */
    uint32_t nterm;  /* SUM: terms ordered by atom id */
    const IxTerm *term;
    uint32_t var;      /* VAR: number given by the caller */
    const Dim *extent; /* VAR: 0 <= var < extent; DIV, MOD: divisor; LOAD: 0 <= value < extent */
    const Ix *of;      /* DIV, MOD */
    const Node *node;  /* LOAD: the integer tensor */
    uint32_t nindex;   /* LOAD */
    const Ix *const *index;
    /* all kinds: bounds of the value while its variables are in range, NULL when not known */
    const Dim *lo, *hi;
    uint64_t vars; /* variables that occur: bit k for k < 63, bit 63 for all others */
};

const Ix *ix_const(Ir *ir, const Dim *d);
const Ix *ix_int(Ir *ir, int64_t v);
const Ix *ix_var(Ir *ir, uint32_t var, const Dim *extent);
const Ix *ix_add(Ir *ir, const Ix *a, const Ix *b);
const Ix *ix_mul(Ir *ir, const Ix *a, const Dim *factor);
const Ix *ix_div(Ir *ir, const Ix *a, const Dim *divisor);
const Ix *ix_mod(Ir *ir, const Ix *a, const Dim *divisor);
const Ix *ix_load(Ir *ir, const Node *tensor, const Ix *const *index, uint32_t n,
                  const Dim *extent);
/* Row-major linear index of `index` in dims, and its inverse. */
const Ix *ix_flatten(Ir *ir, const Dim *const *dims, const Ix *const *index, uint32_t rank);
void ix_unflatten(Ir *ir, const Ix *linear, const Dim *const *dims, uint32_t rank,
                  const Ix **index);
/* Coefficient of a variable if the expression is affine in it (0 when absent); false when the
 * variable occurs inside a DIV, MOD or LOAD. */
bool ix_coefficient(Ir *ir, const Ix *e, uint32_t var, const Dim **coef);
bool ix_uses(const Ix *e, uint32_t var);
const Ix *ix_substitute(Ir *ir, const Ix *e, const Ix *const *vars,
                        uint32_t nvar); /* var k -> vars[k] */
void ix_print(const Ir *ir, const Ix *e, StrBuf *sb);

/* ---- conditions as bounds of an index (bounds.c) ---- */

/* sign * element ix of node, which does not change with the bounded variable. */
typedef struct NodeBoundTerm {
    const Node *node;
    const Ix *ix[IR_MAX_RANK];
    int64_t sign;
} NodeBoundTerm;

/* u <= add + the sum of the terms (upper), or u >= it. */
typedef struct NodeBound {
    bool upper;
    int64_t add;
    uint32_t nterm;
    NodeBoundTerm term[6];
} NodeBound;

typedef struct NodeBounds {
    uint32_t n;
    NodeBound bound[8];
    bool rest; /* the condition says more than these bounds */
} NodeBounds;

/* What element ix of a bool node says about variable `var`: it is false outside of the bounds, and true
 * inside unless out->rest. Integers are taken not to wrap. */
void node_bounds(Ir *ir, const Node *cond, const Ix *const *ix, uint32_t var, NodeBounds *out);

/* ---- states and programs ---- */

/* KV: kept between the passes of one sequence, zero before the first; saved nowhere. MASTER: a parameter
 * once more, with the bits that training needs; the parameter is its rounding. CODES: a weight that is kept in few
 * bits, as `store` says; SCALE: what they are multiplied by. Both follow from the weight when it is loaded. */
typedef enum StateKind {
    SK_PARAM,
    SK_GRAD,
    SK_OPT,
    SK_BUFFER,
    SK_LOOP,
    SK_KV,
    SK_MASTER,
    SK_CODES,
    SK_SCALE
} StateKind;

/* INT8: i8[O, I] and f32[O], of the largest size of a row 127. INT4: i32[O, I / 8], eight numbers in a word, and
 * bf16[O, I / block], of the largest size of a block 7. What a product sums over is the last axis of the codes. */
typedef enum StoreKind { STORE_PLAIN, STORE_INT8, STORE_INT4 } StoreKind;

typedef enum InitKind {
    INIT_ZEROS,
    INIT_ONES,
    INIT_CONSTANT,
    INIT_NORMAL,
    INIT_TRUNCATED,
    INIT_UNIFORM,
    INIT_KAIMING_UNIFORM,
    INIT_XAVIER_UNIFORM,
    INIT_ORTHOGONAL, /* rows or columns, the fewer, are orthonormal; axes behind the first are one */
    INIT_EYE,
    INIT_ROW_MEAN, /* rows that no weights fill: the mean of those they fill */
    INIT_FUNCTION, /* of the element's indices */
    INIT_COPY      /* as the state `of` when the run begins */
} InitKind;

/* Filled by the runtime on the host in f64, keyed by (seed, path, element). */
typedef struct Init {
    InitKind kind;
    double a; /* constant: value; normal, truncated: std; uniform, kaiming_uniform: bound or gain */
    const void *function; /* FUNCTION: what the front calls */
    const double *values; /* FUNCTION: over these axes in order; see front_first_values */
    uint32_t axes;        /* bit k: the function reads the index of axis k */
} Init;

typedef struct State {
    uint32_t id;
    StateKind kind;
    Sym path;         /* "fc1.weight" (PARAM); optimizer states: "fc1.weight.m" */
    Sym key;          /* name in safetensors files; NULL for states that are not weights */
    const Type *type; /* dims are constants */
    Init init;
    bool trained; /* PARAM */
    uint32_t
        of; /* GRAD, OPT, MASTER: the parameter's id; SCALE: that of the codes; else its own id */
    StoreKind store; /* CODES */
    uint32_t axis;   /* CODES: of the weight as a file has it, what products sum over */
    Span span;
    Span chosen; /* PARAM, trained: the text that says so, for messages; may be zero */
} State;

/* A module whose values are computed again in the backward half. */
typedef struct RematRule {
    Sym path;        /* of the module; values of its submodules are its own */
    const Sym *keep; /* names of composites whose results are kept all the same */
    uint32_t nkeep;
} RematRule;

typedef struct Program {
    Ir *ir;
    Sym name;
    VEC(State *) states;
    VEC(Graph *) entries; /* "micro", "update", "eval:NAME", "call:FN" */
    VEC(RematRule) remat; /* of clauses */
    Map *grads;           /* parameter -> its GRAD state; made by program_state */
    bool accumulates; /* several passes make a step: gradients add up from the slot `first` on */
    /* `micro = auto`: the most rows of the batch, which may be cut into passes; else 0 */
    int64_t divides;
    bool packed; /* of such a program: samples share rows, and the last pass may have fewer */
    const Node
        *meet; /* of such a program, in `micro`: where rows meet, so that they may not; or NULL */
} Program;

Program *program_new(Ir *ir, Sym name);
State *program_state(Program *p, const State *proto);     /* assigns the id */
Graph *program_entry(const Program *p, const char *name); /* NULL when absent */
/* The GRAD state of a parameter, or NULL. */
const State *program_grad(const Program *p, uint32_t param);

/* ---- text (print.c, parse.c), verification (verify.c) ---- */

/* Canonical text, one node per line; graph_parse(graph_print(g)) prints the same. Defs used by the
 * graph are printed before it, once each. p may be NULL (states are then printed by number).
 *
 *   sym B 1..512
 *   def @rms composite visible=1 vjp=@rms_vjp {
 *     %0 = input f32[B, 64] name="x"
 *     ...
 *     result "y" %5
 *   }
 *   graph micro {
 *     state 3 param "fc1.weight" f32[256, 784]
 *     %0 = input f32[B, 784] name="x"
 *     %3 = sum f32[B] %2 axes=[1] @layers.0.mlp
 *     result "loss.sum" %7
 *     write 4 %9
 *   }
 *
 * A node's note follows it, line by line behind `#`. A second def of one name is @rms.2. */
void graph_print(const Graph *g, const Program *p, StrBuf *sb);
/* The blocks of d and of the defs it uses, without sym lines. */
void def_print(const Def *d, StrBuf *sb);
/* The line of one node, without its end; defs by name. */
void node_print(const Ir *ir, const Node *n, StrBuf *sb);
/* Reads what graph_print wrote; diagnostics (E0102 ...) and NULL on bad text. Never BUGs on input.
 * Symbols of the session that have the printed name and range are used again. */
Graph *graph_parse(Ir *ir, Arena *arena, uint32_t source_file);
/* Every invariant of this header; BUGs with the node when one is broken. */
void graph_verify(const Graph *g, const Program *p);

/* ---- reference interpreter (interp.c) ---- */

typedef struct InterpBinding {
    const int64_t *sym_values; /* by DimSym id; may be NULL if the graph has no symbols */
    bool bits;
    Value *const *inputs; /* one per g->inputs */
    Value *const *states; /* by state id; NULL entries for states the graph does not read */
    double (*slot)(void *user, const char *name);
    void *user;
} InterpBinding;

Value *value_new(Arena *arena, const Type *type, const int64_t *sym_values); /* zeroed */
/* Runs g, composites and groups through their bodies. results/writes are in g's order.
 *
 * Integers wrap. In f64 casts between floats are the identity. With `bits` every node has the numbers of its type:
 * an elementwise operation is computed in f64 and rounded once (so + - * / sqrt give the bits of the
 * machine), and folds, prefix sums and contractions go through their
 * elements in row-major order with an accumulator of the result's type, products by fused
 * multiply-add. Inputs, states and slots are numbers of their types already. */
void interp_run(const Graph *g, Arena *arena, const InterpBinding *b, Value **results,
                Value **writes);

#endif
