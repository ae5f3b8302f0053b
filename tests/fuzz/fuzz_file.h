/* fuzz_file.h: the input as a file, for readers that take a path. It lies in memory only. */
#ifndef MDL_FUZZ_FILE_H
#define MDL_FUZZ_FILE_H

#ifndef _GNU_SOURCE
#error "define _GNU_SOURCE first: memfd_create is Linux"
#endif

#include "fuzz.h"
#include <sys/mman.h>
#include <unistd.h>

typedef struct FuzzFile {
    int fd;
    char path[64];
} FuzzFile;

static inline FuzzFile fuzz_file_open(const void *data, size_t n)
{
    FuzzFile file = {.fd = memfd_create("fuzz", MFD_CLOEXEC)};
    ASSERT(file.fd >= 0);
    size_t done = 0;
    while (done < n) {
        ssize_t put = write(file.fd, (const char *)data + done, n - done);
        ASSERT(put > 0);
        done += (size_t)put;
    }
    snprintf(file.path, sizeof file.path, "/proc/self/fd/%d", file.fd);
    return file;
}

static inline void fuzz_file_close(const FuzzFile *file)
{
    close(file->fd);
}

#endif
