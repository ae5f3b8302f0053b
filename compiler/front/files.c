/* files.c: the program's file, its imports and the standard library: read, parsed, and their top-level
 * names in two spaces: values (let fn op module model data) and actions (train, eval). */
#include "files.h"
#include "std_files.h"

enum { MAX_SOURCE = 16 << 20, MAX_FILES = 256 };

static bool is_action(const Ast *a)
{
    return a->kind == A_BLOCK &&
           (strcmp(a->text, "train") == 0 || strcmp(a->text, "eval") == 0 ||
            strcmp(a->text, "chat") == 0 || strcmp(a->text, "generate") == 0 ||
            strcmp(a->text, "stage") == 0);
}

static Span named_at(const Ast *a)
{
    return a->name_span.file ? a->name_span : a->span;
}

static void add_item(Front *f, File *file, Sym name, const Item *proto)
{
    Map *space = is_action(proto->ast) ? file->actions : file->values;
    Item *old = map_get(space, MAP_KEY(name));
    if (old) {
        Diag *d =
            diag_at(f->ir->diags, DIAG_E0202, named_at(proto->ast), "`%s` is defined twice", name);
        diag_also(d, named_at(old->ast), "first here");
        return;
    }
    Item *item = NEW(f->arena, Item);
    *item = *proto;
    map_put(space, MAP_KEY(name), item);
    VEC_PUSH(f->arena, &file->names, name);
}

static File *file_new(Front *f, const char *path, uint32_t source, Ast *ast)
{
    File *file = NEW(f->arena, File);
    file->name = sym(f->ir->syms, path_stem(f->arena, path));
    file->path = path;
    file->source = source;
    file->ast = ast;
    file->values = map_new(f->arena);
    file->actions = map_new(f->arena);
    file->env = NEW(f->arena, Env);
    file->env->kind = ENV_FILE;
    file->env->file = file;
    return file;
}

/* ---- imports ---- */

static const char *import_path(Front *f, const File *from, Sym name)
{
    char *rel = arena_printf(f->arena, "%s.mdl", name);
    for (char *p = rel; p[0] && strcmp(p, ".mdl") != 0; p++) {
        *p = *p == '.' ? '/' : *p;
    }
    const char *path = path_join(f->arena, path_dir(f->arena, from->path), rel);
    if (file_exists(path)) {
        return path;
    }
    const char *list = getenv("MDL_PATH");
    while (list && *list) {
        size_t n = strcspn(list, ":");
        path = path_join(f->arena, arena_strndup(f->arena, list, n), rel);
        if (n && file_exists(path)) {
            return path;
        }
        list += n + (list[n] == ':');
    }
    return NULL;
}

static void import_names(Front *f, File *file, const Ast *a, File *from)
{
    for (uint32_t i = 0; i < a->nkid; i++) {
        const Ast *k = a->kid[i];
        Item *item = file_item(from, k->name);
        item = item ? item : file_action(from, k->name);
        if (!item) {
            Diag *d = diag_at(f->ir->diags, DIAG_E0203, k->span, "`%s` has no item `%s`", a->name,
                              k->name);
            Sym near = sym_nearest(k->name, from->names.at, from->names.n);
            if (near) {
                diag_fix(d, k->span, near, "a similar item exists");
            }
            continue;
        }
        Sym local = k->text ? k->text : k->name;
        add_item(f, file, local, item);
    }
}

/* a → b → a: files that are being read stand in the order in which they import each other. */
static const char *import_cycle(Front *f, const File *from)
{
    const char *text = "";
    bool inside = false;
    for (uint32_t i = 0; i < f->files.n; i++) {
        const File *file = f->files.at[i];
        inside = inside || file == from;
        if (inside && !file->env->up) {
            text = arena_printf(f->arena, "%s%s → ", text, file->name);
        }
    }
    return arena_printf(f->arena, "%s%s", text, from->name);
}

/* `import nn`: a file of the standard library, whose items are in scope anyway; NULL when there is none. */
static File *std_part(Front *f, Sym name)
{
    const char *path = arena_printf(f->arena, "std/%s.mdl", name);
    uint32_t source = diags_sources(f->ir->diags);
    while (source && strcmp(diags_path(f->ir->diags, source), path) != 0) {
        source--;
    }
    File *part = source && f->std ? file_new(f, path, source, f->std->ast) : NULL;
    for (uint32_t i = 0; part && i < map_count(f->std->values); i++) {
        const Item *item = map_value_at(f->std->values, i);
        if (item->ast->span.file == source) {
            add_item(f, part, item->name, item);
        }
    }
    return part;
}

static void import_file(Front *f, File *file, const Ast *a, File *from)
{
    import_names(f, file, a, from);
    const char *dot = strrchr(a->name, '.');
    Sym local = a->text ? a->text : dot ? sym(f->ir->syms, dot + 1) : a->name;
    Item whole = {a, from, local};
    if (!file_item(file, local)) {
        add_item(f, file, local, &whole);
    }
}

static void import(Front *f, File *file, const Ast *a)
{
    const char *path = import_path(f, file, a->name);
    Err err = {0};
    File *std = path ? NULL : std_part(f, a->name);
    if (std) {
        import_file(f, file, a, std);
        return;
    }
    if (!path) {
        diag_at(f->ir->diags, DIAG_E0203, named_at(a),
                "cannot find `%s.mdl` beside this file, in $MDL_PATH or in the standard library",
                a->name);
        return;
    }
    Sym key = sym(f->ir->syms, path);
    File *from = map_get(f->by_path, MAP_KEY(key));
    if (from && !from->env->up) {
        diag_at(f->ir->diags, DIAG_E0204, a->span, "import cycle: %s", import_cycle(f, from));
        return;
    }
    from = from ? from : file_load(f, path, &err);
    if (!from) {
        if (err.kind != ERR_PROGRAM) {
            diag_at(f->ir->diags, DIAG_E0203, a->span, "%s", err.text);
        }
        return;
    }
    import_file(f, file, a, from);
}

/* `train net as first`: several blocks may train one model. */
static Sym item_name(const Ast *a)
{
    const Ast *header = a->kind == A_BLOCK ? a->kid[0] : NULL;
    for (uint32_t i = 0; header && i < header->nkid; i++) {
        if (header->kid[i]->kind == A_BLOCK_AS) {
            return header->kid[i]->name;
        }
    }
    return a->name;
}

static void check_place(Front *f, const Ast *a)
{
    bool stage = a->kind == A_BLOCK && strcmp(a->text, "stage") == 0;
    if (stage || (a->kind == A_BLOCK && strcmp(a->text, "metric") == 0)) {
        diag_at(f->ir->diags, DIAG_E0107, named_at(a), "`%s` belongs in %s", a->text,
                stage ? "a `train` block" : "an `eval` block");
    }
}

/* A name that may be called or computed with, as the library's may. A block (data, template, model ..) is
 * used in other places: who takes it for the library's is told so there. */
static bool hides_std(Front *f, const Ast *a)
{
    const Builtin *b = map_get(f->builtins, MAP_KEY(a->name));
    return a->kind != A_BLOCK && (file_item(f->std, a->name) || (b && !builtin_at_data(b)));
}

static void declare(Front *f, File *file)
{
    for (uint32_t i = 0; i < file->ast->nkid; i++) {
        const Ast *a = file->ast->kid[i];
        if (a->kind == A_IMPORT) {
            import(f, file, a);
        } else if (a->kind != A_ERROR) {
            Item item = {a, file, item_name(a)};
            check_place(f, a);
            check_wellformed(f, a);
            add_item(f, file, item.name, &item);
            if (file != f->std && hides_std(f, a)) {
                diag_at(f->ir->diags, DIAG_W0102, named_at(a), "`%s` hides the standard library's",
                        a->name);
            }
        }
    }
}

File *file_load(Front *f, const char *path, Err *err)
{
    Bytes text;
    if (!file_read(f->arena, path, MAX_SOURCE, &text, err)) {
        return NULL;
    }
    if (f->files.n == MAX_FILES) {
        err_set(err, ERR_FILE, "a program has at most %d files", MAX_FILES);
        return NULL;
    }
    uint32_t source = diags_source(f->ir->diags, path, text.data, text.n);
    uint32_t errors = diags_reported(f->ir->diags);
    Ast *ast = ast_parse(f->arena, f->ir->syms, f->ir->diags, source);
    File *file = file_new(f, path, source, ast);
    f->hash = hash_mix(f->hash, hash_bytes(text.data, text.n));
    f->bytes += text.n;
    VEC_PUSH(f->arena, &f->files, file);
    map_put(f->by_path, MAP_KEY(sym(f->ir->syms, path)), file);
    declare(f, file);
    file->env->up = f->std->env;
    if (diags_reported(f->ir->diags) > errors) {
        err_set(err, ERR_PROGRAM, "%s has errors", path);
        return NULL;
    }
    return file;
}

bool std_load(Front *f)
{
    StdFile s;
    f->std = file_new(f, "std", 0, NULL);
    f->std->is_std = true;
    for (uint32_t i = 0; std_file_get(i, &s); i++) {
        const char *path = arena_printf(f->arena, "std/%s", s.name);
        uint32_t source = diags_source(f->ir->diags, path, s.text, s.n);
        diags_library(f->ir->diags, source);
        f->std->ast = ast_parse(f->arena, f->ir->syms, f->ir->diags, source);
        f->hash = hash_mix(f->hash, hash_bytes(s.text, s.n));
        declare(f, f->std);
    }
    return diags_errors(f->ir->diags) == 0;
}
