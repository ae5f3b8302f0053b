/* rule.c: gradient texts of ops.def as nodes. A Pratt parser over a few tokens, apart from the .mdl
 * parser, because passes may use it and nothing else of front.
 *
 * Grammar, loosest first: comparisons, + -, * /, unary -, ** (right to left), atoms. An atom is a
 * number, x0 x1 x2 y dy, a parenthesis, or a call of an elementwise operation by its graph name. */
#include "front_rule.h"

#include <stdlib.h>
#include <string.h>

typedef enum RuleKind { RULE_NUMBER, RULE_X, RULE_Y, RULE_DY, RULE_OP } RuleKind;

struct Rule {
    RuleKind kind;
    double number;
    uint32_t x; /* RULE_X: which operand */
    OpKind op;
    uint32_t narg;
    const Rule *arg[3];
};

typedef struct Reader {
    Ir *ir;
    const char *text; /* the whole rule, for messages */
    const char *at;
} Reader;

/* Binding powers; a token that is no operator has 0. */
enum { BIND_COMPARE = 1, BIND_SUM = 2, BIND_PRODUCT = 3, BIND_NEGATE = 4, BIND_POWER = 5 };

typedef struct Infix {
    const char *token;
    int bind;
    bool swap; /* a > b is b < a */
    OpKind op;
} Infix;

/* Longer tokens first. */
static const Infix infixes[] = {
    {"**", BIND_POWER, false, OP_POW},  {"<=", BIND_COMPARE, false, OP_LE},
    {">=", BIND_COMPARE, true, OP_LE},  {"==", BIND_COMPARE, false, OP_EQ},
    {"!=", BIND_COMPARE, false, OP_NE}, {"<", BIND_COMPARE, false, OP_LT},
    {">", BIND_COMPARE, true, OP_LT},   {"+", BIND_SUM, false, OP_ADD},
    {"-", BIND_SUM, false, OP_SUB},     {"*", BIND_PRODUCT, false, OP_MUL},
    {"/", BIND_PRODUCT, false, OP_DIV},
};

static Rule *read_expr(Reader *r, int bind);

static void skip_blanks(Reader *r)
{
    while (*r->at == ' ')
        r->at++;
}

static bool take(Reader *r, const char *token)
{
    skip_blanks(r);
    size_t n = strlen(token);
    if (strncmp(r->at, token, n) != 0)
        return false;
    r->at += n;
    return true;
}

static void expect(Reader *r, const char *token)
{
    if (!take(r, token))
        BUG("rule '%s': '%s' expected before '%s'", r->text, token, r->at);
}

static Rule *new_rule(Reader *r, RuleKind kind)
{
    Rule *rule = NEW(r->ir->arena, Rule);
    rule->kind = kind;
    return rule;
}

static Rule *new_op(Reader *r, OpKind op, const Rule *a, const Rule *b)
{
    Rule *rule = new_rule(r, RULE_OP);
    rule->op = op;
    rule->arg[0] = a;
    rule->arg[1] = b;
    rule->narg = b ? 2 : 1;
    return rule;
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

static Rule *read_call(Reader *r, const char *name)
{
    Rule *rule = new_rule(r, RULE_OP);
    if (!op_find(name, &rule->op) || op_info(rule->op)->cls != OC_ELEM)
        BUG("rule '%s': '%s' is no elementwise operation", r->text, name);
    do {
        if (rule->narg == COUNT(rule->arg))
            BUG("rule '%s': too many operands of '%s'", r->text, name);
        rule->arg[rule->narg++] = read_expr(r, 0);
    } while (take(r, ","));
    expect(r, ")");
    if ((int)rule->narg != op_info(rule->op)->arity)
        BUG("rule '%s': wrong number of operands of '%s'", r->text, name);
    return rule;
}

static Rule *read_word(Reader *r)
{
    const char *from = r->at;
    while (is_word(*r->at))
        r->at++;
    Sym name = sym_n(r->ir->syms, from, (size_t)(r->at - from));
    if (take(r, "("))
        return read_call(r, name);
    if (strcmp(name, "y") == 0)
        return new_rule(r, RULE_Y);
    if (strcmp(name, "dy") == 0)
        return new_rule(r, RULE_DY);
    if (name[0] == 'x' && name[1] >= '0' && name[1] <= '2' && name[2] == 0) {
        Rule *rule = new_rule(r, RULE_X);
        rule->x = (uint32_t)(name[1] - '0');
        return rule;
    }
    BUG("rule '%s': unknown name '%s'", r->text, name);
}

static Rule *read_prefix(Reader *r)
{
    if (take(r, "(")) {
        Rule *inner = read_expr(r, 0);
        expect(r, ")");
        return inner;
    }
    if (take(r, "-"))
        return new_op(r, OP_NEG, read_expr(r, BIND_NEGATE), NULL);
    skip_blanks(r);
    if ((*r->at >= '0' && *r->at <= '9') || *r->at == '.') {
        char *end;
        Rule *rule = new_rule(r, RULE_NUMBER);
        rule->number = strtod(r->at, &end);
        r->at = end;
        return rule;
    }
    if (!is_word(*r->at))
        BUG("rule '%s': operand expected before '%s'", r->text, r->at);
    return read_word(r);
}

static const Infix *peek_infix(Reader *r)
{
    skip_blanks(r);
    for (size_t i = 0; i < COUNT(infixes); i++)
        if (strncmp(r->at, infixes[i].token, strlen(infixes[i].token)) == 0)
            return &infixes[i];
    return NULL;
}

/* Everything that binds tighter than `bind`. */
static Rule *read_expr(Reader *r, int bind)
{
    Rule *left = read_prefix(r);
    for (;;) {
        const Infix *in = peek_infix(r);
        if (!in || in->bind <= bind)
            return left;
        r->at += strlen(in->token);
        /* the exponent may be negated and groups to the right: a ** -b ** c */
        Rule *right = read_expr(r, in->bind == BIND_POWER ? BIND_NEGATE : in->bind);
        left = in->swap ? new_op(r, in->op, right, left) : new_op(r, in->op, left, right);
    }
}

Rule *front_rule_parse(Ir *ir, const char *text)
{
    Reader r = {.ir = ir, .text = text, .at = text};
    Rule *rule = read_expr(&r, 0);
    skip_blanks(&r);
    if (*r.at)
        BUG("rule '%s': '%s' left over", text, r.at);
    return rule;
}

/* ---- building ---- */

const Node *front_rule(Graph *g, const Rule *rule, const RuleArgs *a)
{
    switch (rule->kind) {
    case RULE_NUMBER:
        return graph_fill(g, a->dy ? a->dy->type : a->y->type, rule->number);
    case RULE_X:
        ASSERT(rule->x < a->nx);
        return a->x[rule->x];
    case RULE_Y:
        return a->y;
    case RULE_DY:
        return a->dy;
    case RULE_OP:
        break;
    }
    const Node *arg[3];
    for (uint32_t i = 0; i < rule->narg; i++)
        arg[i] = front_rule(g, rule->arg[i], a);
    return graph_op(g, &(NodeSpec){.op = rule->op, .nin = rule->narg, .in = arg});
}
