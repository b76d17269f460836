"""The notebooks: run for real, and shown to show what they are for."""

import ast
import contextlib
import functools
import inspect
import io
import re
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import pandas as pd
import pytest
from conftest import CHECKED, TARGET
from nbclient import NotebookClient

import hyperlaw as hl

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
# What the output of a cell must hold, by the start of the cell's last line: the text it shows, or a picture.
PICTURE = "image/png"
SHOWS = {
    "01_from_sweep_to_setting": {
        "law.parameters[": ["exponent_data", "Normal", "pooled over"],
        "hl.prior_predict(": ["prior_lower", "prior_median", "lowest_seen"],
        "fit.check()": ["R-hat, largest", "PASS"],
        "az.plot_dist(": [PICTURE],
        "comparison.table": ["predicts a left-out run better than", "elpd_diff", "StepLaw", "TimeTransfer"],
        "choice.table": ["set learning_rate = ", "With 90 % probability", "recommended", "reuse_best", "regret_mean"],
        "choice.intervals": ["learning_rate", "batch_size", "lower", "median", "upper"],
        "choice.plot()": [PICTURE],
        "choice.safe_set(": ["learning_rate", "batch_size", "min", "max"],
        "against(": ["measured", "inside", "learning_rate", "regret"],
        "print(f\"nearest measured": [r"nats above the best; reusing the small runs' best: \d\.\d{4}"],
        "hl.load_fit(": ["Fit of StepLaw"],
    },
    "02_compare_laws": {
        "{name: fit.check()": ["StepLaw", "TimeTransfer"],
        "hl.plots.losses(": [PICTURE],
        "hl.plots.surface(": [PICTURE],
        "by_run.table": ["predicts a left-out run better than", "elpd_diff", "dse", "weight"],
        "az.plot_compare(": [PICTURE],
        "by_scale.by_group": ["predicts the runs of the next larger scale better than", "params .*data"],
        "by_task.table": ["predicts the runs of a left-out task better than", "Surge", "NoiseScale", "BrokenPower"],
        "hl.plots.values(": [PICTURE],
        "      f\"P(falls)": [r"slope [+-]\d\.\d\d, 90 % [+-]\d\.\d\d to [+-]\d\.\d\d; P\(falls\) \d\.\d{3}"],
        "hl.sensitivity(": ["prior", "likelihood", "diagnosis", "ridge_large_batch"],
    },
    "03_decide": {
        "pd.DataFrame({name: choice": ["mean", "CVaR", "entropic", "worst case", "learning_rate", "regret_mean"],
        "choice.plot()": ["set learning_rate = ", PICTURE],
        "bound.table": ["'batch_size': ", "recommended", "regret_mean"],
        "choice.score(": ["plan", "recommended", "reuse_best", "step_law_formula", "p_within"],
        "both.laws": ["StepLaw", "TimeTransfer", "weight"],
        "{name: round(": [r"'chosen': \d\.", r"'constrained': \d\.", r"'both laws': \d\.", r"'plan': \d\."],
    },
    "04_value_rl": {
        "crossings": [r"Crossings: \d+ \(\d+ never reached\)"],
        "best.frame.pivot_table(": ["CartPole-v1", "Catch-bsuite", "FourRooms-misc", "Pendulum-v1"],
        "{name: fit.check()": ["efficiency", "hyperparameters"],
        "           for name, names": ["exponent_utd", "rate_exponent_utd"],
        "hl.plots.values(fits[\"efficiency\"])": [PICTURE],
        "hl.plots.values(fits[\"hyperparameters\"])": [PICTURE],
        "frontier.plot()": [PICTURE],
        "frontier.table.xs(": ["p_bound", "lower", "median", "upper"],
        "choice.table": ["'utd': ", "'batch_size': ", "'learning_rate': "],
        "withheld[[": ["reached", "lower", "median", "upper", "0.05", "0.125"],
    },
}  # fmt: skip
# A law that is compared with itself has no standard error; an environment may never reach a performance.
MAY_LACK = {"comparison.table", "by_run.table", "by_task.table", "best.frame.pivot_table(", "withheld[["}


def code(path) -> list:
    """Code cells of a notebook."""
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def test_every_notebook_is_asked_what_it_shows():
    assert [path.stem for path in NOTEBOOKS] == list(SHOWS)
    for path in NOTEBOOKS:
        last = [cell.source.splitlines()[-1] for cell in code(path)]
        for start in SHOWS[path.stem]:
            assert sum(line.startswith(start) for line in last) == 1, (path.stem, start)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.name)
def test_notebooks_are_kept_without_outputs(path):
    assert not any(cell.outputs or cell.execution_count for cell in code(path))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.name)
def test_notebooks_call_what_there_is_with_arguments_that_it_takes(path):
    tree = ast.parse("\n".join(re.sub(r"^%.*$", "", cell.source, flags=re.MULTILINE) for cell in code(path)))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    named = [(ast.unparse(call.func), call) for call in calls if re.fullmatch(r"hl(\.\w+)+", ast.unparse(call.func))]
    assert len(named) > 5
    for name, call in named:
        of = functools.reduce(getattr, name.split(".")[1:], hl)
        inspect.signature(of).bind(*call.args, **{keyword.arg: None for keyword in call.keywords if keyword.arg})
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("hyperlaw"):
            module = __import__(node.module, fromlist=["_"])
            assert all(hasattr(module, alias.name) for alias in node.names)


def holds(stem, cells, may_lack=MAY_LACK) -> None:
    """What cells show, by their last line, is what they are for."""
    for start, patterns in SHOWS[stem].items():
        (text,) = (text for line, text in cells.items() if line.startswith(start))
        for pattern in patterns:
            assert re.search(pattern, text, re.DOTALL), (start, pattern, text[:2000])
        assert not re.search(r"\bnan\b", text, re.IGNORECASE) or start in may_lack, (start, text[:2000])


def test_the_first_notebook_on_a_part_of_its_sweep(small, once, tmp_path, monkeypatch):
    """All of its code with shorter chains, in this process."""
    sweep = hl.load_sweep("lm_adam")
    frame = sweep.frame
    large = (frame["params"] == TARGET["params"]) & (frame["data"] == TARGET["data"])
    part = sweep.where(frame.index.isin(small.frame.index) | large)
    made = hl.fit

    def quickly(law, runs, *, seed, priors=None, progress):
        if law == hl.laws.TimeTransfer():
            return once("transfer", lambda: made(law, small, seed=0, **CHECKED))
        return made(law, runs, seed=seed, priors=priors, **CHECKED)

    monkeypatch.setattr(hl, "fit", quickly)
    monkeypatch.setattr(hl, "load_sweep", lambda _: part)
    monkeypatch.chdir(tmp_path)
    namespace, cells = {}, {}
    for cell in code(NOTEBOOKS[0]):
        *body, last = ast.parse(cell.source).body
        said, value = io.StringIO(), None
        with contextlib.redirect_stdout(said):
            if isinstance(last, ast.Expr):
                exec(compile(ast.Module(body, []), "cell", "exec"), namespace)
                value = eval(compile(ast.Expression(last.value), "cell", "eval"), namespace)
            else:
                exec(compile(cell.source, "cell", "exec"), namespace)
        if hasattr(value, "savefig"):
            value.savefig(tmp_path / "figure.png")
            said.write(PICTURE)
        said.write(value.to_string() if isinstance(value, pd.DataFrame) else repr(value))
        cells[cell.source.splitlines()[-1]] = said.getvalue()
    plt.close("all")
    # Of so few runs no setting is that safe.
    holds(NOTEBOOKS[0].stem, cells, MAY_LACK | {"choice.safe_set("})


def shown(cell) -> str:
    """All that a cell shows, as text; pictures by their type."""
    texts = [output.get("text", "") for output in cell.outputs]
    for output in cell.outputs:
        data = output.get("data", {})
        texts += [data.get("text/plain", ""), data.get("text/html", ""), *(kind for kind in data if kind == PICTURE)]
    return "\n".join(texts)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.name)
def test_notebook_shows_what_it_is_for(path, tmp_path):
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=1200, resources={"metadata": {"path": str(tmp_path)}}).execute()
    cells = {cell.source.splitlines()[-1]: shown(cell) for cell in notebook.cells if cell.cell_type == "code"}
    holds(path.stem, cells)
