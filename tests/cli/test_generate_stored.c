/* LIBS: mdl_test_tool mdl_compile mdl_codegen mdl_kernel mdl_passes mdl_front mdl_front_rule mdl_runtime mdl_target mdl_plan mdl_ir mdl_base */
/* test_generate_stored.c: `store = int8` and `int4(..)` of generate blocks: numbers of few bits are those that NumPy has
 * (tests/recorded/record_quant.py), which weights are stored, what they take, and that CPU, emulated GPU and interpreter
 * write the same text with them. */
#include "../support/testrand.h"
#include "compile.h"
#include "passes.h"
#include "quantise.h"
#include "tool.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define GPT2              \
    "import gpt2: GPT2\n" \
    "model m = GPT2(V: 256, D: 16, L: 2, H: 2, Ctx: 96)\n"
#define LLAMA               \
    "import llama: Llama\n" \
    "model m = Llama(V: 256, D: 16, L: 2, H: 4, KV: 2, F: 24)\n"
#define WIDE                \
    "import llama: Llama\n" \
    "model m = Llama(V: 256, D: 64, L: 1, H: 4, KV: 2, F: 96)\n"
#define BLOCK "generate g { model = m ; tokenizer = bytes() ; context = 96"

enum { TOKENS = 24, PROMPT = 4, CONTEXT = 96 };

static int setup(void **state)
{
    if (tool_setup(state) != 0)
        return -1;
    tool_find_models(*state);
    setenv("MDL_PATH", MDL_SOURCE_DIR "/models", 1);
    return 0;
}

/* ---- numbers ---- */

static void test_numbers(void **state)
{
    UNUSED(state);
    Err err = {0};
    StFile *f = st_open(MDL_SOURCE_DIR "/tests/recorded/quant.safetensors", &err);
    if (!f)
        fail_msg("%s", err.text);
    const StTensor *w = st_find(f, "weight"), *q8 = st_find(f, "int8.codes"),
                   *s8 = st_find(f, "int8.scale"), *q4 = st_find(f, "int4.codes"),
                   *s4 = st_find(f, "int4.scale");
    size_t n = (size_t)w->dim[1], blocks = (size_t)s4->dim[1];
    double row[96];
    assert_int_equal(n, COUNT(row));
    for (size_t r = 0; r < (size_t)w->dim[0]; r++) {
        int8_t bytes[96];
        int32_t words[12];
        uint16_t scales[3];
        float scale;
        for (size_t i = 0; i < n; i++)
            row[i] = st_load(w, r * n + i);
        assert_true(quantise_int8(row, n, bytes, &scale));
        assert_true((double)scale == st_load(s8, r));
        for (size_t i = 0; i < n; i++)
            assert_int_equal(bytes[i], (int)st_load(q8, r * n + i));
        assert_true(quantise_int4(row, n, n / blocks, words, scales));
        for (size_t i = 0; i < blocks; i++)
            assert_true(dtype_load(DT_BF16, scales, i) == st_load(s4, r * blocks + i));
        for (size_t i = 0; i < n / 8; i++)
            assert_int_equal(words[i], (int32_t)st_load(q4, r * n / 8 + i));
        row[5] = 1e300; /* its scale is no number */
        assert_false(quantise_int8(row, n, bytes, &scale));
        assert_false(quantise_int4(row, n, n / blocks, words, scales));
        row[5] = NAN;
        assert_false(quantise_int8(row, n, bytes, &scale));
        assert_false(quantise_int4(row, n, n / blocks, words, scales));
    }
    st_close(f);
}

/* ---- programs ---- */

static Compile *open_program(Tool *tool, const char *text)
{
    Err err = {0};
    tool_write(tool, "a.mdl", text);
    Compile *c = compile_new(&(CompileOptions){.path = tool_path(tool, "a.mdl")});
    if (!compile_load(c, &err) || !compile_generate(c, 0, &err))
        fail_msg("%s\n%s", err.text,
                 diags_render(compile_diags(c), tool->arena, DIAG_HUMAN, false));
    return c;
}

/* Random weights for a program that stores none. */
static const char *random_weights(Tool *tool, const char *text)
{
    Compile *c = open_program(tool, text);
    const Program *p = compile_program(c);
    StTensor *tensors = NEW_ARRAY(tool->arena, StTensor, p->states.n + (size_t)1);
    TestRand random = {5};
    Err err = {0};
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->states.n; i++) {
        const State *s = p->states.at[i];
        if (s->kind != SK_PARAM)
            continue;
        StTensor *t = &tensors[n++];
        size_t count = 1;
        *t = (StTensor){
            .name = arena_strdup(tool->arena, s->key), .dtype = DT_F32, .rank = s->type->rank};
        for (uint32_t k = 0; k < t->rank; k++) {
            dim_is_const(s->type->dims[k], &t->dim[k]);
            count *= (size_t)t->dim[k];
        }
        float *x = NEW_ARRAY(tool->arena, float, count);
        for (size_t k = 0; k < count; k++)
            x[k] = (float)rand_range(&random, -0.4, 0.6);
        t->data = x;
        t->bytes = count * sizeof *x;
    }
    const char *path = tool_path(tool, "random.safetensors");
    assert_true(st_write(path, tensors, n, NULL, &err));
    compile_free(c);
    return path;
}

/* ---- the interpreter ---- */

/* A stored weight's states, as values. */
static void fill_stored(Arena *arena, const State *codes, Value *q, Value *scale,
                        const StTensor *from)
{
    size_t n = (size_t)from->dim[codes->axis], rows = (size_t)from->dim[1 - codes->axis];
    size_t blocks = (size_t)(scale->count / (int64_t)rows);
    double *row = NEW_ARRAY(arena, double, n);
    int8_t *bytes = NEW_ARRAY(arena, int8_t, n);
    int32_t *words = NEW_ARRAY(arena, int32_t, n / 8 + 1);
    uint16_t *scales = NEW_ARRAY(arena, uint16_t, blocks);
    for (size_t r = 0; r < rows; r++) {
        for (size_t i = 0; i < n; i++)
            row[i] = st_load(from, codes->axis ? r * n + i : i * rows + r);
        if (codes->store == STORE_INT8) {
            float s;
            assert_true(quantise_int8(row, n, bytes, &s));
            scale->at[r] = (double)s;
            for (size_t i = 0; i < n; i++)
                q->at[r * n + i] = bytes[i];
        } else {
            assert_true(quantise_int4(row, n, n / blocks, words, scales));
            for (size_t i = 0; i < blocks; i++)
                scale->at[r * blocks + i] = dtype_load(DT_BF16, scales, i);
            for (size_t i = 0; i < n / 8; i++)
                q->at[r * n / 8 + i] = words[i];
        }
    }
}

static Value **states_of(Tool *tool, const Program *p, const StFile *f)
{
    Value **v = NEW_ARRAY(tool->arena, Value *, p->states.n + (size_t)1);
    for (uint32_t i = 0; i < p->states.n; i++)
        v[i] = value_new(tool->arena, p->states.at[i]->type, NULL);
    for (uint32_t i = 0; i < p->states.n; i++) {
        const State *s = p->states.at[i], *of = p->states.at[s->of];
        if (s->kind == SK_SCALE)
            fill_stored(tool->arena, of, v[s->of], v[i], st_find(f, of->key));
        for (int64_t k = 0; s->kind == SK_PARAM && k < v[i]->count; k++) {
            uint64_t room = 0;
            dtype_store(s->type->dtype, &room, 0, st_load(st_find(f, s->key), (size_t)k));
            v[i]->at[k] = dtype_load(s->type->dtype, &room, 0);
        }
    }
    return v;
}

static double slot(void *user, const char *name)
{
    return strcmp(name, "len") == 0 ? (double)*(const int64_t *)user : 0;
}

/* The text behind the prompt, a token at a time. */
static const char *interpreted(Tool *tool, const char *program, const char *weights,
                               const char *prompt)
{
    Compile *c = open_program(tool, program);
    const Program *p = compile_program(c);
    const Graph *g = program_entry(p, "decode");
    Err err = {0};
    StFile *f = st_open(weights, &err);
    Value **v = states_of(tool, p, f), *results[1], **writes = NEW_ARRAY(tool->arena, Value *, 64);
    int64_t syms[64] = {0}, len = 0;
    uint32_t next = 0, id = 0;
    while (dim_sym_at(p->ir, id)->name != sym(p->ir->syms, "S") ||
           dim_sym_at(p->ir, id)->hi != CONTEXT)
        id++;
    assert_true(dim_sym_count(p->ir) <= COUNT(syms) && g->writes.n < 64);
    while (p->states.at[next]->kind != SK_LOOP)
        next++;
    char *text = NEW_ARRAY(tool->arena, char, TOKENS + 1);
    for (; len < PROMPT + TOKENS - 1; len++) {
        if (len < PROMPT)
            v[next]->at[0] = (unsigned char)prompt[len];
        syms[id] = len + 1;
        InterpBinding b = {.sym_values = syms,
                           .states = v,
                           .slot = slot,
                           .user = &len,
                           .bits = strstr(program, "bf16") != NULL};
        interp_run(g, tool->arena, &b, results, writes);
        for (uint32_t i = 0; i < g->writes.n; i++)
            v[g->writes.at[i].state] = writes[i];
        if (len + 1 >= PROMPT)
            text[len + 1 - PROMPT] = (char)v[next]->at[0];
    }
    st_close(f);
    compile_free(c);
    return text;
}

static const char *written(Tool *tool, const char *program, const char *weights, const char *prompt,
                           const char *device)
{
    tool_write(tool, "a.mdl", program);
    const char *tokens = arena_printf(tool->arena, "%d", TOKENS);
    const char *out = GOOD(tool, "generate", "a.mdl", "--weights", weights, "--prompt", prompt,
                           "--max-tokens", tokens, "--device", device);
    return out + PROMPT;
}

static void test_same_text(void **state)
{
    Tool *tool = *state;
    const char *random = random_weights(tool, WIDE BLOCK " }\n");
    const char *gpt2 = MDL_SOURCE_DIR "/tests/recorded/generate_gpt2.safetensors";
    const char *llama = MDL_SOURCE_DIR "/tests/recorded/generate_llama.safetensors";
    const struct {
        const char *program, *weights;
        size_t gpu; /* so many tokens at least: its sums have another order, and are rounded */
    } cases[] = {{GPT2 BLOCK " ; store = int8 }\n", gpt2, 0},
                 {LLAMA BLOCK " ; store = int8 }\n", llama, TOKENS},
                 {LLAMA BLOCK " ; store = int8 ; precision = bf16 }\n", llama, TOKENS / 2},
                 {WIDE BLOCK " ; store = int4(block: 32) }\n", random, TOKENS}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        const char *want = interpreted(tool, cases[i].program, cases[i].weights, "abab");
        const char *cpu = written(tool, cases[i].program, cases[i].weights, "abab", "cpu");
        const char *gpu =
            cases[i].gpu ? written(tool, cases[i].program, cases[i].weights, "abab", "simt") : cpu;
        size_t n = strlen(want);
        assert_true(n > 12);
        assert_memory_equal(cpu, want, n);
        assert_memory_equal(gpu, want, cases[i].gpu < n ? cases[i].gpu : n);
    }
}

/* ---- what is stored ---- */

typedef struct Size {
    uint32_t plain, codes;
    uint64_t bytes; /* of all states of weights */
} Size;

static Size size_of(Tool *tool, const char *program)
{
    Compile *c = open_program(tool, program);
    const Program *p = compile_program(c);
    Size size = {0};
    for (uint32_t i = 0; i < p->states.n; i++) {
        const State *s = p->states.at[i];
        int64_t count = 0;
        dim_is_const(type_count(p->ir, s->type), &count);
        bool weight = s->kind == SK_PARAM || s->kind == SK_CODES || s->kind == SK_SCALE;
        size.bytes += weight ? (uint64_t)count * dtype_info(s->type->dtype)->bytes : 0;
        size.plain += s->kind == SK_PARAM;
        size.codes += s->kind == SK_CODES;
        assert_true(s->kind != SK_CODES || !strstr(s->path, "embed"));
    }
    compile_free(c);
    return size;
}

/* Seven matrices of a layer and the head; tables and norms stay. GPT-2's head is its table. */
static void test_sizes(void **state)
{
    Tool *tool = *state;
    Size plain = size_of(tool, WIDE BLOCK " }\n");
    Size int8 = size_of(tool, WIDE BLOCK " ; store = int8 }\n");
    Size int4 = size_of(tool, WIDE BLOCK " ; store = int4(block: 32) }\n");
    const uint64_t matrices = (2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 96) + 256 * 64;
    const uint64_t rows = (64 + 2 * 32 + 64 + 2 * 96 + 64) + 256;
    assert_int_equal(plain.plain, 12);
    assert_int_equal(int8.codes, 8);
    assert_int_equal(int8.plain, 4);
    assert_int_equal(int4.codes, 8);
    assert_int_equal(plain.bytes - int8.bytes, matrices * 3 - rows * 4);
    assert_int_equal(plain.bytes - int4.bytes, matrices * 4 - matrices / 2 - matrices / 32 * 2);
    Size gpt2 = size_of(tool, GPT2 BLOCK " ; store = int8 }\n");
    assert_int_equal(gpt2.codes, 8);
}

static void test_refused(void **state)
{
    Tool *tool = *state;
    static const struct {
        const char *program, *part;
    } cases[] = {
        {LLAMA BLOCK " ; store = int4 }\n", "E0815]: `layers.0.self_attn.q_proj.weight` cannot be "
                                            "stored in blocks of 32: its rows have 16"},
        {WIDE BLOCK " ; store = int4(block: 48) }\n", "E0802]: `block` is 32, 64 or 128, got 48"},
        {WIDE BLOCK " ; store = int4(blocks: 32) }\n", "E0302]"},
        {WIDE BLOCK " ; store = f32 }\n", "E0802]: `store` is how weights are kept, int8 or "
                                          "int4(block: 32), got the element type `f32`"},
        {"import nn: Embedding\n"
         "module T(V) {\n"
         "  table: Embedding(V, V)\n"
         "  fn forward(tokens: i32[B, T]) -> [B, T, V] = table(tokens)\n"
         "}\n"
         "model m = T(V: 256)\n" BLOCK " ; store = int8 }\n",
         "E0815]: `store` has nothing to store"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        tool_write(tool, "a.mdl", cases[i].program);
        Outcome o = RUN(tool, "generate", "a.mdl", "--weights", "w.safetensors");
        check_code(&o, 1);
        check_has(o.err, cases[i].part);
    }
}

/* ---- plans ---- */

static Plan *stored_plan(Tool *tool, const char *program, Compile **c)
{
    Err err = {0};
    Bytes bytes;
    *c = open_program(tool, program);
    if (!compile_plan(*c, &bytes, &err))
        fail_msg("%s", err.text);
    Plan *p = plan_from_bytes(arena_memdup(tool->arena, bytes.data, bytes.n), bytes.n, &err);
    if (!p)
        fail_msg("%s", err.text);
    return p;
}

/* A copy of a plan, and what of it a test changes. */
typedef struct Copy {
    Plan plan;
    PlanState *codes, *scale;
    PlanTensor *tensor; /* of the codes */
    uint32_t none;      /* a dim of 0 */
} Copy;

static Copy copy_plan(Tool *tool, const Plan *p)
{
    Copy c = {.plan = *p, .none = p->ndims};
    PlanState *states = COPY_ARRAY(tool->arena, PlanState, p->states, p->nstates);
    PlanTensor *tensors = COPY_ARRAY(tool->arena, PlanTensor, p->tensors, p->ntensors);
    PlanDim *dims = NEW_ARRAY(tool->arena, PlanDim, p->ndims + (size_t)1);
    memcpy(dims, p->dims, p->ndims * sizeof *dims);
    c.plan.states = states;
    c.plan.tensors = tensors;
    c.plan.dims = dims;
    c.plan.ndims++;
    c.scale = states;
    while (c.scale->kind != PS_SCALE)
        c.scale++;
    c.codes = &states[c.scale->of];
    c.tensor = &tensors[c.codes->tensor];
    return c;
}

static void check_wrong(const Copy *c, const char *want)
{
    Err err = {0};
    assert_false(plan_verify(&c->plan, &err));
    if (!strstr(err.text, want))
        fail_msg("%s, not %s", err.text, want);
}

static void test_wrong_plans(void **state)
{
    Tool *tool = *state;
    Compile *of;
    Plan *p = stored_plan(tool, WIDE BLOCK " ; store = int4(block: 32) }\n", &of);
    Err err = {0};
    Copy c = copy_plan(tool, p);
    assert_true(plan_verify(&c.plan, &err));
    c.codes->store = PLAN_STORE_INT8;
    check_wrong(&c, "it is no stored weight");
    c = copy_plan(tool, p);
    c.codes->axis = 2;
    check_wrong(&c, "axis is 2 of 2");
    c = copy_plan(tool, p);
    c.scale->of = c.plan.nstates;
    check_wrong(&c, "it has no scales");
    c = copy_plan(tool, p);
    c.codes->kind = PS_BUFFER;
    check_wrong(&c, "it is stored, and has no codes");
    for (uint32_t k = 0; k < 2; k++) { /* blocks of nothing, too */
        c = copy_plan(tool, p);
        c.tensor->dim[k] = c.none;
        check_wrong(&c, "it does not fit state");
    }
    plan_free(p);
    compile_free(of);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, tool_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_numbers), TEST(test_same_text),   TEST(test_sizes),
        TEST(test_refused), TEST(test_wrong_plans),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
