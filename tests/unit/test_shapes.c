/* LIBS: mdl_front mdl_ir mdl_plan mdl_base */
/* test_shapes.c: `mdl check --shapes`: what is said beside each binding. */
#include "elabcase.h"

static const char *shapes_of(Lab *l, bool right)
{
    StrBuf sb = sb_new(l->arena);
    front_shapes_begin(l->front);
    assert_int_equal(front_check(l->front), right);
    front_shapes_print(l->front, &sb);
    return sb_text(&sb);
}

static void check_shapes(const char *text, const char *want)
{
    Lab l = lab_open(text);
    assert_string_equal(shapes_of(&l, true), want);
    lab_close(&l);
}

#define DATA                                                                    \
    "data d { source = npz(\"x.npz\", x: \"x\") ; x: f32[8] = row => row.x }\n" \
    "eval e { data = d ; metric a = b => mean(m(b.x)) }\n"
#define TRAIN "train m { data = d ; loss = b => mean(m(b.x)) ; lr = 1 ; batch = 3 ; steps = 1 }\n"

/* Arguments, results, bindings of all kinds; a letter of two bytes is one column wide. The batch of
 * training is hidden by the one of the evaluation, which may be any. */
static void test_bindings(void **state)
{
    UNUSED(state);
    check_shapes("module M(D, more = true) {\n"
                 "  let h = D / 2\n"
                 "  param w: [D] ~ ones\n"
                 "  fn both(x: [B, D]) = (x, x * w)\n"
                 "\n"
                 "  fn forward(x: [B, D]) -> [B, h] {\n"
                 "    a, c = both(x)  # é\n"
                 "    s[b] += c[b, i]\n"
                 "    let k = h * 2\n"
                 "    for i in 0..2 { s = s * 2 }\n"
                 "    c[:, :h]\n"
                 "  }\n"
                 "}\n"
                 "model m = M(8)\n" DATA TRAIN,
                 "module M(D, more = true) {         # D = 8\n"
                 "  let h = D / 2                    # h = 4\n"
                 "  param w: [D] ~ ones              # w: f32[8]\n"
                 "  fn both(x: [B, D]) = (x, x * w)  # x: f32[B, 8] -> (f32[B, 8], f32[B, 8])\n"
                 "\n"
                 "  fn forward(x: [B, D]) -> [B, h] {  # x: f32[B, 8] -> f32[B, 4]\n"
                 "    a, c = both(x)  # é              # a: f32[B, 8], c: f32[B, 8]\n"
                 "    s[b] += c[b, i]                  # s: f32[B]\n"
                 "    let k = h * 2                    # k = 8\n"
                 "    for i in 0..2 { s = s * 2 }      # s: f32[B]\n"
                 "    c[:, :h]\n"
                 "  }\n"
                 "}\n"
                 "model m = M(8)\n" DATA TRAIN);
}

/* Several sizes: two are shown; numbers that vary are not. */
static void test_sizes(void **state)
{
    UNUSED(state);
    check_shapes("module L(D) { param w: [D] ~ ones }\n"
                 "module M() {\n"
                 "  l[i < 3]: L(i + 1)\n"
                 "  k[i < 2]: L(i + 1)\n"
                 "  fn forward(x: [B, 8]) = x\n"
                 "}\n"
                 "model m = M()\n" DATA,
                 "module L(D) { param w: [D] ~ ones }  # w: f32[1] or f32[2] ..\n"
                 "module M() {\n"
                 "  l[i < 3]: L(i + 1)\n"
                 "  k[i < 2]: L(i + 1)\n"
                 "  fn forward(x: [B, 8]) = x          # x: f32[B, 8] -> f32[B, 8]\n"
                 "}\n"
                 "model m = M()\n" DATA);
}

/* Of a wrong program: what is known. Its last line has no end. */
static void test_wrong(void **state)
{
    UNUSED(state);
    Lab l = lab_open("fn f(x: [2, 3]) {\n  y = x + 1\n  z = y as [5]\n  z + 1 }");
    assert_string_equal(shapes_of(&l, false), "fn f(x: [2, 3]) {               # x: f32[2, 3]\n"
                                              "  y = x + 1                     # y: f32[2, 3]\n"
                                              "  z = y as [5]\n"
                                              "  z + 1 }\n");
    lab_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bindings),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
