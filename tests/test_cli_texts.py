"""What the command line says: options in place of Python, exit statuses, JSON and nothing else, help and completion."""

import json
import os
import re
import subprocess
import sys

import pytest
from typer.testing import CliRunner

import hyperlaw as hl
from hyperlaw.cli import app, looking, output
from hyperlaw.cli.errors import plainly
from hyperlaw.cli.fitting import law_names
from hyperlaw.cli.wording import as_options
from hyperlaw.diagnostics import check
from hyperlaw.progress import track

run = CliRunner().invoke
VERBS = (
    "demo", "laws", "sweeps", "fit", "check", "compare", "backtest", "predict", "decide", "score", "next", "frontier"
)  # fmt: skip


@pytest.mark.parametrize(
    ("python", "words"),
    [
        ("Fit with more draws (draws=4000); if it stays", "Fit with more draws (--draws 4000); if it stays"),
        ("Fit with target_accept=0.995.", "Fit with --target-accept 0.995."),
        ("Fit hl.LossSurface(law, window=0.5).", "Fit with --window 0.5."),
        ('pass despite="reason" to decide', 'pass --despite "reason" to decide'),
        ("See its check() for what to do, or", "`hyperlaw check FIT` says what to do, or"),
        ("Check the fit (fit.check()) and", "Check the fit (hyperlaw check FIT) and"),
        ("pass data= or steps=, not both", "pass --data or --steps, not both"),
        ("pass tune_over=['wd'] to keep", "pass --tune-over wd to keep"),
        ("pass seed='my seed'.", 'pass --seed-column "my seed".'),
        ("Pass seed=0 or another integer.", "Pass --seed 0 or another integer."),
        ("give the number: params=...", "give the number: --params ..."),
        ("Pass batch_unit=<tokens in a sequence>, or", "Pass --batch-unit <tokens in a sequence>, or"),
        ("such as estimated=('learning_rate',).", "such as --estimated learning_rate."),
        ("leave_out='scale' refits", "--leave-out scale refits"),
        ("at['params'] must be", "--at params must be"),
        ("Pass one of them, or None for a new task", 'Pass one of them, or --at "task=" for a new task'),
        ("under hl.Mean() or hl.CVaR(q) alone", "under mean or cvar:q alone"),
        ("hl.next_runs says which", "hyperlaw next says which"),
        ("Save one with fit.save('a b.nc').", "Write one with hyperlaw fit TABLE --out a b.nc."),
        ("Chance(diverge, at_most=0.05)", "Chance(diverge, at_most=0.05)"),  # what it is called, no advice
        ("set learning_rate = 0.001", "set learning_rate = 0.001"),
        ("df['error'] = 1 - df[name]", "df['error'] = 1 - df[name]"),
    ],
)
def test_python_becomes_options(python, words):
    assert as_options(python) == words


PYTHON = re.compile(r"\b(hl|fit|runs|az)\.\w|\b\w+=[^=]")


def test_advice_of_checks_is_free_of_python():
    specs = [*check.SAMPLER, *check.SWEEP, check.PSIS, check.SWAYING, check.RUNS_INSIDE, check.DIVERGED,
             check.VALUES_INSIDE]  # fmt: skip
    assert sum(bool(PYTHON.search(spec.advice)) for spec in specs) > 8
    for spec in specs:
        said = as_options(spec.advice).replace("hl.sensitivity (in Python)", "")
        assert not PYTHON.search(said), said


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ValueError("no"), 2), (TypeError("no"), 2), (FileNotFoundError("no"), 2), (PermissionError("no"), 2),
        (EOFError("no"), 2), (RuntimeError("no"), 1), (ImportError("no"), 3),
    ],
)  # fmt: skip
def test_exit_statuses(error, status, monkeypatch):
    def fail():
        raise error

    monkeypatch.setattr(hl.laws, "table", fail)
    said = run(app, ["laws"])
    assert said.exit_code == status
    assert said.stderr == "hyperlaw: no\n"
    assert said.stdout == ""


def test_a_fault_of_the_package_is_no_fault_of_the_user(monkeypatch):
    """It keeps its traceback; so does a reader that has seen enough."""
    for error in (KeyError("x"), BrokenPipeError()):
        with pytest.raises(type(error)):
            plainly(lambda error=error: (_ for _ in ()).throw(error))()


def test_help_says_the_exit_statuses_and_no_emoji():
    said = run(app, ["--help"]).output
    for verb in VERBS:
        assert re.search(rf"^  {verb} ", said, re.MULTILINE), verb
    assert "1  a check of the fit failed" in said
    assert "3  something is not installed" in said
    assert "--install-completion" in said
    said = run(app, ["decide", "--help"]).output
    assert "entropic:A," in said


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_prints_json(verb):
    assert "--json" in run(app, [verb, "--help"]).output


def test_laws_and_sweeps_within_the_width(monkeypatch):
    for columns in (100, 80):
        monkeypatch.setenv("COLUMNS", str(columns))
        for verb, name in (("laws", "StepLaw: "), ("sweeps", "lm_adam: ")):
            said = run(app, [verb])
            assert said.exit_code == 0
            assert name in said.stdout
            assert max(map(len, said.stdout.splitlines())) <= columns


def test_laws_and_sweeps_as_json():
    laws = json.loads(run(app, ["laws", "--json"]).stdout)
    assert {"law", "says", "predicts", "fitted to", "needs"} == set(laws[0])
    assert [one["law"] for one in laws] == list(hl.laws.table().index)
    sweeps = json.loads(run(app, ["sweeps", "--json"]).stdout)
    assert [one["name"] for one in sweeps] == list(hl.sweeps().index)


def test_completion_of_laws():
    assert law_names("Step") == ["StepLaw", "StepsExamples", "StepsSmallBatch"]
    asked = {"_HYPERLAW_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "hyperlaw fit sweep.csv --law TimeT"}
    said = subprocess.run(
        [sys.executable, "-c", "from hyperlaw.cli import app; app(prog_name='hyperlaw')"],
        env=os.environ | asked, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "TimeTransfer" in said.stdout


def test_as_a_module():
    said = subprocess.run([sys.executable, "-m", "hyperlaw", "--version"], capture_output=True, text=True, check=True)
    assert said.stdout == f"hyperlaw {hl.__version__}\n"


def test_demo_as_json(monkeypatch, choice, tmp_path):
    """What it tells on the way goes to standard error."""
    asked = {}
    monkeypatch.setattr("hyperlaw.demo.demo", lambda folder, seed, stderr: asked.update(stderr=stderr) or choice)
    said = run(app, ["demo", "--folder", str(tmp_path / "new"), "--json"])
    assert json.loads(said.stdout)["setting"] == choice.setting
    assert asked == {"stderr": True}


def test_width_is_that_of_the_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    assert output.width() == output.WIDEST
    monkeypatch.setenv("COLUMNS", "90")
    assert output.width() == 90


def test_a_seed_is_a_number():
    assert looking._seed("3") == 3


def test_progress_is_on_standard_error(capsys):
    assert list(track(range(3), "counting")) == [0, 1, 2]
    told = capsys.readouterr()
    assert told.out == ""
    assert "counting" in told.err
