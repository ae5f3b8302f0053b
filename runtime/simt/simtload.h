/* simtload.h: texts of GPU kernels to functions that the emulator can run. */
#ifndef MDL_SIMT_LOAD_H
#define MDL_SIMT_LOAD_H

#include "simt.h"
#include "units.h"

/* How kernels are compiled: as they are, with every access told to the emulator, or with ASan, where the
 * program itself is built with it. */
typedef enum SimtMode { SIMT_PLAIN, SIMT_CHECK, SIMT_ASAN } SimtMode;

#if defined(__SANITIZE_ADDRESS__)
enum { SIMT_HAS_ASAN = 1 };
#else
enum { SIMT_HAS_ASAN = 0 };
#endif

/* ERR_DEVICE as units_load; ERR_USAGE: the mode does not suit this program. */
Units *simt_load(const char *const *texts, uint32_t n, SimtMode mode, const DeviceOptions *opt,
                 Err *err);
/* Fills name, kernel, enter, object, cluster and check; false: the text does not define the kernel. */
bool simt_find(const Units *u, uint32_t text, const char *kernel, SimtMode mode, SimtLaunch *out);

#endif
