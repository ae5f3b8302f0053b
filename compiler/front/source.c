/* source.c: where rows come from: the sources of the language and the columns that each offers. What the
 * files hold is looked at when a run starts; columns of open sources are whatever they are used as. */
#include "data.h"

static const SourceInfo sources[] = {
    {.name = "conversations", .conversations = true, .open = true},
    {.name = "pairs", .runs = true, .open = true, .file = "csv", .plan = PD_PAIRS},
    {.name = "jsonl", .runs = true, .open = true, .file = "file", .plan = PD_JSONL},
    {.name = "text", .stream = true, .runs = true, .plan = PD_TEXT},
    {.name = "bin", .stream = true, .tokens = true, .runs = true, .plan = PD_BIN},
    {.name = "idx", .runs = true, .plan = PD_IDX},
    {.name = "npy", .runs = true, .arrays = true, .plan = PD_NPY},
    {.name = "npz", .runs = true, .arrays = true, .file = "file", .plan = PD_NPZ},
    {.name = "tar", .open = true, .tar = true},
    {.name = "folders"},
    {.name = "mix", .runs = true, .mix = true, .plan = PD_MIX},
};

const SourceInfo *source_find(const char *name)
{
    for (size_t i = 0; i < COUNT(sources); i++) {
        if (strcmp(sources[i].name, name) == 0) {
            return &sources[i];
        }
    }
    return NULL;
}

/* Columns that a source has by itself. */
static const struct {
    const char *source, *column;
    DatumKind kind;
    bool scalar;
} fixed[] = {
    {"conversations", "id", DA_STR, false},     {"conversations", "image", DA_IMAGE, false},
    {"conversations", "answer", DA_STR, false}, {"text", "text", DA_STR, false},
    {"idx", "images", DA_ARRAY, false},         {"idx", "labels", DA_ARRAY, false},
    {"folders", "image", DA_IMAGE, false},      {"folders", "class", DA_ARRAY, true},
};

typedef VEC(Column) ColumnList;

static void fixed_columns(Elab *e, const SourceInfo *s, ColumnList *out)
{
    for (size_t i = 0; i < COUNT(fixed); i++) {
        if (strcmp(fixed[i].source, s->name) == 0) {
            Column c = {sym(e->ir->syms, fixed[i].column),
                        {.kind = fixed[i].kind, .shaped = fixed[i].scalar}};
            VEC_PUSH(e->arena, out, c);
        }
    }
}

/* npz("f.npz", image: "train_images"), npy(a: "a.npy"): arrays under the names of the arguments. */
static bool named_columns(Elab *e, const Val *source, ColumnList *out)
{
    const Ast *a = source->code.ast;
    Map *names = map_new(e->arena);
    for (uint32_t i = 1; a->kind == A_CALL && i < a->nkid; i++) {
        const Ast *k = a->kid[i];
        if (k->kind != A_NAMED || strcmp(k->name, "file") == 0) {
            continue;
        }
        const Val *v = eval(e, source->code.env, k->kid[0]);
        if (v->kind != V_STR) {
            if (!val_is_poison(v)) {
                diag_at(e->diags, DIAG_E0802, k->span, "the name of an array is a string");
            }
            return false;
        }
        if (map_get(names, MAP_KEY(k->name))) {
            diag_at(e->diags, DIAG_E0202, k->name_span, "two arrays are called `%s`", k->name);
            return false;
        }
        map_put(names, MAP_KEY(k->name), (void *)k);
        Column c = {k->name, {.kind = DA_ARRAY}};
        VEC_PUSH(e->arena, out, c);
    }
    return true;
}

const Columns *source_columns(Elab *e, const SourceInfo *s, const Val *source)
{
    ColumnList list = {0};
    fixed_columns(e, s, &list);
    if (s->arrays && !named_columns(e, source, &list)) {
        return NULL;
    }
    bool npz = s->arrays && s->file;
    if (s->arrays && !list.n && !npz) {
        Diag *d = diag_at(e->diags, DIAG_E0303, source->span, "`%s` needs arrays", s->name);
        diag_help(d, "name them: npy(image: \"images.npy\", label: \"labels.npy\")");
        return NULL;
    }
    Columns *c = NEW(e->arena, Columns);
    c->n = list.n;
    c->at = list.at;
    c->open = s->open || (npz && !list.n);
    c->arrays = npz && !list.n;
    c->tar = s->tar;
    return c;
}

bool source_column(Elab *e, PlanBuilder *b, const DataSpec *s, const SourceCell *cell)
{
    const SourceInfo *info = s->info;
    const Val *file = info->file ? record_arg(e, s->source, 0, info->file)
                                 : record_arg(e, s->source, UINT32_MAX, cell->name);
    const Val *member =
        info->file && info->arrays ? record_arg(e, s->source, UINT32_MAX, cell->name) : NULL;
    if (!file || file->kind != V_STR) {
        return false;
    }
    bool archive = info->file && info->arrays;
    PlanColumn c = {.name = planb_text(b, cell->name),
                    .file = planb_text(b, file->str),
                    .member = planb_text(b, member    ? member->str
                                            : archive ? cell->name
                                                      : NULL),
                    .text = cell->text};
    VEC_PUSH(b->arena, &b->columns, c);
    return true;
}
