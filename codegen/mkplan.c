/* mkplan.c: fused entries, their schedules and their kernels as one plan. Kernels are deduplicated:
 * groups with the same Def, class, configuration and operand types share one. */
#include "kernellines.h"
#include "library.h"
#include "lower.h"

typedef struct PlanCx {
    PlanBuilder *b;
    const MkPlan *mk;
    Ir *ir;
    Arena *arena;
    Map *dims;          /* Dim -> PlanDim index + 1 */
    uint32_t *plan_sym; /* DimSym id -> plan symbol, or PLAN_NONE */
    uint32_t *slot_of;  /* DimSym id -> slot, or PLAN_NONE */
    Sym *slot_names;
    Map *kernels; /* key -> Made */
    Map *names;   /* kernel names in use */
    uint64_t temp;
} PlanCx;

/* A kernel of the plan. */
typedef struct Made {
    uint32_t index;
    const Kernel *kernel;
} Made;

/* One entry, or the body of a loop, being written. */
typedef struct EntryCx {
    PlanCx *cx;
    const MemPlan *mem;
    uint32_t *tensor; /* by memplan slot, PLAN_NONE until made */
    uint32_t *input;  /* tensors by input number */
    uint32_t *out;    /* of a body: tensors by result number */
    uint64_t base;    /* where its arena begins in that of temporaries */
} EntryCx;

/* ---- symbols, slots, dims ---- */

static void use_sym(PlanCx *cx, uint32_t id)
{
    if (cx->plan_sym[id] != PLAN_NONE) {
        return;
    }
    const DimSym *s = dim_sym_at(cx->ir, id);
    cx->slot_of[id] = cx->b->slots.n;
    cx->plan_sym[id] = cx->b->syms.n;
    PlanSlot slot = {planb_text(cx->b, s->name), PB_SYM};
    PlanSym sym = {slot.name, cx->slot_of[id], s->lo, s->hi, s->divisor > 0 ? s->divisor : 1};
    VEC_PUSH(cx->arena, &cx->b->slots, slot);
    VEC_PUSH(cx->arena, &cx->b->syms, sym);
}

static void use_dim(PlanCx *cx, const Dim *d)
{
    for (uint32_t k = 0; k < d->nterm; k++) {
        for (uint32_t s = 0; s < d->term[k].nsym; s++) {
            use_sym(cx, d->term[k].sym[s]);
        }
    }
}

static void use_type(PlanCx *cx, const Type *t)
{
    for (uint32_t i = 0; i < t->nelem && t->is_tuple; i++) {
        use_type(cx, t->elems[i]);
    }
    for (uint32_t i = 0; i < t->rank && !t->is_tuple; i++) {
        use_dim(cx, t->dims[i]);
    }
}

/* Everything a kernel may read the extent of: before the slots are counted. */
static void use_graph(PlanCx *cx, const Graph *g)
{
    for (uint32_t i = 0; i < g->nodes.n; i++) {
        const Node *n = g->nodes.at[i];
        use_type(cx, n->type);
        for (uint32_t a = 0; a < n->nattr; a++) {
            if (n->attr[a].kind == AK_DIM) {
                use_dim(cx, n->attr[a].dim);
            } else if (n->attr[a].kind == AK_DEF) {
                use_graph(cx, n->attr[a].def->body);
            }
        }
    }
}

static void make_slots(PlanCx *cx)
{
    static const struct {
        const char *name;
        PlanSlotKind kind;
    } fixed[] = {{"step", PB_STEP}, {"lr", PB_LR},     {"first", PB_FIRST},
                 {"row0", PB_ROW0}, {"seed", PB_SEED}, {"progress", PB_PROGRESS},
                 {"len", PB_LEN}};
    uint32_t nsym = dim_sym_count(cx->ir);
    cx->plan_sym = NEW_ARRAY(cx->arena, uint32_t, nsym + 1);
    cx->slot_of = NEW_ARRAY(cx->arena, uint32_t, nsym + 1);
    for (uint32_t i = 0; i < nsym; i++) {
        cx->plan_sym[i] = cx->slot_of[i] = PLAN_NONE;
    }
    for (size_t i = 0; i < COUNT(fixed); i++) {
        PlanSlot slot = {planb_text(cx->b, fixed[i].name), fixed[i].kind};
        VEC_PUSH(cx->arena, &cx->b->slots, slot);
    }
    for (uint32_t i = 0; i < cx->mk->nentry; i++) {
        use_graph(cx, cx->mk->plans[i]->graph);
    }
    cx->slot_names = NEW_ARRAY(cx->arena, Sym, cx->b->slots.n);
    for (uint32_t i = 0; i < cx->b->slots.n; i++) {
        cx->slot_names[i] = sym(cx->ir->syms, cx->b->text.at + cx->b->slots.at[i].name);
    }
}

static uint32_t plan_of_dim(PlanCx *cx, const Dim *d)
{
    uintptr_t known = (uintptr_t)map_get(cx->dims, MAP_KEY(d));
    if (known) {
        return (uint32_t)known - 1;
    }
    PlanDim pd = {cx->b->terms.n, d->nterm};
    for (uint32_t i = 0; i < d->nterm; i++) {
        PlanTerm t = {.coef = d->term[i].coef, .nsym = d->term[i].nsym};
        ASSERT(t.nsym <= COUNT(t.sym));
        for (uint32_t k = 0; k < t.nsym; k++) {
            use_sym(cx, d->term[i].sym[k]);
            t.sym[k] = cx->plan_sym[d->term[i].sym[k]];
        }
        VEC_PUSH(cx->arena, &cx->b->terms, t);
    }
    VEC_PUSH(cx->arena, &cx->b->dims, pd);
    map_put(cx->dims, MAP_KEY(d), (void *)(uintptr_t)cx->b->dims.n);
    return cx->b->dims.n - 1;
}

/* ---- tensors ---- */

static uint64_t type_bytes(const Ir *ir, const Type *t)
{
    uint64_t n = dtype_info(t->dtype)->bytes;
    for (uint32_t i = 0; i < t->rank; i++) {
        n *= (uint64_t)dim_hi(ir, t->dims[i]);
    }
    return n;
}

/* A tensor without a place yet. */
static PlanTensor tensor_of_type(PlanCx *cx, const Type *t, const char *name, const char *path)
{
    PlanTensor pt = {.name = planb_text(cx->b, name),
                     .path = planb_text(cx->b, path),
                     .dtype = t->dtype,
                     .rank = t->rank,
                     .bytes = type_bytes(cx->ir, t)};
    for (uint32_t i = 0; i < t->rank; i++) {
        pt.dim[i] = plan_of_dim(cx, t->dims[i]);
    }
    return pt;
}

static uint32_t add_tensor(PlanCx *cx, const PlanTensor *t)
{
    VEC_PUSH(cx->arena, &cx->b->tensors, *t);
    return cx->b->tensors.n - 1;
}

static PlanStateKind plan_state_kind(StateKind k)
{
    static const PlanStateKind kinds[] = {
        [SK_PARAM] = PS_PARAM,   [SK_GRAD] = PS_GRAD,   [SK_OPT] = PS_OPT,
        [SK_BUFFER] = PS_BUFFER, [SK_LOOP] = PS_LOOP,   [SK_KV] = PS_KV,
        [SK_MASTER] = PS_MASTER, [SK_CODES] = PS_CODES, [SK_SCALE] = PS_SCALE};
    return kinds[k];
}

static PlanStore plan_store(StoreKind k)
{
    static const PlanStore kinds[] = {[STORE_PLAIN] = PLAN_STORE_PLAIN,
                                      [STORE_INT8] = PLAN_STORE_INT8,
                                      [STORE_INT4] = PLAN_STORE_INT4};
    return kinds[k];
}

static PlanInit plan_init(InitKind k)
{
    static const PlanInit inits[] = {[INIT_ZEROS] = PI_ZEROS,
                                     [INIT_ONES] = PI_ONES,
                                     [INIT_CONSTANT] = PI_CONSTANT,
                                     [INIT_NORMAL] = PI_NORMAL,
                                     [INIT_TRUNCATED] = PI_TRUNCATED,
                                     [INIT_UNIFORM] = PI_UNIFORM,
                                     [INIT_KAIMING_UNIFORM] = PI_KAIMING_UNIFORM,
                                     [INIT_XAVIER_UNIFORM] = PI_XAVIER_UNIFORM,
                                     [INIT_ORTHOGONAL] = PI_ORTHOGONAL,
                                     [INIT_EYE] = PI_EYE,
                                     [INIT_ROW_MEAN] = PI_LOADED,
                                     [INIT_FUNCTION] = PI_TABLE,
                                     [INIT_COPY] = PI_COPY};
    return inits[k];
}

/* What a function of the indices gives: values for the axes it reads. */
static uint32_t add_values(PlanCx *cx, const State *s)
{
    uint32_t first = cx->b->values.n;
    if (s->init.kind != INIT_FUNCTION) {
        return 0;
    }
    ASSERT(s->init.values);
    int64_t n = 1, extent;
    for (uint32_t k = 0; k < s->type->rank; k++) {
        bool known = dim_is_const(s->type->dims[k], &extent);
        ASSERT(known);
        n *= s->init.axes >> k & 1 ? extent : 1;
    }
    for (int64_t i = 0; i < n; i++) {
        VEC_PUSH(cx->arena, &cx->b->values, s->init.values[i]);
    }
    return first;
}

/* State i is tensor i: states come first. Returns the bytes of the state arena. */
static uint64_t make_states(PlanCx *cx)
{
    uint64_t offset = 0;
    for (uint32_t i = 0; i < cx->mk->program->states.n; i++) {
        const State *s = cx->mk->program->states.at[i];
        PlanTensor t = tensor_of_type(cx, s->type, s->path, s->path);
        t.arena = PA_STATE;
        t.offset = offset;
        offset += (t.bytes + 63) / 64 * 64;
        PlanState ps = {.tensor = add_tensor(cx, &t),
                        .kind = plan_state_kind(s->kind),
                        .key = s->key ? planb_text(cx->b, s->key) : 0,
                        .of = s->of,
                        .init = plan_init(s->init.kind),
                        .trained = s->trained,
                        .init_a = s->init.a,
                        .value0 = add_values(cx, s),
                        .axes = s->init.axes,
                        .store = plan_store(s->store),
                        .axis = s->axis};
        VEC_PUSH(cx->arena, &cx->b->states, ps);
    }
    return offset;
}

/* What a group or loop keeps in the arena. */
static uint32_t temporary(EntryCx *en, const Slot *slot, const Type *type, const Node *of)
{
    PlanTensor t = tensor_of_type(en->cx, type, node_def(of)->name, of->path ? of->path : "");
    t.arena = PA_TEMP;
    t.offset = en->base + slot->offset;
    ASSERT(t.bytes <= slot->bytes);
    return add_tensor(en->cx, &t);
}

static uint32_t value_tensor(EntryCx *en, const Node *value)
{
    const Slot *slot = memplan_slot(en->mem, value);
    uint32_t *known = &en->tensor[slot - en->mem->slots];
    if (slot->place == PLACE_STATE) {
        return slot->index;
    }
    if (slot->place == PLACE_INPUT) {
        return en->input[slot->index];
    }
    if (slot->place == PLACE_OUT) {
        ASSERT(en->out);
        return en->out[slot->index];
    }
    ASSERT(slot->place == PLACE_TEMP || slot->place == PLACE_RESULT);
    if (*known == PLAN_NONE) {
        uint32_t member;
        const Node *group = node_is_get(value, &member) ? value->in[0] : value;
        *known = temporary(en, slot, value->type, group);
    }
    return *known;
}

/* ---- kernels ---- */

static uint64_t kernel_key(const Node *n, bool loose)
{
    const Attr *config = node_ints(n, "config");
    uint64_t key = hash_mix(node_def(n)->hash, hash_text(node_sym(n, "class")));
    key = hash_mix(hash_mix(key, loose), (uint64_t)node_int(n, "count"));
    key = hash_mix(key, MAP_KEY(node_def(n)));
    for (uint32_t i = 0; i < config->n; i++) {
        key = hash_mix(key, (uint64_t)config->ints[i]);
    }
    for (uint32_t i = 0; i < n->nin; i++) {
        key = hash_mix(key, MAP_KEY(n->in[i]->type));
    }
    return key;
}

static void rename_kernel(PlanCx *cx, Kernel *k, Sym name)
{
    size_t stem = strlen(k->name);
    for (uint32_t i = 0; i < k->phases.n; i++) {
        KPhase *p = &k->phases.at[i];
        ASSERT(strncmp(p->name, k->name, stem) == 0);
        p->name = sym_printf(cx->ir->syms, "%s%s", name, p->name + stem);
    }
    k->name = name;
}

/* C names are one space per plan: the second `dot_bias` is `dot_bias_2`, in all its phases. */
static void make_unique(PlanCx *cx, Kernel *k)
{
    uint64_t key = MAP_KEY(k->name);
    uintptr_t used = (uintptr_t)map_get(cx->names, key) + 1;
    map_put(cx->names, key, (void *)used);
    if (used == 1) {
        return;
    }
    rename_kernel(cx, k, sym_printf(cx->ir->syms, "%s_%u", k->name, (unsigned)used));
    make_unique(cx, k); /* another kernel may have that very name */
}

static const char *group_text(PlanCx *cx, const Node *n)
{
    StrBuf sb = sb_new(cx->arena);
    def_print(node_def(n), &sb);
    if (n->note) {
        sb_printf(&sb, "%s%s", n->note,
                  n->note[0] && n->note[strlen(n->note) - 1] == '\n' ? "" : "\n");
    }
    return sb_text(&sb);
}

static uint64_t larger_bytes(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Moving a line of the model is no other kernel. */
static uint64_t source_hash(Arena *arena, const char *source)
{
    StrBuf sb = sb_new(arena);
    kernel_without_lines(&sb, source);
    return hash_text(sb_text(&sb));
}

static void add_phases(PlanCx *cx, const Kernel *k)
{
    for (uint32_t i = 0; i < k->phases.n; i++) {
        const KPhase *from = &k->phases.at[i];
        PlanPhase p = {.symbol = planb_text(cx->b, from->name),
                       .tasks = plan_of_dim(cx, from->tasks),
                       .threads = from->threads,
                       .team = from->team,
                       .shared = from->shared,
                       .blocks = from->blocks,
                       .stays = from->stays,
                       .waits = from->waits};
        VEC_PUSH(cx->arena, &cx->b->phases, p);
    }
}

static void add_maps(PlanCx *cx, const Kernel *k)
{
    for (uint32_t i = 0; i < k->maps.n; i++) {
        const KMap *from = &k->maps.at[i];
        const KBuf *b = &k->bufs.at[from->buf];
        bool shared = b->kind == KB_WORKSPACE;
        PlanMap m = {.arg = shared ? PLAN_NONE : b->arg,
                     .offset = shared ? b->offset : 0,
                     .dtype = b->dtype,
                     .rank = from->rank,
                     .swizzle = from->swizzle,
                     .first = plan_of_dim(cx, from->first)};
        for (uint32_t d = 0; d < from->rank; d++) {
            m.dim[d] = plan_of_dim(cx, from->dim[d]);
            m.box[d] = from->box[d];
            if (d)
                m.stride[d - 1] = plan_of_dim(cx, from->stride[d - 1]);
        }
        VEC_PUSH(cx->arena, &cx->b->maps, m);
    }
}

/* On a GPU scratch is a part of the workspace for each task. */
static uint64_t workspace_of(const Kernel *k)
{
    int64_t most = 0;
    for (uint32_t i = 0; i < k->phases.n && k->threads; i++)
        most = larger(most, dim_hi(k->ir, k->phases.at[i].tasks));
    return k->workspace + (uint64_t)most * k->scratch;
}

bool codegen_gemm(Ir *ir, const Node *group, const LibraryChoice *c, PlanGemm *out)
{
    LibraryGemm g;
    if (!library_gemm(ir, node_def(group)->body, &g))
        return false;
    *out = (PlanGemm){.operand = g.operand,
                      .result = g.result,
                      .left = g.left,
                      .right = g.right,
                      .add = g.add == UINT32_MAX ? PLAN_NONE : g.add,
                      .into = group->nin,
                      .turn_left = g.turn_left,
                      .turn_right = g.turn_right,
                      .m = g.m,
                      .n = g.n,
                      .k = g.k,
                      .ld_left = g.ld_left,
                      .ld_right = g.ld_right,
                      .batch = g.batch,
                      .apart_left = g.apart_left,
                      .apart_right = g.apart_right,
                      .library = c->version,
                      .workspace = c->workspace};
    memcpy(out->algorithm, c->algorithm, sizeof out->algorithm);
    return true;
}

/* What a library may compute in place of the kernel. Operands of a loop move, and may lie anywhere. */
static bool find_gemm(PlanCx *cx, const Node *n, KernelConfig config, PlanGemm *out)
{
    if (!config.library || config.loose)
        return false;
    const LibraryChoice c = library_choice(config.library);
    return codegen_gemm(cx->ir, n, &c, out);
}

static void add_variant(PlanCx *cx, const Kernel *k, uint32_t target, const PlanGemm *gemm)
{
    PlanTarget *pt = &cx->b->targets.at[target];
    EmitCx emit = {&cx->mk->targets[target], cx->slot_names, cx->b->slots.n, cx->slot_of,
                   cx->ir->diags};
    const char *source = codegen_emit(k, &emit, cx->arena);
    PlanVariant v = {.source = planb_text(cx->b, source),
                     .phase0 = cx->b->phases.n,
                     .nphase = k->phases.n,
                     .again = k->again,
                     .map0 = cx->b->maps.n,
                     .nmap = k->maps.n,
                     .gemm0 = cx->b->gemms.n,
                     .ngemm = gemm != NULL,
                     .scratch = k->threads ? 0 : k->scratch,
                     .workspace = larger_bytes(workspace_of(k), gemm ? gemm->workspace : 0),
                     .hash = source_hash(cx->arena, source),
                     .grain = k->grain};
    ASSERT(k->table == (k->grain > 0));
    add_phases(cx, k);
    add_maps(cx, k);
    if (gemm)
        VEC_PUSH(cx->arena, &cx->b->gemms, *gemm);
    pt->workspace_bytes = larger_bytes(pt->workspace_bytes, v.workspace);
    VEC_PUSH(cx->arena, &cx->b->variants, v);
}

/* The kernel for the targets behind the first, under the name that it has there. */
static void add_other_variants(PlanCx *cx, const Node *n, const Kernel *first, bool loose)
{
    for (uint32_t t = 1; t < cx->mk->ntarget; t++) {
        const Target *target = &cx->mk->targets[t];
        KernelConfig config = cx->mk->config_of(cx->mk->user, n, target);
        config.loose = loose;
        Kernel *k = codegen_lower(cx->ir, cx->arena, n, config, target);
        rename_kernel(cx, k, first->name);
        PlanGemm gemm;
        bool by_library = find_gemm(cx, n, config, &gemm);
        add_variant(cx, k, t, by_library ? &gemm : NULL);
    }
}

/* On a GPU a vector must lie at a multiple of its size, which is not known of what moves in a loop. */
static bool is_loose(const EntryCx *en)
{
    bool gpu = false;
    for (uint32_t t = 0; t < en->cx->mk->ntarget; t++)
        gpu = gpu || en->cx->mk->targets[t].kind == TK_CUDA;
    return gpu && en->out;
}

static const Made *make_kernel(PlanCx *cx, const Node *n, bool loose)
{
    uint64_t key = kernel_key(n, loose);
    Made *made = map_get(cx->kernels, key);
    if (made) {
        return made;
    }
    KernelConfig config = codegen_config(n);
    config.loose = loose;
    Kernel *k = codegen_lower(cx->ir, cx->arena, n, config, &cx->mk->targets[0]);
    make_unique(cx, k);
    PlanKernel pk = {.name = planb_text(cx->b, k->name),
                     .cls = planb_text(cx->b, node_sym(n, "class")),
                     .group = planb_text(cx->b, group_text(cx, n)),
                     .variant0 = cx->b->variants.n,
                     .flops = (uint64_t)k->flops,
                     .bytes = (uint64_t)k->bytes,
                     .products = (uint64_t)k->products,
                     .matrix = (uint64_t)k->matrix};
    VEC_PUSH(cx->arena, &cx->b->kernels, pk);
    PlanGemm gemm;
    bool by_library = find_gemm(cx, n, config, &gemm);
    add_variant(cx, k, 0, by_library ? &gemm : NULL);
    add_other_variants(cx, n, k, loose);
    made = NEW(cx->arena, Made);
    *made = (Made){cx->b->kernels.n - 1, k};
    map_put(cx->kernels, key, made);
    return made;
}

/* ---- steps ---- */

static void add_buf(EntryCx *en, uint32_t tensor)
{
    PlanArg a = {.kind = PG_BUF, .tensor = tensor};
    VEC_PUSH(en->cx->arena, &en->cx->b->args, a);
}

/* Result r of a group, as the get (or the group itself) that the memory plan knows. */
static uint32_t result_tensor(EntryCx *en, const Node *group, uint32_t r)
{
    const MemPlan *m = en->mem;
    const Slot *slot = &m->slots[m->first_slot[group->id] + r];
    if (slot->place == PLACE_STATE) {
        return slot->index;
    }
    if (slot->place == PLACE_OUT) {
        ASSERT(en->out);
        return en->out[slot->index];
    }
    uint32_t *known = &en->tensor[slot - m->slots];
    if (*known == PLAN_NONE) {
        const Type *t = group->type->is_tuple ? group->type->elems[r] : group->type;
        *known = temporary(en, slot, t, group);
    }
    return *known;
}

static int64_t elements(const Ir *ir, const Type *t)
{
    return (int64_t)(type_bytes(ir, t) / dtype_info(t->dtype)->bytes);
}

static uint32_t group_results(const Node *n)
{
    return n->type->is_tuple ? n->type->nelem : 1;
}

/* Rows of a multi-tensor kernel: set by set its formals, then its results. */
static void add_table(EntryCx *en, const Node *n, uint32_t per_set, uint32_t results)
{
    PlanCx *cx = en->cx;
    uint32_t count = (uint32_t)node_int(n, "count"), row0 = cx->b->rows.n;
    for (uint32_t s = 0; s < count; s++) {
        PlanRow row = {.n = elements(cx->ir, n->in[s * per_set]->type)};
        for (uint32_t k = 0; k < PLAN_ROW_BUFS; k++) {
            row.tensor[k] = k < per_set ? value_tensor(en, n->in[s * per_set + k])
                            : k < per_set + results
                                ? result_tensor(en, n, s * results + k - per_set)
                                : PLAN_NONE;
        }
        VEC_PUSH(cx->arena, &cx->b->rows, row);
    }
    PlanArg a = {.kind = PG_TABLE, .row0 = row0, .nrow = count};
    VEC_PUSH(cx->arena, &cx->b->args, a);
}

/* The operands of a norm are sets of one tensor each. */
static void sumsq_args(EntryCx *en, const Node *n)
{
    PlanCx *cx = en->cx;
    uint32_t row0 = cx->b->rows.n;
    for (uint32_t i = 0; i < n->nin; i++) {
        PlanRow row = {.n = elements(cx->ir, n->in[i]->type)};
        for (uint32_t k = 0; k < PLAN_ROW_BUFS; k++) {
            row.tensor[k] = k == 0 ? value_tensor(en, n->in[i]) : PLAN_NONE;
        }
        VEC_PUSH(cx->arena, &cx->b->rows, row);
    }
    add_buf(en, result_tensor(en, n, 0));
    PlanArg a = {.kind = PG_TABLE, .row0 = row0, .nrow = n->nin};
    VEC_PUSH(cx->arena, &cx->b->args, a);
}

static void multi_args(EntryCx *en, const Node *n)
{
    uint32_t count = (uint32_t)node_int(n, "count");
    uint32_t per_set = multi_per_set(n);
    for (uint32_t i = count * per_set; i < n->nin; i++) {
        add_buf(en, value_tensor(en, n->in[i]));
    }
    add_table(en, n, per_set, group_results(n) / count);
}

static void add_launch(EntryCx *en, const Node *n)
{
    PlanCx *cx = en->cx;
    const Made *made = make_kernel(cx, n, is_loose(en));
    PlanStep step = {.kernel = made->index, .arg0 = cx->b->args.n};
    if (node_int(n, "count") > 1) {
        multi_args(en, n);
    } else if (made->kernel->table) {
        sumsq_args(en, n);
    } else {
        for (uint32_t i = 0; i < n->nin; i++) {
            add_buf(en, value_tensor(en, n->in[i]));
        }
        for (uint32_t i = 0; i < group_results(n); i++) {
            add_buf(en, result_tensor(en, n, i));
        }
    }
    step.narg = cx->b->args.n - step.arg0;
    VEC_PUSH(cx->arena, &cx->b->steps, step);
}

/* ---- loops ---- */

static void add_steps(EntryCx *en);

static EntryCx entry_new(PlanCx *cx, const MemPlan *m)
{
    EntryCx en = {.cx = cx, .mem = m, .tensor = NEW_ARRAY(cx->arena, uint32_t, m->nslot + 1)};
    for (uint32_t i = 0; i < m->nslot; i++) {
        en.tensor[i] = PLAN_NONE;
    }
    en.input = NEW_ARRAY(cx->arena, uint32_t, m->graph->inputs.n + 1);
    return en;
}

static uint32_t moving(PlanCx *cx, const Type *type, const char *name, PlanMove move)
{
    PlanTensor t = tensor_of_type(cx, type, name, "");
    t.arena = PA_MOVING;
    t.offset = cx->b->moves.n;
    VEC_PUSH(cx->arena, &cx->b->moves, move);
    return add_tensor(cx, &t);
}

/* What the body of loop number `loop` reads and where it writes. */
static void bind_body(EntryCx *outer, EntryCx *en, const Node *n, uint32_t loop)
{
    PlanCx *cx = outer->cx;
    const Graph *body = en->mem->graph;
    uint32_t carry = (uint32_t)node_int(n, "carry"), xs = (uint32_t)node_int(n, "xs");
    uint32_t carry0 = cx->b->loops.at[loop].carry0;
    for (uint32_t k = 0; k < body->inputs.n; k++) {
        const Node *in = body->inputs.at[k];
        const char *name = node_sym(in, "name");
        if (k < carry) {
            en->input[k] = moving(cx, in->type, name, (PlanMove){PM_OLD, loop, carry0 + k});
        } else if (k < carry + xs) {
            uint32_t of = value_tensor(outer, n->in[k]);
            en->input[k] = moving(cx, in->type, name, (PlanMove){PM_SLICE, loop, of});
        } else {
            en->input[k] = value_tensor(outer, n->in[k]);
        }
    }
    en->out = NEW_ARRAY(cx->arena, uint32_t, body->results.n + 1);
    for (uint32_t r = 0; r < body->results.n; r++) {
        PlanMove move = {PM_NEW, loop, carry0 + r};
        if (r >= carry) {
            move = (PlanMove){PM_SLICE, loop, result_tensor(outer, n, r)};
        }
        en->out[r] = moving(cx, body->results.at[r].node->type, body->results.at[r].name, move);
    }
}

static void add_loop(EntryCx *outer, const Node *n)
{
    PlanCx *cx = outer->cx;
    uint32_t loop = cx->b->loops.n, carry = (uint32_t)node_int(n, "carry");
    PlanLoop row = {.length = plan_of_dim(cx, node_dim(n, "length")),
                    .reverse = node_int(n, "reverse") != 0,
                    .carry0 = cx->b->carries.n,
                    .ncarry = carry};
    VEC_PUSH(cx->arena, &cx->b->loops, row);
    for (uint32_t i = 0; i < carry; i++) {
        PlanCarry c = {.init = value_tensor(outer, n->in[i]), .last = result_tensor(outer, n, i)};
        c.other = temporary(outer, memplan_carry(outer->mem, n, i), n->in[i]->type, n);
        VEC_PUSH(cx->arena, &cx->b->carries, c);
    }
    EntryCx en = entry_new(cx, outer->mem->body[n->id]);
    en.base = outer->base + memplan_body_arena(outer->mem, n)->offset;
    bind_body(outer, &en, n, loop);
    VEC_PUSH(cx->arena, &cx->b->steps, ((PlanStep){.kind = PT_LOOP, .kernel = loop}));
    add_steps(&en);
    VEC_PUSH(cx->arena, &cx->b->steps, ((PlanStep){.kind = PT_END, .kernel = loop}));
}

static void add_steps(EntryCx *en)
{
    for (uint32_t i = 0; i < en->mem->order.n; i++) {
        const Node *n = en->mem->order.at[i];
        if (op_info(n->op)->cls == OC_LOOP) {
            add_loop(en, n);
        } else {
            add_launch(en, n);
        }
    }
}

/* ---- entries ---- */

static void add_binding(PlanCx *cx, Sym name, uint32_t tensor)
{
    PlanBinding bind = {planb_text(cx->b, name), tensor};
    VEC_PUSH(cx->arena, &cx->b->bindings, bind);
}

static void make_inputs(EntryCx *en, PlanEntry *entry)
{
    PlanCx *cx = en->cx;
    const Graph *g = en->mem->graph;
    for (uint32_t i = 0; i < g->inputs.n; i++) {
        const Node *in = g->inputs.at[i];
        PlanTensor t = tensor_of_type(cx, in->type, node_sym(in, "name"), "");
        t.arena = PA_INPUT;
        en->input[i] = add_tensor(cx, &t);
    }
    entry->input0 = cx->b->bindings.n;
    entry->ninput = g->inputs.n;
    for (uint32_t i = 0; i < g->inputs.n; i++) {
        add_binding(cx, node_sym(g->inputs.at[i], "name"), en->input[i]);
    }
}

static void make_entry(PlanCx *cx, const MemPlan *m)
{
    EntryCx en = entry_new(cx, m);
    PlanEntry entry = {.name = planb_text(cx->b, m->graph->name), .step0 = cx->b->steps.n};
    make_inputs(&en, &entry);
    add_steps(&en);
    entry.nstep = cx->b->steps.n - entry.step0;
    uint32_t *result = NEW_ARRAY(cx->arena, uint32_t, m->graph->results.n + 1);
    for (uint32_t i = 0; i < m->graph->results.n; i++) {
        result[i] = value_tensor(&en, m->graph->results.at[i].node);
    }
    entry.result0 = cx->b->bindings.n;
    entry.nresult = m->graph->results.n;
    for (uint32_t i = 0; i < m->graph->results.n; i++) {
        add_binding(cx, m->graph->results.at[i].name, result[i]);
    }
    cx->temp = larger_bytes(cx->temp, m->arena_bytes);
    VEC_PUSH(cx->arena, &cx->b->entries, entry);
}

static void make_targets(PlanCx *cx)
{
    static const PlanTargetKind kinds[] = {[TK_CPU] = PLAN_CPU, [TK_CUDA] = PLAN_CUDA};
    ASSERT(cx->mk->ntarget >= 1 && cx->mk->ntarget <= PLAN_MAX_TARGETS);
    for (uint32_t t = 0; t < cx->mk->ntarget; t++) {
        const Target *from = &cx->mk->targets[t];
        planb_target(cx->b, kinds[from->kind], from->isa);
    }
}

void codegen_plan(PlanBuilder *b, const MkPlan *mk)
{
    Ir *ir = mk->program->ir;
    PlanCx cx = {.b = b,
                 .mk = mk,
                 .ir = ir,
                 .arena = b->arena,
                 .dims = map_new(b->arena),
                 .kernels = map_new(b->arena),
                 .names = map_new(b->arena)};
    make_targets(&cx);
    make_slots(&cx);
    PlanMeta meta = {.name = planb_text(b, mk->program->name),
                     .source_path = planb_text(b, mk->source_path),
                     .source_hash = mk->source_hash};
    meta.state_bytes = make_states(&cx);
    for (uint32_t i = 0; i < mk->nentry; i++) {
        make_entry(&cx, mk->plans[i]);
    }
    meta.temp_bytes = cx.temp;
    VEC_PUSH(b->arena, &b->meta, meta);
}
