/* report.c: what was found, as lines for people. */
#include "engine.h"
#include <stdarg.h>

static const char *const words[FAULT_COUNT] = {
    [FAULT_RACE] = "race",           [FAULT_BOUNDS] = "out of bounds",
    [FAULT_DEADLOCK] = "deadlock",   [FAULT_DIVERGENT] = "divergent",
    [FAULT_EXIT] = "early end",      [FAULT_ALIGN] = "misaligned",
    [FAULT_BARRIER] = "barrier",     [FAULT_MBARRIER] = "mbarrier",
    [FAULT_IN_FLIGHT] = "in flight", [FAULT_ASYNC] = "asynchronous",
    [FAULT_LAUNCH] = "launch",       [FAULT_GRID] = "too early",
};

static bool is_known(const Simt *s, Fault fault, Where where)
{
    for (uint32_t i = 0; i < s->nreport; i++)
        if (s->report[i].fault == fault && s->report[i].where.line == where.line &&
            s->report[i].where.from == where.from)
            return true;
    return false;
}

PRINTF_LIKE(3, 0)
static void add_report(Simt *s, Pair pair, const char *fmt, va_list args)
{
    s->nfound++;
    if (s->nreport == SIMT_MAX_REPORTS || is_known(s, pair.fault, pair.where))
        return;
    Report *r = &s->report[s->nreport++];
    *r = (Report){.fault = pair.fault, .where = pair.where, .other = pair.other};
    int n = snprintf(r->text, sizeof(r->text), "%s: ", words[pair.fault]);
    vsnprintf(r->text + n, sizeof(r->text) - (size_t)n, fmt, args);
    size_t used = strlen(r->text);
    snprintf(r->text + used, sizeof(r->text) - used, "; thread %d of block %d",
             s->face.thread - s->face.first, s->face.block);
}

void report_pair(Simt *s, Pair pair, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    add_report(s, pair, fmt, args);
    va_end(args);
}

void report(Simt *s, Fault fault, Where where, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    add_report(s, (Pair){fault, where, NOWHERE}, fmt, args);
    va_end(args);
}

static void find_lines(Simt *s)
{
    Where *all[2 * SIMT_MAX_REPORTS];
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->nreport; i++) {
        if (s->report[i].where.from)
            all[n++] = &s->report[i].where;
        if (s->report[i].other.from)
            all[n++] = &s->report[i].other;
    }
    if (n)
        place_find_lines(s, all, n);
}

void report_finish(Simt *s)
{
    find_lines(s);
    for (uint32_t i = 0; i < s->nreport; i++) {
        Report *r = &s->report[i];
        char text[sizeof(r->text)], other[32] = "";
        memcpy(text, r->text, sizeof(text));
        if (r->other.line)
            snprintf(other, sizeof(other), " (line %d)", r->other.line);
        snprintf(r->text, sizeof(r->text), "%s, line %d: %.380s%s", s->launch->name, r->where.line,
                 text, other);
    }
}

const char *simt_report(const Simt *s, uint32_t i)
{
    return i < s->nreport ? s->report[i].text : NULL;
}
