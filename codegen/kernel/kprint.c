/* kprint.c: a readable dump of the loop IR, for people and tests. It is not C: loads are
 * name[index], vectors say :lanes, extents print as dims. */
#include "kernel.h"

#include <math.h>

typedef struct Printer {
    const Kernel *k;
    StrBuf *sb;
} Printer;

static void expr(Printer *p, const KExpr *e);

static void print_template(Printer *p, const KExpr *e)
{
    KType last = e->narg ? e->arg[e->narg - 1]->type : e->type;
    for (const char *c = e->text; *c; c++) {
        if (*c == '%' && c[1] == 't') {
            sb_puts(p->sb, ktype_suffix(last));
            c++;
        } else if (*c == '%' && c[1] >= '0' && c[1] <= '9') {
            uint32_t i = (uint32_t)(*++c - '0');
            ASSERT(i < e->narg);
            expr(p, e->arg[i]);
        } else {
            sb_putc(p->sb, *c);
        }
    }
}

static void place(Printer *p, uint32_t buf, const KExpr *index, const KExpr *lanes, bool vector)
{
    sb_printf(p->sb, "%s[", p->k->bufs.at[buf].name);
    expr(p, index);
    if (vector) {
        sb_puts(p->sb, " : ");
        if (lanes)
            expr(p, lanes);
        else
            sb_puts(p->sb, "W");
    }
    sb_putc(p->sb, ']');
}

static void print_index(Printer *p, const KExpr *e)
{
    static const char *const op[] = {" + ", " - ", " * ", " / ", " % ", " min ", " max "};
    sb_putc(p->sb, '(');
    expr(p, e->arg[0]);
    sb_puts(p->sb, op[e->iop]);
    expr(p, e->arg[1]);
    sb_putc(p->sb, ')');
}

static void expr(Printer *p, const KExpr *e)
{
    switch (e->kind) {
    case KE_CONST:
        sb_double(p->sb, e->num);
        return;
    case KE_VAR:
        sb_puts(p->sb, e->name);
        return;
    case KE_EXTENT:
        sb_putc(p->sb, '<');
        dim_print(p->k->ir, e->dim, p->sb);
        sb_putc(p->sb, '>');
        return;
    case KE_SLOT:
        sb_printf(p->sb, "$%s", e->name);
        return;
    case KE_LOAD:
        place(p, e->buf, e->index, e->lanes, ktype_is_vector(e->type));
        return;
    case KE_ADDR:
        sb_putc(p->sb, '&');
        place(p, e->buf, e->index, NULL, false);
        return;
    case KE_TEXT:
        print_template(p, e);
        return;
    case KE_INDEX:
        print_index(p, e);
        return;
    }
}

static void block(Printer *p, const KBlock *b, int depth);

static void print_for(Printer *p, const KStmt *s, int depth)
{
    sb_printf(p->sb, "%sfor %s in ", s->unroll ? "unrolled " : s->rolled ? "rolled " : "", s->name);
    expr(p, s->lo);
    sb_puts(p->sb, " .. ");
    expr(p, s->hi);
    sb_puts(p->sb, " step ");
    expr(p, s->step);
    sb_puts(p->sb, " {\n");
    block(p, &s->body, depth + 1);
    sb_printf(p->sb, "%*s}", depth * 4, "");
}

static void stmt(Printer *p, const KStmt *s, int depth)
{
    switch (s->kind) {
    case KS_FOR:
        print_for(p, s, depth);
        return;
    case KS_IF:
        sb_puts(p->sb, "if ");
        expr(p, s->value);
        sb_puts(p->sb, " {\n");
        block(p, &s->body, depth + 1);
        sb_printf(p->sb, "%*s}", depth * 4, "");
        return;
    case KS_LET:
    case KS_VAR:
        sb_printf(p->sb, "%s %s%s = ", s->kind == KS_LET ? "let" : "var", s->name,
                  ktype_suffix(s->type));
        expr(p, s->value);
        return;
    case KS_SET:
        sb_printf(p->sb, "%s := ", s->name);
        expr(p, s->value);
        return;
    case KS_STORE:
        place(p, s->buf, s->index, s->lanes, ktype_is_vector(s->value->type));
        sb_puts(p->sb, " := ");
        expr(p, s->value);
        return;
    case KS_CALL:
        expr(p, s->value);
        return;
    case KS_LOCAL:
        sb_printf(p->sb, "local %s[%lld]%s", s->name, (long long)s->count, ktype_suffix(s->type));
        return;
    }
}

static void block(Printer *p, const KBlock *b, int depth)
{
    for (uint32_t i = 0; i < b->n; i++) {
        sb_printf(p->sb, "%*s", depth * 4, "");
        stmt(p, b->at[i], depth);
        sb_putc(p->sb, '\n');
    }
}

void kernel_print(const Kernel *k, StrBuf *sb)
{
    static const char *const kind[] = {"in",      "out",    "table", "workspace",
                                       "scratch", "shared", "local"};
    Printer p = {k, sb};
    sb_printf(sb, "kernel %s width %u scratch %llu workspace %llu\n", k->name, k->width,
              (unsigned long long)k->scratch, (unsigned long long)k->workspace);
    for (uint32_t i = 0; i < k->bufs.n; i++) {
        const KBuf *b = &k->bufs.at[i];
        if (b->kind == KB_LOCAL)
            continue;
        sb_printf(sb, "  %s %s: %s[", kind[b->kind], b->name, dtype_info(b->dtype)->name);
        if (b->count)
            dim_print(k->ir, b->count, sb);
        sb_puts(sb, "]\n");
    }
    if (k->again)
        sb_printf(sb, "all phases %u times\n", k->again + 1);
    for (uint32_t i = 0; i < k->phases.n; i++) {
        const KPhase *ph = &k->phases.at[i];
        sb_printf(sb, "phase %s tasks ", ph->name);
        dim_print(k->ir, ph->tasks, sb);
        if (ph->threads)
            sb_printf(sb, " threads %u team %u shared %u", ph->threads, ph->team, ph->shared);
        sb_puts(sb, "\n");
        if (ph->ahead.n > 0) {
            sb_puts(sb, " before it waits:\n");
            block(&p, &ph->ahead, 1);
            sb_puts(sb, " then:\n");
        }
        block(&p, &ph->body, 1);
    }
}
