"""Whether a table holds the contrasts that a law is identified by: refused where it has none, reviewed where few."""

from itertools import combinations
from typing import NamedTuple

import numpy as np

from hyperlaw.data.table import Table
from hyperlaw.models.law import Law

LEAST_RATIO = {"utd": 4.0, "batch_size": 8.0}
RATIO = 3.0
COLLINEAR = 0.95
SPAN = 0.1


class Contrast(NamedTuple):
    """One contrast of a table: what it is, its value, the least or most that is needed, and what lacks without it."""

    name: str
    value: float
    threshold: str
    good: bool
    advice: str


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
    if law.needs_batch_size and not law.logged:
        _one_curve_a_task(law, table)
    if law.logged and set(law.logged) <= set(still):
        raise ValueError(
            f"{law.name} says how {' and '.join(law.predicts)} move with {', '.join(law.logged)}, none of which "
            "varies in this table: no exponent is known. Add rows at other values."
        )


def _one_curve_a_task(law: Law, table: Table) -> None:
    """Refuse what a law of one curve a task would take for scatter."""
    frame = table.frame
    for name in (*table.scales, *(["loss"] if table.kind == "steps_to_loss" else [])):
        several = frame.groupby("task")[name].nunique()
        if (several > 1).any():
            task = several.index[several > 1][0]
            raise ValueError(
                f"{law.name} has one curve over batch sizes a task, but task {task!r} holds {several[task]} values of "
                f"{name}, whose curves differ. Make each a task of its own: by its label, or by "
                f"as_tasks({name!r}) of Optima; or fit a law over {name}."
            )


def contrasts(law: Law, table: Table) -> list[Contrast]:
    """Every contrast that the law needs, those first that a single covariate makes."""
    found = []
    for name, ratio in _ratios(law, table).items():
        least = LEAST_RATIO.get(name, RATIO)
        advice = f"The rows say little of how the law moves with {name}: its prior decides. Add rows further apart."
        found.append(Contrast(f"range of {name} (ratio)", ratio, f">= {least:g}", ratio >= least, advice))
    for name in law.linear:
        spans = table.frame.groupby("task")[name].agg(np.ptp)
        if len(table.tasks) > 1 and np.ptp(table.frame[name]) > 0:
            share = float(spans.min() / np.ptp(table.frame[name]))
            advice = (
                f"The {name}s of task {spans.idxmin()!r} span little of those of all tasks, as if in another unit: the "
                "law hardly tells them apart. Scale each task's performance to 0 to 1 before making crossings."
            )
            found.append(
                Contrast(f"least range of {name} in a task (share)", share, f">= {SPAN:g}", share >= SPAN, advice)
            )
    rows = table.frame.drop_duplicates(list(law.logged) or None)
    for a, b in combinations([name for name in law.logged if rows[name].nunique() > 1], 2):
        logs = np.log(rows[[a, b]].to_numpy(float))
        value = abs(float(np.corrcoef(logs.T)[0, 1]))
        advice = f"{a} and {b} move together: their exponents are known only along that line. Add rows that part them."
        found.append(Contrast(f"correlation of {a} and {b}", value, f"<= {COLLINEAR:g}", value <= COLLINEAR, advice))
    return found


def _ratios(law: Law, table: Table) -> dict[str, float]:
    """Largest over smallest value of each covariate; of the batch size, within the task where they differ most."""
    frame = table.frame
    ratios = {name: float(frame[name].max() / frame[name].min()) for name in law.logged}
    if law.needs_batch_size:
        by_task = frame.groupby("task")["batch_size"]
        ratios["batch_size"] = float((by_task.max() / by_task.min()).max())
    return ratios
