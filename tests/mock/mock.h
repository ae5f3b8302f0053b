/* mock.h: what the two stand-ins for NVIDIA's libraries agree on: machine code is an ELF file as NVRTC makes
 * it, in which .mdl.text has the text of the kernels, for the emulator. */
#ifndef MDL_MOCK_H
#define MDL_MOCK_H

#include "base.h"

#define EXPORT       __attribute__((visibility("default")))
#define MOCK_SECTION ".mdl.text"

enum { MOCK_MACHINE = 190 };

/* fakecuda.c: has the stream do something with the memory of the device, as it would a kernel. data is copied. */
int mock_call(void *stream, void (*fn)(const void *data), const void *data, size_t bytes);
/* Whether n bytes lie in memory of the device. */
bool mock_on_device(const void *at, size_t bytes);

#endif
