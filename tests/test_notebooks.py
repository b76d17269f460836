"""The notebooks: executed for real, kept with what they showed, and the words agree with it."""

import ast
import contextlib
import functools
import inspect
import io
import re
import runpy
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import pytest
from conftest import CHECKED, TARGET

import hyperlaw as hl

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
# Those that are executed again, by their numbers: the quickest.
AGAIN = ("04", "05", "07", "08")
MOST_BYTES = 6e6
NUMBER = r"(?<![\w.])-?\d+(?:,\d{3})*(?:\.\d+)?(?:e[+-]?\d+)?(?![\w])"
every = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path, kind="code") -> list:
    """Cells of a notebook, of one kind."""
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == kind]


def python(cell) -> str:
    """The code of a cell without IPython's own lines."""
    return re.sub(r"^%.*$", "", cell.source, flags=re.MULTILINE)


def texts(cell) -> list[str]:
    """All text that a code cell shows, plain."""
    return [output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.outputs]


def kinds(cell) -> list[tuple]:
    """What kinds of output a cell shows: streams by name, values by their types."""
    return [(output.get("name", ""), *sorted(output.get("data", {}))) for output in cell.outputs]


def numbers(text: str) -> list[float]:
    """All numbers in a text."""
    return [float(found.replace(",", "")) for found in re.findall(NUMBER, text)]


def test_there_are_eight_and_they_are_small():
    assert [path.stem[:2] for path in NOTEBOOKS] == [f"{n:02}" for n in range(1, 9)]
    assert sum(path.stat().st_size for path in NOTEBOOKS) < MOST_BYTES


@every
def test_a_notebook_says_what_it_is_for_and_when_not_to_use_it(path):
    words = [cell.source for cell in cells(path, "markdown")]
    assert words[0].startswith(f"# {path.stem[:2]} ")
    for promise in ("**What you will learn.**", "**Time.**", "**Data.**"):
        assert promise in words[0]
    assert "## What to take away" in words[-1]
    assert re.search("## When (this is )?not to", words[-1])
    every_cell = nbformat.read(path, as_version=4).cells
    assert every_cell[0].cell_type == every_cell[-1].cell_type == "markdown"


@every
def test_every_cell_was_executed_in_order_without_an_error_or_a_warning(path):
    code = cells(path)
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    for cell in code:
        last = ast.parse(python(cell)).body[-1]
        writes = re.search(r"\.(report|save)\(", cell.source)
        assert cell.outputs or writes or not isinstance(last, ast.Expr), cell.source
        shown = {output.get("name", output.output_type) for output in cell.outputs}
        assert not {"error", "stderr"} & shown, cell.source
        assert not re.search(r"(?<![\w.:/])/(home|root|tmp|usr|opt|var|Users|work)/", str(cell.outputs)), cell.source


@every
def test_numbers_in_the_words_are_those_of_the_outputs(path):
    """A number with a decimal point that stands in the words is in the code or in an output before it, rounded."""
    known: list[float] = []
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            known += numbers(cell.source) + [n for text in texts(cell) for n in numbers(text)]
            continue
        prose = re.sub(r"```.*?```|`[^`]*`|arXiv \S+|^ {4}.*?$", "", cell.source, flags=re.DOTALL | re.MULTILINE)
        for said in re.findall(r"(?<![\w.])-?\d+\.\d+(?![\w])", prose):
            places = len(said.partition(".")[2])
            assert any(abs(n - float(said)) <= 0.501 * 10**-places for n in known), (said, cell.source)


@every
def test_notebooks_call_what_there_is_with_arguments_that_it_takes(path):
    tree = ast.parse("\n".join(python(cell) for cell in cells(path)))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    named = [(ast.unparse(call.func), call) for call in calls if re.fullmatch(r"hl(\.\w+)+", ast.unparse(call.func))]
    assert len(named) > 5
    for name, call in named:
        of = functools.reduce(getattr, name.split(".")[1:], hl)
        given = [keyword.arg for keyword in call.keywords]
        if None not in given:  # **words may hold any
            inspect.signature(of).bind(*call.args, **dict.fromkeys(given))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("hyperlaw"):
            module = __import__(node.module, fromlist=["_"])
            assert all(hasattr(module, alias.name) for alias in node.names)


def test_the_first_notebook_on_a_part_of_its_sweep(small, tmp_path, monkeypatch):
    """All of its code with shorter chains, in this process."""
    sweep = hl.load_sweep("lm_adam")
    frame = sweep.frame
    large = (frame["params"] == TARGET["params"]) & (frame["data"] == TARGET["data"])
    part = sweep.where(frame.index.isin(small.frame.index) | large)
    made = hl.fit
    monkeypatch.setattr(hl, "fit", lambda law, runs, *, seed, progress: made(law, runs, seed=seed, **CHECKED))
    monkeypatch.setattr(hl, "load_sweep", lambda _: part)
    monkeypatch.chdir(tmp_path)
    namespace: dict = {}
    for cell in cells(NOTEBOOKS[0]):
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(python(cell), "cell", "exec"), namespace)
    plt.close("all")
    assert list(namespace["choice"].setting) == ["learning_rate", "batch_size"]
    assert hl.load_fit("fit.nc").runs.digest == namespace["runs"].digest != hl.load_sweep("lm_adam").digest


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("path", [p for p in NOTEBOOKS if p.stem.startswith(AGAIN)], ids=lambda path: path.stem)
def test_a_notebook_executed_again_shows_the_same(path):
    """The same kinds of output everywhere, and the same numbers where a cell says how nearly they must agree."""
    execute = runpy.run_path(str(FOLDER / "execute.py"))["execute"]
    stored, again = cells(path), [cell for cell in execute(path).cells if cell.cell_type == "code"]
    held = 0
    for before, after in zip(stored, again, strict=True):
        assert kinds(after) == kinds(before), before.source
        within = before.metadata.get("agrees_within")
        if within is not None:
            held += 1
            old, new = (numbers("\n".join(texts(cell))) for cell in (before, after))
            rounded = re.search(r"\.round\((\d)\)", before.source)  # the last place that is shown may move
            last = 1.5 * 10.0 ** -int(rounded[1]) if rounded else None
            assert new == pytest.approx(old, rel=within, abs=last), before.source
    assert held
