"""Attention and rotary positions."""
from case import NotApplicable, num, shape_text


def heads_of(c):
    """q, k, v as [B, T, H, d], with what a cache has before them; its rows and those of k in all."""
    q, k, v = c.array[0], c.array[1], c.array[2]
    if q.ndim == 4:
        c.say("q[b, t, h, d] = x0[b, h, t, d]", "k[b, u, h, d] = x1[b, h, u, d]", "v[b, u, h, d] = x2[b, h, u, d]")
        width, queries, keys = q.shape[3], q.shape[2], k.shape[2]
    else:
        heads, kv = c.attrs["q_num_heads"], c.attrs["kv_num_heads"]
        (b, t, _), (_, s, _) = q.shape, k.shape
        width, queries, keys = q.shape[2] // heads, t, s
        c.say(f"q = x0 as {shape_text([b, t, heads, width])}", f"k = x1 as {shape_text([b, s, kv, k.shape[2] // kv])}",
              f"v = x2 as {shape_text([b, s, kv, v.shape[2] // kv])}")
    past = 0
    if c.given(4):
        past = c.array[4].shape[2]
        c.say("kp[b, u, h, d] = x4[b, h, u, d]", "vp[b, u, h, d] = x5[b, h, u, d]",
              "k = concat(kp, k, axis: 1)", "v = concat(vp, v, axis: 1)")
    return width, queries, past, past + keys


def read_mask(c, keys):
    """The mask or bias at one element, as text."""
    m = c.array[3]
    at = ", ".join("0" if d == 1 and n in "bh" else n for d, n in zip(m.shape, ["b", "h", "t", "u"][4 - m.ndim:]))
    if m.shape[-1] != keys:
        raise NotApplicable("attention: a mask of another length")
    return f"x3[{at}]"


def attention(c):
    width, queries, past, keys = heads_of(c)
    scale, soft = num(c.attr("scale", 1.0 / width ** 0.5)), c.attr("softcap", 0.0)
    capped = f"{num(soft)} * tanh(s / {num(soft)})" if soft else "s"
    score, conditions = capped, []
    if c.given(3):
        m = read_mask(c, keys)
        score = f"select({m}, {score}, -inf)" if c.array[3].dtype == bool else f"{score} + {m}"
    offset = f"t + {past}"
    if c.given(6):
        conditions.append("u < x6[b]")
        offset = f"t + x6[b] - {queries}"
    if c.attr("is_causal", 0):
        conditions.append(f"u <= {offset}")
    args = [f"scale: {scale}"]
    if conditions:
        args.append(f"mask: (b, t, u) => {' and '.join(conditions)}")
    if score != "s":
        args.append(f"score: (s, b, h, t, u) => {score}")
    c.say(f"o = attention(q, k, v, {', '.join(args)})")
    if c.array[0].ndim == 4:
        c.say("y[b, h, t, d] = o[b, t, h, d]")
    out = ["y" if c.array[0].ndim == 4 else f"o as {shape_text(c.want[0].shape)}"]
    if "present_key" in c.outputs:
        c.say("kt[b, h, u, d] = k[b, u, h, d]", "vt[b, h, u, d] = v[b, u, h, d]")
        out += ["kt", "vt"]
    if "qk_matmul_output" in c.outputs:
        out.append(scores(c, scale, capped, score, conditions))
    c.result(*out)


def scores(c, scale, capped, score, conditions):
    """The matrix of scores at the stage that the node asks for."""
    mode = c.attr("qk_matmul_output_mode", 0)
    ratio = "h" if c.want[-1].shape[1] == c.array[1].shape[1] or c.array[0].ndim == 3 else \
        f"h // {c.want[-1].shape[1] // c.array[1].shape[1]}"
    c.say(f"p[b, h, t, u] += q[b, t, h, d] * k[b, u, {ratio}, d]", f"p = p * {scale}")
    text = {0: "s", 1: capped}.get(mode, score)
    text = text.replace("(s ", "(p[b, h, t, u] ").replace(", s,", ", p[b, h, t, u],")
    text = "p[b, h, t, u]" + text[1:] if text.startswith("s") and not text.startswith("select") else text
    if mode >= 2 and conditions:
        text = f"select({' and '.join(conditions)}, {text}, -inf)"
    c.say(f"p[b, h, t, u] = {text}")
    return "softmax(p)" if mode == 3 else "p"


def rotary(c):
    x = c.array[0]
    if x.ndim == 4:
        c.say("q[b, t, h, d] = x0[b, h, t, d]")
        b, h, t, d = x.shape
    else:
        h = c.attrs["num_heads"]
        b, t, d = x.shape[0], x.shape[1], x.shape[2] // h
        c.say(f"q = x0 as {shape_text([b, t, h, d])}")
    r = c.attr("rotary_embedding_dim", 0) or d
    half = r // 2
    at = "x3[b, t], i" if c.given(3) else "b, t, i"
    if c.attr("interleaved", 0):
        c.say(f"e = q[.., :{r}] as {shape_text([b, t, h, half, 2])}",
              f"lo[b, t, h, i] = e[b, t, h, i, 0] * x1[{at}] - e[b, t, h, i, 1] * x2[{at}]",
              f"hi[b, t, h, i] = e[b, t, h, i, 0] * x2[{at}] + e[b, t, h, i, 1] * x1[{at}]",
              f"o = stack(lo, hi, axis: 4) as {shape_text([b, t, h, r])}")
    else:
        c.say(f"u = q[.., :{half}]", f"v = q[.., {half}:{r}]",
              f"lo[b, t, h, i] = u[b, t, h, i] * x1[{at}] - v[b, t, h, i] * x2[{at}]",
              f"hi[b, t, h, i] = u[b, t, h, i] * x2[{at}] + v[b, t, h, i] * x1[{at}]",
              "o = concat(lo, hi, axis: 3)")
    if r < d:
        c.say(f"o = concat(o, q[.., {r}:], axis: 3)")
    if x.ndim == 4:
        c.say("y[b, h, t, d] = o[b, t, h, d]")
        c.result("y")
    else:
        c.result(f"o as {shape_text(x.shape)}")
