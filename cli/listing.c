/* listing.c: the tensors of a model: those it has by itself, and those that its stages add to it. */
#include "listing.h"
#include "front.h"

static const char *shape_of(Arena *arena, const Type *t)
{
    StrBuf sb = sb_new(arena);
    sb_putc(&sb, '[');
    for (uint32_t i = 0; i < t->rank; i++) {
        int64_t n;
        if (dim_is_const(t->dims[i], &n))
            sb_printf(&sb, "%s%lld", i ? ", " : "", (long long)n);
    }
    sb_putc(&sb, ']');
    return sb_text(&sb);
}

static void add_row(Cli *cli, Listing *l, const ListRow *row)
{
    VEC_PUSH(cli->arena, &l->rows, *row);
    l->parameters += row->buffer ? 0 : row->n;
    l->tensors += !row->buffer;
    l->buffers += row->buffer;
}

/* The row of the state, made when it is new; NULL for states that are no weights. */
static ListRow *state_row(Cli *cli, Listing *l, Map *by_path, const Program *p, const State *s)
{
    int64_t n;
    if (!s->key || !dim_is_const(type_count(p->ir, s->type), &n))
        return NULL;
    uint64_t key = hash_text(s->path) | 1;
    uintptr_t at = (uintptr_t)map_get(by_path, key);
    if (!at) {
        ListRow row = {.path = arena_strdup(cli->arena, s->path),
                       .key = arena_strdup(cli->arena, s->key),
                       .dtype = dtype_info(s->type->dtype)->name,
                       .shape = shape_of(cli->arena, s->type),
                       .n = (uint64_t)n,
                       .buffer = s->kind == SK_BUFFER,
                       .trained = ""};
        add_row(cli, l, &row);
        at = l->rows.n;
        map_put(by_path, key, (void *)at);
    }
    return &l->rows.at[at - 1];
}

static void add_stage(Cli *cli, Listing *l, Map *by_path, const FrontStage *s)
{
    ListStage stage = {arena_strdup(cli->arena, s->name), s->elements};
    for (uint32_t i = 0; i < l->stages.n; i++)
        if (strcmp(l->stages.at[i].name, stage.name) == 0)
            stage.name = arena_strdup(cli->arena, s->path);
    VEC_PUSH(cli->arena, &l->stages, stage);
    for (uint32_t i = 0; i < s->nstate; i++) {
        ListRow *row = state_row(cli, l, by_path, s->program, s->program->states.at[i]);
        if (!row || !s->trained[i])
            continue;
        const char *comma = *row->trained ? ", " : "";
        row->trained =
            s->trained[i] == row->n
                ? arena_printf(cli->arena, "%s%s%s", row->trained, comma, stage.name)
                : arena_printf(cli->arena, "%s%s%s (%llu of %llu)", row->trained, comma, stage.name,
                               (unsigned long long)s->trained[i], (unsigned long long)row->n);
    }
}

void listing_stage(Cli *cli, const FrontStage *stage, Listing *out)
{
    FrontStage s = *stage;
    s.name = "yes";
    *out = (Listing){.name = arena_strdup(cli->arena, stage->model)};
    add_stage(cli, out, map_new(cli->arena), &s);
}

bool listing_models(Cli *cli, Compile *c, ModelNames *out, Err *err)
{
    for (uint32_t i = 0; i < compile_model_count(c); i++)
        VEC_PUSH(cli->arena, out, compile_model_name(c, i));
    for (uint32_t i = 0; i < compile_stage_count(c); i++) {
        FrontStage s;
        if (!compile_stage_about(c, i, &s, err))
            return false;
        bool known = false;
        for (uint32_t k = 0; k < out->n; k++)
            known = known || strcmp(out->at[k], s.model) == 0;
        if (!known)
            VEC_PUSH(cli->arena, out, s.model);
    }
    return true;
}

bool listing_model(Cli *cli, Compile *c, const char *model, Listing *out, Err *err)
{
    Map *by_path = map_new(cli->arena);
    *out = (Listing){.name = arena_strdup(cli->arena, model)};
    for (uint32_t i = 0; i < compile_model_count(c); i++) {
        if (strcmp(compile_model_name(c, i), model) != 0)
            continue;
        if (!compile_model(c, i, err))
            return false;
        const Program *p = compile_program(c);
        for (uint32_t k = 0; k < p->states.n; k++)
            state_row(cli, out, by_path, p, p->states.at[k]);
    }
    for (uint32_t i = 0; i < compile_stage_count(c); i++) {
        FrontStage s;
        if (!compile_stage_about(c, i, &s, err))
            return false;
        if (strcmp(s.model, model) == 0)
            add_stage(cli, out, by_path, &s);
    }
    return true;
}

void listing_weights(Cli *cli, const StFile *file, Listing *out)
{
    *out = (Listing){.name = ""};
    for (uint32_t i = 0; i < file->n; i++) {
        const StTensor *t = &file->tensors[i];
        StrBuf shape = sb_new(cli->arena);
        const char *name = arena_strdup(cli->arena, t->name);
        ListRow row = {.path = name, .key = name, .n = 1, .trained = ""};
        sb_putc(&shape, '[');
        for (uint32_t k = 0; k < t->rank; k++) {
            sb_printf(&shape, "%s%lld", k ? ", " : "", (long long)t->dim[k]);
            row.n *= (uint64_t)t->dim[k];
        }
        sb_putc(&shape, ']');
        row.shape = sb_text(&shape);
        row.dtype =
            t->dtype < DT_COUNT ? dtype_info(t->dtype)->name : arena_strdup(cli->arena, t->type);
        add_row(cli, out, &row);
    }
}
