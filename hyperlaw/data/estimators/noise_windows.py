"""`noise_windows`: squared norms of gradients, logged along training, as noise scales of windows of it.

`NoiseMeasurements.from_norms` returns it.
"""

import numpy as np
import pandas as pd

from hyperlaw.data.estimators.noise_scale import noise_scale
from hyperlaw.quote import quote

FEWEST = 8  # measurements from which an error can be told


def noise_windows(table: pd.DataFrame, place: list[str], order: str | None, window: int) -> pd.DataFrame:
    """One row a window: as many neighbours of one `place` (task and sizes) in `order`; the last one takes what is left.

    `table` has the columns `small`, `big`, `small_batch`, `big_batch`, and what may move along training: `step`, `data`
    (averaged in logs) and `loss`.
    """
    if not isinstance(window, int | np.integer) or isinstance(window, bool) or window < FEWEST:
        raise ValueError(
            f"window must be a whole number of measurements, {FEWEST} or more (16 is usual): its error is told from "
            f"how they scatter; received {quote(window)}."
        )
    rows = []
    for key, part in table.groupby(place, sort=True):
        if len(part) < window:
            named = ", ".join(f"{name} {value}" for name, value in zip(place, key, strict=True))
            raise ValueError(
                f"{named}: {len(part)} measurements make no window of {window}. Measure more often, or pass a smaller "
                f"window= (at least {FEWEST})."
            )
        ordered = part.sort_values(order, kind="stable") if order else part
        for chunk in np.array_split(ordered.index, _starts(len(ordered), window)):
            rows.append(dict(zip(place, key, strict=True)) | _of_window(ordered.loc[chunk]))
    return pd.DataFrame(rows)


def _starts(count: int, window: int) -> np.ndarray:
    """Where windows begin, the first aside."""
    return np.arange(1, count // window) * window


def _of_window(rows: pd.DataFrame) -> dict[str, float]:
    """What one window says."""
    batches = [rows[name].unique() for name in ("small_batch", "big_batch")]
    if max(map(len, batches)) > 1:
        raise ValueError(
            f"measurements of one window must have one small and one big batch, but rows {rows.index[0]} to "
            f"{rows.index[-1]} have {len(batches[0])} small and {len(batches[1])} big ones. Make each a task of its "
            "own."
        )
    try:
        found = noise_scale(rows["small"], rows["big"], small_batch=batches[0][0], big_batch=batches[1][0])
    except ValueError as error:
        raise ValueError(f"rows {rows.index[0]} to {rows.index[-1]}: {error}") from None
    along = {name: float(rows[name].mean()) for name in ("step", "loss") if name in rows}
    if "data" in rows:
        along["data"] = float(np.exp(np.log(rows["data"]).mean()))
    ends = {"noise_scale": found.noise_scale, "error": found.error}
    return along | ends | {"high": found.noise_scale if found.one_sided else np.inf}
