# Every task of this repository. `make demo` and `make check` install what they need.

SHELL := /bin/bash
CARGO ?= cargo
PREFIX ?= /usr/local
BINARY := target/release/ragpod

.PHONY: help build install deb rpm dist check-packages check check-fast fmt clippy test e2e bench host-stop demo deny fuzz clean

help: ## Show these tasks
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## Build the program: target/release/ragpod
	$(CARGO) build --release --locked

install: ## Install below DESTDIR PREFIX, by default /usr/local: program, manual, completions, units
	DESTDIR="$(DESTDIR)" PREFIX="$(PREFIX)" BINARY="$(BINARY)" packaging/install

deb: ## A Debian package, into target/packages
	packaging/deb/build

rpm: ## An RPM package, into target/packages
	packaging/rpm/build

dist: ## A source tarball that builds without a network, into target/packages
	packaging/dist

check-packages: ## Build the packages, check them, use them in a fresh Debian; long
	@tests/packages/run

demo: ## Bring up an instance, ingest real text, ask it three questions
	@tests/demo

check: ## All checks and tests, each phase timed; HOST=forky: on that release of Debian
	@RAGPOD_TEST_SUITE=$(if $(filter command,$(origin HOST)),$(HOST)) tests/check

check-fast: ## The checks that need no test host
	@tests/check fast

fmt: ## Format the code
	$(CARGO) fmt

clippy: ## Lint
	$(CARGO) clippy --all-targets --all-features --locked -- -D warnings

test: ## Unit, property, snapshot and command-line tests
	$(CARGO) test --locked

e2e: build ## End-to-end tests in the test host
	$(CARGO) test --locked --features e2e --test e2e -- --test-threads=2

bench: build ## Measure ragpod beside others, the engine, many instances; writes docs/benchmarks.md
	tests/bench/all

host-stop: ## Stop the test host
	tests/host/stop

deny: ## Licences, advisories and duplicates of the dependencies
	cargo deny check

fuzz: ## Fuzz each parser for FUZZ_SECONDS, 600 by default (needs cargo-fuzz and a nightly compiler)
	@tests/fuzz/long $(or $(FUZZ_SECONDS),600)

clean: ## Remove what was built here (the test host's cache stays: tests/host/README.md)
	$(CARGO) clean
