"""Refusals of bad input, before anything is compiled: what was wrong, which rows, what is allowed."""

import difflib
import itertools

import numpy as np
import pandas as pd

MIN_LEARNING_RATES = 3


def columns_exist(frame: pd.DataFrame, named: dict[str, str]) -> None:
    """Every named column is in the table once, has one meaning, and the table has rows."""
    have = list(frame.columns)
    for word, column in named.items():
        if column not in have:
            near = difflib.get_close_matches(column, map(str, have), n=1, cutoff=0.4)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(
                f"{word}: there is no column {column!r}.{hint} The columns are: {', '.join(map(str, have))}."
            )
        if have.count(column) > 1:
            raise ValueError(f"{word}: the table has {have.count(column)} columns named {column!r}. Keep one of them.")
    for word, other in itertools.combinations(named, 2):
        if named[word] == named[other]:
            raise ValueError(f"column {named[word]!r} was named for both {word} and {other}. Give each its own column.")


def _rows(bad: pd.Series | np.ndarray, values: pd.Series) -> str:
    labels = list(values.index[np.asarray(bad)])
    plain = values.astype(object)
    shown = ", ".join(f"{label} ({plain.loc[label]!r})" for label in labels[:3])
    return f"{len(labels)} row{'s' if len(labels) > 1 else ''}: {shown}{', ...' if len(labels) > 3 else ''}"


def numbers(values: pd.Series, column: str) -> pd.Series:
    """Values as floats; NaN stays NaN, text is refused."""
    unique = values.reset_index(drop=True)
    converted = pd.to_numeric(unique, errors="coerce")
    bad = converted.isna() & unique.notna()
    if bad.any():
        raise ValueError(f"column {column!r} must hold numbers, but holds text in {_rows(bad, unique)}.")
    return pd.Series(converted.to_numpy(float), index=values.index)


def positive_numbers(values: pd.Series, column: str) -> pd.Series:
    """Values as floats, all finite and above zero."""
    converted = numbers(values, column)
    unique = converted.reset_index(drop=True)
    bad = ~(np.isfinite(unique) & (unique > 0))
    if bad.any():
        raise ValueError(f"column {column!r} must be finite and above zero, but is not in {_rows(bad, unique)}.")
    return converted


def finite_numbers(values: pd.Series, column: str) -> pd.Series:
    """Values as floats, all finite."""
    converted = numbers(values, column)
    unique = converted.reset_index(drop=True)
    bad = ~np.isfinite(unique)
    if bad.any():
        raise ValueError(f"column {column!r} must be finite, but is not in {_rows(bad, unique)}.")
    return converted


def not_negative_numbers(values: pd.Series, column: str) -> pd.Series:
    """Values as floats, all finite and zero or more."""
    converted = numbers(values, column)
    unique = converted.reset_index(drop=True)
    bad = ~(np.isfinite(unique) & (unique >= 0))
    if bad.any():
        raise ValueError(f"column {column!r} must be finite and not negative, but is not in {_rows(bad, unique)}.")
    return converted


def whole_numbers(values: pd.Series, column: str) -> pd.Series:
    """Values as integers."""
    converted = numbers(values, column)
    unique = converted.reset_index(drop=True)
    bad = ~(np.isfinite(unique) & (unique == np.round(unique)))
    if bad.any():
        raise ValueError(f"column {column!r} must hold whole numbers, but does not in {_rows(bad, unique)}.")
    return converted.astype(int)


def booleans(values: pd.Series, column: str) -> pd.Series:
    """Values as booleans: true/false or 1/0."""
    unique = values.reset_index(drop=True)
    bad = ~unique.isin([True, False, 0, 1]) | unique.isna()
    if bad.any():
        raise ValueError(f"column {column!r} must be true or false (or 1 or 0), but is not in {_rows(bad, unique)}.")
    return values.astype(bool)


def labels(values: pd.Series, column: str) -> pd.Series:
    """Values as text, none missing."""
    unique = values.reset_index(drop=True)
    if unique.isna().any():
        raise ValueError(f"column {column!r} holds tasks, but names none in {_rows(unique.isna(), unique)}.")
    return values.astype(str)


def text(values: pd.Series, column: str) -> pd.Series:
    """Values as text, none missing."""
    unique = values.reset_index(drop=True)
    if unique.isna().any():
        raise ValueError(
            f"column {column!r} must hold a name in every row, but holds none in {_rows(unique.isna(), unique)}."
        )
    return values.astype(str)


def one_run(table: pd.DataFrame, scales: list[str], column: str) -> pd.Series:
    """Numbers of runs; rows of one run must differ in the data alone."""
    unique = table["run"].reset_index(drop=True)
    if unique.isna().any():
        raise ValueError(
            f"column {column!r} must name a run in every row, but names none in {_rows(unique.isna(), unique)}."
        )
    same = ["task", "learning_rate", "batch_size", "seed", *(name for name in scales if name != "data")]
    several = table.groupby("run", sort=False)[same].nunique()
    if (several > 1).any(axis=None):
        run = several.index[(several > 1).any(axis=1)][0]
        names = ", ".join(several.columns[several.loc[run] > 1])
        raise ValueError(
            f"rows of one run must differ in data alone, but run {run} (column {column!r}) has several values of "
            f"{names}. Name the column that tells runs apart, or none."
        )
    return pd.Series(pd.factorize(table["run"])[0], table.index)


def batch_unit(table: pd.DataFrame, unit: float | None) -> float:
    """Data points in one unit of batch size; batches and data must then be in the same unit."""
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
            f"unit; batch_unit (received {unit!r}) is how many data points one unit of batch_size holds."
        )
    # Batches of at most 4,096 beside a billion data points are sequences beside tokens in every published sweep.
    if unit is None and data.median() >= 1e9 and batch.max() <= 4096:
        raise ValueError(
            f"batch_size ({batch.min():g} to {batch.max():g}) looks like sequences beside data in tokens (median "
            f"{data.median():.2g}). Pass batch_unit=<tokens in a sequence>, or batch_unit=1 if each "
            "really is one token."
        )
    return factor


def sweep(table: pd.DataFrame, scales: list[str]) -> None:
    """The runs form a sweep: no duplicates, two scales or more, learning rates to compare."""
    if not scales:
        raise ValueError("no scale was named: pass data=, params=, width= or utd= with the column that holds it.")
    key = ["task", *scales, "learning_rate", "batch_size", "seed"]
    twice = table.duplicated(key, keep=False)
    if twice.any():
        rows = ", ".join(str(i) for i in np.flatnonzero(twice)[:4])
        raise ValueError(
            f"{twice.sum()} rows repeat another run ({', '.join(key)} all equal), first rows {rows}. "
            "Drop the repeats, or name a seed column if they are repeats with other seeds."
        )
    if table.groupby("task")[scales].nunique().max().max() < 2:
        only = ", ".join(f"{name} = {table[name].iloc[0]:g}" for name in scales)
        raise ValueError(f"a single scale ({only}): there is nothing to extrapolate from. Add runs at another scale.")
    alive = table[~table["diverged"]]
    rates = alive.groupby("cell")["learning_rate"].nunique().reindex(table["cell"].unique(), fill_value=0)
    poor = rates[rates < MIN_LEARNING_RATES]
    if len(poor):
        first = table[table["cell"] == poor.index[0]].iloc[0]
        where = ", ".join(f"{name} {first[name]:g}" for name in scales)
        raise ValueError(
            f"{len(poor)} of {len(rates)} cells have fewer than {MIN_LEARNING_RATES} learning rates with a finite "
            f"loss, first task {first['task']!r}, {where}: {poor.iloc[0]}. Add runs there, or leave those cells out."
        )
