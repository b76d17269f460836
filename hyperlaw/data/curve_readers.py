"""`CurveReaders`: learning curves straight from an experiment tracker. `Curves` adds everything else."""

from os import PathLike
from typing import Self

from hyperlaw.data.columns import Column
from hyperlaw.data.sources.history import Where
from hyperlaw.data.sources.mlflow import read_mlflow
from hyperlaw.data.sources.optuna import read_optuna
from hyperlaw.data.sources.tensorboard import read_tensorboard
from hyperlaw.data.sources.wandb import read_wandb
from hyperlaw.data.table import Table

STEP = "step"  # what a tracker numbers logged points by


class CurveReaders(Table):
    """Readers of trackers for `Curves`: each names columns as `from_frame` does; `data` is a metric, or the step."""

    @classmethod
    def from_mlflow(
        cls,
        tracking_uri: str | PathLike[str],
        experiment: str,
        *,
        where: Where = None,
        data: str = STEP,
        performance: str = "performance",
        utd: Column | None = None,
        params: Column | None = None,
        width: Column | None = None,
        learning_rate: Column | None = None,
        batch_size: Column | None = None,
        task: str | None = None,
        seed: str | None = None,
    ) -> Self:
        """Read the runs of an MLflow experiment: a server, a database or a folder `mlruns`, and the experiment's name.

        `where` as in `hyperlaw.data.sources`: which runs.
        All else, and what is refused, as in `from_frame`, and as `read_mlflow` says.
        """
        return cls.from_frame(  # type: ignore[attr-defined]
            read_mlflow(tracking_uri, experiment, where=where, history=_metrics(performance, data)),
            data=data, performance=performance, utd=utd, params=params, width=width, learning_rate=learning_rate,
            batch_size=batch_size, task=task, seed=seed,
        )  # fmt: skip

    @classmethod
    def from_optuna(
        cls,
        storage: str | PathLike[str],
        study: str,
        *,
        where: Where = None,
        data: str = STEP,
        performance: str = "performance",
        utd: Column | None = None,
        params: Column | None = None,
        width: Column | None = None,
        learning_rate: Column | None = None,
        batch_size: Column | None = None,
        task: str | None = None,
        seed: str | None = None,
    ) -> Self:
        """Read the trials of an Optuna study: a storage URL or the path of a file, and the study's name.

        `where` as in `hyperlaw.data.sources`: which runs.
        All else, and what is refused, as in `from_frame`, and as `read_optuna` says.
        """
        return cls.from_frame(  # type: ignore[attr-defined]
            read_optuna(storage, study, where=where, history=_metrics(performance, data)),
            data=data, performance=performance, utd=utd, params=params, width=width, learning_rate=learning_rate,
            batch_size=batch_size, task=task, seed=seed,
        )  # fmt: skip

    @classmethod
    def from_tensorboard(
        cls,
        folder: str | PathLike[str],
        *,
        where: Where = None,
        data: str = STEP,
        performance: str = "performance",
        utd: Column | None = None,
        params: Column | None = None,
        width: Column | None = None,
        learning_rate: Column | None = None,
        batch_size: Column | None = None,
        task: str | None = None,
        seed: str | None = None,
    ) -> Self:
        """Read the runs of a folder of TensorBoard event files.

        `where` as in `hyperlaw.data.sources`: which runs.
        All else, and what is refused, as in `from_frame`, and as `read_tensorboard` says.
        """
        return cls.from_frame(  # type: ignore[attr-defined]
            read_tensorboard(folder, where=where, history=_metrics(performance, data)),
            data=data, performance=performance, utd=utd, params=params, width=width, learning_rate=learning_rate,
            batch_size=batch_size, task=task, seed=seed,
        )  # fmt: skip

    @classmethod
    def from_wandb(
        cls,
        project: str | PathLike[str],
        *,
        where: Where = None,
        data: str = STEP,
        performance: str = "performance",
        utd: Column | None = None,
        params: Column | None = None,
        width: Column | None = None,
        learning_rate: Column | None = None,
        batch_size: Column | None = None,
        task: str | None = None,
        seed: str | None = None,
    ) -> Self:
        """Read the runs of Weights & Biases: "entity/project", a folder of offline runs, or an exported CSV.

        `where` as in `hyperlaw.data.sources`: which runs.
        All else, and what is refused, as in `from_frame`, and as `read_wandb` says.
        """
        return cls.from_frame(  # type: ignore[attr-defined]
            read_wandb(project, where=where, history=_metrics(performance, data)),
            data=data, performance=performance, utd=utd, params=params, width=width, learning_rate=learning_rate,
            batch_size=batch_size, task=task, seed=seed,
        )  # fmt: skip


def _metrics(performance: str, data: str) -> list[str]:
    """The metrics of which a curve needs the history."""
    return [performance] if data == STEP else [performance, data]
