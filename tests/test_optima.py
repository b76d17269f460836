import re

import numpy as np
import pandas as pd
import pytest

from hyperlaw.data.estimators.local_optimum import local_optimum
from hyperlaw.data.estimators.local_surface import local_surface
from hyperlaw.data.optima import Optima
from hyperlaw.data.runs import Runs

STEP, RIDGE = np.log(2) / 2, 0.4
NOMINAL = 1.645


def bowl(u, skew):
    return 2 * (np.exp(skew * u) - skew * u - 1) / skew**2


def cells(number=2, rates=11, batches=6, noise=0.002, growth=0.1, seed=0, step=STEP, shift=0.0):
    """Simulated runs and the true ln optimum of each cell, shape (cell, 2)."""
    rng = np.random.default_rng(seed)
    x = np.log(3e-3) + (np.arange(rates) - (rates - 1) / 2) * step
    y = np.log(256.0) + (np.arange(batches) - (batches - 1) / 2) * np.log(2)
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    truth = np.log([3e-3, 256.0]) + rng.uniform(-0.5, 0.5, (number, 2)) * [step, np.log(2)] + [shift, 0]
    frames = []
    for i, (rate, batch) in enumerate(truth):
        v = grid[:, 1] - batch
        excess = 0.05 * bowl(grid[:, 0] - rate - RIDGE * v, 0.6) + 0.02 * bowl(v, 0.1)
        scatter = np.hypot(noise, growth * excess) * rng.normal(size=len(grid))
        columns = {"learning_rate": np.exp(grid[:, 0]), "batch_size": np.exp(grid[:, 1])}
        frames.append(pd.DataFrame(columns | {"data": 1e6 * 1.01**i, "loss": 3 + excess + scatter}))
    return pd.concat(frames, ignore_index=True), truth


def covered(optima, name, truth):
    frame = optima.frame
    return np.abs(np.log(frame[name]) - truth) < NOMINAL * frame[f"{name}_error"]


def published(**columns):
    table = pd.DataFrame(
        {"params": [1e8, 1e9, 1e10], "learning_rate": [3e-3, 1e-3, 5e-4], "batch_size": [64, 128, 512]}
    )
    return table.assign(**columns)


def test_the_optimum_of_a_cell_is_found_within_its_errors():
    frame, truth = cells(noise=0.001)
    optima = Runs.from_frame(frame).optima()
    assert len(optima) == 2
    for i, name in enumerate(("learning_rate", "batch_size")):
        error = optima.frame[f"{name}_error"]
        assert (error < 0.15).all()
        assert (np.abs(np.log(optima.frame[name]) - truth[:, i]) < 3 * error).all()


def test_without_noise_a_quadratic_cell_is_exact():
    frame, truth = cells()
    u = np.log(frame["learning_rate"]) - np.repeat(truth[:, 0], 66)
    v = np.log(frame["batch_size"]) - np.repeat(truth[:, 1], 66)
    optima = Runs.from_frame(frame.assign(loss=2 + u**2 + 0.3 * v**2 - 0.4 * u * v)).optima()
    np.testing.assert_allclose(np.log(optima.frame[["learning_rate", "batch_size"]]), truth, atol=1e-8)
    assert (optima.frame["learning_rate_error"] < 1e-8).all()


@pytest.mark.parametrize(("rates", "batches", "step"), [(11, 6, STEP), (7, 5, 2 * STEP)])
def test_stated_errors_cover(rates, batches, step):
    frame, truth = cells(200, rates, batches, step=step)
    optima = Runs.from_frame(frame).optima()
    for i, name in enumerate(("learning_rate", "batch_size")):
        assert 0.80 <= covered(optima, name, truth[:, i]).mean() <= 0.97


def test_stated_errors_of_a_bootstrap_cover_and_agree():
    frame, truth = cells(100, noise=0.005)
    runs = Runs.from_frame(frame)
    delta, drawn = runs.optima(), runs.optima(bootstrap=50, seed=0)
    np.testing.assert_array_equal(delta.frame["learning_rate"], drawn.frame["learning_rate"])
    for i, name in enumerate(("learning_rate", "batch_size")):
        assert 0.80 <= covered(drawn, name, truth[:, i]).mean() <= 0.97
        assert np.median(drawn.frame[f"{name}_error"] / delta.frame[f"{name}_error"]) == pytest.approx(1, abs=0.2)
    assert np.median(np.abs(drawn.frame["correlation"] - delta.frame["correlation"])) < 0.2
    again = runs.optima(bootstrap=50, seed=0)
    assert again.digest == drawn.digest
    assert runs.optima(bootstrap=50, seed=1).digest != drawn.digest


def test_the_correlation_is_that_of_the_estimates():
    frame, truth = cells(200, noise=0.005)
    found = Runs.from_frame(frame).optima().frame
    misses = np.log(found[["learning_rate", "batch_size"]]).to_numpy() - truth
    assert found["correlation"].median() == pytest.approx(np.corrcoef(misses.T)[0, 1], abs=0.2)


def test_by_batch_gives_the_learning_rate_at_each_batch_size():
    frame, truth = cells(40, rates=9)
    optima = Runs.from_frame(frame).optima(by_batch=True)
    assert optima.estimated == ("learning_rate",)
    assert len(optima) == 240
    ridge = np.repeat(truth[:, 0], 6) + RIDGE * (np.log(optima.frame["batch_size"]) - np.repeat(truth[:, 1], 6))
    inside = optima.frame["learning_rate"].between(
        *(optima.frame[f"learning_rate_{end}"] for end in ("low", "high")), inclusive="neither"
    )
    assert inside.mean() > 0.95
    assert 0.80 <= covered(optima, "learning_rate", ridge)[inside].mean() <= 0.97


@pytest.mark.parametrize(("shift", "end"), [(-3.0, "low"), (3.0, "high")])
@pytest.mark.parametrize("by_batch", [False, True])
def test_an_optimum_beyond_what_was_tried_is_one_sided(shift, end, by_batch):
    frame, _ = cells(noise=1e-4, growth=0.01, shift=shift)
    optima = Runs.from_frame(frame).optima(by_batch=by_batch)
    np.testing.assert_array_equal(optima.frame["learning_rate"], optima.frame[f"learning_rate_{end}"])
    assert (optima.frame["learning_rate_error"] > 0.1).all()
    assert f"({len(optima)} one-sided)" in repr(optima)


def test_diverged_runs_were_tried():
    frame, _ = cells(noise=1e-4, shift=3.0)
    dead = frame.assign(learning_rate=frame["learning_rate"] * 100, loss=np.nan)
    optima = Runs.from_frame(pd.concat([frame, dead], ignore_index=True)).optima()
    assert (optima.frame["learning_rate"] < optima.frame["learning_rate_high"]).all()
    assert optima.frame["learning_rate"].iloc[0] == pytest.approx(frame["learning_rate"].max())


def test_seeds_are_averaged():
    frame, _ = cells()
    rng = np.random.default_rng(1)
    scatter = rng.normal(0, 0.01, len(frame))
    both = pd.concat([frame.assign(seed=0), frame.assign(seed=1)], ignore_index=True)
    both["loss"] += np.concatenate([scatter, -scatter])
    one, two = Runs.from_frame(frame).optima(), Runs.from_frame(both).optima()
    np.testing.assert_allclose(one.frame["learning_rate"], two.frame["learning_rate"], rtol=1e-6)


def test_few_settings_are_known_to_the_step_of_the_grid():
    frame, _ = cells(rates=4, batches=2, noise=1e-5)
    found = Runs.from_frame(frame).optima().frame
    assert found["learning_rate_error"].tolist() == pytest.approx([STEP / np.sqrt(12)] * 2)
    assert set(found["learning_rate"].round(9)) <= set(frame["learning_rate"].round(9))


def test_errors_are_no_wider_than_a_guess():
    rng = np.random.default_rng(0)
    logs = np.stack(np.meshgrid(np.arange(9.0), np.arange(6.0)), axis=-1).reshape(-1, 2)
    for _ in range(30):
        found = local_optimum(logs, rng.normal(size=len(logs)))
        assert (found.error <= np.ptp(logs, axis=0) / np.sqrt(12)).all()
        assert (found.error > 0).all()


def test_the_surface_of_sixteen_settings_is_the_local_surface():
    frame, _ = cells(rates=4, batches=4)
    one = frame.iloc[:16]
    logs, loss = np.log(one[["learning_rate", "batch_size"]].to_numpy()), one["loss"].to_numpy()
    np.testing.assert_allclose(local_optimum(logs, loss).place, local_surface(logs, loss).optimum)


def test_optima_of_runs_carry_task_and_scales():
    frame, _ = cells()
    runs = Runs.from_frame(pd.concat([frame.assign(task=task, utd=2.0) for task in "ba"], ignore_index=True))
    optima = runs.optima()
    assert optima.tasks == ("a", "b")
    assert optima.scales == ("data", "utd")
    assert optima.estimated == ("learning_rate", "batch_size")
    assert list(optima.frame.columns) == [
        "task", "data", "utd", "learning_rate", "learning_rate_error", "learning_rate_low", "learning_rate_high",
        "batch_size", "batch_size_error", "batch_size_low", "batch_size_high", "correlation",
    ]  # fmt: skip
    np.testing.assert_array_equal(optima.frame["task"], runs.cells["task"])
    np.testing.assert_array_equal(optima.frame["data"], runs.cells["data"])


def test_published_optima_are_typed_in():
    source = published(sd=[0.1, 0.2, 0.3], top=[4e-3, 4e-3, np.nan]).rename(columns={"learning_rate": "lr"})
    optima = Optima.from_frame(
        source, learning_rate="lr", batch_unit=2048, error={"learning_rate": "sd"}, high={"learning_rate": "top"}
    )
    frame = optima.frame
    assert optima.estimated == ("learning_rate", "batch_size")
    assert optima.scales == ("params",)
    assert optima.tasks == ("all",)
    np.testing.assert_array_equal(frame["batch_size"], 2048.0 * source["batch_size"])
    assert frame["learning_rate_error"].tolist() == [0.1, 0.2, 0.3]
    assert frame["learning_rate_high"].tolist() == [4e-3, 4e-3, np.inf]
    assert frame["batch_size_error"].tolist() == [0, 0, 0]
    assert frame["correlation"].tolist() == [0, 0, 0]
    assert optima.headline == (
        "Optima: best learning_rate and batch_size of 3 cells (0 one-sided), 1 task; params 100M to 10B"
    )


def test_columns_under_their_own_names_need_no_arguments():
    source = published(learning_rate_error=0.1, learning_rate_low=1e-4, batch_size_high=300, correlation=0.5, task="a")
    frame = Optima.from_frame(source, batch_unit=2).frame
    assert frame["learning_rate_low"].tolist() == [1e-4] * 3
    assert frame["batch_size_high"].tolist() == [600.0] * 3
    assert frame["correlation"].tolist() == [0.5] * 3


def test_a_value_at_or_beyond_an_end_is_kept_at_the_end():
    low, high = [5e-4, 5e-4, 5e-4 * (1 + 1e-12)], [2e-3] * 3
    optima = Optima.from_frame(published(), estimated=("learning_rate",)).frame
    optima = optima.drop(columns=["learning_rate_low", "learning_rate_high"]).assign(lo=low, hi=high)
    optima = Optima.from_frame(
        optima, estimated=("learning_rate",), low={"learning_rate": "lo"}, high={"learning_rate": "hi"}
    )
    assert optima.frame["learning_rate"].tolist() == [2e-3, 1e-3, low[2]]
    assert "(2 one-sided)" in repr(optima)


def test_points_are_by_row_and_quantity():
    optima = Optima.from_frame(published(learning_rate_error=0.2, batch_size_low=1.0))
    points = optima.points()
    assert list(points.columns) == ["row", "quantity", "value", "error", "low", "high"]
    assert points["row"].tolist() == [0, 0, 1, 1, 2, 2]
    assert points["quantity"].tolist() == ["learning_rate", "batch_size"] * 3
    assert points["value"].tolist() == [3e-3, 64, 1e-3, 128, 5e-4, 512]
    assert points["error"].tolist() == [0.2, 0] * 3
    assert points["low"].tolist() == [0, 1] * 3
    assert (points["high"] == np.inf).all()


def test_what_is_not_estimated_is_given():
    optima = Optima.from_frame(published(utd=2.0), estimated=("learning_rate",))
    assert optima.scales == ("params", "utd")
    assert set(optima.points()["quantity"]) == {"learning_rate"}
    assert optima.frame["batch_size"].tolist() == [64, 128, 512]
    assert "correlation" not in optima.frame


def test_an_estimated_utd_is_no_scale():
    table = pd.DataFrame({"budget": [1e10, 1e11], "utd": [1.0, 3.0], "utd_error": [0.1, 0.2]})
    optima = Optima.from_frame(table, estimated=("utd",))
    assert optima.scales == ("budget",)
    assert optima.points()["quantity"].tolist() == ["utd", "utd"]
    assert optima.points()["error"].tolist() == [0.1, 0.2]


def test_improvement_at_each_batch_size():
    table = pd.DataFrame(
        {"batch_size": [1, 2, 4], "improvement": [0.1, 0.15, 0.2], "optimizer": ["sgd", "sgd", "adam"]}
    )
    optima = Optima.from_frame(table, estimated=("improvement",))
    assert optima.scales == ()
    assert optima.frame["optimizer"].tolist() == ["sgd", "sgd", "adam"]
    assert optima.points()["value"].tolist() == [0.1, 0.15, 0.2]
    assert optima.headline == "Optima: best improvement of 3 cells (0 one-sided), 1 task"


def test_labels_digest_and_where():
    source = published().set_axis(["s", "m", "l"])
    optima = Optima.from_frame(source)
    assert optima.labels == ["s", "m", "l"]
    left = optima.where(optima.frame["params"] > 5e8)
    assert left.labels == ["m", "l"]
    assert len(left) == 2
    assert left.scales == ("params",)
    assert left.digest != optima.digest
    assert Optima.from_frame(published()).digest == optima.digest
    assert Optima.from_frame(published(), estimated=("learning_rate",)).digest != optima.digest
    assert Optima(optima.frame).digest == optima.digest


def test_the_table_is_neither_changed_nor_kept():
    source = published()
    before = source.copy()
    optima = Optima.from_frame(source, batch_unit=2)
    frame = optima.frame
    frame["learning_rate"] = 1.0
    source["learning_rate"] = 2.0
    np.testing.assert_array_equal(optima.frame["learning_rate"], before["learning_rate"])
    with pytest.raises(AttributeError):
        optima._frame = source


def sparse(**kept):
    frame, _ = cells(rates=6, batches=3, seed=1)
    first = frame["data"] == frame["data"].min()
    return Runs.from_frame(frame[~first | frame.index.isin(kept["rows"])])


REFUSED = {
    "no rows": (lambda: Optima.from_frame(published().iloc[:0]), "the table has no rows: one row at least is needed."),
    "missing column": (
        lambda: Optima.from_frame(published(), learning_rate="rate"),
        "learning_rate: there is no column 'rate'. Did you mean 'learning_rate'? The columns are: params",
    ),
    "nothing estimated": (
        lambda: Optima.from_frame(pd.DataFrame({"params": [1e8]})),
        "estimated must name one or more of learning_rate, batch_size, utd, improvement, received (). Name their col",
    ),
    "strange quantity": (
        lambda: Optima.from_frame(published(), estimated=("momentum",)),
        "estimated must name one or more of learning_rate, batch_size, utd, improvement, received ('momentum',). Name",
    ),
    "a name that is no tuple": (
        lambda: Optima.from_frame(published(), estimated="learning_rate"),
        "received 'learning_rate'. Name their columns, or what was measured, such as estimated=('learning_rate',).",
    ),
    "estimated but absent": (
        lambda: Optima.from_frame(published(), estimated=("utd",)),
        "utd: there is no column 'utd'.",
    ),
    "error of what is given": (
        lambda: Optima.from_frame(published(sd=0.1), estimated=("learning_rate",), error={"batch_size": "sd"}),
        "error was named for 'batch_size', which is not estimated; estimated are: learning_rate. Name it in estimated=",
    ),
    "zero learning rate": (
        lambda: Optima.from_frame(published(learning_rate=[1, 0, 1])),
        "column 'learning_rate' must be finite and above zero, but is not in 1 row: 1 (0.0).",
    ),
    "negative error": (
        lambda: Optima.from_frame(published(learning_rate_error=[0.1, -0.1, np.nan])),
        "column 'learning_rate_error' must be finite and not negative, but is not in 2 rows: 1 (-0.1), 2 (nan).",
    ),
    "ends the wrong way round": (
        lambda: Optima.from_frame(published(learning_rate_low=[1e-4, 2e-3, 1e-4], learning_rate_high=1e-3)),
        "learning_rate_low must be zero or more and below learning_rate_high, but is not in 1 row, first 1: 0.002 and "
        "0.001. They are the ends of the range in which learning_rate could be read.",
    ),
    "correlation": (
        lambda: Optima.from_frame(published(correlation=[0, 1.5, 0])),
        "column 'correlation' must lie between -1 and 1, but does not in 1 row, first 1: 1.5.",
    ),
    "no optimizer": (
        lambda: Optima.from_frame(published(optimizer=["adam", None, "sgd"])),
        "column 'optimizer' must hold a name in every row, but holds none in 1 row: 1 (",
    ),
    "sequences beside tokens": (
        lambda: Optima.from_frame(published(data=1e10)),
        "batch_size (64 to 512) looks like sequences beside data in tokens",
    ),
    "nothing left": (
        lambda: (lambda o: o.where(o.frame["params"] < 0))(Optima.from_frame(published())),
        "no row is left: `keep` is false for all 3 rows. Keep one at least.",
    ),
    "keep of another table": (
        lambda: Optima.from_frame(published()).where(pd.Series([True])),
        "one entry a row and the index of `frame`; make it from `optima.frame`, received Series.",
    ),
    "keep without an index": (
        lambda: Optima.from_frame(published()).where(np.array([True, True, False])),
        "one entry a row and the index of `frame`; make it from `optima.frame`, received ndarray.",
    ),
    "few settings": (
        lambda: sparse(rows=[0, 1, 2]).optima(),
        "1 of 2 cells have fewer than 4 settings with a finite loss, first task 'all', data 1e+06: 3. Add runs there, "
        "or leave them out with `where`.",
    ),
    "few learning rates of a batch size": (
        lambda: sparse(rows=[0, 1, 2, 6, 7, 8, 9]).optima(by_batch=True),
        "1 of 5 batch sizes of cells have fewer than 4 learning rates with a finite loss, first task 'all', data "
        "1e+06, batch_size 128: 3. Add runs",
    ),
    "single batch size": (
        lambda: sparse(rows=range(6)).optima(),
        "1 of 2 cells have a single batch size with a finite loss, first task 'all', data 1e+06: nothing says which is "
        "best. Pass by_batch=True for the best learning rate at each batch size",
    ),
    "no seed": (
        lambda: sparse(rows=range(18)).optima(bootstrap=10),
        "bootstrap draws at random and needs a seed: pass seed=<whole number>.",
    ),
    "one draw": (
        lambda: sparse(rows=range(18)).optima(bootstrap=1, seed=0),
        "bootstrap must be 0 (the delta method) or a whole number from 2, received 1.",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_reason_rows_and_what_is_allowed(case):
    make, text = REFUSED[case]
    with pytest.raises(ValueError, match=re.escape(text)):
        make()
