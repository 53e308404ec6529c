# Each target sets up what it needs in .venv; `make demo` and `make test` work on a fresh clone.

PYTHON ?= python3
BIN = .venv/bin
# A process for each core, each with a server of its own.
WORKERS = -n auto --maxprocesses 4
# Prisma's engine of 6.19 and of the newest 7, side by side.
WASM = prisma-schema-6@npm:@prisma/prisma-schema-wasm@7.1.1-3.c2990dca591cba766e3b7ef5d9e8a84796e47ab7 \
  prisma-schema-7@npm:@prisma/prisma-schema-wasm@7.10.0-7.561d7b42579a2459cc8edf3788918b626c640023 \
  prisma-migrate-7@npm:@prisma/schema-engine-wasm@7.10.0-7.561d7b42579a2459cc8edf3788918b626c640023

.PHONY: demo test test-slow lint types bench stub clean

demo: .venv/ready
	$(BIN)/octavo demo

test: .venv/ready node_modules/.ready tests/serve/node/.ready
	$(BIN)/pytest $(WORKERS) -m "not slow"

# PART=3/40 runs one part of forty, which may be empty (pytest's exit code 5).
test-slow: .venv/ready node_modules/.ready tests/serve/node/.ready
	$(BIN)/pytest $(WORKERS) -m slow $(if $(PART),--part $(PART)) || [ $$? -eq 5 ]

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/ready
	$(BIN)/mypy

# In some minutes; each benchmark without arguments has the sizes of docs/performance.md.
bench: .venv/ready
	$(BIN)/python benchmarks/fold.py 20000/250 --runs 1
	$(BIN)/python benchmarks/care.py 20000/250 --runs 1
	$(BIN)/python benchmarks/store.py --messages 50000 --chats 250 --rounds 3
	$(BIN)/python benchmarks/client.py --messages 5000 --rounds 3
	$(BIN)/python benchmarks/search.py --messages 20000

# What is derived from schema 0.7 and shipped; tests hold it against the schema.
stub: .venv/ready
	$(BIN)/python tools/stub.py

.venv/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo 'Octavo needs Python 3.11 or later; name one: make PYTHON=python3.12' >&2; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,demo]'
	@# Where PYTHONDONTWRITEBYTECODE is set, each command would compile the modules anew.
	@$(BIN)/python -m compileall -q src
	@touch $@

# Prisma's own engines: the parser is held against it where Node is there, and against recorded answers always.
node_modules/.ready: Makefile
	@if command -v node >/dev/null && command -v npm >/dev/null; then \
	  mkdir -p node_modules; \
	  if npm install --silent --no-save --no-package-lock --no-audit --no-fund --fetch-retries=1 $(WASM); \
	  then touch $@; \
	  else echo "Prisma's engine could not be installed: the live comparison with it is left out"; fi; \
	else echo "Node is not there: the live comparison with Prisma's engine is left out"; fi

# Prisma's real clients, for the tests of the server; their native engines are not needed.
PRISMA = prisma-6 prisma-5 prisma-7
tests/serve/node/.ready: js/index.js tests/serve/node/generate.mjs $(PRISMA:%=tests/serve/node/%/package.json)
	@if command -v node >/dev/null && command -v npm >/dev/null; then \
	  for version in $(PRISMA); do \
	    (cd tests/serve/node/$$version && \
	      npm install --silent --ignore-scripts --no-package-lock --no-audit --no-fund --fetch-retries=1) && \
	    node tests/serve/node/generate.mjs $$version || exit 0; \
	  done; touch $@; \
	else echo "Node is not there: the tests with Prisma's clients are left out"; fi

clean:
	rm -rf tests/serve/node/.ready tests/serve/node/*/node_modules tests/serve/node/*/generated
	rm -rf .venv node_modules .pytest_cache .mypy_cache .ruff_cache .hypothesis
