"""Pictures of results: what is drawn are their numbers, and what is drawn apart can be told apart."""

from dataclasses import replace
from itertools import combinations, pairwise

import numpy as np
import pandas as pd
import pytest
from conftest import STEPS, TARGET, TRUTH, grid, simulate
from decisions import QUESTIONS, made, questions
from made_fit import REASON, made_fit
from matplotlib.colors import to_rgb
from test_plots import bar_of, drawn, has_band, has_line, labels_of, lines

import hyperlaw as hl
from hyperlaw import plots
from hyperlaw.inference.example import example
from hyperlaw.intervals import Z90
from hyperlaw.plots.backtest import plot_backtest
from hyperlaw.plots.schedule import plot_schedule
from hyperlaw.plots.style import APART, ORANGE, PAGE, sequence

STEPS_BOUND = hl.AtMost("steps", 1.5e4)
SLOW = hl.AtMost("learning_rate", 5e-3)


@pytest.fixture(scope="module")
def bound(fit):
    return hl.decide(fit, TARGET, risk=hl.CVaR(0.9), subject_to=[STEPS_BOUND, SLOW])


def one_batch():
    """A choice from a sweep of the learning rate alone."""
    runs = simulate(hl.laws.StepLaw(), grid(batches=1), seed=0)
    fit = made_fit(hl.laws.StepLaw(), runs, TRUTH, scattered={"log_learning_rate": 0.1}, draws=100)
    at = {"params": 4e6, "data": 1.6e10}
    return hl.decide(fit, at, risk="mean", subject_to=hl.AtMost("learning_rate", 1e-3), despite=REASON)


def hatched(figure, ax):
    """Which of points in data coordinates lie under a hatch of the axes."""
    drawn(figure)
    filled = [c for c in ax.collections if c.get_hatch() or any(getattr(c, "hatches", []) or [])]
    areas = [path for c in filled for path in c.get_paths() if len(path.vertices)]
    return lambda points: np.any([path.contains_points(points) for path in areas], axis=0)


@pytest.mark.parametrize("name", QUESTIONS)
def test_every_result_fits_a_page(name):
    figure = drawn(questions(made())[name](despite=REASON).plot())
    assert figure.get_figwidth() == PAGE
    assert figure.get_dpi() >= 150
    (legend,) = figure.legends
    box = legend.get_window_extent()
    assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1
    assert all(box.y1 <= ax.get_window_extent().y0 for ax in figure.axes)
    assert all(ax.get_ylabel() for ax in figure.axes)


def test_a_choice_has_four_panels_with_units(choice):
    figure = drawn(choice.plot())
    assert [ax.get_xlabel() for ax in figure.axes] == ["data (tokens or data points)"] * 2 + ["learning rate"] * 2
    assert [ax.get_ylabel() for ax in figure.axes] == [
        "best learning rate", "best batch size (data points)", "batch size (data points)", "regret (nats)",
    ]  # fmt: skip
    assert figure.axes[2].get_title() == "risk of regret (nats), CVaR(q=0.9)"
    assert {"recommended", "reuse best", "law at params 98.3k, 90 %", "without further drift"} <= set(labels_of(figure))
    assert "not allowed" not in labels_of(figure)
    for ax, name in zip(figure.axes, ("learning_rate", "batch_size"), strict=False):
        (star,) = lines(ax, "*")
        assert star.get_xydata().tolist() == [[TARGET["data"], choice.setting[name]]]
        beyond = choice.trajectory[choice.trajectory["data"] > choice.cells["data"].max()]
        dashed = next(line for line in ax.lines if line.get_linestyle() == "--")
        np.testing.assert_array_equal(dashed.get_ydata()[-len(beyond) :], beyond[f"{name}_straight_lower"])
        for _, level in choice.levels.groupby("params"):
            assert has_line(ax, level["data"], level[f"{name}_median"])
        middle = bar_of(ax, "cells like the target (params 98.3k)")[1]
        assert middle == pytest.approx(choice.cells.query("params == 98304")[f"{name}_median"])


def test_forbidden_settings_are_hatched(bound):
    figure = plots.risk_surface(bound)
    ax = figure.axes[0]
    under = hatched(figure, ax)
    pairs = bound.candidates[~bound.candidates["polished"]]
    # Away from the edge of what is allowed, where contours are interpolated between two candidates.
    steps = TARGET["data"] / pairs["batch_size"] / STEPS_BOUND.bound
    clear = pairs[((np.log(steps).abs() > 0.1) & (np.log(pairs["learning_rate"] / SLOW.bound).abs() > 0.1))]
    inside = clear[clear["learning_rate"].between(*np.quantile(pairs["learning_rate"], [0.05, 0.95]))]
    inside = inside[inside["batch_size"].between(*np.quantile(pairs["batch_size"], [0.05, 0.95]))]
    assert 0 < inside["allowed"].mean() < 1
    assert (under(inside[["learning_rate", "batch_size"]].to_numpy()) == ~inside["allowed"]).all()
    assert ax.get_title().split("\n")[1:] == ["AtMost(steps, 15000)", "AtMost(learning_rate, 0.005)"]
    assert "not allowed" in labels_of(figure)
    for label, row in bound.table.iterrows():
        (mark,) = (line for line in ax.lines if line.get_label() == str(label).replace("_", " "))
        assert mark.get_xydata().tolist() == [[row["learning_rate"], row["batch_size"]]]


def test_regret_along_the_learning_rate(bound):
    ax, along = drawn(bound.plot()).axes[3], bound.regret_along
    assert has_line(ax, along["learning_rate"], along["mean"])
    assert has_line(ax, along["learning_rate"], along["risk"])
    assert has_band(ax, along["learning_rate"], along["lower"], along["upper"])
    some = along.iloc[7]
    priced = bound.score(some[["learning_rate", "batch_size"]].to_dict()).table.loc["plan", "regret_mean"]
    assert some["mean"] == pytest.approx(float(priced), rel=1e-4)
    (span,) = (patch for patch in ax.patches if patch.get_hatch())
    assert along.loc[along["allowed"], "learning_rate"].max() < span.get_x() <= along["learning_rate"].max()
    assert span.get_x() == pytest.approx(SLOW.bound, rel=0.1)


def test_one_batch_size_gives_curves_alone():
    choice = one_batch()
    figure = drawn(choice.plot())
    assert [ax.get_ylabel() for ax in figure.axes] == ["best learning rate", "regret (nats)"]
    (ax,) = drawn(plots.risk_surface(choice)).axes
    assert has_line(ax, choice.regret_along["learning_rate"], choice.regret_along["risk"])
    assert ax.get_title().endswith("\nAtMost(learning_rate, 0.001)")
    assert any(patch.get_hatch() for patch in ax.patches)
    (fit,) = choice.fits.values()
    assert [ax.get_ylabel() for ax in plots.optima(fit).axes] == ["best learning rate"]
    assert len(plots.optima(fit, at=choice.at).axes) == 2


def test_a_few_candidates_are_points(fit):
    pair = {"learning_rate": np.array([0.0035, 0.0047]), "batch_size": np.array([208.0, 300.0])}
    two = hl.decide(fit, TARGET, risk=hl.Mean(), candidates=pair, subject_to=hl.AtMost("batch_size", 250))
    ax = drawn(plots.risk_surface(two)).axes[0]
    assert ax.collections[0].get_offsets().tolist() == np.column_stack(list(pair.values())).tolist()
    crossed = next(line for line in lines(ax, "x") if len(line.get_xdata()))
    assert crossed.get_xydata().tolist() == [[0.0047, 300.0]]
    one = {name: values[:1] for name, values in pair.items()}
    assert drawn(hl.decide(fit, TARGET, risk=hl.Mean(), candidates=one).plot()).axes


def test_the_trade_off_is_drawn_in_steps_and_examples():
    law, table = hl.laws.StepsExamples(), example(hl.laws.StepsExamples())
    rest = {p.name: 0.0 if p.name.startswith("drift_") else 0.05 for p in hl.likelihood(law, table).parameter_list}
    fit = made_fit(law, table, rest | STEPS, scattered={"log_critical_batch": 0.3}, draws=100)
    found = hl.trade_off(
        fit, {"task": "curve 0"}, price_of_step=1.0, price_of_example=1e-6, risk=hl.CVaR(0.9), despite=REASON
    )
    left, right = drawn(found.plot()).axes
    curves = found.curves
    np.testing.assert_allclose(curves["examples_median"], curves["batch_size"] * curves["steps_median"])
    in_table = curves.set_index("batch_size").loc[found.batch_size]
    row = found.table.set_index("batch_size").loc[found.batch_size]
    assert in_table["risk"] == pytest.approx(row["risk"])
    assert in_table["excess_upper"] == pytest.approx(row["excess_upper"])
    assert has_line(left, curves["steps_median"], curves["examples_median"])
    (star,) = lines(left, "*")
    assert star.get_xydata()[0] == pytest.approx(in_table[["steps_median", "examples_median"]].to_numpy(float))
    assert (left.get_xlabel(), left.get_ylabel()) == ("time (steps)", "compute (examples, data points)")
    assert has_line(right, curves["batch_size"], curves["risk"])
    assert has_band(right, curves["batch_size"], curves["excess_lower"], curves["excess_upper"])
    for name in ("critical batch size, 90 %", "cheapest batch size, 90 %"):
        (bar,) = (line for line in right.lines if line.get_label() == name)
        ends = found.intervals.loc[name[:-6].replace(" ", "_"), ["lower", "upper"]]
        assert bar.get_xdata() == pytest.approx(ends.to_numpy())


def steps_of(ax):
    (stairs,) = (patch for patch in ax.patches if hasattr(patch, "get_data"))
    return stairs.get_data()


def test_the_schedule_doubles_at_the_medians():
    runs = simulate(hl.laws.TimeTransfer(), grid(rates=3, batches=2), seed=0)
    fit = made_fit(hl.laws.TimeTransfer(), runs, TRUTH, scattered={"critical_exponent_data": 0.1})
    end = {"params": 4e6, "data": 1.6e10}
    found = hl.schedule(fit, end, batch_size=2.0**15, despite=REASON)
    above, below = drawn(found.plot()).axes
    values, edges, _ = steps_of(above)
    assert values.tolist() == found.table["batch_size"].tolist()
    assert edges[1:].tolist() == [*found.table["median"][1:], end["data"]]
    rates, _, _ = steps_of(below)
    assert rates.tolist() == found.table["learning_rate_median"].tolist()
    _, _middle, low, _high = bar_of(below, "best learning rate there, 90 %")
    assert low == pytest.approx(found.table["learning_rate_lower"])
    assert (above.get_ylabel(), below.get_xlabel()) == ("batch size (data points)", "data (tokens or data points)")
    assert not above.get_xaxis().get_inverted()


def test_a_schedule_by_falling_loss_runs_from_right_to_left():
    table = pd.DataFrame(
        {"batch_size": [8.0, 16.0], "lower": [2.7, 0.0], "median": [2.9, 2.5], "upper": [3.1, 2.6], "p_reached": 1.0}
    )
    (ax,) = drawn(plot_schedule(table, along="loss", end=2.2)).axes
    assert ax.get_xlabel() == "loss reached (nats)"
    assert ax.get_xaxis().get_inverted()
    values, edges, _ = steps_of(ax)
    assert (values.tolist(), edges[1:].tolist()) == ([8.0, 16.0], [2.5, 2.2])
    with pytest.raises(ValueError, match="along must be 'data' or 'loss', received 'steps'"):
        plot_schedule(table, along="steps", end=2.2)


def test_next_runs_show_what_each_buys_and_costs():
    found = questions(made())["next_runs"](despite=REASON, n=2, cost="compute")
    left, right = drawn(found.plot()).axes
    rest = found.candidates.drop(found.table.index)
    for some, label in (
        (rest, "candidate, as the first run"),
        (found.candidates.loc[found.table.index], "chosen, in this order"),
    ):
        x, middle, low, high = bar_of(left, label)
        assert x == pytest.approx(some["cost"])
        assert middle == pytest.approx(some["reduction"])
        assert (high - low) / 2 == pytest.approx(Z90 * some["error"])
    assert [text.get_text() for text in left.texts] == ["1", "2"]
    path = found.path
    assert path["risk"].iloc[0] == found.risk
    assert path["risk"].iloc[-1] == pytest.approx(found.risk - found.table["cumulated"].iloc[-1])
    assert path["cost"].iloc[-1] == found.table["cumulated_cost"].iloc[-1]
    assert has_line(right, path["cost"], path["risk"]) or np.allclose(lines(right, "o")[0].get_ydata(), path["risk"])
    floor = next(line for line in right.lines if line.get_linestyle() == "--")
    assert set(floor.get_ydata()) == {found.risk - found.value_of_perfect_information}
    assert left.get_xlabel() == "cost of the run (FLOPs)"
    assert right.get_ylabel() == "risk of the choice (nats),\nMean()"
    assert replace(found, cost_unit="runs").plot().axes[0].get_xlabel() == "cost of the run (runs)"


def a_backtest():
    """A backtest of one law and one recipe, made up."""
    rows = [("law", "mean", 0.001, True, 0.9), ("law", "mean", 0.003, False, 0.8), ("recipe", "", 0.02, None, None)]
    table = pd.DataFrame(rows, columns=["method", "risk", "regret", "covered_loss", "covered_runs"])
    held = table.assign(covered_loss=table["covered_loss"].astype(float), covered_50=0.5)
    columns = ["regret", "covered_loss", "covered_runs", "covered_50"]
    summary = held.groupby(["method", "risk"], sort=False)[columns].mean()
    return hl.Backtest(table, "in words", summary, pd.DataFrame())


def test_a_backtest_shows_laws_beside_recipes():
    found = a_backtest()
    left, right = drawn(found.plot()).axes
    assert [text.get_text() for text in left.get_yticklabels()] == ["law, mean", "recipe"]
    assert left.get_xlabel() == "regret (nats)"
    means = [line.get_xdata()[0] for line in lines(left, "D")]
    assert means == pytest.approx([0.002, 0.02])
    assert [line.get_xdata()[0] for line in lines(left, "|")] == [0.003, 0.02]
    assert set(labels_of(left.figure)) == {"one withheld", "mean", "worst", "loss", "runs"}
    shares = {line.get_label(): line.get_xdata() for line in right.lines}
    np.testing.assert_allclose(shares["loss"], [0.5, np.nan])
    np.testing.assert_allclose(shares["runs"], [0.85, np.nan])
    with pytest.raises(
        ValueError, match="missed must be a column of the table, such as 'regret' or 'error'; received 'x'"
    ):
        plot_backtest(found.table, summary=found.summary, missed="x", unit="nats")


def grey(colour):
    """Lightness on paper, from 0 to 1."""
    return float(np.dot(to_rgb(colour), [0.2126, 0.7152, 0.0722]))


def test_what_is_drawn_apart_is_told_apart_in_grey():
    for count in range(2, 6):
        looks = list(sequence(list(range(count))).values())
        assert len({marker for _, marker in looks}) == count
        shades = [grey(colour) for colour, _ in looks]
        assert all(b - a > 0.08 for a, b in pairwise(shades))
    assert all(a != b for a, b in combinations(APART, 2))
    assert ORANGE not in APART


def test_more_tasks_than_panels_are_counted():
    law, table = hl.laws.StepsExamples(), example(hl.laws.StepsExamples())
    frame = pd.concat([table.frame.assign(task=lambda rows, k=k: rows["task"] + f" {k}") for k in range(3)])
    many = hl.StepsToLoss.from_frame(frame.reset_index(drop=True))
    rest = {p.name: 0.0 if p.name.startswith("drift_") else 0.05 for p in hl.likelihood(law, many).parameter_list}
    figure = made_fit(law, many, rest | STEPS, draws=10).plot()
    assert len(many.tasks) > 6
    assert len(figure.axes) == 6
    assert figure.get_suptitle() == f"6 of {len(many.tasks)} tasks"
