"""`NoiseMeasurements`: a table of noise scales of the gradient, measured in windows of training."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from hyperlaw.data import checks
from hyperlaw.data.columns import Column, Tabular, as_frame, positive, read
from hyperlaw.data.estimators.noise_windows import noise_windows
from hyperlaw.data.sweep_shape import batch_factor, no_steps
from hyperlaw.data.table import Table, point_rows
from hyperlaw.data.vocabulary import SCALES


@dataclass(frozen=True, eq=False, repr=False)
class NoiseMeasurements(Table):
    """Noise scales of the gradient, one row a window of training. Made by `from_norms`, or with `from_frame`.

    Attributes
    ----------
    frame
        Columns `task`, the scales that were given, `loss` (nats) and `step` where they were, `noise_scale` (data
        points), `error` (standard deviation of its natural log) and `high` (infinity, or the noise scale itself where
        it is one-sided: the gradient was lost in noise, and the noise scale is that or more). A copy.
    """

    kind: ClassVar[str] = "noise_measurements"

    @classmethod
    def from_norms(
        cls,
        frame: Tabular,
        *,
        small: str = "small",
        big: str = "big",
        small_batch: Column = "small_batch",
        big_batch: Column = "big_batch",
        batch_unit: float | None = None,
        window: int = 16,
        step: str | None = None,
        loss: str | None = None,
        data: Column | None = None,
        params: Column | None = None,
        width: Column | None = None,
        task: str | None = None,
    ) -> "NoiseMeasurements":
        """Noise scales of windows, from squared norms of gradients that a training loop logged.

        A column that is not named is looked for under its own name and left out when absent.

        Parameters
        ----------
        frame
            One row a measurement. A table in memory or the path of a file, as for `Runs.from_frame`.
        small, big
            Columns of the squared norms of the gradient of a small and of a big batch at the same weights: see
            `hl.noise_scale`, which also says how to measure with gradients of single examples, and with curvature.
        small_batch, big_batch
            Columns of their batch sizes, in units of `batch_unit` data points; or numbers, the same in every row.
        batch_unit
            Data points (tokens, samples) in one unit of batch size; 1 when left out.
        window
            Measurements that make a window: neighbours along training, of one task and size. Their scatter gives the
            error.
        step
            Column of optimizer steps: the order along training. Left out, the data, then the order of rows.
        loss
            Column of losses (nats), averaged over a window.
        data, params, width
            Columns of the scales: data points seen, parameter count, model width.
        task
            Column that groups rows which share a law up to their own offsets; one task, "all", when absent. Windows of
            one run share its luck, so let each run be a task.

        Raises
        ------
        ValueError
            When a column is missing, a task has too few measurements for a window, or the values cannot be right; the
            text says which rows, what was received, and what is allowed.
        """
        required = {"small": small, "big": big, "small_batch": small_batch, "big_batch": big_batch}
        optional = {"step": step, "loss": loss, "data": data, "params": params, "width": width, "task": task}
        table, found = read(as_frame(frame), required, optional)
        positive(table, found, ["small_batch", "big_batch", *SCALES])
        for word in ("small", "big", "step", "loss"):
            if word in table:
                table[word] = checks.finite_numbers(table[word], found[word])
        if "data" in table:
            no_steps(found["data"], table)
        unit = batch_factor(table[["small_batch"]], batch_unit)
        table[["small_batch", "big_batch"]] *= unit
        place = ["task", *(name for name in ("params", "width") if name in table)]
        order = next((name for name in ("step", "data") if name in table), None)
        return cls.from_frame(noise_windows(table, place, order, window))

    @classmethod
    def from_frame(
        cls,
        frame: Tabular,
        *,
        noise_scale: str = "noise_scale",
        batch_unit: float | None = None,
        error: str | None = None,
        high: str | None = None,
        step: str | None = None,
        loss: str | None = None,
        data: Column | None = None,
        params: Column | None = None,
        width: Column | None = None,
        task: str | None = None,
    ) -> "NoiseMeasurements":
        """Read noise scales from a DataFrame, naming the columns that hold them; published ones can be typed in.

        A column that is not named is looked for under its own name and left out when absent.

        Parameters
        ----------
        frame
            One row a window of training. A table in memory or the path of a file, as for `Runs.from_frame`.
        noise_scale
            Column of noise scales, in units of `batch_unit` data points.
        batch_unit
            Data points (tokens, samples) in one unit of the noise scale; 1 when left out.
        error
            Column of standard deviations of ln noise scale; 0 when absent.
        high
            Column of the largest noise scale that could have been told; infinity when absent or empty. A value at or
            beyond it is kept there, and is one-sided.
        step, loss, data, params, width, task
            As for `from_norms`.

        Raises
        ------
        ValueError
            When a column is missing, a window is repeated, or the values cannot be right; the text says which rows,
            what was received, and what is allowed.
        """
        optional = {
            "error": error, "high": high, "step": step, "loss": loss, "data": data, "params": params, "width": width,
            "task": task,
        }  # fmt: skip
        table, found = read(as_frame(frame), {"noise_scale": noise_scale}, optional)
        positive(table, found, ["noise_scale", *SCALES])
        for word in ("step", "loss"):
            if word in table:
                table[word] = checks.finite_numbers(table[word], found[word])
        if "data" in table:
            no_steps(found["data"], table)
        table["error"] = checks.not_negative_numbers(table["error"], found["error"]) if "error" in table else 0.0
        table["high"] = checks.numbers(table["high"], found["high"]).fillna(np.inf) if "high" in table else np.inf
        table[["noise_scale", "high"]] *= batch_factor(table[["noise_scale"]], batch_unit)
        if (table["high"] <= 0).any():
            raise ValueError(f"high must be above zero, received {table['high'].min():g}: it is a noise scale.")
        table["noise_scale"] = table[["noise_scale", "high"]].min(axis=1)
        place = ["task", *(name for name in (*SCALES, "loss", "step") if name in table)]
        checks.no_repeats(table, place, "a window")
        return cls(table[[*place, "noise_scale", "error", "high"]])

    from_csv = from_frame
    from_parquet = from_frame

    @classmethod
    def example(cls, columns: Sequence[str], measured: Sequence[str]) -> "NoiseMeasurements":
        """Three tasks, eight windows in each, at growing data and falling loss."""
        windows = pd.DataFrame({"i": np.arange(8)}).assign(
            loss=lambda f: 4.0 * 0.85 ** f["i"], data=lambda f: 1e6 * 3.0 ** f["i"]
        )
        frame = pd.DataFrame({"task": ["first", "second", "third"]}).merge(windows.drop(columns="i"), "cross")
        return cls.from_frame(frame.assign(noise_scale=1e3, error=0.2))

    @property
    def _measured(self) -> tuple[str, ...]:
        return ("noise_scale",)

    def points(self) -> pd.DataFrame:
        """One row a measured value, the quantity being "noise_scale".

        Columns `row` (position in `frame`), `quantity`, `value`, `error` (standard deviation of its natural log),
        `low` (0) and `high`; a value at `high` is one-sided.
        """
        frame = self._frame
        return point_rows(frame, "noise_scale", frame["error"], pd.Series(0.0, index=frame.index), frame["high"])

    @property
    def headline(self) -> str:
        """What it holds, in one line."""
        beyond = int((self._frame["noise_scale"] >= self._frame["high"]).sum())
        return f"NoiseMeasurements: {len(self)} windows ({beyond} one-sided), {self._summary()}"
