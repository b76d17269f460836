"""Time and memory as tables, decisions and posteriors grow: `python benchmarks/growth.py`.

Writes docs/evidence/growth.md and its picture. Every figure comes from a process of its own, so that its peak of memory
is its own too. Finished figures are kept in build/growth and a stopped run goes on with the rest. Of a large table the
gradient of the posterior is timed, not a fit: a fit is some 50,000 gradients.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from test_many_tasks import optima  # the tables that the tests fit too

import hyperlaw as hl
from hyperlaw.decision.mixture import part
from hyperlaw.decision.pricing import Pricing
from hyperlaw.display import short
from hyperlaw.inference.programs import programs_of
from hyperlaw.plots import style
from hyperlaw.whole_file import write_whole

ROOT = Path(__file__).parents[1]
PAGE, FOLDER = ROOT / "docs" / "evidence" / "growth.md", ROOT / "build" / "growth"
LAW = hl.laws.StepLaw()
TARGET = {"params": 1e10, "data": 1e12}
SIZES = {
    "rows": (1_000, 10_000, 100_000, 1_000_000), "cells": (10, 100, 1_000, 10_000), "tasks": (1, 10, 100, 300),
    "candidates": (100, 10_000, 1_000_000), "draws": (1_000, 10_000, 100_000),
    "fitted tasks": (1, 3, 10), "tasks of optima": (1, 3, 10, 30),
}  # fmt: skip
WHAT = {
    "rows": "Rows of a table of 100 cells and one task",
    "cells": "Cells of 20 runs each, one task",
    "tasks": "Tasks of four cells and 80 runs each",
    "candidates": "Candidates of a decision, 1,000 draws",
    "draws": "Draws of a decision between 1,000 candidates",
    "fitted tasks": "A whole fit of tasks of four cells and 80 runs each",
    "tasks of optima": "A whole fit of tasks of six measured optima each",
}
HEADS = {
    "table": "table, s", "optima": "optima, s", "gradient": "gradient, ms", "dimensions": "dimensions",
    "price": "pricing, s", "decide": "decision with its checks, s", "fit": "fit, s", "passed": "checks passed",
    "kept": "draws a chain", "steps": "steps a draw", "effective": "effective draws, least",
}  # fmt: skip
STEPS, SECONDS = tuple(HEADS), ("table", "optima", "gradient", "price", "decide", "fit")


def frame(cells: int, rows: int, tasks: int = 1) -> pd.DataFrame:
    """Runs of a law without deviations: so many cells of each task, so many rows of each cell, near their optima."""
    rng = np.random.default_rng(0)
    sizes = max(2, round(np.sqrt(cells)))
    cell = np.repeat(np.arange(cells * tasks), rows)
    params = 1e7 * (cell % cells % sizes + 1.0) ** 1.5
    data = 1e9 * (cell % cells // sizes + 1.0) ** 1.5
    u, v = rng.uniform(-1.5, 1.5, (2, len(cell)))
    best = 1.7 + (params / 1e7) ** -0.3 + (data / 1e9) ** -0.3
    return pd.DataFrame(
        {
            "params": params, "data": data, "task": (cell // cells).astype(str),
            "learning_rate": 2e-3 * (params / 1e7) ** -0.3 * np.exp(u),
            "batch_size": 2.0**15 * (data / 1e9) ** 0.4 * np.exp(v),
            "loss": best + 0.02 * u**2 + 0.01 * v**2 + rng.normal(0, 0.003, len(cell)),
        }
    )  # fmt: skip


def measured(kind: str, size: int) -> dict[str, float]:
    """Seconds of each step, and peak memory in GB, at one size; for a process of its own."""
    if kind in ("candidates", "draws"):
        found = decision(**{"candidates": 1_000, "draws": 1_000, kind: size})
    else:
        tasks = size if kind.endswith("tasks") else 1
        cells = {"rows": 100, "cells": size}.get(kind, 4)
        rows = frame(cells, size // cells if kind == "rows" else 20, tasks)
        if kind == "fitted tasks":
            found = whole_fit(hl.Runs.from_frame(rows, batch_unit=1))
        else:
            found = whole_fit(optima(size)) if kind == "tasks of optima" else of_table(rows)
    return found | {"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9}


def of_table(rows: pd.DataFrame) -> dict[str, float]:
    """A table, its optima, and a gradient of the posterior."""
    runs, table = timed(lambda: hl.Runs.from_frame(rows, batch_unit=1))
    _, optima = timed(runs.optima)
    model = hl.likelihood(LAW, runs)
    with jax.enable_x64(True):
        programs, design = programs_of(model.bare, 10), jax.device_put(model.design(runs))
        arrays, structure = jax.tree.flatten(programs.as_sampled(design))
        place = programs.centre(design, {})
        call = lambda: jax.block_until_ready(programs.gradient(place, arrays, structure))  # noqa: E731
        call()  # compiles
        gradient = float(np.median([timed(call)[1] for _ in range(10)]))
        size = sum(np.asarray(array).nbytes for array in arrays)
    return {"table": table, "optima": optima, "gradient": gradient, "dimensions": len(place), "bytes": size}


def whole_fit(table: hl.Runs | hl.Optima) -> dict[str, float]:
    """A fit at default settings, with its checks."""
    fit, seconds = timed(lambda: hl.fit(LAW, table, seed=0, progress=False))
    checks, steps = fit.check(), fit.tree["sample_stats"]["n_steps"].values
    return {
        "fit": seconds, "passed": float(checks.ok), "kept": steps.shape[1], "steps": float(steps.mean()),
        "effective": float(checks.table.set_index("check").loc["ESS bulk, smallest", "value"]),
    }  # fmt: skip


def decision(candidates: int, draws: int) -> dict[str, float]:
    """Pricing and deciding between so many settings with so many draws."""
    fit = hl.fit(LAW, hl.Runs.from_frame(frame(9, 20), batch_unit=1), seed=0, draws=500, progress=False)
    fit = with_draws(fit, draws)
    fitted, _ = part("law", fit, TARGET)
    rng = np.random.default_rng(0)
    settings = {
        name: np.exp(np.median(fitted.optimum[name]) + 0.3 * rng.standard_normal(candidates))
        for name in ("learning_rate", "batch_size")
    }
    priced = [timed(lambda: Pricing([fitted], None).price(settings))[1] for _ in range(2)]
    decide = lambda: hl.decide(fit, TARGET, risk=hl.CVaR(0.9), candidates=settings, despite="timed")  # noqa: E731
    return {"price": priced[-1], "decide": timed(decide)[1]}


def with_draws(fit: hl.Fit, draws: int) -> hl.Fit:
    """The fit with its draws repeated or thinned to so many in all."""
    keep = np.resize(np.arange(fit.shape[1]), draws // fit.shape[0])
    groups = {name: node.to_dataset() for name, node in fit.tree.load().children.items()}
    groups = {
        name: group.isel(draw=keep).assign_coords(draw=np.arange(len(keep))) if "draw" in group.dims else group
        for name, group in groups.items()
    }
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = fit.tree.attrs
    return replace(fit, tree=tree)


def timed[T](call: Callable[[], T]) -> tuple[T, float]:
    """What a call returns, and its seconds."""
    begun = time.perf_counter()
    return call(), time.perf_counter() - begun


def bandwidth() -> float:
    """GB a second of copying an array that no cache holds."""
    source = np.ones(50_000_000)
    copies = [timed(source.copy)[1] for _ in range(5)]
    return 2 * source.nbytes / min(copies) / 1e9


def figures_of(kinds: list[str], limit: float) -> pd.DataFrame:
    """All figures, those measured before read from build/growth."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    rows = []
    for kind in kinds:
        for size in SIZES[kind]:
            path = FOLDER / f"{kind}-{size}.json"
            if not path.exists():
                write_whole(path, json.dumps(figure(kind, size, limit)).encode())
            rows.append({"kind": kind, "size": size} | json.loads(path.read_text()))
            print(rows[-1], flush=True)
    return pd.DataFrame(rows)


def figure(kind: str, size: int, limit: float) -> dict[str, float | str]:
    """The figures of one size, from a process of its own; its error where it has none."""
    command = [sys.executable, __file__, "--one", kind, str(size)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        return {"error": f"given up after {limit:.0f} s"}
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1][:120]}
    return json.loads(done.stdout.splitlines()[-1])


def page(found: pd.DataFrame) -> str:
    """Markdown: a table for each thing that grows."""
    said = [f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; one process a row."]
    for kind, rows in found.groupby("kind", sort=False):
        steps = [name for name in STEPS if name in rows and rows[name].notna().any()]
        names = [kind, *(HEADS[name] for name in steps), "peak, GB"]
        lines = [f"**{WHAT[str(kind)]}**", "", f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
        for row in rows.to_dict("records"):
            if isinstance(error := row.get("error"), str):
                lines.append(f"| {short(row['size'])} | {error} |" + " |" * len(steps))
                continue
            values = [shown(name, row[name]) for name in steps]
            lines.append(f"| {' | '.join([short(row['size']), *values, f'{row["peak"]:.2f}'])} |")
        said.append("\n".join(lines))
    largest = found[(found["kind"] == "rows") & found["gradient"].notna()].tail(1)
    for row in largest.to_dict("records"):
        speed = bandwidth()
        least = row["bytes"] / speed / 1e9
        said.append(
            f"With {short(row['size'])} rows a gradient reads {row['bytes'] / 1e6:.0f} MB of table. At {speed:.1f} "
            f"GB/s, the speed at which this machine copies memory, that takes {1e3 * least:.0f} ms; it takes "
            f"{1e3 * row['gradient']:.0f} ms, {row['gradient'] / least:.0f} times as long."
        )
    return "\n\n".join(said)


def shown(step: str, value: float) -> str:
    """A figure as it stands in the table."""
    if np.isnan(value):
        return ""
    if step == "passed":
        return "yes" if value else "no"
    if step in ("dimensions", "kept", "effective"):
        return short(value)
    return f"{1e3 * value:.3g}" if step == "gradient" else f"{value:.1f}" if step == "steps" else f"{value:.2f}"


def picture(found: pd.DataFrame) -> Figure:
    """Seconds of each step against what grows, and a line of proportional growth."""
    kinds = [kind for kind in SIZES if (found["kind"] == kind).any()]
    drawn, axes = style.page(-(-len(kinds) // 2), 2, height=2.2 * -(-len(kinds) // 2))
    for ax, kind in zip(axes.flat, kinds, strict=False):
        rows = found[found["kind"] == kind]
        for colour, name in zip(
            style.CHAINS, [n for n in SECONDS if n in rows and rows[n].notna().any()], strict=False
        ):
            ax.loglog(rows["size"], rows[name], marker="o", color=colour, label=HEADS[name].partition(",")[0])
        ax.set(xlabel=kind, ylabel="seconds")
        ax.legend(fontsize=style.SMALL, frameon=False)
    for ax in axes.flat[len(kinds) :]:
        ax.set_axis_off()
    return drawn


def main(kinds: list[str], limit: float) -> None:
    """Write the tables of docs/evidence/growth.md, after its mark, and its picture; the words before it stay."""
    found = figures_of(kinds, limit)
    words, mark, _ = PAGE.read_text().partition("<!-- tables -->")
    PAGE.write_text(f"{words}{mark}\n\n{page(found)}\n")
    style.save(picture(found), PAGE.with_suffix(".png"))


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--one", nargs=2, metavar=("KIND", "SIZE"), help="print one figure as JSON")
    arguments.add_argument("--limit", type=float, default=900, help="seconds after which a figure is given up")
    given = arguments.parse_args()
    if given.one:
        print(json.dumps(measured(given.one[0], int(given.one[1]))))
    else:
        main(list(SIZES), given.limit)
