/* eval.c: eval blocks: one entry per block, whose results are the sums of its metrics. */
#include "blocks.h"

enum { EVAL_BATCH = 256 };

uint32_t entry_begin(Elab *e, const char *name, Mode mode)
{
    Graph *g = graph_new(e->ir, e->arena, sym(e->ir->syms, name));
    VEC_PUSH(e->arena, &e->program->entries, g);
    e->g = g;
    e->mode = mode;
    return e->program->entries.n - 1;
}

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

static bool metric(Elab *e, PlanBuilder *b, Env *env, const Ast *m, const Val *batch)
{
    const Node *sum, *weight;
    if (!m->kid[2]) {
        diag_at(e->diags, DIAG_E0802, m->span,
                "a metric is a function of one batch: `metric %s = b => ..`", m->name);
        return false;
    }
    if (!loss_pair(e, batch_call(e, env, m->kid[2], batch), &sum, &weight)) {
        return false;
    }
    PlanMetric pm = {planb_text(b, m->name), e->g->results.n, e->g->results.n + 1};
    graph_result(e->g, sym_printf(e->ir->syms, "%s.sum", m->name), sum);
    graph_result(e->g, sym_printf(e->ir->syms, "%s.weight", m->name), weight);
    VEC_PUSH(b->arena, &b->metrics, pm);
    return true;
}

static bool eval_entry(Elab *e, PlanBuilder *b, const Item *item)
{
    const Ast *ast = item->ast;
    Env *env = item->file->env;
    PlanEval pe = {.name = planb_text(b, ast->name), .batch = EVAL_BATCH, .limit = -1};
    DataUse use = {.training = false};
    if (!schema_check(e, ast) || !attr_int(e, env, ast, "batch", &pe.batch) ||
        !attr_int(e, env, ast, "limit", &pe.limit) ||
        !data_use(e, b, env, block_attr(ast, "data"), &use)) {
        return false;
    }
    if (pe.batch < 1 || pe.batch > 1 << 20) {
        diag_at(e->diags, DIAG_E0806, block_attr(ast, "batch")->span, "a batch of %lld rows",
                (long long)pe.batch);
        return false;
    }
    pe.data = use.index;
    pe.metric0 = b->metrics.n;
    pe.entry = entry_begin(e, arena_printf(e->arena, "eval:%s", ast->name), MODE_EVAL);
    const Val *batch = data_batch_value(
        e, &use, dim_of(e->ir, dim_named(e, sym(e->ir->syms, "B"), 1, pe.batch)), ast->span);
    bool ok = true;
    for (uint32_t i = 0; i < ast->kid[3]->nkid; i++) {
        if (ast->kid[3]->kid[i]->kind == A_BLOCK) {
            ok = metric_once(e, ast->kid[3], i) && ok;
            ok = metric(e, b, env, ast->kid[3]->kid[i], batch) && ok;
        }
    }
    pe.nmetric = b->metrics.n - pe.metric0;
    if (ok && !pe.nmetric) {
        diag_at(e->diags, DIAG_E0803, ast->name_span, "`eval %s` has no metric", ast->name);
        return false;
    }
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

bool eval_entries(Elab *e, PlanBuilder *b, const File *file, const Ast *model)
{
    bool ok = true;
    for (uint32_t i = 0; i < e->front->evals.n; i++) {
        const Item *item = e->front->evals.at[i];
        bool others = false, same = model == NULL;
        find_models(file, item->ast, model, &others, &same);
        if (same || !others) {
            ok = eval_entry(e, b, item) && ok;
        }
    }
    return ok;
}
