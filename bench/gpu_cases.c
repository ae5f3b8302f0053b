/* gpu_cases.c: the families of cases. Flops and bytes are what the mathematics asks for: each input read once,
 * each result written once. */
#include "gpu_cases.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct CaseFamily {
    const char *name, *variants; /* between blanks */
    uint32_t nsize;
    void (*make)(GpuCase *c);
} CaseFamily;

/* ---- making one ---- */

/* Of so many extents, the rest of which are 0. */
static void case_input(GpuCase *c, const char *name, CaseFill fill, const int64_t dim[4])
{
    bool whole = fill == FILL_CLASSES || fill == FILL_POSITIONS;
    CompileInput *in = &c->inputs[c->ninput];
    *in = (CompileInput){.name = name, .dtype = whole ? DT_I32 : c->dtype};
    if (fill == FILL_EIGHT)
        in->dtype = DT_F32;
    while (in->rank < 4 && dim[in->rank]) {
        in->dim[in->rank] = dim[in->rank];
        in->rank++;
    }
    c->fill[c->ninput++] = fill;
}

#define CASE_INPUT(c, name, fill, ...) case_input(c, name, fill, (const int64_t[4]){__VA_ARGS__})

static bool case_is(const GpuCase *c, const char *variant)
{
    return strcmp(c->variant, variant) == 0;
}

static double case_bytes(const GpuCase *c, double elements)
{
    return elements * (double)dtype_info(c->dtype)->bytes;
}

static void make_gemm(GpuCase *c)
{
    static const char text[] = "fn nn(a: [M, K], b: [K, N]) -> [M, N] = a @ b\n"
                               "fn nt(a: [M, K], b: [N, K]) -> [M, N] {\n"
                               "  c[m, n] += a[m, k] * b[n, k]\n  c\n}\n"
                               "fn tn(a: [K, M], b: [K, N]) -> [M, N] {\n"
                               "  c[m, n] += a[k, m] * b[k, n]\n  c\n}\n";
    const int m = c->n[0], n = c->n[1], k = c->n[2];
    const bool ta = case_is(c, "tn"), tb = case_is(c, "nt");
    memcpy(c->text, text, sizeof text);
    c->function = c->variant;
    CASE_INPUT(c, "a", FILL_NORMAL, ta ? k : m, ta ? m : k);
    CASE_INPUT(c, "b", FILL_NORMAL, tb ? n : k, tb ? k : n);
    c->check = check_gemm;
    c->flops = 2.0 * m * n * k;
    c->bytes = case_bytes(c, 1.0 * m * k + 1.0 * n * k + 1.0 * m * n);
}

/* A product with weights of 8 bits and a scale for each row, or of 4 bits and a scale for each 32. */
static void make_stored(GpuCase *c)
{
    static const char text[] = "fn int8(x: [M, K], q: i8[N, K], s: [N]) -> [M, N] {\n"
                               "  w = dequant_int8(q, s)\n"
                               "  c[m, n] += x[m, k] * w[n, k]\n  c\n}\n"
                               "fn int4(x: [M, K], q: i32[N, W], s: [N, B]) -> [M, N] {\n"
                               "  w = dequant_int4(q, s)\n"
                               "  c[m, n] += x[m, k] * w[n, k]\n  c\n}\n";
    const int m = c->n[0], n = c->n[1], k = c->n[2];
    const bool bytes = case_is(c, "int8");
    memcpy(c->text, text, sizeof text);
    c->function = c->variant;
    CASE_INPUT(c, "x", FILL_NORMAL, m, k);
    CASE_INPUT(c, "q", FILL_BITS, n, bytes ? k : k / 8);
    c->inputs[1].dtype = bytes ? DT_I8 : DT_I32;
    CASE_INPUT(c, "s", FILL_NORMAL, n, bytes ? 0 : k / 32);
    c->flops = 2.0 * m * n * k;
    c->bytes = (bytes ? 1.0 : 0.5) * n * k +
               case_bytes(c, 1.0 * m * k + 1.0 * m * n + 1.0 * n * (bytes ? 1 : k / 32));
}

/* Queries, keys and values of one value: N heads' features wide, and P. */
static void make_qkv(GpuCase *c)
{
    static const char text[] =
        "fn fwd(x: [M, D], q: [N, D], k: [P, D], v: [P, D]) -> ([M, N], [M, P], [M, P]) {\n"
        "  a[m, n] += x[m, i] * q[n, i]\n"
        "  b[m, n] += x[m, i] * k[n, i]\n"
        "  c[m, n] += x[m, i] * v[n, i]\n"
        "  (a, b, c)\n}\n";
    const int m = c->n[0], n = c->n[1], p = c->n[2], d = c->n[3];
    memcpy(c->text, text, sizeof text);
    c->function = "fwd";
    CASE_INPUT(c, "x", FILL_NORMAL, m, d);
    CASE_INPUT(c, "q", FILL_NORMAL, n, d);
    CASE_INPUT(c, "k", FILL_NORMAL, p, d);
    CASE_INPUT(c, "v", FILL_NORMAL, p, d);
    c->check = check_qkv;
    c->flops = 2.0 * m * (n + 2 * p) * d;
    c->bytes = case_bytes(c, 1.0 * m * d + (1.0 * m + d) * (n + 2 * p));
}

/* Both projections of a gated unit and the unit. */
static void make_swiglu(GpuCase *c)
{
    static const char text[] = "fn fwd(x: [M, D], g: [F, D], u: [F, D]) -> [M, F] {\n"
                               "  a[m, n] += x[m, i] * g[n, i]\n"
                               "  b[m, n] += x[m, i] * u[n, i]\n"
                               "  swiglu(a, b)\n}\n";
    const int m = c->n[0], f = c->n[1], d = c->n[2];
    memcpy(c->text, text, sizeof text);
    c->function = "fwd";
    CASE_INPUT(c, "x", FILL_NORMAL, m, d);
    CASE_INPUT(c, "g", FILL_NORMAL, f, d);
    CASE_INPUT(c, "u", FILL_NORMAL, f, d);
    c->check = check_swiglu;
    c->flops = 4.0 * m * f * d;
    c->bytes = case_bytes(c, 1.0 * m * d + 2.0 * f * d + 1.0 * m * f);
}

/* Causal: half of the scores are not needed. */
static void make_attention(GpuCase *c)
{
    static const char text[] =
        "fn fwd(q: [B, T, H, d], k: [B, T, KV, d], v: [B, T, KV, d], pos: i32[B, T]) =\n"
        "  attention(q, k, v, mask: causal(pos))\n"
        "fn bwd(q: [B, T, H, d], k: [B, T, KV, d], v: [B, T, KV, d], dy: [B, T, H, d],\n"
        "       y: [B, T, H, d], lse: f32[B, H, T], pos: i32[B, T]) =\n"
        "  attention_bwd(q, k, v, lse, y, dy, mask: causal(pos))\n";
    const int b = c->n[0], t = c->n[1], h = c->n[2], kv = c->n[3], d = c->n[4];
    const bool back = case_is(c, "bwd");
    memcpy(c->text, text, sizeof text);
    c->function = c->variant;
    CASE_INPUT(c, "q", FILL_NORMAL, b, t, h, d);
    CASE_INPUT(c, "k", FILL_NORMAL, b, t, kv, d);
    CASE_INPUT(c, "v", FILL_NORMAL, b, t, kv, d);
    if (back) {
        CASE_INPUT(c, "dy", FILL_NORMAL, b, t, h, d);
        CASE_INPUT(c, "y", FILL_NORMAL, b, t, h, d);
        CASE_INPUT(c, "lse", FILL_EIGHT, b, h, t);
    }
    CASE_INPUT(c, "pos", FILL_POSITIONS, b, t);
    c->check = check_attention;
    c->flops = (back ? 10.0 : 4.0) / 2 * b * h * t * t * d;
    c->bytes = case_bytes(c, 1.0 * b * t * d * (back ? 4 * h + 4 * kv : 2 * h + 2 * kv));
}

/* ---- along rows, and elementwise ---- */

static void make_norm(GpuCase *c)
{
    static const char text[] =
        "fn rms_fwd(x: [M, D], w: [D]) -> [M, D] = rms_norm(x, w, 1e-5)\n"
        "fn rms_bwd(x: [M, D], w: [D], dy: [M, D]) -> ([M, D], [D]) {\n"
        "  h = f32(x)\n  g = f32(dy)\n"
        "  s[m] += h[m, d] ** 2\n  r = rsqrt(s / D + 1e-5)\n  n[m, d] = h[m, d] * r[m]\n"
        "  c[m] += g[m, d] * w[d] * h[m, d]\n  q = c * r / D\n"
        "  t[m, d] = r[m] * (g[m, d] * w[d] - n[m, d] * q[m])\n"
        "  dw[d] += g[m, d] * n[m, d]\n  (t as float, dw as float)\n}\n"
        "fn layer_fwd(x: [M, D], w: [D], b: [D]) -> [M, D] = layer_norm(x, w, b, 1e-5)\n"
        "fn layer_bwd(x: [M, D], w: [D], dy: [M, D]) -> ([M, D], [D], [D]) {\n"
        "  h = f32(x)\n  g = f32(dy)\n"
        "  a[m] += h[m, d]\n  u = a / D\n  s[m] += (h[m, d] - u[m]) ** 2\n"
        "  r = rsqrt(s / D + 1e-5)\n  n[m, d] = (h[m, d] - u[m]) * r[m]\n"
        "  c[m] += g[m, d] * w[d]\n  e[m] += g[m, d] * w[d] * (h[m, d] - u[m])\n"
        "  p = c / D\n  q = e * r / D\n"
        "  t[m, d] = r[m] * (g[m, d] * w[d] - p[m] - n[m, d] * q[m])\n"
        "  dw[d] += g[m, d] * n[m, d]\n  db[d] += g[m, d]\n"
        "  (t as float, dw as float, db as float)\n}\n";
    const int m = c->n[0], d = c->n[1];
    memcpy(c->text, text, sizeof text);
    c->function = c->variant;
    CASE_INPUT(c, "x", FILL_NORMAL, m, d);
    CASE_INPUT(c, "w", FILL_NORMAL, d);
    if (strstr(c->variant, "bwd"))
        CASE_INPUT(c, "dy", FILL_NORMAL, m, d);
    else if (case_is(c, "layer_fwd"))
        CASE_INPUT(c, "b", FILL_NORMAL, d);
    c->bytes = case_bytes(c, (strstr(c->variant, "bwd") ? 3.0 : 2.0) * m * d);
}

static void make_map(GpuCase *c)
{
    static const char text[] =
        "fn silu_mul(g: [M, F], u: [M, F]) -> [M, F] = silu(g) * u\n"
        "fn silu_mul_bwd(g: [M, F], u: [M, F], dy: [M, F]) -> ([M, F], [M, F]) {\n"
        "  s = sigmoid(g)\n  (dy * u * s * (1 + g * (1 - s)), dy * s * g)\n}\n";
    const int m = c->n[0], f = c->n[1];
    const bool back = case_is(c, "silu_mul_bwd");
    memcpy(c->text, text, sizeof text);
    c->function = c->variant;
    CASE_INPUT(c, "g", FILL_NORMAL, m, f);
    CASE_INPUT(c, "u", FILL_NORMAL, m, f);
    if (back)
        CASE_INPUT(c, "dy", FILL_NORMAL, m, f);
    c->bytes = case_bytes(c, (back ? 5.0 : 3.0) * m * f);
}

/* ---- with states: a stage ---- */

static const char *case_precision(const GpuCase *c)
{
    return c->dtype == DT_BF16 ? "  precision = bf16\n" : "";
}

static void make_xent(GpuCase *c)
{
    const int r = c->n[0], v = c->n[1], d = c->n[2];
    if (case_is(c, "fwd")) {
        static const char text[] = "fn fwd(x: [R, D], w: [V, D], t: i32[R]) -> loss {\n"
                                   "  y[r, c] += x[r, i] * w[c, i]\n  cross_entropy(y, t)\n}\n";
        memcpy(c->text, text, sizeof text);
        c->function = "fwd";
        CASE_INPUT(c, "x", FILL_NORMAL, r, d);
        CASE_INPUT(c, "w", FILL_NORMAL, v, d);
    } else {
        snprintf(c->text, sizeof c->text,
                 "module Net() {\n  head: Linear(%d, %d, bias: none)\n  param scale: [%d] ~ ones\n"
                 "  fn forward(x: [B, %d]) -> [B, %d] = head(x * scale)\n}\nmodel net = Net()\n"
                 "data rows {\n  source = npz(\"none.npz\", x: \"x\", t: \"t\")\n"
                 "  x: %s[%d] = row => row.x\n  t: i32 = row => row.t\n}\n"
                 "train net {\n  data = rows\n  loss = b => cross_entropy(net(b.x), b.t)\n"
                 "  lr = 1e-3\n  batch = %d\n  steps = 1\n%s}\n",
                 d, v, d, d, v, dtype_info(c->dtype)->name, d, r, case_precision(c));
        c->entry = "micro";
        CASE_INPUT(c, "x", FILL_NORMAL, r, d);
    }
    CASE_INPUT(c, "t", FILL_CLASSES, r);
    c->limit = v;
    c->flops = (c->function ? 2.0 : 6.0) * r * v * d;
    c->bytes = case_bytes(c, (1.0 * r * d + 1.0 * v * d) * (c->function ? 1 : 2));
}

/* Rows of a table, by number, and its gradient; what the rows are multiplied by stands for what follows. */
static void make_embedding(GpuCase *c)
{
    const int t = c->n[0], v = c->n[1], d = c->n[2];
    snprintf(c->text, sizeof c->text,
             "module Net() {\n  table: Embedding(%d, %d)\n"
             "  fn forward(t: i32[B], x: [B, %d]) -> [B, %d] = table(t) * x\n}\nmodel net = Net()\n"
             "data rows {\n  source = npz(\"none.npz\", x: \"x\", t: \"t\")\n"
             "  x: %s[%d] = row => row.x\n  t: i32 = row => row.t\n}\n"
             "train net {\n  data = rows\n  loss = b => mean(net(b.t, b.x))\n"
             "  lr = 1e-3\n  batch = %d\n  steps = 1\n%s}\n",
             v, d, d, d, dtype_info(c->dtype)->name, d, t, case_precision(c));
    c->entry = "micro";
    CASE_INPUT(c, "x", FILL_NORMAL, t, d);
    CASE_INPUT(c, "t", FILL_CLASSES, t);
    c->limit = v;
    c->bytes = case_bytes(c, 3.0 * t * d) + 4.0 * v * d; /* the gradient of the table is f32 */
}

/* One step for some layers of 2 x 4 D D parameters, and their biases. */
static void make_adamw(GpuCase *c)
{
    const int layers = c->n[0], d = c->n[1];
    snprintf(c->text, sizeof c->text,
             "module Layer() {\n  up: Linear(%d, %d)\n  down: Linear(%d, %d)\n"
             "  fn forward(x: [B, %d]) -> [B, %d] = x |> up |> down\n}\n"
             "module Net() {\n  h[%d]: Layer()\n  fn forward(x: [B, %d]) -> [B, %d] = h(x)\n}\n"
             "model net = Net()\ndata rows {\n  source = npz(\"none.npz\", x: \"x\")\n"
             "  x: %s[%d] = row => row.x\n}\n"
             "train net {\n  data = rows\n  loss = b => mean(net(b.x))\n  optimizer = adamw()\n"
             "  lr = 1e-3\n  batch = 16\n  steps = 1\n%s}\n",
             d, 4 * d, 4 * d, d, d, d, layers, d, d, dtype_info(c->dtype)->name, d,
             case_precision(c));
    c->entry = "update";
    double each = c->dtype == DT_BF16 ? 30 : 28; /* master, gradient, both moments; the parameter */
    c->bytes = each * layers * (8.0 * d * d + 5.0 * d);
}

/* One token behind others, by the layers of models/llama.mdl (in $MDL_PATH) and the scores of 32000: it reads
 * weights and what is kept. */
static void make_decode(GpuCase *c)
{
    const int layers = c->n[0], d = c->n[1], h = c->n[2], kv = c->n[3], v = 32000, f = d / 2 * 7;
    const int width = d / h;
    const double kept = 2.0 * width * kv, each = 2.0 * d * d + 1.0 * d * kept + 3.0 * d * f;
    c->past = c->n[4];
    snprintf(c->text, sizeof c->text,
             "import llama: Llama\n"
             "model net = Llama(V: %d, D: %d, L: %d, H: %d, KV: %d, F: %d, theta: 1e6)\n"
             "tokenizer letters = bytes()\n"
             "generate text {\n  model = net\n  tokenizer = letters\n  context = %d\n%s%s}\n",
             v, d, layers, h, kv, f, c->n[4] + 8, case_precision(c),
             case_is(c, "llama_int8")    ? "  store = int8\n"
             : case_is(c, "llama_int4")  ? "  store = int4(block: 32)\n"
             : case_is(c, "llama_drawn") ? "  sampling = sample(temperature: 0.7, top_p: 0.95)\n"
                                         : "");
    c->entry = "decode";
    c->flops = 2 * (layers * (each + 2 * kept * c->n[4]) + 1.0 * v * d);
    const double weights = layers * each + 1.0 * v * d; /* and scales */
    const double bytes = case_is(c, "llama_int8")   ? 1
                         : case_is(c, "llama_int4") ? 0.5625
                                                    : case_bytes(c, 1);
    c->bytes = bytes * weights + case_bytes(c, layers * kept * c->n[4]);
}

static const CaseFamily case_families[] = {
    {"gemm", " nn nt tn ", 3, make_gemm},
    {"stored", " int8 int4 ", 3, make_stored},
    {"qkv", " fwd ", 4, make_qkv},
    {"swiglu", " fwd ", 3, make_swiglu},
    {"attention", " fwd bwd ", 5, make_attention},
    {"xent", " fwd both ", 3, make_xent},
    {"norm", " rms_fwd rms_bwd layer_fwd layer_bwd ", 2, make_norm},
    {"map", " silu_mul silu_mul_bwd ", 2, make_map},
    {"adamw", " step ", 2, make_adamw},
    {"embedding", " both ", 3, make_embedding},
    {"decode", " llama llama_drawn llama_int8 llama_int4 ", 5, make_decode},
};

/* ---- names ---- */

static bool case_sizes(GpuCase *c, uint32_t nsize, const char *text)
{
    for (uint32_t i = 0; i < nsize; i++) {
        char *end;
        long n = strtol(text, &end, 10);
        c->n[i] = (int)n;
        if (end == text || n < 1 || n > 1 << 20 || *end != (i + 1 < nsize ? 'x' : 0))
            return false;
        text = end + 1;
    }
    return true;
}

bool case_read(Arena *arena, const char *name, GpuCase *c, Err *err)
{
    const char *part[4] = {0};
    char *copy = arena_strdup(arena, name);
    *c = (GpuCase){.name = name};
    for (int i = 0; i < 4 && copy; i++) {
        part[i] = copy;
        copy = strchr(copy, ':');
        if (copy)
            *copy++ = 0;
    }
    const CaseFamily *family = NULL;
    for (size_t i = 0; i < COUNT(case_families); i++)
        if (part[3] && !copy && strcmp(case_families[i].name, part[0]) == 0)
            family = &case_families[i];
    if (!family)
        return err_set(err, ERR_USAGE, "no case: %s", name);
    c->variant = part[2];
    bool known =
        strcmp(part[1], "f32") == 0 || strcmp(part[1], "bf16") == 0 || strcmp(part[1], "f16") == 0;
    c->dtype = part[1][0] == 'b' ? DT_BF16 : part[1][1] == '1' ? DT_F16 : DT_F32;
    const char *is = arena_printf(arena, " %s ", part[2]);
    if (!known || !strstr(family->variants, is) || !case_sizes(c, family->nsize, part[3]))
        return err_set(err, ERR_USAGE, "%s: its type, variant (%s) or %u sizes are wrong", name,
                       family->variants, family->nsize);
    family->make(c);
    return true;
}
