"""The updates of examples/digits in eager PyTorch, for bench/run.sh.

    digits_torch.py MODEL THREADS SECONDS

The same shapes, operations and optimizer as mlp_mnist.mdl and transformer.mdl, on random images: only
the time counts. Prints one line of JSON, like `mdl bench --json`.
"""

import json
import statistics
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

BATCH = 128


class Mlp(nn.Module):
    clip = None

    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(784, 256)
        self.fc2 = nn.Linear(256, 10)

    def forward(self, image):
        return self.fc2(F.relu(self.fc1(image.flatten(1))))


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.o_proj = nn.Linear(width, width)

    def forward(self, x):
        batch, length, width = x.shape
        q, k, v = (
            proj(x).view(batch, length, self.heads, -1).transpose(1, 2)
            for proj in (self.q_proj, self.k_proj, self.v_proj)
        )
        y = F.scaled_dot_product_attention(q, k, v)
        return self.o_proj(y.transpose(1, 2).reshape(batch, length, width))


class Block(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


class Transformer(nn.Module):
    clip = 1.0

    def __init__(self, size=28, patch=7, width=64, layers=2, heads=4, hidden=128, out=10):
        super().__init__()
        self.patch = patch
        self.embed = nn.Linear(patch * patch, width)
        self.positions = nn.Parameter(torch.randn((size // patch) ** 2, width) * 0.02)
        self.layers = nn.ModuleList([Block(width, heads, hidden) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, out)

    def patches(self, image):
        batch, size, _ = image.shape
        n = size // self.patch
        tiles = image.view(batch, n, self.patch, n, self.patch).transpose(2, 3)
        return tiles.reshape(batch, n * n, self.patch * self.patch)

    def forward(self, image):
        x = self.embed(self.patches(image)) + self.positions
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x).mean(1))


MODELS = {"mlp": Mlp, "digit_transformer": Transformer}


def update(model, optimizer, image, label):
    optimizer.zero_grad(set_to_none=True)
    F.cross_entropy(model(image), label).backward()
    if model.clip:
        nn.utils.clip_grad_norm_(model.parameters(), model.clip)
    optimizer.step()


def main():
    name, threads, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = MODELS[name]()
    # the learning rate of `mdl bench`: the same numbers again and again
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, weight_decay=0.01)
    image = torch.rand(BATCH, 28, 28)
    label = torch.randint(0, 10, (BATCH,))
    for _ in range(5):
        update(model, optimizer, image, label)
    wall, cpu = [], []
    end = time.monotonic() + seconds
    while time.monotonic() < end or len(wall) < 5:
        wall0, cpu0 = time.perf_counter(), time.process_time()
        update(model, optimizer, image, label)
        wall.append(time.perf_counter() - wall0)
        cpu.append(time.process_time() - cpu0)
    print(
        json.dumps(
            {
                "schema": "mdl.bench.1",
                "model": name,
                "torch": torch.__version__,
                "capability": torch.backends.cpu.get_cpu_capability(),
                "batch": BATCH,
                "threads": threads,
                "updates": len(wall),
                "least": min(wall),
                "median": statistics.median(wall),
                "cpu": min(cpu),
            }
        )
    )


if __name__ == "__main__":
    main()
