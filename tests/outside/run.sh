#!/usr/bin/env bash
# Runs the tests of this package with the versions and the profile of the workspace, so that what the
# workspace has built is used again.
set -euo pipefail
cd "$(dirname "$0")/../.."
cp Cargo.lock tests/outside/Cargo.lock
mkdir -p target
profile=target/dev-profile.toml
sed -n '/^\[profile\.dev/,/^\[profile\.release\]/p' Cargo.toml | sed '$d' > "$profile"
cargo test --manifest-path tests/outside/Cargo.toml --target-dir target --config "$profile" "$@"
