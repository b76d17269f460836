import numpy as np
import pytest
from conftest import STEPS, TRUTH, grid, simulate
from made_fit import REASON, made_fit

import hyperlaw as hl
from hyperlaw.inference.example import example
from hyperlaw.models.likelihoods.deviations import drift

LAW = hl.laws.TimeTransfer()
END = {"params": 4e6, "data": 1.6e10}


def schedule(fit, at, **asked):
    """Of a fit made by hand, which holds nothing that checks could look at."""
    return hl.schedule(fit, at, despite=REASON, **asked)


@pytest.fixture(scope="module")
def runs():
    return simulate(LAW, grid(rates=3, batches=2), seed=0)


def critical(fit, data, p=TRUTH):
    growth = p["critical_exponent_data"] * (np.log(data) - fit.pivot["data"])
    return np.exp(p["log_batch_size"] + p["log_critical_ratio"] + growth)


def test_known_law_doubles_where_the_critical_batch_does(runs):
    still = {name: 0.0 for name in TRUTH if name.startswith("drift_")}
    known = (
        TRUTH
        | still
        | {f"{of}_sd_{n}": 1e-9 for of in ("cell", "params", "data") for n in ("batch_size", "learning_rate")}
    )
    fit = made_fit(LAW, runs, known, draws=50)
    found = schedule(fit, END, batch_size=2.0**15)
    table = found.table
    assert table["batch_size"].tolist() == [2.0 ** (15 + j) for j in range(len(table))]
    assert critical(fit, table["median"].to_numpy()) == pytest.approx(table["batch_size"].to_numpy())
    ratio = (table["median"] / table["median"].shift()).dropna()
    assert ratio.to_numpy() == pytest.approx(2 ** (1 / known["critical_exponent_data"]))
    # One more doubling would come after the end, and every one in the table before it.
    assert table["median"].iloc[-1] <= END["data"] < table["median"].iloc[-1] * ratio.iloc[0]
    assert (table["p_reached"] == 1).all()
    # At the critical batch size the learning rate is the peak of the surge.
    x = {name: np.log({**END, "data": table["median"].to_numpy()}[name]) - fit.pivot[name] for name in LAW.covariates}
    peak = (
        known["log_peak_rate"] + known["rate_exponent_data"] * x["data"] + known["rate_exponent_params"] * x["params"]
    )
    assert table["learning_rate_median"].to_numpy() == pytest.approx(np.exp(peak))


def test_uncertainty_widens_the_intervals(runs):
    fit = made_fit(LAW, runs, TRUTH, scattered={"critical_exponent_data": 0.1, "log_critical_ratio": 0.2})
    found = schedule(fit, END, batch_size=2.0**15)
    table = found.table
    assert (table["lower"] < table["median"]).all()
    assert (table["median"] < table["upper"]).all()
    assert table["p_reached"].is_monotonic_decreasing
    assert table["p_reached"].iloc[-1] >= 0.5
    draws = found.draws["data"]
    assert draws.dims == ("chain", "draw", "doubling")
    assert (draws <= END["data"]).mean(("chain", "draw")).values == pytest.approx(table["p_reached"].to_numpy())
    assert str(len(table) - 1) in repr(found)


def test_a_critical_batch_that_falls_is_never_reached(runs):
    fit = made_fit(LAW, runs, TRUTH | {"critical_exponent_data": 0.05}, scattered={"critical_exponent_data": 0.1})
    found = schedule(fit, END, batch_size=2.0**15)
    falling = fit.tree["posterior"]["critical_exponent_data"].values <= 0
    assert np.isinf(found.draws["data"].values[falling]).all()
    assert np.isinf(found.table["upper"].iloc[-1])


def test_of_optima_whose_batch_size_is_given():
    """The batch size of the target is then that of the schedule, row by row: the end of the run gives none."""
    table = hl.Optima.example(["batch_size", "params", "data"], ["learning_rate"])
    scatter = {"residual_sd_learning_rate": 0.05, "residual_sd_batch_size": 0.05, "params_sd_learning_rate": 1e-9}
    fit = made_fit(LAW, table, TRUTH | scatter, draws=50)
    at = {"params": 1e6, "data": 64 * float(np.exp(fit.pivot["data"])), "task": table.tasks[0]}
    found = schedule(fit, at, batch_size=float(critical(fit, at["data"])) / 5).table
    assert len(found) == 3
    assert critical(fit, found["median"].to_numpy()) == pytest.approx(found["batch_size"].to_numpy())
    for _, row in found.iterrows():
        at_batch = at | {"data": row["median"], "batch_size": row["batch_size"]}
        x = {name: np.log(at_batch[name]) - fit.pivot[name] for name in LAW.covariates}
        rate = float(LAW.log_learning_rate(TRUTH, x, np.log(row["batch_size"]))) + drift(TRUTH, "learning_rate", x)
        assert row["learning_rate_median"] == pytest.approx(np.exp(rate), rel=1e-5)
    with pytest.raises(ValueError, match="at must not give batch_size, which changes along the run"):
        schedule(fit, at | {"batch_size": 8.0}, batch_size=8.0)


def test_by_falling_loss():
    law = hl.laws.CriticalBatchLoss()
    truth = STEPS | {"critical_exponent_loss": 5.0, "steps_exponent_loss": 2.0, "residual_sd_steps": 0.05}
    fit = made_fit(law, example(law), truth, draws=50)
    at = {"loss": float(np.exp(fit.pivot["loss"])) / 2, "task": None}
    table = schedule(fit, at, batch_size=np.exp(truth["log_critical_batch"])).table
    assert len(table) == 6  # the loss halves, so that the critical batch size grows 2^5 times
    assert (table["median"] / table["median"].shift()).dropna().to_numpy() == pytest.approx(2**-0.2, rel=0.02)
    assert "learning_rate_median" not in table


def test_by_data_of_steps():
    law = hl.laws.CriticalBatchData()
    truth = STEPS | {"critical_exponent_data": 0.5, "steps_exponent_data": 0.6, "residual_sd_steps": 0.05}
    fit = made_fit(law, example(law), truth, draws=50)
    at = {"data": 16 * float(np.exp(fit.pivot["data"])), "task": fit.table.tasks[0]}
    table = schedule(fit, at, batch_size=0.999 * np.exp(truth["log_critical_batch"])).table
    assert len(table) == 3
    assert (table["median"] / table["median"].shift()).dropna().to_numpy() == pytest.approx(4.0, rel=0.01)


def test_refusals(runs):
    fit = made_fit(LAW, runs, TRUTH, draws=50)
    with pytest.raises(ValueError, match=r"critical batch size at the end of the run is .* start with a smaller one"):
        schedule(fit, END, batch_size=2.0**40)
    with pytest.raises(ValueError, match="batch_size must be finite and above zero, received -1"):
        schedule(fit, END, batch_size=-1)
    with pytest.raises(ValueError, match="missing data"):
        schedule(fit, {"params": 1e6}, batch_size=8)
    for law in (hl.laws.StepLaw(), hl.laws.CriticalBatchParams()):
        table = runs if law.name == "StepLaw" else example(law)
        other = hl.Fit(hl.likelihood(law, table), table, fit.tree, fit.pivot)
        with pytest.raises(ValueError, match=f"{law.name} does not say how the critical batch size grows"):
            schedule(other, END, batch_size=8)
