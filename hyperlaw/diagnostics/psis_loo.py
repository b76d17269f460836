"""Leave-one-out log scores: PSIS, then moment matching, then a refit, each where the one before cannot be trusted."""

import functools
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from typing import Any

import arviz_stats as az
import jax
import numpy as np
import pandas as pd
import xarray as xr
from arviz_stats.utils import ELPDDataLOO
from jax.flatten_util import ravel_pytree
from numpyro import handlers
from numpyro.distributions import biject_to
from numpyro.infer.util import constrain_fn, potential_energy

from hyperlaw.diagnostics.refit_cv import Part, log_mean_exp, score
from hyperlaw.inference.posterior import Posterior
from hyperlaw.models.likelihoods.base import Design, Likelihood
from hyperlaw.quote import one_line


def psis_loo(
    fits: Mapping[str, Posterior], seed: int | None, executor: Executor | None = None, *, progress: bool = True
) -> tuple[dict[str, ELPDDataLOO], pd.DataFrame]:
    """Log score of every run under each fit, given the other runs.

    PSIS-LOO; moment matching for the runs whose Pareto k is above its threshold; a refit without the run for those
    whose k stays above it. Their `pareto_k` is then 0, since nothing is approximated.

    Parameters
    ----------
    fits
        Fits, by name.
    seed
        Determines every draw of the refits; may be None when none is needed.
    executor
        Whose workers refit; this process when left out.
    progress
        Whether a bar shows how many refits are done.

    Returns
    -------
    scores
        By name of the fit. Where runs were matched, `influence_pareto_k` keeps the k of before.
    refits
        As `hyperlaw.diagnostics.refit_cv.score` returns.

    Raises
    ------
    ValueError
        When a refit is needed and `seed` is None, or the draws of a fit do not move.
    """
    scores = {name: _scored(name, fit) for name, fit in fits.items()}
    left = [(name, i) for name, elpd in scores.items() for i in np.flatnonzero(_above(elpd))]
    if left and seed is None:
        raise ValueError(
            f"only refits can score {len(left)} of the left-out runs, whose Pareto k stays above its threshold, and "
            "refits need a seed. Pass seed=0 or another integer."
        )
    jobs = [(name, _without_run(fits[name], int(i))) for name, i in left]
    values, refits = score(fits, jobs, seed or 0, executor, progress)
    for (name, part), value in zip(jobs, values, strict=True):
        if np.isfinite(value).all():  # of a refit that failed the approximation stays
            _replace(scores[name], fits[name], part, value)
    return scores, refits


def _scored(name: str, fit: Posterior) -> ELPDDataLOO:
    """PSIS-LOO of a fit; ValueError with its name where its draws do not move."""
    try:
        return matched(fit)
    except ValueError as error:
        raise ValueError(
            f"the fit of {one_line(name)} cannot be scored: {one_line(error)}. Its draws do not move; see its check()."
        ) from None


def matched(fit: Posterior) -> ELPDDataLOO:
    """PSIS-LOO of `fit`, moment matched (arXiv 1906.08850) where Pareto k is above its threshold."""
    with warnings.catch_warnings(), np.errstate(over="ignore", invalid="ignore"):
        warnings.simplefilter("ignore", UserWarning)  # about a high k: what is left of it is refitted
        rows = fit.by_row
        loo = az.loo(rows, pointwise=True)
        if not _above(loo).any():
            return loo
        places, log_joint, log_density = densities(fit)
        return az.loo_moment_match(
            rows,
            loo,
            log_prob_upars_fn=log_joint,
            log_lik_i_upars_fn=log_density,
            upars=places,
            pointwise=True,
        )


def densities(fit: Posterior) -> tuple[xr.DataArray, Callable, Callable]:
    """Draws in unconstrained space, dims `chain, draw, place`, and the two functions of such draws that ArviZ asks for.

    The first function is the log joint density; the second, given the position of a run too, its log density.
    """
    posterior = fit.draws
    free, joint, of_run = _programs(fit.likelihood.bare)
    with jax.enable_x64(True):
        arrays = fit.likelihood.design(fit.table)
        z = free({name: v.values.reshape(-1, *v.shape[2:]) for name, v in posterior.items()}, arrays)
        _, unravel = ravel_pytree({name: value[0] for name, value in z.items()})
        flat = np.asarray(jax.vmap(lambda draw: ravel_pytree(draw)[0])(z))
    coords = {name: posterior[name].values for name in ("chain", "draw")}
    shape = tuple(map(len, coords.values()))

    def at_draws(program: Callable, places: xr.DataArray, *more: Any) -> xr.DataArray:
        with jax.enable_x64(True):
            values = program(
                jax.vmap(unravel)(jax.numpy.asarray(places.values.reshape(-1, places.shape[-1]))), arrays, *more
            )
        return xr.DataArray(np.asarray(values).reshape(shape), coords)

    places = xr.DataArray(flat.reshape(*shape, -1), coords, dims=("chain", "draw", "place"))
    return places, functools.partial(at_draws, joint), functools.partial(at_draws, of_run)


@functools.lru_cache(maxsize=32)
def _programs(likelihood: Likelihood) -> tuple[Callable, Callable, Callable]:
    """Compiled, over draws: unconstrained values of the sampled sites; their log joint density; that of one run."""

    def free(sites: Any, design: Design) -> dict[str, jax.Array]:
        trace = handlers.trace(handlers.substitute(likelihood.model, sites)).get_trace(design)
        sampled = {name: s for name, s in trace.items() if s["type"] == "sample" and not s["is_observed"]}
        return {name: biject_to(s["fn"].support).inv(s["value"]) for name, s in sampled.items()}

    def joint(z: Any, design: Design) -> jax.Array:
        return -potential_energy(likelihood.model, (design,), {}, z)

    def of_run(z: Any, design: Design, i: int) -> jax.Array:
        sites = constrain_fn(likelihood.model, (design,), {}, z)
        trace = handlers.trace(handlers.substitute(likelihood.model, sites)).get_trace(design)
        return sum(trace[name]["fn"].log_prob(trace[name]["value"])[i] for name in likelihood.measured(design))

    over = jax.vmap
    return jax.jit(over(free, (0, None))), jax.jit(over(joint, (0, None))), jax.jit(over(of_run, (0, None, None)))


def _above(loo: ELPDDataLOO) -> np.ndarray:
    return ~(loo.pareto_k.values <= loo.good_k)  # a NaN is no pass


def _without_run(fit: Posterior, i: int) -> Part:
    out = np.arange(len(fit.table)) == i
    return Part(f"{fit.likelihood.row} {fit.table.labels[i]}", keep=~out, out=out)


def _replace(loo: ELPDDataLOO, fit: Posterior, part: Part, value: np.ndarray) -> None:
    """Put a refit's score in, in place, as ArviZ's `reloo` does."""
    loo.elpd_i.values[part.out] = value
    loo.pareto_k.values[part.out] = 0.0
    density, row = fit.row_densities, fit.likelihood.row
    loo.log_weights.loc[{row: loo.elpd_i[row].values[part.out]}] = np.nan
    loo.p_loo_i = log_mean_exp(density.values) - loo.elpd_i
    loo.elpd, loo.p = float(loo.elpd_i.sum()), float(loo.p_loo_i.sum())
    loo.se = float(np.sqrt(loo.elpd_i.size * loo.elpd_i.var(ddof=1)))
    loo.warning = bool(_above(loo).any())
