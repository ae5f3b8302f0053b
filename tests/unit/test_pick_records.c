/* LIBS: mdl_compile mdl_codegen mdl_passes mdl_target mdl_plan mdl_ir mdl_base */
/* test_pick_records.c: configurations that were measured, in place of those of the cost model. */
#include "codegen.h"
#include "compile.h"
#include "pick.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char text[] = "fn nt(a: [M, K], b: [N, K]) -> [M, N] {\n"
                           "  c[m, n] += a[m, k] * b[n, k]\n  c\n}\n";

typedef struct Case {
    Arena *arena;
    char path[40];
} Case;

static int setup(void **state)
{
    Arena *arena = arena_new();
    Case *x = NEW(arena, Case);
    *x = (Case){arena, "/tmp/mdl-pick-XXXXXX"};
    int fd = mkstemp(x->path);
    assert_true(fd >= 0 && write(fd, text, sizeof text - 1) == sizeof text - 1);
    close(fd);
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

/* The product of 512 x 384 x 640, compiled. */
typedef struct Product {
    Compile *c;
    const Node *group;
    const char *source, *note;
} Product;

static const CompileTarget sm_90 = {PLAN_CUDA, "sm_90a"}, sm_80 = {PLAN_CUDA, "sm_80"},
                           cpu = {PLAN_CPU, "generic"};

static Product compile(const Case *x, const CompileTarget *target, DType dtype, const Records *r)
{
    const CompileOptions opt = {.path = x->path, .targets = target, .ntarget = 1, .records = r};
    const CompileInput in[] = {{.name = "a", .dtype = dtype, .rank = 2, .dim = {512, 640}},
                               {.name = "b", .dtype = dtype, .rank = 2, .dim = {384, 640}}};
    const CompileCall call = {.function = "nt", .inputs = in, .ninput = 2};
    Product p = {.c = compile_new(&opt)};
    Err err = {0};
    Bytes bytes;
    if (!compile_load(p.c, &err) || !compile_call(p.c, &call, &err) ||
        !compile_plan(p.c, &bytes, &err))
        fail_msg("%s", err.text);
    Plan *plan = plan_from_bytes(bytes.data, bytes.n, &err);
    assert_non_null(plan);
    p.group = compile_memplan(p.c, 0)->order.at[0];
    assert_string_equal(node_sym(p.group, "class"), "gemm");
    p.source = arena_strdup(x->arena, plan_text(plan, plan_variant(plan, 0, 0)->source));
    p.note = p.group->note ? arena_strdup(x->arena, p.group->note) : "";
    plan_free(plan);
    return p;
}

static bool has_config(const Product *p, const PickConfig *want)
{
    const Attr *config = node_ints(p->group, "config");
    return config->n == want->n && memcmp(config->ints, want->ints, want->n * sizeof(int64_t)) == 0;
}

static uint32_t candidates(const Case *x, const Product *p, const CompileTarget *target,
                           PickConfig *out)
{
    Target t;
    Err err = {0};
    assert_true(target->kind == PLAN_CUDA ? target_cuda(&t, target->isa, &err)
                                          : target_host(&t, target->isa, &err));
    const Program *program = compile_program(p->c);
    PassCx *cx = passes_begin(program->ir, x->arena, program, &t);
    return pick_candidates(cx, node_def(p->group), "gemm", out);
}

static Records *records_of(Arena *arena, const TuningRecord *record)
{
    Err err = {0};
    const char *line = record_text(arena, record);
    return records_parse(arena, "t.jsonl", line, strlen(line), &err);
}

/* Each candidate, when a record says so, is what the kernel is made with; and the plan has another text. */
static void each(const Case *x, const CompileTarget *target, DType dtype)
{
    PickConfig all[PICK_MOST];
    Product usual = compile(x, target, dtype, NULL);
    uint32_t n = candidates(x, &usual, target, all);
    assert_true(n > 1);
    assert_true(has_config(&usual, &all[0]));
    assert_null(strstr(usual.note, "t.jsonl"));
    for (uint32_t i = 0; i < n; i++) {
        const TuningRecord record = {.problem = pick_problem(node_def(usual.group), "gemm"),
                                     .cls = "gemm",
                                     .isa = target->isa,
                                     .config = all[i].ints,
                                     .n = all[i].n,
                                     .seconds = 2e-5,
                                     .usual = 4e-5,
                                     .device = "abacus"};
        Product p = compile(x, target, dtype, records_of(x->arena, &record));
        assert_true(has_config(&p, &all[i]));
        assert_true(i == 0 || strcmp(p.source, usual.source) != 0);
        assert_non_null(strstr(p.note, ", 20.0 us where the usual one took 40.0 us on abacus: "
                                       "t.jsonl:1"));
        assert_non_null(strstr(p.note, "\nconfiguration "));
        compile_free(p.c);
    }
    compile_free(usual.c);
}

static void taken(void **state)
{
    each(*state, &sm_90, DT_BF16);
    each(*state, &sm_80, DT_BF16);
    each(*state, &sm_80, DT_F32);
    each(*state, &cpu, DT_F32);
}

/* What is no candidate, or for something else, changes nothing. */
static void left_out(void **state)
{
    const Case *x = *state;
    static const int64_t odd[] = {128, 256, 64, 4, 8, 1, 0}, few[] = {128, 256};
    Product usual = compile(x, &sm_90, DT_BF16, NULL);
    uint64_t problem = pick_problem(node_def(usual.group), "gemm");
    const Attr *config = node_ints(usual.group, "config");
    const TuningRecord records[] = {
        {.problem = problem, .cls = "gemm", .isa = "sm_90a", .config = odd, .n = 7},
        {.problem = problem, .cls = "gemm", .isa = "sm_90a", .config = few, .n = 2},
        {.problem = problem, .cls = "map", .isa = "sm_90a", .config = config->ints, .n = 7},
        {.problem = problem, .cls = "gemm", .isa = "sm_80", .config = odd, .n = 7},
        {.problem = problem + 1, .cls = "gemm", .isa = "sm_90a", .config = odd, .n = 7}};
    for (size_t i = 0; i < COUNT(records); i++) {
        Product p = compile(x, &sm_90, DT_BF16, records_of(x->arena, &records[i]));
        assert_string_equal(p.source, usual.source);
        bool said = strstr(p.note, "t.jsonl:1 is left out: ") != NULL;
        assert_true(said == (i < 3));
        compile_free(p.c);
    }
    compile_free(usual.c);
}

/* A problem is a problem of a type and of sizes, and of no target. */
static void problems(void **state)
{
    const Case *x = *state;
    Product a = compile(x, &sm_90, DT_BF16, NULL), b = compile(x, &sm_80, DT_BF16, NULL),
            c = compile(x, &sm_90, DT_F32, NULL);
    assert_true(pick_problem(node_def(a.group), "gemm") == pick_problem(node_def(b.group), "gemm"));
    assert_true(pick_problem(node_def(a.group), "gemm") != pick_problem(node_def(c.group), "gemm"));
    assert_true(pick_problem(node_def(a.group), "gemm") != pick_problem(node_def(a.group), "map"));
    compile_free(a.c);
    compile_free(b.c);
    compile_free(c.c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(taken),
        cmocka_unit_test(left_out),
        cmocka_unit_test(problems),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
