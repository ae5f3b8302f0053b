/* LIBS: mdl_plan mdl_base */
/* test_plan.c: plan files are written, read back, printed, and refused when anything is wrong. */
#include "planfile.h"
#include "sampleplan.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct Random {
    uint64_t state;
} Random;

static uint64_t next(Random *r)
{
    r->state += 0x9e3779b97f4a7c15u;
    return hash_mix(7, r->state);
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

static Bytes sample(Arena *arena)
{
    return planb_finish(sample_builder(arena, "generic"));
}

static void assert_refused(const void *data, size_t n, const char *text)
{
    Err err = {0};
    Plan *plan = plan_from_bytes(data, n, &err);
    assert_null(plan);
    assert_int_equal(err.kind, ERR_DATA);
    if (!strstr(err.text, text))
        fail_msg("expected \"%s\" in: %s", text, err.text);
}

static void assert_equal_plans(const Plan *a, const PlanBuilder *b)
{
#define SECTION(name, T)                     \
    assert_int_equal(a->n##name, b->name.n); \
    assert_memory_equal(a->name, b->name.at, b->name.n * sizeof(T));
#include "plan.def"
#undef SECTION
}

/* ---- the straight way ---- */

static void what_is_written_is_read(void **state)
{
    Arena *arena = *state;
    PlanBuilder *b = sample_builder(arena, "generic");
    char path[] = "/tmp/mdl-test-plan-XXXXXX";
    assert_true(mkdtemp(path) != NULL);
    const char *file = path_join(arena, path, "a.plan");
    Err err = {0};
    assert_true(planb_write(b, file, &err));
    Plan *plan = plan_load(file, &err);
    if (!plan)
        fail_msg("%s", err.text);
    assert_equal_plans(plan, b);
    assert_non_null(plan->map);
    assert_string_equal(plan_text(plan, plan->entries[SE_UPDATE].name), "update");
    assert_int_equal(plan_find_entry(plan, "update"), SE_UPDATE);
    assert_int_equal(plan_find_entry(plan, "nothing"), PLAN_NONE);
    assert_int_equal(plan_find_eval(plan, "test"), 0);
    assert_int_equal(plan_find_eval(plan, "tes"), PLAN_NONE);
    int64_t syms[] = {7};
    assert_int_equal(plan_dim(plan, SD_B, syms), 7);
    assert_int_equal(plan_dim(plan, SD_COLUMNS, syms), 8);
    assert_int_equal(plan_dim_hi(plan, SD_B), 64);
    plan_free(plan);
    assert_true(file_remove_tree(path, &err));
}

static void same_arrays_give_same_bytes(void **state)
{
    Bytes a = sample(*state), b = sample(*state);
    assert_int_equal(a.n, b.n);
    assert_memory_equal(a.data, b.data, a.n);
    Err err = {0};
    Plan *plan = plan_from_bytes(a.data, a.n, &err), *other = plan_from_bytes(b.data, b.n, &err);
    assert_true(plan && other && plan_hash(plan) == plan_hash(other));
    plan_free(plan);
    plan_free(other);
}

static void bytes_need_no_alignment(void **state)
{
    Bytes file = sample(*state);
    for (size_t shift = 1; shift < 9; shift++) {
        char *moved = arena_alloc(*state, file.n + 16);
        memcpy(moved + shift, file.data, file.n);
        Err err = {0};
        Plan *plan = plan_from_bytes(moved + shift, file.n, &err);
        assert_non_null(plan);
        assert_string_equal(plan_text(plan, plan->meta->name), "sample");
        plan_free(plan);
    }
}

static void texts_are_interned(void **state)
{
    PlanBuilder *b = planb_new(*state);
    assert_int_equal(planb_text(b, NULL), 0);
    assert_int_equal(planb_text(b, ""), 0);
    PStr one = planb_text(b, "one"), two = planb_text(b, "two");
    assert_true(one != two);
    assert_int_equal(planb_text(b, "one"), one);
    assert_string_equal(b->text.at + two, "two");
}

static void the_print_has_every_part(void **state)
{
    Bytes file = sample(*state);
    Err err = {0};
    Plan *plan = plan_from_bytes(file.data, file.n, &err);
    assert_non_null(plan);
    StrBuf all = sb_new(*state), none = sb_new(*state);
    plan_print(plan, PP_SUMMARY | PP_GROUPS | PP_SOURCE | PP_MEMORY | PP_STEPS, &all);
    plan_print(plan, 0, &none);
    const char *wanted[] = {"symbol     B in 1..64",
                            "in x f32[B, 8]",
                            "out y f32[B, 8]",
                            "train      net on rows: batch 32, 3 epochs",
                            "tasks 16, then 1",
                            "group text",
                            "void k_total_1(const MdlArgs",
                            "temporary: 2048 B for 3 tensors",
                            "  scale(x, fc.weight, y)\n",
                            "  step(table of 2 rows)\n",
                            "  loop of at most 64 rounds from the end, which carries fc.weight:\n",
                            "    row(row, old, next)\n"};
    for (size_t i = 0; i < COUNT(wanted); i++)
        if (!strstr(sb_text(&all), wanted[i]))
            fail_msg("no \"%s\" in:\n%s", wanted[i], sb_text(&all));
    assert_string_equal(sb_text(&none), "");
    plan_free(plan);
}

/* ---- damage ---- */

/* Where there are several, every figure has its target. */
static void the_print_names_targets(void **state)
{
    PlanBuilder *b = sample_builder(*state, "generic");
    PlanVariant *cpu = COPY_ARRAY(b->arena, PlanVariant, b->variants.at, b->variants.n);
    uint32_t n = b->variants.n, nphase = b->phases.n;
    planb_target(b, PLAN_CUDA, "sm_80");
    VEC_LAST(&b->targets).workspace_bytes = 128;
    b->variants.n = 0;
    for (uint32_t i = 0; i < nphase; i++) {
        PlanPhase p = b->phases.at[i];
        p.threads = 128;
        p.team = 32;
        p.shared = 2048;
        VEC_PUSH(b->arena, &b->phases, p);
    }
    for (uint32_t k = 0; k < n; k++) {
        PlanVariant gpu = cpu[k];
        gpu.phase0 += nphase;
        gpu.workspace = 128;
        b->kernels.at[k].variant0 = b->variants.n;
        VEC_PUSH(b->arena, &b->variants, cpu[k]);
        VEC_PUSH(b->arena, &b->variants, gpu);
    }
    Bytes file = planb_finish(b);
    Err err = {0};
    Plan *plan = plan_from_bytes(file.data, file.n, &err);
    if (!plan)
        fail_msg("%s", err.text);
    StrBuf all = sb_new(*state);
    plan_print(plan, PP_SUMMARY | PP_GROUPS | PP_SOURCE | PP_MEMORY, &all);
    static const char *const wanted[] = {
        "for generic, sm_80; hash ",
        "workspace 64 B (generic), 128 B (sm_80)",
        "\n  generic; tasks B; scratch 32 B; workspace 64 B\n",
        "\n  sm_80; tasks B of 32 threads in blocks of 128 with 2048 B",
        "(map) for generic ---- */",
        "(map) for sm_80 ---- */"};
    for (size_t i = 0; i < COUNT(wanted); i++)
        if (!strstr(sb_text(&all), wanted[i]))
            fail_msg("no `%s` in\n%s", wanted[i], sb_text(&all));
    assert_int_equal(plan_blocks(&plan->phases[nphase], 9, 1), 3);
    assert_int_equal(plan_blocks(&plan->phases[0], 9, 1), 9);
    plan_free(plan);
}

static void truncated_files_are_refused(void **state)
{
    Bytes file = sample(*state);
    const PlanSection *dir = (const void *)(file.data + sizeof(PlanHeader));
    Random r = {1};
    assert_refused(file.data, 0, "not a plan");
    assert_refused(file.data, 5, "truncated: 5 bytes");
    assert_refused(file.data, sizeof(PlanHeader) - 1, "truncated: 63 bytes");
    for (int i = 0; i < PLAN_NSECTION; i++) {
        assert_refused(file.data, dir[i].offset, "truncated");
        assert_refused(file.data, dir[i].offset + 1, "truncated");
        assert_refused(file.data, dir[i].offset - 1, "truncated");
    }
    for (int i = 0; i < 300; i++)
        assert_refused(file.data, sizeof(PlanHeader) + next(&r) % (file.n - sizeof(PlanHeader)),
                       "truncated");
}

static void the_message_says_how_much_is_missing(void **state)
{
    Bytes file = sample(*state);
    Err err = {0};
    assert_null(plan_from_bytes(file.data, 1024, &err));
    assert_non_null(strstr(err.text, "the plan is truncated: 1,024 bytes, its header says "));
    assert_string_equal(err.help, "compile it again");
}

static void longer_files_are_refused(void **state)
{
    Bytes file = sample(*state);
    char *more = arena_alloc(*state, file.n + 64);
    memcpy(more, file.data, file.n);
    assert_refused(more, file.n + 1, "too long");
    assert_refused(more, file.n + 64, "too long");
}

static void a_flipped_bit_is_refused_wherever_it_is(void **state)
{
    Bytes file = sample(*state);
    for (size_t at = 0; at < file.n; at++) {
        char was = file.data[at];
        file.data[at] = (char)(was ^ (1 << at % 8));
        Err err = {0};
        assert_null(plan_from_bytes(file.data, file.n, &err));
        assert_int_equal(err.kind, ERR_DATA);
        file.data[at] = was;
    }
    Err err = {0};
    Plan *plan = plan_from_bytes(file.data, file.n, &err);
    assert_non_null(plan);
    plan_free(plan);
}

static void garbage_is_not_a_plan(void **state)
{
    Random r = {2};
    char data[512];
    UNUSED(state);
    for (int round = 0; round < 200; round++) {
        for (size_t i = 0; i < sizeof(data); i++)
            data[i] = (char)next(&r);
        if (round % 2)
            memcpy(data, PLAN_MAGIC, 8);
        Err err = {0};
        assert_null(plan_from_bytes(data, sizeof(data) - (size_t)round, &err));
        assert_int_equal(err.kind, ERR_DATA);
    }
    assert_refused("model main\n", 11, "not a plan");
}

/* Gives the file the checksum of its contents. */
static void seal(Bytes file)
{
    PlanHeader head;
    memcpy(&head, file.data, sizeof(head));
    head.checksum = hash_bytes(file.data + PLAN_CHECKED_FROM, file.n - PLAN_CHECKED_FROM);
    memcpy(file.data, &head, sizeof(head));
}

static void other_versions_are_refused(void **state)
{
    Bytes file = sample(*state);
    PlanHeader *head = (void *)file.data;
    head->version = head->min_reader = PLAN_VERSION + 7;
    seal(file);
    assert_refused(file.data, file.n,
                   arena_printf(*state, "format %d, this program reads up to %d", PLAN_VERSION + 7,
                                PLAN_VERSION));
    head->version = 0;
    head->min_reader = 0;
    seal(file);
    assert_refused(file.data, file.n, "old format 0");
}

static void wrong_directories_are_refused(void **state)
{
    Arena *arena = *state;
    Bytes good = sample(arena);
    for (int i = 0; i < PLAN_NSECTION; i++) {
        for (int what = 0; what < 6; what++) {
            Bytes file = {arena_memdup(arena, good.data, good.n), good.n};
            PlanSection *s = (PlanSection *)(void *)(file.data + sizeof(PlanHeader)) + i;
            s->name[0] = what == 0 ? 'z' : s->name[0];
            s->offset += what == 1 ? 64 : what == 2 ? UINT64_MAX - 63 : 0;
            s->count = what == 3 ? UINT64_C(1) << 40 : what == 4 ? UINT64_MAX : s->count;
            s->element += what == 5;
            seal(file);
            assert_refused(file.data, file.n, "the plan's section");
        }
    }
}

/* Contents that passed the checksum: nothing may crash, here or in the printer. */
static void any_contents_are_safe(void **state)
{
    Arena *arena = *state;
    Bytes good = sample(arena);
    Random r = {3};
    size_t first = sizeof(PlanHeader) + PLAN_NSECTION * sizeof(PlanSection);
    int accepted = 0;
    for (int round = 0; round < 4000; round++) {
        Arena *mine = arena_new();
        Bytes file = {arena_memdup(mine, good.data, good.n), good.n};
        for (uint64_t k = 1 + next(&r) % 3; k; k--) {
            size_t at = first + next(&r) % (good.n - first);
            uint64_t values[] = {0, 1, 0xff, 0x7f, next(&r)};
            file.data[at] = (char)values[next(&r) % COUNT(values)];
        }
        seal(file);
        Err err = {0};
        Plan *plan = plan_from_bytes(file.data, file.n, &err);
        accepted += plan != NULL;
        if (plan) {
            StrBuf sb = sb_new(mine);
            plan_print(plan, PP_SUMMARY | PP_GROUPS | PP_SOURCE | PP_MEMORY | PP_STEPS, &sb);
            plan_free(plan);
        }
        arena_free(mine);
    }
    assert_in_range(accepted, 1, 3999);
}

/* ---- contents ---- */

typedef struct Wrong {
    const char *message; /* part of what is said */
    void (*damage)(PlanBuilder *b);
} Wrong;

#define WRONG(name, change)                  \
    static void wrong_##name(PlanBuilder *b) \
    {                                        \
        change;                              \
    }
#define LARGE 0x7ffffff0u

WRONG(text, VEC_LAST(&b->text) = 'x')
WRONG(compiler, b->meta.at[0].compiler = b->text.n)
WRONG(no_target, b->targets.n = 0)
WRONG(target_kind, b->targets.at[0].kind = 2)
WRONG(isa, b->targets.at[0].isa = b->text.n)
WRONG(no_isa, b->targets.at[0].isa = 0)
WRONG(target_workspace, b->targets.at[0].workspace_bytes = UINT64_MAX)
WRONG(target_twice, planb_target(b, PLAN_CPU, "generic"))
WRONG(target_lacks, (planb_target(b, PLAN_CPU, "avx2"), b->targets.at[1].workspace_bytes = 64))
WRONG(target_other, b->targets.at[0].kind = PLAN_CUDA)
WRONG(sym_slot, b->syms.at[0].slot = 4)
WRONG(sym_kind, b->syms.at[0].slot = 1)
WRONG(sym_range, b->syms.at[0].hi = 0)
WRONG(sym_negative, b->syms.at[0].lo = -1)
WRONG(slot, b->slots.at[2].kind = 99)
WRONG(term_sym, b->terms.at[0].sym[0] = 1)
WRONG(term_count, b->terms.at[0].nsym = 5)
WRONG(dim_range, b->dims.at[1].nterm = LARGE)
WRONG(dim_negative, b->terms.at[1].coef = -3)
WRONG(dim_overflow, (b->terms.at[0].coef = INT64_C(1) << 60, b->syms.at[0].hi = 1 << 20))
WRONG(tensor_dtype, b->tensors.at[1].dtype = DT_COUNT)
WRONG(tensor_rank, b->tensors.at[1].rank = 9)
WRONG(tensor_dim, b->tensors.at[1].dim[1] = 5)
WRONG(tensor_small, b->tensors.at[1].bytes = 2047)
WRONG(tensor_unaligned, b->tensors.at[3].offset = 68)
WRONG(tensor_outside, b->tensors.at[3].offset = 320)
WRONG(tensor_wraps, b->tensors.at[3].offset = UINT64_MAX - 63)
WRONG(tensor_grows, b->syms.at[0].hi = 65)
WRONG(state_arena, b->states.at[0].tensor = ST_Y)
WRONG(state_of, b->states.at[SS_GRAD].of = SS_SUM)
WRONG(state_overlap, b->tensors.at[ST_GRAD].offset = 64)
WRONG(state_key, b->states.at[SS_BIAS].key = b->states.at[SS_WEIGHT].key)
WRONG(state_init, b->states.at[0].init = 99)
WRONG(state_axes, b->states.at[0].init = PI_TABLE; b->states.at[0].axes = 1 << 7)
WRONG(state_values, b->states.at[0].init = PI_TABLE; b->states.at[0].axes = 1)
WRONG(state_value, b->states.at[0].init = PI_TABLE)
WRONG(variant, b->kernels.at[3].variant0 = 4)
WRONG(source, b->variants.at[1].source = 0)
WRONG(phase, b->variants.at[2].phase0 = 5)
WRONG(no_phase, b->variants.at[2].nphase = 0)
WRONG(again, b->variants.at[2].again = LARGE)
WRONG(scratch, b->variants.at[0].scratch = UINT64_MAX)
WRONG(grain, b->variants.at[2].grain = -8)
WRONG(no_grain, b->variants.at[2].grain = 0)
WRONG(threads, b->phases.at[1].threads = 33)
WRONG(threads_many, b->phases.at[1].threads = 1056)
WRONG(threads_cpu, b->phases.at[1].threads = b->phases.at[1].team = 32)
WRONG(team, (b->phases.at[1].threads = 64, b->phases.at[1].team = 48))
WRONG(team_cpu, b->phases.at[1].team = 1)
WRONG(shared, b->phases.at[1].shared = 1024)
WRONG(shared_many,
      (b->phases.at[1].threads = b->phases.at[1].team = 32, b->phases.at[1].shared = 232449))
WRONG(blocks, (b->phases.at[1].threads = b->phases.at[1].team = 32, b->phases.at[1].blocks = 33))
WRONG(symbol, b->phases.at[0].symbol = planb_text(b, "system(\"x\")"))
WRONG(workspace, b->variants.at[1].workspace = 65)
WRONG(arg_tensor, b->args.at[0].tensor = 12)
WRONG(arg_offset, b->args.at[0].offset = 2049)
WRONG(arg_rows, b->args.at[5].nrow = 3)
WRONG(arg_rows_wrap, b->args.at[5].row0 = UINT32_MAX)
WRONG(row_tensor, b->rows.at[0].tensor[3] = 12)
WRONG(row_length, b->rows.at[0].n = -1)
WRONG(row_long, b->rows.at[0].n = (INT64_C(1) << 48) + 1)
WRONG(table_long, (b->rows.at[0].n = INT64_C(1) << 47, b->rows.at[1].n = (INT64_C(1) << 47) + 1))
WRONG(step_kernel, b->steps.at[0].kernel = 4)
WRONG(step_args, b->steps.at[0].narg = 10)
WRONG(binding, b->bindings.at[0].tensor = 12)
WRONG(input_arena, b->bindings.at[0].tensor = ST_Y)
WRONG(unbound, b->entries.at[0].ninput = 0)
WRONG(unbound_table, b->rows.at[0].tensor[2] = ST_X)
WRONG(entry_twice, b->entries.at[1].name = b->entries.at[0].name)
WRONG(move_none, b->tensors.at[ST_ROW].offset = 3)
WRONG(move_kind, b->moves.at[0].kind = 3)
WRONG(move_loop, b->moves.at[0].loop = 1)
WRONG(move_of, b->moves.at[0].of = ST_WEIGHT)
WRONG(move_itself, b->moves.at[0].of = ST_ROW)
WRONG(move_carry, b->moves.at[1].of = 1)
WRONG(loop_length, b->loops.at[0].length = SD_ONE)
WRONG(loop_carries, b->loops.at[0].ncarry = 2)
WRONG(carry_inside, b->carries.at[0].init = ST_ROW)
WRONG(carry_shape, b->carries.at[0].other = ST_Y)
WRONG(carry_input, b->tensors.at[ST_OTHER].arena = PA_INPUT)
WRONG(loop_end, b->steps.at[5].kind = PT_LOOP)
WRONG(loop_open, b->entries.at[SE_WALK].nstep = 2)
WRONG(loop_none, (b->entries.at[SE_WALK].step0 = 4, b->entries.at[SE_WALK].nstep = 1))
WRONG(loop_unbound, b->entries.at[SE_WALK].ninput = 0)
WRONG(loop_result, b->bindings.at[5].tensor = ST_NEW)
WRONG(column, b->codes.at[0].a = 1)
WRONG(code_op, b->codes.at[0].op = RO_COUNT)
WRONG(code_pops, b->codes.at[1].op = RO_ADD)
WRONG(code_left, b->codes.at[2].op = RO_NUMBER)
WRONG(field_extent, b->fields.at[0].dim[0] = 0)
WRONG(data_fields, b->datas.at[0].nfield = 4)
WRONG(special, b->specials.at[1].id = 300)
WRONG(special_name, b->specials.at[0].text = 0)
WRONG(vocabulary, b->tokenizers.at[0].vocab = 257)
WRONG(eos, b->tokenizers.at[0].eos = 258)
WRONG(stream_tokenizer, b->streams.at[0].tokenizer = 1)
WRONG(stream_length, b->streams.at[0].length = 0)
WRONG(stream_stride, b->streams.at[0].stride = -1)
WRONG(stream_part, b->streams.at[0].from = 1)
WRONG(stream_part_nan, b->streams.at[0].to = (double)NAN)
WRONG(token_field, b->fields.at[1].dtype = DT_F32)
WRONG(token_extent, b->fields.at[1].dim[0] = 9)
WRONG(token_kind, b->fields.at[1].kind = PF_CODE)
WRONG(code_kind, b->fields.at[0].kind = PF_POS)
WRONG(data_stream, b->datas.at[1].stream = 1)
WRONG(text_length, b->texts.at[0].length = 0)
WRONG(text_code, b->codes.at[4].op = RO_SAME)
WRONG(text_tokenizer, b->texts.at[0].tokenizer = 1)
WRONG(text_overlong, b->texts.at[0].overlong = PO_ERROR + 1)
WRONG(text_of_field, b->fields.at[2].text = 2)
WRONG(text_extent, b->fields.at[2].dim[0] = 9)
WRONG(packs_numbers, (b->fields.at[2].kind = PF_CODE, b->fields.at[2].text = 0))
WRONG(products, b->kernels.at[1].products = b->kernels.at[1].flops + 1)
WRONG(matrix, b->kernels.at[1].matrix = b->kernels.at[1].products + 1)
WRONG(packs_two, b->datas.at[2].ntext = 0)
WRONG(segment, b->segments.at[0].length = (double)NAN)
WRONG(metric, b->metrics.at[0].sum = 3)
WRONG(metric_shape, b->metrics.at[0].weight = 0)
WRONG(eval_entry, b->evals.at[0].entry = 3)
WRONG(eval_batch, b->evals.at[0].batch = 0)
WRONG(action, b->actions.at[0].length = 0)
WRONG(action_best, b->actions.at[1].metric = 1)
WRONG(tap, b->taps.at[0].weight = SS_WEIGHT)
WRONG(run_log, b->runs.at[0].log_length = -1)
WRONG(run_log_unit, b->runs.at[0].log_unit = PU_SHARE)
WRONG(run_factor, b->runs.at[0].factor = 99)
WRONG(run_factor_type, b->runs.at[0].factor = 0)
WRONG(run_entry, b->runs.at[0].micro = 3)
WRONG(run_loss, b->runs.at[0].loss_sum = SS_WEIGHT)
WRONG(run_lr, b->runs.at[0].lr = (double)INFINITY)

static const Wrong wrongs[] = {
    {"text is not terminated", wrong_text},
    {"meta[0]: compiler", wrong_compiler},
    {"the plan is wrong: 0 targets", wrong_no_target},
    {"targets[0]: kind is 2 of 2", wrong_target_kind},
    {"targets[0]: instruction set", wrong_isa},
    {"targets[0]: instruction set is empty", wrong_no_isa},
    {"targets[0]: its workspace is too large", wrong_target_workspace},
    {"targets[1]: target 0 once more", wrong_target_twice},
    {"kernels[3]: variants is 3..5 of 4", wrong_target_lacks},
    {"kernels[0]: variant 0 is not for its target", wrong_target_other},
    {"syms[0]: slot is 4 of 4", wrong_sym_slot},
    {"syms[0]: slot 1 does not hold", wrong_sym_kind},
    {"syms[0]: bad range 1..0", wrong_sym_range},
    {"syms[0]: bad range -1..64", wrong_sym_negative},
    {"slots[2]: unknown kind 99", wrong_slot},
    {"terms[0]: symbol is 1 of 1", wrong_term_sym},
    {"terms[0]: 5 symbols", wrong_term_count},
    {"dims[1]: terms", wrong_dim_range},
    {"dims[1]: the extent is negative", wrong_dim_negative},
    {"dims[0]: the extent overflows", wrong_dim_overflow},
    {"tensors[1]: dtype", wrong_tensor_dtype},
    {"tensors[1]: rank", wrong_tensor_rank},
    {"tensors[1]: dim", wrong_tensor_dim},
    {"tensors[1]: 2047 bytes do not hold 512 elements", wrong_tensor_small},
    {"tensors[3]: the offset is not a multiple", wrong_tensor_unaligned},
    {"tensors[3]: it ends outside", wrong_tensor_outside},
    {"tensors[3]: it ends outside", wrong_tensor_wraps},
    {"tensors[0]: 2048 bytes do not hold 520", wrong_tensor_grows},
    {"states[0]: its tensor is not persistent", wrong_state_arena},
    {"states[1]: `of` is not a parameter", wrong_state_of},
    {"states[1]: it overlaps state 0", wrong_state_overlap},
    {"states[4]: it has the key of state 0", wrong_state_key},
    {"states[0]: init", wrong_state_init},
    {"states[0]: its values depend on axes that it lacks", wrong_state_axes},
    {"states[0]: it has more elements than there are values", wrong_state_values},
    {"states[0]: values is 0..1 of 0", wrong_state_value},
    {"kernels[3]: variants is 4..5 of 4", wrong_variant},
    {"variants[1]: source is empty", wrong_source},
    {"variants[2]: phases is 5..6 of 5", wrong_phase},
    {"variants[2]: 0 phases", wrong_no_phase},
    {"variants[2]: its phases run 2147483632 times more", wrong_again},
    {"variants[0]: too much scratch", wrong_scratch},
    {"variants[2]: tasks of -8 elements", wrong_grain},
    {"entries[1]: a table for kernel 2, which has none", wrong_no_grain},
    {"phases[1]: blocks of 33 threads", wrong_threads},
    {"phases[1]: blocks of 1056 threads", wrong_threads_many},
    {"kernels[1]: variant 1 is not for its target", wrong_threads_cpu},
    {"kernels[1]: it has more operations in products", wrong_products},
    {"kernels[1]: it has more operations in products", wrong_matrix},
    {"phases[1]: teams of 48 threads", wrong_team},
    {"phases[1]: teams of 1 threads", wrong_team_cpu},
    {"phases[1]: 1024 bytes of shared memory, 0 blocks", wrong_shared},
    {"phases[1]: 232449 bytes of shared memory, 0 blocks", wrong_shared_many},
    {"phases[1]: 0 bytes of shared memory, 33 blocks", wrong_blocks},
    {"phases[0]: the symbol is not a C name", wrong_symbol},
    {"kernels[1]: the workspace of variant 1 exceeds", wrong_workspace},
    {"args[0]: tensor is 12 of 12", wrong_arg_tensor},
    {"args[0]: the offset lies outside", wrong_arg_offset},
    {"args[5]: rows", wrong_arg_rows},
    {"args[5]: rows", wrong_arg_rows_wrap},
    {"rows[0]: tensor", wrong_row_tensor},
    {"rows[0]: -1 elements", wrong_row_length},
    {"rows[0]: 281474976710657 elements", wrong_row_long},
    {"entries[1]: a table of too many elements", wrong_table_long},
    {"steps[0]: kernel", wrong_step_kernel},
    {"steps[0]: arguments", wrong_step_args},
    {"bindings[0]: tensor", wrong_binding},
    {"entries[0]: input 0 is not in the input arena", wrong_input_arena},
    {"entries[0]: ", wrong_unbound},
    {"entries[1]: a table reads an input", wrong_unbound_table},
    {"entries[1]: a second entry `micro`", wrong_entry_twice},
    {"it moves by nothing", wrong_move_none},
    {"how it moves is 3 of 3", wrong_move_kind},
    {"moves[0]: loop is 1 of 1", wrong_move_loop},
    {"tensors[9]: it is no slice of tensor 3", wrong_move_of},
    {"tensors[9]: a slice of what moves in the same loop", wrong_move_itself},
    {"tensors[10]: it is not like the carry", wrong_move_carry},
    {"tensors[9]: it is no slice", wrong_loop_length},
    {"loops[0]: carries is 0..2 of 1", wrong_loop_carries},
    {"loops[0]: a carry lies inside its loop", wrong_carry_inside},
    {"loops[0]: the buffers of a carry have several shapes", wrong_carry_shape},
    {"loops[0]: a carry is written to an input", wrong_carry_input},
    {"entries[2]: loop 0 begins where loop 1 should", wrong_loop_end},
    {"entries[2]: loop 0 does not end", wrong_loop_open},
    {"entries[2]: a step uses what moves in a loop that it is not in", wrong_loop_none},
    {"entries[2]: ", wrong_loop_unbound},
    {"entries[2]: result 0 lies in a loop", wrong_loop_result},
    {"fields[0]: column", wrong_column},
    {"fields[0]: row operation", wrong_code_op},
    {"fields[0]: operation 1 of its code finds too few", wrong_code_pops},
    {"fields[0]: its code leaves 3 values", wrong_code_left},
    {"fields[0]: bad extent 0", wrong_field_extent},
    {"datas[0]: fields", wrong_data_fields},
    {"tokenizers[0]: special token 1 has number 300", wrong_special},
    {"tokenizers[0]: special", wrong_special_name},
    {"tokenizers[0]: a vocabulary of 257 with 2 special tokens", wrong_vocabulary},
    {"tokenizers[0]: eos", wrong_eos},
    {"streams[0]: tokenizer", wrong_stream_tokenizer},
    {"streams[0]: rows of 0 every 4", wrong_stream_length},
    {"streams[0]: rows of 8 every -1", wrong_stream_stride},
    {"streams[0]: from 1 to 1", wrong_stream_part},
    {"streams[0]: from 0.25 to nan", wrong_stream_part_nan},
    {"fields[1]: not what its source of tokens gives", wrong_token_field},
    {"fields[1]: not what its source of tokens gives", wrong_token_extent},
    {"fields[1]: ", wrong_token_kind},
    {"fields[0]: its kind 5", wrong_code_kind},
    {"datas[1]: stream", wrong_data_stream},
    {"texts[0]: rows of 0 tokens", wrong_text_length},
    {"texts[0]: operation 0 of its code finds too few", wrong_text_code},
    {"texts[0]: tokenizer", wrong_text_tokenizer},
    {"texts[0]: overlong", wrong_text_overlong},
    {"datas[2]: it packs more than one text", wrong_text_of_field},
    {"fields[2]: not what its source of tokens gives", wrong_text_extent},
    {"datas[2]: it packs more than one text", wrong_packs_numbers},
    {"datas[2]: it packs more than one text", wrong_packs_two},
    {"segments[0]", wrong_segment},
    {"metrics[0]: sum", wrong_metric},
    {"metrics[0]: its results are not single", wrong_metric_shape},
    {"evals[0]: entry", wrong_eval_entry},
    {"evals[0]: batch 0", wrong_eval_batch},
    {"actions[0]: it happens every 0", wrong_action},
    {"actions[1]: metric", wrong_action_best},
    {"taps[0]: weight is not a single running number", wrong_tap},
    {"runs[0]: it logs every -1", wrong_run_log},
    {"runs[0]: unit", wrong_run_log_unit},
    {"runs[0]: factor", wrong_run_factor},
    {"runs[0]: its factor is not a single number", wrong_run_factor_type},
    {"runs[0]: micro", wrong_run_entry},
    {"runs[0]: loss sum is not a single running number", wrong_run_loss},
    {"runs[0]: epochs 3, learning rate inf", wrong_run_lr},
};

static void each_wrong_content_has_its_message(void **state)
{
    for (size_t i = 0; i < COUNT(wrongs); i++) {
        Arena *arena = arena_new();
        PlanBuilder *b = sample_builder(arena, "generic");
        wrongs[i].damage(b);
        Bytes file = planb_finish(b);
        assert_refused(file.data, file.n, wrongs[i].message);
        arena_free(arena);
    }
    UNUSED(state);
}

static void no_file_and_no_folder(void **state)
{
    UNUSED(state);
    Err err = {0};
    assert_null(plan_load("/tmp/mdl-there-is-no-such-file.plan", &err));
    assert_int_equal(err.kind, ERR_FILE);
    assert_non_null(strstr(err.text, "mdl-there-is-no-such-file.plan"));
    err = (Err){0};
    assert_null(plan_load("/tmp", &err));
    assert_int_equal(err.kind, ERR_FILE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_written_is_read, setup, teardown),
        cmocka_unit_test_setup_teardown(same_arrays_give_same_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(bytes_need_no_alignment, setup, teardown),
        cmocka_unit_test_setup_teardown(texts_are_interned, setup, teardown),
        cmocka_unit_test_setup_teardown(the_print_has_every_part, setup, teardown),
        cmocka_unit_test_setup_teardown(the_print_names_targets, setup, teardown),
        cmocka_unit_test_setup_teardown(truncated_files_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(the_message_says_how_much_is_missing, setup, teardown),
        cmocka_unit_test_setup_teardown(longer_files_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_flipped_bit_is_refused_wherever_it_is, setup, teardown),
        cmocka_unit_test_setup_teardown(garbage_is_not_a_plan, setup, teardown),
        cmocka_unit_test_setup_teardown(other_versions_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(wrong_directories_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(any_contents_are_safe, setup, teardown),
        cmocka_unit_test(each_wrong_content_has_its_message),
        cmocka_unit_test(no_file_and_no_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
