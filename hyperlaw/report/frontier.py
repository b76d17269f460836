"""`report_frontier`: a frontier of data and compute as one page."""

from os import PathLike

from hyperlaw.decision.explain import risk_words
from hyperlaw.decision.pareto import Pareto, Setting
from hyperlaw.report import charts
from hyperlaw.report.page import check_path, write_page
from hyperlaw.report.told import (
    Printed,
    check_table,
    concerns,
    digits,
    law_section,
    printed,
    prior_table,
    provenance_table,
    range_words,
    verdict,
)

QUANTITIES = {
    "utd": "updates per environment step", "params": "parameters of the critic", "data": "environment steps",
    "compute": "compute (FLOPs)", "budget": "budget (FLOPs)", "batch_size": "best batch size",
    "learning_rate": "best learning rate", "performance": "performance", "excess": "cost above the cheapest (share)",
}  # fmt: skip


def report_frontier(
    frontier: Pareto, path: str | PathLike[str], *, setting: Setting | None, command: str | None
) -> None:
    """Write a frontier as one page; arguments and errors as for `Frontier.report`."""
    place = check_path(path)
    levels = frontier.draws["performance"].values
    figures = {"curves": charts.curves(frontier)}
    if (ratios := charts.ratios(frontier)) is not None:
        figures["ratios"] = ratios
    said = {
        "levels": [f"{level:g}" for level in levels],
        "task": "a new task" if frontier.task is None else f"task {frontier.task}",
        "cheapest": _cheapest(frontier),
        "chosen": None if setting is None else _chosen(setting),
        "ends": [] if setting is None else setting.ends,
        "exponent": range_words(frontier.exponent) if len(levels) > 1 else None,
        "verdict": None if frontier.checks is None else verdict(frontier.checks, frontier.despite),
        "concerns": [] if frontier.checks is None else concerns(frontier.checks),
        "checked": None if frontier.checks is None else check_table(frontier.checks),
        "everything": _everything(frontier),
        "measured": _measured(frontier),
        "law": law_section(frontier.fits, frontier.task),
        "provenance": provenance_table(frontier.fits),
        "priors": [prior_table(name, fit) for name, fit in frontier.fits.items()],
        "prices": frontier.price_sentence,
        "source": frontier.source,
        "command": command,
        "figures": {name: figure.to_json() for name, figure in figures.items()},
    }
    write_page(place, "frontier.html", said)


def _cheapest(frontier: Pareto) -> Printed:
    """The ratio that costs least at each performance, and what it takes."""
    known = frontier.table.index.get_level_values("quantity")
    names = [name for name in ("utd", "params", "budget", "data", "compute") if name in known]
    rows = []
    for level, table in frontier.table.groupby("performance"):
        here = table.droplevel("performance")
        rows.append([f"{level:g}", *(f"{digits(here.loc[n, 'median'])} ({range_words(here.loc[n])})" for n in names)])
    heads = ["performance", *(QUANTITIES[name] for name in names)]
    return Printed("What costs least: medians and 90 % intervals", heads, rows)


def _chosen(setting: Setting) -> Printed:
    """A chosen setting."""
    rows = [
        [
            QUANTITIES[str(name)],
            digits(setting.setting.get(str(name), row["median"])),
            range_words(row) if row["upper"] > row["lower"] else "as asked",
        ]
        for name, row in setting.table.iterrows()
    ]
    return Printed(
        f"Chosen by the least {risk_words(setting.risk, of='excess cost')}",
        ["", "set, or expected", "90 % interval"],
        rows,
    )


def _everything(frontier: Pareto) -> Printed:
    """All quantities at the least budget of each performance."""
    table = frontier.table.set_axis([f"{level:g}: {QUANTITIES[name]}" for level, name in frontier.table.index])
    heads = {"lower": "lower", "median": "median", "upper": "upper", "p_bound": "how often at a bound"}
    return printed("At the least budget of each performance (90 %)", table, heads, index="performance: quantity")


def _measured(frontier: Pareto) -> Printed:
    """How far what is asked lies beyond what was measured."""
    rows = []
    for name, row in frontier.fitted.iterrows():
        asked = frontier.draws[str(name)].values
        beyond = [f"{asked.min():g} below" if asked.min() < row["lowest"] else "",
                  f"{asked.max():g} above" if asked.max() > row["highest"] else ""]  # fmt: skip
        said = " and ".join(filter(None, beyond)) or "within what was measured"
        rows.append([QUANTITIES[str(name)], f"{asked.min():g} to {asked.max():g}",
                     f"{row['lowest']:g} to {row['highest']:g}", said])  # fmt: skip
    return Printed("What is asked, and what was measured", ["", "asked", "measured", "beyond"], rows)
