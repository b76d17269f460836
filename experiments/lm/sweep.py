"""Run the sweep, or go on with it: `python -m experiments.lm.sweep`.

Every (scale, width, batch size, seed) is one group of runs and one file under `--parts`. A group whose
file exists is skipped, so the command may be stopped and started again; a half-trained group
leaves no file. `--worker 0/2` takes every second group, for two processes on two cores. With
`--collect FILE` the parts are joined into the Parquet file that the package ships.
"""

import argparse
import json
import os
import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import jax
import pandas as pd
from rich.progress import track

from experiments.lm.corpus import Corpus
from experiments.lm.train import train


@dataclass(frozen=True)
class Group:
    """Runs that share a compiled program: one width, one batch size, one seed."""

    scale: str
    width: int
    batch_size: int
    seed: int

    @property
    def learning_rates(self) -> list[float]:
        """Powers of two, half an octave apart near the optimum; the last of the small ones diverges."""
        large = [-10, -9.5, -9, -8.5, -8, -7.5, -7]
        small = [-10, -9, -8.5, -8, -7.5, -7, -6.5, -6, -5, -2, 1]
        return [2.0**e for e in (large if self.scale == "large" else small)]

    @property
    def horizons(self) -> list[int]:
        """Bytes seen at which a run is scored."""
        return [2**21, 2**22] if self.scale == "large" else [2**e for e in range(16, 21)]

    @property
    def file(self) -> str:
        """Name of the part that holds this group's runs."""
        return "-".join(str(value) for value in asdict(self).values()) + ".csv"


def groups() -> list[Group]:
    """All groups, in the order in which they are run; a second seed for the narrow model and for the large scale."""
    batches = (32, 64, 128, 256, 512, 1024)
    small = [Group("small", width, batch, 0) for width in (32, 64) for batch in batches]
    again = [Group("small", 32, batch, 1) for batch in batches]
    large = [[Group("large", 64, batch, seed) for batch in (128, 256, 64, 512)] for seed in (0, 1)]
    return small + large[0] + again + large[1]


def run(parts: Path, worker: int, workers: int) -> None:
    """Train the groups that are this worker's and have no file yet."""
    parts.mkdir(parents=True, exist_ok=True)
    corpus = Corpus.from_standard_library()
    machine = {"python": platform.python_version(), "jax": jax.__version__, "device": jax.devices()[0].platform}
    for group in track(groups()[worker::workers], description=f"worker {worker}"):
        target = parts / group.file
        if target.exists():
            continue
        start = time.monotonic()
        table = train(corpus, group.width, group.batch_size, group.learning_rates, group.horizons, group.seed)
        table.insert(0, "scale", group.scale)
        half_written = target.with_suffix(".partial")
        table.to_csv(half_written, index=False)
        record = machine | asdict(group) | {"corpus": corpus.digest, "seconds": round(time.monotonic() - start, 1)}
        with open(parts / f"cost-{worker}.jsonl", "a") as costs:
            costs.write(json.dumps(record) + "\n")
        os.replace(half_written, target)


def collect(parts: Path, target: Path) -> pd.DataFrame:
    """Join the parts that exist into one Parquet file, in a fixed order."""
    files = [parts / g.file for g in groups() if (parts / g.file).exists()]
    if not files:
        raise FileNotFoundError(f"no finished group under {parts}: run the sweep first")
    table = pd.concat([pd.read_csv(f) for f in files], ignore_index=True)
    table.to_parquet(target, index=False, compression="zstd")
    return table


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", type=Path, default=Path("build/lm_adam"), help="folder of finished groups")
    parser.add_argument("--worker", default="0/1", metavar="I/N", help="take every N-th group, from the I-th")
    parser.add_argument("--collect", type=Path, metavar="FILE", help="join the parts into FILE and stop")
    chosen = parser.parse_args()
    if chosen.collect:
        print(f"{len(collect(chosen.parts, chosen.collect))} rows in {chosen.collect}")
    else:
        run(chosen.parts, *(int(x) for x in chosen.worker.split("/")))
