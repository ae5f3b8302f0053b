/* kverify.c: invariants of the loop IR, checked after every lowering. A broken kernel is our bug, so
 * the verifier prints the kernel and stops. Bounds are not proved here: the tests poison buffers. */
#include "kernel.h"

typedef struct Checker {
    const Kernel *k;
    const KPhase *phase;
    Map *types; /* Sym -> KType + 1 of the names in scope */
    VEC(Sym) names;
} Checker;

_Noreturn static void broken(const Checker *c, const char *what, const char *name)
{
    Arena *arena = arena_new();
    StrBuf sb = sb_new(arena);
    kernel_print(c->k, &sb);
    BUG("kernel %s: %s%s%s\n%s", c->k->name, what, name ? ": " : "", name ? name : "",
        sb_text(&sb));
}

static void need(const Checker *c, bool ok, const char *what, const char *name)
{
    if (!ok)
        broken(c, what, name);
}

static void declare(Checker *c, Sym name, KType t)
{
    need(c, map_get(c->types, MAP_KEY(name)) == NULL, "name declared twice", name);
    map_put(c->types, MAP_KEY(name), (void *)(uintptr_t)(t + 1));
    VEC_PUSH(c->k->arena, &c->names, name);
}

/* Names of a block die with it; a tombstone keeps later uses of them wrong. */
enum { DEAD = 1000 };

static void leave(Checker *c, uint32_t mark)
{
    for (uint32_t i = mark; i < c->names.n; i++)
        map_put(c->types, MAP_KEY(c->names.at[i]), (void *)(uintptr_t)DEAD);
    c->names.n = mark;
}

static void use(const Checker *c, Sym name, KType t)
{
    uintptr_t have = (uintptr_t)map_get(c->types, MAP_KEY(name));
    need(c, have != 0 && have != DEAD, "name used outside its scope", name);
    need(c, have == (uintptr_t)t + 1, "name used as another type", name);
}

static void expr(const Checker *c, const KExpr *e);

static void check_place(const Checker *c, uint32_t buf, const KExpr *index, const KExpr *lanes)
{
    need(c, buf < c->k->bufs.n, "no such buffer", NULL);
    const KBuf *b = &c->k->bufs.at[buf];
    need(c, index != NULL && index->type == KT_I64, "index is not an integer", b->name);
    expr(c, index);
    if (lanes) {
        need(c, lanes->type == KT_I64, "lane count is not an integer", b->name);
        expr(c, lanes);
    }
    if (b->kind == KB_LOCAL)
        use(c, b->name, KT_PTR);
    if (b->kind == KB_IN || b->kind == KB_OUT)
        need(c, b->arg < c->k->narg, "argument out of range", b->name);
}

static void expr(const Checker *c, const KExpr *e)
{
    if (!e)
        broken(c, "missing expression", NULL);
    switch (e->kind) {
    case KE_CONST:
    case KE_EXTENT:
    case KE_SLOT:
        return;
    case KE_VAR:
        use(c, e->name, e->type);
        return;
    case KE_LOAD: {
        check_place(c, e->buf, e->index, e->lanes);
        KType t = ktype_of(c->k->bufs.at[e->buf].dtype);
        bool vector = ktype_is_vector(e->type);
        need(c, e->type == (vector ? ktype_vector(t) : t), "load of another type",
             c->k->bufs.at[e->buf].name);
        need(c, vector || !e->lanes, "lanes of a scalar load", c->k->bufs.at[e->buf].name);
        return;
    }
    case KE_ADDR:
        check_place(c, e->buf, e->index, NULL);
        return;
    case KE_TEXT:
    case KE_INDEX:
        need(c, e->kind == KE_INDEX || e->text != NULL, "expression without text", NULL);
        for (uint32_t i = 0; i < e->narg; i++)
            expr(c, e->arg[i]);
        return;
    }
}

static void block(Checker *c, const KBlock *b);

static void check_store(const Checker *c, const KStmt *s)
{
    check_place(c, s->buf, s->index, s->lanes);
    const KBuf *b = &c->k->bufs.at[s->buf];
    need(c, b->kind != KB_IN, "store to an input", b->name);
    expr(c, s->value);
    KType t = ktype_of(b->dtype);
    bool vector = ktype_is_vector(s->value->type);
    need(c, s->value->type == (vector ? ktype_vector(t) : t), "store of another type", b->name);
    need(c, vector || !s->lanes, "lanes of a scalar store", b->name);
}

static void check_loop(Checker *c, const KStmt *s)
{
    int64_t step;
    expr(c, s->lo);
    expr(c, s->hi);
    need(c, !ke_is_int(s->step, &step) || step > 0, "loop step is not positive", s->name);
    expr(c, s->step);
    uint32_t mark = c->names.n;
    declare(c, s->name, KT_I64);
    block(c, &s->body);
    leave(c, mark);
}

static void stmt(Checker *c, const KStmt *s)
{
    switch (s->kind) {
    case KS_FOR:
        check_loop(c, s);
        return;
    case KS_IF: {
        need(c, s->value->type == KT_BOOL, "condition is not a bool", NULL);
        expr(c, s->value);
        uint32_t mark = c->names.n;
        block(c, &s->body);
        leave(c, mark);
        return;
    }
    case KS_LET:
    case KS_VAR:
        expr(c, s->value);
        need(c, s->type == s->value->type, "initialised with another type", s->name);
        declare(c, s->name, s->type);
        return;
    case KS_SET:
        expr(c, s->value);
        need(c, s->type == s->value->type, "set to another type", s->name);
        use(c, s->name, s->type);
        return;
    case KS_STORE:
        check_store(c, s);
        return;
    case KS_CALL:
        need(c, s->value->kind == KE_TEXT, "call is not text", NULL);
        expr(c, s->value);
        return;
    case KS_LOCAL:
        need(c, s->count > 0, "empty local array", s->name);
        declare(c, s->name, KT_PTR);
        return;
    }
}

static void block(Checker *c, const KBlock *b)
{
    for (uint32_t i = 0; i < b->n; i++)
        stmt(c, b->at[i]);
}

/* What stands before the wait reads neither memory of the device nor extents, which lie there, too. */
static void only_known(const Checker *c, const KExpr *e)
{
    if (!e)
        return;
    int64_t v;
    need(c, e->kind != KE_LOAD && e->kind != KE_SLOT, "a read before the launch before has ended",
         NULL);
    need(c, e->kind != KE_EXTENT || dim_is_const(e->dim, &v), "an extent before the wait", NULL);
    only_known(c, e->index);
    for (uint32_t i = 0; i < e->narg; i++)
        only_known(c, e->arg[i]);
}

static void only_asks(const Checker *c, const KBlock *b)
{
    for (uint32_t i = 0; i < b->n; i++) {
        const KStmt *s = b->at[i];
        need(c, s->kind != KS_STORE && s->kind != KS_FOR, "more than asking before the wait", NULL);
        only_known(c, s->value);
        only_asks(c, &s->body);
    }
}

static void check_ahead(Checker *c)
{
    const KPhase *p = c->phase;
    int64_t tasks;
    if (p->ahead.n == 0)
        return;
    need(c, p->threads > 0 && p->team == p->threads && !p->stays && dim_is_const(p->tasks, &tasks),
         "a phase that cannot begin early", NULL);
    uint32_t mark = c->names.n;
    only_asks(c, &p->ahead);
    block(c, &p->ahead);
    leave(c, mark);
}

void kernel_verify(const Kernel *k)
{
    for (uint32_t i = 0; i < k->phases.n; i++) {
        const KPhase *p = &k->phases.at[i];
        if (p->threads &&
            (p->threads % 32 || p->threads > 1024 || !p->team || p->threads % p->team))
            BUG("kernel %s: blocks of %u threads in teams of %u", p->name, p->threads, p->team);
        Checker c = {.k = k, .phase = &k->phases.at[i], .types = map_new(k->arena)};
        declare(&c, sym(k->ir->syms, "task"), KT_I64);
        check_ahead(&c);
        block(&c, &c.phase->body);
    }
}
