/* feed.h: which field of the batch goes to which input of an entry. */
#ifndef MDL_FEED_H
#define MDL_FEED_H

#include "loader.h"

typedef struct Feed {
    const Plan *plan;
    const PlanEntry *entry;
    uint32_t *field;     /* of each input */
    const void **inputs; /* for RtCall */
    int64_t *syms;       /* for RtCall */
} Feed;

/* Matches the inputs of feed->entry and the fields of feed->plan's data by name. ERR_DATA when an input has no field, or one of another type. */
bool feed_init(Feed *feed, Arena *arena, uint32_t data, Err *err);
/* Points the inputs at the batch and sets the symbol of its rows. ERR_DATA when the entry takes
 * another number of rows only. */
bool feed_set(Feed *feed, const LoaderBatch *batch, Err *err);

#endif
