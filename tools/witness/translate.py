"""One ONNX node as a .mdl function `f` of its tensor inputs x0, x1, ...

Every translation says what the operator means by the language's own operations; sizes, attributes and
inputs that must be known at compile time (shapes, axes) become constants of the text."""
import re

import numpy as np

import windows
from case import Case, NotApplicable, idx, num, reference, shape_text

RULES = {}


def rule(*names):
    def add(fn):
        for name in names:
            RULES[name] = fn
        return fn
    return add


def translate(node, attrs, known, want, opset):
    if node.op_type not in RULES:
        raise NotApplicable(f"no counterpart: {node.op_type}")
    case = Case(node, attrs, known, want, opset)
    RULES[node.op_type](case)
    case.finish()
    return case


# ---- elementwise ----

UNARY = {"Ceil": "ceil(a)", "Cos": "cos(a)", "Exp": "exp(a)", "Floor": "floor(a)", "Neg": "-a", "Round": "round(a)",
         "Sigmoid": "sigmoid(a)", "Sign": "sign(a)", "Sin": "sin(a)", "Sqrt": "sqrt(a)", "Tanh": "tanh(a)",
         "Erf": "erf(a)", "Abs": "abs(a)", "Log": "log(a)", "Reciprocal": "1 / a", "Softplus": "softplus(a)",
         "Relu": "relu(a)", "Identity": "a", "Not": "not a", "Softsign": "a / (1 + abs(a))",
         "IsNaN": "a != a", "Mish": "a * tanh(softplus(a))"}


@rule(*UNARY)
def unary(c):
    if c.sequence:
        raise NotApplicable("sequences")
    c.elementwise(UNARY[c.op], ["a"])


@rule("Elu")
def elu(c):
    c.elementwise(f"select(a < 0, {num(c.attr('alpha', 1.0))} * expm1(a), a)", ["a"])


@rule("Selu")
def selu(c):
    g, alpha = c.attr("gamma", 1.0507009873554805), c.attr("alpha", 1.6732632423543772)
    c.elementwise(f"{num(g)} * select(a > 0, a, {num(alpha)} * expm1(a))", ["a"])


@rule("LeakyRelu")
def leaky(c):
    c.elementwise(f"select(a < 0, {num(c.attr('alpha', 0.01))} * a, a)", ["a"])


@rule("PRelu")
def prelu(c):
    x, slope = c.array[0], c.array[1]
    if slope.shape == x.shape[1:2] and x.ndim > 2:  # of the channels, as older models have it
        names = idx(x.ndim)
        at = ", ".join(names)
        c.say(f"y[{at}] = select(x0[{at}] < 0, x1[i1] * x0[{at}], x0[{at}])")
        c.result("y")
        return
    c.elementwise("select(a < 0, b * a, a)", ["a", "b"])


@rule("HardSigmoid")
def hard_sigmoid(c):
    c.elementwise(f"clamp({num(c.attr('alpha', 0.2))} * a + {num(c.attr('beta', 0.5))}, 0, 1)", ["a"])


@rule("Gelu")
def gelu(c):
    c.elementwise("gelu_tanh(a)" if c.attr("approximate", b"none") == b"tanh" else "gelu(a)", ["a"])


@rule("IsInf")
def is_inf(c):
    neg, pos = c.attr("detect_negative", 1), c.attr("detect_positive", 1)
    sides = (["a == -inf"] if neg else []) + (["a == inf"] if pos else [])
    c.elementwise(" or ".join(sides) if sides else "a != a and a == a", ["a"])


@rule("SwiGLU")
def swiglu(c):
    if set(c.attrs) - {"alpha"}:
        raise NotApplicable("clamps")
    c.elementwise(f"a * sigmoid({num(c.attr('alpha', 1.0))} * a) * b", ["a", "b"])


@rule("Clip")
def clip(c):
    lo = c.const(1) if c.given(1) else c.attrs.get("min")
    hi = c.const(2) if c.given(2) else c.attrs.get("max")
    text = "a"
    text = text if lo is None else f"max({text}, {num(lo)})"
    text = text if hi is None else f"min({text}, {num(hi)})"
    c.elementwise(text, ["a"])


BINARY = {"Add": "a + b", "Sub": "a - b", "Mul": "a * b", "Max": "max", "Min": "min", "And": "a and b",
          "Or": "a or b", "Xor": "a != b", "Equal": "a == b", "Greater": "a > b", "GreaterOrEqual": "a >= b",
          "Less": "a < b", "LessOrEqual": "a <= b"}


@rule("Add", "Sub", "Mul", "And", "Or", "Xor", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")
def binary(c):
    if c.array[0].dtype.kind in "OSU":
        raise NotApplicable("strings")
    c.elementwise(BINARY[c.op], ["a", "b"])


@rule("Div")
def div(c):
    whole = c.array[0].dtype.kind in "iu"
    if not whole:
        c.elementwise("a / b", ["a", "b"])
    elif (c.array[0] >= 0).all() and (c.array[1] > 0).all():
        c.elementwise("a // b", ["a", "b"])
    else:
        c.elementwise(f"trunc(f64(a) / f64(b)) as {c.dtype(0)}", ["a", "b"])


@rule("Mod")
def mod(c):
    real = c.array[0].dtype.kind == "f"
    if not real and not c.attr("fmod", 0):
        c.elementwise("a % b", ["a", "b"])
    elif real:
        c.elementwise("a - b * trunc(a / b)", ["a", "b"])
    else:
        c.elementwise(f"a - b * (trunc(f64(a) / f64(b)) as {c.dtype(0)})", ["a", "b"])


@rule("Pow")
def power(c):
    a, b = c.array[0].dtype, c.array[1].dtype
    base = "a" if a.kind == "f" else "f64(a)"
    exponent = ("b" if a.kind == "f" and b == a else f"{c.dtype(0) if a.kind == 'f' else 'f64'}(b)")
    c.elementwise(f"{base} ** {exponent}" if a.kind == "f"
                  else f"round({base} ** {exponent}) as {c.dtype(0)}", ["a", "b"])


@rule("BitShift")
def shift(c):
    """Of numbers that are not negative; what leaves the type on the left is lost."""
    t = c.dtype(0)
    if c.attr("direction", b"") == b"LEFT":
        c.elementwise(f"a * (round(f64(2) ** f64(b)) as {t})", ["a", "b"])
    else:
        c.elementwise(f"floor(f64(a) / f64(2) ** f64(b)) as {t}", ["a", "b"])


@rule("Where")
def where(c):
    c.elementwise("select(a, b, d)", ["a", "b", "d"])


@rule("Sum", "Mean", "Max", "Min")
def variadic(c):
    names = [f"v{i}" for i in range(len(c.array))]
    if c.op in ("Sum", "Mean"):
        text = " + ".join(names)
        text = f"({text}) / {len(names)}" if c.op == "Mean" else text
    else:
        text = names[0]
        for n in names[1:]:
            text = f"{c.op.lower()}({text}, {n})"
    c.elementwise(text, names)


@rule("Cast")
def cast(c):
    """In bits: a cast is where numbers are rounded."""
    a, to = c.types(c.array[0].dtype), c.types(c.want_dtype(0))
    if to.startswith("f8") and c.attr("saturate", 1):
        raise NotApplicable("casts to FP8 that saturate")
    c.bits = True
    text = "x0" if a not in ("bf16", "f8e4m3", "f8e5m2") else f"(x0 as {a})"
    text = f"trunc(f32({text})) as {to}" if a[0] in "fb" and a != "bool" and to[0] in "iu" else f"{text} as {to}"
    c.result(f"f32({text})" if to in ("bf16", "f8e4m3", "f8e5m2") else text)


# ---- folds ----

FOLDS = {"ReduceSum": ("sum", "x0"), "ReduceMean": ("mean", "x0"), "ReduceMax": ("amax", "x0"),
         "ReduceMin": ("amin", "x0"), "ReduceProd": ("prod", "x0"), "ReduceL1": ("sum", "abs(x0)"),
         "ReduceL2": ("sum", "x0 * x0"), "ReduceSumSquare": ("sum", "x0 * x0"), "ReduceLogSum": ("sum", "x0"),
         "ReduceLogSumExp": ("sum", "exp(x0)")}


@rule(*FOLDS)
def fold(c):
    fn, arg = FOLDS[c.op]
    axes = c.attrs.get("axes", list(map(int, c.const(1))) if c.given(1) else None)
    rank = c.array[0].ndim
    if c.array[0].dtype == bool:
        arg = "u8(x0)"
    if not axes:
        axes = [] if c.attr("noop_with_empty_axes", 0) else list(range(rank))
    last = {"ReduceL2": "sqrt(y)", "ReduceLogSum": "log(y)", "ReduceLogSumExp": "log(y)"}.get(c.op, "y")
    c.say(f"y = {fn}({arg}, axis: {axis_text(axes)})" if axes else f"y = {arg}")
    out = f"({last})" if last != "y" else "y"
    out = f"{out} as {shape_text(c.want[0].shape)}"
    c.result(f"{out} as bool" if c.array[0].dtype == bool else out)


def axis_text(axes):
    return str(axes[0]) if len(axes) == 1 else "(" + ", ".join(map(str, axes)) + ")"


@rule("ArgMax", "ArgMin")
def arg_fold(c):
    axis, fn = c.attr("axis", 0), c.op.lower()
    n = c.array[0].shape[axis]
    last = c.attr("select_last_index", 0)
    text = f"{n - 1} - {fn}(flip(x0, axis: {axis}), axis: {axis})" if last else f"{fn}(x0, axis: {axis})"
    c.result(f"({text}) as {shape_text(c.want[0].shape)}")


@rule("CumSum")
def cumsum(c):
    axis = int(np.asarray(c.const(1)).reshape(()))
    text = "x0"
    reverse = c.attr("reverse", 0)
    if reverse:
        text = f"flip({text}, axis: {axis})"
    text = f"cumsum({text}, axis: {axis})"
    if reverse:
        text = f"flip({text}, axis: {axis})"
    c.result(f"{text} - x0" if c.attr("exclusive", 0) else text)


@rule("TopK")
def topk(c):
    k, axis = int(np.asarray(c.const(1)).reshape(())), c.attr("axis", -1)
    if not c.attr("sorted", 1):
        raise NotApplicable("results in any order")
    if c.attr("largest", 1):
        c.say(f"t = topk(x0, {k}, axis: {axis})")
        c.result("t.0", "t.1")
    else:
        a = axis % c.array[0].ndim
        cut = ", ".join(":" if i != a else f":{k}" for i in range(c.array[0].ndim))
        c.say(f"v = sort(x0, axis: {axis})", f"o = argsort(x0, axis: {axis})")
        c.result(f"v[{cut}]", f"o[{cut}]")


# ---- along an axis ----

def with_last_axis(c, axis, text):
    """text of a tensor x0 whose last axis is `axis`, and back."""
    rank = c.array[0].ndim
    axis %= rank
    if axis == rank - 1:
        c.result(text)
        return
    order = [i for i in range(rank) if i != axis] + [axis]
    names = idx(rank)
    moved = ", ".join(names[i] for i in order)
    c.say(f"m[{moved}] = x0[{', '.join(names)}]", f"r = {text.replace('x0', 'm')}",
          f"y[{', '.join(names)}] = r[{moved}]")
    c.result("y")


@rule("Softmax", "LogSoftmax", "Hardmax")
def softmax(c):
    fn = {"Softmax": "softmax", "LogSoftmax": "log_softmax"}.get(c.op)
    if not fn:
        raise NotApplicable("no counterpart: Hardmax")
    s = c.array[0].shape
    if c.opset < 13:
        axis = c.attr("axis", 1) % len(s)
        flat = shape_text([int(np.prod(s[:axis])), int(np.prod(s[axis:]))])
        c.result(f"{fn}(x0 as {flat}) as {shape_text(s)}")
    else:
        with_last_axis(c, c.attr("axis", -1), f"{fn}(x0)")


@rule("LayerNormalization")
def layer_norm(c):
    s = c.array[0].shape
    axis, eps = c.attr("axis", -1) % len(s), c.attr("epsilon", 1e-5)
    n = int(np.prod(s[axis:]))
    flat = shape_text([int(np.prod(s[:axis])), n])
    bias = f"x2 as [{n}]" if c.given(2) else None
    c.say(f"h = x0 as {flat}", f"w = x1 as [{n}]", "m[r] += h[r, d] / " + str(n),
          f"v[r] += (h[r, d] - m[r]) ** 2 / {n}", f"i = rsqrt(v + {num(eps)})")
    c.say(f"b = {bias}" if bias else f"b = 0 * w")
    rest = shape_text(c.want[1].shape) if len(c.want) > 1 else None
    more = [f"m as {rest}", f"i as {rest}"][: len(c.want) - 1] if rest else []
    c.result(f"layer_norm(h, w, b, eps: {num(eps)}) as {shape_text(s)}", *more)


@rule("RMSNormalization")
def rms_norm(c):
    s = c.array[0].shape
    axis, eps = c.attr("axis", -1) % len(s), c.attr("epsilon", 1e-5)
    n = int(np.prod(s[axis:]))
    if c.array[1].size != n:
        raise NotApplicable("scale of another shape")
    c.result(f"rms_norm(x0 as {shape_text([int(np.prod(s[:axis])), n])}, x1 as [{n}], eps: {num(eps)}) "
             f"as {shape_text(s)}")


@rule("GroupNormalization", "InstanceNormalization")
def group_norm(c):
    channels = c.array[0].shape[1]
    groups = channels if c.op[0] == "I" else c.attr("num_groups", 1)
    if c.array[1].size != channels:
        raise NotApplicable("scale for groups")
    names = idx(c.array[0].ndim)
    at = ", ".join(names)
    c.say(f"h = group_norm(x0, {groups}, eps: {num(c.attr('epsilon', 1e-5))})",
          f"y[{at}] = h[{at}] * x1[{names[1]}] + x2[{names[1]}]")
    c.result("y")


@rule("BatchNormalization")
def batch_norm(c):
    names = idx(c.array[0].ndim)
    at, k = ", ".join(names), names[1]
    if c.attr("training_mode", 0):
        n, keep = c.array[0].size // c.array[0].shape[1], c.attr("momentum", 0.9)
        c.say(f"m[{k}] += x0[{at}] / {n}", f"v[{k}] += (x0[{at}] - m[{k}]) ** 2 / {n}",
              f"y[{at}] = (x0[{at}] - m[{k}]) * rsqrt(v[{k}] + {num(c.attr('epsilon', 1e-5))}) * x1[{k}] + x2[{k}]")
        c.result("y", f"{num(keep)} * x3 + {num(1 - keep)} * m", f"{num(keep)} * x4 + {num(1 - keep)} * v")
        return
    c.say(f"y[{at}] = (x0[{at}] - x3[{k}]) * rsqrt(x4[{k}] + {num(c.attr('epsilon', 1e-5))}) * x1[{k}] + x2[{k}]")
    c.result("y")


@rule("LRN")
def lrn(c):
    size, alpha = c.attrs["size"], c.attr("alpha", 1e-4)
    n = c.array[0].shape[1]
    lo, hi = (size - 1) // 2, size - 1 - (size - 1) // 2
    c.say(f"q = pad(x0 * x0, {lo}, {hi}, axis: 1)",
          f"s[b, c, h, w] += q[b, c + u, h, w] where c in 0..{n}, u in 0..{size}")
    c.result(f"x0 / ({num(c.attr('bias', 1.0))} + {num(alpha / size)} * s) ** {num(c.attr('beta', 0.75))}")


# ---- products ----

@rule("MatMul")
def matmul(c):
    a, b = c.array[0], c.array[1]
    out = list(c.want[0].shape)
    names = idx(len(out))
    if a.ndim < 2 or b.ndim < 2:
        left = names[: a.ndim - 1] + ["k"]
        right = (["k"] if b.ndim == 1 else names[len(names) - (b.ndim - 1):][:b.ndim - 2] + ["k"] + names[-1:])
        target = f"y[{', '.join(names)}]" if names else "y"
        c.say(f"{target} += x0[{', '.join(left)}] * x1[{', '.join(right)}]")
        c.result("y")
        return
    if a.ndim == b.ndim == 2:
        c.result("x0 @ x1")
        return
    batch = names[:-2]
    left = reference("x0", a.shape[:-2], batch, [names[-2], "k"])
    right = reference("x1", b.shape[:-2], batch, ["k", names[-1]])
    c.say(f"y[{', '.join(names)}]: {c.dtype(0)}{shape_text(out)} += {left} * {right}")
    c.result("y")


@rule("Gemm")
def gemm(c):
    a = "x0[k, i]" if c.attr("transA", 0) else "x0[i, k]"
    b = "x1[j, k]" if c.attr("transB", 0) else "x1[k, j]"
    c.say(f"p[i, j] += {a} * {b}")
    text = f"{num(c.attr('alpha', 1.0))} * p[i, j]"
    if c.given(2):
        text += f" + {num(c.attr('beta', 1.0))} * {reference('x2', c.array[2].shape, ['i', 'j'])}"
    c.say(f"y[i, j] = {text}")
    c.result("y")


@rule("Einsum")
def einsum(c):
    eq = c.attrs["equation"].decode().replace(" ", "")
    left, right = eq.split("->")
    terms = []
    for i, t in enumerate(left.split(",")):
        terms.append(f"x{i}[{', '.join(letters(t))}]")
    target = f"y[{', '.join(letters(right))}]" if right else "y"
    summed = set(re.sub(r"\W", "", left)) - set(right)
    c.say(f"{target} {'+=' if summed else '='} {' * '.join(terms)}")
    c.result("y")


def letters(text):
    return [".." if t == "..." else t for t in re.findall(r"\.\.\.|\w", text)]


# ---- shapes ----

@rule("Shape", "Size")
def extents(c):
    """What the compiler knows of an argument, as numbers of the run."""
    if c.op == "Size":
        c.say("y: i64 = count(x0)")
    else:
        sizes = [f"len(x0{'[' + ', '.join('0' * k) + ']' if k else ''})" for k in range(c.array[0].ndim)]
        sizes = sizes[slice(c.attr("start", 0), c.attr("end", None))]
        text = "0"
        for k, size in reversed(list(enumerate(sizes))):
            text = f"select(i0 == {k}, {size}, {text})"
        c.say(f"y[i0]: i64[{len(sizes)}] = {text}")
    c.result("y")


@rule("Reshape", "Flatten", "Squeeze", "Unsqueeze")
def reshape(c):
    c.result(f"x0 as {shape_text(c.want[0].shape)}")


@rule("Transpose")
def transpose(c):
    rank = c.array[0].ndim
    perm = c.attr("perm", list(range(rank))[::-1])
    names = idx(rank)
    c.say(f"y[{', '.join(names[p] for p in perm)}] = x0[{', '.join(names)}]")
    c.result("y")


@rule("Concat")
def concat(c):
    c.result(f"concat({', '.join(c.names())}, axis: {c.attrs['axis']})")


@rule("Split")
def split(c):
    axis = c.attr("axis", 0)
    sizes = [w.shape[axis] for w in c.want]
    if len(sizes) == 1:
        c.result("x0")
        return
    c.say(f"s = split(x0, ({', '.join(map(str, sizes))}), axis: {axis})")
    c.result(*[f"s.{i}" for i in range(len(sizes))])


@rule("Slice")
def slices(c):
    x = c.array[0]
    if "starts" in c.attrs:
        starts, ends, axes, steps = c.attrs["starts"], c.attrs["ends"], c.attrs.get("axes"), None
    else:
        starts, ends = c.const(1), c.const(2)
        axes = c.const(3) if c.given(3) else None
        steps = c.const(4) if c.given(4) else None
    axes = range(len(starts)) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    parts = [slice(None)] * x.ndim
    for s, e, a, st in zip(starts, ends, axes, steps):
        parts[int(a)] = slice(int(s), int(e), int(st))
    names, at = idx(x.ndim), []
    for i, p in enumerate(parts):
        lo, _, step = p.indices(x.shape[i])
        at.append(f"{lo} + {step} * {names[i]}" if step > 0 else f"{lo} - {-step} * {names[i]}")
    if all(p.step in (None, 1) for p in parts):
        cut = []
        for i, p in enumerate(parts):
            lo, hi, _ = p.indices(x.shape[i])
            cut.append(f"{lo}:{max(lo, hi)}")
        c.result(f"x0[{', '.join(cut)}]")
        return
    c.say(f"y[{', '.join(names)}]: {c.dtype(0)}{shape_text(c.want[0].shape)} = x0[{', '.join(at)}]")
    c.result("y")


@rule("Expand")
def expand(c):
    c.spread("x0", c.array[0].shape, c.want[0].shape)


@rule("Tile")
def tile(c):
    names = idx(c.array[0].ndim)
    at = ", ".join(f"{n} % {s}" for n, s in zip(names, c.array[0].shape))
    c.say(f"y[{', '.join(names)}]: {c.dtype(0)}{shape_text(c.want[0].shape)} = x0[{at}]")
    c.result("y")


@rule("Pad")
def pad(c):
    pads = c.attrs.get("pads", c.const(1) if c.given(1) else None)
    mode = c.attr("mode", b"constant").decode()
    rank = c.array[0].ndim
    axes = [int(a) % rank for a in c.const(3)] if c.given(3) else list(range(rank))
    value = np.asarray(c.const(2)).reshape(()).item() if c.given(2) else c.attr("value", 0)
    text, n = "x0", len(axes)
    for k, a in enumerate(axes):
        lo, hi, size = int(pads[k]), int(pads[k + n]), c.array[0].shape[a]
        if mode == "constant":
            if min(lo, hi) < 0:
                raise NotApplicable("negative pads")
            text = f"pad({text}, {lo}, {hi}, axis: {a}, value: {num(value)})" if lo or hi else text
        elif lo or hi:
            at = {"edge": f"clamp(j, 0, {size - 1})", "wrap": f"j % {size}",
                  "reflect": f"{size - 1} - abs({size - 1} - abs(j))"}[mode]
            names = idx(rank)
            read = ", ".join(names[:a] + [f"k{a}[{names[a]}]"] + names[a + 1:])
            c.say(f"j = iota({lo + size + hi}) - {lo}", f"k{a} = {at}", f"h{a} = {text}",
                  f"p{a}[{', '.join(names)}] = h{a}[{read}]")
            text = f"p{a}"
    c.result(text)


@rule("Trilu")
def trilu(c):
    k = int(np.asarray(c.const(1)).reshape(())) if c.given(1) else 0
    names = idx(c.array[0].ndim)
    at, i, j = ", ".join(names), names[-2], names[-1]
    keep = f"{j} - {i} >= {k}" if c.attr("upper", 1) else f"{j} - {i} <= {k}"
    c.say(f"y[{at}] = select({keep}, x0[{at}], 0)")
    c.result("y")


@rule("EyeLike")
def eye(c):
    n, m = c.array[0].shape
    to = c.types(c.want_dtype(0))
    c.say(f"y[i, j]: {to}[{n}, {m}] = {to}(j - i == {c.attr('k', 0)})")
    c.result("y")


@rule("DepthToSpace", "SpaceToDepth")
def depth_space(c):
    b = c.attrs["blocksize"]
    n, ch, h, w = c.array[0].shape
    if c.op == "SpaceToDepth":
        c.say(f"t = x0 as [{n}, {ch}, {h // b}, {b}, {w // b}, {b}]", "y[n, u, v, c, i, j] = t[n, c, i, u, j, v]")
    elif c.attr("mode", b"DCR") == b"DCR":
        c.say(f"t = x0 as [{n}, {b}, {b}, {ch // b // b}, {h}, {w}]", "y[n, c, i, u, j, v] = t[n, u, v, c, i, j]")
    else:
        c.say(f"t = x0 as [{n}, {ch // b // b}, {b}, {b}, {h}, {w}]", "y[n, c, i, u, j, v] = t[n, c, u, v, i, j]")
    c.result(f"y as {shape_text(c.want[0].shape)}")


@rule("Range")
def ranges(c):
    start, limit, delta = (np.asarray(c.const(i)).reshape(()).item() for i in range(3))
    n = c.want[0].shape[0]
    to = c.types(c.want_dtype(0))
    c.result(f"({num(start)} + {num(delta)} * {to}(iota({n}))) as {to}")


@rule("ConstantOfShape")
def constant_of_shape(c):
    value = c.attrs.get("value")
    from onnx import numpy_helper
    v = numpy_helper.to_array(value).reshape(()).item() if value is not None else 0
    names = idx(c.want[0].ndim)
    c.say(f"y[{', '.join(names)}]: {c.types(c.want_dtype(0))}{shape_text(c.want[0].shape)} = {num(v)}")
    c.result("y")


@rule("Dropout")
def dropout(c):
    if c.given(2) and bool(np.asarray(c.const(2)).reshape(())) and not (c.given(1) and c.const(1) == 0):
        raise NotApplicable("random results")
    if c.given(1):
        c.used[1] = False
    c.result(*(["x0", "x0 == x0"][: len(c.want)]))


# ---- indirect ----

def wrapped(name, at, n):
    """Indices below 0 count from the end, as NumPy's do."""
    return f"select({name}[{at}] < 0, {name}[{at}] + {n}, {name}[{at}])"


@rule("Gather")
def gather(c):
    axis = c.attr("axis", 0) % c.array[0].ndim
    x, ids = c.array[0], c.array[1]
    outer, inner = idx(axis, "p"), idx(x.ndim - axis - 1, "q")
    k = idx(ids.ndim, "k")
    c.say(f"t = select(x1 < 0, x1 + {x.shape[axis]}, x1)")
    at = f"t[{', '.join(k)}]" if k else "t"
    target = ", ".join(outer + k + inner)
    c.say(f"y[{target}] = x0[{', '.join(outer + [at] + inner)}]")
    c.result("y")


@rule("GatherElements")
def gather_elements(c):
    axis = c.attr("axis", 0) % c.array[0].ndim
    names = idx(c.array[0].ndim)
    at = list(names)
    at[axis] = f"t[{', '.join(names)}]"
    c.say(f"t = select(x1 < 0, x1 + {c.array[0].shape[axis]}, x1)",
          f"y[{', '.join(names)}] = x0[{', '.join(at)}]")
    c.result("y")


@rule("GatherND")
def gather_nd(c):
    batch = c.attr("batch_dims", 0)
    x, ids = c.array[0], c.array[1]
    depth = ids.shape[-1]
    k = idx(ids.ndim - 1, "k")
    rest = idx(x.ndim - batch - depth, "q")
    at = k[:batch]
    for d in range(depth):
        at.append(wrapped("x1", ", ".join(k + [str(d)]), x.shape[batch + d]))
    c.say(f"y[{', '.join(k + rest)}] = x0[{', '.join(at + rest)}]")
    c.result("y")


COMBINE = {"add": ("+=", "0", "{a} + {b}"), "mul": ("*=", "1", "{a} * {b}"), "max": ("max=", "-inf", "max({a}, {b})"),
           "min": ("min=", "inf", "min({a}, {b})")}


def scatter(c, hit, names, update):
    """Every target looks at all updates: `hit` says whether one is its own."""
    how = c.attr("reduction", b"none").decode()
    at, shape = ", ".join(names), shape_text(c.want[0].shape)
    if how == "none":
        c.say(f"n[{at}]: i32{shape} += i32({hit})", f"u[{at}]: f32{shape} += select({hit}, {update}, 0)",
              f"y[{at}] = select(n[{at}] > 0, u[{at}], x0[{at}])")
    else:
        fold_op, neutral, join = COMBINE[how]
        c.say(f"u[{at}]: f32{shape} {fold_op} select({hit}, {update}, {neutral})",
              f"y[{at}] = {join.format(a=f'x0[{at}]', b=f'u[{at}]')}")
    c.result("y")


@rule("ScatterElements", "Scatter")
def scatter_elements(c):
    if c.array[0].dtype.kind != "f":
        raise NotApplicable("scatter of integers")
    x, ids = c.array[0], c.array[1]
    axis = c.attr("axis", 0) % x.ndim
    if any(ids.shape[i] != x.shape[i] for i in range(x.ndim) if i != axis):
        raise NotApplicable("scatter into a part")
    names = idx(x.ndim)
    k = list(names)
    k[axis] = "k"
    at = ", ".join(k)
    c.say(f"t = select(x1 < 0, x1 + {x.shape[axis]}, x1)")
    scatter(c, f"t[{at}] == {names[axis]}", names, f"x2[{at}]")


@rule("ScatterND")
def scatter_nd(c):
    x, ids = c.array[0], c.array[1]
    depth = ids.shape[-1]
    names, k = idx(x.ndim), idx(ids.ndim - 1, "k")
    hit = " and ".join(f"t[{', '.join(k + [str(d)])}] == {names[d]}" for d in range(depth))
    if (ids < 0).any():
        raise NotApplicable("negative indices")
    c.say("t = x1")
    scatter(c, hit, names, f"x2[{', '.join(k + names[depth:])}]")


@rule("OneHot")
def one_hot(c):
    depth = int(np.asarray(c.const(1)).reshape(()))
    off, on = (v.item() for v in np.asarray(c.const(2)).reshape(-1))
    rank = c.array[0].ndim
    axis = c.attr("axis", -1) % (rank + 1)
    names = idx(rank)
    target = names[:axis] + ["d"] + names[axis:]
    c.say("r = trunc(x0) as i32" if c.array[0].dtype.kind == "f" else "r = i32(x0)", f"t = select(r < 0, r + {depth}, r)")
    to = c.types(c.want_dtype(0))
    c.say(f"y[{', '.join(target)}]: {to}{shape_text(c.want[0].shape)} = select(t[{', '.join(names)}] == d, {num(on)}, {num(off)})")
    c.result("y")


# ---- losses ----

@rule("NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss")
def nll(c):
    x = c.array[0]
    rest = idx(x.ndim - 2)
    at = ", ".join(["n"] + rest)
    ignore = c.attrs.get("ignore_index")
    how = c.attr("reduction", b"mean").decode()
    if c.op[0] == "S":
        names = ["n", "c"] + rest
        moved = ", ".join(["n"] + rest + ["c"])
        c.say(f"m[{moved}] = x0[{', '.join(names)}]", "l = log_softmax(m)",
              f"z[{', '.join(names)}] = l[{moved}]")
    else:
        c.say("z = x0")
    keep = f"x1[{at}] != {ignore}" if ignore is not None else f"x1[{at}] >= -1000000"
    weight = f"x2[x1[{at}]]" if c.given(2) else "1"
    c.say(f"w[{at}]: f32{shape_text(c.array[1].shape)} = select({keep}, {weight}, 0)",
          f"e[{at}] = -w[{at}] * z[{', '.join(['n', f'x1[{at}]'] + rest)}]")
    out = {"none": "e", "sum": "sum(e, axis: all)", "mean": "sum(e, axis: all) / sum(w, axis: all)"}[how]
    c.result(*([out, "z"][: len(c.want)]))


# ---- attention ----

@rule("Attention")
def attention(c):
    from attention import attention as write
    write(c)


@rule("RotaryEmbedding")
def rotary(c):
    from attention import rotary as write
    write(c)


# ---- quantised numbers ----

@rule("DequantizeLinear")
def dequantize(c):
    if c.array[0].dtype.kind not in "iu" or c.attr("block_size", 0):
        raise NotApplicable("blocks or FP8")
    axis = c.attr("axis", 1)
    names = idx(c.array[0].ndim)
    k = names[axis % len(names)] if c.array[1].ndim else None
    at = ", ".join(names)
    zero = (f"i32(x2{f'[{k}]' if k else ''})" if c.given(2) else "0")
    c.say(f"y[{at}] = f32(i32(x0[{at}]) - {zero}) * x1{f'[{k}]' if k else ''}")
    c.result("y")


@rule("QuantizeLinear")
def quantize(c):
    to = c.types(c.want_dtype(0))
    if to[0] not in "iu" or c.attr("block_size", 0):
        raise NotApplicable("blocks or FP8")
    axis = c.attr("axis", 1)
    names = idx(c.array[0].ndim)
    k = names[axis % len(names)] if c.array[1].ndim else None
    at = ", ".join(names)
    zero = f"f32(x2{f'[{k}]' if k else ''})" if c.given(2) else "0"
    info = np.iinfo(c.want_dtype(0))
    c.say(f"y[{at}] = clamp(round(x0[{at}] / x1{f'[{k}]' if k else ''}) + {zero}, {info.min}, {info.max})")
    c.result(f"round(y) as {to}")


@rule("MatMulInteger")
def matmul_integer(c):
    a0 = "i32(x2)" if c.given(2) else "0"
    b0 = "i32(x3)" if c.given(3) else "0"
    if any(c.given(i) and c.array[i].size != 1 for i in (2, 3)):
        raise NotApplicable("a zero point for each row")
    c.say(f"a = f64(i32(x0) - {a0.replace('x2', 'x2[0]') if c.given(2) and c.array[2].ndim else a0})",
          f"b = f64(i32(x1) - {b0.replace('x3', 'x3[0]') if c.given(3) and c.array[3].ndim else b0})")
    c.result("round(a @ b) as i32")


@rule("QLinearMatMul")
def qlinear(c):
    if any(c.array[i].size != 1 for i in (1, 2, 4, 5, 6, 7)):
        raise NotApplicable("scales for each row")
    one = {i: f"x{i}[0]" if c.array[i].ndim else f"x{i}" for i in (1, 2, 4, 5, 6, 7)}
    info, to = np.iinfo(c.want_dtype(0)), c.types(c.want_dtype(0))
    rank = c.want[0].ndim
    names = idx(rank)
    batch = names[:-2]
    left = reference("a", c.array[0].shape[:-2], batch, [names[-2], "k"])
    right = reference("b", c.array[3].shape[:-2], batch, ["k", names[-1]])
    c.say(f"a = f32(i32(x0) - i32({one[2]}))", f"b = f32(i32(x3) - i32({one[5]}))",
          f"p[{', '.join(names)}]: f32{shape_text(c.want[0].shape)} += {left} * {right}",
          f"y = round(p * ({one[1]} * {one[4]} / {one[6]})) + f32({one[7]})")
    c.result(f"round(clamp(y, {info.min}, {info.max})) as {to}")


@rule("CenterCropPad")
def center_crop_pad(c):
    x, want = c.array[0], c.want[0]
    c.used[1] = False
    text = "x0"
    for a, (have, out) in enumerate(zip(x.shape, want.shape)):
        if have > out:
            lo = (have - out) // 2
            cut = [":"] * x.ndim
            cut[a] = f"{lo}:{lo + out}"
            c.say(f"h{a} = {text}", f"g{a} = h{a}[{', '.join(cut)}]")
            text = f"g{a}"
        elif out > have:
            lo = (out - have) // 2
            text = f"pad({text}, {lo}, {out - have - lo}, axis: {a})"
    c.result(text)


@rule("Momentum")
def momentum(c):
    r, t, x, g, v = (f"x{i}" for i in range(5))
    a, b, d = (num(c.attrs[k]) for k in ("alpha", "beta", "norm_coefficient"))
    c.say(f"h = {g} + {d} * {x}", f"k = select({t} > 0, {b}, 1)", f"w = {a} * {v} + k * h")
    c.result(f"{x} - {r} * " + ("w" if c.attrs["mode"] == b"standard" else f"(h + {a} * w)"), "w")


@rule("Adam")
def adam(c):
    r, t, x, g, v, h = (f"x{i}" for i in range(6))
    a, b = c.attr("alpha", 0.9), c.attr("beta", 0.999)
    eps, decay = num(c.attr("epsilon", 0.0)), num(c.attr("norm_coefficient", 0.0))
    c.say(f"d = {g} + {decay} * {x}", f"v = {num(a)} * {v} + {num(1 - a)} * d",
          f"h = {num(b)} * {h} + {num(1 - b)} * d * d",
          f"n = f64({t})", f"s = select({t} > 0, {r} * f32(sqrt(1 - {num(b)} ** n) / (1 - {num(a)} ** n)), {r})",
          f"y = {x} - s * v / (sqrt(h) + {eps})")
    c.result(f"(1 - {num(c.attr('norm_coefficient_post', 0.0))}) * y", "v", "h")


@rule("Adagrad")
def adagrad(c):
    n = (len(c.array) - 2) // 3
    decay, eps = num(c.attr("decay_factor", 0.0)), num(c.attr("epsilon", 0.0))
    norm = num(c.attr("norm_coefficient", 0.0))
    out, hist = [], []
    c.say(f"r = x0 / (1 + f32(x1) * {decay})")
    for i in range(n):
        x, g, h = f"x{2 + i}", f"x{2 + n + i}", f"x{2 + 2 * n + i}"
        c.say(f"g{i} = {norm} * {x} + {g}", f"h{i} = {h} + g{i} * g{i}")
        out.append(f"{x} - r * g{i} / (sqrt(h{i}) + {eps})")
        hist.append(f"h{i}")
    c.result(*out, *hist)


# ---- recurrences, unrolled ----

def gate_sum(c, k, n, h):
    """x W' + h R' + biases for gate k of n units."""
    rows = f"{k * n}:{(k + 1) * n}"
    b = f" + x3[0, {rows}] + x3[0, {(c.gates + k) * n}:{(c.gates + k + 1) * n}]" if c.given(3) else ""
    c.say(f"wx[b, n] += at[b, i] * w{k}[n, i]", f"hr[b, n] += {h}[b, i] * r{k}[n, i]", f"g{k} = wx + hr{b}")
    return rows


def recurrent(c, gates, step, states):
    x, n = c.array[0], c.attrs["hidden_size"]
    if c.attr("direction", b"forward") != b"forward" or c.given(4) or c.given(7) or "clip" in c.attrs:
        raise NotApplicable("recurrence: lengths, directions, peepholes")
    if c.attr("linear_before_reset", 0):
        raise NotApplicable("recurrence: linear_before_reset")
    c.gates, first = gates, c.attr("layout", 0)
    steps, batch = (x.shape[1], x.shape[0]) if first else (x.shape[0], x.shape[1])
    for k in range(gates):
        c.say(f"w{k} = x1[0, {k * n}:{(k + 1) * n}]", f"r{k} = x2[0, {k * n}:{(k + 1) * n}]")
    for i, s in enumerate(states):
        zero = f"{s}[b, n]: f32[{batch}, {n}] = 0"
        start = (f"x{5 + i}[:, 0]" if first else f"x{5 + i}[0]") if c.given(5 + i) else None
        c.say(f"{s} = {start}" if start else zero)
    for t in range(steps):
        c.say(f"at = x0[:, {t}]" if first else f"at = x0[{t}]")
        step(c, n)
        c.say(f"y{t} = h")
    every = f"stack({', '.join(f'y{t}' for t in range(steps))}, axis: 0)" if steps > 1 else "y0"
    if first:
        c.say(f"s = {every} as [{steps}, {batch}, {n}]", "z[b, t, n] = s[t, b, n]")
        every = "z"
    known = {"Y": every, "Y_h": "h", "Y_c": "c"}
    c.result(*[f"{known[o]} as {shape_text(w.shape)}" for o, w in zip(c.outputs, c.want)])


@rule("RNN")
def rnn(c):
    def step(c, n):
        gate_sum(c, 0, n, "h")
        c.say("h = tanh(g0)")
    recurrent(c, 1, step, ["h"])


@rule("GRU")
def gru(c):
    def step(c, n):
        gate_sum(c, 0, n, "h")
        gate_sum(c, 1, n, "h")
        c.say("z = sigmoid(g0)", "q = sigmoid(g1) * h")
        gate_sum(c, 2, n, "q")
        c.say("h = (1 - z) * tanh(g2) + z * h")
    recurrent(c, 3, step, ["h"])


@rule("LSTM")
def lstm(c):
    def step(c, n):
        for k in range(4):
            gate_sum(c, k, n, "h")
        c.say("c = sigmoid(g2) * c + sigmoid(g0) * tanh(g3)", "h = sigmoid(g1) * tanh(c)")
    recurrent(c, 4, step, ["h", "c"])


@rule("TensorScatter")
def tensor_scatter(c):
    raise NotApplicable("a cache: `state grows` of the language is not a function")


windows.add(rule)
