"""Verbs that use a saved fit: `predict`, `decide`, `report`, `score`, `next`, `frontier`."""

import shlex
import sys
from json import loads
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hyperlaw.cli.errors import FAILED
from hyperlaw.cli.fitting import Saved
from hyperlaw.cli.looking import Json, Seed
from hyperlaw.cli.output import draw, page, picture, print_json, records, say, show, told
from hyperlaw.cli.parsing import number, numbers, pairs, target
from hyperlaw.cli.sources import read_source
from hyperlaw.cli.wording import as_options
from hyperlaw.quote import quote

if TYPE_CHECKING:
    from hyperlaw.decision.choice import Choice
    from hyperlaw.decision.constraints import Constraint

At = Annotated[
    list[str], typer.Option(help="The target, one option a scale: --at params=7B --at data=1.4T. `task=` is a new one.")
]
Risk = Annotated[
    str, typer.Option(help="mean, worst, cvar:Q or quantile:Q (Q from 0 to 1), or entropic:A, of the regret.")
]
Despite = Annotated[str | None, typer.Option(help="Reason for going on although checks failed; it is kept.")]
AtMost = Annotated[list[str] | None, typer.Option(help="Constraint, e.g. --at-most steps=2e5; repeatable.")]
AtLeast = Annotated[list[str] | None, typer.Option(help="Constraint, e.g. --at-least batch_size=1e6; repeatable.")]
OneOf = Annotated[
    list[str] | None,
    typer.Option(help="What the hardware allows, data points, e.g. --one-of batch_size=262144,524288; repeatable."),
]
Multiple = Annotated[str | None, typer.Option(help="Unit of the batch size, data points.")]
MaxDiverge = Annotated[float | None, typer.Option(help="Highest probability to diverge that is allowed.")]
DivergeCost = Annotated[float | None, typer.Option(help="What a diverged run loses, nats.")]
Plot = Annotated[Path | None, typer.Option(help="Where the picture is written (.png, .pdf, .svg, ...).")]


def predict(saved: Saved, *, at: At, json: Json = False) -> None:
    """Say what a fit expects at a target."""
    import hyperlaw as hl

    fitted = hl.load_fit(saved)
    found, checks = fitted.predict(target(at)), fitted.check()
    if json:
        about = {"at": found.at, "checks_ok": checks.ok, "table": records(found.table)}
        print_json(about | {"extrapolation": records(found.extrapolation)})
    else:
        typer.echo(repr(found))
    if not checks.ok:
        raise typer.Exit(FAILED)


def decide(
    saved: Saved,
    *,
    at: At,
    risk: Risk = "cvar:0.9",
    at_most: AtMost = None,
    at_least: AtLeast = None,
    one_of: OneOf = None,
    batch_multiple_of: Multiple = None,
    max_diverge: MaxDiverge = None,
    diverge_cost: DivergeCost = None,
    despite: Despite = None,
    json: Json = False,
    plot: Plot = None,
) -> None:
    """Choose a setting for one large run from a saved fit."""
    picture(plot)
    rules = _constraints(at_most, at_least, one_of, batch_multiple_of, max_diverge)
    choice = _choice(saved, at, risk=risk, subject_to=rules, diverge_cost=diverge_cost, despite=despite)
    if json:
        found = loads(choice.to_json())
        print_json(found | told(choice.checks) | {"explanation": as_options(found["explanation"])})
    else:
        say(as_options(choice.explain()))
        typer.echo()
        show(choice.table, 3)
    if plot is not None:
        draw(choice.plot(), plot)


def report(
    saved: Saved,
    *,
    at: At,
    out: Annotated[Path, typer.Option(help="Where the page is written (.html).")],
    risk: Risk = "cvar:0.9",
    at_most: AtMost = None,
    at_least: AtLeast = None,
    one_of: OneOf = None,
    batch_multiple_of: Multiple = None,
    max_diverge: MaxDiverge = None,
    diverge_cost: DivergeCost = None,
    despite: Despite = None,
    json: Json = False,
) -> None:
    """Decide, and write it as one HTML page: to be opened offline, printed and sent, with a what-if inside."""
    page(out, "--out")
    rules = _constraints(at_most, at_least, one_of, batch_multiple_of, max_diverge)
    choice = _choice(saved, at, risk=risk, subject_to=rules, diverge_cost=diverge_cost, despite=despite)
    choice.report(out, command=_command())
    if json:
        print_json({"written": str(out), "setting": choice.setting} | told(choice.checks))
    else:
        say(f"Wrote {out}.")


def score(
    saved: Saved,
    *,
    at: At,
    learning_rate: Annotated[str, typer.Option(help="That of your plan.")],
    batch_size: Annotated[str, typer.Option(help="That of your plan, data points.")],
    within: Annotated[float, typer.Option(help="Regret, nats: how probable is it that the plan stays within?")] = 0.005,
    risk: Risk = "cvar:0.9",
    diverge_cost: DivergeCost = None,
    despite: Despite = None,
    json: Json = False,
) -> None:
    """Price a setting of your own beside what `decide` would choose, and beside published formulas."""
    plan = {
        "learning_rate": number(learning_rate, "the learning rate", "--learning-rate"),
        "batch_size": number(batch_size, "the batch size", "--batch-size"),
    }
    found = _choice(saved, at, risk=risk, diverge_cost=diverge_cost, despite=despite).score(plan, within)
    if json:
        print_json({"within": found.within, "table": records(found.table)})
        return
    show(found.table.drop(columns="note"), 3)
    for name, note in found.table["note"].items():
        if note:
            say(f"{name}: {note}.")


def next_runs(
    saved: Saved,
    *,
    at: At,
    candidates: Annotated[
        str, typer.Option(help="Table of runs that could be made, one a row: learning_rate, batch_size (data points), "
                               "scales; - reads stdin.")
    ],
    n: Annotated[int, typer.Option(help="How many to choose.")],
    risk: Annotated[str, typer.Option(help="mean or cvar:Q.")] = "cvar:0.9",
    cost: Annotated[str, typer.Option(help="compute (FLOPs), or runs (each counts 1).")] = "compute",
    despite: Despite = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:  # fmt: skip
    """Choose the small runs that would most improve the choice at a target, for their cost."""
    import hyperlaw as hl

    fitted = hl.load_fit(saved)
    found = hl.next_runs(
        fitted, target(at), candidates=read_source(candidates), n=n, risk=risk, cost=cost, despite=despite, seed=seed
    )
    if json:
        print_json(
            {
                "sentence": as_options(found.sentence),
                "risk": found.risk,
                "loss_unit": found.loss_unit,
                "value_of_perfect_information": found.value_of_perfect_information,
                "table": records(found.table.rename_axis("candidate")),
            }
        )
    else:
        show(found.table, 3)
        typer.echo()
        say(as_options(found.sentence))


def frontier(
    efficiency: Annotated[Path, typer.Argument(metavar="FIT", help="A fit of DataEfficiency to crossings.")],
    hyperparameters: Annotated[
        Path, typer.Argument(metavar="HYPERPARAMETERS", help="A fit of UTDHyperparameters to optima.")
    ],
    *,
    performance: Annotated[list[str], typer.Option(help="To be reached, e.g. 800 or 300,500,800; repeatable.")],
    delta: Annotated[str, typer.Option(help="What an environment step is worth, FLOPs.")],
    flops: Annotated[float, typer.Option(help="FLOPs for each critic parameter and sample.")] = 10.0,
    params: Annotated[str | None, typer.Option(help="Parameters of the critic.")] = None,
    utd: Annotated[str | None, typer.Option(help="Smallest and largest ratio allowed, e.g. 0.25,8.")] = None,
    task: Annotated[str | None, typer.Option(help="A task that was fitted; left out, a new one.")] = None,
    budget: Annotated[str | None, typer.Option(help="FLOPs to spend best, between two performances or more.")] = None,
    risk: Annotated[str, typer.Option(help="Of the excess cost, where there is a budget.")] = "mean",
    despite: Despite = None,
    json: Json = False,
    plot: Plot = None,
    report: Annotated[Path | None, typer.Option(help="Where a page of it is written (.html).")] = None,
) -> None:
    """Say what data and compute a performance takes, and which updates-to-data ratio costs least."""
    import hyperlaw as hl

    picture(plot)
    page(report, "--report")
    ends = numbers(utd, "--utd") if utd else None
    if ends is not None and len(ends) != 2:
        raise typer.BadParameter(f"two numbers are needed, such as 0.25,8; received {quote(utd)}.", param_hint="--utd")
    prices = hl.Budget(delta=number(delta, "it", "--delta"), flops=flops)
    found = hl.frontier(
        {"efficiency": hl.load_fit(efficiency), "hyperparameters": hl.load_fit(hyperparameters)},
        performance=[level for text in performance for level in numbers(text, "--performance")],
        cost=prices, utd=(ends[0], ends[1]) if ends else None, task=task, despite=despite,
        params=None if params is None else number(params, "it", "--params"),
    )  # fmt: skip
    best = None if budget is None else found.recommend(budget=number(budget, "it", "--budget"), risk=risk)
    if json:
        chosen = None if best is None else {
            "setting": best.setting, "table": records(best.table), "bounds": best.bounds, "p_beyond": best.p_beyond,
        }  # fmt: skip
        print_json({"table": records(found.table), "recommended": chosen, "cost": found.cost, "despite": found.despite})
    else:
        show(found.table, 3)
    if best is not None and not json:
        typer.echo(f"\nFor a budget of {best.table.loc['budget', 'median']:.3g} FLOPs:")
        show(best.table, 3)
        say("Set " + ", ".join(f"{name} = {value:.3g}" for name, value in best.setting.items()) + ".")
        for words in best.ends:
            say(words)
    if plot is not None:
        draw(found.plot(), plot)
    if report is not None:
        found.report(report, setting=best, command=_command())
        say(f"Wrote {report}.", err=True)


def _command() -> str:
    """What was typed."""
    return shlex.join(["hyperlaw", *sys.argv[1:]])


def _choice(saved: Path, at: list[str], **given: Any) -> "Choice":
    """A choice at a target, from a saved fit."""
    import hyperlaw as hl
    from hyperlaw.risk import as_risk

    there, given["risk"] = target(at), as_risk(given["risk"])
    return hl.decide(hl.load_fit(saved), there, **given)


def _constraints(
    at_most: list[str] | None, at_least: list[str] | None, one_of: list[str] | None, multiple: str | None,
    max_diverge: float | None,
) -> "list[Constraint]":  # fmt: skip
    import hyperlaw as hl

    rules: list[Constraint] = [
        hl.AtMost(name, number(bound, name, "--at-most")) for name, bound in pairs(at_most, "--at-most", "steps=2e5")
    ]
    for name, bound in pairs(at_least, "--at-least", "batch_size=1e6"):
        rules.append(hl.AtLeast(name, number(bound, name, "--at-least")))
    for name, values in pairs(one_of, "--one-of", "batch_size=262144,524288"):
        rules.append(hl.OneOf(name, values=numbers(values, "--one-of")))
    if multiple is not None:
        rules.append(hl.OneOf("batch_size", multiples_of=number(multiple, "it", "--batch-multiple-of")))
    if max_diverge is not None:
        rules.append(hl.Chance("diverge", at_most=max_diverge))
    return rules
