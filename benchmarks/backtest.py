"""Backtest the laws on the shipped sweep and, where it is at hand, on a published one.

    python benchmarks/backtest.py --repeats 20

Fits few and many runs a cell, withholds the largest scales, and writes docs/evidence/backtest.md. The published sweep
`lm_adamw_dense.csv` (Step Law, arXiv 2503.04715), which the project does not ship, is read from the folder that
`HYPERLAW_PUBLIC_SWEEPS` names and left out, with a message, where that is not set. Finished parts are kept in
build/backtest, named after the code that made them, and a stopped run goes on with the rest.
"""

import argparse
import hashlib
import os
from pathlib import Path

import numpy as np
import pandas as pd
from public_sweep import load
from rich.progress import track

import hyperlaw as hl
from hyperlaw.diagnostics.baselines.settings import RECIPES

ROOT = Path(__file__).parents[1]
SPARSE = (8, 16, 32)
SCORED_BY = (
    "inference/sampler.py", "inference/refit.py", "inference/predict.py", "inference/cells.py",
    "diagnostics/score_settings.py", "diagnostics/ground_truth.py", "diagnostics/baselines/settings.py",
    "data/estimators/local_surface.py",
)  # fmt: skip
SPLITS = {"published": ("largest", "largest:2"), "lm_adam": ("largest",)}
TITLES = {
    ("published", "largest"): "Published sweep, the largest size withheld (429M; 215M and 268M are fitted)",
    ("published", "largest:2"): "Published sweep, the two largest sizes withheld (one size is fitted: 215M)",
    ("lm_adam", "largest"): "Shipped sweep lm_adam, the largest horizon withheld (4 x the data of any run fitted)",
}
SHOWN = {
    "regret": "regret, mean", "regret_worst": "worst", "covered_regret": "regret <= bound",
    "covered_learning_rate": "eta*", "covered_batch_size": "B*", "covered_loss": "loss", "covered_runs": "runs",
    "log_score": "log score", "crps": "CRPS",
}  # fmt: skip


def sweeps() -> dict[str, hl.Runs]:
    """The sweeps at hand, by name."""
    found = {"lm_adam": hl.load_sweep("lm_adam")}
    if os.environ.get("HYPERLAW_PUBLIC_SWEEPS"):
        found["published"] = load()
    else:
        print("HYPERLAW_PUBLIC_SWEEPS is not set: the published sweep is left out.")
    return found


def parts(runs: dict[str, hl.Runs], repeats: int) -> list[tuple[str, str, int | None, int]]:
    """What is to be done: sweep, split, runs a cell (None: all), repeat."""
    few = [(size, repeat) for repeat in range(repeats) for size in SPARSE]
    return [(name, split, *what) for what in [(None, 0), *few] for name in runs for split in SPLITS[name]]


def code() -> str:
    """Digest of the package's code: results of other code are not mixed in."""
    package = ROOT / "hyperlaw"
    files = [*sorted((package / "models").rglob("*.py")), *(package / name for name in SCORED_BY)]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]


def run(repeats: int) -> pd.DataFrame:
    """All parts, those done before read from build/backtest."""
    runs = sweeps()
    folder = ROOT / "build" / "backtest" / code()
    folder.mkdir(parents=True, exist_ok=True)
    tables = []
    for name, split, size, repeat in track(parts(runs, repeats), "backtest"):
        path = folder / f"{name}-{split.replace(':', '')}-{size or 'all'}-{repeat}.csv"
        if not path.exists():
            laws = {"StepLaw": hl.laws.StepLaw()}
            if size is None:
                laws["TimeTransfer"] = hl.laws.TimeTransfer()
            result = hl.backtest(laws, runs[name], hold_out=split, seed=repeat, sparse=size, progress=False)
            result.table.to_csv(path.with_suffix(".tmp"), index=False)
            path.with_suffix(".tmp").rename(path)
        part = pd.read_csv(path, keep_default_na=True)
        tables.append(part.assign(sweep=name, split=split, size=size or 0, repeat=repeat))
    return pd.concat(tables, ignore_index=True)


def summary(table: pd.DataFrame) -> str:
    """Markdown of one split: a table for each number of runs a cell."""
    blocks = []
    for size in (*SPARSE, 0):
        rows = table[(table["size"] == size) & table["risk"].isin(["cvar90", np.nan])]
        if rows.empty:
            continue
        repeats = rows["repeat"].nunique()
        lines = ["| method | " + " | ".join(SHOWN.values()) + " |", "|---" * (len(SHOWN) + 1) + "|"]
        for method in [*(m for m in rows["method"].unique() if m not in RECIPES), *RECIPES]:
            lines.append(_line(method, rows[rows["method"] == method]))
        head = f"**{size or 'All'} runs a cell**, {repeats} draw{'s' if repeats > 1 else ''} of runs, "
        cells = rows["cell"].nunique()
        blocks.append(head + f"{cells} withheld cell{'s' if cells > 1 else ''}\n\n" + "\n".join(lines))
    return "\n\n".join(blocks)


def _line(method: str, rows: pd.DataFrame) -> str:
    values = {name: rows[name].astype(float) for name in SHOWN if name != "regret_worst"}
    cells = []
    for name in SHOWN:
        value = rows["regret"].max() if name == "regret_worst" else values[name].mean()
        if np.isnan(value):
            cells.append("")
        elif name.startswith("regret"):
            cells.append(f"{1e3 * value:.2f}e-3")
        else:
            cells.append(f"{100 * value:.0f} %" if name.startswith("covered") else f"{value:.3g}")
    return f"| {method} | " + " | ".join(cells) + " |"


def main(repeats: int) -> None:
    """Write docs/evidence/backtest.md between its marks, leaving the words around them."""
    table = run(repeats)
    page = ROOT / "docs" / "evidence" / "backtest.md"
    text = page.read_text()
    for (name, split), title in TITLES.items():
        mark = f"<!-- {name} {split} -->"
        rows = table[(table["sweep"] == name) & (table["split"] == split)]
        if rows.empty:
            print(f"{title}: not run, its tables stay as they are.")
            continue
        before, _, rest = text.partition(mark)
        _, _, after = rest.partition("<!-- end -->")
        text = f"{before}{mark}\n\n### {title}\n\n{summary(rows)}\n\n<!-- end -->{after}"
    page.write_text(text)
    print(f"Wrote {page.relative_to(ROOT)}.")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--repeats", type=int, default=20, help="draws of runs at each number a cell")
    main(arguments.parse_args().repeats)
