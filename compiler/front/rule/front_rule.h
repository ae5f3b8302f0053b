/* front_rule.h: the one thing of front that passes may use: gradient text of ops.def as nodes. */
#ifndef MDL_FRONT_RULE_H
#define MDL_FRONT_RULE_H

#include "ir.h"

/* A parsed expression over x0 x1 x2 y dy, numbers, + - * / **, unary -, comparisons, and calls of
 * elementwise ops by name (exp, log, select ...). NULL on bad text (BUG: the table is ours). */
typedef struct Rule Rule;

Rule *front_rule_parse(Ir *ir, const char *text);
/* Builds the expression in g. All operands have y's shape; numbers are filled to it. x has nx entries. */
const Node *front_rule(Graph *g, const Rule *rule, const Node *const *x, uint32_t nx, const Node *y,
                       const Node *dy);

#endif
