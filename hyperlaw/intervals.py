"""Equal-tailed intervals, of 90 % unless asked: the one interval of the package, in one place."""

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import norm

ENDS = {"lower": 0.05, "median": 0.5, "upper": 0.95}
# Per cent: what backtests ask besides the 90 that a user sees.
LEVELS = (50, 80, 90)
# Standard errors to either end of the interval of what is normal.
Z90 = float(norm.ppf(ENDS["upper"]))


def interval(draws: np.ndarray, axis: int | tuple[int, ...] | None = None, *, ranked: bool = False) -> np.ndarray:
    """Lower end, median and upper end over `axis` (all when left out): they are the first axis of what is returned.

    `ranked` takes the draw at each rank instead of interpolating: between a number and infinity there is none.
    """
    method = "inverted_cdf" if ranked else "linear"
    return np.quantile(draws, list(ENDS.values()), axis=axis, method=method)  # type: ignore[call-overload]


def present(draws: np.ndarray) -> np.ndarray:
    """Those of the draws that are not missing, flat; where all are, one that is."""
    found = draws[~np.isnan(draws)]
    return found if found.size else np.full(1, np.nan)


def ends_at(draws: np.ndarray, level: int, axis: int | None = None) -> np.ndarray:
    """Lower and upper end of the equal-tailed interval of another level, one of `LEVELS`."""
    return np.quantile(draws, [0.5 - level / 200, 0.5 + level / 200], axis=axis)


def held(draws: np.ndarray, values: np.ndarray, level: int = 90, axis: int | tuple[int, ...] = 0) -> np.ndarray:
    """Whether the equal-tailed interval of draws holds each value: 1 or 0, and between them for a value of some draws.

    A value that many draws have, such as a limit at which all beyond is read, has no one rank among them: what counts
    is the share of its ranks that lie inside. Missing draws do not count; where all are, nothing is held.
    """
    below, up_to = ranks(draws, values, axis)
    low, high = 0.5 - level / 200, 0.5 + level / 200
    alike = up_to - below
    shared = np.clip(np.minimum(up_to, high) - np.maximum(below, low), 0, None) / np.where(alike > 0, alike, 1)
    return np.where(alike > 0, shared, (low <= below) & (below <= high))


def ranks(draws: np.ndarray, values: np.ndarray, axis: int | tuple[int, ...] = 0) -> tuple[np.ndarray, np.ndarray]:
    """Shares of the draws that lie below each value, and below or at it; missing draws do not count."""
    count = np.maximum((~np.isnan(draws)).sum(axis=axis), 1)
    return (draws < values).sum(axis=axis) / count, (draws <= values).sum(axis=axis) / count


def interval_columns(draws: np.ndarray, axis: int | tuple[int, ...], *, prefix: str = "", ranked: bool = False) -> dict:
    """The three of `interval` by name of their column."""
    return {f"{prefix}{end}": v for end, v in zip(ENDS, interval(draws, axis, ranked=ranked), strict=True)}


def interval_table(draws: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """One row a quantity, over all its draws: columns `lower, median, upper`."""
    rows = {name: interval(values) for name, values in draws.items()}
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(ENDS))


def intervals(draws: xr.Dataset, over: Sequence[Hashable]) -> pd.DataFrame:
    """Columns `lower, median, upper` over the dims `over`; index `quantity`, and the other dims where there are any."""
    quantiles = draws.quantile(list(ENDS.values()), over).to_array("quantity")
    rest = [dim for dim in quantiles.dims if dim not in ("quantity", "quantile")]
    table = quantiles.transpose(*rest, "quantity", "quantile")
    index = [pd.Index(table[dim].values, name=dim) for dim in (*rest, "quantity")]
    rows = pd.MultiIndex.from_product(index) if rest else index[0]
    return pd.DataFrame(table.values.reshape(-1, len(ENDS)), rows, list(ENDS))


def with_interval(lower: float, median: float, upper: float) -> str:
    """A median and its interval, "0.47 [0.31, 0.62]": to two figures of the width, and to two of each number at least.

    Ends that differ are not written alike.
    """
    scientific = max((abs(end) for end in (lower, median, upper) if np.isfinite(end)), default=0.0) >= 1e4
    said = [_figures(value, upper - lower, scientific) for value in (median, lower, upper)]
    return f"{said[0]} [{said[1]}, {said[2]}]"


def _figures(value: float, width: float, scientific: bool) -> str:
    if not np.isfinite(value) or value == 0:
        return f"{value:g}"
    size = int(np.floor(np.log10(abs(value))))
    places = np.clip(size - np.floor(np.log10(width)) + 1, 1, 5) if np.isfinite(width) and width > 0 else 1
    rounded = round(value, int(places) - size)
    if scientific or size < -4:
        number, exponent = f"{value:.{int(places)}e}".split("e")
        return f"{number}e{int(exponent)}"
    return f"{rounded:.{max(int(places) - size, 0)}f}"
