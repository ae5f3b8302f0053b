/* std_files.h: the standard library of models/std, as it is embedded in the program. */
#ifndef MDL_STD_FILES_H
#define MDL_STD_FILES_H

#include "base.h"

typedef struct StdFile {
    const char *name; /* "nn.mdl" */
    const char *text; /* NUL-terminated */
    size_t n;
} StdFile;

/* The arrays that tools/embed.cmake makes: paths and texts, ended by NULL. */
extern const char *const mdl_std_names[];
extern const char *const mdl_std_texts[];

/* File i, in the order of their names; false behind the last. */
bool std_file_get(uint32_t i, StdFile *out);
/* The file of that name; false when there is none. */
bool std_file_find(const char *name, StdFile *out);

#endif
