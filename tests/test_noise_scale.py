"""Noise scales from squared norms: unbiased, with errors that hold, one-sided where the gradient is lost in noise."""

import re

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from agreement import recovered
from value_fits import long_refit

import hyperlaw as hl
from hyperlaw.inference.bands import value_bands
from hyperlaw.inference.predict import predict
from hyperlaw.models.identifiability import contrasts

SMALL, BIG = 8, 256


def norms(gradient, noise_scale, count, rng, weights=400, batches=(SMALL, BIG)):
    """Squared norms of gradients whose mean has this squared norm, and whose examples scatter by that noise scale."""
    mean = np.full(weights, np.sqrt(gradient / weights))
    sd = np.sqrt(gradient * noise_scale / weights)
    return [((mean + sd / np.sqrt(b) * rng.standard_normal((count, weights))) ** 2).sum(-1) for b in batches]


def test_both_estimates_are_exact_where_norms_are_their_expectations():
    found = hl.noise_scale(3.0 + 50 / 8, 3.0 + 50 / 256, small_batch=8, big_batch=256)
    assert found.squared_gradient == pytest.approx(3)
    assert found.trace == pytest.approx(50)
    assert found.noise_scale == pytest.approx(50 / 3)
    assert np.isnan(found.error)
    assert not found.one_sided
    lost = hl.noise_scale(5.0, 0.1, small_batch=8, big_batch=256)
    assert (lost.noise_scale, lost.one_sided) == (np.inf, True)


def test_single_examples_are_batches_of_one():
    gradients = np.random.default_rng(0).standard_normal((64, 5)) + 1
    found = hl.noise_scale(
        (gradients**2).sum(1).mean(), (gradients.mean(0) ** 2).sum(), small_batch=1, big_batch=64
    )  # fmt: skip
    assert found.trace == pytest.approx(np.trace(np.cov(gradients.T)))
    assert found.squared_gradient == pytest.approx((gradients.mean(0) ** 2).sum() - found.trace / 64)


def test_quadratic_forms_give_the_noise_scale_with_curvature():
    rng = np.random.default_rng(0)
    mean, curvature, sd = np.array([1.0, 2.0, 0.5]), np.array([4.0, 1.0, 0.1]), np.array([3.0, 1.0, 8.0])
    forms = [
        (curvature * (mean + sd / np.sqrt(b) * rng.standard_normal((40_000, 3))) ** 2).sum(-1) for b in (SMALL, BIG)
    ]
    found = hl.noise_scale(*forms, small_batch=SMALL, big_batch=BIG)
    assert abs(np.log(found.noise_scale / ((curvature * sd**2).sum() / (curvature * mean**2).sum()))) < 4 * found.error


def test_errors_hold_and_nothing_is_told_where_nothing_is_seen():
    """Standard scores of ln noise scale are standard; where few are clear, the one-sided ones agree with the truth."""
    rng = np.random.default_rng(1)
    clear = [hl.noise_scale(*norms(1, 300, 16, rng), small_batch=SMALL, big_batch=BIG) for _ in range(400)]
    score = np.array([np.log(one.noise_scale / 300) / one.error for one in clear if not one.one_sided])
    assert len(score) > 380
    assert abs(np.median(score)) < 0.25
    assert 0.8 < np.diff(np.quantile(score, [0.16, 0.84]))[0] / 2 < 1.3
    hidden = [hl.noise_scale(*norms(1, 1e5, 16, rng), small_batch=SMALL, big_batch=BIG) for _ in range(400)]
    assert np.mean([one.one_sided for one in hidden]) > 0.9
    below = [one.noise_scale < 1e5 * np.exp(2 * one.error) for one in hidden if one.one_sided]
    assert np.mean(below) > 0.9


NORMS = {"small": [9.0, 8.0], "big": [2.0, 2.1], "small_batch": 8, "big_batch": 256}
REFUSED = {
    "lengths": ({"big": [1.0]}, "small and big must be pairs of squared norms, received shapes (2,) and (1,)."),
    "overflow": ({"small": [9.0, np.inf]}, "small must hold finite squared norms, received inf at position 1. Leave"),
    "batches": ({"small_batch": 256}, "small_batch must be above zero and below big_batch, both finite, received 256"),
    "swapped": (
        {"small": [2.0, 2.1], "big": [9.0, 8.0]},
        "squared norms must fall with the batch size, but small averages 2.05 and big 8.5 over 2 measurements: no",
    ),
    "wrong batches": (
        {"small": [9.0, 9.1] * 8, "big": [1.0, 1.01] * 8, "small_batch": 64, "big_batch": "256"},
        "squared norms cannot fall faster than the batch size grows, but small averages 9.05 and big 1 at batches of "
        "64 and 256. Are these the batches that each gradient was averaged over, all workers and accumulated",
    ),
    "no number": ({"big_batch": None}, "big_batch must be a number such as 1e9, '7B' or '32k', received None."),
    "copies": (
        {"small": [9.0, 9.0], "big": [2.0, 2.0]},
        "all 2 measurements are the same, so no error can be told. Give each its own batches.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_norms_that_cannot_be_right_are_refused(case):
    change, text = REFUSED[case]
    given = NORMS | change
    with pytest.raises(ValueError, match=re.escape(text)):
        hl.noise_scale(given.pop("small"), given.pop("big"), **given)


def logged(runs=("a", "b"), steps=40, scale=300.0, seed=0):
    """What a loop logs: norms, step, data and a falling loss, one row a step, in no order."""
    rng, parts = np.random.default_rng(seed), []
    for run in runs:
        loss = 3.0 * 0.99 ** np.arange(steps)
        rows = [norms(1.0, scale * (3.0 / one) ** 2, 1, rng) for one in loss]
        small, big = np.squeeze(rows).T
        step = np.arange(1, steps + 1)
        columns = {"run": run, "step": step, "tokens": 512 * step, "loss": loss, "small": small, "big": big}
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True).sample(frac=1, random_state=0)


def table(frame=None, **change):
    words = {"small_batch": SMALL, "big_batch": BIG, "data": "tokens", "task": "run"}
    return hl.NoiseMeasurements.from_norms(logged() if frame is None else frame, **words | change)


def test_windows_are_neighbours_along_training():
    found = table()
    frame = found.frame
    assert list(frame.columns) == ["task", "data", "loss", "step", "noise_scale", "error", "high"]
    assert frame["task"].tolist() == ["a", "a", "b", "b"]
    np.testing.assert_allclose(frame["step"], [8.5, 28.5] * 2)  # 16 steps, and the 24 that are left
    np.testing.assert_allclose(frame["data"].iloc[0], 512 * np.exp(np.log(np.arange(1, 17)).mean()))
    rows = logged().query("run == 'a' and step <= 16").sort_values("step")
    first = hl.noise_scale(rows["small"], rows["big"], small_batch=SMALL, big_batch=BIG)
    np.testing.assert_allclose(frame.loc[0, ["noise_scale", "error"]].to_numpy(float), first[:2])
    assert found.scales == ("data",)
    assert found.headline == "NoiseMeasurements: 4 windows (0 one-sided), 2 tasks; data 3482 to 14.1k"
    per_unit = table(batch_unit=4)
    np.testing.assert_allclose(per_unit.frame["noise_scale"], 4 * frame["noise_scale"])


def test_windows_that_lose_the_gradient_are_one_sided():
    points = table(logged(scale=1e5)).points()
    assert set(points["quantity"]) == {"noise_scale"}
    beyond = points["value"] >= points["high"]
    assert beyond.any()
    assert np.isinf(points.loc[~beyond, "high"]).all()
    assert np.isfinite(points["value"]).all()
    assert set(points["low"]) == {0.0}


def test_published_noise_scales_can_be_typed_in():
    typed = pd.DataFrame({"task": ["MNIST", "SVHN"], "B_simple": [900, 4000], "most": [np.nan, 2000]})
    found = hl.NoiseMeasurements.from_frame(typed, noise_scale="B_simple", high="most", batch_unit=2)
    assert found.frame["noise_scale"].tolist() == [1800, 4000]
    assert found.frame["high"].tolist() == [np.inf, 4000]
    assert found.frame["error"].tolist() == [0, 0]
    assert "1 one-sided" in found.headline


HELD = hl.NoiseMeasurements.from_frame
TYPED = pd.DataFrame({"loss": [3.0, 2.0], "noise_scale": [10.0, 20.0]})
REFUSED_TABLES = {
    "no norms": (lambda: table(logged().drop(columns="big")), "big: there is no column 'big'."),
    "few": (
        lambda: table(logged(steps=12)),
        "task a: 12 measurements make no window of 16. Measure more often, or pass a smaller window= (at least 8).",
    ),
    "window": (
        lambda: table(window=4),
        "window must be a whole number of measurements, 8 or more (16 is usual): its error is told from how they "
        "scatter; received 4.",
    ),
    "batches that change": (
        lambda: table(logged().assign(mine=lambda f: np.where(f["step"] < 4, 8, 16)), small_batch="mine"),
        "measurements of one window must have one small and one big batch, but rows",
    ),
    "swapped": (lambda: table(small="big", big="small"), "squared norms must fall with the batch size, but small"),
    "no number": (lambda: table(logged().assign(loss=np.nan)), "column 'loss' must be finite, but is not in 80 rows"),
    "steps": (lambda: table(data="step", step="tokens"), "column 'step' (1 to 40) looks like optimizer steps"),
    "zero": (lambda: HELD(TYPED.assign(noise_scale=[0, 1])), "column 'noise_scale' must be finite and above zero"),
    "negative error": (lambda: HELD(TYPED.assign(error=-1)), "column 'error' must be finite and not negative"),
    "end": (lambda: HELD(TYPED.assign(high=-1)), "high must be above zero, received -1: it is a noise scale."),
    "repeats": (lambda: HELD(TYPED.assign(loss=3.0)), "2 rows repeat another (task, loss all equal)"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED_TABLES)
def test_tables_that_cannot_be_right_are_refused(case):
    make, text = REFUSED_TABLES[case]
    with pytest.raises(ValueError, match=re.escape(text)):
        make()


def test_a_law_of_what_the_table_does_not_hold_is_refused_before_anything_is_compiled():
    law = hl.laws.NoiseGrowth()
    alone = HELD(TYPED.drop(columns="loss").assign(task=["a", "b"]))
    with pytest.raises(ValueError, match="NoiseGrowth needs loss, which this table does not have"):
        hl.fit(law, alone, seed=0)
    still = HELD(TYPED.assign(loss=3.0, task=["a", "b"]))
    with pytest.raises(ValueError, match="says how noise_scale move with loss, none of which varies in this table"):
        hl.fit(law, still, seed=0)
    with pytest.raises(ValueError, match="NoiseGrowth takes the log of loss, which must be above zero; the least"):
        hl.fit(law, HELD(TYPED.assign(loss=[3.0, -2.0])), seed=0)
    with pytest.raises(ValueError, match=re.escape("can be stated over ('loss',) or ('data',) or ('data', 'loss')")):
        hl.laws.NoiseGrowth(over=("params",))
    assert hl.likelihood(law, HELD(TYPED.drop(columns="loss").assign(data=[1.0, 2.0]))).law.over == ("data",)


def test_data_and_loss_that_move_together_are_marked():
    marked = {c.name: c.good for c in contrasts(hl.laws.NoiseGrowth(over=("data", "loss")), table())}
    assert not marked["correlation of data and loss"]


@pytest.fixture(scope="module")
def followed():
    """Three runs whose norms were logged, half of their windows one-sided, and the law fitted to them."""
    measured = table(logged(runs=("a", "b", "c"), steps=128, scale=1500.0, seed=3))
    return long_refit(hl.laws.NoiseGrowth(), measured, seed=1)


def test_the_law_is_found_again_from_norms_that_often_lose_the_gradient(followed):
    points = followed.table.points()
    assert 0.4 < (points["value"] >= points["high"]).mean() < 0.8
    recovered(followed.draws["noise_exponent_loss"], 2.0)
    start = {"loss": 3.0, "task": None}
    low, _, high = np.log(predict(followed, start).table.loc["noise_scale"].to_numpy(float))
    assert low < np.log(1500.0) < high


def test_exponents_are_not_biased_by_windows_that_lose_the_gradient():
    """Where more than half of the windows are one-sided, standard scores are as scores are."""
    scores, law = [], hl.laws.NoiseGrowth()
    for seed in range(6):
        measured = table(logged(runs=("a", "b", "c"), steps=128, scale=1500.0, seed=seed + 10))
        draws = long_refit(law, measured, seed).draws["noise_exponent_loss"]
        scores.append(float((draws.mean() - 2) / draws.std()))
    assert max(np.abs(scores)) < 4
    assert np.sum(np.square(scores)) < scipy.stats.chi2(6).ppf(0.999)


def test_its_picture_goes_on_to_lower_losses(followed):
    bands, loss = value_bands(followed), followed.table.frame["loss"]
    assert bands["loss"].min() == pytest.approx(loss.min() / 4)
    assert bands["loss"].max() == pytest.approx(loss.max())
    assert hl.plots.values(followed).axes[0].get_ylabel() == "noise scale (data points)"
