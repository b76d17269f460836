"""Several laws as one: the draws of each in proportion to its weight, every draw remembering its law."""

from collections.abc import Mapping
from dataclasses import dataclass

import jax
import numpy as np

from hyperlaw.data.vocabulary import At
from hyperlaw.diagnostics.compare import compare
from hyperlaw.inference.cells import NewCell, new_cell
from hyperlaw.inference.posterior import Posterior
from hyperlaw.models.law import OptimumLaw
from hyperlaw.models.likelihoods.base import Arrays
from hyperlaw.models.likelihoods.censored_student_t import standard_noise
from hyperlaw.models.likelihoods.surface import best_learning_rate
from hyperlaw.quote import quote, some_of
from hyperlaw.streams import generator

WEIGHTS = ("stacking", "scale", "equal")


@dataclass(frozen=True, eq=False)
class Part:
    """Draws of one law, at the target; arrays have shape (sample,).

    Attributes
    ----------
    name
        Name of the fit.
    law, p, x
        Arguments of the loss surface: the law, its parameters with the new cell's own deviations, the covariates.
    optimum
        In each draw: `learning_rate`, `batch_size` (natural logs) and `loss` (nats).
    standardised_noise
        How a run's loss scatters in each draw, in units of its scale: the same for all settings, so that settings
        differ by what is known of them and not by luck.
    """

    name: str
    law: OptimumLaw
    p: Arrays
    x: Arrays
    optimum: Arrays
    standardised_noise: np.ndarray

    def __len__(self) -> int:
        return len(self.standardised_noise)

    def best_learning_rate(self, batch_size: float) -> np.ndarray:
        """Natural log of the best learning rate at a batch size, in each draw."""
        with jax.enable_x64(True):
            return np.asarray(best_learning_rate(self.law, self.p, self.x, np.log(batch_size)))

    def take(self, rows: np.ndarray) -> "Part":
        """Some of the draws."""
        p, optimum = ({name: values[rows] for name, values in given.items()} for given in (self.p, self.optimum))
        return Part(self.name, self.law, p, self.x, optimum, self.standardised_noise[rows])


def part(name: str, fit: Posterior, at: At) -> tuple[Part, NewCell]:
    """All draws of a fit at a target; errors as for `predict`."""
    cell = new_cell(fit, at)
    p = {key: np.ravel(value) for key, value in cell.p.items()}
    noise = standard_noise(fit.rng("run noise"), p["noise"].shape)
    return Part(name, fit.surface.law.bare, p, cell.x, fit.surface.optimum(p, cell.x), noise), cell


def mix(parts: list[Part], weights: Mapping[str, float], seed: int) -> list[Part]:
    """Draws of each part in proportion to its weight, as many in all as the part with most has.

    They are spread evenly over the draws of the part, from a start that the seed determines. A part whose weight is
    worth less than half a draw is left out.
    """
    if len(parts) == 1:
        return parts
    size, rng = max(len(one) for one in parts), generator(seed, "mixture")
    mixed = []
    for one in parts:
        count = round(weights[one.name] * size)
        start = rng.uniform()
        if count:
            mixed.append(one.take(np.floor((np.arange(count) + start) * len(one) / count).astype(int)))
    return mixed


def check_fits(fits: Mapping[str, Posterior]) -> None:
    """Refuse fits that cannot be mixed.

    Raises
    ------
    ValueError
        When there is none, or they were fitted to different runs.
    TypeError
        When one was fitted to another table than runs.
    """
    if not fits:
        raise ValueError("decide needs a fit or more, received none.")
    digests = {name: fit.runs.digest for name, fit in fits.items()}
    first, *others = digests
    for name in others:
        if digests[name] != digests[first]:
            raise ValueError(
                f"{quote(name)} and {quote(first)} were fitted to different runs ({fits[name].table.headline} and "
                f"{fits[first].table.headline}): their draws cannot be mixed. Fit both to the same runs."
            )


def weigh(fits: Mapping[str, Posterior], weights: str | Mapping[str, float] | None) -> dict[str, float]:
    """Weight of each fit; they sum to one.

    Parameters
    ----------
    fits
        Fits to the same runs, by name.
    weights
        `"stacking"`: how well they predict left-out runs (`hl.compare(fits)`). `"scale"`: how well they predict the
        next larger scale (`hl.compare(fits, leave_out="scale")`, which refits; its pseudo-BMA weights, for which a
        scale is the unit). `"equal"`. Or a number for each fit, in any unit.

    Raises
    ------
    ValueError
        When there are several fits and no weights, weights for one fit alone, or weights that are none of the above.
    """
    if len(fits) == 1:
        if weights is not None:
            raise ValueError(f"weights are for several laws; there is one fit, received {quote(weights)}. Omit them.")
        return dict.fromkeys(fits, 1.0)
    if isinstance(weights, str) and weights in WEIGHTS:
        if weights == "equal":
            return dict.fromkeys(fits, 1 / len(fits))
        # The one place where a decision may sample: a comparison refits what it leaves out.
        seed = next(iter(fits.values())).seed
        if weights == "stacking":
            table = compare(fits, leave_out="run", seed=seed).table["weight"]
        else:
            table = compare(fits, leave_out="scale", seed=seed).table["weight_pseudo_bma"]
        given = {name: float(table[name]) for name in fits}
    elif isinstance(weights, Mapping) and set(weights) == set(fits):
        given = {name: float(weights[name]) for name in fits}
    else:
        raise ValueError(
            f'weights must be "stacking", "scale", "equal" or a number for each of {some_of(fits)}; '
            f"received {quote(weights)}."
        )
    total = sum(given.values())
    if not (np.isfinite(total) and total > 0 and min(given.values()) >= 0):
        raise ValueError(f"weights must be numbers of 0 or more that do not all vanish, received {quote(given)}.")
    return {name: value / total for name, value in given.items()}
