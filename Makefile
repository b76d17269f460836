# `make demo` and `make test` do everything from a bare clone; set-up costs nothing once it is done.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

# Programs compiled once are kept here, however small, so that a second run (and a second worker) starts at once.
export JAX_COMPILATION_CACHE_DIR := $(CURDIR)/build/jax-cache
export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS := 0

.PHONY: demo docs figures test test-slow test-all test-least lint types sweep sweep-optimizers digits digits-noise value-rl
.PHONY: fuzz notebooks bench growth many backtest calibrate clean-sweeps atlas laws closed-loop

demo: $(READY)
	$(BIN)/hyperlaw demo

# Programs are compiled at a lower level of optimisation: here compiling costs more than running.
TEST := XLA_FLAGS=--xla_backend_optimization_level=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test: $(READY)
	$(TEST) -m "not slow"

# What refits by the dozen, and the longer notebooks.
test-slow: $(READY)
	$(TEST) -m slow

test-all: test test-slow

# The fast tests of the core with the least versions of what it needs, in an environment of their own: twenty minutes. What
# needs an extra, the notebooks and the documents are left out; what old libraries warn of is no error here.
LEAST := build/least
APART := docs|notebooks|source_|experiments|package|classify|closed_loop|published|real_tables|parts|many_machines|value_rl
test-least: $(READY)
	$(PYTHON) -m venv $(LEAST)
	$(BIN)/python tests/least_versions.py > $(LEAST)/versions.txt
	$(LEAST)/bin/python -m pip install --quiet --disable-pip-version-check --constraint $(LEAST)/versions.txt . \
		pytest pytest-xdist hypothesis scikit-learn selenium
	XLA_FLAGS=--xla_backend_optimization_level=1 $(LEAST)/bin/pytest -n 2 --dist loadfile --no-loadscope-reorder -W default \
		-m "not slow" $$(ls tests/test_*.py | grep -vE '$(APART)')

# 10,000 honest and hostile tables through every reader: three minutes.
fuzz: $(READY)
	$(BIN)/python benchmarks/fuzz.py

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

# The site, into build/docs: half a minute. A warning is an error. Nothing is looked up, and no notebook is run.
docs: $(READY)
	rm -rf docs/generated
	$(BIN)/python -m sphinx -c docs --builder html --doctree-dir build/doctrees --nitpicky --fail-on-warning --keep-going --quiet . build/docs

# The pictures of docs/concepts.md, from the fit of the demo: two minutes.
figures: $(READY)
	$(BIN)/hyperlaw demo --folder build
	$(BIN)/python docs/figures.py build/demo.nc

# All notebooks with their outputs, in place: twenty minutes on two cores. Then the numbers in their words, which a test holds.
notebooks: $(READY)
	$(BIN)/python notebooks/execute.py notebooks/*.ipynb

# Seconds to a posterior that its checks let pass, against other samplers, into docs/evidence/speed.md: ten minutes, on a
# machine that does nothing else.
bench: $(READY)
	$(BIN)/python benchmarks/speed.py

# Throughput of many fits, into docs/evidence/speed.md: ten minutes, on a machine that does nothing else.
many: $(READY)
	$(BIN)/python benchmarks/many.py

# Time and memory as tables and decisions grow, into docs/evidence/growth.md: ten minutes, on a machine that does
# nothing else; stopped, it goes on.
growth: $(READY)
	$(BIN)/python benchmarks/growth.py

# Regret and coverage at withheld scales, into docs/evidence/backtest.md: about an hour on two cores.
backtest: $(READY)
	$(BIN)/python benchmarks/backtest.py

# Simulation-based calibration of every law, into docs/laws: about an hour on two cores; stopped, it goes on.
calibrate: $(READY)
	$(BIN)/python benchmarks/calibrate.py

# Checks of 100 simulated sweeps without a fault, into docs/evidence/clean-sweeps.md: half an hour on two cores.
clean-sweeps: $(READY)
	$(BIN)/python benchmarks/clean_sweeps.py

# Populations of drift, scatter and of how losses level off over sweeps, into docs/evidence/atlas.md: ten minutes; it
# needs the folder in HYPERLAW_PUBLIC_SWEEPS.
atlas: $(READY)
	$(BIN)/python benchmarks/atlas.py

# The rest of docs/laws: priors, recovery, and published sweeps from the folder in HYPERLAW_PUBLIC_SWEEPS.
laws: $(READY)
	$(BIN)/python benchmarks/law_evidence.py

# The shipped language-model sweeps, gone on with from the shipped files: hours on two cores for one made from nothing
# (`python -m experiments.lm.sweep`, without --unpack).
sweep: SWEEP = lm_adam
sweep-optimizers: SWEEP = lm_optimizers
sweep sweep-optimizers: $(READY)
	$(BIN)/python -m experiments.lm.sweep --sweep $(SWEEP) --unpack hyperlaw/data/sweeps/$(SWEEP).parquet
	$(BIN)/python -m experiments.lm.sweep --sweep $(SWEEP) --worker 0/2 & \
		$(BIN)/python -m experiments.lm.sweep --sweep $(SWEEP) --worker 1/2; wait
	$(BIN)/python -m experiments.lm.sweep --sweep $(SWEEP) --collect hyperlaw/data/sweeps/$(SWEEP).parquet

# The shipped sweep of a small classifier, made again or gone on with: three minutes on one core.
digits: $(READY)
	$(BIN)/python -m experiments.classify.sweep
	$(BIN)/python -m experiments.classify.sweep --collect hyperlaw/data/sweeps/digits.parquet

# Squared norms of gradients along its training: a minute on one core.
digits-noise: $(READY)
	$(BIN)/python -m experiments.classify.noise
	$(BIN)/python -m experiments.classify.noise --collect hyperlaw/data/sweeps/digits_noise.parquet

# The shipped reinforcement-learning sweep, gone on with from the shipped file: about an hour on one core for one made
# from nothing (`python -m experiments.value_rl.sweep`, without --unpack).
value-rl: $(READY)
	$(BIN)/python -m experiments.value_rl.sweep --unpack hyperlaw/data/sweeps/value_rl.parquet
	$(BIN)/python -m experiments.value_rl.sweep
	$(BIN)/python -m experiments.value_rl.sweep --collect hyperlaw/data/sweeps/value_rl.parquet

# Frozen choices against the large runs, into docs/evidence/closed-loop.md.
closed-loop: $(READY)
	$(BIN)/python -m experiments.closed_loop score lm
	$(BIN)/python -m experiments.closed_loop score rl

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null || \
		{ echo "hyperlaw needs Python 3.12 or newer, but '$(PYTHON)' is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
