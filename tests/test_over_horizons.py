"""Batch sizes that are held over the horizon: three regimes of the surge, and what holding costs."""

import numpy as np
import pytest
from conftest import TRUTH, grid, simulate
from made_fit import REASON, made_fit

import hyperlaw as hl

LAW = hl.laws.TimeTransfer()
KAPPA, RHO = TRUTH["critical_exponent_data"], TRUTH["rate_exponent_data"]
KNOWN = TRUTH | {name: 0.0 for name in TRUTH if name.startswith("drift_")}
KNOWN |= {f"{of}_sd_{n}": 1e-9 for of in ("cell", "params", "data") for n in ("batch_size", "learning_rate")}
AT = {"params": 4e6}


@pytest.fixture(scope="module")
def fit():
    return made_fit(LAW, simulate(LAW, grid(rates=3, batches=2), seed=0), KNOWN, draws=50)


def held(fit, **asked):
    return hl.over_horizons(fit, AT, despite=REASON, **{"data": [1e9, 1e10], "batch_size": [2.0**15]} | asked)


def critical(fit, data):
    return np.exp(KNOWN["log_batch_size"] + KNOWN["log_critical_ratio"] + KAPPA * (np.log(data) - fit.pivot["data"]))


def test_three_regimes_of_one_curve(fit):
    """rho - kappa/2 far below the critical batch size, rho at it, rho + kappa/2 far above it."""
    middle = critical(fit, 1e9)
    table = held(fit, data=[1e9], batch_size=[middle / 1e6, middle, middle * 1e6]).table
    assert table["exponent_median"].to_numpy() == pytest.approx([RHO - KAPPA / 2, RHO, RHO + KAPPA / 2], abs=2e-3)
    assert table["regime"].tolist()[::2] == ["below", "above"]
    assert table["p_below"].tolist()[::2] == [1, 0]


def test_the_learning_rate_is_the_best_at_that_batch_size(fit):
    found = held(fit)
    for row in found.table.to_dict("records"):
        at = AT | {"data": row["data"]}
        x = {name: np.log(at[name]) - fit.pivot[name] for name in LAW.covariates}
        rate = float(LAW.log_learning_rate(KNOWN, x, np.log(row["batch_size"])))
        assert row["learning_rate_median"] == pytest.approx(np.exp(rate), rel=1e-5)
    assert found.draws["critical_batch"].median("sample").values == pytest.approx(critical(fit, np.array([1e9, 1e10])))


def test_a_batch_size_held_costs_more_the_longer_it_is_held(fit):
    best = np.exp(KNOWN["log_batch_size"] + KNOWN["exponent_data"] * (np.log(1e9) - fit.pivot["data"]))
    table = held(fit, data=[1e9, 1e10, 1e11], batch_size=[best]).table
    assert table["regret_median"].iloc[0] == pytest.approx(0, abs=1e-9)
    assert table["regret_median"].is_monotonic_increasing
    # What the decision says of the same setting, at its best learning rate.
    last = table.iloc[-1]
    setting = {"learning_rate": [last["learning_rate_median"]], "batch_size": [best]}
    regret = fit.predict(AT | {"data": 1e11}, {n: np.array(v) for n, v in setting.items()}).draws["regret"]
    assert float(regret.median()) == pytest.approx(last["regret_median"], rel=1e-3)


def test_a_law_without_a_critical_batch_size_says_nothing_of_it():
    law = hl.laws.StepLaw()
    fit = made_fit(law, simulate(law, grid(rates=3, batches=2), seed=0), TRUTH, draws=50)
    found = held(fit)
    assert "regime" not in found.table
    assert "critical_batch" not in found.draws
    assert len(found.plot().axes) == 2
    assert "1 batch size, held over 2 horizons" in repr(found)


@pytest.mark.parametrize(
    ("asked", "at", "text"),
    [
        ({}, {"data": 1e9}, "at must not give data, which moves; data= has the horizons"),
        ({"data": [0, 1e9]}, AT, r"data must be finite and above zero, received \[0\.0, 1000000000\.0\]"),
        ({"batch_size": []}, AT, "batch_size must be finite and above zero, received "),
    ],
)
def test_what_it_refuses(fit, asked, at, text):
    with pytest.raises(ValueError, match=text):
        hl.over_horizons(fit, at, despite=REASON, **{"data": 1e9, "batch_size": 64.0} | asked)


def test_it_needs_runs_by_a_law_of_data_and_several_batch_sizes(value_fit):
    with pytest.raises(ValueError, match="needs a fit of runs by a law of data, received one of"):
        hl.over_horizons(value_fit("StepsExamples"), {}, data=1e9, batch_size=64.0)
    law = hl.laws.StepLaw()
    alone = made_fit(law, simulate(law, grid(batches=1), seed=0), TRUTH, draws=50)
    with pytest.raises(ValueError, match="no cell of these runs tried several batch sizes"):
        hl.over_horizons(alone, AT, data=1e9, batch_size=64.0, despite=REASON)
