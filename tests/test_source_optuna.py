"""Optuna: a database and a journal file, written by Optuna itself."""

import sqlite3
import sys

import numpy as np
import pytest
from tracked_sweep import SETTINGS, STEPS, WORDS, as_runs, curve, final_loss

import hyperlaw as hl
from hyperlaw.data.sources.optuna import read_optuna


@pytest.fixture(scope="module", params=["sqlite", "journal"])
def storage(request, tmp_path_factory):
    """A storage with the sweep, and with studies of trials of other kinds."""
    import optuna
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    memory = optuna.storages.InMemoryStorage()
    path = tmp_path_factory.mktemp("optuna") / "study.db"
    name = f"sqlite:///{path}" if request.param == "sqlite" else str(path)
    opened = name if request.param == "sqlite" else optuna.storages.JournalStorage(JournalFileBackend(name))

    sweep = optuna.create_study(storage=memory, study_name="sweep", sampler=optuna.samplers.RandomSampler(seed=0))
    for setting in SETTINGS:
        sweep.enqueue_trial({key: setting[key] for key in ("lr", "batch")})

    def objective(trial):
        setting = SETTINGS[trial.number]
        lr, batch = trial.suggest_float("lr", 1e-5, 1, log=True), trial.suggest_int("batch", 1, 1024)
        assert (lr, batch) == (setting["lr"], setting["batch"])
        for key in ("tokens", "params"):
            trial.set_user_attr(key, setting[key])
        trial.set_user_attr("optimizer", {"name": "adam"})
        for step, loss in curve(setting):
            trial.report(loss, step)
        return final_loss(setting)

    sweep.optimize(objective, n_trials=len(SETTINGS))

    odd = optuna.create_study(storage=memory, study_name="odd")

    def ends_badly(trial):
        trial.suggest_float("lr", 0.1, 0.1)
        trial.set_user_attr("lr", "again")
        trial.report(4.0, 0)
        if trial.number == 0:
            raise optuna.TrialPruned
        return float("nan")

    odd.optimize(ends_badly, n_trials=2)
    odd.ask()
    odd.enqueue_trial({"lr": 0.1})

    best = optuna.create_study(storage=memory, study_name="accuracy", direction="maximize")
    best.optimize(lambda trial: trial.suggest_float("lr", 0.5, 0.5), n_trials=2)
    two = optuna.create_study(storage=memory, study_name="two", directions=["minimize", "maximize"])
    two.optimize(lambda trial: (trial.suggest_float("lr", 0.5, 0.5), 7.0), n_trials=1)
    optuna.create_study(storage=memory, study_name="empty")
    for study in optuna.get_all_study_names(memory):
        # Every report is a transaction of its own, and takes a while on a disk: copied, a trial is one.
        optuna.copy_study(from_study_name=study, from_storage=memory, to_storage=opened)
    return name


def test_a_sweep_becomes_runs(storage):
    table = read_optuna(storage, "sweep")
    assert list(table)[:5] == ["run", "run_name", "state", "lr", "batch"]
    assert set(table) == {*list(table)[:5], "tokens", "params", "optimizer.name", "value"}
    assert table["run"].tolist() == [str(n) for n in range(12)]
    assert set(table["state"]) == {"finished"}
    runs = hl.Runs.from_optuna(storage, "sweep", **WORDS, loss="value")
    assert runs.digest == as_runs(table, loss="value").digest


def test_the_final_value_is_taken_from_what_was_reported(storage):
    table = read_optuna(storage, "sweep", final="mean:10")
    assert table["value"].to_numpy() == pytest.approx([final_loss(setting) + 0.45 for setting in SETTINGS])


def test_histories(storage):
    table = read_optuna(storage, "sweep", where={"lr": [0.001, 0.002]}, history=["value"])
    assert len(table) == 8 * STEPS
    first = table[table["run"] == "4"]
    assert list(zip(first["step"], first["value"], strict=True)) == [
        pytest.approx(point) for point in curve(SETTINGS[4])
    ]


def test_states(storage):
    table = read_optuna(storage, "odd")
    assert table["state"].tolist() == ["killed", "failed", "running", "running"]
    # A pruned trial has its last report; one whose objective returned NaN has none, whatever it reported before.
    assert table["value"].tolist() == pytest.approx([4.0, np.nan, np.nan, np.nan], nan_ok=True)
    assert table["user_attrs.lr"].tolist()[:2] == ["again", "again"]


def test_an_objective_that_is_maximized_is_no_loss(storage):
    with pytest.warns(UserWarning, match=r"study 'accuracy' maximizes an objective.*column 'maximized_value'"):
        table = read_optuna(storage, "accuracy")
    assert "value" not in table
    assert table["maximized_value"].tolist() == [0.5, 0.5]
    with pytest.warns(UserWarning, match="maximizes"), pytest.raises(ValueError, match="there is no column 'value'"):
        as_runs(read_optuna(storage, "accuracy").assign(batch=1, tokens=1, params=1), loss="value")
    with pytest.warns(UserWarning, match="column 'maximized_values_1'"):
        table = read_optuna(storage, "two")
    assert table.loc[0, ["values_0", "maximized_values_1"]].tolist() == [0.5, 7.0]


def test_a_study_without_reports_has_no_history(storage):
    with pytest.raises(ValueError, match=r"no trial of study 'accuracy' reported a value.*history=\['value'\] from"):
        read_optuna(storage, "accuracy", history=["value"])
    with pytest.raises(ValueError, match=r"no history to take final='smooth:5' from. Leave it out"):
        read_optuna(storage, "accuracy", final="smooth:5")
    with pytest.raises(ValueError, match=r"history: no run logged 'loss' by step. Metrics that were logged: value\."):
        read_optuna(storage, "sweep", history=["loss"])


def test_no_such_study(storage):
    with pytest.raises(ValueError, match=r"there is no study 'sweeps' in .*Name one of those that are there: .*sweep"):
        read_optuna(storage, "sweeps")
    with pytest.raises(ValueError, match="study 'empty' has no trials"):
        read_optuna(storage, "empty")


def test_nothing_is_made_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no file .*no\.db; .* holds: none"):
        read_optuna(f"sqlite:///{tmp_path / 'no.db'}", "sweep")
    with pytest.raises(FileNotFoundError, match=r"there is no file .*journal\.log; .*path of a journal file"):
        read_optuna(tmp_path / "journal.log", "sweep")
    other = sqlite3.connect(tmp_path / "other.db")
    other.execute("CREATE TABLE experiments (name TEXT)")
    other.close()
    with pytest.raises(
        ValueError, match=r"is no store of Optuna: it has no table 'studies'. Its tables are: experiments"
    ):
        read_optuna(tmp_path / "other.db", "sweep")
    assert [path.name for path in tmp_path.iterdir()] == ["other.db"]


def test_without_the_client(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ImportError, match=r"pip install 'hyperlaw\[optuna\]'"):
        read_optuna("sqlite:///x.db", "sweep")
