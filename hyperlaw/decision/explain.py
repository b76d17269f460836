"""`explain`: a choice in plain sentences."""

from typing import Any

import numpy as np
import pandas as pd

from hyperlaw.data.vocabulary import HYPERPARAMETERS, number, with_unit
from hyperlaw.decision.constraints import OneOf
from hyperlaw.decision.decided import Decided
from hyperlaw.decision.price_table import price_table
from hyperlaw.diagnostics.spec import Status
from hyperlaw.display import few, figures, short
from hyperlaw.models.likelihoods.surface import GIVEN
from hyperlaw.risk import CVaR, Mean, Quantile, Risk, risk_name

ATTITUDES: dict[str, Risk] = {"the average": Mean(), "the worst tenth of the draws": CVaR(0.9)}
# Settings that differ by less are the same to whoever sets them.
SAME = 0.05
FULL = 10  # figures
OPEN = 100.0  # a factor as wide as whole grids are: then the runs say little more than the grid did


def explain(choice: Decided) -> str:
    """What to set, how sure, what being wrong costs, how far it is extrapolated, what else: headings, and lines."""
    parts = [f"{heading}\n" + "\n".join(f"  {line}" for line in lines) for heading, lines in sections(choice).items()]
    return "\n\n".join(parts)


def sections(choice: Decided) -> dict[str, list[str]]:
    """The sentences of `explain`, by heading."""
    return {
        "What to set": _setting(choice),
        "How sure": _sure(choice),
        "What being wrong costs": wrong_sentences(choice),
        "How far beyond the runs": extrapolation_sentences(choice),
        "What else": [*law_sentences(choice), *change_sentences(choice), *_reservations(choice)],
    }


def _setting(choice: Decided) -> list[str]:
    rate, batch = (f"{name} = {value_words(choice, name)}" for name in HYPERPARAMETERS)
    steps = f" ({steps_words(choice)} steps)" if "data" in choice.at else ""
    units = f" ({count})" if (count := counted(choice)) else ""
    return [
        f"{rate} and {batch} data points{units}{steps} for {target_words(choice.at)}.",
        f"Regret is what a setting loses against {choice.against}. Of all settings allowed, this has the least "
        f"{risk_words(choice.risk)}: {regret_words(choice, choice.table.loc['recommended', 'risk'])}.",
    ]


def _sure(choice: Decided) -> list[str]:
    row = choice.table.loc["recommended"]
    rate, batch = (
        f"between {figures(row['lower'], 2)} and {figures(row['upper'], 2)}"
        for row in (choice.intervals.loc[name] for name in HYPERPARAMETERS)
    )
    there = "" if choice.batch_size_set is None else f" at a batch size of {value_words(choice, 'batch_size')}"
    best = [f"With 90 % probability the best learning rate{there} lies {rate}, and the best batch size {batch}."]
    if batch_size_given(choice):
        best = [
            f"With 90 % probability the best learning rate{there} lies {rate}.",
            "No cell tried several batch sizes: these runs say nothing of the best batch size, nor of what another one "
            "would change. This is for one that goes on from cell to cell as it did.",
        ]
    return [
        *best,
        f"Expected regret: {regret_words(choice, row['regret_mean'])}; with 90 % probability no more than "
        f"{regret_words(choice, row['regret_q90'])}.",
        f"Probability that it diverges: {percent_words(row['p_diverge'])}"
        + ("." if choice.diverge_cost is None else f", priced at {regret_words(choice, choice.diverge_cost)}."),
    ]


def batch_size_given(choice: Decided) -> bool:
    """Whether the batch size is given, since no cell tried several."""
    return GIVEN in choice.parts[0].p


def wrong_sentences(choice: Decided) -> list[str]:
    """Half and twice each hyperparameter that was tried at several values, the other as chosen."""
    asked = HYPERPARAMETERS[:1] if batch_size_given(choice) else HYPERPARAMETERS
    rows = {
        (name, factor): choice.setting | {name: choice.setting[name] * factor}
        for name in asked
        for factor in (0.5, 2.0)
    }
    table, _ = price_table(pd.DataFrame(rows).T, choice.priced, choice.risk)
    kept = choice.priced.keep(table, choice.subject_to, choice.at)
    cost = {
        row: regret_words(choice, regret) + ("" if keeps else ", but that does not keep to the constraints")
        for row, regret, keeps in zip(table.index, table["regret_mean"], kept, strict=True)
    }
    reuse = choice.table.loc["reuse_best"]
    return [
        f"With half the {words} the expected regret is {cost[name, 0.5]}; with twice, {cost[name, 2.0]}."
        for name, words in (("learning_rate", "learning rate"), ("batch_size", "batch size"))
        if name in asked
    ] + [
        f"The best of the largest small runs again (learning_rate {figures(reuse['learning_rate'], 3)} and batch_size "
        f"{reuse['batch_size']:.10g}): an expected regret of {regret_words(choice, reuse['regret_mean'])}"
        + ("." if reuse["allowed"] else ", but it does not keep to the constraints.")
    ]


def extrapolation_sentences(choice: Decided) -> list[str]:
    """How far the target lies beyond the runs, a sentence a covariate."""
    far = choice.extrapolation[choice.extrapolation["decades"] > 0]
    return [
        f"{figures(row['decades'], 2)} decades beyond the runs in {name} (runs reach from {short(row['lowest'])} to "
        f"{short(row['highest'])})."
        for name, row in far.iterrows()
    ] or ["Not at all: the target lies within their range."]


def law_sentences(choice: Decided) -> list[str]:
    """What each of several laws would choose by itself."""
    if len(choice.laws) == 1:
        return []
    own = [
        f"{name} (weight {row['weight']:.2f}) would by itself set {_pair(choice, row, 2)}, which costs "
        f"{regret_words(choice, row['cost_of_own'])} more"
        for name, row in choice.laws.iterrows()
    ]
    return [f"The laws disagree: {'; '.join(own)} ({risk_name(choice.risk)} under all laws)."]


def change_sentences(choice: Decided) -> list[str]:
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
    sentences = [f"Judged by {words}, {_pair(choice, pick)} would be set instead." for words, pick in others.items()]
    if not others:
        sentences.append(
            f"The attitude to risk hardly matters: judged by {' or by '.join(ATTITUDES)}, the same would be set "
            f"(within {SAME:.0%})."
        )
    if choice.binding:
        free = pairs.loc[pairs["risk"].idxmin()]
        paid = choice.table.loc["recommended", "risk"] - free["risk"]
        bind, them = ("bind", "them") if len(choice.binding) > 1 else ("binds", "it")
        less = f"{regret_words(choice, paid)} less ({risk_name(choice.risk)})"
        without = (
            f"Without {them} {_pair(choice, free)} would lose {less}."
            if paid > 0 else f"No candidate beyond {them} is better."
        )  # fmt: skip
        sentences.append(f"The choice sits on a bound: {' and '.join(map(str, choice.binding))} {bind}. {without}")
    return sentences


def limit_sentences(choice: Decided) -> list[str]:
    """How open the optimum is, candidates that are as good as the choice, and bounds that it sits on."""
    asked = HYPERPARAMETERS[:1] if batch_size_given(choice) else HYPERPARAMETERS
    factors = {name: choice.intervals.loc[name, "upper"] / choice.intervals.loc[name, "lower"] for name in asked}
    sentences = [
        f"The best {name.replace('_', ' ')} is hardly known: its interval spans a factor of {figures(factor, 2)}. "
        "More runs near the target would say more than any choice can."
        for name, factor in factors.items()
        if factor > OPEN
    ]
    if choice.tied:
        others = "1 other candidate" if choice.tied == 1 else f"{choice.tied} other candidates"
        sentences.append(f"{others} cannot be told from it: their risk is the same as far as these draws show.")
    edges = choice.priced.on_edge(choice.subject_to)
    if edges:
        sentences.append(f"The choice sits on a bound ({'; '.join(edges)}): widen the candidates there.")
    return sentences


def _reservations(choice: Decided) -> list[str]:
    sentences = limit_sentences(choice)
    review = choice.checks.named(Status.REVIEW)
    if review:
        sentences.append(f"Checks to be looked at before relying on it: {'; '.join(review)} (`.checks` says why).")
    if choice.despite:
        sentences.append(
            f"Decided although checks failed ({few(choice.checks.failed)}); the reason given: {choice.despite}."
        )
    sentences.append("hl.next_runs says which small runs would make this choice surer.")
    return sentences


def target_words(at: dict[str, Any]) -> str:
    """A target: "params = 7B and data = 1.4T"."""
    said = (f"= {short(value)}" if isinstance(value, float) else value or "new" for value in at.values())
    return " and ".join(f"{name} {value}" for name, value in zip(at, said, strict=True))


def _pair(choice: Decided, setting: pd.Series, digits: int = 3) -> str:
    """A setting: some figures of each, and all where only some values are allowed."""
    named = {constraint.quantity for constraint in choice.subject_to if isinstance(constraint, OneOf)}
    return " and ".join(
        f"{name} {f'{setting[name]:.10g}' if name in named else figures(setting[name], digits)}"
        for name in HYPERPARAMETERS
    )


def steps_words(choice: Decided) -> str:
    """How many updates the target's data are at the chosen batch size: three figures, or all where they are bounded."""
    steps = number(choice.at, "data") / choice.setting["batch_size"]
    bounded = any(constraint.said == "steps" for constraint in choice.subject_to)
    return f"{steps if bounded else float(f'{steps:.3g}'):,.0f}"


def value_words(choice: Decided, name: str) -> str:
    """A chosen value to a twentieth of its interval's width; in full where it is given or only some are allowed."""
    value = choice.setting[name]
    given = name == "batch_size" and batch_size_given(choice)
    if given or any(isinstance(c, OneOf) and c.quantity == name for c in choice.subject_to):
        return f"{value:.10g}"
    width = choice.intervals.loc[name, "upper"] - choice.intervals.loc[name, "lower"]
    count = max(int(np.floor(np.log10(value)) - np.floor(np.log10(width / 20))) + 1, 2)
    while count < FULL and not _keeps(choice, {name: float(f"{value:.{count}g}")}):
        count += 1
    return f"{float(f'{value:.{count}g}'):,.10g}" if 1e4 <= value < 1e9 else figures(value, count)


def _keeps(choice: Decided, change: dict[str, float]) -> bool:
    """Whether the choice still keeps to its constraints after a change."""
    if not choice.subject_to:
        return True
    table, _ = price_table(pd.DataFrame([choice.setting | change]), choice.priced, choice.risk)
    return bool(choice.priced.keep(table, choice.subject_to, choice.at).all())


def counted(choice: Decided) -> str:
    """The batch size in the unit of the table that was fitted, as "256 x 2,048"; nothing where that is a data point."""
    units = {fit.runs.batch_unit for fit in choice.fits.values()}
    if len(units) > 1 or units == {1.0}:
        return ""
    (unit,) = units
    count = choice.setting["batch_size"] / unit
    if abs(count - round(count)) < 1e-9 * count:
        return f"{count:,.0f} x {unit:,.10g}"
    return f"about {float(f'{count:.3g}'):,.10g} x {unit:,.10g}"


def risk_words(risk: Risk, of: str = "regret") -> str:
    """What of the regret, or of another cost, is minimised."""
    if isinstance(risk, Mean):
        return f"mean {of}"
    if isinstance(risk, CVaR):
        return f"mean {of} of the worst {percent_words(1 - risk.q)} of the draws"
    if isinstance(risk, Quantile):
        return f"{of} that {percent_words(risk.q)} of the draws stay below"
    return f"{risk_name(risk)} of the {of}"


def regret_words(choice: Decided, value: float) -> str:
    """Two significant figures, in the unit of the loss: no regret is known better."""
    return with_unit(figures(float(value), 2), choice.fitted.loss_unit)


def percent_words(value: float) -> str:
    """A probability in per cent."""
    return "below 0.1 %" if value < 1e-3 else f"{100 * value:.2g} %"
