"""The pages docs/laws/<law>.md: what is written by hand stays, what is measured goes between marks."""

import importlib
import inspect
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import hyperlaw as hl
from hyperlaw.models.laws import LAWS
from hyperlaw.plots.style import BLUE, GREY, ORANGE

ROUNDING = 1e-9  # less than that is what a computation leaves of a zero
DOCS = Path(__file__).parents[1] / "docs" / "laws"
SECTIONS = ("equation", "parameters", "prior", "recovery", "calibration", "real data")
TITLES = {
    "equation": "", "parameters": "## Parameters", "prior": "## What the prior expects",
    "recovery": "## Parameters recovered from simulation", "calibration": "## Simulation-based calibration",
    "real data": "## On real data",
}  # fmt: skip


def write(name: str, section: str, text: str) -> None:
    """Put `text` between the marks of a section of a law's page, making the page where there is none."""
    DOCS.mkdir(parents=True, exist_ok=True)
    page = DOCS / f"{name}.md"
    if not page.exists():
        blocks = [f"{TITLES[s]}\n\n{_mark(s)}\n\nNot measured yet.\n\n<!-- end -->".strip() for s in SECTIONS]
        page.write_text(f"# {name}\n\n" + "\n\n".join(blocks) + "\n")
    before, _, rest = page.read_text().partition(_mark(section))
    _, _, after = rest.partition("<!-- end -->")
    page.write_text(f"{before}{_mark(section)}\n\n{text.strip(chr(10))}\n\n<!-- end -->{after}")


def write_equation(name: str) -> None:
    """The law's equation and source, from its module, and its parameters with their priors and why."""
    law = LAWS[name]
    text = inspect.getdoc(importlib.import_module(law.__module__)) or ""
    write(name, "equation", f"`hl.laws.{name}`. {law.__doc__.splitlines()[0]}\n\n```\n{text}\n```")
    of_runs = law.tables[0] == "runs"
    table = law().parameters if of_runs else hl.likelihood(law(), law.tables[0]).parameters
    note = "\n\nThose of the loss surface, shared by all laws of runs: [runs.md](runs.md)." if of_runs else ""
    write(name, "parameters", markdown(table.reset_index()) + note)


def write_surface() -> None:
    """The loss surface, from its module, and its parameters for laws of parameters and data."""
    text = inspect.getdoc(importlib.import_module("hyperlaw.models.likelihoods.surface")) or ""
    write("runs", "equation", f"```\n{text}\n```")
    law = LAWS["StepLaw"]()
    own = [p.name for p in law.own_parameters]
    write("runs", "parameters", markdown(hl.likelihood(law, "runs").parameters.drop(index=own).reset_index()))


def write_calibration(name: str, found: hl.Calibration) -> None:
    """Table, sentence and picture of a calibration."""
    save(calibration_picture(found), f"{name}_calibration.png")
    worst = found.table.sort_values("p_value").head(5)
    table = worst[["quantity", "p_value", "inside", "bias", "coverage_50", "coverage_80", "coverage_90"]]
    f = found.failures
    at = ", ".join(f"{n} {v:g}" if isinstance(v, float) else f"{n} {v}" for n, v in found.at.items())
    write(
        name,
        "calibration",
        f"    make calibrate\n\n{len(found.outside)} of {len(found.table)} quantities leave their 95 % band "
        f"({', '.join(found.outside) or 'none'}); {found.expected_outside:.1f} would by chance. Least p-value "
        f"{found.table['p_value'].min():.2g}, where {0.05 / len(found.table):.2g} would be beyond chance. "
        f"{f['simulations']} simulations with short chains (2 x 500 draws): {f['failed']} could not be sampled, "
        f"{f['any divergence']} had a divergence, {f['troubled']} were troubled (R-hat above 1.05, or 1 % of draws "
        f"divergent). `best_*` is a new cell at {at}. The five least uniform:\n\n{markdown(table)}\n\n"
        f"![Rank ECDF minus uniform of every quantity, and its 95 % band](figures/{name}_calibration.png)",
    )


def calibration_picture(found: hl.Calibration) -> Figure:
    """Difference of every quantity's rank ECDF from uniform, all in one axis, the derived ones in another colour."""
    from arviz_stats.ecdf_utils import ecdf_pit

    shares = found.tree["prior_sbc"].dataset
    count = shares.sizes["sample"]
    points, _, lower, upper = ecdf_pit(np.linspace(0, 1, count), 0.95, 1000)
    figure = Figure(figsize=(6, 3.2), layout="constrained")
    ax = figure.subplots()
    ax.fill_between(points, lower - points, upper - points, color=GREY, alpha=0.2, lw=0, label="95 % band of one")
    for name, share in shares.items():
        ecdf = np.searchsorted(np.sort(share.values), points, side="right") / count
        derived = str(name).startswith("best_")
        ax.plot(points, ecdf - points, color=ORANGE if derived else BLUE, lw=1.6 if derived else 0.7,
                alpha=1.0 if derived else 0.6)  # fmt: skip
    ax.plot([], [], color=BLUE, label="parameters")
    ax.plot([], [], color=ORANGE, label="a new cell")
    ax.set(xlabel="rank of the truth among posterior draws (share)", ylabel="ECDF minus uniform", xlim=(0, 1))
    ax.legend(fontsize=8, frameon=False, ncols=3, loc="lower center")
    return figure


def save(figure: Figure, name: str) -> None:
    """Write a picture beside the pages, small enough for a repository."""
    folder = DOCS / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / name, dpi=90, metadata={"Software": None})


def markdown(table: pd.DataFrame) -> str:
    """A table as markdown; numbers to three digits."""

    def cell(value: object) -> str:
        if isinstance(value, float):
            return "" if np.isnan(value) else f"{0.0 if abs(value) < ROUNDING else value:.3g}"
        return str(value).replace("|", "\\|")

    lines = ["| " + " | ".join(map(str, table.columns)) + " |", "|---" * len(table.columns) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(map(cell, row)) + " |" for row in table.itertuples(index=False))])


def _mark(section: str) -> str:
    return f"<!-- {section} -->"
