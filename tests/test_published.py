"""Published numbers that the laws give back; each with its source."""

import jax
import numpy as np
import pandas as pd
import pytest
from agreement import recovered
from scipy.special import erf

import hyperlaw as hl
from hyperlaw.diagnostics.baselines.settings import deepseek, step_law
from hyperlaw.inference.predict import target_draws
from hyperlaw.inference.refit import refit

# Environment steps to the top threshold, mean of 7 DMC tasks, over ratio and critic size: arXiv 2508.14881 (code).
DMC_MEDIUM = {
    1: (1141500, 1068750, 878242, 719437), 2: (854286, 824217, 639066, 607102), 5: (738956, 619409, 465014, 449973),
    10: (609794, 551580, 390302, 438448), 15: (588558, 520288, 430302, 526538),
}  # fmt: skip
CRITICS = (1.05e6, 2.83e6, 4.92e6, 26.31e6)


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def test_data_efficiency_over_ratio_and_size():
    """Least squares of ln D: exponents 1.010 and 0.890 (errors of a third and a half), D(2, 4.92e6) = 665080."""
    rows = [
        {"utd": utd, "params": n, "threshold": 1.0, "data": d}
        for utd, data in DMC_MEDIUM.items()
        for n, d in zip(CRITICS, data, strict=True)
    ]
    fit = refit(hl.laws.DataEfficiencyBySize(), hl.Crossings.from_frame(pd.DataFrame(rows)), seed=0)
    recovered(fit.draws["exponent_utd"], 1.01039, sigmas=1.5)
    recovered(fit.draws["exponent_params"], 0.890187, sigmas=1.5)
    predicted = np.log(target_draws(fit, {"utd": 2, "params": 4.92e6, "threshold": 1.0})["data"])
    recovered(predicted, np.log(665080), sigmas=1.5)
    assert predicted.mean() == pytest.approx(np.log(665080), abs=0.1)


def test_the_surge_of_sign_sgd_with_equal_coordinates():
    """arXiv 2405.14578: Theorem 2, 200 equal coordinates of off-diagonal curvature 0.2, peaks where eq. 14 says."""
    n, h, noise_scale = 200, 0.2, 631.0
    gamma = 1 / ((n - 1) * h)
    batch = np.geomspace(1, 1e7, 4001)
    signs = erf(np.sqrt(np.pi) / 2 * np.sqrt(gamma * batch / noise_scale))
    exact = n * signs / (n * (1 - signs**2) + signs**2 * (n + n * (n - 1) * h))
    p = {"log_peak_rate": 0.0, "log_noise_scale": np.log(noise_scale), "log_gamma": np.log(gamma)}
    law = np.exp(hl.laws.SurgeExact().log_learning_rate(p, {}, np.log(batch)))
    np.testing.assert_allclose(law / law.max(), exact / exact.max(), rtol=1e-9)
    assert batch[law.argmax()] == pytest.approx(noise_scale, rel=0.02)


def test_critical_batch_size_over_loss():
    """arXiv 2001.08361: 2e8 tokens / L^(1/0.21), 1.069e6 at 3 nats and 2.547e6 at 2.5."""
    p = {"log_critical_batch": np.log(2e8), "critical_exponent_loss": 1 / 0.21}
    for loss, tokens in ((3.0, 1.069e6), (2.5, 2.547e6)):
        found = hl.laws.CriticalBatchLoss().log_critical_batch(p, {"loss": np.log(loss)})
        assert np.exp(found) == pytest.approx(tokens, rel=1e-3)


def test_deepseek_and_step_law_formulas():
    """arXiv 2401.02954 at C = 8.456e22 and arXiv 2503.04715 at 7e9 parameters and 1.4e12 tokens."""
    deep = deepseek(None, {"params": 7e9, "data": 8.456e22 / 6 / 7e9})
    assert deep == {"learning_rate": pytest.approx(4.246e-4, rel=1e-3), "batch_size": pytest.approx(9.22e6, rel=2e-3)}
    step = step_law(None, {"params": 7e9, "data": 1.4e12})
    assert step == {"learning_rate": pytest.approx(9.17e-4, rel=0.01), "batch_size": pytest.approx(5.00e6, rel=0.01)}
    # The law with DeepSeek's exponents is its formula.
    p = {"log_batch_size": np.log(0.292), "exponent_compute": 0.3271, "log_learning_rate": np.log(0.3118),
         "rate_exponent_compute": -0.125, "ridge_small_batch": 0.8, "ridge_large_batch": 0.1}  # fmt: skip
    law, x = hl.laws.ComputeLaw(), {"params": np.log(6 * 7e9), "data": np.log(8.456e22 / 6 / 7e9)}
    best = law.log_batch_size(p, x)
    assert np.exp(best) == pytest.approx(deep["batch_size"], rel=1e-9)
    assert np.exp(law.log_learning_rate(p, x, best)) == pytest.approx(deep["learning_rate"], rel=1e-9)
