/* LIBS: mdl_test_support mdl_passes mdl_front_rule mdl_target mdl_ir mdl_base */
/* test_target.c: a program with an operation that no kernel class of the target runs is refused with
 * a message at its place, once for each; the interpreter has them all. */
#include "passes.h"
#include "target.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void test_refused(void **state)
{
    UNUSED(state);
    Arena *arena = arena_new();
    Ir *ir = ir_new(arena, syms_new(arena), diags_new(arena));
    Target target;
    Err err = {0};
    assert_true(target_host(&target, "generic", &err));
    PassCx *cx = passes_begin(ir, arena, NULL, &target);
    const char source[] = "y = x.append(r)\nz = y.append(r)\n";
    uint32_t file = diags_source(ir->diags, "scan.mdl", source, sizeof source - 1);
    Graph *g = graph_new(ir, arena, sym(ir->syms, "f"));
    const Dim *dims[] = {dim_const(ir, 5)};
    const Node *x = graph_input(g, sym(ir->syms, "x"), type_tensor(ir, DT_F32, 1, dims));
    const Node *at = graph_const(g, DT_I32, 0), *row = graph_input(g, sym(ir->syms, "r"), x->type);
    g->span = (Span){.file = file, .lo = 4, .hi = 15};
    x = graph_update(g, x, row, at, 0);
    g->span = (Span){.file = file, .lo = 20, .hi = 31};
    x = graph_update(g, graph_unary(g, OP_NEG, x), row, at, 0);
    graph_result(g, sym(ir->syms, "y"), x);
    assert_null(passes_run(cx, g, NULL));
    assert_int_equal(diags_errors(ir->diags), 2);
    const char *text = diags_render(ir->diags, arena, DIAG_SHORT, false);
    assert_non_null(strstr(text, "scan.mdl:1:5: "));
    assert_non_null(strstr(text, "E0505"));
    assert_non_null(strstr(text, "`update` is not supported by cpu yet"));
    assert_non_null(strstr(text, "scan.mdl:2:5: "));
    arena_free(arena);
}

static void test_classes(void **state)
{
    UNUSED(state);
    Target target;
    Err err = {0};
    assert_true(target_host(&target, NULL, &err));
    for (OpClass cls = OC_LEAF; cls <= OC_GROUP; cls++)
        assert_true(target_runs(&target, cls) == (cls != OC_UPDATE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_classes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
