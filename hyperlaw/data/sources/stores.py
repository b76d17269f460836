"""What is there to be read: clients that are installed, and files and folders, before a client makes them."""

import importlib
import sqlite3
import warnings
from contextlib import closing
from os import PathLike
from pathlib import Path
from typing import Any

from hyperlaw.quote import path_line, quote, some_of

PACKAGE = str(Path(__file__).parents[2])
SQLITE = b"SQLite format 3\x00"


def warn(text: str) -> None:
    """A `UserWarning` at the line outside this package from which a reader was called."""
    warnings.warn(text, UserWarning, skip_file_prefixes=(PACKAGE,))


def client(module: str, extra: str) -> Any:
    """A module of a tracker's client.

    Raises
    ------
    ImportError
        When it is not installed; the text says how to.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as missing:
        raise ImportError(
            f"the client that reads this is not installed (no module {missing.name}): pip install 'hyperlaw[{extra}]'."
        ) from missing


def holds(folder: Path) -> str:
    """What a folder holds, for an error text."""
    if not folder.is_dir():
        return f"there is no folder {path_line(folder)}"
    return f"{path_line(folder)} holds: {some_of(sorted(path.name for path in folder.iterdir()))}"


def existing_folder(folder: str | PathLike[str]) -> Path:
    """A folder that is there.

    Raises
    ------
    FileNotFoundError
        When there is no such folder; the text says what is beside it.
    """
    path = Path(folder)
    if not path.is_dir():
        raise FileNotFoundError(f"there is no folder {path_line(path)}; {holds(path.parent)}. Give the path of one.")
    return path


def sqlite_url(store: str, table: str, tool: str) -> str | None:
    """URL of a SQLite store that is given as URL or as file; None when it is neither.

    A client creates what it does not find, and fills a database of another tool with tables of its own. So the file
    must be there, with the `table` that all stores of the tool have.

    Raises
    ------
    FileNotFoundError
        When the file is not there.
    ValueError
        When it is no database, or one of another tool.
    """
    if store.startswith("sqlite") and ":///" in store:
        path = Path(store.split(":///", 1)[1].split("?")[0])
    elif "://" not in store and _is_sqlite(Path(store)):
        path = Path(store)
    else:
        return None
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no file {path_line(path)}; {holds(path.parent)}. Give the URL of a store that is there."
        )
    there = _tables(path)
    if table not in there:
        raise ValueError(
            f"{path_line(path)} is no store of {tool}: it has no table {quote(table)}. Its tables are: "
            f"{some_of(there)}."
        )
    return store if "://" in store else f"sqlite:///{path}"


def _is_sqlite(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(SQLITE)) == SQLITE


def _tables(path: Path) -> list[str]:
    """Tables of a SQLite file, sorted; none when it is no database."""
    if not _is_sqlite(path):
        return []
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        return sorted(name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'"))
