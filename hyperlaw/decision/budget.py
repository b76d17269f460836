"""`Budget`: what updates and environment steps cost together.

    C = c(N, B) sigma D,   F = C + delta D,   c(N, B) = 10 N B unless another is declared

Rybkin et al. 2025 (arXiv 2502.04327) count 10 FLOPs for each critic parameter and sample.
"""

import inspect
from dataclasses import dataclass
from textwrap import dedent
from typing import Any, Protocol

import numpy as np

from hyperlaw.data.numerals import as_number
from hyperlaw.quote import one_line, quote

PUBLISHED = 10.0
EXAMPLE = "lambda params, batch_size: 10 * params * batch_size"


class FlopsPerUpdate(Protocol):
    """What one update costs, FLOPs, of arrays that broadcast; it is called by these names."""

    def __call__(self, *, params: Any, batch_size: Any) -> Any:
        """FLOPs, one number for each pair of the two."""


@dataclass(frozen=True)
class Budget:
    """The price of data and updates.

    Attributes
    ----------
    delta
        Price of one environment step, FLOPs. The throughput of the machine over that of the environment makes the
        budget proportional to wall time.
    flops
        FLOPs for each critic parameter and sample, where an update costs in proportion to both.
    flops_per_update
        What one update costs where it does not: a function of `params` (of the critic) and `batch_size`, arrays that
        broadcast, which returns FLOPs, such as
        `lambda params, batch_size: 6 * params * batch_size + 2e6`. Its name and its text are kept in what is decided by
        it; values that it takes from elsewhere are not in its text.

    Raises
    ------
    TypeError
        When `flops_per_update` is no function of `params` and `batch_size`.
    ValueError
        When a price is not a finite number above zero, or both `flops` and `flops_per_update` are given.
    """

    delta: float
    flops: float = PUBLISHED
    flops_per_update: FlopsPerUpdate | None = None

    def __post_init__(self) -> None:
        for name in ("delta", "flops"):
            value = as_number(getattr(self, name), name, count=True)
            if not (np.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be finite and above zero, received {quote(getattr(self, name))}.")
            object.__setattr__(self, name, value)
        if self.flops_per_update is None:
            return
        if not _takes_both(self.flops_per_update):
            raise TypeError(
                f"flops_per_update must be a function of params and batch_size, called by these names, such as "
                f"{EXAMPLE}; received {quote(self.flops_per_update)}."
            )
        if self.flops != PUBLISHED:
            raise ValueError(
                f"flops is what an update costs for each parameter and sample, and flops_per_update all of it; "
                f"received both, {self.flops:g} and {_name(self.flops_per_update)}. Pass one of them."
            )

    def per_update(self, batch_size: Any, params: Any) -> Any:
        """FLOPs of one update of a critic of `params` parameters; numbers or arrays that broadcast.

        Raises
        ------
        ValueError
            When a declared `flops_per_update` fails, or does not return a finite number above zero for each pair.
        """
        if self.flops_per_update is None:
            return self.flops * params * batch_size
        name = _name(self.flops_per_update)
        try:
            returned = self.flops_per_update(params=np.array(params), batch_size=np.array(batch_size))
        except Exception as error:
            raise ValueError(
                f"flops_per_update failed: {name} raised {type(error).__name__} ({one_line(str(error))}). It is given "
                f"arrays; write it in arithmetic of NumPy arrays, such as {EXAMPLE}."
            ) from error
        return _checked(returned, name, params, batch_size)

    def compute(self, utd: Any, batch_size: Any, data: Any, params: Any) -> Any:
        """FLOPs of all updates of a critic of `params` parameters; numbers or arrays that broadcast."""
        return self.per_update(batch_size, params) * utd * data

    def total(self, utd: Any, batch_size: Any, data: Any, params: Any) -> Any:
        """Compute and data together, FLOPs."""
        return self.compute(utd, batch_size, data, params) + self.delta * data

    def provenance(self) -> dict[str, Any]:
        """What was declared, as numbers and text.

        Returns
        -------
        dict
            `delta`; `flops_per_update`, a formula or the name of the function; `source`, the text of the function where
            Python can find it, else how Python writes it, and None for the formula.
        """
        declared = self.flops_per_update
        if declared is None:
            return {
                "delta": self.delta, "flops_per_update": f"{self.flops:g} * params * batch_size", "source": None,
            }  # fmt: skip
        return {
            "delta": self.delta, "flops_per_update": f"{_name(declared)}(params, batch_size)",
            "source": _source(declared),
        }  # fmt: skip


def _takes_both(declared: Any) -> bool:
    """Whether it can be called with params= and batch_size=."""
    if not callable(declared) or isinstance(declared, type):
        return False
    try:
        inspect.signature(declared).bind(params=None, batch_size=None)
    except (TypeError, ValueError):  # other arguments; a built-in function that does not say which it takes
        return False
    return True


def _checked(returned: Any, name: str, params: Any, batch_size: Any) -> np.ndarray:
    """What a declared function returned, as one number for each pair."""
    shapes = np.shape(params), np.shape(batch_size)
    wanted = np.broadcast_shapes(*shapes)
    try:
        found = np.broadcast_to(np.asarray(returned).astype(float, casting="same_kind"), wanted)
    except (TypeError, ValueError):  # text, ragged lists, another shape
        shown = f"an array of shape {returned.shape}" if isinstance(returned, np.ndarray) else quote(returned)
        raise ValueError(
            f"flops_per_update must return FLOPs, one number for all or one for each of params (shape {shapes[0]}) "
            f"and batch_size (shape {shapes[1]}), which broadcast to {wanted}; {name} returned {shown}. Write it in "
            f"arithmetic of NumPy arrays, such as {EXAMPLE}."
        ) from None
    wrong = ~(np.isfinite(found) & (found > 0))
    if wrong.any():
        here = [np.broadcast_to(value, wanted)[wrong][0] for value in (params, batch_size)]
        raise ValueError(
            f"flops_per_update must return finite numbers above zero; {name} returned {found[wrong][0]:g} at params "
            f"{here[0]:g} and batch_size {here[1]:g}, and no such number in {wrong.mean():.0%} of the cases."
        )
    return found


def _name(declared: Any) -> str:
    """How a function is called, on one line."""
    name = getattr(declared, "__name__", type(declared).__name__)
    return "a lambda" if name == "<lambda>" else one_line(name)


def _source(declared: Any) -> str:
    """Text of a function; how Python writes it, where there is none."""
    try:
        return dedent(inspect.getsource(declared)).strip()
    except (OSError, TypeError):
        return quote(declared)
