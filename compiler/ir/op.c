/* op.c: the IR columns of ops.def, and questions about them. */
#include "eval.h"
#include "infer.h"

#define IR(...)   __VA_ARGS__
#define AD(...)   1
#define GEN(...)  1
#define TEST(...) 1

static const OpInfo infos[] = {
#define OP(id, text, line, ir, ad, gen, test) [OP_##id] = {.name = text, .doc = line, ir},
#include "ops.def"
#undef OP
};

/* The other layers' groups expand to nothing here; a row that lacks one, or misspells its name, is
 * found by giving their values a use. */
#define OP(id, text, line, ir, ad, gen, test) \
    _Static_assert((ad) == 1 && (gen) == 1 && (test) == 1, "groups of " #id);
#include "ops.def"
#undef OP

const OpInfo *op_info(OpKind op)
{
    ASSERT((unsigned)op < OP_COUNT);
    return &infos[op];
}

bool op_find(const char *name, OpKind *out)
{
    for (size_t i = 0; i < COUNT(infos); i++) {
        if (strcmp(infos[i].name, name) == 0) {
            *out = (OpKind)i;
            return true;
        }
    }
    return false;
}

/* ---- attribute schemas: "axes:ints, value:num" ---- */

static const char *const kind_names[] = {
    [AK_NONE] = "none",   [AK_INT] = "int",  [AK_NUM] = "num",   [AK_SYM] = "sym",
    [AK_INTS] = "ints",   [AK_DIM] = "dim",  [AK_DIMS] = "dims", [AK_DEF] = "def",
    [AK_DTYPE] = "dtype", [AK_FLAG] = "flag"};

static AttrKind kind_find(const char *text, size_t n)
{
    for (size_t i = 0; i < COUNT(kind_names); i++) {
        if (strlen(kind_names[i]) == n && memcmp(kind_names[i], text, n) == 0)
            return (AttrKind)i;
    }
    BUG("no attribute kind in ops.def: %s", text);
}

uint32_t op_attr_schema(OpKind op, uint32_t i, const char **name, AttrKind *kind)
{
    const char *at = op_info(op)->attrs;
    uint32_t count = 0;
    while (at && *at) {
        size_t colon = strcspn(at, ":"), end = strcspn(at, ",");
        ASSERT(colon < end);
        if (count++ == i) {
            *name = at;
            *kind = kind_find(at + colon + 1, end - colon - 1);
        }
        at += end;
        at += strspn(at, ", ");
    }
    ASSERT(count <= IR_MAX_ATTR);
    return count;
}

uint32_t op_attr_index(OpKind op, const char *name)
{
    const char *at = op_info(op)->attrs;
    size_t n = strlen(name);
    for (uint32_t i = 0; at && *at; i++) {
        if (strncmp(at, name, n) == 0 && at[n] == ':')
            return i;
        at += strcspn(at, ",");
        at += strspn(at, ", ");
    }
    BUG("%s has no attribute %s", op_info(op)->name, name);
}

bool op_at(Ir *ir, const Node *n, uint32_t k, const Ix *const *out, const Ix **in)
{
    ASSERT(k < n->nin);
    const OpInfo *info = op_info(n->op);
    if (info->at) {
        info->at(ir, n, k, out, in);
        return true;
    }
    if (info->cls != OC_ELEM)
        return false;
    for (uint32_t i = 0; i < n->type->rank; i++)
        in[i] = out[i];
    return true;
}
