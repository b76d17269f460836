"""Progress bars on standard error, and in a notebook in one output that is drawn anew: no widgets are needed."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

DESCRIPTION = TextColumn("{task.description}")


def console() -> Console:
    """Where bars are drawn: standard error, so that standard output holds results alone."""
    return Console(stderr=True, force_jupyter=False)


class _InNotebook(Progress):
    """A bar whose text is the one output of a cell, replaced as it moves."""

    shown: Any = None

    def start(self) -> None:
        """Open the output."""
        if not self.disable:
            from IPython.display import display

            self.shown = display({"text/plain": ""}, raw=True, display_id=True)

    def refresh(self) -> None:
        """Draw it anew."""
        if self.shown is not None:
            with self.console.capture() as text:
                self.console.print(self.get_renderable())
            self.shown.update({"text/plain": text.get().rstrip()}, raw=True)

    def stop(self) -> None:
        """Draw it for the last time."""
        self.refresh()


def _bar(*columns: Any, disable: bool) -> Progress:
    """A bar for where this process runs: a notebook, a terminal, or neither (then one line when all is done)."""
    session = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if hasattr(session, "kernel"):
        drawn = Console(force_terminal=False, force_jupyter=False, width=80)
        return _InNotebook(*columns, disable=disable, console=drawn, auto_refresh=False)
    return Progress(*columns, disable=disable, console=console())


def track[T](items: Iterable[T], description: str, *, total: float | None = None, disable: bool = False) -> Iterable[T]:
    """The items, with a bar of how many are done."""
    with _bar(DESCRIPTION, BarColumn(), TaskProgressColumn(), TimeRemainingColumn(), disable=disable) as bar:
        yield from bar.track(items, total, description=description)


@contextmanager
def sampling_bar(title: str, *, show: bool) -> Iterator[Callable[[float, str], None]]:
    """A bar for the sampler: yields a function that is told the share done and what is being done."""
    columns = (DESCRIPTION, BarColumn(), TextColumn("{task.fields[note]}"), TimeElapsedColumn())
    with _bar(*columns, disable=not show) as bar:
        task = bar.add_task(f"{title}: compiling", total=1.0, note="")

        def report(share: float, note: str) -> None:
            bar.update(task, completed=share, description=title, note=note, refresh=True)

        yield report
