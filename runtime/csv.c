/* csv.c: comma-separated values (RFC 4180) with a header. A field may stand in quotes, in which a quote is
 * doubled and commas and line breaks are text; elsewhere a quote is a character like any other. Records end
 * with LF or CRLF, empty lines are none. A cell is a text or a number, as the program reads it. */
#include "textrows.h"

typedef struct Csv {
    TextRows rows;
    uint32_t nfield;  /* of the header */
    uint32_t *column; /* the field of each of the source's columns */
} Csv;

/* ---- one field ---- */

typedef struct CsvScan {
    const char *at, *end; /* of the file */
    const char *error;    /* after a failure */
} CsvScan;

/* The field at s->at, which ends at a comma, a line break or the end, where s->at is left. */
static bool scan_field(CsvScan *s, Cell *out)
{
    *out = (Cell){s->at, 0, true};
    if (s->at == s->end || *s->at != '"') {
        while (s->at < s->end && *s->at != ',' && *s->at != '\n')
            s->at++;
        out->n = (size_t)(s->at - out->at);
        if (out->n && (s->at == s->end || *s->at == '\n') && s->at[-1] == '\r')
            out->n--;
        return true;
    }
    out->at = ++s->at;
    for (;; s->at++) {
        s->at = memchr(s->at, '"', (size_t)(s->end - s->at));
        if (!s->at) {
            s->error = "a quote that is never closed";
            return false;
        }
        if (s->at + 1 == s->end || s->at[1] != '"')
            break;
        out->plain = false;
        s->at++;
    }
    out->n = (size_t)(s->at++ - out->at);
    s->at += s->at + 1 < s->end && s->at[0] == '\r' && s->at[1] == '\n';
    s->at += s->at + 1 == s->end && s->at[0] == '\r';
    s->error = "text behind a closing quote";
    return s->at == s->end || *s->at == ',' || *s->at == '\n';
}

static bool find_record(const TextRows *t, const char **at, const char **next, Err *err)
{
    CsvScan s = {.at = *at, .end = t->end};
    Cell cell;
    while (s.at < s.end &&
           (*s.at == '\n' || (*s.at == '\r' && (s.at + 1 == s.end || s.at[1] == '\n'))))
        s.at++;
    *at = s.at < s.end ? s.at : NULL;
    for (bool more = *at; more;) {
        const char *from = s.at;
        if (!scan_field(&s, &cell))
            return err_set(err, ERR_DATA, "line %lld: %s", (long long)textrows_line(t, from),
                           s.error);
        more = s.at < s.end && *s.at++ == ',';
    }
    *next = s.at;
    return true;
}

/* ---- rows ---- */

static bool cells(const Source *src, int64_t i, Cell *out, Err *err)
{
    const Csv *csv = src->self;
    Cell row = textrows_row(&csv->rows, i), cell;
    if (!text_is_utf8(row.at, row.n))
        return err_set(err, ERR_DATA, "not UTF-8");
    CsvScan s = {.at = row.at, .end = csv->rows.end};
    uint32_t n = 0;
    for (bool more = true; more; n++) {
        bool good = scan_field(&s, &cell);
        ASSERT(good); /* the index went over it */
        for (uint32_t c = 0; c < src->data->ncolumn; c++)
            if (csv->column[c] == n)
                out[c] = cell;
        more = s.at < s.end && *s.at++ == ',';
    }
    return n == csv->nfield || err_set(err, ERR_DATA, "%u field%s, and the header has %u", n,
                                       n == 1 ? "" : "s", csv->nfield);
}

static size_t text(const Cell *cell, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < cell->n; i++) {
        out[n++] = cell->at[i];
        i += cell->at[i] == '"';
    }
    return n;
}

static bool numbers(const SourceColumn *c, const Cell *cell, double *out, Err *err)
{
    UNUSED(c);
    if (text_number(cell->at, cell->n, out))
        return true;
    Arena *arena = arena_new();
    err_set(err, ERR_DATA, "a number is expected, and this is %s",
            cell->n ? text_quote(arena, cell->at, cell->n) : "empty");
    arena_free(arena);
    return false;
}

/* ---- opening ---- */

typedef VEC(const char *) Names;

/* Reads the header; *next is the byte behind it. */
static bool read_names(Csv *csv, Arena *arena, Names *names, const char **next, Err *err)
{
    const char *at = csv->rows.text;
    Cell cell = {0};
    if (!find_record(&csv->rows, &at, next, err))
        return err_context(err, "%s", csv->rows.path);
    if (!at || csv->rows.text == csv->rows.end)
        return err_set(err, ERR_DATA, "%s: no header", csv->rows.path);
    if (!text_is_utf8(at, (size_t)(*next - at)))
        return err_set(err, ERR_DATA, "%s: the header is not UTF-8", csv->rows.path);
    CsvScan s = {.at = at, .end = csv->rows.end};
    for (bool more = true; more;) {
        bool good = scan_field(&s, &cell);
        ASSERT(good);
        char *name = arena_alloc(arena, cell.n + 1); /* zeroed; a NUL of the file ends it, too */
        if (cell.plain)
            memcpy(name, cell.at, cell.n);
        else
            name[text(&cell, name)] = '\0';
        VEC_PUSH(arena, names, name);
        more = s.at < s.end && *s.at++ == ',';
    }
    csv->nfield = names->n;
    return true;
}

static bool find_column(const Csv *csv, const Names *names, const char *name, uint32_t *out,
                        Err *err)
{
    *out = PLAN_NONE;
    for (uint32_t i = 0; i < names->n; i++) {
        if (strcmp(names->at[i], name) != 0)
            continue;
        if (*out != PLAN_NONE)
            return err_set(err, ERR_DATA, "%s: two columns are called `%s`", csv->rows.path, name);
        *out = i;
    }
    if (*out != PLAN_NONE)
        return true;
    Arena *arena = arena_new();
    StrBuf sb = sb_new(arena);
    for (uint32_t i = 0; i < names->n && i < 30; i++)
        sb_printf(&sb, "%s%s", i ? ", " : "",
                  text_quote(arena, names->at[i], strlen(names->at[i])));
    err_set(err, ERR_DATA, "%s: no column `%s`; it has %s", csv->rows.path, name, sb_text(&sb));
    arena_free(arena);
    return false;
}

static bool open_csv(Source *s, Err *err)
{
    Csv *csv = NEW(s->arena, Csv);
    s->self = csv;
    Names names = {0};
    const char *from = NULL;
    csv->column = NEW_ARRAY(s->arena, uint32_t, s->data->ncolumn + 1);
    if (!textrows_open(&csv->rows, s, err) || !read_names(csv, s->arena, &names, &from, err))
        return false;
    for (uint32_t c = 0; c < s->data->ncolumn; c++) {
        s->columns[c].count = 1;
        if (!find_column(csv, &names, s->columns[c].name, &csv->column[c], err))
            return false;
    }
    if (!textrows_index(&csv->rows, from, find_record, err))
        return false;
    s->rows = csv->rows.n;
    return s->rows > 0 || err_set(err, ERR_DATA, "%s: a header and no rows", csv->rows.path);
}

static void where(const Source *s, int64_t row, StrBuf *out)
{
    const Csv *csv = s->self;
    textrows_where(&csv->rows, row, out);
}

static void close_csv(Source *s)
{
    Csv *csv = s->self;
    if (csv)
        textrows_close(&csv->rows);
}

const SourceKind source_pairs = {.open = open_csv,
                                 .cells = cells,
                                 .numbers = numbers,
                                 .text = text,
                                 .where = where,
                                 .close = close_csv};
