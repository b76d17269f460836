"""Frontiers: the published ones, those of known laws against arithmetic, and what is refused."""

import json
import os
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from conftest import VALUE_TRUTH, example_of
from made_fit import made_fit
from matplotlib.collections import PolyCollection

import hyperlaw as hl
from benchmarks.published_rl import DMC, GYM
from hyperlaw.inference.refit import refit

EVERY = ("sample", "performance", "candidate")
LEVELS = [300.0, 500.0, 700.0, 900.0]


def laid_out(utd, batch, data, performance, *, delta, params=1e5):
    """A frontier of given data, shape (sample, performance, candidate), and batch sizes (candidate,)."""
    cost = hl.Budget(delta=delta)
    draws = xr.Dataset(
        {
            "data": (EVERY, data), "compute": (EVERY, cost.compute(utd, batch, data, params)),
            "budget": (EVERY, cost.total(utd, batch, data, params)),
            "batch_size": (("sample", "candidate"), np.tile(batch, (len(data), 1))),
        },
        {
            "performance": performance, "utd": ("candidate", utd), "params": ("candidate", np.full(len(utd), params)),
            "law": ("sample", ["a"] * len(data)),
        },
    )  # fmt: skip
    fitted = pd.DataFrame({"lowest": [1.0, 0.25], "highest": [9.0, 8.0]}, ["performance", "utd"])
    return hl.Frontier(draws, None, fitted)


@pytest.mark.parametrize("published", [GYM, DMC], ids=["gym", "dmc"])
def test_the_published_budget_laws(published):
    utd = np.geomspace(*published["range"], 100)
    batch = np.mean([10**b * utd ** published["slope"] for b in published["batch"]], axis=0)
    data = np.array([published["median"] * (c + (utd / b) ** -a) for a, b, c in published["fits"]])
    performance = 1000 - np.geomspace(published["below"], 200, 10)
    given = {"delta": published["delta"], "params": published["params"]}
    every = laid_out(utd, batch, data[None], performance, **given)
    # The two highest performances are withheld, as in the paper.
    lower = laid_out(utd, batch, data[None, :-2], performance[:-2], **given)
    factor, exponent = published["published"]
    np.testing.assert_allclose(lower.exponent, exponent, atol=0.002)
    assert lower.utd_at([1e15]).loc[1e15, "median"] == pytest.approx(factor * 1e15**exponent, rel=0.04)
    best = every.table["median"].unstack("quantity").iloc[-2:]
    predicted = lower.utd_at(best["budget"])["median"].to_numpy()
    np.testing.assert_allclose(predicted / best["utd"] - 1, published["beyond"], atol=0.002)
    # From the least data that any ratio allows to that of the least compute, compute falls.
    curve = every.curves[every.curves["performance"] == 800]
    assert curve["median"].is_monotonic_decreasing
    assert curve["data"].iloc[0] == pytest.approx(data[-1].min())
    assert curve["median"].iloc[-1] == pytest.approx(float(every.draws["compute"][0, -1].min()))


def known(law, spread=0.1):
    """A fit whose posterior is laid by hand around the truth, tasks apart: no sampler."""
    table, truth = example_of(law, 3), VALUE_TRUTH[law.name]
    rest = dict.fromkeys((p.name for p in hl.likelihood(law, table).parameter_list), 0.05)
    fit = made_fit(law, table, rest | truth, scattered=dict.fromkeys(truth, spread), draws=300)
    posterior = fit.tree["posterior"].to_dataset()
    apart = {n: v + 0.1 * np.arange(3) for n, v in posterior.items() if n.endswith("_task")}
    apart |= {n: xr.full_like(v, 0.1) for n, v in posterior.items() if n.endswith("_task_sd")}
    fit.tree["posterior"] = posterior.assign(apart)
    return fit


@pytest.fixture(scope="module")
def fits():
    return {"efficiency": known(hl.laws.DataEfficiency()), "hyperparameters": known(hl.laws.UTDHyperparameters())}


def ask(fits, **changes):
    given = {"performance": LEVELS, "cost": hl.Budget(delta=1e9), "params": 1e5, "task": "first", "despite": "by hand"}
    return hl.frontier(fits, **(given | changes))


@pytest.fixture(scope="module")
def found(fits):
    return ask(fits, utd=(0.25, 16.0))


def test_every_draw_has_its_own_cheapest_ratio(found):
    draws = found.draws
    assert draws["budget"].dims == EVERY
    assert draws.sizes == {"sample": 600, "performance": 4, "candidate": 80}
    np.testing.assert_allclose(draws["budget"], draws["compute"] + 1e9 * draws["data"])
    np.testing.assert_allclose(found.cheapest["budget"], draws["budget"].min("candidate"))
    row = found.cheapest.isel(sample=7, performance=2)
    at = int(draws["budget"][7, 2].values.argmin())
    assert float(row["utd"]) == float(draws["utd"][at])
    assert float(row["data"]) == float(draws["data"][7, 2, at])
    assert len(np.unique(found.cheapest["utd"][:, 2])) > 10


def test_the_table_has_intervals_of_all_that_is_chosen(found):
    table = found.table
    assert table.index.names == ["performance", "quantity"]
    assert set(table.index.unique("quantity")) == {"utd", "data", "compute", "budget", "batch_size", "learning_rate"}
    assert (table["lower"] <= table["median"]).all()
    assert (table["median"] <= table["upper"]).all()
    budgets = found.cheapest["budget"].sel(performance=700)
    np.testing.assert_allclose(
        table.loc[(700, "budget"), ["lower", "median", "upper"]].astype(float), budgets.quantile([0.05, 0.5, 0.95])
    )
    bound = table["p_bound"].dropna()
    assert set(bound.index.unique("quantity")) == {"utd"}
    utd = found.cheapest["utd"].sel(performance=900)
    assert bound.loc[(900, "utd")] == pytest.approx(float(((utd == 0.25) | np.isclose(utd, 16)).mean()))


def test_a_performance_beyond_those_fitted_takes_more(fits, found):
    beyond = ask(fits, utd=(0.25, 16.0), performance=[700, 1100])
    low, high = (beyond.table.loc[(level, "budget")] for level in (700, 1100))
    assert high["lower"] > low["median"]
    assert high["upper"] / high["lower"] > low["upper"] / low["lower"]
    assert beyond.fitted.loc["performance"].tolist() == [300, 900]
    pd.testing.assert_series_equal(low, found.table.loc[(700, "budget")])


def test_dear_data_are_worth_more_updates(fits):
    prices = [ask(fits, utd=(0.25, 16.0), cost=hl.Budget(delta=delta)) for delta in (1e7, 1e9, 1e11)]
    ratios = [one.table.loc[(700, "utd"), "median"] for one in prices]
    assert ratios == sorted(ratios)
    assert ratios[0] < ratios[2]


def with_overhead(params, batch_size):
    # <b>what an update costs however small it is</b>
    return 10 * params * batch_size + 1e12


def test_a_declared_price_of_updates_moves_the_cheapest_ratio_and_is_told(fits, found, tmp_path):
    same = ask(
        fits, utd=(0.25, 16.0),
        cost=hl.Budget(delta=1e9, flops_per_update=lambda params, batch_size: 10 * params * batch_size),
    )  # fmt: skip
    np.testing.assert_allclose(same.draws["budget"], found.draws["budget"], rtol=1e-12)
    dear = ask(fits, utd=(0.25, 16.0), cost=hl.Budget(delta=1e9, flops_per_update=with_overhead))
    updates = (dear.draws["utd"] * dear.draws["data"]).transpose(*EVERY)
    np.testing.assert_allclose(dear.draws["compute"] - found.draws["compute"], 1e12 * updates, rtol=1e-6)
    assert dear.table.loc[(700, "utd"), "median"] < found.table.loc[(700, "utd"), "median"]
    assert dear.cost["flops_per_update"] == "with_overhead(params, batch_size)"
    said = dear.explain()
    assert "Prices\n  An environment step costs 1e9 FLOPs, an update with_overhead(params, batch_size) FLOPs." in said
    assert said.endswith("    return 10 * params * batch_size + 1e12")
    assert "an update 10 * params * batch_size FLOPs." in found.explain()
    assert "an update with_overhead(params, batch_size) FLOPs." in " ".join(repr(dear).split())
    dear.report(tmp_path / "dear.html")
    page = (tmp_path / "dear.html").read_text(encoding="utf-8")
    assert "an update with_overhead(params, batch_size) FLOPs. An update was declared to cost" in page
    assert "&lt;b&gt;what an update costs" in page
    assert "<b>what an update costs" not in page


def test_the_frontier_as_json(found):
    told = json.loads(found.to_json())
    assert told["cost"] == {"delta": 1e9, "flops_per_update": "10 * params * batch_size", "source": None}
    assert {row["performance"] for row in told["table"]} == set(LEVELS)
    assert told["explanation"] == found.explain()
    assert (told["task"], told["despite"], told["checks_ok"]) == ("first", "by hand", False)
    by_hand = json.loads(power([1e2, 1e3, 1e4], 0.1, 0.4).to_json())
    assert (by_hand["cost"], by_hand["checks"]) == (None, None)
    assert "Prices" not in by_hand["explanation"]
    assert json.loads(laid_out(np.array([1.0, 2.0]), np.ones(2), np.ones((1, 1, 2)), [5.0], delta=1.0).to_json())[
        "exponent"
    ] == {"lower": None, "median": None, "upper": None}


def test_a_frontier_of_before_prices_were_kept_still_prints(found, tmp_path):
    old = pickle.loads(pickle.dumps(found))
    del old.__dict__["cost"]
    assert "At performance 300" in repr(old)
    assert "Prices" not in old.explain()
    old.report(tmp_path / "old.html")
    assert "An environment step costs" not in (tmp_path / "old.html").read_text(encoding="utf-8")


def test_a_declared_price_that_is_no_price_is_refused(fits):
    for wrong, text in (
        (
            lambda params, batch_size: 0 * params * batch_size,
            "finite numbers above zero; a lambda returned 0 at params",
        ),
        (lambda params, batch_size: params[:3], r"a lambda returned an array of shape \(3,\)"),
    ):
        with pytest.raises(ValueError, match=text):
            ask(fits, cost=hl.Budget(delta=1e9, flops_per_update=wrong))


def test_exponents_of_single_thresholds_are_those_of_its_performances(fits):
    free = known(hl.laws.DataEfficiencyByThreshold())
    one = ask(fits | {"efficiency": free}, performance=[700.0, 800.0])
    assert set(one.draws["law"].values) == {"DataEfficiencyByThreshold"}
    ratio = np.log(one.draws["data"].isel(candidate=0) / one.draws["data"].isel(candidate=-1))
    # Least and largest ratio tell exponents apart, in every draw, where a threshold has its own.
    own = np.log(free.draws["exponent_utd_threshold"].sel(threshold_level="700")).values.ravel()
    assert np.corrcoef(own, ratio.sel(performance=700.0))[0, 1] > 0.2
    assert abs(np.corrcoef(own, ratio.sel(performance=800.0))[0, 1]) < 0.2  # it was not fitted: its own is drawn


def test_ratios_are_those_of_the_crossings_when_left_out(fits):
    one = ask(fits)
    assert (float(one.draws["utd"].min()), float(one.draws["utd"].max())) == (1.0, pytest.approx(8.0))


def test_a_new_task_is_less_certain(fits, found):
    new = ask(fits, utd=(0.25, 16.0), task=None)
    rows = [one.table.loc[(700, "data")] for one in (new, found)]
    new_width, known_width = (np.log(row["upper"] / row["lower"]) for row in rows)
    assert new_width > known_width


def test_curves_are_the_least_compute_within_data():
    utd, batch = np.array([1.0, 2.0, 4.0]), np.array([10.0, 10.0, 10.0])
    # The ratio 4 takes more data and more compute than 2: it is never on the frontier.
    data = np.array([[[100.0, 60.0, 70.0]], [[200.0, 120.0, 140.0]]])
    curves = laid_out(utd, batch, data, [5.0], delta=1.0, params=1.0).curves
    assert set(curves["performance"]) == {5.0}
    compute = 10 * 10 * utd * data[:, 0]
    for row in curves.itertuples():
        least = [c[d <= row.data].min(initial=np.inf) for c, d in zip(compute, data[:, 0], strict=True)]
        assert [row.lower, row.upper] == sorted(least)
        assert row.p_reached == np.isfinite(least).mean()
    assert curves["upper"].iloc[0] == np.inf
    assert curves["p_reached"].tolist() == sorted(curves["p_reached"])


def power(budgets, factor, exponent, samples=40, optimum=0.3):
    """A frontier whose cheapest ratio is factor F^exponent in every draw, up to a tilt of the exponent."""
    utd = np.geomspace(0.1, 100, 400)
    tilt = np.linspace(-0.1, 0.1, samples)[:, None]
    best = factor * np.asarray(budgets) ** exponent * (np.asarray(budgets) / 1e3) ** tilt
    excess = optimum * np.log(utd / best[..., None]) ** 2
    wanted = np.asarray(budgets)[None, :, None] * np.exp(excess)
    cost = hl.Budget(delta=1.0)
    data = wanted / cost.total(utd, 1.0, 1.0, 1e-3)
    return laid_out(utd, np.ones(400), data, np.arange(1.0, len(budgets) + 1), delta=1.0, params=1e-3)


def test_the_exponent_is_that_of_every_draw():
    one = power([1e2, 1e3, 1e4], 0.1, 0.4)
    np.testing.assert_allclose(one.exponent, [0.4 - 0.09, 0.4, 0.4 + 0.09], atol=0.01)
    far = one.utd_at([1e3, 1e5])
    np.testing.assert_allclose(far.loc[1e3], 0.1 * 1e3**0.4, rtol=0.02)
    np.testing.assert_allclose(far.loc[1e5, "median"], 0.1 * 1e5**0.4, rtol=0.05)
    assert far.loc[1e5, "upper"] / far.loc[1e5, "lower"] > 2
    assert one.utd_at([1e12])["upper"].item() == pytest.approx(100)  # no more than was allowed


def test_a_budget_is_spent_at_the_ratio_that_wastes_least():
    one = power([1e2, 1e3, 1e4], 0.1, 0.4)
    at = one.recommend(risk=hl.Mean(), budget=1e3)
    assert at.setting["utd"] == pytest.approx(0.1 * 1e3**0.4, rel=0.02)
    np.testing.assert_allclose(at.table.loc["performance"], 2.0, atol=0.01)
    np.testing.assert_allclose(at.draws["compute"] + at.draws["data"], 1e3)
    assert at.table.loc["excess", "upper"] < 0.001
    between = one.recommend(risk=hl.Mean(), budget=10**3.5)
    assert 2 < between.table.loc["performance", "median"] < 3
    assert one.recommend(risk=hl.Mean(), budget=1e4).setting["utd"] > between.setting["utd"] > at.setting["utd"]
    assert between.p_beyond == 0
    assert not between.bounds
    assert between.ends == []
    beyond = replace(at, p_beyond=0.14, bounds=["utd at its largest allowed"])
    assert beyond.ends[0] == "It sits on an end: utd at its largest allowed."
    assert beyond.ends[1].startswith("In 14% of the draws the budget lies beyond the performances of the frontier: ")
    assert all(words in " ".join(repr(beyond).split()) for words in beyond.ends)


def test_a_recommendation_follows_the_attitude_to_risk():
    # Three draws in four want few updates, one in four wants many, and being wrong there is dear.
    utd, cheap = np.geomspace(1, 16, 9), np.array([1.0, 1.0, 1.0, 16.0])
    wrong = np.abs(np.log(utd / cheap[:, None])) * np.array([0.1, 0.1, 0.1, 10.0])[:, None]
    data = (np.exp(wrong) / hl.Budget(delta=1.0).total(utd, 1.0, 1.0, 1e-3))[:, None]
    one = laid_out(utd, np.ones(9), data, [5.0], delta=1.0, params=1e-3)
    assert one.recommend(risk=hl.Quantile(0.5), performance=5.0).setting["utd"] == 1
    cautious = one.recommend(risk=hl.CVaR(0.75), performance=5.0)
    assert cautious.setting["utd"] == pytest.approx(16)
    assert cautious.bounds == ["utd at its largest allowed"]
    assert cautious.draws["utd"].values.tolist() == pytest.approx(cheap.tolist())
    np.testing.assert_allclose(cautious.draws["excess"], np.exp(wrong[:, -1]) - 1)


def test_a_setting_has_batch_size_and_learning_rate(found):
    at = found.recommend(risk=hl.Mean(), performance=700)
    assert set(at.setting) == {"utd", "batch_size", "learning_rate"}
    assert at.setting["batch_size"] == at.table.loc["batch_size", "median"]
    assert at.table.loc["batch_size", "lower"] < at.setting["batch_size"] < at.table.loc["batch_size", "upper"]
    assert at.table.loc["excess", "lower"] >= 0
    budget = float(np.sqrt(np.prod(found.table["median"].xs("budget", level="quantity").loc[[500, 900]])))
    there = found.recommend(risk=hl.Mean(), budget=budget)
    assert 500 < there.table.loc["performance", "median"] < 900
    pd.testing.assert_frame_equal(there.table, found.recommend(risk=hl.Mean(), budget=budget).table)


def test_the_critics_size_is_chosen_where_it_is_left_open():
    efficiency, best = known(hl.laws.DataEfficiencyBySize()), known(hl.laws.UTDHyperparametersBySize())
    fits = {"efficiency": efficiency, "hyperparameters": best}
    sizes = {}
    for delta in (1e8, 1e12):
        one = ask(fits, cost=hl.Budget(delta=delta), params=None, performance=700.0)
        assert one.draws.sizes["candidate"] == 640
        sizes[delta] = one.table.loc[(700, "params"), "median"]
        assert one.table.loc[(700, "params"), "p_bound"] >= 0
        assert set(one.recommend(risk=hl.Mean(), performance=700).setting) >= {"utd", "params"}
        fixed = ask(fits, cost=hl.Budget(delta=delta), params=4e6, performance=700.0)
        assert "params" not in fixed.table.index.unique("quantity")
        assert one.table.loc[(700, "budget"), "median"] < 1.02 * fixed.table.loc[(700, "budget"), "median"]
    assert sizes[1e8] < sizes[1e12]  # the dearer the environment, the larger the critic
    assert list(one.fitted.index) == ["performance", "utd", "params"]


def test_a_mixture_keeps_which_law_a_draw_came_from(fits):
    other = known(replace(hl.laws.DataEfficiency(), pooling={"log_data": "shared"}), spread=0.2)
    mixed = fits | {"efficiency": {"a": fits["efficiency"], "b": other}}
    one = ask(mixed, weights={"a": 3, "b": 1})
    assert dict(one.draws["law"].to_series().value_counts()) == {"a": 450, "b": 150}
    halves = ask(mixed)
    assert (halves.draws["law"] == "a").mean() == 0.5
    only = ask(fits)
    part = one.draws["data"].sel(sample=one.draws["law"] == "a")
    assert float(part.median()) == pytest.approx(float(only.draws["data"].median()), rel=0.05)
    assert "law" in one.recommend(risk=hl.Mean(), performance=700).draws.coords


def test_the_optima_are_a_table_for_the_law_of_them(found):
    optima = found.optima()
    assert optima.estimated == ("utd",)
    assert optima.tasks == ("first",)
    np.testing.assert_allclose(optima.frame["budget"], found.table["median"].xs("budget", level="quantity"), rtol=0.01)
    np.testing.assert_allclose(optima.frame["utd"], found.table["median"].xs("utd", level="quantity"), rtol=0.03)
    assert (optima.frame["utd_error"] > 0.01).all()


def test_the_picture(found):
    figure = found.plot()
    left, right = figure.axes
    assert sum(isinstance(c, PolyCollection) for c in left.collections) == 4
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[:4] == [f"performance {level:g}" for level in LEVELS]
    assert labels[4:] == ["power of the budget, 90 %", "ratios measured, between"]
    assert left.get_xlabel() == "data (environment steps)"
    assert right.get_xlabel() == "budget (FLOPs)"
    assert f"budget^{found.exponent['median']:.2f}" in right.get_title()
    assert all(ax.get_xscale() == ax.get_yscale() == "log" for ax in figure.axes)
    figure.canvas.draw()


def test_of_one_performance_the_picture_has_one_panel_and_the_page_one_chart(fits, tmp_path):
    one = ask(fits, performance=500.0)
    assert len(one.plot().axes) == 1
    one.report(tmp_path / "one.html")
    text = (tmp_path / "one.html").read_text(encoding="utf-8")
    assert ('id="chart-curves"' in text, 'id="chart-ratios"' in text) == (True, False)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"utd": (4.0, 1.0)}, "utd must be a smallest and a larger ratio, both above zero; received"),
        ({"performance": []}, "performance must be a finite number, or one or more of them; received"),
        ({"performance": np.nan}, "performance must be a finite number, or one or more of them; received nan"),
        (
            {"performance": [500.0, 5e3]},
            r"performance 5000 would take data \S+ decades beyond the crossings, which reach",
        ),
        ({"task": "elsewhere"}, "'elsewhere' is not a task of the fit of DataEfficiency: first, second, third. Pass"),
        ({"params": 0.0}, "params must be finite and above zero, received 0.0"),
        ({"params": None}, "params is needed: an update costs in proportion to the critic's parameters"),
        ({"weights": {"other": 1.0}}, "weights must give a share, .* to each of DataEfficiency; received"),
    ],
)
def test_bad_questions_are_refused(fits, change, text):
    with pytest.raises(ValueError, match=text):
        ask(fits, **change)


def test_other_fits_are_refused(fits):
    with pytest.raises(ValueError, match=r"fits must be \{'efficiency': .*\}; received 'efficiency'"):
        ask({"efficiency": fits["efficiency"]})
    with pytest.raises(ValueError, match="received no fit of the efficiency"):
        ask(fits | {"efficiency": {}})
    with pytest.raises(TypeError, match="received a fit of UTDHyperparameters where DataEfficiency is needed"):
        ask(fits | {"efficiency": fits["hyperparameters"]})
    with pytest.raises(TypeError, match="received 3 where UTDHyperparameters is needed"):
        ask(fits | {"hyperparameters": 3})


def test_optima_without_batch_sizes_are_refused(fits):
    whole = fits["hyperparameters"]
    frame = whole.table.frame.drop(columns=["batch_size_error", "batch_size_low", "batch_size_high"])
    for without in (frame.drop(columns="batch_size"), frame):  # there are none, or they are given
        rates = replace(whole, table=hl.Optima.from_frame(without, estimated=("learning_rate",)))
        with pytest.raises(
            ValueError, match="needs the best batch size, but the optima that were fitted hold learning_rate alone"
        ):
            ask(fits | {"hyperparameters": rates})


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({}, "pass either budget= or performance=; received None and None"),
        ({"budget": 1e15, "performance": 500}, "pass either budget= or performance="),
        ({"performance": 555}, "performance must be one of the frontier's, 300, 500, 700, 900; received 555"),
        ({"budget": -1.0}, r"a budget must be finite and above zero, received \[-1.0\]"),
        ({"budget": 1e30}, "budget 1e.30 lies outside what these .* FLOPs .medians.. Name higher performances"),
        ({"budget": 1e3}, "Name lower performances"),
    ],
)
def test_bad_budgets_are_refused(found, asked, text):
    with pytest.raises(ValueError, match=text):
        found.recommend(risk=hl.Mean(), **asked)


def test_a_budget_lies_between_performances(fits):
    one = ask(fits, performance=500)
    for question in (lambda: one.utd_at([1e15]), lambda: one.recommend(risk=hl.Mean(), budget=1e15)):
        with pytest.raises(
            ValueError, match=r"a budget needs two performances or more to lie between, .* has one, 500"
        ):
            question()
    assert one.exponent.isna().all()


@pytest.mark.skipif("HYPERLAW_PUBLIC_SWEEPS" not in os.environ, reason="HYPERLAW_PUBLIC_SWEEPS is not set")
def test_published_curves_give_a_frontier():
    """arXiv 2502.04327: SAC on four Gym environments, from raw learning curves to a setting."""
    folder = Path(os.environ["HYPERLAW_PUBLIC_SWEEPS"])
    units = {"Ant-v4": 6625, "HalfCheetah-v4": 9800, "Humanoid-v4": 6450, "Walker2d-v4": 4950}
    crossings = {}
    for which in ("sweep", "tuned"):
        frame = pd.read_csv(folder / f"rl_gym_{which}_curves.csv.gz")
        frame["performance"] = frame["return"] / frame["env"].map(units) * 1000
        curves = hl.Curves.from_frame(frame, task="env", data="env_step")
        crossings[which] = curves.crossings([300.0, 400.0, 500.0, 600.0, 700.0, 800.0], seed=0)
    fits = {
        "efficiency": refit(hl.laws.DataEfficiency(), crossings["tuned"], seed=0),
        "hyperparameters": refit(hl.laws.UTDHyperparameters(), crossings["sweep"].optima(), seed=0),
    }
    given = {"performance": [400, 600, 800], "cost": hl.Budget(delta=4e9), "utd": (0.25, 16.0), "params": 1.5e5}
    for task in units:
        one = hl.frontier(fits, task=task, despite="short chains", **given)
        # Published, averaged over the environments: a ratio of 6.3 at 800, 1.9e15 FLOPs and 3.2e5 environment steps.
        for quantity, published, factor in (("utd", 6.35, 3), ("budget", 1.91e15, 3), ("data", 3.2e5, 3)):
            row = one.table.loc[(800, quantity)]
            assert row["lower"] / factor < published < row["upper"] * factor
