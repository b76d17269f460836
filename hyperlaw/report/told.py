"""What both reports say: tables in words, the verdict of the checks, the fitted law, and where it all comes from."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from hyperlaw.diagnostics.spec import Checks, Status
from hyperlaw.display import few, figures, short
from hyperlaw.inference.fitted_equation import fitted_equation
from hyperlaw.inference.posterior import Posterior
from hyperlaw.intervals import interval


@dataclass(frozen=True)
class Printed:
    """A table as it is printed: a caption, heads of the columns, and rows of words, the first naming the row."""

    caption: str
    heads: list[str]
    rows: list[list[str]]


def digits(value: Any, count: int = 3) -> str:
    """A number with so many significant digits; text as it is, and nothing for what is missing."""
    if isinstance(value, str):
        return value
    if value is None or not np.isfinite(value):
        return "" if value is None or np.isnan(value) else "infinite"
    if abs(value) < 1e6 and np.isclose(value, round(value), rtol=1e-9, atol=0):
        return str(round(value))
    if 10**count <= abs(value) < 1e6:
        return f"{float(f'{value:.{count}g}'):.0f}"
    return f"{value:#.{count}g}".removesuffix(".") if 1e-4 <= abs(value) < 1e6 else figures(float(value), count)


def range_words(row: Mapping[str, float] | pd.Series, count: int = 3) -> str:
    """The ends of an interval: "0.00300 to 0.00450"."""
    return f"{digits(row['lower'], count)} to {digits(row['upper'], count)}"


def printed(caption: str, frame: pd.DataFrame, heads: Mapping[str, str], *, index: str = "") -> Printed:
    """Some columns of a frame, under other heads; its index names the rows."""
    rows = [[str(name), *(digits(row[column]) for column in heads)] for name, row in frame.iterrows()]
    return Printed(caption, [index, *heads.values()], rows)


def verdict(checks: Checks, despite: str | None) -> tuple[Status, str]:
    """The worst status among the checks, and whether to rely on them in a sentence."""
    worst = next((status for status in (Status.FAIL, Status.REVIEW) if checks.named(status)), Status.PASS)
    in_spite = f" It was decided all the same; the reason given: {despite}." if checks.failed else ""
    named = f" To be looked at: {few(checks.named(worst))}." if worst == Status.REVIEW else ""
    return worst, checks.verdict + named + in_spite


def concerns(checks: Checks) -> list[tuple[Status, str, str]]:
    """Of each check that did not pass, worst first: its status, what was found, and what that means and asks for."""
    found = []
    for status in (Status.FAIL, Status.REVIEW):
        for row in checks.table[checks.table["status"] == status].to_dict("records"):
            seen = f"{row['check']} is {digits(row['value'], 4)}, and should be {row['threshold']}."
            found.append((status, seen, f"{status.sentence} {row['advice']}"))
    return found


def check_table(checks: Checks) -> Printed:
    """All checks."""
    table = checks.table.set_index("check")
    passed = int((table["status"] == Status.PASS).sum())
    heads = {"value": "value", "threshold": "should be", "status": "status"}
    table["value"] = [digits(value, 4) for value in table["value"]]  # 1.009 is not 1.01
    return printed(f"All checks: {passed} of {len(table)} passed", table, heads, index="check")


def extrapolation_table(far: pd.DataFrame) -> Printed:
    """How far the target lies beyond the runs."""
    rows = [
        [str(name), short(row["target"]), f"{short(row['lowest'])} to {short(row['highest'])}",
         figures(row["decades"], 2) if row["decades"] > 0 else "within the runs"]
        for name, row in far.iterrows()
    ]  # fmt: skip
    return Printed("How far the target lies beyond the runs", ["", "target", "runs", "decades beyond"], rows)


def law_section(fits: Mapping[str, Posterior], task: str | None) -> list[tuple[str, str, Printed]]:
    """Of each law: its name, its formula with the numbers of the fit, and its parameters."""
    return [(name, fitted_equation(fit, task=task), _parameters(name, fit, task)) for name, fit in fits.items()]


def _parameters(name: str, fit: Posterior, task: str | None) -> Printed:
    """The law's own parameters: medians and 90 % intervals over all draws; those of the task where it was fitted."""
    rows, several = [], len(fit.table.tasks) > 1
    for parameter in fit.law.own_parameters:
        of_task = f"{parameter.name}_task"
        own = several and task is not None and of_task in fit.draws
        draws = fit.draws[of_task].sel(task=task) if own else fit.draws[parameter.name]
        low, middle, high = interval(draws.values)
        ends = f"{digits(low)} to {digits(high)}"
        rows.append([parameter.name, digits(middle), ends, parameter.unit, parameter.meaning])
    whose = f", {'population of tasks' if task is None else f'task {task}'}" if several else ""
    return Printed(f"Parameters of {name}{whose}", ["", "median", "90 % interval", "unit", "meaning"], rows)


def prior_table(name: str, fit: Posterior) -> Printed:
    """Every prior and its reason."""
    table = fit.likelihood.parameters
    rows = [
        [row[c] for c in ("name", "meaning", "unit", "prior", "why")] for row in table.reset_index().to_dict("records")
    ]
    return Printed(f"Priors of {name}", ["", "meaning", "unit", "prior", "why"], [list(map(str, row)) for row in rows])


def provenance_table(fits: Mapping[str, Posterior]) -> Printed:
    """Data, seed, versions and settings of every fit, one column each."""
    rows = []
    for name, key in (("law", "law"), ("digest of the data", "data"), ("seed", "seed"), ("fitted on", "created")):
        rows.append([name, *(str(fit.tree.attrs.get(key, "")) for fit in fits.values())])
    rows.insert(2, ["rows", *(str(len(fit.table.frame)) for fit in fits.values())])
    rows.append(["chains x draws", *(f"{fit.shape[0]} x {fit.shape[1]}" for fit in fits.values())])
    for name, key in (("sampler", "settings"), ("versions", "versions")):
        rows.append([name, *(_pairs(str(fit.tree.attrs.get(key, "{}"))) for fit in fits.values())])
    return Printed("Where it comes from", ["", *fits], rows)


def _pairs(text: str) -> str:
    """A JSON object in words."""
    return ", ".join(f"{name} {value}" for name, value in json.loads(text).items() if value is not None)
