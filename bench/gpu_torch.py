"""The cases of bench/gpu_bench.c, and whole training steps, in PyTorch: what `mdl` is compared with.

    gpu_torch.py [--device cuda|cpu] [--seconds S] [--cap C] [--out FILE] [--compile] CASE..

Names of cases are those of bench/gpu_cases.c, and of steps: step:TYPE:gpt2:BxTxLxD, step:TYPE:mistral:BxTxLxD.
Without --compile everything is run as PyTorch has it: products by cuBLASLt, attention by each of its
kernels, fused AdamW; with it, what is worth it is run as torch.compile makes it, which takes seconds for each.
Inputs are random. Calls run behind one another, as one CUDA graph where that can be recorded, about 30 ms long, and
several of these are timed by events. One line of JSON for each way of doing a case, written as it comes; one that
fails is a line with its error. No case begins after S seconds; a case stops being repeated after C.
"""

import argparse
import json
import math
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

try:
    import triton
    from triton import language as tl
except ImportError:
    triton = None

ROUNDS, MOST_CALLS, ROUND_SECONDS = 9, 200, 0.03
TYPES = {"f32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}


class Bench:
    def __init__(self, options):
        self.device, self.cap, self.file = options.device, options.cap, options.out
        self.compile = options.compile
        self.until = time.monotonic() + options.seconds
        self.cuda = self.device == "cuda"
        # Recordings are made of this stream, and a backward half runs where its forward half did.
        self.stream = torch.cuda.Stream() if self.cuda else None
        if self.cuda:
            torch.cuda.set_stream(self.stream)

    def put(self, line):
        text = json.dumps({"schema": "mdl.gpu.1", **line})
        print(text, flush=True)
        if self.file:
            with open(self.file, "a", encoding="utf-8") as f:
                f.write(text + "\n")

    def random(self, dtype, *dims):
        return torch.randn(dims, device=self.device, dtype=torch.float32).to(dtype)

    def grown(self, dtype, *dims):
        return self.random(dtype, *dims).requires_grad_()

    def sync(self):
        if self.cuda:
            torch.cuda.synchronize()

    def seconds_of(self, run):
        """Of run(), by the device's clock."""
        if not self.cuda:
            start = time.perf_counter()
            run()
            return time.perf_counter() - start
        a, b = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        a.record()
        run()
        b.record()
        b.synchronize()
        return a.elapsed_time(b) * 1e-3

    def recorded(self, call, calls):
        """The calls as one CUDA graph; None where that cannot be recorded."""
        try:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, stream=self.stream):
                for _ in range(calls):
                    call()
            graph.replay()
            self.sync()
            return graph
        except Exception as error:  # what cannot be recorded is called
            print(f"gpu_torch: not recorded: {first_line(error)}", file=sys.stderr)
            torch.cuda.synchronize()
            return None

    def time(self, case, who, call, record=True):
        """Writes a line for one way of doing a case."""
        line = {"who": who, "case": case}
        try:
            if time.monotonic() > self.until:
                raise TimeoutError("no time was left")
            line.update(self.measure(call, record))
        except Exception as error:
            line["error"] = first_line(error)
        self.put(line)

    def measure(self, call, record):
        began = time.monotonic()
        for _ in range(3 if self.cuda else 1):
            call()
        self.sync()
        each = self.seconds_of(call)
        each = min(each, self.seconds_of(call))
        calls = max(1, min(MOST_CALLS, int(ROUND_SECONDS / max(each, 1e-7))))
        graph = self.recorded(call, calls) if self.cuda and record else None

        def some():
            if graph:
                graph.replay()
            else:
                for _ in range(calls):
                    call()

        times = []
        while len(times) < ROUNDS and (not times or time.monotonic() - began < self.cap):
            times.append(self.seconds_of(some) / calls)
        times.sort()
        return {"least": times[0], "median": times[len(times) // 2], "calls": calls, "rounds": len(times),
                "recorded": graph is not None}


def first_line(error):
    return " ".join(str(error).split())[:300] or type(error).__name__


def gradients(y, inputs, dy):
    """Of a result that was computed before: the backward half alone."""
    return lambda: torch.autograd.grad(y, inputs, dy, retain_graph=True)


# ---- products ----


def do_copy(b, case, n):
    x = b.random(torch.float32, n // 4)
    y = torch.empty_like(x)
    b.time(case, "torch copy", lambda: y.copy_(x))


if triton:

    @triton.jit
    def triton_tile(x, w, out, m, n, k, xm, xk, wk, wn, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
        """A tile of out = x w, sizes of which its own divide; tiles of 8 rows stand together and share what they read."""
        across = n // BN
        first = tl.program_id(0) // (8 * across) * 8
        rows = tl.minimum(m // BM - first, 8)
        i = first + tl.program_id(0) % (8 * across) % rows
        j = tl.program_id(0) % (8 * across) // rows
        a, b, c = i * BM + tl.arange(0, BM), j * BN + tl.arange(0, BN), tl.arange(0, BK)
        at_x = x + a[:, None] * xm + c[None, :] * xk
        at_w = w + c[:, None] * wk + b[None, :] * wn
        sums = tl.zeros((BM, BN), dtype=tl.float32)
        for _ in range(0, k, BK):
            sums = tl.dot(tl.load(at_x), tl.load(at_w), sums)
            at_x += BK * xk
            at_w += BK * wk
        tl.store(out + a[:, None] * n + b[None, :], sums.to(out.dtype.element_ty))


def triton_gemm(b, case, x, w, out):
    (m, k), n = x.shape, w.shape[1]
    block = (128, 256, 64)
    if not triton or x.dtype == torch.float32 or m % block[0] or n % block[1] or k % block[2]:
        return
    tiles = (m // block[0]) * (n // block[1])

    def call():
        triton_tile[(tiles,)](x, w, out, m, n, k, *x.stride(), *w.stride(), *block, num_warps=8, num_stages=3)

    call()
    want = x[:128].float() @ w[:, :128].float()
    far = ((out[:128, :128].float() - want).norm() / want.norm()).item()
    if not far < 1e-2:
        raise ValueError(f"Triton is wrong by {far:.2g}")
    b.time(case, "Triton", call)


def do_gemm(b, case, dtype, variant, m, n, k):
    x = b.random(dtype, k, m).t() if variant == "tn" else b.random(dtype, m, k)
    w = b.random(dtype, n, k).t() if variant == "nt" else b.random(dtype, k, n)
    out = torch.empty(m, n, dtype=dtype, device=b.device)
    if b.compile:
        triton_gemm(b, case, x, w, out)
        return
    b.time(case, "torch matmul", lambda: torch.matmul(x, w, out=out))


def do_stored(b, case, dtype, _, m, n, k):
    """The same product of weights that are as wide as x: what few bits are compared with."""
    x, w = b.random(dtype, m, k), b.random(dtype, n, k)
    out = torch.empty(m, n, dtype=dtype, device=b.device)
    b.time(case, "torch matmul", lambda: torch.matmul(x, w.t(), out=out))


def do_qkv(b, case, dtype, _, m, n, p, d):
    x, w = b.random(dtype, m, d), b.random(dtype, n + 2 * p, d)
    b.time(case, "torch matmul", lambda: F.linear(x, w))


def swiglu(x, w, f):
    h = F.linear(x, w)
    return F.silu(h[:, :f]) * h[:, f:]


def do_swiglu(b, case, dtype, _, m, f, d):
    x, w = b.random(dtype, m, d), b.random(dtype, 2 * f, d)
    if b.compile:
        fast = torch.compile(swiglu)
        b.time(case, "torch.compile", lambda: fast(x, w, f))
    else:
        b.time(case, "torch", lambda: swiglu(x, w, f))


# ---- attention ----


def sdpa(backend, q, k, v):
    from torch.nn.attention import sdpa_kernel

    with sdpa_kernel(backend):
        if q.shape[1] == k.shape[1]:
            return F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)


def has_groups(backend, q, k, v):
    """Whether it runs with fewer heads of keys than of queries."""
    try:
        sdpa(backend, q, k, v)
        return True
    except RuntimeError:
        return q.shape[1] == k.shape[1]


def packages():
    """Of FlashAttention, where one is installed: functions of [B, T, H, d]."""
    found = []
    for module, name in (("flash_attn_interface", "FlashAttention 3"), ("flash_attn", "FlashAttention")):
        try:
            found.append((name, getattr(__import__(module), "flash_attn_func")))
        except Exception:
            continue
    return found


def flex(b, q, k, v):
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    t = q.shape[2]
    mask = create_block_mask(lambda _b, _h, i, j: i >= j, None, None, t, t, device=b.device)
    fast = torch.compile(flex_attention)
    return lambda: fast(q, k, v, block_mask=mask, enable_gqa=q.shape[1] != k.shape[1])


def do_attention(b, case, dtype, variant, batch, t, h, kv, d):
    from torch.nn.attention import SDPBackend

    q = b.grown(dtype, batch, t, h, d)
    k, v = b.grown(dtype, batch, t, kv, d), b.grown(dtype, batch, t, kv, d)
    dy = b.random(dtype, batch, t, h, d)

    def ways():
        turned = [x.transpose(1, 2) for x in (q, k, v)]
        if b.compile:
            yield "flex_attention (Triton)", flex(b, *turned), dy.transpose(1, 2)
            return
        for name, backend in (("cuDNN", SDPBackend.CUDNN_ATTENTION), ("flash", SDPBackend.FLASH_ATTENTION)):
            if not b.cuda and name != "flash":
                continue
            own = turned
            if not has_groups(backend, *turned):
                name += ", heads repeated"
                own = [turned[0]] + [x.repeat_interleave(h // kv, dim=1) for x in turned[1:]]
            yield f"torch SDPA {name}", lambda backend=backend, own=own: sdpa(backend, *own), dy.transpose(1, 2)
        for name, run in packages():
            yield name, lambda run=run: run(q, k, v, causal=True), dy

    for name, run, grad in ways():
        if variant == "fwd":

            def forward(run=run):
                with torch.no_grad():
                    return run()

            b.time(case, name, forward)
            continue
        try:
            y = run()
            y = y[0] if isinstance(y, tuple) else y
            back = gradients(y, (q, k, v), grad)
        except Exception as error:
            b.put({"who": name, "case": case, "error": first_line(error)})
            continue
        b.time(case, name, back)


# ---- rows, maps, tables ----


def do_norm(b, case, dtype, variant, m, d):
    kind, way = variant.split("_")
    x, w, bias = b.grown(dtype, m, d), b.grown(dtype, d), b.grown(dtype, d)
    dy = b.random(dtype, m, d)

    def norm(x, w, bias):
        if kind == "rms":
            return F.rms_norm(x, (d,), w, 1e-5)
        return F.layer_norm(x, (d,), w, bias, 1e-5)

    inputs = (x, w) if kind == "rms" else (x, w, bias)
    run = torch.compile(norm) if b.compile else norm
    call = gradients(run(x, w, bias), inputs, dy) if way == "bwd" else no_grad(lambda: run(x, w, bias))
    b.time(case, "torch.compile" if b.compile else "torch", call)


def no_grad(call):
    def run():
        with torch.no_grad():
            return call()

    return run


def do_map(b, case, dtype, variant, m, f):
    g, u = b.grown(dtype, m, f), b.grown(dtype, m, f)
    dy = b.random(dtype, m, f)

    def unit(g, u):
        return F.silu(g) * u

    run = torch.compile(unit) if b.compile else unit
    call = gradients(run(g, u), (g, u), dy) if variant == "silu_mul_bwd" else no_grad(lambda: run(g, u))
    b.time(case, "torch.compile" if b.compile else "torch", call)


def do_xent(b, case, dtype, variant, r, v, d):
    x, w, scale = b.random(dtype, r, d), b.grown(dtype, v, d), b.grown(dtype, d)
    with torch.no_grad():
        w.mul_(0.02)
    target = torch.randint(0, v, (r,), device=b.device)

    def loss(x, w):
        return F.cross_entropy(F.linear(x, w), target)

    run = torch.compile(loss) if b.compile else loss

    def both():
        return torch.autograd.grad(run(x * scale, w), (w, scale))

    call = both if variant == "both" else no_grad(lambda: run(x, w))
    b.time(case, "torch.compile" if b.compile else "torch", call)


def do_embedding(b, case, dtype, _, t, v, d):
    table, x = b.grown(dtype, v, d), b.random(dtype, t, d)
    ids = torch.randint(0, v, (t,), device=b.device)

    def loss(table):
        return (F.embedding(ids, table) * x).float().mean()

    run = torch.compile(loss) if b.compile else loss
    b.time(case, "torch.compile" if b.compile else "torch", lambda: torch.autograd.grad(run(table), table))


def adamw(params, cuda, **settings):
    return torch.optim.AdamW(params, fused=True, capturable=cuda, **settings)


def do_adamw(b, case, dtype, _, layers, d):
    if b.compile:
        return
    shapes = [(4 * d, d), (4 * d,), (d, 4 * d), (d,)] * layers
    params = [nn.Parameter(b.random(torch.float32, *s)) for s in shapes]
    stored = [p.detach().to(dtype) for p in params] if dtype != torch.float32 else None
    for p in params:
        p.grad = b.random(torch.float32, *p.shape)
    optimizer = adamw(params, b.cuda)

    def call():
        optimizer.step()
        if stored:
            torch._foreach_copy_(stored, [p.detach() for p in params])

    b.time(case, "torch fused", call)


# ---- whole steps ----


class GptBlock(nn.Module):
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


class MistralBlock(nn.Module):
    def __init__(self, d, h, kv, f):
        super().__init__()
        self.h, self.kv, self.dh = h, kv, d // h
        self.norm_1, self.norm_2 = nn.RMSNorm(d, 1e-5), nn.RMSNorm(d, 1e-5)
        self.qkv = nn.Linear(d, (h + 2 * kv) * self.dh, bias=False)
        self.o = nn.Linear(d, d, bias=False)
        self.gate_up, self.down = nn.Linear(d, 2 * f, bias=False), nn.Linear(f, d, bias=False)

    def turn(self, x):
        """Rotary positions."""
        n = self.dh // 2
        at = torch.arange(x.shape[1], device=x.device).float()
        a = torch.outer(at, 1e6 ** (-torch.arange(n, device=x.device).float() / n))[None, :, None, :]
        u, v = x[..., :n].float(), x[..., n:].float()
        return torch.cat((u * a.cos() - v * a.sin(), v * a.cos() + u * a.sin()), -1).to(x.dtype)

    def forward(self, x):
        b, t, d = x.shape
        y = self.qkv(self.norm_1(x)).view(b, t, self.h + 2 * self.kv, self.dh)
        q, k, v = y.split((self.h, self.kv, self.kv), dim=2)
        q, k, v = [z.transpose(1, 2) for z in (self.turn(q), self.turn(k), v)]
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        x = x + self.o(y.transpose(1, 2).reshape(b, t, d))
        g, u = self.gate_up(self.norm_2(x)).chunk(2, -1)
        return x + self.down(F.silu(g) * u)


class Decoder(nn.Module):
    """Embeddings, blocks, a norm and scores: GPT-2 with the table tied and places learned, or Mistral."""

    def __init__(self, kind, t, layers, d):
        super().__init__()
        gpt = kind == "gpt2"
        v, h = (50257, d // 64) if gpt else (32000, max(d // 128, 1))
        self.embed = nn.Embedding(v, d)
        self.places = nn.Embedding(t, d) if gpt else None
        blocks = [GptBlock(d, h) if gpt else MistralBlock(d, h, max(h // 4, 1), d * 7 // 2) for _ in range(layers)]
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(d) if gpt else nn.RMSNorm(d, 1e-5)
        self.head = nn.Linear(d, v, bias=False)
        if gpt:
            self.head.weight = self.embed.weight

    def forward(self, tokens, targets):
        x = self.embed(tokens)
        if self.places is not None:
            x = x + self.places(torch.arange(tokens.shape[1], device=tokens.device))
        for block in self.blocks:
            x = block(x)
        return F.cross_entropy(self.head(self.norm(x)).flatten(0, 1), targets.flatten())


def do_step(b, case, dtype, kind, batch, t, layers, d):
    """Parameters, gradients and moments in f32, products in the type of the case: torch.autocast."""
    began = time.monotonic()
    torch.manual_seed(0)
    with torch.device(b.device):
        model = Decoder(kind, t, layers, d)
    for block in model.blocks if b.compile else ():
        block.compile()
    optimizer = adamw(model.parameters(), False, lr=6e-4, betas=(0.9, 0.95), weight_decay=0.1)
    tokens = torch.randint(0, 256, (batch, t), device=b.device)

    def step():
        with torch.autocast(b.device, dtype, enabled=dtype != torch.float32):
            loss = model(tokens, tokens.roll(-1, 1))
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    try:
        step()
        b.sync()
        first = time.monotonic() - began
        times = []
        while len(times) < 3 or (len(times) < 20 and time.monotonic() - began - first < b.cap):
            times.append(b.seconds_of(step))
        times.sort()
        b.put({"who": "torch.compile" if b.compile else "torch", "case": case, "least": times[0],
               "median": times[len(times) // 2], "rounds": len(times), "first": first,
               "parameters": sum(p.numel() for p in model.parameters())})
    except Exception as error:
        b.put({"who": "torch.compile" if b.compile else "torch", "case": case, "error": first_line(error)})


def decode_layer(block, x, place, angles, keys, values):
    """One token of a MistralBlock behind `place` others, whose keys and values are kept."""
    d, n = x.shape[-1], block.dh // 2
    q, k, v = block.qkv(block.norm_1(x)).view(-1, block.dh).split((block.h, block.kv, block.kv))

    def turn(y):
        u, w = y[:, :n].float(), y[:, n:].float()
        return torch.cat((u * angles.cos() - w * angles.sin(), w * angles.cos() + u * angles.sin()), -1).to(y.dtype)

    keys[0, :, place], values[0, :, place] = turn(k), v
    seen = [kept[:, :, : place + 1] for kept in (keys, values)]
    y = F.scaled_dot_product_attention(turn(q)[None, :, None], *seen, enable_gqa=True)
    x = x + block.o(y.reshape(1, d))
    g, u = block.gate_up(block.norm_2(x)).chunk(2, -1)
    return x + block.down(F.silu(g) * u)


def do_decode(b, case, dtype, _, layers, d, h, kv, past):
    with torch.device(b.device):
        blocks = [MistralBlock(d, h, kv, d * 7 // 2).to(dtype) for _ in range(layers)]
        embed, head = nn.Embedding(32000, d).to(dtype), nn.Linear(d, 32000, bias=False).to(dtype)
        norm = nn.RMSNorm(d, 1e-5).to(dtype)
    kept = [[b.random(dtype, 1, kv, past + 8, d // h) for _ in range(2)] for _ in blocks]
    n = d // h // 2
    angles = past * 1e6 ** (-torch.arange(n, device=b.device).float() / n)
    token = torch.zeros(1, dtype=torch.int64, device=b.device)

    def call():
        with torch.no_grad():
            x = embed(token)
            for block, (keys, values) in zip(blocks, kept):
                x = decode_layer(block, x, past, angles, keys, values)
            token.copy_(head(norm(x)).argmax(-1))

    b.time(case, "torch", call)


FAMILIES = {"gemm": do_gemm, "stored": do_stored, "qkv": do_qkv, "swiglu": do_swiglu, "attention": do_attention,
            "norm": do_norm, "map": do_map, "xent": do_xent, "embedding": do_embedding, "adamw": do_adamw, "step": do_step,
            "decode": do_decode}
COMPILED = {"gemm", "swiglu", "attention", "norm", "map", "xent", "embedding", "step"}


def do_case(b, case):
    family, *rest = case.split(":")
    if b.compile and family not in COMPILED:
        return
    if time.monotonic() > b.until:
        b.put({"who": "torch", "case": case, "error": "no time was left"})
        return
    if family == "copy":
        do_copy(b, case, int(rest[0]))
        return
    dtype, variant, sizes = rest
    torch.backends.cuda.matmul.allow_tf32 = dtype == "tf32"
    FAMILIES[family](b, case, TYPES[dtype], variant, *[int(x) for x in sizes.split("x")])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=math.inf)
    parser.add_argument("--cap", type=float, default=2)
    parser.add_argument("--out")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("cases", nargs="+", metavar="CASE")
    options = parser.parse_args()
    b = Bench(options)
    torch.manual_seed(1)
    if options.compile:  # a compiled backward half runs more than once
        from torch._functorch import config

        if hasattr(config, "donated_buffer"):
            config.donated_buffer = False
    gpu = torch.cuda.get_device_name() if b.cuda else "CPU"
    b.put({"who": "torch", "version": torch.__version__, "cuda": torch.version.cuda, "gpu": gpu,
           "cudnn": torch.backends.cudnn.version() if b.cuda else None})
    for case in options.cases:
        try:
            do_case(b, case)
        except Exception as error:
            b.put({"who": "torch", "case": case, "error": first_line(error)})
        if b.cuda:
            torch.cuda.empty_cache()


main()
