/* LIBS: mdl_compile mdl_passes mdl_front mdl_ir mdl_plan mdl_base */
/* test_programs.c: every .mdl file there is: the models, the standard library, the examples, and those
 * of the specification where the test data is there. Each must be accepted, be read the same after
 * `mdl fmt`, and give graphs that survive printing and reading, the same ones whenever it is compiled: as
 * written, and with gradients. */
#include "compile.h"
#include "fmt.h"
#include "front.h"
#include "passes.h"
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cmocka.h>

static bool ends_with(const char *path, const char *end)
{
    size_t n = strlen(path), m = strlen(end);
    return n >= m && strcmp(path + n - m, end) == 0;
}

/* ---- one compilation ---- */

typedef struct Session {
    Arena *arena;
    Ir *ir;
    Front *front;
} Session;

static Session session_open(const char *path)
{
    Session s = {.arena = arena_new()};
    Err err = {0};
    s.ir = ir_new(s.arena, syms_new(s.arena), diags_new(s.arena));
    s.front = front_open(s.ir, &(FrontOptions){.path = path}, &err);
    return s;
}

static const char *reports(const Session *s)
{
    return diags_render(s->ir->diags, s->arena, DIAG_SHORT, false);
}

/* ---- graphs as text ---- */

static const char *graph_text(Arena *arena, const Graph *g, const Program *p)
{
    StrBuf sb = sb_new(arena);
    graph_print(g, p, &sb);
    return sb_text(&sb);
}

/* In one session types, dims and defs are interned, so equality of nodes is equality of pointers. */
static bool nodes_equal(const Node *a, const Node *b)
{
    bool equal = a->op == b->op && a->inst == b->inst && a->type == b->type && a->nin == b->nin &&
                 a->nattr == b->nattr;
    for (uint32_t i = 0; equal && i < a->nin; i++)
        equal = a->in[i]->id == b->in[i]->id;
    for (uint32_t i = 0; equal && i < a->nattr; i++)
        equal = attr_same(&a->attr[i], &b->attr[i]);
    return equal;
}

static void check_equal(const Graph *a, const Graph *b)
{
    assert_int_equal(a->nodes.n, b->nodes.n);
    assert_int_equal(a->inputs.n, b->inputs.n);
    assert_int_equal(a->results.n, b->results.n);
    assert_int_equal(a->writes.n, b->writes.n);
    assert_ptr_equal(a->name, b->name);
    for (uint32_t i = 0; i < a->nodes.n; i++)
        if (!nodes_equal(a->nodes.at[i], b->nodes.at[i]))
            fail_msg("node %u of %s differs", i, a->name);
    for (uint32_t i = 0; i < a->inputs.n; i++)
        assert_int_equal(a->inputs.at[i]->id, b->inputs.at[i]->id);
    for (uint32_t i = 0; i < a->results.n; i++) {
        assert_ptr_equal(a->results.at[i].name, b->results.at[i].name);
        assert_int_equal(a->results.at[i].node->id, b->results.at[i].node->id);
    }
    for (uint32_t i = 0; i < a->writes.n; i++) {
        assert_int_equal(a->writes.at[i].state, b->writes.at[i].state);
        assert_int_equal(a->writes.at[i].node->id, b->writes.at[i].node->id);
    }
}

static void round_trip(Session *s, const Graph *g, const Program *p)
{
    const char *text = graph_text(s->arena, g, p);
    uint32_t file = diags_source(s->ir->diags, "graph", text, strlen(text));
    Graph *back = graph_parse(s->ir, s->arena, file);
    if (!back)
        fail_msg("%s does not read back: %s", g->name, reports(s));
    graph_verify(g, p);
    check_equal(g, back);
    const char *once = graph_text(s->arena, g, NULL), *again = graph_text(s->arena, back, NULL);
    assert_string_equal(once, again);
}

/* ---- the text ---- */

static const char *tree(Arena *arena, const char *text, size_t n, AstText *kept)
{
    Diags *diags = diags_new(arena);
    StrBuf sb = sb_new(arena);
    uint32_t file = diags_source(diags, "m.mdl", text, n);
    ast_print(ast_parse_text(arena, syms_new(arena), diags, file, kept), &sb);
    assert_int_equal(diags_errors(diags), 0);
    return sb_text(&sb);
}

/* The tree, the documentation and the comments stay what they are. */
static void check_fmt(const char *path)
{
    Arena *arena = arena_new();
    Diags *diags = diags_new(arena);
    Bytes text;
    Err err = {0};
    AstText kept = {0}, kept_then = {0};
    assert_true(file_read(arena, path, 1 << 20, &text, &err));
    const char *out = fmt_file(arena, diags, diags_source(diags, path, text.data, text.n), &err);
    assert_non_null(out);
    assert_string_equal(tree(arena, text.data, text.n, &kept),
                        tree(arena, out, strlen(out), &kept_then));
    assert_int_equal(kept.comments.n, kept_then.comments.n);
    for (uint32_t i = 0; i < kept.comments.n; i++) {
        Span a = kept.comments.at[i].span, b = kept_then.comments.at[i].span;
        assert_int_equal(a.hi - a.lo, b.hi - b.lo);
        assert_memory_equal(text.data + a.lo, out + b.lo, a.hi - a.lo);
    }
    const char *again = fmt_file(arena, diags, diags_source(diags, path, out, strlen(out)), &err);
    assert_string_equal(again, out);
    arena_free(arena);
}

/* ---- one file ---- */

typedef struct Compilation {
    Session *session;
    bool check;
    uint64_t hash; /* of everything, for comparing compilations */
} Compilation;

static void take_graph(Compilation *c, const Graph *g, const Program *p, Arena *arena)
{
    if (c->check)
        round_trip(c->session, g, p);
    c->hash = hash_mix(c->hash, hash_text(graph_text(arena, g, p)));
}

static void take(void *user, Program *p, Arena *arena)
{
    Compilation *c = user;
    const Graph *micro = program_entry(p, "micro");
    for (uint32_t i = 0; i < p->entries.n; i++)
        take_graph(c, p->entries.at[i], p, arena);
    if (micro) {
        PassCx *cx = passes_begin(c->session->ir, arena, p, NULL);
        const Graph *derived = passes_run(cx, micro, &(PassOptions){.limit = PASS_autodiff + 1});
        if (!derived)
            fail_msg("%s", reports(c->session));
        take_graph(c, derived, p, arena);
    }
    for (uint32_t i = 0; i < p->states.n; i++)
        c->hash = hash_mix(c->hash, hash_text(p->states.at[i]->path));
}

/* Every stage, and every model alone in each mode. */
static uint64_t compile_once(const char *path, bool check)
{
    Session s = session_open(path);
    Compilation c = {&s, check, 0};
    if (!s.front || !front_check_each(s.front, take, &c))
        fail_msg("%s", reports(&s));
    for (uint32_t i = 0; i < MODE_COUNT * front_model_count(s.front); i++) {
        Program *p = front_model(s.front, i / MODE_COUNT, (Mode)(i % MODE_COUNT));
        if (!p)
            fail_msg("%s", reports(&s));
        take(&c, p, s.arena);
    }
    arena_free(s.arena);
    return c.hash;
}

/* As `mdl check` does it: with the derivatives. */
static bool checked(const char *path)
{
    Compile *c = compile_new(&(CompileOptions){.path = path});
    Err err = {0};
    Arena *arena = arena_new();
    bool good = compile_load(c, &err) && compile_check(c, &err);
    if (!good)
        print_error("%s", diags_render(compile_diags(c), arena, DIAG_SHORT, false));
    arena_free(arena);
    compile_free(c);
    return good;
}

static void check_program(void **state)
{
    const char *path = *state;
    check_fmt(path);
    assert_true(checked(path));
    assert_int_equal(compile_once(path, true), compile_once(path, false));
}

/* ---- sizes of published models ---- */

typedef struct Total {
    const char *file, *model, *part; /* part: the beginning of paths, or "" */
    long long parameters, tensors;   /* tensors 0: not stated */
} Total;

static const Total totals[] = {
    /* of the specification's examples; those of models/: tests of the zoo */
    {"gpt2.mdl", "gpt2", "", 124439808, 148},
    {"mistral.mdl", "mistral", "", 7241732096, 291},
    {"llava_med.mdl", "llava", "", 7566219264, 686},
    {"llava_med.mdl", "llava", "vision.", 303507456, 391},
    {"more/resnet50.mdl", "resnet", "", 25557032, 161},
    {"more/mixtral.mdl", "moe", "", 46702792704, 0},
    {"more/mamba.mdl", "mamba", "", 129135360, 0},
    {"more/t5.mdl", "t5", "", 60506624, 0},
    {"more/whisper.mdl", "whisper", "", 37760640, 0},
};

static uint32_t find_model(const Session *s, const char *name)
{
    uint32_t i = 0;
    while (i < front_model_count(s->front) && strcmp(front_model_name(s->front, i), name) != 0)
        i++;
    if (i == front_model_count(s->front))
        fail_msg("no model `%s`", name);
    return i;
}

static const char *examples(Arena *arena)
{
    const char *data = getenv("MDL_TEST_DATA");
    data = data ? data : MDL_SOURCE_DIR "/../shared/data";
    return arena_printf(arena, "%s/../spec/language-examples", data);
}

static void check_total(void **state)
{
    const Total *t = *state;
    Arena *arena = arena_new();
    const char *path = path_join(arena, examples(arena), t->file);
    struct stat st;
    if (stat(path, &st) != 0) {
        arena_free(arena);
        skip();
    }
    Session s = session_open(path);
    Program *p = s.front ? front_model(s.front, find_model(&s, t->model), false) : NULL;
    long long parameters = 0, tensors = 0;
    for (uint32_t i = 0; p && i < p->states.n; i++) {
        const State *w = p->states.at[i];
        int64_t n;
        if (w->kind == SK_PARAM && strncmp(w->path, t->part, strlen(t->part)) == 0) {
            assert_true(dim_is_const(type_count(s.ir, w->type), &n));
            parameters += n;
            tensors++;
        }
    }
    if (!p)
        print_error("%s", reports(&s));
    arena_free(s.arena);
    arena_free(arena);
    assert_non_null(p);
    assert_int_equal(parameters, t->parameters);
    assert_true(!t->tensors || tensors == t->tensors);
}

/* ---- the folders ---- */

typedef struct Tests {
    Arena *arena;
    VEC(struct CMUnitTest) all;
} Tests;

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static uint32_t add_folder(Tests *t, const char *folder)
{
    VEC(const char *) names = {0};
    DIR *dir = opendir(folder);
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        if (ends_with(entry->d_name, ".mdl"))
            VEC_PUSH(t->arena, &names, path_join(t->arena, folder, entry->d_name));
    if (dir)
        closedir(dir);
    qsort(names.at, names.n, sizeof *names.at, compare_names);
    for (uint32_t i = 0; i < names.n; i++) {
        struct CMUnitTest test = {names.at[i], check_program, NULL, NULL, (void *)names.at[i]};
        VEC_PUSH(t->arena, &t->all, test);
    }
    return names.n;
}

static void no_examples(void **state)
{
    UNUSED(state);
    skip();
}

int main(void)
{
    static const char *const own[] = {"models", "models/std", "examples/digits",
                                      "examples/pneumonia", "tests/recorded"};
    Tests t = {.arena = arena_new()};
    const char *spec = examples(t.arena);
    setenv("MDL_PATH", spec, 1);
    for (size_t i = 0; i < COUNT(own); i++)
        add_folder(&t, path_join(t.arena, MDL_SOURCE_DIR, own[i]));
    uint32_t n = add_folder(&t, spec) + add_folder(&t, path_join(t.arena, spec, "more")) +
                 add_folder(&t, path_join(t.arena, spec, "std"));
    if (!n) {
        struct CMUnitTest test = {"the specification's examples", no_examples, NULL, NULL, NULL};
        VEC_PUSH(t.arena, &t.all, test);
    }
    for (size_t i = 0; i < COUNT(totals); i++) {
        const char *name = arena_printf(t.arena, "total of %s %s", totals[i].model, totals[i].part);
        struct CMUnitTest test = {name, check_total, NULL, NULL, (void *)&totals[i]};
        VEC_PUSH(t.arena, &t.all, test);
    }
    int failed = _cmocka_run_group_tests("programs", t.all.at, t.all.n, NULL, NULL);
    arena_free(t.arena);
    return failed;
}
