"""MLflow: a database and a folder, written by MLflow itself."""

import sqlite3
import sys

import numpy as np
import pytest
from tracked_sweep import SETTINGS, WORDS, as_runs, curve, final_loss
from typer.testing import CliRunner

import hyperlaw as hl
from hyperlaw.cli import app
from hyperlaw.data.sources.mlflow import read_mlflow

pytestmark = pytest.mark.filterwarnings(
    # MLflow's own models, under SQLAlchemy 2.1.
    "ignore:The ``noload`` loader strategy is deprecated",
)


@pytest.fixture(scope="module", params=["sqlite", "folder"])
def store(request, tmp_path_factory):
    """A store with the sweep, and with an experiment of runs that did not end well."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param

    folder = tmp_path_factory.mktemp("mlflow")
    uri = f"sqlite:///{folder / 'mlflow.db'}" if request.param == "sqlite" else str(folder / "mlruns")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        patch.chdir(folder)
        tracker = MlflowClient(tracking_uri=uri)

        def log(experiment, name, settings, points, status):
            run = tracker.create_run(experiment, run_name=name).info.run_id
            metrics = [Metric(key, value, time, step) for time, (key, step, value) in enumerate(points)]
            tracker.log_batch(run, metrics, [Param(key, str(value)) for key, value in settings.items()])
            if status != "RUNNING":
                tracker.set_terminated(run, status)
            return run

        sweep = tracker.create_experiment("sweep")
        for n, setting in enumerate(SETTINGS):
            log(sweep, f"run-{n}", setting, [("loss", *point) for point in curve(setting)], "FINISHED")
        odd = tracker.create_experiment("odd")
        log(odd, "diverged", {"lr": "1e-3", "optimizer.name": "adam", "nesterov": True},
            [("loss", 0, 3.0), ("loss", 1, float("nan"))], "FAILED")  # fmt: skip
        log(odd, "infinite", {"lr": "3e-3"}, [("loss", 0, 3.0), ("loss", 1, float("inf"))], "KILLED")
        log(odd, "going", {"lr": "0.01"}, [("loss", 5, 2.5), ("lr", 5, 0.007)], "RUNNING")
        log(odd, "restarted", {"lr": "0.02"}, [("loss", s, v) for s, v in [(0, 5.0), (9, 4.0), (3, 4.5), (9, 3.5)]],
            "FINISHED")  # fmt: skip
        deleted = log(odd, "deleted", {"lr": "1"}, [], "FINISHED")
        tracker.delete_run(deleted)
        tracker.create_experiment("empty")
    return uri


def test_a_sweep_becomes_runs(store):
    table = read_mlflow(store, "sweep")
    assert list(table)[:3] == ["run", "run_name", "state"]
    assert set(table) == {"run", "run_name", "state", *SETTINGS[0], "loss"}
    assert set(table["state"]) == {"finished"}
    assert table["run_name"].tolist() == [f"run-{n}" for n in range(12)]
    assert table["batch"].dtype == "int64"
    runs = hl.Runs.from_mlflow(store, "sweep", **WORDS)
    assert runs.digest == as_runs(table).digest


def test_the_command_line_reads_it_by_the_same_words(store, monkeypatch, tmp_path):
    asked = {}
    monkeypatch.setattr(hl, "fit", lambda law, table, **given: asked.update(table=table) or sys.exit(0))
    words = [text for word, column in WORDS.items() for text in (f"--{word.replace('_', '-')}", column)]
    out = ["--out", str(tmp_path / "fit.nc")]
    CliRunner().invoke(app, ["fit", store, "--source", "mlflow", "--experiment", "sweep", *words, *out])
    assert asked["table"].digest == hl.Runs.from_mlflow(store, "sweep", **WORDS).digest
    said = CliRunner().invoke(app, ["fit", store, "--source", "mlflow", *words, *out])
    assert said.exit_code == 2
    assert "--source mlflow needs the name of an experiment" in " ".join(said.stderr.split())


def test_the_final_value_may_be_a_mean(store):
    table = read_mlflow(store, "sweep", where={"lr": 0.001, "batch": [32]}, final="mean:10")
    assert table["loss"].to_numpy() == pytest.approx([final_loss(s) + 0.45 for s in (SETTINGS[4], SETTINGS[5])])


def test_histories(store):
    table = read_mlflow(store, "sweep", history=["loss"])
    assert len(table) == 240
    first = table[table["run"] == table["run"][0]]
    assert first["step"].tolist() == list(range(0, 200, 10))
    assert first["loss"].to_numpy() == pytest.approx([value for _, value in curve(SETTINGS[0])])
    assert set(first["lr"]) == {0.0005}


def test_states_and_values_that_are_not_finite(store):
    with pytest.warns(UserWarning, match=r"metric 'lr' is in the column 'metrics.lr'"):
        table = read_mlflow(store, "odd").set_index("run_name")
    assert table["state"].to_dict() == {
        "diverged": "failed", "infinite": "killed", "going": "running", "restarted": "finished"
    }  # fmt: skip
    assert np.isnan(table["loss"]["diverged"])
    assert table["loss"]["infinite"] == np.inf
    assert table["metrics.lr"]["going"] == 0.007
    assert table["optimizer.name"]["diverged"] == "adam"
    assert table["nesterov"]["diverged"] is True
    assert table["lr"].tolist() == [0.001, 0.003, 0.01, 0.02]


def test_a_restarted_run_is_named(store):
    with pytest.warns(UserWarning, match="run 'restarted' went back to earlier steps"):
        table = read_mlflow(store, "odd", where={"run_name": "restarted"}, history=["loss"])
    assert table["loss"].tolist() == [5.0, 4.5, 3.5]


def test_runs_without_the_metric_have_no_rows(store):
    with pytest.warns(UserWarning) as said:  # noqa: PT030
        table = read_mlflow(store, "odd", history=["lr"])
    assert table[["run_name", "step", "metrics.lr"]].to_numpy().tolist() == [["going", 5, 0.007]]
    assert any(
        "3 runs logged none of lr and have no rows: diverged, infinite, restarted" in str(s.message) for s in said
    )


def test_no_such_experiment(store):
    with pytest.raises(ValueError, match=r"there is no experiment 'sweeps' in this store. Name one of .*sweep"):
        read_mlflow(store, "sweeps")
    with pytest.raises(ValueError, match="experiment 'empty' has no runs"):
        read_mlflow(store, "empty")


def test_nothing_is_made_that_is_not_there(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(FileNotFoundError, match=r"there is no file .*no\.db; .* holds: notes\.txt"):
        read_mlflow(f"sqlite:///{tmp_path / 'no.db'}", "sweep")
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*mlruns; .* holds: notes\.txt.*sqlite:///"):
        read_mlflow(tmp_path / "mlruns", "sweep")
    with pytest.raises(ValueError, match=r"is no store of MLflow: no folder in it holds meta\.yaml"):
        read_mlflow(tmp_path, "sweep")
    with sqlite3.connect(tmp_path / "other.db") as other:
        other.execute("CREATE TABLE studies (name TEXT)")
    other.close()
    with pytest.raises(
        ValueError, match=r"is no store of MLflow: it has no table 'experiments'. Its tables are: studies"
    ):
        read_mlflow(tmp_path / "other.db", "sweep")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt", "other.db"]


def test_without_the_client(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(ImportError, match=r"pip install 'hyperlaw\[mlflow\]'"):
        read_mlflow("sqlite:///x.db", "sweep")


def test_arguments_are_looked_at_first(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(ValueError, match="final='min' is refused"):
        read_mlflow("sqlite:///x.db", "sweep", final="min")
