/* check.h: what orders accesses to memory, and which are not ordered; private to the emulator.
 *
 * Who accesses is an actor: a thread of the block, or a unit that works beside the threads (a TMA transfer,
 * a product of a warpgroup). Time is counted for each actor apart, from 1 up over all blocks and launches;
 * each thread knows up to which time of every other its view reaches. */
#ifndef MDL_CHECK_STATE_H
#define MDL_CHECK_STATE_H

#include "mdl_engine.h"
#include "simt.h"

enum { CHECK_THREADS = 1024, CHECK_UNITS = 64, CHECK_ACTORS = CHECK_THREADS + CHECK_UNITS };

/* A view: the latest time of each actor that happened before. Shared; who changes one copies it. */
typedef struct View View;
struct View {
    uint32_t refs;
    View *next; /* of those that are free */
    uint32_t at[CHECK_ACTORS];
};

/* A unit that works beside the threads, from begin to end; `view` is what happened before. */
typedef struct Unit {
    uint16_t actor;
    uint32_t time;
    View *view;
} Unit;

/* One access to one word: which of its four bytes, when, by whom. */
typedef struct Mark {
    uint32_t time, from; /* from: a place, packed */
    uint16_t actor;
    uint8_t bytes, flags;
} Mark;

enum { MARK_ATOMIC = 1, MARK_PENDING = 2 }; /* pending: a unit has begun, and has not finished */

enum { KEPT_READS = 3 };

/* What is remembered of a word: the last write, and reads since then that no other of them implies. */
typedef struct Word {
    Mark write, read[KEPT_READS];
} Word;

/* Until when the writes of a block had happened, where it told others of it (a fence, then an atomic). */
typedef struct Release {
    View *view;
    uint32_t begin; /* time at which the block began */
    uint32_t own;
    uint16_t thread;
} Release;

/* An address on which blocks meet. */
typedef struct Meeting {
    VEC(Release) release;
} Meeting;

/* A thread of this block has seen the first n releases of a meeting; it may use that from its `time` on,
 * when there was a fence behind. */
typedef struct Acquired {
    const Meeting *meeting;
    uint32_t n, time;
    uint16_t thread;
    bool fenced;
} Acquired;

typedef struct BlockBegin {
    uint32_t time;
    int32_t block;
} BlockBegin;

typedef struct Checker {
    uint32_t width;         /* actors in use: threads of the block, then units */
    uint32_t launch, block; /* times at which they began */
    uint32_t own[CHECK_ACTORS];
    View *seen[CHECK_THREADS];
    uint32_t proxied[CHECK_THREADS]; /* what it wrote up to then is visible to units */
    View *fence_view[CHECK_THREADS];
    uint32_t fence_own[CHECK_THREADS];
    uint32_t next_unit;
    View *free;
    View *memo_from, *memo_with, *memo; /* the last join: many threads do the same one */
    Word *shared;                       /* of shared memory */
    Arena *arena;                       /* of a launch, for these: */
    Map *meetings;
    VEC(Acquired) acquired;
    VEC(BlockBegin) begin;
    const char *base; /* of the object that runs: places are offsets */
} Checker;

#endif
