/* cublaslt.h: NVIDIA's library of products, opened when a plan pins it or somebody tunes. The types and numbers of
 * cublasLt.h that we use are declared here: no toolkit is needed to build. */
#ifndef MDL_CUBLASLT_H
#define MDL_CUBLASLT_H

#include "cuda_api.h"

typedef struct BlasHandleOf *BlasHandle;
typedef struct BlasDescOf *BlasDesc;
typedef struct BlasLayoutOf *BlasLayout;
typedef struct BlasWishOf *BlasWish;

typedef struct BlasAlgorithm { /* cublasLtMatmulAlgo_t */
    uint64_t word[8];
} BlasAlgorithm;

typedef struct BlasResult { /* cublasLtMatmulHeuristicResult_t */
    BlasAlgorithm algorithm;
    size_t workspace;
    int status;
    float waves;
    int reserved[4];
} BlasResult;

/* cublasOperation_t, cudaDataType, cublasComputeType_t, attributes */
enum {
    BLAS_OK = 0,
    BLAS_AS_IS = 0,
    BLAS_TURNED = 1,
    BLAS_F32 = 0,
    BLAS_F16 = 2,
    BLAS_BF16 = 14,
    BLAS_COMPUTE_F32 = 68,
    BLAS_DESC_TURN_A = 3,
    BLAS_DESC_TURN_B = 4,
    BLAS_LAYOUT_BATCH = 5, /* members: int32_t; elements from one to the next: int64_t */
    BLAS_LAYOUT_APART = 6,
    BLAS_WISH_WORKSPACE = 1,
    BLAS_WISH_ALIGNMENT = 5, /* of the operands, of what is added, of the result: 4 attributes */
    BLAS_WISHES_ALIGNED = 4,
    BLAS_ALIGNMENT = 64 /* bytes: what the plan promises of every tensor */
};

typedef struct Blas {
#define BLAS(name, symbol, result, args) result(*name) args;
#include "cublaslt.def"
#undef BLAS
    const char *path;
    uint64_t version; /* 130000 is 13.0.0 */
    BlasHandle handle;
} Blas;

/* $MDL_CUBLASLT, else libcublasLt.so.13 or .12: loaded, all functions found. It stays loaded until the process ends.
 * NULL: ERR_DEVICE with help. */
Blas *blas_find(Arena *arena, Err *err);
/* The same with a handle, for which a context must be current; blas_close gives it back. */
Blas *blas_open(Arena *arena, Err *err);
void blas_close(Blas *b); /* NULL is fine */

/* A product, ready to run. */
typedef struct BlasProduct {
    BlasDesc desc;
    BlasLayout a, b, into;
} BlasProduct;

/* False: ERR_DEVICE. blas_product_free is right in any case. */
bool blas_product(const Blas *b, const PlanGemm *g, BlasProduct *out, Err *err);
void blas_product_free(const Blas *b, BlasProduct *p);
/* Whether the pinned algorithm is one of this library, and does this product in the workspace that is planned. */
bool blas_product_check(const Blas *b, const PlanGemm *g, const BlasProduct *p, Err *err);
/* Behind what the stream has; addresses of the arguments of a launch. The status; 0: done. */
int blas_run(const Blas *b, const PlanGemm *g, const BlasProduct *p, void *const *buf,
             void *workspace, CudaStream s);
/* What the library would try, best first: at most `most` algorithms, with workspaces no larger than that of g. How
 * many. */
uint32_t blas_candidates(const Blas *b, const PlanGemm *g, BlasResult *out, uint32_t most);

/* The same on the GPU that $MDL_GPU names, for who has no device open. *version: of the library. 0 and *err: there is no
 * such library, or no GPU. */
uint32_t blas_ask(const PlanGemm *g, BlasResult *out, uint32_t most, uint64_t *version, Err *err);

#endif
