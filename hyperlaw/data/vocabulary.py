"""The words of the package: the same in columns, arguments, dimensions and documents."""

from collections.abc import Mapping
from typing import TypeAlias

from hyperlaw.data.numerals import as_number
from hyperlaw.quote import quote

HYPERPARAMETERS = ("learning_rate", "batch_size")
# What a run can be scaled in; of runs, the first four.
RUN_SCALES = ("params", "width", "data", "utd")
SCALES = (*RUN_SCALES, "compute", "budget")
# What is counted, and so may be written as 7B or 32k.
COUNTS = ("params", "width", "data", "batch_size", "small_batch", "big_batch", "steps", "compute", "budget")
# What a target gives: a number for each covariate (a label where those are labels), and a task.
At: TypeAlias = Mapping[str, float | str | None]
# One row of a table in the making.
Row: TypeAlias = dict[str, object]


def with_unit(value: str, unit: str) -> str:
    """A loss, written with its unit: "0.002 nats", "0.002 (error rate)"."""
    return f"{value} {unit}" if unit.split()[0] in ("nats", "bits") else f"{value} ({unit})"


def number(at: At, name: str) -> float:
    """What a target gives under this name, as a number; ValueError where it is none."""
    return as_number(at[name], f"at[{quote(name)}]", count=name in COUNTS)
