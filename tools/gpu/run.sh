#!/usr/bin/env bash
# run [OPTIONS]: shows on the GPU of this machine what mdl does: tests, then measurements, the most important
# first. It is the `run` of a folder that `./dev gpu --pack` makes, and of `./dev gpu`.
#
#   --only STAGE[,STAGE..]  doctor (always), smoke, ops, models, bench, sanitize
#   --isa ISA[,ISA..]       kernels of these architectures; else the GPU's own and sm_80
#   --match TEXT            only programs with this text in their names
#   --time SECONDS          in all; what does not fit is reported as not run (default 460)
#   --jobs N                test programs at a time; else as many as there are processors
#   --out DIR               results: results.tsv, logs/, GPU-DATE.json (default results/ here)
#
# Exit codes: 0 all passed, 1 something failed or nothing ran, 2 usage, 3 not all of it was run.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")" || exit 1
[ -d bin ] || cd ../.. || exit 1 # started as tools/gpu/run.sh of a pack
root=$PWD

only=smoke,ops,models,bench,sanitize
isas=
match=
budget=460
jobs=$(nproc 2>/dev/null || echo 2)
out=$root/results

help() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' tools/gpu/run.sh; }

usage() {
    help >&2
    exit 2
}

while [ $# -gt 0 ]; do
    case $1 in -h | --help) help && exit ;; esac
    [ $# -ge 2 ] || usage
    case $1 in
    --only) only=$2 ;;
    --isa) isas=${2//,/ } ;;
    --match) match=$2 ;;
    --time) budget=$2 ;;
    --jobs) jobs=$2 ;;
    --out) out=$2 ;;
    *) usage ;;
    esac
    shift 2
done
for stage in ${only//,/ }; do
    case $stage in doctor | smoke | ops | models | bench | sanitize) ;; *) usage ;; esac
done
case $budget$jobs in *[!0-9]*) usage ;; esac
[ "$budget" -gt 0 ] && [ "$jobs" -gt 0 ] || usage

table=$out/results.tsv
[ -w "$root" ] || {
    printf 'run: %s cannot be written to, and kernels are kept there: copy it to where it can\n' "$root" >&2
    exit 1
}
mkdir -p "$out/logs" && out=$(cd "$out" && pwd) && rm -rf "$out"/logs/*.log "$out"/bench &&
    printf 'stage\tprogram\tisa\tstatus\tpassed\tfailed\tskipped\tseconds\tnote\n' >"$table" || {
    printf 'run: results cannot be written to %s: is the disk full? --out DIR names another folder\n' "$out" >&2
    exit 1
}
export MDL_PATH=$root/models MDL_CACHE=${MDL_CACHE:-$root/kernel-cache}
export MDL_GPU_TIMEOUT=${MDL_GPU_TIMEOUT:-20} # no kernel of a test takes as long
export CUDA_CACHE_DISABLE=1 # ours is the cache
export LC_ALL=C
unset CMOCKA_MESSAGE_OUTPUT CMOCKA_TEST_ABORT CMOCKA_TEST_FILTER CMOCKA_XML_FILE
. tools/gpu/job.sh
. tools/gpu/stages.sh
. tools/gpu/report.sh

# Of 460 s, what a stage has at least, whatever those before it do: they end so much earlier. What they do not need is
# its, too.
declare -A least=([models]=70 [bench]=190 [sanitize]=60)
order='smoke ops models bench sanitize'
until=$budget # when jobs end that begin now
begin() { # STAGE
    local stage behind='' kept=0
    for stage in $order; do
        [ -z "$behind" ] || case ,$only, in *,$stage,*) kept=$((kept + ${least[$stage]:-0})) ;; esac
        [ "$stage" != "$1" ] || behind=1
    done
    until=$((budget - kept * budget / 460))
}

trap 'stop_jobs; report; exit 3' INT TERM HUP
doctor || {
    report
    exit 1
}
for stage in $order; do
    case ,$only, in *,$stage,*) begin "$stage" && "stage_$stage" && so_far ;; esac
done
wait_jobs
report
