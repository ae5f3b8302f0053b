/* mdl_memory.h: loads, stores, gathers and scatters of every element type. u8, i8 and i16 hold ints, bool
 * holds a mask as 0/1, f16, bf16, f8e4m3 and f8e5m2 hold floats. */
#ifndef MDL_MEMORY_H
#define MDL_MEMORY_H

#define MDL_NARROW_ALL(name, T, V)         \
    MDL_FN V mdl_load_##name(const T *p)   \
    {                                      \
        return mdl_loadn_##name(p, MDL_W); \
    }
#define MDL_NARROW(name, T, V, lane, GET, PUT)          \
    MDL_FN V mdl_loadn_##name(const T *p, int64_t n)    \
    {                                                   \
        MdlV v = {{0}};                                 \
        MDL_FIRST(i, n)                                 \
        v.lane[i] = GET(p[i]);                          \
        return (V)v.i;                                  \
    }                                                   \
    MDL_FN void mdl_storen_##name(T *p, V x, int64_t n) \
    {                                                   \
        MdlV v;                                         \
        v.i = (vi)x;                                    \
        MDL_FIRST(i, n)                                 \
        p[i] = (T)PUT(v.lane[i]);                       \
    }                                                   \
    MDL_FN void mdl_store_##name(T *p, V x)             \
    {                                                   \
        mdl_storen_##name(p, x, MDL_W);                 \
    }
MDL_NARROW(bool, uint8_t, vi, is, -, -)
MDL_NARROW(u8, uint8_t, vi, is, +, +)
MDL_NARROW(i8, int8_t, vi, is, +, +)
MDL_NARROW(i16, int16_t, vi, is, +, +)
MDL_NARROW(bf16, uint16_t, vf, fs, mdl_widen_bf16, mdl_narrow_bf16)
MDL_NARROW(f16, uint16_t, vf, fs, mdl_widen_f16, mdl_narrow_f16)
MDL_NARROW(f8e4m3, uint8_t, vf, fs, mdl_widen_f8e4m3, mdl_narrow_f8e4m3)
MDL_NARROW(f8e5m2, uint8_t, vf, fs, mdl_widen_f8e5m2, mdl_narrow_f8e5m2)
MDL_NARROW_ALL(bool, uint8_t, vi)
#ifndef MDL_OWN_BYTES
MDL_NARROW_ALL(u8, uint8_t, vi)
MDL_NARROW_ALL(i8, int8_t, vi)
#endif
MDL_NARROW_ALL(i16, int16_t, vi)
MDL_NARROW_ALL(bf16, uint16_t, vf)
MDL_NARROW_ALL(f16, uint16_t, vf)
MDL_NARROW_ALL(f8e4m3, uint8_t, vf)
MDL_NARROW_ALL(f8e5m2, uint8_t, vf)

/* Every `stride`-th element. */
#define MDL_GATHER(name, T, V, lane, GET)                             \
    MDL_FN V mdl_gather_##name(const T *p, int64_t stride, int64_t n) \
    {                                                                 \
        MdlV v = {{0}};                                               \
        MDL_FIRST(i, n)                                               \
        v.lane[i] = GET(p[i * stride]);                               \
        return (V)v.i;                                                \
    }
#define MDL_SCATTER(name, T, V, lane, PUT)                               \
    MDL_FN void mdl_scatter_##name(T *p, int64_t stride, V x, int64_t n) \
    {                                                                    \
        MdlV v;                                                          \
        v.i = (vi)x;                                                     \
        MDL_FIRST(i, n)                                                  \
        p[i * stride] = (T)PUT(v.lane[i]);                               \
    }
#define MDL_STRIDED(name, T, V, lane, GET, PUT) \
    MDL_GATHER(name, T, V, lane, GET)           \
    MDL_SCATTER(name, T, V, lane, PUT)
MDL_STRIDED(f32, float, vf, fs, +, +)
MDL_STRIDED(i32, int32_t, vi, is, +, +)
MDL_STRIDED(bool, uint8_t, vi, is, -, -)
MDL_STRIDED(u8, uint8_t, vi, is, +, +)
MDL_STRIDED(i8, int8_t, vi, is, +, +)
MDL_STRIDED(i16, int16_t, vi, is, +, +)
MDL_STRIDED(bf16, uint16_t, vf, fs, mdl_widen_bf16, mdl_narrow_bf16)
MDL_STRIDED(f16, uint16_t, vf, fs, mdl_widen_f16, mdl_narrow_f16)
MDL_STRIDED(f8e4m3, uint8_t, vf, fs, mdl_widen_f8e4m3, mdl_narrow_f8e4m3)
MDL_STRIDED(f8e5m2, uint8_t, vf, fs, mdl_widen_f8e5m2, mdl_narrow_f8e5m2)

/* Element at[i] of p in the lanes of a mask, 0 in the others: those are not read. loadm: of neighbours. */
#define MDL_PICK(name, T, V, lane, GET)                  \
    MDL_FN V mdl_pick_##name(const T *p, vi at, vi mask) \
    {                                                    \
        MdlV v = {{0}};                                  \
        MDL_LANES(i)                                     \
        if (mask[i])                                     \
            v.lane[i] = GET(p[at[i]]);                   \
        return (V)v.i;                                   \
    }
#define MDL_LOADM(name, T, V)                           \
    MDL_FN V mdl_loadm_##name(const T *p, vi mask)      \
    {                                                   \
        return mdl_pick_##name(p, mdl_lane_vi(), mask); \
    }
#ifndef MDL_OWN_PICK_F32
MDL_PICK(f32, float, vf, fs, +)
MDL_LOADM(f32, float, vf)
#endif
MDL_FN vi mdl_pick_i32(const int32_t *p, vi at, vi mask)
{
    return (vi)mdl_pick_f32((const float *)p, at, mask);
}

MDL_FN vi mdl_loadm_i32(const int32_t *p, vi mask)
{
    return (vi)mdl_loadm_f32((const float *)p, mask);
}
#define MDL_PICKS(name, T, V, lane, GET) \
    MDL_PICK(name, T, V, lane, GET)      \
    MDL_LOADM(name, T, V)
MDL_PICKS(bool, uint8_t, vi, is, -)
MDL_PICKS(u8, uint8_t, vi, is, +)
MDL_PICKS(i8, int8_t, vi, is, +)
MDL_PICKS(i16, int16_t, vi, is, +)
MDL_PICKS(bf16, uint16_t, vf, fs, mdl_widen_bf16)
MDL_PICKS(f16, uint16_t, vf, fs, mdl_widen_f16)
MDL_PICKS(f8e4m3, uint8_t, vf, fs, mdl_widen_f8e4m3)
MDL_PICKS(f8e5m2, uint8_t, vf, fs, mdl_widen_f8e5m2)

/* Each element n times. */
MDL_FN vi mdl_repeat_i32(const int32_t *p, int n)
{
    vi x = mdl_set1_vi(p[0]);
    for (int i = 1; i * n < MDL_W; i++)
        x = mdl_select_vi(mdl_lane_vi() < i * n, x, mdl_set1_vi(p[i]));
    return x;
}

/* At an address that is a multiple of the vector's size in memory. */
#ifndef MDL_MUST_BE_ALIGNED /* a device that cannot do without may look */
#define MDL_MUST_BE_ALIGNED(p, bytes) ((void)0)
#endif
#ifndef MDL_OWN_ALIGNED
#define MDL_ALIGNED(name, T, V)                            \
    MDL_FN V mdl_loada_##name(const T *p)                  \
    {                                                      \
        MDL_MUST_BE_ALIGNED(p, MDL_W *(int64_t)sizeof(T)); \
        return mdl_load_##name(p);                         \
    }                                                      \
    MDL_FN void mdl_storea_##name(T *p, V x)               \
    {                                                      \
        MDL_MUST_BE_ALIGNED(p, MDL_W *(int64_t)sizeof(T)); \
        mdl_store_##name(p, x);                            \
    }
MDL_ALIGNED(f32, float, vf)
MDL_ALIGNED(i32, int32_t, vi)
MDL_ALIGNED(bool, uint8_t, vi)
MDL_ALIGNED(u8, uint8_t, vi)
MDL_ALIGNED(i8, int8_t, vi)
MDL_ALIGNED(i16, int16_t, vi)
MDL_ALIGNED(bf16, uint16_t, vf)
MDL_ALIGNED(f16, uint16_t, vf)
MDL_ALIGNED(f8e4m3, uint8_t, vf)
MDL_ALIGNED(f8e5m2, uint8_t, vf)
#endif

#endif
