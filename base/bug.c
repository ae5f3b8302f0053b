/* bug.c: the end of the road when the compiler itself is wrong.
 *
 * A crash report is only useful when it says what was being worked on, so every thread keeps a
 * small stack of context lines ("pass fuse", "node 17"). It is thread-local: the one piece of
 * state in the house that does not hang off a session, because ASSERT has no session at hand. */
#include "base.h"
#include <stdarg.h>

#define CONTEXT_LINES 16

typedef struct Context {
    const char *what[CONTEXT_LINES];
    int depth;
} Context;

static _Thread_local Context context;

void bug_at(const char *file, int line, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fflush(stdout);
    fprintf(stderr, "mdl: internal error: ");
    vfprintf(stderr, fmt, args);
    va_end(args);
    fprintf(stderr, "\n  at %s:%d\n", file, line);
    for (int i = context.depth; i-- > 0;)
        if (i < CONTEXT_LINES)
            fprintf(stderr, "  while in %s\n", context.what[i]);
    fprintf(stderr, "This is a bug in mdl, whatever the input was. Please report it.\n");
    abort();
}

void bug_push(const char *what)
{
    if (context.depth < CONTEXT_LINES)
        context.what[context.depth] = what;
    context.depth++;
}

void bug_pop(void)
{
    ASSERT(context.depth > 0);
    context.depth--;
}
