"""What is done to an honest table: cells, types, labels, names and rows as people really hand them in, and worse."""

import datetime
import math
import warnings
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from honest_tables import LABELS, NUMBERS, Case
from hypothesis import strategies as st

CELLS: dict[str, Any] = {
    "a timestamp": pd.Timestamp("2024-01-02"), "a date": datetime.date(2024, 1, 2),
    "a datetime64": np.datetime64("2024-01-02"), "a duration": pd.Timedelta("3h"),
    "a timedelta64": np.timedelta64(3, "s"), "a time": datetime.time(3), "a period": pd.Period("2024-01"),
    "an interval": pd.Interval(1, 2), "true": True, "numpy's true": np.bool_(True), "complex": complex(1e-3, 1),
    "complex without an imaginary part": np.complex64(1e-3), "bytes": b"1", "an empty text": "", "blanks": "  ",
    "None": None, "NaN": math.nan, "NA": pd.NA, "NaT": pd.NaT, "infinity": math.inf, "minus infinity": -math.inf,
    "zero": 0.0, "minus zero": -0.0, "minus one": -1, "huge": 1e308, "tiny": 5e-324, "too large for a float": 10**400,
    "a decimal": Decimal("0.0031"), "a huge decimal": Decimal("1e999"), "a signalling decimal": Decimal("sNaN"),
    "a fraction": Fraction(1, 300), "a float32": np.float32(3.3e-3), "a float16": np.float16(0.5),
    "an int64": np.int64(7), "a list": [1e-3], "a tuple": (1e-3,), "an array": np.array([1e-3]),
    "an array of no dimension": np.array(1e-3), "a dict": {"value": 1e-3}, "a set": {1}, "an object": object(),
    "a function": len, "a series": pd.Series([1e-3]), "a NUL": "\x00", "a number and a NUL": "1\x00",
    "a number and a newline": "3\n", "two lines": "1\n2", "a surrogate": "\ud800", "a long text": "x" * 5000,
    "a long number": "1" * 5000, "hexadecimal": "0x10", "a text beyond floats": "1e400",
    "a text below floats": "1e-400",
    "7B": "7B", "32k": "32k", "1,5": "1,5", "1,000": "1,000", "1 000": "1 000", "1_000": "1_000", "12 ms": "12 ms",
    "3e-4 (best)": "3e-4 (best)", "5%": "5%", "one half": "½", "no number": "nan", "a dash": "-",
    "true in words": "True",
    "mathtext": "$\\frac{$", "HTML": "<script>alert(1)</script>", "arabic digits": "٣", "two signs": "--1",
    "a plus": "+4", "a formula": "=1+1", "ellipsis": ..., "a type": float,
}  # fmt: skip


def one_cell(draw: Callable, case: Case) -> None:
    """One value is something else."""
    column, row = _column(draw, case), draw(st.integers(0, max(len(case.frame) - 1, 0)))
    name = draw(st.sampled_from(sorted(CELLS)))
    case.done.append(f"{name} in {column!r}")
    _set(case, column, [row], CELLS[name])


def whole_column(draw: Callable, case: Case) -> None:
    """Every value is something else."""
    column, name = _column(draw, case), draw(st.sampled_from(sorted(CELLS)))
    case.done.append(f"{name} all over {column!r}")
    _set(case, column, range(len(case.frame)), CELLS[name])


def _set(case: Case, column: object, rows: Any, value: object) -> None:
    if column not in case.frame or list(case.frame.columns).count(column) > 1:
        return
    values = case.frame[column].astype(object).tolist()
    for row in rows:
        if row < len(values):
            values[row] = value
    cells = np.empty(len(values), dtype=object)
    cells[:] = values if not any(isinstance(v, list | tuple | np.ndarray | pd.Series) for v in values) else None
    for i, one in enumerate(values):
        cells[i] = one
    case.frame = case.frame.assign(**{column: pd.Series(cells, index=case.frame.index, dtype=object)})
    case.faultless = False


def _text(value: object) -> str:
    return value if isinstance(value, str) else str(value)


# Each takes a column of plain numbers; those that keep the numbers must be taken.
DTYPES: dict[str, tuple[bool, Callable[[pd.Series], Any]]] = {
    "float32": (True, lambda s: s.astype("float32")),
    "objects": (True, lambda s: s.astype(object)),
    "nullable floats": (True, lambda s: s.astype("Float64")),
    "Arrow's doubles": (True, lambda s: s.astype(pd.ArrowDtype(pa.float64()))),
    "text": (True, lambda s: s.map(_text)),
    "Arrow's text": (True, lambda s: s.map(_text).astype(pd.ArrowDtype(pa.string()))),
    "pandas' text": (True, lambda s: s.map(_text).astype("string")),
    "text with blanks": (True, lambda s: s.map(lambda v: f"  {_text(v)} ")),
    "a categorical": (True, lambda s: s.astype("category")),
    "a categorical of text": (True, lambda s: s.map(_text).astype("category")),
    "sparse": (True, lambda s: s.astype(pd.SparseDtype("float64"))),
    "decimals": (True, lambda s: s.map(lambda v: Decimal(repr(float(v))))),
    "Arrow's decimals": (True, lambda s: pd.Series(
        [Decimal(repr(float(v))) for v in s], s.index, dtype=pd.ArrowDtype(pa.decimal128(38, 18)))),
    "Arrow's dictionary": (False, lambda s: pd.Series(pd.arrays.ArrowExtensionArray(
        pa.array(s.to_numpy(float)).dictionary_encode()), s.index)),
    "float16": (False, lambda s: s.where(s < 6e4, 6e4).astype("float16")),
    "complex": (False, lambda s: s.astype(complex)),
    "booleans": (False, lambda s: s > s.min()),
    "nullable booleans": (False, lambda s: (s > s.min()).astype("boolean")),
    "Arrow's booleans": (False, lambda s: (s > s.min()).astype(pd.ArrowDtype(pa.bool_()))),
    "timestamps": (False, lambda s: pd.to_datetime(s.astype("int64"))),
    "timestamps of a zone": (False, lambda s: pd.to_datetime(s.astype("int64")).dt.tz_localize("UTC")),
    "Arrow's timestamps": (False, lambda s: pd.to_datetime(s.astype("int64")).astype(
        pd.ArrowDtype(pa.timestamp("ns")))),
    "durations": (False, lambda s: pd.to_timedelta(s.astype("int64"))),
    "Arrow's durations": (False, lambda s: pd.to_timedelta(s.astype("int64")).astype(
        pd.ArrowDtype(pa.duration("ns")))),
    "Arrow's dates": (False, lambda s: pd.Series([datetime.date(2024, 1, 1 + i % 28) for i in range(len(s))], s.index,
                                                 dtype=pd.ArrowDtype(pa.date32()))),
    "Arrow's lists": (False, lambda s: pd.Series([[v] for v in s], s.index,
                                                 dtype=pd.ArrowDtype(pa.list_(pa.float64())))),
    "Arrow's bytes": (False, lambda s: pd.Series([b"1"] * len(s), s.index, dtype=pd.ArrowDtype(pa.binary()))),
    "Arrow's nothing": (False, lambda s: pd.Series([None] * len(s), s.index, dtype=pd.ArrowDtype(pa.null()))),
    "periods": (False, lambda s: pd.Series(pd.period_range("2024-01", periods=len(s), freq="M"), s.index)),
    "intervals": (False, lambda s: pd.Series(pd.interval_range(0, periods=len(s)), s.index)),
    "a categorical of timestamps": (False, lambda s: pd.to_datetime(s.astype("int64")).astype("category")),
    "a categorical with one missing": (False, lambda s: s.where(s > s.min()).astype("category")),
    "nullable floats with one missing": (False, lambda s: s.astype("Float64").where(np.arange(len(s)) > 0)),
    "Arrow's doubles with one missing": (False, lambda s: s.where(np.arange(len(s)) > 0).astype(
        pd.ArrowDtype(pa.float64()))),
    "lists": (False, lambda s: s.map(lambda v: [v])),
    "strings with a unit": (False, lambda s: s.map("{} nats".format)),
    "percentages": (False, lambda s: s.map("{}%".format)),
    "all one": (False, lambda s: s * 0 + s.max()),
    "a millionth": (False, lambda s: s * 1e-6),
    "times 1e300": (False, lambda s: s * 1e300),
}  # fmt: skip


def another_dtype(draw: Callable, case: Case) -> None:
    """A column of numbers comes as another type."""
    column, name = _column(draw, case, numbers=True), draw(st.sampled_from(sorted(DTYPES)))
    keeps, change = DTYPES[name]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            case.frame = case.frame.assign(**{column: change(case.frame[column])})
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError, pa.ArrowException):
        return  # changed before into what has no such type
    case.done.append(f"{column!r} as {name}")
    case.faultless &= keeps


# Pairs of names, two of them at times much alike.
TASKS: dict[str, tuple[Any, Any]] = {
    "numbers": (1, 2), "a number and its text": (1, "2"), "floats": (0.1, 0.2), "leading zeros": ("01", "1"),
    "trailing zeros": ("1.0", "1.00"), "exponents": ("1e3", "1000"), "blanks": ("a", "a "),
    "missing words": ("NA", "b"), "empty": ("", "b"), "NUL": ("a\x00b", "a\x00c"), "newlines": ("a\nb", "c\nd"),
    "surrogates": ("\ud800", "b"), "5,000 characters": ("x" * 5000, "y" * 5000), "mathtext": ("$\\frac{$", "b"),
    "HTML": ("<b>a", "</b>"), "lists": ([1], [2]), "dicts": ({"a": 1}, {"a": 2}),
    "arrays": (np.arange(2000), np.append(np.arange(1999), 0)), "booleans": (True, False),
    "timestamps": (pd.Timestamp("2024-01-01"), pd.Timestamp("2024-01-02")), "bytes": (b"a", b"b"),
    "tuples": ((1, 2), (1, 3)), "large integers": (2**60, 2**60 + 1), "quotes": ('a"b', "a,b"),
    "objects": (object(), object()), "right to left": ("\u202ea", "b"), "one twice": ("a", "a"),
    "a separator": ("a;b", "a\tb"), "cases": ("A", "a"), "composed": ("é", "e\u0301"),
}  # fmt: skip
# Seeds that a float would take for one another, or that are names.
SEEDS: dict[str, tuple[Any, Any]] = {
    "above 2^53": (2**60, 2**60 + 1), "above 2^63": (2**64 + 1, 2**64 + 2), "names": ("a", "b"),
    "text above 2^53": (str(2**60), str(2**60 + 1)), "huge": (10**400, 10**400 + 1), "halves": (0.5, 1.5),
    "leading zeros": ("01", "1"), "text and number": ("1", 1), "one missing": (None, 1), "booleans": (True, False),
    "lists": ([1], [2]), "large floats": (2.0**60, 2.0**60 + 2**10), "negative": (-1, -2), "infinite": (math.inf, 1),
    "timestamps": (pd.Timestamp("2024-01-01"), pd.Timestamp("2024-01-02")),
    "uint64": (np.uint64(2**63), np.uint64(2**63 + 1)),
}  # fmt: skip


def other_labels(draw: Callable, case: Case) -> None:
    """Tasks have strange names, or seeds."""
    column, pairs = draw(st.sampled_from([("task", TASKS), ("seed", SEEDS)]))
    if column not in case.frame or list(case.frame.columns).count(column) > 1:
        return
    name = draw(st.sampled_from(sorted(pairs)))
    known = case.frame[column].astype(object).map(repr)
    cells = np.empty(len(case.frame), dtype=object)
    for i, value in enumerate(known):
        cells[i] = pairs[name][0 if value == known.iloc[0] else 1]
    values = pd.Series(cells, index=case.frame.index, dtype=object)
    case.frame = case.frame.assign(**{column: values.infer_objects() if draw(st.booleans()) else values})
    case.done.append(f"{column}s: {name}")
    case.faultless = False


def _another_name(draw: Callable, case: Case) -> None:
    column = _column(draw, case)
    names = [0, 1.5, True, None, ("a", "b"), "x" * 5000, "a\x00b", "a\nb", "\ud800", "", " ", "$\\frac{$", "<b>",
             "task", pd.Timestamp("2024-01-01"), b"loss", math.nan]  # fmt: skip
    name = names[draw(st.integers(0, len(names) - 1))]
    names_now = [name if one == column else one for one in case.frame.columns]
    case.frame = case.frame.set_axis(pd.Index(names_now, dtype=object, tupleize_cols=False), axis=1)
    if draw(st.booleans()) and not column.endswith("_error"):
        case.arguments[column] = name
    case.done.append(f"{column!r} is called {name!r:.40}")
    case.faultless = False


def _two_of_a_name(draw: Callable, case: Case) -> None:
    column = _column(draw, case)
    if column not in case.frame or list(case.frame.columns).count(column) > 1:
        return
    values = case.frame[column]
    if draw(st.booleans()):
        values = values.sample(frac=1, random_state=1).set_axis(values.index)
    case.frame = pd.concat([case.frame, values], axis=1)
    case.done.append(f"two columns {column!r}")
    case.faultless = False


def _another_index(draw: Callable, case: Case) -> None:
    frame, n = case.frame, len(case.frame)
    kinds = {
        "of times": lambda: frame.set_axis(pd.date_range("2024", periods=n), axis=0),
        "of two levels": lambda: frame.set_axis(pd.MultiIndex.from_arrays([range(n), range(n)]), axis=0),
        "of tasks and rows": lambda: frame.set_index("task", append=True),
        "of repeats": lambda: frame.set_axis([0] * n, axis=0),
        "of text": lambda: frame.set_axis([f"row {i}" for i in range(n)], axis=0),
        "of floats": lambda: frame.set_axis(np.arange(n) / 7, axis=0),
        "with NaN": lambda: frame.set_axis([math.nan, *range(1, n)] if n else [], axis=0),
        "of long text": lambda: frame.set_axis([f"{i} " + "x" * 5000 for i in range(n)], axis=0),
        "with the name of a column": lambda: frame.rename_axis(index="loss"),
        "of intervals": lambda: frame.set_axis(pd.interval_range(0, periods=n), axis=0),
        "of tuples": lambda: frame.set_axis(pd.Index([(i, i) for i in range(n)], tupleize_cols=False), axis=0),
        "of categories": lambda: frame.set_axis(pd.CategoricalIndex(range(n)), axis=0),
    }
    name = draw(st.sampled_from(sorted(kinds)))
    try:
        case.frame = kinds[name]()
    except (KeyError, TypeError, ValueError):
        return
    case.done.append(f"an index {name}")
    case.faultless = False


def _columns_of_levels(_: Callable, case: Case) -> None:
    case.frame = case.frame.set_axis(pd.MultiIndex.from_product([["all"], list(case.frame.columns)]), axis=1)
    case.done.append("columns of two levels")
    case.faultless = False


def _shuffled(draw: Callable, case: Case) -> None:
    seed = draw(st.integers(0, 9))
    case.frame = case.frame.sample(frac=1, random_state=seed)
    if draw(st.booleans()):
        case.frame = case.frame.reset_index(drop=True)
    case.done.append("shuffled")


def _another_column(draw: Callable, case: Case) -> None:
    name = draw(st.sampled_from(["note", "wall", "x" * 5000, "\ud800", "state", "status", "run", "loss (%)"]))
    values = draw(st.sampled_from(["ok", "$\\frac{$", 1.0, True, None, pd.Timestamp("2024-01-01"), "x" * 5000]))
    case.frame = case.frame.assign(**{name: values})
    case.done.append(f"beside it {name[:20]!r} of {str(values)[:20]!r}")
    case.faultless = False


def _without_a_column(draw: Callable, case: Case) -> None:
    column = _column(draw, case)
    case.frame = case.frame.drop(columns=[column], errors="ignore")
    case.done.append(f"without {column!r}")
    case.faultless = False


def _fewer_rows(draw: Callable, case: Case) -> None:
    count = draw(st.sampled_from([0, 1, 2]))
    case.frame = case.frame.iloc[:count]
    case.must_refuse = False
    case.done.append(f"{count} rows")
    case.faultless = False


def _a_row_again(draw: Callable, case: Case) -> None:
    """Contradictory where another value is measured."""
    if not len(case.frame) or not case.frame.columns.is_unique:
        return
    again = case.frame.iloc[[draw(st.integers(0, len(case.frame) - 1))]].copy()
    measured = {"runs": "loss", "optima": "learning_rate", "curves": "performance", "crossings": "data"}.get(
        case.kind, "steps"
    )
    try:
        if draw(st.booleans()):
            again[measured] = again[measured].astype(float) * 1.3
    except (KeyError, TypeError, ValueError):
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        case.frame = pd.concat([case.frame, again], ignore_index=True)
    case.must_refuse = True
    case.done.append("a row again")
    case.faultless = False


def _two_units(draw: Callable, case: Case) -> None:
    """Some batch sizes in sequences, the others in tokens."""
    if case.kind != "runs" or "batch_size" not in case.frame or "data" not in case.frame:
        return
    length = draw(st.sampled_from([1024, 2048, 8192]))
    try:
        batch, data = case.frame["batch_size"].astype(float), case.frame["data"].astype(float)
    except (TypeError, ValueError):
        return
    if not (batch.between(64, 256).all() and data.between(1e7, 4e7).all()):
        return
    part = draw(st.sampled_from(["task", "data", "learning_rate"]))
    if part not in case.frame or list(case.frame.columns).count(part) > 1:
        return
    values = case.frame[part].astype(object).map(repr)
    here = values == values.iloc[0]
    if here.all():
        return
    case.frame = case.frame.assign(batch_size=batch.where(here, batch * length), data=data * 100)
    case.must_refuse = True
    case.done.append(f"some batches in sequences of {length}, by {part!r}")
    case.faultless = False


def _arguments(draw: Callable, case: Case) -> None:
    """An argument is no column."""
    word = draw(st.sampled_from(NUMBERS[case.kind][:3]))
    values = [True, math.nan, math.inf, -1.0, 10**400, "nope", "x" * 5000, ["loss"], {"a": 1}, b"loss", 3.5, pd.NA, "",
              "\ud800", np.bool_(False), complex(1), Decimal(3), pd.Timestamp("2024-01-01"), lambda frame: frame,
              np.arange(10**4), np.float64(3)]  # fmt: skip
    value = values[draw(st.integers(0, len(values) - 1))]
    case.arguments[word] = value
    case.done.append(f"{word}={repr(value)[:40]}")
    case.faultless = False


CHANGES = (
    one_cell, one_cell, one_cell, whole_column, another_dtype, another_dtype, another_dtype, other_labels, other_labels,
    _another_name, _two_of_a_name, _another_index, _columns_of_levels, _shuffled, _another_column, _without_a_column,
    _fewer_rows, _a_row_again, _two_units, _arguments,
)  # fmt: skip


def _column(draw: Callable, case: Case, *, numbers: bool = False) -> str:
    names = [*NUMBERS[case.kind], *(() if numbers else LABELS)]
    here = [name for name in names if name in case.frame.columns] if case.frame.columns.nlevels == 1 else []
    return draw(st.sampled_from(here or ["loss"]))
