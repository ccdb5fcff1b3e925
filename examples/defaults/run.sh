#!/usr/bin/env bash
# Compares the defaults with far longer training and with scikit-learn: a table of docs/results.md.
# Some 75 minutes on two cores, 110 of CPU time. What is done stays in target/defaults, so it goes on
# where it was stopped; after a change of the defaults, delete defaults.jsonl there. Arguments: seeds;
# 1, 2, and 3 without.
set -euo pipefail
cd "$(dirname "$0")/../.."

folder=target/defaults
python="$folder/python/bin/python"
mkdir -p "$folder"
if ! "$python" -c "import sklearn" 2>/dev/null; then
  python3 -m venv "$folder/python"
  "$python" -m pip install --quiet numpy==2.4.6 scikit-learn==1.9.1
fi
[ $# -gt 0 ] || set -- 1 2 3
cargo run --release --example defaults -- "$folder" "$@"
OPENBLAS_NUM_THREADS=1 "$python" examples/defaults/table.py "$folder"
