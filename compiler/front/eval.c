/* eval.c: eval blocks: one entry per block, whose results are the sums of its metrics; or, where answers
 * are generated, metrics over these. */
#include "data.h"

enum { EVAL_BATCH = 256 };

typedef struct EvalCx {
    Elab *e;
    PlanBuilder *b;
    Env *env;
    const Ast *ast;
    const Item *item;
} EvalCx;

const Val *batch_call(Elab *e, Env *env, const Ast *expr, const Val *batch)
{
    const Val *fn = eval(e, env, expr);
    Args args = {.call = expr->span};
    args_push(e, &args, NULL, batch);
    Val *v = NEW(e->arena, Val);
    *v = *call_value(e, env, fn, &args);
    v->span = expr->span;
    return v;
}

/* False after E0202: an earlier metric has the name. */
static bool metric_once(Elab *e, const Ast *body, uint32_t i)
{
    for (uint32_t k = 0; k < i; k++) {
        const Ast *a = body->kid[k];
        if (a->kind == A_BLOCK && a->name == body->kid[i]->name) {
            Diag *d = diag_at(e->diags, DIAG_E0202, body->kid[i]->name_span,
                              "the metric `%s` is defined twice", a->name);
            diag_also(d, a->name_span, "first here");
            return false;
        }
    }
    return true;
}

/* The function of a batch; perplexity(f) is the exponential of what f gives. */
static const Ast *metric_function(Elab *e, Env *env, const Ast *m)
{
    const Ast *a = m->kid[2];
    const Ast *callee = a->kind == A_CALL ? a->kid[0] : NULL;
    if (!callee || callee->kind != A_ID || strcmp(callee->name, "perplexity") != 0) {
        return a;
    }
    const Val *record = eval(e, env, a);
    if (val_is_poison(record)) {
        return NULL;
    }
    if (a->nkid != 2) {
        diag_at(e->diags, DIAG_E0303, a->span, "`perplexity` takes one function, b => loss");
        return NULL;
    }
    return not_yet(e, a->span, "`perplexity`") ? a->kid[1] : NULL;
}

static bool metric(const EvalCx *cx, const Ast *m, const Val *batch)
{
    Elab *e = cx->e;
    const Node *sum, *weight;
    if (!m->kid[2]) {
        diag_at(e->diags, DIAG_E0802, m->span,
                "a metric is a function of one batch: `metric %s = b => ..`", m->name);
        return false;
    }
    const Ast *fn = metric_function(e, cx->env, m);
    const Val *v = fn ? batch_call(e, cx->env, fn, batch) : NULL;
    if (!v ||
        (!loss_adds_up(v) && !not_yet(e, m->span, "a metric of terms with different weights"))) {
        return false;
    }
    if (!loss_pair(e, v, NULL, &sum, &weight)) {
        return false;
    }
    PlanMetric pm = {planb_text(cx->b, m->name), e->g->results.n, e->g->results.n + 1};
    graph_result(e->g, sym_printf(e->ir->syms, "%s.sum", m->name), sum);
    graph_result(e->g, sym_printf(e->ir->syms, "%s.weight", m->name), weight);
    VEC_PUSH(cx->b->arena, &cx->b->metrics, pm);
    return true;
}

/* The models of the file and of what it imports by name. */
static const Item *only_model(const File *file)
{
    const Item *found = NULL;
    for (uint32_t i = 0; i < map_count(file->values); i++) {
        const Item *item = map_value_at(file->values, i);
        if (item->ast->kind == A_BLOCK && strcmp(item->ast->text, "model") == 0) {
            if (found) {
                return NULL;
            }
            found = item;
        }
    }
    return found;
}

/* Which model answers: it must be able to. */
static bool generator(const EvalCx *cx)
{
    Elab *e = cx->e;
    const Ast *a = block_attr(cx->ast, "model"), *at = block_attr(cx->ast, "generate");
    const Item *item = a ? NULL : only_model(cx->item->file);
    if (!a && !item) {
        diag_at(e->diags, DIAG_E0803, cx->ast->name_span,
                "`eval %s` needs `model`: the file has not just one", cx->ast->name);
        return false;
    }
    const Val *model = a ? eval(e, cx->env, a) : item_value(e, item, at->span);
    return !val_is_poison(model) && generates(e, model, a ? a->span : at->span);
}

/* The metrics of the block: their number in *n. */
static bool metrics(const EvalCx *cx, const Val *batch, const DataUse *use, uint32_t *n)
{
    const Ast *body = cx->ast->kid[3];
    bool ok = true;
    *n = 0;
    for (uint32_t i = 0; i < body->nkid; i++) {
        const Ast *m = body->kid[i];
        if (m->kind == A_BLOCK) {
            ok = metric_once(cx->e, body, i) && ok;
            ok = (batch ? metric(cx, m, batch) : answer_metric(cx->e, cx->env, m, use->spec)) && ok;
            (*n)++;
        }
    }
    if (ok && !*n) {
        diag_at(cx->e->diags, DIAG_E0803, cx->ast->name_span, "`eval %s` has no metric",
                cx->ast->name);
    }
    return ok && *n;
}

/* How many pictures a pass has at most follows from its tokens. */
static bool find_pictures(const EvalCx *cx, const Dim *rows, DataUse *use)
{
    const Ast *body = cx->ast->kid[3];
    const Ast **fn = NEW_ARRAY(cx->e->arena, const Ast *, body->nkid + (size_t)1);
    PictureUse x = {
        .env = cx->env, .mode = MODE_EVAL, .rows = rows, .fn = fn, .span = cx->ast->span};
    for (uint32_t i = 0; i < body->nkid && data_has_pictures(use->spec); i++) {
        const Ast *m = body->kid[i];
        const Ast *f = m->kind == A_BLOCK && m->kid[2] ? metric_function(cx->e, cx->env, m) : NULL;
        if (f) {
            fn[x.n++] = f;
        }
    }
    return data_find_pictures(cx->e, use, &x);
}

static bool eval_numbers(const EvalCx *cx, PlanEval *pe)
{
    Elab *e = cx->e;
    if (!attr_int(e, cx->env, cx->ast, "batch", &pe->batch) ||
        !attr_int(e, cx->env, cx->ast, "limit", &pe->limit)) {
        return false;
    }
    if (pe->batch < 1 || pe->batch > 1 << 20) {
        diag_at(e->diags, DIAG_E0806, block_attr(cx->ast, "batch")->span, "a batch of %lld rows",
                (long long)pe->batch);
        return false;
    }
    return true;
}

static bool eval_entry(Elab *e, PlanBuilder *b, const Item *item)
{
    const Ast *ast = item->ast;
    EvalCx cx = {e, b, item->file->env, ast, item};
    PlanEval pe = {.name = planb_text(b, ast->name), .batch = EVAL_BATCH, .limit = -1};
    DataUse use = {.training = false};
    const Ast *sampler = block_attr(ast, "generate");
    if (!schema_check(e, ast) || !schema_values(e, cx.env, ast) || !eval_numbers(&cx, &pe) ||
        !data_use(e, b, cx.env, block_attr(ast, "data"), &use)) {
        return false;
    }
    const Val *batch = NULL;
    bool answers = sampler && sampler->kind != A_NONE;
    pe.data = use.index;
    pe.metric0 = b->metrics.n;
    if (!answers) {
        const Dim *rows = dim_of(e->ir, dim_named(e, sym(e->ir->syms, "B"), 1, pe.batch));
        if (!find_pictures(&cx, rows, &use)) {
            return false;
        }
        pe.entry = entry_begin(e, arena_printf(e->arena, "eval:%s", ast->name), MODE_EVAL);
        batch = data_batch_value(e, &use, rows, ast->span);
    }
    bool ok = !answers || generator(&cx);
    ok = metrics(&cx, batch, &use, &pe.nmetric) && ok;
    ok = (answers || data_tokens_fit(e, &use, ast->name_span)) && ok;
    ok = eval_requirements(e, cx.env, ast) && ok;
    VEC_PUSH(b->arena, &b->evals, pe);
    return ok;
}

/* The models that a block speaks of: other than `model`, and `model` itself. */
static void find_models(const File *file, const Ast *a, const Ast *model, bool *others, bool *same)
{
    const Item *item = a->kind == A_ID ? file_item(file, a->name) : NULL;
    if (item && item->ast->kind == A_BLOCK && strcmp(item->ast->text, "model") == 0) {
        *same = *same || item->ast == model;
        *others = *others || item->ast != model;
    }
    for (uint32_t i = 0; i < a->nkid; i++) {
        if (a->kid[i]) {
            find_models(file, a->kid[i], model, others, same);
        }
    }
}

static bool is_score(const char *name)
{
    static const char *const names[] = {"accuracy", "exact_match", "contains", "token_recall",
                                        "token_f1", "bleu",        "rouge_l"};
    for (size_t i = 0; i < COUNT(names); i++) {
        if (strcmp(name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool calls_score(const Ast *a)
{
    bool found = a->kind == A_ID && is_score(a->name);
    for (uint32_t i = 0; !found && i < a->nkid; i++) {
        found = a->kid[i] && calls_score(a->kid[i]);
    }
    return found;
}

bool metric_is_score(const Ast *eval_block, const char *metric)
{
    const Ast *body = eval_block->kid[3];
    for (uint32_t i = 0; i < body->nkid; i++) {
        const Ast *m = body->kid[i];
        if (m->kind == A_BLOCK && strcmp(m->name, metric) == 0) {
            return is_score(metric) || (m->kid[2] && calls_score(m->kid[2]));
        }
    }
    return false;
}

bool eval_item(Elab *e, PlanBuilder *b, const Item *item, uint32_t *index)
{
    uint32_t *known = map_get(e->evals, MAP_KEY(item->ast));
    uint32_t n = b->evals.n;
    bool ok = true;
    if (!known) {
        known = NEW(e->arena, uint32_t);
        map_put(e->evals, MAP_KEY(item->ast), known);
        ok = eval_entry(e, b, item);
        map_put(e->front->measured, MAP_KEY(item->ast), (void *)item);
        *known = b->evals.n > n ? n : PLAN_NONE;
    }
    *index = *known;
    return ok;
}

/* Is the block about this model? `model =` says so, else what it speaks of: all other blocks measure
 * any model. */
static bool concerns(const Item *item, const Ast *model)
{
    bool others = false, same = model == NULL;
    const Ast *given = block_attr(item->ast, "model");
    find_models(item->file, given ? given : item->ast, model, &others, &same);
    return same || !others;
}

bool eval_entries(Elab *e, PlanBuilder *b, const Ast *model)
{
    bool ok = true;
    uint32_t index;
    for (uint32_t i = 0; i < e->front->evals.n; i++) {
        const Item *item = e->front->evals.at[i];
        if (concerns(item, model)) {
            ok = eval_item(e, b, item, &index) && ok;
        }
    }
    return ok;
}
