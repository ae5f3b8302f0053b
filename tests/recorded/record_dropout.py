#!/usr/bin/env python3
"""Records what PyTorch makes of a step with dropout, given the masks: dropout.safetensors.

    venv/bin/python tests/recorded/record_dropout.py       (torch 2.5.1, numpy, safetensors)

The masks are those of the program, whose random numbers are its own: `mdl grad` is asked for gradients, and
where they are zero an element was dropped. From the masks PyTorch computes loss and gradients in f64.
MDL names the program, build/debug/cli/mdl unless given.
    batch.FIELD, weight.KEY     inputs, in f32
    loss, grad.KEY              what they give
    kept.KEY                    the masks
"""

import os
import subprocess
import tempfile

import numpy as np
import torch
from record import HERE, write
from safetensors.numpy import load_file, save_file

RNG = np.random.default_rng(20240611)
MDL = os.environ.get("MDL", os.path.join(HERE, "../../build/debug/cli/mdl"))


def draw(*shape):
    return (RNG.uniform(0.5, 1.5, shape) * RNG.choice([-1, 1], shape)).astype(np.float32)


batch = {"x": draw(8, 6), "y": draw(8, 5)}
weight = {"inner": draw(8, 6), "weight": draw(6, 5), "outer": draw(8, 5)}
with tempfile.TemporaryDirectory() as folder:
    b, w, g = (os.path.join(folder, n) for n in ("b.st", "w.st", "g.st"))
    save_file(batch, b)
    save_file(weight, w)
    subprocess.run([MDL, "grad", os.path.join(HERE, "dropout.mdl"), "--batch", b, "--weights", w, "--out", g,
                    "--reference", "-q"], check=True)  # fmt: skip
    kept = {k: load_file(g)[k] != 0 for k in ("inner", "outer")}

p = {k: torch.from_numpy(v).double().requires_grad_() for k, v in weight.items()}
x, y = (torch.from_numpy(batch[k]).double() for k in "xy")
m = {k: torch.from_numpy(v).double() for k, v in kept.items()}
h = torch.tanh((x * p["inner"] * m["inner"] / (1 - 0.3)) @ p["weight"])
loss = ((h * p["outer"] * m["outer"] / (1 - 0.25) - y) ** 2).mean()
loss.backward()
tensors = {"loss": loss.detach().numpy()}
tensors.update({f"grad.{k}": v.grad.numpy() for k, v in p.items()})
tensors.update({f"weight.{k}": v for k, v in weight.items()})
tensors.update({f"batch.{k}": v for k, v in batch.items()})
tensors.update({f"kept.{k}": v for k, v in kept.items()})
write("dropout.safetensors", tensors)
