"""What each sweep runs: `lm_adam` (one optimizer, at length) and `lm_optimizers` (AdamW beside SGD with momentum)."""

from dataclasses import asdict, dataclass
from math import log2


@dataclass(frozen=True)
class Group:
    """Runs that share a compiled program: one width, one batch size, one seed."""

    scale: str
    width: int
    batch_size: int
    seed: int

    @property
    def file(self) -> str:
        """Name of the part that holds this group's runs."""
        return "-".join(str(value) for value in asdict(self).values()) + ".csv"

    @property
    def rows(self) -> int:
        """One for each learning rate and horizon."""
        return len(self.learning_rates) * len(self.horizons)


class AdamGroup(Group):
    """A group of `lm_adam`: one grid of learning rates for all batch sizes."""

    optimizer = "adam"
    warmup = 2**14

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


@dataclass(frozen=True)
class OptimizerGroup(Group):
    """A group of `lm_optimizers`: its learning rates follow the optimizer and the batch size."""

    optimizer: str
    warmup = 2**11

    @property
    def learning_rates(self) -> list[float]:
        """Powers of two, half an octave apart near the optimum; the highest is there to diverge.

        Pilot runs of width 16 set the middle: the best rate of AdamW grew with the square root of the batch size, that
        of SGD in proportion to it up to 256 bytes and no further. In the small runs the best rate of AdamW fell with
        the horizon, and that of SGD stayed: the large grids are placed by that.
        """
        adamw, octaves = self.optimizer == "adamw", log2(self.batch_size / 32)
        middle = -8.5 + octaves / 2 if adamw else min(-5 + octaves, -2)
        small = [-2.5, -1.5, -1, -0.5, 0, 0.5, 1, 2]
        large = [-2.5, -2, -1.5, -1, -0.5, 0] if adamw else [-1.5, -1, -0.5, 0, 0.5]
        around = [2.0 ** (middle + step) for step in (large if self.scale == "large" else small)]
        return around if self.scale == "large" else [*around, 4.0]

    @property
    def horizons(self) -> list[int]:
        """Bytes seen at which a run is scored."""
        return [2**21, 2**22] if self.scale == "large" else [2**e for e in range(14, 20)]


def lm_adam() -> list[AdamGroup]:
    """All groups, in the order in which they are run; a second seed for the narrow model and for the large scale."""
    batches = (32, 64, 128, 256, 512, 1024)
    small = [AdamGroup("small", width, batch, 0) for width in (32, 64) for batch in batches]
    again = [AdamGroup("small", 32, batch, 1) for batch in batches]
    large = [[AdamGroup("large", 64, batch, seed) for batch in (128, 256, 64, 512)] for seed in (0, 1)]
    return small + large[0] + again + large[1]


def lm_optimizers() -> list[OptimizerGroup]:
    """All groups, in the order in which they are run; a second seed for some of the middle width."""
    both, batches = ("adamw", "sgd"), (32, 64, 128, 256, 512, 1024, 2048)
    small = [OptimizerGroup("small", width, batch, 0, o) for width in (16, 32, 64) for batch in batches for o in both]
    large = [
        OptimizerGroup("large", 64, batch, 0, optimizer)
        for optimizer, sizes in (("adamw", (256, 128, 512, 1024)), ("sgd", (128, 64, 256)))
        for batch in sizes
    ]
    again = [OptimizerGroup("small", 32, batch, 1, o) for batch in batches[1::2] for o in both]
    return small + again + large


DESIGNS = {"lm_adam": lm_adam, "lm_optimizers": lm_optimizers}
