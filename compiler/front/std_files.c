/* std_files.c: access to the files that tools/embed.cmake turned into arrays. */
#include "std_files.h"

bool std_file_get(uint32_t i, StdFile *out)
{
    for (uint32_t k = 0; k <= i; k++)
        if (!mdl_std_names[k])
            return false;
    *out = (StdFile){path_base(mdl_std_names[i]), mdl_std_texts[i], strlen(mdl_std_texts[i])};
    return true;
}

bool std_file_find(const char *name, StdFile *out)
{
    for (uint32_t i = 0; std_file_get(i, out); i++)
        if (strcmp(out->name, name) == 0)
            return true;
    return false;
}
