"""Progress bars: in a terminal, and in a notebook where it has ipywidgets; else one line when all is done."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec

import rich.progress
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn


def console() -> Console:
    """Where bars are drawn: standard error, so that standard output holds results alone.

    Without ipywidgets a notebook would be filled with warnings instead.
    """
    return Console(stderr=True, force_jupyter=None if find_spec("ipywidgets") else False)


def track[T](items: Iterable[T], description: str, *, total: float | None = None, disable: bool = False) -> Iterable[T]:
    """The items, with a bar of how many are done."""
    return rich.progress.track(items, description, total=total, disable=disable, console=console())


@contextmanager
def sampling_bar(title: str, *, show: bool) -> Iterator[Callable[[float, int], None]]:
    """A bar for the sampler: yields a function that is told the share done and the divergences so far."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"), TimeElapsedColumn())
    with Progress(*columns, disable=not show, console=console()) as bar:
        task = bar.add_task(f"{title}: compiling", total=1.0, note="")

        def report(share: float, divergences: int) -> None:
            note = f"{divergences} divergences" if divergences else ""
            bar.update(task, completed=share, description=title, note=note)

        yield report
