/* stages.h: private to front: the stages of train blocks, with what they inherit written out.
 *
 *   stages.c      stage, after, like: blocks taken apart into StageDefs
 *   stage.c       one stage as a Program            stage_attr.c  its attributes and their types
 *   clause.c      train, freeze, adapt ..: which parameters train, and how
 *   update.c      the entry that changes them       optimizer.c   by which module
 *   influence.c   those that the loss depends on: they get gradients
 *   joins.c       stages behind several others
 *   listing.c     front_stages(): what is known without building graphs
 */
#ifndef MDL_STAGES_H
#define MDL_STAGES_H

#include "blocks.h"

/* Where a statement is evaluated: the lets of its block, those of the block around it, the file. */
typedef struct StageScope {
    const struct StageScope *up;
    const Ast *block;
    File *file;
} StageScope;

typedef struct StageLine {
    const Ast *ast; /* ATTR, SUBGROUP, CLAUSE or EVERY */
    const StageScope *scope;
} StageLine;
typedef VEC(StageLine) StageLines;

/* One stage. Its lines are in effect, in order: of every attribute there is one line at most. */
typedef struct StageDef {
    Sym path;  /* "llava.align"; of a block without stages its name alone: "mlp" */
    Sym name;  /* "align", or "main" */
    Sym block; /* name of the train block: behind `as`, or the model's */
    Sym model;
    Span span; /* where its name stands: for messages about the whole */
    Span model_span;
    const File *file;  /* `model` is a name of it */
    const Ast *header; /* that says `after`, or NULL */
    StageLines lines;
    uint32_t nafter;
    uint32_t *after;  /* numbers of stages */
    VEC(Sym) trained; /* keys of what it changes; known once it has been elaborated */
} StageDef;

/* Fills f->stages with those of the program's file; E0805, E0202, E0801 for what is wrong. */
void stages_find(Front *f);
/* The stage that a path, or an unambiguous end of one, means; NULL. */
const StageDef *stage_find(const Front *f, const char *path);
/* The line of an attribute or group, or NULL. */
const StageLine *stage_line(const StageDef *def, const char *name);

/* ---- one stage, being elaborated ---- */

/* Options of a clause `train P { .. }`. */
typedef struct Group {
    const StageLine *clause;
    double lr;            /* < 0: the stage's */
    double weight_decay;  /* < 0: the optimizer's */
    const Ast *optimizer; /* or NULL: the stage's */
} Group;

/* Rows lo..hi of the first axis. */
typedef struct Rows {
    int64_t lo, hi;
} Rows;

/* What the clauses say of one parameter. */
typedef struct Choice {
    uint32_t group;   /* into groups; 0: no options */
    uint32_t clause;  /* the last that matched, counted from 1 */
    const Ast *glob;  /* the pattern by which it trains, or NULL: nothing names it */
    uint32_t nrows;   /* 0: all rows, when it trains */
    Rows *rows;       /* ascending, apart from each other */
    const Ast *store; /* frozen: how it is kept, or NULL */
} Choice;

typedef struct Axis {
    Sym name;
    int64_t size; /* 0: auto */
} Axis;

/* What a program shows to the log: of all calls of `tap` by this name in `micro`. */
typedef struct Tap {
    Sym name;
    const Node *sum, *weight;
} Tap;

typedef struct Stage {
    Elab *e;
    PlanBuilder *b;
    const StageDef *def;
    Inst *model;
    Map *envs;              /* StageScope -> Env */
    bool names_ok;          /* no attribute is unknown: what is absent is not misspelt */
    double clip, ema;       /* 0: none */
    Map *averages, *starts; /* State -> its twin (average.c); NULL: none */
    bool adds_up;           /* the terms of the loss have one weight */
    uint32_t term_weight0;  /* else, over several passes: LOOP states, one for each */
    VEC(Axis) axes;         /* of the mesh */
    int64_t micro;          /* 0: not given, or auto */
    bool divides;           /* `micro = auto`: memory decides */
    bool average_passes;    /* `average = micro`: the mean over passes of their means */
    VEC(Group) groups;
    uint32_t nbase, nparam; /* states of the model: 0 .. nparam; from nbase on of adapters */
    Choice *choices;        /* by state */
    const State *
        *masters; /* by state: of parameters with fewer bits than training needs, else NULL */
    VEC(Tap) taps;
    const Ast *best; /* of that group, or NULL */
    PlanAction save; /* of the group `checkpoint`; length 0: none */
    PlanRun run;
} Stage;

/* stage_attr.c */
Env *stage_env(Stage *s, const StageScope *scope);
/* The value of an attribute, NULL where it is not given; poison after a diagnostic. */
const Val *stage_value(Stage *s, const char *name);
/* `precision`: e->precision. Goes before the model is built: its parameters have these types. */
bool stage_precision(Stage *s);
/* All attributes with their types, but data, loss, optimizer, schedule: false after a diagnostic. */
bool stage_attrs(Stage *s);
bool number_of(Elab *e, const Val *v, const char *name, double *out); /* finite, >= 0; E0802 */

/* clause.c */
/* Which parameters of the model train: State.trained, s->choices. False after a diagnostic. */
bool stage_clauses(Stage *s);
/* The instances of the model that a pattern means, and how many. */
uint32_t matching(Stage *s, const Ast *glob, Inst ***out);
bool no_match(Stage *s, const Ast *glob, const char *what); /* false after E0804 */

/* influence.c */
/* Trained parameters that the loss does not depend on: E0601 where a clause names them, else they are left
 * as they are (W0101). The others get a GRAD state. False after an error. */
bool stage_gradients(Stage *s);

/* joins.c: a stage that begins with the weights of several others takes each tensor from the one that changed
 * it (E0805: two did). Notes what the stage trains; then checks all stages of the file. */
void stages_note_trained(Stage *s);
void stages_check_joins(Front *f);

/* adapt.c: replaces submodules; shard.c: dimensions over axes of the mesh. */
bool adapt_clause(Stage *s, const StageLine *line);
bool shard_clause(Stage *s, const StageLine *line);

/* stage.c */
/* Adds to what the log shows by this name; nothing where no pass of training is built. */
void stage_tap(Stage *s, Sym name, const Node *sum, const Node *weight);
const char *stage_text(const Stage *s); /* `stage align`, `train mlp` */
/* The model, the attributes and the clauses: all that needs no graph. */
bool stage_begin(Stage *s, Elab *e, PlanBuilder *b, const StageDef *def);
bool stage_entries(Elab *e, PlanBuilder *b, const StageDef *def);

/* optimizer.c */
enum { STEP_ARGS = 4 };
typedef struct Optimizer { /* `adamw(..)`: instances come later, one a parameter */
    const Val *module;
    Args *args;
} Optimizer;
/* The value of an attribute `optimizer`; false after E0802, E0205 .. */
bool optimizer_find(Elab *e, Env *env, const Ast *expr, Optimizer *o);
/* An instance for the parameter; NULL after a diagnostic, E0406 when it cannot update such a one. */
Inst *optimizer_make(Elab *e, const Optimizer *o, const Param *p);
/* The parameter's new value, states written where `finite` is true; arg: w, g, lr, t. NULL after a
 * diagnostic. */
const Node *optimizer_step(Elab *e, Inst *inst, const Val *const arg[STEP_ARGS],
                           const Node *finite);

/* decay.c: W0106 for the trained parameters of a group; args: those of its optimizer. */
void decay_check(Stage *s, uint32_t group, const Args *args);

/* update.c */
bool update_entry(Stage *s);

/* average.c: ema = D, ema(m) and start(m) */
/* The model `item` with weights of its own: averages, or as they were when the stage began. */
const Val *average_model(Stage *s, const Item *item, bool average, Span span);
/* What the evaluations of the stage read instead of the model's states: NULL, or State -> State. */
Map *average_map(Stage *s);
/* In `update`: averages follow the new values of `w`, a parameter or buffer. */
void average_follow(Stage *s, const State *w, const Node *value, const Node *finite);

#endif
