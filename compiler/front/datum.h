/* datum.h: values at data time. A row, an image, an answer are known when the batch is made, so the
 * evaluator computes with expressions over the columns of a source: `row.images / 255` becomes a small
 * tree whose type, and shape where it is known, is checked now. Private to front.
 *
 *   datum.c     operators, members, types of arguments        datum_text.c  how they read in messages
 *   datafns.c   resize, normalize, turns, token_recall ..     source.c      what columns a source has
 *   rowcode.c   the tree as postfix code for the loader, where the loader can do it
 */
#ifndef MDL_DATUM_H
#define MDL_DATUM_H

#include "elab.h"

typedef enum DatumKind {
    DA_ANY,   /* a cell of a file: whatever it is used as */
    DA_ARRAY, /* numbers; a field's type decides the element type */
    DA_BOOL,
    DA_STR,
    DA_TEXT, /* turns(..): to be put through a template */
    DA_IMAGE,
    DA_AUDIO,
    DA_ROW
} DatumKind;

/* Columns of a source. */
typedef struct Column Column;
typedef struct Columns {
    uint32_t n;
    const Column *at;
    bool open;   /* others may be in the files */
    bool tar;    /* an open column's kind is said by its name: row.jpg */
    bool arrays; /* open columns are arrays */
} Columns;

typedef struct DatumType {
    DatumKind kind;
    bool shaped; /* ARRAY: the rank is known; IMAGE: dim is height and width */
    bool tiles;  /* ARRAY: several of them for one image */
    uint32_t rank;
    const Dim *dim[IR_MAX_RANK]; /* NULL: not known */
    const Columns *columns;      /* ROW */
} DatumType;

struct Column {
    Sym name;
    DatumType type;
};

typedef struct Datum Datum;
struct Datum {
    const char *op; /* "column", "number", "string", "add", "resize" .. */
    DatumType type;
    uint32_t narg;
    const Datum *const *arg;
    Sym name;   /* of the argument that it is passed as, or NULL */
    Sym text;   /* column: its name; string: the text */
    double num; /* number; index */
    Span span;
};

/* ---- datum.c ---- */

bool is_datum(const Val *v);
const Val *datum_val(Elab *e, const Datum *d);
const Val *datum_row(Elab *e, const Columns *columns, Span span);
/* A node without special arguments; type.kind and the rest as given. */
typedef struct DatumArgs {
    const Val *const *at;
    uint32_t n;
} DatumArgs;
const Val *datum_new(Elab *e, const char *op, const DatumType *type, DatumArgs args, Span span);
/* Numbers, strings, tuples of them, and data-time values as a tree; NULL after E0205. */
const Datum *datum_of(Elab *e, const Val *v);
/* An operator or elementwise function of ops.def on operands of which one is a datum. */
const Val *datum_apply(Elab *e, const char *op, const Val *const *arg, uint32_t n, Span span);
const Val *datum_member(Elab *e, const Val *v, const Ast *a);
const Val *datum_index(Elab *e, Env *env, const Ast *a, const Val *v);
/* `as` with the dims of a type (NULL: a cast alone). */
const Val *datum_as(Elab *e, const Val *v, const Dim *const *dims, uint32_t rank, Span span);
bool datum_kind_find(Sym word, DatumKind *out); /* image str row text audio as types */
/* A value of a type such as `image` or `row`, for a function that nothing calls; else NULL. */
const Val *datum_made(Elab *e, const Ast *type);
bool datum_is_text(const Ast *type); /* text, text[448] */
/* False after E0205: fn computes with tensors, modules and ops of shapes, and an argument is a datum. */
bool datum_callable(Elab *e, const Val *fn, const Args *args);
/* v as a value of that kind, a cell of a file becoming one; NULL when it is another. */
const Val *datum_as_kind(Elab *e, const Val *v, DatumKind kind);
/* A tuple or list, each element of which is one number, as far as that is known. */
bool datum_list_of_numbers(Elab *e, const Val *v);
/* All extents known. */
bool datum_dims_known(const DatumType *t);

/* ---- template.c ---- */

bool template_builtin(const Builtin *b); /* learn, token */

/* ---- datum_text.c ---- */

const char *datum_kind_text(DatumKind kind);            /* "an image" */
const char *datum_text(Elab *e, const DatumType *type); /* with its shape */

#endif
