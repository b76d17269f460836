"""Run the sweep, or go on with it: `python -m experiments.value_rl.sweep`.

Every (scale, task, updates-to-data ratio, batch size) is one group of runs, of all learning rates and seeds, and one
file under `--parts`, so that the command may be stopped and started again (`experiments.parts`). `--worker 0/2` takes
every second group, for two processes on two cores. With `--collect FILE` the parts are joined into the Parquet file
that the package ships; with `--unpack FILE` the finished groups in such a file become parts again.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass

import pandas as pd

from experiments import parts
from experiments.value_rl.tasks import TASKS
from experiments.value_rl.train import POINTS, train

BATCH_SIZES = (8, 16, 32, 64, 128)
LEARNING_RATES = tuple(2.0 ** (-13 + 1.25 * k) for k in range(7))
SEEDS = 5
TYPES = {"batch_size": "int16", "seed": "int8", "data": "int16", "performance": "float32"}


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

    @property
    def points(self) -> int:
        """Logged points of a run; with the fewest updates, runs are twice as long."""
        return POINTS if self.utd > 0.1 else 2 * POINTS

    @property
    def rows(self) -> int:
        """One for each learning rate, seed and logged point."""
        return len(LEARNING_RATES) * SEEDS * self.points


def groups() -> list[Group]:
    """All groups, in the order in which they are run: few updates first; 1/20 was run after the choices for it."""
    ratios = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
    made = [
        Group("small" if utd >= 0.25 else "withheld", task.name, utd, batch)
        for utd in ratios
        for batch in BATCH_SIZES
        for task in TASKS
        if utd < 8 or batch < 128  # the dearest, where the best batches are small
    ]
    # The best batch at 1/20 was expected about twice as large as at the small ratios: so is the grid.
    return made + [Group("withheld", task.name, 0.05, 2 * batch) for batch in BATCH_SIZES for task in TASKS]


def trainer() -> tuple[Callable[[Group], pd.DataFrame], dict[str, str]]:
    """What trains a group."""
    tasks = {task.name: task for task in TASKS}

    def trained(group: Group) -> pd.DataFrame:
        rates, seeds = list(LEARNING_RATES), list(range(SEEDS))
        return train(tasks[group.task], group.utd, group.batch_size, rates, seeds, group.points)

    return trained, {}


if __name__ == "__main__":
    parts.do(parts.parser(__doc__).parse_args(), "value_rl", groups(), TYPES, trainer)
