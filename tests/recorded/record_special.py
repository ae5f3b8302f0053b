#!/usr/bin/env python3
"""Records what PyTorch gives for numbers that are not ordinary: special.safetensors.

    venv/bin/python tests/recorded/record_special.py       (torch 2.5.1, numpy, safetensors)

One case for each function of special.mdl: CASE/in.FORMAL in f32 (or ints, bools), CASE/out computed in
f64 of the same numbers. One thing is decided otherwise than PyTorch does: a softmax of nothing but -inf is 0."""
import os

import numpy as np
import torch
from safetensors.numpy import save_file

F = torch.nn.functional
tensors = {}


def case(name, fn, **inputs):
    args = []
    for k, a in inputs.items():
        a = np.ascontiguousarray(a)
        tensors[f"{name}/in.{k}"] = a
        t = torch.from_numpy(a)
        args.append(t.double() if a.dtype == np.float32 else t.long() if a.dtype == np.int32 else t)
    out = fn(*args)
    for k, y in (out.items() if isinstance(out, dict) else [("out", out)]):
        y = y.numpy()
        tensors[f"{name}/{k}"] = np.asarray(y.astype(np.int32) if y.dtype == np.int64 else y, order="C")


def f32(*shape_or_list):
    return np.array(shape_or_list, np.float32)


nan, inf = np.nan, np.inf
X = f32(nan, inf, -inf, 0.0, -0.0, 1, -1, 0.5, -0.5, 1.5, 2.5, -2.5, 1e-40, -1e-40, 3e38, -3e38, 88, -104, 800, -800)
UNARY = {"neg": torch.neg, "abs": torch.abs, "sign": torch.sign, "exp": torch.exp, "exp2": torch.exp2,
         "expm1": torch.expm1, "log": torch.log, "log2": torch.log2, "log1p": torch.log1p, "sqrt": torch.sqrt,
         "rsqrt": torch.rsqrt, "sin": torch.sin, "cos": torch.cos, "tanh": torch.tanh, "erf": torch.erf,
         "sigmoid": torch.sigmoid, "floor": torch.floor, "ceil": torch.ceil, "round": torch.round,
         "trunc": torch.trunc, "is_finite": torch.isfinite}
for name, fn in UNARY.items():
    # sines of large numbers are a matter of the library, not of the operation
    case(f"each_{name}", fn, x=X[np.abs(X) < 1e30] if name in ("sin", "cos") else X)
STD = {"relu": F.relu, "silu": F.silu, "gelu": F.gelu, "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
       "log_sigmoid": F.logsigmoid, "softplus": F.softplus}
for name, fn in STD.items():
    case(f"std_{name}", fn, x=np.array([v for v in X if not np.isinf(v)], np.float32))
case("each_clamp", lambda x: x.clamp(-1, 1), x=X)

V = f32(nan, inf, -inf, 0.0, -0.0, 1, -1, 2, -3, 0.5)
A, B = (m.reshape(-1).astype(np.float32) for m in np.meshgrid(V, V))
for name, fn in {"add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div, "pow": torch.pow,
                 "eq": torch.eq, "ne": torch.ne, "lt": torch.lt, "le": torch.le, "gt": torch.gt,
                 "ge": torch.ge}.items():
    case(f"each_{name}", fn, x=A, y=B)
case("pair_max", torch.maximum, x=A, y=B)
case("pair_min", torch.minimum, x=A, y=B)
case("each_select", torch.where, c=np.arange(100) % 2 == 0, x=A, y=B)
case("each_not_zero", lambda x: x.bool(), x=X)

ROWS = f32([1, nan, 2, 3], [inf, 1, 2, 3], [-inf, 1, 2, inf], [-inf, -inf, -1, -2], [0, -0.0, 0, -0.0], [nan, inf, -inf, 0],
           [3e38, 3e38, 3e38, -3e38], [-inf, -inf, -inf, -inf], [2, 5, 5, 2], [1, 1, 1, 1])
row = {"dim": 1}
case("fold_sum", lambda x: x.sum(1), x=ROWS)
case("fold_prod", lambda x: x.prod(1), x=ROWS)
case("fold_amax", lambda x: x.amax(1), x=ROWS)
case("fold_amin", lambda x: x.amin(1), x=ROWS)
case("fold_mean", lambda x: x.mean(1), x=ROWS)
for name, fn in {"sum": torch.sum, "prod": torch.prod, "mean": torch.mean}.items():
    case(f"nothing_{name}", lambda x, fn=fn: fn(x, 1), x=np.zeros((3, 0), np.float32))
    case(f"empty_{name}", lambda x, fn=fn: fn(x, 1), x=np.zeros((0, 3), np.float32))
case("all_nothing", torch.sum, x=np.zeros((0, 3), np.float32))
TIES = f32([2, 5, 5, 2], [1, 1, 1, 1], [-inf, -inf, -inf, -inf], [inf, 3, inf, 1], [0.0, -0.0, 0.0, -0.0])
case("ties_argmax", lambda x: torch.from_numpy(x.numpy().argmax(1)), x=TIES)
case("ties_argmin", lambda x: torch.from_numpy(x.numpy().argmin(1)), x=TIES)
case("fold_cumsum", lambda x: x.cumsum(1), x=ROWS)
case("fold_cumprod", lambda x: x.cumprod(1), x=ROWS)
ORDER = f32([1, nan, 2, 3], [inf, 1, -inf, nan], [0.0, -0.0, 0.0, -1], [2, 2, 1, 2], [nan, nan, 1, nan])
case("order_sort", lambda x: x.sort(dim=1, stable=True).values, x=ORDER)
case("order_sort_down", lambda x: x.sort(dim=1, descending=True, stable=True).values, x=ORDER)
case("order_argsort", lambda x: x.sort(dim=1, stable=True).indices, x=ORDER)
case("order_argsort_down", lambda x: x.sort(dim=1, descending=True, stable=True).indices, x=ORDER)
case("order_nothing", lambda x: x.argsort(1), x=np.zeros((2, 0), np.float32))

case("std_softmax", lambda x: torch.where((x == -inf).all(1, keepdim=True), 0.0, x.softmax(1)), x=ROWS)
case("std_log_softmax", lambda x: x.log_softmax(1), x=ROWS)
case("nothing_softmax", lambda x: x.softmax(1), x=np.zeros((3, 0), np.float32))
case("nothing_softmax_rows", lambda x: x.softmax(1), x=np.zeros((0, 3), np.float32))
W = f32(1, 2, 3, -1)
case("std_layer_norm", lambda x, w, b: F.layer_norm(x, (4,), w, b, 1e-5), x=ROWS[[0, 1, 4, 8, 9]], w=W, b=W)
case("nothing_layer_norm", lambda x, w, b: F.layer_norm(x, (4,), w, b, 1e-5), x=np.zeros((0, 4), np.float32), w=W, b=W)

case("product", torch.matmul, x=ROWS[:5], y=f32([1, 0], [0, 1], [2, -1], [0, 0]))
case("product_of_nothing", torch.matmul, x=np.zeros((2, 0), np.float32), y=np.zeros((0, 3), np.float32))
case("product_no_rows", torch.matmul, x=np.zeros((0, 4), np.float32), y=np.ones((4, 3), np.float32))
case("concat_nothing", lambda x, y: torch.cat([x, y]), x=np.zeros((0, 2), np.float32), y=np.ones((3, 2), np.float32))
case("gather_nothing", lambda x, i: x[i], x=np.ones((3, 2), np.float32), i=np.zeros(0, np.int32))
case("conv_nothing", F.conv2d, x=np.zeros((0, 2, 4, 4), np.float32), w=np.ones((3, 2, 2, 2), np.float32))
P = np.array([1, nan, 2, 3, inf, -inf, 0, -0.0, 5, 5, 4, 3, -inf, -inf, -inf, -inf], np.float32).reshape(1, 1, 4, 4)
case("pool_special", lambda x: F.max_pool2d(x, 2), x=P)
case("average_special", lambda x: F.avg_pool2d(x, 2), x=P)


def loss(each):
    return {"out.sum": each.sum(), "out.weight": torch.tensor(float(each.numel()), dtype=torch.float64)}


case("nll_extreme", lambda z, t: loss(F.cross_entropy(z, t, reduction="none")),
     z=f32([800, -800, 0], [0, 0, 1e30], [-1e30, -1e30, -1e30]), t=np.array([1, 2, 0], np.int32))
case("bce_extreme", lambda z, t: loss(F.binary_cross_entropy_with_logits(z, t, reduction="none")),
     z=f32(800, -800, 0, 1e30), t=f32(0, 1, 0.5, 1))
case("window_of_zeros", lambda x: x.abs().amax(1), x=f32([0, -0.0], [-0.0, -0.0]))


def whole(name, dtype, x, y):
    """Arithmetic of integers, which keeps the lowest bits."""
    x, y = (m.reshape(-1).astype(dtype) for m in np.meshgrid(x, y))
    for k, a in (("x", x), ("y", y)):
        tensors[f"wrap_{name}/in.{k}"] = a
    a, b = torch.from_numpy(x), torch.from_numpy(y)
    for k, v in enumerate([a + b, a - b, a * b, -a, (a * b) + a > b]):
        tensors[f"wrap_{name}/out.{k}"] = v.numpy()


whole("u8", np.uint8, [0, 1, 2, 100, 127, 128, 200, 255], [0, 1, 3, 56, 128, 255])
whole("i8", np.int8, [0, 1, -1, 100, 127, -128, -77], [0, 1, -1, 3, 127, -128])
whole("i16", np.int16, [0, 1, -1, 300, 32767, -32768, -9999], [0, 1, -1, 300, 32767, -32768])
whole("i32", np.int32, [0, 1, -1, 70000, 2**31 - 1, -(2**31)], [0, 1, -1, 70000, 2**31 - 1, -(2**31)])

save_file(tensors, os.path.join(os.path.dirname(os.path.abspath(__file__)), "special.safetensors"),
          metadata={"torch": torch.__version__, "numpy": np.__version__})
print(len({k.split("/")[0] for k in tensors}), "cases")
