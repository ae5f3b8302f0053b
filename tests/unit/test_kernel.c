/* LIBS: mdl_kernel mdl_ir mdl_base */
/* test_kernel.c: the loop IR: constants fold, names are unique, kernels print, and the verifier finds
 * what is broken. */
#include "kernel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static Kernel *new_kernel(void)
{
    Arena *arena = arena_new();
    Syms *syms = syms_new(arena);
    Ir *ir = ir_new(arena, syms, diags_new(arena));
    return kernel_new(arena, ir, sym(syms, "k"), 8);
}

static const KExpr *index_var(Kernel *k, const char *name)
{
    return ke_var(k, KT_I64, sym(k->ir->syms, name));
}

static void test_folding(void **state)
{
    UNUSED(state);
    Kernel *k = new_kernel();
    const KExpr *x = index_var(k, "x"), *zero = ke_int(k, 0), *one = ke_int(k, 1);
    static const struct {
        KIndexOp op;
        int64_t a, b, want;
    } cases[] = {{KI_ADD, 3, 4, 7},  {KI_SUB, 3, 4, -1}, {KI_MUL, 3, 4, 12}, {KI_DIV, 11, 4, 2},
                 {KI_MOD, 11, 4, 3}, {KI_MIN, 3, 4, 3},  {KI_MAX, 3, 4, 4}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        int64_t v = 0;
        assert_true(
            ke_is_int(ke_index(k, cases[i].op, ke_int(k, cases[i].a), ke_int(k, cases[i].b)), &v));
        assert_int_equal(v, cases[i].want);
    }
    assert_ptr_equal(ke_index(k, KI_ADD, x, zero), x);
    assert_ptr_equal(ke_index(k, KI_ADD, zero, x), x);
    assert_ptr_equal(ke_index(k, KI_SUB, x, zero), x);
    assert_ptr_equal(ke_index(k, KI_MUL, x, one), x);
    assert_ptr_equal(ke_index(k, KI_DIV, x, one), x);
    int64_t v = 1;
    assert_true(ke_is_int(ke_index(k, KI_MUL, x, zero), &v) && v == 0);
    v = 1;
    assert_true(ke_is_int(ke_index(k, KI_MOD, x, one), &v) && v == 0);
    assert_false(ke_is_int(ke_index(k, KI_DIV, x, zero), &v));
    assert_false(ke_is_int(ke_num(k, KT_I32, 3), &v));
    arena_free(k->arena);
}

static void test_names(void **state)
{
    UNUSED(state);
    Kernel *k = new_kernel();
    assert_string_equal(kernel_name(k, "x"), "x");
    assert_string_equal(kernel_name(k, "x"), "x_1");
    assert_string_equal(kernel_name(k, "x_1"), "x_1_1");
    assert_string_equal(kernel_name(k, "layers.0.w"), "layers_0_w");
    assert_string_equal(kernel_name(k, "0a"), "_0a");
    assert_string_not_equal(kernel_name(k, "float"), "float");
    assert_string_not_equal(kernel_name(k, "task"), "task");
    char text[100];
    for (int i = 0; i < 50; i++) { /* long stems stay distinct */
        memset(text, 'n', sizeof text);
        text[99] = '\0';
        Sym a = kernel_name(k, text), b = kernel_name(k, text);
        assert_string_not_equal(a, b);
    }
    arena_free(k->arena);
}

/* y[i] = x[i] + 1 for one stretch per task */
static Kernel *sample(void)
{
    Kernel *k = new_kernel();
    const Dim *n = dim_const(k->ir, 64);
    KBuf in = {.kind = KB_IN, .name = kernel_name(k, "x"), .dtype = DT_F32, .count = n};
    KBuf out = {.kind = KB_OUT, .name = kernel_name(k, "y"), .dtype = DT_F32, .arg = 1, .count = n};
    uint32_t x = kernel_buf(k, &in), y = kernel_buf(k, &out);
    k->narg = 2;
    KPhase *p = kernel_phase(k, "", dim_const(k->ir, 1), "sample");
    KStmt *loop = ks_for(k, &p->body, kernel_name(k, "i"), ke_int(k, 0), ke_int(k, 64));
    loop->step = ke_int(k, 8);
    const KExpr *i = ke_var(k, KT_I64, loop->name);
    const KExpr *v = ks_let(k, &loop->body, "v", ke_vload(k, x, i, NULL));
    const KExpr *arg[] = {v, ke_num(k, KT_VF, 1)};
    ks_store(k, &loop->body, y, i, ke_text(k, KT_VF, "(%0 + mdl_one%t(%1))", arg, 2))->lanes =
        ke_int(k, 3);
    return k;
}

static void test_print(void **state)
{
    UNUSED(state);
    Kernel *k = sample();
    kernel_verify(k);
    StrBuf sb = sb_new(k->arena);
    kernel_print(k, &sb);
    static const char *const parts[] = {"kernel k width 8",    "in x: f32[64]",
                                        "out y: f32[64]",      "for i in 0 .. 64 step 8",
                                        "let v_vf = x[i : W]", "y[i : 3] := (v + mdl_one_vf(1))"};
    for (size_t i = 0; i < COUNT(parts); i++)
        if (!strstr(sb_text(&sb), parts[i]))
            fail_msg("no '%s' in\n%s", parts[i], sb_text(&sb));
    arena_free(k->arena);
}

/* ---- the verifier ---- */

typedef void (*BreakFn)(Kernel *k, KBlock *b);

static void break_undeclared(Kernel *k, KBlock *b)
{
    ks_let(k, b, "z", index_var(k, "nowhere"));
}

static void break_scope(Kernel *k, KBlock *b)
{
    ks_let(k, b, "z", index_var(k, "i")); /* the loop is over */
}

static void break_type(Kernel *k, KBlock *b)
{
    const KExpr *v = ks_var(k, b, "z", ke_num(k, KT_F32, 0));
    ks_set(k, b, v, ke_num(k, KT_I32, 0));
}

static void break_input(Kernel *k, KBlock *b)
{
    ks_store(k, b, 0, ke_int(k, 0), ke_num(k, KT_F32, 0));
}

static void break_store(Kernel *k, KBlock *b)
{
    ks_store(k, b, 1, ke_int(k, 0), ke_num(k, KT_I32, 0));
}

static void break_twice(Kernel *k, KBlock *b)
{
    ks_let(k, b, "z", index_var(k, "task"));
    ks_let(k, b, "w", index_var(k, "task"));
    VEC_LAST(b)->name = b->at[b->n - 2]->name;
}

static void break_argument(Kernel *k, KBlock *b)
{
    k->bufs.at[1].arg = 7;
    ks_store(k, b, 1, ke_int(k, 0), ke_num(k, KT_F32, 0));
}

static void break_step(Kernel *k, KBlock *b)
{
    ks_for(k, b, kernel_name(k, "j"), ke_int(k, 0), ke_int(k, 1))->step = ke_int(k, 0);
}

static void break_condition(Kernel *k, KBlock *b)
{
    ks_if(k, b, ke_int(k, 1));
}

/* A phase of a GPU that asks for the first element of an input before it waits; as it may. */
static KBlock *ask_early(Kernel *k)
{
    KPhase *p = &k->phases.at[0];
    p->threads = p->team = 32;
    p->tasks = dim_const(k->ir, 3);
    const KExpr *at = ke_addr(k, 0, index_var(k, "task"));
    ks_call(k, &p->ahead, ke_text(k, KT_PTR, "mdl_prefetch(%0)", &at, 1));
    return &p->ahead;
}

static void early(Kernel *k, KBlock *b)
{
    UNUSED(b);
    ask_early(k);
}

static void break_early_read(Kernel *k, KBlock *b)
{
    UNUSED(b);
    ks_let(k, ask_early(k), "x", ke_load(k, 0, ke_int(k, 0)));
}

static void break_early_store(Kernel *k, KBlock *b)
{
    UNUSED(b);
    ks_store(k, ask_early(k), 1, ke_int(k, 0), ke_num(k, KT_F32, 0));
}

static const Dim *of_the_run(Kernel *k)
{
    return dim_of(k->ir, dim_declare(k->ir, sym(k->ir->syms, "N"), 0, 9));
}

static void break_early_extent(Kernel *k, KBlock *b)
{
    UNUSED(b);
    ks_let(k, ask_early(k), "n", ke_extent(k, of_the_run(k)));
}

static void break_early_tasks(Kernel *k, KBlock *b)
{
    UNUSED(b);
    ask_early(k);
    k->phases.at[0].tasks = of_the_run(k);
}

static void break_early_teams(Kernel *k, KBlock *b)
{
    UNUSED(b);
    ask_early(k);
    k->phases.at[0].threads = 64;
}

/* kernel_verify stops the process: it runs in a child. */
static bool dies(BreakFn fn)
{
    pid_t pid = fork();
    if (pid == 0) {
        Kernel *k = sample();
        if (!freopen("/dev/null", "w", stderr))
            _exit(2);
        signal(SIGABRT, SIG_DFL);
        if (fn)
            fn(k, &k->phases.at[0].body);
        kernel_verify(k);
        _exit(0);
    }
    int status = 0;
    assert_true(waitpid(pid, &status, 0) == pid);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void test_verify(void **state)
{
    UNUSED(state);
    static const BreakFn breaks[] = {break_undeclared,  break_scope,       break_type,
                                     break_input,       break_store,       break_twice,
                                     break_argument,    break_step,        break_condition,
                                     break_early_read,  break_early_store, break_early_extent,
                                     break_early_tasks, break_early_teams};
    assert_false(dies(NULL));
    assert_false(dies(early));
    for (size_t i = 0; i < COUNT(breaks); i++)
        if (!dies(breaks[i]))
            fail_msg("break %zu was not noticed", i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_folding),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_print),
        cmocka_unit_test(test_verify),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
