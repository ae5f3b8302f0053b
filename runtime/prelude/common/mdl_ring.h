/* mdl_ring.h: stages of shared memory that go round between a thread, for which TMA fills them, and warps that
 * read them. Each stage has a barrier that tells that it is full and one that tells that all readers have done
 * with it; everybody walks round on its own and knows by a parity in which round it is. Used by the GPU
 * (sm_90a) and by its emulator. */
#ifndef MDL_RING_H
#define MDL_RING_H

#if !defined(__CUDACC__) || defined(MDL_SM90)

typedef struct MdlRing {
    uint64_t *full, *empty; /* a barrier for each stage */
    int stages, stage, parity;
    int cluster; /* blocks that share what is brought: who reads tells all of them */
} MdlRing;

/* By one thread, before all others look at them: two barriers a stage. readers: warps of all blocks. */
MDL_FN void mdl_ring_begin(uint64_t *bars, int stages, int readers)
{
    for (int i = 0; i < stages; i++) {
        mdl_mbar_init(bars + i, 1);
        mdl_mbar_init(bars + stages + i, readers);
    }
    mdl_mbar_fence_init();
}

MDL_FN MdlRing mdl_ring(uint64_t *bars, int stages, int cluster)
{
    MdlRing r;
    r.full = bars;
    r.empty = bars + stages;
    r.stages = stages;
    r.cluster = cluster;
    r.stage = r.parity = 0;
    return r;
}

MDL_FN void mdl_ring_next(MdlRing *r)
{
    r->stage++;
    if (r->stage == r->stages) {
        r->stage = 0;
        r->parity ^= 1;
    }
}

/* The stage may be written: so many bytes will be. */
MDL_FN void mdl_ring_fill(const MdlRing *r, int bytes)
{
    mdl_mbar_wait(r->empty + r->stage, r->parity ^ 1);
    mdl_mbar_expect(r->full + r->stage, bytes);
}

/* The stage may be read. */
MDL_FN void mdl_ring_read(const MdlRing *r)
{
    mdl_mbar_wait(r->full + r->stage, r->parity);
}

/* This warp has read the stage before the one at hand. */
MDL_FN void mdl_ring_give(const MdlRing *r)
{
    int before = r->stage ? r->stage - 1 : r->stages - 1;
    mdl_syncwarp();
    if (r->cluster == 1 && mdl_lane() == 0)
        mdl_mbar_arrive(r->empty + before);
    if (r->cluster > 1 && mdl_lane() < r->cluster)
        mdl_mbar_arrive_in(r->empty + before, mdl_lane());
}

/* A part of a warp's sums of wgmma, 16 rows of `groups` x 8, as rows of memory, whose groups are exchanged in each
 * row, so that lanes meet in no bank: group g of a row lies where mdl_group_place says. */
MDL_FN int mdl_group_place(int row, int g, int groups)
{
    return (row * groups + (g ^ (row & (groups - 1)))) * 8;
}

MDL_FN void mdl_groups_store(float *rows, const float *acc, int groups)
{
    int row = mdl_lane() / 4, at = mdl_lane() % 4 * 2;
    MDL_UNROLL
    for (int g = 0; g < groups; g++) {
        const float *c = acc + g * 4;
        mdl_store2_f32(rows + mdl_group_place(row, g, groups) + at, c[0], c[1]);
        mdl_store2_f32(rows + mdl_group_place(row + 8, g, groups) + at, c[2], c[3]);
    }
}

#endif

#endif
