/* source.h: where the rows of a data block come from. Each kind of source is one SourceKind, a row of the
 * table in source.c.
 *
 * A column is dense or made of cells. The rows of a dense one lie in memory as they are, `stride` bytes
 * apart: arrays, cuts from a stream of tokens (rows overlap), constants (stride 0). A cell is a piece of a
 * text file: `cells` finds all of a row in one scan, `numbers` and `text` read one of them. An open source
 * does not change, so any number of threads read it. */
#ifndef MDL_SOURCE_H
#define MDL_SOURCE_H

#include "hostarray.h"
#include "rowloops.h"

typedef struct Source Source;

typedef struct SourceColumn {
    const char *name;
    bool text;     /* dense: never */
    uint32_t rank; /* of one row */
    int64_t dim[PLAN_MAX_RANK];
    int64_t count;        /* elements of one row */
    const uint8_t *dense; /* row 0, or NULL: cells */
    size_t stride;
    DType dtype;     /* of dense elements */
    RowLoadFn *load; /* reads them */
} SourceColumn;

typedef struct Cell {
    const char *at;
    size_t n;
    bool plain; /* its text is these bytes as they are */
} Cell;

typedef struct SourceRows {
    const int64_t *at;
    int64_t n;
} SourceRows;

typedef struct SourceKind {
    /* Fills s->rows, s->columns and s->self. After a failure, close is called all the same. */
    bool (*open)(Source *s, Err *err);
    /* The cells of a row, one for each column, or ERR_DATA without the row. NULL: all are dense. */
    bool (*cells)(const Source *s, int64_t row, Cell *out, Err *err);
    /* The column's `count` numbers. ERR_DATA without row and column. */
    bool (*numbers)(const SourceColumn *c, const Cell *cell, double *out, Err *err);
    /* The text of a cell that is not plain: at most cell->n bytes. Returns how many. */
    size_t (*text)(const Cell *cell, char *out);
    /* A field that is no CODE, of the rows; ERR_DATA with the row. NULL: the source has no such. */
    bool (*fill)(const Source *s, const PlanField *field, const SourceRows *rows, void *out,
                 Err *err);
    /* "FILE, line 7", behind the row's number in messages. NULL: nothing to add. */
    void (*where)(const Source *s, int64_t row, StrBuf *out);
    void (*close)(Source *s);
} SourceKind;

struct Source {
    const SourceKind *kind;
    const Plan *plan;
    const PlanData *data;
    Arena *arena;
    int64_t rows;
    SourceColumn *columns; /* data->ncolumn */
    VEC(const char *) files;
    double learned; /* of a source of tokens: how many a row teaches, on average */
    void *self;     /* of the kind */
};

/* Opens the files of a data block. ERR_FILE (help: where it looked), ERR_DATA. */
Source *source_open(Arena *arena, const Plan *plan, const PlanData *data, Err *err);
void source_close(Source *s); /* NULL is fine; memory stays in the arena */
/* Puts "row 7 (f.csv, line 9): " in front of an error. Returns false. */
bool source_at_row(const Source *s, int64_t row, Err *err);

/* ---- for the kinds ---- */

static inline const PlanColumn *source_plan_column(const Source *s, uint32_t c)
{
    return &s->plan->columns[s->data->column0 + c];
}
/* A path as written in the program: beside it, else in a folder of $MDL_DATA. NULL: ERR_FILE. */
const char *source_path(Source *s, PStr file, Err *err);

/* Its rows come from this file. */
void source_reads(Source *s, const char *path);

/* The folders to look in: beside the program, then those of $MDL_DATA. */
typedef VEC(const char *) Folders;
Folders source_folders(const Source *s);
/* ERR_FILE: nothing called `name` in any of them; `tried` lists what was looked for. Returns false. */
bool source_missing(const char *name, const char *tried, Err *err);

extern const SourceKind source_arrays; /* source_arrays.c: idx, npy, npz */
extern const SourceKind source_stream; /* stream.c: text, bin */
extern const SourceKind source_jsonl;  /* jsonl.c */
extern const SourceKind source_pairs;  /* csv.c */

#endif
