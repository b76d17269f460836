import numpy as np
import pytest
from scipy.optimize import brentq

import hyperlaw as hl

ZHANG = {"overhead": 0.2, "reference": 256.0}


def to(definition):
    return {f"to_{name}": value for name, value in definition.items()}


def log_examples(log_batch, critical, knee):
    p = {"log_least_steps": 0.0, "log_critical_batch": np.log(critical), "knee": knee}
    return float(hl.laws.StepsExamples().log_value("steps", p, {}, log_batch)) + log_batch


@pytest.mark.parametrize("knee", [0.5, 1.0, 1.24, 3.0])
@pytest.mark.parametrize("overhead", [0.05, 0.2, 1.0, 4.0])
@pytest.mark.parametrize("reference", [0.0, 256.0, 9000.0])
def test_examples_are_so_much_more_than_at_the_reference(knee, overhead, reference):
    """Against the law's own curve, solved for the batch size."""
    critical = 3454.0
    least = log_examples(np.log(reference) if reference else -40.0, critical, knee)
    solved = brentq(lambda b: log_examples(b, critical, knee) - least - np.log1p(overhead), -40, 40)
    found = hl.critical_batch_size(critical, to_overhead=overhead, to_reference=reference, knee=knee)
    assert float(found) == pytest.approx(np.exp(solved), rel=1e-4)  # the law is evaluated in single precision
    back = hl.critical_batch_size(found, overhead=overhead, reference=reference, knee=knee)
    assert float(back) == pytest.approx(critical)


def test_the_published_definitions():
    """With a knee of 1, B = o B_crit + (1 + o) R: twice the fewest examples, and 0.2 B_crit + 307 of 2410.21676."""
    critical = np.array([100.0, 3454.0, 1e6])
    np.testing.assert_allclose(hl.critical_batch_size(critical, to_overhead=1.0), critical)
    np.testing.assert_allclose(hl.critical_batch_size(critical, **to(ZHANG)), 0.2 * critical + 307.2)
    for overhead, reference in ((0.1, 32.0), (0.7, 4096.0)):
        found = hl.critical_batch_size(critical, to_overhead=overhead, to_reference=reference)
        np.testing.assert_allclose(found, overhead * critical + (1 + overhead) * reference)
    # 22.91 T^0.47 sequences at T = 3072 million tokens are 998: there the hyperbola turns at 3454.
    assert float(hl.critical_batch_size(998.0, **ZHANG)) == pytest.approx(3454.0)


def test_from_one_overhead_to_another_is_by_way_of_the_curve():
    ten = {"overhead": 0.1, "reference": 64.0}
    found = hl.critical_batch_size(998.0, **ZHANG, **to(ten), knee=1.3)
    critical = hl.critical_batch_size(998.0, **ZHANG, knee=1.3)
    assert found == pytest.approx(hl.critical_batch_size(critical, **to(ten), knee=1.3))
    assert hl.critical_batch_size(found, **ten, **to(ZHANG), knee=1.3) == pytest.approx(998.0)


def test_draws_give_draws():
    rng = np.random.default_rng(0)
    critical, knee = rng.lognormal(8, 0.3, (4, 50)), rng.lognormal(0, 0.2, (4, 50))
    found = hl.critical_batch_size(critical, **to(ZHANG), knee=knee)
    assert found.shape == (4, 50)
    one = hl.critical_batch_size(critical[2, 7], **to(ZHANG), knee=knee[2, 7])
    assert one.shape == ()
    assert found[2, 7] == pytest.approx(one)
    np.testing.assert_allclose(hl.critical_batch_size(found, **ZHANG, knee=knee), critical)


def test_extremes_stay_finite():
    assert float(hl.critical_batch_size(1e3, to_overhead=1e-6)) == pytest.approx(1e-3)
    assert float(hl.critical_batch_size(1e3, to_overhead=0.2, knee=1e4)) == pytest.approx(1.2e3, rel=1e-3)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({}, "converts between definitions, but received B_crit for both. Give overhead= where"),
        ({"overhead": 0.0}, "overhead must be a share above zero, such as 0.2; received 0.0"),
        ({"to_overhead": [0.1, 0.2]}, r"to_overhead must be a share above zero, such as 0.2; received \[0.1, 0.2\]"),
        ({"to_overhead": "20 %"}, "to_overhead must be a share above zero, such as 0.2; received '20 %'"),
        ({"to_overhead": 0.2, "to_reference": -1}, "to_reference must be a batch size, or 0 for the fewest examples"),
        ({"to_overhead": 0.2, "reference": 256}, "reference=256 is part of a definition that has an overhead: give"),
        ({"overhead": 0.2, "to_reference": 256}, "to_reference=256 is part of a definition .* give to_overhead= too"),
        ({"batch_size": 0.0, "overhead": 0.2}, "batch_size must be finite and above zero; received 0.0"),
        ({"batch_size": [], "overhead": 0.2}, r"batch_size must be finite and above zero; received \[\]"),
        ({"knee": np.inf, "overhead": 0.2}, "knee must be finite and above zero; received inf"),
        (
            {"batch_size": [1e3, 2e3], "knee": [1.0, 1.0, 1.0], "overhead": 0.2},
            r"must be draws of one shape, or a number; received shapes \(2,\) and \(3,\)",
        ),
        (
            {"batch_size": 300.0, **ZHANG},
            "an overhead of 0.2 over 256 must be above 307.2, where examples would grow in proportion to it; "
            "received 300. Give batch_size and reference in one unit",
        ),
        ({"batch_size": [300.0, 400.0], **ZHANG}, "received 300, 1 of 2 draws too low. Give"),
        (
            {"batch_size": [1e3, 1e308], "to_overhead": 5.0},
            r"is 5e\+03 to inf, beyond what a number can hold: received batch sizes of 1e\+03 to 1e\+308 and knees",
        ),
        ({"to_overhead": 0.2, "knee": 1e-3}, "is 0 to 0, beyond what a number can hold.* A knee is near 1; give"),
    ],
)
def test_what_is_no_conversion_is_refused(given, text):
    with pytest.raises(ValueError, match=text):
        hl.critical_batch_size(**({"batch_size": 1000.0} | given))
