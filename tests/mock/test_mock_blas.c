/* LIBS: mdl_compile mdl_codegen mdl_passes mdl_runtime mdl_target mdl_plan mdl_ir mdl_base */
/* test_mock_blas.c: plans whose products cuBLASLt computes, on the driver over the emulator and a library of plain loops
 * (fakecuda.c, fakeblas.c): all ways in which operands lie, results against those of the plan's own kernels. */
#include "compile.h"
#include "memplan.h"
#include "pick.h"
#include "runtime.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { M = 24, N = 40, K = 56, BATCH = 3 };

static const char text[] = "fn nn(a: [M, K], b: [K, N]) -> [M, N] = a @ b\n"
                           "fn nt(a: [M, K], b: [N, K]) -> [M, N] {\n"
                           "  c[m, n] += a[m, k] * b[n, k]\n  c\n}\n"
                           "fn tn(a: [K, M], b: [K, N]) -> [M, N] {\n"
                           "  c[m, n] += a[k, m] * b[k, n]\n  c\n}\n"
                           "fn tt(a: [K, M], b: [N, K]) -> [M, N] {\n"
                           "  c[m, n] += a[k, m] * b[n, k]\n  c\n}\n"
                           "fn plus(a: [M, K], b: [K, N], c: [M, N]) -> [M, N] = c + a @ b\n"
                           "fn many(a: [B, M, K], b: [B, K, N]) -> [B, M, N] {\n"
                           "  c[h, m, n] += a[h, m, k] * b[h, k, n]\n  c\n}\n"
                           "fn between(a: [K, B, M], b: [N, B, K]) -> [B, M, N] {\n"
                           "  c[h, m, n] += a[k, h, m] * b[n, h, k]\n  c\n}\n"
                           "fn most(a: [M, K], b: [K, N]) -> [M, N] = max(a @ b, 0)\n"
                           "fn both(a: [M, K], b: [K, N]) = (a @ b, a @ (b * 2))\n"
                           "fn part(a: [M, K], b: [K, N]) -> [M, N] = a[:, 8:] @ b[8:, :]\n";

typedef struct Case {
    Arena *arena;
    char path[40];
    const char *function;
    DType dtype;
    uint64_t algorithm; /* 0: none */
    double *result;     /* of the run */
    Plan *plan;
} Case;

static int setup(void **state)
{
    Arena *arena = arena_new();
    Case *x = NEW(arena, Case);
    *x = (Case){.arena = arena, .path = "/tmp/mdl-blas-XXXXXX"};
    int fd = mkstemp(x->path);
    assert_true(fd >= 0 && write(fd, text, sizeof text - 1) == sizeof text - 1);
    close(fd);
    setenv("MDL_LIBCUDA", MDL_BINARY_DIR "/tests/mock/mdl_fakecuda.so", 1);
    setenv("MDL_CUBLASLT", MDL_BINARY_DIR "/tests/mock/mdl_fakecuda.so", 1);
    setenv("MDL_NVRTC", MDL_BINARY_DIR "/tests/mock/mdl_fakenvrtc.so", 1);
    setenv("MDL_CACHE", MDL_BINARY_DIR "/kernel-cache", 0);
    *state = x;
    return 0;
}

static int teardown(void **state)
{
    Case *x = *state;
    unlink(x->path);
    arena_free(x->arena);
    return 0;
}

/* ---- plans ---- */

static const Node *product_of(const MemPlan *m)
{
    for (uint32_t i = 0; i < m->order.n; i++)
        if (strcmp(node_sym(m->order.at[i], "class"), "gemm") == 0)
            return m->order.at[i];
    fail_msg("no product");
    return NULL;
}

static size_t batch_of(const Case *x)
{
    return strcmp(x->function, "many") == 0 || strcmp(x->function, "between") == 0 ? BATCH : 1;
}

/* The plan of the function; with a record it is compiled a second time. */
static void compile(Case *x, const Records *records)
{
    static const CompileTarget target = {PLAN_CUDA, "sm_80"};
    const CompileOptions opt = {
        .path = x->path, .targets = &target, .ntarget = 1, .records = records};
    bool ta = strcmp(x->function, "tn") == 0 || strcmp(x->function, "tt") == 0;
    bool tb = strcmp(x->function, "nt") == 0 || strcmp(x->function, "tt") == 0;
    CompileInput in[] = {
        {.name = "a", .dtype = x->dtype, .rank = 2, .dim = {ta ? K : M, ta ? M : K}},
        {.name = "b", .dtype = x->dtype, .rank = 2, .dim = {tb ? N : K, tb ? K : N}},
        {.name = "c", .dtype = x->dtype, .rank = 2, .dim = {M, N}}};
    for (size_t i = 0; i < 2 && batch_of(x) > 1; i++) {
        static const int64_t dims[2][2][3] = {{{BATCH, M, K}, {BATCH, K, N}},
                                              {{K, BATCH, M}, {N, BATCH, K}}};
        in[i].rank = 3;
        memcpy(in[i].dim, dims[strcmp(x->function, "many") != 0][i], sizeof dims[0][0]);
    }
    const CompileCall call = {
        .function = x->function, .inputs = in, .ninput = strcmp(x->function, "plus") ? 2 : 3};
    Compile *c = compile_new(&opt);
    Err err = {0};
    Bytes bytes;
    if (!compile_load(c, &err) || !compile_call(c, &call, &err) || !compile_plan(c, &bytes, &err))
        fail_msg("%s: %s", x->function, err.text);
    const Node *group = product_of(compile_memplan(c, 0));
    if (!records && x->algorithm) {
        const Attr *config = node_ints(group, "config");
        TuningRecord r = {.problem = pick_problem(node_def(group), "gemm"),
                          .cls = "gemm",
                          .isa = "sm_80",
                          .config = COPY_ARRAY(x->arena, int64_t, config->ints, config->n),
                          .n = config->n,
                          .by_library = true,
                          .library = {.version = 130000, .workspace = 4096}};
        r.library.algorithm[0] = x->algorithm;
        r.library.algorithm[7] = UINT64_C(0x6d646c2d6d6f636b);
        const char *line = record_text(x->arena, &r);
        compile_free(c);
        compile(x, records_parse(x->arena, "t.jsonl", line, strlen(line), &err));
        return;
    }
    x->plan = plan_from_bytes(arena_memdup(x->arena, bytes.data, bytes.n), bytes.n, &err);
    if (!x->plan)
        fail_msg("%s: %s", x->function, err.text);
    compile_free(c);
}

/* ---- runs ---- */

static const void *input(const Case *x, uint32_t tensor, uint64_t seed)
{
    const PlanTensor *t = &x->plan->tensors[tensor];
    DType dt = (DType)t->dtype;
    size_t n = (size_t)t->bytes / dtype_info(dt)->bytes;
    char *data = arena_alloc(x->arena, (size_t)t->bytes + 1);
    for (size_t i = 0; i < n; i++) /* small whole numbers: sums are exact in every order */
        dtype_store(dt, data, i, (double)(hash_mix(seed, i) % 7) - 3);
    return data;
}

/* Several times, so that a recorded graph runs it too. */
static bool run(Case *x, RtDevice device, Err *err)
{
    const Plan *p = x->plan;
    const PlanEntry *e = &p->entries[0];
    const void *inputs[3] = {0};
    RtLoan loan;
    Runtime *rt = rt_open(p, &(RtOptions){.device = device, .quiet = true}, err);
    if (!rt)
        return false;
    bool ok = true;
    for (uint32_t k = 0; ok && k < 4; k++) {
        for (uint32_t i = 0; i < e->ninput; i++)
            inputs[i] = input(x, p->bindings[e->input0 + i].tensor, 10 * k + i);
        ok = rt_run(rt, 0, &(RtCall){.inputs = inputs, .first = true}, err);
    }
    ok = ok && rt_lend_result(rt, 0, 0, &loan, err);
    if (ok) {
        DType dt = (DType)p->tensors[p->bindings[e->result0].tensor].dtype;
        x->result = NEW_ARRAY(x->arena, double, BATCH *M *N);
        for (size_t i = 0; i < batch_of(x) * M * N; i++)
            x->result[i] = dtype_load(dt, loan.data, i);
        ok = rt_return(rt, &loan, err);
    }
    rt_close(rt);
    return ok;
}

static void must_run(Case *x, RtDevice device)
{
    Err err = {0};
    if (!run(x, device, &err))
        fail_msg("%s: %s", x->function, err.text);
}

static void check_same(const Case *x, const double *want)
{
    for (size_t i = 0; i < batch_of(x) * M * N; i++)
        if (x->result[i] != want[i])
            fail_msg("%s, element %zu: %g, not %g", x->function, i, x->result[i], want[i]);
}

/* ---- tests ---- */

static void all_layouts(void **state)
{
    static const char *const functions[] = {"nn", "nt", "tn", "tt", "plus", "many", "between"};
#ifdef __SANITIZE_ADDRESS__ /* with which kernels of the emulator take long to compile */
    static const DType types[] = {DT_F32};
#else
    static const DType types[] = {DT_BF16, DT_F16, DT_F32};
#endif
    Case *x = *state;
    for (size_t t = 0; t < COUNT(types); t++)
        for (size_t f = 0; f < COUNT(functions); f++) {
            x->function = functions[f];
            x->dtype = types[t];
            bool adds = strcmp(x->function, "plus") == 0;
            if (adds && x->dtype != DT_F32)
                continue; /* the sum is rounded, which is another product */
            x->algorithm = 0;
            compile(x, NULL);
            assert_int_equal(x->plan->ngemms, 0);
            must_run(x, RT_SIMT);
            const double *want = x->result;
            plan_free(x->plan);
            x->algorithm = 1 + f % 2;
            compile(x, NULL);
            assert_int_equal(x->plan->ngemms, 1);
            assert_int_equal(x->plan->gemms[0].m * x->plan->gemms[0].n, M * N);
            assert_int_equal(x->plan->gemms[0].k, K);
            assert_int_equal(x->plan->gemms[0].batch, batch_of(x));
            assert_true((x->plan->gemms[0].add != PLAN_NONE) == adds);
            must_run(x, RT_CUDA);
            check_same(x, want);
            /* the same plan has the kernel for who has no such library */
            must_run(x, RT_SIMT);
            check_same(x, want);
            plan_free(x->plan);
        }
}

/* It is the library that runs: its third algorithm gives twice the product. */
static void library_runs(void **state)
{
    Case *x = *state;
    x->function = "nt";
    x->dtype = DT_BF16;
    x->algorithm = 1;
    compile(x, NULL);
    must_run(x, RT_CUDA);
    const double *once = x->result;
    plan_free(x->plan);
    x->algorithm = 3;
    compile(x, NULL);
    must_run(x, RT_CUDA);
    double most = 0;
    for (size_t i = 0; i < M * N; i++)
        most = fmax(most, fabs(x->result[i] - 2 * once[i]) / 256);
    assert_true(most < 0.01);
    plan_free(x->plan);
}

/* With more to do than the product, or two products, or operands that begin within a tensor, the kernel is the
 * compiler's, whatever the record says. */
static void other_bodies(void **state)
{
    static const char *const functions[] = {"most", "both", "part"};
    Case *x = *state;
    for (size_t f = 0; f < COUNT(functions); f++) {
        x->function = functions[f];
        x->dtype = DT_F32;
        x->algorithm = 1;
        compile(x, NULL);
        assert_int_equal(x->plan->ngemms, 0);
        plan_free(x->plan);
    }
}

static void check_refused(Case *x, const char *want, const char *help)
{
    Err err = {0};
    assert_false(run(x, RT_CUDA, &err));
    assert_int_equal(err.kind, ERR_DEVICE);
    if (!strstr(err.text, want) || !strstr(err.help, help))
        fail_msg("%s (%s)", err.text, err.help);
    must_run(x, RT_SIMT);
}

static void refusals(void **state)
{
    Case *x = *state;
    x->function = "nn";
    x->dtype = DT_BF16;
    x->algorithm = 1;
    compile(x, NULL);
    setenv("MDL_MOCK_BLAS_VERSION", "120900", 1);
    check_refused(x, "the plan pins cuBLASLt 130000; ", "$MDL_CUBLASLT");
    unsetenv("MDL_MOCK_BLAS_VERSION");
    setenv("MDL_CUBLASLT", "/nowhere/libcublasLt.so", 1);
    check_refused(x, "no cuBLASLt: /nowhere/libcublasLt.so", "--records none");
    setenv("MDL_CUBLASLT", MDL_BINARY_DIR "/tests/mock/mdl_fakenvrtc.so", 1);
    check_refused(x, "cuBLASLt lacks cublasLtCreate", "");
    setenv("MDL_CUBLASLT", MDL_BINARY_DIR "/tests/mock/mdl_fakecuda.so", 1);
    setenv("MDL_MOCK_BLAS_FAIL", "7", 1);
    check_refused(x, "cublasLtMatmul of k_", "--records none");
    unsetenv("MDL_MOCK_BLAS_FAIL");
    plan_free(x->plan);
    x->algorithm = 9;
    compile(x, NULL);
    check_refused(x, "the algorithm of cuBLASLt that the plan pins: CUBLAS_STATUS_OF_MOCK 15",
                  "`mdl tune` again");
    plan_free(x->plan);
}

/* What a file may say wrongly of a product. */
typedef struct Wrong {
    const char *want;
    size_t at; /* of the field in PlanGemm */
    int64_t value;
    bool wide; /* of 64 bits */
} Wrong;

static const Wrong wrongs[] = {
    {"gemms[0]: its element types are", offsetof(PlanGemm, operand), DT_I32, false},
    {"gemms[0]: left is 256 of 256", offsetof(PlanGemm, left), 256, false},
    {"gemms[0]: turn_left is 2 of 2", offsetof(PlanGemm, turn_left), 2, false},
    {"gemms[0]: its sizes are wrong", offsetof(PlanGemm, m), 0, true},
    {"gemms[0]: its sizes are wrong", offsetof(PlanGemm, k), INT64_C(1) << 40, true},
    {"gemms[0]: its sizes are wrong", offsetof(PlanGemm, ld_left), K - 1, true},
    {"multiplies argument 7, which is no such matrix", offsetof(PlanGemm, right), 7, false},
    {"multiplies argument 2, which is no such matrix", offsetof(PlanGemm, result), DT_F32, false},
    {"multiplies more of argument 0 than there is", offsetof(PlanGemm, ld_left), K + 1, true},
    {"multiplies more of argument 1 than there is", offsetof(PlanGemm, ld_right), N + 1, true},
    {"gemms[0]: its sizes are wrong", offsetof(PlanGemm, turn_right), 1, false},
    {"multiplies more of argument 2 than there is", offsetof(PlanGemm, right), 2, false},
    {"gemms[0]: its members are wrong", offsetof(PlanGemm, batch), 0, true},
    {"gemms[0]: its members are wrong", offsetof(PlanGemm, apart_left), -1, true},
    {"multiplies more of argument 2 than there is", offsetof(PlanGemm, batch), 2, true},
    {"its workspace is too small for cuBLASLt", offsetof(PlanGemm, workspace), 1 << 20, true},
};

static void wrong_plans(void **state)
{
    Case *x = *state;
    x->function = "nn";
    x->dtype = DT_BF16;
    x->algorithm = 2;
    compile(x, NULL);
    for (size_t i = 0; i < COUNT(wrongs); i++) {
        Err err = {0};
        Plan plan = *x->plan;
        PlanGemm gemm = plan.gemms[0];
        uint32_t narrow = (uint32_t)wrongs[i].value;
        memcpy((char *)&gemm + wrongs[i].at,
               wrongs[i].wide ? (const void *)&wrongs[i].value : (const void *)&narrow,
               wrongs[i].wide ? sizeof(int64_t) : sizeof narrow);
        plan.gemms = &gemm;
        assert_false(plan_verify(&plan, &err));
        if (!strstr(err.text, wrongs[i].want))
            fail_msg("%s, not %s", err.text, wrongs[i].want);
    }
    plan_free(x->plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_layouts),  cmocka_unit_test(library_runs),
        cmocka_unit_test(other_bodies), cmocka_unit_test(refusals),
        cmocka_unit_test(wrong_plans),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
