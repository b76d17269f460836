"""`withheld`: which rows a backtest is without, and that in words."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from hyperlaw.data.table import Table
from hyperlaw.display import short
from hyperlaw.quote import quote

HoldOut = str | Callable[[pd.DataFrame], pd.Series] | Sequence[int]


def withheld(table: Table, hold_out: HoldOut, scales: Sequence[str]) -> tuple[list[np.ndarray], str]:
    """Booleans of the rows that each refit is without, and all that in words.

    Parameters
    ----------
    table
        All rows.
    hold_out
        As for `hl.backtest`.
    scales
        Columns that may be extended, the first first.

    Raises
    ------
    ValueError
        When it names nothing, or leaves nothing to fit.
    """
    frame = table.frame
    if isinstance(hold_out, str):
        parts, words = _named(table, hold_out, scales)
    elif callable(hold_out):
        out = pd.Series(hold_out(frame), index=frame.index)
        if out.dtype != bool:
            raise ValueError(f"hold_out must return booleans, one a row of the frame; received {out.dtype}.")
        parts, words = [out.to_numpy()], f"withheld {int(out.sum())} rows by a function"
    elif "cell" not in frame:
        raise ValueError(f"cells are named of Runs alone; for {type(table).__name__} pass a function of its frame.")
    else:
        unknown = sorted(set(hold_out) - set(frame["cell"]))
        if unknown:
            raise ValueError(
                f"there is no cell {quote(unknown[0])}; runs.cells lists them: 0 to {frame['cell'].max()}."
            )
        parts = [frame["cell"].isin(list(hold_out)).to_numpy()]
        words = f"withheld cells {', '.join(map(str, hold_out))}"
    for part in parts:
        split = np.isin(frame.loc[part, "cell"], frame.loc[~part, "cell"]).sum() if "cell" in frame else 0
        if not part.any() or part.all() or split:
            raise ValueError(
                f"hold_out must withhold some rows and leave others, whole cells of runs: it withholds "
                f"{int(part.sum())} of {len(part)} rows, {int(split)} of them from cells that it also keeps."
            )
    return parts, words


def _named(table: Table, hold_out: str, scales: Sequence[str]) -> tuple[list[np.ndarray], str]:
    """Rows withheld by name: the largest values of a scale, or each task in turn."""
    frame = table.frame
    kind, _, number = hold_out.partition(":")
    if hold_out == "task" and len(table.tasks) > 1:
        return [(frame["task"] == task).to_numpy() for task in table.tasks], "each task withheld in turn"
    if kind != "largest" or not (number or "1").isdigit() or int(number or 1) < 1:
        raise ValueError(
            'hold_out must be "largest", "largest:2", "task" (where there are several), a function of the frame or, of '
            f"runs, a list of cells; received {quote(hold_out)}."
        )
    counts = {name: frame[name].nunique() for name in scales if name in frame}
    long = [name for least in (3, 2) for name, count in counts.items() if count >= least]
    if not long:
        raise ValueError("hold_out='largest' needs a scale with two values or more; name what to withhold instead.")
    values = sorted(frame[long[0]].unique())[-int(number or 1) :]
    words = f"withheld {long[0]} " + ", ".join(map(short, values))
    return [frame[long[0]].isin(values).to_numpy()], words
