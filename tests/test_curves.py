import re

import numpy as np
import pandas as pd
import pytest

from hyperlaw.data.crossings import Crossings
from hyperlaw.data.curves import Curves

STEPS = np.arange(1000.0, 100_001.0, 1000.0)
RATES, BATCHES = (1e-4, 2e-4, 4e-4), (64.0, 128.0, 256.0)
NOMINAL = 1.645


def curve(halfway, steps=STEPS):
    return 1000 * (1 - 2 ** (-steps / halfway))


def table(seeds=4, settings=({"utd": 1.0},), noise=20.0, spread=0.1, halfway=2e4, steps=STEPS, seed=0):
    rng = np.random.default_rng(seed)
    parts = []
    for setting in settings:
        slow = setting.get("slow", 1.0)
        for number in range(seeds):
            own = halfway * slow * np.exp(spread * rng.normal())
            performance = curve(own, steps) + noise * rng.normal(size=len(steps))
            columns = {name: value for name, value in setting.items() if name != "slow"}
            parts.append(pd.DataFrame(columns | {"seed": number, "data": steps, "performance": performance}))
    return pd.concat(parts, ignore_index=True)


def grid(tasks=("a",), utds=(1.0, 2.0), best=(2e-4, 128.0), rates=RATES, batches=BATCHES):
    """Settings of a sweep whose data needed is quadratic in logs around `best`."""
    return [
        {
            "task": task, "utd": utd, "learning_rate": rate, "batch_size": batch,
            "slow": np.exp(0.5 * np.log(rate / best[0]) ** 2 + 0.5 * np.log(batch / best[1]) ** 2),
        }
        for task in tasks for utd in utds for rate in rates for batch in batches
    ]  # fmt: skip


@pytest.fixture(scope="module")
def swept():
    return Curves.from_frame(table(settings=grid(), noise=5, spread=0.05)).crossings([300, 600], bootstrap=50, seed=0)


def test_columns_of_other_names():
    source = table(settings=[{"env": "ant", "sigma": 2.0, "N": 1e5, "lr": 1e-4, "bs": 64}]).rename(
        columns={"data": "env_step", "performance": "return", "seed": "try"}
    )
    curves = Curves.from_frame(
        source, data="env_step", performance="return", utd="sigma", params="N", learning_rate="lr", batch_size="bs",
        task="env", seed="try",
    )  # fmt: skip
    assert list(curves.frame.columns) == [
        "task", "params", "utd", "learning_rate", "batch_size", "seed", "data", "performance"
    ]  # fmt: skip
    assert curves.tasks == ("ant",)
    assert curves.scales == ("params", "utd")
    assert curves.headline == "Curves: 400 points of 1 setting with 4 seeds, 1 task; params 100k, utd 2"


def test_a_curve_without_noise_crosses_at_the_first_logged_step():
    crossings = Curves.from_frame(table(noise=0, spread=0)).crossings([250, 500, 750], seed=0)
    frame = crossings.frame
    assert frame["data"].tolist() == [9000, 20000, 40000]
    assert frame["level"].tolist() == [0, 1, 2]
    assert frame["reached"].all()
    assert frame["seeds"].tolist() == [4] * 3
    assert frame["start"].tolist() == [1000] * 3
    assert frame["limit"].tolist() == [1e5] * 3
    np.testing.assert_allclose(frame["error"], 1000 / frame["data"] / np.sqrt(12))
    assert crossings.headline == "Crossings: 3 (0 never reached) of 3 thresholds, 1 task; utd 1"


def test_what_is_never_reached_is_censored_at_the_last_common_step():
    source = table(noise=0, spread=0)
    source = source[(source["seed"] > 0) | (source["data"] <= 50_000)]
    crossings = Curves.from_frame(source).crossings([500, 900], seed=0)
    assert crossings.frame["reached"].tolist() == [True, False]
    assert crossings.frame["data"].tolist() == [20_000, 50_000]
    points = crossings.points()
    assert points["quantity"].tolist() == ["data"] * 2
    assert points["value"].tolist() == [20_000, 50_000]
    assert points["high"].tolist() == [50_000, 50_000]
    assert points["low"].tolist() == [1000, 1000]
    assert (points["error"] > 0).all()


def test_what_is_reached_at_the_first_step_was_reached_there_or_before():
    points = Curves.from_frame(table(noise=0, spread=0)).crossings([-5, 500], seed=0).points()
    assert points["value"].tolist() == [1000, 20_000]
    assert (points["value"] <= points["low"]).tolist() == [True, False]
    assert points["error"].iloc[0] == pytest.approx(1 / np.sqrt(12))


def test_what_is_reached_at_the_last_step_is_not_one_sided():
    points = Curves.from_frame(table(noise=0, spread=0, steps=STEPS[:20])).crossings([500], seed=0).points()
    assert points["value"].tolist() == [20_000]
    assert points["high"].tolist() == [np.inf]


def test_steps_at_zero_are_left_out():
    source = table(noise=0, spread=0)
    zero = source[source["data"] == 1000].assign(data=0.0, performance=900.0)
    curves = Curves.from_frame(pd.concat([zero, source], ignore_index=True))
    assert curves.crossings([250], seed=0).frame["data"].tolist() == [9000]


def test_seeds_logged_at_other_steps_are_interpolated():
    coarse = table(seeds=1, noise=0, spread=0, steps=STEPS[4::5])
    fine = table(seeds=1, noise=0, spread=0, steps=STEPS - 300).assign(seed=1)
    frame = Curves.from_frame(pd.concat([coarse, fine], ignore_index=True)).crossings([490], seed=0).frame
    assert frame["data"].tolist() == [20_000]
    assert frame["start"].tolist() == [5000]
    assert frame["limit"].tolist() == [95_000]
    assert frame["error"].iloc[0] >= 5000 / 20_000 / np.sqrt(12)


def test_crossings_rise_with_the_threshold():
    thresholds = np.linspace(-200, 1200, 60)
    curves = Curves.from_frame(table(noise=300, spread=0.5, settings=[{"utd": float(i)} for i in range(1, 6)]))
    crossings = curves.crossings(thresholds, bootstrap=20, seed=0)
    for _, rows in crossings.frame.groupby("utd"):
        assert (np.diff(rows["data"]) >= 0).all()
        assert not (np.diff(rows["reached"].astype(int)) > 0).any()
        assert (crossings._draws[rows.index][1:] >= crossings._draws[rows.index][:-1]).all()


def test_stated_errors_cover():
    spread, halfway = 0.3, 2e4
    source = table(8, [{"utd": float(i)} for i in range(1, 201)], 60.0, spread, halfway)
    crossings = Curves.from_frame(source).crossings([500, 800], seed=0)
    many = halfway * np.exp(spread * np.random.default_rng(1).normal(size=(4000, 1)))
    truth = np.interp([500, 800], curve(many, STEPS[None]).mean(axis=0), STEPS)
    for level, rows in crossings.frame.groupby("level"):
        covered = np.abs(np.log(rows["data"] / truth[level])) < NOMINAL * rows["error"]
        assert 0.80 <= covered.mean() <= 0.97


def test_the_error_of_few_draws_that_reached_counts_the_others_at_the_limit():
    source = pd.concat([table(seeds=1, noise=0, spread=0, halfway=h).assign(seed=i) for i, h in enumerate((2e4, 8e5))])
    crossings = Curves.from_frame(source).crossings([600], bootstrap=400, seed=0)
    drawn = crossings._draws[0]
    reached = np.isfinite(drawn)
    assert 0.15 < reached.mean() < 0.35
    counted = np.log(np.minimum(drawn, 1e5)).std(ddof=1) * np.sqrt(2)
    np.testing.assert_allclose(crossings.frame["error"], counted)


def test_a_single_seed_has_the_logging_interval_for_an_error():
    frame = Curves.from_frame(table(seeds=1).drop(columns="seed")).crossings([500], seed=0).frame
    np.testing.assert_allclose(frame["error"], 1000 / frame["data"] / np.sqrt(12))


def test_the_same_seed_makes_the_same_draws():
    curves = Curves.from_frame(table(spread=0.5))
    one, two, other = (curves.crossings([500], seed=seed) for seed in (0, 0, 1))
    assert one.digest == two.digest
    assert one.digest != other.digest
    assert one.frame["data"].equals(other.frame["data"])


def test_thresholds_of_each_task():
    settings = [{"task": "a", "utd": 1.0}, {"task": "b", "utd": 1.0}]
    curves = Curves.from_frame(table(noise=0, spread=0, settings=settings))
    frame = curves.crossings({"a": [750, 250], "b": [500]}, seed=0).frame
    assert frame["task"].tolist() == ["a", "a", "b"]
    assert frame["threshold"].tolist() == [250, 750, 500]
    assert frame["level"].tolist() == [0, 1, 0]
    assert frame["data"].tolist() == [9000, 40_000, 20_000]


def test_settings_keep_their_hyperparameters(swept):
    assert len(swept) == 2 * 9 * 2
    assert swept.scales == ("utd",)
    assert list(swept.frame.columns) == [
        "task", "utd", "learning_rate", "batch_size", "threshold", "level", "data", "error", "reached", "start",
        "limit", "seeds",
    ]  # fmt: skip


def test_where_keeps_draws_beside_their_rows(swept):
    left = swept.where((swept.frame["level"] == 1) & (swept.frame["utd"] == 2))
    assert len(left) == 9
    np.testing.assert_array_equal(left._draws, swept._draws[left.labels])
    whole = swept.optima().where(swept.optima().frame["utd"] == 2)
    assert left.optima().digest == whole.digest


def test_best_is_the_setting_that_needs_the_fewest_data(swept):
    best = swept.best()
    assert len(best) == 4
    fewest = swept.frame.groupby(["utd", "level"])["data"].min()
    np.testing.assert_array_equal(best.frame.set_index(["utd", "level"])["data"], fewest)
    assert best._draws.shape == (4, 50)


def test_best_of_none_that_reached_was_seen_for_the_shortest():
    source = pd.DataFrame({
        "utd": [1, 1, 2, 2], "learning_rate": [1e-4, 2e-4, 1e-4, 2e-4], "threshold": 500,
        "data": [9e4, 5e4, 8e4, 5e4], "reached": [False, False, True, False],
    })  # fmt: skip
    best = Crossings.from_frame(source).best().frame
    assert best["data"].tolist() == [5e4, 8e4]
    assert best["reached"].tolist() == [False, True]


def test_the_best_setting_is_found_within_its_errors(swept):
    for level in (None, 0):
        optima = swept.optima(level)
        assert optima.estimated == ("learning_rate", "batch_size")
        assert optima.scales == ("utd",)
        for name, truth in {"learning_rate": 2e-4, "batch_size": 128.0}.items():
            error = optima.frame[f"{name}_error"]
            assert (error >= np.log(2) / np.sqrt(36) - 1e-12).all()
            assert (error < 0.3).all()
            assert (np.abs(np.log(optima.frame[name] / truth)) < 3 * error).all()


def test_errors_of_the_best_setting_cover():
    rng = np.random.default_rng(0)
    settings, truth = [], []
    for i in range(40):
        best = np.array([2e-4, 128.0]) * np.exp(rng.uniform(-0.35, 0.35, 2))
        settings += grid(utds=(1.0 + i,), best=best)
        truth.append(best)
    optima = Curves.from_frame(table(5, settings, spread=0.1)).crossings([500], bootstrap=50, seed=0).optima().frame
    for i, name in enumerate(("learning_rate", "batch_size")):
        misses = np.abs(np.log(optima[name] / np.array(truth)[:, i]))
        assert (misses < NOMINAL * optima[f"{name}_error"]).mean() >= 0.8
        assert (misses < 3 * optima[f"{name}_error"]).all()


def test_an_optimum_on_the_end_of_the_grid_is_one_sided():
    settings = grid(best=(9e-4, 32.0))
    optima = Curves.from_frame(table(settings=settings, noise=5)).crossings([100], bootstrap=20, seed=0).optima()
    assert optima.frame["learning_rate"].tolist() == [4e-4] * 2
    assert optima.frame["batch_size"].tolist() == [64.0] * 2
    assert "(2 one-sided)" in repr(optima)


def test_ties_are_averaged_in_logs():
    frame = pd.DataFrame({"utd": 1.0, "threshold": 1.0, "learning_rate": [1e-4, 2e-4, 4e-4], "data": 9e3})
    draws = np.array([[9e3, 9e3, np.inf], [9e3, 9e3, np.inf], [1e4, 9e3, np.inf]])
    crossings = Crossings(Crossings.from_frame(frame).frame, draws)
    best = crossings.optima().frame
    ln = np.array([np.log(np.sqrt(2) * 1e-4), np.log(2e-4)])
    assert np.log(best["learning_rate"].iloc[0]) == pytest.approx(ln.mean())
    expected = np.hypot(ln.std(ddof=1), np.log(2) / np.sqrt(12))
    assert best["learning_rate_error"].iloc[0] == pytest.approx(expected)


def test_a_hyperparameter_with_one_value_is_given():
    settings = grid(rates=(2e-4,))
    optima = Curves.from_frame(table(settings=settings)).crossings([500], bootstrap=10, seed=0).optima()
    assert optima.estimated == ("batch_size",)
    assert optima.frame["learning_rate"].tolist() == [2e-4] * 2
    assert "correlation" not in optima.frame


def test_published_crossings_are_typed_in():
    source = pd.DataFrame({"sigma": [1, 2], "J": [800, 800], "D": [9e5, 1e6], "sd": [0.3, 0.4], "ok": [True, False]})
    crossings = Crossings.from_frame(source, utd="sigma", threshold="J", data="D", error="sd", reached="ok")
    frame = crossings.frame
    assert frame["level"].tolist() == [0, 0]
    assert frame["limit"].tolist() == [np.inf, 1e6]
    assert crossings.points()["high"].tolist() == [np.inf, 1e6]
    assert crossings.points()["error"].tolist() == [0.3, 0.4]
    assert (
        Crossings.from_frame(source[["sigma", "J", "D"]], utd="sigma", threshold="J", data="D").frame["reached"].all()
    )
    assert crossings.headline == "Crossings: 2 (1 never reached) of 1 threshold, 1 task; utd 1 to 2"


def plain(**columns):
    return pd.DataFrame({"utd": [1.0, 2.0], "threshold": [500, 500], "data": [2e4, 1e4]}).assign(**columns)


def one(**columns):
    return table(seeds=2, steps=STEPS[:5]).assign(**columns)


def uneven():
    settings = [s for s in grid() if s["utd"] == 1 or s["batch_size"] == 64]
    return Curves.from_frame(table(2, settings)).crossings([100], bootstrap=2, seed=0)


REFUSED = {
    "no scale": (
        lambda: Curves.from_frame(one().drop(columns="utd")),
        "no scale was named: pass utd= or params= with the column that holds the updates-to-data ratio or the "
        "parameter count, or one number for every row. The columns are: seed, data, performance.",
    ),
    "negative steps": (
        lambda: Curves.from_frame(one(data=-1.0)),
        "column 'data' must be finite and not negative, but is not in 10 rows: 0 (-1.0)",
    ),
    "no performance": (
        lambda: Curves.from_frame(one(performance=[np.inf, *[1.0] * 9])),
        "column 'performance' must be finite, but is not in 1 row: 0 (inf).",
    ),
    "repeats": (
        lambda: Curves.from_frame(one(seed=0)),
        "10 rows repeat another point (task, utd, seed, data all equal), first rows 0, 1, 2, 3. Drop the repeats, or "
        "name the column that tells them apart",
    ),
    "points of curves": (
        lambda: Curves.from_frame(one()).points(),
        "learning curves are not fitted as they are: make crossings of them first, such as curves.crossings([300, 500",
    ),
    "no thresholds": (
        lambda: Curves.from_frame(one()).crossings([], seed=0),
        "thresholds must be finite numbers, one or more, none repeated; task 'all' has [].",
    ),
    "threshold twice": (
        lambda: Curves.from_frame(one()).crossings([5, 5], seed=0),
        "thresholds must be finite numbers, one or more, none repeated; task 'all' has [5, 5].",
    ),
    "thresholds of other tasks": (
        lambda: Curves.from_frame(one()).crossings({"ant": [5]}, seed=0),
        "thresholds by task must name each of 'all' and no other, received 'ant'.",
    ),
    "one draw": (
        lambda: Curves.from_frame(one()).crossings([5], bootstrap=1, seed=0),
        "bootstrap must be a whole number from 2 (100 is usual), received 1.",
    ),
    "no common steps": (
        lambda: Curves.from_frame(one(data=np.arange(1.0, 11.0))).crossings([5], seed=0),
        "task all, utd 1.0: its 2 seeds have 0 logged steps in common, from 6 (the last to start) to 5",
    ),
    "only step zero": (
        lambda: Curves.from_frame(one(data=[0.0] * 10, seed=range(10))).crossings([5], seed=0),
        "no row has data above zero: a curve needs steps to be read. The last data seen is 0.",
    ),
    "no threshold": (lambda: Crossings.from_frame(plain().drop(columns="threshold")), "there is no column 'threshold'"),
    "reached beyond the limit": (
        lambda: Crossings.from_frame(plain(limit=[1e5, 5e3])),
        "data must lie between start and limit, but does not in 1 row, first 1: 10000 with start 0 and limit 5000. "
        "Mark what was never reached in a column `reached`.",
    ),
    "no draws": (
        lambda: Crossings.from_frame(plain(batch_size=64)).optima(),
        "these crossings hold no bootstrap draws, so the error of their optimum is unknown. Make them with",
    ),
    "level": (
        lambda: uneven().optima(3),
        "level 3 is missing for 2 of 2 cells, first task a, utd 1.0; the levels are 0 to 0.",
    ),
    "never reached": (
        lambda: Curves.from_frame(table(2, grid())).crossings([100, 2000], bootstrap=2, seed=0).optima(),
        "2 of 2 cells reached the threshold in fewer than two of 2 draws, first task a, utd 1.0, threshold 2000.0: "
        "nothing says what was best there. Pass a lower level=",
    ),
    "nothing to choose from": (
        lambda: Curves.from_frame(one()).crossings([5], bootstrap=2, seed=0).optima(),
        "no learning rate or batch size has several values in a cell: there is nothing to choose from.",
    ),
    "one batch size in some cells": (
        lambda: uneven().optima(),
        "1 of 2 cells have a single batch_size, first task a, utd 2.0, while others have several: leave them out",
    ),
    "nothing left": (
        lambda: (lambda c: c.where(c.frame["data"] < 0))(Crossings.from_frame(plain())),
        "no row is left: `keep` is false for all 2 rows.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_reason_rows_and_what_is_allowed(case):
    make, text = REFUSED[case]
    with pytest.raises(ValueError, match=re.escape(text)):
        make()
