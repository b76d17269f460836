"""Whether runs form a sweep: one unit, scales that differ by more than rounding, no repeats, rates to compare."""

import numpy as np
import pandas as pd

MIN_LEARNING_RATES = 3
# Horizons this near are one where no more than a step of the largest batch parts them; nearly one, where more does.
NEAR = 1.1
ON_A_LINE = 0.999
# Batches of at most 4,096 beside a billion data points are sequences beside tokens in every published sweep.
SEQUENCES, TOKENS = 4096, 1e9
GAP = 64


def batch_factor(table: pd.DataFrame, unit: float | None) -> float:
    """Data points in one unit of batch size; batches and data must then be in the same unit.

    Raises
    ------
    ValueError
        When the unit is no number above zero, or batches and data are clearly not in one unit.
    """
    factor = 1.0 if unit is None else unit
    if not isinstance(factor, int | float | np.number) or not (np.isfinite(factor) and factor > 0):
        raise ValueError(f"batch_unit must be finite and above zero, received {unit!r}.")
    if "data" not in table:
        return factor
    batch, data = table["batch_size"] * factor, table["data"]
    bad = batch > data
    if bad.any():
        row = int(np.argmax(bad.to_numpy()))
        raise ValueError(
            f"batch_size is larger than data in {bad.sum()} row{'s' if bad.sum() > 1 else ''}, first row {row}: a "
            f"batch of {batch.iloc[row]:g} data points, {data.iloc[row]:g} seen in all. Give both in the same "
            f"unit; batch_unit (received {unit!r}) is how many data points one unit of batch_size holds. If the column "
            "of data counts optimizer steps, name it in steps= instead."
        )
    if unit is None and data.median() >= TOKENS and batch.max() <= SEQUENCES:
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
    """Refuse a column of data that is named after steps of the optimizer."""
    words = str(column).lower().replace("/", "_").replace("-", "_").replace(".", "_").split("_")
    if any(word in ("step", "steps", "iteration", "iterations", "iters", "updates") for word in words) and not (
        "env" in words or "environment" in words
    ):
        raise ValueError(
            f"data: column {column!r} ({table['data'].min():g} to {table['data'].max():g}) looks like optimizer steps, "
            f"not data points. Pass steps={column!r} instead: the data are steps times batch size. If it does count "
            "data points, rename it."
        )


def merged_data(table: pd.DataFrame, scales: list[str], notes: list[str]) -> pd.Series:
    """The data of each run, with horizons that differ by rounding to whole steps made one. Notes what was merged.

    Runs of one size whose data differ by no more than a step of the largest batch (and by a tenth at most) get the
    middle one of their values. Where several rows are one run, its readings are left as they are.
    """
    if "run" in table and table["run"].duplicated().any():
        return table["data"]
    merged, said = table["data"].copy(), []
    for _, rows in table.groupby(["task", *(name for name in scales if name != "data")]):
        ordered = rows.sort_values("data")
        data, batch = ordered["data"].to_numpy(), ordered["batch_size"].to_numpy()
        gap, ratio = np.diff(data), data[1:] / data[:-1]
        apart = (gap > np.maximum(batch[1:], batch[:-1]) * (1 + 1e-9)) | (ratio > NEAR)
        for group in np.split(np.arange(len(data)), np.flatnonzero(apart) + 1):
            if data[group[0]] < data[group[-1]] <= NEAR * data[group[0]]:
                middle = float(np.median(data[group]))
                merged.loc[ordered.index[group]] = middle
                said.append(f"{data[group[0]]:.6g} to {data[group[-1]]:.6g} as {middle:.6g}")
    if said:
        notes.append(
            f"data that differ by rounding to whole steps are one scale: {'; '.join(said[:3])}"
            + (f", and {len(said) - 3} more" if len(said) > 3 else "")
        )
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
    differ = _what_differs(table[twice], key, beside)
    if differ:
        names = ", ".join(map(repr, differ[:5]))
        raise ValueError(
            f"{said} They differ in {names}. If that is a hyperparameter, pass tune_over={differ[:1]!r} to keep the "
            f"best run of each setting, task={differ[0]!r} for a task each, or keep the rows of one value; if it tells "
            f"repeats apart, pass seed={differ[0]!r}."
        )
    raise ValueError(f"{said} Drop the repeats, or name a seed column if they are repeats with other seeds.")


def _what_differs(rows: pd.DataFrame, key: list[str], beside: pd.DataFrame | None) -> list[str]:
    """Columns that tell all repeats apart, fewest values first: so hyperparameters stand before metrics."""
    if beside is None:
        return []
    columns = beside.loc[rows.index].astype(str)
    group = [rows[name] for name in key]
    found = [c for c in columns if not pd.concat([*group, columns[c]], axis=1).duplicated().any()]
    return sorted(map(str, found), key=lambda name: columns[name].nunique())


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
            f"loss, first task {first['task']!r}{where}: {poor.iloc[0]}. Add runs there, or leave those cells out."
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
    logs = np.log(alive[["learning_rate", "batch_size"]]).groupby(alive["cell"])
    varied = logs["batch_size"].nunique() > 1
    if not varied.all():
        return
    found = [abs(np.corrcoef(rows.to_numpy().T)[0, 1]) for _, rows in logs]
    if min(found) > ON_A_LINE:
        raise ValueError(
            f"within every cell learning rate and batch size move together (correlation {min(found):.2f} or more of "
            "their logs): the best of one cannot be told from the best of the other. Add runs with other learning "
            "rates at one batch size."
        )


def _lowest_inside(table: pd.DataFrame) -> None:
    """Refuse a "loss" that is highest in the middle of the learning rates, as what gets better as it rises is."""
    alive = table[~table["diverged"]]
    highest, lowest = 0, 0
    for _, rows in alive.groupby(["cell", "batch_size"]):
        means = rows.groupby("learning_rate")["loss"].mean().to_numpy()
        if len(means) > MIN_LEARNING_RATES and means.min() < means.max():
            inside = slice(1, -1)
            highest += means[inside].max() == means.max() and means[inside].min() > means.min()
            lowest += means[inside].min() == means.min()
    if highest > 1 and highest > 2 * lowest:
        raise ValueError(
            f"the loss is highest in the middle of the learning rates and lowest at their ends in {highest} of "
            f"{highest + lowest} series of runs: does it get better as it rises? A loss gets better as it falls: of an "
            "accuracy make the error rate, 1 - accuracy, with loss_unit='error rate'."
        )
