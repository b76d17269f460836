"""Sweeps that can be stopped: every group of runs is one file, and a group whose file exists is not trained again.

A half-trained group leaves no file. Finished groups are joined into the Parquet file that the package ships, and
taken from it again, so that a fresh clone goes on from what is shipped.
"""

import argparse
import json
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import jax
import pandas as pd
from rich.progress import track

from hyperlaw.whole_file import write_whole


class Group(Protocol):
    """Runs that are trained together: a dataclass whose fields tell it from the others of its sweep."""

    @property
    def file(self) -> str:
        """Name of the part that holds this group's runs."""

    @property
    def rows(self) -> int:
        """How many rows it gives."""


def run[G: Group](
    groups: Sequence[G], parts: Path, worker: int, workers: int, train: Callable[[G], pd.DataFrame],
    facts: Mapping[str, Any],
) -> None:  # fmt: skip
    """Train the groups that are this worker's and have no file yet; what each cost goes into cost-WORKER.jsonl."""
    parts.mkdir(parents=True, exist_ok=True)
    machine = {"python": platform.python_version(), "jax": jax.__version__, "device": jax.devices()[0].platform}
    for group in track(groups[worker::workers], description=f"worker {worker}"):
        target = parts / group.file
        if target.exists():
            continue
        start, start_cpu = time.monotonic(), time.process_time()
        table = train(group)
        for name, value in asdict(group).items():
            if name not in table:
                table.insert(0, name, value)
        spent = {"seconds": time.monotonic() - start, "core_seconds": time.process_time() - start_cpu}
        with open(parts / f"cost-{worker}.jsonl", "a") as costs:
            record = machine | asdict(group) | dict(facts) | {name: round(value, 1) for name, value in spent.items()}
            costs.write(json.dumps(record) + "\n")
        write_whole(target, table.to_csv(index=False).encode())


def collect(groups: Sequence[Group], parts: Path, target: Path, types: Mapping[str, str]) -> pd.DataFrame:
    """Join the parts that exist into one Parquet file, in the order of the groups."""
    files = [parts / group.file for group in groups if (parts / group.file).exists()]
    if not files:
        raise FileNotFoundError(f"no finished group under {parts}: run the sweep first")
    table = pd.concat([pd.read_csv(file) for file in files], ignore_index=True).astype(dict(types))
    write_whole(target, table.to_parquet(index=False, compression="zstd"))
    return table


def unpack(groups: Sequence[Group], parts: Path, source: Path) -> int:
    """Write the groups that a collected file holds whole as parts, where there are none yet; how many were written."""
    parts.mkdir(parents=True, exist_ok=True)
    table, written = pd.read_parquet(source), 0
    names = [name for name in asdict(groups[0]) if name in table]
    rows_of = dict(iter(table.groupby(names)))
    for group in groups:
        rows = rows_of.get(tuple(asdict(group)[name] for name in names), table.iloc[:0])
        if len(rows) == group.rows and not (parts / group.file).exists():
            write_whole(parts / group.file, rows.to_csv(index=False).encode())
            written += 1
    return written


def parser(doc: str) -> argparse.ArgumentParser:
    """What every sweep's command takes."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--parts", type=Path, help="folder of finished groups; build/SWEEP unless given")
    made.add_argument("--worker", default="0/1", metavar="I/N", help="take every N-th group, from the I-th")
    made.add_argument("--collect", type=Path, metavar="FILE", help="join the parts into FILE and stop")
    made.add_argument("--unpack", type=Path, metavar="FILE", help="make parts of the groups in FILE and stop")
    return made


def do[G: Group](
    asked: argparse.Namespace, sweep: str, groups: Sequence[G], types: Mapping[str, str],
    trainer: Callable[[], tuple[Callable[[G], pd.DataFrame], Mapping[str, Any]]],
) -> None:  # fmt: skip
    """Do what was asked; `trainer` makes the function that trains a group, and the facts for its cost records."""
    parts = asked.parts or Path("build", sweep)
    if asked.collect:
        print(f"{len(collect(groups, parts, asked.collect, types))} rows in {asked.collect}")
    elif asked.unpack:
        print(f"{unpack(groups, parts, asked.unpack)} of {len(groups)} groups taken from {asked.unpack}")
    else:
        worker, workers = (int(number) for number in asked.worker.split("/"))
        train, facts = trainer()
        run(groups, parts, worker, workers, train, facts)
