"""`frontier`: what data and compute a performance takes, and the updates-to-data ratio that costs least.

    C_J(sigma) = c(N, B*(sigma)) sigma D_J(sigma),   F = C + delta D,   sigma*_J = argmin F

with c(N, B) what an update costs, 10 N B where nothing else is declared (`hyperlaw.decision.budget`). Rybkin et al.
2025 (arXiv 2502.04327), who summarise sigma* as a power of F. Where the critic's size N is left open, it is chosen as
well (Fu et al. 2025, arXiv 2508.14881). All of it in every draw of the laws' parameters.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from hyperlaw.decision.budget import Budget
from hyperlaw.decision.choice import plain
from hyperlaw.decision.pareto import Pareto, Setting
from hyperlaw.decision.trusted import trusted
from hyperlaw.display import View
from hyperlaw.inference.cells import FARTHEST, values_at
from hyperlaw.inference.posterior import Posterior
from hyperlaw.models.laws.data_efficiency import DataEfficiency
from hyperlaw.models.laws.utd_hyperparameters import UTDHyperparameters
from hyperlaw.quote import quote, some_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DRAWS = 1000
RATIOS, SIZES = 80, 8
LARGEST = 600.0  # natural log of data: what more of it costs is beyond any number
NEEDS = "fits must be {'efficiency': a fit of DataEfficiency, 'hyperparameters': a fit of UTDHyperparameters}"


@dataclass(frozen=True, eq=False, repr=False)
class Frontier(Pareto):
    """Data against compute at each performance, and the ratio that costs least; see `hyperlaw.decision.pareto`."""

    def plot(self) -> "Figure":
        """Data against compute at each performance, and the cheapest updates-to-data ratio against the budget.

        Returns
        -------
        Figure
            A matplotlib figure of two axes, bands of 90 %.
        """
        from hyperlaw.plots.frontier import plot_frontier

        return plot_frontier(self)

    def view(self) -> View:
        """What is shown of it."""
        return replace(super().view(), picture=self.plot)

    def to_json(self) -> str:
        """The frontier as JSON text: all of it but the draws and the fits. What is no number is null."""
        told = {
            "task": self.task,
            "table": self.table.reset_index().to_dict("records"),
            "exponent": self.exponent.to_dict(),
            "fitted": self.fitted.to_dict("index"),
            "cost": self.cost,
            "checks_ok": None if self.checks is None else self.checks.ok,
            "checks": None if self.checks is None else self.checks.table.to_dict("records"),
            "despite": self.despite,
            "explanation": self.explain(),
        }
        return json.dumps(plain(told), indent=2, allow_nan=False)

    def report(self, path: str | PathLike[str], *, setting: Setting | None = None, command: str | None = None) -> None:
        """Write the frontier as one HTML file, to be opened offline, printed and sent.

        Parameters
        ----------
        path
            The file, ending in `.html`. It is written beside its place and then moved there, over one of that name.
        setting
            What `recommend` chose for a budget or a performance; left out, the page says what is cheapest at each.
        command
            How it was made, for the last lines of the page.

        Raises
        ------
        ValueError
            When the path does not end in `.html`.
        OSError
            When it cannot be written there.
        """
        from hyperlaw.report.frontier import report_frontier

        report_frontier(self, path, setting=setting, command=command)


def frontier(
    fits: Mapping[str, Posterior | Mapping[str, Posterior]],
    *,
    performance: float | Sequence[float],
    cost: Budget,
    utd: tuple[float, float] | None = None,
    params: float | None = None,
    task: str | None = None,
    weights: Mapping[str, float] | None = None,
    despite: str | None = None,
) -> Frontier:
    """Data, compute and budget of every updates-to-data ratio, in every draw, at one or more performances.

    Parameters
    ----------
    fits
        `"efficiency"`: a fit of `DataEfficiency` to crossings, or several by name, which are mixed.
        `"hyperparameters"`: a fit of `UTDHyperparameters` to optima; its batch size enters the compute. Either may be
        `BySize`.
    performance
        To be reached, in the unit of the thresholds that were fitted. Those beyond them follow the law.
    cost
        Prices; they are kept in the result, with the text of a function that was declared for them.
    utd
        Smallest and largest ratio allowed; left out, those of the crossings.
    params
        Parameters of the critic. Left out, chosen between the smallest and the largest of the crossings, which a fit of
        `DataEfficiencyBySize` allows.
    task
        A task that the fits know, or None for a new one, drawn from their populations.
    weights
        Of several efficiency laws, by name: the share of the draws that each gives. Equal when left out.
    despite
        Reason for deciding although checks of a fit failed; it is kept in the result.

    Returns
    -------
    Frontier
        Its `table`, `curves` and `utd_at` have intervals; `recommend` chooses a setting for a budget.

    Raises
    ------
    TypeError
        When a fit is not one of the two laws.
    ValueError
        When performances, ratios, sizes, task or weights are not what is needed, a performance is so far out that
        nothing can be said, the critic's size is unknown, or a declared price is no finite number above zero.
    RuntimeError
        When a check of a fit failed and no reason is given in `despite`.
    """
    laws, hyperparameters = _laws(fits)
    levels = _levels(performance)
    _check_task(task, [*laws.values(), hyperparameters])
    counts = _counts(laws, weights, min(DRAWS, *(_number(fit) for fit in (*laws.values(), hyperparameters))))
    candidates = _candidates(laws, utd, params).assign(task=task)
    every = laws | {"the hyperparameters": hyperparameters}
    checks = trusted(every, despite)

    data = np.concatenate([_data(laws[name], candidates, levels, count) for name, count in counts.items()])
    law = values_at(hyperparameters, candidates, scatter=False)
    # Costs are those of the law's batch size. The best of a new cell scatters around it, alike at all ratios.
    one = values_at(hyperparameters, candidates[:1])
    cell = {name: v + one[name] - v[..., :1] for name, v in law.items()}
    best = {name: np.exp(_thin(v, len(data))) for name, v in cell.items()}
    batch = np.exp(_thin(law["batch_size"], len(data)))[:, None]
    compute = cost.compute(candidates["utd"].to_numpy(), batch, data, candidates["params"].to_numpy())
    dims = ("sample", "performance", "candidate")
    draws = xr.Dataset(
        {
            "data": (dims, data),
            "compute": (dims, compute),
            "budget": (dims, compute + cost.delta * data),
            **{name: (("sample", "candidate"), v) for name, v in best.items()},
        },
        {
            "law": ("sample", np.repeat(list(counts), list(counts.values()))),
            "performance": levels,
            "utd": ("candidate", candidates["utd"]),
            "params": ("candidate", candidates["params"]),
        },
    )
    names = {"performance": "threshold", "utd": "utd"} | ({"params": "params"} if params is None else {})
    fitted = pd.DataFrame({name: _range(laws, column) for name, column in names.items()}, ["lowest", "highest"]).T
    reason = despite if not checks.ok else None
    return Frontier(draws, task, fitted, reason, checks, every, cost.provenance())


def _laws(fits: Mapping[str, Any]) -> tuple[dict[str, Posterior], Posterior]:
    """Fits of the data efficiency by name, and that of the hyperparameters."""
    if set(fits) != {"efficiency", "hyperparameters"}:
        raise ValueError(f"{NEEDS}; received {some_of(map(quote, fits))}.")
    given = fits["efficiency"]
    laws = {given.law.name: given} if isinstance(given, Posterior) else dict(given)
    if not laws:
        raise ValueError(f"{NEEDS}; received no fit of the efficiency.")
    best = fits["hyperparameters"]
    for fit, kind in [*((fit, DataEfficiency) for fit in laws.values()), (best, UTDHyperparameters)]:
        if not (isinstance(fit, Posterior) and isinstance(fit.law, kind)):
            what = f"a fit of {fit.law.name}" if isinstance(fit, Posterior) else quote(fit)
            raise TypeError(f"{NEEDS}; received {what} where {kind.__name__} is needed.")
    measured = best.measured_values.quantities(best.table)
    if "batch_size" not in measured:
        raise ValueError(
            f"the compute needs the best batch size, but the optima that were fitted hold {', '.join(measured)} alone. "
            "Make them from a sweep over batch sizes."
        )
    return laws, best


def _levels(performance: float | Sequence[float]) -> np.ndarray:
    """Performances, ascending."""
    levels = np.unique(np.asarray(performance, float))
    if not levels.size or not np.isfinite(levels).all():
        raise ValueError(f"performance must be a finite number, or one or more of them; received {quote(performance)}.")
    return levels


def _check_task(task: str | None, fits: Sequence[Posterior]) -> None:
    for fit in fits:
        if task is not None and task not in fit.table.tasks:
            raise ValueError(
                f"{quote(task)} is not a task of the fit of {fit.law.name}: {some_of(fit.table.tasks)}. Pass one "
                "that every fit knows, or None for a new one."
            )


def _counts(laws: Mapping[str, Posterior], weights: Mapping[str, float] | None, most: int) -> dict[str, int]:
    """How many of at most `most` draws each law gives."""
    shares = dict.fromkeys(laws, 1.0) if weights is None else dict(weights)
    if set(shares) != set(laws) or not all(w >= 0 for w in shares.values()) or not sum(shares.values()) > 0:
        raise ValueError(
            f"weights must give a share, zero or more and not all zero, to each of {some_of(laws)}; received "
            f"{quote(weights)}."
        )
    ends = np.cumsum([0.0, *(shares[name] for name in laws)]) / sum(shares.values())
    return dict(zip(laws, np.diff(np.round(ends * most).astype(int)).tolist(), strict=True))


def _candidates(laws: Mapping[str, Posterior], utd: tuple[float, float] | None, params: float | None) -> pd.DataFrame:
    """Ratios, and critic sizes, to choose from."""
    low, high = _range(laws, "utd") if utd is None else utd
    if not 0 < low < high < np.inf:
        raise ValueError(f"utd must be a smallest and a larger ratio, both above zero; received {quote((low, high))}.")
    if params is not None:
        if not (np.isfinite(params) and params > 0):
            raise ValueError(f"params must be finite and above zero, received {quote(params)}.")
        sizes = np.array([float(params)])
    elif all("params" in fit.law.covariates for fit in laws.values()):
        sizes = np.unique(np.geomspace(*_range(laws, "params"), SIZES))
    else:
        raise ValueError(
            "params is needed: an update costs in proportion to the critic's parameters, and these laws do not say "
            "what its size does. Pass params=, or fit DataEfficiencyBySize to crossings of several sizes."
        )
    return pd.DataFrame(
        {"utd": np.tile(np.geomspace(low, high, RATIOS), len(sizes)), "params": np.repeat(sizes, RATIOS)}
    )


def _range(laws: Mapping[str, Posterior], column: str) -> tuple[float, float]:
    """Smallest and largest value of a column of the crossings that were fitted."""
    values = pd.concat([fit.table.frame[column] for fit in laws.values()])
    return float(values.min()), float(values.max())


def _thin(values: np.ndarray, count: int) -> np.ndarray:
    """Evenly spaced draws, shape (count, row), from (chain, draw, row)."""
    flat = values.reshape(-1, values.shape[-1])
    return flat[np.linspace(0, len(flat) - 1, count).astype(int)]


def _number(fit: Posterior) -> int:
    return int(np.prod(fit.shape))


def _data(fit: Posterior, candidates: pd.DataFrame, levels: np.ndarray, count: int) -> np.ndarray:
    """Data to each performance, shape (count, performance, candidate)."""
    logs, last = [], np.log(fit.table.frame["data"].max())
    for level in levels:
        one = _thin(values_at(fit, candidates.assign(threshold=level), scatter=False)["data"], count)
        decades = (np.median(one, axis=0).min() - last) / np.log(10)
        if decades > FARTHEST or one.max() > LARGEST:
            raise ValueError(
                f"performance {level:g} would take data {decades:.1f} decades beyond the crossings, which reach "
                f"{fit.table.frame['threshold'].max():g}: nothing can be said there. Give performances nearer to those "
                "that were fitted, in their unit."
            )
        logs.append(one)
    return np.exp(np.stack(logs, axis=1))
