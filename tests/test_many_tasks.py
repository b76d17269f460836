"""As many tasks as a laboratory has: the sampler's coordinates for their values, and its covariance group by group."""

import numpy as np
import pandas as pd
import pytest

import hyperlaw as hl


def optima(tasks):
    """Six optima a task, with errors; tasks differ in their best learning rate and in one exponent."""
    rng, rows = np.random.default_rng(0), []
    for i in range(tasks):
        rate, slope = 2e-3 * np.exp(rng.normal(0, 0.3)), rng.normal(0.4, 0.05)
        for params in (1e7, 3e7, 1e8):
            for data in (1e9, 4e9):
                luck = np.exp(rng.normal(0, 0.1, 2))
                rows.append(
                    {
                        "task": f"task {i}", "params": params, "data": data,
                        "learning_rate": rate * luck[0] * (params / 1e7) ** -0.3,
                        "batch_size": 2.0**15 * luck[1] * (data / 1e9) ** slope,
                        "learning_rate_error": 0.1, "batch_size_error": 0.1,
                    }
                )  # fmt: skip
    return hl.Optima.from_frame(pd.DataFrame(rows), batch_unit=1)


@pytest.mark.slow
@pytest.mark.parametrize("tasks", [10, 30])
def test_a_fit_of_many_tasks_passes_its_checks(tasks):
    fit = hl.fit(hl.laws.StepLaw(), optima(tasks), seed=0, progress=False)
    checks = fit.check()
    assert checks.ok, str(checks)
    assert fit.draws.sizes["draw"] <= 1500
    # What tasks differ in is found, and what they share.
    assert 0.2 < float(fit.draws["log_learning_rate_task_sd"].median()) < 0.5
    low, high = fit.draws["rate_exponent_params"].quantile([0.005, 0.995])
    assert low < -0.3 < high
