"""A function under construction: arguments, statements, results."""
import numpy as np


class NotApplicable(Exception):
    pass


TYPES = {"float64": "f64", "float32": "f32", "float16": "f16", "bfloat16": "bf16", "int64": "i64", "int32": "i32",
         "int16": "i16", "int8": "i8", "uint8": "u8", "bool": "bool", "float8_e4m3fn": "f8e4m3",
         "float8_e5m2": "f8e5m2"}


def idx(n, letter="i"):
    return [f"{letter}{k}" for k in range(n)]


def num(v):
    v = np.asarray(v).reshape(()).item()
    if isinstance(v, bool):
        return "true" if v else "false"
    if isinstance(v, int):
        return str(v)
    if np.isinf(v):
        return "inf" if v > 0 else "-inf"
    if np.isnan(v):
        raise NotApplicable("a constant NaN")
    return repr(float(v))


def shape_text(shape):
    return "[" + ", ".join(str(int(d)) for d in shape) + "]"


def reference(name, shape, names, last=()):
    """`name` read at `names`, aligned to the right and repeated where its extent is 1, then at `last`."""
    at = [("0" if d == 1 else n) for d, n in zip(shape, names[len(names) - len(shape):])] + list(last)
    return f"{name}[{', '.join(at)}]" if at else name


class Case:
    def __init__(self, node, attrs, known, want, opset):
        self.op, self.attrs, self.want, self.opset = node.op_type, attrs, want, opset
        self.inputs, self.body, self.results = {}, [], list(range(len(want)))
        self.tolerance, self.values, self.bits = None, [], False
        self.outputs = [n for n in node.output if n]
        self.sequence = any(isinstance(known.get(n), list) for n in node.input)
        self.array = [None if not n or n not in known else np.asarray(known[n]) for n in node.input]
        self.used = [n is not None for n in self.array]

    def attr(self, name, default):
        return self.attrs.get(name, default)

    def given(self, i):
        return i < len(self.array) and self.array[i] is not None

    def const(self, i):
        """An input that becomes a constant of the text."""
        if not self.given(i):
            raise NotApplicable("a missing input")
        self.used[i] = False
        return self.array[i]

    def types(self, dtype):
        if dtype.name not in TYPES:
            raise NotApplicable(f"no element type {dtype.name}")
        return TYPES[dtype.name]

    def dtype(self, i):
        t = self.types(self.array[i].dtype)
        return "f32" if t in ("f16", "bf16") else t

    def want_dtype(self, i):
        return self.want[i].dtype

    def names(self):
        return [f"x{i}" for i, used in enumerate(self.used) if used]

    def say(self, *lines):
        self.body += lines

    def result(self, *texts):
        self.values = list(texts)
        self.results = list(range(len(texts)))

    def spread(self, text, shape, out):
        names = idx(len(out))
        ref = reference(text, shape, names)
        if names:
            self.say(f"y[{', '.join(names)}]: {self.dtype(0)}{shape_text(out)} = {ref}")
            self.result("y")
        else:
            self.result(text)

    def elementwise(self, text, names):
        """`text` over the named operands, broadcast as NumPy does: plainly where the language does so
        too (equal shapes, suffixes), else by an equation."""
        arrays = [self.array[i] for i in range(len(names))]
        out = np.broadcast_shapes(*[a.shape for a in arrays])
        plain = all(a.shape == out[len(out) - a.ndim:] for a in arrays)
        at = idx(len(out))
        refs = [f"x{i}" if plain else reference(f"x{i}", a.shape, at) for i, a in enumerate(arrays)]
        words = dict(zip(names, refs))
        expr = "".join(words.get(w, w) for w in split_words(text))
        if plain:
            self.result(expr)
        else:
            self.say(f"y[{', '.join(at)}]: {self.result_type()}{shape_text(out)} = {expr}")
            self.result("y")

    def result_type(self):
        t = self.types(self.want[0].dtype)
        return "f32" if t in ("f16", "bf16") else t

    def finish(self):
        formals, first = [], []
        for i, a in enumerate(self.array):
            if not self.used[i]:
                continue
            if a.dtype.kind in "OSU":
                raise NotApplicable("strings")
            t = self.types(a.dtype)
            if t in ("bf16", "f8e4m3", "f8e5m2"):
                a, t = a.astype(np.float32), "f32"
            if t == "f16" and not self.bits:
                first.append(f"x{i} = f32(x{i})")
            formals.append(f"x{i}: {t}{shape_text(a.shape) if a.ndim else ''}")
            self.inputs[f"x{i}"] = a
        value = self.values[0] if len(self.values) == 1 else "(" + ", ".join(self.values) + ")"
        lines = first + self.body + [value]
        self.text = f"fn f({', '.join(formals)}) {{\n" + "".join(f"  {x}\n" for x in lines) + "}\n"


def split_words(text):
    word, out = "", []
    for ch in text + "\0":
        if ch.isalnum() or ch == "_":
            word += ch
            continue
        if word:
            out.append(word)
        word = ""
        if ch != "\0":
            out.append(ch)
    return out
