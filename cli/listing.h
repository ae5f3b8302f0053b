/* listing.h: the tensors of a model and what trains them: for `mdl ls` and `mdl diff`. */
#ifndef MDL_LISTING_H
#define MDL_LISTING_H

#include "cli.h"
#include "compile.h"
#include "ir.h"
#include "runtime.h"

typedef struct ListRow {
    const char *path, *key;
    const char *dtype, *shape; /* "f32", "[3, 4]" */
    uint64_t n;                /* elements */
    bool buffer;
    const char *trained; /* the stages that train it, with ", " between; a part: "align (4 of 9)" */
} ListRow;

typedef struct ListStage {
    const char *name;
    uint64_t parameters; /* that it trains */
} ListStage;

typedef struct Listing {
    const char *name; /* of the model */
    VEC(ListRow) rows;
    VEC(ListStage) stages;
    uint64_t parameters;
    uint32_t tensors, buffers;
} Listing;

/* Names of the models of the program: its own, then imported ones that it trains. */
typedef VEC(const char *) ModelNames;
bool listing_models(Cli *cli, Compile *c, ModelNames *out, Err *err);
/* False after diagnostics. */
bool listing_model(Cli *cli, Compile *c, const char *model, Listing *out, Err *err);
/* One stage alone: its model's tensors, trained "yes" or "". */
struct FrontStage;
void listing_stage(Cli *cli, const struct FrontStage *stage, Listing *out);
/* Of a file of weights: keys are paths. */
void listing_weights(Cli *cli, const StFile *file, Listing *out);

#endif
