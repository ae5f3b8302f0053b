#!/usr/bin/env python3
"""Records what torch.nn.init draws with: init.safetensors, for tests/cli/test_initialisers.c.

    venv/bin/python tests/recorded/record_init.py          (torch 2.5.1, numpy)

CASE/std or CASE/bound: what torch.nn.init hands to normal_ or uniform_ for a weight [200, 300], or for a
kernel [20, 30, 3, 3]; CASE/table: values without chance.
"""

import numpy as np
import torch
from record import write

I = torch.nn.init
tensors = {}


class Draws(torch.Tensor):
    """Keeps the numbers that a distribution is called with."""

    def normal_(self, mean, std, generator=None):
        assert mean == 0
        self.asked = ("std", std)
        return self

    def uniform_(self, low, high, generator=None):
        assert low == -high
        self.asked = ("bound", high)
        return self


def case(name, init, *shape, **options):
    w = torch.empty(shape).as_subclass(Draws)
    init(w, **options)
    what, number = w.asked
    tensors[f"{name}/{what}"] = np.array(number, np.float64)


case("kaiming_normal", I.kaiming_normal_, 200, 300)
case("kaiming_leaky", I.kaiming_normal_, 200, 300, a=0.2, mode="fan_out")
case("xavier_normal", I.xavier_normal_, 200, 300, gain=I.calculate_gain("tanh"))
case("kaiming_uniform", I.kaiming_uniform_, 200, 300, a=5**0.5)
case("kaiming_relu", I.kaiming_uniform_, 20, 30, 3, 3)
case("xavier_uniform", I.xavier_uniform_, 200, 300)
case("xavier_kernel", I.xavier_uniform_, 20, 30, 3, 3)
tensors["dirac1d/table"] = I.dirac_(torch.empty(4, 3, 5, dtype=torch.float64)).numpy()
tensors["dirac2d/table"] = I.dirac_(torch.empty(3, 4, 3, 3, dtype=torch.float64)).numpy()
tensors["eye/table"] = I.eye_(torch.empty(4, 3, dtype=torch.float64)).numpy()
angle = torch.arange(50.0).double()[:, None] * torch.exp(torch.arange(0, 16, 2).double() * (-np.log(1e4) / 16))
tensors["sinusoids/table"] = torch.stack([angle.sin(), angle.cos()], 2).reshape(50, 16).numpy()
write("init.safetensors", tensors)
