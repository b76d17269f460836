"""`RunReaders`: runs straight from an experiment tracker. `Runs` adds everything else."""

from collections.abc import Sequence
from os import PathLike
from typing import Self

from hyperlaw.data.columns import Column
from hyperlaw.data.outcomes import NATS
from hyperlaw.data.sources.history import Where
from hyperlaw.data.sources.mlflow import read_mlflow
from hyperlaw.data.sources.optuna import read_optuna
from hyperlaw.data.sources.tensorboard import read_tensorboard
from hyperlaw.data.sources.wandb import read_wandb
from hyperlaw.data.table import Table


class RunReaders(Table):
    """Readers of trackers for `Runs`: each names columns as `from_frame` does."""

    @classmethod
    def from_mlflow(
        cls,
        tracking_uri: str | PathLike[str],
        experiment: str,
        *,
        where: Where = None,
        final: str = "last",
        learning_rate: Column = "learning_rate",
        batch_size: Column = "batch_size",
        batch_unit: float | None = None,
        loss: str = "loss",
        loss_unit: str = NATS,
        untrained_loss: float | None = None,
        data: Column | None = None,
        steps: Column | None = None,
        params: Column | None = None,
        width: Column | None = None,
        utd: Column | None = None,
        task: str | None = None,
        seed: str | None = None,
        run: str | None = None,
        diverged: str | None = None,
        state: str | None = None,
        tune_over: Sequence[str] = (),
    ) -> Self:
        """Read the runs of an MLflow experiment: a server, a database or a folder `mlruns`, and the experiment's name.

        `where` and `final` as in `hyperlaw.data.sources`: which runs, and which final value of a metric.
        All else, and what is refused, as in `from_frame`, and as `read_mlflow` says.
        """
        return cls.from_frame(  # type: ignore[attr-defined]
            read_mlflow(tracking_uri, experiment, where=where, final=final),
            learning_rate=learning_rate, batch_size=batch_size, batch_unit=batch_unit, loss=loss, loss_unit=loss_unit,
            untrained_loss=untrained_loss, data=data, steps=steps, params=params, width=width, utd=utd, task=task,
            seed=seed, run=run, diverged=diverged, state=state, tune_over=tune_over,
        )  # fmt: skip

    @classmethod
    def from_optuna(
        cls,
        storage: str | PathLike[str],
        study: str,
        *,
        where: Where = None,
        final: str = "last",
        learning_rate: Column = "learning_rate",
        batch_size: Column = "batch_size",
        batch_unit: float | None = None,
        loss: str = "loss",
        loss_unit: str = NATS,
        untrained_loss: float | None = None,
        data: Column | None = None,
        steps: Column | None = None,
        params: Column | None = None,
        width: Column | None = None,
        utd: Column | None = None,
        task: str | None = None,
        seed: str | None = None,
        run: str | None = None,
        diverged: str | None = None,
        state: str | None = None,
        tune_over: Sequence[str] = (),
    ) -> Self:
        """Read the trials of an Optuna study: a storage URL or the path of a file, and the study's name.

        `where` and `final` as in `hyperlaw.data.sources`: which runs, and which final value of a metric.
        All else, and what is refused, as in `from_frame`, and as `read_optuna` says.
        """
        return cls.from_frame(  # type: ignore[attr-defined]
            read_optuna(storage, study, where=where, final=final),
            learning_rate=learning_rate, batch_size=batch_size, batch_unit=batch_unit, loss=loss, loss_unit=loss_unit,
            untrained_loss=untrained_loss, data=data, steps=steps, params=params, width=width, utd=utd, task=task,
            seed=seed, run=run, diverged=diverged, state=state, tune_over=tune_over,
        )  # fmt: skip

    @classmethod
    def from_tensorboard(
        cls,
        folder: str | PathLike[str],
        *,
        where: Where = None,
        final: str = "last",
        learning_rate: Column = "learning_rate",
        batch_size: Column = "batch_size",
        batch_unit: float | None = None,
        loss: str = "loss",
        loss_unit: str = NATS,
        untrained_loss: float | None = None,
        data: Column | None = None,
        steps: Column | None = None,
        params: Column | None = None,
        width: Column | None = None,
        utd: Column | None = None,
        task: str | None = None,
        seed: str | None = None,
        run: str | None = None,
        diverged: str | None = None,
        state: str | None = None,
        tune_over: Sequence[str] = (),
    ) -> Self:
        """Read the runs of a folder of TensorBoard event files.

        `where` and `final` as in `hyperlaw.data.sources`: which runs, and which final value of a metric.
        All else, and what is refused, as in `from_frame`, and as `read_tensorboard` says.
        """
        return cls.from_frame(  # type: ignore[attr-defined]
            read_tensorboard(folder, where=where, final=final),
            learning_rate=learning_rate, batch_size=batch_size, batch_unit=batch_unit, loss=loss, loss_unit=loss_unit,
            untrained_loss=untrained_loss, data=data, steps=steps, params=params, width=width, utd=utd, task=task,
            seed=seed, run=run, diverged=diverged, state=state, tune_over=tune_over,
        )  # fmt: skip

    @classmethod
    def from_wandb(
        cls,
        project: str | PathLike[str],
        *,
        where: Where = None,
        final: str = "last",
        learning_rate: Column = "learning_rate",
        batch_size: Column = "batch_size",
        batch_unit: float | None = None,
        loss: str = "loss",
        loss_unit: str = NATS,
        untrained_loss: float | None = None,
        data: Column | None = None,
        steps: Column | None = None,
        params: Column | None = None,
        width: Column | None = None,
        utd: Column | None = None,
        task: str | None = None,
        seed: str | None = None,
        run: str | None = None,
        diverged: str | None = None,
        state: str | None = None,
        tune_over: Sequence[str] = (),
    ) -> Self:
        """Read the runs of Weights & Biases: "entity/project", a folder of offline runs, or an exported CSV.

        `where` and `final` as in `hyperlaw.data.sources`: which runs, and which final value of a metric.
        All else, and what is refused, as in `from_frame`, and as `read_wandb` says.
        """
        return cls.from_frame(  # type: ignore[attr-defined]
            read_wandb(project, where=where, final=final),
            learning_rate=learning_rate, batch_size=batch_size, batch_unit=batch_unit, loss=loss, loss_unit=loss_unit,
            untrained_loss=untrained_loss, data=data, steps=steps, params=params, width=width, utd=utd, task=task,
            seed=seed, run=run, diverged=diverged, state=state, tune_over=tune_over,
        )  # fmt: skip
