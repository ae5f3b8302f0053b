/* stream.h: texts as one stream of tokens, and the rows cut from it. */
#ifndef MDL_STREAM_H
#define MDL_STREAM_H

#include "runtime.h"

typedef struct Stream Stream;

/* Reads the files of stream s. A relative pattern is looked for in each folder in turn; the first one with
 * a file that fits is taken. ERR_FILE (help: where it looked), ERR_DATA. */
Stream *stream_open(const Plan *plan, const PlanStream *s, const char *const *folders,
                    uint32_t nfolder, Err *err);
void stream_close(Stream *stream); /* NULL is fine */
int64_t stream_rows(const Stream *stream);
/* Fills one of the standard fields (not CODE) of the n rows listed. */
void stream_fill(const Stream *stream, PlanFieldKind field, const int64_t *rows, int64_t n,
                 void *out);

#endif
