"""`Law` and `Parameter`: a scaling law is a table of parameters and two pure functions in logs."""

import difflib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import jax
import numpyro.distributions as dist
import pandas as pd

from hyperlaw.models import prior as priors_
from hyperlaw.models.design import Design
from hyperlaw.models.prior import Prior

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Parameter:
    """One unknown of a law.

    Attributes
    ----------
    name
        Name of its site in the model, of its variable in the posterior, and of its key in `priors`.
    meaning, unit
        In words.
    prior
        Default prior.
    why
        Reason for that prior.
    spread
        Median of the prior on the standard deviation between tasks; None when all tasks share one value.
    """

    name: str
    meaning: str
    unit: str
    prior: Prior
    why: str
    spread: float | None = None


@dataclass(frozen=True)
class Law(ABC):
    """How the best learning rate and batch size move with scale.

    A subclass states its `covariates`, its `own_parameters`, and the two functions
    `log_batch_size` and `log_learning_rate`. How losses scatter around that optimum is the same for
    every law and is in `hyperlaw.models.surface`.

    Parameters
    ----------
    priors
        Priors that replace the defaults, by parameter name.

    Raises
    ------
    ValueError
        When a name is not a parameter of the law, or a prior can draw impossible values.
    TypeError
        When a prior is not a scalar NumPyro distribution.
    """

    priors: Mapping[str, Prior] = field(default_factory=dict)

    covariates: ClassVar[tuple[str, ...]]
    own_parameters: ClassVar[tuple[Parameter, ...]]

    def __post_init__(self) -> None:
        object.__setattr__(self, "priors", dict(self.priors))  # a copy: what is given may change later
        defaults = {p.name: p for p in self._defaults}
        for name, prior in self.priors.items():
            if name not in defaults:
                near = difflib.get_close_matches(name, defaults, n=1)
                hint = f" Did you mean {near[0]!r}?" if near else ""
                raise ValueError(
                    f"{self.name} has no parameter {name!r}.{hint} Its parameters are: {', '.join(defaults)}."
                )
            if not isinstance(prior, Prior) or (isinstance(prior, dist.Distribution) and prior.shape() != ()):
                raise TypeError(
                    f"the prior of {name!r} must be a scalar NumPyro distribution such as dist.Normal(0.5, 0.1), "
                    f"received {prior!r}."
                )
            if not priors_.can_be_stored(prior):
                raise TypeError(
                    f"the prior of {name!r} cannot be stored with a fit: {type(prior).__name__} is not a plain "
                    "distribution class of numpyro.distributions. Use for instance dist.LogNormal or dist.Gamma."
                )
            allowed, given = priors_.support(defaults[name].prior), priors_.support(prior)
            if allowed is dist.constraints.positive and not getattr(given, "lower_bound", -1.0) >= 0:
                raise ValueError(
                    f"the prior of {name!r} must have positive support ({defaults[name].meaning}), received "
                    f"{priors_.to_text(prior)}. Use for instance dist.LogNormal."
                )

    @property
    def name(self) -> str:
        """Class name, as in `hl.laws`."""
        return type(self).__name__

    @property
    def _defaults(self) -> tuple[Parameter, ...]:
        from hyperlaw.models.surface import surface_parameters

        return self.own_parameters + surface_parameters(self.covariates)

    @property
    def parameter_list(self) -> tuple[Parameter, ...]:
        """The law's own parameters, then those of the loss surface, with replaced priors in place."""
        return tuple(replace(p, prior=self.priors.get(p.name, p.prior)) for p in self._defaults)

    @property
    def parameters(self) -> pd.DataFrame:
        """Parameter table, one row each: meaning, unit, prior, why, pooled over."""
        rows = [
            (p.name, p.meaning, p.unit, priors_.to_text(p.prior), p.why, "task" if p.spread else "")
            for p in self.parameter_list
        ]
        return pd.DataFrame(rows, columns=["name", "meaning", "unit", "prior", "why", "pooled over"]).set_index("name")

    def with_priors(self, priors: Mapping[str, Prior]) -> "Law":
        """The same law with further priors replaced; errors as for the class."""
        return replace(self, priors={**self.priors, **priors})

    @abstractmethod
    def log_batch_size(self, p: Values, x: Values) -> jax.Array:
        """Natural log of the best batch size.

        Parameters
        ----------
        p
            Values of the law's parameters.
        x
            Natural log of each covariate minus its pivot. All arrays broadcast.
        """

    @abstractmethod
    def log_learning_rate(self, p: Values, x: Values, log_batch_size: jax.Array) -> jax.Array:
        """Natural log of the best learning rate at a given batch size; arguments as `log_batch_size`."""

    def model(self, design: Design) -> None:
        """NumPyro model of a sweep under this law, for `numpyro.infer.MCMC` or `numpyro.render_model`.

        `design` comes from `hyperlaw.models.design.design(runs, law.covariates)`.
        """
        from hyperlaw.models.surface import surface_model

        surface_model(self, design)

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, Law) and self.key == other.key

    @property
    def key(self) -> tuple[str, tuple[tuple[str, str], ...]]:
        """Name and replaced priors as text: equal for laws that are the same model."""
        return self.name, tuple(sorted((name, priors_.to_json(prior)) for name, prior in self.priors.items()))
