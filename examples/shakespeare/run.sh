#!/usr/bin/env bash
# run.sh BUILD: trains the writer from three seeds, writes a page with the first, and prints the mean of their
# losses over the whole validation part. Needs tinyshakespeare.txt (README.md) in this folder or in one of
# $MDL_DATA. Run again, it reuses the runs.
set -euo pipefail
mdl=$(realpath "$1")/cli/mdl
cd "$(dirname "$0")"
losses=()
for seed in 1 2 3; do
    line=$("$mdl" train shakespeare.mdl --run "runs/$seed" --seed "$seed" | tail -n 1)
    echo "seed $seed: $line"
    losses+=("$(awk '{ print $3 }' <<< "$line")")
done
"$mdl" generate shakespeare.mdl --run runs/1
printf '%s\n' "${losses[@]}" | awk '{ sum += $1 } END { printf "val loss %.4f\n", sum / NR }'
