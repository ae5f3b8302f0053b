# gpu_table.awk: the table of bench/gpu.sh, and its results as JSON, from the list of cases and lines of results:
#     awk -v json=FILE -v head=TEXT -f gpu_table.awk CASES LINES
# Medians count. The peer of a case is its fastest one. What moves many bytes for its arithmetic is shown in
# GB/s, the rest in TFLOP/s, steps in ms. `share` is that of the copy or of the product that was fastest here.

function member(line, name,    at, rest) {
    at = match(line, "\"" name "\": *")
    if (!at)
        return ""
    rest = substr(line, RSTART + RLENGTH)
    if (substr(rest, 1, 1) == "\"") {
        rest = substr(rest, 2)
        return substr(rest, 1, index(rest, "\"") - 1)
    }
    match(rest, /[,}]/)
    return substr(rest, 1, RSTART - 1)
}

function is_step(what) { return what ~ /^step:/ }

# More arithmetic than memory can keep up with, on the GPUs of today.
function computes(what) { return flops[what] > 200 * bytes[what] }

# Work of a case in a second: TFLOP/s or GB/s.
function rate(what, seconds) {
    if (!seconds)
        return 0
    return computes(what) ? flops[what] / seconds / 1e12 : bytes[what] / seconds / 1e9
}

function shown(what, seconds) {
    if (!seconds)
        return sprintf("%10s", "-")
    return sprintf("%10.1f", is_step(what) ? seconds * 1e3 : rate(what, seconds))
}

function unit(what) { return is_step(what) ? "ms" : computes(what) ? "TFLOP/s" : "GB/s" }

# How far a case is, by its bar; "" when that cannot be said.
function reached(what,    kind, at) {
    split(bar[what], part, ":")
    kind = part[1]
    at = rate(what, mdl[what])
    if (!mdl[what])
        return ""
    if (kind == "peer")
        return peer[what] ? peer[what] / mdl[what] : ""
    if (kind == "tflops")
        return at
    if (kind == "copy")
        return copy ? at / copy : ""
    return ""
}

# The longest kernels of a step, from the line of `mdl bench --json`, where they are in this order.
function profile(what,    n, part, k, sum, seconds) {
    n = split(steps[what], part, /[{]"name":/)
    for (k = 2; k <= n; k++)
        sum += member(part[k], "seconds")
    if (!sum)
        return
    printf "\n%s: %.3f ms, of which kernels %.3f ms; the longest:\n", what, mdl[what] * 1e3, sum * 1e3
    for (k = 2; k <= n && k <= 16; k++) {
        seconds = member(part[k], "seconds")
        if (seconds)
            printf "%9.3f ms %5.1f%% %5d x %8.1f TFLOP/s %8.1f GB/s  %-13s %s\n", seconds * 1e3, 100 * seconds / sum,
                member(part[k], "launches"), member(part[k], "flops") / seconds / 1e12,
                member(part[k], "bytes") / seconds / 1e9, member(part[k], "class"), substr(part[k], 2, index(substr(part[k], 2), "\"") - 1)
    }
}

FNR == NR {
    if (NF >= 2 && $1 !~ /^#/) {
        order[++n] = $1
        bar[$1] = $2
    }
    next
}

{
    what = member($0, "case")
    who = member($0, "who")
    median = member($0, "median") + 0
    if (member($0, "gpu") != "")
        gpu = member($0, "gpu")
    if (what == "")
        next
    if (member($0, "error") != "") {
        errors = errors sprintf("%-40s %s: %s\n", what, who, member($0, "error"))
        next
    }
    if (!median)
        next
    if (who == "mdl") {
        mdl[what] = median
        flops[what] = member($0, "flops") + 0
        bytes[what] = member($0, "bytes") + 0
        least[what] = member($0, "least") + 0
        if (is_step(what))
            steps[what] = $0
        next
    }
    peers[what] = peers[what] (peers[what] == "" ? "" : ", ") sprintf("\"%s\": %.6g", who, median)
    if (!(what in peer) || median < peer[what]) {
        peer[what] = median
        name[what] = who
    }
}

END {
    for (i = 1; i <= n; i++) {
        what = order[i]
        if (what ~ /^copy:/) {
            bytes[what] = 2 * substr(what, 6)
            copy = rate(what, mdl[what] && (!peer[what] || mdl[what] < peer[what]) ? mdl[what] : peer[what])
        }
        if (what !~ /^gemm:bf16/ || !computes(what))
            continue
        product = rate(what, mdl[what]) > product ? rate(what, mdl[what]) : product
        product = rate(what, peer[what]) > product ? rate(what, peer[what]) : product
    }
    printf "%s\n%s; copy %.0f GB/s, best bf16 product %.0f TFLOP/s\n\n", head, gpu, copy, product
    printf "%-40s %10s %10s %-7s %6s %6s  %-11s %s\n", "what", "mdl", "peer", "", "ratio", "share", "bar", ""
    for (i = 1; i <= n; i++) {
        what = order[i]
        if (!mdl[what] && !peer[what])
            continue
        ratio = mdl[what] && peer[what] ? peer[what] / mdl[what] : 0
        ceiling = is_step(what) ? 0 : computes(what) ? (what ~ /:f32:/ ? 0 : product) : copy
        share = ceiling && mdl[what] ? rate(what, mdl[what]) / ceiling : 0
        split(bar[what], part, ":")
        is = reached(what)
        verdict = is == "" ? "" : is >= part[2] ? "reached" : sprintf("%.0f%% of it", 100 * is / part[2])
        printf "%-40s %s %s %-7s %6s %6s  %-11s %-11s %s\n", what, shown(what, mdl[what]), shown(what, peer[what]),
            unit(what), ratio ? sprintf("%.2f", ratio) : "-", share ? sprintf("%.0f%%", 100 * share) : "-",
            bar[what], verdict, name[what]
        line = sprintf("{\"case\": \"%s\", \"bar\": \"%s\"", what, bar[what])
        if (mdl[what])
            line = line sprintf(", \"least\": %.6g, \"median\": %.6g, \"flops\": %.6g, \"bytes\": %.6g", least[what],
                mdl[what], flops[what], bytes[what])
        if (is != "")
            line = line sprintf(", \"reached\": %.4g", is)
        lines = lines (lines == "" ? "" : ",\n    ") line ", \"peers\": {" peers[what] "}}"
    }
    for (i = 1; i <= n; i++)
        if (order[i] in steps)
            profile(order[i])
    if (errors != "")
        printf "\nnot measured:\n%s", errors
    if (json != "")
        printf "  \"gpu\": \"%s\",\n  \"copy_gbs\": %.1f,\n  \"product_tflops\": %.1f,\n  \"results\": [\n    %s\n  ]\n",
            gpu, copy, product, lines >json
}
