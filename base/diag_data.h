/* diag_data.h: what diag.c collects and diag_render.c shows; private to diag_*.c. */
#ifndef MDL_DIAG_DATA_H
#define MDL_DIAG_DATA_H

#include "diag.h"

typedef struct Source {
    const char *path;
    const char *text;
    uint32_t n;
    VEC(uint32_t) starts; /* offset of each line; at least one */
    bool library;         /* not the user's text */
} Source;

typedef enum ExtraKind { EXTRA_NOTE, EXTRA_HELP, EXTRA_FIX } ExtraKind;

typedef struct Extra {
    ExtraKind kind;
    Span span;               /* FIX: what is replaced */
    const char *replacement; /* FIX */
    const char *text;
    bool certain; /* FIX */
} Extra;

typedef struct Also {
    Span span;
    const char *label;
} Also;

struct Diag {
    Diags *diags;
    DiagCode code;
    DiagLevel level;
    Span span;
    uint32_t seq; /* order of arrival, the last key of sorting */
    const char *text, *label;
    VEC(Also) also;
    VEC(Extra) extras;
    Diag *same_hash; /* earlier report with the same hash of (code, span, text) */
};

struct Diags {
    Arena *arena;
    VEC(Source) sources; /* file number - 1 */
    VEC(Diag *) list;
    Map *seen;
    bool denied[DIAG_COUNT];
    uint32_t errors, warnings;
    uint32_t reported; /* errors with repetitions */
    Span call;         /* of the user, that is being worked on; zero: none */
};

/* NULL for the zero span and unknown files. */
const Source *diags_find_source(const Diags *diags, uint32_t file);
/* The line (from 0) that holds the offset. */
uint32_t source_line(const Source *source, uint32_t offset);
/* The offset behind the last byte of the line, without its newline (and carriage return). */
uint32_t source_line_end(const Source *source, uint32_t line);
/* All reports by place. */
Diag **diags_sorted(const Diags *diags, Arena *arena);
/* diag_json.c */
const char *diags_json(const Diags *diags, Arena *arena);
const char *diags_sarif(const Diags *diags, Arena *arena);

#endif
