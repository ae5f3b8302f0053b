/* kernellines.c: #line directives of kernel text, left out or repeated.
 *
 * The compiler of the model writes one directive per run of statements, as people read it. C counts on
 * from there, so a debugger needs one for every line of the run. Where nobody asks for that, the text
 * is compiled without: messages then name the text itself, and moving a line of the model leaves
 * the names of cached kernels as they are. */
#include "kernellines.h"

static bool is_place(const char *line)
{
    return strncmp(line, "#line ", 6) == 0;
}

static size_t line_length(const char *line)
{
    size_t n = strcspn(line, "\n");
    return n + (line[n] == '\n');
}

void kernel_without_lines(StrBuf *out, const char *text)
{
    for (size_t n; *text; text += n) {
        n = line_length(text);
        if (!is_place(text))
            sb_putn(out, text, n);
    }
}

/* Comments of several lines begin a line of their own. */
static bool ends_in_comment(const char *line, size_t n, bool inside)
{
    for (size_t i = 0; i + 1 < n; i++) {
        if (!inside && line[i] == '/' && line[i + 1] == '*')
            inside = true;
        else if (inside && line[i] == '*' && line[i + 1] == '/')
            inside = false;
    }
    return inside;
}

void kernel_with_lines(StrBuf *out, const char *text)
{
    const char *place = NULL;
    bool comment = false;
    for (size_t n; *text; text += n) {
        n = line_length(text);
        if (is_place(text)) {
            place = text;
            continue;
        }
        if (place && !comment && *text != '#' && *text != '\n')
            sb_putn(out, place, line_length(place));
        sb_putn(out, text, n);
        comment = ends_in_comment(text, n, comment);
    }
}
