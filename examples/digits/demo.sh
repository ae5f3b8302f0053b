#!/usr/bin/env bash
# demo.sh BUILD: draws the digits, trains a matrix, an MLP and a small transformer on them, compares
# them on held-out pictures, and shows some predictions. Run again, it reuses data, plans and runs.
set -euo pipefail
build=$(realpath "$1")
cd "$(dirname "$0")"
mdl=$build/cli/mdl
digits=$build/examples/digits/mdl-digits

say() { printf '\n== %s\n' "$*"; }

if [ -e data/mnist/t10k-labels-idx1-ubyte ]; then
    say "data/mnist is there"
else
    say "drawing the digits"
    "$digits" make data/mnist
fi

say "checking the programs"
for program in *.mdl; do
    "$mdl" check "$program" && echo "$program is right"
done

start=$SECONDS
for name in linear mlp_mnist transformer; do
    say "training $name.mdl"
    "$mdl" train $name.mdl --run runs/$name
done
say "all trained in $((SECONDS - start)) s"

say "accuracy on held-out digits"
for name in linear mlp_mnist transformer; do
    printf '%-12s %s\n' $name "$("$mdl" eval $name.mdl test --run runs/$name)"
done

say "what the transformer says about some of them"
weights=$(ls -d runs/transformer/checkpoints/step-* | sort -V | tail -n 1)/weights.safetensors
"$digits" sample runs/some.safetensors 8
"$mdl" call transformer.mdl digit_transformer --weights "$weights" --in runs/some.safetensors --out runs/said.safetensors
"$digits" show runs/said.safetensors 8

say "next: $mdl dump examples/digits/transformer.mdl --groups"
