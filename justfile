# Recipes for daily work; `just` lists them.
default:
    @just --list

# Formatting, lints, documentation links
check:
    git ls-files '*.rs' | xargs rustfmt --edition 2024 --check
    cargo clippy --workspace --all-targets -- -D warnings
    RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps

# All tests
test:
    cargo test --workspace --release

# The privacy kernel alone: no tensors, seconds
kernel:
    cargo test -p secateur-privacy --release

# Everything that measures time
bench:
    cargo bench --workspace

# Tokenizer files: what a default build leaves out
tokenizers:
    cargo test -p secateur-train --release --features tokenizers --lib tokenizer

# Parquet: likewise
parquet:
    cargo test -p secateur-train --release --features parquet --lib data::

# The GPU against the processor (skipped without one): operations, layers, bounds, whole steps; and all kernels compile
gpu:
    cargo test -p secateur-train --release --test gpu
    cargo test -p secateur-engine --release --lib cuda::

# What continuous integration runs
ci:
    .ci/run
