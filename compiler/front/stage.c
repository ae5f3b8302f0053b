/* stage.c: one stage as a Program: entries micro and update, the eval entries, and the plan's run tables
 * (schedule, data, actions). */
#include "data.h"
#include "stages.h"

enum { MAX_KEEP = 1 << 20 };

const char *stage_text(const Stage *s)
{
    bool main = s->def->path == s->def->block;
    return arena_printf(s->e->arena, "`%s %s`", main ? "train" : "stage",
                        main ? s->def->model : s->def->name);
}

/* ---- begin: no graphs ---- */

/* Names and presence of attributes, as if all lines stood in one block. */
static bool check_lines(Stage *s)
{
    Elab *e = s->e;
    const StageDef *def = s->def;
    Ast body = {.kind = A_BODY, .nkid = def->lines.n};
    Ast *kid[4] = {NULL, NULL, NULL, &body};
    bool main = def->path == def->block;
    Ast block = {.kind = A_BLOCK,
                 .text = main ? "train" : "stage",
                 .name = main ? def->model : def->name,
                 .span = def->span,
                 .kid = kid,
                 .nkid = 4};
    body.kid = NEW_ARRAY(e->arena, Ast *, body.nkid + 1);
    for (uint32_t i = 0; i < body.nkid; i++) {
        body.kid[i] = (Ast *)def->lines.at[i].ast;
    }
    return schema_check(e, &block);
}

/* The model named by the block: its parameters become states. */
static bool find_model(Stage *s)
{
    Elab *e = s->e;
    const Val *v = env_get(e, s->def->file->env, s->def->model, s->def->model_span);
    if (v->kind == V_INSTANCE) {
        s->model = v->inst;
        return true;
    }
    if (!val_is_poison(v)) {
        diag_at(e->diags, DIAG_E0205, s->def->model_span, "`train` needs a model, got %s",
                val_text(e, v));
    }
    return false;
}

bool stage_begin(Stage *s, Elab *e, PlanBuilder *b, const StageDef *def)
{
    *s = (Stage){.e = e, .b = b, .def = def, .envs = map_new(e->arena)};
    e->stage = s;
    bool ok = s->names_ok = check_lines(s);
    ok = stage_precision(s) && ok;
    if (!find_model(s)) {
        return false;
    }
    ok = stage_attrs(s) && ok;
    return stage_clauses(s) && ok;
}

/* ---- entries ---- */

static uint32_t loop_state(Elab *e, const char *path)
{
    State proto = {
        .kind = SK_LOOP, .path = sym(e->ir->syms, path), .type = type_scalar(e->ir, DT_F32)};
    return program_state(e->program, &proto)->id;
}

/* Passes of a step are equal: `micro` rows on each of the devices over which the batch is split. Packed
 * samples share rows, so there is nothing to divide. */
static bool passes_divide(Stage *s, const DataUse *use)
{
    int64_t ways = 1;
    for (uint32_t i = 0; i < s->axes.n; i++) {
        bool data = strcmp(s->axes.at[i].name, "data") == 0 && s->axes.at[i].size;
        ways = data ? s->axes.at[i].size : ways;
    }
    int64_t batch = s->run.batch, rows = s->micro * ways;
    if (!s->micro || data_packs(use->spec) || batch % rows == 0) {
        return true;
    }
    Diag *d = diag_at(s->e->diags, DIAG_E0806, stage_line(s->def, "micro")->ast->span,
                      "batch %lld is not divisible into passes", (long long)batch);
    diag_label(d, ways > 1 ? "%lld samples on each of %lld devices" : "%lld samples in a pass",
               (long long)s->micro, (long long)ways);
    if (batch > rows) {
        diag_help(d, "use batch = %lld or %lld", (long long)(batch - batch % rows),
                  (long long)(batch - batch % rows + rows));
    } else {
        diag_help(d, "use batch = %lld", (long long)rows);
    }
    return false;
}

/* A duration in tokens is of those that the data teaches. */
static bool duration_fits(Stage *s, const DataUse *use)
{
    if (!s->run.tokens || data_has_tokens(use->spec)) {
        return true;
    }
    const StageLine *line = stage_line(s->def, "tokens");
    Diag *d = diag_at(s->e->diags, DIAG_E0808, line->ast->kid[0]->span,
                      "a duration in tokens, and the data has none");
    diag_help(d, "say it in `epochs` or `steps`");
    return false;
}

/* The loss of one pass over `rows` rows of the batch. */
static const Val *pass_loss(Stage *s, const DataUse *use, const char *entry, uint32_t *number,
                            const Val **batch)
{
    Elab *e = s->e;
    const StageLine *line = stage_line(s->def, "loss");
    *number = entry_begin(e, entry, MODE_TRAIN);
    *batch = data_batch_value(e, use, dim_const(e->ir, s->run.rows), s->def->span);
    return batch_call(e, stage_env(s, line->scope), line->ast->kid[0], *batch);
}

/* A number that adds up over the passes of a step: its value with this one. */
static const Node *added_up(const Stage *s, uint32_t state, const Node *n)
{
    Graph *g = s->e->g;
    const State *x = s->e->program->states.at[state];
    if (!s->e->program->accumulates) {
        return n;
    }
    const Node *zero = graph_const(g, x->type->dtype, 0);
    const Node *first =
        graph_binary(g, OP_NE, graph_slot(g, "first", DT_I32), graph_const(g, DT_I32, 0));
    const Node *old = graph_state(g, x->id, x->type, x->path);
    return graph_binary(g, OP_ADD, graph_select(g, first, zero, old), n);
}

/* Of a program whose passes memory decides: whether rows meet, so that it may not. */
static void find_meeting(Stage *s, const Val *loss, const Batch *batch)
{
    Elab *e = s->e;
    const Node **sums = NEW_ARRAY(e->arena, const Node *, loss->loss.n * 3 + (size_t)1);
    const Node **weights = sums + loss->loss.n, **factors = weights + loss->loss.n;
    for (uint32_t i = 0; i < loss->loss.n; i++) {
        sums[i] = loss->loss.term[i].sum;
        weights[i] = loss->loss.term[i].weight;
        factors[i] = loss->loss.term[i].by;
    }
    const RowSums x = {.rows = batch->rows,
                       .pictures = batch->pictures,
                       .places = places_pictures,
                       .user = e,
                       .n = loss->loss.n,
                       .sum = sums,
                       .weight = weights,
                       .factor = factors};
    e->program->meet = s->average_passes ? sums[0] : graph_rows_meet(e->g, &x);
}

/* Where terms have different weights, each is divided by its own of all passes, which go before. */
static const Node *const *total_weights(Stage *s, const Val *loss)
{
    Elab *e = s->e;
    if (loss->kind != V_LOSS || s->adds_up || s->average_passes || !e->program->accumulates) {
        return NULL;
    }
    const Node **total = NEW_ARRAY(e->arena, const Node *, loss->loss.n);
    for (uint32_t i = 0; i < loss->loss.n; i++) {
        uint32_t id = loop_state(e, arena_printf(e->arena, "loss.weight.%u", i));
        const State *x = e->program->states.at[id];
        total[i] = graph_state(e->g, id, x->type, x->path);
        s->term_weight0 = i ? s->term_weight0 : id;
    }
    return total;
}

void stage_tap(Stage *s, Sym name, const Node *sum, const Node *weight)
{
    Elab *e = s->e;
    if (strcmp(e->entry->name, "micro") != 0) {
        return;
    }
    for (uint32_t i = 0; i < s->taps.n; i++) {
        Tap *t = &s->taps.at[i];
        if (t->name == name) {
            t->sum = graph_binary(e->g, OP_ADD, t->sum, sum);
            t->weight = graph_binary(e->g, OP_ADD, t->weight, weight);
            return;
        }
    }
    VEC_PUSH(e->arena, &s->taps, ((Tap){name, sum, weight}));
}

static void write_taps(Stage *s)
{
    Elab *e = s->e;
    for (uint32_t i = 0; i < s->taps.n; i++) {
        const Tap *t = &s->taps.at[i];
        PlanTap pt = {planb_text(s->b, t->name),
                      loop_state(e, arena_printf(e->arena, "tap.%u.sum", i)),
                      loop_state(e, arena_printf(e->arena, "tap.%u.weight", i))};
        graph_write(e->g, pt.sum, added_up(s, pt.sum, t->sum));
        graph_write(e->g, pt.weight, added_up(s, pt.weight, t->weight));
        VEC_PUSH(s->b->arena, &s->b->taps, pt);
    }
}

static bool micro_entry(Stage *s, const DataUse *use)
{
    Elab *e = s->e;
    const Node *sum, *weight;
    const Val *batch, *loss = pass_loss(s, use, "micro", &s->run.micro, &batch);
    s->adds_up = loss_adds_up(loss);
    if (e->program->divides && loss->kind == V_LOSS && !e->program->accumulates) {
        find_meeting(s, loss, batch->batch);
    }
    const Node *const *total = total_weights(s, loss);
    if (!loss_pair(e, loss, total, &sum, &weight) ||
        !data_tokens_fit(e, use, stage_line(s->def, "loss")->ast->kid[0]->span)) {
        return false;
    }
    if (s->average_passes && e->program->accumulates) {
        sum = loss_quotient(e, sum, weight);
        weight = graph_const(e->g, DT_F32, 1);
    }
    s->run.loss_sum = loop_state(e, "loss.sum");
    s->run.loss_weight = loop_state(e, "loss.weight");
    graph_result(e->g, sym(e->ir->syms, "loss.sum"), sum);
    graph_result(e->g, sym(e->ir->syms, "loss.weight"), weight);
    graph_write(e->g, s->run.loss_sum, added_up(s, s->run.loss_sum, sum));
    write_taps(s);
    graph_write(e->g, s->run.loss_weight, total ? weight : added_up(s, s->run.loss_weight, weight));
    return true;
}

/* Weights depend on no parameter and are needed before the first gradient. Nothing else of the pass happens:
 * buffers keep their values. */
static bool weigh_entry(Stage *s, const DataUse *use)
{
    Elab *e = s->e;
    s->run.weigh = PLAN_NONE;
    if (s->adds_up || s->average_passes || !e->program->accumulates) {
        return true;
    }
    const Val *batch, *loss = pass_loss(s, use, "weigh", &s->run.weigh, &batch);
    if (loss->kind != V_LOSS) {
        return false;
    }
    e->g->writes.n = 0;
    for (uint32_t i = 0; i < loss->loss.n; i++) {
        uint32_t state = s->term_weight0 + i;
        graph_write(e->g, state, added_up(s, state, loss->loss.term[i].weight));
    }
    return true;
}

/* ---- actions ---- */

/* `test.accuracy`: the metric of an eval block that some action runs. */
static bool find_best(Stage *s, const Ast *a, PlanAction *x)
{
    Elab *e = s->e;
    const File *file = s->def->file;
    bool member = a->kind == A_MEMBER && a->kid[0]->kind == A_ID;
    const Item *item = member ? file_action(file, a->kid[0]->name) : NULL;
    if (!item || strcmp(item->ast->text, "eval") != 0) {
        diag_at(e->diags, DIAG_E0802, a->span,
                "`best` is a metric of an eval block, as `test.accuracy`");
        return false;
    }
    if (!eval_item(e, s->b, item, &x->eval) || x->eval == PLAN_NONE) {
        return false;
    }
    const PlanEval *pe = &s->b->evals.at[x->eval];
    for (uint32_t i = 0; i < pe->nmetric; i++) {
        if (strcmp(s->b->text.at + s->b->metrics.at[pe->metric0 + i].name, a->name) == 0) {
            x->metric = pe->metric0 + i;
            x->greater = metric_is_score(item->ast, a->name);
            return true;
        }
    }
    diag_at(e->diags, DIAG_E0201, a->name_span, "`eval %s` has no metric `%s`", item->name,
            a->name);
    return false;
}

/* What nobody evaluates has no best. */
static bool best_is_measured(Stage *s, const Ast *at, const PlanAction *x)
{
    for (uint32_t i = s->run.action0; i < s->b->actions.n; i++) {
        const PlanAction *a = &s->b->actions.at[i];
        if (a->kind == PX_EVAL && a->eval == x->eval) {
            return true;
        }
    }
    const char *name = s->b->text.at + s->b->evals.at[x->eval].name;
    Diag *d = diag_at(s->e->diags, DIAG_E0802, at->span,
                      "`best` needs evaluations, and no action runs `%s`", name);
    diag_help(d, "add one: `every 1 epoch: eval(%s)`", name);
    return false;
}

static bool save_action(Stage *s, const Ast *a, Env *env, PlanAction *x)
{
    Elab *e = s->e;
    for (uint32_t i = 1; i < a->nkid; i++) {
        bool best = a->kid[i]->kind == A_NAMED && strcmp(a->kid[i]->name, "best") == 0;
        s->best = best ? a->kid[i]->kid[0] : s->best;
    }
    const Val *record = record_new(e, env, a);
    const Val *n = val_is_poison(record) ? NULL : record_arg(e, record, 0, "keep");
    int64_t k = 3;
    if (n && (!val_as_int(n, &k) || k < 1 || k > MAX_KEEP)) {
        diag_at(e->diags, DIAG_E0802, n->span, "`keep` is a number of checkpoints, got %s",
                val_text(e, n));
        return false;
    }
    x->kind = PX_SAVE;
    x->keep = (uint32_t)k;
    x->eval = x->metric = PLAN_NONE;
    VEC_PUSH(s->b->arena, &s->b->actions, *x);
    return !val_is_poison(record);
}

static bool eval_action(Stage *s, const Ast *a, const File *file, PlanAction *x)
{
    Elab *e = s->e;
    bool ok = true;
    x->kind = PX_EVAL;
    for (uint32_t i = 1; i < a->nkid; i++) {
        const Ast *k = a->kid[i];
        const Item *item = k->kind == A_ID ? file_action(file, k->name) : NULL;
        if (!item || strcmp(item->ast->text, "eval") != 0) {
            diag_at(e->diags, DIAG_E0201, k->span, "unknown name `%s`: no eval block has it",
                    k->name ? k->name : "?");
            ok = false;
            continue;
        }
        ok = eval_item(e, s->b, item, &x->eval) && ok;
        if (x->eval != PLAN_NONE) {
            VEC_PUSH(s->b->arena, &s->b->actions, *x);
        }
    }
    return ok;
}

/* sample(page, "prompt") */
static bool sample_action(Stage *s, const Ast *a, const StageLine *line, PlanAction *x)
{
    Elab *e = s->e;
    const File *file = line->scope->file;
    const Ast *chat = a->nkid > 1 ? a->kid[1] : NULL;
    const Item *item = chat && chat->kind == A_ID ? file_action(file, chat->name) : NULL;
    if (a->nkid != 3 || !chat || chat->kind != A_ID) {
        diag_at(e->diags, DIAG_E0303, a->span, "`sample` takes a chat block and a prompt");
        return false;
    }
    if (!item ||
        (strcmp(item->ast->text, "chat") != 0 && strcmp(item->ast->text, "generate") != 0)) {
        diag_at(e->diags, DIAG_E0201, chat->span, "unknown name `%s`: no chat block has it",
                chat->name);
        return false;
    }
    const Val *v = eval(e, stage_env(s, line->scope), a->kid[2]);
    if (v->kind != V_STR) {
        if (!val_is_poison(v)) {
            diag_at(e->diags, DIAG_E0802, v->span, "a prompt is a string, got %s", val_text(e, v));
        }
        return false;
    }
    if (strcmp(item->ast->text, "chat") == 0) {
        return not_yet(e, a->span, "`sample` of a chat");
    }
    x->kind = PX_SAMPLE;
    x->prompt = planb_text(s->b, v->str);
    if (!generate_use(e, s->b, item, &x->generate)) {
        return false;
    }
    if (x->generate != PLAN_NONE) {
        VEC_PUSH(s->b->arena, &s->b->actions, *x);
    }
    return true;
}

static bool action(Stage *s, const Ast *a, const StageLine *line, PlanAction x)
{
    bool call = a->kind == A_CALL && a->kid[0]->kind == A_ID;
    const char *name = call ? a->kid[0]->name : a->kind == A_ID ? a->name : "";
    if (strcmp(name, "save") == 0) {
        return save_action(s, a, stage_env(s, line->scope), &x);
    }
    if (call && strcmp(name, "eval") == 0) {
        return eval_action(s, a, line->scope->file, &x);
    }
    if (call && strcmp(name, "sample") == 0) {
        return sample_action(s, a, line, &x);
    }
    diag_at(s->e->diags, DIAG_E0802, a->span, "an action is eval(..), save(..) or sample(..)");
    return false;
}

static bool actions(Stage *s)
{
    bool ok = true;
    s->run.action0 = s->b->actions.n;
    s->run.keep = 3;
    if (s->save.length > 0) {
        VEC_PUSH(s->b->arena, &s->b->actions, s->save);
    }
    for (uint32_t i = 0; i < s->def->lines.n; i++) {
        const StageLine *line = &s->def->lines.at[i];
        const Ast *every = line->ast;
        if (every->kind != A_EVERY) {
            continue;
        }
        const Ast quantity = {.kind = A_QUANTITY, .span = every->span, .text = every->text};
        const Val *length = num_literal(s->e, &quantity);
        bool epochs = strncmp(length->unit, "epoch", 5) == 0,
             min = strcmp(length->unit, "min") == 0;
        if (!(epochs || min || strncmp(length->unit, "step", 4) == 0) ||
            !(length->f > 0 && length->f < 1e12)) {
            diag_at(s->e->diags, DIAG_E0802, every->span, "`every` counts steps, epochs or min");
            ok = false;
            continue;
        }
        PlanAction x = {.length = length->f,
                        .unit = epochs ? PU_EPOCHS
                                : min  ? PU_MINUTES
                                       : PU_STEPS};
        for (uint32_t k = 0; k < every->nkid; k++) {
            ok = action(s, every->kid[k], line, x) && ok;
        }
    }
    s->run.naction = s->b->actions.n - s->run.action0;
    PlanAction found = {.eval = PLAN_NONE};
    ok =
        ok && (!s->best || (find_best(s, s->best, &found) && best_is_measured(s, s->best, &found)));
    for (uint32_t i = s->run.action0; ok && s->best && i < s->b->actions.n; i++) {
        PlanAction *x = &s->b->actions.at[i];
        if (x->kind == PX_SAVE) {
            x->eval = found.eval;
            x->metric = found.metric;
            x->greater = found.greater;
        }
    }
    return ok;
}

/* ---- the whole ---- */

static bool schedule(Stage *s)
{
    const StageLine *line = stage_line(s->def, "schedule");
    Env *env = line ? stage_env(s, line->scope) : NULL;
    return schedule_segments(s->e, s->b, env, line ? line->ast->kid[0] : NULL, &s->run);
}

/* How many pictures a pass has at most follows from its tokens. */
static bool find_pictures(Stage *s, DataUse *use)
{
    const StageLine *line = stage_line(s->def, "loss");
    const Ast *loss = line->ast->kid[0];
    const PictureUse x = {.env = stage_env(s, line->scope),
                          .mode = MODE_TRAIN,
                          .rows = dim_const(s->e->ir, s->run.rows),
                          .fn = &loss,
                          .n = 1,
                          .span = s->def->span};
    return data_find_pictures(s->e, use, &x);
}

bool stage_entries(Elab *e, PlanBuilder *b, const StageDef *def)
{
    Stage s;
    uint32_t errors = diags_reported(e->diags);
    DataUse use = {.training = true};
    if (!stage_begin(&s, e, b, def)) {
        return false;
    }
    const StageLine *data = stage_line(def, "data");
    s.run.stage = planb_text(b, def->path == def->block && def->block == def->model ? "main"
                                : def->path == def->block                           ? def->block
                                                                                    : def->name);
    s.run.model = planb_text(b, def->model);
    if (!data_use(e, b, stage_env(&s, data->scope), data->ast->kid[0], &use) ||
        !passes_divide(&s, &use) || !duration_fits(&s, &use)) {
        return false;
    }
    e->program->divides = s.divides ? s.run.batch : 0;
    e->program->packed = data_packs(use.spec);
    s.run.rows = s.micro ? s.micro : s.divides && e->rows ? e->rows : s.run.batch;
    if (s.run.rows > s.run.batch) /* packed samples never need more rows than there are samples */
        s.run.rows = s.run.batch;
    e->program->accumulates = s.run.rows < s.run.batch;
    if (!find_pictures(&s, &use) || !micro_entry(&s, &use)) {
        return false;
    }
    s.run.data = use.index;
    if (diags_reported(e->diags) > errors) {
        return false; /* the eval blocks would find the same mistakes in other words */
    }
    if (!stage_gradients(&s)) {
        return false;
    }
    stages_note_trained(&s);
    const Map *averages = average_map(&s);
    if (!weigh_entry(&s, &use)) {
        return false;
    }
    s.run.update = entry_begin(e, "update", MODE_TRAIN);
    bool ok = update_entry(&s);
    ok = schedule(&s) && ok;
    const Item *model = file_item(def->file, def->model);
    e->averages = averages;
    ok = eval_entries(e, b, model ? model->ast : NULL) && ok;
    ok = actions(&s) && ok;
    e->averages = NULL;
    VEC_PUSH(b->arena, &b->runs, s.run);
    return ok;
}
