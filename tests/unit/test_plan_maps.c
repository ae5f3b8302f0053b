/* LIBS: mdl_plan mdl_base */
/* test_plan_maps.c: what a GPU copies in boxes, in plans: what is printed, and that maps beyond their tensors are
 * refused, whatever the extents. */
#include "sampleplan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* The sample for a GPU, whose first kernel maps x, f32[B, 8] with B up to 64. */
static PlanBuilder *mapped(Arena *arena)
{
    PlanBuilder *b = sample_builder(arena, "sm_90a");
    b->targets.at[0].kind = PLAN_CUDA;
    for (uint32_t i = 0; i < b->phases.n; i++)
        b->phases.at[i].threads = b->phases.at[i].team = 32;
    b->phases.at[0].stays = 1;
    PlanDim none = {0, 0};
    VEC_PUSH(arena, &b->dims, none);
    PlanMap m = {.dtype = DT_F32,
                 .rank = 2,
                 .swizzle = 32,
                 .first = b->dims.n - 1,
                 .dim = {SD_COLUMNS, SD_B},
                 .stride = {SD_COLUMNS},
                 .box = {8, 16}};
    VEC_PUSH(arena, &b->maps, m);
    b->variants.at[0].nmap = 1;
    return b;
}

static void maps_are_printed(void **state)
{
    Arena *arena = *state;
    Err err = {0};
    Bytes file = planb_finish(mapped(arena));
    Plan *plan = plan_from_bytes(file.data, file.n, &err);
    if (!plan)
        fail_msg("%s", err.text);
    StrBuf sb = sb_new(arena);
    plan_print(plan, PP_GROUPS, &sb);
    if (!strstr(sb_text(&sb), "; tasks B of 32 threads that stay; scratch") ||
        !strstr(sb_text(&sb), "\n  argument 0 in boxes of 8 x 16: f32[8, B by 8], swizzled by 32"))
        fail_msg("%s", sb_text(&sb));
    plan_free(plan);
}

/* As many as the tasks, or as many as there is room for. */
static void blocks_stay(void **state)
{
    UNUSED(state);
    PlanPhase p = {.threads = 64, .team = 64, .stays = 1};
    assert_int_equal(plan_blocks(&p, 9, 4), 4);
    assert_int_equal(plan_blocks(&p, 3, 4), 3);
    p.blocks = 2;
    assert_int_equal(plan_blocks(&p, 9, 4), 8);
    p.stays = 2;
    assert_int_equal(plan_blocks(&p, 9, 4), 8);
    assert_int_equal(plan_blocks(&p, 5, 4), 6);
    p.blocks = 0;
    assert_int_equal(plan_blocks(&p, 5, 3), 2);
    assert_int_equal(plan_blocks(&p, 5, 1), 2);
    assert_int_equal(plan_blocks(&p, 0, 4), 0);
    p.stays = 0;
    assert_int_equal(plan_blocks(&p, 9, 4), 9);
}

typedef struct Wrong {
    const char *message;
    void (*damage)(PlanBuilder *b);
} Wrong;

#define WRONG(name, change)                  \
    static void wrong_##name(PlanBuilder *b) \
    {                                        \
        change;                              \
    }
WRONG(range, b->variants.at[0].map0 = 1)
WRONG(many, (b->variants.at[0].nmap = 17))
WRONG(argument, b->maps.at[0].arg = 3)
WRONG(table, (b->variants.at[2].map0 = 0, b->variants.at[2].nmap = 1))
WRONG(dtype, b->maps.at[0].dtype = DT_COUNT)
WRONG(other, b->maps.at[0].dtype = DT_I32)
WRONG(rank, b->maps.at[0].rank = 4)
WRONG(swizzle, b->maps.at[0].swizzle = 48)
WRONG(box, b->maps.at[0].box[1] = 257)
WRONG(line, b->maps.at[0].box[0] = 16)
WRONG(run, b->maps.at[0].box[0] = 3)
WRONG(dim, b->maps.at[0].dim[1] = 99)
WRONG(stride, b->maps.at[0].stride[0] = 99)
WRONG(wide, b->maps.at[0].stride[0] = SD_CHUNKS)
WRONG(long_, b->maps.at[0].rank = 3; b->maps.at[0].box[2] = 1)
WRONG(first, b->maps.at[0].first = SD_ONE)
WRONG(offset, b->args.at[0].offset = 32)
WRONG(workspace, (b->maps.at[0].arg = PLAN_NONE, b->variants.at[0].workspace = 64))
WRONG(behind, (b->maps.at[0].arg = PLAN_NONE, b->maps.at[0].offset = 4096))
WRONG(before, b->maps.at[0].offset = 8)
WRONG(odd, b->args.at[0].offset = 4)
WRONG(stays, b->phases.at[0].stays = 3)
WRONG(team, b->phases.at[0].threads = 64)
WRONG(waits, b->phases.at[0].waits = 2)

static const Wrong wrongs[] = {
    {"variants[0]: maps is 1..2 of 1", wrong_range},
    {"variants[0]: maps", wrong_many},
    {"steps[0]: kernel 0 maps argument 3, which there is not", wrong_argument},
    {"steps[2]: kernel 2 maps argument 0, which there is not", wrong_table},
    {"maps[0]: dtype", wrong_dtype},
    {"steps[0]: kernel 0 maps argument 0 as another type", wrong_other},
    {"maps[0]: 4 dimensions", wrong_rank},
    {"maps[0]: a swizzle of 48 bytes", wrong_swizzle},
    {"maps[0]: a box of 257 elements", wrong_box},
    {"maps[0]: lines of 64 bytes", wrong_line},
    {"maps[0]: lines of 12 bytes", wrong_run},
    {"maps[0]: dim is 99 of 6", wrong_dim},
    {"maps[0]: stride is 99 of 6", wrong_stride},
    {"steps[0]: kernel 0 maps more of argument 0", wrong_wide},
    {"steps[0]: kernel 0 maps more of argument 0", wrong_long_},
    {"steps[0]: kernel 0 maps more of argument 0", wrong_first},
    {"steps[0]: kernel 0 maps more of argument 0", wrong_offset},
    {"steps[0]: kernel 0 maps more than its workspace", wrong_workspace},
    {"steps[0]: kernel 0 maps more than its workspace", wrong_behind},
    {"maps[0]: 8 bytes before it", wrong_before},
    {"steps[0]: kernel 0 maps argument 0 as another type", wrong_odd},
    {"phases[0]: blocks of 32 threads stay", wrong_stays},
    {"phases[0]: blocks of 64 threads stay for tasks of 32", wrong_team},
    {"phases[0]: waits 2, with blocks of 32 threads", wrong_waits},
};

static void wrong_maps_are_refused(void **state)
{
    for (size_t i = 0; i < COUNT(wrongs); i++) {
        PlanBuilder *b = mapped(*state);
        Err err = {0};
        wrongs[i].damage(b);
        Bytes file = planb_finish(b);
        Plan *plan = plan_from_bytes(file.data, file.n, &err);
        if (plan || !strstr(err.text, wrongs[i].message))
            fail_msg("%zu: not `%s` but: %s", i, wrongs[i].message, plan ? "fine" : err.text);
    }
}

static int setup(void **state)
{
    *state = arena_new();
    return 0;
}

static int teardown(void **state)
{
    arena_free(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(maps_are_printed),
        cmocka_unit_test(blocks_stay),
        cmocka_unit_test(wrong_maps_are_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
