/* front.c: the front end's entry points: open, check, one stage, one function. */
#include "blocks.h"
#include "files.h"
#include "stages.h"

Elab *elab_new(Front *f, Program *program, Arena *arena)
{
    Elab *e = NEW(arena, Elab);
    e->front = f;
    e->ir = f->ir;
    e->arena = arena;
    e->diags = f->ir->diags;
    e->program = program;
    e->mode = MODE_EVAL;
    e->loads = map_new(arena);
    e->generic = DT_COUNT;
    e->precision = (Precision){DT_F32, DT_F32, DT_F32, DT_F32, DT_F32, false};
    e->memo = map_new(arena);
    e->keys = map_new(arena);
    e->now = map_new(arena);
    e->evals = map_new(arena);
    e->all_keys = map_new(arena);
    e->models = map_new(arena);
    e->draws = map_new(arena);
    return e;
}

Front *front_new(Ir *ir)
{
    Front *f = NEW(ir->arena, Front);
    f->ir = ir;
    f->arena = ir->arena;
    f->by_path = map_new(f->arena);
    f->ops = map_new(f->arena);
    f->builtins = builtins_new(f->arena, ir->syms);
    f->called = map_new(f->arena);
    f->unknown = map_new(f->arena);
    f->measured = map_new(f->arena);
    bool ok = std_load(f);
    f->allowance = elab_allowance(f->bytes);
    return ok ? f : NULL;
}

bool front_load(Front *f, const FrontOptions *opt, Err *err)
{
    ASSERT(f->files.n == 0);
    if (!file_load(f, opt->path, err)) {
        return false;
    }
    const File *file = f->files.at[0];
    f->allowance = elab_allowance(f->bytes);
    for (uint32_t i = 0; i < map_count(file->actions); i++) {
        const Item *item = map_value_at(file->actions, i);
        if (item->file == file && strcmp(item->ast->text, "train") == 0) {
            VEC_PUSH(f->arena, &f->trains, item);
        } else if (item->file == file && strcmp(item->ast->text, "eval") == 0) {
            VEC_PUSH(f->arena, &f->evals, item);
        }
    }
    for (uint32_t i = 0; i < opt->nset; i++) {
        if (!setting_apply(f, opt->set[i])) {
            return err_set(err, ERR_PROGRAM, "a setting is wrong");
        }
    }
    stages_find(f);
    return true;
}

Front *front_open(Ir *ir, const FrontOptions *opt, Err *err)
{
    Front *f = front_new(ir);
    if (!f) {
        err_set(err, ERR_PROGRAM, "the standard library has errors");
        return NULL;
    }
    return front_load(f, opt, err) ? f : NULL;
}

uint32_t front_stage_count(const Front *f)
{
    return f->stages.n;
}

Sym front_stage_path(const Front *f, uint32_t i)
{
    ASSERT(i < f->stages.n);
    return f->stages.at[i]->path;
}

static const StageDef *find_stage(Front *f, const char *name)
{
    const StageDef *found = name ? stage_find(f, name) : f->stages.n ? f->stages.at[0] : NULL;
    if (found || !name) {
        return found;
    }
    Sym *names = NEW_ARRAY(f->arena, Sym, f->stages.n * 2 + 1);
    for (uint32_t i = 0; i < f->stages.n; i++) {
        names[i] = f->stages.at[i]->path;
        names[f->stages.n + i] = f->stages.at[i]->name;
    }
    Span span = {f->files.at[0]->source, 0, 0};
    Sym near = sym_nearest(sym(f->ir->syms, name), names, f->stages.n * 2);
    Diag *d = diag_at(f->ir->diags, DIAG_E0805, span, "no stage `%s`", name);
    if (near) {
        diag_help(d, "did you mean `%s`?", near);
    }
    return NULL;
}

typedef struct StageUse {
    const StageDef *def; /* NULL: the eval blocks alone */
    bool brief;
    int64_t rows; /* of a pass, where memory decides; 0: all */
} StageUse;

static Program *stage(Front *f, const StageUse *use, PlanBuilder *b)
{
    const StageDef *def = use->def;
    uint32_t errors = diags_reported(f->ir->diags);
    Program *p = program_new(f->ir, def ? def->path : f->files.at[0]->name);
    Elab *e = elab_new(f, p, b->arena);
    e->brief = use->brief;
    e->rows = use->rows;
    bool ok = def ? stage_entries(e, b, def) : eval_entries(e, b, NULL);
    return ok && diags_reported(f->ir->diags) == errors ? p : NULL;
}

Program *front_stage_rows(Front *f, const char *name, int64_t rows, PlanBuilder *b)
{
    const StageDef *def = find_stage(f, name);
    return f->stage_errors || (name && !def) ? NULL : stage(f, &(StageUse){def, false, rows}, b);
}

Program *front_stage(Front *f, const char *name, PlanBuilder *b)
{
    return front_stage_rows(f, name, 0, b);
}

bool front_runs(const Front *f, const Program *p)
{
    bool runs = true;
    for (uint32_t i = 0; i < f->later.n; i++) {
        runs = runs && f->later.at[i].program != p;
    }
    return runs;
}

bool front_runnable(Front *f, const Program *p)
{
    uint32_t errors = diags_reported(f->ir->diags);
    for (uint32_t i = 0; i < f->later.n; i++) {
        const Later *x = &f->later.at[i];
        if (x->program == p) {
            diag_at(f->ir->diags, DIAG_E0199, x->span, "%s cannot be run yet", x->what);
        }
    }
    return diags_reported(f->ir->diags) == errors;
}

static bool is_model(const Item *item)
{
    return item->ast->kind == A_BLOCK && strcmp(item->ast->text, "model") == 0;
}

/* A model that no train block builds, or a let. */
static bool checked_alone(const Front *f, const Item *item)
{
    bool model = is_model(item);
    for (uint32_t i = 0; model && i < f->trains.n; i++) {
        if (f->trains.at[i]->ast->name == item->name) {
            return false;
        }
    }
    return model || item->ast->kind == A_LET;
}

/* Also those that nothing uses. */
static void check_blocks(Elab *e, const File *file, const Map *items)
{
    static const char *const kinds[] = {"data", "tokenizer", "template", "chat", "generate"};
    for (uint32_t i = 0; i < map_count(items); i++) {
        const Item *item = map_value_at(items, i);
        for (size_t k = 0; item->file == file && k < COUNT(kinds); k++) {
            if (item->ast->kind == A_BLOCK && strcmp(item->ast->text, kinds[k]) == 0) {
                block_check(e, item);
            }
        }
    }
}

/* False when a model or a let is wrong: then the stages would only say it again. */
static bool check_values(Elab *e, const File *file)
{
    uint32_t errors = diags_reported(e->diags);
    for (uint32_t i = 0; i < map_count(file->values); i++) {
        const Item *item = map_value_at(file->values, i);
        if (item->file == file && checked_alone(e->front, item)) {
            e->root = NULL; /* none is more important than another */
            item_value(e, item, item->ast->span);
        }
    }
    bool ok = diags_reported(e->diags) == errors;
    check_blocks(e, file, file->values);
    check_blocks(e, file, file->actions);
    return ok;
}

/* The eval blocks that no stage has looked at: they are about other models. */
static void check_evals(Front *f, Arena *scratch)
{
    for (uint32_t i = 0; i < f->evals.n; i++) {
        const Item *item = f->evals.at[i];
        uint32_t index;
        if (!map_get(f->measured, MAP_KEY(item->ast))) {
            arena_reset(scratch);
            Elab *e = elab_new(f, program_new(f->ir, item->name), scratch);
            e->brief = true;
            eval_item(e, planb_new(scratch), item, &index);
        }
    }
}

bool front_check_each(Front *f, FrontVisit visit, void *user)
{
    const File *file = f->files.at[0];
    uint32_t errors = diags_reported(f->ir->diags), n = f->stages.n, later = f->later.n;
    Arena *values = arena_new(), *scratch = arena_new();
    Elab *e = elab_new(f, program_new(f->ir, file->name), values);
    bool ok = check_values(e, file) && !f->stages_wrong;
    for (uint32_t i = 0; i < (n ? n : 1) && ok; i++) {
        arena_reset(scratch);
        StageUse use = {.def = n ? f->stages.at[i] : NULL, .brief = true};
        Program *p = stage(f, &use, planb_new(scratch));
        if (p && visit) {
            visit(user, p, scratch);
        }
    }
    if (diags_reported(f->ir->diags) == errors) {
        check_evals(f, scratch);
    }
    stages_check_joins(f);
    f->later.n = later; /* of programs that are gone */
    if (diags_reported(f->ir->diags) == errors) {
        contains_check(e, file);
        uncalled_check(e, file);
        unread_check(e, file);
    }
    if (diags_reported(f->ir->diags) == errors) {
        decode_check(e, file); /* last: what it calls would count as called */
    }
    arena_free(scratch);
    arena_free(values);
    return diags_reported(f->ir->diags) == errors && !f->stage_errors;
}

bool front_check(Front *f)
{
    return front_check_each(f, NULL, NULL);
}

/* ---- models ---- */

static const Item *model_at(const Front *f, uint32_t i)
{
    const File *file = f->files.at[0];
    for (uint32_t k = 0; k < map_count(file->values); k++) {
        const Item *item = map_value_at(file->values, k);
        if (item->file == file && is_model(item) && i-- == 0) {
            return item;
        }
    }
    return NULL;
}

uint32_t front_model_count(const Front *f)
{
    uint32_t n = 0;
    while (model_at(f, n)) {
        n++;
    }
    return n;
}

Sym front_model_name(const Front *f, uint32_t i)
{
    return model_at(f, i)->name;
}

/* An entry for one function; a value that is no tensor, such as a list, has no results. */
static void model_entry(Elab *e, Sym name, const Val *fn, Mode mode)
{
    pass_begin(e, graph_new(e->ir, e->arena, name), mode);
    const Val *v = uncalled_value(e, fn);
    bool tensors = v && (is_tensor(v) || v->kind == V_TUPLE || v->kind == V_LOSS);
    for (uint32_t i = 0; tensors && v->kind == V_TUPLE && i < v->list.n; i++) {
        tensors = is_tensor(v->list.at[i]);
    }
    if (tensors && call_results(e, sym(e->ir->syms, "out"), v)) {
        VEC_PUSH(e->arena, &e->program->entries, e->g);
    }
    e->g = NULL;
}

Program *front_model(Front *f, uint32_t i, Mode mode)
{
    uint32_t errors = diags_reported(f->ir->diags);
    const Item *item = model_at(f, i);
    ASSERT(item != NULL);
    Program *p = program_new(f->ir, item->name);
    Elab *e = elab_new(f, p, f->arena);
    e->all_train = true;
    const Val *v = item_value(e, item, item->ast->span);
    for (uint32_t k = 0; v->kind == V_INSTANCE && k < map_count(v->inst->members); k++) {
        const Val *fn = map_value_at(v->inst->members, k);
        if (fn->kind == V_CLOSURE && fn->code.env == v->inst->env) {
            model_entry(e, sym_printf(f->ir->syms, "%s.%s", item->name, fn->code.ast->name), fn,
                        mode);
        }
    }
    return diags_reported(f->ir->diags) == errors ? p : NULL;
}

uint64_t front_hash(const Front *f)
{
    return f->hash;
}
