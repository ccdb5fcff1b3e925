#!/usr/bin/env bash
# Runs sweep.toml with both demo models and prints the tables of docs/results.md.
# Half an hour on two cores; the results stay in results/, and what is complete is not run again.
set -euo pipefail
cd "$(dirname "$0")/../.."

cargo build --release --bin probe --example results
for model in demo-gpt2 demo-gemma; do
  target/release/probe sweep examples/results/sweep.toml --model "$model" --run-name "$model" \
    --resume > "results/$model.txt"
done
target/release/examples/results results/demo-gpt2 results/demo-gemma
