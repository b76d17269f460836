"""`Likelihood`: how the rows of one kind of table scatter around a law. Law and likelihood together are the model."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import log
from typing import Any, ClassVar, Protocol, Self, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pandas as pd
import xarray as xr

from hyperlaw.compilation import keep_programs
from hyperlaw.data.table import Table
from hyperlaw.models.identifiability import identified
from hyperlaw.models.law import Law, Numbers, Values
from hyperlaw.models.likelihoods.deviations import levelled, levels
from hyperlaw.models.parameter import Parameter, check_replacements, parameter_table, replaced
from hyperlaw.models.pooling import population_of, sample_parameters
from hyperlaw.models.prior import Placed, Prior, resolve, to_json

keep_programs()  # here, since whatever is compiled goes through a likelihood
LIKELIHOODS: dict[str, type["Likelihood"]] = {}
# Tables of nearly equal length share a compiled program: rows are filled up to a multiple of this.
BLOCK = 64
BEYOND = 4.0  # how many times the largest scale, where a target is not known yet
Arrays: TypeAlias = dict[str, np.ndarray]
Draws: TypeAlias = Mapping[str, np.ndarray]
Shift: TypeAlias = Callable[[Values, Any], dict[str, jax.Array]]  # of values, those of tasks too, and a design


class Design(Protocol):
    """A table as arrays: a pytree that a compiled model takes as its argument. Each likelihood has its own."""

    @property
    def task(self) -> np.ndarray:
        """Index of the task of each cell (of `LossSurface`) or row."""

    @property
    def tasks(self) -> np.ndarray:
        """0, 1, ... one entry a task."""

    @property
    def covariates(self) -> Arrays:
        """The law's covariates of each cell or row, as `Law.log_value` takes them."""

    @property
    def priors(self) -> dict[str, dist.Distribution]:
        """Prior of every parameter, placed: its numbers are arguments of the compiled program, not constants in it."""

    @property
    def pivot(self) -> Arrays:
        """Where intercepts are stated: natural log of each covariate, middle and unit of linear ones."""

    @property
    def present(self) -> np.ndarray:
        """Which rows are the table's; the others fill up the last block."""

    @property
    def observed(self) -> np.ndarray:
        """Which rows condition the model."""

    @property
    def _replace(self) -> Callable[..., Any]:
        """The same with some of the arrays changed."""


@dataclass(frozen=True, eq=False)
class Likelihood[T: Table, D: Design](ABC):
    """A law, and how the rows of one kind of table scatter around it.

    `hl.likelihood(law, table)` makes the right one. Whatever takes a law also takes a likelihood, for those who want
    other priors of the scatter.

    Parameters
    ----------
    law
        The law.
    priors, pooling
        As for the law, for every parameter of the model.

    Attributes
    ----------
    kinds
        Kinds of table that it is for.
    row
        Name of a row's dimension.
    prices_settings
        Whether it knows what any learning rate and batch size would cost, so that one can be chosen.
    """

    law: Law
    priors: Mapping[str, Prior] = field(default_factory=dict)
    pooling: Mapping[str, str] = field(default_factory=dict)

    kinds: ClassVar[tuple[str, ...]]
    row: ClassVar[str] = "row"
    prices_settings: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        LIKELIHOODS.update(dict.fromkeys(cls.__dict__.get("kinds", ()), cls))

    def __post_init__(self) -> None:
        check_replacements(self.law.name, self._defaults, self.priors, self.pooling)
        own = {p.name for p in self.law.own_parameters}
        law = replace(
            self.law,
            priors={**self.law.priors, **{n: prior for n, prior in self.priors.items() if n in own}},
            pooling={**self.law.pooling, **{n: how for n, how in self.pooling.items() if n in own}},
        )
        object.__setattr__(self, "law", law)
        object.__setattr__(self, "priors", {n: prior for n, prior in self.priors.items() if n not in own})
        object.__setattr__(self, "pooling", {n: how for n, how in self.pooling.items() if n not in own})

    @property
    @abstractmethod
    def scatter_parameters(self) -> tuple[Parameter, ...]:
        """Parameters beyond the law's own, with their default priors."""

    @property
    def _defaults(self) -> tuple[Parameter, ...]:
        return self.law.own_parameters + self.scatter_parameters

    @property
    def parameter_list(self) -> tuple[Parameter, ...]:
        """The law's own parameters, then those of the scatter around it, with replaced priors and pooling in place."""
        return self.law.parameter_list + replaced(self.scatter_parameters, self.priors, self.pooling)

    @property
    def parameters(self) -> pd.DataFrame:
        """All parameters of the model, one row each: meaning, unit, prior, why, pooled over."""
        return parameter_table(self.parameter_list)

    @property
    def separate(self) -> frozenset[str]:
        """Parameters whose value for each task is drawn from the prior instead of from a population."""
        return frozenset(n for n, how in {**self.law.pooling, **self.pooling}.items() if how == "separate")

    @property
    def scale_sites(self) -> frozenset[str]:
        """Sites that scale deviations: the sampler holds them while it looks for the mode, where they would vanish."""
        own = {p.name for p in self.parameter_list if p.is_scale}
        return frozenset(own | {f"{n}{of}" for n in own for of in ("_task", "_task_sd")} | self._group_sds)

    def prior_sites(self, design: D) -> tuple[str, ...]:
        """Sites that have priors: the parameters, and with several tasks the standard deviations between them.

        What ties cells and tasks to them is the law's own model of how they differ, and no prior.
        """
        several = len(design.tasks) > 1
        pooled = [p for p in self.parameter_list if several and p.group_sd is not None and p.name not in self.separate]
        return (*(p.name for p in self.parameter_list), *(f"{p.name}_task_sd" for p in pooled))

    @property
    def levelled(self) -> tuple[str, ...]:
        """Covariates whose levels share a deviation."""
        return levelled(self.law)

    def levels(self, table: Table) -> dict[str, pd.DataFrame]:
        """The levels of a table whose cells share a deviation, by covariate: columns `task` and its value."""
        return levels(self.levelled, table.frame)

    def level_labels(self, table: Table) -> dict[str, list[str]]:
        """A label for each level, by name of their dimension."""
        return {f"{name}_level": row_labels(rows, [name]) for name, rows in self.levels(table).items()}

    @property
    @abstractmethod
    def shares(self) -> tuple[str, ...]:
        """Quantities of which cells of one level share a deviation: `hyperlaw.models.likelihoods.deviations`."""

    def level_deviation(self, p: Draws, quantity: str) -> Numbers:
        """What the levels of new cells add to a quantity; `p` holds the deviation of each row's levels."""
        names = [f"{name}_deviation_{quantity}" for name in self.levelled]
        return sum(p[name] for name in names if name in p)

    @property
    def _group_sds(self) -> set[str]:
        return {f"{p.name}_task_sd" for p in self.parameter_list if p.group_sd is not None}

    def with_priors(self, priors: Mapping[str, Prior]) -> Self:
        """The same model with further priors replaced."""
        return replace(self, priors={**self.priors, **priors})

    def of(self, table: T) -> Self:
        """The same model with what it leaves to the table settled."""
        return self

    @property
    def bare(self) -> Self:
        """The same model with default priors: what a compiled program depends on."""
        return replace(self, law=self.law.bare, priors={})

    @property
    def options(self) -> dict[str, float | bool | None]:
        """Further arguments of the class, by name: what a saved fit keeps."""
        return {}

    @property
    def key(self) -> tuple[Any, ...]:
        """Class, law, replaced priors as text, pooling and options: equal for models that are the same."""
        priors = sorted((name, to_json(prior)) for name, prior in self.priors.items())
        return type(self), self.law.key, tuple(priors), tuple(sorted(self.pooling.items())), tuple(self.options.items())

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Likelihood) and self.key == other.key

    def check_table(self, table: T) -> None:
        """Refuse a table in which nothing that the law says can be seen; ValueError says what to add."""
        identified(self.law, table)

    @abstractmethod
    def design(self, table: T, observed: pd.Series | None = None) -> D:
        """Arrays of `table`; `observed` marks the rows to condition on, all when left out.

        Pivot and places of priors come from those rows alone.

        Raises
        ------
        ValueError
            When the table lacks what the law needs.
        """

    @abstractmethod
    def model(self, design: D) -> None:
        """NumPyro model of the table, for `numpyro.infer.MCMC` or `numpyro.render_model`."""

    def sample_parameters(self, design: D) -> dict[str, jax.Array]:
        """Values of all parameters inside the model, by cell or row where tasks differ."""
        return sample_parameters(
            self.parameter_list, design.priors, separate=self.separate, task=design.task, tasks=len(design.tasks)
        )

    def settled(self, p: Values) -> dict[str, Numbers]:
        """Parameters of the scatter that the law settles, by name, from the others: none here."""
        return {}

    def placed_priors(self, places: Mapping[str, float]) -> Placed:
        """Prior of every parameter as a distribution; see `hyperlaw.models.prior.resolve`."""
        return Placed({p.name: resolve(p.prior, places) for p in self.parameter_list})

    @property
    def shifts(self) -> tuple[Shift, ...]:
        """What the sampler adds to unconstrained sites, one after the other, from values that none to come moves."""
        return ()

    @property
    def members(self) -> dict[str, str]:
        """Sites of members of normal populations, tasks and levels, with the site of their standard deviation."""
        tasks = {f"{p.name}_task": f"{p.name}_task_sd" for p in self.parameter_list if p.group_sd is not None}
        return tasks | {f"{n}_deviation_{q}": f"{n}_sd_{q}" for n in self.levelled for q in self.shares}

    def centres(self, p: Values, design: D) -> dict[str, Numbers]:
        """Centre of the population of each task's values, by their unconstrained site; levels are drawn around zero."""
        return {
            f"{q.name}_task": population_of(q, design.priors[q.name], p[q.name], 1.0).loc
            for q in self.parameter_list
            if q.group_sd is not None and q.name not in self.separate
        }

    @abstractmethod
    def beyond(self, p: Values, design: D) -> dict[str, jax.Array]:
        """What the law says at `scales_beyond`, by quantity, natural logs: sampled as well as the parameters."""

    def scales_beyond(self, design: D) -> Values:
        """Covariates beyond the table: four times the largest of those that enter as logs, the largest of others."""
        return {
            name: jnp.max(values) + (log(BEYOND) if name in self.law.logged else 0.0)
            for name, values in design.covariates.items()
        }

    @abstractmethod
    def measured(self, design: D) -> Arrays:
        """What was measured, by name of its site, in the unit of the model: finite, shape (row,)."""

    def to_simulate(self, design: D) -> D:
        """The design from which what is measured can be drawn and measured anew."""
        return design

    def outcomes(self, values: Arrays) -> Arrays:
        """Outcome of every row, from values of what is measured, drawn or observed: NaN where there is none."""
        return values

    def outcome_densities(self, densities: dict[str, jax.Array]) -> dict[str, jax.Array]:
        """Log densities of the outcomes, from those of what is measured."""
        return densities

    @abstractmethod
    def with_measured(self, design: D, values: Arrays) -> D:
        """The design with other measured values, by name of their site."""

    @abstractmethod
    def table_with(self, table: T, values: Arrays) -> T:
        """The table with other measured values, such as simulated ones, in the unit of the model."""

    @abstractmethod
    def prior_rows(self, table: T, predicted: xr.Dataset) -> pd.DataFrame:
        """Prior predictive draws, shape (chain, draw, row), summarised beside what was measured."""

    @abstractmethod
    def cell_labels(self, table: T, design: D) -> list[str]:
        """A label for each cell of the model."""

    def given_batch_sizes(self, table: T, rows: pd.DataFrame) -> Arrays:
        """Parameters of rows that hold a batch size which the table gives instead of trying several: none here."""
        return {}

    def of_thresholds(self, p: Draws, own: Draws, table: T, rows: pd.DataFrame, rng: np.random.Generator) -> Draws:
        """Parameters of which each threshold has its own, of rows that were not fitted: none here.

        Parameters
        ----------
        p
            Draws of the parameters, shape (chain, draw, row), or 1 in place of row.
        own
            Draws of the sites of `sample_parameters` that a threshold or their scale has.
        table
            What was fitted.
        rows
            What is asked.
        rng
            Draws those of thresholds that were not fitted.
        """
        return {}

    @abstractmethod
    def needs_at(self, table: T) -> tuple[str, ...]:
        """What a target must give, besides the task."""

    @abstractmethod
    def draw_cell(self, p: Draws, x: Values, rng: np.random.Generator, cells: np.ndarray) -> Arrays:
        """Parameters of cells that were not fitted, with their own deviations, drawn from their population.

        Parameters
        ----------
        p
            Draws of the parameters, shape (chain, draw, row), or 1 in place of row.
        x
            The law's covariates of each row.
        rng
            Draws the deviations.
        cells
            Which cell each row is of: 0, 1, ...
        """

    @abstractmethod
    def predicted(self, table: T, p: Draws, x: Values, log_batch_size: Numbers, rng: np.random.Generator) -> Arrays:
        """What a prediction of new cells states, by name and in its unit: shape (chain, draw, row).

        Parameters
        ----------
        table
            What was fitted.
        p, x
            As `draw_cell` returns them.
        log_batch_size
            Natural log of the batch size of each row where the target gives one, else 0.
        rng
            Draws what scatters beyond the cells' deviations.
        """

    def centred(self, frame: pd.DataFrame, pivot: Mapping[str, float]) -> Arrays:
        """The law's covariates of each row of a frame, as `Law.log_value` takes them."""
        law = self.law
        x = {name: np.log(frame[name].to_numpy(float)) - pivot[name] for name in law.logged}
        x |= {name: (frame[name].to_numpy(float) - pivot[name]) / pivot[f"{name}_unit"] for name in law.linear}
        return x | {name: frame[name].map(allowed.index).to_numpy(float) for name, allowed in law.labels.items()}

    def pivot(self, rows: pd.DataFrame) -> dict[str, float]:
        """Where intercepts are stated: mean log of each covariate, and the middle and half range of linear ones."""
        at = {name: float(np.log(rows[name].astype(float)).mean()) for name in self.law.logged}
        for name in self.law.linear:
            low, high = float(rows[name].min()), float(rows[name].max())
            at |= {name: (low + high) / 2, f"{name}_unit": max((high - low) / 2, 1e-9)}
        return at


def row_labels(frame: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """A label for each row: its task, where there are several, and its scales `names`. Unlike rows differ in it."""
    tasks, rows = [f"{task}, " if frame["task"].nunique() > 1 else "" for task in frame["task"]], frame[[*names]]
    for digits in (3, 6, 17):
        scales = [[f"{name} {row[name]:.{digits}g}" for name in names] for _, row in rows.iterrows()]
        labels = [task + ", ".join(words) for task, words in zip(tasks, scales, strict=True)]
        if len(set(labels)) == len(labels):
            break
    return labels


def filled(values: np.ndarray, fill: float = 0.0) -> np.ndarray:
    """The rows, filled up to a whole number of blocks."""
    values = np.asarray(values)
    return np.concatenate([values, np.full(-len(values) % BLOCK, fill, values.dtype)])
