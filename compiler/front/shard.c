/* shard.c: `shard llm.H, llm.F over tensor`: dimensions of the model that are split over an axis of
 * devices. */
#include "stages.h"

static const Axis *find_axis(const Stage *s, Sym name)
{
    for (uint32_t i = 0; i < s->axes.n; i++) {
        if (s->axes.at[i].name == name) {
            return &s->axes.at[i];
        }
    }
    return NULL;
}

static bool no_axis(Stage *s, const Ast *over)
{
    Elab *e = s->e;
    StrBuf sb = sb_new(e->arena);
    Sym *names = NEW_ARRAY(e->arena, Sym, s->axes.n + 1);
    for (uint32_t i = 0; i < s->axes.n; i++) {
        names[i] = s->axes.at[i].name;
        sb_printf(&sb, "%s%s", i ? ", " : "", names[i]);
    }
    Diag *d = diag_at(e->diags, DIAG_E0904, over->name_span, "the mesh has no axis `%s`; it has %s",
                      over->name, sb_text(&sb));
    Sym near = sym_nearest(over->name, names, s->axes.n);
    if (near) {
        diag_fix(d, over->name_span, near, "a similar axis exists");
    }
    return false;
}

/* Is `name` a dimension in a signature of the module: one that only the run knows? */
static bool has_dimension(const Ast *a, Sym name)
{
    bool dims = a->kind == A_T_TENSOR;
    for (uint32_t i = 0; i < a->nkid; i++) {
        const Ast *k = a->kid[i];
        if (k && ((dims && i && k->kind == A_ID && k->name == name) || has_dimension(k, name))) {
            return true;
        }
    }
    return false;
}

/* The sizes of one instance that the pattern means must be whole parts. */
static bool check_sizes(Stage *s, const Inst *inst, const Ast *glob, const Axis *axis,
                        uint32_t *found)
{
    Elab *e = s->e;
    for (uint32_t i = 0; i < map_count(inst->members); i++) {
        const Val *v = map_value_at(inst->members, i);
        Sym name = (Sym)(uintptr_t)map_key_at(inst->members, i);
        int64_t n;
        if (v->kind != V_INT || !val_as_int(v, &n) ||
            !match_pattern(glob->text, inst_join(e, inst->path, name))) {
            continue;
        }
        ++*found;
        if (axis->size > 1 && n % axis->size) {
            diag_at(e->diags, DIAG_E0902, glob->span, "`%s` = %lld cannot be split in %lld",
                    inst_join(e, inst->path, name), (long long)n, (long long)axis->size);
            return false;
        }
    }
    return true;
}

static bool shard_glob(Stage *s, const Ast *glob, const Axis *axis)
{
    Elab *e = s->e;
    Inst **all;
    uint32_t found = 0, n = inst_match(e, s->model, "**", &all);
    bool plain = strcspn(glob->text, ".*{[") == strlen(glob->text);
    for (uint32_t i = 0; i <= n && elab_spend(e, 4, glob->span); i++) {
        if (!check_sizes(s, i ? all[i - 1] : s->model, glob, axis, &found)) {
            return false;
        }
        found += plain &&
                 has_dimension((i ? all[i - 1] : s->model)->module, sym(e->ir->syms, glob->text));
    }
    if (!found) {
        Diag *d = diag_at(e->diags, DIAG_E0804, glob->span, "path pattern matches no dimension");
        diag_note(d,
                  "a dimension is an argument of a module, as `llm.H`, or stands in a signature");
    }
    return found > 0;
}

/* ---- one axis, one dimension of a tensor ---- */

/* The pattern of the clause that splits the size `name` of the instance, or NULL. */
static const Ast *split_by(const Stage *s, const Inst *inst, const Ast *clause, const Ast *dim)
{
    if (!dim || dim->kind != A_ID) {
        return NULL;
    }
    const Ast *globs = clause->kid[0];
    Sym path = inst_join(s->e, inst->path, dim->name);
    for (uint32_t i = 0; i < globs->nkid; i++) {
        const char *text = globs->kid[i]->text;
        if (match_pattern(text, path) || strcmp(text, dim->name) == 0) {
            return globs->kid[i];
        }
    }
    return NULL;
}

/* Looks at every tensor type in the text of the instance's module. */
static bool check_types(Stage *s, const Inst *inst, const Ast *clause, const Ast *a)
{
    const Ast *first = NULL;
    for (uint32_t i = 1; a->kind == A_T_TENSOR && i < a->nkid; i++) {
        const Ast *glob = split_by(s, inst, clause, a->kid[i]);
        if (glob && first) {
            Diag *d =
                diag_at(s->e->diags, DIAG_E0903, glob->span,
                        "two dimensions of one tensor are split over `%s`", clause->kid[1]->name);
            diag_also(d, a->span, "`%s` and `%s` of this one", first->name, a->kid[i]->name);
            diag_help(d, "split one of them, or over another axis");
            return false;
        }
        first = glob ? a->kid[i] : first;
    }
    for (uint32_t i = 0; i < a->nkid; i++) {
        if (a->kid[i] && !check_types(s, inst, clause, a->kid[i])) {
            return false;
        }
    }
    return true;
}

static bool check_tensors(Stage *s, const Ast *clause)
{
    Inst **all;
    uint32_t n = inst_match(s->e, s->model, "**", &all);
    for (uint32_t i = 0; i <= n && elab_spend(s->e, 8, clause->span); i++) {
        const Inst *inst = i ? all[i - 1] : s->model;
        if (!check_types(s, inst, clause, inst->module->kid[1])) {
            return false;
        }
    }
    return true;
}

bool shard_clause(Stage *s, const StageLine *line)
{
    Elab *e = s->e;
    const Ast *a = line->ast, *over = a->kid[1];
    if (!over || over->kind != A_OVER) {
        diag_at(e->diags, DIAG_E0107, a->span, "`shard` needs an axis: `shard llm.H over tensor`");
        return false;
    }
    const Axis *axis = find_axis(s, over->name);
    if (!axis) {
        return no_axis(s, over);
    }
    bool ok = true;
    for (uint32_t g = 0; g < a->kid[0]->nkid; g++) {
        ok = shard_glob(s, a->kid[0]->kid[g], axis) && ok;
    }
    return ok && check_tensors(s, a);
}
