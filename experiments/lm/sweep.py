"""Run a sweep, or go on with it: `python -m experiments.lm.sweep`.

Every group of runs in a sweep's design (`designs.py`) is one file under `--parts`. A group whose file exists is
skipped, so the command may be stopped and started again; a half-trained group leaves no file. `--worker 0/2` takes
every second group, for two processes on two cores. With `--collect FILE` the parts are joined into the Parquet file
that the package ships; with `--unpack FILE` the finished groups in such a file become parts again, so that a fresh
clone goes on from what is shipped.
"""

import argparse
import json
import os
import platform
import time
from dataclasses import asdict
from pathlib import Path

import jax
import pandas as pd
from rich.progress import track

from experiments.lm.corpus import Corpus
from experiments.lm.designs import DESIGNS, AdamGroup, OptimizerGroup
from experiments.lm.train import train

type Groups = list[AdamGroup] | list[OptimizerGroup]


def run(groups: Groups, parts: Path, worker: int, workers: int) -> None:
    """Train the groups that are this worker's and have no file yet."""
    parts.mkdir(parents=True, exist_ok=True)
    corpus = Corpus.from_standard_library()
    machine = {"python": platform.python_version(), "jax": jax.__version__, "device": jax.devices()[0].platform}
    for group in track(groups[worker::workers], description=f"worker {worker}"):
        target = parts / group.file
        if target.exists():
            continue
        start, start_cpu = time.monotonic(), time.process_time()
        table = train(
            corpus,
            group.width,
            group.batch_size,
            group.learning_rates,
            group.horizons,
            group.seed,
            optimizer=group.optimizer,
            warmup=group.warmup,
        )
        for name, value in asdict(group).items():
            if name not in table:
                table.insert(0, name, value)
        half_written = target.with_suffix(".partial")
        table.to_csv(half_written, index=False)
        cost = {
            "seconds": round(time.monotonic() - start, 1),
            "cpu_seconds": round(time.process_time() - start_cpu, 1),
        }
        record = machine | asdict(group) | {"corpus": corpus.digest} | cost
        with open(parts / f"cost-{worker}.jsonl", "a") as costs:
            costs.write(json.dumps(record) + "\n")
        os.replace(half_written, target)


def collect(groups: Groups, parts: Path, target: Path) -> pd.DataFrame:
    """Join the parts that exist into one Parquet file, in a fixed order."""
    files = [parts / g.file for g in groups if (parts / g.file).exists()]
    if not files:
        raise FileNotFoundError(f"no finished group under {parts}: run the sweep first")
    table = pd.concat([pd.read_csv(f) for f in files], ignore_index=True)
    table.to_parquet(target, index=False, compression="zstd")
    return table


def unpack(groups: Groups, parts: Path, source: Path) -> int:
    """Write the groups that a collected file holds whole as parts, where there are none yet; how many were written."""
    parts.mkdir(parents=True, exist_ok=True)
    table, written = pd.read_parquet(source), 0
    for group in groups:
        own = {name: value for name, value in asdict(group).items() if name in table}
        rows = table[(table[list(own)] == list(own.values())).all(axis=1)]
        whole = len(rows) == len(group.learning_rates) * len(group.horizons)
        if whole and not (parts / group.file).exists():
            rows.to_csv(parts / group.file, index=False)
            written += 1
    return written


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sweep", choices=DESIGNS, default="lm_adam")
    parser.add_argument("--parts", type=Path, help="folder of finished groups; build/SWEEP unless given")
    parser.add_argument("--worker", default="0/1", metavar="I/N", help="take every N-th group, from the I-th")
    parser.add_argument("--collect", type=Path, metavar="FILE", help="join the parts into FILE and stop")
    parser.add_argument("--unpack", type=Path, metavar="FILE", help="make parts of the groups in FILE and stop")
    chosen = parser.parse_args()
    design, parts = DESIGNS[chosen.sweep](), chosen.parts or Path("build", chosen.sweep)
    if chosen.collect:
        print(f"{len(collect(design, parts, chosen.collect))} rows in {chosen.collect}")
    elif chosen.unpack:
        print(f"{unpack(design, parts, chosen.unpack)} of {len(design)} groups taken from {chosen.unpack}")
    else:
        run(design, parts, *(int(x) for x in chosen.worker.split("/")))
