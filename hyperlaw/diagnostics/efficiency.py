"""`efficiency`: exponent, offset and least data of each performance, as value-based RL states them.

    D_J(sigma) = D_min,J + (beta_J / sigma)^alpha_J                     (Rybkin et al. 2025, arXiv 2502.04327)

beta_J depends on the unit of the data: k D has k^(1/alpha_J) beta_J. The paper counts data in units of an environment's
median over all ratios and performances, and then beta_J is a ratio. Its plots write c (1 + (sigma/b)^-a) for fits of
c + (sigma/b)^-a: b in them is beta_J, and not the ratio at which data double. That one is free of units:

    doubling_utd = beta_J D_min,J^(-1/alpha_J):   there data are twice the least.

All are those of the law at the pivot; what its exponent drifts by is left out, as in the paper.
"""

import jax
import numpy as np
import pandas as pd

from hyperlaw.data.numerals import as_number
from hyperlaw.inference.cells import new_rows
from hyperlaw.inference.posterior import Posterior
from hyperlaw.intervals import ENDS, interval_columns
from hyperlaw.models.laws.data_efficiency import DataEfficiency
from hyperlaw.quote import quote


def efficiency(fit: Posterior, *, data_unit: float | None = None) -> pd.DataFrame:
    """Exponent alpha_J, offset beta_J and least data D_min,J of every task and threshold that was fitted.

    Parameters
    ----------
    fit
        A fit of `DataEfficiency`, `DataEfficiencyByThreshold` or `DataEfficiencyBySize` to `Crossings`.
    data_unit
        What data are counted in for beta_J, environment steps. Left out, the median of the task's crossings that were
        reached, as in the paper: the column `data_unit` says it.

    Returns
    -------
    DataFrame
        Index `task, threshold, quantity`; columns `lower, median, upper` (90 %, equal-tailed) and `data_unit`. Rows
        `exponent_utd` (alpha_J), `offset_utd` (beta_J: the ratio at which more updates could still save one unit of
        data), `least_data` (D_min,J, environment steps) and `doubling_utd` (the ratio at which data are twice the
        least). Where the law knows the critic's parameters, the least is that of endless parameters too.

    Raises
    ------
    TypeError
        When the fit is not of such a law.
    ValueError
        When the unit is not a finite number above zero.
    """
    law = getattr(fit, "law", None)
    if not isinstance(law, DataEfficiency):
        received = quote(fit) if law is None else f"one of {law.name}"
        raise TypeError(f"efficiency needs a fit of DataEfficiency, by threshold or by size; received {received}.")
    unit = None if data_unit is None else as_number(data_unit, "data_unit", count=True)
    if unit is not None and not (np.isfinite(unit) and unit > 0):
        raise ValueError(
            f"data_unit must be a finite number of environment steps above zero, received {quote(data_unit)}. Leave it "
            "out for each task's median."
        )
    frame = fit.table.frame
    rows = frame[["task", "threshold"]].drop_duplicates().sort_values(["task", "threshold"], ignore_index=True)
    pivot = {name: np.exp(fit.pivot[name]) for name in law.logged}
    median = frame[frame["reached"]].groupby("task")["data"].median()
    rows["data_unit"] = rows["task"].map(median) if unit is None else unit
    p, x, _ = new_rows(fit, rows.assign(**pivot), deviations=False)
    with jax.enable_x64(True):
        exponent, least, saved = (np.asarray(v) for v in (p["exponent_utd"], law.log_least(p, x), law.log_saved(p, x)))
    log_unit = np.log(rows["data_unit"].to_numpy())
    drawn = {
        "exponent_utd": exponent, "offset_utd": np.exp(fit.pivot["utd"] + (saved - log_unit) / exponent),
        "least_data": np.exp(least), "doubling_utd": np.exp(fit.pivot["utd"] + (saved - least) / exponent),
    }  # fmt: skip
    shape = (*fit.shape, len(rows))
    tables = {n: rows.assign(**interval_columns(np.broadcast_to(v, shape), (0, 1))) for n, v in drawn.items()}
    table = pd.concat(tables, names=["quantity"]).reset_index("quantity").set_index(["task", "threshold", "quantity"])
    return table.sort_index(level=[0, 1], sort_remaining=False, kind="stable")[[*ENDS, "data_unit"]]
