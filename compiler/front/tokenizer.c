/* tokenizer.c: `tokenizer t = hf("..")` and `tokenizer t { file = ".." }` as one structure. */
#include "data.h"

/* An argument of a constructor, or an attribute of a block; NULL when it is not there or none. */
static const Val *setting(Elab *e, const Val *v, uint32_t position, const char *name)
{
    const Val *x;
    if (v->kind == V_RECORD) {
        x = record_arg(e, v, position, name);
    } else {
        const Ast *a = block_attr(v->code.ast, name);
        x = a ? eval(e, v->code.env, a) : NULL;
    }
    return x && x->kind != V_NONE ? x : NULL;
}

static Sym text_of(const Val *v)
{
    return v ? v->str : NULL;
}

/* Bytes have no special tokens but those that are given: `pad` and `image` name some of them. */
static bool named_special(Elab *e, const Tokenizer *t, Sym name, const char *what, const Val *v)
{
    for (uint32_t i = 0; i < t->nspecial; i++) {
        if (t->special[i] == name) {
            return true;
        }
    }
    if (!name) {
        return true;
    }
    Diag *d = diag_at(e->diags, DIAG_E0708, v->span, "the tokenizer has no token `%s` for `%s`",
                      name, what);
    diag_help(d, "add it: bytes(special: [\"%s\"], %s: \"%s\")", name, what, name);
    return false;
}

static bool specials_differ(Elab *e, const Tokenizer *t, const Val *special)
{
    for (uint32_t i = 1; i < t->nspecial; i++) {
        for (uint32_t k = 0; k < i; k++) {
            if (t->special[i] == t->special[k]) {
                diag_at(e->diags, DIAG_E0202, special->list.at[i]->span,
                        "the token `%s` is given twice", t->special[i]);
                return false;
            }
        }
    }
    return true;
}

static const Tokenizer *build(Elab *e, const Val *v, const char *kind)
{
    Tokenizer *t = NEW(e->arena, Tokenizer);
    bool hf = strcmp(kind, "hf") == 0;
    t->kind = kind;
    t->file =
        text_of(setting(e, v, strcmp(kind, "bytes") == 0 ? UINT32_MAX : 0, hf ? "name" : "file"));
    t->pad = text_of(setting(e, v, UINT32_MAX, "pad"));
    t->image = text_of(setting(e, v, UINT32_MAX, "image"));
    const Val *legacy = setting(e, v, UINT32_MAX, "legacy");
    t->legacy = legacy ? legacy->b : -1;
    const Val *special = setting(e, v, UINT32_MAX, "special");
    t->nspecial = special ? special->list.n : 0;
    Sym *names = NEW_ARRAY(e->arena, Sym, t->nspecial + 1);
    for (uint32_t i = 0; i < t->nspecial; i++) {
        names[i] = special->list.at[i]->str;
    }
    t->special = names;
    if (!specials_differ(e, t, special)) {
        return NULL;
    }
    bool bytes = strcmp(kind, "bytes") == 0;
    bool ok = !bytes || named_special(e, t, t->pad, "pad", v);
    return (!bytes || named_special(e, t, t->image, "image", v)) && ok ? t : NULL;
}

/* `tokenizer t = hf(..)`, or one that is known. */
static const Tokenizer *named(Elab *e, const Val *v)
{
    const Ast *block = v->code.ast;
    Pending here = {MAP_KEY(block), block->name, e->pending};
    if (pending_cycle(e, here.key, here.name, v->span)) {
        return NULL;
    }
    const Val *is = eval(e, v->code.env, block->kid[2]);
    const char *what = arena_printf(e->arena, "`tokenizer %s`", block->name);
    e->pending = &here;
    const Tokenizer *t = value_fits(e, SV_TOKENIZER, is, what) ? tokenizer_of(e, is) : NULL;
    e->pending = here.up;
    return t;
}

const Tokenizer *tokenizer_of(Elab *e, const Val *v)
{
    if (!value_fits(e, SV_TOKENIZER, v, "`tokenizer`")) {
        return NULL;
    }
    if (v->kind == V_RECORD) {
        return build(e, v, record_name(v));
    }
    const Ast *block = v->code.ast;
    if (block->kid[2] && !block->kid[3]) {
        return named(e, v);
    }
    return schema_check(e, block) && schema_values(e, v->code.env, block) ? build(e, v, "file")
                                                                          : NULL;
}
