#!/usr/bin/env python3
"""Records training in bf16 with f32 masters, for tests/e2e/test_precision.c, in the form that record.py describes.

    venv/bin/python tests/recorded/record_precision.py

precision.safetensors: one batch through the mlp of examples/digits, made tiny, its module in bfloat16. Gradients are
bf16 too; AdamW changes f32 copies of the parameters, from which these are rounded after each step.
    batch.FIELD, weight.KEY   as in record.py; the f32 copies at first
    logits, grad.KEY          of the first step, of the sum of the losses
    losses                    mean loss at the start of each of STEPS updates
    step5.KEY                 the f32 copies after 5 of these updates
"""

import numpy as np
import record
import torch
import torch.nn.functional as F
from record import STEPS, Mlp, randomize, write



class Linear(record.Linear):
    """The product is rounded before the bias is added: it has a name in models/std/nn.mdl."""

    def forward(self, x):
        return F.linear(x, self.weight) + self.bias


record.Linear = Linear
LR, DECAY, ROWS = 0.002, 0.1, 6
rng = np.random.default_rng(16)
model = Mlp(12)
randomize(model, rng)
image = rng.uniform(0, 1, (ROWS, 28, 28)).astype(np.float32)
image[rng.uniform(0, 1, image.shape) < 0.6] = 0
label = rng.integers(0, 10, ROWS).astype(np.int32)
t = {"batch.image": image, "batch.label": label}
t.update({f"weight.{k}": p.detach().numpy().copy() for k, p in model.named_parameters()})

masters = {k: torch.nn.Parameter(p.detach().clone()) for k, p in model.named_parameters()}
model.bfloat16()
opt = torch.optim.AdamW(masters.values(), lr=LR, weight_decay=DECAY)
x, y = torch.from_numpy(image).bfloat16(), torch.from_numpy(label).long()
losses = []
for step in range(STEPS):
    model.zero_grad()
    logits = model(x)
    loss = F.cross_entropy(logits.float(), y, reduction="sum")
    loss.backward()
    if step == 0:
        t["logits"] = logits.detach().double().numpy()
        t.update({f"grad.{k}": p.grad.float().numpy() for k, p in model.named_parameters()})
    with torch.no_grad():
        for k, p in model.named_parameters():
            masters[k].grad = p.grad.float() / ROWS
        opt.step()
        for k, p in model.named_parameters():
            p.copy_(masters[k])
    losses.append(loss.item() / ROWS)
    if step == 4:
        t.update({f"step5.{k}": p.detach().numpy().copy() for k, p in masters.items()})
t["losses"] = np.array(losses)
write("precision.safetensors", t, lr=str(LR))
