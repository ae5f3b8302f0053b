/* stream.c: the files of a text source, in the order of their names, as one stream of tokens; or
 * files that hold tokens.
 *
 * A file is a sequence of its own: behind its tokens comes `eos` where the tokenizer has one, and its last
 * token has no next one. Rows are windows of the stream, which begin every `stride` tokens. Without a stride
 * they follow each other and cover every token once as a target: the last window is moved back so that it
 * lies inside, and what it repeats is not learned. In a row, positions and segments begin anew with each
 * file, so that masks keep files apart. Tokens of row r are found by division and a search among the
 * files: nothing is kept from row to row. */
#include "source.h"
#include <glob.h>

static const int64_t MAX_TOKENS = INT64_C(1) << 40;

typedef struct Text {
    HostFile file;
    int64_t first, n; /* tokens: where it begins in the stream, and how many */
} Text;

typedef struct Stream {
    Arena *arena;      /* of the source */
    DType dtype;       /* of the tokens in the files */
    uint32_t eos, pad; /* or PLAN_NONE */
    const PlanStream *spec;
    Text *text;
    uint32_t ntext;
    int64_t from, to; /* the tokens that are used */
    int64_t rows;
} Stream;

/* ---- files ---- */

typedef VEC(const char *) Paths;

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool match(Arena *arena, const char *pattern, Paths *out, Err *err)
{
    glob_t found;
    int rc = glob(pattern, GLOB_NOSORT, NULL, &found);
    if (rc == GLOB_NOMATCH)
        return true;
    if (rc != 0)
        return err_set(err, ERR_FILE, "cannot look for %s", pattern);
    for (size_t i = 0; i < found.gl_pathc; i++)
        if (!file_is_dir(found.gl_pathv[i]))
            VEC_PUSH(arena, out, arena_strdup(arena, found.gl_pathv[i]));
    globfree(&found);
    return true;
}

/* A path that is there is that file, whatever characters it has. */
static bool find_in(Arena *arena, const char *path, Paths *out, Err *err)
{
    if (file_exists(path) && !file_is_dir(path)) {
        VEC_PUSH(arena, out, path);
        return true;
    }
    return match(arena, path, out, err);
}

static bool find_files(Stream *s, const char *pattern, const Folders *folders, Paths *out, Err *err)
{
    StrBuf tried = sb_new(s->arena);
    bool absolute = pattern[0] == '/';
    for (uint32_t i = 0; i < (absolute ? 1 : folders->n) && !out->n; i++) {
        const char *path = absolute ? pattern : path_join(s->arena, folders->at[i], pattern);
        sb_printf(&tried, "%s%s", i ? ", " : "", path);
        if (!find_in(s->arena, path, out, err))
            return false;
    }
    if (out->n) {
        qsort(out->at, out->n, sizeof *out->at, by_name);
        return true;
    }
    return source_missing(pattern, sb_text(&tried), err);
}

static bool read_texts(Stream *s, const Paths *paths, Err *err)
{
    int64_t total = 0, eos = s->eos != PLAN_NONE, size = dtype_info(s->dtype)->bytes;
    s->text = NEW_ARRAY(s->arena, Text, paths->n);
    for (uint32_t i = 0; i < paths->n; i++) {
        HostFile file;
        if (!host_file_open(&file, paths->at[i], err))
            return false;
        Text t = {file, total, (int64_t)file.n / size + eos};
        total += t.n;
        if (t.n)
            s->text[s->ntext++] = t;
        else
            host_file_close(&file);
        if (file.n % (size_t)size)
            return err_set(err, ERR_DATA, "%s: truncated: %zu bytes are no whole number of %s",
                           paths->at[i], file.n, dtype_info(s->dtype)->name);
        if (total > MAX_TOKENS)
            return err_set(err, ERR_DATA, "more than 2^40 tokens of text");
    }
    s->from = (int64_t)(s->spec->from * (double)total);
    s->to = (int64_t)(s->spec->to * (double)total);
    return true;
}

/* ---- rows ---- */

static bool count_rows(Stream *s, Err *err)
{
    int64_t tokens = s->to - s->from, targets = tokens - 1, length = s->spec->length,
            stride = s->spec->stride;
    if (targets < 1)
        return err_set(err, ERR_DATA, "%lld token%s of text: none has a next one",
                       (long long)tokens, targets ? "s" : "");
    if (stride && targets < length)
        return err_set(err, ERR_DATA,
                       "%lld tokens of text are less than one row of %lld and its next token",
                       (long long)tokens, (long long)length);
    s->rows = stride ? (targets - length) / stride + 1 : (targets + length - 1) / length;
    return true;
}

/* Rows with this token in them, where rows begin every `stride` tokens. */
static int64_t rows_with(const Stream *s, int64_t token)
{
    int64_t stride = s->spec->stride, at = token - s->from;
    int64_t last = at / stride, before = at - s->spec->length;
    int64_t first = before < 0 ? 0 : before / stride + 1;
    last = last < s->rows ? last : s->rows - 1;
    return last < first ? 0 : last - first + 1;
}

/* All rows are full of targets, but for the ends of files, which have no next token. Without a stride
 * every target is in one row. */
static double learned_in_row(const Stream *s)
{
    bool strides = s->spec->stride > 0;
    double all =
        strides ? (double)s->rows * (double)s->spec->length : (double)(s->to - s->from - 1);
    for (uint32_t i = 0; i < s->ntext; i++) {
        int64_t end = s->text[i].first + s->text[i].n - 1;
        if (end >= s->from && end < s->to - 1)
            all -= strides ? (double)rows_with(s, end) : 1;
    }
    return all / (double)s->rows;
}

static bool open_stream(Source *source, Err *err)
{
    const Plan *plan = source->plan;
    const PlanStream *spec = &plan->streams[source->data->stream];
    Stream *s = NEW(source->arena, Stream);
    *s = (Stream){.arena = source->arena, .spec = spec, .eos = PLAN_NONE, .pad = PLAN_NONE};
    source->self = s;
    s->dtype = (DType)spec->dtype;
    if (spec->tokenizer != PLAN_NONE) {
        s->eos = plan->tokenizers[spec->tokenizer].eos;
        s->pad = plan->tokenizers[spec->tokenizer].pad;
    }
    Paths paths = {0};
    Folders folders = source_folders(source);
    if (!find_files(s, plan_text(plan, spec->files), &folders, &paths, err) ||
        !read_texts(s, &paths, err) || !count_rows(s, err))
        return false;
    for (uint32_t i = 0; i < paths.n; i++)
        VEC_PUSH(source->arena, &source->files, paths.at[i]); /* each of them once */
    source->rows = s->rows;
    source->learned = learned_in_row(s);
    return true;
}

static void close_stream(Source *source)
{
    Stream *s = source->self;
    for (uint32_t i = 0; s && i < s->ntext; i++)
        host_file_close(&s->text[i].file);
}

/* The text that token i lies in. */
static uint32_t text_of(const Stream *s, int64_t i)
{
    uint32_t lo = 0, hi = s->ntext;
    while (hi - lo > 1) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (s->text[mid].first <= i)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

/* Where a walk over the tokens of one row stands. */
typedef struct Walk {
    const Stream *s;
    uint32_t text, begin;   /* the text now, and that of the row's first token */
    int64_t at, pos, valid; /* token of the stream; position; tokens of the row that exist */
    int64_t repeated;       /* tokens at its start that an earlier row teaches */
} Walk;

static Walk walk_row(const Stream *s, int64_t row)
{
    int64_t length = s->spec->length, step = s->spec->stride ? s->spec->stride : length;
    int64_t want = s->from + row * step, last = s->to - 1 - length; /* of all full windows */
    int64_t at = want > last ? last : want;
    at = at < s->from ? s->from : at;
    uint32_t text = text_of(s, at);
    int64_t left = s->to - at;
    return (Walk){s, text, text, at, 0, left < length ? left : length, want - at};
}

static void walk_on(Walk *w)
{
    const Text *t = &w->s->text[w->text];
    w->at++;
    w->pos++;
    if (w->at == t->first + t->n && w->text + 1 < w->s->ntext) {
        w->text++;
        w->pos = 0;
    }
}

/* What no token can be, as an element of a file. */
enum { NO_TOKEN = -2 };

/* 16 bits hold 0 to 65,535: no token is negative. */
static int32_t read_token(DType dtype, const uint8_t *at)
{
    if (dtype == DT_U8)
        return *at;
    if (dtype == DT_I16)
        return at[0] | at[1] << 8;
    double v = 0;
    row_loaders[dtype](&v, at, 1);
    return v >= 0 && v <= INT32_MAX ? (int32_t)v : NO_TOKEN;
}

static int32_t token_at(const Walk *w)
{
    const Text *t = &w->s->text[w->text];
    int64_t i = w->at - t->first;
    bool eos = w->s->eos != PLAN_NONE && i == t->n - 1;
    size_t at = (size_t)i * dtype_info(w->s->dtype)->bytes;
    return eos ? (int32_t)w->s->eos : read_token(w->s->dtype, t->file.data + at);
}

/* -1: the end of a text or of the part that is used. */
static int32_t next_token(const Walk *w)
{
    Walk next = *w;
    if (w->at + 1 >= w->s->to)
        return -1;
    walk_on(&next);
    return next.text == w->text ? token_at(&next) : -1;
}

/* Element i of a field; `inside`: the row has a token there. */
static int32_t element(const Walk *w, PlanFieldKind field, int64_t i, bool inside)
{
    const Stream *s = w->s;
    int32_t next = inside && i >= w->repeated ? next_token(w) : -1;
    switch (field) {
    case PF_TOKENS:
        return inside ? token_at(w) : s->pad == PLAN_NONE ? 0 : (int32_t)s->pad;
    case PF_TARGETS:
        return next;
    case PF_LEARN:
        return next >= 0;
    case PF_VALID:
        return inside;
    case PF_POS:
        return inside ? (int32_t)w->pos : (int32_t)(i - w->valid);
    case PF_SEG:
        return (int32_t)(w->text - w->begin) + (inside ? 0 : 1);
    case PF_CODE:
    case PF_LAST:
        break;
    }
    BUG("field %d is not one of each token", (int)field);
}

/* One row of a field. False where the file holds something that is no token. */
static bool fill_row(const Stream *s, PlanFieldKind field, int64_t row, void *out)
{
    bool mark = field == PF_LEARN || field == PF_VALID, good = true;
    uint8_t *marks = out;
    int32_t *numbers = out;
    Walk w = walk_row(s, row);
    if (field == PF_LAST) {
        *numbers = (int32_t)(w.valid - 1);
        return true;
    }
    for (int64_t i = 0; i < s->spec->length; i++) {
        bool inside = i < w.valid;
        int32_t v = element(&w, field, i, inside);
        good = good && (v != NO_TOKEN || field == PF_POS);
        if (mark)
            marks[i] = (uint8_t)v;
        else
            numbers[i] = v;
        if (inside)
            walk_on(&w);
    }
    return good;
}

static bool fill(const Source *source, const PlanField *f, const SourceRows *rows, void *out,
                 Err *err)
{
    const Stream *s = source->self;
    size_t bytes = dtype_info((DType)f->dtype)->bytes * (f->rank ? (size_t)s->spec->length : 1);
    for (int64_t r = 0; r < rows->n; r++) {
        ASSERT(0 <= rows->at[r] && rows->at[r] < s->rows);
        if (fill_row(s, (PlanFieldKind)f->kind, rows->at[r], (uint8_t *)out + (size_t)r * bytes))
            continue;
        err_set(err, ERR_DATA, "a number of the file is no token: negative, or beyond 2^31");
        return source_at_row(source, rows->at[r], err);
    }
    return true;
}

const SourceKind source_stream = {.open = open_stream, .fill = fill, .close = close_stream};
