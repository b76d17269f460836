"""Runs and fits that many tests ask questions of: each is made once a session."""

import jax
import numpy as np
import pandas as pd
import pytest
from numpyro import handlers
from numpyro.infer import Predictive

import hyperlaw as hl
from hyperlaw.models import LAWS
from hyperlaw.models.design import design

SMALL = 2**20
TARGET = {"params": 98304, "data": 2**22}


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
    "floor": 2.5, "floor_spread": 0.01, "sharpness_learning_rate": 0.05, "sharpness_batch_size": 0.02,
    "skew_learning_rate": 0.5, "skew_batch_size": 0.1, "saturation": 2.0, "noise": 0.005, "noise_growth": 0.1,
    "tail": 8.0, "spread_learning_rate": 0.08, "spread_batch_size": 0.08, "cliff": 3.0, "cliff_width": 0.3,
    "exponent_data": 0.45, "exponent_params": 0.05, "log_batch_size": np.log(2.0**15),
    "log_learning_rate": np.log(1e-3), "rate_exponent_params": -0.3, "rate_exponent_data": -0.1,
    "ridge_small_batch": 0.6, "ridge_large_batch": 0.0, "log_critical_ratio": 1.0, "critical_exponent_data": 0.6,
    "log_peak_rate": np.log(1.5e-3),
    "floor_slope_params": 0.1, "floor_slope_data": 0.15, "floor_exponent_params": 0.2, "floor_exponent_data": 0.2,
    "sharpness_rate_exponent_params": 0.0, "sharpness_rate_exponent_data": -0.1,
    "sharpness_batch_exponent_params": 0.0, "sharpness_batch_exponent_data": -0.1,
}  # fmt: skip


def simulate(law, frame, seed, truth=TRUTH) -> hl.Runs:
    """Runs at the settings of `frame`, drawn from the law's own model at `truth`."""
    runs = hl.Runs.from_frame(frame)
    arrays = design(runs, law.covariates)
    known = {p.name: np.asarray(truth[p.name])[None] for p in law.parameter_list}
    with jax.enable_x64(True):
        # The observed sites are drawn anew: blank losses, no run known to have diverged.
        drawn = Predictive(handlers.uncondition(law.model), known, return_sites=["loss", "diverged"])(
            jax.random.key(seed), arrays
        )
    return hl.Runs.from_frame(
        frame.assign(loss=np.asarray(drawn["loss"][0]), diverged=np.asarray(drawn["diverged"][0]).astype(bool))
    )


@pytest.fixture(scope="session")
def small() -> hl.Runs:
    """The small scales of the shipped sweep."""
    runs = hl.load_sweep("lm_adam")
    return runs.where(runs.frame["data"] <= SMALL)


@pytest.fixture(scope="session")
def fit(small) -> hl.Fit:
    """StepLaw on them."""
    return hl.fit(hl.laws.StepLaw(), small, seed=0, progress=False)


@pytest.fixture(scope="session")
def rough(small) -> hl.Fit:
    """TimeTransfer on them, far too few draws: its checks fail."""
    return hl.fit(hl.laws.TimeTransfer(), small, seed=0, draws=50, warmup=100, progress=False)


@pytest.fixture(scope="session")
def choice(fit) -> hl.Choice:
    """A choice for the withheld large scale."""
    return hl.decide(fit, at=TARGET, risk=hl.CVaR(0.9))


@pytest.fixture(scope="session", params=sorted(LAWS))
def recovered(request):
    """Every law, the runs simulated from it at TRUTH, and its fit to them."""
    law = LAWS[request.param]()
    runs = simulate(law, grid(), seed=1)
    return law, runs, hl.fit(law, runs, seed=1, progress=False)


@pytest.fixture(scope="session")
def pooled() -> hl.Fit:
    """StepLaw on three simulated tasks whose learning rates differ."""
    law, frames = hl.laws.StepLaw(), []
    for i, task in enumerate(("adam", "lion", "sgd")):
        truth = TRUTH | {"log_learning_rate": np.log(1e-3) + 0.4 * (i - 1)}
        runs = simulate(law, grid((task,), rates=5, batches=4), seed=i, truth=truth)
        frames.append(runs.frame.assign(task=task))
    return hl.fit(law, hl.Runs.from_frame(pd.concat(frames, ignore_index=True)), seed=2, draws=500, progress=False)
