# make practice   the twin practises on this machine; everything it needs goes into .venv
# make check      the short version of make test
# make help       the rest
SHELL := bash

# The first Python that is new enough; `make PYTHON=/path/to/python3.12 practice` overrides it.
PYTHON ?= $(firstword $(foreach p,python3 python3.13 python3.12 python3.11,$(shell \
	$(p) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(p))))
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

# One thread per process in tests, and a process per core; what runs in real time has the machine to itself.
# Bytecode is kept even where the environment says otherwise: tests' asserts are rewritten once, not by every
# process that collects them.
TEST_ENVIRONMENT := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MUJOCO_GL=disabled PYTHONDONTWRITEBYTECODE=
# Where tests may run in real time: nothing else is collected for them (tests/conftest.py).
REALTIME := tests/e2e tests/launch/bench

.PHONY: practice test check lint coverage mutants fuzz help clean
.DEFAULT_GOAL := help

help: ## show these targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

practice: $(VENV)/.installed ## practise on the twin: make practice ARGS="--minutes 5 --seed 1"
	$(BIN)/sandlot practice racer --course oval $(ARGS)

test: $(VENV)/.installed-dev ## every test, slow ones too
	$(TEST_ENVIRONMENT) $(BIN)/pytest -n auto -m "not realtime"
	$(TEST_ENVIRONMENT) $(BIN)/pytest -m realtime $(REALTIME)

check: lint ## linter, formatter, types, import contracts and the fast tests
	$(TEST_ENVIRONMENT) $(BIN)/pytest -n auto -m "not slow" $(ARGS)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

coverage: $(VENV)/.installed-dev ## every line and branch of robot/safety is run by its own tests, or this fails
	$(TEST_ENVIRONMENT) $(BIN)/python tests/mutation coverage $(ARGS)

mutants: $(VENV)/.installed-dev ## mutation testing of robot/safety; goes on where it was stopped (ARGS="sample" for CI's)
	$(TEST_ENVIRONMENT) $(BIN)/python tests/mutation $(or $(ARGS),run)

fuzz: $(VENV)/.installed-dev ## fuzz whatever reads bytes from outside: make fuzz ARGS="--bytes 1e9"
	$(TEST_ENVIRONMENT) $(BIN)/python tests/fuzz $(ARGS)

clean: ## remove the environment and the caches; runs stay
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .mutation

# The stamps: an environment is made once, and again when the dependencies change. Of what developers install,
# only what they import is compiled, when they do.
$(BIN)/python:
	@if [ -z "$(PYTHON)" ]; then \
		echo "No Python 3.11 or newer found (python3 is: $$(python3 --version 2>&1)). Install one, or name it:" >&2; \
		echo "    make PYTHON=/path/to/python3.12 practice" >&2; exit 1; fi
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "$(PYTHON) cannot make a virtual environment. On Debian and Ubuntu: sudo apt-get install python3-venv" >&2; \
		exit 1; }

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	@echo "Installing Sandlot with its learner and twin into $(VENV) (once; a few minutes)."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[learn,twin,report]'
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --editable '.[dev]'
	@touch $(VENV)/.installed $@
