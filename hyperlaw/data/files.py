"""`read_file`, `read_bytes`: a table from what is in a file, and not by what it is called."""

import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Callable
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd

from hyperlaw.quote import one_line, quote

SEPARATORS = ",;\t|"
SNIFFED = 100
_THOUSANDS = re.compile(r"[1-9][0-9]{0,2}(,[0-9]{3})+")
_DOTTED_THOUSANDS = re.compile(r"[1-9][0-9]{0,2}(\.[0-9]{3})+(,[0-9]+)?")
_DECIMAL_COMMA = re.compile(r"-?[0-9]+,[0-9]+(?:[eE][+-]?[0-9]+)? ?[kmbgtKMBGT]?")


def read_file(path: str | PathLike[str]) -> pd.DataFrame:
    """Read a table from a file; see `read_bytes`.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    ValueError
        When it is empty or cannot be read.
    """
    path = Path(path)
    try:
        content = path.read_bytes() if path.is_file() else None
    except (OSError, ValueError):  # no name that a file can have, or no right to read it
        content = None
    if content is None:
        said = one_line(path)
        raise FileNotFoundError(f"there is no file {said} to read. Give the path of a CSV, Parquet or JSON file.")
    return read_bytes(content, str(path))


def as_table(make: Callable[[], pd.DataFrame], name: str) -> pd.DataFrame:
    """What `make` returns; ValueError with `name` where another library finds that it is no table."""
    try:
        return make()
    except (TypeError, ValueError, OverflowError, NotImplementedError) as error:
        raise ValueError(
            f"{name} cannot be read as a table: {one_line(error)}. A table has a name for every column, and in "
            "every row a value for each."
        ) from None


def read_bytes(content: bytes, name: str) -> pd.DataFrame:
    """Read a table: Parquet, JSON (an array, or one object a line), or text with separators, any of them gzipped.

    Separators may be commas, semicolons, tabs or bars; decimal commas are read where the separator is another.

    Parameters
    ----------
    content
        What the file holds.
    name
        What a refusal calls it.

    Raises
    ------
    ValueError
        When it is empty or cannot be read as any of them.
    """
    name = one_line(name)
    try:
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
        if content[:4] == b"PAR1":
            return pd.read_parquet(io.BytesIO(content))
    except (TypeError, NotImplementedError) as error:
        raise ValueError(
            f"{name} has a column of a type that pandas has not: {one_line(error)}. Write it with plain "
            "numbers and text."
        ) from None
    except (OSError, EOFError, zlib.error, ValueError) as error:  # Arrow's too
        said = one_line(error)
        raise ValueError(f"{name} is damaged or cut off: {said}. Write it again.") from None
    try:
        text = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(
            f"{name} is neither Parquet nor text in UTF-8. Read it with pandas and pass the DataFrame to from_frame."
        ) from None
    if not text.strip():
        raise ValueError(f"{name} is empty: a line of column names and one row at least are needed.")
    if "\0" in text:
        raise ValueError(f"{name} is no text: it holds NUL characters. Write it again, as CSV, JSON or Parquet.")
    return _json(name, text) if text.lstrip()[0] in "[{" else _separated(name, text)


def _json(name: str, text: str) -> pd.DataFrame:
    """An array of objects, one object a line, or one of columns; nested objects become columns with dots."""
    parse = partial(json.loads, object_pairs_hook=partial(_once, name))
    try:
        found = parse(text)
    except json.JSONDecodeError:
        try:
            found = [parse(line) for line in text.splitlines() if line.strip()]
        except json.JSONDecodeError as error:
            raise ValueError(
                f"{name} looks like JSON, but cannot be read as such: {error}. Write one object a line, or an array."
            ) from None
    except RecursionError:
        raise ValueError(f"{name} is JSON, but no table: it is nested too deep. Write one object a line.") from None
    if isinstance(found, dict) and set(found) == {"columns", "index", "data"}:  # as pandas splits a table
        return as_table(lambda: pd.DataFrame(found["data"], columns=found["columns"]), name)
    if isinstance(found, dict) and all(isinstance(values, list | dict) for values in found.values()):
        lengths = {len(values) for values in found.values()}
        if len(lengths) == 1:
            return as_table(lambda: pd.DataFrame(found), name)
    rows = found if isinstance(found, list) else [found]
    if not rows or not all(isinstance(row, dict) and row for row in rows):
        raise ValueError(f"{name} is JSON, but no table: write an array of objects, one a row, or one object a line.")
    return as_table(lambda: pd.json_normalize(rows), name)


def _once(file: str, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; a name that stands twice in it would hide a value."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{file} has an object with two values named {quote(twice)}. Keep one of them.")
    return found


def _separated(name: str, text: str) -> pd.DataFrame:
    """Text with a line of names; the separator is that which takes the first lines apart alike, into the most parts.

    Values stay text: what a column is for says whether "01" is a number or a name.
    """
    text = re.sub(r"\Asep=.\r?\n", "", text)  # a spreadsheet's word on it
    lines = [line for line in text.splitlines()[:SNIFFED] if line.strip()]
    if max(map(len, lines)) > csv.field_size_limit():
        raise ValueError(
            f"{name} is no table: it has a line of {max(map(len, lines))} characters. Write one row a line."
        )
    parts = {mark: {len(row) for row in csv.reader(lines, delimiter=mark)} for mark in SEPARATORS}
    mark = max(SEPARATORS, key=lambda one: (min(parts[one]) > 1, len(parts[one]) == 1, min(parts[one])))
    names, *rows = csv.reader(lines, delimiter=mark, skipinitialspace=True)
    fields = [field.strip() for row in rows for field in row]
    comma = mark != "," and any(_DECIMAL_COMMA.fullmatch(one) and not _THOUSANDS.fullmatch(one) for one in fields)
    ended = all(len(row) == len(names) + 1 and not row[-1] for row in rows)  # a separator at the end of each line
    if not ended and (longer := next((row for row in rows if len(row) > len(names)), None)):
        raise ValueError(
            f"{name} has {len(names)} names of columns, but {len(longer)} values in a row, that of {quote(longer[0])}. "
            "Name every column, and put text that holds a separator between quotes."
        )
    read = partial(pd.read_csv, sep=mark, skipinitialspace=True, index_col=False if ended else None, dtype=str)
    frame = as_table(lambda: read(io.StringIO(text)), name).dropna(how="all")
    if comma:
        frame = frame.apply(lambda column: column.map(_with_point, na_action="ignore"))
    # pandas calls a second column of one name "loss.1"; here it keeps its name, and is refused where it is asked for.
    names = [name.strip() for name in names]
    return frame.set_axis(names, axis=1) if len(names) == frame.shape[1] else frame


def _with_point(field: str) -> str:
    """A number with a decimal comma, and points between thousands, as one with a decimal point."""
    plain = field.strip()
    if _DOTTED_THOUSANDS.fullmatch(plain) or _DECIMAL_COMMA.fullmatch(plain):
        return plain.replace(".", "").replace(",", ".")
    return field
