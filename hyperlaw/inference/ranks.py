"""`ranks`: simulate sweeps from the prior, sample the posterior of each, and rank the truth among its draws."""

import os
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor, as_completed
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import arviz_stats as az
import jax
import numpy as np

from hyperlaw.data.table import Table
from hyperlaw.data.vocabulary import At
from hyperlaw.inference.jobs import as_finished
from hyperlaw.inference.posterior import Posterior
from hyperlaw.inference.predict import target_draws
from hyperlaw.inference.refit import SHORT
from hyperlaw.inference.sampler import sample
from hyperlaw.inference.simulate import simulate
from hyperlaw.inference.tree import refit_tree
from hyperlaw.models.law import Law
from hyperlaw.models.likelihoods.base import Design, Likelihood

KEPT = 100  # posterior draws that a true value is ranked among
Record: TypeAlias = dict[str, Any]


def ranks(
    law: Law | Likelihood, table: Table, at: At, seed: int, indices: list[int], *, executor: Executor | None = None
) -> Iterator[Record]:
    """Simulate sweeps, sample the posterior of each, and rank the true values among its draws.

    Parameters
    ----------
    law, table
        As for `simulate`.
    at
        A target scale, as for `fit.predict`.
    seed, indices
        Determine every draw: simulation 7 is the same whatever else is asked for.
    executor
        Whose workers simulate and sample; threads of this process when left out.

    Yields
    ------
    dict
        One record a simulation, in the order in which they finish: `simulation` (its index), `ranks` by quantity (0 to
        100; empty when it failed), `divergences` (draws), `r_hat` and `ess` (the worst of the scalar parameters),
        `seconds`, `diverged_runs`, and `failed`, the reason why it could not be sampled, else empty.
    """
    if executor is not None:
        yield from (record for _, record in as_finished(partial(_whole, law, table, at, seed), indices, executor))
        return
    # NumPyro keeps one stack of handlers for all threads, so two traces at a time would mix. Data are therefore drawn
    # and ranks made in this thread, and the sampler goes into others only once a simulation has compiled it.
    waiting = iter(indices)
    for index in waiting:
        record = _whole(law, table, at, seed, index)
        yield record
        if not record["failed"]:
            break
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        futures = {}
        for index in waiting:
            drawn = _draw(law, table, seed, index)
            futures[pool.submit(_sample, drawn)] = drawn
        for future in as_completed(futures):
            yield _record(futures.pop(future), future.result(), at)
    finally:
        pool.shutdown(cancel_futures=True)


class _Drawn(NamedTuple):
    """One simulated sweep, and the seeds of what is done with it."""

    number: int
    truth: Posterior
    data: Design
    sampler: int
    cell: int


class _Sampled(NamedTuple):
    """What the sampler made of it; `failed` says why it made nothing."""

    sites: dict[str, np.ndarray]
    stats: dict[str, np.ndarray]
    seconds: float
    failed: str


def _whole(law: Law | Likelihood, table: Table, at: At, seed: int, index: int) -> Record:
    """The record of one simulation."""
    drawn = _draw(law, table, seed, index)
    return _record(drawn, _sample(drawn), at)


def _draw(law: Law | Likelihood, table: Table, seed: int, index: int) -> _Drawn:
    prior, sampler, cell = map(int, np.random.SeedSequence([seed, index]).generate_state(3))
    truth, data = simulate(law, table, seed=prior)
    return _Drawn(index, truth, data, sampler, cell)


def _sample(drawn: _Drawn) -> _Sampled:
    begun = time.perf_counter()
    model = drawn.truth.likelihood
    if not all(np.isfinite(values).all() for values in model.measured(drawn.data).values()):
        return _Sampled({}, {}, 0.0, "a simulated value is not finite")
    try:
        with jax.enable_x64(True):  # the scope is a thread's own
            sites, stats = sample(model, drawn.data, seed=drawn.sampler, settings=SHORT, report=lambda *_: None)
    except np.linalg.LinAlgError as error:  # the Laplace approximation, or the covariance of the warm-up
        return _Sampled({}, {}, time.perf_counter() - begun, f"no mass matrix: {error}")
    finite = all(np.isfinite(value).all() for value in sites.values())
    return _Sampled(sites, stats, time.perf_counter() - begun, "" if finite else "a posterior draw is not finite")


def _record(drawn: _Drawn, sampled: _Sampled, at: At) -> Record:
    """Ranks of the true values, or none when the simulation failed, and what the sampler said."""
    record: Record = {
        "simulation": drawn.number, "ranks": {}, "divergences": 0, "r_hat": np.nan, "ess": np.nan,
        "seconds": round(sampled.seconds, 2), "failed": sampled.failed,
    }  # fmt: skip
    true, table = drawn.truth, drawn.truth.table
    measured = true.likelihood.measured(drawn.data)
    if "diverged" in measured:
        record["diverged_runs"] = int(measured["diverged"].sum())
    if sampled.failed:
        return record
    thin = {name: value[:, :: value.shape[0] * value.shape[1] // KEPT] for name, value in sampled.sites.items()}
    with jax.enable_x64(True):
        tree = refit_tree(true.likelihood, table, drawn.data, thin, sampled.stats)
    tree.attrs = {"seed": drawn.cell}
    found = Posterior(true.likelihood, table, tree, true.pivot)
    truth, posterior = _quantities(true, at), _quantities(found, at)
    scalars = [value for value in sampled.sites.values() if value.ndim == 2]
    return record | {
        "ranks": {name: int((posterior[name] < truth[name]).sum()) for name in truth},
        "divergences": int(sampled.stats["diverging"].sum()),
        "r_hat": max(float(az.rhat(value)) for value in scalars),
        "ess": min(float(az.ess(value)) for value in scalars),
    }


def _quantities(posterior: Posterior, at: At) -> dict[str, np.ndarray]:
    """Scalar parameters and what is predicted of a new cell, each of shape (chain, draw)."""
    scalars = {str(name): value.values for name, value in posterior.draws.items() if value.ndim == 2}
    return scalars | {f"best_{name}": value for name, value in target_draws(posterior, at).items()}
