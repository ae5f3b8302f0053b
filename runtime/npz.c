/* npz.c: one array out of NumPy's .npz, which is a zip file of .npy members.
 *
 * Members are found through the central directory (PKWARE APPNOTE 4.3), so data descriptors and
 * the zip64 fields that NumPy writes need no care of their own: the directory has the sizes.
 * Stored (0) and deflated (8) members are read, the latter by zlib, and every member's CRC-32 is
 * checked. Deflate cannot shrink by more than 1032:1, so a size that promises more is a lie and is
 * refused before memory is taken for it. */
#include "hostarray.h"
#include <limits.h>
#include <zlib.h>

enum {
    END_SIZE = 22,
    END64_SIZE = 56,
    LOCATOR_SIZE = 20,
    ENTRY_SIZE = 46,
    LOCAL_SIZE = 30,
    COMMENT_MAX = 65535,
    DEFLATE_MAX_RATIO = 1032,
    DEFLATE_SLACK = 64
};

#define SIG_END     0x06054b50u
#define SIG_END64   0x06064b50u
#define SIG_LOCATOR 0x07064b50u
#define SIG_ENTRY   0x02014b50u
#define SIG_LOCAL   0x04034b50u

typedef struct Zip {
    const uint8_t *data;
    size_t n;
    size_t dir, dir_end; /* the central directory */
    uint64_t nentry;
} Zip;

typedef struct Member {
    const char *name; /* not terminated */
    size_t name_n;
    uint32_t flags, method, crc;
    uint64_t packed, size, local; /* local: offset of its local header */
} Member;

static uint32_t get16(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8;
}

static uint32_t get32(const uint8_t *p)
{
    return get16(p) | get16(p + 2) << 16;
}

static uint64_t get64(const uint8_t *p)
{
    return get32(p) | (uint64_t)get32(p + 4) << 32;
}

/* ---- the end records ---- */

/* The last end record whose comment reaches the end of the file exactly. */
static bool find_end(const Zip *z, size_t *at)
{
    if (z->n < END_SIZE)
        return false;
    size_t lowest = z->n - END_SIZE > COMMENT_MAX ? z->n - END_SIZE - COMMENT_MAX : 0;
    for (size_t i = z->n - END_SIZE + 1; i-- > lowest;) {
        const uint8_t *p = z->data + i;
        if (get32(p) == SIG_END && get16(p + 20) == z->n - END_SIZE - i) {
            *at = i;
            return true;
        }
    }
    return false;
}

/* The zip64 end record, where there is one: its values replace those that do not fit. */
static bool read_end64(const Zip *z, size_t end, uint64_t dir[2], uint64_t *count, Err *err)
{
    if (end < LOCATOR_SIZE || get32(z->data + end - LOCATOR_SIZE) != SIG_LOCATOR)
        return true;
    uint64_t at = get64(z->data + end - LOCATOR_SIZE + 8);
    if (at > z->n || z->n - at < END64_SIZE || get32(z->data + at) != SIG_END64)
        return err_set(err, ERR_DATA, "zip: no zip64 end record at byte %llu, where it should be",
                       (unsigned long long)at);
    *count = get64(z->data + at + 32);
    dir[1] = get64(z->data + at + 40);
    dir[0] = get64(z->data + at + 48);
    return true;
}

static bool fail_no_end(const Zip *z, Err *err)
{
    if (z->n >= 6 && memcmp(z->data, "\x93NUMPY", 6) == 0)
        return err_set(err, ERR_DATA, "a single npy array, not an npz; save it with numpy.savez");
    if (z->n >= 4 && get32(z->data) == SIG_LOCAL)
        return err_set(err, ERR_DATA,
                       "truncated: a zip file without its end record (%zu bytes are there)", z->n);
    return err_set(err, ERR_DATA, "not a zip file: no end record in %zu bytes", z->n);
}

static bool open_zip(Zip *z, HostFile file, Err *err)
{
    *z = (Zip){.data = file.data, .n = file.n};
    size_t end = 0;
    if (!find_end(z, &end))
        return fail_no_end(z, err);
    const uint8_t *p = z->data + end;
    uint64_t dir[2] = {get32(p + 16), get32(p + 12)}; /* offset, size */
    z->nentry = get16(p + 10);
    if (get16(p + 4) != 0 || get16(p + 6) != 0)
        if (get16(p + 4) != 0xffff || get16(p + 6) != 0xffff)
            return err_set(err, ERR_DATA, "zip: one part of a file split over several disks");
    if (!read_end64(z, end, dir, &z->nentry, err))
        return false;
    if (dir[0] > end || dir[1] > end - dir[0])
        return err_set(err, ERR_DATA,
                       "zip: the directory (%llu bytes at %llu) does not lie before byte %zu",
                       (unsigned long long)dir[1], (unsigned long long)dir[0], end);
    z->dir = (size_t)dir[0];
    z->dir_end = (size_t)(dir[0] + dir[1]);
    return true;
}

/* ---- the directory ---- */

/* Takes the zip64 values of the fields that are all ones, in their fixed order. */
static bool read_extra64(Member *m, const uint8_t *extra, size_t n, Err *err)
{
    uint64_t *fields[] = {&m->size, &m->packed, &m->local};
    for (size_t at = 0; at + 4 <= n;) {
        size_t size = get16(extra + at + 2);
        if (size > n - at - 4)
            break;
        const uint8_t *p = extra + at + 4, *end = p + size;
        if (get16(extra + at) == 1) {
            for (size_t i = 0; i < COUNT(fields); i++) {
                if (*fields[i] != UINT32_MAX)
                    continue;
                if (end - p < 8)
                    return err_set(err, ERR_DATA, "zip: a zip64 field of `%.*s` is cut",
                                   (int)m->name_n, m->name);
                *fields[i] = get64(p);
                p += 8;
            }
            return true;
        }
        at += 4 + size;
    }
    return true; /* all ones can be a size */
}

/* The entry at *at, which moves behind it. */
static bool next_member(const Zip *z, size_t *at, Member *m, Err *err)
{
    const uint8_t *p = z->data + *at;
    size_t left = z->dir_end - *at;
    if (left < ENTRY_SIZE || get32(p) != SIG_ENTRY)
        return err_set(err, ERR_DATA, "zip: no directory entry at byte %zu, where one should be",
                       *at);
    size_t name_n = get16(p + 28), extra_n = get16(p + 30), comment_n = get16(p + 32);
    if (left - ENTRY_SIZE < name_n + extra_n + comment_n)
        return err_set(err, ERR_DATA, "zip: the directory entry at byte %zu is cut", *at);
    *m = (Member){.name = (const char *)p + ENTRY_SIZE,
                  .name_n = name_n < 256 ? name_n : 256, /* longer ones match nothing of ours */
                  .flags = get16(p + 8),
                  .method = get16(p + 10),
                  .crc = get32(p + 16),
                  .packed = get32(p + 20),
                  .size = get32(p + 24),
                  .local = get32(p + 42)};
    *at += ENTRY_SIZE + name_n + extra_n + comment_n;
    return read_extra64(m, p + ENTRY_SIZE + name_n, extra_n, err);
}

/* "x" names the member "x.npy", as it does in NumPy. */
static bool is_named(const Member *m, const char *name)
{
    size_t n = strlen(name);
    if (m->name_n < n || memcmp(m->name, name, n) != 0)
        return false;
    return m->name_n == n || (m->name_n == n + 4 && memcmp(m->name + n, ".npy", 4) == 0);
}

/* Names for a message: without ".npy", and without anything a terminal could obey. */
static void put_name(StrBuf *sb, const Member *m)
{
    size_t n = m->name_n;
    if (n > 4 && memcmp(m->name + n - 4, ".npy", 4) == 0)
        n -= 4;
    for (size_t i = 0; i < n; i++)
        sb_putc(sb, m->name[i] >= ' ' && m->name[i] <= '~' ? m->name[i] : '?');
}

static bool find_member(const Zip *z, const char *name, Member *m, Err *err)
{
    Arena *arena = arena_new();
    StrBuf names = sb_new(arena);
    size_t at = z->dir;
    bool found = false, ok = true;
    for (uint64_t i = 0; !found && i < z->nentry; i++) {
        ok = next_member(z, &at, m, err);
        if (!ok)
            break;
        ASSERT(m->name != NULL);
        found = is_named(m, name);
        if (!found && i < 20) {
            sb_puts(&names, i ? ", " : "");
            put_name(&names, m);
        }
    }
    if (ok && !found) {
        err_set(err, ERR_DATA, "no array `%s` in it", name);
        err_help(err, "it has: %s", z->nentry ? sb_text(&names) : "nothing");
    }
    arena_free(arena);
    return found;
}

/* ---- the data ---- */

/* The packed bytes of the member; the local header only says where they begin. */
static bool find_data(const Zip *z, const Member *m, size_t *at, Err *err)
{
    if (m->local > z->dir || z->dir - m->local < LOCAL_SIZE ||
        get32(z->data + m->local) != SIG_LOCAL)
        return err_set(err, ERR_DATA, "zip: no local header at byte %llu, where it should be",
                       (unsigned long long)m->local);
    const uint8_t *p = z->data + m->local;
    uint64_t start = m->local + LOCAL_SIZE + get16(p + 26) + get16(p + 28);
    if (start > z->dir || m->packed > z->dir - start)
        return err_set(err, ERR_DATA,
                       "truncated: %llu bytes should begin at byte %llu, the directory is at %zu",
                       (unsigned long long)m->packed, (unsigned long long)start, z->dir);
    if (m->flags & 1)
        return err_set(err, ERR_DATA, "the member is encrypted");
    *at = (size_t)start;
    return true;
}

static uint32_t crc_of(const uint8_t *data, size_t n)
{
    return (uint32_t)crc32_z(crc32_z(0, NULL, 0), data, n);
}

static bool check_crc(const Member *m, const uint8_t *data, Err *err)
{
    uint32_t crc = crc_of(data, (size_t)m->size);
    return crc == m->crc ||
           err_set(err, ERR_DATA, "corrupt: the CRC-32 of its %llu bytes is %08x, expected %08x",
                   (unsigned long long)m->size, crc, m->crc);
}

static uInt piece(size_t n)
{
    return n < INT_MAX ? (uInt)n : (uInt)INT_MAX;
}

/* zlib counts in 32 bits: larger members go through it in pieces. */
static int inflate_pieces(z_stream *zs, const Member *m, uint8_t *out)
{
    size_t in_left = (size_t)m->packed, out_left = (size_t)m->size;
    zs->next_out = out;
    int rc = Z_OK;
    while (rc == Z_OK) {
        uInt in = zs->avail_in = piece(in_left);
        uInt room = zs->avail_out = piece(out_left);
        rc = inflate(zs, Z_NO_FLUSH);
        in_left -= in - zs->avail_in;
        out_left -= room - zs->avail_out;
    }
    return rc == Z_STREAM_END && (in_left || out_left) ? Z_BUF_ERROR : rc;
}

static bool inflate_member(const Member *m, const uint8_t *packed, size_t at, uint8_t *out,
                           Err *err)
{
    z_stream zs = {.next_in = (z_const Bytef *)(uintptr_t)packed};
    if (inflateInit2(&zs, -MAX_WBITS) != Z_OK)
        return err_set(err, ERR_DEVICE, "not enough memory to inflate");
    int rc = inflate_pieces(&zs, m, out);
    if (rc != Z_STREAM_END)
        err_set(err, rc == Z_MEM_ERROR ? ERR_DEVICE : ERR_DATA,
                "corrupt at byte %zu: %s, %llu of %llu bytes inflated",
                at + (size_t)(zs.next_in - packed),
                zs.msg ? zs.msg : "the stream does not end there",
                (unsigned long long)(zs.next_out - out), (unsigned long long)m->size);
    inflateEnd(&zs);
    return rc == Z_STREAM_END && check_crc(m, out, err);
}

static bool read_deflated(HostArray *out, const Member *m, const uint8_t *packed, size_t at,
                          Err *err)
{
    if (m->size > m->packed * DEFLATE_MAX_RATIO + DEFLATE_SLACK)
        return err_set(err, ERR_DATA, "corrupt: %llu deflated bytes cannot hold %llu bytes",
                       (unsigned long long)m->packed, (unsigned long long)m->size);
    uint8_t *bytes = host_alloc((size_t)m->size, err);
    if (!bytes)
        return false;
    if (!inflate_member(m, packed, at, bytes, err) ||
        !npy_parse(out, bytes, (size_t)m->size, err)) {
        free(bytes);
        return false;
    }
    if (out->owned) /* converted: the inflated bytes are not needed any more */
        free(bytes);
    else
        out->owned = bytes;
    return true;
}

static bool read_member(HostArray *out, const Zip *z, const Member *m, Err *err)
{
    size_t at = 0;
    if (!find_data(z, m, &at, err))
        return false;
    if (m->method == 8)
        return read_deflated(out, m, z->data + at, at, err);
    if (m->method != 0)
        return err_set(err, ERR_DATA,
                       "compressed by zip method %u; only stored (0) and deflated (8) are read",
                       m->method);
    if (m->size != m->packed)
        return err_set(err, ERR_DATA, "zip: a stored member of %llu bytes that unpacks to %llu",
                       (unsigned long long)m->packed, (unsigned long long)m->size);
    return check_crc(m, z->data + at, err) && npy_parse(out, z->data + at, (size_t)m->size, err);
}

bool npz_parse(HostArray *out, HostFile file, const char *member, Err *err)
{
    *out = (HostArray){0};
    Zip z;
    Member m = {0};
    if (!open_zip(&z, file, err) || !find_member(&z, member, &m, err))
        return false;
    if (read_member(out, &z, &m, err))
        return true;
    return err_context(err, "array `%s`", member);
}
