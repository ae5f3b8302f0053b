/* mdl_wgmma.h: products of matrices in shared memory by a warpgroup of 128 threads (sm_90a): d is 64 x N in
 * f32, N / 2 registers a thread; one step is 16 wide. The operands of an instruction are written out by
 * macros, eight registers at a time. */
#ifndef MDL_WGMMA_H
#define MDL_WGMMA_H

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
/* Registers given back and taken by all warps of a warpgroup; a multiple of 8. */
#define mdl_setmaxnreg_dec(n) asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(n))
#define mdl_setmaxnreg_inc(n) asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(n))
#endif

/* A text without such products says so, and saves NVRTC the reading of 64 functions. */
#if defined(__CUDA_ARCH_FEAT_SM90_ALL) && !defined(MDL_WITHOUT_WGMMA)

/* Registers are the threads' again, and the order of what follows is fixed. */
MDL_FN void mdl_wgmma_fence(void)
{
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

MDL_FN void mdl_wgmma_commit(void)
{
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

/* Until at most n groups are on their way; only then may d be read. */
#define mdl_wgmma_wait(n) asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(n) : "memory")

/* A sum as of now: what is done with it stays behind this, and behind the wait before it. */
#define MDL_SETTLE_F32(x) asm volatile("" : "+f"(x)::"memory")

/* Where a matrix lies: its address and the distances of its 8 x 16-byte cores along the leading and the
 * strided dimension, in 14 bits of 16 bytes each; swizzle of 128, 64, 32 bytes or 0 in bits 62 and 63. */
MDL_FN uint64_t mdl_wgmma_desc(const void *smem, int leading_bytes, int stride_bytes, int swizzle)
{
    uint64_t at = (mdl_shared_at(smem) & 0x3ffff) >> 4;
    uint64_t lead = (uint64_t)(leading_bytes >> 4 & 0x3fff);
    uint64_t stride = (uint64_t)(stride_bytes >> 4 & 0x3fff);
    uint64_t kind = swizzle == 128 ? 1 : swizzle == 64 ? 2 : swizzle == 32 ? 3 : 0;
    return at | lead << 16 | stride << 32 | kind << 62;
}

/* A descriptor that is the same in all lanes, said so that the compiler knows: uniform registers hold it. */
MDL_FN uint64_t mdl_wgmma_desc_uniform(uint64_t desc)
{
    uint32_t low = __shfl_sync(MDL_ALL_LANES, (uint32_t)desc, 0);
    return (desc & ~UINT64_C(0xffffffff)) | low;
}

/* The names of d, by their number, and what holds them. */
#define MDL_D_4 "%0, %1, %2, %3"
#define MDL_D_8 \
    MDL_D_4     \
    ", %4, %5, %6, %7"
#define MDL_D_16 \
    MDL_D_8      \
    ", %8, %9, %10, %11, %12, %13, %14, %15"
#define MDL_D_32                               \
    MDL_D_16                                   \
    ", %16, %17, %18, %19, %20, %21, %22, %23" \
    ", %24, %25, %26, %27, %28, %29, %30, %31"
#define MDL_D_48                               \
    MDL_D_32                                   \
    ", %32, %33, %34, %35, %36, %37, %38, %39" \
    ", %40, %41, %42, %43, %44, %45, %46, %47"
#define MDL_D_64                               \
    MDL_D_48                                   \
    ", %48, %49, %50, %51, %52, %53, %54, %55" \
    ", %56, %57, %58, %59, %60, %61, %62, %63"
#define MDL_D_96                               \
    MDL_D_64                                   \
    ", %64, %65, %66, %67, %68, %69, %70, %71" \
    ", %72, %73, %74, %75, %76, %77, %78, %79" \
    ", %80, %81, %82, %83, %84, %85, %86, %87" \
    ", %88, %89, %90, %91, %92, %93, %94, %95"
#define MDL_D_128                                      \
    MDL_D_96                                           \
    ", %96, %97, %98, %99, %100, %101, %102, %103"     \
    ", %104, %105, %106, %107, %108, %109, %110, %111" \
    ", %112, %113, %114, %115, %116, %117, %118, %119" \
    ", %120, %121, %122, %123, %124, %125, %126, %127"
#define MDL_F_4(d, i)   "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define MDL_F_8(d, i)   MDL_F_4(d, i), MDL_F_4(d, i + 4)
#define MDL_F_16(d, i)  MDL_F_8(d, i), MDL_F_8(d, i + 8)
#define MDL_F_32(d, i)  MDL_F_16(d, i), MDL_F_16(d, i + 16)
#define MDL_F_48(d, i)  MDL_F_32(d, i), MDL_F_16(d, i + 32)
#define MDL_F_64(d, i)  MDL_F_32(d, i), MDL_F_32(d, i + 32)
#define MDL_F_96(d, i)  MDL_F_64(d, i), MDL_F_32(d, i + 64)
#define MDL_F_128(d, i) MDL_F_64(d, i), MDL_F_64(d, i + 64)

/* d = a b, and + d where `accumulate` is not 0. a lies with its 16 elements next to each other; so does b,
 * or (_t) its N. p0 .. p5: the numbers of the operands behind d. */
#define MDL_WGMMA_SS(name, T, n, regs, left, turned, p0, p1, p2)                                 \
    MDL_FN void name(float *d, uint64_t a, uint64_t b, int accumulate)                           \
    {                                                                                            \
        asm volatile("{\n.reg .pred more;\nsetp.ne.b32 more, %" #p2 ", 0;\n"                     \
                     "wgmma.mma_async.sync.aligned.m64n" #n "k16.f32." T "." T " {" MDL_D_##regs \
                     "}, %" #p0 ", %" #p1 ", more, 1, 1, " left ", " turned ";\n}"               \
                     : MDL_F_##regs(d, 0)                                                        \
                     : "l"(a), "l"(b), "r"(accumulate));                                         \
    }
/* a in registers, as fragments of m16n8k16: each warp has 16 of the 64 rows. */
#define MDL_WGMMA_RS(name, T, n, regs, turned, p0, p1, p2, p3, p4, p5)                            \
    MDL_FN void name(float *d, const uint32_t *a, uint64_t b, int accumulate)                     \
    {                                                                                             \
        asm volatile("{\n.reg .pred more;\nsetp.ne.b32 more, %" #p5 ", 0;\n"                      \
                     "wgmma.mma_async.sync.aligned.m64n" #n "k16.f32." T "." T " {" MDL_D_##regs  \
                     "}, {%" #p0 ", %" #p1 ", %" #p2 ", %" #p3 "}, %" #p4 ", more, 1, 1, " turned \
                     ";\n}"                                                                       \
                     : MDL_F_##regs(d, 0)                                                         \
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(accumulate));      \
    }
#define MDL_WGMMA(T, n, regs, p0, p1, p2, p3, p4, p5)                               \
    MDL_WGMMA_SS(mdl_wgmma_##T##_n##n, #T, n, regs, "0", "0", p0, p1, p2)           \
    MDL_WGMMA_SS(mdl_wgmma_##T##_n##n##_t, #T, n, regs, "0", "1", p0, p1, p2)       \
    MDL_WGMMA_RS(mdl_wgmma_##T##_rs_n##n, #T, n, regs, "0", p0, p1, p2, p3, p4, p5) \
    MDL_WGMMA_RS(mdl_wgmma_##T##_rs_n##n##_t, #T, n, regs, "1", p0, p1, p2, p3, p4, p5)
#define MDL_WGMMA_BOTH(n, regs, p0, p1, p2, p3, p4, p5) \
    MDL_WGMMA(bf16, n, regs, p0, p1, p2, p3, p4, p5)    \
    MDL_WGMMA(f16, n, regs, p0, p1, p2, p3, p4, p5)
MDL_WGMMA_BOTH(8, 4, 4, 5, 6, 7, 8, 9)
MDL_WGMMA_BOTH(16, 8, 8, 9, 10, 11, 12, 13)
MDL_WGMMA_BOTH(32, 16, 16, 17, 18, 19, 20, 21)
MDL_WGMMA_BOTH(64, 32, 32, 33, 34, 35, 36, 37)
MDL_WGMMA_BOTH(96, 48, 48, 49, 50, 51, 52, 53)
MDL_WGMMA_BOTH(128, 64, 64, 65, 66, 67, 68, 69)
MDL_WGMMA_BOTH(192, 96, 96, 97, 98, 99, 100, 101)
MDL_WGMMA_BOTH(256, 128, 128, 129, 130, 131, 132, 133)

/* .. where the rows of a are next to each other (_ta). */
#define MDL_WGMMA_TA(T, n, regs, p0, p1, p2)                                 \
    MDL_WGMMA_SS(mdl_wgmma_##T##_ta_n##n, #T, n, regs, "1", "0", p0, p1, p2) \
    MDL_WGMMA_SS(mdl_wgmma_##T##_ta_n##n##_t, #T, n, regs, "1", "1", p0, p1, p2)
MDL_WGMMA_TA(bf16, 32, 16, 16, 17, 18)
MDL_WGMMA_TA(bf16, 64, 32, 32, 33, 34)
MDL_WGMMA_TA(bf16, 128, 64, 64, 65, 66)
MDL_WGMMA_TA(bf16, 256, 128, 128, 129, 130)
MDL_WGMMA_TA(f16, 32, 16, 16, 17, 18)
MDL_WGMMA_TA(f16, 64, 32, 32, 33, 34)
MDL_WGMMA_TA(f16, 128, 64, 64, 65, 66)
MDL_WGMMA_TA(f16, 256, 128, 128, 129, 130)

#endif

#endif
