/* LIBS: mdl_test_tool mdl_runtime mdl_plan mdl_base */
/* test_mock_tune.c: `mdl tune` on the CPU, and on a GPU that is the driver over the emulator (fakecuda.c), whose times
 * say nothing: what is written, and that the compiler follows it. */
#include "tool.h"
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { FIRST = 4 }; /* place in Tool.env behind those of tool_setup */

static int setup(void **state)
{
    if (tool_setup(state) != 0)
        return -1;
    Tool *tool = *state;
    tool_program(tool, "a.mdl", NULL, NULL);
    tool->env[FIRST] = "MDL_LIBCUDA=" MDL_BINARY_DIR "/tests/mock/mdl_fakecuda.so";
    tool->env[FIRST + 1] = "MDL_NVRTC=" MDL_BINARY_DIR "/tests/mock/mdl_fakenvrtc.so";
    tool->env[FIRST + 3] = "MDL_CUBLASLT=" MDL_BINARY_DIR "/tests/mock/mdl_fakecuda.so";
    tool->env[FIRST + 2] = "LSAN_OPTIONS=use_tls=0"; /* which it cannot find of what dlopen opens */
    return 0;
}

static uint32_t lines_of(Tool *tool, const char *name)
{
    Bytes file = tool_read(tool, name);
    uint32_t n = 0;
    for (size_t i = 0; i < file.n; i++)
        n += ((const char *)file.data)[i] == '\n';
    return n;
}

static const char *text_of(Tool *tool, const char *name)
{
    Bytes file = tool_read(tool, name);
    return arena_strndup(tool->arena, (const char *)file.data, file.n);
}

/* The number that `N records in FILE` says, as many as there are lines; each is used, none is left out. */
static void check_records(Tool *tool, const char *out, const char *name, const char *device)
{
    uint32_t n = lines_of(tool, name);
    assert_true(n > 1);
    check_has(out, arena_printf(tool->arena, "\n%u records in %s\n", n, name));
    const char *groups =
        GOOD(tool, "dump", "a.mdl", "--groups", "--target", device, "--records", name);
    for (uint32_t i = 1; i <= n; i++)
        check_has(groups, arena_printf(tool->arena, ": %s:%u\n", name, i));
    check_lacks(groups, "is left out");
    check_lacks(GOOD(tool, "dump", "a.mdl", "--groups", "--target", device, "--records", "none"),
                name);
}

static void on_the_cpu(void **state)
{
    Tool *tool = *state;
    const char *out =
        GOOD(tool, "tune", "a.mdl", "-o", "cpu.jsonl", "--device", "cpu", "--isa", "generic");
    check_has(text_of(tool, "cpu.jsonl"), "\"isa\":\"generic\"");
    check_lacks(out, "other results");
    check_records(tool, out, "cpu.jsonl", "cpu:generic");
    /* again: as many lines more */
    uint32_t n = lines_of(tool, "cpu.jsonl");
    GOOD(tool, "tune", "a.mdl", "-o", "cpu.jsonl", "--device", "cpu", "--isa", "generic");
    assert_int_equal(lines_of(tool, "cpu.jsonl"), 2 * n);
    /* they say nothing of another instruction set */
    check_lacks(
        GOOD(tool, "dump", "a.mdl", "--groups", "--target", "cuda", "--records", "cpu.jsonl"),
        "cpu.jsonl");
}

static void on_a_gpu(void **state)
{
    Tool *tool = *state;
    const char *out = GOOD(tool, "tune", "a.mdl", "-o", "gpu.jsonl", "--device", "cuda", "-q");
    const char *text = text_of(tool, "gpu.jsonl");
    /* the product that has nothing to do but multiply is left to cuBLASLt, whose products take half as long here;
     * its third algorithm, which is wrong, is seen to be */
    check_has(out, " or cuBLASLt  ");
    check_has(out, "(1 of ");
    check_has(text, "\"library\":{\"cublaslt\":130000,");
    check_has(text, "\"isa\":\"sm_");
    check_has(text, "\"device\":\"");
    const char *isa = strstr(text, "sm_90a") ? "cuda:sm_90a" : "cuda:sm_80";
    check_records(tool, out, "gpu.jsonl", isa);
}

/* Rows of a product that an embedding chooses: they are many, and all lie in the table. */
static void integers_are_indices(void **state)
{
    enum { ROWS = 40, TABLE = 50 };
    Tool *tool = *state;
    tool->env[FIRST + 4] = "MDL_MOCK_COPIES=copies";
    tool_write(tool, "b.mdl",
               "module Words(V, D, Out) {\n  embed: Embedding(V, D)\n  fc: Linear(D, Out)\n"
               "  fn forward(label: i32[B]) -> [B, Out] = label |> embed |> fc\n}\n"
               "model words = Words(50, 16, 8)\n"
               "data digits { source = idx(images: \"images\", labels: \"labels\") ; label: i32 = "
               "row => row.labels }\n"
               "train words {\n  data = digits ; lr = 0.1 ; batch = 40 ; steps = 1\n"
               "  loss = b => cross_entropy(words(b.label), b.label)\n}\n");
    check_has(GOOD(tool, "tune", "b.mdl", "-o", "b.jsonl", "--device", "cuda", "-q"),
              "  fc_gemm_gather_add\n");
    tool->env[FIRST + 4] = "MDL_MOCK_COPIES";
    const Bytes copies = tool_read(tool, "copies");
    uint32_t found = 0;
    for (size_t at = 0, n; at < copies.n; at += sizeof n + n) {
        int32_t row[ROWS] = {0}, last = 0, differ = 0;
        memcpy(&n, (const char *)copies.data + at, sizeof n);
        if (n != sizeof row)
            continue;
        memcpy(row, (const char *)copies.data + at + sizeof n, n);
        for (uint32_t i = 0; i < ROWS; i++) {
            assert_in_range(row[i], 0, TABLE - 1);
            differ += row[i] != last;
            last = row[i];
        }
        assert_true(differ > ROWS / 2);
        found++;
    }
    assert_true(found > 0);
}

/* Without --out they lie where the compiler looks for them. */
static void by_default(void **state)
{
    Tool *tool = *state;
    tool->env[FIRST + 4] = "MDL_RECORDS=mine.jsonl";
    GOOD(tool, "tune", "a.mdl", "--device", "cpu", "--isa", "generic");
    check_has(GOOD(tool, "dump", "a.mdl", "--groups", "--target", "cpu:generic"),
              ": mine.jsonl:1\n");
    tool_write(tool, "mine.jsonl", "{\"mdl.tuning\":9}\n{\"mdl.tuning\":1}\n");
    Outcome o = RUN(tool, "dump", "a.mdl");
    check_code(&o, 4);
    check_has(o.err, "mine.jsonl:2: `problem` is no hash of 16 digits");
    tool_write(tool, "mine.jsonl", "{\"mdl.tuning\":9}\n");
    o = RUN(tool, "dump", "a.mdl");
    check_code(&o, 0);
    check_has(o.err, "note: 1 records of mine.jsonl are of another version, and left out");
    tool->env[FIRST + 4] = "MDL_RECORDS";
}

static void refused(void **state)
{
    Tool *tool = *state;
    Outcome o = RUN(tool, "tune", "a.mdl", "--device", "simt");
    check_code(&o, 2);
    check_has(o.err, "the times of the GPU made of software say nothing of a GPU");
    o = RUN(tool, "tune", "a.mdl", "--device", "cpu", "-o", "no/such/folder.jsonl");
    check_code(&o, 3);
    check_has(o.err, "cannot write no/such/folder.jsonl");
    o = RUN(tool, "dump", "a.mdl", "--records", "absent.jsonl");
    check_code(&o, 3);
    check_has(o.err, "absent.jsonl");
}

int main(void)
{
#ifdef __SANITIZE_ADDRESS__ /* with which many kernels of the emulator take too long to compile */
    const struct CMUnitTest few[] = {cmocka_unit_test(on_the_cpu),
                                     cmocka_unit_test(integers_are_indices),
                                     cmocka_unit_test(by_default), cmocka_unit_test(refused)};
    UNUSED(on_a_gpu);
    return cmocka_run_group_tests(few, setup, tool_teardown);
#else
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(on_the_cpu),
        cmocka_unit_test(on_a_gpu),
        cmocka_unit_test(integers_are_indices),
        cmocka_unit_test(by_default),
        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests(tests, setup, tool_teardown);
#endif
}
