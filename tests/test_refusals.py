"""What an error quotes of its input is cut and on one line, wherever it came in."""

import ast
from pathlib import Path

import numpy as np
import numpyro.distributions as dist
import pytest
from decisions import AT, made, questions
from honest_tables import READERS, honest
from hostile_tables import LONGEST
from made_fit import REASON

import hyperlaw as hl
from hyperlaw.quote import one_line, path_line, quote, some_of
from hyperlaw.whole_file import write_whole

PACKAGE = Path(hl.__file__).parent
LONG = "$\x00\n\u202e" + "x" * 5000


def quotes_raw(node):
    """Whether an expression writes a value as Python does, however long that is."""
    parts = list(ast.walk(node))
    return any(isinstance(part, ast.FormattedValue) and part.conversion != -1 for part in parts) or any(
        isinstance(part, ast.Name) and part.id == "repr" for part in parts
    )


@pytest.mark.parametrize("file", sorted(PACKAGE.rglob("*.py")), ids=lambda file: str(file.relative_to(PACKAGE)))
def test_no_error_quotes_a_value_uncut(file):
    tree = ast.parse(file.read_text())
    assert not [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Raise) and quotes_raw(node)]


def test_what_quotes_uncut_is_seen():
    assert quotes_raw(ast.parse("raise ValueError(f'received {name!r}')"))
    assert quotes_raw(ast.parse("raise ValueError(', '.join(map(repr, names)))"))
    assert not quotes_raw(ast.parse("raise ValueError(f'received {quote(name)}')"))


def runs():
    return made()["StepLaw"].runs


def step():
    return made()["StepLaw"]


def ask(name, **given):
    return questions(made())[name](despite=REASON, **given)


CALLS = {
    "a path of a table": lambda: hl.Runs.from_csv(LONG),
    "a path of a fit": lambda: hl.load_fit(LONG),
    "a path to write": lambda: write_whole(Path("x" * 5000), b""),
    "a folder of logs": lambda: hl.Runs.from_tensorboard(LONG),
    "a unit of batches": lambda: hl.Runs.from_frame(honest("runs"), batch_unit=LONG),
    "a name of a sweep": lambda: hl.load_sweep(LONG),
    "a law": lambda: hl.fit(LONG, runs(), seed=0),
    "a seed": lambda: hl.fit("StepLaw", runs(), seed=LONG),
    "a prior's name": lambda: hl.fit("StepLaw", runs(), seed=0, priors={LONG: dist.Normal()}),
    "a prior": lambda: hl.fit("StepLaw", runs(), seed=0, priors={"exponent_data": LONG}),
    "a prior of many numbers": lambda: hl.fit(
        "StepLaw", runs(), seed=0, priors={"exponent_data": dist.Normal(np.zeros(5000))}
    ),
    "a pooling": lambda: hl.laws.StepLaw(pooling={"exponent_data": LONG}),
    "covariates": lambda: hl.laws.StepLaw(over=(LONG,)),
    "many fits": lambda: hl.fit_many("StepLaw", {LONG: LONG}, seed=0),
    "a name in a target": lambda: step().predict({LONG: 1.0}),
    "a scale of a target": lambda: step().predict(AT | {"data": LONG}),
    "a task of a target": lambda: step().predict(AT | {"task": LONG}),
    "candidates": lambda: step().predict(AT, {LONG: [1.0]}),
    "candidates' values": lambda: step().predict(AT, {"learning_rate": -np.ones(5000), "batch_size": np.ones(5000)}),
    "a task of an equation": lambda: step().equation(task=LONG),
    "a format of an equation": lambda: step().equation(LONG),
    "a risk": lambda: ask("decide", risk=LONG),
    "a constraint": lambda: ask("decide", subject_to=[LONG]),
    "weights": lambda: ask("decide, equal weights", weights=LONG),
    "a fit's name": lambda: hl.decide({LONG: step()}, AT, risk="mean"),
    "a report": lambda: ask("decide").report(LONG),
    "a report's folder": lambda: ask("decide").report(f"{LONG}/choice.html"),
    "a plan": lambda: ask("decide").score({LONG: 1.0}),
    "a quantity": lambda: hl.AtMost(LONG, 1.0),
    "a bound": lambda: hl.AtMost("steps", LONG),
    "an event": lambda: hl.Chance(LONG, at_most=0.1),
    "a hyperparameter": lambda: hl.OneOf(LONG, multiples_of=2),
    "values": lambda: hl.OneOf("batch_size", values=[-1] * 5000),
    "a cost": lambda: ask("next_runs", cost=LONG),
    "costs": lambda: ask("next_runs", cost=[1.0] * 5000),
    "how many runs": lambda: ask("next_runs", n=LONG),
    "a batch size": lambda: ask("schedule", batch_size=LONG),
    "a task of a frontier": lambda: ask("frontier", task=LONG),
    "a ratio": lambda: ask("frontier", utd=(LONG, LONG)),
    "a price of an update": lambda: hl.Budget(delta=1.0, flops_per_update=LONG),
    "what a price returns": lambda: ask(
        "frontier", cost=hl.Budget(delta=1.0, flops_per_update=lambda params, batch_size: LONG)
    ),
    "a price": lambda: ask("trade_off", price_of_step=LONG),
    "what is left out": lambda: hl.compare(made(), leave_out=LONG, seed=0),
    "what is withheld": lambda: hl.backtest({"law": hl.laws.StepLaw()}, runs(), seed=0, hold_out=LONG),
    "how many simulations": lambda: hl.calibrate(hl.laws.StepLaw(), runs(), seed=0, simulations=LONG),
    "what is sensitive": lambda: hl.sensitivity(step(), quantity=LONG),
    "draws of a picture": lambda: hl.plots.losses(step(), group=LONG),
    "a cell": lambda: hl.plots.surface(step(), cell=LONG),
    "a reference": lambda: hl.critical_batch_size(1e3, to_overhead=0.2, to_reference=LONG),
    "an optimizer": lambda: hl.peak_learning_rate(1e3, 1e-3, 64, optimizer=LONG),
    "a scale of tasks": lambda: hl.Optima.from_frame(honest("optima")).as_tasks(LONG),
    "a width of a window": lambda: hl.LossSurface(hl.laws.StepLaw(), window=LONG),
} | {
    f"a column of {kind}": lambda kind=kind: READERS[kind].from_frame(honest(kind), task=LONG) for kind in READERS
}  # fmt: skip


@pytest.mark.parametrize("call", CALLS)
def test_a_long_value_is_refused_briefly(call):
    with pytest.raises((ValueError, TypeError, FileNotFoundError, OSError, RuntimeError)) as refused:
        CALLS[call]()
    said = str(refused.value)
    assert len(said) <= LONGEST, said[:LONGEST]
    assert said.isprintable(), said
    last = refused.traceback[-1].path
    assert Path(last).is_relative_to(PACKAGE), f"{last}: {said}"


class TestWords:
    def test_a_text_keeps_its_letters(self):
        assert one_line("é\n a\x00\u202e") == r"é a\x00\u202e"
        assert one_line(Path("a b")) == "a b"

    def test_it_is_cut_in_the_middle(self):
        assert one_line("x" * 5000, 20) == f"{'x' * 12}...{'x' * 5}"
        assert one_line("x" * 20, 20) == "x" * 20
        assert len(path_line("x" * 5000)) == 200
        assert len(quote("\x00" * 5000)) == 80

    def test_names_in_a_row_are_few_and_short(self):
        assert some_of([]) == "none"
        assert some_of(["a", 1, None]) == "a, 1, None"
        assert some_of(range(30), most=3) == "0, 1, 2, ..."
        assert len(some_of("x" * 5000 for _ in range(20))) < 450
