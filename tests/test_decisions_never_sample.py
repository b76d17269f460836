"""A decision works on the draws of its fits: it samples nothing, and refits nothing."""

import sys

import pandas as pd
import pytest
from conftest import TARGET
from decisions import QUESTIONS, made, questions
from made_fit import REASON

import hyperlaw as hl
from hyperlaw.fits import update
from hyperlaw.inference.posterior import sample_posterior
from hyperlaw.inference.refit import refit
from hyperlaw.inference.sampler import sample

SAMPLES = (sample, sample_posterior, refit, hl.fit, update)


class Sampled(AssertionError):
    """Something was sampled."""


@pytest.fixture
def no_sampling(monkeypatch):
    """Whatever samples raises, under every name that a module of the package knows it by."""

    def refuse(*_, **__):
        raise Sampled

    made()  # made by hand, before anything is refused
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "hyperlaw":
            for known, value in list(vars(module).items()):
                if any(value is one for one in SAMPLES):
                    monkeypatch.setattr(module, known, refuse)


@pytest.mark.usefixtures("no_sampling")
@pytest.mark.parametrize("decision", QUESTIONS)
def test_a_decision_samples_nothing(decision):
    assert set(questions(made())) == set(QUESTIONS)
    assert questions(made())[decision](despite=REASON) is not None


@pytest.mark.usefixtures("no_sampling")
def test_nor_do_the_checks_and_the_words_of_one(fit):
    choice = hl.decide(fit, TARGET, risk=hl.CVaR(0.9))
    assert choice.checks.ok
    assert choice.explain()
    assert choice.to_json()
    assert choice.score(choice.setting).table.loc["plan", "regret_mean"] >= 0
    runs = pd.DataFrame(TARGET | {"data": 2**20, "batch_size": 128.0, "learning_rate": [2e-3, 4e-3, 8e-3]})
    found = hl.next_runs(fit, TARGET, candidates=runs, n=2, risk=hl.Mean(), seed=0, progress=False)
    assert len(found.table) == 2


@pytest.mark.usefixtures("no_sampling")
def test_weights_that_ask_for_refits_would_be_seen_to_sample():
    """The one exception, by which the tests above are seen to be able to fail."""
    two = {name: made()[name] for name in ("StepLaw", "TimeTransfer")}
    with pytest.raises(Sampled):
        hl.decide(two, {"params": 4e6, "data": 1.6e10}, risk=hl.Mean(), weights="scale", despite=REASON)
    with pytest.raises(Sampled):
        hl.fit(hl.laws.StepLaw(), made()["StepLaw"].table, seed=0)
