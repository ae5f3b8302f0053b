/* equation.h: shared by equation.c (indices, ranges, folding), equation_eval.c (the right side) and
 * equation_call.c (functions called there). */
#ifndef MDL_EQUATION_H
#define MDL_EQUATION_H

#include "elab.h"

enum { EQ_MAX_INDEX = 24 };

typedef struct EqIndex {
    Sym name;          /* NULL: a dimension of the pack */
    const Dim *extent; /* NULL while not determined */
    Span span;
} EqIndex;

typedef struct EqValue {
    const Val *v;  /* poison, a compile-time value, or a tensor */
    uint32_t axes; /* bit set; 0 for scalars and compile-time values */
} EqValue;

/* A name of a function that is evaluated in the indices of its call. */
typedef struct EqLocal {
    Sym name;
    int index;  /* another name of that index, or -1: */
    EqValue v;  /* elements */
    bool plain; /* the name is in the environment as well: nothing depends on an index */
    const struct EqLocal *up;
} EqLocal;

/* Indices are numbered in the order of the left side, then the folded ones as they appear; a value is
 * a tensor whose axes are its index numbers in ascending order, given as a bit set. */
struct Equation {
    Elab *e;
    Env *env;
    const Ast *ast;
    EqIndex index[EQ_MAX_INDEX];
    uint32_t n, nleft;
    uint32_t pack, npack; /* first index of the pack, its rank */
    bool has_pack;
    bool called;          /* inside a function: only its own names are visible */
    const EqLocal *local; /* innermost first */
};

int eq_find(const Equation *q, Sym name); /* -1 when it is no index */
const EqLocal *eq_local(const Equation *q, Sym name);
/* Brings run-time operands to one set of axes; compile-time ones stay as they are. */
bool eq_align_all(Equation *q, EqValue *v, uint32_t n, uint32_t *axes);
/* f(x[i], j, ..) (equation_call.c) */
EqValue eq_call(Equation *q, const Ast *a);
EqValue eq_eval(Equation *q, const Ast *a);
/* The tensor of v over the given (larger) set of axes; NULL after a diagnostic. */
const Node *eq_align(Equation *q, const EqValue *v, uint32_t axes);
const Val *eq_align_val(Equation *q, const EqValue *v, uint32_t axes); /* poison instead of NULL */
/* x[..] on a tensor (equation_index.c). */
EqValue eq_index(Equation *q, const Ast *a, const Node *x);
/* a folded product of two tensors as a dot; v->v is NULL when it is none (equation_dot.c). */
bool eq_dot(Equation *q, const Ast *rhs, uint32_t left, EqValue *out);
/* equation_range.c */
bool eq_has_index(const Equation *q, const Ast *a);
/* False after E0416: an index expression that may leave 0..extent. */
bool eq_in_range(Equation *q, const Ast *a, const Dim *extent);
/* True after E0406: a tensor of some rank that stands without brackets. */
/* len(x) or count(x) of a whole tensor: a number, whatever the indices are. */
bool eq_is_size(Equation *q, const Ast *a);
bool eq_lacks_indices(Equation *q, const Ast *a);
/* True after E0199: indices inside something that is evaluated as a whole. */
bool eq_uses_indices(Equation *q, const Ast *a);
/* The tensor under brackets and parentheses: x of (x[i])[j]. */
const Ast *eq_base(const Ast *a);
/* Which side of `x ?? y` or which branch of an `if` counts; NULL after a diagnostic. */
const Ast *eq_chosen(Equation *q, const Ast *a);
EqValue eq_poison(Equation *q, Span span);
/* graph_permute, but x itself when the axes stay where they are. */
const Node *eq_permute(Equation *q, const Node *x, const int64_t *perm);

static inline uint32_t eq_bit(uint32_t i)
{
    return 1u << i;
}

#endif
