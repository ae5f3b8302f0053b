/* textrows.h: text files with a row after another: where each begins, and numbers in text. */
#ifndef MDL_TEXTROWS_H
#define MDL_TEXTROWS_H

#include "source.h"

typedef struct TextRows {
    const char *path;
    HostFile file;
    const char *text, *end; /* without a byte order mark */
    uint64_t *at;           /* malloc: offset of each row */
    int64_t n;
} TextRows;

/* Finds the row that begins at or behind `at`, which is not the end: its first byte (NULL: only blank ones
 * are left) and the byte behind it and its line break. False: ERR_DATA. */
typedef bool TextRowFn(const TextRows *t, const char **at, const char **next, Err *err);

/* Maps the file of the source's columns and finds its rows, twice: to count and to note them. */
bool textrows_open(TextRows *t, Source *s, Err *err);
bool textrows_index(TextRows *t, const char *from, TextRowFn *find, Err *err);
void textrows_close(TextRows *t);
/* Row i without its line break. */
Cell textrows_row(const TextRows *t, int64_t i);
/* The number of the line that a byte of the text lies in, from 1. */
int64_t textrows_line(const TextRows *t, const char *at);
void textrows_where(const TextRows *t, int64_t row, StrBuf *out);

bool text_is_utf8(const char *at, size_t n);
/* A finite decimal number, true or false, blanks around it allowed. Nothing else: no hexadecimal, no nan. */
bool text_number(const char *at, size_t n, double *out);
/* "`abc`", shortened and without control characters, for messages. */
const char *text_quote(Arena *arena, const char *at, size_t n);

#endif
