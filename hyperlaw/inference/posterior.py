"""`Posterior`: draws of a model's parameters given a table, and where they came from."""

import json
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version

import jax
import numpy as np
import xarray as xr

from hyperlaw.data.runs import Runs
from hyperlaw.data.table import Table
from hyperlaw.display import Shown, View
from hyperlaw.inference.sampler import Settings, sample
from hyperlaw.inference.tree import posterior_tree
from hyperlaw.models.law import Law
from hyperlaw.models.likelihoods.base import Design, Draws, Likelihood
from hyperlaw.models.likelihoods.loss_surface import LossSurface
from hyperlaw.models.likelihoods.measured_values import MeasuredValues
from hyperlaw.models.prior import to_json
from hyperlaw.progress import sampling_bar
from hyperlaw.streams import generator

PACKAGES = ("hyperlaw", "numpyro", "jax", "arviz", "numpy")


@dataclass(frozen=True, eq=False, repr=False)
class Posterior(Shown):
    """The posterior of a law given a table.

    Attributes
    ----------
    likelihood
        The model: the law, how rows scatter around it, and the priors that were used.
    table
        The runs, optima, crossings or steps it was fitted to.
    tree
        ArviZ `DataTree`, as `hyperlaw.Fit` describes it; its attributes hold the seed, settings, versions and the
        digest of the data.
    pivot
        Natural log of each covariate at which the law's intercepts are stated.
    """

    likelihood: Likelihood
    table: Table
    tree: xr.DataTree
    pivot: dict[str, float]

    @property
    def law(self) -> Law:
        """The law, with the priors that were used."""
        return self.likelihood.law

    @property
    def runs(self) -> Runs:
        """The runs it was fitted to; TypeError when it was fitted to another kind of table."""
        if not isinstance(self.table, Runs):
            raise TypeError(
                f"this needs a fit to Runs, received one of {self.law.name} to {type(self.table).__name__}, which "
                "holds no losses of single runs. Use fit.table, fit.check() and fit.predict(at)."
            )
        return self.table

    @property
    def surface(self) -> LossSurface:
        """The loss surface that it is a posterior of; TypeError as for `runs`."""
        _ = self.runs
        return self.likelihood  # type: ignore[return-value]

    @property
    def measured_values(self) -> MeasuredValues:
        """The model of a table of measured values; TypeError when it was fitted to runs."""
        if self.likelihood.prices_settings:
            raise TypeError(
                "this needs a fit to Optima, Crossings, StepsToLoss or NoiseMeasurements, received one of "
                f"{self.law.name} to {type(self.table).__name__}. Make such a table of the runs, for "
                "instance runs.optima()."
            )
        return self.likelihood  # type: ignore[return-value]

    @property
    def seed(self) -> int:
        """The seed that it was made with."""
        return int(self.tree.attrs["seed"])

    def group(self, name: str) -> xr.Dataset:
        """A group of the tree; KeyError when it has none of that name."""
        return self.tree[name].dataset

    @property
    def draws(self) -> xr.Dataset:
        """Posterior draws of every site."""
        return self.group("posterior")

    @property
    def main(self) -> list[str]:
        """Names of the law's own parameters in the posterior: `az.plot_trace_dist(fit.tree, var_names=fit.main)`.

        All that the posterior holds, deviations of cells among it, is too much for a picture. A parameter that tasks
        have separately is named by its values for them.
        """
        return [self.in_posterior(parameter.name) for parameter in self.law.own_parameters]

    def in_posterior(self, name: str) -> str:
        """Name of a parameter in the posterior: of the population's, or of the tasks' own where they have none."""
        separate = name in self.likelihood.separate and f"{name}_task" in self.draws
        return f"{name}_task" if separate else name

    @property
    def row_densities(self) -> xr.DataArray:
        """Log density of every row in every draw, the row last: that of all its values together."""
        density: xr.DataArray = sum(self.group("log_likelihood").data_vars.values())  # type: ignore[assignment]
        return density.rename("density")

    @property
    def by_row(self) -> xr.DataTree:
        """Groups `posterior` and `log_likelihood` with one density a row: `az.loo(fit.by_row)` leaves out whole rows.

        As `fit.tree`, but for tables whose rows hold several values.
        """
        return xr.DataTree.from_dict({"posterior": self.draws, "log_likelihood": self.row_densities.to_dataset()})

    @property
    def finished(self) -> xr.DataTree:
        """The tree without the runs that diverged: `az.plot_loo_pit(fit.finished)`.

        They have no loss that a predictive one could be compared with, and a picture would read it as below all.
        """
        outcomes = self.group("observed_data").to_dataarray()
        return self.tree.isel({self.likelihood.row: np.flatnonzero(outcomes.notnull().all("variable"))})

    @property
    def shape(self) -> tuple[int, int]:
        """Number of chains, and of draws of each."""
        return self.draws.sizes["chain"], self.draws.sizes["draw"]

    def rng(self, *stream: str | int) -> np.random.Generator:
        """Random numbers for one purpose, from the seed: no two purposes of one fit share them, nor do two laws."""
        return generator(self.seed, self.law.name, *stream)

    @property
    def headline(self) -> str:
        """What it is of, in one line."""
        chains, draws = self.shape
        return f"{type(self).__name__} of {self.law.title}: {chains} chains x {draws} draws."

    def view(self) -> View:
        """What is shown of it."""
        return View(self.headline, self.table.headline)


def sample_posterior(
    likelihood: Likelihood,
    table: Table,
    *,
    seed: int,
    settings: Settings,
    earlier: Draws | None = None,
    progress: bool = True,
) -> Posterior:
    """Sample the posterior of a model; `earlier` as for `hyperlaw.inference.sampler.sample`.

    Raises
    ------
    ValueError
        When the table lacks what the law needs, or holds nothing that identifies it.
    """
    design = likelihood.design(table)
    likelihood.check_table(table)
    with sampling_bar(likelihood.law.name, show=progress) as report, jax.enable_x64(True):
        sites, stats = sample(likelihood, design, seed=seed, settings=settings, report=report, earlier=earlier)
        tree = posterior_tree(likelihood, table, design, sites, stats, seed=seed)
    tree.attrs = provenance(likelihood, table, design, seed, settings)
    return Posterior(likelihood, table, tree, pivot_of(design))


def pivot_of(design: Design) -> dict[str, float]:
    """Pivot of a design as plain numbers."""
    return {name: float(value) for name, value in design.pivot.items()}


def provenance(
    likelihood: Likelihood, table: Table, design: Design, seed: int, settings: Settings
) -> dict[str, str | int]:
    """Attributes of a tree: all that is needed to make it again, as scalars and JSON text."""
    law = likelihood.law
    priors = {name: to_json(prior) for name, prior in {**law.priors, **likelihood.priors}.items()}
    return {
        "law": law.name,
        "over": json.dumps(law.over),
        "table": table.kind,
        "columns": json.dumps(list(table.frame.columns)),
        "table_options": json.dumps(table.options),
        "pooling": json.dumps({**law.pooling, **likelihood.pooling}),
        "priors": json.dumps(priors),
        "options": json.dumps(likelihood.options),
        "pivot": json.dumps(pivot_of(design)),
        "seed": seed,
        "settings": json.dumps(settings._asdict()),
        "data": table.digest,
        "versions": json.dumps({name: version(name) for name in PACKAGES} | {"python": platform.python_version()}),
        "device": jax.devices()[0].platform,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
