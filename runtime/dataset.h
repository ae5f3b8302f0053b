/* dataset.h: what the loader needs of a Dataset beyond runtime.h. */
#ifndef MDL_DATASET_H
#define MDL_DATASET_H

#include "runtime.h"

/* The workspace of one thread that makes batches. */
typedef struct DataWorker DataWorker;

DataWorker *data_worker_new(const Dataset *ds);
void data_worker_free(DataWorker *w); /* NULL is fine */
/* As data_batch, for any number of threads at once, each with its worker. */
int64_t data_batch_by(DataWorker *w, const int64_t *rows, int64_t n, void *const *out, Err *err);
/* Threads that the block asks for, or as many as suit its source. */
uint32_t data_workers(const Dataset *ds);
/* The blocks that the rows come from, itself or the parts of a mix, with their files. */
typedef struct DataSource {
    const char *name;
    const char *const *file;
    uint32_t nfile;
    int64_t rows;
} DataSource;
uint32_t data_sources(const Dataset *ds);
DataSource data_source(const Dataset *ds, uint32_t k);
/* Tokens that a sample teaches, on average; 0: the data is no text. */
double data_learned(const Dataset *ds);
/* What somebody who trains on it should know, such as texts that are cut: a line for each, or nothing. */
void data_remarks(const Dataset *ds, StrBuf *out);

#endif
