/* diag_line.c: the picture of one source line.
 *
 * The line is shown through a window of bytes, so that a megabyte on one line costs no more than a
 * short one. Each byte of the window gets a column; a code point takes one, a tab goes to the next
 * multiple of four, and what is not printable becomes `?`. Marks are drawn at the columns of their
 * bytes. The label of the rightmost mark stands beside it, the others hang below:
 *
 *     15 |     k = k_proj(x) as [B, T, H, dh]
 *        |         ^^^^^^^^^           ----- asks for H * dh = 4096
 *        |         |
 *        |         gives 1024 */
#include "diag_line.h"

enum { WINDOW = 160, BEFORE_MARK = 60, TAB = 4, CUT_WIDTH = 3 };

struct Line {
    const char *text; /* the window */
    uint32_t n;
    bool cut_left, cut_right;
    Mark *marks; /* relative to the window, clamped to it */
    uint32_t nmarks;
    uint32_t beside;             /* the mark whose label stands on the mark row, or nmarks */
    uint32_t column[WINDOW + 1]; /* of each byte, and of the end */
};

const Paint *line_paint(bool color)
{
    static const Paint plain = {"", "", "", "", "", ""};
    static const Paint ansi = {"\033[1;31m", "\033[1;33m", "\033[1m",
                               "\033[1;34m", "\033[1;32m", "\033[0m"};
    return color ? &ansi : &plain;
}

static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

/* The code point at text[0..n) and its length; 0 when it is not valid UTF-8 (length 1 then). */
static uint32_t decode(const char *text, size_t n, uint32_t *length)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned char lead = (unsigned char)text[0];
    *length = 1;
    if (lead < 0x80)
        return lead;
    uint32_t want = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || want > n)
        return 0;
    uint32_t point = lead & (0x7fu >> want);
    for (uint32_t i = 1; i < want; i++) {
        if (!is_continuation(text[i]))
            return 0;
        point = point << 6 | ((unsigned char)text[i] & 0x3f);
    }
    if (point < least[want] || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))
        return 0;
    *length = want;
    return point;
}

/* Controls, and the marks that reorder text on a terminal: a report must show what is there. */
static bool is_printable(uint32_t point)
{
    if (point < 0x20 || (point >= 0x7f && point < 0xa0))
        return false;
    bool bidi = (point >= 0x200b && point <= 0x200f) || (point >= 0x2028 && point <= 0x202e) ||
                (point >= 0x2066 && point <= 0x2069);
    return !bidi && point != 0xfeff;
}

static void put_clean_n(StrBuf *sb, const char *text, size_t n)
{
    for (uint32_t length; n; text += length, n -= length) {
        if (is_printable(decode(text, n, &length)))
            sb_putn(sb, text, length);
        else
            sb_putc(sb, *text == '\n' || *text == '\t' ? ' ' : '?');
    }
}

void line_put_clean(StrBuf *sb, const char *text)
{
    put_clean_n(sb, text, strlen(text));
}

/* Chooses the window: the whole line, or WINDOW bytes around the primary (else the first) mark. */
static void set_window(Line *line, const char *text, size_t n, const Mark *marks)
{
    size_t from = 0, to = n;
    if (n > WINDOW) {
        size_t focus = line->nmarks ? marks[0].lo : 0;
        for (uint32_t i = 0; i < line->nmarks; i++)
            if (marks[i].sign == '^')
                focus = marks[i].lo;
        from = focus > BEFORE_MARK ? focus - BEFORE_MARK : 0;
        if (from + WINDOW > n)
            from = n - WINDOW;
        to = from + WINDOW;
        for (int i = 0; i < 3 && from < to && is_continuation(text[from]); i++)
            from++;
        for (int i = 0; i < 3 && to < n && to > from && is_continuation(text[to]); i++)
            to--;
    }
    line->text = text + from;
    line->n = (uint32_t)(to - from);
    line->cut_left = from > 0;
    line->cut_right = to < n;
    for (uint32_t i = 0; i < line->nmarks; i++) {
        Mark *mark = &line->marks[i];
        *mark = marks[i];
        size_t lo = mark->lo < from ? from : mark->lo > to ? to : mark->lo;
        size_t hi = mark->hi < lo ? lo : mark->hi > to ? to : mark->hi;
        mark->lo = (uint32_t)(lo - from);
        mark->hi = (uint32_t)(hi - from);
    }
}

static void set_columns(Line *line)
{
    uint32_t column = line->cut_left ? CUT_WIDTH : 0;
    for (uint32_t i = 0, length; i < line->n; i += length) {
        decode(line->text + i, line->n - i, &length);
        for (uint32_t j = 0; j < length; j++)
            line->column[i + j] = column;
        column += line->text[i] == '\t' ? TAB - column % TAB : 1;
    }
    line->column[line->n] = column;
}

static uint32_t mark_start(const Line *line, const Mark *mark)
{
    return line->column[mark->lo];
}

static uint32_t mark_end(const Line *line, const Mark *mark)
{
    uint32_t start = line->column[mark->lo], end = line->column[mark->hi];
    return end > start ? end : start + 1;
}

Line *line_new(Arena *arena, const char *text, size_t n, const Mark *marks, uint32_t nmarks)
{
    Line *line = NEW(arena, Line);
    line->nmarks = nmarks;
    line->marks = NEW_ARRAY(arena, Mark, nmarks);
    set_window(line, text, n, marks);
    set_columns(line);
    line->beside = nmarks;
    uint32_t right = 0;
    for (uint32_t i = 0; i < nmarks; i++) {
        uint32_t end = mark_end(line, &line->marks[i]);
        if (end < right)
            continue;
        right = end;
        line->beside = line->marks[i].label ? i : nmarks;
    }
    return line;
}

void line_put_text(StrBuf *sb, const Line *line)
{
    if (line->n)
        sb_putc(sb, ' ');
    if (line->cut_left)
        sb_puts(sb, "...");
    for (uint32_t i = 0, length; i < line->n; i += length) {
        decode(line->text + i, line->n - i, &length);
        if (line->text[i] != '\t')
            put_clean_n(sb, line->text + i, length);
        else
            sb_printf(sb, "%*s", (int)(line->column[i + 1] - line->column[i]), "");
    }
    if (line->cut_right)
        sb_puts(sb, "...");
    sb_putc(sb, '\n');
}

static bool hangs(const Line *line, uint32_t i)
{
    return line->marks[i].label && i != line->beside;
}

/* Row 0: the marks. Row 1: connectors of all hanging labels. Then the labels, right to left. */
uint32_t line_mark_rows(const Line *line)
{
    uint32_t labels = 0;
    for (uint32_t i = 0; i < line->nmarks; i++)
        labels += hangs(line, i);
    return line->nmarks ? 1 + labels + (labels > 0) : 0;
}

static const char *mark_paint(char sign, const Paint *paint)
{
    if (sign == ' ')
        return paint->off;
    if (sign == '^')
        return paint->error;
    return sign == '-' || sign == '|' ? paint->rule : paint->edit;
}

/* A row of signs, one per column, without trailing blanks. */
static void put_signs(StrBuf *sb, const char *signs, uint32_t n, const Paint *paint)
{
    while (n && signs[n - 1] == ' ')
        n--;
    if (!n)
        return;
    sb_putc(sb, ' ');
    for (uint32_t i = 0; i < n; i++) {
        if (i == 0 || signs[i] != signs[i - 1])
            sb_puts(sb, mark_paint(signs[i], paint));
        sb_putc(sb, signs[i]);
    }
    sb_puts(sb, paint->off);
}

static void draw_marks(const Line *line, char *signs)
{
    for (int primary = 0; primary <= 1; primary++) {
        for (uint32_t i = 0; i < line->nmarks; i++) {
            const Mark *mark = &line->marks[i];
            if ((mark->sign == '^') != primary)
                continue;
            uint32_t start = mark_start(line, mark);
            memset(signs + start, mark->sign, mark_end(line, mark) - start);
        }
    }
}

/* Connectors of the hanging labels before `end`. */
static void draw_connectors(const Line *line, char *signs, uint32_t end)
{
    for (uint32_t i = 0; i < end; i++)
        if (hangs(line, i))
            signs[mark_start(line, &line->marks[i])] = '|';
}

static void put_label(StrBuf *sb, const Mark *mark, const Paint *paint)
{
    sb_puts(sb, mark_paint(mark->sign, paint));
    line_put_clean(sb, mark->label);
    sb_puts(sb, paint->off);
}

/* The hanging label of the row, counted from the right. */
static uint32_t label_of_row(const Line *line, uint32_t row)
{
    uint32_t i = line->nmarks;
    for (uint32_t left = row - 1; left; left--)
        do
            i--;
        while (!hangs(line, i));
    return i;
}

void line_put_marks(StrBuf *sb, const Line *line, uint32_t row, const Paint *paint)
{
    char signs[(WINDOW + 1) * TAB + CUT_WIDTH + 1];
    memset(signs, ' ', sizeof signs);
    if (row == 0) {
        draw_marks(line, signs);
        put_signs(sb, signs, sizeof signs, paint);
        if (line->beside < line->nmarks) {
            sb_putc(sb, ' ');
            put_label(sb, &line->marks[line->beside], paint);
        }
    } else if (row == 1) {
        draw_connectors(line, signs, line->nmarks);
        put_signs(sb, signs, sizeof signs, paint);
    } else {
        uint32_t i = label_of_row(line, row);
        uint32_t column = mark_start(line, &line->marks[i]), drawn = 0;
        draw_connectors(line, signs, i);
        put_signs(sb, signs, column, paint);
        for (uint32_t c = 0; c < column; c++)
            drawn = signs[c] == ' ' ? drawn : c + 1;
        sb_printf(sb, "%*s", (int)(column - drawn + (drawn == 0)), "");
        put_label(sb, &line->marks[i], paint);
    }
    sb_putc(sb, '\n');
}
