"""What is computed and drawn from fits of measured values: bands, pictures, tied priors."""

import numpy as np
import pytest
from conftest import grid, simulate
from matplotlib.collections import PolyCollection

import hyperlaw as hl
from hyperlaw.diagnostics.residuals import value_residuals
from hyperlaw.inference.bands import value_bands
from hyperlaw.models.prior import to_text

BEYOND = "one-sided: the truth lies beyond"


@pytest.fixture
def efficiency(value_fit):
    return value_fit("DataEfficiency")


@pytest.fixture
def hyperparameters(value_fit):
    return value_fit("UTDHyperparameters")


@pytest.fixture
def steps(value_fit):
    return value_fit("StepsExamples")


def test_bands_widen_beyond_the_rows(hyperparameters):
    bands = value_bands(hyperparameters)
    assert set(bands["quantity"]) == {"learning_rate", "batch_size"}
    assert set(bands["task"]) == set(hyperparameters.table.tasks)
    assert (bands["lower"] < bands["median"]).all()
    assert (bands["median"] < bands["upper"]).all()
    width = np.log(bands["upper"] / bands["lower"])
    inside = bands["utd"] <= hyperparameters.table.frame["utd"].max()
    assert width[~inside].mean() > width[inside].mean()
    assert bands["utd"].max() == pytest.approx(4 * hyperparameters.table.frame["utd"].max())


def test_bands_of_thresholds_are_ordered(efficiency):
    bands = value_bands(efficiency)
    by_level = bands.pivot_table(index=["task", "utd"], columns="threshold", values="median")
    assert by_level.shape[1] == 4
    assert (np.diff(by_level.to_numpy(), axis=1) > 0).all()


def test_values_draw_a_panel_a_task_and_quantity(hyperparameters, efficiency):
    figure = hyperparameters.plot()
    assert [ax.get_title() for ax in figure.axes] == [task for task in hyperparameters.table.tasks for _ in range(2)]
    for ax in figure.axes:
        assert ax.get_xlabel() == "updates per environment step"
        assert ax.get_xscale() == ax.get_yscale() == "log"
        assert any(isinstance(c, PolyCollection) for c in ax.collections)
    assert {ax.get_ylabel() for ax in figure.axes} == {"learning rate", "batch size (data points)"}
    labels = [text.get_text() for text in hl.plots.values(efficiency).legends[0].get_texts()]
    assert [label for label in labels if "threshold" in label] == [
        f"threshold {level}" for level in (300, 500, 700, 900)
    ]


def test_residuals_of_values_are_over_the_predictive_median(efficiency):
    rows, long = value_residuals(efficiency), efficiency.table.points()
    drawn = efficiency.tree["posterior_predictive"]["data"].values
    assert rows["ratio"].to_numpy() == pytest.approx(long["value"] / np.exp(np.median(drawn, axis=(0, 1))))
    assert 0.8 < rows["inside"].mean() <= 1
    figure = hl.plots.residuals(efficiency)
    assert [ax.get_xlabel() for ax in figure.axes] == ["updates per environment step", "performance to be reached"]
    assert {ax.get_ylabel() for ax in figure.axes} == {"measured / predicted"}
    assert [ax.get_xscale() for ax in figure.axes] == ["log", "linear"]
    for ax, name in zip(figure.axes, ("utd", "threshold"), strict=True):
        points = [line for line in ax.lines if line.get_label() in (*efficiency.table.tasks, BEYOND)]
        where = np.concatenate([line.get_xydata() for line in points])
        assert np.allclose(sorted(map(tuple, where)), sorted(map(tuple, rows[[name, "ratio"]].to_numpy())))
        rings = [line for line in ax.lines if line.get_label() == "outside its 90 % interval"]
        assert sum(len(line.get_xdata()) for line in rings) == (~rows["inside"]).sum()


def test_residuals_of_values_need_values(fit):
    with pytest.raises(TypeError, match="this needs a fit to Optima, Crossings, StepsToLoss or NoiseMeasurements"):
        value_residuals(fit)


def test_one_sided_values_are_triangles(efficiency):
    long = efficiency.table.points()
    expected = int((long["value"] >= long["high"]).sum())
    axes = hl.plots.values(efficiency).axes
    drawn = sum(len(line.get_xdata()) for ax in axes for line in ax.lines if line.get_marker() == "^")
    assert drawn == expected


def test_a_tied_prior_is_near_the_critical_batch_size_and_wider(steps):
    of_all = steps.draws["log_critical_batch"]
    of_one = steps.draws["log_critical_batch_task"].sel(task=steps.table.tasks[0])
    for prior, draws in ((hl.tied_prior(steps), of_all), (hl.tied_prior(steps, task=steps.table.tasks[0]), of_one)):
        assert float(prior.loc) == pytest.approx(float(draws.mean()))
        assert float(prior.scale) == pytest.approx(np.hypot(0.7, float(draws.std())))
        law = hl.laws.Surge({"log_noise_scale": prior})
        assert law.parameters.loc["log_noise_scale", "prior"] == to_text(prior)
    near = hl.tied_prior(steps, task=steps.table.tasks[0], spread=0.1)
    assert float(near.scale) == pytest.approx(np.hypot(0.1, float(of_one.std())))


def test_what_has_no_critical_batch_size_ties_nothing(steps, efficiency):
    with pytest.raises(ValueError, match="a fit of DataEfficiency has no critical batch size"):
        hl.tied_prior(efficiency)
    with pytest.raises(ValueError, match="task 'elsewhere' is not among the fitted curves"):
        hl.tied_prior(steps, task="elsewhere")


def test_sharpness_needs_runs(steps):
    with pytest.raises(TypeError, match="this needs a fit to Runs, received one of StepsExamples to StepsToLoss"):
        hl.sharpness(steps)


def test_optima_become_tasks_by_scale():
    optima = simulate(hl.laws.StepLaw(), grid(), seed=1).optima(by_batch=True)
    curves = optima.as_tasks("data", "params")
    assert curves.tasks[0].startswith("data 1.6e+09, params")
    assert len(curves.tasks) == 6
    assert not curves.scales
    assert curves.estimated == ("learning_rate",)
    with pytest.raises(ValueError, match="as_tasks takes scales of this table, params, data; received 'utd'"):
        optima.as_tasks("utd")
    with pytest.raises(ValueError, match="received none"):
        optima.as_tasks()


def test_a_loss_of_zero_has_no_log(steps):
    frame = steps.table.frame
    frame["loss"] = frame["loss"].where(frame["loss"] > frame["loss"].min(), 0.0)
    with pytest.raises(ValueError, match="takes the log of loss, which must be above zero; the least is 0"):
        hl.fit(hl.laws.CriticalBatchLoss(), hl.StepsToLoss.from_frame(frame), seed=0)
