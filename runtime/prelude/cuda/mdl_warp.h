/* mdl_warp.h: barriers, exchange within a warp (all 32 lanes take part), atomics, and the order of grids. */
#ifndef MDL_WARP_H
#define MDL_WARP_H

#define MDL_ALL_LANES 0xffffffffu

MDL_FN void mdl_syncthreads(void)
{
    __syncthreads();
}

MDL_FN void mdl_syncwarp(void)
{
    __syncwarp();
}

/* Named barrier 1 .. 15 of n threads, a multiple of 32. */
MDL_FN void mdl_barrier(int id, int n)
{
    asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(n) : "memory");
}

/* What this thread wrote is seen by other blocks before what it writes later. */
MDL_FN void mdl_threadfence(void)
{
    __threadfence();
}

#define MDL_SHUFFLE(suffix, T)                            \
    MDL_FN T mdl_shfl_xor_##suffix(T x, int mask)         \
    {                                                     \
        return __shfl_xor_sync(MDL_ALL_LANES, x, mask);   \
    }                                                     \
    MDL_FN T mdl_shfl_##suffix(T x, int lane)             \
    {                                                     \
        return __shfl_sync(MDL_ALL_LANES, x, lane);       \
    }                                                     \
    MDL_FN T mdl_shfl_up_##suffix(T x, int delta)         \
    {                                                     \
        return __shfl_up_sync(MDL_ALL_LANES, x, delta);   \
    }                                                     \
    MDL_FN T mdl_shfl_down_##suffix(T x, int delta)       \
    {                                                     \
        return __shfl_down_sync(MDL_ALL_LANES, x, delta); \
    }
MDL_SHUFFLE(f32, float)
MDL_SHUFFLE(f64, double)
MDL_SHUFFLE(i32, int32_t)
MDL_SHUFFLE(i64, int64_t)

MDL_FN vf mdl_shfl_xor_vf(vf x, int mask)
{
    MDL_LANES(i)
    x.v[i] = __shfl_xor_sync(MDL_ALL_LANES, x.v[i], mask);
    return x;
}

MDL_FN vi mdl_shfl_xor_vi(vi x, int mask)
{
    MDL_LANES(i)
    x.v[i] = __shfl_xor_sync(MDL_ALL_LANES, x.v[i], mask);
    return x;
}

/* The least of a warp, by one instruction. */
MDL_FN int32_t mdl_warp_min_i32(int32_t x)
{
    return __reduce_min_sync(MDL_ALL_LANES, x);
}

MDL_FN int mdl_any(int p)
{
    return __any_sync(MDL_ALL_LANES, p);
}

MDL_FN int mdl_all(int p)
{
    return __all_sync(MDL_ALL_LANES, p);
}

MDL_FN uint32_t mdl_ballot(int p)
{
    return __ballot_sync(MDL_ALL_LANES, p);
}

/* How many bits are set. */
MDL_FN int mdl_bits(uint32_t x)
{
    return __popc(x);
}

/* Gives what was there. For counters only: sums of floats would depend on the order of blocks. */
MDL_FN int32_t mdl_atomic_add_i32(int32_t *p, int32_t v)
{
    return atomicAdd(p, v);
}

/* ---- turns: blocks that do one after the other what would depend on their order ---- */

/* Until so many have passed the turn on; what they wrote before is seen behind this. By one thread. */
MDL_FN void mdl_turn_await(const int32_t *turn, int32_t passed)
{
    int32_t now;
    do
        asm volatile("ld.acquire.gpu.global.b32 %0, [%1];" : "=r"(now) : "l"(turn) : "memory");
    while (now != passed);
}

/* Passes it on, behind all that this thread has written or seen written. */
MDL_FN void mdl_turn_pass(int32_t *turn)
{
    asm volatile("red.release.gpu.global.add.s32 [%0], 1;" ::"l"(turn) : "memory");
}

/* ---- grids: waits for the launch before this one; lets the next one begin ---- */

#ifdef MDL_SM90
MDL_FN void mdl_grid_wait(void)
{
    asm volatile("griddepcontrol.wait;" ::: "memory");
}

MDL_FN void mdl_grid_launch(void)
{
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
}
#else
MDL_FN void mdl_grid_wait(void)
{
}

MDL_FN void mdl_grid_launch(void)
{
}
#endif

#endif
