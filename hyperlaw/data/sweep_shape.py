"""Whether runs form a sweep: one unit, scales that differ by more than rounding, no repeats, rates to compare."""

import re
from itertools import combinations

import numpy as np
import pandas as pd

from hyperlaw.quote import quote, some_of

MIN_LEARNING_RATES = 3
# Horizons this near are one where no more than a step of the largest batch parts them; nearly one, where more does.
NEAR = 1.1
ON_A_LINE, ROUNDED_LINE = 0.999, 0.9
STEPS = {"step", "steps", "nsteps", "iter", "iters", "iteration", "iterations", "niter", "it", "updates", "batches"}
# Batches of at most 4,096 beside a billion data points are sequences beside tokens in every published sweep.
SEQUENCES, TOKENS = 4096, 1e9
MANY_STEPS = 1e6  # in a run: so many would be strange in a sweep of small ones
GAP = 64


def check_batch_unit(unit: object) -> None:
    """Refuse what is no number above zero; ValueError."""
    if not isinstance(unit, int | float | np.number) or not (np.isfinite(unit) and unit > 0):
        raise ValueError(f"batch_unit must be finite and above zero, received {quote(unit)}.")


def batch_factor(table: pd.DataFrame, unit: float | None) -> float:
    """Data points in one unit of batch size; batches and data must then be in the same unit.

    Raises
    ------
    ValueError
        When the unit is no number above zero, or batches and data are clearly not in one unit.
    """
    factor = 1.0 if unit is None else unit
    check_batch_unit(factor)
    if "data" not in table:
        return factor
    batch, data = table["batch_size"] * factor, table["data"]
    bad = batch > data
    if bad.any():
        row = bad.idxmax()
        raise ValueError(
            f"batch_size is larger than data in {bad.sum()} row{'s' if bad.sum() > 1 else ''}, first row {row}: a "
            f"batch of {batch[row]:g} data points, {data[row]:g} seen in all. Give both in the same "
            f"unit; batch_unit (received {quote(unit)}) is how many data points one unit of batch_size holds. If the "
            "column of data counts optimizer steps, name it in steps= instead."
        )
    many = data.median() >= TOKENS or (data / batch).median() > MANY_STEPS
    if unit is None and many and batch.max() <= SEQUENCES:
        raise ValueError(
            f"batch_size ({batch.min():g} to {batch.max():g}) looks like sequences beside data in tokens (median "
            f"{data.median():.2g}). Pass batch_unit=<tokens in a sequence>, or batch_unit=1 if each "
            "really is one token."
        )
    if unit is None:
        _one_unit(table)
    return factor


def _one_unit(table: pd.DataFrame) -> None:
    """Refuse batch sizes of which some count sequences and some tokens."""
    sizes = np.sort(table["batch_size"].unique())
    if len(sizes) < 2 or table["data"].median() < TOKENS / 10:
        return
    widest = int(np.argmax(sizes[1:] / sizes[:-1]))
    low, high = sizes[widest], sizes[widest + 1]
    if high / low >= GAP and low <= SEQUENCES:
        few = table["batch_size"] <= low
        rows = ", ".join(map(str, table.index[few][:4]))
        raise ValueError(
            f"batch_size goes from {sizes[0]:g} to {low:g} in {few.sum()} rows (first {rows}) and from {high:g} to "
            f"{sizes[-1]:g} in the others: some look like sequences, some like tokens. Give all in one unit, or pass "
            "batch_unit=1 if they are."
        )


def no_steps(column: str, table: pd.DataFrame) -> None:
    """Refuse a column of data that is named after steps of the optimizer, or epochs."""
    words = set(re.findall(r"[a-z]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", str(column)).lower()))
    span = f"column {quote(column)} ({table['data'].min():g} to {table['data'].max():g})"
    if words & {"epoch", "epochs"}:
        raise ValueError(
            f"data: {span} looks like epochs, not data points: multiply it by the number of points in the training "
            "set. If it does count data points, rename it."
        )
    if words & STEPS and not words & {"env", "environment", "frames"}:
        raise ValueError(
            f"data: {span} looks like optimizer steps, not data points. Pass steps={quote(column)} instead: the data "
            "are steps times batch size. If it does count data points, rename it."
        )


def merged_data(table: pd.DataFrame, scales: list[str], notes: list[str]) -> pd.Series:
    """The data of each run, with horizons that differ by rounding to whole steps made one. Notes what was merged.

    Runs of one size whose data differ by no more than a step of the largest batch (and by a tenth at most) get the
    middle one of their values. Horizons that one run was read at, or that one batch size was run for, stay apart.
    """
    size = table.groupby(["task", *(name for name in scales if name != "data")]).ngroup()
    order = np.lexsort([table["data"], size])
    ordered = table.assign(size=size).iloc[order]
    data, batch, size = (ordered[name].to_numpy() for name in ("data", "batch_size", "size"))
    gap, ratio = np.diff(data), data[1:] / data[:-1]
    apart = (gap > np.maximum(batch[1:], batch[:-1]) * (1 + 1e-9)) | (ratio > NEAR) | (size[1:] != size[:-1])
    group = np.concatenate([[0], np.cumsum(apart)])
    ends = ordered.groupby(group)["data"].agg(["min", "max", "median"])
    near = (ends["min"] < ends["max"]) & (ends["max"] <= NEAR * ends["min"])
    for name in ("run", "batch_size"):
        if name in ordered:
            own = ordered.groupby([group, name])["data"].nunique() > 1
            near &= ~own.groupby(level=0).any()
    if near.any():
        said = [f"{low:.6g} to {high:.6g} as {middle:.6g}" for low, high, middle in ends[near].head(3).to_numpy()]
        more = f", and {near.sum() - 3} more" if near.sum() > 3 else ""
        notes.append(f"data that differ by rounding to whole steps are one scale: {'; '.join(said)}{more}")
    merged, inside = table["data"].copy(), near.to_numpy()[group]
    merged.iloc[order[inside]] = ends["median"].to_numpy()[group[inside]]
    return merged


def sweep(table: pd.DataFrame, scales: list[str], beside: pd.DataFrame | None = None) -> None:
    """Refuse runs that are no sweep: repeats, too few learning rates, hyperparameters that move together.

    Parameters
    ----------
    table
        With `cell`.
    scales
        Names of its scales.
    beside
        Other columns of the source, one of which may tell repeats apart.
    """
    _no_repeats(table, scales, beside)
    _not_apart(table, scales)
    _enough_rates(table, scales)
    _off_a_line(table)
    _lowest_inside(table)


def _no_repeats(table: pd.DataFrame, scales: list[str], beside: pd.DataFrame | None) -> None:
    key = ["task", *scales, "learning_rate", "batch_size", "seed"]
    twice = table.duplicated(key, keep=False)
    if not twice.any():
        return
    rows = ", ".join(map(str, table.index[twice][:4]))
    said = f"{twice.sum()} rows repeat another run ({', '.join(key)} all equal), first rows {rows}."
    differ = [] if beside is None else _what_differs(table.loc[twice, key], beside)
    if not differ:
        raise ValueError(
            f"{said} Name what tells them apart, if anything does: a seed column for repeats with other seeds, a task "
            "column for other models or data. Else drop the repeats."
        )
    if len(differ) > 1:
        ways = "or a task each: task= with a column that names both"
    else:
        ways = f"task={quote(differ[0])} for a task each, or if it tells repeats apart, seed={quote(differ[0])}"
    raise ValueError(
        f"{said} They differ in {some_of(map(quote, differ))}. If that is a hyperparameter, pass "
        f"tune_over={quote(differ)} to keep the best run of each setting, {ways}. Or keep the rows of one value."
    )


def _what_differs(rows: pd.DataFrame, beside: pd.DataFrame) -> list[object]:
    """The fewest columns, two at most, that tell all repeats apart and look like settings: few values in many rows."""
    setting = rows.groupby(list(rows)).ngroup().to_numpy()
    codes = {}
    for i, name in enumerate(beside.columns):
        values = beside.iloc[:, i].loc[rows.index]
        values = values if values.dtype.kind in "biuf" else values.astype(object).map(quote)  # lists have no hash
        code, known = pd.factorize(values)
        if 1 < len(known) <= max(len(rows) // 3, 2):
            codes[name] = code
    few = sorted(codes, key=lambda name: codes[name].max())[:20]
    for count in (1, 2):
        for names in combinations(few, count):
            apart = np.column_stack([setting, *(codes[name] for name in names)])
            if len(np.unique(apart, axis=0)) == len(apart):
                return list(names)
    return []


def _not_apart(table: pd.DataFrame, scales: list[str]) -> None:
    """Refuse cells that hold one batch size each because data moves with the batch size."""
    if "data" not in scales:
        return
    sizes = ["task", *(name for name in scales if name != "data")]
    batches = table.groupby("cell")["batch_size"].nunique()
    several = table.groupby(sizes)["batch_size"].nunique().max() > 1
    if not several or (batches == 1).mean() <= 0.5:
        return
    cells = table.groupby("cell")[[*sizes, "data", "batch_size"]].first()
    alone = cells[batches == 1].sort_values([*sizes, "data"])
    steps = (alone["data"] / alone["batch_size"]).groupby([alone[name] for name in sizes])
    same_steps = len(alone) > 2 and (steps.max() / steps.min() < 1.05).all() and steps.size().max() > 1
    near = alone.groupby(sizes)["data"].transform(lambda data: data / data.shift()) < NEAR
    if same_steps or near.mean() > 0.25:
        why = (
            f"every run made about {steps.median().median():.3g} steps, so that its data follows from its batch size"
            if same_steps
            else "many differ by less than a tenth in data, as if by rounding or by when a run ended"
        )
        raise ValueError(
            f"{(batches == 1).sum()} of {len(batches)} cells (runs of equal {', '.join([*sizes[1:], 'data'])}) have a "
            f"single batch size though several were tried: {why}. Batch sizes can be compared at equal data alone. "
            "Leave data out to compare at equal steps, or give each run the data that was planned for it."
        )


def _enough_rates(table: pd.DataFrame, scales: list[str]) -> None:
    alive = table[~table["diverged"]]
    rates = alive.groupby("cell")["learning_rate"].nunique().reindex(table["cell"].unique(), fill_value=0)
    poor = rates[rates < MIN_LEARNING_RATES]
    if len(poor):
        first = table[table["cell"] == poor.index[0]].iloc[0]
        where = "".join(f", {name} {first[name]:g}" for name in scales)
        raise ValueError(
            f"{len(poor)} of {len(rates)} cells have fewer than {MIN_LEARNING_RATES} learning rates with a finite "
            f"loss, first task {quote(first['task'])}{where}: {poor.iloc[0]}. Add runs there, or leave those cells out."
            f"{_unfinished(table, first, scales)}"
        )


def _unfinished(table: pd.DataFrame, poor: pd.Series, scales: list[str]) -> str:
    """Said of a cell with too few runs, where others of its size saw more data."""
    size = ["task", *(name for name in scales if name != "data")]
    alike = (table[size] == poor[size]).all(axis=1)
    if "data" not in scales or not (table.loc[alike, "data"] > poor["data"]).any():
        return ""
    rows = ", ".join(map(str, table.index[table["cell"] == poor["cell"]][:5]))
    return (
        f" Others of its size saw more data, so the runs there (rows {rows}) may not have finished: name the column "
        "that says so, state=, or leave those rows out."
    )


def _off_a_line(table: pd.DataFrame) -> None:
    """Refuse a sweep in each cell of which learning rate and batch size move together."""
    alive = table[~table["diverged"]].drop_duplicates(["cell", "learning_rate", "batch_size"])
    several = alive.groupby("cell")["batch_size"].transform("nunique") > 1
    if not several.any():
        return
    cell = alive.loc[several, "cell"]
    logs = np.log(alive.loc[several, ["learning_rate", "batch_size"]])
    x, y = (logs[name] - logs[name].groupby(cell).transform("mean") for name in logs)
    both, one, other = (values.groupby(cell).sum() for values in (x * y, x**2, y**2))
    with np.errstate(invalid="ignore", divide="ignore"):
        together = (both.abs() / np.sqrt(one * other)).fillna(0.0)
    # Rates that were rounded lie near a line; where a batch size has several rates the two can be told apart.
    rates = alive[several].groupby(["cell", "batch_size"])["learning_rate"].nunique().max()
    if together.min() > (ROUNDED_LINE if rates == 1 else ON_A_LINE):
        raise ValueError(
            "within every cell that has several batch sizes, learning rate and batch size move together (correlation "
            f"{together.min():.2f} or more of their logs): the best of one cannot be told from the best of the other. "
            "Add runs with other learning rates at one batch size."
        )


def _lowest_inside(table: pd.DataFrame) -> None:
    """Refuse a "loss" that is highest in the middle of the learning rates, as what gets better as it rises is."""
    series = ["cell", "batch_size"]
    means = table[~table["diverged"]].groupby([*series, "learning_rate"])["loss"].mean().rename("loss").reset_index()
    groups = means.groupby(series)["loss"]
    means = means.assign(low=groups.transform("min"), high=groups.transform("max"), count=groups.transform("size"))
    means = means[(means["count"] >= MIN_LEARNING_RATES) & (means["low"] < means["high"])]
    ends = means.groupby(series)["loss"].agg(["first", "last"])
    if ends.empty:
        return
    ends = ends.join(means.groupby(series)[["low", "high"]].first())
    lowest = ends[["first", "last"]].min(axis=1) > ends["low"]
    highest = (ends[["first", "last"]].max(axis=1) < ends["high"]) & ~lowest
    if highest.sum() > 1 and highest.sum() > 2 * lowest.sum() and highest.mean() > 0.5:
        raise ValueError(
            f"the loss is highest in the middle of the learning rates and lowest at their ends in {highest.sum()} of "
            f"{len(ends)} series of runs: does it get better as it rises? A loss gets better as it falls: of an "
            "accuracy make the error rate, 1 - accuracy, with loss_unit='error rate'."
        )
