"""`Choice`: what `decide` returns."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hyperlaw.data.numerals import as_number
from hyperlaw.decision.decided import Decided
from hyperlaw.decision.explain import explain, sections
from hyperlaw.decision.plan import Score, score_plan
from hyperlaw.display import Shown, View
from hyperlaw.quote import quote
from hyperlaw.risk import risk_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hyperlaw.decision.next_runs import NextRuns
    from hyperlaw.diagnostics.sensitivity import Sensitivity


@dataclass(frozen=True, eq=False, repr=False)
class Choice(Shown, Decided):
    """A setting for one large run, with doors to what one does with it; attributes as `hyperlaw.decision.decided`."""

    def safe_set(self, regret: float, probability: float = 0.9) -> pd.DataFrame:
        """Allowed candidates whose regret stays within `regret` nats with at least `probability`.

        Raises
        ------
        ValueError
            When `regret` is not positive or `probability` not between 0 and 1.
        """
        regret, probability = as_number(regret, "regret"), as_number(probability, "probability")
        if not (regret > 0 and 0 < probability < 1):
            raise ValueError(
                f"safe_set needs regret > 0 nats and probability strictly between 0 and 1, received {quote(regret)} "
                f"and {quote(probability)}."
            )
        within = (self.priced.prices.regret <= regret).mean(axis=0)
        safe = (within >= probability) & self.candidates["allowed"].to_numpy()
        return self.candidates.assign(probability=within)[safe].reset_index(drop=True)

    def score(self, plan: Mapping[str, float], within: float = 0.005) -> Score:
        """Price a setting of your own beside the alternatives and published formulas.

        Parameters
        ----------
        plan
            `learning_rate` and `batch_size` (data points).
        within
            Regret in nats: the table has the probability of staying within it.

        Returns
        -------
        Score
            `.table` and the `.regret` draws. Its column `allowed` says what keeps to the constraints.

        Raises
        ------
        ValueError
            When the plan does not give both numbers, above zero, or `within` is not above zero.
        """
        return score_plan(self, plan, within)

    def explain(self) -> str:
        """The choice in plain sentences, under headings.

        Returns
        -------
        str
            What to set, how sure that is, what being wrong costs, how far the target lies beyond the runs, and what
            else to know: a heading a line, then one sentence a line. Losses in the unit of the runs, intervals of 90 %.
        """
        return explain(self)

    def to_json(self) -> str:
        """The choice as JSON text: all of it but the draws, the picture and the runs. What is no number is null."""
        told = {
            "setting": self.setting,
            "intervals": self.intervals.to_dict("index"),
            "loss": self.loss.to_dict(),
            "table": self.table.to_dict("index"),
            "at": self.at,
            "risk": risk_name(self.risk),
            "subject_to": [str(constraint) for constraint in self.subject_to],
            "diverge_cost": self.diverge_cost,
            "extrapolation": self.extrapolation.to_dict("index"),
            "tied": self.tied,
            "bounds": self.bounds,
            "polish": self.polish,
            "laws": self.laws.to_dict("index"),
            "candidates": {"count": len(self.candidates), "allowed": int(self.candidates["allowed"].sum())},
            "draws": len(self.priced.prices.regret),
            "checks_ok": self.checks.ok,
            "checks": self.checks.table.to_dict("records"),
            "despite": self.despite,
            "explanation": self.explain(),
            "provenance": self.provenance,
        }
        return json.dumps(plain(told), indent=2, allow_nan=False)

    def plot(self) -> "Figure":
        """The picture for the planning document.

        Left: best learning rate and batch size of each fitted cell, the law's 90 % predictive band out to the target,
        and the recommended setting. Right: risk over the candidates, and the regret along the learning rate.

        Returns
        -------
        Figure
            A matplotlib figure of four axes; `.savefig("choice.pdf")` writes it.
        """
        from hyperlaw.plots.choice import plot_choice

        return plot_choice(self)

    def view(self) -> View:
        """What is shown of it."""
        said = {heading: "\n".join(lines) for heading, lines in sections(self).items()}
        (_, setting), *rest = said.items()
        return View(
            "Choice of a setting",
            f"Set {setting}",
            sections=dict(rest),
            tables={f"Beside its alternatives (loss in {self.fitted.loss_unit})": self.table},
            folded={"Best at the target, 90 %": self.intervals},
            picture=self.plot,
        )

    def report(
        self,
        path: str | PathLike[str],
        *,
        next_runs: "NextRuns | None" = None,
        sensitivity: "Sensitivity | None" = None,
        command: str | None = None,
    ) -> None:
        """Write the choice as one HTML file, to be opened offline, printed and sent.

        What to set, how sure, what it costs to be wrong and whether to trust it; then everything that this rests on,
        and a what-if: other targets, batch limits and attitudes to risk, computed in the page.

        Parameters
        ----------
        path
            The file, ending in `.html`. It is written beside its place and then moved there, over one of that name.
        next_runs
            What `hl.next_runs` said of the same target; left out, the page has no such section.
        sensitivity
            What `hl.sensitivity` said, refits included; left out, the page has the part that refits nothing.
        command
            How it was made, for the last lines of the page.

        Raises
        ------
        ValueError
            When the path does not end in `.html`, or `next_runs` or `sensitivity` are of another target.
        OSError
            When it cannot be written there.
        """
        from hyperlaw.report.choice import report_choice

        report_choice(self, path, next_runs=next_runs, sensitivity=sensitivity, command=command)


def plain(value: Any) -> Any:
    """The same in the types of JSON; NaN and infinities, which it lacks, as None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, np.generic):
        return plain(value.item())
    return float(value) if np.isfinite(value) else None
