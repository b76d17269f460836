"""The values of a column, checked: what was wrong, which rows, what is allowed."""

import unicodedata
from datetime import date, timedelta
from numbers import Number

import numpy as np
import pandas as pd

from hyperlaw.data.numerals import numeral
from hyperlaw.quote import quote

MISSING = (type(None), type(pd.NA), type(pd.NaT))

# What stands for no number, though NumPy would make one of some.
NO_NUMBERS: dict[str, tuple[type, ...]] = {
    "true or false": (bool, np.bool_),
    "dates": (date, np.datetime64),
    "durations": (timedelta, np.timedelta64),
    "complex numbers": (complex, np.complexfloating),
    "bytes": (bytes,),
}
YES_OR_NO = (bool, int, float, np.bool_, np.integer, np.floating)
LABELS = (str, int, float, np.number, np.bool_, date, np.datetime64)
LONGEST_LABEL = 200
# One whole number from here on may stand for another as a float.
EXACT = 2**53


def _rows(bad: pd.Series | np.ndarray, values: pd.Series) -> str:
    places = np.flatnonzero(np.asarray(bad))
    cells = values.iloc[places[:3]].astype(object)
    said = ", ".join(f"{label} ({quote(value)})" for label, value in cells.items())
    return f"{len(places)} row{'s' if len(places) > 1 else ''}: {said}{', ...' if len(places) > 3 else ''}"


def numbers(values: pd.Series, column: str, *, counts: bool = False) -> pd.Series:
    """Values as floats; what is missing is NaN. Text is read as a number where it is one, such as "1e-3".

    Counts may be written as "7B", "1.4T" or "32k".
    """
    if values.dtype.kind in "iuf":  # nullable and Arrow's numbers too
        return pd.Series(values.to_numpy(float, na_value=np.nan), index=values.index)
    plain = values.astype(object)
    kinds = {kind: _no_number(kind) for kind in set(map(type, plain))}
    said = next(filter(None, kinds.values()), None)
    if said:
        bad = plain.map(lambda value: kinds[type(value)] == said)
        raise ValueError(f"column {quote(column)} must hold numbers, but holds {said} in {_rows(bad, plain)}.")
    try:
        code, known = pd.factorize(plain)  # the same text stands in many rows
    except TypeError:  # what has no hash
        code, known = np.arange(len(plain)), list(plain)
    values_of = [*(_read(value, counts) for value in known), np.nan]  # the last for what is missing, whose code is -1
    bad_values = np.array([value is None for value in values_of])
    if bad_values.any():
        bad = bad_values[code]
        said = "text" if isinstance(plain[bad].iloc[0], str) else "what is no number"
        raise ValueError(
            f"column {quote(column)} must hold numbers, but holds {said} in {_rows(bad, plain)}.{_remedy(plain[bad])}"
        )
    return pd.Series(np.array(values_of, float)[code], index=values.index)


def _no_number(kind: type) -> str | None:
    """What values of a type are, where none of them stands for a number."""
    if kind is str or kind in MISSING:
        return None
    said = (words for words, types in NO_NUMBERS.items() if issubclass(kind, types))
    return next(said, None if issubclass(kind, Number) else f"values of type {kind.__name__}")


def _read(value: object, counts: bool) -> float | None:
    """The number that a value is; NaN where it says that there is none, None where it is no number."""
    if type(value) in MISSING:
        return np.nan
    try:
        return numeral(value, count=counts) if isinstance(value, str) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None


def mostly_numbers(values: pd.Series) -> bool:
    """Whether half of the values or more are numbers, or text that is read as one."""
    try:
        read = numbers(values.head(100), "")
    except ValueError:
        return False
    return bool(read.notna().mean() >= 0.5)


def _remedy(text: pd.Series) -> str:
    """What to do about text of a kind that is often met."""
    first = str(text.iloc[0]) if isinstance(text.iloc[0], str) else ""
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
        raise ValueError(
            f"column {quote(column)} must be finite and above zero, but is not in {_rows(bad, converted)}."
        )
    return converted


def finite_numbers(values: pd.Series, column: str) -> pd.Series:
    """Values as floats, all finite."""
    converted = numbers(values, column)
    bad = ~np.isfinite(converted)
    if bad.any():
        raise ValueError(f"column {quote(column)} must be finite, but is not in {_rows(bad, converted)}.")
    return converted


def not_negative_numbers(values: pd.Series, column: str) -> pd.Series:
    """Values as floats, all finite and zero or more."""
    converted = numbers(values, column)
    bad = ~(np.isfinite(converted) & (converted >= 0))
    if bad.any():
        raise ValueError(
            f"column {quote(column)} must be finite and not negative, but is not in {_rows(bad, converted)}."
        )
    return converted


def whole_numbers(values: pd.Series, column: str) -> pd.Series:
    """Values as integers."""
    converted = numbers(values, column)
    bad = ~(np.isfinite(converted) & (converted == np.round(converted)))
    if bad.any():
        raise ValueError(f"column {quote(column)} must hold whole numbers, but does not in {_rows(bad, converted)}.")
    large = converted.abs() >= EXACT
    if large.any():
        raise ValueError(f"column {quote(column)} must be below 2^53, but is not in {_rows(large, values)}.")
    return converted.astype(int)


def seeds(values: pd.Series, column: str) -> pd.Series:
    """Seeds as integers; names of repeats, and numbers too large for a float, are numbered."""
    named = values.dtype.kind not in "iuf" and not _missing(values).any()
    if named and any(_read(name, False) is None for name in labels(values, column).unique()):
        return pd.Series(pd.factorize(labels(values, column), sort=True)[0], index=values.index)
    if numbers(values, column).abs().max() >= EXACT:
        return pd.Series(pd.factorize(labels(values, column), sort=True)[0], index=values.index)
    return whole_numbers(values, column)


def booleans(values: pd.Series, column: str) -> pd.Series:
    """Values as booleans: true/false or 1/0, also as text."""
    words = {"true": True, "false": False, "1": True, "0": False}
    read = [words.get(v.strip().lower(), v) if isinstance(v, str) else v for v in values.astype(object)]
    good = np.array([isinstance(value, YES_OR_NO) and value in (0, 1) for value in read], bool)
    if not good.all():
        raise ValueError(
            f"column {quote(column)} must be true or false (or 1 or 0), but is not in {_rows(~good, values)}."
        )
    return pd.Series(np.array(read, bool), index=values.index)


def labels(values: pd.Series, column: str) -> pd.Series:
    """Values as text of one line, none missing; of tasks, optimizers, states and named seeds.

    A label goes into files, pictures and tables, so it is one line of at most 200 characters.
    """
    missing, plain = _missing(values), values.astype(object)
    if missing.any():
        raise ValueError(
            f"column {quote(column)} must hold a name in every row, but holds none in {_rows(missing, values)}."
        )
    strange = {kind for kind in set(map(type, plain)) if not issubclass(kind, LABELS)}
    if strange:
        bad = plain.map(lambda value: type(value) in strange)
        raise ValueError(
            f"column {quote(column)} must hold names, as text or numbers, but holds values of type "
            f"{', '.join(sorted(kind.__name__ for kind in strange))} in {_rows(bad, plain)}. Make text of them."
        )
    text = [value if isinstance(value, str) else str(value) for value in plain]
    wrong = {one for one in set(text) if len(one) > LONGEST_LABEL or any(map(_breaks, one))}
    if wrong:
        bad = np.array([one in wrong for one in text])
        raise ValueError(
            f"column {quote(column)} must hold names of one line and at most {LONGEST_LABEL} characters, but does not "
            f"in {_rows(bad, plain)}. Shorten them and take line breaks and control characters out, such as "
            "df[name].str.slice(0, 40)."
        )
    return pd.Series(text, index=values.index, dtype=str)


def _missing(values: pd.Series) -> np.ndarray:
    """Which values are missing. pandas' own stumbles over decimals that are no number."""
    return np.array([type(v) in MISSING or (isinstance(v, float) and v != v) for v in values.astype(object)], bool)


def _breaks(letter: str) -> bool:
    """Whether a character ends a line, controls a terminal, or is half of one and no file can hold it."""
    return unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp")


def no_repeats(table: pd.DataFrame, key: list[str], one: str) -> None:
    """Refuse rows that measure the same thing: `one`, such as "a cell", told apart by the columns of `key`."""
    twice = table.duplicated(key, keep=False)
    if twice.any():
        rows = ", ".join(map(str, table.index[twice][:4]))
        raise ValueError(
            f"{twice.sum()} rows repeat another ({', '.join(key)} all equal), first rows {rows}: {one} counts once. "
            "Keep one row of each, with an error that says how sure it is, or name the column that tells them apart: a "
            "task, a scale or a hyperparameter."
        )


def one_run(table: pd.DataFrame, scales: list[str], column: str) -> pd.Series:
    """Numbers of runs; rows of one run must differ in the data alone."""
    missing = _missing(table["run"])
    if missing.any():
        raise ValueError(
            f"column {quote(column)} must name a run in every row, but names none in {_rows(missing, table['run'])}."
        )
    table = table.assign(run=labels(table["run"], column))
    same = ["task", "learning_rate", "batch_size", "seed", *(name for name in scales if name != "data")]
    several = table.groupby("run", sort=False)[same].nunique()
    if (several > 1).any(axis=None):
        run = several.index[(several > 1).any(axis=1)][0]
        names = ", ".join(several.columns[several.loc[run] > 1])
        raise ValueError(
            f"rows of one run must differ in data alone, but run {quote(run)} (column {quote(column)}) has several "
            f"values of {names}. Name the column that tells runs apart, run=, or rename this one if it says something "
            "else."
        )
    return pd.Series(pd.factorize(table["run"], sort=True)[0], table.index)
