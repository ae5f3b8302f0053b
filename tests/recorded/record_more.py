#!/usr/bin/env python3
"""Records more operations for tests/e2e, in the form that record.py describes.

    venv/bin/python tests/recorded/record_more.py

ops_more.safetensors: one case for each function of ops_more.mdl.
"""

import numpy as np
import record
import torch
from record import apart, case, ints, uniform


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


if __name__ == "__main__":
    torch.set_num_threads(1)
    record.record_cases("ops_more.safetensors", (elementwise_cases, shape_cases))
