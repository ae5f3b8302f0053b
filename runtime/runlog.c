/* runlog.c: run.jsonl. Each object is one write() in append mode, so a kill leaves whole lines but
 * perhaps the last, and several readers may follow the file. */
#include "runlog.h"
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <unistd.h>

enum { LOG_LIMIT = 1 << 30 };

/* ---- taking back what will be done again ---- */

static bool is_kept(const char *line, size_t n, int64_t step)
{
    json_t *json = json_loadb(line, n, 0, NULL);
    const json_t *at = json_object_get(json, "step");
    bool kept = json_is_integer(at) && json_integer_value(at) <= step;
    json_decref(json);
    return kept;
}

/* The lines up to the step; a torn last line is no JSON and goes too. */
static bool drop_behind(Arena *arena, const char *path, int64_t step, Err *err)
{
    Bytes old;
    if (!file_exists(path))
        return true;
    if (!file_read(arena, path, LOG_LIMIT, &old, err))
        return false;
    StrBuf kept = sb_new(arena);
    for (size_t at = 0; step > 0 && at < old.n;) {
        const char *line = old.data + at;
        const char *end = memchr(line, '\n', old.n - at);
        if (!end)
            break;
        size_t n = (size_t)(end - line) + 1;
        if (is_kept(line, n, step))
            sb_putn(&kept, line, n);
        at += n;
    }
    const char *text = sb_text(&kept);
    size_t n = strlen(text);
    return n == old.n || file_write_atomic(path, text, n, err);
}

bool runlog_open(RunLog *log, const char *run_dir, int64_t step, Err *err)
{
    Arena *arena = arena_new();
    const char *path = path_join(arena, run_dir, "run.jsonl");
    bool ok = drop_behind(arena, path, step, err);
    log->fd = ok ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666) : -1;
    if (ok && log->fd < 0)
        ok = err_set(err, ERR_FILE, "cannot open %s: %s", path, strerror(errno));
    arena_free(arena);
    if (ok)
        runlog_event(log, step > 0 ? "resume" : "start", step);
    return ok;
}

void runlog_close(RunLog *log)
{
    if (log->fd >= 0)
        close(log->fd);
    log->fd = -1;
}

/* ---- writing ---- */

static bool write_all(int fd, const char *text, size_t left)
{
    while (left) {
        ssize_t n = write(fd, text, left);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        text += n;
        left -= (size_t)n;
    }
    return true;
}

/* Behind a line that was cut off stands a line end: only that line is lost. */
static void put_line(RunLog *log, StrBuf *sb)
{
    if (log->fd < 0)
        return; /* the program wants no log */
    sb_puts(sb, "}\n");
    const char *text = sb_text(sb);
    bool ok = (!log->torn || write_all(log->fd, "\n", 1)) && write_all(log->fd, text, strlen(text));
    log->torn = !ok;
    if (!ok && !log->failed)
        fprintf(stderr, "warning: cannot write run.jsonl: %s; the run goes on\n", strerror(errno));
    log->failed = log->failed || !ok;
}

static void put_number(StrBuf *sb, const char *key, double value)
{
    sb_printf(sb, ",\"%s\":", key);
    if (isfinite(value))
        sb_double(sb, value);
    else
        sb_puts(sb, "null");
}

/* A quoted string: names come from programs and may hold anything. */
static void put_string(StrBuf *sb, const char *text)
{
    json_t *json = json_string(text);
    char *quoted = json ? json_dumps(json, JSON_ENCODE_ANY) : NULL;
    sb_puts(sb, quoted ? quoted : "\"?\"");
    free(quoted);
    json_decref(json);
}

/* "key":{"name":1.5} */
static void put_metrics(StrBuf *sb, const char *key, const EvalMetric *metrics, uint32_t n)
{
    sb_printf(sb, ",\"%s\":{", key);
    for (uint32_t m = 0; m < n; m++) {
        sb_puts(sb, m ? "," : "");
        put_string(sb, metrics[m].name);
        sb_putc(sb, ':');
        if (isfinite(metrics[m].value))
            sb_double(sb, metrics[m].value);
        else
            sb_puts(sb, "null");
    }
    sb_putc(sb, '}');
}

void runlog_step(RunLog *log, const RunPoint *p)
{
    Arena *arena = arena_new();
    StrBuf sb = sb_new(arena);
    sb_printf(&sb, "{\"step\":%lld", (long long)p->step);
    put_number(&sb, "epoch", p->epoch);
    put_number(&sb, "loss", p->loss);
    put_number(&sb, "lr", p->lr);
    put_number(&sb, "gnorm", p->gnorm);
    if (p->ntap)
        put_metrics(&sb, "taps", p->taps, p->ntap);
    put_number(&sb, "samples_per_s", round(p->samples_per_s * 10) / 10);
    if (p->tokens_per_s > 0)
        put_number(&sb, "tokens_per_s", round(p->tokens_per_s));
    put_number(&sb, "wait", round(p->wait * 1e4) / 1e4);
    put_number(&sb, "memory_mb", round(p->memory));
    put_number(&sb, "seconds", round(p->seconds * 1000) / 1000);
    put_line(log, &sb);
    arena_free(arena);
}

void runlog_eval(RunLog *log, const RunEval *eval)
{
    Arena *arena = arena_new();
    StrBuf sb = sb_new(arena);
    sb_printf(&sb, "{\"event\":\"eval\",\"step\":%lld,\"eval\":", (long long)eval->step);
    put_string(&sb, eval->name);
    sb_printf(&sb, ",\"rows\":%lld", (long long)eval->rows);
    put_metrics(&sb, "metrics", eval->metrics, eval->nmetric);
    put_number(&sb, "seconds", round(eval->seconds * 1000) / 1000);
    put_line(log, &sb);
    arena_free(arena);
}

void runlog_sample(RunLog *log, const RunSample *s)
{
    Arena *arena = arena_new();
    StrBuf sb = sb_new(arena);
    sb_printf(&sb, "{\"event\":\"sample\",\"step\":%lld,\"sample\":", (long long)s->step);
    sb_json(&sb, s->name, strlen(s->name));
    sb_puts(&sb, ",\"prompt\":");
    sb_json(&sb, s->prompt, strlen(s->prompt));
    sb_puts(&sb, ",\"text\":");
    sb_json(&sb, s->text, s->ntext);
    put_line(log, &sb);
    arena_free(arena);
}

void runlog_event(RunLog *log, const char *event, int64_t step)
{
    Arena *arena = arena_new();
    StrBuf sb = sb_new(arena);
    sb_printf(&sb, "{\"event\":\"%s\",\"step\":%lld", event, (long long)step);
    put_line(log, &sb);
    arena_free(arena);
}
