"""Checks of how a sweep departs from its law: each fires on a sweep that has the fault, and is quiet on clean ones."""

import numpy as np
import pytest
from made_fit import made_fit
from test_sweep_checks import LAW, STILL, sweep

import hyperlaw as hl
from hyperlaw.diagnostics import departures
from hyperlaw.diagnostics.check import check
from hyperlaw.inference.cells import fitted_cells

OTHER = STILL | {"log_learning_rate": STILL["log_learning_rate"] + np.log(4)}


def mixed(seed):
    """Half of the runs of every cell by a recipe whose best learning rate is four times as high."""
    first, second = sweep(seed), sweep(seed, truth=OTHER)
    other = np.random.default_rng(seed).random(len(first)) < 0.5
    return first.with_values({n: np.where(other, second.frame[n], first.frame[n]) for n in ("loss", "diverged")})


def two_recipes(fit):
    return departures.two_recipes(fit, fitted_cells(fit))


def off_the_law(fit, name):
    return departures.off_the_law(fit, fitted_cells(fit), name)


def status(fit, name):
    return check(fit).table.set_index("check").loc[name, "status"]


@pytest.mark.parametrize("seed", range(5))
def test_runs_of_one_recipe_lose_by_two(seed):
    assert two_recipes(made_fit(LAW, sweep(seed), STILL, draws=4)) < -10


@pytest.mark.parametrize("seed", range(5))
def test_runs_of_two_recipes_gain_by_two(seed):
    assert two_recipes(made_fit(LAW, mixed(seed), STILL, draws=4)) > 10


def test_few_runs_gain_little_either_way():
    runs = sweep(0)
    few = runs.where(runs.frame.groupby("cell").cumcount() % 9 == 0)
    assert two_recipes(made_fit(LAW, few, STILL, draws=4)) < 3


@pytest.mark.parametrize("name", ["params", "data"])
def test_levels_that_lie_off_a_power_law(name):
    off = STILL | {f"{name}_sd_learning_rate": 0.6}
    fit = made_fit(LAW, sweep(0), off, draws=100, whole=True)
    assert off_the_law(fit, name) > 0.95
    assert status(fit, f"levels of {name} off a power law (rank in the prior)") == "REVIEW"
    other = {"params": "data", "data": "params"}[name]
    assert status(fit, f"levels of {other} off a power law (rank in the prior)") == "PASS"


@pytest.mark.parametrize("name", ["params", "data"])
def test_an_exponent_that_changes(name):
    bent = made_fit(LAW, sweep(0), STILL | {f"drift_learning_rate_{name}": 1.0}, draws=100, whole=True)
    assert off_the_law(bent, name) > 0.95
    straight = made_fit(LAW, sweep(0), STILL, draws=100, whole=True)
    assert off_the_law(straight, name) < 0.1


def test_two_levels_always_lie_on_a_power_law():
    fit = made_fit(LAW, sweep(0, sizes=(1e6, 4e6)), STILL, draws=100, whole=True)
    asked = check(fit).table["check"]
    assert not asked.str.startswith("levels of params off").any()
    assert asked.str.startswith("levels of data off").any()


def test_they_are_asked_of_runs_alone():
    optima = sweep(0).optima()
    truth = {p.name: 0.0 for p in hl.likelihood(LAW, optima).parameter_list}
    with pytest.raises(TypeError, match="this needs a fit to Runs"):
        two_recipes(made_fit(LAW, optima, truth, draws=4))
