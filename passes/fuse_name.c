/* fuse_name.c: kernel names for people: where the anchor is, the class, and the telling operations. */
#include "fuse_groups.h"

#include <ctype.h>
#include <string.h>

enum { NAME_MAX_CHARS = 40, MAX_WORDS = 5 };

/* The last two components of a path that are not indices, as an identifier. */
static void put_path(StrBuf *sb, const char *path)
{
    const char *part[2] = {NULL, NULL};
    size_t length[2] = {0, 0};
    for (const char *at = path; *at; at += *at == '.') {
        size_t n = strcspn(at, ".");
        if (n > 0 && !isdigit((unsigned char)at[0]) && at[0] != '*') {
            part[0] = part[1];
            length[0] = length[1];
            part[1] = at;
            length[1] = n;
        }
        at += n;
    }
    for (int i = 0; i < 2; i++) {
        if (!part[i] || sb->n + length[i] > NAME_MAX_CHARS / 2)
            continue;
        for (const char *c = part[i]; c < part[i] + length[i]; c++)
            sb_putc(sb, isalnum((unsigned char)*c) ? *c : '_');
        sb_putc(sb, '_');
    }
}

static bool has_word(const char *const *word, uint32_t n, const char *name)
{
    for (uint32_t i = 0; i < n; i++) {
        if (strcmp(word[i], name) == 0)
            return true;
    }
    return false;
}

/* Operations worth a word: folds first, then the expensive, then the others. */
static uint32_t pick_words(const Fuse *fx, const Body *body, const char *word[MAX_WORDS])
{
    uint32_t n = 0;
    for (int round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < body->members.n && n < MAX_WORDS; i++) {
            const Node *m = fuse_node(fx, body->members.at[i]);
            OpClass cls = fuse_class(m);
            bool fold = cls == OC_REDUCE || cls == OC_GATHER, dear = fuse_op_cost(m) > 4;
            if (cls == OC_CONTRACT || cls == OC_SCATTER || cls == OC_MULTI || cls == OC_CALL ||
                cls == OC_TUPLE)
                continue;
            int rank = fold ? 0 : dear ? 1 : 2;
            const char *name = op_info(m->op)->name;
            if (rank == round && !(round == 2 && n >= 3) && !has_word(word, n, name))
                word[n++] = name;
        }
    }
    return n;
}

Sym fuse_name(Fuse *fx, const FGroup *g, const Body *body)
{
    StrBuf sb = sb_new(fx->arena);
    const Node *anchor = fuse_node(fx, fuse_anchor(fx, g));
    if (anchor->path)
        put_path(&sb, anchor->path);
    const char *cls = class_info(g->cls)->name;
    const char *word[MAX_WORDS];
    uint32_t n = pick_words(fx, body, word);
    sb_puts(&sb, n == 0 && g->cls == KC_MAP ? "copy" : cls);
    for (uint32_t i = 0; i < n && sb.n + strlen(word[i]) < NAME_MAX_CHARS; i++)
        sb_printf(&sb, "_%s", word[i]);
    const char *text = sb_text(&sb);
    return isdigit((unsigned char)text[0]) ? sym_printf(fx->cx->ir->syms, "k%s", text)
                                           : sym(fx->cx->ir->syms, text);
}
