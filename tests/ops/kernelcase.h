/* kernelcase.h: runs lowered groups as real machine code and compares them with the interpreter.
 *
 * Cases are collected, emitted into one C file, compiled by one compiler call, loaded and run: tasks
 * in order, then in reverse order (the bits must agree), outputs poisoned before and guarded behind.
 * A test program with the address sanitizer compiles the kernels with it too: every buffer is an
 * allocation of its own, so reads past an end are found.
 * Expected values come from the f64 interpreter on the same (rounded) inputs. */
#ifndef MDL_KERNELCASE_H
#define MDL_KERNELCASE_H

#include "../support/testrand.h"
#include "codegen.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "gpucase.h"
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The kernel ABI, as runtime/device.h has it. */
typedef struct CaseRow {
    void *p[PLAN_ROW_BUFS];
    int64_t n, task0;
} CaseRow;

typedef struct CaseArgs {
    void *const *buf;
    const CaseRow *row;
    int64_t nrow;
    const int64_t *block;
    void *workspace;
    int64_t round;
} CaseArgs;

typedef void (*CaseFn)(const CaseArgs *args, int64_t task, void *scratch);

typedef struct KCase {
    const char *name;
    const Node *group;
    const Graph *body;
    Kernel *k;
    double tol; /* |got - want| <= tol * (1 + |want|) */
    double lo, hi;
} KCase;

enum { CASE_SLOTS = 10, CASE_GUARD = 256 };

typedef struct Harness {
    Arena *arena;
    Ir *ir;
    Target target;
    TestRand random;
    VEC(KCase *) cases;
    int64_t syms[CASE_SLOTS]; /* value by DimSym id */
    Sym slots[CASE_SLOTS];
    uint32_t nslot;
    int64_t block[CASE_SLOTS];
    VEC(char *) owned;
    GpuCases *gpu;   /* of a GPU target */
    uint32_t failed; /* comparisons */
    bool quiet;      /* they are expected to */
} Harness;

/* NULL: the machine cannot run that. $MDL_TEST_ISA=sm_90a takes the place of sm_80. */
static Harness *harness_new(const char *isa)
{
    const char *wanted = getenv("MDL_TEST_ISA");
    if (isa && strcmp(isa, "sm_80") == 0 && wanted && strncmp(wanted, "sm_", 3) == 0)
        isa = wanted;
    Arena *arena = arena_new();
    Harness *h = NEW(arena, Harness);
    h->arena = arena;
    Syms *syms = syms_new(arena);
    h->ir = ir_new(arena, syms, diags_new(arena));
    h->random.state = 20240607;
    Err err = {0};
    bool gpu = isa && strncmp(isa, "sm_", 3) == 0;
    if (!(gpu ? target_cuda(&h->target, isa, &err) : target_host(&h->target, isa, &err))) {
        arena_free(arena);
        return NULL;
    }
    h->slots[h->nslot++] = sym(syms, "step");
    h->block[0] = 7;
    h->slots[h->nslot++] = sym(syms, "lr");
    double lr = 0.25;
    memcpy(&h->block[1], &lr, 8);
    h->slots[h->nslot] = sym(syms, "seed");
    h->block[h->nslot++] = 7;
    return h;
}

/* A DYN dim bound to `value`. */
static inline const Dim *harness_dim(Harness *h, const char *name, int64_t lo, int64_t hi,
                                     int64_t value)
{
    const DimSym *s = dim_declare(h->ir, sym(h->ir->syms, name), lo, hi);
    h->syms[s->id] = value;
    h->block[h->nslot] = value;
    h->slots[h->nslot++] = s->name;
    return dim_of(h->ir, s);
}

static double case_slot(void *user, const char *name)
{
    UNUSED(user);
    return strcmp(name, "lr") == 0 ? 0.25 : 7;
}

static inline const Type *shape(Harness *h, DType dt, uint32_t rank, ...)
{
    const Dim *dims[IR_MAX_RANK];
    va_list ap;
    va_start(ap, rank);
    for (uint32_t i = 0; i < rank; i++)
        dims[i] = dim_const(h->ir, va_arg(ap, int));
    va_end(ap);
    return type_tensor(h->ir, dt, rank, dims);
}

typedef struct CaseSpec {
    const char *name;
    Graph *body;
    const char *cls;
    int64_t config[5];
    uint32_t nconfig;
    int64_t gpu[8]; /* of a GPU, where `pick` is not to choose */
    uint32_t ngpu;
    double tol;
    double lo, hi;            /* range of random floats; 0, 0 means -2..2 */
    uint32_t count;           /* sets; 0 means 1 */
    const Type *const *types; /* count > 1: of all operands */
} CaseSpec;

static KCase *case_add(Harness *h, const CaseSpec *s)
{
    Ir *ir = h->ir;
    if (s->body->nodes.n == 0 || diags_errors(ir->diags) > 0)
        fail_msg("%s: %s", s->name, diags_render(ir->diags, h->arena, DIAG_SHORT, false));
    Def proto = {.kind = DEF_GROUP, .name = sym_printf(ir->syms, "%s", s->name), .body = s->body};
    proto.nvisible = s->body->results.n;
    const Def *def = def_intern(ir, &proto);
    Graph *g = graph_new(ir, h->arena, sym(ir->syms, "entry"));
    uint32_t count = s->count ? s->count : 1, nform = def->body->inputs.n, nin = nform;
    if (count > 1) {
        nin = 0;
        while (s->types[nin])
            nin++;
    }
    const Node **in = NEW_ARRAY(h->arena, const Node *, nin + 1);
    for (uint32_t i = 0; i < nin; i++)
        in[i] = graph_input(g, sym_printf(ir->syms, "in%u", i),
                            count > 1 ? s->types[i] : def->body->inputs.at[i]->type);
    Attr attr[4] = {0};
    attr[op_attr_index(OP_GROUP, "def")] = (Attr){.kind = AK_DEF, .def = def};
    attr[op_attr_index(OP_GROUP, "class")] = (Attr){.kind = AK_SYM, .s = sym(ir->syms, s->cls)};
    attr[op_attr_index(OP_GROUP, "config")] = (Attr){
        .kind = AK_INTS, .n = s->nconfig, .ints = COPY_ARRAY(h->arena, int64_t, s->config, 5)};
    attr[op_attr_index(OP_GROUP, "count")] = (Attr){.kind = AK_INT, .i = count};
    NodeSpec spec = {.op = OP_GROUP, .nin = nin, .in = in, .attr = attr};
    const Node *group = graph_op(g, &spec);
    if (!group)
        fail_msg("%s: %s", s->name, diags_render(ir->diags, h->arena, DIAG_SHORT, false));
    for (uint32_t i = 0; i < def->body->results.n * count; i++)
        graph_result(g, sym_printf(ir->syms, "out%u", i), graph_get(g, group, i));
    KCase *c = NEW(h->arena, KCase);
    *c = (KCase){
        .name = s->name, .group = group, .body = g, .tol = s->tol, .lo = s->lo, .hi = s->hi};
    if (c->lo == 0 && c->hi == 0) {
        c->lo = -2;
        c->hi = 2;
    }
    bug_push(s->name);
    KernelConfig config = codegen_config(group);
    if (h->target.kind == TK_CUDA && s->ngpu)
        config =
            (KernelConfig){.ints = COPY_ARRAY(h->arena, int64_t, s->gpu, s->ngpu), .n = s->ngpu};
    else if (h->target.kind == TK_CUDA)
        config = gpu_config(ir, h->arena, group, &h->target);
    c->k = codegen_lower(ir, h->arena, group, config, &h->target);
    bug_pop();
    VEC_PUSH(h->arena, &h->cases, c);
    return c;
}

/* ---- compiling ---- */

static void harness_compile_gpu(Harness *h)
{
    EmitCx cx = {.target = &h->target, .slots = h->slots, .nslot = h->nslot};
    GpuText *texts = NEW_ARRAY(h->arena, GpuText, h->cases.n + 1);
    Map *seen = map_new(h->arena);
    uint32_t n = 0;
    for (uint32_t i = 0; i < h->cases.n; i++) {
        const Kernel *k = h->cases.at[i]->k;
        if (map_get(seen, MAP_KEY(k->name)))
            continue;
        texts[n++] = (GpuText){k->name, codegen_emit(k, &cx, h->arena)};
        map_put(seen, MAP_KEY(k->name), (void *)(uintptr_t)n);
    }
    h->gpu = gpu_compile(h->arena, (GpuTexts){texts, n}, h->target.isa);
    h->gpu->text = seen;
}

static void *harness_compile(Harness *h, const char *dir)
{
    const char *c_path = path_join(h->arena, dir, "k.c"), *so = path_join(h->arena, dir, "k.so");
    EmitCx cx = {.target = &h->target, .slots = h->slots, .nslot = h->nslot};
    FILE *f = fopen(c_path, "w");
    assert_non_null(f);
    Map *seen = map_new(h->arena);
    for (uint32_t i = 0; i < h->cases.n; i++) {
        const Kernel *k = h->cases.at[i]->k;
        if (map_get(seen, MAP_KEY(k->name)))
            continue;
        map_put(seen, MAP_KEY(k->name), h);
        fputs(codegen_emit(k, &cx, h->arena), f);
    }
    fclose(f);
    const char *march = h->target.vector == 16  ? "-march=x86-64-v4"
                        : h->target.vector == 8 ? "-march=x86-64-v3"
                                                : "";
#ifdef __SANITIZE_ADDRESS__
    /* Seven times as fast to compile as -O1: checks of unrolled accesses are not merged. */
    const char *check = "-O0 -fsanitize=address";
#else
    const char *check = "";
#endif
    const char *cc = getenv("MDL_CC");
    const char *cmd =
        arena_printf(h->arena,
                     "%s -std=gnu11 -O2 -w -fno-math-errno -ffp-contract=off -fwrapv "
                     "%s %s -shared -fPIC -I%s/runtime/prelude/c "
                     "-I%s/runtime/prelude/common %s -o %s -lm",
                     cc ? cc : "gcc", march, check, MDL_SOURCE_DIR, MDL_SOURCE_DIR, c_path, so);
    if (system(cmd) != 0)
        fail_msg("compiler failed on %s", c_path);
    void *dl = dlopen(so, RTLD_NOW | RTLD_LOCAL);
    if (!dl)
        fail_msg("%s", dlerror());
    return dl;
}

/* ---- running ---- */

/* 64-byte aligned, poisoned, of exactly this size; freed with the harness. */
static char *own_memory(Harness *h, size_t size)
{
    char *p = NULL;
    if (h->gpu)
        p = gpu_memory(h->gpu, size);
    else if (posix_memalign((void **)&p, 64, size > 0 ? size : 1) != 0)
        fail_msg("no memory");
    memset(p, 0xA5, size > 0 ? size : 1);
    if (!h->gpu || !h->gpu->hardware)
        VEC_PUSH(h->arena, &h->owned, p);
    return p;
}

static size_t value_bytes(const Type *t, const Value *v)
{
    return dtype_info(t->dtype)->bytes * (size_t)v->count;
}

static void fill_input(Harness *h, const KCase *c, const Node *n, Value *v)
{
    DType dt = n->type->dtype;
    bool codes = strncmp(node_sym(n, "name"), "codes", 5) == 0; /* any bits */
    for (int64_t i = 0; i < v->count; i++) {
        double x = dtype_is_float(dt) ? rand_range(&h->random, c->lo, c->hi)
                   : codes            ? (double)rand_below(&h->random, UINT32_MAX) + INT32_MIN
                   : dtype_is_int(dt) ? (double)rand_below(&h->random, 9) - (dt == DT_U8 ? 0 : 2)
                                      : rand_below(&h->random, 2);
        x = codes && dt == DT_I8 ? fmod(x, 128) : x;
        uint64_t room = 0;
        dtype_store(dt, &room, 0, x);
        v->at[i] = dtype_load(dt, &room, 0);
    }
}

typedef struct CaseRun {
    Value **in, **want;
    char **in_buf, **out_buf;
    CaseArgs args;
} CaseRun;

static void run_phases_gpu(Harness *h, const KCase *c, const CaseArgs *args, bool shuffled)
{
    MdlGpuArgs at = {.row = (const MdlRow *)args->row,
                     .nrow = args->nrow,
                     .block = args->block,
                     .workspace = args->workspace};
    assert_true(c->k->narg <= MDL_GPU_BUFS);
    memcpy(at.buf, args->buf, c->k->narg * sizeof *at.buf);
    MdlTensorMap maps[MDL_GPU_MAPS];
    at.map = c->k->maps.n ? maps : NULL;
    for (uint32_t i = 0; i < c->k->maps.n; i++) {
        Err err = {0};
        const GpuTensor t = gpu_tensor(c->k, i, &at, h->syms);
        Hardware *hw = h->gpu->hardware;
        if (hw ? !hardware_encode_map(hw, &t, &maps[i], &err)
               : !simt_encode_map(&t, &maps[i], &err))
            fail_msg("%s: %s", c->name, err.text);
    }
    uint32_t phases = c->k->phases.n;
    uint32_t text = (uint32_t)(uintptr_t)map_get(h->gpu->text, MAP_KEY(c->k->name)) - 1;
    for (uint32_t i = 0; i < phases * (c->k->again + 1); i++) {
        const KPhase *p = &c->k->phases.at[i % phases];
        at.round = i / phases;
        gpu_phase(h->gpu, p, text, &at, dim_eval(p->tasks, h->syms), shuffled);
    }
}

/* On a GPU every task has its own scratch, behind the workspace. */
static size_t workspace_size(const Harness *h, const KCase *c)
{
    int64_t most = 0;
    for (uint32_t i = 0; i < c->k->phases.n && h->gpu; i++) {
        int64_t n = dim_eval(c->k->phases.at[i].tasks, h->syms);
        most = n > most ? n : most;
    }
    return c->k->workspace + (size_t)most * c->k->scratch;
}

static void run_phases(Harness *h, const KCase *c, void *dl, const CaseArgs *args, bool reverse)
{
    if (h->gpu) {
        memset(args->workspace, 0xFF, workspace_size(h, c));
        run_phases_gpu(h, c, args, reverse);
        return;
    }
    char *scratch = own_memory(h, c->k->scratch);
    memset(args->workspace, 0xFF, c->k->workspace);
    uint32_t phases = c->k->phases.n;
    CaseArgs at = *args;
    for (uint32_t i = 0; i < phases * (c->k->again + 1); i++) {
        uint32_t p = i % phases;
        at.round = i / phases;
        CaseFn fn;
        void *symbol = dlsym(dl, c->k->phases.at[p].name);
        if (!symbol)
            fail_msg("%s: no symbol %s", c->name, c->k->phases.at[p].name);
        memcpy(&fn, &symbol, sizeof fn);
        int64_t n = dim_eval(c->k->phases.at[p].tasks, h->syms);
        for (int64_t t = 0; t < n; t++) {
            memset(scratch, 0xA5, c->k->scratch);
            fn(&at, reverse ? n - 1 - t : t, scratch);
        }
    }
}

static uint32_t body_inputs(const KCase *c)
{
    return node_def(c->group)->body->inputs.n;
}

/* Where operand i and result r of the group go: a BUF argument or a table row. */
static void bind_args(Harness *h, const KCase *c, CaseRun *r)
{
    uint32_t nin = c->group->nin, nout = c->body->results.n;
    void **buf = NEW_ARRAY(h->arena, void *, nin + nout + 1);
    if (!c->k->table) {
        for (uint32_t i = 0; i < nin; i++)
            buf[i] = r->in_buf[i];
        for (uint32_t i = 0; i < nout; i++)
            buf[nin + i] = r->out_buf[i];
    } else {
        uint32_t count = (uint32_t)node_int(c->group, "count"), nform = body_inputs(c);
        bool sumsq = count == 1 && strcmp(node_sym(c->group, "class"), "multi_sumsq") == 0;
        uint32_t rows = sumsq ? nin : count;
        uint32_t shared = 0; /* one set: trailing scalars are shared */
        while (count == 1 && !sumsq && shared < nform &&
               c->group->in[nform - 1 - shared]->type->rank == 0)
            shared++;
        uint32_t per = sumsq ? 1 : count > 1 ? (nin - nform) / (count - 1) : nform - shared;
        uint32_t res = sumsq ? 0 : nout / count;
        CaseRow *row = (CaseRow *)(void *)own_memory(h, rows * sizeof(CaseRow));
        memset(row, 0, rows * sizeof(CaseRow));
        int64_t task = 0;
        for (uint32_t s = 0; s < rows; s++) {
            for (uint32_t i = 0; i < per; i++)
                row[s].p[i] = r->in_buf[s * per + i];
            for (uint32_t i = 0; i < res; i++)
                row[s].p[per + i] = r->out_buf[s * res + i];
            row[s].n = r->in[s * per]->count;
            row[s].task0 = task;
            task += (row[s].n + c->k->grain - 1) / c->k->grain;
        }
        for (uint32_t i = rows * per; i < nin; i++)
            buf[i - rows * per] = r->in_buf[i];
        if (sumsq)
            buf[0] = r->out_buf[0];
        r->args.row = row;
        r->args.nrow = rows;
    }
    r->args.buf = buf;
    int64_t *block = (int64_t *)(void *)own_memory(h, sizeof(h->block));
    memcpy(block, h->block, sizeof(h->block));
    r->args.block = block;
    r->args.workspace = own_memory(h, workspace_size(h, c));
}

typedef struct Expected {
    const Value *value;
    double tol;
} Expected;

/* All cases run, also behind one that fails: what fails together says what is wrong. */
PRINTF_LIKE(2, 3)
static void case_fails(Harness *h, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    if (!h->quiet) {
        vfprintf(stderr, fmt, ap);
        fputc('\n', stderr);
    }
    va_end(ap);
    h->failed++;
}

static void check_output(Harness *h, const KCase *c, const Expected *x, const char *got, uint32_t r)
{
    const Type *t = c->body->results.at[r].node->type;
    const Value *want = x->value;
    size_t size = dtype_info(t->dtype)->bytes * (size_t)want->count;
    for (size_t i = 0; i < CASE_GUARD; i++)
        if ((unsigned char)got[size + i] != 0xA5) {
            case_fails(h, "%s: result %u was written %zu bytes behind its end", c->k->name, r, i);
            return;
        }
    for (int64_t i = 0; i < want->count; i++) {
        double g = dtype_load(t->dtype, got, (size_t)i), w = want->at[i];
        bool same = (isnan(g) && isnan(w)) || g == w || fabs(g - w) <= x->tol * (1 + fabs(w));
        if (!same) {
            case_fails(h, "%s: result %u[%lld of %lld] is %.9g, want %.9g", c->k->name, r,
                       (long long)i, (long long)want->count, g, w);
            return;
        }
    }
}

/* Whether the interpreter in bits gives what the kernel must give to the bit: elementwise operations that
 * round once, prefix sums and products (in order), order, and movement. */
static bool body_is_exact(const Graph *g)
{
    for (uint32_t i = 0; i < g->nodes.n; i++) {
        const Node *n = g->nodes.at[i];
        const OpInfo *info = op_info(n->op);
        bool moves = info->cls == OC_LEAF || info->cls == OC_VIEW || info->cls == OC_GATHER ||
                     info->cls == OC_TUPLE || info->cls == OC_SCAN || info->cls == OC_SORT;
        bool casts = info->cls == OC_ELEM && !info->eval;
        if (!moves && !casts && !info->exact)
            return false;
    }
    return true;
}

/* Whether a GPU may round a result to 16 bits that is off in its last bits of f32 (mdl_fast.h). */
static bool is_fast(const Harness *h, const Graph *g)
{
    bool divides = false, rounds = false;
    for (uint32_t i = 0; i < g->nodes.n; i++) {
        const Node *n = g->nodes.at[i];
        const OpInfo *info = op_info(n->op);
        divides = divides || (info->exact && info->smooth && info->pure_float);
        rounds = rounds || n->type->dtype == DT_BF16 || n->type->dtype == DT_F16;
    }
    return h->target.kind == TK_CUDA && divides && rounds;
}

/* A running sum that several threads make in pieces has another order than the plain loop. */
static bool sums_in_pieces(const KCase *c)
{
    const Graph *g = node_def(c->group)->body;
    bool sum = false;
    for (uint32_t i = 0; i < g->nodes.n; i++)
        sum = sum || (op_info(g->nodes.at[i]->op)->cls == OC_SCAN &&
                      dtype_is_float(g->nodes.at[i]->type->dtype));
    return sum && c->k->phases.at[0].threads && c->k->phases.at[0].team > 1;
}

/* What the results must be: in bits without tolerance, or in f64 with the case's. */
static double expect_results(Harness *h, const KCase *c, Value *const *in, Value **want)
{
    uint32_t count = (uint32_t)node_int(c->group, "count");
    bool exact = count == 1 && body_is_exact(node_def(c->group)->body) && !sums_in_pieces(c);
    InterpBinding b = {.sym_values = h->syms, .inputs = in, .slot = case_slot, .bits = exact};
    interp_run(c->body, h->arena, &b, want, NULL);
    if (exact && is_fast(h, node_def(c->group)->body))
        return 0x1p-7; /* one unit of bf16, next to the middle of two */
    return exact ? 0 : c->tol;
}

/* A product writes rows into a tensor that is there, a state's: the rest of it stays. */
static void put_tensor(const KCase *c, const CaseRun *r, uint32_t i, size_t size)
{
    const Graph *body = node_def(c->group)->body;
    const Node *n = node_int(c->group, "count") == 1 ? body->results.at[i].node : NULL;
    bool rows = n && op_info(n->op)->cls == OC_UPDATE;
    for (uint32_t k = 0; rows && k < body->inputs.n; k++)
        if (body->inputs.at[k] == n->in[0] && strcmp(node_sym(c->group, "class"), "gemm") == 0)
            memcpy(r->out_buf[i], r->in_buf[k], size);
}

static void case_run(Harness *h, const KCase *c, void *dl)
{
    CaseRun r = {0};
    uint32_t nin = c->group->nin, nout = c->body->results.n;
    r.in = NEW_ARRAY(h->arena, Value *, nin + 1);
    r.want = NEW_ARRAY(h->arena, Value *, nout + 1);
    r.in_buf = NEW_ARRAY(h->arena, char *, nin + 1);
    r.out_buf = NEW_ARRAY(h->arena, char *, nout + 1);
    for (uint32_t i = 0; i < nin; i++) {
        const Node *n = c->group->in[i];
        r.in[i] = value_new(h->arena, n->type, h->syms);
        fill_input(h, c, n, r.in[i]);
        r.in_buf[i] = own_memory(h, value_bytes(n->type, r.in[i]));
        for (int64_t e = 0; e < r.in[i]->count; e++)
            dtype_store(n->type->dtype, r.in_buf[i], (size_t)e, r.in[i]->at[e]);
    }
    double tol = expect_results(h, c, r.in, r.want);
    char **first = NEW_ARRAY(h->arena, char *, nout + 1);
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < nout; i++) {
            const Type *t = c->body->results.at[i].node->type;
            r.out_buf[i] = own_memory(h, value_bytes(t, r.want[i]) + CASE_GUARD);
            put_tensor(c, &r, i, value_bytes(t, r.want[i]));
        }
        bind_args(h, c, &r);
        run_phases(h, c, dl, &r.args, pass == 1);
        for (uint32_t i = 0; i < nout; i++) {
            const Type *t = c->body->results.at[i].node->type;
            check_output(h, c, &(Expected){r.want[i], tol}, r.out_buf[i], i);
            size_t size = dtype_info(t->dtype)->bytes * (size_t)r.want[i]->count;
            if (pass == 0)
                first[i] = r.out_buf[i];
            else if (memcmp(first[i], r.out_buf[i], size) != 0)
                case_fails(h, "%s: result %u depends on the order of tasks", c->k->name, i);
        }
    }
}

static inline void harness_free(Harness *h)
{
    if (h->gpu)
        gpu_free(h->gpu);
    for (uint32_t i = 0; i < h->owned.n; i++)
        free(h->owned.at[i]);
    arena_free(h->arena);
}

/* On hardware tests are about $MDL_TEST_ISA: kernels of a CPU were seen elsewhere, and those of other GPUs are another
 * run's, or of no GPU here. */
static inline bool harness_left_out(const Harness *h)
{
    const char *isa = getenv("MDL_TEST_ISA");
    return hardware_wanted() &&
           (h->target.kind != TK_CUDA || (isa && strcmp(h->target.isa, isa) != 0));
}

static uint32_t harness_seen, harness_ran;

/* A program all of whose kernels were left out has shown nothing. */
static void harness_check_ran(void)
{
    if (harness_ran)
        return;
    fputs("ERROR: no kernel ran on the GPU\n", stderr);
    fflush(NULL);
    _exit(1);
}

/* Compiles and runs all cases, then frees everything. */
static inline void harness_run(Harness *h)
{
    if (hardware_wanted() && !harness_seen++)
        atexit(harness_check_ran);
    if (harness_left_out(h)) {
        harness_free(h);
        return;
    }
    harness_ran++;
    char dir[] = "/tmp/mdl-kernels-XXXXXX";
    assert_non_null(mkdtemp(dir));
    void *dl = NULL;
    if (h->target.kind == TK_CUDA)
        harness_compile_gpu(h);
    else
        dl = harness_compile(h, dir);
    for (uint32_t i = 0; i < h->cases.n; i++)
        case_run(h, h->cases.at[i], dl);
    if (dl)
        dlclose(dl);
    if (!getenv("MDL_KEEP")) {
        Err err = {0};
        file_remove_tree(dir, &err);
    }
    uint32_t failed = h->failed, ncase = h->cases.n;
    harness_free(h);
    if (failed)
        fail_msg("%u comparisons of %u cases failed", failed, ncase);
}

#endif
