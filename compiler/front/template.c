/* template.c: a template as lists of segments: strings, the turn's content, and atoms that are tokens.
 * learn(..) marks what is learned. Names of atoms are known in templates alone. */
#include "data.h"

/* ---- atoms and functions ---- */

static const Val *segment(Elab *e, SegmentKind kind, Sym text, Span span)
{
    Segment *s = NEW(e->arena, Segment);
    s->kind = kind;
    s->text = text;
    Val *v = val_new(e, V_SEGMENT, span);
    v->segment = s;
    return v;
}

typedef VEC(Segment) SegmentList;

/* A segment, a string, or lists of them; false after E0802. */
static bool flatten(Elab *e, const Val *v, SegmentList *out)
{
    if (val_is_poison(v)) {
        return false;
    }
    if (v->kind == V_LIST || v->kind == V_TUPLE) {
        bool ok = true;
        for (uint32_t i = 0; i < v->list.n; i++) {
            ok = flatten(e, v->list.at[i], out) && ok;
        }
        return ok;
    }
    if (v->kind != V_STR && v->kind != V_SEGMENT) {
        diag_at(e->diags, DIAG_E0802, v->span,
                "a segment is a string, content, bos, eos, image, token(..) or learn(..), got %s",
                val_text(e, v));
        return false;
    }
    Segment s = v->kind == V_STR ? (Segment){SG_TEXT, v->str, false} : *v->segment;
    VEC_PUSH(e->arena, out, s);
    return true;
}

/* learn(content, eos): the segments, marked. */
static const Val *call_learn(Elab *e, const Builtin *b, Args *args)
{
    SegmentList list = {0};
    UNUSED(b);
    for (uint32_t i = 0; i < args->n; i++) {
        if (!flatten(e, args->at[i], &list)) {
            return poison(e, args->call);
        }
    }
    if (!list.n) {
        diag_at(e->diags, DIAG_E0303, args->call, "`learn` needs the segments that are learned");
        return poison(e, args->call);
    }
    const Val **at = NEW_ARRAY(e->arena, const Val *, list.n);
    for (uint32_t i = 0; i < list.n; i++) {
        Segment *s = COPY_ARRAY(e->arena, Segment, &list.at[i], 1);
        s->learned = true;
        Val *v = val_new(e, V_SEGMENT, args->call);
        v->segment = s;
        at[i] = v;
    }
    return val_list(e, V_LIST, at, list.n, args->call);
}

static const Val *call_token(Elab *e, const Builtin *b, Args *args)
{
    const Val *v = args->n == 1 ? args->at[0] : NULL;
    UNUSED(b);
    if (v && v->kind == V_STR && v->str[0]) {
        return segment(e, SG_TOKEN, v->str, args->call);
    }
    if (!v || !val_is_poison(v)) {
        diag_at(e->diags, v ? DIAG_E0205 : DIAG_E0303, v ? v->span : args->call,
                "`token` takes the name of a special token, a string");
    }
    return poison(e, args->call);
}

static const Builtin functions[] = {
    {"learn", call_learn, OP_CONST, "what is trained on", ".."},
    {"token", call_token, OP_CONST, "a special token", "name"},
};

bool template_builtin(const Builtin *b)
{
    return b >= functions && b < functions + COUNT(functions);
}

Env *template_scope(Elab *e, Env *up)
{
    static const struct {
        const char *name;
        SegmentKind kind;
    } atoms[] = {{"content", SG_CONTENT}, {"bos", SG_BOS}, {"eos", SG_EOS}, {"image", SG_IMAGE}};
    Env *env = env_new(e, ENV_FRAME, up);
    for (size_t i = 0; i < COUNT(atoms); i++) {
        env_bind(e, env, sym(e->ir->syms, atoms[i].name),
                 segment(e, atoms[i].kind, NULL, (Span){0}));
    }
    for (size_t i = 0; i < COUNT(functions); i++) {
        Val *v = val_new(e, V_BUILTIN, (Span){0});
        v->builtin = &functions[i];
        env_bind(e, env, sym(e->ir->syms, functions[i].name), v);
    }
    return env;
}

/* ---- the block ---- */

typedef struct Part {
    Elab *e;
    Env *env;
    const Ast *block;
    Template *out;
} Part;

static const char *atom_name(SegmentKind kind)
{
    static const char *const names[] = {
        [SG_TEXT] = "text", [SG_CONTENT] = "content", [SG_BOS] = "bos",
        [SG_EOS] = "eos",   [SG_IMAGE] = "image",     [SG_TOKEN] = "token"};
    return names[kind];
}

/* `begin` has no turn, so no content; in `image` the atom must not be missing. */
static bool fits_place(Part *p, const char *name, const Segments *s, Span span)
{
    bool begin = strcmp(name, "begin") == 0, image = strcmp(name, "image") == 0;
    bool assistant = strcmp(name, "assistant") == 0, found = false;
    for (uint32_t i = 0; i < s->n; i++) {
        SegmentKind kind = s->at[i].kind;
        bool nothing = (begin || image) && kind == SG_CONTENT;
        if (nothing || (begin && kind == SG_IMAGE)) {
            diag_at(p->e->diags, DIAG_E0802, span, "`%s` belongs to a turn: `%s` has none",
                    atom_name(kind), name);
            return false;
        }
        if (s->at[i].learned && image) {
            diag_at(p->e->diags, DIAG_E0802, span, "an image is not learned");
            return false;
        }
        found = found || kind == (image ? SG_IMAGE : SG_CONTENT);
        p->out->learns = p->out->learns || s->at[i].learned;
    }
    if (!found && (image || assistant)) {
        diag_at(p->e->diags, DIAG_E0802, span, "`%s` lacks the segment `%s`", name,
                image ? "image" : "content");
        return false;
    }
    return true;
}

static bool part(Part *p, const char *name, Segments *out)
{
    const Ast *a = block_attr(p->block, name);
    SegmentList list = {0};
    if (!a || a->kind == A_NONE) {
        return true;
    }
    if (!flatten(p->e, eval(p->e, p->env, a), &list)) {
        return false;
    }
    *out = (Segments){list.n, list.at};
    return fits_place(p, name, out, a->span);
}

static bool stops(Part *p)
{
    const Ast *a = block_attr(p->block, "stop");
    SegmentList list = {0};
    if (a && a->kind != A_NONE && !flatten(p->e, eval(p->e, p->env, a), &list)) {
        return false;
    }
    if (!list.n) {
        Segment eos = {.kind = SG_EOS};
        VEC_PUSH(p->e->arena, &list, eos);
    }
    p->out->stop = (Segments){list.n, list.at};
    return true;
}

const Template *template_of(Elab *e, const Val *v)
{
    if (!value_fits(e, SV_TEMPLATE, v, "`template`")) {
        return NULL;
    }
    Template *t = NEW(e->arena, Template);
    Part p = {e, template_scope(e, v->code.env), v->code.ast, t};
    t->block = p.block;
    if (!schema_check(e, p.block) || !schema_values(e, p.env, p.block)) {
        return NULL;
    }
    bool ok = part(&p, "begin", &t->begin);
    ok = part(&p, "system", &t->system) && ok;
    ok = part(&p, "user", &t->user) && ok;
    ok = part(&p, "assistant", &t->assistant) && ok;
    ok = part(&p, "image", &t->image) && ok;
    ok = stops(&p) && ok;
    if (!t->image.n) {
        Segment *image = NEW(e->arena, Segment);
        image->kind = SG_IMAGE;
        t->image = (Segments){1, image};
    }
    return ok ? t : NULL;
}
