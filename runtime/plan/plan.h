/* plan.h: the contract between compiler and runtime: plain data, no pointers, no device ordinals.
 *
 * A plan is one stage or one inference program: symbols, tensors with offsets, states, kernels with
 * source text, entries (steps), and what training needs (schedule, data, evals). One little-endian
 * file: a header, then one 64-byte aligned array per row of plan.def, mmapped as it is. Structs have
 * fixed-width fields only; references are indices; strings are offsets into the text section
 * (0 = ""). Everything is checked on load, so the runtime indexes without looking. */
#ifndef MDL_PLAN_H
#define MDL_PLAN_H

#include "base.h"
#include "dtype.h"

enum {
    PLAN_VERSION = 13,
    PLAN_MAX_RANK = 8,
    PLAN_ROW_BUFS = 12,
    PLAN_MAX_TARGETS = 8,
    PLAN_MAX_MAPS = 16,
    PLAN_MAX_CLUSTER = 2
};
#define PLAN_NONE UINT32_MAX /* no index */

typedef uint32_t PStr; /* byte offset into the text section, NUL-terminated */

typedef struct PlanSym {
    PStr name;
    uint32_t slot; /* argument-block slot that holds its extent */
    int64_t lo, hi, divisor;
} PlanSym;

typedef struct PlanTerm { /* coef * product of syms */
    int64_t coef;
    uint32_t nsym;
    uint32_t sym[4];
    uint32_t pad;
} PlanTerm;

typedef struct PlanDim { /* sum of terms */
    uint32_t term0, nterm;
} PlanDim;

typedef enum PlanArena {
    PA_STATE, /* persistent: parameters, gradients, optimizer, running sums */
    PA_TEMP,  /* per entry call; entries share it */
    PA_INPUT, /* bound by the caller for each call */
    PA_MOVING /* inside a loop: elsewhere in each round */
} PlanArena;

/* Where a moving tensor is in round i of n of its loop, and so what it stands for. */
typedef enum PlanMoveKind {
    PM_SLICE, /* slice i of a tensor along axis 0, counted from the end in a reversed loop */
    PM_OLD,   /* of a carry: what the round gets */
    PM_NEW    /* of a carry: what the round makes */
} PlanMoveKind;

typedef struct PlanMove {
    uint32_t kind; /* PlanMoveKind */
    uint32_t loop; /* into loops */
    uint32_t of;   /* SLICE: tensor, fixed or of a loop around this one; else: into carries */
} PlanMove;

/* A value that goes round, in two buffers by turns, so that the last round writes `last`. None of the
 * three moves in the loop itself. A loop of no rounds copies `init` to `last`. */
typedef struct PlanCarry {
    uint32_t init, last, other; /* tensors */
} PlanCarry;

typedef struct PlanLoop {
    uint32_t length; /* into dims: rounds */
    uint32_t reverse;
    uint32_t carry0, ncarry;
} PlanLoop;

typedef struct PlanTensor {
    PStr name, path;
    uint32_t dtype; /* DType */
    uint32_t rank;
    uint32_t dim[PLAN_MAX_RANK]; /* into dims */
    uint32_t arena;              /* PlanArena */
    uint32_t pad;
    uint64_t offset; /* bytes into the arena, 64-aligned; MOVING: into moves */
    uint64_t bytes;  /* planned, for the upper end of DYN dims */
} PlanTensor;

typedef enum PlanStateKind {
    PS_PARAM,
    PS_GRAD,
    PS_OPT,
    PS_BUFFER,
    PS_LOOP,
    PS_KV,
    PS_MASTER,
    PS_CODES, /* a weight in few bits; see PlanStore */
    PS_SCALE  /* of the codes `of` */
} PlanStateKind;

/* How a weight of floats [O, I] (`axis` 1) or [I, O] (0) is kept. INT8: codes i8[O, I], scales f32[O].
 * INT4: codes i32[O, I / 8], number 8 w + k in bits 4 k .. 4 k + 3 of word w; scales bf16[O, M], each of
 * I / M neighbours. */
typedef enum PlanStore { PLAN_STORE_PLAIN, PLAN_STORE_INT8, PLAN_STORE_INT4 } PlanStore;

typedef struct PlanState {
    uint32_t tensor;
    uint32_t kind; /* PlanStateKind */
    PStr key;      /* name in safetensors; "" for non-weights */
    uint32_t of;   /* GRAD, OPT: state index of the parameter; SCALE: of the codes */
    uint32_t init; /* enum PlanInit */
    uint32_t trained;
    double init_a;
    uint32_t value0; /* TABLE: the first of its values */
    uint32_t axes;   /* TABLE: bit k: they depend on axis k; one for each element of these axes */
    uint32_t store;  /* CODES: PlanStore */
    uint32_t axis;   /* CODES: of the weight in its file, that along which a row goes */
} PlanState;

typedef enum PlanInit {
    PI_ZEROS,
    PI_ONES,
    PI_CONSTANT,
    PI_NORMAL,
    PI_TRUNCATED,
    PI_UNIFORM,
    PI_KAIMING_UNIFORM,
    PI_XAVIER_UNIFORM,
    PI_ORTHOGONAL,
    PI_EYE,
    PI_TABLE,
    PI_LOADED, /* the mean of rows that weights fill: nothing without them */
    PI_COPY    /* as the state `of` when the run begins */
} PlanInit;

typedef enum PlanTargetKind { PLAN_CPU, PLAN_CUDA } PlanTargetKind;

/* What kernels were made for. Steps, tensors and offsets are the same for all targets of a plan: the
 * first one decided them. */
typedef struct PlanTarget {
    uint32_t kind;            /* PlanTargetKind */
    PStr isa;                 /* "avx512", "avx2", "generic"; "sm_80", "sm_90a" */
    uint64_t prelude_hash;    /* of what kernels included when it was made; 0: not known */
    uint64_t workspace_bytes; /* the most that a variant needs */
} PlanTarget;

typedef struct PlanKernel {
    PStr name, cls, group; /* group: printed Def and fusion reasons, for people */
    uint32_t variant0;     /* into variants: one for each target, in their order */
    uint64_t flops, bytes; /* at the upper end of DYN dims */
    uint64_t products;     /* of flops, in products of matrices; ..  */
    uint64_t matrix;       /* .. and of these, in products of 16-bit operands */
} PlanKernel;

/* A kernel as text for one target, with one function per phase. Of the CPU:
 *     void SYMBOL(const MdlArgs *a, int64_t task, void *scratch);
 * A phase runs its tasks (any order, any thread), then the next phase starts. All of that happens
 * `again` more times, with a->round counting up from 0. */
typedef struct PlanVariant {
    PStr source;
    uint32_t phase0, nphase, again;
    uint32_t map0, nmap;   /* into maps */
    uint32_t gemm0, ngemm; /* into gemms: at most one, which a GPU runs in place of the text */
    uint64_t scratch;      /* bytes per thread */
    uint64_t workspace;    /* bytes shared by all tasks of a launch; contents die with it */
    uint64_t hash;         /* of source without #line (kernellines.h) */
    int64_t grain;         /* with a table: elements of a row that are one task; else 0 */
} PlanVariant;

typedef struct PlanPhase {
    PStr symbol;
    uint32_t tasks;   /* into dims: number of tasks */
    uint32_t threads; /* of a block of a GPU; 0: tasks of the CPU */
    uint32_t team;    /* threads of a block that share a task */
    uint32_t shared;  /* bytes of shared memory of a block */
    uint32_t blocks;  /* that a multiprocessor is to hold at once; 0: no wish */
    uint32_t
        stays; /* > 0: no more blocks than the GPU holds at once share the tasks, in clusters of so many */
    /* 1: each thread waits first for the launch before, so that it may be launched before that has ended. */
    uint32_t waits;
} PlanPhase;

/* What a GPU copies in boxes (TMA): an argument as a tensor of 2 or 3 dimensions, from the innermost on, whose
 * elements lie together. */
typedef struct PlanMap {
    uint32_t arg; /* of the BUF arguments of a launch, in their order; PLAN_NONE: the workspace */
    uint32_t dtype;
    uint32_t rank;
    uint32_t swizzle;   /* bytes: 0, 32, 64 or 128 */
    uint32_t first;     /* into dims: elements before the first one */
    uint32_t dim[3];    /* into dims */
    uint32_t stride[2]; /* into dims: elements from one to the next in dimension 1, 2 */
    uint32_t box[3];    /* elements */
    uint32_t pad;
    uint64_t offset; /* bytes, before `first` */
} PlanMap;

/* A product of two matrices by cuBLASLt, in place of a kernel of the same result: into = left right + add. All rows are
 * lines of memory: element (i, j) of a matrix is i * ld + j, of a turned one j * ld + i. Or of `batch` pairs of them,
 * whose members begin so many elements apart, and whose results (and what is added) lie side by side. */
typedef struct PlanGemm {
    uint32_t operand, result; /* DType: of left and right; of add and into */
    uint32_t left, right;     /* BUF arguments of a launch: m x k, k x n .. */
    uint32_t add, into;       /* .. m x n, without gaps; add: PLAN_NONE: zeros */
    uint32_t turn_left, turn_right;
    int64_t m, n, k;
    int64_t ld_left, ld_right;
    int64_t batch, apart_left, apart_right; /* of one pair: 1, 0, 0 */
    uint64_t library;                       /* its version, which the algorithm is of */
    uint64_t algorithm[8];                  /* cublasLtMatmulAlgo_t */
    uint64_t workspace; /* bytes that it needs; those of the variant are enough */
} PlanGemm;

typedef enum PlanArgKind {
    PG_BUF,  /* tensor: buf[i] = its address + offset */
    PG_TABLE /* rows row0..row0+nrow: the kernel's table */
} PlanArgKind;

typedef struct PlanArg {
    uint32_t kind;
    uint32_t tensor;
    uint64_t offset;
    uint32_t row0, nrow;
} PlanArg;

/* One tensor set of a multi-tensor kernel; MdlRow in the prelude has the addresses, and the first task of
 * the row, which follows from the grain of the variant. */
typedef struct PlanRow {
    uint32_t tensor[PLAN_ROW_BUFS]; /* PLAN_NONE where unused */
    int64_t n;                      /* elements */
} PlanRow;

typedef enum PlanStepKind {
    PT_LAUNCH,
    PT_LOOP, /* the steps up to its END are run once a round */
    PT_END
} PlanStepKind;

typedef struct PlanStep {
    uint32_t kind;   /* PlanStepKind */
    uint32_t kernel; /* LAUNCH: into kernels; LOOP, END: into loops */
    uint32_t arg0, narg;
} PlanStep;

/* 8-byte slots of the argument block. */
/* SEED: of random numbers, below 2^53; PROGRESS: 0 to 1 over the stage; LEN: rows that growing states have. */
typedef enum PlanSlotKind {
    PB_SYM,
    PB_STEP,
    PB_LR,
    PB_FIRST,
    PB_ROW0,
    PB_SEED,
    PB_PROGRESS,
    PB_LEN
} PlanSlotKind;

typedef struct PlanSlot {
    PStr name;
    uint32_t kind; /* PlanSlotKind: LR and PROGRESS are f64, all others i64 */
} PlanSlot;

typedef struct PlanBinding { /* an input or a result of an entry */
    PStr name;
    uint32_t tensor;
} PlanBinding;

typedef struct PlanEntry {
    PStr name; /* "micro", "update", "eval:test", "call:forward" */
    uint32_t step0, nstep;
    uint32_t input0, ninput;   /* into bindings */
    uint32_t result0, nresult; /* into bindings */
    uint32_t pad;
} PlanEntry;

/* ---- data and training ---- */

/* Kinds of sources; PD_COUNT is their number. */
typedef enum PlanSourceKind {
#define SOURCE(id, name) PD_##id,
#include "sources.def"
#undef SOURCE
    PD_COUNT
} PlanSourceKind;

typedef struct PlanColumn { /* one column of a source: row.NAME */
    PStr name;
    PStr file;     /* path as written in the program */
    PStr member;   /* npz: array inside the archive */
    uint32_t text; /* cells are read as text, not as numbers */
} PlanColumn;

/* Operations on one row at data time; RO_COUNT is their number. */
typedef enum RowOp {
#define ROWOP(id, name, pops, doc) RO_##id,
#include "rowops.def"
#undef ROWOP
    RO_COUNT
} RowOp;

/* The code of a field never holds more than this many values. */
enum { PLAN_ROW_STACK = 64 };

enum { PLAN_MAX_WORKERS = 64 };

/* Postfix code over one row (rowops.def); values are f64 arrays with a shape. */
typedef struct PlanCode {
    uint32_t op; /* RowOp */
    uint32_t a;  /* column number, axis index ... as the row of rowops.def says */
    double num;
} PlanCode;

/* What a field is: CODE computes it from columns, the others are of tokens: of a text, else of the source. */
typedef enum PlanFieldKind {
    PF_CODE,
    PF_TOKENS,
    PF_TARGETS,
    PF_LEARN,
    PF_VALID,
    PF_POS,
    PF_SEG,
    PF_LAST
} PlanFieldKind;

typedef struct PlanField { /* a field of the batch record */
    PStr name;
    uint32_t kind; /* PlanFieldKind */
    uint32_t dtype, rank;
    uint32_t dim[PLAN_MAX_RANK]; /* extents of one row, as they are (not into dims) */
    uint32_t code0, ncode;
    uint32_t text; /* of tokens: which text of its data, from 1; 0: the source gives them */
} PlanField;

typedef enum PlanOverlong { PO_TRUNCATE, PO_DROP, PO_ERROR } PlanOverlong;

/* A text of each row, as tokens: `<eos>` ends it where the tokenizer has one. */
typedef struct PlanText {
    PStr name;
    uint32_t code0, ncode; /* leaves a text */
    uint32_t tokenizer;
    uint32_t overlong; /* PlanOverlong: what becomes of one of more than `length` tokens */
    uint32_t pad;
    int64_t length; /* tokens of a row of the batch */
} PlanText;

typedef enum PlanTokenizerKind { PT_BYTES } PlanTokenizerKind;

typedef struct PlanSpecial { /* a token that no text produces */
    PStr text;
    uint32_t id;
} PlanSpecial;

typedef struct PlanTokenizer {
    uint32_t kind;  /* PlanTokenizerKind */
    uint32_t vocab; /* tokens are 0 .. vocab - 1, specials included */
    uint32_t special0, nspecial;
    uint32_t eos, pad; /* tokens, or PLAN_NONE */
} PlanTokenizer;

/* Texts joined to one stream of tokens, cut into rows (stream.c). */
typedef struct PlanStream {
    PStr files;         /* a path or a pattern, as in the program */
    uint32_t tokenizer; /* PLAN_NONE: the files hold tokens */
    uint32_t dtype;     /* their integers; i16 holds 0 to 65,535 */
    uint32_t pad;
    int64_t length, stride; /* stride 0: rows follow each other */
    double from, to;        /* shares of the stream */
} PlanStream;

typedef struct PlanData {
    PStr name, dir;  /* dir: folder of the .mdl file */
    uint32_t source; /* PlanSourceKind */
    uint32_t column0, ncolumn;
    uint32_t field0, nfield;
    uint32_t shuffle;
    uint32_t stream;       /* TEXT, BIN: into streams */
    uint32_t part0, npart; /* MIX: its parts, whose fields it has */
    uint32_t text0, ntext; /* those of its fields; a mix has those of its parts */
    uint32_t packs;        /* 1: the texts of a batch share rows; no other fields */
    uint32_t pad;
    int64_t limit;    /* rows that are left, the first ones; -1: all */
    double share;     /* the same as a part of all, below 1; 0: all */
    uint32_t filters; /* 1: the field behind the last one is a bool: rows with 0 are left out */
    uint32_t workers; /* threads that make batches; 0: as the loader likes */
} PlanData;

/* MINUTES: of actions alone. */
typedef struct PlanMixPart { /* a part of a mix */
    uint32_t data;           /* before the mix in datas, and no mix itself */
    uint32_t pad;
    double weight;
} PlanMixPart;

typedef enum PlanUnit { PU_STEPS, PU_EPOCHS, PU_SHARE, PU_REST, PU_MINUTES } PlanUnit;
typedef enum PlanCurve { PC_HOLD, PC_LINEAR, PC_COSINE, PC_SQRT } PlanCurve; /* SQRT: 1 - sqrt(t) */

typedef struct PlanSegment { /* of the learning-rate schedule: factor f0 -> f1 */
    uint32_t curve, unit;
    double length; /* in unit; REST: what is left */
    double f0, f1;
    uint32_t absolute; /* length counts from the start of the run: where the segment ends */
    uint32_t pad;
} PlanSegment;

typedef struct PlanMetric {
    PStr name;
    uint32_t sum, weight; /* result numbers of the entry */
} PlanMetric;

typedef struct PlanEval {
    PStr name;
    uint32_t entry, data;
    uint32_t metric0, nmetric;
    uint32_t pad;
    int64_t batch; /* rows per call */
    int64_t limit; /* -1: all */
} PlanEval;

typedef struct PlanGenerate { /* a `generate` block */
    PStr name;
    uint32_t prefill, decode; /* entries: a piece of the prompt; one token more */
    uint32_t next;            /* LOOP state i32[1, 1] that both write */
    uint32_t tokenizer;
    uint32_t pad;
    int64_t context; /* tokens that are kept */
    int64_t chunk;   /* most tokens of one prefill */
    int64_t max_tokens;
    uint64_t seed;
} PlanGenerate;

typedef enum PlanActionKind { PX_EVAL, PX_SAVE, PX_SAMPLE } PlanActionKind;

typedef struct PlanAction { /* every LENGTH UNIT: ... */
    uint32_t unit;          /* STEPS, EPOCHS or MINUTES */
    uint32_t kind;
    double length;
    uint32_t eval;     /* EVAL: into evals; SAVE: of `best`, or PLAN_NONE */
    uint32_t metric;   /* SAVE with `best`: into metrics */
    uint32_t greater;  /* SAVE with `best`: the greatest is the best, else the least */
    uint32_t keep;     /* SAVE: checkpoints to keep, 0 = all */
    uint32_t generate; /* SAMPLE: into generates */
    PStr prompt;       /* SAMPLE */
} PlanAction;

typedef struct PlanTap { /* tap(x, "name"): its mean is logged */
    PStr name;
    uint32_t sum, weight; /* LOOP states that micro writes */
} PlanTap;

typedef enum PlanOnNan { PN_STOP, PN_SKIP } PlanOnNan;
/* Bits of PlanRun.carry: what a stage inherits besides weights. Of PlanRun.log_to: where it logs. */
enum { PLAN_CARRY_OPTIMIZER = 1, PLAN_CARRY_DATA = 2 };
enum { PLAN_LOG_CONSOLE = 1, PLAN_LOG_JSONL = 2, PLAN_LOG_TENSORBOARD = 4 };

typedef struct PlanRun { /* at most one */
    PStr stage, model;
    uint32_t micro, update; /* entries */
    uint32_t data;
    uint32_t nsegment, segment0;
    uint32_t naction, action0;
    uint32_t log_unit; /* PlanUnit: STEPS, EPOCHS or MINUTES */
    int64_t batch;
    int64_t steps;  /* 0: from epochs */
    double epochs;  /* 0: from tokens */
    int64_t tokens; /* learned ones: as many steps as learn so many on average */
    double lr;
    double log_length; /* a line of the log every so many */
    uint64_t seed;
    uint32_t loss_sum, loss_weight; /* LOOP states that micro writes */
    uint32_t keep;                  /* checkpoints to keep */
    uint32_t gnorm;                 /* LOOP state with the global norm, or PLAN_NONE */
    uint32_t finite; /* LOOP state: 1 where `update` changed anything, else 0; or PLAN_NONE */
    uint32_t weigh;  /* entry that runs over all passes before `micro` does, or PLAN_NONE */
    uint32_t on_nan; /* PlanOnNan */
    int64_t rows;    /* of one pass; `batch` is a multiple */
    uint32_t carry, log_to; /* bits */
    uint32_t
        factor; /* of the learning rate, instead of segments: a field f64[] over step and total; PLAN_NONE */
    uint32_t pad;
} PlanRun;

typedef struct PlanMeta { /* exactly one */
    PStr name;            /* program name */
    PStr source_path;     /* the .mdl file as given */
    PStr compiler;        /* version of mdl */
    uint32_t pad;
    uint64_t source_hash;
    uint64_t state_bytes, temp_bytes;
} PlanMeta;

/* A loaded or built plan: one array per row of plan.def. Read-only after plan_load/plan_finish. */
typedef struct Plan {
#define SECTION(name, T) \
    const T *name;       \
    uint32_t n##name;
#include "plan.def"
#undef SECTION
    void *map; /* mmapped file, or NULL */
    size_t map_bytes;
    void *copy;    /* plan_from_bytes with unaligned data: our own copy, or NULL */
    uint64_t hash; /* of the file's contents */
} Plan;

/* ---- building (planbuild.c): used by front (data, run) and codegen (the rest) ---- */

typedef struct PlanBuilder {
    Arena *arena;
#define SECTION(name, T) VEC(T) name;
#include "plan.def"
#undef SECTION
    Map *interned; /* strings */
} PlanBuilder;

#ifdef __cplusplus
extern "C" {
#endif

PlanBuilder *planb_new(Arena *arena);
PStr planb_text(PlanBuilder *b, const char *text); /* interned; NULL gives 0 */
/* The target's number. */
uint32_t planb_target(PlanBuilder *b, PlanTargetKind kind, const char *isa);
/* The bytes of the finished file in the builder's arena. Needs exactly one meta row. */
Bytes planb_finish(PlanBuilder *b);
/* finish + atomic write. */
bool planb_write(PlanBuilder *b, const char *path, Err *err);

/* ---- loading, checking, printing ---- */

/* Maps and verifies a plan file. ERR_FILE: not readable; ERR_DATA: not a plan, other version,
 * truncated, checksum or contents wrong (says which). */
Plan *plan_load(const char *path, Err *err);
/* The same for bytes in memory (kept by the caller, 64-byte aligned not required). */
Plan *plan_from_bytes(const void *data, size_t n, Err *err);
void plan_free(Plan *plan);
/* Every index, range, offset and string of the plan; ERR_DATA with the place when one is wrong. */
bool plan_verify(const Plan *plan, Err *err);
const char *plan_text(const Plan *plan, PStr s);
int64_t plan_dim(const Plan *plan, uint32_t dim, const int64_t *syms); /* by sym index */
/* What a device with so many processors runs for so many tasks of a phase: tasks on the CPU, blocks of threads
 * on a GPU. */
int64_t plan_blocks(const PlanPhase *phase, int64_t tasks, int64_t processors);
int64_t plan_dim_hi(const Plan *plan, uint32_t dim); /* all symbols at their upper ends */
uint64_t plan_hash(const Plan *plan);                /* of the file's contents */
/* The kernel as it is for target number `target`. */
const PlanVariant *plan_variant(const Plan *plan, uint32_t kernel, uint32_t target);
const char *plan_target_kind(PlanTargetKind kind); /* "cpu", "cuda" */
/* What the plan is for: "avx2", or "avx2, sm_80" of two targets. */
void plan_put_targets(const Plan *plan, StrBuf *sb);
/* The index of an entry, eval or state by name; PLAN_NONE when absent. */
uint32_t plan_find_entry(const Plan *plan, const char *name);
uint32_t plan_find_eval(const Plan *plan, const char *name);

/* Text for `mdl dump`: which parts. */
typedef enum PlanPart {
    PP_SUMMARY = 1,
    PP_GROUPS = 2,
    PP_SOURCE = 4,
    PP_MEMORY = 8,
    PP_STEPS = 16
} PlanPart;
void plan_print(const Plan *plan, unsigned parts, StrBuf *sb);

#ifdef __cplusplus
}
#endif

#endif
