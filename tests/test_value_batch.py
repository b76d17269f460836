"""A law of the best learning rate at given batch sizes is asked at a batch size, and answers what was measured there.

It was once asked at a batch of one data point, and answered a learning rate that was orders too small.
"""

import re
from itertools import product

import numpy as np
import pandas as pd
import pytest

import hyperlaw as hl
from hyperlaw.diagnostics.backtest import backtest
from hyperlaw.inference.bands import value_bands
from hyperlaw.inference.cells import new_rows, values_at
from hyperlaw.inference.predict import predict
from hyperlaw.inference.refit import refit
from hyperlaw.models.law import LAWS

BEST, MIDDLE = 2e-3, 2.0**16
BATCHES = MIDDLE * 2.0 ** np.arange(-1, 2)
# The laws of a learning rate that need no batch size: where a table gives one, they are asked at it all the same.
ASKED = [
    name
    for name, law in LAWS.items()
    if "learning_rate" in law.predicts and "optima" in law.tables and not law.needs_batch_size
]
WHY = " (the table gives a batch size in every row, so the best learning rate is that at a batch size)."


def invented(law, slope=0.0):
    """Twelve optima or more, one a cell and batch size: the best learning rate is 2e-3 at the middle one."""
    if law.covariates == ("params", "data"):
        rows = product((1e7, 4e7), (4e8, 1.6e9), BATCHES, BEST * 2.0 ** np.arange(-2, 3))
        frame = pd.DataFrame(rows, columns=["params", "data", "batch_size", "learning_rate"])
        best = BEST * (frame["batch_size"] / MIDDLE) ** slope
        frame["loss"] = 3 - 0.1 * np.log(frame["data"] / 4e8) + 0.05 * np.log(frame["learning_rate"] / best) ** 2
        return hl.Runs.from_frame(frame, batch_unit=1).optima(by_batch=True)
    rows = product(*([(1.0, 2.0, 4.0, 8.0)] + [(1e6, 4e6)] * (len(law.covariates) - 1)), BATCHES)
    frame = pd.DataFrame(rows, columns=[*law.covariates, "batch_size"])
    frame["learning_rate"] = BEST * (frame["batch_size"] / MIDDLE) ** slope
    frame["learning_rate_error"] = 0.05
    return hl.Optima.from_frame(frame, estimated=("learning_rate",), batch_unit=1)


def asked_at_every_row(posterior):
    """What is predicted beside what was measured, one row a row of the table."""
    names, rows = [*posterior.law.covariates, "batch_size"], []
    for _, row in posterior.table.frame.iterrows():
        found = predict(posterior, {name: float(row[name]) for name in names}).table.loc["learning_rate"]
        rows.append(found.to_dict() | {"measured": row["learning_rate"]})
    return pd.DataFrame(rows)


def test_these_are_the_laws():
    assert set(ASKED) == {
        "StepLaw", "TimeTransfer", "TimeTransferTied", "ComputeLaw", "UTDHyperparameters", "UTDHyperparametersBySize",
    }  # fmt: skip


@pytest.fixture(scope="module", params=[name for name in ASKED if name != "UTDHyperparametersBySize"])
def fitted(request):
    """Each of them on the same best learning rate everywhere."""
    law = LAWS[request.param]()
    return refit(law, invented(law), seed=0)


def test_what_is_predicted_at_every_row_is_near_what_was_measured(fitted):
    rows = asked_at_every_row(fitted)
    assert rows["measured"].to_numpy() == pytest.approx(BEST, rel=1e-3)
    assert np.log(rows["median"] / rows["measured"]).abs().max() < 0.2
    assert rows["measured"].between(rows["lower"], rows["upper"]).all()
    assert (np.log(rows["upper"] / rows["lower"]) < 1).all()


def test_without_a_batch_size_nothing_is_predicted(fitted):
    names = ", ".join([*fitted.law.covariates, "batch_size"])
    row = fitted.table.frame.iloc[0]
    at = {name: float(row[name]) for name in fitted.law.covariates}
    with pytest.raises(ValueError, match=re.escape(f"at must give exactly {names}: missing batch_size{WHY}")):
        predict(fitted, at)
    with pytest.raises(ValueError, match=re.escape("at['batch_size'] must be a number such as 1e9, '7B'")):
        predict(fitted, at | {"batch_size": "large"})
    for value in (0.0, -1.0, np.inf):
        with pytest.raises(ValueError, match=re.escape("at['batch_size'] must be a finite number above zero, receive")):
            predict(fitted, at | {"batch_size": value})
    frame = pd.DataFrame([at]).assign(task="all")
    for ask in (values_at, new_rows):
        with pytest.raises(ValueError, match=re.escape(f"rows to predict must give {names}; missing batch_size.")):
            ask(fitted, frame)


def test_the_target_says_its_batch_size_and_how_far_it_lies_from_those_fitted(fitted):
    row = fitted.table.frame.iloc[0]
    at = {name: float(row[name]) for name in fitted.law.covariates} | {"batch_size": 1000 * BATCHES[-1]}
    found = predict(fitted, at)
    assert found.at == at
    assert found.extrapolation.loc["batch_size", ["lowest", "highest"]].tolist() == [BATCHES[0], BATCHES[-1]]
    assert found.extrapolation["decades"].to_dict() == pytest.approx(dict.fromkeys(at, 0.0) | {"batch_size": 3.0})


def test_pictures_and_backtests_are_drawn_at_the_batch_sizes_too(fitted):
    bands = value_bands(fitted, beyond=1.0)
    assert set(bands["batch_size"]) == set(BATCHES)
    assert np.log(bands["median"] / BEST).abs().max() < 0.2
    sets = len(bands.groupby([*fitted.law.covariates[1:], "batch_size"]))
    (panel,) = hl.plots.values(fitted).axes
    lines = [line.get_xdata() for line in panel.lines if len(line.get_xdata()) == 40]
    assert len(lines) == sets
    assert all((np.diff(x) > 0).all() for x in lines)
    found = backtest(
        {"law": fitted.law}, fitted.table, seed=0, hold_out=lambda frame: frame["batch_size"] == MIDDLE, progress=False
    ).table
    rows = found[found["method"] == "law"]
    assert len(rows) == len(fitted.table) // 3
    assert rows["covered"].all()
    assert (rows["error"] < 0.2).all()


@pytest.mark.parametrize("name", ["StepLaw", "TimeTransfer", pytest.param("ComputeLaw", marks=pytest.mark.slow)])
def test_a_rate_that_moves_with_the_batch_size_is_predicted_to(name):
    law = LAWS[name]()
    rows = asked_at_every_row(refit(law, invented(law, slope=0.5), seed=0))
    assert rows["measured"].max() / rows["measured"].min() == pytest.approx(2, rel=1e-3)
    assert np.log(rows["median"] / rows["measured"]).abs().max() < 0.2
    assert rows["measured"].between(rows["lower"], rows["upper"]).all()


def test_a_fit_of_measured_batch_sizes_is_asked_at_none(value_fit):
    fit = value_fit("UTDHyperparameters")
    with pytest.raises(ValueError, match=re.escape("at must give exactly utd, task: unknown batch_size.")):
        fit.predict({"utd": 2.0, "task": None, "batch_size": 256.0})
