/* data.h: data, tokenizer and template blocks as plain structures: what a loader needs to know. Whatever
 * the loader cannot do yet is here all the same; a plan refuses it. Private to front. */
#ifndef MDL_DATA_H
#define MDL_DATA_H

#include "blocks.h"
#include "datum.h"

/* ---- source.c ---- */

typedef struct SourceInfo {
    const char *name;
    bool stream;        /* rows are cut from one stream of tokens */
    bool tokens;        /* the files hold tokens: no tokenizer is needed */
    bool conversations; /* turns, through a template */
    bool arrays;        /* arguments name arrays */
    bool open;          /* columns are those of the files */
    bool tar, mix;
    const char *file; /* the argument that names the file; NULL: each column has its own */
    bool runs;        /* the loader has it: `plan` */
    PlanSourceKind plan;
} SourceInfo;
typedef struct DataSpec DataSpec;
const SourceInfo *source_find(const char *name);
/* NULL after a diagnostic. */
const Columns *source_columns(Elab *e, const SourceInfo *s, const Val *source);
typedef struct SourceCell { /* a column, and what it is read as */
    Sym name;
    bool text;
} SourceCell;
/* Adds the column to the plan: its file, and for an archive its member, which is called like the column
 * unless the source says otherwise. False when the source has no such column. */
bool source_column(Elab *e, PlanBuilder *b, const DataSpec *s, const SourceCell *cell);

/* ---- tokenizer.c ---- */

typedef struct Tokenizer {
    const char *kind; /* hf, sentencepiece, bpe, bytes, or file: by the file's contents */
    Sym file, pad, image;
    uint32_t nspecial;
    const Sym *special;
    int legacy; /* -1: as the file says */
} Tokenizer;
const Tokenizer *tokenizer_of(Elab *e, const Val *v); /* NULL after a diagnostic */
/* Ends a text, where the tokenizer has such a token. */
#define TOKEN_EOS "<eos>"

/* ---- tokenplan.c: tokens of rows in the plan ---- */

/* A standard field of a source of tokens; rank: of one row. */
typedef struct TokenField {
    const char *name;
    DType dtype;
    uint32_t rank;
    PlanFieldKind kind;
} TokenField;
enum { TOKEN_FIELDS = 7 };
extern const TokenField token_fields[TOKEN_FIELDS];
/* Its number in the plan. What cannot be run yet is refused by a plan. */
uint32_t tokenizer_plan(Elab *e, PlanBuilder *b, const Tokenizer *t, Span span);
/* Its tokens, special ones included; 0: known when its file is read. */
int64_t tokenizer_size(const Tokenizer *t);
/* The rows of the parameter *table that n reads at the numbers `at`, or -1. */
int64_t rows_read(const Program *p, const Node *n, const Node *at, const State **table);
/* Does every token that the graph looks up have a row? False after E0705. */
bool tokens_have_rows(Elab *e, const Graph *g, const Tokenizer *t, Span span);
/* The stream of a source of text and the fields it gives; false after diagnostics. */
bool stream_plan(Elab *e, PlanBuilder *b, const DataSpec *s, PlanData *d);

/* ---- template.c ---- */

typedef enum SegmentKind { SG_TEXT, SG_CONTENT, SG_BOS, SG_EOS, SG_IMAGE, SG_TOKEN } SegmentKind;

typedef struct Segment {
    SegmentKind kind;
    Sym text; /* TEXT; TOKEN: its name */
    bool learned;
} Segment;

typedef struct Segments {
    uint32_t n;
    const Segment *at;
} Segments;

typedef struct Template {
    const Ast *block;
    Segments begin, system, user, assistant, image, stop;
    bool learns; /* some segment is learned */
} Template;
const Template *template_of(Elab *e, const Val *v); /* NULL after diagnostics */
/* The scope of a template's attributes: content, bos, eos, image, token(..), learn(..). */
Env *template_scope(Elab *e, Env *up);

/* ---- data.c ---- */

/* Sizes that a batch brings, such as its images: the upper end of their range. It is no free size, and small
 * enough that a tensor for each image stays below the limit of elements. */
enum { BATCH_SIZE_MAX = 1 << 20 };

typedef enum FieldKind { FK_FIXED, FK_RAGGED, FK_TEXT } FieldKind;

typedef struct DataField {
    FieldKind kind;
    const Ast *ast;
    const Type
        *type;      /* FIXED: of one row; RAGGED: of all, its first extent is a size of the batch */
    int64_t length; /* TEXT */
    const Datum *value;
} DataField;

/* One use of a data block, with its arguments. */
struct DataSpec {
    const Ast *block; /* NULL: mix(..) as it is */
    Span span;
    Env *env;
    const SourceInfo *info;
    const Val *source; /* the constructor's call */
    const Columns *columns;
    uint32_t nfield;
    DataField *field;
    const Tokenizer *tokenizer;
    const Template *template;
    int64_t length; /* 0: none */
    bool open;      /* some formals have no values: what depends on them is not known */
    bool packs;     /* several samples in a row */
    PlanOverlong overlong;
    bool shuffle;
    int64_t workers;                   /* 0: not given */
    int64_t limit;                     /* rows, -1: all */
    double limit_share;                /* 0: none */
    const Datum *filter, *map, *image; /* or NULL */
    uint32_t npart;                    /* of a mix */
    const DataSpec **part;
    double *weight;
};
/* The data that `data d`, `d(..)` or mix(..) means; NULL after diagnostics. */
const DataSpec *data_of(Elab *e, const Val *v, bool training);
/* A block whose formals nobody gives: whatever does not depend on them is checked. */
bool data_check_open(Elab *e, const Val *block);
bool data_tokens(const DataSpec *s);     /* its batches have tokens, pos, .. of their own */
bool data_has_tokens(const DataSpec *s); /* those, or text fields */
bool data_packs(const DataSpec *s);      /* several samples share a row */
/* What an answer of an `eval` with `generate` has: the row, and text. */
const Columns *data_answers(Elab *e, const DataSpec *s);
/* The function of one argument on a datum; its value, or NULL after a diagnostic. */
const Val *data_call(Elab *e, Env *env, const Ast *fn, const Val *arg);

/* ---- rowcode.c: an expression over a row as postfix code; false after a diagnostic ---- */

/* data->column0 is the first of the data's columns, which are the last of the plan so far. */
bool row_code(Elab *e, PlanBuilder *b, const DataSpec *s, const PlanData *data, const Datum *value);
/* The same for a text. */
bool row_text_code(Elab *e, PlanBuilder *b, const DataSpec *s, const PlanData *data,
                   const Datum *value);

/* ---- tokenplan.c ---- */

/* A text field in the plan, and the fields of its tokens; false after diagnostics. */
bool text_plan(Elab *e, PlanBuilder *b, const DataSpec *s, PlanData *d, const DataField *f);

/* ---- answers.c: false after diagnostics ---- */

bool answer_metric(Elab *e, Env *env, const Ast *metric, const DataSpec *s);
bool eval_requirements(Elab *e, Env *env, const Ast *block);

/* ---- generate.c: false after diagnostics ---- */

bool generates(Elab *e, const Val *model, Span at);     /* its forward takes what decoding gives */
bool dialog_check(Elab *e, Env *env, const Ast *block); /* chat, generate */
/* Its element types: *out but for what the block says (precision.c). */
bool block_precision(Elab *e, Env *env, const Ast *block, Precision *out);
/* What its `image` function makes of a picture, numbers; NULL: it has none. */
bool dialog_image(Elab *e, Env *env, const Ast *block, const Datum **image);

/* ---- batch.c ---- */

/* The fields of a batch of so many rows, each picture taking so many tokens (0: not known), and the same as
 * text. */
Batch *batch_of(Elab *e, const DataSpec *s, const Dim *rows, int64_t picture_rows);
const char *batch_text(Elab *e, const Batch *b);

/* ---- pictures.c ---- */

/* Rows that each of so many pictures becomes where `place` puts them among tokens; 0: nothing says it. */
int64_t picture_rows(Elab *e, const Graph *g, const Dim *pictures);
/* A call of std's place(x, seen, at: slots). */
bool places_pictures(void *elab, const Node *n);
enum { PICTURES_OPEN = -1 }; /* rows of a picture while that is being found */
/* How many there can be, of so many rows each (none: not known), among these tokens. */
int64_t pictures_most(Elab *e, const Dim *tokens, int64_t rows);

bool data_has_pictures(const DataSpec *s);
/* The functions that a batch of these rows will be given to. */
typedef struct PictureUse {
    Env *env;
    Mode mode;
    const Dim *rows;
    const Ast *const *fn;
    uint32_t n;
    Span span;
} PictureUse;
/* Sets use->picture_rows, from a pass over any number of pictures that is thrown away. False after
 * diagnostics. */
bool data_find_pictures(Elab *e, DataUse *use, const PictureUse *x);

#endif
