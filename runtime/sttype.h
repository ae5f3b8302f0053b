/* sttype.h: element types of the safetensors format, from sttype.def; some are none of the language. */
#ifndef MDL_STTYPE_H
#define MDL_STTYPE_H

#include "dtype.h"

typedef struct StType {
    const char *name;
    uint32_t bits;
    DType dtype; /* DT_COUNT: the language has no such type */
    DKind kind;
} StType;

const StType *st_type_find(const char *name); /* NULL when the format has none of that name */

#endif
