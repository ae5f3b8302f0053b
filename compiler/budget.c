/* budget.c: planned memory against what there is: E0812.
 *
 * The plan is exact: two arenas, the inputs of a call and the workspace of kernels are all that the
 * runtime takes for tensors. What helps is said in the order of what it costs: nothing but time for
 * fewer rows in a pass; bits for 16-bit floats; then what is trained. */
#include "budget.h"

static uint64_t state_bytes(const Ir *ir, const Type *t)
{
    uint64_t bytes = dtype_info(t->dtype)->bytes;
    for (uint32_t i = 0; i < t->rank; i++)
        bytes *= (uint64_t)dim_hi(ir, t->dims[i]);
    return (bytes + 63) / 64 * 64;
}

static uint64_t input_bytes(const MemPlan *m)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < m->graph->inputs.n; i++)
        sum += state_bytes(m->graph->ir, m->graph->inputs.at[i]->type);
    return sum;
}

Need need_of(const Program *p, const MemPlan *const *plans, uint32_t n)
{
    Need need = {0};
    for (uint32_t i = 0; i < p->states.n; i++)
        need.states += state_bytes(p->ir, p->states.at[i]->type);
    for (uint32_t i = 0; i < n; i++) {
        uint64_t inputs = input_bytes(plans[i]);
        need.inputs = inputs > need.inputs ? inputs : need.inputs;
        if (need.most && plans[i]->arena_bytes <= need.temp)
            continue;
        need.most = plans[i];
        need.temp = plans[i]->arena_bytes;
    }
    return need;
}

uint64_t need_total(const Need *need)
{
    return need->states + need->temp + need->inputs + need->workspace;
}

/* ---- the report ---- */

const char *size_text(Arena *arena, uint64_t bytes)
{
    StrBuf sb = sb_new(arena);
    sb_bytes(&sb, bytes);
    return sb_text(&sb);
}

static void note_states(Diag *d, Ir *ir, const Program *p)
{
    static const struct {
        StateKind kind;
        const char *name;
    } kinds[] = {{SK_PARAM, "parameters"},     {SK_MASTER, "masters"}, {SK_GRAD, "gradients"},
                 {SK_OPT, "optimizer states"}, {SK_BUFFER, "buffers"}, {SK_KV, "growing states"},
                 {SK_CODES, "stored weights"}, {SK_SCALE, "scales"}};
    StrBuf sb = sb_new(ir->arena);
    for (size_t k = 0; k < COUNT(kinds); k++) {
        uint64_t sum = 0;
        for (uint32_t i = 0; i < p->states.n; i++)
            if (p->states.at[i]->kind == kinds[k].kind)
                sum += state_bytes(ir, p->states.at[i]->type);
        if (sum)
            sb_printf(&sb, "%s%s %s", sb.n ? ", " : "", kinds[k].name, size_text(ir->arena, sum));
    }
    diag_note(d, "states: %s", sb.n ? sb_text(&sb) : "none");
}

/* One line for each of the largest tensors that live at the peak. */
static void note_largest(Diag *d, Ir *ir, const MemPlan *m)
{
    diag_note(d, "`%s` takes %s; the largest tensors that are there at once:",
              m->graph->name ? m->graph->name : "an entry", size_text(ir->arena, m->arena_bytes));
    for (uint32_t i = 0; i < m->ntop; i++) {
        const Node *n = m->top[i].node;
        StrBuf sb = sb_new(ir->arena);
        sb_printf(&sb, "%s  ", size_text(ir->arena, m->top[i].bytes));
        type_print(ir, n->type, &sb);
        if (n->path)
            sb_printf(&sb, "  %s", n->path);
        if (n->span.file) {
            uint32_t line, column;
            diags_place(ir->diags, n->span, &line, &column);
            sb_printf(&sb, "  %s:%u", diags_path(ir->diags, n->span.file), line);
        }
        diag_note(d, "%s", sb_text(&sb));
    }
}

static bool has_state(const Program *p, StateKind kind)
{
    for (uint32_t i = 0; i < p->states.n; i++)
        if (p->states.at[i]->kind == kind)
            return true;
    return false;
}

static void help(Diag *d, const Program *p, const Excess *x)
{
    uint64_t fixed = x->need.states + x->need.workspace;
    uint64_t moving = x->need.temp + x->need.inputs;
    uint64_t room = x->budget > fixed ? x->budget - fixed : 0;
    int64_t rows = moving ? (int64_t)((double)x->rows * (double)room / (double)moving) : 0;
    if (x->rows > 1 && rows >= 1 && rows < x->rows)
        diag_help(d, "about %lld of the %lld rows fit: `micro = %lld`", (long long)rows,
                  (long long)x->rows, (long long)rows);
    else if (x->rows > 1 && room == 0)
        diag_help(d, "the states alone are too much: fewer rows do not help");
    if (x->again && room)
        diag_note(d, "values are computed again in the backward half already, as far as it helps");
    if (!has_state(p, SK_GRAD))
        return;
    if (!has_state(p, SK_MASTER)) /* which is there with 16 bits */
        diag_help(d, "`precision = bf16` halves activations");
    diag_help(d, "`freeze` what need not train, or take an optimizer with fewer states (`sgd`, "
                 "`lion`, `adafactor`)");
}

void budget_report(Ir *ir, const Program *p, const Excess *x)
{
    const char *have = size_text(ir->arena, x->budget);
    const MemPlan *m = x->need.most;
    Span at = m && m->ntop ? m->top[0].node->span : (Span){0};
    Diag *d = diag_at(ir->diags, DIAG_E0812, at, "`%s` needs %s of memory, %s %s", x->stage,
                      size_text(ir->arena, need_total(&x->need)),
                      x->given ? "its budget is" : "this machine has", have);
    note_states(d, ir, p);
    if (m)
        note_largest(d, ir, m);
    help(d, p, x);
}

void budget_report_meet(Ir *ir, const Program *p, const Excess *x)
{
    const char *need = size_text(ir->arena, need_total(&x->need));
    Diag *d = diag_at(ir->diags, DIAG_E0813, p->meet->span,
                      "rows of the batch meet here, and all %lld in one pass need %s of memory",
                      (long long)x->rows, need);
    diag_label(d, "several passes would give another result");
    diag_note(d, "%s %s", x->given ? "the budget is" : "this machine has",
              size_text(ir->arena, x->budget));
    diag_help(d, "a smaller `batch`; or `micro = N`, which accepts that only N rows meet");
}
