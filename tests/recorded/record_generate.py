#!/usr/bin/env python3
"""Records greedy texts of two tiny language models over bytes, for tests/cli/test_generate.c.

    python -m venv venv && venv/bin/pip install torch==2.5.1 numpy==2.4.6 transformers==4.49.0 safetensors
    venv/bin/python tests/recorded/record_generate.py

generate_NAME.safetensors: the parameters as F32 under the published keys, and as U8 `prompt` and `text`, what
Transformers' generate() writes behind the prompt: argmax over the logits, computed in f64 with a cache. The largest
logit is ahead of the next by far more than what f32 loses. generate_llama also has `prompt_bf16` and `text_bf16`: the same
model in bf16, parameters and all, from a prompt after which the largest logit is always ahead by far more than what
depends on where values are rounded.
"""

import os

import numpy as np
import record_zoo
import torch
import transformers
from safetensors.numpy import save_file

PROMPT = b"To be, or not"
LENGTH = 80
LENGTH_BF16 = 24
PROMPTS = 400


def lively(model):
    """Blocks that matter more than the embedding, or a text would repeat one byte."""
    record_zoo.randomize(model)
    with torch.no_grad():
        for key, p in model.named_parameters():
            if p.dim() > 1 and not any(part in key for part in ("wte", "wpe", "embed")):
                p.mul_(3)
    return model


def greedy(model, prompt, length):
    """The text behind the prompt, and by how much its bytes were ahead of the next best."""
    prompt = torch.tensor([list(prompt)])
    with torch.no_grad():
        ids = model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=length, do_sample=False,
                             eos_token_id=None, pad_token_id=0)  # fmt: skip
        best = model(ids).logits[0, prompt.shape[1] - 1 : -1].float().topk(2).values
    return bytes(ids[0, prompt.shape[1] :].tolist()), (best[:, 0] - best[:, 1]).min().item()


def write_bf16(model, tensors):
    """Of some prompts the one whose text hangs least on rounding."""
    model.bfloat16()
    rng = np.random.default_rng(3)
    prompts = [bytes(rng.integers(97, 123, 8).astype(np.uint8).tolist()) for _ in range(PROMPTS)]
    texts = [(prompt, *greedy(model, prompt, LENGTH_BF16)) for prompt in prompts]
    prompt, text, gap = max((t for t in texts if len(set(t[1])) >= 8), key=lambda t: t[2])
    assert gap > 0.2 and 0 not in text, (gap, text)
    tensors["prompt_bf16"] = np.frombuffer(prompt, np.uint8)
    tensors["text_bf16"] = np.frombuffer(text, np.uint8)
    print("bf16", gap, prompt, text)


def write(name, model, rename=lambda key: key, bf16=False):
    tensors = {rename(key): p.detach().numpy().copy() for key, p in model.named_parameters()}
    model.double()
    prompt = torch.tensor([list(PROMPT)])
    with record_zoo.all_f64(), torch.no_grad():
        ids = model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=LENGTH, do_sample=False,
                             eos_token_id=None, pad_token_id=0)  # fmt: skip
        best = model(ids).logits[0, len(PROMPT) - 1 : -1].topk(2).values
    text = ids[0, len(PROMPT) :]
    gap = (best[:, 0] - best[:, 1]).min().item()
    assert gap > 1e-3 and len(set(text.tolist())) >= 8, (name, gap, text)
    tensors["prompt"] = np.frombuffer(PROMPT, np.uint8)
    tensors["text"] = text.numpy().astype(np.uint8)
    if bf16:
        write_bf16(model, tensors)
    save_file(tensors, os.path.join(os.path.dirname(__file__), f"generate_{name}.safetensors"),
              metadata={"made_by": "record_generate.py", "torch": torch.__version__,
                        "transformers": transformers.__version__})  # fmt: skip
    print(name, gap, bytes(text.tolist()))


def main():
    record_zoo.RNG = np.random.default_rng(7)
    gpt2 = transformers.GPT2Config(
        vocab_size=256, n_embd=16, n_layer=2, n_head=2, n_positions=96, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0,
        attn_implementation="sdpa")  # fmt: skip
    model = lively(transformers.GPT2LMHeadModel(gpt2))
    write("gpt2", model, lambda key: key.removeprefix("transformer."))
    llama = transformers.LlamaConfig(
        vocab_size=256, hidden_size=16, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        intermediate_size=24, rms_norm_eps=1e-5, attn_implementation="sdpa")  # fmt: skip
    write("llama", lively(transformers.LlamaForCausalLM(llama)), bf16=True)


if __name__ == "__main__":
    main()
