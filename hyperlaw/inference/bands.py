"""`loss_bands` and `value_bands`: what a law expects to be measured, as intervals to draw."""

import numpy as np
import pandas as pd
import xarray as xr

from hyperlaw.data.runs import Runs
from hyperlaw.data.vocabulary import HYPERPARAMETERS
from hyperlaw.inference.cells import level_deviations, new_rows
from hyperlaw.inference.posterior import Posterior
from hyperlaw.intervals import ENDS, interval, interval_columns, present
from hyperlaw.models.law import Law
from hyperlaw.models.likelihoods.censored_student_t import standard_noise
from hyperlaw.models.likelihoods.measured_values import FREE
from hyperlaw.quote import quote

GROUPS = ("posterior", "prior")
POINTS, LINES = 40, 5
NO_LEVEL = -1.0  # of no table


def loss_bands(tree: xr.DataTree, runs: Runs, group: str) -> pd.DataFrame:
    """Predictive intervals of a run's loss, its scatter included, at each setting of each cell.

    Parameters
    ----------
    tree
        Of a fit or of a prior prediction.
    runs
        The runs that it was made for.
    group
        "posterior" or "prior".

    Returns
    -------
    DataFrame
        One row a setting, sorted: `cell, batch_size, learning_rate, lower, median, upper`; nats, equal-tailed 90 %.
        They hold for a run that does not diverge.

    Raises
    ------
    ValueError
        When the group is neither, or the tree has no predictive draws of it.
    """
    if group not in GROUPS:
        raise ValueError(f"group must be 'posterior' or 'prior', received {quote(group)}.")
    name = f"{group}_predictive"
    if name not in tree.children:
        raise ValueError(
            f"there are no {group} predictive losses here, only the groups {', '.join(tree.children)}. A fit made by "
            'hl.fit has both; what hl.prior_predict returns has those of the prior: pass group="prior".'
        )
    loss = tree[name].dataset["loss"].values.reshape(-1, len(runs))
    settings = runs.frame.reset_index(drop=True).groupby(["cell", *reversed(HYPERPARAMETERS)]).indices
    rows = [(*key, *interval(present(loss[:, where]))) for key, where in settings.items()]
    return pd.DataFrame(rows, columns=["cell", *reversed(HYPERPARAMETERS), *ENDS])


def moving(law: Law) -> str:
    """Name of the covariate that a picture of the law has on its horizontal axis."""
    return "batch_size" if law.needs_batch_size else law.logged[0]


def others(posterior: Posterior) -> list[str]:
    """What else tells the lines of one task apart: the law's other covariates, and a batch size that is given."""
    name = moving(posterior.law)
    return [other for other in posterior.likelihood.needs_at(posterior.table) if other != name]


def value_bands(posterior: Posterior, *, beyond: float = 4.0) -> pd.DataFrame:
    """Median and 90 % predictive interval of a new cell along the law's first covariate.

    Parameters
    ----------
    posterior
        Of a table of measured values.
    beyond
        How far past the table's largest value, as a factor; past the least loss.

    Returns
    -------
    DataFrame
        Columns `quantity, task`, the other covariates and a given batch size (at most five sets of values a task,
        evenly chosen), the moving one, and `lower, median, upper`.
    """
    likelihood, table = posterior.measured_values, posterior.table
    name, rest, frame = moving(posterior.law), others(posterior), table.frame
    ends = (1 / beyond, 1.0) if name == "loss" else (1.0, beyond)  # which falls as training goes on
    line = np.geomspace(ends[0] * frame[name].min(), ends[1] * frame[name].max(), POINTS)
    sets = frame[["task", *rest]].drop_duplicates().sort_values(["task", *rest])
    chosen = [g.iloc[np.unique(np.linspace(0, len(g) - 1, LINES).astype(int))] for _, g in sets.groupby("task")]
    rows = pd.concat(chosen).merge(pd.DataFrame({name: line}), how="cross")
    p, x, batch = new_rows(posterior, rows, deviations=False)
    # One draw of each deviation for a whole line: the band is that of any one point, and smooth.
    p |= level_deviations(posterior, rows.assign(**{name: NO_LEVEL}), "band")
    own = likelihood.draw_cell(p, x, posterior.rng("band", "cell"), np.zeros(len(rows), int))
    noise = standard_noise(posterior.rng("band", "value"), (*posterior.shape, 1))
    tables = []
    for quantity, centre in likelihood.centre(own, x, batch, likelihood.quantities(table)).items():
        drawn = np.exp(likelihood.value(p, quantity, centre, FREE).placed(noise))
        tables.append(rows.assign(quantity=quantity, **interval_columns(drawn, (0, 1))))
    return pd.concat(tables, ignore_index=True)
