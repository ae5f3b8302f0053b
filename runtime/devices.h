/* devices.h: choosing a device for a plan; private to the runtime. */
#ifndef MDL_DEVICES_H
#define MDL_DEVICES_H

#include "device.h"
#include "runtime.h"

#define DEVICE(id, name, automatic) extern const DeviceVtable device_##name;
#include "devices.def"
#undef DEVICE

typedef struct DeviceChoice {
    const DeviceVtable *v;
    Device *device; /* open */
    uint32_t target;
} DeviceChoice;

/* Opens the device that is asked for, or the first automatic one that works. ERR_DEVICE: the plan has no
 * kernels for it, or none that suit this machine. */
bool device_choose(const Plan *plan, RtDevice wish, const DeviceOptions *opt, DeviceChoice *out,
                   Err *err);
/* The same for one device. */
bool device_try(const Plan *plan, const DeviceVtable *v, const DeviceOptions *opt,
                DeviceChoice *out, Err *err);
/* rt_open on this very device. */
Runtime *rt_open_on(const Plan *plan, const DeviceVtable *v, const RtOptions *opt, Err *err);

#endif
