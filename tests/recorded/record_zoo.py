#!/usr/bin/env python3
"""Records the reference models of models/*.mdl, made tiny, for tests/e2e/test_zoo.c.

    python -m venv venv && venv/bin/pip install torch==2.5.1 numpy==2.4.6 transformers==4.49.0
    venv/bin/python tests/recorded/record_zoo.py

zoo/NAME.safetensors: weights as F32 under the published keys, results as F64 computed from them in f64.
    weight.KEY        a parameter
    CASE/in.FORMAL    an argument of the function that CASE calls
    CASE/out          its result; NaN where nothing is promised (positions of padding)
    CASE/out.sum, CASE/out.weight    of a loss
    CASE/grad.KEY     the gradient of out.sum
    CASE/losses       its mean at the start of each of STEPS updates by AdamW on these inputs
The metadata has the options that make the .mdl file this model (`set`) and the functions of the cases (`call`).

The references are the classes of Transformers; plain PyTorch, written from the papers, where it has none. Llama
insists on f32 inside its norms and rotations: these two formulas are replaced by themselves in f64, and the
result is compared with the untouched model in f32.
"""

import contextlib
import copy
import json
import os

import numpy as np
import record
import torch
import torch.nn.functional as F
import transformers
from transformers.models.llama import modeling_llama
from transformers.models.mistral import modeling_mistral

RNG = None
STEPS = 100


# ---- Transformers in f64 ----


def rms_norm_f64(self, x):
    return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon))


def rotary_f64(self, x, position_ids):
    dim = 2 * self.inv_freq.numel()
    theta = self.config.rope_theta
    frequency = theta ** (-torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    angle = position_ids[..., None].double() * frequency
    angle = torch.cat([angle, angle], -1)
    return angle.cos(), angle.sin()


@contextlib.contextmanager
def all_f64():
    modules = (modeling_llama, "Llama"), (modeling_mistral, "Mistral")
    kept = []
    for module, name in modules:
        norm, rotary = getattr(module, name + "RMSNorm"), getattr(module, name + "RotaryEmbedding")
        kept += [(norm, norm.forward), (rotary, rotary.forward)]
        norm.forward, rotary.forward = rms_norm_f64, rotary_f64
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
    for cls, forward in kept:
        cls.forward = forward


def randomize(model):
    """Every parameter gets values that matter; activations stay near 1."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            fan = p[0].numel() if p.dim() > 1 else 16
            x = RNG.uniform(-1, 1, p.shape) * np.sqrt(3 / fan)
            lower = name.lower()
            if ("norm" in lower or "layrnorm" in lower or ".ln_" in lower or lower.startswith("ln_")) and lower.endswith("weight"):
                x = 1 + RNG.uniform(-0.5, 0.5, p.shape)
            elif "embedding" in lower or "embed_tokens" in lower or "wte" in lower or "wpe" in lower:
                x = RNG.uniform(-1, 1, p.shape)
            p.copy_(torch.from_numpy(np.asarray(x, np.float32)))
    return model.eval()


# ---- files ----


class Zoo:
    """One file: weights, and cases that call `fn` on the same inputs as the .mdl function gets."""

    def __init__(self, name, modules, rename=lambda key: key, sets=()):
        self.name, self.modules, self.rename = name, modules, rename
        self.sets, self.calls, self.tensors = list(sets), {}, {}
        for module in modules:
            for key, p in module.named_parameters():
                self.tensors["weight." + rename(key)] = p.detach().numpy().copy()

    def case(self, case, call, fn, **inputs):
        """fn takes tensors by name (i64 for integers) and gives one, or (sum, weight) of a loss."""
        for formal, x in inputs.items():
            self.tensors[f"{case}/in.{formal}"] = x
        self.calls[case] = call
        as_torch = {k: torch.from_numpy(x) for k, x in inputs.items()}
        floats = {k: x.long() if x.dtype == torch.int32 else x for k, x in as_torch.items()}
        doubles = {k: x.double() if x.dtype == torch.float32 else x for k, x in floats.items()}
        with torch.no_grad():
            rough = fn(**floats)
        for module in self.modules:
            module.double()
            module.zero_grad()
        with all_f64():
            y = fn(**doubles)
            if isinstance(y, tuple):
                self.loss(case, *y)
                y = y[0]
            else:
                self.tensors[f"{case}/out"] = y.detach().numpy().copy()
        for module in self.modules:
            module.float()
        rough = rough[0] if isinstance(rough, tuple) else rough
        gap = (rough - y).nan_to_num().norm() / y.nan_to_num().norm()
        assert gap < 3e-6, (self.name, case, gap)

    def loss(self, case, total, weight):
        total.backward()
        self.tensors[f"{case}/out.sum"] = total.detach().numpy().copy()
        self.tensors[f"{case}/out.weight"] = np.array(float(weight))
        for module in self.modules:
            for key, p in module.named_parameters():
                if p.grad is not None:
                    self.tensors[f"{case}/grad.{self.rename(key)}"] = p.grad.numpy().copy()

    def train(self, case, fn, lr, weight_decay=0.01, only=lambda key: True):
        """AdamW in f64 on the inputs of a loss; self.modules must be one module, and stays as it is."""
        (kept,) = self.modules
        inputs = {k.removeprefix(f"{case}/in."): torch.from_numpy(x) for k, x in self.tensors.items()
                  if k.startswith(f"{case}/in.")}  # fmt: skip
        inputs = {k: x.long() if x.dtype == torch.int32 else x.double() if x.dtype == torch.float32 else x
                  for k, x in inputs.items()}  # fmt: skip
        begin = copy.deepcopy(kept.state_dict())
        kept.double()
        seen = {k for k, _ in kept.named_parameters() if f"{case}/grad.{self.rename(k)}" in self.tensors}
        trained = [p for k, p in kept.named_parameters() if k in seen and only(self.rename(k))]
        opt, losses = torch.optim.AdamW(trained, lr=lr, weight_decay=weight_decay), []
        with all_f64():
            for _ in range(STEPS):
                total, weight = fn(**inputs)
                opt.zero_grad()
                (total / weight).backward()
                opt.step()
                losses.append((total / weight).item())
        kept.float()
        kept.load_state_dict(begin)
        print(self.name, "losses", losses[0], losses[STEPS // 2], losses[-1])
        self.tensors[f"{case}/losses"] = np.array(losses)

    def write(self):
        os.makedirs(os.path.join(record.HERE, "zoo"), exist_ok=True)
        record.write(f"zoo/{self.name}.safetensors", self.tensors, transformers=transformers.__version__,
                     set=json.dumps(self.sets), call=json.dumps(self.calls))  # fmt: skip


def settings(model, **values):
    return [f"model.{model}.{k}={v}" for k, v in values.items()]


def picture(*shape):
    return RNG.uniform(-2, 2, shape).astype(np.float32)


def ids(high, *shape):
    return RNG.integers(0, high, shape).astype(np.int32)


def positions(*rows):
    """Each row a list of lengths: samples that share the row, each counted from 0."""
    return np.array([np.concatenate([np.arange(n) for n in row]) for row in rows], np.int32)


def by_sample(forward, pos, *row_inputs):
    """Every packed sample alone, then put back together."""
    rows = []
    for b in range(pos.shape[0]):
        starts = [*np.flatnonzero(pos[b].numpy() == 0).tolist(), pos.shape[1]]
        parts = [forward(*(x[b : b + 1, lo:hi] for x in row_inputs)) for lo, hi in zip(starts, starts[1:])]
        rows.append(torch.cat(parts, 1))
    return torch.cat(rows)


def next_token_loss(logits, targets, learn):
    nll = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
    return (nll * learn.flatten()).sum(), learn.sum()


# ---- pictures ----


class Mlp(torch.nn.Module):
    def __init__(self, widths):
        super().__init__()
        self.layers = torch.nn.ModuleList(torch.nn.Linear(a, b) for a, b in zip(widths, widths[1:]))

    def forward(self, image):
        x = image.flatten(1)
        for layer in self.layers[:-1]:
            x = torch.relu(layer(x))
        return self.layers[-1](x)


class LeNet5(torch.nn.Module):
    def __init__(self, size, c1, c2, f1, f2, out):
        super().__init__()
        side = (size // 2 - 4) // 2
        self.conv1, self.conv2 = torch.nn.Conv2d(1, c1, 5, padding=2), torch.nn.Conv2d(c1, c2, 5)
        self.fc1, self.fc2, self.fc3 = (
            torch.nn.Linear(c2 * side**2, f1), torch.nn.Linear(f1, f2), torch.nn.Linear(f2, out))  # fmt: skip

    def forward(self, image):
        x = F.max_pool2d(torch.relu(self.conv1(image)), 2)
        x = F.max_pool2d(torch.relu(self.conv2(x)), 2)
        return self.fc3(torch.relu(self.fc2(torch.relu(self.fc1(x.flatten(1))))))


def class_loss(z, call, logits, classes, lr, **inputs):
    """The loss of a classifier, with gradients and a course of training."""

    def loss(label, **rest):
        return F.cross_entropy(logits(**rest), label, reduction="sum"), len(label)

    rows = len(next(iter(inputs.values())))
    z.case("loss", call, loss, **inputs, label=ids(classes, rows))
    z.train("loss", loss, lr)


def record_mlp():
    model = randomize(Mlp([784, 8, 5, 10]))
    z = Zoo("mlp", [model], sets=["model.mlp.widths=[784, 8, 5, 10]"])
    z.case("logits", "mlp", model, image=picture(3, 28, 28))
    class_loss(z, "mlp_loss", model, 10, 1e-3, image=picture(3, 28, 28))
    z.write()


def record_convnet():
    zoos = {}
    for name, size, out in ("convnet", 28, 10), ("convnet_odd", 17, 4):
        model = randomize(LeNet5(size, 2, 3, 8, 6, out))
        z = Zoo(name, [model], sets=settings("convnet", size=size, C1=2, C2=3, F1=8, F2=6, Out=out))
        z.case("logits", "convnet", model, image=picture(2, 1, size, size))
        zoos[name] = z
    whole = zoos["convnet"]
    class_loss(whole, "convnet_loss", whole.modules[0], 10, 1e-3, image=picture(3, 1, 28, 28))
    for z in zoos.values():
        z.write()


def record_vit():
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, image_size=12,
        patch_size=4, num_labels=5, hidden_dropout_prob=0, attention_probs_dropout_prob=0,
        attn_implementation="sdpa")  # fmt: skip
    model = randomize(transformers.ViTForImageClassification(config))
    z = Zoo("vit", [model], sets=settings("vit", size=12, P=4, D=16, L=2, H=2, F=24, Out=5))
    z.case("logits", "vit", lambda image: model(image).logits, image=picture(2, 3, 12, 12))
    z.case("hidden", "vit.hidden", lambda image: model.vit(image).last_hidden_state, image=picture(1, 3, 12, 12))
    class_loss(z, "vit_loss", lambda image: model(image).logits, 5, 3e-4, image=picture(3, 3, 12, 12))
    z.write()


def clip_vision_config(layers):
    return dict(hidden_size=16, intermediate_size=24, num_hidden_layers=layers, num_attention_heads=2, image_size=12,
                patch_size=4, projection_dim=8, attn_implementation="sdpa")  # fmt: skip


def record_clip_vit():
    model = randomize(transformers.CLIPVisionModel(transformers.CLIPVisionConfig(**clip_vision_config(3))))
    z = Zoo("clip_vit", [model], sets=settings("clip_vit", size=12, P=4, D=16, L=3, H=2, F=24))
    image = picture(2, 3, 12, 12)
    z.case("pooled", "clip_vit", lambda image: model(image).pooler_output, image=image)
    z.case("hidden", "clip_vit.hidden", lambda image: model(image).last_hidden_state, image=image)
    z.case("features", "clip_vit.features",
           lambda image: model(image, output_hidden_states=True).hidden_states[-2][:, 1:], image=image)  # fmt: skip
    z.write()


# ---- text ----


def record_bert():
    config = transformers.BertConfig(
        vocab_size=40, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
        max_position_embeddings=12, type_vocab_size=2, hidden_dropout_prob=0, attention_probs_dropout_prob=0,
        attn_implementation="sdpa")  # fmt: skip
    model = randomize(transformers.BertModel(config))
    z = Zoo("bert", [model], sets=settings("bert", V=40, D=16, L=2, H=2, F=24, Ctx=12))
    valid = np.array([[1] * 7, [1] * 4 + [0] * 3], bool)
    text = dict(tokens=ids(40, 2, 7), pos=positions([7], [7]), valid=valid)
    parts = np.array([[0, 0, 0, 1, 1, 1, 1], [0, 0, 1, 1, 0, 0, 0]], np.int32)

    def run(tokens, pos, valid, type=None):
        return model(tokens, attention_mask=valid.long(), position_ids=pos, token_type_ids=type)

    def sentence(tokens, pos, valid):
        x = run(tokens, pos, valid).last_hidden_state * valid[..., None]
        return F.normalize(x.sum(1) / valid.sum(1, keepdim=True), dim=1)

    z.case("hidden", "bert", lambda **a: run(**a).last_hidden_state, **text)
    z.case("pair", "bert", lambda **a: run(**a).last_hidden_state, **text, type=parts)
    z.case("pooled", "bert.pooled", lambda **a: run(**a).pooler_output, **text, type=parts)
    z.case("sentence", "bert.sentence", sentence, **text)
    class_loss(z, "bert_loss", lambda **a: run(**a).pooler_output, 16, 2e-3, **text, type=parts)
    z.write()


def language_cases(z, name, model, vocabulary):
    """Whole rows, packed rows, and the loss of packed rows with its gradients."""

    def logits(tokens, pos):
        return by_sample(lambda t: model(t).logits, pos, tokens)

    whole = dict(tokens=ids(vocabulary, 2, 7), pos=positions([7], [7]))
    packed = dict(tokens=ids(vocabulary, 2, 9), pos=positions([4, 5], [2, 6, 1]))
    z.case("logits", name, logits, **whole)
    z.case("packed", name, logits, **packed)
    learn = RNG.uniform(0, 1, (2, 9)) < 0.7

    def loss(tokens, pos, targets, learn):
        return next_token_loss(logits(tokens, pos), targets, learn)

    z.case("loss", f"{name}_loss", loss, **packed, targets=ids(vocabulary, 2, 9), learn=learn)
    z.train("loss", loss, 5e-4)


def record_gpt2():
    config = transformers.GPT2Config(
        vocab_size=40, n_embd=16, n_layer=2, n_head=2, n_positions=12, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0,
        attn_implementation="sdpa")  # fmt: skip
    model = randomize(transformers.GPT2LMHeadModel(config))
    z = Zoo("gpt2", [model], lambda key: key.removeprefix("transformer."),
            settings("gpt2", V=40, D=16, L=2, H=2, Ctx=12))  # fmt: skip
    language_cases(z, "gpt2", model, 40)
    z.write()


def llama_config(cls, **more):
    return cls(**{**dict(vocab_size=40, hidden_size=16, num_hidden_layers=2, num_attention_heads=4,
               num_key_value_heads=2, intermediate_size=24, attn_implementation="sdpa"), **more})  # fmt: skip


def record_llama():
    model = randomize(transformers.LlamaForCausalLM(llama_config(transformers.LlamaConfig, rms_norm_eps=1e-5)))
    z = Zoo("llama", [model], sets=settings("llama", V=40, D=16, L=2, H=4, KV=2, F=24))
    language_cases(z, "llama", model, 40)
    z.write()


def mistral_config():
    return llama_config(transformers.MistralConfig, rope_theta=1e6, rms_norm_eps=1e-5, sliding_window=None)


def record_mistral():
    model = randomize(transformers.MistralForCausalLM(mistral_config()))
    z = Zoo("mistral", [model], sets=settings("mistral", V=40, D=16, L=2, H=4, KV=2, F=24))
    z.case("logits", "mistral", lambda tokens, pos: model(tokens).logits,
           tokens=ids(40, 1, 7), pos=positions([7]))  # fmt: skip
    z.write()


# ---- both ----


def record_clip():
    text = dict(vocab_size=40, hidden_size=12, intermediate_size=20, num_hidden_layers=2, num_attention_heads=3,
                max_position_embeddings=9, projection_dim=8, eos_token_id=39, bos_token_id=38)  # fmt: skip
    config = transformers.CLIPConfig(text_config=text, vision_config=clip_vision_config(2), projection_dim=8,
                                     attn_implementation="sdpa")  # fmt: skip
    model = randomize(transformers.CLIPModel(config))
    with torch.no_grad():
        model.logit_scale.fill_(1.2)
    z = Zoo("clip", [model], sets=settings("clip", E=8, size=12, P=4, D=16, L=2, H=2, F=24, V=40, Ctx=9, Dt=12,
                                           Lt=2, Ht=3, Ft=20))  # fmt: skip
    tokens = ids(38, 3, 8)
    last = np.array([7, 4, 2], np.int32)
    tokens[np.arange(3), last] = 39
    words = dict(tokens=tokens, pos=positions([8], [8], [8]), last=last)

    def run(image, tokens):
        return model(input_ids=tokens, pixel_values=image)

    def loss(image, tokens, pos, last):
        z, partner = run(image, tokens).logits_per_image, torch.arange(3)
        return 0.5 * (F.cross_entropy(z, partner, reduction="sum") + F.cross_entropy(z.T, partner, reduction="sum")), 3

    def text_hidden(tokens, pos):
        return model.text_model(tokens).last_hidden_state

    z.case("hidden", "clip.text.hidden", text_hidden, tokens=tokens, pos=words["pos"])
    z.case("caption", "clip.caption", lambda tokens, pos, last: run(torch.zeros(1, 3, 12, 12), tokens).text_embeds, **words)
    z.case("picture", "clip.picture", lambda image: run(image, torch.tensor([[39]])).image_embeds, image=picture(2, 3, 12, 12))
    z.case("fit", "clip", lambda image, tokens, pos, last: run(image, tokens).logits_per_image,
           image=picture(2, 3, 12, 12), **words)  # fmt: skip
    z.case("loss", "clip.loss", loss, image=picture(3, 3, 12, 12), **words)
    z.train("loss", loss, 1e-4)
    z.write()


def published_key(key):
    """From the layout of Transformers to that of the checkpoints of LLaVA."""
    for ours, theirs in (("language_model.", ""), ("multi_modal_projector.linear_1", "model.mm_projector.0"),
                         ("multi_modal_projector.linear_2", "model.mm_projector.2"),
                         ("vision_tower.", "model.vision_tower.vision_tower.")):  # fmt: skip
        if key.startswith(ours):
            return theirs + key[len(ours):]
    raise KeyError(key)


LLAVA = dict(size=12, P=4, Dv=16, Lv=3, Hv=2, Fv=24, D=16, L=2, H=4, F=24)
IMAGE = 39


def llava_row(*parts):
    """Numbers are so many tokens of text, "image" is the nine slots of a picture."""
    return np.concatenate([np.full(9, IMAGE) if p == "image" else RNG.integers(0, IMAGE, p) for p in parts])


def llava_batch(*rows):
    rows = [llava_row(*row) for row in rows]
    longest = max(map(len, rows))
    tokens = np.stack([np.pad(row, (0, longest - len(row))) for row in rows]).astype(np.int32)
    valid = np.stack([np.arange(longest) < len(row) for row in rows])
    slots = tokens == IMAGE
    return dict(tokens=tokens, pos=positions(*([longest] for _ in rows)), slots=slots,
                images=picture(int(slots.sum()) // 9, 3, 12, 12)), valid  # fmt: skip


def promised(logits, valid):
    return logits.masked_fill(~torch.from_numpy(valid)[..., None], float("nan"))


def record_llava_med():
    config = transformers.LlavaConfig(
        vision_config=transformers.CLIPVisionConfig(**clip_vision_config(3)), text_config=mistral_config(),
        image_token_index=IMAGE, vision_feature_layer=-2, vision_feature_select_strategy="default",
        projector_hidden_act="gelu", attn_implementation="sdpa")  # fmt: skip
    model = randomize(transformers.LlavaForConditionalGeneration(config))
    z = Zoo("llava_med", [model], published_key, settings("llava", **LLAVA, V=40, KV=2))
    batch, valid = llava_batch((3, "image", 4), ("image", 2, "image", 1), (5,))

    def logits(tokens, pos, images, slots):
        return promised(model(input_ids=tokens, pixel_values=images,
                              attention_mask=torch.from_numpy(valid).long()).logits, valid)  # fmt: skip

    z.case("logits", "llava", logits, **batch)
    learn = valid & ~batch["slots"] & (RNG.uniform(0, 1, valid.shape) < 0.8)

    def loss(tokens, pos, images, slots, targets, learn):
        return next_token_loss(logits(tokens, pos, images, slots).nan_to_num(), targets, learn)

    z.case("loss", "llava_loss", loss, **batch, targets=ids(40, *valid.shape), learn=learn)
    z.train("loss", loss, 1e-3, only=lambda key: "vision_tower" not in key)
    z.write()


def record_llava_med_v1():
    tower = randomize(transformers.CLIPVisionModel(transformers.CLIPVisionConfig(**clip_vision_config(3))))
    llm = randomize(transformers.LlamaForCausalLM(llama_config(
        transformers.LlamaConfig, vocab_size=44, num_key_value_heads=4, rms_norm_eps=1e-6)))  # fmt: skip
    projector = randomize(torch.nn.Linear(16, 16))
    whole = torch.nn.Module()
    whole.vision_tower, whole.mm_projector, whole.llm = tower, projector, llm
    keys = {"vision_tower.": "model.vision_tower.vision_tower.", "mm_projector.": "model.mm_projector.", "llm.": ""}

    def rename(key):
        start = next(k for k in keys if key.startswith(k))
        return keys[start] + key[len(start):]

    z = Zoo("llava_med_v1", [whole], rename, settings("llava", **LLAVA, V=44))
    batch, valid = llava_batch((2, "image", 5), (4,))

    def logits(tokens, pos, images, slots):
        seen = projector(tower(images, output_hidden_states=True).hidden_states[-2][:, 1:])
        x = llm.model.embed_tokens(tokens).clone()
        x[slots] = seen.flatten(0, 1)
        return promised(llm(inputs_embeds=x).logits, valid)

    z.case("logits", "llava", logits, **batch)
    z.write()


if __name__ == "__main__":
    torch.set_num_threads(1)
    for one in (record_mlp, record_convnet, record_vit, record_clip_vit, record_bert, record_gpt2, record_llama,
                record_mistral, record_clip, record_llava_med, record_llava_med_v1):  # fmt: skip
        RNG = np.random.default_rng(sum(map(ord, one.__name__)))
        one()
