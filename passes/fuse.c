/* fuse.c: the fusion pass (compiler.md 4.9): nodes become groups, one kernel each.
 *
 * before:  %3 = dot %1 %2      %4 = add %3 %b      %5 = erf ...      (a node per operation)
 * after:   %3 = group %1 %2 %b {class: gemm}                        (a node per kernel)
 *
 * Steps: choose which values are stored (fuse_inline.c), merge groups by gain while an index map and
 * a kernel class allow it (fuse_merge.c, fuse_map.c, fuse_fit.c, fuse_cost.c), join equal elementwise
 * groups into tables (fuse_multi.c), build the bodies (fuse_outline.c). Legality comes first, cost
 * second; the same graph always gives the same groups; one node per group always works.
 *
 * needs: no composites but those that a class claims, each of which is a group of its own.  gives: only leaves, groups and gets; results and writes come from groups. */
#include "fuse_groups.h"
#include "internal.h"
#include "library.h"

#include <string.h>

/* get(tuple(a, b), 1) is b; what remains of tuples is dead. All members of a call stand right behind it,
 * so that nothing that reads one comes before another: a group has one place in the order. */
static const Node *order_tuples(Rewrite *rw, const Node *n, const Node *const *in)
{
    uint32_t member;
    if (fuse_class(n) == OC_CALL) {
        const Node *call = graph_copy_node(rw->out, n, in);
        for (uint32_t i = 0; n->type->is_tuple && i < n->type->nelem; i++)
            graph_get(rw->out, call, i);
        return call;
    }
    if (!node_is_get(n, &member))
        return NULL;
    if (fuse_class(in[0]) ==
        OC_CALL) /* of one that is computed again, too: that stands behind it */
        return graph_get(rw->out, in[0], member);
    if (fuse_class(in[0]) != OC_TUPLE || in[0]->nin <= member)
        return NULL;
    return node_is_get(in[0], &(uint32_t){0}) ? NULL : in[0]->in[member];
}

static bool has_class(const Graph *g, OpClass cls)
{
    for (uint32_t i = 0; i < g->nodes.n; i++) {
        if (fuse_class(g->nodes.at[i]) == cls)
            return true;
    }
    return false;
}

static void mark_live(Fuse *fx)
{
    for (uint32_t i = 0; i < fx->g->results.n; i++)
        fx->sink[fx->g->results.at[i].node->id] = true;
    for (uint32_t i = 0; i < fx->g->writes.n; i++)
        fx->sink[fx->g->writes.at[i].node->id] = true;
    for (uint32_t i = fx->n; i-- > 0;) {
        const Node *n = fuse_node(fx, i);
        fx->live[i] = fx->live[i] || fx->sink[i];
        for (uint32_t k = 0; k < n->nin && fx->live[i]; k++)
            fx->live[n->in[k]->id] = true;
    }
}

/* What results need, when there are clones that must not be computed beside it. */
static void mark_forward(Fuse *fx)
{
    bool clones = false;
    for (uint32_t i = 0; i < fx->n; i++)
        clones = clones || fuse_node(fx, i)->inst > 0;
    if (!clones)
        return;
    fx->forward = NEW_ARRAY(fx->arena, bool, fx->n + 1);
    for (uint32_t i = 0; i < fx->g->results.n; i++)
        fx->forward[fx->g->results.at[i].node->id] = true;
    for (uint32_t i = fx->n; i-- > 0;)
        for (uint32_t k = 0; fx->forward[i] && k < fuse_node(fx, i)->nin; k++)
            fx->forward[fuse_node(fx, i)->in[k]->id] = true;
}

bool fuse_is_again(const Fuse *fx, const Body *body)
{
    bool again = false;
    for (uint32_t i = 0; fx->forward && i < body->members.n; i++)
        again = again || fuse_node(fx, body->members.at[i])->inst > 0;
    return again;
}

bool fuse_mixes_halves(const Fuse *fx, const Body *body)
{
    bool forward = false;
    for (uint32_t i = 0; fx->forward && i < body->kept.n; i++)
        forward = forward || fx->forward[body->kept.at[i]];
    return forward && fuse_is_again(fx, body);
}

static Fuse *fuse_new(PassCx *cx, const Graph *g, Arena *arena, Arena *scratch)
{
    Fuse *fx = NEW(arena, Fuse);
    *fx = (Fuse){.cx = cx, .g = g, .arena = arena, .scratch = scratch, .n = g->nodes.n};
    size_t n = (size_t)fx->n + 1;
    fx->live = NEW_ARRAY(arena, bool, n);
    fx->sink = NEW_ARRAY(arena, bool, n);
    fx->solid = NEW_ARRAY(arena, bool, n);
    fx->owner = NEW_ARRAY(arena, uint32_t, n);
    fx->chain = NEW_ARRAY(arena, uint32_t, n);
    fx->cone = NEW_ARRAY(arena, Cone, n);
    fx->uses = NEW_ARRAY(arena, Uses, n);
    fx->readers = NEW_ARRAY(arena, Ids, n);
    fx->mark = NEW_ARRAY(arena, uint32_t, n);
    fx->seen = NEW_ARRAY(arena, uint32_t, n);
    memset(fx->owner, 0xff, n * sizeof *fx->owner); /* FUSE_NONE */
    memset(fx->chain, 0xff, n * sizeof *fx->chain);
    mark_live(fx);
    mark_forward(fx);
    return fx;
}

/* Every operation that no kernel class of the target covers, once per place. */
static bool all_run(PassCx *cx, const Graph *g)
{
    bool ok = true;
    for (uint32_t i = 0; i < g->nodes.n; i++) {
        const Node *n = g->nodes.at[i];
        if (target_runs(cx->target, fuse_class(n)))
            continue;
        Diag *d = diag_at(cx->ir->diags, DIAG_E0505, n->span, "`%s` is not supported by %s yet",
                          op_info(n->op)->name, cx->target->name);
        diag_note(d, "`mdl call --reference` runs it");
        ok = false;
    }
    return ok;
}

Graph *fuse_graph(PassCx *cx, const Graph *in, bool numbered)
{
    ASSERT(cx->target);
    if (!all_run(cx, in))
        return NULL;
    if (loop_any(in) && !has_class(in, OC_GROUP)) {
        in = loop_fuse(cx, in);
        numbered = false;
        if (!in)
            return NULL;
    }
    Arena *arena = arena_new(), *scratch = arena_new();
    const Graph *g = has_class(in, OC_TUPLE) && !has_class(in, OC_GROUP)
                         ? graph_rewrite(in, arena, order_tuples, NULL)
                         : in;
    Graph *out = NULL;
    if (has_class(g, OC_GROUP)) { /* fused already */
        out = graph_rewrite(g, cx->arena, NULL, NULL);
    } else {
        Fuse *fx = fuse_new(cx, g, arena, scratch);
        fx->numbered = numbered && g == in;
        fuse_cones(fx);
        fuse_chains(fx);
        fuse_inline(fx);
        fuse_link(fx);
        if (!cx->plain) {
            fuse_merge_all(fx);
            fuse_multi(fx);
        }
        if (fx->forward)
            fuse_sort(fx);
        out = fuse_outline(fx);
    }
    arena_free(scratch);
    arena_free(arena);
    return out;
}

Graph *pass_fuse(PassCx *cx, const Graph *in)
{
    return fuse_graph(cx, in, true);
}

/* ---- the report of `mdl dump --groups` ---- */

static void print_loop(const Node *n, StrBuf *sb)
{
    sb_printf(sb, "%%%u loop%s, %lld carried, %lld sequences%s%s%s, its body:\n", n->id,
              node_int(n, "reverse") ? " from the end" : "", (long long)node_int(n, "carry"),
              (long long)node_int(n, "xs"), n->path ? "  [" : "", n->path ? n->path : "",
              n->path ? "]" : "");
    fuse_print(node_def(n)->body, sb);
}

static void print_members(const Graph *body, StrBuf *sb)
{
    sb_puts(sb, "    =");
    for (uint32_t i = 0; i < body->nodes.n; i++) {
        OpClass cls = fuse_class(body->nodes.at[i]);
        if (cls != OC_LEAF)
            sb_printf(sb, " %s", op_info(body->nodes.at[i]->op)->name);
    }
    sb_putc(sb, '\n');
}

static void print_notes(const char *note, StrBuf *sb)
{
    while (note && *note) {
        size_t n = strcspn(note, "\n");
        sb_puts(sb, "    - ");
        sb_putn(sb, note, n);
        sb_putc(sb, '\n');
        note += n + (note[n] == '\n');
    }
}

static void print_group(const Node *n, StrBuf *sb)
{
    const Def *def = node_def(n);
    sb_printf(sb, "%%%u %s: %s", n->id, def->name, node_sym(n, "class"));
    const Attr *config = node_ints(n, "config");
    KernelConfig shown = library_split(config->ints, config->n);
    for (uint32_t i = 0; i < shown.n; i++)
        sb_printf(sb, "%s%lld", i ? "," : " ", (long long)shown.ints[i]);
    if (shown.library)
        sb_puts(sb, " or cuBLASLt");
    if (node_int(n, "count") > 1)
        sb_printf(sb, " x%lld", (long long)node_int(n, "count"));
    sb_printf(sb, ", %u inputs -> ", n->nin);
    type_print(def->body->ir, n->type, sb);
    if (n->path)
        sb_printf(sb, "  [%s]", n->path);
    sb_putc(sb, '\n');
    print_members(def->body, sb);
    print_notes(n->note, sb);
}

void fuse_print(const Graph *g, StrBuf *sb)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < g->nodes.n; i++)
        count += fuse_class(g->nodes.at[i]) == OC_GROUP;
    sb_printf(sb, "%s: %u groups\n", g->name ? g->name : "graph", count);
    for (uint32_t i = 0; i < g->nodes.n; i++) {
        if (fuse_class(g->nodes.at[i]) == OC_GROUP)
            print_group(g->nodes.at[i], sb);
        else if (fuse_class(g->nodes.at[i]) == OC_LOOP)
            print_loop(g->nodes.at[i], sb);
    }
}
