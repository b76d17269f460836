"""`read_file`, `read_bytes`: a table from what is in a file, and not by what it is called."""

import csv
import gzip
import io
import json
import re
import zlib
from os import PathLike
from pathlib import Path

import pandas as pd

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
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}. Give the path of a CSV, Parquet or JSON file.")
    return read_bytes(path.read_bytes(), str(path))


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
    try:
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
        if content[:4] == b"PAR1":
            return pd.read_parquet(io.BytesIO(content))
    except (OSError, EOFError, zlib.error) as error:  # Arrow's too
        raise ValueError(f"{name} is damaged or cut off: {error}. Write it again.") from None
    try:
        text = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(
            f"{name} is neither Parquet nor text in UTF-8. Read it with pandas and pass the DataFrame to from_frame."
        ) from None
    if not text.strip():
        raise ValueError(f"{name} is empty: a line of column names and one row at least are needed.")
    return _json(name, text) if text.lstrip()[0] in "[{" else _separated(text)


def _json(name: str, text: str) -> pd.DataFrame:
    """An array of objects, one object a line, or one of columns; nested objects become columns with dots."""
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        try:
            found = [json.loads(line) for line in text.splitlines() if line.strip()]
        except json.JSONDecodeError as error:
            raise ValueError(
                f"{name} looks like JSON, but cannot be read as such: {error}. Write one object a line, or an array."
            ) from None
    if isinstance(found, dict) and set(found) == {"columns", "index", "data"}:  # as pandas splits a table
        return pd.DataFrame(found["data"], columns=found["columns"])
    if isinstance(found, dict) and all(isinstance(values, list | dict) for values in found.values()):
        lengths = {len(values) for values in found.values()}
        if len(lengths) == 1:
            return pd.DataFrame(found)
    rows = found if isinstance(found, list) else [found]
    if not rows or not all(isinstance(row, dict) and row for row in rows):
        raise ValueError(f"{name} is JSON, but no table: write an array of objects, one a row, or one object a line.")
    return pd.json_normalize(rows)


def _separated(text: str) -> pd.DataFrame:
    """Text with a line of names; the separator is that which takes the first lines apart alike, into the most parts."""
    text = re.sub(r"\Asep=.\r?\n", "", text)  # a spreadsheet's word on it
    lines = [line for line in text.splitlines()[:SNIFFED] if line.strip()]
    parts = {mark: {len(row) for row in csv.reader(lines, delimiter=mark)} for mark in SEPARATORS}
    mark = max(SEPARATORS, key=lambda one: (min(parts[one]) > 1, len(parts[one]) == 1, min(parts[one])))
    names, *rows = csv.reader(lines, delimiter=mark, skipinitialspace=True)
    fields = [field.strip() for row in rows for field in row]
    comma = mark != "," and any(_DECIMAL_COMMA.fullmatch(one) and not _THOUSANDS.fullmatch(one) for one in fields)
    ended = all(len(row) == len(names) + 1 and not row[-1] for row in rows)  # a separator at the end of each line
    frame = pd.read_csv(
        io.StringIO(text),
        sep=mark,
        skipinitialspace=True,
        index_col=False if ended else None,
        dtype=str if comma else None,
    )
    frame = frame.dropna(how="all")
    if comma:
        frame = frame.apply(lambda column: column.map(_with_point, na_action="ignore")).apply(_numbers)
    # pandas calls a second column of one name "loss.1"; here it keeps its name, and is refused where it is asked for.
    names = [name.strip() for name in names]
    return frame.set_axis(names, axis=1) if len(names) == frame.shape[1] else frame


def _with_point(field: str) -> str:
    """A number with a decimal comma, and points between thousands, as one with a decimal point."""
    plain = field.strip()
    if _DOTTED_THOUSANDS.fullmatch(plain) or _DECIMAL_COMMA.fullmatch(plain):
        return plain.replace(".", "").replace(",", ".")
    return field


def _numbers(column: pd.Series) -> pd.Series:
    """A column of text as numbers, where each is one."""
    try:
        return pd.to_numeric(column)
    except (TypeError, ValueError):
        return column
