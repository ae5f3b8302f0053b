/* hostarray.c: arrays in memory and the files they come from. */
#include "hostarray.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static bool map_fd(HostFile *file, int fd, const char *path, Err *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return err_set(err, ERR_FILE, "cannot read %s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return err_set(err, ERR_FILE, "cannot read %s: not a regular file", path);
    *file = (HostFile){(const uint8_t *)"", 0};
    if (st.st_size == 0)
        return true;
    void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED)
        return err_set(err, ERR_FILE, "cannot map %s: %s", path, strerror(errno));
    *file = (HostFile){map, (size_t)st.st_size};
    return true;
}

bool host_file_open(HostFile *file, const char *path, Err *err)
{
    *file = (HostFile){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not block us */
    if (fd < 0)
        return err_set(err, ERR_FILE, "cannot open %s: %s", path, strerror(errno));
    bool ok = map_fd(file, fd, path, err);
    close(fd);
    return ok;
}

void host_file_close(HostFile *file)
{
    if (file->n)
        munmap((void *)(uintptr_t)file->data, file->n);
    *file = (HostFile){0};
}

void host_array_free(HostArray *array)
{
    free(array->owned);
    host_file_close(&array->file);
    *array = (HostArray){0};
}

/* Not by multiplying: extents beside a 0 may overflow. */
int64_t host_array_count(const HostArray *array)
{
    return (int64_t)(array->bytes / dtype_info(array->dtype)->bytes);
}

const char *host_array_describe(Arena *arena, const HostArray *array)
{
    StrBuf sb = sb_new(arena);
    for (uint32_t i = 0; i < array->rank; i++)
        sb_printf(&sb, "%s%lld", i ? " x " : "", (long long)array->dim[i]);
    sb_printf(&sb, "%s%s", array->rank ? " of " : "a single ", dtype_info(array->dtype)->name);
    return sb_text(&sb);
}

bool host_array_shape(HostArray *array, const int64_t *dim, uint32_t rank, Err *err)
{
    ASSERT(rank <= PLAN_MAX_RANK);
    int64_t count = 1;
    bool empty = false;
    for (uint32_t i = 0; i < rank; i++) {
        if (dim[i] < 0)
            return err_set(err, ERR_DATA, "extent %lld of axis %u is negative", (long long)dim[i],
                           i);
        empty = empty || dim[i] == 0;
    }
    for (uint32_t i = 0; i < rank && !empty; i++)
        if (__builtin_mul_overflow(count, dim[i], &count))
            return err_set(err, ERR_DATA, "the extents multiply to more than 2^63 elements");
    int64_t bytes = 0;
    if (!empty && __builtin_mul_overflow(count, dtype_info(array->dtype)->bytes, &bytes))
        return err_set(err, ERR_DATA, "the extents multiply to more than 2^63 bytes");
    array->rank = rank;
    if (rank)
        memcpy(array->dim, dim, sizeof *dim * rank);
    array->bytes = (size_t)bytes;
    return true;
}

void host_swap(void *out, const void *in, size_t count, size_t size)
{
    uint8_t *to = out;
    const uint8_t *from = in;
    for (size_t i = 0; i < count; i++, to += size, from += size)
        for (size_t k = 0; k < size; k++)
            to[k] = from[size - 1 - k];
}

void *host_alloc(size_t bytes, Err *err)
{
    void *p = malloc(bytes ? bytes : 1);
    if (!p)
        err_set(err, ERR_DEVICE, "not enough memory: %zu bytes wanted", bytes);
    return p;
}

bool host_array_read(HostArray *out, HostParseFn *parse, const char *path, const char *member,
                     Err *err)
{
    *out = (HostArray){0};
    HostFile file;
    if (!host_file_open(&file, path, err))
        return false;
    bool ok = parse(out, file, member, err);
    if (!ok)
        err_context(err, "%s", path);
    if (ok && !out->owned)
        out->file = file;
    else
        host_file_close(&file);
    return ok;
}
