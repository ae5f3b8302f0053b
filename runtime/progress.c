/* progress.c: the line that tells how a run is doing. Results go to stdout; this is stderr. */
#include "progress.h"
#include "clock.h"
#include <math.h>
#include <stdarg.h>
#include <unistd.h>

static const double redraw_seconds = 0.1;

void progress_begin(Progress *p, const char *stage, int64_t step, int64_t total, bool quiet)
{
    *p = (Progress){.stage = stage,
                    .total = total,
                    .quiet = quiet,
                    .terminal = isatty(STDERR_FILENO) == 1,
                    .began_at = clock_now(),
                    .began_step = step};
}

static void put_rate(StrBuf *sb, double rate, const char *what)
{
    if (rate >= 1e6)
        sb_printf(sb, "  %.3gM %s/s", rate / 1e6, what);
    else if (rate >= 1e4)
        sb_printf(sb, "  %.1fk %s/s", rate / 1e3, what);
    else
        sb_printf(sb, "  %.0f %s/s", rate, what);
}

static void put_eta(StrBuf *sb, double seconds)
{
    if (!(seconds >= 0) || seconds > 1e8)
        return;
    long s = lround(seconds);
    if (s >= 3600)
        sb_printf(sb, "  eta %ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    else
        sb_printf(sb, "  eta %ld:%02ld", s / 60, s % 60);
}

void progress_format(StrBuf *sb, const Progress *p, const RunPoint *point)
{
    sb_printf(sb, "%s %lld/%lld  loss %.4g  lr %.3g", p->stage, (long long)point->step,
              (long long)p->total, point->loss, point->lr);
    if (isfinite(point->gnorm))
        sb_printf(sb, "  gnorm %.3g", point->gnorm);
    for (uint32_t i = 0; i < point->ntap; i++)
        sb_printf(sb, "  %s %.3g", point->taps[i].name, point->taps[i].value);
    if (point->tokens_per_s > 0)
        put_rate(sb, point->tokens_per_s, "tokens");
    else
        put_rate(sb, point->samples_per_s, "samples");
    int64_t done = point->step - p->began_step;
    if (done > 0)
        put_eta(sb, point->seconds / (double)done * (double)(p->total - point->step));
}

/* Over the live line, which it ends or replaces. */
static void print(Progress *p, const char *text, bool live)
{
    fprintf(stderr, "%s%s%s", p->drawn ? "\r\033[K" : "", text, live ? "" : "\n");
    fflush(stderr);
    p->drawn = live;
}

static void print_point(Progress *p, const RunPoint *point, bool live)
{
    Arena *arena = arena_new();
    StrBuf sb = sb_new(arena);
    progress_format(&sb, p, point);
    print(p, sb_text(&sb), live);
    arena_free(arena);
}

void progress_live(Progress *p, const RunPoint *point)
{
    double now = clock_now();
    if (p->quiet || p->silent || !p->terminal || (p->drawn && now - p->drawn_at < redraw_seconds))
        return;
    print_point(p, point, true);
    p->drawn_at = now;
}

void progress_log(Progress *p, const RunPoint *point)
{
    if (!p->quiet && !p->silent && !p->terminal)
        print_point(p, point, false);
}

PRINTF_LIKE(3, 0)
static void say(Progress *p, const char *before, const char *fmt, va_list args)
{
    char text[1200];
    vsnprintf(text, sizeof text, fmt, args);
    fprintf(stderr, "%s%s%s\n", p->drawn ? "\r\033[K" : "", before, text);
    fflush(stderr);
    p->drawn = false;
}

void progress_say(Progress *p, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    if (!p->quiet)
        say(p, "", fmt, args);
    va_end(args);
}

void progress_warn(Progress *p, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    say(p, "warning: ", fmt, args);
    va_end(args);
}

void progress_end(Progress *p)
{
    if (p->drawn)
        fputc('\n', stderr);
    p->drawn = false;
}

void progress_compiling(void *user, uint32_t done, uint32_t total)
{
    UNUSED(user);
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\rcompiling kernels %u/%u%s", done, total,
                done == total ? "\r\033[K" : "");
    else if (!done)
        fprintf(stderr, "compiling %u kernels\n", total);
}
