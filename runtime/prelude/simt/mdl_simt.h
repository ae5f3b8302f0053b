/* mdl_simt.h: threads, warps, blocks and the units beside them, as calls into the emulator. */
#ifndef MDL_SIMT_H
#define MDL_SIMT_H

#include "mdl_engine.h"

/* Called by the emulator before a launch. */
__attribute__((visibility("default"), no_sanitize("thread"))) void mdl_engine_enter(MdlEngine *e);
void mdl_engine_enter(MdlEngine *e)
{
    mdl_engine = e;
}

/* ---- coordinates and memory ---- */

MDL_SIMT_FN int mdl_block(void)
{
    return mdl_engine->block;
}

MDL_SIMT_FN int mdl_blocks(void)
{
    return mdl_engine->blocks;
}

MDL_SIMT_FN int mdl_thread(void)
{
    return mdl_engine->thread - mdl_engine->first;
}

MDL_SIMT_FN int mdl_lane(void)
{
    return mdl_engine->thread & 31;
}

MDL_SIMT_FN int mdl_lane_again(void)
{
    return mdl_lane();
}

/* n words to a multiple of their size or of 16 bytes. */
MDL_SIMT_FN void mdl_put_words(void *p, const uint32_t *w, int n)
{
    MDL_MUST_BE_ALIGNED(p, n < 4 ? n * 4 : 16);
    for (int i = 0; i < n; i++)
        ((uint32_t *)p)[i] = w[i];
}

MDL_SIMT_FN int mdl_warp(void)
{
    return (mdl_engine->thread - mdl_engine->first) >> 5;
}

MDL_SIMT_FN unsigned char *mdl_shared(void)
{
    return mdl_engine->shared;
}
#define MDL_SHARED(T, offset) ((T *)(void *)(mdl_shared() + (offset)))

/* ---- barriers and fences ---- */

MDL_SIMT_FN void mdl_barrier_at(int id, int threads, int line)
{
    mdl_engine->barrier(mdl_engine, id, threads, line);
}
#define mdl_syncthreads()        mdl_barrier_at(0, 0, __LINE__)
#define mdl_barrier(id, threads) mdl_barrier_at((id), (threads), __LINE__)

MDL_SIMT_FN void mdl_syncwarp_at(int line)
{
    mdl_engine->syncwarp(mdl_engine, line);
}
#define mdl_syncwarp() mdl_syncwarp_at(__LINE__)

MDL_SIMT_FN void mdl_threadfence(void)
{
    mdl_engine->threadfence(mdl_engine);
}

MDL_SIMT_FN int32_t mdl_atomic_add_at(int32_t *p, int32_t v, int line)
{
    return mdl_engine->atomic_add(mdl_engine, p, v, line);
}
#define mdl_atomic_add_i32(p, v) mdl_atomic_add_at((p), (v), __LINE__)

MDL_SIMT_FN void mdl_turn_await_at(const int32_t *turn, int32_t passed, int line)
{
    mdl_engine->turn_await(mdl_engine, turn, passed, line);
}
#define mdl_turn_await(turn, passed) mdl_turn_await_at((turn), (passed), __LINE__)

MDL_SIMT_FN void mdl_turn_pass_at(int32_t *turn, int line)
{
    mdl_engine->turn_pass(mdl_engine, turn, line);
}
#define mdl_turn_pass(turn) mdl_turn_pass_at((turn), __LINE__)

/* ---- grids: waits for the launch before this one; lets the next one begin, which here is always later ---- */

MDL_SIMT_FN void mdl_grid_wait(void)
{
    mdl_engine->grid_wait(mdl_engine);
}

MDL_FN void mdl_grid_launch(void)
{
}

/* ---- lanes of a warp ---- */

#define MDL_SHUFFLE(suffix, T)                                                \
    MDL_SIMT_FN T mdl_shuffle_##suffix(MdlLanesOp op, T x, int arg, int line) \
    {                                                                         \
        MdlLanes l = {op, &x, (int)sizeof(T), arg};                           \
        mdl_engine->lanes(mdl_engine, &l, line);                              \
        return x;                                                             \
    }
MDL_SHUFFLE(f32, float)
MDL_SHUFFLE(f64, double)
MDL_SHUFFLE(i32, int32_t)
MDL_SHUFFLE(i64, int64_t)
MDL_SHUFFLE(vf, vf)
MDL_SHUFFLE(vi, vi)
#undef MDL_SHUFFLE

#define mdl_shfl_xor_f32(x, mask)   mdl_shuffle_f32(MDL_LANES_XOR, (x), (mask), __LINE__)
#define mdl_shfl_xor_f64(x, mask)   mdl_shuffle_f64(MDL_LANES_XOR, (x), (mask), __LINE__)
#define mdl_shfl_xor_i32(x, mask)   mdl_shuffle_i32(MDL_LANES_XOR, (x), (mask), __LINE__)
#define mdl_shfl_xor_i64(x, mask)   mdl_shuffle_i64(MDL_LANES_XOR, (x), (mask), __LINE__)
#define mdl_shfl_xor_vf(x, mask)    mdl_shuffle_vf(MDL_LANES_XOR, (x), (mask), __LINE__)
#define mdl_shfl_xor_vi(x, mask)    mdl_shuffle_vi(MDL_LANES_XOR, (x), (mask), __LINE__)
#define mdl_shfl_f32(x, lane)       mdl_shuffle_f32(MDL_LANES_AT, (x), (lane), __LINE__)
#define mdl_shfl_f64(x, lane)       mdl_shuffle_f64(MDL_LANES_AT, (x), (lane), __LINE__)
#define mdl_shfl_i32(x, lane)       mdl_shuffle_i32(MDL_LANES_AT, (x), (lane), __LINE__)
#define mdl_shfl_i64(x, lane)       mdl_shuffle_i64(MDL_LANES_AT, (x), (lane), __LINE__)
#define mdl_shfl_up_f32(x, delta)   mdl_shuffle_f32(MDL_LANES_UP, (x), (delta), __LINE__)
#define mdl_shfl_up_f64(x, delta)   mdl_shuffle_f64(MDL_LANES_UP, (x), (delta), __LINE__)
#define mdl_shfl_up_i32(x, delta)   mdl_shuffle_i32(MDL_LANES_UP, (x), (delta), __LINE__)
#define mdl_shfl_up_i64(x, delta)   mdl_shuffle_i64(MDL_LANES_UP, (x), (delta), __LINE__)
#define mdl_shfl_down_f32(x, delta) mdl_shuffle_f32(MDL_LANES_DOWN, (x), (delta), __LINE__)
#define mdl_shfl_down_f64(x, delta) mdl_shuffle_f64(MDL_LANES_DOWN, (x), (delta), __LINE__)
#define mdl_shfl_down_i32(x, delta) mdl_shuffle_i32(MDL_LANES_DOWN, (x), (delta), __LINE__)
#define mdl_shfl_down_i64(x, delta) mdl_shuffle_i64(MDL_LANES_DOWN, (x), (delta), __LINE__)

MDL_FN int32_t mdl_warp_min_i32(int32_t x)
{
    for (int h = 16; h > 0; h /= 2) {
        int32_t other = mdl_shfl_xor_i32(x, h);
        x = other < x ? other : x;
    }
    return x;
}

MDL_SIMT_FN uint32_t mdl_ballot_at(int p, int line)
{
    uint32_t bits = p != 0;
    MdlLanes l = {MDL_LANES_BALLOT, &bits, 4, 0};
    mdl_engine->lanes(mdl_engine, &l, line);
    return bits;
}
#define mdl_ballot(p) mdl_ballot_at((p), __LINE__)
#define mdl_any(p)    (mdl_ballot_at((p), __LINE__) != 0)
#define mdl_all(p)    (mdl_ballot_at(!(p), __LINE__) == 0)

/* How many bits are set. */
MDL_FN int mdl_bits(uint32_t x)
{
    return __builtin_popcount(x);
}

/* ---- asynchronous copies ---- */

MDL_SIMT_FN void mdl_copy_at(void *smem, const void *gmem, int size, int valid, int line)
{
    MdlCopy c = {smem, gmem, size, valid};
    mdl_engine->copy(mdl_engine, &c, line);
}
#define mdl_cp_async16(smem, gmem, bytes) mdl_copy_at((smem), (gmem), 16, (bytes), __LINE__)
#define mdl_cp_async8(smem, gmem, bytes)  mdl_copy_at((smem), (gmem), 8, (bytes), __LINE__)
#define mdl_cp_async4(smem, gmem, bytes)  mdl_copy_at((smem), (gmem), 4, (bytes), __LINE__)

MDL_SIMT_FN void mdl_cp_commit(void)
{
    mdl_engine->copy_commit(mdl_engine);
}

MDL_SIMT_FN void mdl_cp_wait_at(int groups, int line)
{
    mdl_engine->copy_wait(mdl_engine, groups, line);
}
#define mdl_cp_wait(groups) mdl_cp_wait_at((groups), __LINE__)

/* ---- fragments of a warp ---- */

MDL_SIMT_FN void mdl_ldmatrix_at(uint32_t *r, const void *row, int n, int trans, int line)
{
    MdlMatrices m = {r, row, n, trans};
    mdl_engine->ldmatrix(mdl_engine, &m, line);
}
#define mdl_ldmatrix_x4(r, smem)       mdl_ldmatrix_at((r), (smem), 4, 0, __LINE__)
#define mdl_ldmatrix_x4_trans(r, smem) mdl_ldmatrix_at((r), (smem), 4, 1, __LINE__)
#define mdl_ldmatrix_x2(r, smem)       mdl_ldmatrix_at((r), (smem), 2, 0, __LINE__)
#define mdl_ldmatrix_x2_trans(r, smem) mdl_ldmatrix_at((r), (smem), 2, 1, __LINE__)

MDL_SIMT_FN void mdl_mma_at(MdlMmaType type, float *d, const uint32_t *a, const uint32_t *b,
                            int line)
{
    MdlMma m = {type, d, a, b};
    mdl_engine->mma(mdl_engine, &m, line);
}
#define mdl_mma_bf16(d, a, b) mdl_mma_at(MDL_MMA_BF16, (d), (a), (b), __LINE__)
#define mdl_mma_f16(d, a, b)  mdl_mma_at(MDL_MMA_F16, (d), (a), (b), __LINE__)
#define mdl_mma_tf32(d, a, b) mdl_mma_at(MDL_MMA_TF32, (d), (a), (b), __LINE__)

/* cvt.rna.tf32.f32: ties away from 0; of infinities and NaN all bits stay but those that are cut. */
MDL_FN uint32_t mdl_round_tf32(float x)
{
    uint32_t u;
    __builtin_memcpy(&u, &x, sizeof u);
    uint32_t special = (u & UINT32_C(0x7f800000)) == UINT32_C(0x7f800000);
    if (special && (u & UINT32_C(0x007fffff)))
        return UINT32_C(0x7fffffff);
    return special ? u : (u + UINT32_C(0x1000)) & ~UINT32_C(0x1fff);
}

MDL_FN uint32_t mdl_pack_bf16(float lo, float hi)
{
    return (uint32_t)mdl_narrow_bf16(lo) | (uint32_t)mdl_narrow_bf16(hi) << 16;
}

MDL_FN uint32_t mdl_pack_f16(float lo, float hi)
{
    return (uint32_t)mdl_narrow_f16(lo) | (uint32_t)mdl_narrow_f16(hi) << 16;
}

/* ---- mbarriers and tensor memory access ---- */

MDL_SIMT_FN void mdl_mbar_init_at(uint64_t *bar, int arrivals, int line)
{
    mdl_engine->mbar_init(mdl_engine, bar, arrivals, line);
}
#define mdl_mbar_init(bar, arrivals) mdl_mbar_init_at((bar), (arrivals), __LINE__)

MDL_SIMT_FN void mdl_mbar_fence_init(void)
{
    mdl_engine->mbar_fence(mdl_engine);
}

MDL_SIMT_FN void mdl_mbar_arrive_at(uint64_t *bar, int bytes, int line)
{
    mdl_engine->mbar_arrive(mdl_engine, bar, bytes, line);
}
#define mdl_mbar_arrive(bar)        mdl_mbar_arrive_at((bar), 0, __LINE__)
#define mdl_mbar_expect(bar, bytes) mdl_mbar_arrive_at((bar), (bytes), __LINE__)

MDL_SIMT_FN void mdl_mbar_wait_at(uint64_t *bar, int parity, int line)
{
    mdl_engine->mbar_wait(mdl_engine, bar, parity, line);
}
#define mdl_mbar_wait(bar, parity) mdl_mbar_wait_at((bar), (parity), __LINE__)

MDL_SIMT_FN void mdl_fence_async(void)
{
    mdl_engine->fence_async(mdl_engine);
}

MDL_SIMT_FN void mdl_tma_load_at(const MdlBox *box, int line)
{
    mdl_engine->tma_load(mdl_engine, box, line);
}

MDL_SIMT_FN void mdl_tma_store_at(const MdlBox *box, int line)
{
    mdl_engine->tma_store(mdl_engine, box, line);
}
#define mdl_tma_load_2d(smem, map, bar, x, y) \
    mdl_tma_load_at(&(MdlBox){(smem), (map), (bar), 2, {(x), (y), 0}, 0}, __LINE__)
#define mdl_tma_load_3d(smem, map, bar, x, y, z) \
    mdl_tma_load_at(&(MdlBox){(smem), (map), (bar), 3, {(x), (y), (z)}, 0}, __LINE__)
#define mdl_tma_store_2d(map, smem, x, y) \
    mdl_tma_store_at(&(MdlBox){(void *)(smem), (map), 0, 2, {(x), (y), 0}, 0}, __LINE__)

MDL_SIMT_FN void mdl_tma_commit(void)
{
    mdl_engine->tma_commit(mdl_engine);
}

MDL_SIMT_FN void mdl_tma_wait_at(int groups, int line)
{
    mdl_engine->tma_wait(mdl_engine, groups, line);
}
#define mdl_tma_wait(groups) mdl_tma_wait_at((groups), __LINE__)

MDL_SIMT_FN void mdl_bulk_at(const MdlBulk *bulk, int line)
{
    mdl_engine->bulk(mdl_engine, bulk, line);
}
#define mdl_bulk_store(to, smem, bytes) mdl_bulk_at(&(MdlBulk){(to), (smem), (bytes), 0}, __LINE__)
#define mdl_bulk_add(to, smem, bytes)   mdl_bulk_at(&(MdlBulk){(to), (smem), (bytes), 1}, __LINE__)

MDL_SIMT_FN void mdl_bulk_wait_at(int groups, int line)
{
    mdl_engine->bulk_wait(mdl_engine, groups, line);
}
#define mdl_bulk_wait(groups) mdl_bulk_wait_at((groups), __LINE__)

#define mdl_prefetch_map(map) ((void)(map))

MDL_SIMT_FN void mdl_prefetch_run_at(const void *p, int bytes, int line)
{
    mdl_engine->prefetch(mdl_engine, p, bytes, line);
}
#define mdl_prefetch_run(p, bytes) mdl_prefetch_run_at((p), (bytes), __LINE__)

/* ---- clusters ---- */

#define MDL_CLUSTER(n) (n)

MDL_SIMT_FN int mdl_cluster_rank(void)
{
    return mdl_engine->rank;
}

MDL_SIMT_FN void mdl_cluster_sync_at(int line)
{
    mdl_engine->cluster_sync(mdl_engine, line);
}
#define mdl_cluster_sync() mdl_cluster_sync_at(__LINE__)

MDL_SIMT_FN void mdl_mbar_arrive_in_at(uint64_t *bar, int rank, int line)
{
    mdl_engine->mbar_arrive_in(mdl_engine, bar, rank, line);
}
#define mdl_mbar_arrive_in(bar, rank) mdl_mbar_arrive_in_at((bar), (rank), __LINE__)

#define mdl_tma_share_2d(smem, map, bar, x, y, blocks) \
    mdl_tma_load_at(&(MdlBox){(smem), (map), (bar), 2, {(x), (y), 0}, (blocks)}, __LINE__)
#define mdl_tma_share_3d(smem, map, bar, x, y, z, blocks) \
    mdl_tma_load_at(&(MdlBox){(smem), (map), (bar), 3, {(x), (y), (z)}, (blocks)}, __LINE__)

/* ---- warpgroups ---- */

MDL_SIMT_FN void mdl_wgmma_fence(void)
{
    mdl_engine->wgmma_fence(mdl_engine);
}

MDL_SIMT_FN void mdl_wgmma_commit(void)
{
    mdl_engine->wgmma_commit(mdl_engine);
}

MDL_SIMT_FN void mdl_wgmma_wait_at(int groups, int line)
{
    mdl_engine->wgmma_wait(mdl_engine, groups, line);
}
#define mdl_wgmma_wait(groups) mdl_wgmma_wait_at((groups), __LINE__)

/* Bits 0-13: the address, 16-29: the leading offset, 32-45: the stride, each in units of 16 bytes;
 * 62-63: the swizzle (PTX ISA, matrix descriptor). */
MDL_SIMT_FN uint64_t mdl_wgmma_desc(const void *smem, int leading, int stride, int swizzle)
{
    uint64_t at = (uint64_t)((const unsigned char *)smem - mdl_engine->shared);
    uint64_t mode = swizzle == 128 ? 1 : swizzle == 64 ? 2 : swizzle == 32 ? 3 : 0;
    return (at & 0x3ffff) >> 4 | (uint64_t)(leading >> 4 & 0x3fff) << 16 |
           (uint64_t)(stride >> 4 & 0x3fff) << 32 | mode << 62;
}

MDL_SIMT_FN void mdl_wgmma_at(const MdlWgmma *op, int line)
{
    mdl_engine->wgmma(mdl_engine, op, line);
}
#define MDL_WGMMA_SS(type, n, t, d, a, b, acc) \
    mdl_wgmma_at(&(MdlWgmma){type, n, 0, t, (acc), (d), 0, (a), (b)}, __LINE__)
#define MDL_WGMMA_TS(type, n, t, d, a, b, acc) \
    mdl_wgmma_at(&(MdlWgmma){type, n, 1, t, (acc), (d), 0, (a), (b)}, __LINE__)
#define MDL_WGMMA_RS(type, n, t, d, a4, b, acc) \
    mdl_wgmma_at(&(MdlWgmma){type, n, 0, t, (acc), (d), (a4), 0, (b)}, __LINE__)
#include "mdl_wgmma.h"
#define MDL_SETTLE_F32(x)            ((void)(x))
#define mdl_wgmma_desc_uniform(desc) (desc)

MDL_SIMT_FN void mdl_registers_at(int n, int line)
{
    mdl_engine->registers(mdl_engine, n, line);
}
#define mdl_setmaxnreg_dec(n) mdl_registers_at((n), __LINE__)
#define mdl_setmaxnreg_inc(n) mdl_registers_at((n), __LINE__)

/* Right to the last bit or two, where the machine has a few more; 0 where that has 0. */
MDL_FN float mdl_flush(float x)
{
    return __builtin_fabsf(x) < 0x1p-126f ? x * 0 : x;
}

MDL_FN uint32_t mdl_masked_over(uint32_t x, uint32_t mask, uint32_t over)
{
    return (x & mask) | over;
}

MDL_FN float mdl_exp2_fast(float x)
{
    return mdl_flush(__builtin_exp2f(x));
}

MDL_FN float mdl_rcp_fast(float x)
{
    return mdl_flush(1.0f / mdl_flush(x));
}

MDL_FN float mdl_fast_div_f32(float x, float y)
{
    return x / y;
}

MDL_FN float mdl_sqrt_fast(float x)
{
    return MDL_SQRT_F32(x);
}

MDL_FN float mdl_rsqrt_fast(float x)
{
    return 1.0f / MDL_SQRT_F32(x);
}

MDL_FN float mdl_larger_fast(float x, float y)
{
    return __builtin_fmaxf(x, y);
}

#endif
