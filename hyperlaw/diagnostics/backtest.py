"""`backtest`: refit without the largest scales, decide for them, and score against the runs made there."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from hyperlaw.data.runs import SCALES, Runs
from hyperlaw.data.table import Table
from hyperlaw.diagnostics.backtest_values import ValueBacktest, backtest_values
from hyperlaw.diagnostics.recipes import RECIPES
from hyperlaw.diagnostics.score import score_law, score_setting
from hyperlaw.inference.refit import quality, refit
from hyperlaw.models.law import Law
from hyperlaw.progress import track
from hyperlaw.risk import CVaR, Mean, Quantile, Risk

RISKS: dict[str, Risk] = {"mean": Mean(), "quantile90": Quantile(0.9), "cvar90": CVaR(0.9)}
HoldOut = str | Callable[[pd.DataFrame], pd.Series] | Sequence[int]
TRIES = 100


@dataclass(frozen=True, eq=False)
class Backtest:
    """What `backtest` returns.

    Attributes
    ----------
    table
        One row a (method, cell, repeat, risk). `method` is a law's name or a recipe's; `cell` that of the runs given;
        then its scales. `risk` is empty for recipes. `learning_rate, batch_size`: the choice. `regret`: what it
        lost on a smooth surface through the cell's lowest losses, nats; `regret_nearest`: what the nearest run lost.
        For laws alone: `regret_q90`, the predicted bound, and `inside_regret`, whether it held;
        `covered_learning_rate, covered_batch_size, covered_loss, covered_regret`: whether 90 % intervals held
        the measured optimum and regret, with the target's own noise simulated and taken in (`_50` and `_80` at those
        levels; `pit_*` the share of simulated estimates below the measured one; `measured_regret_q90` the bound with
        that noise); `inside_*`: the same without it; `width_*`: of the 90 % interval of the optimum;
        `covered_runs` (`_50`, `_80`): share of the cell's runs whose loss lies in its predictive interval;
        `log_score` (mean log density of a run, its divergence included) and `crps` (nats); `decades`: how far the
        cell lies beyond the runs; `divergences` and `r_hat` of the fit. None where the cell's runs have no optimum.
    withheld
        What was withheld, in words.
    """

    table: pd.DataFrame
    withheld: str

    @property
    def summary(self) -> pd.DataFrame:
        """One row a (method, risk): mean and worst regret, and shares of intervals that held."""
        groups = self.table.groupby(["method", "risk"], sort=False)
        means = [
            "regret_nearest", "covered_regret", "inside_regret", "covered_learning_rate", "covered_batch_size",
            "covered_loss", "inside_learning_rate", "inside_batch_size", "inside_loss", "covered_runs", "log_score",
            "crps",
        ]  # fmt: skip
        table = groups["regret"].agg(cells="size", regret="mean", regret_worst="max")
        numbers = self.table.assign(**{name: self.table[name].astype(float) for name in means})
        return table.join(numbers.groupby(["method", "risk"], sort=False)[means].mean())

    def __repr__(self) -> str:
        return f"Backtest, {self.withheld}.\n{self.summary.to_string(float_format='{:.4g}'.format)}"


def backtest(
    laws: Mapping[str, Law],
    runs: Table,
    *,
    seed: int,
    hold_out: HoldOut = "largest",
    sparse: int | None = None,
    repeats: int = 1,
    risks: Mapping[str, Risk] | None = None,
    progress: bool = True,
) -> Backtest | ValueBacktest:
    """Withhold the largest scales, fit the rest, choose settings for what was withheld, and score them.

    Beside the laws stand the recipes that people use by hand (`hyperlaw.diagnostics.recipes`); the one that needs
    scikit-learn is run where that is installed.

    Parameters
    ----------
    laws
        Laws by name.
    runs
        All runs, the withheld ones included. Or `Optima`, `Crossings` or `StepsToLoss`: then measured values are
        predicted and scored instead, as in `hyperlaw.diagnostics.backtest_values`, and `sparse`, `repeats` and `risks`
        have no meaning.
    seed
        Determines subsampling and every draw.
    hold_out
        `"largest"`: the largest value of the first of params, width, data, utd that has three values or more
        (two when none has); `"largest:2"`: its two largest; a function of `runs.frame` that returns booleans; or a
        list of cells of `runs`. For tables other than runs also `"task"`: each task in turn.
    sparse
        Keep this many runs of each cell, drawn at random; all when left out.
    repeats
        How often to draw them.
    risks
        Attitudes to risk by name; left out, mean, 90 % quantile and CVaR(0.9).
    progress
        Whether to show a progress bar.

    Returns
    -------
    Backtest or ValueBacktest
        A tidy table and its summary. Repeats have equal shapes and share one compiled program.

    Raises
    ------
    ValueError
        When there is no law or no risk, `hold_out` names nothing or leaves no sweep, `sparse` or `repeats` is out of
        range, or a law needs a scale that the runs lack.
    """
    if not isinstance(runs, Runs):
        if sparse is not None or repeats != 1 or risks is not None:
            raise ValueError(
                f"sparse, repeats and risks are for Runs; received {type(runs).__name__}, whose rows are predicted "
                "without a choice. Leave them out."
            )
        if not isinstance(hold_out, str) and not callable(hold_out):
            raise ValueError(f"cells are named of Runs alone; for {type(runs).__name__} pass a function of its frame.")
        return backtest_values(laws, runs, seed=seed, hold_out=hold_out, progress=progress)
    risks = RISKS if risks is None else risks
    _check(laws, risks, sparse, repeats)
    out, words = _withheld(runs, hold_out)
    small = runs.where(~out)
    frame = runs.frame
    cells = [(int(cell), group) for cell, group in frame[out].groupby("cell")]
    rows: list[dict[str, Any]] = []
    for repeat in track(range(repeats), "backtest", disable=not progress):
        train = small if sparse is None else _subsample(small, sparse, np.random.default_rng([seed, repeat]))
        for name, law in laws.items():
            fit = refit(law, train, seed=seed + repeat)
            about = {"method": name, "repeat": repeat} | quality(fit)
            for cell, group in cells:
                where = _scales(runs, cell, train)
                at = {covariate: where[covariate] for covariate in law.covariates}
                if len(train.tasks) > 1:
                    at["task"] = group["task"].iloc[0] if group["task"].iloc[0] in train.tasks else None
                rows += [about | {"cell": cell} | where | row for row in score_law(fit, at, group, risks)]
        for name, recipe in RECIPES.items():
            for cell, group in cells:
                where = _scales(runs, cell, train)
                setting = recipe(_same_task(train, group["task"].iloc[0]), where)
                scored = score_setting(group, setting) if setting else {}
                rows.append({"method": name, "repeat": repeat, "risk": "", "cell": cell} | where | scored)
    first = ["method", "cell", "repeat", "risk"]
    table = pd.DataFrame(rows)
    return Backtest(table[[*first, *table.columns.drop(first)]], words)


def _check(laws: Mapping[str, Law], risks: Mapping[str, Risk], sparse: int | None, repeats: int) -> None:
    if not laws or not risks:
        raise ValueError(f"backtest needs a law and a risk or more, received {len(laws)} and {len(risks)}.")
    taken = [name for name in laws if name in RECIPES]
    if taken:
        raise ValueError(f"a law is named {taken[0]!r}, as a recipe is. The recipes are: {', '.join(RECIPES)}.")
    if sparse is not None and sparse < 3:
        raise ValueError(f"sparse must be 3 runs a cell or more, received {sparse}.")
    if repeats < 1:
        raise ValueError(f"repeats must be 1 or more, received {repeats}.")
    if repeats > 1 and sparse is None:
        raise ValueError(f"repeats={repeats} would fit the same runs {repeats} times; pass sparse to draw them anew.")


def _withheld(runs: Runs, hold_out: HoldOut) -> tuple[pd.Series, str]:
    """Which runs are withheld, and that in words."""
    frame = runs.frame
    if isinstance(hold_out, str):
        kind, _, number = hold_out.partition(":")
        if kind != "largest" or not (number or "1").isdigit() or int(number or 1) < 1:
            raise ValueError(
                f'hold_out must be "largest", "largest:2", a function of runs.frame or a list of cells; received '
                f"{hold_out!r}."
            )
        scale = _scale_to_extend(runs)
        values = sorted(frame[scale].unique())[-int(number or 1) :]
        out, words = frame[scale].isin(values), f"withheld {scale} " + ", ".join(f"{v:.3g}" for v in values)
    elif callable(hold_out):
        out = pd.Series(hold_out(frame), index=frame.index)
        if out.dtype != bool:
            raise ValueError(f"hold_out must return booleans, one a run; received {out.dtype}.")
        words = f"withheld {frame.loc[out, 'cell'].nunique()} cells by a function"
    else:
        unknown = sorted(set(hold_out) - set(frame["cell"]))
        if unknown:
            raise ValueError(f"there is no cell {unknown[0]!r}; runs.cells lists them: 0 to {frame['cell'].max()}.")
        out, words = frame["cell"].isin(list(hold_out)), f"withheld cells {', '.join(map(str, hold_out))}"
    split = frame.loc[out, "cell"].isin(frame.loc[~out, "cell"])
    if not out.any() or out.all() or split.any():
        raise ValueError(
            "hold_out must withhold some whole cells and leave others: it withholds "
            f"{int(out.sum())} of {len(out)} runs, {int(split.sum())} of them from cells that it also keeps."
        )
    return out, words


def _scale_to_extend(runs: Runs) -> str:
    counts = {name: runs.cells[name].nunique() for name in SCALES if name in runs.scales}
    for least in (3, 2):
        for name, count in counts.items():
            if count >= least:
                return name
    raise ValueError("hold_out='largest' needs a scale with two values or more; name the cells to withhold instead.")


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


def _scales(runs: Runs, cell: int, train: Runs) -> dict[str, Any]:
    """Scales of a cell, and by how many decades in all it lies beyond the runs that are fitted."""
    where = {name: float(runs.cells.loc[cell, name]) for name in runs.scales}
    low, high = train.cells[list(runs.scales)].min(), train.cells[list(runs.scales)].max()
    beyond = [max(np.log10(where[n] / high[n]), np.log10(low[n] / where[n]), 0.0) for n in runs.scales]
    return where | {"decades": float(sum(beyond))}


def _same_task(runs: Runs, task: str) -> Runs:
    """Runs of one task, all where it is new: recipes know no tasks."""
    return runs.where(runs.frame["task"] == task) if len(runs.tasks) > 1 and task in runs.tasks else runs
