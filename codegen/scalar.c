/* scalar.c: the GEN column of ops.def: how one element of an operation is written in C. */
#include "lower.h"

#define C(f, i)                 \
    {                           \
        .real = f, .integer = i \
    }
#define F(f, quick)              \
    {                            \
        .real = f, .fast = quick \
    }
#define CODES(i, w)                 \
    {                               \
        .integer = i, .widened = w, \
    }
#define VALUE(fn)   \
    {               \
        .value = fn \
    }
#define ARG(compare)      \
    {                     \
        .better = compare \
    }
#define NOGEN \
    {         \
        0     \
    }
#define GEN(...) __VA_ARGS__

static const GenInfo table[] = {
#define OP(id, name, doc, ir, ad, gen, test) [OP_##id] = gen,
#include "ops.def"
#undef OP
};

const GenInfo *gen_info(OpKind op)
{
    ASSERT((unsigned)op < OP_COUNT);
    return &table[op];
}

const char *gen_template(const Node *n, DType dt)
{
    const GenInfo *g = gen_info(n->op);
    const char *text = dtype_is_float(dt) ? g->real : g->integer;
    if (!text)
        BUG("codegen: %s of %s has no template", op_info(n->op)->name, dtype_info(dt)->name);
    return text;
}
