/* mdl_index.h: arithmetic on indices and the arguments of a launch. */
#ifndef MDL_INDEX_H
#define MDL_INDEX_H

MDL_FN int64_t mdl_lo(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

MDL_FN int64_t mdl_hi(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* An index from a tensor, brought into [0, extent). */
MDL_FN int64_t mdl_clamp(int64_t i, int64_t extent)
{
    return i < 0 ? 0 : i >= extent ? extent - 1 : i;
}

/* The table row that owns a task: the last one whose first task is not behind it. */
MDL_FN const MdlRow *mdl_row(const MdlArgs *a, int64_t task)
{
    int64_t lo = 0, hi = a->nrow;
    while (hi - lo > 1) {
        int64_t mid = lo + (hi - lo) / 2;
        if (a->row[mid].task0 <= task)
            lo = mid;
        else
            hi = mid;
    }
    return a->row + lo;
}

MDL_FN double mdl_slot_f64(const MdlArgs *a, int i)
{
    union {
        int64_t i;
        double f;
    } u = {a->block[i]};
    return u.f;
}

#endif
