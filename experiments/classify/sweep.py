"""Run the sweep, or go on with it: `python -m experiments.classify.sweep`.

Every (optimizer, batch size) is one group of runs and one file under `--parts`, so that the command may be stopped
and started again (`experiments.parts`). `--worker 0/2` takes every second group, for two processes on two cores. With
`--collect FILE` the parts are joined into the Parquet file that the package ships.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from experiments import parts
from experiments.classify.digits import IMAGES, Digits
from experiments.classify.train import OPTIMIZERS, train

SEEDS = [0, 1, 2, 3, 4]
TYPES = {"loss": "float32"}


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

    @property
    def rows(self) -> int:
        """One for each learning rate, horizon and seed."""
        return len(self.learning_rates) * len(self.horizons) * len(SEEDS)


def groups() -> list[Group]:
    """All groups, in the order in which they are run: batch sizes from one image to all of them."""
    return [Group(name, 2**e) for name in OPTIMIZERS for e in range(IMAGES.bit_length())]


def trainer() -> tuple[Callable[[Group], pd.DataFrame], dict[str, str]]:
    """What trains a group, and the digest of the images it is trained on."""
    digits = Digits.from_sklearn()

    def trained(group: Group) -> pd.DataFrame:
        return train(digits, group.optimizer, group.batch_size, group.learning_rates, group.horizons, SEEDS)

    return trained, {"digits": digits.digest}


if __name__ == "__main__":
    parts.do(parts.parser(__doc__).parse_args(), "digits", groups(), TYPES, trainer)
