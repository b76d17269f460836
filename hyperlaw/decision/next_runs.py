"""`next_runs`: which small runs would most improve the choice of a setting for a large one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd
import xarray as xr

from hyperlaw.data.outcomes import NATS
from hyperlaw.data.sweep_shape import MIN_LEARNING_RATES
from hyperlaw.data.vocabulary import HYPERPARAMETERS, RUN_SCALES, At, with_unit
from hyperlaw.decision.pareto_weights import pareto_weights
from hyperlaw.decision.preposterior import (
    Outcomes,
    Regrets,
    outcomes_of,
    regret_at,
    regrets_of,
    risk_of_a_known_law,
    settings_at,
)
from hyperlaw.decision.trusted import trusted
from hyperlaw.display import Shown, View
from hyperlaw.inference.cells import new_cell
from hyperlaw.inference.posterior import Posterior
from hyperlaw.progress import track
from hyperlaw.quote import quote, some_of
from hyperlaw.risk import CVaR, Mean, Risk, as_risk
from hyperlaw.streams import check_seed, generator

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OUTCOMES, DRAWS = 100, 2000
TRUSTED, HALVINGS = 0.7, 5
Cost: TypeAlias = str | Callable[[pd.DataFrame], np.ndarray] | np.ndarray | pd.Series | list[float]


@dataclass(frozen=True, eq=False, repr=False)
class NextRuns(Shown):
    """What `next_runs` returns; risks and reductions in nats.

    Attributes
    ----------
    table
        The chosen runs, in order; the index is that of the candidates. Their settings and scales; `new_cell`, whether
        no run was fitted there; `cost`; `reduction`: by how much the risk of the choice is expected to fall by this
        run, after those before it; `per_cost`; `error`: Monte Carlo standard error of `reduction`;
        `cumulated` and `cumulated_cost`: of all runs so far; `k_hat`: largest Pareto k of its simulated outcomes;
        `untrusted`: share of them whose k is above 0.7, more than the draws can represent. Of these only so much counts
        (a half, a quarter, ... of the log likelihood) that k is below, so that the reduction is too low where they are
        many.
    candidates
        The same of every candidate, as the first run.
    draws
        Dataset: `reduction` and `k_hat` with dims `candidate, outcome`, of the candidates as the first run, and
        `cumulated` with dims `run, outcome`: by how much the risk falls in each outcome once the runs are known.
    risk
        Risk of the choice now: what it would be worth to know the loss surface of the target itself.
    value_of_perfect_information
        What endless small runs would be worth: by how much the risk is expected to fall once every parameter of the
        law is known. The rest is the target cell's own deviation, of which no other cell tells. When the
        cost of more runs is above this, stop.
    attitude
        The attitude to risk.
    loss_unit, cost_unit
        Unit of the loss, and of the cost: "FLOPs", "data points", "runs", or "as given".
    at
        The target.
    """

    table: pd.DataFrame
    candidates: pd.DataFrame
    draws: xr.Dataset
    risk: float
    value_of_perfect_information: float
    attitude: Risk
    loss_unit: str = NATS
    cost_unit: str = "as given"
    at: At | None = None

    @property
    def path(self) -> pd.DataFrame:
        """Risk of the choice before the first run and after each: `cost` so far, `risk`, Monte Carlo `error`."""
        gained = self.draws["cumulated"]
        after = pd.DataFrame({
            "cost": self.table["cumulated_cost"].to_numpy(),
            "risk": self.risk - gained.mean("outcome").values,
            "error": (gained.std("outcome", ddof=1) / np.sqrt(gained.sizes["outcome"])).values,
        })  # fmt: skip
        return pd.concat([pd.DataFrame({"cost": [0.0], "risk": [self.risk], "error": [0.0]}), after], ignore_index=True)

    def plot(self) -> "Figure":
        """What each run would buy, against its cost: see `hyperlaw.plots.next_runs`."""
        from hyperlaw.plots.next_runs import plot_next_runs

        return plot_next_runs(
            self.candidates, chosen=self.table.index, path=self.path,
            floor=self.risk - self.value_of_perfect_information, attitude=str(self.attitude),
            loss_unit=self.loss_unit, cost_unit=self.cost_unit,
        )  # fmt: skip

    @property
    def sentence(self) -> str:
        """What the runs would bring, in words."""
        last = self.table.iloc[-1]
        runs = "this run is" if len(self.table) == 1 else f"these {len(self.table)} runs are"
        now = with_unit(f"{self.risk:.2g}", self.loss_unit)
        words = (
            f"The choice now has {self.attitude} of {now}; {runs} expected to lower it by {last['cumulated']:.2g}, and "
            f"knowing the law exactly by {self.value_of_perfect_information:.2g}. "
            "The rest is the target's own deviation from the law, which only runs at the target show."
        )
        doubtful = int((self.table["untrusted"] > 0.1).sum())
        if doubtful:
            words += (
                f" Of {doubtful} of the runs more than a tenth of the simulated outcomes say more than the draws can "
                "represent (Pareto k above 0.7) and were counted in part: the reduction is too low. Make the first "
                "runs, update the fit and ask again."
            )
        if thin := self._thin_cells():
            words += (
                f" In {thin} of the new cells fewer than {MIN_LEARNING_RATES} learning rates are named, which "
                "`hl.update` refuses: make more runs there."
            )
        return words

    def _thin_cells(self) -> int:
        """How many cells that were not fitted would hold too few learning rates for a table of runs."""
        new = self.table[self.table["new_cell"]]
        cell = [name for name in (*RUN_SCALES, "task") if name in new]
        return int((new.groupby(cell)["learning_rate"].nunique() < MIN_LEARNING_RATES).sum()) if len(new) else 0

    def view(self) -> View:
        """What is shown of it."""
        count = len(self.table)
        return View(
            f"The next {count} run{'s' if count > 1 else ''}, of {len(self.candidates)} candidates",
            self.sentence,
            tables={"": self.table},
            folded={"Every candidate, as the first run": self.candidates},
            picture=self.plot,
        )


def next_runs(
    fit: Posterior,
    at: At,
    *,
    candidates: pd.DataFrame | Mapping[str, Any],
    n: int,
    risk: Risk | str,
    seed: int,
    cost: Cost = "compute",
    despite: str | None = None,
    progress: bool = True,
) -> NextRuns:
    """Choose the small runs whose outcomes would lower the risk of the choice at a target most, for their cost.

    Preposterior analysis: an outcome of each candidate (diverged, or a loss) is simulated from some draws of the
    posterior; the other draws are weighted by its likelihood, and the best setting at the target is chosen anew under
    these weights. No law is refitted. Runs are chosen one after the other, each with the outcomes of those before it in
    the weights, so that a second run that says the same as the first is worth little.

    Parameters
    ----------
    fit
        A fit of a law to runs.
    at
        The target, as for `hl.decide`.
    candidates
        One row a run that could be made: `learning_rate`, `batch_size` (data points), the law's covariates, and `task`
        (a fitted one) where there are several. Cells may be fitted ones or new. A further scale of the runs,
        such as `width`, tells cells apart where the covariates do not. Other columns are passed over. A setting
        that may be run twice is listed twice. A run at the scale of the target is taken for one in another cell there.
    n
        How many to choose.
    risk
        `hl.Mean()` or `hl.CVaR(q)`.
    seed
        Determines the simulated outcomes and every new cell.
    cost
        `"compute"`: 6 params data FLOPs where candidates give `params`, else their `data`; `"runs"`: each counts 1; or
        one number above zero for each candidate, or a function that makes them from the candidates.
    despite
        Reason for deciding although checks of the fit failed.
    progress
        Whether to show a progress bar.

    Returns
    -------
    NextRuns
        The runs in order, every candidate's value as the first, and what knowing the law would be worth.

    Raises
    ------
    TypeError
        When the fit is not one of runs, or the seed no integer.
    ValueError
        When the target, candidates, their cost, `n` or the risk are not what is needed.
    RuntimeError
        When a check of the fit failed and no reason is given in `despite`.

    Notes
    -----
    Raiffa and Schlaifer (1961), Applied Statistical Decision Theory; CVaR as in `hyperlaw.decision.preposterior`.
    After the first run a candidate is evaluated anew only while its value in an earlier round could still win. That is
    exact where returns diminish.
    """
    risk = as_risk(risk)
    if not isinstance(risk, Mean | CVaR):
        raise ValueError(f"next_runs weighs draws, under hl.Mean() or hl.CVaR(q) alone; received {quote(risk)}.")
    check_seed(seed)
    runs = _runs(fit, candidates)
    if not isinstance(n, int) or not 1 <= n <= len(runs):
        raise ValueError(f"n must be a whole number from 1 to the {len(runs)} candidates, received {quote(n)}.")
    price, cells = _price(runs, cost), _cells(fit, runs)
    target = new_cell(fit, at)
    trusted({fit.law.name: fit}, despite)

    order = generator(seed, "next runs", "draws").permutation(int(np.prod(fit.shape)))
    # Outcomes come from draws of their own: the draw behind an outcome would have too much weight under it.
    simulated, weighed = order[:OUTCOMES], order[OUTCOMES:][:DRAWS]
    settings = settings_at(fit, target)
    regrets = regrets_of(regret_at(fit, target, weighed, settings), risk)
    # A new cell has the same deviations in a draw, whether its outcome is simulated or weighed.
    outcomes = [outcomes_of(fit, runs, cells, draws, f"next runs {seed}") for draws in (simulated, weighed)]
    losses = outcomes[0].simulate(generator(seed, "next runs", "losses"))
    value = _Value(regrets, outcomes[1], losses)

    known_law = risk_of_a_known_law(fit, target, settings, risk, generator(seed, "next runs", "known law"))
    first = [value.of(i) for i in track(range(len(runs)), "next_runs: candidates", disable=not progress)]
    gains, k_hat = (np.array(part) for part in zip(*first, strict=True))
    rate = gains.mean(axis=1) / price
    rows, cumulated = [], []
    for _ in track(range(n), "next_runs: choosing", disable=not progress):
        chosen, gain, k = value.best(rate, price)
        rows.append(_row(gain, k, price[chosen]) | {"candidate": chosen})
        value.learn(chosen)
        cumulated.append(value.gained)
        rate[chosen] = -np.inf
    known = runs.assign(new_cell=cells < 0)
    table = pd.DataFrame(rows).set_index("candidate")
    table = table.assign(cumulated=table["reduction"].cumsum(), cumulated_cost=table["cost"].cumsum())
    each = pd.DataFrame([_row(*values) for values in zip(gains, k_hat, price, strict=True)])
    return NextRuns(
        table=pd.concat([known.iloc[table.index], table.set_axis(known.index[table.index])], axis=1),
        candidates=pd.concat([known, each.set_axis(known.index)], axis=1),
        draws=xr.Dataset(
            {
                "reduction": (("candidate", "outcome"), gains),
                "k_hat": (("candidate", "outcome"), k_hat),
                "cumulated": (("run", "outcome"), np.array(cumulated)),
            }
        ),
        risk=regrets.risk,
        value_of_perfect_information=max(regrets.risk - known_law, 0.0),
        attitude=risk,
        loss_unit=fit.runs.loss_unit,
        cost_unit=_cost_unit(runs, cost),
        at=dict(at),
    )


class _Value:
    """What one more run would be worth, after the runs that were learnt."""

    def __init__(self, regrets: Regrets, outcomes: Outcomes, losses: np.ndarray) -> None:
        self._regrets, self._outcomes, self._losses = regrets, outcomes, losses
        self._log_weights = np.zeros((len(losses), len(regrets.regret)))
        self.gained = np.zeros(len(losses))

    def of(self, candidate: int) -> tuple[np.ndarray, np.ndarray]:
        """Further fall of the risk (nats) in each outcome of a candidate, and the Pareto k of the whole outcome."""
        _, gained, k = self._with(candidate)
        return gained - self.gained, k

    def best(self, rate: np.ndarray, price: np.ndarray) -> tuple[int, np.ndarray, np.ndarray]:
        """Candidate of the largest value per cost, with what `of` says; `rate` holds bounds, which are tightened."""
        fresh: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        while True:
            leader = int(np.argmax(rate))
            if leader in fresh:
                return leader, *fresh[leader]
            fresh[leader] = self.of(leader)
            rate[leader] = fresh[leader][0].mean() / price[leader]

    def learn(self, candidate: int) -> None:
        """Take a candidate as made: its simulated outcomes count in all that follows."""
        self._log_weights, self.gained, _ = self._with(candidate)

    def _with(self, candidate: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        likelihood = self._outcomes.log_likelihood(candidate, self._losses[:, candidate])
        log_weights = self._log_weights + likelihood
        weights, k_hat = pareto_weights(log_weights)
        k = k_hat.copy()
        for halving in range(1, HALVINGS + 1):
            beyond = np.flatnonzero(k > TRUSTED)
            if len(beyond) == 0:
                break
            log_weights[beyond] = self._log_weights[beyond] + likelihood[beyond] / 2**halving
            weights[beyond], k[beyond] = pareto_weights(log_weights[beyond])
        trusted = k <= TRUSTED
        gained = np.where(trusted, self._regrets.gains(weights), self.gained)
        return np.where(trusted[:, None], log_weights, self._log_weights), gained, k_hat


def _row(gain: np.ndarray, k_hat: np.ndarray, price: float) -> dict[str, float]:
    return {
        "cost": float(price),
        "reduction": float(gain.mean()),
        "per_cost": float(gain.mean() / price),
        "error": float(gain.std(ddof=1) / np.sqrt(len(gain))),
        "k_hat": float(k_hat.max()),
        "untrusted": float((k_hat > TRUSTED).mean()),
    }


def _runs(fit: Posterior, candidates: pd.DataFrame | Mapping[str, Any]) -> pd.DataFrame:
    """The candidates' own columns, checked."""
    frame = pd.DataFrame(candidates)
    several = len(fit.runs.tasks) > 1
    needs = [*HYPERPARAMETERS, *fit.law.covariates, *(["task"] if several else [])]
    missing = [name for name in needs if name not in frame]
    if missing:
        raise ValueError(
            f"candidates must give {', '.join(needs)}; missing {', '.join(missing)}, received {some_of(frame.columns)}."
        )
    if len(frame) == 0:
        raise ValueError("candidates must hold a run or more, received none.")
    scales = [name for name in RUN_SCALES if name in frame]
    for name in [*HYPERPARAMETERS, *scales]:
        values = pd.to_numeric(frame[name], errors="coerce").to_numpy(float)
        bad = ~(np.isfinite(values) & (values > 0))
        if bad.any():
            raise ValueError(
                f"candidates[{quote(name)}] must be finite and above zero, received "
                f"{quote(frame[name].tolist()[bad.argmax()])}."
            )
    unknown = sorted(set(frame["task"]) - set(fit.runs.tasks)) if several else []
    if unknown:
        raise ValueError(
            f"candidates name the task {quote(unknown[0])}; the fitted ones are {some_of(fit.runs.tasks)}."
        )
    columns = [*HYPERPARAMETERS, *scales, *(["task"] if several else [])]
    frame = frame[columns].astype({name: float for name in columns if name != "task"})
    return frame if frame.index.is_unique else frame.reset_index(drop=True)


def _price(runs: pd.DataFrame, cost: Cost) -> np.ndarray:
    """Cost of each candidate."""
    if isinstance(cost, str):
        if cost not in ("compute", "runs"):
            raise ValueError(f'cost must be "compute", "runs", numbers or a function, received {quote(cost)}.')
        if cost == "compute" and "data" not in runs:
            raise ValueError('cost="compute" needs candidates with data, received none: give cost="runs" or numbers.')
        if cost == "runs":
            return np.ones(len(runs))
        return (6 * runs["params"] * runs["data"] if "params" in runs else runs["data"]).to_numpy()
    price = np.asarray(cost(runs) if callable(cost) else cost, float)
    if price.shape != (len(runs),) or not (np.isfinite(price) & (price > 0)).all():
        raise ValueError(
            f"cost must give one number above zero for each of the {len(runs)} candidates, received "
            f"{quote(price.tolist())}."
        )
    return price


def _cost_unit(runs: pd.DataFrame, cost: Cost) -> str:
    if not isinstance(cost, str):
        return "as given"
    return "runs" if cost == "runs" else "FLOPs" if "params" in runs else "data points"


def _cells(fit: Posterior, runs: pd.DataFrame) -> np.ndarray:
    """Index of each candidate's cell in `fit.runs.cells`; -1, -2, ... of cells that were not fitted."""
    fitted = fit.runs.cells
    names = [name for name in fit.runs.scales if name in runs] + (["task"] if "task" in runs else [])
    found = np.empty(len(runs), int)
    for number, (key, rows) in enumerate(runs.groupby(names).indices.items(), start=1):
        same = (fitted[names] == list(key)).all(axis=1)
        if same.sum() > 1:
            other = [name for name in fit.runs.scales if name not in names]
            where = some_of(f"{name} {value}" for name, value in zip(names, key, strict=True))
            raise ValueError(
                f"{int(same.sum())} fitted cells have {where}; "
                f"candidates must give {' and '.join(other)} too, to tell them apart."
            )
        found[rows] = fitted.index[same][0] if same.any() else -number
    return found
