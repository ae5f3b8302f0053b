/* LIBS: mdl_passes mdl_front mdl_front_rule mdl_target mdl_ir mdl_plan mdl_base */
/* fuzz_mutate.c: good programs with mutated tokens, numbers and shapes (mutate.h), so that elaboration
 * and what is behind it are reached. What is accepted must differentiate or say why not, survive
 * printing and reading, and be computed by the interpreter where that is little work. */
#define _GNU_SOURCE
#include "fuzz_program.h"

#include "mutate.h"
#include "passes.h"
#include <stdlib.h>

#define MAX_WORK 2e5 /* elements an entry may compute */

static void round_trip(Ir *ir, Arena *arena, const Graph *g, const Program *p)
{
    StrBuf once = sb_new(arena), again = sb_new(arena);
    graph_verify(g, p);
    graph_print(g, p, &once);
    const char *text = sb_text(&once);
    Graph *back = graph_parse(ir, arena, diags_source(ir->diags, "graph", text, strlen(text)));
    if (!back)
        BUG("%s\ndoes not read back:\n%s", text, diags_render(ir->diags, arena, DIAG_HUMAN, false));
    graph_verify(back, NULL);
    once = sb_new(arena);
    graph_print(g, NULL, &once);
    graph_print(back, NULL, &again);
    ASSERT(strcmp(sb_text(&once), sb_text(&again)) == 0);
}

/* ---- running ---- */

static double count_of(const Type *t, const int64_t *sizes)
{
    double n = 1;
    for (uint32_t i = 0; !t->is_tuple && i < t->rank; i++)
        n *= (double)dim_eval(t->dims[i], sizes);
    for (uint32_t i = 0; t->is_tuple && i < t->nelem; i++)
        n += count_of(t->elems[i], sizes);
    return n;
}

/* Elements made, an upper bound of the terms of products included; bodies of calls too. */
static double work_of(const Graph *g, const int64_t *sizes)
{
    double work = 0;
    for (uint32_t i = 0; i < g->nodes.n && work < MAX_WORK; i++) {
        const Node *n = g->nodes.at[i];
        double own = count_of(n->type, sizes), most = 1;
        for (uint32_t k = 0; k < n->nin; k++) {
            double in = count_of(n->in[k]->type, sizes);
            most = in > most ? in : most;
        }
        work += own + most + (op_info(n->op)->cls == OC_CONTRACT ? own * most : 0);
        if (op_info(n->op)->cls == OC_CALL || op_info(n->op)->cls == OC_GROUP)
            work += work_of(node_def(n)->body, sizes);
    }
    return work;
}

static double slot(void *user, const char *name)
{
    UNUSED(user);
    return name[0] == 'l' ? 0.1 : 1;
}

static void fill(Value *v)
{
    for (int64_t i = 0; i < v->count; i++)
        v->at[i] = dtype_is_float(v->type->dtype) ? (double)(i % 7) * 0.25 - 0.5 : (double)(i % 2);
}

static void run(Arena *arena, const Graph *g, const Program *p)
{
    const Ir *ir = g->ir;
    int64_t *sizes = NEW_ARRAY(arena, int64_t, dim_sym_count(ir) + 1);
    for (uint32_t i = 0; i < dim_sym_count(ir); i++) {
        const DimSym *s = dim_sym_at(ir, i);
        sizes[i] = s->hi == DIM_FREE || s->lo + 1 > s->hi ? s->hi : s->lo + 1;
        if (s->hi == DIM_FREE)
            sizes[i] = 2;
    }
    if (work_of(g, sizes) >= MAX_WORK)
        return;
    Value **inputs = NEW_ARRAY(arena, Value *, g->inputs.n + 1);
    Value **states = NEW_ARRAY(arena, Value *, p->states.n + 1);
    Value **results = NEW_ARRAY(arena, Value *, g->results.n + 1);
    Value **writes = NEW_ARRAY(arena, Value *, g->writes.n + 1);
    for (uint32_t i = 0; i < g->inputs.n; i++) {
        inputs[i] = value_new(arena, g->inputs.at[i]->type, sizes);
        fill(inputs[i]);
    }
    for (uint32_t i = 0; i < g->nodes.n; i++) {
        uint32_t state;
        if (node_is_state(g->nodes.at[i], &state) && !states[state]) {
            states[state] = value_new(arena, g->nodes.at[i]->type, sizes);
            fill(states[state]);
        }
    }
    InterpBinding b = {.sym_values = sizes, .inputs = inputs, .states = states, .slot = slot};
    interp_run(g, arena, &b, results, writes);
}

/* ---- one mutant ---- */

/* As `ls`, `graph` and `check --shapes` look at it, in one of the modes. */
static void look(const FuzzStd *s, Mode mode)
{
    StrBuf sb = sb_new(s->arena);
    FrontStage about;
    const FrontLine *lines;
    for (uint32_t i = 0; i < front_model_count(s->front); i++) {
        const Program *p = front_model(s->front, i, mode);
        ASSERT(p || diags_reported(s->ir->diags) > 0);
        for (uint32_t k = 0; p && k < p->entries.n; k++)
            round_trip(s->ir, s->arena, p->entries.at[k], p);
    }
    for (uint32_t i = 0; i < front_stage_count(s->front); i++) {
        ASSERT(front_stage_about(s->front, i, &about) || diags_reported(s->ir->diags) > 0);
        front_stage_lines(s->front, i, &lines);
    }
    front_shapes_print(s->front, &sb);
    ASSERT(*sb_text(&sb));
}

static void take(void *user, Program *p, Arena *arena)
{
    Ir *ir = user;
    PassCx *cx = passes_begin(ir, arena, p, NULL);
    for (uint32_t i = 0; i < p->entries.n; i++) {
        Graph *g = p->entries.at[i];
        round_trip(ir, arena, g, p);
        uint32_t errors = diags_reported(ir->diags);
        PassOptions until_expand = {.limit = PASS_expand + 1};
        Graph *after = passes_run(cx, g, &until_expand);
        ASSERT(after || diags_reported(ir->diags) > errors);
        if (after) {
            round_trip(ir, arena, after, p);
            run(arena, after, p);
        }
    }
}

static void check(const FuzzStd *s, const char *text)
{
    FuzzFile file = fuzz_file_open(text, strlen(text));
    if (fuzz_load(s, file.path)) {
        front_shapes_begin(s->front);
        bool good = front_check_each(s->front, take, s->ir);
        ASSERT(good || diags_errors(s->ir->diags) > 0);
        if (good) {
            fuzz_stages(s);
            look(s, (Mode)(strlen(text) % MODE_COUNT));
        }
    }
    ASSERT(diags_render(s->ir->diags, s->arena, DIAG_HUMAN, false));
    fuzz_std_restore(s);
    fuzz_file_close(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static FuzzStd s;
    static const Corpus *originals;
    if (!originals) {
        s = fuzz_std_new();
        originals = corpus_new(arena_new());
    }
    Arena *arena = arena_new();
    Chooser r = {.bytes = true, .data = data, .n = n};
    const char *text = corpus_mutant(originals, arena, &r);
    if (getenv("MDL_SHOW"))
        fputs(text, stderr);
    check(&s, text);
    arena_free(arena);
    return 0;
}
