"""`cell_surface`: the loss over learning rate and batch size in a fitted cell, its ridge, and its optimum."""

from dataclasses import dataclass

import jax
import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import gaussian_kde

from hyperlaw.data.vocabulary import HYPERPARAMETERS
from hyperlaw.inference.cells import check_cell, fitted_cells
from hyperlaw.inference.posterior import Posterior
from hyperlaw.inference.predict import MARGIN
from hyperlaw.intervals import interval, interval_columns
from hyperlaw.models.likelihoods.surface import best_learning_rate

DRAWS = 400
GRID = (101, 81)
REGION = 120
SHARES = (0.5, 0.9)


@dataclass(frozen=True, eq=False)
class CellSurface:
    """What `cell_surface` returns.

    Attributes
    ----------
    excess
        Posterior median of the loss above the cell's lowest, nats; dims and coordinates `batch_size, learning_rate`.
    ridge
        Best learning rate at each batch size: columns `lower, median, upper`, equal-tailed 90 %; index `batch_size`.
    optimum
        Posterior draws of the best setting: `learning_rate, batch_size`.
    density
        Density of those draws over ln learning rate and ln batch size; dims as `excess`, on a grid of its own.
    levels
        By share (0.5 and 0.9) the density at the edge of the smallest region that holds that share.
    lowest
        Posterior median of the cell's lowest loss, nats.
    """

    excess: xr.DataArray
    ridge: pd.DataFrame
    optimum: pd.DataFrame
    density: xr.DataArray
    levels: dict[float, float]
    lowest: float


def cell_surface(posterior: Posterior, cell: int) -> CellSurface:
    """Evaluate the loss surface of a fitted cell, with the cell's own deviations.

    Parameters
    ----------
    posterior
        A law fitted to runs.
    cell
        Its index in `runs.cells`.

    Returns
    -------
    CellSurface
        Over a grid half an octave wider than the runs and the 90 % interval of the optimum. Ridge and optimum use every
        draw, the excess some 400 evenly spaced ones.

    Raises
    ------
    ValueError
        When there is no such cell.
    """
    check_cell(posterior.runs, cell)
    surface = posterior.surface
    everything, covariates = fitted_cells(posterior)
    p = {name: value[..., cell].reshape(-1, 1) for name, value in everything.items()}
    x = {name: value[cell] for name, value in covariates.items()}
    frame = posterior.runs.frame.query("cell == @cell")
    optimum = surface.optimum(p, x)
    best = np.column_stack([optimum[name] for name in HYPERPARAMETERS])
    rates, batches = (
        _span(np.log(frame[name]), best[:, i], points)
        for i, (name, points) in enumerate(zip(HYPERPARAMETERS, GRID, strict=True))
    )
    with jax.enable_x64(True):
        along = np.asarray(best_learning_rate(surface.law, p, x, batches))
    some = {name: value[:: max(len(value) // DRAWS, 1)] for name, value in p.items()}
    excess = surface.run_loss(some, x, rates, batches[:, None]).excess
    density, levels = _density(best)
    return CellSurface(
        excess=_over(np.median(excess, axis=0), rates, batches),
        ridge=pd.DataFrame(interval_columns(np.exp(along), 0), index=pd.Index(np.exp(batches), name="batch_size")),
        optimum=pd.DataFrame(np.exp(best), columns=list(HYPERPARAMETERS)),
        density=density,
        levels=levels,
        lowest=float(np.median(optimum["loss"])),
    )


def _span(tried: pd.Series, best: np.ndarray, points: int) -> np.ndarray:
    """A grid over the tried values and the 90 % interval of the best one, with a margin."""
    low, _, high = interval(best)
    return np.linspace(min(tried.min(), low) - MARGIN, max(tried.max(), high) + MARGIN, points)


def _density(best: np.ndarray) -> tuple[xr.DataArray, dict[float, float]]:
    """Kernel estimate of the density of the optimum, and the levels that enclose each share of it."""
    rates, batches = np.linspace(best.min(axis=0), best.max(axis=0), REGION).T
    pairs = np.array([axis.ravel() for axis in np.meshgrid(rates, batches)])
    values = gaussian_kde(best.T)(pairs)
    falling = np.sort(values)[::-1]
    held = np.cumsum(falling) / falling.sum()
    levels = {share: float(falling[np.searchsorted(held, share)]) for share in SHARES}
    return _over(values.reshape(REGION, REGION), rates, batches), levels


def _over(values: np.ndarray, rates: np.ndarray, batches: np.ndarray) -> xr.DataArray:
    coords = {"batch_size": np.exp(batches), "learning_rate": np.exp(rates)}
    return xr.DataArray(values, dims=("batch_size", "learning_rate"), coords=coords)
