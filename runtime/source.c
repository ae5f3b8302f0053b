/* source.c: the table of kinds of sources; finding their files. */
#include "source.h"

/* A mix has none: it is made of other data. */
static const SourceKind *const kinds[PD_COUNT] = {
    [PD_IDX] = &source_arrays,  [PD_NPZ] = &source_arrays, [PD_NPY] = &source_arrays,
    [PD_TEXT] = &source_stream, [PD_BIN] = &source_stream, [PD_JSONL] = &source_jsonl,
    [PD_PAIRS] = &source_pairs,
};

/* ---- finding files ---- */

Folders source_folders(const Source *s)
{
    Folders folders = {0};
    Arena *arena = s->arena;
    const char *dir = plan_text(s->plan, s->data->dir);
    VEC_PUSH(arena, &folders, *dir ? dir : ".");
    const char *list = getenv("MDL_DATA");
    while (list && *list) {
        size_t n = strcspn(list, ":");
        if (n)
            VEC_PUSH(arena, &folders, arena_strndup(arena, list, n));
        list += n + (list[n] == ':');
    }
    return folders;
}

bool source_missing(const char *name, const char *tried, Err *err)
{
    err_set(err, ERR_FILE, "no file %s; looked for %s", name, tried);
    return err_help(err, "put it beside the program, or name the folder that holds it in MDL_DATA "
                         "(several are separated by `:`)");
}

void source_reads(Source *s, const char *path)
{
    for (uint32_t i = 0; i < s->files.n; i++)
        if (strcmp(s->files.at[i], path) == 0)
            return;
    VEC_PUSH(s->arena, &s->files, path);
}

const char *source_path(Source *s, PStr file, Err *err)
{
    const char *name = plan_text(s->plan, file);
    if (name[0] == '/') {
        source_reads(s, name);
        if (file_exists(name))
            return name;
        err_set(err, ERR_FILE, "no file %s", name);
        return NULL;
    }
    Folders folders = source_folders(s);
    StrBuf tried = sb_new(s->arena);
    for (uint32_t i = 0; i < folders.n; i++) {
        const char *path = path_join(s->arena, folders.at[i], name);
        if (file_exists(path)) {
            source_reads(s, path);
            return path;
        }
        sb_printf(&tried, "%s%s", i ? ", " : "", path);
    }
    source_missing(name, sb_text(&tried), err);
    return NULL;
}

/* ---- opening ---- */

Source *source_open(Arena *arena, const Plan *plan, const PlanData *data, Err *err)
{
    Source *s = NEW(arena, Source);
    *s = (Source){.kind = kinds[data->source], .plan = plan, .data = data, .arena = arena};
    s->columns = NEW_ARRAY(arena, SourceColumn, data->ncolumn + 1);
    for (uint32_t c = 0; c < data->ncolumn; c++) {
        s->columns[c].name = plan_text(plan, source_plan_column(s, c)->name);
        s->columns[c].text = source_plan_column(s, c)->text != 0;
    }
    if (s->kind->open(s, err))
        return s;
    source_close(s);
    return NULL;
}

void source_close(Source *s)
{
    if (s)
        s->kind->close(s);
}

bool source_at_row(const Source *s, int64_t row, Err *err)
{
    Arena *arena = arena_new();
    StrBuf sb = sb_new(arena);
    sb_printf(&sb, "row %lld", (long long)row);
    if (s->kind->where) {
        sb_puts(&sb, " (");
        s->kind->where(s, row, &sb);
        sb_putc(&sb, ')');
    }
    err_context(err, "%s", sb_text(&sb));
    arena_free(arena);
    return false;
}
