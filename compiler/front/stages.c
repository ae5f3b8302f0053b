/* stages.c: train blocks taken apart into stages (language.md 9). A block is first read into parts: its
 * own lines, the defaults of its stages, and the stages; `like` starts from the parts of another block
 * or stage. Then defaults and lines of each stage are merged. All of it happens on syntax: nothing is
 * evaluated, so a stage may inherit what only makes sense with its own changes. */
#include "stages.h"

typedef struct After {
    const Ast *name; /* ID or MEMBER */
    Sym block;       /* where it stands */
} After;
typedef VEC(After) Afters;

typedef struct Part {
    Sym name;
    const Ast *ast, *like; /* like: not copied yet */
    StageLines lines;
    const Ast *
        copied; /* what `like` was, a stage of this block: an heir copies its own stage of that name */
    StageLines own; /* the lines without those copied */
    Afters after;
    const Ast *header;
    bool inherited, busy;
} Part;

typedef struct Block {
    const Item *item;
    StageScope *scope;
    StageLines lines; /* defaults of every stage */
    VEC(Part *) parts;
    bool busy;
} Block;

enum { MAX_STAGES = 4096, MAX_LINES = 1 << 20 };

typedef struct Reader {
    Front *f;
    uint32_t lines;     /* copied so far */
    Map *blocks;        /* Ast -> Block */
    VEC(Afters) afters; /* of f->stages, by number */
} Reader;

static Span name_of(const Ast *a)
{
    return a->name_span.file ? a->name_span : a->span;
}

static const Ast *header_part(const Ast *block, AstKind kind)
{
    const Ast *h = block->kid[0];
    for (uint32_t i = 0; h && i < h->nkid; i++) {
        if (h->kid[i]->kind == kind) {
            return h->kid[i];
        }
    }
    return NULL;
}

/* ---- merging ---- */

static bool is_duration(const Ast *a)
{
    return a->kind == A_ATTR && (strcmp(a->name, "epochs") == 0 || strcmp(a->name, "steps") == 0 ||
                                 strcmp(a->name, "tokens") == 0);
}

static bool chooses(const Ast *a)
{
    return a->kind == A_CLAUSE && (strcmp(a->text, "train") == 0 || strcmp(a->text, "freeze") == 0);
}

static bool named(const Ast *a)
{
    return a->kind == A_ATTR || a->kind == A_SUBGROUP;
}

/* An attribute replaces the one it inherits, a duration any duration, and the clauses `train` and
 * `freeze` replace all of these. Other clauses and actions are added. */
static void merge(Reader *r, StageLines *base, const StageLines *own)
{
    bool duration = false, choice = false;
    Map *names = map_new(r->f->arena);
    for (uint32_t i = 0; i < own->n; i++) {
        const Ast *a = own->at[i].ast;
        duration = duration || is_duration(a);
        choice = choice || chooses(a);
        if (named(a)) {
            map_put(names, MAP_KEY(a->name), (void *)a);
        }
    }
    uint32_t n = 0;
    for (uint32_t i = 0; i < base->n; i++) {
        const Ast *a = base->at[i].ast;
        if (!(duration && is_duration(a)) && !(choice && chooses(a)) &&
            !(named(a) && map_get(names, MAP_KEY(a->name)))) {
            base->at[n++] = base->at[i];
        }
    }
    base->n = n;
    for (uint32_t i = 0; i < own->n && r->lines < MAX_LINES; i++) {
        VEC_PUSH(r->f->arena, base, own->at[i]);
        if (++r->lines == MAX_LINES) {
            diag_at(r->f->ir->diags, DIAG_E0109, own->at[i].ast->span,
                    "the stages have more than %d statements", MAX_LINES);
        }
    }
}

static StageLines copy_lines(Reader *r, const StageLines *lines)
{
    StageLines out = {0};
    merge(r, &out, lines);
    return out;
}

/* The statements of a body, but for its stages and lets. */
static StageLines own_lines(Front *f, const Ast *body, const StageScope *scope)
{
    StageLines out = {0};
    Map *seen = map_new(f->arena);
    for (uint32_t i = 0; body && i < body->nkid; i++) {
        const Ast *a = body->kid[i];
        const Ast *old = named(a) ? map_get(seen, MAP_KEY(a->name)) : NULL;
        if (old) {
            Diag *d =
                diag_at(f->ir->diags, DIAG_E0202, a->name_span, "`%s` is given twice", a->name);
            diag_also(d, old->name_span, "first here");
        } else if (a->kind != A_BLOCK && a->kind != A_LET && a->kind != A_ERROR) {
            VEC_PUSH(f->arena, &out, ((StageLine){a, scope}));
        }
        if (named(a) && !old) {
            map_put(seen, MAP_KEY(a->name), (void *)a);
        }
    }
    return out;
}

/* ---- finding blocks and stages ---- */

static Block *read_block(Reader *r, const Item *item);

static const Item *train_item(const File *file, Sym name)
{
    const Item *item = file_action(file, name);
    return item && strcmp(item->ast->text, "train") == 0 ? item : NULL;
}

/* The block that `t`, or `file.t`, means. */
static const Item *find_block(const File *from, const Ast *name)
{
    if (name->kind == A_ID) {
        return train_item(from, name->name);
    }
    const Ast *head = name->kid[0];
    const Item *file = head->kind == A_ID ? file_item(from, head->name) : NULL;
    return file && file->ast->kind == A_IMPORT ? train_item(file->file, name->name) : NULL;
}

static Part *find_part(const Block *b, Sym name)
{
    for (uint32_t i = 0; b && i < b->parts.n; i++) {
        if (b->parts.at[i]->name == name) {
            return b->parts.at[i];
        }
    }
    return NULL;
}

static void no_stage(Reader *r, const Block *b, const Ast *at, const char *what)
{
    Front *f = r->f;
    uint32_t n = 0;
    f->stages_wrong = true;
    Sym *names = NEW_ARRAY(f->arena, Sym, (b ? b->parts.n : 0) + map_count(r->blocks) + 1);
    for (uint32_t i = 0; b && i < b->parts.n; i++) {
        names[n++] = b->parts.at[i]->name;
    }
    for (uint32_t i = 0; i < map_count(r->blocks); i++) {
        names[n++] = ((const Block *)map_value_at(r->blocks, i))->item->name;
    }
    Diag *d = diag_at(f->ir->diags, DIAG_E0805, at->span, "no %s `%s`", what, at->name);
    Sym near = sym_nearest(at->name, names, n);
    if (near) {
        diag_fix(d, at->name_span.file ? at->name_span : at->span, near, "a similar one exists");
    }
}

/* ---- reading ---- */

static void resolve_like(Reader *r, Block *b, Part *p)
{
    const Ast *like = p->like;
    if (!like || p->busy) {
        if (like && p->busy) {
            r->f->stages_wrong = true;
            diag_at(r->f->ir->diags, DIAG_E0805, like->span, "`%s` is like itself", p->name);
        }
        return;
    }
    p->busy = true;
    Block *of = b;
    if (like->kind == A_MEMBER) {
        const Item *item = find_block(b->item->file, like->kid[0]);
        of = item ? read_block(r, item) : NULL;
    }
    Part *other = find_part(of, like->name);
    if (!other) {
        no_stage(r, of, like, "stage");
    } else {
        resolve_like(r, of, other);
        p->copied = of == b ? like : NULL;
        p->own = copy_lines(r, &p->lines);
        StageLines base = {0};
        if (of != b) {
            base = copy_lines(r, &of->lines);
        }
        merge(r, &base, &other->lines);
        merge(r, &base, &p->lines);
        p->lines = base;
    }
    p->like = NULL;
    p->busy = false;
}

static void read_stage(Reader *r, Block *b, const Ast *a)
{
    Front *f = r->f;
    StageScope *scope = NEW(f->arena, StageScope);
    *scope = (StageScope){b->scope, a, b->item->file};
    StageLines own = own_lines(f, a->kid[3], scope);
    Part *p = find_part(b, a->name);
    if (p && !p->inherited) {
        Diag *d = diag_at(f->ir->diags, DIAG_E0202, name_of(a), "the stage `%s` is defined twice",
                          a->name);
        diag_also(d, name_of(p->ast), "first here");
        return;
    }
    if (!p && b->parts.n == MAX_STAGES) {
        diag_at(f->ir->diags, DIAG_E0109, name_of(a), "a train block has more than %d stages",
                MAX_STAGES);
        return;
    }
    if (!p) {
        p = NEW(f->arena, Part);
        p->name = a->name;
        VEC_PUSH(f->arena, &b->parts, p);
    }
    p->ast = a;
    p->inherited = false;
    merge(r, &p->lines, &own);
    const Ast *like = header_part(a, A_LIKE), *after = header_part(a, A_AFTER);
    p->like = like ? like->kid[0] : p->like;
    if (after) {
        p->header = after;
        p->after.n = 0;
        for (uint32_t i = 0; i < after->nkid; i++) {
            VEC_PUSH(f->arena, &p->after, ((After){after->kid[i], b->item->name}));
        }
    }
}

/* `train m as n like other`: the parts of the other block, to be edited. */
static void inherit(Reader *r, Block *b, const Ast *like)
{
    Front *f = r->f;
    const Item *item = find_block(b->item->file, like);
    Block *of = item ? read_block(r, item) : NULL;
    if (!of || of->busy) {
        if (!item) {
            no_stage(r, NULL, like, "train block");
        }
        return;
    }
    b->lines = copy_lines(r, &of->lines);
    for (uint32_t i = 0; i < of->parts.n; i++) {
        Part *p = COPY_ARRAY(f->arena, Part, of->parts.at[i], 1);
        p->like = p->copied;
        p->lines = copy_lines(r, p->copied ? &p->own : &p->lines);
        p->copied = NULL;
        p->after = (Afters){0};
        for (uint32_t k = 0; k < of->parts.at[i]->after.n; k++) {
            VEC_PUSH(f->arena, &p->after,
                     ((After){of->parts.at[i]->after.at[k].name, b->item->name}));
        }
        p->inherited = true;
        VEC_PUSH(f->arena, &b->parts, p);
    }
}

static void read_parts(Reader *r, Block *b, const Ast *a)
{
    const Ast *body = a->kid[3], *like = header_part(a, A_LIKE);
    if (a->kid[1] || a->kid[2]) {
        diag_at(r->f->ir->diags, DIAG_E0107, a->kid[a->kid[1] ? 1 : 2]->span, "`train` takes no %s",
                a->kid[1] ? "arguments" : "value: its attributes stand in braces");
        r->f->stages_wrong = !body;
    }
    if (like) {
        inherit(r, b, like->kid[0]);
    }
    StageLines own = own_lines(r->f, body, b->scope);
    merge(r, &b->lines, &own);
    for (uint32_t i = 0; body && i < body->nkid; i++) {
        const Ast *k = body->kid[i];
        if (k->kind != A_BLOCK) {
            continue;
        }
        if (strcmp(k->text, "stage") == 0) {
            read_stage(r, b, k);
        } else {
            diag_at(r->f->ir->diags, DIAG_E0107, k->span,
                    "this statement does not belong in `train`");
        }
    }
    for (uint32_t i = 0; i < b->parts.n; i++) {
        resolve_like(r, b, b->parts.at[i]);
    }
}

static Block *read_block(Reader *r, const Item *item)
{
    Block *b = map_get(r->blocks, MAP_KEY(item->ast));
    if (b && b->busy) {
        r->f->stages_wrong = true;
        diag_at(r->f->ir->diags, DIAG_E0805, name_of(item->ast), "`train %s` is like itself",
                item->name);
    }
    if (b) {
        return b;
    }
    b = NEW(r->f->arena, Block);
    b->item = item;
    b->scope = NEW(r->f->arena, StageScope);
    *b->scope = (StageScope){NULL, item->ast, item->file};
    map_put(r->blocks, MAP_KEY(item->ast), b);
    b->busy = true;
    read_parts(r, b, item->ast);
    b->busy = false;
    return b;
}

/* ---- the list ---- */

static void add_stage(Reader *r, const Block *b, const Part *p)
{
    Front *f = r->f;
    const Ast *block = b->item->ast;
    StageDef *d = NEW(f->arena, StageDef);
    d->name = p ? p->name : sym(f->ir->syms, "main");
    d->block = b->item->name;
    d->path = p ? sym_printf(f->ir->syms, "%s.%s", d->block, p->name) : d->block;
    d->model = block->name;
    d->file = b->item->file;
    d->span = name_of(p && !p->inherited ? p->ast : block);
    d->model_span = block->name_span;
    d->lines = copy_lines(r, &b->lines);
    d->header = p ? p->header : NULL;
    Afters after = {0};
    if (p) {
        merge(r, &d->lines, &p->lines);
        after = p->after;
    }
    VEC_PUSH(f->arena, &f->stages, d);
    VEC_PUSH(f->arena, &r->afters, after);
}

/* `b`, or `block.b`; UINT32_MAX. */
static uint32_t find_number(Reader *r, const After *a)
{
    Front *f = r->f;
    Sym block = a->name->kind == A_MEMBER ? a->name->kid[0]->name : a->block;
    for (uint32_t i = 0; i < f->stages.n; i++) {
        const StageDef *d = f->stages.at[i];
        if (d->block == block && d->name == a->name->name) {
            return i;
        }
    }
    for (uint32_t i = 0; i < f->stages.n; i++) {
        if (f->stages.at[i]->path == a->name->name) {
            return i;
        }
    }
    return UINT32_MAX;
}

static void resolve_after(Reader *r, uint32_t stage)
{
    Front *f = r->f;
    StageDef *d = f->stages.at[stage];
    ASSERT(stage < r->afters.n);
    const Afters *afters = &r->afters.at[stage];
    d->after = NEW_ARRAY(f->arena, uint32_t, afters->n + 1);
    for (uint32_t i = 0; i < afters->n; i++) {
        uint32_t k = find_number(r, &afters->at[i]);
        if (k != UINT32_MAX) {
            d->after[d->nafter++] = k;
            continue;
        }
        f->stages_wrong = true;
        Sym *names = NEW_ARRAY(f->arena, Sym, f->stages.n);
        for (uint32_t s = 0; s < f->stages.n; s++) {
            names[s] = f->stages.at[s]->name;
        }
        const Ast *at = afters->at[i].name;
        Diag *diag = diag_at(f->ir->diags, DIAG_E0805, at->span, "no stage `%s`", at->name);
        Sym near = sym_nearest(at->name, names, f->stages.n);
        if (near) {
            diag_fix(diag, name_of(at), near, "a similar stage exists");
        }
    }
}

/* Depth-first search. state: 0 new, 1 on the way, 2 done. */
static bool find_cycle(Front *f, uint32_t i, char *state, StrBuf *names)
{
    const StageDef *d = f->stages.at[i];
    if (state[i] == 2) {
        return false;
    }
    sb_printf(names, "%s%s", names->n ? " → " : "", d->name);
    if (state[i] == 1) {
        return true;
    }
    state[i] = 1;
    size_t n = names->n;
    for (uint32_t k = 0; k < d->nafter; k++) {
        if (find_cycle(f, d->after[k], state, names)) {
            return true;
        }
        names->n = (uint32_t)n;
    }
    state[i] = 2;
    return false;
}

static void check_order(Front *f)
{
    char *state = NEW_ARRAY(f->arena, char, f->stages.n + 1);
    for (uint32_t i = 0; i < f->stages.n; i++) {
        StrBuf names = sb_new(f->arena);
        if (find_cycle(f, i, state, &names)) {
            const StageDef *d = f->stages.at[i];
            f->stages_wrong = true;
            diag_at(f->ir->diags, DIAG_E0805, d->header ? d->header->span : d->span,
                    "stages wait for each other: %s", sb_text(&names));
            for (uint32_t k = 0; k < f->stages.n; k++) {
                f->stages.at[k]->nafter = 0; /* whoever walks the order must come to an end */
            }
            return;
        }
    }
}

void stages_find(Front *f)
{
    uint32_t errors = diags_reported(f->ir->diags);
    Reader r = {.f = f, .blocks = map_new(f->arena)};
    for (uint32_t i = 0; i < f->trains.n && f->stages.n < MAX_STAGES; i++) {
        const Block *b = read_block(&r, f->trains.at[i]);
        for (uint32_t k = 0; k < b->parts.n; k++) {
            add_stage(&r, b, b->parts.at[k]);
        }
        if (!b->parts.n) {
            add_stage(&r, b, NULL);
        }
    }
    for (uint32_t i = 0; i < f->stages.n; i++) {
        resolve_after(&r, i);
    }
    check_order(f);
    f->stage_errors = diags_reported(f->ir->diags) > errors;
}

const StageDef *stage_find(const Front *f, const char *path)
{
    const StageDef *found = NULL;
    uint32_t n = 0;
    size_t k = strlen(path);
    for (uint32_t i = 0; i < f->stages.n; i++) {
        const StageDef *d = f->stages.at[i];
        size_t m = strlen(d->path);
        if (strcmp(d->path, path) == 0) {
            return d;
        }
        if (m > k && d->path[m - k - 1] == '.' && strcmp(d->path + m - k, path) == 0) {
            found = d;
            n++;
        }
    }
    return n == 1 ? found : NULL;
}

const StageLine *stage_line(const StageDef *def, const char *name)
{
    for (uint32_t i = 0; i < def->lines.n; i++) {
        if (named(def->lines.at[i].ast) && strcmp(def->lines.at[i].ast->name, name) == 0) {
            return &def->lines.at[i];
        }
    }
    return NULL;
}
