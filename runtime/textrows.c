/* textrows.c: the index of a text file's rows, 8 bytes each. The file stays mapped; a row is read when a
 * batch needs it. */
#include "textrows.h"
#include <ctype.h>
#include <math.h>

bool textrows_open(TextRows *t, Source *s, Err *err)
{
    if (s->data->ncolumn == 0)
        return err_set(err, ERR_DATA, "no column of its file is used");
    PStr file = source_plan_column(s, 0)->file;
    for (uint32_t c = 1; c < s->data->ncolumn; c++)
        if (source_plan_column(s, c)->file != file)
            return err_set(err, ERR_DATA, "its columns are of two files");
    t->path = source_path(s, file, err);
    if (!t->path || !host_file_open(&t->file, t->path, err))
        return false;
    t->text = (const char *)t->file.data;
    t->end = t->text + t->file.n;
    if (t->file.n >= 3 && memcmp(t->text, "\xef\xbb\xbf", 3) == 0)
        t->text += 3;
    return true;
}

/* Notes rows from `from` on when there is room for them; counts them. */
static bool walk(TextRows *t, const char *from, TextRowFn *find, Err *err)
{
    const char *next;
    t->n = 0;
    for (const char *at = from; at < t->end; at = next) {
        if (!find(t, &at, &next, err))
            return false;
        if (!at)
            break;
        if (t->at)
            t->at[t->n] = (uint64_t)(at - t->text);
        t->n++;
    }
    return true;
}

bool textrows_index(TextRows *t, const char *from, TextRowFn *find, Err *err)
{
    if (!walk(t, from, find, err))
        return err_context(err, "%s", t->path);
    t->at = host_alloc(sizeof *t->at * (size_t)t->n, err);
    return t->at && walk(t, from, find, err);
}

void textrows_close(TextRows *t)
{
    free(t->at);
    host_file_close(&t->file);
}

Cell textrows_row(const TextRows *t, int64_t i)
{
    const char *at = t->text + t->at[i], *end = i + 1 < t->n ? t->text + t->at[i + 1] : t->end;
    while (end > at && (end[-1] == '\n' || end[-1] == '\r'))
        end--;
    return (Cell){.at = at, .n = (size_t)(end - at)};
}

int64_t textrows_line(const TextRows *t, const char *at)
{
    int64_t line = 1;
    for (const char *p = t->text; (p = memchr(p, '\n', (size_t)(at - p))); p++)
        line++;
    return line;
}

void textrows_where(const TextRows *t, int64_t row, StrBuf *out)
{
    sb_printf(out, "%s, line %lld", t->path, (long long)textrows_line(t, t->text + t->at[row]));
}

/* ---- texts ---- */

/* Bytes of the character at `at`, 0: no UTF-8. Overlong forms, surrogates and what is beyond U+10FFFF
 * are none (Unicode, table 3-7). */
static size_t character(const uint8_t *at, size_t n)
{
    uint8_t c = at[0], lo = 0x80, hi = 0xbf;
    size_t bytes = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;
    if (bytes > n)
        return 0;
    lo = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : lo;
    hi = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : hi;
    for (size_t i = 1; i < bytes; i++, lo = 0x80, hi = 0xbf)
        if (at[i] < lo || at[i] > hi)
            return 0;
    return bytes;
}

bool text_is_utf8(const char *text, size_t n)
{
    const uint8_t *at = (const uint8_t *)text;
    for (size_t i = 0, k; i < n; i += k) {
        uint64_t eight;
        k = 8;
        if (n - i >= 8 && (memcpy(&eight, at + i, 8), !(eight & 0x8080808080808080u)))
            continue;
        k = character(at + i, n - i);
        if (!k)
            return false;
    }
    return true;
}

static void trim(const char **at, size_t *n)
{
    while (*n && isspace((unsigned char)**at))
        ++*at, --*n;
    while (*n && isspace((unsigned char)(*at)[*n - 1]))
        --*n;
}

bool text_number(const char *at, size_t n, double *out)
{
    static const struct {
        const char *word;
        double value;
    } words[] = {{"true", 1}, {"True", 1}, {"TRUE", 1}, {"false", 0}, {"False", 0}, {"FALSE", 0}};
    char copy[128], *end;
    trim(&at, &n);
    for (size_t i = 0; i < COUNT(words); i++)
        if (strlen(words[i].word) == n && memcmp(words[i].word, at, n) == 0) {
            *out = words[i].value;
            return true;
        }
    if (n == 0 || n >= sizeof copy)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!isdigit((unsigned char)at[i]) && !strchr("+-.eE", at[i]))
            return false;
    memcpy(copy, at, n);
    copy[n] = '\0';
    *out = strtod(copy, &end);
    return strlen(copy) == n && end == copy + n && isfinite(*out);
}

const char *text_quote(Arena *arena, const char *at, size_t n)
{
    enum { MOST = 40 };
    size_t shown = n < MOST ? n : MOST;
    while (shown < n && shown && ((unsigned char)at[shown] & 0xc0) == 0x80)
        shown--;
    StrBuf sb = sb_new(arena);
    sb_putc(&sb, '`');
    for (size_t i = 0; i < shown; i++)
        sb_putc(&sb, (unsigned char)at[i] < 0x20 || at[i] == 0x7f ? '?' : at[i]);
    sb_puts(&sb, shown < n ? "..`" : "`");
    return sb_text(&sb);
}
