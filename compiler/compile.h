/* compile.h: from a .mdl file to the bytes of a plan: front, passes, memory plan, codegen.
 *
 * One Compile is one session: it owns the memory of everything it made, its names and its
 * diagnostics, and is used by one thread at a time. Steps, in order:
 *
 *     Compile *c = compile_new(&options);
 *     ok = compile_load(c, &err) && compile_stage(c, NULL, &err) && compile_plan(c, &bytes, &err);
 *     puts(diags_render(compile_diags(c), arena, DIAG_HUMAN, false));
 *     compile_free(c);
 *
 * Every step returns false and fills *err when it fails: ERR_FILE when a file cannot be read,
 * ERR_PROGRAM when the program is wrong; then the diagnostics say where and why. */
#ifndef MDL_COMPILE_H
#define MDL_COMPILE_H

#include "base.h"
#include "diag.h"
#include "plan.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The version of the whole program, written into plans. */
#define MDL_VERSION "0.1.0"

typedef struct Compile Compile;
struct Graph;
struct Records;

/* What a plan is for. */
typedef struct CompileTarget {
    PlanTargetKind kind;
    const char *
        isa; /* cpu: "avx512", "avx2", "generic"; cuda: "sm_80", "sm_90a"; NULL: as the kind says */
} CompileTarget;

typedef struct CompileOptions {
    const char *path;        /* the .mdl file */
    const char *const *sets; /* "PATH=EXPR" overrides */
    uint32_t nset;
    const char *isa; /* of CPU targets that name none; NULL: the best this machine has */
    /* Every kernel gets a variant for each; the first decides what is fused, order and memory. */
    const CompileTarget *targets;
    uint32_t ntarget; /* 0: one, the CPU */
    /* Of what kernels include, to be remembered in plans; may be NULL. */
    uint64_t (*prelude_hash)(PlanTargetKind kind);
    const struct Records *records; /* of tuning (records.h); NULL: none. Outlives the session */
    uint64_t skip; /* bit per pass (compile_pass_find); required passes run all the same */
    /* Called with the graph of each entry after each pass; may be NULL. */
    void (*after_pass)(void *user, uint32_t pass, const struct Graph *g);
    bool shapes;     /* keep what compile_shapes shows */
    bool gradients;  /* compile_check compares derivatives with differences: E0606 */
    uint64_t memory; /* E0812 above; 0: what the targets have, UINT64_MAX: no bound */
    /* Called before each longer piece of work, for a progress line; may be NULL. */
    void (*progress)(void *user, const char *what);
    void *user;
} CompileOptions;

/* The strings and arrays of *opt must outlive the session. */
Compile *compile_new(const CompileOptions *opt);
/* Leaves out one more pass, if it is optional. */
void compile_skip(Compile *c, uint32_t pass);
void compile_free(Compile *c); /* NULL is fine */
Diags *compile_diags(Compile *c);

/* Reads and parses the file, its imports and the overrides. Goes before everything below. */
bool compile_load(Compile *c, Err *err);
/* Of everything that decides a run: source texts, imports, overrides. */
uint64_t compile_hash(const Compile *c);
/* The train blocks, in file order. */
uint32_t compile_stage_count(const Compile *c);
const char *compile_stage_name(const Compile *c, uint32_t i);

/* What is known of stage i without its graphs, and what it says: front.h. False after diagnostics. */
struct FrontStage;
bool compile_stage_about(Compile *c, uint32_t i, struct FrontStage *out, Err *err);
struct FrontLine;
uint32_t compile_stage_lines(Compile *c, uint32_t i, const struct FrontLine **out);

/* All that can be said without data and device: every model, block and derivative. */
bool compile_check(Compile *c, Err *err);

/* After compile_check with the option `gradients`: one line for each operation and composite that the
 * losses use, and what was found. */
const char *compile_gradients(Compile *c);

/* After compile_check, whether it was true or false: the program's text, with the types of what its
 * names are bound to as comments. Needs the option `shapes`. */
const char *compile_shapes(Compile *c);

/* Elaborates train block `name`; NULL: the first one, or the eval blocks where there is none. */
bool compile_stage(Compile *c, const char *name, Err *err);

/* After one of these steps, run-time sizes of this name are at most so many. False: there is no such size, or its
 * range says otherwise. The plan is not for running: the program allows more. */
bool compile_size(Compile *c, const char *name, int64_t most);

/* The models of the file, in its order; and one of them alone, in `eval` mode and with sizes left open:
 * its parameters as states, and an entry MODEL.FN for each of its functions. */
uint32_t compile_model_count(const Compile *c);
const char *compile_model_name(const Compile *c, uint32_t i);
bool compile_model(Compile *c, uint32_t i, Err *err);

/* The `generate` and `chat` blocks of the file, in its order, and one of them: entries prefill and decode
 * (runtime.h: rt_generate). A chat cannot be run yet. */
uint32_t compile_generate_count(const Compile *c);
const char *compile_generate_name(const Compile *c, uint32_t i);
bool compile_generate_chats(const Compile *c, uint32_t i); /* it is a `chat` */
bool compile_generate(Compile *c, uint32_t i, Err *err);
/* After it: how many tokens are kept; 0: the block writes no text. */
int64_t compile_context(const Compile *c);

/* Elaborates one function: MODEL, MODEL.fn, an fn or op of the file or of std. The formals named by
 * the inputs are bound to tensors of these types, which the entry's inputs then have: a formal of
 * another element type of the same kind decides. Entry 0 is "call:FUNCTION" with results "out" or
 * "out.0" .. ERR_DATA when the inputs are wrong, not the program; the diagnostics say how. */
typedef struct CompileInput {
    const char *name;
    DType dtype;
    uint32_t rank;
    int64_t dim[PLAN_MAX_RANK];
} CompileInput;
typedef enum CompileMode {
    COMPILE_EVAL,
    COMPILE_TRAIN,
    COMPILE_PREFILL,
    COMPILE_DECODE
} CompileMode;
typedef struct CompileCall {
    const char *function;
    const CompileInput *inputs;
    uint32_t ninput;
    const char *inputs_name; /* in messages: the file they are from */
    bool strict;             /* an input that nothing takes is an error */
    const char *const *args; /* "NAME=EXPR" for formals that compile time knows */
    uint32_t narg;
    CompileMode mode;
} CompileCall;
bool compile_call(Compile *c, const CompileCall *call, Err *err);

/* Once after compile_stage or compile_call: the finished plan, in the session's memory. */
bool compile_plan(Compile *c, Bytes *out, Err *err);
/* A plan with the program's states and nothing to run: for initial values and weights without
 * kernels, data or a C compiler. */
/* The same of entries and kernels alone, without data and run: also of a program that uses what cannot be run
 * yet, so that its kernels can be looked at. */
bool compile_kernels(Compile *c, Bytes *out, Err *err);
/* compile_plan where the program can be run, else compile_kernels. */
bool compile_look(Compile *c, Bytes *out, Err *err);
bool compile_states(Compile *c, Bytes *out, Err *err);

/* ---- passes, by name ---- */

bool compile_pass_find(const char *name, uint32_t *pass);
/* NULL at the end. */
const char *compile_pass_name(uint32_t pass);
bool compile_pass_optional(uint32_t pass);

/* ---- looking inside: for dumps and tests, which include the headers of the layers below ---- */

struct Program;
struct MemPlan;
struct Node;
struct Kernel;

/* After compile_stage or compile_call. */
const struct Program *compile_program(const Compile *c);
/* Entry `entry` after pass number `after`; a negative one: as elaborated. NULL: *err. */
const struct Graph *compile_graph(Compile *c, uint32_t entry, int after, Err *err);
/* Runs the passes and plans memory for all entries, as compile_plan does. */
bool compile_lower(Compile *c, Err *err);
/* After compile_stage: how many passes a step has; of packed rows at most. */
int64_t compile_passes(const Compile *c);
/* After compile_lower, where the program says `micro = auto` and the batch had to be divided: how. */
typedef struct MicroChoice {
    int64_t batch, rows;  /* of a step; of a pass; rows 0: nothing was divided */
    uint64_t whole, need; /* bytes: of the batch in one pass; as it is now */
} MicroChoice;
const MicroChoice *compile_micro(const Compile *c);
/* After compile_lower: the fused entry with its order and memory. */
const struct MemPlan *compile_memplan(const Compile *c, uint32_t entry);
/* The kernel of a group node of a fused entry. */
const struct Kernel *compile_kernel(Compile *c, const struct Node *group);

#ifdef __cplusplus
}
#endif

#endif
