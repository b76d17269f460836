"""`example`: settings of a small table that a law can be fitted to, for simulation."""

from itertools import product

import numpy as np
import pandas as pd

from hyperlaw.data.crossings import Crossings
from hyperlaw.data.optima import Optima
from hyperlaw.data.runs import Runs
from hyperlaw.data.steps_to_loss import StepsToLoss
from hyperlaw.data.table import Table
from hyperlaw.models.law import Law

TASKS = ("first", "second", "third")
VALUES = {
    "utd": (1.0, 2.0, 4.0, 8.0), "params": (1e6, 4e6, 16e6), "data": (1e8, 4e8, 1.6e9),
    "budget": 10.0 ** np.arange(15, 20),
    "optimizer": ("sgd", "adam"), "threshold": (300.0, 500.0, 700.0, 900.0), "batch_size": 2.0 ** np.arange(4, 12),
}  # fmt: skip


def example(law: Law) -> Table:
    """A table of settings for `law`, of the size of published ones, with the same value in every row.

    `hl.calibrate` and `hyperlaw.inference.simulate` draw what it measures; its own values only place the priors.
    """
    if law.table == "runs":
        return _runs()
    if law.table == "steps_to_loss":
        return _steps()
    names = [*(["batch_size"] if law.needs_batch_size else []), *law.covariates]
    rows = [dict(zip(("task", *names), row, strict=True)) for row in product(TASKS, *(VALUES[n] for n in names))]
    frame = pd.DataFrame(rows)
    if law.table == "crossings":
        return Crossings.from_frame(frame.assign(data=2e5, error=0.1, limit=2e6))
    if law.predicts == ("utd",):
        return Optima.from_frame(frame.assign(utd=2.0, utd_error=0.15), estimated=("utd",))
    if law.predicts == ("improvement",):
        return Optima.from_frame(frame.assign(improvement=0.01, improvement_error=0.1), estimated=("improvement",))
    frame = frame.assign(learning_rate=1e-3, learning_rate_error=0.2)
    if law.needs_batch_size:
        return Optima.from_frame(frame, estimated=("learning_rate",))
    return Optima.from_frame(frame.assign(batch_size=256.0, batch_size_error=0.25, correlation=0.3))


def _runs() -> Runs:
    rows = [
        {"params": n, "data": d, "learning_rate": 1e-3 * 2.0**i, "batch_size": 2.0 ** (13 + 2 * j)}
        for n, d, i, j in product((1e6, 4e6), (1e8, 4e8, 1.6e9), range(-2, 3), range(3))
    ]
    # Lowest losses that fall with scale place the priors in nats.
    frame = pd.DataFrame(rows).assign(
        loss=lambda f: 2.5 - 0.1 * np.log(f["params"] / 2e6) - 0.1 * np.log(f["data"] / 4e8)
    )
    return Runs.from_frame(frame)


def _steps() -> StepsToLoss:
    curves = [(f"curve {i}", 3.4 - 0.2 * i, 1e8 * 2.0**i, 2e9 * 2.0**i) for i in range(4)]
    rows = [
        {"task": task, "loss": loss, "params": n, "data": d, "batch_size": 2.0**b, "steps": 1e4, "error": 0.03}
        for (task, loss, n, d), b in product(curves, range(15, 24))
    ]
    return StepsToLoss.from_frame(pd.DataFrame(rows))
