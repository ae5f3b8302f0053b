/* gemm_prefetch.c: memory that is asked for while products are computed: the next panels, and the lines of
 * the tile's epilogue.
 *
 * Hardware prefetchers stop at the end of a page, and a panel is a few pages: without this, the first
 * lines of each are waited for. A register tile takes a few lines of many rows, which no hardware
 * prefetcher foresees: without this, residuals, saved activations and the result itself are waited for,
 * tile by tile. What an address past the end asks for is ignored. */
#include "gemm.h"

typedef struct Ask {
    uint32_t row; /* variable of the row */
    bool write;
} Ask;

static void ask(Lower *lo, uint32_t buf, const Ix *linear, const Ask *a)
{
    uint32_t v = index_vector_var(lo, &linear, 1);
    const Dim *stride;
    if (v == NO_VAR || !ix_uses(linear, a->row) || !index_stride(lo, linear, v, &stride) ||
        !dim_equals(stride, 1))
        return; /* a vector for all rows; or lanes apart, each a line of its own */
    const KExpr *at = ke_addr(lo->k, buf, lower_index(lo, linear));
    const char *text = a->write ? "mdl_prefetch_to_write(%0)" : "mdl_prefetch(%0)";
    ks_call(lo->k, lo->scope->block, ke_text(lo->k, KT_PTR, text, &at, 1));
}

static void ask_input(Lower *lo, const Node *input, const Ix *linear, void *user)
{
    if (dtype_has_vector(input->type->dtype))
        ask(lo, lo->in[input->id], linear, user);
}

static void ask_result(Lower *lo, uint32_t r, const Ix *const *ix, uint32_t row)
{
    const Node *n = lo->body->results.at[r].node;
    Ask to_read = {.row = row}, to_write = {.row = row, .write = true};
    if (products_moved(n))
        return;
    lower_each_load(lo, n, ix, ask_input, &to_read);
    if (dtype_has_vector(n->type->dtype))
        ask(lo, lo->out[r], ix_flatten(lo->ir, n->type->dims, ix, n->type->rank), &to_write);
}

void gemm_prefetch_epilogue(Lower *lo, const GemmTask *t)
{
    Kernel *k = lo->k;
    const Gemm *g = t->g;
    int64_t nv = g->right.panel / k->width;
    if (gemm_in_parts(g))
        scope_if(lo, ke_test(k, ">=", ke_add(lo, t->k0, t->klen), ke_extent(k, g->depth)));
    else
        scope_plain(lo);
    scope_loop(lo, &(LoopSpec){.stem = "i",
                               .lo = ke_int(k, 0),
                               .hi = ke_int(k, g->left.panel),
                               .extent = dim_const(lo->ir, g->left.panel)});
    const Ix *row = scope_var(lo, ke_add(lo, t->row0, lo->var[lo->nvar - 1].at), g->left.rows);
    uint32_t row_var = lo->nvar - 1;
    for (int64_t j = 0; j < nv; j++) {
        const Ix *ix[IR_MAX_RANK];
        scope_plain(lo);
        const KExpr *at = ke_add(lo, t->n, ke_int(k, j * k->width));
        gemm_result_index(lo, g, row, scope_vector_var(lo, at, g->right.rows, NULL), ix);
        for (uint32_t r = 0; r < lo->body->results.n; r++)
            if (t->set->results >> r & 1)
                ask_result(lo, r, ix, row_var);
        scope_end(lo);
    }
    scope_end(lo);
    scope_end(lo);
}

/* The left panel of the tile below, as long as this one; of the right panel beside, this tile's share: all
 * tiles of the task's height together ask for it. */
void gemm_prefetch_panels(Lower *lo, const GemmTask *t, const KExpr *step)
{
    Kernel *k = lo->k;
    const Gemm *g = t->g;
    const GemmSide *left = &g->left, *right = &g->right;
    if (!left->direct) {
        const KExpr *at = ke_add(lo, t->abase, ke_int(k, gemm_panel_size(g, left)));
        lower_prefetch(lo, left->pack, ke_add(lo, at, ke_mul(lo, step, ke_int(k, left->panel))));
    }
    if (right->direct)
        return;
    int64_t share = smaller(ceil_div(right->panel, ceil_div(g->mt, left->panel)), k->width);
    const KExpr *from = ke_add(lo, ke_mul(lo, t->ip, ke_int(k, g->kc)), step);
    const KExpr *at = ke_add(lo, t->bbase, ke_int(k, gemm_panel_size(g, right)));
    lower_prefetch(lo, right->pack, ke_add(lo, at, ke_mul(lo, from, ke_int(k, share))));
}
