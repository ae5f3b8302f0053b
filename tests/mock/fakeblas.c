/* fakeblas.c: a stand-in for cuBLASLt in the library of the driver's (fakecuda.c): products by plain loops, in the order of
 * the stream. It knows algorithms 1, 2 (which wants 4096 bytes of workspace) and 3, whose results are wrong.
 *
 * $MDL_MOCK_BLAS_VERSION: 130000; $MDL_MOCK_BLAS_FAIL: the status of products. */
#include "cublaslt.h"
#include "mock.h"

#include <stdlib.h>
#include <string.h>

#define BLAS(name, symbol, result, args) EXPORT result symbol args;
#include "cublaslt.def"
#undef BLAS

enum { INVALID = 7, UNSUPPORTED = 15, ALGORITHMS = 3, ROOM = 4096, TENSOR_ALIGNMENT = 64 };
static const uint64_t magic = UINT64_C(0x6d646c2d6d6f636b);

struct BlasDescOf {
    int32_t turn_a, turn_b;
};

struct BlasLayoutOf {
    int type;
    uint64_t rows, columns;
    int64_t ld;
    int32_t batch;
    int64_t apart;
};

struct BlasWishOf {
    size_t room;
    uint32_t aligned[BLAS_WISHES_ALIGNED];
};

static long setting(const char *name, long otherwise)
{
    const char *text = getenv(name);
    return text && *text ? strtol(text, NULL, 10) : otherwise;
}

int cublasLtCreate(BlasHandle *h)
{
    *h = (BlasHandle)(uintptr_t)64;
    return BLAS_OK;
}

int cublasLtDestroy(BlasHandle h)
{
    return h ? BLAS_OK : INVALID;
}

size_t cublasLtGetVersion(void)
{
    return (size_t)setting("MDL_MOCK_BLAS_VERSION", 130000);
}

const char *cublasLtGetStatusName(int status)
{
    return status == INVALID ? "CUBLAS_STATUS_INVALID_VALUE" : "CUBLAS_STATUS_OF_MOCK";
}

int cublasLtMatmulDescCreate(BlasDesc *d, int compute, int scale)
{
    if (compute != BLAS_COMPUTE_F32 || scale != BLAS_F32)
        return INVALID;
    *d = calloc(1, sizeof **d);
    return BLAS_OK;
}

int cublasLtMatmulDescDestroy(BlasDesc d)
{
    free(d);
    return BLAS_OK;
}

int cublasLtMatmulDescSetAttribute(BlasDesc d, int attribute, const void *value, size_t bytes)
{
    int32_t *to = attribute == BLAS_DESC_TURN_A   ? &d->turn_a
                  : attribute == BLAS_DESC_TURN_B ? &d->turn_b
                                                  : NULL;
    if (!to || bytes != sizeof *to)
        return INVALID;
    memcpy(to, value, bytes);
    return BLAS_OK;
}

int cublasLtMatrixLayoutCreate(BlasLayout *l, int type, uint64_t rows, uint64_t columns, int64_t ld)
{
    if (ld < (int64_t)rows || (type != BLAS_F32 && type != BLAS_F16 && type != BLAS_BF16))
        return INVALID;
    *l = malloc(sizeof **l);
    **l = (struct BlasLayoutOf){type, rows, columns, ld, 1, 0};
    return BLAS_OK;
}

int cublasLtMatrixLayoutSetAttribute(BlasLayout l, int attribute, const void *value, size_t bytes)
{
    bool batch = attribute == BLAS_LAYOUT_BATCH;
    if ((!batch && attribute != BLAS_LAYOUT_APART) ||
        bytes != (batch ? sizeof l->batch : sizeof l->apart))
        return INVALID;
    memcpy(batch ? (void *)&l->batch : &l->apart, value, bytes);
    return BLAS_OK;
}

int cublasLtMatrixLayoutDestroy(BlasLayout l)
{
    free(l);
    return BLAS_OK;
}

int cublasLtMatmulPreferenceCreate(BlasWish *w)
{
    *w = calloc(1, sizeof **w);
    for (int i = 0; i < BLAS_WISHES_ALIGNED; i++)
        (*w)->aligned[i] = 256; /* as the library has it */
    return BLAS_OK;
}

int cublasLtMatmulPreferenceDestroy(BlasWish w)
{
    free(w);
    return BLAS_OK;
}

int cublasLtMatmulPreferenceSetAttribute(BlasWish w, int attribute, const void *value, size_t bytes)
{
    int i = attribute - BLAS_WISH_ALIGNMENT;
    bool aligned = i >= 0 && i < BLAS_WISHES_ALIGNED;
    if (bytes != (aligned ? sizeof *w->aligned : sizeof w->room) ||
        (!aligned && attribute != BLAS_WISH_WORKSPACE))
        return INVALID;
    memcpy(aligned ? (void *)&w->aligned[i] : &w->room, value, bytes);
    return BLAS_OK;
}

/* ---- products ---- */

typedef struct Extents {
    uint64_t m, n, k;
} Extents;

/* Of columns, as the library counts. */
static bool extents_of(BlasDesc d, BlasLayout a, BlasLayout b, BlasLayout to, Extents *out)
{
    out->m = d->turn_a ? a->columns : a->rows;
    out->k = d->turn_a ? a->rows : a->columns;
    out->n = d->turn_b ? b->rows : b->columns;
    return out->k == (d->turn_b ? b->columns : b->rows) && to->rows == out->m &&
           to->columns == out->n && a->type == b->type && a->batch == b->batch &&
           a->batch == to->batch && to->batch >= 1;
}

static BlasResult result_of(uint64_t number)
{
    BlasResult r = {.workspace = number == 2 ? ROOM : 0, .waves = 1};
    r.algorithm.word[0] = number;
    r.algorithm.word[7] = magic;
    return r;
}

static bool is_known(const BlasAlgorithm *a)
{
    return a->word[0] >= 1 && a->word[0] <= ALGORITHMS && a->word[7] == magic;
}

/* Parameters as NVIDIA has them. NOLINTBEGIN(readability-function-size) */
int cublasLtMatmulAlgoGetHeuristic(BlasHandle h, BlasDesc d, BlasLayout a, BlasLayout b,
                                   BlasLayout c, BlasLayout to, BlasWish w, int most,
                                   BlasResult *out, int *n)
{
    Extents e;
    *n = 0;
    if (!h || c != to || !extents_of(d, a, b, to, &e))
        return INVALID;
    for (int i = 0; i < BLAS_WISHES_ALIGNED; i++)
        if (w->aligned[i] > TENSOR_ALIGNMENT)
            return BLAS_OK; /* none of ours: they are for such tensors */
    for (uint64_t i = 1; i <= ALGORITHMS && *n < most; i++)
        if (result_of(i).workspace <= w->room)
            out[(*n)++] = result_of(i);
    return BLAS_OK;
}

int cublasLtMatmulAlgoCheck(BlasHandle h, BlasDesc d, BlasLayout a, BlasLayout b, BlasLayout c,
                            BlasLayout to, const BlasAlgorithm *algorithm, BlasResult *out)
{
    Extents e;
    if (!h || c != to || !extents_of(d, a, b, to, &e))
        return INVALID;
    if (!is_known(algorithm))
        return UNSUPPORTED;
    *out = result_of(algorithm->word[0]);
    return BLAS_OK;
}

/* One product in the stream. */
typedef struct Job {
    struct BlasDescOf desc;
    struct BlasLayoutOf la, lb, lto;
    Extents size;
    const void *a, *b, *c;
    void *to;
    float alpha, beta;
    bool wrong;
} Job;

static DType type_of(int type)
{
    return type == BLAS_BF16 ? DT_BF16 : type == BLAS_F16 ? DT_F16 : DT_F32;
}

static size_t bytes_of(const struct BlasLayoutOf *l)
{
    size_t elements = ((size_t)l->columns - 1) * (size_t)l->ld + (size_t)l->rows;
    elements += ((size_t)l->batch - 1) * (size_t)l->apart;
    return elements * dtype_info(type_of(l->type))->bytes;
}

/* Of a member. */
typedef struct Place {
    uint64_t member, i, j;
} Place;

static double element(const void *at, const struct BlasLayoutOf *l, bool turn, Place p)
{
    uint64_t row = turn ? p.j : p.i, column = turn ? p.i : p.j;
    uint64_t first = p.member * (uint64_t)l->apart;
    return dtype_load(type_of(l->type), at, (size_t)(first + row + column * (uint64_t)l->ld));
}

static void run_member(const Job *x, uint64_t member)
{
    DType type = type_of(x->lto.type);
    for (uint64_t j = 0; j < x->size.n; j++)
        for (uint64_t i = 0; i < x->size.m; i++) {
            double sum = 0;
            for (uint64_t l = 0; l < x->size.k; l++)
                sum += element(x->a, &x->la, x->desc.turn_a != 0, (Place){member, i, l}) *
                       element(x->b, &x->lb, x->desc.turn_b != 0, (Place){member, l, j});
            size_t at = (size_t)(member * (uint64_t)x->lto.apart + i + j * (uint64_t)x->lto.ld);
            sum *= x->wrong ? 2 : (double)x->alpha;
            if (x->beta != 0)
                sum += (double)x->beta * dtype_load(type, x->c, at);
            dtype_store(type, x->to, at, sum);
        }
}

static void run(const void *data)
{
    const Job *x = data;
    for (int32_t member = 0; member < x->lto.batch; member++)
        run_member(x, (uint64_t)member);
}

int cublasLtMatmul(BlasHandle h, BlasDesc d, const void *alpha, const void *a, BlasLayout la,
                   const void *b, BlasLayout lb, const void *beta, const void *c, BlasLayout lc,
                   void *to, BlasLayout lto, const BlasAlgorithm *algorithm, void *workspace,
                   size_t bytes, CudaStream s)
{
    Job x = {.desc = *d, .la = *la, .lb = *lb, .lto = *lto, .a = a, .b = b, .c = c, .to = to};
    int planted = (int)setting("MDL_MOCK_BLAS_FAIL", 0);
    if (planted)
        return planted;
    memcpy(&x.alpha, alpha, sizeof x.alpha);
    memcpy(&x.beta, beta, sizeof x.beta);
    if (!h || lc != lto || !is_known(algorithm) || !extents_of(d, la, lb, lto, &x.size))
        return INVALID;
    size_t room = result_of(algorithm->word[0]).workspace;
    if (bytes < room || (room && !mock_on_device(workspace, room)) ||
        !mock_on_device(a, bytes_of(la)) || !mock_on_device(b, bytes_of(lb)) ||
        !mock_on_device(c, bytes_of(lto)) || !mock_on_device(to, bytes_of(lto)))
        return INVALID;
    x.wrong = algorithm->word[0] == ALGORITHMS;
    return mock_call(s, run, &x, sizeof x);
}
/* NOLINTEND(readability-function-size) */
