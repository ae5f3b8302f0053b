/* warpgroup.h: products of a warpgroup that are on their way; private to the emulator. */
#ifndef MDL_WARPGROUP_H
#define MDL_WARPGROUP_H

#include "check.h"

enum { GROUP_THREADS = 128, GROUP_ROWS = 64, MOST_COLS = 256, MOST_PRODUCTS = 64, MOST_SUMS = 8 };

/* Sums whose registers are not the threads': from the first product that adds to them until the last one is
 * done, registers hold NaN. */
typedef struct Sums {
    int cols, products; /* that are to add to it; 0: not in use */
    float *d[GROUP_THREADS];
    float at[GROUP_ROWS][MOST_COLS];
} Sums;

typedef struct Product {
    MdlWgmma what;
    int line, lanes; /* lanes: that have come */
    uint32_t group;
    Sums *sums;
    uint32_t a4[GROUP_THREADS][4];
    Unit unit;
} Product;

typedef struct Warpgroup {
    Product product[MOST_PRODUCTS]; /* the first n are on their way */
    uint32_t n;
    Sums sums[MOST_SUMS];
    int issued[GROUP_THREADS];      /* of those n, by each thread */
    uint32_t groups[GROUP_THREADS]; /* committed */
    bool fenced[GROUP_THREADS];
    int waiting, wait_groups, wait_line;
} Warpgroup;

#endif
