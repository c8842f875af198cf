# Two commands on a fresh machine: `make demo` and `make test`. Everything is installed into .venv.

PYTHON ?= python3
ARGS ?=
VENV := .venv
PIP := $(VENV)/bin/python -m pip install -qq --disable-pip-version-check --require-hashes
# Of what only tests need, most is never imported, and Python compiles what is. What is served is compiled before: whoever
# runs it may not write here.
UNCOMPILED := $(PIP) --no-compile
# Only progress and complaints of the installation: standard output belongs to the commands.
SELF := $(VENV)/bin/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
# Images set this so that a layer holds no bytecode. Here every command and server that a test starts would compile all of
# Tessera again, a third of the time it takes to start.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test simulate mutate fuzz soak install lock format clean

demo: $(VENV)/installed-runtime  ## a real vision call, quoted, held, served and settled
	@$(VENV)/bin/tessera demo $(ARGS)

install: $(VENV)/installed-runtime  ## the `tessera` command in .venv/bin

test: $(VENV)/installed-test tests/node/node_modules/.package-lock.json  ## every check and every test
	@$(VENV)/bin/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

RUNS ?= 10000
simulate: $(VENV)/installed-test  ## the money simulation, RUNS seeded runs; a failure prints what replays it
	@PYTHONPATH=tests $(VENV)/bin/python -m simulation --runs $(RUNS) $(ARGS)

# Two cores for a quarter of an hour; other work on the machine shows in the figures. Installs nginx, wrk, strace (root).
bench: $(VENV)/installed-test  ## Tessera beside LiteLLM and nginx; writes docs/benchmarks.md
	@$(VENV)/bin/python -m benchmarks.gateway $(ARGS)
	@$(VENV)/bin/python -m benchmarks.gateway.report

mutate: $(VENV)/installed-test  ## small changes to the rules of money, each of which a test must notice
	@PYTHONPATH=tests $(VENV)/bin/python -m mutation $(ARGS)

SECONDS ?= 60
fuzz: $(VENV)/installed-fuzz  ## coverage-guided fuzzing, SECONDS for each target; what breaks is printed and kept
	@PYTHONPATH=tests $(VENV)/bin/python -m fuzz --seconds $(SECONDS) $(ARGS)

MINUTES ?= 30
soak: $(VENV)/installed-test  ## a server under mixed load for MINUTES; memory, sockets, tasks and money must come back
	@PYTHONPATH=tests $(VENV)/bin/python -m soak --minutes $(MINUTES) $(ARGS)

format: $(VENV)/installed-test
	@$(VENV)/bin/ruff check --fix . && $(VENV)/bin/ruff format .

$(VENV)/bin/python:
	@echo "Making the virtual environment in $(VENV)…" >&2
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Tessera needs Python 3.11 or later.")' >&2
	@tools/make_venv "$(PYTHON)" "$(VENV)" >&2

$(VENV)/installed-runtime: requirements/runtime.txt pyproject.toml | $(VENV)/bin/python
	@echo "Installing Tessera into $(VENV)…" >&2
	@$(PIP) -r requirements/runtime.txt >&2
	@$(SELF) >&2
	@touch $@

$(VENV)/installed-test: requirements/test.txt pyproject.toml | $(VENV)/installed-runtime
	@echo "Installing what the tests need into $(VENV)…" >&2
	@tools/install_test_programs >&2 & programs=$$!; \
	$(UNCOMPILED) -r requirements/test.txt >&2; installed=$$?; \
	wait $$programs && exit $$installed
	@touch $@

$(VENV)/installed-fuzz: requirements/fuzz.txt $(VENV)/installed-test
	@echo "Installing the fuzzer…" >&2
	@$(UNCOMPILED) --only-binary :all: -r requirements/fuzz.txt >&2
	@touch $@

# Without npm the tests of the Node client are skipped, and say so.
tests/node/node_modules/.package-lock.json: tests/node/package.json tests/node/package-lock.json | $(VENV)/installed-test
	@if command -v npm >/dev/null; then cd tests/node && npm ci --silent --no-audit --no-fund >&2; \
	else echo "npm is not here: the tests of the OpenAI Node client will be skipped." >&2; fi

lock:  ## the hashed requirement files, from pyproject.toml; everything newest with ARGS=--upgrade
	@tools/lock $(ARGS)

clean:
	@rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache tests/node/node_modules
