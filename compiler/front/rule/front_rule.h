/* front_rule.h: the one thing of front that passes may use: gradient text of ops.def as nodes. */
#ifndef MDL_FRONT_RULE_H
#define MDL_FRONT_RULE_H

#include "ir.h"

/* A parsed expression over x0 x1 x2 y dy, numbers, + - * / **, unary -, comparisons, and calls of
 * elementwise ops by name (exp, log, select ...). NULL on bad text (BUG: the table is ours). */
typedef struct Rule Rule;

Rule *front_rule_parse(Ir *ir, const char *text);
/* What the names of a rule stand for. All have y's shape. */
typedef struct RuleArgs {
    const Node *const *x; /* x0 x1 .. */
    uint32_t nx;
    const Node *y, *dy;
} RuleArgs;
/* Builds the expression in g; numbers are filled to y's shape. */
const Node *front_rule(Graph *g, const Rule *rule, const RuleArgs *a);

#endif
