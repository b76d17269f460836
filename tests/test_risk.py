import numpy as np
import pytest
from scipy import stats

from hyperlaw import CVaR, Mean, Quantile, WorstCase

RISKS = (Mean(), Quantile(0.5), Quantile(0.9), CVaR(0.5), CVaR(0.9), CVaR(0.99), WorstCase())
SAMPLES = {
    "normal": lambda rng: rng.normal(size=(997, 5)),
    "heavy": lambda rng: rng.pareto(1.5, size=(1000, 5)),
    "ties": lambda rng: rng.integers(0, 4, size=(333, 5)).astype(float),
    "few": lambda rng: rng.exponential(size=(3, 5)),
}


@pytest.fixture(params=SAMPLES)
def losses(request):
    return SAMPLES[request.param](np.random.default_rng(0))


def column(*values):
    return np.array(values, float)[:, None]


@pytest.mark.parametrize("risk", RISKS, ids=str)
def test_one_number_a_candidate_and_draws_unchanged(risk, losses):
    before = losses.copy()
    value = risk(losses)
    assert value.shape == (5,)
    np.testing.assert_array_equal(losses, before)
    for i in range(5):
        np.testing.assert_allclose(risk(losses[:, [i]]), value[[i]])


def test_known_answers():
    grid = column(*range(1, 11))
    assert Mean()(grid) == 5.5
    assert Quantile(0.5)(grid) == 5.5
    assert Quantile(0.9)(grid) == pytest.approx(9.1)
    assert WorstCase()(grid) == 10
    assert CVaR(0.9)(grid) == pytest.approx(10)
    assert CVaR(0.8)(grid) == pytest.approx(9.5)
    assert CVaR(0.5)(grid) == pytest.approx(8)


@pytest.mark.parametrize("q", [0.1, 0.5, 0.9, 0.95])
def test_uniform_grid(q):
    grid = (np.arange(10_000)[:, None] + 0.5) / 10_000
    assert CVaR(q)(grid) == pytest.approx((1 + q) / 2, abs=1e-6)
    assert Quantile(q)(grid) == pytest.approx(q, abs=1e-4)


@pytest.mark.parametrize("q", [0.5, 0.9, 0.99])
def test_normal_draws(q):
    draws = np.random.default_rng(1).normal(size=(200_000, 1))
    z = stats.norm.ppf(q)
    density = stats.norm.pdf(z)
    expected = density / (1 - q)
    excess = np.maximum(draws - z, 0)
    error = excess.std() / (1 - q) / np.sqrt(len(draws))
    assert CVaR(q)(draws) == pytest.approx(expected, abs=5 * error)
    assert Quantile(q)(draws) == pytest.approx(z, abs=5 * np.sqrt(q * (1 - q) / len(draws)) / density)


@pytest.mark.parametrize(
    ("q", "expected"),
    [(0.5, (4 + 3) / 2), (0.625, (4 + 0.5 * 3) / 1.5), (0.9, 4), (0.25, 3), (0.375, (4 + 3 + 0.5 * 2) / 2.5)],
)
def test_boundary_draw_of_cvar_counts_in_part(q, expected):
    assert CVaR(q)(column(3, 1, 4, 2)) == pytest.approx(expected)


def test_cvar_is_the_least_of_its_variational_form(losses):
    q = 0.7
    for draws in losses.T:
        bounds = [t + np.maximum(draws - t, 0).mean() / (1 - q) for t in draws]
        assert CVaR(q)(draws[:, None]) == pytest.approx(min(bounds))


def test_cvar_near_zero_is_the_mean_and_near_one_the_worst(losses):
    for q in (1e-9, 1e-13):
        np.testing.assert_allclose(CVaR(q)(losses), Mean()(losses), rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(CVaR(1 - 1e-6)(losses), WorstCase()(losses))


@pytest.mark.parametrize("risk", RISKS, ids=str)
@pytest.mark.parametrize("value", [0.0, -2.5, 3.7])
@pytest.mark.parametrize("draws", [1, 7, 1000])
def test_constant_draws(risk, value, draws):
    assert risk(np.full((draws, 1), value)) == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("risk", [Mean(), CVaR(0.5), CVaR(0.9), CVaR(0.999), WorstCase()], ids=str)
def test_one_infinite_loss_is_infinite_risk(risk):
    losses = np.ones((50, 2))
    losses[7, 0] = np.inf
    value = risk(losses)
    assert value[0] == np.inf
    assert value[1] == pytest.approx(1)


@pytest.mark.parametrize("infinite", [3, 10, 40])
def test_quantile_of_infinite_losses_is_a_number_or_infinite(infinite):
    losses = np.arange(41.0)[:, None]
    losses[41 - infinite :] = np.inf
    assert Quantile(0.9)(losses)[0] == (np.inf if infinite >= 5 else 36)


def test_order_of_risks(losses):
    for q in (0.05, 0.3, 0.5, 0.8, 0.9, 0.99):
        assert (CVaR(q)(losses) >= Quantile(q)(losses) - 1e-12).all()
        assert (CVaR(q)(losses) >= Mean()(losses) - 1e-12).all()
        assert (WorstCase()(losses) >= CVaR(q)(losses) - 1e-12).all()


@pytest.mark.parametrize("kind", [CVaR, Quantile])
def test_risk_grows_with_the_level(kind, losses):
    values = np.array([kind(q)(losses) for q in np.linspace(0.01, 0.99, 60)])
    assert (np.diff(values, axis=0) >= -1e-12).all()


@pytest.mark.parametrize("risk", RISKS, ids=str)
def test_larger_losses_are_no_less_risky(risk, losses):
    more = losses + np.random.default_rng(2).exponential(size=losses.shape)
    assert (risk(more) >= risk(losses)).all()


@pytest.mark.parametrize("risk", RISKS, ids=str)
def test_translation_and_positive_scale(risk, losses):
    np.testing.assert_allclose(risk(losses + 3.5), risk(losses) + 3.5)
    np.testing.assert_allclose(risk(losses * 0.02), risk(losses) * 0.02, atol=1e-12)


@pytest.mark.parametrize("risk", RISKS, ids=str)
def test_order_of_draws_does_not_matter(risk, losses):
    shuffled = np.random.default_rng(3).permutation(losses, axis=0)
    np.testing.assert_allclose(risk(shuffled), risk(losses))


@pytest.mark.parametrize("kind", [Mean, WorstCase])
def test_risks_are_values(kind):
    assert kind() == kind()
    assert CVaR(0.9) == CVaR(0.9) != CVaR(0.8)
    assert Quantile(0.9) != CVaR(0.9)


@pytest.mark.parametrize("kind", [CVaR, Quantile])
@pytest.mark.parametrize("q", [0, 1, -0.1, 90, float("nan")])
def test_levels_outside_zero_to_one_are_refused(kind, q):
    with pytest.raises(ValueError, match=rf"{kind.__name__}\(q\) needs q strictly between 0 and 1, received {q}; 0\.9"):
        kind(q)
