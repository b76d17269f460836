"""`Shown`: what an object says of itself, as text in a terminal and as HTML in a notebook, from one `View`."""

import base64
import io
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from jinja2 import Template
    from matplotlib.figure import Figure

COLUMNS = 100
ROWS = 30


@dataclass(frozen=True)
class View:
    """What is shown of an object, in this order.

    Attributes
    ----------
    title
        One line.
    sentence
        The answer, in words.
    status
        "PASS", "REVIEW" or "FAIL" where title or sentence is a verdict.
    facts
        Short values, by name.
    sections
        Further text, by heading.
    tables
        Tables, by heading; an empty heading is not shown.
    folded
        Tables that a notebook shows when asked, by heading; not in text.
    picture
        What draws a picture, for a notebook.
    """

    title: str
    sentence: str = ""
    status: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    sections: Mapping[str, str] = field(default_factory=dict)
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    folded: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    picture: Callable[[], "Figure"] | None = None


class Shown:
    """An object with a view: its text is its `repr`, its HTML what a notebook displays."""

    def view(self) -> View:
        """What is shown of it: title, sentence, tables."""
        raise NotImplementedError(type(self).__name__)

    def __repr__(self) -> str:
        return as_text(self.view())

    def _repr_html_(self) -> str:
        return as_html(self.view())


def figures(value: Any, digits: int = 4) -> str:
    """A value as it is written in tables: "0.0021", "220", "1.4e12", "yes"; nothing where it is missing."""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float | np.floating):
        if np.isnan(value):
            return ""
        number, _, exponent = f"{value:.{digits - 1}e}".partition("e")
        if not exponent or -5 < int(exponent) < max(digits, 4):
            return f"{float(f'{value:.{digits}g}'):.{max(digits, 4)}g}"
        return f"{number.rstrip('0').rstrip('.') if '.' in number else number}e{int(exponent)}"
    return "" if value is None or value is pd.NA else str(value)


def short(value: float) -> str:
    """A number as people write scales: 0.003, 1024, 24.6k, 1.05M, 7B, 1.4T, 1e19."""
    if value >= 0.9995e15:
        return f"{value:.3g}".replace("e+", "e")
    for unit, suffix in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= max(0.9995 * unit, 1e4):
            return f"{float(f'{value / unit:.3g}'):g}{suffix}"
    return f"{value:.4g}"


def ends(values: pd.Series) -> str:
    """The ends of some values, as scales are written: "24.6k to 98.3k"; one number where they agree."""
    least, largest = short(values.min()), short(values.max())
    return least if least == largest else f"{least} to {largest}"


def few(names: Sequence[str], most: int = 3) -> str:
    """The first of some names: "R-hat, largest; divergences; and 5 more"."""
    rest = [f"and {len(names) - most} more"] if len(names) > most else []
    return "; ".join([*names[:most], *rest])


def as_text(view: View, width: int = COLUMNS) -> str:
    """A view as text of at most so many columns, its pictures and what is folded left out."""
    facts = "; ".join(f"{name} {value}" for name, value in view.facts.items())
    parts = [_wrapped(text, width) for text in (view.title, view.sentence, facts) if text]
    for heading, text in view.sections.items():
        parts.append("\n" + _wrapped(heading, width) + "\n" + textwrap.indent(_wrapped(text, width - 2), "  "))
    for heading, table in view.tables.items():
        parts.append("\n" + (f"{heading}\n" if heading else "") + _table(table, width))
    return "\n".join(part for part in parts)


def _wrapped(text: str, width: int) -> str:
    lines = [textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False) for line in text.splitlines()]
    return "\n".join("\n".join(line) for line in lines)


def _table(table: pd.DataFrame, width: int) -> str:
    shown = table.head(ROWS).map(figures)
    text = shown.to_string(line_width=width, index=_has_index(table)) if len(table) else "(no rows)"
    rest = f"\n... and {len(table) - ROWS} further rows" if len(table) > ROWS else ""
    return "\n".join(line.rstrip().removesuffix("\\").rstrip() for line in text.splitlines()) + rest


def _has_index(table: pd.DataFrame) -> bool:
    return not isinstance(table.index, pd.RangeIndex) or table.index.name is not None


def as_html(view: View) -> str:
    """A view as HTML that stands by itself: no file, font or script from elsewhere, and all text escaped."""
    rows = {"tables": view.tables, "folded": view.folded}
    tables = {where: {heading: _cells(table) for heading, table in found.items()} for where, found in rows.items()}
    picture = None if view.picture is None else base64.b64encode(_png(view.picture())).decode()
    return _template().render(view=view, picture=picture, **tables)


def _cells(table: pd.DataFrame) -> dict[str, Any]:
    """Head and body of a table; each cell is what is written and, where that is a number, what it is sorted by."""
    flat = table.reset_index() if _has_index(table) else table
    shown = [[(figures(v), _order(v)) for v in row] for row in flat.head(ROWS).itertuples(index=False, name=None)]
    unnamed = ("index", "level_0")
    return {
        "head": ["" if name in unnamed else str(name) for name in flat.columns],
        "rows": shown,
        "rest": max(len(flat) - ROWS, 0),
    }


def _order(value: Any) -> str:
    counts = isinstance(value, int | float | np.number | np.bool_) and np.isfinite(value)
    return repr(float(value)) if counts else ""


def _png(figure: "Figure") -> bytes:
    """A picture in few colours: small enough for a notebook of many."""
    from PIL import Image

    drawn, small = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=100, facecolor="white")
    Image.open(drawn).convert("RGB").quantize(96).save(small, format="png", optimize=True)
    return small.getvalue()


@cache
def _template() -> "Template":
    from jinja2 import Environment

    source = files("hyperlaw").joinpath("display.html").read_text(encoding="utf-8")
    return Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(source)
