/* unread.c: modules and functions that no check has evaluated, because their arguments cannot be made up:
 * a module of numbers without defaults, a function of functions. Their shapes are not known, but their
 * names are: one that nothing in them, the file or the library has is a mistake whatever they are given.
 *
 * All names that a module or function binds anywhere count as bound everywhere in it, and what stands in
 * the brackets of an index may be an index: so nothing that is right is refused. */
#include "elab.h"

typedef struct Reader {
    Elab *e;
    const File *file;
    Map *bound; /* Sym */
} Reader;

static void bind(Reader *r, Sym name)
{
    if (name) {
        map_put(r->bound, MAP_KEY(name), r);
    }
}

/* Every name in an expression: of assigned names, indices, dimensions, parameters of lambdas. */
static void bind_all(Reader *r, const Ast *a)
{
    if (a->kind == A_ID || a->kind == A_PACK) {
        bind(r, a->name);
    }
    for (uint32_t i = 0; i < a->nkid; i++) {
        if (a->kid[i]) {
            bind_all(r, a->kid[i]);
        }
    }
}

static bool binds_name(AstKind kind)
{
    static const AstKind kinds[] = {A_FORMAL, A_LET, A_FN,    A_PARAM, A_BUFFER, A_STATE,
                                    A_SUB,    A_FOR, A_ARRAY, A_IN,    A_VJP};
    for (size_t i = 0; i < COUNT(kinds); i++) {
        if (kinds[i] == kind) {
            return true;
        }
    }
    return false;
}

static void collect(Reader *r, const Ast *a)
{
    bool type = a->kind == A_T_NAME || a->kind == A_T_TENSOR;
    if (binds_name(a->kind)) {
        bind(r, a->name);
    }
    if (a->kind == A_STATE) {
        bind(r, a->text);
    }
    if (type || a->kind == A_BIND || a->kind == A_LAMBDA || a->kind == A_ARRAY) {
        bind_all(r, type ? a : a->kid[0]);
    }
    for (uint32_t i = 0; i < a->nkid; i++) {
        if (a->kid[i] && a->kind == A_INDEX && i > 0) {
            bind_all(r, a->kid[i]);
        }
        if (a->kid[i]) {
            collect(r, a->kid[i]);
        }
    }
}

static bool is_known(const Reader *r, Sym name)
{
    static const char *const words[] = {"float",   "pi",     "mode", "train",   "eval",
                                        "prefill", "decode", "step", "progress"};
    DType dt;
    for (size_t i = 0; i < COUNT(words); i++) {
        if (strcmp(name, words[i]) == 0) {
            return true;
        }
    }
    return map_get(r->bound, MAP_KEY(name)) || file_item(r->file, name) ||
           file_item(r->e->front->std, name) || map_get(r->e->front->builtins, MAP_KEY(name)) ||
           dtype_find(name, &dt) || data_word(name);
}

static void read_names(Reader *r, const Ast *a)
{
    if (a->kind == A_ID && !is_known(r, a->name)) {
        Diag *d = diag_at(r->e->diags, DIAG_E0201, a->span, "unknown name `%s`", a->name);
        env_suggest(r->e, r->file->env, a->name, a->span, d);
        bind(r, a->name); /* once */
    }
    bool type = a->kind == A_T_NAME || a->kind == A_T_TENSOR || a->kind == A_T_TUPLE ||
                a->kind == A_T_OPTIONAL;
    uint32_t n = type ? 0 : a->kind == A_INDEX || a->kind == A_MEMBER ? 1 : a->nkid;
    for (uint32_t i = 0; i < n; i++) {
        if (a->kid[i]) {
            read_names(r, a->kid[i]);
        }
    }
}

/* What of it was called has been read already. */
static void read_uncalled(Reader *r, const Ast *a)
{
    if (map_get(r->e->front->called, MAP_KEY(a)) && a->kind != A_MODULE) {
        return;
    }
    if (a->kind != A_MODULE || !map_get(r->e->front->called, MAP_KEY(a))) {
        read_names(r, a);
        return;
    }
    for (uint32_t i = 0; i < a->kid[1]->nkid; i++) {
        if (a->kid[1]->kid[i]->kind == A_FN) {
            read_uncalled(r, a->kid[1]->kid[i]);
        }
    }
}

void unread_check(Elab *e, const File *file)
{
    for (uint32_t i = 0; i < map_count(file->values); i++) {
        const Item *item = map_value_at(file->values, i);
        const Ast *a = item->ast;
        Reader r = {e, file, map_new(e->arena)};
        if (item->file == file && (a->kind == A_MODULE || a->kind == A_FN || a->kind == A_OP)) {
            collect(&r, a);
            read_uncalled(&r, a);
        }
    }
}
