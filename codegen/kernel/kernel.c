/* kernel.c: builder of the loop IR. Expressions are shared trees; the only algebra done here is what
 * keeps the emitted text readable (constants, x*1, x+0), since the C compiler does the rest. */
#include "kernel.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- types ---- */

KType ktype_of(DType dt)
{
    if (dt == DT_F64)
        return KT_F64;
    if (dt == DT_I64)
        return KT_I64;
    if (dtype_is_float(dt))
        return KT_F32;
    return dtype_is_int(dt) ? KT_I32 : KT_BOOL;
}

bool ktype_is_vector(KType t)
{
    return t == KT_VF || t == KT_VI;
}

KType ktype_vector(KType t)
{
    if (ktype_is_vector(t))
        return t;
    if (t == KT_F32)
        return KT_VF;
    if (t == KT_I32 || t == KT_BOOL)
        return KT_VI;
    BUG("kernel: type %d has no vector form", (int)t);
}

const char *ktype_suffix(KType t)
{
    static const char *const suffix[] = {
        [KT_F32] = "_f32",   [KT_F64] = "_f64", [KT_I32] = "_i32", [KT_I64] = "_i64",
        [KT_BOOL] = "_bool", [KT_VF] = "_vf",   [KT_VI] = "_vi",   [KT_PTR] = "_ptr",
    };
    ASSERT((size_t)t < COUNT(suffix));
    return suffix[t];
}

/* ---- kernel ---- */

/* Words that emitted text may not use as names. */
static const char *const reserved[] = {
    "auto",
    "break",
    "case",
    "char",
    "const",
    "continue",
    "default",
    "do",
    "double",
    "else",
    "enum",
    "extern",
    "float",
    "for",
    "goto",
    "if",
    "inline",
    "int",
    "long",
    "register",
    "restrict",
    "return",
    "short",
    "signed",
    "sizeof",
    "static",
    "struct",
    "switch",
    "typedef",
    "union",
    "unsigned",
    "void",
    "volatile",
    "while",
    "int32_t",
    "int64_t",
    "uint8_t",
    "vf",
    "vi",
    "row",
    "task",
    "scratch",
    "a",
    "int8_t",
    "int16_t",
    "uint16_t",
    "uint32_t",
    "uint64_t",
    /* and those of CUDA C++ */
    "alignas",
    "alignof",
    "and",
    "and_eq",
    "asm",
    "bitand",
    "bitor",
    "bool",
    "catch",
    "char16_t",
    "char32_t",
    "class",
    "compl",
    "constexpr",
    "const_cast",
    "decltype",
    "delete",
    "dynamic_cast",
    "explicit",
    "export",
    "false",
    "friend",
    "mutable",
    "namespace",
    "new",
    "noexcept",
    "not",
    "not_eq",
    "nullptr",
    "operator",
    "or",
    "or_eq",
    "private",
    "protected",
    "public",
    "reinterpret_cast",
    "static_assert",
    "static_cast",
    "template",
    "this",
    "thread_local",
    "throw",
    "true",
    "try",
    "typeid",
    "typename",
    "using",
    "virtual",
    "wchar_t",
    "xor",
    "xor_eq",
};

enum { MAX_PHASES = 16 };

Kernel *kernel_new(Arena *arena, Ir *ir, Sym name, uint32_t width)
{
    Kernel *k = NEW(arena, Kernel);
    k->arena = arena;
    k->ir = ir;
    k->name = name;
    k->width = width;
    k->names = map_new(arena);
    for (size_t i = 0; i < COUNT(reserved); i++)
        kernel_name(k, reserved[i]);
    VEC_RESERVE(arena, &k->phases,
                MAX_PHASES); /* KPhase pointers stay valid while phases are added */
    return k;
}

uint32_t kernel_buf(Kernel *k, const KBuf *proto)
{
    VEC_PUSH(k->arena, &k->bufs, *proto);
    return k->bufs.n - 1;
}

static uint64_t align64(uint64_t n)
{
    return (n + 63) & ~(uint64_t)63;
}

uint32_t kernel_scratch(Kernel *k, const char *name, DType dtype, int64_t count)
{
    KBuf b = {.kind = KB_SCRATCH, .name = kernel_name(k, name), .dtype = dtype, .align = 64};
    b.offset = k->scratch;
    b.count = dim_const(k->ir, count);
    k->scratch = align64(k->scratch + (uint64_t)count * dtype_info(dtype)->bytes);
    return kernel_buf(k, &b);
}

uint32_t kernel_workspace(Kernel *k, const char *name, DType dtype, const Dim *count)
{
    KBuf b = {.kind = KB_WORKSPACE, .name = kernel_name(k, name), .dtype = dtype, .align = 64};
    b.offset = k->workspace;
    b.count = count;
    k->workspace =
        align64(k->workspace + (uint64_t)dim_hi(k->ir, count) * dtype_info(dtype)->bytes);
    return kernel_buf(k, &b);
}

uint32_t kernel_shared(Kernel *k, const char *name, DType dtype, int64_t count)
{
    ASSERT(k->phases.n > 0 && k->threads > 0);
    KPhase *p = &VEC_LAST(&k->phases);
    KBuf b = {.kind = KB_SHARED, .name = kernel_name(k, name), .dtype = dtype, .align = 64};
    b.offset = p->shared;
    b.count = dim_const(k->ir, count);
    p->shared = (uint32_t)align64(p->shared + (uint64_t)count * dtype_info(dtype)->bytes);
    return kernel_buf(k, &b);
}

uint32_t kernel_map(Kernel *k, const KMap *map)
{
    VEC_PUSH(k->arena, &k->maps, *map);
    return k->maps.n - 1;
}

const KExpr *kernel_round(Kernel *k)
{
    return ke_text(k, KT_I64, "a->round", NULL, 0);
}

KPhase *kernel_phase(Kernel *k, const char *suffix, const Dim *tasks, const char *doc)
{
    ASSERT(k->phases.n < MAX_PHASES);
    KPhase p = {.tasks = tasks, .threads = k->threads, .team = k->threads ? 1 : 0, .doc = doc};
    p.name = *suffix ? sym_printf(k->ir->syms, "%s_%s", k->name, suffix) : k->name;
    VEC_PUSH(k->arena, &k->phases, p);
    return &VEC_LAST(&k->phases);
}

Sym kernel_name(Kernel *k, const char *stem)
{
    char text[48];
    size_t n = 0;
    for (const char *p = stem ? stem : "v"; *p && n < sizeof text - 1; p++) {
        bool alpha = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || *p == '_';
        bool digit = *p >= '0' && *p <= '9';
        if (digit && n == 0)
            text[n++] = '_';
        text[n++] = alpha || digit ? *p : '_';
    }
    text[n] = '\0';
    uint64_t key = hash_text(text);
    uint64_t used = (uint64_t)(uintptr_t)map_get(k->names, key);
    map_put(k->names, key, (void *)(uintptr_t)(used + 1));
    if (used == 0)
        return sym(k->ir->syms, text);
    Sym name = sym_printf(k->ir->syms, "%s_%d", text, (int)used);
    /* "x_1" may itself have been used as a stem */
    if (map_get(k->names, hash_text(name)))
        return kernel_name(k, stem);
    map_put(k->names, hash_text(name), (void *)(uintptr_t)1);
    return name;
}

/* ---- expressions ---- */

static KExpr *expr(Kernel *k, KExprKind kind, KType type)
{
    KExpr *e = NEW(k->arena, KExpr);
    e->kind = kind;
    e->type = type;
    return e;
}

const KExpr *ke_num(Kernel *k, KType t, double v)
{
    KExpr *e = expr(k, KE_CONST, t);
    e->num = v;
    return e;
}

const KExpr *ke_int(Kernel *k, int64_t v)
{
    ASSERT(v > -(INT64_C(1) << 53) && v < (INT64_C(1) << 53)); /* exact in num */
    return ke_num(k, KT_I64, (double)v);
}

const KExpr *ke_var(Kernel *k, KType t, Sym name)
{
    KExpr *e = expr(k, KE_VAR, t);
    e->name = name;
    return e;
}

const KExpr *ke_extent(Kernel *k, const Dim *d)
{
    int64_t v;
    if (dim_is_const(d, &v))
        return ke_int(k, v);
    KExpr *e = expr(k, KE_EXTENT, KT_I64);
    e->dim = d;
    return e;
}

const KExpr *ke_slot(Kernel *k, KType t, Sym name)
{
    KExpr *e = expr(k, KE_SLOT, t);
    e->name = name;
    return e;
}

bool ke_is_int(const KExpr *e, int64_t *v)
{
    if (e->kind != KE_CONST || e->type != KT_I64)
        return false;
    *v = (int64_t)e->num;
    return true;
}

static int64_t fold_index(KIndexOp op, int64_t a, int64_t b)
{
    switch (op) {
    case KI_ADD:
        return a + b;
    case KI_SUB:
        return a - b;
    case KI_MUL:
        return a * b;
    case KI_DIV:
        return a / b;
    case KI_MOD:
        return a % b;
    case KI_MIN:
        return a < b ? a : b;
    case KI_MAX:
        return a > b ? a : b;
    }
    BUG("kernel: index operator %d", (int)op);
}

/* The operand or constant that `a op b` is, when one of the identities applies; else NULL. */
static const KExpr *simplify_index(Kernel *k, KIndexOp op, const KExpr *a, const KExpr *b)
{
    int64_t x = 0, y = 0;
    bool ca = ke_is_int(a, &x), cb = ke_is_int(b, &y);
    bool divides = op == KI_DIV || op == KI_MOD;
    if (ca && cb && (!divides || y > 0))
        return ke_int(k, fold_index(op, x, y));
    if (op == KI_ADD && (ca && x == 0))
        return b;
    if ((op == KI_ADD || op == KI_SUB) && cb && y == 0)
        return a;
    if (op == KI_MUL && ((ca && x == 0) || (cb && y == 0)))
        return ke_int(k, 0);
    if (op == KI_MUL && ca && x == 1)
        return b;
    if ((op == KI_MUL || op == KI_DIV) && cb && y == 1)
        return a;
    if (divides && ca && x == 0)
        return a;
    if (op == KI_MOD && cb && y == 1)
        return ke_int(k, 0);
    return NULL;
}

const KExpr *ke_index(Kernel *k, KIndexOp op, const KExpr *a, const KExpr *b)
{
    ASSERT(a->type == KT_I64 && b->type == KT_I64);
    const KExpr *simple = simplify_index(k, op, a, b);
    if (simple)
        return simple;
    KExpr *e = expr(k, KE_INDEX, KT_I64);
    e->iop = op;
    const KExpr *arg[] = {a, b};
    e->arg = COPY_ARRAY(k->arena, const KExpr *, arg, 2);
    e->narg = 2;
    return e;
}

const KExpr *ke_load(Kernel *k, uint32_t buf, const KExpr *index)
{
    ASSERT(buf < k->bufs.n && index->type == KT_I64);
    KExpr *e = expr(k, KE_LOAD, ktype_of(k->bufs.at[buf].dtype));
    e->buf = buf;
    e->index = index;
    return e;
}

const KExpr *ke_vload(Kernel *k, uint32_t buf, const KExpr *index, const KExpr *lanes)
{
    KExpr *e = expr(k, KE_LOAD, ktype_vector(ktype_of(k->bufs.at[buf].dtype)));
    e->buf = buf;
    e->index = index;
    e->lanes = lanes;
    return e;
}

const KExpr *ke_aligned(Kernel *k, const KExpr *load)
{
    ASSERT(load->kind == KE_LOAD && !load->lanes);
    KExpr *e = NEW(k->arena, KExpr);
    *e = *load;
    e->aligned = true;
    return e;
}

const KExpr *ke_addr(Kernel *k, uint32_t buf, const KExpr *index)
{
    KExpr *e = expr(k, KE_ADDR, KT_PTR);
    e->buf = buf;
    e->index = index;
    return e;
}

const KExpr *ke_text(Kernel *k, KType t, const char *template_text, const KExpr *const *arg,
                     uint32_t n)
{
    KExpr *e = expr(k, KE_TEXT, t);
    e->text = template_text;
    e->narg = n;
    e->arg = n ? COPY_ARRAY(k->arena, const KExpr *, arg, n) : NULL;
    return e;
}

const KExpr *ke_test(Kernel *k, const char *op, const KExpr *a, const KExpr *b)
{
    const KExpr *arg[] = {a, b};
    return ke_text(k, KT_BOOL, arena_printf(k->arena, "(%%0 %s %%1)", op), arg, 2);
}

/* ---- statements ---- */

static KStmt *stmt(Kernel *k, KBlock *b, KStmtKind kind)
{
    KStmt *s = NEW(k->arena, KStmt);
    s->kind = kind;
    s->span = k->span;
    s->path = k->path;
    VEC_PUSH(k->arena, b, s);
    return s;
}

KStmt *ks_for(Kernel *k, KBlock *b, Sym name, const KExpr *lo, const KExpr *hi)
{
    KStmt *s = stmt(k, b, KS_FOR);
    s->name = name;
    s->type = KT_I64;
    s->lo = lo;
    s->hi = hi;
    s->step = ke_int(k, 1);
    return s;
}

KStmt *ks_if(Kernel *k, KBlock *b, const KExpr *cond)
{
    KStmt *s = stmt(k, b, KS_IF);
    s->value = cond;
    return s;
}

static const KExpr *declare(Kernel *k, KBlock *b, KStmtKind kind, const char *stem,
                            const KExpr *value)
{
    if (kind == KS_LET && value->kind == KE_CONST)
        return value;
    KStmt *s = stmt(k, b, kind);
    s->name = kernel_name(k, stem);
    s->type = value->type;
    s->value = value;
    return ke_var(k, value->type, s->name);
}

const KExpr *ks_let(Kernel *k, KBlock *b, const char *stem, const KExpr *value)
{
    return declare(k, b, KS_LET, stem, value);
}

const KExpr *ks_var(Kernel *k, KBlock *b, const char *stem, const KExpr *init)
{
    return declare(k, b, KS_VAR, stem, init);
}

void ks_set(Kernel *k, KBlock *b, const KExpr *var, const KExpr *value)
{
    ASSERT(var->kind == KE_VAR);
    KStmt *s = stmt(k, b, KS_SET);
    s->name = var->name;
    s->type = var->type;
    s->value = value;
}

KStmt *ks_store(Kernel *k, KBlock *b, uint32_t buf, const KExpr *index, const KExpr *value)
{
    KStmt *s = stmt(k, b, KS_STORE);
    s->buf = buf;
    s->index = index;
    s->value = value;
    return s;
}

void ks_call(Kernel *k, KBlock *b, const KExpr *call)
{
    stmt(k, b, KS_CALL)->value = call;
}

static DType storage_of(KType t)
{
    switch (t) {
    case KT_F32:
    case KT_VF:
        return DT_F32;
    case KT_F64:
        return DT_F64;
    case KT_I32:
    case KT_VI:
        return DT_I32;
    case KT_I64:
        return DT_I64;
    case KT_BOOL:
        return DT_BOOL;
    case KT_PTR:
        break;
    }
    BUG("kernel: no storage for type %d", (int)t);
}

uint32_t ks_local(Kernel *k, KBlock *b, const char *stem, KType t, int64_t count)
{
    KBuf buf = {.kind = KB_LOCAL, .name = kernel_name(k, stem), .dtype = storage_of(t)};
    buf.count = dim_const(k->ir, count);
    buf.align = 64;
    KStmt *s = stmt(k, b, KS_LOCAL);
    s->name = buf.name;
    s->type = t;
    s->count = count;
    s->buf = kernel_buf(k, &buf);
    return s->buf;
}
