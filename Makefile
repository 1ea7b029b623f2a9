# Five words: setup, demo, test, lint, bench. `make help` says what each does.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
BIN := .venv/bin
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
export CARGO_TARGET_DIR ?= $(HOME)/.cache/fairlead/target
export PYO3_PYTHON := $(CURDIR)/.venv/bin/python
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_QUIET := 1
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt

RUST_SOURCES := $(shell find crates -name '*.rs' -o -name Cargo.toml) Cargo.toml Cargo.lock
WEB_SOURCES := $(shell find web/src web/public web/watchdog -type f) web/build.mjs web/package-lock.json
CARGO_TESTED := --workspace --exclude fairlead-python

.PHONY: help setup demo test lint bench bench-mesh bench-lastmile fuzz unit world e2e rust web clean

help:
	@echo 'make setup   everything into .venv and web/node_modules; .venv/bin/fairlead is the command'
	@echo 'make demo    a world of five regions and a page to call across it'
	@echo 'make test    setup, lint, Rust tests, Python tests, end-to-end tests'
	@echo 'make lint    formatting, types, walls between the rooms'
	@echo 'make bench   the performance record: node, relay, mesh, access networks; a table, and a file in bench/results'
	@echo 'make bench-mesh   what kills, loss and detours cost, simulated and real, each beside its target'
	@echo 'make bench-lastmile   what people on weak networks hear and see; AGAINST=ws://... SERVE_AGAINST=command beside another server'
	@echo 'make fuzz    every fuzz target for FUZZ_SECONDS (default 30) each; needs cargo-fuzz and nightly Rust'

setup: .venv/.core web/node_modules/.installed

.venv/.dependencies: pyproject.toml constraints.txt
	@command -v cargo >/dev/null || { echo 'cargo is not installed: get Rust 1.89 or later from rustup.rs' >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is older than 3.11: name a newer one, make PYTHON=python3.12" >&2; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python tools/requirements.py | $(BIN)/pip install -r /dev/stdin
	@touch $@

.venv/.core: .venv/.dependencies $(RUST_SOURCES)
	$(BIN)/maturin develop --quiet
	@touch $@

web/node_modules/.installed: web/package-lock.json web/package.json
	@command -v npm >/dev/null || { echo 'npm is not installed: get Node.js 20 or later, the demo page and the browser tests need it' >&2; exit 2; }
	cd web && npm ci --silent
	@touch $@

web/dist/.built: web/node_modules/.installed $(WEB_SOURCES)
	cd web && npm run --silent build
	@touch $@

web: web/dist/.built

demo: setup web
	$(BIN)/fairlead world --demo

test: lint rust unit world e2e

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy bench
	$(BIN)/python -m mypy.stubtest fairlead._core --ignore-disjoint-bases
	$(BIN)/lint-imports
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	cd web && npx --no-install tsc --noEmit

rust: setup
	cargo test --quiet $(CARGO_TESTED)

world: setup
	$(BIN)/python -m pytest -q -n $(JOBS) tests/world

unit: setup
	$(BIN)/python -m pytest -q -n $(JOBS) tests/unit tests/media tests/test_house.py
	cd web && npm test --silent

e2e: setup web
	$(BIN)/python -m pytest -q tests/e2e

# BENCH holds its options, as in make bench BENCH='--against ws://127.0.0.1:7980 --only node'.
bench: setup
	cargo build --quiet --release -p fairlead-load
	rm -f .venv/.core # what stands there from now on is the release build
	$(BIN)/maturin develop --quiet --release
	$(BIN)/python -m bench.record $(BENCH)

# Simulated kills, health and bytes; choice of paths; repair on a hop; then on real sockets a relay and kills under people
# who count aloud. BENCH_MESH='--kills 100 --shipping' has Python's routing in the simulated loop.
KILLS ?= 50
bench-mesh: setup
	cargo build --quiet --release -p fairlead-load
	rm -f .venv/.core
	$(BIN)/maturin develop --quiet --release
	$(BIN)/python -m bench.mesh $(BENCH_MESH)
	$(BIN)/python -m bench.routing
	cargo run --quiet --release -p fairlead-mesh --example repair
	$(BIN)/python -m bench.relay
	$(BIN)/python -m bench.kills --kills $(KILLS)

# AGAINST=ws://10.98.0.1:7880 SERVE_AGAINST='command' has another LiveKit-compatible server on the same networks, which the
# lab starts in its own network; BENCH_LASTMILE holds more options and rows, as in BENCH_LASTMILE='--repeats 5 A-30 C-drop'.
bench-lastmile: setup
	rm -f .venv/.core
	$(BIN)/maturin develop --quiet --release
	$(BIN)/python -m bench.lastmile $(if $(AGAINST),--against '$(AGAINST)' --serve-against '$(SERVE_AGAINST)') $(BENCH_LASTMILE)

FUZZ_SECONDS ?= 30
fuzz:
	@command -v cargo-fuzz >/dev/null || { echo 'cargo-fuzz is not installed: cargo install cargo-fuzz' >&2; exit 2; }
	for crate in wire io; do (cd crates/$$crate && for target in $$(cargo +nightly fuzz list); do \
	  cargo +nightly fuzz run "$$target" -- -max_total_time=$(FUZZ_SECONDS); done); done

clean:
	rm -rf .venv web/node_modules web/dist src/fairlead/*.so
