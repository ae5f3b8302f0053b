/* opcases.c: recorded cases of single operations as programs. */
#include "opcases.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* ---- the list ---- */

const OpFile op_files[OP_FILES] = {{"ops", 80, true, false},     {"ops_more", 34, true, false},
                                   {"ops_std", 20, true, false}, {"ops_order", 20, true, false},
                                   {"ops_loops", 9, true, true}, {"ops_quant", 5, true, false}};

Lab *opcases_open(const OpFile *file)
{
    char mdl[64], recorded[64];
    snprintf(mdl, sizeof mdl, "tests/recorded/%s.mdl", file->name);
    snprintf(recorded, sizeof recorded, "%s.safetensors", file->name);
    return lab_open(mdl, recorded, NULL, 0);
}

static OpCase *find_case(const Lab *lab, OpCases *cases, const char *name, size_t n)
{
    for (uint32_t i = 0; i < cases->all.n; i++) {
        OpCase *c = &cases->all.at[i];
        if (strlen(c->name) == n && strncmp(c->name, name, n) == 0)
            return c;
    }
    OpCase fresh = {.name = arena_strndup(lab->arena, name, n)};
    VEC_PUSH(lab->arena, &cases->all, fresh);
    return &VEC_LAST(&cases->all);
}

OpCases opcases_list(const Lab *lab)
{
    OpCases cases = {0};
    for (uint32_t i = 0; i < lab->file->n; i++) {
        const StTensor *t = &lab->file->tensors[i];
        const char *slash = strchr(t->name, '/');
        assert_non_null(slash);
        OpCase *c = find_case(lab, &cases, t->name, (size_t)(slash - t->name));
        if (strncmp(slash, "/in.", 4) != 0)
            continue;
        assert_true(c->nin < CASE_MAX_INPUTS);
        c->in[c->nin++] =
            (CallInput){.name = slash + 4, .dtype = t->dtype, .rank = t->rank, .dim = t->dim};
    }
    return cases;
}

Program *opcase_call(const Lab *lab, const OpCase *c)
{
    bool blame;
    const FrontCall call = {.function = c->name, .inputs = c->in, .ninput = c->nin, .strict = true};
    Program *p = front_call(lab->front, &call, &blame);
    lab_clean(lab, c->name);
    assert_non_null(p);
    return p;
}

Graph *opcase_entry(const Lab *lab, const OpCase *c)
{
    return opcase_call(lab, c)->entries.at[0];
}

/* ---- one program of all ---- */

typedef struct Build {
    const Lab *lab;
    Program *p;
    Graph *g;
    const Node *total;
} Build;

static const Node *add_parameter(const Build *b, Sym key, const Type *type)
{
    State param = {.kind = SK_PARAM, .path = key, .key = key, .type = type, .trained = true};
    const State *w = program_state(b->p, &param);
    State grad = {.kind = SK_GRAD,
                  .path = sym_printf(b->lab->ir->syms, "%s.grad", key),
                  .type = type,
                  .of = w->id};
    program_state(b->p, &grad);
    return graph_state(b->g, w->id, type, key);
}

static const Node *argument(const Build *b, const OpCase *c, const Node *input)
{
    Sym formal = node_sym(input, "name");
    Sym key = sym_printf(b->lab->ir->syms, "%s/in.%s", c->name, formal);
    bool wanted = lab_value(b->lab, "%s/grad.%s", c->name, formal) != NULL;
    return wanted ? add_parameter(b, key, input->type) : graph_input(b->g, key, input->type);
}

static void weigh(Build *b, const char *name, const char *result, const Node *y)
{
    Sym key = sym_printf(b->lab->ir->syms, "%s/w.%s", name, result);
    if (!st_find(b->lab->file, key))
        return;
    const Node *x = graph_binary(b->g, OP_MUL, y, graph_input(b->g, key, y->type));
    int64_t axes[IR_MAX_RANK];
    for (uint32_t i = 0; i < x->type->rank; i++)
        axes[i] = i;
    x = x->type->rank ? graph_reduce(b->g, OP_SUM, x, axes, x->type->rank) : x;
    b->total = b->total ? graph_binary(b->g, OP_ADD, b->total, x) : x;
}

static void add_case(Build *b, const OpCase *c)
{
    Arena *arena = b->lab->arena;
    const Graph *body = opcase_entry(b->lab, c);
    const Node **in = NEW_ARRAY(arena, const Node *, body->inputs.n + 1);
    const Node **out = NEW_ARRAY(arena, const Node *, body->results.n + 1);
    for (uint32_t i = 0; i < body->inputs.n; i++)
        in[i] = argument(b, c, body->inputs.at[i]);
    b->g->path = sym(b->lab->ir->syms, c->name);
    graph_inline(b->g, body, in, out);
    for (uint32_t i = 0; i < body->results.n; i++) {
        Sym name = body->results.at[i].name;
        graph_result(b->g, sym_printf(b->lab->ir->syms, "%s/%s", c->name, name), out[i]);
        weigh(b, c->name, name, out[i]);
    }
    lab_clean(b->lab, c->name);
}

Program *opcases_program(const Lab *lab, const OpCases *cases)
{
    Syms *syms = lab->ir->syms;
    Build b = {.lab = lab, .p = program_new(lab->ir, sym(syms, "ops"))};
    b.g = graph_new(lab->ir, lab->arena, sym(syms, "micro"));
    VEC_PUSH(lab->ir->arena, &b.p->entries, b.g);
    for (uint32_t i = 0; i < cases->all.n; i++)
        add_case(&b, &cases->all.at[i]);
    graph_result(b.g, sym(syms, "loss.sum"), b.total);
    graph_verify(b.g, b.p);
    return b.p;
}

/* ---- checks ---- */

static void check_near(const char *what, const Value *got, const Value *want, OpBound b)
{
    double gap = value_gap(got, want), norm = value_norm(want);
    bool exact = !dtype_is_float(got->type->dtype);
    if (!(gap <= (exact ? 0 : b.bound * fmax(norm, b.floor))))
        fail_msg("%s: off by %g, the norm is %g; at most %g of it", what, gap, norm, b.bound);
}

void opcases_check_gradients(const Lab *lab, Value *const *states, OpBound b)
{
    for (uint32_t i = 0; i < lab->program->states.n; i++) {
        const State *s = lab->program->states.at[i];
        if (s->kind != SK_GRAD)
            continue;
        const char *key = lab->program->states.at[s->of]->key;
        const char *dot = strstr(key, "/in.");
        const Value *want = lab_need(lab, "%.*s/grad.%s", (int)(dot - key), key, dot + 4);
        check_near(s->path, states[i], want, b);
    }
}

void opcases_check_results(const Lab *lab, const Graph *g, Value *const *results, OpBound b)
{
    for (uint32_t i = 0; i < g->results.n; i++) {
        Sym name = g->results.at[i].name;
        if (strchr(name, '/'))
            check_near(name, results[i], lab_need(lab, "%s", name), b);
    }
}
