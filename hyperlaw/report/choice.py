"""`report_choice`: a choice as one page."""

from dataclasses import replace
from os import PathLike
from typing import Any

import numpy as np
import pandas as pd

from hyperlaw.data.vocabulary import HYPERPARAMETERS, At, number
from hyperlaw.decision.decided import Decided
from hyperlaw.decision.explain import (
    batch_size_given,
    change_sentences,
    counted,
    extrapolation_sentences,
    law_sentences,
    limit_sentences,
    percent_words,
    regret_words,
    risk_words,
    steps_words,
    value_words,
    wrong_sentences,
)
from hyperlaw.decision.next_runs import NextRuns
from hyperlaw.decision.plan import score_plan
from hyperlaw.decision.price_table import price_table
from hyperlaw.diagnostics.baselines.settings import BY_HAND, RECIPES
from hyperlaw.diagnostics.sensitivity import Sensitivity, prior_sensitivity, prior_sentence
from hyperlaw.display import short
from hyperlaw.intervals import ENDS, interval
from hyperlaw.report import charts
from hyperlaw.report.ladders import what_if_of
from hyperlaw.report.page import check_path, write_page
from hyperlaw.report.told import (
    Printed,
    check_table,
    concerns,
    digits,
    extrapolation_table,
    law_section,
    printed,
    prior_table,
    provenance_table,
    range_words,
    verdict,
)
from hyperlaw.risk import CVaR, Mean, Quantile, risk_name

BEST = {"ln learning_rate": "the best learning rate", "ln batch_size": "the best batch size", "loss": "the lowest loss"}
NAMES = {"learning_rate": "learning rate", "batch_size": "batch size (data points)"}
SCALES = {"data": "Data points at the target", "params": "Parameters at the target", "width": "Width at the target",
          "compute": "Compute at the target (FLOPs)"}  # fmt: skip
PRICES = {"regret_mean": "expected", "regret_q90": "90 % below", "regret_cvar90": "worst tenth"}
LEVELS = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.99)
ATTITUDES = {"Mean": Mean, "Quantile": Quantile, "CVaR": CVaR}


def report_choice(
    choice: Decided,
    path: str | PathLike[str],
    *,
    next_runs: NextRuns | None,
    sensitivity: Sensitivity | None,
    command: str | None,
) -> None:
    """Write a choice as one page; arguments and errors as for `Choice.report`."""
    place = check_path(path)
    for name, one in (("next_runs", next_runs), ("sensitivity", sensitivity)):
        if one is not None and one.at is not None and set(_scales(one.at)) != set(_scales(choice.at)):
            raise ValueError(
                f"{name} is of another target than the choice: of {_words(one.at)}, where the choice is of "
                f"{_words(choice.at)}. Ask for it with the target of the choice, `at=choice.at`."
            )
    status, trust = verdict(choice.checks, choice.despite)
    swayed = _in_words(choice, {"": sensitivity} if sensitivity is not None else _by_prior(choice))
    figures = {"law_rate": charts.law(choice, "learning_rate"), "cost": charts.cost(choice)}
    if not batch_size_given(choice):
        figures["law_batch"] = charts.law(choice, "batch_size")
    if (risk := charts.risk(choice)) is not None:
        figures["risk"] = risk
    said = {
        "target": _words(choice.at),
        "choice": choice,
        "setting": {words: value_words(choice, name) for name, words in NAMES.items()},
        "counted": counted(choice),
        "given": batch_size_given(choice),
        "sure": _sure(choice),
        "prices": _prices(choice),
        "expected": {name: regret_words(choice, choice.table.loc[name, "regret_mean"]) for name in choice.table.index},
        "diverges": percent_words(choice.table.loc["recommended", "p_diverge"]),
        "status": status,
        "trust": trust,
        "concerns": concerns(choice.checks),
        "checked": check_table(choice.checks),
        "far": extrapolation_sentences(choice),
        "elsewhere": charts.elsewhere(choice),
        "minimised": risk_words(choice.risk),
        "steps": steps_words(choice) if "data" in choice.at else None,
        "wrong": [*wrong_sentences(choice), *change_sentences(choice), *limit_sentences(choice)],
        "loss": _loss(choice),
        "law": law_section(choice.fits, choice.at.get("task")),
        "laws": _laws(choice),
        "disagreement": law_sentences(choice),
        "extrapolation": extrapolation_table(choice.extrapolation),
        "sensitivities": _sensitivities(swayed),
        "doubts": [prior_sentence(one.table) for one in swayed.values() if one.table["diagnosis"].any()],
        "recipes": _recipes(choice),
        "next_runs": next_runs and (next_runs.sentence, _next(next_runs)),
        "provenance": provenance_table(choice.fits),
        "priors": [prior_table(name, fit) for name, fit in choice.fits.items()],
        "command": command,
        "figures": {name: figure.to_json() for name, figure in figures.items()},
        "what_if": _what_if(choice),
    }
    write_page(place, "choice.html", said)


def _words(at: At) -> str:
    """A target: "params 7B, data 1.4T"."""
    return ", ".join(_scales(at))


def _scales(at: At) -> list[str]:
    return [f"{name} {at[name] or 'new' if name == 'task' else short(number(at, name))}" for name in at]


def _sure(choice: Decided) -> Printed:
    """Intervals of the optimum and of the loss there."""
    rows = [
        [
            f"best {words}",
            value_words(choice, name),
            digits(choice.intervals.loc[name, "median"]),
            range_words(choice.intervals.loc[name]),
        ]
        for name, words in NAMES.items()
        if name == "learning_rate" or not batch_size_given(choice)
    ]
    if choice.batch_size_set is not None:
        rows[0][0] += f" at batch size {digits(choice.batch_size_set)}"
    rows.append(
        [f"lowest loss ({choice.fitted.loss_unit})", "", digits(choice.loss["median"], 4), range_words(choice.loss, 4)]
    )
    return Printed("Where the best lies", ["", "set", "median", "90 % interval"], rows)


def _prices(choice: Decided) -> Printed:
    """The choice beside its alternatives."""
    names = {"recommended": "this setting", "runner_up": "runner-up", "reuse_best": "small runs' best"}
    table = choice.table.loc[[name for name in names if name in choice.table.index]].rename(index=names)
    table.index = [name if kept else f"{name} (not allowed)" for name, kept in table["allowed"].items()]
    caption = (
        f"Regret against {choice.against} ({choice.fitted.loss_unit}): expected, below which 90 % of the "
        "draws stay, and mean of the worst tenth of them"
    )
    heads = {"learning_rate": "rate", "batch_size": "batch"} | PRICES
    return printed(caption, _rounded(table), heads, index="setting")


def _rounded(table: pd.DataFrame) -> pd.DataFrame:
    """Regrets with two significant digits: none is known better."""
    return table.assign(**{name: [digits(value, 2) for value in table[name]] for name in PRICES})


def _loss(choice: Decided) -> Printed:
    """The lowest loss at the target, and that of one run at the setting."""
    (one,) = next(choice.pricing.losses({name: np.array([value]) for name, value in choice.setting.items()}))[:1]
    rows = {
        "the lowest that any setting reaches": choice.loss,
        "one run at this setting": pd.Series(interval(one), list(ENDS)),
    }
    return Printed(f"Loss at the target ({choice.fitted.loss_unit})", ["", "median", "90 % interval"],
                 [[name, digits(row["median"], 4), range_words(row, 4)]
                  for name, row in rows.items()])  # fmt: skip


def _laws(choice: Decided) -> Printed | None:
    if len(choice.laws) == 1:
        return None
    ends = {f"best {name.replace('_', ' ')}, 90 %": [
        f"{digits(row[f'{name}_lower'])} to {digits(row[f'{name}_upper'])}" for _, row in choice.laws.iterrows()
    ] for name in HYPERPARAMETERS}  # fmt: skip
    heads = {"weight": "weight", "learning_rate": "would set learning rate", "batch_size": "and batch size"}
    heads |= {name: name for name in ends} | {"risk_of_choice": "risk of this setting if it is right",
                                              "cost_of_own": "what its own setting adds to the risk"}  # fmt: skip
    return printed("What each law would choose by itself", choice.laws.assign(**ends), heads, index="law")


def _by_prior(choice: Decided) -> dict[str, Sensitivity]:
    """By law, what needs no refit: whether its priors decide where the optimum is."""
    return {
        name: prior_sensitivity(fit, choice.at) for name, fit in choice.fits.items() if "log_prior" in fit.tree.children
    }


def _in_words(choice: Decided, found: dict[str, Sensitivity]) -> dict[str, Sensitivity]:
    """The same with what parameters mean in place of their names, which the reader of a page has not met."""
    every = [p for fit in choice.fits.values() for p in fit.likelihood.parameter_list]
    meaning = {p.name: p.meaning for p in every}
    meaning |= {f"{p.name}_task_sd": f"how tasks differ in: {p.meaning}" for p in every}
    told = {}
    for name, one in found.items():
        mostly = one.table["mostly"].map(lambda parameter: meaning.get(parameter, parameter))
        table = one.table.assign(mostly=mostly).rename(index=BEST)
        sentence = one.sentence.replace(prior_sentence(one.table), prior_sentence(table))
        told[name] = replace(one, table=table, sentence=sentence)
    return told


def _sensitivities(found: dict[str, Sensitivity]) -> list[tuple[str, str, list[Printed]]]:
    """By law: the sentence and the tables."""
    told = []
    for name, one in found.items():
        heads = {"prior": "prior", "likelihood": "runs", "diagnosis": "", "mostly": "mostly by the prior of"}
        tables = [printed("Sensitivity to the priors and to the runs; above 0.05 is sensitive", one.table, heads)]
        if one.settings is not None:
            heads = {"learning_rate": "learning rate", "batch_size": "batch size", "regret_added": "regret added",
                     "note": "note"}  # fmt: skip
            tables.append(printed("The setting after a change", one.settings, heads, index="change"))
        told.append((name if len(found) > 1 else "", one.sentence, tables))
    return told


def _recipes(choice: Decided) -> Printed:
    """What is done by hand with the same runs, and published formulas, priced as the choice is."""
    found = {name: RECIPES[name](choice.fitted, choice.at) for name in BY_HAND}
    same = {"batch_size": choice.setting["batch_size"]} if batch_size_given(choice) else {}  # no other can be priced
    rows = pd.DataFrame({"this setting": choice.setting} | {name: one | same for name, one in found.items() if one}).T
    table = price_table(rows, choice.priced, choice.risk)[0].assign(note="")
    formulas = score_plan(choice, choice.setting, within=0.005).table
    formulas = formulas[formulas["note"] != ""].rename(index=lambda name: name.replace("_", " "))
    heads = {"learning_rate": "learning rate", "batch_size": "batch size"} | PRICES
    both = _rounded(pd.concat([table, formulas]))
    return printed(f"Regret by recipe ({choice.fitted.loss_unit})", both,
                 heads | ({"note": "note"} if len(formulas) else {}), index="recipe")  # fmt: skip


def _next(found: NextRuns) -> Printed:
    scales = [c for c in ("params", "width", "data", "task") if c in found.table]
    heads = {name: name.replace("_", " ") for name in (*HYPERPARAMETERS, *scales)}
    heads |= {"cost": "cost", "reduction": f"lowers the risk by ({found.loss_unit})", "cumulated": "all so far"}
    return printed(
        "Runs in the order of their worth", found.table.reset_index(drop=True).rename(lambda i: i + 1), heads
    )


def _what_if(choice: Decided) -> dict[str, Any] | None:
    """The draws of the page, where its sliders begin, and what is said beside them."""
    found = what_if_of(choice)
    if found is None:
        return None
    own = next((name for name, risk in ATTITUDES.items() if isinstance(choice.risk, risk)), None)
    level = getattr(choice.risk, "q", 0.9) if own else 0.9
    levels = sorted({*LEVELS, level})
    return found.told | {
        "labels": [SCALES.get(name, name) for name in found.ladder],
        "attitude": own or "CVaR",
        "levels": levels,
        "level": levels.index(level),
        "unit": choice.fitted.loss_unit,
        "given": batch_size_given(choice),
        "all_draws": len(choice.pricing.laws),
        "rules": [str(rule) for rule in choice.subject_to],
        "other_risk": None if own else risk_name(choice.risk),
    }
