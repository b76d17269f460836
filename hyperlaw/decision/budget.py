"""`Budget`: what updates and environment steps cost together.

    C = 10 N B sigma D,   F = C + delta D

Rybkin et al. 2025 (arXiv 2502.04327): 10 FLOPs for each critic parameter and sample.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from hyperlaw.quote import quote


@dataclass(frozen=True)
class Budget:
    """The price of data and updates.

    Attributes
    ----------
    delta
        Price of one environment step, FLOPs. The throughput of the machine over that of the environment makes the
        budget proportional to wall time.
    flops
        FLOPs for each critic parameter and sample.

    Raises
    ------
    ValueError
        When a price is not a finite number above zero.
    """

    delta: float
    flops: float = 10.0

    def __post_init__(self) -> None:
        for name in ("delta", "flops"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be finite and above zero, received {quote(value)}.")

    def compute(self, utd: Any, batch_size: Any, data: Any, params: Any) -> Any:
        """FLOPs of all updates of a critic of `params` parameters; numbers or arrays that broadcast."""
        return self.flops * params * batch_size * utd * data

    def total(self, utd: Any, batch_size: Any, data: Any, params: Any) -> Any:
        """Compute and data together, FLOPs."""
        return self.compute(utd, batch_size, data, params) + self.delta * data
