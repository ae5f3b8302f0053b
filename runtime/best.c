/* best.c: checkpoints/BEST: one line each, "STEP VALUE", of the best checkpoint and of the one that was it
 * before. It is written before the checkpoint that it names: a run that is killed between the two goes on from
 * an earlier step, where the second line still holds. */
#include "best.h"
#include <math.h>

enum { LIMIT = 4096 };

static const char *file_of(Arena *arena, const char *run_dir)
{
    return path_join(arena, run_dir, "checkpoints/BEST");
}

bool best_write(const char *run_dir, const Best *now, const Best *before, Err *err)
{
    Arena *arena = arena_new();
    StrBuf sb = sb_new(arena);
    sb_printf(&sb, "%lld %.17g\n", (long long)now->step, now->value);
    if (before->step >= 0)
        sb_printf(&sb, "%lld %.17g\n", (long long)before->step, before->value);
    bool ok = file_mkdirs(path_join(arena, run_dir, "checkpoints"), err) &&
              file_write_atomic(file_of(arena, run_dir), sb_text(&sb), sb.n, err);
    arena_free(arena);
    return ok;
}

static bool read_line(const char **at, Best *out)
{
    char *end;
    out->step = strtoll(*at, &end, 10);
    if (end == *at || *end != ' ' || out->step < 0)
        return false;
    const char *value = end + 1;
    out->value = strtod(value, &end);
    bool ok = end != value && *end == '\n' && isfinite(out->value);
    *at = end + ok;
    return ok;
}

static bool has_checkpoint(Arena *arena, const char *run_dir, int64_t step)
{
    return file_is_dir(arena_printf(arena, "%s/checkpoints/step-%lld", run_dir, (long long)step));
}

static bool read_file(Arena *arena, const char *run_dir, int64_t last, Best *out, Err *err)
{
    const char *path = file_of(arena, run_dir);
    Bytes bytes;
    if (!file_read(arena, path, LIMIT, &bytes, err))
        return false;
    const char *at = arena_strndup(arena, bytes.data, bytes.n);
    for (int line = 0; *at && line < 2; line++) {
        Best b;
        if (!read_line(&at, &b))
            return err_set(err, ERR_DATA, "%s: line %d is no step with a value", path, line + 1);
        if (out->step < 0 && b.step <= last && has_checkpoint(arena, run_dir, b.step))
            *out = b;
    }
    return true;
}

bool best_read(const char *run_dir, int64_t last, Best *out, Err *err)
{
    Arena *arena = arena_new();
    *out = (Best){.step = -1};
    bool ok = !file_exists(file_of(arena, run_dir)) || read_file(arena, run_dir, last, out, err);
    if (!ok)
        err_help(err, "without that file the run counts anew which checkpoint is the best");
    arena_free(arena);
    return ok;
}
