"""One update of bench/gpt2_step.mdl in PyTorch.

    gpt2_torch.py THREADS SECONDS [eager|compile] [V D L H T B]

GPT-2 with tied embeddings and fused attention, AdamW (fused where there is one for the CPU), gradients
clipped to norm 1; any tokens, only the time counts. Prints one line of JSON, like `mdl bench --json`.
"""

import json
import statistics
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F


class Block(nn.Module):
    def __init__(self, d, h):
        super().__init__()
        self.h = h
        self.ln_1, self.ln_2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.attn, self.proj = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.up, self.down = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)

    def forward(self, x):
        b, t, d = x.shape
        q, k, v = self.attn(self.ln_1(x)).view(b, t, 3, self.h, -1).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.proj(y.transpose(1, 2).reshape(b, t, d))
        return x + self.down(F.gelu(self.up(self.ln_2(x)), approximate="tanh"))


class GPT2(nn.Module):
    def __init__(self, v, d, layers, h, ctx):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(v, d), nn.Embedding(ctx, d)
        self.h = nn.ModuleList(Block(d, h) for _ in range(layers))
        self.ln_f = nn.LayerNorm(d)

    def forward(self, tokens, targets):
        x = self.wte(tokens) + self.wpe(torch.arange(tokens.shape[1]))
        for block in self.h:
            x = block(x)
        logits = F.linear(self.ln_f(x), self.wte.weight)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def main():
    threads, seconds, mode = int(sys.argv[1]), float(sys.argv[2]), (sys.argv[3:4] or ["eager"])[0]
    v, d, layers, h, t, b = [int(x) for x in sys.argv[4:10]] or [50257, 768, 12, 12, 256, 4]
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = GPT2(v, d, layers, h, t)
    step = torch.compile(model) if mode == "compile" else model
    try:
        optimizer = torch.optim.AdamW(model.parameters(), 6e-4, (0.9, 0.95), weight_decay=0.1, fused=True)
    except RuntimeError:
        optimizer = torch.optim.AdamW(model.parameters(), 6e-4, (0.9, 0.95), weight_decay=0.1)
    tokens = torch.randint(0, min(v, 256), (b, t))
    times = []
    end = None
    while end is None or time.perf_counter() < end or len(times) < 3:
        start = time.perf_counter()
        step(tokens, tokens).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if end is None:  # the first one warms up, or compiles
            end = time.perf_counter() + seconds
        else:
            times.append(time.perf_counter() - start)
    print(json.dumps({"who": f"torch {torch.__version__} {mode}", "threads": threads, "least": min(times),
                      "median": statistics.median(times), "updates": len(times)}))


main()
