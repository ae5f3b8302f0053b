"""Rows for bench/llava_step.mdl: random tokens, a random picture at the beginning of each row.

llava_rows.py FOLDER [--rows N] [--length T] [--size PIXELS] [--patch PIXELS] [--words V]
writes FOLDER/llava_rows.npz.
"""

import argparse
import pathlib

import numpy as np

p = argparse.ArgumentParser()
p.add_argument("folder", type=pathlib.Path)
for name, value in {"rows": 128, "length": 2048, "size": 336, "patch": 14, "words": 32000}.items():
    p.add_argument(f"--{name}", type=int, default=value)
o = p.parse_args()
draw = np.random.default_rng(1)
shape = (o.rows, o.length)
tokens = draw.integers(0, o.words, shape, dtype=np.int32)
patches = (o.size // o.patch) ** 2
slots = np.zeros(shape, np.uint8)
slots[:, 1 : 1 + patches] = 1
learn = (np.arange(o.length) > (o.length + patches) // 2).astype(np.uint8)
o.folder.mkdir(parents=True, exist_ok=True)
np.savez(
    o.folder / "llava_rows.npz",
    tokens=tokens,
    pos=np.tile(np.arange(o.length, dtype=np.int32), (o.rows, 1)),
    images=draw.standard_normal((o.rows, 3, o.size, o.size), dtype=np.float32),
    slots=slots,
    targets=np.roll(tokens, -1, axis=1),
    learn=np.tile(learn, (o.rows, 1)),
)
