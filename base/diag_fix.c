/* diag_fix.c: a source text with the certain edits of its diagnostics made. */
#include "diag_data.h"

static int compare_edits(const void *a, const void *b)
{
    const Extra *x = *(const Extra *const *)a, *y = *(const Extra *const *)b;
    if (x->span.lo != y->span.lo)
        return x->span.lo < y->span.lo ? -1 : 1;
    return x->span.hi < y->span.hi ? -1 : x->span.hi > y->span.hi;
}

typedef VEC(const Extra *) Edits;

static Edits edits_of(const Diags *diags, Arena *arena, const Source *source, uint32_t file)
{
    Edits edits = {0};
    for (uint32_t i = 0; i < diags->list.n; i++) {
        const Diag *d = diags->list.at[i];
        for (uint32_t k = 0; k < d->extras.n; k++) {
            const Extra *x = &d->extras.at[k];
            bool fits = x->span.lo <= x->span.hi && x->span.hi <= source->n;
            if (x->certain && x->span.file == file && fits)
                VEC_PUSH(arena, &edits, x);
        }
    }
    if (edits.n)
        qsort(edits.at, edits.n, sizeof *edits.at, compare_edits);
    return edits;
}

const char *diags_fixed(const Diags *diags, Arena *arena, uint32_t file, uint32_t *n)
{
    const Source *source = diags_find_source(diags, file);
    ASSERT(source);
    Edits edits = edits_of(diags, arena, source, file);
    StrBuf sb = sb_new(arena);
    uint32_t at = 0;
    *n = 0;
    for (uint32_t i = 0; i < edits.n; i++) {
        const Extra *x = edits.at[i];
        bool again = i && x->span.lo == edits.at[i - 1]->span.lo;
        if (x->span.lo < at || again)
            continue;
        sb_putn(&sb, source->text + at, x->span.lo - at);
        sb_puts(&sb, x->replacement);
        at = x->span.hi;
        ++*n;
    }
    sb_putn(&sb, source->text + at, source->n - at);
    return *n ? sb_text(&sb) : NULL;
}
