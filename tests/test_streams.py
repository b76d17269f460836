"""Named streams of random numbers: no two quantities of a fit share their luck, and one has always the same."""

from itertools import combinations

import jax
import numpy as np
import pandas as pd
import pytest
from conftest import CHECKED, TRUTH, grid, measure, simulate
from made_fit import REASON, made_fit

import hyperlaw as hl
from hyperlaw import streams
from hyperlaw.diagnostics import check as check_module
from hyperlaw.inference.bands import value_bands
from hyperlaw.inference.cells import new_cell
from hyperlaw.inference.example import example

AT = {"params": 4e6, "data": 1.6e10, "task": None}
MANY = 1000


@pytest.fixture
def asked(monkeypatch):
    """Every stream that is asked for, as its seed and names, since the list was last cleared."""
    found, entropy = [], streams._entropy
    monkeypatch.setattr(streams, "_entropy", lambda seed, names: found.append((seed, *names)) or entropy(seed, names))
    return found


@pytest.fixture(scope="module")
def fit():
    """Of runs of two tasks, from one of which the other differs."""
    law = hl.laws.StepLaw()
    frames = [simulate(law, grid((task,), rates=3, batches=2), seed=i).frame for i, task in enumerate("ab")]
    scattered = {p.name: 0.05 for p in law.own_parameters}
    return made_fit(law, hl.Runs.from_frame(pd.concat(frames)), TRUTH, scattered=scattered, draws=200, seed=3)


def of(fit, *names):
    return {(fit.seed, fit.law.name, *each) for each in names}


def take(asked):
    """What was asked for since the last time, each once."""
    found = set(asked)
    assert len(found) == len(asked), asked
    asked.clear()
    return found


def luck(seed, *names):
    """The first numbers of a stream, of NumPy's generator and of JAX's."""
    key = streams.jax_key(seed, *names)
    return streams.generator(seed, *names).standard_normal(MANY), np.asarray(jax.random.normal(key, MANY))


def assert_independent(several):
    numbers = [each for one in several for each in luck(*one)]
    for one, other in combinations(numbers, 2):
        assert abs(np.corrcoef(one, other)[0, 1]) < 5 / np.sqrt(MANY)


def test_equal_names_give_equal_numbers_and_other_names_others():
    named = [(), ("a",), ("b",), ("a", 0), ("a", 1), ("a", 0, 0), ("a", "b"), ("b", "a"), ("ab",)]
    for names in named:
        for one, again in zip(luck(5, *names), luck(5, *names), strict=True):
            np.testing.assert_array_equal(one, again)
    assert_independent([(seed, *names) for seed in (5, 6) for names in named])


def test_no_two_quantities_of_a_fit_of_values_share_their_luck(asked):
    law = hl.laws.OptimalUTD()
    fit = hl.fit(law, measure(law, example(law), 0), seed=4, **CHECKED | {"draws": 50})
    sampled = take(asked)
    assert sampled == of(
        fit, ("start",), ("warm-up",), ("chains",), ("posterior predictive",), ("prior",), ("prior, beforehand",)
    )
    hl.prior_predict(law, fit.table, seed=4, draws=50)
    assert take(asked) == of(fit, ("prior",), ("prior, beforehand",))
    fit.predict({"budget": 1e20, "task": None})
    predicted = take(asked)
    assert predicted == of(fit, ("new task",), ("new cell",), ("new value",))
    value_bands(fit)
    drawn = take(asked) - of(fit, ("new task",))
    assert drawn == of(fit, ("band", "cell"), ("band", "value"))
    # Another law with the same seed has other streams: the name of the law is in each.
    other = {(seed, "SquareRoot", *names) for seed, _, *names in sampled}
    assert_independent([*sampled, *predicted, *drawn, *other])


def test_no_two_quantities_of_a_fit_of_runs_share_their_luck(fit, asked):
    fit.predict(AT)
    predicted = take(asked)
    levels = ("new level", "params"), ("new level", "data")
    assert predicted == of(fit, ("new task",), *levels, ("new cell",), ("new value",), ("run noise",))
    check_module._KNOWN.pop(fit, None)  # another test may have had it checked
    hl.decide(fit, AT, risk=hl.Mean(), despite=REASON)
    # The same cell, and the same scatter of its runs; the checks ask about a target of their own.
    checked = of(fit, *((*what, "check") for what in (("new task",), *levels, ("new cell",))), ("new task", "fitted"))
    checked |= of(fit, ("check", "off the law", "data"))  # two sizes always lie on a power law
    assert take(asked) == predicted - of(fit, ("new value",)) | checked
    runs = pd.DataFrame({"learning_rate": 1e-3, "batch_size": 2.0**15, "params": 4e6, "data": [3e9, 6e9], "task": "a"})
    hl.next_runs(fit, AT, candidates=runs, n=1, risk=hl.Mean(), seed=9, despite=REASON, progress=False)
    own = set(asked) - predicted - checked
    apart = [(f"next runs {9}", number) for number in (1, 2)]
    anew = [(*what, *each) for what in (("new cell",), ("new task",), *levels) for each in apart]
    assert own == of(fit, *anew) | {
        (9, "next runs", "draws"), (9, "next runs", "losses"), (9, "next runs", "known law")
    }  # fmt: skip
    assert set(asked) & predicted == of(fit, ("new task",), *levels, ("new cell",))  # the target's, as predicted
    assert_independent([*predicted, *own])


def test_every_question_about_a_target_is_one_about_the_same_new_cell(fit):
    cell, prediction = new_cell(fit, AT), fit.predict(AT)
    (part,) = hl.decide(fit, AT, risk=hl.Mean(), despite=REASON).parts
    for name in ("deviation_learning_rate", "deviation_batch_size", "cell_optimal_loss", "log_learning_rate"):
        np.testing.assert_array_equal(part.p[name], cell.p[name].ravel())
    for name in ("learning_rate", "batch_size"):
        np.testing.assert_allclose(np.exp(part.optimum[name]), prediction.draws[f"best_{name}"].values.ravel())
    np.testing.assert_allclose(part.optimum["loss"], prediction.draws["best_loss"].values.ravel())
    other = new_cell(fit, AT, "another")
    for name in ("deviation_learning_rate", "deviation_batch_size", "log_learning_rate"):
        assert (other.p[name] != cell.p[name]).all()
