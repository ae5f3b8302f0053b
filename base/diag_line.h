/* diag_line.h: one source line with marks and labels under it; private to diag_render.c. */
#ifndef MDL_DIAG_LINE_H
#define MDL_DIAG_LINE_H

#include "diag_data.h"

/* Colours as ANSI escapes, or empty strings. */
typedef struct Paint {
    const char *error, *warning, *bold, *rule, *edit, *off;
} Paint;

const Paint *line_paint(bool color);

/* Bytes [lo, hi) of the line are underlined with `sign`; lo == hi is a place. */
typedef struct Mark {
    uint32_t lo, hi;
    uint32_t order;    /* breaks ties of equal places */
    char sign;         /* '^' primary, '-' secondary, '~' and '+' edits */
    const char *label; /* may be NULL */
} Mark;

typedef struct Line Line;

/* Marks are sorted by lo. */
Line *line_new(Arena *arena, const char *text, size_t n, const Mark *marks, uint32_t nmarks);
/* The text, cut around the first mark when it is long, with a blank in front, and a newline. */
void line_put_text(StrBuf *sb, const Line *line);
/* Rows under the text: the marks, and one or two rows per label that does not fit beside them. */
uint32_t line_mark_rows(const Line *line);
void line_put_marks(StrBuf *sb, const Line *line, uint32_t row, const Paint *paint);
/* Text from the user with everything a terminal could obey, and bad UTF-8, replaced by `?`. */
void line_put_clean(StrBuf *sb, const char *text);

#endif
