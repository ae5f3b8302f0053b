/* load.h: where a model's weights come from: `load P from hf(..) { "file key" -> transpose("model key") }`.
 * Whoever reads a checkpoint goes through the entries forwards, whoever exports one backwards. Private to
 * front. */
#ifndef MDL_LOAD_H
#define MDL_LOAD_H

#include "blocks.h"

/* "layers.*.w1[*]": `*` stands for text within a component, `**` for components; captures are counted from
 * the left, and those of the model's key are those of the file's, in order. */
typedef struct KeyPattern {
    Sym text;       /* without rows */
    uint32_t nstar; /* captures in it */
    bool stacked;   /* [*]: one more capture is the row */
    bool rows;      /* [lo..hi] or [i] */
    bool one;       /* [i], [*]: the axis of the rows goes */
    int64_t lo, hi;
} KeyPattern;

typedef enum MapOp {
    MAP_KEY_OF,
    MAP_TRANSPOSE,
    MAP_PERMUTE,
    MAP_RESHAPE,
    MAP_CONCAT,
    MAP_SPLIT
} MapOp;

/* What a tensor of the file is, in terms of the model's. */
typedef struct MapExpr {
    MapOp op;
    KeyPattern key; /* KEY_OF */
    uint32_t narg;  /* 1, or those of CONCAT */
    const struct MapExpr **arg;
    uint32_t axis;            /* CONCAT, SPLIT */
    uint32_t part, parts;     /* SPLIT: this one of so many */
    uint32_t rank;            /* PERMUTE, RESHAPE */
    int64_t dim[IR_MAX_RANK]; /* axes or extents */
} MapExpr;

typedef struct LoadEntry {
    KeyPattern file;
    const MapExpr *value;
    Span span;
} LoadEntry;

typedef struct Load {
    Sym pattern;       /* of paths */
    Sym prefix;        /* of keys: what the file's keys lack */
    const Val *source; /* hf(..), file(..), stage(..) */
    uint32_t nentry;
    const LoadEntry *entry;
} Load;

typedef struct Loads {
    uint32_t n;
    const Load *at;
} Loads;

/* ---- key.c ---- */

enum { KEY_MAX_CAPTURES = 8 };
typedef struct Captures {
    uint32_t n;
    const char *at[KEY_MAX_CAPTURES];
    uint32_t length[KEY_MAX_CAPTURES];
} Captures;
/* False after E0105. */
bool key_parse(Elab *e, Sym text, Span span, KeyPattern *out);
bool key_match(const KeyPattern *p, const char *key, Captures *out);

/* ---- loadmap.c: the entries of a load, checked; false after diagnostics ---- */

typedef struct LoadCx {
    Elab *e;
    Env *env;
    const Ast *clause;
    Load *load;
    uint32_t nparam;
    struct State *const *param; /* of the subtree */
} LoadCx;
bool load_map(LoadCx *cx, const Ast *body);
/* The key without the prefix of the load. */
const char *load_key(const Load *load, const char *key);

#endif
