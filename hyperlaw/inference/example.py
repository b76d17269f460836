"""`example`: settings of a small table that a law can be fitted to, for simulation."""

from hyperlaw.data.table import TABLES, Table
from hyperlaw.models.law import Law
from hyperlaw.models.likelihoods.base import Likelihood


def example(law: Law | Likelihood) -> Table:
    """A table of settings for `law`, of the size of published ones, with the same value in every row.

    `hl.calibrate` and `hyperlaw.inference.simulate` draw what it measures; its own values only place the priors.

    Raises
    ------
    ValueError
        When a covariate of the law has no example values.
    """
    one, kinds = (law.law, law.kinds) if isinstance(law, Likelihood) else (law, law.tables)
    kind = next(kind for kind in one.tables if kind in kinds)
    columns = [*(["batch_size"] if one.needs_batch_size else []), *one.covariates]
    return TABLES[kind].example(columns, one.predicts)
