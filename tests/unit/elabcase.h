/* elabcase.h: programs as text, checked and run by the interpreter, for tests of the elaborator.
 *
 *   Lab l = lab_open("fn f(x: [B]) -> [B] = 2 * x");
 *   lab_input(&l, "x", DT_F32, (double[]){1, 2}, 1, (int64_t[]){2});
 *   Value **out = lab_call(&l, "f");
 *
 * Parameters of models get the values of param_value(path, i). */
#ifndef MDL_ELABCASE_H
#define MDL_ELABCASE_H

#define _GNU_SOURCE
#include "../fuzz/fuzz_file.h"

#include "../support/testrand.h"
#include "front.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* A model of so many layers (a string) with tensors of several ranks, for tests of blocks. */
#define LAB_NET(layers)                                                \
    "module Block(D) {\n"                                              \
    "  norm: LayerNorm(D)\n"                                           \
    "  fc: Linear(D, D)\n"                                             \
    "  fn forward(x: [.., D]) -> [.., D] = x + fc(norm(x))\n"          \
    "}\n"                                                              \
    "module Net(D, L) {\n"                                             \
    "  embed: Linear(2, D, bias: none)\n"                              \
    "  layers[L]: Block(D)\n"                                          \
    "  head: Linear(D, 3)\n"                                           \
    "  fn forward(x: [B, 2]) -> [B, 3] = embed(x) |> layers |> head\n" \
    "}\n"                                                              \
    "model net = Net(4, " layers ")\n"

enum { LAB_INPUTS = 8 };

typedef struct Lab {
    Arena *arena;
    Ir *ir;
    FuzzFile file;
    Front *front;
    Err err;
    CallInput in[LAB_INPUTS];
    const double *data[LAB_INPUTS];
    uint32_t nin;
    Program *program; /* of the last call */
} Lab;

static inline Lab lab_open_set(const char *text, const char *const *set, uint32_t nset)
{
    Lab l = {.arena = arena_new(), .file = fuzz_file_open(text, strlen(text))};
    l.ir = ir_new(l.arena, syms_new(l.arena), diags_new(l.arena));
    FrontOptions options = {.path = arena_strdup(l.arena, l.file.path), .set = set, .nset = nset};
    l.front = front_open(l.ir, &options, &l.err);
    return l;
}

static inline const char *lab_reports(const Lab *l)
{
    return diags_render(l->ir->diags, l->arena, DIAG_SHORT, false);
}

/* Opens a program that must be right. */
static inline Lab lab_open(const char *text)
{
    Lab l = lab_open_set(text, NULL, 0);
    if (!l.front)
        print_error("%s", lab_reports(&l));
    assert_non_null(l.front);
    return l;
}

static inline void lab_close(Lab *l)
{
    fuzz_file_close(&l->file);
    arena_free(l->arena);
}

typedef struct LabTensor {
    const char *name;
    DType dtype;
    const double *data;
    uint32_t rank;
    const int64_t *dim;
} LabTensor;

static inline void lab_add_input(Lab *l, const LabTensor *t)
{
    assert_true(l->nin < LAB_INPUTS);
    l->in[l->nin] = (CallInput){t->name, t->dtype, t->rank, t->dim};
    l->data[l->nin++] = t->data;
}

/* name, dtype, data, rank, dims */
#define lab_input(lab, ...) lab_add_input((lab), &(LabTensor){__VA_ARGS__})

static inline double param_value(const char *path, int64_t i)
{
    TestRand r = {hash_text(path) + (uint64_t)i};
    return rand_range(&r, -1, 1);
}

static inline Value **lab_states(Lab *l, const Program *p)
{
    Value **states = NEW_ARRAY(l->arena, Value *, p->states.n + 1);
    for (uint32_t i = 0; i < p->states.n; i++) {
        states[i] = value_new(l->arena, p->states.at[i]->type, NULL);
        for (int64_t k = 0; k < states[i]->count; k++)
            states[i]->at[k] = param_value(p->states.at[i]->path, k);
    }
    return states;
}

static inline Value **lab_inputs(Lab *l, const Graph *g)
{
    Value **in = NEW_ARRAY(l->arena, Value *, g->inputs.n + 1);
    for (uint32_t i = 0; i < g->inputs.n; i++) {
        uint32_t k = 0;
        while (k < l->nin && strcmp(l->in[k].name, node_sym(g->inputs.at[i], "name")) != 0)
            k++;
        assert_true(k < l->nin);
        in[i] = value_new(l->arena, g->inputs.at[i]->type, NULL);
        for (int64_t e = 0; e < in[i]->count; e++)
            in[i]->at[e] = l->data[k][e];
    }
    return in;
}

/* Whether `fn f(..)` of the text has a formal of that name. */
static inline bool lab_takes(const char *text, const char *name)
{
    const char *p = strstr(text, " f(");
    size_t n = strlen(name);
    for (p = p ? p + 2 : "";
         *p && strncmp(p, ") =", 3) != 0 && strncmp(p, ") {", 3) != 0 && strncmp(p, ") ->", 4) != 0;
         p++) {
        if ((*p == '(' || *p == ' ') && strncmp(p + 1, name, n) == 0 && p[1 + n] == ':')
            return true;
    }
    return false;
}

/* The results of FUNCTION on the inputs given so far, or NULL after diagnostics. */
static inline Value **lab_try(Lab *l, const char *function, bool train)
{
    bool blame;
    Program *p = front_call(l->front,
                            &(FrontCall){.function = function,
                                         .inputs = l->in,
                                         .ninput = l->nin,
                                         .mode = train ? MODE_TRAIN : MODE_EVAL},
                            &blame);
    l->program = p;
    if (!p) {
        assert_true(diags_errors(l->ir->diags) > 0);
        return NULL;
    }
    Graph *g = p->entries.at[0];
    graph_verify(g, p);
    Value **out = NEW_ARRAY(l->arena, Value *, g->results.n + 1);
    InterpBinding b = {.inputs = lab_inputs(l, g), .states = lab_states(l, p)};
    interp_run(g, l->arena, &b, out, NULL);
    return out;
}

static inline Value **lab_call(Lab *l, const char *function)
{
    Value **out = lab_try(l, function, false);
    if (!out)
        print_error("%s", lab_reports(l));
    assert_non_null(out);
    return out;
}

/* The type of result i of the last call, as text. */
static inline const char *lab_type(const Lab *l, uint32_t i)
{
    return type_text(l->ir, l->program->entries.at[0]->results.at[i].node->type);
}

static inline void assert_near(double got, double want)
{
    if (!(fabs(got - want) <= 1e-9 * (1 + fabs(want))))
        print_error("got %.17g, want %.17g\n", got, want);
    assert_true(fabs(got - want) <= 1e-9 * (1 + fabs(want)));
}

static inline void assert_values(const Value *v, const double *want, int64_t n)
{
    assert_int_equal(v->count, n);
    for (int64_t i = 0; i < n; i++)
        assert_near(v->at[i], want[i]);
}

#define ASSERT_VALUES(v, ...)                   \
    assert_values((v), (double[]){__VA_ARGS__}, \
                  (int64_t)(sizeof((double[]){__VA_ARGS__}) / sizeof(double)))

#endif
