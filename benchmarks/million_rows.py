"""Seconds of every method of a table with a million rows and 10,000 cells: `python benchmarks/million_rows.py`."""

import resource
import time
from collections.abc import Callable

import numpy as np
import pandas as pd

import hyperlaw as hl

ROWS, CELLS = 1_000_000, 10_000
RNG = np.random.default_rng(0)


def runs() -> pd.DataFrame:
    """100 runs in each of 10,000 cells, of 13 learning rates and 3 batch sizes."""
    cell = np.repeat(np.arange(CELLS), ROWS // CELLS)
    table = pd.DataFrame(
        {
            "params": 1e7 * (1 + cell % 100) ** 1.5, "data": 1e9 * (1 + cell // 100) ** 1.5,
            "learning_rate": 2e-3 * np.exp(0.25 * RNG.integers(-6, 7, ROWS)),
            "batch_size": 2.0 ** RNG.integers(13, 16, ROWS), "seed": np.arange(ROWS) % 100,
        }
    )  # fmt: skip
    return table.assign(loss=1.7 + (table["params"] / 1e7) ** -0.3 + (table["data"] / 1e9) ** -0.3 + _bowl(table))


def readings() -> pd.DataFrame:
    """50,000 runs, each read at 20 horizons."""
    run = np.repeat(np.arange(ROWS // 20), 20)
    table = pd.DataFrame(
        {
            "params": 1e7 * (1 + run % 50), "data": 1e8 * 1.3 ** (np.arange(ROWS) % 20), "run": run,
            "learning_rate": 2e-3 * np.exp(0.25 * (run // 50 % 13 - 6)), "batch_size": 2.0 ** (12 + run // 650 % 6),
            "seed": run // 3900,
        }
    )  # fmt: skip
    return table.assign(loss=2.7 + (table["data"] / 1e8) ** -0.2 + _bowl(table))


def curves() -> pd.DataFrame:
    """2,000 learning curves of 500 points in four environments."""
    row = np.arange(ROWS)
    curve = row // 500
    table = pd.DataFrame(
        {
            "task": (row // (ROWS // 4)).astype(str), "utd": 2.0 ** (curve % 4),
            "batch_size": 2.0 ** (6 + curve // 4 % 3),
            "learning_rate": 1e-3 * 2.0 ** (curve // 12 % 3), "seed": curve // 36, "data": 1000.0 * (1 + row % 500),
        }
    )  # fmt: skip
    rise = 1 - np.exp(-table["data"] / 1e5 * (1 + 0.2 * np.log2(table["utd"])))
    return table.assign(performance=1000 * rise + RNG.normal(0, 20, ROWS))


def _bowl(table: pd.DataFrame) -> pd.Series:
    """How far each run is above its cell's lowest loss."""
    away = 0.02 * np.log(table["learning_rate"] / 2e-3) ** 2 + 0.01 * np.log(table["batch_size"] / 2**15) ** 2
    return away + RNG.normal(0, 0.003, len(table))


def timed[T](name: str, call: Callable[[], T]) -> T:
    """What a call returns; its seconds are printed."""
    begun = time.perf_counter()
    found = call()
    print(f"{name:30} {time.perf_counter() - begun:6.2f} s", flush=True)
    return found


def main() -> None:
    """All methods, one after the other."""
    sweep = timed("Runs.from_frame", lambda: hl.Runs.from_frame(runs(), batch_unit=1))
    timed("digest", lambda: sweep.digest)
    timed("cells", lambda: sweep.cells)
    timed("shown in a notebook", sweep._repr_html_)
    timed("where", lambda: sweep.where(sweep.frame["data"] > 1e10))
    timed("optima", sweep.optima)
    timed("optima by batch size", lambda: sweep.optima(by_batch=True))
    of_runs = timed("Runs of readings", lambda: hl.Runs.from_frame(readings(), batch_unit=1))
    timed("steps_to_loss", lambda: of_runs.steps_to_loss([3.4, 3.3], seed=0, bootstrap=20))
    learned = timed("Curves.from_frame", lambda: hl.Curves.from_frame(curves()))
    crossings = timed("crossings", lambda: learned.crossings([300, 500, 800], seed=0))
    timed("optima of crossings", crossings.optima)
    timed("best of crossings", crossings.best)
    print(f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.1f} GB")


if __name__ == "__main__":
    main()
