/* tables.h: the interning tables of a session; private to ir.
 *
 * Every interned kind keeps its items by dense id and finds them by content hash. Content hashes
 * are made of names, numbers and other content hashes, never of addresses or ids, so that they are
 * the same in every session that says the same. */
#ifndef MDL_IR_TABLES_H
#define MDL_IR_TABLES_H

#include "ir.h"

/* ---- intern.c: items found by hash, told apart by comparison ---- */

typedef struct InternCell {
    const void *item;
    struct InternCell *next; /* same hash, other content */
} InternCell;

typedef bool (*InternSame)(const void *item, const void *key);

/* The item with this hash for which same(item, key) holds, or NULL. */
const void *intern_find(const Map *map, uint64_t hash, const void *key, InternSame same);
void intern_add(Arena *arena, Map *map, uint64_t hash, const void *item);

/* ---- ir.c ---- */

/* The kinds of an op's attributes: what op_attr_schema reads from ops.def, once. */
typedef struct OpSchema {
    uint32_t n;
    AttrKind kind[IR_MAX_ATTR];
} OpSchema;

struct IrTables {
    const OpSchema *schemas; /* by OpKind */
    VEC(const DimSym *) syms;
    VEC(uint64_t) sym_hash;         /* by DimSym id */
    VEC(uint64_t) dim_hash;         /* by Dim id */
    VEC(uint64_t) type_hash;        /* by Type id */
    uint32_t nix;                   /* index expressions made */
    Map *dims, *types, *defs, *ixs; /* content hash -> InternCell */
    const Dim *zero, *one;
    bool dim_overflow; /* reported once per session */
};

/* ---- dim.c: arithmetic that gives NULL where a coefficient or degree leaves its range ---- */

const Dim *dim_add_quiet(Ir *ir, const Dim *a, const Dim *b);
const Dim *dim_sub_quiet(Ir *ir, const Dim *a, const Dim *b);
const Dim *dim_mul_quiet(Ir *ir, const Dim *a, const Dim *b);
/* Interns n terms in any order, several of one monomial allowed; NULL as above. */
const Dim *dim_from_terms(Ir *ir, DimTerm *term, uint32_t n);
/* Adds what s is called in text: its name, and `~k` behind it when k earlier symbols have it too. */
void dim_print_sym(const Ir *ir, const DimSym *s, StrBuf *sb);
uint64_t dim_hash(const Ir *ir, const Dim *d);

uint64_t type_hash(const Ir *ir, const Type *t);

/* The content hash of an attribute. */
uint64_t attr_hash(const Ir *ir, const Attr *a);
bool attr_is_unset(const Attr *a); /* a flag of 0 */

#endif
