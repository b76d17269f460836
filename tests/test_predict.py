import numpy as np
import pandas as pd
import pytest
from conftest import TARGET

PAIR = {"learning_rate": [1e-3, 4e-3], "batch_size": [128, 256]}


def test_prediction_holds_the_optimum_and_a_regret_surface(fit):
    prediction = fit.predict(TARGET)
    assert list(prediction.table.index) == ["learning_rate", "batch_size", "loss"]
    assert (prediction.table["lower"] < prediction.table["median"]).all()
    assert (prediction.table["median"] < prediction.table["upper"]).all()
    draws = prediction.draws
    assert draws["regret"].dims == ("chain", "draw", "candidate")
    assert float(draws["regret"].min()) >= 0
    assert float(draws["diverge"].min()) >= 0
    assert float(draws["diverge"].max()) <= 1
    assert prediction.extrapolation.loc["data", "decades"] == pytest.approx(np.log10(4))
    assert prediction.extrapolation.loc["params", "decades"] == 0


def test_regret_vanishes_at_a_draws_own_optimum(fit):
    draws = fit.predict(TARGET).draws
    first = {name: draws[f"best_{name}"].values[0, :3] for name in ("learning_rate", "batch_size")}
    regret = fit.predict(TARGET, first).draws["regret"].values[0, :3]
    assert np.allclose(np.diag(regret), 0, atol=1e-12)
    assert (regret[~np.eye(3, dtype=bool)] > 0).all()


def test_prediction_is_the_same_every_time(fit):
    assert fit.predict(TARGET, PAIR).draws.equals(fit.predict(TARGET, PAIR).draws)


def test_further_targets_are_less_certain(fit):
    near, far = (fit.predict({"params": 98304, "data": d}, PAIR).table for d in (2**22, 2**30))
    for name in ("learning_rate", "batch_size"):
        assert far.loc[name, "upper"] / far.loc[name, "lower"] > near.loc[name, "upper"] / near.loc[name, "lower"]
    assert far.loc["loss", "upper"] - far.loc["loss", "lower"] > near.loc["loss", "upper"] - near.loc["loss", "lower"]


def test_a_known_task_is_surer_than_a_new_one(pooled):
    at = {"params": 4e6, "data": 1.6e9}
    known, new = (pooled.predict(at | {"task": task}, PAIR).table for task in ("sgd", None))
    width = np.log(new["upper"] / new["lower"]) / np.log(known["upper"] / known["lower"])
    assert width["learning_rate"] > 2
    # Their truths are 0.4 apart, in natural logs.
    tasks = [pooled.predict(at | {"task": t}, PAIR).table.loc["learning_rate", "median"] for t in pooled.runs.tasks]
    assert tasks == sorted(tasks)


def test_the_only_task_may_be_named(fit):
    at = {"params": 98304, "data": 2**22}
    pd.testing.assert_frame_equal(
        fit.predict(at | {"task": fit.runs.tasks[0]}, PAIR).table, fit.predict(at, PAIR).table
    )
    with pytest.raises(ValueError, match=r"unknown task .this fit has one task, 'all': leave task out"):
        fit.predict(at | {"task": "sgd"})


@pytest.mark.parametrize(
    ("at", "text"),
    [
        ({"data": 1e9}, "at must give exactly params, data: missing params"),
        ({"params": 1, "data": 1e9, "steps": 3}, "unknown steps"),
        ({"params": -1, "data": 1e9}, r"at\['params'\] must be a finite number above zero, received -1"),
        (
            {"params": "many", "data": 1e9},
            r"at\['params'\] must be a number such as 1e9, '7B' or '32k', received 'many'",
        ),
        ({"params": 1e5, "data": np.inf}, r"at\['data'\] must be a finite number above zero"),
    ],
)
def test_bad_targets_are_refused(fit, at, text):
    with pytest.raises(ValueError, match=text):
        fit.predict(at)


def test_unknown_tasks_are_refused(pooled):
    at = {"params": 4e6, "data": 1.6e9}
    with pytest.raises(ValueError, match=r"missing task .task: a known label, or None for a new task"):
        pooled.predict(at)
    with pytest.raises(ValueError, match="task 'sdg' is not among the fitted tasks adam, lion, sgd"):
        pooled.predict(at | {"task": "sdg"})


@pytest.mark.parametrize(
    ("candidates", "text"),
    [
        ({"learning_rate": [1e-3]}, "candidates must give learning_rate and batch_size, received learning_rate"),
        ({"learning_rate": [1e-3], "batch_size": [1, 2]}, "two lists of equal length"),
        ({"learning_rate": [], "batch_size": []}, "two lists of equal length"),
        ({"learning_rate": [0.0], "batch_size": [64]}, r"candidates\['learning_rate'\] must be finite and above zero"),
    ],
)
def test_bad_candidates_are_refused(fit, candidates, text):
    with pytest.raises(ValueError, match=text):
        fit.predict(TARGET, candidates)
