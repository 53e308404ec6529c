# Each target sets up what it needs in .venv; `make demo` and `make test` work on a fresh clone.

PYTHON ?= python3
BIN = .venv/bin
WASM = @prisma/prisma-schema-wasm@7.1.1-3.c2990dca591cba766e3b7ef5d9e8a84796e47ab7

.PHONY: demo test test-slow lint types bench clean

demo: .venv/ready
	$(BIN)/octavo demo

test: .venv/ready node_modules/.ready
	$(BIN)/pytest -m "not slow"

test-slow: .venv/ready node_modules/.ready
	$(BIN)/pytest -m slow

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/ready
	$(BIN)/mypy

bench: .venv/ready
	$(BIN)/python benchmarks/fold.py

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,demo]'
	touch $@

# Prisma's own engine: the parser is held against it where Node is there, and against recorded answers always.
node_modules/.ready:
	@mkdir -p node_modules
	@if command -v npm >/dev/null 2>&1; then \
	  npm install --silent --no-save --no-package-lock --no-audit --no-fund '$(WASM)' \
	  || echo 'Prisma engine not installed: its live comparison is left out'; fi
	@mkdir -p node_modules && touch $@

clean:
	rm -rf .venv node_modules .pytest_cache .mypy_cache .ruff_cache .hypothesis
