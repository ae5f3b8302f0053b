/* attentioncase.h: forms of attention of models/std/ops.mdl as kernel cases: their text, elaborated, claimed and
 * lowered, against the interpreter on its body. */
#ifndef MDL_ATTENTIONCASE_H
#define MDL_ATTENTIONCASE_H

#define _GNU_SOURCE
#include "../unit/elabcase.h"
#include "kernelcase.h"
#include "passes.h"

enum { MAX_TENSORS = 9, MAX_FORMS = 32 };

typedef struct Form {
    const char *text; /* fn f of q, k, v and what else it takes */
    int b, t, s, h, kv, d, e;
    const char *types; /* of the elements, as written in `text` by %s; NULL: f32 */
    bool open;         /* no class claims it */
} Form;

#define BWD       "attention_bwd(q, k, v, lse, y, dy"

#define GRADIENTS "{\n  dq, dk, dv = " BWD
#define TURN      "  c[b, t, i]: f32[2, 50, 4] = cos(pos[b, t] * (i + 1))\n"

/* What is made of a gradient's columns when it is stored. */
static const Form stored[] = {
    /* rotations back, in halves and in pairs, the gradient itself beside it */
    {GRADIENTS ", mask: causal(pos))\n" TURN "  u, w = unbind(dq as [2, 50, 4, 2, 4], axis: 3)\n"
               "  m, n = unbind(dk as [2, 50, 2, 4, 2], axis: 4)\n"
               "  lo[b, t, h, i] = u[b, t, h, i] * c[b, t, i] + w[b, t, h, i]\n"
               "  hi[b, t, h, i] = w[b, t, h, i] * c[b, t, i] - u[b, t, h, i]\n"
               "  even[b, t, h, i] = m[b, t, h, i] * c[b, t, i] + n[b, t, h, i]\n"
               "  (lo, hi, even, dk, dv * 3)\n}",
     2, 50, 50, 4, 2, 8, 8, NULL, false},
    {GRADIENTS ")\n  (dq * 0.5, dk + tanh(dk), dv as f32)\n}", 1, 20, 37, 2, 2, 7, 41, "bf16",
     false},
    /* what was rotated back is rounded, and stored where it is put together: half by half, and in pairs */
    {GRADIENTS ", mask: causal(pos))\n" TURN
               "  u, w = unbind(dq as f32 as [2, 50, 4, 2, 4], axis: 3)\n"
               "  m, n = unbind(dk as f32 as [2, 50, 2, 4, 2], axis: 4)\n"
               "  lo[b, t, h, i] = u[b, t, h, i] * c[b, t, i] + w[b, t, h, i]\n"
               "  hi[b, t, h, i] = w[b, t, h, i] * c[b, t, i] - u[b, t, h, i]\n"
               "  even[b, t, h, i] = m[b, t, h, i] * c[b, t, i] + n[b, t, h, i]\n"
               "  odd[b, t, h, i] = n[b, t, h, i] * c[b, t, i] - m[b, t, h, i]\n"
               "  y = stack(even, odd, axis: 4)\n"
               "  (concat(lo, hi, axis: 3) as bf16, y as bf16, dv)\n}",
     2, 50, 50, 4, 2, 8, 8, "bf16", false},
    /* other rows, and two gradients at once, are a kernel of their own */
    {GRADIENTS
     ")\n  a[b, t, h, i]: f32[1, 20, 2, 8] = dq[b, 19 - t, h, i] * 2\n  (a, dq * dk, dv)\n}",
     1, 20, 20, 2, 2, 8, 8, NULL, false},
};

static inline const char *form_text(Arena *arena, const Form *f)
{
    const char *dt = f->types ? f->types : "f32";
    StrBuf sb = sb_new(arena);
    sb_printf(&sb, "fn f(q: %s[%d, %d, %d, %d], k: %s[%d, %d, %d, %d], v: %s[%d, %d, %d, %d]", dt,
              f->b, f->t, f->h, f->d, dt, f->b, f->s, f->kv, f->d, dt, f->b, f->s, f->kv, f->e);
    if (strstr(f->text, "lse"))
        sb_printf(&sb, ", lse: f32[%d, %d, %d], y: %s[%d, %d, %d, %d], dy: %s[%d, %d, %d, %d]",
                  f->b, f->h, f->t, dt, f->b, f->t, f->h, f->e, dt, f->b, f->t, f->h, f->e);
    if (strstr(f->text, "pos"))
        sb_printf(&sb, ", pos: i32[%d, %d]", f->b, f->t);
    if (strstr(f->text, "ok"))
        sb_printf(&sb, ", ok: bool[%d, %d]", f->b, f->s);
    if (strstr(f->text, "w["))
        sb_printf(&sb, ", w: [%d]", f->h);
    sb_printf(&sb, ")%s %s\n", f->text[0] == '{' ? "" : " =", f->text);
    return sb_text(&sb);
}

/* The program's fn as a graph. */
static inline const Graph *elaborate(Lab *l, const Form *f)
{
    static const char *const names[] = {"q", "k", "v", "lse", "y", "dy", "pos", "ok", "w"};
    static const char *const marks[] = {"", "", "", "lse", "lse", "lse", "pos", "ok", "w["};
    const int64_t dims[][4] = {{f->b, f->t, f->h, f->d},
                               {f->b, f->s, f->kv, f->d},
                               {f->b, f->s, f->kv, f->e},
                               {f->b, f->h, f->t},
                               {f->b, f->t, f->h, f->e},
                               {f->b, f->t, f->h, f->e},
                               {f->b, f->t},
                               {f->b, f->s},
                               {f->h}};
    static const uint32_t ranks[] = {4, 4, 4, 3, 4, 4, 2, 2, 1};
    DType dt = DT_F32;
    dtype_find(f->types ? f->types : "f32", &dt);
    const DType types[] = {dt, dt, dt, DT_F32, dt, dt, DT_I32, DT_BOOL, DT_F32};
    CallInput in[MAX_TENSORS];
    uint32_t n = 0;
    for (uint32_t i = 0; i < MAX_TENSORS; i++)
        if (strstr(f->text, marks[i]))
            in[n++] = (CallInput){names[i], types[i], ranks[i], dims[i]};
    bool blame;
    Program *p = front_call(
        l->front, &(FrontCall){.function = "f", .inputs = in, .ninput = n, .mode = MODE_EVAL},
        &blame);
    if (!p)
        fail_msg("%s: %s", f->text, lab_reports(l));
    l->program = p;
    return p->entries.at[0];
}

/* The group of that class in the fused graph, or NULL. */
static inline const Node *group_of(const Graph *g, const char *cls)
{
    for (uint32_t i = 0; i < g->nodes.n; i++)
        if (op_info(g->nodes.at[i]->op)->cls == OC_GROUP &&
            strcmp(node_sym(g->nodes.at[i], "class"), cls) == 0)
            return g->nodes.at[i];
    return NULL;
}

/* tol16: for operands of 16 bits. gpu: a configuration that is not the one of `pick`, or NULL. */
static inline void add_case_as(Harness *h, const Node *group, const char *name, double tol16,
                               const PickConfig *gpu)
{
    const Def *def = node_def(group);
    const Attr *config = node_ints(group, "config");
    CaseSpec spec = {.name = name,
                     .body = graph_rewrite(def->body, h->arena, NULL, NULL),
                     .cls = node_sym(group, "class"),
                     .nconfig = config->n,
                     .tol = 3e-5,
                     .lo = -1,
                     .hi = 1};
    for (uint32_t i = 0; i < def->body->inputs.n; i++)
        if (dtype_info(def->body->inputs.at[i]->type->dtype)->bytes == 2)
            spec.tol = tol16;
    for (uint32_t i = 0; i < config->n; i++)
        spec.config[i] = config->ints[i];
    spec.ngpu = gpu ? gpu->n : 0;
    for (uint32_t i = 0; i < spec.ngpu; i++)
        spec.gpu[i] = gpu->ints[i];
    case_add(h, &spec);
}

static inline void add_case(Harness *h, const Node *group, const char *name, double tol16)
{
    add_case_as(h, group, name, tol16, NULL);
}

/* ---- run-time sizes ---- */

static struct {
    const char *name;
    int most, now;
} symbols[] = {{"B", 13, 2}, {"T", 53, 37}, {"S", 59, 22}, {"FEW", 11, 5}, {"KEPT", 303, 300}};

static inline void set_symbol(const char *name, int now)
{
    for (size_t i = 0; i < COUNT(symbols); i++)
        symbols[i].now = strcmp(symbols[i].name, name) == 0 ? now : symbols[i].now;
}

/* The graph as text, in which the sizes that stand for symbols are symbols. */
static inline const Graph *with_symbols(Harness *h, const Graph *g)
{
    StrBuf sb = sb_new(h->arena), out = sb_new(h->arena);
    graph_print(g, NULL, &sb);
    const char *text = sb_text(&sb);
    for (size_t i = 0; i < COUNT(symbols); i++) {
        harness_dim(h, symbols[i].name, 0, symbols[i].most, symbols[i].now);
        sb_printf(&out, "sym %s 0..%d\n", symbols[i].name, symbols[i].most);
    }
    for (const char *at = text; *at; at++) {
        bool extent = at > text && strchr("[ ", at[-1]) && *at >= '1' && *at <= '9';
        char *end;
        long n = extent ? strtol(at, &end, 10) : 0;
        size_t i = 0;
        while (i < COUNT(symbols) && !(n == symbols[i].most && strchr(",]", *end)))
            i++;
        if (i == COUNT(symbols)) {
            sb_putc(&out, *at);
            continue;
        }
        sb_puts(&out, symbols[i].name);
        at = end - 1;
    }
    Graph *back =
        graph_parse(h->ir, h->arena, diags_source(h->ir->diags, "g", sb_text(&out), out.n));
    if (!back)
        fail_msg("%s", diags_render(h->ir->diags, h->arena, DIAG_SHORT, false));
    return back;
}

#endif
