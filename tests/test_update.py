import json

import numpy as np
import pandas as pd
import pytest
from conftest import TRUTH, grid, simulate
from made_fit import SETTINGS, made_fit

import hyperlaw as hl
from hyperlaw.inference import update as module

LAW = hl.laws.StepLaw()


@pytest.fixture(scope="module")
def everything():
    return simulate(LAW, grid(rates=5, batches=3), seed=4)


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
    """New runs in fitted cells; the old draws need only lie about right."""
    some = everything.frame["batch_size"] < 2.0**15
    old = made_fit(LAW, everything.where(some), TRUTH, scattered={p.name: 0.01 for p in LAW.parameter_list})
    fit = hl.update(old, everything.frame[~some], seed=1, chains=2, draws=200, progress=False)
    assert fit.runs.frame["loss"].sort_index().equals(everything.frame["loss"])
    assert fit.law == old.law
    assert json.loads(fit.tree.attrs["settings"]) == SETTINGS | {"warmup": 200, "draws": 200}
    origin = json.loads(fit.tree.attrs["updated_from"])
    assert origin == {"data": old.table.digest, "seed": 0, "runs": some.sum(), "new_runs": (~some).sum()}
    posterior = fit.tree["posterior"]
    assert posterior["cell_floor"].sizes["cell"] == len(everything.cells)
    for name in ("log_learning_rate", "log_batch_size", "exponent_data"):
        draws = posterior[name].values
        assert abs(draws.mean() - TRUTH[name]) < 4 * draws.std(), name
    assert {"prior", "log_likelihood", "posterior_predictive"} <= set(fit.tree.children)


@pytest.fixture
def seen(monkeypatch):
    """What would be sampled, without sampling it."""
    calls = []

    def sampled(law, table, **rest):
        calls.append(rest | {"table": table})
        return made_fit(law, table, TRUTH, draws=50)

    monkeypatch.setattr(module, "sampled", sampled)
    return calls


def test_it_starts_from_the_old_draws_unless_there_are_new_cells(old, new, seen):
    hl.update(old, old.runs.frame.iloc[:2].assign(seed=1), seed=1)
    hl.update(old, new, seed=1)
    warm, anew = seen
    assert warm["earlier"]["exponent_data"].shape == (1000,)
    assert warm["earlier"]["cell_floor"].shape == (1000, 5)
    assert anew["earlier"] is None
    assert (warm["settings"].warmup, anew["settings"].warmup) == (200, 600)
    assert warm["settings"].target_accept == SETTINGS["target_accept"]


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
