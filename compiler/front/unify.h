/* unify.h: shared by signature.c (types) and unify.c (shapes); private to front. */
#ifndef MDL_UNIFY_H
#define MDL_UNIFY_H

#include "elab.h"

/* What is being checked, for messages. */
typedef struct Accept {
    Elab *e;
    Env *frame;
    const char *what;
    DiagCode code; /* of a type that differs: E0402 for arguments, E0407 for results */
    Span at;       /* of the value */
} Accept;

/* True when v, of type t, has the shape that `type` asks for; binds what is free in the frame. */
bool unify_shape(const Accept *x, const Ast *type, const Val *v, const Type *t);
/* The type as text, with the numbers of what is bound. */
const char *unify_expected(const Accept *x, const Ast *type);
/* Reports a value that is no question of dimensions, a string for a tensor; poison. */
const Val *unify_wrong_kind(const Accept *x, const Ast *type, const Val *v, const char *expected);
Sym unify_pack_name(Elab *e, const Ast *a);

/* datum_accept.c: v as a data-time value or a text field; NULL when this is no matter of data time. */
const Val *datum_accept_word(const Accept *x, const Ast *type, const Val *v);
const Val *datum_accept_tensor(const Accept *x, const Ast *type, const Val *v);

#endif
