"""`transfer_rate`: the best learning rate at other batch sizes, from measured noise scales and one tuned pair.

    eta*(B) = eta_0 f(B / B_noise) / f(B_0 / B_noise)
    f(x) = (1 + 1 / x)^-1                     SGD (McCandlish et al. 2018, arXiv 1812.06162, eq. 2.6)
    f(x) = (1 + 1 / x)^-1/2                   Adam, saturating (the same, appendix E.2)
    f(x) = 2 / (x^1/2 + x^-1/2)               Adam, with a peak at B_noise (Li et al. 2024, arXiv 2405.14578, eq. 24)

Both of Adam agree far below B_noise, and part above it. Neither is chosen here: what they say is returned side by side.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike

from hyperlaw.data.numerals import as_number
from hyperlaw.data.vocabulary import At
from hyperlaw.decision.trusted import trusted
from hyperlaw.display import Shown, View
from hyperlaw.inference.posterior import Posterior
from hyperlaw.inference.predict import target_draws
from hyperlaw.intervals import interval_columns, interval_table
from hyperlaw.quote import quote
from hyperlaw.streams import check_seed, generator

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def _saturating(power: float) -> Callable[[np.ndarray], np.ndarray]:
    """Natural log of (1 + B_noise / B)^-power, from that of B / B_noise."""
    return lambda x: -power * np.logaddexp(0.0, -x)


def _surge(x: np.ndarray) -> np.ndarray:
    return np.log(2.0) - np.logaddexp(x / 2, -x / 2)


POINTS = 60
WIDEST = 5.0  # standard deviation of ln learning_rate with which nothing is known of it
# By optimizer, and by the name of the curve: natural log of the best learning rate, over that of B / B_noise.
CURVES: dict[str, dict[str, Callable[[np.ndarray], np.ndarray]]] = {
    "sgd": {"alpha 1": _saturating(1.0)},
    "adam": {"surge": _surge, "alpha 1/2": _saturating(0.5)},
}


@dataclass(frozen=True, eq=False, repr=False)
class TransferredRate(Shown):
    """What `transfer_rate` returns.

    Attributes
    ----------
    table
        One row a curve and batch size, columns `curve`, `batch_size` (data points) and `lower, median, upper` of the
        best learning rate there: equal-tailed 90 %. Curves: of SGD `"alpha 1"`, of Adam `"surge"` and `"alpha 1/2"`.
    noise_scale
        `lower, median, upper` of the noise scale that it rests on, one row.
    draws
        Dataset with dims `chain, draw`: `noise_scale`, and with dims `curve, batch_size` too `learning_rate`.
    tuned
        The tuned pair: `learning_rate`, `batch_size`, `error`.
    along
        The columns of `table` at many batch sizes, from the smallest to the largest of those asked for and the tuned
        one: what is drawn.
    """

    table: pd.DataFrame
    noise_scale: pd.DataFrame
    draws: xr.Dataset
    tuned: Mapping[str, float]
    along: pd.DataFrame

    def plot(self) -> "Figure":
        """The curves with their bands, the tuned pair and the noise scale: see `hyperlaw.plots.transfer_rate`."""
        from hyperlaw.plots.transfer_rate import plot_transfer_rate

        return plot_transfer_rate(self.table, self.along, self.noise_scale, self.tuned)

    def view(self) -> View:
        """What is shown of it."""
        pair = f"{self.tuned['learning_rate']:g} at {self.tuned['batch_size']:g}"
        return View(
            f"Best learning rate over batch size, from {pair} data points and the noise scale",
            "Curves of one optimizer are rivals: trust batch sizes at which they agree.",
            tables={"Noise scale (data points)": self.noise_scale, "Best learning rate (90 %)": self.table},
            picture=self.plot,
        )


def transfer_rate(
    fit: Posterior,
    at: At | Sequence[At],
    *,
    learning_rate: float,
    batch_size: float,
    error: float,
    to: ArrayLike,
    optimizer: str,
    seed: int,
    despite: str | None = None,
) -> TransferredRate:
    """Best learning rate at other batch sizes, from a fit of noise scales and one tuned pair.

    Parameters
    ----------
    fit
        A fit of `NoiseMeasurements`, such as of `hl.laws.NoiseGrowth`.
    at
        Where in training: the law's covariates, and `task` where there are several, as for `fit.predict`. Or several
        such places, over which the noise scale is averaged in every draw: that of a run to a loss is the mean over its
        steps (arXiv 1812.06162, eq. 2.12).
    learning_rate, batch_size
        The pair that was tuned: the best learning rate at a batch size (data points).
    error
        Standard deviation of the natural log of that best learning rate; 0.2 is half a grid step of a factor of two.
    to
        Batch sizes that are asked for, data points.
    optimizer
        `"sgd"` or `"adam"`.
    seed
        Draws the error of the tuned pair.
    despite
        Reason for going on although checks failed.

    Returns
    -------
    TransferredRate
        Every curve of the optimizer. The intervals hold the noise scale's uncertainty and the pair's, not that a curve
        may be wrong.

    Raises
    ------
    ValueError
        When the fit is of another quantity, the optimizer is unknown, or a number is not what it must be.
    RuntimeError
        When a check of the fit failed and no reason is given in `despite`.
    """
    if "noise_scale" not in fit.law.predicts:
        raise ValueError(
            f"{fit.law.name} predicts {' and '.join(fit.law.predicts)}, no noise scale. Fit hl.laws.NoiseGrowth to "
            "hl.NoiseMeasurements; from draws of a critical batch size, hl.peak_learning_rate gives the peak."
        )
    if not isinstance(optimizer, str) or optimizer not in CURVES:
        raise ValueError(f"optimizer must be one of {', '.join(CURVES)}, received {quote(optimizer)}.")
    batches = np.array([as_number(one, "to", count=True) for one in np.ravel(to).tolist()])
    learning_rate = as_number(learning_rate, "learning_rate")
    batch_size, error = as_number(batch_size, "batch_size", count=True), as_number(error, "error")
    _positive(learning_rate=learning_rate, batch_size=batch_size, to=batches)
    if not 0 <= error <= WIDEST:
        raise ValueError(
            f"error must be from 0 to {WIDEST:g}, received {quote(error)}: it is the standard deviation of ln "
            f"learning_rate, and with more the tuned pair is off by a factor of {np.exp(WIDEST):.0f}."
        )
    check_seed(seed)
    places = [at] if isinstance(at, Mapping) else list(at)
    if not places:
        raise ValueError("at must be one place in training or several, received none.")
    noise: np.ndarray = np.mean([target_draws(fit, place)["noise_scale"] for place in places], axis=0)
    trusted({fit.law.name: fit}, despite)

    off = error * generator(seed, "tuned pair").standard_normal(noise.shape)
    log_noise = np.log(noise)[..., None]
    curves = CURVES[optimizer]

    def rates_at(sizes: np.ndarray) -> np.ndarray:
        """Best learning rates, shape (chain, draw, curve, batch size)."""
        ratios = [f(np.log(sizes) - log_noise) - f(np.log(batch_size) - log_noise) for f in curves.values()]
        return learning_rate * np.exp(off[..., None, None] + np.stack(ratios, axis=2))

    def table_of(sizes: np.ndarray, rates: np.ndarray) -> pd.DataFrame:
        rows = [
            pd.DataFrame({"curve": name, "batch_size": sizes} | interval_columns(rates[:, :, i], (0, 1)))
            for i, name in enumerate(curves)
        ]
        return pd.concat(rows, ignore_index=True)

    rates = rates_at(batches)
    along = np.geomspace(min(batch_size, *batches), max(batch_size, *batches), POINTS)
    dims = ("chain", "draw", "curve", "batch_size")
    coords: dict[str, Any] = {dim: fit.draws[dim].values for dim in dims[:2]}
    coords |= {"curve": list(curves), "batch_size": batches}
    draws = xr.Dataset({"noise_scale": (dims[:2], noise), "learning_rate": (dims, rates)}, coords)
    tuned = {"learning_rate": learning_rate, "batch_size": batch_size, "error": error}
    scale = interval_table({"noise_scale": noise})
    return TransferredRate(table_of(batches, rates), scale, draws, tuned, table_of(along, rates_at(along)))


def _positive(**values: ArrayLike) -> None:
    for name, value in values.items():
        numbers = np.asarray(value, float)
        if not numbers.size or not (np.isfinite(numbers) & (numbers > 0)).all():
            raise ValueError(f"{name} must be finite and above zero, received {quote(np.ravel(numbers).tolist())}.")
