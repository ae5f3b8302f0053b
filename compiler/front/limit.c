/* limit.c: how much a program may ask of the compiler. Inlined calls, loops, arrays and lists multiply:
 * forty lines can mean 2^40 calls. Counting evaluations bounds both time and memory. */
#include "elab.h"

enum { MAX_DEPTH = 2000 };

/* Units of some 200 bytes and 300 ns: a base, and what long texts need more. A transformer takes 300
 * for a layer, in each of its entries. */
#define BASE_WORK ((uint64_t)2000000)
enum { WORK_OF_BYTE = 12 };

uint64_t elab_allowance(uint64_t bytes)
{
    uint64_t more = bytes < BASE_WORK ? bytes * WORK_OF_BYTE : BASE_WORK * WORK_OF_BYTE;
    return BASE_WORK + more;
}

bool elab_spend(Elab *e, uint64_t units, Span span)
{
    Front *f = e->front;
    if (f->work <= f->allowance) {
        f->work += units < f->allowance ? units : f->allowance + 1;
        f->work_span = span;
    }
    if (f->work > f->allowance && !e->too_much) {
        e->too_much = true;
        diag_at(e->diags, DIAG_E0109, f->work_span,
                "the program is too large: it takes more than %llu evaluations to check",
                (unsigned long long)f->allowance);
    }
    return f->work <= f->allowance;
}

bool elab_enter(Elab *e, Span span)
{
    if (e->depth >= MAX_DEPTH) {
        if (!e->too_deep) {
            diag_at(e->diags, DIAG_E0109, span, "expressions and calls are nested too deeply");
        }
        e->too_deep = true;
        return false;
    }
    if (!elab_spend(e, 1, span)) {
        return false;
    }
    e->depth++;
    return true;
}

void elab_leave(Elab *e)
{
    ASSERT(e->depth > 0);
    e->depth--;
}
