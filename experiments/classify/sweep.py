"""Run the sweep, or go on with it: `python -m experiments.classify.sweep`.

Every (optimizer, batch size) is one group of runs and one file under `--parts`. A group whose file exists is skipped,
so the command may be stopped and started again; a half-trained group leaves no file. `--worker 0/2` takes every
second group, for two processes on two cores. With `--collect FILE` the parts are joined into the Parquet file that the
package ships.
"""

import argparse
import json
import math
import os
import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import jax
import pandas as pd
from rich.progress import track

from experiments.classify.digits import IMAGES, Digits
from experiments.classify.train import OPTIMIZERS, train

SEEDS = [0, 1, 2, 3, 4]


@dataclass(frozen=True)
class Group:
    """Runs that share a compiled program: one optimizer, one batch size, all learning rates and seeds."""

    optimizer: str
    batch_size: int

    @property
    def learning_rates(self) -> list[float]:
        """Eleven, half an octave apart, around the best one of a pilot run; the highest diverge."""
        octave = math.log2(self.batch_size)
        centre = min(-4 + octave * 2 / 3, 0) if self.optimizer == "sgd" else min(-7.5 + octave / 2, -4.5)
        return [2.0 ** (round(2 * centre) / 2 + e / 2) for e in range(-5, 6)]

    @property
    def horizons(self) -> list[int]:
        """Images seen at which a run is scored: 4 an octave, to 2^15 and to 1,024 steps at least."""
        last = max(2**15, 1024 * self.batch_size)
        grid = [part * 2**e for e in range(4, 20) for part in (4, 5, 6, 7)]
        return [data for data in grid if data <= last and data % self.batch_size == 0]

    @property
    def file(self) -> str:
        """Name of the part that holds this group's runs."""
        return f"{self.optimizer}-{self.batch_size}.csv"


def groups() -> list[Group]:
    """All groups, in the order in which they are run: batch sizes from one image to all of them."""
    return [Group(name, 2**e) for name in OPTIMIZERS for e in range(IMAGES.bit_length())]


def run(parts: Path, worker: int, workers: int) -> None:
    """Train the groups that are this worker's and have no file yet."""
    parts.mkdir(parents=True, exist_ok=True)
    digits = Digits.from_sklearn()
    machine = {"python": platform.python_version(), "jax": jax.__version__, "device": jax.devices()[0].platform}
    for group in track(groups()[worker::workers], description=f"worker {worker}"):
        target = parts / group.file
        if target.exists():
            continue
        start = time.monotonic()
        table = train(digits, group.optimizer, group.batch_size, group.learning_rates, group.horizons, SEEDS)
        half_written = target.with_suffix(".partial")
        table.to_csv(half_written, index=False)
        record = machine | asdict(group) | {"digits": digits.digest, "seconds": round(time.monotonic() - start, 1)}
        with open(parts / f"cost-{worker}.jsonl", "a") as costs:
            costs.write(json.dumps(record) + "\n")
        os.replace(half_written, target)


def collect(parts: Path, target: Path) -> pd.DataFrame:
    """Join the parts that exist into one Parquet file, in a fixed order, losses in single precision."""
    files = [parts / g.file for g in groups() if (parts / g.file).exists()]
    if not files:
        raise FileNotFoundError(f"no finished group under {parts}: run the sweep first")
    table = pd.concat([pd.read_csv(f) for f in files], ignore_index=True).astype({"loss": "float32"})
    table.to_parquet(target, index=False, compression="zstd")
    return table


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", type=Path, default=Path("build/classify"), help="folder of finished groups")
    parser.add_argument("--worker", default="0/1", metavar="I/N", help="take every N-th group, from the I-th")
    parser.add_argument("--collect", type=Path, metavar="FILE", help="join the parts into FILE and stop")
    chosen = parser.parse_args()
    if chosen.collect:
        print(f"{len(collect(chosen.parts, chosen.collect))} rows in {chosen.collect}")
    else:
        run(chosen.parts, *(int(x) for x in chosen.worker.split("/")))
