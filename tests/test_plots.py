from dataclasses import replace
from itertools import pairwise

import jax
import numpy as np
import pytest
import xarray as xr
from conftest import TARGET, TRUTH, grid
from made_fit import made_fit
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgba

import hyperlaw as hl
from hyperlaw import plots
from hyperlaw.decision.trajectory import law_trajectory
from hyperlaw.diagnostics.sweep_checks import one_sidedness, ranks_by_side
from hyperlaw.inference.bands import loss_bands
from hyperlaw.inference.cell_surface import DRAWS, cell_surface
from hyperlaw.inference.cells import fitted_cells, new_cell
from hyperlaw.models.likelihoods.deviations import drift
from hyperlaw.models.likelihoods.surface import run_loss
from hyperlaw.plots.style import BLUE, CHAINS, ORANGE, PAGE

LAW_LABELS = ["law at params 98.3k, 90 %", "without further drift"]
POOLED_TARGET = {"params": 4e6, "data": 6.4e9, "task": "lion"}


@pytest.fixture(scope="module")
def lost(fit):
    """The same draws over a table in which some runs diverged."""
    frame = fit.runs.frame
    gone = frame["learning_rate"].eq(frame["learning_rate"].max()) & frame["batch_size"].isin([32, 256])
    return replace(fit, table=fit.runs.with_values({"loss": frame["loss"].mask(gone), "diverged": gone}))


@pytest.fixture(scope="module")
def losses(lost):
    return drawn(plots.losses(lost))


@pytest.fixture(scope="module")
def surface(lost):
    return drawn(plots.surface(lost, cell=0))


@pytest.fixture(scope="module")
def optima(fit):
    return drawn(plots.optima(fit, at=TARGET))


def drawn(figure):
    figure.draw_without_rendering()
    return figure


def predicted(fit, at, name):
    """Interval of the optimum at a target; one candidate, because its regret surface is not looked at."""
    return fit.predict(at, {"learning_rate": [1e-3], "batch_size": [64]}).table.loc[name, ["lower", "median", "upper"]]


def labels_of(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def lines(ax, marker):
    return [line for line in ax.lines if line.get_marker() == marker]


def has_line(ax, x, y):
    def same(line):
        a, b = line.get_xdata(), line.get_ydata()
        return len(a) == len(x) and np.allclose(a, x) and np.allclose(b, y)

    return any(same(line) for line in lines(ax, "None"))


def has_band(ax, x, low, high):
    """Whether an interval with these ends is drawn."""
    ends = [np.column_stack([x, side]) for side in (low, high)]
    bands = [c.get_paths()[0].vertices for c in ax.collections if isinstance(c, PolyCollection) and c.get_paths()]
    return any(all(np.isclose(corners, end).all(axis=1).any() for end in np.concatenate(ends)) for corners in bands)


def band_of(ax, colour):
    """Corners of the one band of a colour."""
    (band,) = (c for c in ax.collections if len(c.get_facecolor()) == 1 and np.allclose(c.get_facecolor(), colour))
    return band.get_paths()[0].vertices


def draws_of(fit, cell):
    """Parameters (draw, 1) and covariates of a fitted cell, gathered by label instead of by position."""
    posterior, row = fit.tree["posterior"].dataset.stack(sample=("chain", "draw")), fit.runs.cells.loc[cell]
    own = [name for name in posterior if name.startswith("deviation_") or name == "cell_optimal_loss"]
    p = {name: posterior[name].isel(cell=cell) for name in own}
    for parameter in fit.likelihood.parameter_list:
        pooled = f"{parameter.name}_task"
        p[parameter.name] = (
            posterior[pooled].sel(task=row["task"]) if pooled in posterior else posterior[parameter.name]
        )
    x = {name: np.log(row[name]) - fit.pivot[name] for name in fit.law.covariates}
    return {name: value.values[:, None] for name, value in p.items()}, x


def best(fit, cell, log_batch=None):
    """Draws of ln best batch size, and of ln best learning rate there or at a given batch size."""
    p, x = draws_of(fit, cell)
    with jax.enable_x64(True):
        moved = {name: drift(p, name, x) + p[f"deviation_{name}"] for name in ("learning_rate", "batch_size")}
        at_best = fit.law.log_batch_size(p, x) + moved["batch_size"]
        along = (at_best if log_batch is None else log_batch) - moved["batch_size"]
        return np.asarray(at_best), np.asarray(fit.law.log_learning_rate(p, x, along) + moved["learning_rate"])


@pytest.mark.parametrize("name", ["losses", "surface", "optima"])
def test_labels_do_not_touch(name, request):
    figure = request.getfixturevalue(name)
    assert figure.get_figwidth() == PAGE
    (legend,) = figure.legends
    page, box = figure.bbox, legend.get_window_extent()
    assert page.x0 <= box.x0 < box.x1 <= page.x1
    assert all(box.y1 <= ax.get_window_extent().y0 for ax in figure.axes)
    for ax in figure.axes:
        for axis, side in ((ax.xaxis, "x"), (ax.yaxis, "y")):
            boxes = [label.get_window_extent() for label in axis.get_ticklabels() if label.get_text()]
            spans = sorted((getattr(box, f"{side}0"), getattr(box, f"{side}1")) for box in boxes)
            inside = [span for span in spans if span[1] > span[0]]
            assert all(first[1] < second[0] for first, second in pairwise(inside)), (name, ax.get_title(), side)
    titles = [ax.title.get_window_extent() for ax in figure.axes if ax.get_title()]
    assert titles
    assert not any(a.overlaps(b) for i, a in enumerate(titles) for b in titles[:i])


def test_losses_have_a_panel_a_cell_with_units(losses, fit):
    assert len(losses.axes) == 6
    assert {ax.get_xlabel() for ax in losses.axes} == {"learning rate"}
    assert [ax.get_ylabel() for ax in losses.axes] == ["loss (nats)", "", ""] * 2
    titles = [ax.get_title() for ax in losses.axes]
    assert titles[0].startswith("params 24.6k, width 32,\ndata 65.5k\n")
    assert titles[-1].startswith("params 98.3k, width 64,\ndata 1.05M\n")
    texts = [text.get_text() for text in losses.legends[0].get_texts()]
    assert {"32", "1024", "posterior predictive, 90 %", "diverged"} <= set(texts)
    assert len(texts) == len(set(texts))
    assert losses.legends[0].get_title().get_text() == "batch size (data points)"


@pytest.mark.parametrize("group", ["posterior", "prior"])
def test_loss_bands_are_quantiles_of_the_draws(fit, group):
    ax = plots.losses(fit, group=group, cells=[0]).axes[0]
    frame = fit.runs.frame.query("cell == 0 and batch_size == 32")
    rates = np.unique(frame["learning_rate"])
    loss = fit.tree[f"{group}_predictive"]["loss"]
    at_rate = [loss.sel(run=frame.index[frame["learning_rate"] == rate].tolist()).values for rate in rates]
    low, middle, high = np.transpose([np.nanquantile(values, [0.05, 0.5, 0.95]) for values in at_rate])
    assert has_line(ax, rates, middle)
    assert has_band(ax, rates, low, high)


def test_losses_show_every_run_of_the_batch_sizes_drawn(losses, lost):
    ax, frame = losses.axes[0], lost.runs.frame.query("cell == 0")
    sizes = [float(name) for name in labels_of(losses) if name.isdigit()]
    frame = frame[frame["batch_size"].isin(sizes)]
    gone, alive = frame[frame["diverged"]], frame[~frame["diverged"]]
    drawn_in = [line for line in ax.lines if line.get_label() in map(str, map(int, sizes))]
    assert len({(line.get_marker(), line.get_color()) for line in drawn_in}) == len(drawn_in) == len(sizes)
    points = np.concatenate([line.get_xydata() for line in drawn_in])
    points = points[np.isfinite(points[:, 1])]
    assert sorted(map(tuple, points)) == sorted(map(tuple, alive[["learning_rate", "loss"]].to_numpy()))
    at_top = [line for line in lines(ax, "x") if len(line.get_xdata())]
    crosses = np.concatenate([line.get_xydata() for line in at_top])
    assert len(gone)
    assert sorted(crosses[:, 0]) == sorted(gone["learning_rate"])
    assert all(line.get_transform() == ax.get_xaxis_transform() for line in at_top)
    assert (crosses[:, 1] > 0.8).all()
    low, high = ax.get_ylim()
    above = int((alive["loss"] > high).sum())
    assert low < alive["loss"].min()
    assert above > 0
    assert ax.get_title().endswith(f"\n{len(frame)} runs: {above} above, {len(gone)} diverged")


def test_losses_of_chosen_cells(fit):
    figure = plots.losses(fit, cells=[5, 1])
    assert [" ".join(ax.get_title().split("\n")[:-1]) for ax in figure.axes] == [
        "params 98.3k, width 64, data 1.05M",
        "params 24.6k, width 32, data 262k",
    ]


def test_losses_of_several_tasks_show_the_smallest_and_largest_cell_of_each(pooled):
    figure = drawn(plots.losses(pooled))
    assert figure.get_suptitle() == "6 of 18 cells"

    titles = [" ".join(ax.get_title().split("\n")[:-1]) for ax in figure.axes]
    small, large = "params 1M, data 100M", "params 4M, data 1.6B"
    assert titles == [f"{task}, {cell}" for task in ("adam", "lion", "sgd") for cell in (small, large)]


def test_a_picture_of_runs_says_which_batch_sizes_it_leaves_out():
    frame = grid(rates=3, batches=8, sizes=(1e6,))
    frame["loss"] = 3 + np.log(frame["learning_rate"] / 1e-3) ** 2 + 1e3 / frame["data"] ** 0.5
    runs = hl.Runs.from_frame(frame)
    said = "6 batch sizes of up to 8 in each"
    assert runs.plot().get_suptitle() == said
    made = made_fit(hl.laws.StepLaw(), runs, TRUTH, draws=20, whole=True)
    figure = plots.losses(made, cells=[0])
    assert figure.get_suptitle() == said
    assert f"{6 * 3} runs" in figure.axes[0].get_title()


def test_the_law_has_no_notch_at_the_horizons_that_were_run():
    """Each was trained for alone, and strays from the law by itself: that is its cells', not the law's."""
    law = hl.LossSurface(hl.laws.StepLaw(), own_horizons=True)
    truth = TRUTH | {"data_sd_learning_rate": 0.5, "data_sd_batch_size": 0.5}
    made = made_fit(law, hl.Runs.from_frame(grid()), truth, scattered={"log_learning_rate": 0.1}, draws=200)
    seen = {name: 0 * made.draws[name] for name in made.draws if name.startswith("data_deviation")}  # known exactly
    tree = xr.DataTree.from_dict({"posterior": made.draws.assign(seen)})
    tree.attrs = made.tree.attrs
    made = replace(made, tree=tree)
    at = {name: float(made.runs.cells[name].max()) for name in ("params", "data")}
    for where in (at, at | {"data": 4 * at["data"]}):
        along = law_trajectory(made, where)
        width = np.log(along["learning_rate_upper"] / along["learning_rate_lower"])
        assert width.max() < 1.2 * width.min()


def test_losses_of_a_prior_prediction(fit, small):
    prediction = hl.prior_predict(fit.law, small, seed=3)
    ax = drawn(plots.losses(prediction, group="prior", cells=[5])).axes[0]
    runs = small.frame.query("cell == 5 and batch_size == 32").sort_values("learning_rate")
    draws = prediction.draws["prior_predictive"]["loss"].sel(run=runs.index.tolist())
    ends = draws.quantile([0.05, 0.95], ("chain", "draw")).values
    assert has_band(ax, runs["learning_rate"], *ends)
    with pytest.raises(ValueError, match=r"no posterior predictive losses here, only the groups prior, .*\"prior\""):
        plots.losses(prediction)


def test_bad_groups_and_cells_are_refused(fit):
    with pytest.raises(ValueError, match="group must be 'posterior' or 'prior', received 'loss'"):
        plots.losses(fit, group="loss")
    bare = replace(fit, tree=xr.DataTree.from_dict({"posterior": fit.tree["posterior"].to_dataset()}))
    with pytest.raises(
        ValueError, match=r"no posterior predictive losses here, only the groups posterior\. A fit made"
    ):
        plots.losses(bare)
    with pytest.raises(ValueError, match=r"there is no cell 6; runs\.cells lists them: 0 to 5"):
        plots.losses(fit, cells=[0, 6])
    with pytest.raises(ValueError, match=r"there is no cell -1; runs\.cells lists them: 0 to 5"):
        plots.surface(fit, cell=-1)
    with pytest.raises(ValueError, match=r"cells must name at least one cell of runs\.cells, received none"):
        plots.losses(fit, cells=[])


def test_loss_bands_hold_nine_of_ten_runs(fit):
    bands = loss_bands(fit.tree, fit.runs, "posterior")
    # Losses as the model reads them: those far from the best of their cell at their edge.
    read = fit.runs.frame.assign(loss=fit.tree["observed_data"]["loss"].values)
    runs = read.query("not diverged").merge(bands, on=["cell", "batch_size", "learning_rate"])
    assert len(runs) == (~fit.runs.frame["diverged"]).sum()
    assert 0.85 < runs["loss"].between(runs["lower"], runs["upper"]).mean() < 0.98


def test_surface_has_units(surface):
    whole, close, bar = surface.axes
    for ax in (whole, close):
        assert ax.get_xlabel() == "learning rate"
        assert ax.get_ylabel() == "batch size (data points)"
        assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert bar.get_ylabel() == "loss above the cell's lowest (nats), median"
    assert surface.get_suptitle() == "params 24.6k, width 32, data 65.5k"
    assert whole.get_xlim()[0] < close.get_xlim()[0] < close.get_xlim()[1] < whole.get_xlim()[1]


@pytest.mark.parametrize(("which", "cell"), [("fit", 5), ("pooled", 8)])
def test_surface_ridge_and_optimum_are_those_of_the_draws(which, cell, request):
    fit = request.getfixturevalue(which)
    ax = drawn(plots.surface(fit, cell=cell)).axes[0]
    (ridge,) = (line for line in ax.lines if line.get_color() == ORANGE)
    low, middle, high = np.exp(np.quantile(best(fit, cell, np.log(ridge.get_ydata()))[1], [0.05, 0.5, 0.95], axis=0))
    assert ridge.get_xdata() == pytest.approx(middle)
    corners = band_of(ax, to_rgba(ORANGE, 0.3))
    for side in (low, high):
        assert all(np.isclose(corners, [x, y]).all(axis=1).any() for x, y in zip(side, ridge.get_ydata(), strict=True))
    log_batch, log_rate = best(fit, cell)
    dot = next(line for line in lines(ax, "o") if line.get_color() == "black")
    assert dot.get_xydata()[0] == pytest.approx(np.exp([np.median(log_rate), np.median(log_batch)]))


def test_surface_regions_hold_their_share_of_the_draws(fit):
    found = cell_surface(fit, 5)
    log_batch, log_rate = best(fit, 5)
    here = {"learning_rate": ("draw", np.exp(log_rate[:, 0])), "batch_size": ("draw", np.exp(log_batch[:, 0]))}
    density = found.density.interp(here)
    for share, level in found.levels.items():
        assert float((density > level).mean()) == pytest.approx(share, abs=0.05)
    lowest = found.excess.where(found.excess == found.excess.min(), drop=True)
    region = found.density.where(found.density > found.levels[0.9], drop=True)
    for name in ("learning_rate", "batch_size"):
        step = found.excess[name].values[1] / found.excess[name].values[0]
        assert region[name].min() / step <= lowest[name].item() <= region[name].max() * step
    black = [c for c in plots.surface(fit, cell=5).axes[1].collections if getattr(c, "colors", None) == "black"]
    assert [list(c.levels) for c in black] == [sorted(found.levels.values())]


def test_surface_excess_is_the_median_of_the_draws(fit):
    excess = cell_surface(fit, 3).excess[::40, ::50]
    rates, batches = np.meshgrid(excess["learning_rate"], excess["batch_size"])
    p, x = draws_of(fit, 3)
    with jax.enable_x64(True):
        draws = run_loss(fit.law, p, x, np.log(rates).ravel(), np.log(batches).ravel()).excess
    some = np.asarray(draws)[:: len(draws) // DRAWS]
    assert excess.values.ravel() == pytest.approx(np.median(some, axis=0))


def test_surface_runs_and_crosses(surface, lost):
    ax, frame = surface.axes[0], lost.runs.frame.query("cell == 0")
    gone, alive = frame[frame["diverged"]], frame[~frame["diverged"]]
    (crosses,) = lines(ax, "x")
    assert len(gone)
    assert sorted(map(tuple, crosses.get_xydata())) == sorted(
        map(tuple, gone[["learning_rate", "batch_size"]].to_numpy())
    )
    means = alive.groupby(["learning_rate", "batch_size"])["loss"].mean()
    runs = ax.collections[-1]
    assert sorted(map(tuple, np.asarray(runs.get_offsets()))) == sorted(means.index)
    lowest = float(lost.draws["cell_optimal_loss"].isel(cell=0).median())
    assert runs.get_array().max() == pytest.approx(means.max() - lowest)
    assert (runs.get_array() >= runs.norm.vmin).all()


def bar_of(ax, label):
    """Middle, lower and upper end of an error bar series."""
    (found,) = (c for c in ax.containers if c.get_label() == label)
    ends = np.array([segment[:, 1] for segment in found.lines[2][0].get_segments()])
    return found.lines[0].get_xdata(), found.lines[0].get_ydata(), ends[:, 0], ends[:, 1]


def test_optima_have_units_and_the_target(optima, fit):
    above, below = optima.axes[:2], optima.axes[2:]
    assert [ax.get_xlabel() for ax in below] == ["data (tokens or data points)"] * 2
    assert [ax.get_ylabel() for ax in below] == ["exponent in\ndata"] * 2
    assert [ax.get_ylabel() for ax in above] == ["best learning rate", "best batch size (data points)"]
    for ax, name in zip(above, ("learning_rate", "batch_size"), strict=True):
        at, middle, low, high = bar_of(ax, "target, 90 %")
        assert at == [TARGET["data"]]
        assert [low[0], middle[0], high[0]] == pytest.approx(predicted(fit, TARGET, name).tolist())
    median = predicted(fit, TARGET, "batch_size")["median"]
    assert optima.axes[1].get_title().startswith(f"target: {median:.3g} (90 %: ")


@pytest.mark.parametrize(
    ("which", "target", "label", "cells"),
    [
        ("fit", TARGET, "cells like the target (params 98.3k)", range(3, 6)),
        ("fit", TARGET, "params 24.6k", range(3)),
        ("pooled", POOLED_TARGET, "cells like the target (lion, params 4M)", range(9, 12)),
        ("pooled", POOLED_TARGET, "lion, params 1M", range(6, 9)),
    ],
)
def test_optima_of_cells_are_those_of_the_draws(which, target, label, cells, request):
    fit = request.getfixturevalue(which)
    axes = plots.optima(fit, at=target).axes[:2]
    for i, cell in enumerate(cells):
        log_batch, log_rate = best(fit, cell)
        for ax, logs in zip(axes, (log_rate, log_batch), strict=True):
            at, middle, low, high = bar_of(ax, label)
            assert len(at) == len(cells)
            assert at[i] == pytest.approx(fit.runs.cells.loc[cell, "data"], rel=0.3)
            assert [low[i], middle[i], high[i]] == pytest.approx(np.exp(np.quantile(logs, [0.05, 0.5, 0.95])))


def test_cells_are_those_of_the_task_of_the_target(pooled):
    figure = drawn(plots.optima(pooled, at=POOLED_TARGET))
    assert not [label for label in labels_of(figure) if "sgd" in label or "adam" in label]


def test_optima_band_is_that_of_new_cells(optima, fit):
    for ax, name in zip(optima.axes[:2], ("learning_rate", "batch_size"), strict=True):
        median = next(line for line in lines(ax, "None") if line.get_color() == BLUE)
        scales = median.get_xdata()
        assert [scales[0], scales[-1]] == pytest.approx([fit.runs.cells["data"].min(), TARGET["data"]])
        corners = band_of(ax, to_rgba(BLUE, 0.2))
        for i in (0, 12, 24):
            row = predicted(fit, TARGET | {"data": scales[i]}, name)
            assert median.get_ydata()[i] == pytest.approx(row["median"])
            for side in ("lower", "upper"):
                assert np.isclose(corners, [scales[i], row[side]]).all(axis=1).any()


def test_optima_with_too_many_groups_for_markers_name_them_together(pooled):
    figure = drawn(plots.optima(pooled, at={"params": 6.4e7, "data": 1.6e9, "task": None}))
    assert labels_of(figure) == ["law at data 1.6B, 90 %", LAW_LABELS[1], "cells unlike the target", "target, 90 %"]
    assert figure.axes[-1].get_xlabel() == "parameters"
    at, *_ = bar_of(figure.axes[0], "cells unlike the target")
    assert len(at) == len(pooled.runs.cells)
    assert {c.lines[0].get_color() for c in figure.axes[0].containers} == {CHAINS[1], ORANGE}


def test_optima_show_the_drift_of_the_exponents(optima, fit):
    """The dashed band goes on from the last runs with the slope that is there; the exponent is the law's slope."""
    cell = new_cell(fit, TARGET)
    beyond, small = np.log(TARGET["data"] / fit.runs.cells["data"].max()), 0.01
    end, before, after = (
        fit.surface.optimum(cell.p, cell.x | {"data": cell.x["data"] - beyond + by}) for by in (0, -small, small)
    )
    straight = {name: end[name] + beyond * (after[name] - before[name]) / (2 * small) for name in end}
    for column, name in enumerate(("learning_rate", "batch_size")):
        ax, below = optima.axes[column], optima.axes[2 + column]
        dashed = [line.get_ydata() for line in ax.lines if line.get_linestyle() == "--"]
        assert [line[-1] for line in dashed] == pytest.approx(
            np.exp(np.quantile(straight[name], [0.05, 0.95])), rel=1e-4
        )
        assert all(np.isnan(line[0]) for line in dashed)  # within the runs there is nothing to go on from
        h = 0.01
        sides = [fit.surface.optimum(cell.p, cell.x | {"data": cell.x["data"] + by})[name] for by in (-h, h)]
        slope = (sides[1] - sides[0]) / (2 * h)
        median = next(line for line in below.lines if line.get_color() == BLUE)
        assert median.get_ydata()[-1] == pytest.approx(np.median(slope), abs=1e-4)
        corners = band_of(below, to_rgba(BLUE, 0.2))
        for end in np.quantile(slope, [0.05, 0.95]):
            assert np.isclose(corners, [TARGET["data"], end], atol=1e-4).all(axis=1).any()
    assert labels_of(optima)[:2] == LAW_LABELS


def test_the_picture_of_a_fit_has_each_size_apart(fit):
    figure = drawn(fit.plot())
    assert labels_of(figure) == [
        "law, 90 % for a new cell",
        "cells of params 24.6k, 90 %",
        "cells of params 98.3k, 90 %",
    ]
    looks = {(c.lines[0].get_color(), c.lines[0].get_marker()) for c in figure.axes[0].containers}
    assert len({colour for colour, _ in looks}) == len({marker for _, marker in looks}) == 2
    ends = [line.get_xdata()[-1] for line in lines(figure.axes[0], "None")]
    assert ends == pytest.approx([4 * fit.runs.cells["data"].max()] * 2)
    at = {"params": 98304, "data": ends[1]}
    assert figure.axes[1].lines[-1].get_marker() == "s"
    last = [line.get_ydata()[-1] for line in lines(figure.axes[1], "None")][1]
    assert last == pytest.approx(predicted(fit, at, "batch_size")["median"])
    at, middle, _low, _high = bar_of(figure.axes[0], "cells of params 98.3k, 90 %")
    assert middle[-1] == pytest.approx(np.exp(np.median(best(fit, 5)[1])))


def test_the_picture_of_a_fit_of_several_tasks_has_a_row_each(pooled):
    figure = drawn(pooled.plot())
    assert [ax.get_title() for ax in figure.axes] == ["adam"] * 2 + ["lion"] * 2 + ["sgd"] * 2
    assert figure.get_suptitle() == ""


def test_runs_have_a_picture(lost):
    runs = lost.runs
    figure = drawn(runs.plot())
    assert [ax.get_ylabel() for ax in figure.axes] == ["loss (nats)", "", ""] * 2
    ax, own = figure.axes[0], runs.frame.query("cell == 0 and batch_size == 32")
    means = own.groupby("learning_rate")["loss"].mean().dropna()
    assert has_line(ax, means.index, means)
    points = next(line for line in ax.lines if line.get_label() == "32")
    assert sorted(points.get_xdata()) == sorted(own["learning_rate"])
    assert "diverged" in labels_of(figure)


def test_residuals_of_runs_are_those_of_the_check(fit):
    ranks, means = ranks_by_side(fit, fitted_cells(fit))
    ax = drawn(plots.residuals(fit)).axes[0]
    assert ax.get_xlabel() == "learning rate / best learning rate of its cell at its batch size"
    points = [line for line in ax.lines if str(line.get_label()).startswith("run ")]
    assert sum(len(line.get_xdata()) for line in points) == len(ranks)
    bars = [(x, y, half) for c in ax.containers for x, y, half in zip(*whole(c), strict=True)]
    expected = [(np.exp(row.distance), row.rank, 2 * row.error) for row in means.itertuples()]
    assert np.allclose(sorted(bars), sorted(expected))
    worst = max((means["rank"] - 0.5).abs() - 2 * means["error"])
    assert one_sidedness(fit, fitted_cells(fit)) == pytest.approx(max(worst, 0.0))


def whole(container):
    """Middle of each error bar, and half its length."""
    ends = np.array([segment[:, 1] for segment in container.lines[2][0].get_segments()])
    return *container.lines[0].get_data(), (ends[:, 1] - ends[:, 0]) / 2


def test_tables_of_values_have_no_optima_to_draw(value_fit):
    with pytest.raises(TypeError, match="this needs a fit to Runs, received one of StepsExamples"):
        plots.optima(value_fit("StepsExamples"))


def test_optima_refuse_a_bad_target(fit):
    with pytest.raises(ValueError, match="at must give exactly params, data: missing params"):
        plots.optima(fit, at={"data": 1e9})


@pytest.mark.parametrize("which", ["fit", "pooled"])
def test_sampling_draws_rank_and_trace_of_the_laws_own_parameters(which, request, tmp_path):
    import matplotlib.pyplot as plt

    fit = request.getfixturevalue(which)
    names = [parameter.name for parameter in fit.law.own_parameters]
    picture = plots.sampling(fit)
    picture.savefig(tmp_path / "sampling.png")
    panels = {c: [picture.viz["plot"][n].sel(column=c).item() for n in names] for c in ("rank", "trace")}
    assert all(len(ax.lines) == fit.tree["posterior"].sizes["chain"] for of in panels.values() for ax in of)
    assert {ax.get_ylim() for ax in panels["rank"]} == {(-w, w) for w in [panels["rank"][0].get_ylim()[1]]}
    assert panels["rank"][0].get_ylim()[1] >= 0.1
    assert {(ax.get_xlabel(), ax.get_ylabel()) for ax in panels["rank"]} == {("fractional rank", "ECDF - uniform")}
    assert [ax.get_ylabel() for ax in panels["trace"]] == [parameter.unit for parameter in fit.law.own_parameters]
    first = fit.tree["posterior"][names[0]].values
    assert all(np.allclose(line.get_ydata(), c) for line, c in zip(panels["trace"][0].lines, first, strict=True))
    assert not any(ax.texts for ax in panels["rank"])
    plt.close(picture.viz["figure"].item())
