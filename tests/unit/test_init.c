/* LIBS: mdl_runtime mdl_plan mdl_base */
/* test_init.c: the generator against its published vectors, the distributions against their
 * moments, and weights from files. Plans here have states only, so nothing is compiled. */
#include "live.h"
#include "philox.h"
#include "runtime.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

/* One state: shape [out, in], or [out] when in is 0. */
typedef struct Want {
    const char *path;
    PlanStateKind kind;
    PlanInit init;
    double a;
    DType dtype;
    int64_t out, in;
} Want;

typedef struct Model {
    Arena *arena;
    Plan *plan;
    Runtime *rt;
} Model;

static uint32_t constant(PlanBuilder *b, int64_t n)
{
    PlanDim dim = {b->terms.n, 1};
    VEC_PUSH(b->arena, &b->terms, ((PlanTerm){.coef = n}));
    VEC_PUSH(b->arena, &b->dims, dim);
    return b->dims.n - 1;
}

static uint64_t add_state(PlanBuilder *b, const Want *w, uint64_t offset)
{
    PlanTensor t = {.name = planb_text(b, w->path),
                    .path = planb_text(b, w->path),
                    .dtype = w->dtype,
                    .rank = w->in ? 2 : 1,
                    .dim = {constant(b, w->out), w->in ? constant(b, w->in) : 0},
                    .arena = PA_STATE,
                    .offset = offset};
    t.bytes = (uint64_t)(w->out * (w->in ? w->in : 1)) * dtype_info(w->dtype)->bytes;
    PlanState s = {.tensor = b->tensors.n,
                   .kind = w->kind,
                   .key = w->kind == PS_PARAM ? t.name : 0,
                   .init = w->init,
                   .init_a = w->a};
    VEC_PUSH(b->arena, &b->tensors, t);
    VEC_PUSH(b->arena, &b->states, s);
    return (offset + t.bytes + 63) / 64 * 64;
}

static Model open_model_on(const Want *wants, uint32_t n, int threads)
{
    Model m = {.arena = arena_new()};
    PlanBuilder *b = planb_new(m.arena);
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < n; i++)
        bytes = add_state(b, &wants[i], bytes);
    planb_target(b, PLAN_CPU, "generic");
    VEC_PUSH(m.arena, &b->meta, ((PlanMeta){.state_bytes = bytes}));
    Bytes file = planb_finish(b);
    Err err = {0};
    m.plan = plan_from_bytes(file.data, file.n, &err);
    if (m.plan)
        m.rt = rt_open(m.plan, &(RtOptions){.threads = threads, .quiet = true}, &err);
    if (!m.rt)
        fail_msg("%s", err.text);
    return m;
}

static Model open_model(const Want *wants, uint32_t n)
{
    return open_model_on(wants, n, 1);
}

static void close_model(Model *m)
{
    rt_close(m->rt);
    plan_free(m->plan);
    arena_free(m->arena);
}

/* ---- the generator ---- */

/* kat_vectors of Random123 1.14: philox4x32 with 10 rounds. */
static void philox_gives_the_published_vectors(void **state)
{
    UNUSED(state);
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } known[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < COUNT(known); i++) {
        uint32_t out[4];
        philox4x32(known[i].key, known[i].counter, out);
        assert_memory_equal(out, known[i].out, sizeof(out));
    }
}

/* ---- distributions ---- */

typedef struct Moments {
    double mean, std, least, most;
} Moments;

static Moments moments(const float *x, size_t n)
{
    Moments m = {0, 0, (double)x[0], (double)x[0]};
    for (size_t i = 0; i < n; i++) {
        double v = (double)x[i];
        m.mean += v / (double)n;
        m.std += v * v / (double)n;
        m.least = fmin(m.least, v);
        m.most = fmax(m.most, v);
    }
    m.std = sqrt(m.std - m.mean * m.mean);
    return m;
}

enum { OUT = 200, IN = 300 };

static void distributions_have_their_moments(void **state)
{
    UNUSED(state);
    static const struct {
        PlanInit init;
        double a, std, most; /* most 0: unbounded */
    } all[] = {
        {PI_ZEROS, 9, 0, 0},
        {PI_NORMAL, 0.02, 0.02, 0},
        {PI_TRUNCATED, 0.02, 0.02 * 0.87962566, 0.04}, /* std of a normal cut at 2 */
        {PI_UNIFORM, 0.5, 0.28867513, 0.5},
        {PI_KAIMING_UNIFORM, 2.2360679775, 0.57735027 / 17.3205081, 1 / 17.3205081},
        {PI_KAIMING_UNIFORM, 0, 0.081649658, 0.14142136}, /* sqrt(6 / 300) */
        {PI_XAVIER_UNIFORM, 0, 0.063245553, 0.10954451},  /* sqrt(6 / 500) */
    };
    for (size_t i = 0; i < COUNT(all); i++) {
        const Want want = {"w", PS_PARAM, all[i].init, all[i].a, DT_F32, OUT, IN};
        Model m = open_model(&want, 1);
        Err err = {0};
        assert_true(rt_init(m.rt, 1, &err));
        Moments got = moments(live_state(m.rt, 0, NULL), OUT * IN);
        double noise = all[i].std * 4 / sqrt(OUT * IN) + 1e-12;
        assert_true(fabs(got.mean) <= noise);
        assert_true(fabs(got.std - all[i].std) <= noise);
        if (all[i].most > 0) {
            assert_true(got.most <= all[i].most * (1 + 1e-6) && got.most > 0.99 * all[i].most);
            assert_true(got.least >= -all[i].most * (1 + 1e-6) && got.least < -0.99 * all[i].most);
        }
        close_model(&m);
    }
}

static void constants_fill_every_dtype(void **state)
{
    UNUSED(state);
    for (DType dtype = (DType)0; dtype < DT_COUNT; dtype++) {
        const Want wants[] = {{"one", PS_BUFFER, PI_ONES, 0, dtype, 5, 3},
                              {"c", PS_PARAM, PI_CONSTANT, 1.0, dtype, 5, 0},
                              {"z", PS_PARAM, PI_ZEROS, 0, dtype, 5, 0}};
        Model m = open_model(wants, COUNT(wants));
        Err err = {0};
        assert_true(rt_init(m.rt, 1, &err));
        for (size_t i = 0; i < 5; i++) {
            assert_true(dtype_load(dtype, live_state(m.rt, 0, NULL), i) == 1);
            assert_true(dtype_load(dtype, live_state(m.rt, 1, NULL), i) == 1);
            assert_true(dtype_load(dtype, live_state(m.rt, 2, NULL), i) == 0);
        }
        close_model(&m);
    }
}

static void a_value_depends_on_seed_path_and_index_alone(void **state)
{
    UNUSED(state);
    const Want small[] = {{"a", PS_PARAM, PI_NORMAL, 1, DT_F32, 4, 25}};
    const Want large[] = {{"b", PS_PARAM, PI_NORMAL, 1, DT_F32, 100, 0},
                          {"a", PS_PARAM, PI_NORMAL, 2, DT_F32, 200, 0}};
    Model s = open_model(small, 1), l = open_model(large, 2);
    Err err = {0};
    assert_true(rt_init(s.rt, 7, &err) && rt_init(l.rt, 7, &err));
    const float *x = live_state(s.rt, 0, NULL), *b = live_state(l.rt, 0, NULL),
                *y = live_state(l.rt, 1, NULL);
    float before[100];
    int same = 0;
    for (int i = 0; i < 100; i++) {
        assert_true(2 * x[i] == y[i]);
        same += x[i] == b[i];
        before[i] = x[i];
    }
    assert_int_equal(same, 0);
    assert_true(rt_init(s.rt, 8, &err));
    for (int i = 0; i < 100; i++)
        same += x[i] == before[i];
    assert_int_equal(same, 0);
    assert_true(rt_init(s.rt, 7, &err));
    assert_memory_equal(x, before, sizeof(before));
    close_model(&s);
    close_model(&l);
}

static void all_but_weights_becomes_zero(void **state)
{
    UNUSED(state);
    const Want wants[] = {{"p", PS_PARAM, PI_ONES, 0, DT_F32, 4, 0},
                          {"g", PS_GRAD, PI_ONES, 0, DT_F32, 4, 0},
                          {"o", PS_OPT, PI_ONES, 0, DT_F32, 4, 0},
                          {"l", PS_LOOP, PI_ONES, 0, DT_F32, 4, 0}};
    Model m = open_model(wants, COUNT(wants));
    Err err = {0};
    for (uint32_t i = 0; i < COUNT(wants); i++)
        memset(live_state(m.rt, i, NULL), 0x55, 16);
    assert_true(rt_init(m.rt, 1, &err));
    for (uint32_t i = 0; i < COUNT(wants); i++)
        for (int k = 0; k < 4; k++)
            assert_true(((const float *)live_state(m.rt, i, NULL))[k] == (i == 0 ? 1.0f : 0.0f));
    close_model(&m);
}

/* ---- weights from a file ---- */

static const Want loaded[] = {{"fc.weight", PS_PARAM, PI_ZEROS, 0, DT_F32, 2, 3},
                              {"fc.bias", PS_PARAM, PI_ZEROS, 0, DT_F32, 2, 0}};

typedef struct WeightFile {
    char dir[32];
    const char *path;
} WeightFile;

static WeightFile write_weights(Arena *arena, const StTensor *all, uint32_t n)
{
    WeightFile f = {.dir = "/tmp/mdl-test-init-XXXXXX"};
    Err err = {0};
    assert_true(mkdtemp(f.dir) != NULL);
    f.path = path_join(arena, f.dir, "w.safetensors");
    assert_true(st_write(f.path, all, n, NULL, &err));
    return f;
}

static void weights_are_taken_by_key_and_converted(void **state)
{
    UNUSED(state);
    static const double w[] = {1, 2, 3, 4, 5, 0.1};
    static const uint16_t bias[] = {0x3f80, 0xc000}; /* 1, -2 as bf16 */
    const StTensor all[] = {
        {.name = "fc.weight", .dtype = DT_F64, .rank = 2, .dim = {2, 3}, .data = w, .bytes = 48},
        {.name = "fc.bias", .dtype = DT_BF16, .rank = 1, .dim = {2}, .data = bias, .bytes = 4},
        {.name = "extra", .dtype = DT_U8, .rank = 1, .dim = {1}, .data = "x", .bytes = 1},
    };
    Model m = open_model(loaded, COUNT(loaded));
    WeightFile f = write_weights(m.arena, all, COUNT(all));
    Err err = {0};
    assert_true(rt_load_weights(m.rt, f.path, &err));
    const float *x = live_state(m.rt, 0, NULL), *b = live_state(m.rt, 1, NULL);
    for (int i = 0; i < 6; i++)
        assert_true(x[i] == (float)w[i]);
    assert_true(b[0] == 1 && b[1] == -2);
    assert_true(file_remove_tree(f.dir, &err));
    close_model(&m);
}

static void wrong_weights_change_nothing(void **state)
{
    UNUSED(state);
    static const float w[6] = {1, 1, 1, 1, 1, 1};
    static const struct {
        StTensor bias;
        const char *text, *help;
    } bad[] = {
        {{.name = "fc.bais", .dtype = DT_F32, .rank = 1, .dim = {2}, .data = w, .bytes = 8},
         "there is no tensor fc.bias",
         "the file has fc.bais"},
        {{.name = "fc.bias", .dtype = DT_F32, .rank = 1, .dim = {3}, .data = w, .bytes = 12},
         "fc.bias is f32[3] in the file; the program has f32[2]",
         ""},
        {{.name = "fc.bias", .dtype = DT_I32, .rank = 1, .dim = {2}, .data = w, .bytes = 8},
         "fc.bias is i32[2] in the file; the program has f32[2]",
         ""},
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        const StTensor all[] = {{.name = "fc.weight",
                                 .dtype = DT_F32,
                                 .rank = 2,
                                 .dim = {2, 3},
                                 .data = w,
                                 .bytes = 24},
                                bad[i].bias};
        Model m = open_model(loaded, COUNT(loaded));
        WeightFile f = write_weights(m.arena, all, COUNT(all));
        Err err = {0}, ignored = {0};
        assert_false(rt_load_weights(m.rt, f.path, &err));
        assert_int_equal(err.kind, ERR_DATA);
        if (!strstr(err.text, bad[i].text) || !strstr(err.help, bad[i].help))
            fail_msg("%s; %s", err.text, err.help);
        assert_true(*(const float *)live_state(m.rt, 0, NULL) == 0);
        assert_true(file_remove_tree(f.dir, &ignored));
        close_model(&m);
    }
}

/* Large states are filled by several threads, part by part. */
static void threads_do_not_show(void **state)
{
    UNUSED(state);
    static const Want want = {"w", PS_PARAM, PI_NORMAL, 0.02, DT_F32, 1025, 1031};
    Model one = open_model_on(&want, 1, 1), more = open_model_on(&want, 1, 3);
    RtLoan a, b;
    Err err = {0};
    assert_true(rt_init(one.rt, 7, &err) && rt_init(more.rt, 7, &err));
    assert_true(rt_lend_state(one.rt, 0, RT_READ, &a, &err));
    assert_true(rt_lend_state(more.rt, 0, RT_READ, &b, &err));
    assert_int_equal(a.bytes, b.bytes);
    assert_memory_equal(a.data, b.data, a.bytes);
    assert_true(rt_return(one.rt, &a, &err) && rt_return(more.rt, &b, &err));
    close_model(&one);
    close_model(&more);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_gives_the_published_vectors),
        cmocka_unit_test(distributions_have_their_moments),
        cmocka_unit_test(constants_fill_every_dtype),
        cmocka_unit_test(a_value_depends_on_seed_path_and_index_alone),
        cmocka_unit_test(threads_do_not_show),
        cmocka_unit_test(all_but_weights_becomes_zero),
        cmocka_unit_test(weights_are_taken_by_key_and_converted),
        cmocka_unit_test(wrong_weights_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
