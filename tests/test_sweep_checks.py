"""Checks of what a sweep cannot say: each fires on a sweep that has the fault, and is quiet on clean ones."""

import numpy as np
import pytest
from conftest import TRUTH, example_of, grid, simulate
from made_fit import made_fit

import hyperlaw as hl
from hyperlaw.diagnostics.check import SWEEP
from hyperlaw.diagnostics.spec import Looked
from hyperlaw.diagnostics.sweep_checks import (
    at_the_end,
    fewest_levels,
    hardly_described,
    informed,
    left_to_the_prior,
    most_batch_sizes,
    one_sidedness,
    together,
)
from hyperlaw.inference.cells import fitted_cells

LAW = hl.laws.StepLaw()
FOUR, HORIZONS = (1e6, 2e6, 4e6, 8e6), (1e8, 2e8, 4e8, 8e8)
# Parameters known exactly, and cells that do not deviate: what is left is the scatter of runs.
STILL = TRUTH | {f"{of}_sd_{n}": 1e-9 for of in ("cell", "params", "data") for n in ("learning_rate", "batch_size")}
STILL |= {f"{of}_sd_optimal_loss": 1e-9 for of in ("cell", "params", "data")}
STILL |= {f"cell_sd_sharpness_{n}": 1e-9 for n in ("learning_rate", "batch_size")}


def sweep(seed, truth=STILL, **changes):
    return simulate(
        LAW, grid(**{"sizes": FOUR, "data": HORIZONS, "rates": 9, "batches": 7} | changes), seed=seed, truth=truth
    )


def fires(fit):
    """Names of the checks of a sweep that are not passed."""
    return [spec.name for spec in SWEEP if spec.applies(fit) and spec.row(Looked(fit))[3] != "PASS"]


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 20))])
def test_clean_sweeps_are_quiet(seed):
    fit = made_fit(LAW, sweep(seed), STILL, scattered={"log_learning_rate": 0.02}, draws=100, whole=True)
    assert fires(fit) == []


def test_optima_at_the_end_of_what_was_tried():
    low = sweep(0).where(sweep(0).frame["learning_rate"] < 6e-4)
    assert at_the_end(low, "learning_rate") == 1
    assert at_the_end(low, "batch_size") <= 0.25
    batches = sweep(0).frame["batch_size"]
    few = sweep(0).where(batches <= np.sort(batches.unique())[2])
    assert at_the_end(few, "batch_size") > 0.5
    assert np.isnan(at_the_end(sweep(0).where(batches <= np.sort(batches.unique())[1]), "batch_size"))  # both are ends
    assert np.isnan(at_the_end(sweep(0, batches=1), "batch_size"))  # nothing was tried


def test_batch_sizes_that_do_not_vary_or_follow_the_learning_rate():
    assert most_batch_sizes(sweep(0, batches=1)) == 1
    assert most_batch_sizes(sweep(0)) == 7
    assert together(sweep(0)) == pytest.approx(0, abs=1e-9)
    frame = sweep(0).frame
    # Read anew they would be refused.
    assert together(sweep(0).with_values({"batch_size": frame["learning_rate"].to_numpy() * 2.0**25})) == pytest.approx(
        1
    )
    assert np.isnan(together(sweep(0, batches=1)))


def test_what_a_single_batch_size_cannot_show_is_not_asked():
    fit = made_fit(LAW, sweep(0, batches=1), STILL, draws=4)
    asked = [spec.name for spec in SWEEP if spec.applies(fit)]
    assert "batch sizes tried in a cell, most" in asked
    assert not [
        name for name in asked if ("last one tried" in name and "batch" in name) or name.startswith("correlation")
    ]


def test_a_window_that_describes_hardly_a_run():
    runs = sweep(0)
    assert hardly_described(made_fit(LAW, runs, STILL, draws=4)) == 0
    alike = runs.frame.assign(loss=runs.frame["loss"] - runs.frame.groupby("cell")["loss"].transform("min") + 2)
    narrow = made_fit(LAW, hl.Runs.from_frame(alike.drop(columns="cell"), batch_unit=1), STILL, draws=4)
    assert hardly_described(narrow) > 0.25
    assert hardly_described(made_fit(hl.LossSurface(LAW, window=0.01), runs, STILL, draws=4)) > 0.25


def test_few_sizes():
    assert fewest_levels(made_fit(LAW, sweep(0), TRUTH, draws=4)) == 4
    assert fewest_levels(made_fit(LAW, sweep(0, sizes=(1e6, 4e6)), TRUTH, draws=4)) == 2


def test_a_bowl_of_the_wrong_shape_shows_on_a_side():
    runs = sweep(3, STILL | {"skew_learning_rate": 1.5})
    right = made_fit(LAW, runs, STILL | {"skew_learning_rate": 1.5}, draws=100, whole=True)
    wrong = made_fit(LAW, runs, STILL | {"skew_learning_rate": 0.0}, draws=100, whole=True)
    assert one_sidedness(right, fitted_cells(right)) < 0.1 < one_sidedness(wrong, fitted_cells(wrong))


def test_an_answer_that_comes_from_the_prior():
    runs = sweep(0)
    said = {"log_learning_rate": 0.05, "rate_exponent_data": 0.02}
    sure = made_fit(LAW, runs, STILL, scattered=said, draws=400, whole=True)
    vague = made_fit(LAW, runs, STILL, scattered=said | {"drift_learning_rate_data": 0.07}, draws=400, whole=True)
    assert left_to_the_prior(sure) < 0.1
    assert left_to_the_prior(vague) > 0.8
    assert np.isfinite(left_to_the_prior(vague))


def test_the_ridge_is_no_matter_where_both_settings_are_measured_at_their_best():
    law, ridge = hl.laws.StepLaw(), {"ridge_small_batch", "ridge_large_batch"}
    names = {p.name for p in law.own_parameters}
    optima = example_of(hl.likelihood(law, "optima"), 1)
    rest = {f"residual_sd_{name}": 0.1 for name in law.predicts}
    made = made_fit(law, optima, {name: STILL[name] for name in names} | rest, draws=10)
    assert names - informed(made) == ridge
