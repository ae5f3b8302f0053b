/* mdl_copy.h: memory that will be read, and copies that run beside the threads: cp.async by each thread, TMA by one for all, and the
 * barriers in shared memory that count threads and bytes (PTX ISA 9.7.9.25, 9.7.9.27, 9.7.13.15). */
#ifndef MDL_COPY_H
#define MDL_COPY_H

/* ---- memory that will be read ---- */

MDL_FN void mdl_prefetch(const void *p)
{
    asm volatile("prefetch.global.L2 [%0];" ::"l"(__cvta_generic_to_global(p)));
}

/* Lines that are written whole are not read before. */
MDL_FN void mdl_prefetch_to_write(const void *p)
{
    (void)p;
}

/* ---- cp.async: `bytes` of n are read, the others become 0 ---- */

MDL_FN void mdl_cp_async16(void *smem, const void *gmem, int bytes)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(mdl_shared_at(smem)),
                 "l"(__cvta_generic_to_global(gmem)), "r"(bytes)
                 : "memory");
}

MDL_FN void mdl_cp_async8(void *smem, const void *gmem, int bytes)
{
    asm volatile("cp.async.ca.shared.global [%0], [%1], 8, %2;" ::"r"(mdl_shared_at(smem)),
                 "l"(__cvta_generic_to_global(gmem)), "r"(bytes)
                 : "memory");
}

MDL_FN void mdl_cp_async4(void *smem, const void *gmem, int bytes)
{
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(mdl_shared_at(smem)),
                 "l"(__cvta_generic_to_global(gmem)), "r"(bytes)
                 : "memory");
}

MDL_FN void mdl_cp_commit(void)
{
    asm volatile("cp.async.commit_group;" ::: "memory");
}

/* Until at most n groups of this thread are on their way. */
#define mdl_cp_wait(n) asm volatile("cp.async.wait_group %0;" ::"n"(n) : "memory")

/* ---- barriers in shared memory ---- */

MDL_FN void mdl_mbar_init(uint64_t *bar, int arrivals)
{
    asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(mdl_shared_at(bar)), "r"(arrivals)
                 : "memory");
}

MDL_FN void mdl_mbar_arrive(uint64_t *bar)
{
    asm volatile(
        "{ .reg .b64 state;\n mbarrier.arrive.shared.b64 state, [%0]; }" ::"r"(mdl_shared_at(bar))
        : "memory");
}

/* Until the phase of this parity is over. */
MDL_FN void mdl_mbar_wait(uint64_t *bar, int parity)
{
#ifdef MDL_SM90
#define MDL_MBAR_ASK "mbarrier.try_wait.parity.shared::cta.b64"
#else
#define MDL_MBAR_ASK "mbarrier.test_wait.parity.shared.b64"
#endif
    asm volatile("{\n"
                 ".reg .pred over;\n"
                 "again:\n" MDL_MBAR_ASK " over, [%0], %1;\n"
                 "@over bra done;\n"
                 "bra again;\n"
                 "done:\n"
                 "}" ::"r"(mdl_shared_at(bar)),
                 "r"(parity)
                 : "memory");
}

#ifdef MDL_SM90
/* New barriers become visible to TMA. */
MDL_FN void mdl_mbar_fence_init(void)
{
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

/* Arrives, and says that `bytes` will be copied before the phase is over. */
MDL_FN void mdl_mbar_expect(uint64_t *bar, int bytes)
{
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(mdl_shared_at(bar)),
                 "r"(bytes)
                 : "memory");
}

/* What threads wrote to shared memory is seen by TMA and wgmma afterwards. */
MDL_FN void mdl_fence_async(void)
{
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

/* A run of memory, so many bytes of it, will be read: both are multiples of 16. It comes to the second-level cache,
 * which all of the device's memory is seen through, so what is read there is never old. */
MDL_FN void mdl_prefetch_run(const void *p, int bytes)
{
    asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(__cvta_generic_to_global(p)),
                 "r"(bytes)
                 : "memory");
}

/* ---- TMA: boxes of tensors that a map describes; x is the innermost coordinate ---- */

MDL_FN void mdl_prefetch_map(const MdlTensorMap *map)
{
    asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}

MDL_FN void mdl_tma_load_2d(void *smem, const MdlTensorMap *map, uint64_t *bar, int x, int y)
{
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes "
                 "[%0], [%1, {%3, %4}], [%2];" ::"r"(mdl_shared_at(smem)),
                 "l"(map), "r"(mdl_shared_at(bar)), "r"(x), "r"(y)
                 : "memory");
}

MDL_FN void mdl_tma_load_3d(void *smem, const MdlTensorMap *map, uint64_t *bar, int x, int y, int z)
{
    asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes "
                 "[%0], [%1, {%3, %4, %5}], [%2];" ::"r"(mdl_shared_at(smem)),
                 "l"(map), "r"(mdl_shared_at(bar)), "r"(x), "r"(y), "r"(z)
                 : "memory");
}

MDL_FN void mdl_tma_store_2d(const MdlTensorMap *map, const void *smem, int x, int y)
{
    asm volatile(
        "cp.async.bulk.tensor.2d.global.shared::cta.bulk_group [%0, {%2, %3}], [%1];" ::"l"(map),
        "r"(mdl_shared_at(smem)), "r"(x), "r"(y)
        : "memory");
}

/* Floats of shared memory, a multiple of 16 bytes at such places, go to memory, or are added to what is there. */
MDL_FN void mdl_bulk_store(float *to, const void *smem, int bytes)
{
    asm volatile("cp.async.bulk.global.shared::cta.bulk_group [%0], [%1], %2;" ::"l"(
                     __cvta_generic_to_global(to)),
                 "r"(mdl_shared_at(smem)), "r"(bytes)
                 : "memory");
}

MDL_FN void mdl_bulk_add(float *to, const void *smem, int bytes)
{
    asm volatile("cp.reduce.async.bulk.global.shared::cta.bulk_group.add.f32 [%0], [%1], %2;" ::"l"(
                     __cvta_generic_to_global(to)),
                 "r"(mdl_shared_at(smem)), "r"(bytes)
                 : "memory");
}

MDL_FN void mdl_tma_commit(void)
{
    asm volatile("cp.async.bulk.commit_group;" ::: "memory");
}

/* ---- clusters: blocks side by side reach each other's shared memory ---- */

/* How many blocks work together in a kernel for clusters of n. */
#define MDL_CLUSTER(n) (n)

MDL_FN int mdl_cluster_rank(void)
{
    int rank;
    asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return rank;
}

/* All threads of the cluster have come here. */
MDL_FN void mdl_cluster_sync(void)
{
    asm volatile("barrier.cluster.arrive.release;\n"
                 "barrier.cluster.wait.acquire;" ::
                     : "memory");
}

/* At the barrier in the same place of another block. */
MDL_FN void mdl_mbar_arrive_in(uint64_t *bar, int rank)
{
    asm volatile("{ .reg .b32 there;\n"
                 "mapa.shared::cluster.u32 there, %0, %1;\n"
                 "mbarrier.arrive.shared::cluster.b64 _, [there]; }" ::"r"(mdl_shared_at(bar)),
                 "r"(rank)
                 : "memory");
}

/* To the same place of all blocks whose bit is set, whose barriers there count the bytes. */
MDL_FN void mdl_tma_share_2d(void *smem, const MdlTensorMap *map, uint64_t *bar, int x, int y,
                             int ranks)
{
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes"
                 ".multicast::cluster [%0], [%1, {%3, %4}], [%2], %5;" ::"r"(mdl_shared_at(smem)),
                 "l"(map), "r"(mdl_shared_at(bar)), "r"(x), "r"(y), "h"((uint16_t)ranks)
                 : "memory");
}

MDL_FN void mdl_tma_share_3d(void *smem, const MdlTensorMap *map, uint64_t *bar, int x, int y,
                             int z, int ranks)
{
    asm volatile(
        "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes"
        ".multicast::cluster [%0], [%1, {%3, %4, %5}], [%2], %6;" ::"r"(mdl_shared_at(smem)),
        "l"(map), "r"(mdl_shared_at(bar)), "r"(x), "r"(y), "r"(z), "h"((uint16_t)ranks)
        : "memory");
}

/* Until at most n groups of stores of this thread still read shared memory. */
#define mdl_tma_wait(n) asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(n) : "memory")
/* .. have not written all. */
#define mdl_bulk_wait(n) asm volatile("cp.async.bulk.wait_group %0;" ::"n"(n) : "memory")
#endif

#endif
