/* print.c: graphs as text; the format is shown in ir.h. Ids are dense, symbols and defs come in the
 * order of first use, so that equal graphs print equal text. */
#include "tables.h"
#include "text.h"

typedef struct Printer {
    const Ir *ir;
    Arena *arena; /* scratch */
    StrBuf *sb;
    Map *labels;  /* Def -> label; a def that is being printed has one already */
    Map *taken;   /* hash of label -> label */
    bool *syms;   /* by DimSym id: used */
    bool by_name; /* print defs by name: there are no labels */
} Printer;

static const char *const state_names[] = {
    [SK_PARAM] = "param",   [SK_GRAD] = "grad",   [SK_OPT] = "opt",
    [SK_BUFFER] = "buffer", [SK_LOOP] = "loop",   [SK_KV] = "kv",
    [SK_MASTER] = "master", [SK_CODES] = "codes", [SK_SCALE] = "scale"};

const char *text_state_kind(StateKind kind)
{
    return state_names[kind];
}

const char *text_def_kind(DefKind kind)
{
    static const char *const names[] = {
        [DEF_COMPOSITE] = "composite", [DEF_GROUP] = "group", [DEF_SCAN] = "scan"};
    return names[kind];
}

bool text_is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("_.:~*-/", c));
}

static bool is_plain(const char *name)
{
    if (!*name)
        return false;
    for (const char *c = name; *c; c++) {
        if (!text_is_name_char(*c))
            return false;
    }
    return true;
}

static void print_quoted(StrBuf *sb, const char *text)
{
    sb_putc(sb, '"');
    for (const char *c = text; *c; c++) {
        if (*c == '"' || *c == '\\')
            sb_printf(sb, "\\%c", *c);
        else if ((unsigned char)*c < 32 || *c == 127)
            sb_printf(sb, "\\x%02x", (unsigned)(unsigned char)*c);
        else
            sb_putc(sb, *c);
    }
    sb_putc(sb, '"');
}

static void print_name(StrBuf *sb, const char *name)
{
    if (is_plain(name))
        sb_puts(sb, name);
    else
        print_quoted(sb, name);
}

/* ---- labels of defs ---- */

static bool take_label(Printer *p, const char *label)
{
    uint64_t key = hash_text(label);
    if (map_get(p->taken, key))
        return false;
    map_put(p->taken, key, (void *)label);
    return true;
}

static const char *make_label(Printer *p, const Def *d)
{
    char *label = arena_strdup(p->arena, *d->name ? d->name : "def");
    for (char *c = label; *c; c++) {
        if (!text_is_name_char(*c))
            *c = '_';
    }
    const char *base = label;
    for (unsigned i = 2; !take_label(p, label); i++)
        label = arena_printf(p->arena, "%s.%u", base, i);
    map_put(p->labels, MAP_KEY(d), label);
    return label;
}

static void print_def_name(const Printer *p, const Def *d)
{
    sb_putc(p->sb, '@');
    if (p->by_name)
        print_name(p->sb, d->name);
    else
        sb_puts(p->sb, map_get(p->labels, MAP_KEY(d)));
}

/* ---- nodes ---- */

static void print_attr(const Printer *p, const Attr *a)
{
    switch (a->kind) {
    case AK_NONE:
        break;
    case AK_INT:
    case AK_FLAG:
        sb_printf(p->sb, "%lld", (long long)a->i);
        break;
    case AK_DTYPE:
        sb_puts(p->sb, dtype_info((DType)a->i)->name);
        break;
    case AK_NUM:
        sb_double(p->sb, a->f);
        break;
    case AK_SYM:
        print_quoted(p->sb, a->s ? a->s : "");
        break;
    case AK_INTS:
    case AK_DIMS:
        sb_putc(p->sb, '[');
        for (uint32_t i = 0; i < a->n; i++) {
            sb_puts(p->sb, i > 0 ? ", " : "");
            if (a->kind == AK_INTS)
                sb_printf(p->sb, "%lld", (long long)a->ints[i]);
            else
                dim_print(p->ir, a->dims[i], p->sb);
        }
        sb_putc(p->sb, ']');
        break;
    case AK_DIM:
        dim_print(p->ir, a->dim, p->sb);
        break;
    case AK_DEF:
        print_def_name(p, a->def);
        break;
    }
}

static void print_node(const Printer *p, const Node *n)
{
    sb_printf(p->sb, "%%%u = %s ", n->id, op_info(n->op)->name);
    type_print(p->ir, n->type, p->sb);
    for (uint32_t k = 0; k < n->nin; k++)
        sb_printf(p->sb, " %%%u", n->in[k]->id);
    for (uint32_t i = 0; i < n->nattr; i++) {
        const char *name = "";
        AttrKind kind;
        op_attr_schema(n->op, i, &name, &kind);
        if (attr_is_unset(&n->attr[i]))
            continue;
        sb_printf(p->sb, " %.*s=", (int)strcspn(name, ":"), name);
        print_attr(p, &n->attr[i]);
    }
    if (n->inst)
        sb_printf(p->sb, " inst=%u", n->inst);
    if (n->path) {
        sb_puts(p->sb, " @");
        print_name(p->sb, n->path);
    }
}

static void print_note(const Printer *p, const char *note)
{
    while (note) {
        const char *end = strchr(note, '\n');
        sb_puts(p->sb, "    # ");
        sb_putn(p->sb, note, end ? (size_t)(end - note) : strlen(note));
        sb_putc(p->sb, '\n');
        note = end ? end + 1 : NULL;
    }
}

static void print_body(const Printer *p, const Graph *g)
{
    for (uint32_t i = 0; i < g->nodes.n; i++) {
        sb_puts(p->sb, "  ");
        print_node(p, g->nodes.at[i]);
        sb_putc(p->sb, '\n');
        print_note(p, g->nodes.at[i]->note);
    }
    for (uint32_t i = 0; i < g->results.n; i++) {
        sb_puts(p->sb, "  result ");
        print_quoted(p->sb, g->results.at[i].name);
        sb_printf(p->sb, " %%%u\n", g->results.at[i].node->id);
    }
    for (uint32_t i = 0; i < g->writes.n; i++)
        sb_printf(p->sb, "  write %u %%%u\n", g->writes.at[i].state, g->writes.at[i].node->id);
    sb_puts(p->sb, "}\n");
}

/* ---- defs ---- */

static void print_defs_of(Printer *p, const Graph *g);

/* What d refers to, then d. */
static void print_def(Printer *p, const Def *d)
{
    if (map_get(p->labels, MAP_KEY(d)))
        return;
    if (d->vjp)
        print_def(p, d->vjp);
    print_defs_of(p, d->body);
    const char *label = make_label(p, d);
    sb_printf(p->sb, "def @%s %s", label, text_def_kind(d->kind));
    if (strcmp(label, d->name) != 0) {
        sb_puts(p->sb, " name=");
        print_quoted(p->sb, d->name);
    }
    sb_printf(p->sb, " visible=%u", d->nvisible);
    if (d->vjp) {
        sb_puts(p->sb, " vjp=");
        print_def_name(p, d->vjp);
    }
    sb_puts(p->sb, " {\n");
    print_body(p, d->body);
}

static void print_defs_of(Printer *p, const Graph *g)
{
    for (uint32_t i = 0; i < g->nodes.n; i++) {
        const Node *n = g->nodes.at[i];
        for (uint32_t k = 0; k < n->nattr; k++) {
            if (n->attr[k].kind == AK_DEF)
                print_def(p, n->attr[k].def);
        }
    }
}

/* ---- symbols ---- */

static void use_dim(Printer *p, const Dim *d)
{
    for (uint32_t i = 0; i < d->nterm; i++) {
        for (uint32_t k = 0; k < d->term[i].nsym; k++)
            p->syms[d->term[i].sym[k]] = true;
    }
}

static void use_type(Printer *p, const Type *t)
{
    for (uint32_t i = 0; i < t->nelem; i++)
        use_type(p, t->elems[i]);
    for (uint32_t i = 0; i < t->rank; i++)
        use_dim(p, t->dims[i]);
}

static void use_graph(Printer *p, Map *seen, const Graph *g);

static void use_def(Printer *p, Map *seen, const Def *d)
{
    if (map_get(seen, MAP_KEY(d)))
        return;
    map_put(seen, MAP_KEY(d), (void *)d);
    use_graph(p, seen, d->body);
    if (d->vjp)
        use_def(p, seen, d->vjp);
}

static void use_graph(Printer *p, Map *seen, const Graph *g)
{
    for (uint32_t i = 0; i < g->nodes.n; i++) {
        const Node *n = g->nodes.at[i];
        use_type(p, n->type);
        for (uint32_t k = 0; k < n->nattr; k++) {
            const Attr *a = &n->attr[k];
            if (a->kind == AK_DIM)
                use_dim(p, a->dim);
            else if (a->kind == AK_DEF)
                use_def(p, seen, a->def);
            for (uint32_t d = 0; a->kind == AK_DIMS && d < a->n; d++)
                use_dim(p, a->dims[d]);
        }
    }
}

static void print_syms(Printer *p, const Graph *g)
{
    use_graph(p, map_new(p->arena), g);
    for (uint32_t i = 0; i < dim_sym_count(p->ir); i++) {
        const DimSym *s = dim_sym_at(p->ir, i);
        if (!p->syms[i])
            continue;
        sb_puts(p->sb, "sym ");
        dim_print_sym(p->ir, s, p->sb);
        sb_printf(p->sb, " %lld..%lld\n", (long long)s->lo, (long long)s->hi);
    }
}

/* ---- graphs ---- */

/* The states that g reads or writes, by id. */
static void print_states(const Printer *p, const Graph *g, const Program *program)
{
    bool *used = NEW_ARRAY(p->arena, bool, program->states.n);
    for (uint32_t i = 0; i < g->nodes.n; i++) {
        const Node *n = g->nodes.at[i];
        if (n->op == OP_STATE && node_int(n, "id") < program->states.n)
            used[node_int(n, "id")] = true;
    }
    for (uint32_t i = 0; i < g->writes.n; i++) {
        if (g->writes.at[i].state < program->states.n)
            used[g->writes.at[i].state] = true;
    }
    for (uint32_t i = 0; i < program->states.n; i++) {
        const State *s = program->states.at[i];
        if (!used[i])
            continue;
        sb_printf(p->sb, "  state %u %s ", i, text_state_kind(s->kind));
        print_quoted(p->sb, s->path ? s->path : "");
        sb_putc(p->sb, ' ');
        type_print(p->ir, s->type, p->sb);
        sb_putc(p->sb, '\n');
    }
}

static Printer printer_new(const Ir *ir, Arena *arena, StrBuf *sb)
{
    return (Printer){.ir = ir,
                     .arena = arena,
                     .sb = sb,
                     .labels = map_new(arena),
                     .taken = map_new(arena),
                     .syms = NEW_ARRAY(arena, bool, dim_sym_count(ir))};
}

void graph_print(const Graph *g, const Program *p, StrBuf *sb)
{
    Arena *arena = arena_new();
    Printer printer = printer_new(g->ir, arena, sb);
    print_syms(&printer, g);
    print_defs_of(&printer, g);
    sb_puts(sb, "graph ");
    print_name(sb, g->name ? g->name : "");
    sb_puts(sb, " {\n");
    if (p)
        print_states(&printer, g, p);
    print_body(&printer, g);
    arena_free(arena);
}

void def_print(const Def *d, StrBuf *sb)
{
    Arena *arena = arena_new();
    Printer printer = printer_new(d->body->ir, arena, sb);
    print_def(&printer, d);
    arena_free(arena);
}

void node_print(const Ir *ir, const Node *n, StrBuf *sb)
{
    Printer printer = {.ir = ir, .sb = sb, .by_name = true};
    print_node(&printer, n);
}
