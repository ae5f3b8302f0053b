/* gpu_attend_group.h: the parts of which attention by warpgroups is made (sm_90a): blocks whose first groups multiply,
 * 64 rows each, while the warps of the last one fill what they read: the rows that the block holds, and two rings
 * of stages with a tile of two sides that pass by (mdl_attend_group.h); private to codegen. */
#ifndef MDL_GPU_ATTEND_GROUP_H
#define MDL_GPU_ATTEND_GROUP_H

#include "gpu_attend.h"

enum { ATTEND_GROUP = 128 /* threads of a group */ };

typedef struct AttendGroups {
    const Attend *t;
    const AttendSide *side[2]; /* of the rings */
    int64_t at[2];             /* their first bytes in shared memory */
    int64_t bars;              /* and that of the barriers */
    int64_t groups;            /* that multiply */
    int64_t few;               /* registers of those who fill, if they only copy */
    bool computes;             /* .. if not, they take more */
    bool boxes;                /* one thread fills, by TMA: all sides can be copied so */
    const char *name;          /* of the MdlAttendBars */
} AttendGroups;

/* Columns that a product with weights has: an n of wgmma. */
void groups_widen(AttendSide *s);
/* A tile of lines: panels of 64 columns, 128 bytes. */
int64_t groups_tile_bytes(const AttendSide *s, int64_t lines);
/* Rings behind `first` bytes that are held; returns the bytes of all tiles. */
int64_t groups_rings(AttendGroups *g, int64_t first);
int64_t groups_bar_bytes(const AttendGroups *g);

/* By all threads at the head of a block. */
void groups_open(Lower *lo, AttendGroups *g);
/* Opens the scope of those who fill, or of those who multiply. */
void groups_begin(Lower *lo, const AttendGroups *g, bool fills);

/* ---- who fills ---- */

/* Sees whether these sides can be copied in boxes; g->t->rows and cols are known. */
void groups_boxes(Lower *lo, AttendGroups *g, AttendSide *const *side, uint32_t n);
/* Opens the scope of a warp that is one of those who fill; of its first thread. */
void groups_warp(Lower *lo, const AttendGroups *g, int64_t number);
void groups_thread(Lower *lo);
/* .. of the two warps of a ring, where there are no boxes. */
void groups_half(Lower *lo, const AttendGroups *g, uint32_t ring);
/* The rows that are held: n sides, lines from `first` on, one behind the other. By the thread of groups_boxes,
 * else by all who fill. */
void groups_hold(Lower *lo, const AttendGroups *g, const AttendSide *const *side, uint32_t n,
                 const KExpr *first);
/* Tile number i of a ring, lines from `first` on. t: that thread; else the two warps of the ring, numbered. */
Attend groups_ring_fillers(Lower *lo, const AttendGroups *g, uint32_t ring);
void groups_await_free(Lower *lo, const AttendGroups *g, uint32_t ring, const KExpr *i);
void groups_fill(Lower *lo, const AttendGroups *g, const Attend *t, uint32_t ring, const KExpr *i,
                 const KExpr *first);

/* ---- who multiplies ---- */

/* What is held for the turn is there; it is needed no longer, which they who fill wait for. */
void groups_await_held(Lower *lo, const AttendGroups *g, const KExpr *turn);
void groups_spend(Lower *lo, const AttendGroups *g);
void groups_await_spent(Lower *lo, const AttendGroups *g, const KExpr *turn);
void groups_await(Lower *lo, const AttendGroups *g, uint32_t ring, const KExpr *i);
/* This warp needs tile i no longer. */
void groups_release(Lower *lo, const AttendGroups *g, uint32_t ring, const KExpr *i);
const KExpr *groups_stage(Lower *lo, const AttendGroups *g, uint32_t ring, const KExpr *i);
/* The name of a constant of the text: rows, cols, depth and columns of a product with a side. */
const char *groups_shape(Lower *lo, const AttendGroups *g, const AttendSide *s);
/* Begins acc = a b^T: rows of what is held, at byte a, by a tile at byte b of a side. */
void groups_scores(Lower *lo, const AttendGroups *g, uint32_t acc, const KExpr *a, const KExpr *b,
                   const AttendSide *s);
/* Begins acc += p b: packed weights by a tile. */
void groups_values(Lower *lo, const AttendGroups *g, uint32_t acc, uint32_t p, const KExpr *b,
                   const AttendSide *s);
/* Until at most so many of those that were begun are on their way. */
void groups_wait(Lower *lo, int most);
/* Accumulators of so many columns are this thread's, and stay where they are computed. */
void groups_settle(Lower *lo, uint32_t acc, int64_t columns);
/* Weights of t->cols columns, for groups_values; and from accumulators to them. */
uint32_t groups_weights(Lower *lo, const AttendGroups *g);
void groups_pack(Lower *lo, const AttendGroups *g, uint32_t p, uint32_t acc);
/* ---- by turns: two groups, each with 64 queries and 64 columns of what they add ---- */

/* Packed weights to lines of shared memory from byte `at` on, as many columns as a step has lines. */
void groups_lay(Lower *lo, const AttendGroups *g, const KExpr *at, uint32_t p, const AttendSide *s);
/* Begins acc = those of both groups, turned, times what is held at byte 0, a side like s. */
void groups_turned(Lower *lo, const AttendGroups *g, uint32_t acc, const KExpr *at,
                   const AttendSide *s);
/* acc to shared memory from byte `at` on, for it to be added. */
void groups_lay_sums(Lower *lo, const AttendGroups *g, const KExpr *at, uint32_t acc,
                     const AttendSide *s);
/* All threads that multiply wait for each other. */
const char *groups_sync(const Lower *lo, const AttendGroups *g);

#endif
