"""`score_plan`: a setting that the user brings, priced beside the alternatives."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from hyperlaw.data.numerals import as_number
from hyperlaw.data.vocabulary import COUNTS, HYPERPARAMETERS, with_unit
from hyperlaw.decision.decided import Decided
from hyperlaw.decision.price_table import price_table
from hyperlaw.diagnostics.baselines.settings import deepseek, step_law
from hyperlaw.display import Shown, View, figures
from hyperlaw.quote import quote, some_of

# Published formulas for language models, data in tokens, and the scales that they come from.
FORMULAS = {
    "step_law_formula": (step_law, "arXiv 2503.04715", {"params": (6e7, 1.1e9), "data": (2e9, 1e11)}),
    "deepseek_formula": (deepseek, "arXiv 2401.02954", {"compute": (1e17, 2e19)}),
}


@dataclass(frozen=True, eq=False, repr=False)
class Score(Shown):
    """What `Choice.score` returns.

    Attributes
    ----------
    table
        Row `plan`, then those of `choice.table`, then published formulas where the target gives what they need;
        columns as there, `p_within` (probability that the regret stays within `within`), and `note`.
    regret
        Regret, dims `sample, setting`; coordinate `law` as in `choice.regret`.
    within
        The regret that `p_within` is about.
    loss_unit
        Unit of every regret: that of the runs' loss, "nats" unless they say another.
    against
        What regret is measured against, in words.
    """

    table: pd.DataFrame
    regret: xr.DataArray
    within: float
    loss_unit: str
    against: str

    def view(self) -> View:
        """What is shown of it."""
        plan = self.table.loc["plan"]
        setting = ", ".join(f"{name} {figures(plan[name])}" for name in HYPERPARAMETERS)
        notes = self.table["note"][self.table["note"] != ""]
        means = self.table["regret_mean"]
        lost, least, bound = (
            with_unit(figures(value), self.loss_unit) for value in (means["plan"], means["recommended"], self.within)
        )
        return View(
            f"Score of a plan: {setting}",
            f"It is expected to lose {lost} against {self.against}, {least} if it is set as recommended. "
            f"The probability that it loses no more than {bound} is {plan['p_within']:.2f}.",
            tables={"": self.table.drop(columns="note")},
            sections=dict(notes.items()),
        )


def score_plan(choice: Decided, plan: Mapping[str, float], within: float) -> Score:
    """Price a plan; see `Choice.score`."""
    if set(plan) != set(HYPERPARAMETERS):
        raise ValueError(f"score needs learning_rate and batch_size, received {some_of(plan)}.")
    planned = {name: as_number(plan[name], f"the plan's {name}", count=name in COUNTS) for name in HYPERPARAMETERS}
    for name, value in planned.items():
        if not (np.isfinite(value) and value > 0):
            raise ValueError(f"the plan's {name} must be a finite number above zero, received {quote(plan[name])}.")
    within = as_number(within, "within")
    if not (np.isfinite(within) and within > 0):
        raise ValueError(f"within must be a regret above zero, in nats; received {quote(within)}.")
    rows = {"plan": planned}
    rows |= choice.table[list(HYPERPARAMETERS)].to_dict("index")
    notes = dict.fromkeys(rows, "") | {"plan": _beyond(planned, choice.candidates)}
    for name, (formula, source, reach) in FORMULAS.items():
        setting = formula(choice.fitted, choice.at)
        if setting is not None:
            rows[name], notes[name] = setting, _note(source, reach, choice.at)
    table, regret = price_table(pd.DataFrame.from_dict(rows, orient="index"), choice.priced, choice.risk, within)
    draws = xr.DataArray(
        regret, dims=("sample", "setting"), coords={"setting": list(rows), "law": choice.regret.coords["law"]}
    )
    allowed = choice.priced.keep(table, choice.subject_to, choice.at)
    priced = table.assign(allowed=allowed, note=pd.Series(notes))
    return Score(priced, draws, within, choice.fitted.loss_unit, choice.against)


def _beyond(planned: Mapping[str, float], candidates: pd.DataFrame) -> str:
    """Which settings of a plan lie an octave or more outside what was searched, as one in another unit does."""
    found = []
    for name, value in planned.items():
        low, high = float(candidates[name].min()), float(candidates[name].max())
        if not low / 2 < value < 2 * high:
            unit = ", in data points" if name == "batch_size" else ""
            found.append(
                f"{name} {figures(value)} lies far outside the {figures(low)} to {figures(high)} searched{unit}"
            )
    return "; ".join(found)


def _note(source: str, reach: Mapping[str, tuple[float, float]], at: Mapping[str, float]) -> str:
    """Source of a formula, and whether the target lies among the scales that it comes from."""
    scales = {**at, "compute": 6 * at["params"] * at["data"]}
    beyond = [
        f"{name} {scales[name]:.2g} outside {low:.0e} to {high:.0e}"
        for name, (low, high) in reach.items()
        if not low <= scales[name] <= high
    ]
    return f"{source}, data in tokens" + (f"; {', '.join(beyond)}: far from where it was found" if beyond else "")
