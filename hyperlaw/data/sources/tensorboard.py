"""TensorBoard: the event files below a folder."""

import json
import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd

from hyperlaw.data.sources.history import Reading, TrackedRun, Where
from hyperlaw.data.sources.stores import client, existing_folder, holds, warn
from hyperlaw.quote import one_line, path_line, quote

# Files in which training scripts keep hyperparameters; of several that name the same one, the last here counts.
SETTINGS = ("config.json", "args.json", "config.yaml", "hparams.yaml")
# In front of a record: its length, and a checksum of that. Behind it: a checksum.
HEADER, FOOTER = struct.Struct("<QI"), 4


def read_tensorboard(
    folder: str | PathLike[str],
    *,
    where: Where = None,
    final: str = "last",
    history: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Read the event files below a folder; each folder with event files is a run.

    Hyperparameters are those that the HParams plugin logged, and those in `hparams.yaml`, `config.yaml`, `args.json` or
    `config.json` beside the event files. Those of a folder hold for the folders in it, too (`run/train` and
    `run/validation` have those of `run`); what was logged counts before what a file says. PyTorch's `add_hparams`
    writes into a folder of its own, named by the time: it is read as part of the run around it.

    Parameters
    ----------
    folder
        The log directory.
    where, final, history
        Which runs, which final value of a metric, and which histories: as `hyperlaw.data.sources` says. All points are
        read; the client itself would keep a sample.

    Returns
    -------
    DataFrame
        `run` and `run_name` (the path within `folder`), hyperparameters and scalars, one row a run; with `history`, one
        row a logged point. There is no `state`, because TensorBoard keeps none.

    Raises
    ------
    ImportError
        When TensorBoard is not installed.
    FileNotFoundError
        When there is no such folder, or no event file in it.
    ValueError
        When no scalar was logged, or an argument is not allowed.
    """
    reading = Reading(where, final, history)
    client("tensorboard", "tensorboard")
    root = existing_folder(folder)
    logged = _logged(root)
    if not logged:
        raise FileNotFoundError(
            f"no event file (*tfevents*) lies below {path_line(root)}. {holds(root)}. Give a log directory."
        )
    runs = [_run(root, path, logged) for path, one in logged.items() if one.points]
    if not runs:
        raise ValueError(
            f"the {len(logged)} folders with event files below {path_line(root)} hold no scalar. Log the loss as one."
        )
    return reading.table(runs)


@dataclass
class _Logged:
    """What the event files of a folder hold: points of scalars by tag, hyperparameters, and plugins by tag."""

    points: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    hyperparameters: dict[str, object] = field(default_factory=dict)
    plugins: dict[str, str] = field(default_factory=dict)


def _logged(root: Path) -> dict[Path, _Logged]:
    """What was logged in each folder that holds event files."""
    # Names begin with the time at which a file was begun, so that a restarted run is read in its order.
    files = sorted(path for path in root.rglob("*tfevents*") if path.is_file())
    logged: dict[Path, _Logged] = {path.parent: _Logged() for path in files}
    for path in files:
        name = path.parent.relative_to(root).as_posix()
        for event in _events(path, name):
            for value in event.summary.value:
                _add(logged[path.parent], event.step, value)
    for path, found in list(logged.items()):
        if found.hyperparameters and path.parent in logged and _is_time(path.name):
            above = logged[path.parent]
            above.hyperparameters |= found.hyperparameters
            above.points |= {tag: points for tag, points in found.points.items() if tag not in above.points}
            del logged[path]
    return logged


def _events(path: Path, run: str) -> Iterator[Any]:
    """Events of a file, up to where it breaks off.

    Read by the format of the file and not by the client's loader, which is silent about half a record at the end.
    """
    event = client("tensorboard.compat.proto.event_pb2", "tensorboard").Event
    broken = client("google.protobuf.message", "tensorboard").DecodeError
    checksum = client("tensorboard.compat.tensorflow_stub.pywrap_tensorflow", "tensorboard").masked_crc32c
    with path.open("rb") as file:
        while header := file.read(HEADER.size):
            try:
                length, check = HEADER.unpack(header)
                whole = check == checksum(header[:8])
                record = file.read(length + FOOTER) if whole else b""
                found = event.FromString(record[:length])
            except (struct.error, broken):
                whole = False
            if not whole or len(record) < length + FOOTER:
                warn(
                    f"run {quote(run)}: {one_line(path.name)} ends in half a record or is damaged (was the run "
                    "stopped, or does it still go on?). It is read up to there."
                )
                return
            yield found


def _add(logged: _Logged, step: int, value: Any) -> None:
    """Add one value of a summary: a scalar of the old or of the new kind, or hyperparameters."""
    if value.metadata.plugin_data.plugin_name:
        logged.plugins[value.tag] = value.metadata.plugin_data.plugin_name
    if logged.plugins.get(value.tag) == "hparams":
        logged.hyperparameters |= _hparams(value.metadata.plugin_data.content)
        return
    kind = value.WhichOneof("value")
    if kind == "simple_value":
        logged.points.setdefault(value.tag, []).append((step, value.simple_value))
    elif kind == "tensor" and logged.plugins.get(value.tag) == "scalars":
        array = client("tensorboard.util.tensor_util", "tensorboard").make_ndarray(value.tensor)
        logged.points.setdefault(value.tag, []).append((step, float(array.item())))


def _hparams(content: bytes) -> dict[str, object]:
    """Hyperparameters in what the HParams plugin logs at the start of a session."""
    plugin = client("tensorboard.plugins.hparams.plugin_data_pb2", "tensorboard")
    values = plugin.HParamsPluginData.FromString(content).session_start_info.hparams
    kinds = {name: value.WhichOneof("kind") for name, value in values.items()}
    return {name: getattr(values[name], kind) for name, kind in kinds.items() if kind not in (None, "null_value")}


def _is_time(name: str) -> bool:
    try:
        return math.isfinite(float(name))
    except ValueError:
        return False


def _run(root: Path, path: Path, logged: Mapping[Path, _Logged]) -> TrackedRun:
    points = logged[path].points
    around = [above for above in reversed([path, *path.parents]) if above.is_relative_to(root)]
    settings: dict[str, object] = {}
    for above in around:
        settings |= _from_files(above)
    for above in around:
        settings |= logged[above].hyperparameters if above in logged else {}
    name = path.relative_to(root).as_posix()
    return TrackedRun(
        run=name,
        name=name,
        state=None,
        hyperparameters=settings,
        metrics=dict.fromkeys(points),
        points=lambda tag: points.get(tag, []),
    )


def _from_files(folder: Path) -> dict[str, object]:
    """Hyperparameters that lie in files of a folder."""
    found: dict[str, object] = {}
    for name in SETTINGS:
        path = folder / name
        if not path.is_file():
            continue
        text = path.read_text(encoding="utf-8")
        try:
            read = json.loads(text) if path.suffix == ".json" else client("yaml", "tensorboard").safe_load(text)
            if not isinstance(read, Mapping):
                raise ValueError(f"it holds no names with values but {type(read).__name__}")
        except (ValueError, client("yaml", "tensorboard").YAMLError) as wrong:
            # Lightning, for one, writes objects of Python into it, which a safe reader refuses.
            reason = " ".join(str(wrong).split())
            warn(f"{path} was left out: {reason}.")
            continue
        found |= read
    return found
