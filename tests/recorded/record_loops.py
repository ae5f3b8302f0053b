#!/usr/bin/env python3
"""Records loops over time for tests/e2e, in the form that record.py describes: plain loops of PyTorch.

    venv/bin/python tests/recorded/record_loops.py

ops_loops.safetensors: one case for each function of ops_loops.mdl.
"""

import numpy as np
import record
import torch
from record import case, uniform


def simple(x, w):
    h, ys = torch.zeros_like(x[:, 0]), []
    for t in range(x.shape[1]):
        h = torch.tanh(h @ w + x[:, t])
        ys.append(h * x[:, t])
    return h, torch.stack(ys, 1)


def lstm(x, gain, w):
    h = c = torch.zeros(x.shape[1], w.shape[0], dtype=x.dtype)
    hs, tops = [], []
    for t in range(x.shape[0]):
        i, f, o, j = (x[t] + h @ w).chunk(4, -1)
        c = torch.sigmoid(f + 1) * c + torch.sigmoid(i) * torch.tanh(j)
        h = torch.sigmoid(o) * torch.tanh(c) * gain[t]
        hs.append(h)
        tops.append(c.amax(0))
    return h, c, torch.stack(hs), torch.stack(tops)


def running_mean(x):
    m, ys = torch.zeros_like(x[:, 0]), []
    for n in range(x.shape[1]):
        ys.append(m * x[:, n])
        m = m + (x[:, n] - m) / (n + 1)
    return m, torch.stack(ys, -1)


def nested(x, k):
    t, ys = 1 * k, []
    for u in x.reshape(-1):
        ys.append(t * u)
        t = torch.sin(t * k + u)
    return t, torch.stack(ys).reshape(x.shape)


def states(x, dt, A, C):
    h, ys = torch.zeros(x.shape[0], *A.shape, dtype=x.dtype), []
    for t in range(x.shape[1]):
        h = torch.exp(-dt[:, t, :, None] * A) * h + (dt[:, t] * x[:, t])[..., None]
        ys.append((h * C[:, t, None]).sum(-1))
    return torch.stack(ys, 1)


def integers(x, keep):
    h, n = torch.zeros_like(x[0]), 0
    for v, k in zip(x, keep):
        h = h * v if k > 0 else h + v
        n = n + k
    return h, n


def fold(x, w):
    h = x[0]
    for u in x:
        h = torch.tanh(h @ w) * u + u
    return h


def fold_count(x, w):
    h = x
    for i in range(4):
        h = h @ w + i * x
    return h


def fold_list(x, y):
    h = x
    for u in (y, x * y, y):
        h = h * u + 1
    return h


def loop_cases():
    def x(*shape):
        return uniform(-1, 1, *shape)

    case("row_scan", simple, x=x(2, 5, 3), w=x(3, 3))
    case("std_scan_tuple", lstm, x=x(4, 2, 12), gain=x(4, 3), w=x(3, 12))
    case("std_scan_last", running_mean, x=x(3, 6))
    case("std_scan_nested", nested, x=x(3, 4), k=np.array(0.7, np.float32))
    case("std_scan_states", states, x=x(2, 5, 3), dt=uniform(0.1, 1, 2, 5, 3), A=uniform(0.5, 2, 3, 4), C=x(2, 5, 4))
    case("std_scan_integers", integers, x=x(6, 3), keep=np.array([0, 0, 1, 0, 1, 0], np.int32))
    case("std_fold", fold, x=x(5, 3), w=x(3, 3))
    case("std_fold_count", fold_count, x=x(3), w=x(3, 3))
    case("std_fold_list", fold_list, x=x(4), y=x(4))


if __name__ == "__main__":
    torch.set_num_threads(1)
    record.RNG = np.random.default_rng(20240610)
    record.record_cases("ops_loops.safetensors", (loop_cases,))
