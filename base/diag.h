/* diag.h: what is wrong with the user's program, collected, sorted, and shown with carets.
 *
 * One mistake, one error: a phase reports all it finds and returns NULL or poison; dependants of
 * an erroneous value stay silent. Messages are lower-case, without a final stop, and say what was
 * expected and what was found. Every code is a row of diags.def and has a test. */
#ifndef MDL_DIAG_H
#define MDL_DIAG_H

#include "base.h"

/* Byte range [lo, hi) of source `file` (an index into Diags). lo == hi is a place between bytes.
 * The zero Span means "no place". file numbers start at 1. */
typedef struct Span {
    uint32_t file, lo, hi;
} Span;

typedef enum DiagCode {
#define DIAG(code, title) DIAG_##code,
#include "diags.def"
#undef DIAG
    DIAG_COUNT
} DiagCode;

typedef enum DiagLevel { DIAG_ERROR, DIAG_WARNING } DiagLevel;
/* For people with the source, for people in one line each, one JSON object a line, one SARIF file. */
typedef enum DiagFormat { DIAG_HUMAN, DIAG_SHORT, DIAG_JSON, DIAG_SARIF } DiagFormat;

typedef struct Diags Diags;
typedef struct Diag Diag;

Diags *diags_new(Arena *arena);
/* Registers a source text (kept, not copied) and returns its file number (>= 1). */
uint32_t diags_source(Diags *diags, const char *path, const char *text, size_t n);
uint32_t diags_sources(const Diags *diags); /* how many */
const char *diags_path(const Diags *diags, uint32_t file);
const char *diags_text(const Diags *diags, uint32_t file, size_t *n);
/* 1-based line and byte column of a span's start. */
void diags_place(const Diags *diags, Span span, uint32_t *line, uint32_t *column);

/* The source is text that the user has not written. A report in it stands at the user's call that led
 * there, where one is known; the place in the library becomes a second one. */
void diags_library(Diags *diags, uint32_t file);
/* A call begins; calls by a library change nothing. Returns the one that goes on when it ends. */
Span diags_call(Diags *diags, Span call);
void diags_return(Diags *diags, Span outer);

/* Warnings of this code are errors from now on. */
void diags_deny(Diags *diags, DiagCode code);
/* The code of that name; false when there is none. */
bool diag_code_find(const char *name, DiagCode *out);

/* Starts an error or warning (level by the code's first letter: E error, W warning). Never NULL.
 * Identical (code, span, text) reports are merged. */
Diag *diag_at(Diags *diags, DiagCode code, Span span, const char *fmt, ...) PRINTF_LIKE(4, 5);
/* An error that an earlier report has said already: counted among the reported ones, not shown. */
void diag_again(const Diag *first);
/* Text beside the primary caret. */
void diag_label(Diag *diag, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* A second place with its own text. */
void diag_also(Diag *diag, Span span, const char *fmt, ...) PRINTF_LIKE(3, 4);
void diag_note(Diag *diag, const char *fmt, ...) PRINTF_LIKE(2, 3);
void diag_help(Diag *diag, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* A help line with an edit: the text of `span` becomes `replacement` (shown under the source). */
void diag_fix(Diag *diag, Span span, const char *replacement, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
/* The same for an edit that is right whatever the user had in mind: `mdl fix` makes it unasked. */
void diag_fix_certain(Diag *diag, Span span, const char *replacement, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
/* The text of `file` with all certain edits, *n of them; of two that overlap only the first. NULL when
 * there are none. */
const char *diags_fixed(const Diags *diags, Arena *arena, uint32_t file, uint32_t *n);

uint32_t diags_errors(const Diags *diags);
uint32_t diags_errors_in(const Diags *diags, uint32_t file); /* whose place is in this source */
uint32_t diags_warnings(const Diags *diags);
/* Error reports so far, repeated ones too. Unchanged over a call: it found nothing wrong (while
 * diags_errors stays the same when all it found was known already). */
uint32_t diags_reported(const Diags *diags);
/* All reports, sorted by place, as text (format of docs/language.md, diagnostics). `color` adds
 * ANSI escapes. After 20 errors a line says how many were left out (not in JSON and SARIF). */
const char *diags_render(const Diags *diags, Arena *arena, DiagFormat format, bool color);
/* "E0201" and the one-line title of a code. */
const char *diag_code_name(DiagCode code);
const char *diag_code_title(DiagCode code);

#endif
