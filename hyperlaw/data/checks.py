"""The values of a column, checked: what was wrong, which rows, what is allowed."""

from datetime import date, timedelta

import numpy as np
import pandas as pd

from hyperlaw.data.numerals import numeral

# What stands for no number, though NumPy would make one of some.
NO_NUMBERS: dict[str, tuple[type, ...]] = {
    "true or false": (bool, np.bool_),
    "dates": (date, np.datetime64),
    "durations": (timedelta, np.timedelta64),
    "complex numbers": (complex, np.complexfloating),
    "bytes": (bytes,),
}


def _rows(bad: pd.Series | np.ndarray, values: pd.Series) -> str:
    labels = list(values.index[np.asarray(bad)])
    plain = values.astype(object)
    shown = ", ".join(f"{label} ({plain.loc[label]!r})" for label in labels[:3])
    return f"{len(labels)} row{'s' if len(labels) > 1 else ''}: {shown}{', ...' if len(labels) > 3 else ''}"


def numbers(values: pd.Series, column: str, *, counts: bool = False) -> pd.Series:
    """Values as floats; what is missing is NaN. Text is read as a number where it is one, such as "1e-3".

    Counts may be written as "7B", "1.4T" or "32k".
    """
    if values.dtype.kind in "iuf":  # nullable and Arrow's numbers too
        return pd.Series(values.to_numpy(float, na_value=np.nan), index=values.index)
    plain = values.astype(object)
    kinds = plain.map(_kind)
    for kind in kinds.dropna().unique():
        raise ValueError(f"column {column!r} must hold numbers, but holds {kind} in {_rows(kinds == kind, plain)}.")
    if plain.map(lambda value: isinstance(value, list | dict | set)).any():
        code, known = np.arange(len(plain)), list(plain)
    else:  # the same text stands in many rows
        code, known = pd.factorize(plain)
    values_of = [*(_read(value, counts) for value in known), np.nan]  # the last for what is missing, whose code is -1
    read = [values_of[i] for i in code]
    bad = np.array([value is None for value in read])
    if bad.any():
        raise ValueError(
            f"column {column!r} must hold numbers, but holds text in {_rows(bad, plain)}.{_remedy(plain[bad])}"
        )
    return pd.Series(np.array(read, float), index=values.index)


def _read(value: object, counts: bool) -> float | None:
    """The number that a value is; NaN where it says that there is none, None where it is no number."""
    try:
        return numeral(value, count=counts) if isinstance(value, str) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None


def mostly_numbers(values: pd.Series) -> bool:
    """Whether half of the values or more are numbers, or text that is read as one."""
    try:
        read = numbers(values.head(100), "")
    except ValueError:
        return False
    return bool(read.notna().mean() >= 0.5)


def _kind(value: object) -> str | None:
    """What a value is, where it is of a kind that stands for no number."""
    return next((kind for kind, types in NO_NUMBERS.items() if isinstance(value, types)), None)


def _remedy(text: pd.Series) -> str:
    """What to do about text of a kind that is often met."""
    first = str(text.iloc[0])
    if first.strip().endswith("%"):
        return " Turn it into a share: df[name].str.rstrip('%').astype(float) / 100."
    if "," in first:
        return " A comma is no decimal point here: read the file with from_csv, or with decimal=',' in pandas."
    return ""


def positive_numbers(values: pd.Series, column: str, *, counts: bool = False) -> pd.Series:
    """Values as floats, all finite and above zero; counts as for `numbers`."""
    converted = numbers(values, column, counts=counts)
    bad = ~(np.isfinite(converted) & (converted > 0))
    if bad.any():
        raise ValueError(f"column {column!r} must be finite and above zero, but is not in {_rows(bad, converted)}.")
    return converted


def finite_numbers(values: pd.Series, column: str) -> pd.Series:
    """Values as floats, all finite."""
    converted = numbers(values, column)
    bad = ~np.isfinite(converted)
    if bad.any():
        raise ValueError(f"column {column!r} must be finite, but is not in {_rows(bad, converted)}.")
    return converted


def not_negative_numbers(values: pd.Series, column: str) -> pd.Series:
    """Values as floats, all finite and zero or more."""
    converted = numbers(values, column)
    bad = ~(np.isfinite(converted) & (converted >= 0))
    if bad.any():
        raise ValueError(f"column {column!r} must be finite and not negative, but is not in {_rows(bad, converted)}.")
    return converted


def whole_numbers(values: pd.Series, column: str) -> pd.Series:
    """Values as integers."""
    converted = numbers(values, column)
    bad = ~(np.isfinite(converted) & (converted == np.round(converted)))
    if bad.any():
        raise ValueError(f"column {column!r} must hold whole numbers, but does not in {_rows(bad, converted)}.")
    return converted.astype(int)


def seeds(values: pd.Series, column: str) -> pd.Series:
    """Seeds as integers; names of repeats, and numbers too large for a float, are numbered."""
    plain = values.astype(object)
    if plain.notna().all() and not plain.map(lambda value: _read(value, False) is not None).all():
        return pd.Series(pd.factorize(plain.astype(str))[0], index=values.index)
    converted = whole_numbers(values, column)
    if converted.abs().max() >= 2**53:
        return pd.Series(pd.factorize(plain)[0], index=values.index)
    return converted


def booleans(values: pd.Series, column: str) -> pd.Series:
    """Values as booleans: true/false or 1/0, also as text."""
    words = {"true": True, "false": False}
    plain = values.astype(object).map(
        lambda value: words.get(value.lower(), value) if isinstance(value, str) else value
    )
    bad = ~plain.isin([True, False, 0, 1]) | plain.isna()
    if bad.any():
        raise ValueError(f"column {column!r} must be true or false (or 1 or 0), but is not in {_rows(bad, plain)}.")
    return plain.astype(bool)


def labels(values: pd.Series, column: str) -> pd.Series:
    """Values as text, none missing."""
    if values.isna().any():
        raise ValueError(f"column {column!r} holds tasks, but names none in {_rows(values.isna(), values)}.")
    return values.astype(str)


def text(values: pd.Series, column: str) -> pd.Series:
    """Values as text, none missing."""
    if values.isna().any():
        raise ValueError(
            f"column {column!r} must hold a name in every row, but holds none in {_rows(values.isna(), values)}."
        )
    return values.astype(str)


def one_run(table: pd.DataFrame, scales: list[str], column: str) -> pd.Series:
    """Numbers of runs; rows of one run must differ in the data alone."""
    missing = table["run"].isna()
    if missing.any():
        raise ValueError(
            f"column {column!r} must name a run in every row, but names none in {_rows(missing, table['run'])}."
        )
    same = ["task", "learning_rate", "batch_size", "seed", *(name for name in scales if name != "data")]
    several = table.groupby("run", sort=False)[same].nunique()
    if (several > 1).any(axis=None):
        run = several.index[(several > 1).any(axis=1)][0]
        names = ", ".join(several.columns[several.loc[run] > 1])
        raise ValueError(
            f"rows of one run must differ in data alone, but run {run} (column {column!r}) has several values of "
            f"{names}. Name the column that tells runs apart, run=, or rename this one if it says something else."
        )
    return pd.Series(pd.factorize(table["run"])[0], table.index)
