/* setting.h: what $MDL_SIMT asks of the device simt. */
#ifndef MDL_SIMT_SETTING_H
#define MDL_SIMT_SETTING_H

#include "simtload.h"

typedef struct SimtSetting {
    SimtMode mode;
    uint64_t seed;    /* 0: in order */
    uint32_t orders;  /* each launch is run as often, and its results compared */
    const char *arch; /* "sm_80" or "sm_90a": what it stands for */
} SimtSetting;

/* text: of the variable, or NULL. "check,seed=7,orders=3,arch=sm_90a": all parts may be left out. ERR_USAGE. */
bool simt_setting(const char *text, SimtSetting *out, Err *err);

#endif
