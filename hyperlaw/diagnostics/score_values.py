"""How a law's predictions of withheld rows of measured values compare with what was measured."""

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
import pandas as pd
import scoringrules
from scipy.special import logsumexp
from scipy.stats import norm

from hyperlaw.data.table import Table
from hyperlaw.data.vocabulary import Row
from hyperlaw.diagnostics.baselines.values import VALUE_RECIPES
from hyperlaw.inference.cells import new_rows
from hyperlaw.inference.posterior import Posterior
from hyperlaw.intervals import LEVELS, Z90, ends_at, interval
from hyperlaw.models.law import Law
from hyperlaw.models.likelihoods import likelihood
from hyperlaw.models.likelihoods.censored_student_t import standard_noise
from hyperlaw.risk import Risk

QUANTILES = norm.ppf((np.arange(1000) + 0.5) / 1000)


class ValueScores:
    """Scores of predictions of withheld rows: what a backtest of measured values asks; see `SettingScores`."""

    baselines: Mapping[str, Any] = VALUE_RECIPES
    groups = ("method", "quantity")
    missed, unit = "error", "ln"
    means = ("covered_50", "covered_80", "covered", "error", "log_score", "crps")

    def __init__(
        self,
        laws: Mapping[str, Law],
        table: Table,
        *,
        sparse: int | None,
        repeats: int,
        risks: Mapping[str, Risk] | None,
    ) -> None:
        if sparse is not None or repeats != 1 or risks is not None:
            raise ValueError(
                f"sparse, repeats and risks are for Runs; received {type(table).__name__}, whose rows are predicted "
                "without a choice. Leave them out."
            )
        self._table, self._first = table, next(iter(laws.values()))
        self._long = table.points().assign(label=lambda rows: [table.labels[i] for i in rows["row"]])
        needs = likelihood(self._first, table).needs_at(table)
        # What the recipes regress on, and what may be extended: covariates, and a batch size that is given.
        self._columns = [name for name in needs if name not in self._first.labels]
        self.scales = tuple(name for name in self._columns if name not in self._first.linear)

    def train(self, out: np.ndarray, seed: int, repeat: int) -> tuple[Table, pd.Series]:
        """The table, and which rows of it to fit."""
        return self._table, pd.Series(~out, self._table.frame.index)

    def of_law(self, fit: Posterior, out: np.ndarray) -> Iterator[Row]:
        """One row a withheld value."""
        return score_values(fit, self._table.frame, self._long[out[self._long["row"]]])

    def of_baseline(self, name: str, train: Any, out: np.ndarray) -> Iterator[Row]:
        """One row a withheld value; the recipes know no one-sided ones and leave those out of what they fit."""
        law, frame = self._first, self._table.frame
        for quantity, measured in self._long.groupby("quantity", sort=False):
            if quantity in law.predicts:
                yield from _baseline(name, frame, measured, out, self._columns)

    def table(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The rows with their task, scales and the like, in the order of their columns."""
        frame = self._table.frame
        about = [n for n in ("task", *self._table.conditions, "batch_size") if n in frame and n not in rows]
        shown = frame[about].iloc[rows["row"]].reset_index(drop=True)
        first = ["method", "label", "quantity"]
        rest = rows.drop(columns=[*first, "row", "repeat"])
        return pd.concat([rows[first], shown, rest], axis=1)

    def counts(self, groups: Any) -> pd.DataFrame:
        """How many rows."""
        return groups["value"].agg(rows="size")


def score_values(fit: Posterior, frame: pd.DataFrame, measured: pd.DataFrame) -> Iterator[Row]:
    """Intervals and scores of withheld values, one row each; `measured` has the columns of `table.points()`."""
    likelihood, asked = fit.measured_values, frame.iloc[measured["row"]].reset_index(drop=True)
    p, x, batch = new_rows(fit, asked)
    centres = likelihood.centre(p, x, batch, likelihood.quantities(fit.table))
    shape = (*fit.shape, len(asked))
    noise = standard_noise(fit.rng("new value"), shape)
    for i, row in enumerate(measured.to_dict("records")):
        centre = np.broadcast_to(centres[row["quantity"]], shape)[..., i].ravel()
        of_row = {name: np.broadcast_to(v, shape)[..., i].ravel() for name, v in p.items() if np.ndim(v)}
        value = likelihood.value(of_row, row["quantity"], centre, row)
        with np.errstate(divide="ignore"):
            ends = np.log([row["low"], row["high"]])
        with jax.enable_x64(True):
            density = np.asarray(value.log_prob(np.log(row["value"])))
        yield (
            {"row": row["row"], "label": row["label"], "quantity": row["quantity"]}
            | _scored(value.placed(noise[..., i].ravel()), float(np.log(row["value"])), (ends[0], ends[1]))
            | {"log_score": float(logsumexp(density) - np.log(len(density)))}
        )


def _scored(draws: np.ndarray, value: float, ends: tuple[float, float]) -> Row:
    one_sided = value <= ends[0] or value >= ends[1]
    low, middle, high = interval(draws)
    row: Row = {"value": np.exp(value), "one_sided": one_sided}
    row |= {"median": np.exp(middle), "lower": np.exp(low), "upper": np.exp(high)}
    for level in LEVELS:
        low, high = ends_at(draws, level)
        row["covered" if level == 90 else f"covered_{level}"] = bool(low <= value <= high)
    row["error"] = np.nan if one_sided else abs(middle - value)
    row["crps"] = float(scoringrules.crps_ensemble(value, draws))
    return row


def _baseline(
    name: str, frame: pd.DataFrame, measured: pd.DataFrame, out: np.ndarray, columns: list[str]
) -> Iterator[Row]:
    """Scores of one recipe; nothing where it does not apply."""
    whole = frame.iloc[measured["row"]].assign(
        value=measured["value"].to_numpy(), low=measured["low"].to_numpy(), high=measured["high"].to_numpy()
    )
    seen = (whole["value"] > whole["low"]) & (whole["value"] < whole["high"])
    withheld = out[measured["row"]]
    train, test, asked = whole[seen.to_numpy() & ~withheld], whole[withheld], measured[withheld]
    expected = VALUE_RECIPES[name](train, test, columns)
    if expected is None:
        return
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
            scored |= {"lower": np.exp(mean - Z90 * sd), "upper": np.exp(mean + Z90 * sd)}
            beyond = z if value >= high else -z  # where the interval reaches past a limit, it holds what lies there
            scored |= {"covered": (beyond if one_sided else abs(z)) <= Z90}
            scored["log_score"] = float(norm.logsf(beyond) if one_sided else norm.logpdf(z) - np.log(sd))
            scored["crps"] = float(scoringrules.crps_ensemble(value, np.clip(mean + sd * QUANTILES, low, high)))
        yield scored
