"""`Law`: a scaling law is a table of parameters, flags, and pure functions in logs. It knows no tables of runs."""

import difflib
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar, Self, TypeAlias

import jax
import numpy as np
import pandas as pd

from hyperlaw.display import Shown, View, as_text
from hyperlaw.models.equation import fields, symbolic
from hyperlaw.models.parameter import Parameter, check_replacements, parameter_table, replaced
from hyperlaw.models.prior import Prior, to_json
from hyperlaw.quote import quote, some_of

# Arrays of NumPy or JAX, or tracers of them: the functions of a law take all alike.
Numbers: TypeAlias = Any
Values: TypeAlias = Mapping[str, Numbers]
# Names that ArviZ's plots keep for themselves.
RESERVED = frozenset({"alpha", "model", "sample", "column", "ci_bound", "chain", "draw", "task", "cell", "run", "row"})
ENDINGS = ("_task", "_task_sd")  # of what a fit calls each task's value, and their spread


@dataclass(frozen=True, repr=False)
class Law(Shown, ABC):
    """A scaling law: parameters with priors, and how they say what is measured.

    A law of your own is a subclass of `OptimumLaw` (best learning rate, batch size, or both) or `ValueLaw` (one
    measured quantity, such as steps to a loss), made known with `@hl.laws.register`. It states the class attributes
    below and its functions. How measurements scatter around it is not its business: `hl.likelihood` adds that for
    the kind of table at hand.

    Parameters
    ----------
    priors
        Priors that replace the defaults of the law's own parameters, by name. Those of the scatter around it are
        given to `hl.fit` or `hl.likelihood`.
    pooling
        By name of a parameter that is pooled over tasks: `"partial"` (the default: each task has its own value, drawn
        from a population), `"shared"` (one value for all tasks) or `"separate"` (each task's own, from the prior).
    over
        What it is stated over, `covariates` or one of `alternatives`. Left out, `hl.fit` takes the first of them that
        the table has.

    Attributes
    ----------
    tables
        Kinds of table that it can be fitted to: `"runs"`, `"optima"`, `"crossings"`, `"steps_to_loss"`,
        `"noise_measurements"`.
    predicts
        Names of the quantities that it predicts.
    covariates
        Names of what it predicts them from, besides the batch size. They enter as natural logs, minus a pivot;
        those in `linear` scaled to -1 to 1 over the table; those in `labels` as the position of the label.
    alternatives
        Other sets of covariates that it can be stated over, such as the width in place of the parameters.
    needs_batch_size
        Whether it is a curve over a batch size that must be given.
    has_critical_batch
        Whether it has `log_critical_batch`.
    by_threshold
        Positive parameters of which every threshold of `Crossings` has a value of its own, drawn around that of all.
    says_loss
        Whether it says the loss at every batch size (`OptimumLaw.settled`), so that cells with one batch size each tell
        of the best one.
    own_parameters
        Its parameters.
    further_parameters
        Parameters that it has over other covariates alone; each is `informed_by` its own.

    Raises
    ------
    ValueError
        When a name is not a parameter of the law, or a prior can draw impossible values.
    TypeError
        When a prior is not a scalar NumPyro distribution.
    """

    priors: Mapping[str, Prior] = field(default_factory=dict)
    pooling: Mapping[str, str] = field(default_factory=dict)
    over: tuple[str, ...] = ()

    tables: ClassVar[tuple[str, ...]]
    predicts: ClassVar[tuple[str, ...]]
    covariates: ClassVar[tuple[str, ...]]
    linear: ClassVar[tuple[str, ...]] = ()
    labels: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    alternatives: ClassVar[tuple[tuple[str, ...], ...]] = ()
    needs_batch_size: ClassVar[bool] = False
    has_critical_batch: ClassVar[bool] = False
    by_threshold: ClassVar[tuple[str, ...]] = ()
    says_loss: ClassVar[bool] = False
    own_parameters: ClassVar[tuple[Parameter, ...]]
    further_parameters: ClassVar[tuple[Parameter, ...]] = ()

    def __post_init__(self) -> None:
        if self.over:
            self._state_over(tuple(self.over))
        object.__setattr__(self, "priors", dict(self.priors))  # a copy: what is given may change later
        object.__setattr__(self, "pooling", dict(self.pooling))
        hint = (
            " Those of the scatter around a law are given to hl.fit(priors=...); hl.likelihood(law, table) lists all."
        )
        check_replacements(self.name, self.own_parameters, self.priors, self.pooling, hint)

    def _state_over(self, over: tuple[str, ...]) -> None:
        """Take other covariates, and the parameters that belong to them."""
        choices = (type(self).covariates, *self.alternatives)
        if over not in choices:
            said = " or ".join(repr(choice) for choice in choices)
            raise ValueError(f"{self.name} can be stated over {said}, received over={quote(over)}.")
        absent = {name for choice in choices for name in choice} - set(over)
        every = (*type(self).own_parameters, *self.further_parameters)
        # Of this instance: covariates and parameters are those of the class for all others.
        object.__setattr__(self, "over", over)
        object.__setattr__(self, "covariates", over)
        object.__setattr__(self, "own_parameters", tuple(p for p in every if not absent & set(p.informed_by)))

    def on(self, columns: Collection[str]) -> Self:
        """The same law over what a table has: over its first alternative of which there is every column."""
        if self.over or set(self.covariates) <= set(columns):
            return self
        found = next((choice for choice in self.alternatives if set(choice) <= set(columns)), ())
        return replace(self, over=found) if found else self

    @property
    def name(self) -> str:
        """Class name, as in `hl.laws`."""
        return type(self).__name__

    @property
    def title(self) -> str:
        """Its name and, where that is not as usual, what it is stated over."""
        return f"{self.name} over {' and '.join(self.over)}" if self.over else self.name

    @property
    def parameter_list(self) -> tuple[Parameter, ...]:
        """The law's own parameters, with replaced priors and pooling in place."""
        return replaced(self.own_parameters, self.priors, self.pooling)

    @property
    def parameters(self) -> pd.DataFrame:
        """The law's own parameters, one row each: meaning, unit, prior, why, pooled over."""
        return parameter_table(self.parameter_list)

    def view(self) -> View:
        """What is shown of it."""
        table = self.parameters
        needs = [*self.covariates, *(["batch_size"] if self.needs_batch_size else [])]
        return View(
            f"{self.title}: {says(type(self))}",
            facts={"predicts": ", ".join(self.predicts), "fitted to": ", ".join(self.tables)}
            | ({"needs": ", ".join(needs)} if needs else {}),
            sections={"Equation": "\n".join(map(symbolic, self.equation()))} if self.equation() else {},
            tables={"Parameters": table[["meaning", "unit", "prior"]]},
            folded={"Why these priors": table[["why", "pooled over"]]},
        )

    def __repr__(self) -> str:
        given = {"priors": self.priors, "pooling": self.pooling, "over": self.over}
        return f"{self.name}({', '.join(f'{name}={value!r}' for name, value in given.items() if value)})"

    def __str__(self) -> str:
        return as_text(self.view())

    def with_priors(self, priors: Mapping[str, Prior]) -> Self:
        """The same law with further priors replaced; errors as for the class."""
        return replace(self, priors={**self.priors, **priors})

    @property
    def logged(self) -> tuple[str, ...]:
        """Covariates that enter as natural logs."""
        return tuple(name for name in self.covariates if name not in self.linear and name not in self.labels)

    @abstractmethod
    def log_value(self, quantity: str, p: Values, x: Values, log_batch_size: Numbers) -> jax.Array:
        """Natural log of a quantity that the law predicts, one of `predicts`.

        Parameters
        ----------
        quantity
            Its name.
        p
            Values of the law's parameters.
        x
            The covariates, as the class says. All broadcast.
        log_batch_size
            Natural log of the batch size where one is given, in data points.
        """

    def equation(self) -> tuple[str, ...]:
        """The law's equation as a template, for `fit.equation()`: one line a quantity, none where it states none.

        Fields in braces are its parameters and the pivots of its covariates, as in
        `("B* = {log_batch_size:exp} · (D / {data})^{exponent_data}",)`; `hyperlaw.models.equation` has the rules.
        """
        return ()

    def log_critical_batch(self, p: Values, x: Values) -> jax.Array:
        """Natural log of the critical batch size, for laws that have one; arguments as `log_value`."""
        raise NotImplementedError(f"{self.name} has no critical batch size.")

    def shifts(self, p: Values) -> dict[str, jax.Array]:
        """What the sampler adds to the logs of positive parameters, to straighten a curved ridge between parameters.

        By name; from the parameters that are not shifted. See `hyperlaw.models.likelihoods.base.Likelihood.shifts`.
        """
        return {}

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Law) and self.key == other.key

    @property
    def key(self) -> tuple[Any, ...]:
        """Class, covariates, replaced priors as text, and pooling: equal for laws that are the same."""
        priors = sorted((name, to_json(prior)) for name, prior in self.priors.items())
        return type(self), self.covariates, tuple(priors), tuple(sorted(self.pooling.items()))

    @property
    def bare(self) -> Self:
        """The same functions and pooling with default priors: what a compiled program depends on."""
        return replace(self, priors={}) if self.priors else self


@dataclass(frozen=True, eq=False, repr=False)
class OptimumLaw(Law):
    """A law of the best learning rate, batch size, or both: fitted to runs, or to the optimum of each cell.

    A subclass gives `log_learning_rate`, `log_batch_size`, or both, as `predicts` says.
    """

    tables: ClassVar[tuple[str, ...]] = ("runs", "optima")
    predicts: ClassVar[tuple[str, ...]] = ("learning_rate", "batch_size")

    def settled(self, p: Values) -> dict[str, Numbers]:
        """Parameters of the loss surface that the law settles, by name: they then have no prior.

        From its own parameters and the others of `hyperlaw.models.likelihoods.surface`. Most laws settle none; one that
        `says_loss` settles how the loss rises around the best batch size.
        """
        return {}

    def log_batch_size(self, p: Values, x: Values) -> jax.Array:
        """Natural log of the best batch size; arguments as `log_value`."""
        raise NotImplementedError(f"{self.name} says nothing of the best batch size.")

    def log_learning_rate(self, p: Values, x: Values, log_batch_size: Numbers) -> jax.Array:
        """Natural log of the best learning rate at a given batch size; arguments as `log_value`."""
        raise NotImplementedError(f"{self.name} says nothing of the best learning rate.")

    def log_value(self, quantity: str, p: Values, x: Values, log_batch_size: Numbers) -> jax.Array:
        """Natural log of the best learning rate or batch size."""
        if quantity == "batch_size":
            return self.log_batch_size(p, x)
        return self.log_learning_rate(p, x, log_batch_size)


@dataclass(frozen=True, eq=False, repr=False)
class ValueLaw(Law):
    """A law of one measured quantity, such as the steps to a target loss or the data to a performance."""


LAWS: dict[str, type[Law]] = {}


def says(law: type[Law]) -> str:
    """First line of a law's docstring."""
    return (law.__doc__ or "").strip().partition("\n")[0]


def as_law(law: object) -> Law:
    """A law, also from its class or its name.

    Raises
    ------
    ValueError
        When no law has that name.
    TypeError
        When it is none of these.
    """
    if isinstance(law, Law):
        return law
    if isinstance(law, type) and issubclass(law, Law):
        return law()
    if isinstance(law, str):
        named = {name.lower(): name for name in LAWS}
        if law.lower() in named:
            return LAWS[named[law.lower()]]()
        near = difflib.get_close_matches(law.lower(), named, n=1)
        guess = f" Did you mean {quote(named[near[0]])}?" if near else ""
        raise ValueError(f"there is no law {quote(law)}.{guess} The laws are: {', '.join(LAWS)}.")
    raise TypeError(f"law must be a law such as hl.laws.StepLaw(), or its name; received {type(law).__name__}.")


def register[L: type[Law]](law: L) -> L:
    """Make a law known by its name: to `hl.laws.table()`, to `hl.load_fit`, and to the command line.

    Used as a decorator, by the laws of the package and by a user's own. A law that is defined again in the same module
    (a notebook's cell run twice) takes the place of the first.

    Raises
    ------
    TypeError
        When it is not a subclass of `OptimumLaw` or `ValueLaw`.
    ValueError
        When another law has its name, it lacks an attribute or a function, names a parameter twice, by a reserved
        word or as a fit names tasks' values, or its functions ask for a parameter or covariate that it does not list.
    """
    if not (isinstance(law, type) and issubclass(law, OptimumLaw | ValueLaw)):
        raise TypeError(f"register takes a subclass of hl.OptimumLaw or hl.ValueLaw, received {quote(law)}.")
    name, other = law.__name__, LAWS.get(law.__name__)
    if other is not None and other.__module__ != law.__module__:
        raise ValueError(f"there is a law {quote(name)} already, in {other.__module__}. Give yours another name.")
    absent = [a for a in ("tables", "predicts", "covariates", "own_parameters") if not hasattr(law, a)]
    if absent:
        raise ValueError(f"{name} does not state {', '.join(absent)}. The docstring of hl.Law says what each is.")
    names = [p.name for p in law.own_parameters]
    bad = sorted({n for n in names if names.count(n) > 1 or n in RESERVED or n.endswith(ENDINGS)})
    if bad:
        raise ValueError(
            f"{name} names {some_of(map(quote, bad))} twice or by a reserved word. The reserved words are: "
            f"{', '.join(sorted(RESERVED))}, and all that end in {' or '.join(ENDINGS)}."
        )
    if not law.__module__.startswith(__package__):  # those of the package are held to it by its tests
        _check_functions(law)
    LAWS[name] = law
    return law


def _check_functions(law: type[Law]) -> None:
    """Trace, without compiling, every function at scalars: what it asks for is listed."""
    if law.__abstractmethods__:
        raise ValueError(f"{law.__name__} does not define {', '.join(sorted(law.__abstractmethods__))}.")
    one, number = law(), jax.ShapeDtypeStruct((), np.float32)
    known = {*(q.name for q in law.own_parameters), *one.logged, *law.linear, *(f"{name}_unit" for name in law.linear)}
    if unknown := [name for name in fields(one.equation()) if name not in known]:
        raise ValueError(
            f"{law.__name__}: its equation names {some_of(unknown)}, which is neither among its own_parameters nor a "
            f"pivot. Its fields can be: {', '.join(sorted(known))}."
        )
    p = {q.name: number for q in law.own_parameters}
    x = dict.fromkeys(law.covariates, number)
    functions: dict[str, Callable] = {quantity: partial(one.log_value, quantity) for quantity in law.predicts}
    if law.has_critical_batch:
        functions["critical batch size"] = lambda p, x, b: one.log_critical_batch(p, x)
    for quantity, function in functions.items():
        try:
            shape = jax.eval_shape(function, p, x, number).shape
        except KeyError as error:
            raise ValueError(
                f"{law.__name__}: its {quantity} asks for {error}, which is neither among its own_parameters "
                f"({', '.join(p)}) nor its covariates ({', '.join(x) or 'none'})."
            ) from None
        except NotImplementedError:
            raise ValueError(f"{law.__name__} states that it has a {quantity}, but no function that says it.") from None
        if shape != ():
            raise ValueError(f"{law.__name__}: its {quantity} is an array of shape {shape} where one number is asked.")
