"""What the pictures share: the size of a page, colours and markers, axis labels, ticks, and short names of cells."""

from io import BytesIO
from math import log10
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import ListedColormap, to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from hyperlaw.display import short
from hyperlaw.quote import one_line
from hyperlaw.whole_file import write_whole

# Okabe-Ito: told apart in print and by the colour-blind. Blue is the law, orange what is recommended.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#595959"
CHAINS = [BLUE, "#E69F00", GREEN, "#CC79A7", "#56B4E9", ORANGE]
# What has no order: all but orange.
APART = [*CHAINS[:-1], GREY]
# Sequential, from dark to light, without the end that paper swallows.
SEQUENTIAL = ListedColormap(colormaps["viridis"](range(220)))
# The ground of a plane, light where the loss is low: what is drawn on it stays visible at the dark end.
GROUND = ListedColormap(colormaps["Blues"](range(140)))
MARKERS = "osDPXp"  # no triangles: these are one-sided values
AXIS = {"learning_rate": "learning rate", "batch_size": "batch size (data points)"}
SCALE = {
    "data": "data (tokens or data points)", "params": "parameters", "width": "width (units)",
    "utd": "updates per environment step", "compute": "compute (FLOPs)", "budget": "budget (FLOPs)",
}  # fmt: skip
NAMES = AXIS | SCALE | {
    "steps": "steps to the target loss", "improvement": "improvement by one step (nats)", "loss": "loss (nats)",
    "noise_scale": "noise scale (data points)",
    "threshold": "performance to be reached", "optimizer": "optimizer",
}  # fmt: skip
# Inches: the width of a page's text.
PAGE, DPI = 6.4, 150
LABEL, SMALL = 9, 8  # points
# Characters of a line over the narrowest panel.
WIDEST = 30


def page(
    rows: int = 1, columns: int = 1, *, height: float, sharex: bool | str = False, ratios: list[float] | None = None
) -> tuple[Figure, np.ndarray]:
    """A figure as wide as a page, and its axes in rows and columns, with fonts to be read there."""
    figure = Figure(figsize=(PAGE, height), dpi=DPI, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=sharex, height_ratios=ratios)  # type: ignore[arg-type]
    for ax in axes.flat:
        readable(ax)
    return figure, axes


def save(figure: Figure, path: Path) -> None:
    """Write a figure in the format that the suffix names, whole or, by an OSError, not at all."""
    drawn = BytesIO()
    figure.savefig(drawn, format=path.suffix.lstrip(".").lower(), dpi=DPI)
    write_whole(path, drawn.getvalue())


def readable(ax: Axes) -> None:
    """Fonts of axes to be read on a page."""
    ax.tick_params(labelsize=SMALL, which="both")
    for text in (ax.xaxis.label, ax.yaxis.label, ax.title):
        text.set_fontsize(LABEL)
    for axis in (ax.xaxis, ax.yaxis):
        axis.offsetText.set_fontsize(SMALL)


def legend_below(figure: Figure, *, columns: int, title: str | None = None) -> None:
    """One legend of all axes, under them: each label once."""
    found: dict[str, Any] = {}
    for ax in figure.axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    figure.legend(found.values(), found.keys(), loc="outside lower center", ncols=columns, fontsize=SMALL,
                  frameon=False, title=title, title_fontsize=SMALL)  # fmt: skip


def sequence(values: list[Any]) -> dict[Any, tuple[str, str]]:
    """Colour and marker of each of some values in their order, such as sizes: from dark to light."""
    colours = SEQUENTIAL(np.linspace(0, 1, max(len(values), 2)))
    return {v: (to_hex(c), MARKERS[k % len(MARKERS)]) for k, (v, c) in enumerate(zip(values, colours, strict=False))}


def apart(values: list[Any]) -> dict[Any, tuple[str, str]]:
    """Colour and marker of each of some values without an order, such as tasks."""
    return {v: (APART[k % len(APART)], MARKERS[k % len(MARKERS)]) for k, v in enumerate(values)}


def evenly(values: Any, most: int) -> list:
    """At most so many of the values, evenly spaced in their order, the first and the last among them."""
    places = np.linspace(0, len(values) - 1, min(len(values), most)).round().astype(int)
    return [values[i] for i in places]


def left_out(figure: Figure, shown: int, every: int, what: str) -> None:
    """Say over a figure how many of all panels it shows, where it does not show all."""
    if shown < every:
        figure.suptitle(f"{shown} of {every} {what}", fontsize=LABEL)


def reach(middle: Any, lower: Any, upper: Any) -> np.ndarray:
    """Lengths of error bars to both ends of an interval, as matplotlib wants them."""
    return np.stack([np.asarray(middle) - lower, np.asarray(upper) - middle]).reshape(2, -1)


def band(ax: Axes, x: Any, lower: Any, upper: Any, *, colour: str, label: str | None = None) -> None:
    """An interval along an axis."""
    ax.fill_between(x, lower, upper, color=colour, alpha=0.2, lw=0, label=label)


def flops(value: float) -> str:
    """A number of FLOPs: 3e15."""
    return f"{value:.2g}".replace("e+", "e")


def named(text: object, longest: int = WIDEST) -> str:
    """Text from data as matplotlib draws it: one line, cut in the middle where it is longer, its signs as they are.

    Between two dollar signs matplotlib reads mathematics, and what begins with an underscore is left out of legends.
    """
    said = one_line(text, longest).replace("$", r"\$")
    return f" {said}" if said.startswith("_") else said


def cell_name(cells: pd.DataFrame, cell: int, scales: tuple[str, ...]) -> str:
    """Name of a cell: its task, where there are several, and its scales."""
    row = cells.loc[cell]
    task = [named(row["task"])] if cells["task"].nunique() > 1 else []
    return ", ".join(task + [f"{name} {short(row[name])}" for name in scales])


def log_locator(low: float, high: float) -> LogLocator:
    """Ticks of a log axis between two limits: few enough not to touch."""
    decades = log10(high / low)
    steps: tuple[float, ...] = (1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 9)
    for widest, wider in ((0.3, (1, 1.5, 2, 3, 5, 7)), (0.8, (1, 2, 5)), (1.3, (1, 3)), (2.5, (1,))):
        if decades > widest:
            steps = wider
    return LogLocator(subs=steps, numticks=8 if decades > 6 else 15)


def log_ticks(axis: Axis) -> None:
    """Ticks of a log axis whose limits are set, in plain numbers."""
    axis.set_major_locator(log_locator(*axis.get_view_interval()))
    axis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    axis.set_minor_formatter(NullFormatter())
