"""Progress bars: in a terminal, and in a notebook where it has ipywidgets; else one line when all is done."""

from collections.abc import Iterable
from importlib.util import find_spec

import rich.progress
from rich.console import Console


def console() -> Console:
    """Where bars are drawn. Without ipywidgets a notebook would be filled with warnings instead."""
    return Console(force_jupyter=None if find_spec("ipywidgets") else False)


def track[T](items: Iterable[T], description: str, *, total: float | None = None, disable: bool = False) -> Iterable[T]:
    """The items, with a bar of how many are done."""
    return rich.progress.track(items, description, total=total, disable=disable, console=console())
