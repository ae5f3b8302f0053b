/* LIBS: mdl_test_zoo mdl_test_lab mdl_passes mdl_front mdl_front_rule mdl_runtime mdl_plan mdl_target mdl_ir mdl_base */
/* test_zoo_decode.c: language models read a text in pieces, keeping keys and values between them, and score
 * each token as the reference does that sees the whole. */
#include "zoo.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* What a sequence keeps between two passes, by path. */
typedef struct Kept {
    Sym path;
    Value *value;
} Kept;

typedef struct Sequence {
    Lab *lab;
    const ZooCase *c;
    int64_t rows, context; /* of the recorded tokens */
    VEC(Kept) kept;
    int64_t past; /* tokens read */
} Sequence;

static double slot(void *user, const char *name)
{
    const Sequence *s = user;
    return strcmp(name, "len") == 0 ? (double)s->past : 0;
}

static Value *kept_or_zero(const Sequence *s, const State *state)
{
    for (uint32_t i = 0; i < s->kept.n; i++)
        if (s->kept.at[i].path == state->path)
            return s->kept.at[i].value;
    return value_new(s->lab->arena, state->type, NULL);
}

static void keep(Sequence *s, Sym path, Value *v)
{
    for (uint32_t i = 0; i < s->kept.n; i++) {
        if (s->kept.at[i].path == path) {
            s->kept.at[i].value = v;
            return;
        }
    }
    Kept fresh = {path, v};
    VEC_PUSH(s->lab->arena, &s->kept, fresh);
}

/* Columns past .. past + n of a recorded tensor [B, T, ..]. */
static Value *columns(const Sequence *s, const Value *whole, int64_t n)
{
    const Dim *dims[IR_MAX_RANK];
    for (uint32_t i = 0; i < whole->rank; i++)
        dims[i] = dim_const(s->lab->ir, i == 1 ? n : whole->dim[i]);
    const Type *type = type_tensor(s->lab->ir, whole->type->dtype, whole->rank, dims);
    Value *v = value_new(s->lab->arena, type, NULL);
    int64_t inner = whole->count / (whole->dim[0] * whole->dim[1]);
    for (int64_t b = 0; b < whole->dim[0]; b++)
        memcpy(v->at + b * n * inner, whole->at + (b * whole->dim[1] + s->past) * inner,
               (size_t)(n * inner) * sizeof *v->at);
    return v;
}

/* The next n tokens. */
static void read_piece(Sequence *s, int64_t n)
{
    Lab *lab = s->lab;
    int64_t dim[2] = {s->rows, n};
    const CallInput in[2] = {{"tokens", DT_I32, 2, dim}, {"pos", DT_I32, 2, dim}};
    const FrontCall call = {.function = s->c->function,
                            .inputs = in,
                            .ninput = 2,
                            .mode = s->past ? MODE_DECODE : MODE_PREFILL,
                            .past = s->past,
                            .context = s->context};
    bool blame;
    lab->program = front_call(lab->front, &call, &blame);
    lab_clean(lab, s->c->function);
    const Graph *g = lab->program->entries.at[0];
    graph_verify(g, lab->program);
    World w = zoo_world(lab, s->c);
    bool keeps = false;
    for (uint32_t i = 0; i < lab->program->states.n; i++) {
        const State *state = lab->program->states.at[i];
        if (state->kind == SK_KV) {
            w.states[i] = kept_or_zero(s, state);
            keeps = true;
        }
    }
    assert_true(keeps);
    Value **inputs = NEW_ARRAY(lab->arena, Value *, 2), *out, **writes;
    for (uint32_t i = 0; i < g->inputs.n; i++)
        inputs[i] =
            columns(s, lab_need(lab, "%s%s", w.input_prefix, node_sym(g->inputs.at[i], "name")), n);
    writes = NEW_ARRAY(lab->arena, Value *, g->writes.n + 1);
    InterpBinding b = {.inputs = inputs, .states = w.states, .slot = slot, .user = s};
    interp_run(g, lab->arena, &b, &out, writes);
    check_value("piece", out, columns(s, lab_need(lab, "%s/out", s->c->name), n), 1e-10);
    for (uint32_t i = 0; i < g->writes.n; i++)
        keep(s, lab->program->states.at[g->writes.at[i].state]->path, writes[i]);
    s->past += n;
}

static bool reads_tokens(const Lab *lab, const ZooCase *c)
{
    return strcmp(c->name, "logits") == 0 && lab_value(lab, "logits/in.tokens") &&
           !lab_value(lab, "logits/in.images");
}

static void test_pieces(void **state)
{
    UNUSED(state);
    static const int64_t pieces[][8] = {{3, 1, 1, 1, 1}, {1, 1, 5}, {4, 2, 1}, {7}};
    uint32_t models = 0;
    for (uint32_t k = 0; k < zoo_count; k++) {
        Lab *lab = zoo_open(&zoo_models[k]);
        const ZooCase *c = &zoo_models[k].cases[0];
        for (size_t i = 0; i < COUNT(pieces) && reads_tokens(lab, c); i++) {
            const Value *tokens = lab_need(lab, "logits/in.tokens");
            Sequence s = {
                .lab = lab, .c = c, .rows = tokens->dim[0], .context = tokens->dim[1] + 2};
            for (int64_t p = 0; pieces[i][p]; p++)
                read_piece(&s, pieces[i][p]);
            assert_int_equal(s.past, 7);
            models += i == 0;
        }
        lab_close(lab);
    }
    assert_int_equal(models, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
