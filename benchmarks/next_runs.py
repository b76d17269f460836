"""Measure whether the runs that `next_runs` chooses improve a choice more than others of the same compute.

    python benchmarks/next_runs.py --repeats 20

Each repeat starts from 4 runs of each small cell of the shipped sweep `lm_adam`, drawn anew, fits StepLaw, and adds 8
of the small runs that are left: those of `next_runs`, 8 at random, or a grid. Their real losses are fitted with the
first ones, a setting is chosen for the withheld scale, and its regret is measured on the runs made there. Results
are appended to build/next_runs.jsonl as they come, and a stopped run goes on with the rest (delete the file after a
change of the code); at the end docs/evidence/next_runs.md is written.
"""

import argparse
import json
import time
from dataclasses import replace
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

import hyperlaw as hl
from hyperlaw.diagnostics.ground_truth import ground_truth
from hyperlaw.inference.posterior import Posterior
from hyperlaw.inference.predict import predict
from hyperlaw.inference.refit import quality, refit
from hyperlaw.risk import choose

ROOT = Path(__file__).parents[1]
RESULTS, PAGE = ROOT / "build" / "next_runs.jsonl", ROOT / "docs" / "evidence" / "next_runs.md"
TARGET = {"params": 98304, "data": 2**22}
SMALL = 2**20
EACH, MORE = 4, 8
RISK = hl.CVaR(0.9)
METHODS = ("next_runs", "random", "grid")
NEAR, SWAPS = 0.1, 20_000


def compute(frame: pd.DataFrame) -> np.ndarray:
    """Training FLOPs of each run."""
    return (6 * frame["params"] * frame["data"]).to_numpy()


def start(small: hl.Runs, rng: np.random.Generator) -> np.ndarray:
    """Labels of EACH runs of each cell, drawn until they are a sweep."""
    while True:
        drawn = [rng.choice(group.index, EACH, replace=False) for _, group in small.frame.groupby("cell")]
        labels = np.concatenate(drawn)
        try:
            small.where(pd.Series(small.frame.index.isin(labels), small.frame.index))
        except ValueError:
            continue
        return labels


def by_chance(pool: pd.DataFrame, like: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """MORE runs drawn uniformly from all sets whose compute is within a tenth of that of `like`: swaps from there."""
    cost, chosen = compute(pool), pool.index.get_indexer(like)
    budget = cost[chosen].sum()
    total = budget
    for _ in range(SWAPS):
        out, new = rng.integers(len(chosen)), rng.integers(len(pool))
        changed = total - cost[chosen[out]] + cost[new]
        if new not in chosen and abs(changed / budget - 1) <= NEAR:
            chosen[out], total = new, changed
    return pool.index[chosen].to_numpy()


def on_a_grid(pool: pd.DataFrame, first: pd.DataFrame, budget: float) -> np.ndarray:
    """MORE runs in a grid around the best first run of a cell, or of two, of the compute nearest to `budget`.

    One cell: learning rates 4, 2, 1/2, 1/4 times the best at twice and half the best batch size. Two cells: twice and
    half of both in each. Each point is the nearest run that is left.
    """
    cost = {cell: compute(group)[0] for cell, group in pool.groupby("cell")}
    pair = min(combinations_with_replacement(cost, 2), key=lambda two: abs(4 * sum(cost[c] for c in two) - budget))
    labels: list[Any] = []
    for cell in sorted(set(pair)):
        best = first.loc[first.loc[first["cell"] == cell, "loss"].idxmin()]
        for rate in (4, 2, 0.5, 0.25) if pair[0] == pair[1] else (2, 0.5):
            for batch in (2, 0.5):
                left = pool[(pool["cell"] == cell) & ~pool.index.isin(labels)]
                away = np.log(left["learning_rate"] / best["learning_rate"] / rate) ** 2
                away += np.log(left["batch_size"] / best["batch_size"] / batch) ** 2
                labels.append(away.idxmin())
    return np.array(labels)


def fitted(small: hl.Runs, keep: np.ndarray, rng: np.random.Generator, seed: int) -> Posterior:
    """StepLaw on the runs `keep`, among as many others that it is not shown as make every table of one shape."""
    index = small.frame.index
    size = EACH * len(small.cells) + MORE
    others = rng.choice(index[~index.isin(keep)], size - len(keep), replace=False)
    table = small.where(pd.Series(index.isin([*keep, *others]), index))
    return refit(hl.laws.StepLaw(), table, seed=seed, keep=pd.Series(table.frame.index.isin(keep), table.frame.index))


def joined(first: Posterior, second: Posterior) -> Posterior:
    """The chains of two fits that differ in the seed: `next_runs` needs more draws than one refit has."""
    posteriors = [fit.draws for fit in (first, second)]
    both = xr.concat([posteriors[0], posteriors[1].assign_coords(chain=posteriors[1]["chain"] + 2)], dim="chain")
    tree = xr.DataTree.from_dict({"posterior": both})
    tree.attrs = dict(first.tree.attrs)
    return replace(first, tree=tree)


def scored(fit: Posterior, withheld: pd.DataFrame) -> dict[str, float]:
    """The choice at the target, its risk as the fit sees it, and what it lost on the runs made there."""
    draws = predict(fit, TARGET).draws
    regret = draws["regret"].stack(sample=("chain", "draw")).transpose("sample", "candidate").values
    best, risks = choose(RISK, regret)
    setting = {name: float(draws[name].values[best]) for name in ("learning_rate", "batch_size")}
    truth = ground_truth(withheld, setting)
    return setting | {
        "risk": float(risks[best]), "regret": truth.regret_surface, "regret_nearest": truth.regret_nearest,
    }  # fmt: skip


def repeat_of(number: int, runs: hl.Runs) -> list[dict[str, Any]]:
    """One repeat: a row for the start and one for each method."""
    frame = runs.frame
    small = runs.where(frame["data"] <= SMALL)
    withheld = frame[(frame["params"] == TARGET["params"]) & (frame["data"] == TARGET["data"])]
    rng = np.random.default_rng([number, 11])
    first = start(small, rng)
    clock = time.process_time()
    fit = fitted(small, first, rng, seed=number)
    rows = [{"method": "start", "compute": 0.0, "runs": []} | scored(fit, withheld) | quality(fit)]
    rows[0]["cpu_seconds"] = time.process_time() - clock

    clock = time.process_time()
    pool = small.frame.drop(index=first)
    draws = joined(fit, fitted(small, first, rng, seed=1000 + number))
    asked = hl.next_runs(
        draws, TARGET, candidates=pool, n=MORE, risk=RISK, cost="runs", seed=number, progress=False,
        despite="a refit holds nothing to check",
    )  # fmt: skip
    asking = time.process_time() - clock
    budget = float(compute(asked.table).sum())
    chosen = {
        "next_runs": asked.table.index.to_numpy(),
        "random": by_chance(pool, asked.table.index.to_numpy(), rng),
        "grid": on_a_grid(pool, small.frame.loc[first], budget),
    }
    for method, labels in chosen.items():
        clock = time.process_time()
        again = fitted(small, np.concatenate([first, labels]), rng, seed=number)
        row = {"method": method, "compute": float(compute(pool.loc[labels]).sum()), "runs": labels.tolist()}
        row |= scored(again, withheld) | quality(again)
        rows.append(row | {"cpu_seconds": time.process_time() - clock + (asking if method == "next_runs" else 0.0)})
    rows[1] |= {
        "expected": float(asked.table["reduction"].sum()), "untrusted": float(asked.table["untrusted"].mean()),
        "value_of_perfect_information": asked.value_of_perfect_information,
    }  # fmt: skip
    return [{"repeat": number} | row for row in rows]


def page(table: pd.DataFrame) -> str:
    """Markdown of all repeats."""
    repeats = table["repeat"].nunique()
    lines = [
        "| after | regret, mean | median | worst | nearest run, mean | CVaR(0.9) by the fit | compute, TFLOPs |",
        "|---" * 7 + "|",
    ]
    for method in ("start", *METHODS):
        rows = table[table["method"] == method]
        numbers = [
            rows["regret"].mean(), rows["regret"].median(), rows["regret"].max(), rows["regret_nearest"].mean(),
            rows["risk"].mean(),
        ]  # fmt: skip
        shown = " | ".join(f"{1e3 * number:.2f}e-3" for number in numbers)
        lines.append(f"| {method} | {shown} | {rows['compute'].mean() / 1e12:.3g} |")
    wide = table.pivot(index="repeat", columns="method", values="regret")
    for other in ("random", "grid", "start"):
        lower = wide[other] - wide["next_runs"]
        error = lower.std(ddof=1) / np.sqrt(len(lower)) if len(lower) > 1 else np.nan
        lines.append(
            f"\nAgainst {other}: the regret of `next_runs` is lower by {1e3 * lower.mean():.2f}e-3 nats (standard "
            f"error {1e3 * error:.2f}e-3) and is the lower one in {int((lower > 0).sum())} of {len(lower)} repeats."
        )
    ours, before = table[table["method"] == "next_runs"], table[table["method"] == "start"]
    fallen = before.set_index("repeat")["risk"] - ours.set_index("repeat")["risk"]
    lines.append(
        f"\n`next_runs` expected the risk to fall by {1e3 * ours['expected'].mean():.2f}e-3 nats (endless small runs: "
        f"{1e3 * ours['value_of_perfect_information'].mean():.2f}e-3); after the refit it had fallen by "
        f"{1e3 * fallen.mean():.2f}e-3. {100 * ours['untrusted'].mean():.0f} % of its simulated outcomes were "
        "untrusted and counted in part."
    )
    head = f"""# Are the runs that `next_runs` chooses worth more than others?

    python benchmarks/next_runs.py --repeats {repeats}

Shipped sweep `lm_adam`, {repeats} repeats. Each starts from {EACH} runs of each of the 10 small cells, fits StepLaw,
and adds {MORE} of the small runs left: those of `next_runs` (`cost="runs"`, CVaR(0.9) at the target), {MORE} drawn
from all sets of the same compute within a tenth, or a grid around the best run of one or two cells, of the compute
nearest to it. All three are refitted with the losses that these runs really had; a setting is chosen by CVaR(0.9) for
params 98,304 and data 2^22, four times the data of any run fitted, and its regret is measured on the 56 runs there
(nats, on a smooth surface through the best of them, and of the nearest run). Repeats share these 56 runs and are not
independent questions.

"""
    return head + "\n".join(lines) + "\n"


def main(repeats: int) -> None:
    """Do what is left to do, then write the page."""
    RESULTS.parent.mkdir(exist_ok=True)
    text = RESULTS.read_text() if RESULTS.exists() else ""
    rows = [json.loads(line) for line in text.splitlines()]
    done = {row["repeat"] for row in rows}
    runs = hl.load_sweep("lm_adam")
    for number in range(repeats):
        if number in done:
            continue
        new = repeat_of(number, runs)
        with RESULTS.open("a") as file:
            file.write("".join(json.dumps(row) + "\n" for row in new))
        rows += new
        print(pd.DataFrame(new).drop(columns="runs").to_string(index=False, float_format="{:.3g}".format), flush=True)
    PAGE.write_text(page(pd.DataFrame([row for row in rows if row["repeat"] < repeats])))
    print(f"Wrote {PAGE.relative_to(ROOT)}.")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--repeats", type=int, default=20)
    main(arguments.parse_args().repeats)
