/* order.h: the order of samples within an epoch, as a pure function. */
#ifndef MDL_ORDER_H
#define MDL_ORDER_H

#include "base.h"

typedef struct OrderKey {
    uint64_t seed;
    int64_t epoch;
} OrderKey;

/* The image of i under a permutation of [0, n) that the key chooses; 0 <= i < n. O(1). */
int64_t order_permute(OrderKey key, int64_t n, int64_t i);

#endif
