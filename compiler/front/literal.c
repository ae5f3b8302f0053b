/* literal.c: values of string and number tokens, and what is wrong with tokens that are none. */
#include "lex.h"

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* Bytes of the UTF-8 sequence at p, or 0 when it is none. */
static uint32_t utf8_length(const char *p, const char *end)
{
    unsigned char c = (unsigned char)*p;
    uint32_t n = c < 0x80 ? 1 : c >= 0xc2 && c < 0xe0 ? 2 : c >= 0xe0 && c < 0xf0 ? 3 : 4;
    if ((c >= 0x80 && c < 0xc2) || c > 0xf4 || (size_t)(end - p) < n)
        return 0;
    for (uint32_t i = 1; i < n; i++)
        if (((unsigned char)p[i] & 0xc0) != 0x80)
            return 0;
    unsigned char second = n > 1 ? (unsigned char)p[1] : 0;
    bool overlong = (c == 0xe0 && second < 0xa0) || (c == 0xf0 && second < 0x90);
    bool outside = (c == 0xed && second > 0x9f) || (c == 0xf4 && second > 0x8f);
    return overlong || outside ? 0 : n;
}

static void put_code_point(StrBuf *sb, uint32_t c)
{
    if (c < 0x80) {
        sb_putc(sb, (char)c);
    } else if (c < 0x800) {
        sb_putc(sb, (char)(0xc0 | c >> 6));
        sb_putc(sb, (char)(0x80 | (c & 0x3f)));
    } else if (c < 0x10000) {
        sb_putc(sb, (char)(0xe0 | c >> 12));
        sb_putc(sb, (char)(0x80 | (c >> 6 & 0x3f)));
        sb_putc(sb, (char)(0x80 | (c & 0x3f)));
    } else {
        sb_putc(sb, (char)(0xf0 | c >> 18));
        sb_putc(sb, (char)(0x80 | (c >> 12 & 0x3f)));
        sb_putc(sb, (char)(0x80 | (c >> 6 & 0x3f)));
        sb_putc(sb, (char)(0x80 | (c & 0x3f)));
    }
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* `{41}` behind `\u`: its length, and the code point; 0 when it is none. */
static uint32_t unicode_escape(const char *p, const char *end, uint32_t *code)
{
    const char *q = p;
    *code = 0;
    if (q == end || *q++ != '{')
        return 0;
    for (; q < end && hex_digit(*q) >= 0; q++) {
        *code = *code * 16 + (uint32_t)hex_digit(*q);
        if (*code > 0x10ffff)
            return 0;
    }
    bool valid = *code > 0 && (*code < 0xd800 || *code > 0xdfff);
    return valid && q < end && *q == '}' ? (uint32_t)(q + 1 - p) : 0;
}

/* One escape at offset `at` (a backslash); returns the offset behind it. */
static uint32_t put_escape(Lexer *lx, StrBuf *sb, uint32_t at, uint32_t end)
{
    static const char names[] = "nt\"\\", values[] = "\n\t\"\\";
    char c = at + 1 < end ? lx->src[at + 1] : '\0';
    const char *known = c ? strchr(names, c) : NULL;
    if (known) {
        sb_putc(sb, values[known - names]);
        return at + 2;
    }
    uint32_t code;
    uint32_t n = c == 'u' ? unicode_escape(lx->src + at + 2, lx->src + end, &code) : 0;
    if (n) {
        put_code_point(sb, code);
        return at + 2 + n;
    }
    uint32_t hi = at + 1;
    if (hi < end) {
        uint32_t width = utf8_length(lx->src + hi, lx->src + end);
        hi += width ? width : 1;
    }
    Diag *d = c == 'u' ? diag_at(lx->diags, DIAG_E0101, lex_span(lx, at, hi),
                                 "`\\u` needs a code point in braces, as in `\\u{e9}`")
                       : diag_at(lx->diags, DIAG_E0101, lex_span(lx, at, hi),
                                 "unknown escape in a string");
    if (c != 'u')
        diag_help(d, "known are \\n \\t \\\" \\\\ \\u{..}; a backslash itself is written \\\\");
    return hi;
}

/* The text between the quotes; `raw` leaves escapes alone. */
static Sym decode(Lexer *lx, uint32_t lo, uint32_t hi, bool raw)
{
    StrBuf sb = sb_new(lx->arena);
    uint32_t i = lo;
    while (i < hi) {
        const char *p = lx->src + i;
        uint32_t n = utf8_length(p, lx->src + hi);
        if (*p == '\\' && !raw) {
            i = put_escape(lx, &sb, i, hi);
        } else if (n == 0 || *p == '\0') {
            diag_at(lx->diags, DIAG_E0101, lex_span(lx, i, i + 1),
                    "this byte of a string is not UTF-8 text");
            return sym(lx->syms, "");
        } else {
            sb_putn(&sb, p, n);
            i += n;
        }
    }
    return sym_n(lx->syms, sb_text(&sb), sb.n);
}

Sym literal_string(Lexer *lx, Span span)
{
    const char *p = lx->src + span.lo;
    uint32_t n = span.hi - span.lo;
    bool raw = n >= 3 && memcmp(p, "\"\"\"", 3) == 0;
    uint32_t quote = raw ? 3 : 1;
    bool closed = n >= 2 * quote && memcmp(p + n - quote, "\"\"\"", quote) == 0;
    if (closed && !raw) { /* the last quote may be an escaped one */
        uint32_t slashes = 0;
        while (slashes + 2 < n && p[n - 2 - slashes] == '\\')
            slashes++;
        closed = slashes % 2 == 0;
    }
    if (closed)
        return decode(lx, span.lo + quote, span.hi - quote, raw);
    lx->bad_at = span.lo + 1;
    lx->torn = true;
    Diag *d = diag_at(lx->diags, DIAG_E0101, lex_span(lx, span.lo, span.lo + quote),
                      "unterminated string");
    if (!raw)
        diag_help(d, "a string ends on its line; `\"\"\"` begins one that spans lines");
    return sym(lx->syms, "");
}

Sym literal_number(Lexer *lx, Span span)
{
    StrBuf sb = sb_new(lx->arena);
    bool blank = false;
    for (uint32_t i = span.lo; i < span.hi; i++) {
        char c = lx->src[i];
        blank = blank || c == ' ';
        if (c != '_' || blank)
            sb_putc(&sb, c);
    }
    return sym_n(lx->syms, sb_text(&sb), sb.n);
}

Sym literal_bad_number(Lexer *lx, Span span)
{
    const char *p = lex_text(lx, span);
    lx->bad_at = span.lo + 1;
    int n = (int)(span.hi - span.lo);
    int digits = (int)strspn(p, "0123456789_.");
    int shown = n < 40 ? n : 40;
    if (digits == n) {
        Diag *d = diag_at(lx->diags, DIAG_E0104, span, "`%.*s` is not a number: write `%.*s0`",
                          shown, p, shown, p);
        diag_fix_certain(d, lex_span(lx, span.hi, span.hi), "0", "write the zero");
        return sym(lx->syms, "0");
    }
    Diag *d = diag_at(lx->diags, DIAG_E0104, span, "`%.*s` is not a number", shown, p);
    if (digits > 1 && p[digits - 1] == '.')
        diag_help(d, "a number has a digit on both sides of the point");
    else if (is_letter(p[digits]) && p[0] != '0')
        diag_help(d, "a name cannot begin with a digit; a unit stands behind one blank, as in "
                     "`10 steps`");
    return sym(lx->syms, "0");
}

/* The word with blanks where its neighbours would run into it. */
static const char *word_between(const Lexer *lx, Span span, const char *word)
{
    bool before = span.lo > 0 && !strchr(" \t\n(&|", lx->src[span.lo - 1]);
    bool behind = span.hi < lx->n && !strchr(" \t\n", lx->src[span.hi]);
    return arena_printf(lx->arena, "%s%s%s", before ? " " : "", word, behind ? " " : "");
}

void literal_bad_bytes(Lexer *lx, Span span)
{
    static const struct {
        const char *bytes, *help, *word; /* word: what is meant for certain */
    } others[] = {
        {"&&", "write `and`", "and"},
        {"||", "write `or`", "or"},
        {"!", "write `not`", "not"},
        {"&", "write `and`", NULL},
        {"|", "write `or`", NULL},
        {"^", "a power is written `**`", NULL},
        {"'", "a string stands in double quotes", NULL},
    };
    const char *p = lx->src + span.lo;
    uint32_t n = span.hi - span.lo;
    if (span.lo == 0 && n >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0) {
        if (n == 3)
            return; /* a byte order mark */
        span.lo += 3;
        p += 3;
        n -= 3;
    }
    lx->bad_at = span.lo + 1;
    unsigned char c = (unsigned char)*p;
    uint32_t width = utf8_length(p, p + n);
    if (c < 0x20 || c == 0x7f || width == 0) {
        diag_at(lx->diags, DIAG_E0101, span, "unexpected byte 0x%02x", c);
        return;
    }
    Diag *d = diag_at(lx->diags, DIAG_E0101, span, "unexpected character `%.*s`",
                      (int)(c < 0x80 ? n : width), p);
    for (size_t i = 0; i < COUNT(others); i++) {
        if (strlen(others[i].bytes) != n || memcmp(others[i].bytes, p, n) != 0)
            continue;
        if (others[i].word)
            diag_fix_certain(d, span, word_between(lx, span, others[i].word), "%s", others[i].help);
        else
            diag_help(d, "%s", others[i].help);
    }
}

/* Components are separated by points, but not inside { } and [ ], where `..` is a range. */
void literal_pattern(Lexer *lx, Sym text, Span span)
{
    char inside = '\0';
    bool empty = true, bad = false;
    for (const char *p = text; *p; p++) {
        if (inside) {
            inside = *p == inside ? '\0' : inside;
        } else if (*p == '{' || *p == '[') {
            inside = *p == '{' ? '}' : ']';
            bad = bad || p[1] == inside;
            empty = false;
        } else if (*p == '.') {
            bad = bad || empty;
            empty = true;
        } else {
            empty = false;
        }
    }
    lx->torn = lx->torn || bad || empty;
    if (bad || empty)
        diag_at(lx->diags, DIAG_E0105, span, "path pattern `%.60s` has an empty component", text);
}
