/* attribute.c: values of attributes and of constructors' arguments against what their tables say they are
 * (schema.def, constructors.def): one checker for all. */
#include "data.h"

#define NAMED UINT32_MAX

typedef struct CtorArg {
    const char *ctor, *name;
    uint32_t position;
    bool required;
    SchemaKind kind;
    const char *words;
} CtorArg;

static const CtorArg ctor_args[] = {
#define ARG(ctor, name, position, required, kind, words) \
    {#ctor, #name, position, required, SV_##kind, words},
#include "constructors.def"
#undef ARG
};

/* ---- kinds of values ---- */

static bool is_int(Elab *e, const Val *v)
{
    int64_t i;
    UNUSED(e);
    return val_as_int(v, &i) && i >= 0;
}

static bool is_num(Elab *e, const Val *v)
{
    double f;
    UNUSED(e);
    return val_as_double(v, &f);
}

static bool is_bool(Elab *e, const Val *v)
{
    UNUSED(e);
    return v->kind == V_BOOL;
}

static bool is_str(Elab *e, const Val *v)
{
    UNUSED(e);
    return v->kind == V_STR;
}

static bool is_function(Elab *e, const Val *v)
{
    UNUSED(e);
    return v->kind == V_CLOSURE || v->kind == V_BUILTIN;
}

static bool is_list_of(Elab *e, const Val *v, bool (*is)(Elab *, const Val *))
{
    bool ok = v->kind == V_LIST;
    for (uint32_t i = 0; ok && i < v->list.n; i++) {
        ok = is(e, v->list.at[i]);
    }
    return ok;
}

static bool is_strings(Elab *e, const Val *v)
{
    return is_list_of(e, v, is_str);
}

static bool is_stop(Elab *e, const Val *v)
{
    return is_str(e, v) || v->kind == V_SEGMENT;
}

static bool is_stops(Elab *e, const Val *v)
{
    return is_list_of(e, v, is_stop);
}

static bool is_tests(Elab *e, const Val *v)
{
    return is_list_of(e, v, is_function);
}

static bool is_limit(Elab *e, const Val *v)
{
    return is_int(e, v) || (v->kind == V_PERCENT && v->f > 0 && v->f <= 1);
}

static bool is_share(Elab *e, const Val *v)
{
    UNUSED(e);
    return v->kind == V_PERCENT && v->f >= 0 && v->f <= 1;
}

static bool is_block(const Val *v, const char *kind)
{
    return v->kind == V_BLOCK && strcmp(v->code.ast->text, kind) == 0;
}

static bool is_data(Elab *e, const Val *v)
{
    UNUSED(e);
    return is_block(v, "data") || (v->kind == V_RECORD && strcmp(record_name(v), "mix") == 0);
}

static bool is_source(Elab *e, const Val *v)
{
    UNUSED(e);
    return v->kind == V_RECORD && source_find(record_name(v));
}

static bool is_tokenizer(Elab *e, const Val *v)
{
    UNUSED(e);
    bool record = v->kind == V_RECORD && word_in("hf sentencepiece bpe bytes", record_name(v));
    return is_block(v, "tokenizer") || record;
}

static bool is_template(Elab *e, const Val *v)
{
    UNUSED(e);
    return is_block(v, "template");
}

static bool is_segments(Elab *e, const Val *v)
{
    UNUSED(e);
    return v->kind == V_LIST || v->kind == V_STR || v->kind == V_SEGMENT;
}

static bool is_sampler(Elab *e, const Val *v)
{
    UNUSED(e);
    return v->kind == V_RECORD && word_in("greedy sample", record_name(v));
}

static bool is_store(Elab *e, const Val *v)
{
    UNUSED(e);
    return v->kind == V_RECORD && word_in("int8 int4", record_name(v));
}

static bool is_model(Elab *e, const Val *v)
{
    UNUSED(e);
    return v->kind == V_INSTANCE;
}

static bool is_weights(Elab *e, const Val *v)
{
    UNUSED(e);
    bool record = v->kind == V_RECORD && word_in("hf file stage", record_name(v));
    return v->kind == V_STR || record;
}

static bool is_optimizer(Elab *e, const Val *v)
{
    UNUSED(e);
    return v->kind == V_RECORD || v->kind == V_MODULE || v->kind == V_CLOSURE ||
           v->kind == V_INSTANCE;
}

static bool is_dtype(Elab *e, const Val *v)
{
    UNUSED(e);
    return v->kind == V_DTYPE;
}

static bool is_anything(Elab *e, const Val *v)
{
    UNUSED(e);
    UNUSED(v);
    return true;
}

typedef struct Kind {
    const char *want;
    bool (*is)(Elab *e, const Val *v);
    DiagCode code; /* of a wrong value: E0205 where a block is named */
} Kind;

static const Kind kinds[] = {
    [SV_INT] = {"a whole number", is_int, DIAG_E0802},
    [SV_NUM] = {"a number", is_num, DIAG_E0802},
    [SV_BOOL] = {"true or false", is_bool, DIAG_E0802},
    [SV_STR] = {"a string", is_str, DIAG_E0802},
    [SV_WORD] = {"a word", is_anything, DIAG_E0802},
    [SV_WORDS] = {"a list of words", is_anything, DIAG_E0802},
    [SV_STRINGS] = {"a list of strings", is_strings, DIAG_E0802},
    [SV_STOPS] = {"a list of strings and tokens", is_stops, DIAG_E0802},
    [SV_LIMIT] = {"a number of rows or a percentage up to 100%", is_limit, DIAG_E0802},
    [SV_SHARE] = {"a percentage from 0% to 100%", is_share, DIAG_E0802},
    [SV_FN] = {"a function", is_function, DIAG_E0802},
    [SV_TESTS] = {"a list of functions", is_tests, DIAG_E0802},
    [SV_DATA] = {"data", is_data, DIAG_E0205},
    [SV_SOURCE] = {"a source, such as idx(..), text(..), conversations(..)", is_source, DIAG_E0802},
    [SV_TOKENIZER] = {"a tokenizer", is_tokenizer, DIAG_E0205},
    [SV_TEMPLATE] = {"a template", is_template, DIAG_E0205},
    [SV_SEGMENTS] = {"a list of segments", is_segments, DIAG_E0802},
    [SV_SAMPLER] = {"a sampler, greedy(..) or sample(..)", is_sampler, DIAG_E0802},
    [SV_STORE] = {"how weights are kept, int8 or int4(block: 32)", is_store, DIAG_E0802},
    [SV_MODEL] = {"a model", is_model, DIAG_E0205},
    [SV_WEIGHTS] = {"a stage, or a file in quotes", is_weights, DIAG_E0802},
    [SV_OPTIMIZER] = {"an optimizer", is_optimizer, DIAG_E0802},
    [SV_SCHEDULE] = {"a schedule", is_anything, DIAG_E0802},
    [SV_DTYPE] = {"an element type", is_dtype, DIAG_E0802},
    [SV_AXES] = {"axes of devices", is_anything, DIAG_E0802},
    [SV_GROUP] = {"a group", is_anything, DIAG_E0802},
};

bool value_fits(Elab *e, SchemaKind kind, const Val *v, const char *what)
{
    if (val_is_poison(v)) {
        return false;
    }
    if (kinds[kind].is(e, v)) {
        return v->kind != V_RECORD || ctor_check(e, v);
    }
    bool block = kinds[kind].code == DIAG_E0205;
    diag_at(e->diags, kinds[kind].code, v->span,
            block ? "%s: expected %s, got %s" : "%s is %s, got %s", what, kinds[kind].want,
            val_text(e, v));
    return false;
}

/* ---- words: names without quotes, known to the attribute alone ---- */

static bool word_fits(Elab *e, const SchemaAttr *s, const Ast *a)
{
    if (a->kind == A_ID && word_in(s->words, a->name)) {
        return true;
    }
    Diag *d = diag_at(e->diags, DIAG_E0802, a->span, "`%s` is one of: %s", s->name, s->words);
    Sym near = a->kind == A_ID ? word_nearest(e, s->words, a->name) : NULL;
    if (near) {
        diag_fix(d, a->span, near, "a similar word exists");
    }
    return false;
}

static bool words_fit(Elab *e, const SchemaAttr *s, const Ast *a)
{
    bool ok = true;
    if (a->kind != A_LIST) {
        diag_at(e->diags, DIAG_E0802, a->span, "`%s` is a list of words: %s", s->name, s->words);
        return false;
    }
    for (uint32_t i = 0; i < a->nkid; i++) {
        ok = word_fits(e, s, a->kid[i]) && ok;
    }
    return ok;
}

/* ---- stages, by name ---- */

typedef VEC(Sym) Names;

static void stage_names(Elab *e, const Ast *a, Names *names)
{
    bool stage = a->kind == A_BLOCK && strcmp(a->text, "stage") == 0;
    if (stage || (a->kind == A_BLOCK && strcmp(a->text, "train") == 0)) {
        VEC_PUSH(e->arena, names, a->name);
        for (uint32_t i = 0; a->kid[0] && i < a->kid[0]->nkid; i++) {
            if (a->kid[0]->kid[i]->kind == A_BLOCK_AS) {
                VEC_PUSH(e->arena, names, a->kid[0]->kid[i]->name);
            }
        }
    }
    for (uint32_t i = 0;
         (a->kind == A_FILE || a->kind == A_BODY || a->kind == A_BLOCK) && i < a->nkid; i++) {
        if (a->kid[i]) {
            stage_names(e, a->kid[i], names);
        }
    }
}

/* `instruct`, `llava.instruct`: the last name is that of a stage or of a train block. */
static bool weights_fit(Elab *e, Env *env, const SchemaAttr *s, const Ast *a)
{
    if (a->kind != A_ID && a->kind != A_MEMBER) {
        return value_fits(e, s->kind, eval(e, env, a), "`weights`");
    }
    Names names = {0};
    for (uint32_t i = 0; i < e->front->files.n; i++) {
        stage_names(e, e->front->files.at[i]->ast, &names);
    }
    for (uint32_t i = 0; i < names.n; i++) {
        if (names.at[i] == a->name) {
            return true;
        }
    }
    Span at = a->name_span.file ? a->name_span : a->span;
    Diag *d = diag_at(e->diags, DIAG_E0805, at, "no stage `%s`", a->name);
    Sym near = sym_nearest(a->name, names.at, names.n);
    if (near) {
        diag_fix(d, at, near, "a similar stage exists");
    }
    return false;
}

/* ---- attributes ---- */

static bool attr_fits(Elab *e, Env *env, const SchemaAttr *s, const Ast *a)
{
    if (a->kind == A_NONE && !s->required) {
        return true;
    }
    if (s->kind == SV_WORD) {
        return word_fits(e, s, a);
    }
    if (s->kind == SV_WORDS) {
        return words_fit(e, s, a);
    }
    if (s->kind == SV_WEIGHTS) {
        return weights_fit(e, env, s, a);
    }
    if (s->kind == SV_DTYPE && a->kind == A_ID && word_in(s->words, a->name)) {
        return true;
    }
    return value_fits(e, s->kind, val_at(e, eval(e, env, a), a->span),
                      arena_printf(e->arena, "`%s`", s->name));
}

bool schema_values(Elab *e, Env *env, const Ast *block)
{
    const Ast *body = block->kid[3];
    bool ok = true;
    for (uint32_t i = 0; body && i < body->nkid; i++) {
        const Ast *a = body->kid[i];
        const SchemaAttr *s = a->kind == A_ATTR ? schema_find(block->text, a->name) : NULL;
        ok = (!s || attr_fits(e, env, s, a->kid[0])) && ok;
    }
    return ok;
}

/* ---- constructors ---- */

bool ctor_check(Elab *e, const Val *record)
{
    const char *name = record_name(record);
    bool ok = true;
    for (size_t i = 0; i < COUNT(ctor_args); i++) {
        const CtorArg *c = &ctor_args[i];
        if (strcmp(c->ctor, name) != 0) {
            continue;
        }
        const Val *v = record_arg(e, record, c->position, c->name);
        if (!v && c->required) {
            diag_at(e->diags, DIAG_E0303, record->span, "`%s` needs `%s`, %s", name, c->name,
                    kinds[c->kind].want);
        }
        bool none = v && v->kind == V_NONE && !c->required;
        const char *what = arena_printf(e->arena, "`%s` of `%s`", c->name, name);
        ok = (v ? none || value_fits(e, c->kind, v, what) : !c->required) && ok;
    }
    return ok;
}
