"""TensorBoard: event files by its own writer, scalars of both kinds, and hyperparameters by its HParams plugin."""

import json
import sys

import numpy as np
import pytest
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import summary_v2 as hparams
from tensorboard.plugins.scalar.summary_v2 import scalar_pb as new_scalar
from tensorboard.summary.writer.event_file_writer import EventFileWriter
from tracked_sweep import SETTINGS, STEPS, WORDS, as_runs, curve, final_loss
from typer.testing import CliRunner

import hyperlaw as hl
from hyperlaw.cli import app
from hyperlaw.data.sources.tensorboard import read_tensorboard


def old_scalar(tag, value):
    return Summary(value=[Summary.Value(tag=tag, simple_value=value)])


def write(folder, summaries, suffix=""):
    """An event file with these steps and summaries."""
    writer = EventFileWriter(str(folder), filename_suffix=suffix)
    for step, summary in summaries:
        writer.add_event(Event(step=step, wall_time=step, summary=summary))
    writer.close()


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """Runs in folders of two levels, with scalars of the old and of the new kind in turn."""
    root = tmp_path_factory.mktemp("logs")
    for n, setting in enumerate(SETTINGS):
        scalar = new_scalar if n % 2 else old_scalar
        points = [(step, scalar("loss/train", loss)) for step, loss in curve(setting)]
        write(root / "sweep" / f"run-{n:02}", [(0, hparams.hparams_pb(setting)), *points])
    return root


def test_a_sweep_becomes_runs(sweep):
    table = read_tensorboard(sweep)
    assert table["run"].tolist() == [f"sweep/run-{n:02}" for n in range(12)]
    assert set(table) == {"run", "run_name", "lr", "batch", "tokens", "params", "loss/train"}
    runs = hl.Runs.from_tensorboard(sweep, **WORDS, loss="loss/train")
    assert runs.digest == as_runs(table, loss="loss/train").digest


def test_the_command_line_makes_crossings_of_curves(sweep, monkeypatch, tmp_path):
    asked = {}
    monkeypatch.setattr(hl, "fit", lambda law, table, **given: asked.update(table=table) or sys.exit(0))
    words = ["--performance", "loss/train", "--params", "params", "--task", "tokens", "--seed-column", "lr"]
    kind = ["--source", "tensorboard", "--kind", "curves", "--thresholds", "4"]
    said = CliRunner().invoke(app, ["fit", str(sweep), *kind, *words, "--out", str(tmp_path / "fit.nc")])
    assert "column 'lr' must hold whole numbers" in " ".join(said.stderr.split())
    words[-2:] = ["--learning-rate", "lr", "--batch-size", "batch"]
    CliRunner().invoke(app, ["fit", str(sweep), *kind, *words, "--out", str(tmp_path / "fit.nc")])
    assert asked["table"].kind == "crossings"


def test_curves_of_a_sweep(sweep):
    curves = hl.Curves.from_tensorboard(
        sweep, performance="loss/train", params="params", learning_rate="lr", batch_size="batch", task="tokens"
    )
    assert len(curves) == 12 * STEPS
    assert sorted(curves.frame["data"].unique()) == [10 * n for n in range(STEPS)]


def test_the_final_value_may_be_a_mean(sweep):
    table = read_tensorboard(sweep, final="mean:10")
    assert table["loss/train"].to_numpy() == pytest.approx([final_loss(setting) + 0.45 for setting in SETTINGS])


def test_histories(sweep):
    table = read_tensorboard(sweep, where={"lr": 0.001}, history=["loss/train"])
    assert len(table) == 4 * STEPS
    first = table[table["run"] == "sweep/run-04"]
    assert first["step"].tolist() == [step for step, _ in curve(SETTINGS[4])]
    assert first["loss/train"].to_numpy() == pytest.approx([loss for _, loss in curve(SETTINGS[4])])


@pytest.mark.parametrize("scalar", [old_scalar, new_scalar])
def test_all_points_are_read(tmp_path, scalar):
    """The client keeps a sample of a long curve: 10,000 points by default."""
    write(tmp_path, [(step, scalar("loss", step)) for step in range(12_000)])
    table = read_tensorboard(tmp_path, history=["loss"])
    assert table["step"].tolist() == list(range(12_000))
    assert table["run"].unique().tolist() == ["."]


def test_other_summaries_are_left_out(tmp_path):
    from tensorboard.plugins.histogram.summary_v2 import histogram_pb as histogram
    from tensorboard.plugins.text.summary_v2 import text_pb as text

    write(
        tmp_path, [(0, text("note", "adam")), (1, histogram("weights", np.arange(9.0))), (2, new_scalar("loss", 1.5))]
    )
    assert read_tensorboard(tmp_path)["loss"].tolist() == [1.5]
    assert set(read_tensorboard(tmp_path)) == {"run", "run_name", "loss"}


def test_hyperparameters_in_files(tmp_path):
    write(tmp_path / "a", [(0, old_scalar("loss", 1.0))])
    (tmp_path / "a" / "hparams.yaml").write_text("lr: 1e-3\noptimizer:\n  name: adam\n  betas: [0.9, 0.95]\nseed: 3\n")
    (tmp_path / "a" / "args.json").write_text(json.dumps({"seed": 1, "width": 64}))
    write(tmp_path / "b" / "logs", [(0, hparams.hparams_pb({"lr": 0.02})), (0, old_scalar("loss", 2.0))])
    (tmp_path / "b" / "config.json").write_text(json.dumps({"lr": 0.5, "width": 128}))
    table = read_tensorboard(tmp_path).set_index("run")
    assert table["lr"].to_dict() == {"a": 0.001, "b/logs": 0.02}
    assert table["width"].to_dict() == {"a": 64, "b/logs": 128}
    assert table.loc["a", ["seed", "optimizer.name", "optimizer.betas"]].tolist() == [3, "adam", "[0.9, 0.95]"]


def test_a_file_of_hyperparameters_that_cannot_be_read_is_named(tmp_path):
    write(tmp_path, [(0, old_scalar("loss", 1.0))])
    (tmp_path / "hparams.yaml").write_text("model: !!python/object:torch.nn.Linear {}\n")
    (tmp_path / "args.json").write_text("[1, 2]")
    with pytest.warns(UserWarning, match="was left out") as said:
        table = read_tensorboard(tmp_path)
    assert list(table) == ["run", "run_name", "loss"]
    texts = sorted(str(one.message) for one in said)
    assert "args.json was left out: it holds no names with values but list." in texts[0]
    assert "hparams.yaml was left out: could not determine a constructor" in texts[1]


def test_training_and_validation_share_hyperparameters(tmp_path):
    """As Keras writes them: hyperparameters in the folder of the run, scalars in two folders in it."""
    write(tmp_path / "run", [(0, hparams.hparams_pb({"lr": 0.1}))])
    write(tmp_path / "run" / "train", [(0, new_scalar("epoch_loss", 1.0))])
    write(tmp_path / "run" / "validation", [(0, new_scalar("epoch_loss", 2.0))])
    table = read_tensorboard(tmp_path)
    assert table["run"].tolist() == ["run/train", "run/validation"]
    assert table["lr"].tolist() == [0.1, 0.1]


def test_hyperparameters_as_pytorch_writes_them(tmp_path):
    """`SummaryWriter.add_hparams` makes a folder in that of the run, named by the time."""
    write(tmp_path / "run", [(step, old_scalar("loss", 3.0 - step)) for step in range(2)])
    start = hparams.hparams_pb({"lr": 0.1, "norm": "rms", "bias": True})
    write(tmp_path / "run" / "1700000000.25", [(0, start), (0, old_scalar("hparam/loss", 2.0))])
    table = read_tensorboard(tmp_path)
    assert table.loc[0].to_dict() == {
        "run": "run", "run_name": "run", "lr": 0.1, "norm": "rms", "bias": True, "loss": 2.0, "hparam/loss": 2.0
    }  # fmt: skip
    assert len(table) == 1


@pytest.mark.parametrize("lost", [1, 14, 27])
def test_a_file_that_ends_in_half_a_record_is_read_up_to_there(tmp_path, lost):
    write(tmp_path / "cut", [(step, old_scalar("loss", 9.0 - step)) for step in range(5)])
    [path] = (tmp_path / "cut").iterdir()
    path.write_bytes(path.read_bytes()[:-lost])
    with pytest.warns(UserWarning, match=r"run 'cut': events.* ends in half a record .*read up to there"):
        table = read_tensorboard(tmp_path, history=["loss"])
    assert table["loss"].tolist() == [9.0, 8.0, 7.0, 6.0]


def test_a_file_that_is_damaged_is_read_up_to_there(tmp_path):
    write(tmp_path / "cut", [(step, old_scalar("loss", 9.0 - step)) for step in range(5)])
    [path] = (tmp_path / "cut").iterdir()
    data = path.read_bytes()
    path.write_bytes(data[:-60] + b"\xff" * 60)
    with pytest.warns(UserWarning, match=r"run 'cut': events.* is damaged"):
        table = read_tensorboard(tmp_path, history=["loss"])
    assert table["loss"].tolist() == [9.0, 8.0, 7.0, 6.0, 5.0][: len(table)]


def test_a_restarted_run(tmp_path):
    write(tmp_path / "r", [(step, old_scalar("loss", 9.0 - step)) for step in (0, 1, 2)], ".1")
    write(tmp_path / "r", [(step, old_scalar("loss", 5.0 - step)) for step in (2, 3)], ".2")
    with pytest.warns(UserWarning, match="run 'r' went back to earlier steps"):
        table = read_tensorboard(tmp_path, history=["loss"])
    assert table["loss"].tolist() == [9.0, 8.0, 3.0, 2.0]


def test_nothing_to_read(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*logs; .* holds: none\. Give the path of one"):
        read_tensorboard(tmp_path / "logs")
    (tmp_path / "wandb").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no event file \(\*tfevents\*\) lies below .* holds: wandb\."):
        read_tensorboard(tmp_path)
    write(tmp_path, [])
    with pytest.raises(ValueError, match=r"the 1 folders with event files below .* hold no scalar"):
        read_tensorboard(tmp_path)


def test_without_the_client(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(ImportError, match=r"pip install 'hyperlaw\[tensorboard\]'"):
        read_tensorboard(tmp_path)
