/* plan_blocks.c: what blocks that write text take: weights, what is kept of earlier tokens, operations of a token. */
#include "plan_blocks.h"
#include "ir.h"

static uint64_t elements(const Program *p, const Type *t)
{
    int64_t n = 0;
    dim_is_const(type_count(p->ir, t), &n);
    return (uint64_t)n;
}

/* Parameters have one type; without any the cache says it. */
static void count_states(const Program *p, BlockRow *r)
{
    for (uint32_t i = 0; i < p->states.n; i++) {
        const State *s = p->states.at[i];
        uint64_t n = elements(p, s->type), bytes = n * dtype_info(s->type->dtype)->bytes;
        bool weight = s->kind == SK_PARAM || s->kind == SK_BUFFER;
        r->parameters += s->kind == SK_PARAM ? n : 0;
        r->weight_bytes += weight ? bytes : 0;
        r->cache_bytes += s->kind == SK_KV ? bytes : 0;
        if (s->kind == SK_PARAM && !r->precision)
            r->precision = dtype_info(s->type->dtype)->name;
    }
}

bool block_row(Cli *cli, Compile *c, uint32_t i, BlockRow *out, Err *err)
{
    *out = (BlockRow){.name = arena_strdup(cli->arena, compile_generate_name(c, i)),
                      .kind = compile_generate_chats(c, i) ? "chat" : "generate"};
    if (!compile_generate(c, i, err))
        return false;
    const Program *p = compile_program(c);
    const Graph *decode = program_entry(p, "decode");
    out->writes = decode != NULL;
    if (!decode)
        return true;
    count_states(p, out);
    out->context = compile_context(c);
    out->token = graph_flops(decode);
    return true;
}

void block_rows_put(const BlockRow *rows, uint32_t n)
{
    int name = 5;
    for (uint32_t i = 0; i < n; i++)
        name = (int)strlen(rows[i].name) > name ? (int)strlen(rows[i].name) : name;
    printf("%-*s  %-8s  %10s  %14s  %12s  %8s  %12s  %12s\n", name, "block", "kind", "precision",
           "parameters", "weights MiB", "context", "cache MiB", "GFLOP/token");
    for (uint32_t i = 0; i < n; i++) {
        const BlockRow *r = &rows[i];
        printf("%-*s  %-8s  %10s  %14llu  %12.1f  %8lld  %12.1f  %12.4g\n", name, r->name, r->kind,
               r->precision ? r->precision : "-", (unsigned long long)r->parameters,
               (double)r->weight_bytes / 1048576, (long long)r->context,
               (double)r->cache_bytes / 1048576, r->token / 1e9);
    }
}

void block_row_json(Cli *cli, const BlockRow *r)
{
    StrBuf sb = sb_new(cli->arena);
    const struct {
        const char *name, *text;
    } words[] = {
        {"block", r->name}, {"kind", r->kind}, {"precision", r->precision ? r->precision : "-"}};
    for (size_t i = 0; i < COUNT(words); i++) {
        sb_printf(&sb, "%s\"%s\":", i ? "," : "{", words[i].name);
        sb_json(&sb, words[i].text, strlen(words[i].text));
    }
    sb_puts(&sb, ",\"token_flops\":");
    sb_double(&sb, r->token);
    printf(
        "%s,\"parameters\":%llu,\"parameter_bytes\":%llu,\"context\":%lld,\"cache_bytes\":%llu}\n",
        sb_text(&sb), (unsigned long long)r->parameters, (unsigned long long)r->weight_bytes,
        (long long)r->context, (unsigned long long)r->cache_bytes);
}
