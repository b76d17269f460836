"""MLflow: the runs of an experiment, of a server, of a database or of a folder `mlruns`."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd

from hyperlaw.data.sources.history import Points, Reading, TrackedRun, Where
from hyperlaw.data.sources.stores import client, holds, sqlite_url
from hyperlaw.quote import path_line, quote, some_of

STATES = {"scheduled": "running"}
# What a database is given for an infinite value, which it cannot hold.
LARGEST = 1.7976931348623157e308


def read_mlflow(
    tracking_uri: str | PathLike[str],
    experiment: str,
    *,
    where: Where = None,
    final: str = "last",
    history: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Read the runs of an MLflow experiment.

    Parameters
    ----------
    tracking_uri
        A server ("http://..."), a database ("sqlite:///mlflow.db", or the path of that file), or a folder ("./mlruns").
    experiment
        Its name, or its id. Deleted runs are left out.
    where, final, history
        Which runs, which final value of a metric, and which histories: as `hyperlaw.data.sources` says. With "last",
        a metric is what MLflow shows: the latest value at the largest step.

    Returns
    -------
    DataFrame
        `run`, `run_name`, `state`, parameters and metrics, one row a run; with `history`, one row a logged point.
        MLflow keeps parameters as text: those that are numbers become numbers.

    Raises
    ------
    ImportError
        When MLflow is not installed.
    FileNotFoundError
        When there is no such file or folder.
    ValueError
        When the store is none of MLflow, there is no such experiment or it has no runs, or an argument is not allowed.
    """
    reading = Reading(where, final, history)
    mlflow = client("mlflow", "mlflow")
    with _file_stores_allowed():
        tracker = mlflow.MlflowClient(tracking_uri=_store(os.fspath(tracking_uri)))
        return reading.table(_runs(tracker, experiment))


def _store(uri: str) -> str:
    """The URI, after a look at what is on disk: MLflow creates a store that it does not find."""
    url = sqlite_url(uri, "experiments", "MLflow")
    if url is not None or ("://" in uri and not uri.startswith("file:")):
        return url or uri
    folder = Path(uri.removeprefix("file:").removeprefix("//"))
    if not folder.is_dir():
        raise FileNotFoundError(
            f"there is no folder {path_line(folder)}; {holds(folder.parent)}. Give a server, sqlite:///<file>, or a "
            "folder mlruns."
        )
    if not any(folder.glob("*/meta.yaml")):
        raise ValueError(
            f"{path_line(folder)} is no store of MLflow: no folder in it holds meta.yaml. {holds(folder)}."
        )
    return str(folder)


@contextmanager
def _file_stores_allowed() -> Iterator[None]:
    """MLflow 3 opens a folder only when told to by this variable; reading one does no harm."""
    before = os.environ.get("MLFLOW_ALLOW_FILE_STORE")
    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    try:
        yield
    finally:
        if before is None:
            del os.environ["MLFLOW_ALLOW_FILE_STORE"]
        else:
            os.environ["MLFLOW_ALLOW_FILE_STORE"] = before


def _runs(tracker: Any, experiment: str) -> list[TrackedRun]:
    experiments = {one.name: one.experiment_id for one in _pages(tracker.search_experiments)}
    key = experiments.get(str(experiment), str(experiment))
    if key not in experiments.values():
        raise ValueError(
            f"there is no experiment {quote(experiment)} in this store. Name one of those that are there: "
            f"{some_of(experiments)}."
        )
    runs = [_run(tracker, run) for run in _pages(partial(tracker.search_runs, [key]))]
    if not runs:
        raise ValueError(f"experiment {quote(experiment)} has no runs. Name one that has, of: {some_of(experiments)}.")
    return runs[::-1]


def _pages(search: Any) -> Iterator[Any]:
    """Everything that a search finds, page by page; the newest comes first."""
    page = search()
    yield from page
    while page.token:
        page = search(page_token=page.token)
        yield from page


def _run(tracker: Any, run: Any) -> TrackedRun:
    def points(metric: str) -> Points:
        logged = tracker.get_metric_history(run.info.run_id, metric)
        logged = sorted(logged, key=lambda one: (one.timestamp, one.step))
        return [(one.step, _value(one.value)) for one in logged]

    state = run.info.status.lower()
    return TrackedRun(
        run=run.info.run_id,
        name=run.info.run_name or run.info.run_id,
        state=STATES.get(state, state),
        hyperparameters=run.data.params,
        metrics={name: _value(value) for name, value in run.data.metrics.items()},
        points=points,
    )


def _value(value: float) -> float:
    return value if abs(value) < LARGEST else value * float("inf")
