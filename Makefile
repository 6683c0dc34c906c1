# Every task of this repository. `make demo` and `make check` install what they need.

SHELL := /bin/bash
CARGO ?= cargo
PREFIX ?= /usr/local
BINARY := target/release/ragpod

.PHONY: help build check check-fast fmt clippy test e2e host-stop demo deny clean

help: ## Show these tasks
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## Build the program: target/release/ragpod
	$(CARGO) build --release --locked

demo: ## Bring up an instance, ingest real text, ask it three questions
	@tests/demo

check: ## All checks and tests, each phase timed
	@tests/check

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

host-stop: ## Stop the test host
	tests/host/stop

deny: ## Licences, advisories and duplicates of the dependencies
	cargo deny check

clean: ## Remove what was built here (the test host's cache stays: tests/host/README.md)
	$(CARGO) clean
