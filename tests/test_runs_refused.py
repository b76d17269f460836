"""Runs that cannot be right are refused, with the reason, the rows, and what is allowed."""

import re

import numpy as np
import pandas as pd
import pytest
from test_runs import table

import hyperlaw as hl


def with_value(column, row, value):
    frame = table().assign(seed=0)
    frame[column] = frame[column].astype(object)
    frame.loc[row, column] = value
    return frame


REFUSED = {
    "missing column, near name": (
        lambda: hl.Runs.from_frame(table(), loss="los"),
        "loss: there is no column 'los'. Did you mean 'loss'? "
        "The columns are: task, data, batch_size, learning_rate, loss.",
    ),
    "missing column, no near name": (
        lambda: hl.Runs.from_frame(table(), params="zzz"),
        "params: there is no column 'zzz'. If it was the same in every run, give the number: params=... The columns "
        "are: task, data,",
    ),
    "column twice": (
        lambda: hl.Runs.from_frame(pd.concat([table(), table()["loss"]], axis=1)),
        "loss: the table has 2 columns named 'loss'. Keep one of them.",
    ),
    "scale twice": (
        lambda: hl.Runs.from_frame(pd.concat([table(), table()["data"]], axis=1)),
        "data: the table has 2 columns named 'data'. Keep one of them.",
    ),
    "one column under two words": (
        lambda: hl.Runs.from_frame(table(), data="data", params="data"),
        "column 'data' was named for both data and params. Give each its own column.",
    ),
    "one column under a word and its own name": (
        lambda: hl.Runs.from_frame(table(), params="data"),
        "column 'data' was named for both params and data. Give each its own column.",
    ),
    "no rows": (lambda: hl.Runs.from_frame(table().iloc[:0]), "the table has no rows: one row at least is needed."),
    "text": (
        lambda: hl.Runs.from_frame(with_value("loss", 3, "low")),
        "column 'loss' must hold numbers, but holds text in 1 row: 3 ('low').",
    ),
    "text in many rows": (
        lambda: hl.Runs.from_frame(table().assign(data="many")),
        "column 'data' must hold numbers, but holds text in 16 rows: 0 ('many'), 1 ('many'), 2 ('many'), ....",
    ),
    "zero learning rate": (
        lambda: hl.Runs.from_frame(with_value("learning_rate", 5, 0.0)),
        "column 'learning_rate' must be finite and above zero, but is not in 1 row: 5 (0.0).",
    ),
    "negative batch size": (
        lambda: hl.Runs.from_frame(with_value("batch_size", 6, -32.0)),
        "column 'batch_size' must be finite and above zero, but is not in 1 row: 6 (-32.0).",
    ),
    "infinite data": (
        lambda: hl.Runs.from_frame(with_value("data", 7, np.inf)),
        "column 'data' must be finite and above zero, but is not in 1 row: 7 (inf).",
    ),
    "missing learning rate": (
        lambda: hl.Runs.from_frame(with_value("learning_rate", 2, None)),
        "column 'learning_rate' must be finite and above zero, but is not in 1 row: 2 (nan).",
    ),
    "zero params in a column of another name": (
        lambda: hl.Runs.from_frame(table().assign(N=[0, *[1e5] * 15]), params="N"),
        "column 'N' must be finite and above zero, but is not in 1 row: 0 (",
    ),
    "seed is no whole number": (
        lambda: hl.Runs.from_frame(with_value("seed", 1, 0.5)),
        "column 'seed' must hold whole numbers, but does not in 1 row: 1 (0.5).",
    ),
    "seed is missing": (
        lambda: hl.Runs.from_frame(with_value("seed", 1, np.nan)),
        "column 'seed' must hold whole numbers, but does not in 1 row: 1 (",
    ),
    "task is missing": (
        lambda: hl.Runs.from_frame(with_value("task", 12, None)),
        "column 'task' must hold a name in every row, but holds none in 1 row: 12 (",
    ),
    "task is missing in a column of another name": (
        lambda: hl.Runs.from_frame(table().assign(group=["a", None] * 8), task="group"),
        "column 'group' must hold a name in every row, but holds none in 8 rows: 1 (",
    ),
    "diverged is text": (
        lambda: hl.Runs.from_frame(table().assign(diverged=["yes", *[False] * 15])),
        "column 'diverged' must be true or false (or 1 or 0), but is not in 1 row: 0 ('yes').",
    ),
    "diverged is missing": (
        lambda: hl.Runs.from_frame(table().assign(dead=[False, None, *[False] * 14]), diverged="dead"),
        "column 'dead' must be true or false (or 1 or 0), but is not in 1 row: 1 (None).",
    ),
    "batch unit zero": (
        lambda: hl.Runs.from_frame(table(), batch_unit=0),
        "batch_unit must be finite and above zero, received 0.",
    ),
    "batch unit infinite": (
        lambda: hl.Runs.from_frame(table(), batch_unit=np.inf),
        "batch_unit must be finite and above zero, received inf.",
    ),
    "batch larger than data": (
        lambda: hl.Runs.from_frame(table(scales=(1e4, 1e6)), batch_unit=200),
        "batch_size is larger than data in 4 rows, first row 4: a batch of 12800 data points, 10000 seen in all. Give "
        "both in the same unit; batch_unit (received 200) is",
    ),
    "one batch larger than data": (
        lambda: hl.Runs.from_frame(with_value("batch_size", 9, 1e9)),
        "batch_size is larger than data in 1 row, first row 9: a batch of 1e+09 data points, 1e+07 seen",
    ),
    "sequences beside tokens": (
        lambda: hl.Runs.from_frame(table(scales=(1e9, 1e10), batches=(32.0, 4096.0))),
        "batch_size (32 to 4096) looks like sequences beside data in tokens (median 5.5e+09). Pass batch_unit=",
    ),
    "repeats": (
        lambda: hl.Runs.from_frame(pd.concat([table(), table().iloc[[2]]], ignore_index=True)),
        "2 rows repeat another run (task, data, learning_rate, batch_size, seed all equal), first rows 2, 16. Name "
        "what tells them apart, if anything does: a seed column for repeats with other seeds, a task column for other "
        "models or data. Else drop the repeats.",
    ),
    "few learning rates": (
        lambda: hl.Runs.from_frame(table(tasks=("a", "b")).drop(index=[24, 25, 28, 29])),
        "1 of 4 cells have fewer than 3 learning rates with a finite loss, first task 'b', data 1e+07: 2. Add runs",
    ),
    "every run of a cell diverged": (
        lambda: hl.Runs.from_frame(table().assign(diverged=np.arange(16) < 8)),
        "1 of 2 cells have fewer than 3 learning rates with a finite loss, first task 'all', data 1e+06: 0.",
    ),
    "nothing left": (
        lambda: (lambda runs: runs.where(runs.frame["data"] < 0))(hl.Runs.from_frame(table())),
        "no row is left: `keep` is false for all",
    ),
    "two rates left": (
        lambda: (lambda runs: runs.where(runs.frame["learning_rate"] < 3e-3))(hl.Runs.from_frame(table())),
        "2 of 2 cells have fewer than 3 learning rates with a finite loss, first task 'all', data 1e+06: 2.",
    ),
    "unknown sweep": (
        lambda: hl.load_sweep("lm_sgd"),
        f"there is no sweep 'lm_sgd'; the sweeps are: {', '.join(hl.sweeps().index)}.",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_reason_rows_and_what_is_allowed(case):
    make, text = REFUSED[case]
    with pytest.raises(ValueError, match=re.escape(text)):
        make()


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_files_are_refused_as_frames_are(kind, tmp_path):
    path = tmp_path / f"runs.{kind}"
    source = with_value("learning_rate", 5, 0.0).astype({"learning_rate": float})
    source.to_csv(path, index=False) if kind == "csv" else source.to_parquet(path)
    read = hl.Runs.from_csv if kind == "csv" else hl.Runs.from_parquet
    with pytest.raises(ValueError, match="'learning_rate' must be finite and above zero, but is not in 1 row: 5"):
        read(path)
