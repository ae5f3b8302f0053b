/* elab.h: private to front: evaluating the syntax tree. One evaluator does checking and elaboration:
 * compile-time values are computed, run-time values become graph nodes; every rule of the language is
 * checked where the value is made, for the actual instance, so messages have names and numbers.
 *
 *   value.c        values: constructors, printing for messages
 *   scope.c        names: std < file < instance < function frame
 *   number.c       compile-time numbers: exact rationals, symbolic integers
 *   expr.c         expressions        body.c    statements      arith.c   operators on tensors
 *   signature.c    types              unify.c   shapes, dimension variables
 *   call.c         calling functions, modules
 *   module.c       instances, members                 param.c   parameters, keys, ties
 *   initialiser.c  first values of parameters         replace.c  instances that move: new keys, `adapt`
 *   initvalues.c   those that are functions
 *   memory.c       buffers and states in program order    mode.c    train, eval, prefill, decode
 *   opdef.c        `op` -> Def with vjp               opcache.c its Defs by call
 *   capture.c      tensors that its functions read    mask.c    masks
 *   narrow.c       where 16-bit floats are rounded    limit.c   how much a program may ask for
 *   uncalled.c     functions that nothing calls
 *   equation.c     tensor equations   index.c   x[..] outside equations
 *   datum.h        values at data time: rows, images, answers      data.h, load.h   blocks as structures
 *   builtin.c      functions of the language (builtins.def)     loss.c    loss values
 */
#ifndef MDL_ELAB_H
#define MDL_ELAB_H

#include "front.h"

typedef struct Elab Elab;
typedef struct Env Env;
typedef struct File File;
typedef struct Val Val;
typedef struct Inst Inst;

/* ---- values ---- */

typedef enum VKind {
    V_POISON, /* an error was reported; accepted silently everywhere */
    V_NONE,
    V_INT,  /* compile-time integer, possibly with run-time dims (B * T): `dim` */
    V_REAL, /* other compile-time number: rational num/den when den > 0, else `f` */
    V_BOOL,
    V_STR,
    V_PERCENT,  /* 5%: f = 0.05 */
    V_QUANTITY, /* 500 steps: f, str = unit */
    V_TUPLE,
    V_LIST,
    V_TENSOR, /* a node of the current graph */
    V_LOSS,
    V_MASK,    /* masks joined by and, or, not; a single one is the CLOSURE (b, t, u) => .. */
    V_CLOSURE, /* fn, op or lambda with its scope */
    V_BUILTIN,
    V_DTYPE, /* f32 as a function */
    V_MODULE,
    V_INSTANCE,
    V_ARRAY,  /* of instances */
    V_PARAM,  /* a parameter or buffer: a tensor when used, a tie when passed */
    V_STATE,  /* a `state` of an optimizer instance */
    V_MEMORY, /* a `state` of a model's instance: read and set in program order */
    V_METHOD, /* x.set and kin: `self` and a name */
    V_RECORD, /* constructor call kept as it is: cosine(..), idx(..), normal(..) */
    V_RANGE,
    V_BLOCK,   /* data, eval, train ... by name */
    V_BATCH,   /* the b of b => .. */
    V_MODE,    /* train, eval, prefill, decode as values of `mode` */
    V_DATUM,   /* known when a batch is made: datum.h */
    V_SEGMENT, /* of a template: content, eos, token(..) */
    V_FILE     /* an imported file: `llama.Llama` */
} VKind;

typedef struct LossTerm {
    const Node *sum, *weight; /* scalars f32: sum of w*l, sum of w */
    double scale;
    const Node *by; /* one more factor, f32, or NULL */
} LossTerm;

struct Val {
    VKind kind;
    Span span;    /* of the expression that made it */
    bool is_mask; /* CLOSURE: taken as a mask, so it gives a bool */
    bool open; /* TENSOR: its node is a rounding cast that arithmetic may still undo (narrow.c) */
    union {
        const Dim *dim;
        struct {
            int64_t num, den;
            double f;
            Sym unit;
        };
        bool b;
        Sym str;
        struct {
            uint32_t n, depth; /* depth: 1 when no entry is a list */
            uint32_t total;    /* entries, and those of entries that are lists */
            bool plain;        /* only compile-time values: see val_is_plain */
            const Val *const *at;
        } list; /* TUPLE, LIST, RANGE (lo, hi) */
        const Node *node;
        struct {
            uint32_t n;
            const LossTerm *term;
        } loss;
        struct {
            OpKind op; /* AND, OR, NOT */
            const Val *a, *b;
        } mask;
        struct {
            const Ast *ast; /* FN, OP, LAMBDA, MODULE; RECORD: CALL or ID; BLOCK */
            Env *env;
        } code;
        const struct Builtin *builtin;
        DType dtype;
        Inst *inst;
        struct {
            uint32_t n;
            Inst *const *at;
        } array;
        struct Param *param;
        struct OptState *state;
        struct Memory *memory;
        struct {
            const Val *self;
            Sym name;
        } method;
        struct Batch *batch;
        const struct Datum *datum;
        const struct Segment *segment;
        Mode mode;
        File *file;
    };
};

/* The fields of a batch; a text field is a batch of its own. */
typedef struct BatchField {
    Sym name, input;  /* input: its name in the graph */
    const Type *type; /* NULL for a record */
    const Node *node; /* once it is used */
    struct Batch *record;
} BatchField;
typedef struct Batch {
    uint32_t n;
    BatchField *at;
    Graph *g;                   /* where its inputs are */
    bool text;                  /* the record of a text field: tokens, pos, .. */
    const Dim *rows, *pictures; /* of the fields; pictures: of `images`, or NULL */
} Batch;

/* A parameter or buffer of one instance. */
typedef struct Param {
    State *state;     /* in the program */
    Span span;        /* its declaration */
    Span made;        /* where its key comes from: the instance, or the declaration */
    Inst *owner;      /* whose declaration made it; others may be tied to it */
    const Type *type; /* as functions see it: rounded or widened to `float` */
} Param;

/* A state of an optimizer instance: old value, and the new one once set. */
typedef struct OptState {
    State *state;
    const Node *now;
} OptState;

/* A `state` of a model: kept from pass to pass while tokens are generated, else absent (memory.c). */
typedef struct Memory {
    const Ast *ast;
    Inst *inst;
    State *state;      /* in the program; NULL until a pass needs it */
    uint32_t appended; /* in which call of a model; 0: none */
} Memory;

struct Inst {
    const Ast *module;
    Env *env;               /* scope of the members; up = the module's file */
    Inst *up;               /* the place it was made at, or NULL: who contains whom, for cycles */
    Inst *parent;           /* the instance it is a part of now; NULL for a root */
    const struct Param *of; /* optimizer instances: the parameter they update, else NULL */
    Env *dims;              /* of these: its dimensions by name, once asked for */
    bool misfit;            /* of these: they cannot update it, which was reported */
    Sym path, key;          /* "" for the root; without a trailing dot */
    Span made;              /* its declaration, or the call */
    bool clashes;           /* a key of it was reported */
    Map *members;           /* Sym -> Val* (formals, lets once evaluated, params, subs) */
    Map *pending;           /* Sym -> Ast* of lets and fns not evaluated yet */
    Map *args;              /* Sym -> Val*: arguments by name, consumed by params (overrides) */
    VEC(Sym) names;         /* member names for suggestions */
    VEC(const Ast *) wheres;
    VEC(Param *) params; /* its own parameters and buffers, and those it ties */
    VEC(Inst *) subs;    /* its parts, in order */
    bool loose;          /* made among the arguments of a module, which takes it as a part */
    bool has_mode;       /* `freeze P { mode = .. }` */
    Mode mode;
};

/* ---- scopes ---- */

typedef enum EnvKind { ENV_STD, ENV_FILE, ENV_INSTANCE, ENV_FRAME } EnvKind;

typedef struct Binding {
    Sym name;
    const Val *value;
} Binding;

struct Env {
    EnvKind kind;
    Env *up;
    File *file;          /* FILE, STD */
    Inst *inst;          /* INSTANCE */
    VEC(Binding) locals; /* FRAME: later bindings hide earlier ones */
    Map *index;          /* of many locals: name -> where it was bound last, + 1 */
    /* FRAME */
    bool generic_float; /* op and file-level fn: `float` is the first float argument's type */
    bool has_float;
    DType float_type;
    Map *packs;                      /* Sym (".." for bare ..) -> Pack*; NULL while none */
    const Diag *lost;                /* the error that left names unbound, or NULL */
    const Ast *function;             /* FN, OP or NULL; for messages */
    Span call;                       /* where it was called */
    const struct Equation *equation; /* indices in scope, or NULL */
};

typedef struct Pack {
    uint32_t n;
    const Dim *dims[IR_MAX_RANK];
} Pack;

struct File {
    Sym name; /* "llama" */
    const char *path;
    uint32_t source; /* file number in diags */
    Ast *ast;
    Env *env;
    Map *values;    /* Sym -> Item*: let fn op module model data ... */
    Map *actions;   /* Sym -> Item*: train eval */
    VEC(Sym) names; /* of both, in order */
    bool is_std;
};

/* One top-level name of a file. */
typedef struct Item {
    const Ast *ast; /* declaration, or IMPORT_NAME / IMPORT for imported ones */
    File *file;     /* where it is declared */
    Sym name;       /* its name there */
} Item;

/* ---- the evaluator ---- */

/* What a program asks for and nothing can run yet: see not_yet. */
typedef struct Later {
    const Program *program;
    Span span;
    const char *what;
} Later;

struct Front {
    Ir *ir;
    Arena *arena;
    VEC(File *) files; /* files.at[0]: the program; then its imports */
    File *std;         /* all std files as one scope */
    Map *by_path;
    Map *builtins;         /* Sym -> Builtin */
    Map *ops;              /* Defs by call: opcache.c */
    struct Shapes *shapes; /* NULL unless asked for */
    VEC(Sym) sets;         /* overrides as given, for the hash */
    uint64_t hash;
    uint64_t work;      /* units spent on evaluation, by all Elabs: see elab_spend */
    uint64_t allowance; /* how many there are, for so many bytes of text */
    uint64_t bytes;
    Span work_span;           /* where they ran out */
    Map *unknown;             /* names by scope -> the Diag that said so */
    Map *called;              /* functions, ops and modules that were evaluated: by Ast */
    VEC(const Item *) trains; /* of the program's file, in order */
    VEC(const Item *) evals;
    Map *measured;                 /* eval blocks that were checked: by Ast */
    VEC(struct StageDef *) stages; /* of the trains, in order: stages.h */
    bool stage_errors;             /* they were reported when the stages were found */
    bool stages_wrong;             /* and some stage is not what it should be: none is elaborated */
    VEC(Later) later;
};

/* The body of an op under construction (opdef.c, capture.c). */
typedef struct OpBody {
    Graph *g, *outside;
    struct OpBody *up;       /* where `outside` is such a body itself */
    bool loops;              /* run many times: scan, fold */
    Span text;               /* of the op */
    VEC(const Node *) outer; /* nodes outside that functions given to the op read .. */
    VEC(const Node *) inner; /* .. and the inputs of the body that stand for them */
} OpBody;

/* The element types of a stage (language.md 2.9): `float` is compute; what is declared `float` is stored as
 * params; optimizers change masters, in this type; their states that are `float` are `state`. */
typedef struct Precision {
    DType compute, params, grads, master, state;
    bool tf32; /* products of f32 may round their operands */
} Precision;

struct Elab {
    Front *front;
    Ir *ir;
    Arena *arena;
    Diags *diags;
    Program *program;
    bool at_data;     /* a function of rows or images is evaluated: no graph, but a mode */
    Map *loads;       /* model block -> Loads (load.h) */
    const Ast *model; /* the block whose instance is made, or NULL */
    Precision precision;
    DType generic;  /* `float` of the op or file-level fn being evaluated, DT_COUNT outside */
    uint32_t in_op; /* > 0 in the body of an op and in its vjp */
    const struct Columns *answers; /* what `mean(a => ..)` is over, in an eval that generates */
    Graph *g;           /* where run-time values are built now; NULL: compile time only */
    OpBody *body;       /* whose g is that, or NULL */
    Mode mode;          /* of the entry; an instance may have another: mode_here */
    bool brief;         /* only looked at: what is done alike for many is done for one of them */
    bool all_train;     /* every parameter counts as trained: a function called on its own */
    Graph *entry;       /* the entry under construction, by entry_begin */
    Map *now;           /* buffers and states written so far in it: State or Memory -> Node */
    Map *draws;         /* path of an instance -> random draws in it so far */
    uint64_t ndraw;     /* of all */
    bool weights_given; /* whoever runs the program brings all weights: `load` is not looked at */
    const Dim *past;    /* rows that growing states have already; NULL: none */
    const Dim *context; /* rows that they have room for; NULL: what they need */
    Inst *place;        /* where instances made in an argument belong, or NULL */
    Map *memo;          /* Item -> Val* */
    Map *evals;         /* Ast of an eval or generate block -> its number in the plan */
    const Item *root; /* the model that the program is about; paths of others begin with their name:
                         * `model(teacher).fc.weight` */
    Map *models;      /* root instance -> Item */
    struct Stage *stage;           /* that is elaborated, or NULL */
    int64_t rows;                  /* of a pass, where `micro = auto`; 0: all */
    const Map *averages;           /* State -> the one that is read for it, or NULL */
    Map *all_keys;                 /* key -> State of any model */
    Sym prefix;                    /* of the model being built, or NULL */
    const struct Pending *pending; /* what is being evaluated, innermost first */
    Map *keys;                     /* key -> Param*, for E0306 */
    uint32_t depth;                /* of nested expressions, against runaway programs */
    uint32_t passes;               /* calls from outside into models: each is a pass of its own */
    bool uncalled;                 /* arguments are made up: sizes are free */
    bool left_open;                /* something depended on a size that is free: see elab_open */
    bool too_deep, too_much;       /* was reported: the rest of the program stays silent */
    uint32_t lifted; /* > 0 in functions called in an equation: tensors stand for their elements */
    const struct CallFrame *calls; /* functions being evaluated, innermost first */
};

/* All it makes lies in arena, but for what the session keeps: Defs, types, names, diagnostics. */
Elab *elab_new(Front *f, Program *program, Arena *arena);
/* limit.c: a program is text that may ask for any amount of work: 2^60 calls, lists, modules. Every
 * evaluation counts; false, after one E0109, when the program has used up what it may. One unit is
 * one small value; whoever makes more at once says so. */
bool elab_spend(Elab *e, uint64_t units, Span span);
uint64_t elab_allowance(uint64_t bytes); /* units for a program of so many bytes */
/* One level of nested evaluation; false after E0109. Every true is paired with elab_leave. */
bool elab_enter(Elab *e, Span span);
void elab_leave(Elab *e);

/* value.c */
Val *val_new(Elab *e, VKind kind, Span span);
const Val *val_none(Elab *e, Span span);
const Val *val_at(Elab *e, const Val *v, Span span); /* the same value, for messages elsewhere */
const Val *val_int(Elab *e, int64_t v, Span span);
const Val *val_dim(Elab *e, const Dim *d, Span span);
const Val *val_real(Elab *e, double v, Span span);
const Val *val_bool(Elab *e, bool v, Span span);
const Val *val_str(Elab *e, Sym s, Span span);
const Val *val_node(Elab *e, const Node *n, Span span); /* NULL gives poison */
const Val *val_list(Elab *e, VKind kind, const Val *const *at, uint32_t n, Span span);
const char *val_text(Elab *e,
                     const Val *v);         /* for messages: `f32[B, 10]`, the function `relu`, 3 */
const char *name_quoted(Elab *e, Sym name); /* `relu` */
bool val_is_poison(const Val *v);
/* Nothing in it belongs to a graph or a scope: numbers, strings, lists of them, top-level functions. */
bool val_is_plain(const Val *v);
bool val_is_number(const Val *v);              /* INT, REAL, PERCENT */
bool val_as_int(const Val *v, int64_t *out);   /* constant integer */
bool val_as_double(const Val *v, double *out); /* any compile-time number without symbols */
const Val *poison(Elab *e, Span span);

/* scope.c */
/* A let, model or member under evaluation: finding it again is a cycle. */
typedef struct Pending {
    uint64_t key;
    Sym name;
    const struct Pending *up;
} Pending;
/* True after E0206 with the whole cycle: a -> b -> a. */
bool pending_cycle(Elab *e, uint64_t key, Sym name, Span span);
Env *env_new(Elab *e, EnvKind kind, Env *up);
void env_bind(Elab *e, Env *env, Sym name, const Val *v); /* FRAME */
void env_unbind(Env *env, uint32_t n);                    /* all but the first n bindings */
const Val *env_local(const Env *env, Sym name);           /* innermost frame chain only, or NULL */
/* The value of a name, evaluated if it is a lazy let or item; NULL when nothing has that name. */
const Val *env_find(Elab *e, Env *env, Sym name, Span span);
const Val *env_get(Elab *e, Env *env, Sym name, Span span); /* E0201 with a suggestion, poison */
void env_suggest(Elab *e, const Env *env, Sym name, Span span, Diag *d); /* a similar name */
/* Reports a name that nothing has, once for each function or module that uses it; `of`: whose member it
 * would be, or NULL. NULL when it was reported before. */
typedef struct Unknown {
    DiagCode code;
    Sym name;
    Span span;
    const void *of;
    const char *text; /* of the report */
} Unknown;
Diag *env_unknown(Elab *e, const Env *env, const Unknown *u);
/* habits.c: what is meant by a name, or a member of a tensor, of another language; false: nothing known. */
bool habit_help(Diag *d, Sym name, bool member);
const Val *item_value(Elab *e, const Item *item, Span span);
/* The model once more, with parameters of its own whose paths begin with `prefix`. */
const Val *model_copy(Elab *e, const Item *item, Sym prefix);
Inst *env_instance(const Env *env);       /* the instance whose scope this is in, or NULL */
Item *file_item(const File *f, Sym name); /* values */
Item *file_action(const File *f, Sym name);

/* number.c */
const Val *num_binary(Elab *e, Sym op, const Val *a, const Val *b, Span span); /* + - * / // % ** */
const Val *num_negate(Elab *e, const Val *a, Span span);
const Val *num_literal(Elab *e, const Ast *a); /* INT FLOAT PERCENT QUANTITY */
/* The symbol of that name and range, declared when first asked for: one name in all messages. */
const DimSym *dim_named(Elab *e, Sym name, int64_t lo, int64_t hi);
/* -1, 0, 1; false when symbolic and not decided by ranges. */
bool num_compare(Elab *e, const Val *a, const Val *b, int *out);

/* expr.c */
const Val *eval(Elab *e, Env *env, const Ast *a);
/* Evaluates and demands a kind, else E0802-like diagnostics. */
bool eval_bool(Elab *e, Env *env, const Ast *a, bool *out); /* compile-time condition, E0307 */
const Dim *eval_dim(Elab *e, Env *env, const Ast *a);       /* integer >= 0, E0403/E0401; NULL */
bool eval_const_int(Elab *e, Env *env, const Ast *a, int64_t *out);

/* body.c: statements; the value of the last expression (TUPLE of several), VAL_NONE without one. */
const Val *eval_body(Elab *e, Env *env, const Ast *stmts);
/* Statements that cannot be evaluated: what they would bind is poison, so that nothing follows. */
void body_lose(Elab *e, Env *env, const Ast *stmts);

/* arith.c */
/* A value as a node of the current graph: tensors, params, states, numbers (as f32 scalars). */
const Node *tensor_of(Elab *e, const Val *v);
bool is_tensor(const Val *v); /* TENSOR, PARAM, STATE: has run-time elements */
const Type *tensor_type(const Val *v);
const Val *arith_binary(Elab *e, OpKind op, const Val *a, const Val *b, Span span);
const Val *arith_unary(Elab *e, OpKind op, const Val *a, Span span);
const Val *arith_select(Elab *e, const Val *const arg[3], Span span);
const Val *arith_matmul(Elab *e, const Val *a, const Val *b, Span span);
const Val *arith_compare(Elab *e, Sym op, const Val *a, const Val *b, Span span);
const Node *arith_cast(Elab *e, DType dt, const Node *n, Span span); /* E0502 for float -> int */
/* Brings both to one dtype and shape (numbers fill, suffix broadcasting); false after E0413, E0501. */
bool arith_match(Elab *e, const Node **a, const Node **b, Span span);
/* The element type that operands of these types meet in; false when they do not mix. */
bool arith_dtype(const Elab *e, DType a, DType b, DType *out);
/* Brings any number of tensors to one element type; false after E0501. */
bool arith_unify(Elab *e, const Node **in, uint32_t n, Span span);
const Node *arith_fill(Elab *e, const Val *number, const Type *type, Span span);
const Node *arith_broadcast(Elab *e, const Node *n, const Type *like,
                            Span span); /* suffix -> full */

/* narrow.c: f16, bf16 and 8-bit floats */
bool narrow_is(DType dt);
DType narrow_generic(
    const Elab *e); /* e->generic where nothing but the stage says what `float` is */
const Node *narrow_wide(Elab *e,
                        const Val *v); /* the tensor to compute with: f32 for narrow ones */
const Val *narrow_val(Elab *e, const Node *n, DType dt,
                      Span span);               /* f32 n, open, where dt is narrow */
const Val *narrow_bound(Elab *e, const Val *v); /* as a name has it */

/* signature.c */
typedef struct Sig {
    Env *frame;     /* dimension variables are bound here */
    const Val *who; /* function, for messages; may be NULL */
} Sig;
/* Checks v against a type, binding unbound dimension variables and packs in the frame; returns the
 * value as the callee sees it (cast, filled), poison after a diagnostic. `what`: "`x` of `softmax`". */
const Val *sig_accept(Elab *e, Env *frame, const Ast *type, const Val *v, const char *what);
/* The tensor type an AST type denotes with everything bound; NULL after a diagnostic. */
/* The same for a result: E0407. */
const Val *sig_result(Elab *e, Env *frame, const Ast *type, const Val *v, const char *what);
const Type *sig_type(Elab *e, Env *frame, const Ast *type);
/* `as`: cast and/or reshape. */
const Val *sig_as(Elab *e, Env *env, const Val *v, const Ast *type, Span span);
Pack *env_pack(const Env *env, Sym name);
void env_bind_pack(Elab *e, Env *frame, Sym name, const Dim *const *dims, uint32_t n);
DType env_float(const Elab *e, const Env *env); /* what `float` means here */
bool sig_is_float(const Ast *type);             /* no element type, or `float` */
/* In ops and file-level functions the first float argument of a `float` type fixes it. */
void sig_fix_float(Env *frame, const Ast *type, const Val *v);
bool type_is_optional(const Ast *type);

/* call.c */
typedef struct CallFrame {
    const Ast *fn;
    const Inst *inst;
    const struct CallFrame *up;
    const Env *frame; /* its formals; NULL while they are not bound */
} CallFrame;
typedef struct Args {
    uint32_t n, cap;
    const Val **at;
    Sym *name;       /* NULL: positional */
    Span *name_span; /* of names in the text, else zero */
    Span call;
} Args;
/* True after E0206: fn is running already, or too many calls are. */
bool call_recursive(Elab *e, const Ast *fn, const Inst *inst, Span span);
Args *args_eval(Elab *e, Env *env, const Ast *call,
                const Val *first); /* first: piped value or NULL */
void args_push(Elab *e, Args *args, Sym name, const Val *v);
const Val *call_value(Elab *e, Env *env, const Val *callee, Args *args);
const Val *call_closure(Elab *e, const Val *fn, Args *args);
/* The parameters of a lambda that is called with `got` arguments; NULL after E0303. */
const Ast *lambda_params(Elab *e, const Ast *lambda, uint32_t got, Span call);
/* Pairs arguments with formals (positions, names, defaults later): out[i] NULL when absent. */
bool args_bind(Elab *e, const Ast *formals, Args *args, const Val **out, const char *who);
const Val *call_ast_body(Elab *e, Env *frame,
                         const Ast *fn); /* evaluates and checks the result type */
/* Binds formals in order: types, defaults. False after a diagnostic. */
bool frame_bind(Elab *e, Env *frame, const Ast *fn, const Val *const *arg, const char *who);

/* module.c */
const Val *module_instantiate(Elab *e, const Val *module, Args *args, Inst *up, const Ast *decl);
const Val *inst_member(Elab *e, Inst *inst, Sym name, Span span); /* NULL when absent */
const char *inst_text(Elab *e, const Inst *inst); /* llm.layers.3 = Block(D: 64) for notes */

/* The arguments of a module's call: an instance made in one is a part of the instance to be, under the
 * name of its formal. `place`: where that one will be; NULL: a root. */
Args *module_args(Elab *e, Env *env, const Val *module, const Ast *call, const Inst *place);

/* param.c: declarations `param`, `buffer` and `state` of an instance */
const Val *param_value(Elab *e, Inst *inst, const Ast *a);
const Val *state_value(Elab *e, Inst *inst, const Ast *a);
/* The declaration asks for a tensor that can be kept; false after E0401, E0109. */
bool param_storable(Elab *e, const Ast *a, const Type *t);

/* optimizer.c: what differs in the instance of an optimizer: its states, and `shape` among the formals, the
 * list of the parameter's extents; NULL for another formal or instance. */
const Val *optimizer_state(Elab *e, Inst *inst, const Ast *a);
const Val *optimizer_shape(Elab *e, const Inst *inst, const Ast *formal);

/* initialiser.c: what `~` or an argument says; rank of the tensor. False after a diagnostic. */
bool initialiser_read(Elab *e, const Val *v, uint32_t rank, Init *out);

/* replace.c */
/* Gives the tensors of an instance keys that begin with `key`. */
bool inst_rekey(Elab *e, Inst *inst, Sym key);
/* All instances below root (root too) whose path matches a pattern, in order; returns the count. */
uint32_t inst_match(Elab *e, Inst *root, const char *pattern, Inst ***out);
/* `adapt P with M(args)`: puts M(base: *at, args..) where `at` is: whoever refers to `at` gets the new
 * instance, of which the old one is the part `base`. False after a diagnostic (E0809 ..). */
bool inst_adapt(Elab *e, Inst *at, const Val *module, Args *args, Span span);

/* mode.c */
/* The mode of what is being evaluated: the entry's, and while training the instance's own: train iff the
 * stage trains something in its subtree; one without parameters follows its parent. */
Mode mode_here(const Elab *e);
Mode inst_mode(const Elab *e, const Inst *inst);
/* `freeze P { mode = .. }`: for all instances that match the pattern or have a parameter that does. */
void inst_force_mode(Inst *root, const char *pattern, Mode mode);

/* memory.c: buffers and states change in program order (language.md 2.8) */
/* Begins a pass: what is evaluated from now on goes to g, buffers and states have their old values. */
void pass_begin(Elab *e, Graph *g, Mode mode);
/* The same for a new entry of the program; returns its number. */
uint32_t entry_begin(Elab *e, const char *name, Mode mode);
/* The value that a buffer or a state has here; any other value as it is. */
const Val *memory_read(Elab *e, Env *env, const Val *v);
/* x.set(v), x.append(v) */
const Val *memory_call(Elab *e, Env *env, const Val *method, Args *args);
Sym inst_join(Elab *e, Sym a, Sym b); /* components of paths and keys, "" for none */

/* capture.c */
/* n as the current graph has it: itself, or the input that stands for it. */
const Node *capture_node(Elab *e, const Node *n);
/* The graph to which a parameter belongs that the text at `span` reads: an op has only its arguments,
 * a function that it was given has those of its own scope. */
Graph *capture_root(const Elab *e, Span span);

/* mask.c */
bool mask_is(const Val *v);
bool mask_fits(const Val *v);
/* a mask, or a function of three */ /* a mask, or a function that can be one */
/* A function that fits, as a mask; and what it gave: poison after E0205 when that is no bool. */
const Val *mask_taken(Elab *e, const Val *v);
const Val *mask_result(Elab *e, const Val *mask, const Val *result);
/* and, or, not (b: NULL) of masks, one of which may be true or false */
const Val *mask_join(Elab *e, OpKind op, const Val *a, const Val *b, Span span);
/* m(b, t, u) outside equations: elementwise on tensors of one shape. */
const Val *mask_call(Elab *e, Env *env, const Val *m, Args *args);
/* What the two sides of a join said, joined: bools of compile time or tensors of one shape. */
const Val *mask_values(Elab *e, OpKind op, const Val *a, const Val *b, Span span);

/* opdef.c */
const Val *op_call(Elab *e, const Val *op, Args *args);

/* shapes.c: what a name was bound to, for `check --shapes`; name NULL: the result of a function. */
void shapes_note(Elab *e, const Ast *at, Sym name, const Val *v);

/* equation.c */
typedef struct Equation Equation;
const Val *equation_eval(Elab *e, Env *env, const Ast *bind, Sym *name);
bool equation_is(const Ast *bind); /* left side has brackets, or a folding operator */

/* uncalled.c: calls every function of the file, of its models and modules that nothing has called. */
void uncalled_check(Elab *e, const File *file);
/* unread.c: the names in what cannot be called. */
void unread_check(Elab *e, const File *file);
/* contains.c: modules that contain themselves. */
void contains_check(Elab *e, const File *file);
/* What fn gives for such tensors, which become inputs of e->g; NULL when its arguments cannot be made up. */
const Val *uncalled_value(Elab *e, const Val *fn);
/* True when d is a free size of such a call: what depends on it is left open, poison without a report. */
bool elab_open(Elab *e, const Dim *d);

/* index.c */
const Val *index_eval(Elab *e, Env *env, const Ast *a);

/* builtin.c */
typedef const Val *(*BuiltinFn)(Elab *e, const struct Builtin *b, Args *args);
typedef struct Builtin {
    const char *name;
    BuiltinFn fn; /* NULL: a RECORD constructor */
    OpKind op;    /* elementwise ops and folds */
    const char *doc;
    const char *formals; /* what it takes (args.c): "x, n, axis:"; NULL: by the op's arity */
} Builtin;
Map *builtins_new(Arena *arena, Syms *syms); /* all: Sym -> Builtin */
const Val *builtin_call(Elab *e, const Builtin *b, Args *args);
bool builtin_is_size(const Builtin *b); /* len, count */

/* args.c: what builtins take and get */
const char *builtin_formals(const Builtin *b);
uint32_t builtin_places(const Builtin *b); /* at most so many arguments without a name */
/* False after E0302: b has no argument of that name. */
bool builtin_check_name(Elab *e, const Builtin *b, Sym name, Span span);
/* Named arguments that have a place, and follow those given by place, become such. False after
 * diagnostics: names that b has not, an argument given twice. */
bool args_place(Elab *e, const Builtin *b, Args *args);
/* Argument i or name; NULL when absent. */
const Val *args_get(const Args *args, uint32_t i, const char *name);

/* datafns.c: functions and constructors of data time; words such as bicubic. */
const Builtin *data_builtin_at(uint32_t i); /* NULL at the end */
/* Of data time: takes data-time values; hiding it is no mistake. */
bool builtin_at_data(const Builtin *b);
bool data_word(Sym name);
/* words.c: is `name` one of the blank-separated words? The nearest of them, or NULL. */
bool word_in(const char *words, const char *name);
Sym word_nearest(Elab *e, const char *words, Sym name);

/* answers.c: mean(a => .., where: ..) */
const Val *answers_mean(Elab *e, const Builtin *b, Args *args);
/* data.c: `d("train")`: the block with its formals bound. */
const Val *block_apply(Elab *e, const Val *block, Args *args);
/* load.c: does some `load` of the model fill this path? */
bool loads_cover(const Elab *e, const char *path);
/* batch.c */
const Val *batch_member(Elab *e, const Val *v, const Ast *a);

/* loss.c */
const Val *loss_mean(Elab *e, const Node *x, const Node *weight, Span span);
const Val *loss_binary(Elab *e, Sym op, const Val *a, const Val *b, Span span);
/* A loss as one pair for one pass over all its rows: (sum of w*l, sum of w), or its value and 1 where
 * the terms have different weights. False after a diagnostic. */
/* total: the weight of each term over all passes, or NULL: that of this one. */
bool loss_pair(Elab *e, const Val *loss, const Node *const *total, const Node **sum,
               const Node **weight);
const Node *loss_quotient(Elab *e, const Node *sum, const Node *weight); /* 0 without weight */
bool loss_adds_up(const Val *loss); /* pairs of several passes can be added: one weight */

/* record arguments (record.c): constructors evaluated by whoever needs them */
const Val *record_new(Elab *e, Env *env, const Ast *a); /* checks the names of arguments */
Sym record_name(const Val *record);
const Val *record_arg(Elab *e, const Val *record, uint32_t i, const char *name); /* NULL: absent */

/* schema.c: what the language has, and the run time does not: accepted by `mdl check`, E0199 "what cannot
 * be run yet" when a plan is made of this program (front_runnable). Always true. */
bool not_yet(Elab *e, Span span, const char *what);

/* files.c */

#endif
