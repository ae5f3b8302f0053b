/* lab.c: opens programs with their recorded numbers and runs entries by the interpreter. */
#include "lab.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The settings are also in the metadata of the files (record.py). */
const RecordedModel recorded_models[RECORDED_MODELS] = {
    {.name = "mlp",
     .program = "examples/digits/mlp_mnist.mdl",
     .file = "mlp.safetensors",
     .set = {"model.mlp.Hidden=12", "train.mlp.batch=6",
             "train.mlp.optimizer=adamw(weight_decay: 0.1)"},
     .nset = 3,
     .lr = 0.002},
    {.name = "digit_transformer",
     .program = "examples/digits/transformer.mdl",
     .file = "transformer.safetensors",
     .set = {"model.digit_transformer.D=16", "model.digit_transformer.H=2",
             "model.digit_transformer.F=24", "train.digit_transformer.batch=5",
             "train.digit_transformer.optimizer=adamw(weight_decay: 0.05)"},
     .nset = 5,
     .lr = 0.003},
};

/* ---- opening ---- */

void lab_clean(const Lab *lab, const char *what)
{
    if (diags_errors(lab->ir->diags) == 0)
        return;
    fprintf(stderr, "%s", diags_render(lab->ir->diags, lab->arena, DIAG_HUMAN, false));
    fail_msg("%s: diagnostics", what);
}

bool lab_target(Target *out, const char *isa, Err *err)
{
    isa = isa ? isa : getenv("MDL_TEST_ISA");
    return isa && strncmp(isa, "sm_", 3) == 0 ? target_cuda(out, isa, err)
                                              : target_host(out, isa, err);
}

Lab *lab_open(const char *program, const char *recorded, const char *const *set, uint32_t nset)
{
    Arena *arena = arena_new();
    Lab *lab = NEW(arena, Lab);
    *lab = (Lab){.arena = arena};
    lab->ir = ir_new(arena, syms_new(arena), diags_new(arena));
    Err err = {0};
    FrontOptions opt = {
        .path = path_join(arena, MDL_SOURCE_DIR, program), .set = set, .nset = nset};
    lab->front = front_open(lab->ir, &opt, &err);
    lab_clean(lab, program);
    if (!lab->front)
        fail_msg("%s", err.text);
    if (recorded)
        lab->file = st_open(path_join(arena, MDL_SOURCE_DIR "/tests/recorded", recorded), &err);
    if ((recorded && !lab->file) || !lab_target(&lab->target, NULL, &err))
        fail_msg("%s", err.text);
    return lab;
}

Lab *lab_open_model(const RecordedModel *m)
{
    Lab *lab = lab_open(m->program, m->file, m->set, m->nset);
    lab_stage(lab);
    return lab;
}

void lab_close(Lab *lab)
{
    if (lab->file)
        st_close(lab->file);
    arena_free(lab->arena);
}

void lab_program(Lab *lab, Program *p)
{
    lab->program = p;
    lab->passes = passes_begin(lab->ir, lab->arena, p, &lab->target);
    lab->passes->std_op = front_std_op;
    lab->passes->front = lab->front;
}

void lab_stage(Lab *lab)
{
    Program *p = front_stage(lab->front, NULL, planb_new(lab->arena));
    lab_clean(lab, "front_stage");
    assert_non_null(p);
    lab_program(lab, p);
}

Graph *lab_pass(Lab *lab, const Graph *entry, int last)
{
    PassOptions opt = {.limit = last + 1};
    Graph *g = passes_run(lab->passes, entry, &opt);
    lab_clean(lab, entry->name);
    assert_non_null(g);
    return g;
}

/* ---- without fusion ---- */

/* One operation as a graph of its own. What it reads becomes inputs; `outer` says of which nodes. */
typedef struct Alone {
    Graph *g;
    const Node **outer;
    uint32_t nouter;
} Alone;

static const Node *stand_in(Lab *lab, Alone *a, const Node *x)
{
    if (x->nin == 0 && op_info(x->op)->folded)
        return graph_copy_node(a->g, x, NULL);
    a->outer[a->nouter] = x;
    return graph_input(a->g, sym_printf(lab->ir->syms, "x%u", a->nouter++), x->type);
}

static Alone alone(Lab *lab, const Node *n)
{
    Alone a = {.g = graph_new(lab->ir, lab->arena, sym(lab->ir->syms, "alone")),
               .outer = NEW_ARRAY(lab->arena, const Node *, n->nin + 1)};
    const Node **in = NEW_ARRAY(lab->arena, const Node *, n->nin + 1);
    for (uint32_t k = 0; k < n->nin; k++)
        in[k] = stand_in(lab, &a, n->in[k]);
    const Node *y = n->nin ? graph_copy_node(a.g, n, in) : stand_in(lab, &a, n);
    uint32_t nresult = n->type->is_tuple ? n->type->nelem : 1;
    for (uint32_t i = 0; i < nresult; i++)
        graph_result(a.g, sym_printf(lab->ir->syms, "y%u", i), graph_get(a.g, y, i));
    return a;
}

/* The group in g that computes n. map: nodes of g by id of what n reads; NULL: n is of g itself. */
static const Node *add_group(Lab *lab, Graph *g, const Node *n, const Node *const *map)
{
    uint32_t nresult = n->type->is_tuple ? n->type->nelem : 1;
    const Node **out = NEW_ARRAY(lab->arena, const Node *, nresult);
    Alone a = alone(lab, n);
    for (uint32_t k = 0; k < a.nouter && map; k++)
        a.outer[k] = map[a.outer[k]->id];
    graph_inline(g, pass_fuse(lab->passes, a.g), a.outer, out);
    return n->type->is_tuple ? graph_tuple(g, out, nresult) : out[0];
}

static const Node *grouped(Rewrite *rw, const Node *n, const Node *const *in)
{
    uint32_t member;
    if (node_is_get(n, &member) && op_info(in[0]->op)->cls == OC_TUPLE)
        return in[0]->in[member]; /* of a composite that a class claims */
    return n->nin ? add_group(rw->user, rw->out, n, rw->map) : NULL;
}

Graph *lab_unfused(Lab *lab, const Graph *g)
{
    Graph *out = graph_rewrite(g, lab->arena, grouped, lab);
    out = graph_rewrite(out, lab->arena, NULL, NULL); /* without the tuples */
    for (uint32_t i = 0; i < out->results.n; i++) {
        GraphResult *r = &out->results.at[i];
        r->node = r->node->nin ? r->node : add_group(lab, out, r->node, NULL);
    }
    for (uint32_t i = 0; i < out->writes.n; i++) {
        GraphWrite *w = &out->writes.at[i];
        w->node = w->node->nin ? w->node : add_group(lab, out, w->node, NULL);
    }
    graph_verify(out, lab->program);
    return pass_pick(lab->passes, out);
}

/* ---- recorded tensors ---- */

static Value *to_value(const Lab *lab, const StTensor *t)
{
    const Dim *dims[IR_MAX_RANK];
    for (uint32_t i = 0; i < t->rank; i++)
        dims[i] = dim_const(lab->ir, t->dim[i]);
    Value *v = value_new(lab->arena, type_tensor(lab->ir, t->dtype, t->rank, dims), NULL);
    for (int64_t i = 0; i < v->count; i++)
        v->at[i] = dtype_load(t->dtype, t->data, (size_t)i);
    return v;
}

PRINTF_LIKE(2, 0)
static Value *find_value(const Lab *lab, const char *fmt, va_list ap)
{
    char name[256];
    vsnprintf(name, sizeof name, fmt, ap);
    const StTensor *t = st_find(lab->file, name);
    return t ? to_value(lab, t) : NULL;
}

Value *lab_value(const Lab *lab, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    Value *v = find_value(lab, fmt, ap);
    va_end(ap);
    return v;
}

Value *lab_need(const Lab *lab, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    Value *v = find_value(lab, fmt, ap);
    va_end(ap);
    if (!v)
        fail_msg("no recorded tensor %s", fmt);
    return v;
}

/* ---- running ---- */

/* To 16 bits; wider numbers stay as they were recorded. */
static void round_narrow(DType dt, Value *v)
{
    for (int64_t k = 0; dtype_info(dt)->bytes == 2 && k < v->count; k++) {
        uint16_t bits;
        dtype_store(dt, &bits, 0, v->at[k]);
        v->at[k] = dtype_load(dt, &bits, 0);
    }
}

World lab_world(const Lab *lab, const char *weight_prefix)
{
    uint32_t n = lab->program->states.n;
    World w = {.states = NEW_ARRAY(lab->arena, Value *, n + 1), .input_prefix = "batch."};
    for (uint32_t i = 0; i < n; i++) {
        const State *s = lab->program->states.at[i];
        const State *param = s->kind == SK_MASTER ? lab->program->states.at[s->of] : s;
        w.states[i] = param->kind == SK_PARAM ? lab_need(lab, "%s%s", weight_prefix, param->key)
                                              : value_new(lab->arena, s->type, NULL);
        round_narrow(s->type->dtype, w.states[i]);
        assert_int_equal(w.states[i]->rank, s->type->rank);
        for (uint32_t k = 0; k < s->type->rank; k++)
            assert_true(dim_equals(s->type->dims[k], w.states[i]->dim[k]));
    }
    return w;
}

static double slot(void *user, const char *name)
{
    const World *w = user;
    return strcmp(name, "lr") == 0 ? w->lr : strcmp(name, "step") == 0 ? w->step : 0;
}

Value **lab_run(const Lab *lab, const Graph *g, World *w)
{
    Value **inputs = NEW_ARRAY(lab->arena, Value *, g->inputs.n + 1);
    for (uint32_t i = 0; i < g->inputs.n; i++)
        inputs[i] = lab_need(lab, "%s%s", w->input_prefix, node_sym(g->inputs.at[i], "name"));
    InterpBinding b = {
        .bits = w->bits, .inputs = inputs, .states = w->states, .slot = slot, .user = w};
    Value **results = NEW_ARRAY(lab->arena, Value *, g->results.n + 1);
    Value **writes = NEW_ARRAY(lab->arena, Value *, g->writes.n + 1);
    interp_run(g, lab->arena, &b, results, writes);
    for (uint32_t i = 0; i < g->writes.n; i++)
        w->states[g->writes.at[i].state] = writes[i];
    return results;
}

const Value *lab_result(const Graph *g, Value **results, const char *name)
{
    for (uint32_t i = 0; i < g->results.n; i++)
        if (strcmp(g->results.at[i].name, name) == 0)
            return results[i];
    fail_msg("%s has no result %s", g->name, name);
    return NULL;
}

/* ---- comparing ---- */

double value_norm(const Value *v)
{
    double sum = 0;
    for (int64_t i = 0; i < v->count; i++)
        sum += v->at[i] * v->at[i];
    return sqrt(sum);
}

double value_gap(const Value *a, const Value *b)
{
    if (a->rank != b->rank || memcmp(a->dim, b->dim, a->rank * sizeof *a->dim) != 0)
        return HUGE_VAL;
    double sum = 0;
    for (int64_t i = 0; i < a->count; i++) {
        double d = a->at[i] == b->at[i] ? 0 : a->at[i] - b->at[i];
        if (isnan(a->at[i]) && isnan(b->at[i]))
            d = 0;
        sum += d * d;
    }
    return isnan(sum) ? HUGE_VAL : sqrt(sum);
}

void check_value(const char *what, const Value *got, const Value *want, double bound)
{
    double gap = value_gap(got, want), norm = value_norm(want);
    if (!(gap <= bound * norm))
        fail_msg("%s: off by %g, which is %g of its norm; at most %g", what, gap, gap / norm,
                 bound);
}

static double whole_norm(const Lab *lab)
{
    double sum = 0;
    for (uint32_t i = 0; i < lab->file->n; i++) {
        const StTensor *t = &lab->file->tensors[i];
        if (strncmp(t->name, "grad.", 5) == 0) {
            double norm = value_norm(to_value(lab, t));
            sum += norm * norm;
        }
    }
    return sqrt(sum);
}

bool gradient_vanishes(const Lab *lab, Sym key)
{
    return value_norm(lab_need(lab, "grad.%s", key)) < 1e-9 * whole_norm(lab);
}

void check_gradients(const Lab *lab, Value *const *states, GradBound bound)
{
    double whole = whole_norm(lab);
    uint32_t n = 0;
    for (uint32_t i = 0; i < lab->program->states.n; i++) {
        const State *s = lab->program->states.at[i];
        if (s->kind != SK_GRAD)
            continue;
        Sym key = lab->program->states.at[s->of]->key;
        const Value *want = lab_need(lab, "grad.%s", key);
        n++;
        if (!gradient_vanishes(lab, key))
            check_value(s->path, states[i], want, bound.tensor);
        else if (!(value_gap(states[i], want) <= bound.vanishing * whole))
            fail_msg("%s should vanish, but its norm is %g", s->path, value_norm(states[i]));
    }
    assert_true(n > 0);
}
