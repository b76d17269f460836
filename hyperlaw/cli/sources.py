"""Where a table may come from: files, standard input, and experiment trackers."""

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

import typer

from hyperlaw.cli.looking import Json
from hyperlaw.cli.output import print_json

if TYPE_CHECKING:
    import pandas as pd


class Source(StrEnum):
    """What TABLE is the address of."""

    FILE = "file"
    MLFLOW = "mlflow"
    OPTUNA = "optuna"
    TENSORBOARD = "tensorboard"
    WANDB = "wandb"


ABOUT = {
    Source.FILE: ("text with any separator, JSON or Parquet, gzipped or not; - reads standard input", "sweep.csv"),
    Source.MLFLOW: (
        "a server, a database or a folder mlruns",
        "sqlite:///mlflow.db --source mlflow --experiment lr-sweep",
    ),
    Source.OPTUNA: (
        "a storage, or the file of a journal",
        "sqlite:///study.db --source optuna --experiment lr-sweep --loss value",
    ),
    Source.TENSORBOARD: ("a folder of event files", "logs --source tensorboard --loss loss/val"),
    Source.WANDB: (
        "a project, a folder of offline runs, or a CSV that was exported",
        "entity/project --source wandb --loss eval/loss",
    ),
}
NAMED = {Source.MLFLOW: "the name of an experiment", Source.OPTUNA: "the name of a study"}


def sources(json: Json = False) -> None:
    """List what a table can be read from, and how."""
    rows = [
        {"source": str(name), "reads": reads, "example": f"hyperlaw fit {how} --out fit.nc"}
        for name, (reads, how) in ABOUT.items()
    ]
    if json:
        print_json(rows)
        return
    for row in rows:
        typer.echo(f"{row['source']}: {row['reads']}\n    {row['example']}")


def read_source(path: str) -> "pd.DataFrame":
    """The table in a file, or on standard input where that is "-"."""
    from hyperlaw.data.files import read_bytes, read_file

    if path != "-":
        return read_file(path)
    return read_bytes(typer.get_binary_stream("stdin").read(), "standard input")


def read_address(
    address: str, source: Source, experiment: str | None, final: str | None, history: Sequence[str] | None
) -> "pd.DataFrame":
    """The table at an address: rows of a file, or runs of a tracker; with `history` one row a logged point."""
    if experiment is None and source in NAMED:
        raise typer.BadParameter(f"--source {source} needs {NAMED[source]}.", param_hint="--experiment")
    if experiment is not None and source not in NAMED:
        raise typer.BadParameter(f"it is for --source {' and '.join(NAMED)} alone.", param_hint="--experiment")
    if source is Source.FILE and final is not None:
        raise typer.BadParameter("it is for trackers alone: a file holds final values.", param_hint="--final")
    from hyperlaw.data.sources.mlflow import read_mlflow
    from hyperlaw.data.sources.optuna import read_optuna
    from hyperlaw.data.sources.tensorboard import read_tensorboard
    from hyperlaw.data.sources.wandb import read_wandb

    rule = final or "last"
    match source:
        case Source.FILE:
            return read_source(address)
        case Source.MLFLOW:
            return read_mlflow(address, str(experiment), final=rule, history=history)
        case Source.OPTUNA:
            return read_optuna(address, str(experiment), final=rule, history=history)
        case Source.TENSORBOARD:
            return read_tensorboard(address, final=rule, history=history)
        case Source.WANDB:
            return read_wandb(address, final=rule, history=history)
