"""`update`: the posterior after more runs, sampled from where the old one was."""

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd

from hyperlaw.data.runs import HYPERPARAMETERS, SCALES, Runs
from hyperlaw.inference.fit import Fit, check_settings, sampled
from hyperlaw.inference.sampler import Settings

WARMUP, SHORT_WARMUP = 600, 200
ENOUGH = 1000  # draws, for a covariance of some seventy parameters


def update(
    fit: Fit,
    new_runs: Runs | pd.DataFrame | Mapping[str, Any],
    *,
    seed: int,
    chains: int = 4,
    draws: int = 1000,
    progress: bool = True,
) -> Fit:
    """Fit the old and the new runs together, starting from the old posterior.

    The law, its priors and the sampler's care are those of the old fit, and what is sampled is the posterior that
    `hl.fit` to all runs would sample: nothing is approximated. Where all new runs lie in fitted cells, chains start
    at old draws (1,000 at least) with their covariance as mass matrix, and a short warm-up finds the step size. A new
    cell or task adds parameters and moves the pivot of the others: then all starts as in `hl.fit`, warm-up included.

    Parameters
    ----------
    fit
        A fit of a law to runs.
    new_runs
        One row a finished run, columns as in `fit.runs.frame`: `learning_rate`, `batch_size` (data points), every scale
        of the old runs, `loss` (nats; NaN where diverged), `task` where there are several, `seed` (0 when
        left out) and `diverged` if any. Cells and tasks may be new.
    seed
        Determines every draw.
    chains, draws, progress
        As for `hl.fit`.

    Returns
    -------
    Fit
        Like any other. The attribute `updated_from` of its tree names the data, seed and size of the old one.

    Raises
    ------
    TypeError
        When the old fit is not one of runs, or the seed no integer.
    ValueError
        When the new runs have other scales than the old ones, repeat a run, or `Runs` refuses them; when a
        setting is not what `hl.fit` takes.
    """
    check_settings(seed, chains, draws, WARMUP)
    runs = _together(fit.runs, new_runs)
    old = Settings(**json.loads(fit.tree.attrs["settings"]))
    alike = len(runs.cells) == len(fit.runs.cells) and fit.tree["posterior"]["tail"].size >= ENOUGH
    settings = old._replace(chains=chains, draws=draws, warmup=SHORT_WARMUP if alike else WARMUP)
    posterior = fit.tree["posterior"].dataset.stack(sample=("chain", "draw")).transpose("sample", ...)
    earlier = {str(name): values.values for name, values in posterior.items()} if alike else None
    updated = sampled(fit.law, runs, seed=seed, settings=settings, earlier=earlier, progress=progress)
    origin = {"data": fit.table.digest, "seed": fit.seed, "runs": len(fit.runs), "new_runs": len(runs) - len(fit.runs)}
    updated.tree.attrs["updated_from"] = json.dumps(origin)
    return updated


def _together(old: Runs, new: Runs | pd.DataFrame | Mapping[str, Any]) -> Runs:
    """Old and new runs as one table."""
    frame = new.frame if isinstance(new, Runs) else pd.DataFrame(new)
    several = len(old.tasks) > 1
    needs = [*HYPERPARAMETERS, *old.scales, "loss", *(["task"] if several else [])]
    missing = [name for name in needs if name not in frame]
    beyond = [name for name in SCALES if name in frame and name not in old.scales]
    if missing or beyond:
        raise ValueError(
            f"new_runs must have the columns of the fitted runs, {', '.join(needs)}: "
            + "; ".join(
                ([f"missing {', '.join(missing)}"] if missing else [])
                + ([f"the fitted runs have no {', '.join(beyond)}"] if beyond else [])
            )
            + ". Name and convert them as hl.Runs.from_frame did for the old ones."
        )
    if len(frame) == 0:
        raise ValueError("new_runs must hold a run or more, received none.")
    known = old.frame
    defaults = {"task": old.tasks[0], "seed": 0, "diverged": False}
    frame = frame.assign(**{name: value for name, value in defaults.items() if name not in frame})
    columns = [name for name in known.columns if name != "cell"]
    # Batch sizes of both are in data points already.
    return Runs.from_frame(pd.concat([known[columns], frame[columns]]), batch_unit=1)
