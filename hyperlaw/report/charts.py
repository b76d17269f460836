"""The charts of a report, made with Plotly: they compute nothing. Their colours hold on white and on black.

Plotly takes some HTML in its texts: what comes from data is escaped, and cut where it is long.
"""

from html import escape
from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from matplotlib.colors import to_rgb

from hyperlaw.decision.decided import Decided
from hyperlaw.decision.pareto import Pareto
from hyperlaw.display import short
from hyperlaw.plots.optima import law_label
from hyperlaw.plots.style import AXIS, BLUE, CHAINS, ORANGE, SCALE, log_locator
from hyperlaw.quote import one_line

GREY = "#808080"
LONGEST = 40  # characters of a name
# Four times the largest budget, as in the picture of a frontier.
SHOWN, POINTS, BEYOND = 4, 40, 4.0


def templates() -> dict[str, Any]:
    """Plotly's templates for a light page and a dark one: text, axes and grid; the ground is the page's."""
    inks = {"light": ("#1a1a1a", "#d9d9d9"), "dark": ("#e6e6e6", "#444444")}
    return {name: _template(ink, grid).to_plotly_json() for name, (ink, grid) in inks.items()}


def _template(ink: str, grid: str) -> go.layout.Template:
    axis = {"gridcolor": grid, "linecolor": ink, "zeroline": False, "showline": True, "ticks": "outside",
            "tickcolor": ink, "automargin": True}  # fmt: skip
    return go.layout.Template(
        layout={
            "font": {"color": ink, "size": 13, "family": "system-ui, sans-serif"},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "xaxis": axis,
            "yaxis": axis,
            "hoverlabel": {"font": {"family": "system-ui, sans-serif"}},
        }
    )


def law(choice: Decided, name: str) -> go.Figure:
    """The law from the smallest runs to the target, the best of every cell of runs, and the setting."""
    figure, scale, several = _figure(), choice.trajectory.columns[0], len(choice.laws) > 1
    heaviest, others = choice.laws["weight"].idxmax(), _others(choice)
    cells, through = (table[table["law"] == heaviest] for table in (choice.cells, choice.levels))
    for i, (_, line) in enumerate(through.groupby(others) if others else ()):
        _line(figure, line[scale], line[f"{name}_median"], GREY, None if i else f"law at {_words(others)} of the runs")
    for colour, (of, along) in zip(cycle(CHAINS), choice.trajectory.groupby("law", sort=False), strict=False):
        ends = along[f"{name}_lower"], along[f"{name}_upper"]
        label = law_label(others, choice.at, _text(of) if several else "law")
        _band(figure, along[scale], ends, colour, f"{label}, 90 %")
        _line(figure, along[scale], along[f"{name}_median"], colour)
    alike = np.all([np.isclose(cells[c], choice.at[c]) for c in others], axis=0) & np.ones(len(cells), bool)
    best = f"best in a cell of runs, 90 %{f' ({_text(heaviest)})' if several else ''}"
    for some, symbol, label in ((alike, "circle", best), (~alike, "circle-open", f"{best}, other {_words(others)}")):
        if some.any():
            _points(figure, cells.loc[some, scale], cells.loc[some].filter(like=f"{name}_"), symbol, label)
    there = [choice.at[scale]], [choice.setting[name]]
    figure.add_scatter(x=there[0], y=there[1], mode="markers", name="set",
                       marker={"symbol": "star", "size": 15, "color": ORANGE})  # fmt: skip
    _log(figure, "x", SCALE.get(scale, scale))
    _log(figure, "y", f"best {AXIS[name]}")
    return figure


def elsewhere(choice: Decided) -> str | None:
    """In which scales runs and target differ beside the one that is drawn, where the law is drawn at those of both."""
    return _words(_others(choice)) if len(choice.levels) else None


def _others(choice: Decided) -> list[str]:
    """The scales of the target that are not drawn."""
    scale = choice.trajectory.columns[0]
    return [name for name in choice.extrapolation.index if name != scale and name in choice.cells]


def _words(scales: list[str]) -> str:
    """Scales in words: "parameters and data"."""
    return " and ".join(SCALE.get(name, name).partition(" (")[0] for name in scales)


def risk(choice: Decided) -> go.Figure | None:
    """The risk of every candidate, and the settings that are compared; None where one batch size was tried."""
    pairs = _grid(choice)
    rates, batches = pairs["learning_rate"].nunique(), pairs["batch_size"].nunique()
    if batches == 1:
        return None
    figure, bar = _figure(), {"title": {"text": f"risk ({_text(choice.fitted.loss_unit)})"}, "thickness": 12}
    if min(rates, batches) < 3 or rates * batches != len(pairs):
        figure.add_scatter(x=pairs["learning_rate"], y=pairs["batch_size"], mode="markers", showlegend=False,
                           marker={"color": pairs["risk"], "colorscale": "Cividis", "colorbar": bar})  # fmt: skip
    else:
        grid = pairs.pivot(index="batch_size", columns="learning_rate", values="risk")
        figure.add_contour(x=grid.columns, y=grid.index, z=grid.to_numpy(), colorscale="Cividis", ncontours=14,
                           colorbar=bar, line={"width": 0}, hovertemplate="%{x:.3g}, %{y:.3g}: %{z:.2g}<extra></extra>",
                           )  # fmt: skip
        allowed = pairs.pivot(index="batch_size", columns="learning_rate", values="allowed").to_numpy(bool)
        if not allowed.all():
            figure.add_contour(x=grid.columns, y=grid.index, z=np.where(allowed, 0.0, 1.0), showscale=False,
                               contours={"start": 0.5, "end": 0.5, "size": 1}, line={"width": 0}, hoverinfo="skip",
                               colorscale=[[0, "rgba(0,0,0,0)"], [1, "rgba(160,160,160,0.8)"]])  # fmt: skip
    symbols = {"recommended": "star", "runner_up": "square", "reuse_best": "x"}
    for name, row in choice.table.loc[choice.table.index.isin(symbols)].iterrows():
        first = name == "recommended"
        figure.add_scatter(x=[row["learning_rate"]], y=[row["batch_size"]], mode="markers",
                           name="set" if first else str(name).replace("_", " "),
                           marker={"symbol": symbols[str(name)], "size": 15 if first else 10,
                                   "color": ORANGE if first else "#f0f0f0",
                                   "line": {"color": "black", "width": 1}})  # fmt: skip
    _log(figure, "x", AXIS["learning_rate"])
    _log(figure, "y", AXIS["batch_size"])
    return figure


def cost(choice: Decided) -> go.Figure:
    """Regret along the learning rate, at the chosen batch size."""
    figure, along = _figure(), choice.regret_along
    _band(figure, along["learning_rate"], (along["lower"], along["upper"]), BLUE, "90 %")
    _line(figure, along["learning_rate"], along["mean"], BLUE, "expected")
    figure.add_vline(x=choice.setting["learning_rate"], line={"color": ORANGE, "dash": "dash"})
    _log(figure, "x", AXIS["learning_rate"])
    figure.update_yaxes(title=f"regret ({_text(choice.fitted.loss_unit)})", rangemode="tozero")
    return figure


def curves(frontier: Pareto) -> go.Figure:
    """The least compute within given data, and the point of the least budget, of at most four performances."""
    figure, levels = _figure(), frontier.draws["performance"].values
    chosen = levels[np.unique(np.linspace(0, len(levels) - 1, SHOWN).astype(int))]
    shown = frontier.curves[np.isfinite(frontier.curves["median"]) & frontier.curves["performance"].isin(chosen)]
    top = 3 * shown["median"].max()  # the edge of the chart: bands go on beyond it
    for level, colour in zip(chosen, CHAINS, strict=False):
        line = shown[shown["performance"] == level]
        _band(figure, line["data"], (line["lower"], line["upper"].clip(upper=top)), colour, None)
        _line(figure, line["data"], line["median"], colour)
        _least(figure, frontier, level, names=("data", "compute"), colour=colour, label=f"performance {level:g}")
    _log(figure, "x", "environment steps")
    _log(figure, "y", "compute (FLOPs)", flops=True)
    return figure


def ratios(frontier: Pareto) -> go.Figure | None:
    """The cheapest ratio against the budget, beyond the largest of the performances; None where there is one alone."""
    levels = frontier.draws["performance"].values
    if len(levels) == 1:
        return None
    budgets = frontier.table["median"].xs("budget", level="quantity")
    band = frontier.utd_at(np.geomspace(budgets.min(), BEYOND * budgets.max(), POINTS))
    figure = _figure()
    _band(figure, band.index, (band["lower"], band["upper"]), BLUE, "power of the budget, 90 %")
    _line(figure, band.index, band["median"], BLUE)
    for level in levels:
        _least(figure, frontier, level, names=("budget", "utd"), colour=GREY, label=None)
    for end in frontier.fitted.loc["utd"]:
        figure.add_hline(y=end, line={"color": GREY, "dash": "dash", "width": 1})
    _log(figure, "x", "budget (FLOPs)", flops=True)
    _log(figure, "y", SCALE["utd"])
    return figure


def _least(
    figure: go.Figure, frontier: Pareto, level: float, *, names: tuple[str, str], colour: str, label: str | None
) -> None:
    """The point of the least budget of a performance, open where that was not measured."""
    x, y = (frontier.table.loc[level].loc[name] for name in names)
    lowest, highest = frontier.fitted.loc["performance"]
    figure.add_scatter(
        x=[x["median"]], y=[y["median"]], error_x=_reach(x, colour), error_y=_reach(y, colour), mode="markers",
        name=label, showlegend=label is not None,
        marker={"symbol": "circle" if lowest <= level <= highest else "circle-open", "size": 9, "color": colour},
    )  # fmt: skip


def _text(name: object) -> str:
    """Text from data as Plotly writes it."""
    return escape(one_line(name, LONGEST))


def _grid(choice: Decided) -> pd.DataFrame:
    """The candidates without the polished setting, which is alone in its row or column."""
    return choice.candidates[~choice.candidates["polished"]]


def _figure() -> go.Figure:
    return go.Figure(
        layout={
            "template": "none", "height": 400, "margin": {"l": 50, "r": 10, "t": 10, "b": 40}, "dragmode": False,
            "legend": {"orientation": "h", "y": -0.27, "yanchor": "top", "x": 0, "xanchor": "left"},
        }
    )  # fmt: skip


def _band(figure: go.Figure, x: Any, ends: tuple[Any, Any], colour: str, label: str | None) -> None:
    red, green, blue = (round(255 * part) for part in to_rgb(colour))
    figure.add_scatter(
        x=np.concatenate([x, np.flip(x)]), y=np.concatenate([ends[0], np.flip(ends[1])]), fill="toself", mode="lines",
        line={"width": 0}, fillcolor=f"rgba({red},{green},{blue},0.25)", name=label, showlegend=label is not None,
        hoverinfo="skip",
    )  # fmt: skip


def _line(figure: go.Figure, x: Any, y: Any, colour: str, label: str | None = None) -> None:
    figure.add_scatter(x=x, y=y, mode="lines", line={"color": colour}, name=label, showlegend=label is not None)


def _points(figure: go.Figure, x: Any, ends: pd.DataFrame, symbol: str, label: str) -> None:
    """Medians and 90 % intervals, from columns lower, median and upper."""
    low, middle, high = (ends.filter(like=end).squeeze(axis=1) for end in ("_lower", "_median", "_upper"))
    figure.add_scatter(
        x=x, y=middle, mode="markers", name=label, marker={"symbol": symbol, "size": 8, "color": GREY},
        error_y={"type": "data", "array": high - middle, "arrayminus": middle - low, "color": GREY, "thickness": 1},
    )  # fmt: skip


def _reach(row: pd.Series, colour: str) -> dict[str, Any]:
    """The 90 % interval of one value, as Plotly has error bars."""
    return {"type": "data", "array": [row["upper"] - row["median"]], "arrayminus": [row["median"] - row["lower"]],
            "color": colour, "thickness": 1}  # fmt: skip


def _log(figure: go.Figure, side: str, title: str, *, flops: bool = False) -> None:
    """A log axis with ticks in plain numbers, from what is drawn on it."""
    drawn = [np.asarray(trace[side], float).ravel() for trace in figure.data if trace[side] is not None]
    for trace in figure.data:
        bars = trace[f"error_{side}"] if trace.type == "scatter" else None
        if bars is not None and bars.array is not None:
            middle = np.asarray(trace[side], float)
            drawn += [middle - np.asarray(bars.arrayminus), middle + np.asarray(bars.array)]
    values = np.concatenate(drawn)
    low, high = np.nanmin(values), np.nanmax(values)
    room = max(1.03, (high / low) ** 0.03)  # half of the star's width
    low, high = low / room, high * room
    ticks = [tick for tick in log_locator(low, high).tick_values(low, high) if low <= tick <= high]
    words = [f"{tick:.2g}".replace("e+", "e") if flops else short(tick) for tick in ticks]
    figure.update_layout(
        {f"{side}axis": {"type": "log", "title": title, "range": [np.log10(low), np.log10(high)], "tickvals": ticks,
                         "ticktext": words}}
    )  # fmt: skip
