"""Whether a table holds the contrasts that a law is identified by: refused where it has none, reviewed where few."""

from itertools import combinations
from typing import NamedTuple

import numpy as np

from hyperlaw.data.table import Table
from hyperlaw.models.law import LAWS, Law
from hyperlaw.quote import quote, some_of

LEAST_RATIO = {"utd": 4.0, "batch_size": 8.0}
RATIO = 3.0
COLLINEAR = 0.95
SPAN = 0.1


class Contrast(NamedTuple):
    """One contrast of a table: what it is, its value, the least or most that is needed, and what lacks without it."""

    name: str
    value: float
    low: float
    high: float
    advice: str

    @property
    def good(self) -> bool:
        """Whether the table has it."""
        return self.low <= self.value <= self.high


def identified(law: Law, table: Table) -> None:
    """Refuse a table in which nothing that the law says can be seen.

    Raises
    ------
    ValueError
        When a law over batch sizes is given a single one in every task, or a task holds several of its curves, or none
        of a law's covariates varies.
    """
    ranges = _ratios(law, table)
    still = [name for name, ratio in ranges.items() if ratio <= 1]
    if law.needs_batch_size and "batch_size" in still:
        raise ValueError(
            f"{law.name} says how {law.predicts[0]} moves with the batch size, but every task of this table has a "
            "single batch size: nothing of the curve is known. Add rows at batch sizes a factor of "
            f"{LEAST_RATIO['batch_size']:g} or more apart."
        )
    if law.says_loss and "batch_size" in still:
        raise ValueError(
            f"{law.name} tells the best batch size from losses at several, but every task of this table has a single "
            f"one. Add runs at batch sizes a factor of {LEAST_RATIO['batch_size']:g} or more apart, or fit StepLaw, "
            "which is then a law of the learning rate at that batch size."
        )
    if law.needs_batch_size and not law.logged:
        _one_curve_a_task(law, table)
    if law.logged and set(law.logged) <= set(still):
        raise ValueError(
            f"{law.name} says how {' and '.join(law.predicts)} move with {', '.join(law.logged)}, none of which "
            "varies in this table: no exponent is known. Add rows at other values."
        )


def lacks(law: Law, table: Table) -> None:
    """Refuse a table without a column that the law needs.

    Raises
    ------
    ValueError
        In that case; the text names the laws that can be fitted to it.
    """
    columns = list(table.frame.columns)
    needs = (*law.covariates, *(["batch_size"] if law.needs_batch_size else []))
    missing = [name for name in needs if name not in columns]
    if not missing:
        return
    others = [
        name
        for name, other in LAWS.items()
        if table.kind in other.tables
        and set(other().on(columns).covariates) <= set(columns)
        and (not other.needs_batch_size or "batch_size" in columns)
    ]
    raise ValueError(
        f"{law.title} needs {', '.join(missing)}, which this table does not have; its columns are "
        f"{some_of(columns)}. Name the column when making the table"
        + (
            f", or fit {', '.join(others)}."
            if others
            else f"; no law of hl.laws describes it as it is.{table.without_a_law}"
        )
    )


def several_cells(law: Law, table: Table) -> None:
    """Refuse runs of a single scale, or of fewer cells than the law has exponents.

    Raises
    ------
    ValueError
        In that case; the text says what can be had instead.
    """
    _several_scales(law, table)
    _enough_cells(law, table)


def _several_scales(law: Law, table: Table) -> None:
    """Refuse runs of one scale: no law, but the best setting there."""
    frame = table.frame
    if frame.groupby("task")[list(law.covariates)].nunique().max().max() > 1:
        return
    only = ", ".join(f"{name} = {frame[name].iloc[0]:g}" for name in law.covariates)
    by_batch = "" if frame.groupby("cell")["batch_size"].nunique().min() > 1 else "by_batch=True"
    raise ValueError(
        f"a single scale ({only}): there is nothing to extrapolate from. The best setting there, with its error, is "
        f"runs.optima({by_batch}). For a law, add runs at another scale."
    )


def _enough_cells(law: Law, table: Table) -> None:
    """Refuse fewer cells than a law has exponents to tell apart, where it can be stated over one covariate."""
    frame = table.frame
    varied = [name for name in law.covariates if frame[name].nunique() > 1]
    cells = int(frame.groupby("task")["cell"].nunique().max())
    alone = [name for name in varied if (name,) in law.alternatives]
    if alone and len(varied) > 1 and cells <= len(varied):
        raise ValueError(
            f"{cells} cells cannot tell the exponents of {' and '.join(varied)} apart, which move together in this "
            f"table. State the law over one of them, such as hl.laws.{law.name}(over={quote((alone[0],))}), or add "
            "runs at another scale."
        )


def _one_curve_a_task(law: Law, table: Table) -> None:
    """Refuse what a law of one curve a task would take for scatter."""
    frame = table.frame
    for name in table.conditions:
        several = frame.groupby("task")[name].nunique()
        if (several > 1).any():
            task = several.index[several > 1][0]
            raise ValueError(
                f"{law.name} has one curve over batch sizes a task, but task {quote(task)} holds {several[task]} "
                f"values of {name}, whose curves differ. Make each a task of its own: by its label, or by "
                f"as_tasks({quote(name)}) of Optima; or fit a law over {name}."
            )


def contrasts(law: Law, table: Table) -> list[Contrast]:
    """Every contrast that the law needs, those first that a single covariate makes."""
    return [*_ranges(law, table), *_spans(law, table), *_together(law, table), *_unsaid(law, table)]


def _ranges(law: Law, table: Table) -> list[Contrast]:
    """How far each covariate reaches."""
    said = "The rows say little of how the law moves with {}: its prior decides. Add rows further apart."
    return [
        Contrast(f"range of {name} (ratio)", ratio, LEAST_RATIO.get(name, RATIO), np.inf, said.format(name))
        for name, ratio in _ratios(law, table).items()
    ]


def _spans(law: Law, table: Table) -> list[Contrast]:
    """Whether the linear covariates of every task span enough of those of all."""
    found = []
    for name in law.linear:
        spans = table.frame.groupby("task")[name].agg(np.ptp)
        whole = float(np.ptp(table.frame[name]))
        if len(table.tasks) > 1 and whole > 0:
            advice = (
                f"The {name}s of task {quote(spans.idxmin())} span little of those of all tasks, as if in another "
                "unit: the law hardly tells them apart. Scale each task's performance to 0 to 1 before making "
                "crossings."
            )
            share = float(spans.min()) / whole
            found.append(Contrast(f"least range of {name} in a task (share)", share, SPAN, np.inf, advice))
    return found


def _together(law: Law, table: Table) -> list[Contrast]:
    """Whether two covariates move together."""
    names = [*law.logged, *(["batch_size"] if law.says_loss else [])]
    rows, found = table.frame.drop_duplicates(names or None), []
    for a, b in combinations([name for name in names if rows[name].nunique() > 1], 2):
        value = abs(float(np.corrcoef(np.log(rows[[a, b]].to_numpy(float)).T)[0, 1]))
        advice = f"{a} and {b} move together: their exponents are known only along that line. Add rows that part them."
        found.append(Contrast(f"correlation of {a} and {b}", value, -np.inf, COLLINEAR, advice))
    return found


def _unsaid(law: Law, table: Table) -> list[Contrast]:
    """What varies among rows that are one to the law, whose differences it takes for scatter."""
    known = ["task", *law.covariates]
    found = []
    for name in table.conditions:
        if name not in law.covariates:
            values = int(table.frame.groupby(known)[name].nunique().max())
            if values > 1:
                advice = (
                    f"Rows differ in {name}, of which {law.name} says nothing: it takes that for scatter, and predicts "
                    f"for no {name} in particular. Make each value a task of its own, or keep one."
                )
                found.append(Contrast(f"values of {name} in rows that are one to the law", values, 1, 1, advice))
    return found


def _ratios(law: Law, table: Table) -> dict[str, float]:
    """Largest over smallest value of each covariate; of the batch size, within the task where they differ most."""
    frame = table.frame
    ratios = {name: float(frame[name].max() / frame[name].min()) for name in law.logged}
    if law.needs_batch_size or law.says_loss:
        by_task = frame.groupby("task")["batch_size"]
        ratios["batch_size"] = float((by_task.max() / by_task.min()).max())
    return ratios
