/* run.c: the pipeline of passes.def over one entry: order, --skip, --limit, hooks, verification. */
#include "internal.h"

#include <string.h>

static const PassInfo infos[] = {
#define PASS(id, text, how, same) \
    [PASS_##id] = {.name = #id, .doc = text, .need = how, .bits = same, .run = pass_##id},
#include "passes.def"
#undef PASS
};

const PassInfo *pass_info(PassId id)
{
    ASSERT((unsigned)id < PASS_COUNT);
    return &infos[id];
}

bool pass_find(const char *name, PassId *out)
{
    for (size_t i = 0; i < COUNT(infos); i++)
        if (strcmp(infos[i].name, name) == 0) {
            *out = (PassId)i;
            return true;
        }
    return false;
}

static void check(const PassCx *cx, const Graph *g)
{
#ifdef MDL_VERIFY
    graph_verify(g, cx->program);
#else
    UNUSED(cx);
    UNUSED(g);
#endif
}

static bool left_out(const PassOptions *opt, PassId id)
{
    return opt && ((opt->skip >> id) & 1) && infos[id].need != REQUIRED;
}

Graph *passes_run(PassCx *cx, const Graph *entry, const PassOptions *opt)
{
    Graph *g = graph_rewrite(entry, cx->arena, NULL, NULL);
    int left = opt && opt->limit >= 0 ? opt->limit : PASS_COUNT;
    check(cx, g);
    for (PassId id = 0; id < PASS_COUNT && left > 0; id++) {
        cx->plain = left_out(opt, id) && infos[id].need == PLAIN;
        if (left_out(opt, id) && !cx->plain)
            continue;
        left--;
        bug_push(infos[id].name);
        g = infos[id].run(cx, g);
        if (g)
            check(cx, g);
        if (g && opt && opt->after)
            opt->after(opt->user, id, g);
        bug_pop();
        if (!g)
            return NULL;
    }
    return g;
}
