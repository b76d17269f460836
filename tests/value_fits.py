"""Fits to measured values whose truth is known: the fixture `value_fit` makes each of them once a session, by name."""

import functools

import numpy as np
import pytest
from conftest import CHECKED, VALUE_TRUTH, example_of, made, measure

import hyperlaw as hl
from hyperlaw.inference import refit as module
from hyperlaw.inference.example import example
from hyperlaw.models.law import LAWS

# With how many tasks a law of each kind of table is fitted.
FITTED = {"StepsExamples": 4, "UTDHyperparameters": 3, "DataEfficiency": 3, "NoiseGrowth": 3}
POOLED = {"UTDHyperparameters": {"rate_exponent_utd": "shared", "exponent_utd": "partial"}}
# What is added to a parameter in each task.
APART = {
    "StepsExamples": {"log_least_steps": (-0.6, -0.2, 0.2, 0.6), "log_critical_batch": (-0.4, 0.0, 0.0, 0.4)},
    "UTDHyperparameters": {"log_batch_size": (-0.3, 0.0, 0.3), "log_learning_rate": (-0.5, 0.0, 0.5)},
    "DataEfficiency": {"log_data": (-0.5, 0.0, 0.5)},
    "NoiseGrowth": {"log_noise_scale": (-0.5, 0.0, 0.5), "noise_exponent_loss": (-0.3, 0.0, 0.3)},
    "OptimalUTD": {"log_utd": (-0.3, 0.0, 0.3), "exponent_budget": (-0.25, 0.0, 0.25)},
}
LABELS = [f"r{i}" for i in range(48)]


def several_tasks(name):
    """A law, and values measured in several tasks, some of them one-sided."""
    law = LAWS[name](pooling=POOLED.get(name, {}))
    table = example_of(law, FITTED[name])
    if name == "UTDHyperparameters":
        frame = table.frame.assign(batch_size_high=np.inf)
        frame.loc[frame["utd"] == 1, "batch_size_high"] = 400.0
        table = made(table, frame)
    if name == "DataEfficiency":
        table = made(table, table.frame.assign(limit=1.2e6, start=1e3).set_axis(LABELS))
    error = 0.1 if name == "UTDHyperparameters" else 0.03
    return law, measure(law, table, 1, apart=APART[name], error=error)


def fit_of(name) -> hl.Fit:
    """That law fitted to them."""
    return hl.fit(*several_tasks(name), seed=1, **CHECKED)


def long_refit(law, table, seed=0):
    """A refit with as many draws as fits have, for curved posteriors; what is compiled is that of any refit."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SHORT", module.SHORT._replace(chains=CHECKED["chains"], draws=CHECKED["draws"]))
        return module.refit(law, table, seed=seed)


@functools.cache
def of_budgets(pooling="partial"):
    """OptimalUTD on three tasks that differ, with its parameters pooled in one of the three ways."""
    law = hl.laws.OptimalUTD(pooling=dict.fromkeys(VALUE_TRUTH["OptimalUTD"], pooling))
    return long_refit(law, measure(law, example(law), 3, apart=APART["OptimalUTD"], scatter=0.1), seed=2)


def at_target(fit, **change):
    """A target among the rows of the first task."""
    row = fit.table.frame.iloc[0]
    return {name: float(row[name]) for name in fit.likelihood.needs_at(fit.table)} | {"task": row["task"]} | change
