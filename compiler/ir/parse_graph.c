/* parse_graph.c: the reader of graph text: symbols, nodes, defs and the graph.
 *
 * Every node goes through graph_op, so that what was read is as well-typed as what was built; this
 * file only keeps from graph_op what it would call our bug: arity, unknown names, foreign values. */
#include "parse.h"

/* A body under construction. */
typedef struct Body {
    Graph *g;
    Map *values; /* number in the text + 1 -> Node */
    bool is_def;
} Body;

/* ---- sym B 1..512 ---- */

/* The symbol of the session that prints as `label` and has this range, or a new one. */
static const DimSym *find_or_declare(Parser *p, Sym label, int64_t lo, int64_t hi)
{
    for (uint32_t i = 0; i < dim_sym_count(p->ir); i++) {
        const DimSym *s = dim_sym_at(p->ir, i);
        if (s->lo != lo || s->hi != hi)
            continue;
        StrBuf sb = sb_new(p->scratch);
        dim_print_sym(p->ir, s, &sb);
        if (strcmp(sb_text(&sb), label) == 0)
            return s;
    }
    return dim_declare(p->ir, label, lo, hi);
}

static bool read_range(Parser *p, int64_t *lo, int64_t *hi)
{
    if (!parse_int(p, lo) || !parse_expect(p, "..") || !parse_int(p, hi))
        return false;
    return (0 <= *lo && *lo < *hi) || parse_fail(p, DIAG_E0416, "a symbol has a range LO..HI");
}

static bool is_sym_name(const char *name)
{
    bool ok = (*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z') || *name == '_';
    return ok && !strpbrk(name, ":*-/") && !strstr(name, "..");
}

static bool read_symbol(Parser *p)
{
    Sym label;
    int64_t lo, hi;
    if (!parse_word(p, &label) || !read_range(p, &lo, &hi) || !parse_end_line(p))
        return false;
    if (!is_sym_name(label))
        return parse_fail(p, DIAG_E0102, "`%s` is not a name of a dimension", label);
    if (map_get(p->syms, MAP_KEY(label)))
        return parse_fail(p, DIAG_E0202, "dimension `%s` is declared twice", label);
    if (map_count(p->syms) == TEXT_MAX_SYMS)
        return parse_fail(p, DIAG_E0109, "more than %d dimensions", TEXT_MAX_SYMS);
    map_put(p->syms, MAP_KEY(label), (void *)find_or_declare(p, label, lo, hi));
    return true;
}

/* ---- nodes ---- */

static bool read_value(Parser *p, const Body *b, const Node **out)
{
    uint32_t number;
    if (!parse_expect(p, "%") || !parse_index(p, &number))
        return false;
    *out = map_get(b->values, (uint64_t)number + 1);
    return *out || parse_fail(p, DIAG_E0201, "unknown value %%%u", number);
}

static bool read_operands(Parser *p, const Body *b, NodeSpec *spec)
{
    VEC(const Node *) in = {0};
    while (parse_peek(p) == '%') {
        const Node *n;
        if (!read_value(p, b, &n))
            return false;
        VEC_PUSH(p->scratch, &in, n);
    }
    spec->nin = in.n;
    spec->in = in.at;
    int arity = op_info(spec->op)->arity;
    if (arity >= 0 && in.n != (uint32_t)arity)
        return parse_fail(p, DIAG_E0303, "`%s` takes %d operands, got %u", op_info(spec->op)->name,
                          arity, in.n);
    return true;
}

static bool read_attrs(Parser *p, OpKind op, Attr *attr)
{
    const char *name = "";
    AttrKind kind = AK_NONE;
    uint32_t n = op_attr_schema(op, IR_MAX_ATTR, &name, &kind);
    for (uint32_t i = 0; i < n; i++) {
        op_attr_schema(op, i, &name, &kind);
        char token[32];
        snprintf(token, sizeof token, "%.*s=", (int)strcspn(name, ":"), name);
        attr[i] = (Attr){.kind = kind};
        if (kind == AK_FLAG && !parse_accept(p, token))
            continue;
        if ((kind != AK_FLAG && !parse_expect(p, token)) || !parse_attr(p, kind, &attr[i]))
            return false;
        if (kind == AK_FLAG && attr[i].i != 1)
            return parse_fail(p, DIAG_E0102, "`%s` is 1, or not there", token);
    }
    return true;
}

/* Lines behind `#` after a node. */
static const char *read_note(Parser *p)
{
    StrBuf sb = sb_new(p->scratch);
    bool any = false;
    for (; parse_peek(p) == '#'; any = true) {
        const char *from = p->at + 1, *to = memchr(p->at, '\n', (size_t)(p->end - p->at));
        to = to ? to : p->end;
        from += from < to && *from == ' ';
        if (any)
            sb_putc(&sb, '\n');
        sb_putn(&sb, from, strnlen(from, (size_t)(to - from)));
        p->at = to;
        if (!parse_end_line(p))
            return NULL;
    }
    return any ? sb_text(&sb) : NULL;
}

/* What follows the attributes: instance, module path, the end of the line, the note. */
static bool read_tail(Parser *p, Body *b, NodeSpec *spec)
{
    b->g->path = NULL;
    if (parse_accept(p, "inst=") && !parse_index(p, &spec->inst))
        return false;
    if (parse_accept(p, "@") && !parse_name(p, &b->g->path))
        return false;
    if (!parse_end_line(p))
        return false;
    spec->note = read_note(p);
    return !p->failed;
}

static bool make_node(Parser *p, Body *b, uint32_t number, const NodeSpec *spec)
{
    const Node *n = graph_op(b->g, spec);
    if (!n) {
        p->failed = true; /* reported by the type rule */
        return false;
    }
    if (n->type != spec->type)
        return parse_fail(p, DIAG_E0407, "`%s` gives `%s`", op_info(n->op)->name,
                          type_text(p->ir, n->type));
    if (map_get(b->values, (uint64_t)number + 1))
        return parse_fail(p, DIAG_E0202, "%%%u is defined twice", number);
    map_put(b->values, (uint64_t)number + 1, (void *)n);
    return true;
}

/* %3 = sum f32[B] %2 axes=[1] inst=1 @path */
static bool read_node(Parser *p, Body *b)
{
    NodeSpec spec = {0};
    Attr attr[IR_MAX_ATTR];
    uint32_t number;
    Sym op;
    const char *from = p->at;
    if (!parse_expect(p, "%") || !parse_index(p, &number) || !parse_expect(p, "=") ||
        !parse_word(p, &op))
        return false;
    if (!op_find(op, &spec.op))
        return parse_fail(p, DIAG_E0201, "unknown operation `%s`", op);
    if (!parse_type(p, &spec.type) || !read_operands(p, b, &spec) || !read_attrs(p, spec.op, attr))
        return false;
    spec.attr = attr;
    const char *to = p->at;
    if (!read_tail(p, b, &spec))
        return false;
    b->g->span = parse_span(p, from, to);
    return make_node(p, b, number, &spec);
}

/* ---- result "y" %5, write 4 %9, state 3 param "w" f32[2] ---- */

static bool read_result(Parser *p, Body *b)
{
    Sym name;
    const Node *n;
    if (!parse_string(p, &name) || !read_value(p, b, &n))
        return false;
    if (b->is_def && n->type->is_tuple)
        return parse_fail(p, DIAG_E0408, "a result of a def is one tensor");
    graph_result(b->g, name, n);
    return parse_end_line(p);
}

static bool read_write(Parser *p, Body *b, Map *written)
{
    uint32_t state;
    const Node *n;
    if (!parse_index(p, &state) || !read_value(p, b, &n))
        return false;
    if (b->is_def || n->type->is_tuple)
        return parse_fail(p, DIAG_E0107, "only tensors of a graph are written to a state");
    if (map_get(written, state + 1))
        return parse_fail(p, DIAG_E0202, "state %u is written twice", state);
    map_put(written, state + 1, b);
    VEC_PUSH(b->g->arena, &b->g->writes, ((GraphWrite){state, n}));
    return parse_end_line(p);
}

/* For people: what the numbers of states mean. The Program itself says it to the machine. */
static bool read_state(Parser *p)
{
    uint32_t state;
    Sym kind, path;
    const Type *type;
    if (!parse_index(p, &state) || !parse_word(p, &kind) || !parse_string(p, &path) ||
        !parse_type(p, &type) || !parse_end_line(p))
        return false;
    for (StateKind k = SK_PARAM; k <= SK_SCALE; k++) {
        if (strcmp(kind, text_state_kind(k)) == 0)
            return true;
    }
    return parse_fail(p, DIAG_E0102, "`%s` is not a kind of state", kind);
}

/* The lines of a block behind its `{`, and the `}`. */
static bool read_body(Parser *p, Body *b)
{
    Map *written = map_new(p->scratch);
    if (!parse_end_line(p))
        return false;
    while (!parse_accept(p, "}")) {
        bool ok;
        if (parse_peek(p) == '%')
            ok = read_node(p, b);
        else if (parse_accept(p, "result "))
            ok = read_result(p, b);
        else if (parse_accept(p, "write "))
            ok = read_write(p, b, written);
        else if (!b->is_def && parse_accept(p, "state "))
            ok = read_state(p);
        else
            ok = parse_fail(p, DIAG_E0102, "expected a node, a result, a write or `}`");
        if (!ok)
            return false;
    }
    b->g->path = NULL;
    b->g->span = (Span){0};
    return parse_end_line(p);
}

/* ---- defs ---- */

typedef struct DefHead {
    Sym label, name, kind;
    DefKind def_kind;
    uint32_t nvisible;
    Attr vjp; /* .def NULL: none */
} DefHead;

static bool read_def_head(Parser *p, DefHead *h)
{
    *h = (DefHead){0};
    if (!parse_expect(p, "@") || !parse_word(p, &h->label) || !parse_word(p, &h->kind))
        return false;
    h->name = h->label;
    h->def_kind = DEF_COMPOSITE;
    while (h->def_kind <= DEF_SCAN && strcmp(h->kind, text_def_kind(h->def_kind)) != 0)
        h->def_kind++;
    if (h->def_kind > DEF_SCAN)
        return parse_fail(p, DIAG_E0102, "expected `composite`, `group` or `scan`");
    if (map_get(p->defs, MAP_KEY(h->label)))
        return parse_fail(p, DIAG_E0202, "def `%s` is defined twice", h->label);
    if (parse_accept(p, "name=") && !parse_string(p, &h->name))
        return false;
    if (!parse_expect(p, "visible=") || !parse_index(p, &h->nvisible))
        return false;
    if (parse_accept(p, "vjp=") && !parse_attr(p, AK_DEF, &h->vjp))
        return false;
    return parse_expect(p, "{");
}

static bool read_def(Parser *p)
{
    DefHead h;
    p->depth = 0;
    if (!read_def_head(p, &h))
        return false;
    Body b = {
        .g = graph_new(p->ir, p->scratch, h.name), .values = map_new(p->scratch), .is_def = true};
    if (!read_body(p, &b))
        return false;
    if (h.nvisible > b.g->results.n)
        return parse_fail(p, DIAG_E0408, "def `%s` has %u results, not %u", h.label, b.g->results.n,
                          h.nvisible);
    if (p->depth >= TEXT_MAX_DEPTH)
        return parse_fail(p, DIAG_E0109, "defs are nested more than %d deep", TEXT_MAX_DEPTH);
    TextDef *d = NEW(p->scratch, TextDef);
    d->depth = p->depth + 1;
    d->def = def_intern(p->ir, &(Def){.kind = h.def_kind,
                                      .name = h.name,
                                      .body = b.g,
                                      .nvisible = h.nvisible,
                                      .vjp = h.vjp.def});
    map_put(p->defs, MAP_KEY(h.label), d);
    return true;
}

/* ---- the whole text ---- */

static Graph *read_graph(Parser *p, Arena *arena)
{
    Sym name;
    if (!parse_name(p, &name) || !parse_expect(p, "{"))
        return NULL;
    Body b = {.g = graph_new(p->ir, arena, name), .values = map_new(p->scratch)};
    if (!read_body(p, &b))
        return NULL;
    if (p->at < p->end) {
        parse_fail(p, DIAG_E0102, "expected the end of the text");
        return NULL;
    }
    return b.g;
}

static Graph *read_text(Parser *p, Arena *arena)
{
    while (p->at < p->end && (*p->at == '\n' || *p->at == ' '))
        p->at++;
    for (;;) {
        if (parse_accept(p, "sym ")) {
            if (!read_symbol(p))
                return NULL;
        } else if (parse_accept(p, "def ")) {
            if (!read_def(p))
                return NULL;
        } else if (parse_accept(p, "graph ")) {
            return read_graph(p, arena);
        } else {
            parse_fail(p, DIAG_E0102, "expected `sym`, `def` or `graph`");
            return NULL;
        }
    }
}

Graph *graph_parse(Ir *ir, Arena *arena, uint32_t source_file)
{
    Arena *scratch = arena_new();
    size_t n;
    const char *text = diags_text(ir->diags, source_file, &n);
    Parser p = {.ir = ir,
                .scratch = scratch,
                .file = source_file,
                .text = text,
                .at = text,
                .end = text + n,
                .syms = map_new(scratch),
                .defs = map_new(scratch)};
    uint32_t errors = diags_reported(ir->diags);
    Graph *g = read_text(&p, arena);
    arena_free(scratch);
    return diags_reported(ir->diags) == errors ? g : NULL;
}
