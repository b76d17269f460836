"""What all sources share, without a client: the table of runs, its filters, final values and warnings."""

import numpy as np
import pandas as pd
import pytest

from hyperlaw.data.sources.history import Reading, TrackedRun, final_rule, final_value, flat, numbers
from hyperlaw.data.sources.stores import client, sqlite_url
from hyperlaw.quote import some_of


def tracked(name, state, hyperparameters, **curves):
    return TrackedRun(name, f"run {name}", state, hyperparameters, dict.fromkeys(curves), lambda m: curves.get(m, []))


RUNS = [
    tracked("a", "finished", {"lr": "1e-3", "opt": {"name": "adam", "betas": [0.9, 0.95]}, "nesterov": "true"},
            loss=[(0, 3.0), (10, 2.0)], tokens=[(10, 640.0)]),
    tracked("b", "crashed", {"lr": "0.01", "opt": {"name": "sgd"}, "nesterov": "false"}, loss=[(0, 4.0), (10, np.nan)]),
]  # fmt: skip


def read(runs=RUNS, where=None, final="last", history=None):
    return Reading(where, final, history).table(runs)


def test_one_row_a_run():
    table = read()
    assert list(table) == ["run", "run_name", "state", "lr", "opt.name", "opt.betas", "nesterov", "loss", "tokens"]
    assert table["lr"].tolist() == [0.001, 0.01]
    assert table["nesterov"].tolist() == [True, False]
    assert table["opt.betas"][0] == "[0.9, 0.95]"
    assert table["loss"].tolist() == pytest.approx([2.0, np.nan], nan_ok=True)
    assert table["tokens"].tolist() == pytest.approx([640.0, np.nan], nan_ok=True)


def test_one_row_a_point_joins_metrics_by_step():
    table = read(history=["loss", "tokens"])
    assert list(table) == [
        "run",
        "run_name",
        "state",
        "step",
        "loss",
        "tokens",
        "lr",
        "opt.name",
        "opt.betas",
        "nesterov",
    ]
    assert table["run"].tolist() == ["a", "a", "b", "b"]
    assert table["step"].tolist() == [0, 10, 0, 10]
    assert table["step"].dtype == "int64"
    assert table["tokens"].tolist() == pytest.approx([np.nan, 640.0, np.nan, np.nan], nan_ok=True)


def test_runs_that_logged_none_of_the_metrics_are_said():
    with pytest.warns(UserWarning, match="1 runs logged none of tokens and have no rows: run b"):
        table = read(history=["tokens"])
    assert table["step"].tolist() == [10]


def test_a_metric_that_no_run_logged():
    with pytest.raises(ValueError, match=r"history: no run logged 'accuracy' by step. Metrics that .*: loss, tokens\."):
        read(history=["loss", "accuracy"])


@pytest.mark.parametrize(
    ("where", "names"),
    [
        ({"state": "finished"}, ["a"]),
        ({"opt.name": ["adam", "sgd"], "lr": "1e-2"}, ["b"]),
        ({"lr": 0.001, "nesterov": True}, ["a"]),
        ({"nesterov": "False"}, ["b"]),
        ({"opt.betas": None}, ["b"]),
        ({"run": ("a", "b")}, ["a", "b"]),
    ],
)
def test_where(where, names):
    assert read(where=where)["run"].tolist() == names


def test_where_names_what_is_there():
    with pytest.raises(
        ValueError, match=r"there is no column 'optimizer'. Runs are described by: run, run_name, state"
    ):
        read(where={"optimizer": "adam"})
    with pytest.raises(ValueError, match=r"no run is left with state 'Finished'. There it is: finished, crashed\."):
        read(where={"state": "Finished"})
    with pytest.raises(ValueError, match=r"where must be a mapping from columns to values.*received 'state'"):
        read(where="state")


def test_at_most_twenty_names_are_listed():
    assert some_of(map(str, range(30))).endswith("18, 19, ...")
    assert some_of([]) == "none"
    assert some_of(map(str, range(20))).endswith("18, 19")


def test_final_values():
    values = np.arange(1.0, 21.0)
    assert final_value(values, "last") == 20
    assert final_value(values, "mean:10") == 15.5
    assert final_value(values[:4], "mean:10") == 2.5
    weights = 0.5 ** (np.arange(20)[::-1] / 5)
    assert final_value(values, "smooth:5") == pytest.approx(np.average(values, weights=weights))
    # Without bias towards the first point, and without a trace of what lies far back.
    assert final_value(np.full(7, 2.0), "smooth:100") == pytest.approx(2.0)
    assert final_value(np.r_[np.nan, np.ones(1000)], "smooth:2") == pytest.approx(1.0)
    assert read(final="mean:2")["loss"][0] == 2.5


@pytest.mark.parametrize("final", ["min", "best", "lowest", "minimum:3"])
def test_the_minimum_is_refused_with_its_reason(final):
    with pytest.raises(
        ValueError, match="the minimum of a noisy curve lies below its expectation, the more so the longer"
    ):
        final_rule(final)


@pytest.mark.parametrize("final", ["first", "mean", "mean:0", "mean:2.5", "smooth:-1", "smooth:nan", "mean:x", "", 3])
def test_other_rules_are_refused_with_what_is_allowed(final):
    with pytest.raises(ValueError, match=r"received .*Allowed are 'last', 'mean:10'.*'smooth:100'"):
        final_rule(final)


def test_history_is_a_list_and_stands_alone():
    with pytest.raises(
        ValueError, match=r"history must be a list of names of metrics, such as \['loss'\], received 'l'"
    ):
        read(history="l")
    with pytest.raises(ValueError, match=r"history must be a list of names of metrics.*received \[\]"):
        read(history=[])
    with pytest.raises(ValueError, match=r"final='mean:10' is about one row a run.*Leave one of them out"):
        read(history=["loss"], final="mean:10")


def test_a_restarted_run_keeps_the_latest_value_of_each_step():
    runs = [tracked("r", None, {}, loss=[(0, 5.0), (10, 4.0), (20, 3.0), (10, 3.9), (20, 2.9), (30, 2.5)])]
    with pytest.warns(UserWarning, match=r"run 'run r' went back to earlier steps.*latest value of each step is kept"):
        table = read(runs, history=["loss"])
    assert table["loss"].tolist() == [5.0, 3.9, 2.9, 2.5]
    assert "state" not in table
    with pytest.warns(UserWarning, match="run 'run r' went back"):
        assert read(runs, final="mean:2")["loss"].tolist() == [2.7]


def test_points_without_steps_are_numbered():
    runs = [tracked("r", None, {}, loss=[(0, 5.0), (0, 4.0), (0, 3.0)])]
    with pytest.warns(UserWarning, match="run 'run r' logged all points at one step: they are numbered"):
        assert read(runs, history=["loss"])["step"].tolist() == [0, 1, 2]


def test_names_that_are_taken_get_a_prefix():
    runs = [tracked("r", "finished", {"lr": 0.1, "state": "cold"}, lr=[(0, 0.1), (1, 0.0)], step=[(0, 7.0)])]
    with pytest.warns(UserWarning, match="another column has the name of a") as said:
        table = read(runs)
    assert table.loc[0, ["lr", "params.state", "metrics.lr", "metrics.step"]].tolist() == [0.1, "cold", 0.0, 7.0]
    texts = [str(one.message) for one in said]
    assert any("hyperparameter 'state' is in the column 'params.state'" in text for text in texts)
    assert any("metric 'lr' is in the column 'metrics.lr', 'step' is in the column 'metrics.step'" in t for t in texts)
    # A warning points at the line that asked, not into the package.
    assert {one.filename for one in said} == {__file__}


def test_names_that_are_taken_in_a_history():
    runs = [tracked("r", "finished", {"lr": 0.1, "row": 5}, lr=[(0.5, 0.1), (1, 0.0)], step=[(1, 7.0)], row=[(1, 2.0)])]
    with pytest.warns(UserWarning, match="metric 'lr' is in the column 'metrics.lr'"):
        table = read(runs, history=["lr", "step", "row"])
    assert list(table) == [
        "run", "run_name", "state", "step", "metrics.lr", "metrics.step", "metrics.row", "lr", "row"
    ]  # fmt: skip
    assert table["step"].tolist() == [0.5, 1.0]
    assert table["metrics.row"].tolist() == pytest.approx([np.nan, 2.0], nan_ok=True)


def test_text_becomes_numbers_where_all_of_a_column_is():
    assert numbers(pd.Series(["0.001", "NaN", None, "1e3"])).tolist() == pytest.approx(
        [0.001, np.nan, np.nan, 1000], nan_ok=True
    )
    assert numbers(pd.Series(["1", "2"])).dtype == "int64"
    assert numbers(pd.Series(["12e5", "7f3a"])).tolist() == ["12e5", "7f3a"]
    assert numbers(pd.Series(["True", "false", None])).tolist()[:2] == [True, False]
    assert numbers(pd.Series([True, 1.5, "x"], dtype=object)).tolist() == [True, 1.5, "x"]


def test_nested_names_have_dots():
    assert flat({"a": {"b": {"c": 1}, "d": None}, "e": (1, 2)}) == {"a.b.c": 1, "a.d": None, "e": "[1, 2]"}


def test_a_client_that_is_missing():
    with pytest.raises(ImportError, match=r"no module no_such_client.*pip install 'hyperlaw\[mlflow\]'"):
        client("no_such_client", "mlflow")


def test_a_server_is_no_sqlite_file(tmp_path):
    assert sqlite_url("http://localhost:5000", "runs", "MLflow") is None
    assert sqlite_url(str(tmp_path), "runs", "MLflow") is None
