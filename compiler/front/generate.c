/* generate.c: blocks that make text and pictures, `chat` and `generate`, and the blocks that nothing of
 * the program uses: each is checked as a whole. */
#include "data.h"

/* What the run time feeds by name when it decodes. */
static const char fed[] = "tokens pos seg valid last images slots order";

static const Ast *forward_of(Elab *e, const Inst *inst, Span at)
{
    const Val *f = inst_member(e, (Inst *)inst, sym(e->ir->syms, "forward"), at);
    return f && f->kind == V_CLOSURE ? f->code.ast : NULL;
}

bool generates(Elab *e, const Val *model, Span at)
{
    const Ast *forward = model->kind == V_INSTANCE ? forward_of(e, model->inst, at) : NULL;
    bool tokens = false, ok = true;
    if (!forward) {
        diag_at(e->diags, DIAG_E0305, at, "%s has no `forward`: it cannot generate",
                val_text(e, model));
        return false;
    }
    for (uint32_t i = 0; i < forward->kid[0]->nkid; i++) {
        const Ast *f = forward->kid[0]->kid[i];
        tokens = tokens || strcmp(f->name, "tokens") == 0;
        if (!word_in(fed, f->name) && !f->kid[1] && !type_is_optional(f->kid[0])) {
            Diag *d = diag_at(e->diags, DIAG_E0303, at,
                              "generation has nothing for the argument `%s` of `forward`", f->name);
            diag_also(d, f->span, "it has no default");
            diag_note(d, "it gives, by name: %s", fed);
            ok = false;
        }
    }
    if (ok && !tokens) {
        diag_at(e->diags, DIAG_E0303, at, "%s cannot generate: its `forward` takes no `tokens`",
                val_text(e, model));
    }
    return ok && tokens;
}

static const Val *attr_value(Elab *e, Env *env, const Ast *block, const char *name)
{
    const Ast *a = block_attr(block, name);
    return a && a->kind != A_NONE ? eval(e, env, a) : NULL;
}

/* call = () => ..: tensors, made by a function of the program. */
static bool calls(Elab *e, Env *env, const Ast *block, const Val *fn)
{
    Graph *g = e->g;
    Args none = {.call = block_attr(block, "call")->span};
    entry_begin(e, arena_printf(e->arena, "generate:%s", block->name), MODE_EVAL);
    const Val *v = call_value(e, env, fn, &none);
    bool ok = !val_is_poison(v);
    for (uint32_t i = 0; ok && i < (v->kind == V_TUPLE ? v->list.n : 1); i++) {
        const Val *r = v->kind == V_TUPLE ? v->list.at[i] : v;
        if (!is_tensor(r)) {
            diag_at(e->diags, DIAG_E0802, none.call, "`call` gives tensors, got %s",
                    val_text(e, r));
            ok = false;
        }
    }
    e->g = g;
    return ok;
}

bool dialog_image(Elab *e, Env *env, const Ast *block, const Datum **image)
{
    const Ast *a = block_attr(block, "image");
    DatumType type = {.kind = DA_IMAGE};
    *image = NULL;
    if (!a || a->kind == A_NONE) {
        return true;
    }
    e->at_data = true;
    const Val *v = data_call(e, env, a, datum_new(e, "image", &type, (DatumArgs){0}, a->span));
    e->at_data = false;
    if (v && !(is_datum(v) && v->datum->type.kind == DA_ARRAY)) {
        diag_at(e->diags, DIAG_E0802, v->span, "`image` gives numbers, got %s", val_text(e, v));
        return false;
    }
    *image = v ? v->datum : NULL;
    return v != NULL;
}

bool dialog_check(Elab *e, Env *env, const Ast *block)
{
    if (!schema_check(e, block) || !schema_values(e, env, block)) {
        return false;
    }
    const Val *tokenizer = attr_value(e, env, block, "tokenizer");
    const Val *template = attr_value(e, env, block, "template");
    const Val *call = attr_value(e, env, block, "call");
    const Ast *model = block_attr(block, "model");
    bool ok = !tokenizer || tokenizer_of(e, tokenizer);
    ok = (!template || template_of(e, template)) && ok;
    const Datum *image;
    Precision precision = e->precision;
    ok = block_precision(e, env, block, &precision) && ok;
    ok = dialog_image(e, env, block, &image) && ok;
    if (call) {
        return calls(e, env, block, call) && ok;
    }
    if (!tokenizer) {
        diag_at(e->diags, DIAG_E0803, block->name_span,
                "`%s %s` needs `tokenizer`: what makes tokens of text", block->text, block->name);
        return false;
    }
    return generates(e, eval(e, env, model), model->span) && ok;
}

/* Can the block be looked at without arguments? */
static bool stands_alone(const Ast *block)
{
    const Ast *formals = block->kid[1];
    for (uint32_t i = 0; formals && i < formals->nkid; i++) {
        if (!formals->kid[i]->kid[1]) {
            return false;
        }
    }
    return true;
}

bool block_check(Elab *e, const Item *item)
{
    const Ast *block = item->ast;
    bool dialog = strcmp(block->text, "chat") == 0 || strcmp(block->text, "generate") == 0;
    if (dialog) {
        return dialog_check(e, item->file->env, block);
    }
    const Val *v = item_value(e, item, block->name_span);
    if (strcmp(block->text, "tokenizer") == 0) {
        return tokenizer_of(e, v) != NULL;
    }
    if (strcmp(block->text, "template") == 0) {
        return template_of(e, v) != NULL;
    }
    if (strcmp(block->text, "data") != 0) {
        return true;
    }
    return stands_alone(block) ? data_of(e, v, false) != NULL : data_check_open(e, v);
}

/* The prompt at once, then token by token, with states that last. */
static void decode(Elab *e, Inst *inst, Span at)
{
    static const Mode modes[] = {MODE_PREFILL, MODE_DECODE};
    const Val *f = inst_member(e, inst, sym(e->ir->syms, "forward"), at);
    for (size_t i = 0; i < COUNT(modes) && f && f->kind == V_CLOSURE; i++) {
        pass_begin(e, graph_new(e->ir, e->arena, f->code.ast->name), modes[i]);
        uncalled_value(e, f);
    }
    e->g = NULL;
    e->mode = MODE_EVAL;
}

void decode_check(Elab *e, const File *file)
{
    Map *done = map_new(e->arena);
    struct Shapes *shapes = e->front->shapes;
    e->front->shapes = NULL; /* shown are those of the whole sequence */
    for (uint32_t i = 0; i < map_count(file->actions); i++) {
        const Item *item = map_value_at(file->actions, i);
        const Ast *a = item->ast, *model = block_attr(a, "model");
        bool tokens = strcmp(a->text, "chat") == 0 ||
                      (strcmp(a->text, "generate") == 0 && !block_attr(a, "call"));
        if (!tokens || !model || item->file != file) {
            continue;
        }
        const Val *m = eval(e, item->file->env, model);
        if (m->kind == V_INSTANCE && !map_get(done, MAP_KEY(m->inst))) {
            map_put(done, MAP_KEY(m->inst), m->inst);
            decode(e, m->inst, model->span);
        }
    }
    e->front->shapes = shapes;
}
