"""`sharpness`: how sharply the loss rises around the optimum, and how that changes with scale."""

import numpy as np
import pandas as pd

from hyperlaw.inference.posterior import Posterior
from hyperlaw.intervals import ENDS, interval

QUANTITIES = {"learning_rate": "rate", "batch_size": "batch"}


def sharpness(fit: Posterior) -> pd.DataFrame:
    """What a factor of two off the optimum costs, and the exponents with which that cost changes with scale.

    A negative exponent says that larger runs forgive more: with data, arXiv 2410.05838 reports one for the learning
    rate; with width under the maximal-update parametrisation none.

    Parameters
    ----------
    fit
        A fit of a law to `Runs`.

    Returns
    -------
    DataFrame
        Index `quantity`; columns `lower, median, upper` (90 %, equal-tailed) and `p_negative`. Rows
        `cost_learning_rate` and `cost_batch_size`: nats lost at the pivot by a factor of two, the skew of the bowl left
        out; `exponent_learning_rate_data` and so on: d ln cost / d ln data, of the
        population of tasks.

    Raises
    ------
    TypeError
        When the fit is not of runs.
    """
    _ = fit.runs  # refuses fits of other tables
    p = {parameter.name: fit.draws[parameter.name].values for parameter in fit.surface.parameter_list}
    p |= fit.surface.settled(p)
    rows = {f"cost_{name}": p[f"sharpness_{name}"] * np.log(2) ** 2 for name in QUANTITIES} | {
        f"exponent_{name}_{covariate}": p[f"sharpness_{short}_exponent_{covariate}"]
        for name, short in QUANTITIES.items()
        for covariate in fit.law.covariates
    }
    table = {name: [*interval(value), float((value < 0).mean())] for name, value in rows.items()}
    frame = pd.DataFrame.from_dict(table, orient="index", columns=[*ENDS, "p_negative"])
    return frame.rename_axis("quantity")
