#!/usr/bin/env python3
"""Records the standard library for tests/e2e, in the form that record.py describes.

    venv/bin/python tests/recorded/record_std.py

ops_std.safetensors: one case for each function of ops_std.mdl.
"""

import numpy as np
import record
import torch
import torch.nn.functional as F
from record import attention, case, uniform

POS = np.array([[0, 1, 2, 0, 1], [0, 0, 1, 2, 3]], np.int32)
SEG = np.array([[3, 3, 7, 7, 3], [1, 2, 2, 2, 1]], np.int32)


def places(n):
    return torch.arange(n)[:, None], torch.arange(n)[None, :]


def samples(pos):
    """The number of the sample that each position of a row belongs to."""
    return (pos == 0).long().cumsum(1)


def equal(a):
    return a[:, :, None] == a[:, None, :]


def causal(pos):
    t, u = places(pos.shape[1])
    return equal(samples(pos)) & (u <= t)


def masked(q, k, v, mask, **options):
    return attention(q, k, v, attn_mask=mask[:, None], **options)


def padded(q, k, v, valid):
    """A row without any valid key is 0."""
    mask = valid[:, None, :].expand(-1, q.shape[1], -1)
    some = valid.any(1)
    return masked(q, k, v, mask | ~some[:, None, None]) * some[:, None, None, None]


def attention_cases():
    def qkv(h=2, kv=2, e=3):
        x = uniform
        return {"q": x(-2, 2, 2, 5, h, 3), "k": x(-2, 2, 2, 5, kv, 3), "v": x(-2, 2, 2, 5, kv, e)}

    t, u = places(5)
    case("std_causal", lambda q, k, v, pos: masked(q, k, v, causal(pos)), **qkv(), pos=POS)
    case("std_causal_groups", lambda q, k, v, pos: masked(q, k, v, causal(pos), scale=0.5), **qkv(4, 2, 2), pos=POS)
    case("std_packed", lambda q, k, v, pos: masked(q, k, v, equal(samples(pos))), **qkv(), pos=POS)
    case("std_same", lambda q, k, v, seg: masked(q, k, v, equal(seg)), **qkv(), seg=SEG)
    valid = np.array([[1, 1, 0, 1, 0], [0, 0, 0, 0, 0]], np.bool_)
    case("std_padding", padded, **qkv(), valid=valid)
    case("std_window", lambda q, k, v, pos: masked(q, k, v, causal(pos) & (t - u < 2)), **qkv(), pos=POS)
    case("std_mask_algebra", lambda q, k, v, seg: masked(q, k, v, ~equal(seg) | (u == t)), **qkv(), seg=SEG)
    case("std_score_cap", cap, **qkv())
    case("std_score_slopes", lambda q, k, v, w: attention(q, k, v, attn_mask=-w[:, None, None] * (t - u).abs()),
         **qkv(4), w=uniform(0.1, 1, 4))  # fmt: skip


def cap(q, k, v):
    s = torch.einsum("bthd,buhd->bhtu", q, k) / q.shape[3] ** 0.5
    return torch.einsum("bhtu,buhd->bthd", (2 * torch.tanh(s / 2)).softmax(-1), v)


def angles(x, pos):
    n = x.shape[-1] // 2
    a = pos[..., None].double() * 100.0 ** (-torch.arange(n).double() / n)
    return a.cos()[:, :, None], a.sin()[:, :, None]


def rope(x, pos):
    (c, s), (u, v) = angles(x, pos), x.chunk(2, -1)
    return torch.cat([u * c - v * s, v * c + u * s], -1)


def rope_interleaved(x, pos):
    (c, s), u, v = angles(x, pos), x[..., ::2], x[..., 1::2]
    return torch.stack([u * c - v * s, v * c + u * s], -1).flatten(-2)


def other_cases():
    case("std_rope", rope, x=uniform(-2, 2, 2, 5, 2, 6), pos=POS)
    case("std_rope_interleaved", rope_interleaved, x=uniform(-2, 2, 2, 5, 2, 6), pos=POS)
    case("std_swiglu", lambda g, u: F.silu(g) * u, g=uniform(-4, 4, 3, 7), u=uniform(-2, 2, 3, 7))
    case("std_relu_at_0", torch.relu, x=np.array([-1, 0, 2, -0.0, 0], np.float32))
    image = uniform(-2, 2, 2, 2, 4, 5)
    for name, mode in ("", "bilinear"), ("_nearest", "nearest-exact"), ("_bicubic", "bicubic"):
        case("std_interpolate" + name, lambda x, mode=mode: F.interpolate(x, (7, 3), mode=mode), x=image)
    case("std_unbind", lambda x: x[:, 0] * x[:, 1] + x[:, 2], x=uniform(-2, 2, 2, 3, 4))


def terms(x, t, mask, y):
    nll = F.cross_entropy(x.flatten(0, 1), t.flatten().long(), reduction="none")
    ce = (nll * mask.flatten()).sum() / mask.sum().clamp(min=1)
    return ce, y


def value(v):
    """Terms of different weights are one number."""
    return {"out.sum": v, "out.weight": torch.ones((), dtype=torch.float64)}


def loss_cases():
    def loss(ce, y):
        return value(ce - 0.25 * y.square().mean() + y[y > 0].mean() / 2)

    x, t, y = uniform(-4, 4, 2, 4, 6), record.ints(0, 6, 2, 4), uniform(-2, 2, 9)
    mask = np.array([[1, 0, 1, 1], [0, 0, 1, 1]], np.bool_)
    case("std_loss_terms", lambda *a: loss(*terms(*a)), x=x, t=t, mask=mask, y=y)
    case("std_loss_empty", lambda x, t, mask, y: value(3 * (y**3).mean() + 0 * x.sum()),
         x=x, t=t, mask=np.zeros_like(mask), y=y)  # fmt: skip
    case("std_loss_factor", lambda x, y, beta: value(x.square().mean() + beta * y.mean() / 2), ["x", "y"],
         x=uniform(-2, 2, 5), y=y, beta=np.array(0.75, np.float32))  # fmt: skip


if __name__ == "__main__":
    torch.set_num_threads(1)
    record.RNG = np.random.default_rng(20240609)
    record.record_cases("ops_std.safetensors", (attention_cases, other_cases, loss_cases))
