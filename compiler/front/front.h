/* front.h: .mdl text in, checked programs out: graphs for passes, data and run tables for the plan. */
#ifndef MDL_FRONT_H
#define MDL_FRONT_H

#include "ast.h"
#include "ir.h"
#include "plan.h"
#include "std_op.h"

typedef struct Front Front;

/* What `mode` is in the program: one `forward` yields all four programs. */
typedef enum Mode { MODE_EVAL, MODE_TRAIN, MODE_PREFILL, MODE_DECODE } Mode;
enum { MODE_COUNT = 4 };
bool mode_find(const char *name, Mode *out);

typedef struct FrontOptions {
    const char *path;       /* the .mdl file */
    const char *const *set; /* "PATH=EXPR" overrides */
    uint32_t nset;
} FrontOptions;

/* Reads and parses the file, its imports (beside it, $MDL_PATH, the embedded standard library) and
 * the overrides; resolves top-level names. ERR_FILE when the file cannot be read, ERR_PROGRAM when
 * diagnostics were reported (they are in ir->diags). */
Front *front_open(Ir *ir, const FrontOptions *opt, Err *err);
/* Its two steps, for who checks many programs: the embedded standard library alone (NULL after
 * diagnostics), and one program on top of it. After an arena_restore to between them comes the next. */
Front *front_new(Ir *ir);
bool front_load(Front *f, const FrontOptions *opt, Err *err);

/* Elaborates everything that can be: every model, train block and eval. False when there were errors. */
bool front_check(Front *f);
/* The same; shows each stage that has no mistakes to `visit` (where its entries are checked further).
 * The program and everything in it lives until the visit ends, in `arena`, which the visitor may use. */
typedef void (*FrontVisit)(void *user, Program *p, Arena *arena);
bool front_check_each(Front *f, FrontVisit visit, void *user);
/* From begin on, what names are bound to is kept; print: the program's text with it, as comments. */
void front_shapes_begin(Front *f);
void front_shapes_print(const Front *f, StrBuf *sb);

/* The stages of all train blocks of the file, in its order. A path is BLOCK.STAGE; of a block without
 * stages BLOCK, its name behind `as`, or else the model's. */
uint32_t front_stage_count(const Front *f);
Sym front_stage_path(const Front *f, uint32_t i);

/* Elaborates a stage, given by its path or an end of it (`align`; NULL: the first one, or where there is
 * none the eval blocks alone), to a Program: entries micro and update, and one eval:NAME per eval block
 * of the same model; writes data, run and eval tables into b. In these tables entry, tensor and state
 * numbers are: entry = index in program->entries, state = program state id
 * NULL after diagnostics. */
Program *front_stage(Front *f, const char *name, PlanBuilder *b);
/* The same with passes of so many rows, a divisor of program->divides unless rows are packed: where that is 0, it changes
 * nothing. */
Program *front_stage_rows(Front *f, const char *name, int64_t rows, PlanBuilder *b);

/* False after E0199 for everything in the program that is checked but cannot be run yet. Whoever makes
 * a plan asks; whoever looks at graphs, or interprets them, does not. */
bool front_runnable(Front *f, const Program *p);
bool front_runs(const Front *f, const Program *p); /* whether it does; says nothing */

/* Calls the functions that initialise states of p, for every element; what they give lies in Init.values.
 * Whoever makes a plan asks, before codegen. False after diagnostics. */
bool front_first_values(Front *f, const Program *p);

/* What is known of a stage without building graphs: `after` by number, trained parameters. */
typedef struct FrontStage {
    Sym path, name, block, model;
    uint32_t nafter;
    const uint32_t *after;
    const Program *program; /* the model's parameters and buffers; State.trained says what trains */
    uint32_t nstate;        /* of the model: the first ones of program->states */
    uint64_t tensors, elements; /* that are trained (of parameters of which rows are: these) */
    /* for each state of the model: how many of its elements train */
    const uint64_t *trained;
    int64_t steps, tokens; /* 0: not given */
    double epochs;
    int64_t batch, micro; /* micro 0: auto */
    double lr;
    const char *precision; /* of compute: "f32" */
    const char *from;      /* where the weights of a first stage come from: "vision, llm: load" */
} FrontStage;
/* Fills *out with stage i; false after diagnostics. */
bool front_stage_about(Front *f, uint32_t i, FrontStage *out);
/* What stage i says, its own and inherited: attributes and groups by name, clauses by keyword. */
typedef struct FrontLine {
    const char *name, *text;
} FrontLine;
uint32_t front_stage_lines(Front *f, uint32_t i, const FrontLine **out);

/* The models of the file, in its order; and one of them alone, for looking at: its parameters as states,
 * and an entry MODEL.FN for each of its functions whose arguments can be made up of free sizes
 * (DIM_FREE). NULL after diagnostics. */
uint32_t front_model_count(const Front *f);
Sym front_model_name(const Front *f, uint32_t i);
Program *front_model(Front *f, uint32_t i, Mode mode);

/* A tensor for a formal, by its name; a member of a tuple is "formal.0". */
typedef struct CallInput {
    const char *name;
    DType dtype; /* where the formal says `float` or nothing; else any of the same kind does */
    uint32_t rank;
    const int64_t *dim;
} CallInput;

typedef struct FrontCall {
    const char
        *function; /* MODEL, MODEL.fn, MODEL.layers[0].fn, an fn or op of the file or of std */
    const CallInput *inputs;
    uint32_t ninput;
    const char *inputs_name; /* in messages; may be NULL */
    bool strict;             /* an input that no formal takes is E0302; else it is left out */
    const char *const *args; /* "NAME=EXPR": formals that compile time knows */
    uint32_t narg;
    Mode mode; /* train: every parameter counts as trained */
    /* prefill, decode: rows that growing states have, and room for (0: what they need). At run time slot
     * "len" is `past`. */
    int64_t past, context;
} FrontCall;

/* Elaborates one function for `mdl call`. Formals that get nothing take their defaults. Entry
 * "call:FUNCTION", results "out", or "out.0", .. for tuples; a loss gives "out.sum" and "out.weight".
 * NULL after diagnostics; *blame says whether the inputs are wrong, not the program. */
Program *front_call(Front *f, const FrontCall *call, bool *blame);

/* The Def of an op of std on operands of these types; NULL after diagnostics. */
const Def *front_std_op(Front *f, const StdOp *op);

/* The `generate` and `chat` blocks of the file, in its order; and one of them as a Program: entries prefill and decode, and its row in
 * the plan's table. Weights are those that whoever runs it loads. NULL after diagnostics. */
uint32_t front_generate_count(const Front *f);
Sym front_generate_name(const Front *f, uint32_t i);
bool front_generate_chats(const Front *f, uint32_t i); /* it is a `chat` */
Program *front_generate(Front *f, uint32_t i, PlanBuilder *b);

/* Hash of what decides a run: source texts, imports, overrides. */
uint64_t front_hash(const Front *f);
#endif
