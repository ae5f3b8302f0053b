/* entry_generate.c: a `generate` or `chat` block as a Program: `prefill` reads a piece of the prompt, `decode` one
 * token, each behind the `len` tokens that are kept, and both leave the next token in the state `next`. So a
 * token needs nothing from the host but their number.
 *
 * Pictures are read by `prefill`, all of a picture in one piece; in `decode` there are none. */
#include "data.h"
#include "store.h"

enum { CHUNK = 128, CONTEXT = 2048, MAX_CONTEXT = 1 << 24, MAX_TOKENS = 1024 };

typedef struct Sampler {
    double temperature, top_p, min_p;
    int64_t top_k, seed, max_tokens;
} Sampler;

typedef struct Generate {
    Elab *e;
    PlanBuilder *b;
    const Ast *block;
    Env *env;
    const Val *model, *forward;
    Sampler sampler;
    PlanGenerate plan;
    const Datum *image;   /* what a picture is, or NULL */
    const Dim *pictures;  /* of the entry under construction */
    int64_t picture_rows; /* tokens that one takes; 0: not known */
} Generate;

/* ---- the sampler ---- */

static bool number_in(Generate *x, const Val *record, const char *name, const double *range,
                      double *out)
{
    uint32_t position = strcmp(name, "temperature") == 0 ? 0 : UINT32_MAX;
    const Val *v = record_arg(x->e, record, position, name);
    if (!v || v->kind == V_NONE || !val_as_double(v, out) ||
        (*out >= range[0] && *out <= range[1])) {
        return true;
    }
    diag_at(x->e->diags, DIAG_E0802, v->span, "`%s` is from %g to %g, got %s", name, range[0],
            range[1], val_text(x->e, v));
    return false;
}

static void count_of(Generate *x, const Val *record, const char *name, int64_t *out)
{
    uint32_t position = strcmp(name, "top_k") == 0 ? 1 : UINT32_MAX;
    const Val *v = record_arg(x->e, record, position, name);
    if (v && v->kind != V_NONE) {
        val_as_int(v, out);
    }
}

static bool read_sampler(Generate *x)
{
    static const double any[] = {0, 1000}, share[] = {1e-6, 1}, part[] = {0, 1};
    Sampler *s = &x->sampler;
    *s = (Sampler){.top_p = 1, .max_tokens = MAX_TOKENS};
    const Ast *a = block_attr(x->block, "sampling");
    const Val *v = a && a->kind != A_NONE ? eval(x->e, x->env, a) : NULL;
    bool ok = true;
    if (v && strcmp(record_name(v), "sample") == 0) {
        s->temperature = 1;
        ok = number_in(x, v, "temperature", any, &s->temperature);
        ok = number_in(x, v, "top_p", share, &s->top_p) && ok;
        ok = number_in(x, v, "min_p", part, &s->min_p) && ok;
        count_of(x, v, "top_k", &s->top_k);
        count_of(x, v, "seed", &s->seed);
    }
    if (v) {
        count_of(x, v, "max_tokens", &s->max_tokens);
    }
    return attr_int(x->e, x->env, x->block, "max_tokens", &s->max_tokens) && ok;
}

/* ---- how much is kept ---- */

static const Dim *size_of(Generate *x, const char *name, int64_t lo, int64_t hi)
{
    return dim_of(x->e->ir, dim_named(x->e, sym(x->e->ir->syms, name), lo, hi));
}

/* All pictures of the piece, one behind the other; NULL: there can be none. */
static const Node *pictures(Generate *x)
{
    Ir *ir = x->e->ir;
    const DatumType *t = x->image ? &x->image->type : NULL;
    if (!t || t->tiles) {
        return NULL;
    }
    const Dim *dims[IR_MAX_RANK] = {x->pictures};
    for (uint32_t i = 0; i < t->rank; i++) {
        dims[i + 1] = t->dim[i];
    }
    const Type *type = type_tensor(ir, DT_F32, t->rank + 1, dims);
    return dim_equals(x->pictures, 0) ? graph_fill(x->e->g, type, 0)
                                      : graph_input(x->e->g, sym(ir->syms, "images"), type);
}

/* An argument that decoding gives by its name; NULL: none of that name. */
static const Node *fed(Generate *x, const char *name, const Node *tokens)
{
    Graph *g = x->e->g;
    Ir *ir = x->e->ir;
    const Dim *const *dims = tokens->type->dims;
    const Type *marks = type_tensor(ir, DT_BOOL, 2, dims);
    if (strcmp(name, "tokens") == 0) {
        return tokens;
    }
    if (strcmp(name, "pos") == 0) {
        const Node *len = graph_slot(g, "len", DT_I32);
        return graph_binary(g, OP_ADD, graph_iota(g, 2, dims, 1),
                            graph_expand(g, len, 2, dims, NULL));
    }
    if (strcmp(name, "seg") == 0) {
        return graph_fill(g, tokens->type, 0);
    }
    if (strcmp(name, "valid") == 0) {
        return graph_fill(g, marks, 1);
    }
    if (strcmp(name, "slots") == 0 && x->image) {
        return dim_equals(x->pictures, 0) ? graph_fill(g, marks, 0)
                                          : graph_input(g, sym(ir->syms, name), marks);
    }
    return strcmp(name, "images") == 0 ? pictures(x) : NULL;
}

static void lacks(Generate *x, const char *name)
{
    bool pictures = strcmp(name, "images") == 0 || strcmp(name, "slots") == 0;
    if (pictures && !x->image) {
        diag_at(x->e->diags, DIAG_E0803, x->block->name_span,
                "`%s %s` needs `image`: what the model sees of a picture", x->block->text,
                x->block->name);
        return;
    }
    diag_at(x->e->diags, DIAG_E0199, x->block->name_span, "generation with `%s`", name);
}

/* Calls the model's forward; NULL after a diagnostic. `pos`: an input instead of places behind `len`. */
static const Node *scores_of(Generate *x, const Node *tokens, const Node *pos)
{
    Elab *e = x->e;
    const Ast *formals = x->forward->code.ast->kid[0];
    Args args = {.call = x->block->name_span};
    for (uint32_t i = 0; i < formals->nkid; i++) {
        const char *name = formals->kid[i]->name;
        const Node *n = pos && strcmp(name, "pos") == 0 ? pos : fed(x, name, tokens);
        if (n) {
            args_push(e, &args, formals->kid[i]->name, val_node(e, n, args.call));
        } else if (!formals->kid[i]->kid[1] && !type_is_optional(formals->kid[i]->kid[0])) {
            lacks(x, name);
            return NULL;
        }
    }
    const Val *v = call_value(e, x->env, x->forward, &args);
    const Node *n = val_is_poison(v) ? NULL : tensor_of(e, v);
    if (n && (n->type->rank != 3 || !dtype_is_float(n->type->dtype))) {
        diag_at(e->diags, DIAG_E0406, x->block->name_span,
                "generation needs the scores of all tokens, [B, T, V]; `forward` gives `%s`",
                type_text(e->ir, n->type));
        return NULL;
    }
    return n;
}

/* Places that the model has: rows of the parameters that it reads at `pos`; 0: any number. And how many tokens
 * a picture takes. */
static bool find_places(Generate *x, int64_t *places)
{
    Elab *e = x->e;
    const Dim *dims[2] = {dim_const(e->ir, 1), dim_const(e->ir, 1)};
    pass_begin(e, graph_new(e->ir, e->arena, sym(e->ir->syms, "places")), MODE_EVAL);
    const Type *type = type_tensor(e->ir, DT_I32, 2, dims);
    const Node *tokens = graph_input(e->g, sym(e->ir->syms, "tokens"), type);
    const Node *pos = graph_input(e->g, sym(e->ir->syms, "pos"), type);
    *places = 0;
    x->pictures = size_of(x, "pictures", 0, BATCH_SIZE_MAX);
    if (!scores_of(x, tokens, pos)) {
        return false;
    }
    x->picture_rows = picture_rows(e, e->g, x->pictures);
    for (uint32_t i = 0; i < e->g->nodes.n; i++) {
        const State *table = NULL;
        int64_t rows = rows_read(e->program, e->g->nodes.at[i], pos, &table);
        *places = rows > 0 && (!*places || rows < *places) ? rows : *places;
    }
    return true;
}

static bool find_context(Generate *x)
{
    Elab *e = x->e;
    const Ast *a = block_attr(x->block, "context");
    int64_t places, *context = &x->plan.context;
    if (!find_places(x, &places)) {
        return false;
    }
    *context = places ? places : CONTEXT;
    if (!attr_int(e, x->env, x->block, "context", context)) {
        return false;
    }
    if (*context < 2 || *context > MAX_CONTEXT || (places && *context > places)) {
        Diag *d = diag_at(e->diags, DIAG_E0802, a ? a->span : x->block->name_span,
                          "a context of %lld tokens", (long long)*context);
        diag_label(d, places ? "the model has %lld places" : "expected 2 to 16,777,216",
                   (long long)places);
        return false;
    }
    e->context = dim_const(e->ir, *context);
    return true;
}

/* Pieces of a prompt have room for a whole picture. */
static bool find_chunk(Generate *x)
{
    int64_t context = x->plan.context, rows = x->picture_rows;
    int64_t chunk = rows > CHUNK ? (rows + CHUNK - 1) / CHUNK * CHUNK : CHUNK;
    x->plan.chunk = context < chunk ? context : chunk;
    if (rows < context) {
        return true;
    }
    diag_at(x->e->diags, DIAG_E0802, x->block->name_span,
            "a context of %lld tokens, and a picture takes %lld", (long long)context,
            (long long)rows);
    return false;
}

/* ---- entries ---- */

static const Node *draw(Generate *x, const Node *scores)
{
    Elab *e = x->e;
    const Type *t = scores->type;
    const Dim *one = dim_const(e->ir, 1), *row[2] = {t->dims[0], t->dims[2]};
    const Node *last = graph_slice(e->g, scores, 1, dim_sub(e->ir, t->dims[1], one), one);
    const Val *fn = env_get(e, e->front->std->env, sym(e->ir->syms, "draw_token"), x->block->span);
    Args args = {.call = x->block->name_span};
    const struct {
        const char *name;
        const Val *v;
    } given[] = {{"scores", val_node(e, graph_reshape(e->g, last, 2, row), args.call)},
                 {"temperature", val_real(e, x->sampler.temperature, args.call)},
                 {"top_k", val_int(e, x->sampler.top_k, args.call)},
                 {"top_p", val_real(e, x->sampler.top_p, args.call)},
                 {"min_p", val_real(e, x->sampler.min_p, args.call)}};
    for (size_t i = 0; i < COUNT(given); i++) {
        args_push(e, &args, sym(e->ir->syms, given[i].name), given[i].v);
    }
    const Val *v = call_value(e, x->env, fn, &args);
    return val_is_poison(v) ? NULL : tensor_of(e, v);
}

static bool entry(Generate *x, Mode mode, uint32_t *index)
{
    Elab *e = x->e;
    Ir *ir = e->ir;
    bool prefill = mode == MODE_PREFILL;
    const Dim *one = dim_const(ir, 1);
    const Dim *dims[2] = {one, prefill ? size_of(x, "T", 1, x->plan.chunk) : one};
    const State *next = e->program->states.at[x->plan.next];
    *index = entry_begin(e, prefill ? "prefill" : "decode", mode);
    e->past = dim_sub(ir, size_of(x, "S", 1, x->plan.context), dims[1]);
    int64_t most = pictures_most(e, dims[1], x->picture_rows);
    x->pictures = prefill ? size_of(x, "images", 0, most) : dim_const(ir, 0);
    const Node *tokens =
        prefill ? graph_input(e->g, sym(ir->syms, "tokens"), type_tensor(ir, DT_I32, 2, dims))
                : graph_state(e->g, next->id, next->type, next->path);
    const Node *scores = scores_of(x, tokens, NULL);
    const Node *drawn = scores ? draw(x, scores) : NULL;
    const Dim *square[2] = {one, one};
    drawn = drawn ? graph_reshape(e->g, drawn, 2, square) : NULL;
    if (!drawn) {
        return false;
    }
    graph_write(e->g, next->id, drawn);
    return true;
}

static void add_next(Generate *x)
{
    Elab *e = x->e;
    const Dim *dims[2] = {dim_const(e->ir, 1), dim_const(e->ir, 1)};
    State proto = {.kind = SK_LOOP,
                   .path = sym(e->ir->syms, "next"),
                   .type = type_tensor(e->ir, DT_I32, 2, dims)};
    x->plan.next = program_state(e->program, &proto)->id;
}

/* Before the model is made, whose parameters are stored so. A text that a run writes is computed as the run
 * trains: the parameters are its own. */
static bool set_precision(Generate *x)
{
    Elab *e = x->e;
    if (e->stage) {
        return true;
    }
    bool ok = block_precision(e, x->env, x->block, &e->precision);
    e->generic = narrow_generic(e);
    return ok;
}

/* What a `chat` needs beside its graphs is not there; schema.def says it of each attribute. */
static bool generate(Generate *x)
{
    Elab *e = x->e;
    const Ast *model = block_attr(x->block, "model"),
              *tokenizer = block_attr(x->block, "tokenizer");
    if (!set_precision(x) || !dialog_check(e, x->env, x->block) || !read_sampler(x)) {
        return false;
    }
    if (!tokenizer || !model) {
        not_yet(e, x->block->name_span, "`call`");
        return true;
    }
    const Tokenizer *t = tokenizer_of(e, eval(e, x->env, tokenizer));
    x->model = eval(e, x->env, model);
    x->forward = inst_member(e, x->model->inst, sym(e->ir->syms, "forward"), model->span);
    x->plan.name = planb_text(x->b, x->block->name);
    x->plan.max_tokens = x->sampler.max_tokens;
    x->plan.seed = (uint64_t)x->sampler.seed;
    x->plan.tokenizer = tokenizer_plan(e, x->b, t, tokenizer->span);
    bool ok = dialog_image(e, x->env, x->block, &x->image) && find_context(x) && find_chunk(x) &&
              tokens_have_rows(e, e->g, t, tokenizer->span);
    add_next(x);
    uint32_t first = e->program->entries.n;
    ok = ok && entry(x, MODE_PREFILL, &x->plan.prefill) && entry(x, MODE_DECODE, &x->plan.decode);
    ok = ok && store_weights(e, x->env, x->block, first);
    VEC_PUSH(x->b->arena, &x->b->generates, x->plan);
    return ok;
}

bool generate_use(Elab *e, PlanBuilder *b, const Item *item, uint32_t *index)
{
    uint32_t *known = map_get(e->evals, MAP_KEY(item->ast)), n = b->generates.n;
    bool ok = true;
    if (!known) {
        Generate x = {.e = e, .b = b, .block = item->ast, .env = item->file->env};
        known = NEW(e->arena, uint32_t);
        map_put(e->evals, MAP_KEY(item->ast), known);
        ok = generate(&x);
        *known = b->generates.n > n ? n : PLAN_NONE;
    }
    *index = *known;
    return ok;
}

/* ---- blocks of the file ---- */

static const Item *block_at(const Front *f, uint32_t i)
{
    const File *file = f->files.at[0];
    for (uint32_t k = 0; k < map_count(file->actions); k++) {
        const Item *item = map_value_at(file->actions, k);
        bool writes =
            strcmp(item->ast->text, "generate") == 0 || strcmp(item->ast->text, "chat") == 0;
        if (item->file == file && writes && i-- == 0) {
            return item;
        }
    }
    return NULL;
}

uint32_t front_generate_count(const Front *f)
{
    uint32_t n = 0;
    while (block_at(f, n)) {
        n++;
    }
    return n;
}

Sym front_generate_name(const Front *f, uint32_t i)
{
    return block_at(f, i)->name;
}

bool front_generate_chats(const Front *f, uint32_t i)
{
    return strcmp(block_at(f, i)->ast->text, "chat") == 0;
}

Program *front_generate(Front *f, uint32_t i, PlanBuilder *b)
{
    const Item *item = block_at(f, i);
    ASSERT(item != NULL);
    uint32_t errors = diags_reported(f->ir->diags);
    Program *p = program_new(f->ir, item->name);
    Elab *e = elab_new(f, p, b->arena);
    e->weights_given = true;
    uint32_t index;
    bool ok = generate_use(e, b, item, &index);
    return ok && diags_reported(f->ir->diags) == errors ? p : NULL;
}
