"""Backtest StepLaw with few runs a cell, of many draws of them.

    python benchmarks/few_runs.py --repeats 20

Of the blocks of benchmarks/backtest.py that have the most runs a cell, 8, 16 or 32 runs of each cell are drawn and the
rest is forgotten; then it is as there. Writes docs/evidence/few-runs.md. Finished parts are kept in build/few_runs,
named after the code that made them, and a stopped run goes on with the rest. The published sweep is left out, with a
message, where `HYPERLAW_PUBLIC_SWEEPS` does not name its folder.
"""

import argparse
from pathlib import Path

import jax
import pandas as pd
from backtest import ROOT, Block, at_hand, code, nats, sweep
from rich.progress import track

import hyperlaw as hl

SIZES = (8, 16, 32)
BLOCKS = ("lm_adam-20", "dense-size", "dense-data")
HEADS = (
    "runs a cell", "draws", "regret", "worst", "best recipe", "its regret", "its worst", "lost less", "expected",
    "bound", "eta*", "B*", "loss", "width", "runs",
)  # fmt: skip
PAGE = ROOT / "docs" / "evidence" / "few-runs.md"


def scored(block: Block, size: int, repeat: int, folder: Path) -> pd.DataFrame:
    """Scores of StepLaw and the recipes from one draw of so many runs a cell."""
    path = folder / f"{block.name}-{size}-{repeat}.csv"
    if not path.exists():
        whole = sweep(block.sweep)
        found = hl.backtest(
            {"StepLaw": hl.laws.StepLaw()}, whole.where(block.used(whole.frame)), hold_out=block.out, seed=repeat,
            sparse=size, progress=False,
        )  # fmt: skip
        found.table.to_csv(path.with_suffix(".tmp"), index=False)
        path.with_suffix(".tmp").rename(path)
        jax.clear_caches()  # the compiled programs of all blocks together do not fit into memory
    return pd.read_csv(path).assign(block=block.name, size=size, repeat=repeat)


def row(table: pd.DataFrame) -> str:
    """A line of the page: the choices beside the recipe that lost least on the same runs, told afterwards."""
    law = table[(table["method"] == "StepLaw") & (table["risk"] == "cvar90")]
    recipes = table[table["risk"].isna() & ~table["method"].str.endswith("formula")]
    best = recipes.groupby("method")["regret"].mean().idxmin()
    by_hand = recipes[recipes["method"] == best]
    ours, theirs = (rows.groupby("repeat")["regret"].mean() for rows in (law, by_hand))
    share = lambda name: f"{100 * law[name].astype(float).mean():.0f} %"  # noqa: E731
    cells = [
        str(table["size"].iloc[0]), str(len(ours)), nats(law["regret"].mean()), nats(law["regret"].max()), best,
        nats(by_hand["regret"].mean()), nats(by_hand["regret"].max()), f"{(ours < theirs).sum()} of {len(ours)}",
        nats(law["regret_expected"].mean()), share("inside_regret"), share("inside_learning_rate"),
        share("inside_batch_size"), share("inside_loss"), f"{law['width_loss'].mean():.2g}", share("covered_runs"),
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def main(repeats: int) -> None:
    """Write the tables of the page, after its mark; the words before it stay."""
    folder = ROOT / "build" / "few_runs" / code()
    folder.mkdir(parents=True, exist_ok=True)
    blocks = [block for block in at_hand() if block.name in BLOCKS]
    parts = [(block, size, repeat) for repeat in range(repeats) for size in SIZES for block in blocks]
    table = pd.concat([scored(*part, folder) for part in track(parts, "few runs")], ignore_index=True)
    lines = []
    for block in blocks:
        lines += [f"## {block.title[0].upper()}{block.title[1:]}", ""]
        lines += [f"| {' | '.join(HEADS)} |", "|---" * len(HEADS) + "|"]
        here = table[table["block"] == block.name]
        lines += [*(row(here[here["size"] == size]) for size in SIZES), ""]
    words, mark, _ = PAGE.read_text().partition("<!-- tables -->")
    PAGE.write_text(f"{words}{mark}\n\n" + "\n".join(lines))
    print(f"Wrote {PAGE.relative_to(ROOT)}.")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--repeats", type=int, default=20, help="draws of runs at each number a cell")
    main(arguments.parse_args().repeats)
