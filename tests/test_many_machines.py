"""Dask as the engine for more than one machine: two worker processes, one of which is killed while it works."""

import os
import signal
import time
from pathlib import Path

import pytest
from test_many_fits import FEW, LAW, same, shifted

import hyperlaw as hl
from hyperlaw.inference.example import example
from hyperlaw.inference.jobs import in_order

pytestmark = pytest.mark.slow
distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def client():
    """A client of two worker processes on this machine."""
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=2, dashboard_address=":0", silence_logs=50) as cluster,
        distributed.Client(cluster) as found,
    ):
        yield found


@pytest.fixture(scope="module")
def tables():
    return {f"by {by:g}": shifted(example(LAW), by) for by in (0.5, 1.0, 2.0, 4.0)}


def test_workers_make_the_same_fits(client, tables):
    here = hl.fit_many(LAW, tables, seed=1, **FEW)
    there = hl.fit_many(LAW, tables, seed=1, executor=client.get_executor(), **FEW)
    assert list(there.fits) == list(tables)
    assert all(same(there.fits[name], here.fits[name]) for name in tables)
    assert not there.failures


def test_a_client_is_no_executor_and_the_text_says_where_it_has_one(client):
    with pytest.raises(TypeError, match=r"executor must be a concurrent.futures.Executor.*client.get_executor\(\)"):
        hl.fit_many(LAW, [example(LAW)], seed=0, executor=client)


def killed_once(job):
    """The job; the first worker that takes the third one is killed while it works."""
    number, mark = job
    if number == 2 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.05)
    return number


def fit_killed_once(job):
    """A fit, whose worker is killed the first time."""
    killed_once((2, job[1]))
    return hl.fit(LAW, job[0], seed=1, **FEW)


def test_a_killed_worker_loses_nothing(client, tables, tmp_path):
    executor = client.get_executor()
    mark = Path(tmp_path) / "killed"
    assert in_order(killed_once, [(i, mark) for i in range(8)], executor, "jobs", progress=False) == list(range(8))
    assert mark.exists()
    table = tables["by 1"]
    (found,) = in_order(fit_killed_once, [(table, Path(tmp_path) / "again")], executor, "jobs", progress=False)
    assert (Path(tmp_path) / "again").exists()
    assert same(found, hl.fit(LAW, table, seed=1, **FEW))
