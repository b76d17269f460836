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


def of_size(params, batch_size, overhead=2e6):
    return 6 * params * batch_size + overhead


class OfSize:
    """A price that is an object: it has no name of its own."""

    def __call__(self, *, params, batch_size):
        return 6 * params * batch_size

    def __repr__(self):
        return "OfSize()"


def test_what_an_update_costs_can_be_declared():
    budget = hl.Budget(delta=3.0, flops_per_update=of_size)
    data = np.array([100.0, 50.0])
    np.testing.assert_allclose(budget.compute(2.0, 8.0, data, 5.0), (6 * 5 * 8 + 2e6) * 2 * data)
    np.testing.assert_allclose(budget.total(2.0, 8.0, data, 5.0), budget.compute(2.0, 8.0, data, 5.0) + 3 * data)
    published = hl.Budget(delta=3.0, flops_per_update=lambda params, batch_size: 10 * params * batch_size)
    sizes, batches = np.array([1e5, 1e6]), np.array([[16.0], [64.0], [256.0]])
    np.testing.assert_allclose(published.per_update(batches, sizes), hl.Budget(delta=3.0).per_update(batches, sizes))
    constant = hl.Budget(delta=3.0, flops_per_update=lambda params, batch_size: 7)
    assert constant.per_update(batches, sizes).tolist() == [[7.0, 7.0]] * 3


def test_a_declared_price_is_told():
    said = hl.Budget(delta=3.0, flops_per_update=of_size).provenance()
    assert (said["delta"], said["flops_per_update"]) == (3.0, "of_size(params, batch_size)")
    assert said["source"].splitlines() == [
        "def of_size(params, batch_size, overhead=2e6):", "    return 6 * params * batch_size + overhead",
    ]  # fmt: skip
    lambdas = hl.Budget(delta=3.0, flops_per_update=lambda params, batch_size: 4 * params * batch_size).provenance()
    assert lambdas["flops_per_update"] == "a lambda(params, batch_size)"
    assert "lambda params, batch_size: 4 * params * batch_size" in lambdas["source"]
    unread = hl.Budget(delta=3.0, flops_per_update=OfSize()).provenance()
    assert (unread["flops_per_update"], unread["source"]) == ("OfSize(params, batch_size)", "OfSize()")
    formula = {"delta": 3.0, "flops_per_update": "8 * params * batch_size", "source": None}
    assert hl.Budget(delta=3.0, flops=8.0).provenance() == formula


@pytest.mark.parametrize(
    "declared", [3.0, "10 * params", OfSize, lambda n, b: n * b, lambda params: params, max],
    ids=["number", "text", "class", "other names", "one argument", "built-in"],
)  # fmt: skip
def test_a_price_that_is_no_function_of_both_is_refused(declared):
    with pytest.raises(TypeError, match="flops_per_update must be a function of params and batch_size, called by"):
        hl.Budget(delta=1.0, flops_per_update=declared)


def test_one_price_of_updates_is_enough():
    with pytest.raises(ValueError, match=r"received both, 6 and of_size\. Pass one of them"):
        hl.Budget(delta=1.0, flops=6.0, flops_per_update=of_size)


@pytest.mark.parametrize(
    ("declared", "text"),
    [
        (lambda params, batch_size: batch_size[:2], r"broadcast to \(3, 2\); a lambda returned an array of shape"),
        (lambda params, batch_size: np.ones((4, 3, 2)), r"returned an array of shape \(4, 3, 2\)\. Write it in arith"),
        (lambda params, batch_size: "10", "must return FLOPs, one number for all or .* a lambda returned '10'"),
        (lambda params, batch_size: None, "a lambda returned None"),
        (lambda params, batch_size: 1j * params, "a lambda returned an array of shape"),
        (lambda params, batch_size: [[1.0], [1.0, 2.0]], r"a lambda returned \[\[1.0\], \[1.0, 2.0\]\]"),
        (lambda params, batch_size: batch_size - 16 + 0 * params, "returned 0 at params 100000 and batch_size 16, and"),
        (lambda params, batch_size: -params, "finite numbers above zero; a lambda returned -100000 at params 100000"),
        (lambda params, batch_size: np.where(params > 5e5, np.nan, 1.0), "nan at params 1e.06 .* in 50% of the cases"),
        (lambda params, batch_size: np.inf, "finite numbers above zero; a lambda returned inf at"),
    ],
)  # fmt: skip
def test_what_a_declared_price_returns_is_checked(declared, text):
    budget = hl.Budget(delta=1.0, flops_per_update=declared)
    with pytest.raises(ValueError, match=text):
        budget.per_update(np.array([[16.0], [64.0], [256.0]]), np.array([1e5, 1e6]))


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


@pytest.mark.parametrize("delta", [None, "x", True, [1.0, 2.0], 1 + 1j])
def test_a_price_that_is_no_number_is_refused(delta):
    with pytest.raises(ValueError, match="delta must be a number such as 1e9, '7B' or '32k', received"):
        hl.Budget(delta)


def test_a_price_as_text_is_a_number():
    assert hl.Budget("1e9") == hl.Budget(1e9)


def test_a_declared_price_that_fails_is_told():
    def stepwise(params, batch_size):
        return 1.0 if params > 1 else 2.0

    with pytest.raises(
        ValueError, match=r"flops_per_update failed: stepwise raised ValueError \(The truth value .*arrays"
    ):
        hl.Budget(1e9, flops_per_update=stepwise).per_update(np.array([1.0, 2.0]), np.array([3.0, 4.0]))


def test_a_declared_price_cannot_change_what_it_is_given():
    def careless(params, batch_size):
        params *= batch_size
        return params

    given = np.array([2.0, 3.0])
    hl.Budget(1e9, flops_per_update=careless).per_update(np.array([5.0, 7.0]), given)
    assert given.tolist() == [2.0, 3.0]
