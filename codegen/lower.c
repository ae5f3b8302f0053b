/* lower.c: a group as a kernel: arguments, scopes, and values by pulling. lower.h tells the idea. */
#include "lower.h"
#include "library.h"

#include <string.h>

enum { GPU_THREADS = 128 }; /* of a block whose threads work alone */

/* ---- small helpers ---- */

int64_t ceil_div(int64_t a, int64_t b)
{
    ASSERT(a >= 0 && b > 0);
    return (a + b - 1) / b;
}

int64_t round_up(int64_t n, int64_t to)
{
    return ceil_div(n, to) * to;
}

int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t dim_fixed(const Dim *d)
{
    int64_t n;
    bool ok = dim_is_const(d, &n);
    ASSERT(ok);
    return n;
}

const Dim *dims_product(Ir *ir, const Dim *const *dims, uint32_t n)
{
    const Dim *p = dim_const(ir, 1);
    for (uint32_t i = 0; i < n; i++)
        p = dim_mul(ir, p, dims[i]);
    return p;
}

const KExpr *ke_add(Lower *lo, const KExpr *a, const KExpr *b)
{
    return ke_index(lo->k, KI_ADD, a, b);
}

const KExpr *ke_sub(Lower *lo, const KExpr *a, const KExpr *b)
{
    return ke_index(lo->k, KI_SUB, a, b);
}

const KExpr *ke_mul(Lower *lo, const KExpr *a, const KExpr *b)
{
    return ke_index(lo->k, KI_MUL, a, b);
}

const KExpr *ke_min(Lower *lo, const KExpr *a, const KExpr *b)
{
    return ke_index(lo->k, KI_MIN, a, b);
}

const KExpr *ke_apply(Lower *lo, KType t, const char *text, const KExpr *a, const KExpr *b)
{
    const KExpr *arg[] = {a, b};
    return ke_text(lo->k, t, text, arg, b ? 2 : 1);
}

const KExpr *lower_task(Lower *lo)
{
    return ke_var(lo->k, KT_I64, sym(lo->ir->syms, "task"));
}

bool dtype_has_vector(DType dt)
{
    return dt != DT_F64 && dt != DT_I64;
}

int64_t lower_config(const Lower *lo, const char *name)
{
    return lower_config_of(lo, 0, name);
}

/* The place of a member in the tuple, or -1. */
static int64_t config_place(const Lower *lo, const char *name)
{
    const char *at = class_info(lo->cls)->config[lo->target->kind].members;
    size_t n = strlen(name);
    for (int64_t i = 0; *at; i++) {
        size_t len = strcspn(at, " ");
        if (len == n && memcmp(at, name, n) == 0)
            return i;
        at += len + strspn(at + len, " ");
    }
    return -1;
}

bool lower_has_config(const Lower *lo, const char *name)
{
    return config_place(lo, name) >= 0;
}

int64_t lower_config_of(const Lower *lo, uint32_t part, const char *name)
{
    int64_t place = config_place(lo, name);
    if (place < 0)
        BUG("codegen: class %s has no config member %s", class_info(lo->cls)->name, name);
    uint32_t from = part * class_info(lo->cls)->config[lo->target->kind].n;
    from = from < lo->config.n ? from : 0;
    ASSERT(from + place < lo->config.n);
    return lo->config.ints[from + place];
}

/* ---- scopes ---- */

static void push_scope(Lower *lo, KBlock *block, KStmt *stmt)
{
    Scope *s = NEW(lo->arena, Scope);
    s->parent = lo->scope;
    s->depth = lo->scope ? lo->scope->depth + 1 : 0;
    s->block = block;
    s->stmt = stmt;
    s->memo = map_new(lo->arena);
    lo->scope = s;
}

void scope_begin(Lower *lo, KPhase *phase)
{
    lo->scope = NULL;
    lo->guard = NULL;
    lo->seed_scope = NULL;
    lo->nvar = 0;
    lo->team = 0;
    lo->team_again = false;
    push_scope(lo, &phase->body, NULL);
}

static const Ix *add_var(Lower *lo, const LowerVar *proto)
{
    ASSERT(lo->nvar < LOWER_MAX_VARS);
    lo->var[lo->nvar] = *proto;
    lo->var[lo->nvar].scope = lo->scope;
    return ix_var(lo->ir, lo->nvar++, proto->extent);
}

const Ix *scope_var(Lower *lo, const KExpr *at, const Dim *extent)
{
    return add_var(lo, &(LowerVar){.at = at, .extent = extent});
}

const Ix *scope_vector_var(Lower *lo, const KExpr *at, const Dim *extent, const KExpr *lanes)
{
    return add_var(lo,
                   &(LowerVar){.at = at, .extent = extent, .vector = !lo->scalar, .lanes = lanes});
}

/* A statement with a body, made but not yet part of the parent: values that move out of the body
 * are then written before it. */
static void push_stmt(Lower *lo, KBlock *holder)
{
    KStmt *s = VEC_LAST(holder);
    push_scope(lo, &s->body, s);
}

const Ix *scope_loop(Lower *lo, const LoopSpec *spec)
{
    KBlock holder = {0};
    Sym name = kernel_name(lo->k, spec->stem);
    KStmt *s = ks_for(lo->k, &holder, name, spec->lo, spec->hi);
    if (spec->step)
        s->step = ke_int(lo->k, spec->step);
    s->unroll = spec->unroll;
    s->rolled = spec->rolled;
    push_stmt(lo, &holder);
    const KExpr *at = ke_var(lo->k, KT_I64, name);
    return add_var(lo, &(LowerVar){.at = at,
                                   .extent = spec->extent,
                                   .vector = spec->vector && !lo->scalar,
                                   .lanes = spec->lanes});
}

void scope_if(Lower *lo, const KExpr *cond)
{
    KBlock holder = {0};
    ks_if(lo->k, &holder, cond);
    push_stmt(lo, &holder);
}

void scope_plain(Lower *lo)
{
    push_scope(lo, lo->scope->block, NULL);
}

void scope_end(Lower *lo)
{
    Scope *s = lo->scope;
    ASSERT(s && s->parent);
    while (lo->nvar > 0 && lo->var[lo->nvar - 1].scope == s)
        lo->nvar--;
    lo->scope = s->parent;
    if (s->stmt)
        VEC_PUSH(lo->arena, lo->scope->block, s->stmt);
}

/* ---- values ---- */

typedef struct Named {
    const Node *node;
    const Ix *const *ix;
    const KExpr *value;
} Named;

static uint64_t memo_key(const Node *n, const Ix *const *ix)
{
    uint64_t h = hash_mix(0x76, n->id);
    for (uint32_t i = 0; i < n->type->rank; i++)
        h = hash_mix(h, ix[i]->id);
    return h;
}

static const KExpr *memo_find(Lower *lo, const Scope *outermost, const Node *n, const Ix *const *ix)
{
    uint64_t key = memo_key(n, ix);
    for (const Scope *s = lo->scope; s && s->depth >= outermost->depth; s = s->parent) {
        const Named *found = map_get(s->memo, key);
        if (found && found->node == n &&
            memcmp(found->ix, ix, n->type->rank * sizeof(const Ix *)) == 0)
            return found->value;
    }
    return NULL;
}

static void memo_add(Lower *lo, const Node *n, const Ix *const *ix, const KExpr *value)
{
    Named *m = NEW(lo->arena, Named);
    m->node = n;
    m->ix = COPY_ARRAY(lo->arena, const Ix *, ix, n->type->rank);
    m->value = value;
    map_put(lo->scope->memo, memo_key(n, ix), m);
}

/* The outermost scope that has all variables n needs at ix. */
static Scope *home_of(Lower *lo, const Node *n, const Ix *const *ix)
{
    Scope *home = lo->scope;
    while (home->parent)
        home = home->parent;
    for (uint32_t v = 0; v < lo->nvar; v++) {
        Scope *s = lo->var[v].scope;
        for (uint32_t i = 0; i < n->type->rank && s->depth > home->depth; i++)
            if (ix_uses(ix[i], v))
                home = s;
    }
    if (lo->seeded[n->id] && lo->seed_scope && lo->seed_scope->depth > home->depth)
        home = lo->seed_scope;
    if (lo->guard && lo->guard->depth > home->depth)
        home = lo->guard;
    return home;
}

const KExpr *lower_spread(Lower *lo, const KExpr *e)
{
    switch (e->type) {
    case KT_F32:
        if (e->kind == KE_CONST)
            return ke_num(lo->k, KT_VF, e->num);
        return ke_apply(lo, KT_VF, "mdl_set1_vf(%0)", e, NULL);
    case KT_I32:
        return ke_apply(lo, KT_VI, "mdl_set1_vi(%0)", e, NULL);
    case KT_BOOL:
        return ke_apply(lo, KT_VI, "mdl_mask_vi(%0)", e, NULL);
    case KT_VF:
    case KT_VI:
        return e;
    case KT_F64:
    case KT_I64:
    case KT_PTR:
        break;
    }
    BUG("codegen: %s cannot be spread", ktype_suffix(e->type));
}

const KExpr *lower_fit(Lower *lo, DType dt, const KExpr *e)
{
    bool narrow = dtype_info(dt)->bytes < 4 && dtype_info(dt)->kind != DK_BOOLEAN;
    if (!narrow)
        return e;
    const char *how = dtype_is_float(dt) ? "fit" : "wrap";
    const char *text = arena_printf(lo->arena, "mdl_%s_%s%%t(%%0)", how, dtype_info(dt)->name);
    return ke_apply(lo, e->type, text, e, NULL);
}

static bool elem_has_vector(const Node *n)
{
    bool ok = dtype_has_vector(n->type->dtype);
    for (uint32_t k = 0; k < n->nin; k++)
        ok = ok && dtype_has_vector(n->in[k]->type->dtype);
    return ok;
}

static const KExpr *lower_elem(Lower *lo, const Node *n, const Ix *const *ix)
{
    const KExpr *arg[3];
    ASSERT(n->nin >= 1 && n->nin <= 3);
    if (!elem_has_vector(n) && index_vector_var(lo, ix, n->type->rank) != NO_VAR)
        return NULL;
    bool vector = false;
    for (uint32_t k = 0; k < n->nin; k++) {
        arg[k] = lower_value(lo, n->in[k], ix);
        vector = vector || ktype_is_vector(arg[k]->type);
    }
    for (uint32_t k = 0; k < n->nin && vector; k++)
        arg[k] = lower_spread(lo, arg[k]);
    KType t = ktype_of(n->type->dtype);
    const char *fast = lo->rounded[n->id] ? gen_info(n->op)->fast : NULL;
    const char *text = fast ? fast : gen_template(n, n->in[n->nin - 1]->type->dtype);
    const KExpr *e = ke_text(lo->k, vector ? ktype_vector(t) : t, text, arg, n->nin);
    return lower_fit(lo, n->type->dtype, e);
}

/* A readable name: of formals their own, else the operation's. */
static const char *stem_of(const Node *n)
{
    return gen_info(n->op)->value == value_input ? node_sym(n, "name") : op_info(n->op)->name;
}

static bool is_trivial(const KExpr *e)
{
    return e->kind == KE_CONST || e->kind == KE_VAR;
}

static const KExpr *compute(Lower *lo, const Node *n, const Ix *const *ix)
{
    const OpInfo *info = op_info(n->op);
    ValueFn value = gen_info(n->op)->value;
    const KExpr *e = NULL;
    if (lo->kept)
        e = lo->kept(lo, n, ix);
    if (e)
        return e;
    if (value)
        e = value(lo, n, ix);
    else if (info->cls == OC_ELEM)
        e = lower_elem(lo, n, ix);
    else
        BUG("codegen: %s in a %s group has no value yet", info->name, class_info(lo->cls)->name);
    return e ? e : lower_by_lane(lo, n, ix);
}

/* What follows computes n, of which a leaf says nothing. */
static void place_of(Kernel *k, const Node *n)
{
    if (!n->nin || !n->span.file)
        return;
    k->span = n->span;
    k->path = n->path;
}

const KExpr *lower_value(Lower *lo, const Node *n, const Ix *const *ix)
{
    if (lo->seed[n->id])
        return lo->seed[n->id];
    Scope *home = home_of(lo, n, ix), *here = lo->scope;
    const KExpr *e = memo_find(lo, home, n, ix);
    if (e)
        return e;
    ASSERT(home->depth <= here->depth);
    const Span span = lo->k->span;
    const Sym path = lo->k->path;
    lo->scope = home;
    place_of(lo->k, n);
    e = compute(lo, n, ix);
    if (!is_trivial(e))
        e = ks_let(lo->k, home->block, stem_of(n), e);
    memo_add(lo, n, ix, e);
    lo->scope = here;
    lo->k->span = span;
    lo->k->path = path;
    return e;
}

/* ---- vector loops and results ---- */

/* Where this thread begins when elements (or vectors) go round in its team. */
static const KExpr *own_first(Lower *lo, const KExpr *from, int64_t each)
{
    return lo->team ? ke_add(lo, from, ke_mul(lo, lo->rank, ke_int(lo->k, each))) : from;
}

static int64_t own_step(const Lower *lo, int64_t each)
{
    return lo->team ? lo->team * each : each;
}

static void lanes_one(Lower *lo, const LanesSpec *spec, LanesFn body, void *user)
{
    const Ix *v = scope_loop(lo, &(LoopSpec){.stem = spec->stem,
                                             .lo = own_first(lo, spec->lo, 1),
                                             .hi = spec->hi,
                                             .extent = spec->extent,
                                             .step = own_step(lo, 1)});
    body(lo, v, user);
    scope_end(lo);
}

/* Whether the lanes behind the last whole vector of a range are this thread's. */
static const KExpr *own_tail(Lower *lo, const KExpr *vectors, const KExpr *some)
{
    if (!lo->team)
        return some;
    const KExpr *owner = ke_index(lo->k, KI_MOD, vectors, ke_int(lo->k, lo->team));
    const KExpr *mine = ke_test(lo->k, "==", lo->rank, owner);
    return some ? ke_test(lo->k, "&&", some, mine) : mine;
}

void lower_lanes(Lower *lo, const LanesSpec *spec, LanesFn body, void *user)
{
    if (lo->scalar) {
        lanes_one(lo, spec, body, user);
        return;
    }
    int64_t w = lo->k->width, first, last;
    bool fixed = ke_is_int(spec->lo, &first) && ke_is_int(spec->hi, &last);
    bool whole = spec->whole || (fixed && (last - first) % w == 0);
    if (!fixed || last - first >= w) {
        const KExpr *hi = whole ? spec->hi : ke_sub(lo, spec->hi, ke_int(lo->k, w - 1));
        const Ix *v = scope_loop(lo, &(LoopSpec){.stem = spec->stem,
                                                 .lo = own_first(lo, spec->lo, w),
                                                 .hi = hi,
                                                 .extent = spec->extent,
                                                 .step = own_step(lo, w),
                                                 .vector = true});
        body(lo, v, user);
        scope_end(lo);
    }
    if (whole)
        return;
    const KExpr *span = ke_sub(lo, spec->hi, spec->lo), *kw = ke_int(lo->k, w);
    const KExpr *vectors = ke_index(lo->k, KI_DIV, span, kw);
    const KExpr *at = ke_add(lo, spec->lo, ke_mul(lo, vectors, kw)), *mine = NULL;
    if (!fixed) {
        at = ks_let(lo->k, lo->scope->block, "tail", at);
        mine = ke_test(lo->k, "<", at, spec->hi);
    }
    mine = own_tail(lo, vectors, mine);
    if (mine)
        scope_if(lo, mine);
    else
        scope_plain(lo);
    const Ix *v = scope_vector_var(lo, at, spec->extent, ke_sub(lo, spec->hi, at));
    body(lo, v, user);
    scope_end(lo);
}

/* The vector variable of a store: of its index, else (an axis of extent 1 leaves none there) the
 * innermost. */
static uint32_t store_var(const Lower *lo, const Ix *linear)
{
    uint32_t v = index_vector_var(lo, &linear, 1);
    for (uint32_t i = lo->nvar; i-- > 0 && v == NO_VAR;)
        if (lo->var[i].vector)
            v = i;
    return v;
}

/* to: the address of lane 0. */
static void store_strided(Lower *lo, const KExpr *to, const Dim *stride, const KExpr *value,
                          const KExpr *lanes)
{
    const KExpr *arg[] = {to, ke_extent(lo->k, stride), value,
                          lanes ? lanes : ke_int(lo->k, lo->k->width)};
    DType dt = lo->k->bufs.at[to->buf].dtype;
    const char *text =
        arena_printf(lo->arena, "mdl_scatter_%s(%%0, %%1, %%2, %%3)", dtype_info(dt)->name);
    ks_call(lo->k, lo->scope->block, ke_text(lo->k, KT_PTR, text, arg, 4));
}

/* Every lane to its own place. */
static void store_by_lane(Lower *lo, uint32_t r, const Ix *linear, uint32_t v, const KExpr *value)
{
    Kernel *k = lo->k;
    KType t = ktype_of(k->bufs.at[lo->out[r]].dtype);
    uint32_t tmp = ks_local(k, lo->scope->block, "lanes", t, k->width);
    ks_store(k, lo->scope->block, tmp, ke_int(k, 0), value);
    const KExpr *lane;
    linear = scope_lane(lo, v, &linear, 1, &lane)[0];
    ks_store(k, lo->scope->block, lo->out[r], lower_index(lo, linear), ke_load(k, tmp, lane));
    scope_end(lo);
}

void lower_prefetch(Lower *lo, uint32_t buf, const KExpr *at)
{
    const KExpr *address = ke_addr(lo->k, buf, at);
    ks_call(lo->k, lo->scope->block, ke_text(lo->k, KT_PTR, "mdl_prefetch(%0)", &address, 1));
}

void lower_store(Lower *lo, uint32_t r, const Ix *const *ix, const KExpr *value)
{
    const Type *t = lo->body->results.at[r].node->type;
    const Ix *linear = ix_flatten(lo->ir, t->dims, ix, t->rank);
    uint32_t v = store_var(lo, linear);
    if (v == NO_VAR ||
        (!ktype_is_vector(value->type) && index_vector_var(lo, &linear, 1) == NO_VAR)) {
        ASSERT(!ktype_is_vector(value->type));
        ks_store(lo->k, lo->scope->block, lo->out[r], lower_index(lo, linear), value);
        return;
    }
    const Dim *stride;
    const KExpr *lanes = ix_uses(linear, v) ? lo->var[v].lanes : ke_int(lo->k, 1);
    value = lower_spread(lo, value);
    if (!index_stride(lo, linear, v, &stride))
        store_by_lane(lo, r, linear, v, value);
    else if (dim_equals(stride, 1) || !ix_uses(linear, v)) {
        KStmt *s = ks_store(lo->k, lo->scope->block, lo->out[r], lower_index(lo, linear), value);
        s->lanes = lanes;
        s->aligned = !lanes && index_aligned(lo, linear, v);
    } else
        store_strided(lo, ke_addr(lo->k, lo->out[r], lower_index(lo, linear)), stride, value,
                      lanes);
}

void lower_results(Lower *lo, uint64_t which, const Ix *const *ix)
{
    uint32_t n = lo->body->results.n;
    const KExpr **value = NEW_ARRAY(lo->arena, const KExpr *, n);
    for (uint32_t r = 0; r < n; r++)
        if (which >> r & 1)
            value[r] = lower_value(lo, lo->body->results.at[r].node, ix);
    for (uint32_t r = 0; r < n; r++)
        if (which >> r & 1)
            lower_store(lo, r, ix, value[r]);
}

/* ---- the group ---- */

static const LowerFn lowerings[][TK_COUNT] = {
#define CPU(members, n, fn)                  [TK_CPU] = fn
#define GPU(members, n, fn)                  [TK_CUDA] = fn
#define NOGPU                                [TK_CUDA] = NULL
#define CLASS(id, name, doc, claim, c, g, r) [KC_##id] = {c, g},
#include "classes.def"
#undef CLASS
};

/* Buffers of the arguments: the body's inputs in order, then its results. Classes with a table
 * make their own. */
static void make_arguments(Lower *lo)
{
    Kernel *k = lo->k;
    for (uint32_t i = 0; i < lo->body->inputs.n; i++) {
        const Node *n = lo->body->inputs.at[i];
        KBuf b = {.kind = KB_IN, .dtype = n->type->dtype, .arg = k->narg++, .align = 64};
        b.name = kernel_name(k, node_sym(n, "name"));
        b.count = type_count(lo->ir, n->type);
        lo->in[n->id] = kernel_buf(k, &b);
    }
    for (uint32_t i = 0; i < lo->body->results.n; i++) {
        const GraphResult *r = &lo->body->results.at[i];
        KBuf b = {.kind = KB_OUT, .dtype = r->node->type->dtype, .arg = k->narg++, .align = 64};
        b.name = kernel_name(k, r->name ? r->name : "out");
        b.count = type_count(lo->ir, r->node->type);
        lo->out[i] = kernel_buf(k, &b);
    }
}

/* Vectors carry f32, i32 and bool; a wider result or fold makes the whole kernel scalar (a wider
 * formal alone does not: its lanes are read one by one). */
static bool needs_scalar(const Graph *body)
{
    for (uint32_t i = 0; i < body->nodes.n; i++) {
        const Node *n = body->nodes.at[i];
        OpClass c = op_info(n->op)->cls;
        if ((c == OC_REDUCE || c == OC_CONTRACT || c == OC_MULTI || c == OC_SCATTER ||
             c == OC_SCAN || c == OC_UPDATE) &&
            !(dtype_has_vector(n->type->dtype) && dtype_has_vector(n->in[0]->type->dtype)))
            return true;
    }
    for (uint32_t i = 0; i < body->results.n; i++)
        if (!dtype_has_vector(body->results.at[i].node->type->dtype))
            return true;
    return false;
}

static void mark_seeded(Lower *lo)
{
    for (uint32_t i = 0; i < lo->body->nodes.n; i++) {
        const Node *n = lo->body->nodes.at[i];
        OpClass c = op_info(n->op)->cls;
        bool seeded = c == OC_REDUCE || c == OC_CONTRACT || c == OC_MULTI || c == OC_SCATTER;
        for (uint32_t k = 0; k < n->nin; k++)
            seeded = seeded || lo->seeded[n->in[k]->id];
        lo->seeded[n->id] = seeded;
    }
}

/* What the model calls the group, for the head comment. */
static const char *describe(Arena *arena, const Node *group, KernelClass c)
{
    StrBuf sb = sb_new(arena);
    const Graph *body = node_def(group)->body;
    sb_printf(&sb, "%s: %s", class_info(c)->name, group->path ? group->path : "");
    sb_puts(&sb, "\nops:");
    for (uint32_t i = 0; i < body->nodes.n; i++)
        if (op_info(body->nodes.at[i]->op)->cls != OC_LEAF)
            sb_printf(&sb, " %s", op_info(body->nodes.at[i]->op)->name);
    return sb_text(&sb);
}

/* Kernel name: the Def's, made unique by what else decides the text. */
static Sym name_of(Ir *ir, const Node *group, KernelConfig config)
{
    const Def *def = node_def(group);
    uint64_t h = hash_mix(def->hash, hash_text(node_sym(group, "class")));
    for (uint32_t i = 0; i < config.n; i++)
        h = hash_mix(h, (uint64_t)config.ints[i]);
    uint64_t count = (uint64_t)node_int(group, "count");
    h = hash_mix(h, count);
    for (uint32_t i = 0; i < group->nin && count > 1; i++)
        h = hash_mix(h, (uint64_t)dim_hi(ir, type_count(ir, group->in[i]->type)));
    const char *stem = def->name && *def->name ? def->name : "group";
    return sym_printf(ir->syms, "k_%s_%012llx", stem, (unsigned long long)(h >> 16));
}

KernelConfig codegen_config(const Node *group)
{
    const Attr *config = node_ints(group, "config");
    return library_split(config->ints, config->n);
}

Kernel *codegen_lower(Ir *ir, Arena *arena, const Node *group, KernelConfig config,
                      const Target *target)
{
    Lower *lo = NEW(arena, Lower);
    const Graph *body = node_def(group)->body;
    *lo = (Lower){.ir = ir, .arena = arena, .group = group, .body = body, .target = target};
    if (!class_find(node_sym(group, "class"), &lo->cls))
        BUG("codegen: no kernel class '%s'", node_sym(group, "class"));
    lo->config = config;
    lo->k = kernel_new(arena, ir, name_of(ir, group, config), target->vector);
    lo->k->threads = target->kind == TK_CUDA ? GPU_THREADS : 0;
    lo->k->doc = describe(arena, group, lo->cls);
    place_of(lo->k, group);
    lo->in = NEW_ARRAY(arena, uint32_t, body->nodes.n);
    lo->out = NEW_ARRAY(arena, uint32_t, body->results.n);
    lo->seed = NEW_ARRAY(arena, const KExpr *, body->nodes.n);
    lo->seeded = NEW_ARRAY(arena, bool, body->nodes.n);
    lo->scalar = needs_scalar(body);
    mark_seeded(lo);
    lo->rounded = NEW_ARRAY(arena, bool, body->nodes.n);
    lo->stored = NEW_ARRAY(arena, bool, body->nodes.n);
    if (target->kind == TK_CUDA)
        lower_mark_rounded(lo);
    if (lo->cls != KC_MULTI_MAP && lo->cls != KC_MULTI_SUMSQ)
        make_arguments(lo);
    LowerFn fn = lowerings[lo->cls][target->kind];
    if (!fn)
        BUG("codegen: class %s has no kernels for %s", class_info(lo->cls)->name, target->name);
    fn(lo);
    for (uint32_t i = 0; i < lo->k->phases.n; i++)
        lo->k->phases.at[i].waits = target->chains;
    lower_count_work(lo);
    kernel_verify(lo->k);
    return lo->k;
}
