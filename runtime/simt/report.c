/* report.c: what was found, as lines for people. */
#include "engine.h"
#include <stdarg.h>

static const char *const words[FAULT_COUNT] = {
    [FAULT_RACE] = "race",           [FAULT_BOUNDS] = "out of bounds",
    [FAULT_DEADLOCK] = "deadlock",   [FAULT_DIVERGENT] = "divergent",
    [FAULT_EXIT] = "early end",      [FAULT_ALIGN] = "misaligned",
    [FAULT_BARRIER] = "barrier",     [FAULT_MBARRIER] = "mbarrier",
    [FAULT_IN_FLIGHT] = "in flight", [FAULT_ASYNC] = "asynchronous",
    [FAULT_LAUNCH] = "launch",
};

static bool is_known(const Simt *s, Fault fault, Where where)
{
    for (uint32_t i = 0; i < s->nreport; i++)
        if (s->report[i].fault == fault && s->report[i].where.line == where.line &&
            s->report[i].where.from == where.from)
            return true;
    return false;
}

void report(Simt *s, Fault fault, Where where, const char *fmt, ...)
{
    va_list args;
    s->nfound++;
    if (s->nreport == SIMT_MAX_REPORTS || is_known(s, fault, where))
        return;
    Report *r = &s->report[s->nreport++];
    r->fault = fault;
    r->where = where;
    int n = snprintf(r->text, sizeof(r->text), "%s: ", words[fault]);
    va_start(args, fmt);
    vsnprintf(r->text + n, sizeof(r->text) - (size_t)n, fmt, args);
    va_end(args);
    size_t used = strlen(r->text);
    snprintf(r->text + used, sizeof(r->text) - used, "; thread %d of block %d", s->face.thread,
             s->face.block);
}

void report_finish(Simt *s)
{
    for (uint32_t i = 0; i < s->nreport; i++) {
        Report *r = &s->report[i];
        char text[sizeof(r->text)];
        memcpy(text, r->text, sizeof(text));
        snprintf(r->text, sizeof(r->text), "%s, line %d: %.400s", s->launch->name, r->where.line,
                 text);
    }
}

const char *simt_report(const Simt *s, uint32_t i)
{
    return i < s->nreport ? s->report[i].text : NULL;
}
