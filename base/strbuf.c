/* strbuf.c: text under construction in an arena; doubling, always terminated. */
#include "base.h"
#include <math.h>
#include <stdarg.h>

StrBuf sb_new(Arena *arena)
{
    return (StrBuf){.arena = arena};
}

/* Room for `more` bytes and the terminator. */
static void reserve(StrBuf *sb, size_t more)
{
    size_t need = sb->n + more + 1;
    if (need <= sb->cap)
        return;
    size_t cap = sb->cap * 2;
    if (cap < 64)
        cap = 64;
    if (cap < need)
        cap = need;
    char *text = arena_alloc(sb->arena, cap);
    if (sb->text)
        memcpy(text, sb->text, sb->n);
    sb->text = text;
    sb->cap = cap;
}

void sb_putn(StrBuf *sb, const char *text, size_t n)
{
    reserve(sb, n);
    if (n)
        memcpy(sb->text + sb->n, text, n);
    sb->n += n;
    sb->text[sb->n] = '\0';
}

void sb_puts(StrBuf *sb, const char *text)
{
    sb_putn(sb, text, strlen(text));
}

void sb_putc(StrBuf *sb, char c)
{
    sb_putn(sb, &c, 1);
}

void sb_printf(StrBuf *sb, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    size_t room = sb->cap - sb->n;
    int n = vsnprintf(room ? sb->text + sb->n : NULL, room, fmt, args);
    va_end(args);
    ASSERT(n >= 0);
    if ((size_t)n >= room) {
        reserve(sb, (size_t)n);
        vsnprintf(sb->text + sb->n, (size_t)n + 1, fmt, again);
    }
    va_end(again);
    sb->n += (size_t)n;
}

void sb_pad(StrBuf *sb, size_t column, size_t line_start)
{
    ASSERT(line_start <= sb->n);
    while (sb->n - line_start < column)
        sb_putc(sb, ' ');
}

const char *sb_text(StrBuf *sb)
{
    if (!sb->text)
        reserve(sb, 0);
    return sb->text;
}

void sb_double(StrBuf *sb, double value)
{
    if (isnan(value)) {
        sb_puts(sb, "nan");
        return;
    }
    if (isinf(value)) {
        sb_puts(sb, value < 0 ? "-inf" : "inf");
        return;
    }
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    sb_puts(sb, text);
}

void sb_bytes(StrBuf *sb, uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double x = (double)bytes;
    uint32_t u = 0;
    while (bytes >= 10 * 1024 && x >= 1024 && u + 1 < COUNT(units)) {
        x /= 1024;
        u++;
    }
    sb_printf(sb, u ? "%.2f %s" : "%.0f %s", x, units[u]);
}
