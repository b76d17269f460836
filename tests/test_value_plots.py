"""What is computed and drawn from fits of measured values: bands, pictures, tied priors."""

import numpy as np
import pytest
from conftest import grid, simulate
from matplotlib.collections import PolyCollection

import hyperlaw as hl
from hyperlaw.inference.bands import value_bands
from hyperlaw.models.prior import to_text


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
    figure = hl.plots.values(hyperparameters)
    assert len(figure.axes) == 2 * len(hyperparameters.table.tasks)
    for ax in figure.axes:
        assert ax.get_xlabel() == "updates per environment step"
        assert ax.get_xscale() == ax.get_yscale() == "log"
        assert any(isinstance(c, PolyCollection) for c in ax.collections)
    assert {ax.get_ylabel() for ax in figure.axes} == {"learning rate", "batch size (data points)"}
    lines = hl.plots.values(efficiency).axes[0].get_legend().get_texts()
    assert [t.get_text() for t in lines] == [f"threshold {level}" for level in (300, 500, 700, 900)]


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
