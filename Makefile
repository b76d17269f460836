# `make demo` and `make test` do everything from a bare clone; set-up costs nothing once it is done.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

# Programs compiled once are kept here, so that a second run starts at once.
export JAX_COMPILATION_CACHE_DIR := $(CURDIR)/build/jax-cache

.PHONY: demo test lint types sweep

demo: $(READY)
	$(BIN)/hyperlaw demo

test: $(READY)
	$(BIN)/python -m pytest

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

# The shipped language-model sweep, made again or gone on with: hours on two cores.
sweep: $(READY)
	$(BIN)/python -m experiments.lm.sweep --worker 0/2 & $(BIN)/python -m experiments.lm.sweep --worker 1/2; wait
	$(BIN)/python -m experiments.lm.sweep --collect hyperlaw/data/sweeps/lm_adam.parquet

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null || \
		{ echo "hyperlaw needs Python 3.12 or newer, but '$(PYTHON)' is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
