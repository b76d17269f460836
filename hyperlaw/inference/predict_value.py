"""`predict_value`: what a law says of rows that were not measured, in every draw."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import xarray as xr

from hyperlaw.inference.target import check_target
from hyperlaw.models.clipped import TAIL
from hyperlaw.models.points import centred
from hyperlaw.models.pooled import shift

if TYPE_CHECKING:
    from hyperlaw.inference.fit import Fit

INTERVAL = 0.9
DRAWS = ("chain", "draw")


@dataclass(frozen=True, eq=False)
class ValuePrediction:
    """What a fit of `Optima`, `Crossings` or `StepsToLoss` expects at a target.

    Attributes
    ----------
    at
        The target: each covariate, the batch size where the law needs one, and the task.
    table
        One row a quantity that the law predicts, columns `lower, median, upper`: equal-tailed 90 % intervals,
        predictive for a new cell, its own deviation and scatter included; no error of measuring it.
    draws
        Dataset with dims `chain, draw`: each quantity.
    """

    at: dict[str, Any]
    table: pd.DataFrame
    draws: xr.Dataset


def predict_value(fit: "Fit", at: Mapping[str, Any]) -> ValuePrediction:
    """Predict the quantities of a law at a target; arguments and errors as `fit.predict`.

    A known task has its own values. None as the task is a new one, drawn from the population of tasks in every draw:
    its intervals are wider by all that tasks differ in.
    """
    target, task = check_target(fit, at)
    values = values_at(fit, pd.DataFrame([target | {"task": task}]))
    tail = (1 - INTERVAL) / 2
    draws = {name: np.exp(v[..., 0]) for name, v in values.items()}
    table = {name: np.quantile(v, [tail, 0.5, 1 - tail]) for name, v in draws.items()}
    posterior = fit.tree["posterior"]
    return ValuePrediction(
        dict(at),
        pd.DataFrame.from_dict(table, orient="index", columns=["lower", "median", "upper"]),
        xr.Dataset({n: (DRAWS, v) for n, v in draws.items()}, {n: posterior[n].values for n in DRAWS}),
    )


def values_at(fit: "Fit", frame: pd.DataFrame, *, scatter: bool = True) -> dict[str, np.ndarray]:
    """Natural logs of the law's quantities in every draw, shape (chain, draw, row).

    Parameters
    ----------
    fit
        A fit of a table other than `Runs`.
    frame
        The law's covariates, `batch_size` where it needs one, and `task`: a known label, or another for a new
        task; rows of one new task share it.
    scatter
        Whether a new cell's own deviation and scatter are drawn (from the fit's seed), or the law alone is asked.
    """
    law = fit.law
    rng = np.random.default_rng([fit.seed, 5])
    p = task_parameters(fit, frame["task"].tolist(), rng)
    batch = np.log(frame["batch_size"].to_numpy(float)) if "batch_size" in frame else np.zeros(len(frame))
    cells = pd.factorize(pd.Series(list(map(tuple, frame[["task", *law.logged]].to_numpy()))))[0]
    with jax.enable_x64(True):
        x = {name: jnp.asarray(v) for name, v in centred(frame, law, fit.pivot).items()}
        measured = set(fit.table.points()["quantity"])
        quantities = [name for name in law.predicts if name in measured]
        both = {"learning_rate", "batch_size"} <= set(quantities)
        log_batch = law.log_value("batch_size", p, x, jnp.asarray(batch)) if both else jnp.asarray(batch)
        values = {name: np.asarray(law.log_value(name, p, x, log_batch)) for name in quantities}
    shape = next(iter(p.values())).shape[:2]
    values = {name: np.broadcast_to(v, (*shape, len(frame))) for name, v in values.items()}
    if not scatter:
        return values
    own = p["spread_cell"] * rng.standard_normal((*shape, cells.max() + 1))[..., cells] if "spread_cell" in p else 0.0
    return {
        name: v + own + p[f"scatter_{name}"] * rng.standard_t(TAIL, (*shape, len(frame))) for name, v in values.items()
    }


def task_parameters(fit: "Fit", tasks: list[Any], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Parameters of each row's task, shape (chain, draw, row) or (chain, draw, 1)."""
    posterior = fit.tree["posterior"].dataset
    known = list(fit.table.tasks)
    new = sorted({str(task) for task in tasks if task not in known})
    where = [known.index(task) if task in known else len(known) + new.index(str(task)) for task in tasks]
    p = {}
    for parameter in fit.law.parameter_list:
        value = posterior[parameter.name].values[..., None]
        if len(known) > 1 and parameter.spread is not None:
            own = posterior[f"{parameter.name}_task"].values
            if fit.law.separate(parameter):
                unseen = np.repeat(value, len(new), axis=-1)
            else:
                spread = posterior[f"{parameter.name}_task_spread"].values[..., None]
                unseen = np.asarray(shift(parameter, value, spread * rng.standard_normal((*own.shape[:2], len(new)))))
            value = np.concatenate([own, unseen], axis=-1)[..., where]
        p[parameter.name] = value
    return p
