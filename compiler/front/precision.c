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

bool block_precision(Elab *e, Env *env, const Ast *block, Precision *out)
{
    const Ast *a = block_attr(block, "precision");
    const Val *v = a && a->kind != A_NONE ? eval(e, env, a) : NULL;
    if (!v) {
        return true;
    }
    if (!float_type(e, "precision", v, &out->compute)) {
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
    } types[] = {{"compute", &p->compute},
                 {"params", &p->params},
                 {"grads", &p->grads},
                 {"master", &p->master},
                 {"state", &p->state}};
    bool ok = schema_check_body(e, "precision", body);
    for (uint32_t i = 0; i < body->nkid; i++) {
        const Ast *a = body->kid[i];
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
        ok = float_type(e, "precision", eval(e, env, value), &p.compute);
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
