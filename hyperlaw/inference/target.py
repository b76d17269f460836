"""`check_target`: a target scale as a prediction takes it, or a refusal in words."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from hyperlaw.inference.fit import Fit


def check_target(fit: "Fit", at: Mapping[str, Any]) -> tuple[dict[str, Any], str | None]:
    """The value of each covariate (and of the batch size where the law needs one), and the task, None for a new one.

    Raises
    ------
    ValueError
        When something is missing or unknown, a task is not among the fitted ones, or a value is not what its covariate
        can be.
    """
    law, known = fit.law, fit.table.tasks
    needs = [*law.covariates, *(["batch_size"] if law.needs_batch_size else [])]
    allowed = [*needs, "task"] if len(known) > 1 else needs
    unknown, missing = [name for name in at if name not in allowed], [name for name in allowed if name not in at]
    if unknown or missing:
        raise ValueError(
            f"at must give exactly {', '.join(allowed)}: "
            + "; ".join(
                ([f"missing {', '.join(missing)}"] if missing else [])
                + ([f"unknown {', '.join(map(str, unknown))}"] if unknown else [])
            )
            + (" (task: a known label, or None for a new task)." if "task" in missing else ".")
        )
    task = at.get("task", known[0])
    if task is not None and task not in known:
        raise ValueError(
            f"task {task!r} is not among the fitted tasks {', '.join(known)}. Pass one of them, or None "
            "for a new task drawn from their population."
        )
    for name, labels in law.labels.items():
        if at[name] not in labels:
            raise ValueError(f"at[{name!r}] must be {' or '.join(labels)}, received {at[name]!r}.")
    target = {name: at[name] for name in law.labels}
    for name in needs:
        if name in law.labels:
            continue
        value = at[name]
        number = isinstance(value, int | float | np.number) and np.isfinite(value)
        if not number or (value <= 0 and name not in law.linear):
            raise ValueError(f"at[{name!r}] must be a finite number above zero, received {value!r}.")
        target[name] = float(value)
    return target, task
