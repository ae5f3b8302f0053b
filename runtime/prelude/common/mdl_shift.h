/* mdl_shift.h: lanes of a vector to lanes behind them, as sums along lanes need it. For kernels of a GPU. */
#ifndef MDL_SHIFT_H
#define MDL_SHIFT_H

/* Lane i gets what lane i - places has; lanes before that get `first`. */
MDL_FN vf mdl_shift_vf(vf x, int places, float first)
{
    MdlV from, to;
    from.f = x;
    MDL_LANES(i)
    to.fs[i] = i < places ? first : from.fs[(i - places) & (MDL_W - 1)];
    return to.f;
}

MDL_FN vi mdl_shift_vi(vi x, int places, int32_t first)
{
    MdlV from, to;
    from.i = x;
    MDL_LANES(i)
    to.is[i] = i < places ? first : from.is[(i - places) & (MDL_W - 1)];
    return to.i;
}

MDL_FN float mdl_last_vf(vf x)
{
    return x[MDL_W - 1];
}

MDL_FN int32_t mdl_last_vi(vi x)
{
    return x[MDL_W - 1];
}

#endif
