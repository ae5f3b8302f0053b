/* front.h: .mdl text in, checked programs out: graphs for passes, data and run tables for the plan. */
#ifndef MDL_FRONT_H
#define MDL_FRONT_H

#include "ast.h"
#include "ir.h"
#include "plan.h"

typedef struct Front Front;

/* What `mode` is in the program: one `forward` yields all four programs. */
typedef enum Mode { MODE_EVAL, MODE_TRAIN, MODE_PREFILL, MODE_DECODE } Mode;
enum { MODE_COUNT = 4 };
const char *mode_name(Mode mode); /* "train" */
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

/* Elaborates everything that can be: every model, train block and eval. False when there were errors. */
bool front_check(Front *f);
/* The same; shows each stage that has no mistakes to `visit` (where its entries are checked further).
 * The program and everything in it lives until the visit ends, in `arena`, which the visitor may use. */
typedef void (*FrontVisit)(void *user, Program *p, Arena *arena);
bool front_check_each(Front *f, FrontVisit visit, void *user);
/* From begin on, what names are bound to is kept; print: the program's text with it, as comments. */
void front_shapes_begin(Front *f);
void front_shapes_print(const Front *f, StrBuf *sb);

/* Names of the train blocks and eval blocks, in file order. */
uint32_t front_train_count(const Front *f);
Sym front_train_name(const Front *f, uint32_t i);

/* Elaborates train block `name` (NULL: the file's only one; without any, the eval blocks alone) to a
 * Program: entries micro and update (when there is training), and one eval:NAME per eval block of the
 * same model; writes data, run and eval tables into b. In these tables entry, tensor and state
 * numbers are: entry = index in program->entries, state = program state id
 * NULL after diagnostics. */
Program *front_stage(Front *f, const char *name, PlanBuilder *b);

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

/* Hash of what decides a run: source texts, imports, overrides. */
uint64_t front_hash(const Front *f);
/* The seed attribute of the train block (0 when absent). */

#endif
