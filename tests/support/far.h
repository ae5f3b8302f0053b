/* far.h: the CPU as a device whose memory the host cannot see: what the executor must keep to for a GPU. */
#ifndef MDL_TEST_FAR_H
#define MDL_TEST_FAR_H

#include "devices.h"

/* Addresses that it gives out are good for its own functions alone: the host faults on them. */
extern const DeviceVtable device_far;

#endif
