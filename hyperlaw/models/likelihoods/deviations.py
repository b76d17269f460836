"""How optima and values stray from a law: exponents that drift, and deviations that cells of one level share.

A law has one exponent a covariate. Over decades an exponent is seldom the same everywhere, and how it changes is not
seen in a short sweep: so the natural log of every quantity q has, beside the law, a term for every covariate x that
enters as a log (centred at the pivot),

    drift_q = sum over x of drift_{q,x} x^2 / 2,

whose coefficient is the change of the exponent per e-fold. It widens a prediction with the square of the distance.

Cells with the same value of a covariate, such as all horizons of one model size, share what is peculiar to it (its
initialisation, depth, warm-up). So do all sizes of one horizon, where each was trained for it alone (its schedule);
where one run is read at several horizons, what they share is drift. Each level has a deviation of its own, drawn from
a population: a target at a known level has that level's, a new level is drawn.
"""

from collections.abc import Mapping, Sequence
from math import log

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd

from hyperlaw.models.law import Law, Numbers, Values
from hyperlaw.models.parameter import Parameter
from hyperlaw.models.prior import Prior

MEANING = {
    "learning_rate": "best learning rate", "batch_size": "best batch size", "utd": "best updates-to-data ratio",
    "improvement": "improvement", "steps": "steps", "data": "data", "optimal_loss": "lowest loss",
    "noise_scale": "noise scale",
}  # fmt: skip
# A level of a scale that runs along training is no configuration of its own: its rows may be one run's.
ALONG_TRAINING = ("data", "compute", "budget", "loss")
ROUNDING = 1e-9
DRIFT = dist.Normal(0, 0.05)


def levelled(law: Law) -> tuple[str, ...]:
    """Covariates whose values are levels that several cells share: where there is another one to tell them apart."""
    return tuple(name for name in law.logged if name not in ALONG_TRAINING) if len(law.logged) > 1 else ()


def drift_parameters(law: Law, quantities: Sequence[str]) -> tuple[Parameter, ...]:
    """One coefficient a quantity and covariate."""
    return tuple(
        Parameter(
            f"drift_{quantity}_{name}", f"change of the exponent of the {MEANING.get(quantity, quantity)} with {name}, "
            f"per ln {name}", "", DRIFT, "0 for a pure power law; over a decade an exponent may change by 0.1",
        )
        for quantity in quantities
        for name in law.logged
    )  # fmt: skip


def level_parameters(names: Sequence[str], priors: Mapping[str, tuple[str, Prior]]) -> tuple[Parameter, ...]:
    """Scale of the levels' deviations, one a levelled covariate and quantity; `priors` holds unit and prior of each."""
    return tuple(
        Parameter(
            f"{name}_sd_{quantity}", f"what cells of equal {name} share of the {MEANING.get(quantity, quantity)}, "
            "beside the law", unit, prior, WHY_HORIZONS if name == "data" else WHY_SIZES, is_scale=True,
        )
        for name in names
        for quantity, (unit, prior) in priors.items()
    )  # fmt: skip


LEVEL_SD = dist.LogNormal(log(0.1), 0.5)
WHY_SIZES = "off zero; a size has its own initialisation, depth and warm-up"
WHY_HORIZONS = "off zero; a horizon has its own schedule"


def drift(p: Values, quantity: str, x: Values) -> Numbers:
    """What drifting exponents add to the natural log of a quantity."""
    return sum(p[f"drift_{quantity}_{name}"] * x[name] ** 2 / 2 for name in x if f"drift_{quantity}_{name}" in p)


def levels(names: Sequence[str], frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The levels of a table, by levelled covariate: columns `task` and its value, in their order."""
    return {
        name: frame[["task", name]].drop_duplicates().sort_values(["task", name], ignore_index=True) for name in names
    }


def level_of(known: pd.DataFrame, rows: pd.DataFrame, name: str) -> np.ndarray:
    """Position of each row's level among the known ones, equal up to rounding; -1 where it is new."""
    same = (rows["task"].to_numpy()[:, None] == known["task"].to_numpy()) & np.isclose(
        rows[name].to_numpy(float)[:, None], known[name].to_numpy(float), rtol=ROUNDING, atol=0
    )
    return np.where(same.any(axis=1), same.argmax(axis=1), -1)


def half_centred(name: str, sd: jax.Array) -> jax.Array:
    """Deviations of the members of a plate, normal with standard deviation `sd`; the site is called half_{name}.

    Half-centred: between the form that mixes where members are seen well and the one that mixes where they are not.
    """
    root = jnp.sqrt(sd)
    return root * numpyro.sample(f"half_{name}", dist.Normal(0, root))


def sample_levels(
    p: Values, quantities: Sequence[str], level: Mapping[str, np.ndarray], sizes: Mapping[str, np.ndarray]
) -> dict[str, Numbers]:
    """Deviation of each row's or cell's levels together, by quantity, inside a model.

    `level` holds the level of each row, `sizes` one entry a level, by covariate.
    """
    total: dict[str, Numbers] = dict.fromkeys(quantities, 0.0)
    for name, of_row in level.items():
        with numpyro.plate(f"{name}_level", len(sizes[name])):
            for quantity in quantities:
                site = f"{name}_deviation_{quantity}"
                own = numpyro.sample(site, dist.Normal(0, p[f"{name}_sd_{quantity}"]))
                total[quantity] = total[quantity] + own[of_row]
    return total
