/* jsonscan.c: a recursive-descent reader of JSON that keeps nothing. */
#include "jsonscan.h"
#include <ctype.h>

enum { MAX_DEPTH = 64 };

static bool fail(JsonScan *s, const char *expected)
{
    s->expected = expected;
    return false;
}

void jscan_blanks(JsonScan *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\r' || *s->at == '\n'))
        s->at++;
}

bool jscan_take(JsonScan *s, char c)
{
    jscan_blanks(s);
    if (s->at == s->end || *s->at != c)
        return false;
    s->at++;
    return true;
}

/* ---- strings ---- */

static bool hex4(const char *at, const char *end, uint32_t *out)
{
    *out = 0;
    if (end - at < 4)
        return false;
    for (int i = 0; i < 4; i++) {
        char c = at[i];
        if (!isxdigit((unsigned char)c))
            return false;
        *out = *out << 4 | (uint32_t)(c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
    }
    return true;
}

static bool is_high(uint32_t c)
{
    return c >= 0xd800 && c < 0xdc00;
}

static bool is_low(uint32_t c)
{
    return c >= 0xdc00 && c < 0xe000;
}

/* The code point of an escape; `at` behind `\u`. Returns the characters it takes there, 0: wrong. */
static int code_point(const char *at, const char *end, uint32_t *out)
{
    uint32_t low;
    if (!hex4(at, end, out) || is_low(*out))
        return 0;
    if (!is_high(*out))
        return 4;
    if (end - at < 10 || at[4] != '\\' || at[5] != 'u' || !hex4(at + 6, end, &low) || !is_low(low))
        return 0;
    *out = 0x10000 + ((*out - 0xd800) << 10) + (low - 0xdc00);
    return 10;
}

static bool escape(JsonScan *s)
{
    if (s->at == s->end || !strchr("\"\\/bfnrtu", *s->at) || !*s->at)
        return fail(s, "one of \" \\ / b f n r t u");
    if (*s->at++ != 'u')
        return true;
    uint32_t c;
    int n = code_point(s->at, s->end, &c);
    s->at += n;
    return n || fail(s, "four hexadecimal digits, and surrogates in pairs");
}

bool jscan_string(JsonScan *s, JsonText *out)
{
    if (!jscan_take(s, '"'))
        return fail(s, "a string");
    *out = (JsonText){.at = s->at};
    while (s->at < s->end && *s->at != '"') {
        if ((unsigned char)*s->at < 0x20)
            return fail(s, "no control character in a string");
        if (*s->at++ != '\\')
            continue;
        out->escapes = true;
        if (!escape(s))
            return false;
    }
    out->n = (size_t)(s->at - out->at);
    return jscan_take(s, '"') || fail(s, "the end of the string");
}

static size_t put_utf8(uint32_t c, char *out)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const uint8_t lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n; i-- > 1; c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)(lead[n] | c);
    return n;
}

size_t jscan_unescape(const JsonText *text, char *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *at = text->at, *end = text->at + text->n;
    size_t n = 0;
    while (at < end) {
        if (*at != '\\') {
            out[n++] = *at++;
            continue;
        }
        const char *which = strchr(from, at[1]);
        uint32_t c;
        if (which) {
            out[n++] = to[which - from];
            at += 2;
            continue;
        }
        int taken = code_point(at + 2, end, &c);
        ASSERT(taken); /* the string was checked */
        n += put_utf8(c, out + n);
        at += 2 + taken;
    }
    return n;
}

/* ---- values ---- */

static bool digits(JsonScan *s)
{
    const char *from = s->at;
    while (s->at < s->end && isdigit((unsigned char)*s->at))
        s->at++;
    return s->at > from || fail(s, "a digit");
}

static bool here(const JsonScan *s, const char *any)
{
    return s->at < s->end && *s->at && strchr(any, *s->at);
}

static bool number(JsonScan *s)
{
    s->at += here(s, "-");
    if (here(s, "0"))
        s->at++;
    else if (!digits(s))
        return fail(s, "a value");
    if (here(s, ".")) {
        s->at++;
        if (!digits(s))
            return false;
    }
    if (!here(s, "eE"))
        return true;
    s->at++;
    s->at += here(s, "+-");
    return digits(s);
}

static bool word(JsonScan *s)
{
    static const char *const words[] = {"true", "false", "null"};
    for (size_t i = 0; i < COUNT(words); i++) {
        size_t n = strlen(words[i]);
        if ((size_t)(s->end - s->at) >= n && memcmp(s->at, words[i], n) == 0) {
            s->at += n;
            return true;
        }
    }
    return false;
}

static bool value(JsonScan *s, int depth);

static bool object(JsonScan *s, int depth)
{
    JsonText key;
    if (jscan_take(s, '}'))
        return true;
    do {
        if (!jscan_string(s, &key))
            return false;
        if (!jscan_take(s, ':'))
            return fail(s, "`:`");
        if (!value(s, depth + 1))
            return false;
    } while (jscan_take(s, ','));
    return jscan_take(s, '}') || fail(s, "`,` or `}`");
}

static bool array(JsonScan *s, int depth)
{
    if (jscan_take(s, ']'))
        return true;
    do {
        if (!value(s, depth + 1))
            return false;
    } while (jscan_take(s, ','));
    return jscan_take(s, ']') || fail(s, "`,` or `]`");
}

static bool value(JsonScan *s, int depth)
{
    JsonText text;
    jscan_blanks(s);
    if (depth > MAX_DEPTH)
        return fail(s, "at most 64 brackets in each other");
    if (jscan_take(s, '{'))
        return object(s, depth);
    if (jscan_take(s, '['))
        return array(s, depth);
    if (here(s, "\""))
        return jscan_string(s, &text);
    return word(s) || number(s);
}

bool jscan_value(JsonScan *s, JsonText *out)
{
    jscan_blanks(s);
    const char *from = s->at;
    if (!value(s, 1))
        return false;
    if (out)
        *out = (JsonText){.at = from, .n = (size_t)(s->at - from)};
    return true;
}
