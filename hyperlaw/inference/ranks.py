"""`ranks`: simulate sweeps from the prior, sample the posterior of each, and rank the truth among its draws."""

import os
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, NamedTuple, TypeAlias

import arviz_stats as az
import jax
import numpy as np
import pandas as pd

from hyperlaw.data.runs import Runs
from hyperlaw.data.table import Table
from hyperlaw.inference.fit import Fit
from hyperlaw.inference.predict import new_cell
from hyperlaw.inference.predict_value import values_at
from hyperlaw.inference.refit import SHORT
from hyperlaw.inference.sampler import sample
from hyperlaw.inference.simulate import simulate
from hyperlaw.inference.tree import refit_tree
from hyperlaw.models.design import Design
from hyperlaw.models.law import Law
from hyperlaw.models.meet import AnyDesign

KEPT = 100  # posterior draws that a true value is ranked among
Record: TypeAlias = dict[str, Any]


def ranks(law: Law, table: Table, at: Mapping[str, Any], seed: int, indices: list[int]) -> Iterator[Record]:
    """Simulate sweeps, sample the posterior of each, and rank the true values among its draws.

    Parameters
    ----------
    law, table
        As for `simulate`.
    at
        A target scale, as for `fit.predict`.
    seed, indices
        Determine every draw: simulation 7 is the same whatever else is asked for.

    Yields
    ------
    dict
        One record a simulation, in the order in which they finish: `simulation` (its index), `ranks` by quantity (0 to
        100; empty when it failed), `divergences` (draws), `r_hat` and `ess` (the worst of the scalar parameters),
        `seconds`, `diverged_runs`, and `failed`, the reason why it could not be sampled, else empty.
    """
    # NumPyro keeps one stack of handlers for all threads, so two traces at a time would mix. Data are therefore drawn
    # and ranks made in this thread, and the sampler goes into others only once a simulation has compiled it.
    waiting = iter(indices)
    for index in waiting:
        drawn = _draw(law, table, seed, index)
        record = _record(drawn, _sample(law, drawn), table, at)
        yield record
        if not record["failed"]:
            break
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        futures = {}
        for index in waiting:
            drawn = _draw(law, table, seed, index)
            futures[pool.submit(_sample, law, drawn)] = drawn
        for future in as_completed(futures):
            yield _record(futures.pop(future), future.result(), table, at)
    finally:
        pool.shutdown(cancel_futures=True)


class _Drawn(NamedTuple):
    """One simulated sweep, and the seeds of what is done with it."""

    number: int
    truth: Fit
    data: AnyDesign
    sampler: int
    cell: int


class _Sampled(NamedTuple):
    """What the sampler made of it; `failed` says why it made nothing."""

    sites: dict[str, np.ndarray]
    stats: dict[str, np.ndarray]
    seconds: float
    failed: str


def _draw(law: Law, table: Table, seed: int, index: int) -> _Drawn:
    prior, sampler, cell = map(int, np.random.SeedSequence([seed, index]).generate_state(3))
    truth, data = simulate(law, table, seed=prior)
    return _Drawn(index, truth, data, sampler, cell)


def _sample(law: Law, drawn: _Drawn) -> _Sampled:
    begun = time.perf_counter()
    values = [drawn.data.loss] if isinstance(drawn.data, Design) else list(drawn.data.value.values())
    if not np.isfinite(values).all():
        return _Sampled({}, {}, 0.0, "a simulated value is not finite")
    try:
        with jax.enable_x64(True):  # the scope is a thread's own
            sites, stats = sample(law, drawn.data, seed=drawn.sampler, settings=SHORT, report=lambda *_: None)
    except np.linalg.LinAlgError as error:  # the Laplace approximation, or the covariance of the warm-up
        return _Sampled({}, {}, time.perf_counter() - begun, f"no mass matrix: {error}")
    finite = all(np.isfinite(value).all() for value in sites.values())
    return _Sampled(sites, stats, time.perf_counter() - begun, "" if finite else "a posterior draw is not finite")


def _record(drawn: _Drawn, sampled: _Sampled, table: Table, at: Mapping[str, Any]) -> Record:
    """Ranks of the true values, or none when the simulation failed, and what the sampler said."""
    record: Record = {
        "simulation": drawn.number, "ranks": {}, "divergences": 0, "r_hat": np.nan, "ess": np.nan,
        "seconds": round(sampled.seconds, 2), "failed": sampled.failed,
    }  # fmt: skip
    if isinstance(drawn.data, Design):
        record["diverged_runs"] = int(drawn.data.diverged.sum())
    if sampled.failed:
        return record
    true, law = drawn.truth, drawn.truth.law
    thin = {name: value[:, :: SHORT.chains * SHORT.draws // KEPT] for name, value in sampled.sites.items()}
    with jax.enable_x64(True):
        tree = refit_tree(law, table, drawn.data, thin, sampled.stats)
    tree.attrs = {"seed": drawn.cell}
    truth, posterior = (_quantities(fit, at) for fit in (true, Fit(law, table, tree, true.pivot)))
    scalars = [value for value in sampled.sites.values() if value.ndim == 2]
    return record | {
        "ranks": {name: int((posterior[name] < truth[name]).sum()) for name in truth},
        "divergences": int(sampled.stats["diverging"].sum()),
        "r_hat": max(float(az.rhat(value)) for value in scalars),
        "ess": min(float(az.ess(value)) for value in scalars),
    }


def _quantities(fit: Fit, at: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Scalar parameters and the optimum (or value) of a new cell, each of shape (chain, draw)."""
    scalars = {str(name): value.values for name, value in fit.tree["posterior"].dataset.items() if value.ndim == 2}
    if not isinstance(fit.table, Runs):
        values = values_at(fit, pd.DataFrame([{"task": None} | dict(at)]))
        return scalars | {f"best_{name}": value[..., 0] for name, value in values.items()}
    cell = new_cell(fit, at)
    best = {"learning_rate": cell.log_learning_rate, "batch_size": cell.log_batch_size, "loss": cell.loss}
    return scalars | {f"best_{name}": value for name, value in best.items()}
