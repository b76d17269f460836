"""`backtest_values`: withhold rows of `Optima`, `Crossings` or `StepsToLoss`, predict them, and score."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import pandas as pd
import scoringrules
from scipy.special import logsumexp
from scipy.stats import norm

from hyperlaw.data.table import Table
from hyperlaw.diagnostics.value_recipes import VALUE_RECIPES
from hyperlaw.inference.fit import Fit
from hyperlaw.inference.predict_value import values_at
from hyperlaw.inference.refit import quality, refit
from hyperlaw.models.clipped import TAIL, Clipped
from hyperlaw.models.law import Law
from hyperlaw.progress import track

LEVELS = (50, 80, 90)
QUANTILES = norm.ppf((np.arange(1000) + 0.5) / 1000)
ValueHoldOut = str | Callable[[pd.DataFrame], pd.Series]


@dataclass(frozen=True, eq=False)
class ValueBacktest:
    """What `backtest` returns for a table other than `Runs`.

    Attributes
    ----------
    table
        One row a (method, withheld row, quantity): its task and covariates; `value` (the limit where it was never
        reached) and `one_sided`; `median, lower, upper` of the predictive interval (90 %) of what is measured, its
        stated error included; `covered` (`_50`, `_80`), for a one-sided value whether the interval reaches
        beyond its limit; `error`, |ln median - ln value|, none for one-sided ones; `log_score` of ln value (the log
        probability of lying beyond, for one-sided ones) and `crps` in ln; `divergences` and `r_hat` of the fit.
    withheld
        What was withheld, in words.
    """

    table: pd.DataFrame
    withheld: str

    @property
    def summary(self) -> pd.DataFrame:
        """One row a (method, quantity): rows, coverage, error, scores."""
        names = ["covered_50", "covered_80", "covered", "error", "log_score", "crps"]
        numbers = self.table.assign(**{name: self.table[name].astype(float) for name in names})
        groups = numbers.groupby(["method", "quantity"], sort=False)
        return groups["value"].agg(rows="size").join(groups[names].mean())

    def __repr__(self) -> str:
        return f"Backtest, {self.withheld}.\n{self.summary.to_string(float_format='{:.3g}'.format)}"


def backtest_values(
    laws: Mapping[str, Law], table: Table, *, seed: int, hold_out: ValueHoldOut = "largest", progress: bool = True
) -> ValueBacktest:
    """Withhold rows, refit to the rest, and score the predictions, beside regressions that papers use.

    Parameters
    ----------
    laws
        Laws by name, all for this kind of table.
    table
        All rows, the withheld ones included.
    seed
        Determines every draw.
    hold_out
        `"largest"`: the largest value of the first covariate of the laws that has two values or more; `"task"`: each
        task in turn; or a function of `table.frame` that returns booleans.
    progress
        Whether to show a progress bar.

    Raises
    ------
    ValueError
        When there is no law, one is named as a recipe is, or `hold_out` withholds nothing or everything.
    """
    if not laws:
        raise ValueError("backtest needs a law or more, received none.")
    taken = [name for name in laws if name in VALUE_RECIPES]
    if taken:
        raise ValueError(f"a law is named {taken[0]!r}, as a recipe is. The recipes are: {', '.join(VALUE_RECIPES)}.")
    parts, words = _parts(laws, table, hold_out)
    frame = table.frame
    long = table.points().assign(label=lambda rows: [table.labels[i] for i in rows["row"]])
    rows: list[pd.DataFrame] = []
    for number, out in enumerate(track(parts, "backtest", disable=not progress)):
        for name, law in laws.items():
            fit = refit(law, table, seed=seed + number, keep=pd.Series(~out, frame.index))
            scored = score_values(fit, frame, long[out[long["row"]]])
            rows.append(scored.assign(method=name, **quality(fit)))
        first = next(iter(laws.values()))
        columns = [*first.logged, *first.linear, *(["batch_size"] if first.needs_batch_size else [])]
        for quantity, measured in long.groupby("quantity", sort=False):
            if quantity in first.predicts:
                rows += _recipes(frame, measured, out, columns)
    result = pd.concat(rows, ignore_index=True)
    about = [name for name in ("task", *table.scales, "threshold", "loss", "batch_size") if name in frame]
    shown = frame[about].iloc[result["row"]].reset_index(drop=True)
    first_columns = ["method", "label", "quantity"]
    result = pd.concat([result[first_columns], shown, result.drop(columns=[*first_columns, "row"])], axis=1)
    return ValueBacktest(result, words)


def score_values(fit: Fit, frame: pd.DataFrame, measured: pd.DataFrame) -> pd.DataFrame:
    """Intervals and scores of withheld values, one row each; `measured` has the columns of `table.points()`."""
    asked = frame.iloc[measured["row"]].reset_index(drop=True)
    law = fit.law
    rng = np.random.default_rng([fit.seed, 7])
    centres = values_at(fit, asked, scatter=False)
    posterior = fit.tree["posterior"].dataset
    own = np.zeros(1)
    if "spread_cell" in posterior:
        cells = asked.groupby(["task", *law.logged], sort=False).ngroup().to_numpy()
        shape = (*posterior["spread_cell"].shape, cells.max() + 1)
        own = (posterior["spread_cell"].values[..., None] * rng.standard_normal(shape))[..., cells]
    rows = []
    for i, row in enumerate(measured.itertuples()):
        centre = (centres[row.quantity] + own)[..., i].ravel()
        scale = np.hypot(posterior[f"scatter_{row.quantity}"].values.ravel(), row.error)
        draws = centre + scale * rng.standard_t(TAIL, centre.shape)
        with np.errstate(divide="ignore"), jax.enable_x64(True):
            value, low, high = np.log([row.value, row.low, row.high])
            density = np.asarray(Clipped(centre, scale, low, high).log_prob(value))
        rows.append(
            {"row": row.row, "label": row.label, "quantity": row.quantity}
            | _scored(np.clip(draws, low, high), value, (low, high))
            | {"log_score": float(logsumexp(density) - np.log(len(density)))}
        )
    return pd.DataFrame(rows)


def _scored(draws: np.ndarray, value: float, ends: tuple[float, float]) -> dict[str, Any]:
    one_sided = value <= ends[0] or value >= ends[1]
    middle, low, high = np.quantile(draws, [0.5, 0.05, 0.95])
    row: dict[str, Any] = {"value": np.exp(value), "one_sided": one_sided}
    row |= {"median": np.exp(middle), "lower": np.exp(low), "upper": np.exp(high)}
    for level in LEVELS:
        low, high = np.quantile(draws, [0.5 - level / 200, 0.5 + level / 200])
        row["covered" if level == 90 else f"covered_{level}"] = bool(low <= value <= high)
    row["error"] = np.nan if one_sided else abs(middle - value)
    row["crps"] = float(scoringrules.crps_ensemble(value, draws))
    return row


def _recipes(frame: pd.DataFrame, measured: pd.DataFrame, out: np.ndarray, columns: list[str]) -> list[pd.DataFrame]:
    """Scores of the recipes; they know no one-sided values and leave those out of what they fit."""
    whole = frame.iloc[measured["row"]].assign(
        value=measured["value"].to_numpy(), low=measured["low"].to_numpy(), high=measured["high"].to_numpy()
    )
    seen = (whole["value"] > whole["low"]) & (whole["value"] < whole["high"])
    withheld = out[measured["row"]]
    train, test, asked = whole[seen.to_numpy() & ~withheld], whole[withheld], measured[withheld]
    tables = []
    for name, recipe in VALUE_RECIPES.items():
        expected = recipe(train, test, columns)
        if expected is None:
            continue
        rows = []
        for row, mean, sd in zip(asked.itertuples(), *expected, strict=True):
            with np.errstate(divide="ignore"):
                value, low, high = np.log([row.value, row.low, row.high])
            one_sided = not low < value < high
            scored = {"row": row.row, "label": row.label, "quantity": row.quantity, "value": row.value}
            scored |= {"one_sided": one_sided, "median": np.exp(mean)}
            if np.isfinite(mean):
                scored["error"] = np.nan if one_sided else abs(mean - value)
            if np.isfinite(mean) and sd > 0:
                z = (value - mean) / sd
                scored |= {"lower": np.exp(mean - 1.645 * sd), "upper": np.exp(mean + 1.645 * sd)}
                beyond = z if value >= high else -z  # where the interval reaches past a limit, it holds what lies there
                scored |= {"covered": (beyond if one_sided else abs(z)) <= 1.645}
                scored["log_score"] = float(norm.logsf(beyond) if one_sided else norm.logpdf(z) - np.log(sd))
                scored["crps"] = float(scoringrules.crps_ensemble(value, np.clip(mean + sd * QUANTILES, low, high)))
            rows.append(scored)
        tables.append(pd.DataFrame(rows).assign(method=name))
    return tables


def _parts(laws: Mapping[str, Law], table: Table, hold_out: ValueHoldOut) -> tuple[list[np.ndarray], str]:
    """Booleans of the rows that each refit is without, and all that in words."""
    frame = table.frame
    if callable(hold_out):
        out = pd.Series(hold_out(frame), frame.index)
        if out.dtype != bool:
            raise ValueError(f"hold_out must return booleans, one a row; received {out.dtype}.")
        parts, words = [out.to_numpy()], "rows withheld by a function"
    elif hold_out == "task":
        parts, words = [(frame["task"] == task).to_numpy() for task in table.tasks], "each task withheld in turn"
    elif hold_out == "largest":
        first = next(iter(laws.values()))
        names = [n for n in (*first.logged, "batch_size") if n in frame]
        vary = [n for n in names if frame[n].nunique() > 1]
        if not vary:
            raise ValueError("hold_out='largest' needs a scale with two values or more; pass a function of the rows.")
        largest = frame[vary[0]].max()
        parts, words = [(frame[vary[0]] == largest).to_numpy()], f"withheld {vary[0]} {largest:.3g}"
    else:
        raise ValueError(f"hold_out must be 'largest', 'task' or a function of table.frame, received {hold_out!r}.")
    if not all(part.any() and not part.all() for part in parts):
        raise ValueError(
            f"hold_out must withhold some rows and leave others: of {len(frame)} it withholds "
            f"{', '.join(str(int(part.sum())) for part in parts)}."
        )
    return parts, words
