"""`read`: the named columns of a table, under the package's own words."""

import difflib
import itertools
from collections.abc import Mapping, Sequence
from numbers import Real
from os import PathLike
from typing import TypeAlias

import pandas as pd

from hyperlaw.data import checks
from hyperlaw.data.files import as_table, read_file
from hyperlaw.data.numerals import as_number
from hyperlaw.data.vocabulary import COUNTS, SCALES
from hyperlaw.quote import quote

# What a reader takes: a DataFrame (of pandas, or of a library that makes one), a dict of lists, a list of dicts, or
# the path of a file.
Tabular: TypeAlias = (
    pd.DataFrame | Mapping[str, Sequence[object]] | Sequence[Mapping[str, object]] | str | PathLike[str]
)
# The name of a column, or the value of every row.
Column: TypeAlias = str | float
LISTED = 20
SHORT = 60  # characters of the label of a row
# What people call a column, beside the package's word for it: a hint in a refusal, never a guess.
ALSO = {
    "learning_rate": ("lr", "peak_lr", "max_lr", "eta", "learning rate"),
    "batch_size": ("bs", "batch", "B", "global_batch_size", "train_batch_size"),
    "loss": ("val_loss", "final_loss", "eval_loss", "smooth loss", "train_loss", "bpb"),
    "data": ("tokens", "D", "samples", "examples", "n_tokens"),
    "params": ("N", "n_params", "parameters", "num_params", "model_size"),
    "performance": ("return", "episodic_return", "reward", "score"),
}
LABELS = ("task", "state", "run", "optimizer", "seed")
# What may be one number for every row.
CONSTANTS = ("learning_rate", "utd", *COUNTS)


def as_frame(table: Tabular) -> pd.DataFrame:
    """The table as a pandas DataFrame.

    Raises
    ------
    TypeError
        When it is no table and no path.
    FileNotFoundError, ValueError
        When there is no such file, or it cannot be read.
    """
    if isinstance(table, pd.DataFrame):
        frame = table
    elif isinstance(table, str | PathLike):
        frame = read_file(table)
    elif hasattr(table, "to_pandas"):  # Polars, Arrow, xarray
        frame = as_table(lambda: pd.DataFrame(table.to_pandas()), f"a {type(table).__name__}")
    elif isinstance(table, Mapping) and not all(pd.api.types.is_scalar(values) for values in table.values()):
        frame = as_table(lambda: pd.DataFrame(table), "a dict of lists")
    elif isinstance(table, list) and all(isinstance(row, Mapping) for row in table):
        # Nested names have dots, as in a file.
        frame = as_table(lambda: pd.json_normalize([dict(row) for row in table]), "a list of dicts")
    else:
        raise TypeError(
            f"a table must be a DataFrame, a dict of lists, a list of dicts or the path of a file, received "
            f"{type(table).__name__}."
        )
    if frame.columns.nlevels > 1:
        raise ValueError(
            f"the columns have {frame.columns.nlevels} levels of names, such as {quote(frame.columns[0])}. Give each "
            "one name: df.columns = df.columns.map('.'.join)."
        )
    return frame


def read(
    frame: pd.DataFrame, required: Mapping[str, Column], optional: Mapping[str, Column | None]
) -> tuple[pd.DataFrame, dict[str, str]]:
    """The named columns under the package's own words, with `task` filled in.

    Parameters
    ----------
    frame
        The source. Not changed.
    required, optional
        Word, and the column that holds it or the value of every row; an optional one that is None is looked for under
        its own name.

    Returns
    -------
    tuple
        The table, with the source's index where that is unique and of short labels; and each word's column.

    Raises
    ------
    ValueError, TypeError
        When there are no rows, a column is missing or has two meanings, or what is named is no column.
    """
    if len(frame) == 0:
        raise ValueError("the table has no rows: one row at least is needed.")
    named = dict(required) | {word: column for word, column in optional.items() if column is not None}
    constants = {
        word: as_number(value, word)
        for word, value in named.items()
        if word in CONSTANTS and _is_number(value) and value not in frame
    }
    found = {word: _name(word, column, frame) for word, column in named.items() if word not in constants}
    taken = set(found.values())  # a column of seeds may be called "run"; one of sizes called "data" is a mistake
    found |= {
        word: word
        for word, column in optional.items()
        if column is None and word in frame and (word in SCALES or word not in taken)
    }
    columns_exist(frame, found)
    plain = frame.index.nlevels == 1 and _names_rows(frame.index)
    have = list(frame.columns)
    table = frame.iloc[:, [have.index(column) for column in found.values()]].set_axis(list(found), axis=1)
    table = table.rename_axis(index=None) if plain else table.reset_index(drop=True)
    table = table.assign(**constants)
    table["task"] = checks.labels(table["task"], found["task"]) if "task" in table else "all"
    return table, found | {word: word for word in constants}


def _names_rows(index: pd.Index) -> bool:
    """Whether its labels tell rows apart, and can stand in a sentence."""
    if pd.api.types.is_integer_dtype(index):
        return index.is_unique
    labels = [str(label) for label in index if isinstance(label, checks.LABELS)]
    short = all(len(label) <= SHORT and label.isprintable() for label in labels)
    return short and len(set(labels)) == len(index) and not index.hasnans


def others(frame: pd.DataFrame, found: Mapping[str, str], table: pd.DataFrame) -> pd.DataFrame:
    """The columns of the source that no word was given to, for the rows of `table`."""
    taken = set(found.values())
    rest = frame.loc[:, [column not in taken for column in frame.columns]]
    return rest if rest.index.equals(table.index) else rest.reset_index(drop=True)


def positive(table: pd.DataFrame, found: Mapping[str, str], words: Sequence[str]) -> None:
    """Turn the columns `words` that the table has into finite numbers above zero, in place."""
    for word in words:
        if word in table:
            table[word] = checks.positive_numbers(table[word], found[word], counts=word in COUNTS)


def columns_exist(frame: pd.DataFrame, named: Mapping[str, str]) -> None:
    """Every named column is in the table once, and has one meaning."""
    have = list(frame.columns)
    for word, column in named.items():
        if column not in have:
            raise ValueError(f"{word}: there is no column {quote(column)}.{_hint(word, column, frame)} {listed(have)}")
        if have.count(column) > 1:
            raise ValueError(
                f"{word}: the table has {have.count(column)} columns named {quote(column)}. Keep one of them."
            )
    for word, other in itertools.combinations(named, 2):
        if named[word] == named[other]:
            raise ValueError(
                f"column {quote(named[word])} was named for both {word} and {other}. Give each its own column."
            )


def listed(columns: Sequence[object]) -> str:
    """The columns as a sentence, the first 20 of them."""
    more = f", and {len(columns) - LISTED} more" if len(columns) > LISTED else ""
    return f"The columns are: {', '.join(map(_plain, columns[:LISTED]))}{more}."


def _plain(name: object) -> str:
    """The name of a column without quotes."""
    return quote(name)[1:-1] if isinstance(name, str) else quote(name)


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _name(word: str, column: object, frame: pd.DataFrame) -> str:
    """The name of a column, refused where it is a column itself or no name."""
    if isinstance(column, str | tuple) or (type(column) is int and column in frame):
        return column  # type: ignore[return-value]
    number = " or one number for every row" if word in CONSTANTS else ""
    raise TypeError(
        f"{word} must be the name of a column{number}, received {type(column).__name__}. To use values that are not in "
        f"the table yet, add them: df[{quote(word)}] = ..."
    )


def _hint(word: str, column: str, frame: pd.DataFrame) -> str:
    """What may have been meant: another column of the kind that is needed, or a number for every row."""
    columns = [str(name) for name in frame.columns]
    fit = [n for i, n in enumerate(columns) if word in LABELS or checks.mostly_numbers(frame.iloc[:, i])]
    known = [name for name in (word, *ALSO.get(word, ())) if name in fit]
    # The name of a run before that of a metric: a chart of Weights & Biases, a column for each run.
    wide = [name for name in columns if name.endswith(f" - {column}")]
    if not known and wide and word in ("loss", "performance"):
        pick = f"[c for c in df if c.endswith({quote(f' - {column}')})]"
        return (
            f" It ends the names of {len(wide)} columns, such as {quote(wide[0])}: a wide table, a column for each "
            f"run. Melt it into one row a logged point, df.melt({quote(columns[0])}, {pick}, var_name='run', "
            f"value_name={quote(column)}), and make a column of each setting from the name of the run, such as "
            "df['run'].str.extract(r'utd([0-9]+)'). from_wandb melts such a file by itself."
        )
    near = known or difflib.get_close_matches(str(column), fit, n=1, cutoff=0.4)
    if near:
        return f" Did you mean {quote(near[0])}?"
    if len(columns) == 1 and len(columns[0].split()) > 1:
        return " The line of names was not taken apart: is it separated by blanks? Read it with pandas (sep=r'\\s+')."
    if word in COUNTS:
        return f" If it was the same in every run, give the number: {word}=..."
    return ""
