/* LIBS: mdl_compile mdl_runtime mdl_plan mdl_base */
/* test_gpugates.c: every kernel of whole programs compiles for both architectures, spills nothing and keeps
 * within what a block may have. Needs no GPU, weights or data. With MDL_GPU_TABLE=1 it prints what each kernel
 * takes. */
#include "compile.h"
#include "nvrtccase.h"
#include "plan.h"
#include <stdio.h>
#include <stdlib.h>

enum { MOST_SHARED = 232448, MOST_SHARED_SM80 = 166912 };

static Plan *compile_for(Arena *arena, const char *path, const char *arch)
{
    CompileTarget target = {.kind = PLAN_CUDA, .isa = arch};
    CompileOptions opt = {.path = path, .targets = &target, .ntarget = 1, .memory = UINT64_MAX};
    Compile *c = compile_new(&opt);
    Err err = {0};
    Bytes bytes;
    if (!compile_load(c, &err) || !compile_stage(c, NULL, &err) || !compile_plan(c, &bytes, &err))
        fail_msg("%s: %s\n%s", path, err.text,
                 diags_render(compile_diags(c), arena, DIAG_SHORT, false));
    Plan *plan = plan_from_bytes(COPY_ARRAY(arena, char, bytes.data, bytes.n), bytes.n, &err);
    if (!plan)
        fail_msg("%s", err.text);
    compile_free(c);
    return plan;
}

static void check_kernel(const Plan *p, const char *arch, const PlanPhase *f, const CubinKernel *k)
{
    const char *name = plan_text(p, f->symbol);
    if (!k)
        fail_msg("%s: %s is not in its machine code", arch, name);
    if (getenv("MDL_GPU_TABLE"))
        printf("%-8s %-60s %4u threads %4u registers %7u shared %4u frame %4u spilled\n", arch,
               name, f->threads, k->registers, f->shared + k->shared, k->frame,
               k->spill_stores + k->spill_loads);
    uint32_t most = strcmp(arch, "sm_80") == 0 ? MOST_SHARED_SM80 : MOST_SHARED;
    if (k->spill_stores + k->spill_loads > 0)
        print_error("%s: %s spills %u bytes\n", arch, name, k->spill_stores + k->spill_loads);
    assert_int_equal(k->spill_stores + k->spill_loads, 0);
    assert_true(f->shared + k->shared <= most);
    assert_true(k->registers * f->threads <= 65536);
}

static void check_program(GpuCase *g, const char *file)
{
    if (!g->nvrtc)
        skip();
    const char *path = path_join(g->arena, MDL_SOURCE_DIR, file);
    setenv("MDL_PATH", path_join(g->arena, MDL_SOURCE_DIR, "models"), 1);
    for (size_t a = 0; a < COUNT(gpu_archs); a++) {
        Plan *p = compile_for(g->arena, path, gpu_archs[a]);
        GpuText *texts = NEW_ARRAY(g->arena, GpuText, p->nkernels + 1);
        for (uint32_t k = 0; k < p->nkernels; k++)
            texts[k] = (GpuText){plan_text(p, p->kernels[k].name),
                                 plan_text(p, plan_variant(p, k, 0)->source)};
        g->cache = MDL_KERNEL_CACHE; /* for the other presets, too */
        GpuBuild b = gpu_must_build(g, gpu_archs[a], texts, p->nkernels);
        for (uint32_t k = 0; k < p->nkernels; k++) {
            const PlanVariant *v = plan_variant(p, k, 0);
            const Cubin *unit = &b.units[b.unit_of[k]];
            if (strstr(unit->warnings, "C75"))
                fail_msg("%s: %s", plan_text(p, p->kernels[k].name), unit->warnings);
            for (uint32_t i = v->phase0; i < v->phase0 + v->nphase; i++)
                check_kernel(p, gpu_archs[a], &p->phases[i],
                             cubin_kernel(unit, plan_text(p, p->phases[i].symbol)));
        }
        plan_free(p);
    }
}

static void gpt2_training(void **state)
{
    check_program(*state, "bench/gpt2_step.mdl");
}

static void mistral_training(void **state)
{
    check_program(*state, "bench/mistral_step.mdl");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(gpt2_training),
                                       cmocka_unit_test(mistral_training)};
    return cmocka_run_group_tests(tests, gpu_setup, gpu_teardown);
}
