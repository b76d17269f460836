"""Memory and memory maps of one process that fits many tables: `python benchmarks/many_shapes.py --fits 500`.

Five fits in turn of each of 100 tables that differ in cells, horizons and rows, each short: what is looked at is what
compiled programs leave behind. Prints resident memory (GB) and the number of memory maps as it goes.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd

import hyperlaw as hl

LAW = hl.laws.StepLaw()
EVERY, TIMES = 10, 5


def table(shape: int) -> hl.Runs:
    """A sweep of 2 to 11 sizes at 2 to 3 horizons, with 12 to 28 runs a cell."""
    rng = np.random.default_rng(shape)
    sizes, horizons, rows = 2 + shape % 10, 2 + shape // 10 % 2, 12 + 4 * (shape // 20)
    cell = np.repeat(np.arange(sizes * horizons), rows)
    params, data = 1e7 * 2.0 ** (cell % sizes), 1e9 * 3.0 ** (cell // sizes)
    u, v = rng.uniform(-1.5, 1.5, (2, len(cell)))
    frame = pd.DataFrame(
        {
            "params": params, "data": data, "learning_rate": 2e-3 * np.exp(u), "batch_size": 2.0**15 * np.exp(v),
            "loss": 2 + (params / 1e7) ** -0.3 + 0.02 * u**2 + 0.01 * v**2 + rng.normal(0, 0.003, len(cell)),
        }
    )  # fmt: skip
    return hl.Runs.from_frame(frame, batch_unit=1)


def footprint() -> tuple[float, int]:
    """Resident memory, GB, and the number of memory maps, of this process (Linux)."""
    status = Path("/proc/self/status").read_text()
    resident = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    return resident / 1e6, len(Path("/proc/self/maps").read_text().splitlines())


def main(fits: int) -> None:
    """Fit, and print the footprint every ten fits."""
    shapes, begun = fits // TIMES, time.monotonic()
    for i in range(fits):
        hl.fit(LAW, table(i % shapes), seed=i, draws=50, warmup=100, chains=2, progress=False)
        if (i + 1) % EVERY == 0:
            memory, maps = footprint()
            print(f"{i + 1} fits of {min(i + 1, shapes)} tables: {memory:.2f} GB, {maps} maps, "
                  f"{time.monotonic() - begun:.0f} s", flush=True)  # fmt: skip


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--fits", type=int, default=500)
    main(arguments.parse_args().fits)
