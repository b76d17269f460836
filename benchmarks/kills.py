"""Kill what writes files, at random moments: is anything lost or doubled? `python -m benchmarks.kills`.

Four jobs are started in a process of their own, killed (SIGKILL) and started again: a calibration and a sweep that go
on where they stopped, a fit that is saved over a good one, and a page that is written over another. Prints one line of
JSON a job: how many kills, and what was wrong afterwards.
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from rich.progress import track

import hyperlaw as hl
from experiments import parts
from hyperlaw.inference.example import example
from hyperlaw.whole_file import write_whole

LAW = hl.laws.SquareRoot()
SIMULATIONS, GROUPS, ROWS = 30, 60, 5_000
READY, ROOT = "ready", Path(__file__).parents[1]


@dataclass(frozen=True)
class Group:
    """One group of a sweep that costs a moment."""

    number: int

    @property
    def file(self) -> str:
        """Name of its part."""
        return f"{self.number}.csv"

    @property
    def rows(self) -> int:
        """How many rows it gives."""
        return ROWS


def calibration(folder: Path) -> None:
    """Simulations, each kept when it is done."""
    print(READY, flush=True)
    hl.calibrate(LAW, example(LAW), simulations=SIMULATIONS, seed=0, folder=folder / "calibration", progress=False)


def sweep(folder: Path) -> None:
    """Groups, each kept when it is done."""
    print(READY, flush=True)
    groups = [Group(number) for number in range(GROUPS)]
    parts.run(groups, folder / "sweep", 0, 1, _trained, {})
    parts.collect(groups, folder / "sweep", folder / "sweep.parquet", {})


def _trained(group: Group) -> pd.DataFrame:
    time.sleep(0.02)
    return pd.DataFrame({"loss": np.random.default_rng(group.number).normal(size=ROWS)})


def fit(folder: Path) -> None:
    """A fit is saved over another, again and again."""
    loaded = hl.load_fit(folder / "fit.nc")
    print(READY, flush=True)
    while True:
        loaded.save(folder / "fit.nc")


def report(folder: Path) -> None:
    """A page is written over another, again and again."""
    page = (folder / "page.html").read_bytes()
    print(READY, flush=True)
    while True:
        write_whole(folder / "page.html", page)


def lines_of(folder: Path) -> list[dict]:
    """The records of a calibration, but for the seconds that each took."""
    (file,) = (folder / "calibration").iterdir()
    records = [json.loads(line) for line in file.read_text().splitlines()][1:]
    return [{name: value for name, value in record.items() if name != "seconds"} for record in records]


def calibration_wrong(folder: Path, whole: list[dict]) -> list[str]:
    """What differs from a calibration that nobody stopped."""
    found = sorted(lines_of(folder), key=lambda record: record["simulation"])
    seen = [record["simulation"] for record in found]
    wrong = [] if seen == list(range(SIMULATIONS)) else [f"simulations {seen}"]
    return wrong + ([] if found == whole else ["other records"])


def sweep_wrong(folder: Path) -> list[str]:
    """What is lost or doubled of the sweep."""
    table = pd.read_parquet(folder / "sweep.parquet")
    counts = table["number"].value_counts()
    return [] if len(counts) == GROUPS and (counts == ROWS).all() else [f"{len(counts)} groups, {len(table)} rows"]


def fit_wrong(folder: Path) -> list[str]:
    """Why the fit cannot be read."""
    try:
        hl.load_fit(folder / "fit.nc")
    except (ValueError, OSError) as error:
        return [str(error)[:200]]
    return []


JOBS: dict[str, Callable[[Path], None]] = {"calibration": calibration, "sweep": sweep, "fit": fit, "report": report}


def killed(job: str, folder: Path, after: float) -> bool:
    """Start a job, kill it so many seconds after it is ready; whether it had ended by itself."""
    command = [sys.executable, "-m", "benchmarks.kills", "--job", job, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        if process.stdout.readline().strip() != READY:
            raise RuntimeError(f"{job} did not start: {process.communicate()[1][-500:]}")
        try:
            process.wait(after)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            return False
        if process.returncode:
            raise RuntimeError(f"{job} failed by itself: {process.communicate()[1][-500:]}")
        return True


def until_done(job: str, folder: Path, kills: int, longest: float) -> int:
    """Kill a job so often at random moments, then let it end; how often it was killed."""
    rng, count = random.Random(0), 0
    while count < kills and not killed(job, folder, rng.uniform(0, longest)):
        count += 1
    while not killed(job, folder, 3600):
        pass
    return count


def main(kills: int) -> None:
    """All jobs, `kills` each."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "whole").mkdir()
        calibration(folder / "whole")
        whole = sorted(lines_of(folder / "whole"), key=lambda record: record["simulation"])
        count = until_done("calibration", folder, kills, 8.0)
        print(json.dumps({"job": "calibration", "kills": count, "wrong": calibration_wrong(folder, whole)}), flush=True)
        count = until_done("sweep", folder, kills, 0.6)
        print(json.dumps({"job": "sweep", "kills": count, "wrong": sweep_wrong(folder)}), flush=True)
        hl.fit(LAW, example(LAW), seed=0, draws=500, progress=False).save(folder / "fit.nc")
        page = b"x" * 8_000_000
        (folder / "page.html").write_bytes(page)
        rng, wrong = random.Random(1), {"fit": [], "report": []}
        for _ in track(range(kills), "kills"):
            for job in wrong:
                killed(job, folder, rng.uniform(0, 1.0))
            wrong["fit"] += fit_wrong(folder)
            wrong["report"] += [] if (folder / "page.html").read_bytes() == page else ["another page"]
        for job, found in wrong.items():
            print(json.dumps({"job": job, "kills": kills, "wrong": found}), flush=True)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--kills", type=int, default=20, help="of each job")
    arguments.add_argument("--job", nargs=2, metavar=("JOB", "FOLDER"), help="what is killed")
    given = arguments.parse_args()
    if given.job:
        JOBS[given.job[0]](Path(given.job[1]))
    else:
        main(given.kills)
