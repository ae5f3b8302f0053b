#!/usr/bin/env python3
"""Compares `mdl`'s safetensors reader and writer with the `safetensors` package, in both directions.

    python3 tools/witness/safetensors_witness.py [--mdl build/release/cli/mdl] [--files 2000]

Needs numpy and safetensors. First, files written by the one are read by the other, for all types both
have. Then files are damaged at random, in the header and by cutting, and both are asked whether they
take them: they must agree, but for what mdl refuses on purpose (repeated names, which the package
leaves to its JSON library, extents of 2^63 and more than 8 dimensions). Exits with 1 when they do not."""
import argparse
import collections
import json
import os
import random
import struct
import subprocess
import sys
import tempfile

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

TYPES = {"f64": np.float64, "f32": np.float32, "f16": np.float16, "i64": np.int64, "i32": np.int32, "i16": np.int16,
         "i8": np.int8, "u8": np.uint8, "bool": np.bool_}


class Tool:
    def __init__(self, mdl, where):
        self.mdl, self.where = mdl, where
        self.program = os.path.join(where, "t.mdl")

    def call(self, text, path):
        with open(self.program, "w") as f:
            f.write(text)
        out = os.path.join(self.where, "y.st")
        done = subprocess.run([self.mdl, "call", self.program, "f", "--in", path, "--out", out, "--bits"],
                              capture_output=True, text=True)
        return done.returncode, done.stderr, out


def both_ways(tool, rng):
    """Identity functions: what comes back has the numbers that went in."""
    failed = 0
    for name, dtype in TYPES.items():
        for shape in [(), (3,), (2, 3), (0, 4), (1, 1, 2, 5)]:
            x = rng.integers(0, 2 if name == "bool" else 100, shape).astype(dtype)
            path = os.path.join(tool.where, "x.st")
            save_file({"x": x, "other": np.zeros(5, np.uint8)}, path, metadata={"format": "np"})
            text = f"fn f(x: {name}[{', '.join(map(str, shape))}], other: u8[5]) = (x, other)\n" if shape \
                else f"fn f(x: {name}, other: u8[5]) = (x, other)\n"
            code, err, out = tool.call(text, path)
            got = load_file(out)["out.0"] if code == 0 else None
            if code or got.dtype != x.dtype or got.shape != x.shape or (got != x).any():
                print(f"FAILED {name}{list(shape)}: {err.strip()[:200]}")
                failed += 1
    print(f"both ways: {len(TYPES) * 5} files, {failed} failed")
    return failed


def seed_header(rng):
    header, at = {}, 0
    for k in range(rng.randint(0, 4)):
        size, name = rng.choice([(1, "U8"), (2, "F16"), (4, "F32"), (8, "I64"), (2, "BF16"), (1, "BOOL"), (4, "U32")])
        shape = [rng.randint(0, 3) for _ in range(rng.randint(0, 3))]
        n = size * int(np.prod(shape, dtype=np.int64))
        header[f"t{k}"] = {"dtype": name, "shape": shape, "data_offsets": [at, at + n]}
        at += n
    if rng.random() < 0.3:
        header["__metadata__"] = {"format": "pt"}
    return header, at


def damage(rng, header, size):
    """One change of meaning, or none."""
    names = [n for n in header if n != "__metadata__"]
    kind = rng.randint(0, 11)
    if names:
        t = header[rng.choice(names)]
        if kind == 0:
            t["data_offsets"][rng.randint(0, 1)] += rng.choice([-1, 1, 2, 1 << 40])
        elif kind == 1:
            t["shape"].append(rng.choice([0, 1, 2, -1, 1.0, 1 << 62, 1 << 63, None, "1", True]))
        elif kind == 2:
            t["dtype"] = rng.choice(["F8", "f32", "F32", "F64", "", None, "F8_E4M3", "F8_E8M0", "F4", "C64", 7])
        elif kind == 3:
            del t[rng.choice(list(t))]
        elif kind == 4:
            t["more"] = 1
        elif kind == 5:
            header[rng.choice(["t9", "é", "", "a\n", "__metadata__x"])] = dict(t)
        elif kind == 6:
            t["data_offsets"] = rng.choice([[0], [0, 0, 0], [0, 0], None, ["0", "0"], [0.0, 0]])
    if kind == 7:
        header["__metadata__"] = rng.choice([{"a": "b"}, {"a": 1}, [], "x", {}, {"a": None}, None])
    if kind == 8:
        size += rng.choice([-1, 1, 8])
    return header, max(0, size)


def spoil(rng, raw):
    """A change of bytes, or none."""
    kind = rng.randint(0, 7)
    if kind == 0 and raw:
        raw = raw[: rng.randint(0, len(raw))]
    elif kind == 1 and len(raw) > 8:
        at = rng.randrange(8, len(raw))
        raw = raw[:at] + bytes([rng.randrange(256)]) + raw[at + 1:]
    elif kind == 2 and len(raw) >= 8:
        n = struct.unpack("<Q", raw[:8])[0] + rng.choice([-1, 1, 8, 100000001, 1 << 63])
        raw = struct.pack("<Q", n % (1 << 64)) + raw[8:]
    return raw


def python_takes(path):
    try:
        with safe_open(path, framework="np") as f:
            list(f.keys())
        return True
    except Exception:
        return False


def on_purpose(raw):
    """What only mdl refuses."""
    try:
        n = struct.unpack("<Q", raw[:8])[0]
        if b"9223372036854775808" in raw[8:8 + n]:
            return True
        pairs = json.loads(raw[8:8 + n], object_pairs_hook=lambda p: p)
        names = [k for k, _ in pairs]
        inner = [[k for k, _ in v] for _, v in pairs if isinstance(v, list) and v and isinstance(v[0], tuple)]
        return len(set(names)) < len(names) or any(len(set(i)) < len(i) for i in inner)
    except Exception:
        return False


def damaged(tool, count, rng):
    seen, failed = collections.Counter(), 0
    path = os.path.join(tool.where, "d.st")
    for _ in range(count):
        header, size = damage(rng, *seed_header(rng))
        text = json.dumps(header, ensure_ascii=rng.random() < 0.5).encode()
        text += b" " * rng.choice([0, 0, -len(text) % 8])
        raw = spoil(rng, struct.pack("<Q", len(text)) + text + bytes(size))
        with open(path, "wb") as f:
            f.write(raw)
        code, err, _ = tool.call("fn f() = 1\n", path)
        ours = code == 0 or "E0302" in err or "are no arguments" in err  # read, only not wanted
        theirs = python_takes(path)
        if code not in (0, 1, 4) or (ours != theirs and not (theirs and on_purpose(raw))):
            print(f"FAILED: mdl {ours} ({code}), safetensors {theirs}: {raw[:300]!r} {err.strip()[:200]}")
            failed += 1
        seen[(ours, theirs)] += 1
    print(f"damaged: {count} files, {seen[True, True]} taken by both, {seen[False, False]} refused by both, "
          f"{failed} failed")
    return failed


def main():
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    p = argparse.ArgumentParser()
    p.add_argument("--mdl", default=os.path.join(root, "build/release/cli/mdl"))
    p.add_argument("--files", type=int, default=2000)
    p.add_argument("--seed", type=int, default=1)
    a = p.parse_args()
    with tempfile.TemporaryDirectory() as where:
        tool = Tool(a.mdl, where)
        failed = both_ways(tool, np.random.default_rng(a.seed)) + damaged(tool, a.files, random.Random(a.seed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
