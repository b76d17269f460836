"""Many fits, in this process and by workers: each is that of `hl.fit`, and what fails stops nothing else."""

import math
import multiprocessing
import os
import pickle
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import jax
import pandas as pd
import pytest
from conftest import example_of

import hyperlaw as hl
from hyperlaw.inference import jobs
from hyperlaw.inference.jobs import as_finished, check_executor, in_order, outcomes

LAW = hl.laws.SquareRoot()
FEW = {"chains": 2, "draws": 50, "warmup": 100, "progress": False}


def shifted(table, by):
    """The same rows with other measured learning rates: a table of the same shape."""
    frame = table.frame
    return table.with_values({"learning_rate": frame["learning_rate"].to_numpy() * by})


@pytest.fixture(scope="module")
def tables():
    """Three tables of measured values; the second cannot be fitted, since it holds one batch size."""
    one = example_of(LAW, 1)
    return {"first": one, "bare": one.where(one.frame["batch_size"] == one.frame["batch_size"].min()),
            "third": shifted(one, 2.0)}  # fmt: skip


@pytest.fixture(scope="module")
def many(tables):
    return hl.fit_many(LAW, tables, seed=3, **FEW)


def same(found, expected):
    """Whether two fits hold equal draws."""
    return found.draws.equals(expected.draws) and found.tree.attrs["data"] == expected.tree.attrs["data"]


def test_each_fit_is_that_of_fit(many, tables):
    assert list(many.fits) == ["first", "third"]
    for name, found in many.fits.items():
        assert isinstance(found, hl.Fit)
        assert same(found, hl.fit(LAW, tables[name], seed=3, **FEW))


def test_what_cannot_be_fitted_is_said_and_stops_nothing(many, tables):
    assert list(many.failures) == ["bare"]
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        hl.fit(LAW, tables["bare"], seed=3, **FEW)
    assert many.failures["bare"] == f"ValueError: {refused.value}"
    assert many.table.loc["bare", "failed"] == many.failures["bare"]
    assert not many.table.loc["bare", "ok"]
    assert not many.ok


def test_the_table_has_a_row_for_each_and_says_what_checks_say(many, tables):
    assert list(many.table.index) == list(tables)
    assert list(many.table.columns) == ["rows", "ok", "r_hat", "ess", "divergences", "draws", "seconds", "failed"]
    assert many.table["rows"].tolist() == [len(table) for table in tables.values()]
    for name, found in many.fits.items():
        row, value = many.table.loc[name], found.check().table.set_index("check")["value"]
        assert row["r_hat"] == value["R-hat, largest"]
        assert row["ess"] == min(value["ESS bulk, smallest"], value["ESS tail, smallest"])
        assert row["draws"] == 50
        assert row["divergences"] == int(found.tree["sample_stats"]["diverging"].sum())
        assert row["ok"] == found.check().ok
    assert many.table.loc["bare", ["r_hat", "ess", "divergences", "draws", "seconds"]].isna().all()
    assert repr(many).startswith("ManyFits: 2 of 3 tables fitted, ")
    assert "bare" in repr(many)


def test_tables_of_a_sequence_have_numbers(tables):
    again = hl.fit_many(LAW, [tables["bare"]], seed=0, **FEW)
    assert list(again.failures) == [0]
    assert list(again.table.index) == [0]


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"tables": {}}, ValueError, "tables must hold one table or more, received none"),
        ({"tables": "runs"}, TypeError, "tables must be a mapping from names to tables, or a sequence .* received str"),
        ({"tables": {"a": pd.DataFrame()}}, TypeError,
         r"tables\['a'\] must be hl.Runs, .* received DataFrame. Make one with its from_frame"),
        ({"seed": 1.5}, TypeError, "seed must be an integer of 0 or more, received 1.5"),
        ({"chains": 1}, ValueError, "chains must be 2 or more, received 1"),
        ({"priors": {"nothing": None}}, ValueError, "nothing"),
        ({"law": hl.laws.StepsExamples()}, ValueError, "StepsExamples does not describe 'optima'"),
        ({"executor": 4}, TypeError, "executor must be a concurrent.futures.Executor, or None .* received 4"),
    ],
)  # fmt: skip
def test_refusals_come_before_any_fit(tables, monkeypatch, change, error, text):
    monkeypatch.setattr("hyperlaw.many_fits.fit", lambda *_, **__: pytest.fail("fitted"))
    asked = {"law": LAW, "tables": tables, "seed": 0} | FEW | change
    with pytest.raises(error, match=text):
        hl.fit_many(asked.pop("law"), asked.pop("tables"), **asked)


def fork():
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork"))


def test_an_executor_that_forks_is_refused_with_the_remedy():
    with fork() as pool, pytest.raises(ValueError, match=r'must not fork .* received a ProcessPool.*get_context\("sp'):
        check_executor(pool)
    for method in ("spawn", "forkserver"):
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(method)) as pool:
            check_executor(pool)


@pytest.mark.parametrize(
    "call",
    [
        lambda fit, **more: hl.backtest({"law": fit.law}, fit.runs, seed=0, **more),
        lambda fit, **more: hl.calibrate(fit.law, fit.runs, seed=0, **more),
        lambda fit, **more: hl.compare({"a": fit, "b": fit}, leave_out="scale", seed=0, **more),
        lambda fit, **more: hl.sensitivity(fit, at={"params": 1e9, "data": 1e9}, risk=hl.Mean(), seed=0, **more),
    ],
    ids=["backtest", "calibrate", "compare", "sensitivity"],
)
def test_all_that_fit_many_times_refuse_what_is_no_executor(fit, call):
    with pytest.raises(TypeError, match=r"executor must be a concurrent.futures.Executor, or None .* received 'two'"):
        call(fit, executor="two")
    with fork() as pool, pytest.raises(ValueError, match="executor must not fork this process"):
        call(fit, executor=pool)


def test_results_come_as_they_finish_or_in_the_order_of_the_jobs(monkeypatch):
    monkeypatch.setattr(jobs, "as_completed", reversed)  # as if the last job were the first to finish
    with ThreadPoolExecutor(1) as pool:
        assert list(as_finished(math.sqrt, [16, 4, 1], pool)) == [(2, 1.0), (1, 2.0), (0, 4.0)]
        assert in_order(math.sqrt, [16, 4, 1], pool, "jobs", progress=False) == [4.0, 2.0, 1.0]
    assert in_order(math.sqrt, [16, 4, 1], None, "jobs", progress=False) == [4.0, 2.0, 1.0]


@pytest.mark.parametrize("workers", [0, 1])
def test_an_exception_is_handed_over_or_raised(workers):
    with ThreadPoolExecutor(1) as pool:
        executor = pool if workers else None
        found = dict(outcomes(lambda x: 8 / x, [4, 0, 2], executor))
        assert (found[0], found[2]) == (2.0, 4.0)
        assert isinstance(found[1], ZeroDivisionError)
        with pytest.raises(ZeroDivisionError):
            in_order(lambda x: 8 / x, [4, 0, 2], executor, "jobs", progress=False)


def test_what_has_not_begun_is_cancelled_when_nobody_asks_further():
    begun, go = [], threading.Event()

    def work(job):
        begun.append(job)
        if job:
            go.wait()

    with ThreadPoolExecutor(1) as pool:
        finished = outcomes(work, [0, 1, 2, 3], pool)
        assert next(finished) == (0, None)
        finished.close()
        go.set()
    assert begun in ([0], [0, 1])


def test_threads_of_a_pool_take_fits_one_by_one(many, tables):
    """NumPyro cannot trace in two threads at a time."""
    with ThreadPoolExecutor(2) as pool:
        threaded = hl.fit_many(LAW, tables, seed=3, executor=pool, **FEW)
    assert all(same(threaded.fits[name], many.fits[name]) for name in many.fits)
    assert threaded.failures == many.failures


def test_fits_models_and_tables_go_through_pickle(many):
    found = many.fits["first"]
    again = pickle.loads(pickle.dumps(found))
    assert same(again, found)
    assert isinstance(again, hl.Fit)
    assert again.likelihood == found.likelihood
    assert again.table.digest == found.table.digest
    assert again.check().table.equals(found.check().table)


def test_a_fit_to_runs_goes_through_pickle(fit):
    again = pickle.loads(pickle.dumps(fit))
    assert same(again, fit)
    assert again.surface == fit.surface
    assert again.runs.frame.equals(fit.runs.frame)
    assert os.environ["PATH"].encode() not in pickle.dumps(fit)


# With processes ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def spawned():
    """Two processes that know nothing of this one."""
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


def state(_):
    """What a worker's JAX is told: bits of numbers outside a fit, and where programs are kept."""
    from hyperlaw.models import likelihoods  # noqa: F401

    return jax.config.jax_enable_x64, jax.config.jax_compilation_cache_dir


@pytest.mark.slow
def test_processes_make_the_same_fits(many, tables, spawned):
    apart = hl.fit_many(LAW, tables, seed=3, executor=spawned, **FEW)
    assert list(apart.fits) == list(many.fits)
    assert all(same(apart.fits[name], many.fits[name]) for name in many.fits)
    assert apart.failures == many.failures
    assert apart.table.drop(columns="seconds").equals(many.table.drop(columns="seconds"))
    for wide, folder in in_order(state, [0, 1], spawned, "state", progress=False):
        assert not wide
        assert folder is not None


def die(_):
    os._exit(1)


def test_a_worker_that_dies_is_said_of_each_job_it_leaves():
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        found = dict(outcomes(die, [0, 1], pool))
    assert [type(outcome).__name__ for outcome in found.values()] == ["BrokenProcessPool"] * 2
