/* schema.c: blocks against the schema table: unknown attributes are errors, never ignored. */
#include "blocks.h"

enum { NOW, LATER };

static const SchemaAttr attrs[] = {
#define ATTR(block, name, required, since, kind, words, doc) \
    {#block, #name, required, (since) == LATER, SV_##kind == SV_GROUP, SV_##kind, words, doc},
#include "schema.def"
#undef ATTR
};

bool not_yet(Elab *e, Span span, const char *what)
{
    Front *f = e->front;
    VEC_PUSH(f->arena, &f->later, ((Later){e->program, span, arena_strdup(f->arena, what)}));
    return true;
}

const SchemaAttr *schema_at(uint32_t i)
{
    return i < COUNT(attrs) ? &attrs[i] : NULL;
}

const Ast *block_attr(const Ast *block, const char *name)
{
    const Ast *body = block->kid[3];
    for (uint32_t i = 0; body && i < body->nkid; i++) {
        if (body->kid[i]->kind == A_ATTR && strcmp(body->kid[i]->name, name) == 0) {
            return body->kid[i]->kid[0];
        }
    }
    return NULL;
}

/* Which rows of schema.def a block has: a stage those of train; clauses have options of their own. */
static const char *table_of(const Ast *block)
{
    static const char *const other[][2] = {
        {"stage", "train"}, {"train ..", "group"}, {"freeze ..", "freeze"}, {"remat ..", "remat"}};
    for (size_t i = 0; i < COUNT(other); i++) {
        if (strcmp(block->text, other[i][0]) == 0) {
            return other[i][1];
        }
    }
    return block->text;
}

const SchemaAttr *schema_find(const char *block, const char *name)
{
    for (size_t i = 0; i < COUNT(attrs); i++) {
        if (strcmp(attrs[i].block, block) == 0 && strcmp(attrs[i].name, name) == 0) {
            return &attrs[i];
        }
    }
    return NULL;
}

/* The attribute of the block that an unknown one is a misspelling of, or NULL. */
static Sym meant(const Ast *block, const Ast *a)
{
    Sym names[COUNT(attrs)];
    uint32_t n = 0;
    for (size_t i = 0; i < COUNT(attrs); i++) {
        if (strcmp(attrs[i].block, table_of(block)) == 0) {
            names[n++] = attrs[i].name;
        }
    }
    return strcmp(a->name, "learning_rate") == 0 ? "lr" : sym_nearest(a->name, names, n);
}

static void unknown(Elab *e, const Ast *block, const Ast *a)
{
    Diag *d = diag_at(e->diags, DIAG_E0801, a->name_span, "`%s` has no attribute `%s`", block->text,
                      a->name);
    Sym near = meant(block, a);
    if (near) {
        diag_fix(d, a->name_span, near, "the attribute is called `%s`", near);
        return;
    }
    StrBuf sb = sb_new(e->arena);
    for (size_t i = 0; i < COUNT(attrs); i++) {
        if (strcmp(attrs[i].block, table_of(block)) == 0) {
            sb_printf(&sb, "%s%s", sb.n ? ", " : "", attrs[i].name);
        }
    }
    diag_note(d, "it has %s", sb_text(&sb));
}

/* Is it there under another name? Then that has been reported. */
static bool misspelt(const Ast *block, const char *name)
{
    const Ast *body = block->kid[3];
    for (uint32_t i = 0; body && i < body->nkid; i++) {
        const Ast *a = body->kid[i];
        bool unknown_name = a->kind == A_ATTR && !schema_find(table_of(block), a->name);
        Sym near = unknown_name ? meant(block, a) : a->kind == A_SUBGROUP ? a->name : NULL;
        if (near && strcmp(near, name) == 0) {
            return true;
        }
    }
    return false;
}

static void check_attr(Elab *e, const Ast *block, const Ast *a, uint32_t i)
{
    const SchemaAttr *s = schema_find(table_of(block), a->name);
    if (!s) {
        unknown(e, block, a);
        return;
    }
    if (s->later) {
        not_yet(e, a->name_span, arena_printf(e->arena, "`%s`", a->name));
    }
    for (uint32_t k = 0; k < i; k++) {
        const Ast *other = block->kid[3]->kid[k];
        if (other->kind == A_ATTR && other->name == a->name) {
            Diag *d = diag_at(e->diags, DIAG_E0202, a->name_span, "`%s` is given twice", a->name);
            diag_also(d, other->name_span, "first here");
            return;
        }
    }
}

/* What stands in a block besides its attributes. */
static bool belongs(const Ast *block, const Ast *a)
{
    if (strcmp(block->text, "data") == 0) {
        return a->kind == A_FIELD;
    }
    if (strcmp(table_of(block), "train") == 0) {
        const SchemaAttr *s = a->kind == A_SUBGROUP ? schema_find("train", a->name) : NULL;
        bool load = a->kind == A_CLAUSE && strcmp(a->text, "load") == 0;
        return (a->kind == A_CLAUSE && !load) || a->kind == A_EVERY || (s && s->groups);
    }
    return strcmp(block->text, "eval") == 0 && a->kind == A_BLOCK && strcmp(a->text, "metric") == 0;
}

/* `data d = mix(..)`, `tokenizer t = hf(..)`; other blocks have only attributes. */
static bool takes_value(const Ast *block)
{
    return strcmp(block->text, "data") == 0 || strcmp(block->text, "tokenizer") == 0;
}

bool schema_check(Elab *e, const Ast *block)
{
    uint32_t errors = diags_reported(e->diags);
    const Ast *body = block->kid[3];
    bool formals = block->kid[1] && strcmp(block->text, "data") != 0;
    if (block->kid[2] && !body && takes_value(block)) {
        return true;
    }
    if (formals || block->kid[2]) {
        const Ast *extra = formals ? block->kid[1] : block->kid[2];
        diag_at(e->diags, DIAG_E0107, extra->span, "`%s` takes no %s", block->text,
                formals ? "arguments" : "value: its attributes stand in braces");
    }
    for (uint32_t i = 0; body && i < body->nkid; i++) {
        const Ast *a = body->kid[i];
        if (a->kind == A_ATTR) {
            check_attr(e, block, a, i);
        } else if (a->kind != A_ERROR && !belongs(block, a)) {
            diag_at(e->diags, DIAG_E0107, a->name_span.file ? a->name_span : a->span,
                    "this statement does not belong in `%s`", block->text);
        }
    }
    for (size_t i = 0; i < COUNT(attrs); i++) {
        if (strcmp(attrs[i].block, table_of(block)) == 0 && attrs[i].required &&
            !block_attr(block, attrs[i].name) && !misspelt(block, attrs[i].name)) {
            diag_at(e->diags, DIAG_E0803, block->name_span.file ? block->name_span : block->span,
                    "`%s %s` needs `%s`: %s", block->text, block->name, attrs[i].name,
                    attrs[i].doc);
        }
    }
    return diags_reported(e->diags) == errors;
}

bool schema_check_body(Elab *e, const char *what, const Ast *body)
{
    Ast *kid[4] = {NULL, NULL, NULL, (Ast *)body};
    Ast block = {
        .kind = A_BLOCK, .span = body->span, .text = what, .name = "", .kid = kid, .nkid = 4};
    return schema_check(e, &block);
}

static bool wrong_type(Elab *e, const Ast *a, const char *name, const char *want, const Val *v)
{
    if (!val_is_poison(v)) {
        diag_at(e->diags, DIAG_E0802, a->span, "`%s` is %s, got %s", name, want, val_text(e, v));
    }
    return false;
}

bool attr_int(Elab *e, Env *env, const Ast *block, const char *name, int64_t *out)
{
    const Ast *a = block_attr(block, name);
    if (!a) {
        return true;
    }
    const Val *v = eval(e, env, a);
    int64_t i;
    if (!val_as_int(v, &i) || i < 0) {
        return wrong_type(e, a, name, "a whole number", v);
    }
    *out = i;
    return true;
}

bool attr_bool(Elab *e, Env *env, const Ast *block, const char *name, bool *out)
{
    const Ast *a = block_attr(block, name);
    if (!a) {
        return true;
    }
    const Val *v = eval(e, env, a);
    if (v->kind != V_BOOL) {
        return wrong_type(e, a, name, "true or false", v);
    }
    *out = v->b;
    return true;
}
