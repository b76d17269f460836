"""Weights & Biases: offline runs as its client writes them, exported CSV files as small invented text.

What only the network can show, the public API, is tested on a made `Api` that answers with what the real one is
documented to return (`id`, `name`, `state`, `config`, `summary_metrics`, and rows of `scan_history`).
"""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from tracked_sweep import SETTINGS, STEPS, WORDS, as_runs, curve, final_loss

import hyperlaw as hl
from hyperlaw.data.sources.wandb import read_wandb


@pytest.fixture(scope="module")
def wandb(tmp_path_factory):
    """The client, kept from the network and from this machine's settings."""
    import wandb

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "offline")
        patch.setenv("WANDB_ERROR_REPORTING", "false")
        patch.setenv("WANDB_CONFIG_DIR", str(tmp_path_factory.mktemp("config")))
        patch.setenv("WANDB_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield wandb


def written_out(wandb):
    """Wait until the files are whole: the client writes the end of a run after `finish` has returned."""
    wandb.teardown()


def offline(wandb, folder, config, rows, **ends):
    """One offline run, as a training script writes it."""
    quiet = wandb.Settings(silent=True, disable_git=True, console="off", x_disable_stats=True, save_code=False)
    run = wandb.init(
        mode="offline", dir=folder, project="sweep", config=config, name=ends.pop("name", None), settings=quiet,
        id=ends.pop("run_id", None),
    )  # fmt: skip
    for step, row in rows:
        run.log(row, step=step)
    for key, value in ends.pop("summary", {}).items():
        run.summary[key] = value
    if ends.pop("preempting", False):
        run.mark_preempting()
    run.finish(**ends)


@pytest.fixture(scope="module")
def sweep(wandb, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    for n, setting in enumerate(SETTINGS):
        rows = [(step, {"train": {"loss": loss}}) for step, loss in curve(setting)]
        offline(wandb, folder, setting | {"optimizer": {"name": "adam"}}, rows, name=f"run-{n:02}")
    written_out(wandb)
    return folder


@pytest.fixture(scope="module")
def odd(wandb, tmp_path_factory):
    """Runs that end in other ways, log other things, and have names of the client's own."""
    folder = tmp_path_factory.mktemp("odd")
    rows = [(0, {"loss": 3.0}), (1, {"loss": float("nan"), "text": "x"}), (2, {"tokens": 64})]
    offline(wandb, folder, {"lr": 0.1, "betas": [0.9, 0.95]}, rows, name="failed", exit_code=1)
    picture = wandb.Histogram([1.0, 2.0])
    offline(wandb, folder, {"lr": 0.2}, [(0, {"loss": 2.0, "weights": picture})], name="killed", exit_code=255)
    offline(wandb, folder, {"lr": 0.3}, [(0, {"loss": 2.5})], name="preempted", exit_code=1, preempting=True)
    offline(
        wandb,
        folder,
        {"lr": 0.4},
        [(0, {"loss": 1.0})],
        name="finished",
        summary={"params": 1000, "best": {"loss": 0.5}},
    )
    written_out(wandb)
    return folder


def test_a_sweep_of_offline_runs_becomes_runs(sweep):
    table = read_wandb(sweep)
    assert sorted(table["run_name"]) == [f"run-{n:02}" for n in range(12)]
    assert list(table)[:3] == ["run", "run_name", "state"]
    assert set(table) == {"run", "run_name", "state", *SETTINGS[0], "optimizer.name", "train.loss"}
    assert set(table["state"]) == {"finished"}
    runs = hl.Runs.from_wandb(sweep, **WORDS, loss="train.loss")
    assert runs.digest == as_runs(table, loss="train.loss").digest


def test_the_final_value_may_be_a_mean(sweep):
    table = read_wandb(sweep, final="mean:10").sort_values("run_name")
    assert table["train.loss"].to_numpy() == pytest.approx([final_loss(setting) + 0.45 for setting in SETTINGS])


def test_histories(sweep):
    table = read_wandb(sweep, where={"run_name": "run-04"}, history=["train.loss"])
    assert list(zip(table["step"], table["train.loss"], strict=True)) == [pytest.approx(p) for p in curve(SETTINGS[4])]
    assert set(table["lr"]) == {0.001}
    assert len(table) == STEPS


def test_states_and_what_was_logged(odd):
    table = read_wandb(odd).set_index("run_name")
    assert table["state"].to_dict() == {name: name for name in ("failed", "killed", "preempted", "finished")}
    assert np.isnan(table["loss"]["failed"])
    assert table["tokens"]["failed"] == 64
    assert table["text"]["failed"] == "x"
    assert table["betas"]["failed"] == "[0.9, 0.95]"
    assert table.loc["finished", ["loss", "params", "best.loss"]].tolist() == [1.0, 1000, 0.5]
    assert set(table) == {"run", "state", "lr", "betas", "loss", "text", "tokens", "params", "best.loss"}


def test_metrics_are_joined_by_step(odd):
    table = read_wandb(odd, where={"run_name": "failed"}, history=["loss", "tokens"])
    assert table["step"].tolist() == [0, 1, 2]
    assert table["loss"].tolist() == pytest.approx([3.0, np.nan, np.nan], nan_ok=True)
    assert table["tokens"].tolist() == pytest.approx([np.nan, np.nan, 64], nan_ok=True)


def test_one_file_and_one_run_folder(odd):
    path = sorted(odd.rglob("*.wandb"))[0]
    assert (
        read_wandb(path)["run"].tolist() == read_wandb(path.parent)["run"].tolist() == [path.stem.removeprefix("run-")]
    )


def test_a_file_that_breaks_off(odd, tmp_path):
    path = sorted(odd.rglob("*.wandb"))[0]
    cut = tmp_path / path.name
    # The last record is the end of the run: without it, it is not known to have ended.
    cut.write_bytes(path.read_bytes()[:-5])
    with pytest.warns(UserWarning, match=f"run '{path.stem}' ends in half a record or is damaged.*read up to there"):
        table = read_wandb(cut)
    assert table["state"].tolist() == ["crashed"]
    cut.write_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match="is no file of a run: it does not begin with ':W&B'"):
        read_wandb(cut)


def test_a_long_run_goes_over_many_blocks(wandb, tmp_path):
    """A file is in blocks of 32 KiB, and records are split where one ends."""
    offline(wandb, tmp_path, {"lr": 0.1, "note": "x" * 70_000}, [(step, {"loss": float(step)}) for step in range(600)])
    written_out(wandb)
    table = read_wandb(tmp_path, history=["loss"])
    assert table["loss"].tolist() == list(range(600))
    assert table["note"].str.len().unique().tolist() == [70_000]


def test_a_run_that_was_resumed_is_one_run(wandb, tmp_path):
    offline(wandb, tmp_path, {"lr": 0.1}, [(0, {"loss": 3.0}), (1, {"loss": 2.0})], run_id="same", exit_code=1)
    offline(wandb, tmp_path, {"lr": 0.1}, [(2, {"loss": 1.0})], run_id="same")
    written_out(wandb)
    assert len(list(tmp_path.rglob("*.wandb"))) == 2
    table = read_wandb(tmp_path, history=["loss"])
    assert table["run"].tolist() == ["same"] * 3
    assert table["loss"].tolist() == [3.0, 2.0, 1.0]
    assert set(table["state"]) == {"finished"}


# ---- CSV files ----


def written(path, text):
    path.write_text(text, encoding="utf-8-sig")
    return path


def test_a_table_of_runs_becomes_runs(tmp_path):
    lines = ['"Name","State","Tags","lr","batch","tokens","params","val/loss"']
    lines += [f'"run-{n}","finished","","{s["lr"]}","{s["batch"]}","{s["tokens"]}","{s["params"]}","{final_loss(s)}"'
              for n, s in enumerate(SETTINGS)]  # fmt: skip
    path = written(
        tmp_path / "runs.csv", "\n".join([*lines, '"late","running","x","0.001","32","100000","1000000",""'])
    )
    table = read_wandb(path, where={"state": "finished"})
    assert list(table)[:4] == ["run", "run_name", "state", "Tags"]
    assert len(as_runs(table, loss="val/loss")) == 12
    assert read_wandb(path)["val/loss"].isna().sum() == 1


def test_a_table_of_runs_with_repeated_names(tmp_path):
    path = written(
        tmp_path / "runs.csv", "Name,State,lr,loss\nadam,Crashed,1e-3,NaN\nadam,finished,0.01,2.5\n007,failed,0.1,\n"
    )
    table = read_wandb(path)
    assert table["run"].tolist() == ["0", "1", "2"]
    assert table["run_name"].tolist() == ["adam", "adam", "007"]
    assert table["state"].tolist() == ["crashed", "finished", "failed"]
    assert table["lr"].tolist() == [0.001, 0.01, 0.1]
    with pytest.raises(
        ValueError, match="is a table of runs, which holds final values alone: leave out history and final"
    ):
        read_wandb(path, history=["loss"])
    with pytest.raises(ValueError, match="leave out history and final"):
        read_wandb(path, final="mean:3")


CHART = """Step,a - 1 - return,a - 1 - return__MIN,a - 1 - return__MAX,b - return,b - return__MIN,b - return__MAX
0,1.0,1.0,1.0,,,
100,3.0,3.0,3.0,2.0,2.0,2.0
200,NaN,NaN,NaN,5.0,5.0,5.0
"""


def test_a_chart_is_melted(tmp_path):
    table = read_wandb(written(tmp_path / "chart.csv", CHART), history=["return"])
    assert list(table) == ["run", "run_name", "step", "return"]
    assert table["run"].tolist() == ["a - 1", "a - 1", "a - 1", "b", "b"]
    assert table["step"].tolist() == [0, 100, 200, 100, 200]
    assert table["return"].tolist() == pytest.approx([1, 3, np.nan, 2, 5], nan_ok=True)


def test_a_chart_with_another_axis(tmp_path):
    path = written(tmp_path / "chart.csv", CHART.replace("Step", "tokens"))
    assert list(read_wandb(path, history=["return"])) == ["run", "run_name", "tokens", "return"]
    assert read_wandb(path, where={"run": "b"}, final="mean:2")["return"].tolist() == [3.5]


def test_a_chart_that_is_thinned_out_is_said(tmp_path):
    path = written(tmp_path / "chart.csv", CHART.replace("3.0,3.0,3.0", "3.0,2.5,3.5"))
    with pytest.warns(UserWarning, match=r"the chart is thinned out, .*\(__MIN is not __MAX\), of a - 1 - return\."):
        read_wandb(path, history=["return"])


def test_another_csv_file(tmp_path):
    with pytest.raises(
        ValueError, match=r"neither a table of runs \(a column 'Name'\) nor a chart.*Its columns are: lr, loss"
    ):
        read_wandb(written(tmp_path / "x.csv", "lr,loss\n1,2\n"))


# ---- the public API, made up ----


class Api:
    """Answers for the project "team/sweep" alone; histories are only given in full."""

    def runs(self, path, lazy):
        assert lazy is False  # one request a page, and not one a run
        if path == "team/empty":
            return iter([])
        if path != "team/sweep":
            raise ValueError(f"Could not find project {path}")
        return iter(Run(n, setting) for n, setting in enumerate(SETTINGS))

    def projects(self, entity):
        return [SimpleNamespace(name="sweep"), SimpleNamespace(name="empty")]


class Run:
    def __init__(self, n, setting):
        self.id, self.name, self.state = f"id{n}", f"run-{n}", ["finished", "preempting", "pending"][max(0, n - 9)]
        self.config = setting | {"_wandb": {}, "optimizer": {"name": "adam"}}
        self.summary_metrics = {
            "_step": 190, "_runtime": 3.0, "train": {"loss": final_loss(setting)}, "best": {"min": "NaN"},
            "picture": {"_type": "image-file", "size": 3},
        }  # fmt: skip
        self.rows = [{"_step": step, "train.loss": loss} for step, loss in curve(setting)]

    def scan_history(self, keys):
        return iter([{key: row[key] for key in keys} for row in self.rows if set(keys) <= set(row)])


@pytest.fixture
def api(monkeypatch):
    import wandb

    monkeypatch.setattr(wandb, "Api", Api)


def test_a_project_becomes_runs(api):
    table = read_wandb("team/sweep")
    assert set(table) == {"run", "run_name", "state", *SETTINGS[0], "optimizer.name", "train.loss", "best.min"}
    assert table["state"].tolist() == ["finished"] * 10 + ["running"] * 2
    assert table["best.min"].isna().all()
    runs = hl.Runs.from_wandb("team/sweep", **WORDS, loss="train.loss")
    assert len(runs) == 10
    assert runs.notes == ("2 left out: running",)


def test_histories_of_a_project(api):
    table = read_wandb("team/sweep", where={"run": "id4"}, history=["train.loss"])
    assert table["train.loss"].tolist() == [loss for _, loss in curve(SETTINGS[4])]
    table = read_wandb("team/sweep", final="mean:10")
    assert table["train.loss"].to_numpy() == pytest.approx([final_loss(setting) + 0.45 for setting in SETTINGS])


def test_a_summary_that_is_a_minimum_keeps_its_name(api, monkeypatch):
    """A metric defined with summary="min" has no last value in the summary, but a history."""
    monkeypatch.setattr(Run, "scan_history", lambda run, keys: iter([{"_step": 5, keys[1]: 0.7}]))
    assert "best" not in read_wandb("team/sweep")
    assert set(read_wandb("team/sweep", history=["best"])["best"]) == {0.7}


def test_no_such_project(api):
    with pytest.raises(ValueError, match=r"there is no project 'team/sweeps'.*Projects of team: sweep, empty"):
        read_wandb("team/sweeps")
    with pytest.raises(ValueError, match="project 'team/empty' has no runs"):
        read_wandb("team/empty")


def test_nothing_to_read(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no path .*runs\.csv; .* holds: none.*Give entity/project"):
        read_wandb(tmp_path / "runs.csv")
    with pytest.raises(ValueError, match=r"no run-\*\.wandb lies below .*Give a folder with offline run folders"):
        read_wandb(tmp_path)


def test_without_the_client(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "wandb", None)
    for project in ("team/sweep", tmp_path):
        with pytest.raises(ImportError, match=r"pip install 'hyperlaw\[wandb\]'"):
            read_wandb(project)
    # An exported CSV file needs no client.
    assert len(read_wandb(written(tmp_path / "chart.csv", CHART))) == 2
