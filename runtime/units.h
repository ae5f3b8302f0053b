/* units.h: C texts to loaded objects, through the system C compiler and a cache on disk. */
#ifndef MDL_UNITS_H
#define MDL_UNITS_H

#include "device.h"

/* How the kernels of a device are compiled. Lists end with NULL. */
typedef struct UnitFlavour {
    const char *const *prelude_names, *const *prelude_texts;
    const char *const *flags;
    const char *const *link; /* behind the source; libmvec and libm come after it */
} UnitFlavour;

typedef struct UnitTexts {
    const char *const *at; /* kernels */
    uint32_t n;
    const UnitFlavour *flavour;
    const char *isa_flag; /* NULL: none */
    bool lines;           /* for debuggers, with lines of the model */
} UnitTexts;

typedef struct Units Units;

/* Compiles, or takes from the cache, and loads. ERR_DEVICE: no compiler (help), it failed (its first lines
 * and the source's path), or the cache is not usable. */
Units *units_load(const UnitTexts *texts, const DeviceOptions *opt, Err *err);
void units_unload(Units *u); /* NULL is fine */
/* What the object of that text defines under a name, or NULL. */
void *units_symbol(const Units *u, uint32_t text, const char *name);
const char *units_object(const Units *u, uint32_t text); /* its path */

#endif
