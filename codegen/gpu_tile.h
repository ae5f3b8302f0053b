/* gpu_tile.h: a tile of sums of products that a block of threads of a GPU computes, for all kernels that need
 * one: what is multiplied and where the tile lies is said by nodes and indices, what becomes of the sums by
 * the kernel. gpu_tile.c tells the idea; private to codegen. */
#ifndef MDL_GPU_TILE_H
#define MDL_GPU_TILE_H

#include "gemm.h"

/* How an operand of f32 is copied. */
typedef struct FloatCopy {
    bool wide;                    /* 16 bytes at once, along the rows */
    const Dim *by_row, *by_depth; /* elements between neighbours in memory */
    const KExpr *row_in, *k_in;   /* where this thread begins in the tile */
    const KExpr *rows_left;       /* rows that there are from there on */
    const char *from, *bring;     /* names: its first element in memory, its MdlBring */
} FloatCopy;

/* An operand of the tile. */
typedef struct Part {
    GemmSide *side;
    int64_t rows; /* of the tile */
    bool along;   /* runs, in memory and in the tile, go along the depth; else along the rows */
    bool async;   /* copied as it lies */
    bool lent;    /* the dot before has the same */
    int64_t at;   /* its first byte in a stage */
    const KExpr *first; /* row of the matrix */
    uint32_t map;       /* of gpu_ring.c: what copies it */
    bool stacked;       /* .. and has batch members, .. */
    int64_t piece;      /* .. or > 0: pieces of so many rows, that lie apart */
    FloatCopy copy;     /* of gpu_float.c */
    bool tf32;          /* .. for tensor cores */
} Part;

typedef struct TileDot {
    Gemm *g;
    Part a, b;
    uint32_t acc;     /* sums of this thread */
    int64_t acc0;     /* the first of them there */
    const char *tile; /* name of its MdlTile */
} TileDot;

/* What blocks of one set do. */
typedef struct TileSet {
    const GemmSet *set;
    TileDot dot[PRODUCTS_TOGETHER];
    uint32_t n, nsum; /* dots; sums that are kept: of each, or one of all */
    DType operand;    /* DT_BF16, DT_F16; DT_F32: multiply-adds .. */
    bool tf32;        /* .. or tensor cores, which round */
    bool
        groups; /* warpgroups multiply what lies in lines of 128 bytes, while the next stage comes */
    int64_t bm, bn, bk, stages, wm, wn, pitch;
    int64_t threads, sums; /* of a block; of a thread, for one dot */
    int64_t stage_bytes, row_floats;
    /* Warpgroups multiply one left operand and all right ones, which lie behind each other, as one product. */
    const char *joined; /* name of its MdlTile */
    bool joins;
    bool async, computed; /* some operand is copied; some is computed on the way */
    uint32_t tiles, rows; /* shared: the ring; the sums as rows, in the same place */
    const KExpr *thread, *m0, *n0;
    /* Rows of the left operand, and steps of depth, that there are; NULL: as many as the extents say. */
    const KExpr *rows_end, *depth_end;
} TileSet;

/* The 16-bit type of all operands of a set, which a kernel with 8 lanes multiplies on tensor cores; or DT_F32. */
DType tile_operand(const GemmSet *set);
/* A matrix times a vector has the vector as its one row. */
void tile_choose_left(Gemm *g);
/* Tile sizes and operands of a set, from the configuration of its number. */
void tile_shape(Lower *lo, TileSet *t, const GemmSet *set);
/* Tiles that `rows` are cut into, at the upper end; tasks of a set: all tiles of all batch members. */
int64_t tile_count(Lower *lo, const Dim *rows, int64_t tile);
const Dim *tile_tasks(Lower *lo, const TileSet *t);
/* The phase made last has room for the ring of any of the sets and, in its place, the sums as rows. */
void tile_make_shared(Lower *lo, TileSet *sets, uint32_t n, KPhase *phase);
/* This block computes the tile at (m0, n0). */
void tile_place(Lower *lo, TileSet *t, const KExpr *m0, const KExpr *n0);
/* Dots whose depth is walked over together: all of them, or where they make one sum, one after the other. */
typedef struct TileWalk {
    uint32_t from, to;
} TileWalk;
uint32_t tile_walks(const TileSet *t);
TileWalk tile_walk(const TileSet *t, uint32_t i);
/* Names of the sums and sizes of this thread, all zero. */
void tile_begin_sums(Lower *lo, TileSet *t);
/* Begins what a stage adds to the sums, in so many groups; the stage's first byte. */
uint32_t tile_products(const TileSet *t, TileWalk w);
void tile_multiply_stage(Lower *lo, const TileSet *t, TileWalk w, const KExpr *base);
/* Steps of depth, of bk each. */
const KExpr *tile_steps(Lower *lo, const TileSet *t, TileWalk w);
int64_t tile_most_steps(Lower *lo, const TileSet *t, TileWalk w);
/* Multiplies over the whole depth; the sums then lie in shared memory as rows, which all threads see. */
void tile_compute(Lower *lo, TileSet *t);

/* W neighbouring sums: where they are in the tile and in the result. */
typedef struct TileSpot {
    const KExpr *r, *c, *row, *column;
    const KExpr *lanes; /* how many exist; NULL: all W */
} TileSpot;
/* Opens the loop in which the block's threads share the tile's sums, in the order of the result's rows, and
 * closes it; and a sum of dot d, a vector. */
void tile_open_sums(Lower *lo, const TileSet *t, TileSpot *spot);
const KExpr *tile_sum(Lower *lo, const TileSet *t, uint32_t d, const TileSpot *spot);
void tile_close_sums(Lower *lo);

/* gpu_float.c: whether an operand of f32 can be copied, and in which order best; floats from one step of its tile's depth
 * to the next. */
void float_choose(Lower *lo, Gemm *g, Part *p);
int64_t float_pitch(const Part *p);
/* Names of what all steps of depth have in common; and copies those from k0 on to place `to` of the tiles. */
void float_begin(Lower *lo, const TileSet *t, TileDot *dot, Part *p);
void float_bring(Lower *lo, const TileSet *t, const TileDot *dot, const Part *p,
                 const KExpr *const *to_k0);
/* Past which no row of a side, and no step of depth, is. */
const KExpr *tile_rows_end(Lower *lo, const TileSet *t, const Gemm *g, const GemmSide *s);
const KExpr *tile_depth_end(Lower *lo, const TileSet *t, const Gemm *g);

/* gpu_ring.c: computes all products with threads of their own that copy, if all operands can be copied in boxes and
 * warpgroups multiply; false: others are to do it. */
bool gpu_ring(Lower *lo, TileSet *sets, uint32_t n);

/* gpu_skinny.c: computes all products if they have few rows; false: others are to do it. */
bool gpu_skinny(Lower *lo, const GemmKernel *kn);
/* Whether all right operands are read in the order of memory with lanes along the depth (dots), or along the columns;
 * and whether there is so much of one that it pays to read it where it lies. */
bool skinny_in_order(Lower *lo, const GemmSet *set, bool dots);
bool skinny_is_large(Lower *lo, const Gemm *g);
/* gpu_skinny_mma.c: the same on tensor cores, of 16-bit operands. */
bool gpu_skinny_mma(Lower *lo, const GemmKernel *kn);

#endif
