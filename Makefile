# What people and the CI run. Thin on purpose: the work is in cargo and in `cargo xtask`.
# One profile and one set of features serve `demo` and `test`, so that a clean machine builds once.

.DEFAULT_GOAL := help
.PHONY: help demo test check bench setup plugins unit e2e advisories

# cargo, the tests and xtask must agree on where things are built; plugins share a folder there.
target := $(abspath $(or $(CARGO_TARGET_DIR),target))
export CARGO_TARGET_DIR := $(target)
plugins_target := $(target)/plugins-build
sdk := plugin-sdk/rust/Cargo.toml

help:
	@echo 'make demo        a whole pipeline on the embedded broker, with sample data'
	@echo 'make test        every test: unit, conformance, plugins, vectors, end to end on a real RabbitMQ'
	@echo 'make check       formatting, lints, the rules of the tree, licences'
	@echo 'make bench       speed and memory, as ratios measured in one run'
	@echo 'make unit, e2e   the two halves of `make test`'
	@echo 'make advisories  known vulnerabilities of our dependencies (needs cargo-deny and a network)'
	@echo
	@echo 'E2E=name         run only the end-to-end tests whose name contains it: make e2e E2E=chaos'
	@echo 'LONG=1           with e2e: the counts that the acceptance asks for instead of the short ones'

demo:
	@cargo xtask setup-wasm
	@cargo xtask plugins
	@cargo build --quiet --workspace --bin lockgate
	@$(target)/debug/lockgate demo

test: setup plugins
	@cargo xtask tidy
	@$(MAKE) --no-print-directory unit
	@$(MAKE) --no-print-directory e2e

setup:
	@cargo xtask setup

plugins:
	@cargo xtask plugins

unit: plugins
	@echo 'unit: host'
	@cargo test --quiet --workspace --exclude lockgate-tests
	@echo 'unit: plugins, natively'
	@cargo test --quiet --manifest-path plugins/Cargo.toml --target-dir $(plugins_target) --workspace
	@echo 'unit: SDK and frame vectors'
	@cargo test --quiet --manifest-path $(sdk) --target-dir $(plugins_target)

# Tests that break a broker start one each: few at a time, or a small machine spends its time booting.
e2e: setup plugins
	@cargo build --quiet --workspace --bin lockgate
	@cargo test --quiet --package lockgate-tests --no-run
	@echo 'e2e: a real RabbitMQ, started and stopped here'
	@RUST_LIB_BACKTRACE=0 LOCKGATE_LONG=$(LONG) cargo test --package lockgate-tests --test e2e -- --test-threads 2 $(E2E)

check: setup plugins
	@cargo fmt --check
	@cargo fmt --check --manifest-path plugins/Cargo.toml
	@cargo fmt --check --manifest-path $(sdk)
	@cargo xtask tidy
	@cargo clippy --quiet --workspace --all-targets -- -D warnings
	@cargo clippy --quiet --manifest-path plugins/Cargo.toml --target-dir $(plugins_target) --workspace --all-targets -- -D warnings
	@cargo clippy --quiet --manifest-path $(sdk) --target-dir $(plugins_target) --all-targets -- -D warnings
	@if cargo deny --version >/dev/null 2>&1; \
	then cargo deny --offline check bans licenses sources; \
	else echo 'check: licences skipped; cargo install cargo-deny to have them'; fi

advisories:
	@cargo deny check advisories

bench: setup plugins
	@cargo build --quiet --release --bin lockgate
	@cargo bench --quiet --package lockgate-tests
