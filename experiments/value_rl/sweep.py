"""Run the sweep, or go on with it: `python -m experiments.value_rl.sweep`.

Every (scale, task, updates-to-data ratio, batch size) is one group of runs, of all learning rates and seeds, and one
file under `--parts`. A group whose file exists is skipped, so the command may be stopped and started again; a
half-trained group leaves no file. `--worker 0/2` takes every second group, for two processes on two cores. With
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

from experiments.value_rl.tasks import TASKS
from experiments.value_rl.train import train

BATCH_SIZES = (8, 16, 32, 64, 128)
LEARNING_RATES = tuple(2.0 ** (-13 + 1.25 * k) for k in range(7))
SEEDS = 5


@dataclass(frozen=True)
class Group:
    """Runs that are trained together: one environment, one updates-to-data ratio, one batch size."""

    scale: str
    task: str
    utd: float
    batch_size: int

    @property
    def file(self) -> str:
        """Name of the part that holds this group's runs."""
        return "-".join(str(value) for value in asdict(self).values()) + ".csv"


def groups() -> list[Group]:
    """All groups, in the order in which they are run: few updates first, the environments in turn."""
    return [
        Group("small" if utd >= 0.25 else "withheld", task.name, utd, batch)
        for utd in (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
        for batch in BATCH_SIZES
        for task in TASKS
        if utd < 4 or batch < 128  # the dearest, where the best batches are small
    ]


def run(parts: Path, worker: int, workers: int) -> None:
    """Train the groups that are this worker's and have no file yet."""
    parts.mkdir(parents=True, exist_ok=True)
    machine = {"python": platform.python_version(), "jax": jax.__version__, "device": jax.devices()[0].platform}
    tasks = {task.name: task for task in TASKS}
    for group in track(groups()[worker::workers], description=f"worker {worker}"):
        target = parts / group.file
        if target.exists():
            continue
        start, start_cpu = time.monotonic(), time.process_time()
        table = train(tasks[group.task], group.utd, group.batch_size, list(LEARNING_RATES), list(range(SEEDS)))
        table.insert(0, "scale", group.scale)
        half_written = target.with_suffix(".partial")
        table.to_csv(half_written, index=False)
        spent = {"seconds": time.monotonic() - start, "core_seconds": time.process_time() - start_cpu}
        with open(parts / f"cost-{worker}.jsonl", "a") as costs:
            costs.write(json.dumps(machine | asdict(group) | {k: round(v, 1) for k, v in spent.items()}) + "\n")
        os.replace(half_written, target)


def collect(parts: Path, target: Path) -> pd.DataFrame:
    """Join the parts that exist into one Parquet file, in a fixed order and small types."""
    files = [parts / g.file for g in groups() if (parts / g.file).exists()]
    if not files:
        raise FileNotFoundError(f"no finished group under {parts}: run the sweep first")
    table = pd.concat([pd.read_csv(f) for f in files], ignore_index=True)
    table = table.astype({"batch_size": "int16", "seed": "int8", "data": "int16", "performance": "float32"})
    table.to_parquet(target, index=False, compression="zstd")
    return table


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", type=Path, default=Path("build/value_rl"), help="folder of finished groups")
    parser.add_argument("--worker", default="0/1", metavar="I/N", help="take every N-th group, from the I-th")
    parser.add_argument("--collect", type=Path, metavar="FILE", help="join the parts into FILE and stop")
    chosen = parser.parse_args()
    if chosen.collect:
        print(f"{len(collect(chosen.parts, chosen.collect))} rows in {chosen.collect}")
    else:
        run(chosen.parts, *(int(x) for x in chosen.worker.split("/")))
