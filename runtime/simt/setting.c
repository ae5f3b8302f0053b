/* setting.c: what $MDL_SIMT asks of the device simt. */
#include "setting.h"

static const char *const mode_names[] = {
    [SIMT_PLAIN] = "plain", [SIMT_CHECK] = "check", [SIMT_ASAN] = "asan"};
static const char *const archs[] = {"sm_80", "sm_90a"};

static bool is_word(const char *part, size_t n, const char *word)
{
    return strlen(word) == n && memcmp(part, word, n) == 0;
}

/* The number behind `name=`; false: the part is something else, or not a number. */
static bool number_of(const char *part, size_t n, const char *name, uint64_t *out)
{
    size_t prefix = strlen(name);
    if (n <= prefix || n > prefix + 18 || memcmp(part, name, prefix) != 0)
        return false;
    uint64_t x = 0;
    for (size_t i = prefix; i < n; i++) {
        if (part[i] < '0' || part[i] > '9')
            return false;
        x = 10 * x + (uint64_t)(part[i] - '0');
    }
    *out = x;
    return true;
}

static bool take_part(const char *part, size_t n, SimtSetting *out)
{
    uint64_t x;
    for (size_t i = 0; i < COUNT(mode_names); i++)
        if (is_word(part, n, mode_names[i])) {
            out->mode = (SimtMode)i;
            return true;
        }
    for (size_t i = 0; i < COUNT(archs); i++)
        if (n > 5 && memcmp(part, "arch=", 5) == 0 && is_word(part + 5, n - 5, archs[i])) {
            out->arch = archs[i];
            return true;
        }
    if (number_of(part, n, "seed=", &x)) {
        out->seed = x;
        return true;
    }
    if (number_of(part, n, "orders=", &x) && x && x <= 1000) {
        out->orders = (uint32_t)x;
        return true;
    }
    return false;
}

bool simt_setting(const char *text, SimtSetting *out, Err *err)
{
    *out = (SimtSetting){.mode = SIMT_PLAIN, .orders = 1, .arch = archs[0]};
    for (const char *part = text ? text : ""; *part;) {
        size_t n = strcspn(part, ",");
        if (!take_part(part, n, out)) {
            err_set(err, ERR_USAGE, "$MDL_SIMT: `%.*s` is not known", (int)(n < 80 ? n : 80), part);
            return err_help(err, "plain, check or asan; then seed=N, orders=N, arch=sm_80 or "
                                 "arch=sm_90a, with commas between");
        }
        part += n + (part[n] == ',');
    }
    return true;
}
