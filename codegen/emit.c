/* emit.c: a kernel as text, through a dialect table. One emitter for all languages: it knows
 * statements and precedence, the dialect knows spelling. The text is meant to be read: extents that
 * are known are numbers, buffers carry the model's names. */
#include "dialect.h"
#include "lower.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Emit {
    const Kernel *k;
    const Dialect *d;
    const EmitCx *cx;
    Arena *arena;
    StrBuf sb;
    int depth;
    Span span; /* of the last #line, with its line and the module's path */
    uint32_t line;
    Sym path;
} Emit;

/* C precedence, as far as index arithmetic needs it. */
enum { PREC_ANY, PREC_SUM, PREC_PRODUCT, PREC_UNARY };

static void emit_expr(Emit *e, const KExpr *x, int prec);

/* ---- names ---- */

static uint32_t slot_of(const Emit *e, Sym name)
{
    for (uint32_t i = 0; i < e->cx->nslot; i++)
        if (strcmp(e->cx->slots[i], name) == 0)
            return i;
    BUG("codegen: the argument block has no slot '%s'", name);
}

static uint32_t slot_of_dim(const Emit *e, uint32_t id)
{
    if (e->cx->slot_of_sym)
        return e->cx->slot_of_sym[id];
    return slot_of(e, dim_sym_at(e->k->ir, id)->name);
}

/* The local that holds a symbol's extent. Names of symbols need not be distinct, ids are. */
static const char *extent_name(const Emit *e, uint32_t id)
{
    Sym name = dim_sym_at(e->k->ir, id)->name;
    return arena_printf(e->arena, "ext%u_%s", id, name);
}

/* ---- constants ---- */

static void emit_real(Emit *e, double v, bool single)
{
    if (isnan(v) || isinf(v)) {
        sb_puts(&e->sb, isnan(v) ? "MDL_NAN" : v > 0 ? "MDL_INF" : "(-MDL_INF)");
        return;
    }
    char text[40];
    snprintf(text, sizeof text, single ? "%.9g" : "%.17g", v);
    if (single) /* the shortest text that reads back */
        for (int digits = 1; digits < 9; digits++) {
            char shorter[40];
            snprintf(shorter, sizeof shorter, "%.*g", digits, v);
            if ((float)strtod(shorter, NULL) == (float)v) {
                memcpy(text, shorter, sizeof shorter);
                break;
            }
        }
    bool negative = v < 0 || (v == 0 && signbit(v));
    bool whole = !strpbrk(text, ".e");
    sb_printf(&e->sb, "%s%s%s%s%s", negative ? "(" : "", text, whole ? ".0" : "", single ? "f" : "",
              negative ? ")" : "");
}

static void emit_int(Emit *e, double v, KType t)
{
    if (t == KT_I32 && !(v > -2147483648.0 && v < 2147483648.0))
        sb_puts(&e->sb, v > 0 ? "INT32_MAX" : "INT32_MIN");
    else if (t == KT_I64 && !(v > -0x1p63 && v < 0x1p63))
        sb_puts(&e->sb, v > 0 ? "INT64_MAX" : "INT64_MIN");
    else
        sb_printf(&e->sb, v < 0 ? "(%lld)" : "%lld", (long long)v);
}

static void emit_const(Emit *e, const KExpr *x)
{
    switch (x->type) {
    case KT_F32:
    case KT_F64:
        emit_real(e, x->num, x->type == KT_F32);
        return;
    case KT_I32:
    case KT_I64:
    case KT_BOOL:
        emit_int(e, x->num, x->type);
        return;
    case KT_VF:
        sb_puts(&e->sb, "mdl_set1_vf(");
        emit_real(e, x->num, true);
        sb_putc(&e->sb, ')');
        return;
    case KT_VI:
        sb_puts(&e->sb, "mdl_set1_vi(");
        emit_int(e, x->num, KT_I32);
        sb_putc(&e->sb, ')');
        return;
    case KT_PTR:
        break;
    }
    BUG("codegen: constant of type %d", (int)x->type);
}

/* ---- expressions ---- */

static void emit_extent(Emit *e, const Dim *d)
{
    sb_puts(&e->sb, d->nterm > 1 ? "(" : "");
    for (uint32_t i = 0; i < d->nterm; i++) {
        const DimTerm *t = &d->term[i];
        int64_t coef = t->coef;
        if (i > 0)
            sb_puts(&e->sb, coef < 0 ? " - " : " + ");
        else if (coef < 0)
            sb_putc(&e->sb, '-');
        coef = coef < 0 ? -coef : coef;
        if (coef != 1 || t->nsym == 0)
            sb_printf(&e->sb, "%lld%s", (long long)coef, t->nsym ? " * " : "");
        for (uint32_t s = 0; s < t->nsym; s++)
            sb_printf(&e->sb, "%s%s", s > 0 ? " * " : "", extent_name(e, t->sym[s]));
    }
    sb_puts(&e->sb, d->nterm > 1 ? ")" : "");
}

static void emit_index(Emit *e, const KExpr *x, int prec)
{
    static const char *const op[] = {
        [KI_ADD] = " + ", [KI_SUB] = " - ", [KI_MUL] = " * ", [KI_DIV] = " / ", [KI_MOD] = " % "};
    if (x->iop == KI_MIN || x->iop == KI_MAX) {
        sb_puts(&e->sb, x->iop == KI_MIN ? "mdl_lo(" : "mdl_hi(");
        emit_expr(e, x->arg[0], PREC_ANY);
        sb_puts(&e->sb, ", ");
        emit_expr(e, x->arg[1], PREC_ANY);
        sb_putc(&e->sb, ')');
        return;
    }
    int own = x->iop == KI_ADD || x->iop == KI_SUB ? PREC_SUM : PREC_PRODUCT;
    bool wrap = own < prec;
    sb_puts(&e->sb, wrap ? "(" : "");
    emit_expr(e, x->arg[0], own);
    sb_puts(&e->sb, op[x->iop]);
    /* the right side of - / % needs parentheses at equal precedence, and * keeps its grouping */
    emit_expr(e, x->arg[1], x->iop == KI_ADD ? own : own + 1);
    sb_puts(&e->sb, wrap ? ")" : "");
}

static void emit_place(Emit *e, uint32_t buf, const KExpr *index, bool address)
{
    sb_printf(&e->sb, "%s%s[", address ? "&" : "", e->k->bufs.at[buf].name);
    emit_expr(e, index, PREC_ANY);
    sb_putc(&e->sb, ']');
}

static bool is_narrow_float(DType dt)
{
    return dtype_is_float(dt) && dtype_info(dt)->bytes < 4;
}

/* What a dialect pattern talks about. */
typedef struct Access {
    uint32_t buf;
    const KExpr *index, *lanes, *value;
} Access;

static void emit_access(Emit *e, const char *pattern, const Access *at)
{
    for (const char *c = pattern; *c; c++) {
        if (*c != '%') {
            sb_putc(&e->sb, *c);
            continue;
        }
        c++;
        if (*c == 'n')
            sb_puts(&e->sb, dtype_info(e->k->bufs.at[at->buf].dtype)->name);
        else if (*c == 'p')
            emit_place(e, at->buf, at->index, true);
        else if (*c == 'l')
            emit_expr(e, at->lanes, PREC_ANY);
        else if (*c == 'v' && at->value)
            emit_expr(e, at->value, PREC_ANY);
        else if (*c == 'v')
            emit_place(e, at->buf, at->index, false);
        else
            BUG("codegen: dialect %s: %%%c", e->d->name, *c);
    }
}

static void emit_load(Emit *e, const KExpr *x)
{
    Access at = {.buf = x->buf, .index = x->index, .lanes = x->lanes};
    if (ktype_is_vector(x->type))
        emit_access(e,
                    x->lanes     ? e->d->vloadn
                    : x->aligned ? e->d->vload_aligned
                                 : e->d->vload,
                    &at);
    else if (is_narrow_float(e->k->bufs.at[x->buf].dtype))
        emit_access(e, e->d->widen, &at);
    else
        emit_place(e, x->buf, x->index, false);
}

static void emit_text(Emit *e, const KExpr *x)
{
    KType last = x->narg ? x->arg[x->narg - 1]->type : x->type;
    bool call = strncmp(x->text, "mdl_", 4) == 0;
    for (const char *c = x->text; *c; c++) {
        if (*c == '%' && c[1] == 't') {
            sb_puts(&e->sb, ktype_suffix(last));
            c++;
        } else if (*c == '%' && c[1] >= '0' && c[1] <= '9') {
            uint32_t i = (uint32_t)(*++c - '0');
            ASSERT(i < x->narg);
            emit_expr(e, x->arg[i], call ? PREC_ANY : PREC_UNARY);
        } else {
            sb_putc(&e->sb, *c);
        }
    }
}

static void emit_slot(Emit *e, const KExpr *x)
{
    const char *pattern = x->type == KT_F64 ? e->d->slot_real : e->d->slot_int;
    const char *mark = strstr(pattern, "%i");
    ASSERT(mark);
    sb_putn(&e->sb, pattern, (size_t)(mark - pattern));
    sb_printf(&e->sb, "%u%s", slot_of(e, x->name), mark + 2);
}

static void emit_expr(Emit *e, const KExpr *x, int prec)
{
    switch (x->kind) {
    case KE_CONST:
        emit_const(e, x);
        return;
    case KE_VAR:
        sb_puts(&e->sb, x->name);
        return;
    case KE_EXTENT: {
        bool product =
            x->dim->nterm == 1 && (x->dim->term[0].nsym > 1 || x->dim->term[0].coef != 1);
        sb_puts(&e->sb, product && prec > PREC_SUM ? "(" : "");
        emit_extent(e, x->dim);
        sb_puts(&e->sb, product && prec > PREC_SUM ? ")" : "");
        return;
    }
    case KE_SLOT:
        emit_slot(e, x);
        return;
    case KE_LOAD:
        emit_load(e, x);
        return;
    case KE_ADDR:
        emit_place(e, x->buf, x->index, true);
        return;
    case KE_TEXT:
        emit_text(e, x);
        return;
    case KE_INDEX:
        emit_index(e, x, prec);
        return;
    }
}

/* ---- statements ---- */

static void emit_block(Emit *e, const KBlock *b);

static void indent(Emit *e)
{
    sb_printf(&e->sb, "%*s", e->depth * 4, "");
}

static void emit_body(Emit *e, const KBlock *b)
{
    sb_puts(&e->sb, " {\n");
    e->depth++;
    emit_block(e, b);
    e->depth--;
    indent(e);
    sb_puts(&e->sb, "}\n");
}

static void emit_for(Emit *e, const KStmt *s)
{
    int64_t step;
    if (s->unroll)
        sb_puts(&e->sb, e->d->unroll);
    if (s->rolled)
        sb_puts(&e->sb, e->d->rolled);
    indent(e);
    sb_printf(&e->sb, "for (%s %s = ", e->d->type[KT_I64], s->name);
    emit_expr(e, s->lo, PREC_ANY);
    sb_printf(&e->sb, "; %s < ", s->name);
    emit_expr(e, s->hi, PREC_SUM);
    if (ke_is_int(s->step, &step) && step == 1) {
        sb_printf(&e->sb, "; %s++", s->name);
    } else {
        sb_printf(&e->sb, "; %s += ", s->name);
        emit_expr(e, s->step, PREC_ANY);
    }
    sb_putc(&e->sb, ')');
    emit_body(e, &s->body);
}

static void emit_if(Emit *e, const KStmt *s)
{
    bool wrapped = s->value->kind == KE_TEXT && s->value->text[0] == '(';
    sb_puts(&e->sb, wrapped ? "if " : "if (");
    emit_expr(e, s->value, PREC_ANY);
    sb_puts(&e->sb, wrapped ? "" : ")");
    emit_body(e, &s->body);
}

static void emit_store(Emit *e, const KStmt *s)
{
    Access at = {.buf = s->buf, .index = s->index, .lanes = s->lanes, .value = s->value};
    if (ktype_is_vector(s->value->type)) {
        emit_access(e,
                    s->lanes     ? e->d->vstoren
                    : s->aligned ? e->d->vstore_aligned
                                 : e->d->vstore,
                    &at);
    } else {
        emit_place(e, s->buf, s->index, false);
        sb_puts(&e->sb, " = ");
        if (is_narrow_float(e->k->bufs.at[s->buf].dtype))
            emit_access(e, e->d->narrow, &at);
        else
            emit_expr(e, s->value, PREC_ANY);
    }
    sb_puts(&e->sb, ";\n");
}

/* Text of the program inside a comment must not end it. */
static void emit_comment(Emit *e, const char *text)
{
    for (const char *c = text; *c; c++) {
        if (c[0] == '*' && c[1] == '/')
            sb_puts(&e->sb, "* ");
        else if (*c == '\n')
            sb_puts(&e->sb, "\n * ");
        else
            sb_putc(&e->sb, *c);
    }
}

static void emit_quoted(Emit *e, const char *text)
{
    sb_putc(&e->sb, '"');
    for (const char *c = text; *c; c++) {
        if (*c == '"' || *c == '\\')
            sb_putc(&e->sb, '\\');
        sb_putc(&e->sb, *c == '\n' ? ' ' : *c);
    }
    sb_putc(&e->sb, '"');
}

/* Where what follows comes from, once for all statements of one place. */
static void emit_place_in_model(Emit *e, Span span, Sym path)
{
    if (!e->cx->diags || span.file == 0)
        return;
    if (span.file == e->span.file && span.lo == e->span.lo && path == e->path)
        return;
    uint32_t line, column, old = e->line;
    diags_place(e->cx->diags, span, &line, &column);
    bool same = span.file == e->span.file && line == old && path == e->path;
    e->span = span;
    e->path = path;
    e->line = line;
    if (same)
        return;
    sb_printf(&e->sb, "#line %u ", line);
    emit_quoted(e, diags_path(e->cx->diags, span.file));
    if (path && *path) {
        sb_puts(&e->sb, " /* ");
        emit_comment(e, path);
        sb_puts(&e->sb, " */");
    }
    sb_putc(&e->sb, '\n');
}

static void emit_stmt(Emit *e, const KStmt *s)
{
    emit_place_in_model(e, s->span, s->path);
    if (s->kind != KS_FOR)
        indent(e);
    switch (s->kind) {
    case KS_FOR:
        emit_for(e, s);
        return;
    case KS_IF:
        emit_if(e, s);
        return;
    case KS_LET:
    case KS_VAR:
        sb_printf(&e->sb, "%s%s %s = ", s->kind == KS_LET ? "const " : "", e->d->type[s->type],
                  s->name);
        emit_expr(e, s->value, PREC_ANY);
        sb_puts(&e->sb, ";\n");
        return;
    case KS_SET:
        sb_printf(&e->sb, "%s = ", s->name);
        emit_expr(e, s->value, PREC_ANY);
        sb_puts(&e->sb, ";\n");
        return;
    case KS_STORE:
        emit_store(e, s);
        return;
    case KS_CALL:
        emit_expr(e, s->value, PREC_ANY);
        sb_puts(&e->sb, ";\n");
        return;
    case KS_LOCAL:
        sb_printf(&e->sb, "%s %s[%lld]%s;\n", e->d->storage[e->k->bufs.at[s->buf].dtype], s->name,
                  (long long)s->count, e->d->aligned);
        return;
    }
}

static void emit_block(Emit *e, const KBlock *b)
{
    for (uint32_t i = 0; i < b->n; i++)
        emit_stmt(e, b->at[i]);
}

/* ---- what a phase uses ---- */

typedef struct Uses {
    bool *buf; /* by buffer number */
    bool *sym; /* by DimSym id */
} Uses;

static void use_dim(const Uses *u, const Dim *d)
{
    for (uint32_t i = 0; i < d->nterm; i++)
        for (uint32_t s = 0; s < d->term[i].nsym; s++)
            u->sym[d->term[i].sym[s]] = true;
}

static void use_expr(const Uses *u, const KExpr *x)
{
    if (!x)
        return;
    if (x->kind == KE_LOAD || x->kind == KE_ADDR)
        u->buf[x->buf] = true;
    if (x->kind == KE_EXTENT)
        use_dim(u, x->dim);
    use_expr(u, x->index);
    use_expr(u, x->lanes);
    for (uint32_t i = 0; i < x->narg; i++)
        use_expr(u, x->arg[i]);
}

static void use_block(const Uses *u, const KBlock *b)
{
    for (uint32_t i = 0; i < b->n; i++) {
        const KStmt *s = b->at[i];
        const KExpr *const part[] = {s->lo, s->hi, s->step, s->value, s->index, s->lanes};
        for (size_t p = 0; p < COUNT(part); p++)
            use_expr(u, part[p]);
        if (s->kind == KS_STORE)
            u->buf[s->buf] = true;
        use_block(u, &s->body);
    }
}

/* ---- phases ---- */

/* Inputs and outputs may be the same memory, so only private memory is restrict. */
static void emit_pointer(Emit *e, const KBuf *b)
{
    const char *type = e->d->storage[b->dtype], *constant = b->kind == KB_IN ? "const " : "";
    indent(e);
    switch (b->kind) {
    case KB_IN:
    case KB_OUT:
    case KB_TABLE:
        sb_printf(&e->sb, "%s%s *%s = ", constant, type, b->name);
        if (e->d->casts)
            sb_printf(&e->sb, "(%s%s *)", constant, type);
        sb_printf(&e->sb, b->kind == KB_TABLE ? "row->p[%u];\n" : "a->buf[%u];\n", b->arg);
        return;
    case KB_SHARED:
        sb_printf(&e->sb, "%s *%s = MDL_SHARED(%s, %llu);\n", type, b->name, type,
                  (unsigned long long)b->offset);
        return;
    case KB_WORKSPACE:
    case KB_SCRATCH:
        sb_printf(&e->sb, "%s *%s%s = (%s *)((char *)%s + %llu);\n", type, e->d->restricted,
                  b->name, type, b->kind == KB_SCRATCH ? "scratch" : "a->workspace",
                  (unsigned long long)b->offset);
        return;
    case KB_LOCAL:
        return;
    }
}

/* %f, %t, %b, %m, %c of a head. */
static void emit_head_part(Emit *e, const KPhase *p, char part)
{
    if (part == 'f')
        sb_puts(&e->sb, p->name);
    else if (part == 't')
        sb_printf(&e->sb, "%u", p->threads);
    else if (part == 'b')
        sb_printf(&e->sb, "%u", p->blocks ? p->blocks : 1);
    else
        sb_printf(&e->sb, "%u", part == 'm' ? e->k->maps.n : p->stays);
}

static void emit_head(Emit *e, const KPhase *p)
{
    const char *head = p->stays > 1   ? e->d->head_cluster
                       : e->k->maps.n ? e->d->head_maps
                                      : e->d->head;
    for (const char *c = head; *c; c++) {
        if (*c != '%')
            sb_putc(&e->sb, *c);
        else
            emit_head_part(e, p, *++c);
    }
    sb_printf(&e->sb, "\n{\n%s", e->d->open);
    if (p->waits && !p->stays)
        sb_puts(&e->sb, e->d->launch);
}

/* Which task the team of this thread runs; teams beyond the last have none. */
static void emit_task(Emit *e, const KPhase *p)
{
    const Kernel *k = e->k;
    uint32_t teams = p->threads / p->team;
    int64_t tasks;
    if (teams == 1)
        sb_puts(&e->sb, "    const int64_t task = mdl_block();\n");
    else
        sb_printf(&e->sb, "    const int64_t task = (int64_t)mdl_block() * %u + %s;\n", teams,
                  p->team == 1 ? "mdl_thread()" : "mdl_warp()");
    if (!dim_is_const(p->tasks, &tasks) || tasks % teams) {
        sb_puts(&e->sb, "    if (task >= ");
        emit_extent(e, p->tasks);
        sb_puts(&e->sb, ")\n        return;\n");
    }
    bool scratch = false;
    for (uint32_t i = 0; i < k->bufs.n; i++)
        scratch = scratch || k->bufs.at[i].kind == KB_SCRATCH;
    if (scratch)
        sb_printf(&e->sb, "    void *scratch = (char *)a->workspace + %llu + task * %llu;\n",
                  (unsigned long long)k->workspace, (unsigned long long)k->scratch);
}

/* From here on memory of the device may be touched, and extents lie there. */
static void emit_wait(Emit *e, const KPhase *p, const Uses *u)
{
    if (p->waits)
        sb_puts(&e->sb, e->d->wait);
    for (uint32_t id = 0; id < dim_sym_count(e->k->ir); id++)
        if (u->sym[id])
            sb_printf(&e->sb, "    const int64_t %s = a->block[%u];\n", extent_name(e, id),
                      slot_of_dim(e, id));
}

static void emit_phase(Emit *e, const KPhase *p)
{
    Uses u = {.buf = NEW_ARRAY(e->arena, bool, e->k->bufs.n + 1),
              .sym = NEW_ARRAY(e->arena, bool, dim_sym_count(e->k->ir) + 1)};
    use_block(&u, &p->body);
    if (p->threads)
        use_dim(&u, p->tasks);
    if (p->doc && *p->doc) {
        sb_puts(&e->sb, "\n/* ");
        emit_comment(e, p->doc);
        sb_puts(&e->sb, " */");
    }
    sb_putc(&e->sb, '\n');
    emit_place_in_model(e, e->k->span, e->k->path);
    emit_head(e, p);
    e->depth = 1;
    bool early = p->waits && p->ahead.n > 0;
    if (!early)
        emit_wait(e, p, &u);
    if (p->threads && !p->stays)
        emit_task(e, p);
    bool table = false;
    for (uint32_t i = 0; i < e->k->bufs.n; i++)
        table = table || (u.buf[i] && e->k->bufs.at[i].kind == KB_TABLE);
    if (table)
        sb_printf(&e->sb, "    %s", e->d->row);
    for (uint32_t i = 0; i < e->k->bufs.n; i++)
        if (u.buf[i] && e->k->bufs.at[i].kind != KB_LOCAL)
            emit_pointer(e, &e->k->bufs.at[i]);
    if (early) {
        emit_block(e, &p->ahead);
        emit_wait(e, p, &u);
    }
    emit_block(e, &p->body);
    sb_puts(&e->sb, "}\n");
}

const char *codegen_emit(const Kernel *k, const EmitCx *cx, Arena *arena)
{
    const Dialect *d = k->threads ? &dialect_cuda : &dialect_c;
    Emit e = {.k = k, .d = d, .cx = cx, .arena = arena, .sb = sb_new(arena)};
    sb_puts(&e.sb, "/* ");
    emit_comment(&e, k->doc ? k->doc : k->name);
    sb_puts(&e.sb, " */\n");
    sb_printf(&e.sb, "#define MDL_W %u\n%s", k->width, e.d->include);
    for (uint32_t i = 0; i < k->phases.n; i++)
        emit_phase(&e, &k->phases.at[i]);
    return sb_text(&e.sb);
}
