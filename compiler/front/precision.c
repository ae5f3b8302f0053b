/* precision.c: `precision` of a stage: a word for all types, or a group with one for each (language.md 2.9); and of
 * a block that writes text: a word.
 * It says what `float` is; where numbers are rounded is narrow.c's. */
#include "data.h"
#include "stages.h"

static bool float_type(Elab *e, const char *name, const Val *v, DType *out)
{
    if (v->kind == V_DTYPE && dtype_is_float(v->dtype)) {
        *out = v->dtype;
        return true;
    }
    if (!val_is_poison(v)) {
        diag_at(e->diags, DIAG_E0802, v->span, "`%s` is a float type, as bf16, got %s", name,
                val_text(e, v));
    }
    return false;
}

/* What is computed in: a float type, or `tf32`, which is f32 but for operands of products. */
static bool compute_type(Elab *e, Env *env, const char *name, const Ast *a, Precision *p)
{
    p->tf32 = a->kind == A_ID && strcmp(a->name, "tf32") == 0;
    if (p->tf32) {
        p->compute = DT_F32;
        return true;
    }
    return float_type(e, name, eval(e, env, a), &p->compute);
}

bool block_precision(Elab *e, Env *env, const Ast *block, Precision *out)
{
    const Ast *a = block_attr(block, "precision");
    if (!a || a->kind == A_NONE) {
        return true;
    }
    if (!compute_type(e, env, "precision", a, out)) {
        return false;
    }
    out->params = out->compute;
    if (dtype_info(out->compute)->bytes == 1) {
        not_yet(e, a->span, "writing text in 8 bits");
    }
    return true;
}

static bool read_group(Elab *e, Env *env, const Ast *body, Precision *p)
{
    const struct {
        const char *name;
        DType *type;
    } types[] = {
        {"params", &p->params}, {"grads", &p->grads}, {"master", &p->master}, {"state", &p->state}};
    bool ok = schema_check_body(e, "precision", body);
    for (uint32_t i = 0; i < body->nkid; i++) {
        const Ast *a = body->kid[i];
        if (a->kind == A_ATTR && strcmp(a->name, "compute") == 0) {
            ok = compute_type(e, env, a->name, a->kid[0], p) && ok;
        }
        for (size_t k = 0; a->kind == A_ATTR && k < COUNT(types); k++) {
            if (strcmp(a->name, types[k].name) == 0) {
                ok = float_type(e, a->name, eval(e, env, a->kid[0]), types[k].type) && ok;
            }
        }
    }
    return ok;
}

/* 16 bits with an 8-bit exponent train as they are; others need factors against underflow. */
static bool needs_scaling(DType dt)
{
    return narrow_is(dt) && dt != DT_BF16;
}

bool stage_precision(Stage *s)
{
    Elab *e = s->e;
    const StageLine *line = stage_line(s->def, "precision");
    Precision p = e->precision;
    bool ok = true;
    if (!line) {
        return true;
    }
    Env *env = stage_env(s, line->scope);
    const Ast *value = line->ast->kid[0];
    if (line->ast->kind == A_ATTR) {
        ok = compute_type(e, env, "precision", value, &p);
        p.params = p.compute;
    } else {
        ok = read_group(e, env, value, &p);
    }
    if (!ok) {
        return false;
    }
    if (needs_scaling(p.compute) || needs_scaling(p.params) || needs_scaling(p.grads)) {
        not_yet(e, line->ast->span, "training in f16 or 8 bits, which needs scaled losses,");
    }
    e->precision = p;
    e->generic = narrow_generic(e);
    return true;
}
