/* mdl_bins.h: a warp that sorts a list of bins, 32 of which it owns, without atomics and in one order: it walks
 * the list 32 entries at a time, first to count and then to say where each entry goes. All lanes take part.
 *
 * Of each lane there are two numbers: what is in its own bin (later: the next place in it), and how many of the entries
 * that it has seen are in the bins before the warp's. `at` is an entry's bin less the warp's first; a lane without entry
 * has INT32_MAX. Mostly none of 32 entries is in these bins: that takes one vote. */
#ifndef MDL_BINS_H
#define MDL_BINS_H

enum { MDL_BINS = 32 };

/* How many lanes before this one have their bit set. */
MDL_FN int mdl_bits_before(uint32_t lanes)
{
    return mdl_bits(lanes & ((UINT32_C(1) << mdl_lane()) - 1));
}

/* The bits of all lanes' bins: of lane i the i-th bit, one word for each bit of a bin. */
typedef struct MdlBins {
    uint32_t valid, bit[5];
} MdlBins;

MDL_FN int mdl_bins_here(int at)
{
    return (uint32_t)at < MDL_BINS;
}

MDL_FN MdlBins mdl_bins_of(int at)
{
    MdlBins b;
    b.valid = mdl_ballot(mdl_bins_here(at));
    MDL_UNROLL
    for (int i = 0; i < 5; i++)
        b.bit[i] = mdl_ballot((uint32_t)at >> i & 1);
    return b;
}

/* The lanes whose entries are in this bin, however many bins there are among them (Ashkiani et al., GPU
 * Multisplit, 2016). */
MDL_FN uint32_t mdl_bins_same(const MdlBins *b, int bin)
{
    uint32_t same = b->valid;
    MDL_UNROLL
    for (int i = 0; i < 5; i++)
        same &= bin >> i & 1 ? b->bit[i] : ~b->bit[i];
    return same;
}

MDL_FN void mdl_bins_count(int32_t *state, int at)
{
    state[1] += (int)((uint32_t)at >> 31);
    if (mdl_any(mdl_bins_here(at))) {
        MdlBins b = mdl_bins_of(at);
        state[0] += mdl_bits(mdl_bins_same(&b, mdl_lane()));
    }
}

/* Counts become the places at which bins begin. */
MDL_FN void mdl_bins_begin(int32_t *state)
{
    int32_t sum = state[0];
    MDL_UNROLL
    for (int h = 1; h < MDL_BINS; h *= 2)
        state[1] += mdl_shfl_xor_i32(state[1], h);
    MDL_UNROLL
    for (int h = 1; h < MDL_BINS; h *= 2) {
        int32_t before = mdl_shfl_up_i32(sum, h);
        sum += mdl_lane() >= h ? before : 0;
    }
    state[0] = state[1] + sum - state[0];
}

/* The place of this lane's entry, behind those of the same bin before it; -1: it is in none of these bins. */
MDL_FN int mdl_bins_place(int32_t *state, int at)
{
    if (!mdl_any(mdl_bins_here(at)))
        return -1;
    MdlBins b = mdl_bins_of(at);
    int bin = at & (MDL_BINS - 1);
    int place = mdl_shfl_i32(state[0], bin) + mdl_bits_before(mdl_bins_same(&b, bin));
    state[0] += mdl_bits(mdl_bins_same(&b, mdl_lane()));
    return b.valid >> mdl_lane() & 1 ? place : -1;
}

#endif
