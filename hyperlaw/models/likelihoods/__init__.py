"""How the rows of each kind of table scatter around a law: one likelihood a file, chosen once, when a fit begins."""

from collections.abc import Mapping
from dataclasses import replace

from hyperlaw.data.table import Table
from hyperlaw.models.law import Law, as_law
from hyperlaw.models.likelihoods.base import LIKELIHOODS, Likelihood
from hyperlaw.models.likelihoods.crossing_values import CrossingValues as CrossingValues
from hyperlaw.models.likelihoods.loss_surface import LossSurface as LossSurface
from hyperlaw.models.likelihoods.measured_values import MeasuredValues as MeasuredValues
from hyperlaw.models.prior import Prior
from hyperlaw.quote import quote


def likelihood(
    law: Law | type[Law] | str | Likelihood,
    table: Table | str,
    *,
    priors: Mapping[str, Prior] | None = None,
    pooling: Mapping[str, str] | None = None,
) -> Likelihood:
    """The model of a table under a law: the law, and how the rows scatter around it.

    `hl.likelihood(law, table).parameters` lists every parameter with its prior and the reason for it.

    Parameters
    ----------
    law
        The law, its class or its name; a likelihood of this kind of table is taken as it is. It is stated over what
        the table has (`hl.Law.on`).
    table
        A table, or the name of its kind.
    priors, pooling
        Replace those of any parameter of the model, the law's own and the scatter's; see `hl.Law`.

    Raises
    ------
    ValueError
        When the law does not describe this kind of table, or a prior or a pooling is not what a parameter can have.
    TypeError
        When a prior is no scalar NumPyro distribution, or the table is none of this package.
    """
    if not isinstance(table, Table | str):
        raise TypeError(
            f"a law is fitted to a table such as hl.Runs, received {type(table).__name__}. Make one first: runs = "
            "hl.Runs.from_frame(df, learning_rate=..., batch_size=..., data=..., params=..., loss=...)."
        )
    kind = table if isinstance(table, str) else table.kind
    given = law if isinstance(law, Likelihood) else None
    one = law.law if isinstance(law, Likelihood) else as_law(law)
    if kind not in one.tables or (given is not None and kind not in given.kinds):
        raise ValueError(
            f"{one.name} does not describe {quote(kind)}; it is fitted to {' or '.join(one.tables)}. "
            "hl.laws.table() lists what each law needs."
        )
    if not isinstance(table, str):
        one = one.on(table.frame.columns)
    model = LIKELIHOODS[kind](one) if given is None else replace(given, law=one)
    model = replace(model, priors={**model.priors, **(priors or {})}, pooling={**model.pooling, **(pooling or {})})
    return model if isinstance(table, str) else model.of(table)
