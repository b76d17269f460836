"""`simulate`: parameters drawn from a law's prior, and the losses of a sweep drawn from them."""

from dataclasses import replace

import jax
import numpy as np

from hyperlaw.data.runs import Runs
from hyperlaw.data.table import Table
from hyperlaw.inference.fit import Fit
from hyperlaw.inference.tree import prior_tree
from hyperlaw.models.law import Law
from hyperlaw.models.meet import AnyDesign, design_of, pivot_of
from hyperlaw.models.points import Points


def simulate(law: Law, table: Table, *, seed: int) -> tuple[Fit, AnyDesign]:
    """Draw every parameter from its prior, then what `table` measures from them.

    Parameters
    ----------
    law
        The law.
    table
        Its settings are kept, and its errors and limits. So are the places of the priors: a prior that is stated
        relative to what the table measured stays there, whatever is drawn.
    seed
        Determines every draw.

    Returns
    -------
    truth, data
        The drawn parameters as a fit of one draw, group `posterior`, which predicts as a fit does and holds nothing
        that checks need; and the arrays of the table with the drawn values (of runs, loss 0 where a run was drawn to
        diverge).

    Raises
    ------
    ValueError
        When a covariate of the law is missing from the table.
    """
    law = law.of(table.kind)
    at, arrays = pivot_of(law, table), design_of(law, table)
    with jax.enable_x64(True):
        tree = prior_tree(law, table, arrays, seed=seed, draws=1)
    drawn = {str(name): values.values[0, 0] for name, values in tree["prior_predictive"].dataset.items()}
    tree["posterior"] = tree["prior"].to_dataset()
    tree.attrs = {"seed": seed}
    truth = Fit(law, table, tree, at)
    if isinstance(arrays, Points):
        return truth, arrays._replace(value=drawn)
    lost = drawn["diverged"].astype(float)
    return truth, arrays._replace(loss=np.where(lost == 1, 0.0, drawn["loss"]), diverged=lost)


def simulated_table(truth: Fit, arrays: AnyDesign) -> Table:
    """The table of `truth` with the values that `simulate` drew, for a fit whose truth is known."""
    frame = truth.table.frame
    if isinstance(truth.table, Runs):
        lost = arrays.diverged == 1  # type: ignore[union-attr]
        frame["loss"], frame["diverged"] = np.where(lost, np.nan, arrays.loss), lost  # type: ignore[union-attr]
        return Runs(frame)
    ends = truth.table.points()
    for name, value in arrays.value.items():  # type: ignore[union-attr]
        own = ends[ends["quantity"] == name]
        # The exponential of a log may miss a limit by its last digit: a value at an end stays there.
        drawn = np.where(value <= arrays.low[name], own["low"], np.exp(value))  # type: ignore[union-attr]
        frame[name] = np.where(value >= arrays.high[name], own["high"], drawn)  # type: ignore[union-attr]
    if "reached" in frame:
        frame["reached"] = frame["data"] < frame["limit"]
    if "examples" in frame:
        frame["examples"] = frame["steps"] * frame["batch_size"]
    return replace(truth.table, _frame=frame)
