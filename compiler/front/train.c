/* train.c: a train block as a Program: entries micro and update, the eval entries, and the plan's run
 * tables (schedule, data, actions). */
#include "blocks.h"

#define MAX_EPOCHS 1e9

enum { EVAL_BATCH = 256, MAX_KEEP = 1 << 20 };

typedef struct Stage {
    Elab *e;
    PlanBuilder *b;
    const Ast *ast;
    Env *env;
    double clip; /* 0: none */
    PlanRun run;
} Stage;

/* ---- which parameters train ---- */

static void no_match(Elab *e, const Ast *glob)
{
    Diag *d = diag_at(e->diags, DIAG_E0804, glob->span, "path pattern matches no parameter");
    StrBuf sb = sb_new(e->arena);
    uint32_t n = 0;
    for (uint32_t i = 0; i < e->program->states.n; i++) {
        if (e->program->states.at[i]->kind == SK_PARAM && n++ < 6) {
            sb_printf(&sb, "%s%s", n > 1 ? ", " : "", e->program->states.at[i]->path);
        }
    }
    diag_note(d, n ? "the %u parameters are %s%s" : "the model has no parameters", n, sb_text(&sb),
              n > 6 ? ", .." : "");
}

static bool apply_clause(Elab *e, const Ast *clause)
{
    bool train = strcmp(clause->text, "train") == 0;
    if ((!train && strcmp(clause->text, "freeze") != 0) || clause->kid[1] || clause->kid[2]) {
        diag_at(e->diags, DIAG_E0199, clause->span, "this form of `%s` is not supported yet",
                clause->text);
        return false;
    }
    bool ok = true;
    for (uint32_t g = 0; g < clause->kid[0]->nkid; g++) {
        const Ast *glob = clause->kid[0]->kid[g];
        uint32_t n = 0;
        if (strchr(glob->text, '[')) {
            diag_at(e->diags, DIAG_E0199, glob->span,
                    "index ranges and rows in patterns are not supported yet");
            ok = false;
            continue;
        }
        for (uint32_t i = 0; i < e->program->states.n; i++) {
            State *s = e->program->states.at[i];
            if (s->kind == SK_PARAM && match_pattern(glob->text, s->path)) {
                s->trained = train;
                n++;
            }
        }
        if (!n) {
            no_match(e, glob);
            ok = false;
        }
    }
    return ok;
}

static bool choose_trained(Stage *s)
{
    const Ast *body = s->ast->kid[3];
    bool all = true, ok = true;
    for (uint32_t i = 0; i < body->nkid; i++) {
        all = all && !(body->kid[i]->kind == A_CLAUSE && strcmp(body->kid[i]->text, "train") == 0);
    }
    uint32_t n = s->e->program->states.n, trained = 0;
    for (uint32_t i = 0; i < n; i++) {
        s->e->program->states.at[i]->trained = all && s->e->program->states.at[i]->kind == SK_PARAM;
    }
    for (uint32_t i = 0; i < body->nkid; i++) {
        if (body->kid[i]->kind == A_CLAUSE) {
            ok = apply_clause(s->e, body->kid[i]) && ok;
        }
    }
    for (uint32_t i = 0; i < n; i++) {
        State *w = s->e->program->states.at[i];
        if (w->trained && w->type->dtype != DT_F32) {
            Diag *d = diag_at(s->e->diags, DIAG_E0199, w->span,
                              "`%s` is `%s`: only f32 parameters are trained, so far", w->path,
                              type_text(s->e->ir, w->type));
            diag_help(d, "leave it out of `train %s`: `freeze %s`", s->ast->name, w->path);
            ok = false;
        }
        if (w->trained) {
            State grad = {.kind = SK_GRAD,
                          .path = sym_printf(s->e->ir->syms, "%s.grad", w->path),
                          .type = w->type,
                          .of = w->id};
            program_state(s->e->program, &grad);
            trained++;
        }
    }
    if (ok && !trained) {
        diag_at(s->e->diags, DIAG_E0807, s->ast->name_span, "`train %s` trains nothing",
                s->ast->name);
        return false;
    }
    return ok;
}

/* ---- entries ---- */

static uint32_t begin_entry(Elab *e, const char *name, Mode mode)
{
    Graph *g = graph_new(e->ir, e->arena, sym(e->ir->syms, name));
    VEC_PUSH(e->arena, &e->program->entries, g);
    e->g = g;
    e->mode = mode;
    return e->program->entries.n - 1;
}

static uint32_t loop_state(Elab *e, const char *path)
{
    State proto = {
        .kind = SK_LOOP, .path = sym(e->ir->syms, path), .type = type_scalar(e->ir, DT_F32)};
    return program_state(e->program, &proto)->id;
}

static const Val *call_batch_fn(Elab *e, Env *env, const Ast *expr, const Val *batch)
{
    const Val *fn = eval(e, env, expr);
    Args args = {.call = expr->span};
    args_push(e, &args, NULL, batch);
    Val *v = NEW(e->arena, Val);
    *v = *call_value(e, env, fn, &args);
    v->span = expr->span;
    return v;
}

static bool micro_entry(Stage *s, const DataUse *use)
{
    Elab *e = s->e;
    const Node *sum, *weight;
    s->run.micro = begin_entry(e, "micro", MODE_TRAIN);
    const Val *batch = data_batch_value(e, use, dim_const(e->ir, s->run.batch), s->ast->span);
    const Val *loss = call_batch_fn(e, s->env, block_attr(s->ast, "loss"), batch);
    if (!loss_pair(e, loss, &sum, &weight)) {
        return false;
    }
    s->run.loss_sum = loop_state(e, "loss.sum");
    s->run.loss_weight = loop_state(e, "loss.weight");
    graph_result(e->g, sym(e->ir->syms, "loss.sum"), sum);
    graph_result(e->g, sym(e->ir->syms, "loss.weight"), weight);
    graph_write(e->g, s->run.loss_sum, sum);
    graph_write(e->g, s->run.loss_weight, weight);
    return true;
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
    if (!loss_pair(e, call_batch_fn(e, env, m->kid[2], batch), &sum, &weight)) {
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
    pe.entry = begin_entry(e, arena_printf(e->arena, "eval:%s", ast->name), MODE_EVAL);
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

/* ---- actions and attributes ---- */

static bool action(Stage *s, const Ast *every, const Ast *a, const Val *length)
{
    Elab *e = s->e;
    PlanAction x = {.length = length->f};
    bool call = a->kind == A_CALL && a->kid[0]->kind == A_ID;
    const char *name = call ? a->kid[0]->name : a->kind == A_ID ? a->name : "";
    x.unit = strncmp(length->unit, "epoch", 5) == 0 ? PU_EPOCHS : PU_STEPS;
    if (strcmp(name, "save") == 0) {
        const Val *keep = record_new(e, s->env, a);
        const Val *n = val_is_poison(keep) ? NULL : record_arg(e, keep, 0, "keep");
        int64_t k = 3;
        if (n && (!val_as_int(n, &k) || k < 1 || k > MAX_KEEP)) {
            diag_at(e->diags, DIAG_E0802, n->span, "`keep` is a number of checkpoints, got %s",
                    val_text(e, n));
            return false;
        }
        if (val_is_poison(keep)) {
            return false;
        }
        x.kind = PX_SAVE;
        x.keep = (uint32_t)k;
        VEC_PUSH(s->b->arena, &s->b->actions, x);
        return true;
    }
    if (strcmp(name, "eval") != 0 || !call) {
        diag_at(e->diags, DIAG_E0199, a->span, "`every` knows eval(..) and save(..), so far");
        return false;
    }
    x.kind = PX_EVAL;
    for (uint32_t i = 1; i < a->nkid; i++) {
        uint32_t k = 0;
        while (k < s->b->evals.n && strcmp(s->b->text.at + s->b->evals.at[k].name,
                                           a->kid[i]->name ? a->kid[i]->name : "") != 0) {
            k++;
        }
        if (k == s->b->evals.n) {
            diag_at(e->diags, DIAG_E0201, a->kid[i]->span,
                    "unknown name `%s`: no eval block has it",
                    a->kid[i]->name ? a->kid[i]->name : "?");
            return false;
        }
        x.eval = k;
        VEC_PUSH(s->b->arena, &s->b->actions, x);
    }
    UNUSED(every);
    return true;
}

static bool actions(Stage *s)
{
    const Ast *body = s->ast->kid[3];
    bool ok = true;
    s->run.action0 = s->b->actions.n;
    s->run.keep = 3;
    for (uint32_t i = 0; i < body->nkid; i++) {
        const Ast *every = body->kid[i];
        if (every->kind != A_EVERY) {
            continue;
        }
        const Ast quantity = {.kind = A_QUANTITY, .span = every->span, .text = every->text};
        const Val *length = num_literal(s->e, &quantity);
        bool known =
            strncmp(length->unit, "epoch", 5) == 0 || strncmp(length->unit, "step", 4) == 0;
        if (!known || !(length->f > 0 && length->f < 1e12)) {
            diag_at(s->e->diags, DIAG_E0802, every->span, "`every` counts steps or epochs");
            ok = false;
            continue;
        }
        for (uint32_t k = 0; k < every->nkid; k++) {
            ok = action(s, every, every->kid[k], length) && ok;
        }
    }
    s->run.naction = s->b->actions.n - s->run.action0;
    return ok;
}

/* Exactly one of epochs and steps, and more than nothing of it. */
static bool duration(Stage *s)
{
    Elab *e = s->e;
    const Ast *epochs = block_attr(s->ast, "epochs"), *steps = block_attr(s->ast, "steps");
    if (!epochs == !steps) {
        Diag *d = diag_at(e->diags, DIAG_E0808, steps ? steps->span : s->ast->name_span,
                          steps ? "`epochs` and `steps` are both given"
                                : "one of `epochs` and `steps` is needed");
        if (steps) {
            diag_also(d, epochs->span, "the other one");
        }
        return false;
    }
    if (!attr_int(e, s->env, s->ast, "steps", &s->run.steps) ||
        !attr_double(e, s->env, s->ast, "epochs", &s->run.epochs)) {
        return false;
    }
    if (steps ? s->run.steps < 1 : !(s->run.epochs > 0 && s->run.epochs < MAX_EPOCHS)) {
        diag_at(e->diags, DIAG_E0808, (steps ? steps : epochs)->span,
                "the duration must be positive%s", steps ? "" : " and at most 1e9 epochs");
        return false;
    }
    return true;
}

/* A finite number that is not negative, and for clip not 0. */
static bool attr_positive(Stage *s, const char *name, bool zero, double *out)
{
    const Ast *a = block_attr(s->ast, name);
    if (!a || a->kind == A_NONE) {
        return true;
    }
    if (!attr_double(s->e, s->env, s->ast, name, out)) {
        return false;
    }
    if (!(*out < 1e300 && (zero ? *out >= 0 : *out > 0))) {
        diag_at(s->e->diags, DIAG_E0802, a->span, "`%s` is a finite number%s 0", name,
                zero ? ", at least" : " above");
        return false;
    }
    return true;
}

static bool numbers(Stage *s)
{
    Elab *e = s->e;
    int64_t seed = 0, log = 10;
    bool ok = attr_int(e, s->env, s->ast, "batch", &s->run.batch);
    if (ok && (s->run.batch < 1 || s->run.batch > 1 << 24)) {
        diag_at(e->diags, DIAG_E0806, block_attr(s->ast, "batch")->span, "a batch of %lld samples",
                (long long)s->run.batch);
        ok = false;
    }
    ok = duration(s) && ok;
    ok = attr_positive(s, "lr", true, &s->run.lr) && ok;
    ok = attr_positive(s, "clip", false, &s->clip) && ok;
    ok = attr_int(e, s->env, s->ast, "seed", &seed) && ok;
    ok = attr_int(e, s->env, s->ast, "log", &log) && ok;
    s->run.seed = (uint64_t)seed;
    s->run.log_every = log > 0 && log < INT32_MAX ? (uint32_t)log : 1;
    return ok;
}

static bool precision(Stage *s)
{
    const Ast *a = block_attr(s->ast, "precision");
    const Val *v = a ? eval(s->e, s->env, a) : NULL;
    if (v && (v->kind != V_DTYPE || v->dtype != DT_F32)) {
        diag_at(s->e->diags, DIAG_E0199, a->span, "`precision` is f32, so far");
        return false;
    }
    return true;
}

/* The model named by the block: its parameters become states. */
static bool train_model(Stage *s)
{
    Elab *e = s->e;
    const Val *v = env_get(e, s->env, s->ast->name, s->ast->name_span);
    if (v->kind == V_INSTANCE) {
        return true;
    }
    if (!val_is_poison(v)) {
        diag_at(e->diags, DIAG_E0205, s->ast->name_span, "`train` needs a model, got %s",
                val_text(e, v));
    }
    return false;
}

static bool header_supported(Stage *s)
{
    const Ast *h = s->ast->kid[0];
    for (uint32_t i = 0; h && i < h->nkid; i++) {
        if (h->kid[i]->kind != A_BLOCK_AS) {
            diag_at(s->e->diags, DIAG_E0199, h->kid[i]->span,
                    "`after` and `like` are not supported yet");
            return false;
        }
        s->run.stage = planb_text(s->b, h->kid[i]->name);
    }
    if (!s->ast->kid[3]) {
        diag_at(s->e->diags, DIAG_E0803, s->ast->span, "a train block has a body in braces");
        return false;
    }
    return true;
}

bool train_entries(Elab *e, PlanBuilder *b, const Item *item)
{
    Stage s = {.e = e, .b = b, .ast = item->ast, .env = item->file->env};
    uint32_t errors = diags_reported(e->diags);
    DataUse use = {.training = true};
    s.run.stage = planb_text(b, "main");
    s.run.model = planb_text(b, item->ast->name);
    if (!header_supported(&s) || !schema_check(e, item->ast) || !train_model(&s) || !numbers(&s) ||
        !precision(&s) || !choose_trained(&s) ||
        !data_use(e, b, s.env, block_attr(s.ast, "data"), &use) || !micro_entry(&s, &use)) {
        return false;
    }
    s.run.data = use.index;
    if (diags_reported(e->diags) > errors) {
        return false; /* the eval blocks would find the same mistakes in other words */
    }
    s.run.update = begin_entry(e, "update", MODE_TRAIN);
    bool ok = update_entry(e, s.env, s.ast, s.clip, &s.run);
    ok = schedule_segments(e, b, s.env, block_attr(s.ast, "schedule"), &s.run) && ok;
    const Item *model = file_item(item->file, item->ast->name);
    ok = eval_entries(e, b, item->file, model ? model->ast : NULL) && ok;
    ok = actions(&s) && ok;
    VEC_PUSH(b->arena, &b->runs, s.run);
    return ok;
}
