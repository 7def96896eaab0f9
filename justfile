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

# What continuous integration runs
ci:
    .ci/run
