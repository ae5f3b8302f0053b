/* cmd_report.c: `mdl report`: a run as one HTML page that needs no other file: curves of what run.jsonl logged,
 * evaluations, events, times of kernels, the plan and how the run was started. */
#include "chart.h"
#include "runfolder.h"
#include <jansson.h>
#include <math.h>

enum { LOG_LIMIT = 1 << 30, MAX_KERNELS = 40 };

typedef struct EvalCurve {
    const char *name;
    Chart chart;
} EvalCurve;

typedef struct Event {
    const char *what;
    int64_t step;
} Event;

/* What the log of one stage says. */
typedef struct Log {
    Arena *arena;
    Chart loss, lr, gnorm, speed;
    VEC(EvalCurve) evals;
    VEC(Event) events;
    double seconds, memory;
    int64_t step;
} Log;

/* ---- reading ---- */

static void add_point(Log *log, Chart *c, const json_t *line, const char *key)
{
    const json_t *v = json_object_get(line, key);
    ChartPoint p = {(double)log->step, json_is_number(v) ? json_number_value(v) : (double)NAN};
    if (v)
        VEC_PUSH(log->arena, &c->points, p);
}

static Chart *eval_chart(Log *log, const char *name)
{
    for (uint32_t i = 0; i < log->evals.n; i++)
        if (strcmp(log->evals.at[i].name, name) == 0)
            return &log->evals.at[i].chart;
    EvalCurve e = {.name = arena_strdup(log->arena, name)};
    e.chart.title = e.name;
    e.chart.dots = true;
    VEC_PUSH(log->arena, &log->evals, e);
    return &VEC_LAST(&log->evals).chart;
}

static void add_eval(Log *log, const json_t *line)
{
    const char *eval = json_string_value(json_object_get(line, "eval"));
    json_t *metrics = json_object_get(line, "metrics");
    const char *name;
    json_t *value;
    json_object_foreach(metrics, name, value)
    {
        Chart *c = eval_chart(log, arena_printf(log->arena, "%s: %s", eval ? eval : "?", name));
        ChartPoint p = {(double)log->step,
                        json_is_number(value) ? json_number_value(value) : (double)NAN};
        VEC_PUSH(log->arena, &c->points, p);
    }
}

static void add_line(Log *log, const json_t *line)
{
    const char *event = json_string_value(json_object_get(line, "event"));
    log->step = json_integer_value(json_object_get(line, "step"));
    if (event && strcmp(event, "eval") == 0) {
        add_eval(log, line);
    } else if (event) {
        Event e = {arena_strdup(log->arena, event), log->step};
        VEC_PUSH(log->arena, &log->events, e);
    } else {
        add_point(log, &log->loss, line, "loss");
        add_point(log, &log->lr, line, "lr");
        add_point(log, &log->gnorm, line, "gnorm");
        const char *speed =
            json_object_get(line, "tokens_per_s") ? "tokens_per_s" : "samples_per_s";
        log->speed.title = *speed == 't' ? "tokens a second" : "samples a second";
        add_point(log, &log->speed, line, speed);
        log->seconds = json_number_value(json_object_get(line, "seconds"));
        log->memory = fmax(log->memory, json_number_value(json_object_get(line, "memory_mb")));
    }
}

/* A line that is no JSON was cut off by a kill. */
static bool read_log(Log *log, const char *dir, Err *err)
{
    Bytes text;
    const char *path = path_join(log->arena, dir, "run.jsonl");
    log->loss.title = "loss";
    log->lr.title = "learning rate";
    log->gnorm.title = "norm of the gradient";
    log->speed.title = "speed";
    if (!file_exists(path)) {
        err_set(err, ERR_FILE, "%s has no log: there is no %s", dir, path);
        return err_help(err, "give the folder of a run that logs to jsonl");
    }
    if (!file_read(log->arena, path, LOG_LIMIT, &text, err))
        return false;
    for (size_t at = 0; at < text.n;) {
        const char *end = memchr(text.data + at, '\n', text.n - at);
        size_t n = end ? (size_t)(end - text.data) - at : text.n - at;
        json_t *line = json_loadb(text.data + at, n, 0, NULL);
        if (json_is_object(line))
            add_line(log, line);
        json_decref(line);
        at += n + 1;
    }
    return true;
}

/* ---- writing ---- */

static void put_row(StrBuf *sb, const char *name, const char *value)
{
    sb_puts(sb, "<tr><th>");
    chart_text(sb, name);
    sb_puts(sb, "</th><td>");
    chart_text(sb, value);
    sb_puts(sb, "</td></tr>\n");
}

static void put_evals(StrBuf *sb, const Log *log)
{
    if (log->evals.n)
        sb_puts(sb, "<h3>Evaluations</h3>\n<table><tr><th>metric</th><th>last</th><th>step</th>"
                    "</tr>\n");
    for (uint32_t i = 0; i < log->evals.n; i++) {
        const Chart *c = &log->evals.at[i].chart;
        const ChartPoint *last = &VEC_LAST(&c->points);
        sb_puts(sb, "<tr><td>");
        chart_text(sb, log->evals.at[i].name);
        sb_printf(sb, "</td><td>%.6g</td><td>%.0f</td></tr>\n", last->y, last->x);
    }
    if (log->evals.n)
        sb_puts(sb, "</table>\n");
    for (uint32_t i = 0; i < log->evals.n; i++)
        chart_put(sb, &log->evals.at[i].chart);
}

static void put_events(StrBuf *sb, const Log *log)
{
    uint32_t saves = 0;
    sb_puts(sb, "<h3>Events</h3>\n<p>");
    for (uint32_t i = 0; i < log->events.n; i++) {
        bool save = strcmp(log->events.at[i].what, "save") == 0;
        saves += save;
        if (save)
            continue;
        chart_text(sb, log->events.at[i].what);
        sb_printf(sb, " at step %lld; ", (long long)log->events.at[i].step);
    }
    sb_printf(sb, "%u checkpoints.</p>\n", saves);
}

/* The longest of them, with bars. */
static void put_kernels(StrBuf *sb, Arena *arena, const char *dir)
{
    Bytes text;
    const char *path = path_join(arena, dir, "kernels.json");
    if (!file_exists(path) || !file_read(arena, path, LOG_LIMIT, &text, NULL))
        return;
    json_t *all = json_loadb(text.data, text.n, 0, NULL);
    double total = 0;
    for (size_t i = 0; i < json_array_size(all); i++)
        total += json_number_value(json_object_get(json_array_get(all, i), "seconds"));
    sb_printf(sb,
              "<h3>Kernels</h3>\n<p>%zu kernels ran for %.3g s in the process that trained "
              "last.</p>\n<table><tr><th>kernel</th><th>class</th><th>launches</th>"
              "<th>seconds</th><th>share</th></tr>\n",
              json_array_size(all), total);
    for (size_t i = 0; i < json_array_size(all) && i < MAX_KERNELS; i++) {
        const json_t *k = json_array_get(all, i);
        const char *name = json_string_value(json_object_get(k, "kernel"));
        const char *cls = json_string_value(json_object_get(k, "class"));
        double seconds = json_number_value(json_object_get(k, "seconds"));
        double share = total > 0 ? 100 * seconds / total : 0;
        sb_puts(sb, "<tr><td>");
        chart_text(sb, name ? name : "?");
        sb_puts(sb, "</td><td>");
        chart_text(sb, cls ? cls : "?");
        sb_printf(sb,
                  "</td><td>%lld</td><td>%.4g</td><td><div class=\"bar\" style=\"width:%.1fpx\">"
                  "</div>%.1f %%</td></tr>\n",
                  (long long)json_integer_value(json_object_get(k, "launches")), seconds, share * 2,
                  share);
    }
    sb_puts(sb, "</table>\n");
    json_decref(all);
}

static bool put_stage(Cli *cli, StrBuf *sb, const char *work, const char *name, Err *err)
{
    Log log = {.arena = cli->arena};
    if (!read_log(&log, work, err))
        return false;
    sb_puts(sb, "<h2>");
    chart_text(sb, name);
    sb_puts(sb, "</h2>\n<table>\n");
    put_row(sb, "steps", arena_printf(cli->arena, "%lld", (long long)log.step));
    put_row(sb, "seconds, of the last process", arena_printf(cli->arena, "%.1f", log.seconds));
    put_row(sb, "memory", arena_printf(cli->arena, "%.0f MB", log.memory));
    sb_puts(sb, "</table>\n");
    const Chart *charts[] = {&log.loss, &log.lr, &log.gnorm, &log.speed};
    for (size_t i = 0; i < COUNT(charts); i++)
        chart_put(sb, charts[i]);
    put_evals(sb, &log);
    put_events(sb, &log);
    put_kernels(sb, cli->arena, work);
    return true;
}

static void put_plan(Cli *cli, StrBuf *sb, const char *path)
{
    Plan *plan = file_exists(path) ? plan_load(path, NULL) : NULL;
    if (!plan)
        return;
    StrBuf text = sb_new(cli->arena);
    plan_print(plan, PP_SUMMARY, &text);
    sb_puts(sb, "<pre>");
    chart_text(sb, sb_text(&text));
    sb_puts(sb, "</pre>\n");
    plan_free(plan);
}

static const char head[] =
    "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
    "<meta name=\"viewport\" content=\"width=device-width\">\n<style>\n"
    "body{font:15px/1.5 system-ui,sans-serif;max-width:1000px;margin:2em auto;padding:0 1em;"
    "color:#222}\n"
    "table{border-collapse:collapse;margin:.6em 0}th,td{text-align:left;padding:.15em .8em .15em 0;"
    "border-bottom:1px solid #eee}\nth{font-weight:600}pre{background:#f6f6f6;padding:1em;"
    "overflow:auto}\n"
    "svg{display:block;margin:.8em 0;max-width:100%;height:auto}\n"
    "svg text{font-size:11px;fill:#666}svg .t{font-size:13px;fill:#222}"
    "svg .y{text-anchor:end}svg .x{text-anchor:middle}\n"
    "svg .grid{stroke:#eee}polyline{fill:none;stroke:#1766b1;stroke-width:1.5}"
    "circle{fill:#1766b1}\n"
    ".bar{display:inline-block;height:.8em;background:#1766b1;margin-right:.5em}\n"
    "</style>\n";

static void put_configuration(StrBuf *sb, const RunInfo *info)
{
    sb_puts(sb, "<h2>Configuration</h2>\n<table>\n");
    put_row(sb, "program", info->source ? info->source : "?");
    for (uint32_t i = 0; i < info->sets.n; i++)
        put_row(sb, "--set", info->sets.at[i]);
    put_row(sb, "mdl", info->version ? info->version : "?");
    sb_printf(sb, "<tr><th>hash</th><td>%016llx</td></tr>\n</table>\n",
              (unsigned long long)info->hash);
}

/* Stages that have not begun are left out. */
static bool put_run(Cli *cli, StrBuf *sb, const char *dir, const RunInfo *info, Err *err)
{
    bool several = info->stages.n > 1, any = false;
    for (uint32_t i = 0; several && i < info->stages.n; i++) {
        RunFolder f = run_folder_of_stage(cli, dir, info->stages.at[i].name);
        if (!file_exists(path_join(cli->arena, f.work, "run.jsonl")))
            continue;
        any = true;
        if (!put_stage(cli, sb, f.work, info->stages.at[i].name, err))
            return false;
        put_plan(cli, sb, f.plan);
    }
    if (several && !any)
        return err_set(err, ERR_FILE, "%s: no stage has begun", dir);
    if (several)
        return true;
    RunFolder f;
    if (!put_stage(cli, sb, dir, "Training", err))
        return false;
    Err ignored = {0};
    if (run_folder_open(cli, dir, false, &f, &ignored))
        put_plan(cli, sb, f.plan);
    return true;
}

bool cmd_report(Cli *cli, Err *err)
{
    const char *dir = cli_file(cli, err);
    RunInfo info;
    bool found;
    if (!dir)
        return false;
    if (!file_is_dir(dir)) {
        usage_error(err, "%s is no folder of a run", dir);
        return err_help(err, "mdl train says which folder its run has: runs/NAME-HASH");
    }
    if (!run_info_read(cli, dir, &info, &found, err))
        return false;
    StrBuf sb = sb_new(cli->arena);
    sb_puts(&sb, head);
    sb_puts(&sb, "<title>");
    chart_text(&sb, dir);
    sb_puts(&sb, "</title></head><body>\n<h1>");
    chart_text(&sb, dir);
    sb_puts(&sb, "</h1>\n");
    if (!put_run(cli, &sb, dir, &info, err))
        return false;
    put_configuration(&sb, &info);
    sb_puts(&sb, "</body></html>\n");
    const char *out = cli->value[OPT_out];
    out = out ? out : path_join(cli->arena, dir, "report.html");
    if (!file_write_atomic(out, sb.text, sb.n, err))
        return false;
    puts(out);
    return true;
}
