"""What all sources share: a run as its tracker keeps it, and the table that is made of runs."""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pandas as pd

from hyperlaw.data.sources.stores import warn
from hyperlaw.quote import one_line, quote, some_of

# Columns that describe a run, besides its hyperparameters.
RUN_COLUMNS = ("run", "run_name", "state", "step")
# Step and value of each logged point, in the order in which they were logged.
Points: TypeAlias = Sequence[tuple[float, float]]
Where: TypeAlias = Mapping[str, object] | None


@dataclass(frozen=True)
class TrackedRun:
    """One run as its tracker keeps it.

    Attributes
    ----------
    run, name, state
        Its id, its name, and its state in the words of `hyperlaw.data.sources` (None where the tracker has none).
    hyperparameters
        By name, nested ones as mappings or with dots.
    metrics
        By name, the last value where the tracker keeps one, else None.
    points
        Reads the history of a metric; empty where there is none.
    """

    run: str
    name: str
    state: str | None
    hyperparameters: Mapping[str, object]
    metrics: Mapping[str, object]
    points: Callable[[str], Points]


@dataclass(frozen=True)
class Reading:
    """What was asked of a source, checked before anything is read; the arguments are those of every source."""

    where: Where
    final: str
    history: Sequence[str] | None

    def __post_init__(self) -> None:
        if self.where is not None and not isinstance(self.where, Mapping):
            raise ValueError(
                "where must be a mapping from columns to values, such as {'state': 'finished'}, received "
                f"{quote(self.where)}."
            )
        final_rule(self.final)
        if self.history is None:
            return
        if isinstance(self.history, str) or not self.history or not all(isinstance(n, str) for n in self.history):
            raise ValueError(
                f"history must be a list of names of metrics, such as ['loss'], received {quote(self.history)}. "
                "Leave it out for one row a run."
            )
        if self.final != "last":
            raise ValueError(
                f"final={quote(self.final)} is about one row a run, but history={quote(self.history)} asks for one "
                "row a logged point. Leave one of them out."
            )

    def table(self, runs: Sequence[TrackedRun]) -> pd.DataFrame:
        """The table of these runs, one row a run or one row a logged point.

        Raises
        ------
        ValueError
            When `where` names a column that is not there or keeps no run, or no run that is kept logged a metric.
        """
        described = _described(runs)
        kept = _kept(described, self.where or {})
        runs = [runs[row] for row in kept]
        described = described.iloc[kept].reset_index(drop=True)
        names = list(dict.fromkeys(name for run in runs for name in run.metrics))
        columns = _metric_columns(names if self.history is None else self.history, described)
        if self.history is not None:
            return _one_row_a_point(described, runs, columns, names)
        finals = [_finals(run, names, self.final) for run in runs]
        metrics = pd.DataFrame(finals, columns=names, index=described.index).rename(columns=columns)
        return pd.concat([described, metrics.apply(numbers)], axis=1)


def final_rule(final: str) -> tuple[str, float]:
    """The word and the number of `final`: ("last", 1), ("mean", points) or ("smooth", half-life in points).

    Raises
    ------
    ValueError
        When it is none of these; the text says why the minimum is refused.
    """
    allowed = "Allowed are 'last', 'mean:10' (mean of the last 10 logged points) and 'smooth:100' (exponential moving "
    allowed += "average with a half-life of 100 logged points)."
    word, _, given = str(final).partition(":")
    if word.lower() in ("min", "minimum", "best", "lowest"):
        raise ValueError(
            f"final={quote(final)} is refused: the minimum of a noisy curve lies below its expectation, the more so "
            f"the longer the curve, which favours long runs. {allowed}"
        )
    size = _float(given) or 0.0
    if final == "last":
        return "last", 1.0
    usable = math.isfinite(size) and size > 0
    if usable and (word == "smooth" or (word == "mean" and size == round(size))):
        return word, size
    raise ValueError(f"final must be a rule for the final value of a metric, received {quote(final)}. {allowed}")


def final_value(values: np.ndarray, final: str) -> float:
    """The final value of a curve by the rule `final`."""
    rule, size = final_rule(final)
    if rule != "smooth":
        return float(np.mean(values[-int(size) :]))
    # Beyond 50 half-lives a weight is below the precision of a float.
    recent = values[-math.ceil(50 * size) :]
    weights = 0.5 ** (np.arange(len(recent))[::-1] / size)
    return float(weights @ recent / weights.sum())


def flat(nested: Mapping[str, object], above: str = "") -> dict[str, object]:
    """Nested mappings with dots in their names; what is no number, boolean or text becomes JSON text."""
    found: dict[str, object] = {}
    for name, value in nested.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{above}{name}.")
        elif value is None or isinstance(value, str | bool | int | float):
            found[f"{above}{name}"] = value
        else:
            found[f"{above}{name}"] = json.dumps(value, default=str)
    return found


def numbers(values: pd.Series) -> pd.Series:
    """A column as numbers, or as booleans, where each of its values is one, as text or not; else as it is."""
    plain = values.astype(object)
    text = plain.map(lambda value: value.strip().lower() if isinstance(value, str) else None)
    if plain.notna().eq(text.isin(["true", "false"])).all():
        return text.map({"true": True, "false": False}) if text.notna().any() else values
    if plain.map(lambda value: isinstance(value, bool | np.bool_)).any():
        return values
    try:
        return pd.to_numeric(plain.mask(text == "nan", math.nan))
    except (TypeError, ValueError):
        return values


def points_of(rows: Iterable[tuple[object, object]]) -> list[tuple[float, float]]:
    """The rows (step and value) in which both are numbers, "NaN" and "Infinity" as text among them."""
    read = [(_float(step), _float(value)) for step, value in rows]
    return [(step, value) for step, value in read if step is not None and value is not None]


def _float(value: object) -> float | None:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None


def _described(runs: Sequence[TrackedRun]) -> pd.DataFrame:
    """Id, name, state and hyperparameters, one row a run."""
    settings = pd.DataFrame([flat(run.hyperparameters) for run in runs], index=range(len(runs)))
    taken = {name: f"params.{name}" for name in settings if name in RUN_COLUMNS}
    _say_renamed("hyperparameter", taken)
    heads = pd.DataFrame({"run": [run.run for run in runs], "run_name": [run.name for run in runs]})
    if any(run.state is not None for run in runs):
        heads["state"] = [run.state for run in runs]
    return pd.concat([heads, settings.rename(columns=taken).apply(numbers)], axis=1)


def _metric_columns(names: Sequence[str], described: pd.DataFrame) -> dict[str, str]:
    """Column of each metric: its name, unless a run's own column has that."""
    columns = {name: f"metrics.{name}" if name in (*described, *RUN_COLUMNS) else name for name in names}
    _say_renamed("metric", {name: column for name, column in columns.items() if name != column})
    return columns


def _say_renamed(kind: str, columns: Mapping[str, str]) -> None:
    if columns:
        renamed = some_of(f"{quote(name)} is in the column {quote(column)}" for name, column in columns.items())
        warn(f"another column has the name of a {kind}: {kind} {renamed}.")


def _kept(described: pd.DataFrame, where: Mapping[str, object]) -> list[int]:
    """Positions of the runs for which `where` holds."""
    kept = list(range(len(described)))
    for column, wanted in where.items():
        if column not in described:
            raise ValueError(f"where: there is no column {quote(column)}. Runs are described by: {some_of(described)}.")
        several = isinstance(wanted, Iterable) and not isinstance(wanted, str)
        values = [_plain(value) for value in wanted] if several else [_plain(wanted)]  # type: ignore[attr-defined]
        there = described[column].iloc[kept]
        kept = [row for row, value in zip(kept, there, strict=True) if _plain(value) in values]
        if not kept:
            raise ValueError(
                f"where: no run is left with {one_line(column)} {quote(wanted)}. There it is: "
                f"{some_of(there.unique())}."
            )
    return kept


def _plain(value: object) -> object:
    """A value to compare by: numbers and booleans that are given as text equal those that are not."""
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool | np.bool_) or str(value).lower() in ("true", "false"):
        return str(value).lower()
    number = _float(value)
    return str(value) if number is None else number


def _finals(run: TrackedRun, names: Sequence[str], final: str) -> dict[str, object]:
    """Final value of each metric of a run."""
    finals = {name: run.metrics[name] for name in names if name in run.metrics}
    unread = [name for name, value in finals.items() if value is None or final != "last"]
    curves = _curves(run, unread)
    return finals | {name: final_value(curve.to_numpy(), final) for name, curve in curves.items()}


def _one_row_a_point(
    described: pd.DataFrame, runs: Sequence[TrackedRun], columns: Mapping[str, str], known: Sequence[str]
) -> pd.DataFrame:
    """The histories of the metrics in `columns`, the description of the run in each row."""
    curves = [_curves(run, columns) for run in runs]
    for name in columns:
        if not any(name in found for found in curves):
            raise ValueError(
                f"history: no run logged {quote(name)} by step. Metrics that were logged: {some_of(known)}."
            )
    silent = [run.name for run, found in zip(runs, curves, strict=True) if not found]
    if silent:
        warn(f"{len(silent)} runs logged none of {some_of(columns)} and have no rows: {some_of(silent)}.")
    joined = pd.concat(
        {row: pd.DataFrame(found, columns=list(columns)).sort_index() for row, found in enumerate(curves) if found}
    ).rename(columns=columns)
    steps = joined.index.get_level_values(1).to_numpy()
    of_run = described.iloc[joined.index.get_level_values(0)].reset_index(drop=True)
    heads = [name for name in RUN_COLUMNS if name in described]
    step = pd.Series(steps.astype(int) if (steps == steps.round()).all() else steps, name="step")
    return pd.concat([of_run[heads], step, joined.reset_index(drop=True), of_run.drop(columns=heads)], axis=1)


def _curves(run: TrackedRun, names: Iterable[str]) -> dict[str, pd.Series]:
    """Values by step, steps ascending, of the metrics that the run logged."""
    curves, again, unnumbered = {}, [], []
    for name in names:
        # A run may have logged what it keeps no last value of: the summary of Weights & Biases may be a minimum.
        points = run.points(name)
        if not points:
            continue
        steps, values = zip(*points, strict=True)
        if len(steps) > 1 and len(set(steps)) == 1:
            unnumbered.append(name)
            steps = tuple(range(len(values)))
        curve = pd.Series(values, index=pd.Index(steps, dtype=float), dtype=float)
        if not (curve.index.is_monotonic_increasing and curve.index.is_unique):
            again.append(name)
            curve = curve[~curve.index.duplicated(keep="last")].sort_index()
        curves[name] = curve
    if again:
        warn(
            f"run {quote(run.name)} went back to earlier steps or repeated them (was it restarted?): the latest value "
            f"of each step is kept, of {some_of(again)}."
        )
    if unnumbered:
        warn(
            f"run {quote(run.name)} logged all points at one step: they are numbered in the order logged, of "
            f"{some_of(unnumbered)}."
        )
    return curves
