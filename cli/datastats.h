/* datastats.h: what a data block gives, counted over all of its rows, and single samples. */
#ifndef MDL_DATASTATS_H
#define MDL_DATASTATS_H

#include "cli.h"
#include "runtime.h"

typedef struct DataView {
    const Cli *cli;
    const Plan *plan;
    uint32_t data;  /* into datas */
    int64_t batch;  /* samples that are made at once */
    uint64_t *seed; /* of the order; NULL: as the rows are */
    Dataset *ds;
    const char *remarks; /* of data_remarks */
} DataView;

const PlanField *dataview_field(const DataView *v, uint32_t f); /* number f of its block */
size_t dataview_elements(const PlanField *f);                   /* of one sample */
/* One line for each field, and for its tokens: lengths, what is learned, how full rows are. */
bool datastats_print(const DataView *v, Err *err);
/* The first n samples in the order in which they come. */
bool datasamples_print(const DataView *v, int64_t n, Err *err);

#endif
