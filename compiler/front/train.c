/* train.c: a train block as a Program: entries micro and update, the eval entries, and the plan's run
 * tables (schedule, data, actions). */
#include "blocks.h"

#define MAX_EPOCHS 1e9

enum { MAX_KEEP = 1 << 20 };

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

static uint32_t loop_state(Elab *e, const char *path)
{
    State proto = {
        .kind = SK_LOOP, .path = sym(e->ir->syms, path), .type = type_scalar(e->ir, DT_F32)};
    return program_state(e->program, &proto)->id;
}

static bool micro_entry(Stage *s, const DataUse *use)
{
    Elab *e = s->e;
    const Node *sum, *weight;
    s->run.micro = entry_begin(e, "micro", MODE_TRAIN);
    const Val *batch = data_batch_value(e, use, dim_const(e->ir, s->run.batch), s->ast->span);
    const Val *loss = batch_call(e, s->env, block_attr(s->ast, "loss"), batch);
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
        if (k == s->b->evals.n && a->kid[i]->name && diags_errors(e->diags) > 0 &&
            file_action(e->front->files.at[0], a->kid[i]->name)) {
            return false; /* it has mistakes of its own */
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
    s.run.update = entry_begin(e, "update", MODE_TRAIN);
    bool ok = update_entry(e, s.env, s.ast, s.clip, &s.run);
    ok = schedule_segments(e, b, s.env, block_attr(s.ast, "schedule"), &s.run) && ok;
    const Item *model = file_item(item->file, item->ast->name);
    ok = eval_entries(e, b, item->file, model ? model->ast : NULL) && ok;
    ok = actions(&s) && ok;
    VEC_PUSH(b->arena, &b->runs, s.run);
    return ok;
}
