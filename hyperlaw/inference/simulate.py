"""`simulate`: parameters drawn from a law's prior, and what a table measures drawn from them."""

from typing import Any

import jax
import numpy as np

from hyperlaw.data.table import Table
from hyperlaw.inference.derived import of_rows, prior_draws
from hyperlaw.inference.posterior import Posterior, pivot_of
from hyperlaw.inference.tree import labelled
from hyperlaw.models.law import Law
from hyperlaw.models.likelihoods import likelihood
from hyperlaw.models.likelihoods.base import Likelihood


def simulate(law: Law | Likelihood, table: Table, *, seed: int) -> tuple[Posterior, Any]:
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
    truth, design
        The drawn parameters as a posterior of one draw, which predicts as any does and holds nothing that checks need;
        and the table's arrays with the drawn values.

    Raises
    ------
    ValueError
        When a covariate of the law is missing from the table.
    """
    model = likelihood(law, table)
    design = model.design(table)
    with jax.enable_x64(True):
        drawn = {n: np.asarray(v) for n, v in prior_draws(model, design, seed=seed, draws=1).items()}
        measured = of_rows(table, {name: drawn.pop(name)[0] for name in model.measured(design)})
        tree = labelled({"posterior": {n: v[None] for n, v in drawn.items()}}, model, table, design)
    tree.attrs = {"seed": seed}
    return Posterior(model, table, tree, pivot_of(design)), model.with_measured(design, measured)


def simulated_table(truth: Posterior, design: Any) -> Table:
    """The table of `truth` with the values that `simulate` drew, for a fit whose truth is known."""
    drawn = {name: value[: len(truth.table)] for name, value in truth.likelihood.measured(design).items()}
    return truth.likelihood.table_with(truth.table, drawn)
