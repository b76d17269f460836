import re
import sys

import numpy as np
import pandas as pd
import pytest
from conftest import TARGET, TRUTH, grid, simulate
from made_fit import made_fit

import hyperlaw as hl
from hyperlaw.data.vocabulary import RUN_SCALES
from hyperlaw.diagnostics.backtest import backtest
from hyperlaw.diagnostics.baselines.settings import RECIPES
from hyperlaw.diagnostics.ground_truth import ground_truth
from hyperlaw.diagnostics.score_settings import LEVELS, REPLICATES, _subsample, score_law, score_setting
from hyperlaw.diagnostics.withheld import withheld

RISK = {"mean": hl.Mean(), "cvar90": hl.CVaR(0.9)}
LAW = {"StepLaw": hl.laws.StepLaw()}
SIX = {"sizes": (1e6, 2e6, 4e6), "data": (1e8, 4e8)}
FORMULAS = ("Step Law formula", "DeepSeek formula")


@pytest.fixture(scope="module")
def runs():
    return simulate(hl.laws.StepLaw(), grid(**SIX), seed=3)


@pytest.fixture(scope="module")
def tested(runs):
    return backtest(LAW, runs, seed=0, hold_out="largest", risks=RISK, sparse=12, repeats=2, progress=False)


def test_a_stuck_refit_is_said_and_not_scored(runs, monkeypatch):
    module = sys.modules["hyperlaw.diagnostics.backtest"]
    law, found = hl.laws.StepLaw(), iter([{"divergences": 0, "r_hat": 1e16}, {"divergences": 3, "r_hat": 1.01}])
    monkeypatch.setattr(module, "refit", lambda model, table, *, seed, keep: made_fit(law, table, TRUTH, draws=200))
    monkeypatch.setattr(module, "quality", lambda fit: next(found))
    some = backtest(LAW, runs, seed=0, risks=RISK, sparse=12, repeats=2, progress=False)
    assert some.failed.to_dict("records") == [
        {"method": "StepLaw", "repeat": 0, "part": 0, "divergences": 0, "r_hat": 1e16}
    ]
    scored = some.table[some.table["method"] == "StepLaw"]
    assert set(scored["repeat"]) == {1}
    assert (scored["divergences"] == 3).all()
    assert "1 refits failed, and are not counted: see `failed`." in repr(some)


def test_where_every_refit_is_stuck_the_recipes_are_left(runs, monkeypatch):
    module, law = sys.modules["hyperlaw.diagnostics.backtest"], hl.laws.StepLaw()
    monkeypatch.setattr(module, "refit", lambda model, table, *, seed, keep: made_fit(law, table, TRUTH, draws=200))
    monkeypatch.setattr(module, "quality", lambda fit: {"divergences": 0, "r_hat": 1e16})
    none = backtest(LAW, runs, seed=0, risks=RISK, sparse=12, repeats=1, progress=False)
    assert len(none.failed) == 1
    assert "StepLaw" not in none.summary.index.get_level_values("method")
    assert none.summary["regret"].notna().any()
    assert none.summary["covered_regret"].isna().all()
    assert none.plot().axes


def test_one_row_a_method_cell_repeat_and_risk(tested, runs):
    table = tested.table
    assert list(table.columns[:4]) == ["method", "cell", "repeat", "risk"]
    assert not table.duplicated(["method", "cell", "repeat", "risk"]).any()
    largest = set(runs.cells.index[runs.cells["params"] == 4e6])
    for method, risks in {"StepLaw": {"mean", "cvar90"}, **{name: {""} for name in RECIPES}}.items():
        rows = table[table["method"] == method]
        assert set(rows["risk"]) == risks
        assert set(rows["cell"]) == largest
        assert len(rows) == 2 * 2 * len(risks)


def test_the_table_has_the_columns_that_others_rely_on(tested):
    needed = {
        "method", "cell", "repeat", "risk", "learning_rate", "batch_size", "regret", "regret_q90",
        "covered_learning_rate", "covered_batch_size", "covered_loss", "covered_runs", "regret_nearest", "log_score",
        "crps", "decades", "divergences", "r_hat", "covered_regret", "covered_loss_50", "covered_runs_80",
    }  # fmt: skip
    assert needed <= set(tested.table.columns)


def test_regret_is_that_of_the_choice_in_the_withheld_runs(tested, runs):
    frame = runs.frame
    for _, row in tested.table.iterrows():
        truth = ground_truth(frame[frame["cell"] == row["cell"]], row[["learning_rate", "batch_size"]])
        assert row["regret"] == pytest.approx(truth.regret_surface)
        assert row["regret_nearest"] == pytest.approx(truth.regret_nearest)


def test_the_law_that_made_the_runs_chooses_well(tested):
    rows = tested.table[tested.table["method"] == "StepLaw"]
    assert rows["regret"].mean() < 0.01  # a learning rate that is off by a factor of two costs 0.024
    assert rows["covered_runs_50"].le(rows["covered_runs_80"]).all()
    assert rows["covered_runs_80"].le(rows["covered_runs"]).all()
    assert rows["decades"].to_numpy() == pytest.approx(np.log10(2))
    assert rows["r_hat"].lt(1.1).all()


@pytest.mark.parametrize("sweeps", [2, pytest.param(25, marks=pytest.mark.slow)])
def test_intervals_of_a_posterior_that_is_the_truth_hold_as_often_as_they_say(sweeps):
    """Parameters at their truth, and new cells: six of each simulated sweep, independent but for their law."""
    truth = TRUTH | {name: 1e-9 for name in TRUTH if name.startswith(("params_sd_", "data_sd_"))}
    law, scores = hl.laws.StepLaw(), []
    for seed in range(sweeps):
        runs = simulate(law, grid(**SIX), seed=seed, truth=truth)
        exact = made_fit(law, runs, truth, draws=250, seed=seed)
        for _, cell in runs.frame.groupby("cell"):
            at = {name: cell[name].iloc[0] for name in ("params", "data")}
            scores += score_law(exact, at, cell, {"mean": hl.Mean()})
    table = pd.DataFrame(scores)
    for level in LEVELS:
        suffix, nominal = "" if level == 90 else f"_{level}", level / 100
        runs_held = table[f"covered_runs{suffix}"]  # the runs of a cell share its lowest loss
        assert abs(runs_held.mean() - nominal) < 4 * runs_held.std() / np.sqrt(len(table))
        for name in ("learning_rate", "batch_size", "loss"):
            held = table[f"covered_{name}{suffix}"].dropna().astype(float)
            assert abs(held.mean() - nominal) < 4 * np.sqrt(nominal * (1 - nominal) / len(held)), (name, level)
    for name in ("learning_rate", "batch_size", "loss"):
        share = table[f"pit_{name}"].dropna()
        assert abs(share.mean() - 0.5) < 4 / np.sqrt(12 * len(share)), name
    assert table["covered_regret"].dropna().astype(float).mean() > 0.9 - 4 * np.sqrt(0.09 / len(table))


def test_subsamples_differ_and_are_set_by_the_seed(runs):
    drawn = [_subsample(runs, 8, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert drawn[0].digest == drawn[1].digest
    assert drawn[0].digest != drawn[2].digest
    assert (drawn[0].cells["runs"] == 8).all()


def test_the_summary_averages_the_table(tested):
    rows = tested.table[(tested.table["method"] == "StepLaw") & (tested.table["risk"] == "mean")]
    summary = tested.summary.loc[("StepLaw", "mean")]
    assert summary["cells"] == len(rows)
    assert summary["regret"] == pytest.approx(rows["regret"].mean())
    assert summary["regret_worst"] == pytest.approx(rows["regret"].max())
    assert summary["covered_loss"] == pytest.approx(rows["covered_loss"].astype(float).mean())
    assert "withheld params 4M" in repr(tested)


def test_without_losses_to_compare_nothing_is_covered(fit):
    large = large_cell()
    score = score_law(fit, TARGET, large, RISK)[0]
    worse = score_law(fit, TARGET, large.assign(loss=large["loss"] + 2), RISK)[0]
    assert score["covered_runs"] > 0.8
    assert worse["covered_runs"] == 0
    assert worse["log_score"] < score["log_score"] - 2
    assert worse["crps"] == pytest.approx(score["crps"] + 2, abs=0.3)
    assert worse["covered_loss"] is False
    assert worse["pit_loss"] == 1
    # The optimum's place does not depend on the level of the loss.
    assert worse["covered_learning_rate"] == score["covered_learning_rate"]
    assert worse["pit_batch_size"] == score["pit_batch_size"]


def test_intervals_are_nested_and_take_in_the_target_noise(fit):
    score = score_law(fit, TARGET, large_cell(), RISK)[0]
    for name in ("learning_rate", "batch_size", "loss"):
        held = [score[f"covered_{name}" + ("" if level == 90 else f"_{level}")] for level in LEVELS]
        assert held == sorted(held)
        inner = min(score[f"pit_{name}"], 1 - score[f"pit_{name}"])
        for level, inside in zip(LEVELS, held, strict=True):
            beyond = inner - (0.5 - level / 200)
            # Between two simulated estimates the end of an interval is interpolated.
            assert inside == (beyond > 0) or abs(beyond) < 2 / REPLICATES


def test_a_cell_without_an_optimum_is_not_scored_on_it(fit):
    large = large_cell()
    edge = large[large["batch_size"] <= large["batch_size"].min()]
    score = score_law(fit, TARGET, edge, RISK)[0]
    assert np.isnan(score["regret"])
    assert score["covered_learning_rate"] is None
    assert score["covered_regret"] is None
    assert np.isfinite(score["covered_runs"])


def large_cell():
    frame = hl.load_sweep("lm_adam").frame
    return frame[(frame["params"] == TARGET["params"]) & (frame["data"] == TARGET["data"])]


EXACT = {"params": -0.4, "data": 0.2}
BATCH = {"params": 0.1, "data": 0.5}


def exact_runs():
    """Losses without noise around power laws, on grids that hold each cell's optimum."""
    rows = []
    for params in (1e6, 4e6):
        for data in (1e8, 4e8, 1.6e9):
            rate, batch = exact({"params": params, "data": data})
            for i in range(-3, 4):
                for j in range(-3, 4):
                    u, v = i * np.log(2) / 2, j * np.log(2)
                    loss = 3 - 0.1 * np.log(data / 1e8) - 0.1 * np.log(params / 1e6) + 0.05 * u**2 + 0.02 * v**2
                    rows.append((params, data, rate * np.exp(u), batch * np.exp(v), loss))
    return hl.Runs.from_frame(pd.DataFrame(rows, columns=["params", "data", "learning_rate", "batch_size", "loss"]))


def exact(at):
    ratio = {"params": at["params"] / 1e6, "data": at["data"] / 1e8}
    rate, batch = 3e-3, 2.0**14
    for name in ratio:
        rate, batch = rate * ratio[name] ** EXACT[name], batch * ratio[name] ** BATCH[name]
    return rate, batch


@pytest.mark.parametrize("name", ["argmin regression", "near-optimal regression", "quadratic regression"])
def test_regressions_recover_exact_power_laws(name):
    at = {"params": 1.6e7, "data": 6.4e9}
    setting = RECIPES[name](exact_runs(), at)
    assert (setting["learning_rate"], setting["batch_size"]) == pytest.approx(exact(at))


def test_a_regression_needs_as_many_cells_as_it_has_slopes():
    runs = exact_runs()
    few = runs.where(runs.frame["cell"].isin([0, 4]))
    assert RECIPES["argmin regression"](few, {"params": 1.6e7, "data": 6.4e9}) is None


def test_a_scale_that_does_not_vary_is_left_out_of_a_regression():
    runs = exact_runs()
    one_size = runs.where(runs.frame["params"] == 1e6)
    setting = RECIPES["argmin regression"](one_size, {"params": 4e6, "data": 6.4e9})
    assert (setting["learning_rate"], setting["batch_size"]) == pytest.approx(exact({"params": 1e6, "data": 6.4e9}))


def test_width_beside_parameters_does_not_stop_a_regression():
    runs = exact_runs()
    both = hl.Runs.from_frame(runs.frame.assign(width=np.sqrt(runs.frame["params"])))
    at = {"params": 1.6e7, "width": 4000.0, "data": 6.4e9}
    assert RECIPES["argmin regression"](both, at) == pytest.approx(RECIPES["argmin regression"](runs, at))


def test_reusing_means_the_best_run_of_the_largest_cell():
    setting = RECIPES["reuse best"](exact_runs(), {})
    assert (setting["learning_rate"], setting["batch_size"]) == pytest.approx(exact({"params": 4e6, "data": 1.6e9}))


def test_published_formulas():
    at = {"params": 7e9, "data": 1.4e12}
    assert RECIPES["Step Law formula"](exact_runs(), at)["learning_rate"] == pytest.approx(9.17e-4, rel=0.01)
    assert RECIPES["Step Law formula"](exact_runs(), at)["batch_size"] == pytest.approx(5.0e6, rel=0.01)
    # The published check: 8.456e22 FLOPs give 4.246e-4 and 9.22 million tokens (arXiv 2401.02954).
    large = {"params": 8.456e22 / 6 / 2e12, "data": 2e12}
    assert RECIPES["DeepSeek formula"](exact_runs(), large)["learning_rate"] == pytest.approx(4.246e-4, rel=1e-3)
    assert RECIPES["DeepSeek formula"](exact_runs(), large)["batch_size"] == pytest.approx(9.22e6, rel=1e-3)
    for name in FORMULAS:
        assert RECIPES[name](exact_runs(), {"data": 1e9}) is None


def test_the_gaussian_process_finds_a_fitted_optimum():
    at = {"params": 4e6, "data": 4e8}
    setting = RECIPES["gaussian process"](exact_runs(), at)
    rate, batch = exact(at)
    assert abs(np.log(setting["learning_rate"] / rate)) < 0.3
    assert abs(np.log(setting["batch_size"] / batch)) < 0.5


@pytest.mark.skipif("gaussian process" not in RECIPES, reason="scikit-learn is not installed")
def test_the_gaussian_process_needs_what_varies_alone():
    runs, process = exact_runs(), RECIPES["gaussian process"]
    assert process(runs, {"params": 4e6}) is None
    one_size = runs.where(runs.frame["params"] == runs.frame["params"].min())
    at = {"data": 4e8}
    assert process(one_size, at) == process(one_size, at | {"params": 1e9})


def test_a_setting_is_scored_on_its_own():
    runs = exact_runs()
    cell = runs.frame[runs.frame["cell"] == 0]
    rate, batch = exact({"params": 1e6, "data": 1e8})
    row = score_setting(cell, {"learning_rate": rate * np.sqrt(2), "batch_size": batch})
    assert row["regret"] == pytest.approx(0.05 * (np.log(2) / 2) ** 2)


@pytest.mark.parametrize(
    ("hold_out", "words"),
    [
        ("largest", "withheld params 4M"),
        ("largest:2", "withheld params 2M, 4M"),
        (lambda frame: frame["data"] > 1e8, "withheld 105 rows by a function"),
        ([0, 3], "withheld cells 0, 3"),
    ],
)
def test_what_is_withheld(runs, hold_out, words):
    (out,), said = withheld(runs, hold_out, RUN_SCALES)
    assert said == words
    expected = {
        "withheld params 4M": runs.frame["params"] == 4e6,
        "withheld params 2M, 4M": runs.frame["params"] >= 2e6,
        "withheld 105 rows by a function": runs.frame["data"] > 1e8,
        "withheld cells 0, 3": runs.frame["cell"].isin([0, 3]),
    }[words]
    np.testing.assert_array_equal(out, expected)


def test_each_task_is_withheld_in_turn(pooled):
    parts, said = withheld(pooled.runs, "task", RUN_SCALES)
    assert said == "each task withheld in turn"
    for out, task in zip(parts, ("adam", "lion", "sgd"), strict=True):
        np.testing.assert_array_equal(out, pooled.runs.frame["task"] == task)


def test_largest_is_of_a_scale_with_three_values_before_one_with_two():
    runs = exact_runs()
    assert withheld(runs, "largest", RUN_SCALES)[1] == "withheld data 1.6B"
    one = runs.where(runs.frame["data"] == 1e8)
    assert withheld(one, "largest", RUN_SCALES)[1] == "withheld params 4M"


REFUSALS = {
    "backtest needs a law or more, received none": {"laws": {}},
    "backtest needs a risk or more, received none": {"risks": {}},
    "a law is named 'reuse best', as a recipe is. The recipes are: reuse best": {
        "laws": {"reuse best": LAW["StepLaw"]}
    },
    "sparse must be 3 runs a cell or more, received 2": {"sparse": 2},
    "repeats must be 1 or more, received 0": {"repeats": 0},
    "repeats=2 would fit the same runs 2 times; pass sparse": {"repeats": 2},
    'hold_out must be "largest", "largest:2", "task" (where there are several), a function of the frame or, of runs, a '
    "list of cells; received 'biggest'": {"hold_out": "biggest"},
    "a list of cells; received 'task'": {"hold_out": "task"},
    "received 'largest:0'": {"hold_out": "largest:0"},
    "hold_out must return booleans, one a row of the frame; received float64": {
        "hold_out": lambda frame: frame["params"]
    },
    "there is no cell 17; runs.cells lists them: 0 to 5": {"hold_out": [0, 17]},
    "it withholds 210 of 210 rows, 0 of them from cells that it also keeps": {"hold_out": "largest:3"},
    "from cells that it also keeps": {"hold_out": lambda frame: frame["learning_rate"] > 1e-3},
    "it withholds 0 of 210 rows": {"hold_out": lambda frame: frame["params"] > 1e9},
}


@pytest.mark.parametrize("text", REFUSALS)
def test_refusals(runs, text):
    arguments = {"laws": LAW, "hold_out": "largest"} | REFUSALS[text]
    with pytest.raises(ValueError, match=re.escape(text)):
        backtest(arguments.pop("laws"), runs, seed=0, progress=False, **arguments)


def test_a_seed_that_is_no_integer_is_refused(runs):
    with pytest.raises(TypeError, match=r"seed must be an integer of 0 or more, received 1\.5"):
        backtest(LAW, runs, seed=1.5)


def test_a_subsample_that_is_never_a_sweep_is_refused():
    rows = [(d, 1e-3 * 2.0**i, 64.0, 3.0) for d in (1e6, 2e6) for i in (0, *[1] * 60, *[2] * 60)]
    runs = hl.Runs.from_frame(
        pd.DataFrame(rows, columns=["data", "learning_rate", "batch_size", "loss"]).assign(seed=range(242))
    )
    with pytest.raises(ValueError, match="in 100 draws of 3 runs a cell none was a sweep"):
        _subsample(runs, 3, np.random.default_rng(0))
