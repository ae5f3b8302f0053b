/* picture_print.c: boxes and arrows as text. */
#include "picture.h"

void picture_text(const Picture *pic, StrBuf *sb)
{
    sb_printf(sb, "%s\n", pic->title);
    for (uint32_t i = 0; i < pic->boxes.n; i++) {
        const Box *b = &pic->boxes.at[i];
        sb_printf(sb, "%4u  %s", i, b->name);
        if (*b->detail)
            sb_printf(sb, "  %s", b->detail);
        if (b->parameters)
            sb_printf(sb, "  %lld parameters", (long long)b->parameters);
        sb_putc(sb, '\n');
        for (uint32_t k = 0; k < pic->arrows.n; k++)
            if (pic->arrows.at[k].to == i)
                sb_printf(sb, "        <- %u  %s\n", pic->arrows.at[k].from,
                          pic->arrows.at[k].label);
    }
}

/* A DOT string: quotes and backslashes are the only special bytes. */
static void put_dot(StrBuf *sb, const char *text)
{
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            sb_putc(sb, '\\');
        sb_putc(sb, *text);
    }
}

void picture_dot(const Picture *pic, StrBuf *sb)
{
    sb_puts(sb, "digraph \"");
    put_dot(sb, pic->title);
    sb_puts(sb, "\" {\n  node [shape=box];\n");
    for (uint32_t i = 0; i < pic->boxes.n; i++) {
        const Box *b = &pic->boxes.at[i];
        sb_printf(sb, "  b%u [label=\"", i);
        put_dot(sb, b->name);
        if (*b->detail) {
            sb_puts(sb, "\\n");
            put_dot(sb, b->detail);
        }
        if (b->parameters)
            sb_printf(sb, "\\n%lld", (long long)b->parameters);
        sb_puts(sb, "\"];\n");
    }
    for (uint32_t i = 0; i < pic->arrows.n; i++) {
        const Arrow *a = &pic->arrows.at[i];
        sb_printf(sb, "  b%u -> b%u [label=\"", a->from, a->to);
        put_dot(sb, a->label);
        sb_puts(sb, "\"];\n");
    }
    sb_puts(sb, "}\n");
}

static void put_json(StrBuf *sb, const char *key, const char *text)
{
    sb_printf(sb, ",\"%s\":", key);
    sb_json(sb, text, strlen(text));
}

void picture_json(const Picture *pic, StrBuf *sb)
{
    sb_puts(sb, "{\"schema\":1");
    put_json(sb, "entry", pic->title);
    sb_puts(sb, ",\"boxes\":[");
    for (uint32_t i = 0; i < pic->boxes.n; i++) {
        const Box *b = &pic->boxes.at[i];
        sb_printf(sb, "%s\n{\"id\":%u", i ? "," : "", i);
        put_json(sb, "name", b->name);
        put_json(sb, "detail", b->detail);
        sb_printf(sb, ",\"parameters\":%lld,\"layer\":%u}", (long long)b->parameters, b->layer);
    }
    sb_puts(sb, "],\"arrows\":[");
    for (uint32_t i = 0; i < pic->arrows.n; i++) {
        const Arrow *a = &pic->arrows.at[i];
        sb_printf(sb, "%s\n{\"from\":%u,\"to\":%u", i ? "," : "", a->from, a->to);
        put_json(sb, "type", a->label);
        sb_putc(sb, '}');
    }
    sb_puts(sb, "]}\n");
}
