/* LIBS: mdl_runtime mdl_plan mdl_base */
/* test_jit.c: a plan written by hand is compiled, cached and run; what can go wrong on the way to
 * a function has its message. */
#include "live.h"
#include "runtime.h"
#include "sampleplan.h"
#include "units.h"
#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct Bench {
    Arena *arena;
    char dir[64]; /* holds the cache */
    const char *cache;
    char *old_path; /* $PATH before the test */
} Bench;

static int setup(void **state)
{
    Arena *arena = arena_new();
    Bench *b = NEW(arena, Bench);
    b->arena = arena;
    memcpy(b->dir, "/tmp/mdl-test-jit-XXXXXX", 25);
    *state = b;
    if (!mkdtemp(b->dir))
        return -1;
    b->cache = path_join(arena, b->dir, "cache");
    b->old_path = arena_strdup(arena, getenv("PATH"));
    return 0;
}

static int teardown(void **state)
{
    Bench *b = *state;
    Err err = {0};
    setenv("PATH", b->old_path, 1);
    unsetenv("MDL_CC");
    bool ok = file_remove_tree(b->dir, &err);
    arena_free(b->arena);
    return ok ? 0 : -1;
}

static Plan *load(PlanBuilder *b)
{
    Bytes file = planb_finish(b);
    Err err = {0};
    Plan *plan = plan_from_bytes(file.data, file.n, &err);
    if (!plan)
        fail_msg("%s", err.text);
    return plan;
}

static Plan *sample(Bench *b)
{
    return load(sample_builder(b->arena, "generic"));
}

static Runtime *open_with(Bench *b, const Plan *plan, int threads)
{
    Err err = {0};
    const RtOptions opt = {.threads = threads, .cache_dir = b->cache, .quiet = true};
    Runtime *rt = rt_open(plan, &opt, &err);
    if (!rt)
        fail_msg("%s", err.text);
    return rt;
}

/* No compiler is found from here on. */
static void hide_compilers(void)
{
    setenv("PATH", "/nonexistent", 1);
}

static void assert_not_opened(Bench *b, const Plan *plan, ErrKind kind, const char *text)
{
    Err err = {0};
    const RtOptions opt = {.threads = 1, .cache_dir = b->cache, .quiet = true};
    assert_null(rt_open(plan, &opt, &err));
    if (!strstr(err.text, text))
        fail_msg("expected \"%s\" in: %s", text, err.text);
    assert_int_equal(err.kind, kind);
}

/* Files of the cache with that ending. */
static int count_files(const char *dir, const char *end)
{
    int n = 0;
    DIR *d = opendir(dir);
    for (const struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d)) {
        size_t have = strlen(e->d_name), want = strlen(end);
        n += have >= want && strcmp(e->d_name + have - want, end) == 0;
    }
    if (d)
        closedir(d);
    return n;
}

/* ---- running ---- */

enum { ROWS = 37 };

static void fill_input(float *x)
{
    for (int i = 0; i < ROWS * SAMPLE_COLUMNS; i++)
        x[i] = (float)sin(i) * 1e3f;
}

/* n zeros at an address that kernels take as it is. (On the stack, ASan may keep no alignment.) */
static float *aligned_floats(Bench *b, size_t n)
{
    char *bytes = arena_alloc(b->arena, n * sizeof(float) + 64);
    return (float *)(void *)(bytes + (64 - (uintptr_t)bytes % 64) % 64);
}

static void set_weights(Runtime *rt)
{
    float *w = live_state(rt, SS_WEIGHT, NULL);
    for (int i = 0; i < SAMPLE_COLUMNS; i++)
        w[i] = 1.0f / (float)(i + 3);
}

/* The sum in the order of the kernel. */
static float expected_sum(const float *x, const float *w, int64_t step)
{
    float part[SAMPLE_CHUNKS] = {0}, sum = 0;
    for (int i = 0; i < ROWS * SAMPLE_COLUMNS; i++)
        part[i % SAMPLE_CHUNKS] += x[i] * w[i % SAMPLE_COLUMNS] + (float)step;
    for (int i = 0; i < SAMPLE_CHUNKS; i++)
        sum += part[i];
    return sum;
}

static void results_are_right_for_any_threads(void **state)
{
    Bench *b = *state;
    Plan *plan = sample(b);
    float *x = aligned_floats(b, ROWS * SAMPLE_COLUMNS);
    fill_input(x);
    for (int threads = 1; threads <= 3; threads++) {
        Runtime *rt = open_with(b, plan, threads);
        assert_int_equal(rt_threads(rt), threads);
        set_weights(rt);
        const void *inputs[] = {x};
        const int64_t syms[] = {ROWS};
        RtCall call = {.inputs = inputs, .syms = syms, .step = 5, .first = true};
        Err err = {0};
        assert_true(rt_run(rt, SE_MICRO, &call, &err));
        const float *w = live_state(rt, SS_WEIGHT, NULL);
        const float *y = live_result(rt, SE_MICRO, 0), *sum = live_result(rt, SE_MICRO, 1);
        for (int i = 0; i < ROWS * SAMPLE_COLUMNS; i++)
            assert_true(y[i] == x[i] * w[i % SAMPLE_COLUMNS] + 5.0f);
        assert_true(*sum == expected_sum(x, w, 5));
        assert_ptr_equal(sum, live_state(rt, SS_SUM, NULL));
        assert_ptr_equal(live_result(rt, SE_MICRO, 2), x);
        for (int i = 0; i < 200; i++) {
            call.first = i % 2;
            assert_true(rt_run(rt, SE_MICRO, &call, &err));
        }
        assert_true(*sum == expected_sum(x, w, 5));
        rt_close(rt);
    }
    plan_free(plan);
}

static void an_unaligned_input_is_copied(void **state)
{
    Bench *b = *state;
    Plan *plan = sample(b);
    Runtime *rt = open_with(b, plan, 1);
    float *x = aligned_floats(b, ROWS * SAMPLE_COLUMNS + 1);
    fill_input(x + 1);
    set_weights(rt);
    const void *inputs[] = {x + 1};
    const int64_t syms[] = {ROWS};
    const RtCall call = {.inputs = inputs, .syms = syms, .first = true};
    Err err = {0};
    assert_true(rt_run(rt, SE_MICRO, &call, &err));
    const float *same = live_result(rt, SE_MICRO, 2);
    assert_int_equal((uintptr_t)same % 64, 0);
    assert_memory_equal(same, x + 1, ROWS * SAMPLE_COLUMNS * sizeof(float));
    assert_true(*(const float *)live_result(rt, SE_MICRO, 1) ==
                expected_sum(x + 1, live_state(rt, SS_WEIGHT, NULL), 0));
    rt_close(rt);
    plan_free(plan);
}

/* The rows from the last on, in two buffers by turns; of none, what there was. */
static void a_loop_goes_round(void **state)
{
    Bench *b = *state;
    PlanBuilder *builder = sample_builder(b->arena, "generic");
    builder->syms.at[0].lo = 0;
    Bytes file = planb_finish(builder);
    Err err = {0};
    Plan *plan = plan_from_bytes(file.data, file.n, &err);
    assert_non_null(plan);
    Runtime *rt = open_with(b, plan, 2);
    float *x = aligned_floats(b, SAMPLE_MAX_ROWS * SAMPLE_COLUMNS);
    float *w = live_state(rt, SS_WEIGHT, NULL);
    for (int i = 0; i < SAMPLE_MAX_ROWS * SAMPLE_COLUMNS; i++)
        x[i] = (float)(i % 3);
    for (int64_t rows = 0; rows < 6; rows++) {
        for (int i = 0; i < SAMPLE_COLUMNS; i++)
            w[i] = (float)i;
        const void *inputs[] = {x};
        assert_true(rt_run(rt, SE_WALK, &(RtCall){.inputs = inputs, .syms = &rows}, &err));
        const float *got = live_result(rt, SE_WALK, 0);
        for (int i = 0; i < SAMPLE_COLUMNS; i++) {
            float want = (float)i;
            for (int64_t r = rows; r-- > 0;)
                want = 2 * want + x[r * SAMPLE_COLUMNS + i];
            assert_true(got[i] == want && w[i] == (float)i);
        }
    }
    assert_int_equal(rt_kernel_times(rt)[3].launches, 1 + 2 + 3 + 4 + 5);
    rt_close(rt);
    plan_free(plan);
}

static void a_table_reaches_every_row(void **state)
{
    Bench *b = *state;
    Plan *plan = sample(b);
    Runtime *rt = open_with(b, plan, 2);
    size_t bytes;
    float *w = live_state(rt, SS_WEIGHT, &bytes), *g = live_state(rt, SS_GRAD, NULL),
          *bias = live_state(rt, SS_BIAS, NULL);
    assert_int_equal(bytes, 32);
    for (int i = 0; i < SAMPLE_COLUMNS; i++)
        w[i] = 10, g[i] = (float)i, bias[i] = 3;
    const int64_t syms[] = {1};
    const RtCall call = {.syms = syms, .lr = 0.5};
    Err err = {0};
    assert_true(rt_run(rt, SE_UPDATE, &call, &err));
    for (int i = 0; i < SAMPLE_COLUMNS; i++) {
        assert_true(w[i] == 10 - 0.5f * (float)i);
        assert_true(bias[i] == 2.5f);
    }
    const RtKernelTime *times = rt_kernel_times(rt);
    assert_int_equal(times[0].launches, 0);
    assert_int_equal(times[2].launches, 1);
    assert_true(times[2].seconds > 0);
    rt_close(rt);
    plan_free(plan);
}

static void extents_are_checked_in_each_call(void **state)
{
    Bench *b = *state;
    PlanBuilder *builder = sample_builder(b->arena, "generic");
    builder->syms.at[0].divisor = 4;
    Plan *plan = load(builder);
    Runtime *rt = open_with(b, plan, 1);
    static const struct {
        int64_t extent;
        const char *text;
    } bad[] = {{0, "B is 0; the plan was made for 1..64"},
               {65, "B is 65; the plan was made for 1..64"},
               {INT64_MIN, "B is"},
               {6, "B is 6; the plan was made for multiples of 4"}};
    float *x = aligned_floats(b, SAMPLE_MAX_ROWS * SAMPLE_COLUMNS);
    const void *inputs[] = {x};
    for (size_t i = 0; i < COUNT(bad); i++) {
        Err err = {0};
        const RtCall call = {.inputs = inputs, .syms = &bad[i].extent};
        assert_false(rt_run(rt, SE_MICRO, &call, &err));
        assert_int_equal(err.kind, ERR_DATA);
        assert_non_null(strstr(err.text, bad[i].text));
    }
    const int64_t good = 64;
    Err err = {0};
    assert_true(rt_run(rt, SE_MICRO, &(RtCall){.inputs = inputs, .syms = &good}, &err));
    inputs[0] = NULL;
    assert_false(rt_run(rt, SE_MICRO, &(RtCall){.inputs = inputs, .syms = &good}, &err));
    assert_non_null(strstr(err.text, "input x of micro is missing"));
    rt_close(rt);
    plan_free(plan);
}

/* What one kernel defines before the prelude must not reach another. */
static void kernels_with_other_heads_are_kept_apart(void **state)
{
    Bench *b = *state;
    PlanBuilder *builder = sample_builder(b->arena, "generic");
    for (uint32_t k = 0; k < 3; k++) {
        const char *source = builder->text.at + builder->variants.at[k].source;
        int width = k == 1 ? 8 : 4;
        builder->variants.at[k].source =
            planb_text(builder, arena_printf(b->arena,
                                             "#ifndef SAMPLE_W\n#define SAMPLE_W %d\n#endif\n%s"
                                             "_Static_assert(SAMPLE_W == %d, \"mine\");\n",
                                             width, source, width));
    }
    Plan *plan = load(builder);
    rt_close(open_with(b, plan, 1));
    plan_free(plan);
}

/* ---- the cache ---- */

static void a_second_load_needs_no_compiler(void **state)
{
    Bench *b = *state;
    Plan *plan = sample(b);
    rt_close(open_with(b, plan, 1));
    int objects = count_files(b->cache, ".so");
    assert_int_equal(objects, plan->nkernels);
    hide_compilers();
    rt_close(open_with(b, plan, 1));
    setenv("MDL_CC", "/nonexistent", 1);
    rt_close(open_with(b, plan, 1));
    assert_int_equal(count_files(b->cache, ".so"), objects);
    plan_free(plan);
}

static void nothing_is_left_but_objects_and_sources(void **state)
{
    Bench *b = *state;
    Plan *plan = sample(b);
    rt_close(open_with(b, plan, 1));
    int objects = count_files(b->cache, ".so"), sources = count_files(b->cache, ".c");
    assert_int_equal(objects, plan->nkernels);
    assert_in_range(sources, 1, objects - 1); /* of several kernels each */
    assert_int_equal(count_files(b->cache, ".log"), 0);
    /* ., .., prelude, compiler */
    assert_int_equal(count_files(b->cache, ""), objects + sources + 4);
    plan_free(plan);
}

/* Files of the cache with that ending that have the text in them. */
static int count_texts(Bench *b, const char *end, const char *text)
{
    int n = 0;
    DIR *d = opendir(b->cache);
    for (const struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d)) {
        size_t have = strlen(e->d_name), want = strlen(end);
        Bytes file;
        Err err = {0};
        if (have < want || strcmp(e->d_name + have - want, end) != 0)
            continue;
        assert_true(
            file_read(b->arena, path_join(b->arena, b->cache, e->d_name), 1 << 24, &file, &err));
        n += strstr(file.data, text) != NULL;
    }
    closedir(d);
    return n;
}

/* The others were compiled together with what it was. */
static void a_changed_kernel_is_compiled_alone(void **state)
{
    Bench *b = *state;
    Plan *plan = sample(b);
    rt_close(open_with(b, plan, 1));
    int objects = count_files(b->cache, ".so"), sources = count_files(b->cache, ".c");
    PlanBuilder *builder = sample_builder(b->arena, "generic");
    builder->variants.at[0].source =
        planb_text(builder, arena_printf(b->arena, "%s/* changed */", sample_scale));
    Plan *other = load(builder);
    rt_close(open_with(b, other, 1));
    assert_int_equal(count_files(b->cache, ".so"), objects + 1);
    assert_int_equal(count_files(b->cache, ".c"), sources + 1);
    for (uint32_t k = 1; k < plan->nkernels; k++)
        assert_int_equal(count_texts(b, ".c", plan_text(plan, plan_variant(plan, k, 0)->source)),
                         1);
    plan_free(plan);
    plan_free(other);
}

typedef enum Harm { CUT, CUT_TO_NOTHING, FLIP, REPLACE, HARMS } Harm;

static void harm_file(Bench *b, const char *path, Harm harm)
{
    Bytes file;
    Err err = {0};
    assert_true(file_read(b->arena, path, 1 << 24, &file, &err));
    size_t n = harm == CUT ? file.n / 2 : harm == CUT_TO_NOTHING ? 0 : file.n;
    if (harm == FLIP)
        file.data[file.n / 3] ^= 4;
    if (harm == REPLACE)
        memset(file.data, 'x', n);
    assert_true(file_write_atomic(path, file.data, n, &err));
}

static void harm_objects(Bench *b, Harm harm)
{
    DIR *d = opendir(b->cache);
    assert_non_null(d);
    for (const struct dirent *e = readdir(d); e; e = readdir(d)) {
        size_t n = strlen(e->d_name);
        if (n > 3 && strcmp(e->d_name + n - 3, ".so") == 0)
            harm_file(b, path_join(b->arena, b->cache, e->d_name), harm);
    }
    closedir(d);
}

typedef struct Told {
    uint32_t done, total, most;
} Told;

static void tell(void *user, uint32_t done, uint32_t total)
{
    Told *t = user;
    *t = (Told){done, total, total > t->most ? total : t->most};
}

static void equal_texts_are_one(void **state)
{
    Bench *b = *state;
    static const char *const none[] = {NULL}, *const flags[] = {"-shared", "-fPIC", NULL};
    const char *const texts[] = {"#include <stdint.h>\nint one(void) { return 1; }\n",
                                 "#include <stdint.h>\nint two(void) { return 2; }\n",
                                 "#include <stdint.h>\nint one(void) { return 1; }\n"};
    const UnitFlavour flavour = {none, none, flags, none};
    Told told = {0};
    const DeviceOptions opt = {.cache_dir = b->cache, .progress = tell, .user = &told};
    Err err = {0};
    Units *u = units_load(&(UnitTexts){texts, COUNT(texts), &flavour, NULL, false}, &opt, &err);
    if (!u)
        fail_msg("%s", err.text);
    assert_int_equal(told.done, 2);
    assert_int_equal(told.total, 2);
    assert_int_equal(told.most, 2);
    assert_non_null(units_symbol(u, 2, "one"));
    units_unload(u);
}

static void damaged_objects_are_made_again(void **state)
{
    Bench *b = *state;
    Plan *plan = sample(b);
    rt_close(open_with(b, plan, 1));
    for (Harm harm = CUT; harm < HARMS; harm++) {
        harm_objects(b, harm);
        Runtime *rt = open_with(b, plan, 1);
        const int64_t syms[] = {1};
        Err err = {0};
        assert_true(rt_run(rt, SE_UPDATE, &(RtCall){.syms = syms}, &err));
        rt_close(rt);
    }
    harm_objects(b, CUT);
    hide_compilers();
    assert_not_opened(b, plan, ERR_DEVICE, "no C compiler");
    plan_free(plan);
}

/* ---- failures ---- */

static void no_compiler_says_what_to_do(void **state)
{
    Bench *b = *state;
    Plan *plan = sample(b);
    Err err = {0};
    const RtOptions opt = {.threads = 1, .cache_dir = b->cache, .quiet = true};
    hide_compilers();
    assert_null(rt_open(plan, &opt, &err));
    assert_int_equal(err.kind, ERR_DEVICE);
    assert_string_equal(err.text, "no C compiler: tried $MDL_CC, and cc, gcc, clang in $PATH");
    assert_non_null(strstr(err.help, "install gcc"));
    setenv("MDL_CC", "/nonexistent", 1);
    assert_not_opened(b, plan, ERR_DEVICE, "no C compiler: tried $MDL_CC = /nonexistent");
    setenv("MDL_CC", "/bin/false", 1);
    assert_not_opened(b, plan, ERR_DEVICE, "/bin/false does not answer --version");
    plan_free(plan);
}

static void a_kernel_that_does_not_compile_shows_why(void **state)
{
    Bench *b = *state;
    PlanBuilder *builder = sample_builder(b->arena, "generic");
    builder->variants.at[1].source = planb_text(builder, "int broken = unknown_name;\n");
    Plan *plan = load(builder);
    Err err = {0};
    const RtOptions opt = {.threads = 1, .cache_dir = b->cache, .quiet = true};
    assert_null(rt_open(plan, &opt, &err));
    assert_int_equal(err.kind, ERR_DEVICE);
    assert_non_null(strstr(err.text, "unknown_name"));
    assert_non_null(strstr(err.text, "exit status 1"));
    char *source = strstr(err.text, b->cache);
    assert_non_null(source);
    source[strcspn(source, ":")] = '\0';
    assert_true(file_exists(source));
    assert_int_equal(count_files(b->cache, ".log"), 0);
    plan_free(plan);
}

static void a_missing_function_is_named(void **state)
{
    Bench *b = *state;
    PlanBuilder *builder = sample_builder(b->arena, "generic");
    builder->phases.at[0].symbol = planb_text(builder, "k_other");
    Plan *plan = load(builder);
    assert_not_opened(b, plan, ERR_DATA, "kernel scale of the plan does not define k_other");
    plan_free(plan);
}

static void unknown_instruction_sets_are_refused(void **state)
{
    Bench *b = *state;
    Plan *plan = load(sample_builder(b->arena, "vax"));
    assert_not_opened(b, plan, ERR_DATA, "unknown instruction set `vax`");
    plan_free(plan);
}

static void a_cache_of_others_is_refused(void **state)
{
    Bench *b = *state;
    Plan *plan = sample(b);
    Err err = {0};
    assert_true(file_mkdirs(b->cache, &err));
    assert_int_equal(chmod(b->cache, 0777), 0);
    assert_not_opened(b, plan, ERR_DEVICE, "can be written by everybody");
    assert_int_equal(rmdir(b->cache), 0);
    assert_true(file_write_atomic(b->cache, "x", 1, &err));
    assert_not_opened(b, plan, ERR_DEVICE, "the kernel cache is not usable");
    const RtOptions opt = {.threads = 1, .cache_dir = b->cache, .quiet = true};
    assert_null(rt_open(plan, &opt, &err));
    assert_non_null(strstr(err.help, "set MDL_CACHE to another folder"));
    plan_free(plan);
}

/* Text of a plan never reaches a shell. */
static void paths_with_blanks_and_quotes_work(void **state)
{
    Bench *b = *state;
    Plan *plan = sample(b);
    b->cache = path_join(b->arena, b->dir, "a b'c\"d$(touch x);e");
    rt_close(open_with(b, plan, 1));
    plan_free(plan);
}

static void an_absurd_arena_is_refused(void **state)
{
    Bench *b = *state;
    PlanBuilder *builder = sample_builder(b->arena, "generic");
    builder->meta.at[0].temp_bytes = UINT64_C(1) << 48;
    Plan *plan = load(builder);
    assert_not_opened(b, plan, ERR_DEVICE, "activations: no memory for 281474976710656 bytes");
    plan_free(plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(results_are_right_for_any_threads, setup, teardown),
        cmocka_unit_test_setup_teardown(an_unaligned_input_is_copied, setup, teardown),
        cmocka_unit_test_setup_teardown(a_loop_goes_round, setup, teardown),
        cmocka_unit_test_setup_teardown(a_table_reaches_every_row, setup, teardown),
        cmocka_unit_test_setup_teardown(extents_are_checked_in_each_call, setup, teardown),
        cmocka_unit_test_setup_teardown(kernels_with_other_heads_are_kept_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(a_second_load_needs_no_compiler, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_is_left_but_objects_and_sources, setup, teardown),
        cmocka_unit_test_setup_teardown(a_changed_kernel_is_compiled_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(equal_texts_are_one, setup, teardown),
        cmocka_unit_test_setup_teardown(damaged_objects_are_made_again, setup, teardown),
        cmocka_unit_test_setup_teardown(no_compiler_says_what_to_do, setup, teardown),
        cmocka_unit_test_setup_teardown(a_kernel_that_does_not_compile_shows_why, setup, teardown),
        cmocka_unit_test_setup_teardown(a_missing_function_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(unknown_instruction_sets_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_cache_of_others_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(paths_with_blanks_and_quotes_work, setup, teardown),
        cmocka_unit_test_setup_teardown(an_absurd_arena_is_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
