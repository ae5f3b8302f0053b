/* manual.c: mdl-manual [--check] DIR: writes ops.md, errors.md, std.md and blocks.md into DIR; or says which of
 * those there are not what it would write, and exits with 1. */
#include "manual.h"

static const struct {
    const char *name;
    void (*make)(StrBuf *sb);
} pages[] = {{"ops.md", manual_ops},
             {"errors.md", manual_errors},
             {"std.md", manual_std},
             {"blocks.md", manual_blocks}};

void manual_cell(StrBuf *sb, const char *text)
{
    for (; *text; text++) {
        if (*text == '|')
            sb_putc(sb, '\\');
        sb_putc(sb, *text);
    }
}

static bool is_current(Arena *arena, const char *path, StrBuf *page)
{
    Err err = {0};
    Bytes file;
    return file_read(arena, path, 1 << 24, &file, &err) && file.n == page->n &&
           memcmp(file.data, sb_text(page), page->n) == 0;
}

int main(int argc, char **argv)
{
    bool check = argc == 3 && strcmp(argv[1], "--check") == 0;
    if (!check && argc != 2) {
        fputs("usage: mdl-manual [--check] DIR\n", stderr);
        return 2;
    }
    Arena *arena = arena_new();
    Err err = {0};
    int wrong = 0;
    for (size_t i = 0; i < COUNT(pages); i++) {
        StrBuf sb = sb_new(arena);
        pages[i].make(&sb);
        const char *path = path_join(arena, argv[argc - 1], pages[i].name);
        if (check && !is_current(arena, path, &sb)) {
            fprintf(stderr, "%s is not current: mdl-manual DIR writes it\n", path);
            wrong = 1;
        } else if (!check && !file_write_atomic(path, sb_text(&sb), sb.n, &err)) {
            fprintf(stderr, "%s\n", err.text);
            wrong = 1;
        }
    }
    arena_free(arena);
    return wrong;
}
