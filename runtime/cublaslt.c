/* cublaslt.c: finds cuBLASLt and describes products to it. It counts columns where we count lines: a matrix of ours is
 * the transposed one of the same memory, so it computes right^T left^T, and its first operand is our right one. */
#include "cublaslt.h"
#include <dlfcn.h>

static bool take(void *library, const char *name, void *slot, Err *err)
{
    void *found = dlsym(library, name);
    if (!found)
        return err_set(err, ERR_DEVICE, "cuBLASLt lacks %s", name);
    memcpy(slot, &found, sizeof(found));
    return true;
}

static bool take_all(void *library, Blas *b, Err *err)
{
#define BLAS(name, symbol, result, args)                \
    if (!take(library, #symbol, (void *)&b->name, err)) \
        return false;
#include "cublaslt.def"
#undef BLAS
    return true;
}

Blas *blas_find(Arena *arena, Err *err)
{
    static const char *const names[] = {"libcublasLt.so.13", "libcublasLt.so.12"};
    const char *wanted = getenv("MDL_CUBLASLT"), *path = NULL;
    void *library = NULL;
    for (size_t i = 0; !library && i < COUNT(names); i++) {
        path = wanted && *wanted ? wanted : names[i];
        library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    }
    Blas *b = NEW(arena, Blas);
    if (!library) {
        const char *why = dlerror();
        err_set(err, ERR_DEVICE, "no cuBLASLt: %s", why ? why : path);
        err_help(err, "install it (libcublas of the CUDA toolkit) or name it by $MDL_CUBLASLT; or "
                      "compile without it (--records none)");
        return NULL;
    }
    if (!take_all(library, b, err))
        return NULL;
    b->path = arena_strdup(arena, path);
    b->version = b->library_version();
    return b;
}

static bool failed(const Blas *b, const char *call, int status, Err *err)
{
    const char *name = b->status_name(status);
    err_set(err, ERR_DEVICE, "%s: %s %d", call, name ? name : "status", status);
    return err_help(err, "`mdl tune` again, or compile without cuBLASLt (--records none)");
}

Blas *blas_open(Arena *arena, Err *err)
{
    Blas *b = blas_find(arena, err);
    int status = b ? b->create(&b->handle) : BLAS_OK;
    if (status == BLAS_OK)
        return b;
    failed(b, "cublasLtCreate", status, err);
    return NULL;
}

void blas_close(Blas *b)
{
    if (b && b->handle)
        b->destroy(b->handle);
}

/* ---- products ---- */

static int type_of(uint32_t dtype)
{
    return dtype == DT_BF16 ? BLAS_BF16 : dtype == DT_F16 ? BLAS_F16 : BLAS_F32;
}

/* A matrix of ours, in lines. */
typedef struct Matrix {
    uint32_t dtype;
    int64_t rows, columns, ld;
    bool turned;
    int64_t batch, apart;
} Matrix;

static int layout(const Blas *b, BlasLayout *out, Matrix m)
{
    const uint64_t lines = (uint64_t)(m.turned ? m.columns : m.rows);
    const uint64_t length = (uint64_t)(m.turned ? m.rows : m.columns);
    const int32_t batch = (int32_t)m.batch;
    int status = b->layout_create(out, type_of(m.dtype), length, lines, m.ld);
    if (status == BLAS_OK && batch > 1)
        status = b->layout_set(*out, BLAS_LAYOUT_BATCH, &batch, sizeof batch);
    if (status == BLAS_OK && batch > 1)
        status = b->layout_set(*out, BLAS_LAYOUT_APART, &m.apart, sizeof m.apart);
    return status;
}

bool blas_product(const Blas *b, const PlanGemm *g, BlasProduct *out, Err *err)
{
    const int32_t turn_a = g->turn_right ? BLAS_TURNED : BLAS_AS_IS;
    const int32_t turn_b = g->turn_left ? BLAS_TURNED : BLAS_AS_IS;
    *out = (BlasProduct){0};
    int status = b->desc_create(&out->desc, BLAS_COMPUTE_F32, BLAS_F32);
    if (status == BLAS_OK)
        status = b->desc_set(out->desc, BLAS_DESC_TURN_A, &turn_a, sizeof turn_a);
    if (status == BLAS_OK)
        status = b->desc_set(out->desc, BLAS_DESC_TURN_B, &turn_b, sizeof turn_b);
    if (status == BLAS_OK)
        status = layout(b, &out->a,
                        (Matrix){g->operand, g->k, g->n, g->ld_right, g->turn_right != 0, g->batch,
                                 g->apart_right});
    if (status == BLAS_OK)
        status = layout(b, &out->b,
                        (Matrix){g->operand, g->m, g->k, g->ld_left, g->turn_left != 0, g->batch,
                                 g->apart_left});
    if (status == BLAS_OK)
        status = layout(b, &out->into,
                        (Matrix){g->result, g->m, g->n, g->n, false, g->batch, g->m * g->n});
    return status == BLAS_OK || failed(b, "a product of cuBLASLt", status, err);
}

void blas_product_free(const Blas *b, BlasProduct *p)
{
    if (p->desc)
        b->desc_destroy(p->desc);
    BlasLayout all[] = {p->a, p->b, p->into};
    for (size_t i = 0; i < COUNT(all); i++)
        if (all[i])
            b->layout_destroy(all[i]);
    *p = (BlasProduct){0};
}

static BlasAlgorithm algorithm_of(const PlanGemm *g)
{
    BlasAlgorithm a;
    memcpy(a.word, g->algorithm, sizeof a.word);
    return a;
}

bool blas_product_check(const Blas *b, const PlanGemm *g, const BlasProduct *p, Err *err)
{
    const BlasAlgorithm algorithm = algorithm_of(g);
    BlasResult result = {0};
    if (g->library != b->version) {
        err_set(err, ERR_DEVICE, "the plan pins cuBLASLt %llu; %s is %llu",
                (unsigned long long)g->library, b->path, (unsigned long long)b->version);
        return err_help(err, "name that one by $MDL_CUBLASLT, `mdl tune` again, or compile without "
                             "it (--records none)");
    }
    int status = b->check(b->handle, p->desc, p->a, p->b, p->into, p->into, &algorithm, &result);
    if (status != BLAS_OK)
        return failed(b, "the algorithm of cuBLASLt that the plan pins", status, err);
    if (result.workspace <= g->workspace)
        return true;
    err_set(err, ERR_DEVICE, "an algorithm of cuBLASLt needs %zu bytes, and the plan has %llu",
            result.workspace, (unsigned long long)g->workspace);
    return err_help(err, "`mdl tune` again, or compile without it (--records none)");
}

int blas_run(const Blas *b, const PlanGemm *g, const BlasProduct *p, void *const *buf,
             void *workspace, CudaStream s)
{
    const BlasAlgorithm algorithm = algorithm_of(g);
    const float one = 1, beta = g->add == PLAN_NONE ? 0 : 1;
    void *into = buf[g->into];
    const void *add = g->add == PLAN_NONE ? into : buf[g->add];
    return b->multiply(b->handle, p->desc, &one, buf[g->right], p->a, buf[g->left], p->b, &beta,
                       add, p->into, into, p->into, &algorithm, workspace, (size_t)g->workspace, s);
}

/* Without that the library takes tensors for aligned to 256 bytes. */
static bool wish(const Blas *b, BlasWish w, size_t room)
{
    const uint32_t bytes = BLAS_ALIGNMENT;
    bool ok = b->wish_set(w, BLAS_WISH_WORKSPACE, &room, sizeof room) == BLAS_OK;
    for (int i = 0; ok && i < BLAS_WISHES_ALIGNED; i++)
        ok = b->wish_set(w, BLAS_WISH_ALIGNMENT + i, &bytes, sizeof bytes) == BLAS_OK;
    return ok;
}

uint32_t blas_candidates(const Blas *b, const PlanGemm *g, BlasResult *out, uint32_t most)
{
    BlasProduct p;
    BlasWish w = NULL;
    Err ignored = {0};
    int n = 0;
    const size_t room = (size_t)g->workspace;
    bool ok =
        blas_product(b, g, &p, &ignored) && b->wish_create(&w) == BLAS_OK && wish(b, w, room) &&
        b->heuristic(b->handle, p.desc, p.a, p.b, p.into, p.into, w, (int)most, out, &n) == BLAS_OK;
    uint32_t good = 0;
    for (int i = 0; ok && i < n; i++)
        if (out[i].status == BLAS_OK && out[i].workspace <= room)
            out[good++] = out[i];
    if (w)
        b->wish_destroy(w);
    blas_product_free(b, &p);
    return good;
}

uint32_t blas_ask(const PlanGemm *g, BlasResult *out, uint32_t most, uint64_t *version, Err *err)
{
    Arena *arena = arena_new();
    CudaApi api;
    CudaDevice gpu;
    CudaContext context;
    int ordinal;
    uint32_t n = 0;
    bool ok = cuda_ordinal(&ordinal, err) && cuda_open(arena, &api, err) &&
              cuda_device(&api, ordinal, &gpu, err);
    int result = ok ? api.context_retain(&context, gpu.device) : CUDA_OK;
    if (ok && result != CUDA_OK)
        ok = cuda_failed(&api, "cuDevicePrimaryCtxRetain", NULL, result, err);
    if (ok) {
        api.context_current(context);
        Blas *b = blas_open(arena, err);
        n = b ? blas_candidates(b, g, out, most) : 0;
        *version = b ? b->version : 0;
        blas_close(b);
        api.context_current(NULL);
        api.context_release(gpu.device);
    }
    arena_free(arena);
    return n;
}
