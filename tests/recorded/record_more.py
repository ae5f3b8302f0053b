#!/usr/bin/env python3
"""Records more operations for tests/e2e, in the form that record.py describes.

    venv/bin/python tests/recorded/record_more.py

ops_more.safetensors, ops_order.safetensors: one case for each function of the .mdl file of that name.
"""

import numpy as np
import record
import torch
from record import apart, bools, case, ints, uniform


def elementwise_cases():
    case("row_exp2", torch.exp2, x=uniform(-4, 4, 3, 7))
    case("row_expm1", torch.expm1, x=uniform(-4, 4, 3, 7))
    case("row_expm1_small", torch.expm1, x=uniform(-1e-5, 1e-5, 3, 7))
    case("row_log2", torch.log2, x=uniform(0.1, 8, 3, 7))
    case("row_log1p", torch.log1p, x=uniform(-0.9, 8, 3, 7))
    case("row_log1p_small", torch.log1p, x=uniform(-1e-5, 1e-5, 3, 7))


def shape_cases():
    def x(*shape):
        return uniform(-2, 2, *shape)

    pad = torch.nn.functional.pad
    case("std_stack", lambda x, y: torch.stack([x, y, x * y], 1), x=x(3, 5), y=x(3, 5))
    case("std_stack_list", lambda x, y: torch.stack([x, y], -1), x=x(3, 5), y=x(3, 5))
    case("std_pad", lambda x: pad(x, (0, 0, 2, 1)), x=x(3, 5))
    case("std_pad_value", lambda x: pad(x, (1, 3), value=2.5), x=x(3, 5))
    case("std_flip", lambda x: x.flip(0) * x, x=x(3, 5))
    case("std_flip_last", lambda x: x.flip(-1), x=x(3, 5))
    case("std_roll", lambda x: x.roll(2, 1) * x, x=x(3, 5))
    case("std_roll_back", lambda x: x.roll(-9, 0), x=x(4, 5))
    case("std_repeat", lambda x: x.repeat_interleave(3, 1), x=x(3, 5))
    case("std_repeat_first", lambda x: (x**2).repeat_interleave(2, 0), x=x(3, 5))
    case("std_scatter_add", lambda x, at: torch.zeros(4, 3, dtype=x.dtype).index_add(0, at.long(), x**2),
         x=x(6, 3), at=np.array([1, 3, 1, 0, 3, 1], np.int32))  # fmt: skip
    case("std_split_sizes", lambda x: (x[:, :2], x[:, 2:6] ** 2, 2 * x[:, 6:]), x=x(3, 7))


def window_cases():
    def x(*shape):
        return uniform(-1, 1, *shape)

    f = torch.nn.functional
    case("row_window", f.conv1d, x=x(2, 3, 8), w=x(4, 3, 3))
    case("std_conv1d", lambda x, w, b: f.conv1d(x, w, b, 2, 3, 2), x=x(2, 3, 9), w=x(4, 3, 3), b=x(4))
    case("std_conv2d", lambda x, w, b: f.conv2d(x, w, b, padding=1), x=x(2, 3, 5, 6), w=x(4, 3, 3, 3), b=x(4))
    case("std_conv2d_stride", lambda x, w: f.conv2d(x, w, None, (2, 3), (0, 2)), x=x(2, 2, 8, 7), w=x(3, 2, 3, 2))
    case("std_conv2d_dilation", lambda x, w: f.conv2d(x, w, dilation=(2, 1)), x=x(2, 2, 7, 5), w=x(3, 2, 3, 2))
    case("std_conv2d_groups", lambda x, w, b: f.conv2d(x, w, b, padding=1, groups=2),
         x=x(2, 4, 4, 5), w=x(6, 2, 3, 2), b=x(6))  # fmt: skip
    case("std_conv2d_depthwise", lambda x, w: f.conv2d(x, w, None, 2, 1, groups=3), x=x(2, 3, 6, 5), w=x(3, 1, 3, 3))
    case("std_conv2d_patches", lambda x, w: f.conv2d(x, w, stride=3), x=x(2, 2, 6, 7), w=x(4, 2, 3, 3))
    case("std_conv_transpose2d", lambda x, w, b: f.conv_transpose2d(x, w, b, 2, 1),
         x=x(2, 3, 3, 4), w=x(3, 4, 3, 4), b=x(4))  # fmt: skip
    case("std_conv_transpose2d_plain", f.conv_transpose2d, x=x(2, 3, 3, 4), w=x(3, 2, 2, 3))
    case("std_max_pool2d", lambda x: f.max_pool2d(x, 2), x=apart(-2, 2, 2, 2, 4, 5))
    case("std_max_pool2d_overlap", lambda x: f.max_pool2d(x, 3, 2, 1), x=apart(-2, 2, 2, 2, 5, 6))
    case("std_avg_pool2d", lambda x: f.avg_pool2d(x, (2, 3)), x=x(2, 2, 4, 7))
    case("std_avg_pool2d_overlap", lambda x: f.avg_pool2d(x, 3, 2, 1), x=x(2, 2, 5, 6))
    case("std_group_norm", lambda x: f.group_norm(x, 3), x=x(2, 6, 3, 4))
    case("std_group_norm_flat", lambda x: f.group_norm(x, 2, eps=1e-3), x=x(5, 4))


def score_bias(q, k, v, w):
    t = torch.arange(q.shape[1])
    bias = w[(t[None, :] - t[:, None]).clamp(-2, 2) + 2].permute(2, 0, 1)
    return record.attention(q, k, v, attn_mask=bias[None])


def place(x, s, at):
    return x.masked_scatter(at[..., None], s)


def order_cases():
    x = apart(-2, 2, 3, 5, 4)
    ties = ints(-2, 3, 5, 9).astype(np.float32)
    zeros = uniform(0.5, 2, 5, 6)
    zeros[1, 2] = zeros[2, 0] = zeros[2, 3] = zeros[3, 5] = zeros[4, 1] = zeros[4, 2] = zeros[4, 4] = 0
    odd = np.array([2, np.nan, -np.inf, 0.0, np.inf, -0.0, np.nan, 2], np.float32)
    case("row_cumsum", lambda x: x.cumsum(1), x=x)
    case("row_cumsum_last", lambda x: (x**2).cumsum(-1), x=uniform(-2, 2, 3, 7))
    case("row_cumsum_integers", lambda x: x.cumsum(0), x=ints(-9, 9, 5, 3))
    case("row_cumsum_bools", lambda x: x.cumsum(0), x=bools(9))
    case("row_cumprod", lambda x: x.cumprod(1), x=uniform(-2, 2, 3, 6))
    case("row_cumprod_first", lambda x: x.cumprod(0), x=uniform(0.5, 2, 5, 3))
    case("row_cumprod_zeros", lambda x: x.cumprod(1), x=zeros)
    case("row_argsort", lambda x: x.argsort(-1), [], x=apart(-2, 2, 4, 11))
    case("row_argsort_down", lambda x: x.argsort(0, descending=True), [], x=apart(-2, 2, 11, 3))
    case("row_argsort_ties", lambda x: x.argsort(dim=1, stable=True), [], x=ties)
    case("row_argsort_ties_down", lambda x: x.argsort(dim=1, stable=True, descending=True), [], x=ties)
    case("row_argsort_nan", lambda x: x.argsort(dim=-1, stable=True), [], x=odd)
    case("row_argsort_nan_down", lambda x: x.argsort(dim=-1, stable=True, descending=True), [], x=odd)
    case("std_sort", lambda x: x.sort(1).values, x=x)
    case("std_sort_down", lambda x: x.sort(descending=True).values ** 2, x=apart(-2, 2, 10))
    case("std_sort_integers", lambda x: x.sort(-1).values, x=ints(-9, 9, 3, 8))
    case("std_topk", lambda x: tuple(x.topk(3)), x=apart(-2, 2, 4, 8))
    case("std_topk_first", lambda x: x.topk(2, 0).values, x=apart(-2, 2, 5, 3, 2))
    case("std_score_bias", score_bias, **{k: uniform(-2, 2, 2, 4, 2, 3) for k in "qkv"}, w=uniform(-1, 1, 5, 2))
    at = np.array([[0, 1, 1, 0, 0], [1, 0, 0, 1, 0], [0, 0, 1, 1, 0]], np.bool_)
    case("std_place", place, x=uniform(-2, 2, 3, 5, 2), s=uniform(-2, 2, 3, 2, 2), at=at)


if __name__ == "__main__":
    torch.set_num_threads(1)
    record.record_cases("ops_more.safetensors", (elementwise_cases, shape_cases, window_cases))
    record.RNG = np.random.default_rng(20240608)
    record.record_cases("ops_order.safetensors", (order_cases,))
