"""`compare`: which of several laws predicts runs better that it has not seen."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import arviz_stats as az
import pandas as pd

from hyperlaw.inference.fit import Fit


@dataclass(frozen=True, eq=False)
class Comparison:
    """What `compare` returns.

    Attributes
    ----------
    table
        As `az.compare` makes it, unrounded: `rank, elpd_diff, dse, elpd, se, weight` and more, best first.
    sentence
        The same in words.
    """

    table: pd.DataFrame
    sentence: str

    def __repr__(self) -> str:
        return f"{self.table.to_string()}\n{self.sentence}"


def compare(fits: Mapping[str, Fit]) -> Comparison:
    """Compare fits by how well they predict each run from the others (PSIS-LOO), with stacking weights.

    Parameters
    ----------
    fits
        Two fits or more to the same runs, by name.

    Returns
    -------
    Comparison
        Table and sentence. This scores interpolation between scales; it does not score extrapolation.

    Raises
    ------
    ValueError
        With fewer than two fits, or when they are not fits to the same runs.
    """
    if len(fits) < 2:
        raise ValueError(f"compare needs two fits or more, received {len(fits)}.")
    first, *others = fits
    for name in others:
        if fits[name].runs.digest != fits[first].runs.digest:
            raise ValueError(
                f"{name!r} and {first!r} were fitted to different runs ({fits[name].runs!r} and {fits[first].runs!r}): "
                "their scores cannot be compared. Fit both to the same runs."
            )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # Pareto k is reported by each fit's own checks
        scores = {name: az.loo(fit.tree, var_name="loss", pointwise=True) for name, fit in fits.items()}
        table = az.compare(scores, method="stacking", round_to="none")
    best, second = table.index[:2]
    behind, error = -table.loc[second, "elpd_diff"], table.loc[second, "dse"]
    clear = "clearly" if behind > 2 * error else "not clearly"
    sentence = (
        f"{best} predicts a left-out run better than {second}, {clear}: by {behind:.1f} nats over "
        f"{len(fits[best].runs)} runs (standard error {error:.1f})."
    )
    return Comparison(table, sentence)
