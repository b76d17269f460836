import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from agreement import alike, recovered
from conftest import TRUTH, grid, simulate
from made_fit import SETTINGS, made_fit

import hyperlaw as hl
from hyperlaw import fits as module
from hyperlaw.inference.refit import SHORT, refit

LAW = hl.laws.StepLaw()


@pytest.fixture(scope="module")
def everything():
    return simulate(LAW, grid(), seed=4)


@pytest.fixture(scope="module")
def old(everything):
    """All but the largest cell."""
    return made_fit(
        LAW, everything.where(everything.frame["data"] * everything.frame["params"] < 6e15), TRUTH, draws=500
    )


@pytest.fixture(scope="module")
def new(everything, old):
    return everything.frame.drop(index=old.runs.frame.index)


def test_old_and_new_runs_are_fitted_together(everything):
    """New runs in fitted cells: what is sampled is the posterior given all, as a fit from nothing samples it."""
    some = (everything.frame["batch_size"] > 2.0**13) | (everything.frame["learning_rate"] < 4e-3)
    old = refit(LAW, replace(everything.where(some), batch_unit=2.0), seed=0)
    fit = hl.update(old, everything.frame[~some], seed=1, chains=2, draws=500, progress=False)
    assert isinstance(fit, hl.Fit)
    assert fit.runs.frame["loss"].sort_index().equals(everything.frame["loss"])
    assert fit.runs.batch_unit == old.runs.batch_unit == 2.0
    assert fit.likelihood == old.likelihood
    assert json.loads(fit.tree.attrs["settings"]) == SHORT._asdict() | {"warmup": 200}
    origin = json.loads(fit.tree.attrs["updated_from"])
    assert origin == {"data": old.table.digest, "seed": 0, "runs": 198, "new_runs": 12}
    assert fit.draws["cell_optimal_loss"].sizes["cell"] == len(everything.cells)
    assert {"prior", "log_likelihood", "posterior_predictive"} <= set(fit.tree.children)
    at_once = refit(LAW, everything, seed=2)
    for name in ("log_learning_rate", "log_batch_size", "exponent_data"):
        recovered(fit.draws[name], TRUTH[name])
        alike(fit.draws[name], at_once.draws[name])


@pytest.fixture
def seen(monkeypatch):
    """What would be sampled, without sampling it."""
    calls = []

    def sample_posterior(likelihood, table, **rest):
        calls.append(rest | {"table": table})
        return made_fit(likelihood, table, TRUTH, draws=50)

    monkeypatch.setattr(module, "sample_posterior", sample_posterior)
    return calls


def test_it_starts_from_the_old_draws_unless_there_are_new_cells_or_few_draws(old, new, seen):
    hl.update(old, old.runs.frame.iloc[:2].assign(seed=1), seed=1)
    hl.update(old, new, seed=1)
    few = made_fit(LAW, old.runs, TRUTH, draws=100)
    hl.update(few, old.runs.frame.iloc[:2].assign(seed=1), seed=1)
    warm, anew, too_few = seen
    assert warm["earlier"]["exponent_data"].shape == (1000,)
    assert warm["earlier"]["cell_optimal_loss"].shape == (1000, 5)
    assert anew["earlier"] is None
    assert too_few["earlier"] is None
    assert [one["settings"].warmup for one in seen] == [200, 300, 300]
    assert warm["settings"].target_accept == SETTINGS.target_accept


def test_forms_of_new_runs(old, new, seen):
    one = {"learning_rate": [1e-3], "batch_size": [2.0**13], "params": 4e6, "data": 1.6e9, "loss": [np.nan]}
    few = hl.Runs.from_frame(pd.concat([new, new.assign(data=3.2e9)], ignore_index=True))
    for given, rows in ((new, len(new)), (few, 2 * len(new))):
        hl.update(old, given, seed=1)
        assert len(seen[-1]["table"]) == len(old.runs) + rows
    # One more run of a fitted cell is enough, and a task that was not fitted.
    again = {**one, "params": 1e6, "data": 1e8, "seed": 7}
    hl.update(old, again, seed=1)
    assert seen[-1]["table"].frame["diverged"].sum() == old.runs.frame["diverged"].sum() + 1
    hl.update(old, new.assign(task="other"), seed=1)
    assert seen[-1]["table"].tasks == ("all", "other")


def test_runs_of_another_form_are_refused(old, new, seen):
    with pytest.raises(ValueError, match=r"columns of the fitted runs, learning_rate, .*: missing params"):
        hl.update(old, new.drop(columns="params"), seed=1)
    with pytest.raises(ValueError, match="the fitted runs have no width"):
        hl.update(old, new.assign(width=64), seed=1)
    with pytest.raises(ValueError, match="new_runs must hold a run or more, received none"):
        hl.update(old, new.iloc[:0], seed=1)
    with pytest.raises(ValueError, match="rows repeat another run"):
        hl.update(old, old.runs.frame.iloc[:3], seed=1)
    with pytest.raises(TypeError, match="seed must be an integer of 0 or more, received None"):
        hl.update(old, new, seed=None)
    with pytest.raises(ValueError, match="draws must be a multiple of 50, received 70"):
        hl.update(old, new, seed=1, draws=70)
    assert not seen
