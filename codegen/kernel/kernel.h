/* kernel.h: the loop IR of one kernel, between a fused group and its C text.
 *
 * Kernel = buffers, phases, a loop tree of statements over scalar and vector expressions. A phase is
 * one C function called once per task; its tasks are independent, so results do not depend on which
 * thread runs what. Expressions are trees in the kernel arena; index arithmetic is int64.
 *
 * Lanes: a Value type is scalar (one element) or vector (W lanes, W fixed per kernel). A vector LOAD
 * or STORE takes a lane count expression (NULL: all W); lanes beyond it load as 0 and are not stored. */
#ifndef MDL_KERNEL_H
#define MDL_KERNEL_H

#include "ir.h"

typedef enum KType {
    KT_F32,
    KT_F64,
    KT_I32,
    KT_I64,
    KT_BOOL, /* scalars; index arithmetic is I64; BOOL is int 0/1 */
    KT_VF,
    KT_VI, /* W lanes of f32; of i32 (also masks: 0 or -1) */
    KT_PTR /* address of a buffer element (helpers only) */
} KType;

typedef enum KExprKind {
    KE_CONST,  /* num */
    KE_VAR,    /* name */
    KE_EXTENT, /* Dim: a constant, or a polynomial of argument-block slots */
    KE_SLOT,   /* argument-block value by name ("lr", "step") */
    KE_LOAD,   /* buffer[index], `lanes` for vectors; stride 1 */
    KE_ADDR,   /* &buffer[index] */
    KE_TEXT,   /* template with %0.. operands (a scalar op, a helper call); the op's C column */
    KE_INDEX   /* integer + - * / % min max of a, b (op in `iop`) */
} KExprKind;

typedef enum KIndexOp { KI_ADD, KI_SUB, KI_MUL, KI_DIV, KI_MOD, KI_MIN, KI_MAX } KIndexOp;

typedef struct KExpr KExpr;
struct KExpr {
    KExprKind kind;
    KType type;
    double num;
    Sym name;           /* VAR, SLOT */
    const Dim *dim;     /* EXTENT */
    uint32_t buf;       /* LOAD, ADDR: index into Kernel.bufs */
    const KExpr *index; /* LOAD, ADDR */
    const KExpr *lanes; /* LOAD of a vector: I64 or NULL */
    bool aligned;       /* LOAD of a vector: its address is a multiple of W elements */
    KIndexOp iop;
    const char *text; /* TEXT */
    uint32_t narg;
    const KExpr *const *arg; /* TEXT operands; INDEX: two */
};

typedef enum KStmtKind {
    KS_FOR,   /* for (name = lo; name < hi; name += step) body; unroll, rolled: pragmas */
    KS_IF,    /* if (cond) body */
    KS_LET,   /* const T name = value */
    KS_VAR,   /* T name = value (assigned later) */
    KS_SET,   /* name = value */
    KS_STORE, /* buffer[index] = value, `lanes` for vectors */
    KS_CALL,  /* value is a TEXT expression of no result */
    KS_LOCAL  /* a local array: T name[count], 64-byte aligned; usable as a buffer */
} KStmtKind;

typedef struct KStmt KStmt;
typedef VEC(KStmt *) KBlock;
struct KStmt {
    KStmtKind kind;
    Sym name;
    KType type;
    const KExpr *lo, *hi, *step;
    bool unroll, rolled; /* FOR: copies of the body pay; would only take registers */
    const KExpr *value;  /* LET, VAR, SET, STORE, CALL, IF condition */
    uint32_t buf;
    const KExpr *index;
    const KExpr *lanes;
    bool aligned;  /* STORE, as of LOAD */
    int64_t count; /* LOCAL */
    Span span;     /* the program's text that asks for it, and the path of the module; or none */
    Sym path;
    KBlock body;
};

typedef enum KBufKind {
    KB_IN,        /* argument i, read only */
    KB_OUT,       /* argument i, written (may be the same memory as an IN argument, same element) */
    KB_TABLE,     /* pointer j of the current table row */
    KB_WORKSPACE, /* shared by all tasks of a launch; byte offset `offset` */
    KB_SCRATCH,   /* of this thread; byte offset `offset` */
    KB_SHARED,    /* of a block of threads, on a GPU; byte offset `offset` */
    KB_LOCAL      /* declared by KS_LOCAL */
} KBufKind;

typedef struct KBuf {
    KBufKind kind;
    Sym name;
    DType dtype;
    uint32_t arg;     /* IN, OUT: argument number; TABLE: pointer number in the row */
    uint64_t offset;  /* WORKSPACE, SCRATCH */
    const Dim *count; /* elements (for the verifier) */
    uint32_t align;   /* proven alignment of element 0 in bytes */
} KBuf;

/* On a GPU a phase is one launch, and a task is run by a team: a block of threads, a warp of it, or one
 * thread alone. */
typedef struct KPhase {
    Sym name;         /* C function */
    const Dim *tasks; /* the function's `task` runs over [0, tasks) */
    uint32_t threads; /* of a block; 0: on the CPU */
    uint32_t team;    /* threads that share a task: 1, 32 (a warp) or `threads` */
    uint32_t blocks;  /* a multiprocessor is to hold at once, which bounds registers; 0: no wish */
    uint32_t shared;  /* bytes of shared memory of a block */
    uint32_t
        stays; /* > 0: blocks that a GPU holds at once share the tasks, in clusters of so many: no
                         `task` is given */
    /* for the launch before it, which need not have ended when it begins */
    bool waits;
    const char *doc;
    /* before it waits, of a phase whose teams are blocks, all of whose tasks are known when compiled: asks for memory
     * that will be read, and touches none */
    KBlock ahead;
    KBlock body;
} KPhase;

/* What a GPU copies in boxes (TMA): a buffer of the arguments as a tensor of 2 or 3 dimensions, from the
 * innermost on. Number i is `MDL_MAPS + i` of the text. */
typedef struct KMap {
    uint32_t buf, rank;
    const Dim *first; /* elements before the first one */
    const Dim *dim[3], *stride[2];
    uint32_t box[3];
    uint32_t swizzle; /* bytes */
} KMap;

typedef struct Kernel {
    Arena *arena;
    Ir *ir;
    Sym name;
    const char *doc;  /* model path and group, for the head comment */
    uint32_t width;   /* W */
    uint32_t threads; /* of a block, for phases that say no other; 0: on the CPU */
    VEC(KBuf) bufs;
    VEC(KPhase) phases;
    VEC(KMap) maps;
    uint32_t again;              /* how many more times all phases run; kernel_round() counts */
    uint64_t scratch, workspace; /* bytes */
    uint32_t narg;               /* BUF arguments */
    bool table;                  /* has a TABLE argument */
    int64_t grain;               /* with a table: elements of a row that are one task */
    Map *names;                  /* kernel_name: hash of a stem -> its use count */
    /* Work at the upper end of DYN dims: operations; of these, in products, and in products of 16-bit operands. */
    double flops, products, matrix, bytes;
    Span span; /* of the statements that are added next, like `path` */
    Sym path;
} Kernel;

/* ---- builder (kernel.c) ---- */

Kernel *kernel_new(Arena *arena, Ir *ir, Sym name, uint32_t width);
uint32_t kernel_buf(Kernel *k, const KBuf *proto);
uint32_t kernel_scratch(Kernel *k, const char *name, DType dtype, int64_t count); /* 64-aligned */
uint32_t kernel_workspace(Kernel *k, const char *name, DType dtype, const Dim *count);
/* A task per thread on a GPU; set ->team for others. */
KPhase *kernel_phase(Kernel *k, const char *suffix, const Dim *tasks, const char *doc);
/* `count` elements of the shared memory of the phase that was made last. */
uint32_t kernel_shared(Kernel *k, const char *name, DType dtype, int64_t count);
const KExpr *kernel_round(Kernel *k); /* 0 .. again */
/* The number of the map. */
uint32_t kernel_map(Kernel *k, const KMap *map);

/* Expressions; constants fold, x*1, x+0, x*0, 0/x simplify. */
const KExpr *ke_num(Kernel *k, KType t, double v);
const KExpr *ke_int(Kernel *k, int64_t v);
const KExpr *ke_var(Kernel *k, KType t, Sym name);
const KExpr *ke_extent(Kernel *k, const Dim *d);
const KExpr *ke_slot(Kernel *k, KType t, Sym name);
const KExpr *ke_index(Kernel *k, KIndexOp op, const KExpr *a, const KExpr *b);
const KExpr *ke_load(Kernel *k, uint32_t buf, const KExpr *index); /* scalar of the buffer's type */
const KExpr *ke_vload(Kernel *k, uint32_t buf, const KExpr *index, const KExpr *lanes);
const KExpr *
ke_aligned(Kernel *k,
           const KExpr *load); /* of a whole vector: its address is known to be aligned */
/* a < b, a && b ... of I64 or BOOL operands: BOOL. op is C's spelling. */
const KExpr *ke_test(Kernel *k, const char *op, const KExpr *a, const KExpr *b);
/* The value of a constant integer expression. */
bool ke_is_int(const KExpr *e, int64_t *v);
const KExpr *ke_addr(Kernel *k, uint32_t buf, const KExpr *index);
/* %0 %1 ... become the operands; %t becomes the suffix of the last operand's type (of `t` itself
 * when there is none): _f32 _f64 _i32 _i64 _bool _vf _vi. So comparisons, tests and select find the
 * helper of the values they look at. */
const KExpr *ke_text(Kernel *k, KType t, const char *template_text, const KExpr *const *arg,
                     uint32_t n);

/* Statements are appended to a block; names are made unique by the caller (kernel_name). */
Sym kernel_name(Kernel *k, const char *stem); /* stem, stem_1, ... */
KStmt *ks_for(Kernel *k, KBlock *b, Sym name, const KExpr *lo,
              const KExpr *hi); /* step 1; set ->step, ->unroll */
KStmt *ks_if(Kernel *k, KBlock *b, const KExpr *cond);
const KExpr *ks_let(Kernel *k, KBlock *b, const char *stem,
                    const KExpr *value); /* returns the VAR; a constant needs none */
const KExpr *ks_var(Kernel *k, KBlock *b, const char *stem, const KExpr *init);
void ks_set(Kernel *k, KBlock *b, const KExpr *var, const KExpr *value);
KStmt *ks_store(Kernel *k, KBlock *b, uint32_t buf, const KExpr *index,
                const KExpr *value); /* of a vector: all lanes; set ->lanes */
void ks_call(Kernel *k, KBlock *b, const KExpr *call);
uint32_t ks_local(Kernel *k, KBlock *b, const char *stem, KType t, int64_t count);

/* ---- types ---- */

KType ktype_of(DType dt);      /* the scalar type a value of `dt` has in registers */
KType ktype_vector(KType t);   /* F32 -> VF; I32, BOOL -> VI (BUG for others) */
bool ktype_is_vector(KType t); /* VF or VI */
const char *ktype_suffix(KType t);

/* ---- printer and verifier ---- */

/* Readable dump, not C. */
void kernel_print(const Kernel *k, StrBuf *sb);
/* Types agree, names are declared before use, buffers and arguments exist, stores go to writable
 * buffers, loops have positive steps. BUGs with the kernel printed when broken. */
void kernel_verify(const Kernel *k);

#endif
