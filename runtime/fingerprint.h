/* fingerprint.h: what the files of a run's data hold, so that a resumed run does not silently go on with
 * other data: the position in a permutation of rows means nothing for other rows. */
#ifndef MDL_FINGERPRINT_H
#define MDL_FINGERPRINT_H

#include "dataset.h"

/* Writes run_dir/data.json: for each source its files, bytes, rows and a hash. */
bool fingerprint_write(const Dataset *ds, const char *run_dir, Err *err);
/* ERR_DATA, with what differs, unless data.json is about this data. Without one nothing is known: it is written. */
bool fingerprint_check(const Dataset *ds, const char *run_dir, Err *err);

#endif
