"""How a law meets a table: the arrays that its model is given, whatever the kind of table."""

from typing import TypeAlias

import pandas as pd

from hyperlaw.data.runs import Runs
from hyperlaw.data.table import Table
from hyperlaw.models.design import Design, design, pivot
from hyperlaw.models.law import Law
from hyperlaw.models.points import Points, points, points_pivot

AnyDesign: TypeAlias = Design | Points


def design_of(law: Law, table: Table, observed: pd.Series | None = None) -> AnyDesign:
    """Arrays of `table` for `law`, with intercepts at `pivot_of`; `observed` marks the rows to condition on.

    Raises
    ------
    ValueError
        When the table lacks what the law needs.
    """
    if isinstance(table, Runs):
        return design(table, law.covariates, observed)
    return points(table, law, observed)


def pivot_of(law: Law, table: Table, observed: pd.Series | None = None) -> dict[str, float]:
    """Natural log of each covariate at which the law's intercepts are stated; arguments and errors as `design_of`."""
    if isinstance(table, Runs):
        return pivot(table, law.covariates, observed)
    return points_pivot(table, law, None if observed is None else observed.to_numpy(bool))
