/* mdl_mma.h: products of small matrices by a warp. Who holds which element is the machine's choice (PTX
 * ISA, figures of m16n8k16 and m16n8k8); codegen's tables say it once for all. */
#ifndef MDL_MMA_H
#define MDL_MMA_H

/* 8 x 8 matrices of 16-bit elements; each group of eight lanes has the addresses of one's rows. */
#define MDL_LDMATRIX_4(name, kind)                                                              \
    MDL_FN void name(uint32_t *r, const void *smem)                                             \
    {                                                                                           \
        asm volatile("ldmatrix.sync.aligned.m8n8.x4" kind ".shared.b16 {%0, %1, %2, %3}, [%4];" \
                     : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])                           \
                     : "r"(mdl_shared_at(smem))                                                 \
                     : "memory");                                                               \
    }
#define MDL_LDMATRIX_2(name, kind)                                                      \
    MDL_FN void name(uint32_t *r, const void *smem)                                     \
    {                                                                                   \
        asm volatile("ldmatrix.sync.aligned.m8n8.x2" kind ".shared.b16 {%0, %1}, [%2];" \
                     : "=r"(r[0]), "=r"(r[1])                                           \
                     : "r"(mdl_shared_at(smem))                                         \
                     : "memory");                                                       \
    }
MDL_LDMATRIX_4(mdl_ldmatrix_x4, "")
MDL_LDMATRIX_4(mdl_ldmatrix_x4_trans, ".trans")
MDL_LDMATRIX_2(mdl_ldmatrix_x2, "")
MDL_LDMATRIX_2(mdl_ldmatrix_x2_trans, ".trans")

/* d += a b, sums in f32. */
#define MDL_MMA(name, shape, T)                                                    \
    MDL_FN void name(float *d, const uint32_t *a, const uint32_t *b)               \
    {                                                                              \
        asm("mma.sync.aligned." shape ".row.col.f32." T "." T                      \
            ".f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};" \
            : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                       \
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));   \
    }
MDL_MMA(mdl_mma_bf16, "m16n8k16", "bf16")
MDL_MMA(mdl_mma_f16, "m16n8k16", "f16")
MDL_MMA(mdl_mma_tf32, "m16n8k8", "tf32")

#endif
