/* gpu_attention_bwd.h: what the two ways of the gradients of attention on a GPU share, by warps
 * (gpu_attention_bwd.c) and by warpgroups (gpu_attention_bwd_group.c): what blocks hold and what passes by, weights
 * and their gradients, results; private to codegen. */
#ifndef MDL_GPU_ATTENTION_BWD_H
#define MDL_GPU_ATTENTION_BWD_H

#include "gpu_attend.h"

/* What is made of a tile of products: weights and their gradients, or one of them, weights first. */
typedef enum BwdPart { BWD_BOTH, BWD_WEIGHTS, BWD_GRADS } BwdPart;

typedef struct AttendBwd {
    Attend t;
    AttentionBwd b;
    AttendSide q, k, v, dy;
    uint32_t share;  /* workspace, by head and query */
    const Node *lse; /* an input by head and query, or NULL */
    /* Where it and the share are found without memory, in pairs: the step's queries have theirs in shared memory, from
     * this element of t.floats on, or NULL; the thread's two rows of the block, in a local array, if it has one. */
    const KExpr *pairs;
    uint32_t own;
    bool owns;
    bool dk, dv;             /* what the blocks of this phase make; neither: dq */
    uint32_t s, ds;          /* accumulators: scores, then weights; their gradients */
    uint32_t sums_d, sums_e; /* of dk or dq; of dv */
    const KExpr *held;       /* the first key or query of the block */
    const KExpr *t0, *u0;    /* of the step's tile */
    const KExpr *lane;
    const KExpr *from, *to; /* steps of what passes by */
    const char *sync;       /* the threads that have sums wait for each other */
    Span4 span;
    bool cut;
    BwdPart part;
    bool apart; /* gradients of weights follow from weights, without scores */
    /* Gradients of queries are added by turns (gpu_attention_bwd_turns.c). In the workspace are their sums, tile by
     * tile, and for each tile of queries how many have had the turn, and its span, if that is known by now; where heads
     * share keys, what each of them adds to the gradients of keys and values. The byte of a block's ticket in shared
     * memory, which of the heads that share its keys is its own; tiles of keys of a head. */
    bool turns, known;
    uint32_t added, turn, spans, part_d, part_e;
    int64_t ticket, tiles;
    const Ix *one;
} AttendBwd;

/* The sides of which a block holds rows; those that pass by. */
AttendSide *bwd_held(AttendBwd *f, bool second);
AttendSide *bwd_step(AttendBwd *f, bool second);
/* Whether gradients of weights are needed, not only weights. */
bool bwd_needs_grads(const AttendBwd *f);
/* The pair of a query of the head in work: pair[0] is NULL where there is no such input. */
void bwd_pair(Lower *lo, const AttendBwd *f, const Ix *t, const KExpr *pair[2]);
int64_t bwd_most_steps(Lower *lo, AttendBwd *f);

/* Shared memory of results as rows. */
int64_t bwd_rows_bytes(const Lower *lo, const AttendBwd *f);
/* A phase of such blocks; t.shared is set. Opens the scope of one that has lines: one for scope_end. */
void bwd_begin(Lower *lo, AttendBwd *f, const char *suffix);
/* Sums of nothing. */
void bwd_begin_sums(Lower *lo, AttendBwd *f);
/* The keys that queries from t0 on see, `most` of them. */
void bwd_span(Lower *lo, AttendBwd *f, const KExpr *t0, int64_t most);
/* f->from and f->to for the head in work: of queries that see any key of the block, looked at by t->threads that
 * meet in mdl_syncthreads, and which have room at byte `room`; or of keys that its queries see. */
void bwd_query_steps(Lower *lo, AttendBwd *f, int64_t room);
void bwd_key_steps(Lower *lo, AttendBwd *f);
/* A head that shares the keys of the block: opens the loop over them. */
void bwd_each_head(Lower *lo, AttendBwd *f);
/* Whether elements of queries [t0, t0 + nt) by keys [u0, u0 + nu) must be looked at one by one; whether there are any
 * that are seen. */
const KExpr *bwd_cut(Lower *lo, const AttendBwd *f, int64_t nt, int64_t nu);
const KExpr *bwd_seen(Lower *lo, const AttendBwd *f, int64_t nu);
/* Products to weights and gradients of weights. */
void bwd_weights(Lower *lo, AttendBwd *f, const KExpr *cut);
/* Stores what the phase has made. */
void bwd_results(Lower *lo, AttendBwd *f);

/* gpu_attention_bwd_group.c: the phases of one way; whether the configuration asks for turns, and they are possible. */
bool bwd_groups_turns(Lower *lo, AttendBwd *f);
void bwd_groups_keys(Lower *lo, AttendBwd *f);
void bwd_groups_queries(Lower *lo, AttendBwd *f);

/* ---- gpu_attention_bwd_turns.c ---- */

void bwd_turns_workspace(Lower *lo, AttendBwd *f);
/* By the warp that has made the share of query t of the head in work: if it is a tile's first one, finds what keys the
 * tile sees, of which nobody has had the turn. */
void bwd_turns_prepare(Lower *lo, AttendBwd *f, const Ix *t);
/* The span that was found. */
void bwd_turns_span(Lower *lo, AttendBwd *f, const KExpr *t0);
/* As attend_begin for keys, in an order in which a block waits for none that begins later. */
const KExpr *bwd_turns_begin(Lower *lo, AttendBwd *f, KPhase *phase, int64_t tiles);
/* The same block once more, by those who had no registers for what it is. */
void bwd_turns_again(Lower *lo, AttendBwd *f);
/* As bwd_query_steps, but of tiles: f->from and f->to are the steps that bwd_seen is true of, the first and the last. */
void bwd_turns_steps(Lower *lo, AttendBwd *f, int64_t room);
/* How many add to the gradients of the queries from f->t0 on before this block, by f->span; the word that counts them. */
const KExpr *bwd_turns_order(Lower *lo, const AttendBwd *f);
const KExpr *bwd_turns_word(Lower *lo, const AttendBwd *f);
/* Where the sums of the tile of queries from f->t0 on lie. */
const KExpr *bwd_turns_sums(Lower *lo, const AttendBwd *f);
/* Sums of the block's keys to its part of the workspace: f->sums_e with `values`, else f->sums_d. */
void bwd_turns_put(Lower *lo, const AttendBwd *f, bool values, const char *shape);
/* The phases that make results of the sums. */
void bwd_turns_results(Lower *lo, AttendBwd *f);

#endif
