/* parse.h: the reader of graph text: cursor and values (parse.c), lines and blocks
 * (parse_graph.c); private to ir. The first mistake is reported and ends the reading. */
#ifndef MDL_IR_PARSE_H
#define MDL_IR_PARSE_H

#include "tables.h"
#include "text.h"

/* Limits that only a damaged or hostile text meets. */
enum {
    TEXT_MAX_SYMS = 256,
    TEXT_MAX_DEPTH = 64,
    TEXT_MAX_LIST = 1 << 16,
    TEXT_MAX_TUPLE = 1 << 16
};

typedef struct TextDef {
    const Def *def;
    uint32_t depth; /* of references to other defs */
} TextDef;

typedef struct Parser {
    Ir *ir;
    Arena *scratch;
    uint32_t file;
    const char *text, *at, *end;
    bool failed;
    Map *syms;      /* label Sym -> DimSym */
    Map *defs;      /* label Sym -> TextDef */
    uint32_t depth; /* deepest def that the current body refers to */
} Parser;

/* Reports `text` at the cursor unless something was reported before; always false. */
bool parse_fail(Parser *p, DiagCode code, const char *fmt, ...) PRINTF_LIKE(3, 4);
Span parse_span(const Parser *p, const char *from, const char *to);

/* The next character after blanks of this line; '\0' at the end of the text. */
char parse_peek(Parser *p);
bool parse_accept(Parser *p, const char *token); /* skips it when it is next */
bool parse_expect(Parser *p, const char *token);
bool parse_end_line(Parser *p); /* blanks, newline, then empty lines and further blanks */

/* Each skips blanks, reads one value and answers false after a report. */
bool parse_word(Parser *p, Sym *out); /* name characters, at least one */
bool parse_name(Parser *p, Sym *out); /* a word or a quoted string */
bool parse_string(Parser *p, Sym *out);
bool parse_int(Parser *p, int64_t *out);
bool parse_index(Parser *p, uint32_t *out); /* 0 .. 2^31 - 1 */
bool parse_dim(Parser *p, const Dim **out);
bool parse_type(Parser *p, const Type **out);
bool parse_attr(Parser *p, AttrKind kind, Attr *out);

#endif
