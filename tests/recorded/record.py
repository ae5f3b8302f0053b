#!/usr/bin/env python3
"""Records what PyTorch computes, in f64 from f32 inputs, for the tests in tests/e2e.

    python -m venv venv && venv/bin/pip install torch==2.5.1 numpy==2.4.6
    venv/bin/python tests/recorded/record.py

Inputs and weights are written as F32, I32 or BOOL, results as F64. The versions used are in the metadata
of each file. Running the tests needs none of this.

mlp.safetensors, transformer.safetensors: one batch through a tiny version of a model in examples/digits.
    batch.FIELD       a field of the batch
    weight.KEY        a parameter before training
    logits            the model's result
    loss.sum          sum of the losses of the rows; loss.weight: their number
    grad.KEY          gradient of loss.sum
    losses            mean loss at the start of each of STEPS updates on this batch
    step5.KEY         a parameter after 5 of these updates
The metadata has the options that make the .mdl file this model (`set.0` ...) and `lr`.

ops.safetensors: one case for each function of ops.mdl (ops_more.safetensors: record_more.py).
    CASE/in.FORMAL    an argument
    CASE/RESULT       out, out.0 ... or out.sum and out.weight, named as `mdl call` names them
    CASE/w.RESULT     random weights; the differentiated number is the sum of w * result
    CASE/grad.FORMAL  its gradient; absent where no gradient is wanted
"""

import json
import math
import os
import struct
import sys

import numpy as np
import torch
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
STEPS = 20
VERSIONS = {
    "torch": torch.__version__,
    "numpy": np.__version__,
    "python": sys.version.split()[0],
}


DTYPES = {"float64": "F64", "float32": "F32", "int32": "I32", "bool": "BOOL"}


def write(name, tensors, **metadata):
    """By hand, so that the same numbers are the same bytes: the package puts metadata in random order."""
    order = sorted(tensors, key=lambda k: (-tensors[k].dtype.itemsize, k))
    header, at = {"__metadata__": {**VERSIONS, **metadata}}, 0
    for k in order:
        t = tensors[k]
        header[k] = {"dtype": DTYPES[str(t.dtype)], "shape": list(t.shape), "data_offsets": [at, at + t.nbytes]}
        at += t.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    data = b"".join(tensors[k].tobytes() for k in order)
    with open(os.path.join(HERE, name), "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)
    print(f"{name}: {len(tensors)} tensors, {8 + len(text) + len(data)} bytes")


# ---- models ----


class Linear(torch.nn.Module):
    def __init__(self, n_in, n_out):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(n_out, n_in))
        self.bias = torch.nn.Parameter(torch.zeros(n_out))

    def forward(self, x):
        return F.linear(x, self.weight, self.bias)


class Mlp(torch.nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.fc1 = Linear(784, hidden)
        self.fc2 = Linear(hidden, 10)

    def forward(self, image):
        return self.fc2(torch.relu(self.fc1(image.flatten(1))))


class Attention(torch.nn.Module):
    def __init__(self, d, h):
        super().__init__()
        self.h = h
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (Linear(d, d) for _ in range(4))

    def forward(self, x):
        b, t, d = x.shape
        q, k, v = (p(x).view(b, t, self.h, -1).transpose(1, 2) for p in (self.q_proj, self.k_proj, self.v_proj))
        y = F.scaled_dot_product_attention(q, k, v)
        return self.o_proj(y.transpose(1, 2).reshape(b, t, d))


class FeedForward(torch.nn.Module):
    def __init__(self, d, f):
        super().__init__()
        self.fc1, self.fc2 = Linear(d, f), Linear(f, d)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class Block(torch.nn.Module):
    def __init__(self, d, h, f):
        super().__init__()
        self.norm1, self.norm2 = torch.nn.LayerNorm(d, eps=1e-5), torch.nn.LayerNorm(d, eps=1e-5)
        self.attn, self.mlp = Attention(d, h), FeedForward(d, f)

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class PatchTransformer(torch.nn.Module):
    def __init__(self, size, p, d, layers, h, f, out):
        super().__init__()
        self.n, self.p = size // p, p
        self.embed = Linear(p * p, d)
        self.positions = torch.nn.Embedding(self.n**2, d)
        self.layers = torch.nn.ModuleList(Block(d, h, f) for _ in range(layers))
        self.norm = torch.nn.LayerNorm(d, eps=1e-5)
        self.head = Linear(d, out)

    def forward(self, image):
        n, p = self.n, self.p
        tiles = image.view(-1, n, p, n, p).transpose(2, 3).reshape(-1, n * n, p * p)
        h = self.embed(tiles) + self.positions.weight
        for layer in self.layers:
            h = layer(h)
        return self.head(self.norm(h).mean(1))


def randomize(model, rng):
    """Every parameter gets values that matter; norms stay near 1, so that nothing vanishes."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            fan = math.prod(p.shape[1:]) if p.dim() > 1 else 16
            x = rng.uniform(-1, 1, p.shape) / math.sqrt(fan)
            if "norm" in name and name.endswith("weight"):
                x = 1 + rng.uniform(-0.5, 0.5, p.shape)
            p.copy_(torch.from_numpy(x.astype(np.float32)))


def train_steps(model, image, label, lr, weight_decay, clip):
    opt = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=weight_decay)
    losses, after = [], {}
    for step in range(STEPS):
        opt.zero_grad()
        loss = F.cross_entropy(model(image), label)
        loss.backward()
        if clip:
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
        opt.step()
        losses.append(loss.item())
        if step == 4:
            after = {f"step5.{k}": p.detach().numpy().copy() for k, p in model.named_parameters()}
    return np.array(losses), after


def record_model(name, model, batch, sets, **hyper):
    rng = np.random.default_rng(len(name))
    randomize(model, rng)
    image = rng.uniform(0, 1, (batch, 28, 28)).astype(np.float32)
    image[rng.uniform(0, 1, image.shape) < 0.6] = 0
    label = rng.integers(0, 10, batch).astype(np.int32)
    t = {"batch.image": image, "batch.label": label}
    t.update({f"weight.{k}": p.detach().numpy().copy() for k, p in model.named_parameters()})
    model.double()
    x, y = torch.from_numpy(image).double(), torch.from_numpy(label).long()
    logits = model(x)
    loss = F.cross_entropy(logits, y, reduction="sum")
    loss.backward()
    t["logits"] = logits.detach().numpy()
    t["loss.sum"] = loss.detach().numpy()
    t["loss.weight"] = np.array(float(batch))
    t.update({f"grad.{k}": p.grad.numpy().copy() for k, p in model.named_parameters()})
    losses, after = train_steps(model, x, y, **hyper)
    t["losses"] = losses
    t.update(after)
    meta = {f"set.{i}": s for i, s in enumerate(sets)}
    write(f"{name}.safetensors", t, lr=str(hyper["lr"]), **meta)


def record_models():
    record_model(
        "mlp", Mlp(12), 6,
        ["model.mlp.Hidden=12", "train.mlp.batch=6", "train.mlp.optimizer=adamw(weight_decay: 0.1)"],
        lr=0.002, weight_decay=0.1, clip=None)  # fmt: skip
    record_model(
        "transformer", PatchTransformer(28, 7, 16, 2, 2, 24, 10), 5,
        ["model.digit_transformer.D=16", "model.digit_transformer.H=2", "model.digit_transformer.F=24",
         "train.digit_transformer.batch=5",
         "train.digit_transformer.optimizer=adamw(weight_decay: 0.05)"],
        lr=0.003, weight_decay=0.05, clip=1.0)  # fmt: skip


# ---- operations ----

RNG = np.random.default_rng(20240607)
CASES = {}


def case(name, fn, wanted=None, **inputs):
    """fn takes f64 (or integer, bool) tensors by name; wanted: inputs with gradient (default: floats)."""
    floats = [k for k, v in inputs.items() if v.dtype == np.float32]
    CASES[name] = (fn, floats if wanted is None else wanted, inputs)


def uniform(lo, hi, *shape):
    return RNG.uniform(lo, hi, shape).astype(np.float32)


def apart(lo, hi, *shape):
    """No two numbers close to each other, none close to 0 or to a half: no ties, no jumps nearby."""
    n = math.prod(shape)
    grid = lo + (hi - lo) * (np.arange(n) + 0.35 + 0.1 * RNG.uniform(0, 1, n)) / n
    near = np.abs(2 * grid - np.round(2 * grid)) < 0.02
    return RNG.permutation(grid + 0.025 * near).reshape(shape).astype(np.float32)


def ints(lo, hi, *shape):
    return RNG.integers(lo, hi, shape).astype(np.int32)


def bools(*shape):
    return RNG.integers(0, 2, shape).astype(np.bool_)


def view_cases():
    x = uniform(-2, 2, 2, 3, 5)
    case("row_reshape", lambda x: x.reshape(5, 6), x=x)
    case("row_permute", lambda x: x.permute(2, 0, 1), x=x)
    case("row_expand", lambda x, bias: x * bias + bias, x=uniform(-2, 2, 4, 5), bias=uniform(-2, 2, 5))
    case("row_expand_front",
         lambda x: x[:, None, None] * x[None, None, :] + torch.arange(3)[None, :, None],
         x=uniform(-2, 2, 4))  # fmt: skip
    case("row_slice", lambda x: x[1:-1, 2:], x=uniform(-2, 2, 5, 7))
    case("row_slice_index", lambda x: x[:, 1] * x[:, -1], x=uniform(-2, 2, 5, 7))
    case("row_pad", lambda x: x[:, 1:] ** 2 * x[:, :-1] ** 2, x=uniform(-2, 2, 3, 6))
    case("row_concat", lambda x, y, z: torch.cat([x, y * y, z], 1),
         x=uniform(-2, 2, 3, 2), y=uniform(-2, 2, 3, 1), z=uniform(-2, 2, 3, 4))  # fmt: skip
    case("row_concat_self", lambda x: torch.cat([x, x.exp()], 0), x=uniform(-2, 2, 3, 2))
    case("std_split", lambda x: (x[:, :3] * x[:, 3:], x[:, :3] + 2 * x[:, 3:]), x=uniform(-2, 2, 4, 6))
    case("std_unbind", lambda x: x[0] * x[1] - x[2], x=uniform(-2, 2, 3, 5))


def unary_cases():
    def one(name, fn, lo=-4.0, hi=4.0, **more):
        case(name, fn, x=uniform(lo, hi, 3, 7), **more)

    case("row_neg", lambda x: -x, x=uniform(-4, 4, 3, 7))
    case("row_abs", torch.abs, x=np.append(apart(-4, 4, 12), np.float32(0)))
    case("row_sign", torch.sign, [], x=np.append(apart(-4, 4, 12), np.float32(0)))
    one("row_exp", torch.exp)
    one("row_log", torch.log, 0.1, 8)
    one("row_sqrt", torch.sqrt, 0.1, 8)
    one("row_rsqrt", torch.rsqrt, 0.1, 8)
    one("row_sin", torch.sin, -9, 9)
    one("row_cos", torch.cos, -9, 9)
    one("row_tanh", torch.tanh)
    one("row_erf", torch.erf, -3, 3)
    one("row_sigmoid", torch.sigmoid, -9, 9)
    halves = np.append(apart(-4, 4, 11), np.array([-2.5, -1.5, -0.5, 0, 0.5, 1.5, 2.5, 3], np.float32))
    for name in ("floor", "ceil", "round", "trunc"):
        case(f"row_{name}", getattr(torch, name), [], x=halves)
    case("row_is_finite", lambda x: torch.isfinite(1 / x), [], x=np.array([1, 0, -0.0, 1e-3], np.float32))
    case("row_stop", lambda x: x * x.detach(), x=uniform(-4, 4, 3, 7))
    case("row_cast", lambda n, x: n.double() * x, n=ints(-9, 9, 3, 4), x=uniform(-2, 2, 3, 4))
    one("row_pow_3", lambda x: x**3, -2, 2)
    case("row_pow_2", lambda x: x**2, x=np.append(uniform(-3, 3, 12), np.float32(0)))
    one("row_pow_half", lambda x: x**0.5, 0.1, 4)
    one("row_pow_inverse", lambda x: x**-1, -4, -0.5)
    one("row_pow_exponent", lambda x: 2**x)
    case("std_clamp", lambda x: x.clamp(-0.5, 0.75), x=apart(-2, 2, 3, 7))
    case("std_relu", torch.relu, x=apart(-2, 2, 3, 7))
    one("std_silu", F.silu)
    one("std_gelu", F.gelu)
    one("std_gelu_tanh", lambda x: F.gelu(x, approximate="tanh"))
    case("std_softplus", lambda x: torch.logaddexp(x, torch.zeros_like(x)), x=apart(-30, 30, 3, 7))
    case("std_log_sigmoid", F.logsigmoid, x=apart(-30, 30, 3, 7))


def binary_cases():
    def two(name, fn, wanted=None, a=(-4, 4), b=(-4, 4)):
        case(name, fn, wanted, x=uniform(*a, 3, 7), y=uniform(*b, 3, 7))

    two("row_add", lambda x, y: x + y)
    two("row_sub", lambda x, y: x - y)
    two("row_mul", lambda x, y: x * y)
    two("row_div", lambda x, y: x / y, b=(0.5, 4))
    two("row_pow", lambda x, y: x**y, a=(0.2, 3), b=(-2, 3))
    two("row_max", torch.maximum)
    two("row_min", torch.minimum)
    two("row_lt", torch.lt, [])
    two("row_le", torch.le, [])
    n, m = ints(-20, 20, 4, 6), ints(1, 6, 4, 6) * RNG.choice([-1, 1], (4, 6)).astype(np.int32)
    case("row_idiv", lambda n, m: torch.div(n, m, rounding_mode="floor"), n=n, m=m)
    case("row_mod", torch.remainder, n=n, m=m)
    n, m = ints(0, 3, 4, 6), ints(0, 3, 4, 6)
    case("row_eq", torch.eq, n=n, m=m)
    case("row_ne", torch.ne, n=n, m=m)
    case("row_not", torch.logical_not, x=bools(13))
    case("row_and", torch.logical_and, c=bools(13), d=bools(13))
    case("row_or", torch.logical_or, c=bools(13), d=bools(13))
    case("row_select", torch.where, c=bools(3, 7), x=uniform(-4, 4, 3, 7), y=uniform(-4, 4, 3, 7))


def index_cases():
    case("row_gather", lambda table, ids: table[ids], table=uniform(-2, 2, 6, 4), ids=ints(0, 6, 3, 5))
    case("row_gather_batch", lambda x, ids: x.gather(1, ids.long()), x=uniform(-2, 2, 3, 6), ids=ints(0, 6, 3, 4))
    case("row_scatter_add", lambda table, ids: (table[ids] ** 2).sum(1),
         table=uniform(-2, 2, 6, 4), ids=ints(0, 6, 3, 5))  # fmt: skip
    case("row_iota", lambda x: x * (2 * torch.arange(3)[:, None] + torch.arange(5)), x=uniform(-2, 2, 3, 5))
    case("std_one_hot", lambda ids: F.one_hot(ids.long(), 5).bool(), ids=ints(0, 5, 2, 4))


def fold_cases():
    x = apart(-2, 2, 3, 5, 4)
    case("row_sum", lambda x: x.sum(1), x=x)
    case("row_sum_axes", lambda x: x.sum((0, 2)), x=x)
    case("row_sum_all", lambda x: (x**2).sum(), x=x)
    case("row_prod", lambda x: x.prod(1), x=x)
    zeros = uniform(0.5, 2, 4, 5)
    zeros[1, 2] = zeros[2, 0] = zeros[2, 3] = 0
    case("row_prod_zeros", lambda x: x.prod(1), x=zeros)
    case("row_amax", lambda x: x.amax(1), x=x)
    case("row_amin", lambda x: x.amin(0), x=x)
    ties = ints(-2, 3, 6, 9).astype(np.float32)
    case("row_amax_ties", lambda x: x.amax(1), x=ties)
    case("row_amin_ties", lambda x: x.amin(1), x=ties)
    case("row_argmax", lambda x: x.argmax(1), [], x=apart(-2, 2, 5, 9))
    case("row_argmin", lambda x: x.argmin(0), [], x=apart(-2, 2, 5, 9))
    case("std_mean", lambda x: x.mean(0), x=uniform(-2, 2, 5, 4))


def dot_cases():
    def mul(name, text, a, b, n1="x", n2="w"):
        case(name, lambda a, b: torch.einsum(text, a, b), **{n1: uniform(-2, 2, *a), n2: uniform(-2, 2, *b)})

    mul("row_dot", "ak,nk->an", (5, 7), (3, 7))
    mul("row_dot_matmul", "ak,kn->an", (5, 7), (7, 3))
    mul("row_dot_left", "ka,kn->na", (7, 5), (7, 3))
    mul("row_dot_batch", "bthd,buhd->bhtu", (2, 3, 2, 5), (2, 4, 2, 5), "q", "k")
    mul("row_dot_two", "akl,lnk->an", (4, 3, 5), (5, 6, 3))
    mul("row_dot_vector", "ak,k->a", (5, 7), (7,))
    mul("row_dot_outer", "a,b->ab", (5,), (3,), "x", "y")
    case("row_dot_self", lambda x: x @ x.T, x=uniform(-2, 2, 4, 5))
    case("row_dot_chain", lambda x, y, z: x @ y @ z,
         x=uniform(-2, 2, 4, 5), y=uniform(-2, 2, 5, 3), z=uniform(-2, 2, 3, 6))  # fmt: skip


def attention(q, k, v, **options):
    heads = lambda x: x.transpose(1, 2)
    repeat = q.shape[2] // k.shape[2]
    k, v = (x.repeat_interleave(repeat, 2) for x in (k, v))
    return heads(F.scaled_dot_product_attention(heads(q), heads(k), heads(v), **options))


def rms_norm(x, w):
    return x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt() * w


def row_cases():
    x, w, b = uniform(-3, 3, 2, 3, 9), uniform(0.5, 1.5, 9), uniform(-1, 1, 9)
    case("std_softmax", lambda x: x.softmax(-1), x=x)
    large = uniform(-3, 3, 4, 6) * np.float32(100)
    large[1, 2:4] = -np.inf
    case("std_softmax_large", lambda x: x.softmax(-1), x=large)
    case("std_log_softmax", lambda x: x.log_softmax(-1), x=x)
    case("std_rms_norm", rms_norm, x=x, w=w)
    case("std_layer_norm", lambda x, w, b: F.layer_norm(x, (9,), w, b, 1e-5), x=x, w=w, b=b)
    case("std_attention", attention,
         q=uniform(-2, 2, 2, 3, 2, 4), k=uniform(-2, 2, 2, 5, 2, 4), v=uniform(-2, 2, 2, 5, 2, 3))  # fmt: skip
    case("std_attention_groups", lambda q, k, v: attention(q, k, v, scale=0.25),
         q=uniform(-2, 2, 2, 3, 4, 2), k=uniform(-2, 2, 2, 5, 2, 2), v=uniform(-2, 2, 2, 5, 2, 2))  # fmt: skip


def loss(values, weights):
    return {"out.sum": (values * weights).sum(), "out.weight": weights.sum().detach()}


def cross_entropy(x, t, mask=None, **options):
    nll = F.cross_entropy(x.flatten(0, -2), t.flatten().long(), reduction="none", **options)
    return loss(nll, torch.ones_like(nll) if mask is None else mask.flatten().double())


def loss_cases():
    x, t = uniform(-4, 4, 2, 4, 6), ints(0, 6, 2, 4)
    mask = np.array([[1, 0, 1, 1], [0, 0, 1, 1]], np.bool_)
    case("std_cross_entropy", cross_entropy, x=x, t=t)
    case("std_cross_entropy_mask", cross_entropy, x=x, t=t, mask=mask)
    case("std_cross_entropy_smooth", lambda x, t: cross_entropy(x, t, label_smoothing=0.125), x=x, t=t)
    case("std_binary_cross_entropy",
         lambda x, t: loss(F.binary_cross_entropy_with_logits(x, t, reduction="none"), torch.ones_like(x)),
         x=apart(-20, 20, 3, 5), t=uniform(0, 1, 3, 5))  # fmt: skip
    case("std_weighted_mean", lambda x, w: loss(x**2, w), ["x"], x=uniform(-2, 2, 3, 5), w=uniform(0.5, 1, 3, 5))


def results(y):
    if isinstance(y, dict):
        return y
    return {f"out.{i}": v for i, v in enumerate(y)} if isinstance(y, tuple) else {"out": y}


def plain(t):
    t = t.detach().numpy()
    return t.astype(np.int32) if t.dtype == np.int64 else t


def record_cases(file, groups):
    """The cases that these functions add, as one file."""
    CASES.clear()
    for group in groups:
        group()
    out = {}
    for name, (fn, wanted, inputs) in CASES.items():
        args = {k: torch.from_numpy(v) for k, v in inputs.items()}
        args = {k: v.double() if v.dtype == torch.float32 else v for k, v in args.items()}
        for k in wanted:
            args[k].requires_grad_()
        total = torch.zeros((), dtype=torch.float64)
        for k, v in results(fn(*args.values())).items():
            out[f"{name}/{k}"] = plain(v)
            if v.requires_grad:
                w = uniform(-1, 1, *v.shape)
                out[f"{name}/w.{k}"] = w
                total = total + (v * torch.from_numpy(w)).sum()
        out.update({f"{name}/in.{k}": v for k, v in inputs.items()})
        if wanted:
            total.backward()
            out.update({f"{name}/grad.{k}": args[k].grad.numpy() for k in wanted})
    write(file, out)


def record_ops():
    record_cases("ops.safetensors",
                 (view_cases, unary_cases, binary_cases, index_cases, fold_cases, dot_cases, row_cases, loss_cases))  # fmt: skip


if __name__ == "__main__":
    torch.set_num_threads(1)
    record_models()
    record_ops()
