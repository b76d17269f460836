"""`Law` and `Parameter`: a scaling law is a table of parameters and pure functions in logs."""

import difflib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import jax
import numpyro.distributions as dist
import pandas as pd

from hyperlaw.models import prior as priors_
from hyperlaw.models.prior import Prior

Values = Mapping[str, Any]
POOLING = ("partial", "shared", "separate")


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
    """A scaling law: parameters with priors, and how they say what is measured.

    A subclass is an `OptimumLaw` (the best learning rate, batch size or updates-to-data ratio) or a `ValueLaw` (one
    measured quantity, such as steps to a target loss). How measurements scatter around the law is
    the same for every law that is fitted to one kind of table.

    Parameters
    ----------
    priors
        Priors that replace the defaults, by parameter name.
    pooling
        By name of a parameter that is pooled over tasks: `"partial"` (the default: each task has its own value, drawn
        from a population), `"shared"` (one value for all tasks) or `"separate"` (each task's own, from the prior).
    table
        Kind of table that the law is fitted to, one of `tables`; `hl.fit` sets it.

    Raises
    ------
    ValueError
        When a name is not a parameter of the law, a prior can draw impossible values, or the law does not describe the
        table.
    TypeError
        When a prior is not a scalar NumPyro distribution.
    """

    priors: Mapping[str, Prior] = field(default_factory=dict)
    pooling: Mapping[str, str] = field(default_factory=dict)
    table: str = ""

    tables: ClassVar[tuple[str, ...]]
    covariates: ClassVar[tuple[str, ...]]
    linear: ClassVar[tuple[str, ...]] = ()
    labels: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    needs_batch_size: ClassVar[bool] = False
    own_parameters: ClassVar[tuple[Parameter, ...]]
    predicts: ClassVar[tuple[str, ...]]

    def __post_init__(self) -> None:
        object.__setattr__(self, "priors", dict(self.priors))  # a copy: what is given may change later
        object.__setattr__(self, "pooling", dict(self.pooling))
        object.__setattr__(self, "table", self.table or self.tables[0])
        if self.table not in self.tables:
            raise ValueError(
                f"{self.name} does not describe {self.table!r}; it is fitted to {' or '.join(self.tables)}. "
                "hl.laws.table() lists what each law needs."
            )
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
        pooled = [name for name, p in defaults.items() if p.spread is not None]
        for name, how in self.pooling.items():
            if name not in pooled or how not in POOLING:
                raise ValueError(
                    f"pooling[{name!r}] = {how!r}: give {', '.join(POOLING)} for a parameter that is pooled over "
                    f"tasks: {', '.join(pooled)}."
                )

    @property
    def name(self) -> str:
        """Class name, as in `hl.laws`."""
        return type(self).__name__

    @property
    @abstractmethod
    def _scatter(self) -> tuple[Parameter, ...]:
        """Parameters of how measurements scatter around the law, which all laws of one table share."""

    @property
    def _defaults(self) -> tuple[Parameter, ...]:
        return self.own_parameters + self._scatter

    @property
    def parameter_list(self) -> tuple[Parameter, ...]:
        """The law's own parameters, then those of the scatter around it, with replaced priors and pooling in place."""
        return tuple(
            replace(
                p,
                prior=self.priors.get(p.name, p.prior),
                spread=None if self.pooling.get(p.name) == "shared" else p.spread,
            )
            for p in self._defaults
        )

    def separate(self, parameter: Parameter) -> bool:
        """Whether each task's value of a parameter is drawn from the prior instead of from a population."""
        return self.pooling.get(parameter.name) == "separate"

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

    @property
    def logged(self) -> tuple[str, ...]:
        """Covariates that enter as natural logs."""
        return tuple(name for name in self.covariates if name not in self.linear and name not in self.labels)

    def of(self, table: str) -> "Law":
        """The same law for another kind of table; ValueError where it does not describe that kind."""
        return replace(self, table=table)

    @abstractmethod
    def log_value(self, quantity: str, p: Values, x: Values, log_batch_size: jax.Array) -> jax.Array:
        """Natural log of a quantity that the law predicts, one of `predicts`.

        Parameters
        ----------
        quantity
            Its name.
        p
            Values of the law's parameters.
        x
            Natural log of each covariate minus its pivot; of `linear` ones, -1 to 1 over the table; of those with
            `labels`, the position of the label. All broadcast.
        log_batch_size
            Natural log of the batch size where one is given, in data points.
        """

    def log_batch_size(self, p: Values, x: Values) -> jax.Array:
        """Natural log of the best batch size; arguments as `log_value`."""
        raise NotImplementedError(f"{self.name} says nothing of the best batch size.")

    def log_learning_rate(self, p: Values, x: Values, log_batch_size: jax.Array) -> jax.Array:
        """Natural log of the best learning rate at a given batch size; arguments as `log_value`."""
        raise NotImplementedError(f"{self.name} says nothing of the best learning rate.")

    def model(self, design: Any) -> None:
        """NumPyro model of a table under this law, for `numpyro.infer.MCMC` or `numpyro.render_model`.

        `design` comes from `hyperlaw.models.design.design(runs, law.covariates)` for runs, and from
        `hyperlaw.models.points.points(table, law)` for every other table.
        """
        from hyperlaw.models.points import points_model
        from hyperlaw.models.surface import surface_model

        (surface_model if self.table == "runs" else points_model)(self, design)

    def shifts(self, p: Values, design: Any) -> dict[str, jax.Array]:
        """What the sampler adds to unconstrained sites, to straighten a curved ridge: by name, from other sites.

        `p` holds the values of the law's parameters; only those that are not shifted may be used.
        """
        from hyperlaw.models.surface import mean_falls

        return mean_falls(p, design) if self.table == "runs" else {}

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, Law) and self.key == other.key

    @property
    def key(self) -> tuple[str, str, tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]:
        """Name, table, replaced priors as text, and pooling: equal for laws that are the same model."""
        priors = sorted((name, priors_.to_json(prior)) for name, prior in self.priors.items())
        return self.name, self.table, tuple(priors), tuple(sorted(self.pooling.items()))


@dataclass(frozen=True, eq=False)
class OptimumLaw(Law):
    """A law of the best learning rate, batch size, or both: fitted to runs, or to the optimum of each cell."""

    tables: ClassVar[tuple[str, ...]] = ("runs", "optima")
    predicts: ClassVar[tuple[str, ...]] = ("learning_rate", "batch_size")

    @property
    def _scatter(self) -> tuple[Parameter, ...]:
        from hyperlaw.models.points import scatter_parameters
        from hyperlaw.models.surface import surface_parameters

        return surface_parameters(self.covariates) if self.table == "runs" else scatter_parameters(self)

    def log_value(self, quantity: str, p: Values, x: Values, log_batch_size: jax.Array) -> jax.Array:
        """Natural log of the best learning rate or batch size."""
        if quantity == "batch_size":
            return self.log_batch_size(p, x)
        return self.log_learning_rate(p, x, log_batch_size)


@dataclass(frozen=True, eq=False)
class ValueLaw(Law):
    """A law of one measured quantity, such as the steps to a target loss or the data to a performance."""

    @property
    def _scatter(self) -> tuple[Parameter, ...]:
        from hyperlaw.models.points import scatter_parameters

        return scatter_parameters(self)
