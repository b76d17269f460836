"""What is typed behind an option, taken apart: NAME=VALUE, numbers, comparisons, priors, lists of numbers."""

import difflib
import operator
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import typer

from hyperlaw.quote import quote

if TYPE_CHECKING:
    import pandas as pd

    from hyperlaw.models.prior import Prior

COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "<=": operator.le, ">=": operator.ge, "!=": operator.ne, "=": operator.eq, "<": operator.lt, ">": operator.gt,
}  # fmt: skip
_CONDITION = re.compile(r"(.+?)\s*(<=|>=|!=|=|<|>)\s*(.*)")
_PRIOR = re.compile(r"(\w+)\((.*)\)")


def pairs(texts: Sequence[str] | None, option: str, example: str = "data=1.4T") -> list[tuple[str, str]]:
    """Each NAME=VALUE, taken apart."""
    found = []
    for text in texts or []:
        name, equals, value = text.partition("=")
        if not (equals and name.strip()):
            raise typer.BadParameter(f"{quote(text)} is not NAME=VALUE, such as {example}.", param_hint=option)
        found.append((name.strip(), value.strip()))
    return found


def number(text: str, what: str, option: str) -> float:
    """A number, also as "7B" or "32k"; `what` names it in a refusal."""
    from hyperlaw.data.numerals import as_number

    try:
        return as_number(text, what, count=True)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def numbers(text: str, option: str) -> list[float]:
    """Numbers with commas between them."""
    return [number(part, f"each of {quote(text)}", option) for part in text.split(",")]


def target(texts: Sequence[str]) -> dict[str, float | str | None]:
    """What `--at` gives: numbers, and labels as they are; an empty task is a new one."""
    found: dict[str, float | str | None] = {}
    for name, value in pairs(texts, "--at"):
        if name == "task":
            found[name] = value or None
        else:
            found[name] = value if name == "optimizer" else number(value, name, "--at")
    return found


def kept(frame: "pd.DataFrame", conditions: Sequence[str] | None) -> "pd.DataFrame":
    """The rows of a table for which every condition, such as "optimizer=adam" or "step>=1000", holds."""
    from hyperlaw.data.columns import listed

    for condition in conditions or []:
        found = _CONDITION.fullmatch(condition)
        if not found:
            raise typer.BadParameter(
                f"{quote(condition)} is no condition. Write NAME=VALUE, or another of {' '.join(COMPARISONS)} between "
                "them; quote it, for < and > mean something to a shell.",
                param_hint="--where",
            )
        name, sign, value = found.groups()
        if sign == "=" and value.startswith("="):
            raise typer.BadParameter(f"{quote(condition)}: write a single =.", param_hint="--where")
        if name not in frame:
            raise typer.BadParameter(
                f"there is no column {quote(name)}. {listed(list(frame.columns))}", param_hint="--where"
            )
        frame = frame[_holds(frame[name], sign, value)]
        if frame.empty:
            raise typer.BadParameter(f"no row is left by {quote(condition)}.", param_hint="--where")
    return frame


def _holds(values: "pd.Series", sign: str, value: str) -> "pd.Series":
    """Where the values compare so: as numbers where the value is one, else as text."""
    from math import isnan

    bound = _number_in(value)
    if not isnan(bound):
        return COMPARISONS[sign](values.map(_number_in), bound)
    if sign not in ("=", "!="):
        raise typer.BadParameter(f"{sign} needs a number behind it, received {quote(value)}.", param_hint="--where")
    texts, value = values.astype(str).str.strip(), value.strip()
    if value.lower() in ("true", "false"):
        return COMPARISONS[sign](texts.str.lower(), value.lower())
    return COMPARISONS[sign](texts, value)


def _number_in(value: object) -> float:
    """The number that a value is or holds as text, else NaN."""
    from hyperlaw.data.numerals import as_number

    try:
        return as_number(value, "", count=True)
    except ValueError:
        return float("nan")


def priors(texts: Sequence[str] | None) -> "dict[str, Prior]":
    """Priors by the name of their parameter, from texts such as "exponent_data=Normal(0.5, 0.1)"."""
    return {name: _prior(text) for name, text in pairs(texts, "--prior", "exponent_data=Normal(0.5,0.1)")}


def _prior(text: str) -> "Prior":
    """A distribution of NumPyro, from its name and its numbers."""
    import numpyro.distributions as dist

    def refused(why: str) -> typer.BadParameter:
        return typer.BadParameter(
            f"{quote(text)} is no prior: {why}. Write a distribution of NumPyro and its numbers, such as "
            "Normal(0.5,0.1).",
            param_hint="--prior",
        )

    found = _PRIOR.fullmatch(text)
    if not found:
        raise refused("it is not NAME(NUMBERS)")
    known: dict[str, Any] = {
        name.lower(): one
        for name, one in vars(dist).items()
        if isinstance(one, type) and issubclass(one, dist.Distribution)
    }
    name = found[1].lower()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        guess = f", did you mean {known[near[0]].__name__}" if near else ""
        raise refused(f"there is no distribution {found[1]}{guess}")
    given, named = [], {}
    for part in filter(None, map(str.strip, found[2].split(","))):
        word, equals, value = part.rpartition("=")
        try:
            if equals:
                named[word.strip()] = float(value)
            else:
                given.append(float(value))
        except ValueError:
            raise refused(f"{quote(value.strip())} is no number") from None
    needs = list(known[name].arg_constraints)
    if set(needs) != {*needs[: len(given)], *named} or len(given) + len(named) != len(needs):
        raise refused(f"{known[name].__name__} needs {', '.join(needs)}")
    try:
        return known[name](*given, **named, validate_args=True)
    except (TypeError, ValueError) as error:
        raise refused(str(error).rstrip(".")) from None
