"""`Parameter`: one unknown of a model, and how a user replaces its prior or its pooling."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpyro.distributions as dist
import pandas as pd

from hyperlaw.data.numerals import as_number
from hyperlaw.models.prior import Prior, can_be_stored, support, to_text
from hyperlaw.quote import quote

# Of these tails a mean may not exist; asked of any, NumPyro would compile it.
HEAVY = (dist.Cauchy, dist.HalfCauchy, dist.InverseGamma, dist.Levy, dist.Pareto, dist.StudentT)
POOLING = ("partial", "shared", "separate")


@dataclass(frozen=True)
class Parameter:
    """One unknown of a law, or of the scatter around it.

    Attributes
    ----------
    name
        Name of its site in the model, of its variable in the posterior, and of its key in `priors`.
    meaning, unit
        In words.
    prior
        Default prior.
    why
        Reason for that prior.
    group_sd
        Median of the prior on the standard deviation between tasks; None when all tasks share one value.
    informed_by
        Columns whose range in the table must inform it, if it is to be more than its prior: `fit.check()` asks by how
        much the posterior is narrower. Empty for levels and scales, which any table informs.
    within
        A column among whose values its exponential should lie, such as the batch size at which a curve turns.
    is_scale
        Whether it scales deviations or scatter. Where it vanishes with what it scales the density has a spike without
        mass, so the sampler holds it while it looks for the mode.
    positive
        Whether no value may be negative, a task's own neither; where the default prior has positive support it is so,
        whatever prior replaces it.
    """

    name: str
    meaning: str
    unit: str
    prior: Prior
    why: str
    group_sd: float | None = None
    informed_by: tuple[str, ...] = ()
    within: str = ""
    is_scale: bool = False
    positive: bool = False

    def __post_init__(self) -> None:
        if support(self.prior) is dist.constraints.positive:
            object.__setattr__(self, "positive", True)
        if self.group_sd is not None:
            median = as_number(self.group_sd, f"group_sd of {self.name}")
            if not (np.isfinite(median) and median > 0):
                raise ValueError(
                    f"group_sd of {self.name} must be a finite number above zero, or None where all tasks share one "
                    f"value; received {quote(self.group_sd)}."
                )


def replaced(
    parameters: Sequence[Parameter], priors: Mapping[str, Prior], pooling: Mapping[str, str]
) -> tuple[Parameter, ...]:
    """The parameters with other priors, and without a population where they are shared."""
    return tuple(
        replace(
            p,
            prior=priors.get(p.name, p.prior),
            group_sd=None if pooling.get(p.name) == "shared" else p.group_sd,
        )
        for p in parameters
    )


def parameter_table(parameters: Sequence[Parameter]) -> pd.DataFrame:
    """One row a parameter: meaning, unit, prior, why, pooled over."""
    rows = [(p.name, p.meaning, p.unit, to_text(p.prior), p.why, "task" if p.group_sd else "") for p in parameters]
    return pd.DataFrame(rows, columns=["name", "meaning", "unit", "prior", "why", "pooled over"]).set_index("name")


def check_replacements(
    owner: str, parameters: Sequence[Parameter], priors: Mapping[str, Prior], pooling: Mapping[str, str], hint: str = ""
) -> None:
    """Refuse priors and pooling that the parameters of `owner` cannot have.

    Raises
    ------
    ValueError
        When a name is not a parameter, a prior can draw impossible values, or a pooling is unknown. `hint` ends the
        sentence about an unknown name.
    TypeError
        When a prior is not a scalar NumPyro distribution that can be stored.
    """
    known = {p.name: p for p in parameters}
    for name, prior in priors.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            guess = f" Did you mean {quote(near[0])}?" if near else ""
            raise ValueError(
                f"{owner} has no parameter {quote(name)}.{guess} Its parameters are: {', '.join(known)}.{hint}"
            )
        _check_prior(known[name], prior)
    pooled = [name for name, p in known.items() if p.group_sd is not None]
    for name, how in pooling.items():
        if name not in pooled or how not in POOLING:
            raise ValueError(
                f"pooling[{quote(name)}] = {quote(how)}: give {', '.join(POOLING)} for a parameter that is pooled "
                f"over tasks: {', '.join(pooled) or 'none here'}."
            )


def _check_prior(parameter: Parameter, prior: Prior) -> None:
    if not isinstance(prior, Prior) or (isinstance(prior, dist.Distribution) and prior.shape() != ()):
        raise TypeError(
            f"the prior of {quote(parameter.name)} must be a scalar NumPyro distribution such as dist.Normal(0.5, "
            f"0.1), received {quote(prior)}."
        )
    if not can_be_stored(prior):
        raise TypeError(
            f"the prior of {quote(parameter.name)} cannot be stored with a fit: {type(prior).__name__} is not a plain "
            "distribution class of numpyro.distributions. Use for instance dist.LogNormal or dist.Gamma."
        )
    if isinstance(prior, dist.Distribution) and not _continuous(prior):
        raise ValueError(
            f"the prior of {quote(parameter.name)} must be continuous and have a finite mean, at which the sampler "
            f"begins; received {to_text(prior)}. Use for instance dist.Normal, dist.LogNormal or dist.StudentT of more "
            "than one degree of freedom."
        )
    if parameter.positive and not getattr(support(prior), "lower_bound", -1.0) >= 0:
        raise ValueError(
            f"the prior of {quote(parameter.name)} must have positive support ({parameter.meaning}), received "
            f"{to_text(prior)}. Use for instance dist.LogNormal."
        )


def _continuous(prior: dist.Distribution) -> bool:
    """Whether it has a density, and a finite mean."""
    if isinstance(prior, dist.Delta) or prior.support.is_discrete:
        return False
    if not isinstance(prior, HEAVY):
        return True
    try:
        return bool(np.isfinite(prior.mean))
    except ZeroDivisionError:  # NumPyro's way of an infinite one
        return False
