# awk -v bytes=N -f source.awk: a program of about N bytes without a mistake: parts of a module with
# attention, an op, a block of both and a model each, and evaluations of some of them.
function part(i) {
    return sprintf("## Part %d.\n", i) \
        sprintf("module Attention%d(D, H) {\n", i) \
        "  let dh = D / H\n" \
        "  q_proj: Linear(D, H * dh, bias: none)\n" \
        "  k_proj: Linear(D, H * dh, bias: none)\n" \
        "  v_proj: Linear(D, H * dh, bias: none)\n" \
        "  o_proj: Linear(H * dh, D, bias: none)\n\n" \
        "  fn forward(x: [B, T, D]) -> [B, T, D] {\n" \
        "    q = q_proj(x) as [B, T, H, dh]\n" \
        "    k = k_proj(x) as [B, T, H, dh]\n" \
        "    v = v_proj(x) as [B, T, H, dh]\n" \
        "    attention(q, k, v) as [B, T, D] |> o_proj\n" \
        "  }\n}\n\n" \
        sprintf("op act%d(x: [..], a: num = %d) -> [..] = x * sigmoid(a * x) + max(x, 0) / (1 + exp(-abs(x)))\n\n", i, i % 7 + 1) \
        sprintf("module Block%d(D, H, F) {\n", i) \
        "  norm1: LayerNorm(D)\n" \
        sprintf("  attn:  Attention%d(D, H)\n", i) \
        "  norm2: LayerNorm(D)\n" \
        "  up:    Linear(D, F)\n" \
        "  down:  Linear(F, D)\n\n" \
        "  fn mix(x: [B, T, D], y: [B, T, D]) -> [B, T, D] {\n" \
        "    z[b, t, i] = x[b, t, i] + y[b, t, i] * 0.5\n" \
        "    z\n" \
        "  }\n" \
        "  fn forward(x: [B, T, D]) -> [B, T, D] {\n" \
        "    x = mix(x, norm1(x) |> attn)\n" \
        sprintf("    mix(x, norm2(x) |> up |> act%d |> down)\n", i) \
        "  }\n}\n\n" \
        sprintf("model m%d = Block%d(%d, 4, %d)\n\n", i, i, 32 + 4 * (i % 5), 64 + i % 9)
}
BEGIN {
    for (; n < bytes; count++) {
        text = part(count)
        n += length(text)
        printf "%s", text
    }
    print "data d {\n  source = npz(\"x.npz\", x: \"x\")\n  x: f32[8, 32] = row => row.x\n}"
    for (i = 0; i < count; i += 5)
        printf "eval e%d { data = d ; metric m = b => mean(m%d(b.x)) }\n", i, i
}
