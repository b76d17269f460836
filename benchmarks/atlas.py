"""Priors from the world's sweeps: how much exponents drift, cells scatter and losses level off, over sweeps.

    HYPERLAW_PUBLIC_SWEEPS=<folder> python benchmarks/atlas.py

StepLaw is fitted to each sweep below with priors that are wide in the parameters asked about. A population of each is
then fitted to the sweeps: the likelihood of the population's centre and scale given a sweep is the mean, over its
posterior draws, of the population's density over that of the wide prior. Leaving a sweep out gives the prior that it
may be judged with. Writes docs/evidence/atlas.md. Fits are kept in build/atlas, named after the code that made them,
and a stopped run goes on with the rest.
"""

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import backtest
import jax
import numpy as np
import numpyro.distributions as dist
import pandas as pd
import public_sweep
import xarray as xr
from law_page import markdown
from scipy import stats

import hyperlaw as hl
from hyperlaw.models.likelihoods.loss_surface import reach
from hyperlaw.models.prior import InLossSpread

ROOT = Path(__file__).parents[1]
LAW = hl.laws.StepLaw()


@dataclass(frozen=True)
class Sweep:
    """A sweep, the family that is left out with it, and where it comes from."""

    name: str
    family: str
    runs: Callable[[], hl.Runs]
    source: str


SWEEPS = (
    Sweep("lm_adam", "lm_adam", lambda: hl.load_sweep("lm_adam"), "shipped"),
    Sweep("lm_optimizers, AdamW", "lm_optimizers", lambda: _task("adamw"), "shipped"),
    Sweep("lm_optimizers, SGD", "lm_optimizers", lambda: _task("sgd"), "shipped"),
    # The dense sweep is within this one.
    Sweep("Step Law, five sizes", "sizes", public_sweep.sizes, "arXiv 2503.04715, as collected for 2604.22753"),
    Sweep("(Mis)Fitting, learning rate alone", "rate only", public_sweep.rate_only, "arXiv 2502.18969"),
)
JUDGED = ("lm_adam-18", "lm_optimizers-17", "sizes-429", "rate-size")


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
FOLDER = ROOT / "build" / "atlas"


def draws_of(sweep: Sweep) -> xr.Dataset:
    """Posterior draws of all parameters asked about; those in nats in units of the spread of the lowest losses."""
    path = FOLDER / backtest.code() / f"{sweep.name.replace('/', ' ')}.nc"
    if not path.exists():
        runs = sweep.runs()
        priors = {site: question.wide for question in QUESTIONS for site in question.sites}
        fit = hl.fit(LAW, runs, seed=0, priors=priors, progress=False)
        found = fit.draws[list(priors)].copy()
        for question in QUESTIONS:
            if isinstance(question.wide, InLossSpread):
                found = found.assign({site: found[site] / reach(runs.frame) for site in question.sites})
        found.attrs = {"failed": ", ".join(fit.check().failed) or "none", "runs": len(runs), "cells": len(runs.cells)}
        path.parent.mkdir(parents=True, exist_ok=True)
        found.to_netcdf(path.with_suffix(".tmp"))
        path.with_suffix(".tmp").rename(path)
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
    """Prior of every parameter asked about, from all sweeps or from those of other families than one."""
    kept = [draws_of(sweep) for sweep in SWEEPS if sweep.family != without]
    found = {}
    for question in QUESTIONS:
        found |= dict.fromkeys(question.sites, prior_of(question, *population(question, kept)))
    return found


def judged() -> pd.DataFrame:
    """Withheld scales of each family, predicted with the shipped priors and with populations that leave it out."""
    tables = []
    for block in (b for name in JUDGED for b in backtest.BLOCKS if b.name == name):
        path = FOLDER / backtest.code() / f"judged {block.name}.csv"
        if not path.exists():
            whole = backtest.sweep(block.sweep)
            runs = whole.where(block.used(whole.frame))
            other = hl.LossSurface(LAW, priors=priors(without=block.sweep))
            found = hl.backtest({"shipped": LAW, "atlas": other}, runs, hold_out=block.out, seed=0, progress=False)
            found.table.to_csv(path.with_suffix(".tmp"), index=False)
            path.with_suffix(".tmp").rename(path)
        tables.append(pd.read_csv(path).assign(block=block.title))
    table = pd.concat(tables)
    table = table[(table["risk"] == "cvar90") & table["method"].isin(["shipped", "atlas"])]
    columns = ["regret", "inside_learning_rate", "inside_batch_size", "inside_loss", "covered_runs", "log_score"]
    means = table.groupby(["block", "method"], sort=False)[columns].agg(lambda values: values.astype(float).mean())
    return means.rename(columns=lambda name: name.replace("_", " ")).reset_index()


def tables() -> str:
    """Markdown: what each sweep says, the populations, and how they do where they are left out."""
    found = {sweep.name: draws_of(sweep) for sweep in SWEEPS}
    about = pd.DataFrame(
        [(s.name, s.source, found[s.name].attrs["runs"], found[s.name].attrs["cells"], found[s.name].attrs["failed"])
         for s in SWEEPS],
        columns=["sweep", "source", "runs", "cells", "failed checks"],
    )  # fmt: skip
    said = pd.DataFrame(
        [{"parameter": f"`{site}`"} | {name: _interval(draws[site].values) for name, draws in found.items()}
         for question in QUESTIONS for site in question.sites]
    )  # fmt: skip
    rows = []
    for question in QUESTIONS:
        row = {"population": question.name, "all": _population(question, list(found.values()))}
        for family in dict.fromkeys(sweep.family for sweep in SWEEPS):
            kept = [found[sweep.name] for sweep in SWEEPS if sweep.family != family]
            row[f"without {family}"] = _population(question, kept)
        rows.append(row)
    parts = {
        "The sweeps": about, "What each says, with wide priors: median and 90 % interval": said,
        "Populations: centre and scale of a new sweep's value": pd.DataFrame(rows),
        "Judged on withheld scales, the family left out": judged(),
    }  # fmt: skip
    return "\n\n".join(f"### {title}\n\n{markdown(table)}" for title, table in parts.items())


def _interval(values: np.ndarray) -> str:
    low, middle, high = np.quantile(values, [0.05, 0.5, 0.95])
    return f"{middle:.2g} [{low:.2g}, {high:.2g}]"


def _population(question: Question, sweeps: list[xr.Dataset]) -> str:
    centre, scale = population(question, sweeps)
    return f"median {np.exp(centre):.2g}, log sd {scale:.2g}" if question.log else f"sd {scale:.2g}"


def main() -> None:
    """Write the tables of docs/evidence/atlas.md, after its mark; the words before it stay."""
    if not os.environ.get("HYPERLAW_PUBLIC_SWEEPS"):
        raise SystemExit("HYPERLAW_PUBLIC_SWEEPS is not set: it names the folder of the published sweeps.")
    page = ROOT / "docs" / "evidence" / "atlas.md"
    words, mark, _ = page.read_text().partition("<!-- tables -->")
    page.write_text(f"{words}{mark}\n\n{tables()}\n")
    print(f"Wrote {page.relative_to(ROOT)}.")


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    main()
