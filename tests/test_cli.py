import json

import numpy as np
import pytest
from conftest import CHECKED, TARGET, grid
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
    short = ["--draws", "50", "--warmup", str(CHECKED["warmup"]), "--seed", "0"]
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
    assert "R-hat" in said.output
    assert " ".join(repr(fit).split()) in " ".join(said.stdout.split())
    assert hl.load_fit(tmp_path / "fit.nc").seed == fit.seed


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
