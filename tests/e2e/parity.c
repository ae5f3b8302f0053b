/* parity.c: compiles a course in every way that may be left out, trains a step, compares. */
#include "parity.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* One way to compile a course. */
typedef struct Way {
    const char *name;
    uint64_t skip;
    double remat;     /* PassCx.remat */
    bool micro_only;  /* the update is compiled as ever */
    const char *base; /* the way whose bits it has; NULL: near the usual one */
} Way;

enum { WAYS = PASS_COUNT + 8, USUAL = 0 };

typedef struct Ways {
    Way at[WAYS];
    uint32_t n;
} Ways;

typedef struct Trial {
    Lab *lab;
    const Course *course;
    const char *cache; /* of compiled kernels */
    Ways ways;
    Value **states[WAYS];
    double loss[WAYS];
} Trial;

#define BIT(pass) (UINT64_C(1) << PASS_##pass)

static void add_way(Ways *w, Way way)
{
    assert_true(w->n < WAYS);
    w->at[w->n++] = way;
}

static bool is_long(void)
{
    return getenv("MDL_LONG") != NULL;
}

/* What remat is asked for: the first values are worth it, and all that may be. */
static uint32_t prices(const Trial *t, double *out, uint32_t max)
{
    const Graph *before = lab_pass(t->lab, program_entry(t->lab->program, "micro"), PASS_prune);
    uint32_t n = remat_lambdas(t->lab->passes, before, out, max);
    assert_true(n > 0);
    return n;
}

/* Each kernel is compiled once in the life of a cache. Those that fusion saves are many, so the optimizer's
 * come in the long test only. */
static void list_ways(Trial *t)
{
    enum { MOST = 7 };
    double price[MOST];
    uint32_t n = prices(t, price, MOST);
    Ways *w = &t->ways;
    add_way(w, (Way){.name = "as ever"});
    for (PassId p = 0; p < PASS_COUNT; p++)
        if (pass_info(p)->need == OPTIONAL)
            add_way(w, (Way){.name = pass_info(p)->name,
                             .skip = UINT64_C(1) << p,
                             .base = pass_info(p)->bits == EXACT ? "as ever" : NULL});
    add_way(w, (Way){.name = "remat, some", .remat = price[0], .base = "as ever"});
    add_way(w, (Way){.name = "remat, all", .remat = price[n - 1], .base = "as ever"});
    add_way(w, (Way){.name = "fuse", .skip = BIT(fuse), .micro_only = !is_long()});
    add_way(w, (Way){.name = "fuse, remat",
                     .skip = BIT(fuse),
                     .remat = price[n - 1],
                     .micro_only = !is_long(),
                     .base = "fuse"});
    if (is_long())
        add_way(w, (Way){.name = "all", .skip = ~UINT64_C(0)});
}

static void count_clones(void *user, PassId pass, const Graph *g)
{
    uint32_t *clones = user;
    for (uint32_t i = 0; pass == PASS_remat && i < g->nodes.n; i++)
        *clones += g->nodes.at[i]->inst > 0;
}

static Graph *compile_entry(const Trial *t, const Way *way, const Graph *entry)
{
    Lab *lab = t->lab;
    bool micro = strcmp(entry->name, "micro") == 0;
    uint32_t clones = 0;
    PassOptions opt = {.limit = -1,
                       .skip = micro || !way->micro_only ? way->skip : 0,
                       .after = count_clones,
                       .user = &clones};
    lab->passes->remat = way->remat;
    Graph *g = passes_run(lab->passes, entry, &opt);
    lab->passes->remat = 0;
    lab_clean(lab, "passes");
    assert_non_null(g);
    if (micro && way->remat > 0 && clones == 0)
        fail_msg("%s: nothing is computed again", lab->program->name);
    return g;
}

static void try_way(Trial *t, uint32_t k)
{
    Lab *lab = t->lab;
    uint32_t n = lab->program->entries.n;
    Graph **graphs = NEW_ARRAY(lab->arena, Graph *, n);
    for (uint32_t e = 0; e < n; e++)
        graphs[e] = compile_entry(t, &t->ways.at[k], lab->program->entries.at[e]);
    Machine m = machine_of_graphs(lab, graphs, &(MachineOptions){.threads = 2, .cache = t->cache});
    t->states[k] = course_train(&m, t->course, 1, &t->loss[k]);
    machine_close(&m);
}

/* ---- comparing ---- */

static uint32_t find_way(const Ways *w, const char *name)
{
    for (uint32_t k = 0; k < w->n; k++)
        if (strcmp(w->at[k].name, name) == 0)
            return k;
    fail_msg("no way to compile is called %s", name);
    return 0;
}

/* Gradients; those that vanish are measured against the whole. */
static void check_near(const Trial *t, uint32_t k)
{
    const Program *p = t->lab->program;
    Value *const *a = t->states[USUAL], *const *b = t->states[k];
    double whole = 0;
    for (uint32_t s = 0; s < p->states.n; s++)
        if (p->states.at[s]->kind == SK_GRAD)
            whole = hypot(whole, value_norm(a[s]));
    for (uint32_t s = 0; s < p->states.n; s++) {
        const State *grad = p->states.at[s];
        double most = fmax(1e-5 * value_norm(a[s]), 1e-7 * whole);
        if (grad->kind == SK_GRAD && !(value_gap(b[s], a[s]) <= most))
            fail_msg("%s: %s without %s is off by %g, its norm is %g", p->name, grad->path,
                     t->ways.at[k].name, value_gap(b[s], a[s]), value_norm(a[s]));
    }
}

static void check_way(const Trial *t, uint32_t k)
{
    const Way *way = &t->ways.at[k];
    uint32_t base = way->base ? find_way(&t->ways, way->base) : USUAL;
    if (!(fabs(t->loss[k] - t->loss[base]) <= (way->base ? 0 : 1e-6 * fabs(t->loss[base]))))
        fail_msg("%s: the loss is %.9g, without %s %.9g", t->lab->program->name, t->loss[base],
                 way->name, t->loss[k]);
    if (way->base)
        course_same(t->lab, t->states[base], t->states[k], way->name);
    else
        check_near(t, k);
}

void parity_check(const Course *c, const char *cache)
{
    Trial t = {.lab = course_open(c), .course = c, .cache = cache};
    list_ways(&t);
    for (uint32_t k = 0; k < t.ways.n; k++) {
        try_way(&t, k);
        check_way(&t, k);
    }
    lab_close(t.lab);
}
