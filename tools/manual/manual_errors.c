/* manual_errors.c: the index of diagnostics, from diags.def. */
#include "diag.h"
#include "manual.h"

static const struct {
    const char *digits, *title;
} groups[] = {
    {"E01", "Text and syntax"},
    {"E02", "Names"},
    {"E03", "Modules and calls"},
    {"E04", "Shapes"},
    {"E05", "Element types and values"},
    {"E06", "Derivatives"},
    {"E07", "Data"},
    {"E08", "Blocks and training"},
    {"E09", "Devices"},
    {"E10", "Weights"},
    {"W01", "Warnings"},
};

static void put_group(StrBuf *sb, size_t g)
{
    bool any = false;
    for (int c = 0; c < DIAG_COUNT; c++) {
        const char *name = diag_code_name((DiagCode)c);
        if (strncmp(name, groups[g].digits, 3) != 0)
            continue;
        if (!any)
            sb_printf(sb, "\n## %s\n\n| code | |\n|---|---|\n", groups[g].title);
        any = true;
        sb_printf(sb, "| [%s](explain/%s.md) | ", name, name);
        manual_cell(sb, diag_code_title((DiagCode)c));
        sb_puts(sb, " |\n");
    }
}

void manual_errors(StrBuf *sb)
{
    sb_puts(sb,
            "# Diagnostics\n\n"
            "<!-- made by tools/manual from base/diags.def -->\n\n"
            "Every message of the compiler has a code; `mdl explain CODE` shows its page, with a\n"
            "wrong and a right program.\n");
    for (size_t g = 0; g < COUNT(groups); g++)
        put_group(sb, g);
}
