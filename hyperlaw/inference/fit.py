"""`fit`: sample the posterior of a law given a sweep."""

import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from os import PathLike
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import xarray as xr
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from hyperlaw.data.runs import Runs
from hyperlaw.data.table import Table
from hyperlaw.inference.sampler import CHUNK, Settings, sample
from hyperlaw.inference.tree import posterior_tree
from hyperlaw.models.identified import identified
from hyperlaw.models.law import Law
from hyperlaw.models.meet import design_of, pivot_of
from hyperlaw.models.prior import Prior, to_json
from hyperlaw.progress import console

if TYPE_CHECKING:
    from hyperlaw.diagnostics.check import Checks

PRIOR_DRAWS = 500


@dataclass(frozen=True, eq=False)
class Fit:
    """The posterior of a law given a table. Made by `hl.fit` or `hl.load_fit`.

    Attributes
    ----------
    law
        The law, with the priors that were used.
    table
        The runs, optima, crossings or steps it was fitted to.
    tree
        ArviZ `DataTree`; its attributes hold the seed, settings, versions and the digest of the data.
    pivot
        Natural log of each covariate at which the law's intercepts are stated.
    """

    law: Law
    table: Table
    tree: xr.DataTree
    pivot: dict[str, float]

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
    def seed(self) -> int:
        """The seed that the fit was made with."""
        return int(self.tree.attrs["seed"])

    def check(self) -> "Checks":
        """Whether to believe this fit: see `hyperlaw.diagnostics.check`."""
        from hyperlaw.diagnostics.check import check

        return check(self)

    def predict(self, at: Mapping[str, Any], candidates: Mapping[str, np.ndarray] | None = None) -> Any:
        """What is expected at a target scale: a `Prediction`, or a `ValuePrediction` of tables other than runs.

        Of runs the optimum, loss and regret surface: see `hyperlaw.inference.predict`. Of other tables the
        quantities that the law predicts: see `hyperlaw.inference.predict_value`.
        """
        from hyperlaw.inference.predict import predict
        from hyperlaw.inference.predict_value import predict_value

        if isinstance(self.table, Runs):
            return predict(self, at, candidates)
        if candidates is not None:
            raise ValueError(f"candidates are priced by a fit of Runs; this is one of {type(self.table).__name__}.")
        return predict_value(self, at)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the fit to a netCDF file, which `hl.load_fit` reads."""
        from hyperlaw.inference.storage import save_fit

        save_fit(self, path)

    def __repr__(self) -> str:
        draws = self.tree["posterior"].sizes
        return f"Fit of {self.law.name}: {draws['chain']} chains x {draws['draw']} draws. {self.table!r}"


def fit(
    law: Law,
    table: Table,
    *,
    seed: int,
    priors: Mapping[str, Prior] | None = None,
    chains: int = 4,
    draws: int = 1000,
    warmup: int = 600,
    target_accept: float = 0.99,
    max_tree_depth: int = 10,
    progress: bool = True,
) -> Fit:
    """Sample the posterior of `law` given a table with NUTS.

    Parameters
    ----------
    law
        For instance `hl.laws.StepLaw()`.
    table
        The small runs (`Runs`), or `Optima`, `Crossings`, `StepsToLoss`: what the law is fitted to, see
        `hl.laws.table()`.
    seed
        Determines every draw: equal seeds on one machine give equal results.
    priors
        Priors that replace the law's own, by parameter name; see `law.parameters`.
    chains, draws, warmup
        Number of chains, and of kept and warm-up iterations of each; multiples of 50 and 100.
    target_accept, max_tree_depth
        NUTS settings; raise `target_accept` when the checks report divergences.
    progress
        Whether to show a progress bar.

    Returns
    -------
    Fit
        Posterior draws with everything ArviZ needs; call `.check()` before anything else.

    Raises
    ------
    ValueError, TypeError
        When a prior, a setting or the table do not fit the law.
    """
    law = law.of(table.kind).with_priors(priors or {})
    check_settings(seed, chains, draws, warmup)
    settings = Settings(chains, warmup, draws, target_accept, max_tree_depth)
    return sampled(law, table, seed=seed, settings=settings, earlier=None, progress=progress)


def sampled(
    law: Law, table: Table, *, seed: int, settings: Settings, earlier: dict[str, np.ndarray] | None, progress: bool
) -> Fit:
    """The posterior of a law that is ready for its table; `earlier` as for `hyperlaw.inference.sampler.sample`."""
    at, arrays = pivot_of(law, table), design_of(law, table)
    identified(law, table)
    with _progress(law.name, show=progress) as report, jax.enable_x64(True):
        sites, stats = sample(law, arrays, seed=seed, settings=settings, report=report, earlier=earlier)
        tree = posterior_tree(law, table, arrays, sites, stats, seed=seed, prior_draws=PRIOR_DRAWS)
    tree.attrs = provenance(law, table, at, seed, settings)
    return Fit(law, table, tree, at)


def provenance(law: Law, table: Table, at: dict[str, float], seed: int, settings: Settings) -> dict[str, str | int]:
    """Attributes of a tree: all that is needed to make it again, as scalars and JSON text."""
    packages = ("hyperlaw", "numpyro", "jax", "arviz", "numpy")
    return {
        "law": law.name,
        "table": law.table,
        "pooling": json.dumps(dict(law.pooling)),
        "priors": json.dumps({name: to_json(prior) for name, prior in law.priors.items()}),
        "pivot": json.dumps(at),
        "seed": seed,
        "settings": json.dumps(settings._asdict()),
        "data": table.digest,
        "versions": json.dumps({name: version(name) for name in packages} | {"python": platform.python_version()}),
        "device": jax.devices()[0].platform,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def check_settings(seed: int, chains: int, draws: int, warmup: int) -> None:
    """Refuse what `fit` cannot run with: TypeError of a seed that is no integer, ValueError of lengths."""
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise TypeError(f"seed must be an integer of 0 or more, received {seed!r}.")
    if chains < 2:
        raise ValueError(f"chains must be 2 or more, received {chains}: one chain cannot show that chains agree.")
    for name, value, unit in (("draws", draws, CHUNK), ("warmup", warmup, 2 * CHUNK)):
        if value < unit or value % unit:
            raise ValueError(f"{name} must be a multiple of {unit}, received {value}.")


class _progress:
    """A progress bar that reports the share done and the divergences, or nothing at all."""

    def __init__(self, title: str, show: bool) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
        )
        self._bar = Progress(*columns, disable=not show, console=console())
        self._task = self._bar.add_task(f"{title}: compiling", total=1.0, note="")
        self._title = title

    def __enter__(self) -> "Any":
        self._bar.start()
        return self._report

    def _report(self, share: float, divergences: int) -> None:
        note = f"{divergences} divergences" if divergences else ""
        self._bar.update(self._task, completed=share, description=self._title, note=note)

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
