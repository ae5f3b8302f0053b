#!/usr/bin/env python3
"""Records weights of few bits, as NumPy computes them, for tests/e2e and tests/unit.

    venv/bin/python tests/recorded/record_quant.py

ops_quant.safetensors: one case for each function of ops_quant.mdl, in the form that record.py describes.

quant.safetensors: a matrix, and how it is stored.
    weight           [O, I]; a row and a block of zeros, a number that is far larger than its row, ties
    int8.codes       [O, I]; int8.scale [O]: f32 of (largest size of the row) / 127
    int4.codes       [O, I / 8] words of eight numbers, the first in the lowest bits
    int4.scale       [O, I / BLOCK], as f32: bf16 of (largest size of the block) / 7
Numbers are the nearest multiples of the scale, of two the even one.
"""

import json
import os
import struct
import sys

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
VERSIONS = {"numpy": np.__version__, "python": sys.version.split()[0]}
DTYPES = {"float64": "F64", "float32": "F32", "int32": "I32", "int8": "I8"}
RNG = np.random.default_rng(20261126)
BLOCK = 32


def write(name, tensors):
    order = sorted(tensors, key=lambda k: (-tensors[k].dtype.itemsize, k))
    header, at = {"__metadata__": VERSIONS}, 0
    for k in order:
        t = tensors[k]
        header[k] = {"dtype": DTYPES[str(t.dtype)], "shape": list(t.shape), "data_offsets": [at, at + t.nbytes]}
        at += t.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(os.path.join(HERE, name), "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(tensors[k].tobytes() for k in order))


def bf16(x):
    """Rounded to nearest, of two the even one."""
    bits = np.asarray(x, np.float32).view(np.uint32).astype(np.uint64)
    bits = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16 << 16
    return bits.astype(np.uint32).view(np.float32)


def nearest(w, scale):
    s = scale.astype(np.float64)
    return np.rint(np.divide(w.astype(np.float64), s, out=np.zeros(w.shape), where=s != 0)).astype(np.int64)


def pack(q):
    """[.., 8 n] numbers of 4 bits as [.., n] words."""
    parts = (q & 15).reshape(*q.shape[:-1], -1, 8).astype(np.uint64)
    return (parts << (4 * np.arange(8, dtype=np.uint64))).sum(-1).astype(np.uint32).view(np.int32)


def unpack(words):
    parts = words.view(np.uint32)[..., None] >> (4 * np.arange(8, dtype=np.uint32)) & 15
    parts = parts.astype(np.int64).reshape(*words.shape[:-1], -1)
    return np.where(parts > 7, parts - 16, parts)


def matrix():
    w = RNG.normal(0, 0.05, (6, 96)).astype(np.float32)
    w[1] = 0
    w[2, 32:64] = 0
    w[3, 17] = 9
    w[4, :32] = np.float32(7 / 8) * np.tile(np.float32([0.5, 1.5, -2.5, 7]), 8) / 7
    return w


def stored(w):
    scale8 = (np.abs(w).max(1).astype(np.float64) / 127).astype(np.float32)
    blocks = w.reshape(w.shape[0], -1, BLOCK)
    scale4 = bf16((np.abs(blocks).max(2).astype(np.float64) / 7).astype(np.float32))
    return {
        "weight": w,
        "int8.codes": nearest(w, np.broadcast_to(scale8[:, None], w.shape)).astype(np.int8),
        "int8.scale": scale8,
        "int4.codes": pack(nearest(blocks, np.broadcast_to(scale4[..., None], blocks.shape)).reshape(w.shape)),
        "int4.scale": scale4,
    }


def main():
    q = stored(matrix())
    write("quant.safetensors", q)
    ops = {}
    a = np.concatenate([RNG.integers(-(2**31), 2**31, 40), [0, -1, 2**31 - 1, -(2**31)]]).astype(np.int32)
    b = (np.arange(a.size) % 8).astype(np.int32)
    ops.update({"row_nibble/in.a": a, "row_nibble/in.b": b})
    ops["row_nibble/out"] = np.array([(((int(x) >> 4 * int(k)) & 15) ^ 8) - 8 for x, k in zip(a, b)], np.int32)
    w8 = q["int8.codes"] * q["int8.scale"].astype(np.float64)[:, None]
    w4 = unpack(q["int4.codes"]) * np.repeat(q["int4.scale"].astype(np.float64), BLOCK, 1)
    x = RNG.uniform(-2, 2, (3, 96)).astype(np.float32)
    for bits, w in ((8, w8), (4, w4)):
        codes = {"q": q[f"int{bits}.codes"], "scale": q[f"int{bits}.scale"]}
        dequant, linear = f"std_dequant_int{bits}", f"std_linear_int{bits}"
        ops.update({f"{name}/in.{k}": v for name in (dequant, linear) for k, v in codes.items()})
        d = RNG.uniform(-1, 1, (3, 6)).astype(np.float32)
        ops[f"{dequant}/out"] = w
        ops[f"{dequant}/w.out"] = RNG.uniform(-1, 1, w.shape).astype(np.float32)
        ops[f"{linear}/in.x"] = x
        ops[f"{linear}/out"] = x.astype(np.float64) @ w.T
        ops[f"{linear}/w.out"] = d
        ops[f"{linear}/grad.x"] = d.astype(np.float64) @ w
    write("ops_quant.safetensors", ops)


if __name__ == "__main__":
    main()
