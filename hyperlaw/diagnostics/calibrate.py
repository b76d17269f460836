"""`calibrate`: whether a law's posteriors mean what they say, by simulation (Talts et al. 2018, arXiv 1804.06788).

Draw parameters from the prior, a sweep from the parameters, and the posterior given that sweep. Were the sampler
exact, the rank of each true value among its posterior draws would be uniform over simulations.
"""

import hashlib
import json
import os
from concurrent.futures import Executor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr
from arviz_base import from_dict
from arviz_stats.ecdf_utils import compute_ecdf, ecdf_pit

from hyperlaw.data.table import Table
from hyperlaw.data.vocabulary import At, number
from hyperlaw.display import Shown, View
from hyperlaw.inference.cells import check_target
from hyperlaw.inference.jobs import check_executor
from hyperlaw.inference.ranks import KEPT, Record, ranks
from hyperlaw.inference.refit import CHAINS, DRAWS, SHORT
from hyperlaw.inference.simulate import simulate
from hyperlaw.models.law import Law
from hyperlaw.models.likelihoods import likelihood
from hyperlaw.models.likelihoods.base import Likelihood
from hyperlaw.progress import track
from hyperlaw.quote import quote, some_of
from hyperlaw.streams import check_seed, generator
from hyperlaw.whole_file import write_whole

if TYPE_CHECKING:
    from arviz_plots import PlotCollection

BAND = 0.95
INTERVALS = (0.5, 0.8, 0.9)
FEWEST = 8
# A simulation is troubled when it failed, its chains disagree, or more than this share of its draws diverged.
R_HAT, DIVERGENT = 1.05, 0.01
TROUBLED = 0.05
FILE = "calibration.jsonl"


@dataclass(frozen=True, eq=False, repr=False)
class Calibration(Shown):
    """What `calibrate` returns.

    Attributes
    ----------
    table
        One row a quantity: `quantity`; `simulations` that could be sampled; `p_value` of the ranks' uniformity (the
        test that `az.plot_ecdf_pit` prints); `inside`, whether their ECDF stays inside its simultaneous 95 % band
        (Säilynoja et al. 2022); `bias`, the mean rank as a share minus one half, in standard errors, above zero when
        posteriors lie too low; `coverage_50`, `coverage_80`, `coverage_90` of equal-tailed intervals.
    simulations
        One row a simulation: `divergences` (draws), `r_hat` and `ess` (the worst of the law's scalar parameters),
        `seconds`, `diverged_runs` (simulated runs without a loss), `failed` (the reason when it could not be
        sampled, else empty) and `troubled`.
    tree
        DataTree with the group `prior_sbc`, dim `sample`: ranks as shares, for
        `az.plot_ecdf_pit(calibration.tree, sample_dims=["sample"])`.
    at
        The target of the derived quantities.
    """

    table: pd.DataFrame
    simulations: pd.DataFrame
    tree: xr.DataTree
    at: dict[str, Any]

    @property
    def ok(self) -> bool:
        """True when no quantity is miscalibrated beyond chance and at most 5 % of the simulations are troubled.

        Beyond chance: a p-value below 0.05 divided by the number of quantities.
        """
        calibrated = (self.table["p_value"] >= (1 - BAND) / len(self.table)).all()
        return bool(calibrated and self.simulations["troubled"].mean() <= TROUBLED)

    @property
    def outside(self) -> list[str]:
        """Quantities whose ECDF leaves its band; compare their number with `expected_outside`."""
        return self.table.loc[~self.table["inside"], "quantity"].tolist()

    @property
    def expected_outside(self) -> float:
        """How many quantities leave their 95 % band by chance alone: 1.5 of 30."""
        return (1 - BAND) * len(self.table)

    @property
    def failures(self) -> pd.Series:
        """How many simulations: in all, failed, with any divergence, R-hat above 1.05, too few draws, troubled."""
        s = self.simulations
        counts = {
            "simulations": len(s),
            "failed": (s["failed"] != "").sum(),
            "any divergence": (s["divergences"] > 0).sum(),
            f"R-hat > {R_HAT}": (s["r_hat"] > R_HAT).sum(),
            f"ESS < {KEPT}": (s["ess"] < KEPT).sum(),
            "troubled": s["troubled"].sum(),
        }
        return pd.Series(counts, dtype=int, name="simulations")

    def plot(self, quantities: list[str] | None = None) -> "PlotCollection":
        """Difference of each quantity's rank ECDF from uniform: what `az.plot_ecdf_pit` returns.

        Parameters
        ----------
        quantities
            Which quantities, all when left out.

        Raises
        ------
        ValueError
            When a quantity is not in the table.
        """
        known = self.table["quantity"].tolist()
        unknown = [name for name in quantities or [] if name not in known]
        if unknown:
            raise ValueError(f"no quantity {some_of(map(quote, unknown))} in this calibration; it has {known}.")
        from arviz_plots import plot_ecdf_pit

        return plot_ecdf_pit(self.tree, var_names=quantities, sample_dims=["sample"])

    def view(self) -> View:
        """What is shown of it."""
        f, least = self.failures, self.table.loc[self.table["p_value"].idxmin()]
        named = f" ({', '.join(self.outside)})" if self.outside else ""
        said = (
            f"Calibration {'ok' if self.ok else 'NOT ok'}: {len(self.outside)} of {len(self.table)} quantities outside "
            f"their 95 % band{named}, {self.expected_outside:.1f} expected by chance; least p-value "
            f"{least['p_value']:.2g} ({least['quantity']}). {f['simulations']} simulations: {f['failed']} failed, "
            f"{f['any divergence']} with a divergence, {f['troubled']} troubled."
        )
        return View(
            "Simulation-based calibration",
            said,
            status="PASS" if self.ok else "FAIL",
            folded={"Quantities": self.table, "Simulations": self.simulations},
        )


def calibrate(
    law: Law | Likelihood,
    design: Table,
    *,
    simulations: int = 256,
    seed: int,
    at: At | None = None,
    folder: str | os.PathLike[str] | None = None,
    executor: Executor | None = None,
    progress: bool = True,
) -> Calibration:
    """Simulate sweeps from the law's prior, sample each one's posterior, and rank the truth among its draws.

    This asks whether sampler and model belong together, for data such as the prior expects; it does not ask whether
    the law is true of real runs. Priors that are placed by a sweep's losses are held where those of `design` put
    them, whereas `hl.fit` places them by the very losses that it fits: that small double use is not examined.

    Each posterior is sampled as cross-validation does, 2 chains of 500 draws after 300 of warm-up, of which every
    tenth is kept: 100 draws, nearly independent where the effective sample size (`ess`) is above 100. Ranks become
    shares, (rank + uniform) / 101, which are exactly uniform when all is right. No simulation is dropped for
    divergences or disagreeing chains: that would hide where the sampler fails. One that cannot be sampled at all is
    listed with its reason and has no ranks.

    With 30 quantities, 1.5 leave their 95 % band by chance alone: see `Calibration.expected_outside`.

    Parameters
    ----------
    law
        The law, with the priors to be examined.
    design
        Runs whose settings every simulated sweep shares, and whose losses place the priors; small is quick.
    simulations
        Number of simulations, 8 or more.
    seed
        Determines every draw; the first simulations of a longer calibration are those of a shorter one.
    at
        Target of the derived quantities, as for `fit.predict`: `best_learning_rate`, `best_batch_size` and
        `best_loss` of a new cell there, whose own deviations are drawn from the true parameters on one side
        and in each posterior draw on the other. Left out, ten times the largest value of every covariate,
        in a new task when there are several.
    folder
        Where each finished simulation is written; a second call goes on from there, also with more simulations.
    executor
        Whose workers simulate and sample, as for `hl.fit_many`; threads of this process when left out. Results are the
        same.
    progress
        Whether to show a progress bar.

    Returns
    -------
    Calibration
        Table, simulations, ranks; `.ok` and `.plot()`.

    Raises
    ------
    TypeError, ValueError
        When seed, simulations, target, runs or executor are not what is needed, or `folder` holds another calibration.
    RuntimeError
        When fewer than two simulations could be sampled.
    """
    check_seed(seed)
    check_executor(executor)
    if not isinstance(simulations, int) or simulations < FEWEST:
        raise ValueError(f"simulations must be {FEWEST} or more, received {quote(simulations)}: fewer show nothing.")
    model = likelihood(law, design)
    truth, _ = simulate(model, design, seed=seed)  # refuses a table that lacks what the law needs
    target = dict(at) if at is not None else _beyond(model, design)
    check_target(truth, target)
    store = _Store(folder, _digest(model, design, target, seed))
    missing = [index for index in range(simulations) if index not in store.done]
    fresh = ranks(model, design, target, seed, missing, executor=executor)
    for record in track(fresh, f"{model.law.name}: simulations", total=len(missing), disable=not progress):
        store.add(record)
    return _calibration([store.done[index] for index in range(simulations)], seed, target)


def _beyond(model: Likelihood, table: Table) -> dict[str, Any]:
    frame, law = table.frame, model.law
    target: dict[str, Any] = {
        name: law.labels[name][-1]
        if name in law.labels
        else (1 if name in law.linear else 10) * float(frame[name].max())
        for name in model.needs_at(table)
    }
    return target | ({"task": None} if len(table.tasks) > 1 else {})


def _digest(model: Likelihood, table: Table, at: At, seed: int) -> str:
    law = model.law
    target = sorted((name, str(at[name]) if name in ("task", *law.labels) else number(at, name)) for name in at)
    # Defaults may change, so that all priors count.
    said = [version("hyperlaw"), law.name, table.kind, sorted(model.separate), model.parameters.to_dict()]
    return hashlib.sha256(json.dumps([*said, table.digest, target, seed, SHORT]).encode()).hexdigest()


class _Store:
    """Finished simulations, in memory and, when there is a folder, one line each in a file of it."""

    def __init__(self, folder: str | os.PathLike[str] | None, digest: str) -> None:
        self.done: dict[int, Record] = {}
        self._file = None if folder is None else Path(folder) / FILE
        if self._file is None:
            return
        self._file.parent.mkdir(parents=True, exist_ok=True)
        text = self._file.read_text() if self._file.exists() else ""
        whole = text[: text.rfind("\n") + 1]  # a call that was stopped may have left half a line
        lines = [json.loads(line) for line in whole.splitlines()] or [{"digest": digest}]
        if lines[0] != {"digest": digest}:
            raise ValueError(
                f"{self._file} holds a calibration with another law, prior, design, target, seed or version. "
                "Choose another folder, or delete that file."
            )
        self.done = {record["simulation"]: record for record in lines[1:]}
        if not whole or whole != text:
            write_whole(self._file, (whole or json.dumps(lines[0]) + "\n").encode())

    def add(self, record: Record) -> None:
        self.done[record["simulation"]] = record
        if self._file is not None:
            with self._file.open("a") as file:
                file.write(json.dumps(record) + "\n")


def _calibration(records: list[Record], seed: int, at: dict[str, Any]) -> Calibration:
    frame = pd.DataFrame(records).drop(columns="ranks").set_index("simulation")
    bad = (frame["failed"] != "") | ~(frame["r_hat"] <= R_HAT) | (frame["divergences"] > DIVERGENT * CHAINS * DRAWS)
    ranked = pd.DataFrame([record["ranks"] for record in records], index=frame.index)
    jitter = generator(seed, "ties").uniform(size=ranked.shape)
    shares = ((ranked + jitter) / (KEPT + 1))[frame["failed"] == ""]
    if len(shares) < 2:
        reasons = ", ".join(sorted(set(frame["failed"]) - {""}))
        raise RuntimeError(
            f"{len(shares)} of {len(frame)} simulations could be sampled ({reasons}): there is nothing to look at. "
            "Look at hl.prior_predict, and state narrower priors."
        )
    tree = from_dict({"prior_sbc": {name: shares[name].to_numpy() for name in shares}}, sample_dims=["sample"])
    return Calibration(_table(shares), frame.assign(troubled=bad), tree, at)


def _table(shares: pd.DataFrame) -> pd.DataFrame:
    """Tests of uniformity and coverage; `shares` has one column a quantity and one row a simulation."""
    points, _, lower, upper = ecdf_pit(np.linspace(0, 1, len(shares)), BAND, 1000)
    rows = []
    for name, share in shares.items():
        values = share.to_numpy()
        ecdf = compute_ecdf(values, points)
        p_value, *_ = share.to_xarray().azstats.uniformity_test(dim=share.index.name)
        rows.append(
            {
                "quantity": name, "simulations": len(values), "p_value": float(p_value),
                "inside": bool(((ecdf >= lower) & (ecdf <= upper)).all()),
                "bias": (values.mean() - 0.5) * np.sqrt(12 * len(values)),
            }
            | {f"coverage_{100 * level:.0f}": (np.abs(values - 0.5) <= level / 2).mean() for level in INTERVALS}
        )  # fmt: skip
    return pd.DataFrame(rows)
