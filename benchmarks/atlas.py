"""Priors from the world's sweeps: how much exponents drift, cells scatter and losses level off, over sweeps.

    HYPERLAW_PUBLIC_SWEEPS=<folder> python benchmarks/atlas.py

StepLaw is fitted to each sweep below with priors that are wide in the parameters asked about. A population of each is
then fitted to the sweeps: the likelihood of the population's centre and scale given a sweep is the mean, over its
posterior draws, of the population's density over that of the wide prior. Leaving a sweep out gives the prior that it
may be judged with. Writes docs/evidence/atlas.md. Fits are kept in build/atlas, named after the code that made them,
and a stopped run goes on with the rest.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
import numpyro.distributions as dist
import public_sweep
import xarray as xr
from backtest import code
from scipy import stats

import hyperlaw as hl
from hyperlaw.models.prior import InLossSpread

ROOT = Path(__file__).parents[1]
LAW = hl.laws.StepLaw()
# Parts of one published family: the dense sweep is within the one of five sizes.
SWEEPS: dict[str, Callable[[], hl.Runs]] = {
    "lm_adam": lambda: hl.load_sweep("lm_adam"),
    "lm_optimizers, AdamW": lambda: _task("adamw"),
    "lm_optimizers, SGD": lambda: _task("sgd"),
    "Step Law, five sizes (2503.04715, 2604.22753)": public_sweep.sizes,
    "(Mis)Fitting, learning rate alone (2502.18969)": public_sweep.rate_only,
}


def _task(name: str) -> hl.Runs:
    runs = hl.load_sweep("lm_optimizers")
    return runs.where(runs.frame["task"].str.lower() == name)


@dataclass(frozen=True)
class Question:
    """A population over sweeps: of which parameters, how wide the prior that they are first fitted with.

    Attributes
    ----------
    name
        In words.
    sites
        Parameters that are alike.
    wide
        Prior of each in the first fit.
    log
        Whether their logs are normal, with a centre to be found; else they are normal around 0.
    """

    name: str
    sites: tuple[str, ...]
    wide: dist.Distribution | InLossSpread
    log: bool = False


def _of(prefix: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{prefix}_{name}" for name in names)


RATES = ("learning_rate", "batch_size")
QUESTIONS = (
    Question(
        "drift of exponents of the best learning rate", _of("drift_learning_rate", "params", "data"),
        dist.Normal(0, 0.15),
    ),
    Question(
        "drift of exponents of the best batch size", _of("drift_batch_size", "params", "data"), dist.Normal(0, 0.15),
    ),
    Question("early phase of the lowest loss", _of("optimal_loss_early", "data"), dist.Normal(0, 1.0)),
    Question(
        "exponent of the lowest loss with data", _of("optimal_loss_exponent", "data"),
        dist.LogNormal(np.log(0.33), 0.6), log=True,
    ),
    Question(
        "exponent of the lowest loss with size", _of("optimal_loss_exponent", "params"),
        dist.LogNormal(np.log(0.25), 0.8), log=True,
    ),
    Question("bend of the lowest loss with data", _of("optimal_loss_bend", "data"), dist.Normal(0, 0.06)),
    Question("scatter of cells' optima", _of("cell_sd", *RATES), dist.LogNormal(np.log(0.15), 0.9), log=True),
    Question("what sizes share of their optima", _of("params_sd", *RATES), dist.LogNormal(np.log(0.1), 0.9), log=True),
    Question(
        "scatter of cells' lowest losses, over their spread", _of("cell_sd", "optimal_loss"),
        InLossSpread(0.05, 0.9), log=True,
    ),
    Question(
        "what sizes share of the lowest loss, over its spread", _of("params_sd", "optimal_loss"),
        InLossSpread(0.03, 0.9), log=True,
    ),
)  # fmt: skip
THIN = 4
CARE = {"draws": 500, "target_accept": 0.95}


def draws_of(name: str) -> xr.Dataset:
    """Posterior draws of all parameters asked about, for one sweep; losses in units of the spread of lowest losses."""
    path = ROOT / "build" / "atlas" / code() / f"{name.split(',')[0].replace('/', ' ')} {name[-12:].strip('()')}.nc"
    if not path.exists():
        runs = SWEEPS[name]()
        priors = {site: question.wide for question in QUESTIONS for site in question.sites}
        fit = hl.fit(LAW, runs, seed=0, priors=priors, **CARE)
        sites = [site for question in QUESTIONS for site in question.sites]
        found = fit.draws[sites].copy()
        spread = runs.frame[~runs.frame["diverged"]].groupby("cell")["loss"].min().std()
        for site in ("cell_sd_optimal_loss", "params_sd_optimal_loss"):
            found[site] = found[site] / spread
        found.attrs = {"failed": ", ".join(fit.check().failed) or "none", "runs": len(runs), "cells": len(runs.cells)}
        path.parent.mkdir(parents=True, exist_ok=True)
        found.to_netcdf(path)
        jax.clear_caches()
    return xr.load_dataset(path)


def evidence(question: Question, sweeps: list[xr.Dataset], centre: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Log likelihood of a population, one row a sweep, of each pair of centre and scale."""
    wide = question.wide
    rows = []
    for sweep in sweeps:
        values = np.stack([sweep[site].values.ravel()[::THIN] for site in question.sites])  # (site, draw)
        if question.log:
            values = np.log(values)
            first = stats.norm.logpdf(values, _middle(question), float(wide.scale))
        else:
            first = stats.norm.logpdf(values, 0, float(wide.scale))
        ratio = [(stats.norm.logpdf(values, m, s) - first).sum(axis=0) for m, s in zip(centre, scale, strict=True)]
        rows.append(np.logaddexp.reduce(np.array(ratio), axis=1) - np.log(values.shape[1]))
    return np.array(rows)


def population(question: Question, sweeps: list[xr.Dataset]) -> tuple[float, float]:
    """Centre and standard deviation of a new sweep's value given these sweeps; of its log if the question says so."""
    if question.log:
        centres, scales = _middle(question) + np.linspace(-2.5, 2.5, 61), np.geomspace(0.1, 2.0, 40)
    else:
        centres, scales = np.zeros(1), np.geomspace(0.003, 2.0, 120)
    centre, scale = (grid.ravel() for grid in np.meshgrid(centres, scales, indexing="ij"))
    # Weak: the scale is log-normal around a third of the wide prior's (a half, of logs), a factor of e wide.
    about = 0.5 if question.log else float(question.wide.scale) / 3
    weight = stats.norm.logpdf(np.log(scale / about)) + evidence(question, sweeps, centre, scale).sum(axis=0)
    weight = np.exp(weight - weight.max())
    weight /= weight.sum()
    mean = float(weight @ centre)
    return mean, float(np.sqrt(weight @ (scale**2 + (centre - mean) ** 2)))


def _middle(question: Question) -> float:
    """Natural log of the median of a wide prior of logs."""
    return float(np.log(question.wide.median) if isinstance(question.wide, InLossSpread) else question.wide.loc)


def prior_of(question: Question, centre: float, scale: float) -> dist.Distribution | InLossSpread:
    """A population as a prior."""
    if isinstance(question.wide, InLossSpread):
        return InLossSpread(float(np.exp(centre)), scale)
    return dist.LogNormal(centre, scale) if question.log else dist.Normal(0, scale)


def priors(without: str | None = None) -> dict[str, dist.Distribution | InLossSpread]:
    """Prior of every parameter asked about, from all sweeps or from those whose names do not begin with `without`."""
    kept = [draws_of(name) for name in SWEEPS if without is None or not name.startswith(without)]
    found = {}
    for question in QUESTIONS:
        found |= dict.fromkeys(question.sites, prior_of(question, *population(question, kept)))
    return found


def main() -> None:
    """Print the populations."""
    sweeps = {name: draws_of(name) for name in SWEEPS}
    for name, sweep in sweeps.items():
        print(name, sweep.attrs)
    for question in QUESTIONS:
        print(question.name, prior_of(question, *population(question, list(sweeps.values()))))
        for without in ("lm_adam", "lm_opt", "Step", "(Mis"):
            kept = [sweep for name, sweep in sweeps.items() if not name.startswith(without)]
            m, s = population(question, kept)
            print("      without", without, round(np.exp(m) if question.log else m, 3), round(s, 3))
        for name, sweep in sweeps.items():
            for site in question.sites:
                v = sweep[site].values.ravel()
                print(
                    f"   {site:34s} {name[:22]:24s} {np.median(v):.3g} [{np.quantile(v, 0.05):.3g}, {np.quantile(v, 0.95):.3g}]"
                )


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    main()
