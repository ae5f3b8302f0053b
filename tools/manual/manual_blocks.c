/* manual_blocks.c: the attributes of blocks, from schema.def. */
#include "manual.h"

enum { NOW, LATER };

typedef struct Attribute {
    const char *block, *name;
    bool required;
    int since;
    const char *kind, *words, *doc;
} Attribute;

static const Attribute attributes[] = {
#define ATTR(block, name, required, since, kind, words, doc) \
    {#block, #name, required, since, #kind, words, doc},
#include "schema.def"
#undef ATTR
};

/* The kind in small letters; of words: the words. */
static void put_kind(StrBuf *sb, const Attribute *a)
{
    if (*a->words) {
        sb_puts(sb, "one of `");
        manual_cell(sb, a->words);
        sb_putc(sb, '`');
        return;
    }
    for (const char *at = a->kind; *at; at++)
        sb_putc(sb, *at >= 'A' && *at <= 'Z' ? (char)(*at - 'A' + 'a') : *at);
}

void manual_blocks(StrBuf *sb)
{
    const char *block = "";
    sb_puts(sb,
            "# Attributes of blocks\n\n"
            "<!-- made by tools/manual from compiler/front/schema.def -->\n\n"
            "What may stand in the blocks of a program ([language.md](language.md), section 9). An "
            "unknown\n"
            "attribute is `E0801`, one of another type `E0802`, a missing one `E0803`. Those "
            "marked ○ are checked\n"
            "in full, and refused with `E0199` by whoever makes a plan: they cannot be run yet.\n");
    for (size_t i = 0; i < COUNT(attributes); i++) {
        const Attribute *a = &attributes[i];
        if (strcmp(a->block, block) != 0)
            sb_printf(sb, "\n## %s\n\n| attribute | value | | meaning |\n|---|---|---|---|\n",
                      a->block);
        block = a->block;
        sb_printf(sb, "| `%s` | ", a->name);
        put_kind(sb, a);
        sb_printf(sb, " | %s%s | ", a->required ? "required" : "", a->since == LATER ? " ○" : "");
        manual_cell(sb, a->doc);
        sb_puts(sb, " |\n");
    }
}
