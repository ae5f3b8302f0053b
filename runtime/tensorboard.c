/* tensorboard.c: TFRecords of Event messages. A record is its length, the masked CRC-32C of the length, the
 * message and its masked CRC-32C. Messages are protocol buffers, of which four fields are needed:
 *
 *     Event   1 wall_time double   2 step int64   3 file_version string   5 Summary   7 SessionLog
 *     Summary 1 Value { 1 tag string   2 simple_value float }
 *
 * A SessionLog with status START tells readers to forget what a killed process logged behind the step. */
#include "tensorboard.h"
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <time.h>
#include <unistd.h>

enum { FIXED64 = 1, BYTES = 2, FIXED32 = 5 }; /* wire types; VARINT is 0 */

/* ---- records ---- */

/* Castagnoli's polynomial, bit by bit: an event has a hundred bytes. */
static uint32_t crc32c(const char *data, size_t n)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < n; i++) {
        crc ^= (uint8_t)data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return ~crc;
}

static void put_fixed(StrBuf *sb, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        sb_putc(sb, (char)(value >> 8 * i));
}

static void put_crc(StrBuf *sb, const char *data, size_t n)
{
    uint32_t crc = crc32c(data, n);
    put_fixed(sb, (crc >> 15 | crc << 17) + 0xa282ead8u, 4);
}

static bool write_all(int fd, const char *data, size_t n)
{
    while (n) {
        ssize_t put = write(fd, data, n);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return false;
        data += put;
        n -= (size_t)put;
    }
    return true;
}

static void put_record(BoardFile *f, const StrBuf *event)
{
    StrBuf sb = sb_new(event->arena);
    put_fixed(&sb, event->n, 8);
    put_crc(&sb, sb.text, 8);
    sb_putn(&sb, event->text, event->n);
    put_crc(&sb, event->text, event->n);
    if (!f->failed && !write_all(f->fd, sb.text, sb.n)) {
        fprintf(stderr, "warning: cannot write TensorBoard events: %s; the run goes on without\n",
                strerror(errno));
        f->failed = true; /* readers stop at a torn record */
    }
}

/* ---- messages ---- */

static void put_varint(StrBuf *sb, uint64_t value)
{
    for (; value >= 128; value >>= 7)
        sb_putc(sb, (char)(value | 128));
    sb_putc(sb, (char)value);
}

static void put_key(StrBuf *sb, int field, int wire)
{
    put_varint(sb, (uint64_t)(field << 3 | wire));
}

static void put_bytes(StrBuf *sb, int field, const char *data, size_t n)
{
    put_key(sb, field, BYTES);
    put_varint(sb, n);
    sb_putn(sb, data, n);
}

static StrBuf event_new(Arena *arena, int64_t step)
{
    StrBuf sb = sb_new(arena);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    double wall = (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
    uint64_t bits;
    memcpy(&bits, &wall, sizeof bits);
    put_key(&sb, 1, FIXED64);
    put_fixed(&sb, bits, 8);
    put_key(&sb, 2, 0);
    put_varint(&sb, (uint64_t)step);
    return sb;
}

static void put_scalar(StrBuf *summary, const char *tag, double value)
{
    if (!isfinite(value))
        return;
    StrBuf v = sb_new(summary->arena);
    float single = (float)value;
    uint32_t bits;
    memcpy(&bits, &single, sizeof bits);
    put_bytes(&v, 1, tag, strlen(tag));
    put_key(&v, 2, FIXED32);
    put_fixed(&v, bits, 4);
    put_bytes(summary, 1, v.text, v.n);
}

static void put_summary(BoardFile *f, int64_t step, const StrBuf *summary)
{
    StrBuf event = event_new(summary->arena, step);
    if (!summary->n)
        return;
    put_bytes(&event, 5, summary->text, summary->n);
    put_record(f, &event);
}

void board_step(BoardFile *f, const RunPoint *p)
{
    if (f->fd < 0)
        return;
    Arena *arena = arena_new();
    StrBuf s = sb_new(arena);
    put_scalar(&s, "train/loss", p->loss);
    put_scalar(&s, "train/lr", p->lr);
    put_scalar(&s, "train/grad_norm", p->gnorm);
    put_scalar(&s, "train/epoch", p->epoch);
    for (uint32_t i = 0; i < p->ntap; i++)
        put_scalar(&s, arena_printf(arena, "tap/%s", p->taps[i].name), p->taps[i].value);
    put_scalar(&s, "speed/samples_per_s", p->samples_per_s);
    if (p->tokens_per_s > 0)
        put_scalar(&s, "speed/tokens_per_s", p->tokens_per_s);
    put_scalar(&s, "speed/loader_wait", p->wait);
    put_summary(f, p->step, &s);
    arena_free(arena);
}

void board_eval(BoardFile *f, const RunEval *e)
{
    if (f->fd < 0)
        return;
    Arena *arena = arena_new();
    StrBuf s = sb_new(arena);
    for (uint32_t m = 0; m < e->nmetric; m++)
        put_scalar(&s, arena_printf(arena, "%s/%s", e->name, e->metrics[m].name),
                   e->metrics[m].value);
    put_summary(f, e->step, &s);
    arena_free(arena);
}

/* ---- the file ---- */

static void put_head(BoardFile *f, Arena *arena, int64_t step)
{
    static const char version[] = "brain.Event:2";
    StrBuf event = event_new(arena, 0);
    put_bytes(&event, 3, version, sizeof version - 1);
    put_record(f, &event);
    StrBuf start = event_new(arena, step + 1);
    put_bytes(&start, 7, "\x08\x01", 2); /* status = START */
    put_record(f, &start);
}

bool board_open(BoardFile *f, const char *run_dir, int64_t step, Err *err)
{
    Arena *arena = arena_new();
    char host[256] = "host";
    gethostname(host, sizeof host - 1);
    const char *path = NULL;
    long now = (long)time(NULL);
    f->fd = -1;
    for (int i = 0; i < 1000 && f->fd < 0; i++) {
        path = arena_printf(arena, "%s/events.out.tfevents.%010ld.%s.%ld.%d", run_dir, now, host,
                            (long)getpid(), i);
        f->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (f->fd < 0 && errno != EEXIST)
            break;
    }
    if (f->fd < 0)
        err_set(err, ERR_FILE, "cannot open %s: %s", path, strerror(errno));
    else
        put_head(f, arena, step);
    arena_free(arena);
    return f->fd >= 0;
}

void board_close(BoardFile *f)
{
    if (f->fd >= 0)
        close(f->fd);
    f->fd = -1;
}
