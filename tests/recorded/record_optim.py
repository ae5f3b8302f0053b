#!/usr/bin/env python3
"""Records steps of the optimizers for tests/e2e/test_optim.c, in the form that record.py describes.

    venv/bin/python tests/recorded/record_optim.py

optim.safetensors: the parameters of optim.mdl after each of three steps.
    weight.KEY        a parameter at first, F32
    grad.STEP.KEY     its gradient in a step, counted from 1, F32
    CASE/STEP.KEY     the parameter after that step, F64
The metadata has `stage.CASE`, whose parameters were trained, and `optimizer.CASE`, the optimizer in .mdl.

AdamW, SGD and Adafactor are PyTorch's. Lion is Algorithm 2 of Chen et al. 2023, Muon the code of K. Jordan's
post of 2024 (Nesterov momentum, five steps) in f64.
"""

import numpy as np
import record
import torch

LR, STEPS = 0.02, 3
SHAPES = {
    "scalar": (), "vector": (7,), "wide": (5, 9), "tall": (7, 3), "small": (3, 4), "cube": (2, 3, 5), "kernel": (4, 2, 3, 3)
}  # fmt: skip
STAGES = {"any": list(SHAPES), "rows": list(SHAPES)[1:], "matrices": ["wide", "tall", "small"]}


class Plain:
    """An optimizer as one function of a parameter, its gradient, its own state and the number of the step."""

    def __init__(self, params, step):
        self.params, self.function, self.t = list(params), step, 0
        self.state = [{} for _ in self.params]

    @torch.no_grad()
    def step(self):
        self.t += 1
        for p, s in zip(self.params, self.state):
            p.copy_(self.function(p, p.grad, s, self.t))


def lion(beta1=0.9, beta2=0.99, decay=0.0):
    def step(w, g, s, t):
        m = s.get("m", torch.zeros_like(w))
        update = torch.sign(torch.lerp(g, m, beta1))
        s["m"] = torch.lerp(g, m, beta2)
        return w * (1 - LR * decay) - LR * update

    return step


def newton_schulz(x):
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(5):
        s = x @ x.T
        x = a * x + (b * s + c * s @ s) @ x
    return x.T if tall else x


def muon(momentum=0.95, decay=0.0):
    def step(w, g, s, t):
        m = s["m"] = torch.lerp(s.get("m", torch.zeros_like(w)), g, 1 - momentum)
        update = newton_schulz(torch.lerp(g, m, momentum))
        update = update * max(1, w.shape[0] / w.shape[1]) ** 0.5
        return w * (1 - LR * decay) - LR * update

    return step


def by_rows(beta):
    def step(w, g, s, t):
        s["m"] = beta * s.get("m", torch.zeros_like(w)) + (1 - beta) * g
        square = (g**2).flatten(1).sum(1) if g.dim() > 1 else g**2
        s["v"] = torch.maximum(s.get("v", torch.zeros_like(square)), square)
        return w - LR * s["m"] / (s["v"].sqrt() + 1e-8).view(-1, *[1] * (g.dim() - 1))

    return step


def mixed(w, g, s, t):
    return (muon(0.9) if w.dim() == 2 else lion())(w, g, s, t)


def plain(step):
    return lambda params: Plain(params, step)


def adafactor(decay=0.8, weight_decay=0.0):
    """PyTorch's default for eps is that of the type of the weights: f32 here, f64 while recording."""
    return lambda p: torch.optim.Adafactor(p, lr=LR, beta2_decay=-decay, eps=(2.0**-23, 1e-3), weight_decay=weight_decay)


CASES = {
    "adamw": ("any", "adamw()", lambda p: torch.optim.AdamW(p, lr=LR, weight_decay=0.01)),
    "adamw_all": ("any", "adamw(betas: (0.8, 0.95), eps: 1e-6, weight_decay: 0.1)",
                  lambda p: torch.optim.AdamW(p, lr=LR, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1)),
    "sgd": ("any", "sgd(weight_decay: 0.1)", lambda p: torch.optim.SGD(p, lr=LR, weight_decay=0.1)),
    "sgd_nesterov": ("any", "sgd(momentum: 0.9, nesterov: true)",
                     lambda p: torch.optim.SGD(p, lr=LR, momentum=0.9, nesterov=True)),
    "lion": ("any", "lion()", plain(lion())),
    "lion_all": ("any", "lion(betas: (0.95, 0.98), weight_decay: 0.1)", plain(lion(0.95, 0.98, 0.1))),
    "adafactor": ("any", "adafactor()", adafactor()),
    "adafactor_all": ("any", "adafactor(decay: 0.5, weight_decay: 0.1)", adafactor(0.5, 0.1)),
    "muon": ("matrices", "muon()", plain(muon())),
    "muon_all": ("matrices", "muon(momentum: 0.8, weight_decay: 0.1)", plain(muon(0.8, 0.1))),
    "by_rows": ("rows", "by_rows(beta: 0.7)", plain(by_rows(0.7))),
    "mixed": ("any", "mixed()", plain(mixed)),
}  # fmt: skip


def numbers(shape, scale):
    return (scale * record.rng.standard_normal(shape)).astype(np.float32).reshape(shape)


def main():
    record.rng = np.random.default_rng(19)
    out = {f"weight.{k}": numbers(s, 1e-4 if k == "small" else 0.5) for k, s in SHAPES.items()}
    for t in range(1, STEPS + 1):
        out |= {f"grad.{t}.{k}": numbers(s, 0.3 * t) for k, s in SHAPES.items()}
    for case, (stage, _, make) in CASES.items():
        params = {k: torch.nn.Parameter(torch.tensor(out[f"weight.{k}"], dtype=torch.float64)) for k in STAGES[stage]}
        optimizer = make(params.values())
        for t in range(1, STEPS + 1):
            for k, p in params.items():
                p.grad = torch.tensor(out[f"grad.{t}.{k}"], dtype=torch.float64)
            optimizer.step()
            out |= {f"{case}/{t}.{k}": p.detach().numpy().copy() for k, p in params.items()}
    about = {f"stage.{k}": c[0] for k, c in CASES.items()} | {f"optimizer.{k}": c[1] for k, c in CASES.items()}
    record.write("optim.safetensors", out, lr=str(LR), **about)


if __name__ == "__main__":
    main()
