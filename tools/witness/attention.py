"""Attention and rotary positions."""
from case import NotApplicable, num, shape_text


def attention(c):
    q, k, v = c.array[0], c.array[1], c.array[2]
    if any(c.given(i) for i in (4, 5, 6)) or len(c.want) > 1:
        raise NotApplicable("attention: a cache or its scores")
    if q.ndim == 4:
        c.say("q[b, t, h, d] = x0[b, h, t, d]", "k[b, u, h, d] = x1[b, h, u, d]", "v[b, u, h, d] = x2[b, h, u, d]")
        width, heads = q.shape[3], q.shape[1]
    else:
        heads, kv = c.attrs["q_num_heads"], c.attrs["kv_num_heads"]
        (b, t, _), (_, s, _) = q.shape, k.shape
        width = q.shape[2] // heads
        c.say(f"q = x0 as {shape_text([b, t, heads, width])}", f"k = x1 as {shape_text([b, s, kv, k.shape[2] // kv])}",
              f"v = x2 as {shape_text([b, s, kv, v.shape[2] // kv])}")
    scale = c.attr("scale", 1.0 / width ** 0.5)
    soft = c.attr("softcap", 0.0)
    terms, score = [], "s"
    if soft:
        score = f"{num(soft)} * tanh({score} / {num(soft)})"
    if c.given(3):
        m = c.array[3]
        names = ["b", "h", "t", "u"][4 - m.ndim:]
        at = ", ".join("0" if d == 1 and n in "bh" else n for d, n in zip(m.shape, names))
        if m.shape[-1] != k.shape[-2 if k.ndim == 4 else 1]:
            raise NotApplicable("attention: a mask of another length")
        if m.dtype == bool:
            score = f"select(x3[{at}], {score}, -inf)"
        else:
            score = f"{score} + x3[{at}]"
    if c.attr("is_causal", 0):
        terms.append("(b, t, u) => u <= t")
    args = [f"scale: {num(scale)}"]
    if terms:
        args.append(f"mask: {terms[0]}")
    if score != "s":
        args.append(f"score: (s, b, h, t, u) => {score}")
    c.say(f"o = attention(q, k, v, {', '.join(args)})")
    if q.ndim == 4:
        c.say("y[b, h, t, d] = o[b, t, h, d]")
        c.result("y")
    else:
        c.result(f"o as {shape_text(c.want[0].shape)}")


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
