"""One run read at several horizons is one run: its readings share its luck."""

import jax
import numpy as np
import pytest
from agreement import recovered
from conftest import CHECKED, TRUTH, grid, simulate
from scipy.stats import kstest, t

import hyperlaw as hl
from hyperlaw.models.likelihoods.loss_surface import readings_before
from hyperlaw.models.likelihoods.run_readings import RunReadings

BEFORE = np.array([-1, 0, 1, -1, 3])
LOC, SCALE = np.array([3.0, 2.5, 2.2, 3.0, 2.0]), np.array([0.1, 0.2, 0.1, 0.1, 0.3])


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def readings(kept=0.8, edge=np.inf):
    return RunReadings(LOC, SCALE, np.broadcast_to(edge, 5), BEFORE, kept)


def test_readings_of_one_run_go_together():
    drawn = np.asarray(readings().sample(jax.random.key(0), (40_000,)))
    found = np.corrcoef(((drawn - LOC) / SCALE).T)
    expected = [[1, 0.8, 0.64, 0, 0], [0.8, 1, 0.8, 0, 0], [0.64, 0.8, 1, 0, 0], [0, 0, 0, 1, 0.8], [0, 0, 0, 0.8, 1]]
    np.testing.assert_allclose(found, expected, atol=0.05)
    np.testing.assert_allclose(drawn.std(axis=0), SCALE * np.sqrt(2), rtol=0.1)  # of t with 4 degrees of freedom


def test_the_density_of_a_reading_is_that_given_the_one_before():
    value = np.array([3.2, 2.4, 2.3, 2.9, 2.1])
    z = (value - LOC) / SCALE
    left = np.array([z[0], z[1] - 0.8 * z[0], z[2] - 0.8 * z[1], z[3], z[4] - 0.8 * z[3]])
    narrow = np.where(BEFORE >= 0, 0.6, 1.0)
    expected = t(4).logpdf(left / narrow) - np.log(narrow * SCALE)
    np.testing.assert_allclose(readings().log_prob(value), expected)
    np.testing.assert_allclose(readings(kept=0.0).log_prob(value), t(4).logpdf(z) - np.log(SCALE))


def test_a_reading_at_its_edge_passes_no_luck_on():
    value = np.array([3.05, 2.4, 2.3, 2.9, 2.1])
    narrow = np.where(np.arange(5) == 0, 3.05, np.inf)
    found = readings(edge=narrow).log_prob(value)
    assert found[0] == pytest.approx(t(4).logsf(0.5))
    assert found[1] == pytest.approx(t(4).logpdf(-0.5) - np.log(0.2))  # as of a run of its own
    drawn = np.asarray(readings(edge=narrow).sample(jax.random.key(1), (40_000,)))
    beyond = drawn[:, 0] == 3.05
    assert beyond.mean() == pytest.approx(t(4).sf(0.5), abs=0.01)
    assert kstest((drawn[beyond, 1] - 2.5) / 0.2, t(4).cdf).pvalue > 1e-4


def test_which_reading_comes_before():
    frame = grid(rates=3, batches=1)
    frame["run"] = frame.groupby(["params", "learning_rate"]).ngroup()
    shuffled = frame.sample(frac=1, random_state=0).assign(loss=1.0)
    runs = hl.Runs.from_frame(shuffled, batch_unit=1)
    rows, before = runs.frame.reset_index(drop=True), readings_before(runs.frame, np.ones(len(runs), bool))
    for row, earlier in enumerate(before):
        same = rows[(rows["run"] == rows["run"][row]) & (rows["data"] < rows["data"][row])]
        assert earlier == (same["data"].idxmax() if len(same) else -1)
    # What is left out, or diverged, is not there to follow.
    seen = (rows["data"] != 4e8).to_numpy()
    skipped = readings_before(runs.frame, seen)
    last = np.flatnonzero(rows["data"] == 1.6e9)
    assert (rows["data"].to_numpy()[skipped[last]] == 1e8).all()
    assert (skipped[~seen] == -1).all()
    plain = hl.Runs.from_frame(shuffled.drop(columns="run"), batch_unit=1)
    assert (readings_before(plain.frame, np.ones(len(plain), bool)) == -1).all()


def test_rows_of_one_run_must_differ_in_data_alone():
    frame = grid(rates=3, batches=2).assign(loss=1.0)
    frame["name"] = frame.groupby(["params", "learning_rate"]).ngroup()
    with pytest.raises(
        ValueError, match=r"run '0.*' \(column 'name'\) has several values of batch_size\. Name the column"
    ):
        hl.Runs.from_frame(frame, run="name")
    frame.loc[3, "name"] = np.nan
    with pytest.raises(ValueError, match=r"column 'name' must name a run in every row, but names none in"):
        hl.Runs.from_frame(frame, run="name")


def test_shipped_sweeps_say_which_rows_are_one_run():
    for name in ("lm_adam", "lm_optimizers", "digits"):
        runs = hl.load_sweep(name)
        frame = runs.frame
        sizes = frame.groupby("run").size()
        assert sizes.max() > 3
        assert (frame.groupby("run")[["learning_rate", "batch_size", "seed", "task"]].nunique() == 1).all(axis=None)
        assert not frame.duplicated(["run", "data"]).any()


@pytest.mark.slow
def test_luck_that_runs_keep_is_seen():
    frame = grid(rates=5, batches=3)
    frame["run"] = frame.groupby(["params", "learning_rate", "batch_size"]).ngroup()
    runs = simulate(hl.laws.StepLaw(), frame, seed=3, truth=TRUTH | {"luck_kept": 0.9})
    fit = hl.fit(hl.laws.StepLaw(), runs, seed=0, **CHECKED)
    recovered(fit.draws["luck_kept"], 0.9)
