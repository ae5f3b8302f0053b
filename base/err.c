/* err.c: failures of the world (files, data, devices), carried by value to whoever reports them.
 *
 * The first failure wins: what follows is mostly its consequence. Texts are cut, never overrun. */
#include "base.h"
#include <stdarg.h>

bool err_set(Err *err, ErrKind kind, const char *fmt, ...)
{
    ASSERT(kind != ERR_NONE);
    if (!err || err->kind != ERR_NONE)
        return false;
    va_list args;
    va_start(args, fmt);
    vsnprintf(err->text, sizeof err->text, fmt, args);
    va_end(args);
    err->kind = kind;
    err->help[0] = '\0';
    return false;
}

bool err_help(Err *err, const char *fmt, ...)
{
    if (!err || err->kind == ERR_NONE || err->help[0])
        return false;
    va_list args;
    va_start(args, fmt);
    vsnprintf(err->help, sizeof err->help, fmt, args);
    va_end(args);
    return false;
}

bool err_context(Err *err, const char *fmt, ...)
{
    if (!err || err->kind == ERR_NONE)
        return false;
    char front[sizeof err->text];
    va_list args;
    va_start(args, fmt);
    int wrote = vsnprintf(front, sizeof front - 2, fmt, args);
    va_end(args);
    ASSERT(wrote >= 0);
    size_t n = strlen(front);
    memcpy(front + n, ": ", 2);
    n += 2;
    size_t room = sizeof err->text - 1 - n;
    size_t kept = strlen(err->text);
    if (kept > room)
        kept = room;
    memmove(err->text + n, err->text, kept);
    memcpy(err->text, front, n);
    err->text[n + kept] = '\0';
    return false;
}
