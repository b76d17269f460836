import numpy as np
import pytest

import hyperlaw as hl


def test_a_budget_is_compute_and_data():
    budget = hl.Budget(delta=3.0, flops=10.0)
    data = np.array([100.0, 50.0])
    np.testing.assert_allclose(budget.compute(2.0, 8.0, data, 5.0), 10 * 5 * 8 * 2 * data)
    np.testing.assert_allclose(budget.total(2.0, 8.0, data, 5.0), 803 * data)


@pytest.mark.parametrize("name", ["delta", "flops"])
def test_prices_are_positive(name):
    with pytest.raises(ValueError, match=f"{name} must be finite and above zero, received 0"):
        hl.Budget(**({"delta": 1.0} | {name: 0.0}))


def test_peak_learning_rate_inverts_the_curves():
    noise, peak = np.array([200.0, 1000.0]), 0.02
    for optimizer, rate in (
        ("sgd", lambda b, n: peak / (1 + n / b)),
        ("adam", lambda b, n: peak / (0.5 * (np.sqrt(n / b) + np.sqrt(b / n)))),
    ):
        for one in noise:
            batches = np.array([50.0, 300.0, 4000.0])
            found = hl.peak_learning_rate(one, rate(batches, one), batches, optimizer=optimizer)
            assert found == pytest.approx(peak)
        draws = hl.peak_learning_rate(noise[:, None] * np.ones(3), 1e-3, 64.0, optimizer=optimizer)
        assert draws.shape == (2, 3)
        assert (draws >= 1e-3).all()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"optimizer": "lion"}, "optimizer must be one of sgd, adam, received 'lion'"),
        ({"noise_scale": 0.0}, "noise_scale must be finite and above zero, received"),
        ({"learning_rate": [1e-3, np.nan]}, "learning_rate must be finite and above zero, received"),
        ({"learning_rate": [1e-3, 2e-3]}, "learning_rate and batch_size must be pairs, received shapes"),
    ],
)
def test_bad_tuned_pairs_are_refused(change, text):
    given = {"noise_scale": 100.0, "learning_rate": 1e-3, "batch_size": 64.0, "optimizer": "adam"} | change
    with pytest.raises(ValueError, match=text):
        hl.peak_learning_rate(**given)
