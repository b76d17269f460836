import json

import pytest
from conftest import grid
from typer.testing import CliRunner

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


def test_fit_a_csv(small, tmp_path):
    small.frame.drop(columns="cell").to_csv(tmp_path / "runs.csv", index=False)
    said = run(app, ["fit", str(tmp_path / "runs.csv"), "--out", str(tmp_path / "fit.nc"), "--seed", "3"])
    assert said.exit_code == 0, said.output
    assert "R-hat" in said.output
    assert (tmp_path / "fit.nc").exists()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["decide", "none.nc", "--at", "data=1e9"], "hyperlaw: there is no fit at none.nc"),
        (["decide", "none.nc", "--at", "data"], "is not NAME=VALUE"),
        (["decide", "none.nc", "--at", "data=big"], "data must be a number, received 'big'"),
        (["fit", "runs.csv", "--out", "x.nc", "--law", "Moore"], "'Moore' is no law"),
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
