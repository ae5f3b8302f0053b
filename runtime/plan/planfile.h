/* planfile.h: the bytes of a plan file; private to runtime/plan.
 *
 *     PlanHeader | PlanSection x nsection | section 0 | section 1 | ...
 *
 * Little-endian. Sections begin at multiples of 64 and lie in the order of plan.def; the bytes
 * between them are zero. The checksum covers everything behind itself to the end of the file, so
 * that a flipped bit anywhere is noticed before anything is interpreted. */
#ifndef MDL_PLANFILE_H
#define MDL_PLANFILE_H

#include "plan.h"

#define PLAN_MAGIC "MDLPLAN\n"
enum {
    PLAN_ALIGN = 64,
    PLAN_MIN_READER = 1, /* the oldest reader that understands what this version writes */
    PLAN_NSECTION = 0
#define SECTION(name, T) +1
#include "plan.def"
#undef SECTION
};

typedef struct PlanHeader {
    char magic[8];
    uint64_t checksum; /* XXH3-64 of the file from `version` on */
    uint32_t version, min_reader;
    uint64_t file_bytes;
    uint32_t nsection, pad;
    uint64_t reserved[3];
} PlanHeader;

typedef struct PlanSection {
    char name[16]; /* as in plan.def, zero-padded */
    uint64_t offset;
    uint64_t count;
    uint32_t element; /* bytes of one element */
    uint32_t pad[3];
} PlanSection;

#define PLAN_CHECKED_FROM offsetof(PlanHeader, version)

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "plan files are little-endian");
_Static_assert(sizeof(PlanHeader) == 64, "fixed layout");
_Static_assert(sizeof(PlanSection) == 48, "fixed layout");

#endif
