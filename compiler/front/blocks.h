/* blocks.h: data, train and eval blocks: private to front. */
#ifndef MDL_BLOCKS_H
#define MDL_BLOCKS_H

#include "elab.h"

/* schema.c */
/* What the value of an attribute is. */
typedef enum SchemaKind {
    SV_INT,
    SV_NUM,
    SV_BOOL,
    SV_STR,
    SV_WORD,  /* one of `words`, unquoted */
    SV_WORDS, /* a list of such */
    SV_STRINGS,
    SV_STOPS, /* strings, and tokens of a template */
    SV_LIMIT, /* an integer or a percentage */
    SV_SHARE, /* a percentage */
    SV_FN,
    SV_TESTS, /* a list of functions */
    SV_DATA,
    SV_SOURCE,
    SV_TOKENIZER,
    SV_TEMPLATE,
    SV_SEGMENTS,
    SV_SAMPLER,
    SV_STORE, /* how weights are kept */
    SV_MODEL,
    SV_WEIGHTS, /* a stage, a file, a constructor such as hf(..) */
    SV_OPTIMIZER,
    SV_SCHEDULE,
    SV_DTYPE,
    SV_AXES,
    SV_GROUP /* `name { .. }`; some may be given as a plain value, too */
} SchemaKind;
typedef struct SchemaAttr {
    const char *block, *name;
    bool required, later, groups;
    SchemaKind kind;
    const char *words;
    const char *doc;
} SchemaAttr;
const SchemaAttr *schema_at(uint32_t i); /* NULL at the end */
/* Unknown, unsupported and missing attributes of a block: E0801, E0199, E0803. */
bool schema_check(Elab *e, const Ast *block);
/* The same for the attributes in braces of a group (`precision`) or clause (`train ..`). */
bool schema_check_body(Elab *e, const char *what, const Ast *body);
const Ast *block_attr(const Ast *block, const char *name); /* its expression, or NULL */
/* Typed attributes: false after E0802. Missing ones leave *out alone. */
bool attr_int(Elab *e, Env *env, const Ast *block, const char *name, int64_t *out);
bool attr_bool(Elab *e, Env *env, const Ast *block, const char *name, bool *out);

/* attribute.c, schema.c */
const SchemaAttr *schema_find(const char *block, const char *name); /* or NULL */
/* Is v of that kind? False after E0802, or E0205 for a block. */
bool value_fits(Elab *e, SchemaKind kind, const Val *v, const char *what);
/* The attributes that a block gives are of their kinds; false after diagnostics. */
bool schema_values(Elab *e, Env *env, const Ast *block);
/* Arguments of a constructor against constructors.def. */
bool ctor_check(Elab *e, const Val *record);

/* dataplan.c */
typedef struct DataUse {
    bool training;        /* set by the caller: rows are shuffled */
    uint32_t index;       /* into the builder's datas */
    int64_t picture_rows; /* tokens that one of its pictures takes; 0: not known */
    const struct DataSpec *spec;
} DataUse;
/* The data a `data = expr` attribute means, written into b once per use. */
bool data_use(Elab *e, PlanBuilder *b, Env *env, const Ast *expr, DataUse *use);

/* batch.c: inputs of g for a batch of these rows, as the value `b`. */
const Val *data_batch_value(Elab *e, const DataUse *use, const Dim *rows, Span span);

/* Does the graph have a row for each token of the data that it looks up? False after E0705. */
bool data_tokens_fit(Elab *e, const DataUse *use, Span span);

/* schedule.c */
bool schedule_segments(Elab *e, PlanBuilder *b, Env *env, const Ast *expr, PlanRun *run);

/* eval.c */
/* The function of an attribute on a batch. */
const Val *batch_call(Elab *e, Env *env, const Ast *expr, const Val *batch);
/* The eval blocks of the program's file that do not speak of other models only; model NULL: all. */
bool eval_entries(Elab *e, PlanBuilder *b, const Ast *model);
/* One of them, once per program; *index into b->evals, PLAN_NONE when it is checked only. */
/* Whether more of a metric is better: it is called, or calls, `accuracy` or a score of texts. Of all others,
 * which are losses, less is. */
bool metric_is_score(const Ast *eval_block, const char *metric);
bool eval_item(Elab *e, PlanBuilder *b, const Item *item, uint32_t *index);

/* generate.c: a block of the file by itself, whether anything uses it or not. */
bool block_check(Elab *e, const Item *item);
/* The models of chat and generate blocks as decoding calls them. */
void decode_check(Elab *e, const File *file);

/* entry_generate.c: a generate block as entries of the program, once; *index into b->generates, PLAN_NONE
 * where it makes no text. False after diagnostics. */
bool generate_use(Elab *e, PlanBuilder *b, const Item *item, uint32_t *index);

/* load.c: the `load` clauses of a model, whose states are those from `first` on; kept in e->loads. False
 * after diagnostics. */
bool loads_check(Elab *e, Env *env, const Ast *block, const Val *model, uint32_t first);

/* pattern.c */
bool match_pattern(const char *pattern, const char *path);
bool match_pattern_n(const char *pattern, size_t length, const char *path); /* its first bytes */

/* entry_call.c: a value as a result of e->g; the parts of a loss and of a tuple have names of their own,
 * NAME.sum, NAME.0. False after a diagnostic. */
bool call_results(Elab *e, Sym name, const Val *v);

#endif
