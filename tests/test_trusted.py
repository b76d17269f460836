"""No decision from a fit that failed its checks, unless a reason is given: the same in all of them."""

import re

import pytest
from decisions import QUESTIONS, made, questions

import hyperlaw as hl
from hyperlaw.decision.trusted import trusted
from hyperlaw.diagnostics import check as module
from hyperlaw.diagnostics.check import check

REFUSAL = re.compile(
    r"the fit of (?P<name>.+?) failed (?P<count>\d+) of its checks \((?P<failed>.+)\), so its intervals cannot be "
    r'trusted\. See its check\(\) for what to do, or pass despite="reason" to decide all the same\.'
)


@pytest.mark.parametrize("decision", QUESTIONS)
def test_a_fit_that_failed_is_refused_in_the_same_words_by_all(decision):
    ask, asked = questions(made())[decision], {}
    for given in ({}, {"despite": None}, {"despite": ""}):
        with pytest.raises(RuntimeError) as refused:
            ask(**given)
        said = REFUSAL.fullmatch(str(refused.value))
        assert said, str(refused.value)
        asked |= said.groupdict()
    fit = made()[asked["name"]]
    failed = fit.check().failed
    assert "divergences" in failed
    assert asked["failed"] == ", ".join(failed)
    assert int(asked["count"]) == len(failed)


@pytest.mark.parametrize("decision", QUESTIONS)
def test_a_reason_is_accepted_and_kept(decision):
    found = questions(made())[decision](despite="a trial")
    if decision not in ("next_runs", "schedule"):  # tables, which hold no more than was asked
        assert found.despite == "a trial"


@pytest.fixture
def passing(monkeypatch):
    """Names of laws whose fits pass, whatever they hold."""
    names = []

    def check_or_pass(fit):
        checks = check(fit)
        return hl.Checks(checks.table.assign(status="PASS")) if fit.law.name in names else checks

    monkeypatch.setattr(module, "check", check_or_pass)
    monkeypatch.setattr(module, "_KNOWN", {})
    return names


def test_a_fit_is_checked_once(monkeypatch, fit):
    asked = []
    monkeypatch.setattr(module, "_KNOWN", {})
    monkeypatch.setattr(module, "check", lambda one: asked.append(one) or check(one))
    assert trusted({"a": fit}, None) is not trusted({"b": fit}, None)
    assert asked == [fit]


def test_every_fit_of_a_decision_is_asked(passing):
    passing.append("DataEfficiency")
    with pytest.raises(RuntimeError, match="the fit of the hyperparameters failed"):
        questions(made())["frontier"]()
    passing.append("StepLaw")
    module._KNOWN.clear()
    with pytest.raises(RuntimeError, match="the fit of TimeTransfer failed"):
        questions(made())["decide, equal weights"]()


@pytest.mark.parametrize("decision", QUESTIONS)
def test_no_reason_is_needed_of_fits_that_pass_and_none_is_kept(decision, passing):
    passing += made()
    assert questions(made())[decision]() is not None
    found = questions(made())[decision](despite="in case")
    assert getattr(found, "despite", None) is None


def test_the_checks_of_several_fits_have_their_names(fit, rough):
    with pytest.raises(RuntimeError, match="the fit of b failed"):
        trusted({"a": fit, "b": rough}, None)
    table = trusted({"a": fit, "b": rough}, "a trial").table
    assert list(table["check"]) == [f"{name}: {check}" for name in "ab" for check in fit.check().table["check"]]
    assert list(trusted({"a": fit}, None).table["check"]) == list(fit.check().table["check"])
