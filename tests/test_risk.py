import numpy as np
import pytest
from scipy import stats

from hyperlaw import CVaR, Entropic, Mean, Quantile, WorstCase
from hyperlaw.risk import choose

SCALED = (Mean(), Quantile(0.5), Quantile(0.9), CVaR(0.5), CVaR(0.9), CVaR(0.99), WorstCase())
RISKS = (*SCALED, Entropic(0.3), Entropic(20.0))
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


@pytest.mark.parametrize("risk", [Mean(), CVaR(0.5), CVaR(0.9), CVaR(0.999), WorstCase(), Entropic(2.0)], ids=str)
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
def test_translation(risk, losses):
    np.testing.assert_allclose(risk(losses + 3.5), risk(losses) + 3.5)


@pytest.mark.parametrize("risk", SCALED, ids=str)
def test_positive_scale(risk, losses):
    np.testing.assert_allclose(risk(losses * 0.02), risk(losses) * 0.02, atol=1e-12)


def test_entropic_risk_of_other_units(losses):
    np.testing.assert_allclose(Entropic(2.0)(losses * 0.02), Entropic(0.04)(losses) * 0.02, atol=1e-12)


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


@pytest.mark.parametrize("a", [0, -1, float("inf"), float("nan")])
def test_entropic_risk_refuses_what_is_not_averse(a):
    with pytest.raises(ValueError, match=rf"Entropic\(a\) needs a finite and above zero, received {a}: of losses"):
        Entropic(a)


@pytest.mark.parametrize("a", [0.5, 3.0, 1000.0])
@pytest.mark.parametrize("p", [0.01, 0.3])
def test_entropic_risk_of_two_points(a, p):
    """A loss of 2 with probability p, else 1: 1 + ln(1 - p + p exp(a)) / a, also where exp(a) overflows."""
    draws = np.where(np.arange(1000) < 1000 * p, 2.0, 1.0)[:, None]
    assert Entropic(a)(draws) == pytest.approx(1 + np.logaddexp(np.log1p(-p), np.log(p) + a) / a)


@pytest.mark.parametrize("a", [0.1, 1.0])
def test_entropic_risk_of_normal_draws(a):
    grid = stats.norm.ppf((np.arange(200_000) + 0.5) / 200_000)[:, None]
    assert Entropic(a)(2 + 0.5 * grid) == pytest.approx(2 + a * 0.25 / 2, abs=1e-4)


def test_entropic_risk_lies_between_mean_and_worst_case(losses):
    values = np.array([Entropic(a)(losses) for a in (1e-6, 0.1, 1.0, 10.0, 1e6)])
    assert (np.diff(values, axis=0) >= -1e-9).all()
    np.testing.assert_allclose(values[0], Mean()(losses), rtol=1e-2, atol=1e-5)
    np.testing.assert_allclose(values[-1], WorstCase()(losses), atol=1e-4)


@pytest.mark.parametrize("risk", RISKS, ids=str)
def test_two_points(risk):
    """A loss of 2 in one draw of ten, else 1: the closed form of each risk."""
    draws = column(*([1.0] * 9 + [2.0]))
    answers = {
        Mean(): 1.1, Quantile(0.5): 1.0, Quantile(0.9): 1.1, CVaR(0.5): 1.2, CVaR(0.9): 2.0, CVaR(0.99): 2.0,
        WorstCase(): 2.0, Entropic(0.3): 1 + np.log(0.9 + 0.1 * np.exp(0.3)) / 0.3,
        Entropic(20.0): 1 + np.log(0.9 + 0.1 * np.exp(20.0)) / 20,
    }  # fmt: skip
    assert risk(draws) == pytest.approx(answers[risk])


@pytest.mark.parametrize("risk", RISKS, ids=str)
def test_single_precision_gives_the_same(risk, losses):
    np.testing.assert_allclose(risk(losses.astype(np.float32)), risk(losses), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("risk", RISKS, ids=str)
def test_weights_are_the_slope_of_the_risk(risk):
    losses = np.random.default_rng(4).exponential(size=41)
    weights, step = risk.weights(losses), 1e-6
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()
    moved = losses[:, None] + step * np.eye(41)
    np.testing.assert_allclose((risk(moved) - risk(losses[:, None])) / step, weights, atol=1e-4)


@pytest.mark.parametrize("risk", RISKS, ids=str)
def test_of_equal_candidates_the_first_is_chosen(risk):
    regret = np.tile(np.random.default_rng(5).exponential(size=(50, 1)), 4)
    assert choose(risk, regret)[0] == 0
    regret[:, 0] += 0.1
    assert choose(risk, regret)[0] == 1


def test_a_setting_that_cannot_be_had_is_not_chosen():
    regret = np.ones((30, 2))
    regret[:, 0] = np.inf
    for risk in RISKS:
        assert choose(risk, regret)[0] == 1


@pytest.mark.parametrize("bad", [np.nan, -np.inf])
def test_regrets_that_are_no_numbers_are_refused(bad):
    regret = np.ones((30, 2))
    regret[3, 1] = bad
    with pytest.raises(ValueError, match=r"regrets must be numbers or \+inf .* received 1 of 60 that are NaN or -inf"):
        choose(Mean(), regret)


def test_a_risk_that_returns_nan_is_refused():
    with pytest.raises(ValueError, match=r"risk must return numbers; .* returned NaN for 2 candidates"):
        choose(lambda losses: losses.mean(axis=0) * np.nan, np.ones((30, 2)))


def test_a_gain_in_place_of_a_loss_is_refused():
    with pytest.raises(ValueError, match=r"risk must not fall when losses rise, .* Return a loss, not a gain"):
        choose(lambda losses: -losses.mean(axis=0), np.ones((30, 2)))
    assert choose(lambda losses: losses.std(axis=0), np.random.default_rng(6).normal(size=(30, 2)))[0] in (0, 1)
