"""Tables as people really hand them in, honest and hostile, and what must hold of whatever a reader makes of one.

A case is an honest table of some kind, changed in up to three ways, that goes in by some door. Either the table that
comes out holds exactly the numbers that went in, or hyperlaw itself refuses, briefly and in words. Nothing else.
"""

import datetime
import gzip
import json
import math
import re
import traceback
import warnings
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from honest_tables import NUMBERS, READERS, Case, honest
from hostile_changes import CHANGES
from hypothesis import strategies as st

import hyperlaw as hl
from hyperlaw.data.vocabulary import COUNTS

PACKAGE = str(Path(hl.__file__).parent)
LONGEST = 1200  # characters of a refusal

# --- how it is handed over -------------------------------------------------------------------------------------------


def _records(frame: pd.DataFrame) -> list[dict[Any, Any]]:
    return [dict(zip(frame.columns, row, strict=True)) for row in frame.astype(object).to_numpy(object)]


def _plain(value: object) -> Any:
    """As JSON has it: numbers as they are, all else as text."""
    if value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, np.generic):
        value = value.item()
    return value if isinstance(value, bool | int | float | str | list | dict) else str(value)


def _json_rows(frame: pd.DataFrame) -> list[str]:
    """Names may stand twice in an object, as they may in a file."""
    names = [json.dumps(str(name)) for name in frame]
    return [
        "{"
        + ", ".join(f"{name}: {json.dumps(_plain(v), default=str)}" for name, v in zip(names, row, strict=True))
        + "}"
        for row in frame.astype(object).to_numpy(object)
    ]


def _write(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


DOORS: dict[str, Callable[[pd.DataFrame, Path], Any]] = {
    "frame": lambda frame, _: frame,
    "dict of lists": lambda frame, _: {name: frame.iloc[:, i].tolist() for i, name in enumerate(frame)},
    "list of dicts": lambda frame, _: _records(frame),
    "Arrow table": lambda frame, _: pa.Table.from_pandas(frame),
    "csv": lambda frame, to: _write(to, "t.csv", frame.to_csv(index=False).encode()),
    "csv as text": lambda frame, to: str(_write(to, "t.csv", frame.to_csv(index=False).encode())),
    "csv, semicolons": lambda frame, to: _write(to, "t.csv", frame.to_csv(index=False, sep=";").encode()),
    "csv, decimal commas": lambda frame, to: _write(
        to, "t.csv", frame.to_csv(index=False, sep=";", decimal=",").encode()),
    "csv, tabs, UTF-16": lambda frame, to: _write(to, "t.tsv", frame.to_csv(index=False, sep="\t").encode("utf-16")),
    "csv, gzipped": lambda frame, to: _write(to, "t.csv.gz", gzip.compress(frame.to_csv(index=False).encode())),
    "json": lambda frame, to: _write(to, "t.json", ("[" + ", ".join(_json_rows(frame)) + "]").encode()),
    "json lines": lambda frame, to: _write(to, "t.jsonl", "\n".join(_json_rows(frame)).encode()),
    "json of columns": lambda frame, to: _write(to, "t.json", json.dumps(
        {str(name): [_plain(v) for v in frame.iloc[:, i]] for i, name in enumerate(frame)}, default=str).encode()),
    "parquet": lambda frame, to: (frame.to_parquet(to / "t.parquet"), to / "t.parquet")[1],
    "parquet, cut off": lambda frame, to: (
        frame.to_parquet(to / "t.parquet"), _write(to, "t.parquet", (to / "t.parquet").read_bytes()[:-40]))[1],
    "csv, cut off": lambda frame, to: _write(to, "t.csv", frame.to_csv(index=False).encode()[:-9]),
    "csv, a row too long": lambda frame, to: _write(
        to, "t.csv", (frame.to_csv(index=False) + "1," * 30 + "1\n").encode()),
    "csv, an open quote": lambda frame, to: _write(to, "t.csv", (frame.to_csv(index=False) + '"1,').encode()),
    "csv, a NUL": lambda frame, to: _write(to, "t.csv", frame.to_csv(index=False).encode() + b"\x00\x00\n"),
    "csv, latin": lambda frame, to: _write(to, "t.csv", frame.to_csv(index=False).encode() + b"\xe9\xff\n"),
    "json, cut off": lambda frame, to: _write(to, "t.json", ("[" + ", ".join(_json_rows(frame))).encode()),
    "json, deep": lambda frame, to: _write(to, "t.json", b"[" * 100_000),
    "gzip, cut off": lambda frame, to: _write(to, "t.gz", gzip.compress(frame.to_csv(index=False).encode())[:-9]),
    "dict, one list too short": lambda frame, _: {
        name: frame.iloc[:, i].tolist()[: -1 if i == 0 else None] for i, name in enumerate(frame)},
    "dict of scalars": lambda frame, _: dict.fromkeys(frame, 1.0),
    "dict of dicts": lambda frame, _: {
        name: dict(enumerate(frame.iloc[:, i].tolist())) for i, name in enumerate(frame)},
    "list of lists": lambda frame, _: frame.astype(object).to_numpy(object).tolist(),
    "array": lambda frame, _: frame.to_numpy(),
    "series": lambda frame, _: frame.iloc[:, 0],
    "nothing": lambda frame, _: None,
    "number": lambda frame, _: 3,
    "bytes": lambda frame, _: frame.to_csv(index=False).encode(),
    "text of a csv": lambda frame, _: frame.to_csv(index=False),
    "no file": lambda frame, to: to / "absent.csv",
    "folder": lambda frame, to: to,
    "path with a NUL": lambda frame, _: "a\x00b",
    "path too long": lambda frame, _: "x" * 5000,
    "path with a surrogate": lambda frame, _: "\ud800.csv",
    "empty path": lambda frame, _: "",
    "generator": lambda frame, _: (row for row in _records(frame)),
    "groups": lambda frame, _: frame.groupby(lambda row: 0),
    "a table already": lambda frame, _: hl.Curves.from_frame(honest("curves")),
}  # fmt: skip
KEEPING = [
    "frame", "dict of lists", "list of dicts", "Arrow table", "csv", "csv as text", "csv, semicolons",
    "csv, tabs, UTF-16", "csv, gzipped", "json", "json lines", "json of columns", "parquet",
]  # fmt: skip


MEMORY = ("frame", "dict of lists", "dict of dicts")  # values come as they are, and from elsewhere as JSON has them
# A dict has each name once.
ONE_OF_A_NAME = ("dict of lists", "list of dicts", "json of columns", "dict of dicts", "dict of scalars")


@st.composite
def cases(draw: Callable) -> Case:
    """An honest table, changed in up to three ways, on its way through a door."""
    kind = draw(st.sampled_from(sorted(READERS)))
    frame = honest(kind)
    case = Case(kind, frame.set_axis(pd.Index(list(frame), dtype=object), axis=1))  # of any names
    for change in draw(st.lists(st.sampled_from(CHANGES), max_size=3)):
        if case.frame.columns.nlevels == 1:
            try:
                change(draw, case)
            except (IndexError, TypeError, ValueError):
                continue  # pandas makes no such table, or it has no rows
    case.door = draw(st.sampled_from(KEEPING) | st.sampled_from(sorted(DOORS)))
    return case


# --- what must hold --------------------------------------------------------------------------------------------------

WRONG = "no number"
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
_SUFFIXED = re.compile(r"([\d.]+(?:e[+-]?\d+)?) ?([kmbgt])", re.IGNORECASE)


def meaning(value: object, *, count: bool, comma: bool = False) -> float | str:
    """The number that a person reads in a cell; NaN where it is empty, WRONG where it is none."""
    if value is None or value is pd.NA or value is pd.NaT:
        return math.nan
    if isinstance(value, str):
        text = value.strip()
        if comma:
            text = text.replace(",", ".")
        if text.lower() in ("", "nan", "na", "n/a", "#n/a", "null", "none", "<na>", "-"):
            return math.nan
        if re.fullmatch(r"[+-]?inf(inity)?", text.lower()):
            return float(text)
        if count and (found := _SUFFIXED.fullmatch(text)):
            return float(found[1]) * {"k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9, "t": 1e12}[found[2].lower()]
        if re.fullmatch(r"\d{1,3}([,_ ']\d{3})+" if count else r"\d{1,3}(_\d{3})+", text):
            return float(re.sub("[,_ ']", "", text))
        return float(text) if _NUMBER.fullmatch(text) else WRONG
    if isinstance(value, bool | np.bool_ | complex | np.complexfloating | np.timedelta64 | np.datetime64):
        return WRONG
    if isinstance(value, int | float | np.number | Decimal | Fraction):
        try:
            return float(value)
        except (OverflowError, ValueError):
            return WRONG
    return WRONG


def outcome(case: Case, folder: Path) -> str:
    """ "taken", "refused", or what went wrong, beginning with "wrong" or "traceback"; "not made" if it cannot exist."""
    if case.door in ONE_OF_A_NAME and not case.frame.columns.is_unique:
        return "not made"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            table = DOORS[case.door](case.frame, folder)
    except Exception:  # a table that no such file can hold, or another library's own refusal
        return "not made"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            taken = READERS[case.kind].from_frame(table, **case.arguments)
            _ = taken.digest, repr(taken), taken.labels
    except Exception as error:
        return _refusal(case, error)
    names = [name for name in (*NUMBERS[case.kind], "task") if not name.endswith("_error")]
    twice = any(list(case.frame.columns).count(name) > 1 for name in names if name not in case.arguments)
    if (case.must_refuse or twice) and case.door in KEEPING:
        return "wrong: taken, though it must be refused"
    return _taken(case, taken)


def _refusal(case: Case, error: Exception) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    said = str(error)
    if not isinstance(error, ValueError | TypeError | FileNotFoundError) or not last.filename.startswith(PACKAGE):
        return f"traceback: {type(error).__name__} in {Path(last.filename).name}: {said[:150]}"
    if len(said) > LONGEST or len(said) < 30:
        return f"wrong: a refusal of {len(said)} characters, {said[:60]}"
    if not said.isprintable():
        return f"wrong: a refusal that cannot be printed, {said[:150]!r}"
    if case.faultless and case.door in KEEPING:
        return f"wrong: refused without a fault, {said[:150]}"
    return "refused"


def _taken(case: Case, taken: Any) -> str:
    """Whether the numbers that came out went in."""
    frame = taken.frame
    if case.door not in [*KEEPING, "csv, decimal commas", "dict of dicts"]:
        return "taken" if case.door.startswith("csv") else f"wrong: taken from {case.door}"
    notes = " ".join(getattr(taken, "notes", ()))
    raw = case.frame if case.door in MEMORY else case.frame.astype(object).map(_plain)
    left_out = len(raw) - len(frame)
    if left_out < 0 or (left_out and "left out" not in notes):
        return f"wrong: {len(raw)} rows went in, {len(frame)} came out"
    if left_out or "one scale" in notes or raw.columns.nlevels > 1:
        return "taken"
    for word in NUMBERS[case.kind]:
        source = case.arguments.get(word)
        source = word if source is None else source
        if word not in frame:
            if word in raw.columns and word != "learning_rate_error":
                return f"wrong: {word} was lost"
            continue
        if isinstance(source, float | int) and source not in raw.columns:
            cells = [source] * len(raw)
        elif isinstance(source, str | tuple | int) and list(raw.columns).count(source) == 1:
            cells = raw[source].astype(object).tolist()
        elif not isinstance(source, str | tuple | int):
            return f"wrong: {word}={source!r:.40} was taken"
        else:
            continue
        for row, (cell, value) in enumerate(zip(cells, frame[word], strict=True)):
            said = meaning(cell, count=word in COUNTS, comma="semicolons" in case.door or "commas" in case.door)
            narrow = np.float16 if source in raw and case.frame[source].dtype == "float16" else np.float32
            with np.errstate(over="ignore"):
                if case.door.startswith("csv") and said != WRONG and narrow(said) == narrow(value):
                    continue  # a narrow number is written with as many digits as it has
            if case.kind == "runs" and word == "loss" and frame["diverged"].iloc[row]:
                if said == WRONG:
                    return f"wrong: {word} {cell!r:.40} became a diverged run"
                continue
            empty = isinstance(said, float) and math.isnan(said) and word in ("limit", "start", "error")
            if said != value and not empty:
                return f"wrong: {word} {cell!r:.40} became {value!r}"
    return _labels(case, raw, frame)


def _labels(case: Case, raw: pd.DataFrame, frame: pd.DataFrame) -> str:
    """Whether what differed differs still."""
    for word in ("task", "seed"):
        if word in frame and list(raw.columns).count(word) == 1 and word not in case.arguments:
            said = {str(cell) for cell in raw[word].astype(object)}
            if len(said) != frame[word].nunique():
                return f"wrong: {len(said)} of {word} became {frame[word].nunique()}"
    if "task" in raw.columns and "task" in frame and list(raw.columns).count("task") == 1:
        cells = (table["task"].astype(object) for table in (raw, case.frame))
        for handed, cell, label in zip(*cells, frame["task"], strict=True):
            text = case.door.startswith("csv")  # whatever it was
            if not text and not isinstance(handed, str | int | float | np.number | bool | pd.Timestamp | datetime.date):
                return f"wrong: a {type(cell).__name__} became the task {label[:40]!r}"
            if isinstance(cell, str) and cell != label:
                return f"wrong: task {cell!r:.40} became {label!r:.40}"
    return "taken"
