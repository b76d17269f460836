"""The best learning rate at other batch sizes, from a noise scale and one tuned pair."""

import re

import numpy as np
import pytest
from conftest import VALUE_TRUTH
from made_fit import REASON, made_fit

import hyperlaw as hl
from hyperlaw.inference.example import example
from hyperlaw.intervals import Z90

NOISE = np.exp(VALUE_TRUTH["NoiseGrowth"]["log_noise_scale"])
BATCHES = [NOISE / 100, NOISE, 100 * NOISE]
PAIR = {"learning_rate": 1e-3, "batch_size": NOISE, "error": 0.0, "seed": 0, "despite": REASON}


@pytest.fixture(scope="module")
def fit():
    """NoiseGrowth with hardly any doubt, asked at the pivot, where the noise scale is 1,200."""
    law = hl.laws.NoiseGrowth()
    return made_fit(law, example(law), VALUE_TRUTH["NoiseGrowth"] | {"residual_sd_noise_scale": 1e-6}, draws=400)


@pytest.fixture(scope="module")
def place(fit):
    return {"loss": float(np.exp(fit.pivot["loss"])), "task": "first"}


def medians(found):
    return {name: rows["median"].to_numpy() for name, rows in found.table.groupby("curve")}


def test_every_curve_is_that_of_its_paper(fit, place):
    sgd = medians(hl.transfer_rate(fit, place, to=BATCHES, optimizer="sgd", **PAIR))
    np.testing.assert_allclose(sgd["alpha 1"], [2e-3 / 101, 1e-3, 2e-3 / 1.01], rtol=1e-4)
    adam = medians(hl.transfer_rate(fit, place, to=BATCHES, optimizer="adam", **PAIR))
    assert list(adam) == ["alpha 1/2", "surge"]
    np.testing.assert_allclose(adam["surge"], [2e-3 / 10.1, 1e-3, 2e-3 / 10.1], rtol=1e-4)
    np.testing.assert_allclose(adam["alpha 1/2"], 1e-3 * np.sqrt(2 / np.array([101, 2, 1.01])), rtol=1e-4)


def test_it_agrees_with_the_peak_learning_rate(fit, place):
    pair = PAIR | {"batch_size": 50.0}
    found = hl.transfer_rate(fit, place, to=NOISE, optimizer="adam", **pair)
    peak = hl.peak_learning_rate(found.draws["noise_scale"], 1e-3, 50.0, optimizer="adam")
    np.testing.assert_allclose(found.draws["learning_rate"].sel(curve="surge").squeeze(), peak, rtol=1e-4)


def test_the_error_of_the_pair_is_in_the_interval(fit, place):
    found = hl.transfer_rate(fit, place, to=[NOISE], optimizer="sgd", **PAIR | {"error": 0.3})
    row = found.table.iloc[0]
    assert np.log(row["upper"] / row["lower"]) == pytest.approx(2 * Z90 * 0.3, rel=0.15)
    again = hl.transfer_rate(fit, place, to=[NOISE], optimizer="sgd", **PAIR | {"error": 0.3})
    assert again.table.equals(found.table)


def test_noise_scales_of_several_places_are_averaged(fit, place):
    late = place | {"loss": place["loss"] / 2}
    one, other, both = (
        hl.transfer_rate(fit, at, to=BATCHES, optimizer="sgd", **PAIR).draws["noise_scale"].values
        for at in (place, late, [place, late])
    )
    np.testing.assert_allclose(both, (one + other) / 2)
    assert np.median(other / one) == pytest.approx(2**1.5, rel=1e-3)


def test_numbers_are_taken_as_people_write_them(fit, place):
    written = {"learning_rate": "1e-3", "batch_size": "1k", "error": "0.2"}
    found = hl.transfer_rate(fit, place, to=[["2k"], ["4k"]], optimizer="sgd", **PAIR | written)
    same = hl.transfer_rate(fit, place, to=[2e3, 4e3], optimizer="sgd", **PAIR | {"batch_size": 1e3, "error": 0.2})
    assert found.table.equals(same.table)


def test_what_is_shown(fit, place):
    found = hl.transfer_rate(fit, place, to=[BATCHES[2], BATCHES[0]], optimizer="adam", **PAIR)
    assert "Best learning rate over batch size, from 0.001 at 1200 data points and the noise scale" in repr(found)
    (ax,) = found.plot().axes
    for line, (curve, _) in zip(ax.lines[::2], found.table.groupby("curve", sort=False), strict=False):
        drawn = np.exp(np.interp(np.log(NOISE), *np.log(line.get_data())))
        assert drawn == pytest.approx(1e-3, rel=0.01), curve  # through the tuned pair, between those asked for
    labels = [text.get_text() for text in ax.figure.legends[0].get_texts()]
    assert labels == ["surge, 90 %", "alpha 1/2, 90 %", "noise scale, 90 %", "tuned pair"]


REFUSED = {
    "optimizer": ({"optimizer": "lion"}, "optimizer must be one of sgd, adam, received 'lion'."),
    "rate": ({"learning_rate": 0.0}, "learning_rate must be finite and above zero, received [0.0]."),
    "no rate": ({"learning_rate": [1e-3]}, "learning_rate must be a number, received [0.001]."),
    "no batch": ({"to": ["many"]}, "to must be a number such as 1e9, '7B' or '32k', received 'many'."),
    "optimizers": ({"optimizer": ["sgd"]}, "optimizer must be one of sgd, adam, received ['sgd']."),
    "to": ({"to": []}, "to must be finite and above zero, received []."),
    "error": ({"error": -1.0}, "error must be from 0 to 5, received -1.0: it is the standard deviation of ln"),
    "any rate": ({"error": 1e4}, "error must be from 0 to 5, received 10000.0: it is the standard deviation of ln"),
    "at": ({"at": []}, "at must be one place in training or several, received none."),
    "target": ({"at": {"data": 3.0, "task": "first"}}, "at must give exactly loss, task: missing loss; unknown data."),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_transferred_is_refused(case, fit, place):
    change, text = REFUSED[case]
    given = {"at": place, "to": BATCHES, "optimizer": "sgd"} | PAIR | change
    with pytest.raises(ValueError, match=re.escape(text)):
        hl.transfer_rate(fit, **given)


def test_a_fit_of_something_else_is_refused(place):
    law = hl.laws.NoiseScale()
    other = made_fit(law, example(law), VALUE_TRUTH["NoiseScale"] | {"residual_sd_learning_rate": 0.1}, draws=20)
    text = "NoiseScale predicts learning_rate, no noise scale. Fit hl.laws.NoiseGrowth to hl.NoiseMeasurements;"
    with pytest.raises(ValueError, match=re.escape(text)):
        hl.transfer_rate(other, {"batch_size": 64, "task": "first"}, to=BATCHES, optimizer="sgd", **PAIR)


def test_a_failed_fit_is_refused_without_a_reason(fit, place, monkeypatch):
    from hyperlaw.decision import transfer_rate as module

    def refuse(fits, despite):
        assert list(fits) == ["NoiseGrowth"]
        assert despite is None
        raise RuntimeError("the fit of NoiseGrowth failed")

    monkeypatch.setattr(module, "trusted", refuse)
    with pytest.raises(RuntimeError, match="the fit of NoiseGrowth failed"):
        hl.transfer_rate(fit, place, to=BATCHES, optimizer="sgd", **PAIR | {"despite": None})
