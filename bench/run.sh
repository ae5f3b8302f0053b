#!/usr/bin/env bash
# run.sh BUILD [SECONDS]: measures the build in BUILD beside the peers of this machine: SGEMM beside
# OpenBLAS (libopenblas.so.0) and the updates of examples/digits beside eager PyTorch
# ($MDL_BENCH_PYTHON, else python3). Ours and theirs run in turns, ROUNDS times SECONDS each.
# Prints a table and writes bench/results/DATE-HOST.json.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:?usage: bench/run.sh BUILD [SECONDS]}
seconds=${2:-3}
rounds=3
work=$build/bench-work
python=${MDL_BENCH_PYTHON:-python3}
raw=$work/raw.tsv # what, threads, who, least, median

say() { printf '%s\n' "$*" >&2; }

# The value of a member of a line of JSON with simple values.
member() { sed -n "s/.*\"$1\":[ ]*\"\{0,1\}\([^,\"}]*\).*/\1/p"; }

put() { # WHAT THREADS WHO LINE [PREFIX]
    local least median
    least=$(member "${5:-}least" <<<"$4")
    median=$(member "${5:-}median" <<<"$4")
    printf '%s\t%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "$least" "$median" >>"$raw"
}

gemm() { # SIZE THREADS
    local line
    line=$("$build/bench/gemm_bench" "$2" "$1")
    put "sgemm $1" "$2" mdl "$line"
    case $line in
    *blas_least*) put "sgemm $1" "$2" peer "$line" blas_ ;;
    esac
    blas=$(member blas <<<"$line")
}

# Beside the multiply-adds of one thread: the time that the loop would need for as many.
attention() { # SHAPE
    local line
    line=$("$build/bench/attention_bench" "$1")
    put "attention $1" 1 mdl "$line"
    shares="$shares  $1 $(member share <<<"$line")"
}

# The loss of a language model and its gradients, beside the same.
xent() { # ROWSxDEPTHxCLASSES
    local line
    line=$("$build/bench/xent_bench" "$1")
    put "xent $1" 1 mdl "$line"
    shares="$shares  $1 $(member share <<<"$line")"
}

update() { # FILE MODEL THREADS
    local _
    for _ in $(seq "$rounds"); do
        put "update $1" "$3" mdl "$("$build/cli/mdl" bench --quiet --json --threads "$3" \
            --seconds "$seconds" "examples/digits/$1.mdl")"
        [ -z "$torch" ] || put "update $1" "$3" peer "$("$python" bench/digits_torch.py "$2" "$3" "$seconds")"
    done
}

# Of several rounds: the least, and the middle one of the medians.
table() {
    sort -s -t "$(printf '\t')" -k1,1 -k2,2n -k3,3 -k5,5g "$raw" | awk -F '\t' -v json="$1" '
        function ms(x) { return x ? sprintf("%9.3f", x * 1000) : "        -" }
        function ratio(a, b) { return a && b ? sprintf("%6.2f", a / b) : "     -" }
        function close_group() {
            if (who) median[who] = m[int((n + 1) / 2)]
            n = 0
        }
        function flush_row() {
            close_group()
            if (!what) return
            printf "%-22s %7d %s %s  %s %s  %s %s\n", what, threads, ms(least["mdl"]), ms(median["mdl"]),
                ms(least["peer"]), ms(median["peer"]), ratio(least["mdl"], least["peer"]),
                ratio(median["mdl"], median["peer"])
            line = sprintf("{\"what\": \"%s\", \"threads\": %d, \"least\": %s, \"median\": %s", what, threads,
                least["mdl"], median["mdl"])
            if (least["peer"])
                line = line sprintf(", \"peer_least\": %s, \"peer_median\": %s", least["peer"], median["peer"])
            lines = lines (lines ? ",\n    " : "") line "}"
            delete least; delete median
            who = ""
        }
        BEGIN {
            print "                                mdl ms               peer ms             mdl / peer"
            print "what                   threads     least    median      least    median   least median"
        }
        $1 != what || $2 != threads { flush_row(); what = $1; threads = $2 }
        $3 != who { close_group(); who = $3 }
        { m[++n] = $5; if (!(who in least) || $4 + 0 < least[who] + 0) least[who] = $4 }
        END { flush_row(); print lines >json }'
}

cmake --build "$build" --target mdl mdl-digits gemm_bench attention_bench xent_bench >/dev/null
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
say "measuring; about $((seconds * rounds * sides * 4 + 30)) s"
attention 2048x64:full
attention 2048x64:causal
attention 2048x64:full:1:bwd
attention 2048x64:causal:1:bwd
attention 64x32:causal:48
attention 64x32:causal:48:bwd
xent 1024x768x50257
for threads in 1 2; do
    [ "$threads" -le "$cpus" ] || continue
    gemm 512 "$threads"
    gemm 1024 "$threads"
    update mlp_mnist mlp "$threads"
    update transformer digit_transformer "$threads"
done

mdl=$("$build/cli/mdl" --version | sed -n 1p)
compiler=$(${MDL_CC:-cc} --version | sed -n 1p)
peer="no PyTorch in $python"
[ -z "$torch" ] || peer="PyTorch $torch"
printf '%s\n%s, %s CPUs, load %s; kernels by %s\n' "$mdl" "$cpu" "$cpus" "$load" "$compiler"
printf 'peers: %s; %s\n\n' "${blas:-no libopenblas.so.0}" "$peer"
table "$work/rows"
printf '\nshare of the measured multiply-add peak: attention, xent%s\n' "$shares"
host=$(printf '%s %s' "$cpu" "$cpus" | tr '[:upper:]' '[:lower:]' | tr -cs 'a-z0-9\n' '-')
out=bench/results/$(date +%Y-%m-%d)-${host}cpu.json
cat >"$out" <<END
{
  "schema": "mdl.bench-run.1",
  "date": "$(date +%Y-%m-%d)",
  "host": {"cpu": "$cpu", "cpus": $cpus, "load": $load},
  "versions": {"mdl": "$mdl", "compiler": "$compiler", "blas": "$blas", "torch": "$torch"},
  "seconds": "least and median of one run, for mdl and the peer",
  "results": [
    $(cat "$work/rows")
  ]
}
END
say "written: $out"
