"""Runs and fits that many tests ask questions of: each is made once a session, whatever the number of workers.

Compiling is most of what tests cost. So fits here have one of two settings of the sampler (those of `refit`, and as
many chains and draws as checks need with the same compiled program), and few shapes of tables: 6 cells of some 210
runs, real or simulated, share one program a law.
"""

import fcntl
import functools
import os
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import pytest
from numpyro import handlers
from numpyro.infer import Predictive

import hyperlaw as hl
from hyperlaw.inference.example import example
from hyperlaw.models.law import LAWS

SMALL = 2**20
TARGET = {"params": 98304, "data": 2**22}
# As many draws as checks ask for, with the compiled program of `refit`.
CHECKED = {"chains": 4, "draws": 1000, "warmup": 400, "target_accept": 0.95, "progress": False}


def grid(tasks=("all",), sizes=(1e6, 4e6), data=(1e8, 4e8, 1.6e9), rates=7, batches=5) -> pd.DataFrame:
    """A sweep's settings, without losses: learning rates and batch sizes an octave apart."""
    rows = [
        {"task": task, "params": n, "data": d, "learning_rate": 1e-3 * 2.0**i, "batch_size": 2.0 ** (13 + j)}
        for task in tasks
        for n in sizes
        for d in data
        for i in range(-(rates // 2), rates // 2 + 1)
        for j in range(batches)
    ]
    return pd.DataFrame(rows).assign(loss=0.0)


TRUTH = {
    "optimal_loss": 2.5, "cell_sd_optimal_loss": 0.01, "sharpness_learning_rate": 0.05, "sharpness_batch_size": 0.02,
    "skew_learning_rate": 0.5, "skew_batch_size": 0.1, "noise": 0.005, "luck_kept": 0.5, "noise_growth": 0.1,
    "optimal_loss_coupling": -1.0, "cell_sd_learning_rate": 0.08, "cell_sd_batch_size": 0.08,
    "cell_sd_sharpness_learning_rate": 0.1, "cell_sd_sharpness_batch_size": 0.1,
    "divergence_threshold": 3.0, "divergence_width": 0.3,
    "exponent_data": 0.45, "exponent_params": 0.05, "log_batch_size": np.log(2.0**15),
    "log_learning_rate": np.log(1e-3), "rate_exponent_params": -0.3, "rate_exponent_data": -0.1,
    "exponent_batch": 0.5, "exponent_steps": 0.4,
    "ridge_small_batch": 0.6, "ridge_large_batch": 0.0, "log_critical_ratio": 1.0, "critical_exponent_data": 0.6,
    "log_peak_rate": np.log(1.5e-3), "exponent_compute": 0.3, "rate_exponent_compute": -0.1,
    "optimal_loss_slope_params": 0.1, "optimal_loss_slope_data": 0.15,
    "optimal_loss_exponent_params": 0.2, "optimal_loss_exponent_data": 0.2,
    "optimal_loss_bend_params": 0.0, "optimal_loss_bend_data": 0.02, "optimal_loss_early_data": 0.1,
    "drift_learning_rate_params": 0.02, "drift_learning_rate_data": -0.01, "drift_batch_size_params": -0.02,
    "drift_batch_size_data": 0.01,
    "params_sd_learning_rate": 0.05, "params_sd_batch_size": 0.05, "params_sd_optimal_loss": 0.005,
    "data_sd_learning_rate": 0.05, "data_sd_batch_size": 0.05, "data_sd_optimal_loss": 0.005,
    "sharpness_rate_exponent_params": 0.0, "sharpness_rate_exponent_data": -0.1,
    "sharpness_batch_exponent_params": 0.0, "sharpness_batch_exponent_data": -0.1,
}  # fmt: skip


def simulate(law, frame, seed, truth=TRUTH) -> hl.Runs:
    """Runs at the settings of `frame`, drawn from the law's own model at `truth`."""
    runs = hl.Runs.from_frame(frame)
    model = hl.likelihood(law, runs)
    known = {p.name: np.asarray(truth[p.name])[None] for p in model.parameter_list}
    with jax.enable_x64(True):
        # The observed sites are drawn anew: blank losses, no run known to have diverged.
        drawn = Predictive(handlers.uncondition(model.model), known, return_sites=["loss", "diverged"])(
            jax.random.key(seed), model.to_simulate(model.design(runs))
        )
    loss, lost = (np.asarray(drawn[name][0])[: len(runs)] for name in ("loss", "diverged"))
    return hl.Runs.from_frame(frame.assign(loss=loss, diverged=lost.astype(bool)))


# Files that make fits of their own come first, so that one worker makes the shared ones meanwhile.
FIRST = ("test_backtest.py", "test_own_law.py", "test_value_batch.py", "test_models.py")


def pytest_collection_modifyitems(items):
    """Order the files; those of one place stay in theirs."""
    items.sort(key=lambda item: FIRST.index(item.path.name) if item.path.name in FIRST else len(FIRST))


@pytest.fixture(scope="module", autouse=True)
def _few_programs():
    """Compiled programs are dropped when they are many: each holds mappings of memory, which Linux counts (65,530)."""
    yield
    mappings = Path("/proc/self/maps")
    if not mappings.exists() or mappings.read_bytes().count(b"\n") > 20_000:
        jax.clear_caches()


@pytest.fixture(scope="session")
def once(tmp_path_factory) -> Callable[[str, Callable[[], hl.Fit]], hl.Fit]:
    """Make a fit, or load it where another worker has made it."""
    own = tmp_path_factory.getbasetemp()
    folder = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own

    def load_or_make(name, make):
        file = folder / f"{name}.nc"
        with open(folder / f"{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not file.exists():
                make().save(file)
        return hl.load_fit(file)

    return load_or_make


@pytest.fixture(scope="session")
def small() -> hl.Runs:
    """A part of the small scales of the shipped sweep: three horizons, every second learning rate, one seed."""
    runs = hl.load_sweep("lm_adam")
    frame = runs.frame
    rates = np.unique(frame["learning_rate"])[::2]
    horizons = [2**16, 2**18, SMALL]
    return runs.where(frame["data"].isin(horizons) & frame["learning_rate"].isin(rates) & (frame["seed"] == 0))


@pytest.fixture(scope="session")
def fit(small, once) -> hl.Fit:
    """StepLaw on them."""
    return once("fit", lambda: hl.fit(hl.laws.StepLaw(), small, seed=0, **CHECKED))


@pytest.fixture(scope="session")
def rough(small, once) -> hl.Fit:
    """StepLaw on them, far too few draws: its checks fail."""
    return once("rough", lambda: hl.fit(hl.laws.StepLaw(), small, seed=0, **CHECKED | {"draws": 50}))


@pytest.fixture(scope="session")
def choice(fit) -> hl.Choice:
    """A choice for the withheld large scale."""
    return hl.decide(fit, at=TARGET, risk=hl.CVaR(0.9))


RUNS_LAWS = sorted(name for name, law in LAWS.items() if "runs" in law.tables)
VALUE_LAWS = [name for name in LAWS if name not in RUNS_LAWS]


def example_of(law, tasks):
    """The first tasks of a law's example table."""
    table = example(law)
    return table.where(table.frame["task"].isin(table.tasks[:tasks]))


# The law whose program no other test compiles is left to the slow tests.
SOME_SLOW = [pytest.param(name, marks=pytest.mark.slow if name == "ComputeLaw" else ()) for name in RUNS_LAWS]


@pytest.fixture(scope="session", params=SOME_SLOW)
def recovered(request):
    """Every law of runs, the runs simulated from it at TRUTH, and its fit to them."""
    law = LAWS[request.param]()
    runs = simulate(law, grid(), seed=1)
    return law, runs, hl.fit(law, runs, seed=1, **CHECKED)


@pytest.fixture(scope="session")
def pooled(once) -> hl.Fit:
    """StepLaw on three simulated tasks whose learning rates differ."""
    law, frames = hl.laws.StepLaw(), []
    for i, task in enumerate(("adam", "lion", "sgd")):
        truth = TRUTH | {"log_learning_rate": np.log(1e-3) + 0.4 * (i - 1)}
        runs = simulate(law, grid((task,), rates=5, batches=4), seed=i, truth=truth)
        frames.append(runs.frame.assign(task=task))
    runs = hl.Runs.from_frame(pd.concat(frames, ignore_index=True))
    return once("pooled", lambda: hl.fit(law, runs, seed=2, **CHECKED))


@pytest.fixture(scope="session")
def value_fit(once) -> Callable[[str], hl.Fit]:
    """A fit of measured values by the name of its law, one of `value_fits.FITTED`."""
    from value_fits import fit_of

    return functools.cache(lambda name: once(f"value-{name}", lambda: fit_of(name)))


TURN = {"log_peak_rate": np.log(2e-3), "log_noise_scale": np.log(150.0)}
STEPS = {"log_least_steps": np.log(5e3), "log_critical_batch": np.log(4e5), "knee": 1.2}
UTD = {
    "log_batch_size": np.log(200.0), "exponent_utd": -0.5, "log_learning_rate": np.log(5e-4), "rate_exponent_utd": -0.2,
}  # fmt: skip
DATA = {
    "log_data": np.log(4e5), "data_slope": 0.6, "data_bend": 0.3, "logit_least_share": -0.5, "least_share_slope": 0.3,
    "exponent_utd": 0.7,
}  # fmt: skip
# Where the values of tests lie, by law.
VALUE_TRUTH = {
    "NoiseScale": TURN,
    "SquareRoot": {"log_learning_rate": np.log(2e-3), "log_middle_batch": 7.5 * np.log(2)},
    "Surge": TURN,
    "SurgeExact": TURN | {"log_gamma": -3.0},
    "BrokenPower": {
        "log_turn_rate": np.log(2e-3), "log_noise_scale": np.log(150.0), "ridge_small_batch": 1.0,
        "ridge_large_batch": -0.2,
    },
    "ByOptimizer": TURN | {"log_adam_ratio": -2.0, "log_turn_ratio": 0.6},
    "LossImprovement": {"log_largest_improvement": np.log(0.02), "log_noise_scale": np.log(150.0)},
    "StepsExamples": STEPS,
    "StepsSmallBatch": STEPS | {"log_small_ratio": -2.0},
    "NoiseGrowth": {"log_noise_scale": np.log(1.2e3), "noise_exponent_loss": 1.5},
    "CriticalBatchLoss": STEPS | {"critical_exponent_loss": 5.0, "steps_exponent_loss": 2.0},
    "CriticalBatchData": STEPS | {"critical_exponent_data": 0.45, "steps_exponent_data": 0.6},
    "CriticalBatchParams": STEPS | {"critical_exponent_params": 0.45, "steps_exponent_params": 0.1},
    "UTDHyperparameters": UTD,
    "UTDHyperparametersBySize": UTD | {"exponent_params": 0.7, "log_half_params": 0.5},
    "DataEfficiency": DATA,
    "DataEfficiencyByThreshold": DATA,
    "DataEfficiencyBySize": DATA | {"exponent_params": 1.2, "logit_update_share": 0.5},
    "OptimalUTD": {"log_utd": np.log(2.0), "exponent_budget": 0.6},
}  # fmt: skip


def made(table, frame):
    """A table of the same kind from a frame."""
    more = {"estimated": table.estimated} if isinstance(table, hl.Optima) else {}
    return type(table).from_frame(frame, **more)


def measure(law, table, seed, *, apart=None, scatter=0.03, error=0.03, truth=None):
    """The table with values drawn in numpy around the law at its truth; `apart` is what tasks add to a parameter."""
    rng, frame = np.random.default_rng(seed), table.frame
    task = frame["task"].map(table.tasks.index).to_numpy()
    p = VALUE_TRUTH[law.name] | (truth or {})
    p |= {name: p[name] + np.asarray(offsets)[task] for name, offsets in (apart or {}).items()}
    model = hl.likelihood(law, table)
    x = model.centred(frame, model.pivot(frame))
    cell = frame.groupby(["task", *law.logged]).ngroup().to_numpy()
    own = 0.03 * rng.standard_normal(cell.max() + 1)[cell] if table.kind == "crossings" else 0.0
    luck = rng.standard_normal((2, len(frame)))
    luck[1] = 0.6 * luck[0] + 0.8 * luck[1]  # learning rate and batch size of a cell err together
    batch = np.log(frame["batch_size"].to_numpy()) if "batch_size" in frame else np.zeros(len(frame))
    for name, lucky in zip(sorted(law.predicts), luck, strict=False):
        mean = np.asarray(law.log_value(name, p, x, batch), float)
        batch = mean if name == "batch_size" else batch
        frame[name] = np.exp(mean + own + error * lucky + scatter * rng.standard_t(4, len(frame)))
        frame[f"{name}_error" if table.kind == "optima" else "error"] = error
    if "correlation" in frame:
        frame["correlation"] = 0.6
    if "reached" in frame:
        frame["reached"] = frame["data"] < frame["limit"]
        frame["data"] = np.minimum(frame["data"], frame["limit"])
    return made(table, frame)
