/* machine.c: compiles recorded programs and runs their entries. */
#include "machine.h"
#include "codegen.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static Machine start(const Lab *lab, Compile *c, Bytes bytes, const MachineOptions *opt)
{
    Err err = {0};
    Machine m = {.lab = lab, .compile = c};
    m.plan = plan_from_bytes(bytes.data, bytes.n, &err);
    RtOptions rt = {.threads = opt->threads, .cache_dir = opt->cache, .quiet = true};
    const char *wanted = getenv("MDL_TEST_DEVICE");
    const DeviceVtable *gpu = wanted && strcmp(wanted, "cuda") == 0 ? &device_cuda : &device_simt;
    const DeviceVtable *v = m.plan && m.plan->targets[0].kind == PLAN_CUDA ? gpu : &device_cpu;
    m.rt = m.plan ? rt_open_on(m.plan, opt->device ? opt->device : v, &rt, &err) : NULL;
    if (!m.rt)
        fail_msg("%s", err.text);
    return m;
}

Machine machine_of_model(const Lab *lab, const RecordedModel *model, const MachineOptions *opt)
{
    Err err = {0};
    Target of;
    assert_true(lab_target(&of, opt->isa, &err));
    CompileTarget target = {of.kind == TK_CUDA ? PLAN_CUDA : PLAN_CPU, of.isa};
    CompileOptions co = {.path = path_join(lab->arena, MDL_SOURCE_DIR, model->program),
                         .sets = model->set,
                         .nset = model->nset,
                         .isa = opt->isa,
                         .targets = COPY_ARRAY(lab->arena, CompileTarget, &target, 1),
                         .ntarget = 1};
    if (opt->ntarget) {
        co.targets = opt->targets;
        co.ntarget = opt->ntarget;
    }
    uint32_t pass;
    if (opt->skip) {
        assert_true(compile_pass_find(opt->skip, &pass));
        co.skip = (uint64_t)1 << pass;
    }
    Compile *c = compile_new(COPY_ARRAY(lab->arena, CompileOptions, &co, 1));
    Bytes bytes = {0};
    if (!compile_load(c, &err) || !compile_stage(c, NULL, &err) || !compile_plan(c, &bytes, &err)) {
        fprintf(stderr, "%s", diags_render(compile_diags(c), lab->arena, DIAG_HUMAN, false));
        fail_msg("%s", err.text);
    }
    return start(lab, c, bytes, opt);
}

Machine machine_of_graphs(Lab *lab, Graph *const *fused, const MachineOptions *opt)
{
    uint32_t n = lab->program->entries.n;
    const MemPlan **plans = NEW_ARRAY(lab->arena, const MemPlan *, n);
    for (uint32_t i = 0; i < n; i++)
        plans[i] = memplan_build(lab->passes, fused[i]);
    PlanBuilder *b = planb_new(lab->arena);
    MkPlan mk = {.program = lab->program,
                 .plans = plans,
                 .nentry = n,
                 .targets = &lab->target,
                 .ntarget = 1,
                 .source_path = "recorded"};
    codegen_plan(b, &mk);
    lab_clean(lab, "codegen_plan");
    return start(lab, NULL, planb_finish(b), opt);
}

void machine_close(Machine *m)
{
    rt_close(m->rt);
    plan_free(m->plan);
    compile_free(m->compile);
}

/* ---- states ---- */

void machine_set_states(const Machine *m, const World *w)
{
    for (uint32_t i = 0; i < m->lab->program->states.n; i++) {
        const Value *v = w->states[i];
        DType dt = m->lab->program->states.at[i]->type->dtype;
        RtLoan at;
        Err err = {0};
        assert_true(rt_lend_state(m->rt, i, RT_WRITE, &at, &err));
        assert_int_equal(at.bytes, (size_t)v->count * dtype_info(dt)->bytes);
        for (int64_t k = 0; k < v->count; k++)
            dtype_store(dt, at.data, (size_t)k, v->at[k]);
        assert_true(rt_return(m->rt, &at, &err));
    }
}

/* Returns the loan. */
static Value *loaded(const Machine *m, const Type *type, RtLoan *at)
{
    Value *v = value_new(m->lab->arena, type, NULL);
    Err err = {0};
    for (int64_t k = 0; k < v->count; k++)
        v->at[k] = dtype_load(type->dtype, at->data, (size_t)k);
    assert_true(rt_return(m->rt, at, &err));
    return v;
}

Value *machine_state(const Machine *m, uint32_t state)
{
    RtLoan at;
    Err err = {0};
    assert_true(rt_lend_state(m->rt, state, RT_READ, &at, &err));
    return loaded(m, m->lab->program->states.at[state]->type, &at);
}

Value **machine_states(const Machine *m)
{
    uint32_t n = m->lab->program->states.n;
    Value **all = NEW_ARRAY(m->lab->arena, Value *, n + 1);
    for (uint32_t i = 0; i < n; i++)
        all[i] = machine_state(m, i);
    return all;
}

/* ---- entries ---- */

static const void *input_data(const Machine *m, const PlanBinding *b, const World *w)
{
    const char *name = plan_text(m->plan, b->name);
    const PlanTensor *t = &m->plan->tensors[b->tensor];
    const StTensor *have =
        st_find(m->lab->file, arena_printf(m->lab->arena, "%s%s", w->input_prefix, name));
    if (!have)
        fail_msg("no recorded input %s", name);
    assert_int_equal(have->dtype, t->dtype);
    assert_int_equal(have->bytes, t->bytes);
    return have->data;
}

Value **machine_run(const Machine *m, const char *entry, const World *w)
{
    Arena *arena = m->lab->arena;
    uint32_t e = plan_find_entry(m->plan, entry);
    assert_int_not_equal(e, PLAN_NONE);
    const PlanEntry *from = &m->plan->entries[e];
    const void **inputs = NEW_ARRAY(arena, const void *, from->ninput + (size_t)1);
    int64_t *syms = NEW_ARRAY(arena, int64_t, m->plan->nsyms + (size_t)1);
    for (uint32_t i = 0; i < from->ninput; i++)
        inputs[i] = input_data(m, &m->plan->bindings[from->input0 + i], w);
    for (uint32_t i = 0; i < m->plan->nsyms; i++)
        syms[i] = m->plan->syms[i].hi;
    RtCall call = {
        .inputs = inputs, .syms = syms, .step = (int64_t)w->step, .lr = w->lr, .first = true};
    Err err = {0};
    if (!rt_run(m->rt, e, &call, &err))
        fail_msg("%s", err.text);
    const Graph *g = m->lab->program->entries.at[e];
    Value **results = NEW_ARRAY(arena, Value *, g->results.n + 1);
    for (uint32_t i = 0; i < g->results.n; i++) {
        RtLoan at;
        if (!rt_lend_result(m->rt, e, i, &at, &err))
            fail_msg("%s", err.text);
        results[i] = loaded(m, g->results.at[i].node->type, &at);
    }
    return results;
}
