# What people and the CI run. Thin on purpose: the work is in cargo and in `cargo xtask`.

.DEFAULT_GOAL := help
.PHONY: help demo build test test-matrix check unit e2e chaos bench fuzz fuzz-short schedules advisories setup \
        plugins plugins-test vectors

# cargo, the tests and xtask must agree on where things are built; the plugins have a folder there.
target := $(abspath $(or $(CARGO_TARGET_DIR),target))
export CARGO_TARGET_DIR := $(target)
plugins_args := --manifest-path plugins/Cargo.toml --target-dir $(target)/plugins-build
sdk_args := --manifest-path plugin-sdk/rust/Cargo.toml --target-dir $(target)/plugins-build
fuzz_args := --manifest-path fuzz/Cargo.toml --target-dir $(target)
trainer_args := --manifest-path plugins/spam-check/trainer/Cargo.toml --target-dir $(target)/plugins-build

# Always the whole workspace with the features of its tests: cargo picks features by what it is
# asked to build, and another choice would compile wasmtime and tokio a second time.
# The binary carries the shipped plugins compiled. Cargo cannot run in the middle of a build what it has
# just built, so that is a step before it; the test is only for its features.
modules := $(abspath $(or $(LOCKGATE_PLUGINS_DIR),$(target)/plugins))
carry := cargo build --quiet --workspace --bin precompile --test compile && $(target)/debug/precompile $(modules)
build_host := $(carry) && cargo build --quiet --workspace --bin lockgate --bin with-rabbit --test e2e --test chaos
test_host := cargo test --quiet --workspace
benches := $(if $(BENCH),--bench bench,--bench engine --bench memory --bench bench)
# Errors of end-to-end tests say what happened; where in the harness is of no use.
export RUST_LIB_BACKTRACE := 0

help:
	@echo 'make demo        a whole pipeline on the embedded broker, with sample data'
	@echo 'make test        every test: unit, conformance, plugins, vectors, end to end on a real RabbitMQ'
	@echo 'make test-matrix  the broker tests on each RabbitMQ that Debian has: 3.10, 4.0, 4.3 (root)'
	@echo 'make check       formatting, lints, the rules of the tree, licences'
	@echo 'make bench       speed and memory, as ratios measured in one run; BENCH="core plugins start broker", ROUNDS=11'
	@echo 'make fuzz        libFuzzer over every target; FUZZ_SECONDS=60 or FUZZ_RUNS=1000000 each, FUZZ_TARGET=name'
	@echo 'make build       target/debug/lockgate with the shipped plugins in it'
	@echo 'make e2e         the end-to-end tests alone; E2E=name picks those whose name contains it,'
	@echo '                 LONG=1 takes the counts of the acceptance instead of the short ones'
	@echo 'make chaos       half an hour of faults over a million messages, and a table of what came of it:'
	@echo '                 CHAOS_MINUTES=30 CHAOS_MESSAGES=1000000 CHAOS_SEED=1 (a seed is a schedule)'
	@echo 'make advisories  known vulnerabilities of our dependencies (needs cargo-deny and a network)'

demo: build
	@$(target)/debug/lockgate demo

build:
	@cargo xtask setup-wasm
	@cargo xtask plugins
	@echo 'build: host (the first time takes minutes)'
	@$(build_host)

test: setup plugins
	@cargo xtask tidy
	@echo 'build: host (the first time takes minutes)'
	@$(build_host)
	@echo 'test: host, with a RabbitMQ that is started and stopped here'
	@$(target)/debug/with-rabbit $(test_host)
	@$(MAKE) --no-print-directory schedules plugins-test vectors fuzz-short
	@echo 'test: all passed'

# As root: every newer RabbitMQ runs in a small Debian of its own. MATRIX="trixie" picks one.
test-matrix: setup plugins
	@$(build_host)
	@cargo xtask matrix $(MATRIX)

setup:
	@cargo xtask setup

plugins:
	@cargo xtask plugins

plugins-test:
	@echo 'test: plugins and SDK, natively'
	@cargo test --quiet $(plugins_args) --workspace
	@cargo test --quiet $(sdk_args)
	@cargo test --quiet $(trainer_args)

# What no wake-up may be lost in, under every order of its steps that shuttle tries.
schedules:
	@echo 'test: schedules of the lanes'
	@cargo test --quiet --package lockgate-pipeline --features shuttle --lib schedules

# The kept inputs of every fuzz target, and mutations of them.
fuzz-short:
	@echo 'test: fuzz targets, briefly'
	@cargo test --quiet $(fuzz_args)

fuzz:
	@FUZZ_SECONDS=$(FUZZ_SECONDS) FUZZ_RUNS=$(FUZZ_RUNS) FUZZ_TARGET=$(FUZZ_TARGET) cargo xtask fuzz

vectors:
	@echo 'test: golden vectors of the frame format'
	@$(target)/venv/bin/python -B plugin-sdk/frame/make_vectors.py --check
	@$(target)/venv/bin/python -B plugin-sdk/frame/test_frame.py

e2e: setup plugins
	@$(build_host)
	@LOCKGATE_LONG=$(LONG) $(target)/debug/with-rabbit $(test_host) --test e2e -- $(E2E)

# The table is printed and kept as chaos-report.md in the build folder.
chaos: setup plugins
	@$(build_host)
	@CHAOS_MINUTES=$(or $(CHAOS_MINUTES),30) $(test_host) --test chaos -- a_seeded_schedule

check: setup plugins
	@cargo fmt --all --check
	@cargo fmt --all --check --manifest-path plugins/Cargo.toml
	@cargo fmt --all --check --manifest-path plugin-sdk/rust/Cargo.toml
	@cargo fmt --all --check --manifest-path plugins/spam-check/trainer/Cargo.toml
	@cargo fmt --all --check --manifest-path fuzz/Cargo.toml
	@cargo xtask tidy
	@cargo clippy --quiet --workspace --all-targets -- -D warnings
	@cargo clippy --quiet $(plugins_args) --workspace --all-targets -- -D warnings
	@cargo clippy --quiet $(sdk_args) --all-targets -- -D warnings
	@cargo clippy --quiet $(trainer_args) --all-targets -- -D warnings
	@cargo clippy --quiet $(fuzz_args) --lib --test replay -- -D warnings
	@if cargo deny --version >/dev/null 2>&1; then \
	  for manifest in Cargo.toml plugins/Cargo.toml plugin-sdk/rust/Cargo.toml plugins/spam-check/trainer/Cargo.toml fuzz/Cargo.toml; do \
	    cargo deny --offline --log-level error --config $(CURDIR)/deny.toml \
	      --manifest-path $$manifest check bans licenses sources || exit 1; done; \
	else echo 'check: licences and bans skipped; `cargo install cargo-deny` to have them'; fi

advisories:
	@cargo deny check advisories

bench: setup plugins
	@echo 'build: host, released (the first time takes minutes)'
	@cargo build --quiet --release --workspace --bin precompile --bench engine
	@$(target)/release/precompile $(modules)
	@cargo build --quiet --release --workspace --bin lockgate $(benches)
	@LOCKGATE_BIN=$(target)/release/lockgate cargo bench --quiet --workspace $(benches) -- $(BENCH)
