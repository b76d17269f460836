import json
import re

import numpy as np
import pandas as pd
import pytest
from conftest import CHECKED, TARGET, grid
from test_frontier import known
from typer.testing import CliRunner

import hyperlaw as hl
from hyperlaw.cli import app

run = CliRunner().invoke


def test_decide_from_a_saved_fit(fit, tmp_path):
    fit.save(tmp_path / "fit.nc")
    target = ["--at", "params=98304", "--at", "data=4194304"]
    said = run(app, ["decide", str(tmp_path / "fit.nc"), *target, "--plot", str(tmp_path / "choice.png")])
    assert said.exit_code == 0, said.output
    assert "recommended" in said.output
    assert (tmp_path / "choice.png").stat().st_size > 10_000
    said = run(app, ["decide", str(tmp_path / "fit.nc"), *target, "--json"])
    assert set(json.loads(said.stdout)["setting"]) == {"learning_rate", "batch_size"}
    bounds = ["--at-most", "steps=1.5e4", "--batch-multiple-of", "64", "--max-diverge", "0.05", "--risk", "mean"]
    said = run(app, ["decide", str(tmp_path / "fit.nc"), *target, *bounds, "--json"])
    told = json.loads(said.stdout)
    batch = told["setting"]["batch_size"]
    assert batch % 64 == 0
    assert TARGET["data"] / batch <= 15_000
    assert told["risk"] == "Mean()"
    constraints = ["AtMost(steps, 15000)", "OneOf(batch_size, multiples_of=64)", "Chance(diverge, at_most=0.05)"]
    assert told["subject_to"] == constraints


def test_fit_a_csv(small, rough, tmp_path):
    """Far too few draws: the checks fail, which the exit status says. The folder of the fit is made."""
    small.frame.drop(columns="cell").to_csv(tmp_path / "runs.csv", index=False)
    out = tmp_path / "made" / "fit.nc"
    care = ["--target-accept", str(CHECKED["target_accept"])]
    short = ["--draws", "50", "--warmup", str(CHECKED["warmup"]), "--seed", "0", *care]
    said = run(app, ["fit", str(tmp_path / "runs.csv"), "--out", str(out), "--law", "steplaw", *short, "--json"])
    assert said.exit_code == 1, said.output
    told = json.loads(said.stdout)
    assert (told["law"], told["draws"], told["checks_ok"]) == ("StepLaw", 50, False)
    assert told["written"] == str(out)
    advices = [check["advice"] for check in told["checks"] if check["status"] == "FAIL"]
    assert any("--draws 4000" in advice for advice in advices)
    assert not any("draws=" in advice for advice in advices)
    again = hl.load_fit(out)
    for name, draws in rough.draws.items():  # the same fit, made in Python
        np.testing.assert_array_equal(again.draws[name].values, draws.values)


def test_a_fit_that_passes_its_checks_exits_with_zero(fit, tmp_path, monkeypatch):
    monkeypatch.setattr(hl, "fit", lambda *_, **__: fit)
    grid().to_csv(tmp_path / "runs.csv", index=False)
    said = run(app, ["fit", str(tmp_path / "runs.csv"), "--out", str(tmp_path / "fit.nc")])
    assert said.exit_code == (0 if fit.check().ok else 1), said.output
    assert fit.check().verdict in said.output
    assert f"{fit.headline} {fit.table.headline}" in " ".join(said.stdout.split())
    assert hl.load_fit(tmp_path / "fit.nc").seed == fit.seed


@pytest.fixture(scope="module")
def saved(fit, rough, tmp_path_factory):
    """A fit, the same again, and one whose checks fail."""
    folder = tmp_path_factory.mktemp("saved")
    for name, one in (("fit", fit), ("again", fit), ("rough", rough)):
        one.save(folder / f"{name}.nc")
    return {name: str(folder / f"{name}.nc") for name in ("fit", "again", "rough")}


AT = ["--at", "params=98304", "--at", "data=4194304"]


def test_check_prints_the_checks_of_a_saved_fit(saved, rough):
    said = run(app, ["check", saved["rough"]])
    assert said.exit_code == 1
    words = " ".join(said.stdout.split())
    assert re.search(r"FAIL ESS bulk, smallest: [\d.]+ \(must be >= 400\)", words)
    assert "--draws 4000" in words
    assert max(map(len, said.stdout.splitlines())) <= 100
    told = json.loads(run(app, ["check", saved["rough"], "--json"]).stdout)
    assert not told["checks_ok"]
    assert [check["check"] for check in told["checks"]] == rough.check().table["check"].tolist()


def test_a_failed_fit_is_refused_in_options_unless_there_is_a_reason(saved):
    for verb in (["decide"], ["score", "--learning-rate", "1e-3", "--batch-size", "4k"]):
        said = run(app, [*verb[:1], saved["rough"], *AT, *verb[1:]])
        assert said.exit_code == 1
        words = " ".join(said.stderr.split())
        assert '`hyperlaw check FIT` says what to do, or pass --despite "reason" to decide all the same.' in words
        assert said.stdout == ""
    said = run(app, ["decide", saved["rough"], *AT, "--despite", "trying", "--json"])
    assert said.exit_code == 0
    assert json.loads(said.stdout)["despite"] == "trying"


def test_predict(saved, fit):
    said = run(app, ["predict", saved["fit"], "--at", "params=98304", "--at", "data=4M", "--json"])
    assert said.exit_code == 0
    told = json.loads(said.stdout)
    assert told["at"]["data"] == 4e6
    assert [row["row"] for row in told["table"]] == ["learning_rate", "batch_size", "loss"]
    said = run(app, ["predict", saved["fit"], *AT])
    assert repr(fit.predict(TARGET)) in said.stdout
    said = run(app, ["predict", saved["fit"], "--at", "params=7B"])
    assert said.exit_code == 2
    assert "hyperlaw: --at must give exactly params, data: missing data." in said.stderr


def test_one_of(saved):
    said = run(app, ["decide", saved["fit"], *AT, "--one-of", "batch_size=256,512", "--json"])
    told = json.loads(said.stdout)
    assert told["setting"]["batch_size"] in (256, 512)
    assert told["subject_to"] == ["OneOf(batch_size, values=[256.0, 512.0])"]
    assert "hl." not in told["explanation"]


def test_score(saved, choice):
    plan = ["--learning-rate", "1e-3", "--batch-size", "2k"]
    said = run(app, ["score", saved["fit"], *AT, *plan, "--within", "0.01", "--json"])
    told = json.loads(said.stdout)
    assert told["within"] == 0.01
    rows = {row["row"]: row for row in told["table"]}
    assert rows["plan"]["batch_size"] == 2000
    known = choice.score({"learning_rate": 1e-3, "batch_size": 2000}, within=0.01).table
    np.testing.assert_allclose(rows["plan"]["p_within"], known.loc["plan", "p_within"])
    said = run(app, ["score", saved["fit"], *AT, *plan])
    assert "step_law_formula: arXiv 2503.04715, data in tokens" in said.stdout


def test_next(saved, tmp_path):
    rows = [{"learning_rate": rate, "batch_size": 256, "params": 98304, "data": 2**20} for rate in (1e-3, 2e-3, 4e-3)]
    pd.DataFrame(rows).to_csv(tmp_path / "candidates.csv", index=False, sep=";", decimal=",")
    asked = ["next", saved["fit"], *AT, "--n", "2", "--risk", "mean"]
    said = run(app, [*asked, "--candidates", str(tmp_path / "candidates.csv"), "--json"])
    told = json.loads(said.stdout)
    assert len(told["table"]) == 2
    assert {row["candidate"] for row in told["table"]} < {0, 1, 2}
    assert "hl." not in told["sentence"]
    piped = run(app, [*asked, "--candidates", "-"], input=(tmp_path / "candidates.csv").read_bytes())
    assert "The choice now has Mean() of" in piped.stdout
    said = run(app, [*asked[:-3], "9", "--candidates", str(tmp_path / "candidates.csv")])
    assert "n must be a whole number from 1 to the 3 candidates" in said.stderr


def test_compare(saved, monkeypatch):
    """Fits are called by their law, or by their file where two have one."""
    given = {}

    def compare(fits, **more):
        given.update(more, fits=fits)
        empty = pd.DataFrame()
        return hl.Comparison(pd.DataFrame({"rank": [0]}, ["StepLaw"]), "It predicts better.", {}, empty, empty)

    monkeypatch.setattr(hl, "compare", compare)
    said = run(app, ["compare", saved["fit"], saved["again"], "--leave-out", "scale"])
    assert said.exit_code == 0, said.output
    assert "It predicts better." in said.stdout
    assert list(given["fits"]) == [saved["fit"], saved["again"]]
    assert (given["leave_out"], given["seed"]) == ("scale", 0)
    said = run(app, ["compare", saved["fit"], saved["again"], "--json"])
    assert json.loads(said.stdout)["table"] == [{"row": "StepLaw", "rank": 0}]
    said = run(app, ["compare", saved["fit"], saved["fit"]])
    assert "a fit was given twice" in said.stderr
    monkeypatch.undo()
    said = run(app, ["compare", saved["fit"]])
    assert said.exit_code == 2
    assert "hyperlaw: compare needs two fits or more, received 1." in said.stderr


def test_frontier(monkeypatch, tmp_path):
    fits = {"need.nc": known(hl.laws.DataEfficiency()), "best.nc": known(hl.laws.UTDHyperparameters())}
    monkeypatch.setattr(hl, "load_fit", lambda path: fits[path.name])
    asked = ["frontier", "need.nc", "best.nc", "--performance", "500,700", "--delta", "4e9", "--params", "100k"]
    said = run(app, asked)
    assert said.exit_code == 1  # made by hand, without what checks look at
    assert "--despite" in said.stderr
    asked += ["--despite", "made by hand"]
    told = json.loads(run(app, [*asked, "--json"]).stdout)
    assert {row["performance"] for row in told["table"]} == {500, 700}
    assert told["recommended"] is None
    assert told["cost"] == {"delta": 4e9, "flops_per_update": "10 * params * batch_size", "source": None}
    middle = [row["median"] for row in told["table"] if row["quantity"] == "budget"]
    budget = ["--budget", str(sum(middle) / 2), "--plot", str(tmp_path / "f" / "frontier.png")]
    said = run(app, [*asked, *budget])
    assert said.exit_code == 0, said.output
    assert "Set utd = " in said.stdout
    assert (tmp_path / "f" / "frontier.png").stat().st_size > 10_000
    assert set(json.loads(run(app, [*asked, *budget, "--json"]).stdout)["recommended"]["setting"]) > {"utd"}
    said = run(app, [*asked, "--utd", "1"])
    assert "two numbers are needed, such as 0.25,8; received '1'" in " ".join(said.stderr.split())
    said = run(app, ["frontier", "best.nc", *asked[2:]])
    assert "hyperlaw: FIT must be a fit of DataEfficiency, and HYPERPARAMETERS a fit of" in said.stderr


def test_what_is_no_fit_is_refused(tmp_path):
    (tmp_path / "runs.csv").write_text("lr,loss\n1,2\n")
    said = run(app, ["check", str(tmp_path / "runs.csv")])
    assert said.exit_code == 2
    assert "was not written by hyperlaw fit: it cannot be read as netCDF" in " ".join(said.stderr.split())


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["decide", "none.nc", "--at", "data=1e9"], "hyperlaw: there is no fit at none.nc"),
        (["decide", "none.nc", "--at", "data"], "is not NAME=VALUE"),
        (["decide", "none.nc", "--at", "data=1e9", "--at-most", "steps"], "'steps' is not NAME=VALUE"),
        (["decide", "none.nc", "--at", "data=1e9", "--at-most", "step=1"], "hyperlaw: AtMost knows no quantity 'step'"),
        (["decide", "none.nc", "--at", "data=1e9", "--risk", "brave"], "'brave' is no risk; use mean, worst, cvar:0.9"),
        (
            ["decide", "none.nc", "--at", "data=1e9", "--risk", "cvar:2"],
            "hyperlaw: risk 'cvar:2': CVaR(q) needs q strictly between",
        ),
        (["decide", "none.nc", "--at", "data=big"], "data must be a number such as 1e9, '7B' or '32k', received 'big'"),
        (["fit", "runs.csv", "--out", "x.nc", "--law", "Moore"], "hyperlaw: there is no law 'Moore'. The laws are: "),
        (["fit", "runs.csv", "--out", "x.nc", "--loss", "lost"], "hyperlaw: loss: there is no column 'lost'"),
    ],
)
def test_errors_are_plain(arguments, text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    grid().to_csv("runs.csv", index=False)
    said = run(app, arguments)
    assert said.exit_code == 2
    assert text in " ".join(said.output.replace("│", " ").split())
    assert "Traceback" not in said.output
