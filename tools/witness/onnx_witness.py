#!/usr/bin/env python3
"""Runs the operator tests of ONNX through `mdl call --reference` and compares.

    python3 tools/witness/onnx_witness.py [--mdl build/release/cli/mdl] [--tests ../shared/data/onnx]
                                          [-v] [NAME ...]

Needs numpy and onnx. Each test is one node with inputs and expected outputs; translate.py writes a .mdl
function of the same meaning, with sizes and attributes in it as constants. Prints a line for each
failure and the totals: passed, failed, not applicable with the reasons. Exits with 1 when one failed."""
import argparse
import collections
import glob
import os
import subprocess
import sys
import tempfile

import numpy as np
import onnx
from onnx import helper, numpy_helper

import safefile
from translate import NotApplicable, translate


# Expectations that were written down with few digits.
COARSE = {"test_averagepool_2d_ceil_last_window_starts_on_pad": 1e-3}


def load(path):
    proto = onnx.TensorProto()
    with open(path, "rb") as f:
        proto.ParseFromString(f.read())
    return numpy_helper.to_array(proto)


def read_test(folder):
    model = onnx.load(os.path.join(folder, "model.onnx"))
    graph = model.graph
    known = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    fed = [i.name for i in graph.input if i.name not in known]
    data = os.path.join(folder, "test_data_set_0")
    for i, name in enumerate(fed):
        path = os.path.join(data, f"input_{i}.pb")
        if not os.path.exists(path):
            raise NotApplicable("inputs that are no tensors")
        try:
            known[name] = load(path)
        except Exception:
            raise NotApplicable("inputs that are no tensors")
    want = []
    for i in range(len(graph.output)):
        try:
            want.append(load(os.path.join(data, f"output_{i}.pb")))
        except Exception:
            raise NotApplicable("results that are no tensors")
    opset = {o.domain: o.version for o in model.opset_import}.get("", 1)
    return graph, known, want, opset


def widen(a):
    """numpy types that safetensors has not: their values in one that it has."""
    a = np.asarray(a)
    if a.dtype.name == "bfloat16" or a.dtype.name.startswith("float8"):
        return a.astype(np.float32)
    return a


def compare(got, want, tolerance):
    want = widen(want)
    if want.dtype.kind in "OSU":
        raise NotApplicable("strings")
    if tuple(got.shape) != tuple(want.shape):
        return f"shape {got.shape}, expected {want.shape}"
    if want.dtype.kind in "iub":
        bad = np.sum(got.astype(np.float64) != want.astype(np.float64))
        return f"{bad} of {want.size} differ" if bad else None
    g, w = got.astype(np.float64), want.astype(np.float64)
    same = (g == w) | (np.isnan(g) & np.isnan(w))
    with np.errstate(all="ignore"):
        size = np.max(np.abs(w[np.isfinite(w)])) if np.isfinite(w).any() else 0
        near = np.abs(g - w) <= tolerance * np.maximum(np.abs(w), size)
    bad = np.sum(~(same | near))
    if not bad:
        return None
    at = np.unravel_index(np.argmax(~(same | near)), w.shape)
    return f"{bad} of {want.size} differ, first {list(map(int, at))}: {g[at]} for {w[at]}"


def run(mdl, where, case):
    text, inputs = case.text, case.inputs
    program = os.path.join(where, "t.mdl")
    with open(program, "w") as f:
        f.write(text)
    safefile.write(os.path.join(where, "x.st"), inputs)
    out = os.path.join(where, "y.st")
    done = subprocess.run([mdl, "call", program, "f", "--in", os.path.join(where, "x.st"), "--out", out,
                           "--bits" if case.bits else "--reference", "--format", "short"], capture_output=True, text=True)
    if done.returncode:
        return None, done.stderr.strip().split("\n")[0]
    return safefile.read(out), None


def allowed(case, known, want):
    """What the expectation was rounded to: its own type, or f32 where that was computed with."""
    names = {np.asarray(x).dtype.name for x in list(known.values()) + want if not isinstance(x, list)}
    if case.bits:
        return 0
    return 2e-2 if "bfloat16" in names else 4e-3 if "float16" in names else 2e-6


def witness(mdl, where, folder, verbose):
    graph, known, want, opset = read_test(folder)
    if len(graph.node) != 1:
        raise NotApplicable("more than one node")
    node = graph.node[0]
    attrs = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    case = translate(node, attrs, known, want, opset)
    if verbose:
        print(case.text)
    got, why = run(mdl, where, case)
    if why:
        return why
    tolerance = COARSE.get(os.path.basename(folder)) or case.tolerance or allowed(case, known, want)
    names = ["out"] if len(case.results) == 1 else [f"out.{k}" for k in range(len(case.results))]
    for name, k in zip(names, case.results):
        why = compare(got[name], want[k], tolerance)
        if why:
            return f"output {k}: {why}"
    return None


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    root = os.path.dirname(os.path.dirname(here))
    p = argparse.ArgumentParser()
    p.add_argument("--mdl", default=os.path.join(root, "build/release/cli/mdl"))
    p.add_argument("--tests", default=os.path.join(root, "../shared/data/onnx"))
    p.add_argument("-v", action="store_true", dest="verbose")
    p.add_argument("names", nargs="*")
    a = p.parse_args()
    folders = sorted(os.path.dirname(m) for m in glob.glob(f"{a.tests}/**/model.onnx", recursive=True)
                     if os.path.isdir(os.path.join(os.path.dirname(m), "test_data_set_0")))
    if a.names:
        folders = [f for f in folders if any(n in os.path.basename(f) for n in a.names)]
    passed, failed = collections.Counter(), []
    skipped = collections.defaultdict(list)
    with tempfile.TemporaryDirectory() as where:
        for folder in folders:
            name = os.path.basename(folder)
            try:
                why = witness(a.mdl, where, folder, a.verbose)
            except NotApplicable as e:
                skipped[str(e)].append(name)
                continue
            if why:
                failed.append(name)
                print(f"FAILED {name}: {why}")
            else:
                passed[name.split("_")[1]] += 1
    n = sum(passed.values())
    print(f"{n} passed, {len(failed)} failed, {sum(map(len, skipped.values()))} not applicable, "
          f"of {len(folders)}")
    for why in sorted(skipped, key=lambda k: (-len(skipped[k]), k)):
        print(f"  {len(skipped[why]):3} {why}: {', '.join(skipped[why][:6])}{' ...' if len(skipped[why]) > 6 else ''}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
