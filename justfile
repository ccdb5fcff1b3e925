# List the recipes.
default:
    @just --list

# Run the sweep examples/configs/NAME.toml.
sweep NAME *ARGS:
    cargo run --release --bin probe -- sweep examples/configs/{{NAME}}.toml {{ARGS}}

# Train probes on every layer of the embedded model, offline.
demo:
    cargo run --release --bin probe -- demo

# Compare the defaults with scikit-learn and with far longer training (75 minutes on two cores).
defaults *SEEDS:
    examples/defaults/run.sh {{SEEDS}}

# Format the code.
fmt:
    cargo fmt --all

# Check the format.
fmt-check:
    cargo fmt --all --check

# Check the lints.
lint:
    cargo clippy --workspace --all-targets -- -D warnings

# Run every test.
test:
    cargo test --workspace

# Run the tests of a package that is not of the workspace and uses nothing but the facade.
test-outside:
    tests/outside/run.sh

# Compare WebGPU with the CPU (needs an adapter; Debian's mesa-vulkan-drivers is one in software).
test-wgpu:
    cargo test --release -p attention-probes-cli-probe --features wgpu --test it wgpu

# Build the documentation.
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

# Check licences and advisories of the dependencies (needs cargo-deny).
deny:
    cargo deny check

# Look for misspelt words (needs typos).
typos:
    typos

# Make the golden files again (needs Python with torch and scikit-learn).
golden:
    python3 crates/metrics/tests/golden/make_metrics.py
    python3 crates/probes/tests/golden/make_attention_probe.py
    python3 crates/probes/tests/golden/make_convex.py
    python3 crates/probes/tests/golden/make_recipes.py

# Make the golden files of autoencoders again (needs sae-lens 6.54.12, eai-sparsify 1.3.3, and dictionary-learning 0.1.0).
golden-sae:
    python3 crates/sae/tests/golden/make_formats.py
    python3 crates/sae/tests/golden/make_training.py

# Fuzz a reader, a name of fuzz/fuzz_targets (needs cargo-fuzz and a nightly compiler).
fuzz TARGET SECONDS="600":
    cargo +nightly fuzz run {{TARGET}} -- -max_total_time={{SECONDS}} -rss_limit_mb=1024 -malloc_limit_mb=256 -timeout=10

# Run the benchmarks, each beside its floor.
bench:
    cargo bench --workspace

# Everything that CI runs.
ci:
    .ci/run
