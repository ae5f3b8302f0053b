/* gemm_set.c: several products in one kernel: which belong together, what they pack in common, and where
 * panels and sums lie.
 *
 * A task belongs to one set. It walks over the depth of each left operand once, block by block, and
 * multiplies what it has packed with the right operands of all dots that read it; the epilogue follows
 * the last dot's last block. Panels of a task and its sums lie in scratch that all sets use in turn;
 * operands that many tasks read lie in the workspace, once, whoever reads them. */
#include "gemm.h"

#include <string.h>

/* ---- sets ---- */

static double epilogue_work(Lower *lo, uint64_t results)
{
    const Graph *body = lo->body;
    bool *used = NEW_ARRAY(lo->arena, bool, body->nodes.n + 1);
    double work = 0;
    for (uint32_t r = 0; r < body->results.n; r++) {
        if (!(results >> r & 1))
            continue;
        used[body->results.at[r].node->id] = true;
        work += 1;
    }
    for (uint32_t i = body->nodes.n; i-- > 0;) {
        const Node *n = body->nodes.at[i];
        const OpInfo *info = op_info(n->op);
        if (!used[i] || info->cls == OC_CONTRACT)
            continue;
        for (uint32_t k = 0; k < n->nin; k++)
            used[n->in[k]->id] = true;
        if (info->cls == OC_ELEM || info->cls == OC_UPDATE)
            work += info->cost > 1 ? info->cost : 1;
        else if (info->cls != OC_LEAF && info->cls != OC_VIEW)
            work += GEMM_WORK_MUCH;
    }
    return work;
}

void gemm_find_sets(Lower *lo, GemmKernel *kn)
{
    Products p;
    if (!products_find(lo->body, lo->arena, &p))
        BUG("codegen: the products of '%s' do not fit together", lo->body->name);
    kn->nset = p.nset;
    for (uint32_t d = 0; d < p.n; d++) {
        GemmSet *set = &kn->set[p.set[d]];
        Gemm *g = NEW(lo->arena, Gemm);
        g->dot = p.dot[d];
        set->dot[set->n++] = g;
    }
    for (uint32_t r = 0; r < lo->body->results.n; r++)
        kn->set[p.result_set[r]].results |= UINT64_C(1) << r;
    for (uint32_t s = 0; s < kn->nset; s++) {
        kn->set[s].number = s;
        kn->set[s].sum = products_total(lo->body, &p, s);
        kn->set[s].work = epilogue_work(lo, kn->set[s].results);
    }
}

/* ---- the same panels ---- */

static bool same_axes(const int64_t *a, const int64_t *b, uint32_t n)
{
    return memcmp(a, b, n * sizeof *a) == 0;
}

static bool same_panels(const Gemm *g, const GemmSide *a, const Gemm *h, const GemmSide *b)
{
    return a->node == b->node && a->nbatch == b->nbatch && a->ndepth == b->ndepth &&
           same_axes(a->batch, b->batch, a->nbatch) && same_axes(a->depth, b->depth, a->ndepth) &&
           a->panel == b->panel && a->direct == b->direct && a->shared == b->shared &&
           a->depth_lanes == b->depth_lanes && g->kc == h->kc && g->blocks == h->blocks;
}

uint32_t gemm_walk_end(const GemmSet *set, uint32_t from)
{
    uint32_t to = from + 1;
    const Gemm *g = set->dot[from];
    while (to < set->n && same_panels(g, &g->left, set->dot[to], &set->dot[to]->left))
        to++;
    return to;
}

/* ---- panels ---- */

enum { WIDEST = 16 }; /* lanes of any vector */

/* The last store of a panel of odd width reaches behind it, where the next one may have been packed. */
int64_t gemm_panel_size(const Gemm *g, const GemmSide *s)
{
    bool reaches = (s->shared || s->together > 1) && s->panel % WIDEST != 0;
    return g->kc * s->panel + (reaches ? WIDEST : 0);
}

const KExpr *gemm_panel_base(Lower *lo, const Gemm *g, const GemmSide *s, const KExpr *block,
                             const KExpr *panel)
{
    Kernel *k = lo->k;
    const KExpr *at = panel;
    if (s->shared) {
        const KExpr *blocks = ke_mul(lo, lower_index(lo, g->batch), ke_int(k, g->blocks));
        at = ke_add(lo, ke_mul(lo, ke_add(lo, blocks, block), ke_int(k, s->max_panels)), panel);
    }
    return ke_add(lo, ke_mul(lo, at, ke_int(k, gemm_panel_size(g, s))), ke_int(k, s->at));
}

/* Floats of a task's panels, and those past the last one that a whole-vector store may touch. */
static int64_t own_panels(const Lower *lo, const Gemm *g, const GemmSide *s, int64_t rows)
{
    int64_t w = lo->k->width;
    return round_up(ceil_div(rows, s->panel) * gemm_panel_size(g, s), w) + w;
}

/* The same side of the first product before this one that packs it for all tasks. */
static const GemmSide *find_lender(const GemmKernel *kn, const Gemm *g, bool left)
{
    const GemmSide *side = left ? &g->left : &g->right;
    for (uint32_t s = 0; s < kn->nset; s++) {
        for (uint32_t d = 0; d < kn->set[s].n; d++) {
            const Gemm *other = kn->set[s].dot[d];
            if (other == g)
                return NULL;
            const GemmSide *lent = left ? &other->left : &other->right;
            if (same_panels(other, lent, g, side))
                return lent;
        }
    }
    return NULL;
}

static void place_shared(Lower *lo, const GemmKernel *kn, Gemm *g, bool left)
{
    GemmSide *b = left ? &g->left : &g->right;
    const GemmSide *lender = find_lender(kn, g, left);
    b->borrowed = lender != NULL;
    if (lender) {
        b->pack = lender->pack;
        return;
    }
    int64_t one = g->blocks * b->max_panels * gemm_panel_size(g, b);
    const Dim *count = dim_add(lo->ir, dim_mul(lo->ir, g->nbatch, dim_const(lo->ir, one)),
                               dim_const(lo->ir, lo->k->width));
    b->pack = kernel_workspace(lo->k, b->name, DT_F32, count);
}

/* ---- buffers ---- */

/* Floats of scratch of a task. */
typedef struct Scratch {
    int64_t left, right, sums;
} Scratch;

/* Within a walk, right panels of all its dots lie side by side. */
static void place_walk(Lower *lo, const GemmKernel *kn, const GemmSet *set, uint32_t from,
                       Scratch *most)
{
    uint32_t to = gemm_walk_end(set, from);
    int64_t right = 0;
    for (uint32_t d = from; d < to; d++) {
        Gemm *g = set->dot[d];
        g->left.borrowed = d > from;
        if (g->left.shared)
            place_shared(lo, kn, g, true);
        else if (!g->left.direct)
            most->left = larger(most->left, own_panels(lo, g, &g->left, g->mt));
        if (g->right.shared) {
            place_shared(lo, kn, g, false);
        } else if (!g->right.direct) {
            g->right.at = right;
            right += own_panels(lo, g, &g->right, g->nt);
        }
    }
    most->right = larger(most->right, right);
}

/* Sums live on while the walk goes on to other dots or blocks. */
static void place_sums(const GemmSet *set, uint32_t from, int64_t *at)
{
    uint32_t to = gemm_walk_end(set, from);
    for (uint32_t d = from; d < to; d++) {
        Gemm *g = set->dot[d];
        int64_t rows = ceil_div(g->mt, g->left.panel), columns = ceil_div(g->nt, g->right.panel);
        bool task = gemm_in_parts(g) || to < set->n;
        g->sums = task ? SUMS_TASK : d + 1 < to ? SUMS_COLUMN : SUMS_TILE;
        g->sums_at = *at;
        *at += (task ? rows * columns : d + 1 < to ? rows : 1) * g->left.panel * g->right.panel;
    }
}

void gemm_make_buffers(Lower *lo, GemmKernel *kn)
{
    Scratch most = {0};
    for (uint32_t s = 0; s < kn->nset; s++) {
        GemmSet *set = &kn->set[s];
        int64_t sums = 0;
        for (uint32_t from = 0; from < set->n; from = gemm_walk_end(set, from)) {
            place_walk(lo, kn, set, from, &most);
            place_sums(set, from, &sums);
        }
        most.sums = larger(most.sums, sums);
    }
    const uint32_t none = UINT32_MAX;
    uint32_t right = most.right ? kernel_scratch(lo->k, "b_panels", DT_F32, most.right) : none;
    uint32_t left = most.left ? kernel_scratch(lo->k, "a_panels", DT_F32, most.left) : none;
    kn->sums = kernel_scratch(lo->k, "sums", DT_F32, most.sums + lo->k->width);
    for (uint32_t s = 0; s < kn->nset; s++) {
        for (uint32_t d = 0; d < kn->set[s].n; d++) {
            Gemm *g = kn->set[s].dot[d];
            if (!g->left.shared)
                g->left.pack = left;
            if (!g->right.shared)
                g->right.pack = right;
        }
    }
}
