/* matrix.c: ldmatrix and mma of a warp: fragments of all lanes become matrices, and fragments again.
 *
 * Products are added in f32 one after the other, which no GPU promises: compare within a bound. */
#include "engine.h"
#include "fragments.h"
#include "sums.h"

/* ---- narrow elements ---- */

float half_value(uint16_t h)
{
    union {
        uint32_t i;
        float f;
    } u = {.i = (uint32_t)(h & 0x7fff) << 13}, magic = {.i = 113u << 23};
    uint32_t exponent = u.i & (31u << 23);
    u.i += 112u << 23;
    if (exponent == 31u << 23) {
        u.i += 112u << 23;
    } else if (!exponent) {
        u.i += 1u << 23;
        u.f -= magic.f;
    }
    u.i |= (uint32_t)(h & 0x8000) << 16;
    return u.f;
}

float bits_value(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof(f));
    return f;
}

float narrow_value(MdlMmaType type, uint16_t x)
{
    return type == MDL_MMA_F16 ? half_value(x) : bits_value((uint32_t)x << 16);
}

/* Element i of registers: of 16 bits, or one register each, of which tf32 reads the upper 19 bits. */
static float element(MdlMmaType type, const uint32_t *r, int i)
{
    if (type == MDL_MMA_TF32)
        return bits_value(r[i] & ~UINT32_C(0x1fff));
    return narrow_value(type, (uint16_t)(r[i / 2] >> (i % 2 * 16)));
}

/* ---- mma ---- */

enum { M = 16, N = 8, MOST_K = 16, MOST_ELEMENTS = 8, SUMS = 4 };

/* Of elements 0 .. n - 1 of lane 0, n <= MOST_ELEMENTS. */
static void places_of(FragmentId id, int pitch, int n, int *place)
{
    for (int i = 0; i < n; i++)
        place[i] = fragment_place(id, pitch, 0, i);
}

/* What all lanes hold of an operand, n elements each, as a matrix. */
static void gather(const Warp *w, FragmentId id, int n, bool is_b, int pitch, float *out)
{
    int place[MOST_ELEMENTS];
    places_of(id, pitch, n, place);
    for (int lane = 0; lane < WARP; lane++) {
        const MdlMma *m = w->arg[lane];
        float *own = out + fragment_place(id, pitch, lane, 0);
        for (int i = 0; i < n; i++)
            own[place[i]] = element(m->type, is_b ? m->b : m->a, i);
    }
}

static void multiply(Simt *s, const Warp *w)
{
    float a[M * MOST_K], b[MOST_K * N], d[M * N];
    bool wide = ((const MdlMma *)w->arg[0])->type == MDL_MMA_TF32;
    int place[MOST_ELEMENTS];
    UNUSED(s);
    gather(w, wide ? FRAGMENT_A_16x8_TF32 : FRAGMENT_A_16x16, wide ? 4 : 8, false, MOST_K, a);
    gather(w, wide ? FRAGMENT_B_8x8_TF32 : FRAGMENT_B_16x8, wide ? 2 : 4, true, N, b);
    places_of(FRAGMENT_D_16x8, N, SUMS, place);
    for (int lane = 0; lane < WARP; lane++)
        for (int i = 0, first = fragment_place(FRAGMENT_D_16x8, N, lane, 0); i < SUMS; i++)
            d[first + place[i]] = ((const MdlMma *)w->arg[lane])->d[i];
    sums_f32(&(Products){.m = M,
                         .n = N,
                         .k = wide ? 8 : 16,
                         .a = a,
                         .lda = MOST_K,
                         .b = b,
                         .ldb = N,
                         .c = d,
                         .ldc = N});
    for (int lane = 0; lane < WARP; lane++)
        for (int i = 0, first = fragment_place(FRAGMENT_D_16x8, N, lane, 0); i < SUMS; i++)
            ((const MdlMma *)w->arg[lane])->d[i] = d[first + place[i]];
}

/* By MdlMmaType. */
static const WarpCall mma_calls[] = {
    [MDL_MMA_BF16] = {"mdl_mma_bf16", multiply},
    [MDL_MMA_F16] = {"mdl_mma_f16", multiply},
    [MDL_MMA_TF32] = {"mdl_mma_tf32", multiply},
};

static void mma(MdlEngine *e, const MdlMma *m, int line)
{
    warp_meet(simt_of(e), &mma_calls[m->type], m, line);
}

/* ---- ldmatrix ---- */

enum { ROW_BYTES = 16, LINES = 8 };

/* Row r of matrix m is at the address that lane 8 m + r gives. */
static void load_matrices(Simt *s, const Warp *w)
{
    UNUSED(s);
    for (int lane = 0; lane < WARP; lane++) {
        const MdlMatrices *to = w->arg[lane];
        int line[2], at[2];
        for (int i = 0; i < 2; i++) {
            int row = fragment_row(FRAGMENT_LDMATRIX, lane, i);
            int col = fragment_col(FRAGMENT_LDMATRIX, lane, i);
            line[i] = to->trans ? col : row;
            at[i] = (to->trans ? row : col) * 2;
        }
        for (int m = 0; m < to->n; m++) {
            uint16_t pair[2];
            for (int i = 0; i < 2; i++) {
                const MdlMatrices *from = w->arg[m * LINES + line[i]];
                memcpy(&pair[i], (const char *)from->row + at[i], 2);
            }
            to->r[m] = (uint32_t)pair[0] | (uint32_t)pair[1] << 16;
        }
    }
}

static const WarpCall ldmatrix_calls[2][2] = {
    {{"mdl_ldmatrix_x2", load_matrices}, {"mdl_ldmatrix_x2_trans", load_matrices}},
    {{"mdl_ldmatrix_x4", load_matrices}, {"mdl_ldmatrix_x4_trans", load_matrices}},
};

static void ldmatrix(MdlEngine *e, const MdlMatrices *m, int line)
{
    Simt *s = simt_of(e);
    const WarpCall *call = &ldmatrix_calls[m->n == 4][m->trans != 0];
    if (s->face.thread % WARP < m->n * LINES) {
        const Access a = {.at = m->row,
                          .bytes = ROW_BYTES,
                          .align = ROW_BYTES,
                          .shared = true,
                          .call = call->name,
                          .where = AT(line)};
        access_check(s, &a);
    }
    warp_meet(s, call, m, line);
}

void matrix_install(MdlEngine *e)
{
    e->mma = mma;
    e->ldmatrix = ldmatrix;
}
