"""Whatever refits gives the same results with the workers of an executor as in this process."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
from conftest import TARGET, measure

import hyperlaw as hl
from hyperlaw.diagnostics import sensitivity as refits
from hyperlaw.inference.example import example

pytestmark = pytest.mark.slow
LAW = hl.laws.OptimalUTD()


@pytest.fixture(scope="module")
def pool():
    """Two processes that know nothing of this one."""
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as found:
        yield found


@pytest.fixture(scope="module")
def budgets():
    """Best ratios of three tasks over five budgets."""
    return measure(LAW, example(LAW), 5, apart={"log_utd": (-0.3, 0.0, 0.3)})


def test_backtest(budgets, pool):
    here, there = (
        hl.backtest({"OptimalUTD": LAW}, budgets, hold_out="task", seed=0, executor=executor, progress=False)
        for executor in (None, pool)
    )
    assert there.table.equals(here.table)
    assert there.summary.equals(here.summary)


def test_calibrate(budgets, pool, tmp_path):
    asked = {"simulations": 8, "seed": 3, "progress": False}
    here = hl.calibrate(LAW, budgets, **asked)
    there = hl.calibrate(LAW, budgets, folder=tmp_path, executor=pool, **asked)
    assert there.table.equals(here.table)
    assert there.simulations.drop(columns="seconds").equals(here.simulations.drop(columns="seconds"))
    assert hl.calibrate(LAW, budgets, folder=tmp_path, **asked).table.equals(here.table)


def test_compare(budgets, pool):
    laws = {how: hl.laws.OptimalUTD(pooling={"log_utd": how}) for how in ("shared", "partial")}
    fits = {how: hl.fit(law, budgets, seed=0, progress=False) for how, law in laws.items()}
    here, there = (hl.compare(fits, leave_out="task", seed=0, executor=executor) for executor in (None, pool))
    assert there.table.equals(here.table)
    assert there.refits.equals(here.refits)
    assert all(np.array_equal(there.scores[how].elpd_i, here.scores[how].elpd_i) for how in fits)


def test_sensitivity(fit, pool, monkeypatch):
    monkeypatch.setattr(refits, "_parts", lambda fit: list(PARTS(fit))[:1])
    asked = {"at": TARGET, "risk": hl.CVaR(0.9), "seed": 0}
    here, there = (hl.sensitivity(fit, executor=executor, **asked) for executor in (None, pool))
    assert there.settings.equals(here.settings)
    assert there.sentence == here.sentence


PARTS = refits._parts
