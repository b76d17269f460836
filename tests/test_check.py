"""The checks of a fit: each says what it asks and decides by that, and what it cannot see fails."""

import dataclasses
import re

import numpy as np
import pytest
from agreement import agree
from conftest import CHECKED, TRUTH, VALUE_TRUTH, grid, measure, simulate
from made_fit import made_fit

import hyperlaw as hl
from hyperlaw.diagnostics.check import SAMPLER, check, good_k, specs_of
from hyperlaw.diagnostics.spec import Status
from hyperlaw.inference.example import example

DRAWN = ("posterior", "sample_stats", "log_likelihood", "log_prior", "posterior_predictive")


def row(checks, name):
    return checks.table.set_index("check").loc[name]


def status(checks, name):
    return row(checks, name)["status"]


@pytest.fixture(scope="module")
def moving():
    """A fit of few runs, whose every draw is another."""
    law = hl.laws.StepLaw()
    runs = simulate(law, grid(rates=3, batches=2), seed=0)
    scattered = {p.name: 0.05 * abs(TRUTH[p.name]) + 1e-3 for p in hl.likelihood(law, runs).parameter_list}
    return made_fit(law, runs, TRUTH, scattered=scattered, whole=True)


def test_a_good_fit_passes(fit):
    checks = fit.check()
    assert checks.ok, checks
    assert checks.failed == []
    assert list(checks.table.columns) == ["check", "value", "threshold", "status", "advice"]
    assert set(checks.table["status"]) <= {"PASS", "REVIEW"}
    assert (checks.table.loc[checks.table["status"] == "PASS", "advice"] == "").all()


def test_too_few_draws_fail(rough):
    checks = rough.check()
    assert not checks.ok
    assert status(checks, "ESS bulk, smallest") == "FAIL"
    assert "ESS bulk, smallest" in checks.failed
    assert (checks.table.loc[checks.table["status"] != "PASS", "advice"] != "").all()


def changed(fit, group, **values):
    tree = fit.tree.copy()
    tree[group] = tree[group].to_dataset().assign({k: tree[group][k] * 0 + v for k, v in values.items()})
    return dataclasses.replace(fit, tree=tree)


def test_a_check_with_nothing_to_look_at_fails(fit):
    blind = check(changed(fit, "sample_stats", energy=np.nan))
    assert status(blind, "BFMI, smallest") == "FAIL"
    assert row(blind, "BFMI, smallest")["advice"].startswith("Nothing to look at: the fit lacks what this check needs")


@pytest.mark.parametrize("group", ["sample_stats", "log_likelihood", "posterior_predictive", "observed_data", "prior"])
def test_a_check_that_cannot_be_computed_fails_with_its_reason(fit, group):
    tree = fit.tree.copy()
    del tree[group]
    checks = check(dataclasses.replace(fit, tree=tree))
    failed = checks.table[checks.table["status"] == "FAIL"]
    assert len(failed)
    assert failed["value"].isna().all()
    assert failed["advice"].str.fullmatch(rf"It cannot be computed: .*'?{group}'?.*\. Fit again\.").all()


def test_divergences_fail(fit):
    assert status(check(changed(fit, "sample_stats", diverging=1)), "divergences") == "FAIL"


def test_trees_that_reach_the_largest_are_to_be_reviewed(fit):
    assert (
        status(check(changed(fit, "sample_stats", n_steps=2**10 - 1)), "draws at the largest tree (share)") == "REVIEW"
    )
    assert status(check(changed(fit, "sample_stats", n_steps=2**9)), "draws at the largest tree (share)") == "PASS"


def test_runs_that_the_law_does_not_describe_fail(fit):
    assert status(check(changed(fit, "observed_data", loss=9.0)), "runs inside 90 % posterior predictive") == "FAIL"


def test_runs_that_sway_the_fit_are_to_be_reviewed_when_they_are_many(moving):
    """As where the law does not describe them: in one draw of a hundred each has a thousandth of its density."""
    tree, runs = moving.tree.copy(), len(moving.table)
    density = tree["log_likelihood"]["loss"].copy(deep=True)
    density[:] = 0.1 * np.random.default_rng(0).standard_normal(density.shape)
    for swaying, expected in ((0, "PASS"), (1, "PASS"), (4, "REVIEW")):
        density[:, ::100, :swaying] = -np.log(1e3)
        tree["log_likelihood"] = density.to_dataset(name="loss")
        checks = check(dataclasses.replace(moving, tree=tree))
        assert status(checks, "runs that sway the fit (share)") == expected
        assert row(checks, "runs that sway the fit (share)")["value"] == swaying / runs


def test_draws_that_move_pass_what_is_asked_of_a_sampler(moving):
    checks = check(moving)
    assert [status(checks, spec.name) for spec in SAMPLER] == ["PASS"] * len(SAMPLER)


@pytest.mark.parametrize("chains", [[0, 1], [0, 0]], ids=["apart", "at one place"])
def test_chains_that_never_move_fail_and_raise_nothing(moving, chains):
    tree = moving.tree.copy()
    for group in DRAWN:
        draws = tree[group].to_dataset()
        still = draws.isel(chain=chains, draw=[0] * draws.sizes["draw"])
        tree[group] = still.assign_coords(chain=draws["chain"], draw=draws["draw"])
    checks = check(dataclasses.replace(moving, tree=tree))
    assert not checks.ok
    assert {"R-hat, largest", "BFMI, smallest", "runs that sway the fit (share)"} <= set(checks.failed)
    assert (checks.table.loc[checks.table["status"] == "FAIL", "advice"] != "").all()
    assert len(checks.table) == len(check(moving).table)


def test_a_parameter_that_is_no_number_fails(moving):
    lost = check(changed(moving, "posterior", noise=np.nan))
    assert {"R-hat, largest", "ESS bulk, smallest", "ESS tail, smallest"} <= set(lost.failed)


def stated(threshold):
    """What a threshold's words ask of a value."""
    number = r"(-?[\d.]+(?:e[-+]?\d+)?)"
    if found := re.fullmatch(f"(>=|<=) {number}", threshold):
        bound = float(found[2])
        return (bound, np.inf) if found[1] == ">=" else (-np.inf, bound)
    if found := re.fullmatch(f"{number} to {number}", threshold):
        return float(found[1]), float(found[2])
    return float(threshold), float(threshold)


def posteriors(moving):
    """Of every kind of table, with one task and with several, and with few rows and many."""
    yield moving
    for law in (hl.laws.Surge(), hl.laws.StepsExamples(), hl.laws.DataEfficiency(), hl.laws.UTDHyperparameters()):
        table = measure(law, example(law), 0)
        scales = {p.name: 0.1 for p in hl.likelihood(law, table).scatter_parameters}
        yield made_fit(law, table, VALUE_TRUTH[law.name] | scales, draws=60)


def test_words_and_decision_of_every_check_agree(moving):
    """At a bound a value passes, a hundredth of it inside too, and a hundredth outside not."""
    asked = {}
    for posterior in posteriors(moving):
        for spec in specs_of(posterior):
            asked.setdefault((spec.name, spec.threshold), spec)
    assert len(asked) > 20
    for (name, threshold), spec in asked.items():
        low, high = stated(threshold)
        # The words have three figures of the bounds.
        assert (low, high) == (pytest.approx(spec.low, rel=5e-3), pytest.approx(spec.high, rel=5e-3))
        step = 0.01 * max(abs(bound) for bound in (low, high, 1e-3) if np.isfinite(bound))
        inside = [bound for bound in (spec.low, spec.high) if np.isfinite(bound)]
        inside += [low + step if np.isfinite(low) else high - step] if low < high else []
        below, above = (low - step,) if np.isfinite(low) else (), (high + step,) if np.isfinite(high) else ()
        for value in inside:
            assert decided(spec, value) == (Status.PASS, ""), (name, threshold, value)
        for value in (*below, *above):
            fails = value < spec.fails_below or spec.otherwise == Status.FAIL
            expected = (Status.FAIL if fails else Status.REVIEW, spec.advice)
            assert decided(spec, value) == expected, (name, threshold, value)
        if np.isfinite(spec.fails_below):
            assert spec.fails_below < spec.low
            assert decided(spec, spec.fails_below)[0] == spec.otherwise
            assert decided(spec, spec.fails_below - step)[0] == Status.FAIL
        assert spec.advice.endswith(".")
        assert decided(spec, np.nan)[0] == Status.FAIL


def decided(spec, value):
    """Status and advice of a value."""
    name, said, threshold, found, advice = dataclasses.replace(spec, compute=lambda _: value).row(None)
    assert (name, threshold) == (spec.name, spec.threshold)
    assert said == value or np.isnan(value)
    return found, advice


@pytest.mark.parametrize("error", [KeyError("no such group"), ValueError("no such group")])
def test_a_check_that_raises_is_a_failed_one_with_the_reason(error):
    def compute(_):
        raise error

    for spec in SAMPLER:
        _, value, threshold, found, advice = dataclasses.replace(spec, compute=compute).row(None)
        assert np.isnan(value)
        assert (threshold, found) == (spec.threshold, Status.FAIL)
        assert "It cannot be computed: " in advice
        assert "no such group" in advice


def test_every_status_has_words():
    assert [each.value for each in Status] == ["PASS", "REVIEW", "FAIL"]
    assert len({each.sentence for each in Status}) == 3


def test_pareto_k_may_be_as_large_as_so_many_draws_can_tell(moving):
    assert good_k(moving) == 0.7
    few = dataclasses.replace(moving, tree=moving.tree.isel(draw=slice(50)))
    assert good_k(few) == pytest.approx(1 - 1 / np.log10(100))


def test_an_exponent_that_the_prior_decides_is_marked():
    law = hl.laws.StepLaw()
    one_size = simulate(law, grid(sizes=(4e6,), data=1e8 * 2.0 ** np.arange(6)), seed=3)
    fit = hl.fit(law, one_size, seed=0, **CHECKED)
    checks = fit.check()
    assert status(checks, "contraction of rate_exponent_params") == "REVIEW"
    assert status(checks, "contraction of exponent_params") == "REVIEW"
    assert status(checks, "range of params (ratio)") == "REVIEW"
    assert status(checks, "contraction of exponent_data") == "PASS"
    # What no run says anything of keeps its prior.
    priors = {p.name: p.prior for p in law.own_parameters}
    for name in ("exponent_params", "rate_exponent_params"):
        agree(fit.draws[name], priors[name].mean)
        agree((fit.draws[name] - priors[name].mean) ** 2, priors[name].variance)


def test_sharpness_reports_cost_and_exponents(rough):
    table = hl.sharpness(rough)
    assert list(table.columns) == ["lower", "median", "upper", "p_negative"]
    assert set(table.index) == {"cost_learning_rate", "cost_batch_size"} | {
        f"exponent_{h}_{c}" for h in ("learning_rate", "batch_size") for c in ("params", "data")
    }
    draws = rough.draws["sharpness_rate_exponent_data"].values
    assert table.loc["exponent_learning_rate_data", "median"] == pytest.approx(np.median(draws))
    assert (table.loc[["cost_learning_rate", "cost_batch_size"], "lower"] > 0).all()


def test_values_are_not_drawn_of_runs(rough):
    with pytest.raises(TypeError, match="StepsToLoss or NoiseMeasurements, received one of StepLaw to Runs"):
        hl.plots.values(rough)
