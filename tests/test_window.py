"""Runs far above the best of their cell say "at least so bad"; one batch size a cell has no best one."""

import dataclasses

import numpy as np
import pytest
from agreement import recovered
from conftest import CHECKED, TRUTH, grid, simulate
from made_fit import REASON, SETTINGS, made_fit

import hyperlaw as hl
from hyperlaw.inference.posterior import provenance
from hyperlaw.models.likelihoods.deviations import drift
from hyperlaw.models.likelihoods.loss_surface import edges, reach


@pytest.fixture(scope="module")
def runs():
    return simulate(hl.laws.StepLaw(), grid(rates=7, batches=4), seed=0)


@pytest.fixture(scope="module")
def one_batch():
    """A sweep of the learning rate alone, at one batch size."""
    return simulate(hl.laws.StepLaw(), grid(sizes=(1e6, 2e6, 4e6, 8e6), batches=1), seed=0)


def test_the_window_is_the_spread_of_the_lowest_losses(runs):
    lowest = runs.cells["lowest_loss"]
    assert reach(runs.frame) == pytest.approx(lowest.std())
    model = hl.likelihood(hl.laws.StepLaw(), runs)
    design = model.design(runs)
    frame = runs.frame
    expected = frame["cell"].map(lowest).to_numpy() + lowest.std()
    np.testing.assert_allclose(design.edge[: len(runs)], expected)
    np.testing.assert_allclose(
        design.loss[: len(runs)], np.where(frame["diverged"], 0, np.minimum(frame["loss"], expected))
    )
    half = dataclasses.replace(model, window=0.5).design(runs)
    np.testing.assert_allclose(half.edge[: len(runs)], expected - lowest.std() / 2)
    assert dataclasses.replace(model, window=0.5) != model
    assert dataclasses.replace(model, window=0.5).bare == model.bare  # one compiled program


def test_a_cell_without_a_loss_has_no_edge(runs):
    frame = runs.frame.assign(loss=np.where(runs.frame["cell"] == 0, np.nan, runs.frame["loss"]))
    found = edges(frame, 0.1)
    assert np.isinf(found[frame["cell"] == 0]).all()
    assert np.isfinite(found[frame["cell"] != 0]).all()


def test_how_bad_a_run_beyond_the_window_is_makes_no_difference(runs):
    model = hl.likelihood(hl.laws.StepLaw(), runs)
    first = model.design(runs)
    frame = runs.frame
    far = frame["loss"] > first.edge[: len(runs)]
    assert far.sum() > 5
    second = model.design(runs.with_values({"loss": np.where(far, frame["loss"] + 3.0, frame["loss"])}))
    for name in ("loss", "edge", "window"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def test_what_is_simulated_is_read_at_its_own_edges(runs):
    model = hl.likelihood(hl.laws.StepLaw(), runs)
    design = model.design(runs)
    loss = np.linspace(1.0, 3.0, len(runs))
    lost = np.arange(len(runs)) % 5 == 0
    changed = model.with_measured(design, {"loss": loss, "diverged": lost})
    expected = edges(runs.frame.assign(loss=np.where(lost, np.nan, loss)), float(design.window))
    np.testing.assert_allclose(changed.edge[: len(runs)], expected)
    np.testing.assert_allclose(changed.loss[: len(runs)][~lost], np.minimum(loss, expected)[~lost])
    assert np.isinf(model.to_simulate(changed).edge).all()


@pytest.mark.parametrize("window", [0.0, -1.0, np.nan, np.inf])
def test_a_window_that_is_none_is_refused(window):
    with pytest.raises(ValueError, match=r"window must be finite and above zero, received .*The default is 1"):
        hl.LossSurface(hl.laws.StepLaw(), window=window)


def test_a_saved_fit_keeps_its_window(runs, tmp_path):
    made = made_fit(hl.laws.StepLaw(), runs, TRUTH, draws=10, whole=True)
    other = dataclasses.replace(made, likelihood=dataclasses.replace(made.surface, window=2.0))
    other.tree.attrs = provenance(other.likelihood, runs, other.likelihood.design(runs), 0, SETTINGS)
    other.save(tmp_path / "fit.nc")
    assert hl.load_fit(tmp_path / "fit.nc").surface.window == 2.0


def test_a_sweep_of_the_learning_rate_alone(one_batch):
    model = hl.likelihood(hl.laws.StepLaw(), one_batch)
    assert model.needs_at(one_batch) == ("params", "data")
    fit = made_fit(hl.laws.StepLaw(), one_batch, TRUTH, scattered={"log_learning_rate": 0.1}, draws=300)
    prediction = fit.predict({"params": 1.6e7, "data": 6.4e9})
    batch = one_batch.frame["batch_size"].iloc[0]
    np.testing.assert_allclose(prediction.table.loc["batch_size"], batch)
    assert set(np.unique(prediction.draws["batch_size"]).round(6)) == {batch}
    choice = hl.decide(fit, {"params": 1.6e7, "data": 6.4e9}, risk=hl.CVaR(0.9), despite=REASON)
    assert choice.setting["batch_size"] == pytest.approx(batch)
    assert "these runs say nothing of the best batch size" in choice.explain()
    choice.plot()


def test_batch_sizes_that_follow_the_scale_must_be_given():
    frame = grid(sizes=(1e6, 2e6, 4e6), batches=1)
    frame["batch_size"] *= frame["params"] / 1e6
    runs = simulate(hl.laws.StepLaw(), frame, seed=0)
    fit = made_fit(hl.laws.StepLaw(), runs, TRUTH, draws=50)
    assert fit.likelihood.needs_at(runs) == ("params", "data", "batch_size")
    with pytest.raises(ValueError, match=r"at must give exactly params, data, batch_size: missing batch_size"):
        fit.predict({"params": 1.6e7, "data": 6.4e9})
    table = fit.predict({"params": 1.6e7, "data": 6.4e9, "batch_size": 2.0**17}).table
    np.testing.assert_allclose(table.loc["batch_size"], 2.0**17)


@pytest.mark.slow
def test_the_learning_rate_at_the_batch_used_is_recovered(one_batch):
    fit = hl.fit(hl.laws.StepLaw(), one_batch, seed=0, **CHECKED | {"target_accept": 0.99, "warmup": 600})
    checks = fit.check()
    assert checks.ok, checks
    assert "batch sizes tried in a cell, most" in checks.named("REVIEW")
    at = {"params": 4e6, "data": 1.6e9}
    x = {name: np.log(at[name]) - fit.pivot[name] for name in at}
    truth = fit.law.log_learning_rate(TRUTH, x, fit.law.log_batch_size(TRUTH, x)) + drift(TRUTH, "learning_rate", x)
    recovered(np.log(fit.predict(at).draws["best_learning_rate"]), float(truth))
