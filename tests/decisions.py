"""Every decision that the package makes, each as a question to fits made by hand."""

from functools import cache, partial

import numpy as np
import pandas as pd
from conftest import TRUTH, VALUE_TRUTH, example_of, grid, simulate
from made_fit import made_fit

import hyperlaw as hl
from hyperlaw.models.law import LAWS

AT = {"params": 4e6, "data": 1.6e10}


@cache
def made() -> dict[str, hl.Fit]:
    """A fit of each law that a decision asks, by its name: draws, and nothing that its checks could look at."""
    runs = simulate(hl.laws.TimeTransfer(), grid(rates=3, batches=2), seed=0)
    fits = {name: made_fit(LAWS[name](), runs, TRUTH, draws=200) for name in ("StepLaw", "TimeTransfer")}
    for name, truth in VALUE_TRUTH.items():
        if name in ("StepsExamples", "DataEfficiency", "UTDHyperparameters"):
            law, table = LAWS[name](), example_of(LAWS[name](), 2)
            scatter = {p.name: 0.1 for p in hl.likelihood(law, table).scatter_parameters}
            fits[name] = made_fit(law, table, truth | scatter, draws=200)
    return fits


def questions(fits: dict[str, hl.Fit]) -> dict:
    """A function a decision: it takes further arguments, such as `despite`."""
    runs = pd.DataFrame(AT | {"data": 1.6e9, "batch_size": 2.0**15, "learning_rate": 1e-3 * 2.0 ** np.arange(-1, 2)})
    two = {name: fits[name] for name in ("StepLaw", "TimeTransfer")}
    decide = partial(hl.decide, at=AT, risk=hl.CVaR(0.9))
    utd = {"efficiency": fits["DataEfficiency"], "hyperparameters": fits["UTDHyperparameters"]}
    price = {"price_of_step": 1.0, "price_of_example": 1e-6}
    return {
        "decide": partial(decide, fits["StepLaw"]),
        "decide, equal weights": partial(decide, two, weights="equal"),
        "decide, weights in numbers": partial(decide, two, weights={"StepLaw": 3, "TimeTransfer": 1}),
        "next_runs": partial(
            hl.next_runs, fits["StepLaw"], AT, candidates=runs, n=1, risk=hl.Mean(), seed=0, progress=False
        ),
        "schedule": partial(hl.schedule, fits["TimeTransfer"], AT, batch_size=2.0**15),
        "over_horizons": partial(
            hl.over_horizons,
            fits["TimeTransfer"],
            {"params": AT["params"]},
            data=[1e9, 1e10],
            batch_size=[2**14, 2**17],
        ),
        "frontier": partial(hl.frontier, utd, performance=[0.5], cost=hl.Budget(delta=1e9), params=1e5),
        "trade_off": partial(
            hl.trade_off, fits["StepsExamples"], {"task": fits["StepsExamples"].table.tasks[0]}, risk=hl.Mean(), **price
        ),
    }


QUESTIONS = (
    "decide", "decide, equal weights", "decide, weights in numbers", "next_runs", "schedule",
    "over_horizons", "frontier", "trade_off",
)  # fmt: skip
