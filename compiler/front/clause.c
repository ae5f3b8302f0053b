/* clause.c: which parameters of the model a stage trains, and how: `train` and `freeze` with their options
 * and rows, `remat`, `shard`. Clauses apply in order; the last that matches a parameter decides. */
#include "stages.h"

/* ---- rows ---- */

/* `embed.weight[2..5]`: the pattern without its rows, whose text starts at *rows; NULL: no rows. */
static const char *rows_of(const char *pattern, size_t *length)
{
    size_t n = strlen(pattern);
    const char *open = n && pattern[n - 1] == ']' ? strrchr(pattern, '[') : NULL;
    *length = open ? (size_t)(open - pattern) : n;
    return open ? open + 1 : NULL;
}

static bool read_rows(Elab *e, const Ast *glob, const char *text, const State *w, Rows *out)
{
    char *end = NULL;
    out->lo = strtoll(text, &end, 10);
    out->hi = strncmp(end, "..", 2) == 0 ? strtoll(end + 2, &end, 10) : out->lo + 1;
    int64_t n = 0;
    bool ranked = w->type->rank && dim_is_const(w->type->dims[0], &n);
    if (end == text || *end != ']' || !ranked || out->lo < 0 || out->hi > n || out->lo >= out->hi) {
        diag_at(e->diags, DIAG_E0416, glob->span, "rows `[%s` are not some of `%s`: it is `%s`",
                text, w->path, type_text(e->ir, w->type));
        return false;
    }
    return true;
}

/* The rows of *c and those of r, or without those of r; n: all there are. */
static void change_rows(Elab *e, Choice *c, Rows r, bool add, int64_t n)
{
    Rows all = {0, n};
    const Rows *old = c->nrows ? c->rows : &all;
    uint32_t nold = c->nrows ? c->nrows : 1, k = 0;
    Rows *rows = NEW_ARRAY(e->arena, Rows, nold + 2);
    for (uint32_t i = 0; i < nold; i++) {
        if (add && old[i].hi >= r.lo && old[i].lo <= r.hi) {
            r.lo = old[i].lo < r.lo ? old[i].lo : r.lo;
            r.hi = old[i].hi > r.hi ? old[i].hi : r.hi;
        } else if (add && old[i].lo > r.hi && r.hi) {
            rows[k++] = r;
            rows[k++] = old[i];
            r.hi = 0;
        } else if (add) {
            rows[k++] = old[i];
        } else {
            Rows left = {old[i].lo, old[i].hi < r.lo ? old[i].hi : r.lo};
            Rows right = {old[i].lo > r.hi ? old[i].lo : r.hi, old[i].hi};
            if (left.lo < left.hi) {
                rows[k++] = left;
            }
            if (right.lo < right.hi) {
                rows[k++] = right;
            }
        }
    }
    if (add && r.hi) {
        rows[k++] = r;
    }
    c->nrows = k;
    c->rows = rows;
}

/* ---- patterns ---- */

/* `proj.**` -> `projector.**`, where that is a name of the model. */
static void suggest(Stage *s, const Ast *glob, Diag *d)
{
    const Inst *model = s->model;
    size_t n = strcspn(glob->text, ".");
    if (n != strcspn(glob->text, "*{[.") || !model->names.n) {
        return;
    }
    Sym head = sym_n(s->e->ir->syms, glob->text, n);
    Sym near = sym_nearest(head, model->names.at, model->names.n);
    for (uint32_t i = 0; !near && i < model->names.n && n > 2; i++) {
        near = strncmp(model->names.at[i], head, n) == 0 ? model->names.at[i] : NULL;
    }
    if (near && near != head) {
        diag_fix(d, glob->span, arena_printf(s->e->arena, "%s%s", near, glob->text + n),
                 "a similar name exists");
    }
}

bool no_match(Stage *s, const Ast *glob, const char *what)
{
    Elab *e = s->e;
    Diag *d = diag_at(e->diags, DIAG_E0804, glob->span, "path pattern matches no %s", what);
    StrBuf sb = sb_new(e->arena);
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->nparam; i++) {
        const State *w = e->program->states.at[i];
        if (w->kind == SK_PARAM && n++ < 6) {
            sb_printf(&sb, "%s%s", n > 1 ? ", " : "", w->path);
        }
    }
    diag_note(d, n ? "the %u parameters are %s%s" : "the model has no parameters", n, sb_text(&sb),
              n > 6 ? ", .." : "");
    suggest(s, glob, d);
    return false;
}

/* ---- options ---- */

static const Ast *option(const Ast *body, const char *name)
{
    for (uint32_t i = 0; body && i < body->nkid; i++) {
        if (body->kid[i]->kind == A_ATTR && strcmp(body->kid[i]->name, name) == 0) {
            return body->kid[i]->kid[0];
        }
    }
    return NULL;
}

static bool read_group(Stage *s, const StageLine *line, Group *g)
{
    Elab *e = s->e;
    const Ast *body = line->ast->kid[2];
    bool ok = !body || schema_check_body(e, "train ..", body);
    const Ast *lr = option(body, "lr"), *decay = option(body, "weight_decay");
    Env *env = stage_env(s, line->scope);
    *g = (Group){line, -1, -1, option(body, "optimizer")};
    ok = (!lr || number_of(e, eval(e, env, lr), "lr", &g->lr)) && ok;
    return (!decay || number_of(e, eval(e, env, decay), "weight_decay", &g->weight_decay)) && ok;
}

static bool wrong_store(Elab *e, const Ast *a)
{
    diag_at(e->diags, DIAG_E0802, a->span,
            "`store` is nf4(block: 64, scales: f32), nf4(block: 64, scales: q8), int8 or f8e4m3");
    return false;
}

/* nf4(block: 64, scales: f32 or q8), int8, f8e4m3 */
static bool check_store(Elab *e, Env *env, const Ast *a)
{
    bool call = a->kind == A_CALL && a->kid[0]->kind == A_ID && strcmp(a->kid[0]->name, "nf4") == 0;
    if (!call) {
        bool word =
            a->kind == A_ID && (strcmp(a->name, "int8") == 0 || strcmp(a->name, "f8e4m3") == 0 ||
                                strcmp(a->name, "nf4") == 0);
        return word || wrong_store(e, a);
    }
    for (uint32_t i = 1; i < a->nkid; i++) {
        const Ast *k = a->kid[i], *v = k->kind == A_NAMED ? k->kid[0] : NULL;
        int64_t n;
        bool block = v && strcmp(k->name, "block") == 0;
        bool scales = v && strcmp(k->name, "scales") == 0 && v->kind == A_ID &&
                      (strcmp(v->name, "f32") == 0 || strcmp(v->name, "q8") == 0);
        if (!scales && !(block && eval_const_int(e, env, v, &n) && n > 0)) {
            return wrong_store(e, k);
        }
    }
    return true;
}

static bool read_freeze(Stage *s, const StageLine *line, const Ast **store)
{
    Elab *e = s->e;
    const Ast *body = line->ast->kid[2];
    bool ok = !body || schema_check_body(e, "freeze ..", body);
    const Ast *mode = option(body, "mode");
    *store = option(body, "store");
    if (*store) {
        ok = check_store(e, stage_env(s, line->scope), *store) && ok;
        not_yet(e, (*store)->span, "storing frozen weights in another type");
    }
    if (mode && (mode->kind != A_ID ||
                 (strcmp(mode->name, "train") != 0 && strcmp(mode->name, "eval") != 0))) {
        diag_at(e->diags, DIAG_E0802, mode->span, "`mode` is train or eval");
        return false;
    }
    Mode m;
    for (uint32_t i = 0; mode && mode_find(mode->name, &m) && i < line->ast->kid[0]->nkid; i++) {
        inst_force_mode(s->model, line->ast->kid[0]->kid[i]->text, m);
    }
    return ok;
}

/* ---- train and freeze ---- */

/* What one clause does to the parameters it matches. */
typedef struct Effect {
    bool train;
    uint32_t group, clause; /* clause: its number, to know what it has done already */
    const Ast *store, *glob;
} Effect;

static void apply(Stage *s, const Effect *x, State *w, const Rows *rows)
{
    Choice *c = &s->choices[w->id];
    int64_t n = 0;
    if (w->type->rank) {
        dim_is_const(w->type->dims[0], &n);
    }
    if (x->train) {
        bool again = c->clause == x->clause && c->nrows && w->trained;
        c->nrows = again && rows ? c->nrows : 0;
        if (rows && again) {
            change_rows(s->e, c, *rows, true, n);
        } else if (rows) {
            c->rows = COPY_ARRAY(s->e->arena, Rows, rows, 1);
            c->nrows = 1;
        }
        w->trained = true;
        w->chosen = x->glob->span;
        c->group = x->group;
        c->glob = x->glob;
    } else if (rows && w->trained) {
        change_rows(s->e, c, *rows, false, n);
        w->trained = c->nrows > 0;
    } else if (!rows) {
        w->trained = false;
        c->nrows = 0;
        c->store = w->type->rank > 1 && w->id < s->nbase ? x->store : NULL;
    }
    c->clause = x->clause;
}

static bool apply_glob(Stage *s, const Effect *x)
{
    Elab *e = s->e;
    const Ast *glob = x->glob;
    size_t n;
    const char *text = rows_of(glob->text, &n);
    uint32_t found = 0;
    if (!elab_spend(e, 1 + s->nparam / 4, glob->span)) {
        return false;
    }
    for (uint32_t i = 0; i < s->nparam; i++) {
        State *w = e->program->states.at[i];
        Rows rows;
        if (w->kind != SK_PARAM || !match_pattern_n(glob->text, n, w->path)) {
            continue;
        }
        if (text && !read_rows(e, glob, text, w, &rows)) {
            return false;
        }
        apply(s, x, w, text ? &rows : NULL);
        found++;
    }
    return found || no_match(s, glob, "parameter");
}

static bool apply_clause(Stage *s, const StageLine *line, uint32_t number)
{
    const Ast *a = line->ast;
    Effect x = {.train = strcmp(a->text, "train") == 0, .clause = number};
    bool ok = true;
    if (a->kid[1]) {
        diag_at(s->e->diags, DIAG_E0107, a->kid[1]->span, "`%s` takes patterns and options only",
                a->text);
        return false;
    }
    if (x.train) {
        Group g;
        ok = read_group(s, line, &g);
        x.group = s->groups.n;
        VEC_PUSH(s->e->arena, &s->groups, g);
    } else {
        ok = read_freeze(s, line, &x.store);
    }
    for (uint32_t i = 0; i < a->kid[0]->nkid; i++) {
        x.glob = a->kid[0]->kid[i];
        ok = apply_glob(s, &x) && ok;
    }
    return ok;
}

/* ---- remat ---- */

uint32_t matching(Stage *s, const Ast *glob, Inst ***out)
{
    return elab_spend(s->e, 1 + s->nparam / 4, glob->span)
               ? inst_match(s->e, s->model, glob->text, out)
               : 0;
}

/* `keep = [attention, gelu]`: ops. */
static bool remat_keep(Stage *s, const StageLine *line, const Ast *keep, RematRule *rule)
{
    Elab *e = s->e;
    uint32_t n = keep && keep->kind == A_LIST ? keep->nkid : 0;
    Sym *names = NEW_ARRAY(e->arena, Sym, n + 1);
    bool ok = !keep || keep->kind == A_LIST;
    for (uint32_t i = 0; ok && i < n; i++) {
        const Ast *a = keep->kid[i];
        ok = a->kind == A_ID;
        const Val *v = ok ? env_get(e, stage_env(s, line->scope), a->name, a->span) : NULL;
        if (v && val_is_poison(v)) {
            return false;
        }
        ok = v && v->kind == V_CLOSURE && v->code.ast->kind == A_OP;
        names[i] = ok ? v->code.ast->name : NULL;
    }
    rule->keep = names;
    rule->nkeep = n;
    if (!ok) {
        diag_at(e->diags, DIAG_E0802, keep->span, "`keep` is a list of operators, as [attention]");
    }
    return ok;
}

static bool remat_clause(Stage *s, const StageLine *line)
{
    Elab *e = s->e;
    const Ast *a = line->ast;
    RematRule rule = {0};
    Inst **found;
    bool ok = !a->kid[2] || schema_check_body(e, "remat ..", a->kid[2]);
    ok = remat_keep(s, line, option(a->kid[2], "keep"), &rule) && ok;
    for (uint32_t g = 0; g < a->kid[0]->nkid; g++) {
        const Ast *glob = a->kid[0]->kid[g];
        uint32_t n = matching(s, glob, &found);
        ok = (n || no_match(s, glob, "module")) && ok;
        for (uint32_t i = 0; i < n; i++) {
            rule.path = found[i]->path;
            VEC_PUSH(e->arena, &e->program->remat, rule);
        }
    }
    return ok;
}

/* ---- all of them ---- */

static bool is_clause(const StageLine *line, const char *word)
{
    return line->ast->kind == A_CLAUSE && strcmp(line->ast->text, word) == 0;
}

static bool each_clause(Stage *s)
{
    bool ok = true;
    for (uint32_t i = 0; i < s->def->lines.n; i++) {
        const StageLine *line = &s->def->lines.at[i];
        if (is_clause(line, "train") || is_clause(line, "freeze")) {
            ok = apply_clause(s, line, i + 1) && ok;
        } else if (is_clause(line, "remat")) {
            ok = remat_clause(s, line) && ok;
        } else if (is_clause(line, "shard")) {
            ok = shard_clause(s, line) && ok;
        }
    }
    return ok;
}

/* What was frozen in 4 bits cannot be trained, whatever stands behind it. */
static bool check_stored(Stage *s, const State *w)
{
    const Choice *c = &s->choices[w->id];
    if (!w->trained || !c->store) {
        return true;
    }
    const Group *g = &s->groups.at[c->group];
    const char *type = c->store->kind == A_CALL ? "nf4" : c->store->name;
    Diag *d = diag_at(s->e->diags, DIAG_E0814, g->clause ? g->clause->ast->span : s->def->span,
                      "`%s` is stored as %s and cannot be trained", w->path, type);
    diag_also(d, c->store->span, "stored here");
    diag_help(d, "train an adapter of it: `adapt` with a module such as LoRA");
    return false;
}

static bool can_train(Stage *s, State *w)
{
    Elab *e = s->e;
    if (!check_stored(s, w)) {
        return false;
    }
    if (w->trained && !dtype_is_float(w->type->dtype)) {
        Diag *d = diag_at(e->diags, DIAG_E0602, w->span,
                          "`%s` is `%s`: only float parameters can be trained", w->path,
                          type_text(e->ir, w->type));
        diag_help(d, "leave it out of `train %s`: `freeze %s`", s->def->model, w->path);
        return false;
    }
    return true;
}

bool stage_clauses(Stage *s)
{
    Elab *e = s->e;
    bool all = true, ok = true;
    s->nbase = s->nparam = e->program->states.n;
    for (uint32_t i = 0; i < s->def->lines.n; i++) {
        all = all && !is_clause(&s->def->lines.at[i], "train");
        if (is_clause(&s->def->lines.at[i], "adapt")) {
            ok = adapt_clause(s, &s->def->lines.at[i]) && ok;
        }
    }
    s->nparam = e->program->states.n;
    s->choices = NEW_ARRAY(e->arena, Choice, s->nparam + 1);
    VEC_PUSH(e->arena, &s->groups, ((Group){NULL, -1, -1, NULL}));
    for (uint32_t i = 0; i < s->nparam; i++) {
        State *w = e->program->states.at[i];
        w->trained = all && w->kind == SK_PARAM && dtype_is_float(w->type->dtype);
        w->chosen = s->def->span;
    }
    ok = each_clause(s) && ok;
    uint32_t trained = 0;
    for (uint32_t i = 0; ok && i < s->nparam; i++) {
        ok = can_train(s, e->program->states.at[i]) && ok;
        trained += e->program->states.at[i]->trained;
    }
    if (ok && !trained) {
        diag_at(e->diags, DIAG_E0807, s->def->span, "%s trains nothing", stage_text(s));
        return false;
    }
    return ok;
}
