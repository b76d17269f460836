"""Deviations of cells that share levels: the sum is sampled, and what the level shares follows from it."""

import jax
import numpy as np
import pytest
from numpyro import handlers
from numpyro.infer import Predictive
from scipy import stats

from hyperlaw.models.likelihoods.cell_deviations import SharedNormal, level_count, level_mean, sample_cells, stretched

LEVEL, SIZES = {"params": np.array([0, 1, 0, 2, 1, 0])}, {"params": np.arange(3)}
OWN, SHARED = 0.2, 0.5
P = {
    "cell_sd_batch_size": OWN,
    "params_sd_batch_size": SHARED,
    "cell_sd_optimal_loss": OWN,
    "params_sd_optimal_loss": SHARED,
}
SAME = LEVEL["params"][:, None] == LEVEL["params"]
COVARIANCE = OWN**2 * np.eye(6) + SHARED**2 * SAME


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def drawn(quantity, level=LEVEL, sizes=SIZES, trend=None, draws=40_000):
    """Prior draws of every site."""

    def model():
        sample_cells(P, quantity, 6, level, sizes, trend=trend)

    found = Predictive(model, num_samples=draws)(jax.random.key(0))
    return {name: np.asarray(value) for name, value in found.items()}


def test_means_over_levels():
    values = np.array([1.0, 2.0, 3.0, 4.0, 6.0, 5.0])
    np.testing.assert_allclose(level_count(LEVEL["params"]), [3, 2, 3, 1, 2, 3])
    np.testing.assert_allclose(level_mean(values, LEVEL["params"]), [3, 4, 3, 4, 4, 3])
    np.testing.assert_allclose(stretched(values, 2.0, 1.0, LEVEL["params"]), [-1, 0, 3, 4, 8, 7])


def test_the_density_is_that_of_the_sum_of_both_effects():
    level = LEVEL["params"]
    of_mean = np.sqrt(OWN**2 + level_count(level) * SHARED**2)
    for value in np.random.default_rng(0).normal(1.0, 0.5, (5, 6)):
        expected = stats.multivariate_normal(np.full(6, 0.7), COVARIANCE).logpdf(value)
        density = SharedNormal(0.7, OWN, of_mean, level).log_prob(value)
        assert density.shape == (6,)
        assert float(density.sum()) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("quantity", "trend"), [("batch_size", None), ("optimal_loss", np.arange(6.0))])
def test_cells_and_levels_vary_together_as_a_sum_of_both_effects_does(quantity, trend):
    found = drawn(quantity, trend=trend)
    total = found["deviation_batch_size"] if trend is None else found["cell_optimal_loss"] - trend
    of_level = found[f"params_deviation_{quantity}"]
    together = np.cov(np.concatenate([total, of_level], axis=1), rowvar=False)
    np.testing.assert_allclose(together[:6, :6], COVARIANCE, atol=0.01)
    np.testing.assert_allclose(together[6:, 6:], SHARED**2 * np.eye(3), atol=0.01)
    np.testing.assert_allclose(together[6:, :6], SHARED**2 * (np.arange(3)[:, None] == LEVEL["params"]), atol=0.01)


def test_a_second_covariate_has_levels_of_its_own(monkeypatch):
    monkeypatch.setitem(P, "width_sd_batch_size", 0.3)
    width = np.array([0, 0, 0, 1, 1, 1])
    found = drawn("batch_size", LEVEL | {"width": width}, SIZES | {"width": np.arange(2)})
    total = np.cov(found["deviation_batch_size"], rowvar=False)
    np.testing.assert_allclose(total, COVARIANCE + 0.09 * (width[:, None] == width), atol=0.012)
    np.testing.assert_allclose(found["width_deviation_batch_size"].std(axis=0), 0.3, rtol=0.03)


def test_without_levels_cells_are_on_their_own():
    found = drawn("batch_size", {}, {})
    assert set(found) == {"half_deviation_batch_size", "deviation_batch_size"}
    np.testing.assert_allclose(np.cov(found["deviation_batch_size"], rowvar=False), OWN**2 * np.eye(6), atol=0.002)


def test_sites_have_the_density_of_the_cells():
    """Half-centred or not, what is sampled has the density of the deviations times that of the change of scale."""

    def model():
        sample_cells(P, "batch_size", 6, LEVEL, SIZES)

    trace = handlers.trace(handlers.seed(model, 1)).get_trace()
    site, value = trace["half_deviation_batch_size"], np.asarray(trace["deviation_batch_size"]["value"])
    density = float(site["fn"].log_prob(site["value"]).sum())
    scale = 3 * 0.5 * np.log(OWN)  # three directions around means are multiplied by the root of their scale
    expected = stats.multivariate_normal(np.zeros(6), COVARIANCE).logpdf(value)
    assert density == pytest.approx(expected + scale, rel=1e-9)
