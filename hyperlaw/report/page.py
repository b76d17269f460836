"""A page: a template filled in, with everything that it needs inside, written whole or not at all."""

import json
from os import PathLike
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from hyperlaw.quote import path_line, quote
from hyperlaw.report.charts import templates
from hyperlaw.whole_file import write_whole

SUFFIXES = (".html", ".htm")


def check_suffix(path: Path) -> None:
    """Refuse a name that is not one of a page, with a ValueError."""
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(
            f"a report is an HTML page: its name must end in .html, received {quote(path.name)}. Rename it."
        )


def check_path(path: str | PathLike[str]) -> Path:
    """Where a report is to be written, refused before anything is computed where that cannot be.

    Raises
    ------
    ValueError
        When its name does not end in `.html`.
    FileNotFoundError, IsADirectoryError
        When there is no such folder, or a folder has that name.
    """
    path = Path(path)
    check_suffix(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"{path_line(path)} cannot be written: there is no folder {path_line(path.parent)}. Make it, or name a "
            "file in one that is there."
        )
    if path.is_dir():
        raise IsADirectoryError(f"{path_line(path)} cannot be written: it is a folder. Name a file in it.")
    return path


def write_page(path: Path, template: str, said: dict[str, Any]) -> None:
    """Fill in a template and write it; whoever reads `path` meanwhile sees the old file or the new one."""
    loader = PackageLoader("hyperlaw.report")
    places = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    places.filters["fromjson"] = json.loads
    own = {name: Markup(loader.get_source(places, name)[0]) for name in ("page.css", "page.js", "what_if.js")}
    text = places.get_template(template).render(said, own=own, plotly=Markup(get_plotlyjs()), templates=templates())
    write_whole(path, text.encode(errors="backslashreplace"))
