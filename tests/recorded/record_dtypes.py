#!/usr/bin/env python3
"""Prints what PyTorch's conversions of small floats give, as hashes: the table in tests/unit/test_dtype.c.

    python3 tests/recorded/record_dtypes.py            (torch 2.5.1, numpy)

For each type: all bit patterns widened to f64; and f32 numbers narrowed to it: every finite number of
the type, the midpoint to the next one, and the f32 neighbours of the midpoint, with both signs, in
the order of patterns, then some special ones. Each hash is FNV-1a over little-endian values; NaNs
count as one."""
import numpy as np
import torch

TYPES = [("F16", torch.float16, 16), ("BF16", torch.bfloat16, 16),
         ("F8E4M3", torch.float8_e4m3fn, 8), ("F8E5M2", torch.float8_e5m2, 8)]
SPECIAL = [0.0, np.inf, np.nan, 3.4028234663852886e38, 1e-45, 1e30, 65519.996, 65520, 61439.996, 61440,
           464, 464.00003, 480, 448]


def fnv(data):
    h = 0xcbf29ce484222325
    for b in data:
        h = ((h ^ b) * 0x100000001b3) & 0xffffffffffffffff
    return h


def widen(patterns, bits, dtype):
    raw = torch.from_numpy(patterns.astype(np.int16 if bits == 16 else np.int8)).view(dtype)
    return raw.to(torch.float32).numpy().astype(np.float64)


def narrow(x, bits, dtype):
    y = torch.from_numpy(x.astype(np.float32)).to(dtype)
    out = y.view(torch.int16 if bits == 16 else torch.int8).numpy()
    out = out.astype(np.uint16) if bits == 16 else out.astype(np.uint8)
    out[np.isnan(y.to(torch.float32).numpy())] = 0x7fff if bits == 16 else 0x7f  # the sign of NaN is not kept
    return out


for name, dtype, bits in TYPES:
    all_bits = np.arange(1 << bits)
    values = widen(all_bits, bits, dtype)
    values[np.isnan(values)] = np.nan
    wide = fnv(values.astype("<f8").tobytes())
    finite = values[: 1 << (bits - 1)]
    finite = finite[np.isfinite(finite)]
    mid = ((finite[:-1] + finite[1:]) / 2).astype(np.float32)
    lo, hi = np.nextafter(mid, np.float32(-np.inf)), np.nextafter(mid, np.float32(np.inf))
    x = np.stack([finite[:-1].astype(np.float32), lo, mid, hi], axis=1).reshape(-1)
    x = np.concatenate([x, np.array(SPECIAL, np.float32)])
    x = np.stack([x, -x], axis=1).reshape(-1)
    out = narrow(x, bits, dtype)
    print(f"    {{DT_{name}, 0x{wide:016x}, 0x{fnv(out.astype('<u2' if bits == 16 else 'u1').tobytes()):016x}, {len(x)}}},")
