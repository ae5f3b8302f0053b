/* place.c: places in kernels: lines, where the text says them, and else instructions, whose lines the
 * compiler's own tool finds (addr2line of binutils, which comes with the assembler). It is only asked when
 * something was found. */
#include "cc.h"
#include "engine.h"
#include <dlfcn.h>
#include <unistd.h>

enum { MAX_PLACES = 2 * SIMT_MAX_REPORTS, LOG_LIMIT = 1 << 16 };

static const uint32_t IS_LINE = UINT32_C(1) << 31;

uint32_t place_pack(const Simt *s, Where where)
{
    if (where.from)
        return (uint32_t)((const char *)where.from - s->check.base);
    return (uint32_t)where.line | IS_LINE;
}

Where place_unpack(const Simt *s, uint32_t from)
{
    if (from & IS_LINE)
        return (Where){.line = (int)(from & ~IS_LINE)};
    return (Where){.from = s->check.base + from};
}

void place_begin_launch(Simt *s)
{
    Dl_info info;
    void *kernel;
    memcpy(&kernel, &s->launch->kernel, sizeof(kernel));
    s->check.base = dladdr(kernel, &info) ? info.dli_fbase : NULL;
}

/* Of the calls that were inlined into one another there, the innermost that is no text of the prelude's.
 * One address is its hexadecimal number, then a line FILE:LINE for each of them. */
static void read_lines(const char *text, Where *const *where, uint32_t n)
{
    uint32_t at = 0;
    bool begun = false;
    for (const char *line = text; *line;) {
        size_t length = strcspn(line, "\n");
        if (line[0] == '0' && line[1] == 'x') {
            at += begun;
            begun = true;
        } else if (begun && at < n && !where[at]->line) {
            const char *end = line + length, *colon = end;
            while (colon > line && *colon != ':')
                colon--;
            const char *base = colon;
            while (base > line && base[-1] != '/')
                base--;
            if (strncmp(base, "mdl", 3) != 0 && *colon == ':')
                where[at]->line = (int)strtol(colon + 1, NULL, 10);
        }
        line += length + (line[length] == '\n');
    }
}

void place_find_lines(const Simt *s, Where *const *where, uint32_t n)
{
    const char *argv[MAX_PLACES + 6];
    Arena *arena = arena_new();
    Err ignored = {0};
    Bytes text;
    pid_t pid;
    char how[64];
    bool interrupted;
    uint32_t used = 0;
    ASSERT(n <= MAX_PLACES);
    const char *log = arena_printf(arena, "%s.%ld.lines", s->launch->object, (long)getpid());
    argv[used++] = cc_program(arena, "addr2line");
    argv[used++] = "-ia";
    argv[used++] = "-e";
    argv[used++] = s->launch->object;
    for (uint32_t i = 0; i < n;
         i++) /* the call, which ends before the address that it returns to */
        argv[used++] =
            arena_printf(arena, "0x%llx",
                         (unsigned long long)((const char *)where[i]->from - s->check.base - 1));
    argv[used] = NULL;
    if (argv[0] && s->launch->object && s->check.base && cc_start(argv, log, &pid, &ignored) &&
        cc_wait(pid, how, &interrupted) && file_read(arena, log, LOG_LIMIT, &text, &ignored))
        read_lines(text.data, where, n);
    unlink(log);
    arena_free(arena);
}
