/* picture_print.c: boxes and arrows as text. */
#include "picture.h"

uint64_t picture_times(const Picture *pic, const Box *b)
{
    uint64_t times = 1;
    for (uint32_t r = b->repeat; r; r = pic->repeats.at[r - 1].up)
        times *= pic->repeats.at[r - 1].times;
    return times;
}

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
        if (b->repeat)
            sb_printf(sb, "  x %llu", (unsigned long long)picture_times(pic, b));
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

/* The arrays inside `up` with their boxes. */
static void put_clusters(const Picture *pic, uint32_t up, StrBuf *sb)
{
    for (uint32_t r = 0; r < pic->repeats.n; r++) {
        if (pic->repeats.at[r].up != up)
            continue;
        sb_printf(sb, "  subgraph cluster%u {\n  label=\"", r);
        put_dot(sb, pic->repeats.at[r].name);
        sb_printf(sb, " x %u\";\n", pic->repeats.at[r].times);
        for (uint32_t i = 0; i < pic->boxes.n; i++)
            if (pic->boxes.at[i].repeat == r + 1)
                sb_printf(sb, "  b%u;\n", i);
        put_clusters(pic, r + 1, sb);
        sb_puts(sb, "  }\n");
    }
}

void picture_dot(const Picture *pic, StrBuf *sb)
{
    sb_puts(sb, "digraph \"");
    put_dot(sb, pic->title);
    sb_puts(sb, "\" {\n  node [shape=box];\n");
    put_clusters(pic, 0, sb);
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
        sb_printf(sb, ",\"parameters\":%lld,\"layer\":%u,\"times\":%llu}", (long long)b->parameters,
                  b->layer, (unsigned long long)picture_times(pic, b));
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
