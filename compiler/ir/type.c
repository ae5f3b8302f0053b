/* type.c: interned types, so that equal types are one pointer. */
#include "tables.h"

static bool same_type(const void *item, const void *key)
{
    const Type *a = item, *b = key;
    if (a->is_tuple != b->is_tuple)
        return false;
    if (a->is_tuple)
        return a->nelem == b->nelem &&
               (a->nelem == 0 || memcmp(a->elems, b->elems, a->nelem * sizeof *a->elems) == 0);
    return a->dtype == b->dtype && type_same_dims(a, b);
}

static uint64_t hash_content(const Ir *ir, const Type *t)
{
    if (t->is_tuple) {
        uint64_t h = hash_mix(1, t->nelem);
        for (uint32_t i = 0; i < t->nelem; i++)
            h = hash_mix(h, type_hash(ir, t->elems[i]));
        return h;
    }
    uint64_t h = hash_mix(hash_mix(2, t->dtype), t->rank);
    for (uint32_t i = 0; i < t->rank; i++)
        h = hash_mix(h, dim_hash(ir, t->dims[i]));
    return h;
}

static const Type *intern_type(Ir *ir, const Type *key)
{
    struct IrTables *t = ir->tables;
    uint64_t h = hash_content(ir, key);
    const Type *found = intern_find(t->types, h, key, same_type);
    if (found)
        return found;
    Type *type = NEW(ir->arena, Type);
    *type = *key;
    type->id = t->type_hash.n;
    type->dims = COPY_ARRAY(ir->arena, const Dim *, key->dims, key->rank);
    type->elems = COPY_ARRAY(ir->arena, const Type *, key->elems, key->nelem);
    VEC_PUSH(ir->arena, &t->type_hash, h);
    intern_add(ir->arena, t->types, h, type);
    return type;
}

uint64_t type_hash(const Ir *ir, const Type *t)
{
    return ir->tables->type_hash.at[t->id];
}

const Type *type_tensor(Ir *ir, DType dtype, uint32_t rank, const Dim *const *dims)
{
    ASSERT(rank <= IR_MAX_RANK);
    Type key = {.dtype = dtype, .rank = rank, .dims = dims};
    return intern_type(ir, &key);
}

const Type *type_scalar(Ir *ir, DType dtype)
{
    return type_tensor(ir, dtype, 0, NULL);
}

const Type *type_tuple(Ir *ir, uint32_t n, const Type *const *elems)
{
    Type key = {.is_tuple = true, .nelem = n, .elems = elems};
    return intern_type(ir, &key);
}

const Type *type_with_dtype(Ir *ir, const Type *t, DType dtype)
{
    ASSERT(!t->is_tuple);
    return t->dtype == dtype ? t : type_tensor(ir, dtype, t->rank, t->dims);
}

const Dim *type_count(Ir *ir, const Type *t)
{
    ASSERT(!t->is_tuple);
    const Dim *count = dim_const(ir, 1);
    for (uint32_t i = 0; i < t->rank; i++)
        count = dim_mul(ir, count, t->dims[i]);
    return count;
}

bool type_same_dims(const Type *a, const Type *b)
{
    return !a->is_tuple && !b->is_tuple && a->rank == b->rank &&
           (a->rank == 0 || memcmp(a->dims, b->dims, a->rank * sizeof *a->dims) == 0);
}

void type_print(const Ir *ir, const Type *t, StrBuf *sb)
{
    if (t->is_tuple) {
        sb_putc(sb, '(');
        for (uint32_t i = 0; i < t->nelem; i++) {
            if (i > 0)
                sb_puts(sb, ", ");
            type_print(ir, t->elems[i], sb);
        }
        sb_putc(sb, ')');
        return;
    }
    sb_puts(sb, dtype_info(t->dtype)->name);
    sb_putc(sb, '[');
    for (uint32_t i = 0; i < t->rank; i++) {
        if (i > 0)
            sb_puts(sb, ", ");
        dim_print(ir, t->dims[i], sb);
    }
    sb_putc(sb, ']');
}

const char *type_text(const Ir *ir, const Type *t)
{
    StrBuf sb = sb_new(ir->arena);
    type_print(ir, t, &sb);
    return sb_text(&sb);
}
