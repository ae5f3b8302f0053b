#!/usr/bin/env bash
# gpu.sh BUILD OUT [SECONDS]: measures kernels and training steps of `mdl` on the GPU of this machine, beside
# PyTorch where $MDL_BENCH_PYTHON (else python3) has it. BUILD is a build folder, or the folder of a pack. A line of
# JSON a result is written to stdout and to OUT/lines.jsonl as it comes, most important first, and after each part
# OUT/table.txt and OUT/GPU-DATE.json, so that a run that is cut still tells. Ends within SECONDS (150): half of them at
# most are for kernels of `mdl`, and what hangs loses its own case. OUT/peers.txt says which peer there was, or why
# there was none. Exit code 1 when a case of `mdl` failed, other than for lack of time.
# MDL_BENCH_DEVICE=simt MDL_BENCH_ARCH=sm_80 MDL_BENCH_CASES=bench/gpu_tiny.txt tries it without a GPU.
set -uo pipefail
build=$(cd "${1:?usage: bench/gpu.sh BUILD OUT [SECONDS]}" && pwd) || exit 3
mkdir -p "${2:?usage: bench/gpu.sh BUILD OUT [SECONDS]}" && out=$(cd "$2" && pwd) || exit 3
seconds=${3:-150}
cd "$(dirname "$0")/.." || exit 3
device=${MDL_BENCH_DEVICE:-cuda}
list=${MDL_BENCH_CASES:-bench/gpu_cases.txt}
python=${MDL_BENCH_PYTHON:-python3}
lines=$out/lines.jsonl
log=$out/log.txt
peer_device=cpu
[ "$device" != cuda ] || peer_device=cuda
began=$SECONDS
export MDL_PATH=models MDL_GPU_TIMEOUT=${MDL_GPU_TIMEOUT:-10}

say() { printf '%4d s  %s\n' "$((SECONDS - began))" "$*" >&2; }
left() { echo "$((seconds - SECONDS + began))"; }
share() { echo "$(($(left) * $1 / 100))"; }

# The program of this name, in a build folder or a pack.
program() {
    local at
    for at in "$build"/{bin,cli,bench,.}/"$1"; do
        if [ -f "$at" ] && [ -x "$at" ]; then
            echo "$at"
            return
        fi
    done
    say "no program $1 in $build"
    exit 3
}

mdl=$(program mdl) && bench=$(program gpu_bench) || exit 3
mapfile -t cases < <(awk 'NF >= 2 && !/^#/ && !/^step:/ { print $1 }' "$list")
mapfile -t steps < <(awk 'NF >= 2 && /^step:/ { print $1 }' "$list")
[ "${#cases[@]}" -gt 0 ] || {
    say "no cases in $list"
    exit 3
}

# What is known so far.
table() {
    local head host day
    day=$(date +%Y-%m-%d)
    host=$(sed -n 's/.*"gpu": *"\([^"]*\)".*/\1/p' "$lines" | sed -n 1p | tr '[:upper:]' '[:lower:]' | tr -cs 'a-z0-9\n' '-')
    head="$("$mdl" --version | sed -n 1p); $day; $(sed -n 's/.*"version": *"\([^"]*\)".*/peer PyTorch \1/p' "$lines" | sed -n 1p)"
    awk -v json="$out/rows" -v head="$head" -f bench/gpu_table.awk "$list" "$lines" >"$out/table.txt" || return
    {
        printf '{\n  "schema": "mdl.gpu-bench.1",\n  "date": "%s",\n  "versions": "%s",\n' "$day" "$head"
        cat "$out/rows"
        printf '}\n'
    } >"$out/${host:-gpu}-$day.json"
    rm -f "$out/rows"
}

# Kernels for the cache: several cases and plans at a time, since each has few.
warm() {
    {
        printf '%s\n' "${cases[@]}"
        for case in "${!plans[@]}"; do
            printf 'plan:%s\n' "${plans[$case]}"
        done
    } | timeout -k 5 "$(share 30)" xargs -P "$(nproc)" -n 1 "$bench" "$device" --warm "$arch" >>"$log" 2>&1
    [ $? != 124 ] || say "not all kernels are compiled yet"
}

gpu_name() {
    command -v nvidia-smi >/dev/null && timeout -k 2 10 nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null | sed -n 1p
}

# A plan for step:TYPE:MODEL:BxTxLxD, as gpu_torch.py takes it; prints its path.
plan() {
    local type model b t l d set=() rest
    IFS=: read -r _ type model rest <<<"$1"
    IFS=x read -r b t l d <<<"$rest"
    case $model in
    gpt2)
        set=(--set model.net.D="$d" --set model.net.L="$l" --set model.net.H="$((d / 64))" --set model.net.Ctx="$t"
            bench/gpt2_step.mdl)
        ;;
    mistral)
        local heads=$((d / 128 > 0 ? d / 128 : 1))
        set=(--set model.mistral.D="$d" --set model.mistral.L="$l" --set model.mistral.H="$heads"
            --set model.mistral.KV="$((heads / 4 > 0 ? heads / 4 : 1))" --set model.mistral.F="$((d * 7 / 2))"
            --set data.rows.length="$t" bench/mistral_step.mdl)
        ;;
    esac
    "$mdl" compile --quiet --device "$device" --arch "$arch" --set train.batch="$b" \
        --set train.precision="$type" "${set[@]}" -o "$out/plans/${1//:/-}" 2>>"$log"
}

step() { # CASE
    local line='' code=1 error='' why=$out/why.txt most
    most=$(share 50) # one that hangs leaves time to others
    most=$((most > 40 ? 40 : most))
    line=$(timeout -k 5 "$most" "$mdl" bench --quiet --json --device "$device" --seconds 2 "${plans[$1]}" 2>"$why")
    code=$?
    case $code in
    0) printf '%s\n' "$line" | sed "s/^{/{\"who\":\"mdl\",\"case\":\"$1\",/" | tee -a "$lines" ;;
    124 | 137) error='it takes too long' && [ $most = 40 ] || error='no time was left' ;;
    *) error=$(sed -n '1s|["\\]||gp' "$why" | grep . || echo "exit code $code") ;;
    esac
    [ -z "$error" ] || printf '{"who":"mdl","case":"%s","error":"%s"}\n' "$1" "$error" | tee -a "$lines"
    cat "$why" >>"$log"
    rm -f "$why"
}

# torch SECONDS [OPTION..] CASE..
torch() {
    local most=$1
    shift
    [ "$most" -gt 8 ] || return
    timeout -k 5 "$((most + 5))" "$python" bench/gpu_torch.py --device "$peer_device" --seconds "$((most - 5))" --out "$lines" "$@" \
        2>>"$log" || say "PyTorch stopped: $(tail -n 1 "$log")" 2>&1 | tee -a "$out/peers.txt" >&2
}

: >"$lines"
: >"$log"
name=$(gpu_name)
[ -z "$name" ] || printf '{"gpu":"%s","driver":"%s"}\n' "${name%,*}" "${name##*, }" | tee -a "$lines"
say "compiling kernels of ${#cases[@]} cases and ${#steps[@]} steps"
arch=${MDL_BENCH_ARCH:-$("$mdl" doctor 2>/dev/null | sed -n 's/.*(kernels for \(sm_[0-9]*a*\)).*/\1/p' | sed -n 1p)}
arch=${arch:-sm_90a}
declare -A plans
for case in "${steps[@]}"; do
    plans[$case]=$(plan "$case") || say "no plan for $case: $(tail -n 1 "$log")"
done
warm
say "measuring them"
"$bench" "$device" --seconds "$(share 45)" "${cases[@]}" 2>>"$log" | tee -a "$lines"
table
say "training steps"
for case in "${steps[@]}"; do
    if [ "$(left)" -gt 5 ]; then
        step "$case"
    else
        printf '{"who":"mdl","case":"%s","error":"no time was left"}\n' "$case" | tee -a "$lines"
    fi
done
table
has_torch=
most=$(left)
if [ "$most" -gt 10 ] && timeout -k 5 "$((most > 60 ? 60 : most))" "$python" -c 'import torch; print("PyTorch", torch.__version__)' >"$out/peers.txt" 2>>"$log"; then
    has_torch=1
    say "the same in PyTorch"
    torch "$(share 60)" --cap 1 "${cases[@]}" "${steps[@]}"
elif [ "$most" -le 10 ]; then
    say "no time was left for PyTorch" 2>&1 | tee "$out/peers.txt" >&2
else
    say "no PyTorch in $python: name a Python that has it in MDL_BENCH_PYTHON" 2>&1 | tee "$out/peers.txt" >&2
fi
table
if [ -n "$has_torch" ]; then
    say "compiled PyTorch" # what takes longest to compile, and is the best peer least often, last
    mapfile -t rest < <(for family in '^[^ag]' '^ad' '^gemm' '^attention'; do printf '%s\n' "${cases[@]}" | grep "$family"; done)
    torch "$(left)" --compile "${steps[@]}" "${rest[@]}"
    table
fi
rm -rf "$out/plans"
say "done: $out"
cat "$out/table.txt"
! grep '"who":"mdl".*"error"' "$lines" | grep -q -v 'no time was left'
