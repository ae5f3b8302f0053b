#!/usr/bin/env bash
# check.sh BUILD: how long `mdl check` takes, least of five runs in milliseconds: of the models and
# examples of this tree, and of generated programs of growing size, whose time must grow with it.
# Further .mdl files may be given: check.sh BUILD FILE..
set -euo pipefail
build=${1:?usage: bench/check.sh BUILD [FILE..]}
shift
here=$(cd "$(dirname "$0")" && pwd)
mdl=$(cd "$build" && pwd)/cli/mdl
work=$build/bench-work
mkdir -p "$work"

# Milliseconds of user and system time together: other people may use the machine.
TIMEFORMAT='%U %S'
least() { # FILE
    local best='' run ms
    for run in 1 2 3 4 5; do
        ms=$({ time "$mdl" check --quiet "$1" >/dev/null 2>"$work/check.err"; } 2>&1) || {
            cat "$work/check.err" >&2
            return 1
        }
        ms=$(awk '{ printf "%.0f", ($1 + $2) * 1000 }' <<<"$ms")
        [ -n "$best" ] && [ "$best" -le "$ms" ] || best=$ms
    done
    echo "$best"
}

row() { # FILE NAME
    local ms
    ms=$(least "$1") || ms='wrong'
    printf '%-44s %8d %6s\n' "$2" "$(wc -c <"$1")" "$ms"
}

printf '%-44s %8s %6s\n' file bytes ms
for file in "$here"/../models/*.mdl "$here"/../examples/digits/*.mdl "$@"; do
    [ -f "$file" ] || continue
    row "$file" "$(basename "$file")"
done
for bytes in 125000 250000 500000 1000000 2000000; do
    awk -v "bytes=$bytes" -f "$here/source.awk" >"$work/source.mdl"
    row "$work/source.mdl" generated
done
