"""Tables on the command line: files and standard input, the options of columns, rows kept, priors, paths of output."""

import gzip

import numpy as np
import numpyro.distributions as dist
import pandas as pd
import pytest
from conftest import grid
from typer.testing import CliRunner

import hyperlaw as hl
from hyperlaw.cli import app

run = CliRunner().invoke
OUT = ["--out", "fit.nc"]


def swept() -> pd.DataFrame:
    """A sweep under other names, with a column of seeds and one of optimizers; losses rise away from the middle."""
    frame = grid(rates=5, batches=3)
    loss = 3 + 0.1 * np.log(frame["learning_rate"] / 1e-3) ** 2
    names = {"learning_rate": "lr", "batch_size": "bs", "data": "tokens", "params": "N"}
    frame = frame.drop(columns=["loss", "task"]).rename(columns=names).assign(val_loss=loss)
    return pd.concat([frame.assign(optimizer="adam", s=1), frame.assign(optimizer="sgd", s=2)], ignore_index=True)


COLUMNS = [
    "--learning-rate", "lr", "--batch-size", "bs", "--batch-unit", "1", "--data", "tokens", "--params", "N",
    "--loss", "val_loss", "--seed-column", "s",
]  # fmt: skip


@pytest.fixture
def asked(fit, tmp_path, monkeypatch):
    """What `hl.fit` is asked for, instead of sampling; in an empty folder with the sweep."""
    monkeypatch.chdir(tmp_path)
    swept().to_csv("sweep.csv", index=False)
    found = {}

    def taken(law, table, **given):
        found.update(given, law=law, table=table)
        return fit

    monkeypatch.setattr(hl, "fit", taken)
    return found


def fine(arguments, **given):
    said = run(app, arguments, **given)
    assert said.exit_code in (0, 1), said.output  # 1 where the shared fit has a failed check
    return said


def refused(arguments, text, status=2, **given):
    said = run(app, arguments, **given)
    assert said.exit_code == status, said.output
    assert text in " ".join(said.stderr.split())
    assert said.stdout == ""
    assert "Traceback" not in said.stderr


def test_standard_input_and_dialects(asked):
    """Decimal commas, and a gzipped stream."""
    text = swept().to_csv(index=False, sep=";", decimal=",").encode()
    for given in (text, gzip.compress(text)):
        said = fine(["fit", "-", *COLUMNS, *OUT], input=given)
        assert len(asked["table"]) == len(swept())
        assert "Runs: 180 runs" in said.stderr
    refused(["fit", "-", *OUT], "hyperlaw: standard input is empty", input=b"")


def test_column_words(asked):
    fine(["fit", "sweep.csv", *COLUMNS, *OUT])
    frame = asked["table"].frame
    assert set(frame["seed"]) == {1, 2}
    assert "params" in frame
    fine(["fit", "sweep.csv", *COLUMNS, "--where", "N=1M", "--params", "7M", *OUT])
    assert set(asked["table"].frame["params"]) == {7e6}  # a number, the same in every row
    swept().rename(columns={"N": "7M"}).to_csv("odd.csv", index=False)
    fine(["fit", "odd.csv", *COLUMNS, "--params", "7M", *OUT])
    assert set(asked["table"].frame["params"]) == {1e6, 4e6}  # a column of that name comes first
    fine(["fit", "sweep.csv", *COLUMNS, "--loss-unit", "perplexity", "--task", "optimizer", *OUT])
    assert asked["table"].tasks == ("adam", "sgd")
    assert asked["table"].frame["loss"].max() < np.log(5)


@pytest.mark.parametrize(
    ("condition", "rows"),
    [
        ("optimizer=adam", 90), ("optimizer!=adam", 90), ("s=1", 90), ("s>1", 90), ("tokens<=4e8", 120),
        ("tokens<4e8", 60), ("tokens>=400M", 120), ("N != 1M", 90),
    ],
)  # fmt: skip
def test_where(asked, condition, rows):
    said = fine(["fit", "sweep.csv", *COLUMNS, "--where", condition, *OUT])
    assert len(asked["table"]) == rows
    assert f"{rows} of 180 rows kept by --where." in said.stderr


@pytest.mark.parametrize(
    ("more", "text"),
    [
        (["--where", "optimizer"], "'optimizer' is no condition. Write NAME=VALUE"),
        (["--where", "opt=adam"], "there is no column 'opt'. The columns are: N, tokens, lr,"),
        (["--where", "optimizer>adam"], "> needs a number behind it, received 'adam'"),
        (["--where", "s=3"], "no row is left by 's=3'"),
        (["--seed", "s"], "must be a whole number, received 's'. The column of the seeds of runs is --seed-column."),
        (["--params", "7X"], "the column '7X' is not in the table, and a number must be a number such as 1e9"),
        (["--performance", "val_loss"], "a table of runs has no performance; its words are: batch_size,"),
        (["--column", "threshold=s"], "a table of runs has no threshold"),
        (["--make", "best"], "best cannot be made of runs; what can is: optima, optima-by-batch, steps-to-loss"),
        (["--make", "steps-to-loss"], "numbers with commas between them"),
        (["--losses", "3.1"], "it is for --make steps-to-loss alone"),
        (["--thresholds", "3"], "it is for --kind curves alone"),
        (["--kind", "curves"], "a table of curves has no batch_unit"),
        (["--steps", "tokens"], "hyperlaw: pass --data or --steps, not both"),
        (["--batch-size", "lrr"], "hyperlaw: batch_size: there is no column 'lrr'. Did you mean"),
        (["--law", "steplow"], "hyperlaw: there is no law 'steplow'. Did you mean 'StepLaw'?"),
        (["--prior", "exponent_data"], "'exponent_data' is not NAME=VALUE, such as exponent_data=Normal(0.5,0.1)"),
        (["--prior", "exponent_data=0.5"], "'0.5' is no prior: it is not NAME(NUMBERS)"),
        (["--prior", "exponent_data=Norml(0,1)"], "there is no distribution Norml, did you mean Normal"),
        (["--prior", "exponent_data=Normal(0,one)"], "'one' is no number"),
        (["--prior", "exponent_data=Normal(0.5)"], "Normal needs loc, scale"),
        (["--prior", "exponent_data=Normal(0.5,-1)"], "invalid scale parameter"),
        (["--prior", "exponent_data=__import__(1)"], "there is no distribution __import__"),
        (["--window", "0"], "hyperlaw: window must be finite and above zero"),
    ],
)
def test_what_is_refused_before_sampling(asked, more, text):
    refused(["fit", "sweep.csv", *COLUMNS, *more, *OUT], text)
    assert "law" not in asked


def test_law_priors_and_sampler(asked):
    given = ["--prior", "exponent_data=normal(0.5, 0.1)", "--prior", "noise=HalfNormal(scale=0.02)"]
    sampler = ["--draws", "500", "--warmup", "400", "--chains", "2", "--target-accept", "0.99", "--seed", "3"]
    fine(["fit", "sweep.csv", *COLUMNS, "--law", "TIMETRANSFER", *given, *sampler, *OUT])
    assert asked["law"].name == "TimeTransfer"
    assert isinstance(asked["priors"]["exponent_data"], dist.Normal)
    assert float(asked["priors"]["noise"].scale) == 0.02
    told = {name: asked[name] for name in ("draws", "warmup", "chains", "target_accept", "seed")}
    assert told == {"draws": 500, "warmup": 400, "chains": 2, "target_accept": 0.99, "seed": 3}
    fine(["fit", "sweep.csv", *COLUMNS, "--window", "2", *OUT])
    assert (asked["law"].law.name, asked["law"].window) == ("StepLaw", 2.0)


def test_repeats_are_refused_in_options(asked):
    columns = COLUMNS[: COLUMNS.index("--seed-column")]
    text = "pass --tune-over optimizer to keep the best run of each setting, --task optimizer for a task each"
    swept().drop(columns="s").to_csv("sweep.csv", index=False)
    refused(["fit", "sweep.csv", *columns, *OUT], text)
    refused(["fit", "sweep.csv", *columns, *OUT], "if it tells repeats apart, --seed-column optimizer")
    said = fine(["fit", "sweep.csv", *columns, "--tune-over", "optimizer", *OUT])
    assert "of each setting the best over optimizer is kept" in " ".join(said.stderr.split())


def test_every_table(asked):
    """Optima with their errors, crossings, steps to a loss; and what is made of runs and of curves."""
    optima = pd.DataFrame({"bs": [64, 256, 1024], "lr": [1e-3, 2e-3, 3e-3], "sd": 0.1})
    optima.to_csv("optima.csv", index=False)
    named = ["--kind", "optima", "--law", "surge", "--batch-size", "bs", "--learning-rate", "lr", "--batch-unit", "1"]
    fine(["fit", "optima.csv", *named, "--estimated", "learning_rate", "--column", "learning_rate_error=sd", *OUT])
    assert asked["table"].kind == "optima"
    assert (asked["table"].frame["learning_rate_error"] == 0.1).all()

    rows = [{"t": t, "D": 1e5 * t / u, "utd": u} for t in (3, 5) for u in (1, 2, 4)]
    pd.DataFrame(rows).to_csv("crossings.csv", index=False)
    named = ["--kind", "crossings", "--column", "threshold=t", "--data", "D", "--law", "DataEfficiency"]
    fine(["fit", "crossings.csv", *named, "--make", "best", *OUT])
    assert (asked["table"].kind, len(asked["table"])) == ("crossings", 6)

    steps = pd.DataFrame({"B": [64, 256, 1024], "n": [900, 300, 200], "target": 3.0})
    steps.to_csv("steps.csv", index=False)
    named = ["--kind", "steps-to-loss", "--batch-size", "B", "--batch-unit", "1", "--steps", "n", "--loss", "target"]
    fine(["fit", "steps.csv", *named, "--law", "StepsExamples", *OUT])
    assert asked["table"].kind == "steps_to_loss"

    windows = pd.DataFrame({"B_simple": [64, 256, 1024], "sd": 0.2, "L": [3.0, 2.0, 1.0]})
    windows.to_csv("windows.csv", index=False)
    named = ["--kind", "noise-measurements", "--column", "noise_scale=B_simple", "--column", "error=sd", "--loss", "L"]
    fine(["fit", "windows.csv", *named, "--law", "NoiseGrowth", *OUT])
    assert asked["table"].frame["noise_scale"].tolist() == [64, 256, 1024]

    norms = pd.DataFrame({"step": range(1, 33), "small": 5.0, "big": 1.0, "loss": np.linspace(3, 1, 32)})
    norms["big"] += 0.1 * np.sin(norms["step"])
    norms.to_csv("norms.csv", index=False)
    named = ["--kind", "gradient-norms", "--column", "small_batch=16", "--column", "big_batch=256"]
    fine(["fit", "norms.csv", *named, "--law", "NoiseGrowth", *OUT])
    assert (asked["table"].kind, len(asked["table"])) == ("noise_measurements", 2)
    fine(["fit", "norms.csv", *named, "--column", "window=8", "--law", "NoiseGrowth", *OUT])
    assert len(asked["table"]) == 4

    fine(["fit", "sweep.csv", *COLUMNS, "--make", "optima-by-batch", *OUT])
    assert (asked["table"].kind, len(asked["table"])) == ("optima", 18)


def test_curves(asked):
    """Thresholds make crossings of curves, and optima of those."""
    rows = [
        {"step": n, "ret": n / (100 + batch + u) + s, "utd": u, "batch_size": batch, "learning_rate": rate, "s": s}
        for u in (1, 2) for batch in (64, 128) for rate in (1e-3, 2e-3) for s in (0, 1) for n in range(0, 4000, 200)
    ]  # fmt: skip
    pd.DataFrame(rows).to_csv("curves.csv", index=False)
    named = ["fit", "curves.csv", "--kind", "curves", "--data", "step", "--performance", "ret", "--seed-column", "s"]
    said = fine([*named, "--thresholds", "3,6", *OUT])
    assert (asked["table"].kind, len(asked["table"])) == ("crossings", 16)
    assert "Curves: 320 points" in said.stderr
    fine([*named, "--thresholds", "3", "--make", "optima", *OUT])
    assert (asked["table"].kind, len(asked["table"])) == ("optima", 2)
    refused([*named, *OUT], "--thresholds: it is needed here")


def test_output_is_tried_before_anything_is_sampled(asked):
    """A missing folder is made; what is no folder, or is one, is refused at once."""
    fine(["fit", "sweep.csv", *COLUMNS, "--out", "new/folder/fit.nc"])
    assert asked.pop("law")
    text = "sweep.csv/fit.nc cannot be written: sweep.csv is no folder. Nothing was computed yet"
    refused(["fit", "sweep.csv", *COLUMNS, "--out", "sweep.csv/fit.nc"], text)
    refused(["fit", "sweep.csv", *COLUMNS, "--out", "new"], "new cannot be written: is a directory")
    assert "law" not in asked
    target = ["--at", "params=7B", "--at", "data=1.4T"]
    refused(["decide", "none.nc", *target, "--plot", "sweep.csv/x.png"], "sweep.csv is no folder")
    refused(["decide", "none.nc", *target, "--plot", "x.doc"], "x.doc must end in what kind of picture it is: ")
    refused(["demo", "--folder", "sweep.csv"], "sweep.csv is no folder")
    refused(["backtest", "sweep.csv", "--law", "StepLaw", "--out", "sweep.csv/x.csv"], "sweep.csv is no folder")


def test_a_file_that_was_there_stays_where_the_table_is_refused(asked, tmp_path):
    (tmp_path / "fit.nc").write_text("mine")
    refused(["fit", "sweep.csv", *OUT], "Did you mean 'lr'?")
    assert (tmp_path / "fit.nc").read_text() == "mine"


def test_backtest(asked, monkeypatch):
    """Laws by name in any case; the summary is printed and every row is written."""
    given = {}

    def backtest(laws, table, **more):
        given.update(more, laws=laws, table=table)
        rows = pd.DataFrame({"method": ["StepLaw"], "regret": [0.01], "crps": [np.nan]})
        return hl.Backtest(rows, "withheld data 1.6B", rows.set_index("method"), rows.head(0))

    monkeypatch.setattr(hl, "backtest", backtest)
    laws = ["--law", "steplaw", "--law", "TimeTransfer", "--hold-out", "largest:2", "--repeats", "2", "--sparse", "9"]
    said = run(app, ["backtest", "sweep.csv", *COLUMNS, *laws, "--out", "scores.csv"])
    assert said.exit_code == 0, said.output
    assert "withheld data 1.6B" in said.stdout
    assert "crps" not in said.stdout  # empty columns are left out
    assert list(given["laws"]) == ["StepLaw", "TimeTransfer"]
    assert (given["hold_out"], given["repeats"], given["sparse"], given["seed"]) == ("largest:2", 2, 9, 0)
    assert len(given["table"]) == 180
    assert pd.read_csv("scores.csv")["regret"].tolist() == [0.01]
