"""Pictures and charts of data with hostile names: each is drawn, shows them as they are, and fits its page."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import TRUTH, VALUE_TRUTH, example_of, grid, simulate
from decisions import made, questions
from made_fit import REASON, made_fit
from matplotlib.cbook import is_math_text
from matplotlib.text import Text

import hyperlaw as hl
from hyperlaw import plots
from hyperlaw.plots.backtest import plot_backtest
from hyperlaw.plots.style import named
from hyperlaw.report import charts

# As a table takes them, and as a name of a fit, a unit or a function can be besides.
TASKS = (r"$\frac{$", "_$x$<b>" + "x" * 190)
WORST = "$\\frac{$<b>\n\x00\ud800\u202e" + "$x" * 2500
FIT = WORST.replace("\ud800", "")  # pandas holds no half of a character
AT = {"params": 1.6e7, "data": 6.4e9, "task": TASKS[1]}


class Wary(hl.Mean):
    def __str__(self):
        return WORST


def wall(rate, batch, at):
    return rate


wall.__name__ = WORST


@cache
def fits():
    """Two fits of runs with hostile tasks and unit, by hostile names."""
    law = hl.laws.StepLaw()
    frame = pd.concat(simulate(law, grid((task,), rates=5, batches=3), seed=0).frame for task in TASKS)
    runs = hl.Runs.from_frame(frame.drop(columns="cell"), loss_unit=WORST)
    scattered = {"log_learning_rate": 0.1, "log_batch_size": 0.1}
    return {
        name: made_fit(law, runs, TRUTH | {"log_learning_rate": rate}, scattered=scattered, draws=50, whole=True)
        for name, rate in ((FIT, np.log(1e-3)), ("_" + FIT, np.log(1.3e-3)))
    }


@cache
def choice():
    rules = [hl.AtMost(wall, 3e-3), hl.OneOf("batch_size", multiples_of=1024)]
    return hl.decide(fits(), AT, risk=Wary(), weights="equal", subject_to=rules, despite=REASON)


@cache
def values():
    """A fit of crossings with hostile tasks."""
    law, table = hl.laws.DataEfficiency(), example_of(hl.laws.DataEfficiency(), 2)
    table = hl.Crossings.from_frame(table.frame.replace({"task": dict(zip(table.tasks, TASKS, strict=True))}))
    scatter = {p.name: 0.1 for p in hl.likelihood(law, table).scatter_parameters}
    return made_fit(law, table, VALUE_TRUTH["DataEfficiency"] | scatter, draws=50, whole=True)


def backtest():
    rows = pd.MultiIndex.from_tuples([(FIT, "learning_rate"), ("$", FIT)], names=["law", "quantity"])
    table = pd.DataFrame({FIT: [0.1, 0.2]}, rows).reset_index()
    return plot_backtest(table, summary=pd.DataFrame({"covered": [0.9, 0.8]}, rows), missed=FIT, unit=WORST)


def next_runs():
    return replace(questions(made())["next_runs"](despite=REASON), attitude=Wary(), loss_unit=WORST).plot()


def fit():
    return next(iter(fits().values()))


PICTURES = {
    "backtest": [backtest],
    "choice": [lambda: choice().plot()],
    "frontier": [lambda: questions(made())["frontier"](despite=REASON).plot()],
    "losses": [lambda: plots.losses(fit())],
    "next_runs": [next_runs],
    "optima": [lambda: plots.optima(fit()), lambda: plots.optima(fit(), at=AT)],
    "residuals": [lambda: plots.residuals(fit()), lambda: plots.residuals(values())],
    "over_horizons": [lambda: questions(made())["over_horizons"](despite=REASON).plot()],
    "risk_surface": [lambda: plots.risk_surface(choice())],
    "sampling": [lambda: plots.sampling(fit())],
    "schedule": [lambda: questions(made())["schedule"](despite=REASON).plot()],
    "surface": [lambda: plots.surface(fit(), cell=0)],
    "sweep": [lambda: fit().runs.plot()],
    "trade_off": [lambda: questions(made())["trade_off"](despite=REASON, risk=Wary()).plot()],
    "values": [lambda: plots.values(values())],
}


def texts(figure):
    """All that is written in a picture."""
    return [text.get_text() for text in figure.findobj(Text)]


def test_every_picture_is_tried():
    files = {path.stem for path in Path(plots.__file__).parent.glob("*.py")}
    assert set(PICTURES) == files - {"__init__", "style", "transfer_rate"}  # the last holds no name from data


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_with_hostile_names_is_drawn(name, tmp_path):
    for draw in PICTURES[name]:
        picture = draw()
        picture.savefig(tmp_path / "picture.png", dpi=40)  # what matplotlib warns of is an error in tests
        if name != "sampling":  # by ArviZ, from names of parameters alone
            written = texts(picture)
            assert not any("frac" in text and is_math_text(text) for text in written)
            assert all(line.isprintable() and len(line) <= 140 for text in written for line in text.splitlines())


def test_names_stand_in_pictures_as_they_are():
    assert is_math_text(named("$x$")) is False
    assert named("$x$").replace(r"\$", "$") == "$x$"
    assert named("_a") == " _a"
    assert named("a\nb\x00\ud800") == r"a b\x00\ud800"
    assert named("x" * 5000) == f"{'x' * 20}...{'x' * 7}"
    (legend,) = plots.residuals(values()).legends
    assert {named(task) for task in TASKS} <= {text.get_text() for text in legend.get_texts()}
    titles = [ax.get_title() for ax in fit().runs.plot().axes]
    assert all(len(line) <= 40 for title in titles for line in title.splitlines())


def test_charts_of_a_report_take_hostile_names_as_text(tmp_path):
    drawn = [charts.law(choice(), "learning_rate"), charts.risk(choice()), charts.cost(choice())]
    said = "".join(figure.to_json() for figure in drawn)
    assert "<b>" not in said
    assert "&lt;b&gt;" in said
    assert "x$x$x$x$x$x$x$x$x$x$x$x$x$x$x$x$x$x$x$x$x$x" not in said
    choice().report(tmp_path / "choice.html")
    assert "\\ud800" in (tmp_path / "choice.html").read_text(encoding="utf-8")
