# What this project is worked on with; `just` alone lists it.
_default:
    @just --list

# Everything that CI runs: formatting, lints, all tests on SQLite and PostgreSQL
check:
    .ci/run

# Formatting, lints and the Rust tests on SQLite: what to run while working
quick:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    cargo test --workspace

# Serve, with the data in ./data
serve *flags:
    cargo run --release -- serve {{flags}}

# Measure against the peers and write docs/benchmarks.md
bench *flags:
    benches/run {{flags}}

# Look for dependencies with known faults or foreign licences (needs cargo-deny)
deny:
    cargo deny check

# Print the OpenAPI document of every HTTP API
openapi:
    cargo run --quiet -- openapi

# Write src/schema.rs anew after a change of the migrations (needs diesel_cli)
schema database="target/schema.db":
    rm -f {{database}}
    diesel migration run --database-url {{database}}
