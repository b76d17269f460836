"""How a law's choice and intervals for withheld cells compare with the runs that were made there."""

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
import pandas as pd
import scoringrules
from scipy.special import logsumexp

from hyperlaw.data.estimators.local_surface import local_surface
from hyperlaw.data.runs import Runs
from hyperlaw.data.vocabulary import HYPERPARAMETERS, RUN_SCALES, At, Row
from hyperlaw.diagnostics.baselines.settings import RECIPES
from hyperlaw.diagnostics.ground_truth import GroundTruth, ground_truth
from hyperlaw.diagnostics.sweep_checks import most_batch_sizes
from hyperlaw.inference.cells import new_cell
from hyperlaw.inference.posterior import Posterior
from hyperlaw.inference.predict import predict
from hyperlaw.intervals import LEVELS, ends_at, held
from hyperlaw.models.law import Law
from hyperlaw.models.likelihoods.censored_student_t import standard_noise
from hyperlaw.models.likelihoods.loss_surface import edges, reach
from hyperlaw.risk import CVaR, Mean, Quantile, Risk, choose
from hyperlaw.streams import generator

RISKS: dict[str, Risk] = {"mean": Mean(), "quantile90": Quantile(0.9), "cvar90": CVaR(0.9)}
TRIES = 100
REPLICATES = 500


class SettingScores:
    """Scores of settings chosen for withheld cells of runs: what a backtest of runs asks.

    Attributes
    ----------
    baselines
        Recipes by name.
    scales
        What may be extended, the first first.
    groups, means
        Columns that a summary groups by, and those that it averages.
    missed, unit
        Column that says how far a method misses, and its unit.
    """

    baselines: Mapping[str, Any] = RECIPES
    scales = RUN_SCALES
    groups = ("method", "risk")
    missed = "regret"
    means = (
        "regret_nearest", "covered_regret", "inside_regret", "covered_learning_rate", "covered_batch_size",
        "covered_loss", "inside_learning_rate", "inside_batch_size", "inside_loss", "covered_runs", "log_score",
        "crps",
    )  # fmt: skip

    def __init__(
        self, laws: Mapping[str, Law], runs: Runs, *, sparse: int | None, repeats: int, risks: Mapping[str, Risk] | None
    ) -> None:
        self.unit = runs.loss_unit
        self._runs, self._sparse, self._risks = runs, sparse, RISKS if risks is None else risks
        if not self._risks:
            raise ValueError("backtest needs a risk or more, received none.")
        if sparse is not None and sparse < 3:
            raise ValueError(f"sparse must be 3 runs a cell or more, received {sparse}.")
        if repeats < 1:
            raise ValueError(f"repeats must be 1 or more, received {repeats}.")
        if repeats > 1 and sparse is None:
            raise ValueError(
                f"repeats={repeats} would fit the same runs {repeats} times; pass sparse to draw them anew."
            )

    def train(self, out: np.ndarray, seed: int, repeat: int) -> tuple[Runs, None]:
        """The runs to fit."""
        small = self._runs.where(pd.Series(~out, self._runs.frame.index))
        if self._sparse is None:
            return small, None
        return _subsample(small, self._sparse, generator(seed, "sparse", repeat)), None

    def of_law(self, fit: Posterior, out: np.ndarray) -> Iterator[Row]:
        """One row a withheld cell and risk."""
        train = fit.runs
        for cell, group, where in self._cells(out, train):
            at: dict[str, float | str | None] = {name: where[name] for name in fit.law.covariates}
            if "batch_size" in fit.likelihood.needs_at(train):
                at["batch_size"] = float(group["batch_size"].iloc[0])
            if len(train.tasks) > 1:
                task = group["task"].iloc[0]
                at["task"] = task if task in train.tasks else None
            for row in score_law(fit, at, group, self._risks):
                yield {"cell": cell} | where | row

    def of_baseline(self, name: str, train: Any, out: np.ndarray) -> Iterator[Row]:
        """One row a withheld cell."""
        for cell, group, where in self._cells(out, train):
            setting = RECIPES[name](_same_task(train, group["task"].iloc[0]), where)
            scored = score_setting(group, setting, given=most_batch_sizes(self._runs) == 1) if setting else {}
            yield {"risk": "", "cell": cell} | where | scored

    def table(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The rows in the order of their columns."""
        first = ["method", "cell", "repeat", "risk"]
        return rows[[*first, *rows.columns.drop(first)]]

    def counts(self, groups: Any) -> pd.DataFrame:
        """How many cells, and mean and worst regret."""
        return groups["regret"].agg(cells="size", regret="mean", regret_worst="max")

    def _cells(self, out: np.ndarray, train: Runs) -> Iterator[tuple[int, pd.DataFrame, dict[str, float]]]:
        """Withheld cells: their runs, scales, and by how many decades in all they lie beyond what is fitted."""
        scales = list(self._runs.scales)
        low, high = train.cells[scales].min(), train.cells[scales].max()
        for cell, group in self._runs.frame[out].groupby("cell"):
            where = {name: float(group[name].iloc[0]) for name in scales}
            beyond = [max(np.log10(where[n] / high[n]), np.log10(low[n] / where[n]), 0.0) for n in scales]
            yield int(cell), group, where | {"decades": float(sum(beyond))}


def _subsample(runs: Runs, size: int, rng: np.random.Generator) -> Runs:
    """At most `size` runs of each cell, drawn until they are a sweep."""
    frame = runs.frame
    for _ in range(TRIES):
        drawn = [
            rng.choice(group, min(size, len(group)), replace=False) for group in frame.groupby("cell").indices.values()
        ]
        keep = np.zeros(len(frame), bool)
        keep[np.concatenate(drawn)] = True
        try:
            return runs.where(pd.Series(keep, frame.index))
        except ValueError as error:
            refused = error
    raise ValueError(f"in {TRIES} draws of {size} runs a cell none was a sweep: {refused}")


def _same_task(runs: Runs, task: str) -> Runs:
    """Runs of one task, all where it is new: recipes know no tasks."""
    return runs.where(runs.frame["task"] == task) if len(runs.tasks) > 1 and task in runs.tasks else runs


def score_setting(cell: pd.DataFrame, setting: Mapping[str, float], *, given: bool = False) -> dict[str, float]:
    """What a setting lost in a withheld cell: `regret` on the local surface and `regret_nearest`, nats."""
    truth = ground_truth(cell, setting, given=given)
    return {name: setting[name] for name in HYPERPARAMETERS} | {
        "regret": truth.regret_surface,
        "regret_nearest": truth.regret_nearest,
    }


def score_law(fit: Posterior, at: At, cell: pd.DataFrame, risks: Mapping[str, Risk]) -> list[Row]:
    """One row a risk measure: its choice, what that lost, and whether the law's intervals held.

    The measured optimum and regret are estimates from noisy runs. Their noise is taken in by simulation: in every draw
    the withheld runs are simulated at their own settings and put through the same estimate, and the interval
    that must hold the measured value is that of these estimates. `inside_*` is the same for the predictive
    interval itself, as a user sees it, with the target's noise left out.

    Parameters
    ----------
    fit
        The law, fitted without the cell.
    at
        The cell's covariates, and its task.
    cell
        Its runs, columns as in `Runs.frame`.
    risks
        Attitudes to risk by name.
    """
    prediction = predict(fit, at)
    regret = prediction.draws["regret"].stack(sample=("chain", "draw")).transpose("sample", "candidate").values
    settings = {name: prediction.draws[name].values for name in HYPERPARAMETERS}
    chosen = {name: choose(risk, regret)[0] for name, risk in risks.items()}
    picks = {name: {h: float(settings[h][i]) for h in HYPERPARAMETERS} for name, i in chosen.items()}

    runs = _Simulated(fit, at, cell)
    estimates = runs.estimates(list(picks.values()))
    given = fit.surface.given(fit.runs)
    truth = ground_truth(cell, next(iter(picks.values())), given=given)  # its optimum is the same for every choice
    common = runs.scores() | _optimum_covered(prediction.table, estimates, truth)
    rows = []
    for position, (name, pick) in enumerate(picks.items()):
        bound = float(np.quantile(regret[:, chosen[name]], 0.9))
        lost_by = estimates[np.isfinite(estimates[:, 3 + position]), 3 + position]
        noisy = float(np.quantile(lost_by, 0.9)) if lost_by.size else np.nan
        lost = score_setting(cell, pick, given=given)
        held = {
            "regret_expected": float(regret[:, chosen[name]].mean()),
            "regret_q90": bound,
            "regret_cvar90": float(CVaR(0.9)(regret[:, [chosen[name]]])[0]),
            "inside_regret": _held(lost["regret"] <= bound, lost["regret"]),
            "measured_regret_q90": noisy,
            "covered_regret": _held(lost["regret"] <= noisy, lost["regret"]),
        }
        rows.append({"risk": name} | lost | held | common)
    return rows


def _optimum_covered(table: pd.DataFrame, estimates: np.ndarray, truth: GroundTruth) -> Row:
    """Whether intervals of the optimum held, and the share of simulated estimates below the measured one."""
    row: Row = {}
    for position, name in enumerate((*HYPERPARAMETERS, "loss")):
        value = truth.optimum[name]
        draws = estimates[np.isfinite(estimates[:, position]), position]
        if not draws.size:  # settings that never show an optimum cannot be asked about one
            value = np.nan
        row[f"measured_{name}"] = value
        row[f"inside_{name}"] = _held(table.loc[name, "lower"] <= value <= table.loc[name, "upper"], value)
        row[f"pit_{name}"] = float(np.mean(draws < value)) if np.isfinite(value) else np.nan
        row[f"width_{name}"] = table.loc[name, "upper"] - table.loc[name, "lower"]
        for level in LEVELS:
            low, high = ends_at(draws, level) if draws.size else (np.nan, np.nan)
            suffix = "" if level == 90 else f"_{level}"
            row[f"covered_{name}{suffix}"] = _held(low <= value <= high, value)
    return row


def _held(answer: bool, value: float) -> bool | None:
    """The answer, or None where the cell's runs have no measured optimum to ask about."""
    return bool(answer) if np.isfinite(value) else None


class _Simulated:
    """The withheld runs of one cell as a fit expects them, at their own settings."""

    def __init__(self, fit: Posterior, at: At, cell: pd.DataFrame) -> None:
        new = new_cell(fit, at)
        run = fit.surface.run_loss(new.p, new.x, *(np.log(cell[name].to_numpy(float)) for name in HYPERPARAMETERS))
        shape = (-1, len(cell))
        self._run = type(run)(*(np.broadcast_to(values, run.excess.shape).reshape(shape) for values in run))
        noise = standard_noise(fit.rng("run noise"), self._run.excess.shape)
        self._draws = self._run.placed(noise)
        # Of the runs fitted, whatever the fit's own window: scores of all fits are of the same readings.
        self._edge = edges(cell, reach(fit.runs.frame))
        self._cell, self._given = cell, fit.surface.given(fit.runs)
        self._alive = ~cell["diverged"].to_numpy()

    def scores(self) -> dict[str, float]:
        """Coverage of the runs' losses, log score (mean over all runs, divergence included) and CRPS.

        Losses, measured and simulated, are read at the edge of the cell, as the model reads them.
        """
        edge = self._edge[self._alive]
        loss = np.minimum(self._cell["loss"].to_numpy()[self._alive], edge)
        draws = np.minimum(self._draws[:, self._alive], edge)
        row = {}
        for level in LEVELS:
            row["covered_runs" if level == 90 else f"covered_runs_{level}"] = float(held(draws, loss, level).mean())
        with jax.enable_x64(True):
            density = np.asarray(self._run.log_density(self._cell["loss"].to_numpy(float), self._edge))
        row["log_score"] = float(np.mean(logsumexp(density, axis=0) - np.log(len(density))))
        row["crps"] = float(np.mean(scoringrules.crps_ensemble(loss, draws, m_axis=0)))
        return row

    def estimates(self, picks: list[dict[str, float]]) -> np.ndarray:
        """Estimates from simulated runs: optimum (learning rate, batch size), its loss, then each pick's regret.

        Shape (replicate, 3 + picks); NaN where simulated runs have no minimum. Runs of one setting (seeds) are
        averaged, as the measured ones are.
        """
        frame = self._cell[self._alive]
        groups = frame.groupby(list(HYPERPARAMETERS))
        member = groups.ngroup().to_numpy()
        logs = np.log(groups["loss"].mean().reset_index()[list(HYPERPARAMETERS)].to_numpy())
        averaging = np.equal.outer(np.arange(len(logs)), member) / np.bincount(member)[:, None]
        draws = self._draws[:, self._alive]
        means = draws[:: max(1, len(draws) // REPLICATES)] @ averaging.T
        places = np.log([[pick[name] for name in HYPERPARAMETERS] for pick in picks])
        nearest = [int(np.argmin(((logs - place) ** 2).sum(axis=1))) for place in places]
        rows = []
        for loss in means:
            surface = local_surface(logs, loss, along_rate=self._given)
            regrets = [surface.regret(place, loss[i]) for place, i in zip(places, nearest, strict=True)]
            rows.append([*np.exp(surface.optimum), surface.loss, *regrets])
        return np.array(rows)
