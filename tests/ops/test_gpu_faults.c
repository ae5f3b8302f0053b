/* LIBS: mdl_test_hardware mdl_runtime mdl_codegen mdl_kernel mdl_passes mdl_front mdl_front_rule mdl_target mdl_plan mdl_ir mdl_base dl m */
/* test_gpu_faults.c: every fault of gpu_faults.def, put into the text that codegen emits, is found: by the checks
 * of the emulator, or because the result is wrong. Rows quote the text, so they follow it or fail. With MDL_KEEP
 * the texts lie in /tmp/mdl-faults. */
#define _GNU_SOURCE
#include "../unit/elabcase.h"
#include "kernelcase.h"
#include "passes.h"

#include <sys/stat.h>

typedef struct Source {
    const char *name, *isa, *cls;
    int64_t gpu[8]; /* the configuration; none: what `pick` chooses */
    double tol;
    const char *params,
        *body; /* of a fn, or `graph g {..}`; NULL: the cross-entropy and its derivative */
} Source;

typedef struct Fault {
    const char *source, *what;
    const char *text, *put;
    int which;         /* of the places of the text, from 1; 0: the only one */
    const char *found; /* words with bars between: of a report, or "wrong" */
    uint32_t less;     /* bytes of shared memory that a block lacks */
    uint32_t map, dim; /* with `box`: of which map the box is another, and where */
    int box;
} Fault;

#define ROW(...) {__VA_ARGS__},
static const Source sources[] = {
#define CASE(...) ROW(__VA_ARGS__)
#define FAULT(...)
#define SMALL(...)
#define BOX(...)
#include "gpu_faults.def"
#undef CASE
#undef FAULT
#undef SMALL
#undef BOX
};

static const Fault faults[] = {
#define CASE(...)
#define FAULT(source, what, text, put, which, found) \
    ROW(source, what, text, put, which, found, 0, 0, 0, 0)
#define SMALL(source, bytes, found) \
    ROW(source, "too little shared memory", NULL, NULL, 0, found, bytes, 0, 0, 0)
#define BOX(source, what, map, dim, box, found) \
    ROW(source, what, NULL, NULL, 0, found, 0, map, dim, box)
#include "gpu_faults.def"
#undef CASE
#undef FAULT
#undef SMALL
#undef BOX
};

/* A source, compiled as it is and with its faults. */
typedef struct Bench {
    const Source *source;
    Lab lab;
    Harness *h; /* NULL: not yet */
    KCase *clean;
    Kernel *faulty; /* by fault; no name: its text does not stand there */
} Bench;

typedef struct Trial {
    Bench *bench;
    const Fault *fault; /* NULL: none */
} Trial;

/* ---- sources to kernels ---- */

/* `name: type[d, ..], ..` as what a call takes. */
static uint32_t read_params(Arena *arena, const char *text, CallInput *in)
{
    uint32_t n = 0;
    while (*text) {
        assert_true(n < LAB_INPUTS);
        size_t name = strcspn(text, ":"), type = strcspn(text + name + 2, "[");
        CallInput *c = &in[n++];
        *c = (CallInput){.name = arena_strndup(arena, text, name)};
        assert_true(dtype_find(arena_strndup(arena, text + name + 2, type), &c->dtype));
        int64_t *dim = NEW_ARRAY(arena, int64_t, IR_MAX_RANK);
        for (text += name + 2 + type; *text != ']';) {
            char *end;
            dim[c->rank++] = strtoll(text + 1, &end, 10);
            text = end;
        }
        c->dim = dim;
        text += strspn(text, "], ");
    }
    return n;
}

/* The group of the source's class in what becomes of its fn. */
static const Node *find_group(Bench *b, const CallInput *in, uint32_t n)
{
    bool blame;
    Lab *l = &b->lab;
    l->program = front_call(
        l->front, &(FrontCall){.function = "f", .inputs = in, .ninput = n, .mode = MODE_EVAL},
        &blame);
    if (!l->program)
        fail_msg("%s: %s", b->source->name, lab_reports(l));
    PassCx *cx = passes_begin(l->ir, l->arena, l->program, &b->h->target);
    const Graph *fused = passes_run(cx, l->program->entries.at[0], &(PassOptions){.limit = -1});
    for (uint32_t i = 0; fused && i < fused->nodes.n; i++) {
        const Node *g = fused->nodes.at[i];
        if (op_info(g->op)->cls == OC_GROUP && strcmp(node_sym(g, "class"), b->source->cls) == 0)
            return g;
    }
    fail_msg("%s: no group is %s", b->source->name, b->source->cls);
    return NULL;
}

/* The loss of rows x depth by classes, and its derivative. */
static Graph *xent_body(Bench *b, const CallInput *in, uint32_t n)
{
    Ir *ir = b->lab.ir;
    const Type *types[LAB_INPUTS];
    for (uint32_t i = 0; i < n; i++) {
        const Dim *dims[IR_MAX_RANK];
        for (uint32_t d = 0; d < in[i].rank; d++)
            dims[d] = dim_const(ir, in[i].dim[d]);
        types[i] = type_tensor(ir, in[i].dtype, in[i].rank, dims);
    }
    const Def *def = front_std_op(
        b->lab.front,
        &(StdOp){.name = "linear_cross_entropy", .in = types, .nin = n, .flag = "rounded"});
    assert_non_null(def);
    const Graph *f = def->body, *back = def->vjp->body;
    Graph *g = graph_new(ir, b->h->arena, sym(ir->syms, "body"));
    const Node *at[16], *out[8];
    for (uint32_t i = 0; i < n; i++)
        at[i] = graph_input(g, node_sym(f->inputs.at[i], "name"), types[i]);
    graph_inline(g, f, at, out);
    for (uint32_t i = 0; i < f->results.n; i++) {
        at[n + i] = out[i];
        graph_result(g, f->results.at[i].name, out[i]);
    }
    for (uint32_t i = n + f->results.n; i < back->inputs.n; i++)
        at[i] = graph_input(g, node_sym(back->inputs.at[i], "name"), back->inputs.at[i]->type);
    graph_inline(g, back, at, out);
    for (uint32_t i = 0; i < back->results.n; i++)
        graph_result(g, back->results.at[i].name, out[i]);
    return g;
}

/* Bodies that no fn has: rows of a tensor that is there. */
static Graph *read_body(Bench *b, const char *text)
{
    uint32_t file = diags_source(b->lab.ir->diags, b->source->name, text, strlen(text));
    Graph *g = graph_parse(b->lab.ir, b->h->arena, file);
    if (!g)
        fail_msg("%s: %s", b->source->name, lab_reports(&b->lab));
    return g;
}

static KCase *make_case(Bench *b)
{
    const Source *s = b->source;
    CallInput in[LAB_INPUTS];
    CaseSpec spec = {.name = s->name, .cls = s->cls, .tol = s->tol, .lo = -1, .hi = 1};
    bool graph = s->body && strncmp(s->body, "graph ", 6) == 0;
    b->lab = lab_open(s->body && !graph ? arena_printf(b->h->arena, "fn f(%s)%s%s\n", s->params,
                                                       s->body[0] == '{' ? " " : " = ", s->body)
                                        : "fn f(x: f32[1]) = x\n");
    b->h->ir = b->lab.ir;
    uint32_t n = read_params(b->h->arena, s->params, in);
    if (graph) {
        spec.body = read_body(b, s->body);
    } else if (s->body) {
        const Node *group = find_group(b, in, n);
        spec.body = graph_rewrite(node_def(group)->body, b->h->arena, NULL, NULL);
    } else {
        spec.body = xent_body(b, in, n);
    }
    while (spec.ngpu < COUNT(s->gpu) && s->gpu[0])
        spec.ngpu++;
    memcpy(spec.gpu, s->gpu, sizeof s->gpu);
    return case_add(b->h, &spec);
}

/* ---- faults ---- */

/* The text with every name of one kernel another, so that both can be in one object. */
static const char *rename_kernel(Arena *arena, const char *text, const char *from, const char *to)
{
    StrBuf sb = sb_new(arena);
    for (const char *at; (at = strstr(text, from)); text = at + strlen(from))
        sb_printf(&sb, "%.*s%s", (int)(at - text), text, to);
    sb_puts(&sb, text);
    return sb_text(&sb);
}

/* NULL: the text that it quotes stands nowhere, or twice. */
static const char *put_fault(Arena *arena, const Fault *f, const char *text)
{
    const char *at = f->text ? strstr(text, f->text) : NULL;
    for (int i = 1; at && i < f->which; i++)
        at = strstr(at + 1, f->text);
    if (!f->text)
        return text;
    if (!at || (f->which == 0 && strstr(at + 1, f->text)))
        return NULL;
    return arena_printf(arena, "%.*s%s%s", (int)(at - text), text, f->put, at + strlen(f->text));
}

/* A kernel of its own name, whose blocks and maps have the fault where it is not in the text. */
static Kernel faulty_kernel(Harness *h, const Kernel *k, const Fault *f, const char *name)
{
    Kernel bad = *k;
    bad.name = sym(h->ir->syms, name);
    bad.phases.at = COPY_ARRAY(h->arena, KPhase, k->phases.at, k->phases.n);
    bad.maps.at = COPY_ARRAY(h->arena, KMap, k->maps.at, k->maps.n);
    for (uint32_t i = 0; i < k->phases.n; i++) {
        KPhase *p = &bad.phases.at[i];
        p->name = sym(h->ir->syms, rename_kernel(h->arena, p->name, k->name, name));
        p->shared -= p->shared > f->less ? f->less : 0;
    }
    if (f->box) {
        assert_true(f->map < k->maps.n && f->dim < k->maps.at[f->map].rank);
        bad.maps.at[f->map].box[f->dim] = (uint32_t)f->box;
    }
    return bad;
}

/* Sanitizers look at the emulator, and kernels are not theirs: some of the faults will do. */
static bool is_tried(size_t fault)
{
#ifdef __SANITIZE_ADDRESS__
    return fault % 4 == 0;
#else
    UNUSED(fault);
    return true;
#endif
}

static void keep_text(const Bench *b, const char *text)
{
    mkdir("/tmp/mdl-faults", 0777);
    FILE *f = fopen(arena_printf(b->h->arena, "/tmp/mdl-faults/%s.c", b->source->name), "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void compile_bench(Bench *b)
{
    Harness *h = b->h;
    const Kernel *k = b->clean->k;
    EmitCx cx = {.target = &h->target, .slots = h->slots, .nslot = h->nslot};
    GpuText *texts = NEW_ARRAY(h->arena, GpuText, COUNT(faults) + 1);
    const char *clean = codegen_emit(k, &cx, h->arena);
    Map *number = map_new(h->arena);
    uint32_t n = 0;
    if (getenv("MDL_KEEP"))
        keep_text(b, clean);
    texts[n++] = (GpuText){k->name, clean};
    map_put(number, MAP_KEY(k->name), (void *)(uintptr_t)n);
    b->faulty = NEW_ARRAY(h->arena, Kernel, COUNT(faults));
    for (uint32_t i = 0; i < COUNT(faults); i++) {
        if (strcmp(faults[i].source, b->source->name) != 0 || !is_tried(i))
            continue;
        const char *text = put_fault(h->arena, &faults[i], clean);
        const char *name = arena_printf(h->arena, "%s_fault%u", k->name, n);
        if (!text)
            continue; /* its trial tells */
        b->faulty[i] = faulty_kernel(h, k, &faults[i], name);
        texts[n++] = (GpuText){name, rename_kernel(h->arena, text, k->name, name)};
        map_put(number, MAP_KEY(b->faulty[i].name), (void *)(uintptr_t)n);
    }
    h->gpu = gpu_compile_as(h->arena, (GpuTexts){texts, n}, h->target.isa, SIMT_CHECK);
    h->gpu->text = number;
}

static void close_bench(Bench *b)
{
    if (!b->h)
        return;
    if (b->h->gpu)
        gpu_free(b->h->gpu);
    for (uint32_t i = 0; i < b->h->owned.n; i++)
        free(b->h->owned.at[i]);
    arena_free(b->h->arena);
    lab_close(&b->lab);
    b->h = NULL;
}

/* One at a time: the emulator has thousands of stacks, and each is a mapping of its own. */
static void open_bench(Bench *b)
{
    static Bench *last;
    if (b->h)
        return;
    if (last)
        close_bench(last);
    last = b;
    b->h = harness_new(b->source->isa);
    b->clean = make_case(b);
    compile_bench(b);
}

/* Whether one of the words of `found` (a list with bars) is that of the report. */
static bool is_named(Arena *arena, const char *found, const char *report)
{
    for (const char *word = found; *word;) {
        size_t n = strcspn(word, "|");
        if (strstr(report, arena_printf(arena, ": %.*s: ", (int)n, word)))
            return true;
        word += n + (word[n] == '|');
    }
    return false;
}

static void run_trial(void **state)
{
    const Trial *t = *state;
    if (hardware_wanted())
        skip();
    open_bench(t->bench);
    Harness *h = t->bench->h;
    KCase c = *t->bench->clean;
    if (!h->gpu)
        fail_msg("%s was not compiled", t->bench->source->name);
    if (t->fault)
        c.k = &t->bench->faulty[t->fault - faults];
    if (!c.k->name)
        fail_msg("%s, %s: the text stands there nowhere, or twice", t->fault->source,
                 t->fault->what);
    h->failed = 0;
    h->quiet = t->fault != NULL;
    h->gpu->reports = t->fault ? sb_new(h->arena) : (StrBuf){0};
    h->gpu->catches = t->fault != NULL;
    case_run(h, &c, NULL);
    if (!t->fault) {
        assert_int_equal(h->failed, 0);
        return;
    }
    const char *report = sb_text(&h->gpu->reports);
    report = *report ? report : h->failed ? ": wrong: a result" : "nothing";
    if (!is_named(h->arena, t->fault->found, report))
        fail_msg("%s, %s: %s instead of `%s`", t->fault->source, t->fault->what, report,
                 t->fault->found);
}

int main(void)
{
    enum { MOST = COUNT(sources) + COUNT(faults) };
    static const Bench none;
    Arena *arena = arena_new();
    Bench *benches = NEW_ARRAY(arena, Bench, COUNT(sources));
    Trial *trials = NEW_ARRAY(arena, Trial, MOST);
    struct CMUnitTest *tests = NEW_ARRAY(arena, struct CMUnitTest, MOST);
    size_t n = 0, met = 0;
    for (size_t s = 0; s < COUNT(sources); s++) {
        benches[s] = none;
        benches[s].source = &sources[s];
        trials[n] = (Trial){&benches[s], NULL};
        tests[n++].name = sources[s].name;
        for (size_t i = 0; i < COUNT(faults); i++) {
            if (strcmp(faults[i].source, sources[s].name) != 0)
                continue;
            met++;
            if (!is_tried(i))
                continue;
            trials[n] = (Trial){&benches[s], &faults[i]};
            tests[n++].name = arena_printf(arena, "%s: %s", faults[i].source, faults[i].what);
        }
    }
    for (size_t i = 0; i < n; i++) {
        tests[i].test_func = run_trial;
        tests[i].initial_state = &trials[i];
    }
    int failed = _cmocka_run_group_tests("gpu_faults", tests, n, NULL, NULL);
    failed += met != COUNT(faults); /* a fault of no source */
    for (size_t s = 0; s < COUNT(sources); s++)
        close_bench(&benches[s]);
    arena_free(arena);
    return failed;
}
