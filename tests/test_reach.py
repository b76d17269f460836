"""What a target and a batch can be: refused beyond reason, and marked where only the law speaks."""

import re

import numpy as np
import pytest
from conftest import TRUTH, grid, simulate
from made_fit import REASON, made_fit

import hyperlaw as hl
from hyperlaw.decision.trusted import of_target
from hyperlaw.inference.predict import batch_range

AT = {"params": 4e6, "data": 1.6e9}
FAR_OUT = "so far out only the law speaks"


@pytest.fixture(scope="module")
def fit():
    runs = simulate(hl.laws.StepLaw(), grid(rates=3, batches=2), seed=0)
    return made_fit(hl.laws.StepLaw(), runs, TRUTH, draws=100)


def decided(fit, at=AT, **words):
    return hl.decide(fit, at=at, risk=hl.Mean(), despite=REASON, **words)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1e300, "at['data'] is 1e+300, more than 8 decades beyond the table, which reaches from 1e+08 to 1.6e+09"),
        (1e-30, "at['data'] counts, so it must be 1 or more, received 1e-30."),
        (0.5, "at['data'] counts, so it must be 1 or more, received 0.5."),
        (True, "at['data'] must be a number such as 1e9, '7B' or '32k', received True."),
        (np.bool_(True), "at['data'] must be a number such as 1e9, '7B' or '32k', received np.True_."),
        (1j, "at['data'] must be a number such as 1e9, '7B' or '32k', received 1j."),
        (10**400, "at['data'] must be a number such as 1e9, '7B' or '32k', received 1000"),
        (np.nan, "at['data'] must be a finite number above zero, received nan."),
        ("x" * 5000, "at['data'] must be a number such as 1e9, '7B' or '32k', received 'xxx"),
        ("1e9 tokens", "at['data'] must be a number such as 1e9, '7B' or '32k', received '1e9 tokens'."),
    ],
)
def test_targets_beyond_reason_are_refused(fit, value, text):
    for ask in (fit.predict, lambda at: decided(fit, at)):
        with pytest.raises(ValueError, match=re.escape(text)) as refused:
            ask(AT | {"data": value})
        assert len(str(refused.value)) < 400


def test_a_target_far_out_is_for_review(fit):
    near, far = decided(fit), decided(fit, AT | {"data": 1e13})
    name = "decades that the target lies beyond the runs, most"
    rows = [choice.checks.table.set_index("check").loc[name] for choice in (near, far)]
    assert [row["status"] for row in rows] == ["PASS", "REVIEW"]
    assert rows[1]["value"] == pytest.approx(np.log10(1e13 / 1.6e9))
    assert name in far.explain()
    assert FAR_OUT in repr(fit.predict(AT | {"data": 1e13}))
    assert FAR_OUT not in repr(fit.predict(AT))


def test_a_loss_below_zero_is_for_review_where_no_run_has_one(fit):
    checks = fit.check()
    for best, lowest, expected in ((1.0, 2.0, "PASS"), (-6.8e6, 2.0, "REVIEW"), (-1.0, -2.0, None)):
        table = of_target(checks, 0.0, best, lowest).table.set_index("check")
        assert table["status"].get("loss at the target, median") == expected
        assert len(table) == len(checks.table) + (1 if expected is None else 2)


@pytest.mark.parametrize("size", [0.5, 2e9])
def test_candidates_hold_one_data_point_to_all(fit, size):
    candidates = {"learning_rate": [1e-3, 1e-3], "batch_size": [2.0**14, size]}
    text = (
        "a batch holds 1 data point at least and at most all 1.6e+09 of the target, but 1 of 2 candidates do not, "
        f"first {size:.6g}"
    )
    for ask in (fit.predict, lambda at, candidates: decided(fit, at, candidates=candidates)):
        with pytest.raises(ValueError, match=re.escape(text)):
            ask(AT, candidates=candidates)


def test_no_multiple_goes_beyond_the_data(fit):
    """Where the best batch lies between two multiples, the upper of which is no batch."""
    at = AT | {"data": 4e4}  # the best batch is some hundred data points
    for rule in (hl.OneOf("batch_size", multiples_of=3e4), hl.OneOf("batch_size", values=[64, 1e6])):
        choice = decided(fit, at, subject_to=rule)
        assert choice.candidates["batch_size"].between(*batch_range(at)).all()
    with pytest.raises(ValueError, match=r"leave no batch size that holds 1 data point at least and at most all 40000"):
        decided(fit, at, subject_to=hl.OneOf("batch_size", values=[0.5, 1e6]))
