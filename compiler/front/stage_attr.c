/* stage_attr.c: the attributes of a stage and their types (schema.def has their names). Bare words such
 * as `fresh` are no values of the language: they are read from the syntax. What is right but beyond
 * the runtime is noted with not_yet. */
#include "stages.h"

#define MAX_EPOCHS 1e9

enum { MAX_BATCH = 1 << 24, MAX_KEEP = 1 << 20 };

/* ---- scopes and values ---- */

Env *stage_env(Stage *s, const StageScope *scope)
{
    Env *env = map_get(s->envs, MAP_KEY(scope));
    if (env) {
        return env;
    }
    env = env_new(s->e, ENV_FRAME, scope->up ? stage_env(s, scope->up) : scope->file->env);
    map_put(s->envs, MAP_KEY(scope), env);
    const Ast *body = scope->block->kid[3];
    for (uint32_t i = 0; body && i < body->nkid; i++) {
        if (body->kid[i]->kind == A_LET) {
            env_bind(s->e, env, body->kid[i]->name, eval(s->e, env, body->kid[i]->kid[0]));
        }
    }
    return env;
}

const Val *stage_value(Stage *s, const char *name)
{
    const StageLine *line = stage_line(s->def, name);
    return line && line->ast->kind == A_ATTR
               ? eval(s->e, stage_env(s, line->scope), line->ast->kid[0])
               : NULL;
}

static bool wrong(Elab *e, const char *name, const char *want, const Val *got)
{
    if (!val_is_poison(got)) {
        diag_at(e->diags, DIAG_E0802, got->span, "`%s` is %s, got %s", name, want,
                val_text(e, got));
    }
    return false;
}

static bool wrong_syntax(Elab *e, const char *name, const char *want, Span at)
{
    diag_at(e->diags, DIAG_E0802, at, "`%s` is %s", name, want);
    return false;
}

bool number_of(Elab *e, const Val *v, const char *name, double *out)
{
    if (!val_as_double(v, out)) {
        return wrong(e, name, "a number", v);
    }
    if (!(*out >= 0 && *out < 1e300)) {
        return wrong_syntax(e, name, "a finite number, at least 0", v->span);
    }
    return true;
}

/* A whole number of lo..hi; absent leaves *out alone. */
typedef struct Bounds {
    int64_t lo, hi;
    DiagCode code;
} Bounds;

static bool read_int(Stage *s, const char *name, Bounds b, int64_t *out)
{
    const Val *v = stage_value(s, name);
    int64_t i;
    if (!v) {
        return true;
    }
    if (!val_as_int(v, &i) || i < 0) {
        return wrong(s->e, name, "a whole number", v);
    }
    if (i < b.lo || i > b.hi) {
        diag_at(s->e->diags, b.code, v->span, "`%s` is a whole number from %lld to %lld, got %lld",
                name, (long long)b.lo, (long long)b.hi, (long long)i);
        return false;
    }
    *out = i;
    return true;
}

/* A number above 0, and below 1 where `share`; `none` and absence leave *out alone. */
static bool read_positive(Stage *s, const char *name, bool share, double *out)
{
    const Val *v = stage_value(s, name);
    if (!v || v->kind == V_NONE) {
        return true;
    }
    if (!number_of(s->e, v, name, out)) {
        return false;
    }
    if (*out <= 0 || (share && *out >= 1)) {
        return wrong_syntax(
            s->e, name, share ? "a number between 0 and 1" : "a finite number above 0", v->span);
    }
    return true;
}

/* Which of the words, with blanks between, a is; UINT32_MAX for none. */
static uint32_t word_number(const Ast *a, const char *words)
{
    uint32_t k = 0;
    size_t n = a->kind == A_ID ? strlen(a->name) : 0;
    for (const char *w = words; n && *w; k++) {
        size_t m = strcspn(w, " ");
        if (m == n && memcmp(w, a->name, n) == 0) {
            return k;
        }
        w += m + (w[m] == ' ');
    }
    return UINT32_MAX;
}

static const char *or_words(Elab *e, const char *words)
{
    const char *last = strrchr(words, ' ');
    return arena_printf(e->arena, "%.*s or %s", (int)(last - words), words, last + 1);
}

static bool read_word(Stage *s, const char *name, const char *words, uint32_t *out)
{
    const StageLine *line = stage_line(s->def, name);
    if (!line || line->ast->kind != A_ATTR) {
        return true;
    }
    uint32_t k = word_number(line->ast->kid[0], words);
    if (k == UINT32_MAX) {
        return wrong_syntax(s->e, name, or_words(s->e, words), line->ast->kid[0]->span);
    }
    *out = k;
    return true;
}

/* A list of such words: bit k for the k-th. */
static bool words_of(Elab *e, const char *name, const char *words, const Ast *a, uint32_t *bits)
{
    bool ok = a->kind == A_LIST;
    *bits = 0;
    for (uint32_t i = 0; ok && i < a->nkid; i++) {
        uint32_t k = word_number(a->kid[i], words);
        ok = k < 32;
        *bits |= ok ? 1u << k : 0;
    }
    return ok || wrong_syntax(e, name,
                              arena_printf(e->arena, "a list of the words %s", or_words(e, words)),
                              a->span);
}

/* ---- groups ---- */

static const Ast *group_attr(const Ast *body, const char *name)
{
    for (uint32_t i = 0; i < body->nkid; i++) {
        if (body->kid[i]->kind == A_ATTR && strcmp(body->kid[i]->name, name) == 0) {
            return body->kid[i]->kid[0];
        }
    }
    return NULL;
}

/* Length and unit of *x. */
static bool interval_of(Elab *e, const Val *v, PlanAction *x)
{
    if (v->kind == V_QUANTITY && v->f > 0 && v->f < 1e12) {
        bool steps = strncmp(v->unit, "step", 4) == 0, epochs = strncmp(v->unit, "epoch", 5) == 0;
        x->length = v->f;
        x->unit = steps ? PU_STEPS : epochs ? PU_EPOCHS : PU_MINUTES;
        if (steps || epochs || strcmp(v->unit, "min") == 0) {
            return true;
        }
    }
    return wrong(e, "every", "a number of steps, epochs or min", v);
}

/* `to = [console, jsonl]`: bits of PLAN_LOG_*; elsewhere all of them. */
static bool read_log_to(Stage *s, const Ast *to)
{
    s->run.log_to = PLAN_LOG_CONSOLE | PLAN_LOG_JSONL | PLAN_LOG_TENSORBOARD;
    return !to || words_of(s->e, "to", "console jsonl tensorboard", to, &s->run.log_to);
}

static bool read_log(Stage *s)
{
    Elab *e = s->e;
    const StageLine *line = stage_line(s->def, "log");
    int64_t n = 10;
    PlanAction length = {0};
    bool ok = read_log_to(s, NULL);
    if (line && line->ast->kind == A_ATTR) {
        ok = read_int(s, "log", (Bounds){0, INT64_MAX, DIAG_E0802}, &n);
    } else if (line) {
        const Ast *body = line->ast->kid[0];
        const Ast *every = group_attr(body, "every"), *to = group_attr(body, "to");
        ok = schema_check_body(e, "log", body);
        ok = (!every || interval_of(e, eval(e, stage_env(s, line->scope), every), &length)) && ok;
        ok = read_log_to(s, to) && ok;
    }
    if (length.length > 0) {
        s->run.log_length = length.length;
        s->run.log_unit = length.unit;
    } else {
        s->run.log_length = n > 0 ? (double)n : 1;
        s->run.log_unit = PU_STEPS;
    }
    return ok;
}

static bool read_checkpoint(Stage *s)
{
    Elab *e = s->e;
    const StageLine *line = stage_line(s->def, "checkpoint");
    if (!line) {
        return true;
    }
    if (line->ast->kind != A_SUBGROUP) {
        return wrong_syntax(e, "checkpoint", "a group: `checkpoint { keep = 2 }`",
                            line->ast->kid[0]->span);
    }
    Env *env = stage_env(s, line->scope);
    const Ast *body = line->ast->kid[0];
    bool ok = schema_check_body(e, "checkpoint", body);
    const Ast *dir = group_attr(body, "dir"), *every = group_attr(body, "every");
    const Ast *keep = group_attr(body, "keep"), *best = group_attr(body, "best");
    int64_t n = 3;
    s->save = (PlanAction){
        .kind = PX_SAVE, .unit = PU_EPOCHS, .length = 1, .eval = PLAN_NONE, .metric = PLAN_NONE};
    const Val *v = dir ? eval(e, env, dir) : NULL;
    ok = (!v || v->kind == V_STR || wrong(e, "dir", "a folder: a string", v)) && ok;
    v = every ? eval(e, env, every) : NULL;
    ok = (!v || interval_of(e, v, &s->save)) && ok;
    v = keep ? eval(e, env, keep) : NULL;
    ok = (!v || (val_as_int(v, &n) && n > 0 && n <= MAX_KEEP) ||
          wrong(e, "keep", "a number of checkpoints", v)) &&
         ok;
    s->save.keep = (uint32_t)n;
    if (best && (best->kind != A_MEMBER || best->kid[0]->kind != A_ID)) {
        ok = wrong_syntax(e, "best", "a metric of an eval block, as `test.accuracy`", best->span);
    }
    s->best = best;
    if (dir) {
        not_yet(e, dir->span, "`dir` of checkpoints");
    }
    return ok;
}

/* ---- devices ---- */

/* The axes that `mesh = ..` says, as syntax; NULL: the default. */
static const Ast *mesh_axes(Stage *s)
{
    const StageLine *line = stage_line(s->def, "mesh");
    const Ast *a = line && line->ast->kind == A_ATTR ? line->ast->kid[0] : NULL;
    if (a && a->kind == A_ID) {
        const Val *v = env_get(s->e, stage_env(s, line->scope), a->name, a->span);
        bool block = v->kind == V_BLOCK && strcmp(v->code.ast->text, "mesh") == 0;
        if (!block && !val_is_poison(v)) {
            diag_at(s->e->diags, DIAG_E0205, a->span, "expected a mesh, got %s", val_text(s->e, v));
        }
        return block ? v->code.ast->kid[2] : NULL;
    }
    return a;
}

static bool read_axis(Stage *s, Env *env, const Ast *a)
{
    Elab *e = s->e;
    Axis axis = {.name = a->name};
    const Ast *size = a->kind == A_NAMED ? a->kid[0] : NULL;
    if (!size) {
        return wrong_syntax(e, "mesh", "a list of axes, as `(data: auto, tensor: 4)`", a->span);
    }
    if (word_number(size, "auto") != 0) {
        const Val *v = eval(e, env, size);
        if (!val_as_int(v, &axis.size) || axis.size < 1 || axis.size > 1 << 20) {
            return wrong(e, a->name, "a number of devices, or auto", v);
        }
    }
    for (uint32_t i = 0; i < s->axes.n; i++) {
        if (s->axes.at[i].name == axis.name || !(s->axes.at[i].size | axis.size)) {
            diag_at(e->diags, DIAG_E0202, a->span,
                    axis.size ? "the axis `%s` is given twice"
                              : "`%s` is a second axis with `auto`",
                    a->name);
            return false;
        }
    }
    if (axis.size > 1) {
        not_yet(e, a->span, "training on more than one device");
    }
    VEC_PUSH(e->arena, &s->axes, axis);
    return true;
}

static bool read_mesh(Stage *s)
{
    Elab *e = s->e;
    const StageLine *line = stage_line(s->def, "mesh");
    uint32_t errors = diags_reported(e->diags);
    const Ast *a = line ? mesh_axes(s) : NULL;
    if (diags_reported(e->diags) > errors) {
        return false;
    }
    if (line && (!a || a->kind != A_TUPLE)) {
        return wrong_syntax(e, "mesh", "a list of axes, as `(data: auto, tensor: 4)`",
                            (a ? a : line->ast)->span);
    }
    bool ok = true;
    for (uint32_t i = 0; a && i < a->nkid; i++) {
        ok = read_axis(s, stage_env(s, line->scope), a->kid[i]) && ok;
    }
    if (!a) {
        VEC_PUSH(e->arena, &s->axes, ((Axis){sym(e->ir->syms, "data"), 0}));
    }
    return ok;
}

/* ---- duration and batch ---- */

/* Exactly one of epochs, steps and tokens, and more than nothing of it. */
static bool read_duration(Stage *s)
{
    static const char *const names[] = {"epochs", "steps", "tokens"};
    Elab *e = s->e;
    const StageLine *found = NULL;
    for (size_t i = 0; i < COUNT(names); i++) {
        const StageLine *line = stage_line(s->def, names[i]);
        if (line && found) {
            bool later = line->ast->span.lo > found->ast->span.lo;
            const StageLine *second = later ? line : found, *first = later ? found : line;
            Diag *d = diag_at(e->diags, DIAG_E0808, second->ast->kid[0]->span,
                              "`%s` and `%s` are both given", found->ast->name, line->ast->name);
            diag_also(d, first->ast->kid[0]->span, "the other one");
            return false;
        }
        found = line ? line : found;
    }
    if (!found || found->ast->kind != A_ATTR) {
        if (s->names_ok) {
            diag_at(e->diags, DIAG_E0808, s->def->span,
                    "one of `epochs`, `steps` and `tokens` is needed");
        }
        return false;
    }
    const Val *v = stage_value(s, found->ast->name);
    bool epochs = strcmp(found->ast->name, "epochs") == 0;
    int64_t n = 0;
    if (epochs ? !val_as_double(v, &s->run.epochs) : !val_as_int(v, &n) || n < 0) {
        return wrong(e, found->ast->name, epochs ? "a number" : "a whole number", v);
    }
    if (epochs ? !(s->run.epochs > 0 && s->run.epochs < MAX_EPOCHS) : n < 1) {
        diag_at(e->diags, DIAG_E0808, v->span, "the duration must be positive%s",
                epochs ? " and at most 1e9 epochs" : "");
        return false;
    }
    *(strcmp(found->ast->name, "tokens") == 0 ? &s->run.tokens : &s->run.steps) = n;
    return true;
}

/* Rows of one pass. Of packed data `micro` counts rows and `batch` samples. */
static bool read_batch(Stage *s)
{
    Elab *e = s->e;
    bool ok = read_int(s, "batch", (Bounds){1, MAX_BATCH, DIAG_E0806}, &s->run.batch);
    const StageLine *line = stage_line(s->def, "micro");
    bool automatic =
        line && line->ast->kind == A_ATTR && word_number(line->ast->kid[0], "auto") == 0;
    ok = (automatic || read_int(s, "micro", (Bounds){1, MAX_BATCH, DIAG_E0806}, &s->micro)) && ok;
    s->divides = automatic;
    for (uint32_t i = 0; ok && i < s->axes.n; i++) {
        const Axis *a = &s->axes.at[i];
        if (a->size && strcmp(a->name, "data") == 0 && s->run.batch % a->size) {
            Diag *d =
                diag_at(e->diags, DIAG_E0806, stage_line(s->def, "batch")->ast->span,
                        "batch %lld is not divisible over the devices", (long long)s->run.batch);
            diag_label(d, "%lld samples over data %lld", (long long)s->run.batch,
                       (long long)a->size);
            diag_also(d, stage_line(s->def, "mesh")->ast->span, "the mesh");
            diag_help(d, "use batch = %lld or %lld",
                      (long long)(s->run.batch - s->run.batch % a->size),
                      (long long)(s->run.batch - s->run.batch % a->size + a->size));
            ok = false;
        }
    }
    return ok;
}

static bool read_choices(Stage *s)
{
    Elab *e = s->e;
    uint32_t init = 0, average = 0, on_nan = 0;
    bool ok = read_word(s, "init", "loaded fresh", &init);
    ok = read_word(s, "average", "tokens micro", &average) && ok;
    ok = read_word(s, "on_nan", "stop skip", &on_nan) && ok;
    const StageLine *carry = stage_line(s->def, "carry");
    if (carry) {
        const Ast *list = carry->ast->kid[0];
        ok = words_of(e, "carry", "optimizer data", list, &s->run.carry) && ok;
    }
    const Val *deterministic = stage_value(s, "deterministic");
    if (deterministic && deterministic->kind != V_BOOL) {
        ok = wrong(e, "deterministic", "true or false", deterministic);
    }
    s->run.on_nan = on_nan ? PN_SKIP : PN_STOP;
    s->average_passes = average == 1;
    return ok;
}

bool stage_attrs(Stage *s)
{
    Elab *e = s->e;
    int64_t seed = 0, zero = 0;
    const Val *lr = stage_value(s, "lr");
    bool ok = !lr || number_of(e, lr, "lr", &s->run.lr);
    ok = read_mesh(s) && ok;
    ok = read_batch(s) && ok;
    ok = read_duration(s) && ok;
    ok = read_positive(s, "clip", false, &s->clip) && ok;
    ok = read_positive(s, "ema", true, &s->ema) && ok;
    ok = read_int(s, "seed", (Bounds){0, INT64_MAX, DIAG_E0802}, &seed) && ok;
    ok = read_int(s, "zero", (Bounds){0, 3, DIAG_E0802}, &zero) && ok;
    ok = read_choices(s) && ok;
    ok = read_log(s) && ok;
    ok = read_checkpoint(s) && ok;
    s->run.seed = (uint64_t)seed;
    return ok;
}
