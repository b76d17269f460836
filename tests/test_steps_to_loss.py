import re

import numpy as np
import pandas as pd
import pytest

import hyperlaw as hl
from hyperlaw.data.steps_to_loss import StepsToLoss


def table(sizes=(1e8, 1e9), batches=(64, 256, 1024, 4096)):
    rows = [
        {"params": n, "loss": 3.4 if n < 5e8 else 2.9, "batch_size": b, "steps": 2000 * (1 + 800 / b)}
        for n in sizes for b in batches
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_batches_are_data_points_and_examples_are_made():
    steps = StepsToLoss.from_frame(table(), batch_unit=512)
    frame = steps.frame
    assert list(frame.columns) == [
        "task", "params", "loss", "batch_size", "steps", "examples", "error", "curve"
    ]  # fmt: skip
    np.testing.assert_array_equal(frame["batch_size"], 512.0 * table()["batch_size"])
    np.testing.assert_array_equal(frame["examples"], frame["batch_size"] * frame["steps"])
    assert frame["curve"].tolist() == [0] * 4 + [1] * 4
    assert steps.scales == ("params",)
    assert steps.headline == "StepsToLoss: 8 batch sizes on 2 curves, losses 2.9 to 3.4, 1 task; params 100M to 1B"


def test_columns_of_other_names():
    source = table().rename(columns={"loss": "goal", "batch_size": "bs", "steps": "S"}).assign(group="adam", sd=0.1)
    steps = StepsToLoss.from_frame(source, loss="goal", batch_size="bs", steps="S", task="group", error="sd")
    assert steps.tasks == ("adam",)
    assert steps.frame["error"].tolist() == [0.1] * 8


def test_a_curve_is_a_task_scale_and_loss():
    both = pd.concat([table().assign(task="a"), table().assign(task="b")], ignore_index=True)
    frame = StepsToLoss.from_frame(both).frame
    assert frame.groupby("curve")[["task", "params", "loss"]].nunique().max().max() == 1
    assert frame["curve"].nunique() == 4
    lower = StepsToLoss.from_frame(pd.concat([table(), table().assign(loss=2.0)], ignore_index=True))
    assert lower.frame["curve"].nunique() == 4


def test_no_scale_is_needed():
    steps = StepsToLoss.from_frame(table(sizes=(1e8,)).drop(columns="params"))
    assert steps.scales == ()
    assert steps.headline == "StepsToLoss: 4 batch sizes on 1 curve, losses 3.4 to 3.4, 1 task"


def test_points_are_steps_that_can_always_be_read():
    points = StepsToLoss.from_frame(table().assign(error=0.2)).points()
    assert list(points.columns) == ["row", "quantity", "value", "error", "low", "high"]
    assert points["row"].tolist() == list(range(8))
    assert set(points["quantity"]) == {"steps"}
    np.testing.assert_array_equal(points["value"], table()["steps"])
    assert set(points["error"]) == {0.2}
    assert set(points["low"]) == {0.0}
    assert set(points["high"]) == {np.inf}


def test_where_numbers_the_curves_anew():
    steps = StepsToLoss.from_frame(table().set_axis([f"r{i}" for i in range(8)]))
    left = steps.where(steps.frame["params"] > 5e8)
    assert left.labels == ["r4", "r5", "r6", "r7"]
    assert left.frame["curve"].tolist() == [0] * 4
    assert left.digest != steps.digest
    assert StepsToLoss.from_frame(table()).digest == steps.digest


REFUSED = {
    "no rows": (lambda: StepsToLoss.from_frame(table().iloc[:0]), "the table has no rows: one row at least is needed."),
    "no steps": (
        lambda: StepsToLoss.from_frame(table(), steps="step"),
        "steps: there is no column 'step'. Did you mean",
    ),
    "zero steps": (
        lambda: StepsToLoss.from_frame(table().assign(steps=[0, *[5] * 7])),
        "column 'steps' must be finite and above zero, but is not in 1 row: 0 (0.0).",
    ),
    "no loss": (
        lambda: StepsToLoss.from_frame(table().assign(loss=[np.nan, *[3] * 7])),
        "column 'loss' must be finite, but is not in 1 row: 0 (nan).",
    ),
    "negative error": (
        lambda: StepsToLoss.from_frame(table().assign(error=-0.1)),
        "column 'error' must be finite and not negative, but is not in 8 rows: 0 (-0.1)",
    ),
    "sequences beside tokens": (
        lambda: StepsToLoss.from_frame(table().assign(data=1e10)),
        "batch_size (64 to 4096) looks like sequences beside data in tokens",
    ),
    "repeats": (
        lambda: StepsToLoss.from_frame(pd.concat([table(), table().iloc[[1]]], ignore_index=True)),
        "2 rows repeat another (task, params, loss, batch_size all equal), first rows 1, 8. Keep the fewest steps of",
    ),
    "single batch size": (
        lambda: StepsToLoss.from_frame(table().iloc[:5]),
        "1 of 2 curves have a single batch size, first task all, params 1000000000.0, loss 2.9: one alone says nothing",
    ),
    "single batch size left": (
        lambda: (lambda s: s.where(s.frame["batch_size"] == 64))(StepsToLoss.from_frame(table())),
        "2 of 2 curves have a single batch size",
    ),
    "nothing left": (
        lambda: (lambda s: s.where(s.frame["steps"] < 0))(StepsToLoss.from_frame(table())),
        "no row is left: `keep` is false for all 8 rows.",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_reason_rows_and_what_is_allowed(case):
    make, text = REFUSED[case]
    with pytest.raises(ValueError, match=re.escape(text)):
        make()


DATA = 1000.0 * 2.0 ** np.arange(8)
RATES = (0.1, 0.2, 0.4)


def curve(batch_size, rate, seed, when, data=DATA):
    """A run whose loss falls linearly in ln data and is 2 at `when`, so that interpolation is exact."""
    loss = 2 - np.log(data / when)
    return pd.DataFrame({"batch_size": batch_size, "learning_rate": rate, "seed": seed, "data": data, "loss": loss})


def runs(when, batches=(10, 20), seeds=1):
    """Runs that reach a loss of 2 after `when(batch size, learning rate, seed)` data points."""
    curves = [curve(b, r, s, when(b, r, s)) for b in batches for r in RATES for s in range(seeds)]
    return pd.concat(curves, ignore_index=True)


def steps(frame, losses=(2.0,), bootstrap=100, seed=0):
    return hl.Runs.from_frame(frame).steps_to_loss(losses, bootstrap=bootstrap, seed=seed)


def test_steps_of_the_best_learning_rate_are_interpolated():
    def when(b, r, s):
        return 3000 * (1 + b / 10) * (1 if r == 0.2 else 1.3)

    found = steps(runs(when), losses=[2.0, 1.5]).frame
    assert found["batch_size"].tolist() == [10, 10, 20, 20]
    assert found["loss"].tolist() == [1.5, 2.0, 1.5, 2.0]
    expected = [600 * np.exp(0.5), 600, 450 * np.exp(0.5), 450]
    np.testing.assert_allclose(found["steps"], expected)
    assert found["error"].tolist() == [0.0] * 4


def test_seeds_are_averaged_in_logs_and_scatter_by_their_standard_error():
    frame = runs(lambda b, r, s: 4000 * np.exp(0.3 * (-1) ** s) * (1 if r == 0.2 else 4), seeds=2)
    found = steps(frame, bootstrap=4000).frame
    np.testing.assert_allclose(found["steps"], [400, 200])
    np.testing.assert_allclose(found["error"], 0.3, rtol=0.05)


def test_error_holds_the_choice_of_the_learning_rate():
    def when(b, r, s):
        return {0.1: 4000 * 4.0**s, 0.2: 16000 / 4.0**s, 0.4: 60000}[r]

    found = steps(runs(when, seeds=2), bootstrap=4000).frame
    np.testing.assert_allclose(found["steps"], [800, 400])
    # Of four equally likely draws two take one seed twice, and with it ln 2 fewer: 1/2 ln 2, times sqrt(2).
    np.testing.assert_allclose(found["error"], np.log(2) / np.sqrt(2), rtol=0.05)


@pytest.mark.parametrize(("seeds", "expected"), [(2, 300), (3, 600)])
def test_a_learning_rate_counts_when_half_of_its_seeds_reach_the_loss(seeds, expected):
    frame = runs(lambda b, r, s: (3000 if s == 0 else 1e9) if r == 0.4 else 6000, seeds=seeds)
    np.testing.assert_allclose(steps(frame).frame["steps"], [expected, expected / 2])


def test_a_loss_that_rises_again_was_reached_the_first_time():
    frame = runs(lambda b, r, s: 3000)
    risen = frame.assign(loss=frame["loss"].where(frame["data"] < 8000, 9.0))
    np.testing.assert_allclose(steps(risen).frame["steps"], [300, 150])


def test_recovery_from_divergence_counts_at_the_later_point():
    frame = runs(lambda b, r, s: 3000)
    broken = frame.assign(loss=frame["loss"].where((frame["data"] > 2000) | (frame["batch_size"] == 20)))
    np.testing.assert_allclose(steps(broken).frame["steps"], [400, 150])


def test_batch_sizes_without_known_steps_are_left_out():
    when = {10: 3000, 20: 3000, 40: 500, 80: 1e9}
    found = steps(runs(lambda b, r, s: when[b], batches=when)).frame
    assert found["batch_size"].tolist() == [10, 20]


def test_runs_scored_late_are_passed_over():
    frame = runs(lambda b, r, s: 3000)
    late = pd.concat([frame, *(curve(b, 0.2, 1, 2500, DATA[3:]) for b in (10, 20))])
    found = steps(late).frame
    np.testing.assert_allclose(found["steps"], [300, 150])
    assert found["error"].tolist() == [0.0, 0.0]


def test_each_task_size_and_loss_is_a_curve_and_a_task():
    frame = runs(lambda b, r, s: 3000)
    sized = pd.concat([frame.assign(params=1e6), frame.assign(params=4e6, loss=frame["loss"] - 0.1)])
    found = steps(sized, [2.0, 1.5])
    assert found.scales == ("params",)
    assert found.frame["curve"].nunique() == 4
    assert found.tasks == (
        "params 1e+06, loss 1.5", "params 1e+06, loss 2", "params 4e+06, loss 1.5", "params 4e+06, loss 2"
    )  # fmt: skip
    both = pd.concat([frame.assign(task="adam"), frame.assign(task="sgd")])
    assert steps(both).tasks == ("adam, loss 2", "sgd, loss 2")


def test_the_same_seed_gives_the_same_steps():
    frame = runs(lambda b, r, s: 4000 * np.exp(0.1 * s), seeds=4)
    assert steps(frame).digest == steps(frame.sample(frac=1, random_state=0)).digest
    assert steps(frame).digest != steps(frame, seed=1).digest


SCORED = runs(lambda b, r, s: 3000)
SHORT, LONG = (SCORED[SCORED["data"] == data] for data in (2000, 4000))
NO_STEPS = {
    "no losses": (SCORED, [], "losses must be finite numbers, one or more, none repeated; received []."),
    "repeated loss": (SCORED, [2.0, 2.0], "none repeated; received [2.0, 2.0]."),
    "infinite loss": (SCORED, [np.inf], "losses must be finite numbers"),
    "one point": (
        pd.concat([SHORT, LONG.assign(seed=1)]),
        [2.0],
        "needs several data points of every run, but these runs have one each",
    ),
    "no data": (
        SCORED.rename(columns={"data": "params"}),
        [2.0],
        "needs several data points of every run, but these runs have no data column: when a loss was reached on the",
    ),
    "updates to data": (SCORED.assign(utd=2.0), [2.0], "have an updates-to-data ratio, which changes the steps."),
    "never": (
        SCORED,
        [-9.0],
        "task all: 0 of 2 batch sizes reach a loss of -9 after their first logged point, and 2 are needed. The lowest "
        "loss there is -1.753. Pass higher losses",
    ),
    "at once": (SCORED, [5.0], "0 of 2 batch sizes reach a loss of 5 after their first logged point"),
}  # fmt: skip


@pytest.mark.parametrize("case", NO_STEPS)
def test_runs_without_steps_to_a_loss_are_refused(case):
    frame, losses, text = NO_STEPS[case]
    with pytest.raises(ValueError, match=re.escape(text)):
        steps(frame, losses)


@pytest.mark.parametrize("bootstrap", [1, 2.5])
def test_a_bootstrap_that_is_no_number_of_draws_is_refused(bootstrap):
    with pytest.raises(ValueError, match=r"bootstrap must be a whole number from 2 \(100 is usual\), received"):
        steps(SCORED, bootstrap=bootstrap)


def test_data_of_a_curve_are_its_fewest_examples():
    table = steps(runs(lambda b, r, s: 3000 * (1 + b / 10)), losses=[2.0, 1.5])
    with pytest.raises(ValueError, match="CriticalBatchData needs data, which this table does not have"):
        hl.fit(hl.laws.CriticalBatchData(), table, seed=0)
    found = table.with_data()
    least = table.frame.groupby("loss")["examples"].min()
    assert found.scales == ("data",)
    np.testing.assert_array_equal(found.frame["data"], found.frame["loss"].map(least))
    kept = ["task", "loss", "batch_size", "steps", "examples", "error"]
    pd.testing.assert_frame_equal(found.frame[kept], table.frame[kept])
    assert "data" not in table.frame
    with pytest.raises(ValueError, match=r"has data already, 6e\+03 to 9.89e\+03; with_data would replace them. Make"):
        found.with_data()


def test_data_may_be_less_than_the_largest_batch():
    table = StepsToLoss.from_frame(
        pd.DataFrame({"steps": [100.0, 20.0, 5.0], "batch_size": [1.0, 10.0, 900.0], "loss": 1.0}), batch_unit=1
    )
    assert table.with_data().frame["data"].tolist() == [100.0] * 3
