"""Weights & Biases: a project, folders of offline runs, and the CSV files that its pages export."""

import itertools
import json
import os
import re
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd

from hyperlaw.data.sources.history import Points, Reading, TrackedRun, Where, flat, points_of
from hyperlaw.data.sources.stores import client, holds, warn
from hyperlaw.quote import one_line, path_line, quote, some_of

STATES = {"pending": "running", "preempting": "running"}
# What the client records as the exit code of a run that was interrupted from the keyboard.
INTERRUPTED = 255
# A file of an offline run: its head, blocks of this size, and in front of each piece a checksum, length and kind.
HEAD, BLOCK, PIECE = b":W&B", 32768, struct.Struct("<IHB")
WHOLE, FIRST, LAST = 1, 2, 4
CURVE = re.compile(r"^(?P<run>.+) - (?P<metric>.+?)(?P<end>__MIN|__MAX)?$", re.DOTALL)


def read_wandb(
    project: str | PathLike[str],
    *,
    where: Where = None,
    final: str = "last",
    history: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Read the runs of a Weights & Biases project, of offline run folders, or of an exported CSV file.

    Parameters
    ----------
    project
        "entity/project", read through the public API with the key of `wandb login`; or the path of a folder below which
        offline runs lie (`wandb/offline-run-*`), of one `run-*.wandb` file, or of a CSV file: the runs table
        (one row a run), or a chart (a column "<run> - <metric>" for each curve).
    where, final, history
        Which runs, which final value of a metric, and which histories: as `hyperlaw.data.sources` says. With "last",
        a project gives what its summary says; a metric whose summary was defined as a minimum is there as `loss.min`,
        and not as `loss`. A runs table holds final values alone. A chart holds no hyperparameters: join them by
        `run_name`.

    Returns
    -------
    DataFrame
        `run`, `run_name`, `state`, config and metrics, one row a run; with `history`, one row a logged point. Of a runs
        table all columns, `Name` and `State` as `run_name` and `state`. Of a chart `step`, or the axis by its own name
        if that is not the step. Names that begin with "_" are the client's own and are left out.

        An offline run that has no end is `crashed`, as the tracker calls a run that it no longer hears of: whether it
        is still running, the file does not say. One that ends with an exit code above 0 is `failed`, `killed` when that
        is the code of an interrupt, and `preempted` when it said before that it would be.

    Raises
    ------
    ImportError
        When the client is not installed (CSV files need none).
    FileNotFoundError
        When there is no such path.
    ValueError
        When there is no such project, nothing to read at the path, a history is asked of a runs table, or an argument
        is not allowed.
    """
    reading = Reading(where, final, history)
    path, named = Path(project), os.fspath(project)
    if path.is_file() and path.suffix != ".wandb":
        return _from_csv(path, reading)
    if path.exists():
        return reading.table(_offline_runs(path))
    if re.fullmatch(r"[\w-]+/[\w .-]+", named) and path.suffix not in (".csv", ".wandb"):
        return reading.table(_online_runs(named))
    raise FileNotFoundError(
        f"there is no path {path_line(named)}; {holds(path.parent)}. Give entity/project, a folder of offline runs, "
        "or a CSV file."
    )


def _state(word: str) -> str:
    return STATES.get(word.lower(), word.lower())


def _own(name: str) -> bool:
    """Whether a name is the client's own."""
    return name.startswith("_")


# ---- a project ----


def _online_runs(project: str) -> list[TrackedRun]:
    api = client("wandb", "wandb").Api()
    try:
        runs = [_online_run(run) for run in api.runs(project, lazy=False)]
    except ValueError as missing:
        entity = project.split("/")[0]
        names = some_of(one.name for one in api.projects(entity))
        raise ValueError(
            f"there is no project {quote(project)} ({one_line(missing)}). Projects of {one_line(entity)}: {names}. "
            "There is no such path either."
        ) from missing
    if not runs:
        raise ValueError(f"project {quote(project)} has no runs. Name one that has.")
    return runs


def _online_run(run: Any) -> TrackedRun:
    def points(metric: str) -> Points:
        # `history` would give a sample of 500 points; a scan gives all.
        return points_of((row.get("_step"), row.get(metric)) for row in run.scan_history(keys=["_step", metric]))

    return TrackedRun(
        run=run.id,
        name=run.name,
        state=_state(run.state),
        hyperparameters={name: value for name, value in run.config.items() if not _own(name)},
        metrics=_values(run.summary_metrics),
        points=points,
    )


def _values(summary: Mapping[str, object]) -> dict[str, object]:
    """Numbers and texts of a summary or of a logged row; pictures, tables and histograms are left out."""
    found = flat({name: value for name, value in summary.items() if not _own(name)})
    media = tuple(name.removesuffix("_type") for name in found if name.endswith("._type"))
    return {name: value for name, value in found.items() if not name.startswith(media or "_")}


# ---- offline runs ----


def _offline_runs(path: Path) -> list[TrackedRun]:
    client("wandb", "wandb")
    files = [path] if path.is_file() else sorted(path.rglob("*.wandb"))
    if not files:
        raise ValueError(
            f"no run-*.wandb lies below {path_line(path)}. {holds(path)}. Give a folder with offline run folders."
        )
    # A run that was resumed has a folder for each start, named by the time, and a file of one name in each.
    return [
        _offline_run([file for file in files if file.name == name]) for name in dict.fromkeys(f.name for f in files)
    ]


def _offline_run(files: Sequence[Path]) -> TrackedRun:
    """A run of what the client wrote: its starts, changes of config and summary, logged points, and its end."""
    name = run_id = files[0].stem.removeprefix("run-")
    config: dict[str, object] = {}
    summary: dict[str, object] = {}
    logged: dict[str, list[tuple[object, object]]] = {}
    state, preempted = "crashed", False
    for record in itertools.chain.from_iterable(map(_records, files)):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            run_id = record.run.run_id or run_id
            name = record.run.display_name or run_id
            state, preempted = "crashed", False
            _update(config, record.run.config)
        elif kind in ("config", "summary"):
            _update(config if kind == "config" else summary, getattr(record, kind))
        elif kind == "history":
            row = {_key(item): json.loads(item.value_json) for item in record.history.item}
            for metric, value in _values(row).items():
                logged.setdefault(metric, []).append((row.get("_step", record.history.step.num), value))
        elif kind == "preempting":
            preempted = True
        elif kind == "exit":
            state = _ended(record.exit.exit_code, preempted)
    curves = {metric: points for metric, rows in logged.items() if (points := points_of(rows))}
    return TrackedRun(
        run=run_id,
        name=name,
        state=state,
        hyperparameters={key: value for key, value in config.items() if not _own(key)},
        metrics=_values(summary) | dict.fromkeys(curves),
        points=lambda metric: curves.get(metric, []),
    )


def _ended(code: int, preempted: bool) -> str:
    if code == 0:
        return "finished"
    return "preempted" if preempted else "killed" if code == INTERRUPTED else "failed"


def _key(item: Any) -> str:
    return ".".join(item.nested_key) or item.key


def _update(values: dict[str, object], change: Any) -> None:
    for item in change.update:
        # The latest comes last: a part of a mapping may be changed by itself.
        values.pop(_key(item), None)
        values[_key(item)] = json.loads(item.value_json)
    for item in change.remove:
        values.pop(_key(item), None)


def _records(path: Path) -> Iterator[Any]:
    """Records of a file, up to where it breaks off.

    The client writes this format in a program of its own and ships no reader in Python; the messages are its own.
    """
    message = client("wandb.proto.wandb_internal_pb2", "wandb").Record
    data = path.read_bytes()
    if not data.startswith(HEAD):
        raise ValueError(
            f"{path_line(path)} is no file of a run: it does not begin with {quote(HEAD.decode())}. Leave it out."
        )
    at, record = PIECE.size, b""
    while at < len(data):
        left = BLOCK - at % BLOCK
        if left < PIECE.size:
            at += left
            continue
        piece, kind = _piece(data, at)
        if piece is None:
            warn(
                f"run {quote(path.stem)} ends in half a record or is damaged (was it stopped, or does it still go "
                "on?). It is read up to there."
            )
            return
        record = piece if kind in (WHOLE, FIRST) else record + piece
        at += PIECE.size + len(piece)
        if kind in (WHOLE, LAST):
            yield message.FromString(record)


def _piece(data: bytes, at: int) -> tuple[bytes | None, int]:
    """The piece of a record at this place, and its kind; None where it is not whole."""
    if at + PIECE.size > len(data):
        return None, 0
    checksum, length, kind = PIECE.unpack_from(data, at)
    piece = data[at + PIECE.size : at + PIECE.size + length]
    return (piece if zlib.crc32(piece, zlib.crc32(bytes([kind]))) == checksum else None), kind


# ---- exported CSV files ----


def _from_csv(path: Path, reading: Reading) -> pd.DataFrame:
    # As text, so that names of runs stay as they are and "NaN" is told from an empty cell.
    table = pd.read_csv(path, dtype=str, keep_default_na=False, na_values=[""], encoding="utf-8-sig")
    if "Name" in table:
        if reading.history is not None or reading.final != "last":
            raise ValueError(
                f"{path_line(path)} is a table of runs, which holds final values alone: leave out history and final, "
                "or give the project, offline run folders, or the CSV file of a chart."
            )
        return reading.table(_rows_of_runs(table))
    curves = {column: found for column in table if (found := CURVE.match(column))}
    axis = next((column for column in table if column not in curves), None)
    if not curves or axis is None:
        raise ValueError(
            f"{path_line(path)} is neither a table of runs (a column 'Name') nor a chart (columns '<run> - <metric>') "
            f"of Weights & Biases. Its columns are: {some_of(table)}. Read another CSV file with from_csv."
        )
    read = reading.table(_runs_of_chart(path, table, axis, curves))
    return read if axis in ("Step", "_step") or reading.history is None else read.rename(columns={"step": axis})


def _rows_of_runs(table: pd.DataFrame) -> list[TrackedRun]:
    """The rows of a runs table; config and metrics cannot be told apart."""
    key = "ID" if "ID" in table else "Name"
    if key == "Name" and table["Name"].duplicated().any():
        key = ""
    rest = [column for column in table if column not in ("Name", "State", "ID")]
    return [
        TrackedRun(
            run=str(row[key] if key else number),
            name=str(row["Name"]),
            state=_state(str(row["State"])) if "State" in table else None,
            hyperparameters={column: row[column] for column in rest},
            metrics={},
            points=lambda _: [],
        )
        for number, (_, row) in enumerate(table.iterrows())
    ]


def _is_binned(table: pd.DataFrame, column: str) -> bool:
    """Whether a point of a curve is the mean of several: the lowest of them is not the highest."""
    ends = [f"{column}__MIN", f"{column}__MAX"]
    return set(ends) <= set(table) and bool(table[ends].dropna().nunique(axis=1).gt(1).any())


def _runs_of_chart(path: Path, table: pd.DataFrame, axis: str, curves: Mapping[str, re.Match[str]]) -> list[TrackedRun]:
    """The runs of a chart, a column a curve."""
    found: dict[str, dict[str, Points]] = {}
    for column, name in curves.items():
        if name["end"] is None:
            rows = table.loc[table[column].notna(), [axis, column]].itertuples(index=False)
            found.setdefault(name["run"], {})[name["metric"]] = points_of(rows)
    binned = [column for column in curves if _is_binned(table, column)]
    if binned:
        warn(
            f"{path_line(path)}: the chart is thinned out, a point is the mean of several that were logged (__MIN is "
            f"not __MAX), of {some_of(binned)}. Read the project or the offline runs for all points."
        )
    return [
        TrackedRun(
            run=run,
            name=run,
            state=None,
            hyperparameters={},
            metrics=dict.fromkeys(points),
            points=lambda metric, points=points: points.get(metric, []),  # type: ignore[misc]
        )
        for run, points in found.items()
    ]
