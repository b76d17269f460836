"""Whatever is handed in, by whatever door: exactly the numbers that went in, or a short refusal in words.

`make fuzz` runs ten times as many tables as the first test here. What was ever found stands below as a plain case.
"""

import datetime
import re
import tempfile
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from honest_tables import READERS, Case, honest
from hostile_changes import DTYPES
from hostile_tables import DOORS, cases, outcome
from hypothesis import HealthCheck, given, settings

import hyperlaw as hl
from hyperlaw.quote import quote

TABLES = 1000


@settings(
    max_examples=TABLES, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)  # fmt: skip
@given(cases())
def test_a_table_is_taken_exactly_or_refused_in_words(case):
    with tempfile.TemporaryDirectory() as folder:
        assert outcome(case, Path(folder)) in ("taken", "refused", "not made")


@pytest.mark.parametrize("kind", READERS)
def test_an_honest_table_is_taken_by_every_door(kind, tmp_path):
    doors = [name for name in DOORS if outcome(Case(kind, honest(kind), door=name), tmp_path) == "taken"]
    assert {"frame", "dict of lists", "list of dicts", "Arrow table", "csv", "json", "json lines", "parquet"} <= {
        *doors
    }


def test_the_oracle_sees_what_was_taken_wrong(tmp_path, monkeypatch):
    class Wrong(hl.Curves):
        @classmethod
        def from_frame(cls, frame, **words):
            return hl.Curves.from_frame(frame.assign(data=frame["data"] + 1), **words)

    monkeypatch.setitem(READERS, "curves", Wrong)
    assert outcome(Case("curves", honest("curves")), tmp_path) == "wrong: data 1000 became 1001.0"
    monkeypatch.setitem(READERS, "curves", int)
    assert outcome(Case("curves", honest("curves")), tmp_path).startswith("traceback: AttributeError")


def one(kind, column, value, row=0):
    """An honest table with another value in one cell."""
    frame = honest(kind)
    cells = frame[column].astype(object).tolist()
    cells[row] = value
    held = pd.Series(index=frame.index, dtype=object)
    for i, cell in enumerate(cells):
        held.iat[i] = cell
    return frame.assign(**{column: held})


def text(content):
    """A file with this content."""
    path = Path(tempfile.mkdtemp()) / "table"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def tasks(first, second):
    frame = honest("steps_to_loss")
    return frame.assign(task=[first if task == "first" else second for task in frame["task"]])


CROSSINGS, OPTIMA, CURVES, RUNS, STEPS = hl.Crossings, hl.Optima, hl.Curves, hl.Runs, hl.StepsToLoss
# What was taken wrong, or ended inside a library, when it was first tried.
FOUND = {
    "Arrow's booleans": (
        lambda: RUNS.from_frame(honest("runs").assign(params=DTYPES["Arrow's booleans"][1](honest("runs")["data"]))),
        "column 'params' must hold numbers, but holds true or false in 48 rows: 0 (False)",
    ),
    "a timestamp": (
        lambda: OPTIMA.from_frame(one("optima", "learning_rate", pd.Timestamp("2024-01-02"))),
        "column 'learning_rate' must hold numbers, but holds dates in 1 row: 0 (Timestamp('2024-01-02 00:00:00')).",
    ),
    "a period": (
        lambda: RUNS.from_frame(one("runs", "data", pd.Period("2024-01"))),
        "column 'data' must hold numbers, but holds values of type Period in 1 row: 0 (Period('2024-01', 'M')).",
    ),
    "complex without an imaginary part": (
        lambda: RUNS.from_frame(one("runs", "learning_rate", np.complex64(1e-3))),
        "column 'learning_rate' must hold numbers, but holds complex numbers in 1 row",
    ),
    "an array of no dimension": (
        lambda: CURVES.from_frame(one("curves", "utd", np.array(1.0))),
        "column 'utd' must hold numbers, but holds values of type ndarray in 1 row: 0 (array(1.)).",
    ),
    "an integer too large for a float": (
        lambda: RUNS.from_frame(one("runs", "params", 10**400)),
        "column 'params' must hold numbers, but holds what is no number in 1 row: 0 (1000",
    ),
    "a signalling decimal": (
        lambda: STEPS.from_frame(one("steps_to_loss", "batch_size", Decimal("sNaN"))),
        "column 'batch_size' must hold numbers, but holds what is no number in 1 row: 0 (Decimal('sNaN')).",
    ),
    "5,000 characters in a cell": (
        lambda: CROSSINGS.from_frame(one("crossings", "error", "x" * 5000)),
        f"column 'error' must hold numbers, but holds text in 1 row: 0 ('{'x' * 56}...{'x' * 19}').",
    ),
    "a number too large for a float as an argument": (
        lambda: CURVES.from_frame(honest("curves"), utd=10**400),
        "utd must be a number, received 1000",
    ),
    "a boolean of NumPy as an argument": (
        lambda: OPTIMA.from_frame(honest("optima"), batch_size=np.bool_(False)),
        "batch_size must be the name of a column or one number for every row, received bool.",
    ),
    "a dict of uneven lists": (
        lambda: RUNS.from_frame({"loss": [1.0, 2.0], "data": [1.0]}),
        "a dict of lists cannot be read as a table: All arrays must be of the same length. A table has a name for",
    ),
    "a type that pandas has not": (
        lambda: RUNS.from_frame(
            pa.Table.from_pandas(
                honest("runs").assign(loss=DTYPES["Arrow's lists"][1](honest("runs")["loss"]))
            )
        ),
        "a Table cannot be read as a table: data type 'list<item: double>[pyarrow]' not understood.",
    ),
    "columns of two levels": (
        lambda: RUNS.from_frame(honest("runs").set_axis(pd.MultiIndex.from_product([["a"], honest("runs")]), axis=1)),
        "the columns have 2 levels of names, such as ('a', 'task'). Give each one name: df.columns = ",
    ),
    "text of a table for a path": (
        lambda: RUNS.from_frame(honest("runs").to_csv()),
        "there is no file ,task,params,data,batch_size",
    ),
    "a path with a NUL": (lambda: RUNS.from_frame("a\x00b"), r"there is no file a\x00b to read. Give the path of a"),
    "a CSV with a second loss": (
        lambda: RUNS.from_csv(text("loss,loss\n1,2\n"), learning_rate=1e-3, batch_size=32),
        "loss: the table has 2 columns named 'loss'. Keep one of them.",
    ),
    "a row that is too long": (
        lambda: RUNS.from_csv(text("loss,data\n1,2\n1,2,3\n")),
        "has 2 names of columns, but 3 values in a row, that of '1'. Name every column, and put text that",
    ),
    "a column more in every row": (
        lambda: RUNS.from_csv(text("learning_rate,batch_size,loss\n" + "9,1e-3,32,3.1\n" * 3)),
        "has 3 names of columns, but 4 values in a row, that of '9'.",
    ),
    "an open quote": (
        lambda: RUNS.from_csv(text('loss,data\n1,2\n"1,')),
        "cannot be read as a table: Error tokenizing data. C error: EOF inside string starting at row 2.",
    ),
    "two values of one name in JSON": (
        lambda: RUNS.from_frame(text('[{"loss": 1, "loss": 2}]')),
        "has an object with two values named 'loss'. Keep one of them.",
    ),
    "JSON that is nested too deep": (
        lambda: RUNS.from_frame(text("[" * 100_000)),
        "is JSON, but no table: it is nested too deep. Write one object a line.",
    ),
    "NUL in a file": (lambda: RUNS.from_csv(text(b"loss\n1\x00\n")), "is no text: it holds NUL characters."),
    "Parquet that is cut off": (
        lambda: RUNS.from_parquet(text(b"PAR1 and no more")),
        "is damaged or cut off: Could not open Parquet input source '<Buffer>': Parque",
    ),
    "contradictory optima": (
        lambda: OPTIMA.from_frame(pd.concat([honest("optima"), honest("optima").head(1).assign(learning_rate=1.0)])),
        "2 rows repeat another (task, params, data all equal), first rows 0, 8: a cell counts once.",
    ),
    "contradictory crossings": (
        lambda: CROSSINGS.from_frame(pd.concat([honest("crossings"), honest("crossings").head(1).assign(data=2e5)])),
        "2 rows repeat another (task, utd, threshold all equal), first rows 0, 12: a crossing counts once.",
    ),
    "a task of bytes": (
        lambda: STEPS.from_frame(tasks(b"a", b"b")),
        "column 'task' must hold names, as text or numbers, but holds values of type bytes in 12 rows: 0 (b'a')",
    ),
    "a task with a NUL": (
        lambda: STEPS.from_frame(tasks("a\x00", "b")),
        r"column 'task' must hold names of one line and at most 200 characters, but does not in 6 rows: 0 ('a\x00')",
    ),
    "a task that is half a character": (
        lambda: STEPS.from_frame(one("steps_to_loss", "task", "\ud800")),
        r"column 'task' must hold names of one line and at most 200 characters, but does not in 1 row: 0 ('\ud800')",
    ),
    "a task of 5,000 characters": (
        lambda: STEPS.from_frame(tasks("x" * 5000, "b")),
        "Shorten them and take line breaks and control characters out, such as df[name].str.slice(0, 40).",
    ),
    "a column with a line break in its name": (
        lambda: CURVES.from_frame(honest("curves").rename(columns={"data": "a\nb"})),
        r"The columns are: task, utd, seed, a\nb, performance.",
    ),
    "half of the batches in sequences": (
        lambda: RUNS.from_frame(
            honest("runs").assign(
                data=lambda f: f["data"] * 100,
                batch_size=lambda f: f["batch_size"].where(f["task"] == "first", f["batch_size"] * 2048),
            )
        ),
        "some look like sequences, some like tokens. Give all in one unit, or pass batch_unit=1",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FOUND, ids=str)
def test_what_was_found_is_refused_in_words(case):
    make, said = FOUND[case]
    with pytest.raises((ValueError, TypeError, FileNotFoundError), match=re.escape(said)) as refusal:
        make()
    assert len(str(refusal.value)) < 1200
    assert str(refusal.value).isprintable()


def test_labels_keep_their_zeros_in_files():
    """As numbers, 01 and 1 would be one task, and 1.0 and 1.00 too."""
    for first, second in (("01", "1"), ("1.0", "1.00"), ("1e3", "1000")):
        frame = tasks(first, second)
        assert STEPS.from_csv(text(frame.to_csv(index=False))).tasks == tuple(sorted((first, second)))


def test_numbers_of_files_are_those_that_were_written():
    frame = honest("curves").assign(performance=np.random.default_rng(0).lognormal(0, 30, 40))
    assert (CURVES.from_csv(text(frame.to_csv(index=False))).frame["performance"] == frame["performance"]).all()


def test_seeds_too_large_for_a_float_stay_apart():
    for low, high in ((2**60, 2**60 + 1), (np.uint64(2**63), np.uint64(2**63 + 1)), (10**100, 10**100 + 1)):
        frame = honest("curves")
        frame["seed"] = pd.Series([low if seed == 0 else high for seed in frame["seed"]], dtype=object)
        assert CURVES.from_frame(frame).frame["seed"].nunique() == 2


def test_tasks_may_be_numbers_or_days():
    assert STEPS.from_frame(tasks(1, 2)).tasks == ("1", "2")
    assert STEPS.from_frame(tasks(datetime.date(2024, 1, 1), "b")).tasks == ("2024-01-01", "b")


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("keep", ["False", 0, 1.0], ids=str)
def test_where_takes_true_and_false_alone(kind, keep):
    table = READERS[kind].from_frame(honest(kind))
    with pytest.raises(
        ValueError, match=f"keep must hold true or false in every row, received values such as {keep!r}"
    ):
        table.where(pd.Series(keep, table.frame.index, dtype=object))


@pytest.mark.parametrize("kind", READERS)
def test_the_order_of_rows_changes_no_digest(kind):
    frame = honest(kind)
    shuffled = READERS[kind].from_frame(frame.sample(frac=1, random_state=1, ignore_index=True))
    assert shuffled.digest == READERS[kind].from_frame(frame).digest
    assert shuffled.digest_in_order != READERS[kind].from_frame(frame).digest_in_order


def test_names_of_seeds_and_runs_have_no_order_either():
    frame = honest("curves").assign(seed=lambda table: table["seed"].map({0: "b", 1: "a"}))
    assert CURVES.from_frame(frame).digest == CURVES.from_frame(frame.iloc[::-1]).digest


class TestShown:
    def test_a_short_value_is_as_python_writes_it(self):
        assert quote("a'b") == '"a\'b"'
        assert quote(0.1) == "0.1"

    def test_a_long_one_is_cut_in_the_middle(self):
        assert quote("x" * 5000) == f"'{'x' * 56}...{'x' * 19}'"
        assert len(quote(np.arange(10**4))) <= 80

    def test_it_is_one_printable_line(self):
        assert quote(np.eye(2)) == "array([[1., 0.], [0., 1.]])"
        assert quote("a\x00\ud800\n") == r"'a\x00\ud800\n'"

    def test_of_what_cannot_be_written_it_says_the_type(self):
        assert quote(10**5000) == "<int>"
