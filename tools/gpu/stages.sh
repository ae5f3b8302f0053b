# stages.sh: what is run, in which order and for how long. Sourced by run.sh.

wanted() { # PROGRAM
    case $1 in *"$match"*) [ -x "bin/$1" ] || [ -e "$1" ] ;; *) false ;; esac
}

# ---- the machine ----

# NVRTC of a Python package, where mdl itself finds none.
find_nvrtc() {
    local home file
    for home in /usr/local/lib/python3* /usr/lib/python3* "${VIRTUAL_ENV:-/nowhere}"/lib/python3* \
        "${CONDA_PREFIX:-/nowhere}"/lib/python3* "$HOME"/.local/lib/python3* /opt/*/lib/python3*; do
        for file in "$home"/{dist,site}-packages/nvidia/*/lib/libnvrtc.so.1[23]; do
            [ -e "$file" ] || continue
            printf '%s\n' "$file"
            return
        done
    done
    return 1
}

# What has to be there is there; sets gpu, driver, nvrtc and, unless they were named, isas.
doctor() {
    local log=$out/logs/doctor.log what bad='' code seconds status
    timed 40 "$log" bin/mdl doctor
    if [ -z "${MDL_NVRTC:-}" ] && grep -q '^absent *NVRTC' "$log" && MDL_NVRTC=$(find_nvrtc); then
        export MDL_NVRTC
        timed 40 "$log" bin/mdl doctor
    fi
    cat "$log"
    if [ "$status" = timeout ] || [ "$status" = cut ]; then
        row doctor mdl - "$status" 0 1 0 "$seconds" 'mdl doctor does not end'
        printf 'run: `mdl doctor` does not end: the driver hangs. See `dmesg`; a restart of the machine may help.\n' >&2
        return 1
    fi
    for what in 'CUDA driver' GPU NVRTC 'C compiler'; do
        grep -q "^ok *$what " "$log" || bad="$bad${bad:+, }$what"
    done
    gpu=$(sed -n 's/^ok *GPU *[0-9]*: \(.*\), compute capability.*/\1/p' "$log" | sed -n "$((${MDL_GPU:-0} + 1))p")
    own=$(sed -n 's/^ok *GPU .*(kernels for \([^)]*\)).*/\1/p' "$log" | sed -n "$((${MDL_GPU:-0} + 1))p")
    driver=$(sed -n 's/^ok *CUDA driver *//p' "$log")
    nvrtc=$(sed -n 's/^ok *NVRTC *//p' "$log")
    if [ -n "$bad" ]; then
        row doctor mdl - failed 0 1 0 0 "missing: $bad"
        printf 'run: this machine lacks: %s. Above is what mdl looked for, and what to do.\n' "$bad" >&2
        return 1
    fi
    [ -n "$isas" ] || isas="$own $([ "$own" = sm_80 ] || echo sm_80)"
    row doctor mdl - passed 1 0 0 0 "$gpu"
    ! command -v nvidia-smi >/dev/null || timed 15 "$out/logs/nvidia-smi.log" nvidia-smi
    return 0
}

# ---- a first training ----

losses() { # RUN_FOLDER
    sed -n 's/^{"step":\([0-9]*\),.*"loss":\([^,]*\),.*/\1 \2/p' "$1/run.jsonl" 2>/dev/null
}

train_small() { # DEVICE RUN_FOLDER [OPTION..]
    rm -rf "$2"
    timed 40 "$2.log" bin/mdl train bench/gpt2_step.mdl --device "$1" --run "$2" --max-steps 20 --quiet \
        --set model.net.V=256 --set model.net.D=32 --set model.net.L=2 --set model.net.H=2 \
        --set model.net.Ctx=32 --set train.log=1 "${@:3}"
    cat "$2.log" >>"$log"
}

# A GPT-2 of two small layers along the losses of the CPU, which has the same numbers but sums in another order.
smoke_job() { # ISA
    local log=$out/logs/smoke-train-$1.log work=$out/smoke far code seconds status
    mkdir -p "$work"
    : >"$log"
    train_small cpu "$work/cpu-$1"
    [ "$status" != passed ] || train_small cuda "$work/$1" --arch "$1"
    if [ "$status" != passed ]; then
        row smoke train "$1" "$status" 0 1 0 "$seconds" "$(complaint "$log")"
        return
    fi
    far=$(paste -d ' ' <(losses "$work/cpu-$1") <(losses "$work/$1") | tee -a "$log" | awk '
        { d = ($4 - $2) / $2; d = d < 0 ? -d : d; n += $1 == $3 && $4 == $4 + 0; if (d > most) most = d }
        END { print n == 20 && NR == 20 && most < 1e-3 ? "passed" : "failed", n + 0, most + 0 }')
    case $far in
    passed*) row smoke train "$1" passed 1 0 0 "$seconds" "losses differ by at most ${far##* }" ;;
    *) row smoke train "$1" failed 0 1 0 "$seconds" "of 20 losses $(cut -d ' ' -f 2 <<<"$far") are there; they differ by ${far##* }" ;;
    esac
}

stage_smoke() {
    local isa
    wanted train || [ -z "$match" ] || return
    for isa in $isas; do smoke_job "$isa"; done
}

# ---- tests ----

test_jobs() { # STAGE LIMIT PROGRAM..
    local stage=$1 limit=$2 isa program
    shift 2
    for isa in $isas; do
        for program in "$@"; do
            wanted "$program" && start_job test_job "$stage" "$program" "$isa" "$limit"
        done
    done
}

programs() { # PATTERN: of the programs, by name
    local file
    for file in bin/$1; do
        [ -x "$file" ] && printf '%s\n' "${file#bin/}"
    done
}

stage_ops() {
    local program
    # (test_codegen_attention is about the CPU, test_gpu_faults about the emulator)
    # shellcheck disable=SC2046 # names of programs have no spaces
    test_jobs ops 100 $(programs test_fast) $(programs 'test_gpu_*' | grep -v faults) \
        $(programs 'test_codegen_*' | grep -v attention)
    for program in test_gpubuild test_gputexts; do # of NVRTC
        wanted $program && start_job test_job ops $program "${isas%% *}" 100
    done
}

stage_models() {
    test_jobs models 150 test_recorded_compiled test_half_training test_optim test_zoo_compiled_training test_zoo_compiled \
        test_parity_texts test_parity_pictures
    wanted test_targets && start_job test_job models test_targets "${isas%% *}" 150
}

# ---- measurements ----

# bench/gpu.sh, alone on the GPU. It writes lines.jsonl, one for each thing that it measured or could not, and
# table.txt; report.sh takes over what is there, also of a run that was cut.
stage_bench() {
    local log=$out/logs/bench.log dir=$out/bench most passed=0 failed=0 late=0 note='' first='' code seconds status
    wait_jobs
    wanted bench/gpu.sh || return
    if [ "$(left)" -lt 20 ]; then
        row bench gpu.sh - 'not run' 0 0 0 0 'no time was left'
        return
    fi
    mkdir -p "$dir"
    most=$(left)
    timed "$most" "$log" bash bench/gpu.sh "$root" "$dir" $((most - 10))
    [ "$status" != timeout ] || status='cut'
    if [ -e "$dir/lines.jsonl" ]; then
        passed=$(grep -a '"who":"mdl"' "$dir/lines.jsonl" | grep -a -c '"median"')
        late=$(grep -a '"who":"mdl"' "$dir/lines.jsonl" | grep -a -c '"error":"no time was left"')
        failed=$(($(grep -a '"who":"mdl"' "$dir/lines.jsonl" | grep -a -c '"error"') - late))
    fi
    [ "$failed" != 0 ] || [ "$late" = 0 ] || { status='cut' note="$late not begun in time"; }
    [ "$passed$status" != 0passed ] || { status='failed' note='nothing was measured'; }
    [ "$status$failed" != failed0 ] || failed=1
    [ "$failed" = 0 ] || first=$(grep -a '"who":"mdl".*"error"' "$dir/lines.jsonl" 2>/dev/null | grep -a -v -m1 'no time was left')
    note=${first:-$note}
    [ "$status" != failed ] || note=${note:-$(complaint "$log")}
    [ ! -e "$dir/table.txt" ] || cat "$dir/table.txt"
    row bench gpu.sh - "$status" "$passed" "$failed" 0 "$seconds" "$note"
    bench_peers "$dir"
}

# Nothing fails for lack of a peer, but nobody takes a run without one for one with it.
bench_peers() { # FOLDER
    local note status=passed n=0
    [ -s "$1/peers.txt" ] || return
    note=$(tail -n 1 "$1/peers.txt")
    [ ! -e "$1/lines.jsonl" ] || n=$(grep -a '"who": *"torch"' "$1/lines.jsonl" | grep -a -c '"median"')
    [ "$n" != 0 ] || { status=absent && case $note in *"no time was left"*) status=cut ;; esac; }
    row bench peers - "$status" "$n" 0 0 0 "$note"
}

# ---- races and bounds, by NVIDIA's tool ----

find_sanitizer() {
    local file
    command -v compute-sanitizer && return
    for file in /usr/local/cuda*/bin/compute-sanitizer /opt/nvidia/*/compute-sanitizer; do
        [ -x "$file" ] && printf '%s\n' "$file" && return
    done
    return 1
}

sanitize_job() { # TOOL PROGRAM
    local log=$out/logs/sanitize-$1-$2.log found code seconds status
    if [ "$(left)" -lt 10 ]; then
        row "$1" "$2" "${isas%% *}" 'not run' 0 0 0 0 'no time was left'
        return
    fi
    timed 120 "$log" env MDL_TEST_DEVICE=cuda MDL_TEST_ISA="${isas%% *}" "$sanitizer" --tool "$1" \
        --target-processes all --error-exitcode 9 "bin/$2"
    found=$(grep -a -E '(ERROR|RACECHECK) SUMMARY' "$log" | tail -n 1)
    case $status in
    passed) row "$1" "$2" "${isas%% *}" passed 1 0 0 "$seconds" "${found#=* }" ;;
    cut) row "$1" "$2" "${isas%% *}" cut 0 0 0 "$seconds" 'the time was up' ;;
    *) row "$1" "$2" "${isas%% *}" "$status" 0 1 0 "$seconds" "${found:-$(complaint "$log")}" ;;
    esac
}

stage_sanitize() {
    local tool program
    wait_jobs
    if ! sanitizer=$(find_sanitizer); then
        row sanitize compute-sanitizer - absent 0 0 0 0 'it is in the CUDA toolkit'
        return
    fi
    for tool in memcheck racecheck; do
        for program in test_gpu_layouts test_gpu_row_col test_codegen_map test_codegen_reduce test_codegen_xent test_gpu_gemm test_gpu_attention; do
            wanted "$program" && start_job sanitize_job "$tool" "$program"
        done
    done
}
