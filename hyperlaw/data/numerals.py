"""`numeral` and `as_number`: numbers as people write them."""

import re
from math import nan

import numpy as np

from hyperlaw.quote import quote

MISSING = frozenset({"", "nan", "na", "n/a", "#n/a", "null", "none", "<na>", "-"})
SUFFIXES = {"k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9, "t": 1e12}
# Python makes numbers of these too, but nobody means one by them.
NO_NUMBERS = (bool, np.bool_, complex, np.complexfloating, bytes)
_COUNT = re.compile(r"([0-9.]+(?:e[+-]?[0-9]+)?) ?([kmbgt])", re.IGNORECASE)
_THOUSANDS = re.compile(r"[1-9][0-9]{0,2}([,_ '][0-9]{3})+(\.[0-9]+)?")


def numeral(text: str, *, count: bool = False) -> float:
    """The number that a text holds, such as "1e-3"; NaN where it says that there is none.

    Parameters
    ----------
    text
        The text, blanks around it allowed.
    count
        Whether it counts something, and so may be written as "7B", "1.4T", "32k" or "1,000,000".

    Raises
    ------
    ValueError
        When it is no number.
    """
    text = text.replace("\N{MINUS SIGN}", "-").replace("\N{NO-BREAK SPACE}", " ").strip()
    if text.lower() in MISSING:
        return nan
    if count and (found := _COUNT.fullmatch(text)):
        return float(found[1]) * SUFFIXES[found[2].lower()]
    if count and _THOUSANDS.fullmatch(text):
        return float(re.sub("[,_ ']", "", text))
    return float(text)


def as_number(value: object, what: str, *, count: bool = False) -> float:
    """A number that someone gave, as a number or as text; `what` names it in a refusal, `count` as for `numeral`.

    Raises
    ------
    ValueError
        When it is none.
    """
    try:
        if not isinstance(value, NO_NUMBERS):
            return numeral(value, count=count) if isinstance(value, str) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        pass
    example = " such as 1e9, '7B' or '32k'" if count else ""
    raise ValueError(f"{what} must be a number{example}, received {quote(value)}.")
