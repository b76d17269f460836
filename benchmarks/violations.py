"""Fit simulated sweeps that break the law that is fitted, and see whether that is said or covered.

    python benchmarks/violations.py --draws 20

Writes the table of docs/evidence/reliability.md. Every sweep has four sizes and four horizons, 24 runs a cell, and is
simulated here without the package's models. Of each violation the table has how often a check asked for a review or
failed, how often the plain 90 % intervals of the best learning rate and batch size held at the target, and how often
the choice lost no more than its 90 % bound. Finished fits are kept in build/violations, named after the code that made
them, and a stopped run goes on with the rest.
"""

import argparse
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import jax
import numpy as np
import pandas as pd
from backtest import code
from rich.progress import track

import hyperlaw as hl
from hyperlaw.diagnostics.spec import Status

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "build" / "violations"
LAW = hl.laws.StepLaw()
PARAMS = 1e7 * 3.0 ** np.arange(4)
DATA = 1e8 * 4.0 ** np.arange(4)
RUNS = 24  # a cell, of a grid of 9 learning rates and 6 batch sizes
NEXT = {"params": 3 * PARAMS[-1], "data": 4 * DATA[-1]}
FAR = {"params": 10 * PARAMS[-1], "data": 100 * DATA[-1]}
Rows = pd.DataFrame
Moves = Callable[[Rows], np.ndarray]  # of ln eta*, a row
NOWHERE: Moves = lambda rows: np.zeros(len(rows))  # noqa: E731


@dataclass(frozen=True)
class Violation:
    """One way to break the law.

    Attributes
    ----------
    name
        In words.
    moves
        What it adds to ln eta* of each row; ln B* moves by half of it.
    seen
        Whether the runs can show it: then a check must say so; else the intervals must hold.
    noise, tails
        Scatter of a run in nats, and the degrees of freedom of its Student t.
    at
        The target.
    mixed
        What the runs of a second population, half of all, add to ln eta*.
    """

    name: str
    moves: Moves = NOWHERE
    seen: bool = False
    noise: float = 0.003
    tails: float = 8.0
    at: dict[str, float] = field(default_factory=lambda: NEXT)
    mixed: float = 0.0


def bend(at: float, by: float) -> Moves:
    """The exponent in data changes by `by` at `at`."""
    return lambda rows: by * np.maximum(np.log(rows["data"].to_numpy(float) / at), 0)


def drift(by: float) -> Moves:
    """The exponents in data and parameters change by `by` per e-fold, from the middle of the runs."""
    return lambda rows: sum(
        by * np.log(rows[name].to_numpy(float) / np.exp(np.log(tried).mean())) ** 2 / 2
        for name, tried in (("data", DATA), ("params", PARAMS))
    )


def jump(name: str, at: float, by: float) -> Moves:
    """Another recipe from `at` of a scale on."""
    return lambda rows: by * (rows[name].to_numpy(float) >= at * 0.99)


CLEAN = Violation("none")
VIOLATIONS = (
    CLEAN,
    Violation("exponent in data changes by 0.6 inside the runs", bend(DATA[1] * 2, 0.6), seen=True),
    Violation("exponent in data changes by 0.3 beyond the runs", bend(DATA[-1], 0.3)),
    Violation("exponents drift by 0.05 per e-fold", drift(0.05)),
    Violation("exponents drift by 0.15 per e-fold", drift(0.15), seen=True),
    Violation("two recipes in one task, 4 times apart", mixed=np.log(4), seen=True),
    Violation("another recipe for the two larger sizes, 3 times", jump("params", PARAMS[2], np.log(3)), seen=True),
    Violation("another recipe for the largest size, 3 times", jump("params", PARAMS[3], np.log(3)), seen=True),
    Violation("another recipe at the largest horizon, 3 times", jump("data", DATA[3], np.log(3)), seen=True),
    Violation("scatter of 0.03 nats", noise=0.03),
    Violation("scatter with heavy tails (t with 1.5 degrees)", tails=1.5),
    Violation("none, 100 times the data and 10 times the size", at=FAR),
    Violation("drift of 0.05 per e-fold, 100 times the data", drift(0.05), at=FAR),
)  # fmt: skip


@dataclass(frozen=True)
class Truth:
    """What one sweep is simulated from."""

    violation: Violation
    rate_exponents: np.ndarray
    batch_exponents: np.ndarray
    offsets: np.ndarray

    def optimum(self, rows: Rows, second: np.ndarray | float = 0.0) -> tuple[np.ndarray, np.ndarray]:
        """Natural logs of the best learning rate (at the best batch size) and the best batch size."""
        scale = np.log(np.column_stack([rows["params"] / 3e7, rows["data"] / 8e8]))
        moves = self.violation.moves(rows) + self.violation.mixed * second
        rate = np.log(2e-3) + self.offsets[0] + scale @ self.rate_exponents + moves
        return rate, np.log(2.0**17) + self.offsets[1] + scale @ self.batch_exponents + moves / 2

    def loss(self, rows: Rows, second: np.ndarray | float = 0.0) -> np.ndarray:
        """Expected loss of each row, nats."""
        rate, batch = self.optimum(rows, second)
        v = np.log(rows["batch_size"].to_numpy(float)) - batch
        ridge = 0.1 * v + 0.7 * (np.log(2) - np.logaddexp(0, -v))
        u = np.log(rows["learning_rate"].to_numpy(float)) - rate - ridge
        best = 1.7 + 0.6 * (rows["params"] / 1e7) ** -0.25 + 0.8 * (rows["data"] / 1e8) ** -0.3
        return best.to_numpy() + 0.02 * 2 * (np.exp(0.7 * u) - 0.7 * u - 1) / 0.7**2 + 0.012 * v**2


def truth(violation: Violation, generator: np.random.Generator) -> Truth:
    """A law with exponents as they are published, half an octave off the middle of the grid."""
    return Truth(
        violation,
        generator.normal((-0.3, 0.0), (0.1, 0.1)),
        generator.normal((0.0, 0.45), (0.05, 0.1)),
        generator.normal(0, 0.35, 2),
    )


def sweep(of: Truth, generator: np.random.Generator) -> hl.Runs:
    """The small runs: 24 settings of the grid in each cell."""
    rates = 2e-3 * 2.0 ** np.arange(-4, 5)
    batches = 2.0 ** np.arange(15, 21)
    grid = pd.DataFrame([(r, b) for r in rates for b in batches], columns=["learning_rate", "batch_size"])
    cells = [
        grid.iloc[generator.choice(len(grid), RUNS, replace=False)].assign(params=n, data=d)
        for n in PARAMS
        for d in DATA
    ]
    rows = pd.concat(cells, ignore_index=True)
    second = generator.random(len(rows)) < 0.5
    excess = of.loss(rows, second) - of.loss(rows.assign(**best(of, rows)), second)
    scale = np.hypot(of.violation.noise, 0.15 * excess)
    loss = of.loss(rows, second) + scale * generator.standard_t(of.violation.tails, len(rows))
    return hl.Runs.from_frame(rows.assign(loss=np.maximum(loss, 0.1)), batch_unit=1)


def best(of: Truth, rows: Rows) -> dict[str, np.ndarray]:
    """The best settings of each row's cell, of the first population."""
    rate, batch = of.optimum(rows)
    return {"learning_rate": np.exp(rate), "batch_size": np.exp(batch)}


def fitted(violation: Violation, seed: int) -> tuple[Truth, hl.Fit]:
    """One such sweep, fitted at default settings, or read if that was done before."""
    generator = np.random.default_rng((VIOLATIONS.index(violation), seed))
    of = truth(violation, generator)
    path = FOLDER / code() / f"{VIOLATIONS.index(violation)}-{seed}.nc"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".tmp")
        hl.fit(LAW, sweep(of, generator), seed=seed, progress=False).save(unfinished)
        unfinished.rename(path)
    return of, hl.load_fit(path)


def looked_at(violation: Violation, seed: int) -> dict:
    """What a fit of one such sweep says, and whether it was right."""
    of, fit = fitted(violation, seed)
    checks = fit.check()
    choice = hl.decide(fit, violation.at, risk=hl.CVaR(0.9), despite="to see what it is worth")
    target = pd.DataFrame([violation.at])
    there = {name: float(value[0]) for name, value in best(of, target).items()}
    regret = float((of.loss(target.assign(**choice.setting)) - of.loss(target.assign(**there)))[0])
    held = {
        name: bool(choice.intervals.loc[name, "lower"] <= value <= choice.intervals.loc[name, "upper"])
        for name, value in there.items()
    }
    row = choice.table.loc["recommended"]
    return {
        "violation": violation.name, "seed": seed, "failed": checks.failed, "review": checks.named(Status.REVIEW),
        "held": held, "regret": regret, "bound": float(row["regret_q90"]), "expected": float(row["regret_mean"]),
        "values": dict(zip(checks.table["check"], checks.table["value"], strict=True)),
    }  # fmt: skip


def run(draws: int, names: list[str]) -> list[dict]:
    """All fits, those done before read from build/violations."""
    found = []
    for seed in track(range(draws), "sweeps that break the law"):
        for violation in VIOLATIONS:
            if names and not any(name in violation.name for name in names):
                continue
            found.append(looked_at(violation, seed))
            print(json.dumps(found[-1]), flush=True)
    jax.clear_caches()
    return found


def page(found: list[dict]) -> str:
    """Markdown: one row a violation."""
    names = [
        "violation",
        "sweeps",
        "flagged",
        "by",
        "eta* held",
        "B* held",
        "lost within the bound",
        "lost, mean",
        "expected",
    ]
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    for violation in VIOLATIONS:
        rows = [row for row in found if row["violation"] == violation.name]
        if not rows:
            continue
        flags = pd.Series([name for row in rows for name in row["failed"] + row["review"]]).value_counts()
        values = [
            violation.name, len(rows), share(bool(row["failed"] or row["review"]) for row in rows),
            "; ".join(f"{name} ({count})" for name, count in flags.head(3).items()),
            share(row["held"]["learning_rate"] for row in rows), share(row["held"]["batch_size"] for row in rows),
            share(row["regret"] <= row["bound"] for row in rows),
            f"{1e3 * np.mean([row['regret'] for row in rows]):.1f}e-3",
            f"{1e3 * np.mean([row['expected'] for row in rows]):.1f}e-3",
        ]  # fmt: skip
        lines.append(f"| {' | '.join(map(str, values))} |")
    return "\n".join(lines) + "\n"


def share(held: Iterable[bool]) -> str:
    """Percent."""
    return f"{100 * np.mean(list(held)):.0f} %"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("names", nargs="*", help="parts of the names of violations; all when left out")
    given = parser.parse_args()
    print(page(run(given.draws, given.names)))
