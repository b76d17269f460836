"""`explain`: a choice in plain sentences."""

from typing import Any

import numpy as np
import pandas as pd

from hyperlaw.data.vocabulary import HYPERPARAMETERS, with_unit
from hyperlaw.decision.constraints import OneOf
from hyperlaw.decision.decided import Decided
from hyperlaw.decision.price_table import price_table
from hyperlaw.diagnostics.spec import Status
from hyperlaw.models.likelihoods.surface import GIVEN
from hyperlaw.risk import CVaR, Mean, Risk

ATTITUDES: dict[str, Risk] = {"the average": Mean(), "the worst tenth of the draws": CVaR(0.9)}
# Settings that differ by less are the same to whoever sets them.
SAME = 0.05


def explain(choice: Decided) -> str:
    """What to set, how sure, what it costs to be wrong, how far it is extrapolated, what would change it, what next."""
    return " ".join(
        [
            *_setting(choice),
            *_being_wrong(choice),
            *_extrapolation(choice),
            *_laws(choice),
            *_changes(choice),
            *_reservations(choice),
            "hl.next_runs says which small runs would make this choice surer.",
        ]
    )


def _setting(choice: Decided) -> list[str]:
    row, reuse = choice.table.loc["recommended"], choice.table.loc["reuse_best"]
    rate, batch = (choice.intervals.loc[name] for name in HYPERPARAMETERS)
    there = "" if choice.batch_size_set is None else f" at a batch size of {choice.batch_size_set:.10g}"
    best = (
        f"With 90 % probability the best learning rate{there} lies between {rate['lower']:.2g} and {rate['upper']:.2g}"
    )
    if _given(choice):
        best += (
            ". A sweep in which no cell tried several batch sizes says nothing of the best batch size, nor of what "
            "another one would change: this is for one that goes on from cell to cell as it did."
        )
    else:
        best += f", and the best batch size between {batch['lower']:.2g} and {batch['upper']:.2g}."
    return [
        f"For {_target(choice.at)}, set learning_rate = {_value(choice, 'learning_rate')} and "
        f"batch_size = {_value(choice, 'batch_size')} data points.",
        best,
        f"This setting is expected to lose {_regret(choice, row['regret_mean'])} against the best possible one, and "
        f"with 90 % probability no more than {_regret(choice, row['regret_q90'])}; it minimises {choice.risk}.",
        f"Reusing the best of the largest small runs (learning_rate {reuse['learning_rate']:.2g}, "
        f"batch_size {reuse['batch_size']:.2g}) is expected to lose {_regret(choice, reuse['regret_mean'])}"
        + ("." if reuse["allowed"] else ", but does not keep to the constraints."),
        f"The probability that it diverges is {_percent(row['p_diverge'])}"
        + ("." if choice.diverge_cost is None else f", priced at {_regret(choice, choice.diverge_cost)}."),
    ]


def _given(choice: Decided) -> bool:
    """Whether the batch size is given, since no cell tried several."""
    return GIVEN in choice.parts[0].p


def _being_wrong(choice: Decided) -> list[str]:
    """Half and twice each hyperparameter that was tried at several values, the other as chosen."""
    asked = HYPERPARAMETERS[:1] if _given(choice) else HYPERPARAMETERS
    rows = {
        (name, factor): choice.setting | {name: choice.setting[name] * factor}
        for name in asked
        for factor in (0.5, 2.0)
    }
    table, _ = price_table(pd.DataFrame(rows).T, choice.priced, choice.risk)
    cost = table["regret_mean"]
    said = [
        f"half the {words} would be expected to lose {_regret(choice, cost[name, 0.5])}, and twice "
        f"{_regret(choice, cost[name, 2.0])}"
        for name, words in (("learning_rate", "learning rate"), ("batch_size", "batch size"))
        if name in asked
    ]
    return [f"If it is set wrong: {'; '.join(said)}."]


def _extrapolation(choice: Decided) -> list[str]:
    far = choice.extrapolation[choice.extrapolation["decades"] > 0]
    return [
        f"The target lies {row['decades']:.1f} decades beyond the runs in {name} (runs reach from "
        f"{row['lowest']:.2g} to {row['highest']:.2g})."
        for name, row in far.iterrows()
    ] or ["The target lies within the range of the runs."]


def _laws(choice: Decided) -> list[str]:
    if len(choice.laws) == 1:
        return []
    own = [
        f"{name} (weight {row['weight']:.2f}) would by itself set {row['learning_rate']:.2g} and "
        f"{row['batch_size']:.2g}, which costs {_regret(choice, row['cost_of_own'])} more"
        for name, row in choice.laws.iterrows()
    ]
    return [f"The laws disagree: {'; '.join(own)} (in {choice.risk} under all laws together)."]


def _changes(choice: Decided) -> list[str]:
    """Other attitudes to risk, and the constraints that bind."""
    pairs, regret = choice.candidates, choice.priced.prices.regret
    allowed = np.flatnonzero(pairs["allowed"])
    picks = {
        words: pairs.loc[allowed[np.argmin(np.asarray(risk(regret))[allowed])], list(HYPERPARAMETERS)]
        for words, risk in ATTITUDES.items()
    }
    chosen = pd.Series(choice.setting)
    others = {
        words: pick for words, pick in picks.items() if (np.abs(np.log((pick / chosen).astype(float))) > SAME).any()
    }
    sentences = [
        f"Whoever looks at {words} would set {pick['learning_rate']:.3g} and {pick['batch_size']:.3g} instead."
        for words, pick in others.items()
    ]
    if not others:
        sentences.append(
            f"Whoever looks at {' or at '.join(ATTITUDES)} would set the same, within {SAME:.0%}: the attitude to risk "
            "hardly matters."
        )
    if choice.binding:
        free = pairs.loc[pairs["risk"].idxmin()]
        paid = choice.table.loc["recommended", "risk"] - free["risk"]
        bind, them = ("bind", "them") if len(choice.binding) > 1 else ("binds", "it")
        sentences.append(
            f"The choice sits on a bound: {' and '.join(map(str, choice.binding))} {bind}. Without {them} "
            f"{free['learning_rate']:.3g} and {free['batch_size']:.3g} would lose {_regret(choice, paid)} less "
            f"({choice.risk})."
        )
    return sentences


def _reservations(choice: Decided) -> list[str]:
    sentences = []
    if choice.tied:
        others = "1 other candidate" if choice.tied == 1 else f"{choice.tied} other candidates"
        sentences.append(f"{others} cannot be told apart from it with these draws.")
    edges = choice.priced.on_edge(choice.subject_to)
    if edges:
        sentences.append(f"The choice sits on a bound ({'; '.join(edges)}): widen the candidates there.")
    sentences.append(choice.polish)
    review = choice.checks.named(Status.REVIEW)
    if review:
        sentences.append(f"To be reviewed before relying on it: {'; '.join(review)}.")
    if choice.despite:
        failed = ", ".join(choice.checks.failed)
        sentences.append(f"Decided although checks failed ({failed}); the reason given: {choice.despite}.")
    return sentences


def _target(at: dict[str, Any]) -> str:
    return " and ".join(f"{k} = {v:.3g}" if isinstance(v, float) else f"{k} {v or 'new'}" for k, v in at.items())


def _value(choice: Decided, name: str) -> str:
    """A chosen value to a twentieth of its interval's width; in full where it is given or only some are allowed."""
    value = choice.setting[name]
    given = name == "batch_size" and _given(choice)
    if given or any(isinstance(c, OneOf) and c.quantity == name for c in choice.subject_to):
        return f"{value:.10g}"
    width = choice.intervals.loc[name, "upper"] - choice.intervals.loc[name, "lower"]
    return f"{value:.{max(int(np.floor(np.log10(value)) - np.floor(np.log10(width / 20))) + 1, 2)}g}"


def _regret(choice: Decided, value: float) -> str:
    """Two significant figures, in the unit of the loss: no regret is known better."""
    return with_unit(f"{float(np.format_float_positional(value, 2, fractional=False)):.2g}", choice.fitted.loss_unit)


def _percent(value: float) -> str:
    return "below 0.1 %" if value < 1e-3 else f"{100 * value:.2g} %"
