"""Fit 100 simulated sweeps that have no fault, at default settings, and count those whose checks pass.

    python benchmarks/clean_sweeps.py

Writes docs/evidence/clean-sweeps.md. A sweep of 96 to 960 runs in 1 to 30 tasks is drawn from StepLaw's own model:
every parameter is the middle one of three draws of its prior, and the best settings at the pivot lie near the middle
of the grid. So it has no fault, and is no wild draw. Finished fits are kept in build/clean_sweeps, named after the code
that made them, and a stopped run goes on with the rest.
"""

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
import pandas as pd
from backtest import code
from numpyro import handlers
from numpyro.infer import Predictive
from rich.progress import track

import hyperlaw as hl

ROOT = Path(__file__).parents[1]
LAW = hl.laws.StepLaw()


@dataclass(frozen=True)
class Shape:
    """How many of everything a sweep has, and how many such sweeps are fitted."""

    sweeps: int
    tasks: int
    sizes: int
    horizons: int
    rates: int
    batches: int

    @property
    def settings(self) -> pd.DataFrame:
        """Its settings, with losses that only place the priors."""
        axes = [range(n) for n in (self.tasks, self.sizes, self.horizons, self.rates, self.batches)]
        task, size, horizon, rate, batch = (a.ravel() for a in np.meshgrid(*axes, indexing="ij"))
        params, data = 1e6 * 3.0**size, 1e8 * 3.0**horizon
        return pd.DataFrame(
            {
                "task": [f"task {i}" for i in task], "params": params, "data": data,
                "learning_rate": 1e-3 * 2.0 ** (rate - self.rates // 2),
                "batch_size": 2.0 ** (15 + batch - self.batches // 2),
                "loss": 2 + 0.5 * (params / 1e6) ** -0.2 + 0.5 * (data / 1e8) ** -0.2,
            }
        )  # fmt: skip


SHAPES = (
    Shape(15, 1, 2, 2, 6, 4),
    Shape(20, 1, 2, 3, 7, 5),
    Shape(15, 1, 3, 3, 5, 3),
    Shape(15, 1, 4, 4, 7, 5),
    Shape(10, 1, 3, 5, 9, 7),
    Shape(15, 3, 2, 3, 7, 5),
    Shape(6, 10, 2, 2, 6, 4),
    Shape(4, 30, 2, 2, 4, 2),
)


def drawn(shape: Shape, seed: int) -> hl.Runs:
    """A sweep drawn from the law's own model."""
    frame = shape.settings
    runs = hl.Runs.from_frame(frame)
    model = hl.likelihood(LAW, runs)
    with jax.enable_x64(True):
        design, key = model.to_simulate(model.design(runs)), jax.random.key(seed)
        draws = {p.name: design.priors[p.name].sample(jax.random.fold_in(key, i), (3,))
                 for i, p in enumerate(model.parameter_list)}  # fmt: skip
        middle = {name: np.median(values)[None] for name, values in draws.items()}
        for i, name in enumerate(("learning_rate", "batch_size")):
            off = 0.35 * np.random.default_rng((seed, i)).standard_normal(1)  # half an octave
            middle[f"log_{name}"] = np.log(np.unique(frame[name])).mean() + off
        found = Predictive(handlers.uncondition(model.model), middle, return_sites=["loss", "diverged"])(key, design)
    return model.table_with(runs, {name: np.asarray(values[0])[: len(runs)] for name, values in found.items()})


def fitted(shape: Shape, seed: int, target_accept: float | None) -> dict:
    """What a fit of such a sweep says of itself."""
    runs, start = drawn(shape, seed), time.monotonic()
    care = {} if target_accept is None else {"target_accept": target_accept}
    fit = hl.fit(LAW, runs, seed=seed, progress=False, **care)
    seconds, stats, checks = time.monotonic() - start, fit.group("sample_stats"), fit.check()
    return {
        "seed": seed, "runs": len(runs), "ok": checks.ok, "failed": checks.failed,
        "divergences": int(stats["diverging"].sum()), "steps": float(stats["n_steps"].mean()),
        "values": dict(zip(checks.table["check"], checks.table["value"], strict=True)), "seconds": seconds,
    }  # fmt: skip


def run(target_accept: float | None) -> list[tuple[Shape, dict]]:
    """All sweeps, those done before read from build/clean_sweeps."""
    folder = ROOT / "build" / "clean_sweeps" / code() / f"{target_accept or 'default'}"
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for which, shape in enumerate(track(SHAPES, "clean sweeps")):
        for seed in range(1000 * which, 1000 * which + shape.sweeps):
            path = folder / f"{seed}.json"
            if not path.exists():
                path.with_suffix(".tmp").write_text(json.dumps(fitted(shape, seed, target_accept)))
                path.with_suffix(".tmp").rename(path)
            found.append((shape, json.loads(path.read_text())))
        jax.clear_caches()
    return found


def page(found: list[tuple[Shape, dict]], target_accept: float | None) -> str:
    """Markdown: one row a shape, and the sweeps that failed."""
    names = [
        "tasks", "cells", "runs", "sweeps", "all checks passed", "divergences", "R-hat, largest", "ESS, smallest",
        "steps a draw",
    ]  # fmt: skip
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    for shape in SHAPES:
        rows = [row for of, row in found if of == shape]
        values = [
            shape.tasks, shape.tasks * shape.sizes * shape.horizons, rows[0]["runs"], len(rows),
            sum(row["ok"] for row in rows), sum(row["divergences"] for row in rows),
            f"{max(row['values']['R-hat, largest'] for row in rows):.3f}",
            f"{min(row['values']['ESS bulk, smallest'] for row in rows):.0f}",
            f"{np.mean([row['steps'] for row in rows]):.0f}",
        ]  # fmt: skip
        lines.append(f"| {' | '.join(map(str, values))} |")
    failed = [f"- {r['runs']} runs, seed {r['seed']}: {', '.join(r['failed'])}" for _, r in found if not r["ok"]]
    care = "default settings" if target_accept is None else f"target_accept={target_accept}"
    passed = f"{sum(row['ok'] for _, row in found)} of {len(found)} sweeps passed all checks, at {care}."
    return "\n".join([passed, "", *lines, "", *(failed or ["None failed."]), ""])


def main(target_accept: float | None) -> None:
    """Write the table of docs/evidence/clean-sweeps.md, after its mark; the words before it stay."""
    text = page(run(target_accept), target_accept)
    path = ROOT / "docs" / "evidence" / "clean-sweeps.md"
    if target_accept is None:
        words, mark, _ = path.read_text().partition("<!-- table -->")
        path.write_text(f"{words}{mark}\n\n{text}")
    print(text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target-accept", type=float, help="instead of the default; printed, not written")
    main(parser.parse_args().target_accept)
