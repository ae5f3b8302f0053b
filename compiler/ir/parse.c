/* parse.c: the reader of graph text: characters, names, numbers, dims, types, attributes. */
#include "parse.h"
#include <stdarg.h>

/* ---- reports ---- */

Span parse_span(const Parser *p, const char *from, const char *to)
{
    return (Span){p->file, (uint32_t)(from - p->text), (uint32_t)(to - p->text)};
}

bool parse_fail(Parser *p, DiagCode code, const char *fmt, ...)
{
    if (p->failed)
        return false;
    p->failed = true;
    char message[256];
    va_list args;
    va_start(args, fmt);
    vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    const char *to = p->at < p->end ? p->at + 1 : p->at;
    diag_at(p->ir->diags, code, parse_span(p, p->at, to), "%s", message);
    return false;
}

/* ---- characters ---- */

static char here(const Parser *p)
{
    return p->at < p->end ? *p->at : '\0';
}

static void skip_blanks(Parser *p)
{
    while (here(p) == ' ')
        p->at++;
}

char parse_peek(Parser *p)
{
    skip_blanks(p);
    return here(p);
}

bool parse_accept(Parser *p, const char *token)
{
    skip_blanks(p);
    size_t n = strlen(token);
    if ((size_t)(p->end - p->at) < n || memcmp(p->at, token, n) != 0)
        return false;
    p->at += n;
    return true;
}

bool parse_expect(Parser *p, const char *token)
{
    return parse_accept(p, token) || parse_fail(p, DIAG_E0102, "expected `%s`", token);
}

bool parse_end_line(Parser *p)
{
    if (parse_peek(p) != '\n' && p->at < p->end)
        return parse_fail(p, DIAG_E0102, "expected the end of the line");
    while (p->at < p->end && (*p->at == '\n' || *p->at == ' '))
        p->at++;
    return true;
}

/* ---- names ---- */

bool parse_word(Parser *p, Sym *out)
{
    skip_blanks(p);
    const char *from = p->at;
    while (text_is_name_char(here(p)))
        p->at++;
    if (p->at == from)
        return parse_fail(p, DIAG_E0102, "expected a name");
    *out = sym_n(p->ir->syms, from, (size_t)(p->at - from));
    return true;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The character behind a backslash: itself, or x and two hexadecimal digits. '\0' is an error. */
static char read_escape(Parser *p)
{
    char c = here(p);
    if (c != 'x')
        return c == '"' || c == '\\' ? c : '\0';
    if (p->end - p->at < 3 || hex_digit(p->at[1]) < 0 || hex_digit(p->at[2]) < 0)
        return '\0';
    p->at += 2;
    return (char)(hex_digit(p->at[-1]) * 16 + hex_digit(p->at[0]));
}

bool parse_string(Parser *p, Sym *out)
{
    if (!parse_expect(p, "\""))
        return false;
    StrBuf sb = sb_new(p->scratch);
    for (; here(p) != '"'; p->at++) {
        char c = here(p);
        if (c == '\\') {
            p->at++;
            c = read_escape(p);
        }
        if (c == '\0' || here(p) == '\n')
            return parse_fail(p, DIAG_E0101, "unterminated string");
        sb_putc(&sb, c);
    }
    p->at++;
    *out = sym_n(p->ir->syms, sb_text(&sb), sb.n);
    return true;
}

bool parse_name(Parser *p, Sym *out)
{
    return parse_peek(p) == '"' ? parse_string(p, out) : parse_word(p, out);
}

/* ---- numbers ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Digits only, at most 2^63. */
static bool read_magnitude(Parser *p, uint64_t *out)
{
    uint64_t value = 0, limit = (uint64_t)1 << 63;
    if (!is_digit(here(p)))
        return parse_fail(p, DIAG_E0102, "expected a number");
    for (; is_digit(here(p)); p->at++) {
        uint64_t digit = (uint64_t)(*p->at - '0');
        if (value > (limit - digit) / 10)
            return parse_fail(p, DIAG_E0104, "number is too large");
        value = value * 10 + digit;
    }
    *out = value;
    return true;
}

static bool with_sign(Parser *p, uint64_t magnitude, bool negative, int64_t *out)
{
    if (magnitude > INT64_MAX && !negative)
        return parse_fail(p, DIAG_E0104, "number is too large");
    *out = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    return true;
}

bool parse_int(Parser *p, int64_t *out)
{
    uint64_t magnitude = 0;
    bool negative = parse_accept(p, "-");
    return read_magnitude(p, &magnitude) && with_sign(p, magnitude, negative, out);
}

bool parse_index(Parser *p, uint32_t *out)
{
    int64_t value = 0;
    if (!parse_int(p, &value))
        return false;
    if (value < 0 || value > INT32_MAX)
        return parse_fail(p, DIAG_E0104, "number is out of range");
    *out = (uint32_t)value;
    return true;
}

/* What strtod reads, from a copy that ends: "-0", "1e-05", "inf", "nan". */
static bool parse_num(Parser *p, double *out)
{
    skip_blanks(p);
    char copy[64];
    size_t n = 0;
    while (n + 1 < sizeof copy && p->at + n < p->end && p->at[n] &&
           strchr("+-.0123456789einfa", p->at[n])) {
        copy[n] = p->at[n];
        n++;
    }
    copy[n] = '\0';
    char *stop = copy;
    *out = strtod(copy, &stop);
    if (stop == copy)
        return parse_fail(p, DIAG_E0104, "expected a number");
    p->at += stop - copy;
    return true;
}

/* ---- dims: 2*B*T + 1 ---- */

static bool is_sym_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '_' ||
           c == '.' || c == '~';
}

static bool read_sym(Parser *p, DimTerm *t)
{
    const char *from = p->at;
    while (is_sym_char(here(p)))
        p->at++;
    Sym name = sym_n(p->ir->syms, from, (size_t)(p->at - from));
    const DimSym *s = map_get(p->syms, MAP_KEY(name));
    if (!s)
        return parse_fail(p, DIAG_E0401, "unknown dimension `%s`", name);
    if (t->nsym == DIM_MAX_DEGREE)
        return parse_fail(p, DIAG_E0109, "an extent is too large to compute with");
    uint32_t k = t->nsym++;
    for (; k > 0 && t->sym[k - 1] > s->id; k--)
        t->sym[k] = t->sym[k - 1];
    t->sym[k] = s->id;
    return true;
}

/* A number, or a product of at most one number in front and symbols. */
static bool read_term(Parser *p, bool negative, DimTerm *t)
{
    uint64_t magnitude = 1;
    *t = (DimTerm){0};
    skip_blanks(p);
    bool number = is_digit(here(p));
    if (number && !read_magnitude(p, &magnitude))
        return false;
    if (!number && !read_sym(p, t))
        return false;
    while (here(p) == '*') {
        p->at++;
        if (!read_sym(p, t))
            return false;
    }
    return with_sign(p, magnitude, negative, &t->coef);
}

bool parse_dim(Parser *p, const Dim **out)
{
    DimTerm term[DIM_MAX_TERMS];
    uint32_t n = 0;
    bool negative = parse_accept(p, "-");
    do {
        if (n == DIM_MAX_TERMS)
            return parse_fail(p, DIAG_E0109, "an extent is too large to compute with");
        if (!read_term(p, negative, &term[n++]))
            return false;
        negative = parse_accept(p, "-");
    } while (negative || parse_accept(p, "+"));
    *out = dim_from_terms(p->ir, term, n);
    return *out || parse_fail(p, DIAG_E0109, "an extent is too large to compute with");
}

/* ---- types ---- */

static bool parse_dtype(Parser *p, DType *out)
{
    Sym name = NULL;
    skip_blanks(p);
    const char *from = p->at;
    if (!parse_word(p, &name))
        return false;
    if (dtype_find(name, out))
        return true;
    p->at = from;
    return parse_fail(p, DIAG_E0102, "unknown element type `%s`", name);
}

static bool parse_tensor(Parser *p, const Type **out)
{
    DType dtype = DT_F32;
    const Dim *dims[IR_MAX_RANK];
    uint32_t rank = 0;
    if (!parse_dtype(p, &dtype) || !parse_expect(p, "["))
        return false;
    while (!parse_accept(p, "]")) {
        if (rank == IR_MAX_RANK)
            return parse_fail(p, DIAG_E0406, "rank is above the limit of %d", IR_MAX_RANK);
        if ((rank > 0 && !parse_expect(p, ",")) || !parse_dim(p, &dims[rank++]))
            return false;
    }
    *out = type_tensor(p->ir, dtype, rank, dims);
    return true;
}

bool parse_type(Parser *p, const Type **out)
{
    VEC(const Type *) elems = {0};
    if (!parse_accept(p, "("))
        return parse_tensor(p, out);
    while (!parse_accept(p, ")")) {
        const Type *t = NULL;
        if (elems.n == TEXT_MAX_TUPLE)
            return parse_fail(p, DIAG_E0109, "too many values");
        if ((elems.n > 0 && !parse_expect(p, ",")) || !parse_tensor(p, &t))
            return false;
        VEC_PUSH(p->scratch, &elems, t);
    }
    *out = type_tuple(p->ir, elems.n, elems.at);
    return true;
}

/* ---- attributes ---- */

static bool parse_list(Parser *p, AttrKind kind, Attr *out)
{
    VEC(int64_t) ints = {0};
    VEC(const Dim *) dims = {0};
    if (!parse_expect(p, "["))
        return false;
    while (!parse_accept(p, "]")) {
        int64_t i = 0;
        const Dim *d = NULL;
        if (out->n == TEXT_MAX_LIST)
            return parse_fail(p, DIAG_E0109, "the list is too long");
        if ((out->n++ > 0 && !parse_expect(p, ",")) ||
            !(kind == AK_INTS ? parse_int(p, &i) : parse_dim(p, &d)))
            return false;
        if (kind == AK_INTS)
            VEC_PUSH(p->scratch, &ints, i);
        else
            VEC_PUSH(p->scratch, &dims, d);
    }
    if (kind == AK_INTS)
        out->ints = ints.at;
    else
        out->dims = dims.at;
    return true;
}

static bool parse_def_ref(Parser *p, Attr *out)
{
    Sym label = NULL;
    if (!parse_expect(p, "@") || !parse_word(p, &label))
        return false;
    const TextDef *d = map_get(p->defs, MAP_KEY(label));
    if (!d)
        return parse_fail(p, DIAG_E0201, "unknown def `%s`", label);
    p->depth = d->depth > p->depth ? d->depth : p->depth;
    out->def = d->def;
    return true;
}

bool parse_attr(Parser *p, AttrKind kind, Attr *out)
{
    DType dtype = DT_F32;
    *out = (Attr){.kind = kind};
    switch (kind) {
    case AK_NONE:
        return true;
    case AK_INT:
    case AK_FLAG:
        return parse_int(p, &out->i);
    case AK_NUM:
        return parse_num(p, &out->f);
    case AK_SYM:
        return parse_string(p, &out->s);
    case AK_INTS:
    case AK_DIMS:
        return parse_list(p, kind, out);
    case AK_DIM:
        return parse_dim(p, &out->dim);
    case AK_DEF:
        return parse_def_ref(p, out);
    case AK_DTYPE:
        if (!parse_dtype(p, &dtype))
            return false;
        out->i = dtype;
        return true;
    }
    BUG("no attribute kind %d", kind);
}
