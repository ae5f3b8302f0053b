"""Convolutions and pools: by the language's own where it has them, else by an equation over windows."""
import numpy as np

from case import NotApplicable, idx, num, shape_text


def pads_of(c, sizes, kernel, strides, dilations):
    """Places before and after each axis."""
    n = len(sizes)
    auto = c.attr("auto_pad", b"NOTSET").decode()
    if auto in ("NOTSET", ""):
        p = list(c.attr("pads", [0] * (2 * n)))
        return p[:n], p[n:]
    lo, hi = [], []
    for s, k, st, d in zip(sizes, kernel, strides, dilations):
        out = -(-s // st) if auto.startswith("SAME") else (s - d * (k - 1) - 1) // st + 1
        total = max(0, (out - 1) * st + d * (k - 1) + 1 - s) if auto.startswith("SAME") else 0
        small = total // 2
        lo.append(small if auto != "SAME_LOWER" else total - small)
        hi.append(total - lo[-1])
    return lo, hi


def padded(text, lo, hi, value="0"):
    for a, (b, e) in enumerate(zip(lo, hi)):
        if b or e:
            text = f"pad({text}, {b}, {e}, axis: {a + 2}, value: {value})"
    return text


def pair(v):
    return str(v[0]) if len(set(v)) == 1 else "(" + ", ".join(map(str, v)) + ")"


def conv(c):
    x, w = c.array[0], c.array[1]
    n = x.ndim - 2
    kernel = list(w.shape[2:])
    strides, dilations = c.attr("strides", [1] * n), c.attr("dilations", [1] * n)
    groups = c.attr("group", 1)
    lo, hi = pads_of(c, x.shape[2:], kernel, strides, dilations)
    if c.op == "ConvInteger":
        zero = "i32(x3[0])" if c.given(3) and c.array[3].ndim else "i32(x3)" if c.given(3) else "0"
        if c.given(3) and c.array[3].size != 1:
            raise NotApplicable("a zero point for each row")
        c.say(f"x = f32(i32(x0) - {'i32(x2)' if c.given(2) else '0'})", f"w = f32(i32(x1) - {zero})")
    else:
        c.say("x = x0", "w = x1")
    bias = "x2" if c.op == "Conv" and c.given(2) else None
    if n <= 2:
        same = lo == hi
        if not same:
            c.say(f"x = {padded('x', lo, hi)}")
        b = f", {bias}" if bias else ""
        pad = f", padding: {pair(lo)}" if same else ""
        text = (f"conv{n}d(x, w{b}, stride: {pair(strides)}{pad}, dilation: {pair(dilations)}, "
                f"groups: {groups})")
    else:
        at, k = idx(n), idx(n, "k")
        inner, each = w.shape[1], w.shape[0] // groups
        c.say(f"p = {padded('x', lo, hi)}")
        read = ", ".join(f"{s} * {i} + {d} * {u}" for s, i, d, u in zip(strides, at, dilations, k))
        where = ", ".join(f"{i} in 0..{e}" for i, e in zip(at, c.want[0].shape[2:]))
        for g in range(groups):
            c.say(f"p{g} = p[:, {g * inner}:{(g + 1) * inner}]", f"w{g} = w[{g * each}:{(g + 1) * each}]",
                  f"y{g}[b, o, {', '.join(at)}] += p{g}[b, c, {read}] * w{g}[o, c, {', '.join(k)}] where {where}")
        c.say(f"y = concat({', '.join(f'y{g}' for g in range(groups))}, axis: 1)" if groups > 1 else "y = y0")
        if bias:
            c.say(f"z[b, o, {', '.join(at)}] = y[b, o, {', '.join(at)}] + {bias}[o]")
        text = "z" if bias else "y"
    c.result(f"round({text}) as i32" if c.op == "ConvInteger" else text)


def conv_transpose(c):
    x, w = c.array[0], c.array[1]
    n = x.ndim - 2
    kernel = list(w.shape[2:])
    strides, dilations = c.attr("strides", [1] * n), c.attr("dilations", [1] * n)
    groups, out = c.attr("group", 1), list(c.want[0].shape[2:])
    extra = c.attr("output_padding", [0] * n)
    full = [(s - 1) * st + d * (k - 1) + 1 for s, st, d, k in zip(x.shape[2:], strides, dilations, kernel)]
    auto = c.attr("auto_pad", b"NOTSET").decode()
    lo = list(c.attr("pads", [0] * (2 * n)))[:n]
    if auto.startswith("SAME") or "output_shape" in c.attrs:
        total = [max(0, f + e - o) for f, e, o in zip(full, extra, out)]
        lo = [t // 2 if auto != "SAME_UPPER" else t - (t + 1) // 2 for t in total]
        if auto == "SAME_LOWER":
            lo = [t - t // 2 for t in total]
    plain = n == 2 and groups == 1 and set(dilations) == {1} and [f - 2 * p for f, p in zip(full, lo)] == out
    bias = c.given(2)
    if plain:
        c.result(f"conv_transpose2d(x0, x1{', x2' if bias else ''}, stride: {pair(strides)}, padding: {pair(lo)})")
        return
    # zeros between the elements of x, then a convolution with the mirrored weights
    cin, each = x.shape[1], w.shape[1]
    names, k = idx(n), idx(n, "k")
    wide = [(e - 1) * st + 1 for e, st in zip(x.shape[2:], strides)]
    at = ", ".join(["b", "c"] + names)
    on_grid = " and ".join(f"{i} % {st} == 0" for i, st in zip(names, strides))
    read = ", ".join(f"{i} // {st}" for i, st in zip(names, strides))
    c.say(f"d[{at}]: f32{shape_text([x.shape[0], cin] + wide)} = select({on_grid}, x0[b, c, {read}], 0)")
    before = [d * (e - 1) - p for d, e, p in zip(dilations, kernel, lo)]
    after = [o + d * (e - 1) - b - wd for o, d, e, b, wd in zip(out, dilations, kernel, before, wide)]
    if any(p < 0 for p in before + after):
        c.say(f"d = d[:, :, {', '.join(f'{max(0, -b)}:{wd - max(0, -a)}' for b, a, wd in zip(before, after, wide))}]")
    c.say(f"d = {padded('d', [max(0, p) for p in before], [max(0, p) for p in after])}")
    flip = ", ".join(f"{e - 1} - {u}" for e, u in zip(kernel, k))
    shape = shape_text([groups, each, cin // groups] + kernel)
    c.say(f"v = x1 as {shape_text([groups, cin // groups, each] + kernel)}",
          f"m[g, o, c, {', '.join(k)}]: f32{shape} = v[g, c, o, {flip}]",
          f"w = m as {shape_text([groups * each, cin // groups] + kernel)}")
    if n <= 2:
        c.result(f"conv{n}d(d, w{', x2' if bias else ''}, dilation: {pair(dilations)}, groups: {groups})")
        return
    taps = ", ".join(f"{i} + {e} * {u}" for i, e, u in zip(names, dilations, k))
    where = ", ".join(f"{i} in 0..{e}" for i, e in zip(names, out))
    c.say(f"y[b, o, {', '.join(names)}] += d[b, c, {taps}] * w[o, c, {', '.join(k)}] where {where}")
    if bias:
        c.say(f"y[b, o, {', '.join(names)}] = y[b, o, {', '.join(names)}] + x2[o]")
    c.result("y")


def pool(c):
    x = c.array[0]
    n = x.ndim - 2
    kernel = c.attrs["kernel_shape"]
    strides, dilations = c.attr("strides", [1] * n), c.attr("dilations", [1] * n)
    lo, hi = pads_of(c, x.shape[2:], kernel, strides, dilations)
    is_max = c.op == "MaxPool"
    out = c.want[0].shape[2:]
    need = [(o - 1) * st + d * (k - 1) + 1 for o, st, d, k in zip(out, strides, dilations, kernel)]
    short = [max(0, e - s - a) for e, s, a in zip(need, x.shape[2:], lo)]
    counts = bool(c.attr("count_include_pad", 0))
    exact = all(b == h for b, h in zip(lo, hi)) and all(
        (s + 2 * b - k) // st + 1 == o for s, b, k, st, o in zip(x.shape[2:], lo, kernel, strides, out))
    if n == 2 and exact and set(dilations) == {1} and x.dtype.kind == "f":
        args = f"{pair(kernel)}, stride: {pair(strides)}, padding: {pair(lo)}"
        if is_max:
            c.result(f"max_pool2d(x0, {args})")
        elif counts or not any(lo):
            c.result(f"avg_pool2d(x0, {args})")
        else:
            c.result(f"avg_pool2d(x0, {args}) / avg_pool2d(x0 * 0 + 1, {args})")
        return
    at, k = idx(n), idx(n, "k")
    read = ", ".join(f"{s} * {i} + {d} * {u}" for s, i, d, u in zip(strides, at, dilations, k))
    where = ", ".join([f"{i} in 0..{e}" for i, e in zip(at, out)] + [f"{u} in 0..{e}" for u, e in zip(k, kernel)])
    target = ", ".join(["b", "c"] + at)
    # the part of the input that no window reaches is cut off by not being read; what they lack is padded
    x_text = "x0" if x.dtype.kind == "f" else "f32(x0)"
    c.say(f"p = {padded(x_text, lo, short, '-inf' if is_max else '0')}")
    if is_max:
        c.say(f"y[{target}] max= p[b, c, {read}] where {where}")
    else:
        ones = padded(f"({x_text} * 0 + 1)", lo, [min(h, s) for h, s in zip(hi, short)], "1" if counts else "0")
        rest = [s - min(h, s) for h, s in zip(hi, short)]
        c.say(f"o = {padded(ones, [0] * n, rest)}",
              f"s[{target}] += p[b, c, {read}] where {where}", f"t[{target}] += o[b, c, {read}] where {where}",
              "y = s / t")
    c.result("y" if x.dtype.kind == "f" else f"round(y) as {c.dtype(0)}")


def global_pool(c):
    n = c.array[0].ndim
    fn = "amax" if "Max" in c.op else "mean"
    axes = "(" + ", ".join(str(a) for a in range(2, n)) + ")" if n > 3 else "2"
    c.result(f"{fn}(x0, axis: {axes}) as {shape_text(c.want[0].shape)}")


def source(mode, how, scale, size, out, antialias_or_roi):
    """The coordinate in the input of output index i, as text."""
    s = num(1.0 / scale)
    if how == "align_corners":
        return f"f64(i) * {num((size - 1) / (scale * size - 1) if scale * size > 1 else 0.0)}"
    if how == "asymmetric":
        return f"f64(i) * {s}"
    if how in ("half_pixel", "pytorch_half_pixel", "half_pixel_symmetric"):
        if how == "pytorch_half_pixel" and out <= 1:
            return "f64(i) * 0.0"
        shift = 0.0
        if how == "half_pixel_symmetric":
            shift = size / 2 * (1 - out / (scale * size))
        return f"(f64(i) + 0.5) * {s} - 0.5 + {num(shift)}" if shift else f"(f64(i) + 0.5) * {s} - 0.5"
    raise NotApplicable(f"resize: {how}")


def resize_axis(c, axis, rank, scale, size, out):
    mode = c.attr("mode", b"nearest").decode()
    how = c.attr("coordinate_transformation_mode", b"half_pixel").decode()
    names = idx(rank)
    at = ", ".join(names)

    def read(k):
        return ", ".join(names[:axis] + [k] + names[axis + 1:])

    i = names[axis]
    c.say(f"i = iota({out})", f"c = {source(mode, how, scale, size, out, None)}")
    if mode == "nearest":
        near = c.attr("nearest_mode", b"round_prefer_floor").decode()
        text = {"round_prefer_floor": "ceil(c - 0.5)", "round_prefer_ceil": "floor(c + 0.5)", "floor": "floor(c)",
                "ceil": "ceil(c)"}[near]
        c.say(f"k = clamp({text}, 0, {size - 1}) as i32", f"h[{at}] = h[{read(f'k[{i}]')}]")
        return
    if mode == "linear":
        c.say("l = floor(c)", "r = c - l", f"a = clamp(l, 0, {size - 1}) as i32", f"b = clamp(l + 1, 0, {size - 1}) as i32",
              f"h[{at}] = h[{read(f'a[{i}]')}] * (1 - f32(r[{i}])) + h[{read(f'b[{i}]')}] * f32(r[{i}])")
        return
    if c.attr("exclude_outside", 0):
        raise NotApplicable("resize: exclude_outside")
    a = num(c.attr("cubic_coeff_a", -0.75))
    c.say("l = floor(c)", "r = c - l",
          f"w0 = (({a} * (r + 1) - 5 * {a}) * (r + 1) + 8 * {a}) * (r + 1) - 4 * {a}",
          f"w1 = (({a} + 2) * r - ({a} + 3)) * r * r + 1",
          f"w2 = (({a} + 2) * (1 - r) - ({a} + 3)) * (1 - r) * (1 - r) + 1",
          f"w3 = (({a} * (2 - r) - 5 * {a}) * (2 - r) + 8 * {a}) * (2 - r) - 4 * {a}")
    for k in range(4):
        c.say(f"k{k} = clamp(l + {k - 1}, 0, {size - 1}) as i32" if k != 1 else f"k1 = clamp(l, 0, {size - 1}) as i32")
    c.say(f"h[{at}] = " + " + ".join(f"h[{read(f'k{k}[{i}]')}] * f32(w{k}[{i}])" for k in range(4)))


def interpolates(c, axes, scales):
    """By `interpolate`, where it means the same; false where it does not."""
    x, out = c.array[0].shape, c.want[0].shape
    how = c.attr("coordinate_transformation_mode", b"half_pixel").decode()
    mode = c.attr("mode", b"nearest").decode()
    same_points = how == "half_pixel" or (how == "pytorch_half_pixel" and min(out[2:]) > 1)
    whole = all(abs(float(s) * x[a] - out[a]) < 1e-9 for a, s in zip(axes, scales))
    near = mode != "nearest" or c.attr("nearest_mode", b"round_prefer_floor") == b"round_prefer_ceil"
    cubic = mode != "cubic" or (c.attr("cubic_coeff_a", -0.75) == -0.75 and not c.attr("exclude_outside", 0))
    if not (same_points and whole and near and cubic):
        return False
    method = {"nearest": "nearest", "linear": "bilinear", "cubic": "bicubic"}[mode]
    c.result(f'interpolate(x0, ({out[2]}, {out[3]}), method: "{method}")')
    c.tolerance = 1e-5
    return True


def resize(c):
    x = c.array[0]
    if c.attr("antialias", 0) or c.attr("coordinate_transformation_mode", b"") == b"tf_crop_and_resize":
        raise NotApplicable("resize: antialias or crop")
    if c.opset < 11:
        raise NotApplicable("resize: opset 10")
    axes = [a % x.ndim for a in c.attr("axes", list(range(x.ndim)))]
    scales = c.const(2) if c.given(2) and c.array[2].size else None
    if c.given(1):
        c.used[1] = False
    if c.given(3):
        sizes = c.const(3)
        if c.attr("keep_aspect_ratio_policy", b"stretch") != b"stretch":
            f = [s / x.shape[a] for s, a in zip(sizes, axes)]
            one = min(f) if c.attrs["keep_aspect_ratio_policy"] == b"not_larger" else max(f)
            scales = [one] * len(axes)
        else:
            scales = [s / x.shape[a] for s, a in zip(sizes, axes)]
    if c.array[0].ndim == 4 and all(float(s) == 1 for a, s in zip(axes, scales) if a < 2) and interpolates(c, axes, scales):
        return
    c.say("h = x0")
    for a, s in zip(axes, scales):
        if float(s) != 1.0:
            resize_axis(c, a, x.ndim, float(s), x.shape[a], c.want[0].shape[a])
    c.tolerance = 1e-5
    c.result("h")


def add(rule):
    rule("Conv", "ConvInteger")(conv)
    rule("ConvTranspose")(conv_transpose)
    rule("MaxPool", "AveragePool")(pool)
    rule("GlobalAveragePool", "GlobalMaxPool")(global_pool)
    rule("Resize")(resize)
