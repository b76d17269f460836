"""Optuna: the trials of a study, of a database or of a journal file."""

import math
import os
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd

from hyperlaw.data.sources.history import Points, Reading, TrackedRun, Where
from hyperlaw.data.sources.stores import client, holds, sqlite_url, warn
from hyperlaw.quote import path_line, quote, some_of

STATES = {"complete": "finished", "waiting": "running", "fail": "failed", "pruned": "killed"}


def read_optuna(
    storage: str | PathLike[str],
    study: str,
    *,
    where: Where = None,
    final: str = "last",
    history: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Read the trials of an Optuna study as runs.

    Parameters
    ----------
    storage
        A database ("sqlite:///study.db", or the path of that file), or the path of a journal file.
    study
        Its name.
    where, final, history
        Which runs, which final value of a metric, and which histories: as `hyperlaw.data.sources` says. The one metric
        with a history is `value`, of which the history is the values that trials reported on the way. An objective
        often returns the lowest of them: then take `final="mean:10"`, which is computed from what was reported.

    Returns
    -------
    DataFrame
        `run` (number of the trial), `run_name`, `state`, parameters, user attributes (`user_attrs.<name>` where a
        parameter has the name), and what the objective returned: `value`, or `values_0`, `values_1`, ... of several
        objectives. One that is maximized is no loss: it is in `maximized_value` (`maximized_values_1`, ...), and a
        `UserWarning` says so. With `history=["value"]` one row a reported value, whichever the direction.

    Raises
    ------
    ImportError
        When Optuna is not installed.
    FileNotFoundError
        When there is no such file.
    ValueError
        When the database is none of Optuna, there is no such study or it has no trials, no trial reported a value
        though `final` or `history` asks for them, or an argument is not allowed.
    """
    reading = Reading(where, final, history)
    optuna = client("optuna", "optuna")
    opened = _open(optuna, os.fspath(storage))
    names = optuna.get_all_study_names(opened)
    if study not in names:
        raise ValueError(
            f"there is no study {quote(study)} in {path_line(storage)}. Name one of those that are there: "
            f"{some_of(names)}."
        )
    found = optuna.load_study(study_name=study, storage=opened)
    trials = found.get_trials(deepcopy=False)
    if not trials:
        raise ValueError(f"study {quote(study)} has no trials. Name one that has, of: {some_of(names)}.")
    if (final != "last" or history) and not any(trial.intermediate_values for trial in trials):
        raise ValueError(
            f"no trial of study {quote(study)} reported a value on the way (trial.report), so there is no history to "
            f"take {'history' if history else 'final'}={quote(history or final)} from. Leave it out."
        )
    columns = ["value"] if history else _objectives(found)
    return reading.table([_run(trial, columns) for trial in trials])


def _open(optuna: Any, storage: str) -> Any:
    """The storage, after a look at what is on disk: Optuna creates one that it does not find."""
    url = sqlite_url(storage, "studies", "Optuna")
    if url is not None or "://" in storage:
        return optuna.storages.get_storage(url or storage)
    path = Path(storage)
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no file {path_line(path)}; {holds(path.parent)}. Give sqlite:///<file>, or the path of a "
            "journal file."
        )
    journal = optuna.storages.journal
    return optuna.storages.JournalStorage(journal.JournalFileBackend(str(path)))


def _objectives(study: Any) -> list[str]:
    """Column of each objective; one that is maximized says so in its name."""
    names = ["value"] if len(study.directions) == 1 else [f"values_{n}" for n in range(len(study.directions))]
    columns = [
        f"maximized_{name}" if direction.name == "MAXIMIZE" else name
        for name, direction in zip(names, study.directions, strict=True)
    ]
    if columns != names:
        warn(
            f"study {quote(study.study_name)} maximizes an objective, and a loss is lower when better: it is in the "
            f"column {quote(some_of(c for c in columns if c not in names))}. Make a loss of it, such as 1 - accuracy, "
            "or take a loss from a user attribute."
        )
    return columns


def _run(trial: Any, columns: Sequence[str]) -> TrackedRun:
    def points(metric: str) -> Points:
        # Of several objectives nothing can be reported.
        return sorted(trial.intermediate_values.items()) if metric == columns[0] else []

    # A trial whose objective returned NaN is FAIL, without a value: what it last reported must not hide that.
    values = trial.values or [math.nan] * len(columns)
    attributes = {f"user_attrs.{name}" if name in trial.params else name: v for name, v in trial.user_attrs.items()}
    state = trial.state.name.lower()
    return TrackedRun(
        run=str(trial.number),
        name=f"trial {trial.number}",
        state=STATES.get(state, state),
        hyperparameters=trial.params | attributes,
        metrics=dict(zip(columns, values, strict=True)),
        points=points,
    )
