"""`read_file`, `read_bytes`: a table from what is in a file, and not by what it is called."""

import csv
import gzip
import io
import json
import re
from os import PathLike
from pathlib import Path

import pandas as pd

SEPARATORS = ",;\t|"
SNIFFED = 100
_DECIMAL_COMMA = re.compile(r"-?[0-9]+,[0-9]+(?:[eE][+-]?[0-9]+)?")


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
    if content[:2] == b"\x1f\x8b":
        content = gzip.decompress(content)
    if content[:4] == b"PAR1":
        return pd.read_parquet(io.BytesIO(content))
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
    columns = isinstance(found, dict) and all(isinstance(values, list | dict) for values in found.values())
    return pd.DataFrame(found) if columns else pd.json_normalize(found)


def _separated(text: str) -> pd.DataFrame:
    """Text with a line of names; the separator is that which takes the first lines apart alike, into the most parts."""
    lines = [line for line in text.splitlines()[:SNIFFED] if line.strip()]
    parts = {mark: {len(row) for row in csv.reader(lines, delimiter=mark)} for mark in SEPARATORS}
    mark = max(SEPARATORS, key=lambda one: (min(parts[one]) > 1, len(parts[one]) == 1, min(parts[one])))
    fields = [field for row in csv.reader(lines[1:], delimiter=mark) for field in row]
    comma = mark != "," and any(_DECIMAL_COMMA.fullmatch(field.strip()) for field in fields)
    frame = pd.read_csv(io.StringIO(text), sep=mark, decimal="," if comma else ".", skipinitialspace=True)
    names = [name.strip() for name in next(csv.reader(lines, delimiter=mark, skipinitialspace=True))]
    # pandas calls a second column of one name "loss.1"; here it keeps its name, and is refused where it is asked for.
    return frame.set_axis(names, axis=1) if len(names) == frame.shape[1] else frame
