"""Laws of measured values find the parameters that made a table, whatever its kind, its tasks and its limits."""

import numpy as np
import pytest
import scipy.stats
from agreement import agree, alike, effective, recovered
from conftest import VALUE_LAWS, VALUE_TRUTH, example_of, made, measure
from value_fits import APART, FITTED, long_refit, of_budgets

import hyperlaw as hl
from hyperlaw.inference.cells import values_at
from hyperlaw.inference.example import example
from hyperlaw.inference.refit import quality
from hyperlaw.models.law import LAWS

ONE_TASK = [name for name in VALUE_LAWS if name not in {*FITTED, "OptimalUTD"}]


def recovers(fit):
    """Each own parameter lies within 4 posterior standard deviations of its truth, and the table says where it is."""
    truth, priors = VALUE_TRUTH[fit.law.name], fit.likelihood.design(fit.table).priors
    far, told = [], {}
    for p in fit.law.own_parameters:
        draws = fit.draws[p.name]
        recovered(draws, truth[p.name])
        far.append(abs(float(draws.mean()) - truth[p.name]) / float(draws.std()))
        told[p.name] = float(draws.std()) / float(priors[p.name].variance) ** 0.5
    told.pop("log_middle_batch", None)  # a convention
    assert np.median(far) < 2, far
    assert max(told.values()) < 0.8, told


def test_every_law_has_a_truth_here():
    assert {name: set(VALUE_TRUTH[name]) for name in VALUE_LAWS} == {
        name: {p.name for p in LAWS[name].own_parameters} for name in VALUE_LAWS
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", ONE_TASK)
def test_every_law_recovers_its_parameters(name):
    law = LAWS[name]()
    table = example(law)
    one = made(table, table.frame.assign(task="all")) if table.kind == "steps_to_loss" else example_of(law, 1)
    recovers(long_refit(law, measure(law, one, 1)))


@pytest.mark.parametrize("name", FITTED)
def test_fits_of_several_tasks_recover_their_parameters(name, value_fit):
    fit = value_fit(name)
    recovers(fit)
    assert quality(fit)["divergences"] <= 2
    for parameter, offsets in APART[name].items():
        recovered(fit.draws[f"{parameter}_task"], VALUE_TRUTH[name][parameter] + np.array(offsets))


def test_a_task_keeps_its_own_value():
    posterior = of_budgets().draws
    for name, offsets in APART["OptimalUTD"].items():
        draws = posterior[f"{name}_task"]
        recovered(draws, VALUE_TRUTH["OptimalUTD"][name] + np.array(offsets))
        assert draws.mean(("chain", "draw")).to_series().is_monotonic_increasing


def one_sided(seed, limits=True):
    """Best ratios of which two fifths lie above 4, kept there with their limit or as if they had been measured."""
    law = hl.laws.OptimalUTD()
    frame = measure(law, example(law), seed, scatter=0.1).frame
    frame["utd"] = frame["utd"].clip(upper=4.0)
    return made(example(law), frame.assign(utd_high=4.0) if limits else frame.drop(columns="utd_high"))


def test_one_sided_values_are_not_taken_for_measured_ones():
    law, truth = of_budgets("shared").law, VALUE_TRUTH["OptimalUTD"]["exponent_budget"]
    far = {True: [], False: []}
    for limits, seed in [(limits, seed) for limits in far for seed in range(6)]:
        table = one_sided(seed, limits)
        draws = long_refit(law, table, seed).draws["exponent_budget"]
        assert effective(draws) > 100
        far[limits].append(float((draws.mean() - truth) / draws.std()))
        assert ((table.points()["value"] >= table.points()["high"]).sum() >= 5) == limits
        assert limits or draws.mean() < truth - 0.15
    # Six standard scores: none beyond 4, and together as scores are. Without limits, all are far below.
    assert max(np.abs(far[True])) < 4
    assert np.sum(np.square(far[True])) < scipy.stats.chi2(6).ppf(0.999)
    assert max(far[False]) < -2


def test_a_low_end_is_a_high_one_in_the_mirror():
    law, table = of_budgets("shared").law, one_sided(0)
    frame = table.frame
    mirrored = made(table, frame.assign(utd=1 / frame["utd"], utd_low=1 / frame["utd_high"], utd_high=np.inf))
    assert (mirrored.points()["value"] <= mirrored.points()["low"]).sum() >= 5
    up, down = (long_refit(law, t).draws["exponent_budget"] for t in (table, mirrored))
    alike(up, -down)
    # The standard deviations too: squared distances from the middle have one mean.
    alike((up - up.mean()) ** 2, (down - down.mean()) ** 2)


def test_drawn_learning_rates_follow_the_batch_sizes_drawn_beside_them(value_fit):
    found = value_fit("UTDHyperparameters")
    centres = values_at(found, found.table.frame, scatter=False)
    open_ = np.isinf(found.table.frame["batch_size_high"]).to_numpy()
    gaps = {}
    for name, centre in centres.items():
        drawn = found.tree["posterior_predictive"][name].values
        gaps[name] = (drawn - centre[:, :: centre.shape[1] // drawn.shape[1]])[..., open_]
    error = 0.1**2
    step = found.draws.sizes["draw"] // gaps["batch_size"].shape[1]
    scatter = {n: found.draws[f"residual_sd_{n}"].values[:, ::step] ** 2 for n in gaps}
    expected = 0.6 * error / np.sqrt((error + scatter["learning_rate"]) * (error + scatter["batch_size"]))
    assert expected.mean() > 0.4
    # Student's t has heavy tails: correlated are the signs, whose share that agree says what the correlation is.
    same = np.sign(gaps["learning_rate"]) == np.sign(gaps["batch_size"])
    agree(same.mean(-1) - np.arcsin(expected) / np.pi, 0.5, sigmas=6)  # the arcsine is that of normal scatter
