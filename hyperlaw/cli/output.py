"""What the verbs print: tables within the width of the terminal, or JSON and nothing else; and where they write."""

import json
import shutil
import textwrap
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from hyperlaw.cli.wording import as_options
from hyperlaw.quote import path_line

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from hyperlaw.diagnostics.spec import Checks

WIDEST = 120


def width() -> int:
    """Columns to write in: those of the terminal up to 120; 100 where there is none."""
    return min(shutil.get_terminal_size((100, 24)).columns, WIDEST)


def say(text: str, *, hang: str = "", err: bool = False) -> None:
    """Print sentences, wrapped; a line goes on where it began, behind `hang`."""
    for line in text.splitlines():
        indent = " " * (len(line) - len(line.lstrip())) + hang
        wrapped = textwrap.wrap(line, width(), subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
        typer.echo("\n".join(wrapped), err=err)


def show(frame: "pd.DataFrame", digits: int = 4) -> None:
    """Print a table without its empty columns; one too wide goes on below."""
    text = frame.dropna(axis=1, how="all").to_string(
        line_width=width(), float_format=f"{{:.{digits}g}}".format, na_rep=""
    )
    typer.echo("\n".join(line.rstrip().removesuffix("\\").rstrip() for line in text.splitlines()))


def blocks(frame: "pd.DataFrame", lead: str) -> None:
    """Print one paragraph a row: its name and column `lead`, and the other columns below."""
    for name, row in frame.iterrows():
        say(f"{name}: {row[lead]}" if row[lead] else f"{name}", hang="    ")
        say("    " + "; ".join(f"{column} {value}" for column, value in row.drop(lead).items() if value != "") + ".")


def show_checks(checks: "Checks") -> None:
    """Print the verdict, and what failed or is to be looked at, with what to do."""
    from hyperlaw.display import as_text

    view = checks.view()
    advice = {heading: as_options(text) for heading, text in view.sections.items()}
    typer.echo(as_text(replace(view, sentence=as_options(view.sentence), sections=advice), width()))


def told(checks: "Checks") -> dict[str, Any]:
    """The checks for JSON."""
    table = checks.table.assign(advice=checks.table["advice"].map(as_options))
    return {"checks_ok": checks.ok, "checks": table.to_dict("records")}


def records(frame: "pd.DataFrame") -> list[dict[str, Any]]:
    """The rows of a table for JSON, its index among the columns where it has a name or is no count."""
    import pandas as pd

    if isinstance(frame.index, pd.RangeIndex) and frame.index.name is None:
        return frame.to_dict("records")
    unnamed = frame.index.nlevels == 1 and frame.index.name is None
    return (frame.rename_axis("row") if unnamed else frame).reset_index().to_dict("records")


def print_json(found: Mapping[str, Any] | list[Any]) -> None:
    """Print JSON; what is no number is null."""
    from hyperlaw.decision.choice import plain

    typer.echo(json.dumps(plain(found), indent=2, allow_nan=False))


def writable(path: Path | None, option: str) -> None:
    """Make the folder of a file that is to be written, and refuse at once where that cannot be.

    Raises
    ------
    typer.BadParameter
        In that case.
    """
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        there = path.exists()
        with path.open("ab"):
            pass
        if not there:
            path.unlink()
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        if isinstance(error, FileExistsError | NotADirectoryError):
            why = f"{path_line(path.parent)} is no folder"
        raise typer.BadParameter(
            f"{path_line(path)} cannot be written: {why}. Nothing was computed yet; name a file in a folder you may "
            "write to.",
            param_hint=option,
        ) from None


def page(path: Path | None, option: str) -> None:
    """The same of a report, whose suffix is that of a page; ValueError where it is another."""
    if path is None:
        return
    from hyperlaw.report.page import check_suffix

    check_suffix(path)
    writable(path, option)


def picture(path: Path | None, option: str = "--plot") -> None:
    """The same of a picture, whose suffix says what it is."""
    if path is None:
        return
    from matplotlib.backend_bases import FigureCanvasBase

    kinds = FigureCanvasBase.get_supported_filetypes()
    if path.suffix.lower().lstrip(".") not in kinds:
        raise typer.BadParameter(
            f"{path_line(path)} must end in what kind of picture it is: "
            f"{', '.join(f'.{kind}' for kind in sorted(kinds))}.",
            param_hint=option,
        )
    writable(path, option)


def draw(figure: "Figure", path: Path) -> None:
    """Write a picture, and say so."""
    from hyperlaw.plots.style import save

    save(figure, path)
    say(f"Wrote {path}.", err=True)
