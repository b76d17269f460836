"""The words of the package: the same in columns, arguments, dimensions and documents."""

from collections.abc import Mapping
from typing import TypeAlias

HYPERPARAMETERS = ("learning_rate", "batch_size")
# What a run can be scaled in; of runs, the first four.
RUN_SCALES = ("params", "width", "data", "utd")
SCALES = (*RUN_SCALES, "compute", "budget")
# What a target gives: a number for each covariate (a label where those are labels), and a task.
At: TypeAlias = Mapping[str, float | str | None]
# One row of a table in the making.
Row: TypeAlias = dict[str, object]


def number(at: At, name: str) -> float:
    """What a target gives under this name, as a number; ValueError where it is none."""
    value = at[name]
    if isinstance(value, str) or value is None:
        raise ValueError(f"at[{name!r}] must be a number, received {value!r}.")
    return float(value)
