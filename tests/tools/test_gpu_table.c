/* LIBS: mdl_base */
/* test_gpu_table.c: the table of bench/gpu.sh says how far a case is from its bar, whatever was measured. */
#include "base.h"
#include <setjmp.h>
#include <stdarg.h>
#include <sys/wait.h>

#include <cmocka.h>

static const char cases[] = "# CASE BAR\n"
                            "copy:1000000000 -\n"
                            "gemm:bf16:nt:a peer:0.95\n"
                            "attention:bf16:fwd:b tflops:600\n"
                            "norm:bf16:rms_fwd:c copy:0.85\n"
                            "step:bf16:gpt2:d peer:1\n"
                            "map:bf16:silu_mul:e copy:0.85\n"
                            "gemm:bf16:nt:f peer:0.95\n";

static const char lines[] =
    "{\"gpu\":\"A GPU\",\"driver\":\"1\"}\n"
    "{\"who\":\"mdl\",\"case\":\"copy:1000000000\",\"least\":9e-4,\"median\":1e-3,\"flops\":0,"
    "\"bytes\":2e9}\n"
    "{\"who\":\"mdl\",\"case\":\"gemm:bf16:nt:a\",\"least\":1e-3,\"median\":2e-3,\"flops\":1.4e12,"
    "\"bytes\":1e8}\n"
    "{\"who\": \"slow\", \"case\": \"gemm:bf16:nt:a\", \"median\": 4e-3, \"rounds\": 9}\n"
    "{\"who\": \"fast\", \"case\": \"gemm:bf16:nt:a\", \"median\": 1.8e-3, \"rounds\": 9}\n"
    "{\"who\":\"mdl\",\"case\":\"attention:bf16:fwd:b\",\"least\":1e-3,\"median\":1e-3,\"flops\":6."
    "1e11,\"bytes\":1e8}\n"
    "{\"who\":\"mdl\",\"case\":\"norm:bf16:rms_fwd:c\",\"least\":1e-3,\"median\":1e-3,\"flops\":0,"
    "\"bytes\":1e9}\n"
    "{\"who\":\"mdl\",\"case\":\"step:bf16:gpt2:d\",\"least\":1e-2,\"median\":1e-2,\"cpu\":1,"
    "\"flops\":1e12,"
    "\"kernels\":[{\"name\":\"k_long\",\"class\":\"gemm\",\"launches\":2,\"seconds\":6e-3,"
    "\"flops\":9e11,\"bytes\":3e9},"
    "{\"name\":\"k_short\",\"class\":\"map\",\"launches\":1,\"seconds\":2e-3,\"flops\":0,\"bytes\":"
    "4e9}]}\n"
    "{\"who\": \"torch\", \"case\": \"step:bf16:gpt2:d\", \"median\": 0.02}\n"
    "{\"who\":\"mdl\",\"case\":\"map:bf16:silu_mul:e\",\"error\":\"no memory\"}\n"
    "{\"who\": \"fast\", \"case\": \"gemm:bf16:nt:f\", \"median\": 1e-3}\n";

/* What it prints; what it writes goes to the file beside. */
static const char *table(Arena *arena, const char *json)
{
    const char *a = MDL_BINARY_DIR "/gpu-table.cases", *b = MDL_BINARY_DIR "/gpu-table.lines";
    assert_true(file_write_atomic(a, cases, strlen(cases), NULL));
    assert_true(file_write_atomic(b, lines, strlen(lines), NULL));
    const char *command =
        arena_printf(arena, "awk -v json=%s -v head=HEAD -f '%s/bench/gpu_table.awk' '%s' '%s'",
                     json, MDL_SOURCE_DIR, a, b);
    char *text = arena_alloc(arena, 10000);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    text[fread(text, 1, 9999, pipe)] = '\0';
    int status = pclose(pipe);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return text;
}

static void has(const char *text, const char *want)
{
    if (!strstr(text, want))
        fail_msg("no `%s` in\n%s", want, text);
}

static void cases_are_held_against_their_bars(void **state)
{
    UNUSED(state);
    Arena *arena = arena_new();
    const char *json = MDL_BINARY_DIR "/gpu-table.rows";
    const char *text = table(arena, json);
    has(text, "HEAD\nA GPU; copy 2000 GB/s, best bf16 product 778 TFLOP/s\n");
    has(text, "gemm:bf16:nt:a                                700.0      777.8 TFLOP/s   0.90    "
              "90%  peer:0.95   95% of it   fast\n");
    has(text, "attention:bf16:fwd:b                          610.0          - TFLOP/s      -    "
              "78%  tflops:600  reached");
    has(text, "norm:bf16:rms_fwd:c                          1000.0          - GB/s         -    "
              "50%  copy:0.85   59% of it");
    has(text, "step:bf16:gpt2:d                               10.0       20.0 ms        2.00      "
              "-  peer:1      reached     torch\n");
    has(text, "step:bf16:gpt2:d: 10.000 ms, of which kernels 8.000 ms; the longest:\n"
              "    6.000 ms  75.0%     2 x    150.0 TFLOP/s    500.0 GB/s  gemm          k_long\n");
    has(text, "not measured:\nmap:bf16:silu_mul:e                      mdl: no memory\n");
    Bytes rows = {0};
    assert_true(file_read(arena, json, 10000, &rows, NULL));
    has(arena_strndup(arena, (const char *)rows.data, rows.n),
        "    {\"case\": \"gemm:bf16:nt:a\", \"bar\": \"peer:0.95\", \"least\": 0.001, "
        "\"median\": 0.002, \"flops\": 1.4e+12, \"bytes\": 1e+08, \"reached\": 0.9, "
        "\"peers\": {\"slow\": 0.004, \"fast\": 0.0018}},\n");
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(cases_are_held_against_their_bars)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
