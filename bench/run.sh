#!/usr/bin/env bash
# run.sh BUILD [SECONDS]: measures the build in BUILD beside the peers of this machine, on 1 and 2
# threads: SGEMM beside OpenBLAS (libopenblas.so.0), training steps beside eager and compiled PyTorch
# ($MDL_BENCH_PYTHON, else python3), attention and cross-entropy beside the machine's multiply-adds, what
# the executor adds to a kernel, and the plan of a Mistral-7B step. Ours and theirs run in turns, ROUNDS
# times SECONDS each, training steps of GPT-2 six times that. Prints a table and writes
# bench/results/DATE-HOST.json. An idle machine, please.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:?usage: bench/run.sh BUILD [SECONDS]}
seconds=${2:-3}
rounds=3
work=$build/bench-work
python=${MDL_BENCH_PYTHON:-python3}
raw=$work/raw.tsv # what, threads, who, least, median, flops

say() { printf '%s\n' "$*" >&2; }

# The value of a member of a line of JSON with simple values.
member() { sed -n "s/.*\"$1\":[ ]*\"\{0,1\}\([^,\"}]*\).*/\1/p"; }

# Of a line that has operations per second: the operations.
work() { sed -n 's/.*"least":\([^,]*\),.*"flops":\([^,]*\),.*/\1 \2/p' | awk '{ print $1 * $2 }'; }

put() { # WHAT THREADS WHO LINE [PREFIX [FLOPS]]
    local least median flops
    least=$(member "${5:-}least" <<<"$4")
    median=$(member "${5:-}median" <<<"$4")
    flops=${6:-$(member flops <<<"$4")}
    printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "$least" "$median" "${flops:-0}" >>"$raw"
}

gemm() { # MxNxK:LAYOUT THREADS
    local line flops
    line=$("$build/bench/gemm_bench" "$2" "$1")
    flops=$(awk -v m="$(member m <<<"$line")" -v n="$(member n <<<"$line")" -v k="$(member k <<<"$line")" \
        'BEGIN { print 2 * m * n * k }')
    put "sgemm $1" "$2" mdl "$line" '' "$flops"
    case $line in
    *blas_least*) put "sgemm $1" "$2" peer "$line" blas_ ;;
    esac
    blas=$(member blas <<<"$line")
}

# Beside the multiply-adds of one thread: the time that the loop would need for as many.
attention() { # SHAPE
    local line
    line=$("$build/bench/attention_bench" "$1")
    put "attention $1" 1 mdl "$line" '' "$(work <<<"$line")"
    shares="$shares  $1 $(member share <<<"$line")"
}

# The loss of a language model and its gradients, beside the same.
xent() { # ROWSxDEPTHxCLASSES
    local line
    line=$("$build/bench/xent_bench" "$1")
    put "xent $1" 1 mdl "$line" '' "$(work <<<"$line")"
    shares="$shares  $1 $(member share <<<"$line")"
}

update() { # FILE MODEL THREADS
    local _
    for _ in $(seq "$rounds"); do
        put "update $1" "$3" mdl "$("$build/cli/mdl" bench --quiet --json --threads "$3" \
            --seconds "$seconds" "examples/digits/$1.mdl")" '' 0
        [ -z "$torch" ] || put "update $1" "$3" peer "$("$python" bench/digits_torch.py "$2" "$3" "$seconds")"
    done
}

# A training step of bench/gpt2_step.mdl; sizes as gpt2_torch.py takes them. The work is that of the
# products alone: three for each weight, six of T x T / 2 for each attention. Compiled PyTorch has one
# round, since compiling takes it minutes.
step() { # NAME THREADS MODE V D L H T B
    local what="$1 $3" set=() most=$rounds flops
    set=(--set "model.net.V=$4" --set "model.net.D=$5" --set "model.net.L=$6" --set "model.net.H=$7"
        --set "model.net.Ctx=$8" --set "train.batch=$9")
    flops=$(awk -v V="$4" -v D="$5" -v L="$6" -v T="$8" -v B="$9" \
        'BEGIN { print 6 * B * T * (12 * L * D * D + V * D) + 6 * B * T * T * D * L }')
    [ "$3" = eager ] || most=1
    for _ in $(seq "$most"); do
        put "$what" "$2" mdl "$(MDL_PATH=models "$build/cli/mdl" bench --quiet --json --threads "$2" \
            --seconds "$((6 * seconds))" "${set[@]}" bench/gpt2_step.mdl)" '' "$flops"
        [ -z "$torch" ] || put "$what" "$2" peer \
            "$("$python" bench/gpt2_torch.py "$2" "$((6 * seconds))" "$3" "${@:4}")"
    done
}

# Time and memory of planning; kernels are not compiled.
planning() {
    local from to
    from=$(date +%s.%N)
    MDL_PATH=models "$build/cli/mdl" compile --quiet bench/mistral_step.mdl --memory-limit none -o "$work/mistral" >/dev/null &
    local pid=$! most=0 now
    while kill -0 "$pid" 2>/dev/null; do
        now=$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$pid/status" 2>/dev/null) || now=
        most=${now:-$most}
        sleep 0.05
    done
    wait "$pid" || return 1
    to=$(date +%s.%N)
    awk -v from="$from" -v to="$to" -v kib="$most" \
        'BEGIN { printf "{\"seconds\": %.2f, \"mib\": %.0f}", to - from, kib / 1024 }'
}

# Of several rounds: the least, and the middle one of the medians.
table() {
    sort -s -t "$(printf '\t')" -k1,1 -k2,2n -k3,3 -k5,5g "$raw" | awk -F '\t' -v json="$1" -v peak="$peak" '
        function ms(x) { return x ? sprintf("%9.3f", x * 1000) : "        -" }
        function ratio(a, b) { return a && b ? sprintf("%6.2f", a / b) : "     -" }
        function close_group() {
            if (who) median[who] = m[int((n + 1) / 2)]
            n = 0
        }
        function flush_row() {
            close_group()
            if (!what) return
            share = flops ? flops / least["mdl"] / (peak * 1e9 * threads) : 0
            printf "%-26s %7d %s %s  %s %s  %s %s  %s\n", what, threads, ms(least["mdl"]), ms(median["mdl"]),
                ms(least["peer"]), ms(median["peer"]), ratio(least["peer"], least["mdl"]),
                ratio(median["peer"], median["mdl"]), share ? sprintf("%5.1f%%", 100 * share) : "     -"
            line = sprintf("{\"what\": \"%s\", \"threads\": %d, \"least\": %s, \"median\": %s", what, threads,
                least["mdl"], median["mdl"])
            if (least["peer"])
                line = line sprintf(", \"peer_least\": %s, \"peer_median\": %s", least["peer"], median["peer"])
            if (share)
                line = line sprintf(", \"share_of_peak\": %.4f", share)
            lines = lines (lines ? ",\n    " : "") line "}"
            delete least; delete median
            who = ""
            flops = 0
        }
        BEGIN {
            print "                                    mdl ms               peer ms             peer / mdl  share of"
            print "what                       threads     least    median      least    median   least median    peak"
        }
        $1 != what || $2 != threads { flush_row(); what = $1; threads = $2 }
        $3 != who { close_group(); who = $3 }
        $6 > flops { flops = $6 }
        { m[++n] = $5; if (!(who in least) || $4 + 0 < least[who] + 0) least[who] = $4 }
        END { flush_row(); print lines >json }'
}

cmake --build "$build" --target mdl mdl-digits gemm_bench attention_bench xent_bench launch_bench \
    peak_bench >/dev/null
mkdir -p "$work" bench/results
: >"$raw"
[ -e "$work/data/mnist/train-images-idx3-ubyte" ] || "$build/examples/digits/mdl-digits" make "$work/data/mnist" >&2
export MDL_DATA=$work

torch=$("$python" -c 'import torch; print(torch.__version__)' 2>/dev/null) || torch=
blas=
shares=
cpu=$(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo | sed -n 1p)
cpus=$(nproc)
load=$(cut -d ' ' -f 1 /proc/loadavg)
sides=1
[ -z "$torch" ] || sides=2
say "measuring; about $((sides * sides * (seconds * 33 + 120) + 240)) s"
[ -n "$torch" ] || say "no PyTorch in $python: name a Python that has it in MDL_BENCH_PYTHON"
peak=$("$build/bench/peak_bench" | member gflops)
attention 2048x64:full
attention 2048x64:causal
attention 2048x64:full:1:bwd
attention 2048x64:causal:1:bwd
attention 64x32:causal:48
attention 64x32:causal:48:bwd
xent 1024x768x50257
launches=
for threads in 1 2; do
    [ "$threads" -le "$cpus" ] || continue
    for layout in nn nt tn; do
        for size in 512 1024 2048 576x4096x1024 64x11008x4096; do
            gemm "$size:$layout" "$threads"
        done
    done
    for size in 8x4096x4096 1x4096x4096; do
        gemm "$size:nn" "$threads"
        gemm "$size:nt" "$threads"
    done
    for mode in eager compile; do
        step gpt2-small "$threads" "$mode" 50257 768 12 12 256 4
        step nanogpt-small "$threads" "$mode" 256 128 4 4 64 12
    done
    update mlp_mnist mlp "$threads"
    update transformer digit_transformer "$threads"
    launches="$launches${launches:+, }\"$threads\": $("$build/bench/launch_bench" "$threads" | member us)"
done
plan=$(planning) || plan=null

mdl=$("$build/cli/mdl" --version | sed -n 1p)
compiler=$(${MDL_CC:-cc} --version | sed -n 1p)
peer="no PyTorch in $python"
[ -z "$torch" ] || peer="PyTorch $torch"
printf '%s\n%s, %s CPUs, load %s; kernels by %s\n' "$mdl" "$cpu" "$cpus" "$load" "$compiler"
printf 'peers: %s; %s\n\n' "${blas:-no libopenblas.so.0}" "$peer"
table "$work/rows"
printf '\npeak of one thread: %s GFLOP/s; share of it: attention, xent%s\n' "$peak" "$shares"
printf 'microseconds that the executor adds to a kernel, by threads: %s\n' "$launches"
printf 'planning a step of Mistral-7B: %s\n' "$plan"
host=$(printf '%s %s' "$cpu" "$cpus" | tr '[:upper:]' '[:lower:]' | tr -cs 'a-z0-9\n' '-')
out=bench/results/$(date +%Y-%m-%d)-${host}cpu.json
cat >"$out" <<END
{
  "schema": "mdl.bench-run.1",
  "date": "$(date +%Y-%m-%d)",
  "host": {"cpu": "$cpu", "cpus": $cpus, "load": $load},
  "versions": {"mdl": "$mdl", "compiler": "$compiler", "blas": "$blas", "torch": "$torch"},
  "peak_gflops": $peak,
  "launch_us": {$launches},
  "mistral_plan": $plan,
  "seconds": "least and median of one run, for mdl and the peer",
  "results": [
    $(cat "$work/rows")
  ]
}
END
say "written: $out"
