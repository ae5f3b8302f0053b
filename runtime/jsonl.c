/* jsonl.c: a JSON object on each line. A column is what the program reads its field as: a text (strings,
 * and scalars as they are written; null is empty), or numbers (true and false are 1 and 0), whose shape is
 * that of the first row. A row is checked as a whole when it is read. */
#include "jsonscan.h"
#include "textrows.h"
#include <math.h>

typedef struct Jsonl {
    TextRows rows;
} Jsonl;

static bool find_line(const TextRows *t, const char **at, const char **next, Err *err)
{
    UNUSED(err);
    for (const char *line = *at; line < t->end; line = *next) {
        const char *end = memchr(line, '\n', (size_t)(t->end - line));
        *next = end ? end + 1 : t->end;
        JsonScan s = {.at = line, .end = *next};
        jscan_blanks(&s);
        *at = line;
        if (s.at < s.end)
            return true;
    }
    *at = NULL;
    return true;
}

/* ---- the fields of a row ---- */

static bool fail_json(const JsonScan *s, const Cell *row, Err *err)
{
    return err_set(err, ERR_DATA, "no JSON: expected %s at byte %td", s->expected, s->at - row->at);
}

static bool key_is(const JsonText *key, const char *name)
{
    char text[256];
    size_t n = strlen(name);
    if (!key->escapes)
        return key->n == n && memcmp(key->at, name, n) == 0;
    return key->n <= sizeof text && jscan_unescape(key, text) == n && memcmp(text, name, n) == 0;
}

static bool set_cell(const SourceColumn *c, const JsonText *value, Cell *out, Err *err)
{
    if (out->at)
        return err_set(err, ERR_DATA, "two fields `%s`", c->name);
    *out = (Cell){value->at, value->n, true};
    if (!c->text)
        return true;
    if (value->at[0] == '[' || value->at[0] == '{')
        return err_set(err, ERR_DATA, "the field `%s` is a list or an object, and used as text",
                       c->name);
    if (value->at[0] == 'n')
        *out = (Cell){value->at, 0, true};
    if (value->at[0] == '"')
        *out = (Cell){value->at + 1, value->n - 2, memchr(value->at, '\\', value->n) == NULL};
    return true;
}

static bool scan_pair(JsonScan *s, JsonText *key, JsonText *value)
{
    if (!jscan_string(s, key))
        return false;
    if (!jscan_take(s, ':')) {
        s->expected = "`:`";
        return false;
    }
    return jscan_value(s, value);
}

static bool fail_missing(const SourceColumn *c, const Cell *row, Err *err)
{
    Arena *arena = arena_new();
    StrBuf sb = sb_new(arena);
    JsonScan s = {.at = row->at, .end = row->at + row->n};
    JsonText key, value;
    jscan_take(&s, '{');
    for (int n = 0; n < 20 && scan_pair(&s, &key, &value); n++) {
        sb_printf(&sb, "%s%s", n ? ", " : "", text_quote(arena, key.at, key.n));
        if (!jscan_take(&s, ','))
            break;
    }
    err_set(err, ERR_DATA, "it has no field `%s`; it has %s", c->name,
            sb.n ? sb_text(&sb) : "none");
    arena_free(arena);
    return false;
}

static bool scan_object(const Source *src, JsonScan *s, Cell *out, Err *err)
{
    const Cell row = {.at = s->at};
    bool more = !jscan_take(s, '}');
    while (more) {
        JsonText key, value;
        if (!scan_pair(s, &key, &value))
            return fail_json(s, &row, err);
        for (uint32_t c = 0; c < src->data->ncolumn; c++)
            if (key_is(&key, src->columns[c].name) &&
                !set_cell(&src->columns[c], &value, &out[c], err))
                return false;
        more = jscan_take(s, ',');
        if (!more && !jscan_take(s, '}')) {
            s->expected = "`,` or `}`";
            return fail_json(s, &row, err);
        }
    }
    return true;
}

static bool cells(const Source *src, int64_t i, Cell *out, Err *err)
{
    const Jsonl *j = src->self;
    Cell row = textrows_row(&j->rows, i);
    memset(out, 0, sizeof *out * src->data->ncolumn);
    if (!text_is_utf8(row.at, row.n))
        return err_set(err, ERR_DATA, "not UTF-8");
    JsonScan s = {.at = row.at, .end = row.at + row.n};
    if (!jscan_take(&s, '{'))
        return err_set(err, ERR_DATA, "no JSON object: it begins with %c",
                       *s.at >= ' ' && *s.at <= '~' ? *s.at : '?');
    if (!scan_object(src, &s, out, err))
        return false;
    jscan_blanks(&s);
    if (s.at < s.end)
        return err_set(err, ERR_DATA, "more than one JSON object on a line");
    for (uint32_t c = 0; c < src->data->ncolumn; c++)
        if (!out[c].at)
            return fail_missing(&src->columns[c], &row, err);
    return true;
}

static size_t text(const Cell *cell, char *out)
{
    return jscan_unescape(&(JsonText){cell->at, cell->n, true}, out);
}

/* ---- numbers ---- */

static bool scalar(JsonScan *s, double *out, Err *err)
{
    JsonText v;
    if (!jscan_value(s, &v))
        return err_set(err, ERR_DATA, "no number");
    if (text_number(v.at, v.n, out))
        return true;
    Arena *arena = arena_new();
    err_set(err, ERR_DATA, "a number is expected, and this is %s", text_quote(arena, v.at, v.n));
    arena_free(arena);
    return false;
}

/* The elements of axis k and those behind it, `inner` numbers each. */
static bool elements(JsonScan *s, const SourceColumn *c, uint32_t k, double **out, Err *err)
{
    if (k == c->rank)
        return scalar(s, (*out)++, err);
    bool fits = jscan_take(s, '[');
    for (int64_t i = 0; fits && i < c->dim[k]; i++) {
        fits = i == 0 || jscan_take(s, ',');
        if (fits && !elements(s, c, k + 1, out, err))
            return false;
    }
    return (fits && jscan_take(s, ']')) ||
           err_set(err, ERR_DATA, "%lld elements are expected on axis %u, as in the first row",
                   (long long)c->dim[k], k);
}

static bool numbers(const SourceColumn *c, const Cell *cell, double *out, Err *err)
{
    JsonScan s = {.at = cell->at, .end = cell->at + cell->n};
    return elements(&s, c, 0, &out, err);
}

/* ---- opening ---- */

/* The extents along the first elements; `numbers` finds rows that differ, the first one included. */
static bool find_shape(SourceColumn *c, const Cell *cell, Err *err)
{
    JsonScan s = {.at = cell->at, .end = cell->at + cell->n};
    c->count = 1;
    while (jscan_take(&s, '[')) {
        JsonScan all = s;
        int64_t n = 0;
        jscan_blanks(&all);
        while (all.at < all.end && *all.at != ']' && jscan_value(&all, NULL)) {
            n++;
            jscan_take(&all, ',');
            jscan_blanks(&all);
        }
        if (c->rank == PLAN_MAX_RANK)
            return err_set(err, ERR_DATA, "more than %d axes", (int)PLAN_MAX_RANK);
        c->dim[c->rank++] = n;
        if (__builtin_mul_overflow(c->count, n, &c->count))
            return err_set(err, ERR_DATA, "too many elements");
    }
    return c->count > 0 || err_set(err, ERR_DATA, "an empty list");
}

static bool find_shapes(Source *s, Err *err)
{
    Cell *first = NEW_ARRAY(s->arena, Cell, s->data->ncolumn);
    if (!cells(s, 0, first, err))
        return source_at_row(s, 0, err);
    for (uint32_t c = 0; c < s->data->ncolumn; c++) {
        SourceColumn *column = &s->columns[c];
        if (!column->text && !find_shape(column, &first[c], err)) {
            err_context(err, "column `%s`", column->name);
            return source_at_row(s, 0, err);
        }
    }
    return true;
}

static bool open_jsonl(Source *s, Err *err)
{
    Jsonl *j = NEW(s->arena, Jsonl);
    s->self = j;
    if (!textrows_open(&j->rows, s, err) || !textrows_index(&j->rows, j->rows.text, find_line, err))
        return false;
    s->rows = j->rows.n;
    return s->rows ? find_shapes(s, err) : err_set(err, ERR_DATA, "%s: no rows", j->rows.path);
}

static void where(const Source *s, int64_t row, StrBuf *out)
{
    const Jsonl *j = s->self;
    textrows_where(&j->rows, row, out);
}

static void close_jsonl(Source *s)
{
    Jsonl *j = s->self;
    if (j)
        textrows_close(&j->rows);
}

const SourceKind source_jsonl = {.open = open_jsonl,
                                 .cells = cells,
                                 .numbers = numbers,
                                 .text = text,
                                 .where = where,
                                 .close = close_jsonl};
