/* set.c: `--set PATH=EXPR`: replaces an attribute, a let, or an argument of a model in the syntax tree,
 * before anything is evaluated. A unique suffix of a path is enough (language.md 2.16). */
#include "blocks.h"
#include "files.h"

/* A place that can be set: an expression, or an attribute that the block may have but does not give. */
typedef struct Setting {
    Sym path, also; /* also: another path, or NULL */
    bool imported;  /* of another file than the program's */
    Ast **slot;     /* the expression; NULL: to be added to `block` */
    Ast *block;
    Sym name;
} Setting;

typedef struct Settings {
    Front *f;
    bool imported; /* what is collected now */
    VEC(Setting) all;
} Settings;

static void add(Settings *s, const Setting *x)
{
    VEC_PUSH(s->f->arena, &s->all, *x);
    VEC_LAST(&s->all).imported = s->imported;
}

/* Attributes of a block, of which schema.def speaks as `table`; `also`: what else the block is called. */
static void add_attrs(Settings *s, Ast *block, const char *table, const char *also)
{
    Ast *body = block->kid[3];
    Syms *syms = s->f->ir->syms;
    for (uint32_t i = 0; body && i < body->nkid; i++) {
        if (body->kid[i]->kind == A_ATTR) {
            Sym name = body->kid[i]->name;
            add(s, &(Setting){.path = sym_printf(syms, "%s.%s.%s", block->text, block->name, name),
                              .also = also ? sym_printf(syms, "%s.%s", also, name) : NULL,
                              .slot = &body->kid[i]->kid[0],
                              .block = block,
                              .name = name});
        }
    }
    const SchemaAttr *a;
    for (uint32_t i = 0; body && (a = schema_at(i)); i++) {
        if (strcmp(a->block, table) == 0 && !block_attr(block, a->name)) {
            Sym path = sym_printf(syms, "%s.%s.%s", block->text, block->name, a->name);
            add(s, &(Setting){.path = path,
                              .also = also ? sym_printf(syms, "%s.%s", also, a->name) : NULL,
                              .block = block,
                              .name = sym(syms, a->name)});
        }
    }
}

/* What a train block is called: behind `as`, or like its model. */
static Sym train_name(const Ast *train)
{
    const Ast *header = train->kid[0];
    for (uint32_t i = 0; header && i < header->nkid; i++) {
        if (header->kid[i]->kind == A_BLOCK_AS) {
            return header->kid[i]->name;
        }
    }
    return train->name;
}

/* train.net.lr; of its stages stage.align.lr and net.align.lr. */
static void add_block(Settings *s, Ast *block)
{
    const Ast *body = block->kid[3];
    bool train = strcmp(block->text, "train") == 0;
    Arena *arena = s->f->arena;
    const char *name = train ? train_name(block) : NULL;
    add_attrs(s, block, block->text, train ? arena_printf(arena, "train.%s", name) : NULL);
    for (uint32_t i = 0; train && body && i < body->nkid; i++) {
        Ast *stage = body->kid[i];
        if (stage->kind == A_BLOCK && strcmp(stage->text, "stage") == 0) {
            add_attrs(s, stage, "train", arena_printf(arena, "%s.%s", name, stage->name));
        }
    }
}

static const Ast *find_module(const Front *f, const File *file, Sym name)
{
    const Item *item = file_item(file, name);
    item = item ? item : file_item(f->std, name);
    return item && item->ast->kind == A_MODULE ? item->ast : NULL;
}

/* model.gpt2.L: an argument of the module call, given or not. */
static void add_model(Settings *s, const File *file, Ast *block)
{
    Ast *call = block->kid[2];
    if (!call || call->kind != A_CALL || call->kid[0]->kind != A_ID) {
        return;
    }
    const Ast *module = find_module(s->f, file, call->kid[0]->name);
    uint32_t nformal = module ? module->kid[0]->nkid : 0;
    for (uint32_t k = 0; k < nformal; k++) {
        Sym name = module->kid[0]->kid[k]->name;
        Setting x = {.path = sym_printf(s->f->ir->syms, "model.%s.%s", block->name, name),
                     .block = call,
                     .name = name};
        uint32_t position = 0;
        for (uint32_t i = 1; i < call->nkid; i++) {
            bool named = call->kid[i]->kind == A_NAMED;
            if (named ? call->kid[i]->name == name : position == k) {
                x.slot = named ? &call->kid[i]->kid[0] : &call->kid[i];
            }
            position += !named;
        }
        add(s, &x);
    }
}

static void collect(Settings *s)
{
    for (uint32_t f = 0; f < s->f->files.n; f++) {
        const File *file = s->f->files.at[f];
        s->imported = f > 0;
        for (uint32_t i = 0; i < file->ast->nkid; i++) {
            Ast *a = file->ast->kid[i];
            if (a->kind == A_LET) {
                Sym path = sym_printf(s->f->ir->syms, "let.%s", a->name);
                add(s, &(Setting){.path = path, .slot = &a->kid[0], .name = a->name});
            } else if (a->kind == A_BLOCK && strcmp(a->text, "model") == 0) {
                add_model(s, file, a);
            } else if (a->kind == A_BLOCK) {
                add_block(s, a);
            }
        }
    }
}

/* Does `path` end in `given`, whole components; or, for train.batch, with the block's name left out? */
static bool names(const char *path, const char *given)
{
    size_t n = strlen(path), k = strlen(given);
    if (k <= n && strcmp(path + n - k, given) == 0 && (k == n || path[n - k - 1] == '.')) {
        return true;
    }
    const char *kind = strchr(path, '.'), *last = strrchr(path, '.');
    const char *dot = strchr(given, '.');
    return kind && last && kind != last && dot && dot - given == kind - path &&
           strncmp(given, path, (size_t)(dot - given)) == 0 && strcmp(dot, last) == 0;
}

static bool means(const Setting *x, const char *given)
{
    return names(x->path, given) || (x->also && names(x->also, given));
}

static Ast *new_node(Front *f, AstKind kind, Sym name, Ast *value)
{
    Ast *a = NEW(f->arena, Ast);
    a->kind = kind;
    a->name = name;
    a->span = a->name_span = value->span;
    a->kid = NEW_ARRAY(f->arena, Ast *, 1);
    a->kid[0] = value;
    a->nkid = 1;
    return a;
}

static void append(Front *f, Ast *parent, Ast *child)
{
    Ast **kid = NEW_ARRAY(f->arena, Ast *, parent->nkid + 1);
    for (uint32_t i = 0; i < parent->nkid; i++) {
        kid[i] = parent->kid[i];
    }
    kid[parent->nkid++] = child;
    parent->kid = kid;
}

/* The settings that share all but the last component of `path`, as names. */
static const char *siblings(const Settings *s, const char *path)
{
    StrBuf sb = sb_new(s->f->arena);
    const char *last = strrchr(path, '.');
    const char *prefix = last ? arena_strndup(s->f->arena, path, (size_t)(last - path)) : NULL;
    for (uint32_t i = 0; prefix && i < s->all.n; i++) {
        const char *dot = strrchr(s->all.at[i].path, '.');
        const char *block =
            arena_strndup(s->f->arena, s->all.at[i].path, (size_t)(dot - s->all.at[i].path));
        if (names(block, prefix)) {
            sb_printf(&sb, "%s%s", sb.n ? ", " : "", dot + 1);
        }
    }
    return sb_text(&sb);
}

static bool unknown_setting(Settings *s, const char *path, uint32_t matches, Span span)
{
    Front *f = s->f;
    Sym *names_of = NEW_ARRAY(f->arena, Sym, s->all.n * 2 + 1);
    for (uint32_t i = 0; i < s->all.n; i++) {
        names_of[i] = s->all.at[i].path;
        names_of[s->all.n + i] = s->all.at[i].name;
    }
    Diag *d = diag_at(f->ir->diags, DIAG_E0811, span,
                      matches ? "`%s` may mean several settings" : "no setting `%s`", path);
    for (uint32_t i = 0; matches && i < s->all.n; i++) {
        if (means(&s->all.at[i], path)) {
            diag_note(d, "%s", s->all.at[i].path);
        }
    }
    Sym near = matches ? NULL : sym_nearest(sym(f->ir->syms, path), names_of, s->all.n * 2);
    for (uint32_t i = 0; near && i < s->all.n; i++) {
        if (s->all.at[i].path == near || s->all.at[i].name == near) {
            diag_help(d, "a similar setting exists: `%s`", s->all.at[i].path);
            return false;
        }
    }
    const char *others = matches ? "" : siblings(s, path);
    if (others[0]) {
        diag_note(d, "there are %s", others);
    }
    return false;
}

/* How good a match is, best first: one of the program's file, which is what is run, beats those of its imports;
 * then an attribute that is given one that only could be (`batch` is train's where eval has none). */
static uint32_t rank_of(const Setting *x)
{
    return (x->imported ? 2 : 0) + (x->slot ? 0 : 1);
}

static uint32_t find_setting(const Settings *s, const char *path, const Setting **out)
{
    uint32_t count[4] = {0}, best = 0;
    const Setting *first[4] = {NULL};
    for (uint32_t i = 0; i < s->all.n; i++) {
        const Setting *x = &s->all.at[i];
        if (means(x, path)) {
            count[rank_of(x)]++;
            first[rank_of(x)] = x;
        }
    }
    while (best < 3 && !count[best]) {
        best++;
    }
    *out = first[best];
    return count[best];
}

/* PATH=EXPR in two parts without blanks around the path; false after E0102. */
static bool split_setting(Front *f, const char *text, const char **path, const char **value,
                          Span *span)
{
    const char *eq = strchr(text, '='), *end = eq ? eq : text + strlen(text), *start = text;
    uint32_t source = diags_source(f->ir->diags, "--set", text, strlen(text));
    while (start < end && *start == ' ') {
        start++;
    }
    while (end > start && end[-1] == ' ') {
        end--;
    }
    *span = (Span){source, (uint32_t)(start - text), (uint32_t)(end - text)};
    if (!eq || end == start) {
        diag_at(f->ir->diags, DIAG_E0102, *span, "a setting is written PATH=EXPR");
        return false;
    }
    *path = arena_strndup(f->arena, start, (size_t)(end - start));
    *value = eq + 1;
    return true;
}

/* `--set epochs=1` over a file with `steps = 100`: a duration replaces the other one. */
static void drop_other_duration(Ast *body, Sym name)
{
    bool epochs = strcmp(name, "epochs") == 0, steps = strcmp(name, "steps") == 0;
    uint32_t n = 0;
    for (uint32_t i = 0; i < body->nkid && (epochs || steps); i++) {
        const Ast *a = body->kid[i];
        if (a->kind != A_ATTR || strcmp(a->name, epochs ? "steps" : "epochs") != 0) {
            body->kid[n++] = body->kid[i];
        }
    }
    body->nkid = epochs || steps ? n : body->nkid;
}

bool setting_apply(Front *f, const char *text)
{
    Settings s = {.f = f};
    const char *path, *value;
    Span span;
    if (!split_setting(f, text, &path, &value, &span)) {
        return false;
    }
    uint32_t source =
        diags_source(f->ir->diags, arena_printf(f->arena, "--set %s", path), value, strlen(value));
    Ast *expr = ast_parse_expr(f->arena, f->ir->syms, f->ir->diags, source);
    if (!expr) {
        return false;
    }
    collect(&s);
    const Setting *x;
    uint32_t n = find_setting(&s, path, &x);
    if (n != 1) {
        return unknown_setting(&s, path, n, span);
    }
    if (x->slot) {
        *x->slot = expr;
    } else if (x->block->kind == A_CALL) {
        append(f, x->block, new_node(f, A_NAMED, x->name, expr));
    } else {
        drop_other_duration(x->block->kid[3], x->name);
        append(f, x->block->kid[3], new_node(f, A_ATTR, x->name, expr));
    }
    f->hash = hash_mix(f->hash, hash_text(text));
    return true;
}
