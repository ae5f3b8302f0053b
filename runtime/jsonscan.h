/* jsonscan.h: JSON in place, for rows of data: one value after the other is checked and skipped, and what is
 * wanted is read where it lies. Nothing is allocated (jansson makes a tree of every row).
 *
 * Strict RFC 8259: no trailing commas, comments, NaN or leading zeros; surrogates of \u come in pairs. That
 * the bytes are UTF-8 is checked apart (text_is_utf8). */
#ifndef MDL_JSONSCAN_H
#define MDL_JSONSCAN_H

#include "base.h"

typedef struct JsonScan {
    const char *at, *end;
    const char *expected; /* after a failure: what should stand at `at` */
} JsonScan;

typedef struct JsonText { /* a value, or what is in the quotes of a string */
    const char *at;
    size_t n;
    bool escapes; /* a string with backslashes */
} JsonText;

void jscan_blanks(JsonScan *s);
/* Skips blanks, then takes the character if it is next. */
bool jscan_take(JsonScan *s, char c);
/* What stands in the quotes of the string that comes next. */
bool jscan_string(JsonScan *s, JsonText *out);
/* Any value, at most 64 deep. `out` (or NULL) is its text with quotes and brackets. */
bool jscan_value(JsonScan *s, JsonText *out);
/* Writes a checked string with its escapes resolved, at most text->n bytes. Returns how many. */
size_t jscan_unescape(const JsonText *text, char *out);

#endif
