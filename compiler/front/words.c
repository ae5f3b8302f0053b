/* words.c: lists of words in tables, with blanks between. */
#include "elab.h"

bool word_in(const char *words, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = strstr(words, name); n && p; p = strstr(p + 1, name)) {
        if ((p == words || p[-1] == ' ') && (p[n] == ' ' || !p[n])) {
            return true;
        }
    }
    return false;
}

Sym word_nearest(Elab *e, const char *words, Sym name)
{
    VEC(Sym) list = {0};
    for (const char *p = words; *p; p += strspn(p, " ")) {
        size_t n = strcspn(p, " ");
        VEC_PUSH(e->arena, &list, sym_n(e->ir->syms, p, n));
        p += n;
    }
    return sym_nearest(name, list.at, list.n);
}
