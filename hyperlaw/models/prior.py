"""Priors as values: what a parameter's prior may be, how it prints, and how it is stored as JSON."""

import functools
import inspect
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import jax
import numpy as np
import numpyro.distributions as dist

from hyperlaw.quote import one_line, quote


@dataclass(frozen=True)
class AtGridCentre:
    """A normal prior around the middle of the values that were tried, in natural logs.

    The grid of a sweep says where its author expected the optimum; nothing of the outcomes is used.

    Attributes
    ----------
    quantity
        `"learning_rate"` or `"batch_size"`.
    scale
        Standard deviation, in natural logs.
    """

    quantity: str
    scale: float

    def __str__(self) -> str:
        return f"Normal(grid centre of ln {self.quantity}, {self.scale:g})"


@dataclass(frozen=True)
class AtBestLoss:
    """A normal prior around the mean of the cells' lowest losses, as wide as `scale` times their spread.

    Sets location and unit only; it is far wider than what the losses then say.
    """

    scale: float

    def __str__(self) -> str:
        return f"Normal(mean lowest loss, {self.scale:g} x its spread)"


@dataclass(frozen=True)
class InLossSpread:
    """A log-normal prior in units of the spread of the cells' lowest losses.

    Attributes
    ----------
    median
        Median, as a multiple of that spread.
    scale
        Standard deviation of the logarithm.
    """

    median: float
    scale: float

    def __str__(self) -> str:
        return f"LogNormal(ln({self.median:g} x spread of lowest losses), {self.scale:g})"


@dataclass(frozen=True)
class PerBestLoss:
    """A normal prior in units of one over the mean of the cells' lowest losses.

    Attributes
    ----------
    mean, scale
        Mean and standard deviation, as multiples of that inverse.
    """

    mean: float
    scale: float

    def __str__(self) -> str:
        return f"Normal({self.mean:g} / mean lowest loss, {self.scale:g} / mean lowest loss)"


Prior: TypeAlias = dist.Distribution | AtGridCentre | AtBestLoss | InLossSpread | PerBestLoss
_RELATIVE = {cls.__name__: cls for cls in (AtGridCentre, AtBestLoss, InLossSpread, PerBestLoss)}
_DISTRIBUTIONS = {
    name: cls for name, cls in vars(dist).items() if inspect.isclass(cls) and issubclass(cls, dist.Distribution)
}


def resolve(prior: Prior, places: Mapping[str, float]) -> dist.Distribution:
    """The prior as a NumPyro distribution of 64-bit numbers, which a compiled model takes as its argument.

    `places` says where priors that are relative to the table lie: the middle of the tried `learning_rate`,
    `batch_size` and so on (natural logs), `loss` (mean of the cells' lowest losses) and `loss_sd` (their spread).
    """
    match prior:
        case AtGridCentre(quantity, scale):
            prior = dist.Normal(places[quantity], scale)
        case AtBestLoss(scale):
            prior = dist.Normal(places["loss"], scale * places["loss_sd"])
        case InLossSpread(median, scale):
            prior = dist.LogNormal(np.log(median * places["loss_sd"]), scale)
        case PerBestLoss(mean, scale):
            unit = 1 / max(abs(places["loss"]), places["loss_sd"])
            prior = dist.Normal(mean * unit, scale * unit)
    return jax.tree.map(lambda number: np.asarray(number, float), prior)


@jax.tree_util.register_pytree_node_class
class Placed(dict[str, dist.Distribution]):
    """Priors by name, as `resolve` makes them: an argument of compiled programs.

    NumPyro hands over the numbers of a distribution in an order that differs from process to process, so that no
    program kept by one would be found by the next. Here they go in the order of their names.
    """

    def tree_flatten(self) -> tuple[list[Any], Any]:
        """All numbers, and how they make up the priors."""
        names, numbers, made_of = sorted(self), [], []
        for name in names:
            leaves, structure = jax.tree.flatten(self[name])
            order = _by_name(structure)
            numbers += [leaves[i] for i in order]
            made_of.append((structure, order))
        return numbers, (tuple(names), tuple(made_of))

    @classmethod
    def tree_unflatten(cls, made_of: Any, numbers: Iterable[Any]) -> "Placed":
        """The priors again."""
        rest = iter(numbers)
        placed = cls()
        for name, (structure, order) in zip(*made_of, strict=True):
            leaf = dict(zip(order, rest, strict=False))
            placed[name] = jax.tree.unflatten(structure, [leaf[i] for i in range(len(order))])
        return placed


@functools.cache
def _by_name(structure: Any) -> tuple[int, ...]:
    """Positions of a distribution's numbers in the order of the names of its fields."""

    def walk(part: Any) -> list[int]:
        if isinstance(part, dist.Distribution):
            fields = sorted(type(part).gather_pytree_data_fields())
            return [i for field in fields for i in walk(vars(part).get(field))]
        return jax.tree.leaves(part)

    return tuple(walk(jax.tree.unflatten(structure, range(structure.num_leaves))))


def support(prior: Prior) -> Any:
    """Constraint on the values that a prior can draw (a NumPyro constraint)."""
    if isinstance(prior, dist.Distribution):
        return prior.support
    return dist.constraints.positive if isinstance(prior, InLossSpread) else dist.constraints.real


def to_text(prior: Prior) -> str:
    """One line such as `Normal(loc=0.5, scale=0.1)`."""
    if not isinstance(prior, dist.Distribution):
        return str(prior)
    arguments = ", ".join(f"{name}={float(value):g}" for name, value in _arguments(prior).items())
    return f"{type(prior).__name__}({arguments})"


def to_json(prior: Prior) -> str:
    """Text from which `from_json` builds the same prior again."""
    arguments = _arguments(prior) if isinstance(prior, dist.Distribution) else vars(prior)
    plain = {name: value if isinstance(value, str) else float(value) for name, value in arguments.items()}
    return json.dumps({"distribution": type(prior).__name__} | plain)


def from_json(text: str) -> Prior:
    """Inverse of `to_json`.

    Raises
    ------
    ValueError
        When it names no distribution of NumPyro, or gives it anything but its numbers.
    """
    arguments = json.loads(text)
    name = arguments.pop("distribution")
    cls: Any = (_DISTRIBUTIONS | _RELATIVE).get(name)
    if cls is None:
        raise ValueError(f"{quote(name)} is no distribution of NumPyro")
    takes = cls.__match_args__ if name in _RELATIVE else cls.arg_constraints
    for argument, value in arguments.items():
        kinds = (str,) if argument == "quantity" else (int, float)
        if argument not in takes or type(value) not in kinds:
            raise ValueError(f"{name} takes {', '.join(takes)}, and not {one_line(argument)}={quote(value)}")
    return cls(**arguments)


def can_be_stored(prior: Prior) -> bool:
    """Whether `from_json` can build this prior again: its class is public and its arguments say it all."""
    if not isinstance(prior, dist.Distribution):
        return True
    cls = getattr(dist, type(prior).__name__, None)
    required = {
        name for name, p in inspect.signature(type(prior)).parameters.items() if p.default is inspect.Parameter.empty
    }
    return cls is type(prior) and required <= set(_arguments(prior)) and bool(_arguments(prior))


def _arguments(prior: dist.Distribution) -> dict[str, Any]:
    return {name: getattr(prior, name) for name in prior.arg_constraints if hasattr(prior, name)}
