/* plan_blocks.h: generate and chat blocks in `mdl plan`. */
#ifndef MDL_PLAN_BLOCKS_H
#define MDL_PLAN_BLOCKS_H

#include "program.h"

/* One block in words and numbers. */
typedef struct BlockRow {
    bool writes; /* text; else it makes tensors, and the rest of it is 0 */
    const char *name, *kind, *precision;
    uint64_t parameters; /* elements */
    uint64_t weight_bytes, cache_bytes;
    int64_t context; /* tokens */
    double token;    /* operations of contractions for one token, when the context is full */
} BlockRow;

/* Block i of compile_generate_count. False after diagnostics. */
bool block_row(Cli *cli, Compile *c, uint32_t i, BlockRow *out, Err *err);
void block_rows_put(const BlockRow *rows, uint32_t n);
void block_row_json(Cli *cli, const BlockRow *r);

#endif
